//! What nobody ordered, on PostgreSQL, written by its owner.

use super::super::orders::{
    a_bad_row_does_not_stop_the_log, money_that_nobody_ordered_is_not_moved,
    no_card_is_detached_that_nobody_deleted, what_nobody_published_is_told_to_nobody,
};
use super::super::owners::{
    no_card_takes_a_place_that_nobody_gave_it, no_customer_is_answered_with_anothers_token,
};
use super::super::writers::nobody_writes_in_anothers_name;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_nobody_ordered_is_not_moved_on_postgres() {
    let Stage { server, store, .. } = stage().await;
    let mut owner = cluster::connect(&server, "owner").await;
    money_that_nobody_ordered_is_not_moved(&store, &mut owner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_ordered_is_neither_done_nor_told_on_postgres() {
    let Stage { server, store, .. } = stage().await;
    let mut owner = cluster::connect(&server, "owner").await;
    what_nobody_published_is_told_to_nobody(&store, &mut owner).await;
    no_card_is_detached_that_nobody_deleted(&store, &mut owner).await;
    no_customer_is_answered_with_anothers_token(&store, &mut owner).await;
    no_card_takes_a_place_that_nobody_gave_it(&store, &mut owner).await;
    a_bad_row_does_not_stop_the_log(&store, &mut owner).await;
    // A place that it gives itself would never be taken from those that wait.
    for user in ["forms", "billing"] {
        let said = server.refusal(
            user,
            "INSERT INTO audit_pending (event_id, at_ms, leaf, seq) SELECT 'x', 0, decode(repeat('00', 32), 'hex'), 9000000000",
        );
        assert!(
            said.is_some_and(|said| said.contains("permission denied")),
            "{user}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_in_anothers_name_on_postgres() {
    let Stage { server, store, .. } = stage().await;
    let capture = Settings {
        orders: orders_of(None),
        ..settings_of(&server, "forms")
    };
    let capture = open(&capture).await.unwrap();
    let mut attacker = cluster::connect(&server, "forms").await;
    let mut owner = cluster::connect(&server, "owner").await;
    nobody_writes_in_anothers_name((&store, &capture), &mut attacker, &mut owner).await;
}
