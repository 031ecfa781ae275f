//! Card numbers, and the ways in which people and programs write them.

use cloakroom::card::Pan;

use crate::random::Random;

/// What stands between two groups.
const SEPARATORS: [&str; 26] = [
    " ", "-", "  ", "   ", ".", ",", "/", ":", ";", "_", "|", "*", "+", "\t", "\n", "\r\n", ", ",
    " - ", "--", ") (", "\" \"", "\u{a0}", "\u{2009}", "\u{202f}", "\u{2011}", "\u{2013}",
];
/// Noughts of scripts, of full-width and of mathematical digits; half of the texts have ours.
const NOUGHTS: [u32; 18] = [
    0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x660, 0x6f0, 0x966, 0x9e6, 0xe50,
    0xff10, 0x1d7ce, 0x1d7e2, 0x1fbf0,
];
const BEFORE: [&str; 16] = [
    "",
    "",
    "",
    "card ",
    "card",
    "No1x",
    "No. 1: ",
    "1.",
    "+",
    "(",
    "PAN=",
    "/back?card=",
    "Zahlung mit ",
    "https://",
    "00",
    "{\"number\":\"",
];
const BEHIND: [&str; 16] = [
    "",
    "",
    "",
    " 12/30 123",
    " 1230 123",
    "1230",
    "1230123",
    "3012",
    "123",
    "122030",
    "EUR",
    ".0",
    "&cvc=123",
    ", thanks",
    ")",
    ".shop.example",
];

/// A number that a form takes: of any issuer and length that it takes.
pub(crate) fn number(random: &mut Random) -> String {
    loop {
        let length = usize::try_from(random.between(14, 19)).unwrap();
        let mut digits = random.digits(length - 1);
        let check = (0..10).map(|check| format!("{digits}{check}"));
        if let Some(whole) = check.into_iter().find(|whole| Pan::parse(whole).is_ok()) {
            digits.clone_from(&whole);
            return digits;
        }
    }
}

/// The number in some spelling, in some surroundings.
pub(crate) fn spelled(random: &mut Random, number: &str) -> String {
    let separator = random.one_of(&SEPARATORS);
    let nought = *random.one_of(&NOUGHTS.each_ref());
    let hidden = random.one_of(&["", "", "", "\u{200b}", "\u{ad}", "\u{feff}"]);
    let mut text = random.one_of(&BEFORE).to_owned();
    let mut rest = number;
    for (place, length) in groups(random, number.len()).into_iter().enumerate() {
        let (group, behind) = rest.split_at(length);
        if place > 0 {
            text.push_str(separator);
        }
        for (place, digit) in group.chars().enumerate() {
            let value = digit.to_digit(10).unwrap();
            text.push(char::from_u32(nought + value).unwrap());
            if place == 0 {
                text.push_str(hidden);
            }
        }
        rest = behind;
    }
    text + random.one_of(&BEHIND)
}

/// How the digits are grouped: as cards are embossed, or evenly.
fn groups(random: &mut Random, digits: usize) -> Vec<usize> {
    let even = |length: usize| {
        let mut groups = vec![length; digits / length];
        let rest = digits % length;
        groups.extend((rest > 0).then_some(rest));
        groups
    };
    match (random.between(0, 9), digits) {
        (0..=2, _) => vec![digits],
        (3, 14) => vec![4, 6, 4],
        (3, 15) => vec![4, 6, 5],
        (3, 19) => vec![6, 13],
        (4, _) => even(1),
        (5, _) => even(2),
        (6, _) => even(8),
        _ => even(4),
    }
}
