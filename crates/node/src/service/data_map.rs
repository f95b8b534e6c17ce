//! What organisations hold of people, as the state has it: their nodes, their registers with protected fields, their agreements; and what this
//! node backs up of it.

use super::{Runtime, Service};
use crate::backup::Terms;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_ledger::OrganisationRow;
use tallystick_protocol::{NodesRow, PartitionRow, PrincipalId, RegisterRow, StateKey, limits::ROWS_READ_MAX};
use tallystick_storage::read::ReadError;

/// What organisations hold of people.
#[derive(Debug, Default)]
pub struct Holdings {
    /// The registers with protected fields of which they are the custodians.
    pub registers: Vec<RegisterRow>,
    /// The agreements of which they are members or were, ended ones too.
    pub agreements: Vec<PartitionRow>,
    /// The nodes of these organisations, and of all that share with them.
    pub nodes: BTreeMap<String, NodesRow>,
}

impl<E: Runtime> Service<E> {
    /// As which node, if it is one of this organisation's, this one makes backups of what it holds, and how.
    pub fn backups(&self, organisation: &str) -> Option<(&PrincipalId, &Terms)> {
        let holder = self.0.holder.as_ref()?;
        let node = &holder.keys().principal;
        let terms = holder.backups()?.terms();
        (node.organisation() == organisation).then_some((node, terms))
    }

    /// What these organisations hold. Piece by piece, for blocks wait for a read: what came meanwhile may be in it or not.
    pub async fn holdings(&self, organisations: &[OrganisationRow]) -> Result<Holdings, ReadError> {
        let asked: BTreeSet<&str> = organisations.iter().map(|row| row.id.as_str()).collect();
        let (mut agreements, mut total, mut read) = (Vec::new(), usize::MAX, 0);
        while read < total {
            let (_, listed, some) = self.partitions(read, ROWS_READ_MAX).await?;
            let is_asked = |row: &PartitionRow| {
                let former = row.former.iter().map(|(id, _)| id);
                row.terms.members.iter().chain(former).any(|id| asked.contains(id.as_str()))
            };
            agreements.extend(some.into_iter().filter(is_asked));
            (total, read) = (listed, read + ROWS_READ_MAX);
        }
        let members = agreements.iter().flat_map(|row| row.terms.members.iter().map(String::as_str));
        let all: Vec<String> =
            asked.iter().copied().chain(members).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect();
        let mut nodes = BTreeMap::new();
        for some in all.chunks(ROWS_READ_MAX) {
            let keys: Vec<StateKey> = some.iter().map(|id| StateKey::nodes(id)).collect();
            let (_, rows) = self.read(keys.clone(), |sheet| sheet.rows(keys.iter().copied(), NodesRow::decode)).await?;
            nodes.extend(some.iter().cloned().zip(rows.into_iter().map(Option::unwrap_or_default)));
        }
        let mut registers = Vec::new();
        let names: Vec<String> = self.history().registers().map(|(name, _)| name.to_owned()).collect();
        for some in names.chunks(ROWS_READ_MAX) {
            let (_, found) = self.registers(some).await?;
            let held = |row: &RegisterRow| {
                asked.contains(row.custodian.as_str()) && row.fields.iter().any(|field| field.protection.is_some())
            };
            registers.extend(found.into_iter().map(|(row, _)| row).filter(held));
        }
        Ok(Holdings { registers, agreements, nodes })
    }
}
