//! Lists: newest first, page by page, by owner and by time.

use super::*;

#[actix_web::test]
async fn payments_are_listed_by_time_and_page_by_page() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let start = stage.clock.now().unix_ms() / 1_000;
    let after_start = |seconds: i64| start.checked_add(seconds).unwrap();
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(stage.post("/v1/payment_intents", &order).await.id());
        stage.clock.advance(10_000);
    }
    made.reverse();
    let list = |query: String| {
        let (stage, path) = (&stage, format!("/v1/payment_intents?{query}"));
        async move { stage.ids(&path).await }
    };
    assert_eq!(list(String::new()).await, (made.clone(), false));
    assert_eq!(list("limit=2".into()).await, (made[..2].to_vec(), true));
    let after = format!("limit=2&starting_after={}", made[1]);
    assert_eq!(list(after).await, (made[2..4].to_vec(), true));
    let before = format!("limit=2&ending_before={}", made[3]);
    assert_eq!(list(before).await, (made[1..3].to_vec(), true));
    let before = format!("limit=5&ending_before={}", made[1]);
    assert_eq!(list(before).await, (made[..1].to_vec(), false));
    let since = format!("created[gte]={}", after_start(20));
    assert_eq!(list(since).await, (made[..3].to_vec(), false));
    let until = format!("created[gt]={}&created[lt]={}", start, after_start(30));
    assert_eq!(list(until).await, (made[2..4].to_vec(), false));
    assert_eq!(list(format!("created={start}")).await.0, [made[4].clone()]);
    for (query, code) in [
        ("starting_after=pi_x", "resource_missing"),
        ("limit=0", "-"),
        ("limit=101", "-"),
        ("created[gte]=yesterday", "parameter_invalid_integer"),
        ("surprise=1", "parameter_unknown"),
    ] {
        let answer = stage.get(&format!("/v1/payment_intents?{query}")).await;
        assert_eq!(
            answer.refusal(),
            (400, "invalid_request_error", code),
            "{query}"
        );
    }
}

#[actix_web::test]
async fn everything_is_listed_by_what_it_belongs_to() {
    let stage = Stage::open();
    let mut owners = Vec::new();
    for _ in 0..2 {
        let paid = stage.charge_off_session("4242424242424242").await;
        let text = |name: &str| paid.body[name].as_str().unwrap().to_owned();
        let form = format!("payment_intent={}&amount=100", paid.id());
        let refund = stage.post("/v1/refunds", &form).await.id();
        owners.push((
            text("customer"),
            text("payment_method"),
            paid.id(),
            text("latest_charge"),
            refund,
        ));
    }
    let (customer, method, intent, charge, refund) = owners.remove(0);
    for (path, id) in [
        (format!("/v1/payment_intents?customer={customer}"), &intent),
        (format!("/v1/charges?customer={customer}"), &charge),
        (format!("/v1/charges?payment_intent={intent}"), &charge),
        (format!("/v1/refunds?payment_intent={intent}"), &refund),
        (format!("/v1/refunds?charge={charge}&limit=100"), &refund),
        (
            format!("/v1/payment_methods?customer={customer}&type=card"),
            &method,
        ),
        (format!("/v1/customers/{customer}/payment_methods"), &method),
    ] {
        assert_eq!(stage.ids(&path).await, (vec![id.clone()], false), "{path}");
    }
    let none = format!("/v1/payment_methods?customer={customer}&type=sepa_debit");
    assert!(stage.ids(&none).await.0.is_empty());
    assert_eq!(stage.ids("/v1/payment_methods?type=card").await.0.len(), 2);
    assert_eq!(stage.ids("/v1/refunds").await.0.len(), 2);
    let nobody = stage.get("/v1/customers/cus_x/payment_methods").await;
    assert_eq!(nobody.status, 404);
    stage
        .post(&format!("/v1/payment_methods/{method}/detach"), "")
        .await
        .id();
    let path = format!("/v1/customers/{customer}/payment_methods");
    assert!(stage.ids(&path).await.0.is_empty());
}

#[actix_web::test]
async fn metadata_is_added_to_afterwards() {
    let stage = Stage::open();
    let paid = stage.charge_off_session("4242424242424242").await;
    let path = format!("/v1/payment_intents/{}", paid.id());
    let form = "metadata[order]=8&description=Socks";
    let changed = stage.post(&path, form).await.body;
    assert_eq!(changed["metadata"]["order"], "8");
    assert_eq!(stage.get(&path).await.body, changed);
    let form = format!(
        "payment_intent={}&metadata[a]=1&reason=fraudulent",
        paid.id()
    );
    let refund = stage.post("/v1/refunds", &form).await;
    assert_eq!(refund.body["reason"], "fraudulent");
    let path = format!("/v1/refunds/{}", refund.id());
    let changed = stage.post(&path, "metadata[b]=2").await.body;
    assert_eq!(changed["metadata"], serde_json::json!({"a": "1", "b": "2"}));
    assert_eq!(stage.post(&path, "amount=1").await.status, 400);
}
