//! Secrecy: what only the members of a partition may see is in the clear on no link at all, and on no disk but theirs.
//!
//! Every byte that a node writes or sends is searched, for values and for blindings. That members' disks do hold values shows that the
//! search finds what is there; a blinding is in the clear on nobody's.

use super::Broken;

/// What was found of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether it wrote it to its disk.
    pub written: bool,
    /// Whether it sent it to anybody.
    pub sent: bool,
    /// Whether it wrote or sent a blinding.
    pub bared: bool,
}

/// Judges what was found of each node, given which of them are members'.
pub fn check(found: &[Found], members: &[usize]) -> Result<(), Broken> {
    for (node, found) in found.iter().enumerate() {
        if found.bared {
            return Err(Broken::new("secrecy", format!("node {node} wrote or sent a blinding in the clear")));
        }
        if found.sent {
            return Err(Broken::new("secrecy", format!("node {node} sent in the clear what only members may see")));
        }
        if found.written && !members.contains(&node) {
            return Err(Broken::new("secrecy", format!("node {node} is no member's, and has it on its disk")));
        }
    }
    let is_found = members.iter().all(|node| found.get(*node).is_some_and(|found| found.written));
    if is_found { Ok(()) } else { Err(Broken::new("secrecy", "the search does not find what is there")) }
}

/// Judges to whom parcels were given, each `(from, to)`: to nobody but the members' nodes that stand where the agreement allows.
/// That they are encrypted does not matter.
pub fn check_given(given: &[(usize, usize)], members: &[usize]) -> Result<(), Broken> {
    if let Some((from, to)) = given.iter().find(|(_, to)| !members.contains(to)) {
        return Err(Broken::new("secrecy", format!("node {from} gave parcels to node {to}, which may not have them")));
    }
    if given.is_empty() { Err(Broken::new("secrecy", "the search sees no parcel that was given")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_found_and_so_is_a_search_that_is_blind() {
        let of = |written, sent| Found { written, sent, bared: false };
        let (has, none) = (of(true, false), of(false, false));
        assert_eq!(check(&[has, has, none, none], &[0, 1]), Ok(()));
        for leak in [[has, has, has, none], [has, of(true, true), none, none], [has, has, none, of(false, true)]] {
            assert!(check(&leak, &[0, 1]).is_err(), "{leak:?}");
        }
        assert!(check(&[has, none, none, none], &[0, 1]).is_err());
        assert!(check(&[Found { bared: true, ..has }, has, none, none], &[0, 1]).is_err());
    }

    #[test]
    fn whom_parcels_are_given_to_is_seen() {
        assert_eq!(check_given(&[(0, 1), (1, 0)], &[0, 1]), Ok(()));
        assert!(check_given(&[(0, 1), (0, 4)], &[0, 1]).is_err());
        assert!(check_given(&[], &[0, 1]).is_err());
    }
}
