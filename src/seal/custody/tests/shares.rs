//! What opens a key of custodians, and what does not.

use super::*;

#[tokio::test]
async fn any_two_of_three_custodians_open_what_was_sealed_to_their_key() {
    let held = Held::two_of_three();
    let [alice, bob, carol, _] = people() else {
        panic!("four people")
    };
    let clock = crate::clock::Clock::set_to(NOW);
    let public = PublicKek::read(&held.path("kek-public.json"), Environment::Test).unwrap();
    let (limits, marking) = (DataKeyLimits::DEFAULT, crate::seal::tests::marking());
    let sealer = Sealer::new(
        WrapKey::File(public),
        marking.clone(),
        limits,
        clock.clone(),
    );
    let value = sealer.seal(&HERE, b"reference").await.unwrap();
    for pair in [[alice, bob], [carol, alice], [bob, carol]] {
        let shares = pair.map(|person| held.share(person));
        let opener = Opener::new(Environment::Test, marking.clone(), clock.clone());
        let open = async || opener.open(&HERE, &value.sealed, &value.data_key).await;
        assert!(open().await.is_err(), "sealed");
        let private = held.shared().open(&shares).unwrap();
        opener.hold(UnwrapKey::File(private)).unwrap();
        assert_eq!(open().await.unwrap().expose(), b"reference");
    }
    assert_eq!(
        held.shared().open([&held.share(alice)]).unwrap_err(),
        Why::NotOpened
    );
}

#[test]
fn nothing_that_a_ceremony_writes_holds_a_share_or_a_key_in_clear() {
    let held = Held::two_of_three();
    let shares: Vec<Share> = people()[..3].iter().map(|p| held.share(p)).collect();
    let private = held.shared().open(&shares[..2]).unwrap();
    let secrets = shares.iter().map(|share| &share.expose()[1..]);
    for secret in secrets.chain([private.expose()]) {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
        let base64 = base64.trim_end_matches('=');
        let hex = crate::seal::data_key::hex(secret);
        for (name, bytes) in &held.ceremony.files {
            let text = str::from_utf8(bytes).unwrap();
            assert!(!text.contains(base64) && !text.contains(&hex), "{name}");
        }
    }
}

#[test]
fn a_share_opens_for_its_custodian_only_and_not_when_altered_in_any_field() {
    let held = Held::two_of_three();
    let [alice, bob, ..] = people() else {
        panic!("four people")
    };
    let (file, bytes) = ShareFile::read(&held.path("share-alice.json")).unwrap();
    assert_eq!(file.open(&bob.key).unwrap_err(), Why::KeysDoNotMatch);
    assert_eq!(file.open(&alice.key).unwrap().index(), 1);

    let whole: Value = serde_json::from_slice(&bytes).unwrap();
    for name in whole.as_object().unwrap().keys() {
        let mut altered = whole.clone();
        altered[name] = match &whole[name] {
            Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
            Value::String(text) if text == "test" => Value::from("live"),
            Value::String(text) if name == "sealed_share" => Value::from(flipped(text)),
            Value::String(text) => Value::from(text.replacen(['0', 'e', 'a', '1'], "2", 1)),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => panic!("{name}"),
        };
        assert_ne!(altered, whole, "{name}");
        let opened = ShareFile::parse(&serde_json::to_vec(&altered).unwrap())
            .and_then(|file| file.open(&alice.key));
        assert!(opened.is_err(), "{name}");
    }
    // Bob's ciphertext under Alice's name is not hers.
    let (_, other) = ShareFile::read(&held.path("share-bob.json")).unwrap();
    let other: Value = serde_json::from_slice(&other).unwrap();
    let mut swapped = whole;
    swapped["sealed_share"] = other["sealed_share"].clone();
    let swapped = ShareFile::parse(&serde_json::to_vec(&swapped).unwrap()).unwrap();
    assert_eq!(swapped.open(&alice.key).unwrap_err(), Why::NotOpened);
}

fn flipped(base64: &str) -> String {
    let first = if base64.starts_with('A') { "B" } else { "A" };
    base64
        .chars()
        .skip(1)
        .fold(first.to_owned(), |mut text, letter| {
            text.push(letter);
            text
        })
}

#[test]
fn a_private_document_of_custodians_altered_in_any_field_is_refused() {
    let held = Held::two_of_three();
    let shares = [held.share(&people()[0]), held.share(&people()[1])];
    let whole: Value = serde_json::from_slice(held.bytes("kek-private.json")).unwrap();
    let alterations: [(&str, Value); 8] = [
        ("/format", "cloakroom-kek-private/1".into()),
        ("/public/environment", "live".into()),
        ("/public/kek", format!("kek_{}", "0".repeat(32)).into()),
        ("/ceremony", format!("cer_{}", "0".repeat(32)).into()),
        ("/threshold", 3.into()),
        ("/holders/2/custodian", "mallory".into()),
        ("/holders/2/check", "0".repeat(64).into()),
        ("/private_key/nonce", "AAAAAAAAAAAAAAAA".into()),
    ];
    let open = |document: &Value| {
        let text = serde_json::to_vec(document).unwrap();
        SharedKek::parse(&text, Environment::Test).and_then(|shared| shared.open(&shares))
    };
    assert!(open(&whole).is_ok());
    for (place, value) in alterations {
        let mut altered = whole.clone();
        *altered.pointer_mut(place).unwrap() = value;
        assert!(open(&altered).is_err(), "{place}");
    }
    let text = held.bytes("kek-private.json");
    assert!(SharedKek::parse(text, Environment::Live).is_err());
}

