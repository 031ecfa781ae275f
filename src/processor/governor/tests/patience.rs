//! How patient: who cannot be served in time is told at once, with a time that holds.

use super::*;

fn ten_a_second() -> Limits {
    Limits {
        requests_per_s_max: 10,
        ..limits()
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_with_the_time_after_which_it_is_empty() {
    let governor = governor(&Limits {
        waiting_requests_max: 10,
        ..ten_a_second()
    });
    let waiting: Vec<_> = (0..11).map(|_| calling(&governor, "a", CHARGES)).collect();
    settled().await;
    let began = Instant::now();
    // The eleventh to wait would go after 1.1 s.
    let refused = call(&governor, "a", CHARGES).await;
    assert_eq!(refused, Err(Refused::Limited { retry_after_s: 2 }));
    assert_eq!(began.elapsed(), Duration::ZERO);

    tokio::time::sleep(Duration::from_secs(2)).await;
    let came_back = Instant::now();
    call(&governor, "a", CHARGES).await.unwrap();
    assert_eq!(came_back.elapsed(), Duration::ZERO);
    for call in waiting {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_over_the_limit_or_over_the_deadline_is_not_begun() {
    let governor = governor(&Limits {
        wait_ms_max: 2_000,
        ..ten_a_second()
    });
    let waiting: Vec<_> = (0..15).map(|_| calling(&governor, "a", CHARGES)).collect();
    settled().await;
    let began = Instant::now();
    // 14 wait, so that the next would go after 1.5 s: within the limit, and not within 1 s.
    let deadline = after(began, Duration::from_secs(1));
    let refused = governor.admit("a", post(CHARGES), deadline).await.map(drop);
    assert_eq!(refused, Err(Refused::Limited { retry_after_s: 2 }));
    let fits: Vec<_> = (0..5).map(|_| calling(&governor, "a", CHARGES)).collect();
    settled().await;
    let refused = call(&governor, "a", CHARGES).await;
    assert_eq!(refused, Err(Refused::Limited { retry_after_s: 3 }));
    assert_eq!(began.elapsed(), Duration::ZERO);
    for call in waiting.into_iter().chain(fits) {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_does_not_come_is_told_when_its_patience_ends() {
    let governor = governor(&Limits {
        requests_in_flight_max: 1,
        wait_ms_max: 3_000,
        ..limits()
    });
    let hangs = governor.admit("a", post(CHARGES), some_day()).await;
    let began = Instant::now();
    assert!(call(&governor, "b", CHARGES).await.is_err());
    assert_eq!(began.elapsed(), ms(3_000));
    let deadline = after(Instant::now(), ms(700));
    let began = Instant::now();
    assert!(governor.admit("b", post(CHARGES), deadline).await.is_err());
    assert_eq!(began.elapsed(), ms(700));
    nobody_is_known(&governor);

    // How long calls take is part of the estimate from now on: (0 + 3.7 s) / 8.
    drop(hangs);
    let hangs = governor.admit("a", post(CHARGES), some_day()).await;
    let deadline = after(Instant::now(), ms(400));
    let began = Instant::now();
    assert!(governor.admit("b", post(CHARGES), deadline).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(hangs);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waits_for_any_more_gives_its_place_back() {
    let governor = governor(&ten_a_second());
    call(&governor, "a", CHARGES).await.unwrap();
    let dropped: Vec<_> = (0..50).map(|_| calling(&governor, "a", CHARGES)).collect();
    settled().await;
    let stays = calling(&governor, "b", CHARGES);
    let newest = calling(&governor, "c", CHARGES);
    settled().await;
    let began = Instant::now();
    // With the newest, the timekeeper goes; another takes over.
    newest.abort();
    for call in &dropped {
        call.abort();
    }
    assert!(stays.await.unwrap().is_ok());
    assert!(began.elapsed() <= ms(101), "{:?}", began.elapsed());
    settled().await;
    nobody_is_known(&governor);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_nobody_takes_goes_to_the_next() {
    let governor = governor(&Limits {
        requests_in_flight_max: 1,
        ..limits()
    });
    let running = governor.admit("a", post(CHARGES), some_day()).await;
    let mut called = Box::pin(governor.admit("b", post(CHARGES), some_day()));
    assert!(futures_util::poll!(&mut called).is_pending());
    let next = calling(&governor, "c", CHARGES);
    settled().await;
    // The place is called, and dropped before it has heard.
    drop(running);
    drop(called);
    let began = Instant::now();
    assert!(next.await.unwrap().is_ok());
    assert!(began.elapsed() < ms(2));
    nobody_is_known(&governor);
    // And its place among those on their way is free again.
    assert!(call(&governor, "d", CHARGES).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn clients_that_do_not_wait_are_forgotten() {
    let governor = governor(&Limits {
        requests_per_s_max: 1_000,
        waiting_requests_max: 500,
        ..limits()
    });
    let mut calls = Vec::new();
    for round in 0..10 {
        for number in 0..1_000 {
            calls.push(calling(&governor, &format!("{round}-{number}"), CHARGES));
        }
        settled().await;
        let (waiting, (lanes, turns), ..) = governor.state().known();
        assert!(waiting <= 500 && lanes == waiting && turns == waiting);
    }
    let (mut served, mut refused) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => served += 1,
            Err(_) => refused += 1,
        }
    }
    assert_eq!(served + refused, 10_000);
    assert!(served >= 500 && refused > 0, "{served} {refused}");
    nobody_is_known(&governor);
}
