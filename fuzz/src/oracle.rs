//! RFC 9162 section 2.1 as its text defines it, by recursion over the leaves: slow, plain, and nobody else's code.

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Section 2.1.1: the hash of a leaf.
pub fn leaf(data: &[u8]) -> [u8; 32] {
    sha256(&[&[0], data].concat())
}

/// Section 2.1.1: MTH(D[n]).
pub fn root(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [data] => leaf(data),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            sha256(&[&[1], &root(left)[..], &root(right)[..]].concat())
        }
    }
}

/// Section 2.1.3.1: PATH(m, D[n]).
pub fn inclusion(index: usize, leaves: &[Vec<u8>]) -> Vec<[u8; 32]> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = match index < k {
        true => (inclusion(index, left), root(right)),
        false => (inclusion(index - k, right), root(left)),
    };
    path.push(sibling);
    path
}

/// Section 2.1.4.1: PROOF(m, D[n]); nothing for the empty and the whole tree.
pub fn consistency(m: usize, leaves: &[Vec<u8>]) -> Vec<[u8; 32]> {
    if m == 0 { Vec::new() } else { subproof(m, leaves, true) }
}

fn subproof(m: usize, leaves: &[Vec<u8>], known: bool) -> Vec<[u8; 32]> {
    if m == leaves.len() {
        return if known { Vec::new() } else { vec![root(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = match m <= k {
        true => (subproof(m, left, known), root(right)),
        false => (subproof(m - k, right, false), root(left)),
    };
    proof.push(sibling);
    proof
}

/// The largest power of two below `n`, for `n` above one.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}
