//! The connections of the two processes, as the kernel shows them, against those that
//! pci-docs/data-flow.md declares (PCI DSS 1.2.4, 12.5.2).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{App, VISA, Who, eventually};

/// A connection: whose, `in` or `out`, and with whom.
type Flow = (String, &'static str, String);

const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";
/// Of Unix sockets.
const CONNECTED: &str = "03";

/// Unix sockets by which a process talks to itself: signals are told through a pair of them.
const OF_ITS_OWN: usize = 2;

/// A TCP socket of a process: local and remote port, and its state.
#[derive(Clone, Debug)]
struct Tcp {
    local: u16,
    remote: u16,
    state: String,
}

/// The inodes of the sockets that a process holds.
fn held(pid: u32) -> BTreeSet<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .filter_map(|to| {
            let to = to.to_str()?.to_owned();
            Some(to.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect()
}

/// The lines of a table of the kernel that are about these sockets, in columns.
fn lines(table: &str, held: &BTreeSet<String>, inode: usize) -> Vec<Vec<String>> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let columns = text.lines().map(|line| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    columns
        .filter(|columns| columns.get(inode).is_some_and(|inode| held.contains(inode)))
        .collect()
}

fn tcp(pid: u32) -> Vec<Tcp> {
    let held = held(pid);
    let port =
        |address: &str| u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap();
    ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| lines(&format!("/proc/{pid}/net/{table}"), &held, 9))
        .map(|columns| Tcp {
            local: port(&columns[1]),
            remote: port(&columns[2]),
            state: columns[3].clone(),
        })
        .collect()
}

/// How many connected Unix sockets of streams a process has.
fn unix(pid: u32) -> usize {
    let all = lines("/proc/net/unix", &held(pid), 6);
    all.iter().filter(|columns| columns[5] == CONNECTED).count()
}

/// How many connections the database has taken at its socket.
fn accepted(socket: &Path) -> usize {
    let text = fs::read_to_string("/proc/net/unix").unwrap();
    let taken = text.lines().filter(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.get(5) == Some(&CONNECTED) && columns.get(7) == socket.to_str().as_ref()
    });
    taken.count()
}

/// What a process is connected to, by the names that its ports have. What has none is named by its
/// number.
fn flows(process: &str, pid: u32, names: &BTreeMap<u16, &str>) -> BTreeSet<Flow> {
    let sockets = tcp(pid);
    let own: BTreeSet<u16> = sockets
        .iter()
        .filter(|socket| socket.state == LISTENING)
        .map(|socket| socket.local)
        .collect();
    let mut found = BTreeSet::new();
    for socket in sockets.iter().filter(|socket| socket.state == ESTABLISHED) {
        let is_in = own.contains(&socket.local);
        let port = if is_in { socket.local } else { socket.remote };
        let name = names
            .get(&port)
            .map_or_else(|| format!("port {port}"), |name| (*name).to_owned());
        found.insert((process.to_owned(), if is_in { "in" } else { "out" }, name));
    }
    if unix(pid) > OF_ITS_OWN {
        found.insert((process.to_owned(), "out", "database".to_owned()));
    }
    found
}

/// The table of the document: connections that are to be observed, and those that another test
/// shows.
fn declared(document: &str) -> (BTreeSet<Flow>, usize) {
    let section = document.split("\n## Connections\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (mut observed, mut elsewhere) = (BTreeSet::new(), 0);
    for line in section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(2)
    {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [process, way, with, _, _, seen] = cells.as_slice() else {
            panic!("{line}");
        };
        let way = if *way == "in" { "in" } else { "out" };
        if *seen == "here" {
            observed.insert(((*process).to_owned(), way, (*with).to_owned()));
        } else {
            assert!(
                seen.contains("test:") || seen.starts_with("not shown"),
                "{line}"
            );
            elsewhere += 1;
        }
    }
    (observed, elsewhere)
}

fn document() -> String {
    fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/pci-docs/data-flow.md"
    ))
    .unwrap()
}

fn port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_two_processes_have_the_connections_that_are_declared_and_no_others() {
    let app = App::start_apart();
    let (capture, internal) = (app.pid_of("capture"), app.pid());
    let listening = |pid: u32| {
        let sockets = tcp(pid).into_iter();
        sockets
            .filter(|socket| socket.state == LISTENING)
            .map(|socket| socket.local)
            .collect::<Vec<_>>()
    };
    let mut names = BTreeMap::from([
        (port(&app.at.capture), "browsers"),
        (port(&app.at.internal), "clients"),
        (port(&app.at.sandbox), "processor"),
    ]);
    // Each process has one more listener, which is its ops plane.
    for ops in listening(capture).into_iter().chain(listening(internal)) {
        names.entry(ops).or_insert("probes");
    }
    assert_eq!(
        (listening(capture).len(), listening(internal).len()),
        (2, 2)
    );

    let done = Arc::new(AtomicBool::new(false));
    let watching = {
        let (done, names) = (Arc::clone(&done), names.clone());
        std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                seen.extend(flows("capture", capture, &names));
                seen.extend(flows("internal", internal, &names));
                std::thread::sleep(Duration::from_millis(1));
            }
            seen
        })
    };
    for number in 0..10 {
        let token = app.token(VISA).await;
        let charged = app.charge(&token, &number.to_string()).await;
        assert_eq!(charged.status, 201);
    }
    // Connections that wait are connections as well, and do not hurry away.
    let open = |port: u16| TcpStream::connect(("127.0.0.1", port)).unwrap();
    let waiting: Vec<TcpStream> = names.keys().map(|port| open(*port)).collect();
    assert_eq!(
        app.get(Who::Nobody, &format!("{}/readyz", app.at.ops))
            .await
            .status,
        200
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    done.store(true, Ordering::Relaxed);
    let seen = watching.join().unwrap();
    drop(waiting);

    let (here, elsewhere) = declared(&document());
    assert_eq!(seen, here);
    assert!(elsewhere >= 5);
    // Every other Unix socket of theirs is one of the database's.
    let socket = app
        .server
        .as_ref()
        .unwrap()
        .directory()
        .join(".s.PGSQL.5432");
    eventually("nobody else is at the database", async || {
        accepted(&socket) + 2 * OF_ITS_OWN == unix(capture) + unix(internal)
    })
    .await;
    assert!(unix(capture) > OF_ITS_OWN && unix(internal) > OF_ITS_OWN);
}

#[test]
fn a_connection_that_nobody_declared_is_seen() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let own = std::process::id();
    let stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let seen = flows("capture", own, &BTreeMap::new());
    let name = format!("port {port}");
    assert!(seen.iter().any(|(_, _, with)| *with == name), "{seen:?}");
    let (whole, _) = declared(&document());
    assert!(!seen.is_subset(&whole));
    drop((listener, stranger));
    // And a row that was taken out of the document leaves a connection undeclared.
    let document = document();
    let row = document
        .lines()
        .find(|line| line.starts_with("| internal | out | processor |"))
        .unwrap();
    let (fewer, _) = declared(&document.replace(row, ""));
    assert_eq!(whole.difference(&fewer).count(), 1);
}
