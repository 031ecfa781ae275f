//! Watch: what each process counted, and whom a rule stopped.

use super::alerts::{NewAlert, raise};
use super::connection::Connection;
use super::events::record;
use super::parse::one_row;
use super::sql::query;
use super::watch_orders::{CountedRow, PlacedRow, counted, lifted, placed};
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::BlockId;

/// Buckets that are read at one look.
const BUCKETS_MAX: u32 = 200_000;
/// Blocks that are read at one look: more hold at no time, or something else is wrong.
const BLOCKS_MAX: u32 = 10_000;
/// So many times as many are read, where some of them are nobody's.
const BLOCK_PAGES_MAX: u32 = 20;
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
        let read = self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<CountedRow> = query(
                    "SELECT process, rule, subject, bucket_ms, events, hits, order_proof
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
                Ok(rows)
            })
        });
        let (mut counted, mut forged) = (Vec::new(), Vec::new());
        for row in read.await? {
            match row.believed(&self.orders, self.environment) {
                Ok(bucket) => counted.push(bucket),
                Err(taken) => forged.push(taken),
            }
        }
        self.take_out_of_watch(forged).await;
        Ok(counted)
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

    /// Warns of what is near a threshold: an alert, and an event with it, once for each subject and
    /// window on all processes together. Whether it was the first.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn warn_near(&self, event: Event, alert: NewAlert) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let is_first = raise(tx, &alert).await?;
                if is_first {
                    record(tx, event);
                }
                Ok(is_first)
            })
        })
        .await
    }

    /// The blocks that hold now, and those that ended or were lifted since, newest first.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn blocks(&self, since: Timestamp) -> Result<Vec<BlockRow>, Failure> {
        let (mut blocks, mut forged) = (Vec::new(), Vec::new());
        let mut before = None;
        // Rows that nobody of ours has written must not crowd out those that one of ours has.
        for _ in 0..BLOCK_PAGES_MAX {
            let rows = self.placed(since, before).await?;
            let is_last = u32::try_from(rows.len()) != Ok(BLOCKS_MAX);
            before = rows.last().map(PlacedRow::id);
            for row in rows {
                let (block, taken) = row.believed(&self.orders, self.environment);
                forged.extend(taken);
                let shown = |block: &BlockRow| block.lifted_at.is_none_or(|lifted| lifted > since);
                blocks.extend(block.filter(shown));
            }
            if is_last {
                break;
            }
        }
        self.take_out_of_watch(forged).await;
        Ok(blocks)
    }

    /// A page of blocks, the newest first.
    async fn placed(
        &self,
        since: Timestamp,
        before: Option<String>,
    ) -> Result<Vec<PlacedRow>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                // What claims to be lifted is read as well: a claim that is not believed lifts nothing.
                query(
                    "SELECT id, rule, subject, action, node, placed_at_ms, ends_at_ms, lifted_at_ms, lifted_by, order_proof, lift_proof
                       FROM watch_blocks
                      WHERE ($3 IS NULL OR id < $3)
                        AND (ends_at_ms IS NULL OR ends_at_ms > $1 OR lifted_at_ms > $1)
                      ORDER BY id DESC
                      LIMIT $2",
                )
                .bind(since.unix_ms())
                .bind(BLOCKS_MAX)
                .bind(before)
                .all(connection)
                .await
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
                let held: Vec<(String,)> = query(
                    "SELECT id
                       FROM watch_blocks
                      WHERE subject = $1 AND lifted_at_ms IS NULL
                        AND (ends_at_ms IS NULL OR ends_at_ms > $2)",
                )
                .bind(&subject)
                .bind(now.unix_ms())
                .all(tx)
                .await?;
                let mut lifted = 0_u64;
                for (id,) in held {
                    let once = lift(tx, (&id, &subject), (now, &by)).await?;
                    lifted = lifted.saturating_add(once);
                }
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
    let proof = tx.orders().sign(&counted(tx.orders(), bucket))?;
    let written = query(
        "INSERT INTO watch_buckets (process, rule, subject, bucket_ms, events, hits, updated_at_ms, order_proof)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (process, rule, subject, bucket_ms) DO UPDATE
            SET events = excluded.events, hits = excluded.hits, updated_at_ms = excluded.updated_at_ms, order_proof = excluded.order_proof",
    )
    .bind(&bucket.process)
    .bind(&bucket.rule)
    .bind(&bucket.subject)
    .bind(bucket.bucket_ms)
    .bind(bucket.events)
    .bind(bucket.hits)
    .bind(now.unix_ms())
    .bind(proof)
    .execute(tx)
    .await?;
    one_row(written, "watch_buckets", &bucket.rule)
}

async fn insert(tx: &mut Connection, block: &BlockRow) -> Result<(), Failure> {
    let proof = tx.orders().sign(&placed(tx.orders(), block))?;
    let written = query(
        "INSERT INTO watch_blocks (id, rule, subject, action, node, placed_at_ms, ends_at_ms, order_proof)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(block.id.to_string())
    .bind(&block.rule)
    .bind(&block.subject)
    .bind(&block.action)
    .bind(&block.node)
    .bind(block.placed_at.unix_ms())
    .bind(block.ends_at.map(Timestamp::unix_ms))
    .bind(proof)
    .execute(tx)
    .await?;
    one_row(written, "watch_blocks", &block.id)
}

async fn lift(
    tx: &mut Connection,
    (id, subject): (&str, &str),
    (at, by): (Timestamp, &str),
) -> Result<u64, Failure> {
    let order = lifted(tx.orders(), (id, subject), (at, by));
    let proof = tx.orders().sign(&order)?;
    query(
        "UPDATE watch_blocks
            SET lifted_at_ms = $3, lifted_by = $2, lift_proof = $4
          WHERE id = $1 AND lifted_at_ms IS NULL",
    )
    .bind(id)
    .bind(by)
    .bind(at.unix_ms())
    .bind(proof)
    .execute(tx)
    .await
}
