//! Which customers are told of an incident: each is one row for each channel, claimed before its
//! message begins and settled after it ended.
//!
//! One run at a time has the incident's lease. What a run had claimed when it was cut may or may
//! not have been sent: by mail it is `unknown` from then on, and stays so until somebody who has
//! looked at the mail server says otherwise; a webhook carries an id that its receiver knows again,
//! so it waits to be sent once more.

use super::row::NoticeRow;
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::connection::Connection;
use crate::store::events::record;
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{IncidentId, RunId};

/// What became of a customer's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeState {
    /// It is to be sent, or sent again.
    Waiting,
    /// The receiver has it.
    Told,
    /// The receiver refuses it for good, or it was tried too often.
    Refused,
    /// It was begun, and nobody knows how it ended.
    Unknown,
    /// Nobody said where the customer is.
    NoContact,
}

impl NoticeState {
    /// The name in the rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Told => "told",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::NoContact => "no_contact",
        }
    }
}

/// A run that tells customers by one channel.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The incident.
    pub incident: IncidentId,
    /// The run.
    pub id: RunId,
    /// `mail` or `webhook`.
    pub channel: &'static str,
    /// Now.
    pub now: Timestamp,
    /// Till when no other run tells.
    pub lease_until: Timestamp,
}

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeKey {
    /// Whose.
    pub account: String,
    /// The merchant's name for it.
    pub customer: String,
}

/// How one message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSettled {
    /// Whose message.
    pub key: NoticeKey,
    /// What became of it.
    pub state: NoticeState,
    /// The receiver's word: a short name.
    pub answer: String,
    /// Not before, where it is sent again.
    pub due: Timestamp,
}

impl Store {
    /// Takes the lease of an incident; false where another run has it or the incident is not open.
    /// What another run left claimed gets the state that is true of it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_notices(&self, run: Run, event: Event) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                if !lease(tx, &run).await? {
                    return Ok(false);
                }
                // Of a channel that was cut, whichever this run's is.
                query(
                    "UPDATE incident_notices
                        SET state = CASE channel WHEN 'mail' THEN 'unknown' ELSE 'waiting' END, answer = 'cut'
                      WHERE incident_id = $1 AND state = 'claimed'",
                )
                .bind(run.incident.to_string())
                .execute(&mut *tx)
                .await?;
                record(tx, event);
                Ok(true)
            })
        })
        .await
    }

    /// Owes a message to customers; those who are owed one already, or had it, stay as they are,
    /// but for those of whom it was not known where they are: they are asked for again.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn owe_notices(&self, run: Run, customers: Vec<NoticeKey>) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                for customer in customers {
                    query(
                        "INSERT INTO incident_notices (incident_id, channel, account, customer_ref, state, attempts, due_at_ms)
                         VALUES ($1, $2, $3, $4, 'waiting', 0, 0)
                             ON CONFLICT (incident_id, channel, account, customer_ref) DO UPDATE
                            SET state = 'waiting', settled_at_ms = NULL
                          WHERE incident_notices.state = 'no_contact'",
                    )
                    .bind(run.incident.to_string())
                    .bind(run.channel)
                    .bind(customer.account)
                    .bind(customer.customer)
                    .execute(&mut *tx)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Lets a message of which nobody knew how it ended be sent again; false where it is not one.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn release_notice(
        &self,
        run: Run,
        customer: NoticeKey,
        event: Event,
    ) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "UPDATE incident_notices
                        SET state = 'waiting', settled_at_ms = NULL
                      WHERE incident_id = $1 AND channel = $2 AND account = $3 AND customer_ref = $4 AND state = 'unknown'",
                )
                .bind(run.incident.to_string())
                .bind(run.channel)
                .bind(customer.account)
                .bind(customer.customer)
                .execute(&mut *tx)
                .await?;
                if written == 1 {
                    record(tx, event);
                }
                Ok(written == 1)
            })
        })
        .await
    }

    /// Claims at most `limit` messages that are due, each with how often it was begun, and keeps the
    /// lease; nothing where another run has it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn claim_notices(
        &self,
        run: Run,
        limit: u32,
    ) -> Result<Option<Vec<(NoticeKey, u32)>>, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                if !keep(tx, &run).await? {
                    return Ok(None);
                }
                let claimed: Vec<(String, String, i64)> = query(
                    "UPDATE incident_notices
                        SET state = 'claimed', attempts = attempts + 1
                      WHERE incident_id = $1 AND channel = $2 AND state = 'waiting'
                        AND (account, customer_ref) IN (
                            SELECT account, customer_ref
                              FROM incident_notices
                             WHERE incident_id = $1 AND channel = $2 AND state = 'waiting' AND due_at_ms <= $3
                             ORDER BY due_at_ms
                             LIMIT $4)
                  RETURNING account, customer_ref, attempts",
                )
                .bind(run.incident.to_string())
                .bind(run.channel)
                .bind(run.now.unix_ms())
                .bind(limit)
                .all(tx)
                .await?;
                let key = |(account, customer, attempts)| {
                    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
                    (NoticeKey { account, customer }, attempts)
                };
                Ok(Some(claimed.into_iter().map(key).collect()))
            })
        })
        .await
    }

    /// Keeps the lease while messages are under way; false where another run has it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn keep_notices(&self, run: Run) -> Result<bool, Failure> {
        self.write(move |tx| Box::pin(async move { keep(tx, &run).await }))
            .await
    }

    /// Writes how messages ended. What another run has called unknown meanwhile becomes known; a
    /// message that was told stays told.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn settle_notices(
        &self,
        run: Run,
        settled: Vec<NoticeSettled>,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                for one in settled {
                    settle(tx, &run, one).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// When the next message is due that waits; nothing where none does.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn next_notice(&self, run: Run) -> Result<Option<Timestamp>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let due: Option<i64> = query(
                    "SELECT due_at_ms
                       FROM incident_notices
                      WHERE incident_id = $1 AND channel = $2 AND state = 'waiting'
                      ORDER BY due_at_ms
                      LIMIT 1",
                )
                .bind(run.incident.to_string())
                .bind(run.channel)
                .scalar_if_any(connection)
                .await?;
                Ok(due.map(Timestamp::from_unix_ms))
            })
        })
        .await
    }

    /// The messages of a channel in the order of customers, behind `after`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn notices_of(
        &self,
        run: Run,
        after: NoticeKey,
        limit: u32,
    ) -> Result<Vec<NoticeRow>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                query(
                    "SELECT account, customer_ref, state, attempts, answer, settled_at_ms
                       FROM incident_notices
                      WHERE incident_id = $1 AND channel = $2 AND (account, customer_ref) > ($3, $4)
                      ORDER BY account, customer_ref
                      LIMIT $5",
                )
                .bind(run.incident.to_string())
                .bind(run.channel)
                .bind(after.account)
                .bind(after.customer)
                .bind(limit)
                .all(connection)
                .await
            })
        })
        .await
    }

    /// Gives the lease back, with the event of the run's end.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn end_notices(&self, run: Run, event: Event) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                query(
                    "UPDATE incidents
                        SET lease_until_ms = 0
                      WHERE id = $1 AND notifier = $2",
                )
                .bind(run.incident.to_string())
                .bind(run.id.to_string())
                .execute(&mut *tx)
                .await?;
                record(tx, event);
                Ok(())
            })
        })
        .await
    }
}

