//! Idempotency: what was asked for under a key, and what it made.
//!
//! The key is claimed first, in one statement, and what is written under it demands the proof
//! ([`Won`]). Nothing is decided on a look that somebody else may overtake.

mod lost;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::orders::{self, Forged, Orders};
use crate::store::row::row;
use crate::store::sql::query;
use crate::token::Account;

pub use lost::first_processor_key;
pub(super) use lost::turn;

/// What a request that begins something once came to: the one answer of every such verb.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun<W, D, R> {
    /// It is written down and the caller's to do.
    New(W),
    /// An earlier try stopped on the way; it is the caller's to finish.
    Resumed(W),
    /// This same request was answered before; the object is as it is now.
    Replayed(D),
    /// This same request, or another one on the same object, is being worked on.
    InFlight,
    /// The key stands for another request.
    Mismatch,
    /// It cannot begin. Nothing is written, and the key is free.
    Refused(R),
}

/// A request that may be repeated: who sends it under which key, and what it says.
///
/// The hash is of a request without card data (session and charge requests have none); nothing
/// derived from a card is ever compared or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose request.
    pub account: Account,
    /// The certificate name of who sends it: one client's keys are not another's.
    pub client: String,
    /// The `Idempotency-Key`.
    pub key: String,
    /// What is asked for: `POST /v1/charges`.
    pub route: &'static str,
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// The present moment.
    pub now: Timestamp,
    /// From when on the key may be used anew.
    pub expires_at: Timestamp,
}

/// Proof that this transaction has won a key for a resource: what is made under the key demands it.
#[derive(Debug)]
#[must_use = "a key that was won and not used must be released"]
pub(super) struct Won(Option<Refusals>);

/// How often the processor has refused for good what was asked for under a key, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusals {
    count: u32,
    proof: Vec<u8>,
}

impl Won {
    /// Of a request that came without a key, where none is required: nothing is repeated under it.
    pub(super) const fn without_a_key() -> Self {
        Self(None)
    }

    /// The processor's key of what is made now, from the one that was made of the caller's. A
    /// processor keeps a refusal under its key for a day and would only repeat it, so after each
    /// refusal the same request asks under another one. A count without its proof is none: whoever
    /// could write one would have a request that succeeded asked again under a key that the
    /// processor does not know.
    pub(super) fn processor_key(&self, orders: &Orders, made_of_the_callers: &str) -> String {
        let believed = self.0.as_ref().filter(|refusals| {
            let order = refusals_order(orders, made_of_the_callers, refusals.count);
            orders.believes(&order, Some(&refusals.proof))
        });
        match believed {
            None => made_of_the_callers.to_owned(),
            Some(Refusals { count, .. }) => format!("{made_of_the_callers}-{count}"),
        }
    }
}

/// Behind a key under which the processor refused for good stands this, how often it has, and the
/// proof of that.
const REFUSED: &str = "refused/";

impl Refusals {
    fn parse(resource: &str) -> Option<Self> {
        let (count, proof) = resource.strip_prefix(REFUSED)?.split_once('/')?;
        Some(Self {
            count: count.parse().ok()?,
            proof: URL_SAFE_NO_PAD.decode(proof).ok()?,
        })
    }

    fn resource(&self) -> String {
        let (count, proof) = (self.count, URL_SAFE_NO_PAD.encode(&self.proof));
        format!("{REFUSED}{count}/{proof}")
    }
}

fn refusals_order(orders: &Orders, made_of_the_callers: &str, count: u32) -> Order {
    let order = orders.order(Kind::Refusals).text(made_of_the_callers);
    order.number(count.into())
}

/// The processor's key that was made of the caller's, and how often the processor had refused
/// before this one was made of it.
fn made_of(processor_key: &str) -> (&str, u32) {
    let counted = processor_key
        .rsplit_once('-')
        .and_then(|(first, count)| Some((first, count.parse().ok()?)));
    counted.unwrap_or((processor_key, 0))
}

/// What a key stands for once it was entered.
#[derive(Debug)]
pub(super) enum Entered {
    /// For the resource of the caller, who is the first.
    Won(Won),
    /// For this same request, which made the resource of that id.
    Seen(String),
    /// For another request.
    Mismatch,
}

