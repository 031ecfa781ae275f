//! The published test cards (<https://docs.stripe.com/testing>) and what each of them does.
//!
//! A card is known by its two-character code from the moment its number has been read; the number
//! itself is never kept. The codes stand in `PaymentMethod` ids (see `ids.rs`), so a code, once
//! given, is never given to another card.

use serde::{Deserialize, Serialize};

use super::declines::{
    Decline, EXPIRED, FRAUDULENT, GENERIC, INSUFFICIENT, LOST, PROCESSING, STOLEN, VELOCITY,
    WRONG_CVC,
};
use super::disputes;

/// A card network, by Stripe's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Brand {
    Visa,
    Mastercard,
    Amex,
    Discover,
    Diners,
    Jcb,
    UnionPay,
    Unknown,
}

impl Brand {
    pub(super) const ALL: [Self; 8] = [
        Self::Visa,
        Self::Mastercard,
        Self::Amex,
        Self::Discover,
        Self::Diners,
        Self::Jcb,
        Self::UnionPay,
        Self::Unknown,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Visa => "visa",
            Self::Mastercard => "mastercard",
            Self::Amex => "amex",
            Self::Discover => "discover",
            Self::Diners => "diners",
            Self::Jcb => "jcb",
            Self::UnionPay => "unionpay",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const fn letter(self) -> char {
        match self {
            Self::Visa => 'v',
            Self::Mastercard => 'm',
            Self::Amex => 'a',
            Self::Discover => 'd',
            Self::Diners => 'n',
            Self::Jcb => 'j',
            Self::UnionPay => 'u',
            Self::Unknown => 'x',
        }
    }

    /// The network of a number that is not in the table, by its first digits.
    pub(super) fn of(digits: &str) -> Self {
        let first = |count: usize| {
            digits
                .get(..count)
                .and_then(|lead| lead.parse::<u32>().ok())
                .unwrap_or(0)
        };
        let (two, three, four) = (first(2), first(3), first(4));
        match (two, three, four) {
            (40..=49, _, _) => Self::Visa,
            (51..=55, _, _) | (_, _, 2221..=2720) => Self::Mastercard,
            (34 | 37, _, _) => Self::Amex,
            (_, _, 6011) | (_, 644..=649, _) | (65, _, _) => Self::Discover,
            (36 | 38 | 39, _, _) | (_, 300..=305, _) | (_, _, 3095) => Self::Diners,
            (_, _, 3528..=3589) => Self::Jcb,
            (62 | 81, _, _) => Self::UnionPay,
            _ => Self::Unknown,
        }
    }
}

/// What pays for the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Funding {
    Credit,
    Debit,
    Prepaid,
}

impl Funding {
    pub(super) const ALL: [Self; 3] = [Self::Credit, Self::Debit, Self::Prepaid];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
            Self::Prepaid => "prepaid",
        }
    }

    pub(super) const fn letter(self) -> char {
        match self {
            Self::Credit => 'c',
            Self::Debit => 'd',
            Self::Prepaid => 'p',
        }
    }
}

/// When the issuer asks for 3-D Secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authentication {
    Never,
    /// At set-up, and at every charge until the card has been set up.
    UntilSetUp,
    /// At set-up and at every charge, set up or not.
    Always,
    /// With the cardholder present only; set-up and off-session charges pass.
    Present,
    /// At set-up and whenever the cardholder is present; off-session passes once set up.
    SetUpAndPresent,
}

impl Authentication {
    pub(super) const fn at_set_up(self) -> bool {
        matches!(
            self,
            Self::UntilSetUp | Self::Always | Self::SetUpAndPresent
        )
    }

    pub(super) const fn at_charge(self, off_session: bool, set_up: bool) -> bool {
        match self {
            Self::Never => false,
            Self::UntilSetUp => !set_up,
            Self::Always => true,
            Self::Present => !off_session,
            Self::SetUpAndPresent => !off_session || !set_up,
        }
    }
}

/// What a card does after its money was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aftermath {
    Nothing,
    /// A refund is pending at first.
    RefundPends,
    /// A refund has succeeded at first, and then fails.
    RefundFails,
    Disputed(disputes::Kind),
    /// The network warns of fraud.
    Warned,
}

/// What a card does when it is set up and when it is charged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behaviour {
    pub(super) authentication: Authentication,
    pub(super) charge: Option<&'static Decline>,
    /// With `decline_at_attach`, the decline is already met at set-up, as it is at Stripe.
    pub(super) strict_at_set_up: bool,
    pub(super) after: Aftermath,
}

const APPROVE: Behaviour = Behaviour {
    authentication: Authentication::Never,
    charge: None,
    strict_at_set_up: false,
    after: Aftermath::Nothing,
};

