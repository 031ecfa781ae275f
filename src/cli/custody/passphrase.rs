//! Passphrases: from a file that only its owner can read, or typed and not shown.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::super::{Failure, exit};
use crate::seal::file;

/// The passphrase of `of`: out of `file`, or asked for.
pub(in crate::cli) fn ask(file: Option<&Path>, of: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match file {
        Some(file) => Ok(file::read_passphrase(file)?),
        None => typed(&format!("passphrase of {}: ", of.display())),
    }
}

/// A new passphrase: out of `file`, or asked for twice.
pub(in crate::cli) fn new(file: Option<&Path>, whose: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(file) = file {
        return Ok(file::read_passphrase(file)?);
    }
    let passphrase = typed(&format!("new passphrase of {whose}: "))?;
    let again = typed("once more: ")?;
    if passphrase == again {
        Ok(passphrase)
    } else {
        Err(Failure::new(exit::DATA, "the two passphrases differ"))
    }
}

fn typed(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let no_terminal = |error: io::Error| {
        Failure::new(
            exit::USAGE,
            format_args!("no passphrase can be typed here ({error}); name a --passphrase-file"),
        )
    };
    let text = Zeroizing::new(rpassword::prompt_password(prompt).map_err(no_terminal)?);
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}
