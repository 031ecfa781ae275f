//! Incidents: whom one touched, computed from the verified audit log, and telling them.
//!
//! - [`scope`]: events and tokens in, touched and untouched tokens out;
//! - [`seen`]: whether what is looked for was ever there;
//! - [`letter`]: what a customer is told, and where customers are.
//!
//! Nothing here reads a database or a network. A customer is the merchant's own name for it; an
//! address is in memory while a run sends, and in no log, row or file of ours.

pub mod letter;
pub mod scope;
pub mod seen;
