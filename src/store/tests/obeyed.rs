//! Rows that a process obeys, applies or sends, written by whoever writes to the database.

use super::orders::{Attacker, quarantined};
use super::*;
use crate::token::{BlockId, IncidentId};

const CLIENT: &str = "client spiffe://shop.example/billing";

fn block(subject: &str) -> BlockRow {
    BlockRow {
        id: BlockId::new(ENVIRONMENT, START),
        rule: "address_failures".into(),
        subject: subject.into(),
        action: "block".into(),
        node: "pay-1".into(),
        placed_at: START,
        ends_at: None,
        lifted_at: None,
        lifted_by: None,
    }
}

fn alert_about(subject: &str) -> NewAlert {
    NewAlert {
        id: AlertId::new(ENVIRONMENT, START),
        alert: Alert::new(AlertName::CardTesting, subject, "11 of 12"),
        node: "pay-1".into(),
        window_ms: 3_600_000,
        at: START,
    }
}

async fn place(store: &Store, block: &BlockRow) -> Result<(), Failure> {
    let placed = (block.clone(), event(Action::WatchActed));
    let alert = alert_about(&block.subject);
    store.place_block(Some(placed), alert).await
}

/// Nobody is stopped, and nobody let go, by a row that none of ours wrote.
pub(super) async fn nobody_is_stopped_or_let_go_by_a_forged_row(
    (store, capture): (&Store, &Store),
    attacker: &mut impl Attacker,
) {
    let honest = [block("address 192.0.2.7"), block("network 192.0.2.0/24")];
    place(store, &honest[0]).await.unwrap();
    place(capture, &honest[1]).await.unwrap();
    // The capture plane stops no client, whatever it is told.
    let refused = place(capture, &block(CLIENT)).await;
    assert!(matches!(refused, Err(Failure::Illegal(_))), "{refused:?}");
    let now = START.unix_ms();
    let copied = format!(
        "(SELECT order_proof FROM watch_blocks WHERE id = '{}')",
        honest[1].id
    );
    for (id, proof) in [
        ("no_id_of_ours".to_owned(), "NULL"),
        (BlockId::new(ENVIRONMENT, START).to_string(), "NULL"),
        (BlockId::new(ENVIRONMENT, START).to_string(), &copied),
    ] {
        attacker
            .write(&format!(
                "INSERT INTO watch_blocks (id, rule, subject, action, node, placed_at_ms, order_proof)
                 VALUES ('{id}', 'client_opens', '{CLIENT}', 'block', 'pay-1', {now}, {proof})"
            ))
            .await;
    }
    let lifted = attacker
        .write(&format!(
            "UPDATE watch_blocks SET lifted_at_ms = placed_at_ms, lifted_by = 'uid 0' WHERE id = '{}'",
            honest[0].id
        ))
        .await;
    assert_eq!(lifted, 1);
    let believed = async |store: &Store| {
        let mut blocks = store.blocks(START.plus_s(60)).await.unwrap();
        blocks.sort_by(|one, other| one.subject.cmp(&other.subject));
        blocks
    };
    // The plane without a quarantine passes them by; the other takes them out.
    assert_eq!(believed(capture).await, honest);
    quarantined(attacker, "watch_blocks", 0).await;
    assert_eq!(believed(store).await, honest);
    quarantined(attacker, "watch_blocks", 4).await;
    assert_eq!(believed(store).await, honest);
    quarantined(attacker, "watch_blocks", 4).await;
    let left = "SELECT COUNT(*) FROM watch_blocks WHERE lifted_at_ms IS NULL";
    assert_eq!(attacker.count(left).await, 2);
    // Who is let go by an operator is let go on both planes.
    let let_go = store.lift_blocks(
        honest[0].subject.clone(),
        "uid 0".into(),
        event(Action::WatchLifted),
        START.plus_s(1),
    );
    assert_eq!(let_go.await, Ok(1));
    for store in [store, capture] {
        assert_eq!(believed(store).await, honest[1..]);
    }
    nobody_is_counted_by_a_forged_row((store, capture), attacker).await;
}

fn bucket(subject: &str, hits: u32) -> BucketRow {
    BucketRow {
        process: "one".into(),
        rule: "address_failures".into(),
        subject: subject.into(),
        bucket_ms: START.unix_ms(),
        events: 12,
        hits,
    }
}

