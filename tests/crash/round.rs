//! A round: a fresh service, its load, its kills, and the judgement when all is quiet.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::asking::Load;
use crate::book::Book;
use crate::chance::Chance;
use crate::evidence::{self, Evidence, OPEN, Witness};
use crate::judge::{Finding, judge};
use crate::load::{CLIENTS, Client, ISSUERS_WORD};
use crate::moments::{self, Moment};
use crate::node::Node;
use crate::processor::Processor;
use crate::store::{Engine, Store};
use crate::support::{Answer, App, Who, client, leaks, read, request};

/// How long what the last kill left open may take to come to its end.
const SETTLED_WITHIN: Duration = Duration::from_mins(2);
/// Tokens that are charged once more at the end.
const SAMPLE: usize = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moments {
    /// At random, the processor failing in its ways, PostgreSQL dying now and then.
    Random,
    /// One after the other of those that have a number.
    Numbered,
    /// This one alone.
    Only(Moment),
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The test's name, to replay it by.
    pub(crate) name: &'static str,
    pub(crate) engine: Engine,
    pub(crate) nodes: usize,
    pub(crate) moments: Moments,
    /// Whether the processor keeps its promise to do once what it is asked twice under one key, and
    /// tells what it has done.
    pub(crate) processor_keeps_keys: bool,
    pub(crate) seed: u64,
    pub(crate) kills: usize,
}

struct Laboratory {
    dir: Arc<TempDir>,
    processor: Processor,
    store: Arc<Store>,
    load: Load,
    chance: Chance,
}

/// What the judge found, and where the logs of a round with a finding are kept.
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    pub(crate) logs: Option<PathBuf>,
}

pub(crate) async fn round(plan: &Plan, first_moment: usize) -> Verdict {
    println!("{}: seed {}, {} kills", plan.name, plan.seed, plan.kills);
    let started = Instant::now();
    let (mut laboratory, mut nodes) = Laboratory::open(plan).await;
    let mut chances: Vec<Chance> = (0..CLIENTS).map(|_| laboratory.chance.fork()).collect();
    let mut chance = laboratory.chance.fork();
    let clients = chances
        .drain(..)
        .enumerate()
        .map(|(name, chance)| Client::new(&laboratory.load, name, chance).run());
    let ((missed, databases), _) = tokio::join!(
        laboratory.kill(plan, first_moment, &mut nodes, &mut chance),
        join_all(clients)
    );
    let open = laboratory.settled().await;
    laboratory.store.assert_whole().await;
    let mut findings = laboratory.ask_again(&nodes[0]).await;
    let evidence = laboratory.evidence(&nodes[0]).await;
    findings.extend(judge(&evidence));
    findings.extend(laboratory.charge_a_sample(&evidence, &nodes[0]).await);
    drop(nodes);
    println!(
        "{}: seed {}: {} kills ({missed} without the moment they waited for, {databases} of the database too); {}; settled {open:?} after the last; {:?} in all",
        plan.name,
        plan.seed,
        plan.kills,
        figures(&evidence),
        started.elapsed(),
    );
    let logs = if findings.is_empty() {
        leaks::assert_none(laboratory.dir.path(), &evidence.book.said, &BTreeSet::new());
        None
    } else {
        Some(Arc::into_inner(laboratory.dir).unwrap().keep())
    };
    Verdict { findings, logs }
}

fn figures(evidence: &Evidence) -> String {
    let book = &evidence.book;
    let paid: u64 = evidence.paid.values().map(|paid| paid.moved).sum();
    let acknowledged = book.charges.values().filter(|asked| !asked.told.is_empty());
    format!(
        "{} requests, {} of them unanswered; {} charges asked for, {} acknowledged, {paid} paid; {} refunds; {} tokens for {} cards at the processor ({} forsaken); {} refused; {} events",
        book.requests,
        book.unanswered,
        book.charges.len(),
        acknowledged.count(),
        evidence.given_back.len(),
        evidence.tokens.len(),
        evidence.cards_attached,
        book.forsaken_cards,
        book.refused,
        evidence.feed.len(),
    )
}

impl Laboratory {
    async fn open(plan: &Plan) -> (Self, Vec<Node>) {
        let mut chance = Chance::from(plan.seed);
        let dir = Arc::new(TempDir::new().unwrap());
        let processor = Processor::start(dir.path());
        let store = Arc::new(Store::new(plan.engine, dir.path()));
        written_by_dev(&dir, &processor, &store);
        let mut nodes: Vec<Node> = (1..=plan.nodes)
            .map(|number| Node::new(dir.path(), &format!("node-{number}"), &mut chance))
            .collect();
        for node in &mut nodes {
            node.start().await;
        }
        // The first node is told; where it is dead, the processor tries again for some seconds.
        let told = format!("{}/webhooks/stripe", nodes[0].capture());
        processor.tell(&told, dir.path()).await;
        processor.set(&json!({ "later_ms": 300 })).await;
        if !plan.processor_keeps_keys {
            // Nor does it tell, so that each question is asked again.
            let forgetful = json!({ "idempotency_key_lifetime_ms": 0, "events": false });
            processor.set(&forgetful).await;
        }
        let load = Load {
            book: Mutex::new(Book::default()),
            stop: AtomicBool::new(false),
            nodes: nodes
                .iter()
                .map(|node| (node.capture(), node.internal()))
                .collect(),
            checkout: client(dir.path(), Who::Checkout),
            billing: client(dir.path(), Who::Billing),
            browser: client(dir.path(), Who::Nobody),
        };
        let laboratory = Self {
            dir,
            processor,
            store,
            load,
            chance,
        };
        (laboratory, nodes)
    }

