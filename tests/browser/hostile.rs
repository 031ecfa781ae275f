//! Pages that mean ill: of another origin, beside the frame, in front of it, and the shop's own
//! page when it is no longer the shop's.

use serde_json::json;

use crate::checkout::{Shop, strict_policy, type_card};
use crate::driver::Browser;
use crate::site::Site;
use crate::support::Who;

const VISA: &str = "4242424242424242";

/// A host page that speaks the protocol itself, so that a test can say whatever it likes.
fn own_words(capture: &str, secret: &str) -> String {
    format!(
        r#"
        window.heard = [];
        window.secret = {secret};
        const frame = document.createElement("iframe");
        frame.src = "{capture}/fields/v1/frame?session=" + secret.split("_secret_")[0];
        addEventListener("message", (event) => {{
          window.heard.push(event.data);
          if (event.source !== frame.contentWindow || window.port) return;
          window.nonce = event.data.nonce;
          const channel = new MessageChannel();
          window.port = channel.port1;
          window.port.onmessage = (message) => window.heard.push(message.data);
          frame.contentWindow.postMessage({{ cloakroom: 1, type: "connect", nonce: window.nonce }}, "{capture}", [channel.port2]);
        }});
        document.getElementById("card").append(frame);
        "#,
        secret = json!(secret),
    )
}

const DROPPED: &str = "return Number(document.documentElement.dataset.dropped ?? 0)";

#[actix_web::test]
async fn a_page_of_another_origin_cannot_show_the_frame() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let other = Site::start(&shop.app);
    let secret = shop.secret().await;
    let session = secret.split("_secret_").next().unwrap();
    let capture = &shop.app.at.capture;
    let page = format!(
        "<!doctype html><title>Other</title><iframe src='{capture}/fields/v1/frame?session={session}'></iframe>
         <script>window.heard = []; addEventListener('message', (event) => heard.push(event.data))</script>"
    );
    other.put("/", "text/html", &[], &page);
    browser.go(&other.url("/")).await;
    browser.enter("iframe").await;
    assert_eq!(
        browser
            .run("return document.querySelector('input') === null")
            .await,
        true
    );
    browser.leave().await;
    let log = browser.log().await.join("\n");
    assert!(log.contains("frame-ancestors"), "{log}");
    assert_eq!(browser.run("return window.heard").await, json!([]));
    // The loader on that page gets no further, and the service takes no card from it.
    let headers = [("origin", other.origin.as_str())];
    let answer = shop
        .app
        .post_card(&secret, &crate::support::card(VISA), &headers)
        .await;
    answer.problem(403, "not_granted");
    // A session without an origin has no frame at all.
    let nobody = shop.secret_for(&json!({})).await;
    let url = format!(
        "{capture}/fields/v1/frame?session={}",
        nobody.split("_secret_").next().unwrap()
    );
    let answer = shop.app.get(Who::Nobody, &url).await;
    assert_eq!(answer.status, 404);
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
    other.stop().await;
}

