//! Timing of calls to the processor.

use std::time::Instant;

use super::Metrics;

/// A call to the processor that is being made.
#[derive(Debug)]
pub struct ProcessorCall {
    metrics: Metrics,
    operation: &'static str,
    began: Instant,
}

impl ProcessorCall {
    /// The processor has answered as asked, or not.
    pub fn ended(self, answered: bool) {
        let outcome = if answered { "answered" } else { "failed" };
        self.metrics
            .processor_answered(self.operation, outcome, self.began.elapsed());
    }
}

impl Metrics {
    /// Starts the clock of one call to the processor.
    #[must_use]
    pub fn processor_call(&self, operation: &'static str) -> ProcessorCall {
        ProcessorCall {
            metrics: self.clone(),
            operation,
            began: Instant::now(),
        }
    }
}
