//! Repetitions: a card that is posted again to a session that has its token, under the key that
//! made it. The answer may have been lost, so the same card is answered with the same token. Each is
//! also a guess that is answered, so there is an end and a budget to them, and each is an event.

use super::attempts::{Attempt, AttemptClaim};
use super::connection::Connection;
use super::events::record;
use super::orphans::{self, NewOrphan};
use super::sessions::SessionRow;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::SealedValue;
use crate::seal::mac::Mark;
use crate::token::{Account, SessionId, TokenId, Usage};

/// Answers that a session with a token gives to the token's own card, under the key that made it. A
/// client that hangs up does not hear them: on a slow line or a busy machine dozens are lost.
pub const REPEATED_POSTS_MAX: u32 = 64;
/// Guesses that it answers: posts on which the processor says that the card is another.
const GUESSES_MAX: u32 = 8;
/// What a guess takes out of the budget; an answer to the token's own card takes one.
const GUESS_COST: u32 = REPEATED_POSTS_MAX / GUESSES_MAX;
/// Milliseconds, from the attempt that made the token, for which it may be repeated: 23 h. The
/// processor forgets a key after 24, and would then vault the card anew.
pub const REPETITION_AGE_MS_MAX: u64 = 23 * 60 * 60 * 1_000;

/// What a repetition takes out of its session's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepetitionCost {
    /// Nothing: nobody learns anything of the card.
    Nothing,
    /// An answer to who has the token's own card, which says nothing new.
    Answer,
    /// A guess: the answer says that the card is another.
    Guess,
}

/// A card that the processor gave to a repetition.
#[derive(Clone, Debug)]
pub struct RepeatedCard {
    /// The session's token.
    pub token: TokenId,
    /// Whose.
    pub account: Account,
    /// The merchant's name for its customer.
    pub customer_ref: Option<String>,
    /// How the token will be charged.
    pub usage: Usage,
    /// Keyed hash of the processor's name of the card.
    pub reference: Mark,
    /// Keyed hash of the processor's fingerprint of the card, where it gives one.
    pub fingerprint: Option<Mark>,
}

/// What a card is to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardOfToken {
    /// The very one that the token charges.
    Own,
    /// The same number of the same customer, vaulted another time.
    Same,
    /// Nothing shows that it is the token's.
    Other,
}

/// A card that a repetition has vaulted anew, to be detached.
#[derive(Clone, Debug)]
pub struct VaultedAnew {
    /// The token that it does not become, and that its sealed value is bound to.
    pub id: TokenId,
    /// The processor's reference, sealed.
    pub value: SealedValue,
    /// Now.
    pub now: Timestamp,
}

impl Store {
    /// What a card that the processor gave to a repetition is to the session's token.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn card_of_token(&self, card: RepeatedCard) -> Result<CardOfToken, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                if is_own(connection, &card).await? {
                    return Ok(CardOfToken::Own);
                }
                Ok(if is_same(connection, &card).await? {
                    CardOfToken::Same
                } else {
                    CardOfToken::Other
                })
            })
        })
        .await
    }

    /// Writes a card down that a repetition has vaulted anew: it is detached, unless it is a token's.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn repetition_vaulted_anew(
        &self,
        card: RepeatedCard,
        anew: VaultedAnew,
    ) -> Result<(), Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let orphan = NewOrphan {
                    id: anew.id,
                    account: &card.account,
                    customer_ref: card.customer_ref.as_deref(),
                    usage: card.usage,
                    value: &anew.value,
                    reference: card.reference,
                    adopt_for: None,
                    now: anew.now,
                };
                orphans::insert(tx, environment, orphan).await
            })
        })
        .await
    }

    /// Ends a repetition; whether it may be answered. Its cost is taken out of the budget now, with
    /// its answer: what a crash kept from an answer costs nothing, and however many are under way at
    /// once, no more are answered than the budget has left.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn repetition_ended(
        &self,
        session: SessionId,
        cost: RepetitionCost,
        event: Event,
    ) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                record(tx, event);
                let cost = match cost {
                    RepetitionCost::Nothing => return Ok(true),
                    RepetitionCost::Answer => 1,
                    RepetitionCost::Guess => GUESS_COST,
                };
                let taken = query(
                    "UPDATE sessions
                        SET attempts_left = CASE WHEN attempts_left > $2 THEN attempts_left - $2 ELSE 0 END
                      WHERE id = $1 AND token_id IS NOT NULL AND attempts_left > 0",
                )
                .bind(session.to_string())
                .bind(i64::from(cost))
                .execute(&mut *tx)
                .await?;
                Ok(taken == 1)
            })
        })
        .await
    }
}

/// Whether a card that is posted to a session with a token may be compared with the token's. A key
/// that is not the token's tells nothing of the card.
pub(super) fn claim(session: &SessionRow, claim: &AttemptClaim) -> Attempt {
    // Nothing sees the session any more once it has its token, so that moment is the attempt's.
    let forgotten_at = session.last_seen_at.plus_ms(REPETITION_AGE_MS_MAX);
    if session.expires_at.min(forgotten_at) <= claim.now {
        return Attempt::Expired;
    }
    match (session.token, session.token_key.as_ref()) {
        (Some(token), Some(key)) if claim.key.as_ref() == Some(key) => {
            if session.attempts_left == 0 {
                return Attempt::Exhausted;
            }
            let key = key.clone();
            Attempt::Repeated { token, key }
        }
        _ => Attempt::Used,
    }
}

async fn is_own(connection: &mut Connection, card: &RepeatedCard) -> Result<bool, Failure> {
    query(
        "SELECT EXISTS (
           SELECT 1
             FROM tokens
            WHERE account = $1 AND id = $2 AND reference_mac IN ($3, $4))",
    )
    .bind(card.account.as_str())
    .bind(card.token.to_string())
    .bind(card.reference.now.as_slice())
    .bind(card.reference.also.as_slice())
    .scalar(connection)
    .await
}

async fn is_same(connection: &mut Connection, card: &RepeatedCard) -> Result<bool, Failure> {
    let (Some(mark), Some(customer_ref)) = (card.fingerprint, &card.customer_ref) else {
        return Ok(false);
    };
    query(
        "SELECT EXISTS (
           SELECT 1
             FROM token_cards
            WHERE account = $1 AND customer_ref = $2 AND usage = $3
              AND fingerprint_mac IN ($4, $5) AND token_id = $6)",
    )
    .bind(card.account.as_str())
    .bind(customer_ref)
    .bind(card.usage.name())
    .bind(mark.now.as_slice())
    .bind(mark.also.as_slice())
    .bind(card.token.to_string())
    .scalar(connection)
    .await
}
