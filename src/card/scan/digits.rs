//! Digits of every script, as values.
//!
//! Unicode's decimal digits (category Nd) come in runs of ten, from nought to nine; so a script is
//! known by its nought.

/// The noughts, in order.
const NOUGHTS: [u32; 77] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0,
    0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50,
    0x11da0, 0x11de0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce,
    0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

/// The value of a decimal digit of whatever script.
pub(super) fn value(letter: char) -> Option<u8> {
    let point = u32::from(letter);
    let after = NOUGHTS.partition_point(|nought| *nought <= point);
    let nought = NOUGHTS.get(after.checked_sub(1)?)?;
    let value = u8::try_from(point.checked_sub(*nought)?).ok()?;
    (value < 10).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

    #[test]
    fn every_decimal_digit_of_unicode_has_its_value() {
        let digits = ('\0'..=char::MAX)
            .filter(|letter| letter.general_category() == GeneralCategory::DecimalNumber);
        let mut count = 0_u32;
        for digit in digits {
            let nought = char::from_u32(u32::from(digit) - count % 10);
            assert_eq!(value(digit).map(u32::from), Some(count % 10), "{digit:?}");
            assert_eq!(nought.and_then(value), Some(0), "{digit:?}");
            count += 1;
        }
        assert!(count >= 650, "{count}");
        for letter in ['a', '/', ':', '٠', '\u{e5a}', '四', '²'] {
            let is_digit = letter.general_category() == GeneralCategory::DecimalNumber;
            assert_eq!(value(letter).is_some(), is_digit, "{letter:?}");
        }
    }
}
