//! Custodians, as they work: their commands, their certificates, a service that starts sealed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloakroom::seal::custody::{CustodianKey, ShareFile};
use hyper::Method;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

use crate::cli::run;
use crate::support::{Answer, App, VISA, Who, answered, card, client, eventually, read, request};

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

/// A key of three custodians, of whom two open it, and a service that waits for them.
struct Custody {
    app: App,
    served: Child,
}

impl Drop for Custody {
    fn drop(&mut self) {
        // It may have ended; the app's own end looks through what it has left.
        let _killed = self.served.kill();
        let _ended = self.served.wait();
    }
}

impl Custody {
    async fn start() -> Self {
        Self::start_with("").await
    }

    /// With further lines for `[keys]`.
    async fn start_with(keys: &str) -> Self {
        let app = App::start();
        for name in ["people", "held"] {
            fs::create_dir(app.path(name)).unwrap();
        }
        make_people(&app);
        let ceremony = init(&app, &app.path("held"), &PEOPLE, 2);
        assert!(ceremony.status.success(), "{ceremony:?}");
        make_certificates(&app);
        configure(&app, "held", keys);
        let config = app.path("sealed.toml");
        let migrated = run(&["migrate", "--config", config.to_str().unwrap()]);
        assert!(migrated.status.success(), "{migrated:?}");
        let served = serve(&app);
        let mut this = Self { app, served };
        this.find().await;
        this
    }

    /// Stops the service and starts it again.
    async fn restart(&mut self) {
        self.served.kill().unwrap();
        self.served.wait().unwrap();
        fs::remove_file(self.app.path("served.log")).unwrap();
        self.served = serve(&self.app);
        self.find().await;
    }

    /// Waits for the service, and has the app's calls go to it.
    async fn find(&mut self) {
        let log = self.app.path("served.log");
        let serving = answered(async || {
            let log = fs::read_to_string(&log).ok()?;
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            lines
                .into_iter()
                .find(|line: &Value| line["message"] == "serving")
        })
        .await;
        let at = |plane: &str| {
            let address = serving[plane].as_str().unwrap();
            format!("https://localhost:{}", address.rsplit(':').next().unwrap())
        };
        self.app.at.capture = at("capture");
        self.app.at.internal = at("internal");
        self.app.at.ops = at("ops");
    }

    /// `keys unseal`, as a custodian runs it; the share may be somebody else's.
    fn unseal(&self, person: &str, held: &str) -> std::process::Output {
        let path = |name: String| self.app.path(&name).to_str().unwrap().to_owned();
        run(&[
            "keys",
            "unseal",
            "--url",
            &self.app.at.internal,
            "--ca",
            &path("ca.pem".to_owned()),
            "--cert",
            &path(format!("people/{person}/client-admin.pem")),
            "--key",
            &path(format!("people/{person}/client-admin.key")),
            "--share",
            &path(format!("{held}/share-{person}.json")),
            "--custodian-key",
            &path(format!("people/{person}.private.json")),
            "--passphrase-file",
            &path(format!("people/{person}.secret")),
        ])
    }

    /// A share as it goes over the wire.
    fn share(&self, person: &str, held: &str) -> Value {
        let passphrase = passphrase(person);
        let key = self.app.path(&format!("people/{person}.private.json"));
        let key = CustodianKey::read(&key, passphrase.as_bytes()).unwrap();
        let path = self.app.path(&format!("{held}/share-{person}.json"));
        let (file, _) = ShareFile::read(&path).unwrap();
        let share = file.open(&key).unwrap();
        json!({
            "kek": file.kek(),
            "ceremony": file.ceremony().as_str(),
            "share": STANDARD.encode(share.expose()),
        })
    }

    /// Posts a share under a person's certificate.
    async fn give(&self, person: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let url = format!("{}/v1/keys/unseal", self.app.at.internal);
        let request = request(Method::POST, &url, headers, body.to_string());
        let client = client(&self.app.path(&format!("people/{person}")), Who::Admin);
        let answer = read(&client, request).await.unwrap();
        self.app.note_said(&answer.body);
        answer
    }

