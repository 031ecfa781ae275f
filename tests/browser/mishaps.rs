//! What goes wrong on the shopper's side or in the shop's page, each as somebody reported it.

use serde_json::{Value, json};

use crate::checkout::{Shop, ready, type_card};
use crate::driver::{BACKSPACE, Browser, Kind};

const VISA: &str = "4242424242424242";
const ASKS_ONCE: &str = "4000002500003155";

async fn settled(browser: &Browser) -> Value {
    browser.until("return window.made ?? window.refused").await
}

async fn visited(options: &Value) -> (Shop, Browser) {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, options).await;
    (shop, browser)
}

#[actix_web::test]
async fn a_date_is_edited_where_the_caret_is_and_nothing_moves() {
    let (_shop, browser) = visited(&json!({})).await;
    browser.enter("iframe").await;
    for (from, to, keys, stands) in [
        (2, 2, [BACKSPACE, "1"].concat(), "11 / 34"),
        (0, 2, "05".to_owned(), "05 / 34"),
        (1, 1, [BACKSPACE, "0"].concat(), "02 / 34"),
        (5, 5, [BACKSPACE, "1"].concat(), "11 / 34"),
    ] {
        browser
            .run("const e = document.getElementById('expiry'); e.value = ''; e.focus()")
            .await;
        browser.press("1234", false).await;
        browser
            .run_with(
                "document.activeElement.setSelectionRange(arguments[0], arguments[1])",
                json!([from, to]),
            )
            .await;
        browser.press(&keys, false).await;
        assert_eq!(browser.value("#expiry").await, stands, "{from} {keys:?}");
    }
}

#[actix_web::test]
async fn nothing_is_written_into_what_an_input_method_composes() {
    let (_shop, browser) = visited(&json!({})).await;
    browser.enter("iframe").await;
    let composing = "
        const field = document.getElementById('number'); field.focus();
        const seen = [];
        for (const text of ['４', '４２', '４２４', '４２４２４２']) {
          field.value = text;
          field.dispatchEvent(new InputEvent('input', { bubbles: true, isComposing: true, inputType: 'insertCompositionText' }));
          seen.push(field.value);
        }
        field.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true, data: '４２４２４２' }));
        return [...seen, field.value];";
    assert_eq!(
        browser.run(composing).await,
        json!(["４", "４２", "４２４", "４２４２４２", "4242 42"])
    );
}

