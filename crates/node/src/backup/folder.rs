//! The folder in which a node's backups lie: what is done there, one thing at a time, with files and nothing else.
//!
//! ```text
//! ‹folder›/
//!   hmrc.vault.mark                                 that this is the folder in which this node's backups lie
//!   hmrc.vault-20261130T044105Z/                    one backup: to be put into data/storage/ as it is
//!     tally-vault/  tally-vault-3fa/  …  tally-vault-pending/
//!   hmrc.vault-20261201T044107Z.incomplete/         one that is being made, or removed
//! ```
//!
//! INVARIANTS:
//! - A folder without the mark that the node remembers is not its own, as the empty place is where a share is not mounted: nothing is read
//!   there, and nothing taken to be gone.
//! - What has a backup's own name is whole.
//! - What is wiped is overwritten, and that is on the disk before it is removed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tallystick_ledger::moment::{format_timestamp, parse_timestamp};
use tallystick_protocol::PrincipalId;
use tallystick_storage::vault::FileCopy;

/// What the name of one ends with that is being made, or removed.
const INCOMPLETE: &str = ".incomplete";
/// Bytes overwritten at once.
const WIPE_BYTES: usize = 64 * 1_024;
/// Bytes at the end of the file that says which key a vault is under.
const CHECK_BYTES: usize = 32;
/// Bytes of a mark.
const MARK_BYTES: usize = 32;

/// Where one node's backups lie.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// What the names of everything of this node begin with there. No slug holds a dot.
    node: String,
    /// The file in which the node remembers the mark.
    memory: PathBuf,
    /// The mark of a folder that has none, and of a node that remembers none.
    new_mark: String,
    /// What says in each backup under which key it is.
    check: FileCopy,
    /// Things that were done there.
    steps: Arc<AtomicU64>,
}

/// A backup that lies there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backup {
    /// When it was begun, in seconds since 1970.
    pub time_s: u64,
    /// The name of its folder.
    pub name: String,
    /// Whether it is whole.
    pub is_complete: bool,
}

impl Folder {
    /// The folder of this node, which remembers the mark in `memory`; a new one is made from these bytes. `check` is the file of the vault that
    /// says which key it is under.
    pub fn new(
        path: PathBuf,
        node: &PrincipalId,
        (memory, random): (PathBuf, [u8; MARK_BYTES / 2]),
        check: FileCopy,
    ) -> Self {
        Self {
            path,
            node: node.as_str().replace('/', "."),
            memory,
            new_mark: hex::encode(random),
            check,
            steps: Arc::default(),
        }
    }

    /// How much was done there: as long as that grows it answers.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Where the backups lie that a node remembers; none where it never had any.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remembered(memory: &Path) -> io::Result<Option<PathBuf>> {
        Ok(read_mark(memory)?.map(|(_, path)| path.into()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on only if this is the folder, or is made so because the node remembers none: asked before anything else is done there.
    ///
    /// # Errors
    /// When it is not there, or another, with what to do.
    pub fn reach(&self) -> io::Result<()> {
        fs::metadata(&self.path).map_err(|error| told(&error, "mount it, or correct `holder.backup.folder`"))?;
        let place = self.path.join(format!("{}.mark", self.node));
        let path = self.path.display().to_string();
        match (read_mark(&place)?, read_mark(&self.memory)?) {
            (Some((there, _)), Some((mark, remembered))) if there == mark && remembered == path => Ok(()),
            // The node's disk is new, or the folder was moved.
            (Some((there, _)), remembered) if remembered.as_ref().is_none_or(|(mark, _)| *mark == there) => {
                write_mark(&self.memory, &[&there, &path])
            }
            (None, None) => {
                write_mark(&place, &[&self.new_mark])?;
                write_mark(&self.memory, &[&self.new_mark, &path])
            }
            (_, _) => Err(io::Error::other(format!(
                "it is not the folder in which this node's backups lie: mount that, or move what is in it here with `{}.mark`; \
                 if it is gone for good, with all backups in it, remove {}",
                self.node,
                self.memory.display()
            ))),
        }
    }

    /// All of this node's backups, the oldest first.
    ///
    /// # Errors
    /// Also when one is under another key: nobody finds there whose values are in which file.
    pub fn backups(&self) -> io::Result<Vec<Backup>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            found.extend(self.backup(name));
        }
        found.sort();
        found.iter().try_for_each(|backup| self.check(backup))?;
        Ok(found)
    }

    fn check(&self, backup: &Backup) -> io::Result<()> {
        self.step();
        let path = self.path.join(&backup.name).join(&self.check.folder).join(&self.check.file);
        let is_ours = match fs::read(path) {
            Ok(bytes) => bytes.last_chunk::<CHECK_BYTES>() == self.check.bytes.last_chunk(),
            Err(error) if error.kind() == ErrorKind::NotFound => !backup.is_complete,
            Err(error) => return Err(error),
        };
        if is_ours {
            return Ok(());
        }
        let what = "is under another secret than this node's vault, or not whole, and nothing can be destroyed in it: remove it";
        Err(io::Error::other(format!("`{}` {what}", backup.name)))
    }

