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
//! INVARIANT: a copy is of one file that was whole, with all that was acknowledged before. What is destroyed after it was copied is in it still.

use super::{CHECK_NAME, Drawer, FOLDERS, Name, Pending, Vault, VaultError, WHOLE, WIPE_BYTES, decode, file, split};
use commonware_runtime::Storage;
use std::{collections::BTreeSet, fs, io, io::Write as _, path::Path};
use tallystick_protocol::{Commitment, Opening, cbor, limits::VAULT_PENDING_BYTES_MAX};
use zeroize::Zeroizing;

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

    /// Whether what lies in this folder says something of somebody: not so of the one that says which key all is under.
    pub fn has_values(&self, folder: &str) -> bool {
        folder != self.prefix
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
