use super::*;
use crate::alerts::{Alert, AlertName};
use crate::token::AlertId;

const HOUR_MS: u64 = 3_600_000;

fn alert(subject: &str, at: Timestamp) -> NewAlert {
    NewAlert {
        id: AlertId::new(ENVIRONMENT, at),
        alert: Alert::new(
            AlertName::CardTesting,
            subject,
            "12 of 14 cards were declined",
        ),
        node: "pay-1".to_owned(),
        window_ms: HOUR_MS,
        at,
    }
}

fn take(now: Timestamp) -> Take {
    Take {
        scope: "pager".to_owned(),
        now,
        until: now.plus_s(60),
        limit: 10,
    }
}

#[tokio::test]
async fn two_nodes_that_see_the_same_raise_one_alert_in_each_window() {
    let bench = Bench::new().await;
    let other = open(&bench.settings).await.unwrap();
    let mut raised = Vec::new();
    for (minute, store) in [
        (0, &bench.store),
        (1, &other),
        (2, &bench.store),
        (61, &other),
    ] {
        let at = START.plus_s(minute * 60);
        raised.push(store.raise(alert("address 192.0.2.7", at)).await.unwrap());
    }
    let another = store_raise(&bench, "address 192.0.2.8").await;
    assert_eq!((raised, another), (vec![true, false, false, true], true));
    assert_eq!(bench.number("SELECT COUNT(*) FROM alerts").await, 3);
    assert_eq!(bench.number("SELECT MAX(times) FROM alerts").await, 3);

    // Each is routed once, and owed to each destination.
    let names = || vec!["pager".to_owned(), "ops@example.com".to_owned()];
    for store in [&bench.store, &other, &bench.store] {
        store.route_alerts(names(), 2, START).await.unwrap();
    }
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM alert_deliveries").await,
        6
    );
    let first = bench.store.lease_alerts(take(START)).await.unwrap();
    let second = other.lease_alerts(take(START)).await.unwrap();
    assert_eq!(
        (first.len(), second.len()),
        (3, 0),
        "whoever leases them tells them"
    );
    let told = &first[0].raised;
    assert_eq!(told.seen, "12 of 14 cards were declined");
    assert_eq!(told.next_step, AlertName::CardTesting.next_step());
    other.close().await.unwrap();
}

async fn store_raise(bench: &Bench, subject: &str) -> bool {
    bench.store.raise(alert(subject, START)).await.unwrap()
}

#[tokio::test]
async fn an_alert_is_told_again_until_it_is_taken_or_given_up() {
    let bench = Bench::new().await;
    store_raise(&bench, "shop https://shop.example").await;
    let store = &bench.store;
    let pager = || "pager".to_owned();
    store.route_alerts(vec![pager()], 10, START).await.unwrap();
    let end = |due: &DueAlert, taken, next| AlertTold {
        alert: due.raised.id,
        destination: pager(),
        answer: "503".to_owned(),
        taken,
        next,
        at: START,
    };
    let take_at = async |now| store.lease_alerts(take(now)).await.unwrap();
    let due = take_at(START).await.remove(0);
    let again = START.plus_s(5);
    let told = end(&due, false, Some(again));
    store.alert_told(due.lease, told).await.unwrap();
    assert!(take_at(START).await.is_empty());
    let due = take_at(again).await.remove(0);
    assert_eq!(due.attempts, 1);
    let told = end(&due, false, None);
    store.alert_told(due.lease, told).await.unwrap();
    assert!(take_at(START.plus_s(100_000)).await.is_empty());
    let given_up =
        "SELECT COUNT(*) FROM alert_deliveries WHERE status = 'given_up' AND attempts = 2";
    assert_eq!(bench.number(given_up).await, 1);
}

#[tokio::test]
async fn an_alert_that_another_node_delivers_is_left_to_it() {
    let bench = Bench::new().await;
    store_raise(&bench, "shop https://shop.example").await;
    let store = &bench.store;
    let destinations = vec!["pager".to_owned()];
    store.route_alerts(destinations, 10, START).await.unwrap();
    let slow = store.lease_alerts(take(START)).await.unwrap().remove(0);
    let later = START.plus_s(60);
    let second = store.lease_alerts(take(later)).await.unwrap().remove(0);
    let told = |due: &DueAlert, taken| AlertTold {
        alert: due.raised.id,
        destination: "pager".to_owned(),
        answer: "200".to_owned(),
        taken,
        next: None,
        at: later,
    };
    let late = told(&slow, false);
    store.alert_told(slow.lease, late).await.unwrap();
    let status = "SELECT COUNT(*) FROM alert_deliveries WHERE status = 'due' AND attempts = 0";
    assert_eq!(bench.number(status).await, 1, "a lost lease ends nothing");
    let done = told(&second, true);
    store.alert_told(second.lease, done).await.unwrap();
    let status = "SELECT COUNT(*) FROM alert_deliveries WHERE status = 'delivered'";
    assert_eq!(bench.number(status).await, 1);
}
