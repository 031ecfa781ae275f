/** @file The form's words in Polish, in the order of `../locales.js`. */
export const words = `Dane karty|Numer karty|Data ważności|MM / RR|Miesiąc|Rok|Kod zabezpieczający|Imię i nazwisko na karcie|Kod pocztowy|Kod pocztowy|Zapisz kartę
|Wpisz pełny numer karty.|Ten numer karty jest błędny.|Wpisz pełną datę ważności.|Ta data ważności jest błędna.|Ta karta straciła ważność.
|Wpisz pełny kod zabezpieczający.|Ten kod jest błędny.|Wpisz imię i nazwisko z karty.|Wpisz kod pocztowy.|Ten kod pocztowy jest błędny.
|Wysyłanie karty …|To trwa dłużej niż zwykle. Zostań na tej stronie.|Utracono połączenie. Ponawiamy …|Brak połączenia. Nic nie przepadło: spróbuj ponownie.|Karta została odrzucona. Użyj innej karty.|Na karcie brakuje środków.|Formularz wygasł. Odśwież stronę.|Zbyt wiele prób. Zacznij od nowa.|To teraz nie działa. Spróbuj ponownie.|Karta zapisana.|Twój bank prosi o potwierdzenie. Przenosimy …
|Potrzebne jest dodatkowe sprawdzenie. Rozpocznij płatność od nowa.|Wróciłeś bez odpowiedzi banku. Odśwież stronę.|Wróć do sklepu i zacznij od nowa.|Zapłać {amount}|Kod zabezpieczający odebrany.`;
