//! Innocence: no honest node is taken for a liar. Crashes, lost messages, wrong clocks and wiped disks are no crimes.

use super::Broken;

const PROMISE: &str = "innocence";

/// Checks who was cut off by whom; pairs are (who blocks, who is blocked).
pub fn check(blocked: &[(usize, usize)], criminal: Option<usize>) -> Result<(), Broken> {
    let wronged = blocked.iter().find(|(from, to)| Some(*from) != criminal && Some(*to) != criminal);
    match wronged {
        None => Ok(()),
        Some((from, to)) => Err(Broken::new(PROMISE, format!("node {from} cut off node {to}, which is honest"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_criminal_may_be_cut_off() {
        assert_eq!(check(&[(0, 3), (3, 1)], Some(3)), Ok(()));
        assert!(check(&[(0, 3), (1, 2)], Some(3)).is_err());
        assert!(check(&[(0, 3)], None).is_err());
    }
}
