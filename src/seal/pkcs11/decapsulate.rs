//! Opening what HPKE sealed when only the Diffie-Hellman step can be asked for: the private key is
//! in a hardware module, and everything behind the shared secret happens here (RFC 9180, sections
//! 4.1, 5.1 and 6.1, base mode, one message).
//!
//! The library that wraps (`file/hpke.rs`) wants the private key itself, so this half is written
//! out, over AWS-LC's HMAC, HKDF and AES-GCM, and held against the vectors of the RFC and against
//! that library.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

const HASH_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// `"KEM" ‖ 0x0010`: DHKEM(P-256, HKDF-SHA256).
const KEM_SUITE: &[u8] = b"KEM\x00\x10";
/// `"HPKE" ‖ 0x0010 ‖ 0x0001 ‖ 0x0002`: with HKDF-SHA256 and AES-256-GCM.
const HPKE_SUITE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x02";
const MODE_BASE: &[u8] = &[0];

/// What was sealed to one public key.
#[derive(Clone, Copy)]
pub(super) struct Encapsulated<'a> {
    /// The sender's ephemeral public key, as an uncompressed point.
    pub(super) point: &'a [u8],
    /// Ciphertext and tag.
    pub(super) sealed: &'a [u8],
}

/// Opens `of` with the secret that the private key of `public_key` and the point share.
pub(super) fn open(
    shared_x: &[u8],
    public_key: &[u8],
    (info, aad): (&[u8], &[u8]),
    of: Encapsulated<'_>,
) -> Option<Zeroizing<Vec<u8>>> {
    // RFC 9180, 4.1, ExtractAndExpand: bound to both public keys.
    let context = [of.point, public_key].concat();
    let prk = labeled_extract(KEM_SUITE, &[], b"eae_prk", shared_x);
    let shared_secret: Zeroizing<[u8; HASH_BYTES]> =
        labeled_expand(KEM_SUITE, &prk, b"shared_secret", &context)?;

    // 5.1, KeySchedule, without a pre-shared key.
    let psk_id_hash = labeled_extract(HPKE_SUITE, &[], b"psk_id_hash", &[]);
    let info_hash = labeled_extract(HPKE_SUITE, &[], b"info_hash", info);
    let context = [MODE_BASE, psk_id_hash.as_slice(), info_hash.as_slice()].concat();
    let secret = labeled_extract(HPKE_SUITE, shared_secret.as_slice(), b"secret", &[]);
    let key: Zeroizing<[u8; KEY_BYTES]> = labeled_expand(HPKE_SUITE, &secret, b"key", &context)?;
    let nonce: Zeroizing<[u8; NONCE_LEN]> =
        labeled_expand(HPKE_SUITE, &secret, b"base_nonce", &context)?;

    // 5.2: the first message's nonce is the base nonce.
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).ok()?);
    let mut opened = Zeroizing::new(of.sealed.to_vec());
    key.open_in_place(
        Nonce::assume_unique_for_key(*nonce),
        Aad::from(aad),
        &mut opened,
    )
    .ok()?;
    opened.truncate(of.sealed.len().checked_sub(TAG_BYTES)?);
    Some(opened)
}

fn labeled_extract(
    suite: &[u8],
    salt: &[u8],
    label: &[u8],
    ikm: &[u8],
) -> Zeroizing<[u8; HASH_BYTES]> {
    // HKDF-Extract is HMAC with the salt for a key (RFC 5869, 2.2); an empty salt is one of zeros,
    // which is what HMAC pads an empty key with.
    let mut extract = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    for part in [b"HPKE-v1", suite, label, ikm] {
        extract.update(part);
    }
    let mut prk = Zeroizing::new([0; HASH_BYTES]);
    prk.copy_from_slice(extract.sign().as_ref());
    prk
}

fn labeled_expand<const LENGTH: usize>(
    suite: &[u8],
    prk: &[u8; HASH_BYTES],
    label: &[u8],
    info: &[u8],
) -> Option<Zeroizing<[u8; LENGTH]>> {
    let length = u16::try_from(LENGTH).ok()?.to_be_bytes();
    let info: [&[u8]; 5] = [&length, b"HPKE-v1", suite, label, info];
    let mut key = Zeroizing::new([0; LENGTH]);
    Prk::new_less_safe(HKDF_SHA256, prk)
        .expand(&info, Bytes(LENGTH))
        .ok()?
        .fill(key.as_mut_slice())
        .ok()?;
    Some(key)
}

/// How many bytes HKDF is to make.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
    use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_256 as SUITE;
    use rustls::crypto::hpke::Hpke as _;

    use super::*;
    use crate::seal::tests::unhex;

    /// What a hardware module does.
    fn shared(private: &[u8], point: &[u8]) -> Vec<u8> {
        let private = PrivateKey::from_private_key(&ECDH_P256, private).unwrap();
        let point = UnparsedPublicKey::new(&ECDH_P256, point);
        agree(&private, point, (), |secret| Ok(secret.to_vec())).unwrap()
    }

    fn public(private: &[u8]) -> Vec<u8> {
        let private = PrivateKey::from_private_key(&ECDH_P256, private).unwrap();
        private.compute_public_key().unwrap().as_ref().to_vec()
    }

    #[test]
    fn the_vector_of_rfc_9180_opens_from_the_shared_secret() {
        // github.com/cfrg/draft-irtf-cfrg-hpke, test-vectors.json at 5f503c5: mode 0, kem_id 16,
        // kdf_id 1, aead_id 2, sequence number 0.
        let private = unhex("317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2");
        let point = unhex(
            "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e\
             0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0",
        );
        let sealed = unhex(
            "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d2917424\
             65e902cd216f8908da49f8f96f",
        );
        let of = Encapsulated {
            point: &point,
            sealed: &sealed,
        };
        let (x, key) = (shared(&private, &point), public(&private));
        let info = b"Ode on a Grecian Urn";
        let opened = open(&x, &key, (info, b"Count-0"), of).unwrap();
        assert_eq!(*opened, b"Beauty is truth, truth beauty");
        assert!(open(&x, &key, (info, b"Count-1"), of).is_none());
        assert!(open(&x, &key, (b"other", b"Count-0"), of).is_none());
        assert!(open(&x[1..], &key, (info, b"Count-0"), of).is_none());
        assert!(open(&x, &point, (info, b"Count-0"), of).is_none());
        for length in 0..sealed.len() {
            let cut = Encapsulated {
                sealed: &sealed[..length],
                ..of
            };
            assert!(
                open(&x, &key, (info, b"Count-0"), cut).is_none(),
                "{length}"
            );
        }
    }

    #[test]
    fn what_the_library_seals_opens_from_the_shared_secret() {
        for text in [&b""[..], b"a", &[7; 300]] {
            let (public_key, private_key) = SUITE.generate_key_pair().unwrap();
            let (point, sealed) = SUITE.seal(b"info", b"aad", text, &public_key).unwrap();
            let x = shared(private_key.secret_bytes(), &point.0);
            let of = Encapsulated {
                point: &point.0,
                sealed: &sealed,
            };
            let opened = open(&x, &public_key.0, (b"info", b"aad"), of).unwrap();
            assert_eq!(*opened, text);
        }
    }
}
