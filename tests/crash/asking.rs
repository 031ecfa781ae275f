//! What all clients share, and how they ask: again and again, until there is an answer.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;

use crate::book::Book;
use crate::chance::Chance;
use crate::support::{Answer, Http, Who, read, request};

/// How long a client insists on an answer.
const INSISTS_FOR: Duration = Duration::from_secs(90);

/// What all clients share.
pub(crate) struct Load {
    pub(crate) book: Mutex<Book>,
    pub(crate) stop: AtomicBool,
    /// Capture and internal plane of each node; a client asks any.
    pub(crate) nodes: Vec<(String, String)>,
    pub(crate) checkout: Http,
    pub(crate) billing: Http,
    pub(crate) browser: Http,
}

/// Whether a client comes back when it got no answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Insists,
    /// It dies with the request, so to say.
    AsksOnce,
}

/// A request that can be sent again.
pub(crate) struct Ask<'a> {
    pub(crate) who: Who,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: Value,
}

impl Load {
    pub(crate) fn note(&self, write: impl FnOnce(&mut Book)) {
        write(&mut self.book.lock().unwrap());
    }

    async fn send(&self, ask: &Ask<'_>, chance: &mut Chance) -> Result<Answer, String> {
        let (capture, internal) = chance.pick(&self.nodes);
        let (http, plane) = match ask.who {
            Who::Nobody => (&self.browser, capture),
            Who::Checkout => (&self.checkout, internal),
            Who::Billing | Who::Admin => (&self.billing, internal),
        };
        let url = format!("{plane}{}", ask.path);
        let text = if ask.body.is_null() {
            String::new()
        } else {
            ask.body.to_string()
        };
        let sent = request(ask.method.clone(), &url, &ask.headers, text);
        let answer = read(http, sent).await;
        self.note(|book| {
            book.requests += 1;
            if let Ok(answer) = &answer {
                book.said.extend_from_slice(&answer.body);
            }
        });
        answer
    }

    /// Asks until the answer is one. Nothing where the client gave up.
    pub(crate) async fn insist(
        &self,
        ask: &Ask<'_>,
        patience: Patience,
        chance: &mut Chance,
    ) -> Option<Answer> {
        let started = Instant::now();
        while started.elapsed() < INSISTS_FOR {
            let failed = match self.send(ask, chance).await {
                Ok(answer) if !matches!(answer.status, 409 | 429 | 500..) => return Some(answer),
                // `internal` is a fault of ours and says so.
                Ok(answer) if answer.status == 500 => {
                    format!("{} {}: {}", ask.method, ask.path, answer.json())
                }
                Ok(_) | Err(_) => String::new(),
            };
            self.note(|book| {
                book.unanswered += 1;
                if !failed.is_empty() {
                    book.surprises.push(failed);
                }
            });
            if patience == Patience::AsksOnce {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(chance.between(20, 200))).await;
        }
        let surprise = format!("{} {} got no answer for 90 s", ask.method, ask.path);
        self.note(|book| book.surprises.push(surprise));
        None
    }
}
