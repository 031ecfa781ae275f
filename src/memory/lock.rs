//! Locking the process's memory, so that no page of it is ever written to swap.
//!
//! `mlockall(MCL_FUTURE)` under a finite limit is a trap: it succeeds, and an allocation that
//! crosses the limit later fails, which ends the process in the middle of a charge. So it is done
//! only where no limit can bite, and otherwise it is said why not. (Encrypted or no swap is then
//! the operator's way to the same end.)

use std::fs;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// `CAP_IPC_LOCK` in the kernel's numbering (capability.h).
const CAP_IPC_LOCK: u32 = 14;

pub(super) fn lock_memory() -> Result<(), String> {
    if !(is_unlimited() || is_privileged()) {
        return Err(
            "the limit on locked memory is finite (ulimit -l) and CAP_IPC_LOCK is missing"
                .to_owned(),
        );
    }
    // On fault: pages are locked as they are first used, not all of them brought in now.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|errno| format!("mlockall: {errno}"))?;
    match super::status_kib("VmLck") {
        Some(1..) => Ok(()),
        Some(0) => Err("the kernel reports no locked memory".to_owned()),
        None => Err("the kernel does not tell how much memory is locked".to_owned()),
    }
}

/// Whether the limit is infinite, once the soft one is raised to the hard one.
fn is_unlimited() -> bool {
    let limit = getrlimit(Resource::Memlock);
    limit.maximum.is_none()
        && (limit.current.is_none()
            || setrlimit(
                Resource::Memlock,
                Rlimit {
                    current: None,
                    maximum: None,
                },
            )
            .is_ok_and(|()| getrlimit(Resource::Memlock).current.is_none()))
}

/// Whether the kernel will not apply the limit to this process: the capability, held in the
/// initial user namespace (the one of a rootless container does not count).
fn is_privileged() -> bool {
    let effective =
        super::status_field("CapEff").and_then(|set| u64::from_str_radix(&set, 16).ok());
    let is_capable = effective.is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1);
    is_capable
        && fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}
