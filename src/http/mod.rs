//! HTTP: three planes, each its own TLS listener with its own routes and its own secrets.
//!
//! There is no plain listener. Every request passes [`envelope`]; every handler of the internal
//! plane takes a [`Granted`](crate::vault::grant::Granted) first; one file is one resource. The
//! way of a card starts in [`tokens::capture`].

mod accept;
mod allowances;
mod answers;
pub mod body;
pub mod charges;
pub mod checks;
mod contract;
pub mod cors;
pub mod documented;
pub mod drain;
pub mod envelope;
pub mod events;
pub mod fields;
mod gate;
pub mod grants;
pub mod health;
mod integer;
pub mod notices;
pub mod openapi;
pub mod pages;
pub mod paths;
pub mod peer;
pub mod presentation;
mod readiness;
pub mod refunds;
mod refusals;
pub mod reports;
pub mod security_codes;
pub mod sessions;
pub mod status;
pub mod tls;
pub mod tokens;
pub mod unseal;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, TlsAcceptorConfig};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, map_config};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{AppConfig, Server};
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, Error, Resource, Route, guard, web};
use rustls::ServerConfig;

use self::accept::AcceptingFactory;
use self::gate::Gate;

use crate::clock::Clock;
use crate::config::Limits;
use crate::problem::{Code, Problem};
use crate::telemetry::Metrics;
pub use crate::telemetry::Plane as PlaneName;
use crate::token::Environment;
use crate::vault::grant::Clients;
use crate::vault::{Capture, Common, Internal};

/// Where the processor tells what happened.
pub const NOTICES_PATH: &str = "/webhooks/stripe";

/// Every path of a plane, as labels of its metrics.
const fn routes(plane: PlaneName) -> &'static [&'static str] {
    match plane {
        PlaneName::Capture => &[
            "/v1/tokens",
            "/v1/security_codes",
            NOTICES_PATH,
            "/openapi.json",
            "/problems/{code}",
            "/return",
            "/v1/reports",
            "/report",
            "/report/{id}",
            "/.well-known/security.txt",
            "/pay/{session}",
            "/pay/charges/{charge}",
            "/fields/v1/frame",
            fields::REPORTS_PATH,
            "/fields/v1/loader.js",
            "/fields/v1/{loader}",
            "/fields/v1/{release}/{name:.+}",
        ],
        PlaneName::Internal => &[
            "/v1/capture_sessions",
            "/v1/capture_sessions/{id}",
            "/v1/tokens",
            "/v1/tokens/attach",
            "/v1/tokens/{id}",
            "/v1/charges",
            "/v1/charges/{id}",
            "/v1/charges/{id}/capture",
            "/v1/charges/{id}/cancel",
            "/v1/refunds",
            "/v1/refunds/{id}",
            "/v1/events",
            "/v1/reports",
            status::PATH,
            "/v1/keys/unseal",
            "/v1/keys/seal_status",
            "/.well-known/jwks.json",
            "/openapi.json",
            "/problems/{code}",
        ],
        PlaneName::Ops => &["/livez", "/readyz", "/metrics"],
    }
}

/// What the envelope knows of the plane it works for.
#[derive(Debug)]
pub struct Plane {
    /// Which one.
    pub name: PlaneName,
    /// The environment, for request ids.
    pub environment: Environment,
    /// Where the time comes from.
    pub clock: Clock,
    /// The clients of the internal plane; none on the others.
    pub clients: Clients,
    /// Whose certificates are taken at this moment, on the internal plane.
    pub client_tls: Option<Arc<tls::Live>>,
    /// Where counts go.
    pub metrics: Metrics,
    /// Limits.
    pub limits: Limits,
    /// Where refused attempts are recorded; the ops plane records none.
    pub common: Option<Common>,
    /// Whether the process is about to stop.
    pub drain: drain::Drain,
}

impl Plane {
    /// A matched path as a label; what matched nothing is one label, whatever it was.
    fn route_label(&self, matched: Option<&str>) -> &'static str {
        let known = |route: &&&str| Some(**route) == matched;
        routes(self.name)
            .iter()
            .find(known)
            .copied()
            .unwrap_or("_none")
    }
}

