//! The guide's checkout in React, Vue and Svelte.

use serde_json::{Value, json};

use crate::checkout::{Shop, type_card};
use crate::driver::Browser;
use crate::shops::{Workshop, loader};

const VISA: &str = "4242424242424242";

/// Waits until there is one form, and it is usable.
async fn one_form(browser: &Browser) {
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('label')?.textContent")
        .await;
    browser.leave().await;
    assert_eq!(frames(browser).await, 1);
}

async fn frames(browser: &Browser) -> Value {
    let script = "const own = [...document.querySelectorAll('cloakroom-card')]
        .flatMap((card) => [...card.shadowRoot.querySelectorAll('iframe')]);
        return document.querySelectorAll('iframe').length + own.length";
    browser.run(script).await
}

async fn pays(shop: &Shop, browser: &Browser) {
    type_card(shop, browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    let token = browser
        .until("return [...document.querySelectorAll('output')].map((e) => e.textContent).join('')")
        .await;
    assert!(token.as_str().unwrap().starts_with("test_tok_"), "{token}");
}

/// Errors and violations on the console; development builds greet there.
async fn complaints(browser: &Browser) -> Vec<String> {
    let log = browser.log().await;
    let greeting = |line: &String| line.contains("DevTools") || line.contains("development build");
    log.into_iter().filter(|line| !greeting(line)).collect()
}

/// Away and back, another session in the middle, and then a card.
async fn comes_and_goes(entry: &str) -> (Shop, Browser) {
    let shop = Shop::open();
    let workshop = Workshop::new();
    let browser = Browser::chromium(&shop.app).await;
    workshop.open(&shop, entry).await;
    browser.go(&shop.site.url("/shop")).await;
    one_form(&browser).await;
    browser.click("#toggle").await;
    browser
        .until("return !document.querySelector('iframe')")
        .await;
    browser.click("#toggle").await;
    one_form(&browser).await;
    let source = "return document.querySelector('iframe').src";
    let first = browser.run(source).await;
    browser.click("#another").await;
    one_form(&browser).await;
    assert_ne!(browser.run(source).await, first);
    pays(&shop, &browser).await;
    assert_eq!(complaints(&browser).await, Vec::<String>::new());
    (shop, browser)
}

#[actix_web::test]
async fn a_shop_in_react_takes_a_card_in_strict_mode() {
    comes_and_goes("react.jsx").await;
}

#[actix_web::test]
async fn a_shop_in_vue_takes_a_card_and_may_hold_it_in_its_state() {
    let (shop, browser) = comes_and_goes("vue.js").await;
    let secret = shop.secret().await;
    browser
        .run_with(
            "const place = document.createElement('section'); document.querySelector('main').replaceWith(place);
             return window.hold(arguments[0], place)",
            json!([secret]),
        )
        .await;
    browser.until("return window.holding").await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.run("window.payHeld()").await;
    let made = browser.until("return window.made ?? window.refused").await;
    assert_eq!(made["status"], "active", "{made}");
}

#[actix_web::test]
async fn a_shop_in_svelte_takes_a_card() {
    let shop = Shop::open();
    let workshop = Workshop::new();
    let browser = Browser::chromium(&shop.app).await;
    workshop.open(&shop, "svelte.js").await;
    browser.go(&shop.site.url("/shop")).await;
    one_form(&browser).await;
    pays(&shop, &browser).await;
    assert_eq!(complaints(&browser).await, Vec::<String>::new());
}

#[actix_web::test]
async fn a_loader_that_is_not_the_one_that_was_named_is_not_run() {
    let shop = Shop::open();
    let workshop = Workshop::new();
    let browser = Browser::chromium(&shop.app).await;
    workshop.write(
        "try.js",
        "import { loadCloakroom } from '@cloakroom/fields'; window.load = loadCloakroom;",
    );
    let entry = workshop.modules(&shop, "try.js");
    let page = format!(
        r#"<!doctype html><title>Try</title><script type="module" src="{entry}"></script>"#
    );
    shop.site.put("/shop", "text/html", &[], &page);
    browser.go(&shop.site.url("/shop")).await;
    browser.until("return window.load").await;
    let (src, integrity) = loader(&shop);
    // The first bytes are those of the name; what is behind them is of another file.
    let start = integrity.get(..40).unwrap();
    let other = format!("{start}{}", "A".repeat(integrity.len() - 40));
    let tried = "return window.load(arguments[0]).then(() => 'loaded', ({ code, message }) => code ?? message)";
    for (src, integrity, said) in [
        (src.as_str(), other.as_str(), "unavailable"),
        (src.as_str(), "", "loader.integrity is not a sha384 hash"),
        (
            "https://cards.example/fields/v1/loader.js",
            integrity.as_str(),
            "loader.src is not the address that `cloakroom check` prints",
        ),
        (
            "https://cards.example/fields/v1/loader.AAAAAAAAAAAA.js",
            integrity.as_str(),
            "loader.src and loader.integrity are of different releases",
        ),
    ] {
        let given = json!([{ "src": src, "integrity": integrity }]);
        assert_eq!(browser.run_with(tried, given).await, said);
        assert_eq!(browser.run("return typeof Cloakroom").await, "undefined");
    }
    // The browser remembers what has failed in this page.
    browser.go(&shop.site.url("/shop")).await;
    browser.until("return window.load").await;
    // Lost once, it is fetched again, under a name that the browser does not remember as lost.
    browser.devtools("Network.enable", json!({})).await;
    let lost = json!({ "urls": [src] });
    browser.devtools("Network.setBlockedURLs", lost).await;
    let given = json!([{ "src": src, "integrity": integrity }]);
    let start =
        "window.load(arguments[0]).then(() => (window.came = true), () => (window.came = false));
        const script = document.querySelector('script[integrity]');
        return new Promise((lost) => script.addEventListener('error', () => lost(true)))";
    assert_eq!(browser.run_with(start, given).await, true);
    let none = json!({ "urls": [] });
    browser.devtools("Network.setBlockedURLs", none).await;
    browser.until("return window.came").await;
}
