//! `tally node`: run one node, write its configuration file, or say on the ledger what it holds.

pub mod holder;
mod peers;
mod registry;
mod rotate;

use crate::output::{Doing, Done, Failure, line, say};
use clap::{Args, Subcommand};
use std::{
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
};
use tallystick_client::{KeyName, read_network};
use tallystick_node::config::Config;
use tallystick_protocol::PublicKey;
use toml_edit::DocumentMut;

/// Run a node from its configuration file
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = AFTER)]
pub struct Node {
    #[command(subcommand)]
    command: Option<NodeCommand>,
    /// The node's configuration file; `tally node init` writes one
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Stop when standard input is closed: for a supervisor that may be killed
    #[arg(long, hide = true)]
    stop_with_parent: bool,
}

const AFTER: &str = "The node runs until it gets SIGTERM or SIGINT, and writes its log to standard error. Its passphrase comes \
    from the file that `passphrase_file` names, or from the environment variable TALLY_PASSPHRASE.\n\n\
    Examples:\n  \
    tally node init --network network.json --key validator.pem --peer 6f1c…=node.hmrc.example:9000 -o node.toml\n  \
    tally node --config node.toml";

#[derive(Debug, Subcommand)]
enum NodeCommand {
    Init(Init),
    Rotate(Box<rotate::Rotate>),
    Peers(Box<peers::Peers>),
    Holder(holder::Holder),
    Register(registry::Register),
    Retire(registry::Retire),
    List(registry::List),
}

/// Write a configuration file with every setting explained
#[derive(Debug, Args)]
struct Init {
    /// The network's trust anchor
    #[arg(long, value_name = "FILE", default_value = "network.json")]
    network: PathBuf,
    /// The validator's key: the file that `tally network join` made, or a PKCS#11 URI
    #[arg(long, value_name = "FILE|URI", default_value = "validator.pem")]
    key: KeyName,
    /// A file whose first line is the key's passphrase, or the token's PIN
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The folder for everything the node stores [default: `data` beside the configuration file]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the other nodes reach this one
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:9000")]
    listen: SocketAddr,
    /// Where clients reach this one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Another validator and where it listens: ORGANISATION=HOST:PORT, or KEY=HOST:PORT; once for each
    #[arg(long = "peer", value_name = "WHO=HOST:PORT")]
    peers: Vec<String>,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "node.toml")]
    output: PathBuf,
}

impl Node {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Some(NodeCommand::Init(command)) => return command.run(),
            Some(NodeCommand::Rotate(command)) => return command.run(),
            Some(NodeCommand::Peers(command)) => return command.run(),
            Some(NodeCommand::Holder(command)) => return command.run(),
            Some(NodeCommand::Register(command)) => return command.run(),
            Some(NodeCommand::Retire(command)) => return command.run(),
            Some(NodeCommand::List(command)) => return command.run(),
            None => {}
        }
        let path = self.config.ok_or_else(|| Failure::error("name the configuration file with --config"))?;
        if self.stop_with_parent {
            thread::spawn(stop_when_input_ends);
        }
        tallystick_node::run(&path).map_err(Failure::error)
    }
}

/// The supervisor holds the other end of standard input, and never writes: it ends with the supervisor.
fn stop_when_input_ends() {
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
}

impl Init {
    fn run(self) -> Done {
        let genesis = read_network(&self.network)?;
        let mut peers = Vec::new();
        for text in &self.peers {
            let (who, address) = text
                .split_once('=')
                .ok_or_else(|| Failure::error(format!("`{text}` is not a peer: write ORGANISATION=HOST:PORT")))?;
            for key in keys_of(&genesis, who)? {
                peers.push((who.to_owned(), key, address.to_owned()));
            }
        }
        let missing = genesis.validators.len().saturating_sub(peers.len() + 1);
        let text = self.text(&peers);
        write_new(&self.output, &text)?;
        toml::from_str::<Config>(&text).doing(|| format!("`{}` came out wrong", self.output.display()))?;
        line(format_args!("wrote {}", self.output.display()))?;
        if missing > 0 {
            say(format_args!(
                "{missing} of the other validators have no address yet: add them under [[peers]] before you start the node"
            ));
        }
        line(format_args!("start the node with: tally node --config {}", self.output.display()))
    }

