//! How victims are asked after, as their merchants and shoppers would.

use std::collections::BTreeSet;
use std::sync::Mutex;

use hyper::Method;
use serde_json::{Value, json};

use super::judge::{Paid, Truth};
use super::story::{Ask, MASTERCARD, Victim, session, worth};
use crate::support::{Answer, App, VISA, Who, card, request};

/// What asking came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// What is otherwise than where nobody wrote.
    pub(crate) otherwise: BTreeSet<String>,
    /// What must never be.
    pub(crate) wrong: Vec<String>,
}

/// The code of a problem.
fn code(answer: &Answer) -> String {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    format!("{} {}", answer.status, said["code"].as_str().unwrap_or("-"))
}

impl Found {
    fn note(&mut self, what: &str, answer: &Answer) {
        self.otherwise.insert(format!("{what} {}", code(answer)));
    }

    /// Notes the members that differ.
    fn compare(&mut self, shown: &Value, expected: &Value) {
        for (name, value) in expected.as_object().unwrap() {
            if &shown[name] != value {
                self.otherwise.insert(format!("shows another {name}"));
            }
        }
    }
}

/// A token's customer, as billing reads it.
async fn customer_of(app: &App, token: &str) -> String {
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    let shown = app.get(Who::Billing, &url).await;
    let name = shown.json()["customer_ref"].as_str().map(str::to_owned);
    name.unwrap_or_else(|| code(&shown))
}

/// Asks after one victim.
pub(crate) async fn ask(app: &App, truth: &Mutex<Truth>, victim: &Victim) -> Found {
    let mut found = Found::default();
    match &victim.ask {
        Ask::Nothing | Ask::Told { .. } => {}
        Ask::Charge { .. } => after_charge(app, truth, &victim.ask, &mut found).await,
        Ask::Refund { id, charge, amount } => {
            let url = format!("{}/v1/refunds?charge={charge}", app.at.internal);
            let page = app.get(Who::Billing, &url).await;
            if page.status == 200 {
                let listed = page.json()["data"].as_array().unwrap().clone();
                let shown = listed.into_iter().find(|one| one["id"] == *id);
                let expected = json!({ "status": "succeeded", "amount": amount, "charge": charge });
                found.compare(&shown.unwrap_or_default(), &expected);
            } else {
                found.note("list", &page);
            }
        }
        Ask::Token { id, customer } => after_token(app, truth, (id, customer), &mut found).await,
        Ask::Session { secret, customer } => {
            let made = app.post_card(secret, &card(MASTERCARD), &[]).await;
            is_own(app, &made, None, customer, &mut found).await;
        }
        Ask::Used { secret, token } => {
            let key = [("idempotency-key", "k")];
            let again = app.post_card(secret, &card(VISA), &key).await;
            if matches!(again.status, 200..=202) {
                if again.json()["id"] != *token {
                    found
                        .wrong
                        .push(format!("{token}'s session answers {}", again.json()));
                }
            } else {
                found.note("post", &again);
            }
        }
        Ask::SameCard { token, customer } => {
            let (_, secret) = session(app, customer).await;
            let made = app.post_card(&secret, &card(VISA), &[]).await;
            is_own(app, &made, Some(token), customer, &mut found).await;
        }
        Ask::Page { at, secret } => {
            let bearer = format!("Bearer {secret}");
            let headers = [
                ("authorization", bearer.as_str()),
                ("content-type", "application/json"),
            ];
            // Its address is the world's, which no test resolves.
            let (_, path) = at.split_once("/pay/").unwrap();
            let url = format!("{}/pay/{path}", app.at.capture);
            let asked = request(Method::POST, &url, &headers, "{}".to_owned());
            let shown = app.send(Who::Nobody, asked).await;
            if shown.status == 200 {
                let (said, back) = (shown.json(), "https://shop.example/");
                let is_right = said["amount"] == 1_250
                    && said["currency"] == "eur"
                    && said["shop_name"] == "Little Theatre"
                    && said["back"]
                        .as_str()
                        .is_some_and(|said| said.starts_with(back));
                if !is_right {
                    found.wrong.push(format!("a page shows {said}"));
                }
            } else {
                found.note("page", &shown);
            }
        }
        Ask::Customer { customer } => {
            let (_, secret) = session(app, customer).await;
            let made = app.post_card(&secret, &card(MASTERCARD), &[]).await;
            is_own(app, &made, None, customer, &mut found).await;
        }
    }
    found
}

/// That an answer to a card is a token of that customer, and the one that it is known as.
async fn is_own(
    app: &App,
    made: &Answer,
    known: Option<&String>,
    customer: &str,
    found: &mut Found,
) {
    if !matches!(made.status, 200..=202) {
        found.note("post", made);
        return;
    }
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let whose = customer_of(app, &id).await;
    if whose != customer {
        found
            .wrong
            .push(format!("{customer}'s card is answered {id} of {whose}"));
    }
    if known.is_some_and(|known| *known != id) {
        found.otherwise.insert("a new token".to_owned());
    }
}

async fn after_charge(app: &App, truth: &Mutex<Truth>, asked: &Ask, found: &mut Found) {
    let Ask::Charge {
        id,
        key,
        order,
        shown,
        refundable,
    } = asked
    else {
        return;
    };
    let url = format!("{}/v1/charges/{id}", app.at.internal);
    let read = app.get(Who::Billing, &url).await;
    if read.status == 200 {
        found.compare(&worth(&read.json()), shown);
    } else {
        found.note("read", &read);
    }
    let again = app.order_charge(order, key).await;
    if again.status == 201 {
        let other = again.json()["id"].as_str().unwrap().to_owned();
        if other != *id {
            found
                .otherwise
                .insert("repetition another charge".to_owned());
            let paid = truth.lock().unwrap().charges[id].clone();
            truth.lock().unwrap().charges.entry(other).or_insert(paid);
        }
    } else {
        found.note("repetition", &again);
    }
    if *refundable {
        let body = json!({ "charge": id, "amount": 100 });
        truth.lock().unwrap().charges.get_mut(id).unwrap().refunded += 100;
        let back = app
            .keyed(Who::Billing, "/v1/refunds", &format!("ask-{id}"), &body)
            .await;
        if back.status == 201 {
            let refund = back.json()["id"].as_str().unwrap().to_owned();
            truth.lock().unwrap().refunds.insert(refund, 100);
        } else {
            found.note("refund", &back);
        }
    }
}

async fn after_token(
    app: &App,
    truth: &Mutex<Truth>,
    (id, customer): (&str, &str),
    found: &mut Found,
) {
    let url = format!("{}/v1/tokens/{id}", app.at.internal);
    let read = app.get(Who::Billing, &url).await;
    if read.status == 200 {
        let mut shown = read.json();
        for (name, value) in shown["card"].clone().as_object().into_iter().flatten() {
            shown[name] = value.clone();
        }
        let expected = json!({ "status": "active", "customer_ref": customer, "usage": "off_session",
            "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034, "metadata": {} });
        found.compare(&shown, &expected);
    } else {
        found.note("read", &read);
    }
    let charged = app.charge(id, &format!("ask-{id}")).await;
    if charged.status == 201 {
        let charge = charged.json()["id"].as_str().unwrap().to_owned();
        let paid = Paid {
            customer: customer.to_owned(),
            amount: 1_250,
            captured: 1_250,
            refunded: 0,
        };
        truth.lock().unwrap().charges.insert(charge, paid);
    } else {
        found.note("charge", &charged);
    }
}
