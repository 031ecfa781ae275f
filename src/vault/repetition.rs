//! Repetitions: a card that is posted again to a session that has its token, under the key that
//! made it, because the answer may have been lost.
//!
//! Whether it is the same card only the processor can tell, from the key that it remembers: nothing
//! made from card data is kept here. So one with another card is a guess that is answered, and never
//! more than that: `src/store/repetitions.rs` has the end and the budget of both, each is an event,
//! and another card is counted by the watch as a decline is.

use super::session::Admitted;
use super::settle::PROCESSOR_KEY_LIFETIME_MS;
use super::tokenize::{Tokenized, sealed_reference};
use super::{Capture, Common, Refusal, marks};
use crate::audit::{Action, Event, Outcome};
use crate::processor::{Failure, VaultedCard};
use crate::store::{
    CardOfToken, REPETITION_AGE_MS_MAX, RepeatedCard, RepetitionCost, TokenRow, VaultedAnew,
};
use crate::token::{TokenId, TokenStatus};

// What is repeated while the processor remembers its key is vaulted once.
const _: () = assert!(REPETITION_AGE_MS_MAX <= PROCESSOR_KEY_LIFETIME_MS);

impl Capture {
    /// The token of a repetition, before the processor is asked. For one that is deleted it is not.
    ///
    /// # Errors
    /// [`Refusal::TokenDeleted`], or what the store refuses.
    pub(super) async fn token_before(
        &self,
        admitted: &Admitted,
        token: TokenId,
    ) -> Result<TokenRow, Refusal> {
        let account = &admitted.session.account;
        let token = self.common.store.token(account, token).await?;
        let token = token.ok_or(Refusal::NotFound)?;
        if matches!(token.status, TokenStatus::Deleting | TokenStatus::Deleted) {
            let event = ended(&self.common, admitted, Action::TokenRefused);
            self.end_repetition(admitted, RepetitionCost::Answer, event)
                .await?;
            return Err(Refusal::TokenDeleted);
        }
        Ok(token)
    }

    /// Answers a repetition with the session's token, where the processor has shown that the card
    /// is the one that the token was made of.
    ///
    /// # Errors
    /// [`Refusal::IdempotencyMismatch`] for another card, or what the processor or the store refuse.
    pub(super) async fn repeated(
        &self,
        admitted: &Admitted,
        token: TokenRow,
        vaulted: Result<VaultedCard, Failure>,
    ) -> Result<Tokenized, Refusal> {
        let vaulted = match vaulted {
            Ok(vaulted) => vaulted,
            Err(failure) => {
                let event = refused(&self.common, admitted, &failure);
                let cost = if tells_of_the_card(&failure) {
                    RepetitionCost::Guess
                } else {
                    RepetitionCost::Nothing
                };
                self.end_repetition(admitted, cost, event).await?;
                return Err(failure.into());
            }
        };
        let (is_of_token, next_action) = {
            let next_action = vaulted.next_action.clone();
            (
                self.is_of_token(admitted, &token, vaulted).await?,
                next_action,
            )
        };
        if !is_of_token {
            let event = ended(&self.common, admitted, Action::CardMismatched);
            self.end_repetition(admitted, RepetitionCost::Guess, event)
                .await?;
            return Err(Refusal::IdempotencyMismatch);
        }
        let subject = Some(token.id.to_string());
        let action = Action::TokenRepeated;
        let witness = &admitted.witness;
        let event = self
            .common
            .event(witness, action, Outcome::Success, subject);
        self.end_repetition(admitted, RepetitionCost::Answer, event)
            .await?;
        Ok(Tokenized {
            next_action: next_action.filter(|_| token.status == TokenStatus::RequiresAction),
            token,
            replayed: true,
        })
    }

    /// Whether the processor gave a repetition the card of the session's token. What it has vaulted
    /// anew, because it has forgotten the key, is written down to be detached.
    async fn is_of_token(
        &self,
        admitted: &Admitted,
        token: &TokenRow,
        vaulted: VaultedCard,
    ) -> Result<bool, Refusal> {
        let common = &self.common;
        let session = &admitted.session;
        let (account, customer_ref) = (&session.account, session.customer_ref.as_deref());
        let reference = vaulted.reference.payment_method();
        let card = RepeatedCard {
            token: token.id,
            account: account.clone(),
            customer_ref: session.customer_ref.clone(),
            usage: session.usage,
            reference: marks::reference(&self.marking, account, reference),
            fingerprint: marks::fingerprint(&self.marking, (account, customer_ref), &vaulted),
        };
        let found = common.store.card_of_token(card.clone()).await?;
        if found == CardOfToken::Own {
            return Ok(true);
        }
        let now = common.now();
        let id = TokenId::new(common.environment, now);
        let name = id.to_string();
        let owned_by = (customer_ref, session.usage);
        let context = sealed_reference(common.environment, account.as_str(), &name, owned_by);
        let encoded = vaulted.reference.encode();
        drop(vaulted);
        let sealed = self.sealer.seal(&context, &encoded).await;
        drop(encoded);
        let value = sealed.map_err(|failed| {
            tracing::error!(%failed, "no data key could be made");
            Refusal::Sealed
        })?;
        let anew = VaultedAnew { id, value, now };
        common.store.repetition_vaulted_anew(card, anew).await?;
        Ok(found == CardOfToken::Same)
    }

    /// Takes its cost out of the session's budget.
    ///
    /// # Errors
    /// [`Refusal::AttemptsExhausted`] where others under way at once have used the budget up.
    async fn end_repetition(
        &self,
        admitted: &Admitted,
        cost: RepetitionCost,
        event: Event,
    ) -> Result<(), Refusal> {
        let (store, session) = (&self.common.store, admitted.session.id);
        if store.repetition_ended(session, cost, event).await? {
            return Ok(());
        }
        Err(Refusal::AttemptsExhausted)
    }
}

/// Whether a failure says something about the card, so that it costs an attempt; the processor's
/// troubles are not the shopper's.
pub(super) const fn tells_of_the_card(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Declined(_) | Failure::CardInvalid(_) | Failure::IdempotencyMismatch
    )
}

/// The event of a card that the processor did not take.
pub(super) fn refused(common: &Common, admitted: &Admitted, failure: &Failure) -> Event {
    let action = if matches!(failure, Failure::IdempotencyMismatch) {
        Action::CardMismatched
    } else {
        Action::TokenRefused
    };
    ended(common, admitted, action)
}

/// The event of a card that did not become a token, or is not its session's.
pub(super) fn ended(common: &Common, admitted: &Admitted, action: Action) -> Event {
    let subject = Some(admitted.session.id.to_string());
    common.event(&admitted.witness, action, Outcome::Failed, subject)
}
