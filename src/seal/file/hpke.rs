//! Wrapping data keys with HPKE (RFC 9180): DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM,
//! base mode, one message to a context.
//!
//! The curve is the one that hardware modules and key services have too. rustls' HPKE, over AWS-LC,
//! leaves the key in freed buffers of its own; the process's allocator wipes what is freed.

use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

use crate::seal::data_key::{KEY_BYTES, KeyBytes};

/// An uncompressed point of P-256.
pub(in crate::seal) const POINT_BYTES: usize = 65;
pub(in crate::seal) const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = POINT_BYTES + KEY_BYTES + TAG_BYTES;
const _: () = assert!(WRAPPED_BYTES == 113);

/// What the wrapping is for (RFC 9180, 5.1: `info`).
pub(in crate::seal) const INFO: &[u8] = b"cloakroom/data-key/v1";

pub(in crate::seal) fn generate() -> Option<(HpkePublicKey, HpkePrivateKey)> {
    let pair = SUITE.generate_key_pair().ok()?;
    (pair.0.0.len() == POINT_BYTES).then_some(pair)
}

/// Encapsulated point ‖ ciphertext ‖ tag.
pub(super) fn wrap(public: &HpkePublicKey, aad: &[u8], key: &KeyBytes) -> Option<Vec<u8>> {
    let wrapped = seal_to(public, INFO, aad, key.expose())?;
    (wrapped.len() == WRAPPED_BYTES).then_some(wrapped)
}

/// `SealBase` (RFC 9180, section 6.1) of any short secret: point ‖ ciphertext ‖ tag.
pub(in crate::seal) fn seal_to(
    public: &HpkePublicKey,
    info: &[u8],
    aad: &[u8],
    secret: &[u8],
) -> Option<Vec<u8>> {
    let (EncapsulatedSecret(mut point), sealed) = SUITE.seal(info, aad, secret, public).ok()?;
    point.extend_from_slice(&sealed);
    Some(point)
}

/// The other way round.
pub(in crate::seal) fn open_with(
    private: &HpkePrivateKey,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    open(SUITE, private, info, aad, sealed)
}

pub(super) fn unwrap(private: &HpkePrivateKey, aad: &[u8], wrapped: &[u8]) -> Option<KeyBytes> {
    if wrapped.len() != WRAPPED_BYTES {
        return None;
    }
    KeyBytes::from_slice(&open(SUITE, private, INFO, aad, wrapped)?)
}

/// RFC 9180, section 6.1, `OpenBase`, of a point and what was sealed to it. The suite is an
/// argument so that the tests can run the vector that the RFC itself prints.
fn open(
    suite: &dyn Hpke,
    private: &HpkePrivateKey,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (point, sealed) = sealed.split_at_checked(POINT_BYTES)?;
    let point = EncapsulatedSecret(point.to_vec());
    let opened = suite.open(&point, info, aad, sealed, private).ok()?;
    Some(Zeroizing::new(opened))
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_128;

    use super::*;
    use crate::seal::tests::unhex;

    struct Vector {
        suite: &'static dyn Hpke,
        private: &'static str,
        point: &'static str,
        ciphertext: &'static str,
    }

    // Both are base mode, sequence number 0, with one info, aad and plaintext.
    //
    // RFC 9180's appendix A prints P-256 with HKDF-SHA256 only with AES-128-GCM (A.3.1) and
    // ChaCha20-Poly1305, not with AES-256-GCM. The suite used here is in the RFC's machine-readable
    // vectors (github.com/cfrg/draft-irtf-cfrg-hpke, test-vectors.json at 5f503c5, to which the
    // RFC's appendix refers): mode 0, kem_id 16, kdf_id 1, aead_id 2. Both go through the same code.
    const VECTORS: [Vector; 2] = [
        Vector {
            suite: SUITE,
            private: "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2",
            point: "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e\
                    0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0",
            ciphertext: "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d2917424\
                         65e902cd216f8908da49f8f96f",
        },
        Vector {
            suite: DH_KEM_P256_HKDF_SHA256_AES_128,
            private: "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
            point: "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac9\
                    8536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4",
            ciphertext: "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f\
                         9076ac232e3ab2523f39513434",
        },
    ];

    #[test]
    fn the_vectors_of_rfc_9180_open() {
        for vector in VECTORS {
            let private = HpkePrivateKey::from(unhex(vector.private));
            let sealed = [unhex(vector.point), unhex(vector.ciphertext)].concat();
            let info = b"Ode on a Grecian Urn";
            let opened = open(vector.suite, &private, info, b"Count-0", &sealed).unwrap();
            assert_eq!(*opened, b"Beauty is truth, truth beauty");
            assert!(open(vector.suite, &private, info, b"Count-1", &sealed).is_none());
            assert!(open(vector.suite, &private, b"other", b"Count-0", &sealed).is_none());
        }
    }

    #[test]
    fn a_wrapped_key_altered_in_any_byte_or_cut_or_lengthened_does_not_unwrap() {
        let (public, private) = generate().unwrap();
        let key = KeyBytes::random();
        let wrapped = wrap(&public, b"place", &key).unwrap();
        let read = unwrap(&private, b"place", &wrapped).unwrap();
        assert_eq!(read.expose(), key.expose());

        for place in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[place] ^= 1;
            assert!(unwrap(&private, b"place", &altered).is_none(), "{place}");
            assert!(unwrap(&private, b"place", &wrapped[..place]).is_none());
        }
        let longer = [wrapped.as_slice(), &[0]].concat();
        assert!(unwrap(&private, b"place", &longer).is_none());
        assert!(unwrap(&private, b"elsewhere", &wrapped).is_none());
        let (_, another) = generate().unwrap();
        assert!(unwrap(&another, b"place", &wrapped).is_none());
    }
}
