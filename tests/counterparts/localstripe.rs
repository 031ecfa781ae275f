//! `localstripe` as the processor of our service, behind `localstripe_door.py`.
//!
//! What it cannot do is a table in README.md; each row is asserted here to fail in the way that
//! the table says, so that a newer localstripe that can do more is noticed.

use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::programs::{Server, file, program};
use crate::support::{Answer, App, VISA, Who, card, request};

/// Whether the service offers capture, cancel and refund yet. While it does not, they are asserted
/// to be absent.
const LIFECYCLE: bool = true;

const DECLINED_AT_SET_UP: &str = "4000000000000002";
const DECLINED_AT_CHARGE: &str = "4000000000000341";
const AUTHENTICATE_ONCE: &str = "4000002500003155";
const MASTERCARD: &str = "5555555555554444";
const AMEX: &str = "378282246310005";

/// localstripe knows no restricted keys: whatever starts with `sk_` may do everything.
const KEY: &str = "sk_test_counterpart";

/// The service, and localstripe as its processor.
struct Counterpart {
    app: App,
    door: Server,
    dir: TempDir,
}

impl Counterpart {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let text = |name: &str| at(name).to_str().unwrap().to_owned();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        put(&at("door.pem"), &made.cert.pem());
        put(&at("door.key"), &made.signing_key.serialize_pem());
        put(&at("stripe.key"), KEY);
        let door = Server::start(
            program("python")
                .arg(file("localstripe_door.py"))
                .args([at("door.pem"), at("door.key")])
                .arg(dir.path()),
        );
        let stripe = "CLOAKROOM__ACCOUNTS__DEFAULT__PROCESSOR__STRIPE__";
        let name = |key: &str| format!("{stripe}{key}");
        let app = App::start_with(
            &["--sandbox-url", &door.url],
            &[
                (&name("CA_FILE"), &text("door.pem")),
                (&name("CAPTURE_KEY_FILE"), &text("stripe.key")),
                (&name("INTERNAL_KEY_FILE"), &text("stripe.key")),
            ],
        );
        Self { app, door, dir }
    }

    /// Asks localstripe itself, through the door.
    async fn stripe(&self, method: Method, path: &str, form: &str, key: &str) -> Answer {
        self.stripe_as(KEY, (method, path), form, key).await
    }

    async fn stripe_as(&self, who: &str, what: (Method, &str), form: &str, key: &str) -> Answer {
        let (method, path) = what;
        let bearer = format!("Bearer {who}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("idempotency-key", key),
        ];
        let url = format!("{}{path}", self.door.url);
        let trusted = TempDir::new().unwrap();
        std::fs::copy(
            self.dir.path().join("door.pem"),
            trusted.path().join("ca.pem"),
        )
        .unwrap();
        crate::support::read(
            &crate::support::client(trusted.path(), Who::Nobody),
            request(method, &url, &headers, form.to_owned()),
        )
        .await
        .unwrap()
    }

    /// The PaymentIntent that carries our charge's id.
    async fn payment(&self, charge: &str) -> Value {
        let intents = self
            .stripe(Method::GET, "/v1/payment_intents?limit=100", "", "-")
            .await
            .json();
        let found = intents["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|intent| intent["metadata"]["cloakroom_charge"] == charge)
            .collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{charge} {intents}");
        found[0].clone()
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let url = format!("{}{path}", self.app.at.internal);
        let headers = [("idempotency-key", key)];
        let request = request(Method::POST, &url, &headers, body.to_string());
        self.app.send(Who::Billing, request).await
    }

    async fn read_charge(&self, id: &str) -> Value {
        let url = format!("{}/v1/charges/{id}", self.app.at.internal);
        self.app.get(Who::Billing, &url).await.json()
    }
}

