//! Run one node as a process, from its configuration to its end.

use crate::{
    backup::{Backups, Folder, Terms},
    config::{Config, ConfigError, LogFormat},
    engine::{self, StartError, Voting},
    holder::{Holder, HolderKeys},
    http, next_key,
    parcels::ParcelKeys,
    service::Service,
    timing::Timing,
    voting::{Mark, MarkError, Votes},
    watch,
};
use commonware_cryptography::{Signer as _, ed25519::PublicKey};
use commonware_p2p::Address;
use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, tokio as real};
use rand_core::Rng as _;
use std::{
    io::Read as _,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tallystick_client::{
    KeyName, Passphrase, SealingSecret, key::open_token, keyfile::KeyFileError, pkcs11::TokenError,
};
use tallystick_consensus::{
    NodeKey,
    peers::{self, PeerAddress},
    validators::decode_key,
};
use tallystick_protocol::{
    Genesis, GenesisError, NetworkId, ParcelSecret, RecoveryFile, SigningKey,
    limits::{RECOVERY_FILE_BYTES_MAX, TOKEN_VOTE_MAX},
};
use tallystick_storage::{database::OPERATIONS_PER_FILE, vault::VaultError};
use tokio::{net::TcpListener, signal::unix};

/// Names of everything a node stores begin with this.
pub const PREFIX: &str = "tally";
/// Environment variable that holds the passphrase when no file does.
pub const PASSPHRASE_VARIABLE: &str = "TALLY_PASSPHRASE";
/// Threads that run tasks; disk and signatures have their own.
const WORKER_THREADS: usize = 2;

/// The same for a node with this key: one that lies in a token has a thread wait for each signature.
const fn worker_threads(key: &KeyName) -> usize {
    WORKER_THREADS + matches!(key, KeyName::Token(_)) as usize
}

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network file.
    #[error("the network file {path}: {detail}", path = path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The recovery file.
    #[error("the recovery file {path}: {detail}", path = path.display())]
    Recovery {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The key in a token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No passphrase was given.
    #[error(
        "the node's key is protected by a passphrase or a PIN: name a file that holds it with `passphrase_file`, or set {PASSPHRASE_VARIABLE}"
    )]
    NoPassphrase,
    /// The key is of another kind.
    #[error("`{0}` is not an Ed25519 key: a validator's key is one; `tally network join` or `tally key new` makes it")]
    NotEd25519(KeyName),
    /// A peer in the configuration.
    #[error("peer `{key}` in the configuration: {detail}")]
    Peer {
        /// The peer's key as written.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// The data directory.
    #[error("the data directory {path} cannot be made or used: {source}", path = path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The vault.
    #[error("`holder` in the configuration: {0}")]
    Vault(#[from] VaultError),
    /// The thread that makes backups.
    #[error("the system starts no thread for backups: {0}: raise its limits")]
    Backups(std::io::Error),
    /// The marks of the vote journal.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// A port.
    #[error(
        "cannot listen on {address} (`{field}` in the configuration): {source}: choose another port, or stop what uses this one"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The field that says so.
        field: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The wiring.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part of the node ended that must not.
    #[error("the node's {0} ended: see the lines above for the cause; the node can be started again")]
    Ended(&'static str),
}

/// What a node needs, read and checked.
struct Prepared {
    config: Config,
    genesis: Arc<Genesis>,
    signer: NodeKey,
    /// The nodes that the configuration names, this one, and the genesis' validators, each with its place.
    known: Vec<(PublicKey, Address)>,
    /// The key's votes, unless it must not vote.
    votes: Option<Votes>,
    state_sync: bool,
    recovery: Option<RecoveryFile>,
    holder: Option<HolderKeys>,
}

/// How a node's run ends without a fault.
enum End {
    /// It was told to stop.
    Stop,
    /// The network counts another key of it: it begins anew with this.
    NextKey(Box<Config>),
}

/// Runs the node of a configuration file until it is told to stop (SIGTERM or SIGINT), or cannot go on.
///
/// # Panics
///
/// When its disk fails: whatever supervises it must start it again, and say so.
pub fn run(path: &Path) -> Result<(), RunError> {
    let config = Config::read(path)?;
    log_to_stderr(&config);
    let mut config = next_key::present(config)?;
    loop {
        let prepared = prepare(config)?;
        free(prepared.config.listen, "listen")?;
        let runner = real::Runner::new(
            real::Config::new()
                .with_worker_threads(worker_threads(&prepared.config.key))
                .with_storage_directory(prepared.config.data_dir.join("storage")),
        );
        config = match runner.start(|context| serve(context, prepared, path.to_owned()))? {
            End::Stop => return Ok(()),
            End::NextKey(config) => *config,
        };
        tracing::info!(key = %config.key, "`next_key` votes from now on: write it as `key`, then destroy the old one");
    }
}

fn prepare(config: Config) -> Result<Prepared, RunError> {
    let genesis = read_genesis(&config.network_file)?;
    let recovery = config.recovery_file.as_deref().map(|path| read_recovery(path, &genesis)).transpose()?;
    let (key, mark) = open_key(&config)?;
    let public = ed25519(&key, &config)?;
    let signer = NodeKey::new(key).ok_or_else(|| RunError::NotEd25519(config.key.clone()))?;
    let holder = open_holder(&config)?;
    let known = peers_of(&config, &genesis, &signer.public_key())?;
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|source| RunError::DataDir { path: config.data_dir.clone(), source })?;
    let mut name = [0; 16];
    tallystick_client::randomness().fill_bytes(&mut name);
    let votes = Votes::open((mark, &public), &config.data_dir, PREFIX, name)?;
    if votes.is_none() {
        tracing::warn!(
            key = %config.key,
            "this validator's key has voted with a journal that is not in the data directory: \
             the node fetches the ledger from its peers and follows, and will not vote with this key again"
        );
    }
    // One that joins later need not apply everything that ever happened.
    let joins = genesis.validators.iter().all(|validator| validator.key.as_slice() != signer.public_key().as_ref());
    let state_sync = votes.is_none() || joins;
    Ok(Prepared { config, genesis: Arc::new(genesis), signer, known, votes, state_sync, recovery, holder })
}

/// A passphrase or a PIN: of the file, or of the environment.
fn secret(file: Option<&Path>) -> Result<Passphrase, RunError> {
    match file {
        Some(file) => Ok(Passphrase::read(file)?),
        None => {
            let text = std::env::var(PASSPHRASE_VARIABLE).map_err(|_| RunError::NoPassphrase)?;
            Ok(Passphrase::new(text)?)
        }
    }
}

/// The keys with which the node holds, if it does.
fn open_holder(config: &Config) -> Result<Option<HolderKeys>, RunError> {
    let Some(holder) = &config.holder else { return Ok(None) };
    let passphrase = || secret(holder.passphrase_file.as_deref().or(config.passphrase_file.as_deref()));
    let key = holder.key.open::<RunError>(TOKEN_VOTE_MAX, |_| passphrase())?;
    let sealing = SealingSecret::read(&holder.sealing, &passphrase()?)?;
    Ok(Some(HolderKeys { principal: holder.principal.clone(), key, sealing }))
}

/// The node's key, and where it remembers the journal it votes with.
pub fn open_key(config: &Config) -> Result<(SigningKey, Mark), RunError> {
    let secret = |_: &str| secret(config.passphrase_file.as_deref());
    match &config.key {
        KeyName::File(path) => {
            let key = config.key.open::<RunError>(TOKEN_VOTE_MAX, secret)?;
            let public = ed25519(&key, config)?;
            Ok((key, Mark::beside(path, &public)))
        }
        KeyName::Token(uri) => {
            let key = open_token::<RunError>(uri, TOKEN_VOTE_MAX, secret)?;
            Ok((telling(key.signing_key()), Mark::Token(Box::new(key))))
        }
    }
}

fn ed25519(key: &SigningKey, config: &Config) -> Result<[u8; 32], RunError> {
    match key.public() {
        tallystick_protocol::PublicKey::Ed25519(public) => Ok(public),
        _ => Err(RunError::NotEd25519(config.key.clone())),
    }
}

/// The key, saying in the log when its token ceases to sign, and when it signs again: to the network the node is then only
/// silent.
fn telling(key: SigningKey) -> SigningKey {
    let silent = AtomicBool::new(false);
    SigningKey::elsewhere(key.public(), move |message| match key.sign(message) {
        Ok(signature) => {
            if silent.swap(false, Ordering::Relaxed) {
                tracing::info!("the node's key signs again");
            }
            Ok(signature)
        }
        Err(error) => {
            if !silent.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the node's key does not sign: it casts no vote and meets no peer until it does");
            }
            Err(error.to_string())
        }
    })
}

