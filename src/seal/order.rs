//! Order proofs: what shows that a row of the database was ordered by a process that may order it.
//!
//! The database is a message bus between two trust domains: whoever can write a row there must not
//! thereby make a process ask the processor, or sign a webhook. So each such row carries a proof,
//! HMAC-SHA-256 over every field that decides what is done, and whoever acts on the row checks it
//! first. There are two keys. The order key is the internal plane's alone. The capture plane orders
//! a closed list of kinds ([`Kind::is_captures`]) under a key that both planes hold; a proof of any
//! other kind under that key is none. What the capture plane must believe as well is signed under
//! that key by both ([`Kind::is_shared`]).
//!
//! The encoding is versioned by the label, begins with environment and kind, and writes each field
//! with its type and its length, so that no two orders give the same bytes.

use std::fmt;
use std::sync::Arc;

use super::mac::MacKeys;
use crate::token::Environment;

/// Who orders a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orderer {
    /// The internal plane alone.
    Internal,
    /// The capture plane too, under the key that both planes hold.
    Capture,
    /// Both planes, and both must believe it: both sign under the key that both hold.
    Both,
}

/// Defines what is ordered: each kind with its label and who orders it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $label:literal by $orderer:ident,)+) => {
        /// What is ordered. The label keeps a proof of one kind from being one of another.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            const fn label(self) -> &'static str {
                match self { $(Self::$kind => concat!("cloakroom order 1: ", $label),)+ }
            }

            const fn orderer(self) -> Orderer {
                match self { $(Self::$kind => Orderer::$orderer,)+ }
            }
        }
    };
}

kinds! {
    /// A charge: the processor may be asked to make this payment.
    Charge = "charge" by Internal,
    /// The processor's name of a charge's payment: it may be read, captured, canceled, refunded.
    Payment = "payment" by Internal,
    /// The issuer's page to which a charge's shopper may be led.
    Redirect = "redirect" by Internal,
    /// A capture or a cancellation of a charge.
    Operation = "operation" by Internal,
    /// A refund.
    Refund = "refund" by Internal,
    /// The processor's name of a refund.
    ProcessorRefund = "processor refund" by Internal,
    /// A token's end.
    Deletion = "deletion" by Internal,
    /// A card without a token of its own: to be detached, or to take another's place.
    Orphan = "orphan" by Capture,
    /// An event to be published.
    Event = "event" by Internal,
    /// The event of a token's making, which the capture plane publishes.
    TokenCreated = "token created" by Capture,
    /// That the processor has refused for good what was asked under its key, and how often.
    Refusals = "refusals" by Internal,
    /// An event of the audit log.
    AuditEvent = "audit event" by Internal,
    /// An event of the audit log that a process with the capture plane alone writes.
    CaptureAuditEvent = "capture audit event" by Capture,
    /// What was made under a client's idempotency key, and for which request.
    IdempotencyKey = "idempotency key" by Internal,
    /// That a capture session has made a token.
    SessionToken = "session token" by Both,
    /// That a rule stopped somebody, or that somebody was let go.
    Block = "block" by Both,
    /// The same of a client, which the capture plane neither counts nor stops.
    ClientBlock = "client block" by Internal,
    /// What a process counted about somebody.
    Count = "count" by Both,
    /// The same of a client.
    ClientCount = "client count" by Internal,
    /// What the operator is told.
    Alert = "alert" by Both,
    /// By which an alert is told once in its window.
    AlertWindow = "alert window" by Both,
    /// A piece of rotation's work.
    KeyJob = "key job" by Internal,
    /// That an operator replaces a key, and no other one does.
    Rotation = "rotation" by Internal,
    /// An event of the processor, whose signature held.
    ProcessorEvent = "processor event" by Capture,
    /// The processor's customer of a merchant's customer.
    ProcessorCustomer = "processor customer" by Internal,
    /// An incident, and what it is called.
    Incident = "incident" by Internal,
    /// That a shopper at a charge's page asks for the issuer's, which the capture plane orders.
    Challenge = "challenge" by Capture,
}

impl Kind {
    /// Whether the capture plane may order it.
    #[must_use]
    pub const fn is_captures(self) -> bool {
        matches!(self.orderer(), Orderer::Capture | Orderer::Both)
    }

