//! What waits to be finished, what was reported, how old the keys are: figures for the operator.
//!
//! Open work and reports are counted off an index, and data keys are few: a look costs the same in
//! a large store.

use super::connection::Connection;
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;

/// Milliseconds of the week in which reports are counted.
const REPORTS_WINDOW_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Work of one kind that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenWork {
    /// The table that it stands in.
    pub table: &'static str,
    /// How much there is.
    pub rows: u64,
    /// Since when the first of it could be taken up; in the future while all of it is worked on or
    /// rests.
    pub due_since: Option<Timestamp>,
}

/// A key-encryption key and the data keys that are wrapped to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekFigures {
    /// Its id.
    pub kek: String,
    /// When its canary was made, which is when it came into service; nothing without a canary.
    pub in_service_since: Option<Timestamp>,
    /// Data keys wrapped to it.
    pub data_keys: u64,
    /// When the first of them was made.
    pub oldest: Timestamp,
    /// When the last of them was made.
    pub newest: Timestamp,
}

/// Figures of the store, which are the same on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFigures {
    /// What is not finished.
    pub open_work: Vec<OpenWork>,
    /// Every key-encryption key that something is wrapped to.
    pub keks: Vec<KekFigures>,
    /// Reports of the last seven days.
    pub reports: u64,
    /// When the last of them came.
    pub last_report: Option<Timestamp>,
}

impl Store {
    /// What is open in each table that work is taken from.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn open_work(&self) -> Result<Vec<OpenWork>, Failure> {
        self.read(move |connection| Box::pin(open_work(connection)))
            .await
    }

    /// All figures, as of `now`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn figures(&self, now: Timestamp) -> Result<StoreFigures, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let open_work = open_work(&mut *connection).await?;
                let keks = keks(&mut *connection).await?;
                let (reports, last): (i64, Option<i64>) = query(
                    "SELECT COUNT(*), MAX(created_at_ms)
                       FROM reports
                      WHERE created_at_ms > $1",
                )
                .bind(now.unix_ms().saturating_sub(REPORTS_WINDOW_MS))
                .one(connection)
                .await?;
                Ok(StoreFigures {
                    open_work,
                    keks,
                    reports: count(reports),
                    last_report: last.map(Timestamp::from_unix_ms),
                })
            })
        })
        .await
    }
}

/// A table of work, and how its open rows are counted.
const OPEN_WORK: [(&str, &str); 7] = [
    (
        "charges",
        "SELECT COUNT(*), MIN(lease_until_ms)
           FROM charges
          WHERE lease_until_ms IS NOT NULL",
    ),
    (
        "refunds",
        "SELECT COUNT(*), MIN(lease_until_ms)
           FROM refunds
          WHERE lease_until_ms IS NOT NULL",
    ),
    (
        "orphans",
        "SELECT COUNT(*), MIN(lease_until_ms)
           FROM orphans",
    ),
    (
        "tokens",
        "SELECT COUNT(*), MIN(lease_until_ms)
           FROM tokens
          WHERE lease_until_ms IS NOT NULL",
    ),
    (
        "charge_reviews",
        "SELECT COUNT(*), MIN(lease_until_ms)
           FROM charge_reviews",
    ),
    (
        "processor_events",
        "SELECT COUNT(*), MIN(lease_until_ms)
           FROM processor_events
          WHERE lease_until_ms IS NOT NULL",
    ),
    (
        "deliveries",
        "SELECT COUNT(*), MIN(lease_until_ms)
           FROM deliveries
          WHERE lease_until_ms IS NOT NULL",
    ),
];

async fn open_work(connection: &mut Connection) -> Result<Vec<OpenWork>, Failure> {
    let mut open = Vec::new();
    for (table, statement) in OPEN_WORK {
        let (rows, due): (i64, Option<i64>) = query(statement).one(&mut *connection).await?;
        open.push(OpenWork {
            table,
            rows: count(rows),
            due_since: due.map(Timestamp::from_unix_ms),
        });
    }
    Ok(open)
}

async fn keks(connection: &mut Connection) -> Result<Vec<KekFigures>, Failure> {
    let rows: Vec<(String, Option<i64>, i64, i64, i64)> = query(
        "SELECT data_keys.kek, MIN(canaries.created_at_ms), COUNT(*), MIN(data_keys.created_at_ms), MAX(data_keys.created_at_ms)
           FROM data_keys
           LEFT JOIN (SELECT key_canaries.kek, data_keys.created_at_ms
                        FROM key_canaries
                        JOIN data_keys ON data_keys.id = key_canaries.data_key_id) AS canaries
             ON canaries.kek = data_keys.kek
          GROUP BY data_keys.kek
          ORDER BY MIN(data_keys.created_at_ms), data_keys.kek",
    )
    .all(connection)
    .await?;
    let figures =
        |(kek, since, data_keys, oldest, newest): (String, Option<i64>, i64, i64, i64)| {
            KekFigures {
                kek,
                in_service_since: since.map(Timestamp::from_unix_ms),
                data_keys: count(data_keys),
                oldest: Timestamp::from_unix_ms(oldest),
                newest: Timestamp::from_unix_ms(newest),
            }
        };
    Ok(rows.into_iter().map(figures).collect())
}

/// A COUNT is never negative.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}
