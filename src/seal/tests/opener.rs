//! Unwrapped data keys are kept in a bounded number and for a bounded time.

use super::{HERE, Keys};
use crate::seal::{DATA_KEY_CACHED_S_MAX, DATA_KEYS_CACHED_MAX, DataKeyLimits};

#[tokio::test]
async fn the_cache_never_holds_more_than_its_number() {
    let keys = Keys::new();
    let sealer = keys.sealer_with(DataKeyLimits::new(60, 1).unwrap());
    let opener = keys.opener();
    let first = sealer.seal(&HERE, b"first").await.unwrap();
    opener
        .open(&HERE, &first.sealed, &first.data_key)
        .await
        .unwrap();
    for _ in 0..DATA_KEYS_CACHED_MAX + 10 {
        keys.clock.advance(1);
        let value = sealer.seal(&HERE, b"a").await.unwrap();
        opener
            .open(&HERE, &value.sealed, &value.data_key)
            .await
            .unwrap();
        assert!(opener.data_keys_cached() <= DATA_KEYS_CACHED_MAX);
    }
    assert_eq!(opener.data_keys_cached(), DATA_KEYS_CACHED_MAX);
    // Pushed out, and unwrapped again.
    let read = opener.open(&HERE, &first.sealed, &first.data_key).await;
    assert_eq!(read.unwrap().expose(), b"first");
    assert_eq!(opener.data_keys_cached(), DATA_KEYS_CACHED_MAX);
}

#[tokio::test]
async fn the_cache_forgets_with_age() {
    let keys = Keys::new();
    let opener = keys.opener();
    let value = keys.sealer().seal(&HERE, b"a").await.unwrap();
    opener
        .open(&HERE, &value.sealed, &value.data_key)
        .await
        .unwrap();
    keys.clock
        .advance(i64::from(DATA_KEY_CACHED_S_MAX) * 1_000 - 1);
    opener.forget_expired();
    assert_eq!(opener.data_keys_cached(), 1);
    keys.clock.advance(1);
    opener.forget_expired();
    assert_eq!(opener.data_keys_cached(), 0);
    assert!(
        opener
            .open(&HERE, &value.sealed, &value.data_key)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn opening_twice_unwraps_once() {
    let keys = Keys::new();
    let opener = keys.opener();
    let sealer = keys.sealer();
    for _ in 0..3 {
        let value = sealer.seal(&HERE, b"a").await.unwrap();
        opener
            .open(&HERE, &value.sealed, &value.data_key)
            .await
            .unwrap();
        assert_eq!(opener.data_keys_cached(), 1);
    }
}
