//! The outbox: what happened is written with what it tells of, gets its place in the feed after
//! that commit, and is delivered to each endpoint at least once.
//!
//! What is published carries the proof of who ordered it; without one it is not told to anybody.
//!
//! Places are given after the commit, one numbering at a time, so that a reader of the feed never
//! passes by an event that was committed late; and in the order of writing, which for one object is
//! the order of its changes, behind the lock of its row, whatever the nodes' clocks say.

mod orders;
mod places;

use self::orders::{Row, forged, order};
use super::connection::Connection;
use super::orders::{Authentic, set_aside};
use super::owed::{self, Lease, Take};
use super::parse::{Reading, one_row};
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::token::{Account, EventId};

/// Something that happened, for those who are told.
#[derive(Clone, PartialEq, Eq)]
pub struct News {
    /// Its id.
    pub id: EventId,
    /// Who is told.
    pub account: Account,
    /// What happened: `charge.succeeded`.
    pub kind: String,
    /// The object as the interface shows it: the text of a JSON object.
    pub data: String,
    /// When.
    pub at: Timestamp,
}

super::parse::quiet_debug! {
    News { id, account, kind }
}

/// An endpoint that is told of an account's news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Whose news.
    pub account: Account,
    /// Its name in the configuration.
    pub endpoint: String,
    /// Which kinds; all where nothing is said.
    pub kinds: Option<Vec<String>>,
}

/// A delivery that is due, with the lease of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Due {
    /// The right to end it.
    pub lease: Lease,
    /// What is told.
    pub news: Authentic<News>,
    /// Who is told.
    pub endpoint: String,
    /// How often it was tried before.
    pub attempts: u32,
}

/// How a try to deliver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What was told.
    pub event: EventId,
    /// To whom.
    pub endpoint: String,
    /// The answer's status code, or a reason: a short name.
    pub answer: String,
    /// Whether it was taken.
    pub taken: bool,
    /// When to try again; nothing when there is no more trying.
    pub next: Option<Timestamp>,
    /// Now.
    pub at: Timestamp,
}

/// Writes `news` in the transaction of what it tells of.
pub(super) async fn tell(tx: &mut Connection, news: &News) -> Result<(), Failure> {
    let proof = tx.orders().sign(&order(tx.orders(), news))?;
    let written = query(
        "INSERT INTO events (id, account, kind, data, created_at_ms, order_proof)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(news.id.to_string())
    .bind(news.account.as_str())
    .bind(&news.kind)
    .bind(&news.data)
    .bind(news.at.unix_ms())
    .bind(proof)
    .execute(tx)
    .await?;
    one_row(written, "events", &news.id)
}

impl Store {
    /// The news of `account` behind `after`, oldest first; nothing where `after` is none of its
    /// news, or has no place any more.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn news(
        &self,
        account: &Account,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Option<Vec<News>>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let orders = self.orders.clone();
        self.read(move |connection| {
            Box::pin(async move {
                let place: i64 = match after {
                    None => 0,
                    Some(after) => {
                        let place: Option<i64> = query(
                            "SELECT seq FROM events
                              WHERE id = $1 AND account = $2 AND seq IS NOT NULL",
                        )
                        .bind(after.to_string())
                        .bind(account.as_str())
                        .scalar_if_any(connection)
                        .await?;
                        match place {
                            Some(place) => place,
                            None => return Ok(None),
                        }
                    }
                };
                let rows: Vec<Row> = query(
                    "SELECT id, account, kind, data, created_at_ms, order_proof
                       FROM events
                      WHERE account = $1 AND seq > $2
                      ORDER BY seq
                      LIMIT $3",
                )
                .bind(account.as_str())
                .bind(place)
                .bind(limit)
                .all(connection)
                .await?;
                let believed = |row: Row| {
                    let news = row.believed(&orders, environment);
                    news.map(Authentic::into_claim)
                };
                Ok(Some(rows.into_iter().filter_map(believed).collect()))
            })
        })
        .await
    }

    /// Takes deliveries to an endpoint that are due.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn lease_deliveries(&self, take: Take) -> Result<Vec<Due>, Failure> {
        let environment = self.environment;
        if !self.is_due(&owed::DELIVERIES, &take).await? {
            return Ok(Vec::new());
        }
        self.write(move |tx| {
            Box::pin(async move {
                let mut due = Vec::new();
                for (event, lease) in owed::DELIVERIES.take(tx, &take).await? {
                    let row: Option<Row> = query(
                        "SELECT id, account, kind, data, created_at_ms, order_proof FROM events WHERE id = $1",
                    )
                    .bind(&event)
                    .optional(tx)
                    .await?;
                    // An event that is not there was published by nobody, either.
                    let believed = row.and_then(|row| row.believed(tx.orders(), environment));
                    let Some(news) = believed else {
                        let work = (&owed::DELIVERIES, take.scope.as_str(), lease.token());
                        set_aside(tx, (&event, work), &forged(&event)).await?;
                        continue;
                    };
                    let attempts: i64 = query(
                        "SELECT attempts FROM deliveries WHERE event_id = $1 AND endpoint = $2",
                    )
                    .bind(&event)
                    .bind(&take.scope)
                    .scalar(tx)
                    .await?;
                    let reading = Reading::new("deliveries", &event, environment);
                    due.push(Due {
                        lease,
                        endpoint: take.scope.clone(),
                        attempts: reading.number("attempts", attempts)?,
                        news,
                    });
                }
                Ok(due)
            })
        })
        .await
    }

    /// Gives up what is owed to endpoints that are none of `known`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn abandon_deliveries(
        &self,
        known: Vec<String>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let owed: Vec<(String,)> = query(
                    "SELECT DISTINCT endpoint FROM deliveries WHERE lease_until_ms IS NOT NULL",
                )
                .all(tx)
                .await?;
                for (endpoint,) in owed {
                    if known.contains(&endpoint) {
                        continue;
                    }
                    query(
                        "UPDATE deliveries
                            SET status = 'given_up',
                                answer = 'removed',
                                lease_until_ms = NULL,
                                lease_token = NULL,
                                updated_at_ms = $2
                          WHERE endpoint = $1 AND lease_until_ms IS NOT NULL",
                    )
                    .bind(&endpoint)
                    .bind(now.unix_ms())
                    .execute(tx)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Writes down how a try to deliver ended; nothing where the lease is lost, and another node
    /// delivers it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn delivered(&self, lease: Lease, told: Told) -> Result<(), Failure> {
        let token = lease.token();
        self.write(move |tx| {
            Box::pin(async move {
                let status = match (told.taken, told.next) {
                    (true, _) => "delivered",
                    (false, Some(_)) => "due",
                    (false, None) => "given_up",
                };
                let next = told.next.filter(|_| !told.taken);
                let written = query(
                    "UPDATE deliveries
                        SET status = $3,
                            attempts = attempts + 1,
                            answer = $4,
                            lease_until_ms = $5,
                            lease_token = NULL,
                            updated_at_ms = $6
                      WHERE event_id = $1 AND endpoint = $2 AND lease_token = $7",
                )
                .bind(told.event.to_string())
                .bind(&told.endpoint)
                .bind(status)
                .bind(&told.answer)
                .bind(next.map(Timestamp::unix_ms))
                .bind(told.at.unix_ms())
                .bind(token)
                .execute(tx)
                .await?;
                if written == 0 {
                    tracing::info!(event = %told.event, "another node has the delivery");
                }
                Ok(())
            })
        })
        .await
    }
}
