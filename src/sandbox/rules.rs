//! What Stripe takes of texts and amounts, and how it names what it does not take
//! (<https://docs.stripe.com/error-codes>, <https://docs.stripe.com/currencies>).
//!
//! These tables are the sandbox's own, from Stripe's pages and not from the adapter: where the two
//! differ, a test fails.

use super::errors::Refusal;
use super::form::Form;

/// Stripe's currencies of payments by card.
const CURRENCIES: &str = "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob \
    brl bsd bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp \
    gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd \
    kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr \
    nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std \
    szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar \
    zmw";
/// The smallest charges; other currencies have 1 here.
const AMOUNTS_MIN: [(&str, i64); 29] = [
    ("aed", 200),
    ("aud", 50),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("cop", 50),
    ("czk", 1_500),
    ("dkk", 250),
    ("eur", 50),
    ("gbp", 30),
    ("hkd", 400),
    ("huf", 17_500),
    ("idr", 50),
    ("ils", 50),
    ("inr", 50),
    ("jpy", 50),
    ("krw", 50),
    ("mxn", 1_000),
    ("myr", 200),
    ("nok", 300),
    ("nzd", 50),
    ("php", 50),
    ("pln", 200),
    ("ron", 200),
    ("sek", 300),
    ("sgd", 50),
    ("thb", 1_000),
    ("usd", 50),
    ("zar", 50),
];
/// The largest, where it is not eight digits.
const AMOUNTS_MAX: [(&str, i64); 3] = [
    ("cop", 9_999_999_999),
    ("idr", 999_999_999_999),
    ("inr", 999_999_999),
];
const AMOUNT_MAX: i64 = 99_999_999;
/// Written with two decimals, of which there are none.
const WHOLE: [&str; 2] = ["isk", "ugx"];
/// Written with three decimals, of which the last is 0.
const THREE_DECIMALS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// ISO 3166-1.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL \
    BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK \
    DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU \
    GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ \
    LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY \
    MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU \
    RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

const SUFFIX_CHARS_MAX: usize = 22;
const DESCRIPTION_CHARS_MAX: usize = 1_000;

fn listed(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == word)
}

/// A currency's name in lower case.
pub(super) fn currency(form: &Form) -> Result<String, Refusal> {
    let currency = form.required("currency")?.to_ascii_lowercase();
    if listed(CURRENCIES, &currency) {
        Ok(currency)
    } else {
        Err(Refusal::malformed("Invalid currency.").param("currency"))
    }
}

/// Whether so much can be charged in that currency.
pub(super) fn amount(amount: i64, currency: &str) -> Result<(), Refusal> {
    let bound = |table: &[(&str, i64)]| {
        let row = table.iter().find(|(name, _)| *name == currency);
        row.map(|(_, bound)| *bound)
    };
    let refused = |code: &'static str, message: &'static str| {
        Err(Refusal::invalid(message).code(code).param("amount"))
    };
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return refused("parameter_invalid_integer", message);
    }
    if WHOLE.contains(&currency) && amount % 100 != 0 {
        let message = "This currency has no decimals: the amount is divisible by 100.";
        return refused("invalid_charge_amount", message);
    }
    if THREE_DECIMALS.contains(&currency) && amount % 10 != 0 {
        let message = "The last digit of an amount in this currency is 0.";
        return refused("invalid_charge_amount", message);
    }
    if amount < bound(&AMOUNTS_MIN).unwrap_or(1) {
        let message = "Amount must be at least the currency's minimum.";
        return refused("amount_too_small", message);
    }
    if amount > bound(&AMOUNTS_MAX).unwrap_or(AMOUNT_MAX) {
        let message = "Amount must be no more than the currency's maximum.";
        return refused("amount_too_large", message);
    }
    Ok(())
}

/// What goes onto a statement and into the dashboard.
pub(super) fn texts(form: &Form) -> Result<(), Refusal> {
    const SUFFIX: &str = "statement_descriptor_suffix";
    if let Some(suffix) = form.get(SUFFIX) {
        let forbidden = |c: char| matches!(c, '<' | '>' | '\\' | '\'' | '"' | '*');
        if suffix.chars().count() > SUFFIX_CHARS_MAX {
            let message = "The statement descriptor suffix has up to 22 characters.";
            return Err(Refusal::malformed(message)
                .code("string_too_long")
                .param(SUFFIX));
        }
        if suffix.contains(forbidden) || !suffix.chars().all(is_latin) {
            let message =
                "The statement descriptor suffix has Latin characters, and none of < > \\ ' \" *.";
            return Err(Refusal::malformed(message)
                .code("invalid_characters")
                .param(SUFFIX));
        }
        if !suffix.chars().any(char::is_alphabetic) {
            let message = "The statement descriptor suffix must have a letter.";
            return Err(Refusal::malformed(message).param(SUFFIX));
        }
    }
    let description = form.get("description").unwrap_or("");
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(Refusal::malformed("The description is too long.")
            .code("string_too_long")
            .param("description"));
    }
    Ok(())
}

