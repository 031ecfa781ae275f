//! The database's own protections are those of the documents, and each one taken away is seen.

use std::path::Path;

use super::*;

/// Asserts that the document says what the database has; leaves what it should say where it can be
/// copied from.
pub(super) fn assert_documented(file: &str, lines: &[String]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = std::fs::read_to_string(root.join("pci-docs/database").join(file)).unwrap();
    let is = lines.join("\n") + "\n";
    if written != is {
        let made = std::env::temp_dir().join(file);
        std::fs::write(&made, is).unwrap();
        panic!("pci-docs/database/{file} is not what the migrations make; look at {made:?}");
    }
}

/// What is new and what is gone.
pub(super) fn differences(before: &[String], after: &[String]) -> (Vec<String>, Vec<String>) {
    let missing = |from: &[String], of: &[String]| {
        let missing = of.iter().filter(|line| !from.contains(line));
        missing.cloned().collect()
    };
    (missing(before, after), missing(after, before))
}

#[tokio::test]
async fn the_tables_and_triggers_of_sqlite_are_those_of_the_document() {
    let bench = Bench::new().await;
    let before = bench.store.protections().await.unwrap();
    assert_documented("sqlite.txt", &before.fixed);
    assert_eq!(before.logins, Vec::<String>::new());
    bench.run("DROP TRIGGER audit_events_update").await.unwrap();
    let after = bench.store.protections().await.unwrap();
    let (new, gone) = differences(&before.fixed, &after.fixed);
    assert!(new.is_empty() && gone.len() == 1, "{new:?} {gone:?}");
    // Another trigger of the same name, which lets everything through.
    bench
        .run("CREATE TRIGGER audit_events_update BEFORE UPDATE ON audit_events BEGIN SELECT 1; END")
        .await
        .unwrap();
    let after = bench.store.protections().await.unwrap();
    let (new, gone) = differences(&before.fixed, &after.fixed);
    assert!(new.len() == 1 && gone.len() == 1, "{new:?} {gone:?}");
    bench.run("CREATE TABLE cards (pan TEXT)").await.unwrap();
    let after = bench.store.protections().await.unwrap();
    assert_eq!(differences(&before.fixed, &after.fixed).0.len(), 2);
    let insert = "INSERT INTO cards (pan) VALUES ('kept')";
    bench.run(insert).await.unwrap();
    let texts = bench.store.texts(10).await.unwrap();
    let cards = texts.iter().find(|texts| texts.table == "cards");
    assert_eq!(cards.unwrap().rows, ["kept"]);
}
