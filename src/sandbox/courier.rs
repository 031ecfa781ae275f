//! What happens by itself: deliveries go out, payments and refunds settle, disputes come in.
//!
//! One task, which lives as long as the server does, looks at what is due, does it, and sleeps
//! until something is. Whoever changes the state wakes it.

use std::time::{Duration, Instant};

use actix_web::web::Data;
use tokio::task::JoinSet;

use super::form::Form;
use super::later;
use super::mail::Delivery;
use super::post::signature;
use super::server::Shared;

/// Deliveries on the way at once.
const UNDER_WAY_MAX: usize = 32;
/// How long it sleeps when nothing is planned.
const IDLE_MS: u64 = 60_000;

/// Never ends; dropped, it takes what is on the way with it.
pub(super) async fn run(shared: Data<Shared>) {
    let mut under_way = JoinSet::new();
    loop {
        let next_at = round(&shared, &mut under_way);
        let idle = Duration::from_millis(IDLE_MS);
        let pause = next_at.map_or(idle, |at| at.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = shared.woken.notified() => {}
            () = tokio::time::sleep(pause) => {}
            Some(_ended) = under_way.join_next() => {}
        }
    }
}

/// Does what is due; answers when the next thing is.
fn round(shared: &Data<Shared>, under_way: &mut JoinSet<()>) -> Option<Instant> {
    let mut state = shared.state();
    let now = Instant::now();
    while let Some(deed) = state.deeds.due(now) {
        let nothing = Form::default();
        let call = shared.call("", &nothing);
        later::perform(&mut state, &call, &deed);
    }
    while under_way.len() < UNDER_WAY_MAX {
        let Some(delivery) = state.mail.due(now) else {
            break;
        };
        under_way.spawn(carry(shared.clone(), delivery));
    }
    let mail_at = state
        .mail
        .next_at()
        .filter(|_| under_way.len() < UNDER_WAY_MAX);
    [mail_at, state.deeds.next_at()].into_iter().flatten().min()
}

/// One attempt.
async fn carry(shared: Data<Shared>, delivery: Delivery) {
    let (post, url, signature) = {
        let mut state = shared.state();
        let Some(endpoint) = state.endpoints.get(&delivery.endpoint) else {
            // Removed meanwhile.
            state.mail.unwanted();
            return;
        };
        let post = endpoint.post.as_ref().unwrap_or(&shared.post).clone();
        let signature = signature(&endpoint.secret, shared.now(), &delivery.text);
        (post, endpoint.url.to_string(), signature)
    };
    let delivered = post.deliver(&url, &signature, &delivery.text).await;
    let mut state = shared.state();
    if delivered {
        state.mail.delivered();
        if let Some(event) = state.events.get_mut(&delivery.event) {
            event.pending = event.pending.saturating_sub(1);
        }
    } else {
        state.mail.again(delivery);
    }
}
