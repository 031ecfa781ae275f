//! What happens while a card is typed, pasted or filled in: what stands in the field, where the
//! caret is, what is said and when.

use serde_json::{Value, json};

use crate::checkout::{Shop, ready};
use crate::driver::{BACKSPACE, Browser, LEFT, TAB};

/// Empties a field and pastes into it, as a clipboard or a browser's autofill would: the text is
/// there at once, and an event says so.
const INSERT: &str = "
    const field = document.querySelector(arguments[0]);
    for (const each of document.querySelectorAll('input')) each.value = '';
    field.focus();
    field.value = arguments[1];
    field.dispatchEvent(new InputEvent('input', { bubbles: true, inputType: arguments[2] }));
    field.blur();
    const error = document.getElementById(field.getAttribute('aria-describedby')).textContent;
    return [field.value, error];
";

const NUMBER_INVALID: &str = "This card number is not right.";
const NUMBER_SHORT: &str = "Enter the full card number.";
const EXPIRY_INVALID: &str = "This expiry date is not right.";
const EXPIRY_SHORT: &str = "Enter the full expiry date.";
const EXPIRED: &str = "This card has expired.";

/// Field, what comes in, what stands there then, what is said.
const INSERTIONS: &[(&str, &str, &str, &str)] = &[
    ("#number", "4242424242424242", "4242 4242 4242 4242", ""),
    ("#number", "4242 4242 4242 4242", "4242 4242 4242 4242", ""),
    ("#number", "4242-4242-4242-4242", "4242 4242 4242 4242", ""),
    (
        "#number",
        " 4242\u{a0}4242\u{a0}4242\u{a0}4242 ",
        "4242 4242 4242 4242",
        "",
    ),
    (
        "#number",
        "4242\u{2009}4242\u{2013}4242\t4242",
        "4242 4242 4242 4242",
        "",
    ),
    (
        "#number",
        "4242.4242.4242.4242\n",
        "4242 4242 4242 4242",
        "",
    ),
    (
        "#number",
        "Visa 4242 4242 4242 4242",
        "4242 4242 4242 4242",
        "",
    ),
    (
        "#number",
        "４２４２４２４２４２４２４２４２",
        "4242 4242 4242 4242",
        "",
    ),
    ("#number", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "4242 4242 4242 4242", ""),
    ("#number", "۴۲۴۲۴۲۴۲۴۲۴۲۴۲۴۲", "4242 4242 4242 4242", ""),
    ("#number", "४२४२४२४२४२४२४२४२", "4242 4242 4242 4242", ""),
    ("#number", "378282246310005", "3782 822463 10005", ""),
    ("#number", "3782-822463-10005", "3782 822463 10005", ""),
    (
        "#number",
        "3622720627166 7".trim_ascii(),
        "3622 720627 1667",
        "",
    ),
    ("#number", "5555555555554444", "5555 5555 5555 4444", ""),
    ("#number", "2223003122003222", "2223 0031 2200 3222", ""),
    ("#number", "6011111111111117", "6011 1111 1111 1117", ""),
    ("#number", "3566002020360505", "3566 0020 2036 0505", ""),
    (
        "#number",
        "6205500000000000004",
        "6205 5000 0000 0000 004",
        "",
    ),
    (
        "#number",
        "4242424242424241",
        "4242 4242 4242 4241",
        NUMBER_INVALID,
    ),
    ("#number", "42424242", "4242 4242", NUMBER_SHORT),
    ("#number", "not a number", "", ""),
    ("#number", "55555555555544445555", "5555 5555 5555 4444", ""),
    ("#expiry", "12/34", "12 / 34", ""),
    ("#expiry", "1234", "12 / 34", ""),
    ("#expiry", "12 / 34", "12 / 34", ""),
    ("#expiry", "12-34", "12 / 34", ""),
    ("#expiry", "12/2034", "12 / 2034", ""),
    ("#expiry", "122034", "12 / 2034", ""),
    ("#expiry", "2034-12", "12 / 2034", ""),
    ("#expiry", "1/34", "01 / 34", ""),
    ("#expiry", "5.2034", "05 / 2034", ""),
    ("#expiry", "534", "05 / 34", ""),
    ("#expiry", "١٢/٣٤", "12 / 34", ""),
    ("#expiry", "12/20", "12 / 20", EXPIRED),
    ("#expiry", "12/", "12 / ", EXPIRY_SHORT),
    ("#expiry", "00/34", "00 / 34", EXPIRY_INVALID),
    ("#expiry", "12/99", "12 / 99", EXPIRY_INVALID),
    ("#cvc", "123", "123", ""),
    ("#cvc", " 1 2 3 ", "123", ""),
    ("#cvc", "１２３", "123", ""),
    ("#cvc", "12345", "1234", ""),
    ("#cvc", "12", "12", "Enter the full security code."),
];

pub(crate) async fn insertions(browser: &Browser) {
    browser.enter("iframe").await;
    for (field, given, stands, said) in INSERTIONS {
        for kind in ["insertFromPaste", "insertReplacementText"] {
            let found = browser.run_with(INSERT, json!([field, given, kind])).await;
            assert_eq!(found, json!([stands, said]), "{field} {given:?} {kind}");
        }
    }
    browser.leave().await;
}

