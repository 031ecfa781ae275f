//! `[reconciliation]`: how often the store is compared with the processor, and how far back.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Refused;
use crate::reconciliation::Schedule;
use crate::token::Environment;

/// Seconds between two comparisons in the live environment, at least: a comparison takes a part of
/// the processor's rate.
const LIVE_INTERVAL_S_MIN: u32 = 3_600;

/// How the store is compared with the processor: the internal plane.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReconciliationSettings {
    /// Seconds between the end of one comparison of an account and the start of the next; at least
    /// 3600 in the live environment.
    pub interval_s: u32,
    /// Seconds that a comparison looks back; at least `interval_s` and `settling_s` together, so
    /// that nothing falls between two comparisons.
    pub look_back_s: u32,
    /// Objects younger than this many seconds, or written within them, are left to the next
    /// comparison.
    pub settling_s: u32,
    /// Seconds after which a difference is read again on both sides before it counts.
    pub confirm_after_s: u32,
    /// Payments, and as many refunds and disputes, listed at most.
    pub objects_max: u64,
    /// Whether the worker repairs what may be repaired. Otherwise a person runs `cloakroom
    /// reconcile --repair`.
    pub repair: bool,
}

impl Default for ReconciliationSettings {
    fn default() -> Self {
        Self {
            interval_s: 86_400,
            look_back_s: 604_800,
            settling_s: 600,
            confirm_after_s: 15,
            objects_max: 1_000_000,
            repair: false,
        }
    }
}

impl ReconciliationSettings {
    /// The settings as the worker takes them.
    #[must_use]
    pub const fn schedule(&self) -> Schedule {
        Schedule {
            interval_s: self.interval_s,
            look_back_s: self.look_back_s,
            settling_s: self.settling_s,
            confirm_after_s: self.confirm_after_s,
            objects_max: self.objects_max,
            repair: self.repair,
        }
    }

    pub(super) fn check(&self, environment: Environment) -> Result<(), Refused> {
        let refuse = |why: String| Err(Refused::Inconsistent(why));
        let least = match environment {
            Environment::Live => LIVE_INTERVAL_S_MIN,
            Environment::Test => 1,
        };
        if self.interval_s < least {
            return refuse(format!("reconciliation.interval_s is at least {least}"));
        }
        if self.look_back_s < self.interval_s.saturating_add(self.settling_s) {
            return refuse(
                "reconciliation.look_back_s is at least interval_s and settling_s together"
                    .to_owned(),
            );
        }
        if self.objects_max == 0 {
            return refuse("reconciliation.objects_max is at least 1".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_falls_between_two_comparisons() {
        let default = ReconciliationSettings::default();
        assert!(default.check(Environment::Live).is_ok());
        for wrong in [
            ReconciliationSettings {
                look_back_s: 86_999,
                ..default
            },
            ReconciliationSettings {
                interval_s: 60,
                ..default
            },
            ReconciliationSettings {
                objects_max: 0,
                ..default
            },
        ] {
            assert!(wrong.check(Environment::Live).is_err(), "{wrong:?}");
        }
        let often = ReconciliationSettings {
            interval_s: 1,
            ..default
        };
        assert!(often.check(Environment::Test).is_ok());
    }
}