    async fn status(&self) -> Value {
        let url = format!("{}/v1/keys/seal_status", self.app.at.internal);
        let client = client(&self.app.path("people/carol"), Who::Admin);
        let ask = request(Method::GET, &url, &[], String::new());
        read(&client, ask).await.unwrap().json()
    }

    /// The canary's line of readiness, and the status of the whole.
    async fn readiness(&self) -> (u16, Value) {
        let url = format!("{}/readyz", self.app.at.ops);
        let answer = self.app.get(Who::Nobody, &url).await;
        let checks = answer.json()["checks"].as_array().unwrap().clone();
        let canary = checks.into_iter().find(|line| line["name"] == "key_canary");
        (answer.status, canary.unwrap())
    }

    /// Outcomes and actors of an act in the audit log, in their order.
    async fn audited(&self, action: &str) -> Vec<(String, String, String)> {
        let mut database = SqliteConnectOptions::new()
            .filename(self.app.path("sealed.db"))
            .connect()
            .await
            .unwrap();
        sqlx::query(
            "SELECT outcome, actor, subject FROM audit_events WHERE action = $1 ORDER BY id",
        )
        .bind(action)
        .fetch_all(&mut database)
        .await
        .unwrap()
        .iter()
        .map(|row| {
            let text = |n: usize| row.get::<Option<String>, _>(n).unwrap_or_default();
            (text(0), text(1), text(2))
        })
        .collect()
    }
}

fn passphrase(person: &str) -> String {
    format!("{person} has a long passphrase")
}

fn make_people(app: &App) {
    let people = app.path("people");
    for person in PEOPLE {
        let secret = people.join(format!("{person}.secret"));
        write_private(&secret, passphrase(person).as_bytes());
        let made = run(&[
            "keys",
            "custodian",
            "--name",
            person,
            "--out",
            people.to_str().unwrap(),
            "--passphrase-file",
            secret.to_str().unwrap(),
        ]);
        assert!(made.status.success(), "{made:?}");
        assert!(String::from_utf8_lossy(&made.stdout).contains("cust_"));
    }
}

fn public(app: &App, person: &str) -> String {
    let path = app.path(&format!("people/{person}.public.json"));
    path.to_str().unwrap().to_owned()
}

fn init(app: &App, dir: &Path, people: &[&str], threshold: u8) -> std::process::Output {
    let (shares, threshold) = (people.len().to_string(), threshold.to_string());
    let mut arguments = vec!["keys", "init", "--environment", "test", "--dir"];
    arguments.extend([dir.to_str().unwrap(), "--witness", "Erin"]);
    arguments.extend(["--shares", &shares, "--threshold", &threshold]);
    let files: Vec<String> = people.iter().map(|person| public(app, person)).collect();
    for file in &files {
        arguments.extend(["--custodian", file]);
    }
    run(&arguments)
}

fn write_private(path: &Path, bytes: &[u8]) {
    cloakroom::seal::file::write_private(path, bytes).unwrap();
}

/// An authority of the operator's signs a client certificate for each custodian.
fn make_certificates(app: &App) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let own = fs::read_to_string(app.path("ca.pem")).unwrap();
    fs::write(app.path("clients-ca.pem"), own.clone() + &authority).unwrap();
    for person in PEOPLE {
        let dir = app.path("people").join(person);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("ca.pem"), &own).unwrap();
        let mut params = CertificateParams::default();
        let san = format!("spiffe://cloakroom.dev/{person}");
        params.subject_alt_names = vec![SanType::URI(san.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        fs::write(dir.join("client-admin.pem"), certificate).unwrap();
        write_private(
            &dir.join("client-admin.key"),
            key.serialize_pem().as_bytes(),
        );
    }
}

