//! Telemetry: what the process says of itself.
//!
//! Logs are JSON, one event a line; they pass through [`scrub`] last and are written by a thread of
//! their own, so that a reader who does not read stops nobody ([`queue`]). [`metrics`] is what
//! Prometheus reads, [`trace`] ties a request to its caller's trace. What must never be said,
//! anywhere: a body, a header's value, a card, a `pm_…`, an e-mail address, a name. Spans are
//! `skip_all` and carry ids.

mod alerts;
mod audit;
mod backup;
mod browsers;
mod calls;
mod lifecycle;
pub mod metrics;
mod processor;
mod queue;
mod reading;
mod reconciliation;
mod registrar;
pub mod scrub;
mod store;
mod tls;
pub mod trace;
mod work;

use std::io::{self, Write};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

pub use calls::ProcessorCall;
pub use metrics::{ActiveRequest, Answered, Metrics, Plane};
pub use processor::Egress;
pub use queue::Flush;
pub use reading::{Labels, Reading};
pub use scrub::Scrubbed;
pub use trace::TraceParent;

use crate::clock::Clock;

/// How to log.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A level (`info`), or directives of `tracing-subscriber`'s filter (`info,cloakroom=debug`).
    pub level: String,
    /// Longer lines are cut.
    pub log_line_bytes_max: u32,
}

/// Where to log to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output, as services do.
    Stdout,
    /// Standard error, as commands do whose standard output is their answer.
    Stderr,
}

/// Why there is no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The level is neither a level nor a list of directives.
    #[error("the log level is not understood: use error, warn, info, debug or trace")]
    Level,
    /// Something in this process logs already.
    #[error("a log is already set up in this process")]
    AlreadySet,
    /// The system has no thread for the log's writer.
    #[error("the log's writer could not be started")]
    NoThread,
}

/// Logs this process's events from now on. To be called once; what is answered is dropped last.
///
/// # Errors
/// [`Refused`], where the settings or the moment are wrong.
pub fn start(
    settings: &Settings,
    output: Output,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<Flush, Refused> {
    let (entrance, flush) = match output {
        Output::Stdout => queue::start(io::stdout(), metrics),
        Output::Stderr => queue::start(io::stderr(), metrics),
    }
    .map_err(|_| Refused::NoThread)?;
    let subscriber = subscriber(settings, entrance, clock, metrics)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Refused::AlreadySet)?;
    Ok(flush)
}

/// Whether a level is one that [`start`] takes.
///
/// # Errors
/// [`Refused::Level`].
pub fn require_level(level: &str) -> Result<(), Refused> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, Refused> {
    let filter = level.parse::<EnvFilter>().map_err(|_| Refused::Level)?;
    // To the filter a word that is no level is a target's name, and nothing at all is `error`:
    // a slip of the hand would silence the log.
    if level.is_empty() || !level.contains('=') && level.parse::<LevelFilter>().is_err() {
        return Err(Refused::Level);
    }
    Ok(filter)
}

/// What [`start`] sets up, over any writer.
///
/// # Errors
/// [`Refused::Level`].
pub fn subscriber<W: Write + Send + 'static>(
    settings: &Settings,
    writer: W,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<impl Subscriber + Send + Sync + use<W>, Refused> {
    let filter = filter(&settings.level)?;
    let scrubbed = Scrubbed::new(writer, settings.log_line_bytes_max, metrics.clone());
    Ok(tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_timer(Time(clock.clone()))
        .with_env_filter(filter)
        .with_writer(scrubbed)
        .finish())
}

/// The clock's time, as RFC 3339.
struct Time(Clock);

impl FormatTime for Time {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", self.0.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::{Arc, Mutex};

    use crate::clock::Timestamp;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn lines(&self) -> Vec<serde_json::Value> {
            let bytes = self.0.lock().unwrap();
            let text = String::from_utf8(bytes.clone()).unwrap();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        }
    }

    fn logged(level: &str, act: impl FnOnce()) -> (Vec<serde_json::Value>, Metrics) {
        let clock = Clock::set_to(Timestamp::from_unix_ms(1_700_000_000_250));
        let metrics = Metrics::new(&clock);
        let settings = Settings {
            level: level.to_owned(),
            log_line_bytes_max: 4_096,
        };
        let kept = Kept::default();
        let subscriber = subscriber(&settings, kept.clone(), &clock, &metrics).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        (kept.lines(), metrics)
    }

    #[test]
    fn an_event_is_one_line_of_json_with_its_spans_ids() {
        let (lines, _) = logged("info", || {
            let span = tracing::info_span!("request", request.id = "req_1");
            let _entered = span.entered();
            tracing::info!(charge.id = "chg_1", "charged");
            tracing::debug!("not at this level");
        });
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!(line["timestamp"], "2023-11-14T22:13:20.250Z");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "charged");
        assert_eq!(line["charge.id"], "chg_1");
        assert_eq!(line["spans"][0]["request.id"], "req_1");
    }

    #[test]
    fn a_card_in_an_event_or_in_a_span_does_not_come_out() {
        let (lines, metrics) = logged("info", || {
            let span = tracing::info_span!("request", body = "4242-4242-4242-4242");
            let _entered = span.entered();
            tracing::info!(
                number = 4_242_424_242_424_242_u64,
                "a\n4242424242424242 pm_1x"
            );
        });
        let text = format!("{lines:?}");
        assert!(!text.contains("4242") && !text.contains("pm_"), "{text}");
        assert_eq!(lines.len(), 1);
        assert!(
            metrics
                .render()
                .contains("cloakroom_log_redactions_total 4\n")
        );
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let clock = Clock::system();
        for (level, is_ok) in [
            ("info", true),
            ("WARN", true),
            ("info,cloakroom=debug,hyper=off", true),
            ("", false),
            ("loud", false),
            ("cloakroom=loud", false),
        ] {
            let settings = Settings {
                level: level.to_owned(),
                log_line_bytes_max: 4_096,
            };
            let made = subscriber(&settings, io::sink(), &clock, &Metrics::new(&clock));
            assert_eq!(made.is_ok(), is_ok, "{level}");
        }
    }
}
