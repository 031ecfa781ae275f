//! What a designer looks for: nothing moves under the finger, something stands there before the form
//! does, the keyboard of a phone says what comes next, the reader's font size and colours count, and
//! of several errors the first is said.

use serde_json::{Value, json};

use crate::checkout::{Shop, ready, type_card};
use crate::driver::{Browser, TAB};
use crate::looks::HELD;

async fn visited(options: &Value) -> (Shop, Browser) {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, options).await;
    (shop, browser)
}

#[actix_web::test]
async fn pay_stays_under_the_finger_while_the_card_is_under_way() {
    let (shop, browser) = visited(&json!({})).await;
    type_card(&shop, &browser, "4242424242424242", "1234", "123").await;
    let top = "return document.getElementById('pay').getBoundingClientRect().top";
    let before = browser.run(top).await;
    browser.enter("iframe").await;
    browser.run(HELD).await;
    browser.leave().await;
    browser.click("#pay").await;
    browser.enter("iframe").await;
    browser.until("return window.go").await;
    browser
        .until("return document.getElementById('live').textContent === 'Sending your card …'")
        .await;
    // What is seen is a line over the form.
    let line = browser
        .run("return getComputedStyle(document.getElementById('card'), '::after').height")
        .await;
    assert_eq!(line, "3px");
    // The frame would have said by now that it is higher.
    browser
        .run("return new Promise((drawn) => setTimeout(drawn, 300))")
        .await;
    browser.leave().await;
    assert_eq!(browser.run(top).await, before);
    browser.enter("iframe").await;
    browser.run("window.go()").await;
    browser.leave().await;
    browser.until("return window.made").await;
}

#[actix_web::test]
async fn until_it_is_ready_the_form_is_a_skeleton_in_the_pages_colours() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    let session = secret.split("_secret_").next().unwrap();
    // A page whose loader never comes.
    let page = format!(
        r#"<!doctype html><html lang="en"><title>Slow</title><style>:root{{color-scheme:dark}}</style>
        <button id="before">Before</button><iframe title="Card" width="400" height="200"
        src="{}/fields/v1/frame?session={session}&scheme=dark"></iframe><button id="pay">Pay</button></html>"#,
        shop.app.at.capture
    );
    shop.site.put("/slow", "text/html", &[], &page);
    browser.go(&shop.site.url("/slow")).await;
    browser.enter("iframe").await;
    browser
        .until("return document.readyState === 'complete'")
        .await;
    let places = "return ['number', 'expiry', 'cvc'].map((id) => {
        const [field, place] = [document.getElementById(id), document.getElementById(id).parentElement];
        const { backgroundColor, opacity } = getComputedStyle(place);
        return [getComputedStyle(field).visibility, backgroundColor, opacity, place.offsetHeight > 40] })";
    let bar = json!(["hidden", "rgba(136, 136, 136, 0.533)", "0.25", true]);
    assert_eq!(browser.run(places).await, json!([bar, bar, bar]));
    // In the dark from the first paint.
    let scheme = "return getComputedStyle(document.documentElement).colorScheme";
    assert_eq!(browser.run(scheme).await, "dark");
    browser.picture("skeleton-dark").await;
    // Nobody types into what is not there yet.
    browser.leave().await;
    browser
        .run("document.getElementById('before').focus()")
        .await;
    browser.press(TAB, false).await;
    let mut at = browser.run("return document.activeElement.id").await;
    if at == "" {
        // Chromium stops at the frame itself.
        browser.enter("iframe").await;
        let within = browser.run("return document.activeElement.tagName").await;
        assert_eq!(within, "BODY");
        browser.leave().await;
        browser.press(TAB, false).await;
        at = browser.run("return document.activeElement.id").await;
    }
    assert_eq!(at, "pay");
    // With its shop's page the same form has fields.
    shop.visit(&browser, &json!({})).await;
    browser.enter("iframe").await;
    let there = json!(["visible", "rgba(0, 0, 0, 0)", "1", true]);
    assert_eq!(browser.run(places).await, json!([there, there, there]));
}

