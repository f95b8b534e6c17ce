//! The Merkle tree of RFC 9162 section 2.1 (and RFC 6962): append by frontier, inclusion and consistency proofs.
//!
//! A leaf's hash is SHA-256(0x00 ‖ data), a node's SHA-256(0x01 ‖ left ‖ right); an empty tree's root is SHA-256 of
//! nothing. Verifiers accept exactly one proof length, so that no proof has a second form.

use crate::{cbor, hash::Hash};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The leaf lies beyond the tree.
    #[error("leaf {index} is not in a tree of {size}: ask for a later tree")]
    OutOfRange {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The older tree is larger than the newer.
    #[error("a tree of {old} cannot grow into one of {new}: give the older tree first")]
    Shrunk {
        /// The older size.
        old: u64,
        /// The newer size.
        new: u64,
    },
    /// The proof has too few or too many hashes for these sizes.
    #[error("the proof has {actual} hashes where {expected} belong: ask for it again")]
    Length {
        /// Hashes given.
        actual: usize,
        /// Hashes needed.
        expected: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root: the log and the one who gave the proof disagree")]
    Root,
}

/// The hash of a leaf.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash::of(&[&[0], data])
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = [1; 65];
    for (to, from) in node.iter_mut().skip(1).zip(left.0.iter().chain(&right.0)) {
        *to = *from;
    }
    Hash::of(&[&node])
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// The root of a tree whose maximal perfect subtrees, largest first, are `peaks`.
fn fold_peaks(peaks: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    peaks.rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

/// What appending needs of a tree: its size and the roots of its maximal perfect subtrees, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// A frontier of these parts; `None` unless there is one peak for each one-bit of `size`.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the maximal perfect subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf by its hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        fold_peaks(self.peaks.iter().copied())
    }

    /// The size as 8 bytes, big-endian, then the peaks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.peaks.len());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend(self.peaks.iter().flat_map(|peak| peak.0));
        bytes
    }

    /// Reads [`Frontier::to_bytes`]; `None` when the number of peaks does not fit the size.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, peaks) = bytes.split_first_chunk()?;
        let (peaks, rest) = peaks.as_chunks::<32>();
        if !rest.is_empty() {
            return None;
        }
        Self::from_parts(u64::from_be_bytes(*size), peaks.iter().copied().map(Hash).collect())
    }
}

impl<C> Encode<C> for Frontier {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.to_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Frontier {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let bytes = cbor::bytes(d, 8..=8 + 64 * 32, "a frontier")?;
        Self::from_bytes(bytes).ok_or_else(|| decode::Error::message("a frontier's peaks must fit its size").at(at))
    }
}

/// A whole tree in memory: 64 bytes a leaf. Answers for every size it has had in O(log n).
///
/// Nodes of perfect subtrees stand in post-order: appending never moves one.
///
/// ```text
///         6
///     2       5        leaf i stands at 2i − popcount(i)
///   0   1   3   4   7  a subtree's root stands its height after its last leaf
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// All full but the last, so that growing moves no more than one of them.
    chunks: Vec<Vec<Hash>>,
    size: u64,
}

/// Nodes of a full chunk: 128 KiB.
const CHUNK_NODES: usize = 4096;

