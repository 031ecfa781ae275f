//! The sandbox's ids.
//!
//! A `PaymentMethod`'s id says what its card is and does: `pm_1Sbx`, the two-character code of
//! `cards.rs`, brand, funding, country, last four digits, expiry, fingerprint, random letters. A
//! sandbox that has just started can therefore still charge what an earlier one made, even where it
//! was given no file to keep it in (`journal.rs`). Fingerprints of published cards are the same in every life; those of
//! other numbers come from a key that dies with the process, so they identify nobody.

use aws_lc_rs::{digest, hmac};
use serde::{Deserialize, Serialize};

use super::cards::{self, Behaviour, Brand, Funding, TestCard};

const PAYMENT_METHOD: &str = "pm_1Sbx";
const CUSTOMER: &str = "cus_Sbx";
const CUSTOMER_LETTERS: usize = 14;
const FINGERPRINT_LETTERS: usize = 13;
const RANDOM_LETTERS: usize = 10;
const ALPHABET: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What the world may know of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Card {
    pub(super) code: String,
    pub(super) brand: Brand,
    pub(super) funding: Funding,
    pub(super) country: String,
    pub(super) last4: String,
    pub(super) exp_month: u8,
    pub(super) exp_year: u16,
    fingerprint: String,
}

impl Card {
    /// The card with these checked digits; of the number only the last four are kept.
    pub(super) fn read(digits: &str, exp_month: u8, exp_year: u16, key: &hmac::Key) -> Self {
        match cards::by_number(digits) {
            Some(card) => Self::published(card, exp_month, exp_year),
            None => Self {
                code: cards::OTHER.to_owned(),
                brand: Brand::of(digits),
                funding: Funding::Credit,
                country: cards::country_of(digits).to_owned(),
                last4: last4(digits).to_owned(),
                exp_month,
                exp_year,
                fingerprint: letters(
                    hmac::sign(key, digits.as_bytes()).as_ref(),
                    FINGERPRINT_LETTERS,
                ),
            },
        }
    }

    /// A published test card.
    pub(super) fn published(card: &TestCard, exp_month: u8, exp_year: u16) -> Self {
        Self {
            code: card.code.to_owned(),
            brand: card.brand,
            funding: card.funding,
            country: card.country.to_owned(),
            last4: last4(card.number).to_owned(),
            exp_month,
            exp_year,
            fingerprint: letters(
                digest::digest(&digest::SHA256, card.code.as_bytes()).as_ref(),
                FINGERPRINT_LETTERS,
            ),
        }
    }

    /// The issuer has sent another card in its place: what it does stays, its number does not.
    pub(super) fn renumber(&mut self, last4: String) {
        self.last4 = last4;
        self.fingerprint = random(FINGERPRINT_LETTERS);
    }

    pub(super) fn fingerprint(&self) -> String {
        format!("Sbx{}", self.fingerprint)
    }

    pub(super) fn behaviour(&self) -> Option<Behaviour> {
        cards::behaviour_of(&self.code)
    }

