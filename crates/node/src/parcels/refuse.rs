//! Put on record to whom nothing of a partition is given, because of where it stands: other nodes, and this node's own backup.
//!
//! The check itself is that such a node is not among those to which anything goes: `Membership::nodes`; of a backup it is made by who copies, in
//! `service/backup.rs` beside this folder. What is on record is that it was so when something was about to leave: once a day for each node and
//! path, from each node that refuses, for as long as it goes on; and once more when that node was started anew. Where it could not be handed in, the next time something is about to leave is the next try.

use super::{Parcels, Refusal};
use crate::{application::now_ms, engine::Runtime};
use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};
use tallystick_protocol::{Jurisdiction, NodeRow, Operation, TransferPath};

const DAY_MS: u64 = 86_400_000;
/// How long what goes on record may take.
const SECONDS: u64 = 60;

impl<E: Runtime> Parcels<E> {
    /// Puts on record that nothing was given to these nodes of the partition's members.
    pub(super) async fn refuse<'m>(
        &self,
        runtime: &E,
        partition: &str,
        path: TransferPath,
        nodes: impl Iterator<Item = &'m NodeRow>,
    ) {
        for node in nodes {
            self.refuse_one(runtime, (partition.to_owned(), node.node.clone(), node.jurisdiction.clone(), path)).await;
        }
    }

    /// Puts on record that nothing of a partition was copied into this node's backup, which stands there; unless this is no node of a member's
    /// any more, whose word the ledger does not take. Says whether that is done: if not, it must be asked again.
    pub(crate) async fn refuse_backup(&self, runtime: &E, partition: &str, jurisdiction: &Jurisdiction) -> bool {
        let own = &self.0.holder.principal;
        let Ok(membership) = self.membership(partition).await else { return false };
        if membership.is_none_or(|membership| membership.has_left(own)) {
            return true;
        }
        let what = (partition.to_owned(), own.clone(), jurisdiction.clone(), TransferPath::Backup);
        self.refuse_one(runtime, what).await
    }

    /// Says whether it is handed in, now or before.
    async fn refuse_one(&self, runtime: &E, what: Refusal) -> bool {
        let now_ms = now_ms(runtime).max(self.0.shared.chain.tip().header.time_ms);
        let day = now_ms / DAY_MS;
        if !self.is_new_refusal(&what, day) {
            return true;
        }
        let (partition, node, jurisdiction, path) = what.clone();
        tracing::warn!(partition, %node, %jurisdiction, %path, "gave nothing to where the agreement does not allow it to be held");
        let subject = format!("transfer out of partition {partition}");
        let mark: [&[u8]; 6] = [
            b"transfer",
            what.0.as_bytes(),
            what.1.as_str().as_bytes(),
            what.2.as_str().as_bytes(),
            path.as_str().as_bytes(),
            &day.to_be_bytes(),
        ];
        let operation = Operation::TransferRefuse { partition, node, jurisdiction, path };
        if let Err(error) = self.post(subject, operation, now_ms / 1_000 + SECONDS, &mark).await {
            tracing::warn!(node = %what.1, %path, %error, "that nothing was given is not on record yet");
            self.refused().remove(&what);
            return false;
        }
        true
    }

    fn is_new_refusal(&self, what: &Refusal, day: u64) -> bool {
        let mut refused = self.refused();
        refused.retain(|_, on| *on == day);
        refused.insert(what.clone(), day).is_none()
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<Refusal, u64>> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
