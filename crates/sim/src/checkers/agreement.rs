//! Agreement: at each height every honest node has the same block, the same state root and the same log root, and its databases
//! hold what the block's header says.

use super::Broken;
use std::collections::BTreeMap;
use tallystick_protocol::{BlockHeader, Hash};

const PROMISE: &str = "agreement";

/// What all nodes were seen to apply.
#[derive(Debug, Default)]
pub struct Agreement {
    blocks: BTreeMap<u64, (usize, BlockHeader)>,
}

/// A node's databases, read at one moment.
#[derive(Debug, Clone)]
pub struct Databases {
    /// Height of the newest applied block, as the state database says.
    pub height: u64,
    /// The state's root, computed from the database.
    pub state_root: Hash,
    /// The log's root at that height's size, computed from the index; `None` if the index holds fewer leaves.
    pub log_root: Option<Hash>,
}

impl Agreement {
    /// A node applied a block.
    pub fn applied(&mut self, node: usize, header: &BlockHeader) -> Result<(), Broken> {
        let (first, known) = self.blocks.entry(header.height).or_insert_with(|| (node, header.clone()));
        if known == header {
            return Ok(());
        }
        let detail = format!("at height {} node {first} applied {known:?} and node {node} {header:?}", header.height);
        Err(Broken::new(PROMISE, detail))
    }

    /// A node's databases stand like this.
    pub fn stands(&self, node: usize, databases: &Databases) -> Result<(), Broken> {
        let Some((_, header)) = self.blocks.get(&databases.height) else {
            let detail = format!("node {node} stands at height {}, which no node was seen to apply", databases.height);
            return if databases.height == 0 { Ok(()) } else { Err(Broken::new(PROMISE, detail)) };
        };
        if header.state.root == databases.state_root && databases.log_root == Some(header.log.root) {
            return Ok(());
        }
        let detail = format!("node {node} has {databases:?} where the header says {header:?}");
        Err(Broken::new(PROMISE, detail))
    }

    /// The header at a height.
    pub fn header(&self, height: u64) -> Option<&BlockHeader> {
        self.blocks.get(&height).map(|(_, header)| header)
    }

    /// The greatest height seen.
    pub fn height(&self) -> u64 {
        self.blocks.keys().next_back().copied().unwrap_or(0)
    }

    /// Each block names the one before as its parent, and time and log only grow.
    pub fn check_chain(&self) -> Result<(), Broken> {
        for ((_, (_, parent)), (_, (_, block))) in self.blocks.iter().zip(self.blocks.iter().skip(1)) {
            let follows = block.height != parent.height + 1
                || block.parent == parent.hash() && block.time_ms > parent.time_ms && block.log.size >= parent.log.size;
            if !follows {
                return Err(Broken::new(PROMISE, format!("block {block:?} does not follow {parent:?}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_protocol::{LogCommitment, NetworkId, StateCommitment};

    fn header(height: u64, root: u8) -> BlockHeader {
        let hash = Hash([root; 32]);
        BlockHeader {
            network: NetworkId([0; 16]),
            height,
            epoch: 0,
            view: height,
            leader: [0; 32],
            parent_view: 0,
            parent: Hash([0; 32]),
            time_ms: height,
            transactions: hash,
            transaction_count: 0,
            state: StateCommitment { root: hash, operations_root: hash, start: 0, end: 1 },
            log: LogCommitment { size: 0, root: hash, store_root: hash, store_end: 1 },
            validators: hash,
            next_validators: hash,
        }
    }

    #[test]
    fn a_fork_is_seen() {
        let mut agreement = Agreement::default();
        agreement.applied(0, &header(5, 1)).unwrap();
        agreement.applied(1, &header(5, 1)).unwrap();
        assert!(agreement.applied(2, &header(5, 2)).is_err());
    }

    #[test]
    fn a_database_beside_its_header_is_seen() {
        let mut agreement = Agreement::default();
        agreement.applied(0, &header(5, 1)).unwrap();
        let (right, wrong) = (Hash([1; 32]), Hash([2; 32]));
        let stands = |height, state_root, log_root| agreement.stands(3, &Databases { height, state_root, log_root });
        assert_eq!(stands(5, right, Some(right)), Ok(()));
        assert!(stands(5, wrong, Some(right)).is_err());
        assert!(stands(5, right, Some(wrong)).is_err());
        assert!(stands(5, right, None).is_err());
        assert!(stands(6, right, Some(right)).is_err());
    }

    #[test]
    fn a_block_on_another_parent_is_seen() {
        let mut agreement = Agreement::default();
        agreement.applied(0, &header(5, 1)).unwrap();
        agreement.applied(0, &header(6, 1)).unwrap();
        assert!(agreement.check_chain().is_err());
    }
}
