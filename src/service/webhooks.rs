//! The receivers of outgoing webhooks, with their secrets, out of a configuration.

use std::path::Path;

use figment::value::magic::RelativePathBuf;

use super::Refused;
use super::assembly::secret_text;
use crate::config::{Config, WebhookSettings};
use crate::vault::tell::Listener;
use crate::webhooks::{Endpoint, Secret, Settings};

/// Every receiver that the configuration names.
///
/// # Errors
/// [`Refused::Webhook`] says which one, and what is wrong with it.
pub fn webhook_endpoints(config: &Config) -> Result<Vec<Listener>, Refused> {
    config.webhooks.iter().map(endpoint).collect()
}

fn endpoint(webhook: &WebhookSettings) -> Result<Listener, Refused> {
    let refuse = |reason: String| Refused::Webhook {
        name: webhook.name.clone(),
        reason,
    };
    let settings = Settings {
        name: webhook.name.clone(),
        url: webhook.url.clone(),
        secrets: secrets(&webhook.secret_files).map_err(refuse)?,
        allow_private_addresses: webhook.allow_private_addresses,
        ca_file: webhook.ca_file.as_ref().map(RelativePathBuf::relative),
        request_timeout_ms: webhook.request_timeout_ms,
        connect_timeout_ms: webhook.connect_timeout_ms,
    };
    let endpoint = Endpoint::new(settings).map_err(|refused| refuse(refused.to_string()))?;
    Ok(Listener {
        account: webhook.account.clone(),
        kinds: webhook.events.clone().map(Vec::from_iter),
        endpoint,
    })
}

/// The secrets in files, each readable by its owner only.
pub(super) fn secrets(files: &[RelativePathBuf]) -> Result<Vec<Secret>, String> {
    files.iter().map(|path| secret(&path.relative())).collect()
}

fn secret(path: &Path) -> Result<Secret, String> {
    let text = secret_text(path)?;
    Secret::parse(text.trim()).map_err(|refused| format!("{}: {refused}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use figment::Figment;
    use figment::providers::{Format as _, Toml};
    use tempfile::TempDir;

    use super::*;

    const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const WHSK: &str = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";

    /// A directory with two secrets, one of which has `text`, and settings that name them.
    fn settings(text: &str, mode: u32, url: &str) -> (TempDir, WebhookSettings) {
        let dir = TempDir::new().unwrap();
        for (name, text, mode) in [("old", WHSEC, 0o600), ("new", text, mode)] {
            let path = dir.path().join(name);
            fs::write(&path, format!("{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = dir.path().join("webhook.toml");
        let table = format!(
            "name = \"shop\"\naccount = \"default\"\nurl = \"{url}\"\n\
             secret_files = [\"old\", \"new\"]\nevents = [\"charge.succeeded\"]\n"
        );
        fs::write(&path, table).unwrap();
        let settings = Figment::from(Toml::file_exact(&path)).extract().unwrap();
        (dir, settings)
    }

    const URL: &str = "https://shop.example/hidden";

    #[test]
    fn a_receiver_has_the_name_account_and_kinds_of_its_settings() {
        let (_dir, settings) = settings(WHSK, 0o600, URL);
        let receiver = endpoint(&settings).unwrap();
        assert_eq!(receiver.endpoint.name(), "shop");
        assert_eq!(receiver.account.as_str(), "default");
        assert_eq!(receiver.kinds, Some(vec!["charge.succeeded".to_owned()]));
        assert!(!format!("{receiver:?}").contains("hidden"));
    }

    #[test]
    fn a_receiver_whose_secret_or_address_is_not_right_is_refused_by_name() {
        for (text, mode, url, why) in [
            ("whsec_c2hvcnQ=", 0o600, URL, "new: a webhook secret is"),
            ("sk_test_hidden", 0o600, URL, "new: a webhook secret is"),
            (WHSK, 0o640, URL, "new"),
            (WHSK, 0o600, "https://10.0.0.1/hidden", "not public"),
            (
                WHSK,
                0o600,
                "https://user@shop.example/hidden",
                "must be https",
            ),
        ] {
            let (_dir, settings) = settings(text, mode, url);
            let refused = endpoint(&settings).unwrap_err().to_string();
            assert!(refused.starts_with("webhook shop: "), "{refused}");
            assert!(refused.contains(why), "{refused}");
            assert!(!refused.contains("hidden"), "{refused}");
        }
    }
}
