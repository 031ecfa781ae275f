use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;

use super::archive::{MANIFEST, PARTIAL, SEALED, file_of};
use super::manifest::Proof;
use super::manifest::tests::signing_key;
use super::*;
use crate::audit::note::LogKey;
use crate::clock::{Clock, Timestamp};
use crate::seal::backup::{BackupIdentity, BackupRecipient, generate};
use crate::seal::file::write_private;
use crate::store::{Orders, Place, Settings};
use crate::token::Environment;

const PASSPHRASE: &[u8] = b"a long enough passphrase";
const DAY_MS: u64 = 86_400_000;

struct Scene {
    dir: TempDir,
    maker: Maker,
    identity: BackupIdentity,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let settings = Settings {
            place: Place::Sqlite { path: at("db") },
            batch_ops_max: 8,
            queue_ops_max: 8,
            busy_timeout_ms: 1_000,
            readers_max: 1,
            observer: None,
            orders: Orders::default(),
        };
        store::migrate(&settings).await.unwrap();
        let (recipient, identity) = pair(dir.path(), "backup");
        let places = vec![at("one"), at("two")];
        for place in &places {
            fs::create_dir(place).unwrap();
        }
        let signing = signing_key(dir.path());
        let maker = Maker {
            archive: Archive {
                environment: Environment::Test,
                places,
                key: LogKey::of(&signing),
            },
            database: at("db"),
            node: "n".to_owned(),
            recipient,
            signing,
            kept_max: 2,
        };
        Self {
            dir,
            maker,
            identity,
        }
    }

    fn make(&self, day: u64) -> Result<Made, Failure> {
        self.maker.make(self::day(day), &AtomicBool::new(false))
    }

    fn places(&self) -> &[PathBuf] {
        &self.maker.archive.places
    }

    fn list(&self) -> Listing {
        self.maker.archive.list()
    }

    /// Files beside the database and in the places that no whole backup has.
    fn leftovers(&self) -> Vec<PathBuf> {
        let mut directories = vec![self.dir.path().to_owned()];
        directories.extend_from_slice(self.places());
        let files = directories.iter().flat_map(|directory| {
            let entries = fs::read_dir(directory).into_iter().flatten();
            entries.map(|entry| entry.unwrap().path())
        });
        let is_left = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.contains("snapshot") || name.contains(PARTIAL)
        };
        files.filter(is_left).collect()
    }

    fn opened(&self, identity: &BackupIdentity) -> Result<(), Failure> {
        let to = self.dir.path().join("opened");
        let listing = self.list();
        let backup = listing.find(None).unwrap();
        let place = &self.places()[0];
        let opened = self.maker.archive.open(backup, (place, identity), &to);
        assert_eq!(to.exists(), opened.is_ok());
        if opened.is_ok() {
            fs::remove_file(&to).unwrap();
        }
        opened
    }
}

fn pair(dir: &Path, name: &str) -> (BackupRecipient, BackupIdentity) {
    let files = generate(Environment::Test, PASSPHRASE).unwrap();
    let (public, private) = (dir.join(name), dir.join(format!("{name}-private")));
    write_private(&public, &files.public).unwrap();
    write_private(&private, &files.private).unwrap();
    (
        BackupRecipient::read(&public, Environment::Test).unwrap(),
        BackupIdentity::read(&private, PASSPHRASE, Environment::Test).unwrap(),
    )
}

#[tokio::test]
async fn a_backup_stands_in_every_place_and_opens_to_the_database() {
    let scene = Scene::new().await;
    let made = scene.make(0).unwrap();
    assert!(made.failed.is_empty() && made.removed.is_empty());
    let listing = scene.list();
    assert_eq!(listing.faults, []);
    let backup = listing.find(None).unwrap();
    assert_eq!(backup.manifest, made.manifest);
    assert_eq!(backup.places, scene.places());
    assert!(listing.find(Some("another")).is_err());
    let verified = scene.maker.archive.verify(backup);
    assert_eq!((verified.whole.len(), verified.faults.len()), (2, 0));
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
    for file in [SEALED, MANIFEST] {
        let path = file_of(&scene.places()[1], &made.manifest.name, file);
        let permissions = fs::metadata(path).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
    }
    scene.opened(&scene.identity).unwrap();

    // It is a whole database, and what was signed of it is so.
    let to = scene.dir.path().join("opened");
    let archive = &scene.maker.archive;
    let from = (scene.places()[1].as_path(), &scene.identity);
    archive.open(backup, from, &to).unwrap();
    let facts = store::inspect(&to).unwrap();
    assert_eq!(backup.manifest.differences(&facts), Vec::<&str>::new());
    let other = store::CopyFacts { tokens: 9, ..facts };
    assert_eq!(backup.manifest.differences(&other), ["tokens"]);
    // A database is never overwritten.
    let again = archive.open(backup, from, &to);
    assert!(matches!(again, Err(Failure::Exists(_))));
}

