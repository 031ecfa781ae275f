//! What a `PaymentIntent` and a `SetupIntent` have in common: who pays with what, and the way to a
//! confirmation. What each of them does when it is confirmed stands in its own file.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::customers;
use super::errors::Refusal;
use super::events;
use super::ids;
use super::objects::{Object, found};
use super::payment_methods as methods;
use super::records::PaymentMethod;
use super::state::{Call, Outcome, State};
use super::words::Word;

/// The half that both kinds share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Core {
    pub(super) id: String,
    pub(super) client_secret: String,
    pub(super) authenticate_url: String,
    /// How often the issuer has asked: each time under another address.
    #[serde(default)]
    pub(super) challenges: u32,
    pub(super) customer: Option<String>,
    pub(super) payment_method: Option<String>,
    #[serde(with = "super::words")]
    pub(super) status: Word,
    pub(super) metadata: Map<String, Value>,
    pub(super) description: Option<String>,
    pub(super) return_url: Option<String>,
    pub(super) last_error: Option<Value>,
    #[serde(with = "super::words::if_any")]
    pub(super) cancellation_reason: Option<Word>,
}

impl Core {
    /// What a well-formed order asks for; nothing is kept yet.
    pub(super) fn ordered(state: &State, call: &Call<'_>, prefix: &str) -> Result<Self, Refusal> {
        let id = ids::new(prefix);
        Ok(Self {
            client_secret: format!("{id}_secret_{}", ids::random(25)),
            authenticate_url: call.authenticate_url(&id),
            challenges: 0,
            customer: customers::named(state, call)?,
            payment_method: None,
            status: "requires_payment_method",
            metadata: call.form.metadata()?,
            description: call.form.owned("description"),
            return_url: call.form.return_url()?.filter(|_| state.switches.redirects),
            last_error: None,
            cancellation_reason: None,
            id,
        })
    }

    /// The issuer's page of this try; those of earlier ones are over.
    fn challenge_url(&self) -> String {
        match self.challenges {
            0 | 1 => self.authenticate_url.clone(),
            challenge => format!("{}/{challenge}", self.authenticate_url),
        }
    }

    /// Whether a page is of the try that is under way, by the number in its address.
    pub(super) fn is_under_way(&self, challenge: Option<&str>) -> bool {
        let wanted = match self.challenges {
            0 | 1 => None,
            challenge => Some(challenge.to_string()),
        };
        challenge == wanted.as_deref()
    }

    /// Where the client sends the cardholder.
    pub(super) fn next_action(&self) -> Value {
        match (self.status, &self.return_url) {
            ("requires_action", Some(return_url)) => json!({
                "type": "redirect_to_url",
                "redirect_to_url": { "url": self.challenge_url(), "return_url": return_url },
            }),
            ("requires_action", None) => json!({
                "type": "use_stripe_sdk",
                "use_stripe_sdk": {
                    "type": "three_d_secure_redirect",
                    "stripe_js": self.challenge_url(),
                },
            }),
            _ => Value::Null,
        }
    }
}

/// A kind of intent, with the names of what becomes of it.
pub(super) trait Intent: Object {
    const TITLE: &'static str;
    /// The code of a call that its status does not allow.
    const UNEXPECTED: &'static str;
    /// The code of a cardholder who did not pass the issuer's page.
    const UNAUTHENTICATED: &'static str;
    const REQUIRES_ACTION_EVENT: &'static str;
    const FAILED_EVENT: &'static str;
    const CANCELED_EVENT: &'static str;
    const CANCELLATION_REASONS: &'static [&'static str];

    fn core(&self) -> &Core;
    fn core_mut(&mut self) -> &mut Core;
}

/// The `payment_method` parameter, if it is there and that customer may use it.
pub(super) fn usable(
    state: &mut State,
    call: &Call<'_>,
    customer: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let Some(id) = call.form.get("payment_method") else {
        return Ok(None);
    };
    let method = methods::remembered(state, id, call.now)
        .ok_or_else(|| Refusal::missing_parameter("payment_method", "payment_method"))?;
    methods::belongs_to(method, customer)?;
    Ok(Some(method.id.clone()))
}

