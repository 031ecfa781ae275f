/** @file The form's words in French, in the order of `../locales.js`. */
export const words = `Carte bancaire|Numéro de carte|Date d’expiration|MM / AA|Mois|Année|Code de sécurité|Nom sur la carte|Code postal|Code postal|Enregistrer la carte
|Saisissez le numéro de carte complet.|Ce numéro de carte est incorrect.|Saisissez la date d’expiration complète.|Cette date d’expiration est incorrecte.|Cette carte a expiré.
|Saisissez le code de sécurité complet.|Ce code de sécurité est incorrect.|Saisissez le nom sur la carte.|Saisissez le code postal.|Ce code postal est incorrect.
|Envoi de la carte …|C’est plus long que d’habitude. Restez sur cette page.|Connexion perdue. Nouvel essai …|Pas de connexion. Rien n’est perdu : réessayez.|La carte a été refusée. Utilisez une autre carte.|Les fonds sont insuffisants.|Ce formulaire a expiré. Rechargez la page.|Trop de tentatives. Recommencez.|Cela ne marche pas pour l’instant. Réessayez.|Carte enregistrée.|Votre banque veut vous voir. Nous vous y amenons …
|Une vérification de plus est nécessaire. Recommencez le paiement.|Vous êtes revenu sans réponse de votre banque. Rechargez la page.|Retournez à la boutique et recommencez.|Payer {amount}`;
