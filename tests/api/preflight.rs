//! What an operator meets before the service runs: `check` names what would not start or not work,
//! and messages name the file and the fix.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{App, VISA, Who, eventually, request};

fn cloakroom_in(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(dir)
        .output()
        .unwrap()
}

/// What `check` finds in a configuration, and its exit code.
fn findings(dir: &Path, config: &str, variables: &[(&str, &str)]) -> (Option<i32>, Vec<Value>) {
    std::fs::write(dir.join("case.toml"), config).unwrap();
    let arguments = ["check", "--config", "case.toml", "--json"];
    let output = cloakroom_in(dir, &arguments, variables);
    let found = serde_json::from_slice(&output.stdout);
    let found = found.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), found)
}

fn port_of(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

#[tokio::test]
async fn check_names_what_would_not_start_or_not_work() {
    let app = App::start();
    let good = std::fs::read_to_string(app.path("cloakroom.toml")).unwrap();
    // A port at which nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);
    let secret = app.path("receiver.secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    super::cli::set_mode(&secret, 0o600);
    let (capture, internal) = (port_of(&app.at.capture), port_of(&app.at.internal));
    let receiver = "name = \"shop\"\nurl = \"https://localhost/take\"\n\
                    secret_files = [\"receiver.secret\"]\n";
    let cases = [
        (
            good.clone() + "\n[log]\nlevel = \"INFOO\"\n",
            "log level",
            "level",
        ),
        (
            good.replace(
                &format!("[internal]\nlisten = \"127.0.0.1:{internal}\""),
                &format!("[internal]\nlisten = \"0.0.0.0:{capture}\""),
            ),
            "configuration",
            "[capture] and [internal] listen on one address",
        ),
        (
            good.replace(
                "[watch]",
                "[[audit.sinks]]\nfile = \"nowhere/checkpoints\"\n\n[watch]",
            ),
            "audit sink",
            "nowhere",
        ),
        (
            good.replace(
                "[watch]",
                "[[audit.sinks]]\nsyslog_socket = \"nobody.sock\"\n\n[watch]",
            ),
            "audit sink",
            "No such file",
        ),
        (
            good.replace(
                "[watch]",
                &format!("[[audit.sinks]]\nurl = \"https://localhost:{closed_port}/\"\n\n[watch]"),
            ),
            "audit sink localhost",
            "refused",
        ),
        (
            format!(
                "{good}\n[alerts.mail]\nhost = \"localhost\"\nport = {closed_port}\n\
                 security = \"tls\"\nfrom = \"a@localhost\"\nto = [\"b@localhost\"]\n"
            ),
            "mail server",
            "refused",
        ),
        (
            format!("{good}\n[[webhooks]]\naccount = \"default\"\n{receiver}"),
            "receiver shop",
            "loopback",
        ),
        (
            format!("{good}\n[[alerts.webhooks]]\n{receiver}"),
            "receiver shop",
            "loopback",
        ),
        (
            good.replace(
                &format!("return_url = \"https://localhost:{capture}\""),
                &format!("return_url = \"https://localhost:{internal}\""),
            ),
            "return page",
            "public_url",
        ),
    ];
    for (config, name, word) in cases {
        assert_ne!(config, good, "{name}: the case changes nothing");
        let (code, found) = findings(app.dir.path(), &config, &[]);
        let failed = found.iter().find(|finding| {
            let (of, seen) = (&finding["name"], &finding["observation"]);
            let said = format!("{} {}", of.as_str().unwrap(), seen.as_str().unwrap());
            finding["state"] == "failed" && said.starts_with(name) && said.contains(word)
        });
        assert!(failed.is_some(), "{name} {word}: {found:?}");
        assert_eq!(code, Some(78), "{name}");
    }

    // On the database's own device a copy is lost with it: allowed, and said.
    let (code, found) = findings(app.dir.path(), &good, &[]);
    assert_eq!(code, Some(0), "{found:?}");
    let sinks: Vec<&Value> = found
        .iter()
        .filter(|finding| finding["name"].as_str().unwrap().starts_with("audit sink"))
        .collect();
    assert_eq!(sinks.len(), 2, "{found:?}");
    for sink in sinks {
        assert_eq!(sink["state"], "warning");
        let seen = sink["observation"].as_str().unwrap();
        assert!(seen.contains("database's own device"), "{seen}");
    }
}

#[tokio::test]
async fn a_number_in_the_environment_is_the_text_of_a_key_that_takes_one() {
    let app = App::start();
    let good = std::fs::read_to_string(app.path("cloakroom.toml")).unwrap();
    let (code, found) = findings(app.dir.path(), &good, &[("CLOAKROOM__NODE", "7")]);
    assert_eq!(code, Some(0), "{found:?}");
    // A number stays a number where one is wanted, and what is neither is refused with its key.
    let variables = [
        ("CLOAKROOM__NODE", "7"),
        ("CLOAKROOM__LIMITS__DRAIN_S", "1"),
    ];
    assert_eq!(findings(app.dir.path(), &good, &variables).0, Some(0));
    let variables = [("CLOAKROOM__LIMITS__DRAIN_S", "soon")];
    let (code, found) = findings(app.dir.path(), &good, &variables);
    assert_eq!(code, Some(78));
    let seen = found[0]["observation"].as_str().unwrap();
    assert!(seen.to_lowercase().contains("drain_s"), "{seen}");
}

#[tokio::test]
async fn a_database_beside_a_configuration_that_is_named_without_a_directory_is_served() {
    let app = App::start();
    let dir = std::sync::Arc::clone(&app.dir);
    let port = port_of(&app.at.internal).to_owned();
    assert!(app.stop().success());
    let log = std::fs::File::create(dir.path().join("serve.log")).unwrap();
    let mut serving = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["serve", "--config", "cloakroom.toml"])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let at = format!("127.0.0.1:{port}");
    eventually("it listens", async || TcpStream::connect(&at).is_ok()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ended = serving.try_wait().unwrap();
    serving.kill().unwrap();
    serving.wait().unwrap();
    let log = std::fs::read_to_string(dir.path().join("serve.log")).unwrap();
    assert!(ended.is_none(), "{log}");
    assert!(!log.contains("unable to open"), "{log}");
}

#[tokio::test]
async fn a_missing_directory_is_named_by_every_command() {
    let app = App::start();
    let good = std::fs::read_to_string(app.path("cloakroom.toml")).unwrap();
    let config = good.replace("path = \"cloakroom.db\"", "path = \"missing/cloakroom.db\"");
    std::fs::write(app.path("case.toml"), config).unwrap();
    for verb in ["migrate", "check", "serve"] {
        let output = cloakroom_in(app.dir.path(), &[verb, "--config", "case.toml"], &[]);
        assert!(!output.status.success(), "{verb}");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            said.contains("missing: there is no such directory"),
            "{verb}: {said}"
        );
    }
}

#[test]
fn keys_init_names_every_file_that_it_makes() {
    let dir = tempfile::TempDir::new().unwrap();
    let passphrase = dir.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    super::cli::set_mode(&passphrase, 0o600);
    let arguments = [
        "keys",
        "init",
        "--dir",
        "keys",
        "--environment",
        "test",
        "--passphrase-file",
        "passphrase",
    ];
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    let output = cloakroom_in(dir.path(), &arguments, &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let mut made = 0;
    for entry in std::fs::read_dir(dir.path().join("keys")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(said.contains(&name), "{name} is not in: {said}");
        made += 1;
    }
    assert!(made >= 10, "{made}");
}

#[tokio::test]
async fn head_is_answered_wherever_get_is_and_without_a_body() {
    let app = App::start();
    let token = app.token(VISA).await;
    let (capture, internal, ops) = (&app.at.capture, &app.at.internal, &app.at.ops);
    for (who, url) in [
        (Who::Nobody, format!("{ops}/livez")),
        (Who::Nobody, format!("{capture}/fields/v1/loader.js")),
        (Who::Nobody, format!("{capture}/.well-known/security.txt")),
        (Who::Nobody, format!("{capture}/report")),
        (Who::Billing, format!("{internal}/v1/tokens/{token}")),
        (Who::Billing, format!("{internal}/v1/events")),
        (Who::Billing, format!("{internal}/v1/tokens/none")),
    ] {
        let get = app.get(who, &url).await;
        let head = {
            let head = request(Method::HEAD, &url, &[], String::new());
            app.send(who, head).await
        };
        assert_eq!(head.status, get.status, "{url}");
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{url}"
        );
        assert!(head.body.is_empty() && !get.body.is_empty(), "{url}");
    }
    let url = format!("{ops}/livez");
    let refused = app.call(Who::Nobody, Method::POST, &url, &json!({})).await;
    assert_eq!(refused.status, 405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn a_shorter_longest_lifetime_is_the_default_of_sessions_too() {
    let app = App::start_with(&[], &[("CLOAKROOM__LIMITS__SESSION_LIFETIME_S_MAX", "600")]);
    let session = app.order_session(&json!({})).await;
    assert_eq!(session.status, 201, "{}", session.json());
    let refused = app.order_session(&json!({ "expires_in_s": 601 })).await;
    assert_eq!(
        refused.problem(422, "invalid_request")["errors"][0]["pointer"],
        "/expires_in_s"
    );
}
