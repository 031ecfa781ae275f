//! Bodies: read once, bounded in size and time, parsed without an echo.
//!
//! On the capture plane the whole body goes into one buffer that never grows and is wiped when it
//! is dropped; cards are parsed borrowed from it. On the internal plane no card is ever sent, and
//! [`Json`] reads what a handler has the right to.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::Plane;
use crate::problem::{Code, Problem};

/// A type that a body can be, and the places in it that an answer may point at.
pub trait Described {
    /// JSON pointers made of this service's own member names; nothing else is ever named.
    const POINTERS: &'static [&'static str];
}

/// The body of a request on the capture plane, in its wiped buffer.
#[derive(Clone)]
pub struct Wiped(Rc<Zeroizing<Vec<u8>>>);

impl fmt::Debug for Wiped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wiped(..)")
    }
}

impl Wiped {
    /// The bytes, for the parser.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Reads a whole body, or says why not.
    ///
    /// # Errors
    /// [`Code::BodyTooLarge`], [`Code::RequestTimeout`] or [`Code::MalformedRequest`].
    pub async fn collect(
        payload: Payload,
        bytes_max: usize,
        time_ms: u64,
    ) -> Result<Self, Problem> {
        collect(payload, bytes_max, time_ms)
            .await
            .map(|bytes| Self(Rc::new(bytes)))
    }
}

/// Collects a body into a buffer of fixed capacity, so that nothing is left behind by growth.
async fn collect(
    mut payload: Payload,
    bytes_max: usize,
    time_ms: u64,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max));
    let reading = async {
        while let Some(chunk) = payload.next().await {
            // A body that breaks off or is framed wrongly is not a request.
            let chunk = chunk.map_err(|_| Problem::new(Code::MalformedRequest))?;
            if bytes.len().saturating_add(chunk.len()) > bytes_max {
                return Err(Problem::new(Code::BodyTooLarge));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    // actix bounds the time of the head only; a dripping body is ours to cut off.
    match tokio::time::timeout(Duration::from_millis(time_ms), reading).await {
        Ok(read) => read.map(|()| bytes),
        Err(_) => Err(Problem::new(Code::RequestTimeout)),
    }
}

/// A JSON body of the internal plane.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + Described + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            media_type(&request)?;
            let bytes = json_bytes(&request, payload).await?;
            parse(&bytes).map(Self)
        })
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub struct JsonIfAny<T>(pub Option<T>);

/// The body of what needs none: nothing, or an empty object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Described for Nothing {
    const POINTERS: &'static [&'static str] = &[];
}

impl<T: DeserializeOwned + Described + 'static> FromRequest for JsonIfAny<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let bytes = json_bytes(&request, payload).await?;
            if bytes.is_empty() {
                return Ok(Self(None));
            }
            media_type(&request)?;
            parse(&bytes).map(|body| Self(Some(body)))
        })
    }
}

/// The bytes of a body of the internal plane.
async fn json_bytes(
    request: &HttpRequest,
    payload: Payload,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let plane = request
        .app_data::<web::Data<Plane>>()
        .ok_or_else(|| Problem::new(Code::Internal))?;
    let limits = &plane.limits;
    collect(
        payload,
        limits.json_body_bytes_max,
        limits.request_body_timeout_ms,
    )
    .await
}

/// Refuses a body that does not say it is JSON.
///
/// # Errors
/// [`Code::UnsupportedMediaType`].
pub fn media_type(request: &HttpRequest) -> Result<(), Problem> {
    let json = request.headers().get_all(CONTENT_TYPE).count() == 1
        && request
            .content_type()
            .eq_ignore_ascii_case("application/json");
    if json {
        Ok(())
    } else {
        Err(Problem::new(Code::UnsupportedMediaType))
    }
}

