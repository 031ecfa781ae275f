use super::*;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::token::{ChargeId, Environment, RequestId, SessionId, TokenId};

fn found(text: &str) -> Vec<&str> {
    all(text.as_bytes())
        .map(|range| text.get(range).unwrap())
        .collect()
}

#[test]
fn a_number_is_found_however_it_is_written_and_wherever_it_stands() {
    for (text, number) in [
        ("4242424242424242", "4242424242424242"),
        ("4242 4242 4242 4242", "4242 4242 4242 4242"),
        ("4242-4242-4242-4242", "4242-4242-4242-4242"),
        ("number=4242+4242+4242+4242&", "4242+4242+4242+4242"),
        (
            "4242\u{a0}4242\u{a0}4242\u{a0}4242",
            "4242\u{a0}4242\u{a0}4242\u{a0}4242",
        ),
        ("3782 822463 10005", "3782 822463 10005"),
        ("3622 720627 1667", "3622 720627 1667"),
        ("6205500000000000004", "6205500000000000004"),
        ("620550 0000000000004", "620550 0000000000004"),
        (r#"{"number":"4242424242424242"}"#, "4242424242424242"),
        (r#"{"number":4242424242424242}"#, "4242424242424242"),
        (
            "card[number]=4242424242424242&card[cvc]=123",
            "4242424242424242",
        ),
        ("%204242424242424242", "4242424242424242"),
        ("number%3D4242424242424242", "4242424242424242"),
        ("number%3A%224242424242424242%22", "4242424242424242"),
        (r"\u00204242424242424242", "4242424242424242"),
        (r"\u001f4242424242424242", "4242424242424242"),
        (r"\t4242424242424242\n", "4242424242424242"),
        ("number=+4242424242424242", "4242424242424242"),
        ("pan_4242424242424242_x", "4242424242424242"),
        ("card4242424242424242", "4242424242424242"),
        ("4242424242424242EUR", "4242424242424242"),
        ("4242424242424242.0", "4242424242424242"),
        ("4242424242424242 12/30 123", "4242424242424242"),
        ("12 4242424242424242", "4242424242424242"),
        ("1 4242 4242 4242 4242 99", "4242 4242 4242 4242"),
        ("é4242424242424242é", "4242424242424242"),
        ("\x004242424242424242\0", "4242424242424242"),
        // Mir, which the form has no name for.
        ("2200000000000004", "2200000000000004"),
        // An id of our own does not shield its neighbour.
        (
            "tok_01h455vb4pex5vsknk084sn02q 4242424242424242",
            "4242424242424242",
        ),
    ] {
        assert_eq!(found(text), [number], "{text}");
        assert!(contains(text));
    }
}

#[test]
fn all_numbers_of_a_text_are_found_in_order() {
    let text = "378282246310005,5555555555554444;4242 4242 4242 4242|36227206271667";
    assert_eq!(
        found(text),
        [
            "378282246310005",
            "5555555555554444",
            "4242 4242 4242 4242",
            "36227206271667"
        ]
    );
    assert_eq!(find(text.as_bytes()), Some(0..15));
}

#[test]
fn what_is_no_number_is_not_found() {
    for text in [
        "",
        "4",
        "4242424242424241",
        "424242424242",
        // Longer runs are something else.
        "42424242424242424242",
        "004242424242424242424242",
        // Doubled and foreign separators, which our own lines do not have (see `stored`).
        "4242  4242  4242  4242",
        "4242, 4242, 4242, 4242",
        "4242:4242:4242:4242",
        "[4242,4242,4242,4242]",
        // No known brand, though Luhn holds; and a brand's wrong length.
        "9999999999999995",
        "42424242424242",
        // Telephone numbers, fractions, moments.
        "+4222222222222",
        "+42 2222 222 2222",
        "0.4242424242424242",
        "1.4242424242424242",
        "2026-11-23T08:15:00.424242424Z",
        "2026-11-23 08:15:00 4242",
        // Ids.
        "42424242-4242-4242-4242-424242424242",
        "a2424242-4242-4242-4242-42424242424b",
        "abcdef4242424242424242abcdefabcd",
        "tok_01h4242424242424242jkmnpqr",
        "4222222222222abc",
        "00-abcdef4242424242424242abcdefabcd-4222222222222abc-01",
    ] {
        assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        assert!(!contains(text));
    }
}

/// A generator whose every run is the same run: a test that fails must fail again.
struct Repeatable(u64);

impl Repeatable {
    // Marsaglia's xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[test]
fn ids_and_moments_are_never_taken_for_numbers() {
    let mut random = Repeatable(0x5eed);
    for round in 0..20_000_u64 {
        let (high, low) = (random.next(), random.next());
        let uuid = Uuid::from_u64_pair(high, low);
        let moment =
            Timestamp::from_unix_ms(1_700_000_000_000 + i64::try_from(high >> 26).unwrap());
        let text = [
            uuid.to_string(),
            uuid.simple().to_string(),
            TokenId::new(Environment::Live, moment).uuid().to_string(),
            TokenId::from_uuid(Environment::Live, Uuid::from_u128(uuid.as_u128() >> 3)).to_string(),
            SessionId::new(Environment::Test, moment).to_string(),
            ChargeId::new(Environment::Live, moment).to_string(),
            RequestId::new(Environment::Live, moment).to_string(),
            moment.unix_ms().to_string(),
            format!("{}{:06}", moment.unix_ms(), low % 1_000_000),
            moment.rfc3339(),
            // Sixteen digits without a letter may be a card number: TraceParent refuses those.
            format!("00-{:032x}-{:016x}-01", uuid.as_u128(), low | 0xa << 60),
            format!(
                "{:?}",
                f64::from(u32::try_from(low >> 32).unwrap()) / 4_294_967_296.0
            ),
            format!("{round} {} {}", moment.unix_ms(), high % 100_000),
        ]
        .join(r#"",""#);
        assert_eq!(found(&text), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn the_work_grows_no_faster_than_the_text() {
    // Dense with candidates, edges to walk and groups to combine; each would hurt if it were
    // quadratic. (A quadratic walk over these megabytes takes minutes.)
    for unit in [
        "4242 ",
        "4242424242424242a",
        "a1",
        "%2042",
        "4242424242424242-",
        "zzzzzzzz4",
    ] {
        let text = unit.repeat((1 << 20) / unit.len());
        let _ = all(text.as_bytes()).count();
    }
}

/// A row of the embedded database has no space between its columns.
#[test]
fn a_key_of_ours_at_the_processor_is_no_card_number_whatever_stands_behind_it() {
    let key = format!("4242424242424242{}", "ab".repeat(24));
    for (text, count) in [
        (format!("eurcloakroom-{key}"), 0),
        (format!("eurcloakroom-{key}test_chg_01"), 0),
        // The same digits behind another word, and behind such a key.
        (format!("eurcloakroon-{key}test_chg_01"), 1),
        (format!("cloakroom-{key} 4242424242424242"), 1),
        ("cloakroom-4242424242424242".to_owned(), 1),
    ] {
        assert_eq!(all(text.as_bytes()).count(), count, "{text}");
    }
}
