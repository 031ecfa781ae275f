//! The security code of a saved card, typed into the frame in each engine and charged with.

use serde_json::{Value, json};

use crate::checkout::{Shop, ready};
use crate::driver::{BACKSPACE, Browser, ENTER, Kind};
use crate::looks::accessible_with_its_frame;

const VISA: &str = "4242424242424242";
const AMEX: &str = "378282246310005";

impl Shop {
    /// A saved card, and the page of a session that takes its code.
    async fn visit_for_code(&self, browser: &Browser, number: &str) -> String {
        let token = self.app.token(number).await;
        let order = json!({ "origin": self.site.origin, "token": token });
        let secret = self.secret_for(&order).await;
        self.checkout_of("cvc", &secret, &json!({}));
        browser.go(&self.site.url("/checkout")).await;
        ready(browser).await;
        token
    }
}

/// The last change that the shop's page was told of.
async fn change(browser: &Browser) -> Value {
    browser
        .run("return window.events.findLast(([name]) => name === 'change')?.[1] ?? null")
        .await
}

async fn main_path(kind: Kind) {
    let shop = Shop::open();
    let browser = Browser::start(kind, &shop.app).await;
    let token = shop.visit_for_code(&browser, AMEX).await;
    accessible_with_its_frame(&browser, "code, empty").await;

    // One field, as long as the brand's code; nothing of the card is asked for or shown.
    browser.enter("iframe").await;
    let shown = browser
        .run("return [...document.querySelectorAll('input')].filter((one) => one.checkVisibility?.() ?? one.offsetParent).map((one) => [one.id, one.inputMode, one.getAttribute('autocomplete'), one.placeholder, one.maxLength])")
        .await;
    assert_eq!(shown, json!([["cvc", "numeric", "cc-csc", "1234", 4]]));
    assert_eq!(browser.text("label[for=cvc]").await, "Security code");
    browser.click("#cvc").await;
    browser.press("123", false).await;
    browser.leave().await;

    // What is not complete is said at its field.
    browser.click("#pay").await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("invalid"), &json!("cvc"))
    );
    browser.enter("iframe").await;
    assert_eq!(
        browser.text("#cvc-error").await,
        "Enter the full security code."
    );
    browser.press("4", false).await;
    assert_eq!(browser.text("#cvc-error").await, "");
    browser.leave().await;
    assert_eq!(
        change(&browser).await,
        json!({ "complete": true, "empty": false, "brand": "amex", "error": null })
    );

    browser.click("#pay").await;
    let made = browser.until("return window.made ?? window.refused").await;
    assert_eq!(
        made["token"],
        json!(token),
        "{made} {:?}",
        browser.log().await
    );
    let code = made["securityCode"].as_str().unwrap();
    assert!(code.starts_with("test_cvc_"), "{made}");
    assert!(made["expiresAt"].as_str().unwrap().ends_with('Z'), "{made}");
    browser.enter("iframe").await;
    assert_eq!(browser.value("#cvc").await, "");
    assert_eq!(browser.text("#notice").await, "Security code received.");
    browser.leave().await;
    accessible_with_its_frame(&browser, "code, taken").await;

    let order = json!({ "token": token, "amount": 1250, "currency": "eur",
        "security_code": code });
    let charged = shop.app.order_charge(&order, "order-1").await.json();
    assert_eq!(charged["status"], "succeeded", "{charged}");
    assert_eq!(charged["checks"]["cvc"], "pass");
    assert_eq!(browser.log().await, Vec::<String>::new());
}

#[actix_web::test]
async fn chromium_takes_the_code_of_a_saved_card() {
    main_path(Kind::Chromium).await;
}

#[actix_web::test]
async fn firefox_takes_the_code_of_a_saved_card() {
    main_path(Kind::Firefox).await;
}

#[actix_web::test]
async fn safaris_engine_takes_the_code_of_a_saved_card() {
    main_path(Kind::WebKit).await;
}

#[actix_web::test]
async fn a_code_goes_with_enter_and_clear_takes_it_away() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit_for_code(&browser, VISA).await;
    browser.enter("iframe").await;
    browser.click("#cvc").await;
    browser.press("1234", false).await;
    assert_eq!(browser.value("#cvc").await, "123");
    browser.press(BACKSPACE, false).await;
    browser.press("9", false).await;
    browser.press(ENTER, false).await;
    browser.leave().await;
    browser
        .until("return window.events.some(([name]) => name === 'submit')")
        .await;
    browser.run("card.clear()").await;
    browser.enter("iframe").await;
    browser
        .until("return document.getElementById('cvc').value === ''")
        .await;
}

#[actix_web::test]
async fn a_form_of_the_other_kind_than_the_sessions_is_not_shown() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let token = shop.app.token(VISA).await;
    let order = json!({ "origin": shop.site.origin, "token": token });
    let of_code = shop.secret_for(&order).await;
    let of_card = shop.secret().await;
    for (kind, secret) in [("card", of_code), ("cvc", of_card)] {
        shop.checkout_of(kind, &secret, &json!({}));
        browser.go(&shop.site.url("/checkout")).await;
        let told = browser
            .until("return window.events.find(([name]) => name === 'error')?.[1]")
            .await;
        assert_eq!(told, "wrong_session", "{kind}");
        let frames = browser
            .run("return document.querySelectorAll('iframe').length")
            .await;
        assert_eq!(frames, 0);
    }
}
