//! Money once: clients that overlap, a processor that answers late, never or twice, people at its
//! dashboard, and events that come when nobody can use them yet.

use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{Answer, App, VISA, Who, client, eventually, read, request};

on_both_engines! {
    a_refund_asked_for_many_times_at_once_under_one_key_is_made_once,
    a_capture_and_a_cancellation_asked_for_many_times_at_once_are_carried_out_once,
    sessions_and_attached_cards_asked_for_many_times_at_once_are_made_once,
    a_capture_whose_answer_is_lost_is_never_denied_though_the_processor_is_busy,
    a_capture_is_not_denied_because_the_payment_could_not_be_read,
    a_guests_card_is_attached_although_the_first_answer_was_lost,
    a_deletion_that_meets_an_outage_is_finished_and_is_not_gone_before,
    a_payment_that_succeeds_after_its_charge_was_canceled_pages_an_operator,
    a_declined_payment_is_canceled_at_the_processor,
    a_refund_made_at_the_processor_is_taken_over_although_ours_is_open,
    a_refund_made_before_the_charges_success_is_known_is_taken_over,
    a_dispute_that_was_won_does_not_come_back_with_its_funds,
    a_card_detached_at_the_processor_is_marked_and_works_again_once_it_is_entered_again,
    a_card_entered_again_takes_the_place_of_one_that_died_unnoticed,
    an_object_shows_versions_that_only_go_up,
}

impl App {
    pub(crate) async fn keyed(&self, who: Who, path: &str, key: &str, body: &Value) -> Answer {
        let url = format!("{}{path}", self.at.internal);
        let headers = [("idempotency-key", key)];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(who, request(Method::POST, &url, &headers, body))
            .await
    }

    /// A call of a person at the processor's dashboard.
    pub(crate) async fn dashboard(&self, method: Method, path: &str, form: &str) -> Value {
        let key = std::fs::read_to_string(self.path("stripe-internal.key")).unwrap();
        let bearer = format!("Bearer {}", key.trim());
        let url = format!("{}/v1/{path}", self.at.sandbox);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let asked = request(method, &url, &headers, form.to_owned());
        let answer = read(&client(self.dir.path(), Who::Nobody), asked)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }

    /// A card that a browser vaulted at the processor itself.
    pub(crate) async fn vaulted_there(&self) -> String {
        let form = format!(
            "type=card&card[number]={VISA}&card[exp_month]=12&card[exp_year]=2030&card[cvc]=123"
        );
        let made = self.dashboard(Method::POST, "payment_methods", &form).await;
        made["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn fault(&self, fault: &Value) {
        let staged = self.sandbox(Method::POST, "faults", fault).await;
        assert!(matches!(staged.status, 200 | 201), "{}", staged.status);
    }

    pub(crate) async fn charge_now(&self, id: &str) -> Value {
        let url = format!("{}/v1/charges/{id}", self.at.internal);
        self.get(Who::Billing, &url).await.json()
    }

    pub(crate) async fn payment_of(&self, charge: &str) -> Value {
        self.ledger().await["by_charge"][charge].clone()
    }

    /// A charge of 12.50 EUR: its id and the processor's id of its payment.
    pub(crate) async fn charged(&self, key: &str, capture: bool) -> (String, String) {
        let token = self.token(VISA).await;
        let order =
            json!({ "token": token, "amount": 1250, "currency": "eur", "capture": capture });
        let charge = self.order_charge(&order, key).await.json();
        let payment = charge["processor"]["payment"].as_str().unwrap().to_owned();
        (charge["id"].as_str().unwrap().to_owned(), payment)
    }

    pub(crate) async fn refunds_of(&self, charge: &str) -> Vec<Value> {
        let url = format!("{}/v1/refunds?charge={charge}", self.at.internal);
        let page = self.get(Who::Billing, &url).await.json();
        page["data"].as_array().unwrap().clone()
    }

    async fn alerts(&self, name: &str) -> i64 {
        self.count(&format!(
            "SELECT count(*) FROM alerts WHERE name = '{name}'"
        ))
        .await
    }
}

/// Sends one request many times at once; every answer that is not "in flight", which must all be
/// alike, and one of which must be there.
async fn many_at_once(app: &App, who: Who, path: &str, key: &str, body: &Value) -> Value {
    let url = format!("{}{path}", app.at.internal);
    let client = app.client(who);
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let all = (0..200).map(|_| {
        client.send_until_connected(request(
            Method::POST,
            &url,
            &[("idempotency-key", key)],
            text.clone(),
        ))
    });
    let mut answers = Vec::new();
    for answer in join_all(all).await {
        let answer = answer.unwrap();
        if answer.status == 409 {
            answer.problem(409, "conflict_in_flight");
        } else {
            assert!(matches!(answer.status, 200 | 201), "{}", answer.json());
            answers.push(answer.json());
        }
    }
    // Those that were told to come back do.
    let again = app.keyed(who, path, key, body).await;
    assert!(matches!(again.status, 200 | 201), "{}", again.json());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let last = again.json();
    for answer in &answers {
        assert_eq!(answer["id"], last["id"]);
    }
    last
}

async fn a_refund_asked_for_many_times_at_once_under_one_key_is_made_once(engine: Engine) {
    let app = App::on(engine);
    let (charge, _) = app.charged("c", true).await;
    let slow = json!({ "latency_ms": 200 });
    app.sandbox(Method::POST, "settings", &slow).await;
    let body = json!({ "charge": charge, "amount": 300 });
    for key in ["one", "two"] {
        many_at_once(&app, Who::Billing, "/v1/refunds", key, &body).await;
    }
    let paid = app.payment_of(&charge).await;
    assert_eq!(paid["amount_refunded"], 600, "{paid}");
    assert_eq!(app.refunds_of(&charge).await.len(), 2);
    assert_eq!(app.charge_now(&charge).await["amount_refunded"], 600);
}

async fn a_capture_and_a_cancellation_asked_for_many_times_at_once_are_carried_out_once(
    engine: Engine,
) {
    let app = App::on(engine);
    let (captured, _) = app.charged("c1", false).await;
    let (canceled, _) = app.charged("c2", false).await;
    let slow = json!({ "latency_ms": 200 });
    app.sandbox(Method::POST, "settings", &slow).await;
    let path = format!("/v1/charges/{captured}/capture");
    let part = json!({ "amount": 1000 });
    let answer = many_at_once(&app, Who::Billing, &path, "capture", &part).await;
    assert_eq!(
        (&answer["status"], &answer["amount_captured"]),
        (&json!("succeeded"), &json!(1000))
    );
    let path = format!("/v1/charges/{canceled}/cancel");
    let answer = many_at_once(&app, Who::Billing, &path, "cancel", &Value::Null).await;
    assert_eq!(answer["status"], "canceled");
    let paid = app.payment_of(&captured).await;
    assert_eq!(paid["amount_captured"], 1000, "{paid}");
    assert_eq!(app.payment_of(&canceled).await["canceled"], 1);
}

async fn sessions_and_attached_cards_asked_for_many_times_at_once_are_made_once(engine: Engine) {
    let app = App::on(engine);
    let body = json!({ "customer_ref": "c" });
    let path = "/v1/capture_sessions";
    many_at_once(&app, Who::Checkout, path, "s", &body).await;
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);
    for customer in [json!("c"), Value::Null] {
        let method = app.vaulted_there().await;
        let mut body = json!({ "payment_method": method, "customer_ref": customer });
        if customer.is_null() {
            body.as_object_mut().unwrap().remove("customer_ref");
        }
        let key = format!("attach {customer}");
        let before = app.count("SELECT count(*) FROM tokens").await;
        many_at_once(&app, Who::Checkout, "/v1/tokens/attach", &key, &body).await;
        let after = app.count("SELECT count(*) FROM tokens").await;
        assert_eq!(after - before, 1, "{customer}");
    }
}

