//! When a leader proposes: at once when there is work and the last block is old enough, after a while when there is none.
//! And when a validator judges: not before its clock has come near the block's time.
//!
//! A block costs every validator some milliseconds whatever it holds, so blocks are spaced under load; an idle network still
//! needs a slow beat, so that time and health are seen to move.
//!
//! INVARIANT: waits stand in front of the application. What waits inside it is a step of its execution, which holds back
//! finalisation and, when the state is pruned, everything: a leader could stop the network with a block from the future.

use crate::Block;
use commonware_consensus::{Application, Handoff, marshal::ancestry::Ancestry};
use commonware_cryptography::Digested;
use commonware_runtime::Clock;
use futures::StreamExt as _;
use std::time::{Duration, UNIX_EPOCH};
use tallystick_protocol::limits::{BLOCK_DRIFT_MS_MAX, BLOCK_STEP_MS_MAX};

/// Where a leader's transactions come from, as far as pacing needs to know.
pub trait Work: Clone + Send + Sync + 'static {
    /// Transactions ready to be ordered on top of `parent` height, or more.
    fn ready(&self) -> usize;
    /// Resolves when there is more than when this was called.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

/// How long a leader waits.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Least time between a parent's time and its child's, unless `full` transactions are ready.
    pub spacing: Duration,
    /// Transactions that make waiting pointless.
    pub full: usize,
    /// Longest wait for a first transaction: the beat of an idle network.
    pub idle: Duration,
}

/// An application that is asked for a block only when it is time for one.
#[derive(Clone)]
pub struct Paced<A, W> {
    /// The application that builds the block.
    pub inner: A,
    /// Where its transactions come from.
    pub work: W,
    /// How long to wait for them.
    pub pace: Pace,
}

impl<E, A, W> Application<E> for Paced<A, W>
where
    E: Clock + Send,
    A: Application<E, Block = Block, Input = (), Context: Send> + Sync,
    W: Work,
{
    type SigningScheme = A::SigningScheme;
    type Context = A::Context;
    type Block = Block;
    type Input = ();

    async fn prepare(
        &mut self,
        context: (E, Self::Context),
        ancestry: impl Ancestry<Block>,
        input: (),
    ) -> Handoff<Digested<Block>> {
        self.inner.prepare(context, ancestry, input).await
    }

    async fn propose(
        &mut self,
        (runtime, context): (E, Self::Context),
        ancestry: impl Ancestry<Block>,
        input: (),
    ) -> Option<Digested<Block>> {
        let parent_ms = ancestry.peek().map_or(0, |parent| parent.inner().header().time_ms);
        wait(&runtime, &self.work, self.pace, parent_ms).await;
        self.inner.propose((runtime, context), ancestry, input).await
    }

    async fn verify(&mut self, (runtime, context): (E, Self::Context), ancestry: impl Ancestry<Block>) -> bool {
        if let Some(block) = ancestry.clone().next().await {
            until(&runtime, block.inner().header().time_ms).await;
        }
        self.inner.verify((runtime, context), ancestry).await
    }
}

/// Longest sleep before the clock is looked at again.
const CLOCK_GLANCE: Duration = Duration::from_millis(200);

/// Waits until a block's time is not ahead of this node's clock by more than clocks may differ. Looks at the clock again and
/// again: one that was wrong by an hour and is set right must not cost the hour.
async fn until(clock: &impl Clock, time_ms: u64) {
    loop {
        let since = clock.current().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let ahead = time_ms.saturating_sub(now_ms.saturating_add(BLOCK_DRIFT_MS_MAX));
        if ahead == 0 {
            return;
        }
        clock.sleep(Duration::from_millis(ahead).min(CLOCK_GLANCE)).await;
    }
}

async fn wait<E: Clock>(runtime: &E, work: &impl Work, pace: Pace, parent_ms: u64) {
    let start = runtime.current();
    let parent = UNIX_EPOCH + Duration::from_millis(parent_ms);
    // A parent from the future (another clock) counts as just made.
    let age = start.duration_since(parent).unwrap_or_default();
    if age > Duration::from_millis(BLOCK_STEP_MS_MAX) {
        // The ledger's time is further behind than one block may move it, as after a night in which everything was switched off.
        // Until it has caught up nothing new is in time, so that there is nothing to wait for.
        return;
    }
    let spacing = pace.spacing.saturating_sub(age);
    loop {
        // Before looking: what comes between the look and the wait must end the wait.
        let changed = std::pin::pin!(work.changed());
        let ready = work.ready();
        let waited = runtime.current().duration_since(start).unwrap_or_default();
        let due = if ready >= pace.full {
            return;
        } else if ready > 0 {
            spacing
        } else {
            pace.idle
        };
        let Some(left) = due.checked_sub(waited).filter(|left| !left.is_zero()) else { return };
        let sleep = std::pin::pin!(runtime.sleep(left));
        futures::future::select(changed, sleep).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use commonware_runtime::{Runner as _, deterministic};

    /// A pool in which nothing waits, and nothing comes.
    #[derive(Clone)]
    struct Empty;

    impl Work for Empty {
        fn ready(&self) -> usize {
            0
        }

        async fn changed(&self) {
            std::future::pending().await
        }
    }

    /// One row: the parent's age, and what a leader without work waits.
    #[test]
    fn a_leader_waits_for_work_but_not_while_the_ledger_is_behind_the_clock() {
        const NOW_MS: u64 = 1_790_000_000_000;
        let pace = Pace { spacing: Duration::from_millis(100), full: 10, idle: Duration::from_millis(1_500) };
        for (age_ms, waited_ms) in
            [(0, 1_500), (BLOCK_STEP_MS_MAX, 1_500), (BLOCK_STEP_MS_MAX + 1, 0), (400 * 86_400_000, 0)]
        {
            let config = deterministic::Config::default().with_start_time(UNIX_EPOCH + Duration::from_millis(NOW_MS));
            let waited = deterministic::Runner::new(config).start(|runtime| async move {
                let start = runtime.current();
                wait(&runtime, &Empty, pace, NOW_MS - age_ms).await;
                runtime.current().duration_since(start).unwrap()
            });
            let (least, most) = (Duration::from_millis(waited_ms), Duration::from_millis(waited_ms + 50));
            assert!((least..=most).contains(&waited), "a parent of {age_ms} ms ago: {waited:?}");
        }
    }
}