async fn lease(tx: &mut Connection, run: &Run) -> Result<bool, Failure> {
    let written = query(
        "UPDATE incidents
            SET notifier = $1, lease_until_ms = $2
          WHERE id = $3 AND closed_at_ms IS NULL AND lease_until_ms <= $4",
    )
    .bind(run.id.to_string())
    .bind(run.lease_until.unix_ms())
    .bind(run.incident.to_string())
    .bind(run.now.unix_ms())
    .execute(tx)
    .await?;
    Ok(written == 1)
}

/// A run keeps what it has, and never takes it back from another.
async fn keep(tx: &mut Connection, run: &Run) -> Result<bool, Failure> {
    let written = query(
        "UPDATE incidents
            SET lease_until_ms = $1
          WHERE id = $2 AND notifier = $3 AND closed_at_ms IS NULL",
    )
    .bind(run.lease_until.unix_ms())
    .bind(run.incident.to_string())
    .bind(run.id.to_string())
    .execute(tx)
    .await?;
    Ok(written == 1)
}

async fn settle(tx: &mut Connection, run: &Run, one: NoticeSettled) -> Result<(), Failure> {
    let is_over = one.state != NoticeState::Waiting;
    query(
        "UPDATE incident_notices
            SET state = $1, answer = $2, due_at_ms = $3, settled_at_ms = $4
          WHERE incident_id = $5 AND channel = $6 AND account = $7 AND customer_ref = $8
            AND (state = 'claimed' OR ($1 = 'told' AND state IN ('unknown', 'waiting')))",
    )
    .bind(one.state.name())
    .bind(one.answer)
    .bind(one.due.unix_ms())
    .bind(is_over.then(|| run.now.unix_ms()))
    .bind(run.incident.to_string())
    .bind(run.channel)
    .bind(one.key.account)
    .bind(one.key.customer)
    .execute(tx)
    .await?;
    // None where another run has settled it meanwhile.
    Ok(())
}
