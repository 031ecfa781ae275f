//! How figures of the status page are put into words.

use std::collections::BTreeMap;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

pub(super) fn whole(count: f64) -> String {
    format!("{count:.0}")
}

pub(super) fn share(part: f64, all: f64) -> String {
    if all > 0.0 {
        format!("{part:.0} ({:.1} %)", part / all * 100.0)
    } else {
        "0".to_owned()
    }
}

/// `declined 2, succeeded 7`: what is not nought.
pub(super) fn listed(by: &BTreeMap<String, f64>) -> String {
    let told: Vec<String> = by
        .iter()
        .filter(|(_, count)| **count > 0.0)
        .map(|(of, count)| format!("{} {count:.0}", of.replace('_', " ")))
        .collect();
    if told.is_empty() {
        "none".to_owned()
    } else {
        told.join(", ")
    }
}

/// The largest unit that there is at least one of.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        ms if ms >= 2 * DAY_MS => format!("{} days", ms / DAY_MS),
        ms if ms >= 2 * 3_600_000 => format!("{} hours", ms / 3_600_000),
        ms if ms >= 2 * 60_000 => format!("{} minutes", ms / 60_000),
        ms => format!("{} s", ms / 1_000),
    }
}

pub(super) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_told_in_a_unit_that_people_read() {
        for (ms, told) in [
            (999, "0 s"),
            (119_999, "119 s"),
            (120_000, "2 minutes"),
            (7_200_000, "2 hours"),
            (172_800_000, "2 days"),
            (34_560_000_000, "400 days"),
        ] {
            assert_eq!(duration(ms), told);
        }
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(share(0.0, 0.0), "0");
        assert_eq!(share(1.0, 8.0), "1 (12.5 %)");
        let by = BTreeMap::from([
            ("declined".to_owned(), 2.0),
            ("failed".to_owned(), 0.0),
            ("requires_action".to_owned(), 1.0),
        ]);
        assert_eq!(listed(&by), "declined 2, requires action 1");
        assert_eq!(listed(&BTreeMap::new()), "none");
    }
}
