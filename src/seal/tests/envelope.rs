//! A sealed value opens where it belongs, whole and unaltered, and nowhere else.

use std::sync::Arc;

use super::{HERE, Keys};
use crate::seal::data_key::{DataKey, KekId, KeyBytes};
use crate::seal::envelope;
use crate::seal::file::PublicKek;
use crate::seal::provider::binding;
use crate::seal::{Context, PAYLOAD_BYTES_MAX, Refused, SealFailed, Sealed, WrappedDataKey};
use crate::token::{DataKeyId, Environment};

const PAYLOAD: &[u8] = b"what the processor calls the card";

#[tokio::test]
async fn what_was_sealed_opens_at_every_length() {
    let keys = Keys::new();
    let (sealer, opener) = (keys.sealer(), keys.opener());
    for length in 0..=PAYLOAD_BYTES_MAX {
        let payload = vec![0xa5; length];
        let value = sealer.seal(&HERE, &payload).await.unwrap();
        assert_eq!(value.sealed.as_bytes().len(), 557, "the size tells nothing");
        let read = opener.open(&HERE, &value.sealed, &value.data_key).await;
        assert_eq!(read.unwrap().expose(), payload);
    }
    assert_eq!(sealer.data_keys_created(), 1);
}

#[tokio::test]
async fn a_payload_that_is_too_long_is_not_sealed_and_costs_no_key() {
    let sealer = Keys::new().sealer();
    for length in [PAYLOAD_BYTES_MAX + 1, 65_535, 65_536, 1 << 20] {
        let refused = sealer.seal(&HERE, &vec![0; length]).await;
        assert_eq!(refused.unwrap_err(), SealFailed::PayloadTooLong);
    }
    assert_eq!(sealer.data_keys_created(), 0);
}

