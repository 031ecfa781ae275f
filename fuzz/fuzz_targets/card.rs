//! The body of `POST /v1/tokens`: what becomes a card is one, and no refusal repeats what was sent.

#![no_main]

use cloakroom::card::scan;
use cloakroom::clock::Timestamp;
use cloakroom::http::tokens::capture;
use libfuzzer_sys::fuzz_target;

/// 2026-11-23.
const NOW: Timestamp = Timestamp::from_unix_ms(1_795_392_000_000);

fuzz_target!(|body: &[u8]| {
    match capture::read(body, NOW) {
        Ok((Ok(card), _, _)) => {
            let digits = card.number.expose();
            assert!((12..=19).contains(&digits.len()));
            assert!(passes_luhn(digits));
            assert!((3..=4).contains(&card.cvc.expose().len()));
            assert!(!format!("{card:?}").contains(digits));
        }
        Ok((Err(faults), _, _)) => assert!(!faults.is_empty(), "a refusal has a reason"),
        Err(problem) => {
            let said = problem.body("test_req_0");
            assert!(!scan::contains(&said), "a problem repeats a card number");
        }
    }
});

/// ISO/IEC 7812-1, annex B, said once more in other words.
fn passes_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0') << (place % 2);
            value / 10 + value % 10
        })
        .sum();
    sum.is_multiple_of(10)
}
