//! Pages as they are, and as a thief leaves them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use url::Url;

use super::baseline::{Baseline, BaselineRefused, Difference};
use super::page::{Found, Page, Script, security_headers};
use crate::seal::signing::SigningKey;

const PAGE: &str = r#"<!doctype html><title>Pay</title>
<script src="/shop.js"></script>
<script>let a = "<b>" < 1;</script>
<SCRIPT type="application/json">{"price": 1250}</SCRIPT>
<base href="https://static.example/"><script type=module src=card.js></script>
<link rel="modulepreload" href="https://static.example/late.js">
<iframe src="https://cards.example/fields/v1/frame?session=cs_1"></iframe>
<form action="https://shop.example/pay?visit=7"><button onclick="go()">Pay</button></form>"#;

fn url() -> Url {
    Url::parse("https://shop.example/checkout?visit=7").unwrap()
}

fn found(html: &str) -> Found {
    Found::read(html.as_bytes(), &url())
}

fn page(html: &str) -> Page {
    let found = found(html);
    let mut scripts = found.inline;
    let served = found.sources.iter();
    scripts.extend(served.map(|source| Script::new(source.as_str(), b"let b;")));
    Page {
        headers: [(
            "content-security-policy".to_owned(),
            "script-src 'self'".to_owned(),
        )]
        .into(),
        scripts,
        frames: found.frames,
        forms: found.forms,
    }
}

fn signing_key() -> SigningKey {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let text = SigningKey::generate().unwrap();
    crate::seal::file::write_private(&path, text.as_bytes()).unwrap();
    SigningKey::read(&path).unwrap()
}

fn told(differences: &[Difference]) -> Vec<String> {
    let told = |difference: &Difference| {
        let name = difference.name.split(" sha384-").next().unwrap_or_default();
        format!("{} {} {name}", difference.change, difference.kind)
    };
    differences.iter().map(told).collect()
}

#[test]
fn whatever_runs_is_found_and_data_is_not() {
    let found = found(PAGE);
    let sources: Vec<&str> = found.sources.iter().map(Url::as_str).collect();
    assert_eq!(
        sources,
        [
            "https://shop.example/shop.js",
            "https://static.example/card.js",
            "https://static.example/late.js"
        ]
    );
    let inline: Vec<&str> = found
        .inline
        .iter()
        .map(|script| script.source.as_str())
        .collect();
    assert_eq!(inline, ["inline", "onclick"]);
    assert_eq!(
        found.inline[0],
        Script::new("inline", br#"let a = "<b>" < 1;"#)
    );
    assert_eq!(found.frames, ["https://cards.example/fields/v1/frame"]);
    assert_eq!(found.forms, ["https://shop.example/pay"]);
}

/// The hash is the one that `openssl dgst -sha384 -binary | base64` gives of the same bytes.
#[test]
fn a_hash_is_written_as_subresource_integrity_writes_it() {
    assert_eq!(
        Script::new("inline", b"abc").hash,
        "sha384-ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn"
    );
}

#[test]
fn each_thing_a_thief_does_is_a_difference_and_an_unchanged_page_has_none() {
    let mut baseline = Baseline::new("2026-11-23T00:00:00Z".to_owned());
    baseline.record(&url(), page(PAGE));
    let compare = |page: &Page| told(&baseline.compare(&url(), page));
    assert!(compare(&page(PAGE)).is_empty());
    let another_visit = PAGE.replace("cs_1", "cs_2").replace("visit=7", "visit=8");
    assert!(compare(&page(&another_visit)).is_empty());

    for (from, to, expected) in [
        (
            "<base",
            "<script src=https://evil.example/s.js></script><base",
            vec!["new script https://evil.example/s.js"],
        ),
        (
            "</form>",
            "</form><script>steal()</script>",
            vec!["new script inline"],
        ),
        (
            "< 1;",
            "< 2;",
            vec!["gone script inline", "new script inline"],
        ),
        (
            "go()",
            "go();steal()",
            vec!["gone script onclick", "new script onclick"],
        ),
        (
            "https://cards.example/",
            "https://evil.example/",
            vec![
                "new frame https://evil.example/fields/v1/frame",
                "gone frame https://cards.example/fields/v1/frame",
            ],
        ),
        (
            "https://shop.example/pay",
            "https://evil.example/pay",
            vec![
                "new form https://evil.example/pay",
                "gone form https://shop.example/pay",
            ],
        ),
    ] {
        let mut seen = compare(&page(&PAGE.replace(from, to)));
        let mut expected = expected;
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected, "{to}");
    }

    let mut altered = page(PAGE);
    altered.scripts[2].hash = Script::new("", b"other bytes").hash;
    assert_eq!(
        compare(&altered),
        ["changed script https://shop.example/shop.js"]
    );
    let mut open = page(PAGE);
    open.headers.clear();
    assert_eq!(compare(&open), ["gone header content-security-policy"]);
    open.headers
        .insert("content-security-policy".to_owned(), "*".to_owned());
    assert_eq!(compare(&open), ["changed header content-security-policy"]);

    let other = Url::parse("https://shop.example/other").unwrap();
    let unknown = told(&baseline.compare(&other, &page(PAGE)));
    assert_eq!(unknown, ["new page https://shop.example/other"]);
}

