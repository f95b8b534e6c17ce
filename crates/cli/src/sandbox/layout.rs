//! The files of a sandbox: a network of organisations on one machine, each with its keys and its node.
//!
//! ```text
//! D/network.json        the trust anchor
//! D/passphrase          protects every key here (mode 0600)
//! D/tally.toml          the profile: commands of tally find the network by it
//! D/unfounded           until the ledger holds what a sandbox begins with
//! D/<organisation>/node.toml, validator.pem, node.log, data/
//! D/<organisation>/holder.pem, holder.pem.pub, sealing.pem    with which its node holds what only some may see
//! D/<organisation>/keys/administrator.pem, registrar.pem, inspector.pem
//! D/<organisation>/ca/root.pem, root.key    its certificate authority
//! D/<organisation>/ca/inspector.pem         the certificate of its inspector's key
//! ```
//!
//! INVARIANT: a sandbox is there whole or not at all: it is made beside its place and then renamed.

use crate::{
    node::holder,
    output::{Doing, Failure},
};
use rand::Rng;
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use tallystick_client::{
    KeyName, Passphrase, Profile, SealingSecret,
    keyfile::{self, generate},
    profile::{self, KeyPlace},
};
use tallystick_ledger::x509::{Certificate, Wording, issue, issue_authority};
use tallystick_node::config::{Config, HolderConfig, Log, Peer};
use tallystick_protocol::{
    Algorithm, Genesis, GenesisOrganisation, GenesisPrincipal, GenesisValidator, Particulars, PrincipalId, PublicKey,
    Roles, SigningKey,
};

/// The first organisations' ids and names; the profile signs as the administrator of the first.
const ORGANISATIONS: [(&str, &str); 8] = [
    ("food-standards-agency", "Food Standards Agency"),
    ("companies-house", "Companies House"),
    ("department-of-health", "Department of Health and Social Care"),
    ("hm-revenue-and-customs", "HM Revenue & Customs"),
    ("environment-agency", "Environment Agency"),
    ("land-registry", "HM Land Registry"),
    ("ordnance-survey", "Ordnance Survey"),
    ("office-for-national-statistics", "Office for National Statistics"),
];
/// See [`Layout::unfounded`].
const UNFOUNDED: &str = "unfounded";
/// Peers listen this far above the HTTP ports.
pub const PEER_PORT_OFFSET: u16 = 100;

/// What a new sandbox is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many organisations, each with a node.
    pub nodes: usize,
    /// The first HTTP port.
    pub base_port: u16,
    /// Blocks of an epoch.
    pub epoch_blocks: u64,
    /// How much each node says in its log.
    pub log_level: String,
}

/// A sandbox on disk.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Its folder.
    pub dir: PathBuf,
    /// Its network.
    pub genesis: Genesis,
    /// Its nodes, in the order of their ports.
    pub nodes: Vec<NodePlace>,
}

/// One node's files and addresses.
#[derive(Debug, Clone)]
pub struct NodePlace {
    /// The organisation's id.
    pub organisation: String,
    /// The organisation's name.
    pub name: String,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// What it stores.
    pub data: PathBuf,
    /// Where clients reach it.
    pub http: SocketAddr,
    /// Where peers reach it.
    pub listen: SocketAddr,
}

impl NodePlace {
    /// The folder of its organisation's certificate authority.
    pub fn authority(&self) -> PathBuf {
        self.config.with_file_name("ca")
    }

    /// The file with the secret that its vault is under, and that with the key as which it holds.
    pub fn holder(&self) -> (PathBuf, PathBuf) {
        (self.config.with_file_name(holder::SEALING), self.config.with_file_name(holder::KEY))
    }

    /// Where clients reach it, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }
}

/// An organisation that is to join a sandbox: its files are there, the network has yet to admit it.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// Its node.
    pub place: NodePlace,
    /// Its administrator's key.
    pub administrator: PublicKey,
    /// Its validator's key.
    pub validator: [u8; 32],
}

