//! Alerts: raised once for each name and subject in a window, routed to who is told, and delivered.

use super::alert_orders::{self, ToldRow};
use super::connection::Connection;
use super::owed::{self, Lease, Take};
use super::parse::one_row;
use super::sql::query;
use super::{Failure, Store};
use crate::alerts::{Alert, Raised};
use crate::clock::Timestamp;
use crate::token::AlertId;

/// An alert to be raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAlert {
    /// Its id, where it is the first of its window.
    pub id: AlertId,
    /// What it is.
    pub alert: Alert,
    /// Which process saw it.
    pub node: String,
    /// Milliseconds in which it is told once; windows are the same on every node.
    pub window_ms: u64,
    /// Now.
    pub at: Timestamp,
}

/// An alert that somebody is to be told, with the lease of the delivery.
#[derive(Debug, PartialEq, Eq)]
pub struct DueAlert {
    /// The right to end it.
    pub lease: Lease,
    /// The alert.
    pub raised: Raised,
    /// How often it was tried before.
    pub attempts: u32,
}

/// How a try to tell somebody ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertTold {
    /// Which alert.
    pub alert: AlertId,
    /// Whom.
    pub destination: String,
    /// A status code or a reason: a short name.
    pub answer: String,
    /// Whether it was taken.
    pub taken: bool,
    /// When to try again; nothing when there is no more trying.
    pub next: Option<Timestamp>,
    /// Now.
    pub at: Timestamp,
}

