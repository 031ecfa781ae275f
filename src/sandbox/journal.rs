//! What the sandbox remembers from one life to the next: a file to which each change is appended.
//!
//! One line for each object that a request has changed, written before the request is answered, and
//! handed to the system: it survives the process, not a power cut. When a sandbox starts it reads the
//! lines, the last of each object counting, and writes the file anew with one line for each. Events,
//! mail, faults and switches are of one life. Kept too are idempotency keys with their answers, or a
//! payment whose answer was lost would be made twice; but no key of a request with a card in it, of
//! which nothing is ever written down.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::idempotency::KeptKey;
use super::later::{self, Deed, Later};
use super::objects::Object;
use super::records::{
    Charge, Customer, Dispute, PaymentIntent, PaymentMethod, Refund, SetupIntent,
};
use super::state::State;

/// Of the key under which requests are compared.
const MAC_KEY: &str = "mac_key";
const KEY: &str = "idempotency_key";

/// Where changes are written down.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
}

#[derive(Serialize)]
struct LineOut<'a, T> {
    kind: &'a str,
    value: &'a T,
}

#[derive(Deserialize)]
struct LineIn {
    kind: String,
    value: Value,
}

impl Journal {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }
}

fn line<T: Serialize>(lines: &mut Vec<u8>, kind: &str, value: &T) {
    let before = lines.len();
    if serde_json::to_writer(&mut *lines, &LineOut { kind, value }).is_ok() {
        lines.push(b'\n');
    } else {
        lines.truncate(before);
    }
}

/// Writes down what has changed. A sandbox whose file cannot be written goes on without it.
pub(super) fn write_down(state: &mut State) {
    if state.journal.is_none() {
        return;
    }
    let mut lines = Vec::new();
    changed::<Customer>(state, &mut lines);
    changed::<PaymentMethod>(state, &mut lines);
    changed::<SetupIntent>(state, &mut lines);
    changed::<PaymentIntent>(state, &mut lines);
    changed::<Charge>(state, &mut lines);
    changed::<Refund>(state, &mut lines);
    changed::<Dispute>(state, &mut lines);
    for key in state.keys.changed() {
        line(&mut lines, KEY, &key);
    }
    let Some(journal) = state.journal.as_mut().filter(|_| !lines.is_empty()) else {
        return;
    };
    if let Err(error) = journal.append(&lines) {
        tracing::error!(%error, "the sandbox's file cannot be written: what is paid from now on is forgotten at its end");
        state.journal = None;
    }
}

fn changed<T: Object + Serialize>(state: &mut State, lines: &mut Vec<u8>) {
    for id in T::all_mut(state).take_changed() {
        if let Some(object) = T::all(state).get(&id) {
            line(lines, T::NAME, object);
        }
    }
}

/// Reads what an earlier life has left at `path`, and goes on writing there. Answers the key under
/// which it compared requests.
pub(super) fn open(state: &mut State, path: &Path) -> io::Result<Vec<u8>> {
    state.watch();
    let mut mac_key = None;
    match File::open(path) {
        Ok(file) => {
            for text in BufReader::new(file).split(b'\n') {
                // The last line of a life that was cut short may be half a line.
                let Ok(read) = serde_json::from_slice::<LineIn>(&text?) else {
                    continue;
                };
                if read.kind == MAC_KEY {
                    mac_key = serde_json::from_value(read.value).ok();
                } else {
                    remember(state, read);
                }
            }
        }
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mac_key = mac_key.unwrap_or_else(|| {
        let mut bytes = vec![0_u8; 32];
        crate::random::fill(&mut bytes);
        bytes
    });
    state.journal = Some(anew(state, path, &mac_key)?);
    go_on(state);
    Ok(mac_key)
}

fn remember(state: &mut State, LineIn { kind, value }: LineIn) {
    if kind == Customer::NAME {
        put::<Customer>(state, value);
    } else if kind == PaymentMethod::NAME {
        put::<PaymentMethod>(state, value);
    } else if kind == SetupIntent::NAME {
        put::<SetupIntent>(state, value);
    } else if kind == PaymentIntent::NAME {
        put::<PaymentIntent>(state, value);
    } else if kind == Charge::NAME {
        put::<Charge>(state, value);
    } else if kind == Refund::NAME {
        put::<Refund>(state, value);
    } else if kind == Dispute::NAME {
        put::<Dispute>(state, value);
    } else if let Ok(key) = serde_json::from_value::<KeptKey>(value) {
        state.keys.remember(key);
    }
}

fn put<T: Object + DeserializeOwned>(state: &mut State, value: Value) {
    let Ok(object) = serde_json::from_value::<T>(value) else {
        return;
    };
    let id = object.id().to_owned();
    let all = T::all_mut(state);
    match all.get_mut(&id) {
        // It keeps its place among the others.
        Some(known) => *known = object,
        None => all.insert(id, object),
    }
}

/// The file with one line for each object, in the place of the one before.
fn anew(state: &mut State, path: &Path, mac_key: &[u8]) -> io::Result<Journal> {
    let mut lines = Vec::new();
    line(&mut lines, MAC_KEY, &mac_key);
    changed::<Customer>(state, &mut lines);
    changed::<PaymentMethod>(state, &mut lines);
    changed::<SetupIntent>(state, &mut lines);
    changed::<PaymentIntent>(state, &mut lines);
    changed::<Charge>(state, &mut lines);
    changed::<Refund>(state, &mut lines);
    changed::<Dispute>(state, &mut lines);
    for key in state.keys.changed() {
        line(&mut lines, KEY, &key);
    }
    let beside = PathBuf::from(format!("{}.new", path.display()));
    let options = |append: bool| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        if append {
            options.append(true);
        } else {
            options.truncate(true);
        }
        options
    };
    let mut file = options(false).open(&beside)?;
    file.write_all(&lines)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let file = options(true).open(path)?;
    Ok(Journal { file })
}

/// What had been planned for later is planned again.
fn go_on(state: &mut State) {
    let (payments, refunds) = (state.switches.payments, state.switches.refunds);
    let mut deeds = Vec::new();
    for intent in state.payment_intents.newest() {
        let when = Later::of(&intent.core.metadata, payments).outcome();
        if let ("processing", Some(succeeds)) = (intent.core.status, when) {
            let id = intent.core.id.clone();
            deeds.push(Deed::Payment { id, succeeds });
        }
    }
    for refund in state.refunds.newest() {
        let when = Later::of(&refund.metadata, refunds).outcome();
        if let ("pending", Some(succeeds)) = (refund.status, when) {
            let id = refund.id.clone();
            deeds.push(Deed::Refund { id, succeeds });
        }
    }
    for deed in deeds {
        later::plan(state, deed);
    }
}
