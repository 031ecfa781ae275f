//! The headers under which browsers get pages and files of ours.
//!
//! One script and one style, each named by its hash; nothing from elsewhere, not even from us; no
//! text that becomes markup (Trusted Types); no right to devices; a process apart from other sites.

use std::fmt::Write as _;

use actix_web::HttpResponseBuilder;

use super::assets::Asset;
use super::templates::Template;

/// Who may show a page in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Embedding<'a> {
    /// Nobody.
    Nobody,
    /// Pages of this origin.
    By(&'a str),
}

/// Rights that no page of ours needs.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), camera=(), \
    display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), \
    idle-detection=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), \
    xr-spatial-tracking=()";

/// Whether browsers report what a page was kept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reporting<'a> {
    /// To this address of the page's own: `super::nonce`.
    To(&'a str),
    /// To nobody: the page's address holds a secret when it is opened, and some engines report
    /// addresses with their fragment (`WebKit` does in reports of integrity).
    Off,
}

/// The headers of a page that may take a card.
pub(super) fn page(
    answer: &mut HttpResponseBuilder,
    template: &Template,
    embedding: Embedding<'_>,
    reporting: Reporting<'_>,
) {
    let (ancestors, resource) = match embedding {
        Embedding::Nobody => ("'none'", "same-origin"),
        // An isolated shop (COEP) shows only what says that it may be shown.
        Embedding::By(origin) => (origin, "cross-origin"),
    };
    let mut policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hashes(&template.scripts),
        hashes(&template.styles),
    );
    let mut integrity = "blocked-destinations=(script)".to_owned();
    if let Reporting::To(address) = reporting {
        // Writing to a String cannot fail.
        let _infallible = write!(policy, "; report-uri {address}; report-to cards");
        integrity.push_str(", endpoints=(cards)");
        answer.insert_header(("reporting-endpoints", format!("cards=\"{address}\"")));
    }
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header(("content-security-policy", policy))
        .insert_header(("integrity-policy", integrity))
        .insert_header(("permissions-policy", PERMISSIONS))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("cross-origin-embedder-policy", "require-corp"))
        .insert_header(("cross-origin-resource-policy", resource))
        .insert_header(("origin-agent-cluster", "?1"))
        .insert_header(("cache-control", "no-store"));
    if matches!(embedding, Embedding::Nobody) {
        answer.insert_header(("x-frame-options", "DENY"));
    }
}

/// The hashes of what may stand in a page.
fn hashes(assets: &[&Asset]) -> String {
    if assets.is_empty() {
        return "'none'".to_owned();
    }
    let quoted = assets.iter().map(|asset| format!("'{}'", asset.integrity));
    quoted.collect::<Vec<_>>().join(" ")
}

/// Where browsers report what a page of ours was kept from doing.
pub(super) const REPORTS: &str = "/fields/v1/reports";
