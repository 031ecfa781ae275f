//! Memory: what is freed is wiped, and nobody gets a copy.
//!
//! Two parts. [`WIPING_ALLOCATOR`] is declared as the global allocator by the binary; it overwrites
//! every block before it gives it back, which is what removes card data from the buffers of
//! libraries that know nothing of it. [`harden`], called first in `main`, keeps the process's
//! memory out of core dumps, debuggers and swap. What must never happen here: pretending. Each
//! measure is read back after it is set, and what is not in force is said, with the reason.

mod lock;

use std::fmt;
use std::fs;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
    setrlimit,
};

/// An allocator that overwrites what is freed. Growing a buffer always moves and wipes it.
pub type WipingAllocator = zeroizing_alloc::ZeroAlloc<std::alloc::System>;

/// The wiping allocator over the system's, for the binary's `#[global_allocator]`.
pub const WIPING_ALLOCATOR: WipingAllocator = zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// What of the hardening holds in this process.
#[derive(Clone, Debug)]
pub struct Hardening {
    measures: Vec<Measure>,
    confinement: Vec<Measure>,
}

/// One measure.
#[derive(Clone, Debug)]
pub struct Measure {
    /// What it is, in a few words for the log and the readiness answer.
    pub name: &'static str,
    /// Whether it holds.
    pub state: State,
}

/// Whether a measure holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Set, and read back.
    InForce,
    /// Not set, for this reason.
    Unavailable(String),
}

impl Hardening {
    /// Each measure and its state.
    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The same, and what the process gave up before it began to serve.
    #[must_use]
    pub fn confined(self, confinement: Vec<Measure>) -> Self {
        Self {
            confinement,
            ..self
        }
    }

    /// What the process gave up; nothing where it does not serve.
    #[must_use]
    pub fn confinement(&self) -> &[Measure] {
        &self.confinement
    }

    /// Whether every measure holds. Whether that is required is the caller's decision.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.measures
            .iter()
            .all(|measure| measure.state == State::InForce)
    }
}

/// What does not hold, each with its reason; for people.
#[must_use]
pub fn missing(measures: &[Measure]) -> Vec<String> {
    measures
        .iter()
        .filter(|measure| measure.state != State::InForce)
        .map(ToString::to_string)
        .collect()
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::InForce => write!(f, "{}: in force", self.name),
            State::Unavailable(reason) => write!(f, "{}: unavailable, {reason}", self.name),
        }
    }
}

/// Keeps this process's memory to itself, as far as the kernel lets it. To be called first in
/// `main`, before there is a secret and before there is a second thread.
#[must_use]
pub fn harden() -> Hardening {
    let measure = |name, result: Result<(), String>| Measure {
        name,
        state: result.map_or_else(State::Unavailable, |()| State::InForce),
    };
    Hardening {
        measures: vec![
            measure("no core dumps", forbid_core_dumps()),
            measure("memory locked", lock::lock_memory()),
            // Last: afterwards a process without privileges can read less about itself.
            measure("not dumpable", forbid_dumping()),
        ],
        confinement: Vec::new(),
    }
}

/// Hard limit too, so that nothing later can raise it. A core pattern that pipes to a program
/// ignores this limit; against that stands [`forbid_dumping`].
fn forbid_core_dumps() -> Result<(), String> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(|errno| format!("setrlimit: {errno}"))?;
    if getrlimit(Resource::Core) == none {
        Ok(())
    } else {
        Err("the limit did not stay".to_owned())
    }
}

/// No core dump at all, and no debugger or reader of `/proc/PID/mem` without privileges.
fn forbid_dumping() -> Result<(), String> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| format!("prctl: {errno}"))?;
    match dumpable_behavior() {
        Ok(DumpableBehavior::NotDumpable) => Ok(()),
        Ok(_) => Err("the setting did not stay".to_owned()),
        Err(errno) => Err(format!("prctl: {errno}")),
    }
}

/// The user that this process runs as.
#[must_use]
pub fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Memory of this process that is in RAM, in bytes; for the metrics.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    status_kib("VmRSS")?.checked_mul(1_024)
}

/// A field of `/proc/self/status` that is counted in KiB: `VmRSS:     1234 kB`.
fn status_kib(name: &str) -> Option<u64> {
    status_field(name)?.strip_suffix(" kB")?.parse().ok()
}

/// A field of `/proc/self/status`; of the thread that asks, where threads differ.
pub(crate) fn status_field(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    status.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests;
