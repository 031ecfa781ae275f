//! The billing engineer's page: its file is run as it stands.

use crate::engines::{Engine, on_both_engines};
use crate::support::App;

on_both_engines! {
    the_billing_engineers_file_does_what_its_page_says,
    the_published_loop_sends_a_declined_charge_once,
    a_declined_charge_says_of_itself_that_repeating_it_is_useless,
}

/// Stripe's published card of insufficient funds, whose decline may pass on another day.
const INSUFFICIENT_FUNDS: &str = "4000000000009995";

/// Runs `until_answered` of the published file on one charge, and counts what it sends.
const DECLINED_ONCE: &str = r#"
import sys
sys.path.insert(0, sys.argv[1])
import billing
client = billing.Client(sys.argv[2], sys.argv[3], "client-billing")
sent, once = [], client.once
client.once = lambda *request: (sent.append(request), once(*request))[1]
billing.time.sleep = lambda s: sys.exit(f"waits {s} s to repeat a decline")
try:
    client.until_answered("POST", "/v1/charges", {"token": sys.argv[4], "amount": 1250, "currency": "eur"}, "k")
except billing.Problem as problem:
    assert (problem.status, problem.body["code"], len(sent)) == (402, "card_declined", 1), (problem, sent)
    sys.exit(0)
sys.exit("not declined")
"#;

async fn the_published_loop_sends_a_declined_charge_once(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(INSUFFICIENT_FUNDS).await;
    let done = std::process::Command::new("python3")
        .args([
            "-c",
            DECLINED_ONCE,
            concat!(env!("CARGO_MANIFEST_DIR"), "/docs"),
        ])
        .arg(&app.at.internal)
        .arg(app.dir.path())
        .arg(&token)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let complained = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{complained}");
}

async fn a_declined_charge_says_of_itself_that_repeating_it_is_useless(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(INSUFFICIENT_FUNDS).await;
    let first = app.charge(&token, "k").await;
    let problem = first.problem(402, "card_declined");
    assert_eq!(problem["retryable"], false, "{problem}");
    assert_eq!(problem["decline"]["retryable"], true, "{problem}");
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = app.charge(&token, "k").await;
    let repeated = again.problem(402, "card_declined");
    assert_eq!(repeated["charge"], problem["charge"]);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

async fn the_billing_engineers_file_does_what_its_page_says(engine: Engine) {
    let app = App::on(engine);
    let done = std::process::Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/billing.py"))
        .arg("--dir")
        .arg(app.dir.path())
        .args(["--internal", &app.at.internal, "--capture", &app.at.capture])
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{said}\n{complained}");
    for line in [
        "token    test_tok_",
        "charge   test_chg_",
        "refund   test_ref_",
        "feed    ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains("refused  422 invalid_request"), "{said}");
}
