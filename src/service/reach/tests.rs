use super::*;

const CONFIG: &str = r#"
environment = "test"
node = "n"
[internal]
listen = "127.0.0.1:0"
return_url = "https://cards.example"
certificate_file = "tls/internal.pem"
private_key_file = "tls/internal.key"
client_ca_file = "authorities/clients.pem"
revoked_clients_file = "lists/revoked"
[store.postgres]
hosts = ["db.example:6000", "/run/postgresql"]
database = "d"
user = "u"
password_file = "keys/password"
[keys]
kek_public_file = "keys/kek-public.json"
kek_private_file = "kek/kek-private.json"
session_verify_key_file = "keys/verify"
fingerprint_key_file = "keys/fingerprint"
[accounts.default.processor.stripe]
base_url = "https://stripe.example:7000"
internal_key_file = "keys/stripe"
[[webhooks]]
name = "shop"
account = "default"
url = "https://shop.example:9000/hook"
secret_files = ["keys/hook"]
[alerts.mail]
host = "mail.example"
port = 587
security = "starttls"
user = "cloakroom"
password_file = "keys/mail"
from = "alerts@shop.example"
to = ["ops@shop.example"]
[[alerts.webhooks]]
name = "pager"
url = "https://pager.example:9001/hook"
secret_files = ["keys/pager"]
[process]
read_also = ["hsm"]
write_also = ["hsm/tokens"]
connect_ports_also = [8000]
"#;

#[test]
fn what_the_configuration_names_is_within_reach_and_its_surroundings_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    for below in ["tls", "archive"] {
        std::fs::create_dir(dir.join(below)).unwrap();
    }
    // Renewed by setting a link to another directory.
    std::fs::write(dir.join("archive/one.pem"), "").unwrap();
    std::os::unix::fs::symlink("../archive/one.pem", dir.join("tls/internal.pem")).unwrap();
    let file = dir.join("cloakroom.toml");
    std::fs::write(&file, CONFIG).unwrap();
    let reach = reach(&Config::read(&file).unwrap()).unwrap();

    let ports = [53, 587, 6_000, 7_000, 8_000, 9_000, 9_001];
    assert_eq!(reach.connect_ports, Some(BTreeSet::from(ports)));
    assert_eq!(reach.write, BTreeSet::from([dir.join("hsm/tokens")]));
    let of_the_machine: BTreeSet<_> = OF_THE_MACHINE.iter().map(PathBuf::from).collect();
    let own: BTreeSet<_> = reach.read.difference(&of_the_machine).cloned().collect();
    let names = "tls archive authorities lists hsm kek keys/password keys/kek-public.json \
                 keys/verify keys/fingerprint keys/stripe keys/hook keys/mail keys/pager";
    let names = names.split_whitespace();
    let mut expected: BTreeSet<_> = names.map(|name| dir.join(name)).collect();
    expected.insert("/run/postgresql".into());
    assert_eq!(own, expected);
    // The database's; and no module is loaded.
    assert_eq!((reach.unix_sockets, reach.modules), (true, false));
}
