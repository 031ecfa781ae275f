//! Attempts: a session's budget of posted cards, and the one that becomes its token.

use super::connection::Connection;
use super::events::{record, record_refused};
use super::orders;
use super::orphans::{self, NewOrphan};
use super::outbox::News;
use super::parse::one_row;
use super::repetitions::{self, REPEATED_POSTS_MAX};
use super::same_card::{self, NewToken, Owner, TokenKept};
use super::sessions::{self, SessionRow};
use super::sql::query;
use super::tokens::TokenRow;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::{SessionId, TokenId};

/// A card was posted: who wants to try it, and for how long nobody else may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptClaim {
    /// The session it was posted to.
    pub session: SessionId,
    /// The `Idempotency-Key` it came with.
    pub key: Option<String>,
    /// The present moment.
    pub now: Timestamp,
    /// Till when no other attempt is let in: past it, this one is taken for dead.
    pub lease_until: Timestamp,
}

/// Whether a card may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Yes. It is this session's attempt of that number; numbers are never given twice.
    Claimed {
        /// 1 for the first.
        number: u32,
    },
    /// Another attempt is under way.
    Busy,
    /// Yes, to be compared with the card that the session's token was made of, under the same key.
    Repeated {
        /// The token.
        token: TokenId,
        /// The `Idempotency-Key` of both.
        key: String,
    },
    /// The session has its token, made under another key or none.
    Used,
    /// The session has taken as many cards as it may.
    Exhausted,
    /// The session is over.
    Expired,
    /// There is no such session.
    Unknown,
}

impl Store {
    /// Takes one attempt out of the session's budget, and the right to be the only one for a
    /// while. The repetition of the attempt that made the token is taken out of a budget of its own
    /// (`repetitions`). Whatever is answered, `event` is written.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn claim_attempt(
        &self,
        claim: AttemptClaim,
        event: Event,
    ) -> Result<Attempt, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                if let Some(number) = take(tx, &claim).await? {
                    record(tx, event);
                    return Ok(Attempt::Claimed { number });
                }
                let session = sessions::find(tx, environment, &claim.session.to_string()).await?;
                if let Some(session) = &session
                    && !session.has_its_own_token(tx.orders())
                {
                    orders::report(tx, &sessions::forged(session)).await?;
                    record_refused(tx, event);
                    return Ok(Attempt::Unknown);
                }
                let attempt = match session {
                    Some(session) if session.token.is_some() => {
                        repetitions::claim(&session, &claim)
                    }
                    session => why_not(session, claim.now),
                };
                if matches!(attempt, Attempt::Repeated { .. }) {
                    record(tx, event);
                } else {
                    record_refused(tx, event);
                }
                Ok(attempt)
            })
        })
        .await
    }

    /// Keeps the session for its attempt until `until`; false where the attempt has ended.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn renew_attempt(
        &self,
        session: SessionId,
        number: u32,
        until: Timestamp,
    ) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let renewed = query(
                    "UPDATE sessions
                        SET busy_until_ms = $3
                      WHERE id = $1 AND attempts_made = $2
                        AND busy_until_ms IS NOT NULL AND token_id IS NULL",
                )
                .bind(session.to_string())
                .bind(i64::from(number))
                .bind(until.unix_ms())
                .execute(tx)
                .await?;
                Ok(renewed == 1)
            })
        })
        .await
    }

    /// Ends an attempt that made no token: frees the session for the next one and, where it was
    /// not the shopper's fault (`counted` is false), gives the attempt back. Does not touch the
    /// lease of a later attempt.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn attempt_failed(
        &self,
        session: SessionId,
        number: u32,
        counted: bool,
        event: Event,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                query(
                    "UPDATE sessions
                        SET busy_until_ms = NULL, attempts_left = attempts_left + $3
                      WHERE id = $1 AND attempts_made = $2
                        AND busy_until_ms IS NOT NULL AND token_id IS NULL",
                )
                .bind(session.to_string())
                .bind(i64::from(number))
                .bind(i64::from(!counted))
                .execute(&mut *tx)
                .await?;
                record(tx, event);
                Ok(())
            })
        })
        .await
    }

    /// Makes the session's token, or finds the one that this card of this customer is already, and
    /// the session is used up. Where the session has its token already the card is to be forgotten.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn attempt_succeeded(
        &self,
        (session, key): (SessionId, Option<String>),
        token: NewToken,
        event: Event,
        tell: impl Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<TokenKept, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let found = sessions::find(tx, environment, &session.to_string()).await?;
                let found = found.ok_or_else(|| Failure::Inconsistent {
                    table: "sessions",
                    column: "id",
                    row: session.to_string(),
                })?;
                if found.token.is_some() {
                    let late = NewOrphan {
                        id: token.id,
                        account: &found.account,
                        customer_ref: found.customer_ref.as_deref(),
                        usage: found.usage,
                        value: &token.value,
                        reference: token.reference,
                        adopt_for: None,
                        now: token.created_at,
                    };
                    orphans::insert(tx, environment, late).await?;
                    record_refused(tx, event);
                    return Ok(TokenKept::Late);
                }
                let owner = Owner {
                    account: found.account,
                    customer_ref: found.customer_ref,
                    usage: found.usage,
                    metadata: found.metadata,
                    session: Some(session),
                };
                let kept = same_card::keep(tx, environment, (&token, &owner), event, &tell).await?;
                if let TokenKept::New(row) | TokenKept::Same(row) = &kept {
                    use_up(tx, session, row.id, key.as_deref()).await?;
                }
                Ok(kept)
            })
        })
        .await
    }
}

