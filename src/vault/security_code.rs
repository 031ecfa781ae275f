//! The security code of a saved card, given again: for whoever charges with the shopper there and
//! whose processor wants it.
//!
//! A session that was made for a token takes codes and no card. The capture plane gives a code to the
//! processor, which answers with a token of its own that is good once, and hands that to the internal
//! plane sealed, by way of the browser and the shop: the code stands in no row, and neither does what
//! became of it until it is charged with.

use std::sync::Arc;

use super::grant::{ChargesCreate, Granted, SessionsCreate};
use super::idempotency::{IdempotencyKey, processor_key};
use super::session::Admitted;
use super::tokenize::Claimed;
use super::{Capture, CardFault, Internal, Refusal, processor_of, repetition, watch};
use crate::audit::{Action, Outcome};
use crate::card::{Brand, Cvc, Reason};
use crate::clock::Timestamp;
use crate::processor::{self, RequestFault};
use crate::seal::handover::{self, HANDOVER_CHARS, Purpose};
use crate::store::{ChargeRow, CodeFault, NewSecurityCode, SessionRow, TokenRow};
use crate::token::{Account, Environment, TokenId, TokenStatus};

/// Seconds within which a charge is begun with a code that was given.
const SECURITY_CODE_LIFETIME_S_MAX: u32 = 15 * 60;

/// Where a shopper's browser says it.
const CVC_POINTER: &str = "/cvc";
/// Where billing names it.
const CODE_POINTER: &str = "/security_code";

/// Characters of the name of a code, with the environment's and its own prefix.
pub const SECURITY_CODE_ID_CHARS_MAX: usize = 500;

const _: () = assert!(HANDOVER_CHARS + "test_cvc_".len() <= SECURITY_CODE_ID_CHARS_MAX);

/// What a browser sends.
#[derive(Debug)]
pub struct CodeOrder {
    /// The code.
    pub code: Cvc,
    /// The caller's key, where it sent one.
    pub key: Option<IdempotencyKey>,
}

/// A code that was taken, for the answer.
pub struct TakenCode {
    /// By what billing names it: whoever reads it learns nothing.
    pub id: String,
    /// The saved token whose card it is of.
    pub token: TokenId,
    /// From when on no charge is begun with it.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for TakenCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TakenCode")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

const fn prefix(environment: Environment) -> &'static str {
    match environment {
        Environment::Test => "test_cvc_",
        Environment::Live => "cvc_",
    }
}

const fn refused(reason: &'static str) -> Refusal {
    let pointer = CODE_POINTER;
    Refusal::Invalid(RequestFault { pointer, reason })
}

impl Admitted {
    /// That it is the right to hand in a card.
    ///
    /// # Errors
    /// [`Refusal::NotGranted`] for a session that takes a security code.
    pub const fn require_card(&self) -> Result<(), Refusal> {
        match self.session.security_code_of {
            None => Ok(()),
            Some(_) => Err(Refusal::NotGranted(
                "The capture session takes a security code, and no card.",
            )),
        }
    }

    fn saved_token(&self) -> Result<TokenId, Refusal> {
        self.session.security_code_of.ok_or(Refusal::NotGranted(
            "The capture session takes a card, and no security code alone.",
        ))
    }
}

impl Capture {
    /// The saved card whose security code a session takes: a code has as many digits as its brand
    /// prints.
    ///
    /// # Errors
    /// [`Refusal::NotGranted`] for a session that takes a card, [`Refusal::TokenDeleted`] where the
    /// card is no longer there.
    pub async fn saved_card(&self, admitted: &Admitted) -> Result<Brand, Refusal> {
        let (account, id) = (&admitted.session.account, admitted.saved_token()?);
        let token = self.common.store.token(account, id).await?;
        let token = token.ok_or(Refusal::NotFound)?;
        if matches!(token.status, TokenStatus::Deleting | TokenStatus::Deleted) {
            return Err(Refusal::TokenDeleted);
        }
        Ok(Brand::from_name(&token.card.brand))
    }

