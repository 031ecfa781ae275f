//! What does not happen at once: payments that are `processing`, refunds that are `pending`,
//! disputes that come after the money.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::attempts;
use super::cards::Aftermath;
use super::disputes;
use super::refunds;
use super::state::{Call, State};

pub(super) const DEEDS_MAX: usize = 50_000;
/// The key under which a payment's or a refund's metadata says how it settles.
const METADATA: &str = "sandbox_later";

/// Whether a payment or a refund settles at once, and if not, how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Later {
    AtOnce,
    /// After `later_ms`.
    Succeeded,
    /// After `later_ms`.
    Failed,
    /// When the control plane says so.
    Held,
}

impl Later {
    /// What the metadata asks for, or else the switch.
    pub(super) fn of(metadata: &Map<String, Value>, switch: Self) -> Self {
        match metadata.get(METADATA).and_then(Value::as_str) {
            Some("at_once") => Self::AtOnce,
            Some("succeeded") => Self::Succeeded,
            Some("failed") => Self::Failed,
            Some("held") => Self::Held,
            _ => switch,
        }
    }

    /// How it ends by itself.
    pub(super) const fn outcome(self) -> Option<bool> {
        match self {
            Self::AtOnce | Self::Succeeded => Some(true),
            Self::Failed => Some(false),
            Self::Held => None,
        }
    }
}

/// Something planned.
#[derive(Debug)]
pub(super) enum Deed {
    Payment {
        id: String,
        succeeds: bool,
    },
    Refund {
        id: String,
        succeeds: bool,
    },
    Dispute {
        charge: String,
        kind: disputes::Kind,
    },
    Warning {
        charge: String,
    },
}

/// Plans it for `later_ms` from now.
pub(super) fn plan(state: &mut State, deed: Deed) {
    let pause = Duration::from_millis(state.switches.later_ms);
    let planned = Instant::now()
        .checked_add(pause)
        .is_some_and(|at| state.deeds.put(at, deed));
    if !planned {
        // It is held then, until the control plane ends it.
        state.made.deeds_lost = state.made.deeds_lost.saturating_add(1);
    }
}

/// What the card does after its money was taken.
pub(super) fn follow(state: &mut State, charge: &str) {
    let card = state.charges.get(charge);
    let behaviour = card.and_then(|charge| charge.payment_method.card.behaviour());
    let charge = charge.to_owned();
    match behaviour.map_or(Aftermath::Nothing, |behaviour| behaviour.after) {
        Aftermath::Nothing | Aftermath::RefundPends | Aftermath::RefundFails => {}
        Aftermath::Disputed(kind) => plan(state, Deed::Dispute { charge, kind }),
        Aftermath::Warned => plan(state, Deed::Warning { charge }),
    }
}

/// Does it, unless the control plane was faster.
pub(super) fn perform(state: &mut State, call: &Call<'_>, deed: &Deed) {
    match deed {
        Deed::Payment { id, succeeds } => drop(attempts::end(state, call, id, *succeeds)),
        Deed::Refund { id, succeeds } => drop(refunds::end(state, call, id, *succeeds)),
        Deed::Dispute { charge, kind } => drop(disputes::open(state, call, charge, *kind, None)),
        Deed::Warning { charge } => disputes::warn(state, call, charge),
    }
}
