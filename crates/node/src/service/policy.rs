//! Policies in force, and why something is permitted or not.

use super::{Runtime, Service};
use tallystick_ledger::{
    CountersRow, PolicyRow, PolicySetRow,
    policy::{Explained, Question, explain},
};
use tallystick_protocol::{PolicyId, StateKey};
use tallystick_storage::read::ReadError;

/// Changes of policies looked at together for the one that put a policy: most stand near the newest.
const CHANGES_READ: usize = 64;

impl<E: Runtime> Service<E> {
    /// The policies in force for a register, or, for the empty name, of the partition; and the height they stand at.
    pub async fn policies(&self, register: &str) -> Result<(u64, Vec<PolicyRow>), ReadError> {
        let set_key = StateKey::policy_set(register);
        self.read([set_key], |sheet| {
            let set = sheet.row(set_key, PolicySetRow::decode)?;
            let policies = set.map(|set| set.policies).unwrap_or_default();
            let keys = policies.iter().map(|policy| StateKey::policy(&policy.id, policy.version));
            Ok(sheet.rows(keys, PolicyRow::decode)?.into_iter().flatten().collect())
        })
        .await
    }

    /// A policy as it stood after `as_of` changes of policies, and whether that text is in force; and the height of the answer.
    /// None when it had not been put then, nor in so many changes before as are looked at.
    pub async fn policy(&self, id: &PolicyId, as_of: u64) -> Result<(u64, Option<(PolicyRow, bool)>), ReadError> {
        let set_key = StateKey::policy_set(id.register().unwrap_or_default());
        self.read([StateKey::counters(), set_key], |sheet| {
            let counters = sheet.row(StateKey::counters(), CountersRow::decode)?.unwrap_or_default();
            let set = sheet.row(set_key, PolicySetRow::decode)?.unwrap_or_default();
            let versions: Vec<u64> = set.changes_until(id, as_of, counters.policies).collect();
            let (first, others) = versions.split_at(versions.len().min(1));
            for versions in [first].into_iter().chain(others.chunks(CHANGES_READ)) {
                let rows =
                    sheet.rows(versions.iter().map(|version| StateKey::policy(id, *version)), PolicyRow::decode)?;
                let Some(row) = rows.into_iter().flatten().next() else { continue };
                let is_in_force = set.in_force(id) == Some(row.version);
                return Ok(Some((row, is_in_force)));
            }
            Ok(None)
        })
        .await
    }

    /// Answers a question as the next block would, and says at which height; nothing comes of it. `place` is kept until that is done.
    pub async fn explain<P: Send + 'static>(
        &self,
        question: Question,
        place: P,
    ) -> Result<(u64, Explained), ReadError> {
        let first = vec![StateKey::principal(&question.principal)];
        self.at_one_state(first, place, move |view, context| explain(view, context, &question)).await
    }
}
