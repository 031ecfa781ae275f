//! Idempotency: what was asked for under a key, and what it made.

use sqlx::SqliteConnection;

use super::Failure;
use super::parse::one_row;
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
pub(super) async fn is_known(
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<bool, Failure> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (
           SELECT 1
             FROM idempotency_keys
            WHERE account = $1 AND client = $2 AND key = $3 AND expires_at_ms > $4)",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(claim.now.unix_ms())
    .fetch_one(connection)
    .await?)
}

/// Looks `claim` up. A replay leaves its mark on the row: a transaction that writes nothing would
/// be acknowledged by an engine that has not yet replicated what it found.
pub(super) async fn look_up(tx: &mut SqliteConnection, claim: &Claim) -> Result<Found, Failure> {
    let seen: Option<String> = sqlx::query_scalar(
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
    .fetch_optional(&mut *tx)
    .await?;
    match seen {
        Some(resource) => Ok(Found::Seen(resource)),
        None if is_known(tx, claim).await? => Ok(Found::Mismatch),
        None => Ok(Found::Nothing),
    }
}

/// Keeps that `claim` made `resource`; an expired claim under the same key makes room.
pub(super) async fn keep(
    tx: &mut SqliteConnection,
    claim: &Claim,
    resource: &str,
) -> Result<(), Failure> {
    let written = sqlx::query(
        "INSERT INTO idempotency_keys (account, client, key, route, request_hash, resource, replays, created_at_ms, last_seen_at_ms, expires_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7, $8)
             ON CONFLICT (account, client, key) DO UPDATE
            SET route = excluded.route,
                request_hash = excluded.request_hash,
                resource = excluded.resource,
                replays = 0,
                created_at_ms = excluded.created_at_ms,
                last_seen_at_ms = excluded.last_seen_at_ms,
                expires_at_ms = excluded.expires_at_ms
          WHERE idempotency_keys.expires_at_ms <= excluded.created_at_ms",
    )
    .bind(claim.account.as_str())
    .bind(&claim.client)
    .bind(&claim.key)
    .bind(claim.route)
    .bind(claim.request_hash.as_slice())
    .bind(resource)
    .bind(claim.now.unix_ms())
    .bind(claim.expires_at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written.rows_affected(), "idempotency_keys", &claim.key)
}

/// The failure of a claim whose resource is not where it points.
pub(super) fn dangling(claim: &Claim) -> Failure {
    Failure::Inconsistent {
        table: "idempotency_keys",
        column: "resource",
        row: claim.key.clone(),
    }
}
