//! The way of a payment when it is not the straight one: the issuer's page, a decline, a lost
//! network, impatient fingers, pages that come back.

use std::process::Command;

use hyper::Method;
use serde_json::{Value, json};

use crate::checkout::{Shop, ready, type_card};
use crate::driver::{BACKSPACE, Browser, ENTER, TAB};
use crate::support::{Who, eventually};

const VISA: &str = "4242424242424242";
/// Asks for 3-D Secure when it is saved, and not again.
const ASKS_ONCE: &str = "4000002500003155";

async fn paid(browser: &Browser) -> Value {
    let made = browser.until("return window.made ?? window.refused").await;
    assert_eq!(made["status"], "active", "{made} {:?}", browser.log().await);
    made
}

/// `PaymentMethod`s that the processor has really made.
async fn vaulted(shop: &Shop) -> u64 {
    let ledger = shop.app.ledger().await;
    ledger["payment_methods"]
        .as_array()
        .map_or(0, Vec::len)
        .try_into()
        .unwrap()
}

#[actix_web::test]
async fn the_issuers_page_is_visited_and_left_for_the_shop_with_the_token() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    for (button, status) in [("complete", "succeeded"), ("fail", "failed")] {
        let secret = shop.visit(&browser, &json!({})).await;
        type_card(&shop, &browser, ASKS_ONCE, "1234", "123").await;
        browser.click("#pay").await;
        browser
            .until("return document.querySelector('h1')?.textContent === '3-D Secure test page'")
            .await;
        browser.click(&format!("button[value={button}]")).await;
        let back = browser
            .until("return window.back?.session && window.back")
            .await;
        assert_eq!(back["status"], status);
        assert_eq!(back["session"], secret.split("_secret_").next().unwrap());
        let token = back["token"].as_str().unwrap();
        assert!(token.starts_with("test_tok_"), "{back}");
        // The address bar is the shop's own again, and nothing waits in the tab's storage.
        assert_eq!(browser.url().await, shop.site.url("/checkout"));
        assert_eq!(
            browser
                .run("return sessionStorage.length + localStorage.length")
                .await,
            0
        );
        if status == "succeeded" {
            let url = format!("{}/v1/tokens/{token}", shop.app.at.internal);
            eventually("the token is active", || async {
                shop.app.get(Who::Billing, &url).await.json()["status"] == "active"
            })
            .await;
            let charged = shop.app.charge(token, "order-3ds").await.json();
            assert_eq!(charged["status"], "succeeded", "{charged}");
        }
    }
}

#[actix_web::test]
async fn a_shop_may_go_to_the_issuers_page_itself() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.site.put(
        "/basket",
        "text/html",
        &[],
        "<!doctype html><title>Basket</title>Basket",
    );
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, ASKS_ONCE, "1234", "123").await;
    browser.run("return card.tokenize({ redirect: 'manual', returnPath: '/basket?id=7' }).then((m) => { window.made = m })").await;
    let made = browser.until("return window.made").await;
    assert_eq!(made["status"], "requires_action");
    browser.go(made["redirectUrl"].as_str().unwrap()).await;
    browser.click("button[value=complete]").await;
    browser
        .until("return location.pathname === '/basket'")
        .await;
    let url = browser.url().await;
    assert!(
        url.starts_with(&shop.site.url("/basket?id=7&cloakroom_session=test_cs_")),
        "{url}"
    );
    assert!(url.ends_with("&cloakroom_status=succeeded"), "{url}");
}

#[actix_web::test]
async fn a_declined_card_stays_typed_and_only_what_is_wrong_is_typed_again() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.declines_at_once().await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, "4000000000000127", "1234", "999").await;
    browser.click("#pay").await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(refused["code"], "declined", "{refused}");
    assert_eq!(refused["field"], "cvc");
    browser.enter("iframe").await;
    assert_eq!(browser.value("#number").await, "4000 0000 0000 0127");
    assert_eq!(
        browser.text("#cvc-error").await,
        "This security code is not right."
    );
    assert_eq!(browser.run("return document.activeElement.id").await, "cvc");
    // Another card, in the same session.
    shop.app.note_sent(&json!({ "card": { "number": VISA } }));
    browser.click("#number").await;
    browser.press(&BACKSPACE.repeat(20), false).await;
    browser.press(VISA, false).await;
    browser.leave().await;
    browser.click("#pay").await;
    paid(&browser).await;
}

