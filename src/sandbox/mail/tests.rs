//! The queue without a network.

use super::*;

fn mail(manner: &str) -> Mail {
    let mut mail = Mail::new();
    let manner: Manner = serde_json::from_str(manner).unwrap();
    assert!(manner.is_possible());
    mail.carry(manner);
    mail
}

fn post(mail: &mut Mail, count: usize) {
    let text: Arc<str> = "{}".into();
    for number in 0..count {
        mail.post(&number.to_string(), "we", &text);
    }
}

fn out(mail: &mut Mail, now: Instant) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(delivery) = mail.due(now) {
        mail.delivered();
        events.push(delivery.event);
    }
    events
}

fn in_ms(ms: u64) -> Instant {
    let pause = Duration::from_millis(ms);
    Instant::now().checked_add(pause).unwrap()
}

#[test]
fn good_mail_goes_out_once_and_in_order() {
    let mut mail = mail("{}");
    post(&mut mail, 3);
    assert_eq!(out(&mut mail, Instant::now()), ["0", "1", "2"]);
    assert_eq!((mail.waiting(), mail.tally.delivered), (0, 3));
    assert_eq!(mail.next_at(), None);
}

#[test]
fn duplicates_and_delay_are_as_ordered() {
    let mut mail = mail(r#"{"duplicates":2,"delay_ms":50}"#);
    post(&mut mail, 2);
    assert!(out(&mut mail, Instant::now()).is_empty());
    assert_eq!(out(&mut mail, in_ms(60)), ["0", "0", "0", "1", "1", "1"]);
    assert_eq!(mail.tally.duplicated, 4);
}

#[test]
fn a_window_is_sent_in_the_order_of_its_seed() {
    let order = |seed: u64| {
        let mut mail = mail(&format!(r#"{{"reorder_window":20,"seed":{seed}}}"#));
        post(&mut mail, 19);
        assert!(out(&mut mail, Instant::now()).is_empty());
        post(&mut mail, 1);
        out(&mut mail, Instant::now())
    };
    let first = order(1);
    assert_eq!(first, order(1));
    assert_ne!(first, order(2));
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_ne!(first, sorted);
    let mut sent: Vec<String> = (0..19).chain([0]).map(|n: u32| n.to_string()).collect();
    sent.sort_unstable();
    assert_eq!(sorted, sent);
}

#[test]
fn a_window_that_does_not_fill_is_not_kept_for_ever() {
    let mut mail = mail(r#"{"reorder_window":20}"#);
    post(&mut mail, 3);
    assert!(out(&mut mail, Instant::now()).is_empty());
    assert!(mail.next_at().unwrap() <= in_ms(WINDOW_MS));
    assert_eq!(out(&mut mail, in_ms(WINDOW_MS + 1)).len(), 3);

    post(&mut mail, 3);
    mail.carry(Manner::default());
    assert_eq!(out(&mut mail, Instant::now()).len(), 3);
}

#[test]
fn a_share_is_lost_by_the_seed() {
    for (percent, least, most) in [(0, 1_000, 1_000), (30, 600, 800), (100, 0, 0)] {
        let mut mail = mail(&format!(r#"{{"drop_percent":{percent},"seed":7}}"#));
        post(&mut mail, 1_000);
        let sent = out(&mut mail, Instant::now()).len();
        assert!(
            (least..=most).contains(&sent),
            "{sent} of 1000 at {percent} %"
        );
        assert_eq!(mail.tally.dropped, 1_000 - u64::try_from(sent).unwrap());
    }
}

#[test]
fn stopped_mail_waits_for_better_times() {
    let mut mail = mail(r#"{"stopped":true}"#);
    post(&mut mail, 2);
    assert!(out(&mut mail, in_ms(10)).is_empty());
    assert_eq!((mail.waiting(), mail.next_at()), (2, None));
    mail.carry(Manner::default());
    assert_eq!(out(&mut mail, Instant::now()), ["0", "1"]);
}

#[test]
fn a_refused_delivery_is_tried_again_with_growing_pauses_and_then_given_up() {
    let mut mail = mail("{}");
    post(&mut mail, 1);
    let mut pauses = Vec::new();
    let mut delivery = mail.due(Instant::now()).unwrap();
    loop {
        let before = Instant::now();
        mail.again(delivery);
        let Some(at) = mail.next_at() else {
            break;
        };
        pauses.push(at.duration_since(before).as_millis() / 100);
        delivery = mail.due(at).unwrap();
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32]);
    assert_eq!((mail.tally.refused, mail.tally.given_up), (6, 1));
    assert_eq!(mail.waiting(), 0);
}

#[test]
fn a_full_queue_loses_mail_and_counts_it() {
    let mut mail = mail(r#"{"stopped":true}"#);
    post(&mut mail, DELIVERIES_MAX + 5);
    assert_eq!(mail.waiting(), DELIVERIES_MAX);
    assert_eq!(mail.tally.overflowed, 5);
}

#[test]
fn mail_that_cannot_be_carried_like_that_is_told_so() {
    for manner in [
        r#"{"duplicates":21}"#,
        r#"{"reorder_window":1001}"#,
        r#"{"drop_percent":101}"#,
    ] {
        let manner: Manner = serde_json::from_str(manner).unwrap();
        assert!(!manner.is_possible());
    }
    assert!(serde_json::from_str::<Manner>(r#"{"sideways":1}"#).is_err());
}
