//! News: what happened, in the form in which the world sees it, for the outbox.

use serde::Serialize;

use super::Common;
use crate::store::{ChargeRow, News, RefundRow, TokenRow};
use crate::token::{Account, EventId};
use crate::view;

impl Common {
    /// Tells of a charge in its present state.
    pub(crate) fn charge_news(
        &self,
    ) -> impl Fn(&ChargeRow) -> News + Clone + Send + Sync + use<> + 'static {
        let common = self.clone();
        move |row| {
            let kind = format!("charge.{}", row.status.name());
            common.news(&row.account, kind, &view::Charge::of(row))
        }
    }

    /// Tells of a refund in its present state.
    pub(crate) fn refund_news(
        &self,
    ) -> impl Fn(&RefundRow) -> News + Clone + Send + Sync + use<> + 'static {
        let common = self.clone();
        move |row| {
            let kind = format!("refund.{}", row.status.name());
            common.news(&row.account, kind, &view::Refund::of(row))
        }
    }

    /// Tells of a token: `created`, `updated`, `deleted`.
    pub(crate) fn token_news(
        &self,
        what: &'static str,
    ) -> impl Fn(&TokenRow) -> News + Clone + Send + Sync + use<> + 'static {
        let common = self.clone();
        move |row| {
            let kind = format!("token.{what}");
            common.news(&row.account, kind, &view::Token::of(row, None))
        }
    }

    pub(super) fn news(&self, account: &Account, kind: String, data: &impl Serialize) -> News {
        let at = self.now();
        News {
            id: EventId::new(self.environment, at),
            account: account.clone(),
            kind,
            data: serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned()),
            at,
        }
    }
}
