//! `tally network`: make a network of organisations that trust each other only as far as the file they all hold.
//!
//! One organisation begins a draft, each makes its keys by itself and publishes its part, and each assembles the same
//! network.json from the same draft and parts: nobody sends a private key anywhere, and nobody need be trusted to assemble.

mod recover;
mod validators;

use crate::{
    connection::{Connection, new_passphrase},
    key,
    node::write_new,
    output::{Colour, Doing, Done, Failure, Table, count, json, line, paint, time},
    sandbox::layout::{now_ms, validator_key},
};
use clap::{Args, Subcommand};
use rand::Rng;
use recover::Recover;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tallystick_client::{
    Passphrase,
    keyfile::{self, generate},
};
use tallystick_protocol::{
    Algorithm, Genesis, GenesisOrganisation, GenesisPrincipal, GenesisValidator, Hash, Jurisdiction, Particulars,
    Registration, Roles,
    limits::{EPOCH_BLOCKS_DEFAULT, GENESIS_BYTES_MAX},
    operation::validate_name,
    validators::is_address,
};
use validators::Validators;

/// Make a network of organisations, show one, or recover one
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Network {
    #[command(subcommand)]
    command: NetworkCommand,
}

const AFTER: &str = "A network of real machines is made in four steps:\n  \
    1. one organisation       tally network init --name \"Food data\" -o draft.json          and sends draft.json to all\n  \
    2. each organisation      tally network join --organisation hm-treasury --name \"HM Treasury\"\n                            \
                              and sends hm-treasury.part.json to all; its keys stay where they are\n  \
    3. each organisation      tally network assemble draft.json *.part.json -o network.json\n                            \
                              and compares the network's id with the others\n  \
    4. each organisation      tally node init --network network.json --peer …; tally node --config node.toml";

#[derive(Debug, Subcommand)]
enum NetworkCommand {
    Init(Init),
    Join(Join),
    Assemble(Assemble),
    Show(Show),
    Validators(Validators),
    Recover(Recover),
}

/// Begin a draft: the network's name, date and a random number that makes it one of a kind
#[derive(Debug, Args)]
struct Init {
    /// What people call the network
    #[arg(long)]
    name: String,
    /// Blocks of an epoch: validators join and leave at its end, one epoch after the next
    #[arg(long, value_name = "N", default_value_t = EPOCH_BLOCKS_DEFAULT)]
    epoch_blocks: u64,
    /// The draft to write
    #[arg(short, long, value_name = "FILE", default_value = "draft.json")]
    output: PathBuf,
}

/// Make an organisation's keys and its public part
#[derive(Debug, Args)]
struct Join {
    /// The organisation's id: lower-case letters, digits and `-`
    #[arg(long, value_name = "ID")]
    organisation: String,
    /// What people call it
    #[arg(long)]
    name: String,
    #[command(flatten)]
    particulars: ParticularsArgs,
    /// A principal that enrols others and creates registers; may be repeated
    #[arg(long, value_name = "NAME", default_value = "administrator")]
    administrator: Vec<String>,
    /// A principal that appends to the organisation's registers; may be repeated
    #[arg(long, value_name = "NAME", default_value = "registrar")]
    registrar: Vec<String>,
    /// Where the other nodes reach this organisation's: `node.example.org:9000`; left out, each of them must be told
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Take part without a node of one's own
    #[arg(long)]
    no_validator: bool,
    /// The node's key, when it is not to be a new file: a public key, a .pub file, or a PKCS#11 URI (made if it does not exist)
    #[arg(long, value_name = "KEY|FILE|URI", conflicts_with = "no_validator")]
    validator_key: Option<String>,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// A file whose first line is the passphrase for the new keys (or set TALLY_PASSPHRASE; otherwise it is asked for)
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Who an organisation is in law, and how it is reached.
#[derive(Debug, Args)]
struct ParticularsArgs {
    /// Its name in law
    #[arg(long, value_name = "NAME")]
    legal_name: Option<String>,
    /// Where it is registered, and as what: a code of org-id.guide, `-` and its number there, such as GB-COH-00445790
    #[arg(long, value_name = "REGISTRATION")]
    registration: Option<Registration>,
    /// Whose law it is under: an ISO 3166 code, such as GB or GB-SCT
    #[arg(long, value_name = "CODE")]
    jurisdiction: Option<Jurisdiction>,
    /// How it is reached: an address of an office, never of a person, for every node keeps it
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
}

impl ParticularsArgs {
    fn checked(&self) -> Result<Particulars, Failure> {
        let Self { legal_name, registration, jurisdiction, contact } = self;
        let (legal_name, registration) = (legal_name.clone(), registration.clone());
        let (jurisdiction, contact) = (jurisdiction.clone(), contact.clone());
        let particulars = Particulars { legal_name, registration, jurisdiction, contact };
        particulars.validate().map_err(Failure::error)?;
        Ok(particulars)
    }
}

/// Check the organisations' parts and put them together
#[derive(Debug, Args)]
struct Assemble {
    /// The draft and one part for each organisation, in any order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Without a draft: what people call the network
    #[arg(long)]
    name: Option<String>,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "network.json")]
    output: PathBuf,
}

