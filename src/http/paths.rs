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

/// An id in a query.
///
/// # Errors
/// `invalid_request` at `pointer`.
pub fn id_in_query<K: Kind>(
    text: Option<&str>,
    environment: Environment,
    pointer: &'static str,
) -> Result<Option<Id<K>>, Problem> {
    text.map(|text| in_body(text, environment, pointer))
        .transpose()
}

/// How much of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Page(u32);

impl Page {
    const ROWS_DEFAULT: u32 = 10;
    const ROWS_MAX: u32 = 100;

    /// The page of so many.
    ///
    /// # Errors
    /// `invalid_request` for none and for too many.
    pub fn of(limit: Option<u32>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(Self::ROWS_DEFAULT);
        if (1..=Self::ROWS_MAX).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(Problem::new(Code::InvalidRequest).at("/limit", "out_of_range"))
        }
    }

    /// How many rows to ask the store for: one more tells whether there are more.
    #[must_use]
    pub const fn asked(self) -> u32 {
        self.0.saturating_add(1)
    }

    /// Cuts the rows to the page; whether there are more.
    pub fn cut<T>(self, rows: &mut Vec<T>) -> bool {
        let wanted = usize::try_from(self.0).unwrap_or(usize::MAX);
        let has_more = rows.len() > wanted;
        rows.truncate(wanted);
        has_more
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
