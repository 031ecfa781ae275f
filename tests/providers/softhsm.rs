//! SoftHSM2, from Debian's package, with a token of the test's own.
//!
//! The module reads where its tokens are from the environment when it is loaded, which a running
//! test cannot change for itself. So a test that needs one starts itself again with it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloakroom::seal::pkcs11::{Pin, Settings};
use zeroize::Zeroizing;

pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub(crate) const LABEL: &str = "cloakroom";
pub(crate) const PIN: &str = "9283-7465";
pub(crate) const CONF: &str = "SOFTHSM2_CONF";

/// Makes a token below `dir`, and answers the configuration that leads to it.
pub(crate) fn token(dir: &Path) -> PathBuf {
    let tokens = dir.join("tokens");
    fs::create_dir(&tokens).unwrap();
    let conf = dir.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&conf, text).unwrap();
    init(&conf, LABEL);
    conf
}

pub(crate) fn init(conf: &Path, label: &str) {
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", label])
        .args(["--so-pin", "0000-1111", "--pin", PIN])
        .env(CONF, conf)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

pub(crate) fn settings() -> Settings {
    Settings {
        module: MODULE.into(),
        token_label: LABEL.to_owned(),
        pin: Pin::new(Zeroizing::new(PIN.to_owned())),
    }
}

/// Where the token of this process is, whose configuration [`token`] wrote.
pub(crate) fn tokens_inside() -> PathBuf {
    let conf = PathBuf::from(std::env::var_os(CONF).unwrap());
    conf.with_file_name("tokens")
}

/// Runs the rest of the test named `test` in a process that has a token: answers false in the
/// process that has none, once the other one has passed.
pub(crate) fn is_inside(test: &str) -> bool {
    if std::env::var_os(CONF).is_some() {
        return true;
    }
    let dir = tempfile::tempdir().unwrap();
    let conf: OsString = token(dir.path()).into();
    let inside = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CONF, conf)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    assert!(
        inside.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&inside.stderr)
    );
    false
}
