//! Attach: a PaymentMethod that the browser made with the processor's own library becomes a token.
//! No card passes here, so this works before the processor has approved raw cards.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::grant::{Granted, TokensAttach};
use super::idempotency::{IdempotencyKey, processor_key};
use super::tokenize::sealed_reference;
use super::{Internal, Refusal, Witness, marks, processor_of};
use crate::audit::{Action, Outcome};
use crate::processor::{self, AttachOrder, NextAction, VaultedCard};
use crate::store::{Attached, Begun, NewToken, Owner, TokenRow};
use crate::token::{RequestId, TokenId, TokenStatus, Usage};

/// What a merchant asks for; its JSON form is what an idempotency key is bound to.
#[derive(Clone, Debug, Serialize)]
pub struct AttachTokenOrder {
    /// The processor's name of what the browser made.
    pub payment_method: String,
    /// The merchant's own name for its customer.
    pub customer_ref: Option<String>,
    /// How the token is going to be charged.
    #[serde(serialize_with = "super::session::usage_name")]
    pub usage: Usage,
    /// The merchant's own notes.
    pub metadata: BTreeMap<String, String>,
}

/// A token, for the answer.
#[derive(Debug)]
pub struct AttachedToken {
    /// What the world may know of it.
    pub token: TokenRow,
    /// Where the shopper must go, when the issuer wants to see it.
    pub next_action: Option<NextAction>,
    /// Whether an earlier request made it.
    pub replayed: bool,
}

impl Internal {
    /// Makes a token of a PaymentMethod.
    ///
    /// # Errors
    /// A declined card, a PaymentMethod that is none of this account's cards, or whatever the
    /// processor or the store refuse.
    #[tracing::instrument(name = "token.attach", skip_all)]
    pub async fn attach(
        self: &Arc<Self>,
        granted: Granted<TokensAttach>,
        order: AttachTokenOrder,
        key: Option<IdempotencyKey>,
    ) -> Result<AttachedToken, Refusal> {
        // The caller may hang up; what the processor was asked to do is written down all the same.
        let this = Arc::clone(self);
        let work = tracing::Instrument::in_current_span(async move {
            this.attach_to_the_end(&granted, order, key.as_ref()).await
        });
        self.tasks
            .spawn_on(work, &self.common.runtime)
            .await
            .unwrap_or(Err(Refusal::Internal))
    }

    async fn attach_to_the_end(
        &self,
        granted: &Granted<TokensAttach>,
        order: AttachTokenOrder,
        key: Option<&IdempotencyKey>,
    ) -> Result<AttachedToken, Refusal> {
        let common = &self.common;
        let account = granted.account();

        // 1. The same request again is answered from the row that it made the first time.
        let claim = key.map(|key| common.claim(granted, key, &order));
        if let Some(claim) = &claim
            && let Some(answer) = common.store.find_attach_claim(claim).await?
        {
            return answered(answer, None);
        }

        // 2. The PaymentMethod is attached to its customer, with the issuer's consent. The
        //    processor's key is made from the caller's, where there is one: another request is
        //    another question, and asking twice attaches nothing twice.
        let request = RequestId::new(common.environment, common.now()).to_string();
        let owner = order.customer_ref.as_deref();
        let asked_by = key.map_or(request.as_str(), IdempotencyKey::as_str);
        // A guest of one request: asked again under its key, it is the same guest.
        let guest = format!("{} {asked_by}", granted.client());
        let customer = self.customer(granted, owner, &guest).await?;
        let parts = [
            account.as_str().as_bytes(),
            granted.client().as_bytes(),
            asked_by.as_bytes(),
        ];
        let processor_key = processor_key(&self.session_issue_key.tag("processor attach", &parts));
        let attach = AttachOrder {
            payment_method: &order.payment_method,
            customer: &customer,
            usage: order.usage,
            return_url: &self.return_url,
            idempotency_key: &processor_key,
            client: granted.client(),
            session: None,
        };
        let call = common.metrics.processor_call("attach");
        let vaulted = processor_of(&self.processors, account)?
            .attach(&attach)
            .await;
        call.ended(vaulted.is_ok());
        let vaulted = vaulted.map_err(|failure| {
            if failure == processor::Failure::Missing {
                Refusal::NotFound
            } else if failure == processor::Failure::Rejected {
                Refusal::Impossible("The processor does not attach this PaymentMethod.")
            } else {
                failure.into()
            }
        })?;
        let next_action = vaulted.next_action.clone();

        // 3. The reference is sealed, and one transaction writes the token and its audit event.
        let token = self
            .new_token(
                granted,
                vaulted,
                (order.customer_ref.as_deref(), order.usage),
            )
            .await?;
        let owner = Owner {
            account: account.clone(),
            customer_ref: order.customer_ref,
            usage: order.usage,
            metadata: serde_json::to_string(&order.metadata).unwrap_or_default(),
            session: None,
        };
        let witness = Witness::of(granted);
        let subject = Some(token.id.to_string());
        let event = common.event(&witness, Action::TokenCreated, Outcome::Success, subject);
        let tell = common.token_news("created");
        let attached = common
            .store
            .attach_token(claim, (token, owner), event, tell)
            .await?;
        answered(attached, next_action)
    }

    async fn new_token(
        &self,
        granted: &Granted<TokensAttach>,
        vaulted: VaultedCard,
        (customer_ref, usage): (Option<&str>, Usage),
    ) -> Result<NewToken, Refusal> {
        let now = self.common.now();
        let account = granted.account();
        let id = TokenId::new(self.common.environment, now);
        let name = id.to_string();
        let environment = self.common.environment;
        let owned_by = (customer_ref, usage);
        let context = sealed_reference(environment, account.as_str(), &name, owned_by);
        let value = self
            .sealer
            .seal(&context, &vaulted.reference.encode())
            .await
            .map_err(|failed| {
                tracing::error!(%failed, "no data key could be made");
                Refusal::Sealed
            })?;
        let marking = &self.marking;
        Ok(NewToken {
            id,
            status: match vaulted.next_action {
                Some(_) => TokenStatus::RequiresAction,
                None => TokenStatus::Active,
            },
            reference: marks::reference(marking, account, vaulted.reference.payment_method()),
            fingerprint: marks::fingerprint(marking, (account, customer_ref), &vaulted),
            card: vaulted.summary,
            value,
            created_at: now,
        })
    }
}

fn answered(attached: Attached, next_action: Option<NextAction>) -> Result<AttachedToken, Refusal> {
    let (token, replayed) = match attached {
        Begun::New(token) | Begun::Resumed(token) => (token, false),
        Begun::Replayed(token) => (token, true),
        Begun::InFlight => {
            return Err(Refusal::InFlight {
                retry_after_s: super::charge::RETRY_AFTER_S,
            });
        }
        Begun::Mismatch => return Err(Refusal::IdempotencyMismatch),
        Begun::Refused(never) => match never {},
    };
    if matches!(token.status, TokenStatus::Deleting | TokenStatus::Deleted) {
        return Err(Refusal::TokenDeleted);
    }
    Ok(AttachedToken {
        next_action: next_action.filter(|_| token.status == TokenStatus::RequiresAction),
        token,
        replayed,
    })
}
