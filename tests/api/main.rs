//! The real service over the wire: `cloakroom dev` as a process, its own certificates, the sandbox
//! as its processor.

#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "a test that goes wrong fails, and a table of cases is as long as it is"
)]

mod alerts;
mod apart;
mod audit_log;
mod backups;
mod billing;
mod breakout;
mod browser_reports;
mod cards;
mod charge_page;
mod charge_return;
mod cli;
mod custody;
mod data_flow;
mod deliveries;
mod doors;
mod draining;
mod drills;
mod egress;
mod engines;
mod evidence;
mod forward;
mod history;
mod hostile;
mod idempotency;
mod incident;
mod journey;
mod leases;
mod lifecycle;
mod lookups;
mod memory;
mod money;
mod monitoring;
mod nodes;
mod notices;
mod openapi;
mod operations;
mod oracle;
mod orders;
mod outages;
mod pagewatch;
mod preflight;
mod problems;
mod processor;
mod profiles;
mod reconcile;
mod refusals;
mod repetitions;
mod replication;
mod reports;
mod rights;
mod rotation;
mod same_card;
mod sealed;
mod security_codes;
mod sessions;
mod stalled_log;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod watch;
mod watch_weighed;
