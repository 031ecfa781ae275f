//! The governor in time that stands still: how fast, how fair, how patient, and when not at all.

mod cost;
mod fairness;
mod health;
mod patience;
mod rate;

use hyper::Method;

use super::*;
use crate::telemetry::Plane;

const CHARGES: &str = "/v1/payment_intents";
const REFUNDS: &str = "/v1/refunds";

/// Limits that no test meets by accident.
pub(in crate::processor) fn limits() -> Limits {
    Limits {
        plane: Plane::Internal,
        requests_per_s_max: 100_000,
        endpoint_requests_per_s_max: 100_000,
        requests_in_flight_max: 10_000,
        waiting_requests_max: 10_000,
        wait_ms_max: 10_000,
        failures_in_a_row_max: 1_000,
        open_ms: 5_000,
        metrics: None,
    }
}

fn governor(limits: &Limits) -> Arc<Governor> {
    Arc::new(Governor::new(limits))
}

fn post(path: &str) -> Endpoint {
    Endpoint::of(&Method::POST, path)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Later than any test waits.
fn some_day() -> Instant {
    after(Instant::now(), Duration::from_hours(24))
}

/// A call that takes no time.
async fn call(governor: &Governor, client: &str, path: &str) -> Result<(), Refused> {
    let permit = governor.admit(client, post(path), some_day()).await?;
    permit.ended(Told::Well);
    Ok(())
}

/// A call that another task waits for, and when it went.
fn calling(
    governor: &Arc<Governor>,
    client: &str,
    path: &'static str,
) -> tokio::task::JoinHandle<Result<Instant, Refused>> {
    let (governor, client) = (Arc::clone(governor), client.to_owned());
    tokio::spawn(async move {
        call(&governor, &client, path)
            .await
            .map(|()| Instant::now())
    })
}

/// Lets the other tasks run until all of them wait.
async fn settled() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// The most of these moments that lie in one second, wherever it begins.
fn most_in_a_second(mut moments: Vec<Instant>) -> usize {
    moments.sort();
    let from = |index: usize| {
        let until = after(moments[index], Duration::from_secs(1));
        let inside = moments[index..].iter().take_while(|at| **at < until);
        inside.count()
    };
    (0..moments.len()).map(from).max().unwrap_or(0)
}

fn nobody_is_known(governor: &Governor) {
    let (waiting, clients, timekeeper, _) = governor.state().known();
    assert_eq!((waiting, clients, timekeeper), (0, (0, 0), false));
}
