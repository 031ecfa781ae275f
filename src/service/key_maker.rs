//! How the keys of a manifest are made: what the manifest says of them, and the configuration's way
//! to whoever holds them.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use figment::value::magic::RelativePathBuf;
use zeroize::Zeroizing;

use super::assembly::secret_text;
use crate::clock::Clock;
use crate::config::{AwsKmsSettings, Config};
use crate::directory;
use crate::seal::custody::SharedKek;
use crate::seal::manifest::{Entry, Holder};
use crate::seal::{UnwrapKey, WrapKey, aws_kms, file, pkcs11};
use crate::token::Environment;
use crate::vault::rotation::KeyMaker;

/// The directory of the private files of further keys, beside the configured one's. A process may
/// read all of it, so nothing else belongs there.
const FURTHER_KEYS: &str = "keks";

/// Where the private files of further keys stand, given the configured one's.
#[must_use]
pub(super) fn further_keys(private_file: &Path) -> PathBuf {
    private_file.with_file_name(FURTHER_KEYS)
}

/// Makes that directory where it is missing, readable by the owner only.
///
/// # Errors
/// What the system says.
pub fn make_further_keys(private_file: &Path) -> std::io::Result<()> {
    let mut directory = fs::DirBuilder::new();
    directory.recursive(true).mode(0o700);
    directory.create(further_keys(private_file))
}

/// Private files of further keys that earlier versions put beside the configured one.
pub(super) fn keys_beside(private_file: &Path) -> Vec<PathBuf> {
    let Ok(listed) = fs::read_dir(directory::of(private_file)) else {
        return Vec::new();
    };
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with("kek_"))
        .filter(|name| Path::new(name).extension() == Some("json".as_ref()))
        .map(|name| private_file.with_file_name(name))
        .collect()
}

/// The configuration's way to keys.
#[derive(Clone, Debug)]
pub struct Configured {
    environment: Environment,
    clock: Clock,
    public_file: Option<PathBuf>,
    private_file: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    pkcs11: Option<Module>,
    aws_kms: Option<aws_kms::Settings>,
}

#[derive(Clone, Debug)]
struct Module {
    library: PathBuf,
    token_label: String,
    pin_file: PathBuf,
}

impl Configured {
    /// What a configuration says of keys.
    ///
    /// # Errors
    /// What is wrong with the key service's address.
    pub fn new(config: &Config, clock: &Clock) -> Result<Self, String> {
        let keys = &config.keys;
        let path = |file: &RelativePathBuf| file.relative();
        Ok(Self {
            environment: config.environment,
            clock: clock.clone(),
            public_file: keys.kek_public_file.as_ref().map(path),
            private_file: keys.kek_private_file.as_ref().map(path),
            passphrase_file: keys.kek_passphrase_file.as_ref().map(path),
            pkcs11: keys.pkcs11.as_ref().map(|module| Module {
                library: module.module_file.relative(),
                token_label: module.token_label.clone(),
                pin_file: module.pin_file.relative(),
            }),
            aws_kms: keys.aws_kms.as_ref().map(kms_settings).transpose()?,
        })
    }

    /// Whether the configured private half takes its custodians to open.
    ///
    /// # Errors
    /// What is wrong with its file, in words.
    pub fn is_of_custodians(&self) -> Result<bool, String> {
        let has_a_file = self.aws_kms.is_none() && self.pkcs11.is_none();
        match self.private_file.as_ref().filter(|_| has_a_file) {
            Some(path) => SharedKek::is_at(path).map_err(|refused| refused.to_string()),
            None => Ok(false),
        }
    }

    /// What the manifest says of the configured key.
    ///
    /// # Errors
    /// Why it cannot be told, in words.
    pub fn holder(&self) -> Result<Holder, String> {
        if let Some(kms) = &self.aws_kms {
            return Ok(Holder::AwsKms {
                key_arn: kms.key_arn.clone(),
            });
        }
        let path = self.public_file.as_ref().ok_or("there is no public KEK")?;
        let public = fs::read_to_string(path).map_err(|error| error.to_string())?;
        Ok(match self.pkcs11 {
            Some(_) => Holder::Pkcs11 { public },
            None => Holder::File { public },
        })
    }

