//! The merchant: what all of its clients share, and how they call. A call has little time, and is
//! repeated under its key at any node, whatever became of the one before.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::call::{Call, Patience, shown};
use crate::chance::Chance;
use crate::journal::Journal;
use crate::support::{Answer, Http, Who, read, request};

/// How long a client insists on an answer when nothing is killed any more; a busy machine needs most
/// of it, since a client that hangs up leaves its request behind.
const INSISTS_FOR: Duration = Duration::from_mins(2);
/// How long it waits for one, at least and at most.
const TIMEOUT_MS: (u64, u64) = (400, 3_000);
/// The pause before it calls again; `Retry-After` is not for it.
const PAUSE_MS: (u64, u64) = (0, 200);
/// Of a hundred calls, those that are sent twice at once.
const TWICE_PERCENT: u64 = 25;

pub(crate) struct Merchant {
    pub(crate) journal: Mutex<Journal>,
    pub(crate) started: Instant,
    /// When the last kill was over and the load stopped.
    pub(crate) stopped: OnceLock<Instant>,
    /// Capture and internal plane of each node; a client calls any.
    pub(crate) nodes: Vec<(String, String)>,
    pub(crate) checkout: Http,
    pub(crate) billing: Http,
    pub(crate) admin: Http,
    pub(crate) browser: Http,
}

impl Merchant {
    pub(crate) fn note(&self, write: impl FnOnce(&mut Journal)) {
        write(&mut self.journal.lock().unwrap());
    }

    pub(crate) fn stop(&self) {
        self.stopped.set(Instant::now()).unwrap();
    }

    /// How long ago the load stopped; nothing while it goes on.
    pub(crate) fn stopped(&self) -> Option<Duration> {
        self.stopped.get().map(Instant::elapsed)
    }

    /// A line of the timeline, about something that began then.
    pub(crate) fn line(&self, since: Instant, text: &str) {
        let began = since.saturating_duration_since(self.started).as_secs_f64();
        let lasted = since.elapsed().as_secs_f64();
        let line = format!("{began:8.3} +{lasted:5.3} {text}");
        self.note(|journal| journal.timeline.push(line));
    }

    async fn send(&self, call: &Call, chance: &mut Chance) -> Result<Answer, String> {
        let node = chance.place(self.nodes.len());
        let (capture, internal) = &self.nodes[node];
        let (http, plane) = match call.who {
            Who::Nobody => (&self.browser, capture),
            Who::Checkout => (&self.checkout, internal),
            Who::Billing => (&self.billing, internal),
            Who::Admin => (&self.admin, internal),
        };
        let url = format!("{plane}{}", call.path);
        let text = if call.body.is_null() {
            String::new()
        } else {
            call.body.to_string()
        };
        let mut headers = Vec::new();
        if let Some(key) = &call.key {
            headers.push(("idempotency-key", key.as_str()));
        }
        if let Some(bearer) = &call.bearer {
            headers.push(("authorization", bearer.as_str()));
        }
        let (least, most) = TIMEOUT_MS;
        let patience = Duration::from_millis(chance.between(least, most));
        let began = Instant::now();
        let sent = request(call.method.clone(), &url, &headers, text);
        // Who gives up hangs up: the service may be in the midst of it.
        let answer = tokio::time::timeout(patience, read(http, sent)).await;
        let answer = answer.unwrap_or_else(|_| Err("timed out".to_owned()));
        let became = match &answer {
            Ok(answer) => shown(answer),
            Err(_) if began.elapsed() >= patience => "timed out".to_owned(),
            Err(_) => "no answer".to_owned(),
        };
        let text = format!("node-{} {} -> {became}", node + 1, call.show());
        self.line(began, &text);
        self.note(|journal| {
            journal.requests += 1;
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            *journal.answers.entry(status).or_default() += 1;
            if let Ok(answer) = &answer {
                journal.said.extend_from_slice(&answer.body);
            }
        });
        answer
    }

    /// Calls until the answer is one. Nothing where the client gave up.
    pub(crate) async fn insist(
        &self,
        call: &Call,
        patience: Patience,
        chance: &mut Chance,
    ) -> Option<Answer> {
        let heard = Cell::new(false);
        self.insist_beside(call, patience, chance, &heard).await
    }

    /// The same beside others who send the same. A session gives its token's answer 64 times: who is
    /// refused by that budget needs no answer where another has `heard` it.
    async fn insist_beside(
        &self,
        call: &Call,
        patience: Patience,
        chance: &mut Chance,
        heard: &Cell<bool>,
    ) -> Option<Answer> {
        while self.stopped().is_none_or(|since| since < INSISTS_FOR) {
            let failed = match self.send(call, chance).await {
                Ok(answer) if !matches!(answer.status, 408 | 409 | 429 | 500..) => {
                    heard.set(true);
                    return Some(answer);
                }
                Ok(answer) if heard.get() && is_exhausted(&answer) => return None,
                // `internal` is a fault of ours and says so.
                Ok(answer) if answer.status == 500 => {
                    Some(format!("{}: {}", call.show(), answer.json()))
                }
                Ok(_) | Err(_) => None,
            };
            self.note(|journal| journal.surprises.extend(failed));
            if patience == Patience::AsksOnce {
                return None;
            }
            let (least, most) = PAUSE_MS;
            tokio::time::sleep(Duration::from_millis(chance.between(least, most))).await;
        }
        self.note(|journal| journal.endless.push(call.show()));
        None
    }

    /// The same; some send the same twice at once, as a retry does that comes too soon.
    pub(crate) async fn insist_or_overlap(
        &self,
        call: &Call,
        patience: Patience,
        chance: &mut Chance,
    ) -> Vec<Answer> {
        let (mut one, mut other) = (chance.fork(), chance.fork());
        let heard = Cell::new(false);
        let answers = if chance.percent(TWICE_PERCENT) {
            let both = tokio::join!(
                self.insist_beside(call, patience, &mut one, &heard),
                self.insist_beside(call, patience, &mut other, &heard)
            );
            [both.0, both.1]
        } else {
            [self.insist(call, patience, &mut one).await, None]
        };
        answers.into_iter().flatten().collect()
    }
}

/// Whether a session refuses a card because it has given its answer too often.
fn is_exhausted(answer: &Answer) -> bool {
    let detail = &answer.json()["detail"];
    answer.status == 429 && detail == "The capture session has no attempt left; make a new one."
}
