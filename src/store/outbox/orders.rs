//! Which events are believed: read with the proof of who published them, and taken out without one.

use super::News;
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::orders::{self, Authentic, Forged, Orders};
use crate::store::parse::Reading;
use crate::store::row::row;
use crate::store::sql::query;
use crate::token::Environment;

/// The event that the capture plane publishes under its own key; every other is the internal plane's.
const CAPTURES: &str = "token.created";

/// The order to publish it: all that is published.
pub(super) fn order(orders: &Orders, news: &News) -> Order {
    let kind = if news.kind == CAPTURES {
        Kind::TokenCreated
    } else {
        Kind::Event
    };
    orders
        .order(kind)
        .text(&news.id.to_string())
        .text(news.account.as_str())
        .text(&news.kind)
        .text(&news.data)
        .number(news.at.unix_ms())
}

row! {
    pub(super) struct Row {
        id: String,
        account: String,
        kind: String,
        data: String,
        created_at_ms: i64,
        order_proof: Option<Vec<u8>>,
    }
}

/// An event without a valid proof leaves the feed's table: what it said, cut where it is long, stands
/// in the quarantine, and those behind it get their places.
pub(super) async fn take_out(tx: &mut Connection, id: &str) -> Result<(), Failure> {
    let content: Option<String> = query(
        "SELECT SUBSTR(kind || ' ' || data, 1, 65536) FROM events WHERE id = $1 AND seq IS NULL",
    )
    .bind(id)
    .scalar_if_any(tx)
    .await?;
    orders::quarantine(tx, &forged(id), content.as_deref()).await?;
    query("DELETE FROM events WHERE id = $1 AND seq IS NULL")
        .bind(id)
        .execute(tx)
        .await?;
    Ok(())
}

/// That event, as it is reported.
pub(super) fn forged(id: &str) -> Forged {
    Forged {
        table: "events",
        row: id.to_owned(),
    }
}

impl Row {
    /// Of which event.
    pub(super) fn id(&self) -> String {
        self.id.clone()
    }

    /// What is to be published, where somebody who may has ordered it.
    pub(super) fn believed(
        mut self,
        orders: &Orders,
        environment: Environment,
    ) -> Option<Authentic<News>> {
        let proof = self.order_proof.take();
        let news = self.read(environment).ok()?;
        let ordered = orders.believes(&order(orders, &news), proof.as_deref());
        ordered.then(|| Authentic::ordered(news))
    }

    fn read(self, environment: Environment) -> Result<News, Failure> {
        let reading = Reading::new("events", &self.id, environment);
        Ok(News {
            id: reading.id("id", &self.id)?,
            account: reading.account(self.account)?,
            kind: self.kind,
            data: self.data,
            at: Timestamp::from_unix_ms(self.created_at_ms),
        })
    }
}
