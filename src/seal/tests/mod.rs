//! What the tests of this module share: a key pair, a context, and how to read hexadecimal.

mod canary;
mod envelope;
mod opener;
mod rotation;

use std::sync::Arc;

use crate::clock::{Clock, Timestamp};
use crate::seal::file::{self, PrivateKek, PublicKek, Stretch};
use crate::seal::mac::{MacKey, MacKeys};
use crate::seal::{Context, DataKeyLimits, Opener, Sealer, UnwrapKey, WrapKey};
use crate::token::Environment;

pub(super) const PASSPHRASE: &[u8] = b"correct horse battery staple";

/// The least that Argon2id takes. A live key file with it is refused.
pub(super) const CHEAP: Stretch = Stretch {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

/// A key pair in files, and a clock that stands still.
pub(super) struct Keys {
    directory: tempfile::TempDir,
    pub(super) clock: Clock,
    pub(super) marking: Arc<MacKeys>,
}

/// A key of its own.
pub(super) fn marking() -> Arc<MacKeys> {
    let key = MacKey::parse(MacKey::generate().as_bytes()).unwrap();
    Arc::new(MacKeys::new(key, None))
}

impl Keys {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (public, private) = file::generate_with(Environment::Test, PASSPHRASE, CHEAP).unwrap();
        let keys = Self {
            directory,
            clock: Clock::set_to(Timestamp::from_unix_ms(1_795_400_000_000)),
            marking: marking(),
        };
        file::write_private(&keys.path("public.json"), &public.to_json()).unwrap();
        file::write_private(&keys.path("private.json"), &private.to_json()).unwrap();
        keys
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn sealer(&self) -> Sealer {
        self.sealer_with(DataKeyLimits::DEFAULT)
    }

    pub(super) fn sealer_with(&self, limits: DataKeyLimits) -> Sealer {
        let public = PublicKek::read(&self.path("public.json"), Environment::Test).unwrap();
        let marking = Arc::clone(&self.marking);
        Sealer::new(WrapKey::File(public), marking, limits, self.clock.clone())
    }

    pub(super) fn opener(&self) -> Opener {
        let opener = Opener::new(
            Environment::Test,
            Arc::clone(&self.marking),
            self.clock.clone(),
        );
        opener.hold(UnwrapKey::File(self.private_kek())).unwrap();
        opener
    }

    pub(super) fn private_kek(&self) -> PrivateKek {
        PrivateKek::read(&self.path("private.json"), PASSPHRASE, Environment::Test).unwrap()
    }
}

pub(super) const HERE: Context<'static> = Context {
    environment: Environment::Test,
    account: "acme",
    table: "tokens",
    row: "test_tok_1",
    column: "sealed",
    customer_ref: Some("customer-1"),
    usage: "off_session",
};

pub(super) fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
