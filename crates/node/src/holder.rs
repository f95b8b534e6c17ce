//! What this node holds of what only some may see: the one place at which openings are kept, given and destroyed.
//!
//! A node holds as a principal of its organisation, with three things that lie beside its own key: that principal's key, by which it
//! signs what it does; a secret, from which come the key of its vault and the one to which others encrypt what it is to hold; and the
//! vault. Without them it holds nothing, and is a node like any other.
//!
//! INVARIANTS:
//! - What [`Holder::keep`] acknowledged is there after a crash; what [`Holder::remove`] and [`Holder::destroy`] acknowledged is not.
//! - What came with a transaction that was refused, or never ordered, goes again, also when the node was off meanwhile.
//! - Nothing here says a value: not an error, not a line of the log.

use crate::{
    backup::Backups,
    engine::Runtime,
    erasing::{Following, Times},
    watch,
};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tallystick_client::SealingSecret;
use tallystick_protocol::{
    BlockHeader, Commitment, Hash, Opening, Place, PrincipalId, SigningKey, limits::VAULT_PENDING_MAX,
};
use tallystick_storage::vault::{Drawer, ErasureProgress, Pending, Vault, VaultError, VaultKey, Walked};
use tokio::sync::Mutex as AsyncMutex;

/// As whom a node holds, and with what.
pub struct HolderKeys {
    /// Its principal.
    pub principal: PrincipalId,
    /// The principal's key.
    pub key: SigningKey,
    /// What its vault is under, and what others encrypt to.
    pub sealing: SealingSecret,
}

impl HolderKeys {
    fn vault(&self) -> VaultKey {
        VaultKey::from_bytes(self.sealing.vault_key())
    }
}

/// How much may wait to be settled of those who handed in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Transactions.
    pub transactions: usize,
    /// Bytes of openings that came with private ones.
    pub bytes: u64,
}

impl Share {
    /// All that may wait.
    pub const WHOLE: Self = Self { transactions: VAULT_PENDING_MAX, bytes: u64::MAX };
}

/// Transactions that are not final, with what was kept because of each, and which of them brought a value, or will.
#[derive(Debug, Default)]
struct Noted {
    all: BTreeMap<Hash, Pending>,
    bringing: BTreeMap<(Place, Commitment), BTreeSet<Hash>>,
}

impl Noted {
    /// Notes a transaction, in place of what was noted of it.
    fn insert(&mut self, pending: Pending) {
        self.remove(&pending.transaction);
        for value in &pending.openings {
            self.bringing.entry(value.clone()).or_default().insert(pending.transaction);
        }
        self.all.insert(pending.transaction, pending);
    }

    fn remove(&mut self, transaction: &Hash) {
        let removed = self.all.remove(transaction);
        for value in removed.into_iter().flat_map(|pending| pending.openings) {
            if let Some(bringing) = self.bringing.get_mut(&value) {
                bringing.remove(transaction);
                if bringing.is_empty() {
                    self.bringing.remove(&value);
                }
            }
        }
    }

    /// The other transactions that brought a value, or will.
    fn others<'n>(
        &'n self,
        transaction: &'n Hash,
        value: &(Place, Commitment),
    ) -> impl Iterator<Item = &'n Hash> + use<'n> {
        self.bringing.get(value).into_iter().flatten().filter(move |other| *other != transaction)
    }

    /// Those of these values that other transactions brought too, or will.
    fn wanted_besides(&self, transaction: &Hash, values: &[(Place, Commitment)]) -> BTreeSet<(Place, Commitment)> {
        let is_wanted = |value: &&(Place, Commitment)| self.others(transaction, value).next().is_some();
        values.iter().filter(is_wanted).cloned().collect()
    }
}

