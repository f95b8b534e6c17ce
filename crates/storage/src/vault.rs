//! The vault: the openings of sealed values, encrypted under a key for each subject, and destroyed so that nothing is left. What a file
//! holds of a subject says [`Drawer`].
//!
//! ```text
//! ‹prefix›-vault-3fa/                           one of 4,096 folders
//!   3fa90c…⟨24 bytes⟩ 0000000000000007          a subject's file: its name says neither who it is, nor in which register
//!      │                    └ generation: one more with every change
//!      └ HMAC of the subject, in a partition of that and the register too, under the vault's key
//!
//! byte  0        1 once all the rest is on the disk; 0 before that, and from the moment it is to be destroyed
//!       1..61    the subject's key, wrapped by the vault's: nonce, key, tag
//!       61..     the openings, in CBOR, encrypted under the subject's key; tag
//! ```
//!
//! A change writes a new file under a new key, and only when that is on the disk overwrites and removes the old one. So a value that
//! was taken out is gone with the key that it was under, like all of a subject that is destroyed. Files that were read last are in memory too,
//! encrypted as they are on the disk: a change forgets its subject's first.
//!
//! INVARIANTS:
//! - What [`Vault::put`] acknowledged is there after a crash; what [`Vault::destroy`] and [`Vault::remove`] acknowledged is not, in no
//!   file of the vault, neither in the clear (it never was) nor encrypted.
//! - Of several files of one subject the newest that is whole counts; the others are overwritten and removed when the vault is opened.
//!   A single one that is not whole, of a change that was never acknowledged, goes with the subject's next.
//! - A whole file that does not decrypt is damage, and an error: it is never taken for absence.
//!
//! What it cannot do: overwrite blocks that a disk, a file system's snapshots or a backup that is not the node's own keep behind its back. They hold what is
//! encrypted under the vault's key: see docs/decisions/0012-vaults.md.

mod cipher;
mod copies;
mod drawer;
mod pending;
mod progress;
mod retained;
#[cfg(test)]
mod tests;

pub use cipher::VaultKey;
pub use copies::{FileCopy, FileName, overwrite};
pub use drawer::Drawer;
pub use pending::{Pending, PendingIn};
pub use progress::ErasureProgress;
pub use retained::Walked;

use crate::cache::Cache;
use cipher::{Ciphers, SubjectKey};
use commonware_runtime::{Blob as _, Error as Disk, ReadOptions, Storage, WriteOptions};
use commonware_utils::sync::AsyncMutex;
use rand_core::CryptoRng;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tallystick_protocol::{
    Commitment, Opening, cbor,
    limits::{VAULT_FILE_BYTES_MAX, VAULT_FILES_READ_BYTES_MAX, VAULT_OPENINGS_MAX},
};
use zeroize::Zeroizing;

/// Folders that the files are spread over.
const FOLDERS: u16 = 4_096;
/// Changes of different subjects that may go on at once.
const LOCKS: usize = 64;
/// Bytes of the name of a subject's file without its generation.
const NAME_BYTES: usize = 24;
/// Files that are tried with a key that does not fit what the vault says of its own.
const TRIED: usize = 256;
/// The first byte of a file that is whole.
const WHOLE: u8 = 1;
/// Bytes overwritten at once.
const WIPE_BYTES: usize = 64 * 1_024;
/// The name of the file in which it is written which key the vault is under.
const CHECK_NAME: &[u8] = b"check";

/// Why a vault did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The disk.
    #[error("the vault cannot be read or written: {0}")]
    Disk(#[from] Disk),
    /// The vault was made with another key.
    #[error("this vault was made with another key: open it with the key it was made with")]
    Key,
    /// A file is not as it was written.
    #[error(
        "file `{0}` of the vault is damaged: restore it from a backup, remove the folder `…-vault-erasures`, and start the node, which applies every order of erasure again"
    )]
    Damaged(String),
    /// A file cannot be copied, or overwritten.
    #[error("a file of the vault cannot be copied or overwritten: {0}")]
    Copy(#[from] std::io::Error),
    /// The backups of the vault.
    #[error("the backups in `{folder}` cannot be looked at or changed: {why}")]
    Backups {
        /// The folder that they lie in.
        folder: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// As many transactions wait to be final as the vault takes note of.
    #[error("this node waits for as many transactions with sealed values as it can: try again shortly")]
    Busy,
    /// A subject has as many values as it can.
    #[error(
        "the subject has more values than one can have, {VAULT_OPENINGS_MAX}, or more bytes of them than {VAULT_FILE_BYTES_MAX}"
    )]
    Full,
}

