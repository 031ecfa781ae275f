//! What the database itself keeps people from, as lines that can be compared: tables, checks,
//! triggers and rights. And its texts, for whoever looks for what must not be in them.

use aws_lc_rs::digest::{SHA256, digest};

use super::connection::{Connection, Link};
use super::sql::query;
use super::{Failure, Store};
use crate::seal::hex;

/// Hexadecimal characters by which a definition is told from another.
const HASH_CHARS: usize = 16;

/// What a database has of protections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protections {
    /// What is the same in every database of this version, sorted.
    pub fixed: Vec<String>,
    /// Who has got one of the roles: the operator's to decide. Empty on SQLite.
    pub logins: Vec<String>,
}

/// What can be read of the texts of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// The table.
    pub table: String,
    /// The texts of each row that was read.
    pub rows: Vec<String>,
}

/// Hashes of definitions keep the lines short; rights are given in full. The owner's own rights,
/// and those of the machine's roles, are not ours.
const POSTGRES: &str = "
    WITH mine AS (
        SELECT oid, relname, relowner, relacl
          FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    ), rights AS (
        SELECT relname || '' AS what, relowner, acl.grantee, acl.privilege_type
          FROM mine, aclexplode(relacl) AS acl
        UNION ALL
        SELECT format('%s (%s)', relname, string_agg(attname, ', ' ORDER BY attname)), relowner, acl.grantee, acl.privilege_type
          FROM mine
          JOIN pg_attribute ON attrelid = mine.oid AND attnum > 0 AND NOT attisdropped,
               aclexplode(attacl) AS acl
         GROUP BY relname, relowner, acl.grantee, acl.privilege_type
        UNION ALL
        SELECT 'schema public', nspowner, acl.grantee, acl.privilege_type
          FROM pg_namespace, aclexplode(nspacl) AS acl
         WHERE nspname = 'public'
    )
    SELECT format('right %s ON %s: %s', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, what,
                  string_agg(privilege_type, ', ' ORDER BY privilege_type))
      FROM rights
     WHERE grantee <> relowner
     GROUP BY grantee, what
    UNION ALL
    SELECT format('role %s: login %s, superuser %s, makes roles %s, makes databases %s, replicates %s, inherits %s', rolname,
                  rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolinherit)
      FROM pg_roles
     WHERE rolname IN ('cloakroom_owner', 'cloakroom_capture', 'cloakroom_internal', 'cloakroom_audit')
    UNION ALL
    SELECT format('table %s: %s', relname,
                  (SELECT string_agg(format('%s %s%s', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN ' not null' ELSE '' END), ', ' ORDER BY attnum)
                     FROM pg_attribute
                    WHERE attrelid = mine.oid AND attnum > 0 AND NOT attisdropped))
      FROM mine
     WHERE relname <> '_sqlx_migrations'
    UNION ALL
    SELECT format('check %s ON %s: %s', conname, relname, left(encode(sha256(convert_to(pg_get_constraintdef(pg_constraint.oid), 'UTF8')), 'hex'), 16))
      FROM pg_constraint
      JOIN mine ON mine.oid = conrelid
     WHERE contype IN ('c', 'f', 'u', 'p') AND relname <> '_sqlx_migrations'
    UNION ALL
    SELECT format('trigger %s ON %s: enabled %s, %s', tgname, relname, tgenabled,
                  left(encode(sha256(convert_to(pg_get_triggerdef(pg_trigger.oid) || prosrc, 'UTF8')), 'hex'), 16))
      FROM pg_trigger
      JOIN mine ON mine.oid = tgrelid
      JOIN pg_proc ON pg_proc.oid = tgfoid
     WHERE NOT tgisinternal
    UNION ALL
    SELECT format('function %s: runs as its owner', proname)
      FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace AND prosecdef";

const LOGINS: &str = "
    SELECT format('%s is a member of %s%s', member.rolname, role.rolname,
                  CASE WHEN member.rolsuper OR member.rolcreaterole OR member.rolreplication THEN ' and has more rights than that' ELSE '' END)
      FROM pg_auth_members
      JOIN pg_roles AS role ON role.oid = roleid
      JOIN pg_roles AS member ON member.oid = pg_auth_members.member
     WHERE role.rolname IN ('cloakroom_owner', 'cloakroom_capture', 'cloakroom_internal', 'cloakroom_audit')
     ORDER BY 1";

