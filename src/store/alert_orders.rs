//! Which alerts are believed: what the operator is told carries a proof of who raised it.
//!
//! Both planes raise alerts, so both sign under the key that both hold. That an alert is told once in
//! its window hangs on a tag of the same key: a row that somebody else puts there, as told already,
//! is met by no alert.

use super::Failure;
use super::connection::Connection;
use super::orders::{Forged, Orders, quarantine};
use super::parse::Reading;
use super::row::row;
use crate::alerts::Raised;
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::token::Environment;

/// By what an alert is told once.
pub(super) fn window(orders: &Orders, (name, subject): (&str, &str), start_ms: i64) -> Order {
    orders
        .order(Kind::AlertWindow)
        .text(name)
        .text(subject)
        .number(start_ms)
}

/// The order to tell an alert: all that is told.
pub(super) fn told(orders: &Orders, raised: &Raised) -> Order {
    orders
        .order(Kind::Alert)
        .text(&raised.id.to_string())
        .text(&raised.name)
        .text(&raised.severity)
        .text(&raised.subject)
        .text(&raised.seen)
        .text(&raised.next_step)
        .text(&raised.node)
        .number(raised.at.unix_ms())
}

/// Quarantines an alert that nobody raised, with what it said.
pub(super) async fn set_aside(tx: &mut Connection, row: &ToldRow) -> Result<(), Failure> {
    let forged = Forged {
        table: "alerts",
        row: row.id.clone(),
    };
    let content = format!("{} {}: {}", row.name, row.subject, row.seen);
    quarantine(tx, &forged, Some(&content)).await
}

row! {
    pub(super) struct ToldRow {
        id: String,
        name: String,
        severity: String,
        subject: String,
        seen: String,
        next_step: String,
        node: String,
        raised_at_ms: i64,
        order_proof: Option<Vec<u8>>,
    }
}

impl ToldRow {
    /// Of which alert.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What is to be told, where one of our processes raised it.
    pub(super) fn believed(&self, orders: &Orders, environment: Environment) -> Option<Raised> {
        let raised = self.read(environment).ok()?;
        let proof = self.order_proof.as_deref();
        orders
            .believes(&told(orders, &raised), proof)
            .then_some(raised)
    }

    fn read(&self, environment: Environment) -> Result<Raised, Failure> {
        let reading = Reading::new("alerts", &self.id, environment);
        Ok(Raised {
            id: reading.id("id", &self.id)?,
            name: self.name.clone(),
            severity: self.severity.clone(),
            subject: self.subject.clone(),
            seen: self.seen.clone(),
            next_step: self.next_step.clone(),
            node: self.node.clone(),
            at: Timestamp::from_unix_ms(self.raised_at_ms),
        })
    }
}
