//! A ceremony from end to end, and what each paper and each share refuses.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use super::*;
use crate::clock::Timestamp;
use crate::seal::file::{self, PublicKek, Why};
use crate::seal::signing::SigningKey;
use crate::seal::{DataKeyLimits, Opener, Sealer, UnwrapKey, WrapKey, tests::HERE};
use crate::token::Environment;

const PASSPHRASE: &[u8] = b"correct horse battery staple";
const NOW: Timestamp = Timestamp::from_unix_ms(1_795_400_000_000);

struct Person {
    key: CustodianKey,
}

/// Alice, Bob, Carol and Dave, without passphrases, whose stretching takes its time.
fn people() -> &'static [Person] {
    static PEOPLE: OnceLock<Vec<Person>> = OnceLock::new();
    PEOPLE.get_or_init(|| ["alice", "bob", "carol", "dave"].map(person).into())
}

fn person(name: &str) -> Person {
    let (key, _) = CustodianKey::make(name.parse().unwrap(), NOW).unwrap();
    Person { key }
}

fn public(people: &[&Person]) -> Vec<Custodian> {
    people.iter().map(|p| p.key.custodian().clone()).collect()
}

fn signing_key() -> SigningKey {
    SigningKey::parse(SigningKey::generate().unwrap().as_bytes()).unwrap()
}

/// A ceremony whose files are in a directory.
struct Held {
    dir: tempfile::TempDir,
    ceremony: Ceremony,
    signing_key: SigningKey,
}

impl Held {
    /// Alice, Bob and Carol, of whom two open the key.
    fn two_of_three() -> Self {
        let [alice, bob, carol, _] = people() else {
            panic!("four people")
        };
        let signing_key = signing_key();
        let ceremony = init(
            Environment::Test,
            order(&signing_key, &[alice, bob, carol], 2, Ledger::default()),
        )
        .unwrap();
        Self::write(ceremony, signing_key)
    }

    fn write(ceremony: Ceremony, signing_key: SigningKey) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &ceremony.files {
            file::write_private(&dir.path().join(name), bytes).unwrap();
        }
        Self {
            dir,
            ceremony,
            signing_key,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bytes(&self, name: &str) -> &[u8] {
        let named = |(known, _): &&(String, Vec<u8>)| known == name;
        &self.ceremony.files.iter().find(named).unwrap().1
    }

    fn shared(&self) -> SharedKek {
        SharedKek::read(&self.path("kek-private.json"), Environment::Test).unwrap()
    }

    fn share(&self, person: &Person) -> Share {
        let name = &person.key.custodian().name;
        let (file, _) = ShareFile::read(&self.path(&format!("share-{name}.json"))).unwrap();
        file.open(&person.key).unwrap()
    }

    fn transcript_path(&self) -> PathBuf {
        self.path(&Transcript::file_name(&self.ceremony.kek))
    }

    fn acknowledge(&self, person: &Person) {
        let name = &person.key.custodian().name;
        let (share, bytes) = ShareFile::read(&self.path(&format!("share-{name}.json"))).unwrap();
        let (transcript, transcript_bytes) = Transcript::read(&self.transcript_path()).unwrap();
        let signed = Acknowledgement::make(
            (&share, &bytes),
            (transcript.document(), &transcript_bytes),
            &person.key,
            NOW,
        )
        .unwrap();
        let path = self.path(&Acknowledgement::file_name(name));
        file::write_private(&path, &signed.to_json()).unwrap();
    }

    /// What does not hold of its papers.
    fn broken(&self) -> Vec<String> {
        let papers = Papers {
            transcript: self.transcript_path(),
            dir: self.dir.path().to_owned(),
            acknowledgements: self.dir.path().to_owned(),
        };
        verify(&papers)
            .unwrap()
            .into_iter()
            .filter(|finding| finding.verdict == Verdict::Broken)
            .map(|finding| finding.name)
            .collect()
    }
}

fn order<'a>(
    signing_key: &'a SigningKey,
    custodians: &[&Person],
    threshold: u8,
    ledger: Ledger,
) -> Order<'a> {
    Order {
        custodians: public(custodians),
        threshold,
        witnesses: vec!["Erin (audit)".to_owned()],
        ledger,
        signing_key,
        now: NOW,
    }
}

fn give<'a>(client: &'a str, held: &'a Held, share: &'a Share) -> Given<'a> {
    Given {
        client,
        kek: &held.ceremony.kek,
        ceremony: held.ceremony.ceremony.as_str(),
        share: share.expose(),
    }
}

#[tokio::test]
async fn any_two_of_three_custodians_open_what_was_sealed_to_their_key() {
    let held = Held::two_of_three();
    let [alice, bob, carol, _] = people() else {
        panic!("four people")
    };
    let clock = crate::clock::Clock::set_to(NOW);
    let public = PublicKek::read(&held.path("kek-public.json"), Environment::Test).unwrap();
    let sealer = Sealer::new(WrapKey::File(public), DataKeyLimits::DEFAULT, clock.clone());
    let value = sealer.seal(&HERE, b"reference").await.unwrap();
    for pair in [[alice, bob], [carol, alice], [bob, carol]] {
        let shares = pair.map(|person| held.share(person));
        let opener = Opener::new(Environment::Test, clock.clone());
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
