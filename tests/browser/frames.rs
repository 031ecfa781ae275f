//! The frame in pages that are not the guide's: lost once, in a page that a framework rewrites or
//! wraps, in a dark one, in a shop that stands in a frame itself.

use serde_json::{Value, json};

use crate::checkout::{Shop, ready, type_card};
use crate::driver::{Browser, Kind};
use crate::guide::snippet;
use crate::site::Site;
use crate::support::Who;

const VISA: &str = "4242424242424242";
/// Asks for 3-D Secure when it is saved, and not again.
const ASKS_ONCE: &str = "4000002500003155";

async fn paid(browser: &Browser) -> Value {
    let made = browser.until("return window.made ?? window.refused").await;
    assert_eq!(made["status"], "active", "{made} {:?}", browser.log().await);
    made
}

async fn at_the_issuers(browser: &Browser) {
    browser
        .until("return document.querySelector('h1')?.textContent === '3-D Secure test page'")
        .await;
}

/// Frames of ours in the page.
async fn frames(browser: &Browser) -> Value {
    let script = "const own = [...document.querySelectorAll('cloakroom-card')]
        .flatMap((card) => [...card.shadowRoot.querySelectorAll('iframe')]);
        return document.querySelectorAll('iframe').length + own.length";
    browser.run(script).await
}

#[actix_web::test]
async fn a_page_that_was_kept_while_it_left_for_the_issuer_settles_and_shows_a_form() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, ASKS_ONCE, "1234", "123").await;
    // It does not leave after all, and is then shown as a browser shows a page that it has kept.
    browser
        .run(
            "navigation.addEventListener('navigate', (event) => {
                event.preventDefault(); window.events.length = 0; window.left = true })",
        )
        .await;
    browser.click("#pay").await;
    browser.until("return window.left").await;
    browser
        .run("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        .await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(refused["code"], "canceled");
    ready(&browser).await;
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('#notice').dataset.kind === 'error'")
        .await;
    browser.leave().await;
    // Pay answers again: this session has had its card.
    browser.run("delete window.refused; window.pay()").await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(refused["code"], "session_over");
}

async fn labelled(browser: &Browser) {
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('label')?.textContent")
        .await;
    browser.leave().await;
}

#[actix_web::test]
async fn an_element_takes_another_session_and_a_page_that_is_rewritten_around_it() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let first = shop.secret().await;
    let capture = &shop.app.at.capture;
    let page = format!(
        r#"<!doctype html><html lang="en"><title>Form</title>
        <script type="module" src="{capture}/fields/v1/loader.js"></script>
        <form action="/done"><cloakroom-card name="token" client-secret="{first}"></cloakroom-card>
        <button id="pay">Pay</button></form></html>"#
    );
    let done = "<!doctype html><title>Done</title><h1>Done</h1>";
    shop.site.put("/done", "text/html", &[], done);
    shop.site.put("/form", "text/html", &[], &page);
    browser.go(&shop.site.url("/form")).await;
    labelled(&browser).await;
    // The first session is used up elsewhere.
    let used = shop
        .app
        .post_card(&first, &crate::support::card(VISA), &[])
        .await;
    assert_eq!(used.status, 201);
    let second = shop.secret().await;
    let set =
        "document.querySelector('cloakroom-card').setAttribute('client-secret', arguments[0])";
    browser.run_with(set, json!([second])).await;
    labelled(&browser).await;
    assert_eq!(frames(&browser).await, 1);
    // Whoever rewrites what is in the element takes nothing away, and a copy of it is one form.
    browser
        .run("document.querySelector('cloakroom-card').innerHTML = ''")
        .await;
    assert_eq!(frames(&browser).await, 1);
    let copied = "const copy = document.querySelector('cloakroom-card').cloneNode(true);
        document.body.append(copy);
        const frames = copy.shadowRoot.querySelectorAll('iframe').length; copy.remove(); return frames";
    assert_eq!(browser.run(copied).await, 1);
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    browser.until("return document.title === 'Done'").await;
    let url = browser.url().await;
    assert!(
        url.starts_with(&shop.site.url("/done?token=test_tok_")),
        "{url}"
    );
}

#[actix_web::test]
async fn what_a_framework_wraps_is_taken() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    // Vue's rule: what says `__v_skip` stays as it is, every other object is put behind a proxy.
    let wrap = "const wrap = (it) => it?.__v_skip || typeof it !== 'object' ? it
        : new Proxy(it, { get: (...all) => wrap(Reflect.get(...all)) });";
    shop.visit(&browser, &json!({})).await;
    browser
        .run(&format!(
            "{wrap} wrap(card).update(wrap({{ theme: {{ radius: '3px' }} }}))"
        ))
        .await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser
        .run(&format!(
            "{wrap} const state = wrap({{ card, details: {{ name: 'A', address: {{ city: 'B' }} }} }});
            state.card.tokenize({{ billingDetails: state.details }}).then(
                (made) => (window.made = made),
                (error) => (window.refused = {{ ...error, text: String(error) }}))"
        ))
        .await;
    paid(&browser).await;
}

#[actix_web::test]
async fn a_frame_that_was_lost_once_is_fetched_again() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    shop.checkout(&secret, &json!({}));
    browser.devtools("Network.enable", json!({})).await;
    let lost = json!({ "urls": ["*/fields/v1/frame*"] });
    browser.devtools("Network.setBlockedURLs", lost).await;
    browser.go(&shop.site.url("/checkout")).await;
    browser
        .until("return document.querySelector('iframe')")
        .await;
    browser
        .devtools("Network.setBlockedURLs", json!({ "urls": [] }))
        .await;
    ready(&browser).await;
    let errors = "return window.events.filter(([name]) => name === 'error').length";
    assert_eq!(browser.run(errors).await, 0);
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    paid(&browser).await;
}

