//! Tell: what happened is numbered for the feed and becomes a delivery to whoever wants to know,
//! which [`deliver`](super::deliver) makes.

use std::sync::Arc;
use std::time::Duration;

use super::grant::{EventsRead, Granted};
use super::{Internal, Refusal};
use crate::audit::Action;
use crate::store::{News, Subscriber};
use crate::token::{Account, EventId};
use crate::webhooks::Endpoint;

/// Milliseconds between two looks for news.
const INTERVAL_MS: u64 = 250;
/// News numbered at one look.
const BATCH_NEWS_MAX: u32 = 256;

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
        tokio::join!(self.number_forever(), self.deliver_forever());
    }

    async fn number_forever(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(INTERVAL_MS)).await;
            if let Err(refusal) = self.tell().await {
                tracing::warn!(%refusal, "news could not be told");
            }
        }
    }

    /// Gives news their place in the feed, and owes each to the endpoints that want it.
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
        Ok(())
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