#[actix_web::test]
async fn siblings_popups_and_replayed_handshakes_are_not_listened_to() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let evil = Site::start(&shop.app);
    evil.put(
        "/",
        "text/html",
        &[],
        "<!doctype html><title>Evil</title><script>
           window.got = [];
           addEventListener('message', (event) => got.push(event.data));
           window.attack = () => {
             for (let i = 0; i < 50; i += 1) {
               const { port1, port2 } = new MessageChannel();
               port1.onmessage = (event) => got.push(event.data);
               parent.frames[0].postMessage({ cloakroom: 1, type: 'connect', nonce: String(i) }, '*', [port2]);
               port1.postMessage({ type: 'init', secret: 'x' });
               parent.postMessage({ cloakroom: 1, type: 'hello', nonce: 'mine' }, '*');
             }
           };
         </script>",
    );
    shop.visit(&browser, &json!({})).await;
    // The test's page forbids other frames; a shop that has some is the case here.
    let secret = shop.secret().await;
    shop.page(&own_words(&shop.app.at.capture, &secret), &[]);
    browser.go(&shop.site.url("/checkout")).await;
    browser
        .until("return window.port && window.heard.length")
        .await;
    browser
        .run_with(
            "const frame = document.createElement('iframe'); frame.id = 'evil'; frame.src = arguments[0]; document.body.append(frame)",
            json!([evil.url("/")]),
        )
        .await;
    browser.enter("#evil").await;
    browser.until("return window.attack").await;
    browser.run("window.attack()").await;
    browser.leave().await;
    browser.enter("iframe").await;
    browser
        .until("return Number(document.documentElement.dataset.dropped) >= 50")
        .await;
    browser.leave().await;
    browser.enter("#evil").await;
    assert_eq!(browser.run("return window.got").await, json!([]));
    browser.leave().await;
    // The right words again, from the right page: the handshake is over.
    browser
        .run(
            "window.second = [];
             for (let i = 0; i < 10; i += 1) {
               const { port1, port2 } = new MessageChannel();
               port1.onmessage = (event) => window.second.push(event.data);
               frames[0].postMessage({ cloakroom: 1, type: 'connect', nonce: window.nonce }, '*', [port2]);
             }",
        )
        .await;
    browser.enter("iframe").await;
    browser
        .until("return Number(document.documentElement.dataset.dropped) >= 60")
        .await;
    browser.leave().await;
    assert_eq!(browser.run("return window.second").await, json!([]));
    // In a window of its own the frame is nobody's: it says so, and takes no connection.
    let session = secret.split("_secret_").next().unwrap();
    browser
        .go(&format!(
            "{}/fields/v1/frame?session={session}",
            shop.app.at.capture
        ))
        .await;
    browser
        .until("return document.querySelector('#notice').textContent !== ''")
        .await;
    browser
        .run("postMessage({ cloakroom: 1, type: 'connect', nonce: 'x' }, '*', [new MessageChannel().port2])")
        .await;
    browser.until(DROPPED).await;
    evil.stop().await;
}

