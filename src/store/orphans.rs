//! Orphans: cards that were vaulted at the processor and became no token of their own. They are
//! written down in the transaction that decides so. The internal plane, which may open them, puts
//! those that are meant for it in the place of an earlier card of the same token, and detaches what
//! is left over.

use super::connection::Connection;
use super::deletions::is_being_charged;
use super::events::record;
use super::keys::put_data_key;
use super::orphan_orders::{Ordered, disown, find};
use super::outbox::{self, News};
use super::owed::{self, Lease, Take};
use super::parse::one_row;
use super::sealed::{self, Kept, SealedRow};
use super::sql::query;
use super::tokens::{self, TokenRow};
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::mac::Mark;
use crate::seal::{Sealed, SealedValue, WrappedDataKey};
use crate::token::{Account, Environment, TokenId, TokenStatus, Usage};

/// A card that belongs to no token of its own, with the lease of it.
#[derive(Debug, PartialEq, Eq)]
pub struct OrphanWork {
    /// The right to end it.
    pub lease: Lease,
    /// The card.
    pub orphan: OrphanRow,
}

/// A card that belongs to no token of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct OrphanRow {
    /// The token that it would have become.
    pub id: TokenId,
    /// At whose processor account.
    pub account: Account,
    /// The token that the sealed value is bound to.
    pub sealed_for: TokenId,
    /// The customer that it is bound to.
    pub customer_ref: Option<String>,
    /// The usage that it is bound to.
    pub usage: Usage,
    /// The processor's reference, sealed.
    pub sealed: Sealed,
    /// What it is sealed under, wrapped.
    pub data_key: WrappedDataKey,
    /// The token in which it is to take the place of an earlier vaulting of the same card.
    pub adopt_for: Option<TokenId>,
    /// How often it was tried.
    pub tries: u32,
}

super::parse::quiet_debug! {
    OrphanRow { id, account, tries }
}

/// What putting a card in the place of an earlier one came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// The token has it; the earlier one is to be detached.
    Yes,
    /// A charge on the token is not settled; later.
    NotYet,
    /// The token is deleted, or about to be: the card is to be detached.
    Gone,
    /// The lease is lost.
    Lost,
}

/// A card that became no token, to be written down.
pub(super) struct NewOrphan<'a> {
    pub(super) id: TokenId,
    pub(super) account: &'a Account,
    pub(super) customer_ref: Option<&'a str>,
    pub(super) usage: Usage,
    pub(super) value: &'a SealedValue,
    /// Keyed hash of the processor's name of the card.
    pub(super) reference: Mark,
    /// The token in which it takes the place of an earlier card, with its expiry.
    pub(super) adopt_for: Option<(TokenId, u8, u16)>,
    pub(super) now: Timestamp,
}

/// Writes down a card that belongs to no token of its own; not where it is the very card of
/// a token. To a question that is repeated the processor gives the same card again, and an attempt
/// that outlives its lease may find that its repetition has made the token of it.
pub(super) async fn insert(
    tx: &mut Connection,
    environment: Environment,
    orphan: NewOrphan<'_>,
) -> Result<(), Failure> {
    if is_a_tokens(tx, &orphan).await? {
        return Ok(());
    }
    put_data_key(tx, environment, &orphan.value.data_key).await?;
    let adopt_for = orphan.adopt_for;
    let order = Ordered {
        id: orphan.id,
        account: orphan.account,
        sealed_for: orphan.id,
        customer_ref: orphan.customer_ref,
        usage: orphan.usage,
        sealed: &orphan.value.sealed,
        adopt_for: adopt_for.map(|(token, _, _)| token),
    };
    let proof = tx.orders().sign(&order.order(tx.orders()))?;
    let written = query(
        "INSERT INTO orphans (id, account, sealed, data_key_id, token_id, exp_month, exp_year, tries, lease_until_ms, created_at_ms, sealed_for, reference_mac, customer_ref, usage, ordered_for, order_proof)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $8, $1, $9, $10, $11, $5, $12)",
    )
    .bind(orphan.id.to_string())
    .bind(orphan.account.as_str())
    .bind(orphan.value.sealed.as_bytes())
    .bind(orphan.value.data_key.id.to_string())
    .bind(adopt_for.map(|(token, _, _)| token.to_string()))
    .bind(adopt_for.map(|(_, month, _)| i64::from(month)))
    .bind(adopt_for.map(|(_, _, year)| i64::from(year)))
    .bind(orphan.now.unix_ms())
    .bind(orphan.reference.now.as_slice())
    .bind(orphan.customer_ref)
    .bind(orphan.usage.name())
    .bind(proof)
    .execute(tx)
    .await?;
    one_row(written, "orphans", &orphan.id)
}

