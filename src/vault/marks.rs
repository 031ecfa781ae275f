//! Marks: keyed hashes by which a vaulted card is known again without being readable.
//!
//! They are made of the processor's own words (its name of the card, its fingerprint), never of a
//! PAN (PCI DSS 3.5.1). A customer's card is marked as that customer's, so the marks of one card
//! that two customers use are not alike, and say nothing to whoever holds the database alone.

use crate::processor::VaultedCard;
use crate::seal::mac::{MacKeys, Mark};
use crate::token::Account;

/// Of the processor's name of a card.
pub(super) fn reference(keys: &MacKeys, account: &Account, payment_method: &str) -> Mark {
    keys.mark(
        "processor payment method",
        &[account.as_str().as_bytes(), payment_method.as_bytes()],
    )
}

/// Of the processor's fingerprint of a customer's card, where it gave one.
pub(super) fn fingerprint(
    keys: &MacKeys,
    (account, customer_ref): (&Account, Option<&str>),
    vaulted: &VaultedCard,
) -> Option<Mark> {
    let (fingerprint, customer_ref) = (vaulted.fingerprint.as_deref()?, customer_ref?);
    Some(keys.mark(
        "processor fingerprint",
        &[
            account.as_str().as_bytes(),
            customer_ref.as_bytes(),
            fingerprint.as_bytes(),
        ],
    ))
}