/// A node as a holder.
pub struct Holder<E: Runtime> {
    keys: HolderKeys,
    vault: Vault<E>,
    /// The system's randomness.
    randomness: Mutex<E>,
    pending: Mutex<Noted>,
    /// The height up to which every order of erasure is carried out; none before the first look.
    erased_to: watch::Sender<Option<u64>>,
    /// The same, without any that is so new that a hold may follow.
    settled_to: watch::Sender<Option<u64>>,
    /// Held while a transaction is noted.
    noting: AsyncMutex<()>,
    /// Reads that are being answered.
    reads: Mutex<BTreeSet<Hash>>,
    /// Whether this node follows the ledger.
    following: Mutex<Following>,
    /// Where it is backed up.
    backups: Option<Backups>,
    /// Orders of erasure that the vault could not carry out, each with its partition; none is the public one.
    failing: Mutex<BTreeSet<(Option<String>, String)>>,
}

async fn reach(reached: &watch::Sender<Option<u64>>, height: u64) {
    // The sender lives as long as the holder.
    let _ = reached.subscribe().wait_for(|reached| reached.is_some_and(|reached| reached >= height)).await;
}

/// A read that one request answers, for as long as this lives.
pub struct Claim<'h> {
    reads: &'h Mutex<BTreeSet<Hash>>,
    read: Hash,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.read);
    }
}

impl<E: Runtime> Holder<E> {
    /// Opens the vault, or makes it; names of everything in it begin with `prefix`.
    ///
    /// # Errors
    /// When the disk fails, or the vault was made with another secret.
    pub async fn open(runtime: E, prefix: &str, keys: HolderKeys) -> Result<Self, VaultError> {
        let vault = Vault::open(runtime.child("vault"), prefix, &keys.vault()).await?;
        Self::of(runtime, vault, keys).await
    }

    /// The same, of a storage that lies in this folder: see [`Vault::open_on_disk`].
    ///
    /// # Errors
    /// As [`Holder::open`].
    pub async fn open_on_disk(
        runtime: E,
        (prefix, folder): (&str, PathBuf),
        keys: HolderKeys,
    ) -> Result<Self, VaultError> {
        let vault = Vault::open_on_disk(runtime.child("vault"), (prefix, folder), &keys.vault()).await?;
        Self::of(runtime, vault, keys).await
    }

    async fn of(runtime: E, vault: Vault<E>, keys: HolderKeys) -> Result<Self, VaultError> {
        if vault.is_restored() {
            tracing::info!("the vault was restored from a backup: every order of erasure is carried out again");
        }
        let (pending, damaged) = vault.pending().await?;
        for file in damaged {
            tracing::error!(
                transaction = file.get(..64).unwrap_or(&file),
                "the vault's note of this transaction is damaged: what it left in the vault stays there, also if it is refused or never \
                 final: have that erased then. Once that is done, or it is accepted, remove what has its id in the name from the folder \
                 `…-vault-pending`"
            );
        }
        let mut noted = Noted::default();
        pending.into_iter().for_each(|pending| noted.insert(pending));
        tracing::info!(holder = %keys.principal, sealing = hex::encode(keys.sealing.public()), "this node holds");
        let (erased_to, settled_to) = (watch::Sender::new(None), watch::Sender::new(None));
        Ok(Self {
            keys,
            vault,
            randomness: Mutex::new(runtime),
            pending: Mutex::new(noted),
            noting: AsyncMutex::new(()),
            reads: Mutex::default(),
            following: Mutex::default(),
            erased_to,
            settled_to,
            backups: None,
            failing: Mutex::default(),
        })
    }

    /// The same with backups.
    #[must_use]
    pub fn with_backups(self, backups: Option<Backups>) -> Self {
        Self { backups, ..self }
    }

    /// Its backups, if any are made.
    pub const fn backups(&self) -> Option<&Backups> {
        self.backups.as_ref()
    }

