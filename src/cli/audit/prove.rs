//! `cloakroom audit prove`: that an event is in the log, for whoever does not trust us.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::super::{Failure, exit, print};
use super::{Log, unavailable};
use crate::audit::note::Checkpoint;
use crate::audit::tree::{self, Hash, Roots};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration whose store is read.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The event: `evt_…`.
    #[arg(long, value_name = "ID")]
    event: String,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let log = Log::open(&arguments.config, "prove").await?;
    let missing = |what: &str| Failure::new(exit::DATA, what);
    let key = log.key()?;
    let place = log
        .store
        .log_place(arguments.event)
        .await
        .map_err(unavailable)?;
    let place = place.ok_or_else(|| missing("that event has no place in the log"))?;
    let over = log.store.checkpoints(place, 1).await.map_err(unavailable)?;
    let over = over.into_iter().next();
    let over = over.ok_or_else(|| missing("no checkpoint is over that event yet"))?;
    let Checkpoint { size, root, .. } = key
        .open(&over.note)
        .map_err(|forged| Failure::new(exit::DATA, forged))?;

    let mut roots = Roots::of(tree::inclusion(place, size));
    let (mut from, mut line) = (0, None);
    while from < size {
        let page = log.store.log(from, super::PAGE_ROWS_MAX).await;
        let page = page.map_err(unavailable)?;
        let Some(last) = page.last() else { break };
        from = last.seq.saturating_add(1);
        for entry in page {
            roots.append(entry.leaf);
            if entry.seq == place {
                line = entry.line;
            }
        }
    }
    let proof = roots.finish();
    let line = line
        .ok_or_else(|| missing("that event was deleted"))?
        .text();
    if !tree::includes((size, root), (place, line.as_bytes()), &proof) {
        return Err(missing(
            "the log is not what was signed: run `audit verify`",
        ));
    }
    log.store.close().await.map_err(unavailable)?;
    print(shown(place, &line, &proof, &over.note))
}

/// The event's line, and the proof, in the form of <https://c2sp.org/tlog-proof>.
fn shown(place: u64, line: &str, proof: &[Hash], note: &str) -> String {
    let line = STANDARD.encode(line);
    let mut text = format!("c2sp.org/tlog-proof@v1\nextra {line}\nindex {place}\n");
    for hash in proof {
        text.push_str(&STANDARD.encode(hash));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(note.trim_end());
    text
}
