//! Owed work: rows that somebody must finish, whoever dies in between. One protocol for all of it.
//!
//! A row with `lease_until_ms` owes work: not before that moment, or, where `lease_token` is set,
//! held until then. Taking the work writes a fresh token, and only who shows the token may end the
//! work or put it off. It is a lease of seconds, renewed while its owner lives ([`Renewal`]), so that
//! nobody waits long for a process that died. What is learned from outside (a payment's state) is written by anybody:
//! knowledge needs no lease, giving up does.

use super::connection::Connection;
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::random;
use crate::token::Account;

/// The ownership of open work. It is not cloned: there is one owner, and what ends the work checks
/// the token.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "work that is not ended or put off waits until its lease runs out"]
pub struct Lease {
    token: i64,
    resumed: bool,
}

impl Lease {
    /// The lease of work that this very transaction writes down for the first time.
    pub(super) fn first() -> Self {
        Self::new(false)
    }

    /// The lease of work that somebody began before.
    pub(super) fn resumed() -> Self {
        Self::new(true)
    }

    fn new(resumed: bool) -> Self {
        let mut bytes = [0_u8; 8];
        random::fill(&mut bytes);
        // Positive, and never 0.
        let token = i64::from_le_bytes(bytes).checked_abs().unwrap_or(1).max(1);
        Self { token, resumed }
    }

    pub(super) const fn token(&self) -> i64 {
        self.token
    }

    /// What renews this lease; it can do nothing else.
    #[must_use]
    pub fn renewal(&self, work: OwedWork, key: &impl ToString, account: &Account) -> Renewal {
        Renewal {
            work,
            key: key.to_string(),
            scope: account.as_str().to_owned(),
            token: self.token,
        }
    }

    /// Whether an earlier owner may have done some of the work.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }
}

/// Work that asks the processor, and so may take longer than its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwedWork {
    /// A charge's payment, or its capture or cancellation.
    Charge,
    /// A refund.
    Refund,
    /// The deletion of a token.
    Deletion,
    /// A card at the processor that no token stands for.
    Orphan,
    /// A look at a charge's payment.
    Review,
}

impl OwedWork {
    const fn table(self) -> &'static Work {
        match self {
            Self::Charge => &CHARGES,
            Self::Refund => &REFUNDS,
            Self::Deletion => &DELETIONS,
            Self::Orphan => &ORPHANS,
            Self::Review => &REVIEWS,
        }
    }
}

/// A lease that is being renewed while its owner works.
#[derive(Clone, Debug)]
pub struct Renewal {
    work: OwedWork,
    key: String,
    scope: String,
    token: i64,
}

/// Proof that the work a lease is about was not done and will not be: what gives up an operation
/// on money demands it.
#[derive(Debug)]
pub struct NothingDone {
    lease: Lease,
    refused: bool,
}

impl NothingDone {
    /// The only request that was ever sent for this work did nothing.
    ///
    /// # Errors
    /// The lease back, where an earlier owner may have sent one.
    pub fn never_sent(lease: Lease) -> Result<Self, Lease> {
        if lease.resumed {
            Err(lease)
        } else {
            Ok(Self {
                lease,
                refused: false,
            })
        }
    }

    /// The processor has refused the request for good: under this key it never will be done.
    #[must_use]
    pub const fn refused(lease: Lease) -> Self {
        Self {
            lease,
            refused: true,
        }
    }

    /// The processor does not tell what became of the request, and what was to be changed was read
    /// after it, unchanged. Asked again, it is asked under the same key: late, it may still tell.
    #[must_use]
    pub const fn unchanged(lease: Lease) -> Self {
        Self {
            lease,
            refused: false,
        }
    }

    pub(super) const fn token(&self) -> i64 {
        self.lease.token
    }

    pub(super) const fn is_resumed(&self) -> bool {
        self.lease.resumed
    }

    /// Whether the processor keeps its refusal under the key that it was asked under.
    pub(super) const fn is_refused(&self) -> bool {
        self.refused
    }
}

/// Which work to take.
#[derive(Clone, Debug)]
pub struct Take {
    /// Whose work: an account, an endpoint, a destination.
    pub scope: String,
    /// The present moment: what is held or put off beyond it stays.
    pub now: Timestamp,
    /// Until when it is held.
    pub until: Timestamp,
    /// At most so many.
    pub limit: u32,
}

/// The statements over one table of owed work.
pub(super) struct Work {
    any: &'static str,
    take: &'static str,
    put_off: &'static str,
    renew: &'static str,
}

