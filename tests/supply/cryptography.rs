//! The cryptographic inventory (PCI DSS 12.3.3): every algorithm in use, for what, by which
//! standard, in which file; for people, and as `CycloneDX` 1.6 (a cryptographic bill of materials).
//! What TLS offers is not written down but asked of the library.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs::default_provider;
use serde_json::{Value, json};

use crate::assets::ASSETS;
use crate::{assert_written, root};

/// The inventory for machines.
pub(crate) const FILE: &str = "pci-docs/supply/cbom.cdx.json";

/// One algorithm in one use.
pub(super) struct Asset {
    pub(super) algorithm: &'static str,
    /// `CycloneDX`'s word for its kind.
    pub(super) primitive: &'static str,
    pub(super) bits: u32,
    pub(super) what_for: &'static str,
    pub(super) standard: &'static str,
    /// Where, and a word that must stand there.
    pub(super) places: &'static [(&'static str, &'static str)],
}

/// What TLS offers, in the order in which it prefers it.
fn tls() -> [(&'static str, Vec<String>); 3] {
    let provider = default_provider();
    let suites = provider.cipher_suites.iter();
    let name = |suite: rustls::CipherSuite| format!("{suite:?}");
    [
        (
            "key exchange",
            provider
                .kx_groups
                .iter()
                .map(|group| format!("{:?}", group.name()))
                .collect(),
        ),
        (
            "TLS 1.3: all listeners, and connections that are opened",
            suites
                .clone()
                .filter(|suite| suite.tls13().is_some())
                .map(|suite| name(suite.suite()))
                .collect(),
        ),
        (
            "TLS 1.2: only connections that are opened, to servers that have nothing newer",
            suites
                .filter(|suite| suite.tls13().is_none())
                .map(|suite| name(suite.suite()))
                .collect(),
        ),
    ]
}

#[test]
fn the_cryptographic_inventory_is_that_of_the_code() {
    let mut page = String::from(
        "# Cryptographic inventory\n\nPCI DSS 12.3.3. Every use of cryptography, with its standard and its place. There is one provider, AWS-LC through aws-lc-rs, apart from Argon2id and Shamir's scheme, which AWS-LC has not; others are banned in `.cargo/deny.toml`. Written and checked by `test:the_cryptographic_inventory_is_that_of_the_code`, which asks the TLS library what it offers; for machines: `pci-docs/supply/cbom.cdx.json` (CycloneDX 1.6).\n\n| algorithm | security, bits | what for | standard | where |\n| --- | --- | --- | --- | --- |\n",
    );
    for asset in ASSETS {
        for (file, word) in asset.places {
            let source = fs::read_to_string(root().join(file)).unwrap();
            assert!(source.contains(word), "{file} does not name {word}");
        }
        let places = asset.places.iter().map(|(file, _)| format!("`{file}`"));
        let places = places.collect::<Vec<_>>().join(", ");
        writeln!(
            page,
            "| {} | {} | {} | {} | {places} |",
            asset.algorithm, asset.bits, asset.what_for, asset.standard
        )
        .unwrap();
    }
    page.push_str("\n## TLS\n\nIn order of preference.\n\n");
    for (what, names) in tls() {
        writeln!(page, "- {what}: {}", names.join(", ")).unwrap();
    }
    assert_written("pci-docs/supply/cryptography.md", &page);
    assert!(
        tls()[0].1[0].contains("MLKEM"),
        "hybrid post-quantum key exchange comes first"
    );
    assert!(!page.contains("CBC") && !page.contains("TLS_RSA_WITH") && !page.contains("SHA1"));
}

/// The sources below `folder`, without tests and without what only development has.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "sandbox", "dev"].contains(&name.as_str()) {
            sources(&path, found);
        } else if Path::new(&name).extension().is_some_and(|end| end == "rs") && name != "tests.rs"
        {
            found.push(path);
        }
    }
}

#[test]
fn no_file_uses_cryptography_that_the_inventory_does_not_name() {
    let marks = [
        "aws_lc_rs::{digest",
        "aws_lc_rs::digest",
        "aws_lc_rs::{constant_time, hmac",
        "aws_lc_rs::hmac",
        "aws_lc_rs::hkdf",
        "aws_lc_rs::hpke",
        "aws_lc_rs::signature",
        "aws_lc_rs::aead",
        "argon2::",
        "vsss_rs",
    ];
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut using = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // What tests need stands behind their module.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        // Test peers are files of their own.
        if marks.iter().any(|mark| code.contains(mark)) && !file.ends_with("src/net/peer.rs") {
            let name = file.strip_prefix(root()).unwrap().to_str().unwrap();
            let mut named = ASSETS.iter().flat_map(|asset| asset.places);
            assert!(
                named.any(|(place, _)| *place == name),
                "{name} is not in the inventory"
            );
            using += 1;
        }
    }
    assert!(using >= 20, "{using}");
}

#[test]
fn the_inventory_for_machines_is_the_same() {
    let asset = |index: usize, name: &str, properties: Value, description: &str| {
        json!({
            "type": "cryptographic-asset",
            "bom-ref": format!("crypto-{index}"),
            "name": name,
            "description": description,
            "cryptoProperties": properties,
        })
    };
    let mut components: Vec<Value> = ASSETS
        .iter()
        .enumerate()
        .map(|(index, of)| {
            let properties = json!({
                "assetType": "algorithm",
                "algorithmProperties": {
                    "primitive": of.primitive,
                    "executionEnvironment": "software-plain-ram",
                    "implementationPlatform": "x86_64",
                    "classicalSecurityLevel": of.bits,
                },
            });
            let description = format!("{} ({}); {}", of.what_for, of.standard, of.places[0].0);
            asset(index, of.algorithm, properties, &description)
        })
        .collect();
    for ((what, names), version) in tls().into_iter().skip(1).zip(["1.3", "1.2"]) {
        let suites: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        let properties = json!({
            "assetType": "protocol",
            "protocolProperties": { "type": "tls", "version": version, "cipherSuites": suites },
        });
        components.push(asset(
            components.len(),
            &format!("TLS {version}"),
            properties,
            what,
        ));
    }
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": components,
    });
    let mut text = serde_json::to_string_pretty(&bill).unwrap();
    text.push('\n');
    assert_written(FILE, &text);
}
