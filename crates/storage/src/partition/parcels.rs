//! What was handed to this node of a partition: parcels, as they came, encrypted to this node.
//!
//! ```text
//! byte 0        1 once all the rest is on the disk, 2 once one of them is ordered
//!      1..5     how many
//!      5..      so many × ( commitment, 32 bytes ‖ class, 1 byte )
//!      …        the parcels, one after another, each as long as its class says
//!      …        who sent them, if they waited to be ordered: an organisation
//! ```
//!
//! A file's name is a hash of the parcels that were put together, and a number, each time a higher one. Of a parcel that lies in several
//! the one with the highest counts, and a file none of whose parcels counts is removed.
//!
//! INVARIANTS: what [`ParcelStore::put`] acknowledged is there after a crash; nothing is on the disk in the clear; what waits to be
//! ordered is bounded, in bytes, in those of each member, and in time. What is ordered waits for nothing, and nothing stands in its way.
//!
//! A file that the runtime does not open, for the disk has damaged what it writes before a file's own bytes, is as good as none: it is
//! removed, and what was in it is fetched from another member's node. A program of another version of the runtime does not come here: it
//! stops at the partition's state.

use crate::vault::is_damage;
use bytes::Bytes;
use commonware_runtime::{Blob as _, Error as Disk, ReadOptions, Storage, WriteOptions};
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{
    Hash, OrderedParcel, ParcelId,
    limits::{
        NAME_BYTES_MAX, PARCEL_CLASS_MAX, PARCEL_CLASS_MIN, PARCEL_WAIT_MS_MAX, PARCELS_PER_ORDER_MAX,
        PARCELS_WAITING_BYTES_MAX,
    },
    parcel::parcel_bytes,
};

/// The first byte of a file that is whole, and waits.
const WHOLE: u8 = 1;
/// The first byte of one that is kept for good.
const ORDERED: u8 = 2;
/// Bytes before the list of parcels.
const HEAD_BYTES: usize = 5;
/// Bytes of one line of that list.
const LINE_BYTES: usize = 33;

/// Why parcels were not stored or found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk.
    #[error("the store of parcels cannot be read or written: {0}")]
    Disk(#[from] Disk),
    /// Too much waits to be ordered.
    #[error(
        "more parcels wait to be ordered than this member's share of {PARCELS_WAITING_BYTES_MAX} bytes: try again shortly"
    )]
    Full,
    /// They are no parcels.
    #[error("not 1 to {PARCELS_PER_ORDER_MAX} parcels of the lengths that their classes say")]
    Form,
}

/// Why parcels are kept.
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    /// The log orders them. What is here of them in another form, which cannot be read any more, they replace.
    Ordered,
    /// They wait to be ordered, and an organisation, one of so many members, sent them: each has an equal share of the room.
    Waiting {
        /// The ledger's time, in Unix milliseconds.
        since_ms: u64,
        /// It.
        sender: &'a str,
        /// So many.
        members: usize,
    },
}

/// Parcels that wait to be ordered.
#[derive(Clone, Debug)]
struct Waiting {
    since_ms: u64,
    bytes: usize,
    sender: String,
}

/// What a file says of itself.
struct Listed {
    lines: Vec<OrderedParcel>,
    bytes: usize,
    /// Who sent them; none of those that are ordered.
    waits_for: Option<String>,
}

/// A file, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    /// Higher than that of each one before; 0 where versions of before gave none.
    number: u64,
    /// Of the ids of its parcels.
    hash: Hash,
}

impl File {
    fn name(&self) -> Vec<u8> {
        let Self { number, hash } = self;
        if *number == 0 { hash.0.to_vec() } else { [hash.0.as_slice(), &number.to_be_bytes()].concat() }
    }

    fn named(name: &[u8]) -> Option<Self> {
        let (hash, number) = name.split_first_chunk()?;
        let number = if number.is_empty() { 0 } else { u64::from_be_bytes(number.try_into().ok()?) };
        Some(Self { number, hash: Hash(*hash) })
    }
}

