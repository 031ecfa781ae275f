//! From bytes to an endpoint and back: connection hygiene, keys, form, headers.
//!
//! The sandbox may live in the process that tokenizes, so it treats a card as that process does:
//! header values are copied off the read buffer, the body is collected into one wiped buffer, and
//! a connection that carried a card is closed after its answer (so that its buffers are freed, and
//! the wiping allocator clears them). Nothing of a request is logged.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use aws_lc_rs::hmac;
use futures_util::StreamExt;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::errors::Refusal;
use super::form::Form;
use super::idempotency;
use super::job::{Job, Reply, Sent, render};
use super::keys::{Keyring, Right};
use super::post::Post;
use super::routes;
use super::state::{Call, Outcome, State};
use super::{authenticate, control, ids, journal};
use crate::clock::{Clock, Timestamp};

/// Evidence may be long, and each of its bytes is three in a form.
const BODY_BYTES_MAX: usize = 512 * 1_024;
const BODY_TIMEOUT_MS: u64 = 10_000;
/// Answered when the request names none, and the version of events.
pub(super) const API_VERSION: &str = "2026-09-30.endive";

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    keyring: Keyring,
    clock: Clock,
    mac_key: hmac::Key,
    /// Delivers events to endpoints without an authority of their own.
    pub(super) post: Post,
    /// Wakes the courier.
    pub(super) woken: Notify,
    /// Known once the listener is bound.
    pub(super) base_url: OnceLock<String>,
}

impl Shared {
    /// A sandbox that remembers what stands in `file`, where there is one.
    pub(super) fn new(
        keyring: Keyring,
        clock: Clock,
        post: Post,
        file: Option<&Path>,
    ) -> std::io::Result<Self> {
        let mut state = State::new();
        let mac_key = match file {
            None => super::state::new_key(),
            Some(file) => {
                let key = journal::open(&mut state, file)?;
                hmac::Key::new(hmac::HMAC_SHA256, &key)
            }
        };
        Ok(Self {
            state: Mutex::new(state),
            keyring,
            clock,
            mac_key,
            post,
            woken: Notify::new(),
            base_url: OnceLock::new(),
        })
    }

    /// What no caller of the API asked for.
    pub(super) fn call<'a>(&'a self, id: &'a str, form: &'a Form) -> Call<'a> {
        Call {
            id,
            form,
            base_url: self.base_url(),
            now: self.clock.now(),
            request_id: "",
            idempotency_key: "",
        }
    }

    pub(super) fn state(&self) -> Changing<'_> {
        Changing(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn base_url(&self) -> &str {
        self.base_url.get().map_or("", String::as_str)
    }
}

/// The state in the hands of one: what they change is written down before another has it.
pub(super) struct Changing<'a>(MutexGuard<'a, State>);

impl Deref for Changing<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        journal::write_down(&mut self.0);
    }
}

/// The body, collected.
struct Body(Zeroizing<Vec<u8>>);

/// The outermost middleware: nothing of a request stays in a buffer that outlives it.
pub(super) async fn collect(
    mut req: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    // Header values are slices of the connection's read buffer, and actix pools them.
    let aliased = std::mem::take(req.headers_mut());
    for (name, value) in aliased {
        if let Ok(copied) = header::HeaderValue::from_bytes(value.as_bytes()) {
            req.headers_mut().append(name, copied);
        }
    }
    let payload = req.take_payload();
    let limit = Duration::from_millis(BODY_TIMEOUT_MS);
    let declared = req
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    match actix_web::rt::time::timeout(limit, whole(payload, declared)).await {
        Ok(Ok(body)) => {
            req.extensions_mut().insert(Body(body));
            next.call(req).await
        }
        Ok(Err(status)) => Ok(req.into_response(closing(status))),
        Err(_) => Ok(req.into_response(closing(StatusCode::REQUEST_TIMEOUT))),
    }
}

fn closing(status: StatusCode) -> HttpResponse {
    HttpResponse::build(status).force_close().finish()
}

