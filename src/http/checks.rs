//! Checks of plain form fields: lengths, alphabets, and no card number where none belongs.

use std::collections::BTreeMap;

use crate::card::scan::stored;
use crate::problem::{Code, FieldError, Problem};

/// Members of a metadata object: the processor takes 50, of which two are ours, the charge's id and
/// the mark of its request.
pub const METADATA_MEMBERS_MAX: usize = 48;
/// Characters of a metadata name, as at the processor.
const METADATA_NAME_CHARS_MAX: usize = 40;
/// Characters of a metadata value, as at the processor.
const METADATA_VALUE_CHARS_MAX: usize = 500;

/// Collects what is wrong with a body, so that one answer tells all of it.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes that `pointer` is wrong unless `holds`.
    pub fn require(&mut self, holds: bool, pointer: &'static str, reason: &'static str) {
        if !holds {
            self.0.push(FieldError { pointer, reason });
        }
    }

    /// A text of 1 to `chars_max` characters without control characters, that holds no card number:
    /// shoppers do type them into name fields, and PCI DSS 3.3 does not ask which field it was.
    pub fn text(&mut self, pointer: &'static str, text: &str, chars_max: usize) {
        self.require(!text.is_empty(), pointer, "empty");
        self.require(is_within(text, chars_max), pointer, "too_long");
        self.require(
            !text.chars().any(char::is_control),
            pointer,
            "control_character",
        );
        self.require(!stored::contains(text), pointer, "card_number");
    }

    /// Like [`text`](Self::text), where there is one.
    pub fn optional_text(&mut self, pointer: &'static str, text: Option<&str>, chars_max: usize) {
        if let Some(text) = text {
            self.text(pointer, text, chars_max);
        }
    }

    /// A metadata object within the processor's limits.
    pub fn metadata(&mut self, metadata: &BTreeMap<String, String>) {
        const POINTER: &str = "/metadata";
        self.require(metadata.len() <= METADATA_MEMBERS_MAX, POINTER, "too_many");
        for (name, value) in metadata {
            self.text(POINTER, name, METADATA_NAME_CHARS_MAX);
            // The processor writes a pair as `metadata[name]`.
            self.require(!name.contains(['[', ']']), POINTER, "bracket_in_name");
            self.require(
                is_within(value, METADATA_VALUE_CHARS_MAX),
                POINTER,
                "too_long",
            );
            self.require(!stored::contains(value), POINTER, "card_number");
            self.require(!value.contains('\0'), POINTER, "control_character");
        }
    }

    /// An e-mail address as card processors take it: one `@`, a name before it, a domain with a dot
    /// behind it, no space. Whether it exists is not asked.
    pub fn email(&mut self, pointer: &'static str, text: &str) {
        let parts = text.split_once('@');
        let holds = parts.is_some_and(|(name, domain)| {
            let labels = domain.split('.');
            !name.is_empty()
                && !domain.contains('@')
                && domain.contains('.')
                && labels.into_iter().all(|label| !label.is_empty())
        });
        self.require(
            holds && !text.chars().any(char::is_whitespace),
            pointer,
            "not_an_email",
        );
    }

    /// What stands on a statement behind the merchant's own name: Latin characters with a letter
    /// among them, and none that the card networks refuse.
    pub fn descriptor_suffix(&mut self, pointer: &'static str, text: &str) {
        let is_letter = |letter: char| letter.is_ascii_alphabetic() || is_accented_latin(letter);
        let plain = |letter: char| letter == ' ' || letter.is_ascii_graphic() || is_letter(letter);
        self.require(
            text.chars().any(is_letter)
                && text.chars().all(plain)
                && !text.contains(['<', '>', '\\', '\'', '"', '*']),
            pointer,
            "not_valid",
        );
    }

    /// The verdict.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] with each fault once.
    pub fn verdict(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut told: Vec<FieldError> = Vec::new();
        for fault in self.0 {
            if !told.contains(&fault) {
                told.push(fault);
            }
        }
        Err(told
            .into_iter()
            .fold(Problem::new(Code::InvalidRequest), |problem, fault| {
                problem.at(fault.pointer, fault.reason)
            }))
    }
}

