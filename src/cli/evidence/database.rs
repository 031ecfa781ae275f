//! The database: its own protections, and whether it, the logs and the bundle hold what must be
//! nowhere.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::keys::open_to_others;
use super::scene::{Process, Scene};
use crate::card::scan::stored;
use crate::config::StoreSettings;
use crate::evidence::{Bundle, Look, PAPERS, Verdict};
use crate::store::Store;
use crate::telemetry::scrub::scrub;

const PROTECTIONS: &str = "database/protections.txt";
const LOGINS: &str = "database/logins.txt";
const SEARCHED: &str = "leaks/searched.json";
/// Where the documents of this build are in a bundle: they tell of published test numbers.
const DOCUMENTS: &str = "documents/";

/// Bytes that are searched at once, and how much of the last are searched again with the next.
const CHUNK_BYTES: usize = 8 << 20;
const OVERLAP_BYTES: usize = 256;
/// Bytes of one file that are searched.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// Rows of one table that are searched.
const ROWS_MAX: u32 = 50_000;
/// Differences that are told one by one.
const TOLD_MAX: usize = 20;

pub(super) async fn look(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "database_protections",
        "tables, checks, triggers and rights of the database are those of this version, and each \
         plane's login has the role of its plane",
        &["7.2.5", "7.2.6", "10.3.2", "10.3.1"],
    );
    let (mut fixed, mut logins) = (Vec::new(), Vec::new());
    if let Some(process) = scene.internal().or_else(|| scene.capture()) {
        match protections(scene, process, &mut look).await {
            Ok(seen) => (fixed, logins) = seen,
            Err(why) => look.must(false, why),
        }
        again(process, &mut look);
    }
    look.shown_in(PROTECTIONS);
    look.shown_in(LOGINS);
    bundle.file(PROTECTIONS, fixed.join("\n") + "\n");
    bundle.file(LOGINS, logins.join("\n") + "\n");
    bundle.check(look.done());
}

fn again(process: &Process, look: &mut Look) {
    match &process.config.store {
        StoreSettings::Sqlite { path } => {
            look.again(format!("sqlite3 {} .schema", path.relative().display()));
        }
        StoreSettings::Postgres(_) => {
            look.again("psql -c '\\dp' -c '\\du' -c '\\d+ audit_events'");
        }
    }
}

/// What the document of this version says that there is.
fn documented(is_postgres: bool) -> BTreeSet<&'static str> {
    let name = if is_postgres {
        "postgresql.txt"
    } else {
        "sqlite.txt"
    };
    let paper = PAPERS.iter().find(|paper| paper.path.ends_with(name));
    paper
        .map(|paper| paper.text.lines().collect())
        .unwrap_or_default()
}

async fn protections(
    scene: &Scene,
    process: &Process,
    look: &mut Look,
) -> Result<(Vec<String>, Vec<String>), String> {
    let store = process.store(&scene.clock).await?;
    let seen = store
        .protections()
        .await
        .map_err(|failure| failure.to_string());
    let _closed = store.close().await;
    let seen = seen?;
    let expected = documented(process.is_postgres());
    let there: BTreeSet<&str> = seen.fixed.iter().map(String::as_str).collect();
    let new = there
        .difference(&expected)
        .map(|line| format!("not of this version: {line}"));
    let gone = expected
        .difference(&there)
        .map(|line| format!("missing: {line}"));
    let wrong: Vec<String> = new.chain(gone).collect();
    for line in wrong.iter().take(TOLD_MAX) {
        look.must(false, line);
    }
    if let Some(more) = wrong.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        look.must(false, format_args!("and {more} more"));
    }
    if wrong.is_empty() {
        look.must(
            true,
            format_args!("{} definitions and rights, all as documented", there.len()),
        );
    }
    for login in &seen.logins {
        look.must(!login.contains(" and has more rights"), login);
    }
    Ok((seen.fixed, seen.logins))
}

/// The files of the embedded engine.
fn embedded(process: &Process) -> Vec<PathBuf> {
    let StoreSettings::Sqlite { path } = &process.config.store else {
        return Vec::new();
    };
    let path = path.relative();
    let beside = |suffix: &str| {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let files = [path.clone(), beside("-wal")];
    files.into_iter().filter(|file| file.exists()).collect()
}

/// Who may read the embedded database's files.
pub(super) fn files(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "database_files",
        "only their owner can read the embedded database's files",
        &["7.2.6", "3.6.1.3"],
    );
    for process in &scene.processes {
        for file in embedded(process) {
            match open_to_others(&file) {
                Ok(None) => look.must(true, file.display()),
                Ok(Some(wrong)) | Err(wrong) => look.must(false, wrong),
            }
            look.again(format!("stat -c '%a %U %n' {}", file.display()));
        }
        if process.is_postgres() {
            let node = &process.config.node;
            look.saw(
                Verdict::NotApplicable,
                format_args!("{node}: PostgreSQL keeps its own files"),
            );
        }
    }
    bundle.check(look.done());
}

