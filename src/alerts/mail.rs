//! Mail: one message over SMTP to one address. TLS is not a choice: implicit (RFC 8314) or, before
//! anything else is said, STARTTLS; a server that offers neither is told nothing.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use zeroize::Zeroizing;

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// With the connection: mostly port 465.
    Tls,
    /// After the server's greeting, and required: mostly port 587.
    Starttls,
}

/// How the mail server is reached.
pub struct MailSettings {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How TLS begins.
    pub security: Security,
    /// User and password, where the server wants them.
    pub credentials: Option<(String, Zeroizing<String>)>,
    /// The only certificate authorities trusted, PEM; without it, the machine's.
    pub ca_file: Option<PathBuf>,
    /// Who sends: `Cloakroom <alerts@example.com>`.
    pub from: String,
    /// Milliseconds for each step of the exchange.
    pub step_timeout_ms: u32,
    /// Milliseconds for all of it.
    pub timeout_ms: u32,
}

/// Settings that cannot send mail.
#[derive(Debug, thiserror::Error)]
pub enum MailRefused {
    /// An address that is none.
    #[error("{0} is not a mail address")]
    Address(&'static str),
    /// The certificate authorities.
    #[error("the certificate authorities cannot be read from {0}")]
    CaFile(PathBuf),
    /// The TLS library refuses what it was given.
    #[error("TLS to the mail server cannot be set up")]
    Tls,
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    /// The same in every attempt; readers that have it already can tell by it.
    pub id: &'a str,
    /// To whom.
    pub to: &'a Mailbox,
    /// One line.
    pub subject: &'a str,
    /// Plain text.
    pub text: &'a str,
}

/// What came of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailed {
    /// The server has it.
    Accepted,
    /// The server refuses it for good.
    Refused,
    /// It may be taken later; a short name says what went wrong.
    Failed(&'static str),
}

/// Sends mail through one server.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    timeout: Duration,
}

impl Mailer {
    /// Prepares everything that does not need the network.
    ///
    /// # Errors
    /// [`MailRefused`] says which setting cannot be.
    pub fn new(settings: MailSettings) -> Result<Self, MailRefused> {
        let from = address("from", &settings.from)?;
        let mut tls = TlsParameters::builder(settings.host.clone());
        if let Some(file) = settings.ca_file {
            let pem = std::fs::read(&file).ok();
            let authority = pem.and_then(|pem| Certificate::from_pem(&pem).ok());
            let authority = authority.ok_or(MailRefused::CaFile(file))?;
            tls = tls
                .certificate_store(CertificateStore::None)
                .add_root_certificate(authority);
        }
        let tls = tls.build_rustls().map_err(|_| MailRefused::Tls)?;
        let tls = match settings.security {
            Security::Tls => Tls::Wrapper(tls),
            Security::Starttls => Tls::Required(tls),
        };
        // "Dangerous" because it has no TLS until the next line gives it.
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(settings.host)
            .tls(tls)
            .port(settings.port)
            .timeout(Some(ms(settings.step_timeout_ms)));
        if let Some((user, password)) = settings.credentials {
            transport = transport.credentials(Credentials::new(user, password.as_str().to_owned()));
        }
        Ok(Self {
            transport: transport.build(),
            from,
            timeout: ms(settings.timeout_ms),
        })
    }

    /// Makes one attempt.
    pub async fn send(&self, mail: &Mail<'_>) -> Mailed {
        let domain = self.from.email.domain();
        let message = Message::builder()
            .message_id(Some(format!("<{}@{domain}>", mail.id)))
            .from(self.from.clone())
            .to(mail.to.clone())
            .subject(mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.to_owned());
        let Ok(message) = message else {
            return Mailed::Refused;
        };
        match tokio::time::timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_accepted)) => Mailed::Accepted,
            Ok(Err(error)) if error.is_permanent() => Mailed::Refused,
            Ok(Err(error)) => {
                let what = what_failed(&error);
                // Not its own words: they may repeat an address.
                tracing::info!(what, "the mail server did not take a message");
                Mailed::Failed(what)
            }
            Err(_elapsed) => Mailed::Failed("timeout"),
        }
    }
}

/// Reads an address: `name@example.com`, or with a name before it.
///
/// # Errors
/// [`MailRefused::Address`] with `what` it was to be.
pub fn address(what: &'static str, text: &str) -> Result<Mailbox, MailRefused> {
    text.parse().map_err(|_| MailRefused::Address(what))
}

fn what_failed(error: &lettre::transport::smtp::Error) -> &'static str {
    if was_refused(error) {
        // Nothing was sent.
        "unreachable"
    } else if error.is_timeout() {
        "timeout"
    } else if error.is_tls() {
        "tls"
    } else if error.is_transient() {
        "later"
    } else if error.is_client() {
        // Among them: a server that does not offer STARTTLS.
        "not_offered"
    } else {
        "connect"
    }
}

/// Whether no connection was made at all.
fn was_refused(error: &lettre::transport::smtp::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        source = cause.source();
    }
    false
}

fn ms(milliseconds: u32) -> Duration {
    Duration::from_millis(u64::from(milliseconds))
}

impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSettings")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailer(..)")
    }
}
