//! Policies in force, and why something is permitted or not.

use super::{Runtime, Service};
use tallystick_ledger::{
    BlockContext, CountersRow, Missing, PolicyRow, PolicySetRow, View,
    policy::{Explained, PolicyInForce, Question, explain},
};
use tallystick_protocol::{
    PolicyId, StateKey,
    limits::{DRY_RUN_ROUNDS_MAX, POLICY_CHANGES_LOOKED_AT_MAX},
};
use tallystick_storage::read::ReadError;

impl<E: Runtime> Service<E> {
    /// The policies in force for a register, or, for the empty name, of the partition; and the height they stand at.
    pub async fn policies(&self, register: &str) -> Result<(u64, Vec<PolicyRow>), ReadError> {
        let set = self.row(StateKey::policy_set(register), PolicySetRow::decode).await?;
        let Some((height, set)) = set else { return Ok((self.tip().header.height, Vec::new())) };
        let mut rows = Vec::with_capacity(set.policies.len());
        for policy in &set.policies {
            // A policy stays under the number of its change, so a block in between changes nothing.
            let row = self.row(StateKey::policy(&policy.id, policy.version), PolicyRow::decode).await?;
            rows.extend(row.map(|(_, row)| row));
        }
        Ok((height, rows))
    }

    /// A policy as it stood after `as_of` changes of policies, and whether that text is in force; and the height of the answer.
    /// None when it had not been put then, nor in so many changes before as are looked at.
    pub async fn policy(&self, id: &PolicyId, as_of: u64) -> Result<(u64, Option<(PolicyRow, bool)>), ReadError> {
        let (height, counters) = self.row(StateKey::counters(), CountersRow::decode).await?.unwrap_or_default();
        let newest = as_of.min(counters.policies);
        let oldest = newest.saturating_sub(POLICY_CHANGES_LOOKED_AT_MAX).max(1);
        // A policy stays under the number of the change that put it: the last one until then is the one that stood.
        for version in (oldest..=newest).rev() {
            let row = self.row(StateKey::policy(id, version), PolicyRow::decode).await?;
            if let Some((_, row)) = row {
                let set = StateKey::policy_set(id.register().unwrap_or_default());
                let set = self.row(set, PolicySetRow::decode).await?.map(|(_, set)| set.policies);
                let stands = |policy: &PolicyInForce| policy.id == *id && policy.version == version;
                return Ok((height, Some((row, set.is_some_and(|set| set.iter().any(stands))))));
            }
        }
        Ok((height, None))
    }

    /// Answers a question as the next block would; nothing comes of it. `None` when blocks came too fast to look at one state.
    pub async fn explain(&self, question: &Question) -> Result<Option<(u64, Explained)>, ReadError> {
        let policies = &self.0.shared.policies;
        let (mut height, mut view) = (None, View::with_policies(policies));
        for _ in 0..DRY_RUN_ROUNDS_MAX {
            let tip = self.tip();
            let context = BlockContext {
                network: self.network(),
                height: tip.header.height + 1,
                time_ms: tip.header.time_ms,
                log_size: tip.header.log.size,
            };
            let missing = match explain(&mut view, &context, question) {
                Ok(explained) => return Ok(Some((height.unwrap_or(tip.header.height), explained))),
                Err(Missing(missing)) => missing,
            };
            let read = self.0.reader.rows(&missing).await?;
            if height.is_some_and(|height| height != read.height) {
                // Rows of two blocks make no state: begin again with those of the newer one.
                (height, view) = (None, View::with_policies(policies));
                continue;
            }
            height = Some(read.height);
            for (key, row) in missing.into_iter().zip(read.rows) {
                view.insert(key, row.map(|row| row.to_vec()));
            }
        }
        Ok(None)
    }
}
