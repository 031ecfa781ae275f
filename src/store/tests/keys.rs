//! An idempotency key outlives its time while what it made is open.

use super::*;
use crate::seal::Canary;

/// Seconds after which every claim of these tests has expired.
const LATE_S: u32 = 2 * 86_400;

fn later(key: &str) -> Claim {
    let now = START.plus_s(LATE_S);
    Claim {
        now,
        expires_at: now.plus_s(86_400),
        ..claim(key)
    }
}

async fn begin_refund(store: &Store, claim: Claim, charge: ChargeId) -> RefundBegun {
    let refund = NewRefund {
        lease_until: claim.now.plus_s(60),
        ..refund_of(charge, 250)
    };
    store
        .begin_refund(claim, refund, event(Action::RefundRequested))
        .await
        .unwrap()
}

pub(super) async fn a_refunds_key_stays_until_it_is_settled(store: &Store) {
    let charge = settled_on(store, ChargeStatus::Succeeded).await.id;
    let Begun::New(first) = begin_refund(store, claim("r"), charge).await else {
        panic!("the first of its key is new");
    };
    // The key of the charge, which is over, is all that goes.
    assert_eq!(store.sweep(START.plus_s(LATE_S)).await, Ok(1));
    assert_eq!(store.sweep(START.plus_s(LATE_S)).await, Ok(0));

    let other = Claim {
        request_hash: [1; 32],
        ..later("r")
    };
    assert_eq!(begin_refund(store, other, charge).await, Begun::Mismatch);
    let Begun::Resumed(work) = begin_refund(store, later("r"), charge).await else {
        panic!("past its time, but not over: it is the same refund");
    };
    assert_eq!(work.refund.id, first.refund.id);
    let again = begin_refund(store, later("r"), charge).await;
    assert_eq!(again, Begun::InFlight);

    let whose = account();
    store
        .settle_refund(
            &work.lease,
            (&whose, work.refund.id),
            refunded(RefundStatus::Succeeded),
            event(Action::RefundSettled),
            |_| news(),
        )
        .await
        .unwrap();
    assert_eq!(store.sweep(START.plus_s(LATE_S)).await, Ok(1));
    let anew = begin_refund(store, later("r"), charge).await;
    let Begun::New(second) = anew else {
        panic!("a key whose work is over may be used anew: {anew:?}");
    };
    assert_ne!(second.refund.id, first.refund.id);
    let charge = store.charge(&whose, charge).await.unwrap().unwrap();
    assert_eq!(charge.refunded, 500);
}

pub(super) async fn a_key_past_its_time_is_entered_anew_without_a_sweep(store: &Store) {
    let charge = settled_on(store, ChargeStatus::Succeeded).await.id;
    let Begun::New(first) = begin_refund(store, claim("r"), charge).await else {
        panic!("the first of its key is new");
    };
    let whose = (&account(), first.refund.id);
    store
        .settle_refund(
            &first.lease,
            whose,
            refunded(RefundStatus::Succeeded),
            event(Action::RefundSettled),
            |_| news(),
        )
        .await
        .unwrap();
    let again = begin_refund(store, claim("r"), charge).await;
    assert!(matches!(again, Begun::Replayed(row) if row.id == first.refund.id));
    let anew = Claim {
        request_hash: [1; 32],
        ..later("r")
    };
    let Begun::New(second) = begin_refund(store, anew.clone(), charge).await else {
        panic!("its time is over");
    };
    let again = begin_refund(store, later("r"), charge).await;
    assert_eq!(again, Begun::Mismatch, "it stands for the new request");
    let late = Claim {
        now: anew.now.plus_s(60),
        ..anew
    };
    let resumed = begin_refund(store, late, charge).await;
    assert!(matches!(resumed, Begun::Resumed(work) if work.refund.id == second.refund.id));
}

pub(super) async fn a_charges_key_stays_while_it_is_processing(store: &Store) {
    let token = new(token_on(store, |_| {}).await);
    let charging = charging_on(store, token, "c").await;
    assert_eq!(store.sweep(START.plus_s(LATE_S)).await, Ok(0));
    let again = store
        .begin_charge(later("c"), charge_of(token), opening())
        .await
        .unwrap();
    assert!(matches!(again, Begun::Resumed(work) if work.charge.id == charging.id));
    let said = outcome(ChargeStatus::Succeeded);
    settle(store, Authority::Observer, charging.id, said)
        .await
        .unwrap();
    assert_eq!(store.sweep(START.plus_s(LATE_S)).await, Ok(1));
}

