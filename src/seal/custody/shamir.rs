//! Shamir's secret sharing over GF(256), byte by byte: any `threshold` shares make the secret, and
//! fewer say nothing about it, however much their holders can compute.

use std::convert::Infallible;
use std::fmt;

use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::seal::data_key::{KEY_BYTES, KeyBytes};

/// Fewer would be one person's key.
pub const THRESHOLD_MIN: u8 = 2;
/// Custodians that one ceremony can have.
pub const SHARES_MAX: u8 = 16;

/// Bytes of a share: its number, and a byte for each of the secret's.
pub(super) const SHARE_BYTES: usize = KEY_BYTES + 1;

/// One custodian's part of the secret, as it is encrypted to them. Wiped on drop.
pub struct Share(Zeroizing<Vec<u8>>);

impl Share {
    /// The share in `bytes`, if that is exactly one; a share numbered 0 would be the secret itself.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let whole = bytes.len() == SHARE_BYTES && bytes.first() != Some(&0);
        whole.then(|| Self(Zeroizing::new(bytes.to_vec())))
    }

    /// Its number, from 1.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    /// Its bytes, to be encrypted, combined or given.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({})", self.index())
    }
}

/// Splits `secret` into `shares` parts, numbered from 1, of which any `threshold` make it again.
pub(super) fn split(secret: &KeyBytes, threshold: u8, shares: u8) -> Option<Vec<Share>> {
    if !(THRESHOLD_MIN..=shares).contains(&threshold) || shares > SHARES_MAX {
        return None;
    }
    let parts = Gf256::split_bytes(threshold.into(), shares.into(), secret.expose(), System);
    parts
        .ok()?
        .into_iter()
        .map(Zeroizing::new)
        .map(|part| Share::from_slice(&part))
        .collect()
}

/// What the shares make together: the secret, if they are enough and all of one splitting, and
/// otherwise something else of the same length. Nobody can tell from the shares alone.
pub(super) fn combine<'a>(shares: impl IntoIterator<Item = &'a Share>) -> Option<KeyBytes> {
    let parts: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(
        shares
            .into_iter()
            .map(|share| share.expose().to_vec())
            .collect(),
    );
    let secret = Zeroizing::new(Gf256::combine_bytes(parts.as_slice()).ok()?);
    KeyBytes::from_slice(&secret)
}

/// The system's randomness, as the crate asks for it.
struct System;

