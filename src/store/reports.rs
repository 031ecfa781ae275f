//! Reports from anybody: taken within bounds, and never changed.

use super::connection::Connection;
use super::events::{record, record_refused};
use super::parse::{Reading, one_row, quiet_debug};
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::ReportId;

/// Milliseconds in which reports are counted.
const WINDOW_MS: i64 = 3_600_000;

/// A report, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// The reporter's ticket.
    pub id: ReportId,
    /// `abuse`, `incident`, `vulnerability` or `other`.
    pub about: String,
    /// What is reported.
    pub message: String,
    /// Where to answer, if the reporter says.
    pub contact: Option<String>,
    /// The address it came from.
    pub origin: String,
    /// When it came.
    pub created_at: Timestamp,
}

quiet_debug! {
    ReportRow { id, about, created_at }
}

/// How many reports are taken within an hour.
#[derive(Clone, Copy, Debug)]
pub struct ReportBudget {
    /// From one address.
    pub of_an_address_max: u32,
    /// From everybody.
    pub of_all_max: u32,
}

impl Store {
    /// Takes a report, unless as many have come within the hour as are taken; says which it was.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_report(
        &self,
        report: ReportRow,
        budget: ReportBudget,
        event: Event,
    ) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let since = report.created_at.unix_ms().saturating_sub(WINDOW_MS);
                let (all, of_address) = counted(tx, since, &report.origin).await?;
                let taken = all < i64::from(budget.of_all_max)
                    && of_address < i64::from(budget.of_an_address_max);
                if taken {
                    insert(tx, &report).await?;
                    record(tx, event);
                } else {
                    record_refused(tx, event);
                }
                Ok(taken)
            })
        })
        .await
    }

    /// The newest reports, at most `limit`, and older than `before` where that is said.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn reports(
        &self,
        before: Option<ReportId>,
        limit: u32,
    ) -> Result<Vec<ReportRow>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<Row> = query(
                    "SELECT id, about, message, contact, origin, created_at_ms
                       FROM reports
                      WHERE $1 IS NULL OR id < $1
                      ORDER BY id DESC
                      LIMIT $2",
                )
                .bind(before.map(|id| id.to_string()))
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }
}

/// How many reports have come since, and how many of them from that address.
async fn counted(tx: &mut Connection, since: i64, origin: &str) -> Result<(i64, i64), Failure> {
    query(
        "SELECT COUNT(*), COUNT(CASE WHEN origin = $2 THEN 1 END)
           FROM reports
          WHERE created_at_ms > $1",
    )
    .bind(since)
    .bind(origin)
    .one(tx)
    .await
}

async fn insert(tx: &mut Connection, report: &ReportRow) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO reports (id, about, message, contact, origin, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(report.id.to_string())
    .bind(&report.about)
    .bind(&report.message)
    .bind(report.contact.as_deref())
    .bind(&report.origin)
    .bind(report.created_at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "reports", &report.id)
}

row! {
    struct Row {
        id: String,
        about: String,
        message: String,
        contact: Option<String>,
        origin: String,
        created_at_ms: i64,
    }
}

impl Row {
    fn read(self, environment: crate::token::Environment) -> Result<ReportRow, Failure> {
        let reading = Reading::new("reports", &self.id, environment);
        Ok(ReportRow {
            id: reading.id("id", &self.id)?,
            about: self.about,
            message: self.message,
            contact: self.contact,
            origin: self.origin,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
        })
    }
}
