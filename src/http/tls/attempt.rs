//! A connection that is being let in: what is known of it between its first byte and its first
//! request.
//!
//! rustls asks whose certificate is taken without saying who asks. Both happen in one task, so what
//! belongs to the connection stands with the task, and is found from within the handshake.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::future::Future;
use std::io;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use tokio::sync::OwnedSemaphorePermit;

use crate::http::gate::Place;
use crate::http::peer;
use crate::vault::refusals::presented;

tokio::task_local! {
    static ATTEMPT: Attempt;
}

/// What stands with the task of a connection.
#[derive(Default)]
struct Attempt {
    refused: RefCell<Option<String>>,
    held: RefCell<Option<(Place, OwnedSemaphorePermit)>>,
}

/// Does what a connection's task does. `held` is given back once the handshake is through, or the
/// connection has ended.
///
/// # Errors
/// Of `work`; with it the certificate that was presented and refused, where that was why.
pub(in crate::http) async fn with<T, E>(
    held: (Place, OwnedSemaphorePermit),
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, (E, Option<String>)> {
    let attempt = Attempt {
        refused: RefCell::default(),
        held: RefCell::new(Some(held)),
    };
    let whole = async {
        let done = work.await;
        done.map_err(|error| (error, ATTEMPT.with(|attempt| attempt.refused.take())))
    };
    ATTEMPT.scope(attempt, whole).await
}

/// The handshake is through: its slot is another's.
pub(in crate::http) fn is_through() {
    // Outside of a connection's task, as in a test of the parts, there is nothing to give back.
    let _outside = ATTEMPT.try_with(|attempt| drop(attempt.held.take()));
}

/// A certificate was presented and is not taken.
pub(super) fn refused(certificate: &CertificateDer<'_>) {
    let hash = digest::digest(&digest::SHA256, certificate);
    let mut text = "sha256:".to_owned();
    for byte in hash.as_ref() {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    // Nothing of it is proven, but what was presented is what an investigation begins with.
    let names = presented(&peer::names_of(certificate).join(","));
    let _infallible = write!(text, " {names}");
    let _outside = ATTEMPT.try_with(|attempt| attempt.refused.replace(Some(text)));
}

/// Why a client is not let in, in one word; nothing where its certificate is not why.
pub(in crate::http) fn reason(error: &io::Error) -> Option<&'static str> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    if matches!(error, Error::NoCertificatesPresented) {
        return Some("no_certificate");
    }
    let Error::InvalidCertificate(why) = error else {
        return None;
    };
    let known = [
        (
            matches!(
                why,
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            ),
            "expired",
        ),
        (
            matches!(
                why,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
            ),
            "not_yet_valid",
        ),
        (matches!(why, CertificateError::Revoked), "revoked"),
        (
            matches!(why, CertificateError::UnknownIssuer),
            "unknown_issuer",
        ),
        (
            matches!(
                why,
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
            ),
            "wrong_use",
        ),
    ];
    let known = known.into_iter().find_map(|(is, name)| is.then_some(name));
    Some(known.unwrap_or("not_valid"))
}
