//! How fast: no second, wherever it begins, sees more calls than the limits say.

use super::*;

async fn moments(calls: Vec<tokio::task::JoinHandle<Result<Instant, Refused>>>) -> Vec<Instant> {
    let mut moments = Vec::new();
    for call in calls {
        moments.push(call.await.unwrap().unwrap());
    }
    moments
}

#[tokio::test(start_paused = true)]
async fn no_second_sees_more_calls_than_the_account_takes_and_little_is_wasted() {
    let governor = governor(&Limits {
        requests_per_s_max: 50,
        wait_ms_max: 60_000,
        ..limits()
    });
    let began = Instant::now();
    let calls = (0..400).map(|number| calling(&governor, &format!("c{}", number % 4), CHARGES));
    let moments = moments(calls.collect()).await;
    assert_eq!(most_in_a_second(moments), 50);
    // 47.6 a second in the long run.
    let took = began.elapsed();
    assert!(took > ms(7_900) && took < ms(8_700), "{took:?}");
    nobody_is_known(&governor);
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_has_a_rate_of_its_own() {
    let governor = governor(&Limits {
        requests_per_s_max: 100,
        endpoint_requests_per_s_max: 25,
        wait_ms_max: 60_000,
        ..limits()
    });
    let began = Instant::now();
    let charges = (0..50).map(|_| calling(&governor, "a", CHARGES)).collect();
    let refunds = (0..50).map(|_| calling(&governor, "a", REFUNDS)).collect();
    let (charges, refunds) = (moments(charges).await, moments(refunds).await);
    assert!(most_in_a_second(charges) <= 25);
    assert!(most_in_a_second(refunds) <= 25);
    // Side by side, not one after the other.
    assert!(began.elapsed() < ms(2_200), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_busy_endpoint_holds_up_none_to_another() {
    let governor = governor(&Limits {
        requests_per_s_max: 100,
        endpoint_requests_per_s_max: 10,
        ..limits()
    });
    let charges: Vec<_> = (0..50).map(|_| calling(&governor, "a", CHARGES)).collect();
    settled().await;
    let began = Instant::now();
    for _ in 0..5 {
        call(&governor, "a", REFUNDS).await.unwrap();
        tokio::time::sleep(ms(100)).await;
    }
    assert!(began.elapsed() < ms(520), "{:?}", began.elapsed());
    assert!(!charges.last().unwrap().is_finished());
}

#[tokio::test(start_paused = true)]
async fn neither_plane_starves_the_other_and_both_stay_within_the_accounts_limit() {
    let plane = |plane, requests_per_s_max| {
        governor(&Limits {
            plane,
            requests_per_s_max,
            wait_ms_max: 60_000,
            ..limits()
        })
    };
    let capture = plane(Plane::Capture, 12);
    let internal = plane(Plane::Internal, 13);

    // A flood of charges delays no card.
    let mut calls: Vec<_> = (0..260).map(|_| calling(&internal, "b", CHARGES)).collect();
    settled().await;
    let began = Instant::now();
    call(&capture, "s", "/v1/payment_methods").await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);

    // A flood of cards at the same time: each has its share, and no second sees more than 25.
    calls.extend((0..240).map(|_| calling(&capture, "s", "/v1/payment_methods")));
    let moments = moments(calls).await;
    let most = most_in_a_second(moments);
    assert!((24..=25).contains(&most), "{most}");
    assert!(began.elapsed() < ms(21_500), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_calls_are_on_their_way_at_one_time() {
    let governor = governor(&Limits {
        requests_in_flight_max: 3,
        ..limits()
    });
    let permit = || governor.admit("a", post(CHARGES), some_day());
    let (first, second, third) = (permit().await, permit().await, permit().await);
    let fourth = calling(&governor, "a", CHARGES);
    tokio::time::sleep(ms(500)).await;
    assert!(!fourth.is_finished());
    first.unwrap().ended(Told::Well);
    assert!(fourth.await.unwrap().is_ok());
    drop((second, third));
}
