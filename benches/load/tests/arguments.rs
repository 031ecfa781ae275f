//! The command line.

use clap::Parser as _;

use super::load::arguments::{Arguments, Engine, Kind};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(["load"].into_iter().chain(line.split_whitespace()))
}

#[test]
fn without_arguments_everything_is_measured_as_cargo_starts_it() {
    let all = parse("--bench").unwrap();
    assert_eq!(
        all.scenarios(),
        [Kind::Tokenize, Kind::Read, Kind::Charge, Kind::Waiting]
    );
    assert_eq!(all.latency_ms_in(Kind::Charge), 0);
    assert_eq!(all.latency_ms_in(Kind::Waiting), 2_000);
    assert_eq!((all.engine, all.rate), (Engine::Sqlite, None));
}

#[test]
fn what_is_said_is_taken() {
    let some = parse("--scenario charge,read --latency-ms 300 --set LIMITS__WORKERS=1").unwrap();
    assert_eq!(some.scenarios(), [Kind::Charge, Kind::Read]);
    assert_eq!(some.latency_ms_in(Kind::Waiting), 300);
    assert_eq!(
        some.set,
        [("CLOAKROOM__LIMITS__WORKERS".to_owned(), "1".to_owned())]
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "--rate 0",
        "--runs 0",
        "--concurrency 0",
        "--set WORKERS",
        "--scenario sleep",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}
