//! What the process gives up before it serves: files, ports and system calls it has no use for.
//!
//! Whoever takes over a running process finds that it cannot run a program, read a file that is not
//! its own, listen, or call out to a port that its configuration does not name. Landlock keeps the
//! files and the ports, seccomp the system calls; both hold for every thread, because they are
//! entered while there is only one, and nothing lifts them again.
//!
//! What must never happen here: pretending. What the kernel does not have is said in the log, by
//! `check` and by `/readyz`, and where the configuration requires it the process does not start.
//! Read [`Reach`] for what stays, `syscalls` for the list, `landlock_rules` and `seccomp_filter`
//! for the way to the kernel.

mod landlock_rules;
mod seccomp_filter;
mod syscalls;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::memory::{Measure, State, status_field};

pub use syscalls::{ALLOWED, Syscall};

/// What the process still needs once it serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Files, and directories with all below them, that are read.
    pub read: BTreeSet<PathBuf>,
    /// Directories in which files are made, written and removed.
    pub write: BTreeSet<PathBuf>,
    /// TCP ports that are connected to; `None` where they cannot be known, as in development.
    pub connect_ports: Option<BTreeSet<u16>>,
    /// Whether sockets of this machine are connected to: neither Landlock nor seccomp can tell one
    /// path from another, so where none is needed there are none.
    pub unix_sockets: bool,
    /// Whether a module of somebody else's is loaded once it serves, and so mapped executable.
    pub modules: bool,
}

/// How much the configuration insists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Insistence {
    /// Files and system calls are confined, or the process does not start.
    Require,
    /// What the kernel has is used, and the rest is said.
    Prefer,
    /// Nothing is confined, which is said.
    Off,
}

/// The kernel does not have what the configuration requires.
#[derive(Debug, thiserror::Error)]
#[error(
    "the process cannot be confined: {0}; run it on a kernel with Landlock and seccomp, or set \
     [process] confinement = \"prefer\""
)]
pub struct Refused(String);

/// Names of the measures, in their order.
const FILES: &str = "files confined";
const PORTS: &str = "TCP ports confined";
/// Of [`PORTS`], where connections out are not limited.
const LISTENING: &str = "TCP listening confined";
const SIGNALS: &str = "signals and abstract sockets confined";
const SYSTEM_CALLS: &str = "system calls confined";
const PRIVILEGES: &str = "no new privileges";

/// Gives up whatever is not within `reach`, for good. To be called once all sockets are bound, and
/// before there is a second thread.
///
/// # Errors
/// [`Refused`] where `insistence` is [`Insistence::Require`] and files or system calls are not
/// confined. Ports are confined where the kernel can (6.7 and later).
pub fn enter(reach: &Reach, insistence: Insistence) -> Result<Vec<Measure>, Refused> {
    let measures = match insistence {
        Insistence::Off => nothing("the configuration turns it off"),
        // Landlock holds for the thread that asks for it and for those that it starts.
        Insistence::Require | Insistence::Prefer if threads() != Some(1) => {
            nothing("another thread runs already")
        }
        Insistence::Require | Insistence::Prefer => confine_this_thread(reach),
    };
    let required = |measure: &&Measure| [FILES, SYSTEM_CALLS, PRIVILEGES].contains(&measure.name);
    let missing: Vec<String> = measures
        .iter()
        .filter(required)
        .filter(|measure| measure.state != State::InForce)
        .map(ToString::to_string)
        .collect();
    if insistence == Insistence::Require && !missing.is_empty() {
        return Err(Refused(missing.join("; ")));
    }
    Ok(measures)
}

/// What [`enter`] would come to, tried out on a thread that ends with it.
#[must_use]
pub fn rehearse(reach: &Reach) -> Vec<Measure> {
    let reach = reach.clone();
    std::thread::spawn(move || confine_this_thread(&reach))
        .join()
        .unwrap_or_else(|_| nothing("it cannot be tried out"))
}

fn confine_this_thread(reach: &Reach) -> Vec<Measure> {
    // Landlock first: its own system calls are not among those that stay.
    let mut measures = landlock_rules::restrict(reach);
    measures.push(measure(SYSTEM_CALLS, seccomp_filter::restrict(reach)));
    measures.push(measure(PRIVILEGES, no_new_privileges()));
    measures
}

/// Both ways in set it; the kernel is asked.
fn no_new_privileges() -> Result<(), String> {
    match status_field("NoNewPrivs").as_deref() {
        Some("1") => Ok(()),
        Some(_) => Err("the kernel says that it is not set".to_owned()),
        None => Err("the kernel does not tell".to_owned()),
    }
}

fn nothing(why: &str) -> Vec<Measure> {
    [FILES, PORTS, SIGNALS, SYSTEM_CALLS, PRIVILEGES]
        .into_iter()
        .map(|name| measure(name, Err(why.to_owned())))
        .collect()
}

fn measure(name: &'static str, result: Result<(), String>) -> Measure {
    Measure {
        name,
        state: result.map_or_else(State::Unavailable, |()| State::InForce),
    }
}

/// Threads of this process.
fn threads() -> Option<usize> {
    Some(fs::read_dir("/proc/self/task").ok()?.count())
}

#[cfg(test)]
mod tests;
