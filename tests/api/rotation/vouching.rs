//! Only what our processes wrapped is a data key of ours, also while the key that says so is
//! replaced.

use sqlx::Connection as _;

use super::*;

/// A start that must fail, and what it says.
fn refused_start(dir: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["serve", "--config"])
        .arg(dir.join("cloakroom.toml"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_data_key_that_somebody_else_wrapped_opens_nothing_and_is_found_at_start() {
    let app = App::start();
    let token = app.token(VISA).await;
    let database = database(&app).await;

    // Who can write to the database can have the public key, too, and put another card's reference
    // in a token's place, sealed as we would seal it; what vouches for a data key he has not.
    let strangers = tempfile::tempdir().unwrap();
    let path = strangers.path().join("fingerprint.key");
    file::write_private(&path, MacKey::generate().as_bytes()).unwrap();
    let public = PublicKek::read(&app.path("kek-public.json"), Environment::Test).unwrap();
    let sealer = Sealer::new(
        WrapKey::File(public),
        marking(strangers.path()),
        DataKeyLimits::DEFAULT,
        Clock::system(),
    );
    let reference = Reference::new("cus_stolen", "pm_stolen", None).unwrap();
    let value = sealer.seal(&place(&token), &reference.encode()).await;
    let value = value.unwrap();
    put_data_key(&mut database.acquire().await.unwrap(), &value.data_key).await;
    sqlx::query("UPDATE tokens SET sealed = $1, data_key_id = $2 WHERE id = $3")
        .bind(value.sealed.as_bytes())
        .bind(value.data_key.id.to_string())
        .bind(&token)
        .execute(&database)
        .await
        .unwrap();
    let charged = app.charge(&token, "forged").await;
    assert_eq!(charged.status, 503, "{}", charged.json());

    // The end of an app reads its files, and a process that closes a file gives up all its locks on
    // it: who still had the database open would write where nobody looks.
    database.close().await;
    let dir = Arc::clone(&app.dir);
    drop(app);
    let said = refused_start(dir.path());
    let expected = format!("{} was not wrapped by a process with", value.data_key.id);
    assert!(said.contains(&expected), "{said}");
    // Nor does a key that is in no manifest become one of ours.
    let path = dir.path().join("cloakroom.db");
    let mut database = SqliteConnection::connect(path.to_str().unwrap())
        .await
        .unwrap();
    sqlx::query("UPDATE data_keys SET kek = 'kek_00112233445566778899aabbccddeeff' WHERE id = $1")
        .bind(value.data_key.id.to_string())
        .execute(&mut database)
        .await
        .unwrap();
    let said = refused_start(dir.path());
    assert!(said.contains("which is no key of ours"), "{said}");
}

#[tokio::test]
async fn the_fingerprint_key_is_replaced_and_every_card_is_known_again() {
    const FILE: &str = "CLOAKROOM__KEYS__FINGERPRINT_KEY_FILE";
    const ALSO: &str = "CLOAKROOM__KEYS__FINGERPRINT_KEY_ALSO_FILE";
    let app = App::start();
    let dir = Arc::clone(&app.dir);
    let next = dir.path().join("fingerprint-2.key");
    file::write_private(&next, MacKey::generate().as_bytes()).unwrap();
    let token = app.token(VISA).await;
    let first = dir.path().join("fingerprint.key");
    let (first, next) = (first.to_str().unwrap(), next.to_str().unwrap());
    drop(app);

    // 1. Every process believes both; 2. every process marks with the new one.
    for (now, also) in [(first, next), (next, first)] {
        let app = App::start_in(Arc::clone(&dir), &[], &[(FILE, now), (ALSO, also)]);
        assert_eq!(
            app.token(VISA).await,
            token,
            "the same card is the same token"
        );
        assert_eq!(app.charge(&token, now).await.status, 201);
    }
    // 3. Data keys are wrapped anew under its tag, values and their marks follow, the KEK before
    // goes; 4. the old one is not needed any more.
    let environment = [(FILE, next), (ALSO, first)];
    let app = App::start_in(Arc::clone(&dir), &[], &environment);
    for verb in ["rotate", "reseal"] {
        let done = command(&app, &[verb, "--json"]).envs(environment).output();
        json(&done.unwrap());
    }
    let now = json(
        &command(&app, &["status", "--json"])
            .envs(environment)
            .output()
            .unwrap(),
    );
    let old = of_state(&now, "decrypt_only")["kek"]
        .as_str()
        .unwrap()
        .to_owned();
    let retired = ["retire", &old, "--state", "destroyed"];
    let retired = command(&app, &retired).envs(environment).output().unwrap();
    assert!(retired.status.success(), "{retired:?}");
    drop(app);
    let app = App::start_in(Arc::clone(&dir), &[], &[(FILE, next)]);
    assert_eq!(app.charge(&token, "alone").await.status, 201);
    assert_eq!(
        app.token(VISA).await,
        token,
        "the same card is the same token"
    );
    drop(app);
    // Who goes back to the old one alone is told so.
    let said = refused_start(dir.path());
    assert!(said.contains("fingerprint_key_also_file"), "{said}");
}
