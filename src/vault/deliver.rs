//! Deliver: each endpoint is told at its own pace, so that one that is silent holds up no other.
//!
//! News become deliveries in [`tell`](super::tell); here they are made, until they are taken or
//! given up. An endpoint that answers 410 Gone is left alone from then on: what it was to be told
//! waits for the next start, at which it is tried again.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::future::join_all;

use super::owed::{Pace, work_off};
use super::tell::Listener;
use super::{Internal, Refusal};
use crate::store::{Due, Take, Told};
use crate::view;
use crate::webhooks::{self, Delivered, Message, Reason};

/// Milliseconds between two looks for what is due.
const INTERVAL_MS: u64 = 250;
/// How each endpoint's deliveries are made.
const PACE: Pace = Pace {
    interval_ms: INTERVAL_MS,
    at_once_max: 16,
};
/// Milliseconds after which a delivery that a dead process left behind is made by another.
const DELIVERY_LEASE_MS: u64 = 120_000;

impl Internal {
    /// Delivers to every endpoint until the process stops.
    pub(super) async fn deliver_forever(&self) {
        let endpoints = self.endpoints.iter().map(|to| self.deliver_all(to));
        tokio::join!(self.abandon_removed(), join_all(endpoints));
    }

    /// Gives up, once, what is owed to endpoints that the configuration names no more.
    async fn abandon_removed(&self) {
        let names = self
            .endpoints
            .iter()
            .map(|to| to.endpoint.name().to_owned());
        let names: Vec<String> = names.collect();
        let store = &self.common.store;
        while let Err(failure) = store
            .abandon_deliveries(names.clone(), self.common.now())
            .await
        {
            tracing::warn!(%failure, "deliveries to removed endpoints are still due");
            pause().await;
        }
    }

    /// Ends when the endpoint is gone.
    async fn deliver_all(&self, to: &Listener) {
        let webhook = to.endpoint.name();
        for public_key in to.endpoint.public_keys() {
            tracing::info!(webhook, public_key, "receivers verify with this key");
        }
        self.common.metrics.endpoint_disabled(webhook, false);
        let take = async |limit| self.due(webhook, limit).await;
        let one = async |due| self.deliver(to, due).await;
        work_off(PACE, take, one).await;
        self.common.metrics.endpoint_disabled(webhook, true);
        tracing::error!(
            webhook,
            "the endpoint answered 410 Gone and is told nothing more before the next start; \
             mend it or take it out of the configuration"
        );
    }

    async fn due(&self, webhook: &str, limit: u32) -> Result<Vec<Due>, Refusal> {
        let now = self.common.now();
        let take = Take {
            scope: webhook.to_owned(),
            now,
            until: now.plus_ms(DELIVERY_LEASE_MS),
            limit,
        };
        Ok(self.common.store.lease_deliveries(take).await?)
    }

    /// Makes one try and writes down how it ended; breaks where the endpoint is gone.
    async fn deliver(&self, to: &Listener, due: Due) -> ControlFlow<()> {
        let at = self.common.now();
        // A name may have been given to another account's endpoint.
        let delivered = if to.account == due.news.account {
            let body = serde_json::to_vec(&view::Event::of(&due.news)).unwrap_or_default();
            let id = due.news.id.to_string();
            let message = Message {
                id: &id,
                at,
                body: &body,
            };
            Some(to.endpoint.deliver(&message).await)
        } else {
            None
        };
        let attempt = due.attempts.saturating_add(1);
        let (answer, taken, pause_ms) = outcome(delivered, attempt);
        self.common.metrics.told(if taken {
            "delivered"
        } else if pause_ms.is_some() {
            "failed"
        } else {
            "given_up"
        });
        let (event, endpoint) = (due.news.id, due.endpoint);
        if !taken {
            tracing::warn!(%event, endpoint, answer, attempt, "a webhook was not taken");
        }
        let told = Told {
            event,
            endpoint,
            answer,
            taken,
            next: pause_ms.map(|pause_ms| at.plus_ms(pause_ms)),
            at,
        };
        if let Err(failure) = self.common.store.delivered(due.lease, told).await {
            // Its lease ends, and it is tried again under the same id.
            tracing::warn!(%event, %failure, "how a delivery ended could not be written down");
        }
        if delivered == Some(Delivered::Gone) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// What a try came to: the words for its row, whether it was taken, and after how many
/// milliseconds it is tried again, if at all.
fn outcome(delivered: Option<Delivered>, attempt: u32) -> (String, bool, Option<u64>) {
    match delivered {
        None => ("removed".to_owned(), false, None),
        Some(Delivered::Accepted { status }) => (status.to_string(), true, None),
        Some(Delivered::Gone) => ("410".to_owned(), false, None),
        Some(Delivered::Refused {
            status,
            retry_after_s,
        }) => {
            let pause_ms = webhooks::pause_ms_after(attempt, retry_after_s);
            (status.to_string(), false, pause_ms)
        }
        // The same message would be as malformed the next time.
        Some(Delivered::Unreachable(reason @ Reason::MalformedId)) => {
            (reason.name().to_owned(), false, None)
        }
        Some(Delivered::Unreachable(reason)) => {
            let pause_ms = webhooks::pause_ms_after(attempt, None);
            (reason.name().to_owned(), false, pause_ms)
        }
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(INTERVAL_MS)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_arrive_is_not_tried_again_and_everything_else_is() {
        for reason in Reason::ALL {
            let (answer, taken, pause_ms) = outcome(Some(Delivered::Unreachable(reason)), 1);
            assert_eq!((answer.as_str(), taken), (reason.name(), false));
            assert_eq!(
                pause_ms.is_none(),
                reason == Reason::MalformedId,
                "{reason}"
            );
        }
        for (status, again) in [(500, true), (301, true), (404, true)] {
            let refused = Delivered::Refused {
                status,
                retry_after_s: None,
            };
            assert_eq!(outcome(Some(refused), 1).2.is_some(), again);
        }
        assert_eq!(
            outcome(Some(Delivered::Gone), 1),
            ("410".to_owned(), false, None)
        );
    }
}
