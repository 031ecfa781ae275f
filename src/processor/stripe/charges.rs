//! A reference is charged.

use std::collections::HashMap;
use std::str::FromStr as _;

use stripe_client_core::StripeRequest as _;
use stripe_core::payment_intent::{
    ConfirmPaymentIntent, CreatePaymentIntent, CreatePaymentIntentOffSession,
    CreatePaymentIntentPaymentMethodOptions, CreatePaymentIntentPaymentMethodOptionsCard,
};
use stripe_shared::{
    PaymentIntentAllowedPaymentMethodTypes, PaymentIntentCaptureMethod,
    PaymentIntentSetupFutureUsage,
};
use stripe_types::Currency;

use crate::processor::transport::{Answer, Call};
use crate::processor::{
    ChallengeOrder, ChargeOrder, Decline, Failure, Payment, PaymentDetails, PaymentStatus,
    Reference,
};

use crate::token::Usage;

use super::amounts;
use super::answers::{self, PaymentIntent};
use super::errors::{self, Refusal, Step};
use super::{REQUEST_METADATA, Stripe, call, named, once};

/// Under this name the payment carries our charge id, by which it is found when nothing else is
/// known of it. A merchant's pair of the same name gives way.
const CHARGE_METADATA: &str = "cloakroom_charge";

impl Stripe {
    /// See [`Processor::charge`](crate::processor::Processor::charge).
    pub(in crate::processor) async fn charge(
        &self,
        reference: &Reference,
        order: &ChargeOrder<'_>,
    ) -> Result<Payment, Failure> {
        // (1) Create and confirm in one call, so that there is nothing half made to clean up.
        let amount = amounts::to_stripe(order.amount, order.currency).map_err(Failure::Invalid)?;
        let create = once(create(reference, order, amount), order.idempotency_key)?;
        let refusal = match self.exchange(Step::Other, create).await {
            Ok(answer) => return payment(&answer),
            Err(refusal) => refusal,
        };

        // (2) A refusal that names its payment is that payment's end.
        let (decline, id) = declined(refusal)?;
        let wanted = decline.code.as_str() == "authentication_required";
        if !(wanted && is_without_shopper(order)) {
            return Ok(ended(id, decline));
        }

        // (3) The issuer wants to see the shopper who is away. The same payment is confirmed again
        // as if they were there, and says where to send them.
        let key = format!("{}-auth", order.idempotency_key);
        let confirm = once(confirm(&id, reference, order), &key)?;
        match self.exchange(Step::Other, confirm).await {
            Ok(answer) => payment(&answer),
            Err(refusal) => after_confirming(id, refusal.failure),
        }
    }
}

impl Stripe {
    /// See [`Processor::challenge`](crate::processor::Processor::challenge).
    pub(in crate::processor) async fn challenge(
        &self,
        reference: &Reference,
        order: &ChallengeOrder<'_>,
    ) -> Result<Payment, Failure> {
        let request = ConfirmPaymentIntent::new(named(order.payment)?)
            .payment_method(reference.payment_method())
            .return_url(order.return_url)
            .expand(with_charge());
        let confirm = once(call(request.build(), order.client), order.idempotency_key)?;
        let told = match self.exchange(Step::Other, confirm).await {
            Ok(answer) => payment(&answer)?,
            Err(refusal) => {
                let (decline, id) = declined(refusal)?;
                ended(id, decline)
            }
        };
        if told.id == order.payment {
            Ok(told)
        } else {
            Err(Failure::OutcomeUnknown)
        }
    }
}

/// A payment that was declined.
fn ended(id: String, decline: Decline) -> Payment {
    Payment {
        id,
        status: PaymentStatus::Declined(decline),
        captured: 0,
        charge: None,
        details: PaymentDetails::default(),
    }
}

/// What a failed second confirmation means: the payment stands at the processor in any case, so a
/// call that was not let through leaves something open, not nothing.
fn after_confirming(id: String, failure: Failure) -> Result<Payment, Failure> {
    if let Failure::Declined(decline) = failure {
        return Ok(ended(id, decline));
    }
    let not_let_through = matches!(
        failure,
        Failure::NotSent | Failure::RateLimited { .. } | Failure::InFlight { .. }
    );
    Err(if not_let_through {
        Failure::OutcomeUnknown
    } else {
        failure
    })
}