/// The configuration of `dev` with the custodians' key, a database and ports of its own.
fn configure(app: &App, held: &str, keys: &str) {
    let config = fs::read_to_string(app.path("cloakroom.toml")).unwrap();
    let port = |url: &str| format!(":{}", url.rsplit(':').next().unwrap());
    let mut config = config
        .replace(&port(&app.at.capture), ":0")
        .replace(&port(&app.at.internal), ":0")
        .replace(&port(&app.at.ops), ":0")
        .replace("cloakroom.db", "sealed.db")
        .replace("audit-checkpoints", "sealed-checkpoints")
        .replace("\"kek-public", &format!("\"{held}/kek-public"))
        .replace("\"kek-private", &format!("\"{held}/kek-private"))
        .replace(
            "kek_passphrase_file = \"kek-passphrase\"",
            &format!("# further keys\n{keys}"),
        )
        .replace(
            "client_ca_file = \"ca.pem\"",
            "client_ca_file = \"clients-ca.pem\"",
        );
    for person in PEOPLE {
        let client = [
            "\n[[clients]]\nsan = \"spiffe://cloakroom.dev/",
            person,
            "\"\naccount = \"default\"\nscopes = [\"keys:unseal\", \"keys:status\"]\n",
        ];
        config.push_str(&client.concat());
    }
    fs::write(app.path("sealed.toml"), config).unwrap();
}

