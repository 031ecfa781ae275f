//! `cloakroom incident scope`: the verified log, held against every token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::super::audit::{Log, export::moment};
use super::super::{Failure, exit, print};
use super::record::{Lines, directory};
use super::{event, open_incident, unavailable};
use crate::audit::Action;
use crate::audit::verify::Report;
use crate::clock::{Clock, Timestamp};
use crate::incident::letter::Affected;
use crate::incident::scope::{Candidate, Criteria, Scope};
use crate::incident::seen::Unseen;
use crate::store::{Exposed, Incident};

/// Rows that are read together.
const PAGE_ROWS_MAX: u32 = 2_000;
/// Looks for the place of our own event in the log, and milliseconds between them.
const LOOKS_MAX: u32 = 150;
const LOOK_MS: u64 = 100;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(super) struct Arguments {
    /// The configuration whose store and log are read.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The incident's id.
    incident: String,
    /// Acts of the client whose certificate has that name.
    #[arg(long, value_name = "NAME", group = "what")]
    client: Option<String>,
    /// What is, or may have been, sealed under that key-encryption key or data key.
    #[arg(long, value_name = "KEY", group = "what", conflicts_with_all = ["client", "node", "since"])]
    key: Option<String>,
    /// Acts that this process saw.
    #[arg(long, value_name = "NODE", group = "what")]
    node: Option<String>,
    /// Tokens from that id to that id.
    #[arg(long, value_name = "FROM..TO", group = "what", value_parser = range)]
    token_range: Option<(String, String)>,
    /// Acts of that moment and later, RFC 3339.
    #[arg(long, value_name = "TIME", group = "what", value_parser = moment)]
    since: Option<Timestamp>,
    /// Acts before that moment, RFC 3339; with --key: tokens made before.
    #[arg(long, value_name = "TIME", group = "what", value_parser = moment)]
    until: Option<Timestamp>,
    /// A file of checkpoints from elsewhere to hold the log against; may be repeated.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The directory to make and write into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on although the log is not what was signed: then nobody can say that a token was not
    /// touched.
    #[arg(long)]
    despite_findings: bool,
    /// Go on although the log has never seen the client, node, key or range that is named.
    #[arg(long)]
    even_if_unseen: bool,
    /// For machines.
    #[arg(long)]
    json: bool,
}

fn range(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once("..").ok_or("expected FROM..TO")?;
    Ok((from.to_owned(), to.to_owned()))
}

impl Arguments {
    fn criteria(&self) -> Criteria {
        let (token_from, token_to) = self.token_range.clone().unzip();
        Criteria {
            client: self.client.clone(),
            node: self.node.clone(),
            key: self.key.clone(),
            token_from,
            token_to,
            since_ms: self.since.map(Timestamp::unix_ms),
            until_ms: self.until.map(Timestamp::unix_ms),
        }
    }
}

/// What ends before it begins, or begins after now, holds nothing, whoever was touched.
fn check_window(criteria: &Criteria, now: Timestamp) -> Result<(), Failure> {
    let refuse = |why: &str| Err(Failure::new(exit::USAGE, why));
    let since_ms = criteria.since_ms;
    if since_ms
        .zip(criteria.until_ms)
        .is_some_and(|(since, until)| since >= until)
    {
        return refuse("the window ends before it begins: --until is not later than --since");
    }
    if since_ms.is_some_and(|since| since > now.unix_ms()) {
        return refuse("the window begins after now: --since is in the future");
    }
    if criteria.token_from > criteria.token_to {
        return refuse("the range ends before it begins: expected --token-range FIRST..LAST");
    }
    Ok(())
}

/// Whom something touched that was never there cannot be said: it is a slip of the pen.
async fn check_seen(log: &Log, mut unseen: Unseen) -> Result<(), Failure> {
    let mut after = String::new();
    while unseen.wants_tokens() {
        let page = log.store.exposed(after.clone(), PAGE_ROWS_MAX).await;
        let page = page.map_err(unavailable)?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.token);
        for row in &page {
            unseen.candidate(&candidate(row));
        }
    }
    let Some((option, value)) = unseen.named() else {
        return Ok(());
    };
    let why = format!(
        "{option} {value}: no event of the verified log and no token has ever named it, so nothing \
         is said of whom it touched. Is it spelled as in the log (`audit export`)? \
         --even-if-unseen goes on"
    );
    Err(Failure::new(exit::DATA, why))
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let criteria = arguments.criteria();
    check_window(&criteria, Clock::system().now())?;
    let log = Log::open(&arguments.config, "incident scope").await?;
    let incident = open_incident(&log.store, &log.config, &arguments.incident).await?;
    wait_for_the_log(&log, &incident).await?;
    let mut scope = Scope::of(criteria.clone());
    let mut unseen = Unseen::of(&criteria);
    let verified = log
        .verified(&arguments.checkpoint, arguments.json, |entry| {
            if let Some(line) = &entry.line {
                scope.push(line);
                unseen.event(line);
            }
            Ok(())
        })
        .await?;
    if verified.found > 0 && !arguments.despite_findings {
        let why = format!(
            "the audit log is not what was signed ({} findings; see `audit verify`), so nobody can \
             say who was not touched; --despite-findings goes on",
            verified.found
        );
        return Err(Failure::new(exit::DATA, why));
    }
    if !arguments.even_if_unseen {
        check_seen(&log, unseen).await?;
    }
    if scope.has_payments() {
        payments(&log, &mut scope).await?;
    }
    directory(&arguments.out)?;
    let sorted = sort(&log, &scope, &arguments.out).await?;
    let summary = sorted.summary(&incident, &criteria, &verified);
    let mut file = Lines::write(&arguments.out.join("summary.json"))?;
    file.push(&summary)?;
    file.finish()?;
    log.store.close().await.map_err(unavailable)?;
    if arguments.json {
        return print(summary);
    }
    print(format_args!(
        "{} of {} tokens and {} of {} customers were touched: {}",
        sorted.touched,
        sorted.touched.saturating_add(sorted.untouched),
        sorted.customers,
        sorted.customers.saturating_add(sorted.customers_untouched),
        arguments.out.display()
    ))
}

