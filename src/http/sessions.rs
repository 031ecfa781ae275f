//! `/v1/capture_sessions`: a merchant backend asks for the right to take one card, or the security
//! code of a saved one, and what became of it.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

use super::answers::{created, replayable};
use super::body::{Described, Json};
use super::checks::Checks;
use super::grants::idempotency_key;
use super::paths::{in_body, in_path};
use super::presentation::Presentation;
use crate::card::scan::stored;
use crate::problem::Problem;
use crate::token::{TokenId, Usage};
use crate::vault::Internal;
use crate::vault::grant::{Granted, SessionsCreate};
use crate::vault::session::{Issued, SessionOrder};
use crate::view::{SessionStatus, collects};

/// Seconds that a session lives when its maker does not say.
const EXPIRES_IN_S_DEFAULT: u32 = 900;
/// Seconds that a session lives at least.
const EXPIRES_IN_S_MIN: u32 = 60;
/// Characters of a merchant's name for its customer.
pub(super) const CUSTOMER_REF_CHARS_MAX: usize = 200;
/// Bytes of an origin: a scheme, a DNS name of at most 253 bytes, a port.
const ORIGIN_BYTES_MAX: usize = 270;

/// What a merchant backend sends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureSessionOrder {
    /// The merchant's own name for its customer; its cards can be listed under it.
    #[schema(min_length = 1, max_length = 200)]
    customer_ref: Option<String>,
    /// The origin of the page that shows the card form: `https://shop.example`. Without it no
    /// browser page may use the session.
    #[schema(max_length = 270, example = "https://shop.example")]
    origin: Option<String>,
    /// Seconds until the session expires.
    #[serde(default, deserialize_with = "super::integer::optional")]
    #[schema(minimum = 60, maximum = 86400, default = 900)]
    expires_in_s: Option<u32>,
    /// Whether the token will be charged while the shopper is away.
    #[schema(default = "off_session")]
    usage: Option<UsageName>,
    /// Whether the merchant has verified the shopper for this session, by whatever tells people from
    /// programs: after `verification_required` only such a session takes a card.
    #[serde(default)]
    shopper_verified: bool,
    /// The merchant's own notes: at most 48, names of 40 and values of 500 characters.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// What the hosted page shows; needs an `origin`.
    presentation: Option<Presentation>,
    /// A saved card: the session takes its security code again, for a charge of this token, and no
    /// card. `customer_ref` and `usage` are the token's.
    #[schema(example = "tok_01h455vb4pex5vsknk084sn02q")]
    token: Option<String>,
}

/// How the token is going to be charged.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageName {
    /// While the shopper is away.
    OffSession,
    /// Only while the shopper is there.
    OnSession,
}

impl From<UsageName> for Usage {
    fn from(name: UsageName) -> Self {
        match name {
            UsageName::OffSession => Self::OffSession,
            UsageName::OnSession => Self::OnSession,
        }
    }
}

impl Described for CaptureSessionOrder {
    const POINTERS: &'static [&'static str] = &[
        "/customer_ref",
        "/origin",
        "/expires_in_s",
        "/usage",
        "/shopper_verified",
        "/metadata",
        "/presentation",
        "/presentation/shop_name",
        "/presentation/amount",
        "/presentation/currency",
        "/presentation/ask_name",
        "/presentation/ask_postal_code",
        "/presentation/country",
        "/presentation/scheme",
        "/presentation/theme",
        "/token",
    ];
}

/// A capture session.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaptureSession {
    /// Its id.
    #[schema(example = "cs_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `capture_session`.
    object: &'static str,
    /// What the shopper's browser presents as a Bearer token. Give it to that page only.
    client_secret: String,
    /// The merchant's own name for its customer.
    customer_ref: Option<String>,
    /// The origin of the page that shows the card form.
    origin: Option<String>,
    /// How the token is going to be charged.
    #[schema(value_type = UsageName)]
    usage: &'static str,
    /// The merchant's own notes.
    metadata: BTreeMap<String, String>,
    /// What the hosted page shows.
    #[schema(value_type = Option<Presentation>)]
    presentation: Option<serde_json::Value>,
    /// What it takes: `card`, or `security_code` of a saved one.
    collects: &'static str,
    /// The saved card's token, whose security code it takes.
    token: Option<String>,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339.
    expires_at: String,
}

/// Makes a capture session.
///
/// # Errors
/// Every problem of the contract that a POST can end in.
#[utoipa::path(
    post,
    path = "/v1/capture_sessions",
    operation_id = "create_capture_session",
    request_body = CaptureSessionOrder,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "1 to 255 printable ASCII characters")),
    responses(
        (status = 201, body = CaptureSession),
        super::documented::Making,
    ),
)]
pub async fn create(
    granted: Granted<SessionsCreate>,
    vault: web::Data<Internal>,
    request: HttpRequest,
    order: Json<CaptureSessionOrder>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let common = &vault.common;
    let token = order.0.token.as_deref();
    let token = token.map(|id| in_body(id, common.environment, "/token"));
    let order = checked(
        order.0,
        token.transpose()?,
        common.limits.session_lifetime_s_max,
    )?;
    let issued = vault.open_session(&granted, order, key.as_ref()).await?;
    Ok(replayable(created(&answer(&issued)), issued.replayed))
}

