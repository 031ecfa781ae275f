//! Incidents: opened and closed, what they may have exposed, and which customers were told.

mod exposed;
mod notices;
mod row;

pub use self::exposed::Exposed;
pub use self::notices::{NoticeKey, NoticeSettled, NoticeState, Run};
pub use self::row::NoticeRow;
use super::events::{record, record_refused};
use super::parse::{Reading, one_row};
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::IncidentId;

/// An incident to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIncident {
    /// Its id.
    pub id: IncidentId,
    /// What it is called.
    pub title: String,
    /// Who opens it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What it is called.
    pub title: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

impl Store {
    /// Opens an incident.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn open_incident(&self, new: NewIncident, event: Event) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "INSERT INTO incidents (id, title, opened_by, opened_at_ms, lease_until_ms)
                     VALUES ($1, $2, $3, $4, 0)",
                )
                .bind(new.id.to_string())
                .bind(new.title)
                .bind(new.by)
                .bind(new.at.unix_ms())
                .execute(&mut *tx)
                .await?;
                one_row(written, "incidents", &new.id)?;
                record(tx, event);
                Ok(())
            })
        })
        .await
    }

    /// Closes an incident; false where it is not open.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn close_incident(
        &self,
        id: IncidentId,
        by: String,
        now: Timestamp,
        event: Event,
    ) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "UPDATE incidents
                        SET closed_by = $1, closed_at_ms = $2
                      WHERE id = $3 AND closed_at_ms IS NULL",
                )
                .bind(by)
                .bind(now.unix_ms())
                .bind(id.to_string())
                .execute(&mut *tx)
                .await?;
                let was_open = written == 1;
                if was_open {
                    record(tx, event);
                } else {
                    record_refused(tx, event);
                }
                Ok(was_open)
            })
        })
        .await
    }

    /// The incident of that id.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let row: Option<Row> = query(
                    "SELECT id, title, opened_at_ms, closed_at_ms
                       FROM incidents
                      WHERE id = $1",
                )
                .bind(id.to_string())
                .optional(connection)
                .await?;
                row.map(|row| row.read(environment)).transpose()
            })
        })
        .await
    }
}

row! {
    struct Row {
        id: String,
        title: String,
        opened_at_ms: i64,
        closed_at_ms: Option<i64>,
    }
}

impl Row {
    fn read(self, environment: crate::token::Environment) -> Result<Incident, Failure> {
        let reading = Reading::new("incidents", &self.id, environment);
        Ok(Incident {
            id: reading.id("id", &self.id)?,
            title: self.title,
            opened_at: Timestamp::from_unix_ms(self.opened_at_ms),
            closed_at: self.closed_at_ms.map(Timestamp::from_unix_ms),
        })
    }
}
