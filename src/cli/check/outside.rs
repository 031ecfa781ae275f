//! What lies outside of the process and has to be there: places for the audit log's copies, mail
//! server, receivers of webhooks, the page that issuers lead back to.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::Finding;
use crate::config::{Config, SinkSettings, StoreSettings};
use crate::directory;
use crate::webhooks::is_public;

/// For one name's addresses or one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HTTPS_PORT: u16 = 443;

pub(super) async fn look(config: &Config, beside: Option<&Config>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for sink in config.audit.iter().flat_map(|audit| &audit.sinks) {
        findings.push(self::sink(sink, &config.store).await);
    }
    if let Some(mail) = &config.alerts.mail {
        let mend = "correct [alerts.mail] host and port, or let this host reach them";
        findings.push(match connect(&mail.host, mail.port).await {
            Ok(()) => Finding::ok("mail server", format_args!("{} answers", mail.host)),
            Err(refused) => Finding::failed("mail server", refused, mend),
        });
    }
    let webhooks = config
        .webhooks
        .iter()
        .map(|webhook| (&webhook.name, &webhook.url, webhook.allow_private_addresses));
    let alerts = config
        .alerts
        .webhooks
        .iter()
        .map(|webhook| (&webhook.name, &webhook.url, webhook.allow_private_addresses));
    for (name, url, may_be_private) in webhooks.chain(alerts) {
        findings.extend(receiver(name, url, may_be_private).await);
    }
    findings.extend(return_page(config, beside));
    findings
}

/// Whether a copy of the audit log's checkpoints could be written where the sink says.
async fn sink(sink: &SinkSettings, store: &StoreSettings) -> Finding {
    if let Some(file) = &sink.file {
        return file_sink(&file.relative(), store);
    }
    if let Some(socket) = &sink.syslog_socket {
        let socket = socket.relative();
        let name = format!("audit sink {}", socket.display());
        let connected = UnixDatagram::unbound().and_then(|own| own.connect(&socket));
        return match connected {
            Ok(()) => Finding::ok(name, "a syslog service listens"),
            Err(error) => Finding::failed(
                name,
                error,
                "run a syslog service at this socket, or correct syslog_socket",
            ),
        };
    }
    let Some(url) = &sink.url else {
        let mend = "give the sink a file, a syslog_socket or a url";
        return Finding::failed("audit sink", "it has no place", mend);
    };
    let host = url.host_str().unwrap_or_default();
    let name = format!("audit sink {host}");
    match connect(host, url.port().unwrap_or(HTTPS_PORT)).await {
        Ok(()) => Finding::ok(name, "it can be reached"),
        Err(refused) => Finding::failed(
            name,
            refused,
            "correct the sink's url, or let this host reach it",
        ),
    }
}

fn file_sink(file: &Path, store: &StoreSettings) -> Finding {
    let name = format!("audit sink {}", file.display());
    let directory = directory::of(file);
    let opened = if file.exists() {
        File::options().append(true).open(file).map(drop)
    } else {
        directory::takes_files(directory)
    };
    if let Err(error) = opened {
        return Finding::failed(
            name,
            error,
            "make the directory, writable for the service's user only",
        );
    }
    if let StoreSettings::Sqlite { path } = store {
        let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
        let of_database = device(directory::of(&path.relative()));
        if of_database.is_some() && device(directory) == of_database {
            return Finding::warning(
                name,
                "it is on the database's own device and is lost with it",
                "put the file on another device, or add a sink on another host",
            );
        }
    }
    Finding::ok(name, "it can be written")
}

/// Whether a receiver's address is one that messages are sent to.
async fn receiver(name: &str, url: &Url, may_be_private: bool) -> Option<Finding> {
    let host = url.host_str()?;
    let name = format!("receiver {name}");
    let addresses = match addresses(host, url.port().unwrap_or(HTTPS_PORT)).await {
        Ok(addresses) => addresses,
        Err(refused) => {
            let mend = "correct the receiver's url, or the name service of this host";
            return Some(Finding::failed(name, refused, mend));
        }
    };
    if may_be_private || addresses.iter().copied().all(is_public) {
        return Some(Finding::ok(name, "its address is one that messages go to"));
    }
    Some(Finding::failed(
        name,
        "its address is private or loopback, so nothing would be sent",
        "correct its url, or set allow_private_addresses = true for this receiver",
    ))
}

/// Issuers lead shoppers back to the capture plane: to its origin, as browsers reach it.
fn return_page(config: &Config, beside: Option<&Config>) -> Option<Finding> {
    let name = "return page";
    let return_url = &config.internal.as_ref()?.return_url;
    let capture = [Some(config), beside]
        .into_iter()
        .flatten()
        .find_map(|config| config.capture.as_ref())?;
    if return_url.origin() == capture.public_url.origin() {
        return Some(Finding::ok(name, "issuers lead back to the capture plane"));
    }
    Some(Finding::failed(
        name,
        "[internal] return_url is not [capture] public_url, so shoppers do not come back from their issuer",
        "set return_url to the capture plane's public_url",
    ))
}

async fn addresses(host: &str, port: u16) -> Result<Vec<IpAddr>, String> {
    let host = host.trim_matches(['[', ']']);
    let found = timeout(CONNECT_TIMEOUT, lookup_host((host, port))).await;
    let found = found.map_err(|_elapsed| format!("{host}: the name service does not answer"))?;
    let found: Vec<_> = found
        .map_err(|error| format!("{host}: {error}"))?
        .map(|address| address.ip())
        .collect();
    if found.is_empty() {
        return Err(format!("{host} has no address"));
    }
    Ok(found)
}

async fn connect(host: &str, port: u16) -> Result<(), String> {
    let mut refused = format!("{host} has no address");
    for address in addresses(host, port).await? {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect((address, port))).await {
            Ok(Ok(_stream)) => return Ok(()),
            Ok(Err(error)) => refused = format!("{host} port {port}: {error}"),
            Err(_elapsed) => refused = format!("{host} port {port} does not answer"),
        }
    }
    Err(refused)
}
