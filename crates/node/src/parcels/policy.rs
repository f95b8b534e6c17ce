//! Say which policies custodians have made for their registers in a partition, to those of this node's own organisation.

use super::{Parcels, error::PrivateError, read::Told};
use crate::engine::Runtime;
use tallystick_ledger::PolicyRow;
use tallystick_protocol::{PolicyId, Query};

impl<E: Runtime> Parcels<E> {
    /// The policies in force of a register in a partition; none if there is no such register.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn register_policies(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        register: &str,
    ) -> Result<Told<Option<Vec<PolicyRow>>>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let held = room.partition.lock().await;
        let value = match held.custodian(register).await {
            Some(_) => Some(held.register_policies(register).await),
            None => None,
        };
        Ok(Told { height: held.position().height, value })
    }

    /// A policy of a register in a partition as it stood after so many changes of policies there, and whether that text is in force; none if it
    /// had not been put then.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn policy(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        (id, as_of): (&PolicyId, u64),
    ) -> Result<Told<Option<(PolicyRow, bool)>>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let held = room.partition.lock().await;
        Ok(Told { height: held.position().height, value: held.policy(id, as_of).await })
    }
}
