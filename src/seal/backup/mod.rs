//! Backups: a stream of any length that only its recipient opens.
//!
//! A random AES-256 key is made for each stream and wrapped with HPKE to the recipient, under a
//! label of its own: what is wrapped here is no data key, and a data key is no backup. The private
//! half does not belong on a host that makes backups.
//!
//! `recipient.rs` is the key pair and its two files; `stream.rs` the format, byte by byte.

mod recipient;
mod stream;
#[cfg(test)]
mod tests;

pub use recipient::{BackupFiles, BackupIdentity, BackupRecipient, generate};
pub use stream::{Failed, open, seal};
