//! The feed's order is the order of what happened, whatever the clocks of the nodes say.

use super::orders::{Attacker, quarantined};
use super::*;

/// The same id as one that was made so many seconds after the start.
fn news_at(seconds: u32, kind: &str) -> News {
    let at = START.plus_s(seconds);
    News {
        id: EventId::new(ENVIRONMENT, at),
        kind: kind.into(),
        at,
        ..news()
    }
}

pub(super) async fn one_objects_events_keep_their_order_on_any_clocks(store: &Store) {
    let token = new(token_on(store, |_| {}).await);
    let charging = charging_on(store, token, "c").await;
    // The second node's clock is behind: its id sorts before the first one's.
    for (status, seconds) in [
        (ChargeStatus::RequiresCapture, 100),
        (ChargeStatus::Succeeded, 0),
    ] {
        let announce = Announce {
            publish: move |row: &ChargeRow| news_at(seconds, row.status.name()),
            alert,
        };
        store
            .settle_charge(
                Authority::Observer,
                (&account(), charging.id),
                outcome(status),
                event(Action::ChargeSettled),
                announce,
            )
            .await
            .unwrap();
    }
    assert_eq!(store.number_news(Vec::new(), 100, START).await, Ok(3));
    let feed = store.news(&account(), None, 100).await.unwrap().unwrap();
    let kinds: Vec<_> = feed.iter().map(|news| news.kind.as_str()).collect();
    assert_eq!(kinds, ["test.happened", "requires_capture", "succeeded"]);
    assert!(feed[2].id.to_string() < feed[1].id.to_string());
    let rest = store.news(&account(), Some(feed[1].id), 100).await;
    assert_eq!(rest.unwrap().unwrap(), feed[2..]);
}

#[tokio::test]
async fn events_of_one_object_keep_their_order_with_ids_of_different_clocks() {
    one_objects_events_keep_their_order_on_any_clocks(&Bench::new().await.store).await;
}

#[tokio::test]
async fn a_delivery_that_another_node_makes_is_left_to_it() {
    let bench = Bench::new().await;
    let store = &bench.store;
    bench.token().await;
    let subscriber = Subscriber {
        account: account(),
        endpoint: "shop".into(),
        kinds: None,
    };
    let numbered = store.number_news(vec![subscriber], 10, START).await;
    assert_eq!(numbered, Ok(1));
    let take_at = async |seconds| {
        let take = Take {
            scope: "shop".into(),
            ..due_at(seconds)
        };
        store.lease_deliveries(take).await.unwrap().remove(0)
    };
    let told = |due: &Due, taken| Told {
        event: due.news.id,
        endpoint: "shop".into(),
        answer: "200".into(),
        taken,
        next: None,
        at: START,
    };
    let slow = take_at(0).await;
    let second = take_at(60).await;
    let late = told(&slow, false);
    store.delivered(slow.lease, late).await.unwrap();
    let due = "SELECT COUNT(*) FROM deliveries WHERE status = 'due' AND attempts = 0";
    assert_eq!(bench.number(due).await, 1, "a lost lease ends nothing");
    let done = told(&second, true);
    store.delivered(second.lease, done).await.unwrap();
    let due = "SELECT COUNT(*) FROM deliveries WHERE status = 'delivered'";
    assert_eq!(bench.number(due).await, 1);
}

/// What somebody writes of an event before it has its place, or of the places, stops nobody's feed.
pub(super) async fn nothing_in_the_way_of_an_event_stops_the_feed(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let subscriber = || Subscriber {
        account: account(),
        endpoint: "shop".into(),
        kinds: None,
    };
    new(token_on(store, |_| {}).await);
    assert_eq!(
        store.number_news(vec![subscriber()], 10, START).await,
        Ok(1)
    );
    // Told already, as somebody says, and in a place that was given.
    attacker.unprotect("event_places").await;
    attacker.write("UPDATE event_places SET last_seq = 0").await;
    new(token_on(store, |_| {}).await);
    attacker
        .write(
            "INSERT INTO deliveries (event_id, endpoint, status, attempts, updated_at_ms)
             SELECT id, 'shop', 'delivered', 1, 0 FROM events WHERE seq IS NULL",
        )
        .await;
    assert_eq!(
        store.number_news(vec![subscriber()], 10, START).await,
        Ok(1)
    );
    // A place that nothing comes after, of an event and of the count.
    new(token_on(store, |_| {}).await);
    for last in [
        "UPDATE events SET seq = 9223372036854775807 WHERE seq IS NULL",
        "UPDATE event_places SET last_seq = 9223372036854775807",
    ] {
        attacker.write(last).await;
    }
    new(token_on(store, |_| {}).await);
    assert_eq!(
        store.number_news(vec![subscriber()], 10, START).await,
        Ok(1)
    );
    let take = Take {
        scope: "shop".into(),
        ..due_at(0)
    };
    assert_eq!(store.lease_deliveries(take).await.unwrap().len(), 3);
}

#[tokio::test]
async fn nothing_in_the_way_of_an_event_stops_the_feed_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    nothing_in_the_way_of_an_event_stops_the_feed(&bench.store, &mut attacker).await;
}

#[tokio::test]
async fn a_delivery_without_its_event_holds_up_no_other() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let mut attacker = bench.aside().await;
    bench.token().await;
    let subscriber = Subscriber {
        account: account(),
        endpoint: "shop".into(),
        kinds: None,
    };
    assert_eq!(store.number_news(vec![subscriber], 10, START).await, Ok(1));
    attacker.write("PRAGMA foreign_keys = OFF").await;
    attacker
        .write(
            "INSERT INTO deliveries (event_id, endpoint, status, attempts, lease_until_ms, updated_at_ms)
             VALUES ('nothing', 'shop', 'due', 0, 0, 0)",
        )
        .await;
    let take = Take {
        scope: "shop".into(),
        ..due_at(0)
    };
    assert_eq!(store.lease_deliveries(take).await.unwrap().len(), 1);
    quarantined(&mut attacker, "events", 1).await;
}
