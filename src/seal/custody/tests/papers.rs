//! Who may hold a share, who holds it afterwards, and papers that say so.

use super::*;

#[test]
fn one_person_does_not_hold_two_shares() {
    let [alice, bob, ..] = people() else {
        panic!("four people")
    };
    let key = signing_key();
    let ledger_refuses = |custodians: Vec<Custodian>, ledger: Ledger| {
        let order = Order {
            custodians,
            ..order(&key, &[], 2, ledger)
        };
        match init(Environment::Test, order) {
            Err(CeremonyFailed::Ledger(refused)) => refused,
            other => panic!("{other:?}"),
        }
    };
    let (a, b) = (alice.key.custodian(), bob.key.custodian());

    let twice = vec![a.clone(), b.clone(), a.clone()];
    let refused = ledger_refuses(twice, Ledger::default());
    assert_eq!(refused, LedgerRefused::SameName(a.name.clone()));

    // The same keys under another name.
    let renamed = Custodian {
        name: "mallory".parse().unwrap(),
        ..a.clone()
    };
    let refused = ledger_refuses(vec![a.clone(), renamed.clone()], Ledger::default());
    let same = LedgerRefused::SameKey(a.name.clone(), renamed.name.clone());
    assert_eq!(refused, same);

    // Somebody else's opening key with a signing key of one's own does not have its check value.
    let mixed = Custodian {
        hpke_public_key: a.hpke_public_key.clone(),
        ..b.clone()
    };
    let refused = ledger_refuses(vec![a.clone(), mixed], Ledger::default());
    assert_eq!(refused, LedgerRefused::NotWhole(b.name.clone()));

    // A key that the ledger knows under another name.
    let held = Held::two_of_three();
    let ledger = Ledger::read(&held.path("custodians.json")).unwrap();
    let refused = ledger_refuses(vec![renamed.clone(), b.clone()], ledger.into_document());
    let known = LedgerRefused::KnownUnderAnotherName {
        before: a.name.clone(),
        now: renamed.name,
    };
    assert_eq!(refused, known);
}

#[test]
fn a_ceremonys_bounds_are_kept() {
    let key = signing_key();
    let [alice, bob, carol, _] = people() else {
        panic!("four people")
    };
    for (custodians, threshold) in [
        (&[alice, bob, carol][..], 1),
        (&[alice, bob, carol], 4),
        (&[alice], 2),
        (&[alice], 1),
        (&[], 2),
    ] {
        let order = order(&key, custodians, threshold, Ledger::default());
        let refused = init(Environment::Test, order);
        assert!(
            matches!(refused, Err(CeremonyFailed::Bounds)),
            "{refused:?}"
        );
    }
}

#[test]
fn after_a_split_the_old_shares_open_nothing_new_and_the_key_is_the_same() {
    let held = Held::two_of_three();
    let [alice, bob, carol, dave] = people() else {
        panic!("four people")
    };
    let old = [held.share(alice), held.share(bob)];
    let ledger = Ledger::read(&held.path("custodians.json")).unwrap();
    // Bob leaves, Dave comes.
    let order = order(
        &held.signing_key,
        &[alice, carol, dave],
        2,
        ledger.into_document(),
    );
    let ceremony = split(&held.shared(), &old, Environment::Test, order).unwrap();
    let signing_key = SigningKey::parse(SigningKey::generate().unwrap().as_bytes()).unwrap();
    let after = Held::write(ceremony, signing_key);

    assert_eq!(after.ceremony.kek, held.ceremony.kek);
    assert!(after.shared().open(&old).is_err());
    assert!(old.iter().all(|share| !after.shared().knows(share)));
    let new = [after.share(dave), after.share(carol)];
    let opened = after.shared().open(&new).unwrap();
    let before = held.shared().open(&old).unwrap();
    assert!(opened.expose() == before.expose());
    assert!(held.shared().open(&new).is_err());

    // The papers say who opened it, and what is to be destroyed.
    let transcript: Value =
        serde_json::from_slice(after.bytes(&Transcript::file_name(&after.ceremony.kek))).unwrap();
    let document = &transcript["document"];
    assert_eq!(document["act"], "split");
    let by = serde_json::json!(["alice", "bob"]);
    assert_eq!(document["previous"]["opened_by"], by);
    let before = held.ceremony.ceremony.as_str();
    assert_eq!(document["previous"]["ceremony"], before);
    assert!(document["notices"][1].as_str().unwrap().contains("destroy"));
    let ledger: Value = serde_json::from_slice(after.bytes("custodians.json")).unwrap();
    let custodies = ledger["document"]["custodies"].as_array().unwrap();
    assert_eq!(custodies.len(), 2);
    assert_eq!(custodies[0]["until"], NOW.rfc3339());
    assert_eq!(custodies[1]["until"], Value::Null);
    assert_eq!(after.broken().len(), 3, "three have yet to acknowledge");
}

