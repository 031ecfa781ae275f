//! Which blocks and counts of the watch are believed, and how what nobody ordered is taken out.
//!
//! Both planes place blocks and share counts, and both obey them, so both sign under the key that
//! both hold. What is about a client is the internal plane's alone: the capture plane neither counts
//! nor stops clients, and cannot have one shut out.

use super::connection::Connection;
use super::orders::{Forged, Orders, quarantine};
use super::parse::Reading;
use super::row::row;
use super::sql::query;
use super::watch::{BlockRow, BucketRow};
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::token::{BlockId, Environment};

/// The most rows that are taken out at one look; further ones are passed by until the next.
const FORGED_ROWS_MAX: usize = 1_000;

/// Whether a subject is a client, by its kind's name.
fn is_client(subject: &str) -> bool {
    subject.starts_with("client ")
}

fn block_order(orders: &Orders, subject: &str) -> Order {
    orders.order(if is_client(subject) {
        Kind::ClientBlock
    } else {
        Kind::Block
    })
}

/// The order of a block: all that was decided.
pub(super) fn placed(orders: &Orders, block: &BlockRow) -> Order {
    block_order(orders, &block.subject)
        .text("placed")
        .text(&block.id.to_string())
        .text(&block.rule)
        .text(&block.subject)
        .text(&block.action)
        .text(&block.node)
        .number(block.placed_at.unix_ms())
        .number_if_any(block.ends_at.map(Timestamp::unix_ms))
}

/// The order to let go of whom a block stops.
pub(super) fn lifted(
    orders: &Orders,
    (id, subject): (&str, &str),
    (at, by): (Timestamp, &str),
) -> Order {
    block_order(orders, subject)
        .text("lifted")
        .text(id)
        .text(subject)
        .number(at.unix_ms())
        .text(by)
}

/// The order of a count.
pub(super) fn counted(orders: &Orders, bucket: &BucketRow) -> Order {
    let kind = if is_client(&bucket.subject) {
        Kind::ClientCount
    } else {
        Kind::Count
    };
    orders
        .order(kind)
        .text(&bucket.process)
        .text(&bucket.rule)
        .text(&bucket.subject)
        .number(bucket.bucket_ms)
        .number(i64::from(bucket.events))
        .number(i64::from(bucket.hits))
}

/// A row that nobody ordered, and what becomes of it.
#[derive(Clone)]
pub(super) enum TakenOut {
    /// A block that nobody placed.
    Block { id: String, content: String },
    /// A lift that nobody ordered: the block holds on.
    Lift {
        id: String,
        lifted_at_ms: i64,
        content: String,
    },
    /// A count that nobody made.
    Bucket { key: BucketKey, content: String },
}

/// The key of a count.
#[derive(Clone)]
pub(super) struct BucketKey {
    process: String,
    rule: String,
    subject: String,
    bucket_ms: i64,
}

impl Store {
    /// Takes out what nobody ordered, where this plane keeps the quarantine; the other passes it by.
    pub(super) async fn take_out_of_watch(&self, rows: Vec<TakenOut>) {
        if rows.is_empty() || !self.orders.keeps_quarantine() {
            return;
        }
        let taken = self.write(move |tx| {
            Box::pin(async move {
                for row in rows.into_iter().take(FORGED_ROWS_MAX) {
                    take_out(tx, row).await?;
                }
                Ok(())
            })
        });
        // It is not believed anyway, and is met again at the next look.
        if let Err(failure) = taken.await {
            tracing::error!(%failure, "rows of the watch could not be quarantined");
        }
    }
}