/// The contract counts characters, as JSON Schema and the processor do, not bytes.
fn is_within(text: &str, chars_max: usize) -> bool {
    text.chars().count() <= chars_max
}

/// Letters of Latin-1 and Latin Extended-A and -B.
const fn is_accented_latin(letter: char) -> bool {
    matches!(letter, 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ɏ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(check: impl FnOnce(&mut Checks)) -> bool {
        let mut checks = Checks::default();
        check(&mut checks);
        checks.verdict().is_err()
    }

    #[test]
    fn an_email_has_a_name_a_dotted_domain_and_no_space() {
        for text in ["a@b.example", "mehmet.öz+shop@mail.b.example", "a@b.c"] {
            assert!(!refused(|checks| checks.email("/e", text)), "{text}");
        }
        for text in [
            "mehmet@gmail",
            " a@b.example",
            "a@b.example ",
            "a b@c.example",
            "@b.example",
            "a@",
            "a@b@c.example",
            "a@.example",
            "a@b.",
            "a@b..example",
            "a",
        ] {
            assert!(refused(|checks| checks.email("/e", text)), "{text}");
        }
    }

    #[test]
    fn a_descriptors_suffix_is_latin() {
        for text in ["Shop 17", "Café 1", "Łódź-2"] {
            let refused = refused(|checks| checks.descriptor_suffix("/s", text));
            assert!(!refused, "{text}");
        }
        for text in [
            "Shop 😀",
            "Awesome Co™",
            "магазин",
            "123",
            "a*b",
            "a×b",
            "a\tb",
        ] {
            let refused = refused(|checks| checks.descriptor_suffix("/s", text));
            assert!(refused, "{text}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let thai = "ก".repeat(500);
        assert!(!refused(|checks| checks.text("/d", &thai, 500)));
        assert!(refused(|checks| checks.text("/d", &thai, 499)));
        let pairs = BTreeMap::from([("к".repeat(40), "Ж".repeat(500))]);
        assert!(!refused(|checks| checks.metadata(&pairs)));
    }

    #[test]
    fn metadata_leaves_room_for_our_own_pair_and_names_no_bracket() {
        let pairs = |count: usize| {
            (0..count)
                .map(|n| (format!("k{n}"), "v".to_owned()))
                .collect()
        };
        assert!(!refused(|checks| checks.metadata(&pairs(48))));
        assert!(refused(|checks| checks.metadata(&pairs(49))));
        for name in ["a[b]", "[", "a]"] {
            let pairs = BTreeMap::from([(name.to_owned(), String::new())]);
            assert!(refused(|checks| checks.metadata(&pairs)), "{name}");
        }
    }

    #[test]
    fn a_card_number_in_a_name_is_refused_and_not_repeated() {
        let mut checks = Checks::default();
        checks.text("/billing_details/name", "4242 4242 4242 4242", 200);
        let answer = checks.verdict().unwrap_err().body("r");
        assert!(
            answer.contains("card_number") && !answer.contains("4242"),
            "{answer}"
        );
    }

    #[test]
    fn metadata_is_bounded_and_each_fault_is_told_once() {
        let long = BTreeMap::from([
            ("a".repeat(41), "x".repeat(501)),
            ("b".repeat(41), String::new()),
        ]);
        let mut checks = Checks::default();
        checks.metadata(&long);
        assert_eq!(
            checks
                .verdict()
                .unwrap_err()
                .body("r")
                .matches("too_long")
                .count(),
            1
        );
        let many = (0..51).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        let mut checks = Checks::default();
        checks.metadata(&many);
        assert!(checks.verdict().is_err());
    }
}
