//! The papers of a ceremony, checked against each other and against the files: what an assessor, or
//! the next key manager, runs.

use std::fs;
use std::path::{Path, PathBuf};

use super::acknowledgement::{Acknowledgement, STATEMENT};
use super::ceremony::{LEDGER, Transcript, sha256, share_name};
use super::ledger::{Custody, Ledger};
use super::{CustodianName, Refused};
use crate::seal::data_key::hex;

/// Where the papers are.
#[derive(Clone, Debug)]
pub struct Papers {
    /// The transcript.
    pub transcript: PathBuf,
    /// The directory with the ceremony's files. Share files may be away: they are their custodians'.
    pub dir: PathBuf,
    /// The directory with the acknowledgements.
    pub acknowledgements: PathBuf,
    /// The public key that is known from elsewhere to sign the papers, in hexadecimal digits.
    /// Without it nobody can say whose papers they are: a whole set may be made up.
    pub signing_key: Option<String>,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Holds,
    /// Not here, so nothing is known of it.
    Absent,
    /// Missing or wrong.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// What.
    pub name: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub observation: String,
}

impl Finding {
    fn new(name: impl Into<String>, verdict: Verdict, observation: impl std::fmt::Display) -> Self {
        Self {
            name: name.into(),
            verdict,
            observation: format!("{observation}"),
        }
    }
}

/// Looks at the transcript, the ledger, each file's hash and each custodian's acknowledgement.
///
/// # Errors
/// [`Refused`] where there is no transcript to go by.
pub fn verify(papers: &Papers) -> Result<Vec<Finding>, Refused> {
    let (signed, bytes) = Transcript::read(&papers.transcript)?;
    let transcript = signed.document();
    let key = hex(&signed.signer().unwrap_or_default());
    let mut findings = vec![Finding::new(
        "transcript",
        Verdict::Holds,
        format_args!(
            "{} of {}, {} of {} shares open it, signed by the key {key}",
            transcript.ceremony, transcript.kek, transcript.threshold, transcript.shares
        ),
    )];
    findings.push(anchor(papers.signing_key.as_deref(), &key));
    let ledger = ledger(&papers.dir, &signed, &mut findings);
    for written in &transcript.files {
        findings.push(file(
            &papers.dir,
            transcript,
            &written.name,
            &written.sha256,
        ));
    }
    for holder in &transcript.holders {
        let name = format!("acknowledgement of {}", holder.custodian);
        let told = acknowledged(
            papers,
            transcript,
            &sha256(&bytes),
            ledger.as_ref(),
            &holder.custodian,
        );
        findings.push(match told {
            Ok(at) => Finding::new(name, Verdict::Holds, format_args!("signed {at}")),
            Err(reason) => Finding::new(name, Verdict::Broken, reason),
        });
    }
    Ok(findings)
}

/// Whether the papers are signed by the key that is known from elsewhere.
fn anchor(known: Option<&str>, signer: &str) -> Finding {
    let name = "signing key";
    match known {
        Some(known) if known.eq_ignore_ascii_case(signer) => {
            Finding::new(name, Verdict::Holds, "the one that was named")
        }
        Some(_) => Finding::new(name, Verdict::Broken, "another one than was named"),
        None => Finding::new(
            name,
            Verdict::Absent,
            "compared with nothing: name the one that you know with --signing-key",
        ),
    }
}

/// The custody that the ledger has of this ceremony, once both agree and one key signed both.
fn ledger(
    dir: &Path,
    transcript: &super::Signed<Transcript>,
    findings: &mut Vec<Finding>,
) -> Option<Custody> {
    let read = match Ledger::read(&dir.join(LEDGER)) {
        Ok(read) => read,
        Err(refused) => {
            findings.push(Finding::new("ledger", Verdict::Broken, refused));
            return None;
        }
    };
    let document = transcript.document();
    let custody = read.document().custody(&document.ceremony);
    let agrees = |custody: &&Custody| {
        let names = custody.custodians.iter().map(|custodian| &custodian.name);
        custody.kek == document.kek
            && custody.threshold == document.threshold
            && names.eq(document.holders.iter().map(|holder| &holder.custodian))
    };
    let apart = read
        .document()
        .custodies()
        .iter()
        .try_for_each(|custody| Ledger::default().admits(&custody.custodians));
    let finding = match (custody.filter(agrees), apart) {
        (_, Err(refused)) => Finding::new("ledger", Verdict::Broken, refused),
        (None, Ok(())) => Finding::new(
            "ledger",
            Verdict::Broken,
            "does not agree with the transcript",
        ),
        (Some(_), Ok(())) if read.signer() != transcript.signer() => Finding::new(
            "ledger",
            Verdict::Broken,
            "signed by another key than the transcript",
        ),
        (Some(custody), Ok(())) => {
            let state = custody.until.as_ref().map_or_else(
                || format!("in force since {}", custody.since),
                |until| format!("ended {until}"),
            );
            Finding::new("ledger", Verdict::Holds, state)
        }
    };
    let held = finding.verdict == Verdict::Holds;
    findings.push(finding);
    custody.filter(|_| held).cloned()
}

fn file(dir: &Path, transcript: &Transcript, name: &str, stated: &str) -> Finding {
    let is_share = transcript
        .holders
        .iter()
        .any(|holder| share_name(&holder.custodian) == name);
    match fs::read(dir.join(name)) {
        Ok(bytes) if sha256(&bytes) == stated => Finding::new(name, Verdict::Holds, "as written"),
        // A later ceremony goes on writing the ledger; its own signature was checked above.
        Ok(_) if name == LEDGER => Finding::new(name, Verdict::Absent, "written since"),
        Ok(_) => Finding::new(name, Verdict::Broken, "is not what the ceremony wrote"),
        Err(_) if is_share => Finding::new(name, Verdict::Absent, "with its custodian"),
        Err(error) => Finding::new(name, Verdict::Broken, error),
    }
}

/// When a custodian signed for exactly this share and transcript, under the key of the ledger.
fn acknowledged(
    papers: &Papers,
    transcript: &Transcript,
    transcript_sha256: &str,
    ledger: Option<&Custody>,
    name: &CustodianName,
) -> Result<String, String> {
    let path = papers
        .acknowledgements
        .join(Acknowledgement::file_name(name));
    let signed = Acknowledgement::read(&path).map_err(|refused| refused.to_string())?;
    let custodian = ledger
        .and_then(|custody| custody.custodians.iter().find(|known| known.name == *name))
        .ok_or("the ledger does not know them")?;
    if signed.signer().is_none() || signed.signer() != custodian.signing_public_key() {
        return Err("signed by another key than the custodian's".to_owned());
    }
    let told = signed.document();
    let of_this = told.ceremony == transcript.ceremony
        && told.kek == transcript.kek
        && told.custodian == *name
        && told.custodian_key == custodian.key
        && transcript
            .holders
            .iter()
            .any(|holder| holder.custodian == *name && holder.index == told.index)
        && transcript.sha256_of(&share_name(name)) == Some(&told.share_sha256)
        && told.transcript_sha256 == transcript_sha256;
    if !of_this {
        return Err("of another share or another transcript".to_owned());
    }
    if told.statement != STATEMENT {
        return Err("with another statement".to_owned());
    }
    Ok(told.at.clone())
}
