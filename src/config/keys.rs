//! Key settings: `[keys]`, and who holds the key-encryption key: files, `[keys.pkcs11]` or
//! `[keys.aws_kms]`.

use figment::value::magic::RelativePathBuf;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Refused, https};

/// Shares are not kept for longer than a day, whatever is configured.
const UNSEAL_WINDOW_S_CEILING: u32 = 86_400;

/// Key files. A process is given only those of its planes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFiles {
    /// The public half of the KEK, which wraps data keys: both planes. Not with `[keys.aws_kms]`.
    #[schemars(with = "Option<String>")]
    pub kek_public_file: Option<RelativePathBuf>,
    /// The private half of the KEK, under a passphrase or under its custodians' shares: the
    /// internal plane only.
    #[schemars(with = "Option<String>")]
    pub kek_private_file: Option<RelativePathBuf>,
    /// The passphrase of `kek_private_file`: the internal plane only, and none where custodians
    /// open it.
    #[schemars(with = "Option<String>")]
    pub kek_passphrase_file: Option<RelativePathBuf>,
    /// Seconds for which custodians' shares are kept while further shares are awaited.
    #[serde(default = "defaults::unseal_window_s_max")]
    pub unseal_window_s_max: u32,
    /// The private half is in a hardware module: the internal plane only.
    pub pkcs11: Option<Pkcs11Settings>,
    /// The KEK is a key of AWS Key Management Service: both planes, each with its own credentials.
    pub aws_kms: Option<AwsKmsSettings>,
    /// HMAC key under which session secrets are kept and checked: both planes.
    #[schemars(with = "String")]
    pub session_verify_key_file: RelativePathBuf,
    /// HMAC key of the fingerprints by which the same card becomes the same token, and of the
    /// proofs of wrapped data keys: both planes.
    #[schemars(with = "String")]
    pub fingerprint_key_file: RelativePathBuf,
    /// A second key whose fingerprints and proofs are accepted as well, while one key replaces the
    /// other.
    #[schemars(with = "Option<String>")]
    pub fingerprint_key_also_file: Option<RelativePathBuf>,
    /// HMAC key from which session secrets are made: the internal plane only.
    #[schemars(with = "Option<String>")]
    pub session_issue_key_file: Option<RelativePathBuf>,
    /// HMAC key of order proofs, which show that a row was ordered by the internal plane: the
    /// internal plane only.
    #[schemars(with = "Option<String>")]
    pub order_key_file: Option<RelativePathBuf>,
    /// The previous order key, whose proofs are accepted as well.
    #[schemars(with = "Option<String>")]
    pub previous_order_key_file: Option<RelativePathBuf>,
    /// Ed25519 key that signs deletion receipts: the internal plane only.
    #[schemars(with = "Option<String>")]
    pub receipt_key_file: Option<RelativePathBuf>,
    /// Ed25519 key that signs the key manifest: for the person who rotates keys, with the internal
    /// plane's configuration. Never the capture plane.
    #[schemars(with = "Option<String>")]
    pub manifest_key_file: Option<RelativePathBuf>,
    /// Public half of the manifest key, as a JWK: both planes, once keys are rotated.
    #[schemars(with = "Option<String>")]
    pub manifest_public_key_file: Option<RelativePathBuf>,
    /// Days that a KEK is in service, at most 730; afterwards no data key is wrapped to it.
    #[serde(default = "defaults::kek_age_days_max")]
    pub kek_age_days_max: u32,
    /// Seconds after which the capture plane replaces its data key.
    #[serde(default = "defaults::data_key_age_s_max")]
    pub data_key_age_s_max: u32,
    /// Seals after which the capture plane replaces its data key.
    #[serde(default = "defaults::data_key_seals_max")]
    pub data_key_seals_max: u32,
}

/// A hardware module.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Settings {
    /// The PKCS #11 library: `/usr/lib/softhsm/libsofthsm2.so`.
    #[schemars(with = "String")]
    pub module_file: RelativePathBuf,
    /// Label of the token.
    pub token_label: String,
    /// File with the token's user PIN, readable by the owner only.
    #[schemars(with = "String")]
    pub pin_file: RelativePathBuf,
}

/// AWS Key Management Service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsKmsSettings {
    /// The key: `arn:aws:kms:eu-central-1:123456789012:key/…`, symmetric.
    pub key_arn: String,
    /// Region: `eu-central-1`.
    pub region: String,
    /// URL of the service, if not `https://kms.REGION.amazonaws.com`.
    #[serde(default, deserialize_with = "endpoint")]
    pub endpoint_url: Option<Url>,
    /// Certificate authorities to trust instead of the machine's, PEM.
    #[schemars(with = "Option<String>")]
    pub ca_file: Option<RelativePathBuf>,
    /// The access key, in the format of AWS's shared credentials file, readable by the owner only;
    /// reloaded when it changes. The capture plane's key may call `GenerateDataKey` only.
    #[schemars(with = "String")]
    pub credentials_file: RelativePathBuf,
    /// Milliseconds for one call with all its retries.
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
            || self.order_key_file.is_some()
            || self.previous_order_key_file.is_some()
            || self.receipt_key_file.is_some()
            || self.manifest_key_file.is_some()
    }

    /// One holder of the KEK, and not parts of two.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let refuse = |why: &str| Err(Refused::Inconsistent(why.to_owned()));
        let has_private_file =
            self.kek_private_file.is_some() || self.kek_passphrase_file.is_some();
        // NIST SP 800-57 part 1, 5.3.6: two years for the private key of a key transport.
        if !(1..=KEK_AGE_DAYS_CEILING).contains(&self.kek_age_days_max) {
            return refuse("keys.kek_age_days_max is from 1 to 730");
        }
        if !(1..=UNSEAL_WINDOW_S_CEILING).contains(&self.unseal_window_s_max) {
            return refuse("keys.unseal_window_s_max is from 1 to 86400");
        }
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

/// No configuration keeps a KEK in service for longer.
const KEK_AGE_DAYS_CEILING: u32 = 730;

mod defaults {
    pub(super) const fn kek_age_days_max() -> u32 {
        365
    }

    pub(super) const fn data_key_age_s_max() -> u32 {
        3_600
    }

    pub(super) const fn data_key_seals_max() -> u32 {
        100_000
    }

    pub(super) const fn unseal_window_s_max() -> u32 {
        900
    }

    pub(super) const fn kms_request_timeout_ms() -> u32 {
        5_000
    }
}
