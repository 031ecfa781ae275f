//! Tokenize: a card in, a ticket out.

use std::sync::Arc;

use super::idempotency::{IdempotencyKey, processor_key};
use super::session::Admitted;
use super::{Capture, CardFault, Refusal, marks, processor_of, repetition, watch};
use crate::audit::{Action, Event, Outcome};
use crate::card::{Card, Fault};
use crate::processor::{self, BillingDetails, CardOrder, NextAction, VaultedCard};
use crate::seal::Context;
use crate::store::{Attempt, AttemptClaim, NewToken, TokenKept, TokenRow};
use crate::token::{TokenId, TokenStatus, Usage};
use crate::watch::CardRange;

/// Seconds after which a caller should ask again about a request that is still running.
const RETRY_AFTER_S: u32 = 2;

// What the processor's reference can be at most is what can be sealed.
const _: () = assert!(processor::Reference::ENCODED_BYTES_MAX <= crate::seal::PAYLOAD_BYTES_MAX);

/// What a browser sends.
#[derive(Debug)]
pub struct TokenOrder {
    /// The card.
    pub card: Card,
    /// Whose it is.
    pub billing: BillingDetails,
    /// Where the issuer's page returns the shopper, when the caller has said.
    pub return_url: Option<String>,
    /// The caller's key, where it sent one.
    pub key: Option<IdempotencyKey>,
}

/// A token, for the answer.
#[derive(Debug)]
pub struct Tokenized {
    /// What the world may know of it.
    pub token: TokenRow,
    /// Where the shopper must go, when the issuer wants to see it.
    pub next_action: Option<NextAction>,
    /// Whether an earlier request made it.
    pub replayed: bool,
}

impl Capture {
    /// Turns a card into a token.
    ///
    /// # Errors
    /// A spent or expired session, a declined card, or whatever the processor or the store refuse.
    #[tracing::instrument(name = "token.create", skip_all)]
    pub async fn tokenize(
        self: &Arc<Self>,
        admitted: Admitted,
        order: TokenOrder,
    ) -> Result<Tokenized, Refusal> {
        // The browser may hang up; what the processor was asked to do is written down all the same.
        let this = Arc::clone(self);
        let work = tracing::Instrument::in_current_span(async move {
            let range = CardRange::of(&order.card.number);
            this.require_welcome_range(&admitted, &range).await?;
            let outcome = this.tokenize_to_the_end(&admitted, order).await;
            if let Some(seen) = watch::seen(&outcome) {
                this.saw_card(&admitted, seen, Some(&range));
            }
            drop(range);
            this.common.metrics.tokenized(outcome_name(&outcome));
            outcome
        });
        self.tasks
            .spawn_on(work, &self.common.runtime)
            .await
            .unwrap_or(Err(Refusal::Internal))
    }

    async fn tokenize_to_the_end(
        &self,
        admitted: &Admitted,
        order: TokenOrder,
    ) -> Result<Tokenized, Refusal> {
        let TokenOrder {
            card,
            billing,
            return_url,
            key,
        } = order;

        // 1. One short transaction takes an attempt from the session's budget, and the session for
        //    this request alone.
        let attempt = self.claim_attempt(admitted, key.as_ref()).await?;
        let _held = match &attempt {
            Claimed::New { number } => {
                let session = admitted.session.id;
                Some(self.common.hold_attempt(session, *number))
            }
            Claimed::Again { .. } => None,
        };
        let before = match &attempt {
            Claimed::New { .. } => None,
            Claimed::Again { token, .. } => Some(self.token_before(admitted, *token).await?),
        };

        // 2. The card goes to the processor, and is gone. The processor's key is made from the
        //    session and the caller's key, so that the processor itself tells a retry (same card)
        //    from a reuse of the key (another card); nothing made from card data is kept here.
        let key_text = match &attempt {
            Claimed::New { number } => match &key {
                Some(key) => key.as_str().to_owned(),
                None => format!("attempt-{number}"),
            },
            Claimed::Again { key, .. } => key.clone(),
        };
        let session = &admitted.session;
        let parts = [session.secret_mac.as_slice(), key_text.as_bytes()];
        let processor_key = processor_key(&self.session_verify_key.tag("processor card", &parts));
        let card_order = CardOrder {
            billing: &billing,
            customer: &session.processor_customer,
            usage: session.usage,
            return_url: return_url.as_deref().unwrap_or(&self.return_url),
            idempotency_key: &processor_key,
            client: &session.client,
            session: &session.id.to_string(),
        };
        let call = self.common.metrics.processor_call("vault_card");
        let vaulted = processor_of(&self.processors, &session.account)?
            .vault_card(card, &card_order)
            .await;
        call.ended(vaulted.is_ok());

        // 3. A repetition is answered from the row, now that the processor has seen the same card.
        if let Some(token) = before {
            return self.repeated(admitted, token, vaulted).await;
        }
        let number = match attempt {
            Claimed::New { number } => number,
            Claimed::Again { .. } => return Err(Refusal::Internal),
        };
        let vaulted = match vaulted {
            Ok(vaulted) => vaulted,
            Err(failure) => return Err(self.failed(admitted, number, failure).await),
        };

        // 4. The processor's reference is sealed, and one transaction writes the token, its data
        //    key, the session's end and the audit event.
        self.keep(admitted, vaulted, key.as_ref().map(|_| key_text))
            .await
    }