impl Store {
    /// Holds a lease until `until`; false where it has ended, or somebody else has the work.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn renew_lease(&self, renewal: Renewal, until: Timestamp) -> Result<bool, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let renewed = query(renewal.work.table().renew)
                    .bind(renewal.key)
                    .bind(renewal.scope)
                    .bind(renewal.token)
                    .bind(until.unix_ms())
                    .execute(tx)
                    .await?;
                Ok(renewed == 1)
            })
        })
        .await
    }

    /// Whether work is due: a look that costs no commit.
    pub(super) async fn is_due(&self, work: &'static Work, take: &Take) -> Result<bool, Failure> {
        let (scope, now) = (take.scope.clone(), take.now);
        self.read(move |connection| {
            Box::pin(async move {
                query(work.any)
                    .bind(scope)
                    .bind(now.unix_ms())
                    .scalar(connection)
                    .await
            })
        })
        .await
    }
}

/// Owed work of one table: its key and whose it is.
macro_rules! work {
    ($table:literal, $key:literal, $scope:literal) => {
        Work {
            any: concat!(
                "SELECT EXISTS (SELECT 1 FROM ",
                $table,
                " WHERE lease_until_ms <= $2 AND ",
                $scope,
                " = $1)"
            ),
            // The outer condition is for an engine where another may take the same rows between
            // the choice and the change.
            take: concat!(
                "UPDATE ",
                $table,
                " SET lease_until_ms = $3, lease_token = $4
                 WHERE ",
                $key,
                " IN (
                       SELECT ",
                $key,
                " FROM ",
                $table,
                "       WHERE ",
                $scope,
                " = $1 AND lease_until_ms <= $2
                        ORDER BY lease_until_ms
                        LIMIT $5)
                   AND ",
                $scope,
                " = $1 AND lease_until_ms <= $2
             RETURNING ",
                $key
            ),
            put_off: concat!(
                "UPDATE ",
                $table,
                " SET lease_until_ms = $4, lease_token = NULL
                 WHERE ",
                $key,
                " = $1 AND ",
                $scope,
                " = $2 AND lease_token = $3"
            ),
            renew: concat!(
                "UPDATE ",
                $table,
                " SET lease_until_ms = $4
                 WHERE ",
                $key,
                " = $1 AND ",
                $scope,
                " = $2 AND lease_token = $3"
            ),
        }
    };
}

pub(super) static CHARGES: Work = work!("charges", "id", "account");
pub(super) static REFUNDS: Work = work!("refunds", "id", "account");
pub(super) static DELETIONS: Work = work!("tokens", "id", "account");
pub(super) static ORPHANS: Work = work!("orphans", "id", "account");
pub(super) static REVIEWS: Work = work!("charge_reviews", "charge_id", "account");
pub(super) static PROCESSOR_EVENTS: Work = work!("processor_events", "id", "account");
pub(super) static DELIVERIES: Work = work!("deliveries", "event_id", "endpoint");
pub(super) static ALERT_DELIVERIES: Work = work!("alert_deliveries", "alert_id", "destination");

impl Work {
    /// Takes what is due; each row's key with the lease of it.
    pub(super) async fn take(
        &self,
        tx: &mut Connection,
        take: &Take,
    ) -> Result<Vec<(String, Lease)>, Failure> {
        // One token for all rows of one take: it is always asked for together with a row's key.
        let token = Lease::resumed().token;
        let keys: Vec<(String,)> = query(self.take)
            .bind(&take.scope)
            .bind(take.now.unix_ms())
            .bind(take.until.unix_ms())
            .bind(token)
            .bind(take.limit)
            .all(tx)
            .await?;
        let resumed = true;
        Ok(keys
            .into_iter()
            .map(|(key,)| (key, Lease { token, resumed }))
            .collect())
    }

    /// Puts the work off until `until`; false where the lease is lost, and somebody else has it.
    pub(super) async fn put_off(
        &self,
        tx: &mut Connection,
        (key, scope): (&str, &str),
        token: i64,
        until: Timestamp,
    ) -> Result<bool, Failure> {
        let put_off = query(self.put_off)
            .bind(key)
            .bind(scope)
            .bind(token)
            .bind(until.unix_ms())
            .execute(tx)
            .await?;
        Ok(put_off == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_owner_can_say_that_nothing_was_sent() {
        assert!(NothingDone::never_sent(Lease::first()).is_ok());
        assert!(NothingDone::never_sent(Lease::resumed()).is_err());
    }

    #[test]
    fn tokens_are_positive_and_differ() {
        let (one, other) = (Lease::first(), Lease::first());
        assert!(one.token() > 0 && other.token() > 0);
        assert_ne!(one.token(), other.token());
    }
}