#[actix_web::test]
async fn a_shop_in_a_frame_of_its_own_leaves_through_the_window() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    shop.checkout(&secret, &json!({}));
    let outer = "<!doctype html><title>Outer</title>
        <iframe id=shop src=/checkout width=900 height=700></iframe>";
    shop.site.put("/outer", "text/html", &[], outer);
    browser.go(&shop.site.url("/outer")).await;
    browser.enter("#shop").await;
    ready(&browser).await;
    shop.app
        .note_sent(&json!({ "card": { "number": ASKS_ONCE } }));
    browser.enter("iframe").await;
    browser.fill("#number", ASKS_ONCE).await;
    browser.fill("#expiry", "1234").await;
    browser.fill("#cvc", "123").await;
    browser.leave().await;
    browser.enter("#shop").await;
    browser.click("#pay").await;
    browser.leave().await;
    at_the_issuers(&browser).await;
    browser.click("button[value=complete]").await;
    let back = browser
        .until("return window.back?.session && window.back")
        .await;
    assert!(
        back["token"].as_str().unwrap().starts_with("test_tok_"),
        "{back}"
    );
}

/// A partner's page, of another origin, shows the shop's in a frame.
#[actix_web::test]
async fn inside_a_page_of_another_origin_the_shop_is_told_and_the_hosted_page_takes_the_card() {
    let shop = Shop::open();
    let partner = Site::start(&shop.app);
    let outer = format!(
        "<!doctype html><title>Partner</title><iframe id=shop src={} width=900 height=700></iframe>",
        shop.site.url("/checkout")
    );
    partner.put("/", "text/html", &[], &outer);
    let thanks = "<!doctype html><title>Thanks</title>Thanks";
    shop.site.put("/thanks", "text/html", &[], thanks);
    for kind in [Kind::Chromium, Kind::Firefox] {
        let browser = Browser::start(kind, &shop.app).await;
        // The card object: one error, no frame, and no promise that never settles.
        let secret = shop.secret().await;
        shop.checkout(&secret, &json!({}));
        browser.go(&partner.url("/")).await;
        browser.enter("#shop").await;
        let errors = "return window.events?.length > 0 && window.events";
        let said = browser.until(errors).await;
        assert_eq!(said, json!([["error", "embedded"]]));
        assert_eq!(frames(&browser).await, 0);
        browser.run("window.pay()").await;
        let refused = browser.until("return window.refused").await;
        assert_eq!(refused["code"], "not_ready");
        browser.leave().await;
        // The guide's page: the element, and a link that leaves the partner's page.
        let session = secret.split("_secret_").next().unwrap();
        let page = snippet("embedded")
            .replace("https://cards.example", &shop.app.at.capture)
            .replace("SESSION_ID", session)
            .replace("CLIENT_SECRET", &secret);
        shop.site.put("/checkout", "text/html", &[], &page);
        browser.go(&partner.url("/")).await;
        browser.enter("#shop").await;
        browser
            .until("return document.getElementById('hosted')?.hidden === false")
            .await;
        browser.click("#hosted").await;
        browser.leave().await;
        browser
            .until("return document.getElementById('save')?.hidden === false")
            .await;
        shop.app
            .note_sent(&json!({ "card": { "number": ASKS_ONCE } }));
        browser.fill("#number", ASKS_ONCE).await;
        browser.fill("#expiry", "1234").await;
        browser.fill("#cvc", "123").await;
        browser.click("#save").await;
        at_the_issuers(&browser).await;
        browser.click("button[value=complete]").await;
        browser.until("return document.title === 'Thanks'").await;
        let url = browser.url().await;
        assert!(url.starts_with(&shop.site.url("/thanks?")), "{url}");
        assert!(url.contains("cloakroom_status=succeeded"), "{url}");
    }
    // The service has not been told of an attack.
    let metrics = shop
        .app
        .get(Who::Nobody, &format!("{}/metrics", shop.app.at.ops))
        .await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    let counted =
        |line: &&str| line.starts_with("cloakroom_browser_report") && !line.ends_with(" 0");
    assert_eq!(metrics.lines().find(counted), None);
}

#[actix_web::test]
async fn a_page_that_is_dark_by_its_paint_alone_gets_a_dark_form() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    shop.checkout(&secret, &json!({}));
    let page = r#"<!doctype html><html lang="en"><title>Dark</title><style>body{background:#0f172a}</style>
        <script type="module" src="/checkout.js"></script><div id="card"></div><button id="pay">Pay</button></html>"#;
    shop.site.put("/dark", "text/html", &[], page);
    browser.go(&shop.site.url("/dark")).await;
    ready(&browser).await;
    let source = browser
        .run("return document.querySelector('iframe').src")
        .await;
    assert!(
        source.as_str().unwrap().ends_with("&scheme=dark"),
        "{source}"
    );
    browser.enter("iframe").await;
    let color = browser
        .run("return getComputedStyle(document.querySelector('label')).color.match(/\\d+/g).map(Number)")
        .await;
    assert!(color[0].as_u64().unwrap() > 150, "{color}");
}

#[actix_web::test]
async fn what_a_framework_or_a_cache_has_left_of_a_form_is_none() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    // The page's cache gives back the markup of a form that was there.
    browser
        .run(
            "const box = document.getElementById('card'); box.replaceWith(box.cloneNode(true));
            window.events.length = 0; card.mount('#card')",
        )
        .await;
    ready(&browser).await;
    assert_eq!(frames(&browser).await, 1);
    // A framework empties the box in the middle of a call.
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser
        .run("window.pay(); document.getElementById('card').replaceChildren()")
        .await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(refused["code"], "unmounted");
}
