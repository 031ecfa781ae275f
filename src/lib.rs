//! Cloakroom: hand in the card, get a ticket.
//!
//! A payment-tokenization service. A checkout form posts card details over TLS; the service turns
//! them into a reusable `PaymentMethod` at the processor, keeps only that processor token, sealed,
//! and answers with an opaque id. Billing services charge that id over mTLS. No PAN and no CVC is
//! ever stored, logged or returned.
//!
//! # The map
//!
//! Dependencies run one way: `http → vault → {processor, store, seal, audit, webhooks} → {card, token}`;
//! `tests/tidy.rs` keeps it so. The way of a card reads top to bottom:
//!
//! 1. [`http`] accepts the connection, reads the body into one wiped buffer and parses it;
//! 2. [`card`] is what a parsed card is: never printed, wiped on drop;
//! 3. [`vault`] is the heart: tokenize, charge, forget, in plain numbered steps;
//! 4. [`processor`] is the door to the card networks;
//! 5. [`seal`] turns the processor's reference into ciphertext and is the only code that knows AES;
//! 6. [`store`] keeps ciphertext and what the world may know, and cannot name a card;
//! 7. [`audit`] says who did what, in the transaction of the act;
//! 8. [`webhooks`] tells those who asked to be told, [`alerts`] tells the operator what [`watch`]
//!    has seen, and [`incident`] says who is touched when something went wrong.
//!
//! [`view`] is the JSON in which answers and events show what is kept. [`service`] puts them
//! together from a [`config`], and [`cli`] is how it is started. Around it: [`memory`] (allocator,
//! process hardening), [`confinement`] (what the process gives up before it serves), [`net`] (outgoing HTTPS), [`telemetry`], [`pagewatch`] (has a
//! payment page changed?), [`backup`], [`evidence`] (what an assessor asks for, signed), and [`sandbox`], the Stripe-shaped
//! processor of development and tests.

pub mod alerts;
pub mod audit;
pub mod backup;
pub mod card;
pub mod cli;
pub mod clock;
pub mod config;
pub mod confinement;
pub mod directory;
pub mod evidence;
pub mod http;
pub mod incident;
pub mod memory;
pub mod net;
pub mod pagewatch;
pub mod problem;
pub mod processor;
pub mod random;
pub mod reconciliation;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod seal;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod vault;
pub mod view;
pub mod watch;
pub mod webhooks;
