//! Certificates and keys that near their end, and rotation that nobody is at work on: told before
//! they are missed.

use std::sync::Arc;

use crate::alerts::{Alert, AlertName};
use crate::clock::Timestamp;
use crate::http::PlaneName;
use crate::http::tls::Live;
use crate::vault::rotation::Standing;
use crate::vault::{Common, Internal};

/// Before a certificate's end the operator has 21 days.
const CERTIFICATE_MS: u64 = 21 * 24 * 60 * 60 * 1_000;
/// Before a revocation list's end, a day: most are made anew every week or day.
const REVOCATION_LIST_MS: u64 = 24 * 60 * 60 * 1_000;

/// Raises an alert for everything that ends soon.
pub(super) async fn look(
    common: &Common,
    internal: Option<&Internal>,
    tls: &[(PlaneName, Arc<Live>)],
) {
    let now = common.now();
    for (plane, live) in tls {
        let ends = live.ends();
        let certificate = (ends.certificate, CERTIFICATE_MS, "certificate");
        let lists = ends.revocation_lists;
        let lists = lists.map(|end| (end, REVOCATION_LIST_MS, "revocation list"));
        for (end, notice_ms, what) in [Some(certificate), lists].into_iter().flatten() {
            if end.ms_since(now) < notice_ms {
                let subject = format!("{what} of the {} plane", plane.name());
                let seen = format!("it ends at {}", end.rfc3339());
                let alert = Alert::new(AlertName::CertificateEnds, &subject, &seen);
                common.raise_or_log(alert).await;
            }
        }
    }
    if let Some(internal) = internal
        && let Some(seen) = wrong_with_keys(&internal.rotation.standing(now))
    {
        let alert = Alert::new(AlertName::KeyAge, "key-encryption key", &seen);
        common.raise_or_log(alert).await;
    }
    let stalled = internal.map(|internal| internal.rotation.stalled());
    // What has failed was told when it did.
    let stalled = stalled
        .into_iter()
        .flatten()
        .filter(|stall| !stall.has_failed);
    for stall in stalled {
        let alert = Alert::new(AlertName::RotationFailed, &stall.job, &stall.why);
        common.raise_or_log(alert).await;
    }
}

fn wrong_with_keys(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Alone | Standing::Until(_) => None,
        Standing::Soon(until) => Some(format!(
            "the one in service is to be replaced before {}",
            Timestamp::rfc3339(*until)
        )),
        Standing::Wrong(why) => Some(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_near_or_past_their_end_are_told_and_young_ones_are_not() {
        let until = Timestamp::from_unix_ms(1_800_000_000_000);
        assert_eq!(wrong_with_keys(&Standing::Alone), None);
        assert_eq!(wrong_with_keys(&Standing::Until(until)), None);
        let soon = wrong_with_keys(&Standing::Soon(until)).unwrap();
        assert!(soon.contains("2027-01-15"), "{soon}");
        let wrong = wrong_with_keys(&Standing::Wrong("it is over".to_owned()));
        assert_eq!(wrong.as_deref(), Some("it is over"));
    }
}
