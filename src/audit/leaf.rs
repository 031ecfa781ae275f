//! The one line that an event is in the log, and its leaf hash.
//!
//! The line is JSON with these keys in this order, without a space, absent values as `null`, and
//! characters beyond ASCII as themselves: `serde_json`'s compact form. Its bytes, without a line
//! break, are the leaf of RFC 6962, so whoever holds an exported line can hash it. Lines of version
//! 1, of before events named their writer, have no `writer`.

use std::borrow::Cow;

use serde::Serialize;

use super::tree::{Hash, leaf_hash};
use super::{Event, Writer};
use crate::token::Account;

/// The version of a line without a writer, and of one with it; another set of keys is another version.
const VERSION_WITHOUT_WRITER: u8 = 1;
const VERSION: u8 = 2;

/// An event as the log has it, column by column, whether it means anything or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line<'a> {
    v: u8,
    /// The event's name.
    pub id: Cow<'a, str>,
    /// When, ms since 1970.
    pub at_ms: i64,
    /// What kind of actor.
    pub actor_kind: Cow<'a, str>,
    /// Which one of its kind.
    pub actor: Option<Cow<'a, str>>,
    /// What was done.
    pub action: Cow<'a, str>,
    /// Whether it was done.
    pub outcome: Cow<'a, str>,
    /// Whose data.
    pub account: Option<Cow<'a, str>>,
    /// The affected data.
    pub subject: Option<Cow<'a, str>>,
    /// The peer's address.
    pub origin: Cow<'a, str>,
    /// Which process saw it.
    pub node: Cow<'a, str>,
    /// What kind of process wrote it: [`Writer`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer: Option<Cow<'a, str>>,
    /// The request it belongs to.
    pub request_id: Option<Cow<'a, str>>,
}

/// The columns of an event that were read, in the order of the line.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// When, ms since 1970.
    pub at_ms: i64,
    /// What kind of actor, and which.
    pub actor: (String, Option<String>),
    /// What was done, and whether.
    pub act: (String, String),
    /// Whose data, and which.
    pub data: (Option<String>, Option<String>),
    /// From where, seen by whom, in which request.
    pub place: (String, String, Option<String>),
    /// What kind of process wrote it.
    pub writer: Option<String>,
}

impl Line<'_> {
    /// The line of the event of that name in those columns.
    #[must_use]
    pub fn of_columns(id: String, columns: Columns) -> Line<'static> {
        let Columns {
            at_ms,
            actor: (actor_kind, actor),
            act: (action, outcome),
            data: (account, subject),
            place: (origin, node, request_id),
            writer,
        } = columns;
        Line {
            v: if writer.is_some() {
                VERSION
            } else {
                VERSION_WITHOUT_WRITER
            },
            id: id.into(),
            at_ms,
            actor_kind: actor_kind.into(),
            actor: actor.map(Cow::Owned),
            action: action.into(),
            outcome: outcome.into(),
            account: account.map(Cow::Owned),
            subject: subject.map(Cow::Owned),
            origin: origin.into(),
            node: node.into(),
            writer: writer.map(Cow::Owned),
            request_id: request_id.map(Cow::Owned),
        }
    }

    /// The line's bytes.
    #[must_use]
    pub fn text(&self) -> String {
        // Strings and numbers; nothing that the writer could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Its leaf hash.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        leaf_hash(self.text().as_bytes())
    }
}

impl<'a> Line<'a> {
    /// The line of an event that such a process writes.
    #[must_use]
    pub fn of(event: &'a Event, writer: Writer) -> Self {
        let text = |text: &'a str| Cow::Borrowed(text);
        Self {
            v: VERSION,
            id: event.id.to_string().into(),
            at_ms: event.at.unix_ms(),
            actor_kind: text(event.actor.kind()),
            actor: event.actor.name().map(text),
            action: text(event.action.name()),
            outcome: text(event.outcome.name()),
            account: event.account.as_ref().map(Account::as_str).map(text),
            subject: event.subject.as_deref().map(text),
            origin: text(&event.origin),
            node: text(&event.node),
            writer: Some(text(writer.name())),
            request_id: event.request_id.as_deref().map(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, Outcome};
    use crate::clock::Timestamp;
    use crate::token::{Environment, EventId};

    #[test]
    fn the_line_of_an_event_and_of_its_columns_is_the_documented_one() {
        let at = Timestamp::from_unix_ms(1_795_400_000_123);
        let event = Event {
            id: EventId::new(Environment::Test, at),
            actor: Actor::Client("spiffe://shop.example/\"büro\"".into()),
            action: Action::TokenRead,
            at,
            outcome: Outcome::Success,
            origin: "10.0.0.7".into(),
            subject: Some("test_tok_1".into()),
            account: None,
            node: "pay-1".into(),
            request_id: None,
        };
        let id = event.id.to_string();
        let expected = format!(
            r#"{{"v":2,"id":"{id}","at_ms":1795400000123,"actor_kind":"client","actor":"spiffe://shop.example/\"büro\"","action":"token.read","outcome":"success","account":null,"subject":"test_tok_1","origin":"10.0.0.7","node":"pay-1","writer":"internal","request_id":null}}"#
        );
        let written = Line::of(&event, Writer::Internal);
        assert_eq!(written.text(), expected);
        let columns = Columns {
            at_ms: 1_795_400_000_123,
            actor: (
                "client".into(),
                Some("spiffe://shop.example/\"büro\"".into()),
            ),
            act: ("token.read".into(), "success".into()),
            data: (None, Some("test_tok_1".into())),
            place: ("10.0.0.7".into(), "pay-1".into(), None),
            writer: Some("internal".into()),
        };
        let line = Line::of_columns(id.clone(), columns.clone());
        assert_eq!(line, written);
        assert_eq!(line.leaf(), leaf_hash(expected.as_bytes()));
        let before = Columns {
            writer: None,
            ..columns
        };
        let without = expected
            .replace(r#""v":2"#, r#""v":1"#)
            .replace(r#","writer":"internal""#, "");
        assert_eq!(Line::of_columns(id, before).text(), without);
    }
}