    /// Whether both planes order it and both must believe it.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self.orderer(), Orderer::Both)
    }
}

/// An order: its kind and its fields, in the order in which they are written.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    kind: Kind,
    message: Vec<u8>,
}

impl Order {
    /// An order of that kind, without a field yet.
    #[must_use]
    pub fn new(kind: Kind, environment: Environment) -> Self {
        let message = Vec::with_capacity(512);
        Self { kind, message }.text(environment.name())
    }

    /// Its next field.
    #[must_use]
    pub fn text(self, value: &str) -> Self {
        self.field(1, value.as_bytes())
    }

    /// Its next field; nothing is not the same as an empty text.
    #[must_use]
    pub fn text_if_any(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(value),
            None => self.field(0, &[]),
        }
    }

    /// Its next field.
    #[must_use]
    pub fn number(self, value: i64) -> Self {
        self.field(2, &value.to_be_bytes())
    }

    /// Its next field.
    #[must_use]
    pub fn number_if_any(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.number(value),
            None => self.field(0, &[]),
        }
    }

    /// Its next field.
    #[must_use]
    pub fn flag(self, value: bool) -> Self {
        self.field(3, &[u8::from(value)])
    }

    /// Its next field.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Self {
        self.field(4, value)
    }

    fn field(mut self, of: u8, value: &[u8]) -> Self {
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        self.message.push(of);
        self.message.extend_from_slice(&length.to_be_bytes());
        self.message.extend_from_slice(value);
        self
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order({:?})", self.kind)
    }
}

/// Whose key made a proof: its first byte.
const BY_INTERNAL: u8 = 1;
const BY_CAPTURE: u8 = 2;

/// The keys that a process orders and believes with.
#[derive(Debug, Default)]
pub struct OrderKeys {
    internal: Option<MacKeys>,
    capture: Option<Arc<MacKeys>>,
}

impl OrderKeys {
    /// `internal` is none where the process is no internal one.
    #[must_use]
    pub const fn new(internal: Option<MacKeys>, capture: Arc<MacKeys>) -> Self {
        Self {
            internal,
            capture: Some(capture),
        }
    }

    /// Whether it is a process that orders every kind.
    #[must_use]
    pub const fn are_internals(&self) -> bool {
        self.internal.is_some()
    }

    /// Whether it is one that orders the capture plane's own kinds alone.
    #[must_use]
    pub const fn are_captures(&self) -> bool {
        self.internal.is_none() && self.capture.is_some()
    }

    /// The proof of an order; none where this process may not order such.
    #[must_use]
    pub fn sign(&self, order: &Order) -> Option<Vec<u8>> {
        let parts: [&[u8]; 1] = [&order.message];
        let internal = self.internal.as_ref();
        let (by, tag) = if let Some(key) = internal.filter(|_| !order.kind.is_shared()) {
            (BY_INTERNAL, key.tag(order.kind.label(), &parts))
        } else {
            let key = self.capture.as_ref().filter(|_| order.kind.is_captures())?;
            (BY_CAPTURE, key.tag(order.kind.label(), &parts))
        };
        let mut proof = Vec::with_capacity(tag.len().saturating_add(1));
        proof.push(by);
        proof.extend_from_slice(&tag);
        Some(proof)
    }