/// The capture plane on a bound listener.
///
/// # Errors
/// What the system says about the listener.
pub fn capture(
    listener: TcpListener,
    tls: ServerConfig,
    plane: Plane,
    vault: Arc<Capture>,
) -> std::io::Result<Server> {
    fields::reports::announce(&vault.common.metrics);
    let vault = web::Data::from(vault);
    let reporters = web::Data::new(fields::reports::Reporters::default());
    serve(listener, tls, plane, move |routes| {
        routes
            .app_data(vault.clone())
            .app_data(reporters.clone())
            .service(
                only("/v1/tokens", "POST, OPTIONS")
                    .route(web::post().to(tokens::capture::create))
                    .route(web::method(actix_web::http::Method::OPTIONS).to(cors::preflight)),
            )
            .service(
                only("/v1/security_codes", "POST, OPTIONS")
                    .route(web::post().to(security_codes::create))
                    .route(web::method(actix_web::http::Method::OPTIONS).to(cors::preflight)),
            )
            .service(only(NOTICES_PATH, "POST").route(web::post().to(notices::take)))
            .service(only("/return", "GET, HEAD").route(get_or_head().to(fields::returned)))
            .service(only("/v1/reports", "POST").route(web::post().to(reports::create)))
            .service(
                only("/report", "GET, HEAD, POST")
                    .route(get_or_head().to(reports::form))
                    .route(web::post().to(reports::submit)),
            )
            .service(only("/report/{id}", "GET, HEAD").route(get_or_head().to(reports::thanks)))
            .service(
                only("/.well-known/security.txt", "GET, HEAD")
                    .route(get_or_head().to(reports::security_txt)),
            )
            .service(
                only("/pay/charges/{charge}", "GET, HEAD, POST")
                    .route(get_or_head().to(fields::charge_page::show))
                    .route(web::post().to(fields::charge_page::ask)),
            )
            .service(only("/pay/{session}", "GET, HEAD").route(get_or_head().to(fields::pay)))
            .service(only("/fields/v1/frame", "GET, HEAD").route(get_or_head().to(fields::frame)))
            .service(
                only(fields::REPORTS_PATH, "POST").route(web::post().to(fields::reports::take)),
            )
            .service(
                only("/fields/v1/loader.js", "GET, HEAD").route(get_or_head().to(fields::loader)),
            )
            .service(
                only("/fields/v1/{loader}", "GET, HEAD")
                    .route(get_or_head().to(fields::named_loader)),
            )
            .service(
                only("/fields/v1/{release}/{name:.+}", "GET, HEAD")
                    .route(get_or_head().to(fields::file)),
            )
            .service(only("/openapi.json", "GET, HEAD").route(get_or_head().to(openapi::capture)))
            .service(only("/problems/{code}", "GET, HEAD").route(get_or_head().to(pages::problem)));
    })
}

/// The internal plane on a bound listener.
///
/// # Errors
/// What the system says about the listener.
pub fn internal(
    listener: TcpListener,
    tls: ServerConfig,
    plane: Plane,
    vault: Arc<Internal>,
    health: Arc<health::Health>,
) -> std::io::Result<Server> {
    let vault = web::Data::from(vault);
    let health = web::Data::from(health);
    serve(listener, tls, plane, move |routes| {
        routes
            .app_data(vault.clone())
            .app_data(health.clone())
            .service(only("/v1/capture_sessions", "POST").route(web::post().to(sessions::create)))
            .service(
                only("/v1/capture_sessions/{id}", "GET, HEAD")
                    .route(get_or_head().to(sessions::read)),
            )
            .service(only("/v1/tokens", "GET, HEAD").route(get_or_head().to(tokens::list)))
            .service(
                only("/v1/tokens/attach", "POST").route(web::post().to(tokens::attach::attach)),
            )
            .service(
                only("/v1/tokens/{id}", "GET, HEAD, DELETE")
                    .route(get_or_head().to(tokens::read))
                    .route(web::delete().to(tokens::delete)),
            )
            .service(
                only("/v1/charges", "GET, HEAD, POST")
                    .route(get_or_head().to(charges::list))
                    .route(web::post().to(charges::create)),
            )
            .service(only("/v1/charges/{id}", "GET, HEAD").route(get_or_head().to(charges::read)))
            .service(
                only("/v1/charges/{id}/capture", "POST").route(web::post().to(charges::capture)),
            )
            .service(only("/v1/charges/{id}/cancel", "POST").route(web::post().to(charges::cancel)))
            .service(
                only("/v1/refunds", "GET, HEAD, POST")
                    .route(get_or_head().to(refunds::list))
                    .route(web::post().to(refunds::create)),
            )
            .service(only("/v1/refunds/{id}", "GET, HEAD").route(get_or_head().to(refunds::read)))
            .service(only("/v1/events", "GET, HEAD").route(get_or_head().to(events::list)))
            .service(only("/v1/reports", "GET, HEAD").route(get_or_head().to(reports::list)))
            .service(only(status::PATH, "GET, HEAD").route(get_or_head().to(status::read)))
            .service(only("/v1/keys/unseal", "POST").route(web::post().to(unseal::unseal)))
            .service(
                only("/v1/keys/seal_status", "GET, HEAD").route(get_or_head().to(unseal::status)),
            )
            .service(
                only("/.well-known/jwks.json", "GET, HEAD")
                    .route(get_or_head().to(pages::receipt_keys)),
            )
            .service(only("/openapi.json", "GET, HEAD").route(get_or_head().to(openapi::internal)))
            .service(only("/problems/{code}", "GET, HEAD").route(get_or_head().to(pages::problem)));
    })
}

