//! Between those who log and the log's reader: a bounded queue and a thread that writes.
//!
//! A pipe that nobody reads takes 64 KiB and then blocks its writer. No request may be that writer:
//! lines wait here, and those that find the queue full are dropped and counted. Once the reader is
//! back, a line of its own says how many are missing.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::metrics::Metrics;

/// Lines that wait at most.
const LINES_MAX: usize = 4_096;
/// Bytes of the lines that wait at most; lines of the longest kind reach this first.
const BYTES_MAX: usize = 4 << 20;
/// Milliseconds between two looks whether everything is written, when the process ends.
const FLUSH_LOOK_MS: u64 = 5;

/// What both ends count.
#[derive(Debug, Default)]
struct Counts {
    /// Bytes of the lines that were taken and are not written.
    waiting_bytes: AtomicUsize,
    /// Lines that were dropped and not yet told of.
    untold_lines: AtomicU64,
}

/// The queue's entrance: takes whole lines, and never waits.
#[derive(Debug)]
pub(super) struct Entrance {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

/// Held until the process ends: waits then, for a moment, until everything is written.
#[derive(Debug)]
#[must_use = "the log's last lines are lost without it"]
pub struct Flush(Arc<Counts>);

/// Starts the thread that writes to `output`.
///
/// # Errors
/// When the system has no thread for it.
pub(super) fn start<W: Write + Send + 'static>(
    output: W,
    metrics: &Metrics,
) -> io::Result<(Entrance, Flush)> {
    let (sender, receiver) = sync_channel(LINES_MAX);
    let counts = Arc::new(Counts::default());
    let metrics = metrics.clone();
    let theirs = Arc::clone(&counts);
    // Ends with the process, or with the last entrance; nobody could wait for it where the log's
    // reader is the one that does not read.
    let _detached = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(output, &receiver, &theirs, &metrics))?;
    let entrance = Entrance {
        lines: sender,
        counts: Arc::clone(&counts),
    };
    Ok((entrance, Flush(counts)))
}

impl Write for Entrance {
    /// Takes a whole line, or refuses it; who called counts what was refused.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let waiting = self.counts.waiting_bytes.load(Ordering::Relaxed);
        let is_taken = waiting.saturating_add(line.len()) <= BYTES_MAX && {
            // Counted before it is sent: the other end may have written it a moment later.
            let bytes = &self.counts.waiting_bytes;
            bytes.fetch_add(line.len(), Ordering::Relaxed);
            let sent = self.lines.try_send(line.to_vec()).is_ok();
            if !sent {
                bytes.fetch_sub(line.len(), Ordering::Relaxed);
            }
            sent
        };
        if is_taken {
            return Ok(line.len());
        }
        self.counts.untold_lines.fetch_add(1, Ordering::Relaxed);
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Does nothing: the thread flushes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all<W: Write>(
    mut output: W,
    lines: &Receiver<Vec<u8>>,
    counts: &Counts,
    metrics: &Metrics,
) {
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                tell_lost(counts);
                let Ok(line) = lines.recv() else { return };
                line
            }
        };
        // One call with its newline, so that lines of several processes do not interleave.
        let written = output.write_all(&line).and_then(|()| output.flush());
        if written.is_err() {
            metrics.log_line_lost();
        }
        let bytes = &counts.waiting_bytes;
        bytes.fetch_sub(line.len(), Ordering::Relaxed);
    }
}

/// Everything that waited is written: what is missing before or among it is told now.
fn tell_lost(counts: &Counts) {
    let lines_lost = counts.untold_lines.swap(0, Ordering::Relaxed);
    if lines_lost > 0 {
        tracing::warn!(
            lines_lost,
            "log lines were dropped because nobody read them in time"
        );
    }
}

impl Flush {
    /// Milliseconds for which the end of the process waits for the log's reader.
    const WAIT_MS_MAX: u64 = 1_000;

    fn is_done(&self) -> bool {
        self.0.waiting_bytes.load(Ordering::Relaxed) == 0
            && self.0.untold_lines.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let began = Instant::now();
        while !self.is_done() && began.elapsed() < Duration::from_millis(Self::WAIT_MS_MAX) {
            std::thread::sleep(Duration::from_millis(FLUSH_LOOK_MS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::{Condvar, Mutex};

    use crate::clock::Clock;

    /// A pipe whose reader reads once it is let.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Ends>);

    #[derive(Default)]
    struct Ends {
        read: Mutex<Option<String>>,
        is_let: Condvar,
    }

    impl Pipe {
        fn let_through(&self) {
            *self.0.read.lock().unwrap() = Some(String::new());
            self.0.is_let.notify_all();
        }

        fn lines(&self) -> usize {
            let read = self.0.read.lock().unwrap();
            read.as_ref().map_or(0, |text| text.lines().count())
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Ends { read, is_let } = &*self.0;
            let mut read = is_let
                .wait_while(read.lock().unwrap(), |read| read.is_none())
                .unwrap();
            let text = std::str::from_utf8(bytes).unwrap();
            read.as_mut().unwrap().push_str(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(pipe: &Pipe) -> (Entrance, Flush) {
        start(pipe.clone(), &Metrics::new(&Clock::system())).unwrap()
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up_and_what_is_dropped_is_counted() {
        let pipe = Pipe::default();
        let (mut entrance, flush) = queue(&pipe);
        let offered = LINES_MAX + 100;
        let taken = (0..offered)
            .filter(|_| entrance.write_all(b"line\n").is_ok())
            .count();
        // One more than the queue holds may be on its way already.
        assert!((LINES_MAX..=LINES_MAX + 1).contains(&taken), "{taken}");
        let untold = flush.0.untold_lines.load(Ordering::Relaxed);
        assert_eq!(usize::try_from(untold).unwrap(), offered - taken);

        pipe.let_through();
        drop(flush);
        assert_eq!(pipe.lines(), taken);
    }

    #[test]
    fn long_lines_fill_the_queue_by_their_bytes() {
        let pipe = Pipe::default();
        let (mut entrance, flush) = queue(&pipe);
        let line = vec![b'x'; 1 << 20];
        let taken = (0..20)
            .filter(|_| entrance.write_all(&line).is_ok())
            .count();
        assert_eq!(taken, BYTES_MAX >> 20);
        pipe.let_through();
        drop(flush);
    }

    #[test]
    fn the_end_waits_for_what_was_taken_but_not_for_ever() {
        let pipe = Pipe::default();
        let (mut entrance, flush) = queue(&pipe);
        entrance.write_all(b"last\n").unwrap();
        let began = Instant::now();
        drop(flush);
        let waited = began.elapsed();
        assert!(
            waited >= Duration::from_millis(Flush::WAIT_MS_MAX),
            "{waited:?}"
        );
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        pipe.let_through();
    }
}
