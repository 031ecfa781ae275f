//! Who may do what: planes apart, clients' scopes, processor keys, and who is told of misuse.

use std::collections::BTreeSet;

use serde_json::json;

use super::scene::{Process, Scene};
use crate::config::{Config, WatchMode};
use crate::evidence::{Bundle, Look, Verdict};
use crate::http::{PlaneName, tls};
use crate::service;
use crate::token::Account;
use crate::vault::grant::ScopeName;

const CLIENTS: &str = "access/clients.json";
const RULES: &str = "watch/rules.json";

pub(super) fn look(scene: &Scene, bundle: &mut Bundle) {
    for process in &scene.processes {
        // A configuration holds no secret, only the names of files that do, and addresses of
        // receivers, in which a path may be one.
        let file = format!("configuration/{}.toml", process.config.node);
        let text = std::fs::read_to_string(&process.path).unwrap_or_default();
        bundle.file(&file, without_paths(&text));
    }
    planes(scene, bundle);
    clients(scene, bundle);
    processors(scene, bundle);
    watch(scene, bundle);
}

/// A text whose addresses end with their hosts.
fn without_paths(text: &str) -> String {
    let mut pieces = text.split("https://");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |kept, piece| {
        let end = piece.find(['"', '\'', '\n']).unwrap_or(piece.len());
        let (address, rest) = piece.split_at(end);
        let host = address.split(['/', '?', '#']).next().unwrap_or_default();
        // Whoever stands before the host is a secret as well.
        let host = host.rsplit('@').next().unwrap_or_default();
        let cut = if host.len() == address.len() {
            ""
        } else {
            "/…"
        };
        kept + "https://" + host + cut + rest
    })
}

fn planes(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "planes_apart",
        "the plane that meets the internet runs in a process of its own, with keys of its own, and \
         can open nothing",
        &["2.2.3", "3.6.1.4"],
    );
    for Process { config, path } in &scene.processes {
        look.again(format!("cloakroom check --config {}", path.display()));
        if config.capture.is_none() || config.internal.is_none() {
            continue;
        }
        let seen = format!("{} runs both planes", config.node);
        let verdict = if scene.is_live() {
            Verdict::Fail
        } else {
            Verdict::NotApplicable
        };
        look.saw(verdict, seen);
    }
    if let (Some(capture), Some(internal)) = (scene.capture(), scene.internal())
        && !std::ptr::eq(capture, internal)
    {
        // A configuration that gives opening keys to the capture plane alone is not read at all.
        let node = &capture.config.node;
        look.must(
            true,
            format_args!("{node} has no key that opens, charges or signs"),
        );
        for (own, file) in certificates(&capture.config) {
            for (their, other) in certificates(&internal.config) {
                let same = match (tls::public_key(&file), tls::public_key(&other)) {
                    (Ok(one), Ok(other)) => one == other,
                    (Err(refused), _) | (_, Err(refused)) => {
                        look.must(false, refused);
                        continue;
                    }
                };
                let have = if same {
                    "have one TLS key"
                } else {
                    "have TLS keys of their own"
                };
                look.must(
                    !same,
                    format_args!("{own} of the one and {their} of the other {have}"),
                );
            }
        }
        let (one, other) = (capture.path.display(), internal.path.display());
        look.again(format!("cloakroom check --config {one} --beside {other}"));
    }
    bundle.check(look.done());
}

fn certificates(config: &Config) -> Vec<(&'static str, std::path::PathBuf)> {
    let capture = config
        .capture
        .as_ref()
        .map(|plane| ("capture", &plane.certificate_file));
    let internal = config
        .internal
        .as_ref()
        .map(|plane| ("internal", &plane.certificate_file));
    let named = [capture, internal].into_iter().flatten();
    named.map(|(name, file)| (name, file.relative())).collect()
}

/// What a client may change, by who does such work: whoever makes the sessions stands in the shop,
/// the shop does not take the money, and neither deletes tokens or opens a sealed service (PCI DSS
/// 7.2.2). Reading is part of every duty.
fn duties(scopes: &BTreeSet<ScopeName>) -> Vec<&'static str> {
    let mut duties = BTreeSet::new();
    for scope in scopes {
        duties.extend(match scope {
            ScopeName::SessionsCreate | ScopeName::TokensAttach => Some("makes sessions"),
            ScopeName::ChargesCreate | ScopeName::RefundsCreate => Some("takes money"),
            ScopeName::TokensDelete => Some("deletes tokens"),
            ScopeName::KeysUnseal => Some("opens keys"),
            ScopeName::TokensRead
            | ScopeName::ChargesRead
            | ScopeName::EventsRead
            | ScopeName::ReportsRead
            | ScopeName::StatusRead
            | ScopeName::KeysStatus => None,
        });
    }
    duties.into_iter().collect()
}