#[actix_web::test]
async fn a_lost_answer_is_asked_for_again_and_the_card_is_vaulted_once() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    let before = vaulted(&shop).await;
    browser.enter("iframe").await;
    // The service has done its work each time; the answers do not arrive, four times.
    browser
        .run(
            "const real = window.fetch; window.sent = [];
              window.fetch = async (url, given) => {
                window.sent.push(given.headers['Idempotency-Key']);
                const answer = await real(url, given);
                if (window.sent.length <= 4) throw new TypeError('lost');
                return answer;
              }",
        )
        .await;
    browser.leave().await;
    browser.click("#pay").await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(
        (&refused["code"], &refused["retryable"]),
        (&json!("network"), &json!(true))
    );
    browser.enter("iframe").await;
    let notice = browser.text("#notice").await;
    assert_eq!(notice, "No connection. Nothing was lost: please try again.");
    assert_eq!(browser.value("#number").await, "4242 4242 4242 4242");
    browser.leave().await;
    browser.click("#pay").await;
    paid(&browser).await;
    browser.enter("iframe").await;
    let sent = browser.run("return window.sent").await;
    let sent = sent.as_array().unwrap();
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|key| key == &sent[0]), "{sent:?}");
    assert_eq!(vaulted(&shop).await, before + 1);
}

#[actix_web::test]
async fn a_service_that_is_slow_is_waited_for_and_the_shopper_is_told() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    let signal = |name: &str| {
        let process = shop.app.pid().to_string();
        let sent = Command::new("kill")
            .args([name, &process])
            .status()
            .unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    browser.click("#pay").await;
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('#notice').textContent === 'Sending your card …'")
        .await;
    assert_eq!(
        browser
            .run("return document.querySelector('#card').ariaBusy")
            .await,
        "true"
    );
    browser.until("return document.querySelector('#notice').textContent.startsWith('This takes longer than usual')").await;
    browser.leave().await;
    signal("-CONT");
    paid(&browser).await;
}

#[actix_web::test]
async fn impatient_fingers_make_one_request() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.enter("iframe").await;
    browser.run("const real = window.fetch; window.sent = 0; window.fetch = (...all) => { window.sent += 1; return real(...all) }").await;
    browser.leave().await;
    browser
        .run("for (let i = 0; i < 5; i += 1) document.getElementById('pay').click()")
        .await;
    paid(&browser).await;
    // Once more, now that the session is used up: the form knows, and asks nobody.
    browser.run("delete window.refused; window.pay()").await;
    assert_eq!(
        browser.until("return window.refused").await["code"],
        "session_over"
    );
    browser.enter("iframe").await;
    assert_eq!(browser.run("return window.sent").await, 1);
    assert_eq!(
        browser
            .run("return [...document.querySelectorAll('input')].every((e) => e.readOnly)")
            .await,
        true
    );
}

#[actix_web::test]
async fn enter_in_a_field_asks_the_shop_to_submit() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.enter("iframe").await;
    browser.click("#cvc").await;
    browser.press(ENTER, false).await;
    browser.leave().await;
    browser
        .until("return window.events.some(([name]) => name === 'submit')")
        .await;
}

#[actix_web::test]
async fn mounting_twice_hiding_and_unmounting_do_what_they_say() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    // Mounting again, in the same place or another, is no second form and loses nothing.
    browser.run("card.mount('#card'); card.mount(document.querySelector('main')); card.hide(); card.show()").await;
    assert_eq!(
        browser
            .run("return document.querySelectorAll('iframe').length")
            .await,
        1
    );
    browser.enter("iframe").await;
    assert_eq!(browser.value("#number").await, "4242 4242 4242 4242");
    browser.leave().await;
    browser.run("card.clear()").await;
    browser
        .until("return window.events.findLast(([n]) => n === 'change')[1].empty")
        .await;
    // Taken away and put back, as some frameworks do in development: an empty form that works.
    browser
        .run("card.unmount(); window.events.length = 0; window.pay()")
        .await;
    assert_eq!(
        browser.until("return window.refused").await["code"],
        "not_ready"
    );
    assert_eq!(
        browser
            .run("return document.querySelectorAll('iframe').length")
            .await,
        0
    );
    browser
        .run("delete window.refused; card.mount('#card')")
        .await;
    ready(&browser).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    paid(&browser).await;
}

