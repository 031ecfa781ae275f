//! Runs a service that is built, and stops it so that nobody notices.
//!
//! A stop has an order: readiness says 503 and answers end their connections, for as long as a
//! balancer needs to see it; then no connection is taken and requests in flight are finished; then
//! work whose caller hung up; the ops plane, which tells of all this, goes last.

use std::future::Future;
use std::io;
use std::sync::Arc;

use actix_web::dev::{Server, ServerHandle};
use tokio::task::{JoinHandle, spawn_local};

use super::{Refused, Service, audit_log, backup, renewal, upkeep};
use crate::audit::{Action, Outcome};
use crate::reconciliation;
use crate::vault::{self, Common};

impl Service {
    /// Serves until `stop` is ready, then drains.
    ///
    /// # Errors
    /// When a listener ends by itself, or the start or stop cannot be written to the audit log.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Refused> {
        let identity = std::mem::take(&mut self.identity);
        record(&self.common, Action::ProcessStarted, Some(identity)).await?;
        let outage = self.common.limits.audit_sink_outage_s_max;
        let log_tasks = audit_log::start(self.audit_log.take(), &self.common, outage);
        let backups = self.backups.take();
        let mut workers = self.workers();
        workers.extend(backups.map(|worker| {
            let common = self.common.clone();
            spawn_local(backup::forever(worker, common))
        }));
        let handles: Vec<ServerHandle> = self.servers.iter().map(Server::handle).collect();
        let ops: Option<ServerHandle> = self.ops.as_ref().map(Server::handle);
        let servers = std::mem::take(&mut self.servers).into_iter();
        let servers = servers.chain(self.ops.take());
        let mut serving = spawn_local(futures_util::future::try_join_all(servers));

        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = stop => None,
        };
        if ended.is_none() && !self.drain_pause.is_zero() {
            tracing::info!(
                drain_s = self.drain_pause.as_secs(),
                "draining: readiness says 503"
            );
            self.drain.begin();
            tokio::time::sleep(self.drain_pause).await;
        }
        tracing::info!("stopping: requests in flight are finished first");
        self.drain.begin();
        futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
        self.finish_tasks().await;
        for worker in workers {
            worker.abort();
        }
        // What was decided in the last second.
        if let Err(failure) = self.common.exchange(self.common.now()).await {
            tracing::warn!(%failure, "the watch could not be shared at the stop");
        }
        if let Some(ops) = ops {
            ops.stop(true).await;
        }
        // What is counted and not written yet is written before the stop is.
        self.common.record_refusals(true).await;
        let witnessed = record(&self.common, Action::ProcessStopped, None).await;
        log_tasks.finish(&self.common).await;
        let closed = self.common.store.close().await;
        witnessed?;
        closed.map_err(|failure| Refused::Store(failure.to_string()))?;
        match ended {
            Some(Ok(Ok(_)) | Err(_)) => Err(io::Error::other("it was not asked to").into()),
            Some(Ok(Err(error))) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// What a process does beside answering.
    fn workers(&self) -> Vec<JoinHandle<()>> {
        let upkeep = upkeep::forever(
            self.common.clone(),
            self.capture.clone(),
            self.internal.clone(),
            self.tls.clone(),
        );
        let mut workers = vec![
            spawn_local(upkeep),
            spawn_local(self.common.clone().watch_forever()),
            spawn_local(renewal::forever(self.tls.clone(), self.common.clone())),
        ];
        workers.extend(self.internal.iter().flat_map(|internal| {
            let compare =
                reconciliation::compare_forever(Arc::clone(internal), self.reconciliation);
            [
                spawn_local(Arc::clone(internal).rotate_forever()),
                spawn_local(Arc::clone(internal).work_forever()),
                spawn_local(Arc::clone(internal).tell_forever()),
                spawn_local(Arc::clone(internal).alert_forever()),
                spawn_local(compare),
            ]
        }));
        workers
    }

    /// Charges whose caller hung up are nobody's request any more, and are finished too.
    async fn finish_tasks(&self) {
        let trackers = [
            self.capture.as_ref().map(|capture| &capture.tasks),
            self.internal.as_ref().map(|internal| &internal.tasks),
        ];
        for tracker in trackers.into_iter().flatten() {
            tracker.close();
            let finished = tokio::time::timeout(self.shutdown_timeout, tracker.wait()).await;
            if finished.is_err() {
                tracing::warn!(
                    "work was still running; the reconciler of the next start takes it up"
                );
            }
        }
    }
}

/// Starts and stops are events (PCI DSS 10.2.1.6).
async fn record(common: &Common, action: Action, subject: Option<String>) -> Result<(), Refused> {
    let event = common.event(&vault::process(), action, Outcome::Success, subject);
    common
        .store
        .record(event)
        .await
        .map_err(|failure| Refused::Store(failure.to_string()))
}