/// Show a network: its members, their principals and validators
#[derive(Debug, Args)]
struct Show {
    /// The network file; without it the one of the profile
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What makes a network one of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    name: String,
    created_ms: u64,
    /// 32 hexadecimal digits.
    nonce: String,
    epoch_blocks: u64,
    /// Left out for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rulebook: Option<tallystick_protocol::Rulebook>,
}

/// What an organisation publishes of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    organisation: GenesisOrganisation,
    validators: Vec<GenesisValidator>,
}

impl Network {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            NetworkCommand::Init(command) => command.run(),
            NetworkCommand::Join(command) => command.run(),
            NetworkCommand::Assemble(command) => command.run(),
            NetworkCommand::Show(command) => command.run(),
            NetworkCommand::Validators(command) => command.run(),
            NetworkCommand::Recover(command) => command.run(),
        }
    }
}

impl Draft {
    fn new(name: String, epoch_blocks: u64) -> Self {
        let mut nonce = [0; 16];
        tallystick_client::randomness().fill_bytes(&mut nonce);
        Self { name, created_ms: now_ms(), nonce: hex::encode(nonce), epoch_blocks, rulebook: None }
    }
}

impl Init {
    fn run(self) -> Done {
        let text = serde_json::to_string_pretty(&Draft::new(self.name, self.epoch_blocks)).map_err(Failure::error)?;
        write_new(&self.output, &(text + "\n"))?;
        line(format_args!("wrote {}", self.output.display()))?;
        line("send it to every organisation; each makes its part with `tally network join`")
    }
}

impl Join {
    fn run(self) -> Done {
        validate_name(&self.organisation).map_err(|error| Failure::error(format!("--organisation: {error}")))?;
        if let Some(address) = self.address.as_deref().filter(|address| !is_address(address)) {
            return Err(Failure::error(format!("`{address}` is no address: write `node.example.org:9000`")));
        }
        let roles = [(Roles::administrator(), &self.administrator), (Roles::registrar(), &self.registrar)];
        let names: Vec<(&Roles, &String)> =
            roles.iter().flat_map(|(roles, names)| names.iter().map(move |name| (roles, name))).collect();
        for (_, name) in &names {
            validate_name(name).map_err(Failure::error)?;
            if names.iter().filter(|(_, other)| other == name).count() > 1 {
                return Err(Failure::error(format!("principal `{name}` is named twice: give each another name")));
            }
        }
        let path = self.dir.join(format!("{}.part.json", self.organisation));
        if path.exists() {
            return Err(Failure::error(format!("`{}` exists already: this organisation has its part", path.display())));
        }
        let passphrase = new_passphrase(self.passphrase_file.as_deref())?;
        let keys = self.dir.join("keys");
        fs::create_dir_all(&keys).doing(|| format!("cannot make the folder `{}`", keys.display()))?;
        let mut part = Part {
            organisation: GenesisOrganisation {
                id: self.organisation.clone(),
                name: self.name.clone(),
                particulars: self.particulars.checked()?,
                principals: Vec::new(),
            },
            validators: Vec::new(),
        };
        for (roles, name) in names {
            let key = generate(Algorithm::EdDsa)?;
            let file = keys.join(format!("{name}.pem"));
            keyfile::write(&file, &key, &passphrase)?;
            line(format_args!("wrote {}  (private: the {roles}'s key)", file.display()))?;
            part.organisation.principals.push(GenesisPrincipal::person(name, roles.clone(), key.public()));
        }
        if !self.no_validator {
            let organisation = self.organisation.clone();
            let address = self.address.clone().unwrap_or_default();
            let key = self.make_validator_key(&passphrase)?;
            part.validators.push(GenesisValidator { organisation, key, address });
        }
        let text = serde_json::to_string_pretty(&part).map_err(Failure::error)? + "\n";
        write_new(&path, &text)?;
        line(format_args!("wrote {}  (public: send it to every organisation)", path.display()))?;
        line(format_args!("its fingerprint, to read out on the telephone: {}", fingerprint(&text)))
    }
}

