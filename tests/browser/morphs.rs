//! The form in pages that a server renders and a library rewrites in place: idiomorph, which Livewire
//! and others are made of, and Turbo with its refreshes and its Back. One form, never two, and what
//! was typed stays where the element stays.

use serde_json::{Value, json};

use crate::checkout::{Shop, type_card};
use crate::driver::{Browser, Kind};
use crate::guide::snippet;
use crate::looks::target;

const VISA: &str = "4242424242424242";
const TYPED: &str = "4242 4242 4242 4242";

/// A module of npm's, on the shop's site.
fn serve(shop: &Shop, path: &str, module: &str) {
    let file = target().join("browser-tools/node_modules").join(module);
    let text = std::fs::read_to_string(file).expect("tests/run installs it");
    shop.site.put(path, "text/javascript", &[], &text);
}

/// Forms in the page, in elements and beside them.
async fn forms(browser: &Browser) -> Value {
    let script = "const own = [...document.querySelectorAll('cloakroom-card')]
        .flatMap((card) => [...card.shadowRoot.querySelectorAll('iframe')]);
        return document.querySelectorAll('iframe').length + own.length";
    browser.run(script).await
}

/// Waits until the page has its one form, and it has labels.
async fn one_form(browser: &Browser) {
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('label')?.textContent")
        .await;
    browser.leave().await;
    assert_eq!(forms(browser).await, 1);
}

async fn typed(browser: &Browser) -> String {
    browser.enter("iframe").await;
    let number = browser.value("#number").await;
    browser.leave().await;
    number
}

/// The server's page, in one of three orders.
fn page(shop: &Shop, secret: &str, heading: &str, order: usize) -> String {
    let capture = &shop.app.at.capture;
    let card = format!(
        r#"<cloakroom-card id="card" name="token" client-secret="{secret}"></cloakroom-card>"#
    );
    let coupon = r#"<label>Coupon <input name="coupon"></label>"#;
    let pay = r#"<button id="pay">Pay</button>"#;
    let body = match order {
        0 => format!(r#"<form action="/done">{coupon}{card}{pay}</form>"#),
        1 => format!(
            r#"<div><p>Two left!</p><form action="/done"><section>{card}</section>{coupon}{pay}</form></div>"#
        ),
        _ => format!(
            r#"<ul><li>Ticket</li><li>Programme</li></ul><form action="/done">{pay}{coupon}{card}</form>"#
        ),
    };
    format!(
        r#"<!doctype html><html lang="en"><head><title>Checkout</title>
        <script type="module" src="{capture}/fields/v1/loader.js"></script>
        <script type="module">
          import {{ Idiomorph }} from "/idiomorph.js";
          window.morph = (text) => Idiomorph.morph(document.documentElement, text);
        </script></head><body><h1>{heading}</h1>{body}</body></html>"#
    )
}

async fn a_page_that_idiomorph_rewrites(kind: Kind) {
    let shop = Shop::open();
    let browser = Browser::start(kind, &shop.app).await;
    serve(&shop, "/idiomorph.js", "idiomorph/dist/idiomorph.esm.js");
    let done = "<!doctype html><title>Done</title><h1>Done</h1>";
    shop.site.put("/done", "text/html", &[], done);
    let secret = shop.secret().await;
    let first = page(&shop, &secret, "One", 0);
    shop.site.put("/form", "text/html", &[], &first);
    browser.go(&shop.site.url("/form")).await;
    one_form(&browser).await;
    browser.until("return !!window.morph").await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    // Answers of the server: first with the element where it was, then elsewhere.
    for (round, order) in [0, 0, 0, 1, 2, 0, 2, 1, 1].into_iter().enumerate() {
        let heading = format!("Answer {round}");
        let text = page(&shop, &secret, &heading, order);
        browser
            .run_with("window.morph(arguments[0])", json!([text]))
            .await;
        assert_eq!(browser.text("h1").await, heading);
        assert_eq!(forms(&browser).await, 1);
        // Of these engines one moves a frame without loading it anew.
        if kind == Kind::Chromium || round < 3 {
            assert_eq!(typed(&browser).await, TYPED, "{round}");
        } else {
            one_form(&browser).await;
        }
    }
    // Another session in the server's answer is another form, and still one.
    let second = shop.secret().await;
    let text = page(&shop, &second, "Again", 0);
    browser
        .run_with("window.morph(arguments[0])", json!([text]))
        .await;
    one_form(&browser).await;
    assert_eq!(typed(&browser).await, "");
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    browser.until("return document.title === 'Done'").await;
    let url = browser.url().await;
    assert!(url.contains("&token=test_tok_"), "{url}");
}

#[actix_web::test]
async fn a_page_that_idiomorph_rewrites_keeps_its_one_form_and_what_was_typed_in_chromium() {
    a_page_that_idiomorph_rewrites(Kind::Chromium).await;
}

#[actix_web::test]
async fn a_page_that_idiomorph_rewrites_keeps_its_one_form_and_what_was_typed_in_firefox() {
    a_page_that_idiomorph_rewrites(Kind::Firefox).await;
}

#[actix_web::test]
async fn a_mounted_frame_stays_where_idiomorph_is_told_and_is_one_form_when_it_is_mounted_again() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    serve(&shop, "/idiomorph.js", "idiomorph/dist/idiomorph.esm.js");
    let secret = shop.secret().await;
    let page = format!(
        r#"<!doctype html><html lang="en"><title>Checkout</title>
        <script type="module">
          import {{ Idiomorph }} from "/idiomorph.js";
          import {{ loadFields }} from "{}/fields/v1/loader.js";
          const fields = await loadFields({{ clientSecret: "{secret}" }});
          window.card = fields.create("card");
          const kept = {{ beforeNodeRemoved: (node) => node.dataset?.cloakroom === undefined }};
          window.morph = (keep) =>
            Idiomorph.morph(document.querySelector("main"), "<main><h1>Two</h1><div id=card></div></main>", keep ? {{ callbacks: kept }} : {{}});
        </script><main><div id="card"></div></main></html>"#,
        shop.app.at.capture
    );
    shop.site.put("/mounted", "text/html", &[], &page);
    browser.go(&shop.site.url("/mounted")).await;
    browser.until("return !!window.card?.mount('#card')").await;
    one_form(&browser).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.run("window.morph(true)").await;
    assert_eq!(browser.text("h1").await, "Two");
    one_form(&browser).await;
    assert_eq!(typed(&browser).await, TYPED);
    browser.run("window.morph(false)").await;
    assert_eq!(forms(&browser).await, 0);
    browser
        .run("window.card.mount('#card'); window.card.mount('#card')")
        .await;
    one_form(&browser).await;
}

