//! The command line, as an operator uses it.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{App, VISA};

pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(arguments)
        .output()
        .unwrap()
}

pub(crate) fn spawn(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn what_is_not_a_command_ends_with_ex_usage_and_a_missing_file_with_ex_config() {
    assert_eq!(run(&["nothing"]).status.code(), Some(64));
    assert_eq!(run(&[]).status.code(), Some(64));
    assert_eq!(
        run(&["serve", "--config", "/nowhere/cloakroom.toml"])
            .status
            .code(),
        Some(78)
    );
    let help = run(&["--help"]);
    assert!(help.status.success());
    for verb in [
        "dev",
        "serve",
        "migrate",
        "check",
        "keys",
        "backup",
        "openapi",
        "pagewatch",
        "reconcile",
    ] {
        assert!(
            String::from_utf8_lossy(&help.stdout).contains(verb),
            "{verb}"
        );
    }
}

#[test]
fn openapi_prints_each_planes_contract_in_3_1() {
    for (plane, paths) in [
        ("capture", &["/v1/tokens", "/problems/{code}"][..]),
        (
            "internal",
            &[
                "/v1/capture_sessions",
                "/v1/tokens",
                "/v1/tokens/{id}",
                "/v1/charges",
                "/v1/charges/{id}",
            ],
        ),
    ] {
        let output = run(&["openapi", "--plane", plane]);
        assert!(output.status.success());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        for path in paths {
            assert!(document["paths"][path].is_object(), "{plane} {path}");
        }
    }
}

#[tokio::test]
async fn check_passes_on_what_dev_made_and_names_what_is_broken_with_its_mend() {
    let app = App::start();
    let config = app.path("cloakroom.toml");
    let config = config.to_str().unwrap();
    let good = run(&["check", "--config", config, "--json"]);
    let findings: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert!(good.status.success(), "{findings}");
    let names: Vec<&str> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    for name in [
        "configuration",
        "store",
        "processor default (capture)",
        "processor default (internal)",
        "service",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }

    // The processor's key is not the processor's key any more.
    let key = app.path("stripe-internal.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::write(&key, "sk_test_of_somebody_else").unwrap();
    let bad = run(&["check", "--config", config]);
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert_eq!(bad.status.code(), Some(78), "{said}");
    assert!(
        said.contains("FAIL  processor default (internal)") && said.contains("mend:"),
        "{said}"
    );
    std::fs::write(&key, kept).unwrap();

    // A private key that others can read is refused, with the mend.
    let key = app.path("server.key");
    set_mode(&key, 0o644);
    let bad = run(&["check", "--config", config]);
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert!(
        !bad.status.success() && said.contains("chmod 600"),
        "{said}"
    );
    set_mode(&key, 0o600);
}

pub(crate) fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn serve_refuses_what_does_not_hold_together() {
    let app = App::start();
    let text = std::fs::read_to_string(app.path("cloakroom.toml")).unwrap();
    let internal = text
        .split("[internal]")
        .nth(1)
        .unwrap()
        .split("[ops]")
        .next()
        .unwrap();
    let cases = [
        ("unknown = 1\n".to_owned() + &text, "unknown"),
        // Where the database is, the process reads: not the key that signs the list of keys.
        (
            text.replace("environment = \"test\"", "environment = \"live\""),
            "manifest.key",
        ),
        (
            text.replace("https://localhost", "http://localhost")
                .replace("public_url = \"http:", "public_url = \"https:"),
            "https",
        ),
        // A capture process that could open or charge would be a reason to break into it.
        (
            text.replace(&format!("[internal]{internal}"), ""),
            "internal",
        ),
        (
            text.replace("account = \"default\"", "account = \"nobody\""),
            "account",
        ),
        (
            text.replace(
                "kek_passphrase_file = \"kek-passphrase\"",
                "kek_passphrase_file = \"stripe-capture.key\"",
            ),
            "keys",
        ),
        (
            text.replace("path = \"cloakroom.db\"", "path = \"fresh.db\""),
            "migrate",
        ),
    ];
    for (number, (config, word)) in cases.iter().enumerate() {
        let path = app.path(&format!("case-{number}.toml"));
        std::fs::write(&path, config).unwrap();
        let refused = run(&["serve", "--config", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            matches!(refused.status.code(), Some(78 | 69)),
            "{word}: {said}"
        );
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[tokio::test]
async fn an_unknown_schema_version_is_refused() {
    let app = App::start();
    app.token(VISA).await;
    let dir = std::sync::Arc::clone(&app.dir);
    assert!(app.stop().success());
    crate::operations::pretend_a_newer_schema(&dir.path().join("cloakroom.db")).await;
    let config = dir.path().join("cloakroom.toml");
    let refused = run(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(69));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("schema"), "{said}");
}

#[test]
fn the_greeting_has_lines_to_paste_that_charge_a_token() {
    let dir = tempfile::TempDir::new().unwrap();
    let log = std::fs::File::create(dir.path().join("greeting")).unwrap();
    let mut dev = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args([
            "dev",
            "--dir",
            "a box",
            "--capture-port",
            "0",
            "--internal-port",
            "0",
        ])
        .args(["--ops-port", "0", "--sandbox-port", "0", "--shop-port", "0"])
        .current_dir(dir.path())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    for _ in 0..150 {
        greeting = std::fs::read_to_string(dir.path().join("greeting")).unwrap();
        if greeting.contains("Test cards") {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let lines = greeting
        .split("# 1.")
        .nth(1)
        .expect("lines to paste")
        .split("Test cards")
        .next()
        .unwrap();
    let pasted = Command::new("bash")
        .args(["-euc", &format!("# 1.{lines}")])
        .current_dir(dir.path())
        .output()
        .unwrap();
    dev.kill().unwrap();
    dev.wait().unwrap();
    let said = String::from_utf8_lossy(&pasted.stdout).into_owned();
    assert!(
        pasted.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&pasted.stderr)
    );
    assert!(
        said.contains("test_tok_") && said.contains("\"status\":\"succeeded\""),
        "{said}"
    );
    for number in ["4242424242424242", "4000000000000002", "4000002760003184"] {
        let shown: String = greeting.split_whitespace().collect();
        assert!(shown.contains(number), "{number} is not in the greeting");
    }
}
