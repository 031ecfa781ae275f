//! `cloakroom keys init --shares` holds a ceremony; `cloakroom keys ceremony verify` checks its
//! papers.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::super::{Failure, exit, print};
use super::write_all;
use crate::clock::Clock;
use crate::directory;
use crate::seal::custody::{
    self, Ceremony, CeremonyFailed, Custodian, Ledger, Order, Papers, SHARES_MAX, THRESHOLD_MIN,
    Transcript, Verdict, verify,
};
use crate::seal::hex;
use crate::seal::signing::SigningKey;
use crate::token::Environment;

/// Who is to hold a key.
#[derive(Debug, Args)]
pub(in crate::cli) struct Custodians {
    /// Custodians that are to hold a share each.
    #[arg(long, value_name = "N", requires_all = ["threshold", "custodian"])]
    pub(in crate::cli) shares: Option<u8>,
    /// How many of them open the key: from 2 to N.
    #[arg(long, value_name = "M", requires = "shares")]
    pub(in crate::cli) threshold: Option<u8>,
    /// A custodian's public file; once for each.
    #[arg(long, value_name = "FILE", requires = "shares")]
    pub(in crate::cli) custodian: Vec<PathBuf>,
    /// Somebody else who is present, for the transcript; may be repeated.
    #[arg(long, value_name = "NAME", requires = "shares")]
    pub(in crate::cli) witness: Vec<String>,
}

/// The custodians of a ceremony: read, as many as shares, and different people.
pub(super) struct Asked {
    custodians: Vec<Custodian>,
    threshold: u8,
    witnesses: Vec<String>,
}

impl Custodians {
    /// Reads the custodians' files, before anything is made for them.
    pub(super) fn read(self) -> Result<Asked, Failure> {
        let (Some(shares), Some(threshold)) = (self.shares, self.threshold) else {
            return Err(Failure::new(
                exit::USAGE,
                "--shares, --threshold and --custodian go together",
            ));
        };
        if usize::from(shares) != self.custodian.len() {
            return Err(Failure::new(
                exit::USAGE,
                format_args!(
                    "--shares is {shares}, and --custodian names {} files: one person, one share",
                    self.custodian.len()
                ),
            ));
        }
        if !(THRESHOLD_MIN..=shares).contains(&threshold) || shares > SHARES_MAX {
            return Err(CeremonyFailed::Bounds.into());
        }
        let custodians = self.custodian.iter().map(|path| Custodian::read(path));
        let custodians: Vec<Custodian> = custodians.collect::<Result<_, _>>()?;
        Ledger::default()
            .admits(&custodians)
            .map_err(CeremonyFailed::from)?;
        Ok(Asked {
            custodians,
            threshold,
            witnesses: self.witness,
        })
    }
}

impl Asked {
    /// The order of a ceremony.
    pub(super) fn order(self, ledger: Ledger, signing_key: &SigningKey) -> Order<'_> {
        Order {
            custodians: self.custodians,
            threshold: self.threshold,
            witnesses: self.witnesses,
            ledger,
            signing_key,
            now: Clock::system().now(),
        }
    }
}

/// Makes a KEK for custodians in `dir`; `signing_key` makes the key that signs the papers, once
/// these are known to be different people.
pub(in crate::cli) fn init(
    dir: &Path,
    environment: Environment,
    custodians: Custodians,
    signing_key: impl FnOnce() -> Result<SigningKey, Failure>,
) -> Result<(), Failure> {
    let asked = custodians.read()?;
    let signing_key = signing_key()?;
    let order = asked.order(Ledger::default(), &signing_key);
    let ceremony = custody::init(environment, order)?;
    write_all(dir, &ceremony.files)?;
    told(dir, &ceremony, &signing_key)
}

/// Says what a ceremony wrote, and what is to be done with it.
pub(super) fn told(dir: &Path, ceremony: &Ceremony, signer: &SigningKey) -> Result<(), Failure> {
    print(format_args!(
        "{} of {}, in {}:",
        ceremony.ceremony,
        ceremony.kek,
        dir.display()
    ))?;
    for (name, _) in &ceremony.files {
        print(format_args!("  {name}"))?;
    }
    print(
        "Give each share-NAME.json to its custodian and remove it here; have each sign with \
         `cloakroom keys acknowledge`; check with `cloakroom keys ceremony verify`.",
    )?;
    print(format_args!(
        "The papers are signed by the key {}: keep it elsewhere, and name it then with \
         --signing-key.",
        hex(&signer.public_key_bytes())
    ))
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Checks the papers of a ceremony: transcript, ledger, hashes, acknowledgements.
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Verify {
    /// The transcript: ceremony-KEK.json.
    #[arg(long, value_name = "FILE")]
    transcript: PathBuf,
    /// The directory of the ceremony's files; the transcript's own where it is not said.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The directory of the acknowledgements; that of the files where it is not said.
    #[arg(long, value_name = "DIR")]
    acknowledgements: Option<PathBuf>,
    /// The public key that signs the papers, as `keys init` printed it; 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = signing_key)]
    signing_key: Option<String>,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

fn signing_key(text: &str) -> Result<String, String> {
    let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let refused = || "64 hexadecimal digits are expected".to_owned();
    fits.then(|| text.to_owned()).ok_or_else(refused)
}

pub(in crate::cli) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Verb::Verify(asked) = arguments.verb;
    let own = directory::of(&asked.transcript).to_owned();
    let dir = asked.dir.unwrap_or(own);
    let papers = Papers {
        acknowledgements: asked.acknowledgements.unwrap_or_else(|| dir.clone()),
        transcript: asked.transcript,
        signing_key: asked.signing_key,
        dir,
    };
    let findings = verify(&papers)?;
    let word = |verdict: Verdict| match verdict {
        Verdict::Holds => "pass",
        Verdict::Absent => "away",
        Verdict::Broken => "FAIL",
    };
    if asked.json {
        let lines: Vec<_> = findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "name": finding.name,
                    "verdict": word(finding.verdict).to_lowercase(),
                    "observation": finding.observation,
                })
            })
            .collect();
        print(serde_json::Value::from(lines))?;
    } else {
        for finding in &findings {
            print(format_args!(
                "{}  {:<32} {}",
                word(finding.verdict),
                finding.name,
                finding.observation
            ))?;
        }
    }
    let broken = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Broken)
        .count();
    match broken {
        0 => Ok(()),
        broken => Err(Failure::new(
            exit::DATA,
            format_args!("{broken} of {} do not hold", findings.len()),
        )),
    }
}

/// The papers' transcript of a key.
pub(super) fn transcript_in(dir: &Path, kek: &str) -> PathBuf {
    dir.join(Transcript::file_name(kek))
}
