//! The two authenticated databases of a node and how they lie on disk.
//!
//! * The **state**: `qmdb::current::ordered`, 32-byte key → row. It proves that a row is current and that a key is absent, and
//!   one register's records are one range of keys.
//! * The **log**: `qmdb::keyless`, every transaction with its outcome, in order, never pruned. State sync carries it whole, so
//!   that a node which joined today can show every transaction, and prove it in the RFC 9162 tree over the log's leaves.
//!
//! INVARIANT: a block is one commit in each, with its height as metadata; leaf `i` of block `h` lies at log location `i + h`
//! (location 0 is the empty database's own commit).

use crate::value::Value;
use commonware_cryptography::{Sha256, sha256::Digest};
use commonware_glue::stateful::db::{DatabaseSet, Shared};
use commonware_parallel::Sequential;
use commonware_runtime::{Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    Context,
    journal::contiguous::variable,
    merkle::full::Config as MerkleConfig,
    mmr,
    qmdb::{any, current, keyless, sync::Target},
    translator::EightCap,
};
use commonware_utils::{NZU64, NZUsize};
use std::num::{NonZeroU64, NonZeroUsize};
use tallystick_protocol::limits::{LOG_ENTRY_BYTES_MAX, STATE_STORED_BYTES_MAX};

/// Bytes of a chunk of the activity bitmap: one digest, which makes the smallest proofs.
pub const CHUNK_BYTES: usize = 32;

/// A row of the state.
pub type Row = Value<STATE_STORED_BYTES_MAX>;
/// An entry of the log.
pub type Entry = Value<LOG_ENTRY_BYTES_MAX>;

/// The state database.
pub type StateDb<E> =
    current::ordered::variable::Db<mmr::Family, E, Digest, Row, Sha256, EightCap, CHUNK_BYTES, Sequential>;
/// An operation of the state database, as state sync carries it.
pub type StateOperation = any::ordered::variable::Operation<mmr::Family, Digest, Row>;
/// The log database.
pub type LogDb<E> = keyless::variable::Db<mmr::Family, E, Entry, Sha256, Sequential>;
/// An operation of the log database, as state sync carries it.
pub type LogOperation = keyless::variable::Operation<mmr::Family, Entry>;

/// State and log together: they move by whole blocks.
pub type Databases<E> = (Shared<StateDb<E>>, Shared<LogDb<E>>);
/// A block's batches before its transactions are applied.
pub type Unmerkleized<E> = <Databases<E> as DatabaseSet<E>>::Unmerkleized;
/// A block's batches after.
pub type Merkleized<E> = <Databases<E> as DatabaseSet<E>>::Merkleized;
/// Read-only handles.
pub type Readers<E> = <Databases<E> as DatabaseSet<E>>::Readers;
/// Configuration of both.
pub type Config<E> = <Databases<E> as DatabaseSet<E>>::Config;
/// What a state sync of each must arrive at.
pub type Targets = (Target<mmr::Family, Digest>, Target<mmr::Family, Digest>);

/// Operations of either database that a sync message asks for, and that are served as far as their bytes allow.
pub const SYNC_OPERATIONS: NonZeroU64 = NZU64!(256);

/// Nodes of a Merkle structure per file.
const NODES_PER_BLOB: NonZeroU64 = NZU64!(1 << 20);
/// Operations per file, unless a node is told otherwise. Whole files are pruned.
pub const OPERATIONS_PER_FILE: NonZeroU64 = NZU64!(1 << 16);
/// Bytes gathered before a write, in each journal.
const WRITE_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
/// Bytes read ahead when a journal is replayed at start.
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);

/// Where the databases lie and what they may keep in memory. Each has a cache of its own: rows are read at random, and
/// what is appended to the log would push them out. The operations per file must stay as they were when the databases were made.
pub fn config<E: Context + Spawner>(
    prefix: &str,
    operations_per_file: NonZeroU64,
    state: &CacheRef,
    log: &CacheRef,
) -> Config<E> {
    let state = current::Config {
        merkle_config: merkle(prefix, "state", state),
        journal_config: journal(prefix, "state", operations_per_file, ((), ()), state),
        grafted_metadata_partition: format!("{prefix}-state-grafted"),
        translator: EightCap,
        init_cache: Some(NZUsize!(1 << 16)),
        init_buffer: NZUsize!(1 << 21),
        init_concurrency: (),
    };
    let log = keyless::Config {
        merkle: merkle(prefix, "log", log),
        log: journal(prefix, "log", operations_per_file, (), log),
    };
    (state, log)
}

/// The folders that the state lies in, as the engine names them after what [`config`] says.
pub fn state_folders(prefix: &str) -> [String; 7] {
    let ends = [
        "grafted",
        "mmr-journal-blobs",
        "mmr-journal-metadata",
        "mmr-metadata",
        "operations_data",
        "operations_offsets-blobs",
        "operations_offsets-metadata",
    ];
    ends.map(|end| format!("{prefix}-state-{end}"))
}

fn merkle(prefix: &str, name: &str, cache: &CacheRef) -> MerkleConfig<Sequential> {
    MerkleConfig {
        // Not `…-mmr`: the journal appends `-metadata` to its partition, which must not meet the next one.
        journal_partition: format!("{prefix}-{name}-mmr-journal"),
        metadata_partition: format!("{prefix}-{name}-mmr-metadata"),
        items_per_blob: NODES_PER_BLOB,
        write_buffer: WRITE_BUFFER,
        replay_buffer: REPLAY_BUFFER,
        strategy: Sequential,
        page_cache: cache.clone(),
    }
}

fn journal<C>(
    prefix: &str,
    name: &str,
    operations_per_file: NonZeroU64,
    codec_config: C,
    cache: &CacheRef,
) -> variable::Config<C> {
    variable::Config {
        partition: format!("{prefix}-{name}-operations"),
        items_per_section: operations_per_file,
        compression: None,
        codec_config,
        page_cache: cache.clone(),
        write_buffer: WRITE_BUFFER,
        replay_buffer: REPLAY_BUFFER,
    }
}