/// The keys of a new organisation.
struct Keys {
    id: String,
    name: String,
    validator: SigningKey,
    holder: SigningKey,
    sealing: SealingSecret,
    authority: SigningKey,
    principals: Vec<(&'static str, Roles, SigningKey)>,
}

/// Whose keys the organisations' authorities certify, from the first day on.
pub const INSPECTOR: &str = "inspector";
/// The principal as which an organisation's node holds what only some may see.
pub const VAULT: &str = "vault";
/// The certificate policy under which they do.
pub const CERTIFICATE_POLICY: &str = "1.2.826.0.1.2";
/// For how long an authority's certificate holds, and an inspector's: nothing of a sandbox ends soon.
const CERTIFIED_SECONDS: [u64; 2] = [10 * 365 * 86_400, 2 * 365 * 86_400];
/// Certificates begin a little before they are issued: clocks differ.
const CERTIFIED_BEFORE_SECONDS: u64 = 3_600;

impl Layout {
    /// Whether there is a sandbox in `dir`.
    pub fn exists(dir: &Path) -> bool {
        dir.join(profile::FILE_NAME).is_file() && dir.join("network.json").is_file()
    }

    /// Makes a sandbox in `dir`, which must be empty or absent.
    ///
    /// # Errors
    /// When something else is there, or a file cannot be written.
    pub fn create(dir: &Path, plan: &Plan) -> Result<Self, Failure> {
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).doing(|| format!("cannot make the folder `{}`", parent.display()))?;
        let is_empty = fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty {
            return Err(Failure::error(format!(
                "`{}` is not empty and is no sandbox: choose another folder with --dir",
                dir.display()
            )));
        }
        let draft = tempfile::Builder::new()
            .prefix(".sandbox-")
            .tempdir_in(parent)
            .doing(|| format!("cannot write in `{}`", parent.display()))?;
        write_files(draft.path(), plan)?;
        fs::rename(draft.path(), dir).doing(|| format!("cannot make the folder `{}`", dir.display()))?;
        Self::read(dir)
    }

    /// The file that is there until the ledger holds what a sandbox begins with.
    pub fn unfounded(&self) -> PathBuf {
        self.dir.join(UNFOUNDED)
    }

    /// Reads the sandbox in `dir`.
    ///
    /// # Errors
    /// When it is none, or one of its files cannot be read.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let genesis = tallystick_client::read_network(&dir.join("network.json"))?;
        let mut nodes = Vec::new();
        for organisation in &genesis.organisations {
            let folder = dir.join(&organisation.id);
            let path = folder.join("node.toml");
            if !path.is_file() {
                continue;
            }
            let config = Config::read(&path).map_err(Failure::error)?;
            nodes.push(NodePlace {
                organisation: organisation.id.clone(),
                name: organisation.name.clone(),
                config: path,
                log: folder.join("node.log"),
                data: config.data_dir,
                http: config.http,
                listen: config.listen,
            });
        }
        nodes.sort_by_key(|node| node.http.port());
        Ok(Self { dir: dir.to_owned(), genesis, nodes })
    }

    /// Makes the files of an organisation that is to join: keys, and a node that knows all others.
    ///
    /// # Errors
    /// When a file cannot be read or written, or there is no port left.
    pub fn newcomer(&self, id: &str, name: &str) -> Result<Newcomer, Failure> {
        let keys = make_organisation(id.to_owned(), name.to_owned())?;
        let passphrase = Passphrase::read(&self.dir.join("passphrase"))?;
        write_organisation(&self.dir, &keys, &passphrase)?;
        let index = u16::try_from(self.nodes.len()).unwrap_or(u16::MAX);
        let (http, listen) = ports(self.base_port(), index)?;
        let mut config = config(id, http, listen)?;
        for validator in &self.genesis.validators {
            let node = self.nodes.iter().find(|node| node.organisation == validator.organisation);
            config
                .peers
                .extend(node.map(|node| Peer { key: hex::encode(validator.key), address: node.listen.to_string() }));
        }
        let folder = self.dir.join(id);
        let path = folder.join("node.toml");
        write_config(&path, &config)?;
        let administrator = keys.principals.first().map(|(_, _, key)| key.public());
        Ok(Newcomer {
            place: NodePlace {
                organisation: keys.id,
                name: keys.name,
                config: path,
                log: folder.join("node.log"),
                data: folder.join("data"),
                http,
                listen,
            },
            administrator: administrator.ok_or_else(|| Failure::error("the newcomer has no administrator"))?,
            validator: validator_key(&keys.validator.public())?,
        })
    }

    /// The first HTTP port.
    pub fn base_port(&self) -> u16 {
        self.nodes.first().map_or(0, |node| node.http.port())
    }

    /// Moves the nodes to other ports.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn move_ports(&self, base_port: u16) -> Result<Self, Failure> {
        let mut moved = BTreeMap::new();
        for (index, node) in (0..).zip(&self.nodes) {
            let (http, listen) = ports(base_port, index)?;
            moved.insert(node.listen.to_string(), (http, listen));
        }
        for node in &self.nodes {
            let text = fs::read_to_string(&node.config).doing(|| format!("cannot read `{}`", node.config.display()))?;
            let mut config: Config = toml::from_str(&text).doing(|| format!("`{}`", node.config.display()))?;
            if let Some((http, listen)) = moved.get(&config.listen.to_string()) {
                (config.http, config.listen) = (*http, *listen);
            }
            for peer in &mut config.peers {
                if let Some((_, listen)) = moved.get(&peer.address) {
                    peer.address = listen.to_string();
                }
            }
            write_config(&node.config, &config)?;
        }
        let path = self.dir.join(profile::FILE_NAME);
        let text = fs::read_to_string(&path).doing(|| format!("cannot read `{}`", path.display()))?;
        let mut profile: Profile = toml::from_str(&text).doing(|| format!("`{}`", path.display()))?;
        profile.nodes = moved_urls(&moved);
        profile.write(&path)?;
        Self::read(&self.dir)
    }
}

