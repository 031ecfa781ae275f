//! The store on real files. What is sealed here is only bytes: the store cannot tell.

mod adoption;
mod alerts;
mod answers;
mod audit_log;
mod charges;
mod cluster;
mod deletions;
mod durability;
mod feed;
mod group_commit;
mod housekeeping;
mod inbox;
mod inconsistency;
mod keys;
mod leases;
mod migrations;
mod obeyed;
mod operations;
mod orders;
mod owners;
mod postgres;
mod protections;
mod refunds;
mod repetitions;
mod reviews;
mod samples;
mod schema;
mod schema_money;
mod security_codes;
mod sessions;
mod settling;
mod tokens;
mod watch;
mod writers;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use tempfile::TempDir;

use samples::*;

use super::*;
use crate::alerts::{Alert, AlertName};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::Timestamp;
use crate::seal::mac::{MacKey, MacKeys, Mark};
use crate::seal::order::OrderKeys;
use crate::seal::{KekId, Sealed, SealedValue, WrappedDataKey};
use crate::token::{
    Account, AlertId, CardSummary, ChargeId, ChargeOperation, ChargeStatus, DataKeyId, EventId,
    RefundId, RefundStatus, SessionId, TokenId, TokenStatus, Usage,
};

pub(super) const ENVIRONMENT: Environment = Environment::Test;
pub(super) const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

/// A migrated store in a directory of its own.
pub(super) struct Bench {
    pub(super) directory: TempDir,
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) commits: Arc<Mutex<Vec<Commit>>>,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let commits = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&commits);
        let mut settings = settings(directory.path().join("cloakroom.db"));
        settings.observer = Some(Arc::new(move |commit| seen.lock().unwrap().push(commit)));
        change(&mut settings);
        migrate(&settings).await.unwrap();
        let store = open(&settings).await.unwrap();
        commits.lock().unwrap().clear();
        Self {
            directory,
            settings,
            store,
            commits,
        }
    }

    /// A connection beside the store's, for what no operation does.
    pub(super) async fn aside(&self) -> SqliteConnection {
        aside(&self.settings).await
    }

    /// A number that `sql` gives.
    pub(super) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut self.aside().await)
            .await
            .unwrap()
    }

    /// Runs `sql` beside the store; its failure in the words of the database.
    pub(super) async fn run(&self, sql: &str) -> Result<u64, String> {
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut self.aside().await)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| error.to_string())
    }

    /// The events of an act, as outcome names in the order they were written.
    pub(super) async fn outcomes(&self, action: Action) -> Vec<String> {
        sqlx::query_scalar("SELECT outcome FROM audit_events WHERE action = $1 ORDER BY rowid")
            .bind(action.name())
            .fetch_all(&mut self.aside().await)
            .await
            .unwrap()
    }

    /// A session, claimed and turned into a token.
    async fn token(&self) -> Made {
        let session = session();
        let begun = self
            .store
            .begin_session(None, session.clone(), event(Action::SessionCreated))
            .await;
        assert_eq!(begun, Ok(Begun::New(())));
        let claimed = self
            .store
            .claim_attempt(attempt(session.id), event(Action::CardAttempted))
            .await;
        assert_eq!(claimed, Ok(Attempt::Claimed { number: 1 }));
        let token = token_of(session.id);
        let kept = self.keep(&token).await.unwrap();
        assert!(matches!(kept, TokenKept::New(_)));
        token
    }

    /// Ends a session's attempt with a token.
    async fn keep(&self, made: &Made) -> Result<TokenKept, Failure> {
        let of_session = (made.session, Some("attempt-1".to_owned()));
        self.store
            .attempt_succeeded(
                of_session,
                made.token.clone(),
                event(Action::TokenCreated),
                |_| news(),
            )
            .await
    }

    /// A token and an unsettled charge on it.
    pub(super) async fn charge(&self) -> Charging {
        let token = self.token().await;
        charging_on(&self.store, token.id, "charge-1").await
    }

    /// A charge that stands as `outcome` says.
    pub(super) async fn settled(&self, outcome: ChargeOutcome) -> Charging {
        let charging = self.charge().await;
        let authority = Authority::Holder(&charging.lease);
        settle(&self.store, authority, charging.id, outcome)
            .await
            .unwrap();
        charging
    }

    /// The charge as it stands.
    pub(super) async fn row(&self, id: ChargeId) -> ChargeRow {
        self.store.charge(&account(), id).await.unwrap().unwrap()
    }

    /// A token's end, and its tombstone.
    pub(super) async fn delete(&self, id: TokenId) -> TokenRow {
        let whose = account();
        let begun = self
            .store
            .begin_deletion(
                (&whose, id),
                (START, START.plus_s(60)),
                event(Action::TokenDeletionStarted),
            )
            .await;
        assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
        self.store
            .finish_deletion((&whose, id), START, event(Action::TokenDeleted), |_| news())
            .await
            .unwrap()
    }
}

/// A charge that was begun, and the lease of who began it.
#[derive(Debug)]
pub(super) struct Charging {
    pub(super) charge: NewCharge,
    pub(super) lease: Lease,
}

impl std::ops::Deref for Charging {
    type Target = NewCharge;

    fn deref(&self) -> &NewCharge {
        &self.charge
    }
}

pub(super) fn settings(path: PathBuf) -> Settings {
    Settings {
        place: Place::Sqlite { path },
        batch_ops_max: 64,
        queue_ops_max: 1_024,
        busy_timeout_ms: 2_000,
        readers_max: 2,
        observer: None,
        orders: orders(),
    }
}

pub(super) fn path_of(settings: &Settings) -> &std::path::Path {
    match &settings.place {
        Place::Sqlite { path } => path,
        Place::Postgres(_) => panic!("this store is SQLite's"),
    }
}

pub(super) async fn open(settings: &Settings) -> Result<Store, Failure> {
    Store::open(settings, ENVIRONMENT, &Clock::set_to(START)).await
}

pub(super) async fn aside(settings: &Settings) -> SqliteConnection {
    sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path_of(settings))
        .connect()
        .await
        .unwrap()
}

/// An operation that runs `sql` through the writer, as one member of a batch.
pub(super) async fn through_writer(store: &Store, sql: &'static str) -> Result<(), Failure> {
    store
        .write(move |tx| {
            async move {
                let connection::Link::Sqlite(link) = tx.link() else {
                    panic!("this store is SQLite's")
                };
                link.execute_batch(sql)?;
                Ok(())
            }
            .boxed()
        })
        .await
}
