//! The folder in which a node's backups lie: what is done there, with files and nothing else.
//!
//! ```text
//! ‹folder›/
//!   tally-backups                                            made once by whoever keeps the folder: what has it is no empty place for a share
//!   1f3a09bc.hmrc.vault-20261130T044105Z/                    one backup: what is in it is put into data/storage/ as it is
//!     tally-vault/  tally-vault-3fa/  …  tally-vault-pending/
//!   1f3a09bc.hmrc.vault-20261201T044107Z.incomplete/         one that is being made, or removed
//! ```
//!
//! INVARIANTS:
//! - Only what has this network's and this node's name is touched, in it only what has the names of the vault's files, and nothing by way of a link.
//! - What is wiped is overwritten first, and gone from the disk when that is acknowledged.
//! - A backup is complete once it has its own name: all of it is on the disk before.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use tallystick_ledger::moment::{format_timestamp, parse_timestamp};
use tallystick_protocol::{PrincipalId, limits::VAULT_FILE_BYTES_MAX};
use tallystick_storage::vault::{FileCopy, overwrite};

/// What the name of one that is not complete ends with.
const INCOMPLETE: &str = ".incomplete";
/// The file that says that this is the folder, and not the place where a share is to be mounted.
const MARK: &str = "tally-backups";
/// The end of the file that says which key a vault is under, which no other key gives.
const CHECK_BYTES: usize = 32;
/// More bytes than a file of the vault has, with what is before them.
const FILE_BYTES: u64 = 2 * VAULT_FILE_BYTES_MAX as u64;

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backup {
    /// When it was begun, in Unix seconds.
    pub time_s: u64,
    /// Its name.
    pub name: String,
    /// Whether all of it is there.
    pub is_complete: bool,
}

/// The folder of one node's backups.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// What the names of the backups begin with.
    start: String,
    /// The file of the vault that says which key it is under.
    check: FileCopy,
}

impl Folder {
    /// The folder at this path, of the node of this principal in this network, whose vault has this check file.
    pub fn new(path: PathBuf, network: &str, node: &PrincipalId, check: FileCopy) -> Self {
        Self { path, start: format!("{network}.{}-", node.as_str().replace('/', ".")), check }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on only if it is there.
    ///
    /// # Errors
    /// When it is not, with what to do.
    pub fn reach(&self) -> io::Result<()> {
        let remedy = "mount it, or correct `holder.backup.folder`";
        match fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(io::Error::other(format!("it is no folder: {remedy}"))),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{error}: {remedy}"))),
        }
        match fs::symlink_metadata(self.path.join(MARK)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(io::Error::other(format!(
                "there is no file `{MARK}` in it, as in a place where a share is not mounted: {remedy}; if it is the folder, make that file once, \
                 `touch {}`",
                self.path.join(MARK).display()
            ))),
            Err(error) => Err(error),
        }
    }

