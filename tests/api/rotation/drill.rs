//! Everything is rotated under load, and killed, and rotated on.

use super::*;

/// How big the drill is: `CLOAKROOM_ROTATION_TOKENS`, `CLOAKROOM_ROTATION_KILLS`.
fn size(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}

/// Tokens that the service did not make, as it would have made them: sealed by its own code.
async fn insert_tokens(database: &SqlitePool, dir: &Path, count: u64) {
    let public = PublicKek::read(&dir.join("kek-public.json"), Environment::Test).unwrap();
    let limits = DataKeyLimits::new(60, 100).unwrap();
    let sealer = Sealer::new(WrapKey::File(public), marking(dir), limits, Clock::system());
    let mut known = BTreeSet::new();
    let mut transaction = database.begin().await.unwrap();
    for number in 0..count {
        let now = Clock::system().now();
        let id = TokenId::new(Environment::Test, now).to_string();
        let reference = Reference::new("cus_1", &format!("pm_{number}"), None).unwrap();
        let value = sealer.seal(&place(&id), &reference.encode()).await.unwrap();
        let key = &*value.data_key;
        if known.insert(key.id.to_string()) {
            put_data_key(&mut transaction, key).await;
        }
        let insert = "INSERT INTO tokens (id, account, status, sealed, data_key_id, brand, last4, exp_month, exp_year, funding, usage, metadata, created_at_ms)
             VALUES ($1, 'default', 'active', $2, $3, 'visa', '4242', 12, 2034, 'credit', 'off_session', '{}', $4)";
        sqlx::query(insert)
            .bind(&id)
            .bind(value.sealed.as_bytes())
            .bind(key.id.to_string())
            .bind(now.unix_ms())
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
}

/// A token, whose it is, and its data key: ids, bytes, and when the key was made.
type SealedRow = (
    String,
    Option<String>,
    Vec<u8>,
    String,
    String,
    Vec<u8>,
    i64,
);

/// Opens every token of the database with the key in service and no other; how many there are.
async fn all_open(database: &SqlitePool, dir: &Path, active: &str) -> u64 {
    let passphrase = read_passphrase(&dir.join("kek-passphrase")).unwrap();
    let private = dir.join(format!("keks/{active}.json"));
    let private = PrivateKek::read(&private, &passphrase, Environment::Test).unwrap();
    let opener = Opener::new(Environment::Test, marking(dir), Clock::system());
    opener.hold(UnwrapKey::File(private)).unwrap();
    let rows: Vec<SealedRow> = sqlx::query_as(
        "SELECT tokens.id, tokens.customer_ref, tokens.sealed, data_keys.id, data_keys.kek, data_keys.wrapped, data_keys.created_at_ms
           FROM tokens JOIN data_keys ON data_keys.id = tokens.data_key_id",
    )
    .fetch_all(database)
    .await
    .unwrap();
    let mut count = 0;
    for (id, owner, sealed, key, kek, wrapped, created_at_ms) in rows {
        let data_key = WrappedDataKey {
            id: DataKeyId::parse(&key, Environment::Test).unwrap(),
            kek: KekId::try_from(kek).unwrap(),
            wrapped,
            created_at: Timestamp::from_unix_ms(created_at_ms),
        };
        let place = Context {
            customer_ref: owner.as_deref(),
            ..place(&id)
        };
        let reference = opener
            .open(&place, &Sealed::from_bytes(sealed), &data_key)
            .await
            .unwrap_or_else(|refused| panic!("{id}: {refused}"));
        assert!(Reference::decode(reference.expose()).is_ok(), "{id}");
        count += 1;
    }
    count
}

/// Charges, one after the other, until told to stop; how long each took.
async fn charge_on(app: &App, token: &str, stop: &AtomicBool, round: &str) -> Vec<Duration> {
    let caller = app.client(Who::Billing);
    let url = format!("{}/v1/charges", app.at.internal);
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{round}-{}", took.len());
        let headers = [("idempotency-key", key.as_str())];
        let order = serde_json::json!({ "token": token, "amount": 100, "currency": "eur" });
        let began = Instant::now();
        let request =
            crate::support::request(hyper::Method::POST, &url, &headers, order.to_string());
        match caller.send(request).await {
            Ok(answer) => assert_eq!(answer.status, 201, "{}", answer.json()),
            // The process was killed under it.
            Err(_) => break,
        }
        took.push(began.elapsed());
    }
    took
}

fn percentile(took: &mut [Duration], percent: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() - 1) * percent / 100]
}

#[tokio::test]
async fn rotation_and_reseal_survive_kills_under_load() {
    let tokens = size("CLOAKROOM_ROTATION_TOKENS", 3_000);
    let kills = size("CLOAKROOM_ROTATION_KILLS", 3);
    let dir = Arc::new(TempDir::new().unwrap());
    let mut app = App::start_in(Arc::clone(&dir), &[], &[]);
    let token = app.token(VISA).await;
    let database = database(&app).await;
    insert_tokens(&database, dir.path(), tokens).await;

    // Charges alone, for comparison.
    let stop = AtomicBool::new(false);
    let timer = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (mut before, ()) = tokio::join!(charge_on(&app, &token, &stop, "before"), timer);

    json(&keys(&app, &["rotate", "--json"]));
    let active = of_state(&status(&app), "active")["kek"]
        .as_str()
        .unwrap()
        .to_owned();
    let asked_at = Clock::system().now();
    let asked = command(&app, &["reseal", "--json", "--rows-per-s-max", "20000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut during = Vec::new();
    for kill in 0..kills {
        let stop = AtomicBool::new(false);
        let timer = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            Command::new("kill")
                .args(["-9", &app.pid().to_string()])
                .status()
                .unwrap();
        };
        let round = format!("kill-{kill}");
        let (took, ()) = tokio::join!(charge_on(&app, &token, &stop, &round), timer);
        during.extend(took);
        drop(app);
        app = App::start_in(Arc::clone(&dir), &[], &[]);
    }
    let stop = AtomicBool::new(false);
    let watch = async {
        let done = tokio::task::spawn_blocking(|| asked.wait_with_output().unwrap());
        let done = done.await.unwrap();
        stop.store(true, Ordering::Relaxed);
        done
    };
    let (took, done) = tokio::join!(charge_on(&app, &token, &stop, "last"), watch);
    during.extend(took);
    let done = json(&done);
    assert!(done["finished_at"].is_string(), "{done}");
    let seconds = began.elapsed().as_secs_f64();

    let now = status(&app);
    assert_eq!(of_state(&now, "decrypt_only")["data_keys"], 0, "{now}");
    let opened = all_open(&database, dir.path(), &active).await;
    assert_eq!(opened, tokens + 1);
    let old: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM tokens JOIN data_keys ON data_keys.id = tokens.data_key_id WHERE data_keys.created_at_ms < $1",
    )
    .bind(asked_at.unix_ms())
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(old, 0);
    assert!(!before.is_empty() && !during.is_empty());
    let ratio = |percent| {
        percentile(&mut during.clone(), percent).as_secs_f64()
            / percentile(&mut before.clone(), percent).as_secs_f64()
    };
    println!(
        "{opened} tokens, {kills} kills: {seconds:.1} s; charges during it against before: p50 \
         x{:.2}, p99 x{:.2} ({} and {} charges, p50 before {:?})",
        ratio(50),
        ratio(99),
        during.len(),
        before.len(),
        percentile(&mut before, 50),
    );
}
