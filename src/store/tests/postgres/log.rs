//! The audit log's order, and who may read it.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_give_places_at_once_and_only_the_auditor_reads_the_log() {
    let Stage {
        server,
        settings,
        store,
    } = stage().await;
    server.sql("CREATE ROLE auditor LOGIN IN ROLE cloakroom_audit");
    let other = open(&settings).await.unwrap();
    let auditor = open(&settings_of(&server, "auditor")).await.unwrap();
    audit_log::two_nodes_give_places(&store, &other, &auditor).await;
    auditor.record(event(Action::AuditRead)).await.unwrap();

    // Who gives places reads what it places; the capture plane reads none.
    assert!(store.log(0, 1).await.is_ok());
    let forms = open(&settings_of(&server, "forms")).await.unwrap();
    assert!(forms.log(0, 1).await.is_err());
    let denied = |user: &str, statement: &str| {
        let said = server.refusal(user, statement);
        assert!(
            said.is_some_and(|said| said.contains("permission denied")),
            "{user}: {statement}"
        );
    };
    for user in ["billing", "forms", "auditor"] {
        for statement in [
            "UPDATE audit_log SET leaf = leaf",
            "DELETE FROM audit_log",
            "DELETE FROM audit_checkpoints",
            "TRUNCATE audit_checkpoints",
        ] {
            denied(user, statement);
        }
    }
    for statement in [
        "SELECT leaf FROM audit_pending",
        "SELECT * FROM audit_log",
        "UPDATE audit_pending SET seq = 1",
        "DELETE FROM audit_pending",
        "INSERT INTO audit_checkpoints VALUES (1, 'x', 1)",
    ] {
        denied("forms", statement);
    }
    denied("auditor", "SELECT * FROM tokens");
    denied("auditor", "UPDATE audit_head SET size = 0");
    // The owner's hand is stayed by the triggers, until he takes them away.
    let said = server.refusal("owner", "DELETE FROM audit_log");
    assert!(said.is_some_and(|said| said.contains("append-only")));
}
