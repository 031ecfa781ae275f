//! Incidents: opened and closed, what they may have exposed, and which customers were told.

mod exposed;
mod notices;
mod row;

pub use self::exposed::Exposed;
pub use self::notices::{NoticeKey, NoticeSettled, NoticeState, Run};
pub use self::row::NoticeRow;
use super::events::{record, record_refused};
use super::orders::{Authentic, Forged, Orders, quarantine};
use super::parse::{Reading, one_row};
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
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
                let id = new.id.to_string();
                let order = order(tx.orders(), (&id, &new.title), new.at);
                let proof = tx.orders().sign(&order)?;
                let written = query(
                    "INSERT INTO incidents (id, title, opened_by, opened_at_ms, lease_until_ms, order_proof)
                     VALUES ($1, $2, $3, $4, 0, $5)",
                )
                .bind(id)
                .bind(new.title)
                .bind(new.by)
                .bind(new.at.unix_ms())
                .bind(proof)
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

    /// The incident of that id, as the row says it: a claim, which is told to nobody.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Failure> {
        let row = self.incident_row(id).await?;
        row.map(|row| row.read(self.environment)).transpose()
    }

    /// The incident of that id, where an operator opened it; what somebody else wrote there is
    /// quarantined, and told to no customer.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn opened_incident(
        &self,
        id: IncidentId,
    ) -> Result<Option<Authentic<Incident>>, Failure> {
        let Some(mut row) = self.incident_row(id).await? else {
            return Ok(None);
        };
        let proof = row.order_proof.take();
        let incident = row.read(self.environment)?;
        let about = (&*id.to_string(), &*incident.title);
        let order = order(&self.orders, about, incident.opened_at);
        if self.orders.believes(&order, proof.as_deref()) {
            return Ok(Some(Authentic::ordered(incident)));
        }
        let forged = Forged {
            table: "incidents",
            row: id.to_string(),
        };
        let title = incident.title;
        self.write(move |tx| Box::pin(async move { quarantine(tx, &forged, Some(&title)).await }))
            .await?;
        Ok(None)
    }

    async fn incident_row(&self, id: IncidentId) -> Result<Option<Row>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                query(
                    "SELECT id, title, opened_at_ms, closed_at_ms, order_proof
                       FROM incidents
                      WHERE id = $1",
                )
                .bind(id.to_string())
                .optional(connection)
                .await
            })
        })
        .await
    }
}

/// The order to tell customers of an incident: what it is called, and when it was opened.
fn order(orders: &Orders, (id, title): (&str, &str), opened_at: Timestamp) -> Order {
    orders
        .order(Kind::Incident)
        .text(id)
        .text(title)
        .number(opened_at.unix_ms())
}

row! {
    struct Row {
        id: String,
        title: String,
        opened_at_ms: i64,
        closed_at_ms: Option<i64>,
        order_proof: Option<Vec<u8>>,
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
