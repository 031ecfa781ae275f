//! A service that has lived: rows of every kind, each of which can be somebody's victim.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::hand::Hand;
use super::judge::{Paid, Truth};
use crate::support::receiver::{Receiver, Reply};
use crate::support::{App, VISA, Who, card};

pub(crate) const MASTERCARD: &str = "5555555555554444";
/// A card whose every payment is authenticated by the shopper.
const ALWAYS_AUTHENTICATED: &str = "4000002760003184";
/// Requests under way at a time.
const AT_ONCE: usize = 6;
/// Customers whose tokens nobody writes to, and whose charges are.
const POOL: usize = 4;

/// How a victim is asked after.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Nothing,
    /// Read, asked for once more under its key, and a part of it given back.
    Charge {
        id: String,
        key: String,
        order: Value,
        shown: Value,
        refundable: bool,
    },
    /// Listed with its charge.
    Refund {
        id: String,
        charge: String,
        amount: i64,
    },
    /// Read, and charged.
    Token {
        id: String,
        customer: String,
    },
    /// A card is posted into it.
    Session {
        secret: String,
        customer: String,
    },
    /// The session's own card once more.
    Used {
        secret: String,
        token: String,
    },
    /// The same card of the same customer once more.
    SameCard {
        token: String,
        customer: String,
    },
    /// What its shopper is shown.
    Page {
        at: String,
        secret: String,
    },
    /// Another card of that customer.
    Customer {
        customer: String,
    },
    /// What the merchant is sent.
    Told {
        id: String,
        data: String,
    },
}

/// A row that somebody writes to.
#[derive(Clone, Debug)]
pub(crate) struct Victim {
    pub(crate) table: String,
    pub(crate) state: &'static str,
    /// What it is found by.
    pub(crate) place: String,
    pub(crate) ask: Ask,
}

/// All that was done before anybody writes.
pub(crate) struct Story {
    pub(crate) receiver: Receiver,
    pub(crate) victims: Vec<Victim>,
    pub(crate) truth: Truth,
}

/// Does one thing so many times, some at a time.
pub(crate) async fn many<T, F: Future<Output = T>>(
    count: usize,
    one: impl Fn(usize) -> F,
) -> Vec<T> {
    stream::iter(0..count)
        .map(one)
        .buffered(AT_ONCE)
        .collect()
        .await
}

fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}"))
        .to_owned()
}

/// A session of a customer: its id and its secret.
pub(crate) async fn session(app: &App, customer: &str) -> (String, String) {
    let made = app
        .order_session(&json!({ "customer_ref": customer }))
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    let secret = text(&made.json(), "client_secret");
    (secret.split_once("_secret_").unwrap().0.to_owned(), secret)
}

pub(crate) async fn token_of(app: &App, number: &str, customer: &str) -> String {
    let (_, secret) = session(app, customer).await;
    let made = app
        .post_card(&secret, &card(number), &[("idempotency-key", "k")])
        .await;
    assert!(matches!(made.status, 201 | 202), "{}", made.json());
    text(&made.json(), "id")
}

/// What a charge shows that is worth something.
pub(crate) fn worth(shown: &Value) -> Value {
    let names = ["status", "token", "amount", "amount_captured", "currency"];
    names
        .iter()
        .map(|name| ((*name).to_owned(), shown[name].clone()))
        .collect()
}

fn at(table: &str, state: &'static str, id: &str, ask: Ask) -> Victim {
    Victim {
        table: table.to_owned(),
        state,
        place: format!("id = '{id}'"),
        ask,
    }
}

struct Teller<'a> {
    app: &'a App,
    pool: Vec<String>,
    truth: std::sync::Mutex<Truth>,
}

