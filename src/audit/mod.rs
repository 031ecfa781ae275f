//! Audit: who did what to which token, when, from where, and whether it was allowed.
//!
//! An [`Event`] is written by the store in the transaction of the act that it records, so there is
//! no act without its event and no event without its act. It carries ids and names only: never a
//! card, a processor's reference, a body or a header.
//!
//! Committed events are then given their places in a Merkle log (RFC 6962), and what was signed of
//! it is copied out of the database:
//!
//! - [`leaf`]: the one line that an event is, and its hash;
//! - [`tree`]: roots and proofs;
//! - [`note`]: signed checkpoints, in the form of C2SP;
//! - [`verify`]: whether all of it still fits together, and where not;
//! - [`sink`]: where copies of checkpoints go.
//!
//! Read [`event`] next.

pub mod event;
pub mod leaf;
pub mod note;
pub mod sink;
pub mod tree;
pub mod verify;
mod writer;

pub use event::{Action, Actor, Event, Outcome};
pub use writer::Writer;
