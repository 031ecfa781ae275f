//! `cloakroom incident notify`: each affected customer once, however often the run is cut.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::super::{Failure, exit, print};
use super::record::Lines;
use super::send::Channel;
use super::{Desk, unavailable};
use crate::audit::Action;
use crate::incident::letter::{Affected, Heading};
use crate::store::{Authentic, Incident, NoticeKey, NoticeSettled, NoticeState, Run};
use crate::token::{IncidentId, RunId};

/// Milliseconds after which a run that gave no sign is taken for dead.
const LEASE_MS: u64 = 5_000;
/// Milliseconds between its signs.
const SIGN_MS: u64 = 1_000;
/// Looks for the lease of another run, and milliseconds between them.
const LOOKS_MAX: u32 = 75;
const LOOK_MS: u64 = 100;
/// Messages under way at the same time.
const AT_ONCE_MAX: u32 = 16;
/// Customers that are entered, or read for the record, together.
const PAGE_ROWS_MAX: usize = 500;
/// Milliseconds that a run waits for what is sent again; what takes longer is for the next run.
const WAIT_MS_MAX: u64 = 30_000;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("how").required(true))]
pub(super) struct Arguments {
    /// The internal plane's configuration, with `[alerts.mail]` or `[[webhooks]]`.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The incident's id.
    incident: String,
    /// What `incident scope` wrote.
    #[arg(long, value_name = "DIR")]
    scope: PathBuf,
    /// By mail, to these addresses: JSON lines with account, customer and email.
    #[arg(long, value_name = "FILE", group = "how", requires = "template")]
    pub(super) contacts: Option<PathBuf>,
    /// By mail, to the address that each customer's merchant answers: the first of the account's
    /// [[webhooks]] that takes the kind `incident.contact_wanted` is asked, signed.
    #[arg(long, group = "how", requires = "template")]
    resolve: bool,
    /// The mail: `Subject: …`, an empty line, the text, with places such as {{title}}.
    #[arg(long, value_name = "FILE")]
    pub(super) template: Option<PathBuf>,
    /// By signed webhook, to the first of the account's [[webhooks]] that takes the kind
    /// `incident.customer_affected`: the merchant knows where its customer is.
    #[arg(long, group = "how")]
    pub(super) webhook: bool,
    /// Send again to these customers whose message had an unknown end: JSON lines with account and
    /// customer. For those of whom the mail server's log shows that it did not take the message.
    #[arg(long, value_name = "FILE")]
    again: Option<PathBuf>,
    /// Messages each second at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    messages_per_s_max: u32,
    /// For machines.
    #[arg(long)]
    json: bool,
}

/// Everything that one run needs.
struct Notifying {
    desk: Desk,
    incident: Authentic<Incident>,
    run: RunId,
    channel: Channel,
    heading: Heading,
    affected: HashMap<NoticeKey, Affected>,
    per_s_max: u32,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let incident = desk.opened_incident(&arguments.incident).await?;
    let channel = Channel::of(&desk.config, &arguments)?;
    let affected = affected(&arguments.scope, incident.id)?;
    let heading = Heading {
        incident: incident.id.to_string(),
        title: incident.title.clone(),
        opened_at: incident.opened_at.rfc3339(),
        environment: desk.config.environment.name(),
    };
    let this = Notifying {
        run: RunId::new(desk.config.environment, desk.clock.now()),
        desk,
        incident,
        channel,
        heading,
        affected,
        per_s_max: arguments.messages_per_s_max,
    };
    this.take().await?;
    this.owe().await?;
    if let Some(again) = &arguments.again {
        this.release(again).await?;
    }
    let done = this.send(arguments.json).await;
    let event = this
        .desk
        .event(Action::IncidentNotifyEnded, this.incident.id);
    let ended = this.desk.store.end_notices(this.now(), event).await;
    done?;
    ended.map_err(unavailable)?;
    let (counts, record) = this.record(&arguments.scope).await?;
    this.desk.store.close().await.map_err(unavailable)?;
    this.say(&counts, &record, arguments.json)
}

impl Notifying {
    fn now(&self) -> Run {
        let now = self.desk.clock.now();
        Run {
            incident: self.incident.id,
            id: self.run,
            channel: self.channel.name(),
            now,
            lease_until: now.plus_ms(LEASE_MS),
        }
    }

