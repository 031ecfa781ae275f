//! The npm package: what is in it, how large it is, that its types fit, that a server renders it.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shops::{PACKAGE, Workshop, pack};

fn source(name: &str) -> String {
    std::fs::read_to_string(Path::new(PACKAGE).join(name)).unwrap()
}

#[test]
fn the_package_holds_what_it_says_and_is_no_larger() {
    let dir = TempDir::new().unwrap();
    let packed = pack(dir.path());
    let mut files: Vec<&str> = packed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "LICENSE",
            "README.md",
            "index.d.ts",
            "index.js",
            "package.json",
            "react.d.ts",
            "react.js",
            "vue.d.ts",
            "vue.js"
        ]
    );
    let own: Value = serde_json::from_str(&source("package.json")).unwrap();
    assert_eq!(own["version"], env!("CARGO_PKG_VERSION"));
    // Nothing of anybody's comes with it, and nothing runs while it is installed.
    assert_eq!(
        (&own["dependencies"], &own["scripts"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(source("LICENSE"), include_str!("../../LICENSE"));
    let loader = &cloakroom::http::fields::assets::ASSETS;
    let loader = loader.find("loader.js").unwrap();
    let scripts = ["index.js", "react.js", "vue.js"].map(|name| source(name).len());
    let size = |name: &str| usize::try_from(packed[name].as_u64().unwrap()).unwrap();
    for (what, bytes) in [
        ("the package, packed", size("size")),
        ("the package, unpacked", size("unpackedSize")),
        ("its JavaScript, as written", scripts.iter().sum()),
        ("the loader", loader.text.len()),
        ("the loader, as it is sent", loader.packed.len()),
    ] {
        let readme = source("README.md");
        let row = readme
            .lines()
            .find_map(|line| line.strip_prefix(&format!("| {what} | ")))
            .unwrap_or_else(|| panic!("{what} is not in the README"));
        let limit: usize = row.split(' ').next().unwrap().parse().unwrap();
        let limit = limit * 1_000;
        assert!(bytes < limit, "{what}: {bytes}");
        assert!(
            bytes > limit * 7 / 10,
            "{what}: {bytes}; the README says {limit}"
        );
    }
}

#[test]
fn the_types_of_the_package_fit_its_use_the_guide_and_the_loader() {
    let shop = Workshop::new();
    let loader = concat!(env!("CARGO_MANIFEST_DIR"), "/web/loader.js");
    std::fs::copy(loader, shop.path("loader.js")).unwrap();
    std::fs::create_dir(shop.path("npm")).unwrap();
    shop.write("npm/index.d.ts", &source("index.d.ts"));
    let compiler = "../node_modules/.bin/tsc";
    shop.run(compiler, &["--project", "tsconfig.json"]);
}

#[test]
fn a_server_renders_a_place_for_the_form_and_touches_no_window() {
    let shop = Workshop::new();
    let rendered: Value = serde_json::from_str(&shop.run("node", &["server.mjs"])).unwrap();
    let place = r#"<div id="card"></div>"#;
    let expected = json!({ "react": place, "vue": place, "loaded": null, "touched": [] });
    assert_eq!(rendered, expected);
}
