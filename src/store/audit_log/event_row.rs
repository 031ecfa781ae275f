//! The columns of an event, which may be gone.

use crate::audit::leaf::{Columns, Line};
use crate::store::Failure;
use crate::store::row::{Cells, Column, Row, row};

row! {
    pub(super) struct EventRow {
        id: Option<String>,
        at_ms: Option<i64>,
        actor_kind: Option<String>,
        actor: Option<String>,
        action: Option<String>,
        outcome: Option<String>,
        account: Option<String>,
        subject: Option<String>,
        origin: Option<String>,
        node: Option<String>,
        writer: Option<String>,
        request_id: Option<String>,
    }
}

/// They stand in a row of another statement.
impl Column for EventRow {
    fn read(cells: &mut Cells<'_>, _: Option<&'static str>) -> Result<Self, Failure> {
        <Self as Row>::read(cells)
    }
}

/// What a statement selects for an [`EventRow`], of `audit_events e`.
macro_rules! event_columns {
    () => {
        "e.id, e.at_ms, e.actor_kind, e.actor, e.action, e.outcome, e.account, e.subject, e.origin, e.node, e.writer, e.request_id"
    };
}
pub(super) use event_columns;

impl EventRow {
    /// The event's line; nothing where there is no event.
    pub(super) fn line(self) -> Option<Line<'static>> {
        let text = Option::unwrap_or_default;
        let columns = Columns {
            at_ms: self.at_ms.unwrap_or_default(),
            actor: (text(self.actor_kind), self.actor),
            act: (text(self.action), text(self.outcome)),
            data: (self.account, self.subject),
            place: (text(self.origin), text(self.node), self.request_id),
            writer: self.writer,
        };
        self.id.map(|id| Line::of_columns(id, columns))
    }
}
