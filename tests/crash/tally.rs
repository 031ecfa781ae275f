//! The totals of many rounds: kills, money operations and findings by kind, of each seed and in
//! sum.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::judge::Finding;
use crate::round::{Plan, Verdict};

#[derive(Clone, Debug, Default)]
struct Row {
    rounds: usize,
    kills: usize,
    money_operations: usize,
    findings: BTreeMap<&'static str, usize>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// By seed, engine and nodes.
    rows: BTreeMap<(u64, String), Row>,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.kills += other.kills;
        self.money_operations += other.money_operations;
        for (kind, count) in &other.findings {
            *self.findings.entry(kind).or_default() += count;
        }
    }

    fn show(&self) -> String {
        let mut shown = format!("{:6} {:6}", self.kills, self.money_operations);
        for kind in Finding::KINDS {
            let count = self.findings.get(kind).copied().unwrap_or(0);
            let width = kind.len();
            write!(shown, " {count:width$}").unwrap();
        }
        shown
    }
}

impl Tally {
    pub(crate) fn add(&mut self, plan: &Plan, verdict: &Verdict) {
        let mut findings = BTreeMap::new();
        for finding in &verdict.findings {
            *findings.entry(finding.kind()).or_default() += 1;
        }
        let row = Row {
            rounds: 1,
            kills: plan.kills,
            money_operations: verdict.money_operations,
            findings,
        };
        let setup = format!("{} x{}", plan.engine.name(), plan.nodes);
        self.rows.entry((plan.seed, setup)).or_default().add(&row);
    }

    fn sum(&self) -> Row {
        let mut sum = Row::default();
        for row in self.rows.values() {
            sum.add(row);
        }
        sum
    }

    pub(crate) fn findings(&self) -> usize {
        self.sum().findings.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = Finding::KINDS.join(" ");
        writeln!(
            f,
            "{:>6} {:14} {:>6} {:>6} {kinds}",
            "seed", "nodes", "kills", "money"
        )?;
        for ((seed, setup), row) in &self.rows {
            writeln!(f, "{seed:6} {setup:14} {}", row.show())?;
        }
        let sum = self.sum();
        let rounds = format!("{} rounds", sum.rounds);
        writeln!(f, "{:>6} {rounds:14} {}", "sum", sum.show())
    }
}
