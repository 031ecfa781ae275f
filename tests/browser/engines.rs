//! The way that every shopper takes, in each engine: mount, type, tab, an error, its mending, a
//! token, the issuer's page and back, the hosted page; nothing is violated on the way, and axe-core
//! finds nothing in the frame and on the hosted page.

use serde_json::{Value, json};

use crate::checkout::{Shop, type_card};
use crate::driver::{BACKSPACE, Browser, Kind, TAB};
use crate::looks::{accessible, accessible_with_its_frame};
use crate::support::Who;
use crate::typing::{insertions, tabs};

const VISA: &str = "4242424242424242";
const ASKS_ONCE: &str = "4000002500003155";

/// What browsers have reported so far, of all kinds.
async fn reports(shop: &Shop) -> Vec<String> {
    let url = format!("{}/metrics", shop.app.at.ops);
    let answer = shop.app.get(Who::Nobody, &url).await;
    let text = String::from_utf8(answer.body).unwrap();
    text.lines()
        .filter(|line| line.starts_with("cloakroom_browser_report") && !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect()
}

async fn made(browser: &Browser) -> Value {
    let made = browser.until("return window.made ?? window.refused").await;
    assert_eq!(made["status"], "active", "{made} {:?}", browser.log().await);
    made
}

/// The page without any field of the shop's.
async fn hosted_page(shop: &Shop, browser: &Browser) {
    let thanks = "<!doctype html><title>Thanks</title>Thanks";
    shop.site.put("/thanks", "text/html", &[], thanks);
    let order = json!({ "origin": shop.site.origin,
        "presentation": { "shop_name": "Little Theatre", "amount": 1250, "currency": "eur" } });
    let secret = shop.secret_for(&order).await;
    let session = secret.split("_secret_").next().unwrap();
    let page = format!(
        "{}/pay/{session}?return=/thanks&locale=de-DE#{secret}",
        shop.app.at.capture
    );
    browser.go(&page).await;
    browser
        .until("return !document.getElementById('save').hidden")
        .await;
    assert!(!browser.url().await.contains("secret"));
    assert_eq!(browser.text("#shop").await, "Little Theatre");
    let button = browser.text("#save").await.replace('\u{a0}', " ");
    assert_eq!(button, "12,50 € bezahlen");
    accessible(browser, "hosted page").await;
    shop.app.note_sent(&json!({ "card": { "number": VISA } }));
    browser.click("#number").await;
    for keys in [VISA, TAB, "1234", TAB, "123"] {
        browser.press(keys, false).await;
    }
    browser.click("#save").await;
    browser.until("return document.title === 'Thanks'").await;
    assert!(browser.url().await.contains("cloakroom_token=test_tok_"));
}

async fn main_path(kind: Kind) {
    let shop = Shop::open();
    let browser = Browser::start(kind, &shop.app).await;
    shop.visit(&browser, &json!({})).await;
    accessible_with_its_frame(&browser, "empty").await;
    tabs(&browser).await;
    insertions(&browser).await;

    // A slip of the finger is said, and mended where it was made.
    type_card(&shop, &browser, "4242424242424241", "1234", "123").await;
    browser.click("#pay").await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("invalid"), &json!("number"))
    );
    accessible_with_its_frame(&browser, "wrong").await;
    shop.app.note_sent(&json!({ "card": { "number": VISA } }));
    browser.enter("iframe").await;
    assert_eq!(
        browser.text("#number-error").await,
        "This card number is not right."
    );
    browser.click("#number").await;
    browser.press(&BACKSPACE.repeat(20), false).await;
    browser.press(VISA, false).await;
    assert_eq!(browser.text("#number-error").await, "");
    browser.leave().await;
    browser.click("#pay").await;
    made(&browser).await;
    browser.enter("iframe").await;
    assert_eq!(browser.value("#number").await, "");
    assert_eq!(browser.text("#taken").await, "•••• 4242");
    browser.leave().await;
    accessible_with_its_frame(&browser, "taken").await;

    // The issuer's page, and back.
    shop.visit(&browser, &json!({ "layout": "inline" })).await;
    type_card(&shop, &browser, ASKS_ONCE, "1234", "123").await;
    browser.click("#pay").await;
    browser.click("button[value=complete]").await;
    let back = browser
        .until("return window.back?.session && window.back")
        .await;
    assert_eq!(back["status"], "succeeded");
    assert!(back["token"].as_str().unwrap().starts_with("test_tok_"));

    hosted_page(&shop, &browser).await;

    // Browsers report at their leisure.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(reports(&shop).await, Vec::<String>::new());
    assert_eq!(browser.log().await, Vec::<String>::new());
}

#[actix_web::test]
async fn chromium_takes_the_main_path_and_reports_nothing() {
    main_path(Kind::Chromium).await;
}

#[actix_web::test]
async fn firefox_takes_the_main_path_and_reports_nothing() {
    main_path(Kind::Firefox).await;
}

#[actix_web::test]
async fn safaris_engine_takes_the_main_path_and_reports_nothing() {
    main_path(Kind::WebKit).await;
}