    /// Whether `proof` shows that somebody who may has ordered it.
    #[must_use]
    pub fn believes(&self, order: &Order, proof: Option<&[u8]>) -> bool {
        let Some((by, tag)) = proof.and_then(<[u8]>::split_first) else {
            return false;
        };
        let keys = match *by {
            BY_INTERNAL => self.internal.as_ref(),
            BY_CAPTURE if order.kind.is_captures() => self.capture.as_deref(),
            _ => None,
        };
        keys.is_some_and(|keys| keys.verify(order.kind.label(), &[&order.message], tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::mac::MacKey;

    fn fresh() -> MacKeys {
        let text = MacKey::generate();
        MacKeys::new(MacKey::parse(text.as_bytes()).unwrap(), None)
    }

    fn both() -> (OrderKeys, OrderKeys) {
        let shared = Arc::new(fresh());
        let internal = OrderKeys::new(Some(fresh()), Arc::clone(&shared));
        (internal, OrderKeys::new(None, shared))
    }

    fn order(kind: Kind) -> Order {
        Order::new(kind, Environment::Test).text("a").number(7)
    }

    #[test]
    fn the_capture_plane_orders_its_own_kinds_and_no_other() {
        let (internal, capture) = both();
        for &kind in Kind::ALL {
            let proof = capture.sign(&order(kind));
            assert_eq!(proof.is_some(), kind.is_captures(), "{kind:?}");
            assert_eq!(
                internal.believes(&order(kind), proof.as_deref()),
                kind.is_captures(),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn what_both_planes_order_both_believe() {
        let (internal, capture) = both();
        for &kind in Kind::ALL {
            let proof = internal.sign(&order(kind));
            assert!(
                internal.believes(&order(kind), proof.as_deref()),
                "{kind:?}"
            );
            let believed = capture.believes(&order(kind), proof.as_deref());
            assert_eq!(believed, kind.is_shared(), "{kind:?}");
            assert!(kind.is_captures() || !kind.is_shared(), "{kind:?}");
        }
    }

    #[test]
    fn a_proof_under_the_capture_planes_key_is_none_for_another_kind() {
        let (internal, capture) = both();
        let parts: [&[u8]; 1] = [&order(Kind::Refund).message];
        let key = capture.capture.as_ref().unwrap();
        let mut proof = vec![BY_CAPTURE];
        proof.extend_from_slice(&key.tag(Kind::Refund.label(), &parts));
        assert!(!internal.believes(&order(Kind::Refund), Some(&proof)));
        proof[0] = BY_INTERNAL;
        assert!(!internal.believes(&order(Kind::Refund), Some(&proof)));
    }

    #[test]
    fn a_proof_holds_for_its_kind_environment_and_fields_only() {
        let (internal, _) = both();
        for &kind in Kind::ALL {
            let proof = internal.sign(&order(kind)).unwrap();
            assert!(internal.believes(&order(kind), Some(&proof)));
            for &other in Kind::ALL {
                let holds = internal.believes(&order(other), Some(&proof));
                assert_eq!(holds, kind == other);
            }
            let live = Order::new(kind, Environment::Live).text("a").number(7);
            assert!(!internal.believes(&live, Some(&proof)));
            for refused in [None, Some(&[][..]), Some(&proof[..32]), Some(&proof[1..])] {
                assert!(!internal.believes(&order(kind), refused));
            }
        }
        let new = || Order::new(Kind::Charge, Environment::Test);
        let alike = [
            new().text("ab").text("c"),
            new().text("a").text("bc"),
            new().text("abc"),
            new().text("abc").text(""),
            new().text("abc").text_if_any(None),
            new().bytes(b"abc"),
            new().number(1),
            new().number_if_any(None),
            new().flag(true),
            new().text("\u{1}"),
        ];
        for (one, order) in alike.iter().enumerate() {
            let proof = internal.sign(order).unwrap();
            for (other, claimed) in alike.iter().enumerate() {
                let holds = internal.believes(claimed, Some(&proof));
                assert_eq!(holds, one == other, "{one} {other}");
            }
        }
    }

    #[test]
    fn while_the_order_key_is_exchanged_both_are_believed() {
        let (old, new) = (MacKey::generate(), MacKey::generate());
        let key = |text: &str| MacKey::parse(text.as_bytes()).unwrap();
        let shared = Arc::new(fresh());
        let before = OrderKeys::new(Some(MacKeys::new(key(&old), None)), Arc::clone(&shared));
        let after = MacKeys::new(key(&new), Some(key(&old)));
        let after = OrderKeys::new(Some(after), shared);
        let (written, later) = (
            before.sign(&order(Kind::Charge)),
            after.sign(&order(Kind::Charge)),
        );
        assert!(after.believes(&order(Kind::Charge), written.as_deref()));
        assert!(!before.believes(&order(Kind::Charge), later.as_deref()));
    }

    #[test]
    fn who_holds_no_key_orders_and_believes_nothing() {
        let (internal, _) = both();
        let nobody = OrderKeys::default();
        for &kind in Kind::ALL {
            assert_eq!(nobody.sign(&order(kind)), None);
            let proof = internal.sign(&order(kind));
            assert!(!nobody.believes(&order(kind), proof.as_deref()));
        }
    }
}