async fn is_a_tokens(tx: &mut Connection, orphan: &NewOrphan<'_>) -> Result<bool, Failure> {
    query(
        "SELECT EXISTS (
           SELECT 1
             FROM tokens
            WHERE account = $1 AND reference_mac IN ($2, $3) AND status IN ('active', 'requires_action'))",
    )
    .bind(orphan.account.as_str())
    .bind(orphan.reference.now.as_slice())
    .bind(orphan.reference.also.as_slice())
    .scalar(tx)
    .await
}

impl Store {
    /// Takes an account's orphans, and writes for each the event of its opening.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_due_orphans<E>(
        &self,
        take: Take,
        mut event_of: E,
    ) -> Result<Vec<OrphanWork>, Failure>
    where
        E: FnMut(&OrphanRow) -> Event + Clone + Send + 'static,
    {
        let environment = self.environment;
        if !self.is_due(&owed::ORPHANS, &take).await? {
            return Ok(Vec::new());
        }
        self.write(move |tx| {
            Box::pin(async move {
                let mut due = Vec::new();
                for (id, lease) in owed::ORPHANS.take(tx, &take).await? {
                    let Some(orphan) = find(tx, environment, &id).await? else {
                        disown(tx, &id).await?;
                        continue;
                    };
                    if forget_if_in_use(tx, &id).await? {
                        continue;
                    }
                    record(tx, event_of(&orphan));
                    due.push(OrphanWork { lease, orphan });
                }
                Ok(due)
            })
        })
        .await
    }

    /// Puts a card, sealed anew for its token, in the place of the token's earlier one, which
    /// becomes the orphan.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn adopt_orphan(
        &self,
        work: &OrphanWork,
        (token, reference, value): (TokenId, Mark, SealedValue),
        (event, now): (Event, Timestamp),
        publish: impl Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<Adopted, Failure> {
        let environment = self.environment;
        let (id, lease) = (work.orphan.id, work.lease.token());
        let account = work.orphan.account.clone();
        let (customer_ref, usage) = (work.orphan.customer_ref.clone(), work.orphan.usage);
        self.write(move |tx| {
            Box::pin(async move {
                let before = match sealed::find(tx, environment, &account, token).await? {
                    Kept::Sealed(row) if row.status != TokenStatus::Deleting => row,
                    Kept::Sealed(_) | Kept::Erased | Kept::Nowhere => return Ok(Adopted::Gone),
                };
                if is_superseded(tx, id, token).await? {
                    return Ok(Adopted::Gone);
                }
                // A charge that is under way asks for the earlier card until it is settled.
                if is_being_charged(tx, token).await? {
                    return Ok(Adopted::NotYet);
                }
                // A card of another customer takes nobody's place.
                if before.customer_ref != customer_ref || before.usage != usage {
                    return Ok(Adopted::Gone);
                }
                if !swap(tx, (id, lease), &before, now).await? {
                    return Ok(Adopted::Lost);
                }
                put_data_key(tx, environment, &value.data_key).await?;
                let row = tokens::find(tx, environment, &account, token).await?;
                let was_detached = row.is_some_and(|row| row.detached_at.is_some());
                take_place(tx, (token, reference), &value, now).await?;
                release(tx, token).await?;
                record(tx, event);
                // Nothing else of what is shown has changed.
                if was_detached
                    && let Some(row) = tokens::find(tx, environment, &account, token).await?
                {
                    outbox::tell(tx, &publish(&row)).await?;
                }
                Ok(Adopted::Yes)
            })
        })
        .await
    }

    /// Notes that the processor has detached the card.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn orphan_detached(&self, id: TokenId, event: Event) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let gone = query("DELETE FROM orphans WHERE id = $1 AND token_id IS NULL")
                    .bind(id.to_string())
                    .execute(tx)
                    .await?;
                // Another node may have been as late as this one.
                if gone == 1 {
                    record(tx, event);
                }
                Ok(())
            })
        })
        .await
    }

    /// Puts an orphan off.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn defer_orphan(
        &self,
        lease: Lease,
        (account, id): (&Account, TokenId),
        until: Timestamp,
    ) -> Result<(), Failure> {
        let (account, token) = (account.clone(), lease.token());
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                query("UPDATE orphans SET tries = tries + 1 WHERE id = $1 AND lease_token = $2")
                    .bind(&key)
                    .bind(token)
                    .execute(&mut *tx)
                    .await?;
                owed::ORPHANS
                    .put_off(tx, (&key, account.as_str()), token, until)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

/// Forgets an orphan that is only to be detached where its card is in use: a token has it, or will
/// have it. Two attempts under one key vault one card, and each may have written it down.
async fn forget_if_in_use(tx: &mut Connection, id: &str) -> Result<bool, Failure> {
    let forgotten = query(
        "DELETE FROM orphans
          WHERE id = $1
            AND token_id IS NULL
            AND (EXISTS (SELECT 1
                           FROM tokens
                          WHERE tokens.account = orphans.account
                            AND tokens.reference_mac = orphans.reference_mac
                            AND tokens.status IN ('active', 'requires_action'))
              OR EXISTS (SELECT 1
                           FROM orphans AS other
                          WHERE other.account = orphans.account
                            AND other.reference_mac = orphans.reference_mac
                            AND other.token_id IS NOT NULL))",
    )
    .bind(id)
    .execute(tx)
    .await?;
    Ok(forgotten == 1)
}

/// Whether a card that was vaulted later is to take the same place; then this one is only detached.
async fn is_superseded(tx: &mut Connection, id: TokenId, token: TokenId) -> Result<bool, Failure> {
    let superseded = query(
        "UPDATE orphans
            SET token_id = NULL, exp_month = NULL, exp_year = NULL
          WHERE id = $1
            AND EXISTS (SELECT 1
                          FROM orphans AS later
                         WHERE later.token_id = $2 AND later.created_at_ms > orphans.created_at_ms)",
    )
    .bind(id.to_string())
    .bind(token.to_string())
    .execute(tx)
    .await?;
    Ok(superseded == 1)
}

/// Cards that were to take the place before this one did are only detached.
async fn release(tx: &mut Connection, token: TokenId) -> Result<(), Failure> {
    query(
        "UPDATE orphans
            SET token_id = NULL, exp_month = NULL, exp_year = NULL
          WHERE token_id = $1",
    )
    .bind(token.to_string())
    .execute(tx)
    .await?;
    Ok(())
}

/// The orphan's row holds the earlier card from now on, which the token still names; false where the lease is lost.
async fn swap(
    tx: &mut Connection,
    (id, lease): (TokenId, i64),
    before: &SealedRow,
    now: Timestamp,
) -> Result<bool, Failure> {
    let order = Ordered {
        id,
        account: &before.account,
        sealed_for: before.token,
        customer_ref: before.customer_ref.as_deref(),
        usage: before.usage,
        sealed: &before.sealed,
        adopt_for: None,
    };
    let proof = tx.orders().sign(&order.order(tx.orders()))?;
    let swapped = query(
        "UPDATE orphans
            SET sealed = $3, data_key_id = $4, sealed_for = $5, token_id = NULL,
                ordered_for = NULL, order_proof = $7,
                reference_mac = (SELECT tokens.reference_mac FROM tokens WHERE tokens.id = $5),
                exp_month = NULL, exp_year = NULL, tries = 0, lease_until_ms = $6, lease_token = NULL
          WHERE id = $1 AND lease_token = $2",
    )
    .bind(id.to_string())
    .bind(lease)
    .bind(before.sealed.as_bytes())
    .bind(before.data_key.id.to_string())
    .bind(before.token.to_string())
    .bind(now.unix_ms())
    .bind(proof)
    .execute(tx)
    .await?;
    Ok(swapped == 1)
}

/// The token is charged by the newest card from now on.
async fn take_place(
    tx: &mut Connection,
    (token, reference): (TokenId, Mark),
    value: &SealedValue,
    now: Timestamp,
) -> Result<(), Failure> {
    let written = query(
        "UPDATE tokens
            SET sealed = $2, data_key_id = $3, reference_mac = $4,
                version = CASE WHEN detached_at_ms IS NULL THEN version ELSE version + 1 END,
                updated_at_ms = CASE WHEN detached_at_ms IS NULL THEN updated_at_ms ELSE $5 END,
                detached_at_ms = NULL
          WHERE id = $1 AND status IN ('active', 'requires_action')",
    )
    .bind(token.to_string())
    .bind(value.sealed.as_bytes())
    .bind(value.data_key.id.to_string())
    .bind(reference.now.as_slice())
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "tokens", &token)
}
