//! One way to say SQL to either engine.
//!
//! Statements are constants in the subset that SQLite and PostgreSQL share, with `$1` places and
//! values of four kinds; rows are private structures beside the statement that reads them.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, Database, Encode, FromRow, Postgres, Sqlite, Type};

use super::Failure;
use super::connection::{Connection, Link};

/// A value to be bound.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Flag(Option<bool>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($kind:ident from $($source:ty)|+;)+) => {$($(
        impl From<$source> for Value {
            fn from(value: $source) -> Self {
                Self::$kind(Some(value.into()))
            }
        }

        impl From<Option<$source>> for Value {
            fn from(value: Option<$source>) -> Self {
                Self::$kind(value.map(Into::into))
            }
        }
    )+)+};
}

values! {
    Text from &str | String | &String;
    Number from i64 | u32;
    Flag from bool;
    Bytes from &[u8] | Vec<u8>;
}

/// What a row of either engine is read into.
pub(super) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{}

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Query {
    sql: &'static str,
    /// What PostgreSQL must hear behind it: which rows to lock. SQLite has one writer.
    lock: Option<&'static str>,
    values: Vec<Value>,
}

/// A statement that both engines know.
pub(super) const fn query(sql: &'static str) -> Query {
    Query {
        sql,
        lock: None,
        values: Vec::new(),
    }
}

/// A `SELECT` whose rows must not change before the transaction ends. `postgres` is the same
/// statement with its `FOR` clause.
pub(super) const fn locking(sql: &'static str, postgres: &'static str) -> Query {
    Query {
        sql,
        lock: Some(postgres),
        values: Vec::new(),
    }
}

impl Query {
    /// Binds the next `$n`.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; how many rows it touched.
    pub(super) async fn execute(self, connection: &mut Connection) -> Result<u64, Failure> {
        Ok(match connection.link() {
            Link::Sqlite(link) => {
                let arguments = arguments::<Sqlite>(self.values)?;
                let done = sqlx::query_with(self.sql, arguments).execute(link).await?;
                done.rows_affected()
            }
            Link::Postgres(link) => {
                let arguments = arguments::<Postgres>(self.values)?;
                let sql = self.lock.unwrap_or(self.sql);
                let done = sqlx::query_with(sql, arguments).execute(link).await?;
                done.rows_affected()
            }
        })
    }

    /// Its rows.
    pub(super) async fn all<T: Row>(self, connection: &mut Connection) -> Result<Vec<T>, Failure> {
        Ok(match connection.link() {
            Link::Sqlite(link) => {
                let arguments = arguments::<Sqlite>(self.values)?;
                sqlx::query_as_with(self.sql, arguments)
                    .fetch_all(link)
                    .await?
            }
            Link::Postgres(link) => {
                let arguments = arguments::<Postgres>(self.values)?;
                let sql = self.lock.unwrap_or(self.sql);
                sqlx::query_as_with(sql, arguments).fetch_all(link).await?
            }
        })
    }

    /// Its row, where there is one.
    pub(super) async fn optional<T: Row>(
        self,
        connection: &mut Connection,
    ) -> Result<Option<T>, Failure> {
        // No statement of ours gives more than the one that is meant.
        Ok(self.all(connection).await?.into_iter().next())
    }

    /// Its one row.
    pub(super) async fn one<T: Row>(self, connection: &mut Connection) -> Result<T, Failure> {
        let row = self.optional(connection).await?;
        row.ok_or_else(|| Failure::from(sqlx::Error::RowNotFound))
    }

    /// The value of its one column, where it has a row.
    pub(super) async fn scalar_if_any<T>(
        self,
        connection: &mut Connection,
    ) -> Result<Option<T>, Failure>
    where
        (T,): Row,
    {
        let row: Option<(T,)> = self.optional(connection).await?;
        Ok(row.map(|(value,)| value))
    }

    /// The value of its one column in its one row.
    pub(super) async fn scalar<T>(self, connection: &mut Connection) -> Result<T, Failure>
    where
        (T,): Row,
    {
        let (value,) = self.one(connection).await?;
        Ok(value)
    }
}

/// The values as an engine takes them.
fn arguments<DB>(values: Vec<Value>) -> Result<DB::Arguments, Failure>
where
    DB: Database,
    for<'q> Option<String>: Encode<'q, DB> + Type<DB>,
    for<'q> Option<i64>: Encode<'q, DB> + Type<DB>,
    for<'q> Option<bool>: Encode<'q, DB> + Type<DB>,
    for<'q> Option<Vec<u8>>: Encode<'q, DB> + Type<DB>,
{
    let mut arguments = DB::Arguments::default();
    for value in values {
        match value {
            Value::Text(value) => arguments.add(value),
            Value::Number(value) => arguments.add(value),
            Value::Flag(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        }
        .map_err(|refused| Failure::engine(&refused))?;
    }
    Ok(arguments)
}
