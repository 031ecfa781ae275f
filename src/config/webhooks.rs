//! Receivers of outgoing webhooks: `[[webhooks]]`. The internal plane sends.

use std::collections::{BTreeMap, BTreeSet};

use figment::value::magic::RelativePathBuf;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{AccountSettings, Refused};
use crate::token::Account;

const NAME_LENGTH_MAX: usize = 64;
const SECRET_FILES_MAX: usize = 8;
const TIMEOUT_MS_MAX: u32 = 60_000;

/// One receiver.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Name in logs, metrics and the outbox: letters, digits, `-` and `_`, 1 to 64.
    pub name: String,
    /// Account whose events are sent.
    pub account: Account,
    /// URL of the receiver. Path and query may be the receiver's secret and are not logged.
    #[serde(deserialize_with = "super::https")]
    pub url: Url,
    /// Files with one secret each (`whsec_…` or `whsk_…`), readable by the owner only; 1 to 8. All
    /// of them sign, so a secret is replaced by adding the new one first.
    #[schemars(with = "Vec<String>")]
    pub secret_files: Vec<RelativePathBuf>,
    /// Kinds of events to send (`charge.succeeded`); without it, all.
    pub events: Option<BTreeSet<String>>,
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

/// Standard Webhooks recommends 15 to 30 seconds.
pub(super) const fn request_timeout_ms() -> u32 {
    20_000
}

pub(super) const fn connect_timeout_ms() -> u32 {
    5_000
}

pub(super) fn check(
    webhooks: &[WebhookSettings],
    accounts: &BTreeMap<Account, AccountSettings>,
) -> Result<(), Refused> {
    let mut names = BTreeSet::new();
    for webhook in webhooks {
        if !names.insert(&webhook.name) {
            let why = format!("two webhooks are named {}", webhook.name);
            return Err(Refused::Inconsistent(why));
        }
        if let Some(why) = webhook.wrong(accounts) {
            let why = format!("webhook {}: {why}", webhook.name);
            return Err(Refused::Inconsistent(why));
        }
    }
    Ok(())
}

impl WebhookSettings {
    /// What does not fit, without the URL's own text.
    fn wrong(&self, accounts: &BTreeMap<Account, AccountSettings>) -> Option<&'static str> {
        let timeouts = [self.request_timeout_ms, self.connect_timeout_ms];
        let kinds = self.events.as_ref();
        if !is_name(&self.name) {
            Some("its name is 1 to 64 letters, digits, '-' or '_'")
        } else if !accounts.contains_key(&self.account) {
            Some("it is of an account that is not there")
        } else if !(1..=SECRET_FILES_MAX).contains(&self.secret_files.len()) {
            Some("it has 1 to 8 secret_files")
        } else if kinds.is_some_and(BTreeSet::is_empty) {
            Some("events is empty; without it, all are told")
        } else if kinds.is_some_and(|kinds| !kinds.iter().all(|kind| is_kind(kind))) {
            Some("events holds what is no kind, such as charge.succeeded")
        } else if !timeouts.iter().all(|ms| (1..=TIMEOUT_MS_MAX).contains(ms)) {
            Some("its timeouts are 1 to 60000 ms")
        } else {
            None
        }
    }
}

/// 1 to 64 letters, digits, `-` or `_`.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

const fn is_plain(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_'
}

/// Words of small letters and `_`, with full stops between.
fn is_kind(kind: &str) -> bool {
    let letter = |letter: u8| letter.is_ascii_lowercase() || letter == b'_';
    let mut words = kind.split('.');
    words.all(|word| !word.is_empty() && word.bytes().all(letter))
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    use super::*;

    const GOOD: &str = r#"
name = "shop"
account = "default"
url = "https://shop.example/hooks?key=hidden"
secret_files = ["a.whsec"]
"#;

    #[derive(Deserialize)]
    struct Whole {
        webhooks: Vec<WebhookSettings>,
    }

    fn read(tables: &[&str]) -> Result<Vec<WebhookSettings>, String> {
        let text: Vec<String> = tables
            .iter()
            .map(|t| format!("[[webhooks]]\n{t}"))
            .collect();
        let whole = Figment::from(Toml::string(&text.join("\n"))).extract::<Whole>();
        let webhooks = whole.map_err(|error| error.to_string())?.webhooks;
        let account = Toml::string(
            "[processor.stripe]\nbase_url = \"https://api.stripe.com\"\ncapture_key_file = \"k\"",
        );
        let settings: AccountSettings = Figment::from(account).extract().unwrap();
        let name = Account::try_from("default".to_owned()).unwrap();
        let accounts = BTreeMap::from([(name, settings)]);
        check(&webhooks, &accounts).map_err(|refused| refused.to_string())?;
        Ok(webhooks)
    }

    #[test]
    fn a_webhook_has_the_defaults_that_its_page_states() {
        let webhook = read(&[GOOD]).unwrap().remove(0);
        assert!(webhook.events.is_none() && webhook.ca_file.is_none());
        assert!(!webhook.allow_private_addresses);
        assert_eq!(
            (webhook.request_timeout_ms, webhook.connect_timeout_ms),
            (20_000, 5_000)
        );
        let page = include_str!("../../docs/webhooks.md");
        let table = page.split("[[webhooks]]\n").nth(1).unwrap();
        let table = table.split("```").next().unwrap();
        let webhook = read(&[table]).unwrap().remove(0);
        assert!(webhook.events.unwrap().contains("charge.succeeded"));
        assert!(page.contains("`request_timeout_ms` (20,000), `connect_timeout_ms` (5,000)"));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name_and_without_the_url() {
        let with = |line: &str| format!("{GOOD}{line}\n");
        let instead = |from: &str, to: &str| GOOD.replace(from, to);
        for (table, why) in [
            (instead("default", "other"), "an account that is not there"),
            (instead("\"shop\"", "\"my shop\""), "its name is"),
            (instead("\"shop\"", "\"\""), "its name is"),
            (instead("[\"a.whsec\"]", "[]"), "1 to 8 secret_files"),
            (
                instead("[\"a.whsec\"]", &format!("{:?}", ["a"; 9])),
                "1 to 8 secret_files",
            ),
            (instead("https://", "http://"), "expected an https URL"),
            (with("events = []"), "events is empty"),
            (with("events = [\"charge.\"]"), "what is no kind"),
            (with("events = [\"Charge\"]"), "what is no kind"),
            (with("request_timeout_ms = 0"), "its timeouts"),
            (with("connect_timeout_ms = 60001"), "its timeouts"),
            (with("follow_redirects = true"), "unknown field"),
        ] {
            let refused = read(&[&table]).err().unwrap();
            assert!(refused.contains(why), "{refused}");
            assert!(!refused.contains("hidden"), "{refused}");
        }
        let twice = read(&[GOOD, GOOD]).err().unwrap();
        assert!(twice.contains("two webhooks are named shop"), "{twice}");
        let other = instead("\"shop\"", "\"shop-2\"");
        assert_eq!(read(&[GOOD, &other]).unwrap().len(), 2);
    }
}