    /// Takes one attempt, or finds that this key has already made the session's token.
    pub(super) async fn claim_attempt(
        &self,
        admitted: &Admitted,
        key: Option<&IdempotencyKey>,
    ) -> Result<Claimed, Refusal> {
        let common = &self.common;
        let now = common.now();
        let session = admitted.session.id;
        let claim = AttemptClaim {
            session,
            key: key.map(|key| key.as_str().to_owned()),
            now,
            lease_until: now.plus_ms(common.limits.work_lease_ms),
        };
        let subject = Some(session.to_string());
        let event = common.event(
            &admitted.witness,
            Action::CardAttempted,
            Outcome::Success,
            subject,
        );
        match common.store.claim_attempt(claim, event).await? {
            Attempt::Claimed { number } => Ok(Claimed::New { number }),
            Attempt::Busy => Err(Refusal::InFlight {
                retry_after_s: RETRY_AFTER_S,
            }),
            Attempt::Repeated { token, key } => Ok(Claimed::Again { token, key }),
            Attempt::Used => Err(Refusal::Unauthenticated(
                "The capture session has made its token.",
            )),
            Attempt::Exhausted => Err(Refusal::AttemptsExhausted),
            Attempt::Expired => Err(Refusal::Unauthenticated("The capture session has expired.")),
            Attempt::Unknown => Err(Refusal::Unauthenticated(
                "There is no such capture session.",
            )),
        }
    }

    /// Gives the session back after a failure. Only what says something about the card costs an
    /// attempt; the processor's troubles are not the shopper's.
    async fn failed(
        &self,
        admitted: &Admitted,
        attempt: u32,
        failure: processor::Failure,
    ) -> Refusal {
        let counted = repetition::tells_of_the_card(&failure);
        let event = repetition::refused(&self.common, admitted, &failure);
        match self.release(admitted, attempt, counted, event).await {
            Ok(()) => failure.into(),
            Err(refusal) => refusal,
        }
    }

    /// Counts a card that cannot be one against the session's budget, so that a session is no
    /// oracle for guessing numbers.
    ///
    /// # Errors
    /// [`Refusal::InvalidCard`] always, or why the attempt could not be counted.
    pub async fn refuse_card(&self, admitted: &Admitted, faults: Vec<Fault>) -> Refusal {
        self.common.metrics.tokenized("invalid_card");
        let attempt = match self.claim_attempt(admitted, None).await {
            Ok(Claimed::New { number }) => number,
            // Without a key nothing is a repetition.
            Ok(Claimed::Again { .. }) => return Refusal::Internal,
            Err(refusal) => return refusal,
        };
        self.saw_card(
            admitted,
            watch::guessed(faults.iter().map(|fault| fault.field.pointer())),
            None,
        );
        let event = repetition::ended(&self.common, admitted, Action::TokenRefused);
        match self.release(admitted, attempt, true, event).await {
            Ok(()) => Refusal::InvalidCard(faults.into_iter().map(CardFault::from).collect()),
            Err(refusal) => refusal,
        }
    }

