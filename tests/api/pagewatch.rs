//! `cloakroom pagewatch` against pages that are served: our own, and a shop's.

use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::cli::run;
use crate::support::App;

/// Runs it on the loader, the hosted page and the demo shop.
fn watch(app: &App, more: &[&str]) -> (Option<i32>, String) {
    let path = |name: &str| app.path(name).to_str().unwrap().to_owned();
    let (baseline, ca) = (path("baseline.json"), path("ca.pem"));
    let loader = format!("{}/fields/v1/loader.js", app.at.capture);
    let shop = format!("{}/", app.at.shop);
    let mut arguments = vec![
        "pagewatch",
        "--json",
        "--baseline",
        &baseline,
        "--ca-file",
        &ca,
    ];
    arguments.extend_from_slice(more);
    arguments.extend([loader.as_str(), shop.as_str()]);
    let output = run(&arguments);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_changed_since_it_was_signed_is_told_and_ends_with_ex_dataerr() {
    let app = App::start();
    let key = app.path("receipt.key");
    let (code, said) = watch(&app, &["--record", key.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let recorded: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(recorded["recorded"], 2);
    let public_key = recorded["public_key"].as_str().unwrap().to_owned();

    let (code, said) = watch(&app, &["--public-key", &public_key]);
    assert_eq!(code, Some(0), "{said}");
    let seen: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(seen["differences"].as_array().unwrap().len(), 0);

    // The baseline of another time: it names a script that the shop's page has no more.
    let text = std::fs::read_to_string(app.path("baseline.json")).unwrap();
    let altered = text.replace("sha384-", "sha384-A");
    std::fs::write(app.path("baseline.json"), altered).unwrap();
    let (code, said) = watch(&app, &["--public-key", &public_key]);
    assert_eq!(code, Some(78), "an altered baseline is none: {said}");
    assert!(said.contains("signature"), "{said}");

    // A page that the baseline does not know is a difference.
    std::fs::write(app.path("baseline.json"), &text).unwrap();
    let other = format!("{}/report", app.at.capture);
    let (code, said) = watch(&app, &["--public-key", &public_key, &other]);
    assert_eq!(code, Some(65), "{said}");
    assert!(
        said.contains("\"kind\":\"page\"") && said.contains("/report"),
        "{said}"
    );

    // And one that is not there is said to be unreachable, not unchanged.
    let gone = format!("{}/gone", app.at.shop);
    let (code, said) = watch(&app, &["--public-key", &public_key, &gone]);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("answered 404"), "{said}");
}

/// Serves one page under the app's own certificate, as it is at the moment; its URL.
async fn shop(app: &App, page: Arc<Mutex<String>>) -> String {
    let chain = CertificateDer::pem_file_iter(app.path("server.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(app.path("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else {
                continue;
            };
            let mut head = [0_u8; 4_096];
            let _asked = stream.read(&mut head).await;
            let body = page.lock().unwrap().clone();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _sent = stream.write_all(answer.as_bytes()).await;
            let _closed = stream.shutdown().await;
        }
    });
    format!("https://localhost:{port}/checkout")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_script_of_a_thief_does_not_switch_the_watch_off() {
    let app = App::start();
    let page = Arc::new(Mutex::new("<h1>Pay</h1>".to_owned()));
    let url = shop(&app, Arc::clone(&page)).await;
    let key = app.path("receipt.key");
    let (code, said) = watch(&app, &["--record", key.to_str().unwrap(), &url]);
    assert_eq!(code, Some(0), "{said}");
    let recorded: Value = serde_json::from_str(said.trim()).unwrap();
    let public_key = recorded["public_key"].as_str().unwrap().to_owned();

    // Nobody answers there, and the thief's second script stands in the page.
    let evil = "<h1>Pay</h1><script src=https://localhost:1/s.js></script><script>evil()</script>";
    evil.clone_into(&mut page.lock().unwrap());
    let (code, said) = watch(&app, &["--public-key", &public_key, &url]);
    assert_eq!(code, Some(65), "{said}");
    let seen = said.lines().next().unwrap();
    let seen: Value = serde_json::from_str(seen).unwrap();
    assert_eq!(seen["differences"].as_array().unwrap().len(), 2, "{seen}");
    assert_eq!(seen["unreachable"].as_array().unwrap().len(), 1, "{seen}");
}
