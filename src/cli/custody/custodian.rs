//! `cloakroom keys custodian`: a custodian makes their own keys, on their own machine.

use std::path::PathBuf;

use clap::Args;

use super::super::{Failure, exit, print};
use super::{passphrase, write_all};
use crate::clock::Clock;
use crate::seal::custody::{CustodianName, generate};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The custodian's name: one person, one name, in lower case.
    #[arg(long, value_name = "NAME")]
    name: CustodianName,
    /// The directory to write the two files to; it must exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A file with the passphrase, readable by its owner only; without it the passphrase is typed.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(in crate::cli) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        name,
        out,
        passphrase_file,
    } = arguments;
    let passphrase = passphrase::new(passphrase_file.as_deref(), name.as_str())?;
    let (public, private) = (
        format!("{name}.public.json"),
        format!("{name}.private.json"),
    );
    let made = generate(name, &passphrase, Clock::system().now())
        .map_err(|error| Failure::new(exit::DATA, error))?;
    write_all(
        &out,
        &[
            (private.clone(), made.private),
            (public.clone(), made.public),
        ],
    )?;
    print(format_args!(
        "made in {}: {public}, to be given to the key manager, and {private}, which stays with you\n\
         key check value, to be compared before a ceremony: {}",
        out.display(),
        made.key
    ))
}
