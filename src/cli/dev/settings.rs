//! The files of `cloakroom dev`: secrets that are made once, and the configuration, which is
//! written anew at each start because it names the ports.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::super::keys::names;
use super::super::{Failure, exit};
use super::{Ports, certificates};
use crate::seal::file;

const CHECKPOINTS: &str = "audit-checkpoints.jsonl";
/// A copy beside the other is lost with it; it shows how a second place is named.
const CHECKPOINTS_TOO: &str = "audit-checkpoints-too.jsonl";
pub(super) const PASSPHRASE: &str = "kek-passphrase";
pub(super) const STRIPE_CAPTURE_KEY: &str = "stripe-capture.key";
pub(super) const STRIPE_INTERNAL_KEY: &str = "stripe-internal.key";
/// What the sandbox remembers; without it, it begins anew.
pub(super) const SANDBOX_FILE: &str = "sandbox.jsonl";
pub(super) const STRIPE_WEBHOOK_SECRET: &str = "stripe-webhook.secret";
const CONFIG: &str = "cloakroom.toml";
const SANDBOX_LIMITS: &str = r"# The sandbox is on this machine and takes what it gets; Stripe takes 25 requests a second in test
# mode, which the defaults respect.
capture_requests_per_s_max = 100_000
internal_requests_per_s_max = 100_000
endpoint_requests_per_s_max = 100_000
requests_in_flight_max = 16_384
waiting_requests_max = 16_384
breaker_failures_in_a_row_max = 100
breaker_open_ms = 1_000";

/// Makes the passphrase and the sandbox's keys, where they are not there yet.
pub(super) fn ensure_secrets(dir: &Path) -> Result<(), Failure> {
    for (name, prefix) in [
        (PASSPHRASE, ""),
        (STRIPE_CAPTURE_KEY, "rk_test_"),
        (STRIPE_INTERNAL_KEY, "sk_test_"),
        (STRIPE_WEBHOOK_SECRET, "whsec_"),
    ] {
        let path = dir.join(name);
        if !path.exists() {
            let mut random = [0_u8; 16];
            crate::random::fill(&mut random);
            let mut text = prefix.to_owned();
            for byte in random {
                // Writing to a String cannot fail.
                let _infallible = write!(text, "{byte:02x}");
            }
            file::write_private(&path, text.as_bytes())
                .map_err(|error| Failure::new(exit::CANT_CREATE, error))?;
        }
    }
    Ok(())
}

/// Reads a secret that [`ensure_secrets`] made.
pub(super) fn read_secret(dir: &Path, name: &str) -> Result<Zeroizing<String>, Failure> {
    let bytes =
        file::read_private(&dir.join(name)).map_err(|error| Failure::new(exit::CONFIG, error))?;
    Ok(Zeroizing::new(
        String::from_utf8_lossy(&bytes).trim().to_owned(),
    ))
}

/// Who may do what in development.
const CLIENTS: &str = r#"[[clients]]
san = "spiffe://cloakroom.dev/checkout"
account = "default"
scopes = ["sessions:create", "tokens:attach"]

[[clients]]
san = "spiffe://cloakroom.dev/billing"
account = "default"
scopes = ["tokens:read", "charges:create", "charges:read", "refunds:create", "events:read"]

[[clients]]
san = "spiffe://cloakroom.dev/admin"
account = "default"
scopes = ["tokens:read", "tokens:delete", "charges:read", "events:read", "reports:read", "status:read"]
"#;

/// The section of the store: what the file says, or the embedded database.
pub(super) fn store(file: Option<&Path>) -> Result<String, Failure> {
    let Some(file) = file else {
        return Ok("[store.sqlite]\npath = \"cloakroom.db\"".to_owned());
    };
    std::fs::read_to_string(file)
        .map_err(|error| Failure::new(exit::CONFIG, format_args!("{}: {error}", file.display())))
}

/// The section of the keys that `keys init` makes.
fn keys() -> String {
    format!(
        r#"[keys]
kek_public_file = "{kek_public}"
kek_private_file = "{kek_private}"
kek_passphrase_file = "{PASSPHRASE}"
session_verify_key_file = "{verify}"
fingerprint_key_file = "{fingerprint}"
session_issue_key_file = "{issue}"
order_key_file = "{order}"
receipt_key_file = "{receipt}"
manifest_key_file = "{manifest}"
manifest_public_key_file = "{manifest_public}""#,
        kek_public = names::KEK_PUBLIC,
        kek_private = names::KEK_PRIVATE,
        verify = names::SESSION_VERIFY,
        fingerprint = names::FINGERPRINT,
        issue = names::SESSION_ISSUE,
        order = names::ORDER,
        receipt = names::RECEIPT,
        manifest = names::MANIFEST,
        manifest_public = names::MANIFEST_PUBLIC,
    )
}

/// Writes the configuration and answers its path.
pub(super) fn write(
    dir: &Path,
    ports: Ports,
    processor: &str,
    store: &str,
) -> Result<PathBuf, Failure> {
    #[rustfmt::skip]
    let Ports { capture, internal, ops, .. } = ports;
    let text = format!(
        r#"# Written by `cloakroom dev` at each start. For development only.
# Every key is documented in docs/configuration.md; paths are relative to this file.
environment = "test"
node = "dev"

[capture]
listen = "127.0.0.1:{capture}"
public_url = "https://localhost:{capture}"
certificate_file = "{server_pem}"
private_key_file = "{server_key}"

[internal]
listen = "127.0.0.1:{internal}"
return_url = "https://localhost:{capture}"
certificate_file = "{server_pem}"
private_key_file = "{server_key}"
client_ca_file = "{ca}"

[ops]
listen = "127.0.0.1:{ops}"
certificate_file = "{server_pem}"
private_key_file = "{server_key}"

[limits]
drain_s = 0

{store}

{keys}

[audit]
checkpoint_key_file = "{checkpoint}"
checkpoint_vkey_file = "{checkpoint_public}"
checkpoint_interval_s = 1

[[audit.sinks]]
file = "{CHECKPOINTS}"

[[audit.sinks]]
file = "{CHECKPOINTS_TOO}"

[watch]
mode = "observe" # test cards are declined on purpose, and all come from one address

[accounts.default.processor.stripe]
base_url = "{processor}"
ca_file = "{ca}"
capture_key_file = "{STRIPE_CAPTURE_KEY}"
internal_key_file = "{STRIPE_INTERNAL_KEY}"
webhook_secret_files = ["{STRIPE_WEBHOOK_SECRET}"]
{SANDBOX_LIMITS}

{CLIENTS}"#,
        server_pem = certificates::SERVER_PEM,
        server_key = certificates::SERVER_KEY,
        ca = certificates::CA_PEM,
        keys = keys(),
        checkpoint = names::CHECKPOINT,
        checkpoint_public = names::CHECKPOINT_PUBLIC,
    );
    let path = dir.join(CONFIG);
    std::fs::write(&path, text).map_err(|error| Failure::new(exit::CANT_CREATE, error))?;
    Ok(path)
}
