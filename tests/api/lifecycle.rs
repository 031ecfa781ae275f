//! The whole life of a charge over the wire: capture, cancellation, refunds, what the issuer and
//! the processor do later, and what is told of it.

use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{Answer, App, Who, eventually, request};

on_both_engines! {
    an_authorized_charge_is_captured_once_in_whole_or_in_part,
    an_authorized_charge_is_given_up_and_stays_so,
    money_goes_back_in_parts_and_never_more_than_was_taken,
    concurrent_refunds_do_not_give_back_the_same_money,
    a_refund_may_take_its_time_and_may_fail_after_all,
    a_charge_that_waits_for_the_shopper_settles_when_they_have_come,
    a_payment_that_takes_its_time_settles_later,
    charges_are_listed_by_token_and_state_in_pages,
}

/// A card whose every payment is authenticated by the shopper, on- and off-session.
const ALWAYS_AUTHENTICATED: &str = "4000002760003184";

impl App {
    async fn post_keyed(&self, who: Who, path: &str, key: &str, body: &Value) -> Answer {
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

    /// An authorized charge of 12.50 EUR.
    async fn authorized(&self, key: &str) -> String {
        let token = self.token(crate::support::VISA).await;
        let order = json!({ "token": token, "amount": 1250, "currency": "eur", "capture": false });
        let answer = self.order_charge(&order, key).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        assert_eq!(answer.json()["status"], "requires_capture");
        assert_eq!(answer.json()["amount_captured"], 0);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    async fn step(&self, charge: &str, step: &str, key: &str, body: &Value) -> Answer {
        let path = format!("/v1/charges/{charge}/{step}");
        self.post_keyed(Who::Billing, &path, key, body).await
    }

    async fn refund(&self, key: &str, body: &Value) -> Answer {
        self.post_keyed(Who::Billing, "/v1/refunds", key, body)
            .await
    }

    async fn read_charge(&self, charge: &str) -> Value {
        let url = format!("{}/v1/charges/{charge}", self.at.internal);
        let answer = self.get(Who::Billing, &url).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }

    /// What the feed tells, oldest first.
    async fn feed(&self) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = String::new();
        loop {
            let url = format!("{}/v1/events?limit=7{after}", self.at.internal);
            let page = self.get(Who::Billing, &url).await.json();
            let data = page["data"].as_array().unwrap().clone();
            events.extend(data);
            if page["has_more"] == false {
                return events;
            }
            let last = events.last().unwrap()["id"].as_str().unwrap();
            after = format!("&after={last}");
        }
    }

    async fn told(&self, kind: &str, subject: &str) -> usize {
        let events = self.feed().await;
        let about = |event: &&Value| event["type"] == kind && event["data"]["id"] == subject;
        events.iter().filter(about).count()
    }
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn an_authorized_charge_is_captured_once_in_whole_or_in_part(engine: Engine) {
    let app = App::on(engine);
    let whole = app.authorized("whole").await;
    let captured = app.step(&whole, "capture", "take-1", &Value::Null).await;
    assert_eq!(captured.status, 200, "{}", captured.json());
    let body = captured.json();
    assert_eq!(
        (&body["status"], &body["amount_captured"]),
        (&json!("succeeded"), &json!(1250))
    );

    let again = app.step(&whole, "capture", "take-1", &Value::Null).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), body);
    let other = app.step(&whole, "capture", "take-2", &json!({})).await;
    other.problem(422, "invalid_request");
    let canceled = app.step(&whole, "cancel", "drop-1", &Value::Null).await;
    canceled.problem(422, "invalid_request");

    let part = app.authorized("part").await;
    let more = app
        .step(&part, "capture", "take-3", &json!({ "amount": 1251 }))
        .await;
    let problem = more.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/amount");
    for amount in [0, -1] {
        let none = app
            .step(&part, "capture", "take-4", &json!({ "amount": amount }))
            .await;
        none.problem(422, "invalid_request");
    }
    let some = app
        .step(&part, "capture", "take-5", &json!({ "amount": 500 }))
        .await;
    assert_eq!(some.status, 200, "{}", some.json());
    assert_eq!(some.json()["amount_captured"], 500);
    assert_eq!(app.read_charge(&part).await["amount"], 1250);
    let mismatch = app
        .step(&part, "capture", "take-5", &json!({ "amount": 501 }))
        .await;
    mismatch.problem(422, "idempotency_mismatch");
    let keyless = app
        .call(
            Who::Billing,
            Method::POST,
            &format!("{}/v1/charges/{part}/capture", app.at.internal),
            &json!({}),
        )
        .await;
    keyless.problem(422, "invalid_request");
}

