//! Merkle proofs against a forger who knows every leaf.

use tallystick_protocol::{
    Frontier, Hash, Tree,
    merkle::{leaf_hash, verify_consistency, verify_inclusion},
};

use super::{choices::Choices, oracle};

/// Leaves of the largest tree: seven levels are all shapes there are.
const LEAVES_MAX: usize = 130;

/// A tree of chosen size, whose leaves repeat now and then as those of real logs may.
fn plant(choices: &mut Choices) -> (Vec<Vec<u8>>, Tree) {
    let size = 1 + choices.below(LEAVES_MAX);
    let kinds = 1 + choices.below(LEAVES_MAX);
    let leaves: Vec<_> = (0..size).map(|index| format!("leaf {}", index % kinds).into_bytes()).collect();
    let (mut tree, mut frontier) = (Tree::new(), Frontier::new());
    for data in &leaves {
        tree.push(leaf_hash(data));
        frontier.append(leaf_hash(data));
    }
    let root = Hash(oracle::root(&leaves));
    assert_eq!(tree.root(), root, "the tree's root");
    assert_eq!(frontier.root(), root, "the frontier's root");
    assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Some(frontier), "a frontier comes back from its bytes");
    (leaves, tree)
}

/// Changes a proof as chosen: other hashes, more, fewer, another order.
fn forge(choices: &mut Choices, path: &mut Vec<Hash>, known: &[Hash]) {
    for _ in 0..choices.below(4) {
        let at = choices.below(path.len() + 1);
        let hash = if choices.byte() & 1 == 0 { Hash(choices.hash()) } else { known[choices.below(known.len())] };
        match choices.below(5) {
            0 => path.insert(at, hash),
            1 if at < path.len() => path[at] = hash,
            2 if at < path.len() => {
                path.remove(at);
            }
            3 if at < path.len() => {
                let other = choices.below(path.len());
                path.swap(at, other);
            }
            _ => path.truncate(at),
        }
    }
}

/// A verifier accepts exactly the leaf that is there, by exactly the path that RFC 9162 defines.
pub fn merkle_inclusion(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (leaves, tree) = plant(&mut choices);
    let size = leaves.len();
    let index = choices.below(size);
    let honest: Vec<_> = oracle::inclusion(index, &leaves).into_iter().map(Hash).collect();
    assert_eq!(tree.inclusion(index as u64, size as u64).as_ref(), Some(&honest), "path of {index} in {size}");

    let known: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).chain(honest.clone()).collect();
    let mut path = honest.clone();
    forge(&mut choices, &mut path, &known);
    let claimed = choices.below(size);
    let leaf = if choices.byte() & 1 == 0 { leaf_hash(&leaves[index]) } else { known[choices.below(known.len())] };
    let root = tree.root();
    let accepted = verify_inclusion(&leaf, claimed as u64, size as u64, &path, &root).is_ok();
    let right: Vec<_> = oracle::inclusion(claimed, &leaves).into_iter().map(Hash).collect();
    let truth = leaf == Hash(oracle::leaf(&leaves[claimed])) && path == right;
    assert_eq!(accepted, truth, "leaf {claimed} of {size} by a path of {}", path.len());

    // Sizes and places that no tree has must be refused without a panic.
    let far = u64::from_be_bytes([
        choices.byte(),
        choices.byte(),
        choices.byte(),
        choices.byte(),
        0xff,
        0xff,
        0xff,
        choices.byte(),
    ]);
    assert!(verify_inclusion(&leaf, far, size as u64, &path, &root).is_err(), "place {far} of {size}");
    let _ = verify_inclusion(&leaf, claimed as u64, far, &path, &root);
}

/// A verifier accepts exactly the true earlier root, by exactly the proof that RFC 9162 defines.
pub fn merkle_consistency(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (leaves, tree) = plant(&mut choices);
    let new = leaves.len();
    let old = choices.below(new + 1);
    let honest: Vec<_> = oracle::consistency(old, &leaves).into_iter().map(Hash).collect();
    let old_root = Hash(oracle::root(&leaves[..old]));
    assert_eq!(tree.consistency(old as u64, new as u64).as_ref(), Some(&honest), "proof from {old} to {new}");
    assert_eq!(tree.root_at(old as u64), Some(old_root), "root at {old}");

    let mut known: Vec<_> = (0..=new).map(|size| Hash(oracle::root(&leaves[..size]))).collect();
    known.extend(honest.iter().copied());
    let mut proof = honest.clone();
    forge(&mut choices, &mut proof, &known);
    let claimed = if choices.byte() & 1 == 0 { old_root } else { known[choices.below(known.len())] };
    let accepted = verify_consistency(old as u64, new as u64, &claimed, &tree.root(), &proof).is_ok();
    assert_eq!(accepted, claimed == old_root && proof == honest, "from {old} to {new} by a proof of {}", proof.len());

    let far =
        u64::from_be_bytes([0xff, choices.byte(), 0xff, 0xff, choices.byte(), 0xff, choices.byte(), choices.byte()]);
    assert!(verify_consistency(far, new as u64, &claimed, &tree.root(), &proof).is_err(), "from {far} back to {new}");
    let _ = verify_consistency(old as u64, far, &claimed, &tree.root(), &proof);
}
