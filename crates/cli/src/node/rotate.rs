//! `tally node rotate`: replace the key of a node, which is a change of the network's validators.

use crate::{
    connection::{Acting, passphrase},
    key::find_or_make,
    node::{edit, holder::write_public, peers::own_address},
    output::{Done, Failure, line, say},
    proposal,
    sandbox::layout::validator_key,
};
use clap::Args;
use std::path::{Path, PathBuf};
use tallystick_api::{ProposalView, ValidatorView, ValidatorsView};
use tallystick_client::{Client, KeyName, Passphrase, keyfile};
use tallystick_node::Config;
use tallystick_protocol::{
    Algorithm, Change, GenesisValidator, Operation, ProposalStatus, PublicKey, RuleText, SigningKey,
    limits::TOKEN_ANSWER_MAX, validators::is_address,
};

/// Replace the key of a node: run it to begin, and again to finish
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Rotate {
    /// The node's configuration file
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// The key that begins: a file, or a PKCS#11 URI; made if it does not exist, under the passphrase of the present one
    /// [default: `next.pem` beside the present key]
    #[arg(long, value_name = "FILE|URI")]
    new: Option<KeyName>,
    /// Where the other nodes reach this one [default: as the ledger says of the present key, or where it listens]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Why, for those who vote
    #[arg(long, value_name = "TEXT", default_value = "The node's key is replaced by a new one.")]
    reason: String,
    /// A file whose first line is the passphrase of both keys of the node, or the PIN [default: that of the configuration]
    #[arg(long, value_name = "FILE")]
    node_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    acting: Acting,
}

const AFTER: &str = "Whoever runs the node runs this beside its configuration. It makes a key, writes it into the configuration as \
    next_key, and proposes it in the place of the present one, which the organisations vote on. Until the epoch after the next the \
    present key votes; then the node goes on with the next one by itself, in the same data directory: it need not be started again. \
    Run the command once more after that: it writes the new key as `key`, and tells the network where the node is that holds what only \
    some may see. At any time in between it says how far things are; once it has finished, it begins another rotation. To give one up, have its \
    proposal withdrawn or rejected, and take next_key out of the configuration.\n\n\
    Example:\n  \
    tally node rotate --config /etc/tally/node.toml --as hmrc/administrator";

/// Proposals of one key, before another must be made.
const PROPOSALS_TRIED: u64 = 20;
/// Digits of the new key in the id of the proposal.
const PROPOSAL_KEY_DIGITS: usize = 8;

/// How far a replacement is.
enum Stage {
    /// The network knows nothing of the new key.
    Unknown,
    /// It votes from this block on.
    Decided(u64),
    /// It votes.
    Votes,
}

/// The node's two keys, as the network writes them.
struct Keys {
    old: PublicKey,
    new: PublicKey,
}

impl Rotate {
    /// Runs the command.
    pub fn run(self) -> Done {
        if let Some(address) = self.address.as_deref().filter(|address| !is_address(address)) {
            return Err(Failure::error(format!("--address `{address}`: write `node.example.org:9000`")));
        }
        let config = Config::read(&self.config).map_err(Failure::error)?;
        let old = self.open(&config, &config.key)?.public();
        let client = self.acting.client()?;
        let validators = client.validators()?.value;
        let Some(named) = &config.next_key else {
            let own = present(&validators, &old).ok_or_else(|| self.no_validator(&old))?;
            let new = self.make(&config, &validators, (&old, own))?;
            return self.propose(&config, &Keys { old, new });
        };
        if self.new.as_ref().is_some_and(|new| self.seen_from_there(new) != *named) {
            return Err(Failure::error(format!(
                "{} names `{named}` as next_key already: leave out --new, or take that line away first",
                self.config.display()
            )));
        }
        let keys = Keys { old, new: self.open(&config, named)?.public() };
        match stage(&validators, &keys.new)? {
            Stage::Votes => self.finish(&config, &keys),
            Stage::Decided(height) => decided(&keys.new, height),
            Stage::Unknown => self.propose(&config, &keys),
        }
    }

    fn no_validator(&self, key: &PublicKey) -> Failure {
        let shown = self.config.display();
        Failure::no(format!(
            "{key}, the key of {shown}, is no validator's: a node that follows is given another by `key` in {shown} alone, and becomes a validator by a vote: \
             tally proposal draft FILE --kind validators"
        ))
    }

    /// The passphrase of the node's keys: as its configuration says, unless this command is told.
    fn secret(&self, config: &Config, prompt: &str) -> Result<Passphrase, Failure> {
        passphrase(self.secret_file(config), prompt)
    }

    fn secret_file<'a>(&'a self, config: &'a Config) -> Option<&'a Path> {
        self.node_passphrase_file.as_deref().or(config.passphrase_file.as_deref())
    }

