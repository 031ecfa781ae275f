//! Rotation, whatever holds the rows.

use super::*;
use crate::engines::{Engine, on_both_engines};

on_both_engines!(keys_are_replaced_and_every_token_moves);

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
