//! The Merkle tree of RFC 6962, section 2.1, over SHA-256: its root as events are appended, and
//! which subtrees a proof is made of.
//!
//! Nothing here holds the tree: a log of any size is read once, from its first leaf to its last.
//! Proofs are checked with ct-merkle, which the tests also hold the roots against.

use std::ops::Range;

use aws_lc_rs::digest::{SHA256, digest};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::Sha256;

/// A SHA-256 hash.
pub type Hash = [u8; HASH_BYTES];

/// Bytes of a [`Hash`].
pub const HASH_BYTES: usize = 32;
const LEAF: u8 = 0;
const NODE: u8 = 1;

/// The hash of a leaf (RFC 6962, 2.1).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    hash(LEAF, &[leaf])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(NODE, &[left, right])
}

fn hash(kind: u8, parts: &[&[u8]]) -> Hash {
    let mut message = vec![kind];
    for part in parts {
        message.extend_from_slice(part);
    }
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(digest(&SHA256, &message).as_ref());
    hash
}

/// The right edge of a tree: the roots of its complete subtrees, the largest first. From it the
/// tree grows, and its root follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    peaks: Vec<Hash>,
}

impl Edge {
    /// The edge that [`bytes`](Self::bytes) wrote, if it can be one of a tree of that size.
    #[must_use]
    pub fn read(size: u64, bytes: &[u8]) -> Option<Self> {
        let (peaks, rest) = bytes.as_chunks::<HASH_BYTES>();
        let fits = rest.is_empty() && u32::try_from(peaks.len()) == Ok(size.count_ones());
        let peaks = peaks.to_vec();
        fits.then_some(Self { size, peaks })
    }

    /// The roots, one after the other.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.peaks.concat()
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each complete subtree of the same height joins: as many as the size ends in ones.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The tree's root; that of the empty tree is the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            let mut hash = [0; HASH_BYTES];
            hash.copy_from_slice(digest(&SHA256, &[]).as_ref());
            return hash;
        };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The subtrees whose roots prove that leaf `index` is in the tree of `size` (RFC 6962, 2.1.1), in
/// the order of the proof.
#[must_use]
pub fn inclusion(index: u64, size: u64) -> Vec<Range<u64>> {
    let mut path = Vec::new();
    let mut tree = 0..size;
    while tree.end.saturating_sub(tree.start) > 1 {
        let middle = middle(&tree);
        if index < middle {
            path.push(middle..tree.end);
            tree.end = middle;
        } else {
            path.push(tree.start..middle);
            tree.start = middle;
        }
    }
    path.reverse();
    path
}

/// The subtrees whose roots prove that the tree of `old` is the beginning of that of `size`
/// (RFC 6962, 2.1.2), in the order of the proof.
#[must_use]
pub fn consistency(old: u64, size: u64) -> Vec<Range<u64>> {
    let mut path = Vec::new();
    let mut tree = 0..size;
    while tree.end != old {
        let middle = middle(&tree);
        if old <= middle {
            path.push(middle..tree.end);
            tree.end = middle;
        } else {
            path.push(tree.start..middle);
            tree.start = middle;
        }
    }
    // Whoever asks has the root of the old tree, unless its last subtree is only a part of it.
    if tree.start != 0 {
        path.push(tree);
    }
    path.reverse();
    path
}

/// The largest power of two that is smaller than the tree splits it.
const fn middle(tree: &Range<u64>) -> u64 {
    let size = tree.end.saturating_sub(tree.start);
    let half = match size.saturating_sub(1).checked_ilog2() {
        Some(height) => 1_u64 << height,
        None => 0,
    };
    tree.start.saturating_add(half)
}

/// The roots of some subtrees, as the log is read past them.
#[derive(Debug)]
pub struct Roots {
    subtrees: Vec<(Range<u64>, Edge)>,
    next: u64,
}

impl Roots {
    /// Of those subtrees; nothing is read yet.
    #[must_use]
    pub fn of(subtrees: Vec<Range<u64>>) -> Self {
        let subtrees = subtrees.into_iter().map(|range| (range, Edge::default()));
        Self {
            subtrees: subtrees.collect(),
            next: 0,
        }
    }