    fn open(&self, config: &Config, name: &KeyName) -> Result<SigningKey, Failure> {
        let key = name.open(TOKEN_ANSWER_MAX, |prompt| self.secret(config, prompt))?;
        validator_key(&key.public())?;
        Ok(key)
    }

    /// The key that begins, made unless it is there, and written into the configuration.
    fn make(
        &self,
        config: &Config,
        validators: &ValidatorsView,
        (old, own): (&PublicKey, &ValidatorView),
    ) -> Result<PublicKey, Failure> {
        let new = match (&self.new, &config.key) {
            (Some(new), _) => new.clone(),
            (None, KeyName::File(present)) => KeyName::File(next_file(present)?),
            (None, KeyName::Token(_)) => {
                return Err(Failure::error("the node's key is in a token: name the new one with --new pkcs11:…"));
            }
        };
        let public = match &new {
            KeyName::File(path) if !path.exists() => {
                let key = keyfile::generate(Algorithm::EdDsa)?;
                keyfile::write(path, &key, &self.secret(config, "Passphrase of the node's key: ")?)?;
                write_public(path, &key.public())?;
                say(format_args!("wrote {}  (private)", path.display()));
                key.public()
            }
            KeyName::File(_) => self.open(config, &new)?.public(),
            KeyName::Token(uri) => find_or_make(uri, Algorithm::EdDsa, self.secret_file(config))?,
        };
        validator_key(&public)?;
        if public == *old {
            return Err(Failure::error(format!("`{new}` is the node's key already: name another with --new")));
        }
        if let Some(other) = present(validators, &public).filter(|found| found.organisation != own.organisation) {
            let of = &other.organisation;
            return Err(Failure::no(format!("`{new}` is the key of {of}'s node: name another with --new")));
        }
        edit(&self.config, |document| {
            document["next_key"] = toml_edit::value(self.seen_from_the_file(&new).to_string())
        })?;
        say(format_args!("{} names it as next_key", self.config.display()));
        Ok(public)
    }

    /// Puts it to the vote that the new key takes the place of the old one, or says how the vote stands.
    fn propose(&self, config: &Config, keys: &Keys) -> Done {
        let client = self.acting.client()?;
        let id = match last_proposal(&client, &keys.new)? {
            Ok(pending) => return proposal::standing(&pending),
            Err(free) => free,
        };
        // Asked after the proposals: one that has just taken effect is seen here.
        let validators = client.validators()?.value;
        if let Stage::Decided(height) = stage(&validators, &keys.new)? {
            return decided(&keys.new, height);
        }
        let gone = present(&validators, &keys.old).ok_or_else(|| self.no_validator(&keys.old))?;
        let organisation = gone.organisation.clone();
        let of = |key: &PublicKey, address: &str| -> Result<GenesisValidator, Failure> {
            let (organisation, key) = (organisation.clone(), validator_key(key)?);
            Ok(GenesisValidator { organisation, key, address: address.to_owned() })
        };
        let (add, remove) = (of(&keys.new, &self.reached_at(config, &gone.address)?)?, of(&keys.old, &gone.address)?);
        let operation = Operation::ProposalSubmit {
            proposal: id.clone(),
            title: format!("A new key for the node of {organisation}"),
            text: RuleText::Whole(self.reason.clone()),
            changes: vec![Change::Validators { add: vec![add], remove: vec![remove] }],
            effect_height: None,
        };
        let told = format!("{} is proposed in the place of {}", keys.new, keys.old);
        if self.acting.begin()?.act(format!("proposal {id}"), vec![operation], told)? {
            proposal::standing(&proposal::find(&client, &id)?)?;
            line(format_args!("the others vote: tally proposal vote {id} yes"))?;
            line("once the node says in its log that the next key votes, run this command again: it finishes")?;
        }
        Ok(())
    }

    /// Where the others reach the node by its new key. Their own configurations name the old one, so the ledger must say it: two nodes
    /// that both know no place of the other never meet.
    fn reached_at(&self, config: &Config, known: &str) -> Result<String, Failure> {
        match &self.address {
            Some(address) => Ok(address.clone()),
            None if !known.is_empty() => Ok(known.to_owned()),
            None if !config.listen.ip().is_unspecified() => Ok(config.listen.to_string()),
            None => Err(Failure::error(
                "the ledger does not say where this node is: give --address HOST:PORT, where the other nodes reach it",
            )),
        }
    }

