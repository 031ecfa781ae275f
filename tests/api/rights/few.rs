//! The tables of few rows: an act on each of them at a time, and everything is put back before the
//! next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::acts::{Act, Deed, How, deeds, literals};
use super::hand::{Column, Hand};
use super::judge::{Paid, Truth};
use super::story::{Ask, Victim, customers_of, session};
use crate::support::{App, VISA, Who, card};

/// Two looks of whoever looks every second, and one of the others.
const LOOKS: Duration = Duration::from_millis(2_500);

/// How often a row is sought that is taken out meanwhile.
const TRIES_MAX: usize = 20;
/// What refuses a request does so at once.
const A_REQUEST: Duration = Duration::from_millis(200);

/// Rows that stand for what only a service has that has lived long, by table: what they are found
/// by, and what they are. Nobody has ordered them, and what obeys them is found.
const SEEDS: [(&str, &str, &str); 15] = [
    (
        "key_manifests",
        "version = 1",
        "(version, jws, created_at_ms) VALUES (1, 'a.b.c', 1)",
    ),
    (
        "reports",
        "id = 'rep'",
        "(id, about, message, origin, created_at_ms) VALUES ('rep', 'other', 'x', '192.0.2.1', 1)",
    ),
    (
        "incidents",
        "id = 'inc'",
        "(id, title, opened_by, opened_at_ms, lease_until_ms) VALUES ('inc', 'x', 'uid 0', 1, 0)",
    ),
    (
        "incident_notices",
        "incident_id = 'inc'",
        "(incident_id, channel, account, customer_ref, state, attempts, due_at_ms) VALUES ('inc', 'webhook', 'default', 'c', 'waiting', 0, 0)",
    ),
    (
        "disputes",
        "id = 'dp_1'",
        "(account, id, charge_id, amount, currency, reason, status, open, changed_at_ms, created_at_ms) SELECT account, 'dp_1', id, 1, 'eur', 'fraudulent', 'needs_response', capture, 1, 1 FROM charges WHERE created_at_ms > 0 LIMIT 1",
    ),
    (
        "processor_events",
        "id = 'evt_1'",
        "(account, id, status, deliveries, tries, created_at_ms, received_at_ms, last_seen_at_ms) VALUES ('default', 'evt_1', 'applied', 1, 0, 1, 1, 1)",
    ),
    (
        "watch_blocks",
        "id = 'blk'",
        "(id, rule, subject, action, node, placed_at_ms) VALUES ('blk', 'client_opens', 'client spiffe://cloakroom.dev/billing', 'block', 'a', 1)",
    ),
    (
        "watch_buckets",
        "bucket_ms = 4000000000000",
        "(process, rule, subject, bucket_ms, events, hits, updated_at_ms) VALUES ('a', 'client_opens', 'client spiffe://cloakroom.dev/billing', 4000000000000, 9000, 9000, 4000000000000)",
    ),
    (
        "charge_reviews",
        "lease_until_ms = 4000000000000",
        "(charge_id, account, requests, tries, lease_until_ms, created_at_ms) SELECT id, account, 1, 0, 4000000000000, 1 FROM charges WHERE id NOT IN (SELECT charge_id FROM charge_reviews) LIMIT 1",
    ),
    (
        "reconciliations",
        "account = 'default'",
        "(account, run, node, lease_until_ms, started_at_ms, finished_at_ms, differences, report) VALUES ('default', 'r', 'a', 0, 1, 1, '{}', 'x')",
    ),
    (
        "key_jobs",
        "id = 'reseal 1'",
        "(id, kind, state, after_id, done, total, rows_per_s_max, lease_until_ms, created_at_ms, finished_at_ms) VALUES ('reseal 1', 'reseal', 'done', '', 0, 0, 1, 0, 1, 1)",
    ),
    (
        "key_rotations",
        "id = 'rotation'",
        "(id, run, by_whom, node, began_at_ms, lease_until_ms) VALUES ('rotation', 'r', 'uid 0', 'a', 1, 4000000000000)",
    ),
    (
        "alerts",
        "id = 'alt'",
        "(id, name, severity, subject, seen, next_step, node, window_start_ms, times, raised_at_ms, last_at_ms) VALUES ('alt', 'card_testing', 'page', 'x', 'x', 'x', 'a', 1, 1, 1, 1)",
    ),
    (
        "alert_deliveries",
        "alert_id = 'alt'",
        "(alert_id, destination, status, attempts, lease_until_ms, updated_at_ms) VALUES ('alt', 'pager', 'due', 0, 0, 1)",
    ),
    (
        "quarantine",
        "row_id = 'x'",
        "(table_name, row_id, times, first_seen_at_ms, last_seen_at_ms) VALUES ('charges', 'x', 1, 1, 1)",
    ),
];

