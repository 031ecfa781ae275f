//! What a process orders and believes rows with, out of the configuration, and how it tells of a row
//! that nobody has ordered.

use std::sync::Arc;

use super::Refused;
use super::assembly::{mac_key, required};
use super::keys::marking;
use crate::alerts::{Alert, AlertName};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::seal::mac::MacKeys;
use crate::seal::order::OrderKeys;
use crate::store::{Forged, ForgeryReport, NewAlert, Orders};
use crate::telemetry::Metrics;
use crate::token::{AlertId, EventId};

/// The keys of the process's planes: the order key where it is an internal one.
pub(super) fn of(config: &Config, clock: &Clock, metrics: &Metrics) -> Result<Orders, Refused> {
    let files = &config.keys;
    let internal = if config.internal.is_some() {
        let now = required(files.order_key_file.as_ref(), "keys.order_key_file")?;
        let before = files.previous_order_key_file.as_ref();
        let before = before.map(|file| mac_key(&file.relative())).transpose()?;
        Some(MacKeys::new(mac_key(&now)?, before))
    } else {
        None
    };
    let keys = OrderKeys::new(internal, marking(config)?);
    Ok(Orders::new(
        config.environment,
        keys,
        report(config, clock, metrics),
    ))
}

fn report(config: &Config, clock: &Clock, metrics: &Metrics) -> ForgeryReport {
    let (clock, metrics) = (clock.clone(), metrics.clone());
    let (environment, node) = (config.environment, config.node.clone());
    let window_ms = u64::from(config.alerts.window_s).saturating_mul(1_000);
    Arc::new(move |forged: &Forged| {
        let at = clock.now();
        let Forged { table, row } = forged;
        let name = AlertName::RowQuarantined;
        metrics.alert_raised(name);
        let next_step = name.next_step();
        tracing::error!(
            alert = name.name(),
            table,
            row,
            next_step,
            "a row without a valid proof is quarantined"
        );
        let event = Event {
            id: EventId::new(environment, at),
            at,
            actor: Actor::Process,
            action: Action::RowQuarantined,
            outcome: Outcome::Refused,
            account: None,
            subject: Some(format!("{table}/{row}")),
            origin: "-".to_owned(),
            node: node.clone(),
            request_id: None,
        };
        let seen = format!("The row {row} carries no valid proof of who ordered it.");
        let alert = NewAlert {
            id: AlertId::new(environment, at),
            // One alert for each table: who writes a thousand rows pages once.
            alert: Alert::new(name, table, &seen),
            node: node.clone(),
            window_ms,
            at,
        };
        (event, alert)
    })
}
