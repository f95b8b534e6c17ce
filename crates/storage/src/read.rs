//! Read the databases as they stand at the newest applied block, and say which block that is.
//!
//! Nothing here waits for the network, and no lock is held across anything but the read itself: a reader that lingered would
//! hold back finalisation.

use crate::{
    database::{Databases, Row},
    value::height_of,
};
use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_cryptography::sha256::Digest;
use commonware_runtime::Spawner;
use commonware_storage::{Context, mmr::Location};
use std::sync::{Arc, OnceLock};
use tallystick_protocol::{Hash, LogEntry, StateKey};

/// Bytes of a commit's metadata in the log: the height of its block.
const HEIGHT_BYTES: usize = 8;

/// Read access to a node's databases, from the moment they are open.
pub struct Reader<E: Context + Spawner> {
    databases: Arc<OnceLock<Databases<E>>>,
}

impl<E: Context + Spawner> Clone for Reader<E> {
    fn clone(&self) -> Self {
        Self { databases: self.databases.clone() }
    }
}

impl<E: Context + Spawner> Default for Reader<E> {
    fn default() -> Self {
        Self { databases: Arc::new(OnceLock::new()) }
    }
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The databases are not open: the node starts or joins.
    #[error("this node is still opening or fetching its databases: try again shortly, or another node")]
    NotOpen,
    /// Blocks came faster than one answer could be read.
    #[error("blocks came between the reads of one answer, each time anew: try again shortly, or another node")]
    Unsettled,
    /// The disk or what is on it.
    #[error("the {database} database cannot be read: {detail}")]
    Storage {
        /// Which of the two.
        database: &'static str,
        /// What the engine says.
        detail: String,
    },
}

/// Rows at one height.
#[derive(Debug)]
pub struct Rows {
    /// Height of the block they stand at.
    pub height: u64,
    /// One for each key asked for, in order.
    pub rows: Vec<Option<Bytes>>,
}

/// A row, or its absence, with the proof of it under the state root of one height.
#[derive(Debug)]
pub struct Proved {
    /// Height of the block whose header names the root.
    pub height: u64,
    /// The state root the proof leads to.
    pub root: Hash,
    /// The row; `None` proves that there is none.
    pub row: Option<Bytes>,
    /// The engine's proof, encoded.
    pub proof: Vec<u8>,
}

impl<E: Context + Spawner> Reader<E> {
    /// Gives the databases once they are open. Later calls change nothing.
    pub fn attach(&self, databases: Databases<E>) {
        let _ = self.databases.set(databases);
    }

    fn open(&self) -> Result<&Databases<E>, ReadError> {
        self.databases.get().ok_or(ReadError::NotOpen)
    }

