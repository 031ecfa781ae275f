//! The way back of a charge: from the issuer's page over a page of ours into the shop, whose backend
//! then asks how the charge stands.
//!
//! Where the shop is stands in the order of the charge. The address that the processor gets repeats
//! it with a tag, so that the capture plane leads on to what the merchant has named and to nothing
//! else, although it reads no charge.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use url::Url;

use super::grant::{ChargesRead, Granted};
use super::{Capture, Internal, Refusal, Witness};
use crate::seal::mac::MacKey;
use crate::store::{Authority, ChargeRow};
use crate::token::{ChargeId, ChargeStatus};

/// What a way back is tagged for.
const RETURN: &str = "charge return 1";
/// Milliseconds that a reader waits for the processor; after that the charge is answered as it is
/// known.
const CURRENT_WAIT_MS: u64 = 5_000;

fn parts<'a>(charge: &'a str, to: &'a str) -> [&'a [u8]; 2] {
    [charge.as_bytes(), to.as_bytes()]
}

impl Internal {
    /// Where the issuer's page returns the shopper of a charge.
    pub(super) fn way_back(&self, charge: &ChargeRow) -> String {
        if charge.page_until.is_some()
            && let Some(page) = self.page_url(charge.id)
        {
            // From there the shopper goes on, or tries again.
            return page.into();
        }
        let page = Url::parse(&self.return_url);
        let (Some(to), Ok(page)) = (&charge.return_url, page) else {
            return self.return_url.clone();
        };
        way_back(page, &self.session_verify_key, &charge.id.to_string(), to)
    }

    /// The charge, asked about at the processor where it waits for the shopper. Without the
    /// processor's answer it is what was known.
    pub(super) async fn current(
        &self,
        granted: &Granted<ChargesRead>,
        known: ChargeRow,
    ) -> Result<ChargeRow, Refusal> {
        let waits = known.status == ChargeStatus::RequiresAction && known.operation.is_none();
        if !waits {
            return Ok(known);
        }
        let ordered = self
            .common
            .store
            .ordered_charge(&known.account, known.id)
            .await?;
        let Some((charge, payment)) =
            ordered.and_then(|charge| charge.payment.clone().map(|payment| (charge, payment)))
        else {
            return Ok(known);
        };
        let asked = self.read_payment(&charge, &payment);
        let payment = match tokio::time::timeout(Duration::from_millis(CURRENT_WAIT_MS), asked)
            .await
        {
            Ok(Ok(payment)) => payment,
            Ok(Err(failure)) => {
                tracing::warn!(charge = %charge.id, %failure, "a charge is answered as it was known");
                return Ok(known);
            }
            Err(_) => {
                tracing::warn!(charge = %charge.id, "the processor is slow; a charge is answered as it was known");
                return Ok(known);
            }
        };
        let outcome = self.outcome_of(payment, &charge);
        // What is put off, or waits as before, is left to who works on it.
        let same_page = outcome.redirect_url == known.redirect_url;
        if outcome.status == known.status && (same_page || known.page_until.is_none()) {
            return Ok(known);
        }
        let context = Witness::of(granted);
        self.settled(&context, Authority::Observer, &charge, outcome)
            .await
    }
}

impl Capture {
    /// Where a charge's shopper is led on to; nothing where that is not what its merchant named.
    #[must_use]
    pub fn charge_return(&self, charge: &str, to: &str, tag: &str) -> Option<(ChargeId, Url)> {
        let id = ChargeId::parse(charge, self.common.environment).ok()?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        let holds = self
            .session_verify_key
            .verify(RETURN, &parts(charge, to), &tag);
        Some((id, holds.then(|| Url::parse(to).ok()).flatten()?))
    }
}

fn way_back(mut page: Url, key: &MacKey, charge: &str, to: &str) -> String {
    let tag = key.tag(RETURN, &parts(charge, to));
    page.query_pairs_mut()
        .append_pair("charge", charge)
        .append_pair("to", to)
        .append_pair("tag", &BASE64_URL_SAFE_NO_PAD.encode(tag));
    page.into()
}
