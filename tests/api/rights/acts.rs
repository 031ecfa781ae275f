//! Acts: the worst that can be written with one right, into one row.

use std::collections::{BTreeMap, BTreeSet};

use super::hand::{Column, Hand, Kind, Right};
use super::story::Victim;

/// The logins of the database, each with the role that it has, the weakest first.
pub(crate) const LOGINS: [(&str, &str); 3] = [
    ("forms", "cloakroom_capture"),
    ("auditor", "cloakroom_audit"),
    ("billing", "cloakroom_internal"),
];

/// What stands in a column is written over with what stands in another row's, with something else,
/// or with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    Anothers,
    Else,
    Nothing,
}

/// What is to be done to a victim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// The row is written once more under another key, and is due.
    Insert,
    Update(String, How),
    /// Several columns at once, by what they would order.
    Order(&'static str, &'static str),
    Delete,
}

/// What orders something only as a whole, by table and state.
const ORDERS: [(&str, &str, &str, &str); 5] = [
    (
        "charges",
        "authorized",
        "a capture",
        "operation = 'capture', operation_amount = 7, operation_id = 'op', operation_key = 'thief-1', lease_until_ms = 0",
    ),
    (
        "charges",
        "authorized",
        "a cancellation",
        "operation = 'cancel', operation_id = 'op-2', operation_key = 'thief-2', lease_until_ms = 0",
    ),
    (
        "charges",
        "settled",
        "another payment in its place",
        "status = 'processing', payment = NULL, payment_proof = NULL, captured = 0, processor_key = 'thief-3', lease_until_ms = 0",
    ),
    (
        "tokens",
        "active",
        "a deletion",
        "status = 'deleting', lease_until_ms = 0",
    ),
    (
        "token_cards",
        "known",
        "another customer's card",
        "customer_ref = 'thief-2'",
    ),
];

/// One act and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) victim: Victim,
    pub(crate) deed: Deed,
    /// The roles whose logins could do it, and the owner.
    pub(crate) who: Vec<&'static str>,
    /// By what the row may be called.
    pub(crate) names: BTreeSet<String>,
    pub(crate) outcome: BTreeSet<String>,
    /// What is written, and as whom: the first of the logins that can, or the owner.
    write: Option<(Option<usize>, String)>,
    /// What puts everything back.
    undo: Vec<String>,
}

/// Every deed on a table.
pub(crate) fn deeds(columns: &[Column], table: &str, state: &str) -> Vec<Deed> {
    let orders = ORDERS
        .iter()
        .filter(|order| (order.0, order.1) == (table, state));
    let mut deeds: Vec<Deed> = orders.map(|order| Deed::Order(order.2, order.3)).collect();
    deeds.extend([Deed::Insert, Deed::Delete]);
    for column in columns.iter().filter(|column| column.table == table) {
        let name = || column.name.clone();
        deeds.push(Deed::Update(name(), How::Else));
        // A key that another row has is no other row's any more.
        if !column.key && matches!(column.kind, Kind::Text | Kind::Bytes) {
            deeds.push(Deed::Update(name(), How::Anothers));
        }
        if column.nullable {
            deeds.push(Deed::Update(name(), How::Nothing));
        }
    }
    deeds
}

/// A row's values as literals, by column.
pub(crate) type Literals = BTreeMap<String, String>;

pub(crate) async fn literals(
    hand: &mut Hand,
    columns: &[Column],
    victim: &Victim,
) -> Option<Literals> {
    let own: Vec<&Column> = columns
        .iter()
        .filter(|column| column.table == victim.table)
        .collect();
    let quoted: Vec<String> = own.iter().map(|column| hand.quoted(&column.name)).collect();
    let query = format!(
        "SELECT {} FROM {} WHERE {}",
        quoted.join(", "),
        victim.table,
        victim.place
    );
    let row = hand.rows(&query).await.into_iter().next()?;
    let names = own.iter().map(|column| column.name.clone());
    Some(names.zip(row.into_iter().map(Option::unwrap)).collect())
}

/// A literal without its quotes.
pub(crate) fn bare(literal: &str) -> String {
    literal.trim_matches('\'').to_owned()
}

