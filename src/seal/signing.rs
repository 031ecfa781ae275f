//! The Ed25519 key of deletion receipts.
//!
//! A receipt is a JWS in compact form (RFC 7515) with `alg` `EdDSA` (RFC 8037): whoever has the
//! public key can check, without asking us, that we said a card was forgotten.

use std::fmt;
use std::path::Path;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::data_key::hex;
use super::file::{self, KeyFileRefused, Why};

/// An Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// An Ed25519 public key.
pub const PUBLIC_KEY_BYTES: usize = 32;

const KEY_ID_BYTES: usize = 8;

/// An Ed25519 private key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    key_id: String,
}

/// The library made no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no signing key could be made")]
pub struct GenerateFailed;

impl SigningKey {
    /// Reads the key from a PKCS#8 file in PEM, as [`generate`](Self::generate) and
    /// `openssl genpkey -algorithm ed25519` make it.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file, what is wrong, and the mend.
    pub fn read(path: &Path) -> Result<Self, KeyFileRefused> {
        let text = file::read_private(path)?;
        Self::parse(&text).ok_or_else(|| KeyFileRefused::new(path, Why::Malformed))
    }

    /// A new key, as the text of its file.
    ///
    /// # Errors
    /// [`GenerateFailed`] when the library makes none.
    pub fn generate() -> Result<Zeroizing<String>, GenerateFailed> {
        let pair = Ed25519KeyPair::generate().map_err(|_| GenerateFailed)?;
        let document = pair.to_pkcs8v1().map_err(|_| GenerateFailed)?;
        let base64 = Zeroizing::new(STANDARD.encode(document.as_ref()));
        // 48 bytes of DER are 64 characters: exactly one line of PEM (RFC 7468).
        Ok(Zeroizing::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            *base64
        )))
    }

    pub(super) fn parse(pem: &[u8]) -> Option<Self> {
        let der = Zeroizing::new(PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?);
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
        let hash = digest::digest(&digest::SHA256, pair.public_key().as_ref());
        let key_id = hex(hash.as_ref().get(..KEY_ID_BYTES)?);
        Some(Self { pair, key_id })
    }

    /// The key's name: the first 16 hexadecimal characters of the SHA-256 of its public key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public key.
    #[must_use]
    pub fn public_key_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        let mut bytes = [0; PUBLIC_KEY_BYTES];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        bytes
    }

    /// Checks what this key signs.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        VerifyingKey(self.public_key_bytes())
    }

    /// Signs `message`.
    ///
    /// # Panics
    /// When AWS-LC cannot sign with a key it accepted, which means it has no memory left.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }

    /// `payload_json`, signed, as a compact JWS whose header names this key and `typ`.
    #[must_use]
    pub fn jws(&self, typ: &'static str, payload_json: &[u8]) -> String {
        let header = serde_json::json!({ "alg": "EdDSA", "kid": self.key_id, "typ": typ });
        self.compact(header.to_string().as_bytes(), payload_json)
    }

    /// The public key as a JWK (RFC 8037, section 2).
    #[must_use]
    pub fn jwk(&self) -> String {
        serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.key_id,
            "x": URL_SAFE_NO_PAD.encode(self.public_key_bytes()),
        })
        .to_string()
    }

    fn compact(&self, header_json: &[u8], payload: &[u8]) -> String {
        let mut jws = URL_SAFE_NO_PAD.encode(header_json);
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut jws);
        let signature = self.sign(jws.as_bytes());
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        jws
    }
}

/// An Ed25519 public key, for whoever checks what [`SigningKey`] has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey([u8; PUBLIC_KEY_BYTES]);

impl VerifyingKey {
    /// Reads the key from a file with its JWK, as [`SigningKey::jwk`] writes it. Nobody but the
    /// owner can write to it.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file, what is wrong, and the mend.
    pub fn read(path: &Path) -> Result<Self, KeyFileRefused> {
        let text = file::read_public(path)?;
        Self::parse(&text).ok_or_else(|| KeyFileRefused::new(path, Why::Malformed))
    }

