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

use crate::{engine::Runtime, watch};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tallystick_client::SealingSecret;
use tallystick_protocol::{
    Commitment, Hash, Opening, Place, PrincipalId, SigningKey, Subject, limits::VAULT_PENDING_MAX,
};
use tallystick_storage::vault::{ErasureProgress, Pending, Vault, VaultError, VaultKey};
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

/// A node as a holder.
pub struct Holder<E: Runtime> {
    keys: HolderKeys,
    vault: Vault<E>,
    /// The system's randomness.
    randomness: Mutex<E>,
    /// Transactions that are not final, with what was kept because of each.
    pending: Mutex<BTreeMap<Hash, Pending>>,
    /// The height up to which every order of erasure is carried out; none before the first look.
    erased_to: watch::Sender<Option<u64>>,
    /// Held while a transaction is noted.
    noting: AsyncMutex<()>,
    /// Reads that are being answered.
    reads: Mutex<BTreeSet<Hash>>,
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
        let vault_key = VaultKey::from_bytes(keys.sealing.vault_key());
        let vault = Vault::open(runtime.child("vault"), prefix, &vault_key).await?;
        let pending = vault.pending().await?.into_iter().map(|pending| (pending.transaction, pending)).collect();
        tracing::info!(holder = %keys.principal, sealing = hex::encode(keys.sealing.public()), "this node holds");
        let erased_to = watch::Sender::new(None);
        Ok(Self {
            keys,
            vault,
            randomness: Mutex::new(runtime),
            pending: Mutex::new(pending),
            noting: AsyncMutex::new(()),
            reads: Mutex::default(),
            erased_to,
        })
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
        // The same may be handed in twice at once, and its note is written anew by nobody else meanwhile.
        let _noting = self.noting.lock().await;
        let mut kept: BTreeMap<&Subject, BTreeSet<Commitment>> = BTreeMap::new();
        for subject in openings.iter().map(|opening| opening.place().subject()) {
            if !kept.contains_key(subject) {
                kept.insert(subject, self.commitments(subject).await?);
            }
        }
        let is_new = |opening: &&Opening| {
            kept.get(opening.place().subject()).is_none_or(|kept| !kept.contains(&opening.commitment()))
        };
        let new = openings.iter().filter(is_new).map(|opening| (opening.place().clone(), opening.commitment()));
        let mut pending = Pending { transaction, not_after, openings: new.collect() };
        if let Some(before) = self.lock().get(&transaction) {
            // Handed in twice: what the first time brought goes with it too.
            pending.openings.extend(before.openings.iter().cloned());
            pending.openings.sort_unstable();
            pending.openings.dedup();
        }
        if pending.openings.is_empty() {
            return Ok(());
        }
        let (is_noted, waiting) = {
            let noted = self.lock();
            (noted.get(&transaction) == Some(&pending), noted.len())
        };
        if !is_noted {
            if waiting >= VAULT_PENDING_MAX {
                return Err(VaultError::Busy);
            }
            self.vault.note(&pending, &mut self.generator()).await?;
            self.lock().insert(transaction, pending);
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
        let subjects: BTreeSet<&Subject> = wanted.iter().map(|(place, _)| place.subject()).collect();
        let mut found = BTreeMap::new();
        for subject in subjects {
            for opening in self.openings(subject).await? {
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
    pub async fn openings(&self, subject: &Subject) -> Result<Vec<Opening>, VaultError> {
        self.vault.all(subject).await
    }

    /// Destroys the openings of some of a subject's commitments; says how many there were.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn remove(&self, subject: &Subject, commitments: &[Commitment]) -> Result<usize, VaultError> {
        self.vault.remove(subject, commitments, &mut self.generator()).await
    }

    /// Destroys all that is kept of a subject; says whether there was anything.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn destroy(&self, subject: &Subject) -> Result<bool, VaultError> {
        self.vault.destroy(subject).await
    }

    /// How far erasure has come in this vault.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn progress(&self) -> Result<ErasureProgress, VaultError> {
        self.vault.progress().await
    }

    /// Says how far it has come: on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn set_progress(&self, progress: &ErasureProgress) -> Result<(), VaultError> {
        self.vault.set_progress(progress).await
    }

    /// How many entries of a register are passed over for good, as to what it keeps for so many days.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn retained(&self, register: &str, days: u32) -> Result<u64, VaultError> {
        self.vault.retained(register, days).await
    }

    /// Says how many are: on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn set_retained(&self, register: &str, days: u32, passed: u64) -> Result<(), VaultError> {
        self.vault.set_retained(register, days, passed).await
    }

    /// Says that every order up to this height is carried out, but for those that wait for a hold.
    pub fn set_erased_to(&self, height: u64) {
        self.erased_to.send_replace(Some(height));
    }

    /// Resolves once that is so: nothing is given before that.
    pub async fn erased_to(&self, height: u64) {
        // The sender lives as long as this.
        let _ = self.erased_to.subscribe().wait_for(|reached| reached.is_some_and(|reached| reached >= height)).await;
    }

    /// Takes on to answer a read; none when another request does.
    pub fn claim(&self, read: Hash) -> Option<Claim<'_>> {
        let is_new = self.reads.lock().unwrap_or_else(PoisonError::into_inner).insert(read);
        is_new.then(|| Claim { reads: &self.reads, read })
    }

    /// The transaction of this id, if it is not settled.
    pub fn pending_of(&self, transaction: &Hash) -> Option<Pending> {
        self.lock().get(transaction).cloned()
    }

    /// The transactions that are not settled.
    pub fn pending(&self) -> Vec<Pending> {
        self.lock().values().cloned().collect()
    }

    /// What other transactions that are not settled brought, or will.
    pub fn wanted_besides(&self, transaction: &Hash) -> BTreeSet<(Place, Commitment)> {
        let pending = self.lock();
        let others = pending.iter().filter(|(id, _)| *id != transaction);
        others.flat_map(|(_, other)| other.openings.iter().cloned()).collect()
    }

    /// Settles a transaction: of the openings that are here because of it, those that are still `wanted` stay.
    ///
    /// # Errors
    /// When the disk fails: then it must be asked again.
    pub async fn settle(&self, pending: &Pending, wanted: &BTreeSet<(Place, Commitment)>) -> Result<(), VaultError> {
        // Not while what came with it is being kept.
        let _noting = self.noting.lock().await;
        let mut gone: BTreeMap<&Subject, Vec<Commitment>> = BTreeMap::new();
        for opening in pending.openings.iter().filter(|opening| !wanted.contains(opening)) {
            gone.entry(opening.0.subject()).or_default().push(opening.1);
        }
        for (subject, commitments) in gone {
            self.remove(subject, &commitments).await?;
        }
        self.vault.forget(&pending.transaction).await?;
        self.lock().remove(&pending.transaction);
        Ok(())
    }

    async fn commitments(&self, subject: &Subject) -> Result<BTreeSet<Commitment>, VaultError> {
        Ok(self.openings(subject).await?.iter().map(Opening::commitment).collect())
    }

    /// A generator seeded by the system's randomness.
    fn generator(&self) -> StdRng {
        StdRng::from_rng(&mut *self.randomness.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Hash, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
