//! One way to say SQL to either engine.
//!
//! Statements are constants in the subset that SQLite and PostgreSQL share, with `$1` places and
//! values of four kinds; rows are private structures beside the statement that reads them.
//!
//! SQLite's statements run where they are called, on the writer's or a reader's own thread: they
//! take microseconds, and going to another thread for each would take longer than they do.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection as Sqlite};
use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;

use super::Failure;
use super::connection::{Connection, Link};
use super::row::{Column, Row};

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

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Number(Some(number)) => ValueRef::Integer(*number),
            Self::Flag(Some(flag)) => ValueRef::Integer(i64::from(*flag)),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Text(None) | Self::Number(None) | Self::Flag(None) | Self::Bytes(None) => {
                ValueRef::Null
            }
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

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
                let mut statement = self.prepare(link)?;
                u64::try_from(statement.raw_execute()?).unwrap_or(u64::MAX)
            }
            Link::Postgres(link) => {
                let sql = self.lock.unwrap_or(self.sql);
                let done = sqlx::query_with(sql, arguments(self.values)?);
                done.execute(link).await?.rows_affected()
            }
        })
    }

    /// Its rows.
    pub(super) async fn all<T: Row>(self, connection: &mut Connection) -> Result<Vec<T>, Failure> {
        match connection.link() {
            Link::Sqlite(link) => {
                let mut statement = self.prepare(link)?;
                let mut rows = statement.raw_query();
                let mut read = Vec::new();
                while let Some(row) = rows.next()? {
                    read.push(T::read(&mut row.into())?);
                }
                Ok(read)
            }
            Link::Postgres(link) => {
                let sql = self.lock.unwrap_or(self.sql);
                let rows = sqlx::query_with(sql, arguments(self.values)?);
                let rows = rows.fetch_all(link).await?;
                rows.iter().map(|row| T::read(&mut row.into())).collect()
            }
        }
    }

    /// The statement in SQLite, its places filled. `$2` is a name there, whose place is where it
    /// first stands.
    fn prepare<'l>(&self, link: &'l Sqlite) -> Result<CachedStatement<'l>, Failure> {
        let mut statement = link.prepare_cached(self.sql)?;
        for place in 1..=statement.parameter_count() {
            let name = statement.parameter_name(place).unwrap_or_default();
            let number = name
                .strip_prefix('$')
                .and_then(|number| number.parse().ok());
            let value = number.and_then(|number: usize| self.values.get(number.checked_sub(1)?));
            let value = value.ok_or_else(|| Failure::engine(&"a place without a value"))?;
            statement.raw_bind_parameter(place, value)?;
        }
        Ok(statement)
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
        row.ok_or_else(|| Failure::engine(&"no row where one was sure"))
    }

    /// The value of its one column, where it has a row.
    pub(super) async fn scalar_if_any<T>(
        self,
        connection: &mut Connection,
    ) -> Result<Option<T>, Failure>
    where
        T: Column + Send,
    {
        let row: Option<(T,)> = self.optional(connection).await?;
        Ok(row.map(|(value,)| value))
    }

    /// The value of its one column in its one row.
    pub(super) async fn scalar<T>(self, connection: &mut Connection) -> Result<T, Failure>
    where
        T: Column + Send,
    {
        let (value,) = self.one(connection).await?;
        Ok(value)
    }
}

/// The values as PostgreSQL takes them.
fn arguments(values: Vec<Value>) -> Result<PgArguments, Failure> {
    let mut arguments = PgArguments::default();
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
