//! The table of refusals over literal envelopes, and over bodies that are nobody's.

use super::*;

use bytes::Bytes;
use hyper::StatusCode;

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        replayed: false,
        should_retry: None,
        retry_after_s: None,
        request_id: None,
    }
}

fn at(step: Step, status: u16, body: &str) -> Failure {
    refusal(step, &answer(status, body)).failure
}

fn declined(code: &str, advice: Option<Advice>, retryable: bool) -> Failure {
    Failure::Declined(Decline {
        code: DeclineCode::parse(code).unwrap(),
        advice,
        retryable,
    })
}

fn card_error(code: &str, decline_code: &str, advice: &str) -> String {
    format!(
        r#"{{"error":{{"type":"card_error","code":{code},"decline_code":{decline_code},"advice_code":{advice},"message":"Your card was declined.","charge":"ch_1","doc_url":"https://stripe.com/docs/error-codes/card-declined","payment_intent":{{"id":"pi_1","object":"payment_intent","status":"requires_payment_method"}}}}}}"#
    )
}

// code, decline code, advice => what is made of it: code, whether it is worth another try later.
const DECLINES: &str = "
    card_declined            generic_decline          -                  => generic_decline         no
    card_declined            do_not_honor             -                  => do_not_honor            no
    card_declined            lost_card                -                  => lost_card               no
    card_declined            fraudulent               -                  => fraudulent              no
    card_declined            brand_new                -                  => brand_new               no
    card_declined            insufficient_funds       -                  => insufficient_funds      yes
    card_declined            issuer_not_available     -                  => issuer_not_available    yes
    card_declined            reenter_transaction      -                  => reenter_transaction     yes
    card_declined            try_again_later          -                  => try_again_later         yes
    card_declined            approve_with_id          -                  => approve_with_id         yes
    card_declined            card_velocity_exceeded   -                  => card_velocity_exceeded  yes
    card_declined            card_velocity_exceeded   do_not_try_again   => card_velocity_exceeded  no
    card_declined            stolen_card              do_not_try_again   => stolen_card             no
    card_declined            do_not_honor             try_again_later    => do_not_honor            yes
    card_declined            insufficient_funds       ask_your_cat       => insufficient_funds      yes
    incorrect_cvc            incorrect_cvc            confirm_card_data  => incorrect_cvc           no
    incorrect_cvc            -                        -                  => incorrect_cvc           no
    expired_card             -                        -                  => expired_card            no
    processing_error         -                        -                  => processing_error        yes
    authentication_required  authentication_required  -                  => authentication_required no
    incorrect_number         incorrect_number         -                  => incorrect_number        no
    card_declined            incorrect_number         -                  => incorrect_number        no
    4242424242424242         -                        -                  => generic_decline         no
    Code                     -                        -                  => generic_decline         no
    -                        -                        -                  => generic_decline         no
";

#[test]
fn a_decline_is_told_by_its_most_telling_code() {
    let json = |cell: &str| match cell {
        "-" => "null".to_owned(),
        text => format!("\"{text}\""),
    };
    for row in DECLINES.trim().lines() {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let [code, decline_code, advice, "=>", expected, retryable] = cells[..] else {
            panic!("{row}");
        };
        let body = card_error(&json(code), &json(decline_code), &json(advice));
        let expected = declined(expected, Advice::from_name(advice), retryable == "yes");
        for step in [Step::CardIntake, Step::Other] {
            assert_eq!(at(step, 402, &body), expected, "{step:?} {row}");
        }
        let refusal = refusal(Step::Other, &answer(402, &body));
        assert_eq!(refusal.payment.as_deref(), Some("pi_1"));
    }
}

#[test]
fn fields_of_other_types_hide_no_decline() {
    let body = card_error("\"card_declined\"", "7", "{}");
    let expected = declined("card_declined", None, false);
    assert_eq!(at(Step::Other, 402, &body), expected);
    let body = card_error("[]", "\"lost_card\"", "[{}]");
    assert_eq!(
        at(Step::Other, 402, &body),
        declined("lost_card", None, false)
    );
}

