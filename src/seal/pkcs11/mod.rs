//! The `pkcs11` key provider: the private key is made and stays in a hardware security module.
//!
//! The capture plane needs nothing of it: it has the same public document and wraps in the same way
//! as with the `file` provider. To unwrap, the module does the one step that needs the private key,
//! a Diffie-Hellman agreement on P-256 (`CKM_ECDH1_DERIVE`, PKCS #11 3.1, section 6.3.18); the rest
//! of RFC 9180 is `decapsulate.rs`. The private key is sensitive and not extractable, so it leaves
//! the module in no form; what leaves it is the secret of one wrapped data key.
//!
//! `token.rs` talks to the module. Its calls block, so they run on threads for blocking work, one at
//! a time and each with a limit.

mod decapsulate;
mod token;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use self::decapsulate::Encapsulated;
use self::token::Token;
use super::data_key::KeyBytes;
use super::file::{HPKE_INFO, POINT_BYTES, PublicKek, PublicKekFile};
use super::provider::binding;
use super::{KekId, Refused as ValueRefused};
use crate::token::{DataKeyId, Environment};

/// Milliseconds for one unwrapping, with the wait for those before it. A module that hangs makes
/// the values behind it unreadable, and nothing else.
const UNWRAP_TIMEOUT_MS: u64 = 5_000;

/// How to reach the module.
#[derive(Debug)]
pub struct Settings {
    /// Its PKCS #11 library.
    pub module: PathBuf,
    /// The label of its token.
    pub token_label: String,
    /// The token's user PIN; wiped on drop.
    pub pin: Pin,
}

/// The PIN of a token's user.
pub struct Pin(pub(super) Zeroizing<String>);

impl Pin {
    /// The PIN in a file's text.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// Why the module is not usable. It carries PKCS #11's own words and none of ours.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The library cannot be loaded.
    #[error("{path}: the PKCS #11 library cannot be used: {reason}")]
    Module {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// No token has that label.
    #[error("the module has no token with the label {0}")]
    NoToken(String),
    /// The token does not have the key, or two of its name.
    #[error("the token has no private key for {0}, or more than one")]
    NoKey(KekId),
    /// The key is one that could leave the module.
    #[error("the private key of {0} is extractable or not sensitive: it is not the module's alone")]
    Extractable(KekId),
    /// The token refuses.
    #[error("the token refuses: {0}")]
    Token(String),
    /// The key in the token is not the one of the public document.
    #[error("what the public key of {0} wraps, the token's key does not unwrap")]
    KeysDoNotMatch(KekId),
}

/// Makes a key pair in the token and answers its public document. The private key is never seen.
///
/// # Errors
/// [`Refused`].
pub fn generate(environment: Environment, settings: Settings) -> Result<PublicKekFile, Refused> {
    let token = Token::new(settings)?;
    let public_key = token.generate()?;
    Ok(PublicKekFile::new(environment, &public_key))
}

/// The half that reads data keys back, in the module.
pub struct HsmKek {
    environment: Environment,
    kek: KekId,
    public_key: Vec<u8>,
    token: Arc<Mutex<Token>>,
    /// One call at a time reaches the threads for blocking work.
    turn: tokio::sync::Semaphore,
}

impl HsmKek {
    /// Opens the token and shows that it has the private half of `public`. It blocks: not for an
    /// async thread.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(settings: Settings, public: &PublicKek) -> Result<Self, Refused> {
        let mut token = Token::new(settings)?;
        let kek = public.kek().clone();
        token.find(&kek)?;
        let this = Self {
            environment: public.environment(),
            kek: kek.clone(),
            public_key: public.point().to_vec(),
            token: Arc::new(Mutex::new(token)),
            turn: tokio::sync::Semaphore::new(1),
        };
        let probe = KeyBytes::random();
        let id = DataKeyId::from_uuid(this.environment, uuid::Uuid::nil());
        let wrapped = public.wrap(id, &probe);
        let read = wrapped.and_then(|wrapped| {
            let point = wrapped.get(..POINT_BYTES)?;
            let shared = this.lock().agree(&this.kek, point).ok()?;
            this.finish(id, &wrapped, &shared)
        });
        match read {
            Some(read) if read.expose() == probe.expose() => Ok(this),
            _ => Err(Refused::KeysDoNotMatch(kek)),
        }
    }

    pub(super) const fn kek(&self) -> &KekId {
        &self.kek
    }

    pub(super) const fn environment(&self) -> Environment {
        self.environment
    }

    /// Reads a data key back.
    pub(super) async fn unwrap(
        &self,
        id: DataKeyId,
        wrapped: &[u8],
    ) -> Result<KeyBytes, ValueRefused> {
        let point = wrapped.get(..POINT_BYTES).ok_or(ValueRefused::Value)?;
        let limit = Duration::from_millis(UNWRAP_TIMEOUT_MS);
        let shared = tokio::time::timeout(limit, self.agree(point.to_vec())).await;
        match shared {
            Ok(Some(Ok(shared))) => self.finish(id, wrapped, &shared).ok_or(ValueRefused::Value),
            Ok(Some(Err(refused))) => {
                tracing::error!(%refused, kek = %self.kek, "the module unwrapped nothing");
                Err(ValueRefused::Provider)
            }
            Ok(None) => Err(ValueRefused::Provider),
            Err(_elapsed) => {
                tracing::error!(kek = %self.kek, "the module did not answer in time");
                Err(ValueRefused::Provider)
            }
        }
    }

    async fn agree(&self, point: Vec<u8>) -> Option<Result<Zeroizing<Vec<u8>>, Refused>> {
        let _turn = self.turn.acquire().await.ok()?;
        let (token, kek) = (Arc::clone(&self.token), self.kek.clone());
        let call = move || {
            let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
            token.agree(&kek, &point)
        };
        tokio::task::spawn_blocking(call).await.ok()
    }

    fn finish(&self, id: DataKeyId, wrapped: &[u8], shared: &[u8]) -> Option<KeyBytes> {
        let (point, sealed) = wrapped.split_at_checked(POINT_BYTES)?;
        let aad = binding(self.environment, &self.kek, id);
        let of = Encapsulated { point, sealed };
        let key = decapsulate::open(shared, &self.public_key, (HPKE_INFO, &aad), of)?;
        KeyBytes::from_slice(&key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for HsmKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HsmKek({})", self.kek)
    }
}
