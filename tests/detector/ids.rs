//! Ids that shops, their platforms and their carriers make.

use crate::random::Random;

type Kind = (&'static str, fn(&mut Random) -> String);

/// What they are, and how one is made.
pub(crate) const KINDS: [Kind; 20] = [
    ("order numbers of 13 digits", |random| random.digits(13)),
    ("order numbers of 14 digits", |random| random.digits(14)),
    ("order numbers of 15 digits", |random| random.digits(15)),
    ("order numbers of 16 digits", |random| random.digits(16)),
    ("order numbers of 17 digits", |random| random.digits(17)),
    ("Shopify's ids of 13 digits", |random| {
        random
            .between(4_500_000_000_000, 6_900_000_000_000)
            .to_string()
    }),
    ("EAN-13", |random| {
        let prefix = random.between(300, 699).to_string();
        ean(&(prefix + &nine(random)))
    }),
    ("GTIN-14", |random| {
        let indicator = random.between(1, 8).to_string();
        let prefix = random.between(300, 699).to_string();
        ean(&(indicator + &prefix + &nine(random)))
    }),
    ("Amazon's order numbers, 3-7-7", |random| {
        let (first, second) = (random.between(0, 9_999_999), random.between(0, 9_999_999));
        format!("{}-{first:07}-{second:07}", random.between(100, 720))
    }),
    ("Indonesian telephone numbers without a plus", |random| {
        let length = usize::try_from(random.between(8, 10)).unwrap();
        format!("628{}", random.digits(length))
    }),
    ("telephone numbers with a plus, in groups", phone),
    ("YYMMDDhhmmss and four digits, of 2024 to 2027", |random| {
        let date = date(random, 24);
        format!("{date}{}{:04}", time(random), random.between(0, 9_999))
    }),
    ("dates and counters in groups", |random| {
        let date = date(random, 2024);
        format!(
            "{}-{}-{:06}",
            &date[..4],
            &date[4..],
            random.between(0, 999_999)
        )
    }),
    (
        "seconds, milliseconds and microseconds since 1970",
        |random| {
            let at = random.between(1_700_000_000_000_000, 1_830_000_000_000_000);
            (at / *random.one_of(&[&1_000_000, &1_000, &1])).to_string()
        },
    ),
    ("snowflakes of 18 and 19 digits", |random| {
        random
            .between(900_000_000_000_000_000, 1_500_000_000_000_000_000)
            .to_string()
    }),
    ("UUIDs", |random| {
        let hex = random.letters("0123456789abcdef", 32);
        format!(
            "{}-{}-4{}-a{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..]
        )
    }),
    ("IBANs, in one piece and in groups", iban),
    ("digests, ULIDs, ids with a prefix", |random| {
        match random.between(0, 2) {
            0 => random.letters("0123456789abcdef", 40),
            1 => format!(
                "01{}",
                random.letters("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)
            ),
            _ => format!(
                "cus_{}",
                random.letters("0123456789abcdefghijklmnopqrstuvwxyzABCDEF", 14)
            ),
        }
    }),
    ("carriers' tracking numbers", |random| {
        match random.between(0, 4) {
            0 => format!("9{}{}", random.between(2, 4), random.digits(20)),
            1 => random.digits(12),
            2 => random.digits(15),
            3 => format!("00340{}", random.digits(15)),
            _ => format!(
                "1Z{}{}",
                random.letters("ABCDEFGHXY0123456789", 6),
                random.digits(10)
            ),
        }
    }),
    ("invoice numbers with words and years", |random| {
        let number = random.between(1, 9_999_999);
        match random.between(0, 2) {
            0 => format!("INV/2026/{number:07}"),
            1 => format!("ORD-{number:010}"),
            _ => format!("Order #{number} of customer {}", random.digits(8)),
        }
    }),
];

fn nine(random: &mut Random) -> String {
    format!("{:09}", random.between(0, 999_999_999))
}

/// With GS1's check digit.
fn ean(digits: &str) -> String {
    let sum: u32 = digits
        .chars()
        .rev()
        .enumerate()
        .map(|(place, digit)| digit.to_digit(10).unwrap() * if place % 2 == 0 { 3 } else { 1 })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn date(random: &mut Random, first_year: u64) -> String {
    let year = random.between(first_year, first_year + 3);
    format!(
        "{year}{:02}{:02}",
        random.between(1, 12),
        random.between(1, 28)
    )
}

fn time(random: &mut Random) -> String {
    let (hour, minute) = (random.between(0, 23), random.between(0, 59));
    format!("{hour:02}{minute:02}{:02}", random.between(0, 59))
}

fn phone(random: &mut Random) -> String {
    let country = random.between(20, 99);
    match random.between(0, 2) {
        0 => format!("+{country} {} {}", random.digits(3), random.digits(7)),
        1 => format!(
            "+1 ({}) {}-{}",
            random.digits(3),
            random.digits(3),
            random.digits(4)
        ),
        _ => format!("+{country}{}", random.digits(10)),
    }
}

/// A German or a French one.
fn iban(random: &mut Random) -> String {
    let (country, length) = *random.one_of(&[&("DE", 18), &("FR", 23)]);
    let account = format!("{:0length$}", random.between(0, 10_u64.pow(18) - 1));
    let letters = account.chars().chain(country.chars()).chain("00".chars());
    let remainder = letters.fold(0, |sum, letter| {
        let value = letter.to_digit(36).unwrap();
        (sum * if value < 10 { 10 } else { 100 } + value) % 97
    });
    let whole = format!("{country}{:02}{account}", 98 - remainder);
    if random.between(0, 1) == 0 {
        return whole;
    }
    let letters: Vec<char> = whole.chars().collect();
    let groups = letters.chunks(4).map(String::from_iter);
    groups.collect::<Vec<String>>().join(" ")
}
