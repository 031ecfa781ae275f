//! Problems: the one form in which anything that went wrong is told to a caller (RFC 9457).
//!
//! A problem is made of this file's constants and of ids that the service made itself. It never
//! carries a byte of what the caller sent: a parser's complaint about a card would otherwise
//! repeat the card.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;

use crate::view::Decline;

/// `application/problem+json`, RFC 9457.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// On an answer that repeats an earlier one.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal $status:literal $retryable:literal $title:literal,)+) => {
        /// What went wrong, as a closed set; the name is the contract, the title is for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)+
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The name in `code` and at the end of `type`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)+ }
            }

            /// The HTTP status it is answered with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$code => $status,)+ }
            }

            /// Whether the same request may succeed later.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$code => $retryable,)+ }
            }

            /// One sentence for people, the same for every occurrence (RFC 9457 3.1.3).
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request is not HTTP or JSON as this service reads them.
    MalformedRequest = "malformed_request" 400 false "The request cannot be read.",
    /// No valid credential.
    Unauthenticated = "unauthenticated" 401 false "The caller is not known or its credential is no longer valid.",
    /// The card was declined.
    CardDeclined = "card_declined" 402 false "The card was declined.",
    /// A known caller without the scope.
    NotGranted = "not_granted" 403 false "The caller has not been granted this.",
    /// A rule of the watch wants the shopper verified anew.
    VerificationRequired = "verification_required" 403 false "The shopper must be verified again; then make a new session that says so.",
    /// No such thing, or somebody else's.
    NotFound = "not_found" 404 false "There is nothing here for this caller.",
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed" 405 false "This method is not offered here.",
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout" 408 true "The request took too long to arrive.",
    /// The same request is still running.
    ConflictInFlight = "conflict_in_flight" 409 true "The same request is still running.",
    /// The token was deleted.
    TokenDeleted = "token_deleted" 410 false "The token has been deleted.",
    /// The body is over its limit.
    BodyTooLarge = "body_too_large" 413 false "The body is too large.",
    /// Not the media type the resource takes.
    UnsupportedMediaType = "unsupported_media_type" 415 false "The body must be application/json.",
    /// The card's details cannot be a card's.
    InvalidCard = "invalid_card" 422 false "The card details are not valid.",
    /// The request is well formed and says something impossible.
    InvalidRequest = "invalid_request" 422 false "The request is not valid.",
    /// The idempotency key was used for another request.
    IdempotencyMismatch = "idempotency_mismatch" 422 false "The idempotency key belongs to another request.",
    /// Too many attempts.
    RateLimited = "rate_limited" 429 true "Too many attempts.",
    /// A fault of this service.
    Internal = "internal" 500 true "The service failed.",
    /// The processor cannot be reached or does not answer.
    ProcessorUnavailable = "processor_unavailable" 503 true "The payment processor is not available.",
    /// The database cannot be reached or does not take writes.
    StoreUnavailable = "store_unavailable" 503 true "The store is not available.",
    /// The keys are not there.
    Sealed = "sealed" 503 true "The service is sealed.",
}

/// Where in the body something is wrong, and why; never what stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) made of names this service knows: `/card/number`.
    pub pointer: &'static str,
    /// A stable word: `required`, `wrong_type`, `checksum`.
    pub reason: &'static str,
}

/// Something that went wrong, on its way to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong.
    pub code: Code,
    detail: Option<&'static str>,
    said: Option<Box<str>>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u32>,
    allow: Option<&'static str>,
    charge: Option<String>,
    decline: Option<Box<Decline>>,
    replayed: bool,
}

impl Problem {
    /// The problem of that code, with nothing more to say.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            said: None,
            errors: Vec::new(),
            retry_after_s: None,
            allow: None,
            charge: None,
            decline: None,
            replayed: false,
        }
    }

    /// Says what is special about this occurrence, in words of our own.
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The same in words that hold something of the configuration, and nothing of the caller's.
    #[must_use]
    pub fn say(mut self, words: &str) -> Self {
        self.said = Some(words.into());
        self
    }

    /// Points at a part of the body.
    #[must_use]
    pub fn at(mut self, pointer: &'static str, reason: &'static str) -> Self {
        self.errors.push(FieldError { pointer, reason });
        self
    }

    /// Says when to come back (`Retry-After`, RFC 9110 10.2.3).
    #[must_use]
    pub const fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Says which methods there are (`Allow`, required by RFC 9110 15.5.6).
    #[must_use]
    pub const fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Says why the card was declined.
    #[must_use]
    pub fn decline(mut self, decline: Decline) -> Self {
        self.decline = Some(Box::new(decline));
        self
    }

    /// Marks an answer that repeats an earlier one.
    #[must_use]
    pub const fn replayed(mut self, replayed: bool) -> Self {
        self.replayed = replayed;
        self
    }

    /// Names the charge that was declined.
    #[must_use]
    pub fn charge(mut self, charge: String) -> Self {
        self.charge = Some(charge);
        self
    }

    /// The answer, with the id of the request it answers.
    #[must_use]
    pub fn answer(&self, request_id: &str) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((CONTENT_TYPE, MEDIA_TYPE));
        if let Some(seconds) = self.retry_after_s {
            answer.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Some(methods) = self.allow {
            answer.insert_header((ALLOW, methods));
        }
        if self.replayed {
            answer.insert_header((IDEMPOTENT_REPLAYED, "true"));
        }
        if self.code == Code::Unauthenticated {
            // RFC 9110 11.6.1: a 401 names a scheme.
            answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        let mut answer = answer.body(self.body(request_id));
        // The envelope sees by it which refusals have had their event already.
        answer.extensions_mut().insert(self.code);
        answer
    }

    /// The JSON document of this problem.
    #[must_use]
    pub fn body(&self, request_id: &str) -> String {
        let document = Document {
            r#type: &format!("/problems/{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status(),
            code: self.code.name(),
            detail: self.said.as_deref().or(self.detail),
            errors: &self.errors,
            request_id,
            // Whether this very request may pass; whether the card may be tried later is the
            // decline's own member.
            retryable: self.code.retryable(),
            charge: self.charge.as_deref(),
            decline: self.decline.as_deref(),
        };
        serde_json::to_string(&document).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    request_id: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline: Option<&'a Decline>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.name())
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Reached only outside the envelope, which answers with the request's id instead.
    fn error_response(&self) -> HttpResponse {
        self.answer("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_rfc_9457_json_with_our_members() {
        let problem = Problem::new(Code::InvalidCard).at("/card/number", "checksum");
        let body: serde_json::Value = serde_json::from_str(&problem.body("req_1")).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "/problems/invalid_card", "title": "The card details are not valid.",
                "status": 422, "code": "invalid_card", "request_id": "req_1", "retryable": false,
                "errors": [{"pointer": "/card/number", "reason": "checksum"}],
            })
        );
    }

    #[test]
    fn every_code_has_a_status_that_http_knows_and_a_name_of_its_own() {
        let names: std::collections::HashSet<_> =
            Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(
                StatusCode::from_u16(code.status())
                    .unwrap()
                    .canonical_reason()
                    .is_some()
            );
        }
    }
}
