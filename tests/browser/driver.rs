//! A real browser, driven by the W3C `WebDriver` protocol: JSON over loopback, and no crate for it,
//! because those there are bring a licence that the project does not take. Firefox takes the same
//! commands under other names, see `marionette.rs`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::marionette::{self, Marionette};
use crate::support::App;

/// How the protocol names an element.
pub(crate) const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that are no letters (`WebDriver`, 17.4.2).
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const SHIFT: &str = "\u{e008}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const BACKSPACE: &str = "\u{e003}";
pub(crate) const LEFT: &str = "\u{e012}";

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chromium,
    Firefox,
    /// Safari's engine, as Debian has it: `WebKitGTK`.
    WebKit,
}

/// An element of the page or frame that was looked at when it was found.
#[derive(Clone, Debug)]
pub(crate) struct Element(Value);

/// Over what a browser is spoken to.
enum Link {
    WebDriver {
        base: String,
        client: Client<HttpConnector, Full<Bytes>>,
    },
    Marionette(Marionette),
}

/// A browser with one window.
pub(crate) struct Browser {
    pub(crate) kind: Kind,
    link: Link,
    /// Ended with the browser: it, its driver, the screen that it draws on.
    programs: Vec<Child>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one that trusts the app's certificates.
    pub(crate) async fn start(kind: Kind, app: &App) -> Self {
        Self::start_with(kind, app, &json!({})).await
    }

    /// Chromium with options of its driver beside ours, such as `prefs`.
    pub(crate) async fn chromium_that(app: &App, options: &Value) -> Self {
        Self::start_with(Kind::Chromium, app, options).await
    }

    async fn start_with(kind: Kind, app: &App, options: &Value) -> Self {
        let profile = TempDir::new().unwrap();
        let (programs, link, wanted) = match kind {
            Kind::Chromium => {
                let (driver, port) = chromedriver(profile.path());
                let link = Link::web_driver(port);
                let mut wanted = chromium(app, profile.path());
                for (name, value) in options.as_object().unwrap() {
                    let option = &mut wanted["goog:chromeOptions"][name];
                    match (option.as_array_mut(), value.as_array()) {
                        (Some(ours), Some(more)) => ours.extend_from_slice(more),
                        _ => *option = value.clone(),
                    }
                }
                (vec![driver], link, wanted)
            }
            Kind::Firefox => {
                let firefox = marionette::start(profile.path());
                let link = Link::Marionette(Marionette::connect(profile.path()).await);
                (vec![firefox], link, json!({ "acceptInsecureCerts": true }))
            }
            Kind::WebKit => webkit(profile.path()).await,
        };
        let mut browser = Self {
            kind,
            link,
            programs,
            _profile: profile,
        };
        // Firefox takes them as they are: a driver would have matched them.
        let capabilities = match kind {
            Kind::Firefox => wanted,
            Kind::Chromium | Kind::WebKit => json!({ "capabilities": { "alwaysMatch": wanted } }),
        };
        let made = browser.call(Method::POST, "/session", &capabilities).await;
        let id = made["sessionId"].as_str().unwrap();
        if let Link::WebDriver { base, .. } = &mut browser.link {
            *base = format!("{base}/session/{id}");
        }
        let limits = json!({ "script": 60_000, "pageLoad": 60_000, "implicit": 0 });
        browser.call(Method::POST, "/timeouts", &limits).await;
        browser
    }

    pub(crate) async fn chromium(app: &App) -> Self {
        Self::start(Kind::Chromium, app).await
    }

    async fn try_call(&self, method: Method, path: &str, body: &Value) -> Result<Value, Value> {
        let exchange = async {
            match &self.link {
                Link::WebDriver { base, client } => {
                    let url = format!("{base}{path}");
                    web_driver(client, method, &url, body).await
                }
                Link::Marionette(link) => link.call(&method, path, body).await,
            }
        };
        tokio::time::timeout(Duration::from_mins(2), exchange)
            .await
            .unwrap_or_else(|_| panic!("the browser did not answer {path} within 2 minutes"))
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.try_call(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("{path}: {}: {}", error["error"], error["message"]))
    }

