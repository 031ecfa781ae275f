//! The cryptographic inventory (PCI DSS 12.3.3): every algorithm in use, for what, by which
//! standard, in which file; for people, and as `CycloneDX` 1.6 (a cryptographic bill of materials).
//! What TLS offers is not written down but asked of the library.

use std::fmt::Write as _;
use std::fs;

use rustls::crypto::aws_lc_rs::default_provider;
use serde_json::{Value, json};

use crate::{assert_written, root};

/// The inventory for machines.
pub(crate) const FILE: &str = "pci-docs/supply/cbom.cdx.json";

/// One algorithm in one use.
struct Asset {
    algorithm: &'static str,
    /// `CycloneDX`'s word for its kind.
    primitive: &'static str,
    bits: u32,
    what_for: &'static str,
    standard: &'static str,
    /// Where, and a word that must stand there.
    place: (&'static str, &'static str),
}

const ASSETS: [Asset; 11] = [
    Asset {
        algorithm: "AES-256-GCM",
        primitive: "ae",
        bits: 256,
        what_for: "sealed references to cards, under data keys",
        standard: "NIST SP 800-38D",
        place: ("src/seal/envelope.rs", "NIST SP 800-38D"),
    },
    Asset {
        algorithm: "DHKEM(P-256, HKDF-SHA256) with HKDF-SHA256 and AES-256-GCM",
        primitive: "kem",
        bits: 128,
        what_for: "data keys, wrapped to the key-encryption key",
        standard: "RFC 9180",
        place: ("src/seal/file/hpke.rs", "DH_KEM_P256_HKDF_SHA256_AES_256"),
    },
    Asset {
        algorithm: "Argon2id",
        primitive: "kdf",
        bits: 256,
        what_for: "the passphrase of a private key file",
        standard: "RFC 9106",
        place: ("src/seal/file/passphrase.rs", "argon2"),
    },
    Asset {
        algorithm: "AES-256-GCM",
        primitive: "ae",
        bits: 256,
        what_for: "the private key in its file",
        standard: "NIST SP 800-38D",
        place: ("src/seal/file/passphrase.rs", "AES_256_GCM"),
    },
    Asset {
        algorithm: "HMAC-SHA-256",
        primitive: "mac",
        bits: 256,
        what_for: "secrets of capture sessions, marks of vaulted cards",
        standard: "RFC 2104, FIPS 180-4",
        place: ("src/seal/mac.rs", "HMAC_SHA256"),
    },
    Asset {
        algorithm: "Ed25519",
        primitive: "signature",
        bits: 128,
        what_for: "deletion receipts",
        standard: "RFC 8032",
        place: ("src/seal/signing.rs", "Ed25519"),
    },
    Asset {
        algorithm: "HMAC-SHA-256",
        primitive: "mac",
        bits: 256,
        what_for: "notices of the processor, checked",
        standard: "RFC 2104, FIPS 180-4",
        place: ("src/processor/webhook/signature.rs", "HMAC_SHA256"),
    },
    Asset {
        algorithm: "HMAC-SHA-256 and Ed25519",
        primitive: "signature",
        bits: 128,
        what_for: "outgoing webhooks, signed",
        standard: "Standard Webhooks 1.0, RFC 2104, RFC 8032",
        place: ("src/webhooks/secret.rs", "Ed25519"),
    },
    Asset {
        algorithm: "SHA-256",
        primitive: "hash",
        bits: 128,
        what_for: "names of key-encryption keys",
        standard: "FIPS 180-4",
        place: ("src/seal/data_key.rs", "SHA256"),
    },
    Asset {
        algorithm: "SHA-256",
        primitive: "hash",
        bits: 128,
        what_for: "pinned keys of the processor, revoked certificates",
        standard: "FIPS 180-4, RFC 7469",
        place: ("src/net/trust.rs", "SHA256"),
    },
    Asset {
        algorithm: "SHA-384",
        primitive: "hash",
        bits: 192,
        what_for: "integrity of the checkout page's scripts",
        standard: "FIPS 180-4, W3C Subresource Integrity",
        place: ("src/http/fields/assets.rs", "SHA384"),
    },
];

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
        "# Cryptographic inventory\n\nPCI DSS 12.3.3. Every use of cryptography, with its standard and its place. There is one provider, AWS-LC through aws-lc-rs, apart from Argon2id, which AWS-LC has not; others are banned in `.cargo/deny.toml`. Written and checked by `test:the_cryptographic_inventory_is_that_of_the_code`, which asks the TLS library what it offers; for machines: `pci-docs/supply/cbom.cdx.json` (CycloneDX 1.6).\n\n| algorithm | security, bits | what for | standard | where |\n| --- | --- | --- | --- | --- |\n",
    );
    for asset in &ASSETS {
        let (file, word) = asset.place;
        let source = fs::read_to_string(root().join(file)).unwrap();
        assert!(source.contains(word), "{file} does not name {word}");
        writeln!(
            page,
            "| {} | {} | {} | {} | `{file}` |",
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
            let description = format!("{} ({}); {}", of.what_for, of.standard, of.place.0);
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
