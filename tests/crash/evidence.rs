//! Evidence: what the service, the processor and the store say when all is quiet.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::journal::Journal;
use crate::processor::Processor;
use crate::store::Store;
use crate::support::{Http, read, request};
use crate::tables;

/// How long an answer is waited for when all is quiet.
const ASKED_AGAIN: usize = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// What a charge is at the processor, as the service shows it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct AtProcessor {
    pub(crate) payment: Option<String>,
}

/// A charge as the service shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) status: String,
    pub(crate) amount: i64,
    pub(crate) amount_captured: i64,
    pub(crate) amount_refunded: i64,
    pub(crate) disputed: bool,
    pub(crate) processor: AtProcessor,
    /// That the processor says otherwise than a state that was final.
    pub(crate) contradiction: Option<Value>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A refund as the service shows it, and the processor's name of it in its row.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) charge: String,
    pub(crate) amount: i64,
    /// The processor's name of what it made.
    #[serde(skip)]
    pub(crate) made: Option<String>,
}

/// What the processor did for one charge, by the service's name of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Paid {
    pub(crate) payments: u64,
    /// Of them those whose money was held or taken at some time.
    #[serde(rename = "paid")]
    pub(crate) moved: u64,
    pub(crate) captured: u64,
    pub(crate) canceled: u64,
    pub(crate) declined: u64,
    pub(crate) amount_authorized: i64,
    pub(crate) amount_captured: i64,
    pub(crate) amount_refunded: i64,
    /// The processor's names of the payments.
    pub(crate) ids: Vec<String>,
}

/// A refund at the processor.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenBack {
    /// The service's name of it; none where it was made in the dashboard.
    pub(crate) ours: Option<String>,
    /// The service's name of its charge.
    pub(crate) charge: String,
    pub(crate) status: String,
    pub(crate) amount: i64,
}

/// A dispute at the processor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dispute {
    /// The service's name of its charge.
    pub(crate) charge: String,
    pub(crate) status: String,
}

/// An event of the feed.
#[derive(Clone, Debug, Default)]
pub(crate) struct FeedEvent {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// What it is about.
    pub(crate) subject: String,
    pub(crate) status: String,
    /// Goes up with each change of the subject.
    pub(crate) version: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) journal: Journal,
    /// By id.
    pub(crate) charges: BTreeMap<String, Charge>,
    pub(crate) refunds: BTreeMap<String, Refund>,
    /// Every token's state.
    pub(crate) tokens: BTreeMap<String, String>,
    /// By the names that the service gave the processor.
    pub(crate) paid: BTreeMap<String, Paid>,
    /// By the processor's names.
    pub(crate) given_back: BTreeMap<String, GivenBack>,
    pub(crate) disputes: BTreeMap<String, Dispute>,
    /// The states of the rows that disputes have, by the processor's names.
    pub(crate) dispute_rows: BTreeMap<String, String>,
    /// What the processor has forgotten, so that nobody can judge it.
    pub(crate) forgotten: u64,
    /// Cards that the processor keeps for a customer.
    pub(crate) cards_attached: usize,
    pub(crate) feed: Vec<FeedEvent>,
    /// The places of all events, in order, as the store has them.
    pub(crate) places: Vec<i64>,
    /// What somebody would have to work on still.
    pub(crate) open: Vec<String>,
}

/// The service, asked as billing asks it, with no faults any more.
pub(crate) struct Reader<'a> {
    pub(crate) http: &'a Http,
    pub(crate) plane: &'a str,
}

