//! Cards that change.

use serde_json::json;

use super::*;

#[actix_web::test]
async fn the_network_brings_news_of_a_card() {
    let stage = Stage::open();
    let (customer, method) = stage.set_up("4242424242424242").await;
    let control = format!("payment_methods/{method}/update");
    let path = format!("/v1/payment_methods/{method}");
    let was = stage.get(&path).await.body;
    let news = r#"{"exp_month":3,"exp_year":2034}"#;
    let is = stage.control(&control, news).await;
    assert_eq!(
        (&is["card"]["exp_month"], &is["card"]["exp_year"]),
        (&json!(3), &json!(2034))
    );
    assert_eq!(is["card"]["fingerprint"], was["card"]["fingerprint"]);
    assert_eq!(stage.get(&path).await.body, is);
    let told = stage.told(&method).await;
    let last = told.last().unwrap();
    assert_eq!(last["type"], "payment_method.automatically_updated");
    assert_eq!(last["data"]["object"], is);
    let before = json!({"card": {"exp_month": 12, "exp_year": 2031}});
    assert_eq!(last["data"]["previous_attributes"], before);

    let news = r#"{"exp_month":3,"exp_year":2034,"last4":"0077","brand":"mastercard"}"#;
    let is = stage.control(&control, news).await;
    assert_eq!(
        (&is["card"]["last4"], &is["card"]["brand"]),
        (&json!("0077"), &json!("mastercard"))
    );
    assert_ne!(is["card"]["fingerprint"], was["card"]["fingerprint"]);
    let order = format!(
        "amount=100&currency=eur&customer={customer}&payment_method={method}&confirm=true&off_session=true"
    );
    let paid = stage.post("/v1/payment_intents", &order).await;
    let charge = paid.body["latest_charge"].as_str().unwrap();
    let charge = stage.get(&format!("/v1/charges/{charge}")).await.body;
    assert_eq!(charge["payment_method_details"]["card"]["last4"], "0077");
}

#[actix_web::test]
async fn news_that_makes_no_sense_changes_nothing() {
    let stage = Stage::open();
    let (_, method) = stage.set_up("4242424242424242").await;
    let path = format!("/v1/payment_methods/{method}");
    let was = stage.get(&path).await.body;
    let control = format!("/_sandbox/payment_methods/{method}/update");
    for (news, status) in [
        (r#"{"exp_month":13,"exp_year":2034}"#, 402),
        (r#"{"exp_month":1,"exp_year":2020}"#, 402),
        (r#"{"exp_month":1}"#, 400),
        (r#"{"exp_month":1,"exp_year":2034,"last4":"77"}"#, 400),
        (r#"{"exp_month":1,"exp_year":2034,"brand":"diamond"}"#, 400),
    ] {
        assert_eq!(stage.post(&control, news).await.status, status, "{news}");
    }
    assert_eq!(stage.get(&path).await.body, was);
    let loose = stage.method("4242424242424242").await;
    let control = format!("/_sandbox/payment_methods/{loose}/update");
    let news = r#"{"exp_month":1,"exp_year":2034}"#;
    assert_eq!(stage.post(&control, news).await.status, 400);
    assert_eq!(
        stage
            .post("/_sandbox/payment_methods/pm_x/update", news)
            .await
            .status,
        404
    );
}

#[actix_web::test]
async fn a_merchant_corrects_what_it_knows_of_a_card() {
    let stage = Stage::open();
    let (_, method) = stage.set_up("5555555555554444").await;
    let path = format!("/v1/payment_methods/{method}");
    let form = "card[exp_month]=7&billing_details[name]=Ada&billing_details[address][city]=Ulm&metadata[k]=v";
    let is = stage.post(&path, form).await;
    assert_eq!(is.body["card"]["exp_month"], 7);
    assert_eq!(is.body["card"]["exp_year"], 2031);
    assert_eq!(is.body["billing_details"]["name"], "Ada");
    let told = stage.told(&method).await;
    let last = told.last().unwrap();
    assert_eq!(last["type"], "payment_method.updated");
    let before = json!({
        "billing_details": {"address": {"city": null}, "name": null},
        "card": {"exp_month": 12},
        "metadata": {"k": null},
    });
    assert_eq!(last["data"]["previous_attributes"], before);
    let later = stage.post(&path, "card[exp_year]=2035").await.body;
    assert_eq!(later["billing_details"]["address"]["city"], "Ulm");
    assert_eq!(
        (&later["card"]["exp_month"], &later["card"]["exp_year"]),
        (&json!(7), &json!(2035))
    );
    assert_eq!(stage.post(&path, "card[exp_year]=2020").await.status, 402);
    assert_eq!(stage.post(&path, "surprise=1").await.status, 400);
    let loose = stage.method("4242424242424242").await;
    let path = format!("/v1/payment_methods/{loose}");
    assert_eq!(stage.post(&path, "metadata[a]=b").await.status, 400);
}
