//! What was done to a log is found, and where.

use super::*;
use crate::audit::leaf::Columns;
use crate::seal::signing::SigningKey;

struct Log {
    signing: SigningKey,
    key: LogKey,
    entries: Vec<Entry>,
    claims: Vec<Claim>,
}

fn line(number: u64, action: &str) -> Line<'static> {
    let columns = Columns {
        at_ms: i64::try_from(number).unwrap(),
        act: (action.to_owned(), "success".to_owned()),
        ..Columns::default()
    };
    Line::of_columns(format!("evt_{number}"), columns)
}

fn outside(source: &str, note: String) -> Claim {
    Claim {
        source: source.to_owned(),
        note,
        is_outside: true,
    }
}

fn checkpoint(size: u64, root: Hash) -> Checkpoint {
    Checkpoint {
        size,
        root,
        ..Checkpoint::default()
    }
}

impl Log {
    /// A hundred events, and a checkpoint over every ten.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let text = SigningKey::generate().unwrap();
        crate::seal::file::write_private(&path, text.as_bytes()).unwrap();
        let signing = SigningKey::read(&path).unwrap();
        let key = LogKey::of(&signing);
        let (mut entries, mut claims) = (Vec::new(), Vec::new());
        let mut edge = Edge::default();
        for seq in 0..100 {
            let line = line(seq, "token.read");
            edge.append(line.leaf());
            entries.push(Entry {
                seq,
                event_id: line.id.to_string(),
                leaf: line.leaf(),
                line: Some(line),
            });
            if edge.size() % 10 == 0 {
                let (size, root) = (edge.size(), edge.root());
                let note = key.sign(checkpoint(size, root), &signing);
                claims.push(outside(&format!("sink:{size}"), note));
            }
        }
        Self {
            signing,
            key,
            entries,
            claims,
        }
    }

    fn verified(&self) -> Report {
        let mut verification = Verification::against(&self.key, self.claims.clone());
        for entry in &self.entries {
            verification.push(entry);
        }
        verification.finish()
    }
}

#[test]
fn an_untouched_log_has_no_finding() {
    let report = Log::new().verified();
    assert_eq!(report.findings, []);
    assert_eq!((report.events, report.checkpoints), (100, 10));
    assert_eq!((report.signed, report.outside), (100, 10));
}

#[test]
fn only_signed_checkpoints_from_elsewhere_count_as_outside_of_the_database() {
    let mut log = Log::new();
    for claim in &mut log.claims {
        claim.is_outside = false;
    }
    assert_eq!(log.verified().outside, 0);
    log.claims.push(outside("given", "not a note".to_owned()));
    assert_eq!(log.verified().outside, 0);
}

#[test]
fn a_changed_or_deleted_event_is_found_at_its_place() {
    let mut log = Log::new();
    log.entries[41].line = Some(line(41, "token.created"));
    log.entries[56].line = None;
    let report = log.verified();
    let changed = Finding::Changed {
        seq: 41,
        event_id: "evt_41".into(),
        at: Timestamp::from_unix_ms(41),
    };
    let deleted = Finding::Deleted {
        seq: 56,
        event_id: "evt_56".into(),
    };
    assert_eq!(report.findings, [changed, deleted]);
    assert_eq!(report.signed, 100, "the tree itself is whole");
}

#[test]
fn what_was_changed_with_its_hash_or_reordered_is_found_between_two_checkpoints() {
    let between = |source: &str| Finding::NotAsSigned {
        from: 40,
        to: 50,
        source: source.into(),
    };
    let mut log = Log::new();
    let other = line(41, "token.created");
    log.entries[41].leaf = other.leaf();
    log.entries[41].line = Some(other);
    let report = log.verified();
    assert_eq!(report.findings, [between("sink:50")]);
    assert_eq!(report.signed, 40);

    let mut log = Log::new();
    log.entries.swap(42, 48);
    log.entries[42].seq = 42;
    log.entries[48].seq = 48;
    assert_eq!(log.verified().findings, [between("sink:50")]);

    // Taken out, and the rest renumbered.
    let mut log = Log::new();
    log.entries.remove(43);
    for entry in &mut log.entries[43..] {
        entry.seq -= 1;
    }
    let cut = Finding::CutOff {
        size: 99,
        signed: 100,
        source: "sink:100".into(),
    };
    assert_eq!(log.verified().findings, [between("sink:50"), cut]);
}