/// Reads a network file and checks it.
pub fn read_genesis(path: &Path) -> Result<Genesis, RunError> {
    let network = |detail: String| RunError::Network { path: path.to_owned(), detail };
    let json = std::fs::read(path).map_err(|error| network(error.to_string()))?;
    Genesis::from_json(&json).map_err(|error: GenesisError| network(error.to_string()))
}

/// Reads a recovery of this network.
fn read_recovery(path: &Path, genesis: &Genesis) -> Result<RecoveryFile, RunError> {
    let error = |detail: String| RunError::Recovery { path: path.to_owned(), detail };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map(|file| file.take(RECOVERY_FILE_BYTES_MAX as u64 + 1));
    file.and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|why| error(why.to_string()))?;
    let file =
        RecoveryFile::decode(&bytes).map_err(|why| error(format!("it is no recovery, or was altered: {why}")))?;
    let (network, ours) = (file.recovery.network(), genesis.id());
    if network == ours {
        Ok(file)
    } else {
        Err(error(format!("recovery-network: it is of network {network}, not {ours}: use that of this network")))
    }
}

fn peers_of(config: &Config, genesis: &Genesis, me: &PublicKey) -> Result<Vec<(PublicKey, Address)>, RunError> {
    let configured = config
        .peers
        .iter()
        .map(|peer| {
            let error = |detail: String| RunError::Peer { key: peer.key.clone(), detail };
            let bytes = hex::decode(&peer.key)
                .ok()
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
                .ok_or_else(|| error("the key must be 64 hexadecimal digits".to_owned()))?;
            let key = decode_key(&bytes).map_err(|why| error(why.to_string()))?;
            let address = peer.address.parse::<PeerAddress>().and_then(|address| address.to_engine());
            Ok((key, address.map_err(|why| error(why.to_string()))?))
        })
        .collect::<Result<Vec<_>, RunError>>()?;
    let stated = genesis.validators.iter().filter_map(|validator| {
        let address = validator.address.parse::<PeerAddress>().ok()?.to_engine().ok()?;
        Some((decode_key(&validator.key).ok()?, address))
    });
    let itself = (me.clone(), Address::Symmetric(config.listen));
    let mut known: Vec<(PublicKey, Address)> = Vec::new();
    for (key, address) in [itself].into_iter().chain(configured).chain(stated) {
        if known.iter().all(|(other, _)| *other != key) {
            known.push((key, address));
        }
    }
    Ok(known)
}