#[test]
fn a_detail_that_is_no_cards_is_a_fault_only_where_the_card_is_taken_in() {
    for fault in CardFault::ALL {
        for (status, kind) in [(402, "card_error"), (400, "invalid_request_error")] {
            let body = format!(
                r#"{{"error":{{"type":"{kind}","code":"{}","message":"Your card number 4242 is incorrect.","param":"number"}}}}"#,
                fault.name()
            );
            assert_eq!(
                at(Step::CardIntake, status, &body),
                Failure::CardInvalid(fault)
            );
            let elsewhere = if status == 402 {
                declined(fault.name(), None, false)
            } else {
                Failure::Rejected
            };
            assert_eq!(at(Step::Other, status, &body), elsewhere);
        }
    }
}

#[test]
fn the_refusal_of_raw_cards_is_known_by_its_sentence() {
    let body = r#"{"error":{"message":"Sending credit card numbers directly to the Stripe API is generally unsafe. We suggest you use test tokens that map to the test card you are using, see https://stripe.com/docs/testing. To enable testing raw card data APIs, see https://support.stripe.com/questions/enabling-access-to-raw-card-data-apis.","request_log_url":"https://dashboard.stripe.com/test/logs/req_1","type":"invalid_request_error"}}"#;
    for status in [400, 402, 403] {
        assert_eq!(at(Step::CardIntake, status, body), Failure::RawCardsRefused);
    }
    assert_eq!(at(Step::Other, 400, body), Failure::Rejected);
}

// status, type, code => failure.
const CLASSES: &str = "
    400 invalid_request_error parameter_unknown               => rejected
    400 invalid_request_error parameter_missing               => rejected
    400 invalid_request_error amount_too_small                => invalid
    400 invalid_request_error payment_intent_unexpected_state => rejected
    404 invalid_request_error -                               => rejected
    400 invalid_request_error resource_missing                => missing
    404 invalid_request_error resource_missing                => missing
    400 idempotency_error     -                               => idempotency_mismatch
    400 idempotency_error     idempotency_key_in_use          => in_flight
    409 idempotency_error     idempotency_key_in_use          => in_flight
    409 invalid_request_error lock_timeout                    => in_flight
    429 invalid_request_error rate_limit                      => rate_limited
    429 invalid_request_error lock_timeout                    => rate_limited
    400 rate_limit_error      -                               => rate_limited
    401 invalid_request_error -                               => not_authorized
    401 invalid_request_error api_key_expired                 => not_authorized
    403 invalid_request_error -                               => not_authorized
    400 authentication_error  -                               => not_authorized
    400 api_error             -                               => outcome_unknown
    402 brand_new_error       -                               => outcome_unknown
    424 api_error             external_dependency             => outcome_unknown
    424 card_error            card_declined                   => outcome_unknown
    500 api_error             -                               => outcome_unknown
    502 api_error             -                               => outcome_unknown
    503 card_error            card_declined                   => outcome_unknown
    302 card_error            card_declined                   => outcome_unknown
";

