//! From an accepted connection to its first request: the gate, a handshake slot, the handshake, and
//! a record of whoever is not let in.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_service::{Service, ServiceFactory};
use actix_tls::accept::TlsError;
use actix_web::rt::net::TcpStream;
use actix_web::web;
use tokio::sync::Semaphore;

use super::Plane;
use super::gate::{self, Gate};
use super::tls::attempt;
use crate::audit::{Action, Actor};
use crate::vault::refusals::Attempt;

type Ended = TlsError<io::Error, DispatchError>;
type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// Makes each worker's [`Accepting`].
pub(super) struct AcceptingFactory<F> {
    pub(super) inner: F,
    pub(super) gate: Arc<Gate>,
    pub(super) plane: web::Data<Plane>,
}

/// A worker's way in, before what speaks TLS and HTTP.
pub(super) struct Accepting<S> {
    inner: Rc<S>,
    gate: Arc<Gate>,
    slots: Arc<Semaphore>,
    plane: web::Data<Plane>,
}

impl<F> ServiceFactory<TcpStream> for AcceptingFactory<F>
where
    F: ServiceFactory<TcpStream, Config = (), Response = (), Error = Ended, InitError = ()>,
    F::Service: 'static,
    F::Future: 'static,
{
    type Response = ();
    type Error = Ended;
    type Config = ();
    type Service = Accepting<F::Service>;
    type InitError = ();
    type Future = Local<Result<Self::Service, ()>>;

    fn new_service(&self, config: ()) -> Self::Future {
        let inner = self.inner.new_service(config);
        let (gate, plane) = (Arc::clone(&self.gate), self.plane.clone());
        Box::pin(async move {
            Ok(Accepting {
                inner: Rc::new(inner.await?),
                gate,
                slots: Arc::new(Semaphore::new(plane.limits.handshakes_max)),
                plane,
            })
        })
    }
}

impl<S> Service<TcpStream> for Accepting<S>
where
    S: Service<TcpStream, Response = (), Error = Ended> + 'static,
{
    type Response = ();
    type Error = Ended;
    type Future = Local<Result<(), Ended>>;

    /// Always: whether there is a slot is asked for one connection, and holds up no other.
    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, stream: TcpStream) -> Self::Future {
        let (inner, gate) = (Rc::clone(&self.inner), Arc::clone(&self.gate));
        let (slots, plane) = (Arc::clone(&self.slots), self.plane.clone());
        Box::pin(async move { let_in(&*inner, &gate, slots, &plane, stream).await })
    }
}

async fn let_in<S>(
    inner: &S,
    gate: &Arc<Gate>,
    slots: Arc<Semaphore>,
    plane: &Plane,
    stream: TcpStream,
) -> Result<(), Ended>
where
    S: Service<TcpStream, Response = (), Error = Ended>,
{
    let address = stream.peer_addr().map_err(TlsError::Tls)?.ip();
    let waiting = gate.enter(address);
    let crowded_out = waiting.ended();
    let held = async {
        gate::hello(&stream).await.map_err(|_| "silent")?;
        // Those before it have the time of a handshake, and no more.
        let patience = Duration::from_millis(plane.limits.tls_handshake_timeout_ms);
        let slot = tokio::time::timeout(patience, slots.acquire_owned()).await;
        slot.ok().and_then(Result::ok).ok_or("busy")
    };
    let slot = tokio::select! {
        slot = held => slot,
        () = crowded_out.notified() => Err("crowded_out"),
    };
    let slot = match slot {
        Ok(slot) => slot,
        Err(why) => {
            plane.metrics.connection_turned_away(plane.name, why);
            return Ok(());
        }
    };
    let done = attempt::with((waiting, slot), inner.call(stream));
    let done = tokio::select! {
        done = done => done,
        // Once it is let in, nobody ends it any more.
        () = crowded_out.notified() => {
            plane.metrics.connection_turned_away(plane.name, "crowded_out");
            return Ok(());
        }
    };
    let Err((error, presented)) = done else {
        return Ok(());
    };
    if let TlsError::Tls(error) = &error
        && let Some(reason) = attempt::reason(error)
    {
        record(plane, &address.to_string(), reason, presented).await;
    }
    Err(error)
}

/// An invalid attempt to get in is an event (PCI DSS 10.2.1.4), counted by the minute.
async fn record(plane: &Plane, address: &str, reason: &'static str, presented: Option<String>) {
    plane.metrics.client_refused(plane.name, reason);
    let Some(common) = &plane.common else {
        return;
    };
    common.watch.refused(None, address, plane.clock.now());
    let reason = match presented {
        Some(presented) => format!("{reason} {presented}"),
        None => reason.to_owned(),
    };
    let attempt = Attempt {
        actor: Actor::Unidentified,
        action: Action::TlsClientRefused,
        reason,
        address: address.to_owned(),
        request_id: None,
    };
    if let Err(failure) = common.refused(attempt).await {
        tracing::error!(%failure, "a refused certificate could not be recorded");
    }
}
