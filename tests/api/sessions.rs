//! What becomes of a capture session, as its maker sees it.

use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{App, VISA, Who, card};

on_both_engines! {
    a_session_is_read_by_who_made_it_and_never_with_its_secret,
    a_sessions_state_follows_its_attempts,
    a_session_that_is_over_is_expired,
    another_clients_session_is_not_found,
    a_sessions_page_shows_what_its_merchant_wants_shown,
    a_presentation_that_no_page_can_show_is_refused,
}

/// Declined when it is vaulted, where the processor is strict.
const DECLINED: &str = "4000000000000002";

impl App {
    async fn opened(&self, order: &Value) -> (String, String) {
        let made = self.order_session(order).await;
        assert_eq!(made.status, 201, "{}", made.json());
        let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
        (text("id"), text("client_secret"))
    }

    async fn session_now(&self, id: &str) -> Value {
        let url = format!("{}/v1/capture_sessions/{id}", self.at.internal);
        let answer = self.get(Who::Checkout, &url).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }
}

async fn a_session_is_read_by_who_made_it_and_never_with_its_secret(engine: Engine) {
    let app = App::on(engine);
    let order = json!({ "customer_ref": "c", "origin": "https://shop.example",
        "usage": "on_session", "metadata": { "order": "17" } });
    let (id, secret) = app.opened(&order).await;
    let now = app.session_now(&id).await;
    for (member, value) in [
        ("object", json!("capture_session")),
        ("status", json!("open")),
        ("token", Value::Null),
        ("customer_ref", json!("c")),
        ("usage", json!("on_session")),
        ("origin", json!("https://shop.example")),
        ("metadata", json!({ "order": "17" })),
        ("attempts_left", json!(5)),
        ("version", json!(1)),
    ] {
        assert_eq!(now[member], value, "{member}");
    }
    assert_eq!(now["created_at"], now["updated_at"]);
    assert!(now["expires_at"].as_str() > now["created_at"].as_str());
    let text = now.to_string();
    let (_, hidden) = secret.split_once("_secret_").unwrap();
    assert!(!text.contains("secret") && !text.contains(hidden), "{text}");

    let reads = "SELECT count(*) FROM audit_events WHERE action = 'session.read'";
    assert_eq!(app.count(reads).await, 1);
}

async fn a_sessions_state_follows_its_attempts(engine: Engine) {
    let app = App::on(engine);
    let strict = json!({ "decline_at_attach": true });
    app.sandbox(hyper::Method::POST, "settings", &strict).await;
    let (used, secret) = app.opened(&json!({})).await;
    let mut versions = vec![app.session_now(&used).await["version"].as_u64().unwrap()];
    app.post_card(&secret, &card(DECLINED), &[])
        .await
        .problem(402, "card_declined");
    let now = app.session_now(&used).await;
    assert_eq!(
        (&now["status"], &now["attempts_left"]),
        (&json!("open"), &json!(4))
    );
    versions.push(now["version"].as_u64().unwrap());
    let made = app.post_card(&secret, &card(VISA), &[]).await.json();
    let now = app.session_now(&used).await;
    assert_eq!(
        (&now["status"], &now["token"]),
        (&json!("completed"), &made["id"])
    );
    versions.push(now["version"].as_u64().unwrap());
    assert!(
        versions.is_sorted_by(|one, next| one < next),
        "{versions:?}"
    );

    let (spent, secret) = app.opened(&json!({})).await;
    for _ in 0..5 {
        app.post_card(&secret, &card(DECLINED), &[]).await;
    }
    let now = app.session_now(&spent).await;
    assert_eq!(
        (&now["status"], &now["attempts_left"]),
        (&json!("exhausted"), &json!(0))
    );
}

async fn a_session_that_is_over_is_expired(engine: Engine) {
    let app = App::on(engine);
    let (id, _) = app.opened(&json!({ "expires_in_s": 60 })).await;
    app.change_rows(&format!(
        "UPDATE sessions SET expires_at_ms = created_at_ms + 1 WHERE id = '{id}'"
    ))
    .await;
    assert_eq!(app.session_now(&id).await["status"], "expired");
}