/// Fails early, and by name, when another process has the port: the engine would only panic.
fn free(address: SocketAddr, field: &'static str) -> Result<(), RunError> {
    std::net::TcpListener::bind(address).map(drop).map_err(|source| RunError::Listen { address, field, source })
}

async fn serve(context: real::Context, prepared: Prepared, path: PathBuf) -> Result<End, RunError> {
    let Prepared { config, genesis, signer, known, votes, state_sync, recovery, holder } = prepared;
    let voting = votes.is_some();
    let listener = bind(config.http).await?;
    let network = peers::start(
        context.child("network"),
        peers::Config {
            network: genesis.id(),
            signer: signer.clone(),
            listen: config.listen,
            peers: known.clone(),
            message_bytes_max: engine::message_bytes_max(),
        },
    );
    let me = signer.public_key();
    tracing::info!(
        network = %genesis.id(),
        node = %me,
        voting,
        listen = %config.listen,
        http = %config.http,
        "starting"
    );
    let holder = open_vault(&context, holder, (&config, genesis.id())).await?;
    let pages = (config.cache_mib * PAGES_PER_MIB).max(PAGES_PER_MIB);
    let engine_config = engine::Config {
        genesis,
        me,
        voting: match votes {
            Some(votes) => Voting::Signs(Box::new(signer), Some(Arc::new(votes))),
            None => Voting::Observes,
        },
        prefix: PREFIX.to_owned(),
        cache_pages: NonZeroUsize::new(pages).unwrap_or(NonZeroUsize::MIN),
        operations_per_file: OPERATIONS_PER_FILE,
        state_sync,
        known,
        recovery,
        timing: Timing::default(),
    };
    let (provider, blocker) = (network.oracle.clone(), network.oracle.clone());
    let keys = holder.as_ref().and_then(parcel_keys);
    let starting = engine::start(context.child("node"), engine_config, keys, provider, blocker, network.channels);
    let Some(node) = begun(starting, &listener).await? else { return Ok(End::Stop) };
    let service = Service::new(context.child("service"), &node, voting, holder);
    let shared = node.shared.clone();
    let key = <[u8; 32]>::try_from(node.me.as_ref()).unwrap_or_default();

    let holds = service.clone();
    let _holding = context.child("holding").spawn(move |_| async move { holds.hold_all().await });
    let backs_up = service.clone();
    let _backing_up = context.child("backup").spawn(move |_| async move { backs_up.back_up().await });
    let stop = watch::Sender::new(false);
    let mut stopping = stop.subscribe();
    let mut http = tokio::spawn(http::serve(listener, service, async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    }));
    let end = tokio::select! {
        () = told_to_stop() => End::Stop,
        config = next_key::counts(&shared.chain, path, key) => End::NextKey(Box::new(config)),
        _ = node.engine => return Err(RunError::Ended("consensus")),
        _ = network.task => return Err(RunError::Ended("peer network")),
        _ = &mut http => return Err(RunError::Ended("HTTP server")),
    };
    tracing::info!("stopping");
    stop.send_replace(true);
    // Requests in flight have their own time limits; what is stored needs no farewell.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), http).await;
    Ok(end)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, field: "http", source })
}

