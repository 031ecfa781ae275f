//! What a process of a configuration still needs once it serves: everything else is given up.
//!
//! The structures are taken apart field by field, so that a new key that names a file, a directory
//! or a server does not compile until it is decided here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use figment::value::magic::RelativePathBuf;
use url::Url;

use crate::config::{
    AccountSettings, AlertSettings, AlertWebhookSettings, AuditSettings, AwsKmsSettings,
    BackupSettings, CapturePlane, Config, InternalPlane, KeyFiles, MailSettings, OpsPlane,
    Pkcs11Settings, ProcessorSettings, SinkSettings, StoreSettings, StripeSettings,
};
use crate::confinement::Reach;
use crate::directory;
use crate::store::Host;

use super::Refused;
use super::key_maker::{further_keys, keys_beside};

pub use manifest_key::refuse_manifest_key;

/// What the C library's resolver reads, where the machine's trust anchors are, and the C library's
/// own modules. What is not there is left out.
const OF_THE_MACHINE: &[&str] = &[
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/proc/self",
];
/// DNS, over TCP only: `net::names`.
const DNS_PORT: u16 = 53;
const HTTPS_PORT: u16 = 443;

/// What the service of a configuration needs.
///
/// # Errors
/// [`Refused::Store`] where a database server is none.
pub fn reach(config: &Config) -> Result<Reach, Refused> {
    let mut needs = Needs::default();
    needs.read.extend(OF_THE_MACHINE.iter().map(PathBuf::from));
    needs.ports.insert(DNS_PORT);
    if let Some(plane) = &config.capture {
        needs.capture(plane);
    }
    if let Some(plane) = &config.internal {
        needs.internal(plane);
    }
    if let Some(plane) = &config.ops {
        needs.ops(plane);
    }
    needs.store(&config.store)?;
    needs.keys(&config.keys);
    for AccountSettings {
        processor: ProcessorSettings::Stripe(stripe),
    } in config.accounts.values()
    {
        needs.stripe(stripe);
    }
    for listener in &config.webhooks {
        needs.url(&listener.url);
        needs.files(&listener.secret_files);
        needs.renewed(listener.ca_file.as_ref());
    }
    if let Some(audit) = &config.audit {
        needs.audit(audit);
    }
    if let Some(backup) = &config.backup {
        needs.backup(backup);
    }
    needs.alerts(&config.alerts);
    needs.files(&config.process.read_also);
    let written = config.process.write_also.iter();
    needs.write.extend(written.map(RelativePathBuf::relative));
    needs.ports.extend(&config.process.connect_ports_also);
    Ok(Reach {
        read: needs.read,
        write: needs.write,
        connect_ports: Some(needs.ports),
        unix_sockets: needs.unix_sockets,
        modules: needs.modules,
    })
}

#[derive(Default)]
struct Needs {
    read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
    ports: BTreeSet<u16>,
    unix_sockets: bool,
    modules: bool,
}