/// The ops plane on a bound listener.
///
/// # Errors
/// What the system says about the listener.
pub fn ops(
    listener: TcpListener,
    tls: ServerConfig,
    plane: Plane,
    health: Arc<health::Health>,
) -> std::io::Result<Server> {
    let health = web::Data::from(health);
    serve(listener, tls, plane, move |routes| {
        routes
            .app_data(health.clone())
            .service(only("/livez", "GET, HEAD").route(get_or_head().to(health::alive)))
            .service(only("/readyz", "GET, HEAD").route(get_or_head().to(readiness::ready)))
            .service(only("/metrics", "GET, HEAD").route(get_or_head().to(health::metrics)));
    })
}

/// A path that answers 405 to the methods it does not have.
fn only(path: &'static str, methods: &'static str) -> Resource {
    let refuse =
        move || async move { Err::<&str, _>(Problem::new(Code::MethodNotAllowed).allow(methods)) };
    web::resource(path).default_service(web::to(refuse))
}

/// What reads also says how its answer would begin (RFC 9110 section 9.1: every server has both).
fn get_or_head() -> Route {
    Route::new().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn nowhere() -> Result<&'static str, Problem> {
    Err(Problem::new(Code::NotFound))
}

fn serve(
    listener: TcpListener,
    tls: ServerConfig,
    plane: Plane,
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<Server> {
    let limits = plane.limits.clone();
    let keep_alive = match plane.name {
        // A browser fetches the page's files over one connection; a card ends it.
        PlaneName::Capture => Duration::from_secs(5),
        PlaneName::Internal | PlaneName::Ops => Duration::from_secs(limits.keep_alive_s),
    };
    let per_worker = limits.connections_max.div_ceil(limits.workers);
    let gate = Gate::new(
        limits.unauthenticated_of_a_network_max,
        limits.unauthenticated_max,
    );
    let plane = web::Data::new(plane);
    let builder = Server::build()
        .workers(limits.workers)
        .max_concurrent_connections(per_worker)
        .shutdown_timeout(limits.shutdown_timeout_s)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let name = format!("cloakroom-{}", plane.name.name());
    let builder = builder.listen(name, listener, move || {
        let app = App::new()
            .app_data(plane.clone())
            .configure(routes.clone())
            .default_service(web::to(nowhere))
            .wrap(from_fn(envelope::envelope))
            .into_factory()
            .map_err(|error: Error| error.error_response());
        let stopping = stopping.clone();
        let handshake = Duration::from_millis(limits.tls_handshake_timeout_ms);
        let inner = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KeepAlive::Timeout(keep_alive))
            .client_request_timeout(Duration::from_millis(limits.request_head_timeout_ms))
            .client_disconnect_timeout(Duration::from_secs(1))
            // Without it every answer on a fresh connection waits out a delayed ACK.
            .tcp_nodelay(true)
            .on_connect_ext(|stream: &TlsStream<TcpStream>, extensions| {
                tls::attempt::is_through();
                peer::Peer::note(stream, extensions);
            })
            // Nothing asks the framework for the host: it stands in the configuration.
            .finish(map_config(app, |()| AppConfig::default()))
            .rustls_0_23_with_config(
                tls.clone(),
                TlsAcceptorConfig::default().handshake_timeout(handshake),
            );
        AcceptingFactory {
            inner,
            gate: Arc::clone(&gate),
            plane: plane.clone(),
        }
    })?;
    Ok(builder.run())
}