#[actix_web::test]
async fn an_error_of_a_field_that_is_not_there_is_said_all_the_same() {
    let (shop, browser) = visited(&json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    for (decline, said) in [
        (
            "incorrect_zip",
            "The card was declined. Please use another card.",
        ),
        ("insufficient_funds", "The card has insufficient funds."),
    ] {
        browser.enter("iframe").await;
        let answer = json!({ "code": "card_declined", "decline": { "code": decline } });
        browser
            .run_with(
                "window.fetch = async () => new Response(JSON.stringify(arguments[0]), { status: 402 })",
                json!([answer]),
            )
            .await;
        browser.leave().await;
        browser.click("#pay").await;
        assert_eq!(settled(&browser).await["decline"], decline);
        browser.enter("iframe").await;
        assert_eq!(browser.text("#notice").await, said);
        browser.leave().await;
    }
}

#[actix_web::test]
async fn a_wrong_option_is_left_out_and_named_and_the_form_comes() {
    let wrong = json!({
        "theme": { "radius": 8, "accent": "#0a7d5a" }, "layout": "tabs", "country": "us",
        "hidePostalCode": true, "scheme": "system",
    });
    let (_shop, browser) = visited(&wrong).await;
    let log = browser.log().await.join("\n");
    for name in ["theme.radius", "layout", "hidePostalCode"] {
        assert!(log.contains(name), "{log}");
    }
    assert!(!log.contains("accent") && !log.contains("country"), "{log}");
    browser.enter("iframe").await;
    assert_eq!(browser.text("label[for=number]").await, "Card number");
    let accent = "return document.documentElement.style.getPropertyValue('--accent')";
    assert_eq!(browser.run(accent).await, "#0a7d5a");
}

#[actix_web::test]
async fn the_same_card_typed_again_is_the_same_attempt() {
    let (shop, browser) = visited(&json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.enter("iframe").await;
    browser
        .run(
            "const real = window.fetch; window.sent = 0;
             window.fetch = async (...all) => {
               const answer = await real(...all);
               if ((window.sent += 1) <= 3) throw new TypeError('lost');
               return answer;
             }",
        )
        .await;
    browser.leave().await;
    browser.click("#pay").await;
    assert_eq!(settled(&browser).await["code"], "network");
    browser.enter("iframe").await;
    browser.click("#cvc").await;
    browser.press(&BACKSPACE.repeat(4), false).await;
    browser.press("123", false).await;
    browser.leave().await;
    browser.click("#pay").await;
    assert_eq!(settled(&browser).await["status"], "active");
}

#[actix_web::test]
async fn the_way_back_leads_to_the_page_whatever_its_address_is() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let long = format!("/checkout?gclid={}#step-2", "x".repeat(600));
    for path in ["/checkout?a=\\b", long.as_str()] {
        let secret = shop.secret().await;
        shop.checkout(&secret, &json!({}));
        browser.go(&shop.site.url(path)).await;
        ready(&browser).await;
        type_card(&shop, &browser, ASKS_ONCE, "1234", "123").await;
        browser.click("#pay").await;
        browser.click("button[value=complete]").await;
        let back = browser
            .until("return window.back?.session && window.back")
            .await;
        assert!(back["token"].is_string(), "{path} {back}");
        let url = browser.url().await;
        assert!(!url.contains("cloakroom_"), "{url}");
        assert_eq!(url.contains("#step-2"), path.contains("#step-2"), "{url}");
    }
}

#[actix_web::test]
async fn a_browser_that_keeps_nothing_takes_the_shopper_to_the_issuer_all_the_same() {
    let (shop, browser) = visited(&json!({})).await;
    browser
        .run(
            "Object.defineProperty(window, 'sessionStorage', {
               get() { throw new DOMException('blocked', 'SecurityError') } })",
        )
        .await;
    type_card(&shop, &browser, ASKS_ONCE, "1234", "123").await;
    browser.click("#pay").await;
    browser
        .until("return document.querySelector('h1')?.textContent === '3-D Secure test page'")
        .await;
}

#[actix_web::test]
async fn back_from_the_issuers_page_the_shopper_and_the_shop_are_told_in_chromium() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, ASKS_ONCE, "1234", "123").await;
    browser.click("#pay").await;
    browser
        .until("return document.querySelector('h1')?.textContent === '3-D Secure test page'")
        .await;
    browser.back().await;
    ready(&browser).await;
    // The browser has kept the page: what ran in it goes on where it was.
    let reasons = "return performance.getEntriesByType('navigation')[0].notRestoredReasons?.toJSON?.() ?? null";
    assert_eq!(
        browser
            .run("return document.documentElement.dataset.kept")
            .await,
        "true",
        "{}",
        browser.run(reasons).await
    );
    assert_eq!(settled(&browser).await["code"], "canceled");
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('#notice').textContent.startsWith('You came back')")
        .await;
    browser.leave().await;
    // Pay is not dead: this session has had its card.
    browser.click("#pay").await;
    browser
        .until("return window.refused?.code === 'session_over'")
        .await;
}

#[actix_web::test]
async fn back_from_the_issuers_page_the_shopper_and_the_shop_are_told() {
    let shop = Shop::open();
    let browser = Browser::start(Kind::Firefox, &shop.app).await;
    shop.visit(&browser, &json!({})).await;
    browser.run("window.same = true").await;
    type_card(&shop, &browser, ASKS_ONCE, "1234", "123").await;
    browser.click("#pay").await;
    browser
        .until("return document.querySelector('h1')?.textContent === '3-D Secure test page'")
        .await;
    browser.back().await;
    ready(&browser).await;
    if browser.run("return window.same === true").await == true {
        assert_eq!(settled(&browser).await["code"], "canceled");
        browser.enter("iframe").await;
        browser
            .until(
                "return document.querySelector('#notice').textContent.startsWith('You came back')",
            )
            .await;
    }
}

