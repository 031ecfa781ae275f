//! Charges: made, and read while they are processing.

use serde_json::{Value, json};

use super::Client;
use crate::call::{Call, Patience};
use crate::journal::{ChargeAnswer, ChargeAsked};
use crate::support::{Answer, Who};

/// What the issuer of the declined card says. A card that the processor has forgotten is declined,
/// too, in other words.
pub(crate) const ISSUERS_WORD: &str = "generic_decline";

pub(super) fn answer_of(charge: &Value) -> ChargeAnswer {
    ChargeAnswer {
        id: charge["id"].as_str().unwrap().to_owned(),
        status: charge["status"].as_str().unwrap().to_owned(),
        captured: charge["amount_captured"].as_i64().unwrap(),
    }
}

impl Client<'_> {
    pub(super) async fn charge(&mut self) {
        let token = self.chance.pick(&self.tokens).clone();
        let (amount, capture) = (self.chance.amount(100, 99_999), self.chance.percent(55));
        let key = self.key("charge");
        let mut metadata = json!({ "order": key });
        if self.chance.percent(10) {
            metadata["sandbox_later"] = json!("succeeded");
        }
        let body = json!({ "token": token, "amount": amount, "currency": "eur",
            "capture": capture, "metadata": metadata });
        let call = Call::post(Who::Billing, "/v1/charges", &key, body);
        let asked = ChargeAsked {
            token: token.clone(),
            amount,
            body: call.body.clone(),
            ..ChargeAsked::default()
        };
        self.merchant.note(|journal| {
            journal.charges.insert(key.clone(), asked);
        });
        let (patience, mut chance) = (self.patience(), self.chance.fork());
        let answers = self
            .merchant
            .insist_or_overlap(&call, patience, &mut chance)
            .await;
        for answer in answers {
            self.charged((&key, &token), &answer);
        }
    }

    fn charged(&mut self, (key, token): (&str, &str), answer: &Answer) {
        let body = answer.json();
        let answer = match (answer.status, body["charge"].as_str()) {
            (201, _) => answer_of(&body),
            (402, Some(id)) if body["decline"]["code"] == ISSUERS_WORD => ChargeAnswer {
                id: id.to_owned(),
                status: "declined".to_owned(),
                captured: 0,
            },
            (410, _) if self.may_be_deleted(token) => {
                return self.tokens.retain(|other| other != token);
            }
            (402 | 404 | 410 | 422, _) => {
                let said = format!("{} {body}", answer.status);
                return self.merchant.note(|journal| {
                    journal.charges.get_mut(key).unwrap().refused.push(said);
                });
            }
            _ => return self.refused(key, answer),
        };
        self.keep(&answer, body["amount"].as_i64().unwrap_or(0));
        self.merchant.note(|journal| {
            journal.charges.get_mut(key).unwrap().answers.push(answer);
        });
    }

    /// A deletion whose client never came back may still be under way when the same card is typed
    /// again and is the same token.
    fn may_be_deleted(&self, token: &str) -> bool {
        let journal = self.merchant.journal.lock().unwrap();
        journal.deletions.contains_key(token)
    }

    /// Reads a charge that was processing.
    pub(super) async fn read(&mut self) {
        let place = self.chance.place(self.open.len());
        let charge = self.open.swap_remove(place);
        let call = Call::get(format!("/v1/charges/{charge}"));
        let mut chance = self.chance.fork();
        let answer = self
            .merchant
            .insist(&call, Patience::Insists, &mut chance)
            .await;
        let Some(answer) = answer else { return };
        if answer.status != 200 {
            return self.refused(&charge, &answer);
        }
        let body = answer.json();
        let (answer, amount) = (answer_of(&body), body["amount"].as_i64().unwrap());
        self.keep(&answer, amount);
        self.merchant.note(|journal| journal.reads.push(answer));
    }
}
