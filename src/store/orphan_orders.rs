//! Which orphans are believed: read with the proof of who ordered them, and set aside without one.

use super::Failure;
use super::connection::Connection;
use super::keys::DataKeyRow;
use super::orders::{self, Forged, Orders};
use super::orphans::OrphanRow;
use super::parse::Reading;
use super::row::row;
use super::sql::query;
use crate::seal::Sealed;
use crate::seal::order::{Kind, Order};
use crate::token::{Account, Environment, TokenId, Usage};

/// What an orphan's proof binds: the card, and the token whose place it may take. Whoever may not
/// take a place any more is only detached, which is bound as well.
pub(super) struct Ordered<'a> {
    pub(super) id: TokenId,
    pub(super) account: &'a Account,
    pub(super) sealed_for: TokenId,
    pub(super) customer_ref: Option<&'a str>,
    pub(super) usage: Usage,
    pub(super) sealed: &'a Sealed,
    pub(super) adopt_for: Option<TokenId>,
}

impl Ordered<'_> {
    /// The order that is signed and checked.
    pub(super) fn order(&self, orders: &Orders) -> Order {
        orders
            .order(Kind::Orphan)
            .text(&self.id.to_string())
            .text(self.account.as_str())
            .text(&self.sealed_for.to_string())
            .text_if_any(self.customer_ref)
            .text(self.usage.name())
            .bytes(self.sealed.as_bytes())
            .text_if_any(self.adopt_for.map(|token| token.to_string()).as_deref())
    }
}

/// Takes cards that nobody put there from the place of a token's card.
pub(super) async fn drop_forged(
    tx: &mut Connection,
    environment: Environment,
    token: TokenId,
) -> Result<(), Failure> {
    let waiting: Vec<(String,)> = query("SELECT id FROM orphans WHERE token_id = $1")
        .bind(token.to_string())
        .all(tx)
        .await?;
    for (id,) in waiting {
        if find(tx, environment, &id).await?.is_none() {
            disown(tx, &id).await?;
        }
    }
    Ok(())
}

/// Quarantines an orphan: it takes nobody's place, and is not detached.
pub(super) async fn disown(tx: &mut Connection, id: &str) -> Result<(), Failure> {
    query(
        "UPDATE orphans
            SET token_id = NULL, exp_month = NULL, exp_year = NULL,
                lease_until_ms = $2, lease_token = NULL
          WHERE id = $1",
    )
    .bind(id)
    .bind(orders::FOREVER.unix_ms())
    .execute(&mut *tx)
    .await?;
    let forged = Forged {
        table: "orphans",
        row: id.to_owned(),
    };
    orders::quarantine(tx, &forged, None).await
}

/// The orphan, where somebody who may has ordered it.
pub(super) async fn find(
    tx: &mut Connection,
    environment: Environment,
    id: &str,
) -> Result<Option<OrphanRow>, Failure> {
    let row: Option<Row> = query(
        "SELECT orphans.id, orphans.account, orphans.sealed, orphans.sealed_for, orphans.token_id, orphans.tries, orphans.customer_ref, orphans.usage, orphans.ordered_for, orphans.order_proof, data_keys.id AS key_id, data_keys.kek AS key_kek, data_keys.wrapped AS key_wrapped, data_keys.created_at_ms AS key_created_at_ms
           FROM orphans
           JOIN data_keys ON data_keys.id = orphans.data_key_id
          WHERE orphans.id = $1",
    )
    .bind(id)
    .optional(tx)
    .await?;
    // Without its data key it is nothing that could be detached.
    let Some(row) = row else {
        return Ok(None);
    };
    let (ordered_for, proof) = (row.ordered_for.clone(), row.order_proof.clone());
    let reading = Reading::new("orphans", id, environment);
    let ordered_for = reading.id_if_any("ordered_for", ordered_for.as_deref());
    // What means nothing was ordered by nobody; it must not stop those beside it.
    let (Ok(orphan), Ok(ordered_for)) = (row.read(environment), ordered_for) else {
        return Ok(None);
    };
    let order = Ordered {
        id: orphan.id,
        account: &orphan.account,
        sealed_for: orphan.sealed_for,
        customer_ref: orphan.customer_ref.as_deref(),
        usage: orphan.usage,
        sealed: &orphan.sealed,
        adopt_for: ordered_for,
    };
    let as_ordered = orphan.adopt_for.is_none() || orphan.adopt_for == ordered_for;
    let orders = tx.orders();
    let believed = as_ordered && orders.believes(&order.order(orders), proof.as_deref());
    Ok(believed.then_some(orphan))
}

row! {
    struct Row {
        id: String,
        account: String,
        sealed: Vec<u8>,
        sealed_for: Option<String>,
        token_id: Option<String>,
        tries: i64,
        customer_ref: Option<String>,
        usage: Option<String>,
        ordered_for: Option<String>,
        order_proof: Option<Vec<u8>>,
        data_key: DataKeyRow,
    }
}

impl Row {
    fn read(self, environment: Environment) -> Result<OrphanRow, Failure> {
        let reading = Reading::new("orphans", &self.id, environment);
        let sealed_for = reading.found("sealed_for", self.sealed_for)?;
        Ok(OrphanRow {
            id: reading.id("id", &self.id)?,
            account: reading.account(self.account)?,
            sealed_for: reading.id("sealed_for", &sealed_for)?,
            customer_ref: self.customer_ref,
            usage: reading.found("usage", self.usage.as_deref().and_then(Usage::from_name))?,
            sealed: Sealed::from_bytes(self.sealed),
            data_key: self.data_key.read(environment)?,
            adopt_for: reading.id_if_any("token_id", self.token_id.as_deref())?,
            tries: reading.number("tries", self.tries)?,
        })
    }
}
