//! Whether somebody outside of the database vouches for the audit log. While nobody does, nothing
//! is written that would need to be believed later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the writers and whoever looks after the log; somebody is taken to be there until the
/// contrary is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness {
    is_gone: Arc<AtomicBool>,
}

impl Witness {
    pub(super) fn is_there(&self) -> bool {
        !self.is_gone.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, is_there: bool) {
        self.is_gone.store(!is_there, Ordering::Relaxed);
    }
}