async fn nobody_is_counted_by_a_forged_row(
    (store, capture): (&Store, &Store),
    attacker: &mut impl Attacker,
) {
    let subjects = ["address 192.0.2.7", "address 192.0.2.8"];
    let rows = subjects.map(|subject| bucket(subject, 1)).to_vec();
    capture.share_buckets(rows, START).await.unwrap();
    let of_clients = capture.share_buckets(vec![bucket(CLIENT, 1)], START).await;
    assert!(matches!(of_clients, Err(Failure::Illegal(_))));
    let (now, far) = (START.unix_ms(), START.plus_s(9_999).unix_ms());
    attacker
        .write(&format!(
            "INSERT INTO watch_buckets (process, rule, subject, bucket_ms, events, hits, updated_at_ms, order_proof)
             SELECT 'two', 'client_opens', '{CLIENT}', {now}, 9000, 9000, {far}, order_proof FROM watch_buckets LIMIT 1"
        ))
        .await;
    attacker
        .write(&format!(
            "UPDATE watch_buckets SET events = 5000000000, hits = 5000000000 WHERE subject = '{}'",
            subjects[1]
        ))
        .await;
    for store in [capture, store] {
        let heard = store.buckets_of_others("three".into(), START).await;
        assert_eq!(heard, Ok(vec![bucket(subjects[0], 1)]));
    }
    quarantined(attacker, "watch_buckets", 2).await;
    let left = "SELECT COUNT(*) FROM watch_buckets";
    assert_eq!(attacker.count(left).await, 1);
}

/// What none of ours asked for is not worked on, and keeps nothing of ours from it.
pub(super) async fn work_that_nobody_asked_for_blocks_none(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let now = START.unix_ms();
    let forged = |id: &str, kind: &str, created: i64| {
        format!(
            "INSERT INTO key_jobs (id, kind, state, after_id, done, total, rows_per_s_max, lease_until_ms, created_at_ms)
             VALUES ('{id}', '{kind}', 'running', '', 0, 1, 1, 0, {created})"
        )
    };
    let ask = async |work| {
        let asked = event(Action::KeysWorkAsked);
        store.ask_for(work, 64, START, asked).await
    };
    // In the way of what is asked for, and where nothing is asked for.
    attacker
        .write(&forged("forged-1", "rewrap", now.saturating_add(9)))
        .await;
    attacker.write(&forged("forged-2", "reseal", 0)).await;
    assert_eq!(ask(KeyWork::Rewrap).await, Ok(true));
    quarantined(attacker, "key_jobs", 1).await;
    let take = async || {
        let until = START.plus_s(15);
        store.take_key_job("pay-1".into(), START, until).await
    };
    let ours = take().await.unwrap().unwrap();
    assert_eq!((ours.work, ours.rows_per_s_max), (KeyWork::Rewrap, 64));
    assert_eq!(take().await, Ok(None));
    quarantined(attacker, "key_jobs", 2).await;
    let ended = "SELECT COUNT(*) FROM key_jobs WHERE state = 'failed' AND failure IS NOT NULL";
    assert_eq!(attacker.count(ended).await, 2);
    // Nor does it hide ours.
    let known: Vec<_> = store.key_jobs().await.unwrap();
    assert_eq!(known, std::slice::from_ref(&ours));
    // Ours with another pace is nobody's.
    let faster =
        "UPDATE key_jobs SET rows_per_s_max = 1000000, lease_until_ms = 0 WHERE state = 'running'";
    assert_eq!(attacker.write(faster).await, 1);
    assert_eq!(take().await, Ok(None));
    quarantined(attacker, "key_jobs", 3).await;
}

/// A lease that none of ours took keeps nobody from replacing a key; one of ours does until it ends.
pub(super) async fn a_forged_lease_keeps_nobody_out(store: &Store, attacker: &mut impl Attacker) {
    let operator = |run: &str, seconds: u32| KeyOperator {
        run: run.into(),
        by: "uid 0".into(),
        node: "pay-1".into(),
        began_at: START,
        lease_until: START.plus_s(seconds),
    };
    let far = START.plus_s(999_999).unix_ms();
    attacker
        .write(&format!(
            "INSERT INTO key_rotations (id, run, by_whom, node, began_at_ms, lease_until_ms)
             VALUES ('rotation', 'forged', 'uid 0', 'pay-9', 0, {far})"
        ))
        .await;
    let first = store.lease_rotation(operator("one", 15), START).await;
    assert_eq!(first, Ok(None));
    quarantined(attacker, "key_rotations", 1).await;
    let rival = store.lease_rotation(operator("two", 15), START).await;
    assert_eq!(rival, Ok(Some(operator("one", 15))));
    // Held longer, and then left to lapse by a command that was killed.
    let held = store.lease_rotation(operator("one", 20), START.plus_s(5));
    assert_eq!(held.await, Ok(None));
    let rival = store.lease_rotation(operator("two", 34), START.plus_s(19));
    assert_eq!(rival.await, Ok(Some(operator("one", 20))));
    let rival = store.lease_rotation(operator("two", 35), START.plus_s(20));
    assert_eq!(rival.await, Ok(None));
    // Who has lost it releases nothing of the other's.
    store.release_rotation("one".into()).await.unwrap();
    let kept = "SELECT COUNT(*) FROM key_rotations WHERE run = 'two'";
    assert_eq!(attacker.count(kept).await, 1);
    store.release_rotation("two".into()).await.unwrap();
    assert_eq!(attacker.count(kept).await, 0);
    quarantined(attacker, "key_rotations", 1).await;
}