    /// Paths are given from here, and read from where the file is.
    fn seen_from_the_file(&self, path: &Path) -> PathBuf {
        let beside = self.output.parent().is_none_or(|folder| folder.as_os_str().is_empty());
        if beside { path.to_owned() } else { std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) }
    }

    fn text(&self, peers: &[(String, [u8; 32], String)]) -> String {
        let quoted = |path: &Path| toml::Value::String(self.seen_from_the_file(path).display().to_string()).to_string();
        let passphrase = match &self.passphrase_file {
            Some(file) => format!("passphrase_file = {}", quoted(file)),
            None => "# passphrase_file = \"passphrase\"".to_owned(),
        };
        let mut text = format!(
            "# One node of a Tallystick network. Paths are relative to this file.\n\n\
             # The trust anchor: the same file on every node.\n\
             network_file = {network}\n\
             # Everything the node stores; nothing else may lie there. If it is lost the node fetches it from its peers.\n\
             data_dir = {data}\n\
             # The validator's key: a file protected by a passphrase (keep a copy apart from data_dir), or a key in a token:\n\
             # key = \"pkcs11:token=…;object=…?module-path=…&pin-source=file:pin\"\n\
             key = {key}\n\
             # The key that takes its place: `tally node rotate` writes this.\n\
             # next_key = \"next.pem\"\n\
             # A file whose first line is that passphrase, or the PIN. Without it the node takes the environment variable TALLY_PASSPHRASE.\n\
             {passphrase}\n\n\
             # Where the other nodes reach this one.\n\
             listen = \"{listen}\"\n\
             # Where clients reach this one. It speaks plain HTTP: put a TLS proxy before it when they are elsewhere.\n\
             http = \"{http}\"\n\n\
             # MiB that the databases may keep in memory.\n\
             # cache_mib = 64\n\n\
             # As whom the node holds what only some may see; `tally node holder` makes the two files.\n\
             # [holder]\n\
             # principal = \"organisation/vault\"\n\
             # key = \"holder.pem\"\n\
             # sealing = \"sealing.pem\"\n\
             # Where its vault is backed up: a folder that is there, such as a share that is mounted, and under whose law that stands.\n\
             # [holder.backup]\n\
             # folder = \"/mnt/backups\"\n\
             # jurisdiction = \"GB\"\n\
             # every_hours = 24\n\
             # keep_days = 30\n\n\
             [log]\n\
             # error, warn, info, debug or trace\n\
             level = \"info\"\n\
             # text for people, json for machines\n\
             format = \"text\"\n\n\
             # The other validators: the key as in the network file (64 hexadecimal digits) and where each listens.\n",
            network = quoted(&self.network),
            data = self.data.as_deref().map_or_else(|| "\"data\"".to_owned(), quoted),
            key = match &self.key {
                KeyName::File(path) => quoted(path),
                KeyName::Token(uri) => toml::Value::String(uri.to_string()).to_string(),
            },
            listen = self.listen,
            http = self.http,
        );
        for (who, key, address) in peers {
            let address = toml::Value::String(address.clone());
            text.push_str(&format!("[[peers]] # {who}\nkey = \"{}\"\naddress = {address}\n", hex::encode(key)));
        }
        text
    }
}

/// The validators' keys that `who` names: an organisation's, or one key.
fn keys_of(genesis: &tallystick_protocol::Genesis, who: &str) -> Result<Vec<[u8; 32]>, Failure> {
    let of: Vec<[u8; 32]> = genesis
        .validators
        .iter()
        .filter(|validator| {
            validator.organisation == who
                || hex::encode(validator.key) == who
                || PublicKey::Ed25519(validator.key).to_string() == who
        })
        .map(|validator| validator.key)
        .collect();
    if of.is_empty() {
        let known: Vec<&str> = genesis.validators.iter().map(|v| v.organisation.as_str()).collect();
        return Err(Failure::error(format!(
            "no validator of `{who}` in the network file: it has {}",
            known.join(", ")
        )));
    }
    Ok(of)
}

/// Alters a configuration file, all at once: whatever else it says stays as it is, and so do its owner and who may read it.
pub fn edit(path: &Path, alter: impl FnOnce(&mut DocumentMut)) -> Done {
    use std::{fs, io::Write, os::unix::fs as unix, os::unix::fs::MetadataExt};
    let shown = path.display();
    let text = fs::read_to_string(path).doing(|| format!("cannot read `{shown}`"))?;
    let mut document: DocumentMut = text.parse().doing(|| format!("`{shown}`"))?;
    alter(&mut document);
    let written = fs::canonicalize(path).and_then(|file| {
        let (meta, folder) = (fs::metadata(&file)?, file.parent().unwrap_or(Path::new(".")));
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(document.to_string().as_bytes())?;
        unix::fchown(new.as_file(), Some(meta.uid()), Some(meta.gid()))?;
        new.as_file().set_permissions(meta.permissions())?;
        new.as_file().sync_all()?;
        new.persist(&file).map_err(|error| error.error)
    });
    written.map(drop).doing(|| format!("cannot write `{shown}`"))
}

/// Writes a file that must not exist yet.
pub fn write_new(path: &Path, text: &str) -> Done {
    use std::io::Write;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::error(format!(
                "`{}` exists already: choose another name, or move it away first",
                path.display()
            )),
            _ => Failure::error(format!("cannot write `{}`: {error}", path.display())),
        })
}
