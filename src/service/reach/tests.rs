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
    // Of an earlier version; its neighbours are nobody's business.
    std::fs::create_dir(dir.join("kek")).unwrap();
    for name in ["kek_1.json", "manifest.key"] {
        std::fs::write(dir.join("kek").join(name), "").unwrap();
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
    let names = "tls archive authorities lists hsm kek/kek-private.json kek/keks kek/kek_1.json keys/password keys/kek-public.json \
                 keys/verify keys/fingerprint keys/stripe keys/hook keys/mail keys/pager";
    let names = names.split_whitespace();
    let mut expected: BTreeSet<_> = names.map(|name| dir.join(name)).collect();
    expected.insert("/run/postgresql".into());
    assert_eq!(own, expected);
    // The database's; and no module is loaded.
    assert_eq!((reach.unix_sockets, reach.modules), (true, false));
}

#[test]
fn the_manifest_key_in_a_directory_that_a_live_process_reads_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let file = dir.join("cloakroom.toml");
    let audit = "[audit]\ncheckpoint_key_file = \"keys/checkpoint\"\n\
                 checkpoint_vkey_file = \"keys/vkey\"\n[[audit.sinks]]\nfile = \"sinks/one\"\n\
                 [[audit.sinks]]\nfile = \"sinks/two\"\n[process]\n";
    let live = CONFIG
        .replace("environment = \"test\"", "environment = \"live\"")
        .replace("[process]\n", audit);
    let refused = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let config = Config::read(&file).unwrap();
        let refused = refuse_manifest_key(&config, &reach(&config).unwrap());
        refused.map_err(|refused| refused.to_string())
    };
    for below in ["kek", "kek/keks", "keys", "tls", "elsewhere"] {
        std::fs::create_dir(dir.join(below)).unwrap();
    }
    // Beside single files it is kept from the process; in a directory of renewed ones it is not.
    for (place, is_within) in [
        ("keys/manifest.key", false),
        ("kek/manifest.key", false),
        ("kek/keks/manifest.key", true),
        ("tls/manifest.key", true),
    ] {
        std::fs::write(dir.join(place), "").unwrap();
        let outcome = refused(&live);
        assert_eq!(outcome.is_err(), is_within, "{place}");
        if let Err(why) = outcome {
            assert!(why.contains(place), "{why}");
        }
        assert_eq!(refused(CONFIG), Ok(()), "in the test environment it is not");
        std::fs::remove_file(dir.join(place)).unwrap();
    }
    // By whatever name it goes, and wherever a link leads.
    std::fs::write(dir.join("tls/signs.key"), "").unwrap();
    std::os::unix::fs::symlink("../tls/signs.key", dir.join("elsewhere/link")).unwrap();
    for name in ["tls/signs.key", "elsewhere/link"] {
        let named = live.replace(
            "[keys]\n",
            &format!("[keys]\nmanifest_key_file = \"{name}\"\n"),
        );
        assert!(refused(&named).unwrap_err().contains(name));
    }
}
