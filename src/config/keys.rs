//! Key settings: `[keys]`, and who holds the key-encryption key: files, `[keys.pkcs11]` or
//! `[keys.aws_kms]`.

use figment::value::magic::RelativePathBuf;
use serde::Deserialize;
use url::Url;

use super::{Refused, https};

/// Key files. A process is given only those of its planes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFiles {
    /// The public half of the KEK, which wraps data keys: both planes. Not with `[keys.aws_kms]`.
    pub kek_public_file: Option<RelativePathBuf>,
    /// The private half of the KEK, under a passphrase: the internal plane only.
    pub kek_private_file: Option<RelativePathBuf>,
    /// The passphrase of `kek_private_file`: the internal plane only.
    pub kek_passphrase_file: Option<RelativePathBuf>,
    /// The private half is in a hardware module: the internal plane only.
    pub pkcs11: Option<Pkcs11Settings>,
    /// The KEK is a key of AWS Key Management Service: both planes, each with its credentials.
    pub aws_kms: Option<AwsKmsSettings>,
    /// HMAC key under which session secrets are kept and checked: both planes.
    pub session_verify_key_file: RelativePathBuf,
    /// HMAC key that marks vaulted cards, so that the same card is the same token: both planes.
    pub fingerprint_key_file: RelativePathBuf,
    /// HMAC key from which session secrets are made: the internal plane only.
    pub session_issue_key_file: Option<RelativePathBuf>,
    /// Ed25519 key that signs deletion receipts: the internal plane only.
    pub receipt_key_file: Option<RelativePathBuf>,
    /// Seconds after which the capture plane replaces its data key.
    #[serde(default = "defaults::data_key_age_s_max")]
    pub data_key_age_s_max: u32,
    /// Seals after which the capture plane replaces its data key.
    #[serde(default = "defaults::data_key_seals_max")]
    pub data_key_seals_max: u32,
}

/// A hardware module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Settings {
    /// Its PKCS #11 library: `/usr/lib/softhsm/libsofthsm2.so`.
    pub module_file: RelativePathBuf,
    /// The label of its token.
    pub token_label: String,
    /// The token's user PIN, readable by its owner only.
    pub pin_file: RelativePathBuf,
}

/// AWS Key Management Service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsKmsSettings {
    /// The key: `arn:aws:kms:eu-central-1:123456789012:key/…`, symmetric.
    pub key_arn: String,
    /// The region: `eu-central-1`.
    pub region: String,
    /// Where the service is, if not at `https://kms.REGION.amazonaws.com`.
    #[serde(default, deserialize_with = "endpoint")]
    pub endpoint_url: Option<Url>,
    /// Certificate authorities to trust instead of the machine's, PEM.
    pub ca_file: Option<RelativePathBuf>,
    /// The access key, in the form of AWS's shared credentials file, readable by its owner only;
    /// read again when it changes. The capture plane's may call `GenerateDataKey` only.
    pub credentials_file: RelativePathBuf,
    /// Milliseconds for one call with all its attempts.
    #[serde(default = "defaults::kms_request_timeout_ms")]
    pub request_timeout_ms: u32,
}

impl KeyFiles {
    /// Whether a process that seals only would be given what opens. Credentials of AWS do not say
    /// what they may do; that is asked of AWS at start.
    pub(super) const fn holds_opening_keys(&self) -> bool {
        self.kek_private_file.is_some()
            || self.kek_passphrase_file.is_some()
            || self.pkcs11.is_some()
            || self.session_issue_key_file.is_some()
            || self.receipt_key_file.is_some()
    }

    /// One holder of the KEK, and not parts of two.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let refuse = |why: &str| Err(Refused::Inconsistent(why.to_owned()));
        let has_private_file =
            self.kek_private_file.is_some() || self.kek_passphrase_file.is_some();
        if self.aws_kms.is_some() {
            if has_private_file || self.pkcs11.is_some() || self.kek_public_file.is_some() {
                return refuse("with [keys.aws_kms] there are no kek_… files and no [keys.pkcs11]");
            }
            return Ok(());
        }
        if self.kek_public_file.is_none() {
            return refuse("[keys] needs kek_public_file, or [keys.aws_kms]");
        }
        if self.pkcs11.is_some() && has_private_file {
            return refuse(
                "with [keys.pkcs11] there is no kek_private_file and no kek_passphrase_file",
            );
        }
        Ok(())
    }
}

fn endpoint<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    https(from).map(Some)
}

mod defaults {
    pub(super) const fn data_key_age_s_max() -> u32 {
        3_600
    }

    pub(super) const fn data_key_seals_max() -> u32 {
        100_000
    }

    pub(super) const fn kms_request_timeout_ms() -> u32 {
        5_000
    }
}
