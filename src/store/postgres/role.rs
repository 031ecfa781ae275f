//! Whether the database lets the process do more than its plane needs.
//!
//! A capture process whose login could read a sealed value back, or change the audit log, would
//! serve just as well, until the day on which somebody breaks into it. So it is asked at the start,
//! and a login with more is refused. Rights count that the login has only after `SET ROLE`, too.

use sqlx::PgConnection;

use crate::store::Failure;

/// Which planes the login serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// The internet-facing plane alone: seals, and reads nothing back.
    Capture,
    /// The plane that opens, with or without the other beside it.
    Internal,
    /// Whatever the login may: development, and the making of the schema.
    Unlimited,
}

/// Sealed columns that the capture plane never reads; wrapped data keys it may see.
const SEALED: &str = "('tokens', 'sealed'), ('orphans', 'sealed'), ('key_canaries', 'sealed')";

/// What neither plane may. `mine` is every role that the login is, or can become.
const OF_NO_PLANE: &str = "
    SELECT 'it is a superuser' WHERE EXISTS (SELECT 1 FROM mine WHERE rolsuper)
    UNION ALL
    SELECT 'it may make roles' WHERE EXISTS (SELECT 1 FROM mine WHERE rolcreaterole)
    UNION ALL
    SELECT 'it may replicate' WHERE EXISTS (SELECT 1 FROM mine WHERE rolreplication)
    UNION ALL
    SELECT 'it owns the database' FROM pg_database
     WHERE datname = current_database() AND datdba IN (SELECT oid FROM mine)
    UNION ALL
    SELECT 'it owns ' || min(relname) FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relowner IN (SELECT oid FROM mine)
    HAVING count(*) > 0
    UNION ALL
    SELECT 'it may make things in the schema'
     WHERE EXISTS (SELECT 1 FROM mine WHERE has_schema_privilege(oid, 'public', 'CREATE'))
    UNION ALL
    SELECT 'it may change or delete audit events' WHERE EXISTS (
           SELECT 1 FROM mine
            WHERE has_table_privilege(oid, 'public.audit_events', 'UPDATE, DELETE, TRUNCATE, TRIGGER')
               OR has_any_column_privilege(oid, 'public.audit_events', 'UPDATE'))
    UNION ALL
    SELECT 'it is a member of ' || rolname FROM mine
     WHERE rolname IN ('cloakroom_owner', 'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files',
                       'pg_write_server_files', 'pg_execute_server_program')";

/// Asks whether the login may do more than `duty` needs.
pub(super) async fn check(connection: &mut PgConnection, duty: Duty) -> Result<(), Failure> {
    let of_the_other = match duty {
        Duty::Unlimited => return Ok(()),
        Duty::Internal => String::new(),
        Duty::Capture => format!(
            "UNION ALL
             SELECT 'it is a member of ' || rolname FROM mine
              WHERE rolname IN ('cloakroom_internal', 'cloakroom_audit')
             UNION ALL
             SELECT 'it may read ' || named.of || '.' || named.name
               FROM (VALUES {SEALED}) AS named (of, name)
              WHERE EXISTS (SELECT 1 FROM mine
                             WHERE has_column_privilege(oid, 'public.' || named.of, named.name, 'SELECT'))
             UNION ALL
             SELECT 'it may read the audit log'
              WHERE EXISTS (SELECT 1 FROM mine
                             WHERE has_any_column_privilege(oid, 'public.audit_events', 'SELECT'))"
        ),
    };
    let statement = format!(
        "WITH mine AS (
             SELECT oid, rolname, rolsuper, rolcreaterole, rolreplication
               FROM pg_roles
              WHERE pg_has_role(current_user, oid, 'MEMBER'))
         SELECT reason FROM ({OF_NO_PLANE} {of_the_other}) AS found (reason) LIMIT 1"
    );
    let found: Option<(String,)> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .fetch_optional(connection)
        .await?;
    match found {
        None => Ok(()),
        Some((reason,)) => Err(Failure::LoginTooBroad {
            reason: reason.into(),
        }),
    }
}
