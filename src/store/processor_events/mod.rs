//! What the processor reports under its signature: an inbox.
//!
//! The plane that meets the internet only writes events down, each once; the internal plane applies
//! them. Of a payment or a refund an event is no more than the reason to look at the processor, so
//! that events may come late, twice and in any order; what cannot be applied yet is kept and tried
//! again.

mod apply;
mod orders;

use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::events::record;
use super::owed::{self, Lease, Take};
use super::parse::{Reading, one_row};
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::mac::Mark;
use crate::token::{Account, CardSummary};

pub use apply::{Applied, Publish};
use orders::{order, take_out};

/// An event of the processor, as far as it concerns the store.
#[derive(Clone, Debug)]
pub struct ProcessorEvent {
    /// Whose processor account.
    pub account: Account,
    /// The processor's name of the event.
    pub id: String,
    /// When it happened, by the processor's clock.
    pub created_at: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// What it says; nothing where it does not concern us.
    pub report: Option<Report>,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// Something happened to a payment.
    Payment {
        /// The processor's name of it.
        payment: String,
        /// Our id of its charge, where it carries one.
        charge: Option<String>,
        /// How it stood then, in our word, where the event says.
        status: Option<String>,
        /// How much was taken then, in the currency's minor unit.
        captured: Option<i64>,
    },
    /// A refund began or changed.
    Refund {
        /// Its payment.
        payment: String,
        /// The processor's name of it.
        refund: String,
        /// How it stood then, in our word.
        status: String,
    },
    /// A dispute began or changed.
    Dispute {
        /// Its payment.
        payment: String,
        /// The processor's name of it.
        dispute: String,
        /// In the currency's minor unit.
        amount: i64,
        /// ISO 4217, lower case.
        currency: String,
        /// In the processor's word.
        reason: String,
        /// In the processor's word.
        status: String,
        /// Whether it is not decided.
        open: bool,
    },
    /// A card was renewed.
    Card {
        /// The keyed fingerprint of the processor's name of the card.
        reference: Reference,
        /// What the world may know of it now.
        card: CardSummary,
    },
    /// The issuer has agreed to a card: its shopper authenticated.
    Setup {
        /// The keyed fingerprint of the processor's name of the card.
        reference: Reference,
    },
    /// A card was detached at the processor.
    Detached {
        /// The keyed fingerprint of the processor's name of the card.
        reference: Reference,
    },
}

/// The keyed fingerprint of the processor's name of a card, under the present key and the previous
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    now: [u8; 32],
    also: [u8; 32],
}

impl From<Mark> for Reference {
    fn from(mark: Mark) -> Self {
        Self {
            now: mark.now,
            also: mark.also,
        }
    }
}

impl From<Reference> for Mark {
    fn from(reference: Reference) -> Self {
        Self {
            now: reference.now,
            also: reference.also,
        }
    }
}

/// Whether an event was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is written down.
    New,
    /// It came before.
    Again,
    /// It is written down, and concerns nothing here.
    Ignored,
}

/// An event that is due to be applied, with the lease of it.
#[derive(Debug)]
pub struct DueEvent {
    /// The right to end it.
    pub lease: Lease,
    /// Whose processor account.
    pub account: Account,
    /// The processor's name of it.
    pub id: String,
    /// When it happened, by the processor's clock.
    pub created_at: Timestamp,
    /// When it came.
    pub received_at: Timestamp,
    /// How often it was tried before.
    pub tries: u32,
    /// What it says; nothing where the row does not mean anything.
    pub report: Option<Report>,
}

