//! What the tests of custody share: four people, and a ceremony of three of them.

mod papers;
mod shares;

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
        self.broken_under(None)
    }

    /// The same, held against a signing key that is known from elsewhere.
    fn broken_under(&self, signing_key: Option<String>) -> Vec<String> {
        let papers = Papers {
            transcript: self.transcript_path(),
            dir: self.dir.path().to_owned(),
            acknowledgements: self.dir.path().to_owned(),
            signing_key,
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
