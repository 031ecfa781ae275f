//! `/v1/payment_methods`: the one place where a card number comes in.
//!
//! The number is looked at where it lies in the request's wiped buffer; what stays is what
//! `ids::Card` holds.

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::cards;
use super::customers;
use super::declines::Decline;
use super::errors::Refusal;
use super::events;
use super::form::Form;
use super::ids::Card;
use super::objects::{self, Object};
use super::records::{PaymentMethod, Standing};
use super::rules;
use super::state::{Bounded, Call, Outcome, State};
use super::test_methods;
use crate::clock::Timestamp;

/// Stripe's horizon for a card's expiry.
const EXPIRY_YEARS_MAX: i32 = 50;

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(&[
        "type",
        "card",
        "billing_details",
        "metadata",
        "allow_redisplay",
    ])?;
    if form.required("type")? != "card" {
        return Err(Refusal::invalid("This sandbox knows only cards.").param("type"));
    }
    form.required("card[number]")?;
    if !state.switches.raw_cards_allowed {
        return Err(Refusal::new(
            402,
            "invalid_request_error",
            "Sending credit card numbers directly to the Stripe API is generally unsafe. To enable raw card data APIs, see https://support.stripe.com/questions/enabling-access-to-raw-card-data-apis.",
        ));
    }
    create_in_browser(state, call)
}

/// The same as a browser does it, with Stripe's own script: no switch forbids that.
pub(super) fn create_in_browser(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    let digits = digits_of(form.required("card[number]")?)?;
    let (month, year) = expiry_of(form, call.now)?;
    check_cvc(form, &digits)?;
    rules::billing_details(form)?;
    let method = PaymentMethod {
        id: String::new(),
        card: Card::read(&digits, month, year, &state.fingerprint_key),
        created_s: call.now_s(),
        billing_details: billing_details(form),
        metadata: form.metadata()?,
        customer: None,
        set_up: false,
        standing: Standing::Usable,
    };
    let method = PaymentMethod {
        id: method.card.new_id(),
        ..method
    };
    let shown = method.show();
    insert(state, method);
    Ok(shown)
}

fn insert(state: &mut State, method: PaymentMethod) {
    state.payment_methods.insert(method.id.clone(), method);
    state.made.payment_methods = state.made.payment_methods.saturating_add(1);
}

pub(super) fn read(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&[])?;
    remembered(state, call.id, call.now)
        .map(|method| method.show())
        .ok_or_else(|| Refusal::missing("payment_method"))
}

/// `GET /v1/payment_methods?customer=…`.
pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["customer", "type", "allow_redisplay"])?;
    page(
        state,
        call,
        "/v1/payment_methods",
        call.form.get("customer"),
    )
}

/// `GET /v1/customers/{id}/payment_methods`.
pub(super) fn list_of_customer(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["type", "allow_redisplay"])?;
    customers::read(state, call)?;
    let url = format!("/v1/customers/{}/payment_methods", call.id);
    page(state, call, &url, Some(call.id))
}

fn page(state: &State, call: &Call<'_>, url: &str, customer: Option<&str>) -> Outcome {
    // A sandbox holds nothing but cards: of any other type there is none.
    let cards = call.form.get("type").is_none_or(|kind| kind == "card");
    objects::page(state, call, url, |method: &PaymentMethod| {
        cards && (customer.is_none() || method.customer.as_deref() == customer)
    })
}

pub(super) fn attach(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&["customer"])?;
    call.form.required("customer")?;
    let customer = customers::named(state, call)?;
    let strict = state.switches.decline_at_attach;
    let method =
        remembered(state, call.id, call.now).ok_or_else(|| Refusal::missing("payment_method"))?;
    belongs_to(method, customer.as_deref())?;
    if let Some(decline) = refused_at_set_up(method, strict) {
        return Err(Refusal::declined(decline));
    }
    method.customer = customer;
    let id = method.id.clone();
    let event = "payment_method.attached";
    Ok(events::about::<PaymentMethod>(state, call, event, &id))
}

pub(super) fn detach(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&[])?;
    let method =
        remembered(state, call.id, call.now).ok_or_else(|| Refusal::missing("payment_method"))?;
    if method.standing != Standing::Rebuilt && method.customer.is_none() {
        return Err(Refusal::invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
        ));
    }
    let before = json!({ "customer": method.customer });
    method.customer = None;
    method.standing = Standing::Detached;
    let event = "payment_method.detached";
    Ok(events::change::<PaymentMethod>(
        state, call, event, call.id, before,
    ))
}

/// The decline that set-up meets when the sandbox is as strict as Stripe.
pub(super) fn refused_at_set_up(method: &PaymentMethod, strict: bool) -> Option<&'static Decline> {
    let behaviour = method.card.behaviour()?;
    behaviour
        .charge
        .filter(|_| strict && behaviour.strict_at_set_up)
}

/// The method with that id: kept, told by its id when an earlier life made it, or fresh when the
/// id is the name of a test `PaymentMethod`.
pub(super) fn remembered<'a>(
    state: &'a mut State,
    id: &str,
    now: Timestamp,
) -> Option<&'a mut PaymentMethod> {
    if state.payment_methods.get(id).is_some() {
        return state.payment_methods.get_mut(id);
    }
    let mut method = PaymentMethod {
        id: id.to_owned(),
        card: match test_methods::card(id, now.year_month().0) {
            Some(card) => card,
            None => Card::of_id(id)?,
        },
        created_s: super::state::seconds(now),
        billing_details: billing_details(&Form::default()),
        metadata: Map::new(),
        customer: None,
        set_up: false,
        standing: Standing::Usable,
    };
    if Card::of_id(id).is_some() {
        // It was, or nobody would have kept its id.
        method.set_up = true;
        method.standing = Standing::Rebuilt;
        state.payment_methods.insert(id.to_owned(), method);
        return state.payment_methods.get_mut(id);
    }
    let fresh = method.card.new_id();
    method.id.clone_from(&fresh);
    insert(state, method);
    state.payment_methods.get_mut(&fresh)
}

