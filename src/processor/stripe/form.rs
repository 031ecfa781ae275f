//! The form of the one request that carries a raw card, written by hand.
//!
//! Form encoders build strings that grow, and a string that grows leaves its old bytes behind. This
//! one writes into a buffer whose size never changes and which is wiped on drop.

use zeroize::Zeroizing;

/// A form in `application/x-www-form-urlencoded`.
pub(super) struct Form(Zeroizing<Vec<u8>>);

/// The form has no room for another pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Form {
    /// Room for the card and for as much billing detail as the capture plane lets in: nine texts of
    /// 200 characters of at most four bytes, each of which takes three.
    pub(super) const BYTES_MAX: usize = 24 * 1_024;

    pub(super) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(Self::BYTES_MAX)))
    }

    /// Appends `key=value`. The key is ours and stands as it is; the value is encoded in place.
    pub(super) fn text(&mut self, key: &'static str, value: &str) -> Result<(), Full> {
        let encoded: usize = value
            .bytes()
            .map(|byte| if is_plain(byte) { 1 } else { 3 })
            .sum();
        // `&`, the key, `=` and the value.
        let needed = key.len().saturating_add(encoded).saturating_add(2);
        // Writing past the capacity would move the bytes and leave the old ones to the allocator.
        if needed > self.0.capacity().saturating_sub(self.0.len()) {
            return Err(Full);
        }
        if !self.0.is_empty() {
            self.0.push(b'&');
        }
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        for byte in value.bytes() {
            if is_plain(byte) {
                self.0.push(byte);
            } else {
                self.0.extend([b'%', hex(byte >> 4), hex(byte & 0x0f)]);
            }
        }
        Ok(())
    }

    /// Appends `key=number` in decimal.
    pub(super) fn number(&mut self, key: &'static str, value: u16) -> Result<(), Full> {
        let mut digits = Zeroizing::new([b'0'; 5]);
        let mut rest = value;
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
            rest /= 10;
        }
        let text = std::str::from_utf8(&*digits).unwrap_or_default();
        let significant = text.trim_start_matches('0');
        self.text(
            key,
            if significant.is_empty() {
                "0"
            } else {
                significant
            },
        )
    }

    /// What was written, in a buffer of its size: it is kept until the processor has answered, and
    /// thousands may be waiting. The room is wiped here.
    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }
}

/// The bytes that the URL standard's form encoding leaves alone. A space becomes `%20`, which
/// every decoder of forms reads as well as `+`.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_')
}

const fn hex(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0'.saturating_add(nibble),
        _ => b'A'.saturating_add(nibble.saturating_sub(10)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_back_as_it_was_written() {
        let hostile = "a&b=c%20+d é\u{1F4B3}\0\"\r\n";
        let mut form = Form::new();
        form.text("name", hostile).unwrap();
        form.text("card[number]", "4242424242424242").unwrap();
        form.number("month", 7).unwrap();
        form.number("year", 2030).unwrap();
        form.number("zero", 0).unwrap();
        form.number("most", u16::MAX).unwrap();
        let bytes = form.into_bytes();
        let pairs: Vec<_> = form_urlencoded::parse(&bytes).into_owned().collect();
        let expected = [
            ("name", hostile),
            ("card[number]", "4242424242424242"),
            ("month", "7"),
            ("year", "2030"),
            ("zero", "0"),
            ("most", "65535"),
        ];
        assert_eq!(pairs.len(), expected.len());
        for ((key, value), (expected_key, expected_value)) in pairs.iter().zip(expected) {
            assert_eq!(
                (key.as_str(), value.as_str()),
                (expected_key, expected_value)
            );
        }
    }

    #[test]
    fn a_form_never_moves_in_memory_and_refuses_what_does_not_fit() {
        let mut form = Form::new();
        let (place, capacity) = (form.0.as_ptr(), form.0.capacity());
        while form.text("key", "é&").is_ok() {}
        assert_eq!(form.text("key", "é&"), Err(Full));
        assert_eq!((form.0.as_ptr(), form.0.capacity()), (place, capacity));
        assert!(form.0.len() > Form::BYTES_MAX - 20);
    }
}
