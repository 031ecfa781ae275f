//! What an event means to us (<https://docs.stripe.com/api/events/types>).
//!
//! An object that is not what its event's kind says is not guessed at: the whole notice is
//! unreadable. One that is sound and none of ours, such as a bank account or a card of Stripe's
//! older kind, is [`What::Other`].
//!
//! A refund's or a dispute's state, reason or amount that this program does not know is no reason to
//! refuse the event, which Stripe would repeat for days and then give up: it says less, and what is
//! missing is asked for.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{DisputePhase, DisputeStatus, Notice, PaymentState, What};
use crate::clock::Timestamp;
use crate::processor::failure::is_name;
use crate::processor::reference::is_id;
use crate::processor::stripe::{CardObject, from_stripe, refund_state};
use crate::processor::{DeclineCode, RefundState};

/// The last second of the year 9999, after which a time cannot be written down.
const CREATED_S_MAX: i64 = 253_402_300_799;

/// ISO 4217's code for no currency.
const NO_CURRENCY: &str = "xxx";

/// Something stands where something else must.
pub(super) struct Unsound;

/// An object of JSON's. serde also reads an array for a structure whose members come in order,
/// which Stripe never writes: so whatever is a structure here is an object first.
type Object = Map<String, Value>;

/// Reads an event whose signature holds.
pub(super) fn notice(body: &[u8]) -> Result<Notice, Unsound> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Unsound);
    }
    // The parser's error quotes the body, so it goes no further.
    let mut event: Event = serde_json::from_slice(body).map_err(|_| Unsound)?;
    let object = event.data.remove("object").ok_or(Unsound)?;
    if !(0..=CREATED_S_MAX).contains(&event.created) {
        return Err(Unsound);
    }
    Ok(Notice {
        id: id_of(event.id, "evt_")?,
        live: event.livemode,
        account: event.account.map(|id| id_of(id, "acct_")).transpose()?,
        created: Timestamp::from_unix_ms(event.created.saturating_mul(1_000)),
        what: what(&event.kind, object)?,
    })
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    livemode: bool,
    created: i64,
    account: Option<String>,
    data: Object,
}

/// What an event of that kind tells.
fn what(kind: &str, object: Value) -> Result<What, Unsound> {
    match kind {
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            read::<Refund>(object)?.what()
        }
        "charge.dispute.created" => read::<Dispute>(object)?.what(DisputePhase::Opened),
        "charge.dispute.closed" => read::<Dispute>(object)?.what(DisputePhase::Closed),
        // Evidence was given, or the money moved.
        _ if kind.starts_with("charge.dispute.") => {
            read::<Dispute>(object)?.what(DisputePhase::Updated)
        }
        // How it began is known from the answer to whoever made it.
        "payment_intent.created" => Ok(What::Other),
        _ if kind.starts_with("payment_intent.") => read::<Payment>(object)?.what(),
        "charge.succeeded" | "charge.failed" | "charge.captured" | "charge.expired"
        | "charge.pending" | "charge.refunded" => read::<Charge>(object)?.what(),
        "payment_method.automatically_updated"
        | "payment_method.card_automatically_updated"
        | "payment_method.updated" => read::<Method>(object)?.what(),
        "payment_method.detached" => read::<Detached>(object)?.what(),
        "setup_intent.succeeded" => read::<Setup>(object)?.what(),
        _ => Ok(What::Other),
    }
}

fn read<T: DeserializeOwned>(object: Value) -> Result<T, Unsound> {
    if object.is_object() {
        serde_json::from_value(object).map_err(|_| Unsound)
    } else {
        Err(Unsound)
    }
}

/// Our own name among the merchant's pairs. Whoever may use the account can write there, so a text
/// that is no id is nothing.
fn ours(metadata: Option<Object>, name: &str) -> Result<Option<String>, Unsound> {
    match metadata.and_then(|mut pairs| pairs.remove(name)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| is_id(text))),
        Some(_) => Err(Unsound),
    }
}

/// An id, or the object that has it, where Stripe was asked to expand it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Id(String),
    Object(Object),
}

impl Named {
    fn into_id(self) -> Result<String, Unsound> {
        match self {
            Self::Id(id) => Ok(id),
            Self::Object(mut object) => match object.remove("id") {
                Some(Value::String(id)) => Ok(id),
                _ => Err(Unsound),
            },
        }
    }
}

fn id_of(id: String, prefix: &str) -> Result<String, Unsound> {
    let right = is_id(&id) && id.starts_with(prefix);
    if right { Ok(id) } else { Err(Unsound) }
}

/// The payment that an object is about: none, or one whose id is an id.
fn payment_of(named: Option<Named>) -> Result<Option<String>, Unsound> {
    let id = named.map(Named::into_id).transpose()?;
    id.map(|id| id_of(id, "pi_")).transpose()
}

/// An amount in the currency's minor unit, with its currency, where both can be read.
fn money(amount: Option<&Value>, currency: Option<Value>) -> Option<(i64, String)> {
    let Some(Value::String(currency)) = currency else {
        return None;
    };
    let amount = from_stripe(amount?.as_i64()?, &currency)?;
    Some((amount, currency))
}

/// One of Stripe's words; `unknown` where it is none.
fn word(value: Option<Value>) -> String {
    match value {
        Some(Value::String(text)) if is_name(&text) => text,
        _ => "unknown".to_owned(),
    }
}

