//! Marks: keyed hashes by which a vaulted card is known again without being readable.
//!
//! They are made of the processor's own words (its name of the card, its fingerprint), never of a
//! PAN (PCI DSS 3.5.1). Who holds the key and the database can tell which tokens are one card.

use crate::processor::VaultedCard;
use crate::seal::mac::MacKey;
use crate::token::Account;

/// Of the processor's name of a card.
pub(super) fn reference(key: &MacKey, account: &Account, payment_method: &str) -> [u8; 32] {
    key.tag(
        "processor payment method",
        &[account.as_str().as_bytes(), payment_method.as_bytes()],
    )
}

/// Of the processor's fingerprint of a card, where it gave one.
pub(super) fn fingerprint(
    key: &MacKey,
    account: &Account,
    vaulted: &VaultedCard,
) -> Option<[u8; 32]> {
    let fingerprint = vaulted.fingerprint.as_deref()?;
    Some(key.tag(
        "processor fingerprint",
        &[account.as_str().as_bytes(), fingerprint.as_bytes()],
    ))
}
