//! A round: a fresh service, its load, its kills, and the judgement when all is quiet.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::evidence::Evidence;
use crate::judge::{Finding, judge};
use crate::laboratory::Laboratory;
use crate::moments::Moment;
use crate::store::Engine;
use crate::support::leaks;

/// The file of a round with a finding that has every request, kill and fault.
const TIMELINE: &str = "timeline";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moments {
    /// At random, the processor failing in its ways, PostgreSQL dying now and then.
    Random,
    /// One after the other of those that have a number.
    Numbered,
    /// This one alone.
    Only(Moment),
}

impl Moments {
    /// Clients at one time: more where most of them wait for what a fault or a kill has left.
    pub(crate) const fn clients(self) -> usize {
        match self {
            Self::Random => 20,
            Self::Numbered | Self::Only(_) => 12,
        }
    }

    /// How long the service waits for the processor. At a numbered moment the one before must be
    /// over.
    pub(crate) const fn timeout_ms(self) -> u32 {
        match self {
            Self::Random => 1_500,
            Self::Numbered | Self::Only(_) => 600,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The test's name, to replay it by.
    pub(crate) name: &'static str,
    pub(crate) engine: Engine,
    pub(crate) nodes: usize,
    pub(crate) moments: Moments,
    /// Whether the processor keeps its promise to do once what it is asked twice under one key, and
    /// sends events of what it has done.
    pub(crate) processor_keeps_keys: bool,
    pub(crate) seed: u64,
    pub(crate) kills: usize,
    /// Charges, captures, cancellations and refunds that are asked for at least.
    pub(crate) money_operations: usize,
}

/// What the judge found, and where the logs of a round with a finding are kept.
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    /// Of each finding, what happened to what it names.
    pub(crate) timelines: Vec<String>,
    pub(crate) money_operations: usize,
    pub(crate) logs: Option<PathBuf>,
}

pub(crate) async fn round(plan: &Plan, first_moment: usize) -> Verdict {
    println!("{}: seed {}, {} kills", plan.name, plan.seed, plan.kills);
    let started = Instant::now();
    let (mut laboratory, mut nodes) = Laboratory::open(plan).await;
    let kills = laboratory.load(plan, first_moment, &mut nodes).await;
    let loaded = started.elapsed();
    let settled = laboratory.settled().await;
    laboratory.store.assert_whole().await;
    let mut findings = laboratory.ask_again(&nodes[0]).await;
    let evidence = laboratory.evidence(&nodes[0]).await;
    findings.extend(judge(&evidence));
    findings.extend(laboratory.charge_a_sample(&evidence, &nodes[0]).await);
    drop(nodes);
    println!(
        "{}: seed {}: {} kills ({} without the moment they waited for, {} of the database too); {}; loaded for {loaded:?}, settled after {settled:?}, {:?} in all; {} findings",
        plan.name,
        plan.seed,
        plan.kills,
        kills.missed,
        kills.of_database,
        figures(&evidence),
        started.elapsed(),
        findings.len(),
    );
    verdict(laboratory, &evidence, findings)
}

fn verdict(laboratory: Laboratory, evidence: &Evidence, findings: Vec<Finding>) -> Verdict {
    let journal = &evidence.journal;
    let timelines = findings.iter().map(|finding| {
        let lines = journal.timeline_of(&format!("{finding:?}"));
        format!("{finding:?}\n  {}", lines.join("\n  "))
    });
    let timelines = timelines.collect();
    let logs = if findings.is_empty() {
        leaks::assert_none(laboratory.dir.path(), &journal.said, &BTreeSet::new());
        None
    } else {
        let dir = Arc::into_inner(laboratory.dir).unwrap().keep();
        std::fs::write(dir.join(TIMELINE), journal.timeline.join("\n")).unwrap();
        Some(dir)
    };
    Verdict {
        findings,
        timelines,
        money_operations: journal.money_operations(),
        logs,
    }
}

fn figures(evidence: &Evidence) -> String {
    let journal = &evidence.journal;
    let paid: u64 = evidence.paid.values().map(|paid| paid.moved).sum();
    let refused = journal.operations.values();
    let refused = refused.filter(|asked| !asked.refused.is_empty()).count();
    format!(
        "{} requests, answered {:?}; {} charges asked for, {paid} paid; {} captures and cancellations ({refused} refused); {} refunds asked for, {} made; {} disputes, {} acts in the dashboard; {} tokens for {} cards at the processor ({} forsaken), {} deletions; {} events",
        journal.requests,
        journal.answers,
        journal.charges.len(),
        journal.operations.len(),
        journal.refunds.len(),
        evidence.given_back.len(),
        evidence.disputes.len(),
        journal.dashboard_acts,
        evidence.tokens.len(),
        evidence.cards_attached,
        journal.forsaken_cards,
        journal.deletions.len(),
        evidence.feed.len(),
    )
}
