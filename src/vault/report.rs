//! Reports: anybody may tell of abuse or an incident; the operator is alerted and reads them.

use super::grant::{Granted, Origin, ReportsRead};
use super::refusals::Attempt;
use super::{Capture, Internal, Refusal, Witness};
use crate::alerts::{Alert, AlertName};
use crate::audit::{Action, Actor, Outcome};
use crate::store::{ReportBudget, ReportRow, ReportTaken};
use crate::token::ReportId;

/// Seconds after which to come back when as many have reported as are heard.
const RETRY_AFTER_S: u32 = 3_600;

/// What somebody reports.
#[derive(Clone)]
pub struct ReportOrder {
    /// `abuse`, `incident`, `vulnerability` or `other`.
    pub about: &'static str,
    /// In the reporter's words, without a card number.
    pub message: String,
    /// Where to answer, if the reporter says.
    pub contact: Option<String>,
}

impl std::fmt::Debug for ReportOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReportOrder")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// Takes a report and alerts the operator.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`] past the hour's budget, of the address or of what is kept.
    #[tracing::instrument(name = "report.take", skip_all)]
    pub async fn take_report(
        &self,
        origin: Origin,
        order: ReportOrder,
    ) -> Result<ReportRow, Refusal> {
        let common = &self.common;
        let now = common.now();
        let report = ReportRow {
            id: ReportId::new(common.environment, now),
            about: order.about.to_owned(),
            message: order.message,
            contact: order.contact,
            origin: origin.address.clone(),
            created_at: now,
        };
        let budget = ReportBudget {
            of_an_address_max: common.limits.reports_of_an_address_per_hour_max,
            of_all_max: common.limits.reports_per_hour_max,
        };
        let witness = Witness {
            actor: Actor::Unidentified,
            account: None,
            origin: origin.address,
            request_id: Some(origin.request_id.clone()),
        };
        let request_id = origin.request_id;
        let subject = Some(report.id.to_string());
        let event = common.event(&witness, Action::ReportTaken, Outcome::Success, subject);
        let taken = common
            .store
            .take_report(report.clone(), budget, event)
            .await?;
        match taken {
            ReportTaken::Told => {
                // What the report says is read behind a grant, not in the log and not in a mail.
                let seen = format!("a report of {} was taken as {}", order.about, report.id);
                let alert = Alert::new(AlertName::ReportTaken, &report.id.to_string(), &seen);
                common.raise_or_log(alert).await;
                common.metrics.reported(order.about);
                Ok(report)
            }
            ReportTaken::Kept => {
                tracing::warn!("more reports come in than the operator is told of: they are kept");
                common.metrics.reported(order.about);
                common.metrics.reported("kept");
                Ok(report)
            }
            ReportTaken::Refused => {
                tracing::warn!("more reports come in than are taken");
                common.metrics.reported("refused");
                let attempt = Attempt {
                    actor: Actor::Unidentified,
                    action: Action::ReportTaken,
                    reason: "rate_limited".to_owned(),
                    address: report.origin,
                    request_id: Some(request_id),
                };
                common.refused(attempt).await?;
                Err(Refusal::RateLimited {
                    retry_after_s: RETRY_AFTER_S,
                })
            }
        }
    }
}

impl Internal {
    /// The newest reports, at most `limit`, older than `before` where that is said.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn list_reports(
        &self,
        granted: &Granted<ReportsRead>,
        before: Option<ReportId>,
        limit: u32,
    ) -> Result<Vec<ReportRow>, Refusal> {
        let reports = self.common.store.reports(before, limit).await?;
        self.common
            .witness_read(granted, Action::ReportsRead, "*".to_owned())
            .await?;
        Ok(reports)
    }
}
