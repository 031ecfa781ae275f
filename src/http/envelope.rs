//! The envelope around every request: an id, a span, limits on the head, the wiped body of the
//! capture plane, and one form for everything that goes wrong.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    CROSS_ORIGIN_OPENER_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, HOST, HeaderMap, HeaderName,
    HeaderValue, PERMISSIONS_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use tracing::Instrument as _;

use super::body::Wiped;
use super::peer::Peer;
use super::{Plane, PlaneName, allowances};
use crate::audit::{Action, Actor};
use crate::problem::{Code, Problem};
use crate::telemetry::metrics::known_method;
use crate::telemetry::{Answered, TraceParent};
use crate::token::RequestId;
use crate::vault::grant::Origin;
use crate::vault::refusals::Attempt;

/// Bytes of what a browser reports of a page of ours.
const BROWSER_REPORT_BYTES_MAX: usize = 65_536;

/// The header under which every answer names its request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a handler may know of the request's frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where the request came from, and its id.
    pub origin: Origin,
}

/// The frame of a request.
///
/// # Errors
/// Only when a handler runs outside the envelope, which is a fault of ours.
pub fn frame(request: &HttpRequest) -> Result<Frame, Problem> {
    request
        .extensions()
        .get::<Frame>()
        .cloned()
        .ok_or_else(|| Problem::new(Code::Internal))
}

/// The outermost middleware of every plane.
///
/// # Errors
/// Only what actix itself could not route; a handler's error is an answer by then.
pub async fn envelope(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let plane = request.app_data::<web::Data<Plane>>().cloned();
    let Some(plane) = plane else {
        return Err(Problem::new(Code::Internal).into());
    };
    let frame = Frame {
        origin: Origin {
            address: request
                .conn_data::<Peer>()
                .map_or_else(|| "-".to_owned(), Peer::address),
            request_id: RequestId::new(plane.environment, plane.clock.now()).to_string(),
        },
    };
    let request_id = frame.origin.request_id.clone();
    request.extensions_mut().insert(frame.clone());
    let trace = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .and_then(TraceParent::parse);
    let span = tracing::info_span!(
        "http.request",
        plane = plane.name.name(),
        request_id,
        trace_id = trace.map(|trace| tracing::field::display(trace.trace_id)),
    );
    let method = request.method().clone();
    let active = plane.metrics.request_begun(plane.name);

    let mut response = serve(&plane, request, next, &request_id)
        .instrument(span.clone())
        .await?;
    response = one_form(response, &request_id);
    witness_refusal(&plane, &frame, &mut response)
        .instrument(span.clone())
        .await;
    allowances::tell(&plane, &mut response);
    seal_off(&plane, &method, &request_id, &mut response);
    drop(active);

    let route = response.request().match_pattern();
    let route = plane.route_label(route.as_deref());
    let status = response.status().as_u16();
    let method = known_method(method.as_str());
    let duration = started.elapsed();
    plane.metrics.request_answered(&Answered {
        plane: plane.name,
        method,
        route,
        status,
        duration,
    });
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::info!(method, route, status, duration_ms, "served"));
    Ok(response)
}

/// Limits, the wiped body, and then the handler.
async fn serve(
    plane: &Plane,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    request_id: &str,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let limits = &plane.limits;
    if plane.name == PlaneName::Capture {
        copy_headers(request.headers_mut());
        let payload = request.take_payload();
        let bytes_max = match request.path() {
            super::NOTICES_PATH => limits.notice_body_bytes_max,
            super::fields::REPORTS_PATH => BROWSER_REPORT_BYTES_MAX,
            _ => limits.card_body_bytes_max,
        };
        // The room is taken at once and wiped as a whole: no more than the sender says it needs.
        let declared = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let room = declared.map_or(bytes_max, |length| length.min(bytes_max));
        let read = Wiped::collect(payload, room, limits.request_body_timeout_ms).await;
        match read {
            Ok(body) => request.extensions_mut().insert(body),
            Err(problem) => return Ok(request.into_response(problem.answer(request_id))),
        };
    }
    let header_bytes = request
        .headers()
        .iter()
        .fold(0_usize, |sum, (name, value)| {
            sum.saturating_add(name.as_str().len())
                .saturating_add(value.len())
        });
    if header_bytes > limits.request_headers_bytes_max {
        let problem =
            Problem::new(Code::MalformedRequest).detail("The request's headers are too large.");
        return Ok(request.into_response(problem.answer(request_id)));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// actix's header values are slices of the connection's read buffer, which also holds the body,
/// and its pooled request heads keep them after the connection is gone. Copies let go of it.
fn copy_headers(headers: &mut HeaderMap) {
    let aliased = std::mem::take(headers);
    for (name, value) in aliased {
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(name, copy);
        }
    }
}

/// Every error answer in the one form, whoever made it. actix's own texts repeat the caller.
fn one_form(response: ServiceResponse<BoxBody>, request_id: &str) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let problem = match response.response().error() {
        Some(error) => problem_of(error),
        None if status.is_client_error() || status.is_server_error() => {
            let ours = [
                crate::problem::MEDIA_TYPE.as_bytes(),
                b"application/json",
                b"text/html; charset=utf-8",
            ];
            let kind = response.headers().get(CONTENT_TYPE);
            if kind.is_some_and(|kind| ours.contains(&kind.as_bytes())) {
                return response;
            }
            Problem::new(code_of(status.as_u16()))
        }
        None => return response,
    };
    let answer = problem.answer(request_id);
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, answer)
}