#[test]
fn too_few_custodians_split_nothing() {
    let held = Held::two_of_three();
    let one = [held.share(&people()[0])];
    let order = order(
        &held.signing_key,
        &[&people()[2], &people()[3]],
        2,
        Ledger::default(),
    );
    let refused = split(&held.shared(), &one, Environment::Test, order);
    assert!(matches!(refused, Err(CeremonyFailed::NotOpened(_))));
}

#[test]
fn the_papers_hold_when_every_custodian_has_signed() {
    let held = Held::two_of_three();
    let three = &people()[..3];
    held.acknowledge(&three[0]);
    let missing = ["acknowledgement of bob", "acknowledgement of carol"];
    assert_eq!(held.broken(), missing);
    held.acknowledge(&three[1]);
    held.acknowledge(&three[2]);
    assert_eq!(held.broken(), [""; 0]);

    // The shares are with their custodians; that is as it should be.
    std::fs::remove_file(held.path("share-bob.json")).unwrap();
    assert_eq!(held.broken(), [""; 0]);
}

#[test]
fn papers_are_held_against_a_signing_key_that_is_known_from_elsewhere() {
    let held = Held::two_of_three();
    for person in &people()[..3] {
        held.acknowledge(person);
    }
    let (signed, _) = Transcript::read(&held.transcript_path()).unwrap();
    let key = crate::seal::hex(&signed.signer().unwrap());
    assert_eq!(held.broken_under(Some(key)), [""; 0]);
    // A whole set that somebody else made up agrees with itself, and with this alone not.
    let ours = "0b".repeat(32);
    assert_eq!(held.broken_under(Some(ours)), ["signing key"]);
    assert_eq!(held.broken_under(None), [""; 0]);
}

#[test]
fn papers_that_were_altered_or_exchanged_do_not_hold() {
    let held = Held::two_of_three();
    for person in &people()[..3] {
        held.acknowledge(person);
    }
    let with = |name: &str, bytes: &[u8], check: &dyn Fn(Vec<String>)| {
        let path = held.path(name);
        let kept = std::fs::read(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        check(held.broken());
        std::fs::write(&path, kept).unwrap();
    };
    let read = |name: &str| -> Value { parsed(&held.path(name)) };

    let mut document = read("kek-private.json");
    document["threshold"] = 1.into();
    with(
        "kek-private.json",
        document.to_string().as_bytes(),
        &|broken| {
            assert_eq!(broken, ["kek-private.json"]);
        },
    );
    // Another's signature, another statement.
    let bobs = std::fs::read(held.path("acknowledgement-bob.json")).unwrap();
    with("acknowledgement-alice.json", &bobs, &|broken| {
        assert_eq!(broken, ["acknowledgement of alice"]);
    });
    let mut softened = read("acknowledgement-alice.json");
    softened["document"]["statement"] = "I may share it.".into();
    let softened = softened.to_string();
    with(
        "acknowledgement-alice.json",
        softened.as_bytes(),
        &|broken| {
            assert_eq!(broken, ["acknowledgement of alice"]);
        },
    );
    let mut ledger = read("custodians.json");
    ledger["document"]["custodies"][0]["threshold"] = 3.into();
    let ledger = ledger.to_string();
    with("custodians.json", ledger.as_bytes(), &|broken| {
        assert!(broken.contains(&"ledger".to_owned()), "{broken:?}");
    });
    assert_eq!(held.broken(), [""; 0], "all is as it was");

    let transcript = Transcript::file_name(&held.ceremony.kek);
    let mut altered = read(&transcript);
    altered["document"]["threshold"] = 1.into();
    let refused = Signed::<Transcript>::parse(altered.to_string().as_bytes());
    assert_eq!(refused.unwrap_err(), SignedRefused::Signature);
    let other = held.bytes("custodians.json");
    let refused = Signed::<Transcript>::parse(other);
    assert_eq!(refused.unwrap_err(), SignedRefused::Malformed);
}

fn parsed(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
