//! Hands that write into a database: its owner's, with every guard taken away, and each login's.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};

use crate::support::App;
use crate::support::postgres::PORT;

enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A connection of somebody who may write.
pub(crate) struct Hand {
    /// Whose rights it has.
    pub(crate) role: &'static str,
    link: Link,
}

/// A column as the database describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    /// Part of what its rows are found by.
    pub(crate) key: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Bytes,
    Flag,
}

/// A right to write, as the database grants it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) role: String,
    pub(crate) verb: String,
    pub(crate) table: String,
    /// Empty where the verb takes whole rows.
    pub(crate) column: String,
}

const COLUMNS: &str = "
    SELECT relname::text, attname::text, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN '1' ELSE '0' END,
           CASE WHEN EXISTS (SELECT 1 FROM pg_index WHERE indrelid = attrelid AND indisprimary AND attnum = ANY (indkey)) THEN '1' ELSE '0' END
      FROM pg_class
      JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
     ORDER BY relname, attnum";

const SQLITE_COLUMNS: &str = "
    SELECT tables.name, columns.name, columns.type, CAST(columns.\"notnull\" AS TEXT), iif(columns.pk > 0, '1', '0')
      FROM sqlite_schema AS tables
      JOIN pragma_table_info(tables.name) AS columns
     WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
     ORDER BY tables.name, columns.cid";

/// What the roles may, of themselves and as everybody may. A role that is no superuser's and not
/// PostgreSQL's own is one of ours or somebody's who was added.
const RIGHTS: &str = "
    WITH mine AS (
        SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    ), roles AS (
        SELECT oid, rolname FROM pg_roles WHERE NOT rolsuper AND NOT rolcanlogin AND rolname NOT LIKE 'pg\\_%'
    )
    SELECT rolname::text, verb, relname::text, ''
      FROM mine, roles, unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS verb
     WHERE has_table_privilege(roles.oid, mine.oid, verb)
    UNION ALL
    SELECT rolname::text, verb, relname::text, attname::text
      FROM mine, roles, pg_attribute, unnest(ARRAY['INSERT', 'UPDATE']) AS verb
     WHERE attrelid = mine.oid AND attnum > 0 AND NOT attisdropped
       AND has_column_privilege(roles.oid, mine.oid, attnum, verb)";

impl Hand {
    /// The owner's, or of whoever writes the file: no trigger, no foreign key and no policy holds it.
    pub(crate) async fn owner(app: &App) -> Self {
        let Some(_) = &app.server else {
            let link = SqliteConnectOptions::new()
                .filename(app.path("cloakroom.db"))
                .busy_timeout(Duration::from_secs(20))
                .foreign_keys(false)
                .connect()
                .await
                .unwrap();
            let mut owner = Self {
                role: "owner",
                link: Link::Sqlite(link),
            };
            let triggers = owner
                .rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
                .await;
            for trigger in triggers {
                let name = trigger[0].clone().unwrap();
                owner.run(&format!("DROP TRIGGER {name}")).await.unwrap();
            }
            return owner;
        };
        let mut owner = Self::login(app, "owner", "owner").await;
        let unguarded = owner.run("SET session_replication_role = replica").await;
        unguarded.unwrap();
        owner
    }

    /// A login's of PostgreSQL.
    pub(crate) async fn login(app: &App, user: &str, role: &'static str) -> Self {
        let server = app.server.as_ref().unwrap();
        let link = PgConnectOptions::new_without_pgpass()
            .socket(server.directory())
            .port(PORT)
            .username(user)
            .database("postgres")
            .connect()
            .await
            .unwrap();
        Self {
            role,
            link: Link::Postgres(link),
        }
    }

    /// Takes the foreign keys away, as an owner can who wants rows that nothing stands behind.
    /// SQLite's hold whoever asks for them, and the owner does not.
    pub(crate) async fn let_go(&mut self) {
        if self.is_postgres() {
            let query = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint WHERE contype = 'f'";
            for statement in self.texts(query).await {
                self.run(&statement).await.unwrap();
            }
        }
    }

    /// Every row of a query for texts.
    pub(crate) async fn rows(&mut self, query: &str) -> Vec<Vec<Option<String>>> {
        let sql = sqlx::query(AssertSqlSafe(query.to_owned()));
        match &mut self.link {
            Link::Sqlite(link) => {
                let rows = sql.fetch_all(link).await;
                let rows = rows.unwrap_or_else(|error| panic!("{query}: {error}"));
                rows.iter()
                    .map(|row| (0..row.len()).map(|at| row.get(at)).collect())
                    .collect()
            }
            Link::Postgres(link) => {
                let sql = sqlx::query(AssertSqlSafe(query.to_owned()));
                let rows = sql.fetch_all(link).await;
                let rows = rows.unwrap_or_else(|error| panic!("{query}: {error}"));
                rows.iter()
                    .map(|row| (0..row.len()).map(|at| row.get(at)).collect())
                    .collect()
            }
        }
    }

    /// The first column of every row.
    pub(crate) async fn texts(&mut self, query: &str) -> Vec<String> {
        let rows = self.rows(query).await.into_iter();
        rows.filter_map(|row| row.into_iter().next().flatten())
            .collect()
    }

    /// Runs a statement; how many rows it wrote, or why it was refused.
    pub(crate) async fn run(&mut self, statement: &str) -> Result<u64, String> {
        let sql = AssertSqlSafe(statement.to_owned());
        let done = match &mut self.link {
            Link::Sqlite(link) => sqlx::query(sql)
                .execute(link)
                .await
                .map(|done| done.rows_affected()),
            Link::Postgres(link) => sqlx::query(sql)
                .execute(link)
                .await
                .map(|done| done.rows_affected()),
        };
        done.map_err(|error| error.to_string())
    }

    /// Whether it could write that; nothing is written.
    pub(crate) async fn could(&mut self, statement: &str) -> Result<(), String> {
        self.run("BEGIN").await.unwrap();
        let tried = self.run(statement).await;
        self.run("ROLLBACK").await.unwrap();
        match tried {
            Ok(0) => Err("no row".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_))
    }

    /// The columns of every table, as the database has them now.
    pub(crate) async fn columns(&mut self) -> Vec<Column> {
        let query = if self.is_postgres() {
            COLUMNS
        } else {
            SQLITE_COLUMNS
        };
        let rows = self.rows(query).await.into_iter();
        rows.map(|row| {
            let text = |at: usize| row[at].clone().unwrap();
            let kind = match text(2).to_lowercase().as_str() {
                "text" | "character varying" => Kind::Text,
                "bytea" | "blob" => Kind::Bytes,
                "boolean" => Kind::Flag,
                _ => Kind::Number,
            };
            Column {
                table: text(0),
                name: text(1),
                kind,
                nullable: text(3) == "0",
                key: text(4) == "1",
            }
        })
        .collect()
    }

    /// Every right to write that a role has. SQLite has none of them: who writes the file may all.
    pub(crate) async fn rights(&mut self) -> Vec<Right> {
        if !self.is_postgres() {
            return Vec::new();
        }
        let rows = self.rows(RIGHTS).await.into_iter();
        let rows = rows.map(|row| {
            let text = |at: usize| row[at].clone().unwrap();
            Right {
                role: text(0),
                verb: text(1),
                table: text(2),
                column: text(3),
            }
        });
        rows.collect()
    }

    /// An expression for a column's value as a literal of the engine.
    pub(crate) fn quoted(&self, column: &str) -> String {
        if self.is_postgres() {
            format!("quote_nullable({column}::text)")
        } else {
            format!("quote({column})")
        }
    }

    /// Bytes as a literal.
    pub(crate) fn bytes(&self, hexadecimal: &str) -> String {
        if self.is_postgres() {
            format!("'\\x{hexadecimal}'")
        } else {
            format!("x'{hexadecimal}'")
        }
    }
}
