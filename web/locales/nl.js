/** @file The form's words in Dutch, in the order of `../locales.js`. */
export const words = `Kaartgegevens|Kaartnummer|Vervaldatum|MM / JJ|Maand|Jaar|Beveiligingscode|Naam op de kaart|Postcode|Postcode|Kaart opslaan
|Vul het hele kaartnummer in.|Dit kaartnummer klopt niet.|Vul de hele vervaldatum in.|Deze vervaldatum klopt niet.|Deze kaart is verlopen.
|Vul de hele beveiligingscode in.|Deze beveiligingscode klopt niet.|Vul de naam op de kaart in.|Vul de postcode in.|Deze postcode klopt niet.
|Kaart wordt verstuurd …|Dit duurt langer dan normaal. Blijf op deze pagina.|Verbinding verbroken. Nieuwe poging …|Geen verbinding. Er is niets verloren: probeer het opnieuw.|De kaart is geweigerd. Gebruik een andere kaart.|Het saldo is ontoereikend.|Dit formulier is verlopen. Laad de pagina opnieuw.|Te veel pogingen. Begin opnieuw.|Dit lukt nu niet. Probeer het opnieuw.|Kaart opgeslagen.|Uw bank wil u zien. We brengen u erheen …
|Er is een extra controle nodig. Begin de betaling opnieuw.|U bent terug zonder antwoord van uw bank. Laad de pagina opnieuw.|Ga terug naar de winkel en begin opnieuw.|{amount} betalen|Beveiligingscode ontvangen.`;
