//! The running processes: what protects them, and what they serve to browsers.

use aws_lc_rs::digest::{SHA384, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use serde_json::{Value, json};
use url::Url;

use super::listeners::own_certificate;
use super::scene::{Plane, Scene};
use crate::evidence::{Bundle, Look, Verdict};
use crate::http::PlaneName;
use crate::http::fields::assets::{ASSETS, LOADER};
use crate::http::fields::loader_path;
use crate::net::once::get;
use crate::net::probe::connect;
use crate::net::trust::client_tls_of;

const READINESS: &str = "running/readiness.json";
const SCRIPTS: &str = "payment-page/scripts.json";

/// Which lines of readiness make which check; every other line is of the first.
const PROTECTIONS: [(&str, &str); 2] = [
    ("memory", "memory_hardening"),
    ("confinement", "confinement"),
];

/// An answer of a listener.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

pub(super) async fn look(scene: &Scene, bundle: &mut Bundle) {
    readiness(scene, bundle).await;
    for plane in scene
        .planes()
        .filter(|plane| plane.name == PlaneName::Capture)
    {
        scripts(&plane, bundle).await;
        contact(&plane, bundle).await;
    }
}

/// What a listener of ours answers; nothing where nobody listens.
async fn ask(plane: &Plane<'_>, path: &str) -> Result<Option<Answer>, String> {
    if connect(plane.address()).await.is_err() {
        return Ok(None);
    }
    let url = Url::parse(&format!("https://{}{path}", plane.address()));
    let url = url.map_err(|error| error.to_string())?;
    let tls = client_tls_of(own_certificate(plane)?, &rustls::version::TLS13);
    let tls = tls.map_err(|refused| refused.to_string())?;
    let (status, headers, body) = get(&url, tls).await?;
    Ok(Some(Answer {
        status,
        headers,
        body,
    }))
}

fn again(plane: &Plane<'_>, path: &str) -> String {
    format!("curl --insecure https://{}{path}", plane.address())
}

async fn readiness(scene: &Scene, bundle: &mut Bundle) {
    let mut ready = Look::at(
        "readiness",
        "each process finds itself able to do its work: store, audit, keys, clock, certificates",
        &["10.6.1", "10.7.2"],
    );
    let mut memory = Look::at(
        "memory",
        "what a process holds is in no core, swap or debugger",
        &["3.3.1", "3.6.1"],
    );
    let mut confined = Look::at(
        "confinement",
        "each process has given up the files, ports and system calls that it has no use for",
        &["2.2.4", "2.2.6"],
    );
    let mut shown = Vec::new();
    for plane in scene.planes().filter(|plane| plane.name == PlaneName::Ops) {
        let answer = match ask(&plane, "/readyz").await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                for look in [&mut ready, &mut memory, &mut confined] {
                    look.saw(
                        Verdict::NotApplicable,
                        format_args!("{} does not run here", plane.node),
                    );
                }
                continue;
            }
            Err(why) => {
                ready.must(false, format_args!("{}: {why}", plane.title()));
                continue;
            }
        };
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let lines = told.get("checks").and_then(Value::as_array);
        if answer.status != 200 || lines.is_none() {
            ready.must(
                false,
                format_args!("{} answered {}", plane.title(), answer.status),
            );
        }
        for line in lines.into_iter().flatten() {
            let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
            let verdict = match text("state") {
                "ok" => Verdict::Pass,
                "not_applicable" => Verdict::NotApplicable,
                _ => Verdict::Fail,
            };
            let of = PROTECTIONS.iter().find(|(_, line)| *line == text("name"));
            let look = match of.map(|(check, _)| *check) {
                Some("memory") => &mut memory,
                Some(_) => &mut confined,
                None => &mut ready,
            };
            let seen = format!(
                "{}: {} {} {}",
                plane.node,
                text("name"),
                text("state"),
                text("detail")
            );
            look.saw(verdict, seen.trim_end());
        }
        shown.push(json!({ "node": plane.node, "status": answer.status, "readiness": told }));
        for look in [&mut ready, &mut memory, &mut confined] {
            look.again(again(&plane, "/readyz"));
        }
    }
    for mut look in [ready, memory, confined] {
        look.shown_in(READINESS);
        bundle.check(look.done());
    }
    bundle.json(READINESS, &shown);
}