impl rand_core::TryRng for System {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = Zeroizing::new([0; 4]);
        crate::random::fill(bytes.as_mut_slice());
        Ok(u32::from_le_bytes(*bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = Zeroizing::new([0; 8]);
        crate::random::fill(bytes.as_mut_slice());
        Ok(u64::from_le_bytes(*bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        crate::random::fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for System {}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;

    use super::*;
    use crate::seal::tests::unhex;

    fn interpolated(shares: &[(u8, &str)], at: u8) -> Vec<u8> {
        // f(at) is the value at 0 of the polynomial moved by `at`, which in GF(256) is an XOR.
        let shares: Vec<Vec<u8>> = shares
            .iter()
            .map(|(index, value)| [vec![index ^ at], unhex(value)].concat())
            .collect();
        Gf256::combine_bytes(&shares).unwrap()
    }

    #[test]
    fn the_test_case_of_draft_mcgrew_tss_comes_out() {
        // draft-mcgrew-tss-03, section 9: GF(256) with AES's polynomial, shares at 1 and 2.
        let shares = [(1, "b9fa07e185"), (2, "f5409b4511")];
        assert_eq!(interpolated(&shares, 0), unhex("7465737400"));
    }

    #[test]
    fn the_shares_of_slip_0039_make_what_its_digest_vouches_for() {
        // SLIP-0039's vectors (github.com/trezor/python-shamir-mnemonic, vectors.json at 06536e0),
        // "Basic sharing 2-of-3", of 128 and of 256 bits: the share values that the mnemonics
        // encode. There the secret stands at 255, and at 254 four bytes of an HMAC over it under
        // the rest of that value, which only the right secret satisfies.
        let vectors = [
            (
                [
                    (2, "08fb14b66e692e25dfe2edf53289ed62"),
                    (0, "06ab48fef4bedc8ce58baeef0a73f76e"),
                ],
                "cdc017fddc829e791b1371780be0605a",
            ),
            (
                [
                    (
                        2,
                        "81e5473f4b7f66094f888d2f98fe0ded6a692dc72c65dc498d6e28bee6ebdfcc",
                    ),
                    (
                        1,
                        "19e366e9b2e34851e52132c31c2b2c957321bf5ce6c9c1410ea1ddf5fef92c27",
                    ),
                ],
                "0204622ff84267b5dae0ca4e0c1328d6611b96b92b11692e5a7542314f7a54ee",
            ),
        ];
        for (shares, expected) in vectors {
            let secret = interpolated(&shares, 255);
            assert_eq!(secret, unhex(expected));
            let digest = interpolated(&shares, 254);
            let key = hmac::Key::new(hmac::HMAC_SHA256, &digest[4..]);
            assert_eq!(hmac::sign(&key, &secret).as_ref()[..4], digest[..4]);
        }
    }

    #[test]
    fn any_threshold_of_shares_make_the_secret_and_fewer_do_not() {
        for (threshold, shares) in [(2, 2), (2, 3), (3, 5), (5, 5), (16, 16)] {
            let secret = KeyBytes::random();
            let parts = split(&secret, threshold, shares).unwrap();
            assert_eq!(parts.len(), usize::from(shares));
            for start in 0..shares {
                let some = |count: u8| {
                    let chosen = (0..count).map(|n| &parts[usize::from((start + n) % shares)]);
                    combine(chosen)
                };
                assert_eq!(some(threshold).unwrap().expose(), secret.expose());
                let fewer = some(threshold - 1);
                assert!(fewer.is_none_or(|made| made.expose() != secret.expose()));
            }
        }
    }

    #[test]
    fn one_secret_split_twice_gives_other_shares_that_do_not_mix() {
        let secret = KeyBytes::random();
        let once = split(&secret, 2, 3).unwrap();
        let again = split(&secret, 2, 3).unwrap();
        for (one, other) in once.iter().zip(&again) {
            assert_ne!(one.expose(), other.expose());
            assert_ne!(&one.expose()[1..], secret.expose());
        }
        let mixed = combine([&once[0], &again[1]]).unwrap();
        assert_ne!(mixed.expose(), secret.expose());
    }

    #[test]
    fn coefficients_take_every_value_of_a_byte() {
        // RUSTSEC-2024-0398: coefficients that are never 0 let one share rule secrets out.
        let secret = KeyBytes::from_slice(&[0; KEY_BYTES]).unwrap();
        let mut seen = [false; 256];
        for _ in 0..200 {
            for share in split(&secret, 2, 2).unwrap() {
                for byte in &share.expose()[1..] {
                    seen[usize::from(*byte)] = true;
                }
            }
        }
        assert_eq!(seen.iter().filter(|seen| **seen).count(), 256);
    }

    #[test]
    fn the_bounds_of_a_splitting_are_kept() {
        let secret = KeyBytes::random();
        for (threshold, shares) in [(0, 3), (1, 3), (4, 3), (2, 1), (2, 17), (17, 17)] {
            assert!(split(&secret, threshold, shares).is_none());
        }
        assert!(Share::from_slice(&[0; SHARE_BYTES]).is_none());
        assert!(Share::from_slice(&[1; KEY_BYTES]).is_none());
        let share = split(&secret, 2, 2).unwrap().remove(0);
        assert!(combine([&share, &share]).is_none(), "one share twice");
        assert_eq!(format!("{share:?}"), "Share(1)");
    }
}
