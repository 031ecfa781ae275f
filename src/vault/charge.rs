//! Charge: money moves once for each idempotency key, whatever dies in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::charge_page::{PageLink, PageOrder};
use super::grant::{ChargesCreate, ChargesRead, Granted};
use super::idempotency::IdempotencyKey;
use super::settle::code;
use super::tokenize::sealed_reference;
use super::{Internal, Refusal, Witness, processor_of};
use crate::audit::{Action, Outcome};
use crate::processor::{self, Decline, Reference};
use crate::seal;
use crate::store::{Begun, ChargeFilter, ChargeRow, NewCharge, NotChargeable, SealedRow};
use crate::token::{ChargeId, ChargeStatus, TokenId};
use crate::watch::Seen;

/// Seconds after which a caller should ask again about a charge that is still running.
pub(super) const RETRY_AFTER_S: u32 = 2;

/// What billing asks for; its JSON form is what an idempotency key is bound to.
#[derive(Clone, Debug, Serialize)]
pub struct ChargeOrder {
    /// The token to charge.
    #[serde(serialize_with = "as_text")]
    pub token: TokenId,
    /// In the currency's minor unit.
    pub amount: i64,
    /// ISO 4217 in lower case.
    pub currency: String,
    /// Take the money now, or only authorize it.
    pub capture: bool,
    /// Whether the shopper is away.
    pub off_session: bool,
    /// Shown in the processor's dashboard.
    pub description: Option<String>,
    /// Shown on the shopper's statement.
    pub statement_descriptor_suffix: Option<String>,
    /// The merchant's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Where in the shop the shopper is led after the issuer's page. An order without one is the
    /// same as before there were such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
    /// The page on which the shopper may confirm it, as often as it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosted_page: Option<PageOrder>,
    /// By what the shop names the security code that the shopper has given again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_code: Option<String>,
}

