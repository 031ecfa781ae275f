//! Hostile input: each answered with the right problem, and never an echo, a panic or a 500.

use serde_json::json;

use crate::support::leaks::holds;
use crate::support::raw::{exchange, status};
use crate::support::{App, VISA, Who, card};

/// In every body below, and in no answer.
const CANARY: &str = "4012888888881881";

fn with(field: &str, value: &str) -> String {
    let fields = [
        ("number", format!("\"{CANARY}\"")),
        ("exp_month", "12".to_owned()),
        ("exp_year", "2034".to_owned()),
        ("cvc", "\"737\"".to_owned()),
    ];
    let members: Vec<String> = fields
        .iter()
        .map(|(name, usual)| format!("\"{name}\":{}", if *name == field { value } else { usual }))
        .collect();
    format!("{{\"card\":{{{}}}}}", members.join(","))
}

/// Bodies, each with the status it must be answered with.
fn bodies() -> Vec<(Vec<u8>, u16)> {
    let good = with("", "");
    let mut table: Vec<(Vec<u8>, u16)> = Vec::new();
    let mut text = |body: String, status: u16| table.push((body.into_bytes(), status));

    // JSON broken off or disturbed at each structural position.
    for (at, letter) in good.char_indices() {
        if matches!(letter, '{' | '}' | ':' | ',' | '"') && at > 0 {
            text(good[..at].to_owned(), 400);
        }
    }
    for noise in ["", " ", "null", "true", "[]", "\"x\"", "1", "{}", "[{}]"] {
        let status = if noise.trim().is_empty() { 400 } else { 422 };
        text(noise.to_owned(), status);
    }
    for after in ["x", "{}", ",", "]", "\u{feff}"] {
        text(format!("{good}{after}"), 400);
    }
    text(format!("\u{feff}{good}"), 400);
    text(good.replace('"', "'"), 400);
    text(good.replace(':', "="), 400);
    text(format!("{good:.0}//{good}"), 400);

    // Wrong types, in each place.
    for field in ["number", "cvc"] {
        for value in [
            "4012888888881881",
            "null",
            "true",
            "[]",
            "{}",
            "[\"4012888888881881\"]",
            "1e400",
            "-1",
        ] {
            text(with(field, value), if value == "1e400" { 400 } else { 422 });
        }
    }
    for field in ["exp_month", "exp_year"] {
        for value in [
            "\"12\"",
            "null",
            "true",
            "[]",
            "{}",
            "1.5",
            "-1",
            "99999999999999999999",
            "4012888888881881",
            "1e2",
        ] {
            text(with(field, value), 422);
        }
    }

    // Numbers and texts that are no card's.
    for number in [
        "٤٠١٢٨٨٨٨٨٨٨٨١٨٨١",
        "４０１２８８８８８８８８１８８１",
        "4012888888881881\\u0000",
        "\\u0034012888888881881",
        "4012888888881881 OR 1=1",
        "401288888888188100000000000000",
        "<script>4012888888881881</script>",
        "%34012888888881881",
        "4012888888881881\\n",
        "../4012888888881881",
        "${4012888888881881}",
    ] {
        text(with("number", &format!("\"{number}\"")), 422);
    }

    // Members twice, unknown, misplaced; depth; size.
    text(good.replace("\"cvc\"", "\"number\""), 422);
    text(good.replace("{\"card\"", "{\"card\":{},\"card\""), 422);
    text(good.replace("\"cvc\"", "\"4012888888881881\""), 422);
    text(
        good.replace("{\"card\"", "{\"4012888888881881\":1,\"card\""),
        422,
    );
    text(good.replace("{\"card\"", "{\"__proto__\":{},\"card\""), 422);
    text(
        format!("{{\"card\":{}{}}}", "[".repeat(200), "]".repeat(200)),
        422,
    );
    text(
        format!("{}1{}", "{\"card\":".repeat(900), "}".repeat(900)),
        400,
    );
    text(format!("{good}{}", " ".repeat(9_000)), 413);
    text(format!("{{\"card\":\"{}\"}}", CANARY.repeat(1_000)), 413);
    text(
        format!(
            "{}{}",
            &good[..good.len() - 1],
            ",\"billing_details\":{\"name\":\"4012888888881881\"}}"
        ),
        422,
    );
    text(
        format!(
            "{}{}",
            &good[..good.len() - 1],
            ",\"billing_details\":{\"address\":{\"country\":\"4012888888881881\"}}}"
        ),
        422,
    );

    // Bytes that are not text.
    table.push((b"\xff\xfe{\"card\":1}".to_vec(), 400));
    table.push((good.replace("737", "7\u{0}37").into_bytes(), 400));
    table.push((
        [
            b"{\"card\":{\"number\":\"\xc3\x28",
            CANARY.as_bytes(),
            b"\"}}",
        ]
        .concat(),
        400,
    ));
    table.push((vec![0; 64], 400));
    table.push((b"\x1f\x8b\x08\x00".to_vec(), 400));
    table
}

