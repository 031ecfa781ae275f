//! Stripe's test `PaymentMethod`s (<https://docs.stripe.com/testing>): names that stand for a card
//! which somebody's browser has handed in. Wherever one is used, a fresh `pm_…` comes of it.

use super::cards;
use super::ids::Card;

/// The month and the year of expiry, counted from now, that a card so made has.
const EXPIRES: (u8, u16) = (8, 3);

/// Name and code of the card in `cards.rs`.
const NAMES: &[(&str, &str)] = &[
    ("pm_card_visa", "va"),
    ("pm_card_visa_debit", "vb"),
    ("pm_card_mastercard", "ma"),
    ("pm_card_mastercard_debit", "mc"),
    ("pm_card_mastercard_prepaid", "md"),
    ("pm_card_amex", "aa"),
    ("pm_card_discover", "da"),
    ("pm_card_diners", "na"),
    ("pm_card_jcb", "ja"),
    ("pm_card_unionpay", "ua"),
    ("pm_card_chargeDeclined", "d1"),
    ("pm_card_visa_chargeDeclined", "d1"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "d2"),
    ("pm_card_visa_chargeDeclinedLostCard", "d3"),
    ("pm_card_visa_chargeDeclinedStolenCard", "d4"),
    ("pm_card_chargeDeclinedExpiredCard", "d5"),
    ("pm_card_chargeDeclinedIncorrectCvc", "d6"),
    ("pm_card_chargeDeclinedProcessingError", "d7"),
    ("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "d8"),
    ("pm_card_chargeCustomerFail", "e1"),
    ("pm_card_radarBlock", "r1"),
    ("pm_card_riskLevelHighest", "r2"),
    ("pm_card_threeDSecure2Required", "s1"),
    ("pm_card_authenticationRequiredOnSetup", "s2"),
    ("pm_card_authenticationRequired", "s3"),
    ("pm_card_authenticationRequiredSetupForOffSession", "s4"),
    (
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "s5",
    ),
    ("pm_card_threeDSecureRequiredChargeDeclined", "s6"),
    ("pm_card_pendingRefund", "f1"),
    ("pm_card_refundFail", "f2"),
    ("pm_card_createDispute", "q1"),
    ("pm_card_createDisputeProductNotReceived", "q2"),
    ("pm_card_createDisputeInquiry", "q3"),
    ("pm_card_createIssuerFraudRecord", "q4"),
];

/// The card of that name.
pub(super) fn card(name: &str, this_year: i32) -> Option<Card> {
    let (_, code) = NAMES.iter().find(|(known, _)| *known == name)?;
    let row = cards::by_code(code)?;
    let (month, years) = EXPIRES;
    let year = u16::try_from(this_year).ok()?.saturating_add(years);
    Some(Card::published(row, month, year))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_given_once_and_stands_for_a_published_card() {
        let mut names: Vec<_> = NAMES.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        for (name, code) in NAMES {
            let card = card(name, 2026).unwrap();
            assert_eq!((card.code.as_str(), card.exp_year), (*code, 2029), "{name}");
        }
        assert!(card("pm_card_nothing", 2026).is_none());
    }
}