#[actix_web::test]
async fn forty_ways_to_paste_and_autofill_end_in_the_same_card() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    insertions(&browser).await;
}

/// The value and the caret of the field that has the focus.
async fn caret(browser: &Browser) -> (String, u64) {
    let found = browser
        .run("const a = document.activeElement; return [a.value, a.selectionStart]")
        .await;
    (
        found[0].as_str().unwrap().to_owned(),
        found[1].as_u64().unwrap(),
    )
}

#[actix_web::test]
async fn the_caret_stays_beside_the_digit_it_was_beside() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    browser.enter("iframe").await;
    browser.click("#number").await;
    browser.press("42424242", false).await;
    assert_eq!(caret(&browser).await, ("4242 4242".into(), 9));
    // In the middle: what is typed stays together, and the rest moves.
    browser.press(&LEFT.repeat(6), false).await;
    browser.press("99", false).await;
    assert_eq!(caret(&browser).await, ("4249 9242 42".into(), 6));
    // Backspace takes the digit that was typed last, and then the one before the space.
    browser.press(BACKSPACE, false).await;
    assert_eq!(caret(&browser).await, ("4249 2424 2".into(), 4));
    browser.press(BACKSPACE, false).await;
    assert_eq!(caret(&browser).await, ("4242 4242".into(), 3));
    browser.press("2", false).await;
    browser
        .run("document.activeElement.setSelectionRange(5, 5)")
        .await;
    browser.press(BACKSPACE, false).await;
    assert_eq!(caret(&browser).await.0, "4242 4242");
    // The slash comes by itself, and goes with the digit before it.
    browser.click("#expiry").await;
    browser.press("5", false).await;
    assert_eq!(caret(&browser).await, ("05 / ".into(), 5));
    browser.press("34", false).await;
    assert_eq!(caret(&browser).await, ("05 / 34".into(), 7));
    browser.press(&BACKSPACE.repeat(2), false).await;
    assert_eq!(caret(&browser).await.0, "05");
    browser.press(BACKSPACE, false).await;
    assert_eq!(caret(&browser).await.0, "0");
}

#[actix_web::test]
async fn an_error_is_said_when_the_field_is_left_and_goes_when_it_is_mended() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    browser.enter("iframe").await;
    browser.click("#number").await;
    browser.press("424242424242424", false).await;
    assert_eq!(browser.text("#number-error").await, "");
    browser.press(TAB, false).await;
    assert_eq!(browser.text("#number-error").await, NUMBER_SHORT);
    browser
        .until(
            "return document.querySelector('#live').textContent === 'Enter the full card number.'",
        )
        .await;
    let invalid = "return document.querySelector('#number').getAttribute('aria-invalid')";
    assert_eq!(browser.run(invalid).await, "true");
    browser.press(TAB, true).await;
    browser
        .run("document.activeElement.setSelectionRange(99, 99)")
        .await;
    browser.press("2", false).await;
    assert_eq!(browser.text("#number-error").await, "");
    assert_eq!(browser.run(invalid).await, "false");
    // The brand is a picture, and it decides how long the code is.
    let brand = "return document.querySelector('#brand').getAttribute('href')";
    assert_eq!(browser.run(brand).await, "#brand-visa");
    let code = "return document.querySelector('#cvc').maxLength";
    assert_eq!(browser.run(code).await, 3);
    browser
        .run_with(INSERT, json!(["#number", "378282246310005", ""]))
        .await;
    assert_eq!(browser.run(brand).await, "#brand-amex");
    assert_eq!(browser.run(code).await, 4);
    // The shop's page has seen the brand and the error's name, and no key.
    browser.leave().await;
    let seen = browser
        .run("return window.events.filter(([name]) => name === 'change').map(([, state]) => state)")
        .await;
    let seen = seen.as_array().unwrap();
    assert!(seen.len() < 8, "{seen:?}");
    assert!(
        seen.iter()
            .any(|state| state["error"] == "number_incomplete")
    );
    for state in seen {
        let mut names: Vec<&String> = state.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["brand", "complete", "empty", "error"]);
    }
}

/// Where the focus goes, from before the form to behind it and back.
pub(crate) async fn tabs(browser: &Browser) {
    let at = "return document.activeElement.id || document.activeElement.tagName";
    browser
        .run("document.getElementById('before').focus()")
        .await;
    for back in [false, true] {
        let mut fields = ["number", "expiry", "cvc"];
        if back {
            fields.reverse();
        }
        for field in fields {
            browser.press(TAB, back).await;
            assert_eq!(browser.run(at).await, "IFRAME", "{field} {back}");
            browser.enter("iframe").await;
            assert_eq!(browser.run(at).await, field);
            browser.leave().await;
        }
        browser.press(TAB, back).await;
        assert_eq!(browser.run(at).await, if back { "before" } else { "pay" });
    }
}

#[actix_web::test]
async fn tab_goes_through_the_page_and_the_fields_both_ways() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    tabs(&browser).await;
}

