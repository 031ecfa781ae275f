//! What pgBackRest says of its repositories: `pgbackrest info --output=json`.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::clock::Timestamp;

/// Seconds for its answer; it asks each repository, some over the network.
const ANSWER_S_MAX: u64 = 60;
/// Milliseconds between two looks whether it has ended.
const LOOK_MS: u64 = 50;
/// No answer is longer.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Why nothing is known of the repositories.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The command.
    #[error("pgbackrest cannot be run: {0}")]
    Command(#[from] io::Error),
    /// It ended otherwise than well.
    #[error("pgbackrest ended with {0}")]
    Ended(std::process::ExitStatus),
    /// It said nothing in time.
    #[error("pgbackrest has not answered for {ANSWER_S_MAX} s")]
    Silent,
    /// Its answer is not of the form that is known.
    #[error("pgbackrest's answer is not the JSON that is expected")]
    Form,
    /// It knows no such stanza, or the stanza is not well.
    #[error("the stanza is not there, or pgbackrest says of it: {0}")]
    Stanza(String),
}

/// When the newest backup of each repository that holds was finished, by the repository's number;
/// nothing where it has none. Not for an async thread.
///
/// # Errors
/// [`Unknown`].
pub fn newest(command: &Path, stanza: &str) -> Result<BTreeMap<u32, Option<Timestamp>>, Unknown> {
    of(&answer(command, stanza)?, stanza)
}

fn answer(command: &Path, stanza: &str) -> Result<Vec<u8>, Unknown> {
    let mut child = Command::new(command)
        .args(["info", "--output=json", "--stanza", stanza])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let said = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut answer = Vec::new();
        let read = said.map(|said| said.take(ANSWER_BYTES_MAX).read_to_end(&mut answer));
        read.transpose().map(|_| answer)
    });
    for _ in 0..ANSWER_S_MAX.saturating_mul(1_000) / LOOK_MS {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                return Err(Unknown::Ended(status));
            }
            let answer = reader.join().map_err(|_| Unknown::Silent)?;
            return Ok(answer?);
        }
        thread::sleep(Duration::from_millis(LOOK_MS));
    }
    child.kill()?;
    child.wait()?;
    Err(Unknown::Silent)
}

/// What of the answer is read; its form is documented by pgBackRest and has more.
#[derive(Deserialize)]
struct Stanza {
    name: String,
    status: Status,
    #[serde(default)]
    backup: Vec<Backup>,
    #[serde(default)]
    repo: Vec<Repository>,
}

#[derive(Deserialize)]
struct Status {
    code: u32,
    message: String,
}

#[derive(Deserialize)]
struct Repository {
    key: u32,
}

#[derive(Deserialize)]
struct Backup {
    database: Database,
    timestamp: Times,
    #[serde(default)]
    error: bool,
}

#[derive(Deserialize)]
struct Database {
    #[serde(rename = "repo-key")]
    repo_key: u32,
}

#[derive(Deserialize)]
struct Times {
    /// Seconds since 1970.
    stop: i64,
}

fn of(answer: &[u8], stanza: &str) -> Result<BTreeMap<u32, Option<Timestamp>>, Unknown> {
    let stanzas: Vec<Stanza> = serde_json::from_slice(answer).map_err(|_| Unknown::Form)?;
    let found = stanzas.into_iter().find(|found| found.name == stanza);
    let found = found.ok_or_else(|| Unknown::Stanza("missing".to_owned()))?;
    if found.status.code != 0 {
        return Err(Unknown::Stanza(found.status.message));
    }
    let mut newest: BTreeMap<u32, Option<Timestamp>> =
        found.repo.iter().map(|repo| (repo.key, None)).collect();
    for backup in found.backup.iter().filter(|backup| !backup.error) {
        let stop_ms = backup.timestamp.stop.saturating_mul(1_000);
        let at = newest.entry(backup.database.repo_key).or_default();
        *at = (*at).max(Some(Timestamp::from_unix_ms(stop_ms)));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// As pgBackRest 2.45 says it, shortened; the second repository has a backup with errors only.
    const ANSWER: &str = r#"[{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1",
        "max":"000000010000000000000005","min":"000000010000000000000002"}],
        "backup":[
          {"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,
           "label":"20261127-010000F","timestamp":{"start":1795741200,"stop":1795741207},"type":"full"},
          {"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,
           "label":"20261128-010000F","timestamp":{"start":1795827600,"stop":1795827607},"type":"full"},
          {"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":2},"error":true,
           "label":"20261128-020000F","timestamp":{"start":1795831200,"stop":1795831207},"type":"full"}],
        "cipher":"aes-256-cbc","db":[{"id":1,"repo-key":1,"system-id":7,"version":"15"}],
        "name":"cloakroom","repo":[{"cipher":"aes-256-cbc","key":1,"status":{"code":0,"message":"ok"}},
        {"cipher":"aes-256-cbc","key":2,"status":{"code":0,"message":"ok"}}],
        "status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]"#;

    #[test]
    fn the_newest_backup_of_each_repository_counts_and_one_with_errors_does_not() {
        let newest = of(ANSWER.as_bytes(), "cloakroom").unwrap();
        let at = Timestamp::from_unix_ms(1_795_827_607_000);
        assert_eq!(newest, BTreeMap::from([(1, Some(at)), (2, None)]));
        assert!(matches!(
            of(ANSWER.as_bytes(), "other"),
            Err(Unknown::Stanza(_))
        ));
        assert!(matches!(of(b"[]", "cloakroom"), Err(Unknown::Stanza(_))));
        assert!(matches!(of(b"nothing", "cloakroom"), Err(Unknown::Form)));
        let broken = ANSWER.replace(
            "\"status\":{\"code\":0,\"lock\"",
            "\"status\":{\"code\":3,\"lock\"",
        );
        assert!(matches!(
            of(broken.as_bytes(), "cloakroom"),
            Err(Unknown::Stanza(_))
        ));
    }

    #[test]
    fn the_command_is_run_and_its_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let program = |name: &str, body: &str| {
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            path
        };
        fs::write(dir.path().join("answer"), ANSWER).unwrap();
        let says = "test \"$1 $2 $3 $4\" = 'info --output=json --stanza cloakroom' || exit 9\n\
                    cat \"$(dirname \"$0\")/answer\"";
        let well = program("well", says);
        assert_eq!(newest(&well, "cloakroom").unwrap().len(), 2);
        assert!(matches!(newest(&well, "other"), Err(Unknown::Ended(_))));
        let ill = program("ill", "exit 3");
        assert!(matches!(newest(&ill, "cloakroom"), Err(Unknown::Ended(_))));
        let missing = dir.path().join("missing");
        assert!(matches!(
            newest(&missing, "cloakroom"),
            Err(Unknown::Command(_))
        ));
    }
}