impl Store {
    /// Writes an event down, once.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn receive_processor_event(
        &self,
        event: ProcessorEvent,
        audit: Event,
    ) -> Result<Received, Failure> {
        let body = event
            .report
            .as_ref()
            .map(serde_json::to_string)
            .transpose()
            .map_err(|refused| Failure::engine(&refused))?;
        self.write(move |tx| {
            Box::pin(async move {
                let pending = body.is_some();
                let whose = (event.account.as_str(), event.id.as_str());
                let proof = body
                    .as_deref()
                    .map(|body| order(tx.orders(), whose, (body, event.created_at)))
                    .map(|order| tx.orders().sign(&order))
                    .transpose()?;
                // The capture plane may only put it there: what came before stays as it is.
                let written = query(
                    "INSERT INTO processor_events (account, id, body, status, deliveries, tries, lease_until_ms, created_at_ms, received_at_ms, last_seen_at_ms, order_proof)
                     VALUES ($1, $2, $3, $4, 1, 0, $5, $6, $7, $7, $8)
                         ON CONFLICT (account, id) DO NOTHING",
                )
                .bind(event.account.as_str())
                .bind(&event.id)
                .bind(body)
                .bind(if pending { "pending" } else { "ignored" })
                .bind(pending.then_some(event.now.unix_ms()))
                .bind(event.created_at.unix_ms())
                .bind(event.now.unix_ms())
                .bind(proof)
                .execute(&mut *tx)
                .await?;
                if written == 0 {
                    return Ok(Received::Again);
                }
                record(tx, audit);
                Ok(if pending {
                    Received::New
                } else {
                    Received::Ignored
                })
            })
        })
        .await
    }

    /// Takes an account's events that are due to be applied.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_due_events(&self, take: Take) -> Result<Vec<DueEvent>, Failure> {
        if !self.is_due(&owed::PROCESSOR_EVENTS, &take).await? {
            return Ok(Vec::new());
        }
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut due = Vec::new();
                for (id, lease) in owed::PROCESSOR_EVENTS.take(tx, &take).await? {
                    let row: DueRow = query(
                        "SELECT body, tries, created_at_ms, received_at_ms, order_proof
                           FROM processor_events
                          WHERE account = $1 AND id = $2",
                    )
                    .bind(&take.scope)
                    .bind(&id)
                    .one(tx)
                    .await?;
                    let created_at = Timestamp::from_unix_ms(row.created_at_ms);
                    let body = row.body.unwrap_or_default();
                    let claimed = order(tx.orders(), (&take.scope, &id), (&body, created_at));
                    if !tx.orders().believes(&claimed, row.order_proof.as_deref()) {
                        take_out(tx, (&take.scope, &id), &body).await?;
                        continue;
                    }
                    let reading = Reading::new("processor_events", &id, environment);
                    due.push(DueEvent {
                        lease,
                        account: reading.account(take.scope.clone())?,
                        created_at,
                        received_at: Timestamp::from_unix_ms(row.received_at_ms),
                        tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
                        report: serde_json::from_str(&body).ok(),
                        id,
                    });
                }
                Ok(due)
            })
        })
        .await
    }

    /// Puts an event off that cannot be applied yet.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn defer_processor_event(
        &self,
        lease: Lease,
        (account, id): (&Account, String),
        until: Timestamp,
    ) -> Result<(), Failure> {
        let (account, token) = (account.clone(), lease.token());
        self.write(move |tx| {
            Box::pin(async move {
                query("UPDATE processor_events SET tries = tries + 1 WHERE account = $1 AND id = $2 AND lease_token = $3")
                    .bind(account.as_str())
                    .bind(&id)
                    .bind(token)
                    .execute(&mut *tx)
                    .await?;
                owed::PROCESSOR_EVENTS
                    .put_off(tx, (&id, account.as_str()), token, until)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Ends an event that is never going to be applied.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn give_up_processor_event(
        &self,
        lease: Lease,
        (account, id): (&Account, String),
    ) -> Result<(), Failure> {
        let (account, token) = (account.clone(), lease.token());
        self.write(move |tx| {
            Box::pin(async move { end(tx, (account.as_str(), &id), token, "given_up").await })
        })
        .await
    }
}

/// Ends an event whose lease the caller has; what it said is not kept any longer.
async fn end(
    tx: &mut Connection,
    (account, id): (&str, &str),
    token: i64,
    status: &'static str,
) -> Result<(), Failure> {
    let ended = query(
        "UPDATE processor_events
            SET status = $4, body = NULL, lease_until_ms = NULL, lease_token = NULL
          WHERE account = $1 AND id = $2 AND lease_token = $3",
    )
    .bind(account)
    .bind(id)
    .bind(token)
    .bind(status)
    .execute(tx)
    .await?;
    one_row(ended, "processor_events", &id)
}

row! {
    struct DueRow {
        body: Option<String>,
        tries: i64,
        created_at_ms: i64,
        received_at_ms: i64,
        order_proof: Option<Vec<u8>>,
    }
}