impl Teller<'_> {
    fn orders(&self, number: usize, amount: i64, capture: bool) -> Value {
        let token = &self.pool[number % POOL];
        json!({ "token": token, "amount": amount, "currency": "eur", "capture": capture })
    }

    /// A charge of a customer of the pool; the victim that it is.
    async fn charge(&self, key: &str, number: usize, state: &'static str) -> (String, Victim) {
        let amount = 1_000 + i64::try_from(number).unwrap();
        let order = self.orders(number, amount, state != "authorized");
        let made = self.app.order_charge(&order, key).await;
        assert_eq!(made.status, 201, "{}", made.json());
        let shown = made.json();
        let id = text(&shown, "id");
        let paid = Paid {
            customer: format!("pool-{}", number % POOL),
            amount,
            captured: if state == "authorized" { 0 } else { amount },
            refunded: 0,
        };
        self.truth.lock().unwrap().charges.insert(id.clone(), paid);
        let shown = worth(&shown);
        let ask = Ask::Charge {
            id: id.clone(),
            key: key.to_owned(),
            order,
            shown,
            refundable: state != "authorized",
        };
        let victim = at("charges", state, &id, ask);
        (id, victim)
    }

    async fn refund(&self, key: &str, charge: &str, state: &'static str) -> Victim {
        let amount = 300;
        let order = json!({ "charge": charge, "amount": amount });
        let made = self
            .app
            .keyed(Who::Billing, "/v1/refunds", key, &order)
            .await;
        assert_eq!(made.status, 201, "{}", made.json());
        let id = text(&made.json(), "id");
        let mut truth = self.truth.lock().unwrap();
        truth.charges.get_mut(charge).unwrap().refunded += amount;
        truth.refunds.insert(id.clone(), amount);
        let ask = Ask::Refund {
            id: id.clone(),
            charge: charge.to_owned(),
            amount,
        };
        at("refunds", state, &id, ask)
    }

    async fn token(&self, number: usize, state: &'static str) -> Victim {
        let customer = format!("{state}-{number}");
        let id = token_of(self.app, VISA, &customer).await;
        let ask = match state {
            "known" => Ask::SameCard {
                token: id.clone(),
                customer,
            },
            _ => Ask::Token {
                id: id.clone(),
                customer,
            },
        };
        at("tokens", state, &id, ask)
    }

    async fn used(&self, number: usize) -> Victim {
        let (id, secret) = session(self.app, &format!("used-{number}")).await;
        let key = [("idempotency-key", "k")];
        let made = self.app.post_card(&secret, &card(VISA), &key).await.json();
        let ask = Ask::Used {
            secret,
            token: text(&made, "id"),
        };
        at("sessions", "used", &id, ask)
    }

    async fn page(&self, number: usize) -> Victim {
        let customer = format!("page-{number}");
        let token = token_of(self.app, ALWAYS_AUTHENTICATED, &customer).await;
        let order = json!({ "token": token, "amount": 1_250, "currency": "eur", "off_session": true,
            "origin": "https://shop.example", "return_path": "/bills",
            "hosted_page": { "shop_name": "Little Theatre" } });
        let made = self
            .app
            .order_charge(&order, &format!("page-{number}"))
            .await
            .json();
        let id = text(&made, "id");
        let paid = Paid {
            customer,
            amount: 1_250,
            captured: 1_250,
            refunded: 0,
        };
        self.truth.lock().unwrap().charges.insert(id.clone(), paid);
        let link = made["hosted_page"]["url"].as_str().unwrap();
        let (page, secret) = link.split_once('#').unwrap();
        let ask = Ask::Page {
            at: page.to_owned(),
            secret: secret.to_owned(),
        };
        Victim {
            table: "charge_pages".to_owned(),
            state: "shown",
            place: format!("charge_id = '{id}'"),
            ask,
        }
    }
}

