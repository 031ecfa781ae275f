//! What is made of latencies.

use std::io::ErrorKind;
use std::time::Duration;

use super::load::tally::{End, Percentiles, Spread, Tally};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn percentiles_are_latencies_that_were_seen() {
    let mut tally = Tally::default();
    for latency in (1..=1_000).rev() {
        tally.note(End::Status(201), ms(latency), Duration::ZERO);
    }
    let expected = Percentiles {
        p50_ms: 500.0,
        p90_ms: 900.0,
        p99_ms: 990.0,
        p999_ms: 999.0,
        max_ms: 1_000.0,
    };
    assert_eq!(tally.latency(), expected);
    assert_eq!(tally.lag(), Percentiles::default());
}

#[test]
fn of_one_latency_every_percentile_is_that_one() {
    let mut tally = Tally::default();
    tally.note(End::Status(200), ms(7), ms(1));
    assert_eq!(
        (tally.latency().p50_ms, tally.latency().p999_ms),
        (7.0, 7.0)
    );
    assert_eq!(Tally::default().latency(), Percentiles::default());
}

#[test]
fn a_refusal_is_counted_and_makes_nothing_look_quick() {
    let mut tally = Tally::default();
    tally.note(End::Status(429), ms(1), Duration::ZERO);
    tally.note(End::Broken(ErrorKind::TimedOut), ms(60_000), Duration::ZERO);
    let mut other = Tally::default();
    other.note(End::Status(201), ms(9), Duration::ZERO);
    other.note(End::Status(429), ms(1), Duration::ZERO);
    other.missed = 3;
    tally.merge(other);
    assert_eq!((tally.succeeded(), tally.missed), (1, 3));
    assert_eq!((tally.latency().p50_ms, tally.latency().max_ms), (9.0, 9.0));
    let ends: Vec<_> = tally
        .ends()
        .iter()
        .map(|(end, n)| (end.as_str(), *n))
        .collect();
    assert_eq!(ends, [("201", 1), ("429", 2), ("timed out", 1)]);
}

#[test]
fn the_spread_of_runs_is_their_middle_and_their_ends() {
    let of = |values: &[f64]| {
        let spread = Spread::of(values.iter().copied());
        (spread.min, spread.median, spread.max)
    };
    assert_eq!(of(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
    assert_eq!(of(&[4.0, 1.0]), (1.0, 2.5, 4.0));
    assert_eq!(of(&[]), (0.0, 0.0, 0.0));
}
