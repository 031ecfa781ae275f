//! What an event means to us (<https://docs.stripe.com/api/events/types>).
//!
//! An object that is not what its event's kind says is not guessed at: the whole notice is
//! unreadable. One that is sound and none of ours, such as a bank account or a card of Stripe's
//! older kind, is [`What::Other`].

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{DisputePhase, Notice, What};
use crate::clock::Timestamp;
use crate::processor::DeclineCode;
use crate::processor::failure::is_name;
use crate::processor::reference::is_id;
use crate::processor::stripe::{CardObject, refund_state};

/// The last second of the year 9999, after which a time cannot be written down.
const CREATED_S_MAX: i64 = 253_402_300_799;

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
        _ if kind.starts_with("payment_intent.") => read::<Payment>(object)?.what(),
        "charge.succeeded" | "charge.failed" | "charge.captured" | "charge.expired"
        | "charge.pending" | "charge.refunded" => read::<Charge>(object)?.what(),
        "payment_method.automatically_updated"
        | "payment_method.card_automatically_updated"
        | "payment_method.updated" => read::<Method>(object)?.what(),
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

fn amount(minor: i64) -> Result<i64, Unsound> {
    if minor >= 0 { Ok(minor) } else { Err(Unsound) }
}

fn currency(text: String) -> Result<String, Unsound> {
    let plain = text.len() == 3 && text.bytes().all(|letter| letter.is_ascii_lowercase());
    if plain { Ok(text) } else { Err(Unsound) }
}

fn name(text: String) -> Result<String, Unsound> {
    if is_name(&text) {
        Ok(text)
    } else {
        Err(Unsound)
    }
}

#[derive(Deserialize)]
struct Payment {
    id: String,
    metadata: Option<Object>,
}

impl Payment {
    fn what(self) -> Result<What, Unsound> {
        Ok(What::Payment {
            payment: id_of(self.id, "pi_")?,
            charge: ours(self.metadata, "cloakroom_charge")?,
        })
    }
}

/// One attempt at a payment, which carries the payment's pairs.
#[derive(Deserialize)]
struct Charge {
    payment_intent: Option<Named>,
    metadata: Option<Object>,
}

impl Charge {
    fn what(self) -> Result<What, Unsound> {
        Ok(match payment_of(self.payment_intent)? {
            Some(payment) => What::Payment {
                payment,
                charge: ours(self.metadata, "cloakroom_charge")?,
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
    amount: i64,
    currency: String,
    status: String,
    failure_reason: Option<String>,
}

impl Refund {
    fn what(self) -> Result<What, Unsound> {
        // Refunds of some payments begin with `pyr_`.
        let refund = id_of(self.id.clone(), "re_").or_else(|_| id_of(self.id, "pyr_"))?;
        Ok(What::Refund {
            refund,
            payment: payment_of(self.payment_intent)?,
            ours: ours(self.metadata, "cloakroom_refund")?,
            amount: amount(self.amount)?,
            currency: currency(self.currency)?,
            state: refund_state(&self.status).ok_or(Unsound)?,
            failure: self.failure_reason.as_deref().and_then(DeclineCode::parse),
        })
    }
}

#[derive(Deserialize)]
struct Dispute {
    id: String,
    payment_intent: Option<Named>,
    amount: i64,
    currency: String,
    reason: String,
    status: String,
}

impl Dispute {
    fn what(self, phase: DisputePhase) -> Result<What, Unsound> {
        Ok(What::Dispute {
            // Stripe has given them more than one prefix.
            dispute: id_of(self.id, "")?,
            payment: payment_of(self.payment_intent)?,
            amount: amount(self.amount)?,
            currency: currency(self.currency)?,
            reason: name(self.reason)?,
            status: name(self.status)?,
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