#[actix_web::test]
async fn a_hundred_thousand_random_messages_change_nothing_and_learn_nothing() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    shop.page(
        &own_words(&shop.app.at.capture, &secret),
        &[("content-security-policy", &strict_policy(&shop.app))],
    );
    browser.go(&shop.site.url("/checkout")).await;
    browser.until("return window.port").await;
    browser
        .run("port.postMessage({ type: 'init', secret, options: { locale: 'en' } })")
        .await;
    browser
        .until("return heard.some((m) => m.type === 'ready')")
        .await;
    type_card(&shop, &browser, VISA, "1234", "737").await;
    browser.enter("iframe").await;
    let before = browser.run(DROPPED).await.as_u64().unwrap();
    let page = "return document.documentElement.outerHTML.replace(/ data-dropped=\"\\d+\"/, '')";
    let looked = browser.run(page).await;
    browser.leave().await;
    let sent = browser
        .run(
            r#"
            let seed = 20261123;
            const next = (most) => (seed = (seed * 1103515245 + 12345) % 2147483648) % most;
            const words = ["init", "update", "tokenize", "focus", "clear", "ready", "__proto__", "constructor",
              "toString", "hello", "connect", "read", "number", "", "options", "secret", "theme", "billing"];
            const value = (depth) => {
              switch (next(depth > 2 ? 8 : 12)) {
                case 0: return null;
                case 1: return next(1e9) - 5e8;
                case 2: return words[next(words.length)];
                case 3: return "x".repeat(next(300));
                case 4: return next(2) === 1;
                case 5: return undefined;
                case 6: return NaN;
                case 7: return new Date(next(1e9));
                case 8: return Array.from({ length: next(4) }, () => value(depth + 1));
                case 9: return new Map([[words[next(words.length)], value(depth + 1)]]);
                default: return object(depth + 1);
              }
            };
            const object = (depth) => {
              const made = {};
              for (let i = next(5); i > 0; i -= 1) {
                Object.defineProperty(made, words[next(words.length)], { value: value(depth), enumerable: true, configurable: true });
              }
              return made;
            };
            let sent = 0;
            const shapes = [
              () => object(0),
              () => ({ ...object(0), type: words[next(words.length)], extra: value(0) }),
              () => ({ type: "init", secret: "another", options: {} }),
              () => ({ type: "tokenize", id: -1 }),
              () => ({ type: "tokenize", id: 1, billing: { __proto__: null, card: "x" } }),
              () => ({ type: "tokenize", id: 1, returnPath: "//evil.example" }),
              () => ({ type: "update", options: { layout: "evil" } }),
              () => JSON.parse('{"type":"update","__proto__":{"options":{}},"options":{"__proto__":{"x":1}}}'),
              () => value(0),
            ];
            while (sent < 100000) {
              const made = shapes[next(shapes.length)]();
              // A message that is a right one is no test of wrong ones.
              const right = ["focus", "clear", "update", "tokenize"].includes(made?.type) &&
                Object.keys(made).every((name) => ["type", "options", "id", "billing", "returnPath"].includes(name)) &&
                !(made.type === "tokenize" && (made.id < 0 || made.billing?.card || made.returnPath)) &&
                !(made.options?.layout === "evil") && !Object.hasOwn(made, "__proto__");
              if (right) continue;
              port.postMessage(made);
              sent += 1;
            }
            return sent;
            "#,
        )
        .await;
    assert_eq!(sent, 100_000);
    browser.enter("iframe").await;
    browser
        .until(&format!(
            "return Number(document.documentElement.dataset.dropped) >= {}",
            before + 100_000
        ))
        .await;
    assert_eq!(browser.run(DROPPED).await, before + 100_000);
    assert_eq!(browser.run(page).await, looked);
    assert_eq!(
        browser
            .run("return {}.x === undefined && {}.options === undefined")
            .await,
        true
    );
    assert_eq!(browser.value("#number").await, "4242 4242 4242 4242");
    browser.leave().await;
    let heard = browser.run("return JSON.stringify(window.heard)").await;
    for secret in ["424242", "737", "4242 4242"] {
        assert!(
            !heard.as_str().unwrap().contains(secret),
            "{secret} in {heard}"
        );
    }
    // It still works, for who says it right.
    browser
        .run("port.postMessage({ type: 'tokenize', id: 9 })")
        .await;
    let answer = browser
        .until("return heard.find((m) => m.type === 'answer' && m.id === 9)")
        .await;
    assert_eq!(answer["made"]["status"], "active", "{answer}");
}

/// Runs before everything else on a page and writes down whatever any script could see.
const SPY: &str = r#"
    window.seen = [];
    const note = (...what) => { try { seen.push(JSON.stringify(what)); } catch { seen.push(String(what)); } };
    addEventListener("message", (event) => note("window", event.data), true);
    for (const name of ["keydown", "keyup", "keypress", "input", "beforeinput", "paste", "change"]) {
      addEventListener(name, (event) => note(name, event.key, event.data), true);
    }
    const posted = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (...all) { note("to port", all[0]); return posted.apply(this, all); };
    const setter = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
    Object.defineProperty(MessagePort.prototype, "onmessage", { ...setter, set(listener) {
      setter.set.call(this, (event) => { note("from port", event.data); listener(event); });
    } });
    for (const [owner, name] of [[window, "fetch"], [navigator, "sendBeacon"], [XMLHttpRequest.prototype, "open"], [XMLHttpRequest.prototype, "send"]]) {
      const real = owner[name];
      owner[name] = function (...all) { note(name, ...all); return real.apply(this, all); };
    }
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => note("request", entry.name))).observe({ type: "resource", buffered: true });
"#;

