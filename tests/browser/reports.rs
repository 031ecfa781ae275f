//! What makes the alert `CloakroomBrowserReport` go off: a changed script, a foreign script, a
//! foreign frame; and what does not: ordinary visits, with an extension that dresses every page.

use hyper::Method;
use serde_json::json;

use crate::checkout::Shop;
use crate::driver::{Browser, Kind};
use crate::site::Site;
use crate::support::{Who, eventually, request};

/// As extensions do that darken pages or fill in passwords: an element of style, a font, an icon.
const EXTENSION: &str = "const style = document.createElement('style');
    style.textContent = 'html { filter: invert(1) } @font-face { font-family: x; src: url(https://extension.example/x.woff) }';
    const icon = new Image();
    icon.src = 'https://extension.example/icon.png';
    document.documentElement.append(style, icon);";

/// A counter of browsers' reports.
async fn counted(shop: &Shop, name: &str, violated: &str) -> u64 {
    let url = format!("{}/metrics", shop.app.at.ops);
    let answer = shop.app.get(Who::Nobody, &url).await;
    let text = String::from_utf8(answer.body).unwrap();
    let line = format!("cloakroom_browser_{name}_total{{violated=\"{violated}\"}} ");
    let value = text.lines().find_map(|it| it.strip_prefix(&line));
    value.map_or(0, |value| value.parse().unwrap())
}

/// What the alert is about: what of it is not 0.
async fn alerted(shop: &Shop) -> Vec<String> {
    let url = format!("{}/metrics", shop.app.at.ops);
    let answer = shop.app.get(Who::Nobody, &url).await;
    let text = String::from_utf8(answer.body).unwrap();
    let counts = |line: &&str| line.starts_with("cloakroom_browser_report_addresses_total");
    let lines = text
        .lines()
        .filter(counts)
        .filter(|line| !line.ends_with(" 0"));
    lines.map(str::to_owned).collect()
}

async fn ordinary_visits(kind: Kind) {
    let shop = Shop::open();
    let browser = Browser::start(kind, &shop.app).await;
    let secret = shop.visit(&browser, &json!({})).await;
    browser.enter("iframe").await;
    browser.run(EXTENSION).await;
    browser.leave().await;
    // The frame says it for itself; then the hosted page does, by its own script.
    for page in ["frame", "hosted"] {
        let before = counted(&shop, "reports", "style-src-elem").await;
        if page == "hosted" {
            let session = secret.split("_secret_").next().unwrap();
            let capture = &shop.app.at.capture;
            browser
                .go(&format!("{capture}/pay/{session}#{secret}"))
                .await;
            browser
                .until("return !document.getElementById('save').hidden")
                .await;
            browser.run(EXTENSION).await;
        }
        let before = if page == "frame" { 0 } else { before };
        eventually(page, async || {
            counted(&shop, "reports", "style-src-elem").await > before
        })
        .await;
    }
    assert_eq!(alerted(&shop).await, Vec::<String>::new());
}

#[actix_web::test]
async fn ordinary_visits_in_chromium_with_an_extension_alert_nobody() {
    ordinary_visits(Kind::Chromium).await;
}

#[actix_web::test]
async fn ordinary_visits_in_firefox_with_an_extension_alert_nobody() {
    ordinary_visits(Kind::Firefox).await;
}

#[actix_web::test]
async fn ordinary_visits_in_safaris_engine_with_an_extension_alert_nobody() {
    ordinary_visits(Kind::WebKit).await;
}

/// The frame's page as somebody between the service and the browser has changed it, under the
/// headers that it was answered with. Reports go the same way back.
struct Between<'a> {
    shop: &'a Shop,
    site: Site,
}

impl Between<'_> {
    async fn shows(&self, browser: &Browser, path: &str, change: impl FnOnce(String) -> String) {
        let secret = self.shop.secret().await;
        let session = secret.split("_secret_").next().unwrap();
        let capture = &self.shop.app.at.capture;
        let url = format!("{capture}/fields/v1/frame?session={session}");
        let page = self.shop.app.get(Who::Nobody, &url).await;
        let header = |name| page.header(name).unwrap().to_owned();
        let names = [
            "content-security-policy",
            "reporting-endpoints",
            "integrity-policy",
            "cross-origin-embedder-policy",
        ];
        let headers = names.map(|name| (name, header(name)));
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, is)| (*name, is.as_str()))
            .collect();
        let text = String::from_utf8(page.body.clone()).unwrap();
        let changed = change(text.clone());
        assert_ne!(changed, text);
        self.site
            .put(path, "text/html; charset=utf-8", &headers, &changed);
        browser.go(&self.site.url(path)).await;
    }

    /// Hands on what browsers have reported.
    async fn hand_on(&self) {
        for posted in self.site.posted() {
            let url = format!("{}{}", self.shop.app.at.capture, posted.path);
            let headers = [("content-type", posted.kind.as_str())];
            let body = String::from_utf8(posted.body).unwrap();
            let report = request(Method::POST, &url, &headers, body);
            self.shop.app.send(Who::Nobody, report).await;
        }
    }
}

async fn attacks(kind: Kind) {
    // An address counts once for each thing, so each attack has a service of its own.
    for (what, violated) in [
        ("a changed byte", "script-src-elem"),
        ("a foreign script", "script-src-elem"),
        ("a foreign frame", "frame-src"),
    ] {
        let shop = Shop::open();
        let browser = Browser::start(kind, &shop.app).await;
        let foreign = Site::start(&shop.app);
        let between = Between {
            shop: &shop,
            site: Site::start(&shop.app),
        };
        foreign.put("/x.js", "text/javascript", &[], "window.stolen = true");
        foreign.put("/", "text/html", &[], "<!doctype html>Card number?");
        let change = |page: String| match what {
            "a changed byte" => page.replacen("\"use strict\";", "\"use strict\",", 1),
            "a foreign script" => {
                let script = format!("<script src=\"{}\"></script><script>", foreign.url("/x.js"));
                page.replacen("<script>", &script, 1)
            }
            _ => {
                let frame = format!("<iframe src=\"{}\"></iframe><script>", foreign.url("/"));
                page.replacen("<script>", &frame, 1)
            }
        };
        between.shows(&browser, "/frame", change).await;
        assert_eq!(
            browser.run("return window.stolen ?? null").await,
            json!(null)
        );
        eventually(what, async || {
            between.hand_on().await;
            counted(&shop, "report_addresses", violated).await == 1
        })
        .await;
        assert_eq!(alerted(&shop).await.len(), 1, "{what}");
        between.site.stop().await;
        foreign.stop().await;
    }
}

#[actix_web::test]
async fn what_a_thief_changes_in_chromium_is_alerted_on() {
    attacks(Kind::Chromium).await;
}

#[actix_web::test]
async fn what_a_thief_changes_in_firefox_is_alerted_on() {
    attacks(Kind::Firefox).await;
}

#[actix_web::test]
async fn what_a_thief_changes_in_safaris_engine_is_alerted_on() {
    attacks(Kind::WebKit).await;
}
