//! Ids in paths and members in queries: parsed without an echo.

use actix_web::HttpRequest;
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};
use crate::token::id::{Kind, Refused};
use crate::token::{Environment, Id};

/// An id at the end of a path. What is not an id names nothing, so it is not found.
///
/// # Errors
/// `not_found`, which names the other environment when the id is of it.
pub fn in_path<K: Kind>(text: &str, environment: Environment) -> Result<Id<K>, Problem> {
    Id::parse(text, environment).map_err(|refused| match refused {
        Refused::Malformed => Problem::new(Code::NotFound),
        Refused::WrongEnvironment => Problem::new(Code::NotFound).detail(other(environment)),
    })
}

/// An id in a body.
///
/// # Errors
/// `invalid_request` at `pointer`.
pub fn in_body<K: Kind>(
    text: &str,
    environment: Environment,
    pointer: &'static str,
) -> Result<Id<K>, Problem> {
    Id::parse(text, environment).map_err(|refused| match refused {
        Refused::Malformed => Problem::new(Code::InvalidRequest).at(pointer, "not_an_id"),
        Refused::WrongEnvironment => Problem::new(Code::InvalidRequest)
            .at(pointer, "wrong_environment")
            .detail(other(environment)),
    })
}

const fn other(environment: Environment) -> &'static str {
    match environment {
        Environment::Test => "The id is of the live environment; this service serves test.",
        Environment::Live => "The id is of the test environment; this service serves live.",
    }
}

/// The query of a request.
///
/// # Errors
/// `invalid_request`, without saying more than that: a query has no pointers.
pub fn in_query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    actix_web::web::Query::<T>::from_query(request.query_string())
        .map(actix_web::web::Query::into_inner)
        .map_err(|_| {
            Problem::new(Code::InvalidRequest).detail("The query is not one this path takes.")
        })
}
