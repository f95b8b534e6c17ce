//! How far erasure has come in this vault: kept in the vault's own folder, so that a vault that was restored says how old it is.
//!
//! One small file, written anew under the next number with every change, and the one before it removed. Where there are several, as
//! after a crash or when an older backup was laid over the vault, the lowest says how far erasure has come: doing it again does no harm.
//!
//! So for the public partition, and so for each other one, whose orders are counted by themselves: its files' names begin with a hash of
//! its name.

use super::{Vault, VaultError, WHOLE, first_byte, is_damage};
use commonware_runtime::{Blob as _, Error as Disk, ReadOptions, Storage, WriteOptions};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::collections::BTreeMap;
use tallystick_protocol::{
    Hash, cbor,
    limits::{CONTROLLER_ERASURES_OPEN_MAX, NAME_BYTES_MAX, STATE_VALUE_BYTES_MAX},
};

/// What the name of its partition ends with.
pub(super) const PARTITION: &str = "-erasures";

/// Bytes of the hash in the name of a file that is of a partition.
const HASH_BYTES: usize = 16;

/// Bytes of the hash of what a file says, which end it: a bit that turned over on the disk must not say that more is done than is.
const SUM_BYTES: usize = 8;

/// How far erasure has come. In CBOR: `[applied, [[order, destroyed]…]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasureProgress {
    /// The first orders of the controller, in a partition of all controllers, that are carried out here, all of them: how many.
    pub applied: u64,
    /// Orders that are carried out, or about to be, and whose receipt is not final: how many values each found.
    pub owed: BTreeMap<String, u32>,
}

impl<S: Storage> Vault<S> {
    /// How far erasure has come here, of the public partition or of the one of this name: by the lowest of what whole files say, and what is
    /// owed, by the newest; that nothing was done yet when nothing whole says more, or one is damaged that might say less. With the names of those
    /// that are damaged.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn progress(&self, partition: Option<&str>) -> Result<(ErasureProgress, Vec<String>), VaultError> {
        let (mut found, mut damaged): (Option<ErasureProgress>, Vec<String>) = (None, Vec::new());
        for generation in self.progress_files(partition).await?.into_iter().rev() {
            let older = match self.progress_file(&file(partition, generation)).await {
                Ok(Some(older)) => older,
                Ok(None) => continue,
                Err(VaultError::Damaged(file)) => {
                    damaged.push(file);
                    continue;
                }
                Err(error) => return Err(error),
            };
            found = Some(match found {
                None => older,
                Some(newer) => ErasureProgress { applied: newer.applied.min(older.applied), ..newer },
            });
        }
        let found = found.unwrap_or_default();
        let found = if damaged.is_empty() { found } else { ErasureProgress { applied: 0, ..found } };
        Ok((found, damaged))
    }

    /// What the file of this name says; none when it is not whole.
    async fn progress_file(&self, name: &[u8]) -> Result<Option<ErasureProgress>, VaultError> {
        let damaged = || VaultError::Damaged(hex::encode(name));
        let (blob, size) = match self.storage.open(&self.progress_partition(), name).await {
            Err(error) if is_damage(&error) => return Err(damaged()),
            opened => opened?,
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match if size == 0 { 0 } else { first_byte(&blob).await? } {
            0 => return Ok(None),
            WHOLE if (2..=STATE_VALUE_BYTES_MAX).contains(&size) => {}
            _ => return Err(damaged()),
        }
        let bytes = blob.read_at(1, size - 1, ReadOptions::default()).await?.coalesce();
        let (said, sum) = bytes.as_ref().split_last_chunk().ok_or_else(damaged)?;
        if *sum != sum_of(said) {
            return Err(damaged());
        }
        cbor::decode(said, STATE_VALUE_BYTES_MAX).map(Some).map_err(|_| damaged())
    }

    /// Says how far it has come: on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn set_progress(&self, partition: Option<&str>, progress: &ErasureProgress) -> Result<(), VaultError> {
        let before = self.progress_files(partition).await?;
        let name = file(partition, before.last().map_or(1, |last| last.saturating_add(1)));
        let (blob, _) = self.storage.open(&self.progress_partition(), &name).await?;
        let said = cbor::encode(progress);
        let bytes = [&[0], said.as_slice(), &sum_of(&said)].concat();
        blob.write_at(0, bytes, WriteOptions::DONT_CACHE).await?;
        blob.sync().await?;
        blob.write_at(0, vec![WHOLE], WriteOptions::SYNC).await?;
        blob.sync().await?;
        drop(blob);
        for generation in before {
            self.storage.remove(&self.progress_partition(), Some(&file(partition, generation))).await?;
        }
        Ok(())
    }

    /// The numbers of its files, rising.
    pub(super) async fn progress_files(&self, partition: Option<&str>) -> Result<Vec<u64>, VaultError> {
        let names = match self.storage.scan(&self.progress_partition()).await {
            Ok(names) => names,
            Err(Disk::PartitionMissing(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let start = hash(partition);
        let number = |name: &Vec<u8>| Some(u64::from_be_bytes(name.strip_prefix(start.as_slice())?.try_into().ok()?));
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn progress_partition(&self) -> String {
        format!("{}{PARTITION}", self.prefix)
    }
}

/// The name of a file: a hash of the partition's name unless that is the public one, then its number.
fn file(partition: Option<&str>, generation: u64) -> Vec<u8> {
    [hash(partition).as_slice(), &generation.to_be_bytes()].concat()
}

fn sum_of(said: &[u8]) -> [u8; SUM_BYTES] {
    let Hash(hash) = Hash::of(&[said]);
    hash.first_chunk().copied().unwrap_or_default()
}

fn hash(partition: Option<&str>) -> Vec<u8> {
    let hash = partition.map(|name| Hash::of(&[name.as_bytes()]).0);
    hash.iter().flatten().take(HASH_BYTES).copied().collect()
}

impl<C> Encode<C> for ErasureProgress {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.u64(self.applied)?.array(self.owed.len() as u64)?;
        for (order, destroyed) in &self.owed {
            e.array(2)?.str(order)?.u32(*destroyed)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for ErasureProgress {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "the progress of erasure")?;
        let applied = d.u64()?;
        let count = cbor::list(d, 0..=CONTROLLER_ERASURES_OPEN_MAX, "the receipts that are owed")?;
        let mut owed = BTreeMap::new();
        for _ in 0..count {
            cbor::array(d, 2, "a receipt that is owed")?;
            owed.insert(cbor::text(d, 1..=NAME_BYTES_MAX, "an order's id")?.to_owned(), d.u32()?);
        }
        Ok(Self { applied, owed })
    }
}
