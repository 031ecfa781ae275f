//! Which program listens, as the kernel shows it: a server that says "ok" of itself proves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
        let running = if scene.is_elsewhere(plane.node) {
            Ok(Vec::new())
        } else {
            seen(&plane)
        };
        match running {
            Ok(running) if running.is_empty() => {
                let (verdict, why) = scene.absent(plane.node);
                look.saw(verdict, format_args!("{title} {why}"));
            }
            Ok(running) => {
                for process in running {
                    let Running { pid, sha256, .. } = &process;
                    look.must(
                        sha256 == own_sha256,
                        format_args!("{title} is process {pid}, which runs {sha256}; this is {own_sha256}"),
                    );
                    if is_confined_by_configuration(scene, &plane) {
                        look.must(
                            process.is_confined,
                            format_args!("{title}: seccomp filter and no-new-privileges of process {pid}"),
                        );
                    }
                    shown.push(json!({
                        "of": title,
                        "pid": pid,
                        "sha256": sha256,
                        "confined": process.is_confined,
                    }));
                }
            }
            Err(error) => look.saw(
                Verdict::NotSeen,
                format_args!(
                    "{title}: {error}; collect as root with CAP_SYS_PTRACE, among the same processes and network"
                ),
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

/// Every process that holds a socket which listens for a plane; none where nobody does.
fn seen(plane: &Plane<'_>) -> io::Result<Vec<Running>> {
    let sockets = listening_at(plane.listen)?;
    let (mut found, mut refused) = (Vec::new(), None);
    if sockets.is_empty() {
        return Ok(found);
    }
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match holds(pid, &sockets) {
            Ok(true) => found.push(running(pid)?),
            Ok(false) => {}
            // It may have ended meanwhile, or be another user's.
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if found.is_empty() {
        let nobody = || io::Error::other("no process that is seen here holds its socket");
        return Err(refused.unwrap_or_else(nobody));
    }
    Ok(found)
}

/// The sockets that listen at an address, as `/proc` names them.
fn listening_at(address: SocketAddr) -> io::Result<BTreeSet<String>> {
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
                && local_address(local) == Some(address)
            {
                sockets.insert(format!("socket:[{inode}]"));
            }
        }
    }
    Ok(sockets)
}

/// An address of `/proc/net/tcp`: the words of the IP as the machine has them in memory, and the port.
fn local_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if !matches!(ip.len(), 8 | 32) {
        return None;
    }
    let words = ip.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?),
    };
    Some(SocketAddr::new(ip, port))
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
    let filters = |pid: &str| -> io::Result<(u32, bool)> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().parse().unwrap_or(0)
        };
        Ok((value("Seccomp_filters:"), value("NoNewPrivs:") == 1))
    };
    // A container puts a filter on each of its processes; the service puts on one more (proc(5)).
    let ((own, _), (of_process, no_new_privileges)) =
        (filters("self")?, filters(&pid.to_string())?);
    Ok(Running {
        pid,
        // The file itself, also where its name leads to another one by now.
        sha256: sha256_of(Path::new(&format!("/proc/{pid}/exe")))?,
        is_confined: of_process > own && no_new_privileges,
    })
}

#[cfg(test)]
mod tests {
    use super::local_address;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        for (text, address) in [
            ("0100007F:20FB", "127.0.0.1:8443"),
            ("00000000:01BB", "0.0.0.0:443"),
            ("00000000000000000000000001000000:20FB", "[::1]:8443"),
            ("00000000000000000000000000000000:0050", "[::]:80"),
        ] {
            assert_eq!(
                local_address(text),
                Some(address.parse().unwrap()),
                "{text}"
            );
        }
        for text in ["", "0100007F", "01:1", "xyzxyzxy:0050"] {
            assert_eq!(local_address(text), None, "{text}");
        }
    }
}
