//! Progress: when the faults have ended, finality returns within a bound, on every honest node, and a new transaction becomes
//! final, and every errand is done.

use super::Broken;
use crate::plan::Errand;
use std::time::Duration;

const PROMISE: &str = "progress";

/// Time from the end of the last fault until every honest node must have caught up and moved on. Longer than all that may run
/// at that moment: a skipped leader's wait, a certificate's, a request to a peer that just died, a state sync begun again.
pub const BOUND: Duration = Duration::from_secs(90);

/// Time from then until every errand must be done: some are of thirty steps, each of which may meet a link that loses messages, and
/// several votes with their notice.
pub const ERRAND_BOUND: Duration = Duration::from_secs(400);

/// Blocks that every node must apply above the greatest height at the end of the faults.
pub const BLOCKS: u64 = 3;

/// Whether everybody has moved on from `from`.
pub fn has_returned(from: u64, heights: &[u64], probe_is_final: bool) -> bool {
    probe_is_final && heights.iter().all(|height| *height >= from + BLOCKS)
}

/// The bound has passed.
pub fn broken(
    (from, bound): (u64, Duration),
    heights: &[(usize, Option<u64>)],
    probe_is_final: bool,
    away: &[Errand],
) -> Broken {
    let detail = format!(
        "{} s after the faults ended at height {from} the nodes stand at {heights:?}, a new transaction is {}, not done are {away:?}",
        bound.as_secs(),
        if probe_is_final { "final" } else { "not final" }
    );
    Broken::new(PROMISE, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_must_move_on() {
        assert!(has_returned(10, &[13, 14], true));
        assert!(!has_returned(10, &[13, 12], true));
        assert!(!has_returned(10, &[13, 14], false));
    }
}
