//! Signatures: the reference libraries' vectors, an older key's exit, and what is not believed.

use super::*;
use crate::webhooks::signature::{content, is_id, sign};
use crate::webhooks::{NotVerified, SecretRefused};

const V1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const V1A: &str =
    "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==";
const TIMESTAMP: &str = "1614265330";

fn verifying(texts: &[&str]) -> Vec<VerifyingKey> {
    let parsed = texts.iter().map(|text| VerifyingKey::parse(text));
    parsed.map(Result::unwrap).collect()
}

fn headers<'a>(timestamp: &'a str, signature: &'a str) -> Headers<'a> {
    Headers {
        id: ID,
        timestamp,
        signature,
    }
}

#[test]
fn the_vectors_of_the_reference_libraries_hold() {
    let content = content(ID, TIMESTAMP, BODY);
    assert_eq!(
        content,
        br#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#
    );
    assert_eq!(sign(&secrets(&[HMAC]), &content), V1);
    assert_eq!(sign(&secrets(&[ED25519]), &content), V1A);
    assert_eq!(
        sign(&secrets(&[HMAC, ED25519]), &content),
        format!("{V1} {V1A}")
    );
}

#[test]
fn both_private_forms_of_a_key_are_one_key_and_a_pair_that_does_not_fit_is_none() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let secret = Secret::parse(ED25519).unwrap();
    let public = secret.public_key().unwrap();
    let bytes = |text: &str| STANDARD.decode(text.split_once('_').unwrap().1).unwrap();
    let mut pair = bytes(ED25519);
    pair.extend(bytes(&public));
    let long = Secret::parse(&format!("whsk_{}", STANDARD.encode(&pair))).unwrap();
    assert_eq!(long.public_key().unwrap(), public);
    assert_eq!(long.sign(b"x"), secret.sign(b"x"));

    pair[40] ^= 1;
    let torn = format!("whsk_{}", STANDARD.encode(&pair));
    assert!(Secret::parse(&torn).is_err());
    assert_eq!(Secret::parse(HMAC).unwrap().public_key(), None);
}

#[test]
fn what_is_no_secret_is_refused_and_says_nothing() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let of = |prefix: &str, bytes: usize| format!("{prefix}{}", STANDARD.encode(vec![7; bytes]));
    for bytes in 0..100 {
        let hmac = Secret::parse(&of("whsec_", bytes)).is_ok();
        assert_eq!(hmac, (24..=64).contains(&bytes), "{bytes}");
        let public = VerifyingKey::parse(&of("whpk_", bytes)).is_ok();
        assert_eq!(public, bytes == 32, "{bytes}");
        let private = Secret::parse(&of("whsk_", bytes)).is_ok();
        assert_eq!(private, bytes == 32, "{bytes}");
    }
    let public = Secret::parse(ED25519).unwrap().public_key().unwrap();
    let bare = HMAC.strip_prefix("whsec_").unwrap();
    for text in [
        "",
        bare,
        &public,
        &HMAC.to_uppercase(),
        &format!(" {HMAC}"),
        &format!("{HMAC}\n"),
        &format!("{HMAC}!"),
        &"whsec_".repeat(40),
    ] {
        let refused = Secret::parse(text).unwrap_err();
        assert_eq!(refused, SecretRefused);
        assert!(!refused.to_string().contains(bare));
    }
    // A receiver never has the private half.
    assert!(VerifyingKey::parse(ED25519).is_err());
}

#[test]
fn secrets_and_what_holds_them_do_not_print_themselves() {
    let all = format!("{:?} {:?}", secrets(&[HMAC, ED25519]), verifying(&[HMAC]));
    assert_eq!(all, "[Secret(..), Secret(..)] [VerifyingKey(..)]");
}

#[test]
fn a_receiver_believes_one_good_signature_among_others_of_any_version() {
    let public = Secret::parse(ED25519).unwrap().public_key().unwrap();
    let another = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let junk = format!("v2,AAAA v1,AAAA nonsense , v1a,!!! {V1} {V1A} v1,");
    for key in [HMAC, &public] {
        let keys = verifying(&[another, key]);
        assert_eq!(verify(&keys, &headers(TIMESTAMP, &junk), BODY, AT), Ok(()));
    }
    let stranger = verifying(&[another]);
    let refused = verify(&stranger, &headers(TIMESTAMP, &junk), BODY, AT);
    assert_eq!(refused, Err(NotVerified::Signature));
}

#[test]
fn nothing_of_a_message_can_be_changed() {
    let keys = [
        Secret::parse(HMAC).unwrap().verifying_key(),
        Secret::parse(ED25519).unwrap().verifying_key(),
    ];
    let both = format!("{V1} {V1A}");
    let good = headers(TIMESTAMP, &both);
    assert_eq!(verify(&keys, &good, BODY, AT), Ok(()));
    for at in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[at] ^= 1;
        let refused = verify(&keys, &good, &body, AT);
        assert_eq!(refused, Err(NotVerified::Signature), "{at}");
    }
    let other_time = headers("1614265331", &both);
    assert!(verify(&keys, &other_time, BODY, AT).is_err());
    let other_id = Headers {
        id: "msg_2",
        ..good
    };
    assert!(verify(&keys, &other_id, BODY, AT).is_err());
    // A full stop moved from the id to the timestamp would leave what is signed the same.
    let moved = Headers {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330",
        timestamp: "",
        signature: &both,
    };
    assert_eq!(verify(&keys, &moved, BODY, AT), Err(NotVerified::Id));
    // A signature of one version is none of the other.
    let swapped = both.replace("v1,", "v3,").replace("v1a,", "v1,");
    assert!(verify(&keys, &headers(TIMESTAMP, &swapped), BODY, AT).is_err());
    assert!(verify(&keys, &headers(TIMESTAMP, ""), BODY, AT).is_err());
    assert!(verify(&[], &good, BODY, AT).is_err());
}

#[test]
fn five_minutes_are_tolerated_and_not_a_second_more() {
    let keys = verifying(&[HMAC]);
    let at = |offset_s: i64| Timestamp::from_unix_ms((1_614_265_330 + offset_s) * 1_000);
    let good = headers(TIMESTAMP, V1);
    for offset in [-300, -1, 0, 1, 300] {
        assert_eq!(verify(&keys, &good, BODY, at(offset)), Ok(()), "{offset}");
    }
    for offset in [-301, 301, 1_000_000] {
        let refused = verify(&keys, &good, BODY, at(offset));
        assert_eq!(refused, Err(NotVerified::Time), "{offset}");
    }
    for timestamp in [
        "",
        "now",
        "1614265330.5",
        "16142653300000000000000",
        " 1614265330",
    ] {
        let refused = verify(&keys, &headers(timestamp, V1), BODY, AT);
        assert_eq!(refused, Err(NotVerified::Timestamp), "{timestamp}");
    }
    let end = i64::MIN.to_string();
    let refused = verify(&keys, &headers(&end, V1), BODY, AT);
    assert_eq!(refused, Err(NotVerified::Time));
}

#[test]
fn an_id_is_letters_digits_and_two_signs() {
    for id in [
        "evt_01h455vb4pex5vsknk084sn02q",
        "test_evt_1",
        "a-b",
        &"i".repeat(255),
    ] {
        assert!(is_id(id), "{id}");
    }
    for id in [
        "",
        "a.b",
        "a b",
        "a\r\nb: c",
        "a\0",
        "\u{e9}",
        "a:b",
        "a,b",
        &"i".repeat(256),
    ] {
        assert!(!is_id(id), "{id:?}");
    }
}
