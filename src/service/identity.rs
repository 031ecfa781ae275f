//! What a process serves by: digests of its configuration, for the event of its start. Who may do
//! what is in no row, so a changed scope would otherwise be in no log (PCI DSS 10.2.1.5).

use aws_lc_rs::digest;

use crate::config::{ClientSettings, Config};
use crate::seal::hex;

/// The subject of `process.started`.
pub(super) fn of(config: &Config) -> String {
    format!(
        "clients {} sha256:{}, configuration sha256:{}",
        config.clients.len(),
        sha256(&clients(&config.clients)),
        // It names files of secrets and holds none.
        sha256(&format!("{config:?}")),
    )
}

/// Who may do what, a line each, in whatever order the file has them.
fn clients(clients: &[ClientSettings]) -> String {
    let line = |client: &ClientSettings| {
        let scopes: Vec<&str> = client.scopes.iter().map(|scope| scope.name()).collect();
        format!("{} {} {}\n", client.san, client.account, scopes.join(","))
    };
    let mut lines: Vec<String> = clients.iter().map(line).collect();
    lines.sort();
    lines.concat()
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Account;
    use crate::vault::grant::ScopeName;

    fn client(san: &str, scopes: &[ScopeName]) -> ClientSettings {
        ClientSettings {
            san: san.to_owned(),
            account: Account::try_from("default".to_owned()).unwrap(),
            scopes: scopes.iter().copied().collect(),
        }
    }

    #[test]
    fn one_scope_more_is_another_digest_and_another_order_is_not() {
        let (one, two) = ("spiffe://shop.example/one", "spiffe://shop.example/two");
        let read = [ScopeName::TokensRead];
        let digest = |of: &[ClientSettings]| sha256(&clients(of));
        let now = digest(&[client(one, &read), client(two, &read)]);
        assert_eq!(now, digest(&[client(two, &read), client(one, &read)]));
        let more = [ScopeName::TokensRead, ScopeName::ChargesCreate];
        assert_ne!(now, digest(&[client(one, &more), client(two, &read)]));
        assert_ne!(now, digest(&[client(one, &read)]));
        assert_eq!(now.len(), 64);
    }
}
