//! How the form looks and whether everybody can use it: axe-core finds nothing in any state.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::checkout::{Shop, type_card};
use crate::driver::Browser;

/// The service takes its time: what is sent waits for `go()`.
pub(crate) const HELD: &str = "const real = fetch;
    window.fetch = async (...all) => (await new Promise((go) => (window.go = go)), real(...all))";

/// The target directory, into which tests/run installs what the tests need.
pub(crate) fn target() -> PathBuf {
    let within = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    within.parent().unwrap().to_owned()
}

/// Programs from npm, at the versions of `package-lock.json`.
fn tools() -> PathBuf {
    target().join("browser-tools/node_modules")
}

#[test]
fn the_types_of_the_modules_fit() {
    let output = Command::new(tools().join(".bin/tsc"))
        .args(["--project", "tests/browser/tsconfig.json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("tests/run installs TypeScript");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Asserts that axe-core finds nothing wrong where the browser looks.
pub(crate) async fn accessible(browser: &Browser, state: &str) {
    let axe = std::fs::read_to_string(tools().join("axe-core/axe.min.js"))
        .expect("tests/run installs axe-core");
    let script = format!(
        "{axe}; return axe.run(document, {{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
           rules: {{ 'region': {{ enabled: false }}, 'page-has-heading-one': {{ enabled: false }}, 'landmark-one-main': {{ enabled: false }} }} }})
           .then((found) => [found.passes.length, found.violations.map((v) => v.id + ' ' + v.nodes.map((n) => n.html + n.failureSummary).join(' | '))])"
    );
    let found = browser.run(&script).await;
    assert!(found[0].as_u64().unwrap() > 10, "{state}: {found}");
    assert_eq!(found[1], json!([]), "{state}");
}

async fn look(browser: &Browser, state: &str) {
    browser.picture(state).await;
    accessible_with_its_frame(browser, state).await;
}

/// The same of a page of the shop's and of the form in it.
pub(crate) async fn accessible_with_its_frame(browser: &Browser, state: &str) {
    let dark = "return matchMedia('(prefers-color-scheme: dark)').matches ? '#121212' : '#fff'";
    let behind = browser.run(dark).await;
    browser.enter("iframe").await;
    // axe does not see what shows through the frame: it is painted in.
    let paint = "document.body.style.backgroundColor = arguments[0]";
    browser.run_with(paint, json!([behind])).await;
    accessible(browser, state).await;
    browser.run_with(paint, json!([""])).await;
    browser.leave().await;
    accessible(browser, state).await;
}

/// The fields as they are before the shop's page has said anything.
async fn skeleton(shop: &Shop, browser: &Browser, name: &str) {
    let secret = shop.secret().await;
    let session = secret.split("_secret_").next().unwrap();
    let scheme = if name.contains("dark") {
        "dark"
    } else {
        "light"
    };
    let page = format!(
        r#"<!doctype html><html lang="en"><title>Slow</title><meta name="viewport" content="width=device-width">
        <meta name="color-scheme" content="light dark"><main><h1>Checkout</h1>
        <iframe title="Card" style="border:0;width:calc(100% + 8px);margin:-4px;color-scheme:{scheme}" height="200"
        src="{}/fields/v1/frame?session={session}&scheme={scheme}"></iframe></main></html>"#,
        shop.app.at.capture
    );
    shop.site.put("/slow", "text/html", &[], &page);
    browser.go(&shop.site.url("/slow")).await;
    browser.picture(&format!("{name}-skeleton")).await;
}

async fn emptied(browser: &Browser) {
    browser.enter("iframe").await;
    browser
        .run("for (const each of document.querySelectorAll('input')) each.value = ''")
        .await;
    browser.leave().await;
}

async fn states(shop: &Shop, browser: &Browser, name: &str, options: &Value) {
    shop.declines_at_once().await;
    skeleton(shop, browser, name).await;
    shop.visit(browser, options).await;
    // For the pictures' sake.
    browser
        .run("document.getElementById('before').remove()")
        .await;
    look(browser, &format!("{name}-empty")).await;
    type_card(shop, browser, "4242424242424241", "12/20", "12").await;
    browser.run("window.pay()").await;
    browser
        .until("return window.refused?.code === 'invalid'")
        .await;
    browser.enter("iframe").await;
    assert_eq!(
        browser
            .run("return document.querySelectorAll('[aria-invalid=true]').length")
            .await,
        3
    );
    assert_eq!(
        browser.run("return document.activeElement.id").await,
        "number"
    );
    browser.leave().await;
    look(browser, &format!("{name}-errors")).await;
    emptied(browser).await;
    type_card(shop, browser, "4000000000000002", "12/34", "123").await;
    browser.run("delete window.refused; window.pay()").await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(refused["decline"], "generic_decline");
    look(browser, &format!("{name}-declined")).await;
    emptied(browser).await;
    type_card(shop, browser, "5555555555554444", "12/34", "123").await;
    look(browser, &format!("{name}-typed")).await;
    browser.enter("iframe").await;
    browser.run(HELD).await;
    browser.leave().await;
    browser.run("window.pay()").await;
    browser.enter("iframe").await;
    browser.until("return window.go").await;
    browser.leave().await;
    look(browser, &format!("{name}-busy")).await;
    browser.enter("iframe").await;
    browser.run("window.go()").await;
    browser.leave().await;
    browser.until("return window.made").await;
    look(browser, &format!("{name}-saved")).await;
}

