//! Which listed objects were made for one request of a client: each carries its mark.

use std::collections::HashMap;
use std::sync::Arc;

use super::listed::Listed;
use crate::clock::Timestamp;

/// Two objects that were made for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Twice {
    pub(super) first: Arc<str>,
    pub(super) again: Arc<str>,
}

/// The requests of a list, which is read from the newest object on.
#[derive(Debug)]
pub(super) struct Requests {
    /// Milliseconds for which a caller's key stands for one request.
    key_lives_ms: u64,
    /// The oldest object of each request up to now.
    seen: HashMap<[u8; 16], (Arc<str>, Timestamp)>,
    pub(super) twice: Vec<Twice>,
}

impl Requests {
    pub(super) fn new(key_lives_ms: u64) -> Self {
        Self {
            key_lives_ms,
            seen: HashMap::new(),
            twice: Vec::new(),
        }
    }

    /// Notes an object. Of those of one request, two within the life of its key are one too many;
    /// later ones may be of another life of it.
    pub(super) fn note<T: Listed>(&mut self, object: &T, id: &Arc<str>) {
        let Some(request) = object.request().and_then(first_half) else {
            return;
        };
        let made_at = object.created_at();
        let newer = self.seen.insert(request, (Arc::clone(id), made_at));
        if let Some((again, again_at)) = newer
            && again_at.ms_since(made_at) < self.key_lives_ms
        {
            self.twice.push(Twice {
                first: Arc::clone(id),
                again,
            });
        }
    }
}

/// Half of a mark tells requests apart as well, and takes half of the room.
fn first_half(mark: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(mark.get(..32)?, 16).ok()?;
    Some(number.to_be_bytes())
}
