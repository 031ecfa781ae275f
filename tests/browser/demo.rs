//! The demo shop of `cloakroom dev`: what a newcomer sees first, paid in each way there is.

use serde_json::json;

use crate::driver::{BACKSPACE, Browser, Kind};
use crate::support::App;

const PAID: &str = "return document.getElementById('status').dataset.kind === 'good' && !document.getElementById('receipt').hidden";

async fn type_card(app: &App, browser: &Browser, number: &str) {
    app.note_sent(&json!({ "card": { "number": number } }));
    browser
        .until("return !document.getElementById('pay').disabled")
        .await;
    browser.enter("iframe").await;
    browser.fill("#number", number).await;
    browser.fill("#expiry", "1234").await;
    browser.fill("#cvc", "123").await;
    browser.leave().await;
}

#[actix_web::test]
async fn the_demo_shop_sells_a_ticket_straight_with_3_d_secure_and_on_the_hosted_page() {
    let app = App::start();
    let browser = Browser::chromium(&app).await;
    browser.resize(1080, 760).await;
    // 1. Straight: a card, a click, a ticket.
    browser.go(&app.at.shop).await;
    type_card(&app, &browser, "5555555555554444").await;
    browser.picture("shop").await;
    browser.click("#pay").await;
    browser.until(PAID).await;
    browser.picture("shop-paid").await;
    let charge = browser.text("#charge").await;
    assert!(charge.starts_with("test_chg_"), "{charge}");
    assert_eq!(browser.text("#summary").await, "mastercard ···· 4444");
    // At night, on a phone, with a slip of the finger.
    let night = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.devtools("Emulation.setEmulatedMedia", night).await;
    let phone = json!({ "width": 390, "height": 700, "deviceScaleFactor": 1, "mobile": true });
    browser
        .devtools("Emulation.setDeviceMetricsOverride", phone)
        .await;
    browser.go(&app.at.shop).await;
    type_card(&app, &browser, "4242424242424241").await;
    browser.click("#pay").await;
    browser
        .until("return !document.getElementById('pay').disabled")
        .await;
    browser.enter("iframe").await;
    let number = "return document.getElementById('number').getAttribute('aria-invalid')";
    assert_eq!(browser.run(number).await, "true");
    browser.leave().await;
    browser
        .run("document.querySelector('.pay').scrollIntoView()")
        .await;
    browser.picture("shop-night").await;
    browser
        .devtools("Emulation.clearDeviceMetricsOverride", json!({}))
        .await;
    browser
        .devtools("Emulation.setEmulatedMedia", json!({ "features": [] }))
        .await;
    // 2. The issuer wants to see the shopper, and lets go.
    browser.go(&app.at.shop).await;
    type_card(&app, &browser, "4000002500003155").await;
    browser.click("#pay").await;
    browser.click("button[value=complete]").await;
    browser.until(PAID).await;
    // 3. On a page without any field of the shop's.
    browser.go(&app.at.shop).await;
    browser
        .until("return document.getElementById('hosted').href.includes('/pay/')")
        .await;
    browser.click("#hosted").await;
    browser
        .until("return document.getElementById('save') && !document.getElementById('save').hidden")
        .await;
    app.note_sent(&json!({ "card": { "number": "378282246310005" } }));
    browser.fill("#number", "378282246310005").await;
    browser.fill("#expiry", "1234").await;
    browser.fill("#cvc", "1234").await;
    browser.picture("hosted").await;
    browser.click("#save").await;
    browser.until(PAID).await;
    // 4. Loaded again, the order is paid once.
    assert!(!browser.url().await.contains("cloakroom_"));
    let charges = app.ledger().await["payment_intents"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(charges, 3);
    assert_eq!(browser.log().await, Vec::<String>::new());
}

#[actix_web::test]
async fn firefox_buys_a_ticket_after_mending_a_slip_and_visiting_the_issuer() {
    let app = App::start();
    let browser = Browser::start(Kind::Firefox, &app).await;
    browser.go(&app.at.shop).await;
    type_card(&app, &browser, "4242424242424241").await;
    browser.click("#pay").await;
    browser.enter("iframe").await;
    browser
        .until("return document.getElementById('number').getAttribute('aria-invalid') === 'true'")
        .await;
    assert_eq!(
        browser.run("return document.activeElement.id").await,
        "number"
    );
    app.note_sent(&json!({ "card": { "number": "4000002500003155" } }));
    browser.press(&BACKSPACE.repeat(20), false).await;
    browser.press("4000002500003155", false).await;
    assert_eq!(browser.text("#number-error").await, "");
    browser.leave().await;
    browser
        .until("return !document.getElementById('pay').disabled")
        .await;
    browser.click("#pay").await;
    browser.click("button[value=complete]").await;
    browser.until(PAID).await;
    let charge = browser.text("#charge").await;
    assert!(charge.starts_with("test_chg_"), "{charge}");
}

#[actix_web::test]
async fn a_line_lost_at_the_charge_is_offered_again_and_a_decline_is_said_in_words() {
    let app = App::start();
    let browser = Browser::chromium(&app).await;
    browser.go(&app.at.shop).await;
    type_card(&app, &browser, "4242424242424242").await;
    // The shop's backend has charged each time; the answers do not arrive, three times.
    browser
        .run(
            "const real = window.fetch; window.lost = 0;
            window.fetch = async (url, given) => {
                const answer = await real(url, given);
                if (url === '/charge' && (window.lost += 1) <= 3) throw new TypeError('lost');
                return answer;
            }",
        )
        .await;
    browser.click("#pay").await;
    browser
        .until("return document.getElementById('again').textContent === 'Try again'")
        .await;
    let status = browser.text("#status").await;
    assert!(status.contains("not been charged twice"), "{status}");
    browser.click("#again").await;
    browser.until(PAID).await;
    let charges = app.ledger().await["payment_intents"].clone();
    assert_eq!(charges.as_array().unwrap().len(), 1, "{charges}");
    // The issuer says no to the charge: a word for the shopper, and a way on.
    browser.go(&app.at.shop).await;
    type_card(&app, &browser, "4000000000009995").await;
    browser.click("#pay").await;
    browser
        .until("return document.getElementById('status').dataset.kind === 'bad'")
        .await;
    let status = browser.text("#status").await;
    assert!(
        status.starts_with("The card has insufficient funds"),
        "{status}"
    );
    browser.click("#again").await;
    browser
        .until(
            "return document.getElementById('pay').disabled === false && \
            !document.getElementById('card').hidden",
        )
        .await;
}

#[actix_web::test]
async fn a_charge_that_the_issuer_asks_about_comes_back_into_the_demo_shop() {
    let app = App::start();
    let browser = Browser::chromium(&app).await;
    for (pressed, kind) in [("complete", "good"), ("fail", "bad")] {
        browser.go(&app.at.shop).await;
        // The issuer is asked when the card is saved, and again when it is charged.
        type_card(&app, &browser, "4000002760003184").await;
        browser.click("#pay").await;
        browser.click("button[value=complete]").await;
        browser
            .until("return location.pathname.startsWith('/authenticate/pi_')")
            .await;
        browser.click(&format!("button[value={pressed}]")).await;
        browser
            .until(&format!(
                "return document.getElementById('status')?.dataset.kind === '{kind}'"
            ))
            .await;
        let url = browser.url().await;
        assert!(url.starts_with(&app.at.shop), "{url}");
        assert!(!url.contains("cloakroom_"), "{url}");
    }
    let status = browser.text("#status").await;
    assert!(status.contains("did not confirm"), "{status}");
    assert_eq!(browser.log().await, Vec::<String>::new());
}

#[actix_web::test]
async fn an_issuer_that_comes_back_in_another_browser_finds_the_order_there() {
    let app = App::start();
    let browser = Browser::chromium(&app).await;
    browser.go(&app.at.shop).await;
    type_card(&app, &browser, "4000002500003155").await;
    browser.click("#pay").await;
    browser
        .until("return location.pathname.startsWith('/authenticate/')")
        .await;
    // What the first browser kept is not there: another one has it.
    let page = browser.url().await;
    let back = app.back_from_issuer(&page, "complete").await;
    let other = Browser::chromium(&app).await;
    other.go(&back).await;
    // That it is paid, and no more: nothing shows that it is the same shopper's.
    let paid = "return document.getElementById('status').dataset.kind === 'good' && document.getElementById('receipt').hidden";
    other.until(paid).await;
}
