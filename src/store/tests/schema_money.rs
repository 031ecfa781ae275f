//! The schema's own guards of owed work, of what the processor reports and of final states.

use super::*;

/// Runs each statement on rows that `made` left, and each is refused.
async fn refuses(bench: &Bench, statements: &[&str]) {
    for statement in statements {
        let words = bench.run(statement).await.expect_err(statement);
        assert!(words.contains("constraint failed"), "{statement}: {words}");
    }
}

#[tokio::test]
async fn a_final_state_is_left_only_for_what_is_written_down_against_it() {
    let bench = Bench::new().await;
    bench.settled(outcome(ChargeStatus::Canceled)).await;
    let succeed = "UPDATE charges SET status = 'succeeded', captured = 1250";
    let refused = bench.run(succeed).await.expect_err("it is final");
    assert!(refused.contains("illegal transition"), "{refused}");
    let written =
        "UPDATE charges SET contradiction = 'captured_after_canceled', contradicted_at_ms = 1";
    bench.run(written).await.unwrap();
    assert_eq!(bench.run(succeed).await, Ok(1));
    // Once it is repaired, the new state is final.
    let repaired = "UPDATE charges SET contradiction = NULL, contradicted_at_ms = NULL";
    bench.run(repaired).await.unwrap();
    for illegal in [
        "UPDATE charges SET status = 'canceled', captured = 0",
        "UPDATE charges SET captured = 1",
    ] {
        let refused = bench.run(illegal).await.expect_err(illegal);
        let known = ["illegal transition", "captured does not change"];
        assert!(
            known.iter().any(|known| refused.contains(known)),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_version_only_goes_up() {
    let bench = Bench::new().await;
    bench.settled(outcome(ChargeStatus::Canceled)).await;
    let down = "UPDATE charges SET version = version - 1";
    let refused = bench.run(down).await.expect_err(down);
    assert!(refused.contains("only goes up"), "{refused}");
    assert_eq!(
        bench.run("UPDATE charges SET version = version + 1").await,
        Ok(1)
    );
}

#[tokio::test]
async fn what_is_owed_to_a_charge_is_never_in_an_illegal_state() {
    let bench = Bench::new().await;
    let charge = bench.settled(outcome(ChargeStatus::Succeeded)).await;
    let whose = account();
    let asked = bench.store.request_review(&whose, charge.id, None, START);
    assert_eq!(asked.await, Ok(true));
    let begun = bench
        .store
        .begin_refund(
            claim("r"),
            refund_of(charge.id, 250),
            event(Action::RefundRequested),
        )
        .await;
    assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
    refuses(
        &bench,
        &[
            "UPDATE charge_reviews SET requests = 0",
            "UPDATE charge_reviews SET tries = -1",
            "UPDATE charge_reviews SET payment = ''",
            "UPDATE charge_reviews SET lease_until_ms = NULL",
            "UPDATE charge_reviews SET lease_token = 0",
            "UPDATE charge_reviews SET charge_id = 'nobody'",
            "INSERT INTO charge_reviews SELECT * FROM charge_reviews",
            "UPDATE refunds SET lease_token = 0",
            "UPDATE refunds SET version = 0",
            "UPDATE refunds SET processor_key = ''",
            "UPDATE refunds SET lease_until_ms = NULL",
            "UPDATE tokens SET version = 0",
            "UPDATE tokens SET lease_token = 0",
            "UPDATE tokens SET detached_at_ms = -1",
        ],
    )
    .await;
}

#[tokio::test]
async fn what_the_processor_reports_is_never_in_an_illegal_state() {
    let bench = Bench::new().await;
    let charge = bench.settled(outcome(ChargeStatus::Succeeded)).await;
    let received = ProcessorEvent {
        account: account(),
        id: "evt_1".into(),
        created_at: START,
        now: START,
        report: Some(Report::Refund {
            payment: "pi_1".into(),
            refund: "re_1".into(),
            status: "succeeded".into(),
        }),
    };
    bench
        .store
        .receive_processor_event(received, event(Action::NoticeTaken))
        .await
        .unwrap();
    let dispute = format!(
        "INSERT INTO disputes (account, id, charge_id, amount, currency, reason, status, open, changed_at_ms, created_at_ms) VALUES ('default', 'dp_1', '{}', 1, 'eur', 'fraudulent', 'won', 0, 1, 1)",
        charge.id
    );
    assert_eq!(bench.run(&dispute).await, Ok(1));
    refuses(
        &bench,
        &[
            "UPDATE processor_events SET body = NULL",
            "UPDATE processor_events SET body = '{'",
            "UPDATE processor_events SET lease_until_ms = NULL",
            "UPDATE processor_events SET status = 'applied'",
            "UPDATE processor_events SET status = 'lost'",
            "UPDATE processor_events SET deliveries = 0",
            "UPDATE processor_events SET lease_token = 0",
            "UPDATE processor_events SET id = ''",
            "INSERT INTO processor_events SELECT * FROM processor_events",
            "UPDATE disputes SET amount = -1",
            "UPDATE disputes SET currency = 'EUR'",
            "UPDATE disputes SET open = 2",
            "UPDATE disputes SET status = ''",
            "UPDATE disputes SET charge_id = 'nobody'",
            "INSERT INTO disputes SELECT * FROM disputes",
        ],
    )
    .await;
}
