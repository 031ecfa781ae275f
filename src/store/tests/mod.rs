//! The store on real files. What is sealed here is only bytes: the store cannot tell.

mod alerts;
mod audit_log;
mod charges;
mod cluster;
mod deletions;
mod durability;
mod group_commit;
mod housekeeping;
mod inconsistency;
mod migrations;
mod postgres;
mod protections;
mod schema;
mod sessions;
mod settling;
mod tokens;
mod watch;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::alerts::{Alert, AlertName};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::Timestamp;
use crate::seal::mac::Mark;
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
    pub(super) async fn token(&self) -> Made {
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
    pub(super) async fn keep(&self, made: &Made) -> Result<TokenKept, Failure> {
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
        let charge = charge_of(token.id);
        let begun = self
            .store
            .begin_charge(claim("charge-1"), charge.clone(), opening())
            .await
            .unwrap();
        let Begun::New(work) = begun else {
            panic!("the first of its key is new: {begun:?}");
        };
        Charging {
            charge,
            lease: work.lease,
        }
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

/// Writes down what the processor said of a charge.
pub(super) async fn settle(
    store: &Store,
    authority: Authority<'_>,
    id: ChargeId,
    outcome: ChargeOutcome,
) -> Result<ChargeRow, Failure> {
    let announce = Announce {
        publish: |_: &ChargeRow| news(),
        alert,
    };
    let event = event(Action::ChargeSettled);
    store
        .settle_charge(authority, (&account(), id), outcome, event, announce)
        .await
}

/// The alert that the processor contradicts a charge.
pub(super) fn alert(charge: &ChargeRow) -> NewAlert {
    let code = charge.contradiction.as_ref().map_or("", |one| &one.code);
    NewAlert {
        id: AlertId::new(ENVIRONMENT, START),
        alert: Alert::new(AlertName::ChargeContradicted, &charge.id.to_string(), code),
        node: "node-1".into(),
        window_ms: 3_600_000,
        at: START,
    }
}

/// What the processor says of the payment `pi_1`.
pub(super) fn outcome(status: ChargeStatus) -> ChargeOutcome {
    ChargeOutcome {
        status,
        payment: Some("pi_1".into()),
        captured: if status == ChargeStatus::Succeeded {
            1_250
        } else {
            0
        },
        decline: (status == ChargeStatus::Declined).then(|| DeclineRow {
            code: "insufficient_funds".into(),
            advice: Some("try_again_later".into()),
            retryable: true,
        }),
        redirect_url: (status == ChargeStatus::RequiresAction)
            .then(|| "https://issuer.example/3ds".into()),
        details: DetailsRow::default(),
        retry_at: None,
        at: START.plus_s(2),
    }
}

/// Work of the account that is due so many seconds after the start, for a minute.
pub(super) fn due_at(seconds: u32) -> Take {
    Take {
        scope: account().as_str().to_owned(),
        now: START.plus_s(seconds),
        until: START.plus_s(seconds).plus_s(60),
        limit: 10,
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

pub(super) fn account() -> Account {
    Account::try_from("default".to_owned()).unwrap()
}

pub(super) fn event(action: Action) -> Event {
    Event {
        id: EventId::new(ENVIRONMENT, START),
        actor: Actor::Client("spiffe://shop.example/billing".into()),
        action,
        at: START,
        outcome: Outcome::Success,
        origin: "127.0.0.1".into(),
        subject: None,
        account: Some(account()),
        node: "node-1".into(),
        request_id: None,
    }
}

pub(super) fn opening() -> Vec<Event> {
    vec![event(Action::ChargeRequested), event(Action::TokenOpened)]
}

pub(super) fn claim(key: &str) -> Claim {
    Claim {
        account: account(),
        client: "spiffe://shop.example/billing".into(),
        key: key.into(),
        route: "POST /v1/charges",
        request_hash: [7; 32],
        now: START,
        expires_at: START.plus_s(86_400),
    }
}

pub(super) fn session() -> NewSession {
    NewSession {
        id: SessionId::new(ENVIRONMENT, START),
        account: account(),
        client: "spiffe://shop.example/checkout".into(),
        customer_ref: Some("customer-1".into()),
        processor_customer: "cus_1".into(),
        origin: Some("https://shop.example".into()),
        usage: Usage::OffSession,
        metadata: "{}".into(),
        secret_mac: [9; 32],
        shopper_verified: true,
        attempts_max: 2,
        created_at: START,
        expires_at: START.plus_s(900),
    }
}

pub(super) fn attempt(session: SessionId) -> AttemptClaim {
    AttemptClaim {
        session,
        key: Some("attempt-1".into()),
        now: START,
        lease_until: START.plus_s(30),
    }
}

pub(super) fn data_key() -> WrappedDataKey {
    WrappedDataKey {
        id: DataKeyId::new(ENVIRONMENT, START),
        kek: KekId::try_from(format!("kek_{}", "0a".repeat(16))).unwrap(),
        wrapped: vec![5; 97],
        created_at: START,
    }
}

/// Bytes that stand nowhere else, as long as a sealed value is.
pub(super) fn sealed_value() -> SealedValue {
    static MADE: AtomicU64 = AtomicU64::new(1);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let mut bytes = format!("SEALED-{number:020}-").into_bytes();
    let mut rest = [0; 529];
    crate::random::fill(&mut rest);
    bytes.extend(rest);
    SealedValue {
        sealed: Sealed::from_bytes(bytes),
        data_key: Arc::new(data_key()),
    }
}

/// A token, and the session that it is made of.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) session: SessionId,
    pub(super) token: NewToken,
}

impl std::ops::Deref for Made {
    type Target = NewToken;

    fn deref(&self) -> &NewToken {
        &self.token
    }
}

/// A keyed hash under one key.
pub(super) fn mark(byte: u8) -> Mark {
    let tag = [byte; 32];
    Mark {
        now: tag,
        also: tag,
    }
}

/// Something to be told.
pub(super) fn news() -> News {
    News {
        id: EventId::new(ENVIRONMENT, START),
        account: account(),
        kind: "test.happened".into(),
        data: "{}".into(),
        at: START,
    }
}

pub(super) fn token_of(session: SessionId) -> Made {
    let token = NewToken {
        id: TokenId::new(ENVIRONMENT, START),
        status: TokenStatus::Active,
        value: sealed_value(),
        reference: mark(3),
        fingerprint: None,
        card: CardSummary {
            brand: "visa".into(),
            last4: "4242".into(),
            exp_month: 12,
            exp_year: 2030,
            funding: "credit".into(),
            country: Some("US".into()),
        },
        created_at: START,
    };
    Made { session, token }
}

pub(super) fn charge_of(token: TokenId) -> NewCharge {
    NewCharge {
        id: ChargeId::new(ENVIRONMENT, START),
        account: account(),
        client: "spiffe://shop.example/billing".into(),
        token,
        amount: 1_250,
        currency: "eur".into(),
        capture: true,
        off_session: true,
        description: Some("order 1".into()),
        statement_descriptor_suffix: None,
        metadata: "{}".into(),
        processor_key: "key-of-charge-1".into(),
        created_at: START,
        lease_until: START.plus_s(60),
    }
}

/// A capture or a cancellation of a charge, under a name of its own.
pub(super) fn operation_of(charge: ChargeId, operation: ChargeOperation) -> NewOperation {
    let id = RefundId::new(ENVIRONMENT, START);
    NewOperation {
        account: account(),
        charge,
        id: format!("operation/{id}"),
        operation,
        amount: None,
        processor_key: format!("key-of-{id}"),
        lease_until: START.plus_s(60),
    }
}

pub(super) fn refund_of(charge: ChargeId, amount: i64) -> NewRefund {
    NewRefund {
        id: RefundId::new(ENVIRONMENT, START),
        account: account(),
        client: "spiffe://shop.example/billing".into(),
        charge,
        amount: Some(amount),
        reason: None,
        processor_key: "key-of-refund-1".into(),
        created_at: START,
        lease_until: START.plus_s(60),
    }
}

/// What the processor says of the refund `re_1`.
pub(super) fn refunded(status: RefundStatus) -> RefundOutcome {
    RefundOutcome {
        status,
        processor_refund: Some("re_1".into()),
        failure_code: None,
        retry_at: None,
        at: START.plus_s(2),
    }
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