    /// Notes whether the vault fails to carry out an order of erasure.
    pub(crate) fn note_failing(&self, partition: Option<&str>, order: &str, is_failing: bool) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let order = (partition.map(str::to_owned), order.to_owned());
        if is_failing {
            failing.insert(order);
        } else {
            failing.remove(&order);
        }
    }

    /// Whether it fails to carry out any.
    pub(crate) fn fails_orders(&self) -> bool {
        !self.failing.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Looks at the newest block, at this time of the clock: what this node knows of the time if it follows.
    pub(crate) fn look(&self, now_ms: u64, newest: &BlockHeader) -> Option<Times> {
        self.following().look(now_ms, (newest.height, newest.time_ms))
    }

    /// A time of the clock without its error, as far as it is known.
    pub(crate) fn without_error(&self, now_ms: u64) -> u64 {
        self.following().without_error(now_ms)
    }

    fn following(&self) -> MutexGuard<'_, Following> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vault, for who copies it.
    pub(crate) const fn vault(&self) -> &Vault<E> {
        &self.vault
    }

    /// As whom it holds, and with what.
    pub const fn keys(&self) -> &HolderKeys {
        &self.keys
    }

    /// Keeps openings: they are on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails, or a subject has too many.
    pub async fn keep(&self, openings: &[Opening]) -> Result<(), VaultError> {
        self.vault.put(openings, &mut self.generator()).await
    }

    /// Keeps the openings that come with a transaction which is not final: those that are there because of it alone go again if it
    /// comes to nothing.
    ///
    /// # Errors
    /// As [`Holder::keep`]: then the transaction must not be passed on, and [`Holder::settle`] takes back what was kept.
    pub async fn keep_for(&self, transaction: Hash, not_after: u64, openings: &[Opening]) -> Result<(), VaultError> {
        let pending = Pending { transaction, not_after, within: None, openings: Vec::new() };
        self.keep_noted(pending, Share::WHOLE, openings).await
    }

    /// The same, as it is noted but for the openings: as long as no more waits than their `share` of those who handed in this one.
    ///
    /// # Errors
    /// As [`Holder::keep_for`].
    pub async fn keep_noted(&self, mut pending: Pending, share: Share, openings: &[Opening]) -> Result<(), VaultError> {
        let transaction = pending.transaction;
        // The same may be handed in twice at once, and its note is written anew by nobody else meanwhile.
        let _noting = self.noting.lock().await;
        let mut kept: BTreeMap<Drawer, BTreeSet<Commitment>> = BTreeMap::new();
        for drawer in openings.iter().map(|opening| Drawer::of(opening.place())).collect::<BTreeSet<_>>() {
            let commitments = self.commitments(&drawer).await?;
            kept.insert(drawer, commitments);
        }
        // In a partition nothing tells later who else wrote a value: what another brought that may come to nothing is this one's too.
        let values: Vec<_> = openings.iter().map(|one| (one.place().clone(), one.commitment())).collect();
        let others =
            if pending.within.is_some() { self.lock().wanted_besides(&transaction, &values) } else { BTreeSet::new() };
        let is_new = |value: &(Place, Commitment)| {
            let drawer = kept.get(&Drawer::of(&value.0));
            drawer.is_none_or(|kept| !kept.contains(&value.1)) || others.contains(value)
        };
        pending.openings = values.into_iter().filter(is_new).collect();
        if let Some(before) = self.lock().all.get(&transaction) {
            // Handed in twice: what the first time brought goes with it too.
            pending.openings.extend(before.openings.iter().cloned());
            pending.openings.sort_unstable();
            pending.openings.dedup();
        }
        if pending.openings.is_empty() {
            return Ok(());
        }
        if let Some(within) = &mut pending.within {
            within.bytes = openings.iter().map(|opening| opening.to_bytes().len() as u64).sum();
        }
        let (is_noted, waiting, of_sender) = {
            let own = self.keys.principal.organisation();
            let is_foreign = |one: &Pending| one.within.as_ref().is_some_and(|within| within.sender != own);
            let noted = self.lock();
            let (noted, sender) = (&noted.all, pending.within.as_ref().map(|within| &within.sender));
            let is_theirs = |one: &&Pending| one.within.as_ref().map(|one| &one.sender) == sender;
            let of_sender = noted.values().filter(|one| one.transaction != transaction).filter(is_theirs);
            let of_sender = of_sender.fold((0, 0), |(count, bytes), one| {
                (count + 1, bytes + one.within.as_ref().map_or(0, |within| within.bytes))
            });
            // Others, of all partitions together, leave half of it to those who hand in here.
            let foreign = noted.values().filter(|one| is_foreign(one)).count();
            let waiting = if is_foreign(&pending) { noted.len().max(2 * foreign) } else { noted.len() };
            (noted.get(&transaction) == Some(&pending), waiting, of_sender)
        };
        if !is_noted {
            let more = pending.within.as_ref().map_or(0, |within| within.bytes);
            let is_over = of_sender.0 >= share.transactions || of_sender.1.saturating_add(more) > share.bytes;
            if waiting >= VAULT_PENDING_MAX || is_over {
                return Err(VaultError::Busy);
            }
            let noted = self.vault.note(&pending, &mut self.generator()).await;
            // Also where that failed: all of it may be on the disk, and count after the next start.
            self.lock().insert(pending);
            noted?;
        }
        self.keep(openings).await
    }

    /// The openings that are kept here of these commitments, each in its place: one that was copied to another place opens nothing
    /// there. The file of each subject is read once.
    ///
    /// # Errors
    /// When the disk fails or a subject's file is damaged.
    pub async fn openings_at(
        &self,
        wanted: impl Iterator<Item = &(Place, Commitment)>,
    ) -> Result<BTreeMap<(Place, Commitment), Opening>, VaultError> {
        let wanted: BTreeSet<&(Place, Commitment)> = wanted.collect();
        let places: BTreeSet<&Place> = wanted.iter().map(|(place, _)| place).collect();
        let drawers: BTreeSet<Drawer> = places.iter().map(|place| Drawer::of(place)).collect();
        let mut found = BTreeMap::new();
        for drawer in drawers {
            let openings = self.openings(&drawer).await?.into_iter().filter(|opening| places.contains(opening.place()));
            for opening in openings {
                let at = (opening.place().clone(), opening.commitment());
                if wanted.contains(&at) {
                    found.insert(at, opening);
                }
            }
        }
        Ok(found)
    }

    /// All openings of a subject that are kept here.
    ///
    /// # Errors
    /// When the disk fails or the subject's file is damaged.
    pub async fn openings(&self, drawer: &Drawer) -> Result<Vec<Opening>, VaultError> {
        self.vault.all(drawer).await
    }

    /// Destroys the openings of some of a subject's commitments; says how many there were.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn remove(&self, drawer: &Drawer, commitments: &[Commitment]) -> Result<usize, VaultError> {
        self.vault.remove(drawer, commitments, &mut self.generator()).await
    }

    /// Destroys all that is kept of a subject; says whether there was anything.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn destroy(&self, drawer: &Drawer) -> Result<bool, VaultError> {
        self.vault.destroy(drawer).await
    }

    /// How far erasure has come in this vault, of the public partition or of the one of this name.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn progress(&self, partition: Option<&str>) -> Result<ErasureProgress, VaultError> {
        let (progress, damaged) = self.vault.progress(partition).await?;
        for file in damaged {
            tracing::error!(
                file,
                partition,
                "what the vault notes of how far erasure has come is damaged: look at its disk. All that was ordered is carried out again, and \
                 a receipt that was not given yet counts only what is found then"
            );
        }
        Ok(progress)
    }

    /// Says how far it has come: on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn set_progress(&self, partition: Option<&str>, progress: &ErasureProgress) -> Result<(), VaultError> {
        self.vault.set_progress(partition, progress).await
    }

    /// How many entries of a register, or private transactions of a partition, are passed over for good, as to what is kept for so many days.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn retained(&self, of: Walked<'_>, days: u32) -> Result<u64, VaultError> {
        self.vault.retained(of, days).await
    }

    /// Says how many are: on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn set_retained(&self, of: Walked<'_>, days: u32, passed: u64) -> Result<(), VaultError> {
        self.vault.set_retained(of, days, passed).await
    }

    /// Says that every order up to this height is carried out, but for those that wait for a hold, and those that are so new that one may
    /// follow.
    pub fn set_erased_to(&self, height: u64, has_new: bool) {
        self.erased_to.send_replace(Some(height));
        if !has_new {
            self.settled_to.send_replace(Some(height));
        }
    }

    /// Resolves once that is so: nothing is given before that.
    pub async fn erased_to(&self, height: u64) {
        reach(&self.erased_to, height).await;
    }

    /// Resolves once it is so of all that do not wait for a hold.
    pub async fn settled_to(&self, height: u64) {
        reach(&self.settled_to, height).await;
    }

    /// Takes on to answer a read; none when another request does.
    pub fn claim(&self, read: Hash) -> Option<Claim<'_>> {
        let is_new = self.reads.lock().unwrap_or_else(PoisonError::into_inner).insert(read);
        is_new.then(|| Claim { reads: &self.reads, read })
    }

    /// The transaction of this id, if it is not settled.
    pub fn pending_of(&self, transaction: &Hash) -> Option<Pending> {
        self.lock().all.get(transaction).cloned()
    }

    /// The transactions that are not settled.
    pub fn pending(&self) -> Vec<Pending> {
        self.pending_that(|_| true)
    }

    /// Those of which this is so.
    pub fn pending_that(&self, is_so: impl Fn(&Pending) -> bool) -> Vec<Pending> {
        self.lock().all.values().filter(|pending| is_so(pending)).cloned().collect()
    }

    /// What other transactions that are not settled brought, or will, of what this one did; of one that is settled, all that others did.
    pub fn wanted_besides(&self, transaction: &Hash) -> BTreeSet<(Place, Commitment)> {
        let noted = self.lock();
        match noted.all.get(transaction) {
            Some(pending) => noted.wanted_besides(transaction, &pending.openings),
            None => noted.bringing.keys().cloned().collect(),
        }
    }

    /// Settles a transaction: of the openings that are here because of it, those that are still `wanted` stay.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn settle(&self, pending: &Pending, wanted: &BTreeSet<(Place, Commitment)>) -> Result<(), VaultError> {
        // Not while what came with it is being kept.
        let _noting = self.noting.lock().await;
        self.close(pending, wanted).await
    }

    /// Settles a private transaction: of the openings that are here because of it, those that it wrote, `rightful` ones, stay for good,
    /// and those that another one brought too that is not settled stay because of that.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn settle_private(
        &self,
        pending: &Pending,
        rightful: &BTreeSet<(Place, Commitment)>,
    ) -> Result<(), VaultError> {
        let _noting = self.noting.lock().await;
        // As it is noted by now: more may have come with it.
        let Some(pending) = self.pending_of(&pending.transaction) else { return Ok(()) };
        // Nobody else takes them away any more. On the disk before this one is forgotten, so that a crash leaves none too few.
        let others: BTreeSet<Hash> = {
            let noted = self.lock();
            rightful.iter().flat_map(|value| noted.others(&pending.transaction, value)).copied().collect()
        };
        for other in others {
            let Some(mut other) = self.pending_of(&other) else { continue };
            other.openings.retain(|opening| !rightful.contains(opening));
            self.vault.note(&other, &mut self.generator()).await?;
            self.lock().insert(other);
        }
        let besides = self.wanted_besides(&pending.transaction);
        self.close(&pending, &besides.union(rightful).cloned().collect()).await
    }

    async fn close(&self, pending: &Pending, wanted: &BTreeSet<(Place, Commitment)>) -> Result<(), VaultError> {
        let mut gone: BTreeMap<Drawer, Vec<Commitment>> = BTreeMap::new();
        for opening in pending.openings.iter().filter(|opening| !wanted.contains(opening)) {
            gone.entry(Drawer::of(&opening.0)).or_default().push(opening.1);
        }
        for (drawer, commitments) in gone {
            self.remove(&drawer, &commitments).await?;
        }
        self.vault.forget(&pending.transaction).await?;
        self.lock().remove(&pending.transaction);
        Ok(())
    }

    async fn commitments(&self, drawer: &Drawer) -> Result<BTreeSet<Commitment>, VaultError> {
        Ok(self.openings(drawer).await?.iter().map(Opening::commitment).collect())
    }

    /// A generator seeded by the system's randomness.
    fn generator(&self) -> StdRng {
        StdRng::from_rng(&mut *self.randomness.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
    use rand::RngExt as _;
    use tallystick_protocol::{Secret, Subject};
    use tallystick_storage::vault::PendingIn;

    pub(crate) fn keys() -> HolderKeys {
        HolderKeys {
            principal: "council/vault".parse().unwrap(),
            key: SigningKey::from_ed25519_seed(&[1; 32]),
            sealing: SealingSecret::from_bytes([2; 32].into()),
        }
    }

    fn opening(key: &str) -> Opening {
        let place = Place::new("child", key, "name", Subject::new("child", key).unwrap()).unwrap();
        let place = place.within(Some("health")).unwrap();
        Opening::seal(place, Secret::new("Jane Doe"), &mut StdRng::seed_from_u64(7)).unwrap()
    }

    /// A private transaction that is not executed.
    fn waiting(n: u8, sender: &str) -> Pending {
        let within = PendingIn { partition: "health".into(), replay_tag: [n; 16], sender: sender.into(), bytes: 0 };
        Pending { transaction: Hash([n; 32]), not_after: 9, within: Some(within), openings: Vec::new() }
    }

    fn value(opening: &Opening) -> (Place, Commitment) {
        (opening.place().clone(), opening.commitment())
    }

    async fn settle<E: Runtime>(holder: &Holder<E>, n: u8, rightful: &[&Opening]) {
        let pending = holder.pending_of(&Hash([n; 32])).unwrap();
        holder.settle_private(&pending, &rightful.iter().map(|one| value(one)).collect()).await.unwrap();
    }

    async fn count<E: Runtime>(holder: &Holder<E>, opening: &Opening) -> usize {
        holder.openings(&Drawer::of(opening.place())).await.unwrap().len()
    }

    /// Two transactions bring the same value: it stays as long as one of them may be accepted, and for good once one is; in either order,
    /// and over a restart.
    #[test]
    fn what_several_transactions_bring_goes_with_the_last_that_comes_to_nothing() {
        deterministic::Runner::default().start(|context| async move {
            let one = opening("c-1");
            for (first, second, kept) in [(true, false, 1), (false, true, 1), (false, false, 0), (true, true, 1)] {
                let name = format!("{first}-{second}");
                let holder = Holder::open(context.child("one"), &name, keys()).await.unwrap();
                for n in [1, 2] {
                    holder.keep_noted(waiting(n, "council"), Share::WHOLE, std::slice::from_ref(&one)).await.unwrap();
                }
                let rightful = |is_accepted: bool| if is_accepted { vec![&one] } else { Vec::new() };
                settle(&holder, 1, &rightful(first)).await;
                assert_eq!(count(&holder, &one).await, 1, "{name}: another may still bring it");
                drop(holder);
                let holder = Holder::open(context.child("again"), &name, keys()).await.unwrap();
                settle(&holder, 2, &rightful(second)).await;
                assert_eq!((count(&holder, &one).await, holder.pending().len()), (kept, 0), "{name}");
            }
        });
    }

    /// What is in a place where it should not be goes when it is known, with the transaction accepted or not; and what was here before
    /// stays, whatever becomes of who hands it in again.
    #[test]
    fn only_what_is_in_its_right_place_stays() {
        deterministic::Runner::default().start(|context| async move {
            let holder = Holder::open(context, "node", keys()).await.unwrap();
            let (right, wrong) = (opening("c-1"), opening("c-2"));
            holder.keep_noted(waiting(1, "council"), Share::WHOLE, &[right.clone(), wrong.clone()]).await.unwrap();
            settle(&holder, 1, &[&right]).await;
            assert_eq!((count(&holder, &right).await, count(&holder, &wrong).await), (1, 0));
            holder.keep_noted(waiting(2, "council"), Share::WHOLE, std::slice::from_ref(&right)).await.unwrap();
            assert_eq!(holder.pending_of(&Hash([2; 32])), None, "nothing is here because of it");
        });
    }

    /// Who brings what is looked up; here it is told by a look at all.
    #[test]
    fn what_others_bring_is_as_if_all_were_looked_at() {
        let values: Vec<_> = (0..6).map(|n| value(&opening(&format!("c-{n}")))).collect();
        let (mut noted, mut rng) = (Noted::default(), StdRng::seed_from_u64(7));
        for _ in 0..500 {
            let mut pending = waiting(rng.random_range(0..8), "council");
            pending.openings = values.iter().filter(|_| rng.random()).cloned().collect();
            if rng.random() {
                noted.insert(pending.clone());
            } else {
                noted.remove(&pending.transaction);
            }
            let others = noted.all.values().filter(|other| other.transaction != pending.transaction);
            let brought: BTreeSet<_> = others.flat_map(|other| other.openings.iter().cloned()).collect();
            assert_eq!(noted.wanted_besides(&pending.transaction, &values), brought);
            let all: BTreeSet<_> = noted.all.values().flat_map(|one| one.openings.iter().cloned()).collect();
            assert!(noted.bringing.keys().eq(&all), "nothing is left of what is settled");
        }
    }

    /// Others of whatever partitions leave half of what may wait to those who hand in here.
    #[test]
    fn others_leave_room_for_what_is_handed_in_here() {
        deterministic::Runner::default().start(|context| async move {
            let holder = Holder::open(context.child("node"), "n", keys()).await.unwrap();
            let own = holder.keys.principal.organisation().to_owned();
            let one = opening("c-1");
            let noted = |n: u64, sender: &str| {
                let mut pending = waiting(0, "council");
                pending.transaction = Hash::of(&[&n.to_be_bytes()]);
                if let Some(within) = &mut pending.within {
                    within.sender = sender.to_owned();
                }
                pending
            };
            for n in 0..VAULT_PENDING_MAX as u64 / 2 {
                let pending = noted(n, if n % 2 == 0 { "police" } else { "health" });
                holder.lock().insert(pending);
            }
            for sender in ["health", "police", "border"] {
                let kept = holder.keep_noted(noted(9_999, sender), Share::WHOLE, std::slice::from_ref(&one)).await;
                assert!(matches!(kept, Err(VaultError::Busy)), "{sender}");
            }
            holder.keep_noted(noted(9_999, &own), Share::WHOLE, std::slice::from_ref(&one)).await.unwrap();
            holder.keep_for(Hash([5; 32]), 9, &[opening("c-5")]).await.unwrap();
        });
    }

    /// One sender's transactions take their share of what may wait, and nobody else's.
    #[test]
    fn no_sender_takes_the_room_of_another() {
        deterministic::Runner::default().start(|context| async move {
            let long = 2 * opening("c-1").to_bytes().len() as u64;
            for share in [Share { transactions: 2, ..Share::WHOLE }, Share { bytes: long, ..Share::WHOLE }] {
                let name = format!("{}", share.transactions);
                let holder = Holder::open(context.child("node"), &name, keys()).await.unwrap();
                let keep = |n: u8, sender: &'static str| {
                    let (holder, opening) = (&holder, opening(&format!("c-{n}")));
                    async move { holder.keep_noted(waiting(n, sender), share, &[opening]).await }
                };
                for n in [1, 2] {
                    keep(n, "council").await.unwrap();
                }
                assert!(matches!(keep(3, "council").await, Err(VaultError::Busy)));
                keep(1, "council").await.unwrap();
                keep(4, "health").await.unwrap();
                holder.keep_for(Hash([5; 32]), 9, &[opening("c-5")]).await.unwrap();
                settle(&holder, 1, &[]).await;
                keep(3, "council").await.unwrap();
            }
        });
    }
}
