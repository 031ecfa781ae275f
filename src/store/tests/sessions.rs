use super::*;

#[tokio::test]
async fn a_session_is_read_back_as_it_was_made() {
    let bench = Bench::new().await;
    let made = NewSession {
        presentation: Some("{}".into()),
        presentation_mac: Some([11; 32]),
        security_code_of: Some(TokenId::new(ENVIRONMENT, START)),
        ..session()
    };
    let begun = bench
        .store
        .begin_session(None, made.clone(), event(Action::SessionCreated))
        .await;
    assert_eq!(begun, Ok(Begun::New(())));
    let row = bench.store.session(made.id).await.unwrap().unwrap();
    let SessionRow {
        id,
        account,
        client,
        customer_ref,
        processor_customer,
        origin,
        usage,
        metadata,
        secret_mac,
        owner_mac,
        presentation,
        presentation_mac,
        security_code_of,
        shopper_verified,
        attempts_left,
        attempts_made,
        busy_until,
        token,
        token_key,
        token_proof: _,
        created_at,
        expires_at,
        last_seen_at,
    } = row;
    assert_eq!(last_seen_at, created_at);
    assert_eq!((attempts_left, attempts_made), (made.attempts_max, 0));
    assert_eq!((busy_until, token, token_key), (None, None, None));
    let again = NewSession {
        id,
        account,
        client,
        customer_ref,
        processor_customer,
        origin,
        usage,
        metadata,
        secret_mac,
        owner_mac: owner_mac.unwrap().try_into().unwrap(),
        presentation,
        presentation_mac: presentation_mac.map(|mac| mac.try_into().unwrap()),
        security_code_of,
        shopper_verified,
        attempts_max: attempts_left,
        created_at,
        expires_at,
    };
    assert!(again == made);
    assert_eq!(bench.outcomes(Action::SessionCreated).await, ["success"]);
    let other = SessionId::new(ENVIRONMENT, START);
    assert_eq!(bench.store.session(other).await, Ok(None));
}

#[tokio::test]
async fn the_same_request_gets_the_same_session_and_writes() {
    let bench = Bench::new().await;
    let asked = claim("session-1");
    assert_eq!(bench.store.find_session_claim(&asked).await, Ok(None));
    let first = session();
    bench
        .store
        .begin_session(
            Some(asked.clone()),
            first.clone(),
            event(Action::SessionCreated),
        )
        .await
        .unwrap();
    let later = Claim {
        now: START.plus_s(5),
        ..asked
    };
    let replay = bench
        .store
        .begin_session(
            Some(later.clone()),
            session(),
            event(Action::SessionCreated),
        )
        .await
        .unwrap();
    assert!(matches!(&replay, Begun::Replayed(row) if row.id == first.id));
    let found = bench.store.find_session_claim(&later).await.unwrap();
    assert!(matches!(found, Some(Begun::Replayed(row)) if row.id == first.id));
    let written = "SELECT replays * 1000000000000000 + last_seen_at_ms FROM idempotency_keys";
    assert_eq!(
        bench.number(written).await,
        2 * 1_000_000_000_000_000 + START.plus_s(5).unix_ms(),
        "each replay leaves its mark"
    );
    assert_eq!(bench.number("SELECT COUNT(*) FROM sessions").await, 1);
    assert_eq!(bench.outcomes(Action::SessionCreated).await, ["success"]);
}

#[tokio::test]
async fn a_key_that_stands_for_another_request_is_a_mismatch() {
    let bench = Bench::new().await;
    let asked = claim("session-1");
    bench
        .store
        .begin_session(
            Some(asked.clone()),
            session(),
            event(Action::SessionCreated),
        )
        .await
        .unwrap();
    let other_hash = Claim {
        request_hash: [8; 32],
        ..asked.clone()
    };
    let other_route = Claim {
        route: "POST /v1/capture_sessions",
        ..asked.clone()
    };
    for claim in [other_hash, other_route] {
        let begun = bench
            .store
            .begin_session(
                Some(claim.clone()),
                session(),
                event(Action::SessionCreated),
            )
            .await;
        assert_eq!(begun, Ok(Begun::Mismatch));
        let found = bench.store.find_session_claim(&claim).await;
        assert_eq!(found, Ok(Some(Begun::Mismatch)));
    }
    let other_client = Claim {
        client: "spiffe://shop.example/other".into(),
        ..asked.clone()
    };
    let other_account = Claim {
        account: Account::try_from("brand".to_owned()).unwrap(),
        ..asked
    };
    for claim in [other_client, other_account] {
        let begun = bench
            .store
            .begin_session(Some(claim), session(), event(Action::SessionCreated))
            .await;
        assert_eq!(begun, Ok(Begun::New(())), "keys are each client's own");
    }
    assert_eq!(
        bench.outcomes(Action::SessionCreated).await,
        ["success", "refused", "refused", "success", "success"]
    );
}