async fn scripts(plane: &Plane<'_>, bundle: &mut Bundle) {
    let mut look = Look::at(
        "payment_page",
        "what browsers get are the scripts of the inventory, byte for byte, under headers that let \
         nothing else run",
        &["6.4.3", "11.6.1"],
    );
    let mut shown = Vec::new();
    for asset in ASSETS.iter() {
        let path = if asset.name == LOADER {
            loader_path()
        } else {
            format!("{}{}", ASSETS.base(), asset.name)
        };
        let seen = match ask(plane, &path).await {
            Ok(Some(answer)) => {
                let hash = BASE64_STANDARD.encode(digest(&SHA384, &answer.body));
                let integrity = format!("sha384-{hash}");
                let holds = answer.status == 200 && integrity == asset.integrity;
                shown.push(json!({
                    "path": path,
                    "integrity": asset.integrity,
                    "served": integrity,
                    "as_in_inventory": holds,
                }));
                Some((holds, format!("{path} {integrity}")))
            }
            Ok(None) => None,
            Err(why) => Some((false, format!("{path}: {why}"))),
        };
        let Some((holds, seen)) = seen else {
            look.saw(
                Verdict::NotApplicable,
                format_args!("{} does not run here", plane.title()),
            );
            break;
        };
        look.must(holds, seen);
    }
    match ask(plane, "/report").await {
        Ok(Some(answer)) => {
            let wrong = weak_headers(&answer.headers);
            let seen = if wrong.is_empty() {
                "all there".to_owned()
            } else {
                wrong.join(", ")
            };
            look.must(wrong.is_empty(), format_args!("headers of a page: {seen}"));
        }
        Ok(None) => {}
        Err(why) => look.must(false, why),
    }
    look.again(format!(
        "{} | openssl dgst -sha384 -binary | base64",
        again(plane, &loader_path())
    ));
    look.shown_in(SCRIPTS);
    look.shown_in("documents/payment-page/scripts.md");
    bundle.json(SCRIPTS, &shown);
    bundle.check(look.done());
}

/// What a page's headers lack.
fn weak_headers(headers: &HeaderMap) -> Vec<&'static str> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let policy = text("content-security-policy");
    let wanted = [
        (policy.contains("default-src 'none'"), "default-src 'none'"),
        (!policy.contains("unsafe-"), "a policy without unsafe-…"),
        (policy.contains("frame-ancestors"), "frame-ancestors"),
        (
            text("strict-transport-security").contains("max-age="),
            "strict-transport-security",
        ),
        (
            text("x-content-type-options") == "nosniff",
            "x-content-type-options",
        ),
        (!text("referrer-policy").is_empty(), "referrer-policy"),
        (!text("permissions-policy").is_empty(), "permissions-policy"),
    ];
    let missing = wanted.into_iter().filter(|(holds, _)| !holds);
    missing.map(|(_, what)| what).collect()
}

async fn contact(plane: &Plane<'_>, bundle: &mut Bundle) {
    let mut look = Look::at(
        "incident_contact",
        "anybody finds out where to report an incident",
        &["12.10.1", "6.3.1"],
    );
    let path = "/.well-known/security.txt";
    match ask(plane, path).await {
        Ok(Some(answer)) => {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let contacts = text
                .lines()
                .filter(|line| line.starts_with("Contact: "))
                .count();
            let expires = text.lines().any(|line| line.starts_with("Expires: "));
            look.must(
                answer.status == 200 && contacts > 0 && expires,
                format_args!(
                    "{} answered {}: {contacts} contacts",
                    plane.title(),
                    answer.status
                ),
            );
        }
        Ok(None) => look.saw(
            Verdict::NotApplicable,
            format_args!("{} does not run here", plane.title()),
        ),
        Err(why) => look.must(false, why),
    }
    look.again(again(plane, path));
    bundle.check(look.done());
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn each_header_that_is_missing_or_weak_is_named() {
        let good = [
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("strict-transport-security", "max-age=63072000"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("permissions-policy", "camera=()"),
        ];
        let headers = |given: &[(&'static str, &'static str)]| {
            let given = given.iter();
            given
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect::<HeaderMap>()
        };
        assert_eq!(weak_headers(&headers(&good)), Vec::<&str>::new());
        for missing in 1..good.len() {
            let mut fewer = good.to_vec();
            let (name, _) = fewer.remove(missing);
            assert_eq!(weak_headers(&headers(&fewer)), [name]);
        }
        let mut weak = good.to_vec();
        *weak.first_mut().unwrap() = (
            "content-security-policy",
            "default-src 'none'; script-src 'unsafe-inline'; frame-ancestors 'none'",
        );
        assert_eq!(weak_headers(&headers(&weak)), ["a policy without unsafe-…"]);
        assert_eq!(weak_headers(&HeaderMap::new()).len(), 6);
    }
}
