//! What a customer is told: a template with places, and the JSON of the webhook; and the list of
//! where customers are.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::BufRead;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// A customer whom an incident touched, with the tokens: one line of a scope's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// Whose.
    pub account: String,
    /// The merchant's name for the customer.
    pub customer: String,
    /// Its tokens that were touched.
    pub tokens: Vec<String>,
}

/// What is the same in all letters of an incident.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The incident's id.
    pub incident: String,
    /// What it is called.
    pub title: String,
    /// When it was opened, RFC 3339.
    pub opened_at: String,
    /// `test` or `live`.
    pub environment: &'static str,
}

/// The text of a mail with places: `{{title}}`.
#[derive(Debug)]
pub struct Template {
    subject: String,
    text: String,
}

/// Why a template or a list of contacts is not taken. Addresses are never part of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No subject on the first line.
    #[error("a template begins with a line `Subject: …`, an empty line, and the text")]
    Subject,
    /// A place that means nothing.
    #[error(
        "the template has a place that is not one of {{{{incident}}}}, {{{{title}}}}, \
         {{{{opened_at}}}}, {{{{account}}}}, {{{{customer}}}}, {{{{tokens}}}}"
    )]
    Place,
    /// A line of contacts that is none.
    #[error("line {0} of the contacts is not {{\"account\":…,\"customer\":…,\"email\":…}}")]
    Contact(usize),
}

impl Template {
    /// Reads a template, and tries it.
    ///
    /// # Errors
    /// [`Refused::Subject`] and [`Refused::Place`].
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let (first, rest) = text.split_once('\n').ok_or(Refused::Subject)?;
        let subject = first.strip_prefix("Subject: ").ok_or(Refused::Subject)?;
        let text = rest.strip_prefix('\n').ok_or(Refused::Subject)?;
        let mut left = format!("{subject}\n{text}");
        for place in [
            "incident",
            "title",
            "opened_at",
            "account",
            "customer",
            "tokens",
        ] {
            left = left.replace(&place_of(place), "");
        }
        if left.contains("{{") {
            return Err(Refused::Place);
        }
        Ok(Self {
            subject: subject.trim().to_owned(),
            text: text.to_owned(),
        })
    }

    /// Subject and text for one customer.
    #[must_use]
    pub fn fill(&self, heading: &Heading, affected: &Affected) -> (String, String) {
        let values = [
            ("incident", heading.incident.clone()),
            ("title", heading.title.clone()),
            ("opened_at", heading.opened_at.clone()),
            ("account", affected.account.clone()),
            ("customer", affected.customer.clone()),
            ("tokens", affected.tokens.join("\n")),
        ];
        let subject: String = filled(&self.subject, &values)
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        (subject, filled(&self.text, &values))
    }
}

fn place_of(name: &str) -> String {
    format!("{{{{{name}}}}}")
}

/// Each place once, from left to right: what a value contains is not looked at again.
fn filled(text: &str, values: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = behind.split_once("}}") else {
            break;
        };
        let value = values.iter().find(|(place, _)| *place == name);
        out.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    timestamp: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    incident: &'a str,
    title: &'a str,
    environment: &'a str,
    account: &'a str,
    customer_ref: &'a str,
    tokens: &'a [String],
}

/// The kind of the webhook that tells of a customer.
pub const AFFECTED: &str = "incident.customer_affected";
/// The kind of the webhook that asks where a customer is.
pub const CONTACT_WANTED: &str = "incident.contact_wanted";

/// The body of a webhook of that kind, the same in every attempt.
#[must_use]
pub fn document(kind: &'static str, heading: &Heading, affected: &Affected) -> Vec<u8> {
    let document = Document {
        r#type: kind,
        timestamp: &heading.opened_at,
        data: Data {
            incident: &heading.incident,
            title: &heading.title,
            environment: heading.environment,
            account: &affected.account,
            customer_ref: &affected.customer,
            tokens: &affected.tokens,
        },
    };
    serde_json::to_vec(&document).unwrap_or_default()
}

/// The message's name, the same in every attempt and every run, which does not tell the customer's.
#[must_use]
pub fn message_id(incident: &str, account: &str, customer: &str) -> String {
    let named = format!("{incident}\n{account}\n{customer}");
    let hash = digest::digest(&digest::SHA256, named.as_bytes());
    let mut id = format!("{incident}-");
    for byte in hash.as_ref().iter().take(16) {
        // Writing into a string does not fail.
        let _written = write!(id, "{byte:02x}");
    }
    id
}

