//! Notices of the processor: nothing is read without a signature of ours, and whatever is behind
//! one is read without harm.

#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use cloakroom::clock::Timestamp;
use cloakroom::processor::webhook::{NoticeRefused, WebhookSecret, read};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "whsec_0123456789abcdef";
/// 2026-11-23.
const NOW: Timestamp = Timestamp::from_unix_ms(1_795_392_000_000);
const NOW_S: i64 = 1_795_392_000;

static SECRETS: LazyLock<[WebhookSecret; 1]> =
    LazyLock::new(|| [WebhookSecret::parse(SECRET).expect("a secret of the right form")]);

fn signed(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{NOW_S}.").as_bytes());
    context.update(body);
    let tag = context.sign();
    let hex: Vec<String> = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={NOW_S},v1={}", hex.concat())
}

fuzz_target!(|input: (&str, &[u8])| {
    let (header, body) = input;
    // 256 bits that the fuzzer cannot guess.
    assert_eq!(
        read(&*SECRETS, header, body, NOW),
        Err(NoticeRefused::Signature)
    );
    let notice = read(&*SECRETS, &signed(body), body, NOW);
    assert!(!matches!(
        notice,
        Err(NoticeRefused::Signature | NoticeRefused::TooOld)
    ));
    if let Ok(notice) = notice {
        assert!(!notice.id.is_empty());
    }
});