/// An alert that somebody put there, as told already, swallows none of ours, and none is told that
/// none of ours raised.
pub(super) async fn no_forged_alert_is_told_or_swallows_one(
    (store, capture): (&Store, &Store),
    attacker: &mut impl Attacker,
) {
    let start = START
        .unix_ms()
        .div_euclid(3_600_000)
        .saturating_mul(3_600_000);
    let forged = |id: AlertId, subject: &str, routed: &str| {
        format!(
            "INSERT INTO alerts (id, name, severity, subject, seen, next_step, node, window_start_ms, times, raised_at_ms, last_at_ms, routed_at_ms)
             VALUES ('{id}', 'card_testing', 'page', '{subject}', 'forged', 'none', 'pay-1', {start}, 1, 0, 0, {routed})"
        )
    };
    let [first, second] = [(); 2].map(|()| AlertId::new(ENVIRONMENT, START));
    attacker
        .write(&forged(first, "address 192.0.2.9", "1"))
        .await;
    attacker
        .write(&forged(second, "address 192.0.2.1", "NULL"))
        .await;
    let told_first = capture.raise(alert_about("address 192.0.2.9")).await;
    assert_eq!(told_first, Ok(true));
    let again = store.raise(alert_about("address 192.0.2.9")).await;
    assert_eq!(again, Ok(false), "both planes know it for one");
    attacker
        .write(&format!(
            "INSERT INTO alert_deliveries (alert_id, destination, status, attempts, lease_until_ms, updated_at_ms)
             VALUES ('{first}', 'pager', 'due', 5000000000, 0, 0)"
        ))
        .await;
    let told = async || {
        store
            .route_alerts(vec!["pager".into()], 100, START)
            .await
            .unwrap();
        let take = Take {
            scope: "pager".into(),
            limit: 100,
            ..due_at(7_200)
        };
        let due = store.lease_alerts(take).await.unwrap();
        let seen = due.into_iter().map(|due| due.raised.subject);
        seen.collect::<Vec<String>>()
    };
    let mut subjects = told().await;
    // The page of what was quarantined is raised on the way.
    subjects.extend(told().await);
    assert!(subjects.contains(&"address 192.0.2.9".to_owned()));
    assert!(subjects.contains(&"alerts".to_owned()), "{subjects:?}");
    assert!(!subjects.contains(&"address 192.0.2.1".to_owned()));
    quarantined(attacker, "alerts", 2).await;
    // Nor what was changed after it was raised.
    store.raise(alert_about("address 192.0.2.2")).await.unwrap();
    let harmless = "UPDATE alerts SET seen = 'nothing' WHERE subject = 'address 192.0.2.2'";
    assert_eq!(attacker.write(harmless).await, 1);
    assert!(told().await.is_empty());
    quarantined(attacker, "alerts", 3).await;
}

