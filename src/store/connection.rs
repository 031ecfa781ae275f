//! A connection of either engine, and the audit events that its transaction will carry.

use std::time::{Duration, Instant};

use rusqlite::Connection as Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::Failure;
use super::orders::Orders;
use crate::audit::Event;

/// No hand, and no pooler's time limit, cancels a commit sooner than this.
const COMMIT_BELIEVED_WITHIN: Duration = Duration::from_secs(1);

/// A connection on which an operation runs.
pub(super) struct Connection {
    held: Held,
    /// Events of the transaction under way: written together, as its last act.
    events: Vec<Event>,
    /// What its rows are ordered and believed with.
    orders: Orders,
}

/// Where the connection comes from, and goes when it is dropped.
enum Held {
    Sqlite(Sqlite),
    Postgres(PgConnection),
    PostgresReader(PoolConnection<Postgres>),
}

/// The connection as its driver knows it.
pub(super) enum Link<'c> {
    Sqlite(&'c mut Sqlite),
    Postgres(&'c mut PgConnection),
}

impl Connection {
    pub(super) fn link(&mut self) -> Link<'_> {
        match &mut self.held {
            Held::Sqlite(connection) => Link::Sqlite(connection),
            Held::Postgres(connection) => Link::Postgres(connection),
            Held::PostgresReader(connection) => Link::Postgres(connection),
        }
    }

    /// Orders and believes with `orders` from now on.
    pub(super) fn set_orders(&mut self, orders: &Orders) {
        self.orders.clone_from(orders);
    }

    /// What its rows are ordered and believed with.
    pub(super) const fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Notes an event of the transaction under way.
    pub(super) fn note(&mut self, event: Event) {
        self.events.push(event);
    }

    /// What was noted so far and is not written.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Gives out the noted events, to be written.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whether other transactions run beside this connection's and may change what it has read.
    pub(super) const fn has_rivals(&self) -> bool {
        matches!(self.held, Held::Postgres(_) | Held::PostgresReader(_))
    }

    /// Whether an idle connection can still be used. SQLite's cannot be lost by idling, and
    /// PostgreSQL's is looked at where it costs nothing: at the socket.
    pub(super) async fn is_alive(&mut self) -> bool {
        match self.link() {
            Link::Sqlite(_) => true,
            Link::Postgres(link) => sqlx::Connection::ping(link).await.is_ok(),
        }
    }

    /// Begins a transaction. SQLite's takes the write lock before it reads what it decides on.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        self.events.clear();
        self.control("BEGIN IMMEDIATE", "BEGIN").await
    }

    /// Makes the transaction durable.
    ///
    /// PostgreSQL acknowledges a commit whose wait for its replicas somebody has canceled, with no
    /// more than a warning that nobody reads. We never cancel, and no time limit of the server ends
    /// that wait, but an operator or a pooler can. So behind a commit that took long enough for a
    /// hand to reach it there must be a write that did not: it waits for the same replicas.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        let mut begun = Instant::now();
        self.control("COMMIT", "COMMIT").await?;
        if let Link::Postgres(link) = self.link() {
            while begun.elapsed() > COMMIT_BELIEVED_WITHIN {
                begun = Instant::now();
                sqlx::raw_sql("UPDATE write_probe SET written_at_ms = written_at_ms WHERE id = 1")
                    .execute(&mut *link)
                    .await?;
            }
        }
        Ok(())
    }

    /// Undoes the transaction. SQLite may have done so on its own: a full disk makes it.
    pub(super) async fn roll_back(&mut self) -> Result<(), Failure> {
        self.events.clear();
        self.control("ROLLBACK", "ROLLBACK").await
    }

    async fn control(
        &mut self,
        sqlite: &'static str,
        postgres: &'static str,
    ) -> Result<(), Failure> {
        match self.link() {
            Link::Sqlite(link) => link.execute_batch(sqlite)?,
            Link::Postgres(link) => {
                sqlx::raw_sql(postgres).execute(link).await?;
            }
        }
        Ok(())
    }

    /// Moves SQLite's log into the database and cuts it; whether no reader was in the way.
    /// PostgreSQL keeps its own house.
    pub(super) fn checkpoint(&mut self) -> Result<bool, Failure> {
        match self.link() {
            Link::Sqlite(link) => {
                let busy: i64 =
                    link.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
                Ok(busy == 0)
            }
            Link::Postgres(_) => Ok(true),
        }
    }

    /// Ends a connection in good order.
    pub(super) async fn close(self) -> Result<(), Failure> {
        match self.held {
            Held::Sqlite(connection) => connection.close().map_err(|(_, error)| error)?,
            Held::Postgres(connection) => sqlx::Connection::close(connection).await?,
            // The pool decides.
            Held::PostgresReader(_) => {}
        }
        Ok(())
    }
}

macro_rules! from {
    ($($kind:ident($source:ty);)+) => {$(
        impl From<$source> for Connection {
            fn from(connection: $source) -> Self {
                Self {
                    held: Held::$kind(connection),
                    events: Vec::new(),
                    orders: Orders::default(),
                }
            }
        }
    )+};
}

from! {
    Sqlite(Sqlite);
    Postgres(PgConnection);
    PostgresReader(PoolConnection<Postgres>);
}
