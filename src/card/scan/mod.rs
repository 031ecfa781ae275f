//! Finds card numbers where they must not be. There are two searches: [`stored`] for what callers
//! send and what is kept or sent on, and this one for our own output: log lines, files, a test's
//! captured answers.
//!
//! What counts here: 14 to 19 ASCII digits, in one piece or grouped by single separators as people
//! write them, that pass Luhn's check and that a network issues. What does not: ids that
//! happen to hold such digits (`UUID`s, hexadecimal trace and span ids, `TypeID`s), fractions of
//! decimal numbers, telephone numbers with their `+`. Milliseconds, microseconds and nanoseconds
//! since 1970 start with a 1, which is no brand's. Nothing is copied out of the text.

mod digits;
mod ids;
pub mod stored;

use std::ops::{Range, RangeInclusive};

use super::brand::Brand;
use super::pan::{Pan, passes_luhn};

const DIGITS: RangeInclusive<usize> = Pan::DIGITS_MIN..=Pan::DIGITS_MAX;
/// Digits in one group of a grouped number: 4-4-4-4, 4-6-5, 4-6-4, 8-8.
const GROUP_DIGITS: RangeInclusive<usize> = 2..=8;
/// E.164 allows this many digits after the `+`.
const PHONE_DIGITS_MAX: usize = 15;

/// The first card number in `text`, with the separators inside it.
#[must_use]
pub fn find(text: &[u8]) -> Option<Range<usize>> {
    all(text).next()
}

/// Whether there is a card number in `text`.
#[must_use]
pub fn contains(text: &str) -> bool {
    find(text.as_bytes()).is_some()
}

/// All card numbers in `text`, in order, none overlapping another.
pub fn all(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        loop {
            let first = next_run(text, at)?;
            at = first.end;
            if let Some(card) = card_starting_with(text, &first) {
                at = card.end;
                return Some(card);
            }
        }
    })
}

/// The longest card number whose first group of digits is `first`.
fn card_starting_with(text: &[u8], first: &Range<usize>) -> Option<Range<usize>> {
    let mut longest = None;
    let mut group = first.clone();
    let mut count = 0_usize;
    loop {
        count = count.saturating_add(group.len());
        if count > *DIGITS.end() {
            return longest;
        }
        let candidate = first.start..group.end;
        if DIGITS.contains(&count) && is_card(text, &candidate) && stands_alone(text, &candidate) {
            longest = Some(candidate);
        }
        let Some(next) = next_group(text, group.end) else {
            return longest;
        };
        // Some 19-digit cards are embossed as 6-13.
        let six_thirteen = first.len() == 6 && group == *first && next.len() == 13;
        let grouped = GROUP_DIGITS.contains(&first.len()) && GROUP_DIGITS.contains(&next.len());
        if !grouped && !six_thirteen {
            return longest;
        }
        group = next;
    }
}

fn is_card(text: &[u8], candidate: &Range<usize>) -> bool {
    let digits = || {
        let bytes = text.get(candidate.clone()).unwrap_or_default();
        bytes.iter().copied().filter(u8::is_ascii_digit)
    };
    Brand::is_issued(digits()) && passes_luhn(digits())
}

/// The next run of digits at or after `at`, which is no digit's middle.
fn next_run(text: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let start = at.saturating_add(rest.iter().position(u8::is_ascii_digit)?);
    let end = run_end(text, start);
    // The digits of `%20` and `\u0020` belong to the escape, not to what follows it.
    let after_escape = escape_end(text, start).unwrap_or(start);
    Some(after_escape.clamp(start, end)..end)
}

/// The run of digits after one separator at `at`.
fn next_group(text: &[u8], at: usize) -> Option<Range<usize>> {
    let separator = match text.get(at..)? {
        // The plus is a space in an HTML form's encoding.
        [b' ' | b'-' | b'+', ..] => 1,
        // The no-break space that comes along when a number is copied from a page.
        [0xc2, 0xa0, ..] => 2,
        _ => return None,
    };
    let start = at.saturating_add(separator);
    let end = run_end(text, start);
    (start < end).then_some(start..end)
}

fn run_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    start.saturating_add(digits.count())
}

