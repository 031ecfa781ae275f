//! Rotation, whatever holds the rows.

use super::*;
use crate::engines::{Engine, on_both_engines};

on_both_engines!(
    keys_are_replaced_and_every_token_moves,
    a_refused_command_changes_no_key_and_starts_no_cryptoperiod,
    two_rotations_at_once_leave_every_data_key_under_a_key_of_the_manifest,
);

async fn keys_are_replaced_and_every_token_moves(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "before").await.status, 201);

    json(&keys(&app, &["rotate", "--json"]));
    let moved = json(&keys(&app, &["reseal", "--json"]));
    assert_eq!(moved["done"], 1, "{moved}");
    let now = status(&app);
    let active = of_state(&now, "active")["kek"].as_str().unwrap();
    let old = of_state(&now, "decrypt_only")["kek"].as_str().unwrap();
    let elsewhere = format!("SELECT COUNT(*) FROM data_keys WHERE kek <> '{active}'");
    assert_eq!(app.count(&elsewhere).await, 0, "{now}");
    let retired = keys(&app, &["retire", old, "--state", "destroyed"]);
    assert!(retired.status.success(), "{retired:?}");

    assert_eq!(app.charge(&token, "after").await.status, 201);
    assert_eq!(
        app.token(VISA).await,
        token,
        "the same card is the same token"
    );
    let another = app.token("5555555555554444").await;
    assert_eq!(app.charge(&another, "another").await.status, 201);
}

/// What a refused command of `keys` may not change.
async fn key_rows(app: &App) -> [String; 4] {
    let manifests = "SELECT COALESCE(MAX(version), 0) || ' ' || COUNT(*) FROM key_manifests";
    let canaries = "SELECT COALESCE(MIN(kek), '') || COALESCE(MAX(kek), '') || COUNT(*) \
                    FROM key_canaries";
    let data_keys = "SELECT COALESCE(MIN(id || kek), '') || COALESCE(MAX(id || kek), '') \
                     || COUNT(*) FROM data_keys";
    let jobs = "SELECT COALESCE(MAX(id || state), '') || COUNT(*) FROM key_jobs";
    [
        app.text(manifests).await,
        app.text(canaries).await,
        app.text(data_keys).await,
        app.text(jobs).await,
    ]
}

async fn a_refused_command_changes_no_key_and_starts_no_cryptoperiod(engine: Engine) {
    let app = App::on(engine);
    app.token(VISA).await;
    let before = key_rows(&app).await;
    let unknown = format!("kek_{}", "0a".repeat(16));
    for arguments in [
        &["retire", &unknown, "--state", "destroyed"][..],
        &["retire", &unknown, "--state", "compromised"],
        &["rotate", "--activate", &unknown, "--wait-s", "0"],
    ] {
        let refused = keys(&app, arguments);
        assert!(!refused.status.success(), "{arguments:?}: {refused:?}");
        assert_eq!(key_rows(&app).await, before, "{arguments:?}");
    }
    assert!(status(&app)["manifest_version"].is_null());
}

async fn two_rotations_at_once_leave_every_data_key_under_a_key_of_the_manifest(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    json(&keys(&app, &["rotate", "--json"]));

    let rivals = [(); 2].map(|()| {
        command(&app, &["rotate", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let ended = rivals.map(|rival| rival.wait_with_output().unwrap());
    let won = ended.iter().filter(|output| output.status.success());
    assert!(won.count() >= 1, "{ended:?}");

    let now = status(&app);
    let named: Vec<String> = now["keks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kek| format!("'{}'", kek["kek"].as_str().unwrap()))
        .collect();
    let strangers = format!(
        "SELECT COUNT(*) FROM data_keys WHERE kek NOT IN ({})",
        named.join(", ")
    );
    assert_eq!(app.count(&strangers).await, 0, "{now}: {ended:?}");
    assert_eq!(app.charge(&token, "after").await.status, 201);
}