#[tokio::test]
async fn hostile_bodies_are_answered_with_the_right_problem_and_no_echo() {
    let app = App::start();
    let table = bodies();
    assert!(table.len() >= 60, "{}", table.len());
    // Bodies that parse as cards cost attempts; the others do not, so one session serves them.
    let mut secret = app.session().await;
    for (body, expected) in table {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let request = [
            format!(
                "POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .into_bytes(),
            body,
        ]
        .concat();
        let answer = exchange(&app, Who::Nobody, &app.at.capture, &request).await;
        let said = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(status(&answer), expected, "{shown}\n{said}");
        assert!(said.contains("application/problem+json"), "{shown}\n{said}");
        assert!(
            !holds(&answer, CANARY.as_bytes()) && !said.contains("8888"),
            "{shown}\n{said}"
        );
        if said.contains("invalid_card") {
            secret = app.session().await;
        }
    }
    // It is all there still.
    assert_eq!(app.post_card(&secret, &card(VISA), &[]).await.status, 201);
    let log = std::fs::read_to_string(app.path("log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

/// Whole requests that no client would send.
fn requests(secret: &str) -> Vec<(String, Vec<u8>)> {
    let body = with("", "");
    let auth = format!("Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n");
    let post = |line: &str, headers: &str, body: &str| {
        format!("POST {line} HTTP/1.1\r\nHost: localhost\r\n{auth}{headers}\r\n{body}").into_bytes()
    };
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let cl = format!("Content-Length: {length}\r\n");
    let te = "Transfer-Encoding: chunked\r\n";
    let smuggled = format!("{body}GET /{CANARY} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    vec![
        ("length and chunked".into(), post("/v1/tokens", &format!("{cl}{te}"), &chunked)),
        ("chunked and length".into(), post("/v1/tokens", &format!("{te}{cl}"), &chunked)),
        ("two lengths".into(), post("/v1/tokens", &format!("Content-Length: 0\r\n{cl}"), &body)),
        ("two equal lengths".into(), post("/v1/tokens", &format!("{cl}{cl}"), &body)),
        ("length with a sign".into(), post("/v1/tokens", &format!("Content-Length: +{length}\r\n"), &body)),
        ("negative length".into(), post("/v1/tokens", "Content-Length: -1\r\n", &body)),
        ("length list".into(), post("/v1/tokens", &format!("Content-Length: {length}, {length}\r\n"), &body)),
        ("huge length".into(), post("/v1/tokens", "Content-Length: 99999999999999999999\r\n", &body)),
        ("chunked twice".into(), post("/v1/tokens", "Transfer-Encoding: chunked, chunked\r\n", &chunked)),
        ("chunked, then identity".into(), post("/v1/tokens", "Transfer-Encoding: chunked, identity\r\n", &chunked)),
        ("obscured chunked".into(), post("/v1/tokens", "Transfer-Encoding: xchunked\r\n", &chunked)),
        ("obscured header".into(), post("/v1/tokens", "Transfer-Encoding : chunked\r\n", &chunked)),
        ("bad chunk size".into(), post("/v1/tokens", te, &format!("zz\r\n{body}\r\n0\r\n\r\n"))),
        ("huge chunk size".into(), post("/v1/tokens", te, &format!("ffffffffffffffffff\r\n{body}"))),
        ("folded header".into(), post("/v1/tokens", &format!("X-Card: a\r\n {CANARY}\r\n{cl}"), &body)),
        ("NUL in a header".into(), post("/v1/tokens", &format!("X-Card: {CANARY}\0\r\n{cl}"), &body)),
        ("bare LF".into(), format!("POST /v1/tokens HTTP/1.1\nHost: localhost\n{cl}\n{body}").into_bytes()),
        ("second request behind".into(), post("/v1/tokens", &cl, &smuggled)),
        ("card in the query".into(), post(&format!("/v1/tokens?number={CANARY}"), &cl, &body)),
        ("card in the path".into(), post(&format!("/v1/tokens/{CANARY}"), &cl, &body)),
        ("traversal".into(), post(&format!("/../../{CANARY}"), &cl, &body)),
        ("encoded NUL in the path".into(), post(&format!("/v1/tokens%00{CANARY}"), &cl, &body)),
        ("bad percent in the path".into(), post(&format!("/v1/tok%ens%zz{CANARY}"), &cl, &body)),
        ("absolute target".into(), post(&format!("https://elsewhere.example/{CANARY}"), &cl, &body)),
        ("form body".into(), format!("POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/x-www-form-urlencoded\r\n{cl}\r\n{body}").into_bytes()),
        ("two content types".into(), post("/v1/tokens", &format!("Content-Type: text/plain\r\n{cl}"), &body)),
        ("many headers".into(), post("/v1/tokens", &format!("{}{cl}", format!("X-A: {CANARY}\r\n").repeat(90)), &body)),
        ("very many headers".into(), post("/v1/tokens", &format!("{}{cl}", format!("X-A: {CANARY}\r\n").repeat(500)), &body)),
        ("a long header".into(), post("/v1/tokens", &format!("X-A: {}\r\n{cl}", CANARY.repeat(2_000)), &body)),
        ("unknown method".into(), format!("BREW /v1/tokens HTTP/1.1\r\nHost: localhost\r\n{cl}\r\n{body}").into_bytes()),
        ("TRACE".into(), format!("TRACE /v1/tokens HTTP/1.1\r\nHost: localhost\r\nX-Card: {CANARY}\r\n\r\n").into_bytes()),
        ("HTTP/0.9".into(), format!("GET /{CANARY}\r\n\r\n").into_bytes()),
        ("HTTP/3.0".into(), format!("POST /v1/tokens HTTP/3.0\r\n{cl}\r\n{body}").into_bytes()),
        ("HTTP/2 preface".into(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("not HTTP".into(), format!("{CANARY}\r\n\r\n").repeat(10).into_bytes()),
        ("two idempotency keys".into(), post("/v1/tokens", &format!("Idempotency-Key: a\r\nIdempotency-Key: b\r\n{cl}"), &body)),
        ("card as idempotency key, too long".into(), post("/v1/tokens", &format!("Idempotency-Key: {}\r\n{cl}", CANARY.repeat(20)), &body)),
    ]
}

#[tokio::test]
async fn hostile_requests_are_refused_without_an_echo_and_smuggle_nothing() {
    let app = App::start();
    for number in 0..requests("").len() {
        // Some of these may well make a token, which ends a session.
        let secret = app.session().await;
        let (what, bytes) = requests(&secret).swap_remove(number);
        let answer = exchange(&app, Who::Nobody, &app.at.capture, &bytes).await;
        let said = String::from_utf8_lossy(&answer).into_owned();
        assert!(!holds(&answer, CANARY.as_bytes()), "{what}: {said}");
        assert!(status(&answer) < 500, "{what}: {said}");
        // Only what is rightly framed behind the first request is a second one.
        let answers = if what == "second request behind" {
            2
        } else {
            1
        };
        assert!(
            said.matches("HTTP/1.1 ").count() <= answers,
            "{what}: {said}"
        );
        let lenient = [
            "second request behind",
            "absolute target",
            "many headers",
            "folded header",
        ];
        if !lenient.contains(&what.as_str()) {
            assert_ne!(status(&answer), 201, "{what}: {said}");
        }
    }
    let log = std::fs::read_to_string(app.path("log")).unwrap();
    assert!(!log.contains("panicked") && !log.contains(CANARY), "{log}");
    assert!(
        app.ledger().await["payment_methods"]
            .as_array()
            .unwrap()
            .len()
            <= 4
    );
}

#[tokio::test]
async fn card_numbers_are_refused_wherever_the_internal_plane_takes_text() {
    let app = App::start();
    for order in [
        json!({"customer_ref": CANARY}),
        json!({"customer_ref": "4012 8888 8888 1881"}),
        json!({"customer_ref": "c", "metadata": {"note": format!("card {CANARY}.")}}),
        json!({"customer_ref": "c", "metadata": {CANARY: "x"}}),
        // Once each of these was stored.
        json!({"customer_ref": "4012.8888.8888.1881"}),
        json!({"customer_ref": "４０１２８８８８８８８８１８８１"}),
        json!({"customer_ref": "No1x4012888888881881"}),
        json!({"customer_ref": "2200770212727079"}),
        json!({"customer_ref": "c", "metadata": {"note": "4012\n8888\n8888\n1881"}}),
        json!({"customer_ref": "c", "metadata": {"note": "40128888888818811230123"}}),
        json!({"origin": "https://4012888888881881.shop.example"}),
    ] {
        let problem = app
            .order_session(&order)
            .await
            .problem(422, "invalid_request");
        assert!(
            problem["errors"].to_string().contains("card_number"),
            "{problem}"
        );
    }
    let order = json!({"origin": "https://shop.example"});
    let secret = app.order_session(&order).await.json()["client_secret"].clone();
    let mut body = card(VISA);
    body["return_path"] = json!("/back?card=4012%208888%208888%201881&cvc=123");
    let refused = app.post_card(secret.as_str().unwrap(), &body, &[]).await;
    let problem = refused.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/return_path", "{problem}");
    assert_eq!(problem["errors"][0]["reason"], "card_number", "{problem}");
    let token = app.token(VISA).await;
    for member in ["description", "statement_descriptor_suffix"] {
        let order = json!({"token": token, "amount": 100, "currency": "eur", member: format!("x{CANARY}x ").replace('x', " ")});
        app.order_charge(&order, "k")
            .await
            .problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn impossible_orders_are_refused_with_their_place() {
    let app = App::start();
    let token = app.token(VISA).await;
    let charges = [
        (json!({"amount": 0}), "/amount"),
        (json!({"amount": -5}), "/amount"),
        (json!({"amount": 100_000_000}), "/amount"),
        (json!({"amount": 12.5}), "/amount"),
        (json!({"amount": "12"}), "/amount"),
        (json!({"amount": 9_223_372_036_854_775_808_u64}), "/amount"),
        (json!({"currency": "EUR"}), "/currency"),
        (json!({"currency": "euro"}), "/currency"),
        (json!({"currency": ""}), "/currency"),
        (json!({"token": "tok"}), "/token"),
        (json!({"token": null}), "/token"),
        (
            json!({"token": "test_chg_00000000000000000000000000"}),
            "/token",
        ),
        (json!({"capture": "yes"}), "/capture"),
        (json!({"metadata": {"a": 1}}), "/metadata"),
        (json!({"metadata": []}), "/metadata"),
        (json!({"description": "x".repeat(501)}), "/description"),
        (json!({"description": "a\u{7}b"}), "/description"),
        (
            json!({"statement_descriptor_suffix": "12345"}),
            "/statement_descriptor_suffix",
        ),
        (
            json!({"statement_descriptor_suffix": "A*B"}),
            "/statement_descriptor_suffix",
        ),
        (json!({"unknown": 1}), ""),
    ];
    for (change, pointer) in charges {
        let mut order = json!({"token": token, "amount": 100, "currency": "eur"});
        for (name, value) in change.as_object().unwrap() {
            order[name] = value.clone();
        }
        let problem = app
            .order_charge(&order, "k")
            .await
            .problem(422, "invalid_request");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{change} {problem}"
        );
    }
    let sessions = [
        (json!({"expires_in_s": 59}), "/expires_in_s"),
        (json!({"expires_in_s": 86_401}), "/expires_in_s"),
        (json!({"origin": "http://shop.example"}), "/origin"),
        (json!({"origin": "https://shop.example/pay"}), "/origin"),
        (json!({"customer_ref": ""}), "/customer_ref"),
        (json!({"customer_ref": "c".repeat(201)}), "/customer_ref"),
        (json!({"usage": "always"}), "/usage"),
    ];
    for (order, pointer) in sessions {
        let problem = app
            .order_session(&order)
            .await
            .problem(422, "invalid_request");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{order} {problem}"
        );
    }
    assert_eq!(app.ledger().await["payment_intents"], json!([]));
}

#[tokio::test]
async fn an_origin_that_would_mean_something_in_a_header_is_refused() {
    let app = App::start();
    for origin in [
        "https://*",
        "https://*.shop.example",
        "https://a;sandbox",
        "https://[::1]",
    ] {
        let refused = app.order_session(&json!({ "origin": origin })).await;
        let problem = refused.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/origin", "{problem}");
        assert_eq!(
            problem["errors"][0]["reason"], "not_an_https_origin",
            "{problem}"
        );
    }
}
