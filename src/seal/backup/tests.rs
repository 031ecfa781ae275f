use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::stream::{CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES};
use super::*;
use crate::seal::file::{Why, write_private};
use crate::token::Environment;

/// Where the second chunk begins, and the third.
const SECOND: usize = HEADER_BYTES + SEALED_CHUNK_BYTES;
const THIRD: usize = SECOND + SEALED_CHUNK_BYTES;
const PASSPHRASE: &[u8] = b"a long enough passphrase";

fn pair(dir: &Path, name: &str) -> (BackupRecipient, BackupIdentity) {
    let files = generate(Environment::Test, PASSPHRASE).unwrap();
    let (public, private) = (dir.join(name), dir.join(format!("{name}.private")));
    write_private(&public, &files.public).unwrap();
    write_private(&private, &files.private).unwrap();
    let recipient = BackupRecipient::read(&public, Environment::Test).unwrap();
    let identity = BackupIdentity::read(&private, PASSPHRASE, Environment::Test).unwrap();
    assert_eq!((recipient.id(), identity.id()), (&*files.id, &*files.id));
    (recipient, identity)
}

fn sealed(recipient: &BackupRecipient, plain: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    seal(recipient, "monday", &mut &*plain, &mut stream).unwrap();
    stream
}

fn opened(identity: &BackupIdentity, name: &str, mut stream: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    open(identity, name, &mut stream, &mut plain).ok()?;
    Some(plain)
}

/// Three chunks, the last one short, no two alike.
fn three_chunks() -> Vec<u8> {
    let byte = |place: usize| u8::try_from(place / 1_000 % 251).unwrap();
    (0..2 * CHUNK_BYTES + 77).map(byte).collect()
}

#[test]
fn a_stream_of_any_length_is_read_back_by_its_recipient() {
    let dir = tempfile::tempdir().unwrap();
    let (recipient, identity) = pair(dir.path(), "a");
    let whole = three_chunks();
    for length in [
        0,
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        2 * CHUNK_BYTES,
        whole.len(),
    ] {
        let plain = &whole[..length];
        let stream = sealed(&recipient, plain);
        assert_eq!(opened(&identity, "monday", &stream).as_deref(), Some(plain));
        // Under a key of its own each time.
        assert_ne!(stream, sealed(&recipient, plain));
    }
}

#[test]
fn a_stream_that_was_touched_anywhere_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let (recipient, identity) = pair(dir.path(), "a");
    let stream = sealed(&recipient, &three_chunks());
    assert!(opened(&identity, "monday", &stream).is_some());
    assert!(opened(&identity, "tuesday", &stream).is_none());
    let (_, another) = pair(dir.path(), "b");
    assert!(opened(&another, "monday", &stream).is_none());

    // A bit of the name of the format, of the wrapped key, of each chunk and of each tag.
    let last = stream.len().saturating_sub(1);
    for place in [
        0,
        20,
        HEADER_BYTES - 1,
        HEADER_BYTES,
        SECOND - 1,
        SECOND,
        THIRD,
        last,
    ] {
        let mut altered = stream.clone();
        altered[place] ^= 1;
        assert!(opened(&identity, "monday", &altered).is_none(), "{place}");
    }
    // Cut: in the header, at the end of a chunk, within one.
    for length in [0, 10, HEADER_BYTES, SECOND, THIRD, THIRD + 1, last] {
        assert!(
            opened(&identity, "monday", &stream[..length]).is_none(),
            "{length}"
        );
    }
    let longer = [stream.as_slice(), &[0]].concat();
    assert!(opened(&identity, "monday", &longer).is_none());
    // The first two chunks exchanged, one left out, one twice.
    let (header, chunks) = stream.split_at(HEADER_BYTES);
    let (first, rest) = chunks.split_at(SEALED_CHUNK_BYTES);
    let (middle, end) = rest.split_at(SEALED_CHUNK_BYTES);
    for order in [
        [header, middle, first, end],
        [header, first, end, &[]],
        [header, first, first, end],
    ] {
        assert!(opened(&identity, "monday", &order.concat()).is_none());
    }
}

#[test]
fn a_key_file_that_is_not_as_it_should_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, _) = pair(dir.path(), "a");
    let (public, private) = (dir.path().join("a"), dir.path().join("a.private"));
    let mode = fs::metadata(&private).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let read = |path: &Path| BackupRecipient::read(path, Environment::Test).map(|_| ());
    let refused = BackupRecipient::read(&public, Environment::Live)
        .unwrap_err()
        .why;
    assert!(matches!(refused, Why::WrongEnvironment { .. }));
    let identity = |passphrase: &[u8]| {
        let read = BackupIdentity::read(&private, passphrase, Environment::Test);
        read.err().map(|refused| refused.why)
    };
    assert_eq!(identity(PASSPHRASE), None);
    assert_eq!(identity(b"another passphrase"), Some(Why::NotOpened));

    // A KEK is no recipient, and a key that was exchanged is not of that name.
    let (kek, _) = file_kek();
    fs::write(&public, kek).unwrap();
    assert_eq!(read(&public).unwrap_err().why, Why::Malformed);
    let (ours, other) = (
        generate(Environment::Test, PASSPHRASE).unwrap(),
        generate(Environment::Test, PASSPHRASE).unwrap(),
    );
    let text = String::from_utf8(ours.public)
        .unwrap()
        .replace(&ours.id, &other.id);
    fs::write(&public, text).unwrap();
    assert_eq!(read(&public).unwrap_err().why, Why::Malformed);
}

fn file_kek() -> (Vec<u8>, Vec<u8>) {
    let (public, private) = crate::seal::file::generate(Environment::Test, PASSPHRASE).unwrap();
    (public.to_json(), private.to_json())
}