    /// The next leaf of the log.
    pub fn append(&mut self, leaf: Hash) {
        for (range, edge) in &mut self.subtrees {
            if range.contains(&self.next) {
                edge.append(leaf);
            }
        }
        self.next = self.next.saturating_add(1);
    }

    /// The roots, in the order in which the subtrees were named.
    #[must_use]
    pub fn finish(self) -> Vec<Hash> {
        let roots = self.subtrees.into_iter().map(|(_, edge)| edge.root());
        roots.collect()
    }
}

/// Whether `proof` shows that `leaf` is in the tree of that size and root, at `index`.
#[must_use]
pub fn includes(tree: (u64, Hash), (index, leaf): (u64, &[u8]), proof: &[Hash]) -> bool {
    let digests: Vec<_> = proof.iter().map(|hash| (*hash).into()).collect();
    let proof = InclusionProof::<Sha256>::from_digests(&digests);
    let (size, root) = tree;
    let root = RootHash::<Sha256>::new(root.into(), size);
    index < size && root.verify_inclusion(&leaf, index, &proof).is_ok()
}

/// Whether `proof` shows that the tree `old` is the beginning of the tree `new`.
#[must_use]
pub fn extends(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> bool {
    if old.0 == new.0 {
        return proof.is_empty() && old.1 == new.1;
    }
    let digests: Vec<_> = proof.iter().map(|hash| (*hash).into()).collect();
    let proof = ConsistencyProof::<Sha256>::from_digests(&digests);
    let tree = |(size, root): (u64, Hash)| RootHash::<Sha256>::new(root.into(), size);
    old.0 > 0 && old.0 < new.0 && tree(new).verify_consistency(&tree(old), &proof).is_ok()
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;

    use super::*;

    fn leaf(number: u64) -> Vec<u8> {
        format!("event {number}").into_bytes()
    }

    fn edge(size: u64) -> Edge {
        let mut edge = Edge::default();
        (0..size).for_each(|number| edge.append(leaf_hash(&leaf(number))));
        edge
    }

    fn roots(of: Vec<Range<u64>>, size: u64) -> Vec<Hash> {
        let mut roots = Roots::of(of);
        (0..size).for_each(|number| roots.append(leaf_hash(&leaf(number))));
        roots.finish()
    }

    #[test]
    fn the_root_is_that_of_another_implementation_at_every_size() {
        let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut ours = Edge::default();
        for number in 0..200 {
            assert_eq!(ours.root().as_slice(), theirs.root().as_bytes().as_slice());
            assert_eq!(Edge::read(ours.size(), &ours.bytes()), Some(ours.clone()));
            theirs.push(leaf(number));
            ours.append(leaf_hash(&leaf(number)));
        }
        assert_eq!(Edge::read(3, &edge(4).bytes()), None);
        assert_eq!(Edge::read(1, &[0; 33]), None);
    }

    #[test]
    fn the_empty_tree_and_one_leaf_have_the_published_hashes() {
        // The first two test vectors of Certificate Transparency's implementations.
        let hex = |hash: Hash| crate::seal::hex(&hash);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(Edge::default().root()), empty);
        let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hex(leaf_hash(b"")), one);
    }

    #[test]
    fn every_leaf_of_every_tree_is_proved_and_no_other() {
        for size in 1..40 {
            let root = edge(size).root();
            for index in 0..size {
                let proof = roots(inclusion(index, size), size);
                assert!(includes((size, root), (index, &leaf(index)), &proof));
                assert!(!includes((size, root), (index, &leaf(index + 1)), &proof));
                assert!(!includes((size, root), (index + 1, &leaf(index)), &proof));
                let mut other = proof.clone();
                other.push([7; HASH_BYTES]);
                assert!(!includes((size, root), (index, &leaf(index)), &other));
            }
        }
    }

    #[test]
    fn every_tree_is_shown_to_be_the_beginning_of_every_later_one() {
        for size in 1..40 {
            let new = (size, edge(size).root());
            for old in 1..=size {
                let proof = roots(consistency(old, size), size);
                let before = (old, edge(old).root());
                assert!(extends(before, new, &proof), "{old} {size}");
                assert!(!extends((old, [7; HASH_BYTES]), new, &proof));
                assert!(!extends(before, (size, [7; HASH_BYTES]), &proof));
            }
            assert!(!extends((size + 1, edge(size + 1).root()), new, &[]));
        }
    }
}