    fn backup(&self, name: String) -> Option<Backup> {
        let (whole, is_complete) = match name.strip_suffix(INCOMPLETE) {
            Some(whole) => (whole, false),
            None => (name.as_str(), true),
        };
        let time = whole.strip_prefix(&self.node)?.strip_prefix('-')?;
        let time_s = seconds(time)?;
        Some(Backup { time_s, name, is_complete })
    }

    /// Begins one; its name until it is complete.
    pub fn begin(&self, now_s: u64) -> io::Result<String> {
        let time = format_timestamp(now_s).replace(['-', ':'], "");
        let name = format!("{}-{time}{INCOMPLETE}", self.node);
        make_folder(&self.path.join(&name))?;
        Ok(name)
    }

    /// Puts a file into one that is being made: on the disk when this returns, but for its name.
    pub fn write(&self, backup: &str, copy: &FileCopy) -> io::Result<()> {
        let folder = self.path.join(backup).join(&copy.folder);
        make_folder(&folder)?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(&copy.file))?;
        file.write_all(&copy.bytes)?;
        file.sync_all()
    }

    /// Gives one its own name, once all of it is on the disk.
    pub fn complete(&self, backup: &str) -> io::Result<()> {
        let path = self.path.join(backup);
        for folder in self.folders(backup)? {
            sync_folder(&path.join(folder))?;
        }
        sync_folder(&path)?;
        fs::rename(&path, self.path.join(backup.strip_suffix(INCOMPLETE).unwrap_or(backup)))?;
        sync_folder(&self.path)
    }

    /// The folders in a backup.
    pub fn folders(&self, backup: &str) -> io::Result<Vec<String>> {
        names(&self.path.join(backup))
    }

    /// The files in a folder of a backup, each with what it holds; none in one that is not there.
    pub fn files(&self, backup: &str, folder: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
        let path = self.path.join(backup).join(folder);
        let read = |name: String| fs::read(path.join(&name)).map(|bytes| (name, bytes));
        names(&path)?.into_iter().map(read).collect()
    }

    /// Overwrites and removes the files of a folder of a backup whose names begin so: they are gone from the disk when this returns.
    pub fn wipe(&self, backup: &str, folder: &str, start: &str) -> io::Result<()> {
        self.step();
        let path = self.path.join(backup).join(folder);
        let mut wiped = false;
        for name in names(&path)?.into_iter().filter(|name| name.starts_with(start)) {
            let file = path.join(name);
            overwrite(&file)?;
            fs::remove_file(&file)?;
            wiped = true;
        }
        if wiped { sync_folder(&path) } else { Ok(()) }
    }

    /// The same in every backup.
    pub fn wipe_everywhere(&self, folder: &str, start: &str) -> io::Result<()> {
        self.backups()?.iter().try_for_each(|backup| self.wipe(&backup.name, folder, start))
    }

    /// Takes its own name from a backup that is to be removed: the new one.
    pub fn condemn(&self, backup: &str) -> io::Result<String> {
        let name = format!("{backup}{INCOMPLETE}");
        fs::rename(self.path.join(backup), self.path.join(&name))?;
        Ok(name)
    }

    /// Removes a folder of a backup, with all that is in it.
    pub fn remove_folder(&self, backup: &str, folder: &str) -> io::Result<()> {
        fs::remove_dir_all(self.path.join(backup).join(folder))
    }

    /// Removes a backup in which nothing is left.
    pub fn remove(&self, backup: &str) -> io::Result<()> {
        fs::remove_dir(self.path.join(backup))?;
        sync_folder(&self.path)
    }
}

/// The names of what is in a folder; none in one that is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}

/// Of `20261130T044105Z`.
fn seconds(time: &str) -> Option<u64> {
    let part = |range| time.get::<std::ops::Range<usize>>(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(9..11)?, part(11..13)?, time.get(13..)?);
    let text = format!("{year}-{month}-{day}{}{hour}:{minute}:{second}", part(8..9)?);
    parse_timestamp(&text)
}

fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let size = file.metadata()?.len();
    file.rewind()?;
    let mut at = 0;
    while at < size {
        let bytes = usize::try_from(size - at).unwrap_or(WIPE_BYTES).min(WIPE_BYTES);
        file.write_all(&vec![0; bytes])?;
        at += bytes as u64;
    }
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A mark, and what else stands there.
fn read_mark(path: &Path) -> io::Result<Option<(String, String)>> {
    match fs::read_to_string(path) {
        // What a crash tore, before anything was put beside it, has no end of the line.
        Ok(text) => Ok(text
            .strip_suffix('\n')
            .map(|text| text.split_once('\n').unwrap_or((text, "")))
            .filter(|(mark, _)| mark.len() == MARK_BYTES)
            .map(|(mark, rest)| (mark.to_owned(), rest.to_owned()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_mark(path: &Path, lines: &[&str]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(format!("{}\n", lines.join("\n")).as_bytes())?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}

fn told(error: &io::Error, remedy: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{error}: {remedy}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn folder(at: &Path, node: &str) -> Folder {
        let (path, memory) = (at.join("backups"), at.join(format!("memory-{}", node.replace('/', "."))));
        Folder::new(path, &node.parse().unwrap(), (memory, [7; 16]), copy("tally-vault", "00", &[9; 40]))
    }

    fn copy(folder: &str, file: &str, bytes: &[u8]) -> FileCopy {
        FileCopy { folder: folder.into(), file: file.into(), bytes: bytes.into(), partition: None }
    }

    #[test]
    fn a_backup_has_its_name_once_it_is_whole_and_others_are_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("backups")).unwrap();
        let (ours, theirs) = (folder(place.path(), "a/vault"), folder(place.path(), "a/vault-2"));
        for folder in [&ours, &theirs] {
            folder.reach().unwrap();
            let name = folder.begin(1_796_013_665).unwrap();
            folder.write(&name, &folder.check).unwrap();
            folder.write(&name, &copy("tally-vault-3fa", "aa01", b"sealed")).unwrap();
            assert!(!folder.backups().unwrap()[0].is_complete);
            folder.complete(&name).unwrap();
        }
        let expected = Backup { time_s: 1_796_013_665, name: "a.vault-20261130T044105Z".into(), is_complete: true };
        assert_eq!(ours.backups().unwrap(), std::slice::from_ref(&expected));
        ours.wipe_everywhere("tally-vault-3fa", "aa").unwrap();
        assert_eq!(ours.files(&expected.name, "tally-vault-3fa").unwrap(), []);
        let condemned = ours.condemn(&expected.name).unwrap();
        assert!(!ours.backups().unwrap()[0].is_complete);
        for folder in ours.folders(&condemned).unwrap() {
            ours.remove_folder(&condemned, &folder).unwrap();
        }
        ours.remove(&condemned).unwrap();
        assert_eq!((ours.backups().unwrap().len(), theirs.backups().unwrap().len()), (0, 1));
        let left = &theirs.backups().unwrap()[0].name;
        assert_eq!(theirs.files(left, "tally-vault-3fa").unwrap(), [("aa01".to_owned(), b"sealed".to_vec())]);
    }

    #[test]
    fn what_is_wiped_is_overwritten_first() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("backups")).unwrap();
        let (folder, link) = (folder(place.path(), "a/vault"), place.path().join("link"));
        let name = folder.begin(60).unwrap();
        folder.write(&name, &copy("tally-vault-3fa", "aa01", &vec![5; WIPE_BYTES + 9])).unwrap();
        fs::hard_link(folder.path.join(&name).join("tally-vault-3fa/aa01"), &link).unwrap();
        folder.wipe_everywhere("tally-vault-3fa", "bb").unwrap();
        assert_eq!(fs::read(&link).unwrap()[0], 5);
        folder.wipe_everywhere("tally-vault-3fa", "aa").unwrap();
        assert_eq!(fs::read(&link).unwrap(), vec![0; WIPE_BYTES + 9]);
    }

    #[test]
    fn a_backup_under_another_key_is_no_empty_one() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("backups")).unwrap();
        let folder = folder(place.path(), "a/vault");
        let name = folder.begin(60).unwrap();
        folder.wipe_everywhere("tally-vault-3fa", "aa").unwrap();
        folder.write(&name, &copy("tally-vault", "00", &[8; 40])).unwrap();
        folder.complete(&name).unwrap();
        let error = folder.wipe_everywhere("tally-vault-3fa", "aa").unwrap_err().to_string();
        assert!(error.contains("`a.vault-19700101T000100Z` is under another secret"), "{error}");
    }

    /// Where a share is not mounted its place is empty, or is not there: nothing is taken to be gone, and nothing put there.
    #[test]
    fn an_empty_place_is_not_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let (folder, path) = (folder(place.path(), "a/vault"), place.path().join("backups"));
        assert!(folder.reach().unwrap_err().to_string().contains("mount it"));
        fs::create_dir(&path).unwrap();
        folder.reach().unwrap();
        folder.reach().unwrap();
        fs::rename(&path, place.path().join("unmounted")).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(folder.reach().unwrap_err().to_string().contains("a.vault.mark"));
        assert_eq!(names(&path).unwrap(), Vec::<String>::new());
        // It is known where it was moved to, and by a node whose data folder is new.
        let moved = Folder { path: place.path().join("unmounted"), ..folder.clone() };
        moved.reach().unwrap();
        assert_eq!(Folder::remembered(&folder.memory).unwrap(), Some(moved.path.clone()));
        fs::remove_file(&folder.memory).unwrap();
        assert_eq!(Folder::remembered(&folder.memory).unwrap(), None);
        moved.reach().unwrap();
        assert_eq!(Folder::remembered(&folder.memory).unwrap(), Some(moved.path));
    }
}
