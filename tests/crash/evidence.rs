//! Evidence: what the service, the processor and the store say when all is quiet.

use std::collections::BTreeMap;

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::book::Book;
use crate::processor::Processor;
use crate::store::Store;
use crate::support::{Http, read, request};

/// A charge as the service shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) status: String,
    pub(crate) amount: i64,
    pub(crate) amount_captured: i64,
    pub(crate) amount_refunded: i64,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A refund as the service shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) charge: String,
    pub(crate) amount: i64,
}

/// What the processor did for one charge.
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
}

/// What the processor did for one refund.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct GivenBack {
    pub(crate) refunds: u64,
    pub(crate) succeeded: u64,
    pub(crate) amount: i64,
}

/// An event of the feed: its id, its kind and what it tells of.
pub(crate) type Told = (String, String, String);

#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) book: Book,
    /// By id.
    pub(crate) charges: BTreeMap<String, Charge>,
    pub(crate) refunds: BTreeMap<String, Refund>,
    /// By the names that the service gave the processor.
    pub(crate) paid: BTreeMap<String, Paid>,
    pub(crate) given_back: BTreeMap<String, GivenBack>,
    /// What the processor has forgotten, so that nobody can judge it.
    pub(crate) forgotten: u64,
    /// Tokens of all customers that a charge can be made with.
    pub(crate) tokens: Vec<String>,
    /// Cards that the processor keeps for a customer.
    pub(crate) cards_attached: usize,
    pub(crate) feed: Vec<Told>,
    /// The places of all events, in order, as the store has them.
    pub(crate) places: Vec<i64>,
    /// Charges, refunds, orphans and events that somebody would have to work on still.
    pub(crate) open: i64,
}

/// Counts what is not at its end.
pub(crate) const OPEN: &str =
    "SELECT (SELECT count(*) FROM charges WHERE status = 'processing' OR operation IS NOT NULL)
          + (SELECT count(*) FROM refunds WHERE status = 'processing')
          + (SELECT count(*) FROM orphans)
          + (SELECT count(*) FROM events WHERE seq IS NULL)";

/// Asks the service as billing does, with no faults any more.
pub(crate) struct Witness<'a> {
    pub(crate) http: &'a Http,
    pub(crate) plane: &'a str,
}

impl Witness<'_> {
    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.plane);
        for _ in 0..50 {
            let asked = read(self.http, request(Method::GET, &url, &[], String::new())).await;
            match asked {
                Ok(answer) if answer.status == 200 => return answer.json(),
                Ok(answer) if answer.status == 404 => return Value::Null,
                Ok(_) | Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
        panic!("{path} is not answered when all is quiet");
    }

    /// All pages of a list.
    async fn all(&self, list: &str, cursor: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{list}limit=100{after}")).await;
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["has_more"] == false {
                return all;
            }
            let end = all.last().unwrap()["id"].as_str().unwrap();
            after = format!("&{cursor}={end}");
        }
    }
}

pub(crate) async fn collect(
    witness: &Witness<'_>,
    (processor, store): (&Processor, &Store),
    book: Book,
) -> Evidence {
    let ledger = processor.ledger().await;
    let paid: BTreeMap<String, Paid> = serde_json::from_value(ledger["by_charge"].clone()).unwrap();
    let given_back: BTreeMap<String, GivenBack> =
        serde_json::from_value(ledger["by_refund"].clone()).unwrap();
    let mut charges = BTreeMap::new();
    for charge in witness.all("/v1/charges?", "starting_after").await {
        let charge: Charge = serde_json::from_value(charge).unwrap();
        charges.insert(charge.id.clone(), charge);
    }
    let mut refunds = BTreeMap::new();
    let told = book.refunds.values().flat_map(|refund| &refund.told);
    for id in told.map(|told| &told.0).chain(given_back.keys()) {
        let found = witness.get(&format!("/v1/refunds/{id}")).await;
        if !found.is_null() {
            refunds.insert(id.clone(), serde_json::from_value(found).unwrap());
        }
    }
    let mut tokens = Vec::new();
    for customer in &book.customers {
        let list = format!("/v1/tokens?customer_ref={customer}&");
        for token in witness.all(&list, "starting_after").await {
            if matches!(token["status"].as_str(), Some("active" | "requires_action")) {
                tokens.push(token["id"].as_str().unwrap().to_owned());
            }
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let feed = witness.all("/v1/events?", "after").await;
    let feed = feed.iter().map(|event| {
        (
            text(&event["id"]),
            text(&event["type"]),
            text(&event["data"]["id"]),
        )
    });
    let methods = ledger["payment_methods"].as_array().unwrap();
    let evicted = ledger["evicted"].as_object().unwrap();
    Evidence {
        charges,
        refunds,
        paid,
        given_back,
        forgotten: evicted.values().filter_map(Value::as_u64).sum(),
        tokens,
        cards_attached: methods
            .iter()
            .filter(|card| card["attached"] == true)
            .count(),
        feed: feed.collect(),
        places: store
            .numbers("SELECT seq FROM events WHERE seq IS NOT NULL ORDER BY seq")
            .await
            .unwrap(),
        open: store.number(OPEN).await.unwrap(),
        book,
    }
}
