//! A walk over every right to write: with each the worst is done to a service that has lived, and
//! what follows is what the lists beside this file say.
//!
//! What there is to be walked comes from the database itself, so a column, a table or a grant
//! without its act fails the walk.

mod acts;
mod ask;
mod few;
mod hand;
mod judge;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use self::acts::{Act, Deed, LOGINS, deeds, literals};
use self::ask::ask;
use self::hand::{Column, Hand};
use self::judge::{Paid, Truth};
use self::story::{Ask, Story, Victim, many, tables};
use crate::engines::{Engine, on_both_engines};
use crate::support::apart::Apart;
use crate::support::receiver::Receiver;
use crate::support::{App, VISA, eventually};

on_both_engines! {
    whatever_is_written_into_a_row_moves_no_money_and_is_told_to_nobody,
    whatever_is_written_into_a_table_of_few_rows_moves_no_money_and_stops_nobody,
    every_right_to_write_is_walked,
    the_judge_sees_money_that_moves,
}

const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Two processes and a login for each on PostgreSQL; on SQLite the one that there is.
fn start(engine: Engine, receiver: &Receiver) -> App {
    let secret = receiver.secret_file("shop", WHSEC);
    let table = receiver.table("shop", &[secret], ",allow_private_addresses=true");
    let table = format!("[{table}]");
    let webhooks = [("CLOAKROOM__WEBHOOKS", table.as_str())];
    match engine {
        Engine::Sqlite => App::start_with(&[], &webhooks),
        Engine::Postgres => {
            let app = App::start_apart_as(&Apart {
                internal_overrides: &webhooks,
                ..Apart::default()
            });
            let server = app.server.as_ref().unwrap();
            server.sql("CREATE ROLE auditor LOGIN IN ROLE cloakroom_audit");
            app
        }
    }
}

async fn logins(app: &App) -> Vec<Hand> {
    let mut hands = Vec::new();
    if app.server.is_some() {
        for (user, role) in LOGINS {
            hands.push(Hand::login(app, user, role).await);
        }
    }
    hands
}

/// What rows the service did not believe, as `table/row`.
async fn unbelieved(owner: &mut Hand) -> BTreeSet<String> {
    let query = "SELECT DISTINCT subject FROM audit_events WHERE action = 'row.quarantined'";
    owner.texts(query).await.into_iter().collect()
}

