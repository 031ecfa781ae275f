//! The security code of a saved card at Stripe.

use super::*;
use crate::card::{Brand, Cvc};
use crate::processor::{Failure, RequestFault, SecurityCodeOrder};

const CVC_TOKEN: &str = r#"{"id":"cvctok_1","object":"token","type":"cvc_update","used":false}"#;

fn order() -> SecurityCodeOrder<'static> {
    SecurityCodeOrder {
        idempotency_key: "key",
        client: CLIENT,
        session: "test_cs_1",
    }
}

fn code() -> Cvc {
    Cvc::parse("123", Brand::Visa).unwrap()
}

#[tokio::test]
async fn a_code_becomes_a_token_of_stripes() {
    let peer = Peer::start(vec![ok(CVC_TOKEN)]).await;
    let name = processor(&peer).take_security_code(code(), &order()).await;
    assert_eq!(name.as_deref(), Ok("cvctok_1"));
    let asked = &peer.received()[0];
    assert_eq!(asked.path, "/v1/tokens");
    assert_form(asked, &[("cvc_update[cvc]", "123")]);
}

#[tokio::test]
async fn what_is_no_token_of_a_code_is_not_taken_for_one() {
    for answer in [
        r#"{"id":"tok_1","object":"token"}"#,
        r#"{"id":"cvctok_1/../x","object":"token"}"#,
        "{}",
    ] {
        let peer = Peer::start(vec![ok(answer)]).await;
        let name = processor(&peer).take_security_code(code(), &order()).await;
        assert_eq!(name, Err(Failure::OutcomeUnknown), "{answer}");
    }
}

#[tokio::test]
async fn a_charge_is_made_with_it_and_a_used_one_is_told_by_its_field() {
    let metadata = BTreeMap::new();
    let order = ChargeOrder {
        off_session: false,
        security_code: Some("cvctok_1"),
        ..charge_order(&metadata)
    };
    let param = "payment_method_options[card][cvc_token]";
    for code in ["token_already_used", "resource_missing"] {
        let error = format!(
            r#"{{"error":{{"type":"invalid_request_error","code":"{code}","param":"{param}"}}}}"#
        );
        let peer = Peer::start(vec![Reply::json(400, &error)]).await;
        let failed = processor(&peer).charge(&reference(), &order).await;
        let fault = RequestFault {
            pointer: "/security_code",
            reason: "used",
        };
        assert_eq!(failed, Err(Failure::Invalid(fault)), "{code}");
        let pairs = peer.received()[0].pairs();
        assert!(pairs.contains(&pair(param, "cvctok_1")));
    }
}
