//! The running processes: what protects them, and what they serve to browsers.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA384, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::listeners::own_certificate;
use super::scene::{Plane, Scene};
use crate::evidence::{Bundle, Check, Look, Verdict};
use crate::http::PlaneName;
use crate::http::fields::assets::{ASSETS, LOADER};
use crate::http::fields::loader_path;
use crate::net::once::{Got, get};
use crate::net::probe::connect;
use crate::net::trust::client_tls_of;

const READINESS: &str = "running/readiness.json";
const SCRIPTS: &str = "payment-page/scripts.json";

/// Lines of readiness that are checks of their own.
const PROTECTIONS: [&str; 2] = ["memory_hardening", "confinement"];

pub(super) async fn look(scene: &Scene, bundle: &mut Bundle) {
    readiness(scene, bundle).await;
    for plane in scene
        .planes()
        .filter(|plane| plane.name == PlaneName::Capture)
    {
        scripts(scene, &plane, bundle).await;
        contact(scene, &plane, bundle).await;
    }
}

/// What a listener of ours answers; nothing where nobody listens.
pub(in crate::cli) async fn ask(plane: &Plane<'_>, path: &str) -> Result<Option<Got>, String> {
    if connect(plane.address()).await.is_err() {
        return Ok(None);
    }
    let url = Url::parse(&format!("https://{}{path}", plane.address()));
    let url = url.map_err(|error| error.to_string())?;
    let tls = client_tls_of(own_certificate(plane)?, &rustls::version::TLS13);
    let tls = tls.map_err(|refused| refused.to_string())?;
    get(&url, tls).await.map(Some)
}

/// The same of a process that is to run on this host.
async fn asked_here(scene: &Scene, plane: &Plane<'_>, path: &str) -> Result<Option<Got>, String> {
    if scene.is_elsewhere(plane.node) {
        return Ok(None);
    }
    ask(plane, path).await
}

fn again(plane: &Plane<'_>, path: &str) -> String {
    format!("curl --insecure https://{}{path}", plane.address())
}

/// A line of readiness, as a process tells it.
#[derive(Deserialize, Serialize)]
pub(in crate::cli) struct Line {
    pub(in crate::cli) name: String,
    pub(in crate::cli) state: String,
    pub(in crate::cli) detail: Option<String>,
}

#[derive(Deserialize, Serialize)]
pub(in crate::cli) struct Readiness {
    pub(in crate::cli) status: String,
    pub(in crate::cli) checks: Vec<Line>,
}

/// What a process said of itself; nothing where it does not run here.
struct Told {
    node: String,
    again: String,
    readiness: Result<Option<Readiness>, String>,
}

async fn readiness(scene: &Scene, bundle: &mut Bundle) {
    let mut all = Vec::new();
    for plane in scene.planes().filter(|plane| plane.name == PlaneName::Ops) {
        let readiness = match asked_here(scene, &plane, "/readyz").await {
            Ok(Some(answer)) => {
                let read = serde_json::from_slice(&answer.body);
                let status = answer.status;
                read.map(Some).map_err(|_| format!("it answered {status}"))
            }
            Ok(None) => Ok(None),
            Err(why) => Err(why),
        };
        all.push(Told {
            node: plane.node.to_owned(),
            again: again(&plane, "/readyz"),
            readiness,
        });
    }
    // A process without a plane for probes says nothing of itself.
    let silent = scene
        .processes
        .iter()
        .filter(|process| process.config.ops.is_none());
    let silent: Vec<&str> = silent.map(|process| process.config.node.as_str()).collect();
    let shown: Vec<Value> = all
        .iter()
        .map(|told| json!({ "node": told.node, "readiness": told.readiness.as_ref().ok() }))
        .collect();
    bundle.json(READINESS, &shown);
    let is_protection = |name: &str| PROTECTIONS.contains(&name);
    let ready = Look::at(
        "readiness",
        "each process finds itself able to do its work: store, audit, keys, clock, certificates",
        &["10.6.1", "10.7.2"],
    );
    let all = (scene, all.as_slice(), silent.as_slice());
    bundle.check(of_lines(ready, all, |name| !is_protection(name)));
    let memory = Look::at(
        "memory",
        "what a process holds is in no core, swap or debugger",
        &["3.3.1", "3.6.1"],
    );
    bundle.check(of_lines(memory, all, |name| name == "memory_hardening"));
    let confined = Look::at(
        "confinement",
        "each process has given up the files, ports and system calls that it has no use for",
        &["2.2.4", "2.2.6"],
    );
    bundle.check(of_lines(confined, all, |name| name == "confinement"));
}

/// The check that some of the lines make.
fn of_lines(
    mut look: Look,
    (scene, all, silent): (&Scene, &[Told], &[&str]),
    is_of_it: impl Fn(&str) -> bool,
) -> Check {
    for node in silent {
        let (verdict, why) = scene.absent(node);
        if verdict == Verdict::NotSeen {
            let seen = format_args!("{node} has no [ops], so its process says nothing of itself");
            look.saw(verdict, seen);
        } else {
            look.saw(verdict, format_args!("{node} {why}"));
        }
    }
    for told in all {
        let node = &told.node;
        match &told.readiness {
            Err(why) => look.must(false, format_args!("{node}: {why}")),
            Ok(None) => {
                let (verdict, why) = scene.absent(node);
                look.saw(verdict, format_args!("{node} {why}"));
            }
            Ok(Some(readiness)) => {
                let lines = readiness.checks.iter();
                for line in lines.filter(|line| is_of_it(&line.name)) {
                    let verdict = match line.state.as_str() {
                        "ok" => Verdict::Pass,
                        "not_applicable" => Verdict::NotApplicable,
                        _ => Verdict::Fail,
                    };
                    let detail = line.detail.as_deref().unwrap_or_default();
                    let seen = format!("{node}: {} {} {detail}", line.name, line.state);
                    look.saw(verdict, seen.trim_end());
                }
            }
        }
        look.again(told.again.as_str());
    }
    look.shown_in(READINESS);
    look.done()
}

async fn scripts(scene: &Scene, plane: &Plane<'_>, bundle: &mut Bundle) {
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
        let seen = match asked_here(scene, plane, &path).await {
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
            let (verdict, why) = scene.absent(plane.node);
            look.saw(verdict, format_args!("{} {why}", plane.title()));
            break;
        };
        look.must(holds, seen);
    }
    match asked_here(scene, plane, "/report").await {
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
fn weak_headers(headers: &BTreeMap<String, String>) -> Vec<&'static str> {
    let text = |name: &str| headers.get(name).map_or("", String::as_str);
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

async fn contact(scene: &Scene, plane: &Plane<'_>, bundle: &mut Bundle) {
    let mut look = Look::at(
        "incident_contact",
        "anybody finds out where to report an incident",
        &["12.10.1", "6.3.1"],
    );
    let path = "/.well-known/security.txt";
    match asked_here(scene, plane, path).await {
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
        Ok(None) => {
            let (verdict, why) = scene.absent(plane.node);
            look.saw(verdict, format_args!("{} {why}", plane.title()));
        }
        Err(why) => look.must(false, why),
    }
    look.again(again(plane, path));
    bundle.check(look.done());
}

#[cfg(test)]
mod tests {
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
        let headers = |given: &[(&str, &str)]| {
            let given = given.iter();
            given
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
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
        assert_eq!(weak_headers(&BTreeMap::new()).len(), 6);
    }
}
