//! Partitions as the public state has them.

use super::{Runtime, Service};
use tallystick_ledger::PageRow;
use tallystick_protocol::{
    PartitionRow, StateKey,
    limits::{PARTITIONS_MAX, PARTITIONS_PER_PAGE},
};
use tallystick_storage::read::ReadError;

impl<E: Runtime> Service<E> {
    /// A partition, and the height that it stands at.
    pub async fn partition(&self, name: &str) -> Result<Option<(u64, PartitionRow)>, ReadError> {
        self.row(StateKey::partition(name), PartitionRow::decode).await
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
