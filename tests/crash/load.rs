//! The load: billing clients that do all that can be done, and repeat what got no answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::asking::{Ask, Load, Patience};
use crate::book::{ChargeAsked, ChargeTold, RefundAsked};
use crate::chance::Chance;
use crate::support::{Answer, VISA, Who, card};

/// Clients at one time.
pub(crate) const CLIENTS: usize = 10;
/// The longest pause between two of a client's acts: the machine is shared.
const PAUSE_MS_MAX: u64 = 30;
/// Published cards: three that pass, and one whose charges are declined.
const CARDS: [&str; 5] = [
    VISA,
    VISA,
    "5555555555554444",
    "378282246310005",
    "4000000000000341",
];
/// What the issuer of that one says. A card that the processor has forgotten is declined, too, in
/// other words.
pub(crate) const ISSUERS_WORD: &str = "generic_decline";

pub(crate) struct Client<'a> {
    load: &'a Load,
    name: usize,
    chance: Chance,
    acts: usize,
    tokens: Vec<String>,
    /// Charges that wait for their capture, with what was authorized.
    authorized: Vec<(String, i64)>,
    /// Charges that took money, with how much of it was not asked back yet.
    taken: Vec<(String, i64)>,
    /// Charges that are processing.
    open: Vec<String>,
}

fn told_of(charge: &Value) -> ChargeTold {
    ChargeTold {
        id: charge["id"].as_str().unwrap().to_owned(),
        status: charge["status"].as_str().unwrap().to_owned(),
        captured: charge["amount_captured"].as_i64().unwrap(),
    }
}