#[tokio::test]
async fn an_expired_key_may_be_used_anew() {
    let bench = Bench::new().await;
    let first = claim("session-1");
    bench
        .store
        .begin_session(
            Some(first.clone()),
            session(),
            event(Action::SessionCreated),
        )
        .await
        .unwrap();
    let anew = Claim {
        request_hash: [8; 32],
        now: first.expires_at,
        expires_at: first.expires_at.plus_s(60),
        ..first
    };
    assert_eq!(bench.store.find_session_claim(&anew).await, Ok(None));
    let begun = bench
        .store
        .begin_session(Some(anew), session(), event(Action::SessionCreated))
        .await;
    assert_eq!(begun, Ok(Begun::New(())));
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM idempotency_keys").await,
        1
    );
}

#[tokio::test]
async fn attempts_are_counted_one_at_a_time_until_none_is_left() {
    let bench = Bench::new().await;
    let made = session();
    bench
        .store
        .begin_session(None, made.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    let store = &bench.store;
    let claim_at = |now: Timestamp| {
        let claim = AttemptClaim {
            now,
            lease_until: now.plus_s(30),
            ..attempt(made.id)
        };
        store.claim_attempt(claim, event(Action::CardAttempted))
    };
    let failed = |number, counted| {
        store.attempt_failed(made.id, number, counted, event(Action::TokenRefused))
    };

    assert_eq!(claim_at(START).await, Ok(Attempt::Claimed { number: 1 }));
    assert_eq!(claim_at(START).await, Ok(Attempt::Busy));
    // Not the shopper's fault: given back, once.
    failed(1, false).await.unwrap();
    failed(1, false).await.unwrap();
    let row = store.session(made.id).await.unwrap().unwrap();
    assert_eq!((row.attempts_left, row.attempts_made), (2, 1));

    assert_eq!(claim_at(START).await, Ok(Attempt::Claimed { number: 2 }));
    failed(2, true).await.unwrap();
    assert_eq!(claim_at(START).await, Ok(Attempt::Claimed { number: 3 }));
    assert_eq!(
        claim_at(START).await,
        Ok(Attempt::Busy),
        "it may be given back"
    );
    // Its process died: the lease runs out, and the budget with it.
    let later = START.plus_s(31);
    assert_eq!(claim_at(later).await, Ok(Attempt::Exhausted));
    assert_eq!(claim_at(START.plus_s(900)).await, Ok(Attempt::Expired));
    assert_eq!(
        bench.outcomes(Action::CardAttempted).await,
        [
            "success", "refused", "success", "success", "refused", "refused", "refused"
        ]
    );
    let unknown = attempt(SessionId::new(ENVIRONMENT, START));
    let unknown = store
        .claim_attempt(unknown, event(Action::CardAttempted))
        .await;
    assert_eq!(unknown, Ok(Attempt::Unknown));
}

#[tokio::test]
async fn a_late_failure_does_not_free_a_later_attempt() {
    let bench = Bench::new().await;
    let made = session();
    bench
        .store
        .begin_session(None, made.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    bench
        .store
        .claim_attempt(attempt(made.id), event(Action::CardAttempted))
        .await
        .unwrap();
    let second = AttemptClaim {
        now: START.plus_s(40),
        lease_until: START.plus_s(70),
        ..attempt(made.id)
    };
    let claimed = bench
        .store
        .claim_attempt(second, event(Action::CardAttempted))
        .await;
    assert_eq!(claimed, Ok(Attempt::Claimed { number: 2 }));
    bench
        .store
        .attempt_failed(made.id, 1, false, event(Action::TokenRefused))
        .await
        .unwrap();
    let row = bench.store.session(made.id).await.unwrap().unwrap();
    assert_eq!(row.busy_until, Some(START.plus_s(70)));
    assert_eq!(row.attempts_left, 0);
}

#[tokio::test]
async fn a_session_makes_one_token_and_says_which() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    // An attempt that outlived its lease while its repetition made the token: to a question that
    // is repeated the processor gives the same card, and that is the token's own.
    let late = token_of(token.session);
    assert_eq!(bench.keep(&late).await, Ok(TokenKept::Late));
    assert_eq!(bench.number("SELECT COUNT(*) FROM orphans").await, 0);
    let mut second = token_of(token.session);
    second.token.reference = mark(4);
    assert_eq!(bench.keep(&second).await, Ok(TokenKept::Late));
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM orphans").await,
        1,
        "what was vaulted for nothing is to be detached"
    );
    assert_eq!(
        bench.outcomes(Action::TokenCreated).await,
        ["success", "refused", "refused"]
    );
}

#[tokio::test]
async fn an_origin_is_awaited_while_a_session_of_it_lives() {
    let bench = Bench::new().await;
    let made = session();
    bench
        .store
        .begin_session(None, made.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    for (origin, now, awaited) in [
        ("https://shop.example", START, true),
        ("https://shop.example", made.expires_at, false),
        ("https://shop.example.evil", START, false),
        ("", START, false),
    ] {
        let answer = bench.store.origin_is_awaited(origin, now).await;
        assert_eq!(answer, Ok(awaited), "{origin}");
    }
}
