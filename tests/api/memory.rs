//! The memory of the running processes, read from outside and searched for every card they were
//! sent, in every form that tests/support/scanner.rs knows.
//!
//! `CLOAKROOM_MEMORY_CARDS` says how many cards are sent in each situation; 2,000 without it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use futures_util::{StreamExt, stream};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::support::scanner::{Form, Found, Scanner, hexadecimal};
use crate::support::{App, Who, raw, request};

/// Cards that are sent, unless the environment says otherwise.
const CARDS: usize = 2_000;
/// Of them, in twenty: those that become tokens.
const GOOD_IN_TWENTY: usize = 12;

#[expect(clippy::disallowed_methods, reason = "the test's own configuration")]
fn how_many() -> usize {
    let wanted = std::env::var("CLOAKROOM_MEMORY_CARDS").ok();
    wanted.map_or(CARDS, |text| text.parse().expect("a number"))
}

/// Synthetic card numbers: Visa's first digit, digits of a seeded generator, a Luhn check digit.
fn cards(seed: u64, number: usize) -> Vec<String> {
    let mut state = seed;
    let mut digit = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u8::try_from((state >> 33) % 10).unwrap()
    };
    (0..number)
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

/// A service and a sandbox in processes of their own.
struct Scene {
    app: App,
    sandbox: std::process::Child,
}

