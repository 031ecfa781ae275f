//! Acknowledgements: a custodian says, under their own signature, that they hold their share and
//! know what that asks of them (PCI DSS 3.7.8).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ceremony::{Transcript, sha256, share_name};
use super::custodian::CustodianKey;
use super::share::{ShareFile, check_of};
use super::signed::{Document, Signed};
use super::{CeremonyId, CustodianName, Refused};
use crate::clock::Timestamp;
use crate::seal::KekId;
use crate::seal::file::{self, Why};

/// What every custodian signs.
pub const STATEMENT: &str = "I hold the share that this document names, and I have opened it with \
    my own key. I keep the share and my key where nobody but me has access, I give neither them nor \
    my passphrase to anybody, and I use the share only when I have myself been asked, by somebody \
    I know to be entitled, to take part in opening or re-sharing this key. If I lose it, suspect \
    that somebody else has seen it, or leave my role, I report that at once. I understand this \
    responsibility and accept it.";

/// What a custodian acknowledges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    pub(super) at: String,
    pub(super) kek: String,
    pub(super) ceremony: CeremonyId,
    pub(super) custodian: CustodianName,
    pub(super) custodian_key: String,
    pub(super) index: u8,
    /// SHA-256 of the share file.
    pub(super) share_sha256: String,
    /// SHA-256 of the transcript, as the custodian read it.
    pub(super) transcript_sha256: String,
    pub(super) statement: String,
}

impl Document for Acknowledgement {
    const FORMAT: &'static str = "cloakroom-custodian-acknowledgement/1";
}

impl Acknowledgement {
    /// Opens the share with its custodian's key, holds it against the transcript, and signs.
    ///
    /// # Errors
    /// [`Why::NotOpened`] or [`Why::KeysDoNotMatch`] where the share is not this custodian's or is
    /// not the one that the transcript names.
    pub fn make(
        share: (&ShareFile, &[u8]),
        transcript: (&Transcript, &[u8]),
        key: &CustodianKey,
        now: Timestamp,
    ) -> Result<Signed<Self>, Why> {
        let (share, share_bytes) = share;
        let (transcript, transcript_bytes) = transcript;
        let opened = share.open(key)?;
        let name = &key.custodian().name;
        let kek = KekId::try_from(share.kek().to_owned()).map_err(|_| Why::Malformed)?;
        let check = check_of(&kek, share.ceremony(), &opened);
        drop(opened);
        let share_sha256 = sha256(share_bytes);
        let holder = transcript
            .holders
            .iter()
            .find(|holder| holder.index == share.index());
        let named = transcript.kek == share.kek()
            && transcript.ceremony == *share.ceremony()
            && holder.is_some_and(|h| h.custodian == *name && h.check == check)
            && transcript.sha256_of(&share_name(name)) == Some(&share_sha256);
        if !named {
            return Err(Why::KeysDoNotMatch);
        }
        let acknowledgement = Self {
            at: now.rfc3339(),
            kek: share.kek().to_owned(),
            ceremony: share.ceremony().clone(),
            custodian: name.clone(),
            custodian_key: key.custodian().key.clone(),
            index: share.index(),
            share_sha256,
            transcript_sha256: sha256(transcript_bytes),
            statement: STATEMENT.to_owned(),
        };
        Ok(Signed::new(acknowledgement, key.signing()))
    }

    /// The name of a custodian's acknowledgement.
    #[must_use]
    pub fn file_name(custodian: &CustodianName) -> String {
        format!("acknowledgement-{custodian}.json")
    }

    pub(super) fn read(path: &Path) -> Result<Signed<Self>, Refused> {
        let text = file::read_public(path)?;
        Signed::parse(&text).map_err(|why| Refused::signed(path, why))
    }
}

impl Transcript {
    /// Reads a transcript; its bytes are answered too, since an acknowledgement is of them.
    ///
    /// # Errors
    /// [`Refused`] names the file and what is wrong.
    pub fn read(path: &Path) -> Result<(Signed<Self>, Vec<u8>), Refused> {
        let text = file::read_public(path)?;
        let signed = Signed::parse(&text).map_err(|why| Refused::signed(path, why))?;
        Ok((signed, text.to_vec()))
    }
}
