//! Key files: permissions, environment, passphrase, and a document altered anywhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{
    GenerateFailed, MEMORY_KIB_MAX, PrivateKek, PublicKek, PublicKekFile, Stretch, Why, generate,
    generate_with, hpke, passphrase, write_private,
};
use crate::seal::mac::MacKey;
use crate::seal::signing::SigningKey;
use crate::seal::tests::{CHEAP, Keys, PASSPHRASE};
use crate::token::Environment::{Live, Test};

fn why_private(keys: &Keys, name: &str) -> Why {
    let refused = PrivateKek::read(&keys.path(name), PASSPHRASE, Test).unwrap_err();
    assert_eq!(refused.path, keys.path(name));
    refused.why
}

fn why_public(keys: &Keys, name: &str) -> Why {
    PublicKek::read(&keys.path(name), Test).unwrap_err().why
}

/// A copy of a key document in which one thing was changed.
fn altered(keys: &Keys, original: &str, change: impl FnOnce(&mut Value)) -> String {
    let text = fs::read(keys.path(original)).unwrap();
    let mut document: Value = serde_json::from_slice(&text).unwrap();
    change(&mut document);
    let mut name = [0; 8];
    crate::random::fill(&mut name);
    let name = format!("{:x}.json", u64::from_be_bytes(name));
    write_private(&keys.path(&name), document.to_string().as_bytes()).unwrap();
    name
}

#[test]
fn a_live_key_at_production_strength_comes_back_from_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let (public, private) = generate(Live, PASSPHRASE).unwrap();
    let (public_path, private_path) = (
        directory.path().join("public.json"),
        directory.path().join("private.json"),
    );
    write_private(&public_path, &public.to_json()).unwrap();
    write_private(&private_path, &private.to_json()).unwrap();
    let read = PrivateKek::read(&private_path, PASSPHRASE, Live).unwrap();
    assert_eq!(format!("{read:?}"), format!("PrivateKek({})", public.kek()));
    let read = PublicKek::read(&public_path, Live).unwrap();
    assert_eq!(format!("{read:?}"), format!("PublicKek({})", public.kek()));
}

#[test]
fn a_key_of_the_other_environment_is_refused_by_name() {
    let keys = Keys::new();
    let wrong = Why::WrongEnvironment {
        stated: "test",
        served: "live",
    };
    let refused = PublicKek::read(&keys.path("public.json"), Live).unwrap_err();
    assert_eq!(refused.why, wrong);
    let refused = PrivateKek::read(&keys.path("private.json"), PASSPHRASE, Live).unwrap_err();
    assert_eq!(refused.why, wrong);
    assert!(
        refused
            .to_string()
            .contains("test environment, but this process serves live")
    );

    // Renaming the environment does not make a test key a live one.
    let renamed = altered(&keys, "private.json", |document| {
        document["environment"] = json!("live");
    });
    let refused = PrivateKek::read(&keys.path(&renamed), PASSPHRASE, Live).unwrap_err();
    assert_eq!(refused.why, Why::StretchOutOfBounds);
}

#[test]
fn a_wrong_passphrase_is_refused_without_a_word_of_it() {
    let keys = Keys::new();
    for wrong in [
        &b"correct horse battery stapl"[..],
        b"Correct horse battery staple",
        b"",
    ] {
        let refused = PrivateKek::read(&keys.path("private.json"), wrong, Test).unwrap_err();
        assert_eq!(refused.why, Why::NotOpened);
        assert!(!format!("{refused} {refused:?}").contains("horse"));
    }
}