/// The node once it has begun; none if it was told to stop before. It may wait for peers, and for those who do not know it yet it waits
/// for long: meanwhile whoever asks is told.
async fn begun<T>(
    starting: impl Future<Output = Result<T, StartError>>,
    listener: &TcpListener,
) -> Result<Option<T>, RunError> {
    tokio::select! {
        node = starting => Ok(Some(node?)),
        () = http::serve_waiting(listener) => Err(RunError::Ended("HTTP server")),
        () = told_to_stop() => Ok(None),
    }
}

/// Opens the vault of a node that holds.
async fn open_vault(
    context: &real::Context,
    keys: Option<HolderKeys>,
    (config, network): (&Config, NetworkId),
) -> Result<Option<Arc<Holder<real::Context>>>, RunError> {
    let Some(keys) = keys else { return Ok(None) };
    let place = (PREFIX, config.data_dir.join("storage"));
    let holder = Holder::open_on_disk(context.child("holder"), place, keys).await?;
    let backups = backups_of(&holder, config, network)?;
    Ok(Some(Arc::new(holder.with_backups(backups))))
}

/// The backups of a vault, if the configuration says where.
fn backups_of(
    holder: &Holder<real::Context>,
    config: &Config,
    network: NetworkId,
) -> Result<Option<Backups>, RunError> {
    let Some(backup) = config.holder.as_ref().and_then(|holder| holder.backup.as_ref()) else { return Ok(None) };
    let disk = config.data_dir.join("storage");
    let (jurisdiction, every_hours, keep_days) = (backup.jurisdiction.clone(), backup.every_hours, backup.keep_days);
    let (check, network) = (holder.vault().copy_check(&disk)?, network.to_string());
    let start = network.get(..NETWORK_DIGITS).unwrap_or(&network);
    let folder = Folder::new(backup.folder.clone(), start, &holder.keys().principal, check);
    let terms = Terms { jurisdiction, every_hours, keep_days };
    Backups::new(folder, terms, disk).map(Some).map_err(RunError::Backups)
}

/// How much of the network's id stands in the name of a backup.
const NETWORK_DIGITS: usize = 8;

/// Pages of the cache in a MiB.
const PAGES_PER_MIB: usize = 256;

/// With what a node that holds takes part in private transactions; none only if its secret were no 32 bytes.
fn parcel_keys(holder: &Arc<Holder<real::Context>>) -> Option<ParcelKeys<real::Context>> {
    let keys = holder.keys();
    let (principal, public) = (keys.principal.clone(), keys.key.public());
    let sealing = ParcelSecret::from_bytes(&keys.sealing.parcel_secret()).ok()?;
    let signer = holder.clone();
    let sign = move |message: &[u8]| signer.keys().key.sign(message).map_err(|error| error.to_string());
    Some(ParcelKeys { principal, key: SigningKey::elsewhere(public, sign), sealing, vault: holder.clone() })
}

async fn told_to_stop() {
    let signal = |kind| unix::signal(kind).ok();
    let (mut terminate, mut interrupt) = (signal(unix::SignalKind::terminate()), signal(unix::SignalKind::interrupt()));
    tokio::select! {
        Some(()) = async { terminate.as_mut()?.recv().await } => {}
        Some(()) = async { interrupt.as_mut()?.recv().await } => {}
        else => std::future::pending().await,
    }
}

/// What a level written as one word lets through: the engine speaks one level lower than the node, and of its storage only
/// errors, because it warns of every database that is new.
fn filter(level: &str) -> &str {
    match level {
        "info" => "warn,commonware_storage=error,tallystick=info",
        "debug" => "info,tallystick=debug",
        other => other,
    }
}

fn log_to_stderr(config: &Config) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(filter(&config.log.level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process (a test) is refused; the first one serves.
    let _ = match config.log.format {
        LogFormat::Text => lines.with_target(false).with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_token_that_is_slow_to_sign_takes_no_thread_from_the_rest() {
        assert_eq!(worker_threads(&"validator.pem".parse().unwrap()), WORKER_THREADS);
        assert_eq!(worker_threads(&"pkcs11:token=hsm;object=validator".parse().unwrap()), WORKER_THREADS + 1);
    }
}
