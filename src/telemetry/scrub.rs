//! The last line: what goes out of the process as a log line passes through here.
//!
//! Nothing secret should come this far; spans and events carry ids only. But a library may print
//! what we would not, so each whole line is searched for card numbers and for the forms that
//! secrets have, and what is found is replaced by `[redacted]` and counted. A count other than
//! zero is a defect somewhere else, to be alerted on.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use super::metrics::Metrics;
use crate::card::scan;

const REDACTED: &[u8] = b"[redacted]";

/// What a secret starts with when it starts a word: keys of the processor's API and of its
/// webhooks, and its references to cards, which are as good as a card to whoever holds the key.
const WORDS: [&[u8]; 4] = [b"sk_", b"rk_", b"whsec_", b"pm_"];
/// What divides an id from the secret that goes with it, as in `cs_…_secret_…`.
const CLIENT_SECRET: &[u8] = b"_secret_";
/// The scheme of the `Authorization` header (RFC 6750), in whatever case.
const BEARER: &[u8] = b"bearer ";

/// Replaces what must not be read in `line`, and says how many times. Nothing is found in what it
/// answers.
#[must_use]
pub fn scrub(line: &[u8]) -> (Cow<'_, [u8]>, u64) {
    let (mut clean, mut count) = pass(line);
    let mut found = count;
    // What was glued to a card number begins a word once the number is gone. Each pass takes some
    // bytes of the line away, so there is a last one.
    while found > 0 {
        let (cleaner, more) = pass(&clean);
        found = more;
        if found > 0 {
            count = count.saturating_add(found);
            clean = Cow::Owned(cleaner.into_owned());
        }
    }
    (clean, count)
}

fn pass(line: &[u8]) -> (Cow<'_, [u8]>, u64) {
    let mut found: Vec<_> = scan::all(line).chain(secrets(line)).collect();
    if found.is_empty() {
        return (Cow::Borrowed(line), 0);
    }
    found.sort_by_key(|range| range.start);
    let mut clean = Vec::with_capacity(line.len());
    let mut count = 0_u64;
    let mut at = 0_usize;
    let mut is_quoted = false;
    for range in found {
        if range.start >= at {
            let before = line.get(at..range.start).unwrap_or_default();
            is_quoted ^= opens_quote(before);
            clean.extend_from_slice(before);
            // A bare JSON number becomes a string, so that the line stays JSON.
            let quote: &[u8] = if is_quoted { b"" } else { b"\"" };
            for part in [quote, REDACTED, quote] {
                clean.extend_from_slice(part);
            }
            count = count.saturating_add(1);
        }
        at = at.max(range.end);
    }
    clean.extend_from_slice(line.get(at..).unwrap_or_default());
    (Cow::Owned(clean), count)
}

/// Whether `text` leaves a JSON string open that was not, or closes one that was.
fn opens_quote(text: &[u8]) -> bool {
    let mut is_escaped = false;
    text.iter().fold(false, |is_open, byte| {
        let is_quote = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_open ^ is_quote
    })
}

/// Everything in `line` that has the form of a secret.
fn secrets(line: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut before = b' ';
    (0..line.len()).filter_map(move |start| {
        let starts_word = !before.is_ascii_alphanumeric();
        let rest = line.get(start..)?;
        before = *rest.first()?;
        let length = if starts_word {
            bearer(rest).or_else(|| WORDS.iter().find_map(|prefix| word(rest, prefix)))
        } else {
            None
        };
        let length = length.or_else(|| {
            let secret = word(rest, CLIENT_SECRET)?;
            follows_id(line, start).then_some(secret)
        })?;
        Some(start..start.saturating_add(length))
    })
}

fn word(rest: &[u8], prefix: &[u8]) -> Option<usize> {
    let secret = rest.strip_prefix(prefix)?;
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    match secret.iter().take_while(is_part).count() {
        0 => None,
        length => prefix.len().checked_add(length),
    }
}

/// Whether what stands before is an id (it has a digit) and not a name like `client_secret_hash`.
fn follows_id(line: &[u8], start: usize) -> bool {
    const ID_BYTES_MAX: usize = 64;
    let before = line.get(..start).unwrap_or_default();
    let mut word = before
        .iter()
        .rev()
        .take(ID_BYTES_MAX)
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    word.any(u8::is_ascii_digit)
}

/// `Bearer` and a token68 (RFC 9110, section 11.2).
fn bearer(rest: &[u8]) -> Option<usize> {
    let (scheme, credentials) = rest.split_at_checked(BEARER.len())?;
    if !scheme.eq_ignore_ascii_case(BEARER) {
        return None;
    }
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    match credentials.iter().take_while(is_part).count() {
        0 => None,
        length => BEARER.len().checked_add(length),
    }
}