#[test]
fn every_other_class_of_error_has_its_failure() {
    for row in CLASSES.trim().lines() {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let [status, kind, code, "=>", expected] = cells[..] else {
            panic!("{row}");
        };
        let body = format!(
            r#"{{"error":{{"type":"{kind}","code":"{code}","message":"Free text.","param":"amount"}}}}"#
        )
        .replace(r#""-""#, "null");
        let failure = at(Step::Other, status.parse().unwrap(), &body);
        assert_eq!(failure.name(), expected, "{row}");
    }
}

#[test]
fn a_body_that_is_not_stripes_never_means_that_nothing_happened() {
    let bodies = [
        "",
        "<html>Bad Gateway</html>",
        "{}",
        "[]",
        "null",
        r#"{"error":null}"#,
        r#"{"error":"a text"}"#,
        r#"{"error":{"#,
        r#"{"error":{}}"#,
        r#"{"error":{"type":null}}"#,
        r#"{"error":{"type":7,"code":{},"payment_intent":[]}}"#,
        "\u{0}",
    ];
    for body in bodies {
        for status in [
            300, 307, 400, 402, 404, 405, 418, 424, 451, 499, 500, 502, 503, 504, 599,
        ] {
            assert_eq!(
                at(Step::Other, status, body),
                Failure::OutcomeUnknown,
                "{status} {body}"
            );
            assert_eq!(at(Step::CardIntake, status, body), Failure::OutcomeUnknown);
        }
        // These statuses say by themselves that the request was not let in.
        for status in [401, 403] {
            assert_eq!(at(Step::Other, status, body), Failure::NotAuthorized);
        }
        assert_eq!(
            at(Step::Other, 429, body),
            Failure::RateLimited { retry_after_s: 1 }
        );
        assert_eq!(
            at(Step::Other, 409, body),
            Failure::InFlight { retry_after_s: 1 }
        );
    }
}

#[test]
fn a_wait_is_believed_within_bounds() {
    for (asked, believed) in [
        (None, 1),
        (Some(0), 1),
        (Some(30), 30),
        (Some(u32::MAX), 300),
    ] {
        let mut answer = answer(429, "");
        answer.retry_after_s = asked;
        assert_eq!(
            refusal(Step::Other, &answer).failure,
            Failure::RateLimited {
                retry_after_s: believed
            }
        );
    }
}

#[test]
fn another_attempt_is_made_at_locks_and_where_stripe_says_so() {
    let locked = r#"{"error":{"type":"invalid_request_error","code":"lock_timeout"}}"#;
    let limited = r#"{"error":{"type":"invalid_request_error","code":"rate_limit"}}"#;
    for (status, body, should_retry, again) in [
        (409, locked, None, true),
        (429, locked, None, true),
        (429, limited, None, false),
        (429, limited, Some(true), true),
        (409, locked, Some(false), false),
        (500, "", None, false),
        (500, "", Some(true), true),
        (400, "", None, false),
    ] {
        let mut answer = answer(status, body);
        answer.should_retry = should_retry;
        assert_eq!(
            refusal(Step::Other, &answer).again,
            again,
            "{status} {should_retry:?}"
        );
    }
}

#[test]
fn an_open_end_that_is_kept_is_told_as_such_and_every_other_answer_as_it_is() {
    let unexpected =
        r#"{"error":{"type":"invalid_request_error","code":"payment_intent_unexpected_state"}}"#;
    let mismatch = r#"{"error":{"type":"idempotency_error"}}"#;
    for (status, body, name) in [
        (500, "", "fault_kept"),
        (502, "<html>", "fault_kept"),
        (599, r#"{"error":{"type":"api_error"}}"#, "fault_kept"),
        (424, "", "fault_kept"),
        (400, unexpected, "rejected"),
        (400, mismatch, "idempotency_mismatch"),
        (409, "", "in_flight"),
        (429, "", "rate_limited"),
        (401, "", "not_authorized"),
    ] {
        let mut answer = answer(status, body);
        answer.replayed = true;
        for should_retry in [None, Some(true), Some(false)] {
            answer.should_retry = should_retry;
            let refusal = refusal(Step::Other, &answer);
            assert_eq!(refusal.failure.name(), name, "{status} {body}");
            let never = refusal.failure == Failure::FaultKept;
            assert!(!(never && refusal.again), "{status} {should_retry:?}");
        }
    }
    let decline = card_error("\"card_declined\"", "\"lost_card\"", "null");
    let mut answer = answer(402, &decline);
    answer.replayed = true;
    assert_eq!(
        refusal(Step::Other, &answer).failure,
        declined("lost_card", None, false)
    );
}

#[test]
fn a_refused_payment_is_found_as_an_object_or_as_an_id() {
    for (value, expected) in [
        (r#"{"id":"pi_1"}"#, Some("pi_1")),
        (r#""pi_1""#, Some("pi_1")),
        (r#"{"id":"pi_1/../x"}"#, None),
        (r#"{"id":"ch_1"}"#, None),
        ("{}", None),
        ("null", None),
        ("7", None),
    ] {
        let body = format!(
            r#"{{"error":{{"type":"card_error","code":"card_declined","payment_intent":{value}}}}}"#
        );
        let refusal = refusal(Step::Other, &answer(402, &body));
        assert_eq!(refusal.payment.as_deref(), expected, "{value}");
        assert_eq!(refusal.failure, declined("card_declined", None, false));
    }
}

#[test]
fn no_word_of_stripes_free_text_is_kept() {
    let body = r#"{"error":{"type":"card_error","code":"card_declined","message":"SECRET","param":"SECRET","decline_code":"SECRET WORDS"}}"#;
    let failure = at(Step::Other, 402, body);
    assert!(!format!("{failure:?} {failure}").contains("SECRET"));
}
