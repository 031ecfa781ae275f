//! The comparison itself: no clock, no network, no store. What the processor lists on one side,
//! the rows that belong to it on the other, and the differences between them.
//!
//! The order of a charge's life stands in [`status`]; everything else is equality.

#[cfg(test)]
mod tests;
mod twice;

use super::difference::{Difference, Kind};
use crate::processor::{ListedDispute, ListedPayment, ListedRefund, ListedStatus, RefundState};
use crate::store::{ChargeView, DisputeView, RefundView};
use crate::token::{ChargeStatus, RefundStatus};

pub use twice::{gives_back, moves_money, paid_twice, refunded_twice};

/// The row that an object of the processor names in its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<T> {
    /// It names none.
    Nothing,
    /// It names what is no id of this environment.
    NoId,
    /// It names an id of which there is no row.
    NoRow,
    /// It names this row.
    Row(T),
}

/// What belongs to a payment of the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRows {
    /// The charge that its metadata names.
    pub named: Named<ChargeView>,
    /// The charge whose payment it is.
    pub holder: Option<ChargeView>,
    /// Whether the payment was made for the holder's own request: the charge that was first written
    /// down for it is lost, and the holder has found its payment again.
    pub found_again: bool,
}

/// What belongs to a refund of the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRows {
    /// The refund that its metadata names.
    pub named: Named<RefundView>,
    /// The refund that has its name.
    pub holder: Option<RefundView>,
    /// The charge whose payment it refunds.
    pub charge: Option<ChargeView>,
}

/// What belongs to a dispute of the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeRows {
    /// The dispute that has its name.
    pub row: Option<DisputeView>,
    /// The charge whose payment is disputed.
    pub charge: Option<ChargeView>,
}

/// What the comparison of one object came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// It is nothing of ours: the account has other uses.
    Foreign,
    /// Both sides say the same.
    Agrees,
    /// They do not, in these ways.
    Differs(Vec<Difference>),
}

impl Compared {
    fn of(differences: Vec<Difference>) -> Self {
        if differences.is_empty() {
            Self::Agrees
        } else {
            Self::Differs(differences)
        }
    }

    fn one(difference: Difference) -> Self {
        Self::Differs(vec![difference])
    }

    /// The differences.
    #[must_use]
    pub fn into_differences(self) -> Vec<Difference> {
        match self {
            Self::Foreign | Self::Agrees => Vec::new(),
            Self::Differs(differences) => differences,
        }
    }
}

/// A payment of the processor, against the charge that it belongs to.
#[must_use]
pub fn payment(there: &ListedPayment, rows: &PaymentRows) -> Compared {
    let unknown = |kind| Compared::one(of_payment(kind, None, there));
    match (&rows.named, &rows.holder) {
        (Named::Nothing, None) => Compared::Foreign,
        (Named::NoId, None) => unknown(Kind::PaymentOfNoCharge),
        (Named::NoRow, None) => unknown(Kind::PaymentWithoutCharge),
        // The charge does not know its payment yet: this is the one.
        (Named::Row(named), None) if named.payment.is_none() => Compared::of(charge(named, there)),
        (Named::Row(named), None) => {
            Compared::one(of_payment(Kind::SecondPayment, Some(named), there))
        }
        (Named::Nothing, Some(holder)) => Compared::of(charge(holder, there)),
        (Named::Row(named), Some(holder)) if named.id == holder.id => {
            Compared::of(charge(holder, there))
        }
        (Named::NoRow, Some(holder)) if rows.found_again => Compared::of(charge(holder, there)),
        (Named::NoId | Named::NoRow | Named::Row(_), Some(holder)) => {
            let other = of_payment(Kind::PaymentOfAnotherCharge, Some(holder), there);
            let rest = charge(holder, there);
            Compared::Differs([vec![other], rest].concat())
        }
    }
}

/// A charge whose payment the processor does not have.
#[must_use]
pub fn payment_missing(here: &ChargeView) -> Option<Difference> {
    let payment = here.payment.clone()?;
    Some(Difference {
        kind: Kind::PaymentMissing,
        charge: Some(here.id),
        refund: None,
        object: payment,
        here: Some(here.status.name().to_owned()),
        there: None,
    })
}

