//! Watch: what each process counted, and whom a rule stopped.

use super::alerts::{NewAlert, raise};
use super::connection::Connection;
use super::events::record;
use super::parse::{Reading, one_row};
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::{BlockId, Environment};

/// Buckets that are read at one look.
const BUCKETS_MAX: u32 = 200_000;
/// Blocks that are read at one look: more hold at no time, or something else is wrong.
const BLOCKS_MAX: u32 = 10_000;
/// The most rows of each kind that one sweep removes.
const SWEEP_ROWS_MAX: u32 = 5_000;
/// How long a block and an alert are kept after their end, for questions about them.
const KEPT_MS: i64 = 90 * 24 * 60 * 60 * 1_000;

/// What one process counted about one subject for one rule in one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketRow {
    /// Which process.
    pub process: String,
    /// For which rule.
    pub rule: String,
    /// About whom.
    pub subject: String,
    /// When the bucket begins.
    pub bucket_ms: i64,
    /// What happened.
    pub events: u32,
    /// What of it speaks against the subject.
    pub hits: u32,
}

/// What is done to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// Its id.
    pub id: BlockId,
    /// Which rule decided.
    pub rule: String,
    /// To whom.
    pub subject: String,
    /// What.
    pub action: String,
    /// Which process decided.
    pub node: String,
    /// From when on.
    pub placed_at: Timestamp,
    /// Till when; nothing where it lasts until it is lifted.
    pub ends_at: Option<Timestamp>,
    /// When it was lifted.
    pub lifted_at: Option<Timestamp>,
    /// By whom.
    pub lifted_by: Option<String>,
}

impl Store {
    /// Says what this process counted: the whole of each bucket, so that saying it twice counts
    /// once.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn share_buckets(
        &self,
        buckets: Vec<BucketRow>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                for bucket in &buckets {
                    share(tx, bucket, now).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// What other processes than `process` counted, as far as they have said so since.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn buckets_of_others(
        &self,
        process: String,
        since: Timestamp,
    ) -> Result<Vec<BucketRow>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<Shared> = query(
                    "SELECT process, rule, subject, bucket_ms, events, hits
                       FROM watch_buckets
                      WHERE updated_at_ms >= $1 AND process <> $2
                      ORDER BY updated_at_ms
                      LIMIT $3",
                )
                .bind(since.unix_ms())
                .bind(&process)
                .bind(BUCKETS_MAX)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Writes down what a rule decided, with its event, and raises its alert.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn place_block(
        &self,
        block: Option<(BlockRow, Event)>,
        alert: NewAlert,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                if let Some((block, event)) = block {
                    insert(tx, &block).await?;
                    record(tx, event);
                }
                raise(tx, &alert).await.map(drop)
            })
        })
        .await
    }

    /// The blocks that hold now, and those that ended or were lifted since, newest first.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn blocks(&self, since: Timestamp) -> Result<Vec<BlockRow>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<Row> = query(
                    "SELECT id, rule, subject, action, node, placed_at_ms, ends_at_ms, lifted_at_ms, lifted_by
                       FROM watch_blocks
                      WHERE (lifted_at_ms IS NULL AND (ends_at_ms IS NULL OR ends_at_ms > $1))
                         OR lifted_at_ms > $1
                      ORDER BY id DESC
                      LIMIT $2",
                )
                .bind(since.unix_ms())
                .bind(BLOCKS_MAX)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Lifts everything that is done to a subject; how many blocks that were.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn lift_blocks(
        &self,
        subject: String,
        by: String,
        event: Event,
        now: Timestamp,
    ) -> Result<u64, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let lifted = query(
                    "UPDATE watch_blocks
                        SET lifted_at_ms = $3, lifted_by = $2
                      WHERE subject = $1 AND lifted_at_ms IS NULL
                        AND (ends_at_ms IS NULL OR ends_at_ms > $3)",
                )
                .bind(&subject)
                .bind(&by)
                .bind(now.unix_ms())
                .execute(tx)
                .await?;
                record(tx, if lifted == 0 { event.refused() } else { event });
                Ok(lifted)
            })
        })
        .await
    }

    /// Removes buckets that no window reaches back to, and blocks and alerts that ended long ago.
    /// Only the internal plane may: whoever takes the other one must not silence an alert.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn sweep_watch(&self, longest_window_s: u32, now: Timestamp) -> Result<u64, Failure> {
        let reach = i64::from(longest_window_s).saturating_mul(1_000);
        let reached = now.unix_ms().saturating_sub(reach);
        let kept = now.unix_ms().saturating_sub(KEPT_MS);
        self.write(move |tx| {
            Box::pin(async move {
                let mut rows = 0_u64;
                for (sql, before) in [
                    (
                        "DELETE FROM watch_buckets WHERE (process, rule, subject, bucket_ms) IN (
                           SELECT process, rule, subject, bucket_ms FROM watch_buckets
                            WHERE updated_at_ms <= $1 LIMIT $2)",
                        reached,
                    ),
                    (
                        "DELETE FROM watch_blocks WHERE id IN (
                           SELECT id FROM watch_blocks
                            WHERE placed_at_ms <= $1 AND (ends_at_ms <= $1 OR lifted_at_ms <= $1)
                            LIMIT $2)",
                        kept,
                    ),
                    (
                        "DELETE FROM alert_deliveries WHERE status <> 'due' AND alert_id IN (
                           SELECT id FROM alerts WHERE raised_at_ms <= $1 ORDER BY id LIMIT $2)",
                        kept,
                    ),
                    (
                        "DELETE FROM alerts WHERE id IN (
                           SELECT id FROM alerts
                            WHERE raised_at_ms <= $1 AND routed_at_ms IS NOT NULL
                              AND NOT EXISTS (SELECT 1 FROM alert_deliveries WHERE alert_id = alerts.id)
                            ORDER BY id LIMIT $2)",
                        kept,
                    ),
                ] {
                    let gone = query(sql).bind(before).bind(SWEEP_ROWS_MAX);
                    rows = rows.saturating_add(gone.execute(&mut *tx).await?);
                }
                Ok(rows)
            })
        })
        .await
    }
}

