//! The `aws-kms` key provider: data keys are made and read back by AWS Key Management Service.
//!
//! The capture plane's credentials may call `GenerateDataKey` and nothing else, the internal
//! plane's `Decrypt`: the two halves are kept apart by IAM, and a capture process whose credentials
//! can decrypt does not start. Environment, key and the data key's id are the encryption context,
//! which KMS authenticates.
//!
//! `call.rs` is the way there, `sign.rs` the signature, `credentials.rs` who we are.

mod call;
mod credentials;
mod sign;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use self::call::{Caller, Failure};
use self::credentials::CredentialsFile;
use super::data_key::{KEY_BYTES, KeyBytes};
use super::provider::FreshKey;
use super::{KekId, Refused as ValueRefused, SealFailed};
use crate::clock::Clock;
use crate::net;
use crate::token::{DataKeyId, Environment};

/// Bytes of a wrapped key; KMS's are some 200.
const WRAPPED_BYTES_MAX: usize = 6_144;

/// How to reach the service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The key: `arn:aws:kms:REGION:ACCOUNT:key/ID`.
    pub key_arn: String,
    /// The region that calls are signed for.
    pub region: String,
    /// Where the service is.
    pub endpoint: Url,
    /// Certificate authorities to trust instead of the machine's, PEM.
    pub ca_file: Option<PathBuf>,
    /// The access key, in the form of AWS's shared credentials file.
    pub credentials_file: PathBuf,
    /// Milliseconds for one call with all its attempts.
    pub request_timeout_ms: u32,
}

/// Settings that reach no service.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The file with the access key.
    #[error("{path}: {reason}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody can be trusted.
    #[error("the key service: {0}")]
    Trust(#[from] net::trust::Refused),
    /// The name of the key.
    #[error("the key's name is no ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID)")]
    KeyArn,
    /// The address.
    #[error("the address of the key service is not a plain https URL")]
    Endpoint,
}

/// What the credentials may do with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// They may make data keys.
    pub can_wrap: bool,
    /// They may read data keys back.
    pub can_unwrap: bool,
}

/// The key in the service. Which half it is, its credentials decide.
pub struct Kms {
    environment: Environment,
    kek: KekId,
    key_arn: String,
    caller: Caller,
}

#[derive(Serialize)]
struct Context<'a>(BTreeMap<&'static str, &'a str>);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GenerateDataKey<'a> {
    key_id: &'a str,
    key_spec: &'static str,
    encryption_context: Context<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypt<'a> {
    key_id: &'a str,
    plaintext: &'a str,
    encryption_context: Context<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypt<'a> {
    key_id: &'a str,
    ciphertext_blob: String,
    encryption_context: Context<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered<'a> {
    #[serde(default)]
    plaintext: &'a str,
    #[serde(default)]
    ciphertext_blob: &'a str,
}

