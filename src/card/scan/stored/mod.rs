//! Card numbers in what is stored or sent on, however they are written.
//!
//! The search for log lines ([`super::all`]) sees our own lines and must leave them readable. What
//! callers send is stored for years, so this one is stricter; what it finds too often costs an
//! answer of 422. Unicode is normalized (NFKC), the digits of every script count, `%hh` is decoded,
//! and up to [`GAP_CHARS_MAX`] characters that are neither letters nor digits may stand between two
//! digits. Groups of digits are evidence: a number written as cards are is one of any length that a
//! network issues, one in other groups only of the two lengths that nearly all cards have. Leading
//! noughts, and an expiry or a code directly behind the number, do not hide it.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::super::brand::Brand;
use super::super::pan::{Pan, passes_luhn};
use super::{digits, ids};

/// Characters between two digits of one number; spaces in a row count once.
const GAP_CHARS_MAX: u8 = 3;
/// The length of nearly all cards, and American Express's.
const USUAL_DIGITS: usize = 16;
const AMEX_DIGITS: usize = 15;

/// Whether there is a card number in `text`, in whatever spelling.
#[must_use]
pub fn contains(text: &str) -> bool {
    // Cheap, and true of nearly every text.
    let has_too_few = |text: &str| {
        let numeric = text.chars().filter(|letter| letter.is_numeric());
        numeric.take(Pan::DIGITS_MIN).count() < Pan::DIGITS_MIN
    };
    if has_too_few(text) {
        return false;
    }
    is_within(text) || text.contains('%') && is_within(&unescaped(text))
}

fn is_within(text: &str) -> bool {
    let mut letters: Zeroizing<Vec<char>> = Zeroizing::new(text.nfkc().collect());
    ids::blank(&mut letters);
    let mut chain = Chain::default();
    for letter in letters.iter() {
        if !chain.takes(*letter) {
            if chain.holds_card() {
                return true;
            }
            chain = Chain::default();
        }
    }
    chain.holds_card()
}

/// The text with each `%hh` as the byte that it stands for.
fn unescaped(text: &str) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.split_at_checked(2).and_then(|(hex, behind)| {
            let hex = std::str::from_utf8(hex).ok()?;
            Some((u8::from_str_radix(hex, 16).ok()?, behind))
        });
        match escaped {
            Some((byte, behind)) if *first == b'%' => {
                bytes.push(byte);
                rest = behind;
            }
            Some(_) | None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())
}

/// Groups of digits with nothing but small gaps between them.
#[derive(Default)]
struct Chain {
    digits: Zeroizing<Vec<u8>>,
    groups: Vec<Range<usize>>,
    gap_chars: u8,
    gap_ends_in_space: bool,
}

impl Chain {
    /// Takes the next character, or says that the chain ends before it.
    fn takes(&mut self, letter: char) -> bool {
        if let Some(value) = digits::value(letter) {
            self.push(value);
            return true;
        }
        if is_invisible(letter) {
            return true;
        }
        let is_space = letter.is_whitespace();
        if !(is_space && self.gap_ends_in_space) {
            self.gap_chars = self.gap_chars.saturating_add(1);
        }
        self.gap_ends_in_space = is_space;
        !letter.is_alphanumeric() && self.gap_chars <= GAP_CHARS_MAX
    }

    fn push(&mut self, value: u8) {
        let start = self.digits.len();
        let end = start.saturating_add(1);
        self.digits.push(value.saturating_add(b'0'));
        match self.groups.last_mut() {
            Some(group) if self.gap_chars == 0 => group.end = end,
            Some(_) | None => self.groups.push(start..end),
        }
        self.gap_chars = 0;
        self.gap_ends_in_space = false;
    }

    fn holds_card(&self) -> bool {
        self.digits.len() >= Pan::DIGITS_MIN
            && (0..self.groups.len()).any(|first| self.holds_card_from(first))
    }

