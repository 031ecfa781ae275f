//! Stripe's request form: `application/x-www-form-urlencoded` with brackets, `card[number]=…`.
//!
//! Values are wiped when the form is dropped, each decoded into a buffer that never grows. No
//! error names a value, and a name only when it is made of letters and underscores.

use std::fmt;

use zeroize::Zeroizing;

use super::errors::Refusal;

/// More fields than this is no Stripe request.
const FIELDS_MAX: usize = 300;
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;

/// The parameters of one request.
#[derive(Default)]
pub(super) struct Form {
    fields: Vec<(Zeroizing<String>, Zeroizing<String>)>,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form(..)")
    }
}

impl Form {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let mut form = Self::default();
        for pair in text.split(|&byte| byte == b'&').filter(|p| !p.is_empty()) {
            if form.fields.len() >= FIELDS_MAX {
                return Err(Refusal::malformed("Too many parameters."));
            }
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            let name = decode(halves.next().unwrap_or_default());
            let value = decode(halves.next().unwrap_or_default());
            match (name, value) {
                (Some(name), Some(value)) => form.fields.push((name, value)),
                _ => return Err(Refusal::malformed("Invalid encoding of parameters.")),
            }
        }
        Ok(form)
    }

    /// Name and value of every field, for the idempotency check.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of that field; an empty value is none, as it is for Stripe.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields()
            .filter(|(known, value)| *known == name && !value.is_empty())
            .map(|(_, value)| value)
            .last()
    }

    /// The values of `name[]=…` or `name[0]=…`.
    pub(super) fn listed(&self, name: &str) -> Vec<&str> {
        self.fields()
            .filter(|(known, value)| {
                let index = known
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
                !value.is_empty() && index.is_some_and(|i| i.bytes().all(|b| b.is_ascii_digit()))
            })
            .map(|(_, value)| value)
            .collect()
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    pub(super) fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| {
            Refusal::malformed(format!("Missing required param: {name}."))
                .code("parameter_missing")
                .param(name)
        })
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Refusal::malformed(format!("Invalid boolean: {name}")).param(name)),
        }
    }

    pub(super) fn integer(&self, name: &'static str) -> Result<Option<i64>, Refusal> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Refusal::malformed(format!("Invalid integer: {name}"))
                        .code("parameter_invalid_integer")
                        .param(name)
                })
            })
            .transpose()
    }

    /// Where the cardholder comes back to; an `http` or `https` URL.
    pub(super) fn return_url(&self) -> Result<Option<String>, Refusal> {
        let Some(given) = self.get("return_url") else {
            return Ok(None);
        };
        url::Url::parse(given)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .map(|url| Some(url.into()))
            .ok_or_else(|| {
                Refusal::malformed("Not a valid URL.")
                    .code("url_invalid")
                    .param("return_url")
            })
    }

    /// One of these words, or nothing.
    pub(super) fn choice(
        &self,
        name: &'static str,
        words: &'static [&'static str],
    ) -> Result<Option<&'static str>, Refusal> {
        let Some(given) = self.get(name) else {
            return Ok(None);
        };
        let known = words.iter().find(|word| **word == given).copied();
        known.map(Some).ok_or_else(|| {
            let words = words.join(", ");
            Refusal::malformed(format!("Invalid {name}: must be one of {words}")).param(name)
        })
    }

    /// Refuses parameters that the endpoint does not know, as Stripe does.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let unknown = self.fields().find_map(|(name, _)| {
            let top = name.split('[').next().unwrap_or_default();
            (top != "expand" && !known.contains(&top)).then(|| top.to_owned())
        });
        let Some(name) = unknown else {
            return Ok(());
        };
        let plain = name.len() <= 64
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let name = if plain { name } else { "(unreadable)".into() };
        let refusal = Refusal::malformed(format!("Received unknown parameter: {name}"));
        Err(refusal.code("parameter_unknown").param(name))
    }

    /// `metadata[key]=value`, within Stripe's limits.
    pub(super) fn metadata(&self) -> Result<serde_json::Map<String, serde_json::Value>, Refusal> {
        let mut metadata = serde_json::Map::new();
        for (name, value) in self.fields() {
            let Some(key) = name
                .strip_prefix("metadata[")
                .and_then(|rest| rest.strip_suffix(']'))
            else {
                continue;
            };
            if key.is_empty() || key.chars().count() > METADATA_KEY_CHARS_MAX {
                return Err(metadata_refused("Metadata keys have 1 to 40 characters."));
            }
            if key.contains(['[', ']']) {
                return Err(metadata_refused("Metadata keys have no square brackets."));
            }
            if value.chars().count() > METADATA_VALUE_CHARS_MAX {
                return Err(metadata_refused(
                    "Metadata values have up to 500 characters.",
                ));
            }
            metadata.insert(key.to_owned(), value.into());
        }
        if metadata.len() > METADATA_KEYS_MAX {
            return Err(metadata_refused("Metadata can have up to 50 keys."));
        }
        Ok(metadata)
    }
}

fn metadata_refused(message: &'static str) -> Refusal {
    Refusal::malformed(message).param("metadata")
}

/// Percent-decoding into one buffer that is as large as it can ever need to be.
fn decode(text: &[u8]) -> Option<Zeroizing<String>> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                high.checked_mul(16)?.checked_add(low)?
            }
            other => other,
        });
    }
    // Moves the buffer; nothing is copied when the text is valid.
    match String::from_utf8(std::mem::take(&mut *decoded)) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(refused) => {
            drop(Zeroizing::new(refused.into_bytes()));
            None
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_plus_and_percent_are_decoded() {
        let form =
            Form::parse(b"card%5Bnumber%5D=42+42&metadata[a%20b]=%C3%A9&metadata[z]=&x").unwrap();
        assert_eq!(form.get("card[number]"), Some("42 42"));
        assert_eq!(form.get("x"), None);
        let metadata = form.metadata().unwrap();
        assert_eq!(metadata["a b"], "é");
        assert_eq!(format!("{form:?}"), "Form(..)");
    }

    #[test]
    fn broken_encoding_is_refused_without_an_echo() {
        for text in [&b"a=%"[..], b"a=%4", b"a=%zz", b"%ff=1", b"a=%ff"] {
            assert!(Form::parse(text).is_err());
        }
        let many = "a=1&".repeat(FIELDS_MAX + 1);
        assert!(Form::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn an_unknown_parameter_is_named_only_when_it_is_a_name() {
        let form = Form::parse(b"amount=1&surprise=2").unwrap();
        assert!(form.only(&["amount", "surprise"]).is_ok());
        let refusal = form.only(&["amount"]).unwrap_err();
        assert!(refusal.to_json("").to_string().contains("surprise"));
        let form = Form::parse(b"4242424242424242=2").unwrap();
        let refusal = form.only(&["amount"]).unwrap_err();
        assert!(!refusal.to_json("").to_string().contains("4242"));
    }
}
