//! The format: a line that names it, the stream's key as HPKE wrapped it, and chunks.
//!
//! | bytes | what |
//! | --- | --- |
//! | 19 | `cloakroom-backup/1` and a line break |
//! | 113 | encapsulated point, AES-256 key, tag (RFC 9180, base mode) |
//! | 1 MiB + 16 each, the last one shorter or as long | AES-256-GCM of a chunk |
//!
//! A chunk's nonce and its authenticated data have its index and whether it is the last, so a
//! stream that was cut, lengthened, or whose chunks were exchanged does not open. The key is of one
//! stream only, so no nonce comes twice under it. The name of the stream is authenticated with the
//! key and with each chunk: one backup cannot be passed off as another.

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{BackupIdentity, BackupRecipient};
use crate::seal::Refused;
use crate::seal::data_key::{KEY_BYTES, KeyBytes};
use crate::seal::envelope::length_prefixed;
use crate::seal::file::hpke::{POINT_BYTES, TAG_BYTES};

const MAGIC: &[u8] = b"cloakroom-backup/1\n";
const WRAPPED_BYTES: usize = POINT_BYTES + KEY_BYTES + TAG_BYTES;
/// Bytes of a chunk before it is sealed.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
pub(super) const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
pub(super) const HEADER_BYTES: usize = MAGIC.len() + WRAPPED_BYTES;
const _: () = assert!(HEADER_BYTES == 132);

/// Why a stream was not sealed, or not opened.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not open: another recipient's, altered, cut, or another stream than was asked for.
    #[error(
        "the stream does not open: it is another recipient's, another backup's, altered or cut"
    )]
    Refused(#[from] Refused),
    /// The cryptographic library sealed nothing.
    #[error("nothing could be sealed")]
    Crypto,
}

/// Seals all of `from` to `recipient`, as the stream of that name.
///
/// # Errors
/// [`Failed::Io`], [`Failed::Crypto`].
pub fn seal(
    recipient: &BackupRecipient,
    name: &str,
    from: &mut dyn Read,
    to: &mut dyn Write,
) -> Result<(), Failed> {
    let key = KeyBytes::random();
    let wrapped = recipient.wrap(name, &key).ok_or(Failed::Crypto)?;
    let chunks = Chunks::new(&key, name).ok_or(Failed::Crypto)?;
    drop(key);
    to.write_all(MAGIC)?;
    to.write_all(&wrapped)?;
    let mut chunk = next(from, CHUNK_BYTES)?;
    for index in 0_u64.. {
        // A chunk is the last one when nothing comes after it.
        let following = next(from, CHUNK_BYTES)?;
        let is_last = following.is_empty();
        chunks.seal(index, is_last, &mut chunk)?;
        to.write_all(&chunk)?;
        if is_last {
            break;
        }
        chunk = following;
    }
    Ok(())
}

/// Opens all of `from`, the stream of that name. What was written to `to` is nothing until this
/// has answered: the end may be missing.
///
/// # Errors
/// [`Failed::Io`], [`Failed::Refused`].
pub fn open(
    identity: &BackupIdentity,
    name: &str,
    from: &mut dyn Read,
    to: &mut dyn Write,
) -> Result<(), Failed> {
    let header = next(from, HEADER_BYTES)?;
    let wrapped = header.strip_prefix(MAGIC).ok_or(Refused::Value)?;
    let key = identity.unwrap(name, wrapped).ok_or(Refused::Value)?;
    let chunks = Chunks::new(&key, name).ok_or(Refused::Value)?;
    drop(key);
    let mut chunk = next(from, SEALED_CHUNK_BYTES)?;
    for index in 0_u64.. {
        let following = next(from, SEALED_CHUNK_BYTES)?;
        let is_last = following.is_empty();
        to.write_all(chunks.open(index, is_last, &mut chunk)?)?;
        if is_last {
            break;
        }
        chunk = following;
    }
    Ok(())
}

/// At most that many bytes: fewer, or none, only at the end.
fn next(from: &mut dyn Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    // With room for the tag, so that sealing in place moves nothing.
    let mut bytes = Vec::with_capacity(bytes_max.saturating_add(TAG_BYTES));
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    from.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The cipher of one stream.
struct Chunks<'a> {
    cipher: LessSafeKey,
    name: &'a str,
}

impl<'a> Chunks<'a> {
    fn new(key: &KeyBytes, name: &'a str) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).ok()?;
        let cipher = LessSafeKey::new(key);
        Some(Self { cipher, name })
    }

    fn seal(&self, index: u64, is_last: bool, chunk: &mut Vec<u8>) -> Result<(), Failed> {
        let (nonce, aad) = self.place(index, is_last);
        self.cipher
            .seal_in_place_append_tag(nonce, Aad::from(aad), chunk)
            .map_err(|_| Failed::Crypto)
    }

    fn open<'c>(
        &self,
        index: u64,
        is_last: bool,
        chunk: &'c mut [u8],
    ) -> Result<&'c mut [u8], Refused> {
        let (nonce, aad) = self.place(index, is_last);
        self.cipher
            .open_in_place(nonce, Aad::from(aad), chunk)
            .map_err(|_| Refused::Value)
    }

    /// Nonce and authenticated data of a chunk's place.
    fn place(&self, index: u64, is_last: bool) -> (Nonce, Vec<u8>) {
        let (index, is_last) = (index.to_be_bytes(), [u8::from(is_last)]);
        let mut nonce = [0; NONCE_LEN];
        let parts = index.iter().chain(&is_last);
        nonce
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        let name = self.name.as_bytes();
        let aad = length_prefixed(&[b"cloakroom/backup-chunk/v1", name, &index, &is_last]);
        (Nonce::assume_unique_for_key(nonce), aad)
    }
}
