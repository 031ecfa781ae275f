//! A shop's page with the card form in it, as the guide shows it, and what happens on it.

use hyper::Method;
use serde_json::{Value, json};

use crate::driver::Browser;
use crate::guide::snippet;
use crate::site::Site;
use crate::support::App;

/// A shop's policy that allows next to nothing: the loader, the frame, its own script.
pub(crate) fn strict_policy(app: &App) -> String {
    let needed = snippet("policy").replace("https://cards.example", &app.at.capture);
    let needed = needed.replace("script-src ", "script-src 'self' ");
    format!(
        "default-src 'none'; {needed}; require-trusted-types-for 'script'; trusted-types 'none'; \
         base-uri 'none'; form-action 'none'"
    )
}

/// A shop with one page, whose script is the guide's.
pub(crate) struct Shop {
    pub(crate) app: App,
    pub(crate) site: Site,
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::open_with(&[])
    }

    /// With `CLOAKROOM__…` overrides.
    pub(crate) fn open_with(overrides: &[(&str, &str)]) -> Self {
        let app = App::start_with(&[], overrides);
        let site = Site::start(&app);
        Self { app, site }
    }

    /// Cards that decline do so when they are saved, as they do at Stripe.
    pub(crate) async fn declines_at_once(&self) {
        let strict = json!({ "decline_at_attach": true });
        let set = self.app.sandbox(Method::POST, "settings", &strict).await;
        assert_eq!(set.status, 200, "{}", set.json());
    }

    pub(crate) async fn secret(&self) -> String {
        // Another shopper each time: one who brings the same card again gets the same token.
        let shopper = format!("shopper-{}", uuid::Uuid::new_v4());
        self.secret_for(&json!({ "origin": self.site.origin, "customer_ref": shopper }))
            .await
    }

    pub(crate) async fn secret_for(&self, order: &Value) -> String {
        let answer = self.app.order_session(order).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["client_secret"].as_str().unwrap().to_owned()
    }

    /// Puts up the checkout page for a session, with options of the card.
    pub(crate) fn checkout(&self, secret: &str, options: &Value) {
        self.checkout_of("card", secret, options);
    }

    /// The same with what the form asks for: a card, or the security code of a saved one.
    pub(crate) fn checkout_of(&self, kind: &str, secret: &str, options: &Value) {
        let script = format!(
            r##"
            import {{ loadFields, returned }} from "{capture}/fields/v1/loader.js";
            window.events = [];
            window.back = returned();
            const fields = await loadFields({{ clientSecret: {secret} }});
            const card = fields.create("{kind}", {options});
            card.on("ready", () => (window.readyAt = performance.now()));
            for (const name of ["ready", "change", "submit", "error"]) {{
              card.on(name, (detail) => window.events.push([name, detail?.code ?? detail ?? null]));
            }}
            window.card = card;
            window.pay = () => (delete window.made, delete window.refused, card.tokenize()).then(
              (made) => (window.made = made),
              (error) => (window.refused = {{ ...error }}),
            );
            document.getElementById("pay").onclick = window.pay;
            card.mount("#card");
            // Whether the browser had kept the page and shows it again.
            addEventListener("pageshow", ({{ persisted }}) => (document.documentElement.dataset.kept = persisted));
            "##,
            capture = self.app.at.capture,
            secret = json!(secret),
        );
        self.page(
            &script,
            &[("content-security-policy", &strict_policy(&self.app))],
        );
    }

    /// Puts up a page with a script of its own.
    pub(crate) fn page(&self, script: &str, headers: &[(&'static str, &str)]) {
        self.site
            .put("/checkout.js", "text/javascript", &[], script);
        let page = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Checkout</title>
            <meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
            <script type="module" src="/checkout.js"></script>
            <main><h1>Checkout</h1><input id="before" aria-label="Before"><div id="card"></div>
            <button id="pay">Pay</button></main></html>"#;
        self.site
            .put("/checkout", "text/html; charset=utf-8", headers, page);
    }

    /// Opens the checkout page with a new session and waits until the form is there.
    pub(crate) async fn visit(&self, browser: &Browser, options: &Value) -> String {
        let secret = self.secret().await;
        self.checkout(&secret, options);
        browser.go(&self.site.url("/checkout")).await;
        ready(browser).await;
        secret
    }
}

pub(crate) async fn ready(browser: &Browser) {
    browser
        .until("return window.events?.some(([name]) => name === 'ready')")
        .await;
}

/// Types a card into the frame, as fast as a driver does.
pub(crate) async fn type_card(
    shop: &Shop,
    browser: &Browser,
    number: &str,
    expiry: &str,
    cvc: &str,
) {
    shop.app.note_sent(&json!({ "card": { "number": number } }));
    browser.enter("iframe").await;
    browser.fill("#number", number).await;
    browser.fill("#expiry", expiry).await;
    browser.fill("#cvc", cvc).await;
    browser.leave().await;
}

#[actix_web::test]
async fn a_card_typed_into_the_frame_becomes_a_token_that_is_charged() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, "4242424242424242", "1234", "123").await;
    let state = browser
        .until("return window.events.findLast(([n, s]) => n === 'change' && s.complete)?.[1]")
        .await;
    assert_eq!(
        state,
        json!({ "complete": true, "empty": false, "brand": "visa", "error": null })
    );
    browser.click("#pay").await;
    let made = browser.until("return window.made ?? window.refused").await;
    assert_eq!(made["status"], "active", "{made} {:?}", browser.log().await);
    assert_eq!(made["card"]["last4"], "4242");
    let charged = shop
        .app
        .charge(made["token"].as_str().unwrap(), "order-1")
        .await;
    assert_eq!(charged.json()["status"], "succeeded");
    // What was typed is gone, and nothing was violated on the way.
    browser.enter("iframe").await;
    assert_eq!(browser.value("#number").await, "");
    assert_eq!(browser.text("#notice").await, "Card saved.");
    let log: Vec<String> = browser.log().await;
    assert_eq!(log, Vec::<String>::new());
}
