//! Draining: a process that was asked to stop says so before it stops, so that a balancer sends it
//! nothing new while it still answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process is about to stop; shared by all of its planes.
#[derive(Clone, Debug, Default)]
pub struct Drain(Arc<AtomicBool>);

impl Drain {
    /// From now on readiness says 503, and each answer ends its connection.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
