//! A node's configuration file: where things lie and where it listens. Every path is relative to the file's own folder.

use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Component, Path, PathBuf},
};
use tallystick_client::KeyName;
use tallystick_protocol::{
    Jurisdiction, PrincipalId,
    limits::{BACKUP_DAYS_MAX, BACKUP_HOURS_MAX, BACKUPS_MAX},
};

/// The configuration of one node.
///
/// ```toml
/// network_file = "network.json"
/// data_dir = "data"
/// key = "validator.pem"
/// passphrase_file = "passphrase"
/// listen = "0.0.0.0:9000"
/// http = "127.0.0.1:8080"
///
/// [holder]
/// principal = "hmrc/vault"
/// key = "holder.pem"
/// sealing = "sealing.pem"
///
/// [holder.backup]
/// folder = "/mnt/backups"
/// jurisdiction = "GB"
/// every_hours = 24
/// keep_days = 30
///
/// [[peers]]
/// key = "3d40…"
/// address = "node.example.org:9000"
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The network's genesis: its trust anchor.
    pub network_file: PathBuf,
    /// Where the node keeps everything it stores. Nothing else may lie there.
    pub data_dir: PathBuf,
    /// The validator's Ed25519 key: a passphrase-protected file, or the PKCS#11 URI of a key in a token.
    pub key: KeyName,
    /// The key that takes its place once the network counts it, under the same passphrase: see `tally node rotate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_key: Option<KeyName>,
    /// A file whose first line is the passphrase, or the PIN; without it the environment variable `TALLY_PASSPHRASE` is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    /// A recovery that the node is to take on: see `tally network recover`. Once it did, this may be left out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_file: Option<PathBuf>,
    /// Where peers reach the node.
    pub listen: SocketAddr,
    /// Where clients reach the node.
    pub http: SocketAddr,
    /// As whom the node holds what only some may see; without it, it holds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<HolderConfig>,
    /// The other nodes of the network.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// MiB of the state that are kept in memory.
    #[serde(default = "cache_mib")]
    pub cache_mib: usize,
    /// How much the node says of itself.
    #[serde(default)]
    pub log: Log,
}

/// A node as a holder: `tally node holder` makes the two files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderConfig {
    /// Its principal: a device or a program of its organisation.
    pub principal: PrincipalId,
    /// The principal's key: a passphrase-protected file, or the PKCS#11 URI of a key in a token.
    pub key: KeyName,
    /// The secret that its vault is under, and from which the key comes that parcels for it are encrypted to: a file of the same kind.
    pub sealing: PathBuf,
    /// A file whose first line is the passphrase of both; without it that of the node's own key is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    /// Where its vault is backed up; without it, it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupConfig>,
}

/// How a vault is backed up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// A folder that is there, such as one of a share that is mounted: outside the data folder.
    pub folder: PathBuf,
    /// Where that stands, under whose law: what an agreement does not allow to be held there is not copied.
    pub jurisdiction: Jurisdiction,
    /// Hours from one backup to the next.
    #[serde(default = "every_hours")]
    pub every_hours: u32,
    /// Days for which each is kept; the newest always is.
    #[serde(default = "keep_days")]
    pub keep_days: u32,
}

/// Another node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its Ed25519 key, 64 hexadecimal digits, as in the network file.
    pub key: String,
    /// Where it listens: `192.0.2.1:9000` or `node.example.org:9000`.
    pub address: String,
}

/// What the node writes to standard error.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `warn,tallystick_node=debug`. With `info` and `debug`
    /// the engine under the node says less than the node.
    pub level: String,
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

fn cache_mib() -> usize {
    64
}

fn every_hours() -> u32 {
    24
}

fn keep_days() -> u32 {
    30
}

/// Why a configuration is none.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration file {path} cannot be read: {source}: name an existing file with --config", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It does not parse.
    #[error("the configuration file {path} is not right: {detail}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        detail: String,
    },
    /// A path in it leads nowhere.
    #[error("`{field}` in {path} names {target}, which does not exist: correct the path, or create it with {remedy}", path = path.display(), target = target.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Where it leads.
        target: PathBuf,
        /// The command that makes one.
        remedy: &'static str,
    },
    /// A value in it cannot be.
    #[error("`{field}` in {path} is {value}: {remedy}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
        /// What it can be.
        remedy: String,
    },
}

