//! The signature: over which bytes, by which secret, and when.

use super::*;

const OTHER: &str = "whsec_ffffffffffffffffffffffffffffffff";

fn body() -> Vec<u8> {
    serde_json::to_vec(&event("customer.created", json!({}))).unwrap()
}

fn refused(header: &str) -> NoticeRefused {
    read(&[secret(SECRET)], header, &body(), NOW).unwrap_err()
}

#[test]
fn a_signature_made_elsewhere_is_the_same() {
    // printf '1492774577.{"id":1}' | openssl dgst -sha256 -hmac whsec_0123456789abcdef0123456789abcdef
    let made = signature(SECRET, "1492774577", br#"{"id":1}"#);
    assert_eq!(
        made,
        "b1863edb08fc278a007212ac7f458918c314a0a2f53a468365fe611f2665c217"
    );
}

#[test]
fn a_notice_that_stripe_signed_is_read() {
    let body = body();
    let notice = signed(&body).unwrap();
    assert_eq!(notice.id, "evt_1Pgc76B7WZ01zgkWwyRHS12y");
    assert!(!notice.live);
    assert_eq!(notice.created.unix_ms(), 1_795_411_100_000);
    assert_eq!(notice.what, What::Other);

    let live = String::from_utf8(body).unwrap();
    let live = live.replace(r#""livemode":false"#, r#""livemode":true"#);
    assert!(signed(live.as_bytes()).unwrap().live);
}

#[test]
fn another_secrets_signature_is_none() {
    let body = body();
    let header = header(OTHER, &NOW_S.to_string(), &body);
    let read_with = |secrets: &[&str]| {
        let secrets: Vec<_> = secrets.iter().map(|text| secret(text)).collect();
        read(&secrets, &header, &body, NOW)
    };
    assert_eq!(read_with(&[SECRET]), Err(NoticeRefused::Signature));
    assert_eq!(read_with(&[]), Err(NoticeRefused::Signature));
    // A prefix of the secret is another secret.
    let prefix = OTHER.strip_suffix('f').unwrap();
    assert_eq!(read_with(&[prefix]), Err(NoticeRefused::Signature));
    // While a secret is rotated, either is ours.
    assert!(read_with(&[SECRET, OTHER]).is_ok());
    assert!(read_with(&[OTHER, SECRET]).is_ok());
}

#[test]
fn one_right_signature_among_several_is_enough() {
    let (time, body) = (NOW_S.to_string(), body());
    let (ours, other) = (
        signature(SECRET, &time, &body),
        signature(OTHER, &time, &body),
    );
    for header in [
        format!("t={time},v1={other},v1={ours}"),
        format!("t={time},v1={ours},v1={other}"),
        format!("v1={ours},t={time}"),
        format!("t={time}, v1={ours}, v2=whatever"),
        format!("t={time},v1=,v1=zz,v1={ours},nonsense"),
    ] {
        assert!(
            read(&[secret(SECRET)], &header, &body, NOW).is_ok(),
            "{header}"
        );
    }
    for header in [
        format!("t={time},v1={other}"),
        format!("t={time},v0={ours}"),
        format!("t={time},V1={ours}"),
        format!("t={time},v1={}", ours.get(..62).unwrap()),
        format!("t={time},v1={ours}00"),
        format!("t={time},v1=0x{}", ours.get(2..).unwrap()),
        format!("t={time},v1=+{}", ours.get(1..).unwrap()),
        format!("v1={ours}"),
        format!("t=,v1={ours}"),
        format!("t={time}.0,v1={ours}"),
        format!("t={time},t={time},v1={ours}"),
        format!("t={},v1={ours}", NOW_S - 1),
        format!("t={time};v1={ours}"),
        "t=99999999999999999999,v1=".to_owned() + &ours,
        "v1".to_owned(),
        "=,=".to_owned(),
        String::new(),
    ] {
        assert_eq!(refused(&header), NoticeRefused::Signature, "{header}");
    }
}

#[test]
fn a_signature_is_of_its_time_and_of_no_other() {
    let body = body();
    let at = |signed_at_s: i64, now_ms: i64| {
        let header = header(SECRET, &signed_at_s.to_string(), &body);
        let now = Timestamp::from_unix_ms(now_ms);
        read(&[secret(SECRET)], &header, &body, now).map(|_| ())
    };
    let now_ms = NOW_S * 1_000;
    for (ahead_s, expected) in [
        (0, Ok(())),
        (-300, Ok(())),
        (300, Ok(())),
        (-301, Err(NoticeRefused::TooOld)),
        (301, Err(NoticeRefused::TooOld)),
        (-86_400, Err(NoticeRefused::TooOld)),
    ] {
        assert_eq!(at(NOW_S + ahead_s, now_ms), expected, "{ahead_s}");
    }
    // Stripe signs whole seconds, and so are they compared.
    assert_eq!(at(NOW_S - 300, now_ms + 999), Ok(()));
    assert_eq!(at(NOW_S - 300, now_ms + 1_000), Err(NoticeRefused::TooOld));
    for time in [i64::MIN, -1, 0, i64::MAX] {
        assert_eq!(at(time, now_ms), Err(NoticeRefused::TooOld), "{time}");
    }
}

#[test]
fn whose_signature_is_wrong_is_not_told_whether_it_is_old() {
    let body = body();
    let header = header(OTHER, "1", &body);
    assert_eq!(refused(&header), NoticeRefused::Signature);
}

#[test]
fn no_byte_of_a_signed_body_can_be_another() {
    let body = body();
    let header = header(SECRET, &NOW_S.to_string(), &body);
    let secrets = [secret(SECRET)];
    for at in 0..body.len() {
        let mut altered = body.clone();
        altered[at] ^= 1;
        let result = read(&secrets, &header, &altered, NOW);
        assert_eq!(result, Err(NoticeRefused::Signature), "byte {at}");
    }
    for altered in [
        &body[1..],
        &body[..body.len() - 1],
        &[&body[..], b" "].concat(),
    ] {
        let result = read(&secrets, &header, altered, NOW);
        assert_eq!(result, Err(NoticeRefused::Signature));
    }
    // Nor can the boundary between the time and the body move.
    let moved = [b"0.", &body[..]].concat();
    let time = signature(SECRET, &NOW_S.to_string(), &moved);
    let header = format!("t={NOW_S}.0,v1={time}");
    assert_eq!(
        read(&secrets, &header, &body, NOW),
        Err(NoticeRefused::Signature)
    );
}

#[test]
fn a_header_beyond_its_bound_is_not_looked_at() {
    let body = body();
    let header = header(SECRET, &NOW_S.to_string(), &body);
    let padded = |length: usize| format!("{header},x={}", "x".repeat(length - header.len() - 3));
    let read = |header: &str| read(&[secret(SECRET)], header, &body, NOW).map(|_| ());
    assert_eq!(padded(4_096).len(), 4_096);
    assert_eq!(read(&padded(4_096)), Ok(()));
    assert_eq!(read(&padded(4_097)), Err(NoticeRefused::Signature));
}

#[test]
fn a_secret_looks_like_stripes_and_is_not_printed() {
    assert_eq!(format!("{:?}", secret(SECRET)), "WebhookSecret(..)");
    let longest = format!("whsec_{}", "x".repeat(250));
    assert!(WebhookSecret::parse(&longest).is_ok());
    for text in [
        "",
        "whsec_",
        "whsec_012345678",
        "sk_test_0123456789abcdef",
        "whsec_0123456789 abcdef",
        "whsec_0123456789abcdef\n",
        "whsec_0123456789abcdéf",
        &format!("{longest}x"),
    ] {
        assert_eq!(
            WebhookSecret::parse(text).unwrap_err(),
            WebhookSecretRefused,
            "{text}"
        );
    }
}
