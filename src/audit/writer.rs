//! Which process wrote an event, and which events such a process may write.
//!
//! The name stands in the event's leaf, and the sequencer gives a place only to an event whose proof
//! shows that such a process wrote it. So who can insert rows into the database, as the internet-facing
//! process can, writes nothing into the log in another's name.

use super::event::names;
use super::{Action, Actor};

names! {
    /// Which process wrote an event.
    Writer {
        /// One with the internal plane, under its order key.
        Internal = "internal",
        /// One with the capture plane alone, under the key that both planes hold.
        Capture = "capture",
        /// A command without keys, such as an auditor's: nothing proves who wrote it.
        Unproven = "unproven",
    }
}

impl Writer {
    /// Whether it may write an event of that act, in the name of such an actor.
    #[must_use]
    pub fn may_write(self, actor: &Actor, action: Action) -> bool {
        match self {
            Self::Internal => true,
            Self::Capture => is_captures_actor(actor) && is_captures_act(action),
            Self::Unproven => matches!(actor, Actor::Operator(_)),
        }
    }
}

const fn is_captures_actor(actor: &Actor) -> bool {
    match actor {
        Actor::Session(_) | Actor::Processor(_) | Actor::Process | Actor::Unidentified => true,
        Actor::Client(_) | Actor::Operator(_) => false,
    }
}

/// What happens in a process with the capture plane alone; an act that is not named is none of these.
const fn is_captures_act(action: Action) -> bool {
    matches!(
        action,
        Action::CardAttempted
            | Action::CardCodeRefused
            | Action::CardCodeTaken
            | Action::CardMatched
            | Action::CardMismatched
            | Action::GrantRefused
            | Action::KeysCanaryMade
            | Action::NoticeTaken
            | Action::ProcessStarted
            | Action::ProcessStopped
            | Action::ReportTaken
            | Action::RowQuarantined
            | Action::TlsClientRefused
            | Action::TlsReloaded
            | Action::TokenCreated
            | Action::TokenRefused
            | Action::TokenRepeated
            | Action::WatchActed
            | Action::WatchWarned
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capture_plane_writes_nothing_in_the_name_of_a_client_or_an_operator() {
        let session = Actor::Session("test_cs_1".into());
        let client = Actor::Client("spiffe://shop.example/billing".into());
        let operator = Actor::Operator("anna".into());
        let capture = Writer::Capture;
        assert!(capture.may_write(&session, Action::TokenCreated));
        for (actor, action) in [
            (&client, Action::TokenCreated),
            (&client, Action::TokenOpened),
            (&operator, Action::ProcessStarted),
            (&session, Action::TokenOpened),
            (&Actor::Process, Action::ChargeSettled),
        ] {
            assert!(!capture.may_write(actor, action), "{actor:?} {action:?}");
            assert!(Writer::Internal.may_write(actor, action));
        }
    }

    #[test]
    fn what_nothing_proves_is_an_operators() {
        let unproven = Writer::Unproven;
        assert!(unproven.may_write(&Actor::Operator("anna".into()), Action::AuditRead));
        let client = Actor::Client("spiffe://shop.example/billing".into());
        for actor in [client, Actor::Process, Actor::Unidentified] {
            assert!(!unproven.may_write(&actor, Action::AuditRead), "{actor:?}");
        }
    }

    #[test]
    fn every_name_leads_back_to_its_writer() {
        for &writer in Writer::ALL {
            assert_eq!(Writer::from_name(writer.name()), Some(writer));
        }
    }
}