/// What a merchant answers who is asked where a customer is; `null` where nobody knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whereabouts {
    email: Option<String>,
}

/// Reads a merchant's answer; nothing where it is none.
#[must_use]
pub fn whereabouts(answer: &[u8]) -> Option<Option<String>> {
    let read: Whereabouts = serde_json::from_slice(answer).ok()?;
    Some(read.email)
}

/// Where customers are, in memory only.
pub struct Contacts(HashMap<(String, String), String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contact {
    account: String,
    customer: String,
    email: String,
}

impl Contacts {
    /// Reads JSON lines.
    ///
    /// # Errors
    /// [`Refused::Contact`] with the number of the line.
    pub fn read(lines: impl BufRead) -> Result<Self, Refused> {
        let mut contacts = HashMap::new();
        for (number, line) in (1_usize..).zip(lines.lines()) {
            let line = line.map_err(|_| Refused::Contact(number))?;
            let contact: Contact =
                serde_json::from_str(&line).map_err(|_| Refused::Contact(number))?;
            contacts.insert((contact.account, contact.customer), contact.email);
        }
        Ok(Self(contacts))
    }

    /// Where a customer is.
    #[must_use]
    pub fn of(&self, affected: &Affected) -> Option<&str> {
        let name = (affected.account.clone(), affected.customer.clone());
        self.0.get(&name).map(String::as_str)
    }
}

impl std::fmt::Debug for Contacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contacts(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Affected {
        Affected {
            account: "shop".into(),
            customer: "ann {{title}}".into(),
            tokens: vec!["tok_1".into(), "tok_2".into()],
        }
    }

    fn heading() -> Heading {
        Heading {
            incident: "inc_1".into(),
            title: "A lost laptop".into(),
            opened_at: "2026-11-23T10:00:00Z".into(),
            environment: "test",
        }
    }

    #[test]
    fn a_letter_has_its_values_and_a_value_is_not_a_template() {
        let template = "Subject: {{title}}\n\nDear {{customer}},\n{{tokens}}\n";
        let template = Template::parse(template).unwrap();
        let (subject, text) = template.fill(&heading(), &ann());
        assert_eq!(subject, "A lost laptop");
        assert_eq!(text, "Dear ann {{title}},\ntok_1\ntok_2\n");
    }

    #[test]
    fn a_template_without_subject_or_with_an_unknown_place_is_refused() {
        for (text, refused) in [
            ("Dear customer,\n\nhello", Refused::Subject),
            ("Subject: x\nno empty line", Refused::Subject),
            ("Subject: x\n\n{{pan}}", Refused::Place),
            ("Subject: {{titel}}\n\nx", Refused::Place),
        ] {
            assert_eq!(Template::parse(text).unwrap_err(), refused);
        }
    }

    #[test]
    fn contacts_are_found_by_name_and_a_wrong_line_is_named_without_its_text() {
        let line = r#"{"account":"shop","customer":"ann {{title}}","email":"ann@example.com"}"#;
        let contacts = Contacts::read(line.as_bytes()).unwrap();
        assert_eq!(contacts.of(&ann()), Some("ann@example.com"));
        assert!(!format!("{contacts:?}").contains("ann"));
        let wrong = format!("{line}\nbob@example.com");
        let refused = Contacts::read(wrong.as_bytes()).unwrap_err();
        assert_eq!(refused, Refused::Contact(2));
        assert!(!refused.to_string().contains("bob"));
    }

    #[test]
    fn a_merchants_answer_is_an_address_or_nobody_knows_and_nothing_else() {
        let known = whereabouts(br#"{"email":"ann@example.com"}"#);
        assert_eq!(known, Some(Some("ann@example.com".to_owned())));
        assert_eq!(whereabouts(br#"{"email":null}"#), Some(None));
        for other in [
            &b"ann@example.com"[..],
            b"[]",
            b"",
            br#"{"mail":"x"}"#,
            br#"{"email":1}"#,
        ] {
            assert_eq!(whereabouts(other), None);
        }
    }

    #[test]
    fn a_message_has_one_name_which_is_not_its_customers() {
        let id = message_id("inc_1", "shop", "ann");
        assert_eq!(id, message_id("inc_1", "shop", "ann"));
        assert_ne!(id, message_id("inc_1", "shop", "bob"));
        assert!(id.len() == 38 && !id.contains("ann"));
    }
}
