//! Stops who acts while the log is not known to go on, or while no copy of what was signed gets out
//! for too long.

use std::sync::Arc;
use std::time::Duration;

use super::history::{self, Differs, Present, Unknown};
use super::{AuditLog, Epoch, LOOK_INTERVAL_MS};
use crate::alerts::{Alert, AlertName};
use crate::clock::Timestamp;
use crate::vault::Common;

/// Looks until the process stops.
pub(super) async fn run_forever(common: Common, log: Option<Arc<AuditLog>>, outage_s_max: u32) {
    let limit_ms = u64::from(outage_s_max).saturating_mul(1_000);
    let mut unpublished = Unpublished::default();
    let (mut is_open, mut is_told) = (true, false);
    loop {
        // A store that cannot be read takes no act either.
        if let Ok(oldest) = common.store.oldest_unpublished().await {
            let age_ms = unpublished.age_ms(oldest, common.now());
            common.metrics.audit_unwitnessed(age_ms);
            let goes_on = match &log {
                Some(log) => log.follow(&common).await,
                None => true,
            };
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

/// Since when this process has seen the event that waits longest for a copied checkpoint. What the
/// event says of its time is the word of whoever wrote it.
#[derive(Default)]
struct Unpublished(Option<(String, Timestamp)>);

impl Unpublished {
    fn age_ms(&mut self, oldest: Option<String>, now: Timestamp) -> u64 {
        let Some(oldest) = oldest else {
            self.0 = None;
            return 0;
        };
        match &self.0 {
            Some((event, since)) if *event == oldest => now.ms_since(*since),
            _ => {
                self.0 = Some((oldest, now));
                0
            }
        }
    }
}

impl AuditLog {
    /// Whether the database goes on from what this process knows of it, which is from now on what it
    /// has read. It follows whoever signs, and into an epoch that an operator has begun elsewhere.
    async fn follow(&self, common: &Common) -> bool {
        let mut known = self.known.lock().await;
        let followed = match known.as_ref() {
            None => match Present::read(&common.store, self).await {
                Ok(present) => Ok(present.into_known(Epoch::default())),
                Err(failure) => Err(Unknown::Store(failure)),
            },
            Some(known) => history::next(&common.store, self, known).await,
        };
        let before = known.as_ref().map(|known| known.epoch.number);
        match followed {
            Ok(next) => {
                if before.is_some_and(|before| before < next.epoch.number)
                    && self.note_rollback(common, next.epoch).await.is_err()
                {
                    // The log does not say when: it is taken to be now.
                    common.recovery.accepted(common.now());
                }
                *known = Some(next);
                self.set_differs(false);
            }
            // Whether it does is seen when it can be read.
            Err(Unknown::Store(_)) => {}
            Err(Unknown::Differs(differs)) => self.report(common, &differs).await,
        }
        !self.differs()
    }

    /// Says once that the database is not the one that was known.
    pub(super) async fn report(&self, common: &Common, differs: &Differs) {
        if !self.differs() {
            self.set_differs(true);
            let seen = differs.to_string();
            tracing::error!(reason = seen, "the audit log is not signed");
            let alert = Alert::new(AlertName::AuditHistoryDiffers, &common.node, &seen);
            common.raise_or_log(alert).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_as_old_as_this_process_has_seen_it() {
        let at = Timestamp::from_unix_ms;
        let mut unpublished = Unpublished::default();
        let one = || Some("evt_1".to_owned());
        assert_eq!(unpublished.age_ms(one(), at(5_000)), 0);
        assert_eq!(unpublished.age_ms(one(), at(5_700)), 700);
        assert_eq!(unpublished.age_ms(Some("evt_2".to_owned()), at(6_000)), 0);
        assert_eq!(unpublished.age_ms(None, at(9_000)), 0);
        assert_eq!(unpublished.age_ms(one(), at(9_500)), 0);
    }
}
