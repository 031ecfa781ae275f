//! `cloakroom keys split`: the custodians of a key change. As many of the present ones as it takes
//! open it, one after the other, in one command on one machine, and it is waiting anew.

use std::path::PathBuf;

use clap::Args;

use super::super::{Failure, exit, print};
use super::ceremony::{Custodians, told, transcript_in};
use super::{custodian_key, write_all};
use crate::seal::custody::{self, Ledger, Share, ShareFile, SharedKek, Transcript};
use crate::seal::signing::SigningKey;
use crate::token::Environment;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The directory of the ceremony before: private document, ledger, transcript.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// An existing directory for what is made now; nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The environment of the key.
    #[arg(long, value_enum)]
    environment: super::super::keys::EnvironmentName,
    /// The share file of a custodian who is present; once for each.
    #[arg(long, value_name = "FILE", required = true)]
    share: Vec<PathBuf>,
    /// The private file of the same custodian, in the same order.
    #[arg(long, value_name = "FILE", required = true)]
    custodian_key: Vec<PathBuf>,
    /// A file with the passphrase, in the same order; without any, each custodian types theirs.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Vec<PathBuf>,
    /// The Ed25519 key that signs transcript and ledger: the receipt key.
    #[arg(long, value_name = "FILE")]
    signing_key: PathBuf,
    #[command(flatten)]
    custodians: Custodians,
}

pub(in crate::cli) fn run(arguments: Arguments) -> Result<(), Failure> {
    let environment: Environment = arguments.environment.into();
    let typed = arguments.passphrase_file.is_empty();
    let count = arguments.share.len();
    if arguments.custodian_key.len() != count
        || !(typed || arguments.passphrase_file.len() == count)
    {
        return Err(Failure::new(
            exit::USAGE,
            "each --share needs its --custodian-key, and its --passphrase-file where there are any",
        ));
    }
    let waiting = SharedKek::read(&arguments.dir.join("kek-private.json"), environment)?;
    let signing_key = SigningKey::read(&arguments.signing_key)?;
    let ledger = Ledger::read(&arguments.dir.join("custodians.json"))?;
    let (before, _) = Transcript::read(&transcript_in(&arguments.dir, waiting.kek().as_str()))?;
    let ours = Some(signing_key.public_key_bytes());
    if ledger.signer() != ours || before.signer() != ours {
        return Err(Failure::new(
            exit::DATA,
            "the ledger or the transcript before was signed by another key than --signing-key",
        ));
    }
    let order = arguments
        .custodians
        .read()?
        .order(ledger.document().clone(), &signing_key);

    let mut shares: Vec<Share> = Vec::with_capacity(count);
    let mut passphrases = arguments.passphrase_file.iter();
    for (share, key) in arguments.share.iter().zip(&arguments.custodian_key) {
        let key = custodian_key(key, passphrases.next().map(PathBuf::as_path))?;
        let (file, _) = ShareFile::read(share)?;
        let opened = file
            .open(&key)
            .map_err(|why| Failure::new(exit::DATA, format_args!("{}: {why}", share.display())))?;
        if !waiting.knows(&opened) || shares.iter().any(|other| other.index() == opened.index()) {
            return Err(Failure::new(
                exit::DATA,
                format_args!("{}: of another ceremony, or given twice", share.display()),
            ));
        }
        print(format_args!("{}: opened", key.custodian().name))?;
        shares.push(opened);
    }
    let ceremony = custody::split(&waiting, &shares, environment, order)?;
    drop(shares);
    write_all(&arguments.out, &ceremony.files)?;
    told(&arguments.out, &ceremony, &signing_key)?;
    print(format_args!(
        "The old shares do not open the new private document, and still open copies of the old one: \
         put the new one into service, destroy every copy of the old, or rotate the key."
    ))
}
