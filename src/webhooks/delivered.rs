//! What comes of one attempt.

use std::error::Error;
use std::fmt;
use std::io;

use hyper_util::client::legacy;

use super::lookup::NotLookedUp;

/// What came of one attempt. A status decides as soon as it has arrived, whatever becomes of the
/// body behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The receiver has it.
    Accepted {
        /// 200 to 299.
        status: u16,
    },
    /// 410: the receiver wants no more, of this or of any other message.
    Gone,
    /// Any other answer, redirects among them: they are not followed.
    Refused {
        /// What it answered.
        status: u16,
        /// After how many seconds the receiver wants to be asked again.
        retry_after_s: Option<u32>,
    },
    /// No answer. The receiver may have the message all the same.
    Unreachable(Reason),
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its name has no address.
    Dns,
    /// An address of its name is not public. Nothing was connected to.
    PrivateAddress,
    /// No connection could be made.
    Connect,
    /// The certificate is not trusted, or the handshake failed. Nothing was sent.
    Tls,
    /// It took too long, from the look-up to the answer's status.
    Timeout,
    /// The connection ended before the answer.
    Cut,
    /// The answer is not HTTP, or its head is too long.
    NotHttp,
    /// Our own fault: the message's id cannot stand in a header. Nothing was sent.
    MalformedId,
}

impl Reason {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 8] = [
        Self::Dns,
        Self::PrivateAddress,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Cut,
        Self::NotHttp,
        Self::MalformedId,
    ];

    /// The name in logs, metrics and rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::PrivateAddress => "private_address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::NotHttp => "not_http",
            Self::MalformedId => "malformed_id",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads the reason off an error and what is behind it.
impl From<&legacy::Error> for Reason {
    fn from(error: &legacy::Error) -> Self {
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        let mut at_io = None;
        while let Some(cause) = next {
            if let Some(refused) = cause.downcast_ref::<NotLookedUp>() {
                return match refused {
                    NotLookedUp::Unknown => Self::Dns,
                    NotLookedUp::NotPublic => Self::PrivateAddress,
                };
            }
            if let Some(broken) = cause.downcast_ref::<hyper::Error>()
                && broken.is_parse()
            {
                return Self::NotHttp;
            }
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                at_io = Some(io);
            }
            next = cause.source();
        }
        if error.is_connect() {
            at_io.map_or(Self::Connect, while_connecting)
        } else {
            Self::Cut
        }
    }
}

/// How a peer ends a handshake that it does not want.
const MID_HANDSHAKE: [io::ErrorKind; 4] = [
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::InvalidData,
];

/// TCP ends in refusals and silence; what ends otherwise had begun to speak TLS.
fn while_connecting(error: &io::Error) -> Reason {
    // An `io::Error` passes over its inner error when asked for the source; the connector wraps
    // one into another.
    if let Some(inner) = error.get_ref() {
        if inner.is::<rustls::Error>() {
            return Reason::Tls;
        }
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            return while_connecting(inner);
        }
    }
    let kind = error.kind();
    if kind == io::ErrorKind::TimedOut {
        Reason::Timeout
    } else if MID_HANDSHAKE.contains(&kind) {
        Reason::Tls
    } else {
        Reason::Connect
    }
}
