//! Stops who acts while the log is not known to go on, or while no copy of what was signed gets out
//! for too long.

use std::sync::Arc;
use std::time::Duration;

use super::history::Differs;
use super::{AuditLog, LOOK_INTERVAL_MS};
use crate::alerts::{Alert, AlertName};
use crate::vault::Common;

/// Looks until the process stops.
pub(super) async fn run_forever(common: Common, log: Option<Arc<AuditLog>>, outage_s_max: u32) {
    let limit_ms = u64::from(outage_s_max).saturating_mul(1_000);
    let (mut is_open, mut is_told) = (true, false);
    loop {
        // A store that cannot be read takes no act either.
        if let Ok(oldest) = common.store.oldest_unwitnessed().await {
            let age_ms = oldest.map_or(0, |oldest| common.now().ms_since(oldest));
            common.metrics.audit_unwitnessed(age_ms);
            let goes_on = goes_on(&common, log.as_deref(), is_open).await;
            let opens = age_ms <= limit_ms && goes_on;
            if is_open && !opens && goes_on {
                tracing::error!(
                    age_ms,
                    "audit checkpoints cannot be published; refusing requests"
                );
            } else if is_open && !opens {
                tracing::error!("the database is not the one that was known; refusing requests");
            } else if opens && !is_open {
                tracing::info!("audit checkpoints are published again; taking requests");
            }
            is_open = opens;
            let is_late = age_ms > limit_ms / 2;
            if is_late && !is_told {
                let seen =
                    format!("the oldest event without a copied checkpoint is {age_ms} ms old");
                let alert = Alert::new(AlertName::AuditUnwitnessed, &common.node, &seen);
                common.raise_or_log(alert).await;
            }
            is_told = is_late;
            common.store.set_witnessed(opens);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
    }
}

/// Whether the database goes on from what is known of it: it is not shorter, and was not seen to be
/// another one when it was last to be signed.
async fn goes_on(common: &Common, log: Option<&AuditLog>, is_open: bool) -> bool {
    let Some(log) = log else { return true };
    match shortened(common, log).await {
        None => !log.differs(),
        Some(differs) if is_open => {
            let seen = differs.to_string();
            let alert = Alert::new(AlertName::AuditHistoryDiffers, &common.node, &seen);
            common.raise_or_log(alert).await;
            false
        }
        Some(_) => false,
    }
}

/// How the log has become shorter. While it is being signed nothing is said: it is about to be.
async fn shortened(common: &Common, log: &AuditLog) -> Option<Differs> {
    let known = log.known.try_lock().ok()?;
    let head = common.store.log_head().await.ok()?;
    known.as_ref()?.is_reached_by(head.size()).err()
}
