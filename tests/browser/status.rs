//! The operator's status page as a browser shows it: for everybody, in the light, in the dark, on a
//! phone. The browser has no client certificate, so a site of the test shows it the page as it was
//! answered, under the policy that it was answered with.

use serde_json::json;

use crate::driver::Browser;
use crate::looks::accessible;
use crate::site::Site;
use crate::support::{App, VISA, Who};

#[actix_web::test]
async fn axe_finds_nothing_on_the_status_page_and_nobody_scrolls_sideways() {
    let app = App::start();
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let answer = app
        .get(Who::Admin, &format!("{}/status", app.at.internal))
        .await;
    assert_eq!(answer.status, 200);
    let policy = answer.header("content-security-policy").unwrap().to_owned();
    let page = String::from_utf8(answer.body).unwrap();
    let site = Site::start(&app);
    let headers = [("content-security-policy", policy.as_str())];
    site.put("/status", "text/html; charset=utf-8", &headers, &page);
    for (name, width, scheme) in [
        ("status-wide-light", 1_200, "light"),
        ("status-wide-dark", 1_200, "dark"),
        ("status-narrow-light", 320, "light"),
        ("status-narrow-dark", 320, "dark"),
    ] {
        let browser = Browser::chromium(&app).await;
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        browser
            .devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", scheme).await;
        browser.go(&site.url("/status")).await;
        // The style was let in by its hash.
        let spaced = "return getComputedStyle(document.querySelector('dl')).display";
        assert_eq!(browser.run(spaced).await, "grid", "{name}");
        let wide =
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(browser.run(wide).await, true, "{name}");
        accessible(&browser, name).await;
        browser.picture(name).await;
        // A machine with other fonts, or with none, sets the same words wider.
        browser
            .run("document.body.style.letterSpacing = '.6em'")
            .await;
        assert_eq!(browser.run(wide).await, true, "{name}, in a wide font");
    }
    site.stop().await;
}