#[test]
fn a_private_document_altered_in_any_field_is_refused() {
    let keys = Keys::new();
    let other = Keys::new();
    let text = fs::read(other.path("private.json")).unwrap();
    let foreign: Value = serde_json::from_slice(&text).unwrap();
    let private = |change: &dyn Fn(&mut Value)| {
        let name = altered(&keys, "private.json", change);
        why_private(&keys, &name)
    };
    assert_eq!(
        private(&|d| d["format"] = json!("cloakroom-kek-private/2")),
        Why::Malformed
    );
    assert_eq!(private(&|d| d["suite"] = json!("none")), Why::Malformed);
    assert_eq!(private(&|d| d["more"] = json!(1)), Why::Malformed);
    assert_eq!(
        private(&|d| d["kdf"]["name"] = json!("argon2i")),
        Why::Malformed
    );
    assert_eq!(private(&|d| d["kdf"]["more"] = json!(1)), Why::Malformed);
    assert_eq!(private(&|d| d["nonce"] = json!("AAAA")), Why::Malformed);
    assert_eq!(
        private(&|d| d["nonce"] = json!("no base64")),
        Why::Malformed
    );
    assert_eq!(
        private(&|d| d["sealed_private_key"] = json!("")),
        Why::NotOpened
    );
    assert_eq!(
        private(&|d| d["kek"] = foreign["kek"].clone()),
        Why::KekIsNotTheHash
    );
    assert_eq!(
        private(&|d| d["public_key"] = foreign["public_key"].clone()),
        Why::KekIsNotTheHash
    );
    for (field, value) in [("passes", 2), ("memory_kib", 16)] {
        assert_eq!(private(&|d| d["kdf"][field] = json!(value)), Why::NotOpened);
    }
    for field in ["nonce", "sealed_private_key"] {
        assert_eq!(
            private(&|d| d[field] = foreign[field].clone()),
            Why::NotOpened
        );
    }
    assert_eq!(
        private(&|d| d["kdf"]["salt"] = foreign["kdf"]["salt"].clone()),
        Why::NotOpened
    );
    // Another key pair's name over this pair's sealed key.
    let stolen = private(&|d| {
        d["kek"] = foreign["kek"].clone();
        d["public_key"] = foreign["public_key"].clone();
    });
    assert_eq!(stolen, Why::NotOpened);
}

#[test]
fn a_private_key_under_another_public_key_is_refused() {
    let (public, _) = hpke::generate().unwrap();
    let (_, private) = hpke::generate().unwrap();
    let header = PublicKekFile::new(Test, &public.0);
    let document = passphrase::seal(&header, &private, PASSPHRASE, CHEAP).unwrap();
    let refused = PrivateKek::parse(&document.to_json(), PASSPHRASE, Test).unwrap_err();
    assert_eq!(refused, Why::KeysDoNotMatch);
}

#[test]
fn a_public_document_that_is_not_a_point_on_the_curve_is_refused() {
    let keys = Keys::new();
    let public = |change: &dyn Fn(&mut Value)| {
        let name = altered(&keys, "public.json", change);
        why_public(&keys, &name)
    };
    assert_eq!(
        public(&|d| d["format"] = json!("cloakroom-kek-private/1")),
        Why::Malformed
    );
    assert_eq!(public(&|d| d["public_key"] = json!("BAAA")), Why::Malformed);
    assert_eq!(
        public(&|d| d["kek"] = json!("kek_00")),
        Why::KekIsNotTheHash
    );
    let off_the_curve = [&[4_u8][..], &[7; 64]].concat();
    let document = PublicKekFile::new(Test, &off_the_curve);
    write_private(&keys.path("off.json"), &document.to_json()).unwrap();
    assert_eq!(why_public(&keys, "off.json"), Why::Malformed);
}

#[test]
fn stretching_has_a_floor_for_live_keys_and_a_ceiling_for_all() {
    let refused = generate_with(Live, PASSPHRASE, CHEAP).unwrap_err();
    assert_eq!(refused, GenerateFailed::StretchOutOfBounds);
    let recommended = Stretch::RECOMMENDED;
    for weaker in [
        Stretch {
            memory_kib: recommended.memory_kib - 1,
            ..recommended
        },
        Stretch {
            passes: recommended.passes - 1,
            ..recommended
        },
    ] {
        assert!(!weaker.allowed_in(Live));
        assert!(weaker.allowed_in(Test));
    }
    for beyond in [
        Stretch {
            memory_kib: MEMORY_KIB_MAX + 1,
            ..recommended
        },
        Stretch {
            memory_kib: u32::MAX,
            ..recommended
        },
        Stretch {
            memory_kib: 31,
            ..recommended
        },
        Stretch {
            passes: 17,
            ..recommended
        },
        Stretch {
            passes: 0,
            ..recommended
        },
        Stretch {
            lanes: 17,
            ..recommended
        },
        Stretch {
            lanes: 0,
            ..recommended
        },
    ] {
        assert!(!beyond.allowed_in(Live), "{beyond:?}");
        assert!(!beyond.allowed_in(Test), "{beyond:?}");
    }
    let keys = Keys::new();
    let costly = altered(&keys, "private.json", |d| {
        d["kdf"]["memory_kib"] = json!(u32::MAX);
    });
    assert_eq!(why_private(&keys, &costly), Why::StretchOutOfBounds);
}

#[test]
fn a_short_passphrase_makes_no_key() {
    let refused = generate_with(Test, b"elevenchars", CHEAP).unwrap_err();
    assert_eq!(refused, GenerateFailed::PassphraseTooShort);
}

