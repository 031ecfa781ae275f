//! Upkeep: wipes keys whose time is over and sweeps rows that have expired.

use std::sync::Arc;
use std::time::Duration;

use super::ages;
use crate::http::{PlaneName, tls};
use crate::vault::{Capture, Common, Internal};

/// Seconds between two looks at keys whose time is over.
const UPKEEP_INTERVAL_S: u64 = 5;
/// Such looks between two sweeps of rows that have expired: ten minutes.
const SWEEP_INTERVAL_TICKS: u64 = 120;
/// Milliseconds between two batches of one sweep.
const SWEEP_PAUSE_MS: u64 = 100;

/// Until the process stops.
pub(super) async fn forever(
    common: Common,
    capture: Option<Arc<Capture>>,
    internal: Option<Arc<Internal>>,
    tls: Vec<(PlaneName, Arc<tls::Live>)>,
) {
    let mut ticks: u64 = 0;
    loop {
        // In quiet hours nobody seals or opens, and an old key would stay in memory.
        if let Some(capture) = &capture {
            capture.sealer.retire_expired();
            // It says in the log and in readiness why it does not.
            let _told = capture.follow_manifest().await;
        }
        if let Some(internal) = &internal {
            internal.opener.forget_expired();
            internal.forget_shares().await;
            internal.sealer.retire_expired();
            let _told = internal.follow_manifest().await;
        }
        common.record_refusals(false).await;
        if ticks.is_multiple_of(SWEEP_INTERVAL_TICKS) {
            if internal.is_some() {
                sweep(&common).await;
            }
            if internal.is_some()
                && let Err(failure) = common.sweep_watch().await
            {
                tracing::warn!(%failure, "nothing of the watch could be swept");
            }
            ages::look(&common, internal.as_deref(), &tls).await;
        }
        ticks = ticks.wrapping_add(1);
        tokio::time::sleep(Duration::from_secs(UPKEEP_INTERVAL_S)).await;
    }
}

/// Removes rows that have expired until there are none left; a pause between two batches lets
/// requests through.
async fn sweep(common: &Common) {
    let mut swept: u64 = 0;
    loop {
        match common.store.sweep(common.now()).await {
            Ok(0) => break,
            Ok(rows) => swept = swept.saturating_add(rows),
            Err(failure) => {
                tracing::warn!(%failure, "expired rows could not be swept");
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(SWEEP_PAUSE_MS)).await;
    }
    if swept > 0 {
        tracing::info!(rows = swept, "expired rows swept");
    }
}