    /// Kills as often as planned, and lets the load come to its end. Answers how many moments did
    /// not come, and how often the database was killed as well.
    async fn kill(
        &self,
        plan: &Plan,
        first_moment: usize,
        nodes: &mut [Node],
        chance: &mut Chance,
    ) -> (usize, usize) {
        let numbered = moments::numbered();
        let (mut missed, mut databases) = (0, 0);
        for kill in 0..plan.kills {
            let moment = match plan.moments {
                Moments::Random => {
                    self.trouble(chance).await;
                    Moment::At(Duration::from_millis(chance.between(100, 900)))
                }
                Moments::Only(moment) => moment,
                Moments::Numbered => numbered[(first_moment + kill) % numbered.len()],
            };
            let victim = chance.place(nodes.len());
            let (came, held) = moment.comes(&self.processor, &self.store).await;
            nodes[victim].kill();
            missed += usize::from(!came);
            if !came {
                println!("{}: {moment:?} did not come", plan.name);
            }
            if let Some(held) = held {
                held.release().await;
            }
            self.processor.clear_faults().await;
            if plan.moments == Moments::Random
                && plan.engine == Engine::Postgres
                && chance.percent(25)
            {
                databases += 1;
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
        }
        let calm = json!({ "webhooks": {}, "latency_ms": 0 });
        self.processor.set(&calm).await;
        self.load.stop.store(true, Ordering::SeqCst);
        (missed, databases)
    }

    /// What else goes wrong until the next kill.
    async fn trouble(&self, chance: &mut Chance) {
        for _ in 0..chance.between(0, 5) {
            self.processor.stage(&moments::failure(chance)).await;
        }
        let mut settings = moments::mail(chance);
        settings["latency_ms"] = json!(*chance.pick(&[0, 0, 20, 60]));
        self.processor.set(&settings).await;
    }

    /// Waits until nothing is open; answers how long that took, or nothing where it did not end.
    async fn settled(&self) -> Option<Duration> {
        let started = Instant::now();
        while started.elapsed() < SETTLED_WITHIN {
            let open = self.store.number(OPEN).await.unwrap();
            let ledger = self.processor.ledger().await;
            if open == 0 && ledger["webhooks"]["waiting"] == 0 {
                return Some(started.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        None
    }

    async fn evidence(&self, node: &Node) -> Evidence {
        let book = self.load.book.lock().unwrap().clone();
        let witness = Witness {
            http: &self.load.billing,
            plane: &node.internal(),
        };
        evidence::collect(&witness, (&self.processor, &self.store), book).await
    }

    async fn order(&self, node: &Node, key: &str, order: &Value) -> Answer {
        let url = format!("{}/v1/charges", node.internal());
        let headers = [("idempotency-key", key)];
        let sent = request(Method::POST, &url, &headers, order.to_string());
        read(&self.load.billing, sent).await.unwrap()
    }

    /// A key stands for its charge for good: the same request is answered with the same one.
    async fn ask_again(&self, node: &Node) -> Vec<Finding> {
        let orders = self.load.book.lock().unwrap().charges.clone();
        let told = orders.iter().filter(|(_, asked)| !asked.told.is_empty());
        let told: Vec<_> = told.collect();
        let mut findings = Vec::new();
        for (key, asked) in told.iter().step_by((told.len() / SAMPLE).max(1)) {
            let answer = self.order(node, key, &asked.body).await;
            let body = answer.json();
            let id = match answer.status {
                201 => &body["id"],
                402 => &body["charge"],
                _ => &Value::Null,
            };
            if *id != asked.told[0].id {
                findings.push(Finding::Double(format!("{key}: {:?}, {body}", asked.told)));
            }
        }
        findings
    }

    /// A token is good for a charge, whatever it went through.
    async fn charge_a_sample(&self, evidence: &Evidence, node: &Node) -> Vec<Finding> {
        let known: Vec<&str> = evidence.book.acknowledged_tokens().into_iter().collect();
        let mut findings = Vec::new();
        for token in known.iter().step_by((known.len() / SAMPLE).max(1)) {
            let order = json!({ "token": token, "amount": 100, "currency": "eur" });
            let answer = self.order(node, token, &order).await;
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