/// Whether `customer` may use the method, in Stripe's order of complaints.
pub(super) fn belongs_to(
    method: &mut PaymentMethod,
    customer: Option<&str>,
) -> Result<(), Refusal> {
    if matches!(method.standing, Standing::Detached | Standing::Spent) {
        return Err(Refusal::invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, or was detached from a Customer. It may not be used again.",
        )
        .param("payment_method"));
    }
    if method.standing == Standing::Rebuilt && method.customer.is_none() {
        method.customer = customer.map(str::to_owned);
    }
    match (method.customer.as_deref(), customer) {
        (Some(owner), Some(customer)) if owner != customer => Err(Refusal::invalid(
            "The payment method belongs to another Customer.",
        )
        .param("payment_method")),
        (Some(_), None) => Err(Refusal::invalid(
            "The payment method belongs to a Customer. Please include the Customer in the `customer` parameter.",
        )
        .param("customer")),
        _ => Ok(()),
    }
}

fn digits_of(number: &str) -> Result<Zeroizing<String>, Refusal> {
    let mut digits = Zeroizing::new(String::with_capacity(number.len()));
    digits.extend(number.chars().filter(|c| !matches!(c, ' ' | '-')));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::card(
            "invalid_number",
            "number",
            "The card number is not a valid credit card number.",
        ));
    }
    if !(12..=19).contains(&digits.len()) || !cards::check_digit_is_right(&digits) {
        return Err(Refusal::card(
            "incorrect_number",
            "number",
            "Your card number is incorrect.",
        ));
    }
    Ok(digits)
}

fn expiry_of(form: &Form, now: Timestamp) -> Result<(u8, u16), Refusal> {
    let month = form.required("card[exp_month]")?;
    check_expiry(month, form.required("card[exp_year]")?, now)
}

/// Month and year of a card that has not expired.
pub(super) fn check_expiry(month: &str, year: &str, now: Timestamp) -> Result<(u8, u16), Refusal> {
    let wrong_month = || {
        Refusal::card(
            "invalid_expiry_month",
            "exp_month",
            "Your card's expiration month is invalid.",
        )
    };
    let wrong_year = || {
        Refusal::card(
            "invalid_expiry_year",
            "exp_year",
            "Your card's expiration year is invalid.",
        )
    };
    let month: u8 = month
        .parse()
        .ok()
        .filter(|month| (1..=12).contains(month))
        .ok_or_else(wrong_month)?;
    let given: u16 = year.parse().map_err(|_| wrong_year())?;
    let year = if given < 100 {
        given.saturating_add(2_000)
    } else {
        given
    };
    let (this_year, this_month) = now.year_month();
    let years_left = i32::from(year).saturating_sub(this_year);
    if !(0..=EXPIRY_YEARS_MAX).contains(&years_left) {
        return Err(wrong_year());
    }
    if years_left == 0 && month < this_month {
        return Err(wrong_month());
    }
    Ok((month, year))
}

fn check_cvc(form: &Form, digits: &str) -> Result<(), Refusal> {
    let Some(cvc) = form.get("card[cvc]") else {
        return Ok(());
    };
    let amex = cards::Brand::of(digits) == cards::Brand::Amex;
    let right_length = cvc.len() == 3 || (amex && cvc.len() == 4);
    if right_length && cvc.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(Refusal::card(
        "invalid_cvc",
        "cvc",
        "Your card's security code is invalid.",
    ))
}

pub(super) fn billing_details(form: &Form) -> Value {
    let field = |name: &str| form.owned(&format!("billing_details[{name}]"));
    let address = |name: &str| form.owned(&format!("billing_details[address][{name}]"));
    json!({
        "address": {
            "city": address("city"),
            "country": address("country"),
            "line1": address("line1"),
            "line2": address("line2"),
            "postal_code": address("postal_code"),
            "state": address("state"),
        },
        "email": field("email"),
        "name": field("name"),
        "phone": field("phone"),
        "tax_id": null,
    })
}

/// Stripe's verdicts on what was sent beside the number.
pub(super) fn checks(method: &PaymentMethod) -> Value {
    let sent = |name: &str| {
        let value = method.billing_details.pointer(name);
        value.and_then(Value::as_str).map(|_| "pass")
    };
    json!({
        "address_line1_check": sent("/address/line1"),
        "address_postal_code_check": sent("/address/postal_code"),
        "cvc_check": method.card.cvc_check(),
    })
}

impl Object for PaymentMethod {
    const NAME: &'static str = "payment_method";

    fn all(state: &State) -> &Bounded<Self> {
        &state.payment_methods
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.payment_methods
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_s(&self) -> i64 {
        self.created_s
    }

    fn show(&self) -> Value {
        let card = &self.card;
        json!({
            "id": self.id,
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": self.billing_details,
            "card": {
                "brand": card.brand.name(),
                "checks": checks(self),
                "country": card.country,
                "display_brand": card.brand.name(),
                "exp_month": card.exp_month,
                "exp_year": card.exp_year,
                "fingerprint": card.fingerprint(),
                "funding": card.funding.name(),
                "generated_from": null,
                "last4": card.last4,
                "networks": { "available": [card.brand.name()], "preferred": null },
                "regulated_status": "unregulated",
                "three_d_secure_usage": { "supported": true },
                "wallet": null,
            },
            "created": self.created_s,
            "customer": self.customer,
            "customer_account": null,
            "livemode": false,
            "metadata": self.metadata,
            "type": "card",
        })
    }
}