fn put(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_card_is_vaulted_charged_and_forgotten_at_a_stripe_that_others_wrote() {
    let counterpart = Counterpart::start();
    let app = &counterpart.app;

    let secret = app.session().await;
    let made = app.post_card(&secret, &card(VISA), &[]).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let token = id(&made);
    assert_eq!(made.json()["card"]["last4"], "4242");

    let charged = app.charge(&token, "order-1").await;
    assert_eq!(charged.status, 201, "{}", charged.json());
    assert_eq!(charged.json()["status"], "succeeded");
    let charge = id(&charged);
    assert_eq!(counterpart.read_charge(&charge).await, charged.json());
    let payment = counterpart.payment(&charge).await;
    assert_eq!(
        (&payment["amount"], &payment["currency"], &payment["status"]),
        (&json!(1250), &json!("eur"), &json!("succeeded"))
    );

    // Our own idempotency does not need the processor's.
    let again = app.charge(&token, "order-1").await;
    assert_eq!((again.status, id(&again)), (201, charge.clone()));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    counterpart.payment(&charge).await;

    // With the shopper there, and only authorized.
    let order = json!({
        "token": token, "amount": 500, "currency": "usd", "capture": false, "off_session": false,
        "metadata": {"booking": "b-1"},
    });
    let held = app.order_charge(&order, "order-2").await;
    assert_eq!(held.json()["status"], "requires_capture", "{}", held.json());
    let payment = counterpart.payment(&id(&held)).await;
    assert_eq!(payment["status"], "requires_capture");
    assert_eq!(payment["metadata"]["booking"], "b-1");

    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    let deleted = app
        .send(
            Who::Admin,
            request(Method::DELETE, &url, &[], String::new()),
        )
        .await;
    assert_eq!(deleted.status, 200, "{}", deleted.json());
    assert_eq!(deleted.json()["status"], "deleted");
    app.get(Who::Admin, &url)
        .await
        .problem(410, "token_deleted");
    app.charge(&token, "order-3")
        .await
        .problem(410, "token_deleted");
}

#[tokio::test]
async fn a_stripe_that_others_wrote_declines_cards_and_we_understand_it() {
    let counterpart = Counterpart::start();
    let app = &counterpart.app;

    let secret = app.session().await;
    let refused = app.post_card(&secret, &card(DECLINED_AT_SET_UP), &[]).await;
    let problem = refused.problem(402, "card_declined");
    // Expected: localstripe gives no decline_code, so its code is all there is.
    assert_eq!(problem["decline"]["code"], "card_declined");

    let token = app.token(DECLINED_AT_CHARGE).await;
    let declined = app.charge(&token, "order-1").await;
    let problem = declined.problem(402, "card_declined");
    let charge = problem["charge"].as_str().unwrap();
    assert_eq!(counterpart.read_charge(charge).await["status"], "declined");
    let payment = counterpart.payment(charge).await;
    assert_eq!(payment["status"], "requires_payment_method");
}

#[tokio::test]
async fn capture_cancel_and_refund_at_a_stripe_that_others_wrote() {
    let counterpart = Counterpart::start();
    let app = &counterpart.app;
    let token = app.token(VISA).await;
    let hold = json!({ "token": token, "amount": 1250, "currency": "eur", "capture": false });
    let first = id(&app.order_charge(&hold, "hold-1").await);
    let part = json!({ "amount": 400 });
    let captured = counterpart
        .post(&format!("/v1/charges/{first}/capture"), "capture-1", &part)
        .await;
    if !LIFECYCLE {
        assert_eq!(
            captured.status, 404,
            "capture is there: set LIFECYCLE to true"
        );
        return;
    }
    assert_eq!(captured.status, 200, "{}", captured.json());
    assert_eq!(captured.json()["status"], "succeeded");
    // localstripe books what was not captured as a refund of the charge that it makes of it.
    let payment = counterpart.payment(&first).await;
    assert_eq!(payment["status"], "succeeded");
    assert_eq!(
        payment["latest_charge"]["amount_refunded"], 850,
        "{payment}"
    );

    let second = id(&app.order_charge(&hold, "hold-2").await);
    let path = format!("/v1/charges/{second}/cancel");
    let canceled = counterpart.post(&path, "cancel-1", &json!({})).await;
    assert_eq!(canceled.json()["status"], "canceled", "{}", canceled.json());
    assert_eq!(counterpart.payment(&second).await["status"], "canceled");

    let third = id(&app.charge(&token, "order-1").await);
    let refund = |amount: u32| json!({ "charge": third, "amount": amount });
    let refunded = counterpart
        .post("/v1/refunds", "refund-1", &refund(250))
        .await;
    assert_eq!(refunded.status, 201, "{}", refunded.json());
    assert_eq!(refunded.json()["status"], "succeeded");
    // localstripe gives back more than was taken; the service does not ask it to.
    let over = counterpart
        .post("/v1/refunds", "refund-2", &refund(1_001))
        .await;
    assert_eq!(over.status, 422, "{}", over.json());
    let payment = counterpart.payment(&third).await;
    assert_eq!(
        payment["latest_charge"]["amount_refunded"], 250,
        "{payment}"
    );
    let rest = counterpart
        .post("/v1/refunds", "refund-3", &refund(1_000))
        .await;
    assert_eq!(rest.status, 201, "{}", rest.json());
}

/// The table of README.md, row by row.
#[tokio::test]
async fn what_localstripe_cannot_do_fails_as_the_readme_says() {
    let counterpart = Counterpart::start();
    let app = &counterpart.app;

    println!("no idempotency: one key, two customers");
    let made = |key: &'static str| counterpart.stripe(Method::POST, "/v1/customers", "name=x", key);
    assert_ne!(id(&made("same").await), id(&made("same").await));

    println!("no Stripe-Version, no Request-Id, no Idempotent-Replayed in its answers");
    let answer = made("other").await;
    for header in ["stripe-version", "request-id", "idempotent-replayed"] {
        assert_eq!(answer.header(header), None);
    }

    println!("no page for 3-D Secure: only Stripe's own browser library could go on");
    let secret = app.session().await;
    let waiting = app.post_card(&secret, &card(AUTHENTICATE_ONCE), &[]).await;
    let problem = waiting.problem(402, "card_declined");
    assert_eq!(problem["decline"]["code"], "authentication_required");

    println!("no card but one of 16 digits with a CVC of three");
    let secret = app.session().await;
    let amex = app.post_card(&secret, &card(AMEX), &[]).await;
    amex.problem(500, "internal");

    println!("no brand but visa, no country but FR");
    let secret = app.session().await;
    let mastercard = app.post_card(&secret, &card(MASTERCARD), &[]).await.json();
    assert_eq!(
        (&mastercard["card"]["brand"], &mastercard["card"]["country"]),
        (&json!("visa"), &json!("FR"))
    );

    println!("no description, no statement_descriptor_suffix of a payment, and no word of which");
    let token = mastercard["id"].as_str().unwrap();
    for (number, name) in ["description", "statement_descriptor_suffix"]
        .iter()
        .enumerate()
    {
        let mut order = json!({ "token": token, "amount": 500, "currency": "eur" });
        order[name] = json!("NIGHTS");
        let refused = app.order_charge(&order, &format!("order-{number}")).await;
        let problem = refused.problem(402, "card_declined");
        // The service looks at the card next, and here a card is never attached to anybody.
        assert_eq!(problem["decline"]["code"], "card_detached", "{name}");
    }

    println!("no limit of a refund: it gives back more than was taken");
    let charge = id(&app.charge(token, "order-9").await);
    let payment = counterpart.payment(&charge).await;
    let form = format!(
        "amount=1251&payment_intent={}",
        payment["id"].as_str().unwrap()
    );
    let refund = counterpart
        .stripe(Method::POST, "/v1/refunds", &form, "-")
        .await;
    assert_eq!(
        (refund.status, &refund.json()["amount"]),
        (200, &json!(1251))
    );

    println!("no attachment by a SetupIntent: the customer has no PaymentMethod afterwards");
    let listed = counterpart
        .stripe(Method::GET, "/v1/customers?limit=100", "", "-")
        .await
        .json();
    let ours = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|customer| customer["metadata"]["created_by"] == "cloakroom")
        .map(|customer| customer["id"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert!(!ours.is_empty(), "{listed}");
    for customer in ours {
        let path = format!("/v1/payment_methods?type=card&customer={customer}");
        let methods = counterpart.stripe(Method::GET, &path, "", "-").await.json();
        assert_eq!(methods["data"], json!([]));
    }

    println!("no restricted key: what starts with rk_ is nobody");
    let restricted = "rk_test_counterpart";
    let what = (Method::GET, "/v1/customers");
    let answer = counterpart.stripe_as(restricted, what, "", "-").await;
    assert_eq!(answer.status, 401);
}

/// localstripe writes card numbers to a file and listens to the whole network; not here.
#[tokio::test]
async fn localstripe_is_kept_on_loopback_and_its_card_numbers_in_our_directory() {
    let counterpart = Counterpart::start();
    counterpart.app.token(VISA).await;
    let kept = std::fs::read(counterpart.dir.path().join("localstripe.pickle")).unwrap();
    assert!(crate::support::leaks::holds(&kept, VISA.as_bytes()));

    // Every listener of the door's child, as the kernel lists them: 0100007F is 127.0.0.1.
    let door = counterpart.door.pid();
    let children = std::fs::read_to_string(format!("/proc/{door}/task/{door}/children")).unwrap();
    let localstripe = children.split_whitespace().next().unwrap();
    let inodes = std::fs::read_dir(format!("/proc/{localstripe}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            let link = link
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .to_owned();
            Some(link)
        })
        .collect::<Vec<_>>();
    let mut listeners = Vec::new();
    for table in ["tcp", "tcp6"] {
        let Ok(table) = std::fs::read_to_string(format!("/proc/{localstripe}/net/{table}")) else {
            continue;
        };
        for line in table.lines().skip(1) {
            let fields = line.split_whitespace().collect::<Vec<_>>();
            // Column 3 is the state (0A is "listening"), column 9 the socket.
            if fields[3] == "0A" && inodes.iter().any(|inode| inode == fields[9]) {
                listeners.push(fields[1].to_owned());
            }
        }
    }
    assert_eq!(listeners.len(), 1, "{listeners:?}");
    assert!(listeners[0].starts_with("0100007F:"), "{listeners:?}");
}
