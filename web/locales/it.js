/** @file The form's words in Italian, in the order of `../locales.js`. */
export const words = `Dati della carta|Numero della carta|Scadenza|MM / AA|Mese|Anno|Codice di sicurezza|Nome sulla carta|CAP|CAP|Salva la carta
|Inserisci il numero completo.|Questo numero non è corretto.|Inserisci la scadenza completa.|Questa scadenza non è corretta.|Questa carta è scaduta.
|Inserisci il codice completo.|Questo codice non è corretto.|Inserisci il nome sulla carta.|Inserisci il CAP.|Questo CAP non è corretto.
|Invio della carta …|Ci vuole più del solito. Resta su questa pagina.|Connessione persa. Nuovo tentativo …|Nessuna connessione. Nulla è perso: riprova.|La carta è stata rifiutata. Usa un’altra carta.|I fondi sono insufficienti.|Il modulo è scaduto. Ricarica la pagina.|Troppi tentativi. Ricomincia.|Al momento non funziona. Riprova.|Carta salvata.|La tua banca vuole conferma. Ti portiamo lì …
|Serve un’altra verifica. Ricomincia il pagamento.|Sei tornato senza risposta della tua banca. Ricarica la pagina.|Torna al negozio e ricomincia.|Paga {amount}|Codice di sicurezza ricevuto.`;