#[test]
fn a_nonce_is_no_difference_and_two_headers_of_one_name_are_one_value() {
    let mut headers = HeaderMap::new();
    let policy = |value| HeaderValue::from_static(value);
    headers.append(
        CONTENT_SECURITY_POLICY,
        policy("script-src 'nonce-abc' 'self'"),
    );
    headers.append(CONTENT_SECURITY_POLICY, policy("frame-ancestors 'none'"));
    headers.append("x-served-by", policy("cache-7"));
    let seen: Vec<_> = security_headers(&headers).into_values().collect();
    assert_eq!(
        seen,
        ["script-src 'nonce-*' 'self', frame-ancestors 'none'"]
    );
}

#[test]
fn a_baseline_that_was_changed_or_signed_by_another_is_refused() {
    let key = signing_key();
    let mut baseline = Baseline::new("2026-11-23T00:00:00Z".to_owned());
    baseline.record(&url(), page(PAGE));
    let text = baseline.sign(&key);
    let public_key = key.public_key_bytes();
    assert_eq!(Baseline::read(&text, &public_key), Ok(baseline));
    let other = signing_key().public_key_bytes();
    assert_eq!(
        Baseline::read(&text, &other),
        Err(BaselineRefused::Signature)
    );
    let altered = text.replace("shop.js", "evil.js");
    assert_ne!(altered, text);
    assert_eq!(
        Baseline::read(&altered, &public_key),
        Err(BaselineRefused::Signature)
    );
    // The key in the file is not what counts.
    let swapped = text.replace(
        &BASE64_STANDARD.encode(public_key),
        &BASE64_STANDARD.encode(other),
    );
    assert_eq!(
        Baseline::read(&swapped, &other),
        Err(BaselineRefused::Signature)
    );
    assert_eq!(
        Baseline::read("{}", &public_key),
        Err(BaselineRefused::Malformed)
    );
}

/// A skimmer that answers browsers and not the monitor is the usual one.
#[test]
fn a_script_whose_host_does_not_answer_is_new_and_hides_no_other_difference() {
    let mut baseline = Baseline::new("2026-11-23T00:00:00Z".to_owned());
    baseline.record(&url(), page(PAGE));
    let compare = |page: &Page| told(&baseline.compare(&url(), page));
    let unread = |page: &mut Page, host: &str| {
        let of_host = page.scripts.iter_mut();
        for script in of_host.filter(|script| script.source.contains(host)) {
            *script = Script::unread(&script.source);
        }
    };
    let evil = "<script src=https://evil.example/s.js></script><script>evil()</script>";
    let mut stolen = page(&PAGE.replace("<base", &format!("{evil}<base")));
    unread(&mut stolen, "evil.example");
    assert_eq!(
        compare(&stolen),
        ["new script https://evil.example/s.js", "new script inline"]
    );
    // One of ours that is down is neither new nor gone nor changed.
    let mut down = page(PAGE);
    unread(&mut down, "static.example");
    assert!(compare(&down).is_empty());
}
