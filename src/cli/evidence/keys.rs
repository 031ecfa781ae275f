//! Keys: who may read their files, how the private one is kept, how old each is.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::scene::{Process, Scene};
use crate::clock::Timestamp;
use crate::config::{
    AwsKmsSettings, KeyFiles, Pkcs11Settings, ProcessorSettings, RelativePathBuf, StoreSettings,
};
use crate::evidence::{Bundle, Look};
use crate::seal::custody::SharedKek;
use crate::seal::file::stretch_of;
use crate::seal::manifest::{KekState, Manifest};
use crate::seal::signing::VerifyingKey;
use crate::store::Store;

const REGISTER: &str = "keys/register.json";
const DAY_MS: u64 = 86_400_000;
/// What anybody but its owner may do with a file.
const OTHERS: u32 = 0o077;

pub(super) async fn look(scene: &Scene, bundle: &mut Bundle) {
    files(scene, bundle);
    custody(scene, bundle);
    register(scene, bundle).await;
}

/// Every file with a secret in it. The structure of keys is taken apart field by field, so that a
/// new file does not compile until it is decided here.
fn secrets(process: &Process) -> Vec<PathBuf> {
    let KeyFiles {
        kek_public_file: _,
        kek_private_file,
        kek_passphrase_file,
        unseal_window_s_max: _,
        pkcs11,
        aws_kms,
        session_verify_key_file,
        fingerprint_key_file,
        fingerprint_key_also_file,
        session_issue_key_file,
        order_key_file,
        previous_order_key_file,
        receipt_key_file,
        manifest_key_file,
        manifest_public_key_file: _,
        kek_age_days_max: _,
        data_key_age_s_max: _,
        data_key_seals_max: _,
    } = &process.config.keys;
    let mut files: Vec<&RelativePathBuf> = vec![session_verify_key_file, fingerprint_key_file];
    files.extend(kek_private_file);
    files.extend(kek_passphrase_file);
    files.extend(fingerprint_key_also_file);
    files.extend(session_issue_key_file);
    files.extend(order_key_file);
    files.extend(previous_order_key_file);
    files.extend(receipt_key_file);
    files.extend(manifest_key_file);
    files.extend(
        pkcs11
            .as_ref()
            .map(|Pkcs11Settings { pin_file, .. }| pin_file),
    );
    files.extend(aws_kms.as_ref().map(
        |AwsKmsSettings {
             credentials_file, ..
         }| credentials_file,
    ));
    files.extend(process.planes().iter().map(|plane| plane.private_key));
    for account in process.config.accounts.values() {
        let ProcessorSettings::Stripe(stripe) = &account.processor;
        files.extend(&stripe.capture_key_file);
        files.extend(&stripe.internal_key_file);
        files.extend(&stripe.webhook_secret_files);
    }
    let listeners = process.config.webhooks.iter();
    files.extend(listeners.flat_map(|listener| &listener.secret_files));
    let alerted = process.config.alerts.webhooks.iter();
    files.extend(alerted.flat_map(|receiver| &receiver.secret_files));
    let mail = process.config.alerts.mail.as_ref();
    files.extend(mail.and_then(|mail| mail.password_file.as_ref()));
    let audit = process.config.audit.as_ref();
    files.extend(audit.and_then(|audit| audit.checkpoint_key_file.as_ref()));
    match &process.config.store {
        StoreSettings::Sqlite { .. } => {}
        StoreSettings::Postgres(postgres) => files.extend(&postgres.password_file),
    }
    files.into_iter().map(RelativePathBuf::relative).collect()
}

/// What others than its owner may do with a file; nothing, or why that cannot be said.
pub(super) fn open_to_others(path: &Path) -> Result<Option<String>, String> {
    let seen = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mode = seen.mode() & 0o7777;
    let is_open = mode & OTHERS != 0;
    Ok(is_open.then(|| format!("{} has the mode {mode:04o}", path.display())))
}

fn files(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "secret_files",
        "only their owner can read the files with keys and secrets",
        &["3.6.1.3", "8.6.2"],
    );
    for process in &scene.processes {
        let mut paths = secrets(process);
        paths.sort_unstable();
        paths.dedup();
        let wrong: Vec<String> = paths
            .iter()
            .filter_map(|path| open_to_others(path).unwrap_or_else(Some))
            .collect();
        for wrong in &wrong {
            look.must(false, wrong);
        }
        if wrong.is_empty() {
            let node = &process.config.node;
            look.must(true, format_args!("{} files of {node}", paths.len()));
        }
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        look.again(format!("stat -c '%a %U %n' {}", names.join(" ")));
    }
    bundle.check(look.done());
}