fn problem_of(error: &Error) -> Problem {
    error
        .as_error::<Problem>()
        .cloned()
        .unwrap_or_else(|| Problem::new(code_of(error.as_response_error().status_code().as_u16())))
}

/// The code of an error that was not ours to begin with.
const fn code_of(status: u16) -> Code {
    match status {
        401 => Code::Unauthenticated,
        403 => Code::NotGranted,
        404 => Code::NotFound,
        405 => Code::MethodNotAllowed,
        408 => Code::RequestTimeout,
        413 => Code::BodyTooLarge,
        415 => Code::UnsupportedMediaType,
        429 => Code::RateLimited,
        400..=499 => Code::MalformedRequest,
        _ => Code::Internal,
    }
}

/// A refused attempt is an event too (PCI DSS 10.2.1.4), written before it is answered, or counted
/// to one that was; when it cannot be written, that is the answer.
async fn witness_refusal(plane: &Plane, frame: &Frame, response: &mut ServiceResponse<BoxBody>) {
    let status = response.status().as_u16();
    let (Some(common), 401 | 403) = (&plane.common, status) else {
        return;
    };
    let code = response.response().extensions().get::<Code>().copied();
    // A shopper who is to be verified again lacks no right; the vault has written its event.
    if code == Some(Code::VerificationRequired) {
        return;
    }
    plane.metrics.grant_refused(plane.name);
    let actor = response
        .request()
        .conn_data::<Peer>()
        .and_then(|peer| plane.clients.find(peer.names()))
        .map_or(Actor::Unidentified, |client| {
            Actor::Client(client.san.clone())
        });
    let client = match &actor {
        Actor::Client(san) => Some(san.as_str()),
        Actor::Session(_)
        | Actor::Operator(_)
        | Actor::Processor(_)
        | Actor::Process
        | Actor::Unidentified => None,
    };
    common
        .watch
        .refused(client, &frame.origin.address, plane.clock.now());
    let route = response.request().match_pattern();
    let route = plane.route_label(route.as_deref());
    let method = known_method(response.request().method().as_str());
    let why = code.map_or("refused", Code::name);
    let attempt = Attempt {
        actor,
        action: Action::GrantRefused,
        reason: format!("{why} {method} {route}"),
        address: frame.origin.address.clone(),
        request_id: Some(frame.origin.request_id.clone()),
    };
    if let Err(failure) = common.refused(attempt).await {
        tracing::error!(%failure, "a refused attempt could not be recorded");
        let problem = Problem::new(Code::StoreUnavailable).retry_after_s(5);
        let answer = problem.answer(&frame.origin.request_id);
        *response = ServiceResponse::new(response.request().clone(), answer);
    }
}

/// The headers of every answer, and the end of a connection that may have carried a card.
fn seal_off(
    plane: &Plane,
    method: &Method,
    request_id: &str,
    response: &mut ServiceResponse<BoxBody>,
) {
    let card = plane.name == PlaneName::Capture && method != Method::GET && method != Method::HEAD;
    // The read buffers of actix and rustls live as long as their connection; and who is told that
    // it ends sends the next request elsewhere.
    if card || plane.drain.has_begun() {
        response
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    let host = response.request().headers().get(HOST);
    let development = host.is_some_and(|host| host.as_bytes().starts_with(b"localhost"));
    let headers = response.headers_mut();
    if !development {
        // RFC 6797. On localhost it would lock every other development server out of the browser.
        let two_years = HeaderValue::from_static("max-age=63072000");
        headers.insert(STRICT_TRANSPORT_SECURITY, two_years);
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
    let fixed = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if plane.name == PlaneName::Capture {
        // What is no page of ours does nothing as a page, in no frame, and serves no other site.
        let otherwise = [
            (
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'",
            ),
            (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
            (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
            (
                PERMISSIONS_POLICY,
                "camera=(), geolocation=(), microphone=(), payment=()",
            ),
        ];
        for (name, value) in otherwise {
            if !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
}
