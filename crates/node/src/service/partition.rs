//! Partitions as the public state has them.

use super::{Runtime, Service};
use crate::parcels::{Executed, Parcels, PrivateError, Standing};
use bytes::Bytes;
use std::time::Duration;
use tallystick_ledger::PageRow;
use tallystick_protocol::{
    PartitionRootsRow, PartitionRow, StateKey,
    limits::{PARTITIONS_MAX, PARTITIONS_PER_PAGE},
};
use tallystick_storage::read::ReadError;

impl<E: Runtime> Service<E> {
    /// A partition, what was ordered in it and its roots, and the height that these stand at.
    pub async fn partition(&self, name: &str) -> Result<Option<(u64, PartitionRow, PartitionRootsRow)>, ReadError> {
        let keys = [StateKey::partition(name), StateKey::partition_roots(name)];
        let [partition, roots] = keys;
        let (height, found) = self
            .read(keys, |sheet| {
                let row = sheet.row(partition, PartitionRow::decode)?;
                let roots = sheet.row(roots, PartitionRootsRow::decode)?.unwrap_or_default();
                Ok(row.map(|row| (row, roots)))
            })
            .await?;
        Ok(found.map(|(row, roots)| (height, row, roots)))
    }

    /// Has a private transaction ordered and executed, and says what became of it; waits at most `patience`.
    ///
    /// # Errors
    /// When this node holds nothing of its partition, or it was not executed in time.
    pub async fn submit_private(&self, bytes: Bytes, patience: Duration) -> Result<Executed, PrivateError> {
        self.parcels()?.submit(bytes, patience).await
    }

    /// The private transactions of this node, and what it tells of them.
    ///
    /// # Errors
    /// When it holds nothing that only some may see.
    pub fn parcels(&self) -> Result<&Parcels<E>, PrivateError> {
        self.0.parcels.as_ref().ok_or(PrivateError::NotHolder)
    }

    /// How a partition stands on this node; none if it holds nothing of it.
    pub fn partition_here(&self, partition: &str) -> Option<Standing> {
        self.0.parcels.as_ref()?.standing(partition)
    }

    /// Partitions in the order in which they were opened: `count` of them after the first `skip`. With how many there are, and the
    /// height that they stand at.
    pub async fn partitions(&self, skip: usize, count: usize) -> Result<(u64, usize, Vec<PartitionRow>), ReadError> {
        let pages = (0..).take(PARTITIONS_MAX.div_ceil(PARTITIONS_PER_PAGE)).map(StateKey::partitions);
        let pages: Vec<StateKey> = pages.collect();
        let found = self.read(pages.clone(), |sheet| {
            let listed = sheet.rows(pages.iter().copied(), PageRow::decode)?;
            let names: Vec<String> = listed.into_iter().flatten().flat_map(|page| page.ids).collect();
            let asked = names.iter().skip(skip).take(count).map(|name| StateKey::partition(name));
            let rows = sheet.rows(asked, PartitionRow::decode)?;
            Ok((names.len(), rows.into_iter().flatten().collect()))
        });
        let (height, (total, rows)) = found.await?;
        Ok((height, total, rows))
    }
}