#[tokio::test]
async fn a_backup_that_was_touched_is_named_and_does_not_open() {
    let scene = Scene::new().await;
    let name = scene.make(0).unwrap().manifest.name;
    let (place, other) = (&scene.places()[0], &scene.places()[1]);
    let sealed = file_of(place, &name, SEALED);
    let whole = fs::read(&sealed).unwrap();
    let faults = || {
        let listing = scene.list();
        let verified = listing
            .find(None)
            .map(|backup| scene.maker.archive.verify(backup));
        verified.unwrap().faults
    };

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&sealed, &flipped).unwrap();
    assert!(faults()[0].why.contains("SHA-256"), "{:?}", faults());
    assert!(matches!(
        scene.opened(&scene.identity),
        Err(Failure::Stream { .. })
    ));

    fs::write(&sealed, &whole[1..]).unwrap();
    let listing = scene.list();
    assert!(listing.faults[0].why.contains("bytes long"), "{listing:?}");
    assert_eq!(listing.backups[0].places, std::slice::from_ref(other));
    assert_eq!(faults().len(), 1);

    fs::write(&sealed, &whole).unwrap();
    let (_, stranger) = pair(scene.dir.path(), "stranger");
    let refused = scene.opened(&stranger).unwrap_err();
    assert!(
        matches!(refused, Failure::OtherRecipient { .. }),
        "{refused}"
    );

    // A manifest that was edited is none, and one that is another's is not this one's.
    let manifest = file_of(place, &name, MANIFEST);
    let note = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, note.replace("\"charges\": 0", "\"charges\": 7")).unwrap();
    assert!(scene.list().faults[0].why.contains("signed"));
    fs::write(&manifest, &note).unwrap();
    fs::rename(&manifest, file_of(place, "friday", MANIFEST)).unwrap();
    assert_eq!(scene.list().faults.len(), 2);
    assert_eq!(scene.list().backups[0].places, std::slice::from_ref(other));
}

