//! The headers under which browsers get pages and files of ours.
//!
//! Nothing inline but the import map, which is named by its hash; nothing from elsewhere; no text
//! that becomes markup (Trusted Types); no right to devices; a process apart from other sites.

use std::sync::LazyLock;

use actix_web::HttpResponseBuilder;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::assets::ASSETS;

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

static IMPORT_MAP_HASH: LazyLock<String> = LazyLock::new(|| {
    let hash = digest(&SHA256, ASSETS.import_map().as_bytes());
    format!("'sha256-{}'", BASE64_STANDARD.encode(hash))
});

/// The headers of a page that may take a card.
pub(super) fn page(answer: &mut HttpResponseBuilder, embedding: Embedding<'_>) {
    let (ancestors, resource) = match embedding {
        Embedding::Nobody => ("'none'", "same-origin"),
        // An isolated shop (COEP) shows only what says that it may be shown.
        Embedding::By(origin) => (origin, "cross-origin"),
    };
    let policy = format!(
        "default-src 'none'; script-src 'self' {}; style-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}; \
         require-trusted-types-for 'script'; trusted-types 'none'; \
         report-uri {REPORTS}; report-to cards",
        *IMPORT_MAP_HASH
    );
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header(("content-security-policy", policy))
        .insert_header(("reporting-endpoints", format!("cards=\"{REPORTS}\"")))
        .insert_header((
            "integrity-policy",
            "blocked-destinations=(script), endpoints=(cards)",
        ))
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

/// Where browsers report what a page of ours was kept from doing.
pub(super) const REPORTS: &str = "/fields/v1/reports";