#[actix_web::test]
async fn nothing_that_was_typed_is_anywhere_in_the_shops_page() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let secret = shop.secret().await;
    shop.checkout(&secret, &json!({}));
    let page = r#"<!doctype html><html lang="en"><title>Checkout</title><script src="/spy.js"></script>
        <script type="module" src="/checkout.js"></script><div id="card"></div><button id="pay">Pay</button></html>"#;
    shop.site.put("/spy.js", "text/javascript", &[], SPY);
    shop.site.put(
        "/checkout",
        "text/html",
        &[("content-security-policy", &strict_policy(&shop.app))],
        page,
    );
    browser.go(&shop.site.url("/checkout")).await;
    crate::checkout::ready(&browser).await;
    shop.app.note_sent(&json!({ "card": { "number": VISA } }));
    browser.enter("iframe").await;
    browser.click("#number").await;
    browser.press(VISA, false).await;
    browser.press("\u{e004}", false).await;
    browser.press("1234", false).await;
    browser.press("\u{e004}", false).await;
    browser.press("737", false).await;
    browser.leave().await;
    browser.click("#pay").await;
    let made = browser.until("return window.made ?? window.refused").await;
    assert_eq!(made["status"], "active", "{made}");
    let seen = browser
        .run(
            "const globals = Object.getOwnPropertyNames(window).filter((name) => !['seen'].includes(name)).map((name) => {
               try { return name + JSON.stringify(window[name]); } catch { return name; } });
             return [seen, document.documentElement.outerHTML, globals, { ...localStorage }, { ...sessionStorage },
               document.cookie, location.href, history.state, performance.getEntries().map((e) => e.name)]",
        )
        .await
        .to_string();
    assert!(seen.contains("to port") && seen.contains("from port") && seen.contains("tokenize"));
    assert!(seen.contains(made["token"].as_str().unwrap()));
    // Spaces or not, the whole or its first six; the code; no key at all.
    let digits = seen.replace(' ', "");
    for secret in [
        "424242",
        "\"737\"",
        "737\\\"",
        "[\\\"key",
        "[\\\"input",
        "[\\\"paste",
    ] {
        assert!(!digits.contains(secret), "{secret} in {seen}");
    }
    let kept = shop
        .app
        .get(
            Who::Nobody,
            &format!("{}/problems/not_found", shop.app.at.capture),
        )
        .await;
    assert_eq!(kept.header("referrer-policy"), Some("no-referrer"));
    browser.enter("iframe").await;
    let kept = browser.run("return JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])").await;
    assert!(!kept.as_str().unwrap().contains("4242"), "{kept}");
    assert!(!kept.as_str().unwrap().contains("_secret_"), "{kept}");
}

#[actix_web::test]
async fn one_changed_byte_of_the_loader_is_refused_by_the_browser() {
    let shop = Shop::open();
    let browser = Browser::chromium(&shop.app).await;
    let capture = &shop.app.at.capture;
    let loader = shop
        .app
        .get(Who::Nobody, &format!("{capture}/fields/v1/loader.js"))
        .await;
    let text = String::from_utf8(loader.body.clone()).unwrap();
    let integrity = loader.header("etag").unwrap().trim_matches('"').to_owned();
    let named = format!("{capture}{}", cloakroom::http::fields::loader_path());
    let changed = text.replacen("const", "const ", 1);
    shop.site.put(
        "/changed.js",
        "text/javascript",
        &[("access-control-allow-origin", "*")],
        &changed,
    );
    for (url, runs) in [
        (named.as_str(), true),
        (shop.site.url("/changed.js").as_str(), false),
    ] {
        let page = format!(
            "<!doctype html><title>SRI</title><script type='module' crossorigin src='{url}' integrity='{integrity}'></script>
             <script type='module'>window.done = true</script>"
        );
        shop.site.put("/sri", "text/html", &[], &page);
        browser.go(&shop.site.url("/sri")).await;
        browser.until("return window.done").await;
        assert_eq!(
            browser
                .run("return typeof window.Cloakroom === 'object'")
                .await,
            runs,
            "{url}"
        );
    }
    let log = browser.log().await.join("\n");
    assert!(log.contains("integrity"), "{log}");
}

