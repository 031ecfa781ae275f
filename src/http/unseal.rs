//! `/v1/keys/unseal` and `/v1/keys/seal_status`: custodians open the key of a process that started
//! sealed.

use std::fmt;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answers::replayable;
use super::body::{Described, Json};
use super::checks::Checks;
use super::grants::idempotency_key;
use crate::clock::Timestamp;
use crate::problem::Problem;
use crate::vault::Internal;
use crate::vault::grant::{Granted, KeysStatus, KeysUnseal};
use crate::vault::unseal::{SealStatus, ShareOrder};

/// Bytes of a key's or a ceremony's name.
const NAME_BYTES_MAX: usize = 64;
/// Characters of a share.
const SHARE_CHARACTERS_MAX: usize = 64;

/// A custodian's share, opened on the custodian's machine.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareGiven {
    /// The key that it is of.
    #[schema(
        min_length = 1,
        max_length = 64,
        example = "kek_00112233445566778899aabbccddeeff"
    )]
    kek: String,
    /// The ceremony that it is of.
    #[schema(
        min_length = 1,
        max_length = 64,
        example = "cer_00112233445566778899aabbccddeeff"
    )]
    ceremony: String,
    /// The share, base64.
    #[schema(value_type = String, min_length = 1, max_length = 64, write_only)]
    share: SecretText,
}

impl Described for ShareGiven {
    const POINTERS: &'static [&'static str] = &["/kek", "/ceremony", "/share"];
}

/// A text that is wiped and never shown.
struct SecretText(Zeroizing<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// How the keys of this process stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct SealStatusDocument {
    /// Always `seal_status`.
    object: &'static str,
    /// Whether tokens cannot be opened.
    sealed: bool,
    /// The key that custodians hold; null where none do.
    kek: Option<String>,
    /// The ceremony whose shares open it.
    ceremony: Option<String>,
    /// Shares that open it.
    threshold: Option<u8>,
    /// Shares that have been given and are kept.
    shares_given: Option<u8>,
    /// When those are forgotten (RFC 3339).
    shares_forgotten_at: Option<String>,
    /// In the answer to a share: whether it was of use. It is not when the key is open already.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_taken: Option<bool>,
}

impl SealStatusDocument {
    fn of(status: SealStatus, share_taken: Option<bool>) -> Self {
        let custody = status.custody;
        Self {
            object: "seal_status",
            sealed: status.sealed,
            threshold: custody.as_ref().map(|custody| custody.threshold),
            shares_given: custody.as_ref().map(|custody| custody.given),
            shares_forgotten_at: custody
                .as_ref()
                .and_then(|custody| custody.forgotten_at)
                .map(Timestamp::rfc3339),
            ceremony: custody.as_ref().map(|custody| custody.ceremony.clone()),
            kek: custody.map(|custody| custody.kek),
            share_taken,
        }
    }
}

/// Takes a custodian's share. The one that reaches the threshold opens the key.
///
/// # Errors
/// `invalid_request` where the share is of another key or ceremony, is none, or was given already,
/// or where this client has given one already; and what every POST can end in.
#[utoipa::path(
    post,
    path = "/v1/keys/unseal",
    operation_id = "unseal_keys",
    request_body = ShareGiven,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "1 to 255 printable ASCII characters; remembered while the share is, in memory only")),
    responses(
        (status = 200, body = SealStatusDocument),
        super::documented::Unsealing,
    ),
)]
pub async fn unseal(
    granted: Granted<KeysUnseal>,
    vault: web::Data<Internal>,
    request: HttpRequest,
    given: Json<ShareGiven>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let order = checked(given.0)?;
    let gave = vault.give_share(&granted, order, key.as_ref()).await?;
    let answer = SealStatusDocument::of(gave.status, Some(gave.taken));
    Ok(replayable(HttpResponse::Ok().json(answer), gave.replayed))
}

/// Reads whether the keys are sealed, and how far custodians have come.
///
/// # Errors
/// `not_granted`, `unauthenticated`.
#[utoipa::path(
    get,
    path = "/v1/keys/seal_status",
    operation_id = "read_seal_status",
    responses(
        (status = 200, body = SealStatusDocument),
        super::documented::Guarded,
    ),
)]
pub async fn status(
    granted: Granted<KeysStatus>,
    vault: web::Data<Internal>,
) -> Result<HttpResponse, Problem> {
    let status = vault.seal_status(&granted).await?;
    Ok(HttpResponse::Ok().json(SealStatusDocument::of(status, None)))
}

fn checked(given: ShareGiven) -> Result<ShareOrder, Problem> {
    let mut checks = Checks::default();
    // They are compared and not kept, so they are not searched for card numbers, for which
    // hexadecimal digits may pass.
    for (pointer, name) in [("/kek", &given.kek), ("/ceremony", &given.ceremony)] {
        checks.require(!name.is_empty(), pointer, "empty");
        checks.require(name.len() <= NAME_BYTES_MAX, pointer, "too_long");
    }
    let text = &given.share.0;
    checks.require(text.len() <= SHARE_CHARACTERS_MAX, "/share", "too_long");
    let share = Zeroizing::new(STANDARD.decode(text.as_bytes()).unwrap_or_default());
    checks.require(!share.is_empty(), "/share", "not_base64");
    checks.verdict()?;
    Ok(ShareOrder {
        kek: given.kek,
        ceremony: given.ceremony,
        share,
    })
}
