//! The whole service with each provider: a card goes in and is charged.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::moto::Moto;
use crate::softhsm;
use crate::support::{App, VISA};

/// A `serve` beside the app, with the app's certificates and processor and keys of its own.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn cloakroom(arguments: &[&str], config: &Path, environment: &[(&str, &Path)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command
        .args(arguments)
        .arg("--config")
        .arg(config)
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    command
}

/// The app's configuration with other keys, another store and free ports.
fn config(app: &App, name: &str, keys: &str) -> PathBuf {
    let text = fs::read_to_string(app.path("cloakroom.toml")).unwrap();
    let lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("kek_"))
        .map(|line| match line.split_once('=') {
            Some(("listen ", _)) => "listen = \"127.0.0.1:0\"".to_owned(),
            Some(("path ", _)) => format!("path = \"{name}.db\""),
            // What was signed of another database is not of this one.
            _ => line.replace("audit-checkpoints", &format!("{name}-checkpoints")),
        })
        .collect();
    let text = lines.join("\n");
    let (before, after) = text.split_once("\n[accounts.").unwrap();
    let (before, of_keys) = before.split_once("[keys]\n").unwrap();
    let (inline, table) = keys.split_once("---\n").unwrap_or((keys, ""));
    let path = app.path(&format!("{name}.toml"));
    let text = format!("{before}[keys]\n{inline}{of_keys}\n{table}\n[accounts.{after}");
    fs::write(&path, text).unwrap();
    path
}

/// Starts it, and points the app's tests at it.
fn serve(app: &mut App, config: &Path, environment: &[(&str, &Path)]) -> Served {
    let migrated = cloakroom(&["migrate"], config, environment)
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    let mut child = cloakroom(&["serve"], config, environment)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
    let serving = log.by_ref().map(Result::unwrap).find_map(|line| {
        let line: Value = serde_json::from_str(&line).unwrap();
        (line["message"] == "serving").then_some(line)
    });
    let serving = serving.expect("it serves");
    std::thread::spawn(move || log.for_each(drop));
    let at = |plane: &str| format!("https://{}", serving[plane].as_str().unwrap_or_default());
    app.at.capture = at("capture").replace("127.0.0.1", "localhost");
    app.at.internal = at("internal").replace("127.0.0.1", "localhost");
    Served(child)
}

async fn charges(app: &App) {
    let token = app.token(VISA).await;
    let charged = app.charge(&token, "key-of-a-provider").await;
    assert_eq!(charged.status, 201, "{}", charged.json());
    assert_eq!(charged.json()["status"], "succeeded");
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_service_with_a_hardware_module_charges_a_card() {
    let mut app = App::start();
    let conf = softhsm::token(app.dir.path());
    let inside = [(softhsm::CONF, conf.as_path())];
    fs::create_dir(app.path("hsm")).unwrap();
    cloakroom::seal::file::write_private(&app.path("hsm/pin"), softhsm::PIN.as_bytes()).unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args([
            "keys",
            "init",
            "--environment",
            "test",
            "--provider",
            "pkcs11",
            "--dir",
        ])
        .arg(app.path("hsm"))
        .args([
            "--pkcs11-module",
            softhsm::MODULE,
            "--pkcs11-token",
            softhsm::LABEL,
        ])
        .arg("--pkcs11-pin-file")
        .arg(app.path("hsm/pin"))
        .envs(inside)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    assert!(
        !app.path("hsm/kek-private.json").exists(),
        "there is no private file"
    );

    let keys = |pin: &str, also: &str| {
        format!(
            "kek_public_file = \"hsm/kek-public.json\"\n{also}---\n[keys.pkcs11]\nmodule_file = \
             \"{}\"\ntoken_label = \"{}\"\npin_file = \"{pin}\"\n",
            softhsm::MODULE,
            softhsm::LABEL,
        )
    };
    let file = config(&app, "hsm", &keys("hsm/pin", ""));
    let served = serve(&mut app, &file, &inside);
    charges(&app).await;
    drop(served);

    // A wrong PIN, and a private file beside the module: refused before anything listens.
    cloakroom::seal::file::write_private(&app.path("hsm/wrong"), b"0000-0000").unwrap();
    let wrong = config(&app, "hsm", &keys("hsm/wrong", ""));
    let said = refusal(&cloakroom(&["serve"], &wrong, &inside).output().unwrap());
    assert!(said.contains("[keys.pkcs11] the token refuses"), "{said}");
    assert!(!said.contains("0000-0000"));
    let both = config(
        &app,
        "hsm",
        &keys("hsm/pin", "kek_private_file = \"kek-private.json\"\n"),
    );
    let said = refusal(&cloakroom(&["serve"], &both, &inside).output().unwrap());
    assert!(
        said.contains("with [keys.pkcs11] there is no kek_private_file"),
        "{said}"
    );
}

#[tokio::test]
async fn a_service_with_a_key_service_charges_a_card_and_a_capture_process_that_could_open_is_refused()
 {
    let mut app = App::start();
    let dir = tempfile::tempdir().unwrap();
    let moto = Moto::start(dir.path());
    let keys = |user: &str| {
        format!(
            "---\n[keys.aws_kms]\nkey_arn = \"{}\"\nregion = \"eu-central-1\"\nendpoint_url = \
             \"{}\"\nca_file = \"{}\"\ncredentials_file = \"{}\"\n",
            moto.arn("key_arn"),
            moto.endpoint,
            dir.path().join("kms.pem").display(),
            moto.credentials(user).display(),
        )
    };
    let file = config(&app, "kms", &keys("internal"));
    let served = serve(&mut app, &file, &[]);
    charges(&app).await;
    drop(served);

    // The same as a capture process: without the internal plane and what belongs to it.
    let capture_only = |user: &str| {
        let path = config(&app, "kms", &keys(user));
        let text = fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once("[internal]").unwrap();
        let (_, rest) = rest.split_once("[ops]").unwrap();
        let (rest, _) = rest.split_once("[[clients]]").unwrap();
        let lines = rest.lines().filter(|line| {
            ![
                "session_issue",
                "receipt",
                "internal_key_file",
                "manifest_key_file",
                "checkpoint_key_file",
                "order_key_file",
                "[[audit.sinks]]",
                "file =",
            ]
            .iter()
            .any(|internal| line.starts_with(internal))
        });
        let lines: Vec<&str> = lines.collect();
        fs::write(&path, format!("{before}[ops]{}\n", lines.join("\n"))).unwrap();
        path
    };
    let said = refusal(
        &cloakroom(&["serve"], &capture_only("internal"), &[])
            .output()
            .unwrap(),
    );
    assert!(
        said.contains("may call Decrypt: take kms:Decrypt away"),
        "{said}"
    );
    let said = refusal(
        &cloakroom(&["serve"], &capture_only("stranger"), &[])
            .output()
            .unwrap(),
    );
    assert!(said.contains("may not call GenerateDataKey"), "{said}");
    let file = capture_only("capture");
    drop(serve(&mut app, &file, &[]));
}
