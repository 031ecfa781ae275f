//! Custody: a private key that no single person can open (PCI DSS 3.6.1.3, 3.7.6: split knowledge
//! and dual control).
//!
//! At a ceremony the private key of a KEK is sealed under a random secret. The secret is split, each
//! share is encrypted to its custodian's public key in the same breath, and the secret is wiped: in
//! clear it was never on a disk or a screen, and no share ever is. Later as many custodians as the
//! threshold asks for open their own shares, each on their own machine, and give them to the
//! service, which combines them in its memory ([`Gathering`]).
//!
//! - `custodian.rs`: a custodian's own key pairs;
//! - `shamir.rs`: splitting and combining;
//! - `share.rs`, `kek.rs`: a share, and the private document that shares open;
//! - `ceremony.rs`: makes all of it, with a signed transcript; `ledger.rs`: who holds what, and that
//!   nobody holds two; `acknowledgement.rs`: what custodians sign; `verify.rs`: checks the papers;
//! - `gathering.rs`: shares on their way to opening a key.

mod acknowledgement;
mod ceremony;
mod custodian;
mod gathering;
mod kek;
mod ledger;
pub(super) mod lock;
mod name;
mod shamir;
mod share;
mod signed;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};

use super::file::KeyFileRefused;

pub use acknowledgement::{Acknowledgement, STATEMENT};
pub use ceremony::{Ceremony, CeremonyFailed, Order, Previous, Transcript, init, split};
pub use custodian::{Custodian, CustodianFiles, CustodianKey, generate};
pub use gathering::{Gathering, GiveRefused, Given};
pub use kek::SharedKek;
pub use ledger::{Ledger, LedgerRefused};
pub use name::{CeremonyId, CeremonyRefused, CustodianName, NameRefused};
pub use shamir::{SHARES_MAX, Share, THRESHOLD_MIN};
pub use share::ShareFile;
pub use signed::{Document, Signed, SignedRefused};
pub use verify::{Finding, Papers, Verdict, verify};

/// A paper of a ceremony that is not taken, and why.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The file.
    #[error(transparent)]
    File(#[from] KeyFileRefused),
    /// Its signature or its form.
    #[error("{path}: {why}", path = .path.display())]
    Signed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: SignedRefused,
    },
}

impl Refused {
    pub(crate) fn signed(path: &Path, why: SignedRefused) -> Self {
        Self::Signed {
            path: path.to_owned(),
            why,
        }
    }
}