    /// Goes to a page and waits until it is loaded.
    pub(crate) async fn go(&self, url: &str) {
        self.call(Method::POST, "/url", &json!({ "url": url }))
            .await;
    }

    pub(crate) async fn back(&self) {
        self.call(Method::POST, "/back", &json!({})).await;
    }

    pub(crate) async fn url(&self) -> String {
        let url = self.call(Method::GET, "/url", &Value::Null).await;
        url.as_str().unwrap().to_owned()
    }

    /// Runs the body of a function in the page and answers what it returns; a promise is awaited.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.run_with(script, json!([])).await
    }

    pub(crate) async fn run_with(&self, script: &str, arguments: Value) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.call(Method::POST, "/execute/sync", &body).await
    }

    /// The first element of a selector, in the page or in our element's own tree, waited for.
    pub(crate) async fn find(&self, selector: &str) -> Element {
        let script = "const own = document.querySelector('cloakroom-card')?.shadowRoot;
            return document.querySelector(arguments[0]) ?? own?.querySelector(arguments[0])";
        let body = json!({ "script": script, "args": [selector] });
        for _ in 0..100 {
            let found = self.try_call(Method::POST, "/execute/sync", &body).await;
            if let Ok(found @ Value::Object(_)) = found {
                return Element(found);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no {selector} within 10 s")
    }

    /// Looks into a frame from here on.
    pub(crate) async fn enter(&self, frame: &str) {
        let frame = self.find(frame).await;
        self.call(Method::POST, "/frame", &json!({ "id": frame.0 }))
            .await;
    }

    /// Looks at the page itself again.
    pub(crate) async fn leave(&self) {
        self.call(Method::POST, "/frame", &json!({ "id": null }))
            .await;
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        let path = format!("/element/{}/click", element.0[ELEMENT].as_str().unwrap());
        self.call(Method::POST, &path, &json!({})).await;
    }

    /// Clicks into a field and types.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        if self.kind == Kind::WebKit {
            // Its driver gives the focus by script, which WebKit lets no frame of another origin do.
            self.click(selector).await;
            return self.press(text, false).await;
        }
        let element = self.find(selector).await;
        let path = format!("/element/{}/value", element.0[ELEMENT].as_str().unwrap());
        self.call(Method::POST, &path, &json!({ "text": text }))
            .await;
    }

    /// Presses keys, wherever the focus is; with Shift held down if so.
    pub(crate) async fn press(&self, keys: &str, shift: bool) {
        let mut actions = Vec::new();
        if shift {
            actions.push(json!({ "type": "keyDown", "value": SHIFT }));
        }
        for key in keys.chars() {
            actions.push(json!({ "type": "keyDown", "value": key.to_string() }));
            actions.push(json!({ "type": "keyUp", "value": key.to_string() }));
        }
        if shift {
            actions.push(json!({ "type": "keyUp", "value": SHIFT }));
        }
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.call(Method::POST, "/actions", &json!({ "actions": [keyboard] }))
            .await;
    }

    pub(crate) async fn value(&self, selector: &str) -> String {
        let value = self
            .run_with(
                "return document.querySelector(arguments[0])?.value ?? ''",
                json!([selector]),
            )
            .await;
        value.as_str().unwrap().to_owned()
    }

    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.textContent ?? ''";
        let value = self.run_with(script, json!([selector])).await;
        value.as_str().unwrap().to_owned()
    }

    /// Waits until a script returns something true, and answers it.
    pub(crate) async fn until(&self, script: &str) -> Value {
        for _ in 0..200 {
            let body = json!({ "script": script, "args": [] });
            // A page that is being left cannot be asked.
            if let Ok(value) = self.try_call(Method::POST, "/execute/sync", &body).await
                && !matches!(value, Value::Null | Value::Bool(false))
                && value != ""
            {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let page = self.run("return document.body.innerText").await;
        panic!("not within 20 s: {script}\n{page}\n{:?}", self.log().await)
    }

    /// What the browser wrote on its console since last asked (Chromium).
    pub(crate) async fn log(&self) -> Vec<String> {
        if self.kind != Kind::Chromium {
            return Vec::new();
        }
        let log = self
            .call(Method::POST, "/se/log", &json!({ "type": "browser" }))
            .await;
        log.as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// A command of the Chrome `DevTools` protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.call(Method::POST, "/goog/cdp/execute", &body).await
    }

    /// Keeps a picture of the window among the target directory's temporary files: the guide's are
    /// taken from there, and looked at.
    pub(crate) async fn picture(&self, name: &str) {
        let picture = self.call(Method::GET, "/screenshot", &Value::Null).await;
        let bytes = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("{name}.png")), bytes).unwrap();
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height });
        self.call(Method::POST, "/window/rect", &size).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Each with its whole group: the driver, the browser and its processes.
        for program in &mut self.programs {
            let _ended = Command::new("kill")
                .args(["-KILL", "--", &format!("-{}", program.id())])
                .status();
            let _reaped = program.wait();
        }
    }
}