async fn share(tx: &mut Connection, bucket: &BucketRow, now: Timestamp) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO watch_buckets (process, rule, subject, bucket_ms, events, hits, updated_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (process, rule, subject, bucket_ms) DO UPDATE
            SET events = excluded.events, hits = excluded.hits, updated_at_ms = excluded.updated_at_ms",
    )
    .bind(&bucket.process)
    .bind(&bucket.rule)
    .bind(&bucket.subject)
    .bind(bucket.bucket_ms)
    .bind(bucket.events)
    .bind(bucket.hits)
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "watch_buckets", &bucket.rule)
}

async fn insert(tx: &mut Connection, block: &BlockRow) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO watch_blocks (id, rule, subject, action, node, placed_at_ms, ends_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(block.id.to_string())
    .bind(&block.rule)
    .bind(&block.subject)
    .bind(&block.action)
    .bind(&block.node)
    .bind(block.placed_at.unix_ms())
    .bind(block.ends_at.map(Timestamp::unix_ms))
    .execute(tx)
    .await?;
    one_row(written, "watch_blocks", &block.id)
}

row! {
    struct Shared {
        process: String,
        rule: String,
        subject: String,
        bucket_ms: i64,
        events: i64,
        hits: i64,
    }
}

impl Shared {
    fn read(self, environment: Environment) -> Result<BucketRow, Failure> {
        let reading = Reading::new("watch_buckets", &self.rule, environment);
        Ok(BucketRow {
            events: reading.number("events", self.events)?,
            hits: reading.number("hits", self.hits)?,
            process: self.process,
            rule: self.rule,
            subject: self.subject,
            bucket_ms: self.bucket_ms,
        })
    }
}

row! {
    struct Row {
        id: String,
        rule: String,
        subject: String,
        action: String,
        node: String,
        placed_at_ms: i64,
        ends_at_ms: Option<i64>,
        lifted_at_ms: Option<i64>,
        lifted_by: Option<String>,
    }
}

impl Row {
    fn read(self, environment: Environment) -> Result<BlockRow, Failure> {
        let reading = Reading::new("watch_blocks", &self.id, environment);
        Ok(BlockRow {
            id: reading.id("id", &self.id)?,
            rule: self.rule,
            subject: self.subject,
            action: self.action,
            node: self.node,
            placed_at: Timestamp::from_unix_ms(self.placed_at_ms),
            ends_at: self.ends_at_ms.map(Timestamp::from_unix_ms),
            lifted_at: self.lifted_at_ms.map(Timestamp::from_unix_ms),
            lifted_by: self.lifted_by,
        })
    }
}
