//! What the tests of the store write and ask for, where they do not care.

use super::*;

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
        owner_mac: [10; 32],
        presentation: None,
        presentation_mac: None,
        security_code_of: None,
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
        return_url: None,
        page: None,
        security_code: None,
        processor_key: fresh("key-of-charge"),
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
        processor_key: fresh("key-of-refund"),
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

/// A name that stands nowhere else.
pub(super) fn fresh(kind: &str) -> String {
    format!("{kind}_{}", EventId::new(ENVIRONMENT, START))
}

/// A session and the token it becomes.
pub(super) async fn token_on(store: &Store, change: impl FnOnce(&mut NewToken)) -> TokenKept {
    let session = session();
    store
        .begin_session(None, session.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    let claimed = store
        .claim_attempt(attempt(session.id), event(Action::CardAttempted))
        .await;
    assert_eq!(claimed, Ok(Attempt::Claimed { number: 1 }));
    let mut token = token_of(session.id).token;
    change(&mut token);
    let of_session = (session.id, Some("attempt-1".to_owned()));
    store
        .attempt_succeeded(of_session, token, event(Action::TokenCreated), |_| news())
        .await
        .unwrap()
}

/// The token that a card newly is.
pub(super) fn new(kept: TokenKept) -> TokenId {
    match kept {
        TokenKept::New(row) => row.id,
        other @ (TokenKept::Same(_) | TokenKept::Late) => panic!("{other:?}"),
    }
}

/// A charge on a token, begun under a key.
pub(super) async fn charging_on(store: &Store, token: TokenId, key: &str) -> Charging {
    let charge = charge_of(token);
    let begun = store
        .begin_charge(claim(key), charge.clone(), opening())
        .await;
    match begun {
        Ok(Begun::New(work)) => Charging {
            charge,
            lease: work.lease,
        },
        other => panic!("the first of its key is new: {other:?}"),
    }
}

/// A charge on a token of its own that stands as `status` says.
pub(super) async fn settled_on(store: &Store, status: ChargeStatus) -> ChargeRow {
    let token = new(token_on(store, |_| {}).await);
    let charging = charging_on(store, token, "charge-1").await;
    let authority = Authority::Holder(&charging.lease);
    let said = outcome(status);
    settle(store, authority, charging.id, said).await.unwrap()
}

/// Takes the charges that are due; the leases of those that can be read.
pub(super) async fn take_charges(store: &Store, seconds: u32) -> Vec<DueCharge> {
    let due = store
        .take_due_charges(due_at(seconds), |_| event(Action::TokenOpened))
        .await
        .unwrap();
    assert!(due.unreadable.is_empty(), "{:?}", due.unreadable);
    due.charges
}

/// What the tests' stores order and believe with: both planes' keys, always the same.
pub(super) fn orders() -> Orders {
    orders_of(Some(internal_order_key()))
}

/// The order key of the internal plane.
pub(super) fn internal_order_key() -> MacKeys {
    mac_keys(7)
}

/// Those of a process that holds `internal`, or is no internal one.
pub(super) fn orders_of(internal: Option<MacKeys>) -> Orders {
    let keys = OrderKeys::new(internal, Arc::new(mac_keys(8)));
    let report: ForgeryReport = Arc::new(|forged: &Forged| {
        let alert = NewAlert {
            id: AlertId::new(ENVIRONMENT, START),
            alert: Alert::new(AlertName::RowQuarantined, forged.table, &forged.row),
            node: "node-1".into(),
            window_ms: 3_600_000,
            at: START,
        };
        let about = Event {
            subject: Some(format!("{}/{}", forged.table, forged.row)),
            ..event(Action::RowQuarantined)
        };
        (about, alert)
    });
    Orders::new(ENVIRONMENT, keys, report)
}

fn mac_keys(byte: u8) -> MacKeys {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    MacKeys::new(MacKey::parse(text.as_bytes()).unwrap(), None)
}