fn serve(app: &App) -> Child {
    let log = File::create(app.path("served.log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["serve", "--config"])
        .arg(app.path("sealed.toml"))
        .stdin(Stdio::null())
        .stderr(log.try_clone().unwrap())
        .stdout(log)
        .spawn()
        .unwrap()
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn two_of_three_custodians_open_a_sealed_service_and_capture_never_stops() {
    let mut custody = Custody::start().await;
    let app = &custody.app;

    // Sealed: cards become tokens, and nothing that opens one is begun.
    let (status, canary) = custody.readiness().await;
    assert_eq!((status, &canary["state"]), (503, &json!("failed")));
    assert_eq!(canary["detail"], "sealed: 0 of 2 shares have been given");
    let secret = app.session().await;
    let made = app.post_card(&secret, &card(VISA), &[]).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let token = made.json()["id"].as_str().unwrap().to_owned();
    let refused = app.charge(&token, "k").await;
    refused.problem(503, "sealed");
    assert!(refused.header("retry-after").is_some());
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    let ask = request(Method::DELETE, &url, &[], String::new());
    app.send(Who::Admin, ask).await.problem(503, "sealed");
    assert_eq!(app.get(Who::Billing, &url).await.status, 200);

    let config = app.path("sealed.toml");
    let checked = run(&["check", "--config", config.to_str().unwrap()]);
    assert!(
        said(&checked).contains("starts sealed: 2 of 3"),
        "{}",
        said(&checked)
    );

    // One custodian is not enough, with whatever shares; nor are two people with one share.
    let first = custody.unseal("alice", "held");
    assert!(first.status.success(), "{}", said(&first));
    assert!(
        said(&first).starts_with("taken: 1 of 2 shares"),
        "{first:?}"
    );
    let bobs = custody.share("bob", "held");
    let same_client = custody.give("alice", &bobs, &[]).await;
    let told = same_client.problem(422, "invalid_request");
    assert!(told["detail"].as_str().unwrap().contains("another person"));
    let alices = custody.share("alice", "held");
    let same_share = custody.give("bob", &alices, &[]).await;
    let told = same_share.problem(422, "invalid_request");
    assert!(told["detail"].as_str().unwrap().contains("given already"));
    let again = custody.unseal("alice", "held");
    assert_eq!(again.status.code(), Some(65), "{}", said(&again));
    let status = custody.status().await;
    assert_eq!(
        (&status["sealed"], &status["shares_given"]),
        (&json!(true), &json!(1))
    );
    assert!(status["shares_forgotten_at"].is_string());
    app.charge(&token, "k").await.problem(503, "sealed");

    // The second opens it.
    let opened = custody.unseal("carol", "held");
    assert_eq!(said(&opened), "unsealed\n");
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let (status, canary) = custody.readiness().await;
    assert_eq!((status, &canary["state"]), (200, &json!("ok")));
    let late = custody.unseal("bob", "held");
    assert!(said(&late).contains("unsealed already"), "{}", said(&late));

    // All of it is in the audit log; of shares there are only numbers, there and in the log.
    let given = custody.audited("keys.share_given").await;
    let outcomes: Vec<&str> = given.iter().map(|(outcome, ..)| outcome.as_str()).collect();
    let expected = [
        "success", "refused", "refused", "refused", "success", "refused",
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(given[0].1, "spiffe://cloakroom.dev/alice");
    assert!(given[0].2.ends_with("/1") && given[4].2.ends_with("/3"));
    let unsealed = custody.audited("keys.unsealed").await;
    assert_eq!(unsealed.len(), 1);
    assert_eq!(unsealed[0].0, "success");
    assert_eq!(unsealed[0].1, "spiffe://cloakroom.dev/carol");
    let log = fs::read_to_string(app.path("served.log")).unwrap();
    for share in [&alices, &bobs] {
        assert!(!log.contains(share["share"].as_str().unwrap()));
    }

    // Until it ends.
    custody.restart().await;
    assert_eq!(custody.status().await["sealed"], true);
    custody
        .app
        .charge(&token, "k2")
        .await
        .problem(503, "sealed");
}

#[tokio::test]
async fn shares_of_other_keys_altered_shares_and_other_clients_open_nothing() {
    let custody = Custody::start().await;
    let app = &custody.app;
    fs::create_dir(app.path("other")).unwrap();
    assert!(init(app, &app.path("other"), &PEOPLE, 2).status.success());
    let (good, other) = (
        custody.share("alice", "held"),
        custody.share("alice", "other"),
    );
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };

    // Shares that are not this key's, in words that say which.
    let short = STANDARD.encode([1; 32]);
    let flipped = {
        let mut bytes = STANDARD.decode(good["share"].as_str().unwrap()).unwrap();
        bytes[20] ^= 1;
        STANDARD.encode(bytes)
    };
    for (body, why) in [
        (other.clone(), "another key"),
        (
            with("ceremony", other["ceremony"].clone()),
            "another ceremony",
        ),
        (
            with("share", other["share"].clone()),
            "none of this ceremony's",
        ),
        (with("share", flipped.into()), "none of this ceremony's"),
        (with("share", short.into()), "none of this ceremony's"),
    ] {
        let told = custody
            .give("alice", &body, &[])
            .await
            .problem(422, "invalid_request");
        assert!(told["detail"].as_str().unwrap().contains(why), "{told}");
    }
    // Bodies that are no share at all.
    for (body, pointer) in [
        (with("share", "?".into()), "/share"),
        (with("share", "A".repeat(65).into()), "/share"),
        (with("kek", "".into()), "/kek"),
        (with("ceremony", 7.into()), "/ceremony"),
        (json!({ "kek": "k", "ceremony": "c" }), "/share"),
    ] {
        let told = custody
            .give("alice", &body, &[])
            .await
            .problem(422, "invalid_request");
        assert_eq!(told["errors"][0]["pointer"], pointer, "{told}");
    }
    // Clients without the scope.
    let url = format!("{}/v1/keys/unseal", app.at.internal);
    for who in [Who::Checkout, Who::Billing, Who::Admin] {
        app.call(who, Method::POST, &url, &good)
            .await
            .problem(403, "not_granted");
        let status = format!("{}/v1/keys/seal_status", app.at.internal);
        app.get(who, &status).await.problem(403, "not_granted");
    }
    assert_eq!(custody.status().await["shares_given"], 0);
    let asked = "SELECT COUNT(*) FROM audit_events WHERE action = 'status.read' AND subject = 'keys.seal_status'";
    assert!(app.count(asked).await >= 1, "that it was asked is an event");

    // Asked again under its key, a share is answered as before; another under it is not taken.
    let key = [("idempotency-key", "one")];
    let first = custody.give("alice", &good, &key).await;
    assert_eq!(first.json()["shares_given"], 1, "{}", first.json());
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = custody.give("alice", &good, &key).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), first.json());
    custody
        .give("alice", &other, &key)
        .await
        .problem(422, "idempotency_mismatch");
    // Another's share does not open for a custodian, whatever they name it.
    let stolen = app.path("held/share-carol.json");
    fs::rename(app.path("held/share-bob.json"), &stolen).unwrap();
    let refused = custody.unseal("carol", "held");
    assert_eq!(refused.status.code(), Some(65), "{}", said(&refused));
    assert_eq!(custody.status().await["shares_given"], 1);
    assert!(custody.audited("keys.unsealed").await.is_empty());
}

#[tokio::test]
async fn shares_are_forgotten_when_the_others_do_not_come_in_time() {
    let custody = Custody::start_with("unseal_window_s_max = 1\n").await;
    assert!(custody.unseal("alice", "held").status.success());
    // The upkeep looks every few seconds, and so does whoever asks.
    eventually("the share is forgotten", async || {
        custody.status().await["shares_given"] == 0
    })
    .await;
    let second = custody.unseal("bob", "held");
    assert!(
        said(&second).starts_with("taken: 1 of 2"),
        "{}",
        said(&second)
    );
    assert_eq!(custody.status().await["sealed"], true);
    let forgotten = custody.audited("keys.shares_forgotten").await;
    assert_eq!(forgotten[0].0, "success");
}

#[tokio::test]
async fn custodians_sign_their_papers_and_a_split_puts_others_in_their_place() {
    let custody = Custody::start().await;
    let app = &custody.app;
    let transcript = |held: &str| -> PathBuf {
        let entries = fs::read_dir(app.path(held)).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let is_transcript = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("ceremony-kek_")
        };
        paths.find(is_transcript).unwrap()
    };
    let path = |name: &str| app.path(name).to_str().unwrap().to_owned();
    let acknowledge = |person: &str, held: &str| {
        run(&[
            "keys",
            "acknowledge",
            "--share",
            &path(&format!("{held}/share-{person}.json")),
            "--key",
            &path(&format!("people/{person}.private.json")),
            "--passphrase-file",
            &path(&format!("people/{person}.secret")),
            "--transcript",
            transcript(held).to_str().unwrap(),
            "--out",
            &path(held),
        ])
    };
    let verify = |held: &str| {
        let transcript = transcript(held);
        run(&[
            "keys",
            "ceremony",
            "verify",
            "--transcript",
            transcript.to_str().unwrap(),
        ])
    };

    // The papers hold when all have signed, and not before.
    let early = verify("held");
    assert_eq!(early.status.code(), Some(65));
    assert!(said(&early).contains("FAIL  acknowledgement of alice"));
    for person in PEOPLE {
        let signed = acknowledge(person, "held");
        assert!(said(&signed).contains("I accept") || said(&signed).contains("accept it"));
        assert!(signed.status.success(), "{}", said(&signed));
    }
    let whole = verify("held");
    assert!(whole.status.success(), "{}", said(&whole));

    // Carol leaves: Alice and Bob open the key, and it is theirs and a newcomer's.
    let dave = run(&[
        "keys",
        "custodian",
        "--name",
        "dave",
        "--out",
        &path("people"),
        "--passphrase-file",
        &path("people/alice.secret"),
    ]);
    assert!(dave.status.success());
    fs::create_dir(app.path("next")).unwrap();
    let split = |opening: &[&str], out: &str| {
        let mut arguments: Vec<String> = ["keys", "split", "--environment", "test", "--dir"]
            .map(str::to_owned)
            .into();
        arguments.extend([path("held"), "--out".to_owned(), path(out)]);
        arguments.extend(["--signing-key".to_owned(), path("held/receipt.key")]);
        for person in opening {
            arguments.extend([
                "--share".to_owned(),
                path(&format!("held/share-{person}.json")),
            ]);
            let key = path(&format!("people/{person}.private.json"));
            arguments.extend(["--custodian-key".to_owned(), key]);
            let secret = path(&format!("people/{person}.secret"));
            arguments.extend(["--passphrase-file".to_owned(), secret]);
        }
        arguments.extend(["--shares", "3", "--threshold", "2"].map(str::to_owned));
        for person in ["alice", "bob", "dave"] {
            arguments.extend(["--custodian".to_owned(), public(app, person)]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&arguments)
    };
    let alone = split(&["alice"], "next");
    assert_eq!(alone.status.code(), Some(65), "{}", said(&alone));
    assert_eq!(split(&["alice", "alice"], "next").status.code(), Some(65));
    assert_eq!(fs::read_dir(app.path("next")).unwrap().count(), 0);
    let done = split(&["alice", "bob"], "next");
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains("destroy every copy of the old"));
    assert_eq!(split(&["alice", "bob"], "next").status.code(), Some(73));

    // The service with the new document takes the new shares and none of the old.
    let mut custody = custody;
    configure_again(&custody.app);
    custody.restart().await;
    let old = custody.unseal("carol", "held");
    assert_eq!(old.status.code(), Some(65));
    assert!(said(&old).contains("another ceremony"), "{}", said(&old));
    assert!(custody.unseal("alice", "next").status.success());
    assert_eq!(said(&custody.unseal("bob", "next")), "unsealed\n");
    let (status, _) = custody.readiness().await;
    assert_eq!(
        status, 200,
        "the canary of before opens with the key of before"
    );
}