impl Story {
    /// Tells it, with as many rows of a table as `rows` says.
    pub(crate) async fn of(
        app: &App,
        receiver: Receiver,
        owner: &mut Hand,
        rows: impl Fn(&str) -> usize,
    ) -> Self {
        let pool = many(POOL, |n| async move {
            token_of(app, VISA, &format!("pool-{n}")).await
        });
        let teller = &Teller {
            app,
            pool: pool.await,
            truth: std::sync::Mutex::default(),
        };
        let mut victims = Vec::new();
        let charged = |key: &'static str, count, state| {
            many(count, move |n| async move {
                teller.charge(&format!("{key}-{n}"), n, state).await
            })
        };
        let alone = |made: Vec<(String, Victim)>| made.into_iter().map(|(_, victim)| victim);
        for (state, count) in [
            ("settled", rows("charges")),
            ("open", rows("charges")),
            ("authorized", 6),
        ] {
            victims.extend(alone(charged(state, count, state).await));
        }
        for (key, state) in [("given-back", "settled"), ("to-give-back", "open")] {
            let of = &charged(key, rows("refunds"), "settled").await;
            let refunds = many(of.len(), |n| async move {
                let refund = format!("{key}-refund-{n}");
                teller.refund(&refund, &of[n].0, state).await
            });
            victims.extend(refunds.await);
        }
        victims.extend(many(rows("tokens"), |n| teller.token(n, "active")).await);
        let known = many(rows("token_cards"), |n| teller.token(n, "known")).await;
        victims.extend(known.into_iter().map(|victim| Victim {
            table: "token_cards".to_owned(),
            place: victim.place.replace("id =", "token_id ="),
            ..victim
        }));
        let fresh = many(rows("sessions"), |n| async move {
            let customer = format!("fresh-{n}");
            let (id, secret) = session(app, &customer).await;
            at("sessions", "fresh", &id, Ask::Session { secret, customer })
        });
        victims.extend(fresh.await);
        victims.extend(many(rows("sessions"), |n| teller.used(n)).await);
        let keyed = charged("keyed", rows("idempotency_keys"), "settled").await;
        victims.extend(
            keyed
                .into_iter()
                .enumerate()
                .map(|(n, (_, victim))| Victim {
                    table: "idempotency_keys".to_owned(),
                    place: format!("key = 'keyed-{n}'"),
                    ..victim
                }),
        );
        victims.extend(many(rows("charge_pages"), |n| teller.page(n)).await);
        let customers = many(rows("processor_customers"), |n| async move {
            let customer = format!("customer-{n}");
            token_of(app, VISA, &customer).await;
            Victim {
                table: "processor_customers".to_owned(),
                state: "used",
                place: format!("customer_ref = '{customer}'"),
                ask: Ask::Customer { customer },
            }
        });
        victims.extend(customers.await);
        // From here on the merchant is away, and cards that are in the way stay there.
        receiver.otherwise(Reply::status(500));
        let told = charged("told", rows("events") + rows("deliveries"), "settled").await;
        victims.extend(told_of(owner, &told, rows("events")).await);
        keep_orphans(owner).await;
        many(rows("orphans"), |n| async move {
            let customer = format!("twice-{n}");
            let first = token_of(app, VISA, &customer).await;
            assert_eq!(token_of(app, VISA, &customer).await, first);
        })
        .await;
        for id in owner.texts("SELECT id FROM orphans ORDER BY id").await {
            victims.push(at("orphans", "open", &id, Ask::Nothing));
        }
        let mut truth = std::mem::take(&mut *teller.truth.lock().unwrap());
        truth.customers = customers_of(owner).await;
        truth.detachable = ["twice-", "known-"].map(str::to_owned).into();
        truth.attached = attached(&app.ledger().await, &truth.customers);
        put_back(owner, &victims).await;
        put_off(owner).await;
        Self {
            receiver,
            victims,
            truth,
        }
    }

    /// The merchant is back, and what is owed is due.
    pub(crate) async fn ends(&self, owner: &mut Hand) {
        self.receiver.otherwise(Reply::status(200));
        for table in OWED {
            let due = format!(
                "UPDATE {table} SET lease_until_ms = 0 WHERE lease_until_ms = {LATER_MS} AND lease_token IS NULL"
            );
            owner.run(&due).await.unwrap();
        }
    }
}

/// The year 2100: later than any test.
const LATER_MS: i64 = 4_102_444_800_000;
const OWED: [&str; 4] = ["charges", "refunds", "orphans", "deliveries"];

