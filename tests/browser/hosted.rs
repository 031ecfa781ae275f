//! The hosted page as its merchant has it: the shop's name, the amount as the shopper writes amounts,
//! more fields, other colours.

use serde_json::{Value, json};

use crate::checkout::Shop;
use crate::driver::Browser;
use crate::looks::{accessible, phone};

/// Opens the page of a new session.
async fn visit(shop: &Shop, browser: &Browser, presentation: &Value, locale: &str) {
    let order = json!({ "origin": shop.site.origin, "presentation": presentation });
    let secret = shop.secret_for(&order).await;
    let session = secret.split("_secret_").next().unwrap();
    let page = format!(
        "{}/pay/{session}?locale={locale}#{secret}",
        shop.app.at.capture
    );
    browser.go(&page).await;
    browser
        .until("return !document.getElementById('save').hidden")
        .await;
}

async fn button(browser: &Browser) -> String {
    let text = browser.text("#save").await;
    text.replace(['\u{a0}', '\u{202f}'], " ")
}

#[actix_web::test]
async fn the_hosted_page_says_how_much_in_the_shoppers_way() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    for (amount, currency, locale, said) in [
        (1_250, "eur", "en-IE", "Pay €12.50"),
        (1_250, "eur", "de", "12,50 € bezahlen"),
        (123_456_789, "usd", "fr", "Payer 1 234 567,89 $US"),
        (1_250, "jpy", "ja", "￥1,250を支払う"),
        // Browsers give the dinar of Serbia no digits, ISO 4217 two; that of Kuwait has three.
        (1_250, "rsd", "en", "Pay RSD 12.50"),
        (1_250, "kwd", "en", "Pay KWD 1.250"),
        (1_250, "eur", "no tag", "Pay €12.50"),
    ] {
        let shown = json!({ "amount": amount, "currency": currency });
        visit(&shop, &browser, &shown, locale).await;
        assert_eq!(button(&browser).await, said, "{currency} {locale}");
    }
    visit(
        &shop,
        &browser,
        &json!({ "shop_name": "Little Theatre" }),
        "en",
    )
    .await;
    assert_eq!(button(&browser).await, "Save card");
    assert_eq!(browser.text("#shop").await, "Little Theatre");
    assert_eq!(browser.log().await, Vec::<String>::new());
}

#[actix_web::test]
async fn the_hosted_page_asks_and_looks_as_its_merchant_wants() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    browser.resize(600, 760).await;
    for (name, presentation) in [
        (
            "hosted-light",
            json!({ "shop_name": "Bücher & <Söhne>", "amount": 4_990, "currency": "eur", "ask_name": true,
                "ask_postal_code": true, "country": "DE", "scheme": "light",
                "theme": { "accent": "#0a6b4f", "radius": "12px", "fontFamily": "Georgia, serif" } }),
        ),
        (
            "hosted-dark",
            json!({ "shop_name": "Little Theatre", "amount": 1_250, "currency": "gbp", "scheme": "dark",
                "theme": { "accent": "#ffd166" } }),
        ),
    ] {
        visit(&shop, &browser, &presentation, "en").await;
        let name_shown = browser.text("#shop").await;
        assert_eq!(json!(name_shown), presentation["shop_name"]);
        let look = browser
            .run(
                "const { backgroundColor, color } = getComputedStyle(document.getElementById('save'));
                return [backgroundColor, color]",
            )
            .await;
        let wanted = match name {
            "hosted-light" => json!(["rgb(10, 107, 79)", "rgb(255, 255, 255)"]),
            _ => json!(["rgb(255, 209, 102)", "rgb(0, 0, 0)"]),
        };
        assert_eq!(look, wanted, "{name}");
        accessible(&browser, name).await;
        browser.picture(name).await;
        phone(&browser).await;
        accessible(&browser, name).await;
        browser.picture(&format!("{name}-phone")).await;
        browser
            .devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
    }
    // What is asked is needed.
    let thanks = "<!doctype html><title>Thanks</title>Thanks";
    shop.site.put("/", "text/html", &[], thanks);
    let asked = json!({ "ask_name": true, "ask_postal_code": true, "country": "DE" });
    visit(&shop, &browser, &asked, "en").await;
    assert_eq!(
        browser.run("return document.activeElement.id").await,
        "name"
    );
    shop.app
        .note_sent(&json!({ "card": { "number": "4242424242424242" } }));
    browser.fill("#number", "4242424242424242").await;
    browser.fill("#expiry", "1234").await;
    browser.fill("#cvc", "123").await;
    browser.fill("#postal", "1011").await;
    browser.click("#save").await;
    browser
        .until("return document.getElementById('name-error').textContent !== ''")
        .await;
    assert_eq!(
        browser.text("#postal-error").await,
        "This postal code is not right."
    );
    browser.fill("#name", "Ada Lovelace").await;
    browser.fill("#postal", "1").await;
    browser.click("#save").await;
    browser
        .until("return location.search.includes('cloakroom_token=')")
        .await;
}
