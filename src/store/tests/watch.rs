use super::*;
use crate::alerts::{Alert, AlertName};
use crate::token::{AlertId, BlockId};

fn bucket(process: &str, hits: u32) -> BucketRow {
    BucketRow {
        process: process.to_owned(),
        rule: "address_failures".to_owned(),
        subject: "address 192.0.2.7".to_owned(),
        bucket_ms: START.unix_ms(),
        events: 12,
        hits,
    }
}

fn block(subject: &str, ends_at: Option<Timestamp>) -> (BlockRow, Event) {
    let row = BlockRow {
        id: BlockId::new(ENVIRONMENT, START),
        rule: "address_failures".to_owned(),
        subject: subject.to_owned(),
        action: "block".to_owned(),
        node: "pay-1".to_owned(),
        placed_at: START,
        ends_at,
        lifted_at: None,
        lifted_by: None,
    };
    (row, event(Action::WatchActed))
}

fn alert() -> NewAlert {
    NewAlert {
        id: AlertId::new(ENVIRONMENT, START),
        alert: Alert::new(AlertName::CardTesting, "address 192.0.2.7", "11 of 12"),
        node: "pay-1".to_owned(),
        window_ms: 3_600_000,
        at: START,
    }
}

#[tokio::test]
async fn what_a_process_counted_is_read_by_the_others_and_saying_it_again_counts_once() {
    let bench = Bench::new().await;
    let other = open(&bench.settings).await.unwrap();
    for hits in [3, 5, 5] {
        let rows = vec![bucket("one", hits)];
        bench.store.share_buckets(rows, START).await.unwrap();
    }
    let heard = other.buckets_of_others("two".to_owned(), START).await;
    assert_eq!(heard, Ok(vec![bucket("one", 5)]));
    let own = other.buckets_of_others("one".to_owned(), START).await;
    assert_eq!(own, Ok(vec![]));
    let later = START.plus_s(1);
    assert_eq!(
        other.buckets_of_others("two".to_owned(), later).await,
        Ok(vec![])
    );
    let window_s = 86_400;
    let swept = bench
        .store
        .sweep_watch(window_s, START.plus_s(window_s))
        .await;
    assert_eq!(swept, Ok(1));
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_block_holds_on_every_node_until_it_ends_or_is_lifted_and_both_are_events() {
    let bench = Bench::new().await;
    let other = open(&bench.settings).await.unwrap();
    let (short, endless) = ("address 192.0.2.7", "client spiffe://shop.example/billing");
    for (subject, ends_at) in [(short, Some(START.plus_s(60))), (endless, None)] {
        let placed = bench
            .store
            .place_block(Some(block(subject, ends_at)), alert())
            .await;
        placed.unwrap();
    }
    assert_eq!(bench.number("SELECT times FROM alerts").await, 2);
    let subjects = async |since: Timestamp| -> Vec<String> {
        let blocks = other.blocks(since).await.unwrap();
        blocks.into_iter().map(|block| block.subject).collect()
    };
    assert_eq!(subjects(START).await.len(), 2);
    let later = START.plus_s(61);
    assert_eq!(subjects(later).await, [endless]);

    let lift = async |subject: &str| {
        let event = event(Action::WatchLifted);
        let by = "uid 0".to_owned();
        bench
            .store
            .lift_blocks(subject.to_owned(), by, event, later)
            .await
    };
    assert_eq!(lift(endless).await, Ok(1));
    assert_eq!(lift(endless).await, Ok(0), "it is lifted once");
    let lifted = other.blocks(START).await.unwrap();
    let lifted = lifted
        .iter()
        .find(|block| block.subject == endless)
        .unwrap();
    assert_eq!(
        (lifted.lifted_at, lifted.lifted_by.as_deref()),
        (Some(later), Some("uid 0"))
    );
    assert_eq!(
        bench.outcomes(Action::WatchActed).await,
        ["success", "success"]
    );
    assert_eq!(
        bench.outcomes(Action::WatchLifted).await,
        ["success", "refused"]
    );
    let words = bench.run("UPDATE watch_blocks SET ends_at_ms = NULL").await;
    assert!(words.unwrap_err().contains("does not change"));
    other.close().await.unwrap();
}
