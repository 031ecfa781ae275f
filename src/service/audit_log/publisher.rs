//! Copies of checkpoints go out of the database, to each sink in order.

use std::sync::Arc;
use std::time::Duration;

use super::{AuditLog, Epoch, LOOK_INTERVAL_MS};
use crate::audit::note::Checkpoint;
use crate::audit::sink::{Copy, Sink};
use crate::store::{Failure, KeptCheckpoint};
use crate::vault::Common;

/// Checkpoints that are read together for a sink that missed them.
const MISSED_MAX: u32 = 100;

/// Copies to one sink all that it has not, until the process stops.
pub(super) async fn run_forever(common: Common, log: Arc<AuditLog>, number: usize) {
    let Some(sink) = log.sinks.get(number) else {
        return;
    };
    let mut is_down = false;
    loop {
        match log.publish(&common, sink).await {
            Ok(0) => {}
            Ok(copies) if is_down => {
                is_down = false;
                tracing::info!(%sink, copies, "a sink of checkpoints takes them again");
            }
            Ok(_) => is_down = false,
            Err(reason) => {
                common.metrics.audit_sink_failed();
                if !is_down {
                    tracing::error!(%sink, reason, "a sink takes no checkpoints");
                }
                is_down = true;
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
    }
}

impl AuditLog {
    /// Copies to a sink what it has not; how many copies that were.
    pub(super) async fn publish(&self, common: &Common, sink: &Sink) -> Result<usize, String> {
        let told = |failure: Failure| failure.to_string();
        let name = name(common, sink);
        let held = common.store.sink_holds(name.clone()).await.map_err(told)?;
        let missed = common.store.checkpoints(held, MISSED_MAX).await;
        let missed = missed.map_err(told)?;
        let copies = missed.len();
        for checkpoint in missed {
            let size = checkpoint.size;
            if !self.is_held(common, sink, &checkpoint).await? {
                let KeptCheckpoint {
                    size,
                    note,
                    peaks,
                    at,
                } = checkpoint;
                let copy = Copy::of(at, size, note, peaks.as_deref());
                sink.take(&copy, &common.node).await?;
            }
            let witnessed = common
                .store
                .witnessed(Some(name.clone()), size, common.now());
            witnessed.await.map_err(told)?;
        }
        Ok(copies)
    }

    /// Whether a sink that can be read holds that checkpoint already, as after a crash before it was
    /// noted that it does, or where another node writes to the same file. What it holds never gets
    /// shorter within an epoch.
    async fn is_held(
        &self,
        common: &Common,
        sink: &Sink,
        kept: &KeptCheckpoint,
    ) -> Result<bool, String> {
        let Some((_, key)) = &self.signing else {
            return Ok(false);
        };
        let Some(newest) = sink.newest(key).await? else {
            return Ok(false);
        };
        let copy = key.open(&kept.note).map_err(|forged| forged.to_string())?;
        let longer = newest.checkpoint.size;
        if longer > copy.size && newest.checkpoint.epoch == copy.epoch {
            let ours = common.store.checkpoints(longer.saturating_sub(1), 1).await;
            let ours = ours.map_err(|failure| failure.to_string())?;
            // Its newest is of this very history: what comes before it is there as well.
            if ours.first().is_some_and(|ours| ours.note == newest.note) {
                return Ok(true);
            }
        }
        held(&newest.checkpoint, &copy)
    }

    /// Notes how far each sink that can be read is in the history of that epoch, where the database
    /// says less: it may be a restored one, and what it has signed since is a sink's to take.
    pub(super) async fn note_held(&self, common: &Common, epoch: Epoch) -> Result<(), Failure> {
        let Some((_, key)) = &self.signing else {
            return Ok(());
        };
        let size = common.store.log_head().await?.size();
        for sink in &self.sinks {
            let Ok(Some(newest)) = sink.newest(key).await else {
                continue;
            };
            let of_it = if newest.checkpoint.epoch == epoch {
                newest.checkpoint.size
            } else {
                newest.checkpoint.size.min(epoch.begins_at)
            };
            let (name, held) = (name(common, sink), of_it.min(size));
            if common.store.sink_holds(name.clone()).await? < held {
                let now = common.now();
                common.store.witnessed(Some(name), held, now).await?;
            }
        }
        Ok(())
    }
}

fn held(newest: &Checkpoint, copy: &Checkpoint) -> Result<bool, String> {
    match (copy.epoch, copy.size).cmp(&(newest.epoch, newest.size)) {
        std::cmp::Ordering::Greater => Ok(false),
        std::cmp::Ordering::Equal if copy == newest => Ok(true),
        std::cmp::Ordering::Equal | std::cmp::Ordering::Less => Err(format!(
            "it holds a checkpoint of {} events in epoch {}: one of {} in epoch {} does not go on \
             from it",
            newest.size, newest.epoch.number, copy.size, copy.epoch.number
        )),
    }
}

/// A sink's name among all nodes'.
fn name(common: &Common, sink: &Sink) -> String {
    format!("{}/{sink}", common.node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sink_holds_never_gets_shorter_within_an_epoch() {
        let at = |number, size| Checkpoint {
            size,
            epoch: Epoch {
                number,
                begins_at: 25,
            },
            ..Checkpoint::default()
        };
        assert_eq!(held(&at(0, 40), &at(0, 41)), Ok(false));
        assert_eq!(held(&at(0, 40), &at(1, 26)), Ok(false));
        assert_eq!(held(&at(0, 40), &at(0, 40)), Ok(true));
        let other = Checkpoint {
            root: [1; 32],
            ..at(0, 40)
        };
        assert!(held(&at(0, 40), &other).is_err());
        assert!(held(&at(0, 40), &at(0, 39)).is_err());
        assert!(held(&at(1, 26), &at(0, 41)).is_err());
    }
}
