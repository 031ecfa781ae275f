//! Who is told of alerts: `[alerts]`. The internal plane sends.

use figment::value::magic::RelativePathBuf;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::Refused;
use super::webhooks::{connect_timeout_ms, is_name, request_timeout_ms};
use crate::alerts::Security;

const TIMEOUT_MS_MAX: u32 = 120_000;
const WINDOW_S_MAX: u32 = 604_800;
const RECEIVERS_MAX: usize = 16;

/// Who is told of alerts, and how often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertSettings {
    /// Seconds in which an alert of one name about one subject is sent once. Windows are aligned to
    /// the clock, the same on every node.
    pub window_s: u32,
    /// Receivers of signed webhooks.
    pub webhooks: Vec<AlertWebhookSettings>,
    /// Mail server and recipients.
    pub mail: Option<MailSettings>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            window_s: 3_600,
            webhooks: Vec::new(),
            mail: None,
        }
    }
}

/// One receiver of signed webhooks (Standard Webhooks 1.0).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertWebhookSettings {
    /// Name in logs and rows: letters, digits, `-` and `_`, 1 to 64.
    pub name: String,
    /// URL of the receiver. Path and query may be the receiver's secret and are not logged.
    #[serde(deserialize_with = "super::https")]
    pub url: Url,
    /// Files with one secret each (`whsec_…` or `whsk_…`), readable by the owner only; 1 to 8.
    #[schemars(with = "Vec<String>")]
    pub secret_files: Vec<RelativePathBuf>,
    /// Whether the receiver may have a private, loopback or otherwise non-public address.
    #[serde(default)]
    pub allow_private_addresses: bool,
    /// Certificate authorities to trust instead of the machine's, PEM.
    #[schemars(with = "Option<String>")]
    pub ca_file: Option<RelativePathBuf>,
    /// Milliseconds for one attempt, from DNS lookup to the status of the response.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u32,
    /// Milliseconds for establishing a connection.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u32,
}

/// The mail server, and who gets mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailSettings {
    /// Name of the mail server, which its certificate must bear.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `starttls` (mostly port 587) or `tls` (mostly 465). There is no mail without TLS.
    pub security: Security,
    /// User, if the server requires one.
    pub user: Option<String>,
    /// File with the password, readable by its owner only.
    #[schemars(with = "Option<String>")]
    pub password_file: Option<RelativePathBuf>,
    /// Certificate authorities to trust instead of the machine's, PEM.
    #[schemars(with = "Option<String>")]
    pub ca_file: Option<RelativePathBuf>,
    /// Sender: `Cloakroom <alerts@example.com>`.
    pub from: String,
    /// Recipients, 1 to 16, each in a message of its own.
    pub to: Vec<String>,
    /// Milliseconds for one message, from the connection to the server's reply.
    #[serde(default = "mail_timeout_ms")]
    pub timeout_ms: u32,
}

const fn mail_timeout_ms() -> u32 {
    30_000
}

impl AlertSettings {
    /// Whether anybody is told.
    pub(super) const fn tells_anybody(&self) -> bool {
        !self.webhooks.is_empty() || self.mail.is_some()
    }

    pub(super) fn check(&self) -> Result<(), Refused> {
        match self.wrong() {
            Some(why) => Err(Refused::Inconsistent(format!("alerts: {why}"))),
            None => Ok(()),
        }
    }

    /// What does not fit, without a URL's own text.
    fn wrong(&self) -> Option<&'static str> {
        let names: std::collections::BTreeSet<_> =
            self.webhooks.iter().map(|webhook| &webhook.name).collect();
        let timeouts = |webhook: &AlertWebhookSettings| {
            let both = [webhook.request_timeout_ms, webhook.connect_timeout_ms];
            both.iter().all(|ms| (1..=TIMEOUT_MS_MAX).contains(ms))
        };
        if !(1..=WINDOW_S_MAX).contains(&self.window_s) {
            Some("window_s is 1 to 604800")
        } else if names.len() < self.webhooks.len() {
            Some("two webhooks have one name")
        } else if self.webhooks.len() > RECEIVERS_MAX {
            Some("there are at most 16 webhooks")
        } else if !self.webhooks.iter().all(|webhook| is_name(&webhook.name)) {
            Some("a webhook's name is 1 to 64 letters, digits, '-' or '_'")
        } else if !self.webhooks.iter().all(timeouts) {
            Some("timeouts are 1 to 120000 ms")
        } else {
            self.mail.as_ref().and_then(MailSettings::wrong)
        }
    }
}

