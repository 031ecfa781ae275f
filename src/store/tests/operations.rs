//! An authorized charge is captured or canceled, once for each key.

use super::*;

async fn begin(
    store: &Store,
    claim: Claim,
    operation: NewOperation,
) -> Result<OperationBegun, Failure> {
    let requested = event(Action::ChargeCaptureRequested);
    store.begin_operation(claim, operation, requested).await
}

/// Begins what must begin.
async fn begun(store: &Store, key: &str, operation: NewOperation) -> (Lease, ChargeRow) {
    match begin(store, claim(key), operation).await {
        Ok(Begun::New((lease, charge))) => (lease, charge.into_claim()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_operation_is_written_down_once_and_one_is_under_way_at_a_time() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::RequiresCapture).await.id;
    let capture = || operation_of(id, ChargeOperation::Capture);
    let new = capture();
    let (lease, charge) = begun(store, "o", new.clone()).await;
    assert!(!lease.is_resumed());
    assert_eq!(charge, bench.row(id).await);
    let operation = charge.operation.unwrap();
    assert_eq!(operation.operation, ChargeOperation::Capture);
    assert_eq!(operation.amount, Some(1_250), "all of it");
    assert_eq!(operation.processor_key, new.processor_key);

    assert_eq!(
        begin(store, claim("o"), capture()).await,
        Ok(Begun::InFlight)
    );
    let other = begin(store, claim("p"), capture()).await;
    assert_eq!(other, Ok(Begun::InFlight), "under another key, too");
    let mismatch = Claim {
        request_hash: [1; 32],
        ..claim("o")
    };
    assert_eq!(begin(store, mismatch, capture()).await, Ok(Begun::Mismatch));

    let late = Claim {
        now: START.plus_s(60),
        ..claim("o")
    };
    let resumed = begin(store, late.clone(), capture()).await;
    let Ok(Begun::Resumed((lease, charge))) = resumed else {
        panic!("its lease has run out: {resumed:?}");
    };
    let operation = charge.operation.clone().unwrap();
    assert_eq!(
        operation.processor_key, new.processor_key,
        "of the first try"
    );
    let captured = outcome(ChargeStatus::Succeeded);
    settle(store, Authority::Holder(&lease), id, captured)
        .await
        .unwrap();
    let replayed = begin(store, late, capture()).await;
    assert!(matches!(replayed, Ok(Begun::Replayed(row)) if row.captured == 1_250));
    let keys = "SELECT COUNT(*) FROM idempotency_keys";
    assert_eq!(bench.number(keys).await, 2, "of the charge and the capture");
}

#[tokio::test]
async fn what_a_charge_does_not_allow_is_refused_and_keeps_no_key() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::RequiresCapture).await.id;
    let of = |amount| NewOperation {
        amount: Some(amount),
        ..operation_of(id, ChargeOperation::Capture)
    };
    for refused in [of(1_251), of(0), of(-1)] {
        let begun = begin(store, claim("o"), refused).await;
        let Ok(Begun::Refused(NoOperation::InvalidState(row))) = begun else {
            panic!("{begun:?}");
        };
        assert_eq!(row.id, id);
    }
    let unknown = operation_of(ChargeId::new(ENVIRONMENT, START), ChargeOperation::Cancel);
    let begun_unknown = begin(store, claim("o"), unknown).await;
    assert_eq!(begun_unknown, Ok(Begun::Refused(NoOperation::Unknown)));
    let keys = "SELECT COUNT(*) FROM idempotency_keys";
    assert_eq!(bench.number(keys).await, 1, "the charge's");
    let (_, row) = begun(store, "o", of(1_250)).await;
    assert_eq!(row.operation.unwrap().amount, Some(1_250));
    assert_eq!(
        bench.outcomes(Action::ChargeCaptureRequested).await,
        ["refused", "refused", "refused", "refused", "success"]
    );
}

#[tokio::test]
async fn an_abandoned_operation_frees_its_key_and_owes_a_look() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::RequiresCapture).await.id;
    let (first, charge) = begun(store, "o", operation_of(id, ChargeOperation::Capture)).await;
    let second = take_charges(store, 60).await.remove(0);
    assert_eq!(second.charge.operation, charge.operation);
    let abandon = async |lease| {
        let nothing = NothingDone::refused(lease);
        let done = event(Action::ChargeStepRefused);
        store
            .abandon_operation(nothing, charge.clone(), START.plus_s(61), done)
            .await
            .unwrap();
        bench.row(id).await.operation
    };
    let reviews = "SELECT COUNT(*) FROM charge_reviews";
    assert_eq!(abandon(first).await, charge.operation, "it is another's");
    assert_eq!(bench.number(reviews).await, 0);
    assert_eq!(abandon(second.lease).await, None);
    assert_eq!(bench.number(reviews).await, 1);
    assert!(take_charges(store, 90_000).await.is_empty());
    let (_lease, row) = begun(store, "o", operation_of(id, ChargeOperation::Cancel)).await;
    assert_eq!(row.operation.unwrap().amount, None);
}

#[tokio::test]
async fn a_cancellation_under_way_is_not_forgotten_for_what_is_no_end() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::RequiresAction).await.id;
    let cancel = operation_of(id, ChargeOperation::Cancel);
    let (lease, charge) = begun(store, "o", cancel).await;
    let moved = ChargeOutcome {
        redirect_url: Some("https://issuer.example/another".into()),
        ..outcome(ChargeStatus::RequiresAction)
    };
    for said in [moved, outcome(ChargeStatus::RequiresCapture)] {
        let status = said.status;
        let row = settle(store, Authority::Observer, id, said).await.unwrap();
        assert_eq!(row.status, status);
        assert_eq!(row.operation, charge.operation, "{status:?}");
        assert_eq!(
            (row.lease_until, row.lease_token),
            (charge.lease_until, charge.lease_token),
            "its owner is at work"
        );
    }
    let canceled = outcome(ChargeStatus::Canceled);
    let row = settle(store, Authority::Holder(&lease), id, canceled)
        .await
        .unwrap();
    assert_eq!((row.operation, row.lease_until), (None, None));
}