#[actix_web::test]
async fn a_phones_keyboard_says_next_and_at_the_last_field_done() {
    let (_shop, browser) = visited(&json!({})).await;
    for (options, keys) in [
        (
            json!({}),
            json!([["number", "next"], ["expiry", "next"], ["cvc", "done"]]),
        ),
        (
            json!({ "name": true, "postalCode": true, "expiry": "split" }),
            json!([
                ["name", "next"],
                ["number", "next"],
                ["month", "next"],
                ["year", "next"],
                ["cvc", "next"],
                ["postal", "done"]
            ]),
        ),
    ] {
        browser
            .run_with(
                "window.card.update({ ...arguments[0], title: 'Card' })",
                json!([options]),
            )
            .await;
        browser.enter("iframe").await;
        let seen = "return [...document.querySelectorAll('input')].filter((e) => e.checkVisibility()).map((e) => [e.id, e.getAttribute('enterkeyhint')])";
        browser
            .until(&format!(
                "return (() => {{ {seen} }})().length === {}",
                keys.as_array().unwrap().len()
            ))
            .await;
        assert_eq!(browser.run(seen).await, keys);
        browser.leave().await;
    }
}

#[actix_web::test]
async fn the_browsers_own_font_size_makes_fields_and_labels_grow() {
    let shop = Shop::open();
    let sizes =
        "const size = (at) => parseFloat(getComputedStyle(document.querySelector(at)).fontSize);
        return [size('#number'), size('label'), document.getElementById('number').offsetHeight]";
    for (own_px, theme, expected) in [
        (16, json!({}), json!([16, 14, 46])),
        (24, json!({}), json!([24, 21, 69])),
        (24, json!({ "fontSize": "1.25rem" }), json!([30, 26.25, 74])),
    ] {
        let set = json!({ "prefs": { "webkit.webprefs.default_font_size": own_px } });
        let browser = Browser::chromium_that(&shop.app, &set).await;
        shop.visit(&browser, &json!({ "theme": theme })).await;
        browser.enter("iframe").await;
        assert_eq!(browser.run(sizes).await, expected);
        // Nothing of a grown form is cut off.
        browser
            .until("return document.documentElement.scrollHeight <= window.innerHeight")
            .await;
        let cut = "return [...document.querySelectorAll('input')].filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth).length";
        assert_eq!(browser.run(cut).await, 0);
    }
}

#[actix_web::test]
async fn inline_the_fields_stand_in_one_row_and_errors_under_it_in_every_language() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    browser.resize(760, 500).await;
    shop.visit(&browser, &json!({ "layout": "inline" })).await;
    type_card(&shop, &browser, "4242424242424241", "12/20", "12").await;
    browser.run("window.pay()").await;
    browser
        .until("return window.refused?.code === 'invalid'")
        .await;
    for language in [
        "en", "ar", "da", "de", "es", "fr", "he", "it", "ja", "nl", "pl", "pt", "sv",
    ] {
        browser
            .run_with(
                "window.card.update({ locale: arguments[0] })",
                json!([language]),
            )
            .await;
        browser.enter("iframe").await;
        browser
            .until(&format!(
                "return document.documentElement.lang === '{language}'"
            ))
            .await;
        let rows = browser
            .run(
                "const of = (kind) => ['number', 'expiry', 'cvc'].map((id) => document.querySelector(kind(id)).getBoundingClientRect());
                const one = (all) => Math.max(...all) - Math.min(...all) < 1;
                const [labels, fields, errors] = [of((id) => `label[for=${id}]`), of((id) => `#${id}`), of((id) => `#${id}-error`)];
                return [one(fields.map((e) => e.top)), one(fields.map((e) => e.bottom)), one(errors.map((e) => e.top)),
                    errors.every((e) => e.height > 0 && e.top >= fields[0].bottom), one(labels.map((e) => e.bottom)),
                    [0, 1, 2].every((at) => Math.abs(errors[at].left - fields[at].left) < 1)]",
            )
            .await;
        assert_eq!(
            rows,
            json!([true, true, true, true, true, true]),
            "{language}"
        );
        browser.leave().await;
        if language == "de" {
            browser.picture("inline-errors-de").await;
        }
    }
}

