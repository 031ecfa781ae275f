//! A data key serves for its time and its number of values, and is made once however many wait.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{HERE, Keys};
use crate::seal::{DataKeyLimits, LimitsRefused};
use crate::token::DataKeyId;

#[tokio::test]
async fn a_data_key_ends_with_its_age() {
    let keys = Keys::new();
    let sealer = keys.sealer_with(DataKeyLimits::new(60, 1_000).unwrap());
    let first = sealer.seal(&HERE, b"a").await.unwrap();
    keys.clock.advance(59_999);
    let same = sealer.seal(&HERE, b"b").await.unwrap();
    assert_eq!(first.data_key.id, same.data_key.id);
    keys.clock.advance(1);
    let next = sealer.seal(&HERE, b"c").await.unwrap();
    assert_ne!(first.data_key.id, next.data_key.id);
    assert_eq!(next.data_key.created_at, keys.clock.now());
    assert_eq!(sealer.data_keys_created(), 2);

    // What the retired key sealed still opens, by the other half.
    let opener = keys.opener();
    let read = opener.open(&HERE, &first.sealed, &first.data_key).await;
    assert_eq!(read.unwrap().expose(), b"a");
}

#[tokio::test]
async fn a_data_key_ends_when_the_clock_is_set_back() {
    let keys = Keys::new();
    let sealer = keys.sealer();
    sealer.seal(&HERE, b"a").await.unwrap();
    keys.clock.advance(-1);
    sealer.seal(&HERE, b"b").await.unwrap();
    assert_eq!(sealer.data_keys_created(), 2);
}

#[tokio::test]
async fn a_data_key_is_wiped_when_its_time_is_over_though_nobody_seals() {
    let keys = Keys::new();
    let sealer = keys.sealer_with(DataKeyLimits::new(60, 1_000).unwrap());
    sealer.seal(&HERE, b"a").await.unwrap();
    keys.clock.advance(59_999);
    sealer.retire_expired();
    sealer.seal(&HERE, b"b").await.unwrap();
    assert_eq!(sealer.data_keys_created(), 1);
    keys.clock.advance(1);
    sealer.retire_expired();
    // Were it only skipped, setting the clock back into its time would bring it back.
    keys.clock.advance(-1);
    sealer.seal(&HERE, b"c").await.unwrap();
    assert_eq!(sealer.data_keys_created(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_data_key_seals_more_than_its_number_however_many_seal_at_once() {
    const TASKS: u32 = 64;
    const SEALS_EACH: u32 = 25;
    const SEALS_MAX: u32 = 16;
    let keys = Keys::new();
    let sealer = Arc::new(keys.sealer_with(DataKeyLimits::new(60, SEALS_MAX).unwrap()));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let sealer = Arc::clone(&sealer);
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..SEALS_EACH {
                ids.push(sealer.seal(&HERE, b"a").await.unwrap().data_key.id);
                tokio::task::yield_now().await;
            }
            ids
        });
    }
    let mut seals: HashMap<DataKeyId, u32> = HashMap::new();
    for id in tasks.join_all().await.into_iter().flatten() {
        *seals.entry(id).or_default() += 1;
    }
    assert!(seals.values().all(|&count| count == SEALS_MAX), "{seals:?}");
    let keys_needed = u64::from(TASKS * SEALS_EACH / SEALS_MAX);
    assert_eq!(
        sealer.data_keys_created(),
        keys_needed,
        "one wrap for all who waited"
    );
}

#[test]
fn limits_are_kept_within_what_is_safe() {
    assert_eq!(DataKeyLimits::default(), DataKeyLimits::DEFAULT);
    assert_eq!(DataKeyLimits::new(0, 1), Err(LimitsRefused::Age));
    assert_eq!(DataKeyLimits::new(86_401, 1), Err(LimitsRefused::Age));
    assert_eq!(DataKeyLimits::new(1, 0), Err(LimitsRefused::Seals));
    assert_eq!(DataKeyLimits::new(1, u32::MAX), Err(LimitsRefused::Seals));
    assert_eq!(
        DataKeyLimits::new(1, (1 << 20) + 1),
        Err(LimitsRefused::Seals)
    );
    assert!(DataKeyLimits::new(1, 1).is_ok());
    assert!(DataKeyLimits::new(86_400, 1 << 20).is_ok());
}
