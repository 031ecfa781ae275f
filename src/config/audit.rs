//! The audit log's signing and its copies.

use figment::value::magic::RelativePathBuf;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Refused, https};
use crate::token::Environment;

/// One place can be lost together with the database.
const LIVE_SINKS_MIN: usize = 2;
const VERIFICATION_INTERVAL_S_MIN: u32 = 1;
/// PCI DSS 11.5.2: critical files are compared at least once a week.
const VERIFICATION_INTERVAL_S_MAX: u32 = 604_800;

/// `[audit]`: the log is signed, and its checkpoints are copied out of the database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditSettings {
    /// Ed25519 key that signs checkpoints, PEM: the internal plane only.
    #[schemars(with = "Option<String>")]
    pub checkpoint_key_file: Option<RelativePathBuf>,
    /// Verifier key of the log (C2SP signed-note): every process that signs or verifies.
    #[schemars(with = "Option<String>")]
    pub checkpoint_vkey_file: Option<RelativePathBuf>,
    /// Minimum seconds between two checkpoints.
    #[serde(default = "defaults::checkpoint_interval_s")]
    pub checkpoint_interval_s: u32,
    /// Seconds that an event may wait for a checkpoint that a sink has accepted; after that,
    /// privileged requests are refused on both planes until one is accepted.
    #[serde(default = "defaults::sink_outage_s_max")]
    pub sink_outage_s_max: u32,
    /// Seconds between two verifications of the whole log by the service itself; 1 to 604800.
    #[serde(default = "defaults::verification_interval_s")]
    pub verification_interval_s: u32,
    /// Where checkpoints are copied to: the internal plane only.
    #[serde(default)]
    pub sinks: Vec<SinkSettings>,
}

/// A place for copies of checkpoints: one of the three.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkSettings {
    /// File that checkpoints are appended to; put it on another file system than the database's.
    #[schemars(with = "Option<String>")]
    pub file: Option<RelativePathBuf>,
    /// Socket of the machine's syslog, which forwards them: `/dev/log`.
    #[schemars(with = "Option<String>")]
    pub syslog_socket: Option<RelativePathBuf>,
    /// https URL that accepts POSTs.
    #[serde(default, deserialize_with = "https_if_any")]
    pub url: Option<Url>,
    /// Certificate authorities for `url`, PEM; without it, the machine's.
    #[schemars(with = "Option<String>")]
    pub ca_file: Option<RelativePathBuf>,
}

fn https_if_any<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    https(from).map(Some)
}

mod defaults {
    pub(super) const fn checkpoint_interval_s() -> u32 {
        10
    }

    pub(super) const fn verification_interval_s() -> u32 {
        86_400
    }

    pub(super) const fn sink_outage_s_max() -> u32 {
        300
    }
}

