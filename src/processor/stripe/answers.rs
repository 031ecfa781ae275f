//! What we read of Stripe's answers, and no more.
//!
//! Each structure names only the fields that are used, and takes any value for those that are
//! missing, so that a field that Stripe adds, drops or renames elsewhere breaks nothing. What is
//! used is checked here, before anyone believes it: ids, the last four digits, addresses.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::amounts;
use crate::processor::failure::is_name;
use crate::processor::reference::is_id;
use crate::processor::{Check, Failure, PaymentDetails};
use crate::token::CardSummary;

const REDIRECT_URL_BYTES_MAX: usize = 4_096;
const FINGERPRINT_BYTES_MAX: usize = 64;
/// A network's id of a transaction is no longer, and the schema holds no longer one.
const TRANSACTION_ID_BYTES_MAX: usize = 64;

/// Reads a successful answer. One that cannot be read leaves the outcome unknown: the processor
/// did something, and has not told us what.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // The parser's error quotes the answer, so it goes no further.
    serde_json::from_slice(body).map_err(|_| Failure::OutcomeUnknown)
}

/// Any object that has an id.
#[derive(Deserialize)]
pub(super) struct Object {
    id: String,
}

impl Object {
    /// The id, when it is one of that kind.
    pub(super) fn id(self, prefix: &str) -> Result<String, Failure> {
        checked_id(self.id, prefix)
    }
}

/// A `payment_method`.
#[derive(Deserialize)]
pub(super) struct PaymentMethod {
    id: String,
    card: Option<Card>,
    /// What kind it is.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// To whom it is attached.
    pub(super) customer: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(in crate::processor) struct Card {
    brand: String,
    last4: String,
    exp_month: u8,
    exp_year: u16,
    funding: Option<String>,
    country: Option<String>,
    fingerprint: Option<String>,
}

impl PaymentMethod {
    /// The id and what the world may know of the card.
    pub(super) fn into_parts(self) -> Result<(String, CardSummary, Option<String>), Failure> {
        let id = checked_id(self.id, "pm_")?;
        let fingerprint = self.card.as_ref().and_then(Card::fingerprint);
        let summary = self.card.and_then(Card::summary);
        Ok((id, summary.ok_or(Failure::OutcomeUnknown)?, fingerprint))
    }

    /// Whether it is a card, and not an account, a wallet or something that is not known yet.
    pub(super) fn is_card(&self) -> bool {
        self.kind.as_deref() == Some("card") && self.card.is_some()
    }
}

impl Card {
    fn fingerprint(&self) -> Option<String> {
        self.fingerprint
            .clone()
            .filter(|mark| is_id(mark) && mark.len() <= FINGERPRINT_BYTES_MAX)
    }

    pub(in crate::processor) fn summary(self) -> Option<CardSummary> {
        // PCI DSS 3.4.1: what comes after this goes to rows, answers and logs, so it is not left
        // to the other side that no more than four digits of a number are among it.
        let last4 = self.last4.len() == 4 && self.last4.bytes().all(|byte| byte.is_ascii_digit());
        let expiry = (1..=12).contains(&self.exp_month) && (2000..=2999).contains(&self.exp_year);
        if !last4 || !expiry || !is_name(&self.brand) {
            return None;
        }
        let country = self
            .country
            .filter(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()));
        Some(CardSummary {
            brand: self.brand,
            last4: self.last4,
            exp_month: self.exp_month,
            exp_year: self.exp_year,
            funding: self
                .funding
                .filter(|funding| matches!(funding.as_str(), "credit" | "debit" | "prepaid"))
                .unwrap_or_else(|| "unknown".to_owned()),
            country,
        })
    }
}

/// A `setup_intent`.
#[derive(Deserialize)]
pub(super) struct SetupIntent {
    id: String,
    pub(super) status: String,
    next_action: Option<NextAction>,
    pub(super) last_setup_error: Option<ErrorBody>,
}

impl SetupIntent {
    /// The id, when it is one.
    pub(super) fn id(&self) -> Result<String, Failure> {
        checked_id(self.id.clone(), "seti_")
    }

    /// Where the shopper authenticates.
    pub(super) fn redirect_url(self) -> Result<String, Failure> {
        redirect_url(self.next_action)
    }
}

/// A `payment_intent`.
#[derive(Deserialize)]
pub(super) struct PaymentIntent {
    id: String,
    pub(super) status: String,
    next_action: Option<NextAction>,
    pub(super) last_payment_error: Option<ErrorBody>,
    amount_received: Option<i64>,
    currency: Option<String>,
    metadata: Option<Metadata>,
    /// Seconds of Unix time.
    created: Option<i64>,
    latest_charge: Option<LatestCharge>,
}

/// Our own names among the merchant's pairs.
#[derive(Default, Deserialize)]
pub(super) struct Metadata {
    #[serde(rename = "cloakroom_charge")]
    pub(super) charge: Option<String>,
    #[serde(rename = "cloakroom_refund")]
    pub(super) refund: Option<String>,
    #[serde(rename = "cloakroom_key")]
    pub(super) request: Option<String>,
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
}

/// A `refund`.
#[derive(Deserialize)]
pub(super) struct Refund {
    id: String,
    amount: i64,
    currency: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub(super) status: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub(super) failure_reason: Option<String>,
    metadata: Option<Metadata>,
}

impl Refund {
    /// The id, when it is one: refunds of some payments begin with `pyr_`.
    pub(super) fn id(&self) -> Result<String, Failure> {
        checked_id(self.id.clone(), "re_").or_else(|_| checked_id(self.id.clone(), "pyr_"))
    }

    /// How much goes back.
    pub(super) fn amount(&self) -> Result<i64, Failure> {
        amounts::answered(self.amount, self.currency.as_deref())
    }

