//! The store against the processor: what was planted on either side is found, and what may be is
//! repaired.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Output};
use std::sync::Arc;

use cloakroom::clock::Clock;
use cloakroom::reconciliation::{Kind, Repair};
use cloakroom::seal::mac::{MacKey, MacKeys};
use cloakroom::seal::order::{self, Order, OrderKeys};
use cloakroom::seal::signing::SigningKey;
use cloakroom::token::{ChargeId, Environment, RefundId};
use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{App, VISA, Who, eventually, request};

on_both_engines! {
    two_sides_that_agree_are_said_to_agree,
    reconcile_finds_each_planted_difference_and_repairs_those_it_is_allowed_to,
    the_worker_compares_by_itself_and_tells_the_operator,
}

/// Nothing waits in a test: what is new counts, and what differs is read again at once.
const AT_ONCE: [(&str, &str); 2] = [
    ("CLOAKROOM__RECONCILIATION__SETTLING_S", "0"),
    ("CLOAKROOM__RECONCILIATION__CONFIRM_AFTER_S", "0"),
];

fn now_ms() -> i64 {
    Clock::system().now().unix_ms()
}

fn charge_id() -> String {
    ChargeId::new(Environment::Test, Clock::system().now()).to_string()
}

impl App {
    /// A payment that nobody asked the service for.
    async fn payment_there(&self, form: &str) -> String {
        let order = format!(
            "amount=1250&currency=eur&payment_method=pm_card_visa&confirm=true&allowed_payment_method_types[]=card&return_url=https://shop.example{form}"
        );
        let made = self
            .dashboard(Method::POST, "payment_intents", &order)
            .await;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn refund_there(&self, payment: &str, form: &str) -> String {
        let order = format!("payment_intent={payment}{form}");
        let made = self.dashboard(Method::POST, "refunds", &order).await;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn dispute_there(&self, payment: &str) -> String {
        let ledger = self.ledger().await;
        let intents = ledger["payment_intents"].as_array().unwrap();
        let intent = intents.iter().find(|one| one["id"] == payment).unwrap();
        let charge = intent["latest_charge"].as_str().unwrap();
        let order = json!({ "kind": "fraudulent" });
        let path = format!("charges/{charge}/dispute");
        let made = self.sandbox(Method::POST, &path, &order).await;
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// A charge that succeeded, and its payment.
    async fn charged_on(&self, token: &str, key: &str, capture: bool) -> (String, String) {
        let order = json!({
            "token": token, "amount": 1250, "currency": "eur", "capture": capture,
            "off_session": true,
        });
        let made = self.order_charge(&order, key).await;
        assert_eq!(made.status, 201, "{}", made.json());
        let id = made.json()["id"].as_str().unwrap().to_owned();
        (id.clone(), self.processor_payment_of(&id).await)
    }

    async fn processor_payment_of(&self, charge: &str) -> String {
        let path = format!("ledger/charges/{charge}");
        let sums = self.sandbox(Method::GET, &path, &Value::Null).await.json();
        sums["ids"][0].as_str().unwrap().to_owned()
    }

    /// A row of a charge that is like `base` but for these columns.
    async fn plant_charge(&self, base: &str, columns: &[(&str, &str)]) -> String {
        let id = charge_id();
        self.plant_charge_as(&id, base, columns).await;
        id
    }

    async fn plant_charge_as(&self, id: &str, base: &str, columns: &[(&str, &str)]) {
        let all = [
            "id",
            "account",
            "client",
            "token_id",
            "amount",
            "captured",
            "refunded",
            "currency",
            "capture",
            "off_session",
            "metadata",
            "status",
            "payment",
            "disputed",
            "processor_key",
            "created_at_ms",
            "updated_at_ms",
        ];
        let own = format!("'{id}'");
        let value = |column: &&str| match *column {
            "id" | "processor_key" => own.clone(),
            column => {
                let changed = columns.iter().find(|(name, _)| *name == column);
                changed.map_or(column.to_owned(), |(_, value)| (*value).to_owned())
            }
        };
        let values: Vec<String> = all.iter().map(value).collect();
        let (all, values) = (all.join(", "), values.join(", "));
        let statement =
            format!("INSERT INTO charges ({all}) SELECT {values} FROM charges WHERE id = '{base}'");
        self.change_rows(&statement).await;
        self.order(id).await;
    }

    /// Gives a planted charge the proofs that it would have had, had the service written it.
    pub(crate) async fn order(&self, id: &str) {
        let (array, bytes) = match self.server {
            None => ("json_array", "x'"),
            Some(_) => ("json_build_array", "'\\x"),
        };
        let columns = "account, client, token_id, currency, metadata, processor_key, payment, amount, created_at_ms, capture, off_session";
        let query = format!("SELECT {array}({columns}) FROM charges WHERE id = '{id}'");
        let row: Value = serde_json::from_str(&self.text(&query).await).unwrap();
        let text = |at: usize| row[at].as_str().unwrap();
        let number = |at: usize| row[at].as_i64().unwrap();
        // SQLite has no booleans.
        let flag = |at: usize| row[at] == json!(1) || row[at] == json!(true);
        let key = MacKeys::new(MacKey::read(&self.path("order.key")).unwrap(), None);
        let shared = MacKeys::new(MacKey::read(&self.path("fingerprint.key")).unwrap(), None);
        let keys = OrderKeys::new(Some(key), Arc::new(shared));
        let proof = |order: &Order| {
            let proof = keys.sign(order).unwrap();
            let hex = proof.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            });
            format!("{bytes}{hex}'")
        };
        let order = Order::new(order::Kind::Charge, Environment::Test)
            .text(id)
            .text(text(0))
            .text(text(1))
            .text(text(2))
            .number(number(7))
            .text(text(3))
            .flag(flag(9))
            .flag(flag(10))
            .text_if_any(None)
            .text_if_any(None)
            .text(text(4))
            .text(text(5))
            .number(number(8));
        let payment = row[6].as_str().map(|name| {
            let order = Order::new(order::Kind::Payment, Environment::Test);
            order.text(id).text(text(0)).text(name)
        });
        let (ordered, paid) = (
            proof(&order),
            payment.map_or("NULL".to_owned(), |order| proof(&order)),
        );
        let statement = format!(
            "UPDATE charges SET order_proof = {ordered}, payment_proof = {paid} WHERE id = '{id}'"
        );
        self.change_rows(&statement).await;
    }

    async fn plant_refund(
        &self,
        charge: &str,
        name: &str,
        (status, amount): (&str, i64),
    ) -> String {
        let id = RefundId::new(Environment::Test, Clock::system().now()).to_string();
        let now = now_ms();
        let statement = format!(
            "INSERT INTO refunds (id, account, charge_id, amount, status, processor_refund, processor_key, created_at_ms, updated_at_ms)
             SELECT '{id}', account, id, {amount}, '{status}', '{name}', '{id}', {now}, {now} FROM charges WHERE id = '{charge}'"
        );
        self.change_rows(&statement).await;
        id
    }

    async fn plant_dispute(&self, charge: &str, name: &str) {
        let now = now_ms();
        let statement = format!(
            "INSERT INTO disputes (account, id, charge_id, amount, currency, reason, status, open, changed_at_ms, created_at_ms)
             SELECT account, '{name}', id, 1250, 'eur', 'fraudulent', 'needs_response', capture, 1, {now} FROM charges WHERE id = '{charge}'"
        );
        self.change_rows(&statement).await;
    }

    /// What the command says, and how it ends.
    fn reconcile(&self, arguments: &[&str]) -> Output {
        let config = self.path("cloakroom.toml");
        Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["reconcile", "--config"])
            .arg(config)
            .args(arguments)
            .envs(AT_ONCE)
            .output()
            .unwrap()
    }

