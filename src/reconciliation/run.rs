//! One run over one account: walked under a lease, repaired where that is asked for and allowed,
//! reported under a signature.

use super::listed::Rows;
use super::report::{Report, Tally, Treatment};
use super::walk::{Bounds, Stopped, Walk, Watch};
use crate::alerts::{Alert, AlertName};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::processor::Processor;
use crate::store::{ComparisonDone, ComparisonLease};
use crate::token::{Account, RunId};
use crate::vault::{Internal, Witness, processor_of};

/// Milliseconds for which a run has its account to itself, renewed with every page: longer than a
/// page may take with all its tries.
const LEASE_MS: u64 = 900_000;
/// Milliseconds between two renewals.
const RENEW_AFTER_MS: u64 = 60_000;

/// Who compares what.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// Whose rows and objects.
    pub(crate) account: &'a Account,
    /// How far back.
    pub(crate) bounds: Bounds,
    /// Whether our side takes what the processor says, where that is allowed.
    pub(crate) repair: bool,
    /// Only where the last run ended before.
    pub(crate) ended_before: Option<Timestamp>,
    /// Who asks for it.
    pub(crate) context: Witness,
}

/// What is told of a run as it goes on.
pub type Progress<'a> = &'a mut dyn FnMut(&Tally);

/// One run.
pub(super) struct Run<'a> {
    pub(super) internal: &'a Internal,
    pub(super) order: &'a Order<'a>,
    pub(super) lease: ComparisonLease,
}

/// Compares one account; nothing where another run has it, or has ended not long ago.
///
/// # Errors
/// [`Stopped`] says why it came to no end; nothing is reported then.
pub(crate) async fn compare(
    internal: &Internal,
    order: &Order<'_>,
    progress: Progress<'_>,
) -> Result<Option<(Report, String)>, Stopped> {
    let common = &internal.common;
    let now = common.now();
    let lease = ComparisonLease {
        account: order.account.clone(),
        run: RunId::new(common.environment, now),
        node: common.node.to_string(),
    };
    let until = now.plus_ms(LEASE_MS);
    let store = &common.store;
    let begun = store.begin_comparison(lease.clone(), (now, until), order.ended_before);
    if !begun.await? {
        return Ok(None);
    }
    let run = Run {
        internal,
        order,
        lease,
    };
    match run.compare(now, progress).await {
        Ok(report) => run.finish(report).await.map(Some),
        Err(stopped) => {
            if let Err(failure) = store.abandon_comparison(run.lease).await {
                // The lease ends by itself.
                tracing::warn!(%failure, "a comparison's lease could not be given back");
            }
            Err(stopped)
        }
    }
}

impl Run<'_> {
    async fn compare(
        &self,
        started_at: Timestamp,
        progress: Progress<'_>,
    ) -> Result<Report, Stopped> {
        let mut walk = self.walk(started_at, progress)?;
        let differences = walk.differences().await?;
        let tally = walk.tally;
        let treated = if self.order.repair {
            self.repair(&mut walk, differences).await?
        } else {
            let reported = |difference| (difference, Treatment::Reported);
            differences.into_iter().map(reported).collect()
        };
        let common = &self.internal.common;
        Ok(Report {
            run: self.lease.run.to_string(),
            environment: common.environment.name(),
            account: self.order.account.to_string(),
            node: common.node.to_string(),
            by: self
                .order
                .context
                .actor
                .name()
                .map_or_else(|| self.order.context.actor.kind().to_owned(), str::to_owned),
            since: self.order.bounds.since.rfc3339(),
            started_at: started_at.rfc3339(),
            finished_at: common.now().rfc3339(),
            repair: self.order.repair,
            tally,
            differences: treated,
        })
    }

    fn walk<'w>(
        &'w self,
        started_at: Timestamp,
        progress: Progress<'w>,
    ) -> Result<Walk<'w, Warden<'w>>, Stopped> {
        let common = &self.internal.common;
        Ok(Walk {
            processor: self.processor()?,
            rows: Rows {
                store: &common.store,
                account: self.order.account,
                environment: common.environment,
                marking: &self.internal.session_issue_key,
            },
            key_lives_ms: u64::from(common.limits.idempotency_key_lifetime_s).saturating_mul(1_000),
            bounds: self.order.bounds,
            started_at,
            watch: Warden {
                run: self,
                renewed_at: started_at,
                progress,
            },
            tally: Tally::default(),
        })
    }

    pub(super) fn processor(&self) -> Result<&Processor, Stopped> {
        let processors = &self.internal.processors;
        processor_of(processors, self.order.account)
            .map_err(|_| Stopped::NoProcessor(self.order.account.clone()))
    }

    /// Writes down what was found, with its audit event, and wakes somebody where it differs.
    async fn finish(self, report: Report) -> Result<(Report, String), Stopped> {
        let common = &self.internal.common;
        let signed = report.signed(&self.internal.receipt_key);
        let (action, agrees) = if report.agrees() {
            (Action::ReconciliationAgreed, true)
        } else {
            (Action::ReconciliationDiffered, false)
        };
        let mut context = self.order.context.clone();
        context.account = Some(self.order.account.clone());
        let subject = Some(report.run.clone());
        let done = ComparisonDone {
            at: common.now(),
            differences: serde_json::json!(report.open_by_kind()).to_string(),
            report: signed.clone(),
            event: common.event(&context, action, Outcome::Success, subject),
        };
        let store = &common.store;
        store.finish_comparison(self.lease.clone(), done).await?;
        if !agrees {
            let seen = format!("Open differences: {}.", report.summary());
            let account = self.order.account.as_str();
            let alert = Alert::new(AlertName::ReconciliationDiffers, account, &seen);
            common.raise_or_log(alert).await;
        }
        Ok((report, signed))
    }
}

/// Keeps the lease, and tells how far the walk is.
struct Warden<'a> {
    run: &'a Run<'a>,
    renewed_at: Timestamp,
    progress: Progress<'a>,
}

impl Watch for Warden<'_> {
    async fn page(&mut self, tally: &Tally) -> Result<(), Stopped> {
        (self.progress)(tally);
        let common = &self.run.internal.common;
        let now = common.now();
        if now.ms_since(self.renewed_at) < RENEW_AFTER_MS {
            return Ok(());
        }
        let (lease, until) = (self.run.lease.clone(), now.plus_ms(LEASE_MS));
        if !common.store.extend_comparison(lease, until).await? {
            return Err(Stopped::Elsewhere);
        }
        self.renewed_at = now;
        Ok(())
    }
}
