//! Orders: a row is a claim, and nothing is done or said on it before its proof is checked.
//!
//! [`Authentic`] is a row whose proof held; the vault asks the processor and signs webhooks with
//! nothing else. A row that fails is quarantined in the same transaction: it is written down, an
//! audit event and an alert say so, and it is never taken up again by itself. What the proofs bind,
//! and why, is in `pci-docs/decisions.md`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::alerts::{self, NewAlert};
use super::charges::ChargeRow;
use super::connection::Connection;
use super::events::record;
use super::owed::Work;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::{Event, Writer};
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order, OrderKeys};
use crate::token::Environment;

/// Until when a quarantined row's work is put off: the year 9999.
pub(super) const FOREVER: Timestamp = Timestamp::from_unix_ms(253_402_300_799_000);

/// A row that an entitled process has ordered, as it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Authentic<T>(T);

impl<T> Authentic<T> {
    /// What this very transaction orders.
    pub(super) const fn ordered(row: T) -> Self {
        Self(row)
    }

    /// The row alone, which is only a claim again.
    #[must_use]
    pub fn into_claim(self) -> T {
        self.0
    }
}

impl Authentic<ChargeRow> {
    /// With how the processor is asked, which is noted after the order, and which no proof binds.
    #[must_use]
    pub fn with_setup(mut self, pending: bool) -> Self {
        self.0.setup_pending = Some(pending);
        self
    }
}

impl<T> Deref for Authentic<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A row whose proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forged {
    /// The table that it stands in.
    pub table: &'static str,
    /// Its id.
    pub row: String,
}

/// Makes the audit event and the alert of a quarantined row.
pub type ForgeryReport = Arc<dyn Fn(&Forged) -> (Event, NewAlert) + Send + Sync>;

/// What a process orders and believes with, and how it reports what it does not believe.
#[derive(Clone)]
pub struct Orders {
    environment: Environment,
    keys: Arc<OrderKeys>,
    report: Option<ForgeryReport>,
}

impl Orders {
    /// Those of a process that holds keys.
    #[must_use]
    pub fn new(environment: Environment, keys: OrderKeys, report: ForgeryReport) -> Self {
        Self {
            environment,
            keys: Arc::new(keys),
            report: Some(report),
        }
    }

    /// As what kind of process the audit events of this one are written.
    pub(super) fn writer(&self) -> Writer {
        if self.keys.are_internals() {
            Writer::Internal
        } else if self.keys.are_captures() {
            Writer::Capture
        } else {
            Writer::Unproven
        }
    }

    /// An order of that kind, without a field yet.
    pub(super) fn order(&self, kind: Kind) -> Order {
        Order::new(kind, self.environment)
    }

    /// Whether `proof` shows that somebody who may has ordered it.
    pub(super) fn believes(&self, order: &Order, proof: Option<&[u8]>) -> bool {
        self.keys.believes(order, proof)
    }

    /// Whether this process keeps the quarantine: it holds the internal plane's key.
    pub(super) fn keeps_quarantine(&self) -> bool {
        self.keys.are_internals()
    }

    /// The proof of an order of this process.
    pub(super) fn sign(&self, order: &Order) -> Result<Vec<u8>, Failure> {
        let proof = self.keys.sign(order);
        proof.ok_or_else(|| Failure::Illegal(format!("{order:?} is not this process's").into()))
    }
}

/// Those of a process that holds no keys: it orders nothing, and believes nothing.
impl Default for Orders {
    fn default() -> Self {
        Self {
            environment: Environment::Test,
            keys: Arc::default(),
            report: None,
        }
    }
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orders")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Quarantines a row that its reader does not believe.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn quarantine(&self, forged: Forged) -> Result<(), Failure> {
        self.write(move |tx| Box::pin(async move { quarantine(tx, &forged, None).await }))
            .await
    }

    /// Tells of a row that its reader does not believe, where the plane keeps no quarantine.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn report_forged(&self, forged: Forged) -> Result<(), Failure> {
        self.write(move |tx| Box::pin(async move { report(tx, &forged).await.map(drop) }))
            .await
    }
}

/// Tells of a row that is not believed: an audit event, and a page. Answers when.
pub(super) async fn report(tx: &mut Connection, forged: &Forged) -> Result<Timestamp, Failure> {
    let Some(report) = tx.orders().report.clone() else {
        return Err(Failure::Illegal("a row without a proof".into()));
    };
    let (event, alert) = report(forged);
    record(tx, event);
    alerts::raise(tx, &alert).await?;
    Ok(alert.at)
}

/// Writes down that a row was not believed, and tells of it.
pub(super) async fn quarantine(
    tx: &mut Connection,
    forged: &Forged,
    content: Option<&str>,
) -> Result<(), Failure> {
    let at = report(tx, forged).await?;
    query(
        "INSERT INTO quarantine (table_name, row_id, content, times, first_seen_at_ms, last_seen_at_ms)
         VALUES ($1, $2, $3, 1, $4, $4)
             ON CONFLICT (table_name, row_id) DO UPDATE
            SET times = quarantine.times + 1, last_seen_at_ms = excluded.last_seen_at_ms",
    )
    .bind(forged.table)
    .bind(&forged.row)
    .bind(content)
    .bind(at.unix_ms())
    .execute(tx)
    .await?;
    Ok(())
}

/// Quarantines a row whose work is leased under `token`: nobody is given it again.
pub(super) async fn set_aside(
    tx: &mut Connection,
    (key, (work, scope, token)): (&str, (&'static Work, &str, i64)),
    forged: &Forged,
) -> Result<(), Failure> {
    work.put_off(tx, (key, scope), token, FOREVER).await?;
    quarantine(tx, forged, None).await
}