const STATES: [&str; 17] = [
    "succeeded",
    "processing",
    "requires_capture",
    "requires_action",
    "declined",
    "canceled",
    "active",
    "deleting",
    "deleted",
    "detached",
    "failed",
    "open",
    "delivered",
    "waiting",
    "applied",
    "running",
    "done",
];

/// Something that only this row is called, so that two acts do not write the same.
fn own_name(place: &str) -> String {
    let name: Vec<char> = place.chars().filter(char::is_ascii_alphanumeric).collect();
    name.iter().rev().take(8).collect()
}

/// What else could stand there, the worst first.
fn otherwise(hand: &Hand, (column, before): (&Column, &str), own: &str) -> Vec<String> {
    let name = column.name.as_str();
    let number = before.trim_matches('\'').parse::<i64>();
    let text = |text: &str| format!("'{text}'");
    match column.kind {
        Kind::Flag => vec!["true".to_owned(), "false".to_owned()],
        Kind::Bytes => [64, 32, 24, 2]
            .map(|length| hand.bytes(&"0".repeat(length)))
            .into(),
        Kind::Number if name.ends_with("_ms") => {
            let mut values = vec!["4000000000000".to_owned(), "1".to_owned(), "0".to_owned()];
            if let Ok(number) = number {
                values.insert(1, (number + 1).to_string());
            }
            values
        }
        Kind::Number => {
            let number = number.unwrap_or(0);
            [number * 9 + 9, number + 1, 1, 0, 7]
                .map(|value| value.to_string())
                .into()
        }
        Kind::Text if name == "status" || name == "state" => STATES.map(text).into(),
        Kind::Text if name.ends_with("_url") => vec![text("https://thief.example/")],
        Kind::Text if name == "origin" => vec![text("https://thief.example")],
        Kind::Text if name == "currency" => vec![text("usd")],
        Kind::Text if name == "usage" => vec![text("on_session"), text("off_session")],
        Kind::Text if name == "operation" => vec![text("cancel"), text("capture")],
        Kind::Text if name == "customer_ref" => vec![text("thief")],
        Kind::Text => {
            let id = before.trim_matches('\'');
            let mut values = vec![
                text(&format!("{{\"thief\":\"{own}\"}}")),
                text(&format!("thief-{own}")),
                text("no"),
                text("US"),
            ];
            // An id of the same form.
            if id.len() > 20 && id.is_ascii() {
                let (head, last) = id.split_at(id.len() - 1);
                let last = if last == "0" { "1" } else { "0" };
                values.insert(0, text(&format!("{head}{last}")));
            }
            values
        }
    }
}

/// Columns that one row alone may fill.
const ALONE: [&str; 4] = ["seq", "session_id", "lease_token", "window_mac"];
/// Columns that the database fills.
const FILLED: [&str; 2] = ["rowid", "place"];

