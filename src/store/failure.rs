//! Why an operation failed. No variant carries a value that a caller sent.

use std::path::Path;
use std::sync::Arc;

/// An operation that was not done, or not known to be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The store cannot be reached, or could not say that the write is durable. The operation may
    /// be repeated under the same key.
    #[error("the store is unavailable: {0}")]
    Unavailable(Cause),

    /// A row does not mean anything, or contradicts what was known of it. Nothing was written.
    #[error("the store is inconsistent: {table}.{column} of {row}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's id.
        row: String,
    },

    /// The schema refused what was to be written: a fault in this program, and the last line of
    /// defence against it. Nothing was written.
    #[error("the schema refused a row: {0}")]
    Illegal(Arc<str>),

    /// The database is missing, or older than this build.
    #[error("the schema is at version {found}, this build needs {needed}: run `cloakroom migrate`")]
    SchemaTooOld {
        /// The newest migration the database has; 0 where it has none.
        found: i64,
        /// The newest migration this build has.
        needed: i64,
    },

    /// The database was migrated by a newer build.
    #[error("the schema has migration {version}, which this build does not know: run a newer one")]
    SchemaUnknown {
        /// The migration this build does not know.
        version: i64,
    },

    /// The database's login may do more than the process's plane needs.
    #[error(
        "the database user may do more than this process needs: {reason}; give it a login that is a \
         member of its plane's role and nothing else"
    )]
    LoginTooBroad {
        /// What it may do.
        reason: Arc<str>,
    },

    /// A migration of this build is not the one that was run.
    #[error("migration {version} is not the one that made this database: run the right build")]
    SchemaChanged {
        /// The migration that differs.
        version: i64,
    },
}

/// Why the store is unavailable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// As many operations as are allowed to are waiting for the writer.
    #[error("too many operations are waiting")]
    QueueFull,
    /// The store is closed, or its writer is gone.
    #[error("it is closed")]
    Closed,
    /// Other transactions were in the way as often as it was tried.
    #[error("too many transactions at once on the same rows")]
    Contended,
    /// No copy of the audit log's checkpoints could be made outside of the database for too long.
    #[error("nobody outside of the database takes the audit log's checkpoints")]
    Unwitnessed,
    /// No server is the primary.
    #[error("no database server is the primary")]
    NoPrimary,
    /// The server takes no writes.
    #[error("the database server takes no writes")]
    ReadOnly,
    /// Fewer copies would be made than were promised.
    #[error("{attached} of {required} synchronous replicas are attached")]
    NotReplicated {
        /// As the configuration promises.
        required: u32,
        /// At the last look.
        attached: u32,
    },
    /// A commit would wait for fewer copies than were promised.
    #[error(
        "a commit waits for {awaited} of {required} synchronous replicas; set synchronous_standby_names to ANY {required} or more"
    )]
    NotAwaited {
        /// As the configuration promises.
        required: u32,
        /// By the primary's `synchronous_standby_names`.
        awaited: u32,
    },
    /// The login does not see the replicas.
    #[error("the login does not see the replicas; GRANT pg_read_all_stats to it")]
    ReplicasHidden,
    /// A server takes writes, and is not the one whose history goes on.
    #[error("a database server takes writes and was left behind, or is another's")]
    LeftBehind,
    /// What was read came from a server that is the primary no more.
    #[error("another database server has become the primary")]
    PrimaryChanged,
    /// The database gave up a statement that took too long; the connection is as good as before.
    #[error("a statement takes too long")]
    Canceled,
    /// The database did not finish in time; what it was asked may yet be done.
    #[error("the database takes too long")]
    TooSlow,
    /// The database's own words, which name columns and files, never values.
    #[error("{0}")]
    Engine(Arc<str>),
}

impl Failure {
    /// Whether only this operation failed, and the connection is as good as before.
    pub(super) const fn spares_the_connection(&self) -> bool {
        matches!(self, Self::Unavailable(Cause::Contended | Cause::Canceled))
    }

    /// A failure of the machine below at a file, which is named.
    pub(super) fn file(path: &Path, cause: &std::io::Error) -> Self {
        let path = path.display();
        Self::Unavailable(Cause::Engine(format!("{path}: {cause}").into()))
    }

    /// A failure of the machine below: the disk, a file, its rights.
    pub(super) fn engine(cause: &impl ToString) -> Self {
        Self::Unavailable(Cause::Engine(cause.to_string().into()))
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            let code = database.code();
            let code = code.as_deref().unwrap_or_default();
            if is_contention(code) {
                return Self::Unavailable(Cause::Contended);
            }
            if code == QUERY_CANCELED {
                return Self::Unavailable(Cause::Canceled);
            }
            if is_illegal(code) {
                return Self::Illegal(database.message().into());
            }
        }
        if matches!(error, sqlx::Error::PoolClosed) {
            return Self::Unavailable(Cause::Closed);
        }
        Self::engine(&error)
    }
}

/// PostgreSQL's `serialization_failure`, `deadlock_detected` and `lock_not_available`: run it again.
fn is_contention(code: &str) -> bool {
    matches!(code, "40001" | "40P01" | "55P03")
}

/// PostgreSQL's `query_canceled`, which a statement timeout says.
const QUERY_CANCELED: &str = "57014";

/// The schema refused a row: a CHECK, a key, a column's type or a trigger. On PostgreSQL these are
/// the classes 22 (data exception) and 23 (integrity constraint), and P0001, what triggers raise.
fn is_illegal(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23") || code == "P0001"
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        // On SQLite a refused row is a violated constraint, and just that statement is undone.
        if let rusqlite::Error::SqliteFailure(refused, message) = &error
            && refused.code == rusqlite::ErrorCode::ConstraintViolation
        {
            let words = message.as_deref().unwrap_or("a constraint");
            return Self::Illegal(words.into());
        }
        Self::engine(&error)
    }
}
