//! A capture session, as its maker may see it later: without its secret.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::store::SessionRow;

/// A capture session as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionStatus {
    /// Its id.
    #[schema(example = "cs_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `capture_session`.
    object: &'static str,
    /// `open`; `completed`, when it has made its token; `expired`; or `exhausted`, when its attempts
    /// are used up.
    #[schema(example = "open")]
    status: &'static str,
    /// What it takes: `card`, or `security_code` of a saved one.
    collects: &'static str,
    /// The token that it has made; a card that the customer had already is the token of before. Of a
    /// session that takes a security code, the saved card's token.
    token: Option<String>,
    /// The merchant's own name for its customer.
    customer_ref: Option<String>,
    /// `off_session` or `on_session`.
    usage: &'static str,
    /// The origin of the page that shows the card form.
    origin: Option<String>,
    /// The merchant's own notes.
    metadata: BTreeMap<String, String>,
    /// What the hosted page shows, as the session was made with it.
    #[schema(value_type = Option<Object>)]
    presentation: Option<serde_json::Value>,
    /// How many posted cards it still takes; none once it has its token.
    attempts_left: u32,
    /// Goes up with each posted card and with what becomes of it: of two copies the one with the
    /// higher version is the newer.
    version: u64,
    /// RFC 3339.
    created_at: String,
    /// When it last took a card; RFC 3339.
    updated_at: String,
    /// From when on it takes no card; RFC 3339.
    expires_at: String,
}

impl SessionStatus {
    /// A session as it stands at that moment.
    #[must_use]
    pub fn of(row: &SessionRow, now: Timestamp) -> Self {
        Self {
            id: row.id.to_string(),
            object: "capture_session",
            status: status_of(row, now),
            collects: collects(row),
            token: row
                .token
                .or(row.security_code_of)
                .map(|token| token.to_string()),
            customer_ref: row.customer_ref.clone(),
            usage: row.usage.name(),
            origin: row.origin.clone(),
            metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
            presentation: row
                .presentation
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok()),
            // With a token, what is left is for repetitions of the post that made it.
            attempts_left: row.token.map_or(row.attempts_left, |_| 0),
            version: version_of(row),
            created_at: row.created_at.rfc3339(),
            updated_at: row.last_seen_at.rfc3339(),
            expires_at: row.expires_at.rfc3339(),
        }
    }
}

/// What a session takes.
#[must_use]
pub const fn collects(row: &SessionRow) -> &'static str {
    match row.security_code_of {
        None => "card",
        Some(_) => "security_code",
    }
}

/// An attempt under way may yet be given back, or make the token: until it ends the session is open.
fn status_of(row: &SessionRow, now: Timestamp) -> &'static str {
    let busy = row.busy_until.is_some_and(|until| until > now);
    if row.token.is_some() {
        "completed"
    } else if busy {
        "open"
    } else if row.expires_at <= now {
        "expired"
    } else if row.attempts_left == 0 {
        "exhausted"
    } else {
        "open"
    }
}

/// One for the session, two for each attempt, of which the one under way has only its first, and one
/// for the token.
fn version_of(row: &SessionRow) -> u64 {
    let attempts = u64::from(row.attempts_made).saturating_mul(2);
    let made = attempts
        .saturating_add(1)
        .saturating_add(u64::from(row.token.is_some()));
    made.saturating_sub(u64::from(row.busy_until.is_some()))
}
