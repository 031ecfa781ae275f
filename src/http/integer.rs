//! Integers as JSON means them: `1250`, `1250.0` and `1.25e3` are one number (RFC 8259 6, and
//! JSON Schema 2020-12 6.1.1, which counts each as an `integer`).
//!
//! Languages with one number type write any of the three. What has a fraction is refused, and no
//! complaint repeats the number.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Beyond it neighbouring integers are one double, so which was meant is not known.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads an integer that must be there.
///
/// # Errors
/// What is no integer, or does not fit.
pub(super) fn required<'de, T: TryFrom<i64>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Integer::deserialize(from).map(|Integer(value)| value)
}

/// Reads an integer that may be left out or `null`; for a field with `#[serde(default)]`.
///
/// # Errors
/// As [`required`].
pub(super) fn optional<'de, T: TryFrom<i64>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Integer<T>>::deserialize(from)?.map(|Integer(value)| value))
}

struct Integer<T>(T);

impl<'de, T: TryFrom<i64>> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

struct Reader<T>(PhantomData<T>);

impl<T: TryFrom<i64>> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        T::try_from(value).map_err(|_| E::invalid_value(Unexpected::Other("a number"), &self))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        let value = i64::try_from(value)
            .map_err(|_| E::invalid_value(Unexpected::Other("a number"), &self))?;
        self.visit_i64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        // Also true of what is infinite or no number.
        if value.fract() != 0.0 || !(-EXACT_MAX..=EXACT_MAX).contains(&value) {
            return Err(E::invalid_type(Unexpected::Other("a number"), &self));
        }
        // Through text, because no conversion of the library's is both exact and checked.
        let value = format!("{value:.0}").parse::<i64>();
        self.visit_i64(
            value
                .map_err(|_| E::invalid_type(Unexpected::Other("a number"), &Self(PhantomData)))?,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        #[serde(deserialize_with = "required")]
        amount: i64,
        #[serde(default, deserialize_with = "optional")]
        seconds: Option<u32>,
    }

    fn read(body: &str) -> Result<(i64, Option<u32>), String> {
        serde_json::from_str::<Body>(body)
            .map(|body| (body.amount, body.seconds))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_number_may_be_written_in_many_ways() {
        for text in ["1250", "1250.0", "1.25e3", "125000e-2"] {
            assert_eq!(
                read(&format!("{{\"amount\":{text}}}")),
                Ok((1250, None)),
                "{text}"
            );
        }
        let both = r#"{"amount": -0.0, "seconds": 9e2}"#;
        assert_eq!(read(both), Ok((0, Some(900))));
        assert_eq!(read(r#"{"amount": 1, "seconds": null}"#), Ok((1, None)));
    }

    #[test]
    fn what_is_no_integer_or_does_not_fit_is_refused_and_not_repeated() {
        for text in [
            "12.5",
            "1e300",
            "9007199254740994.0",
            "18446744073709551615",
            "\"42\"",
            "true",
            "null",
            "{}",
        ] {
            let complaint = read(&format!("{{\"amount\":{text}}}")).unwrap_err();
            assert!(complaint.starts_with("invalid "), "{text}: {complaint}");
        }
        for text in ["424242424242.0", "424242424242", "-4242424242"] {
            let complaint = read(&format!("{{\"amount\":1,\"seconds\":{text}}}")).unwrap_err();
            assert!(!complaint.contains("4242"), "{complaint}");
        }
        assert!(read("{}").unwrap_err().contains("missing field `amount`"));
    }
}