impl Join {
    /// The public half of the node's key: of a new file, unless there is a key already.
    fn make_validator_key(&self, passphrase: &Passphrase) -> Result<[u8; 32], Failure> {
        if let Some(text) = &self.validator_key {
            return validator_key(&key::public_of(text)?);
        }
        let key = generate(Algorithm::EdDsa)?;
        let file = self.dir.join("validator.pem");
        keyfile::write(&file, &key, passphrase)?;
        line(format_args!("wrote {}  (private: the node's key)", file.display()))?;
        validator_key(&key.public())
    }
}

/// Enough of a hash to compare by voice.
fn fingerprint(text: &str) -> String {
    let hash = Hash::of(&[text.as_bytes()]).to_string();
    let groups: Vec<&str> = (0..6).filter_map(|group| hash.get(group * 4..group * 4 + 4)).collect();
    groups.join(" ")
}

fn read_bounded(path: &Path) -> Result<String, Failure> {
    let length = fs::metadata(path).doing(|| format!("cannot read `{}`", path.display()))?.len();
    if length > GENESIS_BYTES_MAX as u64 {
        return Err(Failure::error(format!("`{}` is too long to be a draft or a part", path.display())));
    }
    fs::read_to_string(path).doing(|| format!("cannot read `{}`", path.display()))
}

impl Assemble {
    fn run(self) -> Done {
        let mut draft = self.name.clone().map(|name| Draft::new(name, EPOCH_BLOCKS_DEFAULT));
        let mut parts: Vec<Part> = Vec::new();
        for path in &self.files {
            let text = read_bounded(path)?;
            if let Ok(found) = serde_json::from_str::<Draft>(&text) {
                if draft.as_ref().is_some_and(|known| *known != found) {
                    return Err(Failure::error(format!(
                        "`{}` is a second draft: give one, and leave out --name",
                        path.display()
                    )));
                }
                draft = Some(found);
                continue;
            }
            let part: Part = serde_json::from_str(&text).map_err(|error| {
                Failure::error(format!(
                    "`{}` is neither a draft nor a part ({error}): use what `tally network init` and `tally network join` wrote",
                    path.display()
                ))
            })?;
            line(format_args!("{}  {}  {}", fingerprint(&text), part.organisation.id, path.display()))?;
            parts.push(part);
        }
        let draft = draft.ok_or_else(|| {
            Failure::error("no draft is given: name the file of `tally network init`, or give --name")
        })?;
        let genesis = assemble(&draft, parts)?;
        write_new(&self.output, &genesis.to_json())?;
        line(format_args!("wrote {}", self.output.display()))?;
        line(format_args!(
            "{} {}: {}, {}; {} of them certify a block",
            paint(Colour::Bold, "network"),
            genesis.id(),
            count(genesis.organisations.len() as u64, "organisation", "organisations"),
            count(genesis.validators.len() as u64, "validator", "validators"),
            genesis.quorum()
        ))?;
        if genesis.validators.len() < 4 {
            line("fewer than 4 validators: the network stops when one of them does")?;
        }
        line("every organisation must get this same id from the same files")
    }
}

