//! A counted refusal, and what it is worth without its proof.

use std::sync::Arc;

use super::*;
use crate::seal::mac::{MacKey, MacKeys};
use crate::seal::order::OrderKeys;
use crate::token::Environment;

fn orders() -> Orders {
    let keys = || MacKeys::new(MacKey::parse(MacKey::generate().as_bytes()).unwrap(), None);
    let keys = OrderKeys::new(Some(keys()), Arc::new(keys()));
    Orders::new(
        Environment::Test,
        keys,
        Arc::new(|_| panic!("nothing is forged here")),
    )
}

fn counted(orders: &Orders, first: &str, count: u32) -> Refusals {
    let proof = orders.sign(&refusals_order(orders, first, count)).unwrap();
    Refusals { count, proof }
}

#[test]
fn after_each_refusal_the_processor_is_asked_under_another_key() {
    let orders = orders();
    let first = "cloakroom-0123456789abcdef";
    let mut key = Won::without_a_key().processor_key(&orders, first);
    assert_eq!(key, first);
    for count in 1..=12 {
        let (made_of, before) = made_of(&key);
        assert_eq!((made_of, before + 1), (first, count));
        let resource = counted(&orders, first, count).resource();
        assert!(resource.len() <= 64, "{resource}");
        key = Won(Refusals::parse(&resource)).processor_key(&orders, first);
        assert_eq!(key, format!("{first}-{count}"));
    }
    // A keyed hash that happens to be all digits is no count.
    let digits = format!("cloakroom-{}", "1".repeat(64));
    assert_eq!(made_of(&digits), (digits.as_str(), 0));
    assert_eq!(Refusals::parse("test_chg_1"), None);
}

#[test]
fn a_count_that_nobody_has_ordered_leads_to_the_key_that_the_processor_knows() {
    let (ours, theirs) = (orders(), orders());
    let first = "cloakroom-0123456789abcdef";
    let another = counted(&ours, "cloakroom-fedcba9876543210", 1);
    let mut higher = counted(&ours, first, 1);
    higher.count = 2;
    for forged in [another, higher, counted(&theirs, first, 1)] {
        let won = Won(Refusals::parse(&forged.resource()));
        assert_eq!(won.processor_key(&ours, first), first);
    }
    assert_eq!(Refusals::parse("refused/3"), None);
}
