//! What is to be done later, in the order of its time.

use std::collections::BTreeMap;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Agenda<T> {
    entries: BTreeMap<(Instant, u64), T>,
    next: u64,
    max: usize,
}

impl<T> Agenda<T> {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
            max,
        }
    }

    /// Puts it down for then; false when the agenda is full.
    pub(super) fn put(&mut self, at: Instant, what: T) -> bool {
        let room = self.entries.len() < self.max;
        if room {
            self.entries.insert((at, self.next), what);
            self.next = self.next.saturating_add(1);
        }
        room
    }

    /// The first thing whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<T> {
        let first = self.entries.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.entries.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn things_come_due_in_the_order_of_their_time_and_then_of_their_arrival() {
        let start = Instant::now();
        let later = start + Duration::from_millis(5);
        let mut agenda = Agenda::new(3);
        assert!(agenda.put(later, "c"));
        assert!(agenda.put(start, "a"));
        assert!(agenda.put(start, "b"));
        assert!(!agenda.put(start, "too many"));
        assert_eq!(agenda.next_at(), Some(start));
        assert_eq!(agenda.due(start), Some("a"));
        assert_eq!(agenda.due(start), Some("b"));
        assert_eq!(agenda.due(start), None);
        assert_eq!(agenda.due(later), Some("c"));
        assert_eq!((agenda.len(), agenda.next_at()), (0, None));
    }
}
