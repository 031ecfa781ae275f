//! `[backup]`: where backups of the embedded database go, to whom they are sealed, and how often; or
//! who makes those of PostgreSQL.

use std::collections::BTreeSet;

use figment::value::magic::RelativePathBuf;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Refused, StoreSettings};
use crate::token::Environment;

/// A disk that fails takes what is on it.
const PLACES_MIN: usize = 2;
/// The one that is being made, and one that was.
const KEPT_MIN: u32 = 2;
/// Seconds between two backups in the live environment, at least: each reads the whole database.
const LIVE_INTERVAL_S_MIN: u32 = 900;

/// How the database is backed up: the internal plane.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupSettings {
    /// Public half of the backup key, from `cloakroom backup keys`; required with `[store.sqlite]`.
    /// The private half belongs on no host of the service.
    #[schemars(with = "Option<String>")]
    pub recipient_file: Option<RelativePathBuf>,
    /// Two directories or more that each get every backup, on different disks or machines; required
    /// with `[store.sqlite]`. They must exist when the service starts.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub places: Vec<RelativePathBuf>,
    /// Seconds between two backups that the service makes by itself; at least 900 in the live
    /// environment.
    #[serde(default = "defaults::interval_s")]
    pub interval_s: u32,
    /// Backups kept in each place, 2 or more; the oldest are removed.
    #[serde(default = "defaults::backups_kept_max")]
    pub backups_kept_max: u32,
    /// What backs PostgreSQL up, for `cloakroom backup status`. With `[store.postgres]` only.
    pub pgbackrest: Option<PgBackRestSettings>,
}

/// pgBackRest, run on this host as the command's user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgBackRestSettings {
    /// The program: `/usr/bin/pgbackrest`.
    #[schemars(with = "String")]
    pub command: RelativePathBuf,
    /// Its name for the cluster.
    pub stanza: String,
}

mod defaults {
    pub(super) const fn interval_s() -> u32 {
        86_400
    }

    pub(super) const fn backups_kept_max() -> u32 {
        35
    }
}

impl BackupSettings {
    /// What the types alone do not say.
    pub(super) fn check(
        &self,
        store: &StoreSettings,
        environment: Environment,
    ) -> Result<(), Refused> {
        let refuse = |why: &str| Err(Refused::Inconsistent(why.to_owned()));
        let seals = self.recipient_file.is_some() || !self.places.is_empty();
        match store {
            StoreSettings::Postgres(_) if seals || self.pgbackrest.is_none() => {
                return refuse(
                    "[backup] of PostgreSQL is [backup.pgbackrest]; recipient_file and places are \
                     of [store.sqlite]",
                );
            }
            StoreSettings::Postgres(_) => return Ok(()),
            StoreSettings::Sqlite { .. }
                if self.recipient_file.is_none() || self.pgbackrest.is_some() =>
            {
                return refuse(
                    "[backup] of [store.sqlite] needs recipient_file, which `cloakroom backup keys` \
                     makes, and has no pgbackrest",
                );
            }
            StoreSettings::Sqlite { .. } => {}
        }
        let places: BTreeSet<_> = self.places.iter().map(RelativePathBuf::relative).collect();
        if places.len() < PLACES_MIN || places.len() < self.places.len() {
            return refuse("backup.places names two different directories at least");
        }
        if self.backups_kept_max < KEPT_MIN {
            return refuse("backup.backups_kept_max is at least 2");
        }
        let interval_s_min = match environment {
            Environment::Live => LIVE_INTERVAL_S_MIN,
            Environment::Test => 1,
        };
        if self.interval_s < interval_s_min {
            return refuse("backup.interval_s is at least 900, and 1 in the test environment");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const INTERNAL: &str = r#"
environment = "test"
node = "a"
[internal]
listen = "127.0.0.1:0"
return_url = "https://cards.example"
certificate_file = "a.pem"
private_key_file = "a.key"
client_ca_file = "ca.pem"
[store.sqlite]
path = "a.db"
[keys]
kek_public_file = "kek-public.json"
session_verify_key_file = "session-verify.key"
fingerprint_key_file = "fingerprint.key"
[accounts.default.processor.stripe]
"#;
    const AUDIT: &str = "[audit]\ncheckpoint_key_file = \"a\"\ncheckpoint_vkey_file = \"b\"\n\
                         [[audit.sinks]]\nfile = \"c\"\n";
    const BACKUP: &str = "[backup]\nrecipient_file = \"r\"\nplaces = [\"one\", \"two\"]\n";

    fn refusal(parts: &[&str]) -> Option<String> {
        let parsed = Config::parse(&parts.concat());
        parsed.err().map(|refused| refused.to_string())
    }

    #[test]
    fn backups_go_to_two_places_and_are_signed() {
        assert_eq!(refusal(&[INTERNAL, AUDIT, BACKUP]), None);
        let refused = |backup: &str| refusal(&[INTERNAL, AUDIT, backup]).unwrap_or_default();
        assert!(refused(&BACKUP.replace("\"two\"", "\"one\"")).contains("two different"));
        assert!(refused(&BACKUP.replace(", \"two\"", "")).contains("two different"));
        let once = [BACKUP, "backups_kept_max = 1\n"].concat();
        assert!(refused(&once).contains("at least 2"));
        assert!(refused(&[BACKUP, "interval_s = 0\n"].concat()).contains("interval_s"));
        let unsigned = refusal(&[INTERNAL, BACKUP]).unwrap();
        assert!(unsigned.contains("[backup] needs [audit]"), "{unsigned}");
        let postgres = INTERNAL.replace(
            "[store.sqlite]\npath = \"a.db\"",
            "[store.postgres]\nhosts = [\"h\"]\ndatabase = \"d\"\nuser = \"u\"",
        );
        let elsewhere = refusal(&[&postgres, AUDIT, BACKUP]).unwrap();
        assert!(elsewhere.contains("[store.sqlite]"), "{elsewhere}");
        let table = "[backup.pgbackrest]\ncommand = \"/usr/bin/pgbackrest\"\nstanza = \"c\"\n";
        assert_eq!(refusal(&[&postgres, table]), None);
        assert!(
            refusal(&[INTERNAL, AUDIT, table])
                .unwrap()
                .contains("needs recipient_file")
        );
        let capture = INTERNAL
            .replace("[internal]", "[capture]")
            .replace("return_url", "public_url")
            .replace("client_ca_file = \"ca.pem\"\n", "");
        let capture = refusal(&[&capture, BACKUP]).unwrap();
        assert!(capture.contains("without [internal]"), "{capture}");
    }
}
