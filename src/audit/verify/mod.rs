//! Whether the log is what was signed: every event against its leaf, every leaf against the tree,
//! the tree against every checkpoint, and where it is not.
//!
//! The log is pushed through once, from its first event to its last; nothing of it is kept.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::leaf::Line;
use super::note::{Checkpoint, Epoch, LogKey};
use super::tree::{Edge, Hash};
use crate::clock::Timestamp;

/// Findings that are told one by one; of more only the number.
const FINDINGS_TOLD_MAX: usize = 1_000;

/// A row of the log, with the event that it is of.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place.
    pub seq: u64,
    /// The event's name.
    pub event_id: String,
    /// The leaf hash, as it was written when the event was.
    pub leaf: Hash,
    /// The event; nothing where it is not there.
    pub line: Option<Line<'static>>,
}

/// What is not as it was signed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Places of the log are empty.
    Gap {
        /// The first one.
        from: u64,
        /// The next that is not.
        to: u64,
    },
    /// The event of a place was deleted.
    Deleted {
        /// The place.
        seq: u64,
        /// The event.
        event_id: String,
    },
    /// The event of a place is not what it was.
    Changed {
        /// The place.
        seq: u64,
        /// The event.
        event_id: String,
        /// When it says that it was.
        at: Timestamp,
    },
    /// An event is there that is in no place of the log, and waits for none.
    Inserted {
        /// The event.
        event_id: String,
    },
    /// What stood between two checkpoints is not what was signed: changed with its leaf, put in
    /// another order, or renumbered.
    NotAsSigned {
        /// The size up to which all is well.
        from: u64,
        /// The size whose root is another.
        to: u64,
        /// Where the signed root is.
        source: String,
    },
    /// A checkpoint is of a longer log than there is: its tail was cut off, or the database is an
    /// older one.
    CutOff {
        /// Events there are.
        size: u64,
        /// Events there were.
        signed: u64,
        /// Where that is signed.
        source: String,
    },
    /// What should be a checkpoint was not signed by the log's key.
    Forged {
        /// Where it is, and which one.
        source: String,
    },
}

impl Finding {
    /// Its name, for machines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::Deleted { .. } => "deleted",
            Self::Changed { .. } => "changed",
            Self::Inserted { .. } => "inserted",
            Self::NotAsSigned { .. } => "not_as_signed",
            Self::CutOff { .. } => "cut_off",
            Self::Forged { .. } => "forged",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { from, to } => write!(
                f,
                "the places from {from} to before {to} are empty: no checkpoint over more than \
                 {from} events can be compared"
            ),
            Self::Deleted { seq, event_id } => {
                write!(f, "at {seq}: the event {event_id} was deleted")
            }
            Self::Changed { seq, event_id, at } => {
                let at = at.rfc3339();
                write!(f, "at {seq}: the event {event_id} of {at} was changed")
            }
            Self::Inserted { event_id } => {
                write!(f, "the event {event_id} was inserted: it is not in the log")
            }
            Self::NotAsSigned { from, to, source } => write!(
                f,
                "between {from} and {to}: something is not as it was signed ({source}): changed \
                 with its hash, reordered or renumbered"
            ),
            Self::CutOff {
                size,
                signed,
                source,
            } => write!(
                f,
                "the log ends at {size} and had {signed} events ({source}): its tail was cut off, \
                 or the database is an older one"
            ),
            Self::Forged { source } => {
                write!(f, "{source} was not signed by the log's key")
            }
        }
    }
}

/// What the verification came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events in the log.
    pub events: u64,
    /// Checkpoints that were held against it.
    pub checkpoints: u64,
    /// How many of them stand outside of the database, and are signed. With none, whoever owns the
    /// database and the log's key could have replaced the log as a whole.
    pub outside: u64,
    /// The size up to which a checkpoint vouches for it.
    pub signed: u64,
    /// Where an operator accepted that the database had been rolled back.
    pub rollbacks: Vec<Rollback>,
    /// The first findings.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub found: u64,
}

/// The database was rolled back, and an operator has accepted it: what was signed of the history
/// before behind that place is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The history that has begun then.
    pub epoch: Epoch,
    /// How long the history before it was, as far as is known.
    pub signed_before: u64,
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            epoch,
            signed_before,
        } = self;
        write!(
            f,
            "epoch {}: an operator accepted that the log was rolled back from {signed_before} events \
             to {}",
            epoch.number, epoch.begins_at
        )
    }
}

impl Report {
    fn tell(&mut self, finding: Finding) {
        self.found = self.found.saturating_add(1);
        if self.findings.len() < FINDINGS_TOLD_MAX {
            self.findings.push(finding);
        }
    }
}