fn moved_urls(moved: &BTreeMap<String, (SocketAddr, SocketAddr)>) -> Vec<String> {
    let mut http: Vec<SocketAddr> = moved.values().map(|(http, _)| *http).collect();
    http.sort();
    http.iter().map(|address| format!("http://{address}")).collect()
}

/// The HTTP and the peer address of the node with this index.
fn ports(base_port: u16, index: u16) -> Result<(SocketAddr, SocketAddr), Failure> {
    let port = |offset: u16| {
        base_port.checked_add(offset).ok_or_else(|| {
            Failure::error(format!("there are no ports above 65535: choose a lower --base-port than {base_port}"))
        })
    };
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let http = port(index)?;
    let listen = port(index.saturating_add(PEER_PORT_OFFSET))?;
    Ok((SocketAddr::new(here, http), SocketAddr::new(here, listen)))
}

fn write_files(dir: &Path, plan: &Plan) -> Result<(), Failure> {
    let passphrase = Passphrase::generate();
    passphrase.write(&dir.join("passphrase"))?;
    let organisations = make_keys(plan.nodes)?;
    let genesis = make_genesis(&organisations, plan.epoch_blocks)?;
    let path = dir.join("network.json");
    fs::write(&path, genesis.to_json()).doing(|| format!("cannot write `{}`", path.display()))?;
    for (index, organisation) in (0..).zip(&organisations) {
        write_organisation(dir, organisation, &passphrase)?;
        let config = make_config(index, &organisations, plan)?;
        write_config(&dir.join(&organisation.id).join("node.toml"), &config)?;
    }
    make_profile(&organisations, plan)?.write(&dir.join(profile::FILE_NAME))?;
    let path = dir.join(UNFOUNDED);
    fs::write(&path, "").doing(|| format!("cannot write `{}`", path.display()))
}

fn make_keys(nodes: usize) -> Result<Vec<Keys>, Failure> {
    let names = ORGANISATIONS.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned()));
    let more = (ORGANISATIONS.len() + 1..).map(|n| (format!("agency-{n}"), format!("Agency {n}")));
    names.chain(more).take(nodes).map(|(id, name)| make_organisation(id, name)).collect()
}

fn make_organisation(id: String, name: String) -> Result<Keys, Failure> {
    let new = || generate(Algorithm::EdDsa);
    let inspector = Roles::new([INSPECTOR]).map_err(Failure::error)?;
    let principals = vec![
        ("administrator", Roles::administrator(), new()?),
        ("registrar", Roles::registrar(), new()?),
        (INSPECTOR, inspector, new()?),
    ];
    let sealing = SealingSecret::generate();
    Ok(Keys { id, name, validator: new()?, holder: new()?, sealing, authority: new()?, principals })
}

