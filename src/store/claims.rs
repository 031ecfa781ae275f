//! Idempotency: what was asked for under a key, and what it made.

use super::Failure;
use super::connection::Connection;
use super::parse::one_row;
use super::sql::query;
use crate::clock::Timestamp;
use crate::token::Account;

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

/// What a key stands for.
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

/// Looks `claim` up. A replay leaves its mark on the row: a transaction that writes nothing would
/// be acknowledged by an engine that has not yet replicated what it found.
pub(super) async fn look_up(tx: &mut Connection, claim: &Claim) -> Result<Found, Failure> {
    let seen: Option<String> = query(
        "UPDATE idempotency_keys
            SET replays = replays + 1, last_seen_at_ms = $6
          WHERE account = $1 AND client = $2 AND key = $3
            AND route = $4 AND request_hash = $5 AND expires_at_ms > $6
      RETURNING resource",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(claim.route)
    .bind(claim.request_hash.as_slice())
    .bind(claim.now.unix_ms())
    .scalar_if_any(&mut *tx)
    .await?;
    match seen {
        Some(resource) => Ok(Found::Seen(resource)),
        None if is_known(tx, claim).await? => Ok(Found::Mismatch),
        None => Ok(Found::Nothing),
    }
}

/// Takes the key for `resource`, or finds what it stands for: one statement, so that of two who
/// come at once one is the first. An expired claim makes room; every other leaves its mark.
pub(super) async fn take(
    tx: &mut Connection,
    claim: &Claim,
    resource: &str,
) -> Result<Found, Failure> {
    let (route, request_hash, held_by): (String, Vec<u8>, String) = query(
        "INSERT INTO idempotency_keys (account, client, key, route, request_hash, resource, replays, created_at_ms, last_seen_at_ms, expires_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7, $8)
             ON CONFLICT (account, client, key) DO UPDATE
            SET route = CASE WHEN idempotency_keys.expires_at_ms <= $7 THEN excluded.route ELSE idempotency_keys.route END,
                request_hash = CASE WHEN idempotency_keys.expires_at_ms <= $7 THEN excluded.request_hash ELSE idempotency_keys.request_hash END,
                resource = CASE WHEN idempotency_keys.expires_at_ms <= $7 THEN excluded.resource ELSE idempotency_keys.resource END,
                replays = CASE WHEN idempotency_keys.expires_at_ms <= $7 THEN 0 ELSE idempotency_keys.replays + 1 END,
                created_at_ms = CASE WHEN idempotency_keys.expires_at_ms <= $7 THEN excluded.created_at_ms ELSE idempotency_keys.created_at_ms END,
                expires_at_ms = CASE WHEN idempotency_keys.expires_at_ms <= $7 THEN excluded.expires_at_ms ELSE idempotency_keys.expires_at_ms END,
                last_seen_at_ms = excluded.last_seen_at_ms
      RETURNING route, request_hash, resource",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(claim.route)
    .bind(claim.request_hash.as_slice())
    .bind(resource)
    .bind(claim.now.unix_ms())
    .bind(claim.expires_at.unix_ms())
    .one(tx)
    .await?;
    Ok(if held_by == resource {
        Found::Nothing
    } else if route == claim.route && request_hash == claim.request_hash {
        Found::Seen(held_by)
    } else {
        Found::Mismatch
    })
}

/// Frees the key behind which `resource` was to be made: nothing was.
pub(super) async fn free(tx: &mut Connection, resource: &str) -> Result<(), Failure> {
    let freed = query("DELETE FROM idempotency_keys WHERE resource = $1")
        .bind(resource)
        .execute(tx)
        .await?;
    one_row(freed, "idempotency_keys", &resource)
}

/// The failure of a claim whose resource is not where it points.
pub(super) fn dangling(claim: &Claim) -> Failure {
    Failure::Inconsistent {
        table: "idempotency_keys",
        column: "resource",
        row: claim.key.clone(),
    }
}
