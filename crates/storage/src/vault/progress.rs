//! How far erasure has come in this vault: kept in the vault's own folder, so that a vault that was restored says how old it is.
//!
//! One small file, written anew under the next number with every change, and the one before it removed. Where there are several, as
//! after a crash or when an older backup was laid over the vault, the lowest says how far erasure has come: doing it again does no harm.

use super::{Vault, VaultError, WHOLE, first_byte};
use commonware_runtime::{Blob as _, Error as Disk, ReadOptions, Storage, WriteOptions};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::collections::BTreeMap;
use tallystick_protocol::{
    cbor,
    limits::{CONTROLLER_ERASURES_OPEN_MAX, NAME_BYTES_MAX, STATE_VALUE_BYTES_MAX},
};

/// What the name of its partition ends with.
pub(super) const PARTITION: &str = "-erasures";

/// How far erasure has come. In CBOR: `[applied, [[order, destroyed]…]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasureProgress {
    /// The first orders of the controller that are carried out here, all of them: how many.
    pub applied: u64,
    /// Orders that are carried out, or about to be, and whose receipt is not final: how many values each found.
    pub owed: BTreeMap<String, u32>,
}

impl<S: Storage> Vault<S> {
    /// How far erasure has come here, by the lowest of what whole files say, and what is owed, by the newest; that nothing was done yet
    /// when nothing whole says more.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn progress(&self) -> Result<ErasureProgress, VaultError> {
        let mut found: Option<ErasureProgress> = None;
        for generation in self.progress_files().await?.into_iter().rev() {
            let Some(older) = self.progress_file(generation).await? else { continue };
            found = Some(match found {
                None => older,
                Some(newer) => ErasureProgress { applied: newer.applied.min(older.applied), ..newer },
            });
        }
        Ok(found.unwrap_or_default())
    }

    /// What the file of this number says; none when it is not whole.
    async fn progress_file(&self, generation: u64) -> Result<Option<ErasureProgress>, VaultError> {
        let (blob, size) = self.storage.open(&self.progress_partition(), &generation.to_be_bytes()).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if !(2..=STATE_VALUE_BYTES_MAX).contains(&size) || first_byte(&blob).await? != WHOLE {
            return Ok(None);
        }
        let bytes = blob.read_at(1, size - 1, ReadOptions::default()).await?.coalesce();
        Ok(cbor::decode(bytes.as_ref(), STATE_VALUE_BYTES_MAX).ok())
    }

    /// Says how far it has come: on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn set_progress(&self, progress: &ErasureProgress) -> Result<(), VaultError> {
        let before = self.progress_files().await?;
        let name = before.last().map_or(1, |last| last.saturating_add(1)).to_be_bytes();
        let (blob, _) = self.storage.open(&self.progress_partition(), &name).await?;
        let mut bytes = vec![0];
        bytes.extend_from_slice(&cbor::encode(progress));
        blob.write_at(0, bytes, WriteOptions::DONT_CACHE).await?;
        blob.sync().await?;
        blob.write_at(0, vec![WHOLE], WriteOptions::SYNC).await?;
        blob.sync().await?;
        drop(blob);
        for generation in before {
            self.storage.remove(&self.progress_partition(), Some(&generation.to_be_bytes())).await?;
        }
        Ok(())
    }

    /// The numbers of its files, rising.
    pub(super) async fn progress_files(&self) -> Result<Vec<u64>, VaultError> {
        let names = match self.storage.scan(&self.progress_partition()).await {
            Ok(names) => names,
            Err(Disk::PartitionMissing(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|name| name.as_slice().try_into().ok().map(u64::from_be_bytes)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn progress_partition(&self) -> String {
        format!("{}{PARTITION}", self.prefix)
    }
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
