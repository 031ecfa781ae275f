/** @file The form's words in Danish, in the order of `../locales.js`. */
export const words = `Kortoplysninger|Kortnummer|Udløbsdato|MM / ÅÅ|Måned|År|Kontrolcifre|Navn på kortet|Postnummer|Postnummer|Gem kort
|Indtast hele kortnummeret.|Kortnummeret er ikke rigtigt.|Indtast hele udløbsdatoen.|Udløbsdatoen er ikke rigtig.|Kortet er udløbet.
|Indtast alle kontrolcifre.|Kontrolcifrene er ikke rigtige.|Indtast navnet på kortet.|Indtast postnummeret.|Postnummeret er ikke rigtigt.
|Kortet sendes …|Det tager længere tid end normalt. Bliv på siden.|Forbindelsen røg. Prøver igen …|Ingen forbindelse. Intet er tabt: prøv igen.|Kortet blev afvist. Brug et andet kort.|Der er ikke penge nok på kortet.|Formularen er udløbet. Genindlæs siden.|For mange forsøg. Begynd forfra.|Det virker ikke lige nu. Prøv igen.|Kortet er gemt.|Din bank vil bekræfte. Vi fører dig derhen …
|Der kræves et ekstra tjek. Begynd betalingen forfra.|Du kom tilbage uden svar fra din bank. Genindlæs siden.|Gå tilbage til butikken, og begynd forfra.|Betal {amount}|Kontrolcifrene er modtaget.`;
