//! The library of the people behind Standard Webhooks as a receiver of ours.

use serde_json::json;
use tempfile::TempDir;

use crate::programs::{file, must_succeed, program};
use crate::support::receiver::Receiver;
use crate::support::{App, VISA, eventually};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3";
const KEY_PAIR: &str = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";
const OTHER: &str = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=";

#[tokio::test]
async fn the_specifications_own_library_believes_our_webhooks() {
    let receiver = Receiver::start().await;
    let secrets = [("a", OLD), ("b", NEW), ("c", KEY_PAIR)];
    let secrets = secrets.map(|(name, secret)| receiver.secret_file(name, secret));
    let table = receiver.table("shop", &secrets, ",allow_private_addresses=true");
    let table = format!("[{table}]");
    let app = App::start_with(&[], &[("CLOAKROOM__WEBHOOKS", &table)]);
    let token = app.token(VISA).await;
    app.charge(&token, "k").await;
    eventually("both events arrive", async || receiver.taken().len() == 2).await;

    let mut messages = Vec::new();
    for arrived in receiver.arrived() {
        let header = |name: &str| arrived.header(name).to_owned();
        let headers = json!({
            "webhook-id": header("webhook-id"),
            "webhook-timestamp": header("webhook-timestamp"),
            "webhook-signature": header("webhook-signature"),
        });
        let body = String::from_utf8(arrived.body.clone()).unwrap();
        for secret in [OLD, NEW] {
            messages.push(
                json!({ "secret": secret, "other": OTHER, "headers": headers, "body": body }),
            );
        }
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("messages.json");
    std::fs::write(&path, json!(messages).to_string()).unwrap();
    let told = must_succeed(
        program("python")
            .arg(file("standard_webhooks.py"))
            .arg(&path),
    );
    assert!(told.contains("4 messages believed"));
}
