//! How long a node waits for what. Part of a network's behaviour, not of its rules: nodes may differ.

use std::time::Duration;
use tallystick_consensus::pace::Pace;

/// Waits of consensus.
///
/// Each must be longer than the one before: an idle leader's beat, the wait for a leader, the wait for a block to be
/// certified, the time after which a silent leader is passed over at once.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Least time between blocks while there is work.
    pub spacing: Duration,
    /// Transactions that make a block full enough not to wait.
    pub full: usize,
    /// Time between blocks while there is none.
    pub idle: Duration,
    /// How long others wait for a leader's block.
    pub leader: Duration,
    /// How long they wait for it to be certified.
    pub certification: Duration,
    /// How long a leader may be silent before its turns are skipped.
    pub skip: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            spacing: Duration::from_millis(100),
            full: 2000,
            idle: Duration::from_millis(1500),
            leader: Duration::from_millis(2000),
            certification: Duration::from_millis(3000),
            skip: Duration::from_millis(4000),
        }
    }
}

impl Timing {
    /// When a leader proposes.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace { spacing: self.spacing, full: self.full, idle: self.idle }
    }

    /// The longest that consensus ever means to wait.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.leader.max(self.certification)
    }
}