    /// Our refund id, where it carries one.
    pub(super) fn ours(&self) -> Option<&str> {
        self.metadata.as_ref()?.refund.as_deref()
    }

    /// The mark of the request that it was made for, where it carries one.
    pub(super) fn request(&self) -> Option<&str> {
        self.metadata.as_ref()?.request.as_deref()
    }
}

impl PaymentIntent {
    /// How much was taken.
    pub(super) fn captured(&self) -> Result<i64, Failure> {
        amounts::answered(self.amount_received.unwrap_or(0), self.currency.as_deref())
    }

    /// Our charge id, where it carries one.
    pub(super) fn ours(&self) -> Option<&str> {
        self.metadata.as_ref()?.charge.as_deref()
    }

    /// Whether it was made since then for the request of that mark.
    pub(super) fn is_of_request(&self, mark: &str, since_s: i64) -> bool {
        let carried = self
            .metadata
            .as_ref()
            .and_then(|ours| ours.request.as_deref());
        carried == Some(mark) && self.created.is_none_or(|created_s| created_s >= since_s)
    }

    /// What the networks and the issuer said of it, where the answer has it.
    pub(super) fn details(&self) -> PaymentDetails {
        let Some(LatestCharge::Object(charge)) = &self.latest_charge else {
            return PaymentDetails::default();
        };
        let Some(card) = charge.card() else {
            return PaymentDetails::default();
        };
        let check = |name: &Option<String>| name.as_deref().and_then(Check::from_name);
        let checks = card.checks.as_ref();
        PaymentDetails {
            network_transaction_id: card.network_transaction_id.clone().filter(|id| {
                (1..=TRANSACTION_ID_BYTES_MAX).contains(&id.len())
                    && id.bytes().all(|byte| byte.is_ascii_graphic())
            }),
            cvc_check: checks.and_then(|checks| check(&checks.cvc_check)),
            postal_code_check: checks.and_then(|checks| check(&checks.address_postal_code_check)),
        }
    }

    /// The id, when it is one.
    pub(super) fn id(&self) -> Result<String, Failure> {
        checked_id(self.id.clone(), "pi_")
    }

    /// Where the shopper authenticates.
    pub(super) fn redirect_url(self) -> Result<String, Failure> {
        redirect_url(self.next_action)
    }
}

/// The charge of a payment: its id, or itself where Stripe was asked to expand it. Whatever it is,
/// it hides nothing of the payment.
#[derive(Deserialize)]
#[serde(untagged)]
enum LatestCharge {
    Object(ExpandedCharge),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct ExpandedCharge {
    payment_method_details: Option<MethodDetails>,
}

impl ExpandedCharge {
    fn card(&self) -> Option<&CardDetails> {
        self.payment_method_details.as_ref()?.card.as_ref()
    }
}

#[derive(Deserialize)]
struct MethodDetails {
    card: Option<CardDetails>,
}

#[derive(Deserialize)]
struct CardDetails {
    #[serde(default, deserialize_with = "text_or_none")]
    network_transaction_id: Option<String>,
    checks: Option<Checks>,
}

#[derive(Deserialize)]
struct Checks {
    #[serde(default, deserialize_with = "text_or_none")]
    cvc_check: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    address_postal_code_check: Option<String>,
}

#[derive(Deserialize)]
struct NextAction {
    redirect_to_url: Option<RedirectToUrl>,
}

#[derive(Deserialize)]
struct RedirectToUrl {
    url: Option<String>,
}

fn redirect_url(action: Option<NextAction>) -> Result<String, Failure> {
    action
        .and_then(|action| action.redirect_to_url)
        .and_then(|redirect| redirect.url)
        // A shopper is never sent to a plain page, nor to anything but a page.
        .filter(|url| url.starts_with("https://") && url.len() <= REDIRECT_URL_BYTES_MAX)
        .ok_or(Failure::OutcomeUnknown)
}

fn checked_id(id: String, prefix: &str) -> Result<String, Failure> {
    if is_id(&id) && id.starts_with(prefix) {
        Ok(id)
    } else {
        Err(Failure::OutcomeUnknown)
    }
}

/// The body of an error, and of `last_payment_error`. Every field may be missing or of another
/// type, so that none of them can hide the decline code.
#[derive(Default, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(rename = "type", default, deserialize_with = "text_or_none")]
    pub(super) kind: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub(super) code: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub(super) decline_code: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub(super) advice_code: Option<String>,
    /// The parameter that it is about: a name of Stripe's, checked before it goes anywhere.
    #[serde(default, deserialize_with = "text_or_none")]
    pub(super) param: Option<String>,
    /// Free text, which may quote the request. Looked at for one known sentence, never kept.
    #[serde(default, deserialize_with = "text_or_none")]
    pub(super) message: Option<String>,
    #[serde(default)]
    payment_intent: Option<Embedded>,
}

impl ErrorBody {
    /// The payment that was refused, where the refusal names one.
    pub(super) fn payment(&self) -> Option<String> {
        let id = match self.payment_intent.as_ref()? {
            Embedded::Object { id } | Embedded::Id(id) => id,
            Embedded::Other(_) => return None,
        };
        checked_id(id.clone(), "pi_").ok()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Embedded {
    Object { id: String },
    Id(String),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrElse {
    Text(String),
    Else(IgnoredAny),
}

fn text_or_none<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Ok(match TextOrElse::deserialize(value)? {
        TextOrElse::Text(text) => Some(text),
        TextOrElse::Else(_) => None,
    })
}

#[derive(Deserialize)]
struct Envelope {
    error: ErrorBody,
}

/// Reads an error's envelope; `None` when it is not one of Stripe's, but of something on the way.
pub(super) fn read_error(body: &[u8]) -> Option<ErrorBody> {
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    Some(envelope.error)
}