impl AuditSettings {
    /// What the types alone do not say.
    pub(super) fn check(&self, is_internal: bool, environment: Environment) -> Result<(), Refused> {
        let refuse = |why: &str| Err(Refused::Inconsistent(why.to_owned()));
        let keys = self.checkpoint_key_file.is_some() || !self.sinks.is_empty();
        if !is_internal && keys {
            return refuse(
                "a process without [internal] must not be given the audit log's key or sinks",
            );
        }
        if is_internal
            && (self.checkpoint_key_file.is_none() || self.checkpoint_vkey_file.is_none())
        {
            return refuse(
                "[audit] needs checkpoint_key_file and checkpoint_vkey_file, which `keys init` makes",
            );
        }
        let sinks_min = match environment {
            Environment::Live => LIVE_SINKS_MIN,
            Environment::Test => 1,
        };
        if is_internal && self.sinks.len() < sinks_min {
            return refuse(
                "[audit] needs at least one [[audit.sinks]], and two in the live environment",
            );
        }
        let kinds = |sink: &SinkSettings| {
            let named = [
                sink.file.is_some(),
                sink.syslog_socket.is_some(),
                sink.url.is_some(),
            ];
            named.into_iter().filter(|is_named| *is_named).count()
        };
        if self.sinks.iter().any(|sink| kinds(sink) != 1) {
            return refuse("each of [[audit.sinks]] has one of file, syslog_socket and url");
        }
        // The others cannot be read back: nothing would say that a restored database is an older one.
        let is_readable = self.sinks.iter().any(|sink| sink.file.is_some());
        if is_internal && environment == Environment::Live && !is_readable {
            return refuse(
                "one of [[audit.sinks]] must be a file in the live environment, outside of the \
                 database's file system: a start holds the database against it",
            );
        }
        if self.checkpoint_interval_s == 0
            || u64::from(self.sink_outage_s_max)
                < u64::from(self.checkpoint_interval_s).saturating_mul(3)
        {
            return refuse(
                "audit.sink_outage_s_max must be at least three times audit.checkpoint_interval_s, \
                 which must be at least 1",
            );
        }
        if !(VERIFICATION_INTERVAL_S_MIN..=VERIFICATION_INTERVAL_S_MAX)
            .contains(&self.verification_interval_s)
        {
            return refuse("audit.verification_interval_s must be between 1 and 604800 (a week)");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const TEST: &str = r#"
environment = "test"
node = "a"
[capture]
listen = "127.0.0.1:0"
public_url = "https://cards.example"
certificate_file = "a.pem"
private_key_file = "a.key"
[store.sqlite]
path = "a.db"
[keys]
kek_public_file = "kek-public.json"
session_verify_key_file = "session-verify.key"
fingerprint_key_file = "fingerprint.key"
[accounts.default.processor.stripe]
"#;

    #[test]
    fn in_the_live_environment_nothing_goes_without_audit() {
        assert!(Config::parse(TEST).is_ok());
        let live = TEST.replace("\"test\"", "\"live\"");
        let refused = Config::parse(&live).unwrap_err().to_string();
        assert!(refused.contains("without [audit]"), "{refused}");
        assert!(Config::parse(&(live.clone() + "[audit]\n")).is_ok());
        // Nor is there a key that turns it off.
        for off in ["enabled = false", "off = true", "sink_outage_s_max = 0"] {
            let refused = Config::parse(&format!("{live}[audit]\n{off}\n"));
            assert!(refused.is_err(), "{off}");
        }
    }

    #[test]
    fn in_the_live_environment_copies_go_to_two_places_at_least() {
        let internal = TEST
            .replace("[capture]", "[internal]")
            .replace("public_url", "return_url")
            .replace(
                "private_key_file",
                "client_ca_file = \"ca.pem\"\nprivate_key_file",
            );
        let audit = "[audit]\ncheckpoint_key_file = \"a\"\ncheckpoint_vkey_file = \"b\"\n";
        let sink = "[[audit.sinks]]\nfile = \"c\"\n";
        let live = internal.replace("\"test\"", "\"live\"");
        let refusal = |text: String| {
            Config::parse(&text)
                .err()
                .map(|refused| refused.to_string())
        };
        assert_eq!(refusal([&internal, audit, sink].concat()), None);
        assert_eq!(refusal([&live, audit, sink, sink].concat()), None);
        let one = refusal([&live, audit, sink].concat()).unwrap();
        assert!(one.contains("two in the live environment"), "{one}");
        // Places that nothing can be read back from.
        let away = "[[audit.sinks]]\nsyslog_socket = \"/dev/log\"\n\
                    [[audit.sinks]]\nurl = \"https://sink.example/\"\n";
        let blind = refusal([&live, audit, away].concat()).unwrap();
        assert!(blind.contains("must be a file"), "{blind}");
        assert_eq!(refusal([&live, audit, away, sink].concat()), None);
        assert_eq!(refusal([&internal, audit, away].concat()), None);
        assert!(refusal([&internal, audit].concat()).is_some());
    }
}