/// What happened before this has its place in the log when this has.
async fn wait_for_the_log(log: &Log, incident: &Incident) -> Result<(), Failure> {
    let ours = event(&log.config, &log.clock, Action::IncidentScoped, incident.id);
    let id = ours.id.to_string();
    log.store.record(ours).await.map_err(unavailable)?;
    for _ in 0..LOOKS_MAX {
        let place = log.store.log_place(id.clone()).await;
        if place.map_err(unavailable)?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    let why = "the newest events have no place in the log: no internal process is running";
    Err(Failure::new(exit::UNAVAILABLE, why))
}

/// Charges and refunds lead to tokens.
async fn payments(log: &Log, scope: &mut Scope) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let page = log
            .store
            .tokens_of_charges(after.clone(), PAGE_ROWS_MAX)
            .await;
        let page = page.map_err(unavailable)?;
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        for (charge, token) in &page {
            scope.payment(charge, token);
        }
    }
    let mut after = String::new();
    loop {
        let page = log
            .store
            .tokens_of_refunds(after.clone(), PAGE_ROWS_MAX)
            .await;
        let page = page.map_err(unavailable)?;
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        for (refund, token) in &page {
            scope.payment(refund, token);
        }
    }
    Ok(())
}

/// How many of each there are.
struct Sorted {
    touched: u64,
    untouched: u64,
    customers: usize,
    customers_untouched: usize,
    without_customer: u64,
}

impl Sorted {
    fn summary(&self, incident: &Incident, criteria: &Criteria, verified: &Report) -> Value {
        json!({
            "incident": incident.id.to_string(),
            "criteria": criteria,
            "log": {
                "events": verified.events,
                "signed": verified.signed,
                "checkpoints": verified.checkpoints,
                "findings": verified.found,
            },
            "tokens": { "touched": self.touched, "untouched": self.untouched },
            "customers": { "touched": self.customers, "untouched": self.customers_untouched },
            "touched_without_customer": self.without_customer,
        })
    }
}

/// Names of customers by account, and the touched tokens of each.
type Customers = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Writes each token to the one file or the other, and each account's customers to a file.
async fn sort(log: &Log, scope: &Scope, out: &Path) -> Result<Sorted, Failure> {
    let mut touched = Lines::write(&out.join("touched.jsonl"))?;
    let mut untouched = Lines::write(&out.join("untouched.jsonl"))?;
    let mut customers = Customers::new();
    let mut without_customer = 0_u64;
    let mut after = String::new();
    loop {
        let page = log.store.exposed(after.clone(), PAGE_ROWS_MAX).await;
        let page = page.map_err(unavailable)?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.token);
        for row in &page {
            let touch = scope.touched(&candidate(row));
            if let Some(customer) = &row.customer {
                let of_account = customers.entry(row.account.clone()).or_default();
                let tokens = of_account.entry(customer.clone()).or_default();
                tokens.extend(touch.iter().map(|_| row.token.clone()));
            } else if touch.is_some() {
                without_customer = without_customer.saturating_add(1);
            }
            let token = json!({
                "token": row.token,
                "account": row.account,
                "customer": row.customer,
                "touch": touch,
            });
            match touch {
                Some(_) => touched.push(&token)?,
                None => untouched.push(&token)?,
            }
        }
    }
    let (told, others) = by_account(customers, out)?;
    Ok(Sorted {
        touched: touched.finish()?,
        untouched: untouched.finish()?,
        customers: told,
        customers_untouched: others,
        without_customer,
    })
}

/// A file for each account with its touched customers, and one with the others.
fn by_account(customers: Customers, out: &Path) -> Result<(usize, usize), Failure> {
    let (told, others) = (out.join("customers"), out.join("customers-untouched"));
    directory(&told)?;
    directory(&others)?;
    let (mut affected, mut spared) = (0_usize, 0_usize);
    for (account, customers) in customers {
        let name = format!("{account}.jsonl");
        let mut told = Lines::write(&told.join(&name))?;
        let mut others = Lines::write(&others.join(&name))?;
        affected = affected.saturating_add(customers.len());
        for (customer, tokens) in customers {
            let is_spared = tokens.is_empty();
            let line = Affected {
                account: account.clone(),
                customer,
                tokens,
            };
            if is_spared {
                others.push(&line)?;
                spared = spared.saturating_add(1);
            } else {
                told.push(&line)?;
            }
        }
        told.finish()?;
        others.finish()?;
    }
    Ok((affected.saturating_sub(spared), spared))
}

fn candidate(row: &Exposed) -> Candidate<'_> {
    Candidate {
        token: &row.token,
        account: &row.account,
        customer: row.customer.as_deref(),
        session: row.session.as_deref(),
        keys: [&row.data_key, &row.kek],
        created_at: row.created_at,
    }
}
