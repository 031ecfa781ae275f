//! What `cloakroom dev` says to a newcomer.

use std::fmt::Write as _;
use std::path::Path;

use super::Ports;
use crate::sandbox::TEST_CARDS;

/// Addresses and files, for scripts and tests.
pub(super) fn machine(dir: &Path, ports: Ports, processor: &str) -> String {
    serde_json::json!({
        "dir": dir,
        "capture": format!("https://localhost:{}", ports.capture),
        "internal": format!("https://localhost:{}", ports.internal),
        "ops": format!("https://localhost:{}", ports.ops),
        "sandbox": processor.trim_end_matches('/'),
        "shop": format!("https://localhost:{}", ports.shop),
        "config": dir.join("cloakroom.toml"),
    })
    .to_string()
}

/// The greeting: where everything is, lines to paste, cards to try.
pub(super) fn human(dir: &Path, ports: Ports, processor: &str) -> String {
    let Ports {
        capture,
        internal,
        ops,
        shop,
        ..
    } = ports;
    let (dir, shown) = (quoted(dir), dir.display());
    let mut text = format!(
        r#"
Cloakroom is serving the test environment. Everything is in {shown}; stop it with Ctrl-C.

  demo shop       https://localhost:{shop}      (trust {shown}/ca.pem, or accept the warning)
  capture plane   https://localhost:{capture}      browsers: POST /v1/tokens
  internal plane  https://localhost:{internal}      client certificate: sessions, tokens, charges
  ops plane       https://localhost:{ops}      /livez /readyz /metrics
  sandbox         {processor}     Stripe's wire form, no network needed

Paste these lines into another terminal, in this directory:

# 1. A session: the merchant's backend asks for the right to take one card.
SECRET=$(curl -sS --cacert {dir}/ca.pem --cert {dir}/client-checkout.pem --key {dir}/client-checkout.key \
  https://localhost:{internal}/v1/capture_sessions -H 'Content-Type: application/json' \
  -d '{{"customer_ref":"customer-1"}}' | sed 's/.*"client_secret":"\([^"]*\)".*/\1/')

# 2. A token: the card goes in, a ticket comes out.
TOKEN=$(curl -sS --cacert {dir}/ca.pem https://localhost:{capture}/v1/tokens \
  -H "Authorization: Bearer $SECRET" -H 'Content-Type: application/json' \
  -d '{{"card":{{"number":"4242 4242 4242 4242","exp_month":12,"exp_year":2034,"cvc":"123"}}}}' \
  | sed 's/^{{"id":"\([^"]*\)".*/\1/'); echo "$TOKEN"

# 3. A charge: 12.50 EUR, once for each Idempotency-Key, however often it is sent.
curl -sS --cacert {dir}/ca.pem --cert {dir}/client-billing.pem --key {dir}/client-billing.key \
  https://localhost:{internal}/v1/charges -H 'Content-Type: application/json' \
  -H "Idempotency-Key: order-$TOKEN" \
  -d "{{\"token\":\"$TOKEN\",\"amount\":1250,\"currency\":\"eur\"}}"; echo

Test cards, with any CVC and any expiry to come:
"#
    );
    for (number, what) in TEST_CARDS {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "  {number:<20} {what}");
    }
    text
}

/// A path as one word of a shell's line, whatever is in it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if path.bytes().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}