async fn whole(
    mut payload: Payload,
    declared: Option<usize>,
) -> Result<Zeroizing<Vec<u8>>, StatusCode> {
    // As large as it will get from the start: a buffer that grows leaves copies behind.
    let capacity = declared.unwrap_or(BODY_BYTES_MAX);
    if capacity > BODY_BYTES_MAX {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(capacity));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
        if body.len().saturating_add(chunk.len()) > capacity {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Everything that comes in.
pub(super) async fn handle(req: HttpRequest, shared: Data<Shared>) -> HttpResponse {
    let body = req
        .extensions_mut()
        .remove::<Body>()
        .map(|body| body.0)
        .unwrap_or_default();
    let (method, path) = (req.method().as_str(), req.path());
    if let Some(id) = path.strip_prefix("/authenticate/") {
        let form = authenticate::form(&body);
        let (id, challenge) = match id.split_once('/') {
            Some((id, challenge)) => (id, Some(challenge)),
            None => (id, None),
        };
        let call = shared.call(id, &form);
        let answer = authenticate::answer(&mut shared.state(), (method, challenge), &call);
        shared.woken.notify_one();
        return answer;
    }
    let mut headers = Headers::of(&req);
    // Whatever else a card is sent to, its connection is closed.
    headers.close = [body.as_slice(), req.query_string().as_bytes()]
        .into_iter()
        .any(names_a_card);
    let right = match shared.keyring.right_of(&req) {
        Ok(right) => right,
        Err(refusal) => return headers.answer(&shared, Err(refusal)),
    };
    if let Some(control) = path.strip_prefix("/_sandbox/") {
        let (state, nothing) = (&mut shared.state(), Form::default());
        let call = shared.call("", &nothing);
        let outcome = match right {
            Right::Full => control::answer(state, (method, control), &body, &call),
            Right::Restricted => Err(forbidden("rak_sandbox_control")),
        };
        shared.woken.notify_one();
        return headers.answer(&shared, outcome);
    }
    match prepare(&req, &shared, right, &body, &headers) {
        Err(refusal) => headers.answer(&shared, Err(refusal)),
        Ok(job) => {
            drop(body);
            // A task of its own: as at Stripe, who hangs up does not undo what was asked for.
            match actix_web::rt::spawn(job.run(shared)).await {
                Ok(Sent::Answer(reply)) => headers.send(&reply),
                Ok(Sent::Cut) | Err(_) => cut(),
            }
        }
    }
}

/// Percent-encoded or not, a card's field is called `…number`, and that of its code alone
/// `cvc_update…`.
fn names_a_card(text: &[u8]) -> bool {
    let names = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    names(b"number") || names(b"cvc_update")
}

fn forbidden(permission: &str) -> Refusal {
    Refusal::new(
        403,
        "invalid_request_error",
        format!(
            "The provided key does not have the required permissions for this endpoint on account '{}'. Having the '{permission}' permission would allow this request to continue.",
            routes::ACCOUNT
        ),
    )
}

fn prepare(
    req: &HttpRequest,
    shared: &Shared,
    right: Right,
    body: &[u8],
    headers: &Headers,
) -> Result<Job, Refusal> {
    let (method, path) = (req.method().as_str(), req.path());
    let found = routes::find(method, path);
    let name = found.map_or("other".to_owned(), |(route, _)| {
        format!("{} {}", route.method, route.path)
    });
    {
        let mut state = shared.state();
        let seen = state.seen.entry(name).or_insert(0);
        *seen = seen.saturating_add(1);
    }
    let (route, id) = found
        .ok_or_else(|| Refusal::new(404, "invalid_request_error", "Unrecognized request URL."))?;
    if right == Right::Restricted && !route.restricted_may {
        return Err(forbidden(route.permission));
    }
    let form = match method {
        "GET" => Form::parse(req.query_string().as_bytes())?,
        _ => Form::parse(body)?,
    };
    let key = headers
        .idempotency_key
        .as_ref()
        .filter(|_| method == "POST");
    let key = match key {
        None => None,
        Some(key) if key.len() > idempotency::KEY_CHARS_MAX => {
            return Err(Refusal::invalid(
                "Idempotency keys have up to 255 characters.",
            ));
        }
        Some(key) => {
            let account = req
                .headers()
                .get("stripe-account")
                .and_then(|value| value.to_str().ok())
                .unwrap_or(routes::ACCOUNT);
            let mac = idempotency::request_mac(&shared.mac_key, method, path, &form);
            Some((format!("{account}/{key}"), mac))
        }
    };
    Ok(Job {
        route,
        path: path.to_owned(),
        id: id.to_owned(),
        form,
        key,
        request_id: headers.request_id.clone(),
        now: shared.clock.now(),
    })
}

/// What the answer's headers need to know of the request's.
struct Headers {
    request_id: String,
    version: Option<header::HeaderValue>,
    idempotency_key: Option<String>,
    close: bool,
}

impl Headers {
    fn of(req: &HttpRequest) -> Self {
        let headers = req.headers();
        Self {
            request_id: format!("req_{}", ids::random(14)),
            version: headers.get("stripe-version").cloned(),
            idempotency_key: headers
                .get("idempotency-key")
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            close: false,
        }
    }

    fn answer(&self, shared: &Shared, outcome: Outcome) -> HttpResponse {
        self.send(&render(shared, &self.request_id, outcome))
    }

    fn send(&self, reply: &Reply) -> HttpResponse {
        let status = StatusCode::from_u16(reply.kept.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::build(status);
        response
            .content_type("application/json")
            .insert_header((header::CACHE_CONTROL, "no-cache, no-store"))
            .insert_header(("Request-Id", self.request_id.as_str()));
        match &self.version {
            Some(version) => response.insert_header(("Stripe-Version", version.clone())),
            None => response.insert_header(("Stripe-Version", API_VERSION)),
        };
        if let Some(key) = &self.idempotency_key {
            response
                .insert_header(("Idempotency-Key", key.as_str()))
                .insert_header(("Original-Request", reply.kept.request_id.as_str()));
        }
        if reply.replayed {
            response.insert_header(("Idempotent-Replayed", "true"));
        }
        if let Some(should) = reply.should_retry {
            response.insert_header(("Stripe-Should-Retry", should.to_string()));
        }
        if let Some(seconds) = reply.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"Stripe\""));
        }
        if self.close {
            response.force_close();
        }
        response.body(reply.kept.body.to_vec())
    }
}

/// Drops the connection without a byte: the body fails before the head has left the buffer.
fn cut() -> HttpResponse {
    HttpResponse::with_body(StatusCode::OK, BoxBody::new(Cut))
}

struct Cut;

impl MessageBody for Cut {
    type Error = std::io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Bytes, Self::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())))
    }
}