fn custody(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "kek_custody",
        "the private key-encryption key is in a module or a key service, under its custodians' \
         shares, or under a stretched passphrase",
        &["3.6.1.2", "3.6.1.4", "3.7.6"],
    );
    for Process { config, .. } in &scene.processes {
        let (node, keys) = (&config.node, &config.keys);
        if keys.pkcs11.is_some() {
            look.must(
                true,
                format_args!("{node}: in a hardware module, by PKCS #11"),
            );
        }
        if keys.aws_kms.is_some() {
            look.must(true, format_args!("{node}: in AWS Key Management Service"));
        }
        let Some(path) = keys
            .kek_private_file
            .as_ref()
            .map(RelativePathBuf::relative)
        else {
            continue;
        };
        look.again(format!("cat {}", path.display()));
        if let Ok(shared) = SharedKek::read(&path, config.environment) {
            let (threshold, shares) = (shared.threshold(), shared.shares());
            look.must(
                true,
                format_args!("{node}: {threshold} of {shares} custodians open it"),
            );
            continue;
        }
        match stretch_of(&path) {
            Ok(stretch) => look.must(
                stretch.is_strong(),
                format_args!(
                    "{node}: under a passphrase, Argon2id with {} KiB, {} passes, {} lanes",
                    stretch.memory_kib, stretch.passes, stretch.lanes
                ),
            ),
            Err(refused) => look.must(false, refused),
        }
    }
    bundle.check(look.done());
}

async fn register(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "key_register",
        "each key-encryption key is known, within its cryptoperiod, and nothing stands under one \
         that is out of service for good",
        &["3.6.1.1", "3.7.4", "3.7.5", "12.3.3"],
    );
    let mut shown = Vec::new();
    if let Some(process) = scene.internal() {
        match process.store(&scene.clock).await {
            Ok(store) => {
                let seen = entries(scene, process, &store, &mut look).await;
                shown = seen.unwrap_or_else(|why| {
                    look.must(false, why);
                    Vec::new()
                });
                // Nothing was written; a connection that does not end well ends.
                let _closed = store.close().await;
            }
            Err(why) => look.must(false, why),
        }
        look.again(format!(
            "cloakroom keys status --config {}",
            process.path.display()
        ));
    }
    look.shown_in(REGISTER);
    look.shown_in("documents/keys.md");
    bundle.json(REGISTER, &shown);
    bundle.check(look.done());
}

async fn entries(
    scene: &Scene,
    process: &Process,
    store: &Store,
    look: &mut Look,
) -> Result<Vec<Value>, String> {
    let told = |failure: crate::store::Failure| failure.to_string();
    let now = scene.now();
    let days_max = u64::from(process.config.keys.kek_age_days_max);
    let manifest = manifest(process, store).await?;
    let keks = store.figures(now).await.map_err(told)?.keks;
    look.must(
        !keks.is_empty(),
        format_args!(
            "{} key-encryption keys have something under them",
            keks.len()
        ),
    );
    let mut shown = Vec::new();
    for kek in keks {
        let entry = manifest
            .as_ref()
            .and_then(|manifest| manifest.keks().iter().find(|entry| entry.kek == kek.kek));
        let state = entry.map(|entry| entry.state);
        let since = entry
            .and_then(|entry| entry.activated_at_ms)
            .map(Timestamp::from_unix_ms)
            .or(kek.in_service_since)
            .unwrap_or(kek.oldest);
        let days = now.ms_since(since) / DAY_MS;
        let is_serving = matches!(state, None | Some(KekState::Active));
        let ended = matches!(state, Some(KekState::Compromised | KekState::Destroyed));
        let name = state.map_or("in service", KekState::name);
        look.must(
            !ended && (!is_serving || days < days_max),
            format_args!(
                "{} is {name}, since {} ({days} of {days_max} days), over {} data keys",
                kek.kek,
                since.rfc3339(),
                kek.data_keys
            ),
        );
        shown.push(json!({
            "kek": kek.kek,
            "state": name,
            "since": since.rfc3339(),
            "age_days": days,
            "age_days_max": days_max,
            "data_keys": kek.data_keys,
            "oldest_data_key": kek.oldest.rfc3339(),
            "newest_data_key": kek.newest.rfc3339(),
        }));
    }
    Ok(shown)
}

/// The manifest, where there is one; one that our key has not signed is none.
async fn manifest(process: &Process, store: &Store) -> Result<Option<Manifest>, String> {
    let kept = store
        .manifest()
        .await
        .map_err(|failure| failure.to_string())?;
    let Some((version, jws)) = kept else {
        return Ok(None);
    };
    let file = process.config.keys.manifest_public_key_file.as_ref();
    let file = file.ok_or("there is a key manifest, and no keys.manifest_public_key_file")?;
    let key = VerifyingKey::read(&file.relative()).map_err(|refused| refused.to_string())?;
    let opened = Manifest::open(&jws, &key, process.config.environment, version);
    opened
        .map(Some)
        .map_err(|_| "the key manifest in the store is not one that our key has signed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_said_with_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(open_to_others(file.path()), Ok(None));
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let open = open_to_others(file.path()).unwrap().unwrap();
        assert!(open.ends_with("has the mode 0640"), "{open}");
        assert!(open_to_others(Path::new("/nowhere/key")).is_err());
    }
}