#[actix_web::test]
async fn a_session_that_is_used_or_unknown_is_said_to_be_over() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    let used = shop
        .app
        .post_card(&secret, &crate::support::card(VISA), &[])
        .await;
    assert_eq!(used.status, 201);
    shop.checkout(&secret, &json!({}));
    browser.go(&shop.site.url("/checkout")).await;
    ready(&browser).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    assert_eq!(
        browser.until("return window.refused").await["code"],
        "session_over"
    );
    browser.enter("iframe").await;
    assert_eq!(
        browser.text("#notice").await,
        "This form has expired. Please reload the page."
    );
    browser.leave().await;
    // One that nobody has made: the frame does not come, and the shop is told.
    let unknown = secret.replace("test_cs_01", "test_cs_00");
    shop.checkout(&unknown, &json!({}));
    browser.go(&shop.site.url("/checkout")).await;
    let told = browser
        .until("return window.events?.find(([name]) => name === 'error')")
        .await;
    assert_eq!(told, json!(["error", "unavailable"]));
}

#[actix_web::test]
async fn nothing_that_was_typed_waits_behind_the_back_button() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    shop.site.put(
        "/elsewhere",
        "text/html",
        &[],
        "<!doctype html><title>Elsewhere</title>Elsewhere",
    );
    browser.go(&shop.site.url("/elsewhere")).await;
    browser.back().await;
    ready(&browser).await;
    browser.enter("iframe").await;
    for field in ["#number", "#expiry", "#cvc"] {
        assert_eq!(browser.value(field).await, "", "{field}");
    }
    // And the form works.
    browser.leave().await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    paid(&browser).await;
}

#[actix_web::test]
async fn a_plain_form_with_the_element_is_submitted_with_the_token() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    let capture = &shop.app.at.capture;
    shop.site.put(
        "/done",
        "text/html",
        &[],
        "<!doctype html><title>Done</title><h1>Done</h1>",
    );
    let page = format!(
        r#"<!doctype html><html lang="en"><title>Form</title>
        <script type="module" src="{capture}/fields/v1/loader.js"></script>
        <form action="/done"><input name="item" value="7">
        <cloakroom-card name="token" client-secret="{secret}" layout="inline"></cloakroom-card>
        <button name="go" value="1">Pay</button></form></html>"#
    );
    let policy = format!(
        "default-src 'none'; script-src {capture}/fields/v1/; frame-src {capture}/fields/v1/; form-action 'self'"
    );
    shop.site.put(
        "/form",
        "text/html",
        &[("content-security-policy", &policy)],
        &page,
    );
    browser.go(&shop.site.url("/form")).await;
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('label').textContent !== ''")
        .await;
    browser.leave().await;
    // With nothing in it the form is not sent, and the shopper sees why.
    browser.click("button").await;
    browser.enter("iframe").await;
    browser
        .until("return document.querySelector('#number-error').textContent !== ''")
        .await;
    browser.leave().await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.enter("iframe").await;
    browser.click("#cvc").await;
    browser.press(TAB, false).await;
    browser.leave().await;
    browser.click("button").await;
    browser.until("return document.title === 'Done'").await;
    let url = browser.url().await;
    assert!(
        url.starts_with(&shop.site.url("/done?item=7&token=test_tok_")),
        "{url}"
    );
    assert!(url.ends_with("&go=1"), "{url}");
    // Somebody who is charged must be somebody.
    let token = url
        .split("token=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let charged = shop.app.charge(token, "order-form").await;
    assert_eq!(charged.json()["status"], "succeeded");
}