    /// All of this node's backups, the oldest first; and those that cannot be its own, though they are named so.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn backups(&self) -> io::Result<(Vec<Backup>, Vec<String>)> {
        let (mut found, mut strange) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let Some(backup) = self.backup(entry.file_name().to_string_lossy().into_owned()) else { continue };
            let is_ours = entry.file_type()?.is_dir() && (!backup.is_complete || self.is_under_our_key(&backup));
            if is_ours { found.push(backup) } else { strange.push(backup.name) }
        }
        found.sort();
        Ok((found, strange))
    }

    fn is_under_our_key(&self, backup: &Backup) -> bool {
        let Ok(bytes) = self.read(&backup.name, &self.check.folder, &self.check.file) else { return false };
        bytes.last_chunk::<CHECK_BYTES>().is_some_and(|end| Some(end) == self.check.bytes.last_chunk())
    }

    fn backup(&self, name: String) -> Option<Backup> {
        let (whole, is_complete) = match name.strip_suffix(INCOMPLETE) {
            Some(whole) => (whole, false),
            None => (name.as_str(), true),
        };
        let time_s = seconds(whole.strip_prefix(&self.start)?)?;
        Some(Backup { time_s, name, is_complete })
    }

    /// Begins one; its name until it is complete.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn begin(&self, now_s: u64) -> io::Result<String> {
        let name = format!("{}{}{INCOMPLETE}", self.start, format_timestamp(now_s).replace(['-', ':'], ""));
        DirBuilder::new().mode(0o700).create(self.path.join(&name))?;
        Ok(name)
    }

    /// Puts a file into one that is being made: on the disk when this returns, but for its name.
    ///
    /// # Errors
    /// When it cannot be written, or is there.
    pub fn write(&self, backup: &str, copy: &FileCopy) -> io::Result<()> {
        let folder = self.path.join(backup).join(&copy.folder);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(&copy.file))?;
        file.write_all(&copy.bytes)?;
        file.sync_all()
    }

    /// Gives one its own name, once all of it is on the disk.
    ///
    /// # Errors
    /// When the disk fails, or one of that name is there.
    pub fn complete(&self, backup: &str) -> io::Result<()> {
        let path = self.path.join(backup);
        for folder in self.folders(backup)? {
            sync_folder(&path.join(folder))?;
        }
        sync_folder(&path)?;
        fs::rename(&path, self.path.join(backup.strip_suffix(INCOMPLETE).unwrap_or(backup)))?;
        sync_folder(&self.path)
    }

    /// The vault's folders in a backup.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn folders(&self, backup: &str) -> io::Result<Vec<String>> {
        let is_vaults = |name: &String| {
            let rest = name.strip_prefix(&self.check.folder);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        names(&self.path.join(backup), |kind| kind.is_dir(), is_vaults)
    }

    /// The names of the vault's files in a folder of a backup; none in one that is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn files(&self, backup: &str, folder: &str) -> io::Result<Vec<String>> {
        let is_vaults = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        names(&self.path.join(backup).join(folder), |kind| kind.is_file(), is_vaults)
    }

    /// What a file holds.
    ///
    /// # Errors
    /// When it cannot be read, or is none of the vault's.
    pub fn read(&self, backup: &str, folder: &str, file: &str) -> io::Result<Vec<u8>> {
        let path = self.path.join(backup).join(folder).join(file);
        let found = fs::symlink_metadata(&path)?;
        if !found.is_file() || found.len() > FILE_BYTES {
            return Err(io::Error::other(format!("`{}` is no file of a vault", path.display())));
        }
        fs::read(path)
    }

    /// Overwrites and removes the files of a folder of a backup whose names begin with one of these; says how many there were.
    ///
    /// # Errors
    /// When one cannot be overwritten.
    pub fn wipe(&self, backup: &str, folder: &str, starts: &[String]) -> io::Result<usize> {
        let path = self.path.join(backup).join(folder);
        let is_meant = |name: &String| starts.iter().any(|start| name.starts_with(start));
        let meant: Vec<String> = self.files(backup, folder)?.into_iter().filter(is_meant).collect();
        for name in &meant {
            let file = path.join(name);
            overwrite(&file)?;
            fs::remove_file(&file)?;
        }
        if !meant.is_empty() {
            sync_folder(&path)?;
        }
        Ok(meant.len())
    }

    /// Removes a backup: from the first moment on it is not complete.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(&self, backup: &Backup) -> io::Result<()> {
        let mut path = self.path.join(&backup.name);
        if backup.is_complete {
            let condemned = self.path.join(format!("{}{INCOMPLETE}", backup.name));
            fs::rename(&path, &condemned)?;
            path = condemned;
        }
        fs::remove_dir_all(path)?;
        sync_folder(&self.path)
    }
}

