//! An event of the feed; webhooks carry the same form (Standard Webhooks: type, timestamp, data).

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::News;

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its id, and its place in the feed: ask for what came `after` it.
    #[schema(example = "evt_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `event`.
    object: &'static str,
    /// `token.created`, `token.updated`, `token.deleted`, `charge.` or `refund.` and a status,
    /// `dispute.opened`, `dispute.updated`, `dispute.closed`.
    r#type: String,
    /// RFC 3339.
    timestamp: String,
    /// The token, charge, refund or dispute as it was then.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

impl Event {
    /// An event.
    #[must_use]
    pub fn of(news: &News) -> Self {
        Self {
            id: news.id.to_string(),
            object: "event",
            r#type: news.kind.clone(),
            timestamp: news.at.rfc3339(),
            data: serde_json::from_str(&news.data).unwrap_or_default(),
        }
    }
}

/// A page of the feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventPage {
    /// Always `list`.
    object: &'static str,
    /// Oldest first.
    data: Vec<Event>,
    /// Whether there are newer ones already: ask again with `after` the last id.
    has_more: bool,
}

impl EventPage {
    /// A page.
    #[must_use]
    pub fn of(news: &[News], has_more: bool) -> Self {
        Self {
            object: "list",
            data: news.iter().map(Event::of).collect(),
            has_more,
        }
    }
}
