//! Captures, in whole or in part, and cancellations of what was authorized.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Client;
use super::charges::answer_of;
use crate::call::{Call, Patience};
use crate::chance::Chance;
use crate::journal::{ChargeAnswer, Operation, OperationAsked};
use crate::support::{Answer, Who};

/// How long a client repeats a request that was answered with `processing`, to see its end.
const AWAITS_FOR: Duration = Duration::from_secs(15);

impl Operation {
    const fn path(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Cancellation => "cancel",
        }
    }
}

impl Client<'_> {
    /// One of the two; now and then both at once under two keys, of which one is refused.
    pub(super) async fn operate(&mut self) {
        let place = self.chance.place(self.authorized.len());
        let (charge, amount) = self.authorized.swap_remove(place);
        let part = self
            .chance
            .percent(40)
            .then(|| self.chance.amount(1, amount));
        let capture = (Operation::Capture, part);
        let cancellation = (Operation::Cancellation, None);
        let mut answer = Vec::new();
        match self.chance.draw() % 100 {
            0..8 => {
                let patience = (Patience::Insists, Patience::Insists);
                let (mut one, mut other) = (self.chance.fork(), self.chance.fork());
                let subject = (charge.as_str(), amount);
                let both = tokio::join!(
                    self.ask((subject, true), capture, (patience.0, &mut one)),
                    self.ask((subject, true), cancellation, (patience.1, &mut other))
                );
                answer.extend(both.0);
                answer.extend(both.1);
            }
            lot => {
                let wanted = if lot < 65 { capture } else { cancellation };
                let (patience, mut chance) = (self.patience(), self.chance.fork());
                let subject = (charge.as_str(), amount);
                answer = self
                    .ask((subject, false), wanted, (patience, &mut chance))
                    .await;
            }
        }
        for answer in answer {
            // What waits for its capture again was given up by the service: see `judge`.
            if answer.status != "requires_capture" {
                self.keep(&answer, amount);
            }
        }
    }

    async fn ask(
        &self,
        ((charge, authorized), contested): ((&str, i64), bool),
        (operation, part): (Operation, Option<i64>),
        (patience, chance): (Patience, &mut Chance),
    ) -> Vec<ChargeAnswer> {
        let key = self.key(operation.path());
        let body = part.map_or(Value::Null, |part| json!({ "amount": part }));
        let path = format!("/v1/charges/{charge}/{}", operation.path());
        let call = Call::post(Who::Billing, path, &key, body);
        let asked = OperationAsked {
            charge: charge.to_owned(),
            operation,
            amount: part.unwrap_or(authorized),
            contested,
            ..OperationAsked::default()
        };
        self.merchant.note(|journal| {
            journal.operations.insert(key.clone(), asked);
        });
        let mut answers = self
            .merchant
            .insist_or_overlap(&call, patience, chance)
            .await;
        // Some look for the end by repeating the request, and not by reading the charge.
        if patience == Patience::Insists && chance.percent(50) {
            let began = Instant::now();
            while began.elapsed() < AWAITS_FOR && answers.last().is_some_and(is_processing) {
                tokio::time::sleep(Duration::from_millis(chance.between(50, 900))).await;
                answers.extend(self.merchant.insist(&call, patience, chance).await);
            }
        }
        let answer = answers
            .iter()
            .filter_map(|answer| self.answered(&key, answer));
        answer.collect()
    }

    fn answered(&self, key: &str, answer: &Answer) -> Option<ChargeAnswer> {
        let said = format!("{} {}", answer.status, answer.json());
        match answer.status {
            200 => {
                let answer = answer_of(&answer.json());
                self.merchant.note(|journal| {
                    let asked = journal.operations.get_mut(key).unwrap();
                    asked.answers.push(answer.clone());
                });
                Some(answer)
            }
            404 | 410 | 422 => {
                self.merchant.note(|journal| {
                    journal.operations.get_mut(key).unwrap().refused.push(said);
                });
                None
            }
            _ => {
                self.refused(key, answer);
                None
            }
        }
    }
}

fn is_processing(answer: &Answer) -> bool {
    answer.status == 200 && answer.json()["status"] == "processing"
}
