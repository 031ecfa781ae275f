//! The memory of the running server, read from outside and searched for every card it was sent.
//!
//! Searched for, in every writable mapping: each nine-digit run of each PAN in ASCII (a whole PAN
//! is eight of them), each PAN as a 64-bit little-endian number and as unpacked digits, and every
//! CVC next to its name in JSON or in a form. Not searched: kernel buffers (ciphertext) and swap
//! (memory is locked where the system allows).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::support::{App, Who, raw, request};

/// Cards that are sent.
const CARDS: usize = 1_000;
/// Digits that are enough to be a find.
const FRAGMENT_DIGITS: usize = 9;

/// Synthetic card numbers: Visa's first digit, digits of a seeded generator, a Luhn check digit.
fn cards(seed: u64) -> Vec<String> {
    let mut state = seed;
    let mut digit = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u8::try_from((state >> 33) % 10).unwrap()
    };
    (0..CARDS)
        .map(|_| {
            let mut digits: Vec<u8> = std::iter::once(4).chain((0..14).map(|_| digit())).collect();
            let sum: u32 = digits
                .iter()
                .rev()
                .enumerate()
                .map(|(place, &digit)| match (place % 2, u32::from(digit) * 2) {
                    (0, doubled) => doubled / 10 + doubled % 10,
                    _ => u32::from(digit),
                })
                .sum();
            digits.push(u8::try_from((10 - sum % 10) % 10).unwrap());
            digits
                .iter()
                .map(|digit| char::from(b'0' + digit))
                .collect()
        })
        .collect()
}

#[derive(Debug, Default)]
struct Found {
    pans: BTreeSet<String>,
    fragments: usize,
    numbers: usize,
    unpacked: usize,
    cvcs: usize,
}

impl Found {
    fn total(&self) -> usize {
        self.fragments + self.numbers + self.unpacked + self.cvcs
    }
}

/// Searches the writable memory of a process.
fn scan(pid: u32, cards: &[String]) -> Found {
    let mut fragments: HashMap<&[u8], &str> = HashMap::new();
    for card in cards {
        for window in card.as_bytes().windows(FRAGMENT_DIGITS) {
            fragments.insert(window, card);
        }
    }
    let numbers: HashSet<u64> = cards.iter().map(|card| card.parse().unwrap()).collect();
    let mut found = Found::default();
    let memory =
        File::open(format!("/proc/{pid}/mem")).expect("root reads another process's memory");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    for line in maps.lines().filter(|line| {
        line.split(' ')
            .nth(1)
            .is_some_and(|mode| mode.starts_with("rw"))
    }) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        let mut bytes = vec![0; 1 << 20];
        let mut at = from;
        while at < to {
            let want = usize::try_from(to - at).unwrap().min(bytes.len());
            // A guard page or a page that was given back reads as an error, and holds nothing.
            let Ok(read @ 1..) = memory.read_at(&mut bytes[..want], at) else {
                at += 4096;
                continue;
            };
            search(&bytes[..read], &fragments, &numbers, &mut found);
            // Overlap, so that nothing hides on a seam.
            let end = at + u64::try_from(read).unwrap();
            at = if end == to || read <= 64 {
                end
            } else {
                end - 64
            };
        }
    }
    found
}

fn search(
    bytes: &[u8],
    fragments: &HashMap<&[u8], &str>,
    numbers: &HashSet<u64>,
    found: &mut Found,
) {
    let mut run = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
        if run >= FRAGMENT_DIGITS
            && let Some(card) = fragments.get(&bytes[at + 1 - FRAGMENT_DIGITS..=at])
        {
            found.fragments += 1;
            found.pans.insert((*card).to_owned());
        }
        // A 16-digit number that starts with 4 has these two high bytes.
        if byte == 0 && at >= 7 && (0x0e..=0x11).contains(&bytes[at - 1]) {
            let number = u64::from_le_bytes(bytes[at - 7..=at].try_into().unwrap());
            found.numbers += usize::from(numbers.contains(&number));
        }
        if byte == 4 && bytes.len() - at >= 16 && bytes[at..at + 16].iter().all(|digit| *digit < 10)
        {
            let number = bytes[at..at + 16]
                .iter()
                .fold(0, |sum, digit| sum * 10 + u64::from(*digit));
            found.unpacked += usize::from(numbers.contains(&number));
        }
    }
    for name in [&b"\"cvc\":\""[..], b"cvc]=", b"cvc%5D="] {
        for (at, _) in bytes
            .windows(name.len())
            .enumerate()
            .filter(|(_, window)| *window == name)
        {
            let digits = bytes[at + name.len()..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if matches!(digits, 3 | 4) {
                found.cvcs += 1;
                let context = &bytes[at.saturating_sub(60)..bytes.len().min(at + 120)];
                println!("CVC at: {:?}", String::from_utf8_lossy(context));
            }
        }
    }
}

/// A service and a sandbox in processes of their own.
struct Scene {
    app: App,
    sandbox: std::process::Child,
}