/// The decline of a refused charge and the payment that it ended; anything else is a failure.
fn declined(refusal: Refusal) -> Result<(Decline, String), Failure> {
    match (refusal.failure, refusal.payment) {
        (Failure::Declined(decline), Some(id)) => Ok((decline, id)),
        (failure, _) => Err(failure),
    }
}

/// A card to which the issuer has not yet agreed can be charged only with the shopper there.
const fn is_without_shopper(order: &ChargeOrder<'_>) -> bool {
    order.off_session && !order.setup_pending
}

fn create(reference: &Reference, order: &ChargeOrder<'_>, amount: i64) -> Call {
    let mut metadata: HashMap<String, String> = order
        .metadata
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    metadata.insert(CHARGE_METADATA.to_owned(), order.charge.to_owned());
    metadata.insert(REQUEST_METADATA.to_owned(), order.request.to_owned());
    // Reading a currency never fails: one that async-stripe does not know goes as it is.
    let currency = match Currency::from_str(order.currency) {
        Ok(currency) => currency,
        Err(never) => match never {},
    };
    let mut request = CreatePaymentIntent::new(amount, currency)
        .allowed_payment_method_types([PaymentIntentAllowedPaymentMethodTypes::Card])
        .capture_method(if order.capture {
            PaymentIntentCaptureMethod::Automatic
        } else {
            PaymentIntentCaptureMethod::Manual
        })
        .confirm(true)
        .customer(reference.customer())
        .metadata(metadata)
        .payment_method(reference.payment_method())
        .expand(with_charge());
    if let Some(description) = order.description {
        request = request.description(description);
    }
    if let Some(suffix) = order.statement_descriptor_suffix {
        request = request.statement_descriptor_suffix(suffix);
    }
    // Only a shopper who is there can be sent anywhere.
    request = if is_without_shopper(order) {
        request.off_session(CreatePaymentIntentOffSession::Bool(true))
    } else {
        request.return_url(order.return_url)
    };
    if let Some(code) = order.security_code {
        request = request.payment_method_options(checking(code));
    }
    if order.setup_pending {
        request = request.setup_future_usage(match order.usage {
            Usage::OffSession => PaymentIntentSetupFutureUsage::OffSession,
            Usage::OnSession => PaymentIntentSetupFutureUsage::OnSession,
        });
    }
    call(request.build(), order.client)
}

/// The issuer checks the security code that Stripe has under that name; it is good for this once.
fn checking(code: &str) -> CreatePaymentIntentPaymentMethodOptions {
    let mut card = CreatePaymentIntentPaymentMethodOptionsCard::new();
    card.cvc_token = Some(code.to_owned());
    let mut options = CreatePaymentIntentPaymentMethodOptions::new();
    options.card = Some(card);
    options
}

fn confirm(payment: &str, reference: &Reference, order: &ChargeOrder<'_>) -> Call {
    let request = ConfirmPaymentIntent::new(payment)
        .payment_method(reference.payment_method())
        .return_url(order.return_url)
        .expand(with_charge());
    call(request.build(), order.client)
}

/// The charge beside its payment: it has what the networks and the issuer said.
pub(super) fn with_charge() -> [String; 1] {
    ["latest_charge".to_owned()]
}

fn payment(answer: &Answer) -> Result<Payment, Failure> {
    payment_of(answers::read(&answer.body)?)
}

/// How a payment stands.
pub(super) fn payment_of(intent: PaymentIntent) -> Result<Payment, Failure> {
    let id = intent.id()?;
    let captured = intent.captured()?;
    let details = intent.details();
    let charge = intent.ours().map(str::to_owned);
    let status = match intent.status.as_str() {
        "succeeded" => PaymentStatus::Succeeded,
        "requires_capture" => PaymentStatus::RequiresCapture,
        // A payment whose confirmation is not over is not over.
        "processing" | "requires_confirmation" => PaymentStatus::Processing,
        "canceled" => PaymentStatus::Canceled,
        "requires_payment_method" => {
            PaymentStatus::Declined(errors::decline(intent.last_payment_error.as_ref()))
        }
        // Without a page to send the shopper to, nobody can authenticate.
        "requires_action" => intent
            .redirect_url()
            .map_or(PaymentStatus::ActionUnsupported, |redirect_url| {
                PaymentStatus::RequiresAction { redirect_url }
            }),
        _ => return Err(Failure::OutcomeUnknown),
    };
    let taken = status == PaymentStatus::Succeeded;
    Ok(Payment {
        id,
        captured: if taken { captured } else { 0 },
        charge,
        details,
        status,
    })
}
