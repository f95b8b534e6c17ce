//! Back up the vault of this node, for ever, without what may not lie where its backups do, nor for long what is erased.
//!
//! ```text
//! a file of the vault ─▶ of which partition? ─▶ does its agreement allow where the backup stands? ─┬ yes ─▶ copied, as it is
//!                                                                                                   └ no ──▶ refused, on record
//! each turn: what an agreement allows no more, and what this node has said that it destroyed ─▶ wiped in every backup that is there
//! ```
//!
//! INVARIANTS:
//! - What an agreement does not allow there does not leave the node; what it does not allow any more is removed there at the next turn.
//! - Nothing of this is in the way of an order of erasure, and no receipt waits for it. Of every backup whose name this process has not seen yet all
//!   orders are gone through: one that was put there, or made while something was destroyed, is cleaned like the others.
//! - A backup in which something fails is gone through again at the next turn, and stops no other.

use super::{Runtime, Service, erasure::Erasure};
use crate::{
    application::now_ms,
    backup::{Backup, Backups, Folder},
    holder::Holder,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tallystick_protocol::{
    Commitment, ErasureScope, PrincipalId,
    limits::{BACKUPS_MAX, ERASURES_PER_PAGE, PARTITIONS_MAX, ROWS_READ_MAX},
};
use tallystick_storage::{
    read::ReadError,
    vault::{FileCopy, Vault, VaultError},
};

/// Pause between two turns.
const TURN: Duration = Duration::from_secs(30);
/// Pause between two tries to make a backup.
const AGAIN_S: u64 = 600;
const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;

/// What is wrong with the backups.
#[derive(Debug, thiserror::Error)]
enum BackupError {
    /// The vault, or where the backups lie.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The state, which says what may lie there.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Files that cannot be read.
    #[error(
        "{files} of the vault's files cannot be read and are not in the newest backup, nor are older ones removed: the first is {first}"
    )]
    Lacking {
        /// How many.
        files: u64,
        /// Why not the first of them.
        first: VaultError,
    },
    /// Named as if they were this node's.
    #[error(
        "left alone, for they are no folders, or the file in them cannot be read that says that they are under this vault's key: {0}; see to the disk, or \
         remove them if you have others"
    )]
    Strange(String),
    /// In a backup.
    #[error(
        "{0} files in the backups open to nothing under this vault's key, and are left alone: the first is `{1}`; remove that backup if you have others"
    )]
    Odd(usize, String),
    /// No more are made.
    #[error("{0} backups are there and no more are made: remove some, or lower `holder.backup.keep_days`")]
    Full(usize),
}

impl<E: Runtime> Service<E> {
    /// Backs up the vault, if that is configured, for ever.
    pub async fn back_up(&self) {
        let Some(holder) = &self.0.holder else { return };
        let Some(backups) = holder.backups() else { return };
        self.0.shared.chain.ready().await;
        let mut work = Work::new(self, holder, backups);
        loop {
            let troubles = work.turn().await;
            let trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
            if trouble.is_some() {
                self.0.shared.metrics.backup_failed();
            }
            if backups.note(trouble.clone())
                && let Some(error) = trouble
            {
                tracing::error!(error, "the backup of the vault is amiss, and tried again");
            }
            self.0.runtime.sleep(TURN).await;
        }
    }

    /// Partitions of which this node's organisation is or was a member, and which must not be held where the backups stand.
    async fn excluded(&self, own: &PrincipalId, backups: &Backups) -> Result<BTreeSet<String>, ReadError> {
        let (own, jurisdiction) = (own.organisation(), &backups.terms().jurisdiction);
        let mut excluded = BTreeSet::new();
        for from in (0..PARTITIONS_MAX).step_by(ROWS_READ_MAX) {
            let (_, total, rows) = self.partitions(from, ROWS_READ_MAX).await?;
            for row in rows {
                let mut members = row.terms.members.iter().chain(row.former.iter().map(|(id, _)| id));
                if members.any(|id| id == own) && !row.terms.allows(jurisdiction) {
                    excluded.insert(row.terms.partition);
                }
            }
            if from.saturating_add(ROWS_READ_MAX) >= total {
                break;
            }
        }
        Ok(excluded)
    }
}

/// How far one ledger's orders were looked at: of the public partition, or of another.
#[derive(Default)]
struct Looked {
    /// Orders whose numbers are below.
    at: u64,
    /// Those of them that this node has not said yet that it carried out.
    waiting: BTreeSet<String>,
}

