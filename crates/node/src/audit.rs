//! Audit a node's stored ledger, offline, from genesis: every signature, every outcome re-executed, every root, every certificate.
//!
//! The auditor trusts the network file and nothing else. The stored blocks are copied first and the copy is read, because opening
//! an archive may repair it and evidence must stay as it is; the ledger is then built anew, block by block, in an empty database.

use crate::{
    admission::verify_all,
    engine::{self, PAGE_BYTES, Runtime, archive_config},
    hand_overs::Links,
    run::{PREFIX, RunError, read_genesis},
    validity::{follows, in_time},
};
use commonware_codec::{EncodeSize as _, varint::UInt};
use commonware_consensus::simplex::types::Finalization;
use commonware_cryptography::sha256::Digest;
use commonware_glue::stateful::db::DatabaseSet as _;
use commonware_runtime::{Runner as _, buffer::paged::CacheRef, tokio as real};
use commonware_storage::{
    archive::{Archive as _, Identifier, immutable},
    metadata::{self, Metadata},
};
use commonware_utils::{NZUsize, sequence::U64};
use std::{
    collections::HashMap,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use tallystick_consensus::{Block, Scheme, certificate};
use tallystick_ledger::PolicyCache;
use tallystick_protocol::{BlockHeader, Genesis, Hash, ValidatorSet, limits::VALIDATORS_MAX};
use tallystick_storage::{
    database::{self, Databases},
    execute::{self, BlockPlace, Stale},
};

/// How far an audit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Blocks checked.
    pub blocks: u64,
    /// Blocks stored.
    pub of: u64,
}

