//! A card becomes a reference; a reference is looked at and forgotten.

use stripe_client_core::StripeRequest as _;
use stripe_core::customer::CreateCustomer;
use stripe_core::setup_intent::{CreateSetupIntent, CreateSetupIntentUsage, RetrieveSetupIntent};
use stripe_payment::payment_method::{DetachPaymentMethod, RetrievePaymentMethod};
use stripe_shared::SetupIntentAllowedPaymentMethodTypes;

use crate::card::Card;
use crate::processor::transport::Call;
use crate::processor::{
    AttachOrder, CardOrder, CardState, Failure, NextAction, Reference, SetupState, VaultedCard,
};
use crate::token::Usage;

use super::answers::{self, Object, PaymentMethod, SetupIntent};
use super::errors::{self, Step};
use super::form::{Form, Full};
use super::{Stripe, call, named, once};

/// A setup that no account has: asking for it proves the key without touching anything.
const UNKNOWN_SETUP: &str = "seti_cloakroom_check";
/// Stripe's published test card (<https://docs.stripe.com/testing#cards>), and a year that is far.
const PUBLISHED_TEST_CARD: &str = "4242424242424242";
const PUBLISHED_TEST_CARD_EXP_YEAR: u16 = 2049;
/// On whose behalf calls are made that no client asked for.
const OURSELVES: &str = "cloakroom";

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
        )
        .on_behalf_of(order.client)
        .of_session(Some(order.session));

        // (2) The card against a PaymentMethod. The form goes with the call.
        let key = format!("{}-pm", order.idempotency_key);
        let answer = self
            .exchange_afresh(Step::CardIntake, intake, &key)
            .await
            .map_err(|refusal| refusal.failure)?;
        let taken: PaymentMethod = answers::read(&answer.body)?;
        let (payment_method, summary, fingerprint) = taken.into_parts()?;

        // (3) The PaymentMethod attached to its customer, with the issuer's consent. Without this
        // it could be used once only.
        let attach = AttachOrder {
            payment_method: &payment_method,
            customer: order.customer,
            usage: order.usage,
            return_url: order.return_url,
            idempotency_key: order.idempotency_key,
            client: order.client,
            session: Some(order.session),
        };
        let (reference, next_action) = self.consented(&attach).await?;
        Ok(VaultedCard {
            reference,
            summary,
            next_action,
            fingerprint,
            replayed: answer.replayed,
        })
    }

    /// See [`Processor::attach`](crate::processor::Processor::attach).
    pub(in crate::processor) async fn attach(
        &self,
        order: &AttachOrder<'_>,
    ) -> Result<VaultedCard, Failure> {
        // (1) Only cards are tokens here.
        let request = RetrievePaymentMethod::new(named(order.payment_method)?);
        let found: PaymentMethod = self.ask(call(request.build(), order.client)).await?;
        if !found.is_card() {
            return Err(Failure::Rejected);
        }

        // (2) As for a card that was taken in. Its id is the one in the answer: Stripe's test cards
        // have a name besides.
        let (payment_method, summary, fingerprint) = found.into_parts()?;
        let attach = AttachOrder {
            payment_method: &payment_method,
            ..*order
        };
        let (reference, next_action) = self.consented(&attach).await?;
        Ok(VaultedCard {
            reference,
            summary,
            next_action,
            fingerprint,
            replayed: false,
        })
    }

    /// The reference that the issuer's consent to later charges makes, and what the shopper has to
    /// do for it.
    async fn consented(
        &self,
        order: &AttachOrder<'_>,
    ) -> Result<(Reference, Option<NextAction>), Failure> {
        let setup = self.set_up(order).await?;
        let setup_id = setup.id()?;
        let reference = Reference::new(order.customer, order.payment_method, Some(&setup_id))
            .map_err(|_| Failure::Rejected)?;
        let next_action = match setup.status.as_str() {
            "succeeded" => None,
            "requires_action" => Some(NextAction {
                // Without a page to send the shopper to, the issuer's consent cannot be had here.
                redirect_url: setup
                    .redirect_url()
                    .map_err(|_| Failure::Declined(errors::authentication_required()))?,
            }),
            "requires_payment_method" => {
                let decline = errors::decline(setup.last_setup_error.as_ref());
                return Err(Failure::Declined(decline));
            }
            _ => return Err(Failure::OutcomeUnknown),
        };
        Ok((reference, next_action))
    }

    async fn set_up(&self, order: &AttachOrder<'_>) -> Result<SetupIntent, Failure> {
        let request = CreateSetupIntent::new()
            .allowed_payment_method_types([SetupIntentAllowedPaymentMethodTypes::Card])
            .confirm(true)
            .customer(order.customer)
            .payment_method(order.payment_method)
            .return_url(order.return_url)
            .usage(match order.usage {
                Usage::OffSession => CreateSetupIntentUsage::OffSession,
                Usage::OnSession => CreateSetupIntentUsage::OnSession,
            });
        let key = format!("{}-si", order.idempotency_key);
        let call = call(request.build(), order.client).of_session(order.session);
        let answer = self.exchange_afresh(Step::Other, call, &key).await;
        answers::read(&answer.map_err(|refusal| refusal.failure)?.body)
    }

    /// See [`Processor::create_customer`](crate::processor::Processor::create_customer).
    pub(in crate::processor) async fn create_customer(
        &self,
        idempotency_key: &str,
        client: &str,
    ) -> Result<String, Failure> {
        let metadata = [("created_by".to_owned(), "cloakroom".to_owned())];
        let request = CreateCustomer::new().metadata(metadata);
        let customer: Object = self
            .ask(once(call(request.build(), client), idempotency_key)?)
            .await?;
        customer.id("cus_")
    }

    /// See [`Processor::setup_state`](crate::processor::Processor::setup_state).
    pub(in crate::processor) async fn setup_state(
        &self,
        reference: &Reference,
        client: &str,
    ) -> Result<SetupState, Failure> {
        let Some(setup) = reference.setup() else {
            return Ok(SetupState::Succeeded);
        };
        let request = RetrieveSetupIntent::new(setup);
        let setup: SetupIntent = self.ask(call(request.build(), client)).await?;
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
    pub(in crate::processor) async fn detach(
        &self,
        reference: &Reference,
        client: &str,
    ) -> Result<(), Failure> {
        let request = DetachPaymentMethod::new(reference.payment_method());
        let Err(refusal) = self
            .exchange(Step::Other, call(request.build(), client))
            .await
        else {
            return Ok(());
        };
        if refusal.failure == Failure::Missing {
            Ok(())
        } else if refusal.failure == Failure::Rejected {
            // Stripe refuses to detach what is not attached, and gives that refusal no code.
            self.assert_detached(reference, client).await
        } else {
            Err(refusal.failure)
        }
    }

    async fn assert_detached(&self, reference: &Reference, client: &str) -> Result<(), Failure> {
        let request = RetrievePaymentMethod::new(reference.payment_method());
        match self
            .ask::<PaymentMethod>(call(request.build(), client))
            .await
        {
            Ok(found) if found.customer.is_some() => Err(Failure::Rejected),
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// See [`Processor::check`](crate::processor::Processor::check).
    pub(in crate::processor) async fn check(&self) -> Result<(), Failure> {
        // Needs no right that vaulting does not need too, so that a restricted key passes.
        let request = RetrieveSetupIntent::new(UNKNOWN_SETUP);
        let call = call(request.build(), OURSELVES);
        match self.exchange(Step::Other, call).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.failure == Failure::Missing => Ok(()),
            Err(refusal) => Err(refusal.failure),
        }
    }

    /// See [`Processor::card_state`](crate::processor::Processor::card_state).
    pub(in crate::processor) async fn card_state(
        &self,
        reference: &Reference,
        client: &str,
    ) -> Result<CardState, Failure> {
        let request = RetrievePaymentMethod::new(reference.payment_method());
        match self
            .ask::<PaymentMethod>(call(request.build(), client))
            .await
        {
            Ok(method) if method.customer.is_some() => Ok(CardState::Attached),
            Ok(_) | Err(Failure::Missing) => Ok(CardState::Detached),
            Err(failure) => Err(failure),
        }
    }

    /// See [`Processor::accepts_raw_cards`](crate::processor::Processor::accepts_raw_cards).
    pub(in crate::processor) async fn accepts_raw_cards(&self) -> Result<(), Failure> {
        let mut form = Form::new();
        let filled = form
            .text("type", "card")
            .and_then(|()| form.text("card[number]", PUBLISHED_TEST_CARD))
            .and_then(|()| form.number("card[exp_month]", 12))
            .and_then(|()| form.number("card[exp_year]", PUBLISHED_TEST_CARD_EXP_YEAR));
        filled.map_err(|Full| Failure::Rejected)?;
        let intake =
            Call::post("/v1/payment_methods".to_owned(), form.into_bytes()).on_behalf_of(OURSELVES);
        match self.exchange(Step::CardIntake, intake).await {
            Ok(_) => Ok(()),
            // In live mode a test card is declined, by an account that takes cards in.
            Err(refusal) => {
                let looked_at = matches!(
                    refusal.failure,
                    Failure::Declined(_) | Failure::CardInvalid(_)
                );
                if looked_at {
                    Ok(())
                } else {
                    Err(refusal.failure)
                }
            }
        }
    }

    /// Sends a call for which a refusal is just a failure.
    pub(super) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<T, Failure> {
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
