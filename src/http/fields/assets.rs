//! What `web/` holds, as browsers get it: embedded, without its comments, packed, each file with
//! the hash that a page can demand of it (Subresource Integrity).
//!
//! The frame's files lie under a name that is made of all of them, so they may be kept for ever
//! and never mix with those of another version. The loader has a name of its own, which stays as
//! long as its bytes do: shops write it into their pages.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA384, digest};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Bytes of a hash that stand in a URL: 72 bits, of which nobody finds another file by chance.
const NAME_BYTES: usize = 9;

/// The loader's file.
pub const LOADER: &str = "loader.js";

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../web/", $name)))),+]
    };
}

const SOURCES: &[(&str, &str)] = embedded![
    "loader.js",
    "card.js",
    "courier.js",
    "field.js",
    "form.js",
    "frame.js",
    "locales.js",
    "locales/ar.js",
    "locales/da.js",
    "locales/de.js",
    "locales/es.js",
    "locales/fr.js",
    "locales/he.js",
    "locales/it.js",
    "locales/ja.js",
    "locales/nl.js",
    "locales/pl.js",
    "locales/pt.js",
    "locales/sv.js",
    "pay.js",
    "protocol.js",
    "return.js",
    "theme.js",
    "fields.css",
    "page.css",
];

/// A file as it is served.
#[derive(Debug)]
pub struct Asset {
    /// Its path in `web/`.
    pub name: &'static str,
    /// Its bytes.
    pub text: String,
    /// Its bytes, packed.
    pub packed: Vec<u8>,
    /// What an `integrity` attribute demands: `sha384-…`.
    pub integrity: String,
}

impl Asset {
    fn of(name: &'static str, source: &str) -> Self {
        let text = bare(source);
        let hash = digest(&SHA384, text.as_bytes());
        Self {
            name,
            integrity: format!("sha384-{}", BASE64_STANDARD.encode(hash)),
            packed: packed(text.as_bytes()).unwrap_or_default(),
            text,
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        if std::path::Path::new(self.name)
            .extension()
            .is_some_and(|extension| extension == "css")
        {
            "text/css; charset=utf-8"
        } else {
            "text/javascript; charset=utf-8"
        }
    }
}

/// All files of one build.
#[derive(Debug)]
pub struct Assets {
    files: Vec<Asset>,
    /// The part of the URL that names this build of the frame.
    pub release: String,
    /// The loader's file name with its hash: `loader.….js`.
    pub loader_name: String,
}

/// The files of this build.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::build);

impl Assets {
    fn build() -> Self {
        let files: Vec<Asset> = SOURCES
            .iter()
            .map(|(name, source)| Asset::of(name, source))
            .collect();
        let of_frame: String = files
            .iter()
            .filter(|file| file.name != LOADER)
            .map(|file| [file.name, " ", &file.integrity, "\n"].concat())
            .collect();
        let loader: String = files
            .iter()
            .filter(|file| file.name == LOADER)
            .map(|file| file.text.as_str())
            .collect();
        Self {
            release: name_of(&of_frame),
            loader_name: format!("loader.{}.js", name_of(&loader)),
            files,
        }
    }

    /// The file of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Asset> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Every file.
    pub fn iter(&self) -> impl Iterator<Item = &Asset> {
        self.files.iter()
    }

    /// Where the frame's files are.
    #[must_use]
    pub fn base(&self) -> String {
        format!("/fields/v1/{}/", self.release)
    }