const fn then(after: Aftermath) -> Behaviour {
    Behaviour { after, ..APPROVE }
}

const fn refuse(with: &'static Decline) -> Behaviour {
    Behaviour {
        charge: Some(with),
        strict_at_set_up: !with.blocked,
        ..APPROVE
    }
}

const fn ask(authentication: Authentication) -> Behaviour {
    Behaviour {
        authentication,
        ..APPROVE
    }
}

const fn ask_then_refuse(with: &'static Decline) -> Behaviour {
    Behaviour {
        authentication: Authentication::SetUpAndPresent,
        charge: Some(with),
        ..APPROVE
    }
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct TestCard {
    pub(super) code: &'static str,
    pub(super) number: &'static str,
    pub(super) brand: Brand,
    pub(super) funding: Funding,
    pub(super) country: &'static str,
    pub(super) behaviour: Behaviour,
}

macro_rules! test_cards {
    ($($code:literal $number:literal $brand:ident $funding:ident $country:literal $behaviour:expr, $says:literal;)+) => {
        pub(super) static TABLE: &[TestCard] = &[$(TestCard {
            code: $code,
            number: $number,
            brand: Brand::$brand,
            funding: Funding::$funding,
            country: $country,
            behaviour: $behaviour,
        }),+];

        /// The published test cards, each with what it does here, for a greeting or a page.
        /// Any other number with a right check digit is approved.
        pub const TEST_CARDS: &[(&str, &str)] = &[$(($number, $says)),+];
    };
}

test_cards! {
    "va" "4242424242424242" Visa Credit "US" APPROVE, "Visa, approved";
    "vb" "4000056655665556" Visa Debit "US" APPROVE, "Visa debit, approved";
    "ma" "5555555555554444" Mastercard Credit "US" APPROVE, "Mastercard, approved";
    "mb" "2223003122003222" Mastercard Credit "US" APPROVE, "Mastercard (2-series), approved";
    "mc" "5200828282828210" Mastercard Debit "US" APPROVE, "Mastercard debit, approved";
    "md" "5105105105105100" Mastercard Prepaid "US" APPROVE, "Mastercard prepaid, approved";
    "aa" "378282246310005" Amex Credit "US" APPROVE, "American Express, approved";
    "ab" "371449635398431" Amex Credit "US" APPROVE, "American Express, approved";
    "da" "6011111111111117" Discover Credit "US" APPROVE, "Discover, approved";
    "db" "6011000990139424" Discover Credit "US" APPROVE, "Discover, approved";
    "dc" "6011981111111113" Discover Debit "US" APPROVE, "Discover debit, approved";
    "na" "3056930009020004" Diners Credit "US" APPROVE, "Diners Club, approved";
    "nb" "36227206271667" Diners Credit "US" APPROVE, "Diners Club (14 digits), approved";
    "dd" "6555900000604105" Discover Credit "KR" APPROVE, "BCcard and DinaCard, approved";
    "ja" "3566002020360505" Jcb Credit "JP" APPROVE, "JCB, approved";
    "ua" "6200000000000005" UnionPay Credit "CN" APPROVE, "UnionPay, approved";
    "ub" "6200000000000047" UnionPay Debit "CN" APPROVE, "UnionPay debit, approved";
    "uc" "6205500000000000004" UnionPay Credit "CN" APPROVE, "UnionPay (19 digits), approved";
    "d1" "4000000000000002" Visa Credit "US" refuse(&GENERIC), "declined: generic_decline";
    "d2" "4000000000009995" Visa Credit "US" refuse(&INSUFFICIENT), "declined: insufficient_funds";
    "d3" "4000000000009987" Visa Credit "US" refuse(&LOST), "declined: lost_card";
    "d4" "4000000000009979" Visa Credit "US" refuse(&STOLEN), "declined: stolen_card";
    "d5" "4000000000000069" Visa Credit "US" refuse(&EXPIRED), "declined: expired_card";
    "d6" "4000000000000127" Visa Credit "US" refuse(&WRONG_CVC), "declined: incorrect_cvc";
    "d7" "4000000000000119" Visa Credit "US" refuse(&PROCESSING), "declined: processing_error";
    "d8" "4000000000006975" Visa Credit "US" refuse(&VELOCITY), "declined: card_velocity_exceeded";
    "d9" "4242424242424241" Visa Credit "US" APPROVE, "refused at once: incorrect_number";
    "w1" "4000000000000101" Visa Credit "US" APPROVE, "approved; the check of the security code fails";
    "e1" "4000000000000341" Visa Credit "US" Behaviour { strict_at_set_up: false, ..refuse(&GENERIC) }, "can be saved, every charge is declined";
    "r1" "4100000000000019" Visa Credit "US" refuse(&FRAUDULENT), "always blocked by fraud rules: fraudulent";
    "r2" "4000000000004954" Visa Credit "US" refuse(&FRAUDULENT), "highest risk, blocked by fraud rules: fraudulent";
    "s1" "4000000000003220" Visa Credit "US" ask(Authentication::SetUpAndPresent), "3-D Secure at set-up and with the cardholder present";
    "s2" "4000002500003155" Visa Credit "FR" ask(Authentication::UntilSetUp), "3-D Secure once: free after it has been set up";
    "s3" "4000002760003184" Visa Credit "DE" ask(Authentication::Always), "3-D Secure at every charge, set up or not";
    "s4" "4000003800000446" Visa Credit "IT" ask(Authentication::Present), "3-D Secure with the cardholder present; counts as already set up";
    "s5" "4000008260003178" Visa Credit "GB" ask_then_refuse(&INSUFFICIENT), "3-D Secure, then declined: insufficient_funds";
    "s6" "4000008400001629" Visa Credit "US" ask_then_refuse(&GENERIC), "3-D Secure, then declined: generic_decline";
    "f1" "4000000000007726" Visa Credit "US" then(Aftermath::RefundPends), "approved; a refund is pending, then succeeds";
    "f2" "4000000000005126" Visa Credit "US" then(Aftermath::RefundFails), "approved; a refund succeeds, then fails";
    "q1" "4000000000000259" Visa Credit "US" then(Aftermath::Disputed(disputes::Kind::Fraudulent)), "approved, then disputed as fraudulent";
    "q2" "4000000000002685" Visa Credit "US" then(Aftermath::Disputed(disputes::Kind::ProductNotReceived)), "approved, then disputed as not received";
    "q3" "4000000000001976" Visa Credit "US" then(Aftermath::Disputed(disputes::Kind::Inquiry)), "approved, then the issuer inquires";
    "q4" "4000000000005423" Visa Credit "US" then(Aftermath::Warned), "approved, then an early fraud warning";
}

/// The card whose security code the issuer finds wrong, and which it charges all the same.
pub(super) const WRONG_CODE: &str = "w1";

/// The code of a card that is not in the table.
pub(super) const OTHER: &str = "zz";

pub(super) fn by_number(digits: &str) -> Option<&'static TestCard> {
    TABLE.iter().find(|card| card.number == digits)
}

