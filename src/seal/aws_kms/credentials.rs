//! Who we are to AWS: a file that only its owner can read, looked at before each call, so that
//! whatever renews the credentials needs no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::Refused;
use crate::net::Stamp;
use crate::seal::file;

/// An access key, and the token that goes with it where it is a temporary one.
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Zeroizing<String>,
    pub(super) session_token: Option<Zeroizing<String>>,
}

/// The file, and what was last read from it.
pub(super) struct CredentialsFile {
    path: PathBuf,
    present: Mutex<(Stamp, Arc<Credentials>)>,
}

impl CredentialsFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, Refused> {
        let stamp = Stamp::of([&path]);
        let credentials = Arc::new(read(&path)?);
        Ok(Self {
            path,
            present: Mutex::new((stamp, credentials)),
        })
    }

    /// The credentials as they are now; those of before where the file cannot be read.
    pub(super) fn present(&self) -> Arc<Credentials> {
        let stamp = Stamp::of([&self.path]);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.0 != stamp {
            match read(&self.path) {
                Ok(credentials) => *present = (stamp, Arc::new(credentials)),
                Err(refused) => tracing::error!(%refused, "the credentials of before are used"),
            }
        }
        Arc::clone(&present.1)
    }
}

/// The form of AWS's shared credentials file: `name = value`, in its first section.
fn read(path: &Path) -> Result<Credentials, Refused> {
    let refuse = |reason: &str| Refused::Credentials {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let text = file::read_private(path).map_err(|refused| refuse(&refused.to_string()))?;
    let text = std::str::from_utf8(&text).map_err(|_| refuse("it is not text"))?;
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name && !value.trim().is_empty()).then(|| value.trim())
        })
    };
    let missing = || refuse("it needs aws_access_key_id and aws_secret_access_key");
    Ok(Credentials {
        access_key_id: value("aws_access_key_id").ok_or_else(missing)?.to_owned(),
        secret_access_key: Zeroizing::new(
            value("aws_secret_access_key")
                .ok_or_else(missing)?
                .to_owned(),
        ),
        session_token: value("aws_session_token").map(|token| Zeroizing::new(token.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_anew_when_their_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        let put = |text: &str| {
            let _gone = std::fs::remove_file(&path);
            file::write_private(&path, text.as_bytes()).unwrap();
        };
        put("[default]\naws_access_key_id = A\naws_secret_access_key=s/+=\n");
        let credentials = CredentialsFile::open(path.clone()).unwrap();
        let now = credentials.present();
        assert_eq!(now.access_key_id, "A");
        assert_eq!(*now.secret_access_key, "s/+=");
        assert!(now.session_token.is_none());

        put("aws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u\n");
        let now = credentials.present();
        assert_eq!(
            (now.access_key_id.as_str(), now.session_token.is_some()),
            ("B", true)
        );
        put("half");
        assert_eq!(credentials.present().access_key_id, "B");
    }
}
