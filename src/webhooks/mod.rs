//! Outgoing webhooks: one signed message to one endpoint, once.
//!
//! The form is Standard Webhooks 1.0. Read [`Endpoint::deliver`] first: it signs (`signature`, with
//! a [`Secret`]), connects to no address that is not public (`lookup`, `address`) and says what
//! came of it ([`Delivered`]). [`pause_ms_after`] says when to try again, and [`verify`] is what a
//! receiver does; `docs/webhooks.md` is the receivers' page.
//!
//! Nothing is kept here: which messages are owed to whom, and how often each was tried, is the
//! outbox's to know. A URL may carry its owner's secret in path or query, and a body is its owner's
//! business, so neither is ever logged.

mod address;
mod delivered;
mod endpoint;
mod lookup;
mod retry;
mod secret;
mod signature;
#[cfg(test)]
mod tests;
mod verify;

pub use address::is_public;
pub use delivered::{Delivered, Reason};
pub use endpoint::{Endpoint, Message, SECRETS_MAX, Settings, SetupRefused};
pub use retry::{ATTEMPTS_MAX, pause_ms_after};
pub use secret::{Secret, SecretRefused};
pub use verify::{Headers, NotVerified, TOLERANCE_S, VerifyingKey, verify};
