//! Who holds the key-encryption key, out of the configuration: the sealing half for both planes,
//! the opening half for the internal plane.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Refused;
use super::assembly::{mac_key, required, secret_text};
use super::key_maker::{Configured, kms_settings};
use crate::clock::Clock;
use crate::config::{AwsKmsSettings, Config, Pkcs11Settings, RelativePathBuf};
use crate::seal::custody::SharedKek;
use crate::seal::mac::MacKeys;
use crate::seal::signing::VerifyingKey;
use crate::seal::{self, Opener, Sealer, UnwrapKey, WrapKey, aws_kms, file, pkcs11};
use crate::vault::Common;
use crate::vault::rotation::Rotation;
use crate::vault::unseal::Custody;

/// Both planes wrap data keys to a KEK that this half does not open.
pub(super) fn sealer(config: &Config, common: &Common) -> Result<Sealer, Refused> {
    let keys = &config.keys;
    let wrap = match &keys.aws_kms {
        Some(settings) => WrapKey::AwsKms(Box::new(kms(settings, config, &common.clock)?)),
        None => WrapKey::File(public_kek(config)?),
    };
    let limits = seal::DataKeyLimits::new(keys.data_key_age_s_max, keys.data_key_seals_max)
        .map_err(|refused| Refused::Keys(refused.to_string()))?;
    Ok(Sealer::new(
        wrap,
        marking(config)?,
        limits,
        common.clock.clone(),
    ))
}

/// The internal plane reads data keys back: with a key that it holds from the start, or with one
/// that it waits for its custodians to open.
pub(super) fn opener(
    config: &Config,
    common: &Common,
) -> Result<(Opener, Option<Custody>), Refused> {
    let keys = &config.keys;
    let opener = Opener::new(config.environment, marking(config)?, common.clock.clone());
    let unwrap = match (&keys.aws_kms, &keys.pkcs11, shared_kek(config)?) {
        (Some(settings), _, _) => {
            UnwrapKey::AwsKms(Box::new(kms(settings, config, &common.clock)?))
        }
        (None, Some(settings), _) => UnwrapKey::Pkcs11(Box::new(hsm_kek(settings, config)?)),
        (None, None, Some(shared)) => {
            return Ok((opener, Some(Custody::new(shared, keys.unseal_window_s_max))));
        }
        (None, None, None) => UnwrapKey::File(private_kek(config)?),
    };
    opener
        .hold(unwrap)
        .map_err(|refused| Refused::Keys(refused.to_string()))?;
    Ok((opener, None))
}

/// What marks rows, so that they are known again, and vouches for wrapped data keys.
///
/// # Errors
/// [`Refused::Keys`] names the file, what is wrong with it, and the mend.
pub fn marking(config: &Config) -> Result<Arc<MacKeys>, Refused> {
    let keys = &config.keys;
    let now = mac_key(&keys.fingerprint_key_file.relative())?;
    let also = keys.fingerprint_key_also_file.as_ref();
    let also = also.map(|file| mac_key(&file.relative())).transpose()?;
    Ok(Arc::new(MacKeys::new(now, also)))
}

/// The private document, where custodians open it.
fn shared_kek(config: &Config) -> Result<Option<SharedKek>, Refused> {
    let keys = &config.keys;
    let refuse = |refused: file::KeyFileRefused| Refused::Keys(refused.to_string());
    let Some(path) = &keys.kek_private_file else {
        return Ok(None);
    };
    let path = path.relative();
    if !SharedKek::is_at(&path).map_err(refuse)? {
        return Ok(None);
    }
    if keys.kek_passphrase_file.is_some() {
        return Err(Refused::Keys(
            "keys.kek_passphrase_file opens nothing: kek_private_file takes its custodians"
                .to_owned(),
        ));
    }
    SharedKek::read(&path, config.environment)
        .map(Some)
        .map_err(refuse)
}

/// Credentials say nothing of what they may do, so a capture process asks: one that can read data
/// keys back does not start, nor one that can make none.
pub(super) async fn check_capture(config: &Config, clock: &Clock) -> Result<(), Refused> {
    let (Some(settings), None) = (&config.keys.aws_kms, &config.internal) else {
        return Ok(());
    };
    let kms = kms(settings, config, clock)?;
    let may = kms.permissions().await.map_err(Refused::Keys)?;
    if may.can_unwrap {
        return Err(Refused::Keys(
            "the credentials of this capture process may call Decrypt: take kms:Decrypt away"
                .to_owned(),
        ));
    }
    if !may.can_wrap {
        return Err(Refused::Keys(
            "the credentials of this capture process may not call GenerateDataKey: allow it"
                .to_owned(),
        ));
    }
    Ok(())
}

fn kms(settings: &AwsKmsSettings, config: &Config, clock: &Clock) -> Result<aws_kms::Kms, Refused> {
    let settings = kms_settings(settings).map_err(Refused::Keys)?;
    aws_kms::Kms::new(&settings, config.environment, clock.clone())
        .map_err(|refused| Refused::Keys(format!("[keys.aws_kms] {refused}")))
}

/// The key that checks the key manifest, where the configuration names one.
pub(super) fn manifest_key(config: &Config) -> Result<Option<VerifyingKey>, Refused> {
    let read = |file: &RelativePathBuf| {
        VerifyingKey::read(&file.relative()).map_err(|refused| Refused::Keys(refused.to_string()))
    };
    let file = config.keys.manifest_public_key_file.as_ref();
    file.map(read).transpose()
}

/// What a process needs to follow the key manifest.
pub(super) fn rotation(config: &Config, common: &Common) -> Result<Arc<Rotation>, Refused> {
    let keys = &config.keys;
    let maker = Configured::new(config, &common.clock).map_err(Refused::Keys)?;
    Ok(Arc::new(Rotation::new(
        manifest_key(config)?,
        Box::new(maker),
        keys.kek_age_days_max,
    )))
}

fn public_kek(config: &Config) -> Result<file::PublicKek, Refused> {
    let path = required(config.keys.kek_public_file.as_ref(), "keys.kek_public_file")?;
    file::PublicKek::read(&path, config.environment)
        .map_err(|refused| Refused::Keys(refused.to_string()))
}

fn private_kek(config: &Config) -> Result<file::PrivateKek, Refused> {
    let keys = &config.keys;
    let refuse = |refused: file::KeyFileRefused| Refused::Keys(refused.to_string());
    let path = required(keys.kek_private_file.as_ref(), "keys.kek_private_file")?;
    let passphrase = required(
        keys.kek_passphrase_file.as_ref(),
        "keys.kek_passphrase_file",
    )?;
    let passphrase = file::read_passphrase(&passphrase).map_err(refuse)?;
    file::PrivateKek::read(&path, &passphrase, config.environment).map_err(refuse)
}

fn hsm_kek(settings: &Pkcs11Settings, config: &Config) -> Result<pkcs11::HsmKek, Refused> {
    let public = public_kek(config)?;
    let pin = secret_text(&settings.pin_file.relative()).map_err(Refused::Keys)?;
    let settings = pkcs11::Settings {
        module: settings.module_file.relative(),
        token_label: settings.token_label.clone(),
        pin: pkcs11::Pin::new(Zeroizing::new(pin.trim().to_owned())),
    };
    pkcs11::HsmKek::open(settings, &public)
        .map_err(|refused| Refused::Keys(format!("[keys.pkcs11] {refused}")))
}
