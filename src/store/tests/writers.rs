//! Who wrote an event: nobody but the writer that it names, and nothing that such a writer may not.

use super::orders::{Attacker, quarantined};
use super::*;
use crate::audit::Writer;
use crate::audit::leaf::Line;
use crate::seal::hex;

/// An event as whoever can insert rows would hand it in, its leaf right.
fn forged(event: &Event, writer: Writer, proof: &str) -> [String; 2] {
    let leaf = hex(&Line::of(event, writer).leaf());
    let (id, at_ms) = (event.id, event.at.unix_ms());
    let (kind, actor) = (event.actor.kind(), event.actor.name().unwrap_or_default());
    let (action, writer) = (event.action.name(), writer.name());
    let put = format!(
        "INSERT INTO audit_events (id, at_ms, actor_kind, actor, action, outcome, account, origin, node, writer)
         VALUES ('{id}', {at_ms}, '{kind}', NULLIF('{actor}', ''), '{action}', 'success', 'default', '{}', '{}', '{writer}')",
        event.origin, event.node
    );
    let handed_in = format!(
        "INSERT INTO audit_pending (event_id, at_ms, leaf, proof) VALUES ('{id}', {at_ms}, HEX{{{leaf}}}, {proof})"
    );
    [put, handed_in]
}

/// The events of the log, each with who wrote it.
async fn written(store: &Store) -> Vec<(String, Option<String>)> {
    let log = store.log(0, 1_000).await.unwrap();
    let written = |entry: crate::audit::verify::Entry| {
        let line = entry.line.unwrap();
        let writer = line.writer.map(std::borrow::Cow::into_owned);
        (entry.event_id, writer)
    };
    log.into_iter().map(written).collect()
}

/// `attacker` has the rights of the capture plane's login; `owner` counts.
pub(super) async fn nobody_writes_in_anothers_name(
    (store, capture): (&Store, &Store),
    attacker: &mut impl Attacker,
    owner: &mut impl Attacker,
) {
    let by = |actor: Actor, action| Event {
        actor,
        ..event(action)
    };
    let session = || Actor::Session("test_cs_1".into());
    let billing = || Actor::Client("spiffe://shop.example/billing".into());
    let honest = [
        by(session(), Action::TokenCreated),
        by(billing(), Action::TokenOpened),
    ];
    capture.record(honest[0].clone()).await.unwrap();
    store.record(honest[1].clone()).await.unwrap();
    // The capture process itself, taken over: its key makes no event of a client's.
    capture
        .record(by(billing(), Action::TokenOpened))
        .await
        .unwrap();
    // Its login alone.
    let made_up = format!("HEX{{01{}}}", "00".repeat(32));
    for (forgery, writer, proof) in [
        (by(billing(), Action::TokenOpened), Writer::Internal, "NULL"),
        (
            by(billing(), Action::TokenOpened),
            Writer::Internal,
            &made_up,
        ),
        (by(session(), Action::TokenCreated), Writer::Capture, "NULL"),
        (
            by(billing(), Action::ChargeRequested),
            Writer::Unproven,
            "NULL",
        ),
        (
            by(Actor::Process, Action::ChargeSettled),
            Writer::Unproven,
            "NULL",
        ),
    ] {
        for statement in forged(&forgery, writer, proof) {
            attacker.write(&attacker.dialect(&statement)).await;
        }
    }
    // An auditor's command holds no key; its event is in the log, and says so.
    let read = by(Actor::Operator("anna".into()), Action::AuditRead);
    for statement in forged(&read, Writer::Unproven, "NULL") {
        attacker.write(&attacker.dialect(&statement)).await;
    }
    // An event that is changed before it gets its place.
    let changed = by(billing(), Action::ChargeRequested);
    store.record(changed.clone()).await.unwrap();
    owner.unprotect("audit_events").await;
    owner
        .write(&format!(
            "UPDATE audit_events SET actor = 'spiffe://shop.example/checkout' WHERE id = '{}'",
            changed.id
        ))
        .await;

    let sequenced = store.sequence("one".into(), (START, START), 1_000).await;
    assert_eq!(sequenced.unwrap().unwrap().edge.size(), 3);
    let expected = [
        (honest[0].id.to_string(), Some("capture".to_owned())),
        (honest[1].id.to_string(), Some("internal".to_owned())),
        (read.id.to_string(), Some("unproven".to_owned())),
    ];
    assert_eq!(written(store).await, expected);
    quarantined(owner, "audit_pending", 7).await;
    // What was refused its place is found by whoever verifies.
    assert_eq!(store.events_outside(100).await.unwrap().len(), 7);
}

#[tokio::test]
async fn nobody_writes_in_anothers_name_on_sqlite() {
    let bench = Bench::new().await;
    let capture = Settings {
        orders: orders_of(None),
        ..bench.settings.clone()
    };
    let capture = open(&capture).await.unwrap();
    let (mut attacker, mut owner) = (bench.aside().await, bench.aside().await);
    nobody_writes_in_anothers_name((&bench.store, &capture), &mut attacker, &mut owner).await;
}
