//! What every HTTPS connection that we open is made of.
//!
//! Whom to trust ([`trust`]), which runtime drives the connections (`runtime`), and how they are
//! made and kept (`https`); `once` and
//! `probe` are for commands that ask one thing. It knows nothing of whom we talk to: [`crate::processor`] and
//! [`crate::webhooks`] add their own addresses, headers and limits. Nothing here reads a proxy from
//! the environment, follows a redirect or speaks anything but HTTP/1.1 over TLS.

mod https;
pub mod names;
pub(crate) mod once;
#[cfg(test)]
mod peer;
pub(crate) mod probe;
mod runtime;
mod stamp;
pub mod trust;

pub(crate) use https::{connector, pool};
#[cfg(test)]
pub(crate) use peer::{Peer, Received, Reply};
pub(crate) use runtime::OneRuntime;
pub(crate) use stamp::Stamp;

/// An error and what is behind it, down to "certificate not trusted". None of the layers that make
/// such errors has read a request's body.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut causes = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        next = cause.source();
    }
    causes
}
