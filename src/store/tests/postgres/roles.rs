use super::*;
use crate::store::Duty;

/// Each login with more than its plane needs, by the name of what it has more.
const BROAD: [(&str, &str, &str); 17] = [
    ("a_superuser", "SUPERUSER", "superuser"),
    ("a_role_maker", "CREATEROLE", "make roles"),
    ("a_replicator", "REPLICATION", "replicate"),
    ("a_database_owner", "", "owns the database"),
    ("a_table_owner", "", "owns reports"),
    (
        "an_owners_member",
        "IN ROLE cloakroom_owner",
        "cloakroom_owner",
    ),
    ("a_builder", "", "make things"),
    ("an_audit_updater", "", "audit events"),
    ("an_audit_column_updater", "", "audit events"),
    ("an_audit_deleter", "", "audit events"),
    ("an_audit_truncater", "", "audit events"),
    (
        "a_reader_of_all",
        "IN ROLE pg_read_all_data",
        "pg_read_all_data",
    ),
    (
        "a_reader_of_files",
        "IN ROLE pg_read_server_files",
        "pg_read_server_files",
    ),
    // From here on the capture plane alone: the internal one may.
    (
        "an_internal",
        "IN ROLE cloakroom_internal",
        "cloakroom_internal",
    ),
    ("a_hidden_internal", "", "cloakroom_internal"),
    ("a_sealed_reader", "", "tokens.sealed"),
    ("an_auditor", "IN ROLE cloakroom_audit", "cloakroom_audit"),
];
const OF_CAPTURE_ONLY: usize = 4;

fn serving(server: &Server, user: &str, duty: Duty) -> Settings {
    let place = Postgres {
        duty,
        ..cluster::place(server, user)
    };
    Settings {
        place: Place::Postgres(Box::new(place)),
        ..settings(PathBuf::new())
    }
}

async fn refused(server: &Server, user: &str, duty: Duty) -> Option<String> {
    match open(&serving(server, user, duty)).await {
        Ok(store) => {
            store.close().await.unwrap();
            None
        }
        Err(Failure::LoginTooBroad { reason }) => Some(reason.to_string()),
        Err(other) => panic!("{user}: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_may_do_more_than_its_plane_is_refused_by_name() {
    let server = Server::start();
    migrate(&settings_of(&server, "owner")).await.unwrap();
    server.sql("CREATE ROLE forms LOGIN IN ROLE cloakroom_capture; CREATE ROLE billing LOGIN IN ROLE cloakroom_internal");
    for duty in [Duty::Capture, Duty::Internal] {
        let (role, others) = match duty {
            Duty::Capture => ("cloakroom_capture", &BROAD[..]),
            Duty::Internal | Duty::Unlimited => (
                "cloakroom_internal",
                &BROAD[..BROAD.len() - OF_CAPTURE_ONLY],
            ),
        };
        for (name, more, said) in others {
            server.sql(&format!(
                "CREATE ROLE {name} LOGIN {more}; GRANT {role} TO {name}"
            ));
            server.sql(&match *name {
                "a_database_owner" => format!("ALTER DATABASE postgres OWNER TO {name}"),
                "a_table_owner" => format!("ALTER TABLE reports OWNER TO {name}"),
                "a_builder" => format!("GRANT CREATE ON SCHEMA public TO {name}"),
                "an_audit_updater" => format!("GRANT UPDATE ON audit_events TO {name}"),
                "an_audit_column_updater" => {
                    format!("GRANT UPDATE (node) ON audit_events TO {name}")
                }
                "an_audit_deleter" => format!("GRANT DELETE ON audit_events TO {name}"),
                "an_audit_truncater" => format!("GRANT TRUNCATE ON audit_events TO {name}"),
                "a_sealed_reader" => format!("GRANT SELECT (sealed) ON tokens TO {name}"),
                // Its rights are had only after SET ROLE.
                "a_hidden_internal" => format!(
                    "CREATE ROLE middle NOINHERIT IN ROLE cloakroom_internal; GRANT middle TO {name}"
                ),
                _ => "SELECT 1".to_owned(),
            });
            let reason = refused(&server, name, duty).await;
            assert!(
                reason.as_ref().is_some_and(|reason| reason.contains(said)),
                "{name} for {duty:?}: {reason:?}"
            );
            server.sql(&format!(
                "ALTER DATABASE postgres OWNER TO owner; ALTER TABLE reports OWNER TO owner;
                 DROP OWNED BY {name}; DROP ROLE {name}; DROP ROLE IF EXISTS middle"
            ));
        }
    }
    // The controls: each plane's own role is taken, and the other's only where it is the smaller.
    assert_eq!(refused(&server, "forms", Duty::Capture).await, None);
    assert_eq!(refused(&server, "billing", Duty::Internal).await, None);
    let owner = refused(&server, "owner", Duty::Internal).await;
    assert!(owner.is_some(), "the owner serves no plane");
    assert_eq!(refused(&server, "owner", Duty::Unlimited).await, None);
}
