//! The backups of this node's vault: where they lie, and how that is spoken to, which may be a share that is slow, or away.
//!
//! INVARIANTS:
//! - The folder is touched by one thread of its own, one thing at a time, and nobody but who makes backups waits for it: a share that hangs holds
//!   up no order, no read, and no end of the node.
//! - Nothing here is remembered of the folder: what must not be in a backup is looked for in each that is there.

mod folder;

pub use folder::{Backup, Folder};

use futures::channel::oneshot;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};
use tallystick_protocol::Jurisdiction;
use tallystick_storage::vault::VaultError;

/// How long a folder may take for one thing before it is said that it does not answer; it is waited for all the same.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// Something to be done in the folder.
type Job = Box<dyn FnOnce(&Folder) + Send>;

/// Where a node's backups are, and how they are made.
pub struct Backups {
    path: PathBuf,
    terms: Terms,
    /// The folder in which the node's storage lies.
    disk: PathBuf,
    jobs: Sender<Job>,
    /// What was wrong in the last turn.
    trouble: Mutex<Option<String>>,
}

impl Backups {
    /// Those in this folder, of the vault whose files lie on this disk.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn new(folder: Folder, terms: Terms, disk: PathBuf) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let path = folder.path().to_owned();
        // Nobody waits for its end: it has none while a share hangs.
        thread::Builder::new().name("backups".to_owned()).spawn(move || {
            for job in todo {
                job(&folder);
            }
        })?;
        Ok(Self { path, terms, disk, jobs, trouble: Mutex::default() })
    }

    /// How they are made.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The folder in which the node's storage lies.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Whether something was wrong in the last turn.
    pub fn is_amiss(&self) -> bool {
        self.said().is_some()
    }

    /// Notes how a turn ended; says whether that is news.
    pub fn note(&self, trouble: Option<String>) -> bool {
        let mut said = self.said();
        let is_new = *said != trouble;
        *said = trouble;
        is_new
    }

    /// Does something in the folder, however long it takes.
    ///
    /// # Errors
    /// When it fails, with what to do.
    pub async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, VaultError> {
        let (answer, mut answered) = oneshot::channel();
        let job: Job = Box::new(move |folder| drop(answer.send(folder.reach().and_then(|()| act(folder)))));
        let gone = || self.error("the thread that speaks to it has ended: restart the node".to_owned());
        self.jobs.send(job).map_err(|_| gone())?;
        loop {
            match tokio::time::timeout(PATIENCE, &mut answered).await {
                Ok(Ok(Ok(done))) => return Ok(done),
                Ok(Ok(Err(error))) => return Err(self.error(with_remedy(&error))),
                Ok(Err(_)) => return Err(gone()),
                Err(_) => {
                    let why = "it does not answer: see that it is mounted and can be reached";
                    let error = self.error(why.to_owned()).to_string();
                    if self.note(Some(error.clone())) {
                        tracing::error!(error, "the backup of the vault is amiss, and waited for");
                    }
                }
            }
        }
    }

    fn error(&self, why: String) -> VaultError {
        VaultError::Backups { folder: self.path.display().to_string(), why }
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
    use tallystick_storage::vault::FileCopy;

    #[test]
    fn what_fails_says_what_to_do_and_the_next_thing_is_done() {
        let place = tempfile::tempdir().unwrap();
        let check = FileCopy { folder: "tally-vault".into(), file: "00".into(), bytes: vec![9; 40], partition: None };
        let folder = Folder::new(place.path().join("backups"), "aabbccdd", &"a/vault".parse().unwrap(), check);
        let terms = Terms { jurisdiction: "GB".parse().unwrap(), every_hours: 1, keep_days: 1 };
        let backups = Backups::new(folder, terms, place.path().to_owned()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let error = backups.run(|_| Ok(())).await.unwrap_err().to_string();
            assert!(error.contains("backups") && error.contains("mount it"), "{error}");
            std::fs::create_dir(place.path().join("backups")).unwrap();
            std::fs::write(place.path().join("backups/tally-backups"), "").unwrap();
            assert_eq!(backups.run(|_| Ok(7)).await.unwrap(), 7);
            let full = |_: &Folder| -> io::Result<()> { Err(io::ErrorKind::StorageFull.into()) };
            assert!(backups.run(full).await.unwrap_err().to_string().contains("keep_days"));
        });
        assert!(backups.note(Some("away".into())) && !backups.note(Some("away".into())) && backups.is_amiss());
        assert!(backups.note(None) && !backups.is_amiss());
    }
}
