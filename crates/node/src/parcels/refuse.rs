//! Put on record to whom nothing of a partition is given, because of where it stands.
//!
//! The check itself is that such a node is not among those to which anything goes: `Membership::nodes`. What is on record is that it
//! was so when something was about to leave: once a day for each node and path, from each node that refuses, for as long as it goes on.

use super::Parcels;
use crate::{admission::Origin, application::now_ms, engine::Runtime};
use std::sync::PoisonError;
use tallystick_protocol::{Hash, Intent, NodeRow, Operation, TransferPath};

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
        for node in nodes.filter(|node| self.is_new_refusal(partition, path, node, now_ms / DAY_MS)) {
            tracing::warn!(partition, node = %node.node, jurisdiction = %node.jurisdiction, %path, "gave nothing to a node that stands where the agreement does not allow");
            self.post_refusal(partition, path, node, now_ms).await;
        }
    }

    fn is_new_refusal(&self, partition: &str, path: TransferPath, node: &NodeRow, day: u64) -> bool {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, on| *on == day);
        let what = (partition.to_owned(), node.node.clone(), node.jurisdiction.clone(), path);
        refused.insert(what, day).is_none()
    }

    async fn post_refusal(&self, partition: &str, path: TransferPath, node: &NodeRow, now_ms: u64) {
        let (holder, chain) = (&self.0.holder, &self.0.shared.chain);
        let (refused, jurisdiction) = (node.node.clone(), node.jurisdiction.clone());
        let law = jurisdiction.as_str().to_owned();
        let operation =
            Operation::TransferRefuse { partition: partition.to_owned(), node: refused, jurisdiction, path };
        // The same act of the same day is the same transaction, whoever starts the node again.
        let Hash(key) = Hash::of(&[
            b"transfer",
            partition.as_bytes(),
            node.node.as_str().as_bytes(),
            law.as_bytes(),
            path.as_str().as_bytes(),
            &(now_ms / DAY_MS).to_be_bytes(),
        ]);
        let subject = format!("transfer out of partition {partition}");
        let intent = Intent {
            not_after: now_ms / 1_000 + SECONDS,
            idempotency_key: key.get(..16).unwrap_or_default().to_vec(),
            ..Intent::new(chain.network(), holder.principal.clone(), subject, vec![operation])
        };
        match intent.sign(&holder.key) {
            Ok(signed) => {
                self.0.admission.submit(vec![signed.bytes().clone()], Origin::Client).await;
            }
            Err(error) => tracing::error!(partition, %error, "could not sign that a transfer was refused"),
        }
    }
}