#[derive(Deserialize)]
struct Payment {
    id: String,
    metadata: Option<Object>,
    status: Option<Value>,
    amount_received: Option<Value>,
    currency: Option<Value>,
}

impl Payment {
    fn what(self) -> Result<What, Unsound> {
        Ok(What::Payment {
            payment: id_of(self.id, "pi_")?,
            charge: ours(self.metadata, "cloakroom_charge")?,
            status: self
                .status
                .as_ref()
                .and_then(Value::as_str)
                .map(PaymentState::from_name),
            captured: captured(self.amount_received.as_ref(), self.currency),
        })
    }
}

fn captured(amount: Option<&Value>, currency: Option<Value>) -> Option<i64> {
    money(amount, currency).map(|(amount, _)| amount)
}

/// One attempt at a payment, which carries the payment's pairs.
#[derive(Deserialize)]
struct Charge {
    payment_intent: Option<Named>,
    metadata: Option<Object>,
    amount_captured: Option<Value>,
    currency: Option<Value>,
}

impl Charge {
    fn what(self) -> Result<What, Unsound> {
        Ok(match payment_of(self.payment_intent)? {
            Some(payment) => What::Payment {
                payment,
                charge: ours(self.metadata, "cloakroom_charge")?,
                status: None,
                captured: captured(self.amount_captured.as_ref(), self.currency),
            },
            // A charge without a PaymentIntent is none of ours.
            None => What::Other,
        })
    }
}

#[derive(Deserialize)]
struct Refund {
    id: String,
    payment_intent: Option<Named>,
    metadata: Option<Object>,
    amount: Option<Value>,
    currency: Option<Value>,
    status: Option<Value>,
    failure_reason: Option<Value>,
}

impl Refund {
    fn what(self) -> Result<What, Unsound> {
        // Refunds of some payments begin with `pyr_`.
        let refund = id_of(self.id.clone(), "re_").or_else(|_| id_of(self.id, "pyr_"))?;
        let payment = payment_of(self.payment_intent)?;
        let ours = ours(self.metadata, "cloakroom_refund")?;
        let Some((amount, currency)) = money(self.amount.as_ref(), self.currency) else {
            // Without its amount it is only a hint to look at the payment.
            return Ok(payment.map_or(What::Other, hint));
        };
        let status = self.status.as_ref().and_then(Value::as_str);
        let failure = self.failure_reason.as_ref().and_then(Value::as_str);
        Ok(What::Refund {
            refund,
            payment,
            ours,
            amount,
            currency,
            state: status
                .and_then(refund_state)
                .unwrap_or(RefundState::Pending),
            failure: failure.and_then(DeclineCode::parse),
        })
    }
}

/// Something became of a payment.
const fn hint(payment: String) -> What {
    What::Payment {
        payment,
        charge: None,
        status: None,
        captured: None,
    }
}

#[derive(Deserialize)]
struct Dispute {
    id: String,
    payment_intent: Option<Named>,
    amount: Option<Value>,
    currency: Option<Value>,
    reason: Option<Value>,
    status: Option<Value>,
}

impl Dispute {
    fn what(self, phase: DisputePhase) -> Result<What, Unsound> {
        let money = money(self.amount.as_ref(), self.currency);
        let (amount, currency) = money.unwrap_or_else(|| (0, NO_CURRENCY.to_owned()));
        let status = word(self.status);
        Ok(What::Dispute {
            // Stripe has given them more than one prefix.
            dispute: id_of(self.id, "")?,
            payment: payment_of(self.payment_intent)?,
            amount,
            currency,
            reason: word(self.reason),
            state: DisputeStatus::from_name(&status),
            status,
            phase,
        })
    }
}

/// The card at the processor by which a token may be known. Accounts also have cards of Stripe's
/// older kinds, `card_…` and `src_…`, which no token of ours refers to.
fn method(id: String) -> Result<Option<String>, Unsound> {
    let id = id_of(id, "")?;
    Ok(Some(id).filter(|id| id.starts_with("pm_")))
}

#[derive(Deserialize)]
struct Method {
    id: String,
    card: Option<Object>,
}

impl Method {
    fn what(self) -> Result<What, Unsound> {
        Ok(match (method(self.id)?, self.card) {
            (Some(payment_method), Some(card)) => What::Card {
                payment_method,
                card: read::<CardObject>(Value::Object(card))?
                    .summary()
                    .ok_or(Unsound)?,
            },
            // Other kinds than cards are renewed, too.
            (None, _) | (_, None) => What::Other,
        })
    }
}

#[derive(Deserialize)]
struct Detached {
    id: String,
}

impl Detached {
    fn what(self) -> Result<What, Unsound> {
        let method = method(self.id)?;
        Ok(method.map_or(What::Other, |payment_method| What::Detached {
            payment_method,
        }))
    }
}

#[derive(Deserialize)]
struct Setup {
    payment_method: Option<Named>,
}

impl Setup {
    fn what(self) -> Result<What, Unsound> {
        let Some(named) = self.payment_method else {
            return Ok(What::Other);
        };
        let method = method(named.into_id()?)?;
        Ok(method.map_or(What::Other, |payment_method| What::Setup { payment_method }))
    }
}