/// No dispute begins, and no card changes, by an event that the processor did not sign.
pub(super) async fn what_the_processor_did_not_sign_is_not_applied(
    (store, capture): (&Store, &Store),
    attacker: &mut impl Attacker,
) {
    let receive = async |id: &str| {
        let signed = ProcessorEvent {
            account: account(),
            id: id.into(),
            created_at: START,
            now: START,
            report: Some(Report::Dispute {
                payment: "pi_1".into(),
                dispute: "dp_1".into(),
                amount: 1_250,
                currency: "eur".into(),
                reason: "fraudulent".into(),
                status: "needs_response".into(),
                open: true,
            }),
        };
        let taken = event(Action::NoticeTaken);
        let received = capture.receive_processor_event(signed, taken).await;
        received.unwrap()
    };
    assert_eq!(receive("evt_1").await, Received::New);
    assert_eq!(receive("evt_2").await, Received::New);
    let columns = "account, status, deliveries, tries, lease_until_ms, created_at_ms, received_at_ms, last_seen_at_ms, body, order_proof";
    attacker
        .write(&format!(
            "INSERT INTO processor_events (id, {columns}) SELECT 'evt_3', {columns} FROM processor_events WHERE id = 'evt_1'"
        ))
        .await;
    let decided = "UPDATE processor_events SET body = REPLACE(body, 'needs_response', 'lost'), tries = 5000000000 WHERE id = 'evt_2'";
    assert_eq!(attacker.write(decided).await, 1);
    let due = store.take_due_events(due_at(60)).await.unwrap();
    let ids: Vec<&str> = due.iter().map(|due| due.id.as_str()).collect();
    assert_eq!(ids, ["evt_1"]);
    quarantined(attacker, "processor_events", 2).await;
    // The real one of that name still comes.
    assert_eq!(receive("evt_2").await, Received::New);
    let due = store.take_due_events(due_at(60)).await.unwrap();
    assert_eq!(due.len(), 1);
}

/// No card is vaulted for somebody else's customer at the processor.
pub(super) async fn no_customer_is_anothers_at_the_processor(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let whose = account();
    let remember = async |customer: &str, offered: &str| {
        let kept = store
            .remember_customer(&whose, customer, offered, START)
            .await;
        kept.unwrap()
    };
    assert_eq!(remember("victim", "cus_victim").await, "cus_victim");
    assert_eq!(remember("shopper", "cus_shopper").await, "cus_shopper");
    attacker
        .write("UPDATE processor_customers SET processor_customer = 'cus_thief' WHERE customer_ref = 'victim'")
        .await;
    assert_eq!(store.processor_customer(&whose, "victim").await, Ok(None));
    quarantined(attacker, "processor_customers", 1).await;
    let known = store.processor_customer(&whose, "shopper").await;
    assert_eq!(known, Ok(Some("cus_shopper".into())));
    assert_eq!(remember("victim", "cus_new").await, "cus_new");
    assert_eq!(remember("victim", "cus_other").await, "cus_new");
    let known = store.processor_customer(&whose, "victim").await;
    assert_eq!(known, Ok(Some("cus_new".into())));
}

/// No customer is told of an incident that no operator opened.
pub(super) async fn nobody_is_told_of_a_forged_incident(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let [ours, forged] = [(); 2].map(|()| IncidentId::new(ENVIRONMENT, START));
    let new = NewIncident {
        id: ours,
        title: "A stolen key".into(),
        by: "uid 0".into(),
        at: START,
    };
    let opened = event(Action::IncidentOpened);
    store.open_incident(new, opened).await.unwrap();
    let title = async |id| {
        let incident = store.opened_incident(id).await.unwrap();
        incident.map(|incident| incident.title.clone())
    };
    assert_eq!(title(ours).await.as_deref(), Some("A stolen key"));
    attacker
        .write(&format!(
            "INSERT INTO incidents (id, title, opened_by, opened_at_ms, lease_until_ms, order_proof)
             SELECT '{forged}', 'Call +1 555 0100', opened_by, opened_at_ms, 0, order_proof FROM incidents"
        ))
        .await;
    assert_eq!(title(forged).await, None);
    attacker
        .write(&format!(
            "UPDATE incidents SET title = 'Pay at evil.example' WHERE id = '{ours}'"
        ))
        .await;
    assert_eq!(title(ours).await, None);
    quarantined(attacker, "incidents", 2).await;
}

#[tokio::test]
async fn what_nobody_ordered_is_not_obeyed_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    let capture = Settings {
        orders: orders_of(None),
        ..bench.settings.clone()
    };
    let capture = open(&capture).await.unwrap();
    let both = (&bench.store, &capture);
    nobody_is_stopped_or_let_go_by_a_forged_row(both, &mut attacker).await;
    work_that_nobody_asked_for_blocks_none(&bench.store, &mut attacker).await;
    a_forged_lease_keeps_nobody_out(&bench.store, &mut attacker).await;
    what_the_processor_did_not_sign_is_not_applied(both, &mut attacker).await;
    no_customer_is_anothers_at_the_processor(&bench.store, &mut attacker).await;
    nobody_is_told_of_a_forged_incident(&bench.store, &mut attacker).await;
    no_forged_alert_is_told_or_swallows_one(both, &mut attacker).await;
    capture.close().await.unwrap();
}
