//! The page of a charge as a shopper uses it who was sent the link: the issuer's page, a failed try,
//! another, paid; and what the page says in between.

use serde_json::json;

use crate::checkout::Shop;
use crate::driver::{Browser, Kind};
use crate::looks::accessible;

const ALWAYS_AUTHENTICATED: &str = "4000002760003184";

/// Waits until the page says something that ends so.
async fn says(browser: &Browser, end: &str) {
    let text = json!(end);
    browser
        .until(&format!(
            "return document.getElementById('say')?.textContent.endsWith({text}) && !document.getElementById('go').ariaDisabled"
        ))
        .await;
}

async fn a_link_in_a_mail(kind: Kind) {
    let shop = Shop::open();
    let browser = Browser::start(kind, &shop.app).await;
    let thanks = "<!doctype html><title>Thanks</title>Thanks";
    shop.site.put("/bills", "text/html", &[], thanks);
    let token = shop.app.token(ALWAYS_AUTHENTICATED).await;
    let order = json!({ "token": token, "amount": 1250, "currency": "eur",
        "origin": shop.site.origin, "return_path": "/bills?n=7",
        "hosted_page": { "shop_name": "Little Theatre" } });
    let made = shop.app.order_charge(&order, "bill-7").await.json();
    let link = made["hosted_page"]["url"].as_str().unwrap();
    browser.go(&link.replace('#', "?locale=en-IE#")).await;
    says(&browser, "asks you to confirm this payment.").await;
    assert!(!browser.url().await.contains("secret"));
    assert_eq!(browser.text("#shop").await, "Little Theatre");
    assert_eq!(browser.text("#amount").await, "€12.50");
    accessible(&browser, "charge page").await;
    if kind == Kind::Chromium {
        browser.picture("charge-page").await;
    }
    browser.click("#go").await;
    browser.click("button[value=fail]").await;
    says(&browser, "please try again.").await;
    let url = browser.url().await;
    assert!(!url.contains('?') && !url.contains('#'), "{url}");
    accessible(&browser, "charge page, again").await;
    if kind == Kind::Chromium {
        browser.picture("charge-page-again").await;
    }
    browser.click("#go").await;
    browser.click("button[value=complete]").await;
    says(&browser, "Thank you!").await;
    // The link in the mail still says so, and nothing can be pressed.
    browser.go(link).await;
    says(&browser, "Thank you!").await;
    let hidden = browser.run("return document.getElementById('go').hidden");
    assert_eq!(hidden.await, true);
    browser.click("#back").await;
    browser.until("return document.title === 'Thanks'").await;
    let url = browser.url().await;
    let charge = made["id"].as_str().unwrap();
    assert!(
        url.ends_with(&format!("/bills?n=7&cloakroom_charge={charge}")),
        "{url}"
    );
    assert_eq!(browser.log().await, Vec::<String>::new());
}

#[actix_web::test]
async fn a_link_in_a_mail_leads_to_the_issuer_until_it_is_paid_in_chromium() {
    a_link_in_a_mail(Kind::Chromium).await;
}

#[actix_web::test]
async fn a_link_in_a_mail_leads_to_the_issuer_until_it_is_paid_in_firefox() {
    a_link_in_a_mail(Kind::Firefox).await;
}

#[actix_web::test]
async fn a_link_in_a_mail_leads_to_the_issuer_until_it_is_paid_in_safaris_engine() {
    a_link_in_a_mail(Kind::WebKit).await;
}

#[actix_web::test]
async fn a_link_that_lost_its_secret_or_is_another_charges_says_so() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let token = shop.app.token(ALWAYS_AUTHENTICATED).await;
    let order = json!({ "token": token, "amount": 1250, "currency": "eur", "hosted_page": {} });
    let made = shop.app.order_charge(&order, "bill-7").await.json();
    let link = made["hosted_page"]["url"].as_str().unwrap();
    let (at, secret) = link.split_once('#').unwrap();
    for (address, said) in [
        (at.to_owned(), "open the link in your message again."),
        (format!("{at}#{secret}x"), "This link is no longer valid."),
        (
            format!("{at}?locale=de#{secret}x"),
            "Dieser Link ist nicht mehr gültig.",
        ),
    ] {
        browser.go("about:blank").await;
        browser.go(&address).await;
        says(&browser, said).await;
    }
}