impl Kms {
    /// Prepares everything that does not need the network.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn new(
        settings: &Settings,
        environment: Environment,
        clock: Clock,
    ) -> Result<Self, Refused> {
        let is_key = settings.key_arn.starts_with("arn:") && settings.key_arn.contains(":key/");
        if !is_key || settings.key_arn.len() > 256 || !settings.key_arn.is_ascii() {
            return Err(Refused::KeyArn);
        }
        let credentials = CredentialsFile::open(settings.credentials_file.clone())?;
        Ok(Self {
            environment,
            kek: KekId::of(settings.key_arn.as_bytes()),
            key_arn: settings.key_arn.clone(),
            caller: Caller::new(settings, credentials, clock)?,
        })
    }

    pub(super) const fn kek(&self) -> &KekId {
        &self.kek
    }

    pub(super) const fn environment(&self) -> Environment {
        self.environment
    }

    /// Has the service make a data key.
    pub(super) async fn make(&self, id: DataKeyId) -> Result<FreshKey, SealFailed> {
        self.generate(id).await.map_err(|failure| {
            tracing::error!(%failure, kek = %self.kek, "the key service made no data key");
            SealFailed::KeyUnavailable
        })
    }

    /// Has the service read a data key back.
    pub(super) async fn unwrap(
        &self,
        id: DataKeyId,
        wrapped: &[u8],
    ) -> Result<KeyBytes, ValueRefused> {
        self.decrypt(id, wrapped).await.map_err(|failure| {
            tracing::error!(%failure, kek = %self.kek, "the key service read no data key back");
            match failure {
                Failure::Refused => ValueRefused::Value,
                Failure::Denied | Failure::Unavailable | Failure::Unreadable => {
                    ValueRefused::Provider
                }
            }
        })
    }

    /// Has the service wrap a data key that there is already (`kms:Encrypt`, for rotation).
    pub(super) async fn wrap(&self, id: DataKeyId, key: &KeyBytes) -> Option<Vec<u8>> {
        let id = id.to_string();
        let mut plaintext = Zeroizing::new(String::with_capacity(KEY_BYTES.saturating_mul(2)));
        STANDARD.encode_string(key.expose(), &mut plaintext);
        let order = Encrypt {
            key_id: &self.key_arn,
            plaintext: &plaintext,
            encryption_context: self.context(&id),
        };
        let body = self.caller.call("Encrypt", &order).await;
        let body = body.inspect_err(|failure| {
            tracing::error!(%failure, kek = %self.kek, "the key service wrapped no data key");
        });
        let body = body.ok()?;
        let answer: Answered<'_> = serde_json::from_slice(&body).ok()?;
        let wrapped = STANDARD.decode(answer.ciphertext_blob).ok()?;
        (1..=WRAPPED_BYTES_MAX)
            .contains(&wrapped.len())
            .then_some(wrapped)
    }

    /// What the credentials may do, found by trying.
    ///
    /// # Errors
    /// What the service answers besides yes and no, in words.
    pub async fn permissions(&self) -> Result<Permissions, String> {
        let id = DataKeyId::from_uuid(self.environment, uuid::Uuid::nil());
        let told = |failure: Failure| failure.to_string();
        let (can_wrap, wrapped) = match self.generate(id).await {
            Ok(fresh) => (true, fresh.wrapped),
            // Whoever may not decrypt is told so before the ciphertext is looked at.
            Err(Failure::Denied) => (false, vec![0; KEY_BYTES]),
            Err(failure) => return Err(told(failure)),
        };
        let can_unwrap = match self.decrypt(id, &wrapped).await {
            Ok(_) | Err(Failure::Refused) => true,
            Err(Failure::Denied) => false,
            Err(failure) => return Err(told(failure)),
        };
        Ok(Permissions {
            can_wrap,
            can_unwrap,
        })
    }

    async fn generate(&self, id: DataKeyId) -> Result<FreshKey, Failure> {
        let id = id.to_string();
        let order = GenerateDataKey {
            key_id: &self.key_arn,
            key_spec: "AES_256",
            encryption_context: self.context(&id),
        };
        let body = self.caller.call("GenerateDataKey", &order).await?;
        let answer: Answered<'_> =
            serde_json::from_slice(&body).map_err(|_| Failure::Unreadable)?;
        let wrapped = STANDARD
            .decode(answer.ciphertext_blob)
            .map_err(|_| Failure::Unreadable)?;
        if wrapped.is_empty() || wrapped.len() > WRAPPED_BYTES_MAX {
            return Err(Failure::Unreadable);
        }
        Ok(FreshKey {
            bytes: key(answer.plaintext)?,
            wrapped,
        })
    }

    async fn decrypt(&self, id: DataKeyId, wrapped: &[u8]) -> Result<KeyBytes, Failure> {
        let id = id.to_string();
        let order = Decrypt {
            key_id: &self.key_arn,
            ciphertext_blob: STANDARD.encode(wrapped),
            encryption_context: self.context(&id),
        };
        let body = self.caller.call("Decrypt", &order).await?;
        let answer: Answered<'_> =
            serde_json::from_slice(&body).map_err(|_| Failure::Unreadable)?;
        key(answer.plaintext)
    }

    /// The same three things that the other providers bind into a wrapping.
    fn context<'a>(&'a self, id: &'a str) -> Context<'a> {
        Context(BTreeMap::from([
            ("environment", self.environment.name()),
            ("kek", self.kek.as_str()),
            ("data_key", id),
        ]))
    }
}

fn key(base64: &str) -> Result<KeyBytes, Failure> {
    let bytes = Zeroizing::new(STANDARD.decode(base64).map_err(|_| Failure::Unreadable)?);
    KeyBytes::from_slice(&bytes).ok_or(Failure::Unreadable)
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kms({})", self.kek)
    }
}