/// Where an escape (`%hh`, `\uhhhh`) ends that began shortly before `start` and reaches it.
fn escape_end(text: &[u8], start: usize) -> Option<usize> {
    let is_hex = |from: usize, length: usize| {
        text.get(from..from.saturating_add(length))
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    (1..=6).find_map(|back| {
        let begin = start.checked_sub(back)?;
        let (mark, hex_digits) = match text.get(begin..)? {
            [b'%', ..] => (1_usize, 2),
            [b'\\', b'u', ..] => (2, 4),
            _ => return None,
        };
        let end = begin.saturating_add(mark).saturating_add(hex_digits);
        (end >= start && is_hex(begin.saturating_add(mark), hex_digits)).then_some(end)
    })
}

/// Whether the digits are a number of their own and not a piece of something longer.
fn stands_alone(text: &[u8], candidate: &Range<usize>) -> bool {
    left_edge_is_open(text, candidate)
        && !is_in_uuid(text, candidate)
        && !is_in_hex_id(text, candidate)
        && !is_in_own_key(text, candidate)
}

/// Letters may lead into a number (`card4242…`), but not letters with digits before them, as in a
/// `TypeID` (which starts with a 0 for the next five centuries); nor `0.` as in a fraction, nor `+`
/// when the whole could be a telephone number.
fn left_edge_is_open(text: &[u8], candidate: &Range<usize>) -> bool {
    if escape_end(text, candidate.start) == Some(candidate.start) {
        return true;
    }
    let before = text.get(..candidate.start).unwrap_or_default();
    let digits = || {
        let bytes = text.get(candidate.clone()).unwrap_or_default();
        bytes.iter().filter(|byte| byte.is_ascii_digit()).count()
    };
    match before {
        [.., b'0'..=b'9', b'.'] => return false,
        [.., b'+'] if digits() <= PHONE_DIGITS_MAX => return false,
        _ => {}
    }
    // A digit directly before would have been part of the run: this one has letters behind it.
    let mut backwards = before
        .iter()
        .rev()
        .skip_while(|byte| byte.is_ascii_alphabetic());
    !backwards.next().is_some_and(u8::is_ascii_digit)
}

/// 8-4-4-4-12 hexadecimal digits (RFC 9562).
fn is_in_uuid(text: &[u8], candidate: &Range<usize>) -> bool {
    const LENGTH: usize = 36;
    let earliest = candidate.start.saturating_sub(LENGTH.saturating_sub(1));
    (earliest..candidate.end).any(|start| {
        text.get(start..start.saturating_add(LENGTH))
            .is_some_and(|bytes| {
                bytes.iter().enumerate().all(|(place, byte)| match place {
                    8 | 13 | 18 | 23 => *byte == b'-',
                    _ => byte.is_ascii_hexdigit(),
                })
            })
    })
}

/// A whole word of 16, 32, 40 or 64 hexadecimal digits, letters among them: a span id, a trace id,
/// a digest. (Sixteen digits without a letter are a card number to whoever reads them.)
fn is_in_hex_id(text: &[u8], candidate: &Range<usize>) -> bool {
    const LONGEST: usize = 65;
    let before = text.get(..candidate.start).unwrap_or_default();
    let after = text.get(candidate.start..).unwrap_or_default();
    let word = || {
        let backwards = before.iter().rev().take(LONGEST);
        let forwards = after.iter().take(LONGEST);
        backwards
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .chain(forwards.take_while(|byte| byte.is_ascii_alphanumeric()))
    };
    matches!(word().count(), 16 | 32 | 40 | 64)
        && word().all(u8::is_ascii_hexdigit)
        && word().any(u8::is_ascii_alphabetic)
}

/// Our idempotency key at the processor: `cloakroom-` and 64 hexadecimal digits. In the bytes of an
/// embedded database the next column stands right behind it, so that it is no whole word.
fn is_in_own_key(text: &[u8], candidate: &Range<usize>) -> bool {
    const PREFIX: &[u8] = b"cloakroom-";
    const KEY_DIGITS: usize = 64;
    let earliest = candidate.end.saturating_sub(KEY_DIGITS);
    (earliest..=candidate.start).any(|start| {
        let key = text.get(start..start.saturating_add(KEY_DIGITS));
        text.get(..start)
            .is_some_and(|before| before.ends_with(PREFIX))
            && key.is_some_and(|key| {
                key.iter().all(u8::is_ascii_hexdigit) && key.iter().any(u8::is_ascii_alphabetic)
            })
    })
}

#[cfg(test)]
mod tests;
