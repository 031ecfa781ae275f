//! What is shipped for Prometheus and Grafana: each metric it names is exposed, and each alert fires
//! when its thing goes wrong and not before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engines::Engine;
use crate::support::receiver::Receiver;
use crate::support::{App, VISA, Who, eventually};

/// Honest traffic on one process, by series: three hours of samples, one a minute, in promtool's
/// notation.
const HONEST: &[(&str, &str)] = &[
    ("cloakroom_audit_unwitnessed_seconds", "5x180"),
    ("up", "1x180"),
    (
        r#"http_server_request_duration_seconds_count{plane="internal", http_response_status_code="201"}"#,
        "0+600x180",
    ),
    (
        r#"http_server_request_duration_seconds_count{plane="internal", http_response_status_code="503"}"#,
        "0+1x180",
    ),
    (
        r#"http_server_request_duration_seconds_bucket{plane="internal", le="1"}"#,
        "0+600x180",
    ),
    (
        r#"http_server_request_duration_seconds_bucket{plane="internal", le="10"}"#,
        "0+601x180",
    ),
    (
        r#"http_server_request_duration_seconds_bucket{plane="internal", le="+Inf"}"#,
        "0+601x180",
    ),
    (
        r#"cloakroom_charges_total{outcome="succeeded"}"#,
        "0+90x180",
    ),
    (r#"cloakroom_charges_total{outcome="declined"}"#, "0+10x180"),
    (r#"cloakroom_charges_total{outcome="unreadable"}"#, "0x180"),
    (
        r#"cloakroom_tokenizations_total{outcome="created"}"#,
        "0+50x180",
    ),
    (
        r#"cloakroom_tokenizations_total{outcome="declined"}"#,
        "0+4x180",
    ),
    (
        r#"cloakroom_tokenizations_total{outcome="invalid_card"}"#,
        "0+4x180",
    ),
    (
        r#"cloakroom_open_work_overdue_seconds{table="charges"}"#,
        "0x180",
    ),
    (
        r#"cloakroom_processor_breaker_open{plane="internal"}"#,
        "0x180",
    ),
    (
        r#"cloakroom_processor_waiting_requests{plane="internal"}"#,
        "3x180",
    ),
    (
        r#"cloakroom_store_synchronous_replicas{kind="required"}"#,
        "1x180",
    ),
    (
        r#"cloakroom_store_synchronous_replicas{kind="attached"}"#,
        "1x180",
    ),
    (
        r#"cloakroom_store_synchronous_replicas{kind="awaited"}"#,
        "1x180",
    ),
    // One batch a minute fails, and others do not.
    ("cloakroom_store_failed_commits_total", "0+1x180"),
    ("cloakroom_store_commit_duration_seconds_count", "0+600x180"),
    ("cloakroom_store_primary_changes_total", "0x180"),
    (
        r#"cloakroom_store_commit_duration_seconds_bucket{le="0.25"}"#,
        "0+600x180",
    ),
    (
        r#"cloakroom_store_commit_duration_seconds_bucket{le="5"}"#,
        "0+600x180",
    ),
    (
        r#"cloakroom_store_commit_duration_seconds_bucket{le="+Inf"}"#,
        "0+600x180",
    ),
    ("cloakroom_store_queue_operations", "12x180"),
    (
        r#"cloakroom_tls_end_timestamp_seconds{plane="internal", what="certificate"}"#,
        "7776000x180",
    ),
    (
        r#"cloakroom_tls_end_timestamp_seconds{plane="internal", what="revocation_lists"}"#,
        "604800x180",
    ),
    (
        r#"cloakroom_tls_reloads_total{plane="internal", outcome="success"}"#,
        "0x60 1x120",
    ),
    (
        r#"cloakroom_tls_reloads_total{plane="internal", outcome="refused"}"#,
        "0x180",
    ),
    (r#"cloakroom_reports_total{about="incident"}"#, "0x180"),
    (
        r#"cloakroom_alerts_total{name="card_testing", severity="page"}"#,
        "0x180",
    ),
    (
        r#"cloakroom_alerts_total{name="charge_contradicted", severity="page"}"#,
        "0x180",
    ),
    (
        r#"cloakroom_alert_deliveries_total{outcome="failed"}"#,
        "0x60 1x120",
    ),
    (
        r#"cloakroom_watch_turned_away_total{how="challenged"}"#,
        "0+2x180",
    ),
    (r#"cloakroom_reports_total{about="refused"}"#, "0+1x180"),
    // Every visit of some browsers, and one browser that is full of anything.
    (
        r#"cloakroom_browser_reports_total{violated="style-src-elem"}"#,
        "0+3x180",
    ),
    (
        r#"cloakroom_browser_report_addresses_total{violated="script-src-elem"}"#,
        "0x60 1x60 2x60",
    ),
    (
        r#"cloakroom_grants_refused_total{plane="internal"}"#,
        "0+1x180",
    ),
    ("cloakroom_log_redactions_total", "0x180"),
    ("cloakroom_log_lines_lost_total", "0x180"),
    (
        r#"cloakroom_webhook_endpoint_disabled{endpoint="shop"}"#,
        "0x180",
    ),
    (
        r#"cloakroom_reconciliation_differences{kind="paid_after_end"}"#,
        "0x180",
    ),
    (
        "cloakroom_reconciliation_last_success_timestamp_seconds",
        "0x180",
    ),
    ("cloakroom_backup_places", "2x180"),
    ("cloakroom_backup_last_success_timestamp_seconds", "0x180"),
    ("cloakroom_backup_last_proof_timestamp_seconds", "0x180"),
    (
        r#"cloakroom_webhook_deliveries_total{outcome="given_up"}"#,
        "0x180",
    ),
    (
        r#"cloakroom_webhook_deliveries_total{outcome="delivered"}"#,
        "0+9x180",
    ),
    (
        r#"cloakroom_processor_notices_total{outcome="refused"}"#,
        "0x60 1x120",
    ),
];

/// What goes wrong at the hour or later: the alert that must fire, the series that changes, and how.
const WRONG: &[(&str, &str, &str)] = &[
    ("CloakroomDown", "up", "1x60 0x120"),
    (
        "CloakroomAuditUnwitnessed",
        "cloakroom_audit_unwitnessed_seconds",
        "5x60 5+60x120",
    ),
    (
        "CloakroomFaults",
        r#"http_server_request_duration_seconds_count{plane="internal", http_response_status_code="503"}"#,
        "0+1x60 60+60x120",
    ),
    (
        "CloakroomSlow",
        r#"http_server_request_duration_seconds_bucket{plane="internal", le="1"}"#,
        "0+600x60 36000+500x120",
    ),
    (
        "CloakroomChargeUnreadable",
        r#"cloakroom_charges_total{outcome="unreadable"}"#,
        "0x170 1x10",
    ),
    (
        "CloakroomDeclines",
        r#"cloakroom_charges_total{outcome="declined"}"#,
        "0+10x60 600+200x120",
    ),
    (
        "CloakroomCardTesting",
        r#"cloakroom_tokenizations_total{outcome="invalid_card"}"#,
        "0+4x60 240+200x120",
    ),
    (
        "CloakroomWorkOverdue",
        r#"cloakroom_open_work_overdue_seconds{table="charges"}"#,
        "0x60 0+60x120",
    ),
    (
        "CloakroomProcessorLeftAlone",
        r#"cloakroom_processor_breaker_open{plane="internal"}"#,
        "0x60 1x120",
    ),
    (
        "CloakroomProcessorQueue",
        r#"cloakroom_processor_waiting_requests{plane="internal"}"#,
        "3x60 80x120",
    ),
    (
        "CloakroomReplicasMissing",
        r#"cloakroom_store_synchronous_replicas{kind="attached"}"#,
        "1x60 0x120",
    ),
    (
        "CloakroomReplicasMissing",
        r#"cloakroom_store_synchronous_replicas{kind="awaited"}"#,
        "1x60 0x120",
    ),
    (
        "CloakroomStoreUnavailable",
        "cloakroom_store_commit_duration_seconds_count",
        "0+600x60 36000x120",
    ),
    (
        "CloakroomPrimaryChanged",
        "cloakroom_store_primary_changes_total",
        "0x170 1x10",
    ),
    (
        "CloakroomStoreSlow",
        r#"cloakroom_store_commit_duration_seconds_bucket{le="0.25"}"#,
        "0+600x60 36000+300x120",
    ),
    (
        "CloakroomStoreQueue",
        "cloakroom_store_queue_operations",
        "12x60 1500x120",
    ),
    (
        "CloakroomCertificateEnds",
        r#"cloakroom_tls_end_timestamp_seconds{plane="internal", what="certificate"}"#,
        "7776000x60 864000x120",
    ),
    (
        "CloakroomRevocationListEnds",
        r#"cloakroom_tls_end_timestamp_seconds{plane="internal", what="revocation_lists"}"#,
        "604800x60 70000x120",
    ),
    (
        "CloakroomTlsFilesRefused",
        r#"cloakroom_tls_reloads_total{plane="internal", outcome="refused"}"#,
        "0x170 1x10",
    ),
    (
        "CloakroomReport",
        r#"cloakroom_reports_total{about="incident"}"#,
        "0x175 1x5",
    ),
    (
        "CloakroomAlertRaised",
        r#"cloakroom_alerts_total{name="card_testing", severity="page"}"#,
        "0x175 1x5",
    ),
    (
        "CloakroomChargeContradicted",
        r#"cloakroom_alerts_total{name="charge_contradicted", severity="page"}"#,
        "0x175 1x5",
    ),
    (
        "CloakroomAlertsNotTold",
        r#"cloakroom_alert_deliveries_total{outcome="failed"}"#,
        "0x60 1x110 9x10",
    ),
    (
        "CloakroomCardsTurnedAway",
        r#"cloakroom_watch_turned_away_total{how="challenged"}"#,
        "0+2x60 120+20x120",
    ),
    (
        "CloakroomBrowserReport",
        r#"cloakroom_browser_report_addresses_total{violated="script-src-elem"}"#,
        "0x170 4x10",
    ),
    (
        "CloakroomGrantsRefused",
        r#"cloakroom_grants_refused_total{plane="internal"}"#,
        "0+1x60 60+10x120",
    ),
    (
        "CloakroomSecretInLog",
        "cloakroom_log_redactions_total",
        "0x170 1x10",
    ),
    (
        "CloakroomLogLinesLost",
        "cloakroom_log_lines_lost_total",
        "0x170 1x10",
    ),
    (
        "CloakroomReconciliationDiffers",
        r#"cloakroom_reconciliation_differences{kind="paid_after_end"}"#,
        "0x175 1x5",
    ),
    (
        "CloakroomReconciliationMissing",
        "cloakroom_reconciliation_last_success_timestamp_seconds",
        "0x60 -200000x120",
    ),
    (
        "CloakroomBackupOld",
        "cloakroom_backup_last_success_timestamp_seconds",
        "0x60 -100000x120",
    ),
    (
        "CloakroomBackupUnproved",
        "cloakroom_backup_last_proof_timestamp_seconds",
        "0x60 -700000x120",
    ),
    (
        "CloakroomEndpointDisabled",
        r#"cloakroom_webhook_endpoint_disabled{endpoint="shop"}"#,
        "0x60 1x120",
    ),
    (
        "CloakroomDeliveriesGivenUp",
        r#"cloakroom_webhook_deliveries_total{outcome="given_up"}"#,
        "0x170 1x10",
    ),
    (
        "CloakroomNoticesRefused",
        r#"cloakroom_processor_notices_total{outcome="refused"}"#,
        "0x60 1x105 20x15",
    ),
];

/// When all is still well, and when it has gone wrong for long enough.
const BEFORE: &str = "59m";
const AFTER: &str = "179m";

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

fn rules() -> String {
    fs::read_to_string(shipped("prometheus/rules.yml")).unwrap()
}

/// What stands behind a key of the rules, on one line as all of it is.
fn behind(rules: &str, key: &str) -> Vec<String> {
    let lines = rules.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix("- ").unwrap_or(line).strip_prefix(key))
        .map(|value| value.trim().trim_matches('\'').to_owned())
        .collect()
}

/// The expressions of every panel.
fn dashboard() -> Vec<String> {
    let text = fs::read_to_string(shipped("grafana/cloakroom.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// The names of metrics in expressions.
fn named(expressions: &[String]) -> BTreeSet<String> {
    let word = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    let ours = ["cloakroom_", "http_server_", "process_"];
    expressions
        .iter()
        .flat_map(|expression| expression.split(word))
        .filter(|name| ours.iter().any(|prefix| name.starts_with(prefix)))
        .map(str::to_owned)
        .collect()
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool")
        .args(arguments)
        .output()
        .expect("tests/run installs promtool");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[tokio::test]
async fn every_metric_of_the_rules_and_of_the_dashboard_is_exposed() {
    let receiver = Receiver::start().await;
    let secret = receiver.secret_file("a", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let table = receiver.table("shop", &[secret], ",allow_private_addresses=true");
    let webhooks = format!("[{table}]");
    let app = App::on_with(
        Engine::Postgres,
        &[],
        &[("CLOAKROOM__WEBHOOKS", webhooks.as_str())],
    );
    let token = app.token(VISA).await;
    let charge = app.charge(&token, "k").await;
    assert_eq!(charge.status, 201, "{}", charge.json());
    let refund = crate::support::request(
        Method::POST,
        &format!("{}/v1/refunds", app.at.internal),
        &[("idempotency-key", "r")],
        json!({ "charge": charge.json()["id"] }).to_string(),
    );
    assert_eq!(app.send(Who::Billing, refund).await.status, 201);

    let rules = rules();
    let mut expressions = behind(&rules, "expr:");
    assert!(expressions.len() > 20, "{}", expressions.len());
    expressions.extend(dashboard());
    let names = named(&expressions);
    assert!(names.len() > 25, "{names:?}");
    eventually("every metric is exposed", async || {
        let url = format!("{}/metrics", app.at.ops);
        let text = String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap();
        let exposed: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let missing: Vec<_> = names
            .iter()
            .filter(|name| !exposed.contains(name.as_str()))
            .collect();
        if !missing.is_empty() {
            eprintln!("not exposed: {missing:?}");
        }
        missing.is_empty()
    })
    .await;
}

#[test]
fn every_alert_says_what_to_do_next_and_has_its_case_here() {
    let rules = rules();
    let alerts = behind(&rules, "alert:");
    let cases: BTreeSet<&str> = WRONG.iter().map(|(alert, ..)| *alert).collect();
    let named: BTreeSet<&str> = alerts.iter().map(String::as_str).collect();
    assert_eq!(named, cases);
    for key in ["summary:", "runbook:"] {
        let told = behind(&rules, key);
        assert_eq!(told.len(), alerts.len(), "{key}");
        for sentence in told {
            assert!(sentence.len() > 30 && sentence.ends_with('.'), "{sentence}");
        }
    }
    for severity in behind(&rules, "severity:") {
        assert!(
            ["page", "ticket"].contains(&severity.as_str()),
            "{severity}"
        );
    }
}

/// The series of one case, each as of one process.
fn series(changed: Option<(&str, &str)>) -> Value {
    let mut samples: BTreeMap<&str, &str> = HONEST.iter().copied().collect();
    if let Some((name, values)) = changed {
        assert!(samples.insert(name, values).is_some(), "{name}");
    }
    let of_process = |(name, values): (&str, &str)| {
        let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
        let labels = labels.trim_end_matches('}');
        let comma = if labels.is_empty() { "" } else { ", " };
        json!({
            "series": format!("{metric}{{{labels}{comma}instance=\"pay-1\", job=\"cloakroom\"}}"),
            "values": values,
        })
    };
    samples.into_iter().map(of_process).collect()
}

/// One case: nothing fires before, and exactly that alert afterwards.
fn case(alert: Option<&str>, changed: Option<(&str, &str)>) -> Value {
    let firing = "count by (alertname) (ALERTS{alertstate=\"firing\"})";
    let alert =
        alert.map(|alert| json!({ "labels": format!("{{alertname=\"{alert}\"}}"), "value": 1 }));
    let fires: Vec<Value> = alert.into_iter().collect();
    json!({
        "interval": "1m",
        "input_series": series(changed),
        "promql_expr_test": [
            { "expr": firing, "eval_time": BEFORE, "exp_samples": [] },
            { "expr": firing, "eval_time": AFTER, "exp_samples": fires },
        ],
    })
}

#[test]
fn honest_traffic_raises_no_alert_and_each_fault_raises_exactly_its_own() {
    let rules = shipped("prometheus/rules.yml");
    promtool(&["check", "rules", rules.to_str().unwrap()]);
    let mut cases = vec![case(None, None)];
    for (alert, name, values) in WRONG {
        cases.push(case(Some(alert), Some((name, values))));
    }
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("cases.yml");
    // JSON is YAML.
    let text = json!({ "rule_files": [rules], "evaluation_interval": "1m", "tests": cases });
    fs::write(&file, text.to_string()).unwrap();
    promtool(&["test", "rules", file.to_str().unwrap()]);
}
