//! Whether the planes are apart: in processes of their own, with TLS keys of their own.

use std::path::PathBuf;

use super::Finding;
use crate::config::Config;
use crate::http::tls;
use crate::token::Environment;

const MEND: &str = "give each plane a process, a host user and a certificate with a key of its own \
                    (docs/deploy.md, \"Two processes\")";

/// Looks at a configuration, and at that of the other process where it is given.
pub(super) fn look(config: &Config, beside: Option<&Config>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.capture.is_some() && config.internal.is_some() {
        findings.push(together(config));
    }
    findings.extend(beside.map(|other| keys(config, other)));
    findings
}

fn together(config: &Config) -> Finding {
    let seen =
        "capture and internal run in one process: whoever takes it over has the keys of both";
    match config.environment {
        Environment::Live => Finding::warning("planes", seen, MEND),
        Environment::Test => Finding::ok("planes", "in one process, as development may have it"),
    }
}

/// One key in two processes makes one of them as good as the other for who steals it.
fn keys(config: &Config, other: &Config) -> Finding {
    let theirs = certificates(other);
    for (plane, file) in certificates(config) {
        for (their_plane, their_file) in &theirs {
            let same = match (tls::public_key(&file), tls::public_key(their_file)) {
                (Ok(own), Ok(their)) => own == their,
                (Err(refused), _) | (_, Err(refused)) => {
                    return Finding::failed("planes", refused, MEND);
                }
            };
            if same {
                let seen = format!("{plane} here and {their_plane} there have the same TLS key");
                return Finding::warning("planes", seen, MEND);
            }
        }
    }
    Finding::ok("planes", "each process has TLS keys of its own")
}

fn certificates(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let capture = config.capture.as_ref().map(|plane| &plane.certificate_file);
    let internal = config
        .internal
        .as_ref()
        .map(|plane| &plane.certificate_file);
    let ops = config.ops.as_ref().map(|plane| &plane.certificate_file);
    let planes = [("capture", capture), ("internal", internal), ("ops", ops)];
    let named = planes.into_iter();
    named
        .filter_map(|(plane, file)| Some((plane, file?.relative())))
        .collect()
}