async fn whatever_is_written_into_a_row_moves_no_money_and_is_told_to_nobody(engine: Engine) {
    let receiver = Receiver::start().await;
    let app = start(engine, &receiver);
    let mut owner = Hand::owner(&app).await;
    let mut logins = logins(&app).await;
    let columns = owner.columns().await;
    let rights = owner.rights().await;
    let began = std::time::Instant::now();
    // Two stay as they are: the one whose values others are given, and the one that shows what is
    // so where nobody wrote.
    let rows = |table: &str| deeds(&columns, table, "").len() + 5;
    let story = Story::of(&app, receiver, &mut owner, rows).await;
    eprintln!("the story took {:?}", began.elapsed());
    let told = told(&story.victims);
    let mut written = Vec::new();
    let mut untouched = Vec::new();
    for (table, state) in tables(&story.victims) {
        let mut victims = story
            .victims
            .iter()
            .filter(|one| one.table == table && one.state == state);
        let other = victims.next().unwrap();
        let other = literals(&mut owner, &columns, other).await.unwrap();
        untouched.push(victims.next().unwrap().clone());
        for (deed, victim) in deeds(&columns, &table, state).into_iter().zip(victims) {
            let hands = (&mut owner, logins.as_mut_slice());
            let act = Act::planned(hands, (&columns, &rights), (victim, &other), deed).await;
            written.extend(act);
        }
    }
    owner.let_go().await;
    for act in &written {
        act.write(&mut owner, &mut logins).await;
    }
    eprintln!("{} acts, after {:?}", written.len(), began.elapsed());
    story.ends(&mut owner).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let truth = Mutex::new(story.truth.clone());
    let mut wrong = Vec::new();
    for victim in &untouched {
        let found = ask(&app, &truth, victim).await;
        assert!(found.otherwise.is_empty(), "{victim:?}: {found:?}");
    }
    let found = many(written.len(), |at| ask(&app, &truth, &written[at].victim)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let unbelieved = unbelieved(&mut owner).await;
    let taken = story.receiver.taken();
    for (act, found) in written.iter_mut().zip(found) {
        wrong.extend(found.wrong.iter().map(|wrong| format!("{act:?}: {wrong}")));
        if act.outcome.is_empty() {
            act.outcome.extend(found.otherwise);
            if act.is_unbelieved(&unbelieved) {
                act.outcome.insert("quarantined".to_owned());
            }
            if let Ask::Told { id, .. } = &act.victim.ask
                && !taken.iter().any(|one| one["id"] == **id)
            {
                act.outcome.insert("not told".to_owned());
            }
        }
    }
    eprintln!("asked after {:?}", began.elapsed());
    let ledger = app.ledger().await;
    let truth = truth.into_inner().unwrap();
    wrong.extend(truth.money_moved(&ledger));
    wrong.extend(truth.detached(&ledger));
    wrong.extend(truth.impersonated(&taken, &told));
    assert_eq!(wrong, Vec::<String>::new());
    is_complete(&columns, &written, |table| OF_THE_STORY.contains(&table));
    everything_is_deleted(&app, &mut owner, truth).await;
    compare(engine, "rows", &report(&written));
}

/// All rows of all tables at once: nothing is done because they are gone, and the service goes on.
async fn everything_is_deleted(app: &App, owner: &mut Hand, mut truth: Truth) {
    for table in OF_THE_STORY {
        owner.run(&format!("DELETE FROM {table}")).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let met = few::probe(app, 0, &mut truth).await;
    assert_eq!(met, BTreeSet::new());
    truth.customers.extend(story::customers_of(owner).await);
    let ledger = app.ledger().await;
    assert_eq!(truth.money_moved(&ledger), Vec::<String>::new());
    assert_eq!(truth.detached(&ledger), Vec::<String>::new());
}

/// The rights to write into what is walked elsewhere are those that were known when it was.
async fn every_right_to_write_is_walked(engine: Engine) {
    let receiver = Receiver::start().await;
    let app = start(engine, &receiver);
    let mut owner = Hand::owner(&app).await;
    let columns = owner.columns().await;
    let rights = owner.rights().await;
    let is_known = |table: &str| table.starts_with(OF_THE_LOG) || table == OF_THE_SCHEMA;
    let whole = rights
        .iter()
        .filter(|right| matches!(right.verb.as_str(), "TRUNCATE" | "TRIGGER"));
    assert_eq!(whole.count(), 0, "{rights:?}");
    let mut lines: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for column in columns.iter().filter(|column| is_known(&column.table)) {
        let line = format!("owner | INSERT, UPDATE, DELETE | {}", column.table);
        lines.entry(line).or_default().insert(column.name.clone());
    }
    for right in rights.iter().filter(|right| is_known(&right.table)) {
        let role = right.role.trim_start_matches("cloakroom_");
        let line = format!("{role} | {} | {}", right.verb, right.table);
        let named = if right.column.is_empty() {
            "the row"
        } else {
            &right.column
        };
        lines.entry(line).or_default().insert(named.to_owned());
    }
    let text = lines.into_iter().map(|(line, columns)| {
        let columns: Vec<String> = columns.into_iter().collect();
        format!("{line} | {}\n", columns.join(", "))
    });
    compare(engine, "log", &text.collect::<String>());
}

/// The log's own: `tests/api/audit_log.rs` and `tests/api/history.rs` walk them.
const OF_THE_LOG: &str = "audit_";
/// Of whoever makes the schema; the service reads it when it starts.
const OF_THE_SCHEMA: &str = "_sqlx_migrations";
/// Those of which the story has many rows.
const OF_THE_STORY: [&str; 11] = [
    "charge_pages",
    "charges",
    "deliveries",
    "events",
    "idempotency_keys",
    "orphans",
    "processor_customers",
    "refunds",
    "sessions",
    "token_cards",
    "tokens",
];

async fn whatever_is_written_into_a_table_of_few_rows_moves_no_money_and_stops_nobody(
    engine: Engine,
) {
    let receiver = Receiver::start().await;
    let app = start(engine, &receiver);
    let mut owner = Hand::owner(&app).await;
    let mut logins = logins(&app).await;
    let columns = owner.columns().await;
    let tables: BTreeSet<String> = columns
        .iter()
        .map(|column| column.table.clone())
        .filter(|table| !table.starts_with(OF_THE_LOG) && table != OF_THE_SCHEMA)
        .filter(|table| !OF_THE_STORY.contains(&table.as_str()))
        .collect();
    let mut truth = Truth::default();
    let hands = (&mut owner, logins.as_mut_slice());
    let acts = few::walk(&app, hands, &tables, &mut truth).await;
    let ledger = app.ledger().await;
    assert_eq!(truth.money_moved(&ledger), Vec::<String>::new());
    let sent = story_of(&receiver.taken());
    assert_eq!(sent, Vec::<String>::new());
    is_complete(&columns, &acts, |table| tables.contains(table));
    compare(engine, "few", &report(&acts));
}

/// Messages of kinds that only somebody's hand would have the service send.
fn story_of(sent: &[Value]) -> Vec<String> {
    let kinds = ["token.created", "charge.succeeded", "refund.succeeded"];
    let other = sent
        .iter()
        .filter(|one| !kinds.iter().any(|kind| one["type"] == *kind));
    other.map(Value::to_string).collect()
}

/// That the acts are about every column that there is of those tables.
fn is_complete(columns: &[Column], acts: &[Act], of: impl Fn(&str) -> bool) {
    let columns: Vec<Column> = columns
        .iter()
        .filter(|column| of(&column.table))
        .cloned()
        .collect();
    assert_eq!(
        few::missing(&columns, acts),
        Vec::<String>::new(),
        "no act is about it"
    );
}

/// An order that is signed with the right key is obeyed, and the judge says so.
async fn the_judge_sees_money_that_moves(engine: Engine) {
    let app = App::on(engine);
    let mut truth = Truth::default();
    let token = story::token_of(&app, VISA, "victim").await;
    let charged = app.charge(&token, "k").await.json();
    let id = charged["id"].as_str().unwrap().to_owned();
    let paid = Paid {
        customer: "victim".to_owned(),
        amount: 1_250,
        captured: 1_250,
        refunded: 0,
    };
    truth.charges.insert(id.clone(), paid);
    let mut owner = Hand::owner(&app).await;
    truth.customers = story::customers_of(&mut owner).await;
    assert_eq!(truth.money_moved(&app.ledger().await), Vec::<String>::new());
    let (head, last) = id.split_at(id.len() - 1);
    let forged = format!("{head}{}", if last == "0" { "1" } else { "0" });
    let columns = "account, client, token_id, captured, refunded, currency, capture, off_session, metadata, disputed, created_at_ms, updated_at_ms, setup_pending";
    let values = columns.replace("captured, refunded", "0, 0");
    let insert = format!(
        "INSERT INTO charges (id, processor_key, amount, status, lease_until_ms, {columns})
         SELECT '{forged}', '{forged}', 43210, 'processing', 4000000000000, {values} FROM charges WHERE id = '{id}'"
    );
    owner.run(&insert).await.unwrap();
    app.order(&forged).await;
    let due = format!("UPDATE charges SET lease_until_ms = 0 WHERE id = '{forged}'");
    owner.run(&due).await.unwrap();
    eventually("it is charged", async || {
        !truth.money_moved(&app.ledger().await).is_empty()
    })
    .await;
    let moved = truth.money_moved(&app.ledger().await);
    assert!(moved[0].contains(&forged), "{moved:?}");
    // Whose card it is, how much and how often, it sees as well.
    let paid = truth.charges[&id].clone();
    for (customer, amount, captured) in [
        ("thief", 1_250, 1_250),
        ("victim", 1_249, 1_250),
        ("victim", 1_250, 1_249),
    ] {
        let mut other = truth.clone();
        let told = Paid {
            customer: customer.to_owned(),
            amount,
            captured,
            ..paid.clone()
        };
        other.charges.insert(id.clone(), told);
        let moved = other.money_moved(&app.ledger().await);
        assert!(moved.iter().any(|moved| moved.contains(&id)), "{moved:?}");
    }
}

/// What each event said before anybody wrote.
fn told(victims: &[Victim]) -> BTreeMap<String, Value> {
    let told = victims.iter().filter_map(|victim| {
        let Ask::Told { id, data } = &victim.ask else {
            return None;
        };
        Some((id.clone(), serde_json::from_str(data).unwrap()))
    });
    told.collect()
}

/// Every act with what came of it, those alike in one line.
fn report(acts: &[Act]) -> String {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for act in acts {
        let (what, column) = match &act.deed {
            Deed::Update(column, how) => (format!("UPDATE {how:?}"), column.clone()),
            Deed::Order(what, _) => ("UPDATE, an order".to_owned(), (*what).to_owned()),
            Deed::Insert => ("INSERT".to_owned(), "a copy".to_owned()),
            Deed::Delete => ("DELETE".to_owned(), "the row".to_owned()),
        };
        let who: Vec<&str> = act
            .who
            .iter()
            .map(|role| role.trim_start_matches("cloakroom_"))
            .collect();
        // Nobody looks at it but who is told of its payment, which is of another charge.
        let is_copy = act.deed == Deed::Insert && act.victim.state == "settled";
        let outcome: Vec<&str> = act
            .outcome
            .iter()
            .map(String::as_str)
            .filter(|outcome| !is_copy || *outcome != "quarantined")
            .collect();
        let outcome = if outcome.is_empty() {
            "as if nothing".to_owned()
        } else {
            outcome.join("; ")
        };
        let line = format!(
            "{} {} | {what} | {} | {outcome}",
            act.victim.table,
            act.victim.state,
            who.join(" ")
        );
        lines.entry(line).or_default().push(column);
    }
    let lines = lines.into_iter().map(|(line, mut columns)| {
        columns.sort_unstable();
        format!("{line} | {}\n", columns.join(", "))
    });
    lines.collect()
}

/// That what came of the acts is what is expected of them.
fn compare(engine: Engine, part: &str, found: &str) {
    let name = format!("{part}-{engine:?}.txt").to_lowercase();
    let expected = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/api/rights")
        .join(&name);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    std::fs::write(&kept, found).unwrap();
    let expected = std::fs::read_to_string(expected).unwrap_or_default();
    let (new, old): (BTreeSet<&str>, BTreeSet<&str>) =
        (found.lines().collect(), expected.lines().collect());
    let missing: Vec<_> = old.difference(&new).collect();
    let more: Vec<_> = new.difference(&old).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "what was expected and is not so:\n{missing:#?}\nwhat is so and was not expected:\n{more:#?}\nall of it: {}",
        kept.display()
    );
}