fn make_genesis(organisations: &[Keys], epoch_blocks: u64) -> Result<Genesis, Failure> {
    let mut nonce = [0; 16];
    tallystick_client::randomness().fill_bytes(&mut nonce);
    let mut genesis = Genesis {
        name: "sandbox".to_owned(),
        created_ms: now_ms(),
        nonce,
        organisations: Vec::new(),
        validators: Vec::new(),
        epoch_blocks,
        rulebook: None,
    };
    for keys in organisations {
        let principals = keys
            .principals
            .iter()
            .map(|(name, roles, key)| GenesisPrincipal::person(*name, roles.clone(), key.public()))
            .collect();
        let particulars = Particulars {
            jurisdiction: "GB".parse().ok(),
            contact: Some(format!("registry@{}.example", keys.id)),
            ..Particulars::default()
        };
        let (id, name) = (keys.id.clone(), keys.name.clone());
        genesis.organisations.push(GenesisOrganisation { id, name, particulars, principals });
        genesis.validators.push(GenesisValidator {
            organisation: keys.id.clone(),
            key: validator_key(&keys.validator.public())?,
            address: String::new(),
        });
    }
    genesis.sort();
    match genesis.validate() {
        Ok(()) => Ok(genesis),
        Err(problems) => Err(Failure::error(format!("the sandbox's network came out wrong: {problems:?}"))),
    }
}

/// Unix milliseconds by this machine's clock.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The bytes of a validator's key.
pub fn validator_key(key: &PublicKey) -> Result<[u8; 32], Failure> {
    match key {
        PublicKey::Ed25519(key) => Ok(*key),
        PublicKey::P256(_) => Err(Failure::error("a validator's key must be an Ed25519 key")),
    }
}

fn write_organisation(dir: &Path, keys: &Keys, passphrase: &Passphrase) -> Result<(), Failure> {
    let folder = dir.join(&keys.id);
    let names = folder.join("keys");
    fs::create_dir_all(&names).doing(|| format!("cannot make the folder `{}`", names.display()))?;
    keyfile::write(&folder.join("validator.pem"), &keys.validator, passphrase)?;
    keyfile::write(&folder.join(holder::KEY), &keys.holder, passphrase)?;
    holder::write_public(&folder.join(holder::KEY), &keys.holder.public())?;
    keys.sealing.write(&folder.join(holder::SEALING), passphrase)?;
    for (name, _, key) in &keys.principals {
        keyfile::write(&names.join(format!("{name}.pem")), key, passphrase)?;
    }
    write_authority(&folder.join("ca"), keys, passphrase)
}

/// An authority of the organisation, and what it has certified.
fn write_authority(folder: &Path, keys: &Keys, passphrase: &Passphrase) -> Result<(), Failure> {
    fs::create_dir_all(folder).doing(|| format!("cannot make the folder `{}`", folder.display()))?;
    keyfile::write(&folder.join("root.key"), &keys.authority, passphrase)?;
    let now = now_ms() / 1_000;
    let subject = |name: &str| format!("CN={name},O={},C=GB", keys.name);
    let wording = |subject, seconds: u64| {
        let mut serial = [0; 16];
        tallystick_client::randomness().fill_bytes(&mut serial);
        Wording { serial, subject, from: now.saturating_sub(CERTIFIED_BEFORE_SECONDS), until: now + seconds }
    };
    let write = |name: &str, certificate: &Certificate| {
        let path = folder.join(name);
        fs::write(&path, certificate.pem().map_err(Failure::error)?)
            .doing(|| format!("cannot write `{}`", path.display()))
    };
    let [authority_seconds, inspector_seconds] = CERTIFIED_SECONDS;
    let (root_name, inspector_name) = (subject("Root"), subject("Inspector"));
    let root = issue_authority(&keys.authority, &wording(&root_name, authority_seconds)).map_err(Failure::error)?;
    write("root.pem", &root)?;
    let inspectors = keys.principals.iter().filter(|(name, _, _)| *name == INSPECTOR);
    for (name, _, key) in inspectors {
        let wording = wording(&inspector_name, inspector_seconds);
        let certificate = issue((&root, &keys.authority), &key.public(), CERTIFICATE_POLICY, &wording);
        write(&format!("{name}.pem"), &certificate.map_err(Failure::error)?)?;
    }
    Ok(())
}

fn make_config(index: u16, organisations: &[Keys], plan: &Plan) -> Result<Config, Failure> {
    let (http, listen) = ports(plan.base_port, index)?;
    let id = organisations.get(usize::from(index)).map_or("", |keys| &keys.id);
    let mut peers = Vec::new();
    for (other, keys) in (0..).zip(organisations).filter(|(other, _)| *other != index) {
        let (_, address) = ports(plan.base_port, other)?;
        peers.push(Peer { key: hex::encode(validator_key(&keys.validator.public())?), address: address.to_string() });
    }
    let mut config = config(id, http, listen)?;
    config.peers = peers;
    config.log = Log { level: plan.log_level.clone(), ..config.log };
    Ok(config)
}

