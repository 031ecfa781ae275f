//! Whose browser it is: what ties an order of the demo shop to the shopper who began it.
//!
//! The browser keeps a secret in a cookie that no script reads. Sessions and charges carry its hash
//! in their metadata, so that the shop's backend knows its shopper again without a table of its own,
//! and nobody who reads the metadata can be the shopper.

use actix_web::HttpRequest;
use actix_web::http::header::COOKIE;
use aws_lc_rs::digest::{SHA256, digest};

use crate::random;

/// Bound to this host, to TLS, and to no script.
const NAME: &str = "__Host-shopper";
const SECRET_BYTES: usize = 16;

/// A shopper's browser.
pub(super) struct Shopper(String);

impl Shopper {
    pub(super) fn new() -> Self {
        let mut secret = [0; SECRET_BYTES];
        random::fill(&mut secret);
        Self(letters(&secret))
    }

    /// The browser that sent a request, if it has been here.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let headers = request.headers().get_all(COOKIE);
        let mut pairs = headers
            .filter_map(|header| header.to_str().ok())
            .flat_map(|header| header.split("; "))
            .filter_map(|pair| pair.split_once('='));
        let (_, secret) = pairs.find(|(name, _)| *name == NAME)?;
        let is_one = secret.len() == SECRET_BYTES.saturating_mul(2)
            && secret.bytes().all(|letter| letter.is_ascii_lowercase());
        is_one.then(|| Self(secret.to_owned()))
    }

    /// How the browser is to keep it. A bank leads back with a plain navigation, so `Lax` does.
    pub(super) fn cookie(&self) -> String {
        format!(
            "{NAME}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=86400",
            self.0
        )
    }

    /// What stands in metadata.
    pub(super) fn mark(&self) -> String {
        letters(digest(&SHA256, self.0.as_bytes()).as_ref())
    }
}

/// Bytes as letters: digits could look like a card's, which no metadata may hold.
fn letters(bytes: &[u8]) -> String {
    let letter = |four: u8| char::from(b'a'.saturating_add(four & 15));
    bytes
        .iter()
        .flat_map(|byte| [letter(byte >> 4), letter(*byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_shopper_is_known_again_by_the_cookie_and_by_nothing_that_is_written_down() {
        let shopper = Shopper::new();
        let cookie = shopper.cookie();
        let (pair, rest) = cookie.split_once("; ").unwrap();
        for word in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(rest.contains(word), "{cookie}");
        }
        let of = |cookies: &str| {
            let request = TestRequest::default().insert_header(("cookie", cookies));
            Shopper::of(&request.to_http_request()).map(|shopper| shopper.mark())
        };
        assert_eq!(of(&format!("a=b; {pair}")), Some(shopper.mark()));
        assert_ne!(
            of(&format!("{NAME}={}", shopper.mark())),
            Some(shopper.mark())
        );
        for no_cookie in ["", "a=b", NAME, "__Host-shopper=", "__Host-shopper=1"] {
            assert_eq!(of(no_cookie), None, "{no_cookie}");
        }
        assert_ne!(Shopper::new().mark(), shopper.mark());
        assert!(shopper.mark().bytes().all(|byte| byte.is_ascii_lowercase()));
    }
}