/// A refund of the processor, against the row that it belongs to.
#[must_use]
pub fn refund(there: &ListedRefund, rows: &RefundRows) -> Compared {
    if let Some(holder) = &rows.holder {
        return Compared::of(refund_of(holder, there));
    }
    match &rows.named {
        Named::Row(named) if named.processor_refund.is_none() => {
            return Compared::of(refund_of(named, there));
        }
        Named::Row(named) => {
            let both = (Some(there_text(there)), named.processor_refund.clone());
            return Compared::one(of_refund(Kind::SecondRefund, named, there, both));
        }
        Named::Nothing | Named::NoId | Named::NoRow => {}
    }
    let is_named = !matches!(rows.named, Named::Nothing);
    match (&rows.charge, there.status) {
        (None, _) if !is_named => Compared::Foreign,
        // One that came to nothing changes nothing here.
        (_, Some(RefundState::Failed | RefundState::Canceled)) => Compared::Agrees,
        (charge, _) => Compared::one(Difference {
            kind: Kind::RefundUnknown,
            charge: charge.as_ref().map(|charge| charge.id),
            refund: None,
            object: there.id.clone(),
            here: None,
            there: Some(there_text(there)),
        }),
    }
}

/// A refund that the processor does not have.
#[must_use]
pub fn refund_missing(here: &RefundView) -> Option<Difference> {
    let object = here.processor_refund.clone()?;
    Some(Difference {
        kind: Kind::RefundMissing,
        charge: Some(here.charge),
        refund: Some(here.id),
        object,
        here: Some(format!("{} {}", here.status.name(), here.amount)),
        there: None,
    })
}

/// A dispute of the processor, against its row.
#[must_use]
pub fn dispute(there: &ListedDispute, rows: &DisputeRows) -> Compared {
    let differs = |kind, charge, here| {
        Compared::one(Difference {
            kind,
            charge,
            refund: None,
            object: there.id.clone(),
            here,
            there: Some(format!("{} {}", there.status, there.amount)),
        })
    };
    match (&rows.row, &rows.charge) {
        (Some(row), _) if row.status == there.status && row.amount == there.amount => {
            Compared::Agrees
        }
        (Some(row), _) => {
            let here = format!("{} {}", row.status, row.amount);
            differs(Kind::DisputeStatus, Some(row.charge), Some(here))
        }
        (None, Some(charge)) => differs(Kind::DisputeUnknown, Some(charge.id), None),
        (None, None) => Compared::Foreign,
    }
}

/// A dispute that the processor does not have.
#[must_use]
pub fn dispute_missing(here: &DisputeView) -> Difference {
    Difference {
        kind: Kind::DisputeMissing,
        charge: Some(here.charge),
        refund: None,
        object: here.id.clone(),
        here: Some(format!("{} {}", here.status, here.amount)),
        there: None,
    }
}

/// A charge, against its payment.
fn charge(here: &ChargeView, there: &ListedPayment) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differs = |kind, ours: String, theirs: String| {
        differences.push(Difference {
            here: Some(ours),
            there: Some(theirs),
            ..of_payment(kind, Some(here), there)
        });
    };
    if here.amount != there.amount {
        let kind = Kind::PaymentAmount;
        differs(kind, here.amount.to_string(), there.amount.to_string());
    }
    if here.currency != there.currency {
        let kind = Kind::PaymentCurrency;
        differs(kind, here.currency.clone(), there.currency.clone());
    }
    let Some(paid) = there.status else {
        return differences;
    };
    let (ours, theirs) = (here.status.name(), paid.name());
    // Who did not pass the issuer's page may try again: the charge waits for them.
    let waits = here.has_page
        && here.status == ChargeStatus::RequiresAction
        && paid == ListedStatus::Declined;
    match status(here.status, paid).filter(|_| !waits) {
        Some(kind) => differs(kind, ours.to_owned(), theirs.to_owned()),
        None if paid == ListedStatus::Succeeded && here.captured != there.captured => {
            let kind = Kind::CapturedAmount;
            differs(kind, here.captured.to_string(), there.captured.to_string());
        }
        None => {}
    }
    differences
}