/// Has each of those tables have its row.
async fn seed(owner: &mut Hand) {
    for (table, found_by, values) in SEEDS {
        let any = format!("SELECT '1' FROM {table} WHERE {found_by}");
        if owner.texts(&any).await.is_empty() {
            let seed = format!("INSERT INTO {table} {values}");
            let done = owner.run(&seed).await;
            done.unwrap_or_else(|error| panic!("{seed}: {error}"));
        }
    }
}

/// The deeds of a table of few rows: what another row has is not always there.
fn of_few(columns: &[Column], table: &str) -> Vec<Deed> {
    let mut deeds = deeds(columns, table, "few");
    deeds.retain(|deed| !matches!(deed, Deed::Update(_, How::Anothers)));
    deeds
}

/// Some rows of a table, by their keys.
async fn victims(owner: &mut Hand, columns: &[Column], table: &str) -> Vec<Victim> {
    let keys: Vec<&Column> = columns
        .iter()
        .filter(|column| column.table == table && column.key)
        .collect();
    let quoted: Vec<String> = keys.iter().map(|key| owner.quoted(&key.name)).collect();
    let seed = SEEDS.iter().find(|seed| seed.0 == table);
    let (names, found_by): (Vec<&str>, _) = (
        keys.iter().map(|key| key.name.as_str()).collect(),
        seed.map_or("1 = 1", |seed| seed.1),
    );
    // The newest of them, which is in use.
    let query = format!(
        "SELECT {} FROM {table} WHERE {found_by} ORDER BY {} DESC LIMIT 2",
        quoted.join(", "),
        names.join(" DESC, ")
    );
    let rows = owner.rows(&query).await.into_iter();
    rows.map(|row| {
        let places: Vec<String> = keys
            .iter()
            .zip(row)
            .map(|(key, value)| format!("{} = {}", key.name, value.unwrap()))
            .collect();
        Victim {
            table: table.to_owned(),
            state: "few",
            place: places.join(" AND "),
            ask: Ask::Nothing,
        }
    })
    .collect()
}

/// What a shopper and billing meet who have nothing to do with what was written; empty where all is
/// as ever.
pub(crate) async fn probe(app: &App, number: usize, truth: &mut Truth) -> BTreeSet<String> {
    let mut met = BTreeSet::new();
    let customer = format!("probe-{number}");
    let code = |answer: &crate::support::Answer| {
        format!(
            "{} {}",
            answer.status,
            answer.json()["code"].as_str().unwrap_or("-")
        )
    };
    let (_, secret) = session(app, &customer).await;
    let made = app.post_card(&secret, &card(VISA), &[]).await;
    if made.status != 201 {
        met.insert(format!("post {}", code(&made)));
        return met;
    }
    let token = made.json()["id"].as_str().unwrap().to_owned();
    let charged = app.charge(&token, &format!("probe-{number}")).await;
    if charged.status != 201 || charged.json()["status"] != "succeeded" {
        met.insert(format!("charge {}", code(&charged)));
        return met;
    }
    let id = charged.json()["id"].as_str().unwrap().to_owned();
    let paid = Paid {
        customer,
        amount: 1_250,
        captured: 1_250,
        refunded: 100,
    };
    truth.charges.insert(id.clone(), paid);
    let body = json!({ "charge": id, "amount": 100 });
    let back = app
        .keyed(
            Who::Billing,
            "/v1/refunds",
            &format!("back-{number}"),
            &body,
        )
        .await;
    if back.status == 201 {
        truth
            .refunds
            .insert(back.json()["id"].as_str().unwrap().to_owned(), 100);
    } else {
        met.insert(format!("refund {}", code(&back)));
    }
    met
}