impl Scene {
    fn start(binary: PathBuf) -> Self {
        use std::io::BufRead;
        let dir = Arc::new(TempDir::new().unwrap());
        let mut sandbox = std::process::Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["sandbox", "--port", "0", "--dir"])
            .arg(dir.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        std::io::BufReader::new(sandbox.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        let app = App::start_binary(binary, dir, &["--sandbox-url", url.trim()], &[]);
        Self { app, sandbox }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.sandbox.kill().unwrap();
        self.sandbox.wait().unwrap();
    }
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_cloakroom"))
}

/// Sends every card: most as a good client would, some as a hostile or a clumsy one.
async fn send(app: &App, cards: &[String]) -> (usize, Vec<raw::Connection>) {
    let results: Vec<(bool, Option<raw::Connection>)> = stream::iter(cards.iter().enumerate())
        .map(|(number, card)| async move {
            let cvc = format!("{:03}", number % 1000);
            let body =
                json!({"card": {"number": card, "exp_month": 12, "exp_year": 2034, "cvc": cvc}});
            let secret = app.session().await;
            match number % 20 {
                // Clumsy: wrong check digit, broken JSON, unknown path, far too long.
                16 => (
                    false,
                    hold(
                        app,
                        &secret,
                        "/v1/tokens",
                        &body.to_string().replace("12,", "13,"),
                    )
                    .await,
                ),
                17 => (
                    false,
                    hold(app, &secret, "/v1/tokens", &body.to_string()[..60]).await,
                ),
                18 => (
                    false,
                    hold(app, &secret, "/v1/nowhere", &body.to_string()).await,
                ),
                19 => (
                    false,
                    hold(
                        app,
                        &secret,
                        "/v1/tokens",
                        &format!("{body}{}", body.to_string().repeat(200)),
                    )
                    .await,
                ),
                // Connections that the client keeps open after the answer.
                0..=3 => {
                    let connection = hold(app, &secret, "/v1/tokens", &body.to_string()).await;
                    (true, connection)
                }
                _ => (app.post_card(&secret, &body, &[]).await.status == 201, None),
            }
        })
        .buffer_unordered(8)
        .collect()
        .await;
    let made = results.iter().filter(|(made, _)| *made).count();
    (
        made,
        results
            .into_iter()
            .filter_map(|(_, connection)| connection)
            .collect(),
    )
}

/// Posts a body and keeps the connection open as far as the server lets it.
async fn hold(app: &App, secret: &str, path: &str, body: &str) -> Option<raw::Connection> {
    let mut connection = raw::connect(app, Who::Nobody, &app.at.capture).await.ok()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.ok()?;
    // The server may have refused already.
    let _sent = connection.write_all(body.as_bytes()).await;
    let _answer = raw::read(&mut connection).await;
    Some(connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_thousand_cards_the_servers_memory_holds_none() {
    let scene = Scene::start(binary());
    let cards = cards(1);
    let (made, open) = send(&scene.app, &cards).await;
    assert_eq!(made, CARDS * 16 / 20);
    assert_eq!(
        scene.app.ledger().await["payment_methods"]
            .as_array()
            .unwrap()
            .len(),
        made
    );
    // On a busy machine the last connections may take a while to be closed, and so wiped.
    let mut found = Found::default();
    for seconds in 1..=5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        found = scan(scene.app.pid(), &cards);
        println!(
            "{made} cards tokenized, {} connections held open, after {seconds} s: {found:?}",
            open.len()
        );
        if found.total() == 0 {
            break;
        }
    }
    assert_eq!(found.total(), 0, "{found:?}");
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_scan_finds_cards_in_flight() {
    let scene = Scene::start(binary());
    let cards = &cards(2)[..8];
    let hang = json!({"path": "/v1/payment_methods", "times": 8, "fault": "hang"});
    scene.app.sandbox(Method::POST, "faults", &hang).await;
    let app = &scene.app;
    let posts = cards.iter().map(|card| async move {
        let secret = app.session().await;
        let body =
            json!({"card": {"number": card, "exp_month": 12, "exp_year": 2034, "cvc": "737"}});
        let url = format!("{}/v1/tokens", app.at.capture);
        let bearer = format!("Bearer {secret}");
        let post = request(
            Method::POST,
            &url,
            &[("authorization", &bearer)],
            body.to_string(),
        );
        app.client(Who::Nobody).send(post).await
    });
    let look = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        scan(scene.app.pid(), cards)
    };
    let found = tokio::select! {
        found = look => found,
        _ = futures_util::future::join_all(posts) => panic!("the processor did not hang"),
    };
    println!("8 cards in flight: {found:?}");
    assert!(found.fragments > 0, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_wiping_allocator_the_memory_scan_finds_cards() {
    let unwiped = binary().parent().unwrap().join("examples/unwiped");
    let scene = Scene::start(unwiped);
    let cards = cards(3);
    let (_, open) = send(&scene.app, &cards).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let found = scan(scene.app.pid(), &cards);
    println!(
        "allocator off: {} of {CARDS} cards found, {found:?}",
        found.pans.len()
    );
    assert!(!found.pans.is_empty(), "{found:?}");
    drop(open);
}

#[tokio::test]
async fn the_process_cannot_be_dumped_and_writes_no_core() {
    let app = App::start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", app.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["0", "0"]
    );
    // Files of a process that is not dumpable belong to root.
    let status = fs::read_to_string(format!("/proc/{}/status", app.pid())).unwrap();
    let locked = status
        .lines()
        .find(|line| line.starts_with("VmLck"))
        .unwrap();
    assert!(!locked.contains(" 0 kB"), "{locked}");
    let ready: Value = app
        .get(Who::Nobody, &format!("{}/readyz", app.at.ops))
        .await
        .json();
    let memory = ready["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "memory_hardening")
        .unwrap();
    assert_eq!(memory["state"], "ok", "{memory}");
}
