//! Watch at work: whom to count, what is told and written down, and what the other processes know.
//!
//! The hot path only counts in memory. What a rule decides holds here at once; within a second it is
//! written down with its audit event and its alert, and read by every other process.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::session::Admitted;
use super::tokenize::Tokenized;
use super::{Capture, Common, Refusal};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::store::{BlockRow, BucketRow, Failure, SessionRow};
use crate::token::Account;
use crate::watch::{self, Block, Bucket, CardRange, RuleName, Seen, Subject, SubjectKind, Verdict};

/// Buckets that are written at one look.
const SHARE_BUCKETS_MAX: usize = 2_000;
/// At the end of a rule's name: the row is of one network, whose name ends the subject.
const OF_NETWORKS: &str = "_networks";
/// How far back a look at the others' buckets reaches beyond the one before it: their clocks may be
/// behind ours, and saying a thing twice counts once.
const OVERLAP_MS: u64 = 30_000;
/// Looks between two sweeps, each of which goes through all windows.
const SWEEP_INTERVAL_TICKS: u64 = 600;

/// The engine of this process, and what it needs to know of its surroundings.
pub struct Watcher {
    engine: Mutex<watch::Watch>,
    /// Our own proxies: nobody is told apart by them.
    shared_addresses: Vec<IpAddr>,
    share_interval: Duration,
    /// A name for this run of this process.
    name: String,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher(..)")
    }
}

impl Watcher {
    /// Knows nothing yet. `name` is this run's, and no other process's.
    #[must_use]
    pub fn new(
        settings: watch::Settings,
        shared_addresses: Vec<IpAddr>,
        share_interval_ms: u64,
        name: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine: Mutex::new(watch::Watch::new(settings)),
            shared_addresses,
            share_interval: Duration::from_millis(share_interval_ms),
            name,
        })
    }

    fn engine(&self) -> MutexGuard<'_, watch::Watch> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client is let in at all.
    #[must_use]
    pub fn is_cut_off(&self, client: &str, now: Timestamp) -> bool {
        // A client that is only to go slower meets its limit where it makes sessions.
        self.engine().is_blocked(&Subject::client(client), now)
    }

    /// Somebody was refused at the door.
    pub fn refused(&self, client: Option<&str>, address: &str, now: Timestamp) {
        let subjects = match client {
            Some(client) => vec![Subject::client(client)],
            None => self.addresses(address).into_iter().take(1).collect(),
        };
        self.engine().see(Seen::Refused, &subjects, now);
    }

    /// Something was done for a client.
    pub fn did(&self, seen: Seen, client: &str, now: Timestamp) {
        self.engine().see(seen, &[Subject::client(client)], now);
    }

    fn addresses(&self, address: &str) -> Vec<Subject> {
        match address.parse::<IpAddr>() {
            Ok(ip) if !self.shared_addresses.contains(&ip) => {
                vec![Subject::address(ip), Subject::network(ip)]
            }
            _ => Vec::new(),
        }
    }

    /// Everybody whom a card that is posted to a session speaks for or against.
    fn of_card(&self, session: &SessionRow, address: &str) -> Vec<Subject> {
        let account = session.account.as_str();
        let mut subjects = self.addresses(address);
        let shop = session.origin.as_deref();
        subjects.extend(shop.map(|origin| Subject::shop(account, origin)));
        let customer = session.customer_ref.as_deref();
        subjects.extend(customer.map(|name| Subject::customer(account, name)));
        subjects
    }

    /// Everybody who may have been stopped: these, and the customer in its network.
    fn stoppable(mut subjects: Vec<Subject>) -> Vec<Subject> {
        let of_kind = |kind| subjects.iter().find(|who: &&Subject| who.kind() == kind);
        let customer = of_kind(SubjectKind::Customer);
        let network = of_kind(SubjectKind::Network);
        let within = customer.zip(network);
        let within = within.and_then(|(customer, network)| customer.within(network.name()));
        subjects.extend(within);
        subjects
    }

    /// What is left to a client before it is stopped, where that is little.
    #[must_use]
    pub fn allowances(&self, client: &str, now: Timestamp) -> Vec<watch::Allowance> {
        self.engine().allowances(&Subject::client(client), now)
    }

    fn of_session(client: &str, account: &Account, customer: Option<&str>) -> Vec<Subject> {
        let mut subjects = vec![Subject::client(client)];
        subjects.extend(customer.map(|name| Subject::customer(account.as_str(), name)));
        subjects
    }
}