/// A `MakeWriter` that scrubs and bounds each event's line before it reaches the writer.
pub struct Scrubbed<W> {
    writer: Arc<Mutex<W>>,
    log_line_bytes_max: usize,
    metrics: Metrics,
}

impl<W> fmt::Debug for Scrubbed<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrubbed")
            .field("log_line_bytes_max", &self.log_line_bytes_max)
            .finish_non_exhaustive()
    }
}

impl<W: Write> Scrubbed<W> {
    /// A shorter limit would leave nothing to read.
    pub const LOG_LINE_BYTES_MIN: u32 = 128;

    /// Scrubs what goes to `writer`; redactions are counted in `metrics`.
    #[must_use]
    pub fn new(writer: W, log_line_bytes_max: u32, metrics: Metrics) -> Self {
        Self {
            writer: Arc::new(Mutex::new(writer)),
            log_line_bytes_max: usize::try_from(log_line_bytes_max.max(Self::LOG_LINE_BYTES_MIN))
                .unwrap_or(usize::MAX),
            metrics,
        }
    }

    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        let (clean, count) = scrub(line);
        self.metrics.log_redacted(count);
        let bounded = cut(&clean, self.log_line_bytes_max);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // One call with its newline: what is behind takes whole lines.
        writer.write_all(&bounded)?;
        writer.flush()
    }
}

impl<'a, W: Write + 'a> MakeWriter<'a> for Scrubbed<W> {
    type Writer = Line<'a, W>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            scrubbed: self,
            bytes: Vec::new(),
        }
    }
}

/// One event on its way: collected until it is whole, then scrubbed and written when dropped.
pub struct Line<'a, W: Write> {
    scrubbed: &'a Scrubbed<W>,
    bytes: Vec<u8>,
}

impl<W: Write> fmt::Debug for Line<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line(..)")
    }
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: half a line may be half a secret.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for Line<'_, W> {
    fn drop(&mut self) {
        for line in self.bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.scrubbed.write_line(line).is_err() {
                // The log is where this would be told; the count is what is left.
                self.scrubbed.metrics.log_line_lost();
            }
        }
    }
}