/// Walks the tables; what came of each act.
pub(crate) async fn walk(
    app: &App,
    (owner, logins): (&mut Hand, &mut [Hand]),
    tables: &BTreeSet<String>,
    truth: &mut Truth,
) -> Vec<Act> {
    let columns = owner.columns().await;
    let rights = owner.rights().await;
    let mut probes = 0..;
    let first = probe(app, probes.next().unwrap(), truth).await;
    assert!(first.is_empty(), "{first:?}");
    let rounds = tables
        .iter()
        .map(|table| of_few(&columns, table).len())
        .max();
    let mut acts: Vec<Act> = Vec::new();
    seed(owner).await;
    tokio::time::sleep(LOOKS).await;
    for round in 0..rounds.unwrap() {
        seed(owner).await;
        let before = super::unbelieved(owner).await;
        let mut written = Vec::new();
        for table in tables {
            let Some(deed) = of_few(&columns, table).into_iter().nth(round) else {
                continue;
            };
            // What nobody has ordered is taken out at any moment, also this one.
            for _ in 0..TRIES_MAX {
                seed(owner).await;
                let rows = victims(owner, &columns, table).await;
                let (Some(victim), Some(other)) = (rows.first(), rows.last()) else {
                    continue;
                };
                let Some(other) = literals(owner, &columns, other).await else {
                    continue;
                };
                let hands = (&mut *owner, &mut *logins);
                let with = (&columns[..], &rights[..]);
                let act = Act::planned(hands, with, (victim, &other), deed.clone()).await;
                if literals(owner, &columns, victim).await.is_none() {
                    continue;
                }
                let Some(act) = act else { break };
                if act.write(owner, logins).await != Some(0) {
                    written.push(act);
                    break;
                }
            }
        }
        tokio::time::sleep(LOOKS).await;
        let mut met = probe(app, probes.next().unwrap(), truth).await;
        let found = super::unbelieved(owner).await;
        let new: BTreeSet<String> = found.difference(&before).cloned().collect();
        for act in &mut written {
            if act.is_unbelieved(&new) {
                act.outcome.insert("quarantined".to_owned());
            }
            act.undone(owner).await;
        }
        if !met.is_empty() {
            eprintln!("round {round}: {met:?}");
            // Which of them was it?
            tokio::time::sleep(LOOKS).await;
            for act in &mut written {
                act.write(owner, logins).await;
                tokio::time::sleep(A_REQUEST).await;
                met = probe(app, probes.next().unwrap(), truth).await;
                act.outcome.extend(met);
                act.undone(owner).await;
            }
            tokio::time::sleep(LOOKS).await;
        }
        acts.extend(written);
    }
    let last = probe(app, probes.next().unwrap(), truth).await;
    assert!(last.is_empty(), "{last:?}");
    truth.customers = customers_of(owner).await;
    acts
}

/// Of every column of the tables, which none of the acts was about.
pub(crate) fn missing(columns: &[Column], acts: &[Act]) -> Vec<String> {
    let mut done: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for act in acts {
        let deeds = done.entry(act.victim.table.as_str()).or_default();
        deeds.extend(act.about());
    }
    let wanted = columns.iter().flat_map(|column| {
        let table = column.table.as_str();
        let of = |what: String| (table, what);
        [
            of(format!("UPDATE {}", column.name)),
            of("INSERT".to_owned()),
            of("DELETE".to_owned()),
        ]
    });
    let wanted: BTreeSet<(&str, String)> = wanted.collect();
    wanted
        .into_iter()
        .filter(|(table, what)| done.get(table).is_none_or(|deeds| !deeds.contains(what)))
        .map(|(table, what)| format!("{what} of {table}"))
        .collect()
}
