//! The worker of the internal plane: every account on its own, so that one whose processor does not
//! answer holds up no other.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::difference::Kind;
use super::{Schedule, run};
use crate::clock::Timestamp;
use crate::store::Comparison;
use crate::token::Account;
use crate::vault::{Internal, process};

/// Seconds between two looks whether an account is due.
const LOOK_INTERVAL_S: u64 = 30;
/// Seconds after the start before the first comparison, at most: a process that starts finishes
/// what its predecessor left open first.
const FIRST_AFTER_S: u32 = 300;
/// Seconds after a comparison that came to no end.
const RETRY_AFTER_S: u64 = 600;

pub(super) async fn forever(internal: &Internal, schedule: Schedule) {
    let accounts = internal.processors.keys();
    let compare = join_all(accounts.map(|account| account_forever(internal, account, schedule)));
    tokio::join!(compare, show_forever(internal));
}

async fn account_forever(internal: &Internal, account: &Account, schedule: Schedule) {
    sleep(u64::from(schedule.interval_s.min(FIRST_AFTER_S))).await;
    loop {
        let now = internal.common.now();
        let interval_ms = i64::from(schedule.interval_s).saturating_mul(1_000);
        let ended_before = now.unix_ms().saturating_sub(interval_ms);
        let order = run::Order {
            account,
            bounds: schedule.bounds(schedule.since(now)),
            repair: schedule.repair,
            ended_before: Some(Timestamp::from_unix_ms(ended_before)),
            context: process(),
        };
        let pause_s = match run::compare(internal, &order, &mut |_| ()).await {
            Ok(None) => LOOK_INTERVAL_S,
            Ok(Some((report, _))) if report.agrees() => {
                let payments = report.tally.payments;
                tracing::info!(
                    account = account.as_str(),
                    payments,
                    "reconciled with the processor"
                );
                LOOK_INTERVAL_S
            }
            Ok(Some((report, _))) => {
                let summary = report.summary();
                tracing::error!(
                    account = account.as_str(),
                    summary,
                    "the store and the processor differ"
                );
                LOOK_INTERVAL_S
            }
            Err(stopped) => {
                tracing::error!(account = account.as_str(), %stopped, "an account could not be compared with the processor");
                RETRY_AFTER_S
            }
        };
        sleep(pause_s.min(u64::from(schedule.interval_s))).await;
    }
}

/// Every node shows the newest result of all, whoever compared.
async fn show_forever(internal: &Internal) {
    loop {
        match internal.common.store.comparisons().await {
            Ok(comparisons) => show(internal, &comparisons),
            Err(failure) => tracing::warn!(%failure, "no result of a comparison could be read"),
        }
        sleep(LOOK_INTERVAL_S).await;
    }
}

fn show(internal: &Internal, comparisons: &[Comparison]) {
    let mut open: BTreeMap<String, u64> = BTreeMap::new();
    let mut oldest: Option<Timestamp> = None;
    for account in internal.processors.keys() {
        let newest = comparisons.iter().find(|one| one.account == *account);
        // The oldest of all accounts counts; one that was never compared is as old as can be.
        let at = newest.and_then(|one| one.finished_at);
        let at = at.unwrap_or(Timestamp::from_unix_ms(0));
        oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
        let counts = newest.and_then(|one| one.differences.as_deref());
        for (kind, count) in counts.map(counts_of).unwrap_or_default() {
            let sum = open.entry(kind).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    let metrics = &internal.common.metrics;
    for kind in Kind::ALL {
        let count = open.get(kind.name()).copied().unwrap_or(0);
        metrics.reconciliation_differences(kind.name(), count);
    }
    if let Some(oldest) = oldest {
        metrics.reconciled_at(oldest);
    }
}

/// Counts by kind; what is no such thing is no count.
fn counts_of(json: &str) -> BTreeMap<String, u64> {
    serde_json::from_str(json).unwrap_or_default()
}

async fn sleep(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
