//! One suite for every key provider: what wrapping and unwrapping promise, over a file, a hardware
//! module (SoftHSM2) and a key service (moto); and the whole service with each of them.

#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong fails"
)]

mod moto;
mod service;
mod softhsm;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the suite of the wire uses all of it")]
mod support;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use cloakroom::clock::Clock;
use cloakroom::seal::file::{self, PrivateKek, PublicKek, Stretch};
use cloakroom::seal::mac::{MacKey, MacKeys};
use cloakroom::seal::pkcs11::{self, HsmKek};
use cloakroom::seal::{
    Context, DataKeyLimits, Opener, Refused, SealFailed, SealedValue, Sealer, UnwrapKey, WrapKey,
    WrappedDataKey,
};
use cloakroom::token::{DataKeyId, Environment};

use moto::Moto;

const PASSPHRASE: &[u8] = b"correct horse battery staple";
const SAYS: &[u8] = b"the reference of a card";
const CHEAP: Stretch = Stretch {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

fn place(environment: Environment) -> Context<'static> {
    Context {
        environment,
        account: "default",
        table: "tokens",
        row: "test_tok_1",
        column: "sealed",
        customer_ref: None,
        usage: "off_session",
    }
}

/// One key for every process of the suite, as in an installation.
fn marking() -> Arc<MacKeys> {
    static KEY: OnceLock<Arc<MacKeys>> = OnceLock::new();
    let made = || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("marking");
        file::write_private(&path, MacKey::generate().as_bytes()).unwrap();
        Arc::new(MacKeys::new(MacKey::read(&path).unwrap(), None))
    };
    Arc::clone(KEY.get_or_init(made))
}

/// Every value gets a data key of its own.
fn sealer(wrap: WrapKey) -> Sealer {
    let limits = DataKeyLimits::new(60, 1).unwrap();
    Sealer::new(wrap, marking(), limits, Clock::system())
}

fn opener(unwrap: UnwrapKey) -> Opener {
    let opener = Opener::new(unwrap.environment(), marking(), Clock::system());
    opener.hold(unwrap).unwrap();
    opener
}

/// What a provider is made of: the two halves of one key, and those of another.
struct Provider {
    seals: Sealer,
    opens: Opener,
    /// Wraps to another key of the same kind.
    seals_elsewhere: Sealer,
}

async fn opened(opens: &Opener, of: &SealedValue, data_key: &WrappedDataKey) -> bool {
    let place = place(Environment::Test);
    match opens.open(&place, &of.sealed, data_key).await {
        Ok(opened) => {
            assert_eq!(opened.expose(), SAYS);
            true
        }
        Err(Refused::Value | Refused::Provider) => false,
    }
}

/// The suite.
async fn conforms(provider: Provider) {
    let Provider {
        seals,
        opens,
        seals_elsewhere,
    } = &provider;
    let sealed = value(seals).await;
    let key = &*sealed.data_key;
    assert!(opens.holds(&key.kek), "both halves have one name");
    assert!(opened(opens, &sealed, key).await);

    // Wrapped bytes say nothing of the key, and no two are alike.
    let again = value(seals).await.data_key;
    assert_ne!(again.wrapped, key.wrapped);

    // Another id, another key, another environment, in the clear fields.
    let id = DataKeyId::new(Environment::Test, Clock::system().now());
    assert!(!opened(opens, &sealed, &WrappedDataKey { id, ..key.clone() }).await);
    let elsewhere = value(seals_elsewhere).await;
    assert_ne!(elsewhere.data_key.kek, key.kek);
    assert!(!opened(opens, &elsewhere, &elsewhere.data_key).await);
    let disguised = WrappedDataKey {
        kek: key.kek.clone(),
        ..(*elsewhere.data_key).clone()
    };
    assert!(
        !opened(opens, &elsewhere, &disguised).await,
        "a key that was swapped"
    );
    // The bytes of one data key under the name of another of the same KEK.
    let swapped = WrappedDataKey {
        wrapped: again.wrapped.clone(),
        ..key.clone()
    };
    assert!(!opened(opens, &sealed, &swapped).await);

    // Altered at some forty places, cut, lengthened, empty.
    let wrapped = &key.wrapped;
    let step = wrapped.len().div_ceil(40);
    for at in (0..wrapped.len()).step_by(step) {
        let mut altered = key.clone();
        altered.wrapped[at] ^= 1;
        assert!(!opened(opens, &sealed, &altered).await, "altered at {at}");
        altered.wrapped.truncate(at);
        assert!(!opened(opens, &sealed, &altered).await, "cut at {at}");
    }
    let mut longer = key.clone();
    longer.wrapped.push(0);
    assert!(!opened(opens, &sealed, &longer).await);

    // Many at once.
    let values = futures_util::future::join_all((0..16).map(|_| value(seals))).await;
    let read = values.iter().map(|of| opened(opens, of, &of.data_key));
    let read = futures_util::future::join_all(read).await;
    assert!(read.into_iter().all(|is_read| is_read));
    assert!(
        opened(opens, &sealed, key).await,
        "and after all that the first still opens"
    );
}

