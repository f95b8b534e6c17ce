//! Back up the vault of this node, for ever, without what may not lie where its backups do.
//!
//! ```text
//! a file of the vault ─▶ of which partition? ─▶ does its agreement allow where the backup stands? ─┬ yes ─▶ copied, as it is
//!                                                                                                   └ no ──▶ refused, on record
//! ```
//!
//! INVARIANTS:
//! - What an agreement does not allow there does not leave the node; what it does not allow any more is removed there at the next turn.
//! - A backup that is complete holds nothing that was ordered to be erased and is destroyed here: what is destroyed later is destroyed there too, by
//!   `holder.rs`.
//! - Of what came with a transaction that is not settled it holds the transaction's note too, so that it is settled where it is restored.

use super::{Runtime, Service};
use crate::{
    application::now_ms,
    backup::{Backup, Backups, Terms},
    holder::Holder,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tallystick_protocol::limits::PARTITIONS_MAX;
use tallystick_storage::{
    read::ReadError,
    vault::{FileCopy, Vault, VaultError},
};

/// Pause between two turns; after failures longer, up to so many times.
const TURN: Duration = Duration::from_secs(30);
const PATIENT_TURNS: u32 = 20;
const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;
/// How often what was destroyed while a backup was made is copied anew before it is given up.
const ROUNDS: usize = 100;

/// What is amiss with the backups.
#[derive(Debug, thiserror::Error)]
enum BackupError {
    /// The vault, or where the backups lie.
    #[error("none is made: {0}")]
    Vault(#[from] VaultError),
    /// The state, which says what may lie there.
    #[error("none is made: {0}")]
    Read(#[from] ReadError),
    /// More is destroyed at every time than can be copied anew.
    #[error("none is made: the vault changes faster than it can be copied: it is tried again shortly")]
    Changing,
    /// A file that cannot be read.
    #[error("it was made without what cannot be read: {0}")]
    Damaged(VaultError),
}

impl<E: Runtime> Service<E> {
    /// Backs up the vault, if that is configured, for ever.
    pub async fn back_up(&self) {
        let Some(holder) = &self.0.holder else { return };
        let Some((backups, terms)) = holder.backups().and_then(|backups| Some((backups, backups.terms()?))) else {
            return;
        };
        self.0.shared.chain.ready().await;
        let (cleared, allowed, unrecorded) = Default::default();
        let mut work = Work { service: self, holder, backups, terms, cleared, allowed, unrecorded };
        let mut failures = 0;
        loop {
            let done = work.turn().await;
            holder.vault().changes().end();
            let trouble = done.err().map(|error| error.to_string());
            failures = trouble.as_ref().map_or(0, |_| (failures + 1).min(PATIENT_TURNS));
            if trouble.is_some() {
                self.0.shared.metrics.backup_failed();
            }
            if backups.note(trouble.clone())
                && let Some(error) = trouble
            {
                tracing::error!(error, "the backup of the vault is amiss, and tried again");
            }
            self.0.runtime.sleep(TURN * failures.max(1)).await;
        }
    }

    /// Partitions of which this node's organisation is or was a member, and which must not be held there.
    async fn excluded(&self, holder: &Holder<E>, terms: &Terms) -> Result<BTreeSet<String>, ReadError> {
        let own = holder.keys().principal.organisation();
        let (_, _, rows) = self.partitions(0, PARTITIONS_MAX).await?;
        let is_ours = |members: &[String], former: &[(String, u64)]| {
            members.iter().chain(former.iter().map(|(id, _)| id)).any(|id| id == own)
        };
        let excluded = rows
            .into_iter()
            .filter(|row| is_ours(&row.terms.members, &row.former) && !row.terms.allows(&terms.jurisdiction));
        Ok(excluded.map(|row| row.terms.partition).collect())
    }
}

/// Which partitions may be held where the backups stand, as of this height.
#[derive(Default)]
struct Allowed {
    height: u64,
    partitions: BTreeMap<String, bool>,
}

/// What one node does to have backups.
struct Work<'a, E: Runtime> {
    service: &'a Service<E>,
    holder: &'a Holder<E>,
    backups: &'a Backups,
    terms: &'a Terms,
    /// Partitions of which nothing is in the backups, because it must not be.
    cleared: BTreeSet<String>,
    allowed: Allowed,
    /// Partitions of which nothing was copied, and that is not on record yet.
    unrecorded: BTreeSet<String>,
}

/// What a backup came to have.
#[derive(Default)]
struct Copied {
    files: u64,
    /// Partitions of which nothing was copied.
    refused: BTreeSet<String>,
    /// The first file that is damaged, and is not in it.
    damaged: Option<VaultError>,
}

impl<E: Runtime> Work<'_, E> {
    /// Removes what must not be there any more, and makes a backup if it is time.
    async fn turn(&mut self) -> Result<(), BackupError> {
        for partition in std::mem::take(&mut self.unrecorded) {
            self.record(partition).await;
        }
        let now_s = now_ms(&self.service.0.runtime) / 1_000;
        let found = self.backups.run(|folder| folder.backups()).await?;
        let (complete, rests): (Vec<Backup>, Vec<Backup>) = found.into_iter().partition(|backup| backup.is_complete);
        for rest in rests {
            self.remove(rest.name).await?;
        }
        let newest_s = complete.last().map(|newest| newest.time_s);
        self.service.0.shared.metrics.backup_complete(newest_s.unwrap_or_default());
        let before_s = now_s.saturating_sub(u64::from(self.terms.keep_days) * DAY_S);
        let (old, kept): (Vec<Backup>, Vec<Backup>) =
            complete.into_iter().partition(|backup| backup.time_s < before_s && Some(backup.time_s) != newest_s);
        for Backup { name, .. } in old {
            let condemned = self.backups.run(move |folder| folder.condemn(&name)).await?;
            self.remove(condemned).await?;
        }
        self.clear(&kept).await?;
        let every_s = u64::from(self.terms.every_hours) * HOUR_S;
        // One that a clock made which was ahead is no reason to wait for that time.
        if newest_s.is_none_or(|newest_s| now_s.abs_diff(newest_s) >= every_s) {
            self.make(now_s).await?;
        }
        Ok(())
    }

    /// Removes one without its own name, a folder at a time, so that who destroys does not wait for long; last the one that says under which key
    /// it was.
    async fn remove(&self, backup: String) -> Result<(), BackupError> {
        let name = backup.clone();
        for inner in self.backups.run(move |folder| folder.folders(&name)).await?.into_iter().rev() {
            let name = backup.clone();
            self.backups.run(move |folder| folder.remove_folder(&name, &inner)).await?;
        }
        Ok(self.backups.run(move |folder| folder.remove(&backup)).await?)
    }

    /// Takes out of these backups what an agreement does not allow there any more.
    async fn clear(&mut self, backups: &[Backup]) -> Result<(), BackupError> {
        let excluded = self.service.excluded(self.holder, self.terms).await?;
        if excluded.is_subset(&self.cleared) {
            self.cleared = excluded;
            return Ok(());
        }
        for Backup { name, .. } in backups {
            let backup = name.clone();
            for inner in self.backups.run(move |folder| folder.folders(&backup)).await? {
                self.clear_folder(name, inner, &excluded).await?;
            }
        }
        if !backups.is_empty() {
            tracing::info!(partitions = ?excluded, "nothing of these is in the backups, for where they stand");
        }
        self.cleared = excluded;
        Ok(())
    }

    async fn clear_folder(&self, backup: &str, inner: String, excluded: &BTreeSet<String>) -> Result<(), BackupError> {
        let vault = self.holder.vault();
        if !vault.has_values(&inner) {
            return Ok(());
        }
        let (name, of) = (backup.to_owned(), inner.clone());
        for (file, bytes) in self.backups.run(move |folder| folder.files(&name, &of)).await? {
            let must_go = match vault.partition_of(&inner, &file, &bytes) {
                Ok(partition) => partition.is_some_and(|partition| excluded.contains(&partition)),
                // It is worth nothing, and nobody knows of which partition it is.
                Err(_) => true,
            };
            if must_go {
                let (name, of) = (backup.to_owned(), inner.clone());
                self.backups.run(move |folder| folder.wipe(&name, &of, &file)).await?;
            }
        }
        Ok(())
    }

    /// Makes a backup.
    async fn make(&mut self, now_s: u64) -> Result<(), BackupError> {
        let (vault, backups) = (self.holder.vault(), self.backups);
        vault.changes().begin();
        let backup = backups.run(move |folder| folder.begin(now_s)).await?;
        let (check, name) = (vault.copy_check(backups.disk())?, backup.clone());
        backups.run(move |folder| folder.write(&name, &check)).await?;
        let mut copied = Copied::default();
        for inner in Vault::<E>::folders() {
            for name in vault.names(inner).await? {
                let copy = vault.copy(&name, backups.disk()).await;
                if let Some(copy) = self.sifted(copy, &mut copied).await? {
                    backups.put(&backup, (name, copy), vault.changes()).await?;
                }
            }
        }
        self.finish(&backup, &mut copied).await?;
        let name = backup.clone();
        backups.run(move |folder| folder.complete(&name)).await?;
        self.service.0.shared.metrics.backup_complete(now_s);
        tracing::info!(files = copied.files, partitions_refused = copied.refused.len(), "the vault is backed up");
        copied.damaged.map_or(Ok(()), |error| Err(BackupError::Damaged(error)))
    }

    /// Copies anew what was destroyed in part meanwhile, and what waits to be settled, until nothing more was.
    async fn finish(&mut self, backup: &str, copied: &mut Copied) -> Result<(), BackupError> {
        let (vault, backups, disk) = (self.holder.vault(), self.backups, self.backups.disk());
        for _ in 0..ROUNDS {
            let (mut again, mut notes) = (Vec::new(), Vec::new());
            {
                let (pending, _still) = self.holder.still().await;
                for name in vault.changes().take() {
                    again.push((name, vault.copy(&name, disk).await));
                }
                notes.extend(pending.iter().filter_map(|one| vault.copy_note(one, disk).transpose()));
            }
            for (name, copy) in again {
                let (of, inner) = (backup.to_owned(), vault.folder_of(&name));
                backups.run(move |folder| folder.wipe(&of, &inner, &name.start())).await?;
                if let Some(copy) = self.sifted(copy, copied).await? {
                    backups.put(backup, (name, copy), vault.changes()).await?;
                }
            }
            let mut kept = Vec::new();
            for note in notes {
                kept.extend(self.sifted(note.map(Some), copied).await?);
            }
            let (of, inner) = (backup.to_owned(), vault.folder_of_notes());
            let write = move |folder: &crate::backup::Folder| {
                folder.wipe(&of, &inner, "")?;
                kept.iter().try_for_each(|note| folder.write(&of, note))
            };
            backups.run(write).await?;
            if vault.changes().is_empty() {
                return Ok(());
            }
        }
        Err(BackupError::Changing)
    }

    /// A copy that may leave the node; one that may not is refused, on record.
    async fn sifted(
        &mut self,
        copy: Result<Option<FileCopy>, VaultError>,
        copied: &mut Copied,
    ) -> Result<Option<FileCopy>, BackupError> {
        let copy = match copy {
            Ok(Some(copy)) => copy,
            Ok(None) => return Ok(None),
            Err(error @ VaultError::Damaged(_)) => {
                copied.damaged.get_or_insert(error);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(partition) = &copy.partition
            && !self.is_allowed(partition).await?
        {
            if copied.refused.insert(partition.clone()) {
                self.record(partition.clone()).await;
            }
            return Ok(None);
        }
        copied.files += 1;
        Ok(Some(copy))
    }

    /// Puts on record that nothing of a partition was copied, in a later turn if not now.
    async fn record(&mut self, partition: String) {
        let Ok(parcels) = self.service.parcels() else { return };
        if !parcels.refuse_backup(&self.service.0.runtime, &partition, &self.terms.jurisdiction).await {
            self.unrecorded.insert(partition);
        }
    }

    /// Whether a partition may be held where the backups stand, by the newest block.
    async fn is_allowed(&mut self, partition: &str) -> Result<bool, BackupError> {
        let height = self.service.tip().header.height;
        if self.allowed.height != height {
            self.allowed = Allowed { height, partitions: BTreeMap::new() };
        }
        if let Some(is_allowed) = self.allowed.partitions.get(partition) {
            return Ok(*is_allowed);
        }
        let found = self.service.partition(partition).await?;
        let is_allowed = found.is_some_and(|(_, row, _)| row.terms.allows(&self.terms.jurisdiction));
        self.allowed.partitions.insert(partition.to_owned(), is_allowed);
        Ok(is_allowed)
    }
}
