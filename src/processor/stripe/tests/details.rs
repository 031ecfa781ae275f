//! What the networks and the issuer said of a payment, and what is no such word.

use super::*;
use crate::processor::{Check, PaymentDetails};

#[tokio::test]
async fn what_the_networks_and_the_issuer_said_is_read_from_the_payments_charge() {
    let with = |charge: &str| {
        let mut payment: serde_json::Value = serde_json::from_str(PAYMENT).unwrap();
        payment["latest_charge"] = serde_json::from_str(charge).unwrap();
        payment.to_string()
    };
    let card = r#"{"id":"ch_1","payment_method_details":{"card":{"network_transaction_id":"MDHEWAJ051129","checks":{"cvc_check":"pass","address_postal_code_check":"fail","address_line1_check":null}}}}"#;
    let said = PaymentDetails {
        network_transaction_id: Some("MDHEWAJ051129".into()),
        cvc_check: Some(Check::Pass),
        postal_code_check: Some(Check::Fail),
    };
    for (charge, expected) in [
        (card, said),
        (r#""ch_1""#, PaymentDetails::default()),
        ("null", PaymentDetails::default()),
        ("7", PaymentDetails::default()),
        (
            r#"{"id":"ch_1","payment_method_details":{"type":"link"}}"#,
            PaymentDetails::default(),
        ),
        (
            r#"{"payment_method_details":{"card":{"network_transaction_id":"two words","checks":{"cvc_check":"brand_new","address_postal_code_check":7}}}}"#,
            PaymentDetails::default(),
        ),
    ] {
        let peer = Peer::start(vec![ok(&with(charge))]).await;
        let payment = processor(&peer).payment("pi_1", CLIENT).await.unwrap();
        assert_eq!(payment.details, expected, "{charge}");
        let asked = peer.received()[0].path.clone();
        assert!(asked.contains("expand"), "{asked}");
    }
}