#[actix_web::test]
async fn what_the_capture_plane_gives_to_browsers_is_fenced_in() {
    let shop = Shop::open();
    let capture = &shop.app.at.capture;
    let secret = shop.secret().await;
    let (session, _) = secret.split_once("_secret_").unwrap();
    for (path, embeds) in [
        (format!("/fields/v1/frame?session={session}"), true),
        (format!("/pay/{session}"), false),
    ] {
        let page = shop.app.get(Who::Nobody, &format!("{capture}{path}")).await;
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'sha384-"),
            "{policy}"
        );
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        for part in [
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        let ancestors = if embeds {
            shop.site.origin.as_str()
        } else {
            "'none'"
        };
        assert!(
            policy.contains(&format!("frame-ancestors {ancestors};")),
            "{policy}"
        );
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            (
                "cross-origin-resource-policy",
                if embeds {
                    "cross-origin"
                } else {
                    "same-origin"
                },
            ),
        ] {
            assert_eq!(page.header(name), Some(value), "{path} {name}");
        }
        assert!(
            page.header("permissions-policy")
                .unwrap()
                .contains("camera=()")
        );
        let text = String::from_utf8_lossy(&page.body);
        let markup = text.split("<script>").next().unwrap();
        assert!(!markup.contains("style=") && !markup.contains("onclick"));
        assert!(!text.contains(&secret));
        // One document: nothing is loaded from anywhere, and what stands in it is named by its hash.
        assert_eq!(text.matches("<script>").count(), 1, "{text}");
        assert!(
            !text.contains(" src=") && !text.contains("stylesheet"),
            "{text}"
        );
        let stands = text.matches("<script>").count() + text.matches("<style>").count();
        assert_eq!(policy.matches("'sha384-").count(), stands, "{policy}");
        // A page that is opened with a secret in its address names no place to report to.
        let reports = [
            "content-security-policy",
            "integrity-policy",
            "reporting-endpoints",
        ];
        let told = reports.iter().filter_map(|name| page.header(name));
        let told = told.collect::<Vec<_>>().join(" ");
        assert_eq!(
            told.contains("report") || told.contains("endpoints"),
            embeds,
            "{told}"
        );
    }
    // A session's name tells its origin, and nothing else.
    let page = shop
        .app
        .get(
            Who::Nobody,
            &format!("{capture}/fields/v1/frame?session={session}"),
        )
        .await;
    let text = String::from_utf8(page.body).unwrap();
    assert!(!text.contains("shopper-") && !text.contains("cus_"));
    // Answers of the API are no pages, and no other site reads them.
    let problem = shop
        .app
        .post_card("x", &json!({}), &[("origin", "https://evil.example")])
        .await;
    assert_eq!(problem.header("access-control-allow-origin"), None);
    assert_eq!(
        problem.header("content-security-policy"),
        Some("default-src 'none'; frame-ancestors 'none'")
    );
    // Files that never change say so; the loader may be read by every shop.
    let loader = shop
        .app
        .get(
            Who::Nobody,
            &format!("{capture}{}", cloakroom::http::fields::loader_path()),
        )
        .await;
    assert_eq!(
        loader.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(loader.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        loader.header("cross-origin-resource-policy"),
        Some("cross-origin")
    );
    for path in [
        "/fields/v1/loader.0.js",
        "/fields/v1/x/frame.js",
        "/fields/v1/x/../../../etc/passwd",
    ] {
        let answer = shop.app.get(Who::Nobody, &format!("{capture}{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}