fn assemble(draft: &Draft, parts: Vec<Part>) -> Result<Genesis, Failure> {
    let mut nonce = [0; 16];
    hex::decode_to_slice(&draft.nonce, &mut nonce).map_err(|_| {
        Failure::error("the draft's nonce is not 32 hexadecimal digits: use the draft as it was written")
    })?;
    let mut genesis = Genesis {
        name: draft.name.clone(),
        created_ms: draft.created_ms,
        nonce,
        organisations: Vec::new(),
        validators: Vec::new(),
        epoch_blocks: draft.epoch_blocks,
        rulebook: draft.rulebook.clone(),
    };
    for part in parts {
        if let Some(validator) = part.validators.iter().find(|v| v.organisation != part.organisation.id) {
            return Err(Failure::no(format!(
                "the part of `{}` brings a validator of `{}`: an organisation speaks for itself only",
                part.organisation.id, validator.organisation
            )));
        }
        genesis.organisations.push(part.organisation);
        genesis.validators.extend(part.validators);
    }
    genesis.sort();
    genesis.validate().map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        Failure::no(format!("these parts make no network:{}", problems.concat()))
    })?;
    Ok(genesis)
}

impl Show {
    fn run(mut self) -> Done {
        self.connection.network = self.file.take().or(self.connection.network);
        let genesis = self.connection.genesis()?;
        if self.json {
            return json(&serde_json::json!({"id": genesis.id(), "quorum": genesis.quorum(), "genesis": genesis}));
        }
        line(format_args!("{} \"{}\"", paint(Colour::Bold, "network"), genesis.name))?;
        line(format_args!("id       {}", genesis.id()))?;
        line(format_args!("made     {}", time(genesis.created_ms)))?;
        line(format_args!("epochs   of {} blocks", genesis.epoch_blocks))?;
        line(format_args!("quorum   {} of {} validators", genesis.quorum(), genesis.validators.len()))?;
        let mut table = Table::new(&["organisation", "principal", "roles", "key"]);
        for organisation in &genesis.organisations {
            for principal in &organisation.principals {
                table.row([
                    organisation.id.clone(),
                    principal.name.clone(),
                    principal.roles.to_string(),
                    principal.key.to_string(),
                ]);
            }
        }
        line("")?;
        table.print()?;
        let mut table = Table::new(&["validator of", "key", "address"]);
        for validator in &genesis.validators {
            table.row([validator.organisation.clone(), hex::encode(validator.key), validator.address.clone()]);
        }
        line("")?;
        table.print()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn part(id: &str) -> Part {
        let key = || generate(Algorithm::EdDsa).unwrap();
        let principal = GenesisPrincipal::person("administrator", Roles::administrator(), key().public());
        Part {
            organisation: GenesisOrganisation {
                id: id.into(),
                name: id.into(),
                particulars: Particulars::default(),
                principals: vec![principal],
            },
            validators: vec![GenesisValidator {
                organisation: id.into(),
                key: validator_key(&key().public()).unwrap(),
                address: String::new(),
            }],
        }
    }

    #[test]
    fn the_order_of_the_parts_does_not_matter() {
        let draft = Draft::new("test".into(), EPOCH_BLOCKS_DEFAULT);
        let (a, b) = (part("a"), part("b"));
        let one = assemble(&draft, vec![a.clone(), b.clone()]).unwrap();
        let other = assemble(&draft, vec![b, a]).unwrap();
        assert_eq!(one.id(), other.id());
    }

    #[test]
    fn parts_that_make_no_network_are_refused_by_name() {
        let draft = Draft::new("test".into(), EPOCH_BLOCKS_DEFAULT);
        let a = part("a");
        let Err(Failure::No(message)) = assemble(&draft, vec![a.clone(), a.clone()]) else { panic!("taken twice") };
        assert!(message.contains("organisations"), "{message}");
        let mut liar = part("b");
        liar.validators.push(GenesisValidator { organisation: "a".into(), ..liar.validators.first().unwrap().clone() });
        let Err(Failure::No(message)) = assemble(&draft, vec![a, liar]) else { panic!("spoke for another") };
        assert!(message.contains("validator of `a`"), "{message}");
    }
}