    fn parse(jwk: &[u8]) -> Option<Self> {
        let jwk: serde_json::Value = serde_json::from_slice(jwk).ok()?;
        let is_ed25519 = jwk.get("kty")? == "OKP" && jwk.get("crv")? == "Ed25519";
        let x = URL_SAFE_NO_PAD.decode(jwk.get("x")?.as_str()?).ok()?;
        x.try_into().ok().map(Self).filter(|_| is_ed25519)
    }

    /// What stands in a compact JWS that this key signed with that `typ`.
    #[must_use]
    pub fn open_jws(&self, typ: &'static str, jws: &str) -> Option<Vec<u8>> {
        let (signed, signature) = jws.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        // What is signed for another purpose is not what was asked for (RFC 8725, 3.11).
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
        let is_meant = header.get("alg")? == "EdDSA" && header.get("typ")? == typ;
        URL_SAFE_NO_PAD.decode(payload).ok().filter(|_| is_meant)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.key_id)
    }
}

/// Whether `signature` is that of `message` by the private half of `public_key`.
#[must_use]
pub fn verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::tests::unhex;

    // RFC 8037, appendix A.1 and A.2.
    const RFC_SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const RFC_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    // RFC 8410, section 7: a PKCS#8 header before the 32 bytes.
    const PKCS8_HEADER: &str = "302e020100300506032b657004220420";

    fn pem(der: &[u8]) -> String {
        let base64 = STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n")
    }

    fn rfc_key() -> SigningKey {
        let der = [unhex(PKCS8_HEADER), unhex(RFC_SEED)].concat();
        SigningKey::parse(pem(&der).as_bytes()).unwrap()
    }

    #[test]
    fn the_jws_of_rfc_8037_comes_out_letter_by_letter() {
        // RFC 8037, appendix A.4.
        assert_eq!(
            rfc_key().compact(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing"),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7\
             -09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        let jwk: serde_json::Value = serde_json::from_str(&rfc_key().jwk()).unwrap();
        assert_eq!(jwk["x"], RFC_X);
        assert_eq!(
            (&jwk["kty"], &jwk["crv"]),
            (&"OKP".into(), &"Ed25519".into())
        );
        assert_eq!(jwk["kid"], rfc_key().key_id());
        assert!(jwk.get("d").is_none());
    }

    #[test]
    fn a_receipt_verifies_with_the_public_key_and_not_when_altered() {
        let key = SigningKey::parse(SigningKey::generate().unwrap().as_bytes()).unwrap();
        let jws = key.jws("receipt+jws", br#"{"token":"tok_1"}"#);
        let (signed, signature) = jws.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = key.public_key_bytes();
        assert!(verify(&public, signed.as_bytes(), &signature));

        let header = URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap());
        let header: serde_json::Value = serde_json::from_slice(&header.unwrap()).unwrap();
        assert_eq!(
            header,
            serde_json::json!({ "alg": "EdDSA", "kid": key.key_id(), "typ": "receipt+jws" })
        );

        assert!(!verify(&public, &signed.as_bytes()[1..], &signature));
        assert!(!verify(&public, signed.as_bytes(), &signature[..63]));
        assert!(!verify(
            &rfc_key().public_key_bytes(),
            signed.as_bytes(),
            &signature
        ));
        assert!(!verify(b"", signed.as_bytes(), &signature));
    }

    #[test]
    fn a_key_id_is_sixteen_hexadecimal_characters_of_the_public_keys_hash() {
        let public = URL_SAFE_NO_PAD.decode(RFC_X).unwrap();
        let hash = digest::digest(&digest::SHA256, &public);
        let key_id = hex(&hash.as_ref()[..8]);
        assert_eq!(key_id.len(), 16);
        assert_eq!(rfc_key().key_id(), key_id);
        assert_eq!(format!("{:?}", rfc_key()), format!("SigningKey({key_id})"));
    }

    #[test]
    fn what_is_not_an_ed25519_key_is_refused() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        assert!(SigningKey::parse(pair.serialize_pem().as_bytes()).is_none());
        assert!(SigningKey::parse(b"").is_none());
        assert!(SigningKey::parse(pem(&unhex(PKCS8_HEADER)).as_bytes()).is_none());
        assert!(SigningKey::parse(RFC_SEED.as_bytes()).is_none());
    }
}
