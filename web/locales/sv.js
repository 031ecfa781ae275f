/** @file The form's words in Swedish, in the order of `../locales.js`. */
export const words = `Kortuppgifter|Kortnummer|Giltigt till|MM / ÅÅ|Månad|År|Säkerhetskod|Namn på kortet|Postnummer|Postnummer|Spara kort
|Ange hela kortnumret.|Kortnumret stämmer inte.|Ange hela datumet.|Datumet stämmer inte.|Kortet har gått ut.
|Ange hela säkerhetskoden.|Säkerhetskoden stämmer inte.|Ange namnet på kortet.|Ange postnumret.|Postnumret stämmer inte.
|Kortet skickas …|Det tar längre tid än vanligt. Stanna på sidan.|Anslutningen bröts. Försöker igen …|Ingen anslutning. Inget är förlorat: försök igen.|Kortet nekades. Använd ett annat kort.|Det finns inte tillräckligt med pengar på kortet.|Formuläret har gått ut. Ladda om sidan.|För många försök. Börja om.|Det fungerar inte just nu. Försök igen.|Kortet är sparat.|Din bank vill bekräfta. Vi tar dig dit …
|En extra kontroll behövs. Börja om med betalningen.|Du kom tillbaka utan svar från din bank. Ladda om sidan.|Gå tillbaka till butiken och börja om.|Betala {amount}|Säkerhetskoden är mottagen.`;