/// The same configuration, with the private document of the split.
fn configure_again(app: &App) {
    let path = app.path("sealed.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("\"held/kek-", "\"next/kek-")).unwrap();
}

#[tokio::test]
async fn a_ceremony_that_would_give_one_person_two_shares_writes_nothing() {
    let app = App::start();
    for name in ["people", "made"] {
        fs::create_dir(app.path(name)).unwrap();
    }
    make_people(&app);
    let made = app.path("made");
    for (people, threshold, why) in [
        (
            &["alice", "bob", "alice"][..],
            2,
            "alice would hold two shares",
        ),
        (&["alice", "bob", "carol"], 1, "a threshold is from 2"),
        (&["alice", "bob", "carol"], 4, "a threshold is from 2"),
        (&["alice"], 1, "a threshold is from 2"),
    ] {
        let refused = init(&app, &made, people, threshold);
        assert_eq!(refused.status.code(), Some(65), "{}", said(&refused));
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
    // Alice's keys under another name, in a file that she signs again with nothing but her name
    // changed, cannot be made without her; altered, the file is refused.
    let altered = fs::read_to_string(public(&app, "alice")).unwrap();
    fs::remove_file(public(&app, "carol")).unwrap();
    let altered = altered.replace("\"alice\"", "\"carol\"");
    write_private(Path::new(&public(&app, "carol")), altered.as_bytes());
    let refused = init(&app, &made, &PEOPLE, 2);
    assert!(said(&refused).contains("signature"), "{}", said(&refused));
    assert_eq!(fs::read_dir(&made).unwrap().count(), 0);

    // A passphrase has nothing to open where custodians do.
    assert!(init(&app, &made, &["alice", "bob"], 2).status.success());
    configure(&app, "made", "kek_passphrase_file = \"kek-passphrase\"\n");
    make_certificates(&app);
    let config = app.path("sealed.toml");
    let config = config.to_str().unwrap();
    assert!(run(&["migrate", "--config", config]).status.success());
    let refused = run(&["serve", "--config", config]);
    assert_eq!(refused.status.code(), Some(78), "{}", said(&refused));
    assert!(said(&refused).contains("kek_passphrase_file opens nothing"));
}

#[tokio::test]
async fn a_key_of_custodians_is_not_rotated_and_no_cryptoperiod_starts() {
    let custody = Custody::start().await;
    let config = custody.app.path("sealed.toml");
    let refused = run(&["keys", "rotate", "--config", config.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(78), "{}", said(&refused));
    let why = "a key of custodians is not replaced by `keys rotate`";
    assert!(said(&refused).contains(why), "{}", said(&refused));
    let manifests = "SELECT COUNT(*) FROM key_manifests";
    let database = custody.app.path("sealed.db");
    assert_eq!(crate::sealed::count(&database, manifests).await, 0);
}