async fn a_capture_whose_answer_is_lost_is_never_denied_though_the_processor_is_busy(
    engine: Engine,
) {
    let app = App::on_with(engine, &[], &[("CLOAKROOM__LIMITS__WORK_LEASE_MS", "1000")]);
    let (charge, _) = app.charged("c", false).await;
    let path = format!("/v1/charges/{charge}/capture");
    // The processor captures, its answer is lost, and whoever asks again is told to wait.
    let capture = "/v1/payment_intents/*/capture";
    app.fault(&json!({ "path": capture, "method": "POST", "times": 1, "fault": "cut_after" }))
        .await;
    let first = app.keyed(Who::Billing, &path, "k", &Value::Null).await;
    assert_eq!(
        (first.status, first.json()["status"].as_str()),
        (200, Some("processing"))
    );
    app.fault(
        &json!({ "path": capture, "method": "POST", "times": 50, "fault": "status",
        "status": 429, "retry_after_s": 1 }),
    )
    .await;
    for _ in 0..8 {
        let again = app.keyed(Who::Billing, &path, "k", &Value::Null).await;
        assert!(matches!(again.status, 200 | 409), "{}", again.json());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    eventually("the capture is known", async || {
        app.charge_now(&charge).await["status"] == "succeeded"
    })
    .await;
    assert_eq!(app.payment_of(&charge).await["amount_captured"], 1250);
}

async fn a_capture_is_not_denied_because_the_payment_could_not_be_read(engine: Engine) {
    let app = App::on(engine);
    let (charge, _) = app.charged("c", false).await;
    // The processor captures and keeps a fault as the answer; then it cannot be asked either.
    app.fault(
        &json!({ "path": "/v1/payment_intents/*/capture", "method": "POST", "times": 1,
        "fault": "status", "status": 500, "kept": true, "after_execution": true }),
    )
    .await;
    app.fault(
        &json!({ "path": "/v1/payment_intents/*", "method": "GET", "times": 3,
        "fault": "status", "status": 500, "kept": false }),
    )
    .await;
    let path = format!("/v1/charges/{charge}/capture");
    let answer = app.keyed(Who::Billing, &path, "k", &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    eventually("the capture is known", async || {
        app.charge_now(&charge).await["status"] == "succeeded"
    })
    .await;
    let again = app.keyed(Who::Billing, &path, "k", &Value::Null).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (200, Some("true"))
    );
}

async fn a_guests_card_is_attached_although_the_first_answer_was_lost(engine: Engine) {
    let app = App::on(engine);
    let method = app.vaulted_there().await;
    app.fault(
        &json!({ "path": "/v1/setup_intents", "method": "POST", "times": 3,
        "fault": "cut_after" }),
    )
    .await;
    let body = json!({ "payment_method": method });
    let mut answer = app
        .keyed(Who::Checkout, "/v1/tokens/attach", "k", &body)
        .await;
    for _ in 0..20 {
        if answer.status == 201 {
            break;
        }
        assert_eq!(answer.status, 503, "{}", answer.json());
        tokio::time::sleep(Duration::from_millis(300)).await;
        answer = app
            .keyed(Who::Checkout, "/v1/tokens/attach", "k", &body)
            .await;
    }
    assert_eq!(answer.status, 201, "{}", answer.json());
}

async fn a_deletion_that_meets_an_outage_is_finished_and_is_not_gone_before(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    app.fault(
        &json!({ "path": "/v1/payment_methods/*/detach", "method": "POST", "times": 2,
        "fault": "status", "status": 500, "kept": false }),
    )
    .await;
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    let delete = request(Method::DELETE, &url, &[], String::new());
    app.send(Who::Admin, delete)
        .await
        .problem(503, "processor_unavailable");
    let order = json!({ "token": token, "amount": 100, "currency": "eur" });
    app.order_charge(&order, "k")
        .await
        .problem(410, "token_deleted");
    let read = app.get(Who::Billing, &url).await;
    assert_eq!(
        (read.status, read.json()["status"].as_str()),
        (200, Some("deleting"))
    );
    eventually("the deletion is finished", async || {
        app.get(Who::Billing, &url).await.status == 410
    })
    .await;
    assert_eq!(
        app.count("SELECT count(*) FROM tokens WHERE sealed IS NOT NULL")
            .await,
        0
    );
    let left = app.ledger().await["payment_methods"][0]["customer"].clone();
    assert!(left.is_null(), "{left}");
}

async fn a_payment_that_succeeds_after_its_charge_was_canceled_pages_an_operator(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let (_, payment) = app.charged("other", true).await;
    let ledger = app.ledger().await;
    let customer = ledger["payment_methods"][0]["customer"]
        .as_str()
        .unwrap()
        .to_owned();
    let method = ledger["payment_methods"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Never sent, and so canceled here.
    app.fault(
        &json!({ "path": "/v1/payment_intents", "times": 1, "fault": "status",
        "status": 429, "retry_after_s": 1 }),
    )
    .await;
    let order = json!({ "token": token, "amount": 900, "currency": "eur" });
    app.order_charge(&order, "k")
        .await
        .problem(429, "rate_limited");
    let url = format!("{}/v1/charges?token={token}", app.at.internal);
    let page = app.get(Who::Billing, &url).await.json();
    let charge = page["data"][0].clone();
    assert_eq!(charge["status"], "canceled");
    let id = charge["id"].as_str().unwrap();
    // Then somebody makes the payment there all the same, in its name.
    let form = format!(
        "amount=900&currency=eur&customer={customer}&payment_method={method}&confirm=true&off_session=true&metadata[cloakroom_charge]={id}"
    );
    let made = app.dashboard(Method::POST, "payment_intents", &form).await;
    assert_eq!(made["status"], "succeeded");
    assert_ne!(made["id"], payment.as_str());
    eventually("the contradiction is seen", async || {
        app.charge_now(id).await["contradiction"]["code"] == "captured_after_canceled"
    })
    .await;
    let now = app.charge_now(id).await;
    assert_eq!(now["status"], "canceled", "only a person says otherwise");
    assert!(now["version"].as_i64() > charge["version"].as_i64());
    assert_eq!(app.alerts("charge_contradicted").await, 1);
}

async fn a_declined_payment_is_canceled_at_the_processor(engine: Engine) {
    let app = App::on(engine);
    let token = app.token("4000000000000341").await;
    let order = json!({ "token": token, "amount": 900, "currency": "eur" });
    let declined = app.order_charge(&order, "k").await;
    let declined = declined.problem(402, "card_declined");
    let id = declined["charge"].as_str().unwrap().to_owned();
    eventually("nobody can confirm it any more", async || {
        app.ledger().await["payment_intents"][0]["status"] == "canceled"
    })
    .await;
    assert_eq!(app.charge_now(&id).await["status"], "declined");
}

async fn a_refund_made_at_the_processor_is_taken_over_although_ours_is_open(engine: Engine) {
    let app = App::on(engine);
    let (charge, payment) = app.charged("c", true).await;
    // Ours is open: its outcome is not known, and it was not made.
    app.fault(
        &json!({ "path": "/v1/refunds", "method": "POST", "times": 1, "fault": "cut_before" }),
    )
    .await;
    let hold = json!({ "path": "/v1/refunds", "method": "POST", "times": 40, "fault": "status",
        "status": 500, "kept": false });
    app.fault(&hold).await;
    let body = json!({ "charge": charge, "amount": 1000 });
    let ours = app.keyed(Who::Billing, "/v1/refunds", "k", &body).await;
    assert_eq!(
        (ours.status, ours.json()["status"].as_str()),
        (201, Some("processing"))
    );
    app.sandbox(Method::DELETE, "faults", &Value::Null).await;
    // Somebody gives all of it back at the dashboard.
    let form = format!("payment_intent={payment}&amount=1250");
    app.dashboard(Method::POST, "refunds", &form).await;
    eventually("both sides say the same", async || {
        app.charge_now(&charge).await["amount_refunded"] == 1250
    })
    .await;
    let refunds = app.refunds_of(&charge).await;
    let state = |amount: i64| {
        let found = refunds.iter().find(|refund| refund["amount"] == amount);
        found.unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (state(1000).as_str(), state(1250).as_str()),
        ("canceled", "succeeded")
    );
}

async fn a_refund_made_before_the_charges_success_is_known_is_taken_over(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    app.fault(&json!({ "path": "/v1/payment_intents", "times": 1, "fault": "cut_after" }))
        .await;
    let order = json!({ "token": token, "amount": 1250, "currency": "eur" });
    let charge = app.order_charge(&order, "k").await.json();
    assert_eq!(charge["status"], "processing");
    let payment = app.ledger().await["payment_intents"][0]["id"].clone();
    let form = format!("payment_intent={}&amount=400", payment.as_str().unwrap());
    app.dashboard(Method::POST, "refunds", &form).await;
    let id = charge["id"].as_str().unwrap();
    eventually("the refund is known", async || {
        app.charge_now(id).await["amount_refunded"] == 400
    })
    .await;
}

async fn a_dispute_that_was_won_does_not_come_back_with_its_funds(engine: Engine) {
    let app = App::on(engine);
    let (charge, payment) = app.charged("c", true).await;
    let mut created = 1_000;
    let mut said = async |kind: &str, status: &str| {
        created += 1;
        let event = json!({ "id": format!("evt_{created}"), "object": "event",
            "type": format!("charge.dispute.{kind}"), "livemode": false, "created": created,
            "data": { "object": { "id": "dp_1", "payment_intent": payment, "amount": 1250,
                "currency": "eur", "reason": "fraudulent", "status": status } } });
        app.tell_signed(&event).await
    };
    assert_eq!(said("created", "needs_response").await.status, 200);
    eventually("it is disputed", async || {
        app.charge_now(&charge).await["disputed"] == true
    })
    .await;
    for (kind, status) in [
        ("funds_withdrawn", "needs_response"),
        ("updated", "under_review"),
        ("closed", "won"),
        ("funds_reinstated", "won"),
    ] {
        assert_eq!(said(kind, status).await.status, 200);
    }
    eventually("it is over", async || {
        let open = "SELECT count(*) FROM processor_events WHERE status = 'pending'";
        app.count(open).await == 0
    })
    .await;
    assert_eq!(app.charge_now(&charge).await["disputed"], false);
}

async fn a_card_detached_at_the_processor_is_marked_and_works_again_once_it_is_entered_again(
    engine: Engine,
) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let method = app.ledger().await["payment_methods"][0]["id"].clone();
    let path = format!("payment_methods/{}/detach", method.as_str().unwrap());
    app.dashboard(Method::POST, &path, "").await;
    let order = |token: &str| json!({ "token": token, "amount": 900, "currency": "eur" });
    let refused = app.order_charge(&order(&token), "k1").await;
    refused.problem(402, "card_declined");
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    eventually("the token says so", async || {
        app.get(Who::Billing, &url).await.json()["status"] == "detached"
    })
    .await;
    let again = app.token(VISA).await;
    let charged = app.order_charge(&order(&again), "k2").await;
    assert_eq!(charged.status, 201, "{}", charged.json());
}

async fn a_card_entered_again_takes_the_place_of_one_that_died_unnoticed(engine: Engine) {
    let app = App::on(engine);
    // Nobody is told.
    app.sandbox(Method::POST, "settings", &json!({ "events": false }))
        .await;
    let token = app.token(VISA).await;
    let method = app.ledger().await["payment_methods"][0]["id"].clone();
    let path = format!("payment_methods/{}/detach", method.as_str().unwrap());
    app.dashboard(Method::POST, &path, "").await;
    let again = app.token(VISA).await;
    assert_eq!(
        again, token,
        "the same card of the same customer is the same token"
    );
    let order = json!({ "token": token, "amount": 900, "currency": "eur" });
    let charged = app.order_charge(&order, "k").await;
    assert_eq!(charged.status, 201, "{}", charged.json());
    eventually("nothing is left over at the processor", async || {
        app.count("SELECT count(*) FROM orphans").await == 0
    })
    .await;
    let charged = app.order_charge(&order, "k2").await;
    assert_eq!(charged.status, 201, "{}", charged.json());
}

async fn an_object_shows_versions_that_only_go_up(engine: Engine) {
    let app = App::on(engine);
    let (charge, _) = app.charged("c", false).await;
    let mut seen = app.charge_now(&charge).await["version"].as_i64().unwrap();
    let mut grown = async |step: &str| {
        let now = app.charge_now(&charge).await;
        let version = now["version"].as_i64().unwrap();
        assert!(version > seen, "{step}: {version} after {seen}");
        assert!(now["updated_at"].as_str() >= now["created_at"].as_str());
        seen = version;
    };
    let path = format!("/v1/charges/{charge}/capture");
    app.keyed(Who::Billing, &path, "k1", &Value::Null).await;
    grown("captured").await;
    let body = json!({ "charge": charge, "amount": 100 });
    app.keyed(Who::Billing, "/v1/refunds", "k2", &body).await;
    grown("refunded").await;
    let url = format!("{}/v1/events?limit=100", app.at.internal);
    eventually("all of it is published", async || {
        let events = app.get(Who::Billing, &url).await.json();
        events["data"].as_array().unwrap().len() >= 4
    })
    .await;
    let events = app.get(Who::Billing, &url).await.json();
    let versions: Vec<i64> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["data"]["object"] == "charge")
        .map(|event| event["data"]["version"].as_i64().unwrap())
        .collect();
    assert!(versions.is_sorted() && versions.len() >= 2, "{versions:?}");
}
