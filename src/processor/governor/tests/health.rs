//! When not at all: pauses that the processor asks for, fewer calls at a time, the breaker.

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::telemetry::Metrics;

async fn ends(governor: &Governor, told: Told) {
    let permit = governor.admit("a", post(CHARGES), some_day()).await;
    permit.unwrap().ended(told);
}

fn busy(seconds: u64) -> Told {
    let pause = Some(Duration::from_secs(seconds));
    Told::Busy { pause }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_processor_asks_for_is_everybodys() {
    let governor = governor(&Limits {
        requests_in_flight_max: 1,
        ..limits()
    });
    let permit = governor.admit("a", post(CHARGES), some_day()).await;
    let patient = calling(&governor, "b", REFUNDS);
    let deadline = after(Instant::now(), ms(1_500));
    let hasty = {
        let governor = Arc::clone(&governor);
        tokio::spawn(async move {
            let admitted = governor.admit("c", post(REFUNDS), deadline).await;
            (admitted.map(drop), Instant::now())
        })
    };
    settled().await;
    let began = Instant::now();
    permit.unwrap().ended(busy(4));

    // Who cannot wait so long learns it now, and when to come back.
    let (refused, at) = hasty.await.unwrap();
    assert_eq!(refused, Err(Refused::Limited { retry_after_s: 4 }));
    assert_eq!(at, began);
    // Who can goes when it is over.
    let went = patient.await.unwrap().unwrap().duration_since(began);
    assert!(went >= ms(4_000) && went < ms(4_010), "{went:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_bounded_and_a_shorter_one_does_not_end_a_longer() {
    let governor = governor(&limits());
    let both = [(); 2].map(|()| governor.admit("a", post(CHARGES), some_day()));
    let [first, second] = both;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    first.ended(busy(86_400));
    second.ended(busy(1));
    let refused = call(&governor, "a", CHARGES).await;
    assert_eq!(refused, Err(Refused::Limited { retry_after_s: 60 }));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(call(&governor, "a", CHARGES).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn fewer_calls_go_at_a_time_when_it_is_too_much_and_slowly_more_again() {
    let governor = governor(&Limits {
        requests_in_flight_max: 64,
        ..limits()
    });
    let limit = || governor.state().known().3;
    let too_much = Told::Busy { pause: None };
    let mut permits = Vec::new();
    for _ in 0..64 {
        let permit = governor.admit("a", post(CHARGES), some_day()).await;
        permits.push(permit.unwrap());
    }
    tokio::time::sleep(ms(1)).await;
    // Refusals of calls that went together count once.
    for permit in permits {
        permit.ended(too_much);
    }
    assert_eq!(limit(), 32);
    // One more for each full round of answers.
    for _ in 0..31 {
        ends(&governor, Told::Well).await;
    }
    assert_eq!(limit(), 32);
    ends(&governor, Told::Well).await;
    assert_eq!(limit(), 33);
    // Never less than an eighth, never more than the most.
    for _ in 0..20 {
        tokio::time::sleep(ms(1)).await;
        ends(&governor, too_much).await;
    }
    assert_eq!(limit(), 8);
    for _ in 0..4_000 {
        ends(&governor, Told::Well).await;
    }
    assert_eq!(limit(), 64);
}

fn fragile() -> Limits {
    Limits {
        failures_in_a_row_max: 3,
        open_ms: 5_000,
        ..limits()
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_the_breaker_and_answers_between_them_do_not() {
    let governor = governor(&fragile());
    for _ in 0..5 {
        ends(&governor, Told::Failed).await;
        ends(&governor, Told::Failed).await;
        ends(&governor, Told::Well).await;
        ends(&governor, Told::Failed).await;
        ends(&governor, Told::Failed).await;
        ends(&governor, Told::Busy { pause: None }).await;
    }
    for _ in 0..3 {
        ends(&governor, Told::Failed).await;
    }
    let began = Instant::now();
    let refused = call(&governor, "a", CHARGES).await;
    assert_eq!(refused, Err(Refused::Open { retry_after_s: 5 }));
    tokio::time::sleep(ms(4_500)).await;
    let refused = call(&governor, "b", REFUNDS).await;
    assert_eq!(refused, Err(Refused::Open { retry_after_s: 1 }));
    assert_eq!(began.elapsed(), ms(4_500));
}

#[tokio::test(start_paused = true)]
async fn after_a_while_one_call_tries_and_its_answer_closes_the_breaker() {
    let governor = governor(&fragile());
    for _ in 0..3 {
        ends(&governor, Told::Failed).await;
    }
    // It fails, and so another while passes.
    for told in [Told::Failed, Told::Well] {
        tokio::time::sleep(ms(5_000)).await;
        let probe = governor.admit("a", post(CHARGES), some_day()).await;
        for client in ["a", "b"] {
            let refused = call(&governor, client, CHARGES).await;
            assert_eq!(refused, Err(Refused::Open { retry_after_s: 1 }));
        }
        probe.unwrap().ended(told);
        let then = call(&governor, "b", CHARGES).await;
        assert_eq!(then.is_ok(), told == Told::Well, "{then:?}");
    }
    // Closed, it takes three failures again.
    ends(&governor, Told::Failed).await;
    ends(&governor, Told::Failed).await;
    assert!(call(&governor, "b", CHARGES).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_try_that_nobody_waits_for_is_tried_by_the_next() {
    let governor = governor(&fragile());
    let late = governor.admit("late", post(CHARGES), some_day()).await;
    for _ in 0..3 {
        ends(&governor, Told::Failed).await;
    }
    tokio::time::sleep(ms(5_000)).await;
    let probe = governor.admit("a", post(CHARGES), some_day()).await;
    // What went before it opened tells nothing new.
    late.unwrap().ended(Told::Well);
    assert!(call(&governor, "b", CHARGES).await.is_err());
    drop(probe);
    assert!(call(&governor, "b", CHARGES).await.is_ok());
    assert!(call(&governor, "c", CHARGES).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_are_told_when_the_breaker_opens() {
    let governor = governor(&Limits {
        requests_in_flight_max: 1,
        failures_in_a_row_max: 1,
        ..fragile()
    });
    let fails = governor.admit("a", post(CHARGES), some_day()).await;
    let waiting: Vec<_> = (0..20).map(|_| calling(&governor, "b", CHARGES)).collect();
    settled().await;
    let began = Instant::now();
    fails.unwrap().ended(Told::Failed);
    for call in waiting {
        let refused = call.await.unwrap().unwrap_err();
        assert_eq!(refused, Refused::Open { retry_after_s: 5 });
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    nobody_is_known(&governor);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_refused_and_fails_is_counted() {
    let metrics = Metrics::new(&Clock::set_to(Timestamp::from_unix_ms(1_700_000_000_000)));
    let governor = governor(&Limits {
        requests_in_flight_max: 1,
        failures_in_a_row_max: 1,
        waiting_requests_max: 2,
        metrics: Some(metrics.clone()),
        ..limits()
    });
    let shows = |line: &str| {
        let text = metrics.render();
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    };
    shows(r#"cloakroom_processor_breaker_open{plane="internal"} 0"#);
    let fails = governor.admit("a", post(CHARGES), some_day()).await;
    let waiting: Vec<_> = (0..3).map(|_| calling(&governor, "a", CHARGES)).collect();
    settled().await;
    shows(r#"cloakroom_processor_waiting_requests{plane="internal"} 2"#);
    shows(r#"cloakroom_processor_refusals_total{plane="internal",reason="rate_limited"} 1"#);
    fails.unwrap().ended(Told::Failed);
    for call in waiting {
        assert!(call.await.unwrap().is_err());
    }
    shows(r#"cloakroom_processor_waiting_requests{plane="internal"} 0"#);
    shows(r#"cloakroom_processor_refusals_total{plane="internal",reason="breaker_open"} 2"#);
    shows(r#"cloakroom_processor_breaker_open{plane="internal"} 1"#);
    tokio::time::sleep(ms(5_000)).await;
    ends(&governor, Told::Well).await;
    shows(r#"cloakroom_processor_breaker_open{plane="internal"} 0"#);
}
