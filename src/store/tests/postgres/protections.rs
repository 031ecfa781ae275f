//! The rights, triggers and checks of PostgreSQL, and what breaks each of them.

use super::super::protections::{assert_documented, differences};
use super::*;

/// What somebody does to the database, and a word of the line that shows it.
const BROKEN: [(&str, &str); 11] = [
    (
        "GRANT SELECT ON tokens TO cloakroom_capture",
        "right cloakroom_capture ON tokens: SELECT",
    ),
    (
        "GRANT SELECT (sealed) ON orphans TO cloakroom_capture",
        "right cloakroom_capture ON orphans (sealed): SELECT",
    ),
    (
        "GRANT DELETE ON audit_events TO cloakroom_internal",
        "right cloakroom_internal ON audit_events: DELETE, INSERT",
    ),
    (
        "GRANT SELECT ON tokens TO PUBLIC",
        "right PUBLIC ON tokens: SELECT",
    ),
    (
        "GRANT CREATE ON SCHEMA public TO cloakroom_audit",
        "schema public: CREATE",
    ),
    (
        "ALTER TABLE audit_events DISABLE TRIGGER audit_events_rows",
        "trigger audit_events_rows ON audit_events: enabled D",
    ),
    (
        "CREATE OR REPLACE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "trigger audit_log",
    ),
    (
        "ALTER TABLE tokens ALTER COLUMN brand DROP NOT NULL",
        "table tokens:",
    ),
    ("CREATE TABLE cards (pan TEXT)", "table cards: pan text"),
    (
        "ALTER ROLE cloakroom_capture BYPASSRLS SUPERUSER",
        "superuser t",
    ),
    (
        "CREATE FUNCTION escape() RETURNS INTEGER LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "function escape",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_postgres_are_those_of_the_document_and_each_break_is_seen() {
    let Stage { server, store, .. } = stage().await;
    let before = store.protections().await.unwrap();
    assert_documented("postgresql.txt", &before.fixed);
    assert_eq!(
        before.logins,
        [
            "billing is a member of cloakroom_internal",
            "forms is a member of cloakroom_capture"
        ]
    );
    let mut last = before.fixed;
    for (statement, shown) in BROKEN {
        server.sql(statement);
        let now = store.protections().await.unwrap().fixed;
        let (new, _) = differences(&last, &now);
        assert!(new.concat().contains(shown), "{statement}: {new:?}");
        last = now;
    }
    server.sql("ALTER ROLE forms SUPERUSER");
    let logins = store.protections().await.unwrap().logins;
    assert!(
        logins
            .concat()
            .contains("forms is a member of cloakroom_capture and has more"),
        "{logins:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_texts_that_a_login_may_read_are_read_up_to_a_limit() {
    let Stage { server, store, .. } = stage().await;
    token_on(&store, |_| {}).await;
    token_on(&store, |token| token.card.brand = "mastercard".into()).await;
    let texts = store.texts(10).await.unwrap();
    let of = |name: &str| texts.iter().find(|texts| texts.table == name);
    let tokens = of("tokens").unwrap();
    assert!(
        tokens.rows.len() == 2 && tokens.rows.concat().contains("mastercard"),
        "{tokens:?}"
    );
    // Who may not read a table does not look into it.
    server.sql("CREATE ROLE auditor LOGIN IN ROLE cloakroom_audit");
    let auditor = open(&settings_of(&server, "auditor")).await.unwrap();
    let read = auditor.texts(10).await.unwrap();
    assert!(read.iter().all(|texts| texts.table != "sessions"));
    assert!(of("sessions").is_some());
    assert!(of("audit_events").is_some());
    let first = store.texts(1).await.unwrap();
    assert!(first.iter().all(|texts| texts.rows.len() <= 1));
    drop(server);
}
