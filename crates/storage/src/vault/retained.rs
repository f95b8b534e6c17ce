//! How many entries of a register of the public partition, or private transactions of another, are passed over for good, as to what is kept
//! for so many days.
//!
//! Each number is the name of an empty file in the partition `‹prefix›-vault-retained`: a hash of what it is of and the days, then the number.
//! The highest counts. What is lost of it is only looked at again.

use super::{Vault, VaultError};
use commonware_runtime::{Blob as _, Error as Disk, Storage};
use tallystick_protocol::Hash;

/// What the name of its partition ends with.
pub(super) const PARTITION: &str = "-retained";

/// Bytes of the hash in a name.
const HASH_BYTES: usize = 16;

/// What is walked through, from its beginning, for what was kept as long as it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked<'a> {
    /// The entries of a register of the public partition.
    Register(&'a str),
    /// The private transactions of a partition, for what its registers keep for so many days.
    Partition(&'a str),
    /// The same, for all that its agreement keeps no longer than so many days.
    Agreed(&'a str),
}

impl<S: Storage> Vault<S> {
    /// How many of them are passed over.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn retained(&self, of: Walked<'_>, days: u32) -> Result<u64, VaultError> {
        Ok(self.retained_numbers(of, days).await?.into_iter().max().unwrap_or_default())
    }

    /// Says how many are.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn set_retained(&self, of: Walked<'_>, days: u32, passed: u64) -> Result<(), VaultError> {
        let before = self.retained_numbers(of, days).await?;
        let name = |number: u64| [hash(of, days).as_slice(), &number.to_be_bytes()].concat();
        let (blob, _) = self.storage.open(&self.retained_partition(), &name(passed)).await?;
        blob.sync().await?;
        drop(blob);
        for number in before.into_iter().filter(|number| *number != passed) {
            self.storage.remove(&self.retained_partition(), Some(&name(number))).await?;
        }
        Ok(())
    }

    async fn retained_numbers(&self, of: Walked<'_>, days: u32) -> Result<Vec<u64>, VaultError> {
        let names = match self.storage.scan(&self.retained_partition()).await {
            Ok(names) => names,
            Err(Disk::PartitionMissing(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let hash = hash(of, days);
        let number = |name: &Vec<u8>| Some(u64::from_be_bytes(name.strip_prefix(hash.as_slice())?.try_into().ok()?));
        Ok(names.iter().filter_map(number).collect())
    }

    fn retained_partition(&self) -> String {
        format!("{}{PARTITION}", self.prefix)
    }
}

fn hash(of: Walked<'_>, days: u32) -> [u8; HASH_BYTES] {
    // No name holds one of these bytes.
    let (name, mark) = match of {
        Walked::Register(name) => (name, 0),
        Walked::Partition(name) => (name, 1),
        Walked::Agreed(name) => (name, 2),
    };
    let Hash(hash) = Hash::of(&[name.as_bytes(), &[mark], &days.to_be_bytes()]);
    *hash.first_chunk().unwrap_or(&[0; HASH_BYTES])
}