impl Link {
    fn web_driver(port: u16) -> Self {
        Self::WebDriver {
            base: format!("http://127.0.0.1:{port}"),
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
        }
    }
}

async fn web_driver(
    client: &Client<HttpConnector, Full<Bytes>>,
    method: Method,
    url: &str,
    body: &Value,
) -> Result<Value, Value> {
    let text = if method == Method::POST {
        body.to_string()
    } else {
        String::new()
    };
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json")
        .body(Full::from(text))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    let ok = answer.status().is_success();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let value = value["value"].clone();
    if ok { Ok(value) } else { Err(value) }
}

/// Starts a program in a group of its own: whatever it starts ends with it.
pub(crate) fn spawn(mut program: Command, home: &Path) -> Child {
    let name = program.get_program().to_owned();
    program
        .env("HOME", home)
        .env("TMPDIR", home)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/run installs it", name.display()))
}

/// `WebKitGTK`'s small browser, on a screen that nobody sees.
async fn webkit(home: &Path) -> (Vec<Child>, Link, Value) {
    let mut screen = Command::new("Xvfb");
    screen
        .args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1100x950x24",
            "-nolisten",
            "tcp",
        ])
        .stdout(Stdio::piped());
    let mut screen = spawn(screen, home);
    let mut display = String::new();
    BufReader::new(screen.stdout.take().unwrap())
        .read_line(&mut display)
        .unwrap();
    // It does not say which port it chose, so it is given one that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .unwrap()
        .port();
    let mut driver = Command::new("WebKitWebDriver");
    driver
        .arg(format!("--port={port}"))
        .env("DISPLAY", format!(":{}", display.trim()))
        .env("GDK_BACKEND", "x11")
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        // Its sandbox needs rights that a container has not.
        .env("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1")
        .stdout(Stdio::null());
    let driver = spawn(driver, home);
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let wanted = json!({ "acceptInsecureCerts": true });
    (vec![driver, screen], Link::web_driver(port), wanted)
}

/// Chromium's driver and the port that it says it listens on. It ends when the port that it has
/// chosen for one family of addresses is taken in the other, so it is started again.
fn chromedriver(home: &Path) -> (Child, u16) {
    for _ in 0..5 {
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").stdout(Stdio::piped());
        let mut driver = spawn(driver, home);
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("successfully on port ")?;
            rest.trim_end_matches('.').trim().parse().ok()
        });
        // It goes on writing; nobody who reads would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        if let Some(port) = port {
            return (driver, port);
        }
        let _ended = driver.wait();
    }
    panic!("the driver does not say where it listens")
}

fn chromium(app: &App, profile: &Path) -> Value {
    let trusted = trusted_key(&app.path("server.pem"));
    json!({
        "browserName": "chrome",
        "goog:loggingPrefs": { "browser": "ALL" },
        "goog:chromeOptions": {
            "binary": "/usr/bin/chromium",
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
                "--window-size=1000,900", "--force-color-profile=srgb", "--lang=en",
                // Else reports wait for up to a minute.
                "--short-reporting-delay",
                format!("--user-data-dir={}", profile.join("profile").display()),
                format!("--ignore-certificate-errors-spki-list={trusted}"),
            ],
        },
    })
}

/// The hash by which Chromium is told to trust the key of a certificate.
fn trusted_key(certificate: &Path) -> String {
    let pem = std::fs::read(certificate).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let key = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        certificate.tbs_certificate.subject_pki.raw,
    );
    BASE64_STANDARD.encode(key)
}