/// The vault of one organisation's node.
pub struct Vault<S: Storage> {
    storage: S,
    /// Names of its partitions begin with this.
    prefix: String,
    ciphers: Ciphers,
    /// The folder in which the storage lies, if it is said.
    disk: Option<PathBuf>,
    /// One for the subjects whose names begin alike: changes of one subject come one after another.
    locks: Vec<AsyncMutex<()>>,
    /// Files that were read last. Each is kept and forgotten under the lock of its subject alone, but for those that give way.
    read: Mutex<Cache<Name, ReadFile>>,
    /// Which notes of transactions there are.
    notes: Mutex<pending::Notes>,
    is_restored: bool,
}

/// The name of a subject's files, without the generation.
type Name = [u8; NAME_BYTES];

/// The generation of a file, and what it holds, encrypted.
type ReadFile = (u64, Arc<Zeroizing<Vec<u8>>>);

impl<S: Storage> Vault<S> {
    /// The names of all partitions of the storage that the vault of this prefix can have: what is copied of a vault, or put back.
    pub fn partitions(prefix: &str) -> impl Iterator<Item = String> + use<S> {
        let vault = named(prefix);
        let folders = (0..FOLDERS).map({
            let vault = vault.clone();
            move |number| folder(&vault, number)
        });
        let others = [pending::PARTITION, progress::PARTITION, retained::PARTITION, copies::RESTORED, ""];
        folders.chain(others.into_iter().map(move |other| format!("{vault}{other}")))
    }

    /// Opens the vault, or makes it: partitions `‹prefix›-vault` and `‹prefix›-vault-…` of the storage. Clears what interrupted changes
    /// left.
    ///
    /// # Errors
    /// When the disk fails, or the vault was made with another key.
    pub async fn open(storage: S, prefix: &str, key: &VaultKey) -> Result<Self, VaultError> {
        Self::open_at(storage, prefix, key, None).await
    }