#[actix_web::test]
async fn a_hosted_page_that_is_loaded_again_still_takes_the_card() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    let session = secret.split("_secret_").next().unwrap();
    let thanks = "<!doctype html><title>Thanks</title>Thanks";
    shop.site.put("/thanks", "text/html", &[], thanks);
    let page = format!("{}/pay/{session}?return=/thanks", shop.app.at.capture);
    browser.go(&format!("{page}#{secret}")).await;
    browser.go(&page).await;
    browser
        .until("return !document.getElementById('save').hidden")
        .await;
    shop.app.note_sent(&json!({ "card": { "number": VISA } }));
    browser.fill("#number", VISA).await;
    browser.fill("#expiry", "1234").await;
    browser.fill("#cvc", "123").await;
    browser.click("#save").await;
    browser.until("return document.title === 'Thanks'").await;
    // Now it is over, and the page says where to go.
    browser.go(&page).await;
    browser
        .until("return document.querySelector('#notice').textContent.startsWith('Please go back to the shop')")
        .await;
}

#[actix_web::test]
async fn an_element_that_is_not_shown_or_whose_button_is_replaced_lets_the_order_go() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    let done = "<!doctype html><title>Done</title><h1>Done</h1>";
    shop.site.put("/done", "text/html", &[], done);
    for (before, after, card) in [
        ("<div hidden>", "</div>", false),
        ("<div inert>", "</div>", false),
        ("<fieldset disabled>", "</fieldset>", false),
        ("<div>", "</div>", true),
    ] {
        let page = format!(
            r#"<!doctype html><html lang="en"><title>Form</title>
            <script type="module" src="{}/fields/v1/loader.js"></script>
            <form action="/done"><input name="item" value="7">{before}
            <cloakroom-card name="token" client-secret="{secret}"></cloakroom-card>{after}
            <button id="pay" onclick="setTimeout(() => this.replaceWith('Paying'), 5)">Pay</button></form>"#,
            shop.app.at.capture
        );
        shop.site.put("/form", "text/html", &[], &page);
        browser.go(&shop.site.url("/form")).await;
        if card {
            browser.enter("iframe").await;
            browser
                .until("return document.querySelector('label').textContent !== ''")
                .await;
            browser.leave().await;
            type_card(&shop, &browser, VISA, "1234", "123").await;
        }
        browser.click("#pay").await;
        browser.until("return document.title === 'Done'").await;
        let url = browser.url().await;
        assert_eq!(url.contains("token=test_tok_"), card, "{before} {url}");
    }
}

#[actix_web::test]
async fn a_page_with_an_earlier_releases_loader_takes_cards_as_before() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    let earlier = "loader.5WAk7oAK-RZA.js";
    let hash = "sha384-5WAk7oAK+RZAbxrtwRrv9VE30aYN25QAe+ujtvoadzQJ0pUME+bdzWravNofHgvh";
    let page = format!(
        r#"<!doctype html><html lang="en"><title>Checkout</title>
        <script type="module" src="{}/fields/v1/{earlier}" integrity="{hash}" crossorigin></script>
        <div id="card"></div><button id="pay">Pay</button>
        <script type="module">
          window.events = [];
          const fields = await Cloakroom.loadFields({{ clientSecret: "{secret}" }});
          const card = fields.create("card");
          card.on("ready", () => events.push(["ready"]));
          card.mount(document.getElementById("card"));
          document.getElementById("pay").onclick = () => card.tokenize().then((m) => (window.made = m), (e) => (window.refused = {{ ...e }}));
        </script></html>"#,
        shop.app.at.capture
    );
    shop.site
        .put("/checkout", "text/html; charset=utf-8", &[], &page);
    browser.go(&shop.site.url("/checkout")).await;
    ready(&browser).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    assert_eq!(settled(&browser).await["status"], "active");
}
