//! Audit: who did what to which token, when, from where, and whether it was allowed.
//!
//! An [`Event`] is written by the store in the transaction of the act that it records, so there is
//! no act without its event and no event without its act. It carries ids and names only: never a
//! card, a processor's reference, a body or a header. Read [`event`] next.

pub mod event;

pub use event::{Action, Actor, Event, Outcome};