    /// Goes on only if the node itself votes: that the network counts a key says nothing of who has it.
    fn require_vote(&self, config: &Config) -> Done {
        let status = self.acting.client()?.only(&own_address(config)).status().map_err(|error| {
            Failure::no(format!("the next key counts, and whether the node votes with it cannot be told: {error}: keep the old key, see that the node runs, and run this again"))
        })?;
        if status.validator && status.voting {
            return Ok(());
        }
        let why =
            if status.reasons.is_empty() { "it begins with it soon".to_owned() } else { status.reasons.join("; ") };
        Err(Failure::no(format!(
            "the next key counts, and the node does not vote with it yet ({why}): keep the old key, and run this again; \
             if it lasts, read the node's log"
        )))
    }

    /// Writes the new key as the key, and says where the node is that holds.
    fn finish(&self, config: &Config, keys: &Keys) -> Done {
        self.require_vote(config)?;
        if let Some(holder) = &config.holder {
            let organisation = holder.principal.organisation();
            let nodes = self.acting.client()?.organisation_nodes(organisation)?;
            let nodes = nodes.map(|found| found.value.nodes).unwrap_or_default();
            let row = nodes.into_iter().find(|node| node.node == holder.principal && node.peer == keys.old);
            if let Some(row) = row {
                let (node, peer) = (row.node, validator_key(&keys.new)?);
                let told = format!("{node} is reached by the new key");
                let operation = Operation::NodeRegister {
                    node: node.clone(),
                    peer,
                    sealing: row.sealing,
                    jurisdiction: row.jurisdiction,
                };
                if !self.acting.begin()?.act(format!("node {node}"), vec![operation], told)? {
                    return Ok(());
                }
            }
        }
        edit(&self.config, |document| {
            if let Some(next) = document.remove("next_key") {
                document["key"] = next;
            }
        })?;
        line(format_args!("{} votes, and {} names it as key: destroy the old one", keys.new, self.config.display()))
    }

    /// Names are given from here, and read from where the file is.
    fn seen_from_the_file(&self, name: &KeyName) -> KeyName {
        match name {
            KeyName::File(path) => {
                let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                let (path, config) = (absolute(path), absolute(&self.config));
                let beside = config.parent().and_then(|folder| path.strip_prefix(folder).ok());
                KeyName::File(beside.map_or_else(|| path.clone(), Path::to_owned))
            }
            name => name.clone(),
        }
    }

    /// The name as it is once it was read out of the file.
    fn seen_from_there(&self, name: &KeyName) -> KeyName {
        self.seen_from_the_file(name).relative_to(self.config.parent().unwrap_or(Path::new("")))
    }
}

fn decided(new: &PublicKey, height: u64) -> Done {
    line(format_args!(
        "{new} votes from block {height} on; the node goes on with it then, and this command finishes after that"
    ))
}

/// The validator of this key, now or as decided.
fn present<'a>(validators: &'a ValidatorsView, key: &PublicKey) -> Option<&'a ValidatorView> {
    let key = hex::encode(validator_key(key).ok()?);
    validators.sets().into_iter().flat_map(|set| &set.validators).find(|validator| validator.key == key)
}

/// How far the network is with a new key.
fn stage(validators: &ValidatorsView, new: &PublicKey) -> Result<Stage, Failure> {
    let key = hex::encode(validator_key(new)?);
    if validators.current.contains(&key) {
        return Ok(Stage::Votes);
    }
    let decided = [&validators.next, &validators.later].into_iter().find(|set| set.contains(&key));
    Ok(decided.map_or(Stage::Unknown, |set| Stage::Decided(set.from_height)))
}

/// The proposal of a new key that is still to be decided or to take effect, or else the id that the next one may have.
fn last_proposal(client: &Client, new: &PublicKey) -> Result<Result<ProposalView, String>, Failure> {
    let name = hex::encode(validator_key(new)?);
    let name = name.get(..PROPOSAL_KEY_DIGITS).unwrap_or(&name);
    for number in 1..=PROPOSALS_TRIED {
        let id = if number == 1 { format!("node-key-{name}") } else { format!("node-key-{name}-{number}") };
        match client.proposal(&id)?.map(|found| found.value) {
            None => return Ok(Err(id)),
            Some(view) if matches!(view.brief.status, ProposalStatus::Open | ProposalStatus::Accepted) => {
                return Ok(Ok(view));
            }
            // What became of an earlier one, and why: it is proposed anew.
            Some(view) => proposal::standing(&view)?,
        }
    }
    Err(Failure::no(format!(
        "{PROPOSALS_TRIED} proposals of {new} came to nothing: take `next_key` out of the configuration, and begin with another key"
    )))
}

/// A new file beside the present key.
fn next_file(present: &Path) -> Result<PathBuf, Failure> {
    let file = present.with_file_name("next.pem");
    if file.exists() {
        return Err(Failure::error(format!(
            "`{}` is there already: name the file of the new key with --new",
            file.display()
        )));
    }
    Ok(file)
}
