//! The service with a thief inside: it serves as `cloakroom serve --config FILE` does, and for each
//! line of standard input that says what to try, tries it and says what came of it. The control of
//! the confinement; built for tests only, it is no part of any package or image.
//!
//! Lines: `exec PROGRAM`, `read FILE`, `write FILE`, `connect PORT`, `listen`, `dumpable`; and ways
//! around what looks at those: `mptcp PORT`, `fastopen PORT`, `udp PORT`, `udp-listen`, `unix PATH`,
//! `option PORT`, `fchmod FILE`, `map LIBRARY`.

#![expect(clippy::print_stdout, reason = "what came of it is said there")]

use std::fs::{self, File, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};

use cloakroom::clock::Clock;
use cloakroom::config::Config;
use cloakroom::memory;
use cloakroom::net::names;
use cloakroom::service::{self, Listeners, Service, Start};
use cloakroom::telemetry::{self, Metrics, Output};
use cryptoki::context::Pkcs11;
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, ipproto, sockopt};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::io::{AsyncBufReadExt, BufReader};

#[global_allocator]
static ALLOCATOR: memory::WipingAllocator = memory::WIPING_ALLOCATOR;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// As the command line's `serve`, step by step.
fn run() -> Result<(), Box<dyn std::error::Error>> {
    let hardening = memory::harden();
    names::over_tcp()?;
    let file = std::env::args().nth(3).ok_or("serve --config FILE")?;
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = Config::read(Path::new(&file))?;
    let listeners = Listeners::bind(&config);
    let hardening = service::confine(&config, &service::reach(&config)?, hardening)?;
    actix_web::rt::System::new().block_on(async {
        let clock = Clock::system();
        let metrics = Metrics::new(&clock);
        let settings = telemetry::Settings {
            level: config.log.level.clone(),
            log_line_bytes_max: config.log.log_line_bytes_max,
        };
        let _flush = telemetry::start(&settings, Output::Stdout, &clock, &metrics)?;
        println!("confined: {:?}", memory::missing(hardening.confinement()));
        let start = Start {
            hardening,
            listeners,
            accepted_rollback: None,
        };
        let service = Service::build(&config, clock, metrics, start).await?;
        let addresses = service.addresses();
        tracing::info!(
            capture = addresses.capture.map(tracing::field::display),
            internal = addresses.internal.map(tracing::field::display),
            ops = addresses.ops.map(tracing::field::display),
            "serving"
        );
        service.run(orders()).await?;
        Ok(())
    })
}

/// Follows orders until they end.
async fn orders() {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let order = line.clone();
        // On the runtime's own thread, and on one of those that it starts.
        let here = outcome(attempt(&order));
        let there = tokio::task::spawn_blocking(move || outcome(attempt(&order))).await;
        println!(
            "tried {line}: here {here}, there {}",
            there.unwrap_or_default()
        );
    }
}

fn outcome(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn attempt(order: &str) -> io::Result<()> {
    let (verb, object) = order.split_once(' ').unwrap_or((order, ""));
    let port = || object.parse::<u16>().map_err(io::Error::other);
    match verb {
        "exec" => Command::new(object).status().map(drop),
        "read" => fs::read(object).map(drop),
        "write" => fs::write(object, "here I was"),
        "connect" => TcpStream::connect(("127.0.0.1", port()?)).map(drop),
        "listen" => TcpListener::bind(("127.0.0.1", 0)).map(drop),
        "mptcp" => {
            let socket = stream_socket(Some(ipproto::MPTCP))?;
            Ok(rustix::net::connect(&socket, &loopback(port()?))?)
        }
        "fastopen" => {
            let socket = stream_socket(None)?;
            let flags = SendFlags::from_bits_retain(MSG_FASTOPEN);
            rustix::net::sendto(&socket, b"loot", flags, &loopback(port()?))?;
            Ok(())
        }
        // As TCP_FASTOPEN_CONNECT is one: an option of TCP that no server and no client sets here.
        "option" => {
            let socket = stream_socket(None)?;
            Ok(sockopt::set_tcp_cork(&socket, true)?)
        }
        "udp" => {
            let socket = UdpSocket::bind(("127.0.0.1", 0))?;
            socket.send_to(b"loot", loopback(port()?)).map(drop)
        }
        "udp-listen" => UdpSocket::bind(("127.0.0.1", 0)).map(drop),
        "unix" => UnixStream::connect(object).map(drop),
        "fchmod" => File::open(object)?.set_permissions(Permissions::from_mode(0o777)),
        "map" => map(object),
        "dumpable" => Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?),
        _ => Err(io::Error::other("no such order")),
    }
}

/// Of Linux's socket.h: connect, and send with the SYN.
const MSG_FASTOPEN: u32 = 0x2000_0000;

fn loopback(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn stream_socket(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, protocol)?;
    Ok(socket)
}

/// Maps a library's code. It is no PKCS #11 module, which is found out once it is there.
fn map(library: &str) -> io::Result<()> {
    match Pkcs11::new(library) {
        Err(error) if error.to_string().contains("failed to map segment") => {
            Err(io::ErrorKind::PermissionDenied.into())
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
