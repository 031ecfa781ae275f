//! `cloakroom dev`: everything embedded, for the first five minutes and for tests.
//!
//! One directory holds it all: a certificate authority of its own, certificates for the planes and
//! for three clients, key files, a SQLite database and the configuration that `cloakroom serve`
//! could be started with. Nothing of it is for production, and it serves the test environment only.

mod certificates;
mod greeting;
mod settings;
mod shop;
mod shopper;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use actix_web::dev::ServerHandle;
use clap::Args;
use tokio::task::JoinHandle;

use super::{Failure, exit, keys, print, serve};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::tls;
use crate::memory::Hardening;
use crate::sandbox;
use crate::seal::file;
use crate::service::{Listeners, Service, Start, confine, reach, store_settings};
use crate::store;
use crate::telemetry::{Metrics, Output};
use crate::token::Environment;

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = ".cloakroom")]
    dir: PathBuf,
    /// Port of the capture plane; 0 takes a free one, as for the others.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    capture_port: u16,
    /// Port of the internal plane.
    #[arg(long, value_name = "PORT", default_value_t = 8444)]
    internal_port: u16,
    /// Port of the ops plane.
    #[arg(long, value_name = "PORT", default_value_t = 8445)]
    ops_port: u16,
    /// Port of the Stripe-shaped sandbox.
    #[arg(long, value_name = "PORT", default_value_t = 8446)]
    sandbox_port: u16,
    /// Port of the demo shop.
    #[arg(long, value_name = "PORT", default_value_t = 8447)]
    shop_port: u16,
    /// The base URL of a sandbox that runs already (see `cloakroom sandbox`), instead of one here.
    #[arg(long, value_name = "URL")]
    sandbox_url: Option<url::Url>,
    /// TOML with a `[store.postgres]` section: that database instead of the embedded one. Its user
    /// must own the schema. Paths in it are relative to the directory.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// One JSON document with the addresses instead of the greeting.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    rollback: serve::Rollback,
}

/// The ports that are listened on, chosen where the arguments say 0.
#[derive(Clone, Copy, Debug)]
struct Ports {
    capture: u16,
    internal: u16,
    ops: u16,
    shop: u16,
    sandbox: Option<u16>,
}

/// Their sockets. A port that was only looked up could be somebody else's a moment later.
struct Sockets {
    planes: Listeners,
    shop: TcpListener,
    sandbox: Option<TcpListener>,
}

/// What stands before the process gives up what it does not need, and before it has threads.
pub(super) struct Prepared {
    dir: PathBuf,
    config: Config,
    ports: Ports,
    sockets: Sockets,
    processor: String,
    hardening: Hardening,
    arguments: Arguments,
}

impl Prepared {
    /// Makes the directory, binds the sockets, writes the configuration and confines the process.
    pub(super) fn new(arguments: Arguments, hardening: Hardening) -> Result<Self, Failure> {
        // 1. The directory, with everything in it that is not there yet.
        let dir = prepare(&arguments.dir)?;

        // 2. The ports, and the configuration, which names them.
        let (ports, sockets) = bind(&arguments)?;
        let processor = match (&arguments.sandbox_url, ports.sandbox) {
            (Some(url), _) => url.to_string(),
            (None, Some(port)) => format!("https://{}", loopback(port)),
            (None, None) => String::new(),
        };
        let store = settings::store(arguments.store.as_deref())?;
        let config = Config::read(&settings::write(&dir, ports, &processor, &store)?)?;

        // 3. What else this process does in production it does here, confined as there.
        let mut reach = reach(&config)?;
        reach.write.insert(dir.clone());
        // The sandbox delivers webhooks wherever it is told to, and the shop calls the planes.
        reach.connect_ports = None;
        let hardening = confine(&config, &reach, hardening)?;
        Ok(Self {
            dir,
            config,
            ports,
            sockets,
            processor,
            hardening,
            arguments,
        })
    }
}

pub(super) async fn run(prepared: Prepared) -> Result<(), Failure> {
    let Prepared {
        dir,
        config,
        ports,
        sockets,
        processor,
        hardening,
        arguments,
    } = prepared;
    let clock = Clock::system();
    let metrics = Metrics::new(&clock);

    // 1. The processor, which tells the capture plane what happens.
    let sandbox = match sockets.sandbox {
        None => None,
        Some(listener) => {
            let place = Place::Bound(listener);
            Some(start_sandbox(&dir, place, None, Some(ports.capture))?)
        }
    };

    // 2. The store, the planes. Standard output is the greeting's.
    let _flush = serve::log(&config, Output::Stderr, &clock, &metrics)?;
    serve::report(&hardening);
    store::migrate(&store_settings(&config, &metrics)?)
        .await
        .map_err(|error| Failure::new(exit::UNAVAILABLE, error))?;
    let start = Start {
        hardening,
        listeners: sockets.planes,
        accepted_rollback: arguments.rollback.accepted(),
    };
    let service = Service::build(&config, clock, metrics, start).await?;

    // 3. The shop, and the greeting.
    let shop = shop::start(&dir, ports, sockets.shop)?;
    let shop_handle = shop.handle();
    let shop = tokio::task::spawn_local(shop);
    // Listened for before the greeting: whoever has read it may ask at once.
    let asked_to_stop = serve::asked_to_stop()?;
    if arguments.json {
        print(greeting::machine(&dir, ports, &processor))?;
    } else {
        print(greeting::human(&arguments.dir, ports, &processor))?;
    }
    let served = service.run(asked_to_stop).await;
    shop_handle.stop(false).await;
    // The shop ends with its handle; what it says then is of no interest.
    let _ended = shop.await;
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    served.map_err(Failure::from)
}