impl Needs {
    /// Files that are read once, at the start.
    fn files<'a>(&mut self, files: impl IntoIterator<Item = &'a RelativePathBuf>) {
        let paths = files.into_iter().map(RelativePathBuf::relative);
        self.read.extend(paths);
    }

    /// Files that are read again when they have changed: whoever replaces one puts a new file in
    /// its directory, or sets a link to another directory.
    fn renewed<'a>(&mut self, files: impl IntoIterator<Item = &'a RelativePathBuf>) {
        for file in files {
            let file = file.relative();
            let led_to = file.canonicalize().ok();
            let directories = [Some(file), led_to];
            for file in directories.iter().flatten() {
                self.read.insert(directory::of(file).to_owned());
            }
        }
    }

    fn audit(&mut self, audit: &AuditSettings) {
        let AuditSettings {
            checkpoint_key_file,
            checkpoint_vkey_file,
            checkpoint_interval_s: _,
            sink_outage_s_max: _,
            verification_interval_s: _,
            sinks,
        } = audit;
        self.files(checkpoint_key_file);
        self.files(checkpoint_vkey_file);
        for sink in sinks {
            let SinkSettings {
                file,
                syslog_socket,
                url,
                ca_file,
            } = sink;
            if let Some(file) = file {
                self.write
                    .insert(directory::of(&file.relative()).to_owned());
            }
            self.files(syslog_socket);
            self.unix_sockets |= syslog_socket.is_some();
            if let Some(url) = url {
                self.url(url);
            }
            self.files(ca_file);
        }
    }

    fn backup(&mut self, backup: &BackupSettings) {
        let BackupSettings {
            recipient_file,
            places,
            interval_s: _,
            backups_kept_max: _,
            // `backup status` runs it, and the service does not.
            pgbackrest: _,
        } = backup;
        self.files(recipient_file);
        let places = places.iter().map(RelativePathBuf::relative);
        self.write.extend(places);
    }

    fn url(&mut self, url: &Url) {
        self.ports
            .insert(url.port_or_known_default().unwrap_or(HTTPS_PORT));
    }

    fn capture(&mut self, plane: &CapturePlane) {
        let CapturePlane {
            listen: _,
            public_url: _,
            security_contacts: _,
            certificate_file,
            private_key_file,
        } = plane;
        self.renewed([certificate_file, private_key_file]);
    }

    fn internal(&mut self, plane: &InternalPlane) {
        let InternalPlane {
            listen: _,
            return_url: _,
            certificate_file,
            private_key_file,
            client_ca_file,
            client_crl_files,
            revoked_clients_file,
        } = plane;
        self.renewed([certificate_file, private_key_file, client_ca_file]);
        self.renewed(client_crl_files);
        self.renewed(revoked_clients_file);
    }

    fn ops(&mut self, plane: &OpsPlane) {
        let OpsPlane {
            listen: _,
            certificate_file,
            private_key_file,
        } = plane;
        self.renewed([certificate_file, private_key_file]);
    }

    fn store(&mut self, store: &StoreSettings) -> Result<(), Refused> {
        match store {
            StoreSettings::Sqlite { path } => {
                // The write-ahead log stands beside the database.
                self.write
                    .insert(directory::of(&path.relative()).to_owned());
            }
            StoreSettings::Postgres(postgres) => {
                let hosts = postgres.hosts();
                for host in hosts.map_err(|refused| Refused::Store(refused.to_string()))? {
                    match host {
                        Host::Tcp { port, .. } => {
                            self.ports.insert(port);
                        }
                        Host::Socket { directory, .. } => {
                            self.read.insert(directory);
                            self.unix_sockets = true;
                        }
                    }
                }
                self.files(&postgres.password_file);
                self.renewed(&postgres.ca_file);
            }
        }
        Ok(())
    }

    fn keys(&mut self, keys: &KeyFiles) {
        let KeyFiles {
            kek_public_file,
            kek_private_file,
            kek_passphrase_file,
            pkcs11,
            aws_kms,
            session_verify_key_file,
            fingerprint_key_file,
            fingerprint_key_also_file,
            session_issue_key_file,
            order_key_file,
            previous_order_key_file,
            receipt_key_file,
            manifest_key_file: _,
            manifest_public_key_file,
            kek_age_days_max: _,
            unseal_window_s_max: _,
            data_key_age_s_max: _,
            data_key_seals_max: _,
        } = keys;
        self.files([session_verify_key_file, fingerprint_key_file]);
        self.files(fingerprint_key_also_file);
        self.files(kek_public_file);
        self.files(kek_private_file);
        if let Some(file) = kek_private_file {
            // A further KEK is put there while the service runs; not into the directory above,
            // where the manifest key may stand.
            let file = file.relative();
            self.read.extend(keys_beside(&file));
            self.read.insert(further_keys(&file));
        }
        self.files(manifest_public_key_file);
        self.files(kek_passphrase_file);
        self.files(order_key_file.iter().chain(previous_order_key_file));
        self.files(session_issue_key_file.iter().chain(receipt_key_file));
        if let Some(Pkcs11Settings {
            module_file,
            token_label: _,
            pin_file,
        }) = pkcs11
        {
            self.files([module_file, pin_file]);
            self.modules = true;
            // Many speak to a daemon of their own.
            self.unix_sockets = true;
        }
        if let Some(AwsKmsSettings {
            key_arn: _,
            region: _,
            endpoint_url,
            ca_file,
            credentials_file,
            request_timeout_ms: _,
        }) = aws_kms
        {
            let port = endpoint_url.as_ref().and_then(Url::port);
            self.ports.insert(port.unwrap_or(HTTPS_PORT));
            self.renewed(ca_file);
            self.renewed([credentials_file]);
        }
    }

    fn alerts(&mut self, alerts: &AlertSettings) {
        let AlertSettings {
            window_s: _,
            webhooks,
            mail,
        } = alerts;
        for AlertWebhookSettings {
            name: _,
            url,
            secret_files,
            allow_private_addresses: _,
            ca_file,
            request_timeout_ms: _,
            connect_timeout_ms: _,
        } in webhooks
        {
            self.url(url);
            self.files(secret_files);
            self.renewed(ca_file);
        }
        if let Some(MailSettings {
            host: _,
            port,
            security: _,
            user: _,
            password_file,
            ca_file,
            from: _,
            to: _,
            timeout_ms: _,
        }) = mail
        {
            self.ports.insert(*port);
            self.files(password_file);
            self.files(ca_file);
        }
    }

    fn stripe(&mut self, stripe: &StripeSettings) {
        self.url(&stripe.base_url);
        self.files(&stripe.capture_key_file);
        self.files(&stripe.internal_key_file);
        self.files(&stripe.webhook_secret_files);
        self.renewed(&stripe.ca_file);
    }
}

mod manifest_key;
#[cfg(test)]
mod tests;
