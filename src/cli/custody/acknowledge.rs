//! `cloakroom keys acknowledge`: a custodian opens their share, to see that they can, and signs that
//! they hold it and what that asks of them.

use std::path::PathBuf;

use clap::Args;

use super::super::{Failure, exit, print};
use super::{custodian_key, write_all};
use crate::clock::Clock;
use crate::seal::custody::{Acknowledgement, STATEMENT, ShareFile, Transcript};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The custodian's share file.
    #[arg(long, value_name = "FILE")]
    share: PathBuf,
    /// The custodian's private file.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The transcript of the ceremony.
    #[arg(long, value_name = "FILE")]
    transcript: PathBuf,
    /// The directory to write the acknowledgement to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// A file with the passphrase, readable by its owner only; without it the passphrase is typed.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    // What is signed is read first.
    print(STATEMENT)?;
    let key = custodian_key(&arguments.key, arguments.passphrase_file.as_deref())?;
    let (share, share_bytes) = ShareFile::read(&arguments.share)?;
    let (transcript, transcript_bytes) = Transcript::read(&arguments.transcript)?;
    let signed = Acknowledgement::make(
        (&share, &share_bytes),
        (transcript.document(), &transcript_bytes),
        &key,
        Clock::system().now(),
    )
    .map_err(|why| {
        Failure::new(
            exit::DATA,
            format_args!("this share, this key and this transcript do not belong together: {why}"),
        )
    })?;
    let name = Acknowledgement::file_name(&key.custodian().name);
    write_all(&arguments.out, &[(name.clone(), signed.to_json())])?;
    print(format_args!(
        "signed: {}; give it to the key manager",
        arguments.out.join(name).display()
    ))
}
