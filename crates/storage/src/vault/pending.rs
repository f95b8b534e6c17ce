//! What the vault keeps of transactions that are not final yet, so that what came with one that is refused goes again, also when the
//! node was off meanwhile.
//!
//! One file for each such transaction, in the partition `‹prefix›-vault-pending`, encrypted as a subject's is. It names commitments, not
//! what opens them. Its name is the transaction's id; where it was noted anew, followed by a number, each time a higher one.
//!
//! INVARIANT: of a transaction that is noted and not forgotten there is a whole note on the disk at every moment: the next is there before the
//! one before it is removed, and of several the newest that is whole counts.

use super::{SubjectKey, Vault, VaultError, first_byte, is_damage};
use crate::vault::WHOLE;
use commonware_runtime::{Blob as _, Error as Disk, ReadOptions, Storage, WriteOptions};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use rand_core::CryptoRng;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
};
use tallystick_protocol::{
    Commitment, Hash, PLACE_PARTS, Place, cbor,
    limits::{NAME_BYTES_MAX, SEALED_PER_TRANSACTION_MAX, VAULT_PENDING_BYTES_MAX},
};
use zeroize::Zeroizing;

/// What the name of its partition ends with.
pub(super) const PARTITION: &str = "-pending";

/// The numbers of the notes that there are of each transaction, of which some may not be whole.
pub(super) type Notes = BTreeMap<Hash, BTreeSet<u64>>;

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
        // Taken before anything is written: whoever is broken off leaves a note that is known, and goes with the next.
        let number = {
            let mut notes = self.notes();
            let numbers = notes.entry(pending.transaction).or_default();
            let number = numbers.last().map_or(0, |last| last.saturating_add(1));
            numbers.insert(number);
            number
        };
        let name = file(&pending.transaction, number);
        let clear = Zeroizing::new(cbor::encode(pending));
        let mut bytes = vec![0];
        bytes.extend_from_slice(&self.ciphers.seal(&name, &SubjectKey::generate(rng), clear, rng));
        let (blob, _) = self.storage.open(&self.pending_partition(), &name).await?;
        blob.write_at(0, bytes, WriteOptions::DONT_CACHE).await?;
        blob.sync().await?;
        blob.write_at(0, vec![WHOLE], WriteOptions::SYNC).await?;
        blob.sync().await?;
        drop(blob);
        self.remove_notes(&pending.transaction, number).await
    }

    /// All that is noted, and the names of the notes that are damaged. What a crash left half written is removed: nothing was kept for it, or
    /// what was is in the note before it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn pending(&self) -> Result<(Vec<Pending>, Vec<String>), VaultError> {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        let notes = self.notes().clone();
        for (transaction, numbers) in notes {
            let mut counts = None;
            for number in numbers.into_iter().rev() {
                match self.noted(&file(&transaction, number)).await {
                    Ok(Some(pending)) => {
                        found.push(pending);
                        counts = Some(number);
                        break;
                    }
                    Ok(None) => self.remove_note(&transaction, number).await?,
                    // The one before it may name what is another's by now.
                    Err(VaultError::Damaged(file)) => {
                        damaged.push(file);
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if let Some(number) = counts {
                self.remove_notes(&transaction, number).await?;
            }
        }
        Ok((found, damaged))
    }

    /// One note; none when it is not whole.
    async fn noted(&self, name: &[u8]) -> Result<Option<Pending>, VaultError> {
        let damaged = || VaultError::Damaged(hex::encode(name));
        let (blob, size) = match self.storage.open(&self.pending_partition(), name).await {
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
        self.remove_notes(transaction, u64::MAX).await
    }

    /// Removes the notes of a transaction that have a lower number, the oldest first: one that was replaced is never brought back.
    async fn remove_notes(&self, transaction: &Hash, number: u64) -> Result<(), VaultError> {
        let before: Vec<u64> =
            self.notes().get(transaction).into_iter().flat_map(|numbers| numbers.range(..number).copied()).collect();
        for number in before {
            self.remove_note(transaction, number).await?;
        }
        Ok(())
    }

    async fn remove_note(&self, transaction: &Hash, number: u64) -> Result<(), VaultError> {
        match self.storage.remove(&self.pending_partition(), Some(&file(transaction, number))).await {
            Ok(()) | Err(Disk::BlobMissing(..) | Disk::PartitionMissing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut notes = self.notes();
        if let Some(numbers) = notes.get_mut(transaction) {
            numbers.remove(&number);
            if numbers.is_empty() {
                notes.remove(transaction);
            }
        }
        Ok(())
    }

    /// Looks which notes there are.
    pub(super) async fn find_notes(&self) -> Result<(), VaultError> {
        let names = match self.storage.scan(&self.pending_partition()).await {
            Ok(names) => names,
            Err(Disk::PartitionMissing(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut notes = self.notes();
        for (transaction, number) in names.iter().filter_map(|name| split(name)) {
            notes.entry(transaction).or_default().insert(number);
        }
        Ok(())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of the notes that there are of a transaction, the newest first.
    pub(super) fn notes_of(&self, transaction: &Hash) -> Vec<Vec<u8>> {
        let notes = self.notes();
        let numbers = notes.get(transaction).into_iter().flat_map(|numbers| numbers.iter().rev());
        numbers.map(|number| file(transaction, *number)).collect()
    }

    pub(super) fn pending_partition(&self) -> String {
        format!("{}{PARTITION}", self.prefix)
    }
}

/// The name of a note: the first of a transaction has no number.
fn file(Hash(transaction): &Hash, number: u64) -> Vec<u8> {
    if number == 0 { transaction.to_vec() } else { [transaction.as_slice(), &number.to_be_bytes()].concat() }
}

fn split(name: &[u8]) -> Option<(Hash, u64)> {
    let (transaction, number) = name.split_first_chunk()?;
    let number = if number.is_empty() { 0 } else { u64::from_be_bytes(number.try_into().ok()?) };
    Some((Hash(*transaction), number))
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
