//! Which problems each kind of operation documents, so that no handler repeats them and no status
//! hides behind `default`.
//!
//! A handler names its kind among its `responses(…)`. A status stands in the document once, with
//! every code that it may carry.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr, Response};
use utoipa::{IntoResponses, PartialSchema, ToSchema, openapi};

use super::openapi::ProblemDocument;
use crate::problem::{Code, MEDIA_TYPE};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $($base:ident +)? [$($code:ident),+ $(,)?];)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $kind;

        impl $kind {
            fn codes() -> Vec<Code> {
                let mut codes: Vec<Code> = Vec::new();
                $(codes.extend($base::codes());)?
                codes.extend([$(Code::$code),+]);
                codes
            }
        }

        impl IntoResponses for $kind {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                documented(&Self::codes())
            }
        }
    )+};
}

kinds! {
    /// What anybody may read who reaches the plane.
    Open = [MalformedRequest, NotFound, Internal];
    /// What a client of the internal plane needs a grant for; a refusal is recorded.
    Guarded = [MalformedRequest, Unauthenticated, NotGranted, Internal, StoreUnavailable];
    /// A page of a list.
    Listing = Guarded + [InvalidRequest];
    /// A page of what belongs to something else, or stands behind something else.
    ListingOf = Listing + [NotFound];
    /// One thing by its id.
    Reading = Guarded + [NotFound];
    /// One token by its id.
    ReadingToken = Reading + [TokenDeleted];
    /// The end of a token, which its processor takes part in.
    Deleting = ReadingToken + [ConflictInFlight, RateLimited, ProcessorUnavailable, Sealed];
    /// Something new, out of a JSON body, with an idempotency key.
    Making = Guarded + [
        RequestTimeout, ConflictInFlight, BodyTooLarge, UnsupportedMediaType, InvalidRequest,
        IdempotencyMismatch, RateLimited, ProcessorUnavailable,
    ];
    /// A custodian's share.
    Unsealing = Guarded + [
        RequestTimeout, BodyTooLarge, UnsupportedMediaType, InvalidRequest, IdempotencyMismatch,
        Sealed,
    ];
    /// What becomes of money that was moved or held.
    Settling = Making + [NotFound];
    /// What the processor tells under its signature.
    Noticing = [
        MalformedRequest, Unauthenticated, RequestTimeout, BodyTooLarge, Internal, StoreUnavailable,
    ];
    /// What anybody may say.
    Reporting = [
        MalformedRequest, RequestTimeout, BodyTooLarge, UnsupportedMediaType, InvalidRequest,
        RateLimited, Internal, StoreUnavailable,
    ];
    /// Money that is moved or held.
    Paying = Making + [CardDeclined, NotFound, TokenDeleted, Sealed];
    /// A card, sent by whoever holds a session's secret.
    TakingCard = Paying + [InvalidCard, VerificationRequired];
}

/// One response for each status among the codes.
fn documented(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    // In the order of the table of codes, whatever the order in which kinds name them.
    for code in Code::ALL.iter().filter(|code| codes.contains(code)) {
        by_status.entry(code.status()).or_default().push(*code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), RefOr::T(response(&codes))))
        .collect()
}

fn response(codes: &[Code]) -> Response {
    let told: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.name(), code.title()))
        .collect();
    let schema = Ref::from_schema_name(ProblemDocument::name());
    let response = ResponseBuilder::new()
        .description(told.join(" "))
        .content(
            MEDIA_TYPE,
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .header(
            "X-Request-Id",
            text("The id of the request, as in the body."),
        );
    if codes.iter().any(|code| code.retryable()) {
        response.header("Retry-After", seconds()).build()
    } else {
        response.build()
    }
}

fn text(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(String::schema()))
        .description(Some(description))
        .build()
}

fn seconds() -> Header {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .build();
    HeaderBuilder::new()
        .schema(Some(openapi::Schema::Object(schema)))
        .description(Some(
            "Seconds after which to come back, where that is known.",
        ))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_stands_once_with_each_of_its_codes() {
        let documented = Paying::responses();
        let statuses: Vec<&str> = documented.keys().map(String::as_str).collect();
        assert_eq!(
            statuses,
            [
                "400", "401", "402", "403", "404", "408", "409", "410", "413", "415", "422", "429",
                "500", "503"
            ]
        );
        let RefOr::T(unavailable) = &documented["503"] else {
            panic!("not a response");
        };
        let description = &unavailable.description;
        for code in ["processor_unavailable", "store_unavailable", "sealed"] {
            assert!(description.contains(&format!("`{code}`")), "{description}");
        }
        assert!(unavailable.headers.contains_key("Retry-After"));
        let RefOr::T(declined) = &documented["402"] else {
            panic!("not a response");
        };
        assert!(!declined.headers.contains_key("Retry-After"));
    }

    #[test]
    fn what_is_only_read_is_not_declined() {
        for status in ["402", "409", "415"] {
            assert!(!Reading::responses().contains_key(status));
        }
    }
}
