//! The report of a comparison: one JSON object over its canonical bytes, signed, and the same for
//! people.
//!
//! It holds ids, states and amounts; nothing of a card and nothing of a customer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::difference::{Difference, Kind, Repair};
use crate::seal::signing::SigningKey;

/// What the report is, for who reads it in years.
const FORMAT: &str = "cloakroom-reconciliation/1";
/// What the signature is for (RFC 8725, 3.11).
pub const JWS_TYPE: &str = "reconciliation+jws";
/// Differences of an account that a report spells out; the others are counted.
pub const ENTRIES_MAX: usize = 1_000;

/// What has become of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// It was reported, nothing else.
    Reported,
    /// Our side took what the processor says.
    Repaired,
    /// Our side is to take it, and has not yet.
    Scheduled,
    /// It may be repaired, and that failed.
    Failed,
}

impl Treatment {
    /// Whether the two sides still differ.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Repaired => false,
            Self::Reported | Self::Scheduled | Self::Failed => true,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Repaired => "repaired",
            Self::Scheduled => "scheduled",
            Self::Failed => "failed",
        }
    }
}

/// What was held against each other, in objects and rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Payments that the processor lists.
    pub payments: u64,
    /// Refunds that it lists.
    pub refunds: u64,
    /// Disputes that it lists.
    pub disputes: u64,
    /// Charges of ours.
    pub charges: u64,
    /// Refunds of ours.
    pub refund_rows: u64,
    /// Disputes of ours.
    pub dispute_rows: u64,
    /// Of the listed objects those that are nothing of ours.
    pub foreign: u64,
    /// Of the listed objects those that are too new, or whose row is.
    pub unsettled: u64,
    /// Of the listed objects those that are not what the processor documents.
    pub unreadable: u64,
}

/// What the comparison of one account came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The run: a TypeID.
    pub run: String,
    /// `test` or `live`.
    pub environment: &'static str,
    /// Whose rows and objects.
    pub account: String,
    /// The process that compared.
    pub node: String,
    /// Who asked for it.
    pub by: String,
    /// What was made before that is not compared. RFC 3339.
    pub since: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// Whether repairs were asked for.
    pub repair: bool,
    /// What was compared.
    pub tally: Tally,
    /// What differed, with what was done about it.
    pub differences: Vec<(Difference, Treatment)>,
}

#[derive(Serialize)]
struct Entry<'a> {
    kind: &'static str,
    class: &'static str,
    charge: Option<String>,
    refund: Option<String>,
    object: &'a str,
    here: Option<&'a str>,
    there: Option<&'a str>,
    repair: &'static str,
    treatment: Treatment,
}

impl<'a> Entry<'a> {
    fn of((difference, treatment): &'a (Difference, Treatment)) -> Self {
        Self {
            kind: difference.kind.name(),
            class: difference.kind.class().name(),
            charge: difference.charge.map(|id| id.to_string()),
            refund: difference.refund.map(|id| id.to_string()),
            object: &difference.object,
            here: difference.here.as_deref(),
            there: difference.there.as_deref(),
            repair: difference.kind.repair().name(),
            treatment: *treatment,
        }
    }
}