#[test]
fn a_passphrase_is_counted_in_characters_and_must_not_be_guessed_at_once() {
    let made = |passphrase: &str| generate_with(Test, passphrase.as_bytes(), CHEAP).err();
    let (short, simple) = (
        Some(GenerateFailed::PassphraseTooShort),
        Some(GenerateFailed::PassphraseTooSimple),
    );
    for (passphrase, refused) in [
        ("elevenchars", short),
        // Six characters in twelve bytes.
        ("éééééé", short),
        ("aaaaaaaaaaaa", simple),
        ("aaaaaaaaaaaa1", simple),
        ("onlyletters and", simple),
        ("1234567890123", simple),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", simple),
        ("twelve-chars1", None),
        ("ключ-от-базы-7", None),
        ("correct horse battery", None),
    ] {
        assert_eq!(made(passphrase), refused, "{passphrase}");
    }
    // What is no text is counted by bytes.
    let bytes: Vec<u8> = (200..=250).collect();
    let made = generate_with(Test, &bytes, CHEAP);
    assert!(made.is_ok(), "{:?}", made.err());
}

/// A rotation makes the next key under the passphrase that opens the present one.
#[test]
fn a_passphrase_of_an_earlier_day_protects_the_next_key_too() {
    let old = b"aaaaaaaaaaaa";
    let refused = generate_with(Test, old, CHEAP).unwrap_err();
    assert_eq!(refused, GenerateFailed::PassphraseTooSimple);
    let (_, private) = super::generate_beside(Test, old, CHEAP).unwrap();
    let keys = Keys::new();
    write_private(&keys.path("next.json"), &private.to_json()).unwrap();
    PrivateKek::read(&keys.path("next.json"), old, Test).unwrap();
}

#[test]
fn a_secret_file_that_others_can_read_is_refused_with_the_mend() {
    let keys = Keys::new();
    write_private(&keys.path("mac"), MacKey::generate().as_bytes()).unwrap();
    write_private(
        &keys.path("sign"),
        SigningKey::generate().unwrap().as_bytes(),
    )
    .unwrap();
    MacKey::read(&keys.path("mac")).unwrap();
    SigningKey::read(&keys.path("sign")).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o601, 0o660, 0o777] {
        for name in ["mac", "sign", "private.json"] {
            fs::set_permissions(keys.path(name), Permissions::from_mode(mode)).unwrap();
        }
        let refused = [
            MacKey::read(&keys.path("mac")).unwrap_err(),
            SigningKey::read(&keys.path("sign")).unwrap_err(),
            PrivateKek::read(&keys.path("private.json"), PASSPHRASE, Test).unwrap_err(),
        ];
        for refused in refused {
            assert_eq!(refused.why, Why::OpenToOthers, "{mode:o}");
            let says = refused.to_string();
            assert!(says.contains("chmod 600"), "{says}");
            assert!(says.contains(&refused.path.display().to_string()), "{says}");
        }
    }
}

#[test]
fn a_public_file_may_be_read_by_all_and_changed_by_none() {
    let keys = Keys::new();
    let path = keys.path("public.json");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    PublicKek::read(&path, Test).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
    assert_eq!(why_public(&keys, "public.json"), Why::WritableByOthers);
}

#[test]
fn a_secret_file_is_written_for_its_owner_and_never_overwritten() {
    let keys = Keys::new();
    let path = keys.path("new");
    write_private(&path, b"first").unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        write_private(&path, b"second").unwrap_err().why,
        Why::Exists
    );
    assert_eq!(fs::read(&path).unwrap(), b"first");
    let nowhere = write_private(&keys.path("no/such/place"), b"x").unwrap_err();
    assert_eq!(nowhere.why, Why::Io(std::io::ErrorKind::NotFound));
}

#[test]
fn what_is_no_key_file_is_refused() {
    let keys = Keys::new();
    assert_eq!(
        why_private(&keys, "none"),
        Why::Io(std::io::ErrorKind::NotFound)
    );
    assert_eq!(why_private(&keys, ""), Why::NotAFile);
    write_private(&keys.path("empty"), b"").unwrap();
    assert_eq!(why_private(&keys, "empty"), Why::Malformed);
    assert_eq!(
        MacKey::read(&keys.path("empty")).unwrap_err().why,
        Why::Malformed
    );
    assert_eq!(
        SigningKey::read(&keys.path("empty")).unwrap_err().why,
        Why::Malformed
    );
    write_private(&keys.path("long"), &vec![b' '; 16 * 1024 + 1]).unwrap();
    assert_eq!(why_private(&keys, "long"), Why::TooLong);
    let text = fs::read(keys.path("private.json")).unwrap();
    for end in 0..text.len() - 2 {
        assert!(
            PrivateKek::parse(&text[..end], PASSPHRASE, Test).is_err(),
            "{end}"
        );
    }
}