/// The budget and the lease, decided and taken in one statement.
async fn take(tx: &mut Connection, claim: &AttemptClaim) -> Result<Option<u32>, Failure> {
    let number: Option<i64> = query(
        "UPDATE sessions
            SET attempts_left = attempts_left - 1,
                attempts_made = attempts_made + 1,
                busy_until_ms = $2,
                last_seen_at_ms = $3
          WHERE id = $1
            AND token_id IS NULL
            AND attempts_left > 0
            AND expires_at_ms > $3
            AND (busy_until_ms IS NULL OR busy_until_ms <= $3)
      RETURNING attempts_made",
    )
    .bind(claim.session.to_string())
    .bind(claim.lease_until.unix_ms())
    .bind(claim.now.unix_ms())
    .scalar_if_any(tx)
    .await?;
    number
        .map(u32::try_from)
        .transpose()
        .map_err(|_| Failure::Inconsistent {
            table: "sessions",
            column: "attempts_made",
            row: claim.session.to_string(),
        })
}

/// Why a session without a token did not let the attempt in. Busy comes before exhausted: the
/// attempt under way may yet be given back.
fn why_not(session: Option<SessionRow>, now: Timestamp) -> Attempt {
    let Some(session) = session else {
        return Attempt::Unknown;
    };
    if session.expires_at <= now {
        return Attempt::Expired;
    }
    match session.busy_until {
        Some(until) if until > now => Attempt::Busy,
        _ => Attempt::Exhausted,
    }
}

/// The session has its token; from now on its budget is that of repetitions.
async fn use_up(
    tx: &mut Connection,
    session: SessionId,
    token: TokenId,
    key: Option<&str>,
) -> Result<(), Failure> {
    let order = sessions::token_order(tx.orders(), (session, token), key);
    let proof = tx.orders().sign(&order)?;
    let written = query(
        "UPDATE sessions
            SET token_id = $2, token_key = $3, token_proof = $4, busy_until_ms = NULL,
                attempts_left = $5
          WHERE id = $1 AND token_id IS NULL",
    )
    .bind(session.to_string())
    .bind(token.to_string())
    .bind(key)
    .bind(proof)
    .bind(i64::from(REPEATED_POSTS_MAX))
    .execute(tx)
    .await?;
    one_row(written, "sessions", &session)
}
