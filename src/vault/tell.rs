//! Tell: what happened is numbered for the feed and delivered to whoever wants to know.

use std::sync::Arc;
use std::time::Duration;

use super::grant::{EventsRead, Granted};
use super::{Internal, Refusal};
use crate::audit::Action;
use crate::store::{Due, Lease, News, Subscriber, Told};
use crate::token::{Account, EventId};
use crate::view;
use crate::webhooks::{self, Delivered, Endpoint, Message};

/// Milliseconds between two looks for news.
const INTERVAL_MS: u64 = 250;
/// News numbered at one look.
const BATCH_NEWS_MAX: u32 = 256;
/// Deliveries made at one time.
const BATCH_DELIVERIES_MAX: u32 = 32;
/// Milliseconds after which a delivery that a dead process left behind is made by another.
const DELIVERY_LEASE_MS: u64 = 120_000;

/// Who is told of an account's news.
#[derive(Debug)]
pub struct Listener {
    /// Whose news.
    pub account: Account,
    /// Which kinds; all where nothing is said.
    pub kinds: Option<Vec<String>>,
    /// Where to.
    pub endpoint: Endpoint,
}

impl Internal {
    /// Numbers and delivers news until the process stops.
    pub async fn tell_forever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(INTERVAL_MS)).await;
            if let Err(refusal) = self.tell().await {
                tracing::warn!(%refusal, "news could not be told");
            }
        }
    }

    /// Gives news their place in the feed, and makes a batch of deliveries.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn tell(&self) -> Result<(), Refusal> {
        let store = &self.common.store;
        let subscribers: Vec<Subscriber> = self
            .endpoints
            .iter()
            .map(|listener| Subscriber {
                account: listener.account.clone(),
                endpoint: listener.endpoint.name().to_owned(),
                kinds: listener.kinds.clone(),
            })
            .collect();
        let full = usize::try_from(BATCH_NEWS_MAX).unwrap_or(usize::MAX);
        while store
            .number_news(subscribers.clone(), BATCH_NEWS_MAX, self.common.now())
            .await?
            == full
        {}
        if self.endpoints.is_empty() {
            return Ok(());
        }
        let now = self.common.now();
        let due = store
            .lease_deliveries(Lease {
                now,
                lease_until: now.plus_ms(DELIVERY_LEASE_MS),
                limit: BATCH_DELIVERIES_MAX,
            })
            .await?;
        let deliveries = due.into_iter().map(|due| self.deliver(due));
        for told in futures_util::future::join_all(deliveries).await {
            store.delivered(told).await?;
        }
        Ok(())
    }

    async fn deliver(&self, due: Due) -> Told {
        let Due {
            news,
            endpoint: name,
            attempts,
        } = due;
        let at = self.common.now();
        let listener = self
            .endpoints
            .iter()
            .find(|listener| listener.endpoint.name() == name && listener.account == news.account);
        let delivered = match listener {
            Some(listener) => {
                let body = serde_json::to_vec(&view::Event::of(&news)).unwrap_or_default();
                let id = news.id.to_string();
                let message = Message {
                    id: &id,
                    at,
                    body: &body,
                };
                Some(listener.endpoint.deliver(&message).await)
            }
            // The configuration names it no more.
            None => None,
        };
        let attempt = attempts.saturating_add(1);
        let (answer, taken, pause_ms) = match &delivered {
            None => ("removed".to_owned(), false, None),
            Some(Delivered::Accepted { status }) => (status.to_string(), true, None),
            Some(Delivered::Gone) => ("410".to_owned(), false, None),
            Some(Delivered::Refused {
                status,
                retry_after_s,
            }) => {
                let pause_ms = webhooks::pause_ms_after(attempt, *retry_after_s);
                (status.to_string(), false, pause_ms)
            }
            Some(Delivered::Unreachable(reason)) => {
                let pause_ms = webhooks::pause_ms_after(attempt, None);
                (reason.name().to_owned(), false, pause_ms)
            }
        };
        self.common.metrics.told(if taken {
            "delivered"
        } else if pause_ms.is_some() {
            "failed"
        } else {
            "given_up"
        });
        if !taken {
            tracing::warn!(event = %news.id, endpoint = name, answer, attempt, "a webhook was not taken");
        }
        Told {
            event: news.id,
            endpoint: name,
            answer,
            taken,
            next: pause_ms.map(|pause_ms| at.plus_ms(pause_ms)),
            at,
        }
    }

    /// The feed of an account behind `after`, oldest first.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where `after` is none of the account's events, or is too old.
    pub async fn read_news(
        &self,
        granted: &Granted<EventsRead>,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<News>, Refusal> {
        let store = &self.common.store;
        let news = store.news(granted.account(), after, limit).await?;
        let news = news.ok_or(Refusal::NotFound)?;
        let subject = after.map_or_else(|| "*".to_owned(), |after| after.to_string());
        self.common
            .witness_read(granted, Action::EventsRead, subject)
            .await?;
        Ok(news)
    }
}
