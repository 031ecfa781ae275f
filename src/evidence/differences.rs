//! What has changed from one bundle to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::bundle::{BundleRefused, checks, manifest};
use super::{CHECKS, Check, SUMMARY, Verdict};

/// How a check differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The check.
    pub id: String,
    /// How it ended then; nothing where it was not made.
    pub before: Option<Verdict>,
    /// How it ended now; nothing where it was not made.
    pub after: Option<Verdict>,
    /// What was seen then and is not now.
    pub gone: Vec<String>,
    /// What is seen now and was not then.
    pub new: Vec<String>,
}

impl Change {
    /// Whether it passed, and does not any more.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.after == Some(Verdict::Fail) && self.before != Some(Verdict::Fail)
            || self.before == Some(Verdict::Pass) && self.after != Some(Verdict::Pass)
    }
}

/// How two bundles differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Checks.
    pub checks: Vec<Change>,
    /// Files, other than those of the checks, that are new, gone or changed.
    pub files: Vec<String>,
}

impl Differences {
    /// Whether any check passed, and does not any more.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.checks.iter().any(Change::is_worse)
    }
}

/// Compares two bundles by their checks and manifests. Whether each is what was signed is
/// [`verify`](super::verify)'s to say.
///
/// # Errors
/// [`BundleRefused`] where one is none.
pub fn compare(before: &Path, after: &Path) -> Result<Differences, BundleRefused> {
    let checks = changes(&checks(before)?, &checks(after)?);
    let (then, now) = (manifest(before)?.files, manifest(after)?.files);
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let files = names
        .into_iter()
        .filter(|name| *name != CHECKS && *name != SUMMARY)
        .filter_map(|name| {
            let what = match (then.get(name), now.get(name)) {
                (Some(then), Some(now)) if then == now => return None,
                (Some(_), Some(_)) => "changed",
                (Some(_), None) => "gone",
                (None, _) => "new",
            };
            Some(format!("{name}: {what}"))
        })
        .collect();
    Ok(Differences { checks, files })
}

fn changes(before: &[Check], after: &[Check]) -> Vec<Change> {
    let named = |checks: &[Check]| -> BTreeMap<String, Check> {
        let named = checks.iter().map(|check| (check.id.clone(), check.clone()));
        named.collect()
    };
    let (then, now) = (named(before), named(after));
    let ids: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let seen = |check: Option<&Check>| -> BTreeSet<String> {
        let seen = check.map(|check| check.observations.iter().cloned());
        seen.into_iter().flatten().collect()
    };
    ids.into_iter()
        .filter_map(|id| {
            let (then, now) = (then.get(id), now.get(id));
            let (old, new) = (seen(then), seen(now));
            let change = Change {
                id: id.clone(),
                before: then.map(|check| check.verdict),
                after: now.map(|check| check.verdict),
                gone: old.difference(&new).cloned().collect(),
                new: new.difference(&old).cloned().collect(),
            };
            let differs =
                change.before != change.after || !change.gone.is_empty() || !change.new.is_empty();
            differs.then_some(change)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Look;

    fn check(id: &str, holds: bool, seen: &str) -> Check {
        let mut look = Look::at(id, "it holds", &["1.1.1"]);
        look.must(holds, seen);
        look.done()
    }

    #[test]
    fn what_got_worse_is_told_from_what_is_merely_otherwise() {
        let before = [
            check("a", true, "one"),
            check("b", true, "two"),
            check("c", false, "x"),
        ];
        let same = changes(&before, &before);
        assert_eq!(same, []);
        let after = [
            check("a", true, "three"),
            check("b", false, "two"),
            check("c", true, "x"),
        ];
        let changed = changes(&before, &after);
        let worse: Vec<_> = changed
            .iter()
            .map(|change| (change.id.as_str(), change.is_worse()))
            .collect();
        assert_eq!(worse, [("a", false), ("b", true), ("c", false)]);
        assert_eq!(changed.first().unwrap().gone, ["pass: one"]);
        assert_eq!(changed.first().unwrap().new, ["pass: three"]);
        // A check that passed and is not made any more is a loss as well.
        let fewer = changes(&before, before.get(1..).unwrap());
        assert!(fewer.len() == 1 && fewer.first().unwrap().is_worse());
        let more = changes(before.get(..2).unwrap(), &before);
        assert!(
            more.len() == 1 && more.first().unwrap().is_worse(),
            "a new check that fails"
        );
    }
}
