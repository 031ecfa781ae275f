//! A process with the wrong key learns of it from the canary.

use std::sync::Arc;

use super::{HERE, Keys};
use crate::seal::{Canary, Refused};

#[tokio::test]
async fn a_canary_opens_under_its_own_key_only() {
    let (ours, foreign) = (Keys::new(), Keys::new());
    let canary = ours.sealer().canary().await.unwrap();
    assert_eq!(ours.opener().check_canary(&canary).await, Ok(()));
    assert_eq!(
        foreign.opener().check_canary(&canary).await,
        Err(Refused::Value)
    );

    let renamed = Canary {
        kek: foreign.opener().keks().remove(0),
        ..canary
    };
    assert_eq!(
        foreign.opener().check_canary(&renamed).await,
        Err(Refused::Value)
    );
    assert_eq!(
        ours.opener().check_canary(&renamed).await,
        Err(Refused::Value)
    );
}

#[tokio::test]
async fn a_canary_has_a_data_key_of_its_own() {
    let keys = Keys::new();
    let sealer = keys.sealer();
    let value = sealer.seal(&HERE, b"a").await.unwrap();
    let canary = sealer.canary().await.unwrap();
    let after = sealer.seal(&HERE, b"b").await.unwrap();
    assert_ne!(value.data_key.id, canary.value.data_key.id);
    assert!(Arc::ptr_eq(&value.data_key, &after.data_key));
    assert_eq!(sealer.data_keys_created(), 2);
}

#[tokio::test]
async fn another_value_is_no_canary() {
    let keys = Keys::new();
    let sealer = keys.sealer();
    let value = sealer.seal(&HERE, b"cloakroom/canary/v1").await.unwrap();
    let canary = Canary {
        kek: sealer.kek().clone(),
        value,
    };
    assert_eq!(
        keys.opener().check_canary(&canary).await,
        Err(Refused::Value)
    );
}