#[tokio::test]
async fn the_oldest_go_and_a_place_that_takes_nothing_is_told() {
    let scene = Scene::new().await;
    let first = scene.make(0).unwrap().manifest.name;
    let second = scene.make(1).unwrap().manifest.name;
    let third = scene.make(2).unwrap();
    assert_eq!(third.removed, [first]);
    let names = |listing: &Listing| -> Vec<String> {
        let backups = listing.backups.iter();
        backups.map(|backup| backup.manifest.name.clone()).collect()
    };
    let listing = scene.list();
    assert_eq!(names(&listing), [third.manifest.name.clone(), second]);
    assert_eq!(listing.faults, []);

    // A place that is lost: the other has the backup, and the age is that of the lost one.
    let now = day(4);
    let before = Ages::of(&listing, scene.places(), now);
    fs::remove_dir_all(&scene.places()[0]).unwrap();
    let fourth = scene.make(3).unwrap();
    assert_eq!(fourth.failed[0].0, scene.places()[0]);
    let ages = Ages::of(&scene.list(), scene.places(), now);
    assert_eq!(ages.everywhere_at, None);
    assert!(ages.newest_at > before.newest_at);
    assert!(!ages.is_due(ages.newest_at.unwrap(), 86_400));
    assert!(ages.is_due(ages.newest_at.unwrap().plus_s(86_400), 86_400));
    fs::remove_dir_all(&scene.places()[1]).unwrap();
    assert!(matches!(scene.make(4), Err(Failure::Io { .. })));
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_or_finished() {
    let scene = Scene::new().await;
    let name = scene.make(0).unwrap().manifest.name;
    let (place, _) = (&scene.places()[0], &scene.places()[1]);
    let database = &scene.maker.database;
    for suffix in ["-backup-snapshot", "-backup-snapshot-wal"] {
        fs::write(beside(database, suffix), "in clear").unwrap();
    }
    // Killed while it wrote one; and one whose manifest had no name yet.
    for suffix in [SEALED, MANIFEST] {
        fs::write(
            file_of(place, "half", &format!("{suffix}{PARTIAL}")),
            "half",
        )
        .unwrap();
    }
    let manifest = file_of(place, &name, MANIFEST);
    fs::rename(&manifest, beside(&manifest, PARTIAL)).unwrap();
    assert_eq!(scene.list().backups[0].places.len(), 1);
    // Killed while it removed one.
    let going = file_of(place, "old", &format!(".removing{PARTIAL}"));
    fs::write(going, "").unwrap();
    fs::write(file_of(place, "old", SEALED), "old").unwrap();

    // While another one is at work, nothing of it is touched.
    let lock = fs::File::options()
        .append(true)
        .open(beside(database, "-backup-lock"))
        .unwrap();
    lock.lock().unwrap();
    assert!(matches!(scene.maker.tidy(), Err(Failure::Busy)));
    assert!(matches!(scene.make(1), Err(Failure::Busy)));
    drop(lock);
    scene.maker.tidy().unwrap();
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
    let listing = scene.list();
    assert_eq!((listing.faults.len(), listing.backups.len()), (0, 1));
    assert_eq!(listing.backups[0].places.len(), 2);

    let stopped = scene
        .maker
        .make(Clock::system().now(), &AtomicBool::new(true));
    assert!(matches!(stopped, Err(Failure::Stopped)));
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_proof_is_of_one_sealed_file_and_signed() {
    let scene = Scene::new().await;
    let manifest = scene.make(0).unwrap().manifest;
    let archive = &scene.maker.archive;
    let listing = scene.list();
    assert_eq!(listing.proof, None);
    let proof = |sealed_sha256: &str| Proof {
        name: manifest.name.clone(),
        sealed_sha256: sealed_sha256.to_owned(),
        proved_at: "2026-11-29T08:00:00.000Z".to_owned(),
        canary: true,
    };
    let put = |proof: &Proof, key: &crate::seal::signing::SigningKey| {
        archive
            .put_proof(listing.find(None).unwrap(), proof, key)
            .unwrap();
        scene.list().proof
    };
    let ours = proof(&manifest.sealed.sha256);
    assert_eq!(put(&proof(&"0".repeat(64)), &scene.maker.signing), None);
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(put(&ours, &signing_key(elsewhere.path())), None);
    assert_eq!(put(&ours, &scene.maker.signing), Some(ours));
    assert!(
        Ages::of(&scene.list(), scene.places(), day(0))
            .proved_at
            .is_some()
    );
}

/// That many days after the first.
fn day(number: u64) -> Timestamp {
    let after_ms = number.saturating_mul(DAY_MS);
    Timestamp::from_unix_ms(1_795_000_000_000).plus_ms(after_ms)
}

#[tokio::test]
async fn a_clock_that_was_ahead_removes_no_backup_and_makes_none_due() {
    let scene = Scene::new().await;
    let ahead = scene.make(30).unwrap().manifest.name;
    let names = |listing: &Listing| -> Vec<String> {
        let backups = listing.backups.iter();
        backups.map(|backup| backup.manifest.name.clone()).collect()
    };
    // Two are kept, and the one from the future is none of them.
    let made: Vec<String> = (0..3)
        .map(|number| scene.make(number).unwrap().manifest.name)
        .collect();
    let listing = scene.list();
    assert_eq!(names(&listing), [ahead, made[2].clone(), made[1].clone()]);
    let ages = Ages::of(&listing, scene.places(), day(2));
    assert_eq!(ages.newest_at, Some(day(2)));
    assert!(!ages.is_due(day(2), 86_400));
}