/// What the watch counts of an outcome; nothing where the card was not asked about.
pub(super) fn seen(outcome: &Result<Tokenized, Refusal>) -> Option<Seen> {
    match outcome {
        Ok(Tokenized { replayed, .. }) => (!replayed).then_some(Seen::Accepted),
        Err(Refusal::InvalidCard(faults)) => {
            Some(guessed(faults.iter().map(|fault| fault.pointer)))
        }
        Err(Refusal::Declined { decline, .. }) => {
            let code = decline.code.to_string();
            let details = ["incorrect_cvc", "invalid_cvc", "expired_card"];
            Some(match code.as_str() {
                "incorrect_number" | "invalid_number" => Seen::InvalidNumber,
                code if details.contains(&code) => Seen::WrongDetails,
                _ => Seen::Declined,
            })
        }
        // Another card under the key of one before: whoever posts it learns that it is another.
        Err(Refusal::IdempotencyMismatch) => Some(Seen::Declined),
        Err(_) => None,
    }
}

/// What is wrong with a card that cannot be one.
pub(super) fn guessed(mut pointers: impl Iterator<Item = &'static str>) -> Seen {
    if pointers.any(|pointer| pointer == "/card/number") {
        Seen::InvalidNumber
    } else {
        Seen::WrongDetails
    }
}

fn refusal(verdict: Verdict) -> Result<(), Refusal> {
    match verdict {
        Verdict::Welcome => Ok(()),
        Verdict::Challenge => Err(Refusal::VerificationRequired),
        Verdict::Later { retry_after_s } => Err(Refusal::RateLimited { retry_after_s }),
    }
}

impl Capture {
    /// Whether a card may be posted to this session at all; a refusal is an event.
    ///
    /// # Errors
    /// [`Refusal::VerificationRequired`] or [`Refusal::RateLimited`], which say nothing of the rule.
    pub async fn require_welcome(&self, admitted: &Admitted) -> Result<(), Refusal> {
        let common = &self.common;
        let subjects = common
            .watch
            .of_card(&admitted.session, &admitted.witness.origin);
        let subjects = Watcher::stoppable(subjects);
        let verified = admitted.session.shopper_verified;
        let verdict = common
            .watch
            .engine()
            .admit(&subjects, verified, common.now());
        self.turn_away(admitted, verdict).await
    }

    /// The same for the card's range, which is known once the card is.
    pub(super) async fn require_welcome_range(
        &self,
        admitted: &Admitted,
        range: &CardRange,
    ) -> Result<(), Refusal> {
        let verified = admitted.session.shopper_verified;
        let now = self.common.now();
        let verdict = self.common.watch.engine().admit_range(range, verified, now);
        self.turn_away(admitted, verdict).await
    }

    async fn turn_away(&self, admitted: &Admitted, verdict: Verdict) -> Result<(), Refusal> {
        if let Err(refused) = refusal(verdict) {
            let common = &self.common;
            common.metrics.turned_away(match verdict {
                Verdict::Challenge => "challenged",
                Verdict::Welcome | Verdict::Later { .. } => "blocked",
            });
            let subject = Some(admitted.session.id.to_string());
            let witness = &admitted.witness;
            let event = common.event(witness, Action::CardAttempted, Outcome::Refused, subject);
            common.store.record(event).await?;
            return Err(refused);
        }
        Ok(())
    }

    /// Counts how a card ended.
    pub(super) fn saw_card(&self, admitted: &Admitted, seen: Seen, range: Option<&CardRange>) {
        let now = self.common.now();
        let watch = &self.common.watch;
        let subjects = watch.of_card(&admitted.session, &admitted.witness.origin);
        let mut engine = watch.engine();
        engine.see(seen, &subjects, now);
        if let Some(range) = range {
            engine.see_range(seen, range, now);
        }
    }
}

impl Common {
    /// Whether a client may make a session for a customer now, and counts it.
    pub(super) fn admit_session(
        &self,
        client: &str,
        account: &Account,
        customer: Option<&str>,
    ) -> Result<(), Refusal> {
        let (now, subjects) = (self.now(), Watcher::of_session(client, account, customer));
        let mut engine = self.watch.engine();
        // A session is a right and no card: a challenge is met where the card is posted.
        refusal(engine.admit(&subjects, true, now))?;
        engine.see(Seen::SessionMade, &subjects, now);
        Ok(())
    }