/// Makes the directory and whatever is missing in it; answers its absolute path.
fn prepare(dir: &Path) -> Result<PathBuf, Failure> {
    let cant_create = |error| {
        Failure::new(
            exit::CANT_CREATE,
            format_args!("{}: {error}", dir.display()),
        )
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(cant_create)?;
    let dir = dir.canonicalize().map_err(cant_create)?;
    certificates::ensure(&dir, &Clock::system())?;
    settings::ensure_secrets(&dir)?;
    if !dir.join(keys::names::KEK_PRIVATE).exists() {
        let passphrase = file::read_passphrase(&dir.join(settings::PASSPHRASE))
            .map_err(|error| Failure::new(exit::CONFIG, error))?;
        keys::make(&dir, Environment::Test, &passphrase)?;
    }
    keys::ensure_later_keys(&dir)?;
    Ok(dir)
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Binds every listener before anything is written that names its port.
fn bind(arguments: &Arguments) -> Result<(Ports, Sockets), Failure> {
    let (capture, capture_listener) = listen(arguments.capture_port)?;
    let (internal, internal_listener) = listen(arguments.internal_port)?;
    let (ops, ops_listener) = listen(arguments.ops_port)?;
    let (shop, shop_listener) = listen(arguments.shop_port)?;
    let (sandbox, sandbox_listener) = if arguments.sandbox_url.is_some() {
        (None, None)
    } else {
        let (port, listener) = listen(arguments.sandbox_port)?;
        (Some(port), Some(listener))
    };
    let ports = Ports {
        capture,
        internal,
        ops,
        shop,
        sandbox,
    };
    let planes = Listeners {
        capture: Some(Ok(capture_listener)),
        internal: Some(Ok(internal_listener)),
        ops: Some(Ok(ops_listener)),
    };
    let sockets = Sockets {
        planes,
        shop: shop_listener,
        sandbox: sandbox_listener,
    };
    Ok((ports, sockets))
}

fn listen(port: u16) -> Result<(u16, TcpListener), Failure> {
    let failure = |error| {
        let address = loopback(port);
        Failure::new(
            exit::UNAVAILABLE,
            format_args!("listening on {address}: {error}"),
        )
    };
    let listener = TcpListener::bind(loopback(port)).map_err(failure)?;
    let port = listener.local_addr().map_err(failure)?.port();
    Ok((port, listener))
}

#[derive(Debug, Args)]
pub(super) struct SandboxArguments {
    /// The directory of `cloakroom dev`: certificates and keys are taken from it, or made in it.
    #[arg(long, value_name = "DIR", default_value = ".cloakroom")]
    dir: PathBuf,
    /// Port; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8446)]
    port: u16,
    /// PEM: whom it trusts to vouch for webhook endpoints, instead of the directory's own authority.
    #[arg(long, value_name = "FILE")]
    webhook_ca: Option<PathBuf>,
}

/// `cloakroom sandbox`: the Stripe-shaped processor in a process of its own.
pub(super) async fn run_sandbox(arguments: SandboxArguments) -> Result<(), Failure> {
    let dir = prepare(&arguments.dir)?;
    let place = Place::Port(arguments.port);
    let sandbox = start_sandbox(&dir, place, arguments.webhook_ca.as_deref(), None)?;
    let asked_to_stop = serve::asked_to_stop()?;
    print(&sandbox.url)?;
    asked_to_stop.await;
    sandbox.stop().await;
    Ok(())
}

/// Where the sandbox listens.
enum Place {
    Bound(TcpListener),
    Port(u16),
}

fn start_sandbox(
    dir: &Path,
    place: Place,
    webhook_ca: Option<&Path>,
    told_at: Option<u16>,
) -> Result<RunningSandbox, Failure> {
    let own_ca = dir.join(certificates::CA_PEM);
    let webhook_ca = webhook_ca.unwrap_or(&own_ca);
    let config = |error: tls::Refused| Failure::new(exit::CONFIG, error);
    let (port, listener) = match place {
        Place::Bound(listener) => (0, Some(listener)),
        Place::Port(port) => (port, None),
    };
    let sandbox = sandbox::start(sandbox::Settings {
        listen: loopback(port),
        listener,
        certificate_chain: tls::certificates(&dir.join(certificates::SERVER_PEM))
            .map_err(config)?,
        private_key: tls::private_key(&dir.join(certificates::SERVER_KEY)).map_err(config)?,
        secret_keys: vec![settings::read_secret(dir, settings::STRIPE_INTERNAL_KEY)?],
        restricted_keys: vec![settings::read_secret(dir, settings::STRIPE_CAPTURE_KEY)?],
        webhook_authorities: tls::certificates(webhook_ca).map_err(config)?,
        webhook: match told_at {
            Some(port) => Some((
                format!("https://localhost:{port}{}", crate::http::NOTICES_PATH),
                settings::read_secret(dir, settings::STRIPE_WEBHOOK_SECRET)?,
            )),
            None => None,
        },
        file: Some(dir.join(settings::SANDBOX_FILE)),
        workers: 1,
        clock: Clock::system(),
    })
    .map_err(|error| Failure::new(exit::UNAVAILABLE, error))?;
    let (url, handle) = (sandbox.base_url().to_owned(), sandbox.handle());
    Ok(RunningSandbox {
        url,
        handle,
        task: tokio::task::spawn_local(sandbox.run()),
    })
}

/// A sandbox that serves in this process.
struct RunningSandbox {
    url: String,
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl RunningSandbox {
    async fn stop(self) {
        self.handle.stop(false).await;
        // It ends with its handle; what it says then is of no interest.
        let _ended = self.task.await;
    }
}