/// Looks for card numbers and secrets in the database, in the logs that were named, and in what
/// this bundle says.
pub(super) async fn search(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "leaks",
        "no card number and no secret is in the database, in the logs, or in this evidence",
        &["3.2.1", "3.3.1", "3.5.1", "10.3.1"],
    );
    let mut searched = Vec::new();
    let files: BTreeSet<PathBuf> = scene
        .processes
        .iter()
        .flat_map(embedded)
        .chain(scene.logs.iter().cloned())
        .collect();
    for file in files {
        match in_file(&file, CHUNK_BYTES) {
            Ok((found, bytes)) => {
                look.must(
                    found == 0,
                    format_args!("{}: {found} in {bytes} bytes", file.display()),
                );
                // The embedded database's own log may well be empty.
                if bytes == 0 && scene.logs.contains(&file) {
                    let seen = format_args!("{} is empty: nothing was searched", file.display());
                    look.saw(Verdict::NotSeen, seen);
                }
                searched.push(json!({ "file": file, "bytes": bytes, "found": found }));
            }
            Err(why) => look.must(false, why),
        }
    }
    if scene.logs.is_empty() {
        look.saw(Verdict::NotSeen, "no log was named: --log FILE");
    }
    for (path, process) in logins(scene) {
        match in_tables(scene, process).await {
            Ok(tables) => {
                for (table, rows, found) in tables {
                    look.must(
                        found == 0,
                        format_args!("{table} as {path} reads it: {found} in {rows} rows"),
                    );
                    searched.push(
                        json!({ "table": table, "login_of": path, "rows": rows, "found": found }),
                    );
                }
            }
            Err(why) => look.must(false, why),
        }
    }
    let own = bundle
        .files()
        .filter(|(path, _)| !path.starts_with(DOCUMENTS));
    let (mut count, mut found) = (0_usize, 0_u64);
    for (_, bytes) in own {
        count = count.saturating_add(1);
        found = found.saturating_add(scrub(bytes).1);
    }
    look.must(
        found == 0,
        format_args!("{count} files of this evidence: {found}"),
    );
    look.again("cloakroom evidence collect --log FILE --out DIR");
    look.shown_in(SEARCHED);
    bundle.json(SEARCHED, &searched);
    bundle.check(look.done());
}

/// Each login that was given; together they read what can be read. The embedded database has none,
/// and is read once.
fn logins(scene: &Scene) -> Vec<(String, &Process)> {
    let mut seen = BTreeSet::new();
    let processes = scene.processes.iter();
    processes
        .filter(|process| match &process.config.store {
            StoreSettings::Sqlite { path } => seen.insert(path.relative()),
            StoreSettings::Postgres(_) => true,
        })
        .map(|process| (process.config.node.clone(), process))
        .collect()
}

/// How much a stored text holds that must not be there: what a log line must not, and card numbers
/// in whatever spelling.
fn in_stored(text: &str) -> u64 {
    let found = scrub(text.as_bytes()).1;
    found.max(u64::from(stored::contains(text)))
}

async fn in_tables(scene: &Scene, process: &Process) -> Result<Vec<(String, usize, u64)>, String> {
    let store: Store = process.store(&scene.clock).await?;
    let texts = store
        .texts(ROWS_MAX)
        .await
        .map_err(|failure| failure.to_string());
    let _closed = store.close().await;
    let counted = texts?.into_iter().map(|texts| {
        let found = texts.rows.iter().map(|row| in_stored(row));
        (texts.table, texts.rows.len(), found.sum())
    });
    Ok(counted.collect())
}

/// How much that must not be there is in a file, and how many bytes were searched.
fn in_file(path: &Path, chunk_bytes: usize) -> Result<(u64, u64), String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::open(path).map_err(told)?.take(FILE_BYTES_MAX);
    let (mut window, mut found, mut bytes) = (Vec::new(), 0_u64, 0_u64);
    loop {
        let kept = window.len();
        let mut more = Vec::new();
        let chunk = u64::try_from(chunk_bytes).unwrap_or(u64::MAX);
        let read = (&mut file)
            .take(chunk)
            .read_to_end(&mut more)
            .map_err(told)?;
        if read == 0 {
            return Ok((found, bytes));
        }
        // What was wholly in the part that is searched again was counted with the last chunk.
        let again = scrub(&window).1;
        window.append(&mut more);
        found = found
            .saturating_add(scrub(&window).1)
            .saturating_sub(if kept == 0 { 0 } else { again });
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        let rest = window.len().saturating_sub(OVERLAP_BYTES);
        window.drain(..rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_found_wherever_in_a_file_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let chunk = 4_096;
        let found = || in_file(&path, chunk);
        for at in [0, 10, chunk - 20, chunk - 8, chunk, chunk + 5_000] {
            let mut bytes = vec![b'.'; chunk + 10_000];
            bytes
                .get_mut(at..at + 18)
                .unwrap()
                .copy_from_slice(b" 4242424242424242 ");
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(
                found(),
                Ok((1, u64::try_from(bytes.len()).unwrap())),
                "at {at}"
            );
        }
        std::fs::write(&path, "order 4242424242424241, 1795392000000").unwrap();
        assert_eq!(found(), Ok((0, 37)));
        std::fs::write(&path, "key rk_test_0123456789").unwrap();
        assert_eq!(found().unwrap().0, 1);
        assert!(in_file(&dir.path().join("none"), chunk).is_err());
    }
}