impl Reader<'_> {
    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.plane);
        for _ in 0..ASKED_AGAIN {
            let asked = read(self.http, request(Method::GET, &url, &[], String::new())).await;
            match asked {
                Ok(answer) if answer.status == 200 => return answer.json(),
                Ok(answer) if answer.status == 404 => return Value::Null,
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        panic!("{path} is not answered when all is quiet");
    }

    /// All pages of a list.
    async fn all(&self, list: &str, cursor: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{list}?limit=100{after}")).await;
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["has_more"] == false {
                return all;
            }
            let end = all.last().unwrap()["id"].as_str().unwrap();
            after = format!("&{cursor}={end}");
        }
    }

    async fn charges(&self) -> BTreeMap<String, Charge> {
        let all = self.all("/v1/charges", "starting_after").await;
        let all = all.into_iter().map(|charge| {
            let charge: Charge = serde_json::from_value(charge).unwrap();
            (charge.id.clone(), charge)
        });
        all.collect()
    }

    async fn refunds(&self, store: &Store) -> BTreeMap<String, Refund> {
        let mut refunds = BTreeMap::new();
        for row in store.texts(tables::REFUNDS).await.unwrap() {
            let (id, name) = row.split_once(' ').unwrap();
            let shown = self.get(&format!("/v1/refunds/{id}")).await;
            if !shown.is_null() {
                let mut refund: Refund = serde_json::from_value(shown).unwrap();
                refund.made = (name != "-").then(|| name.to_owned());
                refunds.insert(id.to_owned(), refund);
            }
        }
        refunds
    }

    async fn feed(&self) -> Vec<FeedEvent> {
        let feed = self.all("/v1/events", "after").await;
        let feed = feed.iter().map(|event| FeedEvent {
            id: text(&event["id"]),
            kind: text(&event["type"]),
            subject: text(&event["data"]["id"]),
            status: text(&event["data"]["status"]),
            version: event["data"]["version"].as_i64(),
        });
        feed.collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Ids and states.
async fn states(store: &Store, sql: &'static str) -> BTreeMap<String, String> {
    let rows = store.texts(sql).await.unwrap();
    let rows = rows.iter().map(|row| {
        let (id, status) = row.split_once(' ').unwrap();
        (id.to_owned(), status.to_owned())
    });
    rows.collect()
}

/// The service's names of the charges, by the processor's names of their payments.
fn payments(ledger: &Value) -> BTreeMap<&str, String> {
    let payments = ledger["payment_intents"].as_array().unwrap().iter();
    let payments = payments.map(|payment| {
        let charge = text(&payment["metadata"]["cloakroom_charge"]);
        (payment["id"].as_str().unwrap(), charge)
    });
    payments.collect()
}

pub(crate) async fn collect(
    reader: &Reader<'_>,
    (processor, store): (&Processor, &Store),
    journal: Journal,
) -> Evidence {
    let ledger = processor.ledger().await;
    let payments = payments(&ledger);
    let charge_of = |object: &Value| {
        let payment = object["payment_intent"].as_str().unwrap_or_default();
        payments.get(payment).cloned().unwrap_or_default()
    };
    let refunds = ledger["refunds"].as_array().unwrap().iter();
    let given_back = refunds.map(|refund| {
        let given_back = GivenBack {
            ours: refund["metadata"]["cloakroom_refund"]
                .as_str()
                .map(ToOwned::to_owned),
            charge: charge_of(refund),
            status: text(&refund["status"]),
            amount: refund["amount"].as_i64().unwrap(),
        };
        (text(&refund["id"]), given_back)
    });
    let disputes = processor.list("/v1/disputes").await;
    let disputes = disputes.iter().map(|dispute| {
        let (charge, status) = (charge_of(dispute), text(&dispute["status"]));
        (text(&dispute["id"]), Dispute { charge, status })
    });
    let methods = ledger["payment_methods"].as_array().unwrap();
    let evicted = ledger["evicted"].as_object().unwrap();
    Evidence {
        charges: reader.charges().await,
        refunds: reader.refunds(store).await,
        tokens: states(store, tables::TOKENS).await,
        paid: serde_json::from_value(ledger["by_charge"].clone()).unwrap(),
        given_back: given_back.collect(),
        disputes: disputes.collect(),
        dispute_rows: states(store, tables::DISPUTES).await,
        forgotten: evicted.values().filter_map(Value::as_u64).sum(),
        cards_attached: methods
            .iter()
            .filter(|card| card["attached"] == true)
            .count(),
        feed: reader.feed().await,
        places: store.numbers(tables::PLACES).await.unwrap(),
        open: store.texts(tables::OPEN).await.unwrap(),
        journal,
    }
}
