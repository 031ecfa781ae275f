//! Notices whose signature holds and whose content does not: somebody has the secret, or Stripe
//! has changed. Nothing of them is guessed at.

use super::*;
use crate::processor::failure::is_name;

const PAYMENT: &str = r#"{"id":"pi_1","metadata":{"cloakroom_charge":"test_chg_1"}}"#;
const REFUND: &str = r#"{"id":"re_1","payment_intent":"pi_1","metadata":{"cloakroom_refund":"test_ref_1"},"amount":500,"currency":"eur","status":"failed","failure_reason":"declined"}"#;
const DISPUTE: &str = r#"{"id":"dp_1","payment_intent":"pi_1","amount":500,"currency":"eur","reason":"fraudulent","status":"lost"}"#;
const METHOD: &str =
    r#"{"id":"pm_1","card":{"brand":"visa","last4":"4242","exp_month":12,"exp_year":2030}}"#;
const CHARGE: &str = r#"{"payment_intent":"pi_1"}"#;
const SETUP: &str = r#"{"payment_method":"pm_1"}"#;

/// A text in a sound object, and what stands there instead.
type Altered = (&'static str, &'static [&'static str]);

/// A kind, its sound object, and what that may not be.
const ALTERED: [(&str, &str, &[Altered]); 6] = [
    (
        "payment_intent.succeeded",
        PAYMENT,
        &[
            (
                r#""pi_1""#,
                &[
                    "7",
                    "null",
                    "[]",
                    "{}",
                    r#""""#,
                    r#""ch_1""#,
                    r#""pi_1/../x""#,
                    r#""pi_é""#,
                ],
            ),
            (r#""test_chg_1""#, &["7", "[]", "{}", "true"]),
            (
                r#"{"cloakroom_charge":"test_chg_1"}"#,
                &["7", r#""x""#, r#"["x"]"#],
            ),
        ],
    ),
    (
        "charge.captured",
        CHARGE,
        &[(
            r#""pi_1""#,
            &[
                "7",
                "[]",
                "{}",
                r#"{"id":7}"#,
                r#"{"id":"ch_1"}"#,
                r#""ch_1""#,
                r#""pi_1?x""#,
            ],
        )],
    ),
    (
        "refund.updated",
        REFUND,
        &[
            (
                r#""re_1""#,
                &["7", "null", r#""pi_1""#, r#""re_1 ""#, r#"["re_1"]"#],
            ),
            (r#""pi_1""#, &["7", "{}", r#""ch_1""#, r#""pi_1/""#]),
        ],
    ),
    (
        "charge.dispute.created",
        DISPUTE,
        &[
            (
                r#""dp_1""#,
                &["7", "null", r#""""#, r#""dp 1""#, r#""dp_1/..""#],
            ),
            (r#""pi_1""#, &["7", "[]", r#""ch_1""#, r#""pi_1\n""#]),
        ],
    ),
    (
        "payment_method.automatically_updated",
        METHOD,
        &[
            (
                r#""pm_1""#,
                &["7", "null", r#""""#, r#""pm-1""#, r#""pm_1/""#],
            ),
            (r#""visa""#, &["null", "7", r#""<b>""#, r#""""#]),
            (
                r#""4242""#,
                &[
                    "4242",
                    "null",
                    r#""4242424242424242""#,
                    r#""424""#,
                    r#""42x2""#,
                ],
            ),
            ("12", &["0", "13", "256", "-1", r#""12""#, "null"]),
            ("2030", &["30", "1999", "3000", "65536", r#""2030""#]),
        ],
    ),
    (
        "setup_intent.succeeded",
        SETUP,
        &[(
            r#""pm_1""#,
            &["7", "[]", "{}", r#""""#, r#""pm_1/../x""#, r#"{"id":null}"#],
        )],
    ),
];

fn with_object(kind: &str, object: &str) -> String {
    format!(
        r#"{{"id":"evt_1","type":"{kind}","livemode":false,"created":1,"data":{{"object":{object}}}}}"#
    )
}

#[test]
fn an_object_of_which_one_value_is_hostile_is_unreadable() {
    for (kind, sound, places) in ALTERED {
        let body = with_object(kind, sound);
        let notice = signed(body.as_bytes()).unwrap();
        assert_ne!(notice.what, What::Other, "{kind}");
        for (place, values) in places {
            for value in *values {
                assert!(sound.contains(place), "{kind} {place}");
                let altered = sound.replacen(place, value, 1);
                let result = signed(with_object(kind, &altered).as_bytes());
                assert_eq!(result, Err(NoticeRefused::Unreadable), "{kind} {altered}");
            }
        }
    }
}

/// What stands where a refund's or a dispute's amount, currency, state or reason is looked for.
const UNKNOWN: [&str; 16] = [
    "null",
    "7",
    "-500",
    "5.5",
    "1e3",
    "9223372036854775808",
    "true",
    "{}",
    "[500]",
    r#""""#,
    r#""500""#,
    r#""EUR""#,
    r#""Free text.""#,
    r#""<b>""#,
    r#""n4242424242424242""#,
    r#""brand_new""#,
];

fn with_altered(kind: &str, sound: &str, place: &str, value: &str) -> What {
    let altered = sound.replacen(place, value, 1);
    assert_ne!(altered, sound);
    let notice = signed(with_object(kind, &altered).as_bytes());
    notice.unwrap_or_else(|_| panic!("{altered}")).what
}

#[test]
fn an_unknown_value_of_a_refund_never_makes_its_event_unreadable() {
    for value in UNKNOWN {
        for place in ["500", r#""eur""#] {
            let named = match with_altered("refund.updated", REFUND, place, value) {
                What::Payment {
                    payment,
                    status: None,
                    captured: None,
                    ..
                } => Some(payment),
                // One that is an amount after all.
                What::Refund { payment, .. } if value == "7" => payment,
                other @ (What::Payment { .. }
                | What::Refund { .. }
                | What::Dispute { .. }
                | What::Card { .. }
                | What::Detached { .. }
                | What::Setup { .. }
                | What::Other) => panic!("{place} {value} {other:?}"),
            };
            assert_eq!(named.as_deref(), Some("pi_1"), "{place} {value}");
        }
        let told = with_altered("refund.updated", REFUND, r#""failed""#, value);
        let pending = matches!(
            told,
            What::Refund {
                state: RefundState::Pending,
                ..
            }
        );
        assert!(pending, "{value} {told:?}");
        let told = with_altered("refund.updated", REFUND, r#""declined""#, value);
        assert!(matches!(told, What::Refund { .. }), "{value}");
    }
    let told = with_altered("refund.updated", REFUND, r#""status":"failed","#, "");
    assert!(matches!(told, What::Refund { .. }));
}

#[test]
fn an_unknown_value_of_a_dispute_never_makes_its_event_unreadable() {
    for place in ["500", r#""eur""#, r#""fraudulent""#, r#""lost""#] {
        for value in UNKNOWN {
            let told = with_altered("charge.dispute.created", DISPUTE, place, value);
            let What::Dispute {
                amount,
                currency,
                reason,
                status,
                state,
                ..
            } = told
            else {
                panic!("{place} {value}");
            };
            assert!(amount >= 0 && currency.len() == 3, "{place} {value}");
            assert!(is_name(&reason) && is_name(&status), "{place} {value}");
            let kept = place != r#""lost""#;
            assert_eq!(state == DisputeStatus::Lost, kept, "{place} {value}");
        }
    }
}

#[test]
fn an_object_that_is_none_is_unreadable() {
    for (kind, _, _) in ALTERED {
        for object in ["null", "7", "true", r#""pi_1""#, "[]", "[{}]"] {
            let result = signed(with_object(kind, object).as_bytes());
            assert_eq!(result, Err(NoticeRefused::Unreadable), "{kind} {object}");
        }
    }
}

#[test]
fn an_event_that_is_none_is_unreadable() {
    let sound = with_object("customer.created", "{}");
    assert!(signed(sound.as_bytes()).is_ok());
    for (place, values) in [
        (
            r#""evt_1""#,
            &[
                "1",
                "null",
                r#""""#,
                r#""pi_1""#,
                r#""evt_1/..""#,
                r#""evt 1""#,
                "[]",
            ][..],
        ),
        (r#""customer.created""#, &["null", "7", "[]"]),
        ("false", &["null", "0", r#""false""#]),
        (
            r#""created":1"#,
            &[
                r#""created":"1""#,
                r#""created":null"#,
                r#""created":-1"#,
                r#""created":1.5"#,
                r#""created":253402300800"#,
                r#""created":9223372036854775807"#,
                r#""created":99999999999999999999"#,
                r#""made":1"#,
            ],
        ),
        (
            r#"{"object":{}}"#,
            &["null", "[]", "{}", r#""object""#, "7"],
        ),
        // Which of two would be the right one?
        (
            r#""livemode":false"#,
            &[r#""livemode":false,"livemode":true"#, r#""id":"evt_2""#],
        ),
    ] {
        for value in values {
            let altered = sound.replacen(place, value, 1);
            assert_ne!(altered, sound);
            let result = signed(altered.as_bytes());
            assert_eq!(result, Err(NoticeRefused::Unreadable), "{altered}");
        }
    }
}

#[test]
fn bytes_that_are_no_event_are_unreadable() {
    let sound = with_object("customer.created", "{}");
    for body in [
        b"".to_vec(),
        b"\xff\xfe".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"id=evt_1&type=x".to_vec(),
        [sound.as_bytes(), b"{}"].concat(),
        sound.as_bytes()[..sound.len() - 1].to_vec(),
        sound.replace("evt_1", "evt_\u{0}").into_bytes(),
    ] {
        let result = signed(&body);
        assert_eq!(result, Err(NoticeRefused::Unreadable), "{body:?}");
    }
}

#[test]
fn an_array_is_not_read_for_an_object_whose_members_come_in_order() {
    let arrays = [
        ("payment_intent.succeeded", r#"["pi_1",{}]"#),
        (
            "payment_intent.succeeded",
            r#"{"id":"pi_1","metadata":["a","b"]}"#,
        ),
        ("charge.captured", r#"["pi_1",null]"#),
        ("charge.captured", r#"{"payment_intent":["pi_1"]}"#),
        (
            "refund.updated",
            r#"["re_1","pi_1",{},5,"eur","failed",null]"#,
        ),
        (
            "charge.dispute.closed",
            r#"["dp_1","pi_1",5,"eur","general","won"]"#,
        ),
        ("payment_method.updated", r#"["pm_1",{}]"#),
        (
            "payment_method.updated",
            r#"{"id":"pm_1","card":["visa","4242",12,2030,"credit","US","f"]}"#,
        ),
        ("setup_intent.succeeded", r#"["pm_1"]"#),
        ("setup_intent.succeeded", r#"{"payment_method":["pm_1"]}"#),
    ];
    for (kind, object) in arrays {
        let result = signed(with_object(kind, object).as_bytes());
        assert_eq!(result, Err(NoticeRefused::Unreadable), "{kind} {object}");
    }
    for body in [
        r#"["evt_1","customer.created",false,1,{"object":{}}]"#,
        r#" ["evt_1","customer.created",false,1,{"object":{}}]"#,
        r#"{"id":"evt_1","type":"x","livemode":false,"created":1,"data":[{}]}"#,
    ] {
        let result = signed(body.as_bytes());
        assert_eq!(result, Err(NoticeRefused::Unreadable), "{body}");
    }
    let spaced = format!(" \n{}\n", with_object("customer.created", "{}"));
    assert!(signed(spaced.as_bytes()).is_ok());
}

#[test]
fn nesting_beyond_reason_ends_the_reading_and_not_the_process() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [1_000, 100_000] {
            let deep = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            for kind in ["customer.created", "payment_intent.succeeded"] {
                let result = signed(with_object(kind, &deep).as_bytes());
                assert_eq!(result, Err(NoticeRefused::Unreadable), "{depth}");
            }
        }
    }
}

#[test]
fn no_free_text_of_a_notice_is_kept() {
    let event = with_object(
        "charge.dispute.created",
        &DISPUTE.replace(r#""id""#, r#""evidence":{"text":"SECRET"},"SECRET":1,"id""#),
    );
    let notice = signed(event.as_bytes()).unwrap();
    assert!(!format!("{notice:?}").contains("SECRET"));
    for refused in [
        NoticeRefused::Signature,
        NoticeRefused::TooOld,
        NoticeRefused::Unreadable,
    ] {
        assert!(!format!("{refused} {refused:?}").contains("evt_"));
    }
}
