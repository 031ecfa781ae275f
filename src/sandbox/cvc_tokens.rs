//! `POST /v1/tokens` with `cvc_update`: the security code of a saved card, for one confirmation
//! (<https://docs.stripe.com/api/tokens/create_cvc_update>).
//!
//! The code is looked at where it lies in the request's wiped buffer, and nothing of it stays: what the
//! issuer's check finds is the card's behaviour (`cards.rs`).

use serde_json::json;

use super::errors::Refusal;
use super::form::Form;
use super::ids;
use super::state::{Call, Outcome, State};

/// Where a confirmation names one.
const PARAM: &str = "payment_method_options[card][cvc_token]";

/// A token of a security code.
#[derive(Debug)]
pub(super) struct CvcToken {
    used: bool,
}

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(&["cvc_update"])?;
    let code = form.required("cvc_update[cvc]")?;
    if !(3..=4).contains(&code.len()) || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::card(
            "invalid_cvc",
            "cvc_update[cvc]",
            "Your card's security code is invalid.",
        ));
    }
    let id = ids::new("cvctok_1");
    state
        .cvc_tokens
        .insert(id.clone(), CvcToken { used: false });
    Ok(json!({
        "id": id,
        "object": "token",
        "client_ip": null,
        "created": call.now_s(),
        "livemode": false,
        "type": "cvc_update",
        "used": false,
    }))
}

/// Looks at the token that a confirmation names, before anything is made: it is there, and unused.
pub(super) fn check(state: &State, form: &Form) -> Result<(), Refusal> {
    let Some(id) = form.get(PARAM) else {
        return Ok(());
    };
    match state.cvc_tokens.get(id) {
        None => Err(Refusal::missing_parameter("token", PARAM)),
        Some(CvcToken { used: true }) => Err(Refusal::invalid(
            "You cannot use a Stripe token more than once.",
        )
        .code("token_already_used")
        .param(PARAM)),
        Some(CvcToken { used: false }) => Ok(()),
    }
}

/// Uses it up, whatever the issuer says of the code.
pub(super) fn spend(state: &mut State, form: &Form) {
    let named = form.get(PARAM);
    if let Some(token) = named.and_then(|id| state.cvc_tokens.get_mut(id)) {
        token.used = true;
    }
}
