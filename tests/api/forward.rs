//! Forward secrecy of the capture plane: with the whole memory and the whole disk of its process,
//! what it sealed before the present data key stays closed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cloakroom::seal::file::{PrivateKek, read_passphrase};
use cloakroom::token::Environment;
use serde_json::Value;

use crate::drills::token_of;
use crate::support::apart::Apart;
use crate::support::loot::{Memory, SealedRow, holds_private_half, opened};
use crate::support::{App, VISA};

/// Values that one data key seals.
const SEALS_MAX: usize = 3;
/// Data keys that are over when the thief comes.
const EPOCHS_PAST: usize = 4;

/// Every file of a host, its logs left out.
pub(crate) fn disk(host: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(host).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(disk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// The KEK's public half, as its file says it.
pub(crate) fn public_half(host: &Path) -> Vec<u8> {
    let document = fs::read(host.join("keys/kek-public.json")).unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let text = document["public_key"].as_str().unwrap();
    BASE64_STANDARD.decode(text).unwrap()
}

/// Tokens under several data keys, the last of which is not used up.
async fn sealed_over_epochs(app: &App) -> Vec<SealedRow> {
    let mut customer = 0;
    loop {
        customer += 1;
        // The same card of the same customer would be the same token.
        token_of(app, VISA, &format!("customer-{customer}")).await;
        let rows = SealedRow::all(app.server.as_ref().unwrap());
        let keys: BTreeSet<_> = rows.iter().map(|row| row.data_key.clone()).collect();
        let present = &rows.last().unwrap().data_key;
        let of_present = rows.iter().filter(|row| row.data_key == *present).count();
        if keys.len() > EPOCHS_PAST && of_present < SEALS_MAX {
            return rows;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_process_taken_whole_opens_only_its_present_data_keys_values() {
    let seals_max = SEALS_MAX.to_string();
    let app = App::start_apart_as(&Apart {
        overrides: &[("CLOAKROOM__KEYS__DATA_KEY_SEALS_MAX", &seals_max)],
        ..Apart::default()
    });
    let rows = sealed_over_epochs(&app).await;
    let present = rows.last().unwrap().data_key.clone();
    let (of_present, of_the_past): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.data_key == present);
    let tokens = |rows: &[&SealedRow]| -> BTreeSet<String> {
        rows.iter().map(|row| row.token.clone()).collect()
    };

    let memory = Memory::of(app.pid_of("capture"));
    let found = opened(&memory, &rows);
    println!(
        "{} MiB of memory, {} windows like keys, {} values under {} data keys: {} open",
        memory.bytes() >> 20,
        memory.candidates().len(),
        rows.len(),
        EPOCHS_PAST + 1,
        found.len()
    );
    // The positive control: what is sealed at this moment can be opened by who holds the process.
    assert!(!found.is_empty(), "the search finds a key that is there");
    assert_eq!(found, tokens(&of_present));
    assert!(found.is_disjoint(&tokens(&of_the_past)));

    // Its disk opens nothing at all, and neither holds what unwraps data keys.
    let host = app.path("capture-host");
    let files = disk(&host);
    for file in &files {
        let bytes = fs::read(file).unwrap();
        assert!(
            opened(&Memory::of_bytes(bytes), &rows).is_empty(),
            "{}",
            file.display()
        );
        for passphrase in &files {
            if let Ok(passphrase) = read_passphrase(passphrase) {
                let kek = PrivateKek::read(file, &passphrase, Environment::Test);
                assert!(kek.is_err(), "{}", file.display());
            }
        }
    }
    let public = public_half(&host);
    assert!(!holds_private_half(&memory, &public));
    // The same search finds it where it is.
    assert!(holds_private_half(
        &Memory::of(app.pid_of("internal")),
        &public
    ));
}
