//! One request to an endpoint: faults, idempotency, execution.
//!
//! The order is that of a real processor behind a real network: what cuts the wire strikes first,
//! then the key is claimed, then the request takes its time, then it executes and its answer is
//! kept in one step, and only then may the answer be lost.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;

use super::errors::Refusal;
use super::faults::{Fault, Kind};
use super::form::Form;
use super::idempotency::{self, Claim, Kept};
use super::payment_intents;
use super::routes::Route;
use super::server::Shared;
use super::state::{Call, Outcome};
use crate::clock::Timestamp;

/// One request to an endpoint, on its own.
pub(super) struct Job {
    pub(super) route: &'static Route,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) form: Form,
    pub(super) key: Option<(String, [u8; 32])>,
    pub(super) request_id: String,
    pub(super) now: Timestamp,
}

pub(super) enum Sent {
    Answer(Reply),
    Cut,
}

/// An answer, all but its headers.
pub(super) struct Reply {
    pub(super) kept: Kept,
    pub(super) replayed: bool,
    pub(super) should_retry: Option<bool>,
    pub(super) retry_after_s: Option<u32>,
}

impl Job {
    pub(super) async fn run(self, shared: Data<Shared>) -> Sent {
        let fault = shared.state().faults.take(self.route.method, &self.path);
        if let Some(fault) = fault.as_ref().filter(|fault| !fault.after_execution) {
            match fault.kind {
                Kind::CutBefore => return Sent::Cut,
                Kind::Hang => {
                    drop(self);
                    return hang(fault).await;
                }
                Kind::Status if fault.status < 500 && !fault.is_kept() => {
                    let refusal = staged(fault);
                    return Sent::Answer(self.reply(&shared, Err(refusal)));
                }
                Kind::Delay | Kind::CutAfter | Kind::Status => {}
            }
        }
        let reply = match self.claim(&shared) {
            Claim::Fresh => {
                self.wait(&shared, fault.as_ref()).await;
                self.execute(&shared, fault.as_ref())
            }
            Claim::Replay(kept) => Reply {
                kept,
                replayed: true,
                should_retry: None,
                retry_after_s: None,
            },
            Claim::Refused(refusal) => self.reply(&shared, Err(refusal)),
        };
        match fault.filter(|fault| matches!(fault.kind, Kind::CutAfter | Kind::Hang)) {
            Some(fault) if fault.kind == Kind::Hang => {
                drop(self);
                hang(&fault).await
            }
            Some(_) => Sent::Cut,
            None => Sent::Answer(reply),
        }
    }

    fn claim(&self, shared: &Shared) -> Claim {
        match &self.key {
            None => Claim::Fresh,
            Some((key, mac)) => shared.state().keys.claim(key, *mac, self.now),
        }
    }

    async fn wait(&self, shared: &Shared, fault: Option<&Fault>) {
        let latency_ms = shared.state().switches.latency_ms;
        let delay_ms = fault
            .filter(|fault| fault.kind != Kind::Hang)
            .map_or(0, Fault::delay_ms);
        let total_ms = latency_ms.saturating_add(delay_ms);
        if total_ms > 0 {
            actix_web::rt::time::sleep(Duration::from_millis(total_ms)).await;
        }
    }

    /// Execution and the keeping of its answer are one step under the lock.
    fn execute(&self, shared: &Shared, fault: Option<&Fault>) -> Reply {
        let failing = fault.filter(|fault| fault.kind == Kind::Status);
        let mut state = shared.state();
        let call = Call {
            id: &self.id,
            form: &self.form,
            base_url: shared.base_url(),
            now: self.now,
            request_id: &self.request_id,
            idempotency_key: self
                .key
                .as_ref()
                .and_then(|(key, _)| key.split_once('/'))
                .map_or("", |(_, key)| key),
        };
        let executed = match failing {
            Some(fault) if !fault.after_execution => None,
            _ => Some((self.route.run)(&mut state, &call)),
        };
        let executed = executed.map(|outcome| {
            outcome.map(|object| payment_intents::expanded(&state, &self.form, object))
        });
        let began = !matches!(&executed, Some(Err(refusal)) if !refusal.began);
        let executed = executed.map(|outcome| self.reply(shared, outcome));
        let told = failing.map(|fault| self.reply(shared, Err(staged(fault))));
        let kept = match (&executed, &told, failing) {
            // What was executed and refused keeps its refusal: a 5xx kept under the key of an act
            // that can never be done would leave its caller nothing to find.
            (Some(executed), _, Some(fault))
                if fault.after_execution && executed.kept.status >= 400 =>
            {
                began.then_some(executed)
            }
            (_, Some(told), Some(fault)) if fault.is_kept() => Some(told),
            (Some(executed), _, _) if began => Some(executed),
            _ => None,
        };
        if let Some((key, _)) = &self.key {
            match kept.filter(|reply| idempotency::is_kept(reply.kept.status)) {
                Some(reply) => state
                    .keys
                    .keep(key, reply.kept.clone(), !has_card(&self.form)),
                None => state.keys.release(key),
            }
        }
        drop(state);
        shared.woken.notify_one();
        match (told, executed) {
            (Some(reply), _) | (None, Some(reply)) => reply,
            (None, None) => self.reply(shared, Err(Refusal::staged(500))),
        }
    }

    fn reply(&self, shared: &Shared, outcome: Outcome) -> Reply {
        render(shared, &self.request_id, outcome)
    }
}

fn has_card(form: &Form) -> bool {
    let is_card = |name: &str| name.starts_with("card") || name.starts_with("cvc_update");
    form.fields().any(|(name, _)| is_card(name))
}

fn staged(fault: &Fault) -> Refusal {
    let mut refusal = Refusal::staged(fault.status);
    refusal.retry_after_s = fault.retry_after_s;
    refusal.should_retry = fault.should_retry.or(refusal.should_retry);
    refusal
}

async fn hang(fault: &Fault) -> Sent {
    actix_web::rt::time::sleep(Duration::from_millis(fault.delay_ms())).await;
    Sent::Cut
}

pub(super) fn render(shared: &Shared, request_id: &str, outcome: Outcome) -> Reply {
    let log_url = || format!("{}/_sandbox/ledger#{request_id}", shared.base_url());
    let (status, should_retry, retry_after_s, value) = match outcome {
        Ok(value) => (200, None, None, value),
        Err(refusal) => (
            refusal.status,
            refusal.should_retry,
            refusal.retry_after_s,
            serde_json::json!({ "error": refusal.to_json(&log_url()) }),
        ),
    };
    let body = serde_json::to_vec(&value).unwrap_or_default();
    Reply {
        kept: Kept {
            status,
            body: Arc::from(body),
            request_id: request_id.to_owned(),
        },
        replayed: false,
        should_retry,
        retry_after_s,
    }
}
