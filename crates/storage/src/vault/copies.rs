//! Copies of the vault's files for a backup: encrypted, byte for byte as they lie on the disk, so that to restore them is to put them back.
//!
//! ```text
//! ‹prefix›-vault/          which key it is under
//! ‹prefix›-vault-3fa/      of each subject the newest file that is whole
//! ‹prefix›-vault-pending/  what waits for transactions that are not final
//! ```
//!
//! How far erasure has come is not among them, nor how much is passed over of what is kept for so many days: without the one every order is
//! carried out again, and without the other all is looked at again.
//!
//! INVARIANT: a file of which something was destroyed since copies began is said to have [`Changes::changed`] before it is gone. Whoever copies
//! asks after that, and makes another copy.

use super::{CHECK_NAME, Drawer, FOLDERS, Name, Pending, Vault, VaultError, WHOLE, file, folder_of, split};
use commonware_runtime::Storage;
use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tallystick_protocol::{
    Hash, Opening, cbor,
    limits::{VAULT_OPENINGS_MAX, VAULT_PENDING_BYTES_MAX},
};

/// Bytes that the runtime writes before a file's own, by each of its layouts.
const HEADER_BYTES: [usize; 2] = [4_096, 8];

/// Whose values are in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(Name);

impl FileName {
    /// What the names of its files on the disk begin with.
    pub fn start(&self) -> String {
        hex::encode(self.0)
    }
}

/// A file of the vault, as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCopy {
    /// The folder that it lies in.
    pub folder: String,
    /// Its name there.
    pub file: String,
    /// All of it.
    pub bytes: Vec<u8>,
    /// Of which partition it is; none of the public one, or of none.
    pub partition: Option<String>,
}

/// The subjects of whom something was destroyed since copies began; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Mutex<Option<BTreeSet<FileName>>>>);

impl Changes {
    /// Begins to take note.
    pub fn begin(&self) {
        *self.lock() = Some(BTreeSet::new());
    }

    /// Takes note no more.
    pub fn end(&self) {
        *self.lock() = None;
    }

    /// Whether a copy of this one's file is worth nothing any more.
    pub fn changed(&self, name: &FileName) -> bool {
        self.lock().as_ref().is_some_and(|changed| changed.contains(name))
    }

    /// Those that have changed, which do not count as such any more.
    pub fn take(&self) -> BTreeSet<FileName> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether none have.
    pub fn is_empty(&self) -> bool {
        self.lock().as_ref().is_none_or(BTreeSet::is_empty)
    }

    pub(super) fn note(&self, name: Name) {
        if let Some(changed) = &mut *self.lock() {
            changed.insert(FileName(name));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeSet<FileName>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Storage> Vault<S> {
    /// The subjects of whom something was destroyed since copies began.
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// How many folders the files of subjects are spread over.
    pub const fn folders() -> std::ops::Range<u16> {
        0..FOLDERS
    }

    /// Whose files lie in one of the folders.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn names(&self, folder: u16) -> Result<BTreeSet<FileName>, VaultError> {
        Ok(self.scan(folder).await?.iter().filter_map(|file| split(file)).map(|(name, _)| FileName(name)).collect())
    }

    /// The folder and the name that a drawer's files have, here and in every backup.
    pub fn place_of(&self, drawer: &Drawer) -> (String, FileName) {
        let name = self.ciphers.name(drawer);
        (self.folder(&name), FileName(name))
    }

    /// The folder of this one's files.
    pub fn folder_of(&self, name: &FileName) -> String {
        self.partition(folder_of(&name.0))
    }

    /// A copy of the file in which this one's values are; none when there are none. `disk` is the folder in which the storage lies.
    ///
    /// # Errors
    /// When the disk fails or the file is damaged.
    pub async fn copy(&self, name: &FileName, disk: &Path) -> Result<Option<FileCopy>, VaultError> {
        let FileName(name) = name;
        let _lock = self.lock(name).await;
        for generation in self.generations(name).await?.into_iter().rev() {
            let Some(openings) = self.read(name, generation).await? else { continue };
            let partition = openings.first().and_then(|opening| opening.place().partition()).map(str::to_owned);
            return copied(disk, self.folder(name), &file(name, generation), partition).map(Some);
        }
        Ok(None)
    }

    /// A copy of the note of a transaction; none when it is settled. Nothing may note or settle meanwhile.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn copy_note(&self, pending: &Pending, disk: &Path) -> Result<Option<FileCopy>, VaultError> {
        let Hash(name) = pending.transaction;
        match copied(disk, self.pending_partition(), &name, pending.partition().map(str::to_owned)) {
            Err(VaultError::Copy(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            copy => copy.map(Some),
        }
    }

    /// A copy of the file that says which key the vault is under.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn copy_check(&self, disk: &Path) -> Result<FileCopy, VaultError> {
        copied(disk, self.prefix.clone(), CHECK_NAME, None)
    }

    /// The folder of the notes of transactions that are not settled.
    pub fn folder_of_notes(&self) -> String {
        self.pending_partition()
    }

    /// Whether what lies in this folder says something of somebody: not so of the one that says which key all is under.
    pub fn has_values(&self, folder: &str) -> bool {
        folder != self.prefix
    }

    /// Of which partition a copy is, which lies in a backup: none of the public one.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn partition_of(&self, folder: &str, file: &str, bytes: &[u8]) -> Result<Option<String>, VaultError> {
        let damaged = || VaultError::Damaged(file.to_owned());
        let name = hex::decode(file).map_err(|_| damaged())?;
        let clear = HEADER_BYTES.iter().find_map(|header| {
            let (whole, sealed) = bytes.get(*header..)?.split_first()?;
            (*whole == WHOLE).then(|| self.ciphers.open(&name, sealed))?
        });
        let clear = clear.ok_or_else(damaged)?;
        if folder == self.pending_partition() {
            let pending: Pending = cbor::decode(&clear, VAULT_PENDING_BYTES_MAX).map_err(|_| damaged())?;
            return Ok(pending.partition().map(str::to_owned));
        }
        let mut d = minicbor::Decoder::new(&clear);
        let openings: Vec<Opening> =
            cbor::values(&mut d, 1..=VAULT_OPENINGS_MAX, "the openings of a subject").map_err(|_| damaged())?;
        Ok(openings.first().and_then(|opening| opening.place().partition()).map(str::to_owned))
    }
}

impl Pending {
    /// The partition that its values are of; none of the public one.
    pub fn partition(&self) -> Option<&str> {
        let within = self.within.as_ref().map(|within| within.partition.as_str());
        within.or_else(|| self.openings.first().and_then(|(place, _)| place.partition()))
    }
}

fn copied(disk: &Path, folder: String, name: &[u8], partition: Option<String>) -> Result<FileCopy, VaultError> {
    let file = hex::encode(name);
    let bytes = fs::read(disk.join(&folder).join(&file))?;
    Ok(FileCopy { folder, file, bytes, partition })
}
