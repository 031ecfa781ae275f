//! What is looked at in a page.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use html5gum::{DefaultEmitter, Token, Tokenizer};
use hyper::HeaderMap;
use serde::{Deserialize, Serialize};
use url::Url;

/// The headers whose change weakens a page, or shows that somebody changed it.
const SECURITY_HEADERS: [&str; 12] = [
    "content-security-policy",
    "content-security-policy-report-only",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "integrity-policy",
    "permissions-policy",
    "referrer-policy",
    "reporting-endpoints",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
];
/// The source of a script that stands in the page itself.
const INLINE: &str = "inline";

/// A page as it was served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Its security headers.
    pub headers: BTreeMap<String, String>,
    /// Its scripts, in order.
    pub scripts: Vec<Script>,
    /// Where its frames lead.
    pub frames: Vec<String>,
    /// Where its forms lead.
    pub forms: Vec<String>,
}

impl Page {
    pub(super) const fn new(headers: BTreeMap<String, String>, scripts: Vec<Script>) -> Self {
        Self {
            headers,
            scripts,
            frames: Vec::new(),
            forms: Vec::new(),
        }
    }
}

/// A script: where it comes from, and the hash of its bytes as Subresource Integrity writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Its URL; `inline`, or the name of an event handler, where it stands in the page.
    pub source: String,
    /// `sha384-…`; nothing where its bytes could not be had.
    pub hash: String,
}

impl Script {
    /// One that is there, and whose bytes could not be had.
    pub(super) fn unread(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            hash: String::new(),
        }
    }

    pub(super) const fn is_unread(&self) -> bool {
        self.hash.is_empty()
    }

    pub(super) fn new(source: &str, bytes: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA384, bytes);
        Self {
            source: source.to_owned(),
            hash: format!("sha384-{}", BASE64_STANDARD.encode(hash)),
        }
    }
}

/// The security headers among `headers`, several of one name in one line. A nonce is new with each
/// answer, and stands as `*`.
pub(super) fn security_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let value = |name: &&str| {
        let values = headers.get_all(*name).iter();
        let values: Vec<_> = values
            .map(|value| without_nonces(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        (!values.is_empty()).then(|| ((*name).to_owned(), values.join(", ")))
    };
    SECURITY_HEADERS.iter().filter_map(value).collect()
}

fn without_nonces(value: &str) -> String {
    let words = value.split(' ').map(|word| {
        if word.starts_with("'nonce-") {
            "'nonce-*'"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a page's text names.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) inline: Vec<Script>,
    pub(super) sources: Vec<Url>,
    pub(super) frames: Vec<String>,
    pub(super) forms: Vec<String>,
}

impl Found {
    /// Reads a page that was served at `at`.
    pub(super) fn read(html: &[u8], at: &Url) -> Self {
        let mut found = Self::default();
        let mut base = at.clone();
        // A script whose text has not come yet.
        let mut open = false;
        let mut text: Vec<u8> = Vec::new();
        // A script's text is text, whatever stands in it.
        let mut emitter = DefaultEmitter::<()>::default();
        emitter.naively_switch_states(true);
        for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
            match token {
                Token::StartTag(tag) => {
                    let attribute = |name: &str| {
                        let value = tag.attributes.get(name.as_bytes())?;
                        Some(String::from_utf8_lossy(value).into_owned())
                    };
                    let resolved = |text: String| base.join(text.trim()).ok();
                    for (name, value) in &tag.attributes {
                        if name.starts_with(b"on") {
                            let name = String::from_utf8_lossy(name);
                            found.inline.push(Script::new(&name, value));
                        }
                    }
                    match &**tag.name {
                        b"base" => {
                            if let Some(new) = attribute("href").and_then(resolved) {
                                base = new;
                            }
                        }
                        b"script" if runs(attribute("type").as_deref()) => {
                            match attribute("src") {
                                Some(source) => found.sources.extend(resolved(source)),
                                None => open = true,
                            }
                            text.clear();
                        }
                        b"iframe" | b"frame" | b"embed" | b"object" => {
                            let leads = attribute("src").or_else(|| attribute("data"));
                            let leads = leads.and_then(resolved).map(without_query);
                            found.frames.extend(leads);
                            if let Some(document) = attribute("srcdoc") {
                                found
                                    .inline
                                    .push(Script::new("srcdoc", document.as_bytes()));
                            }
                        }
                        b"form" => {
                            let leads = attribute("action").and_then(resolved);
                            found.forms.extend(leads.map(without_query));
                        }
                        b"link" if preloads(attribute("rel").as_deref()) => {
                            found.sources.extend(attribute("href").and_then(resolved));
                        }
                        _ => {}
                    }
                }
                Token::String(piece) if open => text.extend_from_slice(&piece),
                Token::EndTag(tag) if open && **tag.name == *b"script" => {
                    found.inline.push(Script::new(INLINE, &text));
                    open = false;
                }
                Token::String(_)
                | Token::EndTag(_)
                | Token::Comment(_)
                | Token::Doctype(_)
                | Token::Error(_) => {}
            }
        }
        found.sources.dedup();
        found
    }
}

/// Whether a browser runs a script of that type, or lets it decide what runs; others are data.
fn runs(kind: Option<&str>) -> bool {
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        kind.as_str(),
        "" | "module" | "importmap" | "speculationrules"
    ) || kind.contains("javascript")
        || kind.contains("ecmascript")
        || kind.contains("jscript")
}

fn preloads(rel: Option<&str>) -> bool {
    rel.is_some_and(|rel| {
        rel.split_ascii_whitespace()
            .any(|word| word.eq_ignore_ascii_case("modulepreload"))
    })
}

/// A query names a session or a visit, and is another each time.
pub(super) fn without_query(mut url: Url) -> String {
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
