//! Grants at the door: a handler that takes a [`Granted`] first is not reached without it, and the
//! body of a request that lacks it is not read.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use super::Plane;
use super::envelope::frame;
use super::peer::Peer;
use crate::problem::{Code, Problem};
use crate::vault::Common;
use crate::vault::grant::{Granted, Scope};
use crate::vault::idempotency::IdempotencyKey;

impl<S: Scope> FromRequest for Granted<S> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(grant(request))
    }
}

fn grant<S: Scope>(request: &HttpRequest) -> Result<Granted<S>, Problem> {
    let plane = request
        .app_data::<web::Data<Plane>>()
        .ok_or_else(|| Problem::new(Code::Internal))?;
    let peer = request
        .conn_data::<Peer>()
        .ok_or_else(|| Problem::new(Code::Unauthenticated))?;
    let live = plane
        .client_tls
        .as_ref()
        .ok_or_else(|| Problem::new(Code::Internal))?;
    if !peer.is_still_let_in(live, plane.clock.now()) {
        return Err(Problem::new(Code::Unauthenticated)
            .detail("The certificate is not taken any more: it is revoked or has ended."));
    }
    let client = plane.clients.find(peer.names()).ok_or_else(|| {
        Problem::new(Code::Unauthenticated).detail("The certificate names no configured client.")
    })?;
    let cut_off = |common: &Common| common.watch.is_cut_off(&client.san, plane.clock.now());
    if plane.common.as_ref().is_some_and(cut_off) {
        return Err(Problem::new(Code::NotGranted));
    }
    Granted::to(&client, frame(request)?.origin).ok_or_else(|| Problem::new(Code::NotGranted))
}

/// The request's `Idempotency-Key`, where it has one.
///
/// # Errors
/// [`Code::InvalidRequest`] for what is not a key, and for more than one.
pub fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let refuse = || {
        Problem::new(Code::InvalidRequest).detail(
            "Idempotency-Key is 1 to 255 printable ASCII characters, once, and no card number.",
        )
    };
    let mut values = request.headers().get_all("idempotency-key");
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(refuse());
    }
    let text = value.to_str().map_err(|_| refuse())?;
    IdempotencyKey::parse(text).map(Some).map_err(|_| refuse())
}

/// The request's `Idempotency-Key`, where money needs one.
///
/// # Errors
/// [`Code::InvalidRequest`] also when there is none.
pub fn required_idempotency_key(request: &HttpRequest) -> Result<IdempotencyKey, Problem> {
    idempotency_key(request)?.ok_or_else(|| {
        Problem::new(Code::InvalidRequest).detail("This request needs an Idempotency-Key.")
    })
}
