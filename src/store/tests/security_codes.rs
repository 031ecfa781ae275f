//! The security code that a charge is made with: kept until it is settled, and bound for good.

use super::*;

#[tokio::test]
async fn a_charge_keeps_a_security_code_until_it_is_settled_and_its_order_for_good() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let code = NewSecurityCode {
        sealed: vec![7; 412],
        fault: None,
    };
    let charge = NewCharge {
        security_code: Some(code.clone()),
        ..charge_of(token.id)
    };
    let begun = bench
        .store
        .begin_charge(claim("c"), charge.clone(), opening())
        .await;
    let Ok(Begun::New(work)) = begun else {
        panic!("{begun:?}");
    };
    assert_eq!(work.charge.security_code_token, Some(code.sealed));
    assert_eq!(bench.row(charge.id).await, *work.charge);
    let authority = Authority::Holder(&work.lease);
    let held = outcome(ChargeStatus::RequiresCapture);
    settle(&bench.store, authority, charge.id, held)
        .await
        .unwrap();
    let row = bench.row(charge.id).await;
    assert_eq!(row.security_code_token, None);
    assert!(row.security_code_hash.is_some());
    // What is left of it is enough to believe that the charge was ordered.
    let capture = bench
        .store
        .begin_operation(
            Claim {
                route: "charges:capture",
                ..claim("s")
            },
            operation_of(charge.id, ChargeOperation::Capture),
            event(Action::ChargeCaptureRequested),
        )
        .await;
    assert!(matches!(capture, Ok(Begun::New(_))), "{capture:?}");
}

#[tokio::test]
async fn no_charge_is_begun_with_a_security_code_that_is_over_and_its_key_is_free() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let code = |fault| NewCharge {
        security_code: Some(NewSecurityCode {
            sealed: vec![7; 412],
            fault,
        }),
        ..charge_of(token.id)
    };
    let begin = async |charge| {
        let begun = bench.store.begin_charge(claim("c"), charge, opening());
        begun.await.unwrap()
    };
    for fault in [CodeFault::Expired, CodeFault::NotValid] {
        let refused = begin(code(Some(fault))).await;
        assert_eq!(refused, Begun::Refused(NotChargeable::Code(fault)));
    }
    assert!(matches!(begin(code(None)).await, Begun::New(_)));
    // What stands is answered, whatever has become of the code since.
    for fault in [CodeFault::Expired, CodeFault::NotValid] {
        assert_eq!(begin(code(Some(fault))).await, Begun::InFlight);
    }
}

#[tokio::test]
async fn a_charge_whose_security_code_was_exchanged_or_taken_away_is_not_made() {
    for change in [
        "security_code_token = NULL",
        "security_code_token = x'0707'",
        "security_code_token = NULL, security_code_hash = NULL",
    ] {
        let bench = Bench::new().await;
        let token = bench.token().await;
        let charge = NewCharge {
            security_code: Some(NewSecurityCode {
                sealed: vec![7; 412],
                fault: None,
            }),
            ..charge_of(token.id)
        };
        let begun = bench
            .store
            .begin_charge(claim("c"), charge.clone(), opening())
            .await;
        assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
        let id = charge.id;
        bench
            .run(&format!("UPDATE charges SET {change} WHERE id = '{id}'"))
            .await
            .unwrap();
        assert!(
            take_charges(&bench.store, 7_200).await.is_empty(),
            "{change}"
        );
    }
}