/// Where a parcel lies.
#[derive(Clone, Debug)]
struct Place {
    file: File,
    class: u8,
    at: u64,
}

/// The parcels of one partition.
pub struct ParcelStore<S: Storage> {
    storage: S,
    folder: String,
    places: BTreeMap<ParcelId, Place>,
    /// Files of which nothing was ordered yet.
    waiting: BTreeMap<File, Waiting>,
    /// The highest number that a file has had.
    last: u64,
    /// Files that were damaged, and so removed, when it was opened.
    damaged: usize,
}

impl<S: Storage> ParcelStore<S> {
    /// Opens the store of a partition, or makes it. What a crash left unfinished is removed: nobody was told that it is there; and so is what
    /// is damaged. What waited to be ordered waits from now on, a time of the ledger.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn open(storage: S, prefix: &str, partition: &str, now_ms: u64) -> Result<Self, StoreError> {
        let folder = format!("{prefix}-parcels-{partition}");
        let names = match storage.scan(&folder).await {
            Ok(names) => names,
            Err(Disk::PartitionMissing(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let (places, waiting) = (BTreeMap::new(), BTreeMap::new());
        let mut store = Self { storage, folder, places, waiting, last: 0, damaged: 0 };
        let mut files = BTreeSet::new();
        for name in names {
            match File::named(&name) {
                Some(file) => drop(files.insert(file)),
                None => store.storage.remove(&store.folder, Some(&name)).await?,
            }
        }
        store.last = files.last().map_or(0, |file| file.number);
        for file in &files {
            let listed = match store.listed(file).await {
                Err(StoreError::Disk(error)) if is_damage(&error) => {
                    store.damaged += 1;
                    continue;
                }
                listed => listed?,
            };
            let Some(Listed { lines, bytes, waits_for }) = listed else { continue };
            store.note(*file, &lines);
            if let Some(sender) = waits_for {
                store.waiting.insert(*file, Waiting { since_ms: now_ms, bytes, sender });
            }
        }
        let counting: BTreeSet<File> = store.places.values().map(|place| place.file).collect();
        for file in files.difference(&counting) {
            store.remove(file).await?;
        }
        Ok(store)
    }

    /// How many files were damaged, and so removed, when it was opened.
    pub const fn damaged(&self) -> usize {
        self.damaged
    }

    /// Whether a parcel is here.
    pub fn has(&self, id: &ParcelId) -> bool {
        self.places.contains_key(id)
    }

    /// Whether a parcel is here for good: nothing lets it go any more.
    pub fn is_ordered(&self, id: &ParcelId) -> bool {
        self.places.get(id).is_some_and(|place| !self.waiting.contains_key(&place.file))
    }

    /// Keeps parcels: they are on the disk when this returns. Of those that wait, the ones that are here already stay as they are.
    ///
    /// # Errors
    /// When they are no parcels, too much waits, or the disk fails.
    pub async fn put(&mut self, parcels: &[(OrderedParcel, Bytes)], kept: Kept<'_>) -> Result<(), StoreError> {
        let is_one = |(ordered, bytes): &(OrderedParcel, Bytes)| {
            (PARCEL_CLASS_MIN..=PARCEL_CLASS_MAX).contains(&ordered.class) && bytes.len() == parcel_bytes(ordered.class)
        };
        if !(1..=PARCELS_PER_ORDER_MAX).contains(&parcels.len()) || !parcels.iter().all(is_one) {
            return Err(StoreError::Form);
        }
        let stays = |id: &ParcelId| matches!(kept, Kept::Waiting { .. }) && self.has(id);
        let mut seen = BTreeSet::new();
        let new: Vec<_> =
            parcels.iter().filter(|(ordered, _)| !stays(&ordered.id) && seen.insert(ordered.id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let lines: Vec<OrderedParcel> = new.iter().map(|(ordered, _)| *ordered).collect();
        let mut content = vec![0];
        content.extend_from_slice(&u32::try_from(lines.len()).unwrap_or(u32::MAX).to_be_bytes());
        for ordered in &lines {
            content.extend_from_slice(&ordered.id.0);
            content.push(ordered.class);
        }
        new.iter().for_each(|(_, bytes)| content.extend_from_slice(bytes));
        let state = match kept {
            Kept::Ordered => ORDERED,
            Kept::Waiting { sender, members, .. } => {
                content.extend_from_slice(sender.as_bytes());
                self.require_room(content.len(), sender, members)?;
                WHOLE
            }
        };
        let bytes = content.len();
        let ids: Vec<&[u8]> = lines.iter().map(|ordered| ordered.id.0.as_slice()).collect();
        self.last = self.last.saturating_add(1);
        let file = File { number: self.last, hash: Hash::of(&ids) };
        if let Err(error) = self.write(&file, state, content).await {
            // Nobody was told that it is there, and it would count nowhere; if it stays, it goes at the next start.
            drop(self.storage.remove(&self.folder, Some(&file.name())).await);
            return Err(error);
        }
        let replaced = lines.iter().filter_map(|ordered| self.places.get(&ordered.id)).map(|place| place.file);
        let replaced: BTreeSet<File> = replaced.collect();
        self.note(file, &lines);
        if let Kept::Waiting { since_ms, sender, .. } = kept {
            self.waiting.insert(file, Waiting { since_ms, bytes, sender: sender.to_owned() });
        }
        for file in replaced {
            let counts = self.places.values().any(|place| place.file == file);
            // If it stays, it goes at the next start.
            if !counts && self.remove(&file).await.is_err() {
                self.waiting.remove(&file);
            }
        }
        Ok(())
    }

    /// Whether so much more of one sender may wait: no member takes the room of another.
    fn require_room(&self, bytes: usize, sender: &str, members: usize) -> Result<(), StoreError> {
        let all: usize = self.waiting.values().map(|one| one.bytes).sum();
        let own: usize = self.waiting.values().filter(|one| one.sender == sender).map(|one| one.bytes).sum();
        let share = PARCELS_WAITING_BYTES_MAX / members.max(1);
        if own + bytes > share || all + bytes > PARCELS_WAITING_BYTES_MAX { Err(StoreError::Full) } else { Ok(()) }
    }

    async fn write(&self, file: &File, state: u8, content: Vec<u8>) -> Result<(), StoreError> {
        let (blob, _) = self.storage.open(&self.folder, &file.name()).await?;
        blob.write_at(0, content, WriteOptions::DONT_CACHE).await?;
        blob.sync().await?;
        blob.write_at(0, vec![state], WriteOptions::SYNC).await?;
        blob.sync().await?;
        Ok(())
    }

    /// A parcel.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn get(&self, id: &ParcelId) -> Result<Option<(OrderedParcel, Bytes)>, StoreError> {
        let Some(Place { file, class, at }) = self.places.get(id).cloned() else { return Ok(None) };
        let (blob, _) = self.storage.open(&self.folder, &file.name()).await?;
        let bytes = blob.read_at(at, parcel_bytes(class), ReadOptions::DONT_CACHE).await?.coalesce();
        Ok(Some((OrderedParcel { id: *id, class }, Bytes::copy_from_slice(bytes.as_ref()))))
    }

    /// Parcels were ordered: those that are here are kept, also after a restart. What is found to be damaged is not here any more.
    ///
    /// # Errors
    /// When the disk fails: those that [`ParcelStore::is_ordered`] says are kept all the same, and of the others it must be said again.
    pub async fn ordered(&mut self, ids: impl IntoIterator<Item = ParcelId>) -> Result<(), StoreError> {
        let files = ids.into_iter().filter_map(|id| self.places.get(&id)).map(|place| place.file);
        let files: BTreeSet<File> = files.collect();
        let mut marked = Ok(());
        for file in files.into_iter().filter(|file| self.waiting.contains_key(file)).collect::<Vec<_>>() {
            match self.mark(&file).await {
                Ok(()) => drop(self.waiting.remove(&file)),
                Err(error) => marked = Err(error),
            }
        }
        marked
    }

    /// Has a file kept for good, or removes it, if it is damaged.
    async fn mark(&mut self, file: &File) -> Result<(), StoreError> {
        let blob = match self.storage.open(&self.folder, &file.name()).await {
            Err(error) if is_damage(&error) => return self.remove(file).await,
            opened => opened?.0,
        };
        blob.write_at(0, vec![ORDERED], WriteOptions::SYNC).await?;
        Ok(blob.sync().await?)
    }

    /// Removes what nobody ordered in time, given that all that was ordered up to `reached_ms` of the ledger's time is executed, and so
    /// was told to [`ParcelStore::ordered`]: an intent in it has lapsed, and no later block orders it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn expire(&mut self, reached_ms: u64) -> Result<(), StoreError> {
        let is_over = |since: u64| reached_ms.saturating_sub(since) > PARCEL_WAIT_MS_MAX;
        let over: Vec<File> =
            self.waiting.iter().filter(|(_, one)| is_over(one.since_ms)).map(|(file, _)| *file).collect();
        let mut removed = Ok(());
        for file in over {
            if let Err(error) = self.remove(&file).await {
                removed = Err(error);
            }
        }
        removed
    }

    async fn remove(&mut self, file: &File) -> Result<(), StoreError> {
        match self.storage.remove(&self.folder, Some(&file.name())).await {
            // It went before, and the disk failed only then.
            Ok(()) | Err(Disk::BlobMissing(..) | Disk::PartitionMissing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.waiting.remove(file);
        self.places.retain(|_, place| place.file != *file);
        Ok(())
    }

    fn note(&mut self, file: File, lines: &[OrderedParcel]) {
        let mut at = (HEAD_BYTES + LINE_BYTES * lines.len()) as u64;
        for ordered in lines {
            self.places.insert(ordered.id, Place { file, class: ordered.class, at });
            at += parcel_bytes(ordered.class) as u64;
        }
    }

    /// What a file says of itself; none when it is not whole.
    async fn listed(&self, file: &File) -> Result<Option<Listed>, StoreError> {
        let (blob, size) = self.storage.open(&self.folder, &file.name()).await?;
        if size < HEAD_BYTES as u64 {
            return Ok(None);
        }
        let head = blob.read_at(0, HEAD_BYTES, ReadOptions::default()).await?.coalesce();
        let Some((&state @ (WHOLE | ORDERED), count)) = head.as_ref().split_first() else { return Ok(None) };
        let count = count.try_into().ok().map(u32::from_be_bytes).and_then(|count| usize::try_from(count).ok());
        let Some(count) = count.filter(|count| (1..=PARCELS_PER_ORDER_MAX).contains(count)) else { return Ok(None) };
        if size < (HEAD_BYTES + LINE_BYTES * count) as u64 {
            return Ok(None);
        }
        let list = blob.read_at(HEAD_BYTES as u64, LINE_BYTES * count, ReadOptions::default()).await?.coalesce();
        let line = |line: &[u8]| {
            let (id, class) = line.split_first_chunk::<32>()?;
            let class = *class.first().filter(|class| (PARCEL_CLASS_MIN..=PARCEL_CLASS_MAX).contains(class))?;
            Some(OrderedParcel { id: ParcelId(*id), class })
        };
        let lines: Option<Vec<_>> = list.as_ref().chunks(LINE_BYTES).map(line).collect();
        let Some(lines) = lines else { return Ok(None) };
        let end = HEAD_BYTES + LINE_BYTES * count + lines.iter().map(|one| parcel_bytes(one.class)).sum::<usize>();
        let named = usize::try_from(size).ok().and_then(|size| size.checked_sub(end));
        let Some(named) = named.filter(|named| *named <= NAME_BYTES_MAX) else { return Ok(None) };
        let waits_for = if state == WHOLE {
            let sender = blob.read_at(end as u64, named, ReadOptions::default()).await?.coalesce();
            Some(String::from_utf8_lossy(sender.as_ref()).into_owned())
        } else {
            None
        };
        Ok(Some(Listed { lines, bytes: end + named, waits_for }))
    }
}