/// A page of orders.
#[derive(Default)]
struct Page {
    /// By folders, how the names of files begin of subjects of whom all is destroyed.
    whole: BTreeMap<String, Vec<String>>,
    /// Folder, how the name begins, and values that are destroyed.
    parts: Vec<(String, String, Vec<Commitment>)>,
    /// How far it goes.
    looked: Looked,
    has_more: bool,
}

/// What one node does to have backups.
struct Work<'a, E: Runtime> {
    service: &'a Service<E>,
    holder: &'a Holder<E>,
    backups: &'a Backups,
    own: PrincipalId,
    /// The backups in which nothing is of these partitions, because it must not be.
    cleared_in: BTreeSet<String>,
    cleared: BTreeSet<String>,
    /// Files in them that cannot be read.
    odd: BTreeSet<String>,
    /// The backups in which what is destroyed was wiped, as far as the orders were looked at.
    cleaned_in: BTreeSet<String>,
    looked: BTreeMap<Option<String>, Looked>,
    /// Partitions that may be held where the backups stand, and others, as of this height.
    allowed: (u64, BTreeMap<String, bool>),
    /// Partitions of which nothing was copied, and that is not on record yet.
    unrecorded: BTreeSet<String>,
    /// When one is tried again that failed, by the clock.
    again_s: u64,
    lacking: Option<BackupError>,
}

/// What a backup came to have.
#[derive(Default)]
struct Copied {
    files: u64,
    /// Partitions of which nothing was copied.
    refused: BTreeSet<String>,
    /// Files that are not in it, and why not the first.
    lacking: u64,
    first: Option<VaultError>,
}

impl<'a, E: Runtime> Work<'a, E> {
    fn new(service: &'a Service<E>, holder: &'a Holder<E>, backups: &'a Backups) -> Self {
        Self {
            service,
            holder,
            backups,
            own: holder.keys().principal.clone(),
            cleared_in: BTreeSet::new(),
            cleared: BTreeSet::new(),
            odd: BTreeSet::new(),
            cleaned_in: BTreeSet::new(),
            looked: BTreeMap::new(),
            allowed: (0, BTreeMap::new()),
            unrecorded: BTreeSet::new(),
            again_s: 0,
            lacking: None,
        }
    }

    /// Removes what must not be there any more, and makes a backup if it is time. Says what was wrong.
    async fn turn(&mut self) -> Vec<String> {
        for partition in std::mem::take(&mut self.unrecorded) {
            self.record(partition).await;
        }
        let (found, strange) = match self.backups.run(|folder| folder.backups()).await {
            Ok(found) => found,
            Err(error) => return vec![error.to_string()],
        };
        let mut troubles: Vec<String> = self.lacking.iter().map(ToString::to_string).collect();
        if !strange.is_empty() {
            troubles.push(BackupError::Strange(strange.join(", ")).to_string());
        }
        let (complete, rests): (Vec<Backup>, Vec<Backup>) = found.into_iter().partition(|backup| backup.is_complete);
        let names: BTreeSet<String> = complete.iter().map(|backup| backup.name.clone()).collect();
        let now_s = now_ms(&self.service.0.runtime) / 1_000;
        let done = [
            self.clear(&names).await,
            self.clean(&names).await,
            self.remove(rests).await,
            self.prune(now_s, &complete).await,
        ];
        troubles.extend(done.into_iter().filter_map(Result::err).map(|error| error.to_string()));
        if let Some(first) = self.odd.first() {
            troubles.push(BackupError::Odd(self.odd.len(), first.clone()).to_string());
        }
        let newest_s = newest(now_s, &complete);
        self.service.0.shared.metrics.backup_complete(newest_s.unwrap_or_default());
        // A clock that was set back.
        if self.again_s > now_s.saturating_add(AGAIN_S) {
            self.again_s = 0;
        }
        let every_s = u64::from(self.backups.terms().every_hours) * HOUR_S;
        if now_s >= self.again_s
            && is_due(now_s, newest_s, every_s)
            && let Err(error) = self.make(now_s, complete.len()).await
        {
            self.again_s = now_s.saturating_add(AGAIN_S);
            troubles.push(error.to_string());
        }
        troubles
    }