/// A ledger that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Blocks checked, from the first on.
    pub blocks: u64,
    /// Transactions in them; each signature was checked and each outcome re-executed.
    pub transactions: u64,
    /// Certificates checked.
    pub certificates: u64,
    /// The newest block stored is this many after these. Those between were not checked: a certificate of them or of a later one,
    /// or a block before them that the node still fetches, is not stored yet.
    pub unchecked: u64,
    /// Size of the log.
    pub log_size: u64,
    /// Its RFC 9162 root.
    pub log_root: Hash,
    /// The state root.
    pub state_root: Hash,
}

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The block's height.
    pub height: u64,
    /// Bytes of the encoded block, where the fault lies in the block itself.
    pub bytes: Option<Range<usize>>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "block {}", self.height)?;
        if let Some(bytes) = &self.bytes {
            write!(f, ", bytes {} to {}", bytes.start, bytes.end)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Why an audit did not find a ledger that holds.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It does not hold.
    #[error("the ledger does not hold: {0}")]
    Broken(Finding),
    /// It begins after genesis.
    #[error(
        "the data directory begins at block {0}: its node fetched the state before that from peers; audit a node that has been there from the start"
    )]
    NotFromGenesis(u64),
    /// There is nothing to audit.
    #[error("{path} holds no blocks: name the data directory of a node (`data_dir` in its configuration)", path = path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be read or copied.
    #[error("{path} cannot be copied to be read: {source}", path = path.display())]
    Copy {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The network file.
    #[error(transparent)]
    Network(#[from] RunError),
}

/// Audits a data directory against a network file. The node need not run; if it does, what it wrote last may be missing.
pub fn audit(
    data_dir: &Path,
    network_file: &Path,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<Report, AuditError> {
    let genesis = Arc::new(read_genesis(network_file)?);
    let copy = Copy::of(data_dir)?;
    let config = real::Config::new().with_storage_directory(copy.0.join("storage"));
    real::Runner::new(config).start(|context| check(context, genesis, data_dir.to_owned(), progress))
}

/// A temporary copy of the stored blocks, removed when dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(data_dir: &Path) -> Result<Self, AuditError> {
        let error = |source| AuditError::Copy { path: data_dir.to_owned(), source };
        let copy = Self(std::env::temp_dir().join(format!("tally-audit-{}", std::process::id())));
        let storage = data_dir.join("storage");
        let wanted = [EXECUTED, "blocks-", "finalizations-", "hand-overs"].map(|what| format!("{PREFIX}-{what}"));
        let mut names = Vec::new();
        for folder in fs::read_dir(&storage).map_err(error)? {
            let name = folder.map_err(error)?.file_name().to_string_lossy().into_owned();
            if wanted.iter().any(|prefix| name.starts_with(prefix)) {
                names.push(name);
            }
        }
        // The node may run. What it has executed is noted after the block is stored, and an archive's metadata, which say what the
        // rest of it holds, are written after that rest: copied in this order, none tells of what was not there yet.
        names.sort_by_key(|name| (!name.ends_with(EXECUTED), !name.ends_with("-metadata")));
        for name in names {
            copy_folder(&storage.join(&name), &copy.0.join("storage").join(&name)).map_err(error)?;
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What is left in the temporary folder is the system's to clear.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        if file.file_type()?.is_dir() {
            copy_folder(&file.path(), &to.join(file.file_name()))?;
        } else {
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}

async fn check<E: Runtime>(
    context: E,
    genesis: Arc<Genesis>,
    data_dir: PathBuf,
    mut progress: impl FnMut(Progress),
) -> Result<Report, AuditError> {
    let broken = |height: u64, what: String| AuditError::Broken(Finding { height, bytes: None, what });
    let cache = CacheRef::new(PAGE_BYTES, NZUsize!(8192));
    let blocks = immutable::Archive::<E, Digest, Block>::init(
        context.child("blocks"),
        archive_config(PREFIX, "blocks", &cache, ()),
    )
    .await
    .map_err(|error| broken(0, format!("the archive of blocks does not open: {error}")))?;
    let certificates = immutable::Archive::<E, Digest, Finalization<Scheme, Digest>>::init(
        context.child("finalizations"),
        archive_config(PREFIX, "finalizations", &cache, VALIDATORS_MAX),
    )
    .await
    .map_err(|error| broken(0, format!("the archive of certificates does not open: {error}")))?;
    match blocks.first_index() {
        None => return Err(AuditError::Empty { path: data_dir }),
        Some(0 | 1) => {}
        Some(first) => return Err(AuditError::NotFromGenesis(first)),
    }
    // A node stores a block before its certificate, and may have been stopped or copied in between: what nobody has certified is
    // no part of the ledger yet.
    let stored = blocks.last_index().unwrap_or(0);
    let last = certificates.last_index().unwrap_or(0).min(stored);
    let unbroken = blocks.next_gap(1).0.unwrap_or(0);
    let mut last = to_check(last, unbroken, executed(&context).await).map_err(AuditError::Broken)?;
    // What is before a gap is certified by what is before it too.
    while last > 0 && !certificates.has(Identifier::Index(last)).await.unwrap_or_default() {
        last -= 1;
    }
    if last == 0 {
        return Err(broken(1, "neither it nor any block after it has a certificate".to_owned()));
    }
    let validators = genesis.validator_set();
    let validators = validators.ok_or_else(|| broken(0, "the network file names no set of validators".to_owned()))?;
    let links = Links::read(&context.child("hand_overs"), PREFIX, &genesis).await;
    let links =
        links.map_err(|error| broken(0, format!("the chain of hand-overs and recoveries does not hold: {error}")))?;
    let mut replay = Replay::new(context.child("replay"), genesis.clone(), validators, links).await;
    let mut checked = 0;
    for height in 1..=last {
        let block = blocks
            .get(Identifier::Index(height))
            .await
            .map_err(|error| broken(height, format!("it cannot be read back as it was stored: {error}")))?
            .ok_or_else(|| broken(height, "it is missing".to_owned()))?;
        replay.block(&block).await.map_err(AuditError::Broken)?;
        let finalization = certificates.get(Identifier::Index(height)).await.map_err(|error| {
            broken(height, format!("its certificate cannot be read back as it was stored: {error}"))
        })?;
        if let Some(finalization) = finalization {
            let certificate = certificate(&finalization)
                .ok_or_else(|| broken(height, "a signature in its certificate does not decode".to_owned()))?;
            if certificate.block != block.header().hash() {
                return Err(broken(height, "its certificate is another block's".to_owned()));
            }
            certificate
                .verify(&replay.validators, genesis.id())
                .map_err(|error| broken(height, format!("its certificate does not hold: {error}")))?;
            checked += 1;
        }
        progress(Progress { blocks: height, of: last });
    }
    Ok(replay.report(checked, stored - last))
}

/// Where the engine notes the height of the last block that the node has executed, and under which key.
const EXECUTED: &str = "application-metadata";
const EXECUTED_KEY: U64 = U64::new(0xFF);

/// Height of the last block that the node has executed, where it says so.
async fn executed<E: Runtime>(context: &E) -> Option<u64> {
    let config = metadata::Config { partition: format!("{PREFIX}-{EXECUTED}"), codec_config: () };
    let noted = Metadata::<E, U64, UInt<u64>>::init(context.child("executed"), config).await.ok()?;
    noted.get(&EXECUTED_KEY).map(|height| height.0)
}

/// The last block to check, of those up to `last`, of which the first `unbroken` are there. A node that catches up stores new blocks
/// while it still fetches those before them; one that it has executed was there, and is lost.
fn to_check(last: u64, unbroken: u64, executed: Option<u64>) -> Result<u64, Finding> {
    let missing = unbroken + 1;
    if missing > last || executed.is_some_and(|executed| (1..missing).contains(&executed)) {
        return Ok(last.min(unbroken));
    }
    Err(Finding { height: missing, bytes: None, what: "it is missing".to_owned() })
}

/// The ledger built anew.
struct Replay<E: Runtime> {
    context: E,
    genesis: Arc<Genesis>,
    /// How the validators followed one another: checked, each link by those before.
    links: Links,
    databases: Databases<E>,
    parent: BlockHeader,
    /// Those who certify the latest block.
    validators: ValidatorSet,
    tags: HashMap<[u8; 16], u64>,
    policies: PolicyCache,
    transactions: u64,
}

impl<E: Runtime> Replay<E> {
    async fn new(context: E, genesis: Arc<Genesis>, validators: ValidatorSet, links: Links) -> Self {
        let cache = CacheRef::new(PAGE_BYTES, NZUsize!(65_536));
        let config = database::config::<E>("audit", database::OPERATIONS_PER_FILE, &cache, &cache);
        let databases = Databases::<E>::init(context.child("databases"), config, None).await;
        let parent = engine::genesis_header::<E>(&genesis);
        Self {
            context,
            links,
            genesis,
            databases,
            parent,
            validators,
            tags: HashMap::new(),
            policies: PolicyCache::default(),
            transactions: 0,
        }
    }

    async fn block(&mut self, block: &Block) -> Result<(), Finding> {
        let header = block.header();
        let height = self.parent.height + 1;
        let header_bytes = Some(0..header.to_bytes().len());
        let fault = |what: String| Finding { height, bytes: header_bytes.clone(), what };
        let (calendar, recovery) = (self.links.calendar(), self.links.recovery_before(height));
        if recovery.as_ref().is_some_and(|recovery| recovery.head != self.parent) {
            return Err(fault("the recovery before it goes on from another block".to_owned()));
        }
        let recovered = recovery.as_ref().and_then(|recovery| recovery.validator_set().ok()).map(|set| set.hash());
        if !follows(header, &self.parent, &calendar, recovered) {
            return Err(fault("its header does not follow from the block before it".to_owned()));
        }
        // What has expired by this block's time may not be in it, so its tag is free again.
        self.tags.retain(|_, not_after| *not_after >= header.time_ms / 1000);
        let verified = verify_all(block.transactions().to_vec(), &mut self.context);
        let mut transactions = Vec::with_capacity(verified.len());
        for (index, verdict) in verified.into_iter().enumerate() {
            let place = || Some(place_of(block, index));
            let fault = |what: String| Finding { height, bytes: place(), what };
            let transaction = verdict.map_err(|error| fault(format!("transaction {index}: {error}")))?;
            if transaction.network() != header.network {
                return Err(fault(format!("transaction {index} is for another network")));
            }
            if !in_time(&transaction, header.time_ms) {
                return Err(fault(format!("transaction {index} was ordered outside the time it allows")));
            }
            if self.tags.insert(transaction.replay_tag(), transaction.not_after()).is_some() {
                return Err(fault(format!("transaction {index} was ordered before")));
            }
            transactions.push(transaction);
        }
        let place = BlockPlace::new(&calendar, height, header.time_ms, recovery);
        let batches = self.databases.new_batches().await;
        let executed = execute::execute::<E>(batches, &self.genesis, &self.policies, place, &transactions)
            .await
            .map_err(|stale: Stale| fault(stale.to_string()))?;
        if executed.log != header.log {
            return Err(fault(format!(
                "its outcomes are not what its transactions give: the log has root {} and size {}, not {} and {}",
                executed.log.root, executed.log.size, header.log.root, header.log.size
            )));
        }
        if executed.state != header.state {
            return Err(fault(format!(
                "its state is not what its transactions give: the root is {}, not {}",
                executed.state.root, header.state.root
            )));
        }
        if !executed.is_as_stated(header) {
            return Err(fault("it names other validators than the ledger has scheduled".to_owned()));
        }
        if let Some(schedule) = executed.schedule {
            self.validators = schedule.running;
        }
        self.databases.apply(executed.merkleized).await;
        self.transactions += transactions.len() as u64;
        self.parent = header.clone();
        Ok(())
    }

    fn report(self, certificates: u64, unchecked: u64) -> Report {
        Report {
            blocks: self.parent.height,
            transactions: self.transactions,
            certificates,
            unchecked,
            log_size: self.parent.log.size,
            log_root: self.parent.log.root,
            state_root: self.parent.state.root,
        }
    }
}

/// The bytes of the encoded block that a transaction takes.
fn place_of(block: &Block, index: usize) -> Range<usize> {
    let behind: usize = block.transactions().iter().skip(index).map(|t| t.encode_size()).sum();
    let length = block.transactions().get(index).map_or(0, |t| t.encode_size());
    let start = block.encode_size() - behind;
    start..start + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_still_fetched_is_none_that_is_lost() {
        assert_eq!(to_check(70, 70, Some(68)), Ok(70), "nothing is missing");
        assert_eq!(to_check(70, 71, None), Ok(70), "the newest has no certificate yet");
        assert_eq!(to_check(70, 59, Some(59)), Ok(59), "block 60 is on its way");
        assert_eq!(to_check(70, 59, Some(40)), Ok(59));
        for executed in [Some(60), Some(69), Some(0), None] {
            let found = to_check(70, 59, executed).map_err(|finding| finding.height);
            assert_eq!(found, Err(60), "block 60 is lost: {executed:?}");
        }
    }
}
