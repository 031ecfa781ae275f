//! Events: what happened, told in Stripe's form (<https://docs.stripe.com/api/events/object>).
//!
//! An event holds the object as it was at that moment, so it is written down as text at once. It
//! is listed under `/v1/events` and goes to the endpoints of `webhooks.rs` that want its kind.

use std::sync::Arc;

use serde_json::{Value, json};

use super::ids;
use super::objects::{self, Object};
use super::server::API_VERSION;
use super::state::{Bounded, Call, Outcome, State, seconds};

#[derive(Debug)]
pub(super) struct Event {
    id: String,
    created_s: i64,
    pub(super) kind: &'static str,
    pub(super) text: Arc<str>,
    /// Endpoints that have not taken it yet.
    pub(super) pending: usize,
}

/// Something happened to the object with that id; answers the object.
pub(super) fn about<T: Object>(
    state: &mut State,
    call: &Call<'_>,
    kind: &'static str,
    id: &str,
) -> Value {
    change::<T>(state, call, kind, id, Value::Null)
}

/// The object with that id was changed; `before` holds what the changed fields were.
pub(super) fn change<T: Object>(
    state: &mut State,
    call: &Call<'_>,
    kind: &'static str,
    id: &str,
    before: Value,
) -> Value {
    let object = T::all(state).get(id).map_or(Value::Null, T::show);
    let mut data = json!({ "object": object });
    if let (false, Some(data)) = (before.is_null(), data.as_object_mut()) {
        data.insert("previous_attributes".to_owned(), before);
    }
    write(state, call, kind, &data);
    object
}

/// Writes the event down and hands it to the mail.
pub(super) fn write(state: &mut State, call: &Call<'_>, kind: &'static str, data: &Value) {
    if !state.switches.events {
        return;
    }
    let id = ids::new("evt_1");
    let wanting = state.wanting(kind);
    let key = Some(call.idempotency_key).filter(|key| !key.is_empty());
    let request = Some(call.request_id).filter(|id| !id.is_empty());
    let event = json!({
        "id": id,
        "object": "event",
        "api_version": API_VERSION,
        "created": seconds(call.now),
        "data": data,
        "livemode": false,
        "pending_webhooks": wanting.len(),
        "request": { "id": request, "idempotency_key": key },
        "type": kind,
    });
    let text: Arc<str> = event.to_string().into();
    for endpoint in &wanting {
        state.mail.post(&id, endpoint, &text);
    }
    let event = Event {
        id: id.clone(),
        created_s: seconds(call.now),
        kind,
        text,
        pending: wanting.len(),
    };
    state.events.insert(id, event);
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["type", "types", "delivery_success"])?;
    let kind = call.form.get("type");
    let kinds = call.form.listed("types");
    let delivered = call.form.flag("delivery_success")?;
    objects::page(state, call, "/v1/events", |event: &Event| {
        kind.is_none_or(|kind| matches(kind, event.kind))
            && (kinds.is_empty() || kinds.iter().any(|kind| matches(kind, event.kind)))
            && delivered.is_none_or(|delivered| delivered == (event.pending == 0))
    })
}

/// `charge.*` is any kind that starts with `charge.`.
pub(super) fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => kind.starts_with(start),
        None => pattern == kind,
    }
}

impl Object for Event {
    const NAME: &'static str = "event";

    fn all(state: &State) -> &Bounded<Self> {
        &state.events
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.events
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_s(&self) -> i64 {
        self.created_s
    }

    fn show(&self) -> Value {
        let mut shown: Value = serde_json::from_str(&self.text).unwrap_or_default();
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("pending_webhooks".to_owned(), self.pending.into());
        }
        shown
    }
}
