//! What an assessor asks for, as files: checks with what was seen, and a signed manifest.
//!
//! A bundle is a directory:
//!
//! - `checks.json`: every check, in this order, with its verdict, what was seen, and the command
//!   with which anybody sees it again;
//! - `summary.md`: the same, to be read;
//! - what the checks looked at, and the documents of this build, each as a file;
//! - `manifest.json`: when, by which build and of which processes, and the SHA-256 of every file;
//! - `manifest.note`: the SHA-256 of the manifest as a signed note (<https://c2sp.org/signed-note>).
//!
//! Looking is the command's (`cli::evidence`); here is what a bundle is, whether one is still what
//! was signed ([`verify`]), and how two differ ([`compare`]).

mod bundle;
mod differences;
mod papers;

use serde::{Deserialize, Serialize};

pub use bundle::{Bundle, BundleRefused, Findings, Made, Manifest, verify};
pub use differences::{Change, Differences, compare};
pub use papers::{PAPERS, Paper, Row, controls};

/// The file with every check.
pub const CHECKS: &str = "checks.json";
/// The file to be read.
pub const SUMMARY: &str = "summary.md";

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is nothing here that it could look at.
    NotApplicable,
    /// It is as it must be.
    Pass,
    /// It could not be looked at, so nothing is said of it: as red as a failure, unless a bundle of
    /// another host has seen it.
    NotSeen,
    /// It is not as it must be.
    Fail,
}

impl Verdict {
    /// Whether it keeps a bundle from being accepted.
    #[must_use]
    pub const fn is_red(self) -> bool {
        matches!(self, Self::NotSeen | Self::Fail)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotApplicable => "not_applicable",
            Self::Pass => "pass",
            Self::NotSeen => "not_seen",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name, which stays the same from one version to the next.
    pub id: String,
    /// What has to hold.
    pub title: String,
    /// Requirements of PCI DSS v4.0.1 by identifier.
    pub requirements: Vec<String>,
    /// How it ended: the worst of what was seen.
    pub verdict: Verdict,
    /// What was seen, one thing a line.
    pub observations: Vec<String>,
    /// The commands that show it again.
    pub reproduce: Vec<String>,
    /// The files of the bundle that show more.
    pub files: Vec<String>,
}

/// A check that looks at several things, one after the other.
#[derive(Debug)]
pub struct Look {
    check: Check,
}

impl Look {
    /// Nothing seen so far, which is not applicable.
    #[must_use]
    pub fn at(id: &str, title: &str, requirements: &[&str]) -> Self {
        let requirements = requirements.iter().map(ToString::to_string).collect();
        Self {
            check: Check {
                id: id.to_owned(),
                title: title.to_owned(),
                requirements,
                verdict: Verdict::NotApplicable,
                observations: Vec::new(),
                reproduce: Vec::new(),
                files: Vec::new(),
            },
        }
    }

    /// Something was seen.
    pub fn saw(&mut self, verdict: Verdict, observation: impl std::fmt::Display) {
        self.check.verdict = self.check.verdict.max(verdict);
        let observation = format!("{}: {observation}", verdict.name());
        self.check.observations.push(observation);
    }

    /// It is as it must be, or it is not.
    pub fn must(&mut self, holds: bool, observation: impl std::fmt::Display) {
        let verdict = if holds { Verdict::Pass } else { Verdict::Fail };
        self.saw(verdict, observation);
    }

    /// How to see it again.
    pub fn again(&mut self, command: impl Into<String>) {
        self.check.reproduce.push(command.into());
    }

    /// A file of the bundle that shows more.
    pub fn shown_in(&mut self, file: &str) {
        self.check.files.push(file.to_owned());
    }

    /// The check.
    #[must_use]
    pub fn done(self) -> Check {
        self.check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_as_bad_as_the_worst_that_was_seen() {
        let mut look = Look::at("keys", "keys are kept", &["3.6.1"]);
        assert_eq!(
            Look::at("none", "nothing", &[]).done().verdict,
            Verdict::NotApplicable
        );
        look.saw(Verdict::NotApplicable, "no module");
        look.must(true, "one file");
        assert_eq!(look.check.verdict, Verdict::Pass);
        look.must(false, "another file");
        look.must(true, "a third");
        let check = look.done();
        assert_eq!(check.verdict, Verdict::Fail);
        assert_eq!(check.observations.get(2).unwrap(), "fail: another file");
    }
}
