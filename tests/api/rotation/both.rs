//! Rotation, whatever holds the rows.

use super::*;
use crate::engines::{Engine, on_both_engines};

on_both_engines!(
    keys_are_replaced_and_every_token_moves,
    a_refused_command_changes_no_key_and_starts_no_cryptoperiod,
    two_rotations_at_once_leave_every_data_key_under_a_key_of_the_manifest,
    a_rotation_that_is_killed_keeps_the_next_one_out_for_seconds_only,
    work_that_cannot_be_done_fails_and_says_why,
    a_stranger_data_key_goes_with_its_canary_unless_something_is_sealed_under_it,
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

    no_data_key_is_a_strangers(&app).await;
    assert_eq!(app.charge(&token, "after").await.status, 201);
}

/// That every data key is under a key of the manifest.
async fn no_data_key_is_a_strangers(app: &App) {
    let now = status(app);
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
    assert_eq!(app.count(&strangers).await, 0, "{now}");
}

/// Waits until `query` counts something.
async fn until(app: &App, query: &str) {
    for _ in 0..6_000 {
        if app.count(query).await > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {query}");
}

async fn a_rotation_that_is_killed_keeps_the_next_one_out_for_seconds_only(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    json(&keys(&app, &["rotate", "--json"]));
    // Before it has made a key, with a key prepared, and while the service moves data keys.
    for table in ["key_rotations", "key_manifests", "key_jobs"] {
        let rows = app.count(&format!("SELECT COUNT(*) FROM {table}")).await;
        let moment = format!("SELECT COUNT(*) - {rows} FROM {table}");
        let mut killed = command(&app, &["rotate", "--json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until(&app, &moment).await;
        killed.kill().unwrap();
        killed.wait().unwrap();
        no_data_key_is_a_strangers(&app).await;
        // Who comes at once is told who is at it, and since when; then the lease has lapsed.
        let began = Instant::now();
        loop {
            let held = app.count("SELECT COUNT(*) FROM key_rotations").await;
            let next = keys(&app, &["rotate", "--json"]);
            if next.status.success() {
                break;
            }
            let said = String::from_utf8_lossy(&next.stderr).into_owned();
            assert!(held > 0 && said.contains("replaces a key since"), "{said}");
            assert_eq!(next.status.code(), Some(69), "{said}");
            assert!(began.elapsed() < Duration::from_mins(1), "{said}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        no_data_key_is_a_strangers(&app).await;
    }
    assert_eq!(app.charge(&token, "after").await.status, 201);
    assert_eq!(app.count("SELECT COUNT(*) FROM key_rotations").await, 0);
}

async fn work_that_cannot_be_done_fails_and_says_why(engine: Engine) {
    let app = App::on(engine);
    app.token(VISA).await;
    json(&keys(&app, &["rotate", "--json"]));
    // A data key that no key of ours opens, as an old copy of the database may hold one.
    let stranger = format!("kek_{}", "0b".repeat(16));
    app.change_rows(&format!(
        "INSERT INTO data_keys (id, kek, wrapped, created_at_ms)
         SELECT 'test_dek_01kb6x8q2ze8at3v5n9m4p7r1s', '{stranger}', wrapped, created_at_ms FROM data_keys LIMIT 1"
    ))
    .await;
    let failed = keys(&app, &["rotate"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(65), "{said}");
    assert!(
        said.contains("test_dek_01kb6x8q2ze8at3v5n9m4p7r1s"),
        "{said}"
    );
    assert!(said.contains(&stranger), "{said}");
    let paged = "SELECT COUNT(*) FROM alerts WHERE name = 'rotation_failed'";
    assert_eq!(app.count(paged).await, 1);
    let shown = String::from_utf8(keys(&app, &["status"]).stdout).unwrap();
    assert!(
        shown.contains("failed: test_dek_01kb6x8q2ze8at3v5n9m4p7r1s"),
        "{shown}"
    );
    until_ready_says(&app, &stranger).await;
    // Once it is removed, the same work is done.
    let reason = "left by two rotations at once";
    let shown = json(&keys(
        &app,
        &["repair", "--dry-run", "--json", "--reason", reason],
    ));
    assert_eq!(shown["would_remove"][0]["kek"], *stranger);
    let under = format!("SELECT COUNT(*) FROM data_keys WHERE kek = '{stranger}'");
    assert_eq!(app.count(&under).await, 1);
    let removed = json(&keys(&app, &["repair", "--json", "--reason", reason]));
    assert_eq!(removed["removed"].as_array().unwrap().len(), 1, "{removed}");
    assert_eq!(removed["removed"][0]["data_keys"], 1, "{removed}");
    json(&keys(&app, &["rotate", "--json"]));
    assert_eq!(app.count(&repairs(&stranger, "success")).await, 1);
}

/// How often a repair of what is under that key is on the record.
fn repairs(kek: &str, outcome: &str) -> String {
    format!(
        "SELECT COUNT(*) FROM audit_events
          WHERE action = 'keys.repaired' AND actor_kind = 'operator' AND outcome = '{outcome}'
            AND subject = '{kek}: left by two rotations at once'"
    )
}

async fn a_stranger_data_key_goes_with_its_canary_unless_something_is_sealed_under_it(
    engine: Engine,
) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    json(&keys(&app, &["rotate", "--json"]));
    let stranger = format!("kek_{}", "0b".repeat(16));
    let reason = ["--reason", "left by two rotations at once"];
    let repair = || keys(&app, &[&["repair"], &reason[..]].concat());
    assert_eq!(
        keys(&app, &["repair", "--reason", ""]).status.code(),
        Some(64)
    );
    let nothing = repair();
    assert!(nothing.status.success(), "{nothing:?}");
    assert!(
        String::from_utf8_lossy(&nothing.stdout).contains("every data key"),
        "{nothing:?}"
    );

    // The loser's data key, and the canary that was sealed under it.
    let left = "test_dek_01kb6x8q2ze8at3v5n9m4p7r1s";
    app.change_rows(&format!(
        "INSERT INTO data_keys (id, kek, wrapped, created_at_ms)
         SELECT '{left}', '{stranger}', wrapped, created_at_ms FROM data_keys LIMIT 1"
    ))
    .await;
    app.change_rows(&format!(
        "INSERT INTO key_canaries (kek, sealed, data_key_id)
         SELECT '{stranger}', sealed, '{left}' FROM key_canaries LIMIT 1"
    ))
    .await;
    // While a token is sealed under it, nothing is removed.
    let own = app
        .text(&format!(
            "SELECT data_key_id FROM tokens WHERE id = '{token}'"
        ))
        .await;
    let seal_under = async |data_key: &str| {
        let change = format!("UPDATE tokens SET data_key_id = '{data_key}' WHERE id = '{token}'");
        app.change_rows(&change).await;
    };
    seal_under(left).await;
    let rows = key_rows(&app).await;
    for arguments in [&["repair"][..], &["repair", "--dry-run"]] {
        let refused = keys(&app, &[arguments, &reason[..]].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(65), "{said}");
        let names = said.contains("1 of tokens") && said.contains(&stranger);
        assert!(names && said.contains("nothing was removed"), "{said}");
        assert_eq!(key_rows(&app).await, rows);
    }
    assert_eq!(app.count(&repairs(&stranger, "refused")).await, 1);
    seal_under(&own).await;

    let removed = repair();
    let said = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert!(removed.status.success(), "{removed:?}");
    assert!(
        said.contains("removed 1 data keys and 1 canaries"),
        "{said}"
    );
    for table in ["data_keys", "key_canaries"] {
        let left = format!("SELECT COUNT(*) FROM {table} WHERE kek = '{stranger}'");
        assert_eq!(app.count(&left).await, 0, "{table}");
    }
    assert_eq!(app.count(&repairs(&stranger, "success")).await, 1);
    assert_eq!(app.charge(&token, "after").await.status, 201);
}

/// Waits until readiness names that key among rotation's work.
async fn until_ready_says(app: &App, kek: &str) {
    for _ in 0..300 {
        let url = format!("{}/readyz", app.at.ops);
        let ready = app.get(Who::Nobody, &url).await.json();
        let line = ready["checks"].as_array().into_iter().flatten();
        let mut line = line.filter(|line| line["name"] == "key_work");
        if line.any(|line| line["state"] == "warning" && line["detail"].to_string().contains(kek)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("readiness does not name {kek}");
}