    /// Rows at the newest applied block.
    pub async fn rows(&self, keys: &[StateKey]) -> Result<Rows, ReadError> {
        let state = self.open()?.0.read().await;
        let height = height_of(state.get_metadata().await.map_err(state_error)?.as_ref());
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let row: Option<Row> = state.get(&Digest::from(key.0)).await.map_err(state_error)?;
            rows.push(row.map(|row| row.0));
        }
        Ok(Rows { height, rows })
    }

    /// The rows that follow `after` in the order of their keys, at most `limit`; their height says which block they stand at.
    pub async fn rows_after(&self, after: StateKey, limit: usize) -> Result<(u64, Vec<(StateKey, Bytes)>), ReadError> {
        let state = self.open()?.0.read().await;
        let height = height_of(state.get_metadata().await.map_err(state_error)?.as_ref());
        let mut rows = Vec::new();
        let mut last = Digest::from(after.0);
        while rows.len() < limit {
            let Some(key) = state.get_next_key(&last).await.map_err(state_error)? else { break };
            let row: Option<Row> = state.get(&key).await.map_err(state_error)?;
            rows.extend(row.map(|row| (StateKey(key.0), row.0)));
            last = key;
        }
        Ok((height, rows))
    }

    /// Several rows, each with its proof, under one root.
    pub async fn prove(&self, keys: &[StateKey]) -> Result<Vec<Proved>, ReadError> {
        let state = self.open()?.0.read().await;
        let height = height_of(state.get_metadata().await.map_err(state_error)?.as_ref());
        let root = Hash(state.root().0);
        let mut proved = Vec::with_capacity(keys.len());
        for key in keys {
            let key = Digest::from(key.0);
            let row: Option<Row> = state.get(&key).await.map_err(state_error)?;
            let proof = match row {
                Some(_) => state.key_value_proof(key).await.map_err(state_error)?.encode(),
                None => state.exclusion_proof(&key).await.map_err(state_error)?.encode(),
            };
            proved.push(Proved { height, root, row: row.map(|row| row.0), proof: proof.to_vec() });
        }
        Ok(proved)
    }

    /// Height of the newest applied block and the state root after it.
    pub async fn state_root(&self) -> Result<(u64, Hash), ReadError> {
        let state = self.open()?.0.read().await;
        let height = height_of(state.get_metadata().await.map_err(state_error)?.as_ref());
        Ok((height, Hash(state.root().0)))
    }

    /// Log entries at these locations, which rise strictly.
    pub async fn log_entries(&self, locations: &[u64]) -> Result<Vec<LogEntry>, ReadError> {
        let log = self.open()?.1.read().await;
        let places: Vec<Location> = locations.iter().copied().map(Location::new).collect();
        let values = log.get_many(&places).await.map_err(log_error)?;
        drop(log);
        locations
            .iter()
            .zip(values)
            .map(|(location, value)| {
                let value = value.ok_or_else(|| bad_entry(*location, "it is a commit, no entry"))?;
                LogEntry::decode(&value.0).map_err(|error| bad_entry(*location, error))
            })
            .collect()
    }

    /// Height of the newest block in the log.
    pub async fn log_height(&self) -> Result<u64, ReadError> {
        let log = self.open()?.1.read().await;
        Ok(height_of(log.get_metadata().await.map_err(log_error)?.as_ref()))
    }

    /// Reads at most `count` places of the log from `location` on and gives the entries to `take`; commits are skipped. Where
    /// the log ends, `at_end` learns its height while nothing can be appended, and says whether that was enough. Returns the
    /// next location and what `at_end` said.
    pub async fn scan(
        &self,
        location: u64,
        count: u64,
        take: impl FnOnce(&[LogEntry]),
        at_end: impl FnOnce(u64) -> bool,
    ) -> Result<(u64, bool), ReadError> {
        let log = self.open()?.1.read().await;
        let end = *log.bounds().end;
        let to = end.min(location + count);
        let places: Vec<Location> = (location..to).map(Location::new).collect();
        let values = log.get_many(&places).await.map_err(log_error)?;
        let entries = (location..)
            .zip(values)
            // A commit carries the height of its block as metadata, and no entry is as short as that.
            .filter_map(|(place, value)| Some((place, value.filter(|value| value.0.len() > HEIGHT_BYTES)?)))
            .map(|(place, value)| LogEntry::decode(&value.0).map_err(|error| bad_entry(place, error)))
            .collect::<Result<Vec<_>, _>>()?;
        take(&entries);
        if to < end {
            return Ok((to, false));
        }
        let height = height_of(log.get_metadata().await.map_err(log_error)?.as_ref());
        Ok((to, at_end(height)))
    }
}

fn state_error(error: impl std::fmt::Display) -> ReadError {
    ReadError::Storage { database: "state", detail: error.to_string() }
}

fn log_error(error: impl std::fmt::Display) -> ReadError {
    ReadError::Storage { database: "log", detail: error.to_string() }
}

fn bad_entry(location: u64, why: impl std::fmt::Display) -> ReadError {
    log_error(format!("entry at location {location}: {why}"))
}
