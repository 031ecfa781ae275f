//! What an admission costs when nobody waits. To be run by hand, optimised:
//! `cargo test --release --lib cost_of_an -- --ignored --nocapture`.

use super::*;

#[tokio::test]
#[ignore = "a measurement, which asserts no time"]
async fn cost_of_an_uncontended_admission() {
    const CALLS: u32 = 2_000_000;
    let governor = governor(&Limits {
        requests_per_s_max: u32::MAX,
        endpoint_requests_per_s_max: u32::MAX,
        ..limits()
    });
    let (charges, deadline) = (post(CHARGES), some_day());
    let began = std::time::Instant::now();
    let mut went = 0_u32;
    for _ in 0..CALLS {
        let permit = governor.admit("a", charges, deadline).await;
        went += u32::from(permit.is_ok());
        permit.unwrap().ended(Told::Well);
    }
    let each = began.elapsed().as_nanos() / u128::from(CALLS);
    println!("{each} ns for an admission and its end");
    assert_eq!(went, CALLS);
}