const fn is_latin(letter: char) -> bool {
    letter.is_ascii_graphic()
        || letter == ' '
        || matches!(letter, 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ɏ')
}

/// Whose card it is: an e-mail address that is one, a country that there is.
pub(super) fn billing_details(form: &Form) -> Result<(), Refusal> {
    const EMAIL: &str = "billing_details[email]";
    const COUNTRY: &str = "billing_details[address][country]";
    if form.get(EMAIL).is_some_and(|email| !is_email(email)) {
        return Err(Refusal::malformed("Invalid email address.")
            .code("email_invalid")
            .param(EMAIL));
    }
    let known = |country: &str| listed(COUNTRIES, country);
    if form.get(COUNTRY).is_some_and(|country| !known(country)) {
        let message = "Country is unknown. Try using a 2-character alphanumeric country code.";
        return Err(Refusal::malformed(message)
            .code("country_code_invalid")
            .param(COUNTRY));
    }
    Ok(())
}

/// One `@` with a name before it and a domain with a dot behind it, and no space anywhere.
fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.split_once('@') else {
        return false;
    };
    !name.is_empty()
        && !text.chars().any(char::is_whitespace)
        && !domain.contains('@')
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refused: Result<(), Refusal>) -> Option<(String, String)> {
        let error = refused.err()?.to_json("");
        let text = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
        Some((text("code"), text("param")))
    }

    #[test]
    fn amounts_are_refused_with_stripes_code() {
        for (amount_, currency, code) in [
            (49, "eur", Some("amount_too_small")),
            (50, "eur", None),
            (100_000_000, "eur", Some("amount_too_large")),
            (150_000_000, "idr", None),
            (500, "isk", None),
            (550, "isk", Some("invalid_charge_amount")),
            (5_001, "ugx", Some("invalid_charge_amount")),
            (1_234, "kwd", Some("invalid_charge_amount")),
            (1_230, "kwd", None),
            (0, "eur", Some("parameter_invalid_integer")),
        ] {
            let found = told(amount(amount_, currency));
            let expected = code.map(|code| (code.to_owned(), "amount".to_owned()));
            assert_eq!(found, expected, "{amount_} {currency}");
        }
    }

    #[test]
    fn texts_are_refused_by_their_parameter() {
        for (form, expected) in [
            ("statement_descriptor_suffix=Shop+17", None),
            ("statement_descriptor_suffix=Caf%C3%A9+1", None),
            (
                "statement_descriptor_suffix=Shop+%F0%9F%98%80",
                Some("invalid_characters"),
            ),
            (
                "statement_descriptor_suffix=a*b",
                Some("invalid_characters"),
            ),
            ("statement_descriptor_suffix=1234", Some("-")),
            (
                "statement_descriptor_suffix=aaaaaaaaaaaaaaaaaaaaaaa",
                Some("string_too_long"),
            ),
        ] {
            let found = told(texts(&Form::parse(form.as_bytes()).unwrap()));
            assert_eq!(found.map(|(code, _)| code).as_deref(), expected, "{form}");
        }
    }

    #[test]
    fn an_email_and_a_country_are_ones() {
        for (form, expected) in [
            ("billing_details[email]=a@b.example", None),
            ("billing_details[email]=mehmet@gmail", Some("email_invalid")),
            ("billing_details[email]=+a@b.example", Some("email_invalid")),
            (
                "billing_details[email]=a@b@c.example",
                Some("email_invalid"),
            ),
            ("billing_details[address][country]=DE", None),
            (
                "billing_details[address][country]=XX",
                Some("country_code_invalid"),
            ),
            (
                "billing_details[address][country]=Germany",
                Some("country_code_invalid"),
            ),
        ] {
            let found = told(billing_details(&Form::parse(form.as_bytes()).unwrap()));
            assert_eq!(found.map(|(code, _)| code).as_deref(), expected, "{form}");
        }
    }

    #[test]
    fn currencies_are_stripes() {
        for (form, known) in [
            ("currency=eur", true),
            ("currency=EUR", true),
            ("currency=btc", false),
            ("currency=irr", false),
            ("currency=e", false),
            ("", false),
        ] {
            let found = currency(&Form::parse(form.as_bytes()).unwrap());
            assert_eq!(found.is_ok(), known, "{form}");
        }
    }
}
