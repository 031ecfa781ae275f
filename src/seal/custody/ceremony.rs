//! Ceremonies: a key is made for custodians, or the custodians of a key change.
//!
//! Everything happens in the memory of one command. What leaves it is ciphertext and papers.

use serde::{Deserialize, Serialize};

use super::kek::{Holder, SharedKek, SharedKekFile};
use super::ledger::{Custody, Ledger, LedgerRefused};
use super::shamir::{self, SHARES_MAX, Share, THRESHOLD_MIN};
use super::share::{ShareFile, Splitting, check_of};
use super::signed::{Document, Signed};
use super::{CeremonyId, Custodian, CustodianName};
use crate::clock::Timestamp;
use crate::seal::data_key::{KeyBytes, hex};
use crate::seal::file::{PrivateKek, PublicKekFile, Why, hpke};
use crate::seal::signing::SigningKey;
use crate::token::Environment;

/// The version of the software that held a ceremony.
const SOFTWARE: &str = concat!("cloakroom ", env!("CARGO_PKG_VERSION"));

/// Names of the files of a ceremony.
pub(super) const PRIVATE: &str = "kek-private.json";
pub(super) const PUBLIC: &str = "kek-public.json";
pub(super) const LEDGER: &str = "custodians.json";

/// Who is to hold a key, and how.
#[derive(Debug)]
pub struct Order<'a> {
    /// In the order of their shares.
    pub custodians: Vec<Custodian>,
    /// How many of them open the key.
    pub threshold: u8,
    /// Who else was present.
    pub witnesses: Vec<String>,
    /// The ledger so far.
    pub ledger: Ledger,
    /// Signs transcript and ledger.
    pub signing_key: &'a SigningKey,
    /// The present.
    pub now: Timestamp,
}

impl Order<'_> {
    /// How many shares there are to be, once they may be given to these people.
    fn admitted(&self) -> Result<u8, CeremonyFailed> {
        let shares = u8::try_from(self.custodians.len()).map_err(|_| CeremonyFailed::Bounds)?;
        if shares > SHARES_MAX || !(THRESHOLD_MIN..=shares).contains(&self.threshold) {
            return Err(CeremonyFailed::Bounds);
        }
        self.ledger.admits(&self.custodians)?;
        Ok(shares)
    }
}

/// Why no ceremony was held. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyFailed {
    /// Fewer than two, or more than there are custodians.
    #[error(
        "a threshold is from {THRESHOLD_MIN} to the number of custodians, and there are at most {SHARES_MAX}"
    )]
    Bounds,
    /// Somebody would hold two shares.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
    /// The shares do not open the key.
    #[error("the shares do not open the key: {0}")]
    NotOpened(Why),
    /// The cryptographic library failed.
    #[error("no key could be made")]
    Crypto,
}

/// The files of a ceremony: names and contents, in the order in which they are to be written.
#[derive(Debug)]
pub struct Ceremony {
    /// The key.
    pub kek: String,
    /// The splitting.
    pub ceremony: CeremonyId,
    /// The files.
    pub files: Vec<(String, Vec<u8>)>,
}

/// What a ceremony did, for whoever must be shown it later (PCI DSS 3.6.1, 3.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// `init` or `split`.
    act: String,
    /// When.
    pub at: String,
    environment: Environment,
    pub(super) kek: String,
    /// SHA-256 of the public key, in hexadecimal; the key's id begins with it.
    key_check_value: String,
    pub(super) ceremony: CeremonyId,
    pub(super) threshold: u8,
    pub(super) shares: u8,
    pub(super) holders: Vec<Holder>,
    witnesses: Vec<String>,
    /// Whose shares opened the key, and which ceremony this one follows.
    previous: Option<Previous>,
    pub(super) files: Vec<Written>,
    /// What is to be done with what came before.
    notices: Vec<String>,
    software: String,
}

/// The ceremony before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its name.
    pub ceremony: CeremonyId,
    /// Whose shares opened the key.
    pub opened_by: Vec<CustodianName>,
}

/// A file that a ceremony wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub(super) sha256: String,
}

impl Document for Transcript {
    const FORMAT: &'static str = "cloakroom-ceremony-transcript/1";
}

impl Transcript {
    /// The name of a key's transcript.
    #[must_use]
    pub fn file_name(kek: &str) -> String {
        format!("ceremony-{kek}.json")
    }

    /// The SHA-256 that it states of a file.
    pub(super) fn sha256_of(&self, name: &str) -> Option<&str> {
        let written = self.files.iter().find(|written| written.name == name)?;
        Some(&written.sha256)
    }
}