    pub(super) async fn release(
        &self,
        admitted: &Admitted,
        attempt: u32,
        counted: bool,
        event: Event,
    ) -> Result<(), Refusal> {
        let session = admitted.session.id;
        let store = &self.common.store;
        Ok(store
            .attempt_failed(session, attempt, counted, event)
            .await?)
    }

    async fn keep(
        &self,
        admitted: &Admitted,
        vaulted: VaultedCard,
        key: Option<String>,
    ) -> Result<Tokenized, Refusal> {
        let common = &self.common;
        let session = &admitted.session;
        let now = common.now();
        let id = TokenId::new(common.environment, now);
        let owner = (&session.account, session.customer_ref.as_deref());
        let fingerprint = marks::fingerprint(&self.marking, owner, &vaulted);
        let VaultedCard {
            reference,
            summary,
            next_action,
            ..
        } = vaulted;
        let mark = marks::reference(&self.marking, &session.account, reference.payment_method());
        let name = id.to_string();
        let owned_by = (session.customer_ref.as_deref(), session.usage);
        let account = session.account.as_str();
        let context = sealed_reference(common.environment, account, &name, owned_by);
        let value = self
            .sealer
            .seal(&context, &reference.encode())
            .await
            .map_err(|failed| {
                tracing::error!(%failed, "no data key could be made");
                Refusal::Sealed
            })?;
        drop(reference);

        let status = match next_action {
            Some(_) => TokenStatus::RequiresAction,
            None => TokenStatus::Active,
        };
        let token = NewToken {
            id,
            status,
            card: summary,
            value,
            reference: mark,
            fingerprint,
            created_at: now,
        };
        let subject = Some(id.to_string());
        let event = common.event(
            &admitted.witness,
            Action::TokenCreated,
            Outcome::Success,
            subject,
        );
        let tell = common.token_news("created");
        let of_session = (session.id, key);
        match common
            .store
            .attempt_succeeded(of_session, token, event, tell)
            .await?
        {
            TokenKept::New(token) => Ok(Tokenized {
                token,
                next_action,
                replayed: false,
            }),
            // The customer has this card already; what was vaulted now will be forgotten.
            TokenKept::Same(token) => Ok(Tokenized {
                token,
                next_action: None,
                replayed: false,
            }),
            // Another request outlived this one's lease and made the session's token.
            TokenKept::Late => Err(Refusal::InFlight {
                retry_after_s: RETRY_AFTER_S,
            }),
        }
    }
}

/// Where in the store a token's processor reference is sealed, and whose it is.
pub(crate) const fn sealed_reference<'a>(
    environment: crate::token::Environment,
    account: &'a str,
    row: &'a str,
    (customer_ref, usage): (Option<&'a str>, Usage),
) -> Context<'a> {
    Context {
        environment,
        account,
        table: "tokens",
        row,
        column: "sealed",
        customer_ref,
        usage: usage.name(),
    }
}

pub(super) enum Claimed {
    New { number: u32 },
    Again { token: TokenId, key: String },
}

/// The outcome as a metric's label.
const fn outcome_name(outcome: &Result<Tokenized, Refusal>) -> &'static str {
    match outcome {
        Ok(Tokenized { replayed: true, .. }) => "replayed",
        Ok(Tokenized {
            next_action: Some(_),
            ..
        }) => "requires_action",
        Ok(_) => "created",
        Err(Refusal::Declined { .. }) => "declined",
        Err(Refusal::InvalidCard(_)) => "invalid_card",
        Err(
            Refusal::Unauthenticated(_)
            | Refusal::NotGranted(_)
            | Refusal::AttemptsExhausted
            | Refusal::VerificationRequired,
        ) => "session_refused",
        Err(Refusal::InFlight { .. } | Refusal::IdempotencyMismatch) => "conflict",
        Err(
            Refusal::NotFound
            | Refusal::Unreadable
            | Refusal::Invalid(_)
            | Refusal::Impossible(_)
            | Refusal::TooMuch(_)
            | Refusal::TokenDeleted
            | Refusal::RateLimited { .. }
            | Refusal::ProcessorUnavailable
            | Refusal::StoreUnavailable
            | Refusal::Sealed
            | Refusal::KeyProvider
            | Refusal::Internal,
        ) => "failed",
    }
}