/// Parses a body. What does not fit is told by its place and by a word, never by its value, and
/// never by a name that the caller chose.
///
/// # Errors
/// [`Code::MalformedRequest`] for what is not JSON, [`Code::InvalidRequest`] for JSON of another
/// shape.
pub fn parse<'a, T: Deserialize<'a> + Described>(bytes: &'a [u8]) -> Result<T, Problem> {
    let malformed = || Problem::new(Code::MalformedRequest).detail("The body is not JSON.");
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let refused = |error: &serde_path_to_error::Error<serde_json::Error>| {
        if !error.inner().is_data() {
            return malformed();
        }
        let (reason, missing) = reason(&Zeroizing::new(error.inner().to_string()), T::POINTERS);
        let pointer = missing.unwrap_or_else(|| known_pointer(error.path(), T::POINTERS));
        Problem::new(Code::InvalidRequest).at(pointer, reason)
    };
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json)
        .map(|NoArrays| ())
        .map_err(|error| refused(&error))?;
    json.end().map_err(|_| malformed())?;
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| refused(&error))
}

/// JSON without an array anywhere: no body of this service has one, and serde would take an array
/// for an object whose members come in order.
struct NoArrays;

impl<'de> Deserialize<'de> for NoArrays {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for NoArrays {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<IgnoredAny, Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

/// The longest known pointer on the way to where the parser stopped.
fn known_pointer(
    path: &serde_path_to_error::Path,
    pointers: &'static [&'static str],
) -> &'static str {
    use serde_path_to_error::Segment;
    let mut walked = Zeroizing::new(String::new());
    let mut known = "";
    for segment in path {
        let Segment::Map { key } = segment else { break };
        walked.push('/');
        walked.push_str(key);
        match pointers.iter().find(|pointer| **pointer == walked.as_str()) {
            Some(pointer) => known = pointer,
            None => break,
        }
    }
    known
}

/// serde's complaint as one of our words, and the place of a member that is missing, which serde
/// names with a name of ours.
fn reason(
    complaint: &str,
    pointers: &'static [&'static str],
) -> (&'static str, Option<&'static str>) {
    if let Some(rest) = complaint.strip_prefix("missing field `") {
        let name = rest.split('`').next().unwrap_or_default();
        let named = |pointer: &&&str| pointer.rsplit('/').next() == Some(name);
        return ("required", pointers.iter().find(named).copied());
    }
    let word = match complaint.split(' ').take(2).last() {
        Some("type" | "type:") => "wrong_type",
        Some("field") if complaint.starts_with("unknown") => "unknown_member",
        Some("field") if complaint.starts_with("duplicate") => "duplicate_member",
        Some("variant") => "not_a_choice",
        _ => "not_valid",
    };
    (word, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its parsing is tested")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its parsing is tested")]
        number: String,
    }

    impl Described for Outer {
        const POINTERS: &'static [&'static str] = &["/inner", "/inner/number"];
    }

    fn refusal(body: &str) -> String {
        parse::<Outer>(body.as_bytes()).unwrap_err().body("r")
    }

    #[test]
    fn an_error_names_the_place_and_the_reason_and_no_value() {
        let cases = [
            (r#"{"inner":{"number":42}}"#, "/inner/number", "wrong_type"),
            (r#"{"inner":{}}"#, "/inner/number", "required"),
            (r"{}", "/inner", "required"),
            (
                r#"{"inner":{"number":"1","number":"2"}}"#,
                "/inner",
                "duplicate_member",
            ),
            (
                r#"{"inner":{"number":"1","4242":1}}"#,
                "/inner",
                "unknown_member",
            ),
            (r#"{"inner":[]}"#, "/inner", "wrong_type"),
            (r#"{"inner":["1"]}"#, "/inner", "wrong_type"),
            (r#"["x"]"#, "", "wrong_type"),
            ("[[[[", "", "wrong_type"),
        ];
        for (body, pointer, reason) in cases {
            let answer = refusal(body);
            assert!(
                answer.contains(&format!(r#""pointer":"{pointer}","reason":""#)),
                "{body} {answer}"
            );
            assert!(answer.contains(reason), "{body} {answer}");
            assert!(!answer.contains("4242"), "{answer}");
        }
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in [
            "",
            "{",
            "{}x",
            "nul",
            "{\"inner\":{\"number\":\"\u{1}\"}}",
            "{'a':1}",
        ] {
            assert!(refusal(body).contains("malformed_request"), "{body}");
        }
        assert!(parse::<Outer>(b"{\"inner\":{\"number\":\"\xff\"}}").is_err());
        let deep = "[".repeat(100_000);
        assert!(parse::<Outer>(deep.as_bytes()).is_err());
    }
}
