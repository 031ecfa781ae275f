//! The controls for machines: an OSCAL component definition, made from `pci-docs/controls.md` and read
//! by an implementation that is not ours (compliance-trestle).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use serde_json::{Value, json};
use uuid::{Builder, Uuid, uuid};

use crate::controls::{self, Control, controls};
use crate::{assert_written, read};

const FILE: &str = "pci-docs/oscal/component-definition.json";

/// The version of OSCAL that the tool checks.
const OSCAL: &str = "1.2.1";

/// Every UUID of the document is made from this one and a name (RFC 9562, version 5, which is what
/// OSCAL takes), so that the same controls make the same document.
const NAMESPACE: Uuid = uuid!("551705af-4138-4431-869f-64d884db180a");

fn named(name: &str) -> String {
    let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(NAMESPACE.as_bytes());
    sha1.update(name.as_bytes());
    let digest: [u8; 16] = sha1.finish().as_ref()[..16].try_into().unwrap();
    Builder::from_sha1_bytes(digest).into_uuid().to_string()
}

/// The document's own date, so that no clock is asked.
fn as_of(document: &str) -> String {
    let date = document.split("As of ").nth(1).unwrap();
    let date = date.split_once('.').unwrap().0;
    let is_date = date.len() == 10 && date.split('-').count() == 3;
    assert!(is_date, "As of {date}");
    format!("{date}T00:00:00Z")
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "ns": format!("urn:uuid:{NAMESPACE}"), "value": value })
}

/// What is done for one requirement, by however many rows.
fn requirement(id: &str, rows: &[&Control]) -> Value {
    let mut properties = vec![property("requirement", id)];
    for row in rows {
        properties.extend(row.sources.iter().map(|file| property("source", file)));
    }
    for row in rows {
        properties.extend(row.tests.iter().map(|test| property("test", test)));
    }
    let mut once = Vec::new();
    properties.retain(|property| {
        let is_new = !once.contains(property);
        once.push(property.clone());
        is_new
    });
    let what: Vec<String> = rows
        .iter()
        .map(|row| format!("{}: {}.", row.theme, row.said()))
        .collect();
    json!({
        "uuid": named(&format!("requirement {id}")),
        // A token of OSCAL begins with a letter.
        "control-id": format!("pci-dss-{id}"),
        "description": what.join("\n\n"),
        "props": properties,
    })
}

fn definition(document: &str) -> Value {
    let controls = controls(document);
    let mut of: BTreeMap<&str, Vec<&Control>> = BTreeMap::new();
    for control in &controls {
        for id in &control.requirements {
            of.entry(id).or_default().push(control);
        }
    }
    let requirements: Vec<Value> = crate::identifiers::all()
        .into_iter()
        .filter_map(|id| Some(requirement(id, of.get(id)?)))
        .collect();
    assert_eq!(requirements.len(), of.len(), "an identifier is not known");
    json!({ "component-definition": {
        "uuid": named("component definition"),
        "metadata": {
            "title": "Cloakroom: what the software does for PCI DSS v4.0.1",
            "last-modified": as_of(document),
            "version": env!("CARGO_PKG_VERSION"),
            "oscal-version": OSCAL,
            "remarks": "Made from pci-docs/controls.md. Identifiers are those of the standard, the \
                words are ours. Who does the rest: pci-docs/responsibilities.md.",
        },
        "components": [{
            "uuid": named("component"),
            "type": "software",
            "title": "Cloakroom",
            "description": "Payment tokenization: a card goes to the processor, an opaque token \
                comes back, and no card is kept.",
            "control-implementations": [{
                "uuid": named("control implementation"),
                "source": "https://www.pcisecuritystandards.org/document_library/",
                "description": "PCI DSS v4.0.1. There is no OSCAL catalogue of it by the Council, so \
                    control-id is pci-dss- and the requirement's number.",
                "implemented-requirements": requirements,
            }],
        }],
    } })
}

#[test]
fn the_component_definition_is_made_of_the_controls() {
    let document = read(controls::FILE);
    let definition = definition(&document);
    let uuids = definition.to_string().matches("\"uuid\":").count();
    assert_eq!(uuids, 3 + controls::proofs(&document).len());
    let mut text = serde_json::to_string_pretty(&definition).unwrap();
    text.push('\n');
    assert_written(FILE, &text);
}

#[test]
fn a_name_has_the_uuid_that_others_make_of_it() {
    let python = format!("import uuid; print(uuid.uuid5(uuid.UUID('{NAMESPACE}'), 'component'))");
    let output = tool("python").args(["-c", &python]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        named("component")
    );
}

/// A program of the virtual environment that `tests/run` makes.
fn tool(name: &str) -> Command {
    let mut target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.pop();
    let path = target.join("counterparts/bin").join(name);
    assert!(path.is_file(), "`tests/run papers` installs {name}");
    let mut command = Command::new(path);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// What the tool says of a document in a workspace of its own.
fn validate(workspace: &Path, document: &Value) -> (bool, String) {
    let model = workspace.join("component-definitions/cloakroom");
    fs::create_dir_all(&model).unwrap();
    fs::create_dir_all(workspace.join(".trestle")).unwrap();
    fs::write(
        model.join("component-definition.json"),
        document.to_string(),
    )
    .unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = tool("trestle")
        .args(["validate", "-t", "component-definition", "-n", "cloakroom"])
        .arg("-tr")
        .arg(workspace)
        .output()
        .unwrap();
    let said = [stdout, stderr].concat();
    (
        status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn the_component_definition_is_valid_oscal_and_broken_ones_are_not() {
    let workspace = tempfile::TempDir::new().unwrap();
    let sound: Value = serde_json::from_str(&read(FILE)).unwrap();
    let (is_valid, said) = validate(workspace.path(), &sound);
    assert!(is_valid && said.contains("VALID: "), "{said}");
    assert!(!said.contains("WARNING"), "{said}");
    let first = "/component-definition/components/0/control-implementations/0/\
        implemented-requirements/0";
    let place = |rest: &str| format!("{first}/{rest}");
    let twice = sound["component-definition"]["uuid"].clone();
    for (at, value, why) in [
        (place("control-id"), json!("3.5.1"), "control-id"),
        (place("uuid"), twice, "duplicate uuids"),
        (place("uuid"), json!("not-one"), "uuid"),
        (place("props/0/value"), json!(7), "value"),
        (
            "/component-definition/metadata/last-modified".to_owned(),
            json!("yesterday"),
            "last-modified",
        ),
        (
            "/component-definition/components".to_owned(),
            json!([{ "type": "software" }]),
            "title",
        ),
    ] {
        let mut broken = sound.clone();
        *broken.pointer_mut(&at).unwrap() = value;
        let (is_valid, said) = validate(workspace.path(), &broken);
        assert!(!is_valid, "{at}: {said}");
        assert!(said.contains(why), "{at}: {said}");
    }
}