    /// What the issuer finds when it checks the security code.
    pub(super) fn cvc_check(&self) -> &'static str {
        if self.code == cards::WRONG_CODE {
            "fail"
        } else {
            "pass"
        }
    }

    /// A new `PaymentMethod` id that says all of this.
    pub(super) fn new_id(&self) -> String {
        format!(
            "{PAYMENT_METHOD}{}{}{}{}{}{:02}{:02}{}{}",
            self.code,
            self.brand.letter(),
            self.funding.letter(),
            self.country,
            self.last4,
            self.exp_month,
            self.exp_year % 100,
            self.fingerprint,
            random(RANDOM_LETTERS),
        )
    }

    /// The card that a well-formed id of this sandbox names.
    pub(super) fn of_id(id: &str) -> Option<Self> {
        let rest = id.strip_prefix(PAYMENT_METHOD)?;
        let (code, rest) = rest.split_at_checked(2)?;
        let (brand, rest) = rest.split_at_checked(1)?;
        let (funding, rest) = rest.split_at_checked(1)?;
        let (country, rest) = rest.split_at_checked(2)?;
        let (last4, rest) = rest.split_at_checked(4)?;
        let (month, rest) = rest.split_at_checked(2)?;
        let (year, rest) = rest.split_at_checked(2)?;
        let (fingerprint, tail) = rest.split_at_checked(FINGERPRINT_LETTERS)?;
        let well_formed = cards::behaviour_of(code).is_some()
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && last4.bytes().all(|byte| byte.is_ascii_digit())
            && are_letters(fingerprint)
            && tail.len() == RANDOM_LETTERS
            && are_letters(tail);
        if !well_formed {
            return None;
        }
        Some(Self {
            code: code.to_owned(),
            brand: Brand::ALL
                .into_iter()
                .find(|known| brand.starts_with(known.letter()))?,
            funding: Funding::ALL
                .into_iter()
                .find(|known| funding.starts_with(known.letter()))?,
            country: country.to_owned(),
            last4: last4.to_owned(),
            exp_month: month
                .parse()
                .ok()
                .filter(|month| (1..=12).contains(month))?,
            exp_year: year.parse::<u16>().ok()?.checked_add(2_000)?,
            fingerprint: fingerprint.to_owned(),
        })
    }
}

fn last4(digits: &str) -> &str {
    digits
        .get(digits.len().saturating_sub(4)..)
        .unwrap_or("0000")
}

/// A new id: the prefix, `Sbx`, and letters, so that no id holds a run of digits like a card's.
pub(super) fn new(prefix: &str) -> String {
    format!("{prefix}Sbx{}", random(20))
}

pub(super) fn new_customer() -> String {
    format!("{CUSTOMER}{}", random(CUSTOMER_LETTERS))
}

/// Whether some sandbox may have made that customer.
pub(super) fn is_customer(id: &str) -> bool {
    id.strip_prefix(CUSTOMER)
        .is_some_and(|rest| rest.len() == CUSTOMER_LETTERS && are_letters(rest))
}

/// Random letters.
pub(super) fn random(count: usize) -> String {
    let mut bytes = [0_u8; 32];
    crate::random::fill(&mut bytes);
    letters(&bytes, count)
}

fn letters(bytes: &[u8], count: usize) -> String {
    bytes
        .iter()
        .take(count)
        .filter_map(|&byte| ALPHABET.get(usize::from(byte % 52)))
        .map(|&letter| char::from(letter))
        .collect()
}

fn are_letters(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[7; 32])
    }

    #[test]
    fn an_id_says_what_its_card_is_and_does() {
        for number in ["4242424242424242", "378282246310005", "4012888888881881"] {
            let card = Card::read(number, 7, 2031, &key());
            let id = card.new_id();
            assert_eq!(Card::of_id(&id), Some(card));
            assert!(!id.contains(number));
        }
    }

    #[test]
    fn what_is_not_exactly_an_id_names_no_card() {
        let id = Card::read("4242424242424242", 7, 2031, &key()).new_id();
        for cut in 0..id.len() {
            assert_eq!(Card::of_id(id.split_at(cut).0), None);
        }
        assert_eq!(Card::of_id(&format!("{id}A")), None);
        assert_eq!(Card::of_id(&id.replace("Sbxva", "Sbx??")), None);
        assert_eq!(Card::of_id("pm_1Sbxvaé"), None);
        assert!(is_customer(&new_customer()));
        assert!(!is_customer("cus_Sbx"));
    }

    #[test]
    fn a_published_card_keeps_its_fingerprint_and_another_number_does_not() {
        let other_life = hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]);
        let this_life = key();
        let print = |number, key: &hmac::Key| Card::read(number, 7, 2031, key).fingerprint();
        assert_eq!(
            print("4242424242424242", &this_life),
            print("4242424242424242", &other_life)
        );
        assert_eq!(
            print("4012888888881881", &this_life),
            print("4012888888881881", &this_life)
        );
        assert_ne!(
            print("4012888888881881", &this_life),
            print("4012888888881881", &other_life)
        );
        assert_ne!(
            print("4242424242424242", &this_life),
            print("5555555555554444", &this_life)
        );
    }
}