impl Config {
    /// Reads a file; the paths in what it returns are complete, and lead to files that exist.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), detail: error.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for field in [&mut config.network_file, &mut config.data_dir] {
            *field = folder.join(&*field);
        }
        config.key = config.key.relative_to(folder);
        config.next_key = config.next_key.map(|key| key.relative_to(folder));
        config.passphrase_file = config.passphrase_file.map(|file| folder.join(file));
        config.recovery_file = config.recovery_file.map(|file| folder.join(file));
        if let Some(holder) = config.holder.take() {
            config.holder = Some(HolderConfig {
                key: holder.key.relative_to(folder),
                sealing: folder.join(holder.sealing),
                passphrase_file: holder.passphrase_file.map(|file| folder.join(file)),
                principal: holder.principal,
                backup: holder.backup.map(|backup| BackupConfig { folder: folder.join(backup.folder), ..backup }),
            });
        }
        config.check(path)?;
        Ok(config)
    }

    /// The same with the next key in the place of the key; none if it names no next.
    #[must_use]
    pub fn with_next_key(self) -> Option<Self> {
        let key = self.next_key?;
        Some(Self { key, next_key: None, ..self })
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        fn file(key: &KeyName) -> Option<&PathBuf> {
            match key {
                KeyName::File(path) => Some(path),
                KeyName::Token(_) => None,
            }
        }
        let holder = self.holder.as_ref();
        let must_exist = [
            ("network_file", Some(&self.network_file), "`tally network assemble`"),
            ("key", file(&self.key), "`tally network join`"),
            ("next_key", self.next_key.as_ref().and_then(file), "`tally node rotate`"),
            ("passphrase_file", self.passphrase_file.as_ref(), "your passphrase on its first line"),
            ("recovery_file", self.recovery_file.as_ref(), "`tally network recover`"),
            ("holder.key", holder.and_then(|holder| file(&holder.key)), "`tally node holder`"),
            ("holder.sealing", holder.map(|holder| &holder.sealing), "`tally node holder`"),
            (
                "holder.passphrase_file",
                holder.and_then(|holder| holder.passphrase_file.as_ref()),
                "your passphrase on its first line",
            ),
        ];
        for (field, target, remedy) in must_exist {
            if let Some(target) = target
                && !target.exists()
            {
                let (path, target) = (path.to_owned(), target.clone());
                return Err(ConfigError::Missing { path, field, target, remedy });
            }
        }
        holder.and_then(|holder| holder.backup.as_ref()).map_or(Ok(()), |backup| self.check_backup(path, backup))
    }

    /// The folder need not be there: a share may be away, and the node must start.
    fn check_backup(&self, path: &Path, backup: &BackupConfig) -> Result<(), ConfigError> {
        let wrong = |field, value: String, remedy: String| {
            Err(ConfigError::Value { path: path.to_owned(), field, value, remedy })
        };
        // Not looked at: a share that is away would hold up the start.
        let (folder, data) = (lexical(&backup.folder), lexical(&self.data_dir));
        if folder.starts_with(&data) || data.starts_with(&folder) {
            let remedy = "name a folder outside `data_dir`, and not around it: on another disk or a share".to_owned();
            return wrong("holder.backup.folder", folder.display().to_string(), remedy);
        }
        let numbers = [
            ("holder.backup.every_hours", backup.every_hours, BACKUP_HOURS_MAX),
            ("holder.backup.keep_days", backup.keep_days, BACKUP_DAYS_MAX),
        ];
        for (field, value, max) in numbers {
            if !(1..=max).contains(&value) {
                return wrong(field, value.to_string(), format!("say a number from 1 to {max}"));
            }
        }
        let kept = backup.keep_days * 24 / backup.every_hours;
        if kept > BACKUPS_MAX {
            let remedy =
                format!("say fewer, or more for `every_hours`: {kept} backups would be kept, and {BACKUPS_MAX} can");
            return wrong("holder.backup.keep_days", backup.keep_days.to_string(), remedy);
        }
        Ok(())
    }
}

/// The path without `.` and `..`, as far as its text tells.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What is said of a configuration with these lines in `[holder.backup]`.
    fn read(lines: &str) -> Result<BackupConfig, String> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("node.toml");
        for file in ["network.json", "validator.pem", "holder.pem", "sealing.pem"] {
            std::fs::write(place.path().join(file), "").unwrap();
        }
        let text = format!(
            "network_file = \"network.json\"\ndata_dir = \"data\"\nkey = \"validator.pem\"\nlisten = \"127.0.0.1:9000\"\n\
             http = \"127.0.0.1:8080\"\n[holder]\nprincipal = \"hmrc/vault\"\nkey = \"holder.pem\"\nsealing = \"sealing.pem\"\n\
             [holder.backup]\n{lines}\n"
        );
        std::fs::write(&path, text).unwrap();
        let config = Config::read(&path).map_err(|error| error.to_string())?;
        let backup = config.holder.unwrap().backup.unwrap();
        assert!(backup.folder.is_absolute(), "{}", backup.folder.display());
        Ok(backup)
    }

    #[test]
    fn a_backup_says_where_and_under_whose_law() {
        let backup = read("folder = \"backups\"\njurisdiction = \"GB-SCT\"").unwrap();
        assert_eq!((backup.jurisdiction.as_str(), backup.every_hours, backup.keep_days), ("GB-SCT", 24, 30));
        let rows = [
            ("jurisdiction = \"GB\"", "missing field `folder`"),
            ("folder = \"backups\"", "missing field `jurisdiction`"),
            ("folder = \"backups\"\njurisdiction = \"Britain\"", "jurisdiction"),
            ("folder = \"backups\"\njurisdiction = \"GB\"\nevery_days = 1", "unknown field `every_days`"),
            ("folder = \"data/backups\"\njurisdiction = \"GB\"", "`holder.backup.folder`"),
            ("folder = \".\"\njurisdiction = \"GB\"", "outside `data_dir`"),
            ("folder = \"backups\"\njurisdiction = \"GB\"\nevery_hours = 0", "is 0: say a number from 1 to 744"),
            ("folder = \"backups\"\njurisdiction = \"GB\"\nkeep_days = 99999", "`holder.backup.keep_days`"),
            ("folder = \"backups\"\njurisdiction = \"GB\"\nevery_hours = 1\nkeep_days = 42", "1008 backups"),
        ];
        for (lines, expected) in rows {
            let error = read(lines).unwrap_err();
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }
}
