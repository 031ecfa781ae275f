//! API keys: who calls, and whether everything is allowed to them.

use std::fmt;

use actix_web::HttpRequest;
use actix_web::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::errors::Refusal;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// A secret key: everything.
    Full,
    /// A restricted key: vaulting cards, as `routes.rs` says.
    Restricted,
}

/// The accepted keys.
pub(super) struct Keyring {
    secret: Vec<Zeroizing<String>>,
    restricted: Vec<Zeroizing<String>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

impl Keyring {
    pub(super) fn new(secret: Vec<Zeroizing<String>>, restricted: Vec<Zeroizing<String>>) -> Self {
        Self { secret, restricted }
    }

    /// The right of who sends this request: `Bearer key`, or `Basic` with the key as user name.
    pub(super) fn right_of(&self, req: &HttpRequest) -> Result<Right, Refusal> {
        let header = req
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| {
                unauthorized("You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').")
            })?;
        let presented =
            presented(header).ok_or_else(|| unauthorized("Invalid API Key provided."))?;
        let among = |keys: &[Zeroizing<String>]| {
            keys.iter().any(|key| {
                aws_lc_rs::constant_time::verify_slices_are_equal(key.as_bytes(), &presented)
                    .is_ok()
            })
        };
        if among(&self.secret) {
            Ok(Right::Full)
        } else if among(&self.restricted) {
            Ok(Right::Restricted)
        } else {
            Err(unauthorized("Invalid API Key provided."))
        }
    }
}

fn presented(header: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Zeroizing::new(rest.trim().as_bytes().to_vec()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut pair = Zeroizing::new(STANDARD.decode(rest.trim()).ok()?);
    let user = pair.iter().position(|&byte| byte == b':')?;
    pair.truncate(user);
    Some(pair)
}

fn unauthorized(message: &'static str) -> Refusal {
    Refusal::new(401, "invalid_request_error", message)
}