async fn another_clients_session_is_not_found(engine: Engine) {
    let clients = r#"[
        {san="spiffe://cloakroom.dev/checkout",account="default",scopes=["sessions:create"]},
        {san="spiffe://cloakroom.dev/admin",account="default",scopes=["sessions:create"]}]"#;
    let app = App::on_with(engine, &[], &[("CLOAKROOM__CLIENTS", clients)]);
    let (id, _) = app.opened(&json!({})).await;
    let url = |id: &str| format!("{}/v1/capture_sessions/{id}", app.at.internal);
    assert_eq!(app.session_now(&id).await["status"], "open");
    app.get(Who::Admin, &url(&id))
        .await
        .problem(404, "not_found");
    for nothing in [
        "test_cs_00000000000000000000000000",
        "x",
        "live_cs_00000000000000000000000000",
    ] {
        app.get(Who::Checkout, &url(nothing))
            .await
            .problem(404, "not_found");
    }
}

async fn a_sessions_page_shows_what_its_merchant_wants_shown(engine: Engine) {
    let app = App::on(engine);
    let presentation = json!({ "shop_name": "Bücher & Söhne", "amount": 1250, "currency": "eur",
        "ask_name": true, "ask_postal_code": false, "scheme": "dark", "theme": { "accent": "#0a7", "fontSize": "18px" } });
    let order = json!({ "origin": "https://shop.example", "presentation": presentation });
    let made = app.order_session(&order).await;
    assert_eq!(made.json()["presentation"], presentation);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(app.session_now(&id).await["presentation"], presentation);
    let page = app
        .get(Who::Nobody, &format!("{}/pay/{id}", app.at.capture))
        .await;
    assert_eq!(page.status, 200);
    let text = String::from_utf8(page.body).unwrap();
    let shown = "data-shown=\"{&quot;shop_name&quot;:&quot;Bücher &amp; Söhne&quot;,&quot;amount&quot;:1250,";
    assert!(text.contains(shown), "{text}");

    // A session without one has none, and its page shows the host.
    let (id, _) = app
        .opened(&json!({ "origin": "https://shop.example" }))
        .await;
    assert_eq!(app.session_now(&id).await["presentation"], Value::Null);
    let page = app
        .get(Who::Nobody, &format!("{}/pay/{id}", app.at.capture))
        .await;
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("data-shown=\"{}\""), "{text}");
}

async fn a_presentation_that_no_page_can_show_is_refused(engine: Engine) {
    let app = App::on(engine);
    let refused = async |order: Value, status: u16| {
        let answer = app.order_session(&order).await;
        assert_eq!(answer.status, status, "{order} {}", answer.json());
        let text = answer.json().to_string();
        assert!(!text.contains("4242"), "{text}");
        answer.json()["errors"][0].clone()
    };
    let origin = "https://shop.example";
    for (presentation, pointer, reason) in [
        (
            json!({ "shop_name": "4242 4242 4242 4242" }),
            "shop_name",
            "card_number",
        ),
        (
            json!({ "shop_name": "x".repeat(81) }),
            "shop_name",
            "too_long",
        ),
        (json!({ "amount": 1250 }), "currency", "required"),
        (
            json!({ "amount": 1250, "currency": "euro" }),
            "currency",
            "not_iso_4217",
        ),
        (
            json!({ "theme": { "accent": "url(//evil)" } }),
            "theme",
            "not_valid",
        ),
    ] {
        let order = json!({ "origin": origin, "presentation": presentation });
        let error = refused(order, 422).await;
        assert_eq!(error["pointer"], format!("/presentation/{pointer}"));
        assert_eq!(error["reason"], reason);
    }
    let error = refused(
        json!({ "presentation": { "amount": 1, "currency": "eur" } }),
        422,
    )
    .await;
    assert_eq!(
        (&error["pointer"], &error["reason"]),
        (&json!("/origin"), &json!("required"))
    );
    for presentation in [
        json!({ "logo": "x" }),
        json!({ "scheme": "sepia" }),
        json!("x"),
    ] {
        let order = json!({ "origin": origin, "presentation": presentation });
        let answer = app.order_session(&order).await;
        assert!((400..500).contains(&answer.status), "{}", answer.json());
    }
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 0);
}
