//! What a processor is asked to do, in our words.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::RefundReason;
use crate::token::Usage;

/// What the shopper says about the card's holder. Goes to the processor for the issuer's checks
/// and is kept nowhere.
#[derive(Default)]
pub struct BillingDetails {
    /// The holder's name.
    pub name: Option<Zeroizing<String>>,
    /// E-mail address.
    pub email: Option<Zeroizing<String>>,
    /// Telephone number.
    pub phone: Option<Zeroizing<String>>,
    /// Postal address.
    pub address: Address,
}

/// The holder's postal address.
#[derive(Default)]
pub struct Address {
    /// Street and number.
    pub line1: Option<Zeroizing<String>>,
    /// What does not fit the first line.
    pub line2: Option<Zeroizing<String>>,
    /// Town.
    pub city: Option<Zeroizing<String>>,
    /// State, county or province.
    pub state: Option<Zeroizing<String>>,
    /// Postal code.
    pub postal_code: Option<Zeroizing<String>>,
    /// ISO 3166-1 alpha-2 country.
    pub country: Option<Zeroizing<String>>,
}

impl fmt::Debug for BillingDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BillingDetails(..)")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

/// How a card is to be vaulted.
#[derive(Clone, Copy, Debug)]
pub struct CardOrder<'a> {
    /// Who holds the card.
    pub billing: &'a BillingDetails,
    /// The processor's id of the customer to whom it is attached.
    pub customer: &'a str,
    /// How the merchant means to charge it.
    pub usage: Usage,
    /// Where the shopper goes after authenticating.
    pub return_url: &'a str,
    /// Repeating an order with this key has no second effect.
    pub idempotency_key: &'a str,
    /// On whose behalf: one client's calls do not wait behind another's.
    pub client: &'a str,
    /// The capture session that it was posted to: one has few calls at one time.
    pub session: &'a str,
}

/// How what a browser vaulted at the processor itself is to be attached.
#[derive(Clone, Copy, Debug)]
pub struct AttachOrder<'a> {
    /// The processor's name of what the browser made.
    pub payment_method: &'a str,
    /// The processor's id of the customer to whom it is attached.
    pub customer: &'a str,
    /// How the merchant means to charge it.
    pub usage: Usage,
    /// Where the shopper goes after authenticating.
    pub return_url: &'a str,
    /// Repeating an order with this key has no second effect.
    pub idempotency_key: &'a str,
    /// On whose behalf.
    pub client: &'a str,
    /// The capture session, where it comes from one.
    pub session: Option<&'a str>,
}

/// How the security code of a saved card is to be taken in.
#[derive(Clone, Copy, Debug)]
pub struct SecurityCodeOrder<'a> {
    /// Repeating an order with this key has no second effect.
    pub idempotency_key: &'a str,
    /// On whose behalf.
    pub client: &'a str,
    /// The capture session that it was posted to.
    pub session: &'a str,
}

/// What is to be charged, and how.
#[derive(Clone, Copy, Debug)]
pub struct ChargeOrder<'a> {
    /// Our charge id, by which the payment is found again at the processor.
    pub charge: &'a str,
    /// The mark of the caller's request, by which it is found when our charge is lost.
    pub request: &'a str,
    /// In the currency's minor unit.
    pub amount: i64,
    /// Lower-case ISO 4217.
    pub currency: &'a str,
    /// Whether the money is taken at once, or only authorized.
    pub capture: bool,
    /// Whether the shopper is away.
    pub off_session: bool,
    /// Whether the issuer has not yet agreed to charges while the shopper is away: then this one
    /// is made with the shopper there, and asks for that too.
    pub setup_pending: bool,
    /// What the shopper has agreed to: no more is asked of the issuer.
    pub usage: Usage,
    /// The merchant's note, seen in the processor's dashboard.
    pub description: Option<&'a str>,
    /// What the shopper's statement says behind the merchant's prefix.
    pub statement_descriptor_suffix: Option<&'a str>,
    /// The merchant's own pairs.
    pub metadata: &'a BTreeMap<String, String>,
    /// Where the shopper goes after authenticating.
    pub return_url: &'a str,
    /// The processor's name of the security code that the shopper has given again for this charge.
    pub security_code: Option<&'a str>,
    /// Repeating an order with this key has no second effect.
    pub idempotency_key: &'a str,
    /// On whose behalf.
    pub client: &'a str,
}

/// Which authorized payment is to be taken.
#[derive(Clone, Copy, Debug)]
pub struct CaptureOrder<'a> {
    /// The processor's id of the payment.
    pub payment: &'a str,
    /// How much, in the currency's minor unit; all of it where nothing is said.
    pub amount: Option<i64>,
    /// The payment's currency, lower-case ISO 4217.
    pub currency: &'a str,
    /// Repeating an order with this key has no second effect.
    pub idempotency_key: &'a str,
    /// On whose behalf.
    pub client: &'a str,
}

/// Which payment is to be given up.
#[derive(Clone, Copy, Debug)]
pub struct CancelOrder<'a> {
    /// The processor's id of the payment.
    pub payment: &'a str,
    /// Repeating an order with this key has no second effect.
    pub idempotency_key: &'a str,
    /// On whose behalf.
    pub client: &'a str,
}

/// Which payment is to be confirmed once more, for a shopper who is there.
#[derive(Clone, Copy, Debug)]
pub struct ChallengeOrder<'a> {
    /// The processor's id of the payment.
    pub payment: &'a str,
    /// Where the issuer's page returns the shopper.
    pub return_url: &'a str,
    /// Repeating an order with this key has no second effect.
    pub idempotency_key: &'a str,
    /// On whose behalf.
    pub client: &'a str,
}

/// What is to be given back.
#[derive(Clone, Copy, Debug)]
pub struct RefundOrder<'a> {
    /// Our refund id, by which the refund is found again at the processor.
    pub refund: &'a str,
    /// The mark of the caller's request, by which it is found when our refund is lost.
    pub request: &'a str,
    /// The processor's id of the payment.
    pub payment: &'a str,
    /// In the payment's currency's minor unit.
    pub amount: i64,
    /// The payment's currency, lower-case ISO 4217.
    pub currency: &'a str,
    /// Why.
    pub reason: Option<RefundReason>,
    /// Repeating an order with this key has no second effect.
    pub idempotency_key: &'a str,
    /// On whose behalf.
    pub client: &'a str,
}

/// By what a payment or a refund is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought<'a> {
    /// Our id of it.
    Own(&'a str),
    /// The mark of the caller's request that it was made for.
    Request(&'a str),
}
