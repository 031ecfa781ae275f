//! Reconciliation: the processor's payments, refunds and disputes of a time, each held against its
//! row, and each row against the processor.
//!
//! Webhooks may be lost, a person may act in the processor's dashboard, a database may be restored:
//! this finds what is then unknown, contradictory, missing or different, whoever caused it. Read
//! [`compare`] (pure), [`Kind`] (what can differ and what may be done), [`walk`] (both sides,
//! page by page), then [`report`].
//!
//! It never decides which side is right: a repair takes what the processor says, and only where
//! [`Kind::repair`] allows it. It never moves money.

pub mod compare;
mod difference;
mod listed;
mod repair;
pub mod report;
mod requests;
mod run;
mod walk;
mod worker;

use std::sync::Arc;

use crate::audit::Actor;
use crate::clock::Timestamp;
use crate::token::Account;
use crate::vault::{Internal, Witness};

pub use difference::{Class, Difference, Kind, Object, Repair};
pub use report::{Report, Tally};
pub use run::Progress;
pub use walk::Stopped;

/// When accounts are compared, and how far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Seconds between the end of one comparison of an account and the begin of the next.
    pub interval_s: u32,
    /// Seconds that a comparison goes back.
    pub look_back_s: u32,
    /// Seconds for which what is new, or just written, is left to the next comparison.
    pub settling_s: u32,
    /// Seconds after which what differs is read once more, before it counts.
    pub confirm_after_s: u32,
    /// Payments, and as many refunds and disputes, that are listed at most.
    pub objects_max: u64,
    /// Whether our side takes what the processor says, where that is allowed.
    pub repair: bool,
}

impl Schedule {
    fn bounds(&self, since: Timestamp) -> walk::Bounds {
        let ms = |seconds: u32| u64::from(seconds).saturating_mul(1_000);
        walk::Bounds {
            since,
            settling_ms: ms(self.settling_s),
            confirm_after_ms: ms(self.confirm_after_s),
            objects_max: self.objects_max,
        }
    }

    /// What a comparison that begins now goes back to.
    fn since(&self, now: Timestamp) -> Timestamp {
        let ms = i64::from(self.look_back_s).saturating_mul(1_000);
        Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ms).max(0))
    }
}

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How far back; as far as the schedule says where nothing is said.
    pub since: Option<Timestamp>,
    /// Whether our side takes what the processor says, where that is allowed.
    pub repair: bool,
    /// Who asks.
    pub operator: String,
}

/// Compares one account for an operator; the report, and the same under its signature.
///
/// # Errors
/// [`Stopped`] says why it came to no end.
pub async fn compare(
    internal: &Internal,
    account: &Account,
    (schedule, asked): (Schedule, &Asked),
    progress: Progress<'_>,
) -> Result<(Report, String), Stopped> {
    let now = internal.common.now();
    let since = asked.since.unwrap_or_else(|| schedule.since(now));
    let order = run::Order {
        account,
        bounds: schedule.bounds(since),
        repair: asked.repair,
        ended_before: None,
        context: Witness {
            actor: Actor::Operator(asked.operator.clone()),
            account: Some(account.clone()),
            origin: "-".to_owned(),
            request_id: None,
        },
    };
    let compared = run::compare(internal, &order, progress).await?;
    compared.ok_or(Stopped::Elsewhere)
}

/// Compares every account of this process's configuration, as often as the schedule says and once
/// among all nodes, until the process stops.
pub async fn compare_forever(internal: Arc<Internal>, schedule: Schedule) {
    worker::forever(&internal, schedule).await;
}
