//! Searches a running process's memory, from outside, for card data in every form in which a
//! program or a library might hold it.
//!
//! Searched for, in every writable mapping: each nine-digit run of each card number
//!
//! - as ASCII digits;
//! - in groups, with spaces, hyphens, `+` or `%20` between them;
//! - percent-encoded, digit by digit;
//! - as hexadecimal of its ASCII, and the whole number as a hexadecimal integer, in both cases;
//! - as base64, standard or for URLs, at each of the three places in a group of three bytes;
//! - the whole number as a 64-bit little-endian integer, and as unpacked digits;
//!
//! and every three- or four-digit code next to its name in JSON or a form, in the same encodings.
//! Not searched: kernel buffers (ciphertext) and swap (memory is locked where the system allows).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

/// Digits that are enough to be a find.
const FRAGMENT_DIGITS: usize = 9;
/// The same in base64.
const FRAGMENT_BASE64: usize = 12;
const PAGE: usize = 4_096;
/// What is read at a time, and how much of it again, so that nothing hides on a seam.
const CHUNK: usize = 1 << 20;
const OVERLAP: usize = 256;

/// Encodings, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Digits,
    Grouped,
    Percent,
    Hex,
    HexInteger,
    Base64,
    Integer,
    Unpacked,
    Cvc,
    CvcPercent,
    CvcHex,
    CvcBase64,
}

/// What was found: how often in each form, and which cards.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) forms: BTreeMap<Form, usize>,
    pub(crate) cards: BTreeSet<String>,
}

impl Found {
    pub(crate) fn total(&self) -> usize {
        self.forms.values().sum()
    }

    fn note(&mut self, form: Form) {
        *self.forms.entry(form).or_default() += 1;
    }
}

/// What is looked for.
pub(crate) struct Scanner {
    fragments: HashMap<[u8; FRAGMENT_DIGITS], String>,
    numbers: HashSet<u64>,
    hex_integers: HashSet<Vec<u8>>,
    base64: HashSet<[u8; FRAGMENT_BASE64]>,
    names: Vec<Name>,
    names_in_base64: Vec<(usize, Vec<u8>)>,
    /// First letters of all of them.
    begins_a_name: [bool; 256],
}

/// How a code is announced in a body, before its digits.
const NAMES: [&str; 3] = ["\"cvc\":\"", "cvc]=", "cvc%5D="];

impl Scanner {
    pub(crate) fn new(cards: &[String]) -> Self {
        let mut this = Self {
            fragments: HashMap::new(),
            numbers: cards.iter().map(|card| card.parse().unwrap()).collect(),
            hex_integers: HashSet::new(),
            base64: HashSet::new(),
            names: names(),
            names_in_base64: Vec::new(),
            begins_a_name: [false; 256],
        };
        for card in cards {
            for window in card.as_bytes().windows(FRAGMENT_DIGITS) {
                let window = window.try_into().unwrap();
                this.fragments.insert(window, card.clone());
            }
            let number: u64 = card.parse().unwrap();
            this.hex_integers.insert(format!("{number:x}").into_bytes());
            for place in 0..3 {
                let text = in_base64(card.as_bytes(), place);
                for window in text.windows(FRAGMENT_BASE64).step_by(4) {
                    this.base64.insert(window.try_into().unwrap());
                }
            }
        }
        for name in NAMES {
            for place in 0..3 {
                let after = (place + name.len()) % 3;
                this.names_in_base64
                    .push((after, in_base64(name.as_bytes(), place)));
            }
        }
        let spelled = this.names.iter().map(|name| &name.spelled);
        for name in spelled.chain(this.names_in_base64.iter().map(|(_, name)| name)) {
            this.begins_a_name[usize::from(name[0].to_ascii_lowercase())] = true;
            this.begins_a_name[usize::from(name[0])] = true;
        }
        this
    }

