use super::*;

#[tokio::test]
async fn a_token_is_its_sessions_and_shows_no_sealed_value() {
    let bench = Bench::new().await;
    let made = bench.token().await;
    let row = bench
        .store
        .token(&account(), made.id)
        .await
        .unwrap()
        .unwrap();
    let from = bench.store.session(made.session).await.unwrap().unwrap();
    assert_eq!(from.token, Some(made.id));
    assert_eq!(from.token_key.as_deref(), Some("attempt-1"));
    assert_eq!(from.busy_until, None);
    assert_eq!(row.session, Some(made.session));
    assert_eq!(row.account, from.account);
    assert_eq!(row.customer_ref, from.customer_ref);
    assert_eq!((row.usage, row.metadata), (from.usage, from.metadata));
    assert_eq!(row.card, made.card);
    assert_eq!((row.status, row.deleted_at), (TokenStatus::Active, None));
    assert_eq!((row.version, row.updated_at), (1, START));
    let other = Account::try_from("brand".to_owned()).unwrap();
    assert_eq!(bench.store.token(&other, made.id).await, Ok(None));
}

#[tokio::test]
async fn a_data_key_is_kept_once_and_never_under_other_bytes() {
    let bench = Bench::new().await;
    let made = bench.token().await;
    let key = made.value.data_key.as_ref().clone();
    assert_eq!(bench.store.data_key(key.id).await, Ok(Some(key.clone())));

    let changed = WrappedDataKey {
        wrapped: vec![6; 97],
        ..key.clone()
    };
    let refused = keep_another(&bench, changed).await;
    assert_eq!(
        refused,
        Err(Failure::Inconsistent {
            table: "data_keys",
            column: "wrapped",
            row: key.id.to_string()
        })
    );
    assert_eq!(bench.number("SELECT COUNT(*) FROM tokens").await, 1);
    assert_eq!(bench.outcomes(Action::TokenCreated).await, ["success"]);
    assert_eq!(
        bench
            .store
            .data_key(DataKeyId::new(ENVIRONMENT, START))
            .await,
        Ok(None)
    );
}

#[tokio::test]
async fn a_data_key_that_was_wrapped_anew_meanwhile_is_still_that_key() {
    let bench = Bench::new().await;
    let key = bench.token().await.value.data_key.as_ref().clone();
    let elsewhere = WrappedDataKey {
        kek: KekId::try_from(format!("kek_{}", "0b".repeat(16))).unwrap(),
        wrapped: vec![6; 97],
        ..key.clone()
    };
    assert!(keep_another(&bench, elsewhere).await.is_ok());
    let stored = bench.store.data_key(key.id).await;
    assert_eq!(stored, Ok(Some(key)), "what is stored stays as it is");
}

/// Keeps a token of a further session whose value is sealed under that data key.
async fn keep_another(bench: &Bench, key: WrappedDataKey) -> Result<TokenKept, Failure> {
    let session = session();
    bench
        .store
        .begin_session(None, session.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    let mut made = token_of(session.id);
    made.token.value.data_key = Arc::new(key);
    bench.keep(&made).await
}

#[tokio::test]
async fn a_customers_tokens_come_newest_first_in_pages_without_tombstones() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(bench.token().await.id);
    }
    ids.sort_by_key(|id| std::cmp::Reverse(id.to_string()));
    bench.delete(ids.remove(1)).await;
    let store = &bench.store;
    let page = |after| async move {
        let rows = store.tokens_of(&account(), "customer-1", 2, after).await;
        rows.unwrap().iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, ids[..2]);
    assert_eq!(page(Some(ids[1])).await, ids[2..]);
    assert_eq!(page(Some(ids[2])).await, []);
    let other = store.tokens_of(&account(), "customer-2", 2, None).await;
    assert_eq!(other, Ok(vec![]));
}

#[tokio::test]
async fn a_waiting_token_is_activated_once() {
    let bench = Bench::new().await;
    let session = session();
    bench
        .store
        .begin_session(None, session.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    let mut token = token_of(session.id);
    token.token.status = TokenStatus::RequiresAction;
    let id = token.id;
    bench.keep(&token).await.unwrap();
    let begun = bench
        .store
        .begin_charge(claim("c"), charge_of(id), opening())
        .await;
    let Ok(Begun::New(work)) = begun else {
        panic!("{begun:?}");
    };
    assert_eq!(work.sealed.sealed, token.value.sealed);
    assert_eq!(work.sealed.status, TokenStatus::RequiresAction);
    assert_eq!(work.charge.setup_pending, None, "the processor is asked");
    for activated in [true, false] {
        let answer = bench
            .store
            .activate_token(
                &account(),
                id,
                (event(Action::TokenActivated), START.plus_s(4)),
                |_| news(),
            )
            .await;
        assert_eq!(answer, Ok(activated));
    }
    let row = bench.store.token(&account(), id).await.unwrap().unwrap();
    assert_eq!(row.status, TokenStatus::Active);
    assert_eq!((row.version, row.updated_at), (2, START.plus_s(4)));
    assert_eq!(
        bench.outcomes(Action::TokenActivated).await,
        ["success", "refused"]
    );
}

#[tokio::test]
async fn rows_do_not_show_what_is_the_merchants_when_printed() {
    let bench = Bench::new().await;
    let made = bench.token().await;
    let row = bench
        .store
        .token(&account(), made.id)
        .await
        .unwrap()
        .unwrap();
    let from = bench.store.session(made.session).await.unwrap().unwrap();
    let printed = format!("{row:?} {from:?} {:?}", session());
    for hidden in ["customer-1", "cus_1", "4242", "[9, 9", "shop.example"] {
        assert!(!printed.contains(hidden), "{hidden} in {printed}");
    }
}