/// What a key was found to stand for, without entering it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or something that has expired.
    Nothing,
    /// This same request, which made the resource of that id.
    Seen(String),
    /// Another request.
    Mismatch,
}

/// Whether the key stands for anything: a first look, on which nothing is decided.
pub(super) async fn is_known(connection: &mut Connection, claim: &Claim) -> Result<bool, Failure> {
    query(
        "SELECT EXISTS (
           SELECT 1
             FROM idempotency_keys
            WHERE account = $1 AND client = $2 AND key = $3 AND expires_at_ms > $4)",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(claim.now.unix_ms())
    .scalar(connection)
    .await
}

/// Looks `claim` up, to answer a repetition before anything is asked of the processor. A replay
/// leaves its mark on the row: a transaction that writes nothing would be acknowledged by an engine
/// that has not yet replicated what it found.
pub(super) async fn look_up(tx: &mut Connection, claim: &Claim) -> Result<Found, Failure> {
    let seen: Option<Held> = query(
        "UPDATE idempotency_keys
            SET replays = replays + 1, last_seen_at_ms = $4
          WHERE account = $1 AND client = $2 AND key = $3 AND expires_at_ms > $4
      RETURNING route, request_hash, resource, expires_at_ms, order_proof",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(claim.now.unix_ms())
    .optional(tx)
    .await?;
    Ok(match seen {
        None => Found::Nothing,
        Some(held) if held.resource.starts_with(REFUSED) => Found::Nothing,
        Some(held) if claim.has_made(tx, &held).await? => Found::Seen(held.resource),
        Some(_) => Found::Mismatch,
    })
}

impl Claim {
    fn order(&self, orders: &Orders, resource: &str) -> Order {
        orders
            .order(Kind::IdempotencyKey)
            .text(self.account.as_str())
            .text(&self.client)
            .text(&self.key)
            .text(self.route)
            .bytes(&self.request_hash)
            .text(resource)
    }

    fn proof(&self, orders: &Orders, resource: &str) -> Result<Vec<u8>, Failure> {
        orders.sign(&self.order(orders, resource))
    }

    /// Whether this very request is proved to have made what its key stands for. A row that was turned
    /// to something else answers nothing, and is quarantined.
    async fn has_made(&self, tx: &mut Connection, held: &Held) -> Result<bool, Failure> {
        if held.route != self.route || held.request_hash != self.request_hash {
            return Ok(false);
        }
        let order = self.order(tx.orders(), &held.resource);
        let stands = tx.orders().believes(&order, held.order_proof.as_deref());
        if !stands {
            let forged = Forged {
                table: "idempotency_keys",
                row: self.key.clone(),
            };
            orders::quarantine(tx, &forged, None).await?;
        }
        Ok(stands)
    }
}

/// Enters the key for `resource`: one statement, so that of two who come at once one is the first
/// and the other waits for its commit. A key that has expired makes room, unless what it made is
/// still open.
pub(super) async fn enter(
    tx: &mut Connection,
    claim: &Claim,
    resource: &str,
) -> Result<Entered, Failure> {
    let proof = claim.proof(tx.orders(), resource)?;
    let held: Held = query(
        "INSERT INTO idempotency_keys (account, client, key, route, request_hash, resource, replays, created_at_ms, last_seen_at_ms, expires_at_ms, order_proof)
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7, $8, $9)
             ON CONFLICT (account, client, key) DO UPDATE
            SET replays = idempotency_keys.replays + 1, last_seen_at_ms = excluded.last_seen_at_ms
      RETURNING route, request_hash, resource, expires_at_ms, order_proof",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(claim.route)
    .bind(claim.request_hash.as_slice())
    .bind(resource)
    .bind(claim.now.unix_ms())
    .bind(claim.expires_at.unix_ms())
    .bind(proof)
    .one(tx)
    .await?;
    if held.resource == resource {
        return Ok(Entered::Won(Won(None)));
    }
    if held.resource.starts_with(REFUSED) {
        take_over(tx, claim, resource).await?;
        return Ok(Entered::Won(Won(Refusals::parse(&held.resource))));
    }
    if held.expires_at_ms <= claim.now.unix_ms() && !is_open(tx, &held.resource).await? {
        take_over(tx, claim, resource).await?;
        return Ok(Entered::Won(Won(None)));
    }
    if claim.has_made(tx, &held).await? {
        return Ok(Entered::Seen(held.resource));
    }
    Ok(Entered::Mismatch)
}

row! {
    /// What a key stands for.
    struct Held {
        route: String,
        request_hash: Vec<u8>,
        resource: String,
        expires_at_ms: i64,
        order_proof: Option<Vec<u8>>,
    }
}

/// Whether what a key made is not over: such a key outlives its time.
async fn is_open(tx: &mut Connection, resource: &str) -> Result<bool, Failure> {
    query(
        "SELECT EXISTS (SELECT 1 FROM charges WHERE id = $1 AND status = 'processing')
             OR EXISTS (SELECT 1 FROM charges WHERE operation_id = $1 AND operation IS NOT NULL)
             OR EXISTS (SELECT 1 FROM refunds WHERE id = $1 AND status = 'processing')",
    )
    .bind(resource)
    .scalar(tx)
    .await
}

/// Gives a key that is free again to `resource`; its row is locked by who entered it.
async fn take_over(tx: &mut Connection, claim: &Claim, resource: &str) -> Result<(), Failure> {
    let proof = claim.proof(tx.orders(), resource)?;
    let taken = query(
        "UPDATE idempotency_keys
            SET route = $4, request_hash = $5, resource = $6, replays = 0,
                created_at_ms = $7, last_seen_at_ms = $7, expires_at_ms = $8, order_proof = $9
          WHERE account = $1 AND client = $2 AND key = $3",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(claim.route)
    .bind(claim.request_hash.as_slice())
    .bind(resource)
    .bind(claim.now.unix_ms())
    .bind(claim.expires_at.unix_ms())
    .bind(proof)
    .execute(tx)
    .await?;
    crate::store::parse::one_row(taken, "idempotency_keys", &claim.key)
}

/// Lets a key that was won stand for another resource than the one it was entered for.
pub(super) async fn stands_for(
    tx: &mut Connection,
    claim: &Claim,
    resource: &str,
) -> Result<(), Failure> {
    let proof = claim.proof(tx.orders(), resource)?;
    let written = query(
        "UPDATE idempotency_keys
            SET resource = $4, order_proof = $5
          WHERE account = $1 AND client = $2 AND key = $3",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(resource)
    .bind(proof)
    .execute(tx)
    .await?;
    crate::store::parse::one_row(written, "idempotency_keys", &claim.key)
}

/// Releases a key that was won and for which nothing was made.
pub(super) async fn release(tx: &mut Connection, won: Won, resource: &str) -> Result<(), Failure> {
    match won.0 {
        None => free(tx, resource).await,
        Some(refusals) => stands_refused(tx, resource, &refusals).await,
    }
}

/// Frees the key behind which `resource` was to be made and was given up. What the processor has
/// refused for good, now or before, it remembers under the keys that were made of the caller's: the
/// next request takes another, also where this one was not refused itself.
pub(super) async fn abandoned(
    tx: &mut Connection,
    (resource, processor_key): (&str, &str),
    refused: bool,
) -> Result<(), Failure> {
    let (first, before) = made_of(processor_key);
    let count = before.saturating_add(u32::from(refused));
    if count == 0 {
        return free(tx, resource).await;
    }
    let orders = tx.orders();
    let proof = orders.sign(&refusals_order(orders, first, count))?;
    stands_refused(tx, resource, &Refusals { count, proof }).await
}

async fn stands_refused(
    tx: &mut Connection,
    resource: &str,
    refusals: &Refusals,
) -> Result<(), Failure> {
    query("UPDATE idempotency_keys SET resource = $2 WHERE resource = $1")
        .bind(resource)
        .bind(refusals.resource())
        .execute(tx)
        .await?;
    Ok(())
}

/// Frees the key behind which `resource` was to be made: nothing was. The key itself may be gone.
async fn free(tx: &mut Connection, resource: &str) -> Result<(), Failure> {
    query("DELETE FROM idempotency_keys WHERE resource = $1")
        .bind(resource)
        .execute(tx)
        .await?;
    Ok(())
}

/// The failure of a claim whose resource is not where it points.
pub(super) fn dangling(claim: &Claim) -> Failure {
    Failure::Inconsistent {
        table: "idempotency_keys",
        column: "resource",
        row: claim.key.clone(),
    }
}

#[cfg(test)]
mod tests;