fn as_text<S: serde::Serializer>(id: &TokenId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

/// A charge, for the answer.
#[derive(Debug)]
pub struct Charged {
    /// The charge as it stands.
    pub charge: ChargeRow,
    /// Its page, where it has one.
    pub page: Option<PageLink>,
    /// Whether an earlier request with the same key made it.
    pub replayed: bool,
}

impl Internal {
    /// Charges a token.
    ///
    /// # Errors
    /// [`Refusal::Declined`] carries the charge's id; every other refusal means that no money
    /// moved for this request.
    #[tracing::instrument(name = "charge.create", skip_all)]
    pub async fn charge(
        self: &Arc<Self>,
        granted: Granted<ChargesCreate>,
        order: ChargeOrder,
        key: &IdempotencyKey,
    ) -> Result<Charged, Refusal> {
        self.require_unsealed()?;
        let common = &self.common;
        let permit = Arc::clone(&self.charges_in_flight)
            .try_acquire_owned()
            .map_err(|_| Refusal::RateLimited {
                retry_after_s: RETRY_AFTER_S,
            })?;

        // What the processor cannot charge is refused before anything is written down.
        processor_of(&self.processors, granted.account())?
            .check_amount(order.amount, &order.currency)
            .map_err(Refusal::Invalid)?;

        // 1. One short transaction writes the charge with its key and the audit event of the open.
        //    From its commit on, whoever comes next knows that money may move.
        let witness = Witness::of(&granted);
        let claim = common.claim(&granted, key, &order);
        let new = self.new_charge(&granted, &order, key);
        let events = vec![
            common.event(
                &witness,
                Action::ChargeRequested,
                Outcome::Success,
                Some(new.id.to_string()),
            ),
            common.event(
                &witness,
                Action::TokenOpened,
                Outcome::Success,
                Some(order.token.to_string()),
            ),
        ];
        let (work, replayed) = match common.store.begin_charge(claim, new, events).await? {
            Begun::New(work) => {
                common
                    .watch
                    .did(Seen::Opened, granted.client(), common.now());
                (*work, false)
            }
            Begun::Resumed(work) => (*work, true),
            Begun::Replayed(charge) => return self.answer(*charge, true),
            Begun::InFlight => {
                return Err(Refusal::InFlight {
                    retry_after_s: RETRY_AFTER_S,
                });
            }
            Begun::Mismatch => return Err(Refusal::IdempotencyMismatch),
            Begun::Refused(NotChargeable::Unknown) => return Err(Refusal::NotFound),
            Begun::Refused(NotChargeable::Deleted) => return Err(Refusal::TokenDeleted),
            Begun::Refused(NotChargeable::Code(fault)) => return Err(Self::code_refused(fault)),
        };

        // 2-4. The rest goes on even if the caller hangs up, and a stop waits for it.
        let this = Arc::clone(self);
        let work = tracing::Instrument::in_current_span(async move {
            let settled = this.settle(&witness, work).await;
            drop(permit);
            settled
        });
        let settled = self
            .tasks
            .spawn_on(work, &self.common.runtime)
            .await
            .unwrap_or(Err(Refusal::Internal))?;
        let declined = settled.status == ChargeStatus::Declined;
        let seen = if declined {
            Seen::ChargeDeclined
        } else {
            Seen::Charged
        };
        common.watch.did(seen, &settled.client, common.now());
        self.answer(settled, replayed)
    }

    /// Opens a token's processor reference.
    pub(crate) async fn open(&self, row: &SealedRow) -> Result<Reference, Refusal> {
        let name = row.sealed_for.to_string();
        let environment = self.common.environment;
        let owned_by = (row.customer_ref.as_deref(), row.usage);
        let context = sealed_reference(environment, row.account.as_str(), &name, owned_by);
        let opened = self.opener.open(&context, &row.sealed, &row.data_key).await;
        let is_wrong = matches!(opened, Err(seal::Refused::Value));
        if is_wrong && self.opener.holds(&row.data_key.kek) {
            // It was altered, moved, or given to another owner: not a fault of ours.
            self.common
                .quarantine("tokens", &row.token.to_string())
                .await;
        }
        Reference::decode(opened?.expose()).map_err(|_| Refusal::Sealed)
    }

    fn new_charge(
        &self,
        granted: &Granted<ChargesCreate>,
        order: &ChargeOrder,
        key: &IdempotencyKey,
    ) -> NewCharge {
        // At the processor a request is the same whatever code it is sent with: one that was paid
        // with a code that is lost since is found, and not paid with another.
        let without_code = ChargeOrder {
            security_code: None,
            ..order.clone()
        };
        let same = self.common.claim(granted, key, &without_code);
        let code = order.security_code.as_deref();
        let code = code.map(|code| self.security_code(granted, (order.token, code)));
        let now = self.common.now();
        let id = ChargeId::new(self.common.environment, now);
        NewCharge {
            id,
            account: granted.account().clone(),
            client: granted.client().to_owned(),
            token: order.token,
            amount: order.amount,
            currency: order.currency.clone(),
            capture: order.capture,
            off_session: order.off_session,
            description: order.description.clone(),
            statement_descriptor_suffix: order.statement_descriptor_suffix.clone(),
            metadata: serde_json::to_string(&order.metadata).unwrap_or_default(),
            return_url: order.return_url.clone(),
            page: self.new_page(id, order, now),
            security_code: code,
            processor_key: self.processor_key(&same),
            created_at: now,
            lease_until: now.plus_ms(self.common.limits.work_lease_ms),
        }
    }

    /// Reads a charge. One that waits for the shopper is read at the processor first: who has just
    /// come back from the issuer's page is not told what was so before.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] also for what belongs to another account.
    pub async fn read_charge(
        &self,
        granted: &Granted<ChargesRead>,
        id: ChargeId,
    ) -> Result<ChargeRow, Refusal> {
        let charge = self.common.store.charge(granted.account(), id).await?;
        let charge = charge.ok_or(Refusal::NotFound)?;
        self.common
            .witness_read(granted, Action::ChargeRead, id.to_string())
            .await?;
        self.current(granted, charge).await
    }

    /// Lists charges, newest first.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn list_charges(
        &self,
        granted: &Granted<ChargesRead>,
        filter: ChargeFilter,
    ) -> Result<Vec<ChargeRow>, Refusal> {
        let subject = filter
            .token
            .map_or_else(|| "*".to_owned(), |token| token.to_string());
        let charges = self
            .common
            .store
            .charges_of(granted.account(), filter)
            .await?;
        self.common
            .witness_read(granted, Action::ChargeListed, subject)
            .await?;
        Ok(charges)
    }

    /// A charge as an answer: declined ones are refusals that carry the charge's id.
    pub(super) fn answer(&self, charge: ChargeRow, replayed: bool) -> Result<Charged, Refusal> {
        match &charge.decline {
            Some(decline) => Err(Refusal::Declined {
                decline: Decline {
                    code: code(&decline.code),
                    advice: decline
                        .advice
                        .as_deref()
                        .and_then(processor::Advice::from_name),
                    retryable: decline.retryable,
                },
                charge: Some(charge.id),
                replayed,
            }),
            None => Ok(Charged {
                page: self.page_link(&charge),
                charge,
                replayed,
            }),
        }
    }
}
