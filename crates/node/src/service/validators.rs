//! The validators as the state has them.

use super::{Runtime, Service};
use crate::epochs::Standing;
use std::collections::BTreeMap;
use tallystick_ledger::{ScheduleRow, ValidatorRow};
use tallystick_protocol::{Calendar, Recovery, StateKey};
use tallystick_storage::read::ReadError;

/// Who certifies which epoch, and who they are.
#[derive(Debug)]
pub struct Validators {
    /// The height it stands at.
    pub height: u64,
    /// Who certifies the block after that, and who later ones.
    pub standing: Standing,
    /// Of each key, the organisation that runs the validator and where others dial it.
    pub rows: BTreeMap<[u8; 32], ValidatorRow>,
}

impl<E: Runtime> Service<E> {
    /// Which block is of which epoch.
    pub fn calendar(&self) -> Calendar {
        self.0.shared.chain.calendar()
    }

    /// How the network was recovered, each time, with the first epoch after; the latest last.
    pub fn recoveries(&self) -> Vec<(u64, Recovery)> {
        let links = self.0.shared.chain.links();
        let calendar = links.calendar();
        links.recoveries().into_iter().map(|one| (calendar.epoch_of(one.head.height + 1), one)).collect()
    }

    /// Who certifies the next block and later ones; `None` before the first block.
    pub async fn validators(&self) -> Result<Option<Validators>, ReadError> {
        let found = self.read([StateKey::schedule()], |sheet| {
            let Some(schedule) = sheet.row(StateKey::schedule(), ScheduleRow::decode)? else { return Ok(None) };
            let height = sheet.height();
            let standing = Standing::at(schedule, self.0.shared.chain.links(), height + 1);
            let keys: Vec<[u8; 32]> = standing.keys().into_iter().collect();
            let rows = sheet.rows(keys.iter().map(StateKey::validator), ValidatorRow::decode)?;
            let rows = keys.into_iter().zip(rows).filter_map(|(key, row)| Some((key, row?))).collect();
            Ok(Some(Validators { height, standing, rows }))
        });
        Ok(found.await?.1)
    }
}