#[actix_web::test]
async fn the_hosted_page_takes_the_card_and_leads_back_to_the_shop() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    shop.site.put(
        "/thanks",
        "text/html",
        &[],
        "<!doctype html><title>Thanks</title>Thanks",
    );
    for number in [VISA, ASKS_ONCE] {
        let secret = shop.secret().await;
        let session = secret.split("_secret_").next().unwrap().to_owned();
        browser
            .go(&format!(
                "{}/pay/{session}?return=/thanks%3Forder%3D7#{secret}",
                shop.app.at.capture
            ))
            .await;
        browser
            .until("return !document.getElementById('save').hidden")
            .await;
        // The secret has left the address bar before anything else is done.
        assert!(
            !browser.url().await.contains("secret"),
            "{}",
            browser.url().await
        );
        shop.app.note_sent(&json!({ "card": { "number": number } }));
        assert_eq!(
            browser.run("return document.activeElement.id").await,
            "number"
        );
        browser.press(number, false).await;
        browser.press(TAB, false).await;
        browser.press("1234", false).await;
        browser.press(TAB, false).await;
        browser.press("123", false).await;
        browser.press(ENTER, false).await;
        if number == ASKS_ONCE {
            browser
                .until(
                    "return document.querySelector('h1')?.textContent === '3-D Secure test page'",
                )
                .await;
            browser.click("button[value=complete]").await;
        }
        browser.until("return document.title === 'Thanks'").await;
        let url = browser.url().await;
        let start = shop
            .site
            .url(&format!("/thanks?order=7&cloakroom_session={session}&"));
        assert!(url.starts_with(&start), "{url}");
        let token = url.split("cloakroom_token=").nth(1).unwrap().to_owned();
        let read = format!("{}/v1/tokens/{token}", shop.app.at.internal);
        eventually("the token is active", || async {
            shop.app.get(Who::Billing, &read).await.json()["status"] == "active"
        })
        .await;
    }
    assert_eq!(browser.log().await, Vec::<String>::new());
    // Without its secret, or for a session that nobody made, the page takes nothing.
    let secret = shop.secret().await;
    let session = secret.split("_secret_").next().unwrap();
    browser
        .go(&format!("{}/pay/{session}", shop.app.at.capture))
        .await;
    browser
        .until("return document.querySelector('#notice').textContent !== ''")
        .await;
    let nowhere = format!(
        "{}/pay/test_cs_00000000000000000000000000",
        shop.app.at.capture
    );
    let answer = shop
        .app
        .call(Who::Nobody, Method::GET, &nowhere, &json!({}))
        .await;
    assert_eq!(answer.status, 404);
    assert!(String::from_utf8_lossy(&answer.body).contains("no longer open"));
}

#[actix_web::test]
async fn a_shop_whose_shoppers_must_be_verified_is_told_so() {
    let shop = Shop::open_with(&[
        ("CLOAKROOM__WATCH__MODE", "enforce"),
        (
            "CLOAKROOM__WATCH__RULES",
            "{shop_guesses={hits_max=2,networks_min=1}}",
        ),
    ]);
    for _ in 0..3 {
        let secret = shop.secret().await;
        let impossible = crate::support::card("4242424242424241");
        let refused = shop.app.post_card(&secret, &impossible, &[]).await;
        assert_eq!(refused.status, 422);
    }
    let browser = Browser::chromium(&shop.app).await;
    shop.visit(&browser, &json!({})).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    let refused = browser.until("return window.refused").await;
    assert_eq!(refused["code"], "verification_required");
    browser.enter("iframe").await;
    assert_eq!(
        browser
            .run("return [...document.querySelectorAll('input')].every((e) => e.readOnly)")
            .await,
        true
    );
    browser.leave().await;
    // A session of a shopper who was verified takes the card.
    let order =
        json!({ "customer_ref": "verified", "origin": shop.site.origin, "shopper_verified": true });
    let secret = shop.secret_for(&order).await;
    shop.checkout(&secret, &json!({}));
    browser.go(&shop.site.url("/checkout")).await;
    ready(&browser).await;
    type_card(&shop, &browser, VISA, "1234", "123").await;
    browser.click("#pay").await;
    paid(&browser).await;
}
