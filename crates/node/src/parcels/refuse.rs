//! Put on record to whom nothing of a partition is given, because of where it stands.
//!
//! The check itself is that such a node is not among those to which anything goes: `Membership::nodes`. What is on record is that it
//! was so when something was about to leave: once a day for each node and path, from each node that refuses, for as long as it goes on; and
//! once more when that node was started anew. Where it could not be handed in, the next time something is about to leave is the next try.

use super::{Parcels, Refusal};
use crate::{application::now_ms, engine::Runtime};
use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};
use tallystick_protocol::{NodeRow, Operation, TransferPath};

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
        let now_ms = now_ms(runtime).max(self.0.shared.chain.tip().header.time_ms);
        for node in nodes {
            let what = (partition.to_owned(), node.node.clone(), node.jurisdiction.clone(), path);
            if !self.is_new_refusal(&what, now_ms / DAY_MS) {
                continue;
            }
            tracing::warn!(
                partition, node = %node.node, jurisdiction = %node.jurisdiction, %path,
                "gave nothing to a node that stands where the agreement does not allow"
            );
            let (day, subject) = (now_ms / DAY_MS, format!("transfer out of partition {partition}"));
            let mark: [&[u8]; 6] = [
                b"transfer",
                partition.as_bytes(),
                what.1.as_str().as_bytes(),
                what.2.as_str().as_bytes(),
                path.as_str().as_bytes(),
                &day.to_be_bytes(),
            ];
            let (refused, jurisdiction) = (what.1.clone(), what.2.clone());
            let partition = what.0.clone();
            let operation = Operation::TransferRefuse { partition, node: refused, jurisdiction, path };
            if let Err(error) = self.post(subject, operation, now_ms / 1_000 + SECONDS, &mark).await {
                tracing::warn!(node = %node.node, %error, "that nothing was given is not on record yet");
                self.refused().remove(&what);
            }
        }
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
