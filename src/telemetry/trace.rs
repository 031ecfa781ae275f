//! Trace context: which outside trace a request belongs to.
//!
//! The `traceparent` header of the W3C Trace Context recommendation
//! (<https://www.w3.org/TR/trace-context/>, section 3.2). It is a caller's text, so it is read
//! strictly, and what does not fit is dropped as the recommendation asks. It is recorded in spans
//! and never sent on to third parties.

use std::fmt;

use crate::card::scan;

/// Where a request stands in its caller's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The whole trace.
    pub trace_id: TraceId,
    /// The caller's span.
    pub parent_id: SpanId,
    /// Whether the caller may have recorded its part.
    pub sampled: bool,
}

/// The id of a trace: 32 hexadecimal digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The id of a span: 16 hexadecimal digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl TraceParent {
    /// Of version 00; later versions are longer, up to here.
    const BYTES: usize = 55;
    const BYTES_MAX: usize = 256;

    /// Reads a header's value. `None` is a reason to go on without a trace, never to refuse.
    ///
    /// Sixteen digits of a caller's choosing can be a card number; such a parent is dropped, so
    /// that a span id in a log line is never one.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > Self::BYTES_MAX || scan::contains(value) {
            return None;
        }
        let (known, beyond) = value.split_at_checked(Self::BYTES)?;
        let mut parts = known.split('-');
        let version = lower_hex(parts.next()?, 2)?;
        let trace_id = lower_hex(parts.next()?, 32)?;
        let parent_id = u64::try_from(lower_hex(parts.next()?, 16)?).ok()?;
        let flags = lower_hex(parts.next()?, 2)?;
        // 3.2.2.1: ff is forbidden; version 00 ends here; a later one may go on after a hyphen.
        let is_whole = match version {
            0xff => false,
            0 => beyond.is_empty(),
            _ => beyond.is_empty() || beyond.starts_with('-'),
        };
        (is_whole && parts.next().is_none() && trace_id != 0 && parent_id != 0).then_some(Self {
            trace_id: TraceId(trace_id),
            parent_id: SpanId(parent_id),
            sampled: flags & 1 == 1,
        })
    }
}

/// A number of exactly so many lower-case hexadecimal digits (`HEXDIGLC`).
fn lower_hex(text: &str, digits: usize) -> Option<u128> {
    let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == digits && text.bytes().all(is_lower_hex) {
        u128::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The recommendation's own example.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_recommendations_example_is_read() {
        let parent = TraceParent::parse(EXAMPLE).unwrap();
        assert_eq!(
            parent.trace_id.to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(parent.parent_id.to_string(), "00f067aa0ba902b7");
        assert!(parent.sampled);
        let unsampled = EXAMPLE.replace("-01", "-02");
        assert!(!TraceParent::parse(&unsampled).unwrap().sampled);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for value in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-is-like",
        ] {
            assert!(TraceParent::parse(value).is_some(), "{value}");
        }
    }

    #[test]
    fn what_the_recommendation_forbids_is_dropped() {
        let long = format!("{}-{}", EXAMPLE.replacen("00", "cc", 1), "f".repeat(256));
        for value in [
            "",
            "00",
            long.as_str(),
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\u{e9}",
            // A card number in the place of a span id.
            "00-4bf92f3577b34da6a3ce929d0e0e4736-4242424242424242-01",
        ] {
            assert_eq!(TraceParent::parse(value), None, "{value}");
        }
    }
}
