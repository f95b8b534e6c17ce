//! What the vault keeps of transactions that are not final yet, so that what came with one that is refused goes again, also when the
//! node was off meanwhile.
//!
//! One file for each such transaction, in the partition `‹prefix›-vault-pending`, encrypted as a subject's is. It names commitments, not
//! what opens them.

use super::{SubjectKey, Vault, VaultError, first_byte, is_damage};
use crate::vault::WHOLE;
use commonware_runtime::{Blob as _, Error as Disk, ReadOptions, Storage, WriteOptions};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use rand_core::CryptoRng;
use tallystick_protocol::{
    Commitment, Hash, PLACE_PARTS, Place, cbor,
    limits::{NAME_BYTES_MAX, SEALED_PER_TRANSACTION_MAX, VAULT_PENDING_BYTES_MAX},
};
use zeroize::Zeroizing;

/// What the name of its partition ends with.
pub(super) const PARTITION: &str = "-pending";

/// A transaction that is not final, and the openings that are in the vault because of it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its id.
    pub transaction: Hash,
    /// The time from which it cannot be ordered any more, in Unix seconds.
    pub not_after: u64,
    /// Of a private one, where what becomes of it is found.
    pub within: Option<PendingIn>,
    /// Where each opening stands, and its commitment.
    pub openings: Vec<(Place, Commitment)>,
}

/// A private transaction that is not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingIn {
    /// Its partition.
    pub partition: String,
    /// Under which the partition's state says what became of its intent.
    pub replay_tag: [u8; 16],
    /// The organisation whose node handed it on.
    pub sender: String,
    /// Bytes of the openings that came with it.
    pub bytes: u64,
}

impl<S: Storage> Vault<S> {
    /// Notes it, before its openings are kept: it is on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn note(&self, pending: &Pending, rng: &mut impl CryptoRng) -> Result<(), VaultError> {
        let name = pending.transaction.0;
        let clear = Zeroizing::new(cbor::encode(pending));
        let mut bytes = vec![0];
        bytes.extend_from_slice(&self.ciphers.seal(&name, &SubjectKey::generate(rng), clear, rng));
        let partition = self.pending_partition();
        let (blob, size) = match self.storage.open(&partition, &name).await {
            Err(error) if is_damage(&error) => {
                self.storage.remove(&partition, Some(&name)).await?;
                self.storage.open(&partition, &name).await?
            }
            opened => opened?,
        };
        if size > 0 {
            // What a crash left, or the same handed in twice.
            blob.resize(0).await?;
        }
        blob.write_at(0, bytes, WriteOptions::DONT_CACHE).await?;
        blob.sync().await?;
        blob.write_at(0, vec![WHOLE], WriteOptions::SYNC).await?;
        Ok(blob.sync().await?)
    }

    /// All that is noted, and the names of the notes that are damaged. What a crash left half written is removed: nothing was kept for it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn pending(&self) -> Result<(Vec<Pending>, Vec<String>), VaultError> {
        let partition = self.pending_partition();
        let names = match self.storage.scan(&partition).await {
            Ok(names) => names,
            Err(Disk::PartitionMissing(_)) => return Ok((Vec::new(), Vec::new())),
            Err(error) => return Err(error.into()),
        };
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for name in names {
            match self.noted(&partition, &name).await {
                Ok(Some(pending)) => found.push(pending),
                Ok(None) => self.storage.remove(&partition, Some(&name)).await?,
                Err(VaultError::Damaged(file)) => damaged.push(file),
                Err(error) => return Err(error),
            }
        }
        Ok((found, damaged))
    }

    /// One note; none when it is not whole.
    async fn noted(&self, partition: &str, name: &[u8]) -> Result<Option<Pending>, VaultError> {
        let damaged = || VaultError::Damaged(hex::encode(name));
        let (blob, size) = match self.storage.open(partition, name).await {
            Err(error) if is_damage(&error) => return Err(damaged()),
            opened => opened?,
        };
        match if size == 0 { 0 } else { first_byte(&blob).await? } {
            0 => return Ok(None),
            WHOLE => {}
            _ => return Err(damaged()),
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= VAULT_PENDING_BYTES_MAX);
        let bytes = blob.read_at(0, size.ok_or_else(damaged)?, ReadOptions::default()).await?.coalesce();
        let (_, sealed) = bytes.as_ref().split_first().ok_or_else(damaged)?;
        let clear = self.ciphers.open(name, sealed).ok_or_else(damaged)?;
        cbor::decode(&clear, VAULT_PENDING_BYTES_MAX).map(Some).map_err(|_| damaged())
    }

    /// Forgets a transaction that is settled.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn forget(&self, transaction: &Hash) -> Result<(), VaultError> {
        match self.storage.remove(&self.pending_partition(), Some(&transaction.0)).await {
            Ok(()) | Err(Disk::BlobMissing(..) | Disk::PartitionMissing(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn pending_partition(&self) -> String {
        format!("{}{PARTITION}", self.prefix)
    }
}

impl<C> Encode<C> for Pending {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.encode(self.transaction)?.u64(self.not_after)?;
        match &self.within {
            Some(PendingIn { partition, replay_tag, sender, bytes }) => {
                e.array(4)?.str(partition)?.bytes(replay_tag)?.str(sender)?.u64(*bytes)?.ok()?;
            }
            None => e.null()?.ok()?,
        }
        e.array(self.openings.len() as u64)?;
        for (place, commitment) in &self.openings {
            place.write(e.array(PLACE_PARTS + 1)?)?;
            e.bytes(commitment.as_bytes())?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Pending {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a pending transaction")?;
        let (transaction, not_after) = (d.decode()?, d.u64()?);
        let within = cbor::optional(d, |d| {
            cbor::array(d, 4, "where a pending transaction is")?;
            let partition = cbor::text(d, 1..=NAME_BYTES_MAX, "a partition's name")?.to_owned();
            let replay_tag = cbor::fixed(d, "a replay tag")?;
            let sender = cbor::text(d, 1..=NAME_BYTES_MAX, "an organisation's id")?.to_owned();
            Ok(PendingIn { partition, replay_tag, sender, bytes: d.u64()? })
        })?;
        let count = cbor::list(d, 0..=SEALED_PER_TRANSACTION_MAX, "the openings of a pending transaction")?;
        let openings = (0..count).map(|_| opening(d)).collect::<Result<_, _>>()?;
        Ok(Self { transaction, not_after, within, openings })
    }
}

fn opening(d: &mut Decoder<'_>) -> Result<(Place, Commitment), decode::Error> {
    cbor::array(d, PLACE_PARTS + 1, "a pending opening")?;
    let place = Place::read(d)?;
    let at = d.position();
    let commitment = Commitment::from_bytes(cbor::fixed(d, "a commitment")?);
    Ok((place, commitment.map_err(|error| decode::Error::message(error).at(at))?))
}
