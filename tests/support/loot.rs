//! What a thief takes out of a process: its whole memory, as root reads it, and every key that can
//! be cut out of it. Written without a line of the product's own sealing.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};

use super::postgres::Server;

/// Bytes of an AES-256 key, and of a P-256 private key. An expanded key schedule begins with its key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes between two places where a key may begin: nothing that holds one is aligned to less.
const STRIDE: usize = 4;
/// Different bytes among 32 that are random: fewer come once in ten million keys.
const DIFFERENT_BYTES_MIN: usize = 22;
/// Bytes before the nonce in a sealed value: version and the data key's id.
const BEFORE_NONCE: usize = 17;
const NONCE_BYTES: usize = 12;

/// Memory that a process can have written to.
pub(crate) struct Memory {
    pub(crate) regions: Vec<Vec<u8>>,
}

impl Memory {
    /// Takes it, page by page: one that cannot be read holds nothing that this way finds.
    pub(crate) fn of(pid: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let memory = File::open(format!("/proc/{pid}/mem")).expect("root reads another's memory");
        let mut regions = Vec::new();
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, mode) = (fields.next().unwrap(), fields.next().unwrap());
            let of_a_file = fields.nth(2) != Some("0");
            // The program's own text and constants are on everybody's disk.
            if !mode.starts_with('r') || (of_a_file && !mode.contains('w')) || line.contains("[v") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let from = u64::from_str_radix(from, 16).unwrap();
            let to = u64::from_str_radix(to, 16).unwrap();
            regions.extend(read(&memory, from, to));
        }
        Self { regions }
    }

    /// Bytes of a file or a dump, looked at in the same way.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self {
            regions: vec![bytes],
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.regions.iter().map(Vec::len).sum()
    }

    pub(crate) fn holds(&self, needle: &[u8]) -> bool {
        let held = |region: &Vec<u8>| super::leaks::holds(region, needle);
        self.regions.iter().any(held)
    }

    /// Every window that could be a random key, once.
    pub(crate) fn candidates(&self) -> HashSet<[u8; KEY_BYTES]> {
        let mut found = HashSet::new();
        for region in &self.regions {
            for start in (0..region.len().saturating_sub(KEY_BYTES - 1)).step_by(STRIDE) {
                let window = &region[start..start + KEY_BYTES];
                if is_like_a_key(window) {
                    found.insert(window.try_into().unwrap());
                }
            }
        }
        found
    }
}

fn read(memory: &File, from: u64, to: u64) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).unwrap().min(buffer.len());
        if let Ok(length @ 1..) = memory.read_at(&mut buffer[..want], at) {
            piece.extend_from_slice(&buffer[..length]);
            at += u64::try_from(length).unwrap();
        } else {
            pieces.push(std::mem::take(&mut piece));
            at += 4_096;
        }
    }
    pieces.push(piece);
    pieces
}

fn is_like_a_key(window: &[u8]) -> bool {
    // Most of memory is zeros, and pointers with zeros in them.
    if window[..8] == [0; 8] || window[24..] == [0; 8] {
        return false;
    }
    let mut seen = [0_u64; 4];
    for byte in window {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    let different: u32 = seen.iter().map(|part| part.count_ones()).sum();
    usize::try_from(different).unwrap() >= DIFFERENT_BYTES_MIN
}

/// A token's row, as whoever has the database reads it.
pub(crate) struct SealedRow {
    pub(crate) token: String,
    account: String,
    customer_ref: Option<String>,
    usage: String,
    pub(crate) data_key: String,
    sealed: Vec<u8>,
}

impl SealedRow {
    /// All of them, oldest first.
    pub(crate) fn all(server: &Server) -> Vec<Self> {
        let rows = server.sql(
            "SELECT id, account, customer_ref IS NOT NULL, customer_ref, usage, data_key_id, encode(sealed, 'hex') FROM tokens
              WHERE sealed IS NOT NULL ORDER BY created_at_ms, id",
        );
        let rows = rows.lines().map(|line| {
            let columns: Vec<&str> = line.split('|').collect();
            let [
                token,
                account,
                has_owner,
                customer_ref,
                usage,
                data_key,
                sealed,
            ] = columns[..]
            else {
                panic!("{line}");
            };
            let pairs = sealed.as_bytes().chunks(2);
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
            Self {
                token: token.to_owned(),
                account: account.to_owned(),
                customer_ref: (has_owner == "t").then(|| customer_ref.to_owned()),
                usage: usage.to_owned(),
                data_key: data_key.to_owned(),
                sealed: pairs.map(|pair| byte(pair).unwrap()).collect(),
            }
        });
        rows.collect()
    }

    /// What it says, if this is its key.
    pub(crate) fn open(&self, key: &[u8; KEY_BYTES]) -> Option<Vec<u8>> {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        let (head, body) = self.sealed.split_at(BEFORE_NONCE + NONCE_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(&head[BEFORE_NONCE..]).unwrap();
        let mut authenticated = Vec::new();
        let version = &self.sealed[..1];
        for part in [
            b"test".as_slice(),
            self.account.as_bytes(),
            b"tokens",
            self.token.as_bytes(),
            b"sealed",
            &[u8::from(self.customer_ref.is_some())],
            self.customer_ref.as_deref().unwrap_or_default().as_bytes(),
            self.usage.as_bytes(),
            self.data_key.as_bytes(),
            version,
        ] {
            authenticated.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            authenticated.extend_from_slice(part);
        }
        let mut body = body.to_vec();
        let opened = cipher.open_in_place(nonce, Aad::from(authenticated), &mut body);
        opened.ok().map(|payload| payload.to_vec())
    }
}

/// The tokens that open under some key that can be cut out of this memory.
pub(crate) fn opened(memory: &Memory, rows: &[SealedRow]) -> BTreeSet<String> {
    // One row of each data key is tried with everything, the others with what opened that one.
    let mut heads: Vec<&SealedRow> = Vec::new();
    for row in rows {
        if heads.iter().all(|head| head.data_key != row.data_key) {
            heads.push(row);
        }
    }
    let mut opened = BTreeSet::new();
    for key in memory.candidates() {
        for head in heads.iter().filter(|head| head.open(&key).is_some()) {
            let same = rows.iter().filter(|row| row.data_key == head.data_key);
            let open = same.filter(|row| row.open(&key).is_some());
            opened.extend(open.map(|row| row.token.clone()));
        }
    }
    opened
}

/// Whether the private half of a P-256 public key can be cut out of this memory.
pub(crate) fn holds_private_half(memory: &Memory, public: &[u8]) -> bool {
    memory.candidates().iter().any(|window| {
        PrivateKey::from_private_key(&ECDH_P256, window)
            .ok()
            .and_then(|key| key.compute_public_key().ok())
            .is_some_and(|found| found.as_ref() == public)
    })
}
