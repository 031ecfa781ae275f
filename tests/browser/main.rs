//! The checkout page in real browsers: Debian's Chromium and Firefox, driven as a shopper would.

#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong fails"
)]

mod checkout;
mod demo;
mod driver;
mod flow;
mod guide;
mod hostile;
mod looks;
mod site;
mod status;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests/api, which uses all of it")]
mod support;
mod typing;
