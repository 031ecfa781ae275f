use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::types::Value;

use super::*;

/// Whether `needle` is anywhere in the database or its write-ahead log.
fn on_disk(bench: &Bench, needle: &[u8]) -> bool {
    std::fs::read_dir(bench.directory.path())
        .unwrap()
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

async fn pragma(store: &Store, sql: &'static str) -> String {
    store
        .write(move |tx| {
            Box::pin(async move {
                let connection::Link::Sqlite(link) = tx.link() else {
                    panic!("this store is SQLite's")
                };
                let value = link.query_row(sql, [], |row| row.get::<_, Value>(0))?;
                Ok(match value {
                    Value::Integer(number) => number.to_string(),
                    Value::Text(text) => text,
                    other @ (Value::Null | Value::Real(_) | Value::Blob(_)) => panic!("{other:?}"),
                })
            })
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn the_writer_is_set_to_lose_nothing_and_leave_nothing() {
    let bench = Bench::new().await;
    for (sql, value) in [
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA synchronous", "2"),
        ("PRAGMA foreign_keys", "1"),
        ("PRAGMA secure_delete", "1"),
        ("PRAGMA busy_timeout", "2000"),
    ] {
        assert_eq!(pragma(&bench.store, sql).await, value, "{sql}");
    }
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let bench = Bench::new().await;
    let refused = bench
        .store
        .read(|connection| {
            Box::pin(async move {
                sql::query("DELETE FROM write_probe")
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("readonly"), "{refused}");
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let bench = Bench::new().await;
    let mode = |name: &str| {
        let file = bench.directory.path().join(name);
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777
    };
    for name in ["cloakroom.db", "cloakroom.db-wal", "cloakroom.db-shm"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    bench.store.close().await.unwrap();
    let wider = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(path_of(&bench.settings), wider).unwrap();
    let again = open(&bench.settings).await.unwrap();
    for name in ["cloakroom.db", "cloakroom.db-wal", "cloakroom.db-shm"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    again.close().await.unwrap();
}

/// Opens a copy of `files` as they are on the disk now, and counts the tokens in it.
async fn tokens_in_copy(bench: &Bench, files: &[&str]) -> i64 {
    let copy = tempfile::tempdir().unwrap();
    for name in files {
        std::fs::copy(bench.directory.path().join(name), copy.path().join(name)).unwrap();
    }
    let settings = settings(copy.path().join("cloakroom.db"));
    let store = open(&settings).await.unwrap();
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM tokens")
        .fetch_one(&mut aside(&settings).await)
        .await
        .unwrap();
    store.close().await.unwrap();
    count
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_files_of_a_process_that_died() {
    let bench = Bench::new().await;
    // So that the control below finds an opened schema in the database alone.
    bench.store.sweep(START).await.unwrap();
    for acknowledged in 1..=5 {
        bench.token().await;
        let whole = ["cloakroom.db", "cloakroom.db-wal"];
        assert_eq!(tokens_in_copy(&bench, &whole).await, acknowledged);
    }
    // The control: without the log, which is what a commit waits for, all five are lost.
    assert_eq!(tokens_in_copy(&bench, &["cloakroom.db"]).await, 0);
}

#[test]
fn a_store_dropped_without_a_word_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path().join("cloakroom.db"));
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    first.block_on(async {
        migrate(&settings).await.unwrap();
        let store = open(&settings).await.unwrap();
        for _ in 0..20 {
            store.record(event(Action::TokenRead)).await.unwrap();
        }
    });
    drop(first);
    let count: i64 = runtime().block_on(async {
        open(&settings).await.unwrap();
        sqlx::query_scalar("SELECT COUNT(*) FROM audit_events")
            .fetch_one(&mut aside(&settings).await)
            .await
            .unwrap()
    });
    assert_eq!(count, 20);
}

#[tokio::test]
async fn an_erased_value_is_nowhere_in_the_files() {
    let bench = Bench::new().await;
    let mut tokens = Vec::new();
    for _ in 0..24 {
        tokens.push(bench.token().await);
    }
    let (erased, kept): (Vec<_>, Vec<_>) =
        tokens.iter().enumerate().partition(|(at, _)| at % 2 == 0);
    for (_, token) in &erased {
        bench.delete(token.id).await;
    }
    let value = |token: &NewToken| token.value.sealed.as_bytes().to_vec();
    // The control: until the log is cut, it still holds what the database forgot.
    assert!(
        erased
            .iter()
            .any(|(_, token)| on_disk(&bench, &value(token)))
    );
    bench.store.sweep(START).await.unwrap();
    for (_, token) in erased {
        for part in value(token).chunks(32) {
            assert!(
                part.len() < 16 || !on_disk(&bench, part),
                "a part of it is left"
            );
        }
    }
    for (_, token) in kept {
        assert!(on_disk(&bench, &value(token)), "the others are whole");
    }
}

#[tokio::test]
async fn what_is_no_database_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = directory.path().join("garbage.db");
    std::fs::write(
        &garbage,
        "this is no database, and it is long enough to be asked",
    )
    .unwrap();
    let nowhere = Path::new("/nonexistent/cloakroom.db").to_owned();
    for path in [garbage, directory.path().to_owned(), nowhere] {
        let refused = migrate(&settings(path.clone())).await;
        assert!(
            matches!(refused, Err(Failure::Unavailable(_))),
            "{path:?} {refused:?}"
        );
    }
}