/// Tables and those of their columns that hold texts and that the login may read.
const READABLE: &str = "
    SELECT relname || '', string_agg(quote_ident(attname), ', ' ORDER BY attnum)
      FROM pg_class
      JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> '_sqlx_migrations'
       AND atttypid IN ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype)
       AND has_column_privilege(pg_class.oid, attnum, 'SELECT')
     GROUP BY relname
     ORDER BY relname";

/// The same on SQLite, the columns as one expression; what is no text there is left out.
const COLUMNS: &str = "
    SELECT name, group_concat(shown, ' || '' | x | '' || ')
      FROM (SELECT tables.name AS name,
                   'iif(typeof(\"' || columns.name || '\") = ''text'', \"' || columns.name || '\", '''')' AS shown
              FROM sqlite_schema AS tables
              JOIN pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table'
               AND tables.name <> '_sqlx_migrations'
               AND tables.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY tables.name, columns.cid)
     GROUP BY name
     ORDER BY name";

/// Stands between the texts of two columns, so that digits of the one and of the other are not taken
/// for one number; [`COLUMNS`] has it, too.
const BETWEEN: &str = " | x | ";

impl Store {
    /// What the database keeps people from.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn protections(&self) -> Result<Protections, Failure> {
        self.read(|connection| Box::pin(protections(connection)))
            .await
    }

    /// The texts that this login may read, of at most so many rows of each table.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn texts(&self, rows_max: u32) -> Result<Vec<Texts>, Failure> {
        self.read(move |connection| Box::pin(texts(connection, rows_max)))
            .await
    }
}

async fn protections(connection: &mut Connection) -> Result<Protections, Failure> {
    let (mut fixed, logins) = match connection.link() {
        Link::Sqlite(_) => {
            let rows: Vec<(String, String, String, String)> = query(
                "SELECT type, name, tbl_name, sql
                   FROM sqlite_schema
                  WHERE sql IS NOT NULL AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
            )
            .all(connection)
            .await?;
            let lines = rows.into_iter().map(|(kind, name, table, sql)| {
                let mut hash = hex(digest(&SHA256, sql.as_bytes()).as_ref());
                hash.truncate(HASH_CHARS);
                format!("{kind} {name} ON {table}: {hash}")
            });
            (lines.collect::<Vec<_>>(), Vec::new())
        }
        Link::Postgres(link) => {
            let fixed: Vec<(String,)> = sqlx::query_as(POSTGRES).fetch_all(&mut *link).await?;
            let logins: Vec<(String,)> = sqlx::query_as(LOGINS).fetch_all(link).await?;
            let texts = |rows: Vec<(String,)>| rows.into_iter().map(|(line,)| line).collect();
            (texts(fixed), texts(logins))
        }
    };
    fixed.sort_unstable();
    Ok(Protections { fixed, logins })
}

async fn texts(connection: &mut Connection, rows_max: u32) -> Result<Vec<Texts>, Failure> {
    let tables: Vec<(String, String)> = match connection.link() {
        Link::Sqlite(_) => query(COLUMNS).all(connection).await?,
        Link::Postgres(link) => sqlx::query_as(READABLE).fetch_all(link).await?,
    };
    let mut found = Vec::new();
    for (table, columns) in tables {
        // Names that the database itself has given and quoted.
        let rows = match connection.link() {
            Link::Sqlite(link) => {
                let statement = format!("SELECT {columns} FROM \"{table}\" LIMIT {rows_max}");
                let mut statement = link.prepare(&statement)?;
                let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
                rows.collect::<Result<Vec<_>, _>>()?
            }
            Link::Postgres(link) => {
                let statement = format!(
                    "SELECT concat_ws('{BETWEEN}', {columns}) FROM public.\"{table}\" LIMIT {rows_max}"
                );
                let rows: Vec<(String,)> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
                    .fetch_all(link)
                    .await?;
                rows.into_iter().map(|(text,)| text).collect()
            }
        };
        found.push(Texts { table, rows });
    }
    Ok(found)
}