    /// The import map by which a module that another one imports is demanded by its hash as well.
    #[must_use]
    pub fn import_map(&self) -> String {
        let base = self.base();
        let integrity: serde_json::Map<String, serde_json::Value> = self
            .files
            .iter()
            .filter(|file| file.name != LOADER && !file.media_type().contains("css"))
            .map(|file| {
                (
                    format!("{base}{}", file.name),
                    file.integrity.clone().into(),
                )
            })
            .collect();
        serde_json::json!({ "integrity": integrity }).to_string()
    }
}

fn name_of(text: &str) -> String {
    let hash = digest(&SHA384, text.as_bytes());
    let short = hash.as_ref().iter().copied().take(NAME_BYTES);
    BASE64_URL_SAFE_NO_PAD.encode(short.collect::<Vec<u8>>())
}

/// Without indentation and without lines that are nothing but comment. The sources keep to that
/// form: a comment has lines of its own, and no text depends on how it is indented.
fn bare(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut in_comment = false;
    for line in source.lines().map(str::trim) {
        let opens = line.starts_with("/*");
        if opens || in_comment {
            in_comment = !line.contains("*/");
            // What stands behind a comment on the same line is code.
            let rest = line.split_once("*/").map_or("", |(_, rest)| rest.trim());
            push(&mut text, rest);
        } else if !line.starts_with("//") {
            push(&mut text, &without_types(line));
        }
    }
    text
}

/// A line without the types that stand within it.
fn without_types(line: &str) -> Cow<'_, str> {
    let Some((before, rest)) = line.split_once("/** @type") else {
        return Cow::Borrowed(line);
    };
    let after = rest.split_once("*/").map_or("", |(_, after)| after);
    Cow::Owned([before, &without_types(after.trim_start())].concat())
}

fn push(text: &mut String, line: &str) {
    if !line.is_empty() {
        text.push_str(line);
        text.push('\n');
    }
}

pub(super) fn packed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_types_go_and_code_stays() {
        let source = "/**\n * @file What.\n */\n// why\nconst a = /** @type {X} */ (b); // not\n  /** @param {Y} y */ f(y);\n";
        assert_eq!(bare(source), "const a = (b); // not\nf(y);\n");
    }

    #[test]
    fn a_file_that_lies_in_web_is_embedded_or_a_page() {
        fn walk(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push(path);
                }
            }
        }
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut found = Vec::new();
        walk(&root, &mut found);
        for path in found {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            let page = path.extension().is_some_and(|kind| kind == "html");
            assert!(page || ASSETS.find(name).is_some(), "{name} is not served");
        }
    }

    #[test]
    fn every_language_has_a_word_for_each_name() {
        let count = |text: &str| {
            let words = text.replace('\n', "");
            assert!(!words.contains("||"), "{text}");
            words.split('|').count()
        };
        let english = &ASSETS.find("locales.js").unwrap().text;
        let between = |from: &str, to: &str| {
            let (_, rest) = english.split_once(from).unwrap();
            rest.split_once(to).unwrap().0.to_owned()
        };
        let names = count(&between("const NAMES =", ";").replace("\" +\n\"", ""));
        assert_eq!(count(&between("const ENGLISH = `", "`")), names);
        for asset in ASSETS
            .iter()
            .filter(|asset| asset.name.starts_with("locales/"))
        {
            assert_eq!(count(&asset.text), names, "{}", asset.name);
        }
    }

    #[test]
    fn the_inventory_of_scripts_names_each_file_and_its_hash() {
        let path = "pci-docs/payment-page/scripts.md";
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let inventory = std::fs::read_to_string(root.join(path)).unwrap();
        let mut missing = String::new();
        for asset in ASSETS.iter() {
            let row = format!("| `web/{}` | `{}` |", asset.name, asset.integrity);
            if !inventory.contains(&row) {
                missing.extend([row.as_str(), "\n"]);
            }
        }
        let rows = inventory.matches("| `web/").count();
        assert_eq!(
            (missing.as_str(), rows),
            ("", ASSETS.iter().count()),
            "{path} is to say what is served"
        );
    }

    #[test]
    fn the_loader_is_under_3_kb_and_a_checkout_under_20() {
        let size = |name: &str| ASSETS.find(name).unwrap().packed.len();
        assert!(size(LOADER) < 3_000, "{}", size(LOADER));
        let mut names = vec![LOADER, "fields.css", "locales/ja.js"];
        names.extend([
            "card.js",
            "courier.js",
            "field.js",
            "form.js",
            "frame.js",
            "locales.js",
            "protocol.js",
            "theme.js",
        ]);
        let page = packed(super::super::templates::frame("https://shop.example").as_bytes());
        let all: usize = names.into_iter().map(size).sum();
        let all = all + page.unwrap().len();
        assert!(all < 20_000, "{all}");
    }
}
