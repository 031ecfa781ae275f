//! What was made twice: two payments or refunds of the processor that carry the mark of one request.

use super::{of_payment, there_text};
use crate::processor::{ListedPayment, ListedRefund, ListedStatus, RefundState};
use crate::reconciliation::difference::{Difference, Kind};

/// Two payments that were made for one request of a client, within the life of its key.
#[must_use]
pub fn paid_twice(first: &ListedPayment, again: &ListedPayment) -> Option<Difference> {
    let twice = moves_money(first) && moves_money(again);
    let one = first.request.is_some() && first.request == again.request && first.id != again.id;
    (twice && one).then(|| Difference {
        here: Some(first.id.clone()),
        ..of_payment(Kind::PaidTwice, None, again)
    })
}

/// Whether the payment has taken money, or holds it, or is about to.
#[must_use]
pub fn moves_money(there: &ListedPayment) -> bool {
    use ListedStatus::{Processing, RequiresCapture, Succeeded};
    matches!(there.status, Some(Succeeded | RequiresCapture | Processing))
}

/// Two refunds that were made for one request of a client, within the life of its key.
#[must_use]
pub fn refunded_twice(first: &ListedRefund, again: &ListedRefund) -> Option<Difference> {
    let twice = gives_back(first) && gives_back(again);
    let one = first.request.is_some() && first.request == again.request && first.id != again.id;
    (twice && one).then(|| Difference {
        kind: Kind::RefundedTwice,
        charge: None,
        refund: None,
        object: again.id.clone(),
        here: Some(first.id.clone()),
        there: Some(there_text(again)),
    })
}

/// Whether the money goes back.
#[must_use]
pub fn gives_back(there: &ListedRefund) -> bool {
    use RefundState::{Pending, Succeeded};
    matches!(there.status, Some(Pending | Succeeded))
}