    /// The brand of the saved card whose security code a session takes, for its form; an empty text
    /// for a session that takes a card, and nothing where the card is no longer there.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn saved_brand(&self, session: &SessionRow) -> Result<Option<&'static str>, Refusal> {
        let Some(id) = session.security_code_of else {
            return Ok(Some(""));
        };
        let token = self.common.store.token(&session.account, id).await?;
        let token = token.filter(|token| token.status == TokenStatus::Active);
        Ok(token.map(|token| Brand::from_name(&token.card.brand).name()))
    }

    /// Gives the code of a saved card to the processor, for one charge.
    ///
    /// # Errors
    /// A session that is expired or has no attempt left, or whatever the processor or the store
    /// refuse.
    #[tracing::instrument(name = "security_code.take", skip_all)]
    pub async fn take_security_code(
        self: &Arc<Self>,
        admitted: Admitted,
        order: CodeOrder,
    ) -> Result<TakenCode, Refusal> {
        // The browser may hang up; the attempt is brought to its end all the same.
        let this = Arc::clone(self);
        let work = tracing::Instrument::in_current_span(async move {
            this.take_to_the_end(&admitted, order).await
        });
        self.tasks
            .spawn_on(work, &self.common.runtime)
            .await
            .unwrap_or(Err(Refusal::Internal))
    }

    async fn take_to_the_end(
        &self,
        admitted: &Admitted,
        CodeOrder { code, key }: CodeOrder,
    ) -> Result<TakenCode, Refusal> {
        let common = &self.common;
        let (session, token) = (&admitted.session, admitted.saved_token()?);

        // 1. One short transaction takes an attempt from the session's budget.
        let number = self.claim_code(admitted).await?;
        let _held = common.hold_attempt(session.id, number);

        // 2. The code goes to the processor, and is gone.
        let key_text = match &key {
            Some(key) => key.as_str().to_owned(),
            None => format!("attempt-{number}"),
        };
        let parts = [session.secret_mac.as_slice(), key_text.as_bytes()];
        let key = processor_key(&self.session_verify_key.tag("processor code", &parts));
        let order = processor::SecurityCodeOrder {
            idempotency_key: &key,
            client: &session.client,
            session: &session.id.to_string(),
        };
        let call = common.metrics.processor_call("take_security_code");
        let answer = processor_of(&self.processors, &session.account)?
            .take_security_code(code, &order)
            .await;
        call.ended(answer.is_ok());
        let name = match answer {
            Ok(name) => name,
            Err(failure) => return Err(self.code_failed(admitted, number, failure).await),
        };

        // 3. The processor's name of it is sealed for the other plane; the attempt and its audit
        //    event are written.
        let expires_at = common.now().plus_s(SECURITY_CODE_LIFETIME_S_MAX);
        let purpose = Purpose {
            environment: common.environment,
            account: session.account.as_str(),
            token,
        };
        let key = &self.session_verify_key;
        let sealed = handover::hand_over(key, &purpose, (session.id, expires_at), name.as_bytes());
        let sealed = sealed.map_err(|failed| {
            tracing::error!(%failed, "a security code could not be handed over");
            Refusal::Internal
        })?;
        let witness = &admitted.witness;
        let (action, subject) = (Action::CardCodeTaken, Some(token.to_string()));
        let event = common.event(witness, action, Outcome::Success, subject);
        self.release(admitted, number, true, event).await?;
        Ok(TakenCode {
            id: [prefix(common.environment), &sealed].concat(),
            token,
            expires_at,
        })
    }

    /// Takes an attempt. A session of codes makes no token, so nothing is a repetition there.
    async fn claim_code(&self, admitted: &Admitted) -> Result<u32, Refusal> {
        match self.claim_attempt(admitted, None).await? {
            Claimed::New { number } => Ok(number),
            Claimed::Again { .. } => Err(Refusal::Internal),
        }
    }

    /// Ends an attempt whose code the processor did not take. What says nothing of the code costs
    /// nothing.
    async fn code_failed(
        &self,
        admitted: &Admitted,
        number: u32,
        failure: processor::Failure,
    ) -> Refusal {
        let counted = repetition::tells_of_the_card(&failure);
        let event = repetition::ended(&self.common, admitted, Action::CardCodeRefused);
        if let Err(refusal) = self.release(admitted, number, counted, event).await {
            return refusal;
        }
        if let processor::Failure::CardInvalid(fault) = failure {
            return invalid_code(fault.name());
        }
        failure.into()
    }

    /// Counts a code that cannot be one against the session's budget, as a card is counted.
    ///
    /// # Errors
    /// [`Refusal::InvalidCard`] always, or why the attempt could not be counted.
    pub async fn refuse_code(&self, admitted: &Admitted, reason: Reason) -> Refusal {
        let number = match self.claim_code(admitted).await {
            Ok(number) => number,
            Err(refusal) => return refusal,
        };
        self.saw_card(admitted, watch::guessed([CVC_POINTER].into_iter()), None);
        let event = repetition::ended(&self.common, admitted, Action::CardCodeRefused);
        match self.release(admitted, number, true, event).await {
            Ok(()) => invalid_code(reason.name()),
            Err(refusal) => refusal,
        }
    }
}