    async fn remove(&self, backups: Vec<Backup>) -> Result<(), BackupError> {
        for backup in backups {
            self.backups.run(move |folder| folder.remove(&backup)).await?;
        }
        Ok(())
    }

    /// Removes those that are too old, but for the newest, and not while files are lacking in that. A clock that is ahead of the ledger removes
    /// none.
    async fn prune(&self, now_s: u64, backups: &[Backup]) -> Result<(), BackupError> {
        let Some((_, others)) = backups.split_last().filter(|_| self.lacking.is_none()) else { return Ok(()) };
        let now_s = now_s.min(self.service.tip().header.time_ms / 1_000);
        let keep_s = u64::from(self.backups.terms().keep_days) * DAY_S;
        self.remove(others.iter().filter(|backup| is_too_old(now_s, backup, keep_s)).cloned().collect()).await
    }

    /// Takes out of the backups what an agreement does not allow there any more.
    async fn clear(&mut self, backups: &BTreeSet<String>) -> Result<(), BackupError> {
        let excluded = self.service.excluded(&self.own, self.backups).await?;
        if !excluded.is_subset(&self.cleared) {
            self.cleared_in.clear();
        }
        self.cleared = excluded;
        self.cleared_in.retain(|name| backups.contains(name));
        self.odd.retain(|path| backups.iter().any(|name| path.starts_with(name)));
        let mut failed = Ok(());
        for backup in backups {
            if self.cleared_in.contains(backup) {
                continue;
            }
            match self.clear_one(backup).await {
                Ok(()) => drop(self.cleared_in.insert(backup.clone())),
                error => failed = error,
            }
        }
        failed
    }

    async fn clear_one(&mut self, backup: &str) -> Result<(), BackupError> {
        if self.cleared.is_empty() {
            return Ok(());
        }
        let name = backup.to_owned();
        for inner in self.backups.run(move |folder| folder.folders(&name)).await? {
            if self.holder.vault().has_values(&inner) {
                self.clear_folder(backup, &inner).await?;
            }
        }
        Ok(())
    }

    async fn clear_folder(&mut self, backup: &str, inner: &str) -> Result<(), BackupError> {
        let (name, of) = (backup.to_owned(), inner.to_owned());
        for file in self.backups.run(move |folder| folder.files(&name, &of)).await? {
            let (name, of, one) = (backup.to_owned(), inner.to_owned(), file.clone());
            let bytes = self.backups.run(move |folder| folder.read(&name, &of, &one)).await?;
            match self.holder.vault().partition_of(inner, &file, &bytes) {
                Ok(Some(partition)) if self.cleared.contains(&partition) => {
                    let (name, of) = (backup.to_owned(), inner.to_owned());
                    self.backups.run(move |folder| folder.wipe(&name, &of, &[file])).await?;
                }
                Ok(_) => {}
                Err(_) => drop(self.odd.insert(format!("{backup}/{inner}/{file}"))),
            }
        }
        Ok(())
    }

    /// Wipes in the backups what this node has said that it destroyed. In those that it does not know, all that it ever said.
    async fn clean(&mut self, backups: &BTreeSet<String>) -> Result<(), BackupError> {
        self.cleaned_in.retain(|name| backups.contains(name));
        let held = self.service.parcels().ok().map(|parcels| parcels.standings()).unwrap_or_default();
        let held: Vec<Option<String>> =
            std::iter::once(None).chain(held.into_iter().map(|(name, _)| Some(name))).collect();
        let mut failed = Ok(());
        for partition in &held {
            let (mut looked, mut has_more) = (self.looked.remove(partition).unwrap_or_default(), true);
            while has_more {
                let page = self.page(partition.as_ref(), &looked).await?;
                for backup in self.cleaned_in.clone() {
                    if let Err(error) = self.wipe_page(&backup, &page).await {
                        // It is gone through again, from the first order on.
                        self.cleaned_in.remove(&backup);
                        failed = Err(error);
                    }
                }
                (looked, has_more) = (page.looked, page.has_more);
            }
            self.looked.insert(partition.clone(), looked);
        }
        for backup in backups {
            if !self.cleaned_in.contains(backup) {
                match self.clean_new(backup, &held).await {
                    Ok(()) => drop(self.cleaned_in.insert(backup.clone())),
                    error => failed = error,
                }
            }
        }
        failed
    }

