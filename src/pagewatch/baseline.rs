//! What the pages were when somebody looked at them and signed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use super::page::{Page, Script, without_query};
use crate::seal::signing::{SigningKey, verify};

/// What is signed is told apart from everything else that the key may sign.
const CONTEXT: &[u8] = b"cloakroom pagewatch baseline 1\n";

/// Pages by their URLs without query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// RFC 3339.
    pub recorded_at: String,
    pages: BTreeMap<String, Page>,
}

/// A baseline in its file: the text that was signed, and the signature.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    baseline: String,
    public_key: String,
    signature: String,
}

/// Why a file is no baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaselineRefused {
    /// It is not what `pagewatch --record` writes.
    #[error("the baseline cannot be read")]
    Malformed,
    /// Somebody else signed it, or it was changed since.
    #[error("the baseline's signature does not hold under the public key that was given")]
    Signature,
}

/// How a page differs from its baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The page.
    pub page: String,
    /// What it is about: `script`, `header`, `frame`, `form`, `page`.
    pub kind: &'static str,
    /// `new`, `gone` or `changed`.
    pub change: &'static str,
    /// Which script, header, frame or form.
    pub name: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            page,
            kind,
            change,
            name,
        } = self;
        write!(f, "{change} {kind} on {page}: {name}")
    }
}

impl Baseline {
    /// An empty one, recorded now.
    #[must_use]
    pub fn new(recorded_at: String) -> Self {
        let pages = BTreeMap::new();
        Self { recorded_at, pages }
    }

    /// Takes a page as it is.
    pub fn record(&mut self, url: &Url, page: Page) {
        self.pages.insert(without_query(url.clone()), page);
    }

    /// The signed text of its file.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let baseline = serde_json::to_string(self).unwrap_or_default();
        let signed = Signed {
            signature: BASE64_STANDARD.encode(key.sign(&message(&baseline))),
            public_key: BASE64_STANDARD.encode(key.public_key_bytes()),
            baseline,
        };
        serde_json::to_string_pretty(&signed).unwrap_or_default() + "\n"
    }

    /// Reads what [`sign`](Self::sign) wrote. The key in the file is for people: what counts is
    /// `public_key`, which comes from elsewhere.
    ///
    /// # Errors
    /// [`BaselineRefused`].
    pub fn read(text: &str, public_key: &[u8]) -> Result<Self, BaselineRefused> {
        let signed: Signed = serde_json::from_str(text).map_err(|_| BaselineRefused::Malformed)?;
        let signature = BASE64_STANDARD
            .decode(&signed.signature)
            .map_err(|_| BaselineRefused::Malformed)?;
        if !verify(public_key, &message(&signed.baseline), &signature) {
            return Err(BaselineRefused::Signature);
        }
        serde_json::from_str(&signed.baseline).map_err(|_| BaselineRefused::Malformed)
    }

    /// How `page` differs from what was signed.
    #[must_use]
    pub fn compare(&self, url: &Url, page: &Page) -> Vec<Difference> {
        let name = without_query(url.clone());
        let told = |kind, change, what: &str| Difference {
            page: name.clone(),
            kind,
            change,
            name: what.to_owned(),
        };
        let Some(before) = self.pages.get(&name) else {
            return vec![told("page", "new", &name)];
        };
        let mut differences = scripts(&before.scripts, &page.scripts)
            .into_iter()
            .map(|(change, source)| told("script", change, &source))
            .collect::<Vec<_>>();
        let names: BTreeSet<_> = before.headers.keys().chain(page.headers.keys()).collect();
        for header in names {
            let change = match (before.headers.get(header), page.headers.get(header)) {
                (Some(then), Some(now)) if then == now => continue,
                (Some(_), Some(_)) => "changed",
                (Some(_), None) => "gone",
                (None, _) => "new",
            };
            differences.push(told("header", change, header));
        }
        for (kind, then, now) in [
            ("frame", &before.frames, &page.frames),
            ("form", &before.forms, &page.forms),
        ] {
            let (then, now): (BTreeSet<_>, BTreeSet<_>) =
                (then.iter().collect(), now.iter().collect());
            differences.extend(now.difference(&then).map(|what| told(kind, "new", what)));
            differences.extend(then.difference(&now).map(|what| told(kind, "gone", what)));
        }
        differences
    }
}

/// Scripts that came, went or changed. One that stands in the page has no name to be known by: with
/// other bytes it is another one.
fn scripts(then: &[Script], now: &[Script]) -> Vec<(&'static str, String)> {
    let count = |scripts: &[Script], script: &Script| {
        scripts.iter().filter(|other| *other == script).count()
    };
    let known = |scripts: &[Script], source: &str| {
        source.contains("://") && scripts.iter().any(|other| other.source == source)
    };
    let told = |script: &Script| {
        if script.source.contains("://") {
            script.source.clone()
        } else {
            format!("{} {}", script.source, script.hash)
        }
    };
    let all: BTreeSet<&Script> = then.iter().chain(now).collect();
    let mut changes: Vec<(&'static str, String)> = Vec::new();
    for script in all {
        let (before, after) = (count(then, script), count(now, script));
        // Of one that is known and was not had, nothing can be said; one that is not known is new,
        // whether or not its host answers whoever watches.
        let is_silent = script.is_unread() && known(then, &script.source);
        if after > before && !is_silent {
            let change = if known(then, &script.source) {
                "changed"
            } else {
                "new"
            };
            changes.push((change, told(script)));
        } else if after < before && !known(now, &script.source) {
            changes.push(("gone", told(script)));
        }
    }
    changes
}

fn message(baseline: &str) -> Vec<u8> {
    [CONTEXT, baseline.as_bytes()].concat()
}