/// The shop says nothing of the scheme: the form takes the page's.
async fn scheme(browser: &Browser, scheme: &str) {
    let set = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.devtools("Emulation.setEmulatedMedia", set).await;
}

/// A phone of 390 pixels, two of the screen's for each.
pub(crate) async fn phone(browser: &Browser) {
    browser
        .devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": 390, "height": 560, "deviceScaleFactor": 2, "mobile": true }),
        )
        .await;
}

async fn on_a_phone(shade: &str) {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    phone(&browser).await;
    scheme(&browser, shade).await;
    let name = format!("stacked-{shade}");
    states(&shop, &browser, &name, &json!({})).await;
}

async fn on_a_desktop(shade: &str) {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    browser.resize(760, 460).await;
    scheme(&browser, shade).await;
    let name = format!("inline-{shade}");
    states(&shop, &browser, &name, &json!({ "layout": "inline" })).await;
}

#[actix_web::test]
async fn axe_finds_nothing_in_any_state_of_the_stacked_form_in_the_light() {
    on_a_phone("light").await;
}

#[actix_web::test]
async fn axe_finds_nothing_in_any_state_of_the_stacked_form_in_the_dark() {
    on_a_phone("dark").await;
}

#[actix_web::test]
async fn axe_finds_nothing_in_any_state_of_the_inline_form_in_the_light() {
    on_a_desktop("light").await;
}

#[actix_web::test]
async fn axe_finds_nothing_in_any_state_of_the_inline_form_in_the_dark() {
    on_a_desktop("dark").await;
}

#[actix_web::test]
async fn axe_finds_nothing_with_every_field_from_right_to_left_and_in_280_pixels() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    browser
        .devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": 280, "height": 700, "deviceScaleFactor": 1, "mobile": true }),
        )
        .await;
    let all = json!({ "locale": "ar", "name": true, "postalCode": true, "expiry": "split" });
    shop.visit(&browser, &all).await;
    look(&browser, "narrow-ar").await;
    // Nothing is wider than the window, so nobody scrolls sideways; targets are big enough.
    let wide =
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    assert_eq!(browser.run(wide).await, true);
    browser.enter("iframe").await;
    assert_eq!(browser.run(wide).await, true);
    let low = browser.run("return Math.min(...[...document.querySelectorAll('input')].filter((e) => e.checkVisibility()).map((e) => e.offsetHeight))").await;
    assert!(low.as_u64().unwrap() >= 44, "{low}");
    // The frame is as high as what is in it, and nothing has to be scrolled in it.
    assert_eq!(
        browser
            .run("return document.documentElement.scrollHeight <= window.innerHeight")
            .await,
        true
    );
    // The live region has been there from the start.
    assert_eq!(
        browser
            .run("return document.getElementById('live').getAttribute('aria-live')")
            .await,
        "polite"
    );
}

#[actix_web::test]
async fn a_picture_says_where_the_code_is_and_stays_right_in_another_language() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    let hint = "return [document.getElementById('code').getAttribute('href'), document.getElementById('cvc').placeholder]";
    browser.enter("iframe").await;
    assert_eq!(browser.run(hint).await, json!(["#code-back", "123"]));
    // As many digits as tell an American Express card.
    browser.fill("#number", "3782").await;
    assert_eq!(browser.run(hint).await, json!(["#code-front", "1234"]));
    browser.leave().await;
    browser.run("card.update({ locale: 'de' })").await;
    browser.enter("iframe").await;
    browser
        .until("return document.documentElement.lang === 'de'")
        .await;
    assert_eq!(browser.run(hint).await, json!(["#code-front", "1234"]));
    browser.leave().await;
    browser.run("card.clear()").await;
    browser.enter("iframe").await;
    browser
        .until("return document.getElementById('number').value === ''")
        .await;
    assert_eq!(browser.run(hint).await, json!(["#code-back", "123"]));
}
