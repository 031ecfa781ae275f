//! What came back: every latency is kept, so percentiles are exact.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use serde::Serialize;

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Answered with this status.
    Status(u16),
    /// Not answered.
    Broken(ErrorKind),
}

/// What one client has seen, and then all of them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Of requests with an answer that is a success.
    latencies_us: Vec<u32>,
    /// How late each request was sent, by the open loop's plan.
    lags_us: Vec<u32>,
    ends: BTreeMap<String, u64>,
    succeeded: u64,
    /// Due, and never sent: the service was too far behind.
    pub(crate) missed: u64,
}

impl Tally {
    /// Notes a request: how it ended, how long after its intended start, how late it was sent.
    pub(crate) fn note(&mut self, end: End, latency: Duration, lag: Duration) {
        let name = match end {
            End::Status(status) => status.to_string(),
            End::Broken(kind) => kind.to_string(),
        };
        let count = self.ends.entry(name).or_default();
        *count = count.saturating_add(1);
        self.lags_us.push(micros(lag));
        // A refusal is quick, and would make the service look quick.
        if matches!(end, End::Status(200..=299)) {
            self.succeeded = self.succeeded.saturating_add(1);
            self.latencies_us.push(micros(latency));
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.latencies_us.extend(other.latencies_us);
        self.lags_us.extend(other.lags_us);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.missed = self.missed.saturating_add(other.missed);
        for (name, more) in other.ends {
            let count = self.ends.entry(name).or_default();
            *count = count.saturating_add(more);
        }
    }

    pub(crate) const fn succeeded(&self) -> u64 {
        self.succeeded
    }

    /// Requests by status, and by what broke those without one.
    pub(crate) const fn ends(&self) -> &BTreeMap<String, u64> {
        &self.ends
    }

    pub(crate) fn latency(&mut self) -> Percentiles {
        Percentiles::of(&mut self.latencies_us)
    }

    pub(crate) fn lag(&mut self) -> Percentiles {
        Percentiles::of(&mut self.lags_us)
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// Of all that was noted, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "a unit is the last part of a name"
)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Percentiles {
    /// By nearest rank: each is a latency that was really seen.
    fn of(samples_us: &mut [u32]) -> Self {
        samples_us.sort_unstable();
        let at = |per_mille: usize| {
            let rank = samples_us.len().saturating_mul(per_mille).div_ceil(1_000);
            let place = rank.saturating_sub(1);
            samples_us
                .get(place)
                .map_or(0.0, |us| f64::from(*us) / 1_000.0)
        };
        Self {
            p50_ms: at(500),
            p90_ms: at(900),
            p99_ms: at(990),
            p999_ms: at(999),
            max_ms: at(1_000),
        }
    }
}

/// The middle of several runs, and how far they are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let upper = values.len() / 2;
        let lower = values.len().saturating_sub(1) / 2;
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        Self {
            median: f64::midpoint(at(lower), at(upper)),
            min: values.first().copied().unwrap_or_default(),
            max: values.last().copied().unwrap_or_default(),
        }
    }
}