async fn value(seals: &Sealer) -> SealedValue {
    seals.seal(&place(Environment::Test), SAYS).await.unwrap()
}

fn public(dir: &Path, name: &str, text: &[u8]) -> PublicKek {
    let path = dir.join(name);
    file::write_private(&path, text).unwrap();
    PublicKek::read(&path, Environment::Test).unwrap()
}

fn file_pair(dir: &Path, name: &str) -> (PublicKek, PrivateKek) {
    let (public_file, private_file) =
        file::generate_with(Environment::Test, PASSPHRASE, CHEAP).unwrap();
    let path = dir.join(format!("{name}.private"));
    file::write_private(&path, &private_file.to_json()).unwrap();
    let private = PrivateKek::read(&path, PASSPHRASE, Environment::Test).unwrap();
    (public(dir, name, &public_file.to_json()), private)
}

#[tokio::test]
async fn files_conform() {
    let dir = tempfile::tempdir().unwrap();
    let (first, private) = file_pair(dir.path(), "first");
    let (second, _) = file_pair(dir.path(), "second");
    conforms(Provider {
        seals: sealer(WrapKey::File(first)),
        opens: opener(UnwrapKey::File(private)),
        seals_elsewhere: sealer(WrapKey::File(second)),
    })
    .await;
}

fn hsm_pair(dir: &Path, name: &str) -> (PublicKek, HsmKek) {
    let made = pkcs11::generate(Environment::Test, softhsm::settings()).unwrap();
    let public = public(dir, name, &made.to_json());
    let hsm = HsmKek::open(softhsm::settings(), &public).unwrap();
    (public, hsm)
}

#[tokio::test]
async fn a_hardware_module_conforms() {
    if !softhsm::is_inside("a_hardware_module_conforms") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (first, hsm) = hsm_pair(dir.path(), "first");
    let (second, _) = hsm_pair(dir.path(), "second");
    conforms(Provider {
        seals: sealer(WrapKey::File(first)),
        opens: opener(UnwrapKey::Pkcs11(Box::new(hsm))),
        seals_elsewhere: sealer(WrapKey::File(second)),
    })
    .await;
}

#[tokio::test]
async fn a_module_whose_token_is_gone_says_nothing_of_the_value() {
    if !softhsm::is_inside("a_module_whose_token_is_gone_says_nothing_of_the_value") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (public, hsm) = hsm_pair(dir.path(), "first");
    let (seals, opens) = (
        sealer(WrapKey::File(public)),
        opener(UnwrapKey::Pkcs11(Box::new(hsm))),
    );
    let sealed = value(&seals).await;
    let tokens = softhsm::tokens_inside();
    let away = tokens.with_extension("away");
    std::fs::rename(&tokens, &away).unwrap();
    let place = place(Environment::Test);
    let refused = opens.open(&place, &sealed.sealed, &sealed.data_key).await;
    assert_eq!(refused.unwrap_err(), Refused::Provider);
    std::fs::rename(&away, &tokens).unwrap();
    assert!(opened(&opens, &sealed, &sealed.data_key).await);
}

