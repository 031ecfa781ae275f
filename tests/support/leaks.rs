//! What must not be left behind: looked for in every file and every answer of a test's app.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cloakroom::card::scan;

use super::postgres::Server;

/// Files that hold what they are for, and are nobody's leak: key files and certificates.
const KEY_FILES: [&str; 5] = ["key", "pem", "json", "toml", "passphrase"];

/// What the sandbox remembers. It is the processor: the names it gives to cards are its own.
const PROCESSORS_FILE: &str = "sandbox.jsonl";

/// Panics when a card, a processor reference or a secret key is where it must not be.
pub(crate) fn assert_none(dir: &Path, said: &[u8], sent: &BTreeSet<String>) {
    let keys = secrets(dir);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == PROCESSORS_FILE {
            let kept = fs::read(&path).unwrap();
            assert!(
                !holds_any(&kept, sent),
                "{name} holds a card number that was sent"
            );
        } else if path.is_file() && !KEY_FILES.iter().any(|ending| name.ends_with(ending)) {
            look(&name, &fs::read(&path).unwrap(), sent, &keys);
        }
    }
    look("the answers", said, sent, &keys);
}

/// The same for everything that is written in a database, column by column.
pub(crate) fn assert_none_in(server: &Server, dir: &Path, sent: &BTreeSet<String>) {
    // Numbers are left out: times and amounts are as long as cards are.
    let tables = server.sql(
        "SELECT format('SELECT concat_ws(chr(10), %s) FROM %I', string_agg(
                    CASE data_type WHEN 'bytea' THEN format('encode(%I, ''escape'')', column_name)
                                   ELSE format('%I::text', column_name) END, ', '), table_name)
           FROM information_schema.columns
          WHERE table_schema = 'public'
            AND data_type NOT IN ('bigint', 'integer', 'smallint', 'boolean')
          GROUP BY table_name",
    );
    let rows = server.sql(&tables.replace('\n', ";\n"));
    assert!(
        holds(rows.as_bytes(), b"process.started"),
        "nothing was read"
    );
    look("the database", rows.as_bytes(), sent, &secrets(dir));
}

/// The texts of all key files.
fn secrets(dir: &Path) -> Vec<Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.ends_with("key") && !name.starts_with("client-") && name != "server.key"
                || name.ends_with("passphrase")
        })
        .map(|path| fs::read(path).unwrap().trim_ascii().to_vec())
        .collect()
}

fn look(place: &str, bytes: &[u8], sent: &BTreeSet<String>, keys: &[Vec<u8>]) {
    let found = scan::all(bytes).count();
    assert_eq!(found, 0, "{place} holds {found} card numbers");
    assert!(
        !holds_any(bytes, sent),
        "{place} holds a card number that was sent"
    );
    // A PaymentMethod's id is what is sealed; in clear it is a leak. The sandbox's all start so,
    // and nothing random that is as short as a session's secret does.
    let method = holds(bytes, b"pm_1Sbx");
    assert!(!method, "{place} holds a PaymentMethod's id");
    for key in keys {
        assert!(!holds(bytes, key), "{place} holds a key");
    }
}

/// Whether one of so many numbers stands somewhere: each run of digits is looked at once.
fn holds_any(bytes: &[u8], numbers: &BTreeSet<String>) -> bool {
    let lengths: BTreeSet<usize> = numbers.iter().map(String::len).collect();
    let runs = bytes.split(|byte| !byte.is_ascii_digit());
    runs.filter(|run| lengths.first().is_some_and(|least| run.len() >= *least))
        .any(|run| {
            lengths.iter().any(|length| {
                let mut windows = run.windows(*length);
                windows.any(|digits| {
                    std::str::from_utf8(digits).is_ok_and(|digits| numbers.contains(digits))
                })
            })
        })
}

pub(crate) fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn the_leak_scan_finds_what_it_looks_for() {
    let sent = BTreeSet::from(["4242424242424241".to_owned()]);
    assert!(holds_any(b"x1\"994242424242424241\"", &sent));
    assert!(!holds_any(b"4242424242424243 and 42424242", &sent));
    let none = BTreeSet::new();
    for leak in [
        "log: 4242 4242 4242 4242",
        "pm_1SbxAbcdefghijkl",
        "a-key-of-ours",
    ] {
        let caught = std::panic::catch_unwind(|| {
            look("here", leak.as_bytes(), &none, &[b"a-key-of-ours".to_vec()]);
        });
        assert!(caught.is_err(), "{leak}");
    }
}
