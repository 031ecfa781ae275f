//! Refunds: one of all, one of a part, or one part after the other.

use serde_json::json;

use super::Client;
use crate::call::Call;
use crate::journal::{RefundAnswer, RefundAsked};
use crate::support::{Answer, Who};

impl Client<'_> {
    /// Asks for all of a charge's money back, or for a part.
    pub(super) async fn refund(&mut self) {
        let place = self.chance.place(self.taken.len());
        let (charge, left) = self.taken.swap_remove(place);
        let part = (left > 1 && self.chance.percent(50)).then(|| self.chance.amount(1, left / 2));
        let mut body = json!({ "charge": charge });
        if let Some(part) = part {
            body["amount"] = json!(part);
            self.taken.push((charge.clone(), left - part));
        }
        let key = self.key("refund");
        let call = Call::post(Who::Billing, "/v1/refunds", &key, body);
        let asked = RefundAsked {
            charge,
            amount: part,
            ..RefundAsked::default()
        };
        self.merchant.note(|journal| {
            journal.refunds.insert(key.clone(), asked);
        });
        let (patience, mut chance) = (self.patience(), self.chance.fork());
        let answers = self
            .merchant
            .insist_or_overlap(&call, patience, &mut chance)
            .await;
        for answer in &answers {
            self.refund_answered(&key, answer);
        }
    }

    fn refund_answered(&self, key: &str, answer: &Answer) {
        let body = answer.json();
        match (answer.status, body["id"].as_str(), body["amount"].as_i64()) {
            (201, Some(id), Some(amount)) => {
                let answer = RefundAnswer {
                    id: id.to_owned(),
                    status: body["status"].as_str().unwrap().to_owned(),
                    amount,
                };
                self.merchant.note(|journal| {
                    journal.refunds.get_mut(key).unwrap().answers.push(answer);
                });
            }
            (404 | 410 | 422, ..) => self.merchant.note(|journal| {
                let said = format!("{} {body}", answer.status);
                journal.refunds.get_mut(key).unwrap().refused.push(said);
            }),
            _ => self.refused(key, answer),
        }
    }
}
