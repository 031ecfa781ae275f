//! Somebody else's code finds an event of ours in the log, under our signature.

use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use crate::programs::{file, must_succeed, program};
use crate::support::{App, VISA, eventually};

#[tokio::test]
async fn an_events_proof_is_checked_by_other_code_and_an_altered_one_is_refused() {
    let app = App::start();
    let token = app.token(VISA).await;
    let config = app.path("cloakroom.toml");
    let audit = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command
            .arg("audit")
            .args(arguments)
            .arg("--config")
            .arg(&config);
        command.output().unwrap()
    };
    let found = Mutex::new(None);
    eventually("a checkpoint is over the event", async || {
        let exported = audit(&["export", "--action", "token.created"]);
        let line = String::from_utf8(exported.stdout).unwrap();
        let Some(line) = line.lines().next() else {
            return false;
        };
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["subject"], token.as_str());
        let id = line["id"].as_str().unwrap().to_owned();
        let proved = audit(&["prove", "--event", &id]);
        let is_proved = proved.status.success();
        *found.lock().unwrap() = is_proved.then_some((line, proved.stdout));
        is_proved
    })
    .await;
    let (line, proof) = found.into_inner().unwrap().unwrap();
    let path = app.path("proof");
    std::fs::write(&path, &proof).unwrap();
    let check = || {
        let mut check = program("python");
        check
            .arg(file("tlog_proof.py"))
            .arg(app.path("checkpoint.vkey"))
            .arg(&path);
        check
    };
    let printed: Value = serde_json::from_str(&must_succeed(&mut check())).unwrap();
    assert_eq!(printed, line);

    let proof = String::from_utf8(proof).unwrap();
    let (head, rest) = proof.split_once("\nindex ").unwrap();
    let (index, rest) = rest.split_once('\n').unwrap();
    let other: u64 = index.parse::<u64>().unwrap() ^ 1;
    std::fs::write(&path, format!("{head}\nindex {other}\n{rest}")).unwrap();
    assert!(!check().output().unwrap().status.success());
}
