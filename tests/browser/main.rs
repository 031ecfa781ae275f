//! The checkout page in real browsers: Debian's Chromium, Firefox and `WebKitGTK`, driven as a shopper would.

#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong fails"
)]

mod charge_page;
mod checkout;
mod demo;
mod design;
mod driver;
mod engines;
mod flow;
mod frames;
mod frameworks;
mod guide;
mod hosted;
mod hostile;
mod looks;
mod marionette;
mod mishaps;
mod morphs;
mod npm;
mod reports;
mod security_code;
mod shops;
mod site;
mod status;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests/api, which uses all of it")]
mod support;
mod times;
mod typing;
