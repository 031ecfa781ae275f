//! What nobody ordered, on PostgreSQL, written by its owner.

use super::super::answers::{
    a_key_that_is_pointed_elsewhere_answers_nothing,
    a_session_answers_no_token_that_it_has_not_made,
};
use super::super::feed::nothing_in_the_way_of_an_event_stops_the_feed;
use super::super::obeyed::{
    a_forged_lease_keeps_nobody_out, no_customer_is_anothers_at_the_processor,
    no_forged_alert_is_told_or_swallows_one, nobody_is_stopped_or_let_go_by_a_forged_row,
    nobody_is_told_of_a_forged_incident, what_the_processor_did_not_sign_is_not_applied,
    work_that_nobody_asked_for_blocks_none,
};
use super::super::orders::{
    a_bad_row_does_not_stop_the_log, money_that_nobody_ordered_is_not_moved,
    no_card_is_detached_that_nobody_deleted, what_nobody_published_is_told_to_nobody,
};
use super::super::owners::{
    no_card_takes_a_place_that_nobody_gave_it, no_customer_is_answered_with_anothers_token,
};
use super::super::repetitions::{
    repetitions_end_before_the_processor_forgets_their_key,
    repetitions_have_a_budget_and_end_with_their_session,
};
use super::super::writers::nobody_writes_in_anothers_name;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_nobody_ordered_is_not_moved_on_postgres() {
    let Stage { server, store, .. } = stage().await;
    let mut owner = cluster::connect(&server, "owner").await;
    money_that_nobody_ordered_is_not_moved(&store, &mut owner).await;
    a_key_that_is_pointed_elsewhere_answers_nothing(&store, &mut owner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_ordered_is_neither_done_nor_told_on_postgres() {
    let Stage { server, store, .. } = stage().await;
    let mut owner = cluster::connect(&server, "owner").await;
    what_nobody_published_is_told_to_nobody(&store, &mut owner).await;
    no_card_is_detached_that_nobody_deleted(&store, &mut owner).await;
    no_customer_is_answered_with_anothers_token(&store, &mut owner).await;
    no_card_takes_a_place_that_nobody_gave_it(&store, &mut owner).await;
    a_session_answers_no_token_that_it_has_not_made(&store, &mut owner).await;
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
async fn nothing_in_the_way_of_an_event_stops_the_feed_on_postgres() {
    let Stage { server, store, .. } = stage().await;
    let mut owner = cluster::connect(&server, "owner").await;
    nothing_in_the_way_of_an_event_stops_the_feed(&store, &mut owner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repetitions_have_a_budget_and_an_end_on_postgres() {
    let stage = stage().await;
    repetitions_have_a_budget_and_end_with_their_session(&stage.store).await;
    repetitions_end_before_the_processor_forgets_their_key(&stage.store).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_ordered_is_not_obeyed_on_postgres() {
    let Stage { server, store, .. } = stage().await;
    let forms = Settings {
        orders: orders_of(None),
        ..settings_of(&server, "forms")
    };
    let forms = open(&forms).await.unwrap();
    let mut owner = cluster::connect(&server, "owner").await;
    let both = (&store, &forms);
    nobody_is_stopped_or_let_go_by_a_forged_row(both, &mut owner).await;
    work_that_nobody_asked_for_blocks_none(&store, &mut owner).await;
    a_forged_lease_keeps_nobody_out(&store, &mut owner).await;
    what_the_processor_did_not_sign_is_not_applied(both, &mut owner).await;
    no_customer_is_anothers_at_the_processor(&store, &mut owner).await;
    nobody_is_told_of_a_forged_incident(&store, &mut owner).await;
    no_forged_alert_is_told_or_swallows_one(both, &mut owner).await;
    // Nor can the capture plane say of an alert that it was told.
    let said = server.refusal(
        "forms",
        "INSERT INTO alerts (id, name, severity, subject, seen, next_step, node, window_start_ms, times, raised_at_ms, last_at_ms, routed_at_ms) VALUES ('a', 'b', 'page', 'c', 'd', 'e', 'f', 0, 1, 0, 0, 0)",
    );
    assert!(said.is_some_and(|said| said.contains("permission denied")));
}