/// The statements of a deed that may be tried, the worst first, each with what it writes.
fn statements(
    hand: &Hand,
    columns: &[Column],
    (victim, deed): (&Victim, &Deed),
    (own, other): (&Literals, &Literals),
    allowed: impl Fn(&str) -> bool,
) -> Vec<(String, String)> {
    let Victim { table, place, .. } = victim;
    match deed {
        Deed::Order(_, columns) => {
            vec![(
                format!("UPDATE {table} SET {columns} WHERE {place}"),
                String::new(),
            )]
        }
        Deed::Delete => vec![(format!("DELETE FROM {table} WHERE {place}"), String::new())],
        Deed::Update(name, how) => {
            let column = columns
                .iter()
                .find(|column| column.table == *table && column.name == *name);
            let before = &own[name];
            let values = match how {
                How::Anothers => vec![other[name].clone()],
                How::Nothing => vec!["NULL".to_owned()],
                How::Else => otherwise(hand, (column.unwrap(), before), &own_name(place)),
            };
            let differ = values.into_iter().filter(|value| {
                let same = |left: &str| bare(left) == bare(before);
                let flag = |left: &str| {
                    matches!(
                        (left, bare(before).as_str()),
                        ("true", "1" | "t" | "true") | ("false", "0" | "f" | "false")
                    )
                };
                !(same(value) || flag(value) || (value == "NULL" && before == "NULL"))
            });
            differ
                .map(|value| {
                    (
                        format!("UPDATE {table} SET {name} = {value} WHERE {place}"),
                        bare(&value),
                    )
                })
                .collect()
        }
        Deed::Insert => {
            let names: Vec<&str> = own.keys().map(String::as_str).collect();
            let names: Vec<&str> = names
                .into_iter()
                .filter(|name| allowed(name) && !FILLED.contains(name))
                .collect();
            let keys: Vec<&Column> = columns
                .iter()
                .filter(|column| column.table == *table && column.key)
                .collect();
            let changed = if table == "token_cards" {
                "customer_ref"
            } else {
                keys.last().map_or("id", |key| key.name.as_str())
            };
            let key = match bare(&own[changed]).parse::<i64>() {
                Ok(number) => (number + 900).to_string(),
                Err(_) if table == "token_cards" => other["customer_ref"].clone(),
                Err(_) => {
                    let id = bare(&own[changed]);
                    let (head, last) = id.split_at(id.len() - 1);
                    format!("'{head}{}'", if last == "0" { "1" } else { "0" })
                }
            };
            let value = |name: &&str| match *name {
                name if name == changed => key.clone(),
                "lease_until_ms" if own["lease_until_ms"] != "NULL" => "0".to_owned(),
                name if ALONE.contains(&name) => "NULL".to_owned(),
                name => own[name].clone(),
            };
            let values: Vec<String> = names.iter().map(value).collect();
            vec![(
                format!(
                    "INSERT INTO {table} ({}) VALUES ({})",
                    names.join(", "),
                    values.join(", ")
                ),
                bare(&key),
            )]
        }
    }
}

impl Act {
    /// Plans it for the weakest login that can; an outcome is known at once where nobody can.
    pub(crate) async fn planned(
        (owner, logins): (&mut Hand, &mut [Hand]),
        (columns, rights): (&[Column], &[Right]),
        (victim, other): (&Victim, &Literals),
        deed: Deed,
    ) -> Option<Self> {
        let own = literals(owner, columns, victim).await?;
        let all = statements(owner, columns, (victim, &deed), (&own, other), |_| true);
        if all.is_empty() {
            return None;
        }
        let mut act = Self {
            victim: victim.clone(),
            deed,
            who: Vec::new(),
            names: own.values().map(|literal| bare(literal)).collect(),
            outcome: BTreeSet::new(),
            write: None,
            undo: Vec::new(),
        };
        let mut refusal = String::new();
        let mut chosen = None;
        for (at, (statement, _)) in all.iter().enumerate() {
            match owner.could(statement).await {
                Ok(()) => {
                    chosen = Some(at);
                    break;
                }
                Err(error) => refusal = error,
            }
        }
        let Some(at) = chosen else {
            act.outcome
                .insert(format!("no such row: {}", rule(&refusal)));
            return Some(act);
        };
        for (number, login) in logins.iter_mut().enumerate() {
            let may: BTreeSet<&str> = rights
                .iter()
                .filter(|right| {
                    right.role == login.role
                        && right.table == victim.table
                        && right.verb == act.verb()
                })
                .map(|right| right.column.as_str())
                .collect();
            let column = match &act.deed {
                Deed::Update(column, _) => column.as_str(),
                Deed::Insert | Deed::Order(..) | Deed::Delete => "",
            };
            let is_whole = matches!(act.deed, Deed::Insert | Deed::Order(..));
            if may.is_empty() || (!is_whole && !may.contains(column)) {
                continue;
            }
            let as_it_may =
                statements(owner, columns, (victim, &act.deed), (&own, other), |name| {
                    may.contains(name)
                });
            let (statement, value) = &as_it_may[at.min(as_it_may.len() - 1)];
            if login.could(statement).await.is_err() {
                continue;
            }
            act.who.push(login.role);
            if act.write.is_none() {
                act.names.insert(value.clone());
                act.write = Some((Some(number), statement.clone()));
            }
        }
        act.who.push("owner");
        let (statement, value) = &all[at];
        act.names.insert(value.clone());
        act.undo = undo(owner, columns, (&act, &own), value);
        act.write.get_or_insert_with(|| (None, statement.clone()));
        Some(act)
    }

