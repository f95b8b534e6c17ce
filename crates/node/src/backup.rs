//! The backups of this node's vault: where they lie, and how that is spoken to, which may be a share that is slow, or away.
//!
//! INVARIANTS:
//! - One thing at a time is done there. Who destroys waits for who copies, never for long: a folder that does not answer is an error, and is
//!   not asked again at once.
//! - Nothing is copied of which something was destroyed meanwhile: that is asked while nobody else does anything there.

mod folder;

pub use folder::{Backup, Folder};

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tallystick_protocol::Jurisdiction;
use tallystick_storage::vault::{Changes, FileCopy, FileName, VaultError};
use tokio::{sync::Mutex as Gate, time::Instant};

/// How long a folder may take for one thing, or be seen to do nothing in a long one.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same where an order of erasure waits for it, and with it all that comes after.
const ERASING_PATIENCE: Duration = Duration::from_secs(5);
/// After a folder did not answer, an order of erasure is not tried again for so long.
const SILENCE: Duration = Duration::from_secs(30);

/// How backups are made.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Where the folder stands.
    pub jurisdiction: Jurisdiction,
    /// Hours from one to the next.
    pub every_hours: u32,
    /// Days for which one is kept.
    pub keep_days: u32,
}

/// Where a node's backups are, and how they are made.
pub struct Backups {
    folder: Arc<Folder>,
    /// None when there were backups, and none are made any more.
    terms: Option<Terms>,
    /// The folder in which the node's storage lies.
    disk: PathBuf,
    /// Held by who does something there, until that is done, whoever still waits for it.
    gate: Arc<Gate<()>>,
    /// Until when an order of erasure does not try, and why.
    silent: Mutex<Option<(Instant, String)>>,
    /// Why the last turn failed.
    trouble: Mutex<Option<String>>,
}

impl Backups {
    /// Those in this folder, of the vault whose files lie on this disk.
    pub fn new(folder: Folder, terms: Option<Terms>, disk: PathBuf) -> Self {
        let (folder, gate) = (Arc::new(folder), Arc::default());
        Self { folder, terms, disk, gate, silent: Mutex::default(), trouble: Mutex::default() }
    }

    /// How they are made; none when there were some, and none are made any more.
    pub const fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// The folder in which the node's storage lies.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Why the last turn failed, if it did.
    pub fn trouble(&self) -> Option<String> {
        self.said().clone()
    }

    /// Notes how a turn ended; says whether that is news.
    pub fn note(&self, trouble: Option<String>) -> bool {
        let mut said = self.said();
        let is_new = *said != trouble;
        *said = trouble;
        is_new
    }

    /// Does something in the folder, once nothing else is done there.
    ///
    /// # Errors
    /// When it fails, or takes too long, with what to do.
    pub async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, VaultError> {
        self.within(PATIENCE, act).await
    }

    /// Puts a copy into a backup that is being made, in the place of what is there of this one; unless something of it was destroyed meanwhile.
    ///
    /// # Errors
    /// As [`Backups::run`].
    pub async fn put(
        &self,
        backup: &str,
        (name, copy): (FileName, FileCopy),
        changes: &Changes,
    ) -> Result<(), VaultError> {
        let (backup, changes) = (backup.to_owned(), changes.clone());
        self.run(move |folder| {
            if changes.changed(&name) {
                return Ok(());
            }
            folder.write(&backup, &copy)
        })
        .await
    }

    /// Overwrites and removes a subject's files in every backup.
    ///
    /// # Errors
    /// When the folder cannot be reached: then it must be asked again.
    pub async fn wipe(&self, place: String, name: FileName) -> Result<(), VaultError> {
        let begun = Instant::now();
        if let Some((until, why)) = &*self.silence()
            && begun < *until
        {
            return Err(self.error(why.clone()));
        }
        let wiped = self.within(ERASING_PATIENCE, move |folder| folder.wipe_everywhere(&place, &name.start())).await;
        let why = match &wiped {
            Err(VaultError::Backups { why, .. }) if begun.elapsed() >= ERASING_PATIENCE => Some(why.clone()),
            _ => None,
        };
        *self.silence() = why.map(|why| (Instant::now() + SILENCE, why));
        wiped
    }