impl Tree {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { chunks: Vec::new(), size: 0 }
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let index = self.size;
        self.store(leaf);
        self.size += 1;
        let mut node = leaf;
        for height in 0..index.trailing_ones() {
            // The left sibling covers the 2^height leaves that end where this subtree begins.
            let left = self.node((index >> height << height) - (1 << height), height);
            node = node_hash(&left, &node);
            self.store(node);
        }
    }

    fn store(&mut self, node: Hash) {
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK_NODES) {
            Some(chunk) => chunk.push(node),
            None => self.chunks.push(vec![node]),
        }
    }

    /// The hash of a leaf.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        (index < self.size).then(|| self.node(index, 0))
    }

    /// The root when the tree had `size` leaves; `None` when it has not had that many.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        (size <= self.size).then(|| self.subtree(0, size))
    }

    /// The current root.
    pub fn root(&self) -> Hash {
        self.subtree(0, self.size)
    }

    /// The frontier when the tree had `size` leaves; `None` when it has not had that many.
    pub fn frontier_at(&self, size: u64) -> Option<Frontier> {
        if size > self.size {
            return None;
        }
        Frontier::from_parts(size, self.peaks(0, size).collect())
    }

    /// The path from leaf `index` to the root of the first `size` leaves (RFC 9162 section 2.1.3.1).
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        if index >= size || size > self.size {
            return None;
        }
        let (mut start, mut end, mut path) = (0, size, Vec::new());
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.subtree(middle, end));
                end = middle;
            } else {
                path.push(self.subtree(start, middle));
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// The proof that the tree of `old` leaves grew into that of `new` (RFC 9162 section 2.1.4.1). Empty when `old` is
    /// 0 or equals `new`.
    pub fn consistency(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        if old > new || new > self.size {
            return None;
        }
        let mut path = Vec::new();
        if old == 0 || old == new {
            return Some(path);
        }
        // INVARIANT: start < old ≤ end.
        let (mut start, mut end) = (0, new);
        while end != old {
            let middle = start + split(end - start);
            if old <= middle {
                path.push(self.subtree(middle, end));
                end = middle;
            } else {
                path.push(self.subtree(start, middle));
                start = middle;
            }
        }
        if start != 0 {
            // The verifier does not know this subtree: it is not the whole old tree.
            path.push(self.subtree(start, end));
        }
        path.reverse();
        Some(path)
    }

    /// The node over the `2^height` leaves from `start`.
    fn node(&self, start: u64, height: u32) -> Hash {
        let last = start + (1 << height) - 1;
        let place = 2 * last - u64::from(last.count_ones()) + u64::from(height);
        let found = |place: usize| self.chunks.get(place / CHUNK_NODES)?.get(place % CHUNK_NODES);
        match usize::try_from(place).ok().and_then(found) {
            Some(node) => *node,
            None => unreachable!("node of height {height} at leaf {start} in a tree of {}", self.size),
        }
    }

    /// The root over the leaves from `start` to before `end`, where `start` is a multiple of the power of two that
    /// spans them.
    fn subtree(&self, start: u64, end: u64) -> Hash {
        fold_peaks(self.peaks(start, end))
    }

    /// The perfect subtrees of that range, largest first.
    fn peaks(&self, start: u64, end: u64) -> impl DoubleEndedIterator<Item = Hash> {
        let size = end - start;
        let heights = (0..u64::BITS).rev().filter(move |height| size >> height & 1 == 1);
        // The leaves before the subtree of one height are those of the greater heights.
        heights.map(move |height| self.node(start + (size >> height >> 1 << height << 1), height))
    }
}

