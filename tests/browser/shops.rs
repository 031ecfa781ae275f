//! Shops that are built with npm's packages: a directory in which `@cloakroom/fields` is installed
//! from its tarball beside the frameworks, whose modules a site serves one by one, unbundled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checkout::Shop;
use crate::guide::snippet;
use crate::looks::target;

/// The files of a shop and the tools that they are compiled with.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/shops");
/// The package's source.
pub(crate) const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/npm");

/// A directory with a shop's files.
pub(crate) struct Workshop(TempDir);

/// What `unbundled.mjs` prints.
#[derive(Debug, Deserialize)]
struct Modules {
    entry: String,
    files: BTreeMap<String, String>,
}

/// Runs a program of npm's or Node's there and answers what it prints.
fn run(program: &str, arguments: &[&str], dir: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}{errors}");
    text
}

/// Packs the package into a directory; what npm says of the tarball.
pub(crate) fn pack(into: &Path) -> Value {
    let destination = into.to_str().unwrap();
    let arguments = ["pack", "--json", "--pack-destination", destination];
    let said: Value = serde_json::from_str(&run("npm", &arguments, Path::new(PACKAGE))).unwrap();
    said[0].clone()
}

impl Workshop {
    /// With the package installed, the shops' files and the guide's components.
    pub(crate) fn new() -> Self {
        // Below the frameworks, where Node finds them.
        let dir = TempDir::new_in(target().join("browser-tools")).unwrap();
        let shop = Self(dir);
        shop.write("package.json", r#"{"private":true,"type":"module"}"#);
        for entry in std::fs::read_dir(FILES).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(
                &path,
                shop.path(path.file_name().unwrap().to_str().unwrap()),
            )
            .unwrap();
        }
        let packed = pack(shop.0.path());
        let tarball = ["./", packed["filename"].as_str().unwrap()].concat();
        let install = [
            "install",
            "--offline",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            &tarball,
        ];
        run("npm", &install, shop.0.path());
        for (name, file) in [
            ("react", "Checkout.tsx"),
            ("vue", "Checkout.vue"),
            ("svelte", "Checkout.svelte"),
        ] {
            shop.write(file, snippet(name));
        }
        shop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs a tool of the browser tests, or Node.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        run(program, arguments, self.0.path())
    }

    /// Puts the modules of an entry on the shop's site; the address of the first.
    pub(crate) fn modules(&self, shop: &Shop, entry: &str) -> String {
        let modules = self.run("node", &["unbundled.mjs", entry]);
        let Modules { entry, files } = serde_json::from_str(&modules).unwrap();
        let (own, integrity) = loader(shop);
        for (path, text) in files {
            // The guide's names stand for the service's.
            let text = text
                .replace("https://cards.example/fields/v1/loader.HASH.js", &own)
                .replace("sha384-HASH", &integrity);
            shop.site.put(&path, "text/javascript", &[], &text);
        }
        entry
    }

    /// Puts up the page of a shop that is drawn by its framework, with sessions to pay in.
    pub(crate) async fn open(&self, shop: &Shop, entry: &str) {
        let secrets = [shop.secret().await, shop.secret().await];
        let (src, integrity) = loader(shop);
        let loader = json!({ "src": src, "integrity": integrity });
        let config = format!(
            "export const loader = {loader};\nexport const secrets = {};\n",
            json!(secrets)
        );
        self.write("config.js", &config);
        let entry = self.modules(shop, entry);
        let page = format!(
            r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title>
            <div id="app"></div><output></output><script type="module" src="{entry}"></script></html>"#
        );
        let policy = format!(
            "default-src 'none'; script-src 'self' {capture}/fields/v1/; frame-src {capture}/fields/v1/; \
             require-trusted-types-for 'script'; trusted-types cloakroom-fields vue svelte-trusted-html; base-uri 'none'",
            capture = shop.app.at.capture
        );
        let headers = [("content-security-policy", policy.as_str())];
        shop.site.put("/shop", "text/html", &headers, &page);
    }
}

/// The address and the hash that `cloakroom check` prints.
pub(crate) fn loader(shop: &Shop) -> (String, String) {
    let assets = &*cloakroom::http::fields::assets::ASSETS;
    let file = assets.named_loader(&assets.loader_name).unwrap();
    let path = cloakroom::http::fields::loader_path();
    let src = format!("{}{path}", shop.app.at.capture);
    (src, file.integrity.clone())
}