/// A node without peers. The other settings stay at what the node thinks best.
fn config(organisation: &str, http: SocketAddr, listen: SocketAddr) -> Result<Config, Failure> {
    let text = format!(
        "network_file = \"../network.json\"\ndata_dir = \"data\"\nkey = \"validator.pem\"\n\
         passphrase_file = \"../passphrase\"\nlisten = \"{listen}\"\nhttp = \"{http}\"\n"
    );
    let config: Config = toml::from_str(&text).doing(|| "the node's configuration came out wrong".to_owned())?;
    let principal = PrincipalId::new(organisation, VAULT).map_err(Failure::error)?;
    let (key, sealing) = (KeyName::File(holder::KEY.into()), holder::SEALING.into());
    Ok(Config { holder: Some(HolderConfig { principal, key, sealing, passphrase_file: None, backup: None }), ..config })
}

fn write_config(path: &Path, config: &Config) -> Result<(), Failure> {
    let text = toml::to_string(config).doing(|| format!("cannot write `{}`", path.display()))?;
    let text = format!("# A node of this sandbox. `tally node init` writes one with every setting explained.\n{text}");
    fs::write(path, text).doing(|| format!("cannot write `{}`", path.display()))
}

fn make_profile(organisations: &[Keys], plan: &Plan) -> Result<Profile, Failure> {
    let mut profile =
        Profile { network: "network.json".into(), nodes: Vec::new(), principal: None, principals: BTreeMap::new() };
    for (index, keys) in (0..).zip(organisations) {
        profile.nodes.push(format!("http://{}", ports(plan.base_port, index)?.0));
        for (name, _, _) in &keys.principals {
            let id = PrincipalId::new(&keys.id, name).map_err(Failure::error)?.to_string();
            profile.principal.get_or_insert_with(|| id.clone());
            let key = KeyName::File(PathBuf::from(&keys.id).join("keys").join(format!("{name}.pem")));
            profile.principals.insert(id, KeyPlace { key, passphrase_file: Some("passphrase".into()) });
        }
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use std::time::Duration;
    use tallystick_protocol::limits::EPOCH_BLOCKS_DEFAULT;

    fn plan(nodes: usize, base_port: u16) -> Plan {
        Plan { nodes, base_port, epoch_blocks: EPOCH_BLOCKS_DEFAULT, log_level: "info".into() }
    }

    #[test]
    fn a_sandbox_is_whole_and_moves_its_ports() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("sandbox");
        let layout = Layout::create(&place, &plan(4, 18_080)).unwrap();
        assert!(Layout::exists(&place));
        assert_eq!(layout.nodes.len(), 4);
        assert_eq!(layout.genesis.quorum(), 3);
        assert_eq!(layout.nodes[3].listen.port(), 18_183);
        let moved = layout.move_ports(19_000).unwrap();
        assert_eq!((moved.base_port(), moved.nodes[1].listen.port()), (19_000, 19_101));
        let config = Config::read(&moved.nodes[0].config).unwrap();
        let peers: Vec<&str> = config.peers.iter().map(|peer| peer.address.as_str()).collect();
        assert_eq!(peers, ["127.0.0.1:19101", "127.0.0.1:19102", "127.0.0.1:19103"]);
        let profile = Profile::read(&place).unwrap();
        assert_eq!(profile.nodes[3], "http://127.0.0.1:19003");
        assert_eq!(profile.principals.len(), 12);
        let key = &profile.principals["companies-house/registrar"];
        let secret = |_: &str| Ok::<_, Failure>(Passphrase::read(key.passphrase_file.as_ref().unwrap())?);
        assert!(key.key.open(Duration::ZERO, secret).is_ok());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn other_folders_and_high_ports_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        let Err(Failure::Error(message)) = Layout::create(dir.path(), &plan(4, 8080)) else { panic!("was taken") };
        assert!(message.contains("no sandbox") && message.contains("--dir"), "{message}");
        let Err(Failure::Error(message)) = Layout::create(&dir.path().join("s"), &plan(4, 65_500)) else { panic!() };
        assert!(message.contains("--base-port"), "{message}");
        assert!(!dir.path().join("s").exists());
    }
}