fn clients(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "client_access",
        "each client has a name of its own and no more rights than its work needs",
        &["7.2.1", "7.2.2", "8.2.1"],
    );
    let mut shown = Vec::new();
    for Process { config, path } in &scene.processes {
        if config.internal.is_none() {
            continue;
        }
        for client in &config.clients {
            let scopes: Vec<&str> = client.scopes.iter().map(|scope| scope.name()).collect();
            let duties = duties(&client.scopes);
            let what = match duties.as_slice() {
                [] => "only reads".to_owned(),
                [one] => format!("{one}, and nothing else that changes anything"),
                several => format!(
                    "{}: give each of these duties a client of its own",
                    several.join(" and ")
                ),
            };
            look.must(
                duties.len() <= 1,
                format_args!("{} ({}): {what}", client.san, scopes.join(", ")),
            );
            shown.push(json!({ "san": client.san, "account": client.account, "scopes": scopes }));
        }
        look.again(format!("grep -A3 'clients' {}", path.display()));
    }
    look.shown_in(CLIENTS);
    bundle.json(CLIENTS, &shown);
    bundle.check(look.done());
}

fn processors(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "processor_keys",
        "each plane has a key of this environment at the processor; in the live environment the \
         capture plane's is restricted",
        &["6.5.3", "7.2.5"],
    );
    for Process { config, path } in &scene.processes {
        for (plane, runs) in [
            (PlaneName::Capture, config.capture.is_some()),
            (PlaneName::Internal, config.internal.is_some()),
        ] {
            if !runs {
                continue;
            }
            let node = &config.node;
            let unrestricted = service::unrestricted_keys(config, plane);
            match (service::processors(config, plane, None), unrestricted) {
                (Ok(accounts), Ok(unrestricted)) => look.must(
                    true,
                    format_args!(
                        "{node}: {} accounts of the {} plane, {}",
                        accounts.len(),
                        plane.name(),
                        rights(&unrestricted),
                    ),
                ),
                (Err(refused), _) | (_, Err(refused)) => {
                    look.must(false, format_args!("{node}: {refused}"));
                }
            }
        }
        look.again(format!("cloakroom check --config {}", path.display()));
    }
    bundle.check(look.done());
}

/// What the keys say of themselves.
fn rights(unrestricted: &[Account]) -> String {
    if unrestricted.is_empty() {
        return "no key says that it may do everything".to_owned();
    }
    let names: Vec<&str> = unrestricted.iter().map(Account::as_str).collect();
    format!("NOT restricted, may do everything: {}", names.join(", "))
}

fn watch(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "watch",
        "misuse is looked for as it happens, stopped, and told to somebody",
        &["6.2.4", "10.4.1.1", "12.10.5"],
    );
    let mut shown = Vec::new();
    for Process { config, path } in &scene.processes {
        let node = &config.node;
        let engine = config.watch.engine();
        for rule in &engine.rules {
            shown.push(json!({
                "node": node,
                "rule": rule.name.name(),
                "by": rule.by.name(),
                "window_s": rule.window_s,
                "hits_max": rule.hits_max,
                "per_cent_max": rule.per_cent_max,
                "networks_min": rule.networks_min,
                "action": rule.action.name(),
                "first_s": rule.first_s,
                "lasts_s": rule.lasts_s,
            }));
        }
        let weakened: Vec<String> = config
            .watch
            .rules
            .keys()
            .map(|name| name.name().to_owned())
            .collect();
        let changed = if weakened.is_empty() {
            "all as by default".to_owned()
        } else {
            format!("changed: {}", weakened.join(", "))
        };
        let rules = engine.rules.len();
        match config.watch.mode {
            WatchMode::Enforce => {
                look.must(true, format_args!("{node}: {rules} rules act, {changed}"));
            }
            WatchMode::Observe if !scene.is_live() => look.saw(
                Verdict::NotApplicable,
                format_args!("{node}: {rules} rules tell and stop nobody, in the test environment"),
            ),
            WatchMode::Observe => {
                look.must(false, format_args!("{node}: {rules} rules stop nobody"));
            }
        }
        if config.internal.is_some() {
            let webhooks = config.alerts.webhooks.len();
            let mail = config.alerts.mail.as_ref().map_or(0, |mail| mail.to.len());
            let told = webhooks.saturating_add(mail);
            let verdict = match (told, scene.is_live()) {
                (0, true) => Verdict::Fail,
                (0, false) => Verdict::NotApplicable,
                (_, _) => Verdict::Pass,
            };
            look.saw(verdict, format_args!("{node}: {told} receivers of alerts"));
        }
        look.again(format!("cloakroom watch list --config {}", path.display()));
    }
    look.shown_in(RULES);
    bundle.json(RULES, &shown);
    bundle.check(look.done());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_receivers_host_is_not_handed_on() {
        let text = "[[webhooks]]\nurl = \"https://shop.example/hooks/s3cret?key=s3cret\" # ours\n\
                    other = 'https://cards.example'\nbare = 1\n";
        let kept = without_paths(text);
        assert!(!kept.contains("s3cret"), "{kept}");
        assert_eq!(
            kept,
            "[[webhooks]]\nurl = \"https://shop.example/…\" # ours\n\
             other = 'https://cards.example'\nbare = 1\n"
        );
    }
}
