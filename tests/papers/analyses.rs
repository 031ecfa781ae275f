//! `pci-docs/targeted-risk-analyses.md`: each default that it cites is the configuration's, and each
//! analysis has all of its parts.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::config::{Config, WatchMode};
use cloakroom::watch::RuleName;

use crate::read;
use crate::tables::{Table, tables};

const FILE: &str = "pci-docs/targeted-risk-analyses.md";

/// The requirements that ask for an analysis of 12.3.1, and 3.7.4.
const ANALYSES: &[&str] = &[
    "3.7.4",
    "5.2.3.1",
    "5.3.2.1",
    "7.2.5.1",
    "8.6.3",
    "9.5.1.2.1",
    "10.4.2.1",
    "11.3.1.1",
    "11.6.1",
    "12.10.4.1",
];

/// As little as a configuration can say; everything else is a default.
const LEAST: &str = r#"
environment = "live"
node = "a"
[internal]
listen = "127.0.0.1:0"
return_url = "https://cards.example"
certificate_file = "a.pem"
private_key_file = "a.key"
client_ca_file = "ca.pem"
[store.sqlite]
path = "a.db"
[keys]
kek_public_file = "kek-public.json"
session_verify_key_file = "session-verify.key"
fingerprint_key_file = "fingerprint.key"
[accounts.default.processor.stripe]
[[audit.sinks]]
file = "checkpoints"
[[audit.sinks]]
syslog_socket = "/dev/log"
[audit]
checkpoint_key_file = "checkpoint.key"
checkpoint_vkey_file = "checkpoint.vkey"
"#;

/// The defaults, by their keys.
fn defaults() -> BTreeMap<&'static str, String> {
    let config = Config::parse(LEAST).unwrap();
    let (keys, limits) = (&config.keys, &config.limits);
    let audit = config.audit.as_ref().unwrap();
    let rules = config.watch.engine().rules;
    let hits_max = |name| {
        let rule = rules.iter().find(|rule| rule.name == name).unwrap();
        rule.hits_max.to_string()
    };
    let mode = match config.watch.mode {
        WatchMode::Enforce => "\"enforce\"",
        WatchMode::Observe => "\"observe\"",
    };
    BTreeMap::from([
        ("keys.kek_age_days_max", keys.kek_age_days_max.to_string()),
        (
            "keys.data_key_age_s_max",
            keys.data_key_age_s_max.to_string(),
        ),
        (
            "keys.data_key_seals_max",
            keys.data_key_seals_max.to_string(),
        ),
        (
            "keys.unseal_window_s_max",
            keys.unseal_window_s_max.to_string(),
        ),
        (
            "audit.checkpoint_interval_s",
            audit.checkpoint_interval_s.to_string(),
        ),
        (
            "audit.sink_outage_s_max",
            audit.sink_outage_s_max.to_string(),
        ),
        ("alerts.window_s", config.alerts.window_s.to_string()),
        ("watch.mode", mode.to_owned()),
        (
            "watch.share_interval_ms",
            config.watch.share_interval_ms.to_string(),
        ),
        (
            "watch.rules.client_opens.hits_max",
            hits_max(RuleName::ClientOpens),
        ),
        (
            "watch.rules.client_refusals.hits_max",
            hits_max(RuleName::ClientRefusals),
        ),
        (
            "limits.session_attempts_max",
            limits.session_attempts_max.to_string(),
        ),
        (
            "limits.session_lifetime_s_max",
            limits.session_lifetime_s_max.to_string(),
        ),
    ])
}

/// Whether a configuration takes this value.
fn takes(key: &str, value: u64) -> bool {
    let (section, name) = key.rsplit_once('.').unwrap();
    let line = format!("{name} = {value}\n");
    let head = format!("[{section}]\n");
    let text = if LEAST.contains(&head) {
        LEAST.replace(&head, &(head.clone() + &line))
    } else {
        format!("{LEAST}{head}{line}")
    };
    Config::parse(&text).is_ok()
}

