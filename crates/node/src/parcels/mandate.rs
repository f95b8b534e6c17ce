//! Say which mandates a partition has of its own, to those of this node's own organisation. Those that everybody sees are asked for there.

use super::{Parcels, error::PrivateError, read::Told};
use crate::{engine::Runtime, service::mandate::MandateQuery};
use tallystick_ledger::MandateRow;
use tallystick_protocol::{MandateId, Query, limits::PRIVATE_SCAN_MAX};

impl<E: Runtime> Parcels<E> {
    /// Mandates that were granted in a partition, the latest first, revoked ones too: at most `count` of those before number `before`. With
    /// where to go on, unless there are none before.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn mandates(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        asked: &MandateQuery,
        (before, count): (u64, usize),
    ) -> Result<Told<(Vec<MandateRow>, Option<u64>)>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let (height, granted) = {
            let partition = room.partition.lock().await;
            (partition.position().height, partition.grants().await)
        };
        let (mut number, mut found) = (before.min(granted), Vec::new());
        let end = number.saturating_sub(PRIVATE_SCAN_MAX);
        while number > end && found.len() < count {
            number -= 1;
            let row = room.partition.lock().await.granted(number).await;
            found.extend(row.filter(|row| asked.asks_for(row)));
        }
        Ok(Told { height, value: (found, (number > 0).then_some(number)) })
    }

    /// A mandate of a partition; none if there is none of this name.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn mandate(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        id: &MandateId,
    ) -> Result<Told<Option<MandateRow>>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let held = room.partition.lock().await;
        let value = if id.partition() == Some(partition) { held.mandate(id).await } else { None };
        Ok(Told { height: held.position().height, value })
    }
}
