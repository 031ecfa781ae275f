//! The runs that compare: one at a time for each account, on all nodes together, and what the
//! newest finished one found.

use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::connection::Connection;
use crate::store::events::record;
use crate::store::parse::{Reading, moment_if_any, one_row};
use crate::store::row::row;
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, Environment, RunId};

/// The right to compare one account, as long as nobody else has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparisonLease {
    /// Whose rows.
    pub account: Account,
    /// The run that has it.
    pub run: RunId,
    /// The process of the run.
    pub node: String,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct ComparisonDone {
    /// When it ended.
    pub at: Timestamp,
    /// Open differences by kind: the text of a JSON object of counts.
    pub differences: String,
    /// The signed report: a compact JWS.
    pub report: String,
    /// Its audit event.
    pub event: Event,
}

/// The newest comparison of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Whose rows.
    pub account: Account,
    /// The process that compares, or compared last.
    pub node: String,
    /// When the newest finished run ended.
    pub finished_at: Option<Timestamp>,
    /// Its open differences by kind: the text of a JSON object of counts.
    pub differences: Option<String>,
    /// Its signed report.
    pub report: Option<String>,
}

impl Store {
    /// Takes the right to compare an account until `lease_until`; false where another run has it,
    /// or one has ended after `ended_before`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_comparison(
        &self,
        lease: ComparisonLease,
        (now, lease_until): (Timestamp, Timestamp),
        ended_before: Option<Timestamp>,
    ) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let begun = query(
                    "INSERT INTO reconciliations (account, run, node, lease_until_ms, started_at_ms)
                     VALUES ($1, $2, $3, $4, $5)
                         ON CONFLICT (account) DO UPDATE
                        SET run = excluded.run,
                            node = excluded.node,
                            lease_until_ms = excluded.lease_until_ms,
                            started_at_ms = excluded.started_at_ms
                      WHERE reconciliations.lease_until_ms <= $5
                        AND ($6 IS NULL OR COALESCE(reconciliations.finished_at_ms, 0) <= $6)",
                )
                .bind(lease.account.as_str())
                .bind(lease.run.to_string())
                .bind(&lease.node)
                .bind(lease_until.unix_ms())
                .bind(now.unix_ms())
                .bind(ended_before.map(Timestamp::unix_ms))
                .execute(tx)
                .await?;
                Ok(begun == 1)
            })
        })
        .await
    }

    /// Keeps the right for longer; false where another run has it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn extend_comparison(
        &self,
        lease: ComparisonLease,
        until: Timestamp,
    ) -> Result<bool, Failure> {
        self.write(move |tx| Box::pin(async move { put_until(tx, &lease, until).await }))
            .await
    }

    /// Gives the right back without a result.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn abandon_comparison(&self, lease: ComparisonLease) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let over = Timestamp::from_unix_ms(0);
                put_until(tx, &lease, over).await.map(drop)
            })
        })
        .await
    }

    /// Writes down what a run found, with its audit event, and gives the right back.
    ///
    /// # Errors
    /// [`Failure::Inconsistent`] where another run has the right; else as every operation.
    pub async fn finish_comparison(
        &self,
        lease: ComparisonLease,
        done: ComparisonDone,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "UPDATE reconciliations
                        SET lease_until_ms = 0,
                            finished_at_ms = $3,
                            differences = $4,
                            report = $5
                      WHERE account = $1 AND run = $2",
                )
                .bind(lease.account.as_str())
                .bind(lease.run.to_string())
                .bind(done.at.unix_ms())
                .bind(&done.differences)
                .bind(&done.report)
                .execute(tx)
                .await?;
                one_row(written, "reconciliations", &lease.account)?;
                record(tx, done.event);
                Ok(())
            })
        })
        .await
    }

    /// The newest comparison of every account that was ever compared.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn comparisons(&self) -> Result<Vec<Comparison>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<Row> = query(
                    "SELECT account, node, finished_at_ms, differences, report
                       FROM reconciliations
                      ORDER BY account",
                )
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }
}

async fn put_until(
    tx: &mut Connection,
    lease: &ComparisonLease,
    until: Timestamp,
) -> Result<bool, Failure> {
    let kept = query(
        "UPDATE reconciliations
            SET lease_until_ms = $3
          WHERE account = $1 AND run = $2 AND lease_until_ms > 0",
    )
    .bind(lease.account.as_str())
    .bind(lease.run.to_string())
    .bind(until.unix_ms())
    .execute(tx)
    .await?;
    Ok(kept == 1)
}

row! {
    struct Row {
        account: String,
        node: String,
        finished_at_ms: Option<i64>,
        differences: Option<String>,
        report: Option<String>,
    }
}

impl Row {
    fn read(self, environment: Environment) -> Result<Comparison, Failure> {
        let name = self.account.clone();
        let reading = Reading::new("reconciliations", &name, environment);
        Ok(Comparison {
            account: reading.account(self.account)?,
            node: self.node,
            finished_at: moment_if_any(self.finished_at_ms),
            differences: self.differences,
            report: self.report,
        })
    }
}