/// Has orphans wait from the moment they are written.
async fn keep_orphans(owner: &mut Hand) {
    let later = format!("lease_until_ms = {LATER_MS}");
    if owner.is_postgres() {
        for statement in [
            format!(
                "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.{later}; RETURN NEW; END $$"
            ),
            "CREATE TRIGGER later BEFORE INSERT ON orphans FOR EACH ROW EXECUTE FUNCTION later()"
                .to_owned(),
        ] {
            owner.run(&statement).await.unwrap();
        }
    } else {
        let trigger = format!(
            "CREATE TRIGGER later AFTER INSERT ON orphans BEGIN UPDATE orphans SET {later} WHERE id = NEW.id; END"
        );
        owner.run(&trigger).await.unwrap();
    }
}

/// Rows of charges and refunds as they were before the processor was asked: each proof of them
/// holds, and each is done once more unless the processor's key says that it was done.
async fn put_back(owner: &mut Hand, victims: &[Victim]) {
    let open = victims.iter().filter(|victim| victim.state == "open");
    for Victim { table, place, .. } in open {
        let before = match table.as_str() {
            "charges" => {
                "status = 'processing', payment = NULL, payment_proof = NULL, captured = 0, refunded = 0, network_transaction_id = NULL, cvc_check = NULL, postal_code_check = NULL"
            }
            "refunds" => {
                "status = 'processing', processor_refund = NULL, processor_refund_proof = NULL"
            }
            _ => continue,
        };
        let back = format!(
            "UPDATE {table} SET {before}, lease_until_ms = {LATER_MS}, lease_token = NULL WHERE {place}"
        );
        owner
            .run(&back)
            .await
            .unwrap_or_else(|error| panic!("{back}: {error}"));
    }
}

/// Has what is owed wait until the story ends.
async fn put_off(owner: &mut Hand) {
    for table in OWED {
        let off = format!(
            "UPDATE {table} SET lease_until_ms = {LATER_MS} WHERE lease_until_ms IS NOT NULL AND lease_token IS NULL"
        );
        let held =
            format!("SELECT CAST(count(*) AS TEXT) FROM {table} WHERE lease_token IS NOT NULL");
        owner.run(&off).await.unwrap();
        for _ in 0..50 {
            if owner.texts(&held).await[0] == "0" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            owner.run(&off).await.unwrap();
        }
    }
}

async fn told_of(owner: &mut Hand, told: &[(String, Victim)], events: usize) -> Vec<Victim> {
    let mut victims = Vec::new();
    for (number, (charge, _)) in told.iter().enumerate() {
        let query = format!("SELECT id, data FROM events WHERE data LIKE '%{charge}%'");
        let row = owner.rows(&query).await.remove(0);
        let [Some(id), Some(data)] = row.as_slice() else {
            panic!("{row:?}")
        };
        let (table, key) = if number < events {
            ("events", "id")
        } else {
            ("deliveries", "event_id")
        };
        victims.push(Victim {
            table: table.to_owned(),
            state: "owed",
            place: format!("{key} = '{id}'"),
            ask: Ask::Told {
                id: id.clone(),
                data: data.clone(),
            },
        });
    }
    // They have failed once, and wait.
    let owed = "SELECT CAST(count(*) AS TEXT) FROM deliveries WHERE attempts > 0 AND lease_until_ms IS NOT NULL";
    for _ in 0..100 {
        if owner.texts(owed).await[0].parse::<usize>().unwrap() >= told.len() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    victims
}

pub(crate) async fn customers_of(owner: &mut Hand) -> BTreeMap<String, String> {
    let query = "SELECT processor_customer, customer_ref FROM processor_customers";
    let rows = owner.rows(query).await.into_iter();
    rows.map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap()))
        .collect()
}

/// The cards at the processor, each with whose it is.
fn attached(ledger: &Value, customers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let methods = ledger["payment_methods"].as_array().unwrap().iter();
    methods
        .filter_map(|method| {
            let customer = customers.get(method["customer"].as_str()?)?;
            Some((text(method, "id"), customer.clone()))
        })
        .collect()
}

/// The tables of which the story has victims.
pub(crate) fn tables(victims: &[Victim]) -> BTreeSet<(String, &'static str)> {
    let named = victims
        .iter()
        .map(|victim| (victim.table.clone(), victim.state));
    named.collect()
}
