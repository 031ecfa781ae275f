//! How fair: clients are served in turns, and each client's calls in their order.

use std::task::Poll;

use super::*;

fn slow() -> Limits {
    Limits {
        endpoint_requests_per_s_max: 25,
        wait_ms_max: 60_000,
        ..limits()
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_client_waits_two_turns_where_a_flooding_one_waits_twenty_seconds() {
    let governor = governor(&slow());
    let began = Instant::now();
    let flood: Vec<_> = (0..500)
        .map(|_| calling(&governor, "flood", CHARGES))
        .collect();
    settled().await;

    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let came = Instant::now();
        call(&governor, "quiet", CHARGES).await.unwrap();
        longest = longest.max(came.elapsed());
        tokio::time::sleep(ms(333)).await;
    }
    let mut last = began;
    for call in flood {
        last = last.max(call.await.unwrap().unwrap());
    }
    let flooded = last.duration_since(began);
    println!("quiet waits {longest:?} at most, the flood's last {flooded:?}");
    // A turn takes 42 ms: one for the call that is due, one for the quiet client's.
    assert!(longest <= ms(86), "{longest:?}");
    assert!(flooded >= Duration::from_secs(20), "{flooded:?}");
}

#[tokio::test(start_paused = true)]
async fn clients_share_alike_however_many_calls_each_makes() {
    let governor = governor(&slow());
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (client, calls) in [("a", 300), ("b", 60), ("c", 60)] {
        for _ in 0..calls {
            let (governor, served) = (Arc::clone(&governor), Arc::clone(&served));
            tasks.push(tokio::spawn(async move {
                call(&governor, client, CHARGES).await.unwrap();
                served.lock().unwrap().push(client);
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let served = served.lock().unwrap();
    let of = |client| served[..150].iter().filter(|name| **name == client).count();
    assert_eq!((of("a") + of("b") + of("c"), served.len()), (150, 420));
    // The first two of "a" found nobody there and went at once.
    for client in ["a", "b", "c"] {
        assert!((49..=52).contains(&of(client)), "{client}: {}", of(client));
    }
}

#[tokio::test(start_paused = true)]
async fn one_clients_calls_go_in_the_order_in_which_they_came() {
    let governor = governor(&slow());
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..60 {
        for client in ["a", "b"] {
            let (governor, served) = (Arc::clone(&governor), Arc::clone(&served));
            tasks.push(tokio::spawn(async move {
                call(&governor, client, CHARGES).await.unwrap();
                served.lock().unwrap().push((client, number));
            }));
        }
        settled().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    for client in ["a", "b"] {
        let served = served.lock().unwrap();
        let of_client = served.iter().filter(|(name, _)| *name == client);
        let numbers: Vec<i32> = of_client.map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "{client}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_fills_the_queue_gives_way_to_who_has_less_there() {
    let governor = governor(&Limits {
        waiting_requests_max: 100,
        ..slow()
    });
    let flood: Vec<_> = (0..102)
        .map(|_| calling(&governor, "flood", CHARGES))
        .collect();
    settled().await;
    let (waiting, ..) = governor.state().known();
    assert_eq!(waiting, 100);

    // One more of its own is refused; another client's takes the place of its newest.
    let refused = call(&governor, "flood", CHARGES).await.unwrap_err();
    assert_eq!(refused, Refused::Limited { retry_after_s: 5 });
    let quiet = calling(&governor, "quiet", CHARGES);
    settled().await;
    assert!(flood[101].is_finished() && !flood[100].is_finished());
    assert!(quiet.await.unwrap().is_ok());
    let mut refused = 0;
    for call in flood {
        refused += u32::from(call.await.unwrap().is_err());
    }
    assert_eq!(refused, 1);
    nobody_is_known(&governor);
}

#[tokio::test(start_paused = true)]
async fn among_equals_a_full_queue_refuses_the_one_that_comes() {
    let governor = governor(&Limits {
        waiting_requests_max: 4,
        ..slow()
    });
    let calls = ["a", "b", "c", "d", "e", "f"].map(|client| calling(&governor, client, CHARGES));
    settled().await;
    assert!(call(&governor, "g", CHARGES).await.is_err());
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

/// A call that a session of the client "shop" waits for, and how long it waited.
fn posting(
    governor: &Arc<Governor>,
    session: &str,
) -> tokio::task::JoinHandle<Result<Duration, Refused>> {
    let (governor, session) = (Arc::clone(governor), session.to_owned());
    tokio::spawn(async move {
        let came = Instant::now();
        let caller = Caller {
            client: "shop",
            session: Some(&session),
        };
        let permit = governor.admit(caller, post(CHARGES), some_day()).await?;
        permit.ended(Told::Well);
        Ok(came.elapsed())
    })
}

#[tokio::test(start_paused = true)]
async fn a_session_that_posts_without_end_leaves_the_turns_of_its_client_to_the_others() {
    let governor = governor(&Limits {
        wait_ms_max: 1_000,
        ..slow()
    });
    let flood: Vec<_> = (0..500).map(|_| posting(&governor, "used")).collect();
    settled().await;
    let (waiting, ..) = governor.state().known();
    assert_eq!((waiting, governor.sessions.known()), (2, 1));

    let honest = ["a", "b", "c", "d", "e", "f"].map(|session| posting(&governor, session));
    for shopper in honest {
        let waited = shopper.await.unwrap().unwrap();
        assert!(waited < ms(400), "{waited:?}");
    }
    let mut refused = 0;
    for call in flood {
        if let Err(why) = call.await.unwrap() {
            assert_eq!(why, Refused::Limited { retry_after_s: 1 });
            refused += 1;
        }
    }
    // Those that found nobody there went at once, one after the other.
    assert!(refused >= 490, "{refused}");
    assert_eq!(governor.sessions.known(), 0);
    nobody_is_known(&governor);
}

#[tokio::test(start_paused = true)]
async fn a_session_has_its_calls_back_when_they_end_or_nobody_waits_for_them() {
    let governor = governor(&Limits {
        requests_in_flight_max: 1,
        ..limits()
    });
    let caller = Caller {
        client: "shop",
        session: Some("a"),
    };
    let admit = || governor.admit(caller, post(CHARGES), some_day());
    let first = admit().await;
    let mut second = Box::pin(admit());
    let polled = std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await;
    assert!(polled.is_pending(), "one at a time is on its way");
    let refused = admit().await.map(drop);
    assert_eq!(refused, Err(Refused::Limited { retry_after_s: 1 }));
    drop((second, first));
    assert_eq!(governor.sessions.known(), 0);
    drop(admit().await);
    assert_eq!(governor.sessions.known(), 0);
}