impl Store {
    /// Raises an alert; false where it was raised in this window already, and is counted there.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn raise(&self, alert: NewAlert) -> Result<bool, Failure> {
        self.write(move |tx| Box::pin(async move { raise(tx, &alert).await }))
            .await
    }

    /// Owes alerts that nobody has been told of to every destination.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn route_alerts(
        &self,
        destinations: Vec<String>,
        limit: u32,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let environment = self.environment;
        let any = self
            .read(|connection| Box::pin(any_unrouted(connection)))
            .await?;
        if !any {
            return Ok(());
        }
        self.write(move |tx| {
            Box::pin(async move {
                // Of two nodes one gets the row: the other finds it routed.
                let routed: Vec<ToldRow> = query(
                    "UPDATE alerts
                        SET routed_at_ms = $1
                      WHERE id IN (SELECT id FROM alerts WHERE routed_at_ms IS NULL ORDER BY id LIMIT $2)
                        AND routed_at_ms IS NULL
                  RETURNING id, name, severity, subject, seen, next_step, node, raised_at_ms, order_proof",
                )
                .bind(now.unix_ms())
                .bind(limit)
                .all(tx)
                .await?;
                for row in routed {
                    if row.believed(tx.orders(), environment).is_none() {
                        alert_orders::set_aside(tx, &row).await?;
                        continue;
                    }
                    for destination in &destinations {
                        owe(tx, row.id(), destination, now).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// Takes alerts that are due at a destination, for whoever will tell them.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn lease_alerts(&self, take: Take) -> Result<Vec<DueAlert>, Failure> {
        let environment = self.environment;
        if !self.is_due(&owed::ALERT_DELIVERIES, &take).await? {
            return Ok(Vec::new());
        }
        self.write(move |tx| {
            Box::pin(async move {
                let mut due = Vec::new();
                for (id, lease) in owed::ALERT_DELIVERIES.take(tx, &take).await? {
                    let attempts: i64 = query(
                        "SELECT attempts FROM alert_deliveries WHERE alert_id = $1 AND destination = $2",
                    )
                    .bind(&id)
                    .bind(&take.scope)
                    .scalar(tx)
                    .await?;
                    let row: ToldRow = query(
                        "SELECT id, name, severity, subject, seen, next_step, node, raised_at_ms, order_proof
                           FROM alerts
                          WHERE id = $1",
                    )
                    .bind(&id)
                    .one(tx)
                    .await?;
                    let Some(raised) = row.believed(tx.orders(), environment) else {
                        give_up(tx, &id, &take.scope, take.now).await?;
                        alert_orders::set_aside(tx, &row).await?;
                        continue;
                    };
                    due.push(DueAlert {
                        lease,
                        // Of a row that claims more than there can be, no more is believed.
                        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                        raised,
                    });
                }
                Ok(due)
            })
        })
        .await
    }

    /// Writes down how a try to tell somebody ended.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn alert_told(&self, lease: Lease, told: AlertTold) -> Result<(), Failure> {
        let token = lease.token();
        self.write(move |tx| {
            Box::pin(async move {
                let next = told.next.filter(|_| !told.taken);
                let status = match (told.taken, next) {
                    (true, _) => "delivered",
                    (false, Some(_)) => "due",
                    (false, None) => "given_up",
                };
                let written = query(
                    "UPDATE alert_deliveries
                        SET status = $3,
                            attempts = attempts + 1,
                            answer = $4,
                            lease_until_ms = $5,
                            lease_token = NULL,
                            updated_at_ms = $6
                      WHERE alert_id = $1 AND destination = $2 AND lease_token = $7",
                )
                .bind(told.alert.to_string())
                .bind(&told.destination)
                .bind(status)
                .bind(&told.answer)
                .bind(next.map(Timestamp::unix_ms))
                .bind(told.at.unix_ms())
                .bind(token)
                .execute(tx)
                .await?;
                if written == 0 {
                    tracing::info!(alert = %told.alert, "another node has the delivery");
                }
                Ok(())
            })
        })
        .await
    }
}

/// Raises `alert` in a transaction that others may share.
pub(super) async fn raise(tx: &mut Connection, alert: &NewAlert) -> Result<bool, Failure> {
    let at = alert.at.unix_ms();
    let window = i64::try_from(alert.window_ms.max(1)).unwrap_or(i64::MAX);
    let start = at.saturating_sub(at.checked_rem_euclid(window).unwrap_or(0));
    let raised = Raised {
        id: alert.id,
        name: alert.alert.name.name().to_owned(),
        severity: alert.alert.name.severity().name().to_owned(),
        subject: alert.alert.subject.clone(),
        seen: alert.alert.seen.clone(),
        next_step: alert.alert.name.next_step().to_owned(),
        node: alert.node.clone(),
        at: alert.at,
    };
    let orders = tx.orders();
    let proof = orders.sign(&alert_orders::told(orders, &raised))?;
    let about = (raised.name.as_str(), raised.subject.as_str());
    let once = orders.sign(&alert_orders::window(orders, about, start))?;
    let times: i64 = query(
        "INSERT INTO alerts (id, name, severity, subject, seen, next_step, node, window_start_ms, times, raised_at_ms, last_at_ms, order_proof, window_mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9, $10, $11)
             ON CONFLICT (window_mac) DO UPDATE
            SET times = alerts.times + 1, last_at_ms = excluded.last_at_ms
      RETURNING times",
    )
    .bind(raised.id.to_string())
    .bind(raised.name)
    .bind(raised.severity)
    .bind(raised.subject)
    .bind(raised.seen)
    .bind(raised.next_step)
    .bind(raised.node)
    .bind(start)
    .bind(at)
    .bind(proof)
    .bind(once)
    .scalar(tx)
    .await?;
    Ok(times == 1)
}

/// Ends a delivery of what nobody raised.
async fn give_up(
    tx: &mut Connection,
    alert: &str,
    destination: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let written = query(
        "UPDATE alert_deliveries
            SET status = 'given_up', answer = 'no valid proof', lease_until_ms = NULL, lease_token = NULL, updated_at_ms = $3
          WHERE alert_id = $1 AND destination = $2",
    )
    .bind(alert)
    .bind(destination)
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "alert_deliveries", &alert)
}

async fn owe(
    tx: &mut Connection,
    alert: &str,
    destination: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO alert_deliveries (alert_id, destination, status, attempts, lease_until_ms, updated_at_ms)
         VALUES ($1, $2, 'due', 0, $3, $3)",
    )
    .bind(alert)
    .bind(destination)
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "alert_deliveries", &alert)
}

async fn any_unrouted(connection: &mut Connection) -> Result<bool, Failure> {
    query("SELECT EXISTS (SELECT 1 FROM alerts WHERE routed_at_ms IS NULL)")
        .scalar(connection)
        .await
}
