//! When the work of rotation has failed: pass after pass over its rows has moved none.

use crate::seal::KekId;

/// Passes without a row moved after which work is given up whose rows no process can open: its key
/// is not held. A pass takes two seconds at least, and processes follow a manifest within seven.
const FRUITLESS_PASSES_MAX: u32 = 10;
/// The same where the key is held, and a module or a key service does not answer, or a row was
/// altered: five minutes at least.
const FRUITLESS_PASSES_OF_HELD_MAX: u32 = 150;
/// Rows that a failure names.
const NAMED_ROWS_MAX: usize = 3;

/// What the passes over a job's rows came to.
#[derive(Debug, Default)]
pub(super) struct Passes {
    fruitless: u32,
    moved: usize,
    stayed: usize,
    named: Vec<String>,
    not_held: Option<KekId>,
}

impl Passes {
    /// So many rows were moved.
    pub(super) const fn moved(&mut self, rows: usize) {
        self.moved = self.moved.saturating_add(rows);
    }

    /// A row stays as it is.
    pub(super) fn stays(&mut self, row: String, is_held: bool, kek: &KekId) {
        self.stayed = self.stayed.saturating_add(1);
        if self.named.len() < NAMED_ROWS_MAX {
            self.named.push(row);
        }
        if !is_held {
            self.not_held = Some(kek.clone());
        }
    }

    /// Ends a pass; why the work has failed, where it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        let pass = std::mem::take(self);
        if pass.stayed == 0 || pass.moved > 0 {
            return None;
        }
        self.fruitless = pass.fruitless.saturating_add(1);
        let most = match pass.not_held {
            Some(_) => FRUITLESS_PASSES_MAX,
            None => FRUITLESS_PASSES_OF_HELD_MAX,
        };
        (self.fruitless >= most).then(|| pass.why())
    }

    fn why(&self) -> String {
        let rows = self.named.join(", ");
        let further = self.stayed.saturating_sub(self.named.len());
        let further = match further {
            0 => String::new(),
            further => format!(" and {further} more"),
        };
        match &self.not_held {
            Some(kek) => {
                format!("{rows}{further} cannot be opened: this process does not hold {kek}")
            }
            None => format!(
                "{rows}{further} cannot be opened, although the key is held: the key's provider \
                 does not answer, or they were altered"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kek() -> KekId {
        KekId::try_from(format!("kek_{}", "0a".repeat(16))).unwrap()
    }

    fn passes_until_failure(is_held: bool) -> (u32, String) {
        let mut passes = Passes::default();
        for pass in 1..=1_000 {
            for row in 0..5 {
                passes.stays(format!("row-{row}"), is_held, &kek());
            }
            if let Some(why) = passes.ended() {
                return (pass, why);
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn work_whose_rows_do_not_move_fails_and_says_which_and_why() {
        let (passes, why) = passes_until_failure(false);
        assert_eq!(passes, FRUITLESS_PASSES_MAX);
        assert!(why.contains("row-0, row-1, row-2 and 2 more"), "{why}");
        assert!(why.contains(kek().as_str()), "{why}");
        let (passes, why) = passes_until_failure(true);
        assert_eq!(passes, FRUITLESS_PASSES_OF_HELD_MAX);
        assert!(why.contains("provider does not answer"), "{why}");
    }

    #[test]
    fn work_that_moves_or_only_waits_does_not_fail() {
        let mut passes = Passes::default();
        for pass in 0..1_000 {
            if pass % 9 == 0 {
                passes.moved(1);
            }
            passes.stays("row".into(), false, &kek());
            assert_eq!(passes.ended(), None);
        }
        for _ in 0..1_000 {
            assert_eq!(passes.ended(), None);
        }
    }
}
