//! The laboratory of one round: the processor, the store, the merchant and the nodes that are
//! killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chance::Chance;
use crate::client::{Client, ISSUERS_WORD};
use crate::evidence::{self, Evidence, Reader};
use crate::journal::{ChargeAsked, Journal};
use crate::judge::Finding;
use crate::merchant::Merchant;
use crate::moments::{self, Moment};
use crate::node::Node;
use crate::processor::Processor;
use crate::round::{Moments, Plan};
use crate::store::{Engine, Store};
use crate::support::{Answer, App, Who, client, read, request};
use crate::{dashboard, faults, tables};

/// How long what the last kill left open may take to come to its end.
const SETTLED_WITHIN: Duration = Duration::from_mins(4);
/// Between two questions whether it has.
const POLL: Duration = Duration::from_millis(500);
/// Keys and tokens that are asked once more at the end.
const SAMPLE: usize = 30;
/// How often the laboratory asks for an answer when all is quiet.
const ASKED_AGAIN: usize = 200;
/// A node lives so long at random moments, at least and at most: longer than the lease of what the
/// one before was killed in, or so short that it is killed in its recovery.
const ALIVE_MS: (u64, u64) = (1_000, 4_500);
const IN_RECOVERY_MS: (u64, u64) = (50, 600);
/// Of a hundred kills those in the recovery from the one before.
const IN_RECOVERY_PERCENT: u64 = 25;
/// Of a hundred kills those of the database too.
const DATABASE_PERCENT: u64 = 20;
/// After the last kill the load goes on until enough was done, at most so long.
const AFTER: Duration = Duration::from_secs(40);
/// The load has so long before the first kill and the first fault.
const BEFORE: Duration = Duration::from_secs(2);

pub(crate) struct Laboratory {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) merchant: Merchant,
    processor: Processor,
    pub(crate) store: Arc<Store>,
    chance: Chance,
}

/// What the kills came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kills {
    /// Moments that did not come.
    pub(crate) missed: usize,
    /// Kills of the database too.
    pub(crate) of_database: usize,
}

impl Laboratory {
    pub(crate) async fn open(plan: &Plan) -> (Self, Vec<Node>) {
        let mut chance = Chance::from(plan.seed);
        let dir = Arc::new(TempDir::new().unwrap());
        let processor = Processor::start(dir.path());
        let store = Arc::new(Store::new(plan.engine, dir.path()));
        written_by_dev(&dir, &processor, &store);
        let mut nodes: Vec<Node> = (1..=plan.nodes)
            .map(|number| {
                let name = format!("node-{number}");
                Node::new(dir.path(), &name, plan.moments.timeout_ms(), &mut chance)
            })
            .collect();
        for node in &mut nodes {
            node.start().await;
            // Where it is dead, the processor tries again for some seconds.
            let url = format!("{}/webhooks/stripe", node.capture());
            processor.register(&url, dir.path()).await;
        }
        processor.set(&json!({ "later_ms": 300 })).await;
        if !plan.processor_keeps_keys {
            // Nor does it send events, so that each question is asked again.
            let forgetful = json!({ "idempotency_key_lifetime_ms": 0, "events": false });
            processor.set(&forgetful).await;
        }
        let merchant = Merchant {
            journal: Mutex::new(Journal::default()),
            started: Instant::now(),
            stopped: OnceLock::new(),
            nodes: nodes
                .iter()
                .map(|node| (node.capture(), node.internal()))
                .collect(),
            checkout: client(dir.path(), Who::Checkout),
            billing: client(dir.path(), Who::Billing),
            admin: client(dir.path(), Who::Admin),
            browser: client(dir.path(), Who::Nobody),
        };
        let laboratory = Self {
            dir,
            merchant,
            processor,
            store,
            chance,
        };
        (laboratory, nodes)
    }

    /// Runs the load until the last kill and until every client has its answer.
    pub(crate) async fn load(
        &mut self,
        plan: &Plan,
        first_moment: usize,
        nodes: &mut [Node],
    ) -> Kills {
        let mut chances: Vec<Chance> = (0..plan.moments.clients())
            .map(|_| self.chance.fork())
            .collect();
        let (mut kills, trouble, dashboard) =
            (self.chance.fork(), self.chance.fork(), self.chance.fork());
        let (merchant, processor) = (&self.merchant, &self.processor);
        let clients = chances
            .drain(..)
            .enumerate()
            .map(|(name, chance)| Client::new((merchant, processor), name, chance).run());
        let outside = async {
            // At a numbered moment the processor has only the fault that makes it.
            if plan.moments == Moments::Random {
                tokio::time::sleep(BEFORE).await;
                tokio::join!(
                    faults::trouble(processor, merchant, trouble),
                    dashboard::used(processor, merchant, dashboard)
                );
            }
        };
        let (kills, (), _) = tokio::join!(
            self.kill(plan, first_moment, nodes, &mut kills),
            outside,
            join_all(clients)
        );
        kills
    }

