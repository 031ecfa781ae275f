//! The promise of how many copies there are.
//!
//! Two numbers decide it: how many replicas are attached and synchronous, and for how many of them a
//! commit waits. `ANY 1 (a, b)` with both attached has two of the first and one of the second, and
//! what is acknowledged is on one replica.

use sqlx::PgConnection;

use super::cluster::Cluster;
use crate::store::{Cause, Failure};

/// How many synchronous replicas there must be, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    /// As the configuration promises.
    pub required: u32,
    /// Attached and synchronous at the last look.
    pub attached: u32,
    /// How many of them a commit waits for: the number in `synchronous_standby_names`.
    pub awaited: u32,
}

impl Replication {
    /// Whether the promise is kept.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.attached >= self.required && self.awaited >= self.required
    }

    /// Refuses what is not kept.
    fn require(self) -> Result<(), Failure> {
        let Self {
            required,
            attached,
            awaited,
        } = self;
        let cause = if attached < required {
            Cause::NotReplicated { required, attached }
        } else if awaited < required {
            Cause::NotAwaited { required, awaited }
        } else {
            return Ok(());
        };
        Err(Failure::Unavailable(cause))
    }
}

impl Cluster {
    /// Refuses a write where fewer copies would be made than were promised.
    pub(in crate::store) fn require_replicas(&self) -> Result<(), Failure> {
        self.replication().require()
    }

    /// Notes what was seen of the replicas: nothing, where the primary could not be asked.
    pub(super) fn note_replicas(&self, seen: Option<(u32, u32)>) {
        let (attached, awaited) = seen.unwrap_or_default();
        self.replication.send_if_modified(|replication| {
            let was = *replication;
            replication.attached = attached;
            replication.awaited = awaited;
            let changed = was != *replication;
            if changed && !replication.is_kept() {
                tracing::error!(
                    required = was.required,
                    attached,
                    awaited,
                    "too few synchronous replicas: writes are refused"
                );
            }
            changed
        });
    }

    /// Attached synchronous replicas, and how many of them a commit waits for.
    pub(super) async fn replicas(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(u32, u32), Failure> {
        if self.settings().require_synchronous_replicas == 0 {
            return Ok((0, 0));
        }
        let (attached, names, sees): (i64, String, bool) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')),
                    current_setting('synchronous_standby_names'),
                    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
               FROM pg_stat_replication",
        )
        .fetch_one(connection)
        .await?;
        // Without the right every state is null, and none would be counted.
        if !sees {
            return Err(Failure::Unavailable(Cause::ReplicasHidden));
        }
        Ok((u32::try_from(attached).unwrap_or(0), awaited(&names)))
    }
}

/// How many replicas a commit waits for by `synchronous_standby_names`: `ANY 2 (a, b, c)`,
/// `FIRST 1 (a)`, `2 (a, b)`, or names alone, of which it waits for one (PostgreSQL 15, section
/// 20.6.2).
fn awaited(names: &str) -> u32 {
    let names = names.trim();
    if names.is_empty() {
        return 0;
    }
    // A quoted name may hold anything.
    let how = names.split_once('"').map_or(names, |(how, _)| how);
    let Some((how, _list)) = how.split_once('(') else {
        return 1;
    };
    let number = how.split_whitespace().next_back();
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::awaited;

    #[test]
    fn a_commit_waits_for_as_many_replicas_as_the_setting_says() {
        for (names, count) in [
            ("", 0),
            ("  ", 0),
            ("*", 1),
            ("a", 1),
            ("a, b", 1),
            ("2 (a, b)", 2),
            ("2(a,b)", 2),
            ("FIRST 1 (a, b)", 1),
            ("first 3 (a, b, c)", 3),
            ("ANY 1 (n2,n3)", 1),
            ("any 2(n2, \"n 3\")", 2),
            ("ANY 0 (n2)", 0),
            ("\"a(b)\", c", 1),
            ("\"a 2 (x\"", 1),
            ("ANY 2 (\"a(b)\", c)", 2),
            ("ANY many (n2)", 0),
        ] {
            assert_eq!(awaited(names), count, "{names}");
        }
    }
}
