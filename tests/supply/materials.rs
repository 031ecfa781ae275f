//! The bill of materials: `CycloneDX` 1.6, of the production build (without the sandbox).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::{assert_written, root};

const FILE: &str = "pci-docs/supply/sbom.cdx.json";

/// What is not linked on this platform may not even be there.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked", "--no-default-features"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Name and version of every crate that is linked into the binary.
fn linked() -> BTreeSet<(String, String)> {
    let tree = cargo(&[
        "tree", "-e", "normal", "--target", TARGET, "--prefix", "none", "--format", "{p}",
    ]);
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            Some((name, words.next()?.trim_start_matches('v').to_owned()))
        })
        .collect()
}

/// SHA-256 of each crate's archive, from the lock file.
fn checksums() -> BTreeMap<(String, String), String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let field = |block: &str, name: &str| {
        let prefix = format!("{name} = \"");
        let line = block.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map(|value| value.trim_end_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|block| {
            let of = (field(block, "name")?, field(block, "version")?);
            Some((of, field(block, "checksum")?))
        })
        .collect()
}

fn purl(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let (name, version) = (text("name"), text("version"));
    let reference = purl(&name, &version);
    let mut component = json!({
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "scope": "required",
        "licenses": [{ "expression": text("license").replace('/', " OR ") }],
        "purl": reference,
    });
    if let Some(sha256) = checksums.get(&(text("name"), text("version"))) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
    }
    component
}

/// Which of the linked crates each linked crate names.
fn edges(metadata: &Value, of: &BTreeMap<&str, String>) -> Vec<Value> {
    let mut edges: Vec<Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|node| {
            let from = of.get(node["id"].as_str()?)?;
            let to: BTreeSet<&String> = node["dependencies"]
                .as_array()?
                .iter()
                .filter_map(|id| of.get(id.as_str()?))
                .collect();
            Some(json!({ "ref": from, "dependsOn": to }))
        })
        .collect();
    edges.sort_by_key(|edge| edge["ref"].as_str().map(str::to_owned));
    edges
}

#[test]
fn the_bill_of_materials_is_that_of_the_production_build() {
    let metadata: Value = serde_json::from_str(&cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        TARGET,
    ]))
    .unwrap();
    let (linked, checksums) = (linked(), checksums());
    let packages: Vec<&Value> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| {
            let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
            linked.contains(&(text("name"), text("version")))
        })
        .collect();
    assert_eq!(
        packages.len(),
        linked.len(),
        "each linked crate is described once"
    );
    let of: BTreeMap<&str, String> = packages
        .iter()
        .map(|package| {
            let text = |key: &str| package[key].as_str().unwrap();
            (text("id"), purl(text("name"), text("version")))
        })
        .collect();
    let mut components: Vec<Value> = packages
        .iter()
        .filter(|package| package["name"] != "cloakroom")
        .map(|package| component(package, &checksums))
        .collect();
    components.sort_by_key(|component| component["bom-ref"].as_str().map(str::to_owned));
    assert!(
        components
            .iter()
            .all(|component| component["hashes"].is_array())
    );

    let version = env!("CARGO_PKG_VERSION");
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": purl("cloakroom", version),
                "name": "cloakroom",
                "version": version,
                "licenses": [{ "expression": "Apache-2.0" }],
                "purl": purl("cloakroom", version),
            },
        },
        "components": components,
        "dependencies": edges(&metadata, &of),
    });
    let mut text = serde_json::to_string_pretty(&bill).unwrap();
    text.push('\n');
    assert_written(FILE, &text);
}

/// An implementation that is not ours reads both bills: the schema of `CycloneDX` 1.6.
#[test]
fn both_bills_are_valid_cyclonedx() {
    let python = counterparts().join("bin/python");
    let program = "import sys\n\
        from cyclonedx.schema import SchemaVersion\n\
        from cyclonedx.validation.json import JsonStrictValidator\n\
        validator = JsonStrictValidator(SchemaVersion.V1_6)\n\
        for path in sys.argv[1:]:\n    \
            error = validator.validate_str(open(path).read())\n    \
            assert error is None, (path, error)\n\
        assert validator.validate_str('{\"bomFormat\": \"CycloneDX\"}') is not None\n";
    let output = Command::new(python)
        .args(["-c", program])
        .arg(root().join(FILE))
        .arg(root().join(crate::cryptography::FILE))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The Python programs that `tests/run` installs beside the tests' own files.
fn counterparts() -> std::path::PathBuf {
    let mut target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
    target.pop();
    target.join("counterparts")
}
