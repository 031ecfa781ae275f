//! What a page proves by when its browser reports for it: an address to report to that only a page of
//! ours has.
//!
//! The address holds what the page was for (a session, a charge), when it was made, and a tag over
//! both under the key that the capture plane checks sessions with. Nothing is kept. It says that the
//! reporter has loaded a page that a client of ours has ordered; it does not say that the reporter is
//! a browser, nor that what it reports has happened.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::policy;
use crate::clock::Timestamp;
use crate::seal::mac::MacKey;

const LABEL: &str = "cloakroom/browser-report/v1";
/// Bytes of a query that is looked at.
const QUERY_BYTES_MAX: usize = 256;

/// The address that a page for `subject` reports to, where it is made at `now`.
pub(super) fn address(key: &MacKey, subject: &str, now: Timestamp) -> String {
    let made_at_ms = now.unix_ms();
    let tag = key.tag(LABEL, &[subject.as_bytes(), &made_at_ms.to_be_bytes()]);
    let tag = URL_SAFE_NO_PAD.encode(tag);
    format!("{}?page={subject}.{made_at_ms}.{tag}", policy::REPORTS)
}

/// What the page was for that has the address with this query; nothing where none has it, or where
/// the page is older than `lifetime_ms`.
pub(super) fn proven<'q>(
    key: &MacKey,
    query: &'q str,
    (now, lifetime_ms): (Timestamp, u64),
) -> Option<&'q str> {
    if query.len() > QUERY_BYTES_MAX {
        return None;
    }
    let (rest, tag) = query.strip_prefix("page=")?.rsplit_once('.')?;
    let (subject, made_at_ms) = rest.rsplit_once('.')?;
    let made_at_ms: i64 = made_at_ms.parse().ok()?;
    let made_at = Timestamp::from_unix_ms(made_at_ms);
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    let is_ours = key.verify(
        LABEL,
        &[subject.as_bytes(), &made_at_ms.to_be_bytes()],
        &tag,
    );
    let is_fresh = made_at <= now && now.ms_since(made_at) <= lifetime_ms;
    (is_ours && is_fresh).then_some(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME_MS: u64 = 3_600_000;

    fn seen(key: &MacKey, query: &str, now_ms: i64) -> Option<String> {
        let now = Timestamp::from_unix_ms(now_ms);
        proven(key, query, (now, LIFETIME_MS)).map(str::to_owned)
    }

    #[test]
    fn only_the_address_of_a_page_of_ours_proves_anything_and_not_for_ever() {
        let key = || MacKey::parse(MacKey::generate().as_bytes()).unwrap();
        let (ours, anothers) = (key(), key());
        let address = address(&ours, "test_cs_1", Timestamp::from_unix_ms(1_000));
        let query = address.split_once('?').unwrap().1;
        assert_eq!(seen(&ours, query, 1_000).as_deref(), Some("test_cs_1"));
        assert!(seen(&ours, query, 3_601_000).is_some());
        assert_eq!(seen(&ours, query, 3_601_001), None, "the page is too old");
        assert_eq!(seen(&ours, query, 999), None, "it is of the future");
        assert_eq!(seen(&anothers, query, 1_000), None);
        for forged in [
            String::new(),
            "page=".to_owned(),
            query.replace("_1", "_2"),
            query.replace(".1000.", ".1001."),
            query.replace("page=", "p="),
            query.rsplit_once('.').unwrap().0.to_owned(),
            format!("{query}AAAA"),
            format!("{query}&page=x"),
            "page=test_cs_1.1000.".to_owned(),
            format!("page={}", "a".repeat(400)),
        ] {
            assert_eq!(seen(&ours, &forged, 1_000), None, "{forged}");
        }
    }
}