    /// The same, of a storage that lies in this folder: a file that the storage cannot open any more is overwritten there all the same.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub async fn open_on_disk(
        storage: S,
        (prefix, folder): (&str, PathBuf),
        key: &VaultKey,
    ) -> Result<Self, VaultError> {
        Self::open_at(storage, prefix, key, Some(folder)).await
    }

    async fn open_at(storage: S, prefix: &str, key: &VaultKey, disk: Option<PathBuf>) -> Result<Self, VaultError> {
        let locks = (0..LOCKS).map(|_| AsyncMutex::new(())).collect();
        let read = Mutex::new(Cache::new(VAULT_FILES_READ_BYTES_MAX));
        let (prefix, ciphers) = (named(prefix), Ciphers::new(key));
        let mut vault =
            Self { storage, prefix, ciphers, disk, locks, read, notes: Mutex::default(), is_restored: false };
        vault.check_key().await?;
        vault.is_restored = vault.forget_if_restored().await?;
        vault.find_notes().await?;
        for folder in 0..FOLDERS {
            vault.clear(folder).await?;
        }
        Ok(vault)
    }

    /// Whether it was restored from a backup since it was last opened: how far erasure has come is forgotten then.
    pub const fn is_restored(&self) -> bool {
        self.is_restored
    }

    /// Keeps openings: they are on the disk when this returns. One that is there already stays as it is.
    ///
    /// # Errors
    /// When the disk fails, or a subject has too many; then some subjects' openings may be kept.
    pub async fn put(&self, openings: &[Opening], rng: &mut impl CryptoRng) -> Result<(), VaultError> {
        let mut by_drawer: BTreeMap<Drawer, Vec<&Opening>> = BTreeMap::new();
        for opening in openings {
            by_drawer.entry(Drawer::of(opening.place())).or_default().push(opening);
        }
        for (drawer, new) in by_drawer {
            let name = self.ciphers.name(&drawer);
            let _lock = self.lock(&name).await;
            let generations = self.generations(&name).await?;
            let mut kept = self.newest(&name, &generations).await?;
            let before = kept.len();
            for opening in new {
                if !kept.contains(opening) {
                    kept.push(opening.clone());
                }
            }
            if kept.len() > before {
                self.replace(&name, &generations, &kept, rng).await?;
            }
        }
        Ok(())
    }

    /// The opening of a commitment about a subject.
    ///
    /// # Errors
    /// When the disk fails or the subject's file is damaged.
    pub async fn get(&self, drawer: &Drawer, commitment: &Commitment) -> Result<Option<Opening>, VaultError> {
        Ok(self.all(drawer).await?.into_iter().find(|opening| opening.commitment() == *commitment))
    }

    /// All openings of a subject, in the order in which they were kept.
    ///
    /// # Errors
    /// When the disk fails or the subject's file is damaged.
    pub async fn all(&self, drawer: &Drawer) -> Result<Vec<Opening>, VaultError> {
        let name = self.ciphers.name(drawer);
        let _lock = self.lock(&name).await;
        let read = self.read_last().get(&name);
        if let Some((generation, bytes)) = read {
            return self.opened(&file(&name, generation), &bytes);
        }
        let generations = self.generations(&name).await?;
        self.newest(&name, &generations).await
    }

    /// Destroys the openings of some of a subject's commitments, and the key that they were under; says how many there were.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn remove(
        &self,
        drawer: &Drawer,
        commitments: &[Commitment],
        rng: &mut impl CryptoRng,
    ) -> Result<usize, VaultError> {
        let name = self.ciphers.name(drawer);
        let _lock = self.lock(&name).await;
        let generations = self.generations(&name).await?;
        let mut kept = self.newest(&name, &generations).await?;
        let before = kept.len();
        kept.retain(|opening| !commitments.contains(&opening.commitment()));
        if kept.is_empty() {
            self.wipe_all(&name, &generations).await?;
        } else if kept.len() < before || generations.len() > 1 {
            self.replace(&name, &generations, &kept, rng).await?;
        }
        Ok(before - kept.len())
    }

    /// Destroys all of a subject: values, blindings and key; says whether there was anything.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn destroy(&self, drawer: &Drawer) -> Result<bool, VaultError> {
        let name = self.ciphers.name(drawer);
        let _lock = self.lock(&name).await;
        let generations = self.generations(&name).await?;
        self.wipe_all(&name, &generations).await?;
        Ok(!generations.is_empty())
    }

    fn read_last(&self) -> MutexGuard<'_, Cache<Name, ReadFile>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lock(&self, name: &Name) -> impl Drop + '_ {
        let [first, ..] = name;
        match self.locks.get(usize::from(*first) % LOCKS) {
            Some(lock) => lock.lock().await,
            None => unreachable!("there are {LOCKS} locks"),
        }
    }

    /// The generations of a subject's files, rising.
    async fn generations(&self, name: &Name) -> Result<Vec<u64>, VaultError> {
        let names = self.scan(folder_of(name)).await?;
        let mut found: Vec<u64> =
            names.iter().filter_map(|file| split(file)).filter(|(other, _)| other == name).map(|(_, n)| n).collect();
        found.sort_unstable();
        Ok(found)
    }

    fn partition(&self, number: u16) -> String {
        folder(&self.prefix, number)
    }

    /// The partition of a subject's files.
    fn folder(&self, name: &Name) -> String {
        self.partition(folder_of(name))
    }

    async fn scan(&self, folder: u16) -> Result<Vec<Vec<u8>>, VaultError> {
        match self.storage.scan(&self.partition(folder)).await {
            Ok(names) => Ok(names),
            Err(Disk::PartitionMissing(_)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the newest whole file holds, which is kept in memory for who asks next, if it is the only one: where a change was broken off, its last
    /// write may be under way still. Nothing when there is none.
    async fn newest(&self, name: &Name, generations: &[u64]) -> Result<Vec<Opening>, VaultError> {
        for generation in generations.iter().rev() {
            let Some(bytes) = self.read(name, *generation).await? else { continue };
            let openings = self.opened(&file(name, *generation), &bytes)?;
            if generations.len() == 1 {
                let size = bytes.len();
                self.read_last().keep(*name, (*generation, Arc::new(bytes)), size);
            }
            return Ok(openings);
        }
        Ok(Vec::new())
    }

    /// A file, as it is encrypted; none when it is not whole.
    async fn read(&self, name: &Name, generation: u64) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let file = file(name, generation);
        let (blob, size) = match self.storage.open(&self.folder(name), &file).await {
            Err(error) if is_damage(&error) => return Err(VaultError::Damaged(hex::encode(&file))),
            opened => opened?,
        };
        if size == 0 {
            return Ok(None);
        }
        let most = usize::try_from(size).unwrap_or(usize::MAX).min(VAULT_FILE_BYTES_MAX);
        let bytes = blob.read_at(0, most, ReadOptions::DONT_CACHE).await?.coalesce();
        match bytes.as_ref().split_first() {
            None | Some((0, _)) => Ok(None),
            Some((&WHOLE, sealed)) if most as u64 == size => Ok(Some(Zeroizing::new(sealed.to_vec()))),
            Some(_) => Err(VaultError::Damaged(hex::encode(&file))),
        }
    }

    /// What a file holds that is whole.
    fn opened(&self, file: &[u8], sealed: &[u8]) -> Result<Vec<Opening>, VaultError> {
        let openings = self.ciphers.open(file, sealed).and_then(|clear| decode(&clear));
        openings.ok_or_else(|| VaultError::Damaged(hex::encode(file)))
    }

    /// Writes the next generation, then destroys those before.
    async fn replace(
        &self,
        name: &Name,
        generations: &[u64],
        openings: &[Opening],
        rng: &mut impl CryptoRng,
    ) -> Result<(), VaultError> {
        if openings.len() > VAULT_OPENINGS_MAX {
            return Err(VaultError::Full);
        }
        self.read_last().forget(name);
        let file = file(name, generations.last().map_or(1, |last| last + 1));
        let clear = encode(openings);
        let mut bytes = vec![0];
        bytes.extend_from_slice(&self.ciphers.seal(&file, &SubjectKey::generate(rng), clear, rng));
        if bytes.len() > VAULT_FILE_BYTES_MAX {
            return Err(VaultError::Full);
        }
        let (blob, _) = self.storage.open(&self.folder(name), &file).await?;
        blob.write_at(0, bytes, WriteOptions::DONT_CACHE).await?;
        blob.sync().await?;
        blob.write_at(0, vec![WHOLE], WriteOptions::SYNC).await?;
        blob.sync().await?;
        drop(blob);
        self.wipe_all(name, generations).await
    }

    /// Destroys files, the oldest first: one that still counts is never brought back by destroying a newer one.
    async fn wipe_all(&self, name: &Name, generations: &[u64]) -> Result<(), VaultError> {
        self.read_last().forget(name);
        for generation in generations {
            self.wipe(name, *generation).await?;
        }
        Ok(())
    }

    /// Overwrites a file, and removes it once that is on the disk.
    async fn wipe(&self, name: &Name, generation: u64) -> Result<(), VaultError> {
        let (partition, file) = (self.folder(name), file(name, generation));
        let (blob, size) = match self.storage.open(&partition, &file).await {
            Err(error) if is_damage(&error) => {
                if let Some(disk) = &self.disk {
                    overwrite(&disk.join(&partition).join(hex::encode(&file)))?;
                }
                return Ok(self.storage.remove(&partition, Some(&file)).await?);
            }
            opened => opened?,
        };
        if size > 0 {
            // From here on it does not count, whatever a crash leaves of the rest.
            blob.write_at(0, vec![0], WriteOptions::SYNC).await?;
        }
        let mut at = 0;
        while at < size {
            let bytes = usize::try_from(size - at).unwrap_or(WIPE_BYTES).min(WIPE_BYTES);
            blob.write_at(at, vec![0; bytes], WriteOptions::DONT_CACHE).await?;
            at += bytes as u64;
        }
        blob.sync().await?;
        drop(blob);
        Ok(self.storage.remove(&partition, Some(&file)).await?)
    }

    /// Destroys what interrupted changes left of subjects that have several files. Where the newest of them is damaged all stay: who asks for the
    /// subject is told.
    async fn clear(&self, folder: u16) -> Result<(), VaultError> {
        let mut by_name: BTreeMap<Name, Vec<u64>> = BTreeMap::new();
        for (name, generation) in self.scan(folder).await?.iter().filter_map(|file| split(file)) {
            by_name.entry(name).or_default().push(generation);
        }
        for (name, mut generations) in by_name.into_iter().filter(|(_, generations)| generations.len() > 1) {
            generations.sort_unstable();
            let counts = match self.counting(&name, &generations).await {
                Err(VaultError::Damaged(_)) => continue,
                counts => counts?,
            };
            generations.retain(|generation| Some(*generation) != counts);
            self.wipe_all(&name, &generations).await?;
        }
        Ok(())
    }

    /// Which of a subject's files counts.
    async fn counting(&self, name: &Name, generations: &[u64]) -> Result<Option<u64>, VaultError> {
        for generation in generations.iter().rev() {
            if let Some(bytes) = self.read(name, *generation).await? {
                self.opened(&file(name, *generation), &bytes)?;
                return Ok(Some(*generation));
            }
        }
        Ok(None)
    }

    /// Goes on if this is the vault's key, which a new vault notes. Where the note is damaged, torn or gone, what the key opens says so.
    async fn check_key(&self) -> Result<(), VaultError> {
        let check = self.ciphers.check();
        let amiss = match self.storage.open(&self.prefix, CHECK_NAME).await {
            Err(error) if is_damage(&error) => VaultError::Damaged(hex::encode(CHECK_NAME)),
            Err(error) => return Err(error.into()),
            Ok((blob, size)) => {
                let most = check.len().min(usize::try_from(size).unwrap_or(usize::MAX));
                let found = blob.read_at(0, most, ReadOptions::default()).await?.coalesce();
                if found.as_ref() == check {
                    return Ok(());
                }
                // Written before anything else: whoever finds it torn finds an empty vault, or one that lost it.
                match self.opens_one().await? {
                    Some(true) => {}
                    None if size < check.len() as u64 => {}
                    _ => return Err(VaultError::Key),
                }
                blob.write_at(0, check, WriteOptions::SYNC).await?;
                return Ok(blob.sync().await?);
            }
        };
        if self.opens_one().await? == Some(false) {
            return Err(amiss);
        }
        self.storage.remove(&self.prefix, Some(CHECK_NAME)).await?;
        let (blob, _) = self.storage.open(&self.prefix, CHECK_NAME).await?;
        blob.write_at(0, check, WriteOptions::SYNC).await?;
        Ok(blob.sync().await?)
    }

    /// Whether the key opens a file, of some; none if there is none.
    async fn opens_one(&self) -> Result<Option<bool>, VaultError> {
        let mut tried = 0;
        for folder in 0..FOLDERS {
            for file in self.scan(folder).await? {
                let Some((name, generation)) = split(&file) else { continue };
                if let Ok(Some(bytes)) = self.read(&name, generation).await
                    && self.opened(&file, &bytes).is_ok()
                {
                    return Ok(Some(true));
                }
                tried += 1;
                if tried >= TRIED {
                    return Ok(Some(false));
                }
            }
        }
        Ok((tried > 0).then_some(false))
    }
}

/// Whether the runtime finds what it writes before a file's own bytes to be none of its own.
pub(crate) const fn is_damage(error: &Disk) -> bool {
    matches!(error, Disk::BlobCorrupt(..) | Disk::BlobLayoutMismatch { .. } | Disk::BlobVersionMismatch { .. })
}

async fn first_byte(blob: &impl commonware_runtime::Blob) -> Result<u8, VaultError> {
    let byte = blob.read_at(0, 1, ReadOptions::default()).await?.coalesce();
    Ok(byte.as_ref().first().copied().unwrap_or_default())
}

/// The openings in CBOR, in memory that is cleared; long enough from the first that writing does not move it.
fn encode(openings: &[Opening]) -> Zeroizing<Vec<u8>> {
    let parts: Vec<_> = openings.iter().map(Opening::to_bytes).collect();
    let mut bytes = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 64));
    match minicbor::Encoder::new(&mut *bytes).array(openings.len() as u64) {
        Ok(_) => {}
        Err(error) => unreachable!("encoding into memory failed: {error}"),
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// The openings that these bytes are; none if they are anything else.
fn decode(clear: &[u8]) -> Option<Vec<Opening>> {
    let mut d = minicbor::Decoder::new(clear);
    let openings = cbor::values(&mut d, 1..=VAULT_OPENINGS_MAX, "the openings of a subject").ok()?;
    (d.position() == clear.len()).then_some(openings)
}

/// What the names of a vault's partitions begin with.
fn named(prefix: &str) -> String {
    format!("{prefix}-vault")
}

fn folder(vault: &str, number: u16) -> String {
    format!("{vault}-{number:03x}")
}

fn folder_of(name: &Name) -> u16 {
    let [first, second, ..] = name;
    u16::from_be_bytes([*first, *second]) >> 4
}

fn file(name: &Name, generation: u64) -> Vec<u8> {
    [name.as_slice(), &generation.to_be_bytes()].concat()
}

fn split(file: &[u8]) -> Option<(Name, u64)> {
    let (name, generation) = file.split_first_chunk::<NAME_BYTES>()?;
    Some((*name, u64::from_be_bytes(generation.try_into().ok()?)))
}
