//! Two processes with the two configurations of docs/deploy.md, and what each refuses to be given.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{App, VISA};

fn serve(config: &Path, overrides: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["serve", "--config"])
        .arg(config)
        .envs(overrides.iter().copied())
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_card_goes_in_at_one_process_and_is_charged_at_the_other() {
    let app = App::start_apart();
    let token = app.token(VISA).await;
    let charge = app.charge(&token, "k").await;
    assert_eq!(charge.status, 201, "{}", charge.json());
    assert_eq!(charge.json()["status"], "succeeded");
    let ledger = app.ledger().await;
    assert_eq!(ledger["payment_intents"].as_array().unwrap().len(), 1);

    // Each holds its own half, which the directory of its host shows.
    let names = |host: &str| {
        let keys = fs::read_dir(app.path(host).join("keys")).unwrap();
        let names = keys.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let capture = names("capture-host");
    for opening in [
        "kek-private.json",
        "kek-passphrase",
        "session-issue.key",
        "stripe-internal.key",
    ] {
        assert!(!capture.contains(opening) && names("internal-host").contains(opening));
    }
}

#[tokio::test]
async fn a_process_given_what_its_plane_must_not_have_does_not_start() {
    let app = App::start_apart();
    let capture = app.path("capture-host").join("capture.toml");
    let internal = app.path("internal-host").join("internal.toml");
    let user = "CLOAKROOM__STORE__POSTGRES__USER";
    let key = |name: &str| app.path(name).to_str().unwrap().to_owned();
    let private = key("kek-private.json");
    let charging = key("stripe-internal.key");
    for (config, more, said) in [
        (&capture, (user, "billing"), "cloakroom_internal"),
        (&capture, (user, "owner"), "superuser"),
        (&internal, (user, "owner"), "superuser"),
        (
            &capture,
            ("CLOAKROOM__KEYS__KEK_PRIVATE_FILE", private.as_str()),
            "internal plane's keys",
        ),
        (
            &capture,
            (
                "CLOAKROOM__ACCOUNTS__DEFAULT__PROCESSOR__STRIPE__INTERNAL_KEY_FILE",
                charging.as_str(),
            ),
            "can charge",
        ),
    ] {
        let refused = serve(config, &[more]);
        let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            matches!(refused.status.code(), Some(69 | 78)),
            "{more:?}: {reason}"
        );
        assert!(reason.contains(said), "{more:?}: {reason}");
    }
}

#[tokio::test]
async fn check_says_which_planes_share_a_tls_key_and_what_is_confined() {
    let app = App::start_apart();
    let capture = app.path("capture-host").join("capture.toml");
    let internal = app.path("internal-host").join("internal.toml");
    let check = || {
        let checked = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["check", "--config"])
            .arg(&capture)
            .arg("--beside")
            .arg(&internal)
            .output()
            .unwrap();
        String::from_utf8_lossy(&checked.stdout).into_owned()
    };
    // The rehearsal's hosts have copies of one certificate.
    let said = check();
    let line = said.lines().find(|line| line.contains("same TLS key"));
    assert!(
        line.is_some_and(|line| line.starts_with("warn  planes")),
        "{said}"
    );
    let line = said
        .lines()
        .find(|line| line.starts_with("pass  confinement"));
    assert!(
        line.is_some_and(|line| line.contains("system calls confined")),
        "{said}"
    );
    // With another one they share none.
    for (from, to) in [
        ("client-admin.pem", "internal.pem"),
        ("client-admin.key", "internal.key"),
    ] {
        fs::copy(app.path(from), app.path("internal-host/tls").join(to)).unwrap();
    }
    let said = check();
    assert!(
        said.contains("each process has TLS keys of its own"),
        "{said}"
    );
}