impl<'a> Client<'a> {
    pub(crate) const fn new(load: &'a Load, name: usize, chance: Chance) -> Self {
        Self {
            load,
            name,
            chance,
            acts: 0,
            tokens: Vec::new(),
            authorized: Vec::new(),
            taken: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Does one thing after the other until it is told to stop.
    pub(crate) async fn run(mut self) {
        while !self.load.stop.load(Ordering::SeqCst) {
            self.acts += 1;
            let lot = self.chance.draw() % 100;
            match lot {
                _ if self.tokens.is_empty() => self.tokenize().await,
                0..20 => self.tokenize().await,
                20..37 if !self.authorized.is_empty() => self.step().await,
                37..55 if !self.taken.is_empty() => self.refund().await,
                55..60 if !self.open.is_empty() => self.look().await,
                _ => self.charge().await,
            }
            let pause = self.chance.between(0, PAUSE_MS_MAX);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn key(&self, of: &str) -> String {
        format!("client-{}-act-{}-{of}", self.name, self.acts)
    }

    fn patience(&mut self) -> Patience {
        if self.chance.percent(10) {
            Patience::AsksOnce
        } else {
            Patience::Insists
        }
    }

    fn surprise(&self, what: &str, answer: &Answer) {
        let said = format!("{what}: {} {}", answer.status, answer.json());
        self.load.note(|book| book.surprises.push(said));
    }

    /// A card of few customers with few cards each, so that many are the same card again.
    async fn tokenize(&mut self) {
        let customer = format!("customer-{}-{}", self.name, self.acts / 40);
        let customer = format!("{customer}-{}", self.chance.between(1, 2));
        self.load.note(|book| {
            book.customers.insert(customer.clone());
        });
        let session = Ask {
            who: Who::Checkout,
            method: Method::POST,
            path: "/v1/capture_sessions",
            headers: Vec::new(),
            body: json!({ "customer_ref": customer }),
        };
        let mut chance = self.chance.fork();
        let made = self
            .load
            .insist(&session, Patience::Insists, &mut chance)
            .await;
        let Some(made) = made else { return };
        if made.status != 201 {
            return self.surprise("session", &made);
        }
        let bearer = made.json()["client_secret"]
            .as_str()
            .map(|secret| format!("Bearer {secret}"))
            .unwrap();
        let (key, number) = (self.key("card"), *self.chance.pick(&CARDS[..]));
        let post = Ask {
            who: Who::Nobody,
            method: Method::POST,
            path: "/v1/tokens",
            headers: vec![("authorization", &bearer), ("idempotency-key", &key)],
            body: card(number),
        };
        let patience = self.patience();
        let Some(made) = self.load.insist(&post, patience, &mut chance).await else {
            return self.load.note(|book| book.forsaken_cards += 1);
        };
        if made.status != 201 {
            return self.surprise("token", &made);
        }
        let token = made.json()["id"].as_str().unwrap().to_owned();
        self.load.note(|book| {
            book.tokens.entry(key).or_default().insert(token.clone());
        });
        self.tokens.push(token);
    }

    async fn charge(&mut self) {
        let token = self.chance.pick(&self.tokens).clone();
        let (amount, capture) = (self.chance.amount(100, 99_999), self.chance.percent(60));
        let key = self.key("charge");
        let mut metadata = json!({ "order": key });
        if self.chance.percent(10) {
            metadata["sandbox_later"] = json!("succeeded");
        }
        let ask = Ask {
            who: Who::Billing,
            method: Method::POST,
            path: "/v1/charges",
            headers: vec![("idempotency-key", &key)],
            body: json!({ "token": token, "amount": amount, "currency": "eur",
                "capture": capture, "metadata": metadata }),
        };
        let asked = ChargeAsked {
            token,
            amount,
            body: ask.body.clone(),
            told: Vec::new(),
        };
        self.load.note(|book| {
            book.charges.insert(key.clone(), asked);
        });
        let patience = self.patience();
        let (mut one, mut other) = (self.chance.fork(), self.chance.fork());
        // Some send the same twice at once, as a retry does that comes too soon.
        let answers = if self.chance.percent(10) {
            let both = tokio::join!(
                self.load.insist(&ask, patience, &mut one),
                self.load.insist(&ask, patience, &mut other)
            );
            [both.0, both.1]
        } else {
            [self.load.insist(&ask, patience, &mut one).await, None]
        };
        for answer in answers.into_iter().flatten() {
            self.charged(&key, &answer);
        }
    }

    fn charged(&mut self, key: &str, answer: &Answer) {
        let body = answer.json();
        let told = match (answer.status, body["charge"].as_str()) {
            (201, _) => told_of(&body),
            (402, Some(id)) if body["decline"]["code"] == ISSUERS_WORD => ChargeTold {
                id: id.to_owned(),
                status: "declined".to_owned(),
                captured: 0,
            },
            _ => return self.surprise("charge", answer),
        };
        self.keep(&told, body["amount"].as_i64().unwrap_or(0));
        self.load.note(|book| {
            book.charges.get_mut(key).unwrap().told.push(told);
        });
    }

    /// Notes what may be done with a charge next.
    fn keep(&mut self, told: &ChargeTold, amount: i64) {
        let id = told.id.clone();
        let known = |list: &[(String, i64)]| list.iter().any(|(other, _)| *other == id);
        match told.status.as_str() {
            "requires_capture" if !known(&self.authorized) => self.authorized.push((id, amount)),
            "succeeded" if !known(&self.taken) => self.taken.push((id, told.captured)),
            "processing" if !self.open.contains(&id) => self.open.push(id),
            _ => {}
        }
    }

    /// Captures an authorized charge, in whole or in part, or gives it up.
    async fn step(&mut self) {
        let place = self.chance.place(self.authorized.len());
        let (charge, amount) = self.authorized.swap_remove(place);
        let (step, body) = match self.chance.draw() % 3 {
            0 => ("cancel", Value::Null),
            1 => ("capture", Value::Null),
            _ => {
                let part = self.chance.amount(1, amount);
                ("capture", json!({ "amount": part }))
            }
        };
        let asked = body["amount"].as_i64().unwrap_or(amount);
        let (path, key) = (format!("/v1/charges/{charge}/{step}"), self.key(step));
        let ask = Ask {
            who: Who::Billing,
            method: Method::POST,
            path: &path,
            headers: vec![("idempotency-key", &key)],
            body,
        };
        let (patience, mut chance) = (self.patience(), self.chance.fork());
        let Some(answer) = self.load.insist(&ask, patience, &mut chance).await else {
            return;
        };
        match answer.status {
            200 => {
                let told = told_of(&answer.json());
                if told.status == "succeeded" && told.captured != asked {
                    self.surprise(&format!("{asked} captured"), &answer);
                }
                self.keep(&told, amount);
                self.load.note(|book| book.later.push(told));
            }
            422 => self.load.note(|book| book.refused += 1),
            _ => self.surprise(step, &answer),
        }
    }

    /// Asks for all of a charge's money back, or for a part.
    async fn refund(&mut self) {
        let place = self.chance.place(self.taken.len());
        let (charge, left) = self.taken.swap_remove(place);
        let part = (left > 1 && self.chance.percent(50)).then(|| self.chance.amount(1, left / 2));
        let mut body = json!({ "charge": charge });
        if let Some(part) = part {
            body["amount"] = json!(part);
            self.taken.push((charge.clone(), left - part));
        }
        let key = self.key("refund");
        let ask = Ask {
            who: Who::Billing,
            method: Method::POST,
            path: "/v1/refunds",
            headers: vec![("idempotency-key", &key)],
            body,
        };
        let asked = RefundAsked {
            charge,
            amount: part,
            told: Vec::new(),
        };
        self.load.note(|book| {
            book.refunds.insert(key.clone(), asked);
        });
        let (patience, mut chance) = (self.patience(), self.chance.fork());
        let Some(answer) = self.load.insist(&ask, patience, &mut chance).await else {
            return;
        };
        let body = answer.json();
        match (answer.status, body["id"].as_str(), body["amount"].as_i64()) {
            (201, Some(id), Some(amount)) => {
                let status = body["status"].as_str().unwrap().to_owned();
                self.load.note(|book| {
                    let refund = book.refunds.get_mut(&key).unwrap();
                    refund.told.push((id.to_owned(), status, amount));
                });
            }
            (422, ..) => self.load.note(|book| book.refused += 1),
            _ => self.surprise("refund", &answer),
        }
    }

    /// Looks again at a charge that was processing.
    async fn look(&mut self) {
        let place = self.chance.place(self.open.len());
        let charge = self.open.swap_remove(place);
        let path = format!("/v1/charges/{charge}");
        let ask = Ask {
            who: Who::Billing,
            method: Method::GET,
            path: &path,
            headers: Vec::new(),
            body: Value::Null,
        };
        let mut chance = self.chance.fork();
        let Some(answer) = self.load.insist(&ask, Patience::Insists, &mut chance).await else {
            return;
        };
        if answer.status != 200 {
            return self.surprise("read", &answer);
        }
        let told = told_of(&answer.json());
        let amount = answer.json()["amount"].as_i64().unwrap();
        self.keep(&told, amount);
        self.load.note(|book| book.later.push(told));
    }
}