pub(super) fn by_code(code: &str) -> Option<&'static TestCard> {
    TABLE.iter().find(|card| card.code == code)
}

/// What the card with that code does; a card that is not in the table is approved.
pub(super) fn behaviour_of(code: &str) -> Option<Behaviour> {
    if code == OTHER {
        return Some(APPROVE);
    }
    by_code(code).map(|card| card.behaviour)
}

/// Stripe's scheme for cards of a country: 400000, the ISO 3166 number, then anything.
pub(super) fn country_of(digits: &str) -> &'static str {
    let number = digits
        .strip_prefix("400000")
        .and_then(|rest| rest.get(..3))
        .unwrap_or("");
    match number {
        "036" => "AU",
        "040" => "AT",
        "056" => "BE",
        "076" => "BR",
        "124" => "CA",
        "208" => "DK",
        "246" => "FI",
        "250" => "FR",
        "276" => "DE",
        "372" => "IE",
        "380" => "IT",
        "392" => "JP",
        "528" => "NL",
        "578" => "NO",
        "616" => "PL",
        "620" => "PT",
        "724" => "ES",
        "752" => "SE",
        "756" => "CH",
        "826" => "GB",
        _ => "US",
    }
}

/// ISO/IEC 7812-1's check digit.
pub(super) fn check_digit_is_right(digits: &str) -> bool {
    let sum = digits
        .bytes()
        .rev()
        .enumerate()
        .fold(0_u32, |sum, (place, byte)| {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            let doubled = digit.saturating_mul(2);
            let adds = match (place % 2 == 1, doubled > 9) {
                (false, _) => digit,
                (true, false) => doubled,
                (true, true) => doubled.saturating_sub(9),
            };
            sum.saturating_add(adds)
        });
    sum % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_given_once_and_each_published_number_but_one_is_right() {
        let mut codes: Vec<_> = TABLE.iter().map(|card| card.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
        for card in TABLE {
            assert_eq!(card.code.len(), 2);
            assert_eq!(
                check_digit_is_right(card.number),
                card.number != "4242424242424241",
                "{}",
                card.code
            );
            assert_eq!(Brand::of(card.number), card.brand, "{}", card.code);
        }
    }

    #[test]
    fn the_country_is_in_the_number() {
        for card in TABLE.iter().filter(|card| card.code.starts_with('s')) {
            assert_eq!(country_of(card.number), card.country, "{}", card.code);
        }
    }
}
