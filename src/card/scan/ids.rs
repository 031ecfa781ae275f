//! What holds as many digits as a card number and says of itself that it is something else: taken
//! out of a text before card numbers are looked for.
//!
//! Only what proves itself counts, by a form that no card number has or by a checksum of its own:
//! `UUID`s, digests and trace ids in hexadecimal with a letter in them, IBANs, fractions below one.

use super::super::pan::Pan;

/// What stands in the place of each character that was taken out: a letter, which no card number
/// goes on behind.
const BLANK: char = 'x';
/// 8-4-4-4-12 hexadecimal digits (RFC 9562).
const UUID_CHARS: usize = 36;
/// Letters, check digits and account number of an IBAN (ISO 13616).
const IBAN_CHARS_MIN: usize = 15;
const IBAN_CHARS_MAX: usize = 34;

/// Takes out of a text whatever is known to be no card number.
pub(super) fn blank(text: &mut [char]) {
    let mut at = 0_usize;
    while at < text.len() {
        let starts_word = at
            .checked_sub(1)
            .and_then(|before| text.get(before))
            .is_none_or(|before| !before.is_alphanumeric());
        let rest = text.get(at..).unwrap_or_default();
        let length = if starts_word {
            uuid(rest)
                .or_else(|| digest(rest))
                .or_else(|| iban(rest))
                .or_else(|| fraction(text, at))
        } else {
            None
        };
        let end = at.saturating_add(length.unwrap_or_default());
        for letter in text.get_mut(at..end).unwrap_or_default() {
            *letter = BLANK;
        }
        at = end.max(at.saturating_add(1));
    }
}

fn uuid(rest: &[char]) -> Option<usize> {
    let is_part = |(place, letter): (usize, &char)| match place {
        8 | 13 | 18 | 23 => *letter == '-',
        _ => letter.is_ascii_hexdigit(),
    };
    let whole = rest.get(..UUID_CHARS)?;
    let ends = rest
        .get(UUID_CHARS)
        .is_none_or(|next| !next.is_alphanumeric());
    (ends && whole.iter().enumerate().all(is_part)).then_some(UUID_CHARS)
}

/// A whole word of 32, 40 or 64 hexadecimal digits, a letter among them.
fn digest(rest: &[char]) -> Option<usize> {
    let word = || rest.iter().take_while(|letter| letter.is_alphanumeric());
    // The longest is 64: a longer word need not be counted to its end.
    let length = word().take(65).count();
    let holds = matches!(length, 32 | 40 | 64)
        && word().all(char::is_ascii_hexdigit)
        && word().any(char::is_ascii_alphabetic);
    holds.then_some(length)
}

/// An IBAN, in one piece or in groups with single spaces, whose check digits are right.
fn iban(rest: &[char]) -> Option<usize> {
    let [country @ .., _, _] = rest.get(..4)? else {
        return None;
    };
    if !country.iter().all(char::is_ascii_uppercase) {
        return None;
    }
    let mut letters = Vec::with_capacity(IBAN_CHARS_MAX);
    let mut found = None;
    for (place, letter) in rest.iter().enumerate() {
        let next = rest.get(place.saturating_add(1));
        match letter {
            ' ' if next.is_some_and(char::is_ascii_alphanumeric) => continue,
            letter if letter.is_ascii_digit() || letter.is_ascii_uppercase() => {
                letters.push(*letter);
            }
            _ => break,
        }
        if letters.len() > IBAN_CHARS_MAX {
            break;
        }
        let ends = next.is_none_or(|next| !next.is_alphanumeric());
        if ends && letters.len() >= IBAN_CHARS_MIN && is_iban(&letters) {
            found = Some(place.saturating_add(1));
        }
    }
    found
}

/// ISO 7064, modulus 97: the first four behind the rest, letters as 10 to 35, leave 1.
fn is_iban(letters: &[char]) -> bool {
    let (head, account) = letters.split_at_checked(4).unwrap_or((letters, &[]));
    let remainder = account.iter().chain(head).fold(0_u32, |sum, letter| {
        let value = letter.to_digit(36).unwrap_or_default();
        let shift = if value < 10 { 10 } else { 100 };
        sum.saturating_mul(shift).saturating_add(value) % 97
    });
    let has_check = head
        .get(2..)
        .is_some_and(|digits| digits.iter().all(char::is_ascii_digit));
    has_check && remainder == 1
}

/// `0.` and as many digits as a card number has, and nothing behind them that one could go on with.
fn fraction(text: &[char], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let ['0', '.', digits @ ..] = rest else {
        return None;
    };
    let count = digits
        .iter()
        .take_while(|letter| letter.is_ascii_digit())
        .count();
    let mut behind = digits.iter().skip(count);
    let goes_on = match behind.next() {
        Some(next) => next.is_alphanumeric() || behind.next().is_some_and(|next| next.is_numeric()),
        None => false,
    };
    let follows_digit = at
        .checked_sub(2)
        .and_then(|before| text.get(before))
        .is_some_and(|before| before.is_numeric());
    (count >= Pan::DIGITS_MIN && !goes_on && !follows_digit).then_some(count.saturating_add(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        blank(&mut letters);
        letters.into_iter().collect()
    }

    #[test]
    fn what_proves_itself_is_taken_out() {
        for text in [
            "42424242-4242-4242-4242-424242424242",
            "abcdef4242424242424242abcdefabcd",
            // Example IBANs of the SWIFT registry.
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "GB29 NWBK 6016 1331 9268 19",
            "NO93 8601 1117 947",
            "MT84MALT011000012345MTLCAST001S",
            "0.4242424242424242",
        ] {
            assert_eq!(blanked(text), "x".repeat(text.chars().count()), "{text}");
            let within = format!("({text})");
            assert_eq!(blanked(&within).replace('x', ""), "()", "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for text in [
            "4242424242424242",
            "a42424242-4242-4242-4242-424242424242",
            "42424242424242424242424242424242",
            "DE88 3704 0044 0532 0130 00",
            "DE89 4242 4242 4242 4242",
            "0.4242.4242.4242.4242",
            "1.4242424242424242",
            "10.4242424242424242",
        ] {
            assert_eq!(blanked(text), text);
        }
    }
}
