//! Envelope encryption: the only code that knows AES.
//!
//! What goes in is the processor's reference to a card; what comes out is a [`Sealed`] value that
//! only its own row can open again. It never sees a PAN or a CVC, never stores anything, and never
//! says why a value was refused: there is one opaque [`Refused`].
//!
//! # The map
//!
//! - [`Context`] names the one place (environment, account, table, row, column) a value belongs to, and
//!   whose it is (customer, usage).
//! - [`Sealer`] is the capture plane's half. It makes a random data key, has it wrapped to a key
//!   it cannot use itself, seals under it, and after a while or a number of values wipes it. Whoever
//!   steals the capture host opens nothing that was sealed before.
//! - [`Opener`] is the internal plane's half: it unwraps data keys and opens values.
//! - [`provider`] is the seam to what holds the key-encryption key (KEK), in two halves: [`WrapKey`]
//!   and [`UnwrapKey`]. The providers: [`file`](mod@file), [`pkcs11`] (a hardware module; its
//!   capture half is that of `file`) and [`aws_kms`]. Another is a new file and one arm in each
//!   enum.
//! - [`manifest`] says which key-encryption keys there are and what each may still do, signed.
//! - [`canary`] shows at start that the process holds the key that the store's values need.
//! - [`custody`]: a private key that takes several custodians to open.
//! - [`backup`]: a stream that only its recipient opens.
//! - [`order`]: what shows that a row was ordered by who may order it.
//! - [`handover`]: a value that the capture plane hands the internal plane through a browser.
//! - [`mac`] and [`signing`] are the service's other two keys: an HMAC key for the secrets of
//!   capture sessions, and an Ed25519 key for deletion receipts.
//!
//! Read `envelope.rs` next for the format, byte by byte.

pub mod aws_kms;
pub mod backup;
pub mod canary;
pub mod custody;
mod data_key;
mod envelope;
pub mod file;
pub mod handover;
pub mod mac;
pub mod manifest;
mod opener;
pub mod order;
pub mod pkcs11;
pub mod provider;
mod sealer;
pub mod signing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::token::Environment;

pub use canary::Canary;
pub(crate) use data_key::hex;
pub use data_key::{KekId, KekIdRefused, WrappedDataKey};
pub use envelope::{Opened, PAYLOAD_BYTES_MAX, Sealed};
pub use opener::{DATA_KEY_CACHED_S_MAX, DATA_KEYS_CACHED_MAX, Opener};
pub use provider::{UnwrapKey, WrapKey};
pub use sealer::{DataKeyLimits, LimitsRefused, Sealer};

/// The one place a sealed value belongs to. All of it is authenticated with the value, so a value
/// moved to another row, column, table, account or environment, or given to another customer, does
/// not open.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The world of the row.
    pub environment: Environment,
    /// The account that owns the row.
    pub account: &'a str,
    /// The table.
    pub table: &'static str,
    /// The row's id, as text.
    pub row: &'a str,
    /// The column.
    pub column: &'static str,
    /// The merchant's name for the customer whose value it is, where it has one.
    pub customer_ref: Option<&'a str>,
    /// How it may be used, in the row's word.
    pub usage: &'a str,
}

/// A sealed value and the wrapped data key it needs. They travel together, so that the store can
/// write both in one transaction and no value is ever left without its key.
#[derive(Clone, Debug)]
pub struct SealedValue {
    /// The value.
    pub sealed: Sealed,
    /// The key, wrapped.
    pub data_key: Arc<WrappedDataKey>,
}

/// The value does not open here: altered, cut, moved, sealed under another key, or never sealed.
///
/// There is one refusal for all that is wrong with a value, since each further word would help only
/// whoever tries. That its key's provider is missing is another thing, and wants another mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The value, its place or its key is not exactly right.
    #[error("a sealed value was refused")]
    Value,
    /// The module or the service that holds the key does not answer, or answers with a fault: this
    /// says nothing of the value.
    #[error("the provider of the key does not answer")]
    Provider,
}

/// Why nothing was sealed. Neither carries a byte of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealFailed {
    /// The payload is longer than [`PAYLOAD_BYTES_MAX`].
    #[error("the payload is too long to be sealed")]
    PayloadTooLong,
    /// The context is of the other environment than the sealer's key.
    #[error("the context is of the other environment")]
    WrongEnvironment,
    /// The key provider gave no data key.
    #[error("the key provider gave no data key")]
    KeyUnavailable,
}