async fn an_authorized_charge_is_given_up_and_stays_so(engine: Engine) {
    let app = App::on(engine);
    let charge = app.authorized("charge-1").await;
    let canceled = app.step(&charge, "cancel", "drop-1", &Value::Null).await;
    assert_eq!(canceled.status, 200, "{}", canceled.json());
    assert_eq!(canceled.json()["status"], "canceled");
    let again = app.step(&charge, "cancel", "drop-1", &json!({})).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let captured = app.step(&charge, "capture", "take-1", &Value::Null).await;
    captured.problem(422, "invalid_request");
    let refunded = app.refund("back-1", &json!({ "charge": charge })).await;
    refunded.problem(422, "invalid_request");
    let nobody = "test_chg_01h455vb4pex5vsknk084sn02q";
    let unknown = app.step(nobody, "cancel", "drop-2", &Value::Null).await;
    unknown.problem(404, "not_found");
    let done = &app.ledger().await["by_charge"][&charge];
    assert_eq!(
        (&done["canceled"], &done["captured"]),
        (&json!(1), &json!(0)),
        "{done}"
    );
}

async fn money_goes_back_in_parts_and_never_more_than_was_taken(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(crate::support::VISA).await;
    let charge = id(&app.charge(&token, "charge-1").await);
    let part = json!({ "charge": charge, "amount": 300, "reason": "requested_by_customer" });
    let first = app.refund("back-1", &part).await;
    assert_eq!(first.status, 201, "{}", first.json());
    let refund = first.json();
    assert_eq!(refund["status"], "succeeded");
    assert_eq!(
        (&refund["amount"], &refund["currency"]),
        (&json!(300), &json!("eur"))
    );
    assert_eq!(refund["reason"], "requested_by_customer");
    let again = app.refund("back-1", &part).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), refund);

    let over = app
        .refund("back-2", &json!({ "charge": charge, "amount": 951 }))
        .await;
    let problem = over.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["reason"], "exceeds_captured");
    let rest = app.refund("back-3", &json!({ "charge": charge })).await;
    assert_eq!(rest.json()["amount"], 950);
    let none = app.refund("back-4", &json!({ "charge": charge })).await;
    none.problem(422, "invalid_request");
    let row = app.read_charge(&charge).await;
    assert_eq!(
        (&row["amount_refunded"], &row["status"]),
        (&json!(1250), &json!("succeeded"))
    );

    let read = |path: String| {
        let app = &app;
        async move {
            let url = format!("{}{path}", app.at.internal);
            app.get(Who::Billing, &url).await
        }
    };
    let id = refund["id"].as_str().unwrap();
    assert_eq!(read(format!("/v1/refunds/{id}")).await.json(), refund);
    let list = read(format!("/v1/refunds?charge={charge}&limit=1"))
        .await
        .json();
    assert_eq!(list["data"][0]["id"], rest.json()["id"]);
    assert_eq!(list["has_more"], true);
    for reason in ["", "because", "Duplicate"] {
        let body = json!({ "charge": charge, "amount": 1, "reason": reason });
        app.refund("back-5", &body)
            .await
            .problem(422, "invalid_request");
    }
    app.post_keyed(Who::Admin, "/v1/refunds", "back-6", &part)
        .await
        .problem(403, "not_granted");
    let ledger = app
        .sandbox(
            Method::GET,
            &format!("ledger/charges/{charge}"),
            &Value::Null,
        )
        .await
        .json();
    assert_eq!(ledger["amount_refunded"], 1250, "{ledger}");
}

async fn concurrent_refunds_do_not_give_back_the_same_money(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(crate::support::VISA).await;
    let charge = id(&app.charge(&token, "charge-1").await);
    let body = json!({ "charge": charge, "amount": 200 });
    let refunds = (0..20).map(|number| {
        let (app, body, key) = (&app, &body, format!("back-{number}"));
        async move { app.refund(&key, body).await.status }
    });
    let statuses = futures_util::future::join_all(refunds).await;
    let made = statuses.iter().filter(|status| **status == 201).count();
    let refused = statuses.iter().filter(|status| **status == 422).count();
    assert_eq!((made, refused), (6, 14), "6 times 2.00 fit into 12.50");
    assert_eq!(app.read_charge(&charge).await["amount_refunded"], 1200);
}