/// The names of what is in a folder, of this kind and form; none in one that is not there, or is a link.
fn names(
    folder: &Path,
    is_kind: impl Fn(&fs::FileType) -> bool,
    is_form: impl Fn(&String) -> bool,
) -> io::Result<Vec<String>> {
    match fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_kind(&entry.file_type()?) && is_form(&name) {
            names.push(name);
        }
    }
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

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::os::unix::fs::symlink;

    const INNER: &str = "tally-vault-3fa";
    /// Bytes of a file that is overwritten in two pieces.
    const LONG: usize = 64 * 1_024 + 9;

    fn folder(at: &Path, network: &str, node: &str) -> Folder {
        fs::create_dir_all(at).unwrap();
        fs::write(at.join(MARK), "").unwrap();
        Folder::new(at.to_owned(), network, &node.parse().unwrap(), copy("tally-vault", "00", &[9; 40]))
    }

    fn copy(folder: &str, file: &str, bytes: &[u8]) -> FileCopy {
        FileCopy { folder: folder.into(), file: file.into(), bytes: bytes.into(), partition: None }
    }

    /// A backup with these files, complete.
    fn make(folder: &Folder, time_s: u64, files: &[(&str, &[u8])]) -> Backup {
        let name = folder.begin(time_s).unwrap();
        folder.write(&name, &folder.check).unwrap();
        files.iter().for_each(|(file, bytes)| folder.write(&name, &copy(INNER, file, bytes)).unwrap());
        folder.complete(&name).unwrap();
        let name = name.strip_suffix(INCOMPLETE).unwrap().to_owned();
        Backup { time_s, name, is_complete: true }
    }

    #[test]
    fn a_backup_has_its_name_once_it_is_whole_and_others_are_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let names = [("aabbccdd", "a/vault"), ("aabbccdd", "a/vault-2"), ("00bbccdd", "a/vault")];
        let all = names.map(|(network, node)| folder(place.path(), network, node));
        let made = all.each_ref().map(|folder| make(folder, 1_796_013_665, &[("aa01", b"sealed")]));
        assert_eq!(made[0].name, "aabbccdd.a.vault-20261130T044105Z");
        let begun = all[0].begin(1_796_013_666).unwrap();
        assert_eq!(all[0].backups().unwrap().0[1], Backup { time_s: 1_796_013_666, name: begun, is_complete: false });
        all[0].backups().unwrap().0.iter().for_each(|backup| all[0].remove(backup).unwrap());
        assert_eq!(all[0].backups().unwrap(), (Vec::new(), Vec::new()));
        for (folder, made) in all.iter().zip(&made).skip(1) {
            assert_eq!(folder.backups().unwrap(), (vec![made.clone()], Vec::new()));
            assert_eq!(folder.read(&made.name, INNER, "aa01").unwrap(), b"sealed");
        }
    }

    #[test]
    fn what_is_wiped_is_overwritten_first() {
        let place = tempfile::tempdir().unwrap();
        let (folder, link) = (folder(&place.path().join("backups"), "aabbccdd", "a/vault"), place.path().join("link"));
        let made = make(&folder, 60, &[("aa01", &vec![5; LONG]), ("bb01", b"sealed")]);
        fs::hard_link(folder.path.join(&made.name).join(INNER).join("aa01"), &link).unwrap();
        assert_eq!(folder.wipe(&made.name, INNER, &["cc".into()]).unwrap(), 0);
        assert_eq!(fs::read(&link).unwrap()[0], 5);
        assert_eq!(folder.wipe(&made.name, INNER, &["cc".into(), "aa".into()]).unwrap(), 1);
        assert_eq!(fs::read(&link).unwrap(), vec![0; LONG]);
        assert_eq!(folder.files(&made.name, INNER).unwrap(), ["bb01"]);
    }

    /// Of somebody's who can write there, or of the system's.
    #[test]
    fn strange_things_are_left_alone_and_stop_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folder = folder(&place.path().join("backups"), "aabbccdd", "a/vault");
        let made = make(&folder, 60, &[("aa01", b"sealed")]);
        let other = make(&folder, 120, &[]);
        let inner = folder.path.join(&made.name).join(INNER);
        let key = place.path().join("validator.pem");
        fs::write(&key, "secret").unwrap();
        symlink(&key, inner.join("aa02")).unwrap();
        symlink(place.path(), folder.path.join("aabbccdd.a.vault-20261130T044105Z")).unwrap();
        symlink(place.path(), folder.path.join(&made.name).join("tally-vault-3fb")).unwrap();
        fs::write(inner.join(".nfs0001"), "").unwrap();
        fs::write(folder.path.join(&made.name).join(".DS_Store"), "").unwrap();
        // Under another key.
        fs::write(folder.path.join(&other.name).join("tally-vault/00"), [8; 40]).unwrap();
        let (found, strange) = folder.backups().unwrap();
        assert_eq!((found, strange.len()), (vec![made.clone()], 2));
        assert_eq!(folder.folders(&made.name).unwrap(), ["tally-vault", INNER]);
        assert_eq!(folder.wipe(&made.name, INNER, &[String::new()]).unwrap(), 1);
        assert_eq!(folder.wipe(&made.name, "tally-vault-3fb", &[String::new()]).unwrap(), 0);
        folder.remove(&made).unwrap();
        assert_eq!(fs::read_to_string(&key).unwrap(), "secret");
    }

    #[test]
    fn a_place_where_nothing_is_mounted_is_not_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let folder = folder(&place.path().join("backups"), "aabbccdd", "a/vault");
        folder.reach().unwrap();
        fs::remove_file(folder.path.join(MARK)).unwrap();
        let told = folder.reach().unwrap_err().to_string();
        assert!(told.contains("not mounted") && told.contains("touch"), "{told}");
    }

    #[test]
    fn one_that_was_broken_off_is_removed_whatever_is_in_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = folder(place.path(), "aabbccdd", "a/vault");
        let name = folder.begin(60).unwrap();
        folder.write(&name, &copy("tally-vault", "00", b"")).unwrap();
        let (found, strange) = folder.backups().unwrap();
        assert_eq!((found.len(), found[0].is_complete, strange.len()), (1, false, 0));
        folder.remove(&found[0]).unwrap();
        assert_eq!(folder.backups().unwrap().0, []);
    }
}