async fn take_out(tx: &mut Connection, row: TakenOut) -> Result<(), Failure> {
    match row {
        TakenOut::Block { id, content } => {
            quarantine(tx, &forged("watch_blocks", id.clone()), Some(&content)).await?;
            let gone = query("DELETE FROM watch_blocks WHERE id = $1").bind(&id);
            gone.execute(tx).await?;
        }
        TakenOut::Lift {
            id,
            lifted_at_ms,
            content,
        } => {
            quarantine(tx, &forged("watch_blocks", id.clone()), Some(&content)).await?;
            query(
                "UPDATE watch_blocks
                    SET lifted_at_ms = NULL, lifted_by = NULL, lift_proof = NULL
                  WHERE id = $1 AND lifted_at_ms = $2",
            )
            .bind(&id)
            .bind(lifted_at_ms)
            .execute(tx)
            .await?;
        }
        TakenOut::Bucket { key, content } => {
            // Without its subject, which may be as long as somebody likes, and stands in the content.
            let row = format!("{}/{}/{}", key.process, key.rule, key.bucket_ms);
            quarantine(tx, &forged("watch_buckets", row), Some(&content)).await?;
            query(
                "DELETE FROM watch_buckets
                  WHERE process = $1 AND rule = $2 AND subject = $3 AND bucket_ms = $4",
            )
            .bind(&key.process)
            .bind(&key.rule)
            .bind(&key.subject)
            .bind(key.bucket_ms)
            .execute(tx)
            .await?;
        }
    }
    Ok(())
}

fn forged(table: &'static str, row: String) -> Forged {
    Forged { table, row }
}

row! {
    pub(super) struct CountedRow {
        process: String,
        rule: String,
        subject: String,
        bucket_ms: i64,
        events: i64,
        hits: i64,
        order_proof: Option<Vec<u8>>,
    }
}

impl CountedRow {
    /// What a process counted, where one of ours has; else what is to be taken out.
    pub(super) fn believed(
        mut self,
        orders: &Orders,
        environment: Environment,
    ) -> Result<BucketRow, TakenOut> {
        let proof = self.order_proof.take();
        let content = format!("{}: {} of {}", self.subject, self.hits, self.events);
        let key = BucketKey {
            process: self.process.clone(),
            rule: self.rule.clone(),
            subject: self.subject.clone(),
            bucket_ms: self.bucket_ms,
        };
        let bucket = self.read(environment).ok();
        bucket
            .filter(|bucket| orders.believes(&counted(orders, bucket), proof.as_deref()))
            .ok_or(TakenOut::Bucket { key, content })
    }

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
    pub(super) struct PlacedRow {
        id: String,
        rule: String,
        subject: String,
        action: String,
        node: String,
        placed_at_ms: i64,
        ends_at_ms: Option<i64>,
        lifted_at_ms: Option<i64>,
        lifted_by: Option<String>,
        order_proof: Option<Vec<u8>>,
        lift_proof: Option<Vec<u8>>,
    }
}

impl PlacedRow {
    /// Its id.
    pub(super) fn id(&self) -> String {
        self.id.clone()
    }

    /// The block, where one of ours placed it, lifted only where one of ours lifted it; and what is
    /// to be taken out.
    pub(super) fn believed(
        mut self,
        orders: &Orders,
        environment: Environment,
    ) -> (Option<BlockRow>, Option<TakenOut>) {
        let (proof, lift_proof) = (self.order_proof.take(), self.lift_proof.take());
        let id = self.id.clone();
        let content = format!("{} {} by {}", self.action, self.subject, self.rule);
        let block = self.read(environment).ok();
        let block = block.filter(|block| orders.believes(&placed(orders, block), proof.as_deref()));
        let Some(mut block) = block else {
            return (None, Some(TakenOut::Block { id, content }));
        };
        let Some((at, by)) = block.lifted_at.zip(block.lifted_by.clone()) else {
            return (Some(block), None);
        };
        let order = lifted(orders, (&id, &block.subject), (at, &by));
        if orders.believes(&order, lift_proof.as_deref()) {
            return (Some(block), None);
        }
        (block.lifted_at, block.lifted_by) = (None, None);
        let taken = TakenOut::Lift {
            id,
            lifted_at_ms: at.unix_ms(),
            content: format!("lifted by {by}"),
        };
        (Some(block), Some(taken))
    }

    fn read(self, environment: Environment) -> Result<BlockRow, Failure> {
        let reading = Reading::new("watch_blocks", &self.id, environment);
        let id: BlockId = reading.id("id", &self.id)?;
        Ok(BlockRow {
            id,
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
