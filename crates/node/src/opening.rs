//! From open databases to a node that is ready: the index over the log is rebuilt from the log itself, whether the databases
//! were recovered from this disk or fetched from peers.

use crate::{
    application::Shared,
    chain::FinalisedBlock,
    engine::{Marshal, Runtime},
    expiry,
};
use commonware_consensus::types::Height;
use std::{sync::Arc, time::Duration};
use tallystick_storage::{
    database::Databases,
    read::{ReadError, Reader},
};

/// Log places read at a time: enough to be quick, few enough that blocks need not wait.
const SCAN_PLACES: u64 = 4096;

/// What is opened.
pub struct Opening<E: Runtime> {
    /// Holds the index.
    pub shared: Arc<Shared>,
    /// Gets the databases.
    pub reader: Reader<E>,
    /// Knows the blocks.
    pub marshal: Marshal,
    /// The node's key, which tells its organisation.
    pub me: [u8; 32],
}

impl<E: Runtime> Opening<E> {
    /// Rebuilds the index, declares the node ready, and from then on looks for what ends soon.
    ///
    /// # Panics
    ///
    /// When the log cannot be read: the node must stop, and its supervisor start it again.
    pub async fn run(self, runtime: E, databases: Databases<E>) {
        self.reader.attach(databases);
        let organisation = expiry::organisation(&self.reader, self.shared.chain.genesis(), &self.me).await;
        self.shared.chain.expiries().watch(organisation);
        let mut location = 1; // Location 0 is the empty database's own commit.
        loop {
            // Block headers are looked up between scans: nothing may wait while the log is held.
            let height = self.height().await;
            let tip = self.tip(&runtime, height).await;
            let chain = &self.shared.chain;
            let done = self
                .reader
                .scan(
                    location,
                    SCAN_PLACES,
                    |entries| chain.rebuild(entries),
                    |at_end| {
                        // Still the same block, and none can be applied while the log is held.
                        let same = at_end == tip.header.height;
                        if same {
                            chain.rebuilt(tip.clone());
                        }
                        same
                    },
                )
                .await;
            match done {
                Ok((next, true)) => {
                    tracing::info!(height, log_places = next, "ready");
                    return expiry::look(runtime, self.shared, self.reader, self.me).await;
                }
                Ok((next, false)) => location = next,
                Err(error) => stop(&error),
            }
        }
    }

    async fn height(&self) -> u64 {
        match self.reader.log_height().await {
            Ok(height) => height,
            Err(error) => stop(&error),
        }
    }

    /// The block at `height`: the engine holds it, or will in a moment.
    async fn tip(&self, runtime: &E, height: u64) -> FinalisedBlock {
        if height == 0 {
            return self.shared.chain.tip().as_ref().clone();
        }
        loop {
            if let Some(block) = self.marshal.get_block(Height::new(height)).await {
                let block = block.inner();
                return FinalisedBlock {
                    header: block.header().clone(),
                    digest: block.header().hash(),
                    ids: block.ids().to_vec(),
                    refused: 0,
                };
            }
            runtime.sleep(Duration::from_millis(20)).await;
        }
    }
}

#[expect(clippy::panic, reason = "a node that cannot read its log must stop")]
fn stop(error: &ReadError) -> ! {
    panic!("{error}: check the disk under the data directory, then start the node again")
}
