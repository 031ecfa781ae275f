use super::*;

fn unmigrated() -> (TempDir, Settings) {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path().join("cloakroom.db"));
    (directory, settings)
}

#[tokio::test]
async fn migrating_is_reported_and_may_be_repeated() {
    let (_directory, settings) = unmigrated();
    let first = migrate(&settings).await.unwrap();
    assert_eq!((first.from, first.to), (0, 25));
    let names: Vec<_> = first
        .applied
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "tokens",
            "charges",
            "audit",
            "lifecycle",
            "same card",
            "events",
            "audit actors",
            "deliveries",
            "reports",
            "keys",
            "audit log",
            "watch",
            "incidents",
            "money",
            "reconciliation",
            "orders",
            "charge returns",
            "audit writers",
            "session presentations",
            "claims",
            "proved answers",
            "charge pages",
            "key rotations",
            "redirect proofs",
            "security codes"
        ]
    );
    let second = migrate(&settings).await.unwrap();
    assert_eq!((second.from, second.to, second.applied), (25, 25, vec![]));
    open(&settings).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn opening_never_migrates() {
    let (_directory, settings) = unmigrated();
    let missing = open(&settings).await.unwrap_err();
    assert_eq!(
        missing,
        Failure::SchemaTooOld {
            found: 0,
            needed: 25
        }
    );
    assert!(
        missing.to_string().contains("cloakroom migrate"),
        "{missing}"
    );
    assert!(!path_of(&settings).exists());
    std::fs::write(path_of(&settings), "").unwrap();
    let empty = open(&settings).await.unwrap_err();
    assert_eq!(empty, missing);
}

#[tokio::test]
async fn another_schema_is_refused_by_name() {
    for (change, refusal, may_migrate) in [
        (
            "DELETE FROM _sqlx_migrations WHERE version = 25",
            Failure::SchemaTooOld {
                found: 24,
                needed: 25,
            },
            false,
        ),
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)",
            Failure::SchemaUnknown { version: 9_999 },
            true,
        ),
        (
            "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2",
            Failure::SchemaChanged { version: 2 },
            true,
        ),
        (
            "UPDATE _sqlx_migrations SET success = 0 WHERE version = 2",
            Failure::SchemaChanged { version: 2 },
            true,
        ),
    ] {
        let bench = Bench::new().await;
        bench.store.close().await.unwrap();
        bench.run(change).await.unwrap();
        assert_eq!(open(&bench.settings).await.unwrap_err(), refusal);
        if may_migrate {
            assert_eq!(migrate(&bench.settings).await, Err(refusal));
        }
    }
}