/// The name of a custodian's share file.
pub(super) fn share_name(custodian: &CustodianName) -> String {
    format!("share-{custodian}.json")
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

/// Makes a key pair whose private half only custodians open.
///
/// # Errors
/// [`CeremonyFailed`].
pub fn init(environment: Environment, order: Order<'_>) -> Result<Ceremony, CeremonyFailed> {
    let (public, private) = hpke::generate().ok_or(CeremonyFailed::Crypto)?;
    let public = PublicKekFile::new(environment, &public.0);
    let held = hold(environment, &public, private.secret_bytes(), None, order);
    drop(private);
    held
}

/// Opens a key with its custodians' shares and gives it to others, under a new secret: the shares
/// before open nothing of what is written now.
///
/// # Errors
/// [`CeremonyFailed`].
pub fn split(
    waiting: &SharedKek,
    shares: &[Share],
    environment: Environment,
    order: Order<'_>,
) -> Result<Ceremony, CeremonyFailed> {
    let opened: PrivateKek = waiting.open(shares).map_err(CeremonyFailed::NotOpened)?;
    let names = shares.iter().map(Share::index);
    let previous = Previous {
        ceremony: waiting.ceremony().clone(),
        opened_by: names
            .filter_map(|n| waiting.custodian_of(n).cloned())
            .collect(),
    };
    let public = waiting.public();
    hold(environment, public, opened.expose(), Some(previous), order)
}

fn hold(
    environment: Environment,
    public: &PublicKekFile,
    private_key: &[u8],
    previous: Option<Previous>,
    mut order: Order<'_>,
) -> Result<Ceremony, CeremonyFailed> {
    // 1. Who may hold it.
    let shares = order.admitted()?;
    let (kek, public_key) = public
        .checked(environment)
        .map_err(CeremonyFailed::NotOpened)?;
    let splitting = Splitting {
        environment,
        kek,
        ceremony: CeremonyId::random(),
        threshold: order.threshold,
        shares,
    };

    // 2. A secret, the key under it, the shares under the custodians' keys. Then it is gone.
    let secret = KeyBytes::random();
    let parts = shamir::split(&secret, order.threshold, shares).ok_or(CeremonyFailed::Crypto)?;
    let mut holders = Vec::with_capacity(parts.len());
    let mut sealed = Vec::with_capacity(parts.len());
    for (part, custodian) in parts.iter().zip(&order.custodians) {
        holders.push(Holder {
            index: part.index(),
            custodian: custodian.name.clone(),
            check: check_of(&splitting.kek, &splitting.ceremony, part),
        });
        let file = ShareFile::seal(&splitting, part, custodian).ok_or(CeremonyFailed::Crypto)?;
        sealed.push((share_name(&custodian.name), file.to_json()));
    }
    drop(parts);
    let document = SharedKekFile::seal(public, &splitting, &holders, &secret, private_key);
    drop(secret);
    let document = document.ok_or(CeremonyFailed::Crypto)?;

    // 3. The papers: the ledger, and the transcript with the hash of every file.
    order.ledger.enter(Custody {
        kek: splitting.kek.to_string(),
        ceremony: splitting.ceremony.clone(),
        since: order.now.rfc3339(),
        until: None,
        threshold: order.threshold,
        custodians: order.custodians.clone(),
    });
    let mut files = vec![
        (PUBLIC.to_owned(), public.to_json()),
        (PRIVATE.to_owned(), document.to_json()),
        (LEDGER.to_owned(), order.ledger.sign(order.signing_key)),
    ];
    files.append(&mut sealed);
    let written = |(name, bytes): &(String, Vec<u8>)| Written {
        name: name.clone(),
        sha256: sha256(bytes),
    };
    let transcript = Transcript {
        act: previous.as_ref().map_or("init", |_| "split").to_owned(),
        at: order.now.rfc3339(),
        environment,
        kek: splitting.kek.to_string(),
        key_check_value: sha256(&public_key),
        ceremony: splitting.ceremony.clone(),
        threshold: order.threshold,
        shares,
        holders,
        witnesses: order.witnesses,
        notices: notices(previous.as_ref()),
        previous,
        files: files.iter().map(written).collect(),
        software: SOFTWARE.to_owned(),
    };
    let name = Transcript::file_name(splitting.kek.as_str());
    files.push((name, Signed::new(transcript, order.signing_key).to_json()));
    Ok(Ceremony {
        kek: splitting.kek.to_string(),
        ceremony: splitting.ceremony,
        files,
    })
}

fn notices(previous: Option<&Previous>) -> Vec<String> {
    let Some(previous) = previous else {
        return Vec::new();
    };
    vec![
        format!(
            "The shares of {} do not open the private document of this ceremony.",
            previous.ceremony
        ),
        "They still open every copy of the private document before it: destroy all copies, backups \
         included, or rotate the key (keys rotate)."
            .to_owned(),
    ]
}
