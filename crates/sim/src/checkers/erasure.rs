//! Erasure: of what is erased nothing is left on any holder's disk, and what is not is.
//!
//! The vault of each holder is opened beside the node with the node's own secret. What it holds of somebody who was never erased shows that
//! the search finds what is there. That nothing is ever in the clear is the concern of [`super::secrecy`]'s search, which watches here too.

use super::{Broken, secrecy};

/// What the vault of a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vaulted {
    /// Whose.
    pub node: usize,
    /// Values of each who is erased.
    pub erased: Vec<(String, usize)>,
    /// Values of who is not.
    pub kept: usize,
}

/// Judges what was found in the vaults, and in all that was written and sent.
pub fn check(vaults: &[Vaulted], found: &[secrecy::Found]) -> Result<(), Broken> {
    for Vaulted { node, erased, kept } in vaults {
        if let Some((subject, count)) = erased.iter().find(|(_, count)| *count > 0) {
            return Err(Broken::new("erasure", format!("node {node} has {count} values of {subject}, who is erased")));
        }
        if *kept == 0 {
            return Err(Broken::new("erasure", format!("node {node} has lost what nobody had erased")));
        }
    }
    if let Some(node) = found.iter().position(|found| found.written || found.sent || found.bared) {
        return Err(Broken::new(
            "erasure",
            format!("node {node} wrote or sent a sealed value, or what blinds it, in the clear"),
        ));
    }
    if vaults.is_empty() { Err(Broken::new("erasure", "no vault was searched")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_found_and_so_is_a_search_that_is_blind() {
        let vaulted = |erased, kept| Vaulted { node: 0, erased: vec![("person:1".to_owned(), erased)], kept };
        let quiet = secrecy::Found { written: false, sent: false, bared: false };
        assert_eq!(check(&[vaulted(0, 1)], &[quiet]), Ok(()));
        assert!(check(&[vaulted(0, 1), vaulted(1, 1)], &[quiet]).is_err());
        assert!(check(&[vaulted(0, 0)], &[quiet]).is_err());
        assert!(check(&[vaulted(0, 1)], &[quiet, secrecy::Found { written: true, ..quiet }]).is_err());
        assert!(check(&[vaulted(0, 1)], &[secrecy::Found { bared: true, ..quiet }]).is_err());
        assert!(check(&[], &[quiet]).is_err());
    }
}