    /// Kills as often as planned, and lets the load come to its end.
    async fn kill(
        &self,
        plan: &Plan,
        first_moment: usize,
        nodes: &mut [Node],
        chance: &mut Chance,
    ) -> Kills {
        let numbered = moments::numbered();
        let mut kills = Kills::default();
        tokio::time::sleep(BEFORE).await;
        for kill in 0..plan.kills {
            let moment = match plan.moments {
                Moments::Random => at_random(chance),
                Moments::Only(moment) => moment,
                Moments::Numbered => numbered[(first_moment + kill) % numbered.len()],
            };
            let victim = chance.place(nodes.len());
            let (came, held) = moment.comes(&self.processor, &self.store).await;
            let killed = Instant::now();
            nodes[victim].kill();
            kills.missed += usize::from(!came);
            if !came {
                println!("{}: {moment:?} did not come", plan.name);
            }
            if let Some(held) = held {
                held.release().await;
            }
            if plan.moments != Moments::Random {
                self.processor.clear_faults().await;
            }
            if plan.moments == Moments::Random
                && plan.engine == Engine::Postgres
                && chance.percent(DATABASE_PERCENT)
            {
                kills.of_database += 1;
                let store = Arc::clone(&self.store);
                let rest = Duration::from_millis(chance.between(0, 500));
                tokio::task::spawn_blocking(move || store.crash(rest))
                    .await
                    .unwrap();
            }
            // One node's death is the other's work, for a while.
            let dead_ms = if plan.nodes > 1 { 1_200 } else { 200 };
            tokio::time::sleep(Duration::from_millis(chance.between(0, dead_ms))).await;
            nodes[victim].start().await;
            let line = format!("node-{} killed, {moment:?}, and started", victim + 1);
            self.merchant.line(killed, &line);
        }
        let last = Instant::now();
        while self.money_operations() < plan.money_operations && last.elapsed() < AFTER {
            tokio::time::sleep(POLL).await;
        }
        self.merchant.stop();
        kills
    }

    fn money_operations(&self) -> usize {
        self.merchant.journal.lock().unwrap().money_operations()
    }

    /// Waits until nothing is open; answers how long that took, or nothing where it did not end.
    pub(crate) async fn settled(&self) -> Option<Duration> {
        self.processor.clear_faults().await;
        let calm = json!({ "webhooks": {}, "latency_ms": 0 });
        self.processor.set(&calm).await;
        dashboard::catch_up(&self.processor).await;
        let started = Instant::now();
        while started.elapsed() < SETTLED_WITHIN {
            let open = self.store.texts(tables::OPEN).await.unwrap();
            let ledger = self.processor.ledger().await;
            if open.is_empty() && ledger["webhooks"]["waiting"] == 0 {
                return Some(started.elapsed());
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    pub(crate) async fn evidence(&self, node: &Node) -> Evidence {
        let journal = self.merchant.journal.lock().unwrap().clone();
        let reader = Reader {
            http: &self.merchant.billing,
            plane: &node.internal(),
        };
        evidence::collect(&reader, (&self.processor, &self.store), journal).await
    }

    async fn order(&self, node: &Node, key: &str, order: &Value) -> Option<Answer> {
        let url = format!("{}/v1/charges", node.internal());
        for _ in 0..ASKED_AGAIN {
            let headers = [("idempotency-key", key)];
            let sent = request(Method::POST, &url, &headers, order.to_string());
            match read(&self.merchant.billing, sent).await {
                Ok(answer) if !matches!(answer.status, 409 | 429 | 500..) => return Some(answer),
                Ok(_) | Err(_) => tokio::time::sleep(POLL / 5).await,
            }
        }
        None
    }

    /// A key stands for its charge for good: the same request is answered with the same one.
    pub(crate) async fn ask_again(&self, node: &Node) -> Vec<Finding> {
        let orders: BTreeMap<String, ChargeAsked> =
            self.merchant.journal.lock().unwrap().charges.clone();
        let answered = orders.iter().filter(|(_, asked)| !asked.answers.is_empty());
        let answered: Vec<_> = answered.collect();
        let mut findings = Vec::new();
        for (key, asked) in answered.iter().step_by((answered.len() / SAMPLE).max(1)) {
            let Some(answer) = self.order(node, key, &asked.body).await else {
                findings.push(Finding::Open(format!(
                    "{key} has no answer when all is quiet"
                )));
                continue;
            };
            let body = answer.json();
            let id = match answer.status {
                201 => &body["id"],
                402 => &body["charge"],
                _ => &Value::Null,
            };
            if *id != asked.answers[0].id {
                findings.push(Finding::Twice(format!(
                    "{key}: {:?}, {body}",
                    asked.answers
                )));
            }
        }
        findings
    }

    /// A token is good for a charge, whatever it went through.
    pub(crate) async fn charge_a_sample(&self, evidence: &Evidence, node: &Node) -> Vec<Finding> {
        let known: Vec<&str> = evidence.journal.kept_tokens().into_iter().collect();
        let mut findings = Vec::new();
        for token in known.iter().step_by((known.len() / SAMPLE).max(1)) {
            let order = json!({ "token": token, "amount": 100, "currency": "eur" });
            let Some(answer) = self.order(node, token, &order).await else {
                findings.push(Finding::Lost(format!(
                    "{token}: no answer when all is quiet"
                )));
                continue;
            };
            let body = answer.json();
            // One of the cards is declined; that, too, is the issuer's word about the card.
            let issuers = body["decline"]["code"] == ISSUERS_WORD;
            if answer.status != 201 && !(answer.status == 402 && issuers) {
                findings.push(Finding::Lost(format!("{token}: {body}")));
            }
        }
        findings
    }
}

fn at_random(chance: &mut Chance) -> Moment {
    let (least, most) = if chance.percent(IN_RECOVERY_PERCENT) {
        IN_RECOVERY_MS
    } else {
        ALIVE_MS
    };
    Moment::At(Duration::from_millis(chance.between(least, most)))
}

/// The configuration, the keys and the tables, as `cloakroom dev` makes them.
fn written_by_dev(dir: &Arc<TempDir>, processor: &Processor, store: &Store) {
    let file = store.file();
    let mut arguments = vec!["--sandbox-url", processor.url.as_str()];
    if let Some(file) = &file {
        arguments.extend(["--store", file.to_str().unwrap()]);
    }
    let app = App::start_in(Arc::clone(dir), &arguments, &[]);
    assert!(app.stop().success());
}