    /// What the act is about, as a right is: its verb, with its column where it has one.
    pub(crate) fn about(&self) -> Option<String> {
        match &self.deed {
            Deed::Update(column, _) => Some(format!("UPDATE {column}")),
            Deed::Insert | Deed::Delete => Some(self.verb().to_owned()),
            Deed::Order(..) => None,
        }
    }

    /// Whether the service has said of the row that it does not believe it; `rows` as `table/row`.
    pub(crate) fn is_unbelieved(&self, rows: &BTreeSet<String>) -> bool {
        let table = format!("{}/", self.victim.table);
        let mut ours = rows.iter().filter_map(|row| row.strip_prefix(&table));
        ours.any(|row| {
            row.split('/')
                .chain([row])
                .any(|part| part != "default" && self.names.contains(part))
        })
    }

    /// Writes what was planned: into how many rows, where anything can be written.
    pub(crate) async fn write(&self, owner: &mut Hand, logins: &mut [Hand]) -> Option<u64> {
        let (by, statement) = self.write.as_ref()?;
        let hand = by.map_or(owner, |number| &mut logins[number]);
        let done = hand.run(statement).await;
        Some(done.unwrap_or_else(|error| panic!("{statement}: {error}")))
    }

    /// Puts the row back as it was.
    pub(crate) async fn undone(&self, owner: &mut Hand) {
        for statement in &self.undo {
            let done = owner.run(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    pub(crate) const fn verb(&self) -> &'static str {
        match self.deed {
            Deed::Insert => "INSERT",
            Deed::Update(..) | Deed::Order(..) => "UPDATE",
            Deed::Delete => "DELETE",
        }
    }
}

/// The statements that put a row back.
fn undo(
    hand: &Hand,
    columns: &[Column],
    (act, own): (&Act, &Literals),
    value: &str,
) -> Vec<String> {
    let Victim { table, place, .. } = &act.victim;
    let keys = || {
        columns
            .iter()
            .filter(|column| column.table == *table && column.key)
    };
    let changed = match &act.deed {
        Deed::Update(name, _) => keys().find(|key| key.name == *name),
        Deed::Insert => keys().next_back(),
        Deed::Order(..) | Deed::Delete => None,
    };
    let mut undo = Vec::new();
    if let Some(changed) = changed {
        let places: Vec<String> = keys()
            .map(|key| match &key.name {
                name if *name == changed.name => format!("{name} = '{value}'"),
                name => format!("{name} = {}", own[name]),
            })
            .collect();
        undo.push(format!(
            "DELETE FROM {table} WHERE {}",
            places.join(" AND ")
        ));
    }
    if act.deed != Deed::Insert {
        undo.push(format!("DELETE FROM {table} WHERE {place}"));
        let names: Vec<&str> = own.keys().map(String::as_str).collect();
        let values: Vec<&str> = own.values().map(String::as_str).collect();
        let numbered = if hand.is_postgres() {
            "OVERRIDING SYSTEM VALUE "
        } else {
            ""
        };
        undo.push(format!(
            "INSERT INTO {table} ({}) {numbered}VALUES ({}) ON CONFLICT DO NOTHING",
            names.join(", "),
            values.join(", ")
        ));
    }
    undo
}

/// By what kind of rule the database refuses a row to its owner.
fn rule(error: &str) -> &'static str {
    let error = error.to_lowercase();
    for (word, rule) in [
        ("can only be updated to default", "the database numbers it"),
        ("check", "a check"),
        ("unique", "another has the key"),
        ("not null", "not null"),
        ("not-null", "not null"),
        ("type", "another type"),
        ("syntax", "another type"),
        ("range", "another type"),
        ("no row", "no row"),
    ] {
        if error.contains(word) {
            return rule;
        }
    }
    panic!("{error}")
}