fn invalid_code(reason: &'static str) -> Refusal {
    let pointer = CVC_POINTER;
    Refusal::InvalidCard(vec![CardFault { pointer, reason }])
}

impl Internal {
    /// The token whose security code a session is to take: one that can be charged, of the customer
    /// that is named.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the field; what the store refuses.
    pub(super) async fn saved_token(
        &self,
        granted: &Granted<SessionsCreate>,
        id: TokenId,
        customer: Option<&str>,
    ) -> Result<TokenRow, Refusal> {
        let invalid = |pointer, reason| Err(Refusal::Invalid(RequestFault { pointer, reason }));
        let Some(token) = self.common.store.token(granted.account(), id).await? else {
            return invalid("/token", "unknown");
        };
        match token.status {
            TokenStatus::Active => {}
            TokenStatus::RequiresAction => return invalid("/token", "not_active"),
            TokenStatus::Deleting | TokenStatus::Deleted => return invalid("/token", "deleted"),
        }
        if customer.is_some() && customer != token.customer_ref.as_deref() {
            return invalid("/customer_ref", "not_of_token");
        }
        Ok(token)
    }

    /// What a charge of that token keeps of the code that it names. What is wrong with it only
    /// matters for a charge that is new, so that is decided where it is known. While the processor is
    /// looked at first, after a rollback, a code that is too old may be of a charge that was made.
    pub(super) fn security_code(
        &self,
        granted: &Granted<ChargesCreate>,
        (token, id): (TokenId, &str),
    ) -> NewSecurityCode {
        let sealed = id.strip_prefix(prefix(self.common.environment));
        let sealed = sealed.unwrap_or_default();
        let purpose = self.purpose(granted.account(), token);
        let fault = match handover::take_over(&self.session_verify_key, &purpose, sealed) {
            Err(_) => Some(CodeFault::NotValid),
            Ok(handed) if handed.expires_at <= self.common.now() && !self.is_recovering() => {
                Some(CodeFault::Expired)
            }
            Ok(_) => None,
        };
        NewSecurityCode {
            sealed: sealed.as_bytes().to_vec(),
            fault,
        }
    }

    /// Whether the code of a charge was too old when the charge was begun: then it is looked for at
    /// the processor, and never asked for.
    pub(super) fn code_is_late(&self, charge: &ChargeRow) -> bool {
        let Some(sealed) = charge.security_code_token.as_deref() else {
            return false;
        };
        let purpose = self.purpose(&charge.account, charge.token);
        let sealed = std::str::from_utf8(sealed).unwrap_or_default();
        let handed = handover::take_over(&self.session_verify_key, &purpose, sealed);
        handed.is_ok_and(|handed| handed.expires_at <= charge.created_at)
    }

    /// A code with which no charge is begun.
    pub(super) const fn code_refused(fault: CodeFault) -> Refusal {
        refused(match fault {
            CodeFault::Expired => "expired",
            CodeFault::NotValid => "not_valid",
        })
    }

    /// The processor's name of the code that a charge is made with, out of what its row keeps.
    pub(super) fn opened_code(
        &self,
        (account, token): (&Account, TokenId),
        sealed: &[u8],
    ) -> Result<String, Refusal> {
        let sealed = std::str::from_utf8(sealed).map_err(|_| Refusal::Sealed)?;
        let purpose = self.purpose(account, token);
        let handed = handover::take_over(&self.session_verify_key, &purpose, sealed)?;
        let name = std::str::from_utf8(handed.expose()).map_err(|_| Refusal::Sealed)?;
        Ok(name.to_owned())
    }

    fn purpose<'a>(&self, account: &'a Account, token: TokenId) -> Purpose<'a> {
        Purpose {
            environment: self.common.environment,
            account: account.as_str(),
            token,
        }
    }
}