impl Report {
    /// Whether nothing differs, or does not any more, and everything could be read.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.open_by_kind().is_empty() && self.tally.unreadable == 0
    }

    /// How many differences of each kind are open; kinds without any are left out.
    #[must_use]
    pub fn open_by_kind(&self) -> BTreeMap<&'static str, u64> {
        let open = self.differences.iter();
        let open = open.filter(|(_, treatment)| treatment.is_open());
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (difference, _) in open {
            let count = counts.entry(difference.kind.name()).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// The report as an object.
    #[must_use]
    pub fn json(&self) -> Value {
        let entries = self.differences.iter().take(ENTRIES_MAX);
        serde_json::json!({
            "format": FORMAT,
            "run": self.run,
            "environment": self.environment,
            "account": self.account,
            "node": self.node,
            "by": self.by,
            "since": self.since,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "repair": self.repair,
            "agrees": self.agrees(),
            "compared": self.tally,
            "differences_open": self.open_by_kind(),
            "differences_total": self.differences.len(),
            "differences": entries.map(Entry::of).collect::<Vec<_>>(),
        })
    }

    /// The report under the signature of the key of deletion receipts: a compact JWS, which
    /// `/.well-known/jwks.json` of the internal plane verifies. Names stand in the order of their
    /// letters, so the same report has the same bytes.
    #[must_use]
    pub fn signed(&self, key: &SigningKey) -> String {
        key.jws(JWS_TYPE, self.json().to_string().as_bytes())
    }

    /// One sentence: how many differences of each kind are open.
    #[must_use]
    pub fn summary(&self) -> String {
        let open = self.open_by_kind().into_iter();
        let mut parts: Vec<String> = open
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        if self.tally.unreadable > 0 {
            parts.push(format!("unreadable {}", self.tally.unreadable));
        }
        parts.join(", ")
    }

    /// The report for people: a line for the account, and one for each difference.
    #[must_use]
    pub fn text(&self) -> String {
        let Tally {
            payments,
            refunds,
            disputes,
            charges,
            unreadable,
            ..
        } = self.tally;
        let verdict = if self.agrees() { "agrees" } else { "differs" };
        let total = self.differences.len();
        let mut text = format!(
            "{} {verdict} since {}: {payments} payments, {refunds} refunds and {disputes} disputes at the processor, {charges} charges here, {total} differences\n",
            self.account, self.since
        );
        if unreadable > 0 {
            // Writing to a text does not fail.
            let _written = writeln!(text, "  {unreadable} objects could not be read");
        }
        for (difference, treatment) in self.differences.iter().take(ENTRIES_MAX) {
            line(&mut text, difference, *treatment);
        }
        if total > ENTRIES_MAX {
            let _written = writeln!(text, "  and {} more", total.saturating_sub(ENTRIES_MAX));
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn line(text: &mut String, difference: &Difference, treatment: Treatment) {
    let Difference {
        kind,
        charge,
        refund,
        object,
        here,
        there,
    } = difference;
    let ours = match (refund, charge) {
        (Some(refund), _) => refund.to_string(),
        (None, Some(charge)) => charge.to_string(),
        (None, None) => "-".to_owned(),
    };
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
    let next = match (treatment, kind.repair()) {
        (Treatment::Reported, Repair::Person) => "needs a person",
        (Treatment::Reported, _) => "--repair applies what the processor says",
        (Treatment::Repaired | Treatment::Scheduled | Treatment::Failed, _) => treatment.name(),
    };
    // Writing to a text does not fail.
    let _written = writeln!(
        text,
        "  {}: {object} ({ours}): here {}, there {}. {} [{next}]",
        kind.name(),
        side(here),
        side(there),
        Kind::meaning(*kind),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::token::{ChargeId, Environment};

    fn difference(kind: Kind) -> Difference {
        Difference {
            kind,
            charge: Some(ChargeId::first_at(
                Environment::Test,
                Timestamp::from_unix_ms(1_795_400_000_000),
            )),
            refund: None,
            object: "pi_1".to_owned(),
            here: Some("canceled".to_owned()),
            there: Some("succeeded".to_owned()),
        }
    }

    fn report(differences: Vec<(Difference, Treatment)>) -> Report {
        Report {
            run: "test_run_1".to_owned(),
            environment: "test",
            account: "default".to_owned(),
            node: "one".to_owned(),
            by: "uid 0".to_owned(),
            since: "2026-11-20T00:00:00Z".to_owned(),
            started_at: "2026-11-23T00:00:00Z".to_owned(),
            finished_at: "2026-11-23T00:01:00Z".to_owned(),
            repair: false,
            tally: Tally::default(),
            differences,
        }
    }

    fn key() -> SigningKey {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let text = SigningKey::generate().unwrap();
        crate::seal::file::write_private(&path, text.as_bytes()).unwrap();
        SigningKey::read(&path).unwrap()
    }

    #[test]
    fn a_report_verifies_and_says_the_same_bytes_each_time() {
        let report = report(vec![(difference(Kind::PaidAfterEnd), Treatment::Reported)]);
        let key = key();
        let jws = report.signed(&key);
        let opened = key.verifying().open_jws(JWS_TYPE, &jws).unwrap();
        assert_eq!(opened, report.json().to_string().as_bytes());
        assert_eq!(jws, report.signed(&key));
        // A receipt is no report.
        assert!(key.verifying().open_jws("receipt+jws", &jws).is_none());
        let entry = &report.json()["differences"][0];
        assert_eq!(entry["kind"], "paid_after_end");
        assert_eq!(entry["class"], "contradictory");
        assert_eq!(entry["repair"], "charge");
        assert_eq!(entry["treatment"], "reported");
    }

    #[test]
    fn what_is_repaired_differs_no_more_and_what_is_unreadable_is_not_agreement() {
        let one = |treatment| report(vec![(difference(Kind::PaymentStatus), treatment)]);
        assert!(one(Treatment::Repaired).agrees());
        for open in [Treatment::Reported, Treatment::Scheduled, Treatment::Failed] {
            assert!(!one(open).agrees());
        }
        let mut unread = report(Vec::new());
        assert!(unread.agrees());
        unread.tally.unreadable = 1;
        assert!(!unread.agrees());
        assert!(unread.text().contains("1 objects could not be read"));
    }

    #[test]
    fn a_person_reads_what_differs_and_what_to_do() {
        let both = vec![
            (difference(Kind::PaidAfterEnd), Treatment::Reported),
            (difference(Kind::SecondPayment), Treatment::Reported),
            (difference(Kind::PaymentStatus), Treatment::Repaired),
        ];
        let text = report(both).text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("default differs since "), "{text}");
        assert!(lines[1].contains("--repair applies what the processor says"));
        assert!(lines[1].contains("here canceled, there succeeded"));
        assert!(lines[2].contains("needs a person"));
        assert!(lines[3].ends_with("[repaired]"));
    }

    #[test]
    fn a_thousand_differences_are_spelled_out_and_the_others_counted() {
        let many = vec![(difference(Kind::NotPaid), Treatment::Reported); ENTRIES_MAX + 7];
        let report = report(many);
        let account = &report.json();
        assert_eq!(
            account["differences"].as_array().unwrap().len(),
            ENTRIES_MAX
        );
        assert_eq!(account["differences_total"], 1_007);
        assert_eq!(account["differences_open"]["not_paid"], 1_007);
        assert!(report.text().ends_with("and 7 more"));
    }
}
