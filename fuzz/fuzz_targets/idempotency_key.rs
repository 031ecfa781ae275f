//! The `Idempotency-Key` header: what is taken is short, printable, and no card number.

#![no_main]

use cloakroom::card::scan::stored;
use cloakroom::vault::idempotency::IdempotencyKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &str| {
    if let Ok(key) = IdempotencyKey::parse(value) {
        assert!((1..=255).contains(&key.as_str().len()));
        assert!(
            key.as_str()
                .bytes()
                .all(|letter| (0x20..0x7f).contains(&letter))
        );
        assert!(!stored::contains(key.as_str()));
    }
});