#[tokio::test]
async fn a_module_that_is_not_as_configured_is_refused_by_name() {
    if !softhsm::is_inside("a_module_that_is_not_as_configured_is_refused_by_name") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (public, _) = hsm_pair(dir.path(), "first");
    let refused = |change: fn(&mut pkcs11::Settings), public: &PublicKek| {
        let mut settings = softhsm::settings();
        change(&mut settings);
        HsmKek::open(settings, public).unwrap_err().to_string()
    };
    let missing = refused(
        |settings| settings.module = "/nonexistent.so".into(),
        &public,
    );
    assert!(missing.starts_with("/nonexistent.so: "), "{missing}");
    let label = refused(
        |settings| settings.token_label = "another".to_owned(),
        &public,
    );
    assert_eq!(label, "the module has no token with the label another");
    let pin = refused(
        |settings| settings.pin = pkcs11::Pin::new(zeroize::Zeroizing::new("wrong".to_owned())),
        &public,
    );
    // The first session is logged in and its PIN holds for the process; a wrong one is refused by a
    // process that has none yet, which the service's own test shows.
    assert!(
        pin.is_empty() || pin.contains("refuses") || pin.contains("no private key"),
        "{pin}"
    );
    // A document whose private half is not in the token.
    let (stranger, _) = file_pair(dir.path(), "stranger");
    let key = refused(|_| {}, &stranger);
    assert!(
        key.starts_with("the token has no private key for kek_"),
        "{key}"
    );
}

#[tokio::test]
async fn a_key_service_conforms_and_keeps_the_planes_apart() {
    let dir = tempfile::tempdir().unwrap();
    let moto = Moto::start(dir.path());
    let kms = |user| Box::new(moto.kms(user, Environment::Test));
    let mut other = moto.settings("capture");
    other.key_arn = moto.arn("other_arn");
    let other =
        cloakroom::seal::aws_kms::Kms::new(&other, Environment::Test, Clock::system()).unwrap();
    conforms(Provider {
        seals: sealer(WrapKey::AwsKms(kms("capture"))),
        opens: opener(UnwrapKey::AwsKms(kms("internal"))),
        seals_elsewhere: sealer(WrapKey::AwsKms(Box::new(other))),
    })
    .await;

    let may = moto
        .kms("capture", Environment::Test)
        .permissions()
        .await
        .unwrap();
    assert!(may.can_wrap && !may.can_unwrap, "{may:?}");
    let may = moto
        .kms("internal", Environment::Test)
        .permissions()
        .await
        .unwrap();
    assert!(may.can_wrap && may.can_unwrap, "{may:?}");

    // What the capture plane made, its own credentials do not read back.
    let seals = sealer(WrapKey::AwsKms(kms("capture")));
    let sealed = value(&seals).await;
    let thief = opener(UnwrapKey::AwsKms(kms("capture")));
    assert!(!opened(&thief, &sealed, &sealed.data_key).await);
    // Nor does anybody make a data key without the right to.
    let stranger = sealer(WrapKey::AwsKms(kms("stranger")));
    let failed = stranger
        .seal(&place(Environment::Test), SAYS)
        .await
        .unwrap_err();
    assert_eq!(failed, SealFailed::KeyUnavailable);
    // The environment is in the encryption context.
    let live = opener(UnwrapKey::AwsKms(Box::new(
        moto.kms("internal", Environment::Live),
    )));
    let place = place(Environment::Live);
    assert!(
        live.open(&place, &sealed.sealed, &sealed.data_key)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_key_service_that_is_gone_is_refused_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let moto = Moto::start(dir.path());
    let mut nowhere = moto.settings("capture");
    nowhere.endpoint = "https://localhost:1/".parse().unwrap();
    nowhere.request_timeout_ms = 500;
    let kms = cloakroom::seal::aws_kms::Kms::new(&nowhere, Environment::Test, Clock::system());
    let seals = sealer(WrapKey::AwsKms(Box::new(kms.unwrap())));
    let failed = seals
        .seal(&place(Environment::Test), SAYS)
        .await
        .unwrap_err();
    assert_eq!(failed, SealFailed::KeyUnavailable);
    // Wrong credentials, then the right ones in the same file: no restart.
    let file = dir.path().join("rotating.credentials");
    let wrong = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wrong\n";
    file::write_private(&file, wrong.as_bytes()).unwrap();
    let mut settings = moto.settings("capture");
    settings.credentials_file = file.clone();
    let kms = cloakroom::seal::aws_kms::Kms::new(&settings, Environment::Test, Clock::system());
    let seals = sealer(WrapKey::AwsKms(Box::new(kms.unwrap())));
    assert!(seals.seal(&place(Environment::Test), SAYS).await.is_err());
    std::fs::rename(moto.credentials("capture"), &file).unwrap();
    assert!(seals.seal(&place(Environment::Test), SAYS).await.is_ok());
}