/// A line that is too long, as an object that holds its beginning and is not.
fn cut(line: &[u8], bytes_max: usize) -> Cow<'_, [u8]> {
    // What stands around the beginning takes fewer bytes than this.
    const FRAME_BYTES: usize = 64;
    if line.len() <= bytes_max {
        return Cow::Borrowed(line);
    }
    // Written as a JSON string, a line of JSON at most doubles: it has no bare control characters.
    let keep = bytes_max.saturating_sub(FRAME_BYTES) / 2;
    let start = String::from_utf8_lossy(line.get(..keep).unwrap_or_default());
    let start: String = start
        .chars()
        .filter(|letter| !letter.is_control() && *letter != char::REPLACEMENT_CHARACTER)
        .collect();
    let object = serde_json::json!({ "cut_from_bytes": line.len(), "line": start });
    Cow::Owned(format!("{object}\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::mpsc;

    use crate::clock::{Clock, Timestamp};
    use crate::token::{Environment, TokenId};

    fn scrubbed(line: &str) -> (String, u64) {
        let (clean, count) = scrub(line.as_bytes());
        (String::from_utf8(clean.into_owned()).unwrap(), count)
    }

    #[test]
    fn a_key_that_was_glued_to_a_card_number_is_found_too() {
        let (clean, count) = scrub(b"4242-4242-4242-4242sk_live_1");
        assert_eq!(*clean, *b"\"[redacted]\"\"[redacted]\"");
        assert_eq!(count, 2);
    }

    #[test]
    fn each_secret_is_redacted_and_what_stands_around_it_stays() {
        for (line, clean) in [
            (
                r#"{"m":"card 4242 4242 4242 4242!"}"#,
                r#"{"m":"card [redacted]!"}"#,
            ),
            (
                r#"{"n":4242424242424242,"b":1}"#,
                r#"{"n":"[redacted]","b":1}"#,
            ),
            (
                r#"{"m":"say \"4242424242424242\""}"#,
                r#"{"m":"say \"[redacted]\""}"#,
            ),
            (r#"{"m":"sk_live_51AbcDEF"}"#, r#"{"m":"[redacted]"}"#),
            (
                r#"{"m":"key=rk_test_9x, next"}"#,
                r#"{"m":"key=[redacted], next"}"#,
            ),
            (r#"{"m":"whsec_abc123"}"#, r#"{"m":"[redacted]"}"#),
            (
                r#"{"m":"/v1/payment_methods/pm_1Nabc/attach"}"#,
                r#"{"m":"/v1/payment_methods/[redacted]/attach"}"#,
            ),
            (r#"{"m":"pm_card_visa"}"#, r#"{"m":"[redacted]"}"#),
            (
                r#"{"m":"pi_3Abc_secret_xyz"}"#,
                r#"{"m":"pi_3Abc[redacted]"}"#,
            ),
            (
                r#"{"m":"test_cs_01h_secret_xyz?"}"#,
                r#"{"m":"test_cs_01h[redacted]?"}"#,
            ),
            (
                r#"{"m":"Authorization: Bearer abc.d-e_f~+/="}"#,
                r#"{"m":"Authorization: [redacted]"}"#,
            ),
            (r#"{"m":"bearer sk_live_x\n"}"#, r#"{"m":"[redacted]\n"}"#),
        ] {
            assert_eq!(scrubbed(line), (clean.to_owned(), 1), "{line}");
            serde_json::from_str::<serde_json::Value>(clean).unwrap();
        }
        let (clean, count) = scrubbed("sk_a 4242424242424242 pm_b");
        assert_eq!(count, 3);
        assert!(!clean.contains("4242") && !clean.contains("sk_") && !clean.contains("pm_"));
    }

    #[test]
    fn names_ids_and_moments_are_left_alone() {
        for round in 0..5_000_i64 {
            let moment = Timestamp::from_unix_ms(1_700_000_000_000 + round * 86_399_983);
            let id = TokenId::new(Environment::Test, moment);
            let line = format!(
                r#"{{"timestamp":"{moment}","ms":{},"token":"{id}","task_id":"{}","client_secret_hash":"x","risk_score":{round},"rpm_max":1,"trace_id":"{:032x}","span_id":"a{:015x}","bearer":true,"m":"no client secret, no bearer"}}"#,
                moment.unix_ms(),
                id.uuid(),
                id.uuid().as_u128(),
                id.uuid().as_u128() & 0xfff_ffff_ffff_ffff,
            );
            // "bearer" followed by a quote is a word like others.
            assert_eq!(scrubbed(&line), (line.clone(), 0));
        }
    }

    /// Hands each write on, so that a test sees how often and with what the writer was called.
    struct Sender(mpsc::Sender<Vec<u8>>);

    impl Write for Sender {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .send(bytes.to_vec())
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(pieces: &[&[u8]], bytes_max: u32) -> (Vec<String>, Metrics) {
        let metrics = Metrics::new(&Clock::system());
        let (sender, receiver) = mpsc::channel();
        let scrubbed = Scrubbed::new(Sender(sender), bytes_max, metrics.clone());
        let mut line = scrubbed.make_writer();
        for piece in pieces {
            line.write_all(piece).unwrap();
            line.flush().unwrap();
        }
        drop(line);
        drop(scrubbed);
        let lines = receiver.iter().map(|line| String::from_utf8(line).unwrap());
        (lines.collect(), metrics)
    }

    #[test]
    fn a_number_split_over_two_writes_is_found_and_counted() {
        let (lines, metrics) = written(&[b"{\"m\":\"42424242", b"42424242\"}\n"], 1_000);
        assert_eq!(lines, ["{\"m\":\"[redacted]\"}\n"]);
        assert!(
            metrics
                .render()
                .contains("cloakroom_log_redactions_total 1\n")
        );
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_still_json() {
        let long = format!("{{\"m\":\"{}\"}}\n", "\\\"é".repeat(10_000));
        for bytes_max in [200, 1_001, 16_384] {
            let (lines, _) = written(&[long.as_bytes()], bytes_max);
            let [line] = lines.as_slice() else {
                panic!("one line, not {}", lines.len())
            };
            assert!(
                line.len() <= usize::try_from(bytes_max).unwrap(),
                "{}",
                line.len()
            );
            assert!(line.ends_with("}\n"));
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(object["cut_from_bytes"], long.len());
            assert!(
                object["line"]
                    .as_str()
                    .unwrap()
                    .starts_with("{\"m\":\"\\\"é")
            );
        }
    }

    #[test]
    fn a_secret_on_the_edge_of_the_cut_is_redacted_before() {
        for pad in 0..64 {
            let long = format!("{}4242424242424242{}\n", " ".repeat(pad), " ".repeat(400));
            let (lines, _) = written(&[long.as_bytes()], 128);
            assert!(!lines.concat().contains("4242"), "{pad}");
        }
    }
}
