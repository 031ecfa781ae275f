//! Firefox without a driver: it speaks Marionette itself, over TCP, the length of each message before
//! it. The commands are `WebDriver`'s under other names, so the rest of the tests need not know.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::driver::{ELEMENT, spawn};

/// A connection to a running Firefox.
pub(crate) struct Marionette(Mutex<(TcpStream, u64)>);

/// Starts Firefox with a profile of its own, headless, listening on a port that it chooses.
pub(crate) fn start(profile: &Path) -> Child {
    let own = dir(profile);
    std::fs::create_dir_all(&own).unwrap();
    // What Firefox fetches for itself is nothing of a test's.
    let settings = [
        ("marionette.port", "0"),
        ("app.update.disabledForTesting", "true"),
        ("app.normandy.enabled", "false"),
        ("browser.safebrowsing.update.enabled", "false"),
        ("browser.shell.checkDefaultBrowser", "false"),
        ("datareporting.policy.dataSubmissionEnabled", "false"),
        ("extensions.getAddons.cache.enabled", "false"),
        ("network.captive-portal-service.enabled", "false"),
        ("network.connectivity-service.enabled", "false"),
        ("services.settings.server", "\"data:,\""),
        ("toolkit.telemetry.reportingpolicy.firstRun", "false"),
    ];
    let lines = settings.map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"));
    std::fs::write(own.join("user.js"), lines.concat()).unwrap();
    let mut firefox = Command::new("firefox-esr");
    firefox
        .args(["-marionette", "-headless", "-no-remote", "-profile"])
        .arg(own)
        .args(["--width=1000", "--height=900"])
        .stdout(Stdio::null());
    spawn(firefox, profile)
}

fn dir(profile: &Path) -> PathBuf {
    profile.join("firefox")
}

impl Marionette {
    /// Connects once Firefox has written down where it listens.
    pub(crate) async fn connect(profile: &Path) -> Self {
        let told = dir(profile).join("MarionetteActivePort");
        for _ in 0..600 {
            let port = std::fs::read_to_string(&told).ok();
            let port = port.and_then(|port| port.trim().parse::<u16>().ok());
            if let Some(port) = port
                && let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await
            {
                let hello = receive(&mut stream).await;
                assert_eq!(hello["marionetteProtocol"], 3, "{hello}");
                return Self(Mutex::new((stream, 0)));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Firefox did not say within a minute where it listens")
    }

    /// A command as `WebDriver` names it: its method and its path within the session.
    pub(crate) async fn call(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, Value> {
        let (command, parameters) = translated(method, path, body);
        let mut held = self.0.lock().await;
        let (stream, last) = &mut *held;
        *last += 1;
        let message = json!([0, *last, command, parameters]).to_string();
        let framed = format!("{}:{message}", message.len());
        stream.write_all(framed.as_bytes()).await.unwrap();
        loop {
            let answer = receive(stream).await;
            // An answer to a question that nobody waited for any more.
            if answer[1] != *last {
                continue;
            }
            return if answer[2].is_null() {
                Ok(match answer[3].get("value") {
                    Some(value) => value.clone(),
                    None => answer[3].clone(),
                })
            } else {
                Err(answer[2].clone())
            };
        }
    }
}

async fn receive(stream: &mut TcpStream) -> Value {
    let mut length = 0_usize;
    loop {
        match stream.read_u8().await.expect("Firefox is there") {
            b':' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.unwrap();
    serde_json::from_slice(&message).unwrap()
}

/// The name and the parameters of a command.
fn translated(method: &Method, path: &str, body: &Value) -> (&'static str, Value) {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let of_element = |id: &str| {
        let mut body = body.clone();
        body["id"] = id.into();
        body
    };
    match (method.as_str(), parts.as_slice()) {
        ("POST", ["session"]) => ("WebDriver:NewSession", body.clone()),
        ("POST", ["timeouts"]) => ("WebDriver:SetTimeouts", body.clone()),
        ("POST", ["url"]) => ("WebDriver:Navigate", body.clone()),
        ("GET", ["url"]) => ("WebDriver:GetCurrentURL", json!({})),
        ("POST", ["back"]) => ("WebDriver:Back", json!({})),
        ("POST", ["execute", "sync"]) => ("WebDriver:ExecuteScript", body.clone()),
        ("POST", ["element", id, "click"]) => ("WebDriver:ElementClick", of_element(id)),
        ("POST", ["element", id, "value"]) => ("WebDriver:ElementSendKeys", of_element(id)),
        ("POST", ["frame"]) => {
            let element = body["id"].get(ELEMENT).cloned().unwrap_or(Value::Null);
            ("WebDriver:SwitchToFrame", json!({ "element": element }))
        }
        ("POST", ["actions"]) => ("WebDriver:PerformActions", body.clone()),
        ("POST", ["window", "rect"]) => ("WebDriver:SetWindowRect", body.clone()),
        ("GET", ["screenshot"]) => ("WebDriver:TakeScreenshot", json!({ "full": false })),
        _ => panic!("{method} {path} has no name here"),
    }
}
