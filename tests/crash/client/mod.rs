//! A client of the merchant: does all that can be done, one thing after the other, as
//! docs/billing.md says and as rude clients do.

mod cards;
mod charges;
mod operations;
mod refunds;

use std::time::Duration;

pub(crate) use charges::ISSUERS_WORD;

use crate::call::Patience;
use crate::chance::Chance;
use crate::journal::ChargeAnswer;
use crate::merchant::Merchant;
use crate::processor::Processor;
use crate::support::Answer;

/// The longest pause between two of a client's acts: the machine is shared.
const PAUSE_MS_MAX: u64 = 30;

pub(crate) struct Client<'a> {
    merchant: &'a Merchant,
    /// Where its shoppers' browsers make cards with the processor's own library.
    processor: &'a Processor,
    name: usize,
    chance: Chance,
    acts: usize,
    tokens: Vec<String>,
    /// Charges that wait for their capture, with what was authorized.
    authorized: Vec<(String, i64)>,
    /// Charges that took money, with how much of it was not asked back yet.
    taken: Vec<(String, i64)>,
    /// Charges that are processing.
    open: Vec<String>,
}

impl<'a> Client<'a> {
    pub(crate) const fn new(
        (merchant, processor): (&'a Merchant, &'a Processor),
        name: usize,
        chance: Chance,
    ) -> Self {
        Self {
            merchant,
            processor,
            name,
            chance,
            acts: 0,
            tokens: Vec::new(),
            authorized: Vec::new(),
            taken: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Does one thing after the other until the load stops.
    pub(crate) async fn run(mut self) {
        while self.merchant.stopped().is_none() {
            self.acts += 1;
            match self.chance.draw() % 100 {
                _ if self.tokens.is_empty() => self.tokenize().await,
                0..6 => self.tokenize().await,
                6..10 => self.attach().await,
                10..13 => self.delete().await,
                13..40 if !self.authorized.is_empty() => self.operate().await,
                40..62 if !self.taken.is_empty() => self.refund().await,
                62..66 if !self.open.is_empty() => self.read().await,
                _ => self.charge().await,
            }
            let pause = self.chance.between(0, PAUSE_MS_MAX);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn key(&self, of: &str) -> String {
        format!("client-{}-act-{}-{of}", self.name, self.acts)
    }

    fn patience(&mut self) -> Patience {
        if self.chance.percent(10) {
            Patience::AsksOnce
        } else {
            Patience::Insists
        }
    }

    /// An answer that the contract does not have for this request, or one that says no where the
    /// result is the documented answer.
    fn refused(&self, key: &str, answer: &Answer) {
        let said = format!("{key}: {} {}", answer.status, answer.json());
        self.merchant.note(|journal| {
            if matches!(answer.status, 402 | 404 | 410 | 422) {
                journal.refusals.push(said);
            } else {
                journal.surprises.push(said);
            }
        });
    }

    /// Notes what may be done with a charge next.
    fn keep(&mut self, answer: &ChargeAnswer, amount: i64) {
        let id = answer.id.clone();
        let known = |list: &[(String, i64)]| list.iter().any(|(other, _)| *other == id);
        match answer.status.as_str() {
            "requires_capture" if !known(&self.authorized) => self.authorized.push((id, amount)),
            "succeeded" if !known(&self.taken) => self.taken.push((id, answer.captured)),
            "processing" if !self.open.contains(&id) => self.open.push(id),
            _ => {}
        }
    }
}