    /// All that this node ever said that it destroyed, in one backup.
    async fn clean_new(&self, backup: &str, held: &[Option<String>]) -> Result<(), BackupError> {
        for partition in held {
            let (mut looked, mut has_more) = (Looked::default(), true);
            while has_more {
                let page = self.page(partition.as_ref(), &looked).await?;
                self.wipe_page(backup, &page).await?;
                (looked, has_more) = (page.looked, page.has_more);
            }
        }
        Ok(())
    }

    /// What a page of the orders of a partition says is destroyed, with those that waited.
    async fn page(&self, partition: Option<&String>, looked: &Looked) -> Result<Page, BackupError> {
        let asked = (looked.at, looked.waiting.clone());
        let (total, orders) = self.service.ordered(self.own.organisation(), partition, asked).await?;
        let mut page = Page::default();
        for (erasure, drawers) in orders {
            if !is_destroyed(&erasure, &self.own) {
                page.looked.waiting.insert(erasure.row.order);
                continue;
            }
            for (inner, name) in drawers.iter().map(|drawer| self.holder.vault().place_of(drawer)) {
                match &erasure.row.scope {
                    ErasureScope::All => page.whole.entry(inner).or_default().push(name.start()),
                    ErasureScope::Values(values) => page.parts.push((inner, name.start(), values.clone())),
                }
            }
        }
        page.looked.at = total.min(looked.at.saturating_add(u64::from(ERASURES_PER_PAGE)));
        page.has_more = page.looked.at < total;
        Ok(page)
    }

    /// Wipes that in one backup.
    async fn wipe_page(&self, backup: &str, page: &Page) -> Result<(), BackupError> {
        let (name, whole) = (backup.to_owned(), page.whole.clone());
        let wipe = move |folder: &Folder| {
            let mut wiped = 0;
            for (inner, starts) in &whole {
                wiped += folder.wipe(&name, inner, starts)?;
            }
            Ok(wiped)
        };
        let mut wiped = if page.whole.is_empty() { 0 } else { self.backups.run(wipe).await? };
        for (inner, start, values) in &page.parts {
            wiped += self.wipe_values(backup, (inner, start), values).await?;
        }
        if wiped > 0 {
            tracing::info!(files = wiped, backup, "what is erased is wiped in a backup too");
        }
        Ok(())
    }

    /// Wipes the file of one subject that opens some of these values, with what else it opens: later backups have that.
    async fn wipe_values(
        &self,
        backup: &str,
        (inner, start): (&str, &str),
        values: &[Commitment],
    ) -> Result<usize, BackupError> {
        let mut wiped = 0;
        let (name, of) = (backup.to_owned(), inner.to_owned());
        let mut files = self.backups.run(move |folder| folder.files(&name, &of)).await?;
        files.retain(|file| file.starts_with(start));
        for file in files {
            let (name, of, one) = (backup.to_owned(), inner.to_owned(), file.clone());
            let bytes = self.backups.run(move |folder| folder.read(&name, &of, &one)).await?;
            // One that is damaged may hold it.
            if self.holder.vault().opens_any(&file, &bytes, values).unwrap_or(true) {
                let (name, of) = (backup.to_owned(), inner.to_owned());
                wiped += self.backups.run(move |folder| folder.wipe(&name, &of, &[file])).await?;
            }
        }
        Ok(wiped)
    }

    /// Makes a backup, beside so many.
    async fn make(&mut self, now_s: u64, beside: usize) -> Result<(), BackupError> {
        // Some more than are kept, for older ones are removed only once a newer one is whole.
        if beside >= usize::try_from(BACKUPS_MAX).unwrap_or(usize::MAX).saturating_mul(2) {
            return Err(BackupError::Full(beside));
        }
        let (vault, backups) = (self.holder.vault(), self.backups);
        let backup = backups.run(move |folder| folder.begin(now_s)).await?;
        let mut copied = Copied::default();
        for file in [vault.copy_check(backups.disk())?, vault.mark_of_backup()] {
            let name = backup.clone();
            backups.run(move |folder| folder.write(&name, &file)).await?;
        }
        for inner in Vault::<E>::folders() {
            for name in vault.names(inner).await? {
                self.put(&backup, vault.copy(&name, backups.disk()).await, &mut copied).await?;
            }
        }
        for note in self.holder.pending() {
            self.put(&backup, vault.copy_note(&note, backups.disk()), &mut copied).await?;
        }
        let name = backup.clone();
        backups.run(move |folder| folder.complete(&name)).await?;
        self.service.0.shared.metrics.backup_complete(now_s);
        tracing::info!(files = copied.files, lacking = copied.lacking, "the vault is backed up");
        self.lacking = copied.first.map(|first| BackupError::Lacking { files: copied.lacking, first });
        Ok(())
    }