#[test]
fn a_custodians_files_are_bound_to_their_passphrase_and_to_each_other() {
    let made = |name: &str| generate(name.parse().unwrap(), PASSPHRASE, NOW).unwrap();
    let (alice, bob) = (made("alice"), made("bob"));
    let key = CustodianKey::parse(&alice.private, PASSPHRASE).unwrap();
    assert_eq!(key.custodian().key, alice.key);
    let wrong = CustodianKey::parse(&alice.private, b"wrong horse battery staple");
    assert_eq!(wrong.unwrap_err(), Why::NotOpened);
    let short = generate("erin".parse().unwrap(), b"elevenbytes", NOW);
    assert_eq!(short.unwrap_err(), file::GenerateFailed::PassphraseTooShort);

    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str, document: &Value| {
        let path = dir.path().join(name);
        file::write_private(&path, &serde_json::to_vec(document).unwrap()).unwrap();
        Custodian::read(&path)
    };
    let whole: Value = serde_json::from_slice(&alice.public).unwrap();
    assert_eq!(read("whole", &whole).unwrap(), *key.custodian());
    let mut renamed = whole.clone();
    renamed["document"]["name"] = "mallory".into();
    assert!(read("renamed", &renamed).is_err());
    let mut other: Value = serde_json::from_slice(&bob.public).unwrap();
    other["document"]["hpke_public_key"] = whole["document"]["hpke_public_key"].clone();
    assert!(read("mixed", &other).is_err());
}

#[test]
fn shares_are_taken_from_different_clients_each_once_and_of_this_ceremony_only() {
    let (held, another) = (Held::two_of_three(), Held::two_of_three());
    let [alice, bob, ..] = people() else {
        panic!("four people")
    };
    let (first, second) = (held.share(alice), held.share(bob));
    let mut gathering = Gathering::new(held.shared(), 900);

    let mut foreign = give("client-a", &held, &first);
    foreign.kek = &another.ceremony.kek;
    assert_eq!(
        gathering.check(&foreign).unwrap_err(),
        GiveRefused::OtherKey
    );
    let mut old = give("client-a", &held, &first);
    old.ceremony = another.ceremony.ceremony.as_str();
    assert_eq!(
        gathering.check(&old).unwrap_err(),
        GiveRefused::OtherCeremony
    );
    let stranger = another.share(alice);
    let of_another = give("client-a", &held, &stranger);
    assert_eq!(
        gathering.check(&of_another).unwrap_err(),
        GiveRefused::WrongShare
    );
    for place in 0..first.expose().len() {
        let mut bytes = first.expose().to_vec();
        bytes[place] ^= 1;
        let altered = Given {
            share: &bytes,
            ..give("client-a", &held, &first)
        };
        assert_eq!(
            gathering.check(&altered).unwrap_err(),
            GiveRefused::WrongShare
        );
    }

    let taken = gathering.check(&give("client-a", &held, &first)).unwrap();
    gathering.keep("client-a", taken, NOW);
    assert!(gathering.open().is_none(), "one is not two");
    assert!(gathering.repeats(&give("client-a", &held, &first)));
    assert!(!gathering.repeats(&give("client-b", &held, &first)));
    let same_client = give("client-a", &held, &second);
    assert_eq!(
        gathering.check(&same_client).unwrap_err(),
        GiveRefused::SameClient
    );
    let same_share = give("client-b", &held, &first);
    assert_eq!(
        gathering.check(&same_share).unwrap_err(),
        GiveRefused::SameShare
    );

    let taken = gathering.check(&give("client-b", &held, &second)).unwrap();
    gathering.keep("client-b", taken, NOW);
    assert!(gathering.open().unwrap().is_ok());
    assert_eq!(gathering.count(), 0, "nothing is kept");
}

#[test]
fn shares_are_forgotten_when_the_window_is_over_or_the_clock_goes_back() {
    let held = Held::two_of_three();
    for (now, forgotten) in [
        (NOW.plus_ms(899_999), 0),
        (NOW.plus_s(900), 1),
        (Timestamp::from_unix_ms(NOW.unix_ms() - 1), 1),
    ] {
        let mut gathering = Gathering::new(held.shared(), 900);
        gathering.keep("client-a", held.share(&people()[0]), NOW);
        assert_eq!(gathering.forgotten_at(), Some(NOW.plus_s(900)));
        assert_eq!(gathering.forget_expired(now), forgotten);
        assert_eq!(usize::from(gathering.count()), 1 - forgotten);
    }
}