/// Takes over what a confirmation names: the method, the way back.
pub(super) fn choose<I: Intent>(state: &mut State, call: &Call<'_>) -> Result<(), Refusal> {
    let customer = found::<I>(state, call.id)?.core().customer.clone();
    let return_url = call.form.return_url()?.filter(|_| state.switches.redirects);
    let method = usable(state, call, customer.as_deref())?;
    let intent = found::<I>(state, call.id)?;
    let core = intent.core_mut();
    core.payment_method = method.or_else(|| core.payment_method.take());
    core.return_url = return_url.or_else(|| core.return_url.take());
    if core.payment_method.is_some() {
        return Ok(());
    }
    let object = intent.show();
    Err(missing_method::<I>().with(I::NAME, object))
}

pub(super) fn missing_method<I: Intent>() -> Refusal {
    Refusal::invalid(format!(
        "You cannot confirm this {} because it's missing a payment method.",
        I::TITLE
    ))
    .code(I::UNEXPECTED)
    .param("payment_method")
}

/// The method that is about to be used.
pub(super) fn method_of<I: Intent>(
    state: &mut State,
    call: &Call<'_>,
    id: &str,
) -> Result<PaymentMethod, Refusal> {
    let method = found::<I>(state, id)?.core().payment_method.clone();
    let method = method.ok_or_else(missing_method::<I>)?;
    methods::remembered(state, &method, call.now)
        .cloned()
        .ok_or_else(|| Refusal::missing_parameter("payment_method", "payment_method"))
}

/// The issuer wants to see the cardholder first.
pub(super) fn ask<I: Intent>(state: &mut State, call: &Call<'_>, id: &str) -> Outcome {
    let core = found::<I>(state, id)?.core_mut();
    core.status = "requires_action";
    core.challenges = core.challenges.saturating_add(1);
    Ok(events::about::<I>(
        state,
        call,
        I::REQUIRES_ACTION_EVENT,
        id,
    ))
}

/// Back to the start, with the reason; the refusal then carries the intent.
pub(super) fn failed<I: Intent>(
    state: &mut State,
    call: &Call<'_>,
    id: &str,
    refusal: Refusal,
) -> Refusal {
    let Some(intent) = I::all_mut(state).get_mut(id) else {
        return refusal;
    };
    let core = intent.core_mut();
    core.status = "requires_payment_method";
    core.payment_method = None;
    core.last_error = Some(refusal.to_json(""));
    let object = events::about::<I>(state, call, I::FAILED_EVENT, id);
    refusal.with(I::NAME, object)
}

/// The cardholder did not pass the issuer's page.
pub(super) fn unauthenticated<I: Intent>(state: &mut State, call: &Call<'_>, id: &str) -> Refusal {
    let refusal =
        Refusal::invalid("The cardholder could not be authenticated.").code(I::UNAUTHENTICATED);
    failed::<I>(state, call, id, refusal)
}

/// `POST …/{id}/cancel`, up to what is particular to the kind.
pub(super) fn cancel<I: Intent>(
    state: &mut State,
    call: &Call<'_>,
    too_late: &[&str],
) -> Result<(), Refusal> {
    call.form.only(&["cancellation_reason"])?;
    let reason = call
        .form
        .choice("cancellation_reason", I::CANCELLATION_REASONS)?;
    let core = found::<I>(state, call.id)?.core_mut();
    if too_late.contains(&core.status) {
        return Err(unexpected::<I>(state, call.id, "canceled"));
    }
    core.status = "canceled";
    core.cancellation_reason = reason;
    Ok(())
}

/// 400: not in this status. The object is beside the error, so that the caller sees which it has.
pub(super) fn unexpected<I: Intent>(state: &State, id: &str, verb: &str) -> Refusal {
    let Some(intent) = I::all(state).get(id) else {
        return Refusal::missing(I::NAME);
    };
    Refusal::invalid(format!(
        "This {} could not be {verb} because it has a status of {}.",
        I::TITLE,
        intent.core().status
    ))
    .code(I::UNEXPECTED)
    .with(I::NAME, intent.show())
}
