//! Sealed values and wrapped data keys: only what was sealed opens, and only as a whole.

#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use cloakroom::clock::{Clock, Timestamp};
use cloakroom::seal::file::{self, PrivateKek, PublicKek, Stretch};
use cloakroom::seal::mac::{MacKey, MacKeys};
use cloakroom::seal::{
    Context, DataKeyLimits, Opener, Sealed, SealedValue, Sealer, UnwrapKey, WrapKey, WrappedDataKey,
};
use cloakroom::token::Environment;
use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;

const PASSPHRASE: &[u8] = b"correct horse battery staple";
const SAYS: &[u8] = b"the reference of a card";
const PLACE: Context<'static> = Context {
    environment: Environment::Test,
    account: "default",
    table: "tokens",
    row: "test_tok_1",
    column: "sealed",
    customer_ref: None,
    usage: "off_session",
};

struct Keys {
    opener: Opener,
    value: SealedValue,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory");
    let stretch = Stretch {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    let (public, private) =
        file::generate_with(Environment::Test, PASSPHRASE, stretch).expect("a key pair");
    let write = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        file::write_private(&path, text).expect("a file");
        path
    };
    let read = |path: &Path| PublicKek::read(path, Environment::Test).expect("a public key");
    let wrap = WrapKey::File(read(&write("public", &public.to_json())));
    let unwrap = PrivateKek::read(
        &write("private", &private.to_json()),
        PASSPHRASE,
        Environment::Test,
    );
    let clock = Clock::set_to(Timestamp::from_unix_ms(1_795_392_000_000));
    let mac_key = MacKey::read(&write("mac", MacKey::generate().as_bytes())).expect("a MAC key");
    let vouching = Arc::new(MacKeys::new(mac_key, None));
    let sealer = Sealer::new(
        wrap,
        vouching.clone(),
        DataKeyLimits::DEFAULT,
        clock.clone(),
    );
    let value = sealer
        .seal(&PLACE, SAYS)
        .now_or_never()
        .expect("no network");
    let opener = Opener::new(Environment::Test, vouching, clock);
    let private = unwrap.expect("a private key");
    opener
        .hold(UnwrapKey::File(private))
        .expect("of this environment");
    Keys {
        opener,
        value: value.expect("a sealed value"),
    }
});

/// `original` with the mask laid over it; a longer mask makes it longer.
fn masked(original: &[u8], mask: &[u8]) -> Vec<u8> {
    let length = original.len().max(mask.len());
    let at = |bytes: &[u8], index: usize| bytes.get(index).copied().unwrap_or(0);
    (0..length)
        .map(|index| at(original, index) ^ at(mask, index))
        .collect()
}

fuzz_target!(|input: (&[u8], &[u8], u16)| {
    let (value_mask, key_mask, cut) = input;
    let Keys { opener, value } = &*KEYS;
    let mut bytes = masked(value.sealed.as_bytes(), value_mask);
    bytes.truncate(bytes.len().saturating_sub(usize::from(cut)));
    let wrapped = masked(&value.data_key.wrapped, key_mask);
    let is_whole = bytes == value.sealed.as_bytes() && wrapped == value.data_key.wrapped;
    let data_key = WrappedDataKey {
        wrapped,
        ..(*value.data_key).clone()
    };
    let opened = opener
        .open(&PLACE, &Sealed::from_bytes(bytes), &data_key)
        .now_or_never()
        .expect("no network");
    match opened {
        Ok(opened) => assert!(is_whole && opened.expose() == SAYS),
        Err(_) => assert!(!is_whole),
    }
});