#[actix_web::test]
async fn where_colours_are_the_readers_shapes_say_what_is_wrong_and_where_the_focus_is() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let forced = json!({ "features": [{ "name": "forced-colors", "value": "active" }] });
    browser.devtools("Emulation.setEmulatedMedia", forced).await;
    // The hosted page is the same form; the readers' colours of a test reach no frame.
    let secret = shop.secret().await;
    let session = secret.split("_secret_").next().unwrap();
    let page = format!("{}/pay/{session}#{secret}", shop.app.at.capture);
    browser.go(&page).await;
    let forced = "return matchMedia('(forced-colors: active)').matches && !document.getElementById('save').hidden";
    browser.until(forced).await;
    shop.app
        .note_sent(&json!({ "card": { "number": "4242424242424241" } }));
    browser.fill("#number", "4242424242424241").await;
    browser.fill("#expiry", "1234").await;
    browser.fill("#cvc", "123").await;
    browser.picture("forced-colours").await;
    // No colour among them: right, wrong, each with the focus and without.
    let shapes = browser
        .run(
            "const shape = (id) => {
                const { borderTopStyle, borderTopWidth, outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(document.getElementById(id));
                return outlineStyle === 'none' ? `${borderTopStyle} ${borderTopWidth}` : `${borderTopStyle} ${borderTopWidth} ${outlineStyle} ${outlineWidth} ${outlineOffset}`;
            };
            document.getElementById('cvc').focus();
            const away = [shape('expiry'), shape('number')];
            document.getElementById('expiry').focus();
            const right = shape('expiry');
            document.getElementById('number').focus();
            return [...away, right, shape('number')]",
        )
        .await;
    let mut different: Vec<&str> = shapes
        .as_array()
        .unwrap()
        .iter()
        .map(|shape| shape.as_str().unwrap())
        .collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 4, "{shapes}");
    // What says that something is under way, where fields will be and what is a button is drawn in a
    // colour of the reader's, and not painted over.
    let drawn = browser
        .run(
            "const canvas = Object.assign(document.createElement('p'), { id: 'canvas' });
            document.body.append(canvas); canvas.style.backgroundColor = 'Canvas';
            const behind = getComputedStyle(canvas).backgroundColor; canvas.remove();
            document.getElementById('card').ariaBusy = 'true';
            const line = getComputedStyle(document.getElementById('card'), '::after').backgroundColor;
            document.body.classList.add('waiting');
            const { outlineStyle } = getComputedStyle(document.querySelector('.control'));
            const { borderTopColor } = getComputedStyle(document.getElementById('save'));
            return [line !== behind, outlineStyle, borderTopColor !== behind && borderTopColor !== 'rgba(0, 0, 0, 0)']",
        )
        .await;
    assert_eq!(drawn, json!([true, "solid", true]));
}

#[actix_web::test]
async fn of_several_errors_the_first_is_said_where_the_focus_goes() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    for (options, first, said) in [
        (json!({}), "number", "Enter the full card number."),
        (
            json!({ "name": true }),
            "name",
            "Enter the name on the card.",
        ),
    ] {
        shop.visit(&browser, &options).await;
        browser.enter("iframe").await;
        browser
            .run(
                "window.said = [];
                new MutationObserver(() => said.push(document.getElementById('live').textContent))
                    .observe(document.getElementById('live'), { childList: true, characterData: true, subtree: true })",
            )
            .await;
        browser.leave().await;
        browser.run("window.pay()").await;
        browser.until("return window.refused").await;
        browser.enter("iframe").await;
        // Longer than whatever is said waits.
        browser
            .run("return new Promise((over) => setTimeout(over, 500))")
            .await;
        let heard = browser
            .run("return [document.activeElement.id, document.querySelectorAll('[aria-invalid=true]').length > 2, said.filter((text) => text)]")
            .await;
        assert_eq!(heard, json!([first, true, [said]]));
        browser.leave().await;
    }
    ready(&browser).await;
}
