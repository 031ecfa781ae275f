//! The three kinds of objects that are compared: how each is listed and read, which rows belong to
//! it, and which objects our own rows name.

use super::compare::{self, Compared, DisputeRows, Named, PaymentRows, RefundRows};
use super::difference::Difference;
use crate::clock::Timestamp;
use crate::processor::{Failure, ListedDispute, ListedPayment, ListedRefund, Page, Processor};
use crate::seal::mac::MacKey;
use crate::store::{
    self, ChargeView, DisputeRefs, DisputeView, PaymentRefs, RefundRefs, RefundView, Store,
};
use crate::token::id::{Charge, Kind, Refund};
use crate::token::{Account, ChargeId, Environment, Id, RefundId};
use crate::vault::idempotency::request_mark;

/// Where rows are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) store: &'a Store,
    pub(super) account: &'a Account,
    pub(super) environment: Environment,
    /// Marks requests.
    pub(super) marking: &'a MacKey,
}

/// A kind of object.
pub(super) trait Listed: Sized {
    /// What belongs to an object.
    type Rows;
    /// The place in our own rows from which a page goes on.
    type Cursor: Clone;

    async fn page(
        processor: &Processor,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<Self>, Failure>;
    async fn alone(processor: &Processor, id: &str) -> Result<Self, Failure>;
    fn id(&self) -> &str;
    fn created_at(&self) -> Timestamp;
    /// The mark of the request that it was made for, where it moves money.
    fn request(&self) -> Option<&str>;
    /// What it is that this one was made for the same request as `first`.
    fn made_twice(first: &Self, again: &Self) -> Option<Difference>;
    /// What belongs to each of these, in their order.
    async fn rows(of: Rows<'_>, objects: &[Self]) -> Result<Vec<Self::Rows>, store::Failure>;
    /// When the newest of these rows was written.
    fn written_at(rows: &Self::Rows) -> Option<Timestamp>;
    fn compare(&self, rows: &Self::Rows) -> Compared;
    /// The row that has that object, which the processor does not.
    async fn missing(of: Rows<'_>, id: &str) -> Result<Option<Difference>, store::Failure>;
    /// A page of our own rows.
    async fn ours(
        of: Rows<'_>,
        from: (Timestamp, Option<Self::Cursor>),
        limit: u32,
    ) -> Result<Vec<Ours<Self::Cursor>>, store::Failure>;
}

/// A row of ours, as far as it names an object.
#[derive(Clone, Debug)]
pub(super) struct Ours<C> {
    pub(super) cursor: C,
    /// The object that it names.
    pub(super) object: Option<String>,
    pub(super) written_at: Timestamp,
}

/// What a name in the processor's metadata is.
fn named<K: Kind, T>(name: Option<&str>, environment: Environment, row: Option<T>) -> Named<T> {
    match (name, row) {
        (None, _) => Named::Nothing,
        (Some(_), Some(row)) => Named::Row(row),
        (Some(name), None) if Id::<K>::parse(name, environment).is_ok() => Named::NoRow,
        (Some(_), None) => Named::NoId,
    }
}

/// The id that the processor's metadata names, if it is one.
fn id<K: Kind>(name: Option<&str>, environment: Environment) -> Option<Id<K>> {
    Id::parse(name?, environment).ok()
}

impl Listed for ListedPayment {
    type Rows = PaymentRows;
    type Cursor = ChargeId;

    async fn page(
        processor: &Processor,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<Self>, Failure> {
        processor.payments_since(since, after).await
    }

    async fn alone(processor: &Processor, id: &str) -> Result<Self, Failure> {
        processor.listed_payment(id).await
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn request(&self) -> Option<&str> {
        self.request
            .as_deref()
            .filter(|_| compare::moves_money(self))
    }

    fn made_twice(first: &Self, again: &Self) -> Option<Difference> {
        compare::paid_twice(first, again)
    }

    async fn rows(of: Rows<'_>, objects: &[Self]) -> Result<Vec<PaymentRows>, store::Failure> {
        let refs = |there: &Self| PaymentRefs {
            payment: there.id.clone(),
            charge: id(there.charge.as_deref(), of.environment),
        };
        let refs = objects.iter().map(refs).collect();
        let rows = of.store.rows_of_payments(of.account, refs).await?;
        let both = objects.iter().zip(rows);
        Ok(both
            .map(|(there, rows)| {
                let name = there.charge.as_deref();
                let key = rows.holder.as_ref();
                let key = key.and_then(|holder| holder.processor_key.as_deref());
                let mark = key.map(|key| request_mark(of.marking, key));
                PaymentRows {
                    named: named::<Charge, _>(name, of.environment, rows.named),
                    holder: rows.holder,
                    found_again: mark.is_some() && mark == there.request,
                }
            })
            .collect())
    }

    fn written_at(rows: &PaymentRows) -> Option<Timestamp> {
        let named = match &rows.named {
            Named::Row(row) => Some(row),
            Named::Nothing | Named::NoId | Named::NoRow => None,
        };
        let both = named.into_iter().chain(&rows.holder);
        both.map(|row| row.updated_at).max()
    }

    fn compare(&self, rows: &PaymentRows) -> Compared {
        compare::payment(self, rows)
    }

    async fn missing(of: Rows<'_>, id: &str) -> Result<Option<Difference>, store::Failure> {
        let refs = PaymentRefs {
            payment: id.to_owned(),
            charge: None,
        };
        let rows = of.store.rows_of_payments(of.account, vec![refs]).await?;
        let holder = rows.into_iter().find_map(|rows| rows.holder);
        Ok(holder.as_ref().and_then(compare::payment_missing))
    }

    async fn ours(
        of: Rows<'_>,
        from: (Timestamp, Option<ChargeId>),
        limit: u32,
    ) -> Result<Vec<Ours<ChargeId>>, store::Failure> {
        let ours = |row: ChargeView| Ours {
            cursor: row.id,
            object: row.payment,
            written_at: row.updated_at,
        };
        let rows = of.store.charge_views_since(of.account, from, limit).await?;
        Ok(rows.into_iter().map(ours).collect())
    }
}

impl Listed for ListedRefund {
    type Rows = RefundRows;
    type Cursor = RefundId;

    async fn page(
        processor: &Processor,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<Self>, Failure> {
        processor.refunds_since(since, after).await
    }

    async fn alone(processor: &Processor, id: &str) -> Result<Self, Failure> {
        processor.listed_refund(id).await
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn request(&self) -> Option<&str> {
        self.request
            .as_deref()
            .filter(|_| compare::gives_back(self))
    }

    fn made_twice(first: &Self, again: &Self) -> Option<Difference> {
        compare::refunded_twice(first, again)
    }

    async fn rows(of: Rows<'_>, objects: &[Self]) -> Result<Vec<RefundRows>, store::Failure> {
        let refs = |there: &Self| RefundRefs {
            processor_refund: there.id.clone(),
            refund: id(there.refund.as_deref(), of.environment),
            payment: there.payment.clone(),
        };
        let refs = objects.iter().map(refs).collect();
        let rows = of.store.rows_of_refunds(of.account, refs).await?;
        let both = objects.iter().zip(rows);
        Ok(both
            .map(|(there, rows)| {
                let name = there.refund.as_deref();
                RefundRows {
                    named: named::<Refund, _>(name, of.environment, rows.named),
                    holder: rows.holder,
                    charge: rows.charge,
                }
            })
            .collect())
    }

    fn written_at(rows: &RefundRows) -> Option<Timestamp> {
        let named = match &rows.named {
            Named::Row(row) => Some(row),
            Named::Nothing | Named::NoId | Named::NoRow => None,
        };
        let both = named.into_iter().chain(&rows.holder);
        both.map(|row| row.updated_at).max()
    }

    fn compare(&self, rows: &RefundRows) -> Compared {
        compare::refund(self, rows)
    }

    async fn missing(of: Rows<'_>, id: &str) -> Result<Option<Difference>, store::Failure> {
        let refs = RefundRefs {
            processor_refund: id.to_owned(),
            refund: None,
            payment: None,
        };
        let rows = of.store.rows_of_refunds(of.account, vec![refs]).await?;
        let holder = rows.into_iter().find_map(|rows| rows.holder);
        Ok(holder.as_ref().and_then(compare::refund_missing))
    }

    async fn ours(
        of: Rows<'_>,
        from: (Timestamp, Option<RefundId>),
        limit: u32,
    ) -> Result<Vec<Ours<RefundId>>, store::Failure> {
        let ours = |row: RefundView| Ours {
            cursor: row.id,
            object: row.processor_refund,
            written_at: row.updated_at,
        };
        let rows = of.store.refund_views_since(of.account, from, limit).await?;
        Ok(rows.into_iter().map(ours).collect())
    }
}

impl Listed for ListedDispute {
    type Rows = DisputeRows;
    type Cursor = String;

    async fn page(
        processor: &Processor,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<Self>, Failure> {
        processor.disputes_since(since, after).await
    }

    async fn alone(processor: &Processor, id: &str) -> Result<Self, Failure> {
        processor.listed_dispute(id).await
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn request(&self) -> Option<&str> {
        None
    }

    fn made_twice(_: &Self, _: &Self) -> Option<Difference> {
        None
    }

    async fn rows(of: Rows<'_>, objects: &[Self]) -> Result<Vec<DisputeRows>, store::Failure> {
        let refs = |there: &Self| DisputeRefs {
            dispute: there.id.clone(),
            payment: there.payment.clone(),
        };
        let refs = objects.iter().map(refs).collect();
        let rows = of.store.rows_of_disputes(of.account, refs).await?;
        let rows = rows.into_iter().map(|rows| DisputeRows {
            row: rows.row,
            charge: rows.charge,
        });
        Ok(rows.collect())
    }

    fn written_at(rows: &DisputeRows) -> Option<Timestamp> {
        rows.row.as_ref().map(|row| row.changed_at)
    }

    fn compare(&self, rows: &DisputeRows) -> Compared {
        compare::dispute(self, rows)
    }

    async fn missing(of: Rows<'_>, id: &str) -> Result<Option<Difference>, store::Failure> {
        let refs = DisputeRefs {
            dispute: id.to_owned(),
            payment: None,
        };
        let rows = of.store.rows_of_disputes(of.account, vec![refs]).await?;
        let row = rows.into_iter().find_map(|rows| rows.row);
        Ok(row.as_ref().map(compare::dispute_missing))
    }

    async fn ours(
        of: Rows<'_>,
        from: (Timestamp, Option<String>),
        limit: u32,
    ) -> Result<Vec<Ours<String>>, store::Failure> {
        let ours = |row: DisputeView| Ours {
            cursor: row.id.clone(),
            object: Some(row.id),
            written_at: row.changed_at,
        };
        let rows = of
            .store
            .dispute_views_since(of.account, from, limit)
            .await?;
        Ok(rows.into_iter().map(ours).collect())
    }
}
