//! An alert in words: the JSON of a webhook and the text of a mail.

use serde::Serialize;

use super::Raised;
use crate::token::Environment;

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: String,
    environment: &'static str,
    node: &'a str,
    name: &'a str,
    severity: &'a str,
    subject: &'a str,
    seen: &'a str,
    next_step: &'a str,
}

/// The body of the webhook, in the form that Standard Webhooks recommends.
pub(super) fn json(raised: &Raised, environment: Environment) -> Vec<u8> {
    let document = Document {
        r#type: "alert.raised",
        timestamp: raised.at.rfc3339(),
        data: Data {
            id: raised.id.to_string(),
            environment: environment.name(),
            node: &raised.node,
            name: &raised.name,
            severity: &raised.severity,
            subject: &raised.subject,
            seen: &raised.seen,
            next_step: &raised.next_step,
        },
    };
    serde_json::to_vec(&document).unwrap_or_default()
}

/// The subject of the mail: one line, whatever stands in the alert.
pub(super) fn line(raised: &Raised, environment: Environment) -> String {
    let line = format!(
        "[cloakroom {}] {}: {}: {}",
        environment.name(),
        raised.severity,
        raised.name,
        raised.subject
    );
    line.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(200)
        .collect()
}

/// The text of the mail.
pub(super) fn text(raised: &Raised, environment: Environment) -> String {
    format!(
        "Alert: {}\nSeverity: {}\nAbout: {}\nSeen: {}\nWhen: {}\nWhere: {} ({})\nId: {}\n\nWhat to do next: {}\n",
        raised.name,
        raised.severity,
        raised.subject,
        raised.seen,
        raised.at.rfc3339(),
        raised.node,
        environment.name(),
        raised.id,
        raised.next_step,
    )
}
