//! A process as the kernel accounts for it: `/proc/PID/stat` and `/proc/PID/status` (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::Outcome;

/// `USER_HZ`, the unit of times in `/proc/PID/stat`: 100 on every Linux that Rust runs this on.
const TICKS_PER_S: f64 = 100.0;

/// Seconds of CPU, in user and in kernel mode, since the process started.
pub(crate) fn cpu_s(pid: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    cpu_of(&stat).ok_or_else(|| invalid("stat"))
}

pub(crate) fn cpu_of(stat: &str) -> Option<f64> {
    // The second field, the command, may hold anything, a bracket and a space too.
    let (_, fields) = stat.rsplit_once(')')?;
    // utime and stime are fields 14 and 15; the first one here is field 3.
    let mut times = fields.split_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_S)
}

/// Seconds of CPU of each thread, by its number, with its name.
pub(crate) fn threads(pid: u32) -> Outcome<BTreeMap<String, (String, f64)>> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let entry = entry?;
        // A thread may end between the two looks.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let name = stat
            .split_once('(')
            .and_then(|(_, rest)| rest.rsplit_once(')'));
        if let (Some((name, _)), Some(cpu_s)) = (name, cpu_of(&stat)) {
            let number = entry.file_name().to_string_lossy().into_owned();
            threads.insert(number, (name.to_owned(), cpu_s));
        }
    }
    Ok(threads)
}

/// Resident memory in MiB: now, and the most there ever was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) resident_mib: f64,
    pub(crate) peak_mib: f64,
}

pub(crate) fn memory(pid: u32) -> Outcome<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    memory_of(&status).ok_or_else(|| invalid("status"))
}

pub(crate) fn memory_of(status: &str) -> Option<Memory> {
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u32 = line.split_whitespace().next()?.parse().ok()?;
        Some(f64::from(kib) / 1_024.0)
    };
    Some(Memory {
        resident_mib: field("VmRSS:")?,
        peak_mib: field("VmHWM:")?,
    })
}

fn invalid(file: &str) -> Box<dyn std::error::Error + Send + Sync> {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc/PID/{file}")).into()
}