/// What the state of a payment is to the state of its charge.
fn status(here: ChargeStatus, there: ListedStatus) -> Option<Kind> {
    use ListedStatus as There;
    match (here, there) {
        (ChargeStatus::Succeeded, There::Succeeded)
        | (ChargeStatus::RequiresCapture, There::RequiresCapture)
        | (ChargeStatus::RequiresAction, There::RequiresAction)
        | (ChargeStatus::Processing, There::Processing)
        | (ChargeStatus::Canceled, There::Canceled)
        // A declined payment that is then given up is still declined.
        | (ChargeStatus::Declined, There::Declined | There::Canceled) => None,
        (ChargeStatus::Canceled | ChargeStatus::Declined, There::Succeeded | There::RequiresCapture) => {
            Some(Kind::PaidAfterEnd)
        }
        (
            ChargeStatus::Succeeded,
            There::RequiresCapture
            | There::RequiresAction
            | There::Processing
            | There::Canceled
            | There::Declined,
        ) => Some(Kind::NotPaid),
        // A payment that can still be paid is not at its end, whatever the charge says.
        (ChargeStatus::Canceled, There::Declined | There::Processing | There::RequiresAction)
        | (ChargeStatus::Declined, There::Processing | There::RequiresAction)
        | (
            ChargeStatus::RequiresCapture,
            There::Succeeded
            | There::RequiresAction
            | There::Processing
            | There::Canceled
            | There::Declined,
        )
        | (
            ChargeStatus::RequiresAction,
            There::Succeeded
            | There::RequiresCapture
            | There::Processing
            | There::Canceled
            | There::Declined,
        )
        | (
            ChargeStatus::Processing,
            There::Succeeded
            | There::RequiresCapture
            | There::RequiresAction
            | There::Canceled
            | There::Declined,
        ) => Some(Kind::PaymentStatus),
    }
}

/// A refund's row, against the refund.
fn refund_of(here: &RefundView, there: &ListedRefund) -> Vec<Difference> {
    let mut differences = Vec::new();
    if here.amount != there.amount {
        let both = (
            Some(there.amount.to_string()),
            Some(here.amount.to_string()),
        );
        differences.push(of_refund(Kind::RefundAmount, here, there, both));
    }
    let Some(state) = there.status else {
        return differences;
    };
    if let Some(kind) = refund_status(here.status, state) {
        let both = (
            Some(state_name(state).to_owned()),
            Some(here.status.name().to_owned()),
        );
        differences.push(of_refund(kind, here, there, both));
    }
    differences
}

/// What the state of a refund is to the state of its row.
const fn refund_status(here: RefundStatus, there: RefundState) -> Option<Kind> {
    match (here, there) {
        (RefundStatus::Processing, RefundState::Pending)
        | (RefundStatus::Succeeded, RefundState::Succeeded)
        // Both say that no money went back.
        | (
            RefundStatus::Failed | RefundStatus::Canceled,
            RefundState::Failed | RefundState::Canceled,
        ) => None,
        (
            RefundStatus::Failed | RefundStatus::Canceled,
            RefundState::Pending | RefundState::Succeeded,
        ) => Some(Kind::RefundAfterEnd),
        (
            RefundStatus::Processing,
            RefundState::Succeeded | RefundState::Failed | RefundState::Canceled,
        )
        | (
            RefundStatus::Succeeded,
            RefundState::Pending | RefundState::Failed | RefundState::Canceled,
        ) => Some(Kind::RefundStatus),
    }
}

fn of_payment(kind: Kind, charge: Option<&ChargeView>, there: &ListedPayment) -> Difference {
    let status = there.status.map_or("unknown", ListedStatus::name);
    Difference {
        kind,
        charge: charge.map(|charge| charge.id),
        refund: None,
        object: there.id.clone(),
        here: charge.map(|charge| match &charge.payment {
            Some(payment) => format!("{} {payment}", charge.status.name()),
            None => charge.status.name().to_owned(),
        }),
        there: Some(format!("{status} {} {}", there.amount, there.currency)),
    }
}

fn of_refund(
    kind: Kind,
    here: &RefundView,
    there: &ListedRefund,
    (theirs, ours): (Option<String>, Option<String>),
) -> Difference {
    Difference {
        kind,
        charge: Some(here.charge),
        refund: Some(here.id),
        object: there.id.clone(),
        here: ours,
        there: theirs,
    }
}

fn there_text(there: &ListedRefund) -> String {
    let status = there.status.map_or("unknown", state_name);
    format!("{status} {} {}", there.amount, there.currency)
}

/// The name in reports: that of a refund of ours in the same state.
const fn state_name(state: RefundState) -> &'static str {
    match state {
        RefundState::Pending => "processing",
        RefundState::Succeeded => "succeeded",
        RefundState::Failed => "failed",
        RefundState::Canceled => "canceled",
    }
}
