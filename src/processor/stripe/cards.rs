//! A card becomes a reference; a reference is looked at and forgotten.

use stripe_client_core::StripeRequest as _;
use stripe_core::customer::CreateCustomer;
use stripe_core::setup_intent::{CreateSetupIntent, CreateSetupIntentUsage, RetrieveSetupIntent};
use stripe_payment::payment_method::{DetachPaymentMethod, RetrievePaymentMethod};
use stripe_shared::SetupIntentAllowedPaymentMethodTypes;

use crate::card::Card;
use crate::processor::transport::Call;
use crate::processor::{CardOrder, Failure, NextAction, Reference, SetupState, VaultedCard};
use crate::token::Usage;

use super::answers::{self, Object, PaymentMethod, SetupIntent};
use super::errors::{self, Step};
use super::form::{Form, Full};
use super::{Stripe, call, once};

/// A setup that no account has: asking for it proves the key without touching anything.
const UNKNOWN_SETUP: &str = "seti_cloakroom_check";

impl Stripe {
    /// See [`Processor::vault_card`](crate::processor::Processor::vault_card).
    pub(in crate::processor) async fn vault_card(
        &self,
        card: Card,
        order: &CardOrder<'_>,
    ) -> Result<VaultedCard, Failure> {
        // (1) The card into the one form that carries it; encoded, it is dropped before any await.
        let form = card_form(&card, order);
        drop(card);
        let intake = Call::post(
            "/v1/payment_methods".to_owned(),
            form.map_err(|Full| Failure::Rejected)?.into_bytes(),
        );

        // (2) The card against a PaymentMethod. The form goes with the call.
        let intake = once(intake, &format!("{}-pm", order.idempotency_key))?;
        let answer = self
            .exchange(Step::CardIntake, intake)
            .await
            .map_err(|refusal| refusal.failure)?;
        let (payment_method, summary) =
            answers::read::<PaymentMethod>(&answer.body)?.into_parts()?;

        // (3) The PaymentMethod attached to its customer, with the issuer's consent. Without this
        // it could be used once only.
        let setup = self.set_up(&payment_method, order).await?;
        let setup_id = setup.id()?;
        let reference = Reference::new(order.customer, &payment_method, Some(&setup_id))
            .map_err(|_| Failure::Rejected)?;
        let next_action = match setup.status.as_str() {
            "succeeded" => None,
            "requires_action" => Some(NextAction {
                redirect_url: setup.redirect_url()?,
            }),
            "requires_payment_method" => {
                let decline = errors::decline(setup.last_setup_error.as_ref());
                return Err(Failure::Declined(decline));
            }
            _ => return Err(Failure::OutcomeUnknown),
        };
        Ok(VaultedCard {
            reference,
            summary,
            next_action,
            replayed: answer.replayed,
        })
    }

    async fn set_up(
        &self,
        payment_method: &str,
        order: &CardOrder<'_>,
    ) -> Result<SetupIntent, Failure> {
        let request = CreateSetupIntent::new()
            .allowed_payment_method_types([SetupIntentAllowedPaymentMethodTypes::Card])
            .confirm(true)
            .customer(order.customer)
            .payment_method(payment_method)
            .return_url(order.return_url)
            .usage(match order.usage {
                Usage::OffSession => CreateSetupIntentUsage::OffSession,
                Usage::OnSession => CreateSetupIntentUsage::OnSession,
            });
        let key = format!("{}-si", order.idempotency_key);
        self.ask(once(call(request.build()), &key)?).await
    }

    /// See [`Processor::create_customer`](crate::processor::Processor::create_customer).
    pub(in crate::processor) async fn create_customer(
        &self,
        idempotency_key: &str,
    ) -> Result<String, Failure> {
        let metadata = [("created_by".to_owned(), "cloakroom".to_owned())];
        let request = CreateCustomer::new().metadata(metadata);
        let customer: Object = self
            .ask(once(call(request.build()), idempotency_key)?)
            .await?;
        customer.id("cus_")
    }

    /// See [`Processor::setup_state`](crate::processor::Processor::setup_state).
    pub(in crate::processor) async fn setup_state(
        &self,
        reference: &Reference,
    ) -> Result<SetupState, Failure> {
        let Some(setup) = reference.setup() else {
            return Ok(SetupState::Succeeded);
        };
        let request = RetrieveSetupIntent::new(setup);
        let setup: SetupIntent = self.ask(call(request.build())).await?;
        match setup.status.as_str() {
            "succeeded" => Ok(SetupState::Succeeded),
            "requires_action" | "requires_confirmation" | "processing" => Ok(SetupState::Pending),
            "requires_payment_method" | "canceled" => Ok(SetupState::Failed),
            _ => Err(Failure::OutcomeUnknown),
        }
    }

    /// See [`Processor::detach`](crate::processor::Processor::detach).
    ///
    /// Has no idempotency key: detaching twice is harmless, and a key would make Stripe repeat an
    /// old refusal for a day.
    pub(in crate::processor) async fn detach(&self, reference: &Reference) -> Result<(), Failure> {
        let request = DetachPaymentMethod::new(reference.payment_method());
        let Err(refusal) = self.exchange(Step::Other, call(request.build())).await else {
            return Ok(());
        };
        if refusal.failure == Failure::Missing {
            Ok(())
        } else if refusal.failure == Failure::Rejected {
            // Stripe refuses to detach what is not attached, and gives that refusal no code.
            self.assert_detached(reference).await
        } else {
            Err(refusal.failure)
        }
    }

    async fn assert_detached(&self, reference: &Reference) -> Result<(), Failure> {
        let request = RetrievePaymentMethod::new(reference.payment_method());
        match self.ask::<PaymentMethod>(call(request.build())).await {
            Ok(found) if found.customer.is_some() => Err(Failure::Rejected),
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// See [`Processor::check`](crate::processor::Processor::check).
    pub(in crate::processor) async fn check(&self) -> Result<(), Failure> {
        // Needs no right that vaulting does not need too, so that a restricted key passes.
        let request = RetrieveSetupIntent::new(UNKNOWN_SETUP);
        match self.exchange(Step::Other, call(request.build())).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.failure == Failure::Missing => Ok(()),
            Err(refusal) => Err(refusal.failure),
        }
    }

    /// Sends a call for which a refusal is just a failure.
    async fn ask<T: serde::de::DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        let answer = self.exchange(Step::Other, call).await;
        answers::read(&answer.map_err(|refusal| refusal.failure)?.body)
    }
}

fn card_form(card: &Card, order: &CardOrder<'_>) -> Result<Form, Full> {
    let mut form = Form::new();
    form.text("type", "card")?;
    form.text("card[number]", card.number.expose())?;
    form.number("card[exp_month]", u16::from(card.expiry.month()))?;
    form.number("card[exp_year]", card.expiry.year())?;
    // PCI DSS 3.3.1: this is the only place where the security code goes, and it is kept nowhere.
    form.text("card[cvc]", card.cvc.expose())?;
    let billing = order.billing;
    let address = &billing.address;
    for (key, value) in [
        ("billing_details[name]", &billing.name),
        ("billing_details[email]", &billing.email),
        ("billing_details[phone]", &billing.phone),
        ("billing_details[address][line1]", &address.line1),
        ("billing_details[address][line2]", &address.line2),
        ("billing_details[address][city]", &address.city),
        ("billing_details[address][state]", &address.state),
        (
            "billing_details[address][postal_code]",
            &address.postal_code,
        ),
        ("billing_details[address][country]", &address.country),
    ] {
        if let Some(value) = value {
            form.text(key, value)?;
        }
    }
    Ok(form)
}
