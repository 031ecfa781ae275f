//! The security code of a saved card becomes a token of Stripe's that is good for one charge
//! (<https://docs.stripe.com/api/tokens/create_cvc_update>).

use crate::card::Cvc;
use crate::processor::transport::Call;
use crate::processor::{Failure, SecurityCodeOrder};

use super::Stripe;
use super::answers::{self, Object};
use super::errors::Step;
use super::form::{Form, Full};

impl Stripe {
    /// See [`Processor::take_security_code`](crate::processor::Processor::take_security_code).
    pub(in crate::processor) async fn take_security_code(
        &self,
        code: Cvc,
        order: &SecurityCodeOrder<'_>,
    ) -> Result<String, Failure> {
        // (1) The code into the one form that carries it; encoded, it is dropped before any await.
        let form = code_form(&code);
        drop(code);
        let intake = Call::post(
            "/v1/tokens".to_owned(),
            form.map_err(|Full| Failure::Rejected)?.into_bytes(),
        )
        .on_behalf_of(order.client)
        .of_session(Some(order.session));

        // (2) The code against a token. The form goes with the call.
        let key = format!("{}-cvc", order.idempotency_key);
        let answer = self
            .exchange_afresh(Step::CardIntake, intake, &key)
            .await
            .map_err(|refusal| refusal.failure)?;
        answers::read::<Object>(&answer.body)?.id("cvctok_")
    }
}

fn code_form(code: &Cvc) -> Result<Form, Full> {
    let mut form = Form::new();
    // PCI DSS 3.3.1: it goes here and nowhere else, and is kept nowhere.
    form.text("cvc_update[cvc]", code.expose())?;
    Ok(form)
}