pub(super) async fn an_operations_key_stays_while_it_is_under_way(store: &Store) {
    let charge = settled_on(store, ChargeStatus::RequiresCapture).await.id;
    let begin = |claim: Claim| {
        let operation = NewOperation {
            lease_until: claim.now.plus_s(60),
            ..operation_of(charge, ChargeOperation::Capture)
        };
        store.begin_operation(claim, operation, event(Action::ChargeCaptureRequested))
    };
    let first = begin(claim("o")).await;
    assert!(matches!(first, Ok(Begun::New(_))), "{first:?}");
    assert_eq!(
        store.sweep(START.plus_s(LATE_S)).await,
        Ok(1),
        "the charge's"
    );
    let Ok(Begun::Resumed((lease, row))) = begin(later("o")).await else {
        panic!("past its time, but not over: it is the same operation");
    };
    assert_eq!(row.id, charge);
    let captured = outcome(ChargeStatus::Succeeded);
    settle(store, Authority::Holder(&lease), charge, captured)
        .await
        .unwrap();
    assert_eq!(store.sweep(START.plus_s(LATE_S)).await, Ok(1));
}

fn version(version: u32, jws: &str) -> SignedManifest {
    SignedManifest {
        version,
        jws: jws.to_owned(),
    }
}

fn canary() -> (Canary, Event) {
    let value = sealed_value();
    let kek = value.data_key.kek.clone();
    (Canary { kek, value }, event(Action::KeysCanaryMade))
}

pub(super) async fn a_lost_manifest_version_leaves_no_canary_and_no_data_key(store: &Store) {
    let put = async |versions: Vec<SignedManifest>| {
        let changed = event(Action::KeysManifestChanged);
        store
            .put_manifest(versions, Some(canary()), START, changed)
            .await
    };
    let both = || vec![version(1, "first"), version(2, "second")];
    let keys = async || store.data_keys(String::new(), 1_000).await.unwrap();
    assert_eq!(put(both()).await, Ok(true));
    assert_eq!(store.canaries().await.unwrap().len(), 1);
    let before = keys().await;

    // Who built on no manifest, and who built on the first, are both too late.
    let rival = || vec![version(2, "rival")];
    assert_eq!(put(both()).await, Ok(false));
    assert_eq!(put(rival()).await, Ok(false));
    assert_eq!(keys().await, before);
    // A later version that is there although the one before it is not: nothing is half written.
    assert_eq!(put(vec![version(4, "fourth")]).await, Ok(true));
    let before = keys().await;
    let gap = put(vec![version(3, "third"), version(4, "rival")]).await;
    assert_eq!(
        gap,
        Err(Failure::Inconsistent {
            table: "key_manifests",
            column: "version",
            row: "4".to_owned(),
        })
    );
    assert_eq!(keys().await, before);
    let newest = store.manifest().await.unwrap();
    assert_eq!(newest, Some((4, "fourth".to_owned())));
}

#[tokio::test]
async fn a_lost_manifest_version_leaves_nothing_on_sqlite() {
    let bench = Bench::new().await;
    a_lost_manifest_version_leaves_no_canary_and_no_data_key(&bench.store).await;
    let third = "SELECT COUNT(*) FROM key_manifests WHERE version = 3";
    assert_eq!(bench.number(third).await, 0);
    let changed = bench.outcomes(Action::KeysManifestChanged).await;
    assert_eq!(changed, ["success", "refused", "refused", "success"]);
    let made = bench.outcomes(Action::KeysCanaryMade).await;
    assert_eq!(made, ["success", "success"]);
}

#[tokio::test]
async fn a_key_outlives_the_open_resource_that_it_made() {
    a_refunds_key_stays_until_it_is_settled(&Bench::new().await.store).await;
    a_key_past_its_time_is_entered_anew_without_a_sweep(&Bench::new().await.store).await;
    a_charges_key_stays_while_it_is_processing(&Bench::new().await.store).await;
    an_operations_key_stays_while_it_is_under_way(&Bench::new().await.store).await;
}

#[tokio::test]
async fn what_is_abandoned_after_its_key_is_gone_is_abandoned_all_the_same() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let charge = settled_on(store, ChargeStatus::Succeeded).await.id;
    let Begun::New(work) = begin_refund(store, claim("r"), charge).await else {
        panic!("the first of its key is new");
    };
    assert_eq!(bench.row(charge).await.refunded, 250);
    bench.run("DELETE FROM idempotency_keys").await.unwrap();
    let nothing = NothingDone::refused(work.lease);
    let done = (event(Action::RefundSettled), START.plus_s(LATE_S));
    let abandoned = store
        .abandon_refund(nothing, work.refund.into_claim(), done, |_| news())
        .await;
    assert_eq!(abandoned, Ok(true));
    assert_eq!(bench.row(charge).await.refunded, 0, "its amount is free");
    let anew = begin_refund(store, later("r"), charge).await;
    assert!(matches!(anew, Begun::New(_)), "{anew:?}");
}
