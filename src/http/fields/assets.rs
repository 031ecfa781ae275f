//! What `web/` holds, as browsers get it: embedded, without its comments, packed, each with the hash
//! that a page names.
//!
//! A page of ours is one document: its one script, made of the modules that it needs, and its style
//! stand in it, and its policy names both by their hashes. They are files under `/fields/v1/` as
//! well, for whoever wants to read or compare them; no page needs those. The loader is a file that
//! shops name in their pages, so a name made of its bytes stays as long as any shop may use it.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA384, digest};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::bundle::bundle;

/// Bytes of a hash that stand in a URL: 72 bits, of which nobody finds another file by chance.
const NAME_BYTES: usize = 9;

/// The loader's file.
pub const LOADER: &str = "loader.js";

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../web/", $name)))),+]
    };
}

/// The modules in `web/`, of which the scripts are made.
const MODULES: &[(&str, &str)] = embedded![
    "card.js",
    "charge.js",
    "charge_words.js",
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
    "money.js",
    "pay.js",
    "protocol.js",
    "report.js",
    "return.js",
    "storage.js",
    "theme.js",
];

/// What is served as it stands in `web/`, but for comments.
const PLAIN: &[(&str, &str)] = embedded!["loader.js", "fields.css", "page.css"];

/// The pages' scripts, each by the module that it begins with.
const SCRIPTS: &[&str] = &["frame.js", "pay.js", "charge.js", "return.js"];

/// Loaders of earlier releases, by the names that shops have in their pages, as they were served.
const EARLIER_LOADERS: &[(&str, &str)] = &[(
    "loader.5WAk7oAK-RZA.js",
    include_str!("../../../web/earlier/loader.5WAk7oAK-RZA.js"),
)];

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
    fn of(name: &'static str, text: String) -> Self {
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
    earlier: Vec<Asset>,
    /// The part of the URL that names this build of the pages' scripts and styles.
    pub release: String,
    /// The loader's file name with its hash: `loader.….js`.
    pub loader_name: String,
}

/// The files of this build.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::build);

impl Assets {
    fn build() -> Self {
        let modules: Vec<(&str, String)> = MODULES
            .iter()
            .map(|(name, source)| (*name, bare(source)))
            .collect();
        let module = |wanted: &str| {
            let found = modules.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, text)| text.as_str())
        };
        let scripts = SCRIPTS
            .iter()
            .map(|name| Asset::of(name, bundle(name, &module)));
        let plain = PLAIN
            .iter()
            .map(|(name, source)| Asset::of(name, bare(source)));
        let files: Vec<Asset> = plain.chain(scripts).collect();
        let of_pages: String = files
            .iter()
            .filter(|file| file.name != LOADER)
            .map(|file| [file.name, " ", &file.integrity, "\n"].concat())
            .collect();
        let loader: String = files
            .iter()
            .filter(|file| file.name == LOADER)
            .map(|file| file.text.as_str())
            .collect();
        let earlier = EARLIER_LOADERS
            .iter()
            .map(|(name, text)| Asset::of(name, (*text).to_owned()));
        Self {
            release: name_of(&of_pages),
            loader_name: loader_name_of(&loader),
            files,
            earlier: earlier.collect(),
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

    /// The loader under a name that is made of its bytes: this build's, or an earlier one's.
    #[must_use]
    pub fn named_loader(&self, name: &str) -> Option<&Asset> {
        if name == self.loader_name {
            return self.find(LOADER);
        }
        self.earlier.iter().find(|file| file.name == name)
    }

    /// Where the pages' scripts and styles can be read.
    #[must_use]
    pub fn base(&self) -> String {
        format!("/fields/v1/{}/", self.release)
    }
}

fn loader_name_of(text: &str) -> String {
    format!("loader.{}.js", name_of(text))
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
            // The package for shops that bundle is npm's to serve.
            if name.starts_with("npm/") {
                continue;
            }
            let page = path.extension().is_some_and(|kind| kind == "html");
            let module = MODULES.iter().any(|(module, _)| *module == name);
            let earlier = name.strip_prefix("earlier/");
            let earlier = earlier.is_some_and(|name| ASSETS.named_loader(name).is_some());
            let served = module || earlier || ASSETS.find(name).is_some();
            assert!(page || served, "{name} is not served");
        }
    }

    #[test]
    fn every_module_is_in_a_script_and_an_earlier_loader_has_the_name_of_its_bytes() {
        for (name, source) in MODULES {
            let text = bare(source);
            let line = text.lines().max_by_key(|line| line.len()).unwrap();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let used = SCRIPTS
                .iter()
                .any(|script| ASSETS.find(script).unwrap().text.contains(line));
            assert!(used, "{name} is in no script");
        }
        for asset in &ASSETS.earlier {
            assert_eq!(loader_name_of(&asset.text), asset.name);
        }
    }

    /// The words of a list of them in a module, between two pieces of its text.
    fn listed(module: &str, from: &str, to: &str) -> Vec<String> {
        let (_, source) = MODULES.iter().find(|(name, _)| *name == module).unwrap();
        let (_, rest) = source.split_once(from).unwrap();
        let text = rest.split_once(to).unwrap().0;
        let text = text.replace("\" +\n  \"", "").replace('\n', "");
        text.split('|').map(|word| word.trim().to_owned()).collect()
    }

    /// The languages' modules, and English.
    fn languages() -> Vec<Vec<String>> {
        let others = MODULES
            .iter()
            .filter(|(name, _)| name.starts_with("locales/"));
        let mut all: Vec<_> = others
            .map(|(name, _)| listed(name, "const words = `", "`"))
            .collect();
        all.push(listed("locales.js", "const ENGLISH = `", "`"));
        all
    }

    #[test]
    fn every_language_has_a_word_for_each_name() {
        let names = listed("locales.js", "const NAMES =\n  \"", "\";");
        assert!(names.len() > 30, "{names:?}");
        for words in languages() {
            assert_eq!(words.len(), names.len(), "{words:?}");
            assert!(words.iter().all(|word| !word.is_empty()), "{words:?}");
        }
    }

    #[test]
    fn every_problem_of_the_service_has_words_in_every_language() {
        let names = listed("locales.js", "const NAMES =\n  \"", "\";");
        let (_, courier) = MODULES
            .iter()
            .find(|(name, _)| *name == "courier.js")
            .unwrap();
        let (_, rest) = courier.split_once("const MEANINGS = {\n").unwrap();
        let table = rest.split_once("};").unwrap().0;
        let meanings: std::collections::BTreeMap<&str, &str> = table
            .lines()
            .filter_map(|line| line.trim().trim_end_matches(',').split_once(": "))
            .map(|(code, meaning)| (code, meaning.trim_matches('"')))
            .collect();
        assert_eq!(meanings.len(), crate::problem::Code::ALL.len());
        for code in crate::problem::Code::ALL {
            let meaning = meanings.get(code.name());
            // What is wrong with a card is said at its field.
            let field = meaning == Some(&"invalid");
            let has_words = meaning.is_some_and(|meaning| names.iter().any(|name| name == meaning));
            assert!(field || has_words, "{} has no words", code.name());
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
    fn the_loader_is_under_5_kb_and_a_checkout_under_25() {
        let loader = ASSETS.find(LOADER).unwrap().packed.len();
        assert!(loader < 5_000, "{loader}");
        let page = super::super::templates::frame("https://shop.example", "light", "");
        let all = loader + packed(page.as_bytes()).unwrap().len();
        assert!(all < 25_000, "{all}");
    }
}