#[actix_web::test]
async fn thirteen_languages_have_every_word_and_two_run_from_right_to_left() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({ "name": true, "postalCode": true }))
        .await;
    let languages = [
        "en", "ar", "da", "de", "es", "fr", "he", "it", "ja", "nl", "pl", "pt", "sv",
    ];
    let mut labels = std::collections::BTreeSet::new();
    for language in languages {
        browser
            .run_with(
                "window.card.update({ locale: arguments[0] })",
                json!([format!("{language}-XX")]),
            )
            .await;
        browser.enter("iframe").await;
        browser
            .until(&format!(
                "return document.documentElement.lang === '{language}'"
            ))
            .await;
        let direction = browser.run("return document.documentElement.dir").await;
        let expected = if ["ar", "he"].contains(&language) {
            "rtl"
        } else {
            "ltr"
        };
        assert_eq!(direction, expected, "{language}");
        let words = browser
            .run("return [...document.querySelectorAll('label, legend')].map((e) => e.textContent)")
            .await;
        assert!(
            words.as_array().unwrap().iter().all(|word| word != ""),
            "{language} {words}"
        );
        labels.insert(words[1].as_str().unwrap().to_owned());
        // Each error has words as well: none falls back to nothing.
        let said = browser
            .run_with(INSERT, json!(["#expiry", "12/20", ""]))
            .await;
        assert_ne!(said[1], "", "{language}");
        browser.leave().await;
    }
    assert!(labels.len() >= languages.len() - 1, "{labels:?}");
    // A language that is not there is English; a wrong one is dropped with its message.
    browser.run("window.card.update({ locale: 'tlh' })").await;
    browser.enter("iframe").await;
    browser
        .until("return document.documentElement.lang === 'en'")
        .await;
}

#[actix_web::test]
async fn autofill_finds_each_field_by_its_standard_name() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(
        &browser,
        &json!({ "name": true, "postalCode": true, "country": "US", "expiry": "split" }),
    )
    .await;
    browser.enter("iframe").await;
    let seen = browser
        .run("return [...document.querySelectorAll('input')].filter((e) => e.checkVisibility()).map((e) => [e.autocomplete, e.inputMode])")
        .await;
    assert_eq!(
        seen,
        json!([
            ["cc-name", ""],
            ["cc-number", "numeric"],
            ["cc-exp-month", "numeric"],
            ["cc-exp-year", "numeric"],
            ["cc-csc", "numeric"],
            ["billing postal-code", "numeric"],
        ])
    );
    assert_eq!(browser.text("label[for=postal]").await, "ZIP code");
    let filled = browser
        .run(
            "const fill = (id, value) => { const e = document.getElementById(id); e.value = value;
           e.dispatchEvent(new InputEvent('input', { bubbles: true })); };
         fill('name', 'Ada Lovelace'); fill('number', '4242424242424242'); fill('month', '7');
         fill('year', '2034'); fill('cvc', '123'); fill('postal', '94107');
         return [...document.querySelectorAll('.error')].map((e) => e.textContent).join('')",
        )
        .await;
    assert_eq!(filled, "");
    browser.leave().await;
    shop.app
        .note_sent(&json!({ "card": { "number": "4242424242424242" } }));
    browser.click("#pay").await;
    let made = browser.until("return window.made ?? window.refused").await;
    assert_eq!(made["card"]["exp_month"], 7, "{made}");
    assert_eq!(made["card"]["exp_year"], Value::from(2034));
}

#[actix_web::test]
async fn a_shop_dresses_the_form_with_what_is_allowed_and_nothing_else() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let theme = json!({ "accent": "#0a7", "radius": "3px", "fontFamily": "Georgia, serif", "text": "rgb(20 20 20)" });
    shop.visit(&browser, &json!({ "theme": theme, "scheme": "light" }))
        .await;
    let style = "const s = document.documentElement.style; return [...s].map((name) => name + ': ' + s.getPropertyValue(name)).join('; ')";
    browser.enter("iframe").await;
    assert_eq!(
        browser.run(style).await,
        "--accent: #0a7; --font-family: Georgia, serif; --radius: 3px; --text: rgb(20 20 20)"
    );
    browser.leave().await;
    let hostile = [
        json!({ "accent": "url(https://evil.example/x)" }),
        json!({ "accent": "red; background: url(//evil.example)" }),
        json!({ "accent": "var(--x)" }),
        json!({ "radius": "9999px" }),
        json!({ "fontSize": "1px" }),
        json!({ "fontFamily": "x;}*{color:red" }),
        json!({ "display": "none" }),
        json!({ "__proto__x": "1" }),
        json!({ "constructor": "red" }),
    ];
    for theme in &hostile {
        browser
            .run_with(
                "window.card.update({ theme: arguments[0] })",
                json!([theme]),
            )
            .await;
    }
    browser.enter("iframe").await;
    browser
        .until(&format!(
            "return Number(document.documentElement.dataset.dropped) >= {}",
            hostile.len()
        ))
        .await;
    assert!(
        browser
            .run(style)
            .await
            .as_str()
            .unwrap()
            .matches("--")
            .count()
            == 4
    );
    browser.leave().await;
    ready(&browser).await;
}