async fn a_refund_may_take_its_time_and_may_fail_after_all(engine: Engine) {
    let app = App::on(engine);
    // Stripe's published cards: the refund of the first is pending at first, of the second fails.
    let slow = app.token("4000000000007726").await;
    let slow = id(&app.charge(&slow, "charge-1").await);
    let refund = app.refund("back-1", &json!({ "charge": slow })).await;
    assert_eq!(refund.json()["status"], "processing");
    let slow_refund = id(&refund);
    let failing = app.token("4000000000005126").await;
    let failing = id(&app.charge(&failing, "charge-2").await);
    let failing_refund = id(&app.refund("back-2", &json!({ "charge": failing })).await);
    let status = |refund: String| {
        let app = &app;
        async move {
            let url = format!("{}/v1/refunds/{refund}", app.at.internal);
            app.get(Who::Billing, &url).await.json()["status"].clone()
        }
    };
    eventually("the slow refund succeeds", async || {
        status(slow_refund.clone()).await == "succeeded"
    })
    .await;
    eventually("the other fails", async || {
        status(failing_refund.clone()).await == "failed"
    })
    .await;
    let row = app.read_charge(&failing).await;
    assert_eq!(
        row["amount_refunded"], 0,
        "the money is the merchant's again"
    );
    assert_eq!(app.read_charge(&slow).await["amount_refunded"], 1250);
    eventually("both are told", async || {
        app.told("refund.succeeded", &slow_refund).await == 1
            && app.told("refund.failed", &failing_refund).await == 1
    })
    .await;
}

async fn a_charge_that_waits_for_the_shopper_settles_when_they_have_come(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(ALWAYS_AUTHENTICATED).await;
    let order = json!({ "token": token, "amount": 700, "currency": "usd", "off_session": false });
    for (key, page, becomes) in [
        ("charge-1", "complete", "succeeded"),
        ("charge-2", "fail", "declined"),
    ] {
        let answer = app.order_charge(&order, key).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        let charge = answer.json();
        assert_eq!(charge["status"], "requires_action");
        let redirect = charge["next_action"]["redirect_url"].as_str().unwrap();
        app.visit_issuer(redirect, page).await;
        let id = charge["id"].as_str().unwrap();
        eventually(becomes, async || {
            app.read_charge(id).await["status"] == becomes
        })
        .await;
        let again = app.order_charge(&order, key).await;
        if becomes == "declined" {
            assert_eq!(again.problem(402, "card_declined")["charge"], id);
        } else {
            assert_eq!(again.header("idempotent-replayed"), Some("true"));
            assert_eq!(again.json()["status"], "succeeded");
        }
    }
    let given_up = app.order_charge(&order, "charge-3").await;
    let charge = id(&given_up);
    let canceled = app.step(&charge, "cancel", "drop-1", &Value::Null).await;
    assert_eq!(canceled.json()["status"], "canceled", "{}", canceled.json());
    assert_eq!(canceled.json()["next_action"], Value::Null);
}

async fn a_payment_that_takes_its_time_settles_later(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(crate::support::VISA).await;
    for (key, later, becomes) in [
        ("charge-1", "succeeded", "succeeded"),
        ("charge-2", "failed", "declined"),
    ] {
        let order = json!({ "token": token, "amount": 900, "currency": "eur",
            "metadata": { "sandbox_later": later } });
        let answer = app.order_charge(&order, key).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        assert_eq!(answer.json()["status"], "processing");
        let charge = id(&answer);
        eventually(becomes, async || {
            app.read_charge(&charge).await["status"] == becomes
        })
        .await;
        eventually("it is told once", async || {
            app.told(&format!("charge.{becomes}"), &charge).await == 1
        })
        .await;
    }
}

async fn charges_are_listed_by_token_and_state_in_pages(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(crate::support::VISA).await;
    let declined = app.token("4000000000000002").await;
    for number in 0..3 {
        app.charge(&token, &format!("charge-{number}")).await;
    }
    app.charge(&declined, "declined-1")
        .await
        .problem(402, "card_declined");
    let list = |query: &str| {
        let url = format!("{}/v1/charges{query}", app.at.internal);
        let app = &app;
        async move { app.get(Who::Billing, &url).await }
    };
    let all = list("").await.json();
    assert_eq!(all["data"].as_array().unwrap().len(), 4);
    assert_eq!(all["data"][0]["status"], "declined", "newest first");
    let of_token = list(&format!("?token={token}&limit=2")).await.json();
    assert_eq!(
        (
            of_token["data"].as_array().unwrap().len(),
            &of_token["has_more"]
        ),
        (2, &json!(true))
    );
    let seen = of_token["data"][1]["id"].as_str().unwrap();
    let rest = list(&format!("?token={token}&starting_after={seen}"))
        .await
        .json();
    assert_eq!(
        (rest["data"].as_array().unwrap().len(), &rest["has_more"]),
        (1, &json!(false))
    );
    let failed = list("?status=declined").await.json();
    assert_eq!(failed["data"][0]["decline"]["code"], "generic_decline");
    for query in [
        "?status=paid",
        "?limit=0",
        "?limit=101",
        "?token=nobody",
        "?page=1",
    ] {
        list(query).await.problem(422, "invalid_request");
    }
}