impl MailSettings {
    fn wrong(&self) -> Option<&'static str> {
        if !(1..=RECEIVERS_MAX).contains(&self.to.len()) {
            Some("mail has 1 to 16 addresses in to")
        } else if self.user.is_some() != self.password_file.is_some() {
            Some("mail has a user with a password_file, or neither")
        } else if !(1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            Some("mail's timeout_ms is 1 to 120000")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    use super::*;

    const GOOD: &str = r#"
[[webhooks]]
name = "pager"
url = "https://pager.example/hooks?key=hidden"
secret_files = ["a.whsec"]
[mail]
host = "mail.example"
port = 587
security = "starttls"
from = "Cloakroom <alerts@example.com>"
to = ["ops@example.com"]
"#;

    fn read(text: &str) -> Result<AlertSettings, String> {
        let settings: AlertSettings = Figment::from(Toml::string(text))
            .extract()
            .map_err(|error| error.to_string())?;
        settings.check().map_err(|refused| refused.to_string())?;
        Ok(settings)
    }

    #[test]
    fn alerts_have_safe_defaults_and_nobody_is_told_unless_named() {
        let settings = read("").unwrap();
        assert_eq!(settings.window_s, 3_600);
        assert!(!settings.tells_anybody());
        let settings = read(GOOD).unwrap();
        assert!(settings.tells_anybody());
        assert!(!settings.webhooks[0].allow_private_addresses);
        assert_eq!(settings.mail.unwrap().timeout_ms, 30_000);
    }

    #[test]
    fn the_operators_page_shows_settings_that_are_taken() {
        #[derive(Deserialize)]
        struct Shown {
            alerts: AlertSettings,
            watch: super::super::WatchSettings,
        }
        let page = include_str!("../../docs/watch.md");
        let shown = page.split("```toml\n").nth(1).unwrap();
        let shown = shown.split("```").next().unwrap();
        let shown: Shown = Figment::from(Toml::string(shown)).extract().unwrap();
        shown.alerts.check().unwrap();
        shown.watch.check().unwrap();
        assert_eq!(shown.alerts.mail.unwrap().security, Security::Starttls);
        let defaults = super::super::WatchSettings::default();
        assert_eq!(shown.watch.mode, defaults.mode);
        assert_eq!(shown.watch.windows_max, defaults.windows_max);
        assert_eq!(shown.watch.share_interval_ms, defaults.share_interval_ms);
        assert_eq!(shown.alerts.window_s, AlertSettings::default().window_s);
    }

    #[test]
    fn what_does_not_fit_is_refused_without_the_url() {
        for (from, to, why) in [
            ("https://", "http://", "expected an https URL"),
            ("\"starttls\"", "\"none\"", "unknown variant"),
            ("\"pager\"", "\"my pager\"", "name is 1 to 64"),
            ("[\"ops@example.com\"]", "[]", "1 to 16 addresses"),
            ("port = 587", "port = 587\nuser = \"u\"", "or neither"),
            ("port = 587", "port = 587\ntimeout_ms = 0", "timeout_ms"),
            ("port = 587", "port = 587\nplain = true", "unknown field"),
        ] {
            let refused = read(&GOOD.replace(from, to)).err().unwrap();
            assert!(refused.contains(why), "{refused}");
            assert!(!refused.contains("hidden"), "{refused}");
        }
        assert!(read("window_s = 0").is_err());
    }
}
