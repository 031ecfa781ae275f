//! Which program listens, as the kernel shows it: a server that says "ok" of itself proves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use super::collect::sha256_of;
use super::scene::{Plane, Scene};
use crate::confinement::Insistence;
use crate::evidence::{Bundle, Look, Verdict};

const PROGRAMS: &str = "running/programs.json";
/// `TCP_LISTEN` in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Looks at the process behind each listener: its program, and what it has given up.
pub(super) fn look(scene: &Scene, own_sha256: &str, bundle: &mut Bundle) {
    let mut look = Look::at(
        "running_program",
        "what listens is the program that collects this, and has given up what the kernel can take",
        &["2.2.4", "2.2.6"],
    );
    let mut shown = Vec::new();
    for plane in scene.planes() {
        let title = plane.title();
        match seen(&plane) {
            Ok(None) => {
                let (verdict, why) = scene.absent(plane.node);
                look.saw(verdict, format_args!("{title} {why}"));
            }
            Ok(Some(process)) => {
                let Running { pid, sha256, .. } = &process;
                look.must(
                    sha256 == own_sha256,
                    format_args!(
                        "{title} is process {pid}, which runs {sha256}; this is {own_sha256}"
                    ),
                );
                if is_confined_by_configuration(scene, &plane) {
                    look.must(
                        process.is_confined,
                        format_args!(
                            "{title}: seccomp filter and no-new-privileges of process {pid}"
                        ),
                    );
                }
                shown.push(json!({
                    "of": title,
                    "pid": pid,
                    "sha256": sha256,
                    "confined": process.is_confined,
                }));
            }
            Err(error) => look.saw(
                Verdict::NotSeen,
                format_args!("{title}: {error}; collect as root or as the service's user"),
            ),
        }
        let port = plane.address().port();
        look.again(format!("ss -ltnp 'sport = :{port}'; sha256sum /proc/PID/exe; grep -E 'Seccomp|NoNewPrivs' /proc/PID/status"));
    }
    look.shown_in(PROGRAMS);
    bundle.json(PROGRAMS, &shown);
    bundle.check(look.done());
}

fn is_confined_by_configuration(scene: &Scene, plane: &Plane<'_>) -> bool {
    let mut processes = scene.processes.iter();
    processes
        .find(|process| process.config.node == plane.node)
        .is_some_and(|process| {
            process.config.process.insistence(scene.environment()) != Insistence::Off
        })
}

struct Running {
    pid: u32,
    sha256: String,
    is_confined: bool,
}

/// The process that listens for a plane; nothing where nobody does.
fn seen(plane: &Plane<'_>) -> io::Result<Option<Running>> {
    let sockets = listening_at(plane.address().port())?;
    if sockets.is_empty() {
        return Ok(None);
    }
    let mut refused = None;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match holds(pid, &sockets) {
            Ok(true) => return running(pid).map(Some),
            Ok(false) => {}
            // It may have ended meanwhile, or be another user's.
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::other("no process holds its socket")))
}

/// The sockets that listen at a port, as `/proc` names them.
fn listening_at(port: u16) -> io::Result<BTreeSet<String>> {
    let wanted = format!(":{port:04X}");
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in text.lines() {
            let columns: Vec<&str> = line.split_whitespace().collect();
            if let [_, local, _, LISTENING, _, _, _, _, _, inode, ..] = columns.as_slice()
                && local.ends_with(&wanted)
            {
                sockets.insert(format!("socket:[{inode}]"));
            }
        }
    }
    Ok(sockets)
}

fn holds(pid: u32, sockets: &BTreeSet<String>) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let led_to = fs::read_link(entry?.path());
        if led_to.is_ok_and(|led_to| led_to.to_str().is_some_and(|name| sockets.contains(name))) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn running(pid: u32) -> io::Result<Running> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    Ok(Running {
        pid,
        // The file itself, also where its name leads to another one by now.
        sha256: sha256_of(Path::new(&format!("/proc/{pid}/exe")))?,
        // 2: a filter (proc(5)).
        is_confined: value("Seccomp:") == "2" && value("NoNewPrivs:") == "1",
    })
}
