//! How many calls one capture session may have on their way or in the queue: all sessions of a shop
//! share their client's turns, and whoever posts to one of them without end must not have them all.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls of one session at one time. Its attempts come one after the other, each with one call after
/// the other; two, because an attempt that outlives its lease still runs when it is repeated.
const CALLS_OF_A_SESSION_MAX: u32 = 2;

/// The sessions that have a call on its way or in the queue; no others are known.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    calls: Mutex<BTreeMap<String, u32>>,
}

/// One call of a session, for as long as this lives.
#[derive(Debug)]
pub(super) struct SessionCall<'a> {
    sessions: &'a Sessions,
    session: String,
}

impl Sessions {
    /// One more call of that session; nothing where it has as many as it may.
    pub(super) fn enter(&self, session: &str) -> Option<SessionCall<'_>> {
        let mut all = self.calls();
        let calls = all.entry(session.to_owned()).or_default();
        if *calls >= CALLS_OF_A_SESSION_MAX {
            return None;
        }
        *calls = calls.saturating_add(1);
        drop(all);
        Some(SessionCall {
            sessions: self,
            session: session.to_owned(),
        })
    }

    /// Each change under the lock is whole.
    fn calls(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.calls().len()
    }
}

impl Drop for SessionCall<'_> {
    fn drop(&mut self) {
        let mut all = self.sessions.calls();
        let left = all
            .get(&self.session)
            .map_or(0, |calls| calls.saturating_sub(1));
        if left == 0 {
            all.remove(&self.session);
        } else if let Some(calls) = all.get_mut(&self.session) {
            *calls = left;
        }
    }
}