    /// Puts a copy into a backup, if it may leave the node; that it may not is put on record.
    async fn put(
        &mut self,
        backup: &str,
        copy: Result<Option<FileCopy>, VaultError>,
        copied: &mut Copied,
    ) -> Result<(), BackupError> {
        let copy = match copy {
            Ok(Some(copy)) => copy,
            Ok(None) => return Ok(()),
            Err(error) => {
                copied.lacking += 1;
                copied.first.get_or_insert(error);
                return Ok(());
            }
        };
        if let Some(partition) = &copy.partition
            && !self.is_allowed(partition).await?
        {
            if copied.refused.insert(partition.clone()) {
                self.record(partition.clone()).await;
            }
            return Ok(());
        }
        copied.files += 1;
        let backup = backup.to_owned();
        Ok(self.backups.run(move |folder| folder.write(&backup, &copy)).await?)
    }

    /// Whether a partition may be held where the backups stand, by the newest block.
    async fn is_allowed(&mut self, partition: &str) -> Result<bool, ReadError> {
        let height = self.service.tip().header.height;
        if self.allowed.0 != height {
            self.allowed = (height, BTreeMap::new());
        }
        if let Some(is_allowed) = self.allowed.1.get(partition) {
            return Ok(*is_allowed);
        }
        let found = self.service.partition(partition).await?;
        let is_allowed = found.is_some_and(|(_, row, _)| row.terms.allows(&self.backups.terms().jurisdiction));
        self.allowed.1.insert(partition.to_owned(), is_allowed);
        Ok(is_allowed)
    }

    /// Puts on record that nothing of a partition was copied, in a later turn if not now.
    async fn record(&mut self, partition: String) {
        let Ok(parcels) = self.service.parcels() else { return };
        let jurisdiction = &self.backups.terms().jurisdiction;
        match parcels.refuse_backup(&self.service.0.runtime, &partition, jurisdiction).await {
            true => self.unrecorded.remove(&partition),
            false => self.unrecorded.insert(partition),
        };
    }
}

/// When the newest was begun: of those that a clock made which was ahead none counts.
fn newest(now_s: u64, complete: &[Backup]) -> Option<u64> {
    complete.iter().map(|backup| backup.time_s).filter(|time_s| *time_s <= now_s).max()
}

/// Whether it is time for the next.
fn is_due(now_s: u64, newest_s: Option<u64>, every_s: u64) -> bool {
    newest_s.is_none_or(|newest_s| now_s.saturating_sub(newest_s) >= every_s)
}

/// Whether one was kept for longer than it is to be.
const fn is_too_old(now_s: u64, backup: &Backup, keep_s: u64) -> bool {
    backup.time_s < now_s.saturating_sub(keep_s)
}

/// Whether this node has said, on record, that it carried an order out; or was not asked to say so, and nothing holds it up.
fn is_destroyed(erasure: &Erasure, own: &PrincipalId) -> bool {
    match erasure.row.holders.iter().find(|holder| holder.node == *own) {
        Some(holder) => holder.receipt.is_some(),
        None => erasure.holds.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_come_in_their_time_and_go_in_it() {
        let at = |hour: u64| Backup { name: format!("at-{hour}"), time_s: hour * HOUR_S, is_complete: true };
        let due = |now: u64, made: &[u64]| {
            let made: Vec<Backup> = made.iter().map(|hour| at(*hour)).collect();
            is_due(now * HOUR_S, newest(now * HOUR_S, &made), 24 * HOUR_S)
        };
        let rows: [(u64, &[u64], bool); 5] = [
            (1_000, &[], true),
            (1_000, &[900, 977], false),
            (1_000, &[900, 976], true),
            // One that a clock made which was ahead.
            (1_000, &[900, 1_001], true),
            (1_000, &[990, 1_001], false),
        ];
        for (now, made, expected) in rows {
            assert_eq!(due(now, made), expected, "{made:?}");
        }
        let is_old = |now: u64| is_too_old(now * HOUR_S, &at(100), 30 * DAY_S);
        assert!(!is_old(0) && !is_old(820) && is_old(821));
    }
}
