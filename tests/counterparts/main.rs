//! Independent counterparts: programs that others wrote, at the other end of our wires.
//!
//! Stripe's own SDK is a client of our sandbox, `localstripe` is a processor for our service,
//! schemathesis is a client of both planes, the library of Standard Webhooks is a receiver, and
//! aiosmtpd is a mail server.
//! Each runs as a process of its own, out of the virtual environment that `tests/run` makes.
//! README.md beside this file says what each cannot do.

#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    reason = "a test that goes wrong fails, and a walk through the product is as long as it is"
)]

mod contract;
mod localstripe;
mod mail;
mod programs;
mod standard_webhooks;
mod stripe_sdk;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests/api, which uses all of it")]
mod support;
mod tlog;
