//! What can differ between our rows and the processor's objects: a closed set, with what each means
//! and what may be done about it.

use crate::token::{ChargeId, RefundId};

/// In which way two sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The processor has it; no row of ours does.
    Unknown,
    /// Both sides have it, and both cannot be true.
    Contradictory,
    /// A row of ours has it; the processor does not.
    Missing,
    /// Both sides have it, and one is behind the other.
    Differing,
}

impl Class {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Contradictory => "contradictory",
            Self::Missing => "missing",
            Self::Differing => "differing",
        }
    }
}

/// What may be done about a difference without asking a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repair {
    /// The payment is read again, and the charge takes what it says.
    Charge,
    /// The refund is read again, and its row takes what it says.
    Refund,
    /// The refund was made at the processor itself; it gets a row.
    NewRefund,
    /// The dispute's row takes what the processor says; one that has none gets one.
    Dispute,
    /// Nothing: a person decides.
    Person,
}

impl Repair {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::NewRefund => "new_refund",
            Self::Dispute => "dispute",
            Self::Person => "person",
        }
    }
}

/// Which of the processor's objects a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A payment.
    Payment,
    /// A refund.
    Refund,
    /// A dispute.
    Dispute,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal $object:ident $class:ident $repair:ident $meaning:literal,)+) => {
        /// What differs. The names are stable: reports, metrics and their readers rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The name in reports and labels.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// Of what.
            #[must_use]
            pub const fn object(self) -> Object {
                match self { $(Self::$kind => Object::$object,)+ }
            }

            /// In which way the sides differ.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$kind => Class::$class,)+ }
            }

            /// What may be done without asking a person.
            #[must_use]
            pub const fn repair(self) -> Repair {
                match self { $(Self::$kind => Repair::$repair,)+ }
            }

            /// What it means, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning,)+ }
            }
        }
    };
}

kinds! {
    /// A payment whose metadata names no charge that could be ours.
    PaymentOfNoCharge = "payment_of_no_charge" Payment Unknown Person
        "The payment carries our metadata, but it names no charge of this environment.",
    /// A payment that names a charge of which there is no row.
    PaymentWithoutCharge = "payment_without_charge" Payment Unknown Person
        "The payment names a charge that is not in the store.",
    /// A payment that names a charge whose payment is another one.
    SecondPayment = "second_payment" Payment Contradictory Person
        "The charge has another payment: it may have been charged twice.",
    /// A payment that was made for a request of which there is a payment already.
    PaidTwice = "paid_twice" Payment Contradictory Person
        "Two payments were made for one request under one key of the client: it was charged twice.",
    /// A payment that names one charge and belongs to another.
    PaymentOfAnotherCharge = "payment_of_another_charge" Payment Contradictory Person
        "The payment belongs to a charge, and its metadata names another one.",
    /// A charge whose payment the processor does not have.
    PaymentMissing = "payment_missing" Payment Missing Person
        "The charge's payment does not exist at the processor.",
    /// A charge that ended unpaid, and whose payment took or holds money.
    PaidAfterEnd = "paid_after_end" Payment Contradictory Charge
        "The charge ended unpaid, and its payment took or holds money.",
    /// A charge that succeeded, and whose payment did not.
    NotPaid = "not_paid" Payment Contradictory Person
        "The charge succeeded, and its payment did not.",
    /// A payment that is further than its charge.
    PaymentStatus = "payment_status" Payment Differing Charge
        "The payment's status is not the charge's.",
    /// A payment of another amount.
    PaymentAmount = "payment_amount" Payment Contradictory Person
        "The payment's amount is not the charge's.",
    /// A payment in another currency.
    PaymentCurrency = "payment_currency" Payment Contradictory Person
        "The payment's currency is not the charge's.",
    /// Another amount was taken.
    CapturedAmount = "captured_amount" Payment Contradictory Charge
        "The captured amount is not the charge's.",
    /// A refund of one of our payments of which there is no row.
    RefundUnknown = "refund_unknown" Refund Unknown NewRefund
        "The refund of one of our payments is not in the store.",
    /// A refund that names a refund of ours whose refund is another one.
    SecondRefund = "second_refund" Refund Contradictory Person
        "The refund of ours has another refund at the processor: the money may go back twice.",
    /// A refund that was made for a request of which there is a refund already.
    RefundedTwice = "refunded_twice" Refund Contradictory Person
        "Two refunds were made for one request under one key of the client: the money goes back twice.",
    /// A refund that the processor does not have.
    RefundMissing = "refund_missing" Refund Missing Person
        "The refund does not exist at the processor.",
    /// A refund that ended without the money going back, and that went back.
    RefundAfterEnd = "refund_after_end" Refund Contradictory Person
        "The refund ended without money going back, and at the processor it goes back.",
    /// A refund that is further than its row.
    RefundStatus = "refund_status" Refund Differing Refund
        "The refund's status at the processor is another one.",
    /// A refund of another amount.
    RefundAmount = "refund_amount" Refund Contradictory Person
        "The refund's amount at the processor is another one.",
    /// A dispute of one of our payments of which there is no row.
    DisputeUnknown = "dispute_unknown" Dispute Unknown Dispute
        "The dispute of one of our payments is not in the store.",
    /// A dispute that the processor does not have.
    DisputeMissing = "dispute_missing" Dispute Missing Person
        "The dispute does not exist at the processor.",
    /// A dispute of another status or amount.
    DisputeStatus = "dispute_status" Dispute Differing Dispute
        "The dispute's status or amount at the processor is another one.",
}

/// One difference: what, of what, and how each side has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub kind: Kind,
    /// Our charge, where there is one.
    pub charge: Option<ChargeId>,
    /// Our refund, where there is one.
    pub refund: Option<RefundId>,
    /// The processor's object: a payment, a refund or a dispute.
    pub object: String,
    /// How we have it; nothing where we do not.
    pub here: Option<String>,
    /// How the processor has it; nothing where it does not.
    pub there: Option<String>,
}