    /// The report of the one account, once its signature is checked.
    fn report(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.reconcile(&[&["--json"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{error}\n{text}");
        self.note_said(&output.stdout);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let account = &told["accounts"][0];
        let key = SigningKey::read(&self.path("receipt.key")).unwrap();
        let jws = account["signed"].as_str().unwrap();
        let signed = key.verifying().open_jws("reconciliation+jws", jws).unwrap();
        let signed: Value = serde_json::from_slice(&signed).unwrap();
        assert_eq!(signed, account["report"]);
        assert_eq!(told["agrees"], signed["agrees"]);
        signed
    }
}

/// Kind and object of each difference, with what was done about it.
fn found(report: &Value) -> BTreeMap<(String, String), String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let differences = report["differences"].as_array().unwrap().iter();
    let one = |one: &Value| {
        let what = (text(&one["kind"]), text(&one["object"]));
        (what, text(&one["treatment"]))
    };
    let found: BTreeMap<_, _> = differences.map(one).collect();
    assert_eq!(found.len(), report["differences"].as_array().unwrap().len());
    found
}

async fn two_sides_that_agree_are_said_to_agree(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let (charge, _) = app.charged_on(&token, "paid", true).await;
    let (held, _) = app.charged_on(&token, "held", false).await;
    let url = format!("{}/v1/refunds", app.at.internal);
    let body = json!({ "charge": charge, "amount": 200 }).to_string();
    let headers = [
        ("idempotency-key", "back"),
        ("content-type", "application/json"),
    ];
    let refund = app.send(Who::Billing, request(Method::POST, &url, &headers, body));
    assert_eq!(refund.await.status, 201);
    let url = format!("{}/v1/charges/{held}/cancel", app.at.internal);
    let headers = [
        ("idempotency-key", "off"),
        ("content-type", "application/json"),
    ];
    let canceled = request(Method::POST, &url, &headers, "{}".to_owned());
    assert_eq!(app.send(Who::Billing, canceled).await.status, 200);
    let poor = app.token("4000000000000341").await;
    assert_eq!(app.charge(&poor, "poor").await.status, 402);
    // Somebody else's use of the same account.
    app.payment_there("").await;

    let report = app.report(&[], 0);
    let compared = &report["compared"];
    assert_eq!(compared["payments"], 4, "{report}");
    assert_eq!(compared["refunds"], 1);
    assert_eq!(
        (&compared["charges"], &compared["foreign"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(report["differences_total"], 0);
    let text = app.reconcile(&["--since", "2026-01-01T00:00:00Z"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.starts_with("default agrees since 2026-01-01T00:00:00"),
        "{text}"
    );
    let events = "SELECT count(*) FROM audit_events WHERE action = 'reconciliation.agreed'";
    assert_eq!(app.count(events).await, 2);

    // What cannot be asked is not said to agree.
    let nobody = app.reconcile(&["--account", "nobody"]);
    assert_eq!(nobody.status.code(), Some(78));
    let fault =
        json!({ "path": "/v1/payment_intents", "fault": "status", "status": 401, "times": 10 });
    let staged = app.sandbox(Method::POST, "faults", &fault).await;
    assert_eq!(staged.status, 200, "{}", staged.json());
    let silent = app.reconcile(&[]);
    assert_eq!(silent.status.code(), Some(69));
    app.sandbox(Method::DELETE, "faults", &Value::Null).await;
    assert_eq!(app.reconcile(&[]).status.code(), Some(0));
}

async fn reconcile_finds_each_planted_difference_and_repairs_those_it_is_allowed_to(
    engine: Engine,
) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let (base, base_payment) = app.charged_on(&token, "base", true).await;
    let quiet = json!({ "events": false });
    app.sandbox(Method::POST, "settings", &quiet).await;
    // What was said of it before is looked at first: a review would find what is planted.
    eventually("the service is at rest", async || {
        let owed = "SELECT (SELECT count(*) FROM charge_reviews) + (SELECT count(*) FROM processor_events WHERE status = 'pending')";
        app.ledger().await["webhooks"]["waiting"] == 0 && app.count(owed).await == 0
    })
    .await;
    let mut planted: Vec<(Kind, String)> = Vec::new();

    // Payments that belong to no charge, or to more than they should.
    let nonsense = app
        .payment_there("&metadata[cloakroom_charge]=order-7")
        .await;
    planted.push((Kind::PaymentOfNoCharge, nonsense));
    let lost = charge_id();
    let lost = app
        .payment_there(&format!("&metadata[cloakroom_charge]={lost}"))
        .await;
    planted.push((Kind::PaymentWithoutCharge, lost));
    let twice = app
        .payment_there(&format!("&metadata[cloakroom_charge]={base}"))
        .await;
    planted.push((Kind::SecondPayment, twice));
    let other = app
        .payment_there(&format!("&metadata[cloakroom_charge]={base}"))
        .await;
    app.plant_charge(&base, &[("payment", &format!("'{other}'"))])
        .await;
    planted.push((Kind::PaymentOfAnotherCharge, other));

    // Two of one request, as its mark in the metadata says.
    let of_one = format!("&metadata[cloakroom_key]={}", "ab".repeat(32));
    let first = app.payment_there(&of_one).await;
    planted.push((Kind::PaidTwice, app.payment_there(&of_one).await));
    let of_one = format!("&amount=100&metadata[cloakroom_key]={}", "cd".repeat(32));
    app.refund_there(&first, &of_one).await;
    let again = app.refund_there(&first, &of_one).await;
    planted.push((Kind::RefundedTwice, again));

    // Charges whose payment says something else.
    app.plant_charge(&base, &[("payment", "'pi_never'")]).await;
    planted.push((Kind::PaymentMissing, "pi_never".to_owned()));
    let late = charge_id();
    let paid = app
        .payment_there(&format!("&metadata[cloakroom_charge]={late}"))
        .await;
    let ended = [
        ("payment", "NULL"),
        ("status", "'canceled'"),
        ("captured", "0"),
    ];
    app.plant_charge_as(&late, &base, &ended).await;
    planted.push((Kind::PaidAfterEnd, paid));
    let manual = "&capture_method=manual";
    let held = app.payment_there(manual).await;
    app.dashboard(Method::POST, &format!("payment_intents/{held}/cancel"), "")
        .await;
    app.plant_charge(&base, &[("payment", &format!("'{held}'"))])
        .await;
    planted.push((Kind::NotPaid, held));
    let (captured, captured_payment) = app.charged_on(&token, "captured", false).await;
    let capture = format!("payment_intents/{captured_payment}/capture");
    app.dashboard(Method::POST, &capture, "amount_to_capture=900")
        .await;
    planted.push((Kind::PaymentStatus, captured_payment));
    let (less, foreign) = (
        app.payment_there(manual).await,
        app.payment_there(manual).await,
    );
    let open = ("status", "'requires_capture'");
    let of = |payment: &str| format!("'{payment}'");
    let columns = [
        ("payment", &*of(&less)),
        open,
        ("captured", "0"),
        ("amount", "999"),
    ];
    app.plant_charge(&base, &columns).await;
    planted.push((Kind::PaymentAmount, less));
    let columns = [
        ("payment", &*of(&foreign)),
        open,
        ("captured", "0"),
        ("currency", "'usd'"),
    ];
    app.plant_charge(&base, &columns).await;
    planted.push((Kind::PaymentCurrency, foreign));
    let part = app.payment_there(manual).await;
    let capture = format!("payment_intents/{part}/capture");
    app.dashboard(Method::POST, &capture, "amount_to_capture=700")
        .await;
    let part_charge = app.plant_charge(&base, &[("payment", &of(&part))]).await;
    planted.push((Kind::CapturedAmount, part));

    // Refunds.
    let unknown = app.refund_there(&base_payment, "&amount=150").await;
    planted.push((Kind::RefundUnknown, unknown));
    let payment = app.payment_there("").await;
    let given_back = [("payment", &*of(&payment)), ("refunded", "600")];
    let refunded = app.plant_charge(&base, &given_back).await;
    let ours = app
        .plant_refund(&refunded, "re_never", ("succeeded", 100))
        .await;
    planted.push((Kind::RefundMissing, "re_never".to_owned()));
    let named = format!("&amount=100&metadata[cloakroom_refund]={ours}");
    let second = app.refund_there(&payment, &named).await;
    planted.push((Kind::SecondRefund, second));
    let less = app.refund_there(&payment, "&amount=200").await;
    app.plant_refund(&refunded, &less, ("succeeded", 100)).await;
    planted.push((Kind::RefundAmount, less));
    let gone = app.refund_there(&payment, "&amount=300").await;
    app.plant_refund(&refunded, &gone, ("canceled", 300)).await;
    planted.push((Kind::RefundAfterEnd, gone));
    let payment = app.payment_there("").await;
    let given_back = [("payment", &*of(&payment)), ("refunded", "400")];
    let bounced_charge = app.plant_charge(&base, &given_back).await;
    let bounced = app.refund_there(&payment, "&amount=400").await;
    app.plant_refund(&bounced_charge, &bounced, ("succeeded", 400))
        .await;
    let failed = json!({ "outcome": "failed" });
    let settle = format!("refunds/{bounced}/settle");
    app.sandbox(Method::POST, &settle, &failed).await;
    planted.push((Kind::RefundStatus, bounced));

    // Disputes.
    let payment = app.payment_there("").await;
    let disputed = app.plant_charge(&base, &[("payment", &of(&payment))]).await;
    planted.push((Kind::DisputeUnknown, app.dispute_there(&payment).await));
    app.plant_dispute(&disputed, "du_never").await;
    planted.push((Kind::DisputeMissing, "du_never".to_owned()));
    let payment = app.payment_there("").await;
    let won_charge = app.plant_charge(&base, &[("payment", &of(&payment))]).await;
    let won = app.dispute_there(&payment).await;
    app.plant_dispute(&won_charge, &won).await;
    let outcome = json!({ "outcome": "won" });
    let close = format!("disputes/{won}/close");
    app.sandbox(Method::POST, &close, &outcome).await;
    planted.push((Kind::DisputeStatus, won));

    // One of each kind there is, and each is found, and nothing else.
    let kinds: Vec<Kind> = planted.iter().map(|(kind, _)| *kind).collect();
    for kind in Kind::ALL {
        assert!(kinds.contains(kind), "{kind:?} is not planted");
    }
    let expected: BTreeMap<(String, String), String> = planted
        .iter()
        .map(|(kind, object)| {
            let what = (kind.name().to_owned(), object.clone());
            (what, "reported".to_owned())
        })
        .collect();
    let report = app.report(&[], 65);
    assert_eq!(found(&report), expected, "{report:#}");

    // Repairs are made where they are allowed, and only there.
    let report = app.report(&["--repair"], 65);
    let repaired = found(&report);
    for (kind, object) in &planted {
        let treatment = &repaired[&(kind.name().to_owned(), object.clone())];
        let allowed = kind.repair() != Repair::Person;
        let wanted = if allowed { "repaired" } else { "reported" };
        assert_eq!(treatment, wanted, "{kind:?} {object}: {report:#}");
    }
    let left = found(&app.report(&[], 65));
    let persons = planted
        .iter()
        .filter(|(kind, _)| kind.repair() == Repair::Person);
    assert_eq!(left.len(), persons.count(), "{left:?}");

    // What was repaired is what the interface now says.
    let show = async |path: String| {
        let url = format!("{}/v1/{path}", app.at.internal);
        app.get(Who::Billing, &url).await.json()
    };
    let late = show(format!("charges/{late}")).await;
    assert_eq!(
        (&late["status"], &late["amount_captured"]),
        (&json!("succeeded"), &json!(1250))
    );
    let captured = show(format!("charges/{captured}")).await;
    assert_eq!(captured["amount_captured"], 900, "{captured}");
    let part = show(format!("charges/{part_charge}")).await;
    assert_eq!(part["amount_captured"], 700, "{part}");
    assert_eq!(
        show(format!("charges/{base}")).await["amount_refunded"],
        150
    );
    assert_eq!(
        show(format!("charges/{bounced_charge}")).await["amount_refunded"],
        0
    );
    assert_eq!(show(format!("charges/{disputed}")).await["disputed"], true);
    assert_eq!(
        show(format!("charges/{won_charge}")).await["disputed"],
        false
    );
    for (action, count) in [
        ("reconciliation.differed", 3),
        ("reconciliation.repaired", 7),
    ] {
        let query = format!("SELECT count(*) FROM audit_events WHERE action = '{action}'");
        assert_eq!(app.count(&query).await, count, "{action}");
    }
    let alerts = "SELECT count(*) FROM alerts WHERE name = 'reconciliation_differs'";
    assert_eq!(app.count(alerts).await, 1);
}

async fn the_worker_compares_by_itself_and_tells_the_operator(engine: Engine) {
    let often = [("CLOAKROOM__RECONCILIATION__INTERVAL_S", "1")];
    let app = App::on_with(engine, &[], &[&AT_ONCE[..], &often].concat());
    let token = app.token(VISA).await;
    let (charge, _) = app.charged_on(&token, "k", true).await;
    let metric = async |name: &str| {
        let url = format!("{}/metrics", app.at.ops);
        let answer = app.get(Who::Nobody, &url).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.map_or(-1.0, |value| value.parse::<f64>().unwrap())
    };
    let last = "cloakroom_reconciliation_last_success_timestamp_seconds";
    eventually("a comparison ended", async || metric(last).await > 0.0).await;
    let twice = app
        .payment_there(&format!("&metadata[cloakroom_charge]={charge}"))
        .await;
    let second = r#"cloakroom_reconciliation_differences{kind="second_payment"}"#;
    eventually("the difference shows", async || metric(second).await > 0.5).await;
    assert!(!twice.is_empty());
    let alerts = "SELECT count(*) FROM alerts WHERE name = 'reconciliation_differs'";
    assert_eq!(app.count(alerts).await, 1);
    let once =
        "SELECT count(*) FROM reconciliations WHERE account = 'default' AND finished_at_ms > 0";
    assert_eq!(app.count(once).await, 1);
}