#[actix_web::test]
async fn a_page_that_idiomorph_rewrites_keeps_its_one_form_and_what_was_typed_in_safaris_engine() {
    a_page_that_idiomorph_rewrites(Kind::WebKit).await;
}

/// The guide's page under Turbo.
fn turbo(shop: &Shop, secret: &str, heading: &str) {
    let page = snippet("morphs")
        .replace("https://cards.example", &shop.app.at.capture)
        .replace("CLIENT_SECRET", secret)
        .replace("<h1>Checkout</h1>", &format!("<h1>{heading}</h1>"));
    shop.site
        .put("/checkout", "text/html; charset=utf-8", &[], &page);
}

async fn visit(browser: &Browser, path: &str, title: &str) {
    browser
        .run_with("Turbo.visit(arguments[0])", json!([path]))
        .await;
    browser
        .until(&format!("return document.title === '{title}' && !document.documentElement.hasAttribute('aria-busy')"))
        .await;
}

#[actix_web::test]
async fn under_turbo_the_guides_page_has_one_form_through_refresh_preview_and_back() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    serve(
        &shop,
        "/turbo.js",
        "@hotwired/turbo/dist/turbo.es2017-esm.js",
    );
    let basket = "<!doctype html><html lang=en><head><title>Basket</title>
        <script type=module src=/turbo.js></script></head><body><h1>Basket</h1></body></html>";
    shop.site.put("/basket", "text/html", &[], basket);
    let secret = shop.secret().await;
    turbo(&shop, &secret, "One");
    browser.go(&shop.site.url("/checkout")).await;
    browser.until("return !!window.Turbo").await;
    one_form(&browser).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    // A refresh, as a broadcast asks for it: the page is morphed.
    turbo(&shop, &secret, "Two");
    browser
        .run("window.same = true; Turbo.session.refresh(location.href)")
        .await;
    browser
        .until("return document.querySelector('h1').textContent === 'Two'")
        .await;
    assert_eq!(browser.run("return window.same").await, true);
    assert_eq!(forms(&browser).await, 1);
    assert_eq!(typed(&browser).await, TYPED);
    // Away and back: Turbo shows the page that it has kept.
    visit(&browser, "/basket", "Basket").await;
    assert_eq!(forms(&browser).await, 0);
    browser.back().await;
    browser.until("return document.title === 'Checkout'").await;
    one_form(&browser).await;
    // Visited again, with a new session of the server's.
    visit(&browser, "/basket", "Basket").await;
    let second = shop.secret().await;
    turbo(&shop, &second, "Three");
    visit(&browser, "/checkout", "Checkout").await;
    browser
        .until("return document.querySelector('h1').textContent === 'Three'")
        .await;
    one_form(&browser).await;
    assert_eq!(
        browser.run("return window.same").await,
        true,
        "no page was loaded anew"
    );
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    let mut posted = Vec::new();
    for _ in 0..100 {
        posted.extend(shop.site.posted());
        if !posted.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let order = posted.first().expect("the order goes out");
    assert_eq!(order.path, "/order");
    let body = String::from_utf8(order.body.clone()).unwrap();
    assert!(body.contains("token=test_tok_"), "{body}");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    posted.extend(shop.site.posted());
    assert_eq!(posted.len(), 1, "it goes out once");
}