#[test]
fn a_gap_a_cut_tail_and_an_older_database_are_found() {
    let mut log = Log::new();
    log.entries.remove(43);
    let report = log.verified();
    assert_eq!(report.findings, [Finding::Gap { from: 43, to: 44 }]);
    assert_eq!((report.events, report.signed), (99, 40));
    // Each run of empty places is one finding, and a changed event behind it is found still.
    log.entries.drain(60..70);
    log.entries[70].line = Some(line(81, "token.created"));
    let report = log.verified();
    let changed = Finding::Changed {
        seq: 81,
        event_id: "evt_81".into(),
        at: Timestamp::from_unix_ms(81),
    };
    let gaps = [(43, 44), (61, 71)].map(|(from, to)| Finding::Gap { from, to });
    assert_eq!(report.findings, [&gaps[..], &[changed]].concat());
    // A cut tail is found behind a gap.
    log.entries.truncate(65);
    let cut = log.verified().findings.pop();
    assert_eq!(cut.map(|finding| finding.name()), Some("cut_off"));

    let mut log = Log::new();
    log.entries.truncate(95);
    let cut = Finding::CutOff {
        size: 95,
        signed: 100,
        source: "sink:100".into(),
    };
    assert_eq!(log.verified().findings, [cut]);
    log.entries.clear();
    let report = log.verified();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
}

#[test]
fn a_forged_checkpoint_and_an_inserted_event_are_found() {
    let mut log = Log::new();
    let other = Log::new();
    let root = [3; 32];
    let note = log.key.sign(checkpoint(50, root), &other.signing);
    log.claims.push(outside("given:1", note));
    let mut verification = Verification::against(&log.key, log.claims.clone());
    for entry in &log.entries {
        assert!(verification.push(entry));
    }
    verification.outside("evt_x".into());
    let forged = Finding::Forged {
        source: "given:1".into(),
    };
    let inserted = Finding::Inserted {
        event_id: "evt_x".into(),
    };
    assert_eq!(verification.finish().findings, [forged, inserted]);

    // One that our own key signed for another log of ours does not fit either.
    let note = log.key.sign(checkpoint(50, root), &log.signing);
    log.claims = vec![outside("given:2", note)];
    let report = log.verified();
    assert_eq!(report.findings[0].name(), "not_as_signed");
}

#[test]
fn a_rollback_that_an_operator_accepted_is_told_once_and_no_finding() {
    // 25 events were left of a hundred, and others came behind them.
    let mut log = Log::new();
    log.entries.truncate(25);
    let mut edge = Edge::default();
    for entry in &log.entries {
        edge.append(entry.leaf);
    }
    let epoch = Epoch {
        number: 1,
        begins_at: 25,
    };
    for seq in 25..60 {
        let line = line(seq, "token.created");
        edge.append(line.leaf());
        log.entries.push(Entry {
            seq,
            event_id: line.id.to_string(),
            leaf: line.leaf(),
            line: Some(line),
        });
        if edge.size() % 15 == 0 {
            let signed = Checkpoint {
                epoch,
                ..checkpoint(edge.size(), edge.root())
            };
            let note = log.key.sign(signed, &log.signing);
            log.claims.push(outside("new", note));
        }
    }
    let report = log.verified();
    assert_eq!(report.findings, []);
    assert_eq!((report.events, report.signed), (60, 60));
    let rollback = Rollback {
        epoch,
        signed_before: 100,
    };
    assert_eq!(report.rollbacks, [rollback]);
    // 10 and 20 of the history before, 30, 45 and 60 of the new one.
    assert_eq!(report.outside, 5);

    // What both have in common is compared as ever, and so is what is new.
    let mut changed = log.entries[11].clone();
    changed.leaf = [1; 32];
    log.entries[11] = changed;
    let finding = &log.verified().findings;
    assert!(
        matches!(
            finding[..],
            [
                Finding::Changed { seq: 11, .. },
                Finding::NotAsSigned { from: 10, .. }
            ]
        ),
        "{finding:?}"
    );
}
