//! Which path does what, and what a restricted key may do.

use serde_json::json;

use super::events::{self, Event};
use super::objects;
use super::records::{Charge, Dispute, PaymentIntent, Refund, SetupIntent};
use super::state::{Call, Outcome, State};
use super::webhooks::{self, Endpoint};
use super::{
    card_updates, charges, customers, cvc_tokens, disputes, payment_intents, payment_methods,
    refunds, search, setup_intents,
};

/// The sandbox's one account.
pub(super) const ACCOUNT: &str = "acct_1SbxCloakroom";

/// An endpoint.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// One segment may be `{id}`.
    pub(super) path: &'static str,
    /// What a restricted key would need, in Stripe's names.
    pub(super) permission: &'static str,
    /// Whether restricted keys have it: what a plane that only vaults cards needs.
    pub(super) restricted_may: bool,
    pub(super) run: fn(&mut State, &Call<'_>) -> Outcome,
}

type Run = fn(&mut State, &Call<'_>) -> Outcome;

const fn vaulting(
    method: &'static str,
    path: &'static str,
    permission: &'static str,
    run: Run,
) -> Route {
    Route {
        method,
        path,
        permission,
        restricted_may: true,
        run,
    }
}

const fn full(
    method: &'static str,
    path: &'static str,
    permission: &'static str,
    run: Run,
) -> Route {
    Route {
        restricted_may: false,
        ..vaulting(method, path, permission, run)
    }
}

// One line an endpoint, to be read as a table.
#[rustfmt::skip]
static ROUTES: &[Route] = &[
    full("POST", "/v1/customers", "rak_customer_write", customers::create),
    vaulting("GET", "/v1/customers", "rak_customer_read", customers::list),
    vaulting("GET", "/v1/customers/{id}", "rak_customer_read", customers::read),
    vaulting("GET", "/v1/customers/{id}/payment_methods", "rak_payment_method_read", payment_methods::list_of_customer),
    vaulting("POST", "/v1/tokens", "rak_token_write", cvc_tokens::create),
    vaulting("POST", "/v1/payment_methods", "rak_payment_method_write", payment_methods::create),
    vaulting("GET", "/v1/payment_methods", "rak_payment_method_read", payment_methods::list),
    vaulting("POST", "/v1/payment_methods/{id}", "rak_payment_method_write", card_updates::by_hand),
    vaulting("GET", "/v1/payment_methods/{id}", "rak_payment_method_read", payment_methods::read),
    vaulting("POST", "/v1/payment_methods/{id}/attach", "rak_payment_method_write", payment_methods::attach),
    vaulting("POST", "/v1/payment_methods/{id}/detach", "rak_payment_method_write", payment_methods::detach),
    vaulting("POST", "/v1/setup_intents", "rak_setup_intent_write", setup_intents::create),
    vaulting("GET", "/v1/setup_intents", "rak_setup_intent_read", setup_intents::list),
    vaulting("GET", "/v1/setup_intents/{id}", "rak_setup_intent_read", objects::read::<SetupIntent>),
    vaulting("POST", "/v1/setup_intents/{id}/confirm", "rak_setup_intent_write", setup_intents::confirm),
    vaulting("POST", "/v1/setup_intents/{id}/cancel", "rak_setup_intent_write", setup_intents::cancel),
    full("POST", "/v1/payment_intents", "rak_payment_intent_write", payment_intents::create),
    full("GET", "/v1/payment_intents", "rak_payment_intent_read", payment_intents::list),
    full("GET", "/v1/payment_intents/search", "rak_payment_intent_read", search::payment_intents),
    full("GET", "/v1/payment_intents/{id}", "rak_payment_intent_read", objects::read::<PaymentIntent>),
    full("POST", "/v1/payment_intents/{id}", "rak_payment_intent_write", payment_intents::update),
    full("POST", "/v1/payment_intents/{id}/confirm", "rak_payment_intent_write", payment_intents::confirm),
    full("POST", "/v1/payment_intents/{id}/capture", "rak_payment_intent_write", payment_intents::capture),
    full("POST", "/v1/payment_intents/{id}/cancel", "rak_payment_intent_write", payment_intents::cancel),
    full("GET", "/v1/charges", "rak_charge_read", charges::list),
    full("GET", "/v1/charges/{id}", "rak_charge_read", objects::read::<Charge>),
    full("POST", "/v1/refunds", "rak_charge_write", refunds::create),
    full("GET", "/v1/refunds", "rak_charge_read", refunds::list),
    full("GET", "/v1/refunds/{id}", "rak_charge_read", objects::read::<Refund>),
    full("POST", "/v1/refunds/{id}", "rak_charge_write", refunds::update),
    full("GET", "/v1/disputes", "rak_dispute_read", disputes::list),
    full("GET", "/v1/disputes/{id}", "rak_dispute_read", objects::read::<Dispute>),
    full("POST", "/v1/disputes/{id}", "rak_dispute_write", disputes::update),
    full("POST", "/v1/disputes/{id}/close", "rak_dispute_write", disputes::accept),
    full("GET", "/v1/events", "rak_event_read", events::list),
    full("GET", "/v1/events/{id}", "rak_event_read", objects::read::<Event>),
    full("POST", "/v1/webhook_endpoints", "rak_webhook_write", webhooks::create),
    full("GET", "/v1/webhook_endpoints", "rak_webhook_read", webhooks::list),
    full("GET", "/v1/webhook_endpoints/{id}", "rak_webhook_read", objects::read::<Endpoint>),
    full("POST", "/v1/webhook_endpoints/{id}", "rak_webhook_write", webhooks::update),
    full("DELETE", "/v1/webhook_endpoints/{id}", "rak_webhook_write", webhooks::remove),
    full("GET", "/v1/account", "rak_accounts_read", account),
];

/// The endpoint, and what stands for `{id}`.
pub(super) fn find<'a>(method: &str, path: &'a str) -> Option<(&'static Route, &'a str)> {
    ROUTES
        .iter()
        .filter(|route| route.method == method)
        .find_map(|route| Some((route, matches(route.path, path)?)))
}

fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut id = "";
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(id),
            (Some("{id}"), Some(have)) if !have.is_empty() => id = have,
            (Some(want), Some(have)) if want == have => {}
            _ => return None,
        }
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "an endpoint is a function of this shape"
)]
fn account(_: &mut State, call: &Call<'_>) -> Outcome {
    Ok(json!({
        "id": ACCOUNT,
        "object": "account",
        "business_profile": { "name": "Cloakroom sandbox" },
        "business_type": null,
        "capabilities": { "card_payments": "active", "transfers": "active" },
        "charges_enabled": true,
        "controller": { "type": "account" },
        "country": "DE",
        "created": call.now_s(),
        "default_currency": "eur",
        "details_submitted": true,
        "email": null,
        "metadata": {},
        "payouts_enabled": true,
        "settings": {},
        "type": "standard",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_endpoint_and_its_id() {
        let found = |method, path| find(method, path).map(|(route, id)| (route.path, id));
        assert_eq!(
            found("GET", "/v1/payment_intents/search"),
            Some(("/v1/payment_intents/search", ""))
        );
        assert_eq!(
            found("POST", "/v1/payment_intents/pi_1/capture"),
            Some(("/v1/payment_intents/{id}/capture", "pi_1"))
        );
        assert_eq!(found("GET", "/v1/payment_intents/"), None);
        assert_eq!(found("DELETE", "/v1/payment_intents/pi_1"), None);
        assert_eq!(found("GET", "/v1/payment_intents/pi_1/capture"), None);
    }
}
