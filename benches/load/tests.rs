//! The driver's own tests. Cargo runs no tests of a benchmark that has its own `main`, so the
//! driver is compiled here once more, as a test.

#![cfg(test)]

#[path = "main.rs"]
#[expect(dead_code, reason = "its main function is for cargo bench")]
mod load;

mod tests {
    use super::load;

    mod arguments;
    mod cluster;
    mod pace;
    mod process;
    mod tally;
    mod wire;
    mod yardstick;
}

use clap::Parser as _;
use serde_json::Value;

/// The whole driver against the real binary, in small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkouts_wait_are_all_answered_and_the_report_says_what_they_cost() {
    let line = "load --scenario waiting --checkouts 20 --latency-ms 200 --seconds 2 --runs 1 --yardstick-seconds 0";
    let arguments = load::arguments::Arguments::parse_from(line.split(' '));
    let report = load::everything(&arguments).await.unwrap();
    let text = report.to_string();
    let report: Value = serde_json::to_value(&report).unwrap();

    let scenario = &report["scenarios"][0];
    let run = &scenario["runs"][0];
    let answers = run["answers"].as_object().unwrap();
    assert!(answers["201"].as_u64().unwrap() >= 20, "{text}");
    assert_eq!(answers.len(), 1, "{text}");
    // A card is two calls of the processor, and two operations of the store.
    assert!(
        run["latency"]["p50_ms"].as_f64().unwrap() >= 400.0,
        "{text}"
    );
    assert!(
        run["store"]["operations_per_success"].as_f64().unwrap() >= 2.0,
        "{text}"
    );
    assert!(run["cpu"]["server_ms"].as_f64().unwrap() > 0.0, "{text}");
    let memory = |when: &str| scenario["memory"][when].as_f64().unwrap();
    assert!(
        memory("idle") > 1.0 && memory("peak") >= memory("idle"),
        "{text}"
    );
    assert!(
        text.contains("waiting: closed loop, 20 clients, processor takes 200 ms"),
        "{text}"
    );
}

/// What audit costs is measured against a build that a patch makes; it has to fit the sources.
#[test]
fn the_patch_for_a_build_without_audit_fits() {
    let root = env!("CARGO_MANIFEST_DIR");
    let check = |patch: &str| {
        let mut apply = std::process::Command::new("git");
        apply.args(["apply", "--check", patch]).current_dir(root);
        apply.output().unwrap()
    };
    let fits = check("benches/unaudited.patch");
    assert!(
        fits.status.success(),
        "{}",
        String::from_utf8_lossy(&fits.stderr)
    );
    let other = tempfile::NamedTempFile::new().unwrap();
    let patch = std::fs::read_to_string(format!("{root}/benches/unaudited.patch")).unwrap();
    std::fs::write(
        other.path(),
        patch.replace("tx.note(event)", "tx.noted(event)"),
    )
    .unwrap();
    assert!(!check(other.path().to_str().unwrap()).status.success());
}