/// A note that claims to be a checkpoint of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where it is from, in words.
    pub source: String,
    /// The note.
    pub note: String,
    /// Whether it stands outside of the database.
    pub is_outside: bool,
}

/// A checkpoint to hold the log against, and where it is from.
#[derive(Clone, Debug)]
struct Signed {
    checkpoint: Checkpoint,
    source: String,
}

/// Holds a log against what was signed of it.
#[derive(Debug)]
pub struct Verification {
    expected: VecDeque<Signed>,
    edge: Edge,
    /// The next place.
    next: u64,
    /// The size up to which a root was right.
    well: u64,
    /// Once a place is empty or a root is wrong, every later root is.
    is_lost: bool,
    report: Report,
}

impl Verification {
    /// Against what claims to be checkpoints.
    #[must_use]
    pub fn against(key: &LogKey, claims: impl IntoIterator<Item = Claim>) -> Self {
        let mut report = Report::default();
        let mut opened = Vec::new();
        for claim in claims {
            let source = claim.source;
            report.checkpoints = report.checkpoints.saturating_add(1);
            match key.open(&claim.note) {
                Ok(checkpoint) => opened.push((Signed { checkpoint, source }, claim.is_outside)),
                Err(_) => report.tell(Finding::Forged { source }),
            }
        }
        let mut rollbacks: BTreeMap<Epoch, u64> = BTreeMap::new();
        for (signed, _) in &opened {
            let epoch = signed.checkpoint.epoch;
            if epoch != Epoch::default() {
                rollbacks.insert(epoch, epoch.begins_at);
            }
        }
        let mut expected = Vec::new();
        for (signed, is_outside) in opened {
            let Checkpoint { size, epoch, .. } = signed.checkpoint;
            // What was signed behind the place at which a later history begins is another history's.
            let mut later = rollbacks
                .iter_mut()
                .filter(|(later, _)| later.number > epoch.number && later.begins_at < size);
            if let Some((_, signed_before)) = later.next() {
                *signed_before = size.max(*signed_before);
                continue;
            }
            report.outside = report.outside.saturating_add(is_outside.into());
            expected.push(signed);
        }
        let rollback = |(epoch, signed_before)| Rollback {
            epoch,
            signed_before,
        };
        report.rollbacks = rollbacks.into_iter().map(rollback).collect();
        expected.sort_by_key(|signed| signed.checkpoint.size);
        let mut this = Self {
            expected: expected.into(),
            edge: Edge::default(),
            next: 0,
            well: 0,
            is_lost: false,
            report,
        };
        this.compare();
        this
    }

    /// The next row of the log. True where its event is the one that was written.
    pub fn push(&mut self, entry: &Entry) -> bool {
        if entry.seq > self.next {
            self.report.tell(Finding::Gap {
                from: self.next,
                to: entry.seq,
            });
            // The leaves of the empty places are unknown, and with them every later root.
            self.is_lost = true;
        }
        let is_whole = match &entry.line {
            None => {
                self.report.tell(Finding::Deleted {
                    seq: entry.seq,
                    event_id: entry.event_id.clone(),
                });
                false
            }
            Some(line) if line.leaf() != entry.leaf => {
                self.report.tell(Finding::Changed {
                    seq: entry.seq,
                    event_id: entry.event_id.clone(),
                    at: Timestamp::from_unix_ms(line.at_ms),
                });
                false
            }
            Some(_) => true,
        };
        self.edge.append(entry.leaf);
        self.next = entry.seq.saturating_add(1);
        self.compare();
        is_whole
    }

    /// An event that is in no place of the log and waits for none.
    pub fn outside(&mut self, event_id: String) {
        self.report.tell(Finding::Inserted { event_id });
    }

    /// How many rows were pushed.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.edge.size()
    }

    /// There are no more rows.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let size = self.next;
        self.report.events = self.edge.size();
        self.report.signed = self.well;
        // The longest one says it; the others are its beginnings.
        if let Some(longest) = self.expected.pop_back() {
            self.report.tell(Finding::CutOff {
                size,
                signed: longest.checkpoint.size,
                source: longest.source,
            });
        }
        self.report
    }

    /// Holds the tree, as long as it is now, against what was signed at that length.
    fn compare(&mut self) {
        let size = self.next;
        while let Some(signed) = self
            .expected
            .pop_front_if(|signed| signed.checkpoint.size <= size)
        {
            if self.is_lost {
                continue;
            }
            if self.edge.root() == signed.checkpoint.root {
                self.well = size;
            } else {
                self.is_lost = true;
                self.report.tell(Finding::NotAsSigned {
                    from: self.well,
                    to: size,
                    source: signed.source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