/// What is wrong with the table of settings.
fn faults(document: &str) -> Vec<String> {
    let tables = tables(document);
    let table = tables
        .iter()
        .find(|table| table.columns[0] == "setting")
        .unwrap();
    let mut defaults = defaults();
    let mut faults = Vec::new();
    for row in &table.rows {
        let Some((key, value)) = row[0].trim_matches('`').split_once(" = ") else {
            faults.push(format!("{} is no setting", row[0]));
            continue;
        };
        match defaults.remove(key) {
            None => faults.push(format!("{key} is not known, or there twice")),
            Some(default) if default != value => {
                faults.push(format!("{key} is {default} by default, not {value}"));
            }
            Some(_) => {}
        }
        if let Some((least, most)) = row[1].split_once(" to ") {
            let (least, most): (u64, u64) = (least.parse().unwrap(), most.parse().unwrap());
            let is_range = takes(key, least)
                && takes(key, most)
                && !takes(key, least.saturating_sub(1))
                && !takes(key, most.saturating_add(1));
            if !is_range {
                faults.push(format!("{key} is not from {least} to {most}"));
            }
        }
        if !ANALYSES.contains(&row[3].as_str()) {
            faults.push(format!("{key} is of no analysis"));
        }
    }
    faults.extend(defaults.keys().map(|key| format!("{key} is left out")));
    faults
}

#[test]
fn each_default_that_is_cited_is_the_configurations_own() {
    let document = read(FILE);
    assert_eq!(faults(&document), [""; 0]);
    for (from, to, why) in [
        (
            "kek_age_days_max = 365",
            "kek_age_days_max = 366",
            "365 by default, not 366",
        ),
        (
            "mode = \"enforce\"",
            "mode = \"observe\"",
            "\"enforce\" by default",
        ),
        ("| 1 to 730 |", "| 1 to 731 |", "not from 1 to 731"),
        ("| 1 to 730 |", "| 2 to 730 |", "not from 2 to 730"),
        (
            "`alerts.window_s = ",
            "`alerts.no_such = ",
            "alerts.window_s is left out",
        ),
    ] {
        let found = faults(&document.replacen(from, to, 1));
        assert!(
            found.iter().any(|fault| fault.contains(why)),
            "{why}: {found:?}"
        );
    }
}

/// What the analyses leave out.
fn omissions(document: &str) -> Vec<String> {
    let tables = tables(document);
    let of = |heading: &str| tables.iter().find(|table| table.heading == heading);
    let column =
        |table: &Table| -> Vec<String> { table.rows.iter().map(|row| row[0].clone()).collect() };
    // The heading is the form's first part.
    let form = column(of("The form").unwrap()).split_off(1);
    let settings = &of("What the configuration decides").unwrap().rows;
    let mut omissions = Vec::new();
    let mut analysed = BTreeSet::new();
    for heading in document.lines().filter_map(|line| line.strip_prefix("## ")) {
        let Some((ids, _)) = heading.split_once(": ") else {
            continue;
        };
        let ids: Vec<&str> = ids.split(" and ").collect();
        analysed.extend(ids.iter().copied());
        // There is no such device, and no other excuse.
        let Some(table) = of(heading) else {
            if ids != ["9.5.1.2.1"] {
                omissions.push(format!("{heading} has no table"));
            }
            continue;
        };
        if column(table) != form {
            omissions.push(format!("{heading} has not the parts of the form"));
        }
        let parts = table.rows.iter().map(|row| row[1].as_str());
        let said: Vec<&str> = parts.collect();
        for setting in settings.iter().filter(|row| ids.contains(&row[3].as_str())) {
            let key = setting[0].trim_matches('`').split(' ').next().unwrap();
            if !said.iter().any(|part| part.contains(&format!("`{key}`"))) {
                omissions.push(format!("{heading} does not name {key}"));
            }
        }
    }
    let all: BTreeSet<&str> = ANALYSES.iter().copied().collect();
    omissions.extend(
        all.symmetric_difference(&analysed)
            .map(|id| format!("{id} is analysed or not")),
    );
    omissions
}

#[test]
fn every_analysis_has_every_part_of_the_form_and_names_its_settings() {
    let document = read(FILE);
    assert_eq!(omissions(&document), [""; 0]);
    for (from, to, why) in [
        (
            "| threat | a secret is read",
            "| worry | a secret is read",
            "8.6.3: secrets of programs has not",
        ),
        (
            "`audit.sink_outage_s_max`, `alerts",
            "`alerts",
            "does not name audit.sink_outage_s_max",
        ),
        (
            "## 11.3.1.1: ",
            "## 11.3.1.2: ",
            "11.3.1.1 is analysed or not",
        ),
    ] {
        assert!(document.contains(from), "{from}");
        let found = omissions(&document.replacen(from, to, 1));
        assert!(
            found.iter().any(|omission| omission.contains(why)),
            "{why}: {found:?}"
        );
    }
}
