//! Cards: typed under a session, or made by the shopper's browser and attached; and deleted.

use serde_json::json;

use super::Client;
use crate::call::{Call, Patience};
use crate::support::{Answer, VISA, Who, card};

/// Published cards: three that pass, and one whose charges are declined.
const CARDS: [&str; 5] = [
    VISA,
    VISA,
    "5555555555554444",
    "378282246310005",
    "4000000000000341",
];
/// Acts after which a client's customers are new ones.
const ACTS_OF_CUSTOMER: usize = 40;

impl Client<'_> {
    /// One of few customers with few cards each, so that many are the same card again.
    fn customer(&mut self) -> String {
        let (name, era) = (self.name, self.acts / ACTS_OF_CUSTOMER);
        format!("customer-{name}-{era}-{}", self.chance.between(1, 2))
    }

    pub(super) async fn tokenize(&mut self) {
        let Some(secret) = self.session().await else {
            return;
        };
        let (key, number) = (self.key("card"), *self.chance.pick(&CARDS[..]));
        let mut call = Call::post(Who::Nobody, "/v1/tokens", &key, card(number));
        call.bearer = Some(format!("Bearer {secret}"));
        let (patience, mut chance) = (self.patience(), self.chance.fork());
        let answers = self
            .merchant
            .insist_or_overlap(&call, patience, &mut chance)
            .await;
        self.vaulted(&key, &answers);
    }

    /// The secret of a new session; one whose maker never came back is nobody's.
    async fn session(&mut self) -> Option<String> {
        let (key, customer) = (self.key("session"), self.customer());
        let body = json!({ "customer_ref": customer, "metadata": { "key": key } });
        let call = Call::post(Who::Checkout, "/v1/capture_sessions", &key, body);
        let mut chance = self.chance.fork();
        let answers = self
            .merchant
            .insist_or_overlap(&call, Patience::Insists, &mut chance)
            .await;
        let mut secret = None;
        for answer in &answers {
            let body = answer.json();
            let (Some(id), Some(shown)) = (body["id"].as_str(), body["client_secret"].as_str())
            else {
                self.refused(&key, answer);
                continue;
            };
            // A repetition shows the same session with the same secret.
            let made = format!("{id} {shown}");
            self.merchant.note(|journal| {
                journal
                    .sessions
                    .entry(key.clone())
                    .or_default()
                    .insert(made);
            });
            secret = Some(shown.to_owned());
        }
        secret
    }

    /// A `PaymentMethod` that the shopper's browser has made; every other one is of a guest.
    pub(super) async fn attach(&mut self) {
        let (key, number) = (self.key("attach"), *self.chance.pick(&CARDS[..]));
        let mut body = json!({ "payment_method": self.processor.browser_card(number).await });
        if self.chance.percent(50) {
            body["customer_ref"] = json!(self.customer());
        }
        let call = Call::post(Who::Checkout, "/v1/tokens/attach", &key, body);
        let (patience, mut chance) = (self.patience(), self.chance.fork());
        let answers = self
            .merchant
            .insist_or_overlap(&call, patience, &mut chance)
            .await;
        self.vaulted(&key, &answers);
    }

    fn vaulted(&mut self, key: &str, answers: &[Answer]) {
        if answers.is_empty() {
            return self.merchant.note(|journal| journal.forsaken_cards += 1);
        }
        for answer in answers {
            if answer.status != 201 {
                self.refused(key, answer);
                continue;
            }
            let token = answer.json()["id"].as_str().unwrap().to_owned();
            self.merchant.note(|journal| {
                let made = journal.tokens.entry(key.to_owned()).or_default();
                made.insert(token.clone());
            });
            self.tokens.push(token);
        }
    }

    /// Deletes a token; once it is gone, a repetition says so.
    pub(super) async fn delete(&mut self) {
        let token = self.chance.pick(&self.tokens).clone();
        self.tokens.retain(|other| *other != token);
        self.merchant.note(|journal| {
            journal.deletions.entry(token.clone()).or_insert(false);
        });
        let call = Call::delete(format!("/v1/tokens/{token}"));
        let (patience, mut chance) = (self.patience(), self.chance.fork());
        let answers = self
            .merchant
            .insist_or_overlap(&call, patience, &mut chance)
            .await;
        for answer in &answers {
            if matches!(answer.status, 200 | 410) {
                self.merchant.note(|journal| {
                    journal.deletions.insert(token.clone(), true);
                });
            } else {
                self.refused(&token, answer);
            }
        }
    }
}