#[tokio::test]
async fn a_value_altered_in_any_bit_or_cut_or_lengthened_is_refused() {
    let keys = Keys::new();
    let opener = keys.opener();
    let value = keys.sealer().seal(&HERE, PAYLOAD).await.unwrap();
    let whole = value.sealed.as_bytes();

    let mut hostile: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    hostile.extend((1..whole.len()).map(|start| whole[start..].to_vec()));
    for bit in 0..whole.len() * 8 {
        let mut altered = whole.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        hostile.push(altered);
    }
    for more in [1, 2, 16, 557, 70_000] {
        hostile.push([whole, &vec![0; more]].concat());
        hostile.push([&vec![0; more], whole].concat());
    }
    hostile.push([whole, whole].concat());
    hostile.push(vec![0; whole.len()]);
    hostile.push(vec![0xff; whole.len()]);
    hostile.push(Vec::new());

    for bytes in hostile {
        let refused = opener
            .open(&HERE, &Sealed::from_bytes(bytes), &value.data_key)
            .await;
        assert_eq!(refused.unwrap_err(), Refused::Value);
    }
    assert!(
        opener
            .open(&HERE, &value.sealed, &value.data_key)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_row_cannot_open_another_rows_value() {
    let keys = Keys::new();
    let opener = keys.opener();
    let value = keys.sealer().seal(&HERE, PAYLOAD).await.unwrap();
    let elsewhere = [
        Context {
            environment: Environment::Live,
            ..HERE
        },
        Context {
            account: "acme2",
            ..HERE
        },
        Context {
            account: "",
            ..HERE
        },
        Context {
            table: "charges",
            ..HERE
        },
        Context {
            row: "test_tok_2",
            ..HERE
        },
        Context { row: "", ..HERE },
        Context {
            column: "reference",
            ..HERE
        },
        Context {
            customer_ref: Some("customer-2"),
            ..HERE
        },
        Context {
            customer_ref: Some(""),
            ..HERE
        },
        Context {
            customer_ref: None,
            ..HERE
        },
        Context {
            usage: "on_session",
            ..HERE
        },
        // The same letters, cut elsewhere.
        Context {
            customer_ref: Some("customer-1o"),
            usage: "ff_session",
            ..HERE
        },
        Context {
            account: "acmet",
            table: "okens",
            ..HERE
        },
        Context {
            row: "test_tok_1s",
            column: "ealed",
            ..HERE
        },
    ];
    for context in elsewhere {
        let refused = opener.open(&context, &value.sealed, &value.data_key).await;
        assert_eq!(refused.unwrap_err(), Refused::Value, "{context:?}");
    }
}

#[tokio::test]
async fn a_value_does_not_open_with_another_values_data_key() {
    let keys = Keys::new();
    let opener = keys.opener();
    let (one, two) = (
        keys.sealer().seal(&HERE, PAYLOAD).await.unwrap(),
        keys.sealer().seal(&HERE, PAYLOAD).await.unwrap(),
    );
    let (first, second) = (&*one.data_key, &*two.data_key);
    // Once with an empty cache and once with both keys in it.
    for _ in 0..2 {
        for swapped in [
            second.clone(),
            WrappedDataKey {
                wrapped: second.wrapped.clone(),
                ..first.clone()
            },
            WrappedDataKey {
                id: second.id,
                ..first.clone()
            },
            WrappedDataKey {
                id: first.id,
                ..second.clone()
            },
        ] {
            let refused = opener.open(&HERE, &one.sealed, &swapped).await;
            assert_eq!(refused.unwrap_err(), Refused::Value);
        }
        assert!(opener.open(&HERE, &one.sealed, first).await.is_ok());
        assert!(opener.open(&HERE, &two.sealed, second).await.is_ok());
    }
    // The header made to name the other key, with that key.
    let mut renamed = one.sealed.as_bytes().to_vec();
    renamed[1..17].copy_from_slice(second.id.uuid().as_bytes());
    let refused = opener
        .open(&HERE, &Sealed::from_bytes(renamed), second)
        .await;
    assert_eq!(refused.unwrap_err(), Refused::Value);
}

#[tokio::test]
async fn a_wrapped_data_key_of_another_length_is_refused() {
    let keys = Keys::new();
    let opener = keys.opener();
    let value = keys.sealer().seal(&HERE, PAYLOAD).await.unwrap();
    let wrapped = &value.data_key.wrapped;
    for end in 0..wrapped.len() {
        let cut = WrappedDataKey {
            wrapped: wrapped[..end].to_vec(),
            ..(*value.data_key).clone()
        };
        assert_eq!(
            opener.open(&HERE, &value.sealed, &cut).await.unwrap_err(),
            Refused::Value
        );
    }
    assert_eq!(
        opener.data_keys_cached(),
        0,
        "nothing about a refusal is kept"
    );
}

#[tokio::test]
async fn a_data_key_of_another_kek_or_environment_is_refused() {
    let (ours, foreign) = (Keys::new(), Keys::new());
    let value = foreign.sealer().seal(&HERE, PAYLOAD).await.unwrap();
    let opener = ours.opener();
    let refused = opener.open(&HERE, &value.sealed, &value.data_key).await;
    assert_eq!(refused.unwrap_err(), Refused::Value);

    let renamed = WrappedDataKey {
        kek: opener.keks().remove(0),
        ..(*value.data_key).clone()
    };
    let refused = opener.open(&HERE, &value.sealed, &renamed).await;
    assert_eq!(refused.unwrap_err(), Refused::Value);

    let value = ours.sealer().seal(&HERE, PAYLOAD).await.unwrap();
    let live = WrappedDataKey {
        id: DataKeyId::from_uuid(Environment::Live, value.data_key.id.uuid()),
        ..(*value.data_key).clone()
    };
    let refused = opener.open(&HERE, &value.sealed, &live).await;
    assert_eq!(refused.unwrap_err(), Refused::Value);
}

#[tokio::test]
async fn a_sealer_refuses_the_other_environment() {
    let sealer = Keys::new().sealer();
    let live = Context {
        environment: Environment::Live,
        ..HERE
    };
    let refused = sealer.seal(&live, PAYLOAD).await;
    assert_eq!(refused.unwrap_err(), SealFailed::WrongEnvironment);
}

#[tokio::test]
async fn no_nonce_and_no_ciphertext_comes_twice() {
    let sealer = Keys::new().sealer();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1_000 {
        let value = sealer.seal(&HERE, PAYLOAD).await.unwrap();
        let bytes = value.sealed.as_bytes();
        assert!(seen.insert(bytes[17..29].to_vec()));
        assert!(seen.insert(bytes[29..].to_vec()));
    }
}

#[tokio::test]
async fn a_sealed_value_names_its_data_key_and_prints_nothing() {
    let keys = Keys::new();
    let value = keys.sealer().seal(&HERE, PAYLOAD).await.unwrap();
    let named = value.sealed.data_key(Environment::Test);
    assert_eq!(named, Some(value.data_key.id));
    assert_eq!(
        Sealed::from_bytes(vec![1; 556]).data_key(Environment::Test),
        None
    );
    assert_eq!(
        Sealed::from_bytes(vec![3; 557]).data_key(Environment::Test),
        None
    );

    assert_eq!(format!("{:?}", value.sealed), "Sealed(..)");
    let read = keys
        .opener()
        .open(&HERE, &value.sealed, &value.data_key)
        .await;
    assert_eq!(format!("{:?}", read.unwrap()), "Opened(..)");
    assert!(!format!("{:?}", Arc::clone(&value.data_key)).contains("wrapped"));
}

#[test]
fn a_value_is_bound_to_its_environment_and_to_the_name_of_its_data_key() {
    let now = crate::clock::Timestamp::from_unix_ms(1);
    let [one, two] = [(); 2].map(|()| DataKeyId::new(Environment::Test, now));
    let key = |id| DataKey::new(id, KeyBytes::from_slice(&[7; 32]).unwrap()).unwrap();
    let sealed = envelope::seal(&key(one), &HERE, PAYLOAD).unwrap();
    assert!(envelope::open(&key(one), &HERE, &sealed).is_ok());
    let live = Context {
        environment: Environment::Live,
        ..HERE
    };
    assert!(envelope::open(&key(one), &live, &sealed).is_err());

    let mut renamed = sealed.as_bytes().to_vec();
    renamed[1..17].copy_from_slice(two.uuid().as_bytes());
    let refused = envelope::open(&key(two), &HERE, &Sealed::from_bytes(renamed));
    assert_eq!(refused.unwrap_err(), Refused::Value);
}

#[test]
fn a_wrapped_data_key_unwraps_under_its_own_name_only() {
    let keys = Keys::new();
    let public = PublicKek::read(&keys.path("public.json"), Environment::Test).unwrap();
    let private = keys.private_kek();
    let now = keys.clock.now();
    let [one, two] = [(); 2].map(|()| DataKeyId::new(Environment::Test, now));
    let wrapped = public.wrap(one, &KeyBytes::random()).unwrap();
    assert!(private.unwrap(one, &wrapped).is_some());
    assert!(private.unwrap(two, &wrapped).is_none());
}

#[test]
fn no_two_names_of_a_data_key_bind_the_same_bytes() {
    let id = DataKeyId::from_uuid(Environment::Test, uuid::Uuid::nil());
    let kek = KekId::of(b"one");
    let bound = binding(Environment::Test, &kek, id);
    assert_ne!(bound, binding(Environment::Live, &kek, id));
    assert_ne!(bound, binding(Environment::Test, &KekId::of(b"two"), id));
    let other = DataKeyId::from_uuid(Environment::Test, uuid::Uuid::max());
    assert_ne!(bound, binding(Environment::Test, &kek, other));
}