    /// Makes a further key where the configured one is: a file in [`further_keys`], or a key in the
    /// module.
    /// Of the key service, somebody makes it there and says its ARN.
    ///
    /// # Errors
    /// Why none was made, in words.
    pub fn make(&self, key_arn: Option<&str>) -> Result<Holder, String> {
        if self.aws_kms.is_some() {
            let key_arn = key_arn.ok_or("make a key in the key service and give --key-arn")?;
            return Ok(Holder::AwsKms {
                key_arn: key_arn.to_owned(),
            });
        }
        if self.pkcs11.is_some() {
            let made = pkcs11::generate(self.environment, self.module()?)
                .map_err(|refused| refused.to_string())?;
            let public = text(&made.to_json());
            return Ok(Holder::Pkcs11 { public });
        }
        self.require_directory()?;
        let (public, private) = file::generate_beside(
            self.environment,
            &self.passphrase()?,
            file::Stretch::RECOMMENDED,
        )
        .map_err(|failed| failed.to_string())?;
        let path = self.private_path(public.kek())?;
        file::write_private(&path, &private.to_json())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Holder::File {
            public: text(&public.to_json()),
        })
    }

    /// The half of a key that wraps.
    ///
    /// # Errors
    /// Why it cannot be made, in words.
    pub fn wrap_of(&self, holder: &Holder) -> Result<WrapKey, String> {
        Ok(match holder {
            Holder::File { public } | Holder::Pkcs11 { public } => {
                WrapKey::File(self.public(public)?)
            }
            Holder::AwsKms { key_arn } => WrapKey::AwsKms(Box::new(self.kms(key_arn)?)),
        })
    }

    /// Where the private file of a further key stands: in [`further_keys`], or beside the
    /// configured one where an earlier version has put it.
    fn private_path(&self, kek: &str) -> Result<PathBuf, String> {
        let configured = self.configured_file()?;
        let name = format!("{kek}.json");
        let beside = configured.with_file_name(&name);
        let file = further_keys(configured).join(name);
        let is_beside = beside.exists() && !file.exists();
        Ok(if is_beside { beside } else { file })
    }

    /// A process that started without the directory is kept from what is put there later.
    fn require_directory(&self) -> Result<(), String> {
        let directory = further_keys(self.configured_file()?);
        if directory.is_dir() {
            return Ok(());
        }
        let directory = directory.display();
        Err(format!(
            "{directory} is missing, where further keys stand: make it with mode 700, restart the \
             internal processes, and rotate again"
        ))
    }

    fn configured_file(&self) -> Result<&Path, String> {
        let file = self.private_file.as_deref();
        file.ok_or_else(|| "there is no keys.kek_private_file to put it beside".to_owned())
    }

    fn passphrase(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        let path = self.passphrase_file.as_ref();
        let path = path.ok_or("there is no keys.kek_passphrase_file")?;
        file::read_passphrase(path).map_err(|refused| refused.to_string())
    }

    fn module(&self) -> Result<pkcs11::Settings, String> {
        let module = self.pkcs11.as_ref().ok_or("there is no [keys.pkcs11]")?;
        let pin = secret_text(&module.pin_file)?;
        Ok(pkcs11::Settings {
            module: module.library.clone(),
            token_label: module.token_label.clone(),
            pin: pkcs11::Pin::new(Zeroizing::new(pin.trim().to_owned())),
        })
    }

    fn kms(&self, key_arn: &str) -> Result<aws_kms::Kms, String> {
        let settings = self.aws_kms.as_ref().ok_or("there is no [keys.aws_kms]")?;
        let settings = aws_kms::Settings {
            key_arn: key_arn.to_owned(),
            ..settings.clone()
        };
        aws_kms::Kms::new(&settings, self.environment, self.clock.clone())
            .map_err(|refused| refused.to_string())
    }

    fn public(&self, public: &str) -> Result<file::PublicKek, String> {
        file::PublicKek::from_document(public.as_bytes(), self.environment)
            .map_err(|why| why.to_string())
    }
}

impl KeyMaker for Configured {
    fn wrap(&self, entry: &Entry) -> Result<WrapKey, String> {
        self.wrap_of(&entry.holder)
    }

    fn unwrap(&self, entry: &Entry) -> Result<UnwrapKey, String> {
        Ok(match &entry.holder {
            Holder::File { .. } => {
                let path = self.private_path(&entry.kek)?;
                let passphrase = self.passphrase()?;
                let private = file::PrivateKek::read(&path, &passphrase, self.environment);
                UnwrapKey::File(private.map_err(|refused| refused.to_string())?)
            }
            Holder::Pkcs11 { public } => {
                let hsm = pkcs11::HsmKek::open(self.module()?, &self.public(public)?);
                UnwrapKey::Pkcs11(Box::new(hsm.map_err(|refused| refused.to_string())?))
            }
            Holder::AwsKms { key_arn } => UnwrapKey::AwsKms(Box::new(self.kms(key_arn)?)),
        })
    }
}

fn text(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
}

/// The key service as the configuration names it.
///
/// # Errors
/// For a region that makes no address.
pub(super) fn kms_settings(settings: &AwsKmsSettings) -> Result<aws_kms::Settings, String> {
    let endpoint = match &settings.endpoint_url {
        Some(url) => url.clone(),
        None => format!("https://kms.{}.amazonaws.com/", settings.region)
            .parse()
            .map_err(|_| "[keys.aws_kms] region: not the name of a region".to_owned())?,
    };
    Ok(aws_kms::Settings {
        key_arn: settings.key_arn.clone(),
        region: settings.region.clone(),
        endpoint,
        ca_file: settings.ca_file.as_ref().map(RelativePathBuf::relative),
        credentials_file: settings.credentials_file.relative(),
        request_timeout_ms: settings.request_timeout_ms,
    })
}