    /// Becomes the one run, when no other gives a sign any more.
    async fn take(&self) -> Result<(), Failure> {
        for _ in 0..LOOKS_MAX {
            let event = self
                .desk
                .event(Action::IncidentNotifyStarted, self.incident.id);
            let taken = self.desk.store.take_notices(self.now(), event).await;
            if taken.map_err(unavailable)? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        Err(lost())
    }

    async fn owe(&self) -> Result<(), Failure> {
        let names: Vec<_> = self.affected.keys().cloned().collect();
        for page in names.chunks(PAGE_ROWS_MAX) {
            let owed = self.desk.store.owe_notices(self.now(), page.to_vec()).await;
            owed.map_err(unavailable)?;
            self.keep().await?;
        }
        Ok(())
    }

    async fn keep(&self) -> Result<(), Failure> {
        let kept = self.desk.store.keep_notices(self.now()).await;
        kept.map_err(unavailable)?.then_some(()).ok_or_else(lost)
    }

    /// An operator has seen that these were not sent.
    async fn release(&self, file: &Path) -> Result<(), Failure> {
        for line in lines(file)? {
            let line = line?;
            let text = |name: &str| line.get(name)?.as_str().map(str::to_owned);
            let (Some(account), Some(customer)) = (text("account"), text("customer")) else {
                let why = "a line of --again has no account or no customer";
                return Err(Failure::new(exit::DATA, why));
            };
            let event = self
                .desk
                .event(Action::IncidentNoticeReleased, self.incident.id);
            let key = NoticeKey { account, customer };
            let released = self.desk.store.release_notice(self.now(), key, event).await;
            released.map_err(unavailable)?;
        }
        self.keep().await
    }

    /// Sends until nothing is due, and nothing will be soon.
    async fn send(&self, quiet: bool) -> Result<(), Failure> {
        let bar = bar(self.affected.len(), quiet);
        let at_once = AT_ONCE_MAX.min(self.per_s_max);
        loop {
            let claimed = self.desk.store.claim_notices(self.now(), at_once).await;
            let claimed = claimed.map_err(unavailable)?.ok_or_else(lost)?;
            if claimed.is_empty() {
                if !self.wait_for_due().await? {
                    break;
                }
                continue;
            }
            let count = u64::try_from(claimed.len()).unwrap_or(0);
            let per_s_max = u64::from(self.per_s_max).max(1);
            let least_ms = count.saturating_mul(1_000).div_ceil(per_s_max);
            let pace = tokio::time::sleep(Duration::from_millis(least_ms));
            let settled = self.tell_all(claimed).await?;
            let over = settled
                .iter()
                .filter(|one| one.state != NoticeState::Waiting);
            bar.inc(u64::try_from(over.count()).unwrap_or(0));
            let written = self.desk.store.settle_notices(self.now(), settled).await;
            written.map_err(unavailable)?;
            pace.await;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Waits for what is sent again soon; false where nothing is.
    async fn wait_for_due(&self) -> Result<bool, Failure> {
        let next = self.desk.store.next_notice(self.now()).await;
        let Some(due) = next.map_err(unavailable)? else {
            return Ok(false);
        };
        let wait_ms = due.ms_since(self.desk.clock.now());
        if wait_ms > WAIT_MS_MAX {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(wait_ms.clamp(1, SIGN_MS))).await;
        Ok(true)
    }

    /// Tells some customers at once, and gives signs of life meanwhile.
    async fn tell_all(
        &self,
        claimed: Vec<(NoticeKey, u32)>,
    ) -> Result<Vec<NoticeSettled>, Failure> {
        let messages = join_all(claimed.into_iter().map(|one| self.tell(one)));
        let mut messages = std::pin::pin!(messages);
        loop {
            tokio::select! {
                settled = &mut messages => return Ok(settled),
                () = tokio::time::sleep(Duration::from_millis(SIGN_MS)) => {
                    // What is under way goes on; who has lost the lease claims no more.
                    let _kept = self.desk.store.keep_notices(self.now()).await;
                }
            }
        }
    }

    async fn tell(&self, (key, attempts): (NoticeKey, u32)) -> NoticeSettled {
        let (state, answer) = match self.affected.get(&key) {
            Some(affected) => {
                let told = self.channel.tell(&self.heading, affected, &self.desk.clock);
                told.await
            }
            None => (NoticeState::NoContact, "not_in_scope".to_owned()),
        };
        let pause_s = 2_u64.saturating_pow(attempts.min(10));
        NoticeSettled {
            key,
            state,
            answer,
            due: self.desk.clock.now().plus_ms(pause_s.saturating_mul(1_000)),
        }
    }

    /// Writes what became of every customer's message, and counts.
    async fn record(&self, scope: &Path) -> Result<(BTreeMap<String, u64>, PathBuf), Failure> {
        let path = scope.join(format!("record-{}.jsonl", self.channel.name()));
        let mut lines = Lines::write(&path)?;
        let mut counts = BTreeMap::new();
        let mut after = NoticeKey {
            account: String::new(),
            customer: String::new(),
        };
        let page_rows = u32::try_from(PAGE_ROWS_MAX).unwrap_or(u32::MAX);
        loop {
            let page = self.desk.store.notices_of(self.now(), after, page_rows);
            let page = page.await.map_err(unavailable)?;
            let Some(last) = page.last() else { break };
            after = last.key();
            for row in &page {
                let NoticeKey { account, customer } = row.key();
                let id = crate::incident::letter::message_id(
                    &self.heading.incident,
                    &account,
                    &customer,
                );
                lines.push(&json!({
                    "account": account,
                    "customer": customer,
                    "state": row.state(),
                    "message_id": id,
                    "attempts": row.attempts(),
                    "answer": row.answer(),
                    "at": row.settled_at().map(crate::clock::Timestamp::rfc3339),
                }))?;
                let count: &mut u64 = counts.entry(row.state().to_owned()).or_default();
                *count = count.saturating_add(1);
            }
        }
        lines.finish()?;
        Ok((counts, path))
    }

    fn say(
        &self,
        counts: &BTreeMap<String, u64>,
        record: &Path,
        json: bool,
    ) -> Result<(), Failure> {
        let now = self.desk.clock.now();
        let since_ms = now.ms_since(self.incident.opened_at);
        let counted: Vec<String> = counts
            .iter()
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        let counted = counted.join(", ");
        if json {
            print(json!({
                "incident": self.heading.incident,
                "channel": self.channel.name(),
                "states": counts,
                "ms_since_opened": since_ms,
                "record": record.display().to_string(),
            }))?;
        } else {
            let record = record.display();
            print(format_args!(
                "{counted}; {} s after the incident was opened; {record}",
                since_ms / 1_000
            ))?;
        }
        if counts.keys().all(|state| state == "told") {
            return Ok(());
        }
        let why = format!("not every customer was told: {counted}");
        Err(Failure::new(exit::UNAVAILABLE, why))
    }
}

/// The customers of a scope that is this incident's.
fn affected(scope: &Path, incident: IncidentId) -> Result<HashMap<NoticeKey, Affected>, Failure> {
    let mut summary = lines(&scope.join("summary.json"))?;
    let of = summary.next().transpose()?;
    if of.is_none_or(|summary| summary.get("incident") != Some(&incident.to_string().into())) {
        let why = "the scope is not one of this incident";
        return Err(Failure::new(exit::DATA, why));
    }
    let unreadable = |error: std::io::Error| Failure::new(exit::NO_INPUT, error);
    let mut affected = HashMap::new();
    for entry in std::fs::read_dir(scope.join("customers")).map_err(unreadable)? {
        for line in lines(&entry.map_err(unreadable)?.path())? {
            let one: Affected =
                serde_json::from_value(line?).map_err(|_| Failure::new(exit::DATA, MALFORMED))?;
            let key = NoticeKey {
                account: one.account.clone(),
                customer: one.customer.clone(),
            };
            affected.insert(key, one);
        }
    }
    Ok(affected)
}

const MALFORMED: &str = "a file of the scope has a line that is none";

fn lines(path: &Path) -> Result<impl Iterator<Item = Result<Value, Failure>> + use<>, Failure> {
    let file = File::open(path).map_err(|error| {
        let why = format!("{}: {error}", path.display());
        Failure::new(exit::NO_INPUT, why)
    })?;
    Ok(BufReader::new(file).lines().map(|line| {
        let line = line.map_err(|error| Failure::new(exit::NO_INPUT, error))?;
        serde_json::from_str(&line).map_err(|_| Failure::new(exit::DATA, MALFORMED))
    }))
}

fn lost() -> Failure {
    let why = "another run tells the customers of this incident, or it was closed";
    Failure::new(exit::UNAVAILABLE, why)
}

fn bar(length: usize, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(0));
    let style =
        ProgressStyle::with_template("{wide_bar} {pos}/{len} customers {per_sec} ETA {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