/// Reads a capture session: whether it can still take a card, and the token that it has made. The
/// secret is shown when the session is made, and never here.
///
/// # Errors
/// `not_found` also for a session that another client made; `not_granted`, `unauthenticated`,
/// `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/capture_sessions/{id}",
    operation_id = "read_capture_session",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = SessionStatus),
        super::documented::Reading,
    ),
)]
pub async fn read(
    granted: Granted<SessionsCreate>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = in_path(&id, vault.common.environment)?;
    let session = vault.read_session(&granted, id).await?;
    let now = vault.common.now();
    Ok(HttpResponse::Ok().json(SessionStatus::of(&session, now)))
}

fn checked(
    order: CaptureSessionOrder,
    saved: Option<TokenId>,
    lifetime_s_max: u32,
) -> Result<SessionOrder, Problem> {
    let expires_in_s = order
        .expires_in_s
        .unwrap_or_else(|| EXPIRES_IN_S_DEFAULT.min(lifetime_s_max));
    let origin = order.origin.as_deref().map(canonical_origin);
    let mut checks = Checks::default();
    checks.optional_text(
        "/customer_ref",
        order.customer_ref.as_deref(),
        CUSTOMER_REF_CHARS_MAX,
    );
    checks.require(origin != Some(None), "/origin", "not_an_https_origin");
    checks.require(
        (EXPIRES_IN_S_MIN..=lifetime_s_max).contains(&expires_in_s),
        "/expires_in_s",
        "out_of_range",
    );
    // As it was sent: a host name is no less of a text than others.
    let origin_holds_card = order.origin.as_deref().is_some_and(stored::contains);
    checks.require(!origin_holds_card, "/origin", "card_number");
    checks.metadata(&order.metadata);
    if let Some(presentation) = &order.presentation {
        // The page leads back to it, and is shown for no session without one.
        checks.require(order.origin.is_some(), "/origin", "required");
        presentation.check(&mut checks);
    }
    if saved.is_some() {
        let (no_usage, no_page) = (order.usage.is_none(), order.presentation.is_none());
        checks.require(no_usage, "/usage", "not_with_token");
        checks.require(no_page, "/presentation", "not_with_token");
    }
    checks.verdict()?;
    Ok(SessionOrder {
        customer_ref: order.customer_ref,
        origin: origin.flatten(),
        expires_in_s,
        usage: order.usage.map_or(Usage::OffSession, Usage::from),
        shopper_verified: order.shopper_verified,
        metadata: order.metadata,
        presentation: order.presentation.as_ref().map(Presentation::text),
        security_code_of: saved,
    })
}

/// An https origin as a browser spells it in its `Origin` header (RFC 6454), or nothing.
pub(super) fn canonical_origin(text: &str) -> Option<String> {
    if text.len() > ORIGIN_BYTES_MAX {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let is_host = match url.host()? {
        Host::Domain(name) => is_host_name(name),
        Host::Ipv4(_) => true,
        // A Content-Security-Policy has no form for one, so the frame could not be shown.
        Host::Ipv6(_) => false,
    };
    (url.scheme() == "https" && bare && is_host).then(|| url.origin().ascii_serialization())
}

/// A host name of RFC 1123: it goes into a header, where a `*` or a `;` would mean something.
fn is_host_name(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 253;
    const LABEL_BYTES_MAX: usize = 63;
    let is_label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(is_label)
        && (name.contains('.') || name == "localhost")
}

fn answer(issued: &Issued) -> CaptureSession {
    let session = &issued.session;
    let shown = session.presentation.as_deref();
    CaptureSession {
        id: session.id.to_string(),
        object: "capture_session",
        client_secret: issued.client_secret.as_str().to_owned(),
        customer_ref: session.customer_ref.clone(),
        origin: session.origin.clone(),
        usage: session.usage.name(),
        metadata: serde_json::from_str(&session.metadata).unwrap_or_default(),
        presentation: shown.and_then(|text| serde_json::from_str(text).ok()),
        collects: collects(session),
        token: session.security_code_of.map(|token| token.to_string()),
        created_at: session.created_at.rfc3339(),
        expires_at: session.expires_at.rfc3339(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_https_and_nothing_but_an_origin() {
        assert_eq!(
            canonical_origin("https://Shop.example").as_deref(),
            Some("https://shop.example")
        );
        assert_eq!(
            canonical_origin("https://shop.example:443/").as_deref(),
            Some("https://shop.example")
        );
        assert_eq!(
            canonical_origin("https://shop.example:8443").as_deref(),
            Some("https://shop.example:8443")
        );
        for text in [
            "https://localhost:8447",
            "https://127.0.0.1:8447",
            "https://xn--bcher-kva.example",
            "https://4.shop-1.example",
        ] {
            assert_eq!(canonical_origin(text).as_deref(), Some(text));
        }
        let long = format!("https://{}.example", "a".repeat(64));
        assert_eq!(canonical_origin(&long), None);
        for text in [
            "http://shop.example",
            "shop.example",
            "https://shop.example/a",
            "https://shop.example?x",
            "https://u:p@shop.example",
            "https://shop.example#f",
            "null",
            "",
            "data:x",
            "https://",
            // Each went into a header once.
            "https://*",
            "https://*.shop.example",
            "https://a;sandbox",
            "https://shop.example;sandbox",
            "https://a,b.example",
            "https://'self'",
            "https://shop_1.example",
            "https://-shop.example",
            "https://shop-.example",
            "https://shop..example",
            "https://.shop.example",
            "https://shop.example.",
            "https://shop",
            "https://[::1]:8443",
            "https://shop.example$.b",
        ] {
            assert_eq!(canonical_origin(text), None, "{text}");
        }
    }
}