/// The largest power of two below `size`, which must exceed 1.
const fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The root that leaf `index` of a tree of `size` has by `path` (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// When the leaf is not in the tree or the path has another length than it must.
pub fn root_from_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash, MerkleError> {
    if index >= size {
        return Err(MerkleError::OutOfRange { index, size });
    }
    // Below the place where index and last leaf part, every level has a sibling; above, only left ones.
    let inner = (u64::BITS - (index ^ (size - 1)).leading_zeros()) as usize;
    let border = index.checked_shr(inner as u32).unwrap_or(0).count_ones() as usize;
    if path.len() != inner + border {
        return Err(MerkleError::Length { actual: path.len(), expected: inner + border });
    }
    let mut node = *leaf;
    for (height, sibling) in path.iter().enumerate() {
        let is_right = height >= inner || index >> height & 1 == 1;
        node = if is_right { node_hash(sibling, &node) } else { node_hash(&node, sibling) };
    }
    Ok(node)
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves with this root.
///
/// # Errors
/// When it is not, or the path has another length than it must.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), MerkleError> {
    if root_from_inclusion(leaf, index, size, path)? == *root { Ok(()) } else { Err(MerkleError::Root) }
}

/// Checks that the tree of `new` leaves begins with the tree of `old` (RFC 9162 section 2.1.4.2).
///
/// # Errors
/// When it does not, or the proof has another length than it must (none when `old` is 0 or equals `new`).
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), MerkleError> {
    if old > new {
        return Err(MerkleError::Shrunk { old, new });
    }
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(MerkleError::Length { actual: proof.len(), expected: 0 });
        }
        let expected = if old == 0 { empty_root() } else { *new_root };
        return if *old_root == expected { Ok(()) } else { Err(MerkleError::Root) };
    }
    // The proof starts from the last perfect subtree of the old tree; when that is the whole of it, from its root.
    let shift = old.trailing_zeros();
    let (seed, path) = match proof {
        _ if old.is_power_of_two() => (old_root, proof),
        [seed, path @ ..] => (seed, path),
        [] => return Err(MerkleError::Length { actual: 0, expected: 1 }),
    };
    let index = (old - 1) >> shift;
    let inner = (u64::BITS - ((old - 1) ^ (new - 1)).leading_zeros()).saturating_sub(shift) as usize;
    let border = index.checked_shr(inner as u32).unwrap_or(0).count_ones() as usize;
    if path.len() != inner + border {
        let expected = inner + border + usize::from(!old.is_power_of_two());
        return Err(MerkleError::Length { actual: proof.len(), expected });
    }
    let (mut of_old, mut of_new) = (*seed, *seed);
    for (height, sibling) in path.iter().enumerate() {
        if height >= inner || index >> height & 1 == 1 {
            of_old = node_hash(sibling, &of_old);
            of_new = node_hash(sibling, &of_new);
        } else {
            of_new = node_hash(&of_new, sibling);
        }
    }
    if of_old == *old_root && of_new == *new_root { Ok(()) } else { Err(MerkleError::Root) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use proptest::prelude::*;

    /// RFC 9162 section 2.1.1, word for word; shares nothing with the code above but the two hashes.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
            }
        }
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    fn tree(leaves: &[Hash]) -> Tree {
        let mut tree = Tree::new();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    #[test]
    fn every_small_tree_agrees_with_the_definition() {
        let leaves = leaves(70);
        let tree = tree(&leaves);
        let mut frontier = Frontier::new();
        for size in 0..=70 {
            let root = mth(&leaves[..size as usize]);
            assert_eq!(frontier.root(), root);
            assert_eq!(tree.root_at(size), Some(root));
            assert_eq!(tree.frontier_at(size), Some(frontier.clone()));
            assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Some(frontier.clone()));
            for index in 0..size {
                let path = tree.inclusion(index, size).unwrap();
                assert_eq!(verify_inclusion(&leaves[index as usize], index, size, &path, &root), Ok(()));
            }
            for old in 0..=size {
                let (proof, old_root) = (tree.consistency(old, size).unwrap(), mth(&leaves[..old as usize]));
                assert_eq!(verify_consistency(old, size, &old_root, &root, &proof), Ok(()), "{old} {size}");
            }
            if size < 70 {
                frontier.append(leaves[size as usize]);
            }
        }
        assert_eq!((tree.root_at(71), tree.inclusion(70, 70), tree.consistency(3, 2)), (None, None, None));
        assert_eq!((tree.leaf(69), tree.leaf(70)), (Some(leaves[69]), None));
    }

    #[test]
    fn a_frontier_must_fit_its_size() {
        for bytes in [&[][..], &[0; 7], &[0, 0, 0, 0, 0, 0, 0, 1], &[0; 40], &[0; 41]] {
            assert_eq!(Frontier::from_bytes(bytes), None, "{} bytes", bytes.len());
        }
        assert_eq!(Frontier::from_bytes(&[0; 8]), Some(Frontier::new()));
    }

    #[test]
    fn sizes_at_the_end_of_the_range_do_not_overflow() {
        let path = vec![Hash([1; 32]); 65];
        for (index, size) in [(u64::MAX - 1, u64::MAX), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 0)] {
            for n in 0..=65 {
                let _ = root_from_inclusion(&path[0], index, size, &path[..n]);
                assert!(verify_inclusion(&path[0], index, size, &path[..n], &Hash([2; 32])).is_err());
                assert!(verify_consistency(index, size, &path[0], &Hash([2; 32]), &path[..n]).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn an_altered_inclusion_proof_is_refused(
            size in 1u64..300, index in 0u64..300, at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()
        ) {
            let leaves = leaves(size);
            let (tree, index) = (tree(&leaves), index % size);
            let (root, leaf) = (tree.root(), leaves[index as usize]);
            let path = tree.inclusion(index, size).unwrap();
            let mut longer = path.clone();
            longer.push(root);
            prop_assert!(verify_inclusion(&leaf, index, size, &longer, &root).is_err());
            if !path.is_empty() {
                prop_assert!(verify_inclusion(&leaf, index ^ 1, size, &path, &root).is_err());
                let mut altered = path.clone();
                let place = at.index(altered.len());
                if cut { altered.remove(place); } else { altered[place].0[usize::from(bit)] ^= 1 << bit; }
                prop_assert!(verify_inclusion(&leaf, index, size, &altered, &root).is_err());
            }
        }

        #[test]
        fn an_altered_consistency_proof_is_refused(
            new in 2u64..300, old in 1u64..300, at in any::<prop::sample::Index>(), cut in any::<bool>()
        ) {
            let old = 1 + old % (new - 1);
            let tree = tree(&leaves(new));
            let (old_root, new_root) = (tree.root_at(old).unwrap(), tree.root());
            let proof = tree.consistency(old, new).unwrap();
            let mut altered = proof.clone();
            let place = at.index(altered.len());
            if cut { altered.remove(place); } else { altered[place].0[0] ^= 1; }
            prop_assert!(verify_consistency(old, new, &old_root, &new_root, &altered).is_err());
            prop_assert!(verify_consistency(old, new, &new_root, &old_root, &proof).is_err());
        }
    }
}
