//! A node's configuration file: where things lie and where it listens. Every path is relative to the file's own folder.

use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tallystick_client::KeyName;
use tallystick_protocol::PrincipalId;

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
        Ok(())
    }
}
