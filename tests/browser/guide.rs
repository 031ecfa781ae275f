//! The guide's snippets, run as printed: only the names that stand for something are filled in.

use hyper::Method;
use serde_json::json;

use crate::checkout::{Shop, type_card};
use crate::driver::{Browser, Kind};
use crate::support::Who;

const GUIDE: &str = include_str!("../../docs/checkout.md");

/// The snippet of that name, in whatever language.
pub(crate) fn snippet(name: &str) -> &'static str {
    let (_, rest) = GUIDE
        .split_once(&format!("<!-- snippet: {name} -->\n```"))
        .unwrap();
    let (_, code) = rest.split_once('\n').unwrap();
    code.split_once("\n```").unwrap().0
}

#[actix_web::test]
async fn the_three_snippets_of_the_guide_run_as_printed() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let capture = &shop.app.at.capture;
    let loader = shop
        .app
        .get(Who::Nobody, &format!("{capture}/fields/v1/loader.js"))
        .await;
    let integrity = loader.header("etag").unwrap().trim_matches('"').to_owned();
    shop.site.put(
        "/order",
        "text/html",
        &[],
        "<!doctype html><title>Ordered</title>",
    );
    for name in ["module", "script tag", "element"] {
        let secret = shop.secret().await;
        let page = snippet(name)
            .replace(
                "/fields/v1/loader.HASH.js",
                &cloakroom::http::fields::loader_path(),
            )
            .replace("sha384-HASH", &integrity)
            .replace("https://cards.example", capture)
            .replace("CLIENT_SECRET", &secret);
        assert!(!page.contains("HASH"), "{page}");
        pay_on(&shop, &browser, &page, "4242424242424242").await;
        if name == "element" {
            browser.until("return document.title === 'Ordered'").await;
        } else {
            let token = browser
                .until("return document.querySelector('output').textContent")
                .await;
            assert!(
                token.as_str().unwrap().starts_with("test_tok_"),
                "{name}: {token}"
            );
        }
    }
}

/// Shows that page of the shop's, types the card once the form is there, and presses Pay.
async fn pay_on(shop: &Shop, browser: &Browser, page: &str, number: &str) {
    shop.site
        .put("/checkout", "text/html; charset=utf-8", &[], page);
    browser.go(&shop.site.url("/checkout")).await;
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('label').textContent !== ''")
        .await;
    browser.leave().await;
    type_card(shop, browser, number, "1234", "123").await;
    browser.click("#pay").await;
}

#[actix_web::test]
async fn the_guides_page_in_an_apps_web_view_leaves_the_going_to_the_app() {
    let shop = Shop::open();
    for kind in [Kind::Chromium, Kind::WebKit] {
        let browser = Browser::start(kind, &shop.app).await;
        let secret = shop.secret().await;
        // What an app puts into the page before its scripts run.
        let app = "<title>Checkout</title>
            <script>window.checkout = { postMessage: (text) => (window.said = JSON.parse(text)) }</script>";
        let page = snippet("web view")
            .replace("https://cards.example", &shop.app.at.capture)
            .replace("CLIENT_SECRET", &secret)
            .replace("<title>Checkout</title>", app);
        pay_on(&shop, &browser, &page, "4000002500003155").await;
        let said = browser.until("return window.said").await;
        assert!(said["token"].as_str().unwrap().starts_with("test_tok_"));
        assert!(
            said["redirectUrl"]
                .as_str()
                .unwrap()
                .starts_with("https://")
        );
        assert_eq!(browser.url().await, shop.site.url("/checkout"));
    }
}

#[actix_web::test]
async fn a_page_that_is_cross_origin_isolated_shows_the_form() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    shop.checkout(&secret, &json!({}));
    let page = r#"<!doctype html><html lang="en"><title>Isolated</title>
        <script type="module" src="/checkout.js"></script><div id="card"></div><button id="pay">Pay</button></html>"#;
    let isolated = [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
    ];
    shop.site.put("/checkout", "text/html", &isolated, page);
    browser.go(&shop.site.url("/checkout")).await;
    crate::checkout::ready(&browser).await;
    assert_eq!(browser.run("return crossOriginIsolated").await, true);
    type_card(&shop, &browser, "4242424242424242", "1234", "123").await;
    browser.click("#pay").await;
    assert_eq!(
        browser.until("return window.made").await["status"],
        "active"
    );
}

#[actix_web::test]
async fn check_prints_the_tag_whose_hash_the_browser_demands() {
    let shop = Shop::open();
    let config = shop.app.path("cloakroom.toml");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["check", "--json", "--config"])
        .arg(config)
        .output()
        .unwrap();
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tag = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["name"] == "checkout loader")
        .unwrap()["observation"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = tag
        .split("src=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let answer = shop
        .app
        .call(Who::Nobody, Method::GET, url, &json!({}))
        .await;
    assert_eq!(answer.status, 200);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, &answer.body);
    let hash = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, hash);
    assert!(
        tag.contains(&format!("integrity=\"sha384-{hash}\"")),
        "{tag}"
    );
}
