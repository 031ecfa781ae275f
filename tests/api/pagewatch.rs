//! `cloakroom pagewatch` against pages that are served: our own, and a shop's.

use serde_json::Value;

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