    /// Shares what is counted and decided until the process stops.
    pub async fn watch_forever(self) {
        let mut heard = self.now();
        let window_s = self.watch.engine().longest_window_s();
        // What the others, and this process's last run, counted before this start.
        let mut since = Timestamp::from_unix_ms(
            heard
                .unix_ms()
                .saturating_sub(i64::from(window_s).saturating_mul(1_000)),
        );
        let mut ticks: u64 = 0;
        loop {
            let now = self.now();
            match self.exchange(since).await {
                Ok(()) => {
                    let overlap = i64::try_from(OVERLAP_MS).unwrap_or(0);
                    since = Timestamp::from_unix_ms(heard.unix_ms().saturating_sub(overlap));
                    heard = now;
                }
                Err(failure) => tracing::warn!(%failure, "the watch could not be shared"),
            }
            self.watch.engine().sweep_ranges(now);
            if ticks.is_multiple_of(SWEEP_INTERVAL_TICKS) {
                self.watch.engine().sweep(now);
            }
            ticks = ticks.wrapping_add(1);
            tokio::time::sleep(self.watch.share_interval).await;
        }
    }

    /// One exchange with the store: what was decided here, what was counted here, what the others
    /// know.
    ///
    /// # Errors
    /// What the store refuses; what was decided is told at the next exchange.
    pub async fn exchange(&self, since: Timestamp) -> Result<(), Failure> {
        let mut decided = self.watch.engine().take_decisions();
        decided.reverse();
        while let Some(decision) = decided.pop() {
            if let Err(failure) = self.write_down(&decision).await {
                decided.push(decision);
                decided.reverse();
                self.watch.engine().put_back(decided);
                return Err(failure);
            }
        }
        let mut near = self.watch.engine().take_warnings();
        while let Some(warning) = near.pop() {
            if let Err(failure) = self.warn(&warning).await {
                let mut engine = self.watch.engine();
                for warning in near.into_iter().chain([warning]) {
                    engine.put_warning_back(warning);
                }
                return Err(failure);
            }
        }
        let new = self.watch.engine().take_new();
        let now = self.now();
        for rows in new.chunks(SHARE_BUCKETS_MAX) {
            let rows = rows.iter().map(|bucket| self.row(bucket)).collect();
            self.store.share_buckets(rows, now).await?;
        }
        let others = self
            .store
            .buckets_of_others(self.watch.name.clone(), since)
            .await?;
        let blocks = self.store.blocks(since).await?;
        let mut engine = self.watch.engine();
        for row in others {
            if let Some(bucket) = bucket(&row) {
                engine.hear(&row.process, bucket);
            }
        }
        engine.set_blocks(blocks.iter().filter_map(block).collect());
        Ok(())
    }

    /// Removes what no window reaches back to, and what ended long ago.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn sweep_watch(&self) -> Result<u64, Failure> {
        let window_s = self.watch.engine().longest_window_s();
        self.store.sweep_watch(window_s, self.now()).await
    }

    fn row(&self, bucket: &Bucket) -> BucketRow {
        let (rule, subject) = (bucket.rule.name(), &bucket.subject);
        let (rule, subject) = match &bucket.network {
            None => (rule.to_owned(), subject.to_string()),
            Some(network) => (
                format!("{rule}{OF_NETWORKS}"),
                format!("{subject} {network}"),
            ),
        };
        BucketRow {
            process: self.watch.name.clone(),
            rule,
            subject,
            bucket_ms: bucket.bucket_ms,
            events: bucket.count.events,
            hits: bucket.count.hits,
        }
    }
}

/// What a row says; nothing where a later version wrote it.
fn bucket(row: &BucketRow) -> Option<Bucket> {
    let (rule, subject, network) = match row.rule.strip_suffix(OF_NETWORKS) {
        None => (row.rule.as_str(), row.subject.as_str(), None),
        Some(rule) => {
            let (subject, network) = row.subject.rsplit_once(' ')?;
            (rule, subject, Some(network.to_owned()))
        }
    };
    Some(Bucket {
        rule: RuleName::from_name(rule)?,
        subject: Subject::parse(subject)?,
        network,
        bucket_ms: row.bucket_ms,
        count: watch::Count {
            events: row.events,
            hits: row.hits,
        },
    })
}

fn block(row: &BlockRow) -> Option<Block> {
    Some(Block {
        rule: RuleName::from_name(&row.rule),
        subject: Subject::parse(&row.subject)?,
        action: watch::Action::from_name(&row.action)?,
        placed_at: row.placed_at,
        ends_at: row.ends_at,
        lifted_at: row.lifted_at,
    })
}
