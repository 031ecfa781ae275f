//! What the watch tells: a decision and a warning, each with its audit event, its alert and a line in
//! the log, which names no merchant's customer.

use super::{Common, process};
use crate::alerts::{Alert, AlertName};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::store::{BlockRow, Failure};
use crate::token::BlockId;
use crate::watch::{self, Count, Decision, Rule, Subject};

impl Common {
    /// Writes down what a rule decided, with its event and its alert.
    pub(super) async fn write_down(&self, decision: &Decision) -> Result<(), Failure> {
        let rule = decision.rule;
        let block = decision.block().map(|block| {
            let row = BlockRow {
                id: BlockId::new(self.environment, decision.at),
                rule: rule.name.name().to_owned(),
                subject: block.subject.to_string(),
                action: block.action.name().to_owned(),
                node: self.node.to_string(),
                placed_at: block.placed_at,
                ends_at: block.ends_at,
                lifted_at: None,
                lifted_by: None,
            };
            let subject = Some(row.subject.clone());
            let event = self.event(&process(), Action::WatchActed, Outcome::Success, subject);
            (row, event)
        });
        let alert = alert(decision);
        self.metrics.rule_tripped(rule.name, decision.enforced);
        self.metrics.alert_raised(alert.name);
        let alert = self.new_alert(alert);
        let (id, rule) = (alert.id, rule.name.name());
        let (name, subject) = (alert.alert.name, named_in_the_log(decision));
        let (seen, next_step) = (&alert.alert.seen, name.next_step());
        tracing::error!(alert = name.name(), %id, subject, seen, next_step, rule, "an alert is raised");
        self.store.place_block(block, alert).await
    }

    /// Tells that somebody has come near a threshold: once for each subject and window.
    pub(super) async fn warn(&self, warning: &Decision) -> Result<(), Failure> {
        let (rule, who) = (&warning.rule, whom(warning.subject.as_ref()));
        let seen = format!(
            "{}, of which {} are nothing; {} is near",
            counted(rule, warning.count),
            rule.hits_max,
            rule.action.name()
        );
        let mut alert = self.new_alert(Alert::new(AlertName::ThresholdNear, &who, &seen));
        alert.window_ms = u64::from(rule.window_s).saturating_mul(1_000);
        let (id, name) = (alert.id, alert.alert.name);
        let event = self.event(&process(), Action::WatchWarned, Outcome::Success, Some(who));
        if self.store.warn_near(event, alert).await? {
            self.metrics.alert_raised(name);
            let (subject, next_step) = (named_in_the_log(warning), name.next_step());
            let rule = rule.name.name();
            tracing::warn!(alert = name.name(), %id, subject, seen, next_step, rule, "an alert is raised");
        }
        Ok(())
    }
}

/// Whom a decision is about, without the name of a merchant's customer: the alert has it.
fn named_in_the_log(decision: &Decision) -> String {
    match &decision.subject {
        None => "a card range".to_owned(),
        Some(subject) => match (subject.kind(), subject.parts()) {
            (watch::SubjectKind::Customer, _) => "a customer".to_owned(),
            (_, Some((_, network))) => format!("a customer in network {network}"),
            (_, None) => subject.to_string(),
        },
    }
}

fn alert(decision: &Decision) -> Alert {
    let Decision {
        rule,
        subject,
        count,
        enforced,
        ends_at,
        ..
    } = decision;
    let who = whom(subject.as_ref());
    let until = ends_at.map_or_else(|| "it is lifted".to_owned(), Timestamp::rfc3339);
    let done = match (enforced, rule.action) {
        (true, action) => format!("{} until {until}", action.name()),
        (false, watch::Action::Alert) => "nothing is stopped".to_owned(),
        (false, action) => format!("only observed; enforced, it would be: {}", action.name()),
    };
    Alert::new(
        rule.alert,
        &who,
        &format!("{}; {done}", counted(rule, *count)),
    )
}

fn counted(rule: &Rule, count: Count) -> String {
    let (name, window_s) = (rule.name.name(), rule.window_s);
    format!(
        "rule {name}: {} of {} within {window_s} s",
        count.hits, count.events
    )
}

fn whom(subject: Option<&Subject>) -> String {
    subject.map_or_else(
        || "a card range, which is in memory only".to_owned(),
        Subject::to_string,
    )
}
