//! A session with a token of a PKCS #11 module: found, logged in, and made anew when it is lost.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::{AuthPin, Ulong};
use zeroize::Zeroizing;

use super::{Refused, Settings};
use crate::seal::KekId;
use crate::seal::file::POINT_BYTES;

/// DER of the object identifier of P-256 (RFC 5480): `CKA_EC_PARAMS`.
const P_256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// `CKA_EC_POINT` is an OCTET STRING around the point.
const OCTET_STRING: &[u8] = &[0x04, 0x41];
/// Bytes of a coordinate, which is what two keys share.
const SHARED_BYTES: usize = 32;

/// A library is loaded and initialized once in a process (PKCS #11 3.1, 5.4).
static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// A token, and the session with it while there is one.
pub(super) struct Token {
    settings: Settings,
    module: Pkcs11,
    session: Option<Session>,
}

impl Token {
    pub(super) fn new(settings: Settings) -> Result<Self, Refused> {
        let module = load(&settings)?;
        let mut token = Self {
            settings,
            module,
            session: None,
        };
        token.session()?;
        Ok(token)
    }

    /// The private key of `kek`, which must be one that cannot leave the module.
    pub(super) fn find(&mut self, kek: &KekId) -> Result<ObjectHandle, Refused> {
        let session = self.session()?;
        let template = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::Id(kek.as_str().as_bytes().to_vec()),
        ];
        let found = session.find_objects(&template)?;
        let [key] = found.as_slice() else {
            return Err(Refused::NoKey(kek.clone()));
        };
        let asked = [AttributeType::Extractable, AttributeType::Sensitive];
        let told = session.get_attributes(*key, &asked)?;
        let is_kept = told.contains(&Attribute::Extractable(false))
            && told.contains(&Attribute::Sensitive(true));
        if is_kept {
            Ok(*key)
        } else {
            Err(Refused::Extractable(kek.clone()))
        }
    }

    /// The x coordinate that the private key of `kek` and `point` share. A session that was lost,
    /// because the token was taken out or the module restarted, is made anew once.
    pub(super) fn agree(
        &mut self,
        kek: &KekId,
        point: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Refused> {
        match self.try_agree(kek, point) {
            Err(Refused::Token(_) | Refused::NoKey(_)) => {
                self.session = None;
                self.try_agree(kek, point)
            }
            answer => answer,
        }
    }

    fn try_agree(&mut self, kek: &KekId, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let key = self.find(kek)?;
        let session = self.session()?;
        let parameters = Ecdh1DeriveParams::new(EcKdf::null(), point);
        let shared_bytes = Ulong::try_from(SHARED_BYTES)?;
        // An object of this session, gone with it: readable, because its value is what is asked for.
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::ValueLen(shared_bytes),
            Attribute::Token(false),
            Attribute::Private(true),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
        ];
        let shared = session.derive_key(&Mechanism::Ecdh1Derive(parameters), key, &template)?;
        let value = session.get_attributes(shared, &[AttributeType::Value]);
        let destroyed = session.destroy_object(shared);
        let value = value?.into_iter().find_map(|attribute| {
            if let Attribute::Value(value) = attribute {
                Some(Zeroizing::new(value))
            } else {
                None
            }
        });
        destroyed?;
        value
            .filter(|value| value.len() == SHARED_BYTES)
            .ok_or_else(|| Refused::Token("the shared secret has another length".to_owned()))
    }

    /// Makes a key pair that stays, and answers the public point. The name of both keys is that of
    /// the KEK, which is the hash of the point, so it is set when the point is known.
    pub(super) fn generate(mut self) -> Result<Vec<u8>, Refused> {
        let session = self.open(true)?;
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::EcParams(P_256.to_vec()),
            Attribute::Verify(false),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Derive(true),
            Attribute::Sign(false),
        ];
        let (public, private) =
            session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
        let told = session.get_attributes(public, &[AttributeType::EcPoint])?;
        let point = told.into_iter().find_map(|attribute| {
            if let Attribute::EcPoint(encoded) = attribute {
                encoded.strip_prefix(OCTET_STRING).map(<[u8]>::to_vec)
            } else {
                None
            }
        });
        let point = point
            .filter(|point| point.len() == POINT_BYTES)
            .ok_or_else(|| Refused::Token("the public key is no point of P-256".to_owned()))?;
        let kek = KekId::of(&point);
        for key in [public, private] {
            let name = kek.as_str().as_bytes().to_vec();
            let attributes = [Attribute::Id(name.clone()), Attribute::Label(name)];
            session.update_attributes(key, &attributes)?;
        }
        self.session = None;
        Ok(point)
    }

    fn session(&mut self) -> Result<&Session, Refused> {
        if self.session.is_none() {
            self.session = Some(self.open(false)?);
        }
        self.session
            .as_ref()
            .ok_or_else(|| Refused::Token("there is no session".to_owned()))
    }

    fn open(&self, to_write: bool) -> Result<Session, Refused> {
        let label = &self.settings.token_label;
        let slots = self.module.get_slots_with_initialized_token();
        let slot = slots?.into_iter().find(|slot| {
            let info = self.module.get_token_info(*slot);
            info.is_ok_and(|info| info.label().trim_end() == label.as_str())
        });
        let slot = slot.ok_or_else(|| Refused::NoToken(label.clone()))?;
        let session = if to_write {
            self.module.open_rw_session(slot)
        } else {
            self.module.open_ro_session(slot)
        };
        let session = session?;
        let pin = AuthPin::new(self.settings.pin.0.as_str().into());
        match session.login(UserType::User, Some(&pin)) {
            // All sessions of a process with one token are logged in together.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(error.into()),
        }
    }
}

fn load(settings: &Settings) -> Result<Pkcs11, Refused> {
    let unusable = |error: Error| Refused::Module {
        path: settings.module.clone(),
        reason: error.to_string(),
    };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(&settings.module) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(&settings.module).map_err(unusable)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(unusable(error)),
    }
    loaded.insert(settings.module.clone(), module.clone());
    Ok(module)
}

impl From<Error> for Refused {
    /// PKCS #11's name of what went wrong.
    fn from(error: Error) -> Self {
        Self::Token(error.to_string())
    }
}
