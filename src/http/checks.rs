//! Checks of plain form fields: lengths, alphabets, and no card number where none belongs.

use std::collections::BTreeMap;

use crate::card::scan;
use crate::problem::{Code, FieldError, Problem};

/// Members of a metadata object, as at the processor.
pub const METADATA_MEMBERS_MAX: usize = 50;
/// Bytes of a metadata name.
const METADATA_NAME_BYTES_MAX: usize = 40;
/// Bytes of a metadata value.
const METADATA_VALUE_BYTES_MAX: usize = 500;

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

    /// A text of 1 to `bytes_max` bytes without control characters, that holds no card number:
    /// shoppers do type them into name fields, and PCI DSS 3.3 does not ask which field it was.
    pub fn text(&mut self, pointer: &'static str, text: &str, bytes_max: usize) {
        self.require(!text.is_empty(), pointer, "empty");
        self.require(text.len() <= bytes_max, pointer, "too_long");
        self.require(
            !text.chars().any(char::is_control),
            pointer,
            "control_character",
        );
        self.require(!scan::contains(text), pointer, "card_number");
    }

    /// Like [`text`](Self::text), where there is one.
    pub fn optional_text(&mut self, pointer: &'static str, text: Option<&str>, bytes_max: usize) {
        if let Some(text) = text {
            self.text(pointer, text, bytes_max);
        }
    }

    /// A metadata object within the processor's limits.
    pub fn metadata(&mut self, metadata: &BTreeMap<String, String>) {
        const POINTER: &str = "/metadata";
        self.require(metadata.len() <= METADATA_MEMBERS_MAX, POINTER, "too_many");
        for (name, value) in metadata {
            self.text(POINTER, name, METADATA_NAME_BYTES_MAX);
            self.require(value.len() <= METADATA_VALUE_BYTES_MAX, POINTER, "too_long");
            self.require(!scan::contains(value), POINTER, "card_number");
            self.require(!value.contains('\0'), POINTER, "control_character");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
