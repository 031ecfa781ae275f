//! Reconciliation: the processor's payments, refunds and disputes of a time, each held against its
//! row, and each row against the processor.
//!
//! Webhooks may be lost, a person may act in the processor's dashboard, a database may be restored:
//! this finds what is then unknown, contradictory, missing or different, whoever caused it. Read
//! [`compare`] (pure), [`Kind`] (what can differ and what may be done), [`walk`] (both sides,
//! page by page), then [`report`].
//!
//! It never decides which side is right: a repair takes what the processor says, and only where
//! [`Kind::repair`] allows it. It never moves money.

pub mod compare;
mod difference;
pub mod report;

pub use difference::{Class, Difference, Kind, Repair};
