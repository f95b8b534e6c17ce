//! Copies of the vault's files for a backup: encrypted, byte for byte as they lie on the disk, so that to restore them is to put them back.
//!
//! ```text
//! ‹prefix›-vault/          which key it is under
//! ‹prefix›-vault-3fa/      of each subject the newest file that is whole
//! ‹prefix›-vault-pending/  what waits for transactions that are not final
//! ‹prefix›-vault-restored/ a mark: this was a backup
//! ```
//!
//! How far erasure has come is not among them, nor how much is passed over of what is kept for so many days: without the one every order is
//! carried out again, and without the other all is looked at again. A vault that opens with the mark forgets both, so that this is so also where
//! a backup was laid over what was there.
//!
//! INVARIANT: a copy is of one file that was whole, with all that was acknowledged before. What is destroyed after it was copied is in it still.

use super::{
    CHECK_NAME, Drawer, FOLDERS, Name, Pending, Vault, VaultError, WHOLE, WIPE_BYTES, decode, file, progress, retained,
    split,
};
use commonware_runtime::{Error as Disk, Storage};
use std::{collections::BTreeSet, fs, io, io::Write as _, path::Path};
use tallystick_protocol::{Commitment, Opening, cbor, limits::VAULT_PENDING_BYTES_MAX};
use zeroize::Zeroizing;

/// What the name of the partition ends with in which the mark of a backup lies.
pub(super) const RESTORED: &str = "-restored";

/// The name of the mark's file, and what is in it for whoever looks.
const MARK_FILE: &str = "00";
const MARK: &[u8] =
    b"from a backup: the node removes this folder once it has begun to carry out all orders of erasure again\n";

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

impl<S: Storage> Vault<S> {
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

    /// A copy of the file in which this one's values are; none when there are none. `disk` is the folder in which the storage lies.
    ///
    /// # Errors
    /// When the disk fails or the file is damaged.
    pub async fn copy(&self, name: &FileName, disk: &Path) -> Result<Option<FileCopy>, VaultError> {
        let FileName(name) = name;
        let _lock = self.lock(name).await;
        for generation in self.generations(name).await?.into_iter().rev() {
            let Some(bytes) = self.read(name, generation).await? else { continue };
            let file = file(name, generation);
            let openings = self.opened(&file, &bytes)?;
            let partition = openings.first().and_then(|opening| opening.place().partition()).map(str::to_owned);
            return copied(disk, self.folder(name), &file, partition).map(Some);
        }
        Ok(None)
    }

    /// A copy of the note of a transaction; none when it is settled.
    ///
    /// # Errors
    /// When the disk fails or the note is damaged.
    pub fn copy_note(&self, pending: &Pending, disk: &Path) -> Result<Option<FileCopy>, VaultError> {
        loop {
            let (mut amiss, names) = (Ok(None), self.notes_of(&pending.transaction));
            for name in &names {
                match copied(disk, self.pending_partition(), name, pending.partition().map(str::to_owned)) {
                    // One that is written just now is not whole: the one before it is there until it is.
                    Ok(copy) => match self.unsealed(&copy.file, &copy.bytes) {
                        Ok(_) => return Ok(Some(copy)),
                        Err(error) => amiss = Err(error),
                    },
                    Err(VaultError::Copy(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            // It may have been noted anew meanwhile, and all these been removed.
            if self.notes_of(&pending.transaction) == names {
                return amiss;
            }
        }
    }

    /// A copy of the file that says which key the vault is under.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn copy_check(&self, disk: &Path) -> Result<FileCopy, VaultError> {
        copied(disk, self.prefix.clone(), CHECK_NAME, None)
    }

    /// The mark that goes with a backup: the vault that opens with it was restored from one.
    pub fn mark_of_backup(&self) -> FileCopy {
        FileCopy { folder: self.restored(), file: MARK_FILE.to_owned(), bytes: MARK.to_vec(), partition: None }
    }

    fn restored(&self) -> String {
        format!("{}{RESTORED}", self.prefix)
    }

    /// Forgets how far erasure has come, and what is passed over, where a backup was put back; the mark last, so that a crash forgets no less.
    pub(super) async fn forget_if_restored(&self) -> Result<bool, VaultError> {
        match self.storage.scan(&self.restored()).await {
            Err(Disk::PartitionMissing(_)) => return Ok(false),
            marks => marks?,
        };
        for partition in [progress::PARTITION, retained::PARTITION].map(|of| format!("{}{of}", self.prefix)) {
            match self.storage.remove(&partition, None).await {
                Ok(()) | Err(Disk::PartitionMissing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.storage.remove(&self.restored(), None).await?;
        Ok(true)
    }

    /// Whether what lies in this folder says something of somebody: not so of the one that says which key all is under, and of the mark.
    pub fn has_values(&self, folder: &str) -> bool {
        folder != self.prefix && folder != self.restored()
    }

    /// Of which partition a copy is, which lies in a backup: none of the public one.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn partition_of(&self, folder: &str, file: &str, bytes: &[u8]) -> Result<Option<String>, VaultError> {
        if folder == self.pending_partition() {
            let pending: Pending = cbor::decode(&self.unsealed(file, bytes)?, VAULT_PENDING_BYTES_MAX)
                .map_err(|_| VaultError::Damaged(file.to_owned()))?;
            return Ok(pending.partition().map(str::to_owned));
        }
        let openings = self.openings(file, bytes)?;
        Ok(openings.first().and_then(|opening| opening.place().partition()).map(str::to_owned))
    }

    /// Whether a copy of a subject's file opens one of these values.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn opens_any(&self, file: &str, bytes: &[u8], values: &[Commitment]) -> Result<bool, VaultError> {
        Ok(self.openings(file, bytes)?.iter().any(|opening| values.contains(&opening.commitment())))
    }

    fn openings(&self, file: &str, bytes: &[u8]) -> Result<Vec<Opening>, VaultError> {
        decode(&self.unsealed(file, bytes)?).ok_or_else(|| VaultError::Damaged(file.to_owned()))
    }

    fn unsealed(&self, file: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let damaged = || VaultError::Damaged(file.to_owned());
        let name = hex::decode(file).map_err(|_| damaged())?;
        let clear = HEADER_BYTES.iter().find_map(|header| {
            let (whole, sealed) = bytes.get(*header..)?.split_first()?;
            (*whole == WHOLE).then(|| self.ciphers.open(&name, sealed))?
        });
        clear.ok_or_else(damaged)
    }
}

impl Pending {
    /// The partition that its values are of; none of the public one.
    pub fn partition(&self) -> Option<&str> {
        let within = self.within.as_ref().map(|within| within.partition.as_str());
        within.or_else(|| self.openings.first().and_then(|(place, _)| place.partition()))
    }
}

/// Overwrites a file with zeros: on the disk when this returns.
///
/// # Errors
/// When it cannot be opened or written.
pub fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    let size = file.metadata()?.len();
    let mut at = 0;
    while at < size {
        let bytes = usize::try_from(size - at).unwrap_or(WIPE_BYTES).min(WIPE_BYTES);
        file.write_all(&vec![0; bytes])?;
        at += bytes as u64;
    }
    file.sync_all()
}

fn copied(disk: &Path, folder: String, name: &[u8], partition: Option<String>) -> Result<FileCopy, VaultError> {
    let file = hex::encode(name);
    let bytes = fs::read(disk.join(&folder).join(&file))?;
    Ok(FileCopy { folder, file, bytes, partition })
}
