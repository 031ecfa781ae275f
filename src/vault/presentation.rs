//! What the hosted page shows of a session: whose shop it is, for how much, and in which colours.
//!
//! The session's ownership binds it too, but that is checked when the shopper's secret comes with a
//! card. A page is made before: it shows an amount only where a tag says that the internal plane
//! wrote it for this session and this origin, so that whoever writes to the database shows nobody
//! another amount or another shop.

use super::{Capture, Refusal};
use crate::seal::mac::MacKey;
use crate::store::{Forged, NewSession, SessionRow};

/// What a presentation is tagged for.
const PRESENTATION: &str = "session presentation 1";

fn with_parts<T>(
    id: &str,
    (origin, shown): (Option<&str>, &str),
    run: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    let origin = origin.unwrap_or_default();
    run(&[id.as_bytes(), origin.as_bytes(), shown.as_bytes()])
}

/// The tag of a new session's presentation, where it has one.
pub(super) fn mac(session: &NewSession, key: &MacKey) -> Option<[u8; 32]> {
    let shown = (session.origin.as_deref(), session.presentation.as_deref()?);
    let id = session.id.to_string();
    Some(with_parts(&id, shown, |parts| key.tag(PRESENTATION, parts)))
}

impl Capture {
    /// Whether the hosted page may show what the row says. Of a row that somebody has written into
    /// the operator is told.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn may_present(&self, session: &SessionRow) -> Result<bool, Refusal> {
        let Some(shown) = session.presentation.as_deref() else {
            return Ok(true);
        };
        let id = session.id.to_string();
        let mac = session.presentation_mac.as_deref().unwrap_or_default();
        let key = &self.session_verify_key;
        let holds = with_parts(&id, (session.origin.as_deref(), shown), |parts| {
            key.verify(PRESENTATION, parts, mac)
        });
        if !holds {
            let table = "sessions";
            let forged = Forged { table, row: id };
            self.common.store.report_forged(forged).await?;
        }
        Ok(holds)
    }
}