impl Scene {
    fn start(binary: PathBuf) -> Self {
        use std::io::BufRead;
        let dir = Arc::new(TempDir::new().unwrap());
        let mut sandbox = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["sandbox", "--port", "0", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
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

/// What becomes of a card.
enum Sent {
    Token(Option<raw::Connection>),
    NoToken(Option<raw::Connection>),
}

/// Sends every card: most as a good client would, some as a hostile or a clumsy one, and some
/// while the processor fails.
async fn send(app: &App, cards: &[String]) -> (usize, Vec<raw::Connection>) {
    let results: Vec<Sent> = stream::iter(cards.iter().enumerate())
        .map(|(number, card)| send_one(app, number, card))
        .buffer_unordered(8)
        .collect()
        .await;
    let mut made = 0;
    let mut open = Vec::new();
    for sent in results {
        match sent {
            Sent::Token(connection) => {
                made += 1;
                open.extend(connection);
            }
            Sent::NoToken(connection) => open.extend(connection),
        }
    }
    (made, open)
}

async fn send_one(app: &App, number: usize, card: &str) -> Sent {
    const PATH: &str = "/v1/tokens";
    let cvc = format!("{:03}", number % 1_000);
    let body = json!({"card": {"number": card, "exp_month": 12, "exp_year": 2034, "cvc": cvc}});
    // The same card of the same customer is the same token, so each has one of its own.
    let order = json!({ "customer_ref": format!("customer-{number}") });
    let session = app.order_session(&order).await;
    assert_eq!(session.status, 201, "{}", session.json());
    let secret = session.json()["client_secret"].as_str().unwrap().to_owned();
    let text = body.to_string();
    let clumsy = match number % 20 {
        12 => hold(app, &secret, PATH, &text.replace("12,", "13,")).await,
        13 => hold(app, &secret, PATH, &text[..60]).await,
        14 => hold(app, &secret, "/v1/nowhere", &text).await,
        15 => hold(app, &secret, PATH, &format!("{text}{}", text.repeat(200))).await,
        // Of nobody's session; without the right of the page that it says it comes from.
        16 => hold(app, &secret.replace("_secret_", "_secret_x"), PATH, &text).await,
        // The processor answers that it is broken, or cuts the connection.
        17 | 18 => {
            let kind = if number % 20 == 17 {
                "status"
            } else {
                "cut_after"
            };
            let fault = json!({ "path": "/v1/payment_methods", "times": 1, "fault": kind });
            app.sandbox(Method::POST, "faults", &fault).await;
            hold(app, &secret, PATH, &text).await
        }
        // A browser that goes away before the answer.
        19 => {
            hang_up(app, &secret, &text).await;
            None
        }
        // Connections that the client keeps open after the answer.
        0..=3 => return Sent::Token(hold(app, &secret, PATH, &text).await),
        _ => {
            let answer = app.post_card(&secret, &body, &[]).await;
            return if answer.status == 201 {
                Sent::Token(None)
            } else {
                Sent::NoToken(None)
            };
        }
    };
    Sent::NoToken(clumsy)
}

/// Sends a card and is gone.
async fn hang_up(app: &App, secret: &str, body: &str) {
    let Ok(mut connection) = raw::connect(app, Who::Nobody, &app.at.capture).await else {
        return;
    };
    let request = post("/v1/tokens", secret, body.len()) + body;
    // The server may be quicker.
    let _sent = connection.write_all(request.as_bytes()).await;
}

fn post(path: &str, secret: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Posts a body and keeps the connection open as far as the server lets it.
async fn hold(app: &App, secret: &str, path: &str, body: &str) -> Option<raw::Connection> {
    let mut connection = raw::connect(app, Who::Nobody, &app.at.capture).await.ok()?;
    let head = post(path, secret, body.len());
    connection.write_all(head.as_bytes()).await.ok()?;
    // The server may have refused already.
    let _sent = connection.write_all(body.as_bytes()).await;
    let _answer = raw::read(&mut connection).await;
    Some(connection)
}

/// Scans until there is nothing: on a busy machine the last connections may take a while to be
/// closed, and so wiped.
async fn scan(scanner: &Scanner, pid: u32, what: &str) -> Found {
    let mut found = Found::default();
    for seconds in 1..=10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        found = scanner.scan(pid);
        println!("{what}, after {seconds} s: {found:?}");
        if found.total() == 0 {
            break;
        }
    }
    found
}

/// Sends cards, and scans each process while clients hold connections open and after they went.
async fn nothing_stays(app: &App, seed: u64, processes: &[(&str, u32)]) {
    let cards = cards(seed, how_many());
    let (made, open) = send(app, &cards).await;
    assert!(made * 20 >= cards.len() * (GOOD_IN_TWENTY - 1), "{made}");
    let scanner = Scanner::new(&cards);
    println!(
        "{} cards sent, {made} tokens, {} connections held",
        cards.len(),
        open.len()
    );
    for (name, pid) in processes {
        let found = scan(&scanner, *pid, &format!("{name}, connections open")).await;
        assert_eq!(found.total(), 0, "{name}: {found:?}");
    }
    drop(open);
    for (name, pid) in processes {
        let found = scan(&scanner, *pid, &format!("{name}, connections closed")).await;
        assert_eq!(found.total(), 0, "{name}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_thousands_of_cards_the_servers_memory_holds_none() {
    let scene = Scene::start(binary());
    let pid = scene.app.pid();
    nothing_stays(&scene.app, 1, &[("dev", pid)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_thousands_of_cards_neither_planes_process_holds_one() {
    let app = App::start_apart();
    let processes = [
        ("capture", app.pid_of("capture")),
        ("internal", app.pid_of("internal")),
    ];
    nothing_stays(&app, 4, &processes).await;
    // Charges, of which the internal process does all.
    let token = app.token("4242424242424242").await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let scanner = Scanner::new(&["4242424242424242".to_owned()]);
    for (name, pid) in processes {
        let found = scan(&scanner, pid, name).await;
        assert_eq!(found.total(), 0, "{name}: {found:?}");
    }
}

/// A card and a code in each form that the scanner knows.
fn forms(card: &str) -> Vec<(Form, String)> {
    let hex = |text: &str| hexadecimal(text.as_bytes());
    let percent = |text: &str| {
        let bytes = text.bytes();
        bytes.fold(String::new(), |text, byte| format!("{text}%{byte:02X}"))
    };
    let number: u64 = card.parse().unwrap();
    let by_four = |separator: &str| {
        let groups: Vec<&str> = (0..4)
            .map(|group| &card[group * 4..group * 4 + 4])
            .collect();
        groups.join(separator)
    };
    let json = "{\"cvc\":\"737\"}";
    let mut forms = vec![
        (Form::Digits, card.to_owned()),
        (Form::Percent, percent(card)),
        (Form::Hex, hex(card)),
        (Form::HexInteger, format!("{number:x}")),
        (Form::HexInteger, format!("{number:X}")),
        (Form::Cvc, json.to_owned()),
        (Form::Cvc, "card[cvc]=737".to_owned()),
        (Form::CvcPercent, percent("\"cvc\":\"") + "737"),
        (Form::CvcHex, hex(json)),
        (Form::CvcHex, hex(json).to_uppercase()),
    ];
    for separator in [" ", "-", "%20", "+"] {
        forms.push((Form::Grouped, by_four(separator)));
    }
    // Each of the three places in a group of three bytes, in both alphabets.
    for before in ["", "a", "ab"] {
        forms.push((
            Form::Base64,
            BASE64_STANDARD.encode(format!("{before}{card}")),
        ));
        forms.push((
            Form::Base64,
            BASE64_URL_SAFE.encode(format!("{before}{card}?>")),
        ));
        forms.push((
            Form::CvcBase64,
            BASE64_STANDARD.encode(format!("{before}{json}")),
        ));
    }
    forms
}

/// The positive control of each form: a process that holds just that.
#[test]
fn the_memory_scan_finds_each_form_in_a_living_process() {
    let card = cards(5, 1).remove(0);
    let scanner = Scanner::new(std::slice::from_ref(&card));
    for (form, text) in forms(&card) {
        let mut control = Command::new("sleep")
            .arg("60")
            .env_clear()
            .env("CONTROL", &text)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let found = scanner.scan(control.id());
        control.kill().unwrap();
        control.wait().unwrap();
        assert!(
            found.forms.contains_key(&form),
            "{form:?} {text}: {found:?}"
        );
    }
    // Numbers that a program has parsed.
    let number: u64 = card.parse().unwrap();
    let unpacked: Vec<u8> = card.bytes().map(|digit| digit - b'0').collect();
    for (form, bytes) in [
        (Form::Integer, number.to_le_bytes().to_vec()),
        (Form::Unpacked, unpacked),
    ] {
        let mut found = Found::default();
        scanner.search(&bytes, &mut found);
        assert_eq!(found.forms.get(&form), Some(&1), "{found:?}");
    }
    // And nothing where there is nothing.
    let other = cards(6, 1).remove(0);
    for (form, text) in forms(&other) {
        let mut found = Found::default();
        scanner.search(text.as_bytes(), &mut found);
        let codes = [Form::Cvc, Form::CvcPercent, Form::CvcHex, Form::CvcBase64];
        assert_eq!(
            found.total() == 0,
            !codes.contains(&form),
            "{form:?} {text}: {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_scan_finds_cards_in_flight() {
    let scene = Scene::start(binary());
    let cards = &cards(2, 8);
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
        Scanner::new(cards).scan(scene.app.pid())
    };
    let found = tokio::select! {
        found = look => found,
        _ = futures_util::future::join_all(posts) => panic!("the processor did not hang"),
    };
    println!("8 cards in flight: {found:?}");
    assert_eq!(found.cards.len(), cards.len(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_wiping_allocator_the_memory_scan_finds_cards() {
    let unwiped = binary().parent().unwrap().join("examples/unwiped");
    let scene = Scene::start(unwiped);
    let cards = cards(3, 1_000);
    let (_, open) = send(&scene.app, &cards).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let found = Scanner::new(&cards).scan(scene.app.pid());
    println!(
        "allocator off: {} of {} cards found, {:?}",
        found.cards.len(),
        cards.len(),
        found.forms
    );
    assert!(!found.cards.is_empty(), "{found:?}");
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