    /// Searches the writable memory of a process.
    pub(crate) fn scan(&self, pid: u32) -> Found {
        let mut found = Found::default();
        let memory =
            File::open(format!("/proc/{pid}/mem")).expect("root reads another process's memory");
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let writable = |line: &&str| {
            line.split(' ')
                .nth(1)
                .is_some_and(|mode| mode.starts_with("rw"))
        };
        let mut bytes = vec![0; CHUNK];
        for line in maps.lines().filter(writable) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let (from, to) = (address(from), address(to));
            let mut at = from;
            while at < to {
                let want = usize::try_from(to - at).unwrap().min(bytes.len());
                // A guard page or a page that was given back reads as an error, and holds nothing.
                let Ok(read @ 1..) = memory.read_at(&mut bytes[..want], at) else {
                    at += 4_096;
                    continue;
                };
                self.search_pages(&bytes[..read], &mut found);
                let end = at + u64::try_from(read).unwrap();
                at = if end == to || read <= OVERLAP {
                    end
                } else {
                    end - u64::try_from(OVERLAP).unwrap()
                };
            }
        }
        found
    }

    /// Searches what lies between pages that hold nothing but zeros.
    fn search_pages(&self, bytes: &[u8], found: &mut Found) {
        const ZEROS: [u8; PAGE] = [0; PAGE];
        let mut from = 0;
        let mut at = 0;
        while at < bytes.len() {
            let page = &bytes[at..bytes.len().min(at + PAGE)];
            if *page == ZEROS[..page.len()] {
                self.search(&bytes[from..at], found);
                from = at + page.len();
            }
            at += page.len();
        }
        self.search(&bytes[from..], found);
    }

    /// Searches bytes.
    pub(crate) fn search(&self, bytes: &[u8], found: &mut Found) {
        self.digits(bytes, found);
        self.integers(bytes, found);
        self.encoded(bytes, found);
        self.codes(bytes, found);
    }

    fn fragment(&self, digits: &[u8], form: Form, found: &mut Found) {
        if let Ok(window) = <&[u8; FRAGMENT_DIGITS]>::try_from(digits)
            && let Some(card) = self.fragments.get(window)
        {
            found.note(form);
            found.cards.insert(card.clone());
        }
    }

    /// Digits as such, in groups, percent-encoded and in hexadecimal: each a way to read the next
    /// digit, and the last nine of a run are looked up.
    fn digits(&self, bytes: &[u8], found: &mut Found) {
        let mut start = 0;
        while start < bytes.len() {
            let rest = &bytes[start..];
            // Only where something could begin.
            if !matches!(rest[0], b'0'..=b'9' | b'%') {
                start += 1;
                continue;
            }
            let begins_run = start == 0 || !bytes[start - 1].is_ascii_digit();
            let ways: [(Form, Next); 4] = [
                (Form::Digits, plain),
                (Form::Grouped, grouped),
                (Form::Percent, percent),
                (Form::Hex, hex),
            ];
            for (form, next) in ways {
                // A run is read once, from its beginning; hexadecimal has two, a digit apart.
                if begins_run || form == Form::Hex || form == Form::Percent {
                    self.run(rest, form, next, found);
                }
            }
            start += 1;
        }
    }

    fn run(&self, bytes: &[u8], form: Form, next: Next, found: &mut Found) {
        let mut digits = Vec::with_capacity(32);
        let mut at = 0;
        let mut separated = false;
        while let Some((digit, length)) = next(&bytes[at..]) {
            separated |= length > 1;
            digits.push(digit);
            at += length;
            let whole = form != Form::Grouped || separated;
            if digits.len() >= FRAGMENT_DIGITS && whole {
                self.fragment(&digits[digits.len() - FRAGMENT_DIGITS..], form, found);
            }
            // Percent and hexadecimal are read from each place: one fragment each is enough.
            if matches!(form, Form::Percent | Form::Hex) && digits.len() == FRAGMENT_DIGITS {
                break;
            }
        }
    }

    fn integers(&self, bytes: &[u8], found: &mut Found) {
        for (at, &byte) in bytes.iter().enumerate() {
            // A 16-digit number that starts with 4 has these two high bytes.
            if byte == 0 && at >= 7 && (0x0e..=0x11).contains(&bytes[at - 1]) {
                let number = u64::from_le_bytes(bytes[at - 7..=at].try_into().unwrap());
                if self.numbers.contains(&number) {
                    found.note(Form::Integer);
                }
            }
            if byte == 4
                && bytes.len() - at >= 16
                && bytes[at..at + 16].iter().all(|digit| *digit < 10)
            {
                let digits = bytes[at..at + 16].iter();
                let number = digits.fold(0, |sum, digit| sum * 10 + u64::from(*digit));
                if self.numbers.contains(&number) {
                    found.note(Form::Unpacked);
                }
            }
        }
    }

    /// Base64, and integers in hexadecimal: runs of letters and digits.
    fn encoded(&self, bytes: &[u8], found: &mut Found) {
        let mut run = 0;
        for (at, byte) in bytes.iter().enumerate() {
            run = if byte.is_ascii_alphanumeric() {
                run + 1
            } else {
                0
            };
            if run >= FRAGMENT_BASE64 {
                let window = &bytes[at + 1 - FRAGMENT_BASE64..=at];
                if self.base64.contains(window) {
                    found.note(Form::Base64);
                }
                // A number of 16 digits that starts with 4 has 13 hexadecimal ones.
                if run >= 13 {
                    let lower = bytes[at - 12..=at].to_ascii_lowercase();
                    if self.hex_integers.contains(&lower) {
                        found.note(Form::HexInteger);
                    }
                }
            }
        }
    }

    fn codes(&self, bytes: &[u8], found: &mut Found) {
        for (at, byte) in bytes.iter().enumerate() {
            if !self.begins_a_name[usize::from(*byte)] {
                continue;
            }
            let rest = &bytes[at..];
            for name in &self.names {
                let (length, digits) = (name.spelled.len(), name.digits);
                if rest.len() > length
                    && rest[..length].eq_ignore_ascii_case(&name.spelled)
                    && digits.iter().any(|next| is_code(&rest[length..], *next))
                {
                    found.note(name.form);
                }
            }
            for (place, name) in &self.names_in_base64 {
                if rest.starts_with(name) && code_in_base64(&rest[name.len()..], *place) {
                    found.note(Form::CvcBase64);
                }
            }
        }
    }
}

