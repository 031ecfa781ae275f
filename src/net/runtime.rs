//! The runtime that drives all connections of a pool.
//!
//! A pool is shared by every worker thread of the service. A connection that were opened and
//! driven by the worker that first needed it would be cut under the others' requests when that
//! worker stops; so all of them live on the runtime on which the client was made, which outlives
//! the workers.

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// A handle to that runtime; without one, whatever runtime the caller is on.
#[derive(Clone, Debug)]
pub(crate) struct OneRuntime(Option<Handle>);

impl OneRuntime {
    /// The present runtime, if there is one.
    pub(crate) fn present() -> Self {
        Self(Handle::try_current().ok())
    }

    /// Runs `work` there. Giving up on the answer gives up the work. Nothing when the runtime is
    /// gone before the work is done.
    pub(crate) async fn run<F>(&self, work: F) -> Option<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        match &self.0 {
            Some(runtime) => AbortOnDropHandle::new(runtime.spawn(work)).await.ok(),
            None => Some(work.await),
        }
    }
}

impl<F> hyper::rt::Executor<F> for OneRuntime
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, connection: F) {
        if let Some(runtime) = self.0.clone().or_else(|| Handle::try_current().ok()) {
            // It ends with its connection; nobody waits for it.
            drop(runtime.spawn(connection));
        }
    }
}
