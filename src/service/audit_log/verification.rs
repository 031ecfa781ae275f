//! The whole log, read once and held against what was signed of it: on demand, and by the service
//! itself every day (PCI DSS 10.3.4).

use std::sync::Arc;
use std::time::Duration;

use super::AuditLog;
use crate::alerts::{Alert, AlertName};
use crate::audit::note::LogKey;
use crate::audit::verify::{Claim, Entry, Report, Verification};
use crate::audit::{Action, Outcome};
use crate::store::{Failure, Store};
use crate::vault::{Common, process};

/// Rows that are read together.
const PAGE_ROWS_MAX: u32 = 2_000;
/// Events in no place of the log that are told one by one.
const OUTSIDE_TOLD_MAX: u32 = 1_000;
/// Milliseconds between two pages of the daily verification: requests go first.
const PAGE_PAUSE_MS: u64 = 20;
/// Milliseconds from a start to its first verification.
const FIRST_AFTER_MS: u64 = 30_000;

/// Pushes the whole log through `verification`; `each` gets every event that is the one that was
/// written, and `page` how many rows were seen.
///
/// # Errors
/// The store's, and those of `each`.
pub async fn verify<E: From<Failure>>(
    store: &Store,
    mut verification: Verification,
    mut each: impl FnMut(&Entry) -> Result<(), E>,
    mut page: impl AsyncFnMut(u64),
) -> Result<Report, E> {
    let mut from = 0;
    loop {
        let rows = store.log(from, PAGE_ROWS_MAX).await?;
        let Some(last) = rows.last() else { break };
        from = last.seq.saturating_add(1);
        for entry in &rows {
            if verification.push(entry) {
                each(entry)?;
            }
        }
        page(verification.seen()).await;
    }
    for event_id in store.events_outside(OUTSIDE_TOLD_MAX).await? {
        verification.outside(event_id);
    }
    Ok(verification.finish())
}

/// Verifies the log again and again, until the process stops.
pub(super) async fn run_forever(common: Common, log: Arc<AuditLog>) {
    let Some((_, key)) = &log.signing else {
        return;
    };
    let interval = Duration::from_secs(log.verification_interval_s.into());
    tokio::time::sleep(interval.min(Duration::from_millis(FIRST_AFTER_MS))).await;
    loop {
        match log.verify(&common, key).await {
            Ok(()) => {}
            Err(failure) => {
                tracing::warn!(%failure, "the audit log could not be verified; retrying");
            }
        }
        tokio::time::sleep(interval).await;
    }
}

impl AuditLog {
    async fn verify(&self, common: &Common, key: &LogKey) -> Result<(), Failure> {
        let verification = Verification::against(key, self.newest_claims(common, key).await?);
        let report = verify(
            &common.store,
            verification,
            |_| Ok::<(), Failure>(()),
            async |_| tokio::time::sleep(Duration::from_millis(PAGE_PAUSE_MS)).await,
        )
        .await?;
        common.metrics.audit_verified(common.now(), report.found);
        let outcome = if report.found == 0 {
            Outcome::Success
        } else {
            Outcome::Failed
        };
        let subject = Some(format!(
            "{} events, {} findings",
            report.events, report.found
        ));
        let event = common.event(&process(), Action::AuditVerified, outcome, subject);
        common.store.record(event).await?;
        if let Some(first) = report.findings.first() {
            let seen = format!("{} findings; the first: {first}", report.found);
            tracing::error!(reason = seen, "the audit log is not what was signed");
            let alert = Alert::new(AlertName::AuditLogAltered, &common.node, &seen);
            common.raise_or_log(alert).await;
        }
        Ok(())
    }

    /// The newest checkpoints: what they are over is as it was signed, if their roots hold. All of
    /// them would only say closer where it is not.
    async fn newest_claims(&self, common: &Common, key: &LogKey) -> Result<Vec<Claim>, Failure> {
        let mut claims = Vec::new();
        for sink in &self.sinks {
            let note = match sink.newest(key).await {
                Ok(None) => continue,
                Ok(Some(newest)) => newest.note,
                Err(reason) => {
                    tracing::warn!(%sink, reason, "a sink's copies cannot be read to verify");
                    continue;
                }
            };
            claims.push(Claim {
                source: sink.to_string(),
                note,
                is_outside: true,
            });
        }
        let kept = common.store.newest_checkpoint().await?;
        claims.extend(kept.map(|kept| Claim {
            source: "the store's newest checkpoint".to_owned(),
            note: kept.note,
            is_outside: false,
        }));
        Ok(claims)
    }
}