    async fn within<T: Send + 'static>(
        &self,
        patience: Duration,
        act: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, VaultError> {
        let (gate, folder) = (self.gate.clone(), self.folder.clone());
        let done = async move {
            let held = gate.lock_owned().await;
            let task = tokio::task::spawn_blocking(move || {
                let _held = held;
                folder.reach()?;
                act(&folder)
            });
            task.await.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        let mut done = std::pin::pin!(done);
        loop {
            let steps = self.folder.steps();
            match tokio::time::timeout(patience, &mut done).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => return Err(self.error(with_remedy(&error))),
                // Many backups take long, and what is given up would begin at the first of them again.
                Err(_) if self.folder.steps() != steps => {}
                Err(_) => {
                    let patience = patience.as_secs();
                    return Err(self.error(format!(
                        "it does not answer within {patience} s: see that it is mounted and can be reached"
                    )));
                }
            }
        }
    }

    fn error(&self, why: String) -> VaultError {
        VaultError::Backups { folder: self.folder.path().display().to_string(), why }
    }

    fn silence(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong, and what to do where that is not said.
fn with_remedy(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ": let the user that the node runs as read and write there"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": make room there, or lower `holder.backup.keep_days`"
        }
        io::ErrorKind::NotFound | io::ErrorKind::Other => "",
        _ => ": see that it is mounted and whole",
    };
    format!("{error}{remedy}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::holder::{Holder, HolderKeys};
    use commonware_runtime::{Runner as _, Supervisor as _, tokio as real};
    use rand::{SeedableRng as _, rngs::StdRng};
    use std::{fs, thread};
    use tallystick_client::SealingSecret;
    use tallystick_protocol::{Opening, Place, Secret, SigningKey, Subject};
    use tallystick_storage::vault::{Drawer, Vault};

    fn opening(key: &str) -> Opening {
        let place = Place::new("child", key, "name", Subject::new("child", key).unwrap()).unwrap();
        Opening::seal(place, Secret::new("Jane Doe"), &mut StdRng::seed_from_u64(7)).unwrap()
    }

    /// A holder whose vault lies in `data` of this folder, and whose backups in `backups`.
    async fn holder(context: real::Context, place: &Path) -> Holder<real::Context> {
        let keys = HolderKeys {
            principal: "council/vault".parse().unwrap(),
            key: SigningKey::from_ed25519_seed(&[1; 32]),
            sealing: SealingSecret::from_bytes([2; 32].into()),
        };
        let holder = Holder::open(context.child("holder"), "tally", keys).await.unwrap();
        let check = holder.vault().copy_check(&place.join("data")).unwrap();
        let marks = (place.join("memory"), [7; 16]);
        let folder = Folder::new(place.join("backups"), &holder.keys().principal, marks, check.clone());
        holder.with_backups(Some(Backups::new(folder, None, place.join("data"))))
    }

    /// Copies the whole vault into a backup.
    async fn copy(holder: &Holder<real::Context>, time_s: u64) -> String {
        let (vault, backups) = (holder.vault(), holder.backups().unwrap());
        let backup = backups.run(move |folder| folder.begin(time_s)).await.unwrap();
        let (check, name) = (vault.copy_check(backups.disk()).unwrap(), backup.clone());
        backups.run(move |folder| folder.write(&name, &check)).await.unwrap();
        for inner in Vault::<real::Context>::folders() {
            for name in vault.names(inner).await.unwrap() {
                let copy = vault.copy(&name, backups.disk()).await.unwrap().unwrap();
                backups.put(&backup, (name, copy), vault.changes()).await.unwrap();
            }
        }
        backup
    }

    /// The files in all backups, but for those that say which key they are under.
    fn left(folder: &Path) -> usize {
        let entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let is_file = |path: &&PathBuf| path.is_file() && !path.parent().unwrap().ends_with("tally-vault");
        let files = entries.iter().filter(is_file).filter(|path| path.extension().is_none()).count();
        files + entries.iter().filter(|path| path.is_dir()).map(|path| left(path)).sum::<usize>()
    }

    fn run(place: &Path, act: impl AsyncFnOnce(Holder<real::Context>)) {
        fs::create_dir(place.join("backups")).unwrap();
        let config = real::Config::new().with_storage_directory(place.join("data"));
        real::Runner::new(config).start(async |context| act(holder(context, place).await).await);
    }

    /// In a backup that is whole, and in one that is being made.
    #[test]
    fn what_is_destroyed_is_destroyed_in_every_backup_or_not_acknowledged() {
        let place = tempfile::tempdir().unwrap();
        let backups = place.path().join("backups");
        run(place.path(), async |holder| {
            let both = [opening("c-1"), opening("c-2")];
            holder.keep(&both).await.unwrap();
            let first = copy(&holder, 60).await;
            holder.backups().unwrap().run(move |folder| folder.complete(&first)).await.unwrap();
            copy(&holder, 120).await;
            assert_eq!(left(&backups), 4);
            let away = place.path().join("away");
            fs::rename(&backups, &away).unwrap();
            fs::create_dir(&backups).unwrap();
            let error = holder.destroy(&Drawer::of(both[0].place())).await.unwrap_err().to_string();
            assert!(error.contains("backups") && error.contains("mount"), "{error}");
            fs::remove_dir(&backups).unwrap();
            fs::rename(&away, &backups).unwrap();
            assert!(!holder.destroy(&Drawer::of(both[0].place())).await.unwrap(), "it was destroyed here");
            assert_eq!(left(&backups), 2);
            holder.remove(&Drawer::of(both[1].place()), &[both[1].commitment()]).await.unwrap();
            assert_eq!(left(&backups), 0);
        });
    }

    /// One that is slow, and goes on, is waited for.
    #[test]
    fn many_backups_take_as_long_as_they_take() {
        let place = tempfile::tempdir().unwrap();
        run(place.path(), async |holder| {
            let patience = Duration::from_millis(200);
            let slow = holder.backups().unwrap().within(patience, |folder| {
                for _ in 0..10 {
                    thread::sleep(Duration::from_millis(100));
                    folder.wipe("none", "none", "")?;
                }
                Ok(7)
            });
            assert_eq!(slow.await.unwrap(), 7);
        });
    }

    /// Between the copy of a file and when it is put there.
    #[test]
    fn what_is_destroyed_while_it_is_copied_is_not_put_there() {
        let place = tempfile::tempdir().unwrap();
        run(place.path(), async |holder| {
            let (vault, backups, one) = (holder.vault(), holder.backups().unwrap(), opening("c-1"));
            holder.keep(std::slice::from_ref(&one)).await.unwrap();
            vault.changes().begin();
            let backup = backups.run(|folder| folder.begin(60)).await.unwrap();
            let (_, name) = vault.place_of(&Drawer::of(one.place()));
            let copy = vault.copy(&name, backups.disk()).await.unwrap().unwrap();
            holder.destroy(&Drawer::of(one.place())).await.unwrap();
            backups.put(&backup, (name, copy), vault.changes()).await.unwrap();
            assert_eq!(left(&place.path().join("backups")), 0);
            assert_eq!(vault.changes().take().into_iter().collect::<Vec<_>>(), [name]);
            assert!(vault.copy(&name, backups.disk()).await.unwrap().is_none());
        });
    }

    #[test]
    fn a_folder_that_does_not_answer_is_an_error_and_not_asked_again_at_once() {
        let place = tempfile::tempdir().unwrap();
        run(place.path(), async |holder| {
            let (backups, hour) = (holder.backups().unwrap(), Duration::from_millis(50));
            let slow = backups.within(hour, |_| {
                thread::sleep(ERASING_PATIENCE + Duration::from_secs(1));
                Ok(())
            });
            assert!(slow.await.unwrap_err().to_string().contains("does not answer"));
            let drawer = Drawer::of(opening("c-1").place());
            assert!(holder.destroy(&drawer).await.unwrap_err().to_string().contains("does not answer"));
            let begun = Instant::now();
            assert!(holder.destroy(&drawer).await.is_err());
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        });
    }
}