    /// Whether a card number begins with this group, noughts before it left aside.
    fn holds_card_from(&self, first: usize) -> bool {
        let groups = self.groups.get(first..).unwrap_or_default();
        let Some(start) = groups.first().and_then(|group| self.past_noughts(group)) else {
            return false;
        };
        let mut lengths = Vec::with_capacity(Pan::DIGITS_MAX);
        for group in groups {
            let before = group.start.max(start);
            let so_far = before.saturating_sub(start);
            if so_far >= Pan::DIGITS_MAX {
                return false;
            }
            lengths.push(group.end.saturating_sub(before));
            let ends_after = |length: usize| {
                let end = start.saturating_add(length);
                let rest = self.digits.get(end..group.end).unwrap_or_default();
                let mut lengths = lengths.clone();
                if let Some(last) = lengths.last_mut() {
                    *last = length.saturating_sub(so_far);
                }
                is_plausible(&lengths, length, rest)
                    && self.digits.get(start..end).is_some_and(is_card)
            };
            let most = group.end.saturating_sub(start).min(Pan::DIGITS_MAX);
            let least = Pan::DIGITS_MIN.max(so_far.saturating_add(1));
            if (least..=most).any(ends_after) {
                return true;
            }
        }
        false
    }

    /// Where a group's first digit is that is no nought: no card number begins with one.
    fn past_noughts(&self, group: &Range<usize>) -> Option<usize> {
        let digits = self.digits.get(group.clone())?;
        let noughts = digits.iter().position(|digit| *digit != b'0')?;
        group.start.checked_add(noughts)
    }
}

fn is_card(digits: &[u8]) -> bool {
    Brand::is_issued(digits.iter().copied()) && passes_luhn(digits.iter().copied())
}

/// Whether groups of these lengths may be a card number of `length` digits, with `rest` glued to
/// its end.
fn is_plausible(groups: &[usize], length: usize, rest: &[u8]) -> bool {
    if is_written_as_cards_are(groups) {
        return rest.is_empty() || is_expiry_or_code(rest, length);
    }
    rest.is_empty() && matches!(length, USUAL_DIGITS | AMEX_DIGITS)
}

/// In one piece, in equal groups, or as it is embossed.
fn is_written_as_cards_are(groups: &[usize]) -> bool {
    let Some((last, before)) = groups.split_last() else {
        return false;
    };
    match groups {
        [_] | [4, 6, 4 | 5] | [6, 13] => true,
        [first @ (1 | 2 | 4 | 8), ..] => before.iter().all(|group| group == first) && last <= first,
        _ => false,
    }
}

/// What people and programs write directly behind a number: an expiry, a code, or both.
fn is_expiry_or_code(rest: &[u8], length: usize) -> bool {
    let begins_with_expiry = || rest.get(..4).is_some_and(is_expiry);
    match rest.len() {
        3 => true,
        4 => length == AMEX_DIGITS || is_expiry(rest),
        6 | 9 => {
            let month = rest.get(..2).and_then(two_digits);
            matches!(month, Some(1..=12)) && rest.get(2..4) == Some(b"20")
        }
        7 => begins_with_expiry() || rest.get(3..).is_some_and(is_expiry),
        8 => begins_with_expiry(),
        _ => false,
    }
}

/// `MMYY` or `YYMM` of this half of the century.
fn is_expiry(digits: &[u8]) -> bool {
    const MONTHS: std::ops::RangeInclusive<u8> = 1..=12;
    const YEARS: std::ops::RangeInclusive<u8> = 20..=59;
    let (first, second) = digits.split_at_checked(2).unwrap_or_default();
    match (two_digits(first), two_digits(second)) {
        (Some(first), Some(second)) => {
            MONTHS.contains(&first) && YEARS.contains(&second)
                || YEARS.contains(&first) && MONTHS.contains(&second)
        }
        _ => false,
    }
}

fn two_digits(digits: &[u8]) -> Option<u8> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Characters that nobody sees: they divide nothing.
const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{20e3}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests;