/// The next digit of a run, and how many bytes it took.
type Next = fn(&[u8]) -> Option<(u8, usize)>;

fn plain(bytes: &[u8]) -> Option<(u8, usize)> {
    let digit = *bytes.first()?;
    digit.is_ascii_digit().then_some((digit, 1))
}

/// With at most one separator before it.
fn grouped(bytes: &[u8]) -> Option<(u8, usize)> {
    for separator in [&b" "[..], b"-", b"+", b"%20"] {
        if let Some(rest) = bytes.strip_prefix(separator) {
            return plain(rest).map(|(digit, length)| (digit, length + separator.len()));
        }
    }
    plain(bytes)
}

fn percent(bytes: &[u8]) -> Option<(u8, usize)> {
    let rest = bytes.strip_prefix(b"%3")?;
    plain(rest).map(|(digit, _)| (digit, 3))
}

fn hex(bytes: &[u8]) -> Option<(u8, usize)> {
    let rest = bytes.strip_prefix(b"3")?;
    plain(rest).map(|(digit, _)| (digit, 2))
}

fn address(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap()
}

/// The part of `bytes` in base64 that is the same whatever stands around it, when `place` bytes of
/// a group of three come before.
fn in_base64(bytes: &[u8], place: usize) -> Vec<u8> {
    let mut whole = vec![0; place];
    whole.extend_from_slice(bytes);
    let text = BASE64_STANDARD_NO_PAD.encode(&whole);
    // Six bits each: those that begin after the bytes before, and end before those after.
    let first = (place * 8).div_ceil(6);
    let last = whole.len() * 8 / 6;
    text.as_bytes()[first..last].to_vec()
}

/// A code's name as it may be spelled, and how the digits behind it may be.
struct Name {
    form: Form,
    spelled: Vec<u8>,
    digits: &'static [Next],
}

/// Every spelling of every name, but for base64.
fn names() -> Vec<Name> {
    let mut names = Vec::new();
    for name in NAMES {
        let percent_encoded: String = name
            .bytes()
            .map(|byte| match byte {
                b'c' | b'v' | b'5' | b'D' => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect();
        let in_hex = hexadecimal(name.as_bytes());
        let every_byte = name
            .bytes()
            .fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        let spellings: [(Form, String, &'static [Next]); 4] = [
            (Form::Cvc, name.to_owned(), &[plain]),
            (Form::CvcPercent, every_byte, &[plain, percent]),
            (Form::CvcPercent, percent_encoded, &[plain, percent]),
            (Form::CvcHex, in_hex, &[hex]),
        ];
        names.extend(spellings.into_iter().map(|(form, spelled, digits)| Name {
            form,
            spelled: spelled.into_bytes(),
            digits,
        }));
    }
    names
}

/// Whether three or four digits stand here.
fn is_code(bytes: &[u8], next: Next) -> bool {
    let mut at = 0;
    let mut digits = 0;
    while let Some((_, length)) = next(&bytes[at..]) {
        at += length;
        digits += 1;
    }
    matches!(digits, 3 | 4)
}

/// Whether a code stands after its name in base64, when so many bytes of a group are the name's.
fn code_in_base64(bytes: &[u8], place: usize) -> bool {
    let letter = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut text = vec![b'A'; place];
    text.extend(bytes.iter().take(8 - place).take_while(letter));
    text.truncate(text.len() / 4 * 4);
    let decoded = BASE64_STANDARD.decode(&text).unwrap_or_default();
    let digits = decoded.iter().skip(place);
    digits.take_while(|byte| byte.is_ascii_digit()).count() >= 3
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
