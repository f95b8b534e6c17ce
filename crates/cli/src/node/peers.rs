//! `tally node peers`: the other validators as they are now, in a node's configuration.

use super::edit;
use crate::{
    connection::{Connection, passphrase},
    key::public_file,
    output::{Done, Failure, count, json, line},
};
use clap::Args;
use serde_json::Value;
use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::PathBuf};
use tallystick_api::{ValidatorView, ValidatorsView};
use tallystick_client::{At, Client, KeyName};
use tallystick_node::config::{Config, Peer};
use tallystick_protocol::{PublicKey, limits::TOKEN_ANSWER_MAX};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

/// Write the keys that the other validators have now, and where they are, into a node's configuration
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Peers {
    /// The node's configuration file
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

const AFTER: &str = "A node that was away while the others replaced their keys, or that lost its disk after they did, knows them by keys that \
    nobody has any more, and meets no peer. Other organisations' nodes are asked, those \
    of --node or of the profile, and the answer is that of the newest block; its own cannot know. Under [[peers]] each \
    validator is named that is one now or is decided to be; what is named there besides stays, unless a validator has its address. What a \
    node is told here is not believed: it meets nobody who does not have that key, and takes no block without the votes of a quorum.\n\n\
    Example:\n  \
    tally node peers --config /etc/tally/node.toml --node https://ledger.hmrc.example";

/// What changes under `[[peers]]`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    /// Which entries go, by their places.
    gone: Vec<usize>,
    /// Which validators come.
    new: Vec<ValidatorView>,
    /// Validators of which no address is known.
    nowhere: Vec<ValidatorView>,
}

impl Peers {
    /// Runs the command.
    pub fn run(self) -> Done {
        let config = Config::read(&self.config).map_err(Failure::error)?;
        let (asked, height, validators) = newest(&self.connection.client()?, &config)?;
        let changes = changes(&config.peers, &validators, own_key(&config).as_deref());
        let is_changed = !changes.gone.is_empty() || !changes.new.is_empty();
        if is_changed {
            edit(&self.config, |document| changes.write(document))?;
        }
        if self.json {
            return json(&changes.told(&config.peers));
        }
        line(format_args!("{asked} says who they are, at block {height}"))?;
        self.tell(&changes, &config.peers)
    }

    fn tell(&self, changes: &Changes, before: &[Peer]) -> Done {
        let shown = self.config.display();
        for missing in &changes.nowhere {
            line(format_args!(
                "the ledger does not say where {} of {} is: add its address under [[peers]], or let it dial this node",
                missing.key, missing.organisation
            ))?;
        }
        if changes.gone.is_empty() && changes.new.is_empty() {
            let others = if changes.nowhere.is_empty() { "" } else { " but for these" };
            return line(format_args!("{shown} names the validators as they are{others}"));
        }
        for peer in changes.gone.iter().filter_map(|place| before.get(*place)) {
            line(format_args!("- {} at {}", peer.key, peer.address))?;
        }
        for validator in &changes.new {
            line(format_args!("+ {} at {}, of {}", validator.key, validator.address, validator.organisation))?;
        }
        let peers = before.len() - changes.gone.len() + changes.new.len();
        line(format_args!("{shown} names {}: start the node again", count(peers as u64, "peer", "peers")))
    }
}

impl Changes {
    fn told(&self, before: &[Peer]) -> Value {
        let gone: Vec<&Peer> = self.gone.iter().filter_map(|place| before.get(*place)).collect();
        serde_json::json!({ "removed": gone, "added": self.new, "without_address": self.nowhere })
    }

    fn write(&self, document: &mut DocumentMut) {
        let mut peers = match document.remove("peers") {
            // As tables of their own, or in line.
            Some(peers) => peers.into_array_of_tables().unwrap_or_default(),
            None => ArrayOfTables::new(),
        };
        for place in self.gone.iter().rev() {
            peers.remove(*place);
        }
        for validator in &self.new {
            let mut table = Table::new();
            table.decor_mut().set_prefix(format!("# {}\n", validator.organisation));
            table.insert("key", toml_edit::value(&validator.key));
            table.insert("address", toml_edit::value(&validator.address));
            peers.push(table);
        }
        document.insert("peers", Item::ArrayOfTables(peers));
    }
}

/// What the node says that knows the newest block, of all but the one that is configured: what that knows may be old.
fn newest(client: &Client, config: &Config) -> Result<(String, u64, ValidatorsView), Failure> {
    let own = own_address(config);
    let (mut newest, mut failure) = (None::<(String, u64, ValidatorsView)>, None);
    for node in client.nodes().iter().filter(|node| **node != own) {
        match client.only(node).validators() {
            Ok(At { height, value }) => {
                let height = height.unwrap_or_default();
                if newest.as_ref().is_none_or(|(_, known, _)| height > *known) {
                    newest = Some((node.clone(), height, value));
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    let nobody = || {
        Failure::error(
            "only this node itself is named, and what it knows may be old: name another organisation's with --node",
        )
    };
    newest.ok_or_else(|| failure.map_or_else(nobody, Failure::from))
}

/// Where a node serves, seen from its own machine.
pub(super) fn own_address(config: &Config) -> String {
    let mut http = config.http;
    if http.ip().is_unspecified() {
        http.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{http}")
}

/// What must change so that each validator is among the peers.
fn changes(peers: &[Peer], validators: &ValidatorsView, own: Option<&str>) -> Changes {
    let sets = validators.sets().into_iter().flat_map(|set| &set.validators);
    let present: BTreeMap<&str, &ValidatorView> = sets.map(|one| (one.key.as_str(), one)).collect();
    let is_named = |key: &str| peers.iter().any(|peer| peer.key == key);
    let unnamed = present.values().filter(|one| !is_named(&one.key) && own != Some(one.key.as_str()));
    let (new, nowhere) = unnamed.map(|one| (*one).clone()).partition(|one: &ValidatorView| !one.address.is_empty());
    let has_address = |address: &str| present.values().any(|one| one.address == address);
    let is_gone = |peer: &Peer| !present.contains_key(peer.key.as_str()) && has_address(&peer.address);
    let gone = peers.iter().enumerate().filter(|(_, peer)| is_gone(peer)).map(|(place, _)| place).collect();
    Changes { gone, new, nowhere }
}

/// The node's own key: of the file beside it, or of the key itself where its passphrase is at hand. Without it the node is named to itself,
/// which does no harm.
fn own_key(config: &Config) -> Option<String> {
    let beside = match &config.key {
        KeyName::File(file) => fs::read_to_string(public_file(file)).ok(),
        KeyName::Token(_) => None,
    };
    let public = beside.and_then(|text| text.trim().parse().ok()).or_else(|| {
        let file = config.passphrase_file.as_deref()?;
        let key = config.key.open::<Failure>(TOKEN_ANSWER_MAX, |prompt| passphrase(Some(file), prompt));
        key.ok().map(|key| key.public())
    });
    match public? {
        PublicKey::Ed25519(key) => Some(hex::encode(key)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use tallystick_api::ValidatorSetView;

    fn validator(key: &str, address: &str) -> ValidatorView {
        ValidatorView { key: key.into(), organisation: format!("of-{key}"), address: address.into() }
    }

    /// a is the node itself, b has the key it had, c a new one at its old place, d one of which nobody says where it is.
    #[test]
    fn keys_that_nobody_has_give_way_and_all_else_stays() {
        let all = vec![validator("a", "h:1"), validator("b", ""), validator("c2", "h:3"), validator("d2", "")];
        let set = |epoch| ValidatorSetView { epoch, from_height: epoch * 10, quorum: 3, validators: all.clone() };
        let (current, next, later) = (set(3), set(4), set(5));
        let (former, recoveries) = (Vec::new(), Vec::new());
        let view = ValidatorsView { epoch_blocks: 10, current, next, later, former, recoveries };
        let peer = |key: &str, address: &str| Peer { key: key.into(), address: address.into() };
        let peers = [peer("b", "h:2"), peer("c", "h:3"), peer("d", "h:4"), peer("auditor", "h:5")];
        let changes = changes(&peers, &view, Some("a"));
        assert_eq!(changes.gone, [1]);
        assert_eq!(changes.new, [validator("c2", "h:3")]);
        assert_eq!(changes.nowhere, [validator("d2", "")]);
        let text = "key = \"validator.pem\" # ours\n\n[[peers]] # b\nkey = \"b\"\naddress = \"h:2\"\n[[peers]]\nkey = \"c\"\naddress = \"h:3\"\n";
        let mut document: DocumentMut = text.parse().unwrap();
        changes.write(&mut document);
        assert_eq!(
            document.to_string(),
            "key = \"validator.pem\" # ours\n\n[[peers]] # b\nkey = \"b\"\naddress = \"h:2\"\n# of-c2\n[[peers]]\nkey = \"c2\"\naddress = \"h:3\"\n"
        );
        let inline = r#"peers = [{ key = "b", address = "h:2" }, { key = "c", address = "h:3" }]"#;
        let mut document: DocumentMut = format!("{inline}\n").parse().unwrap();
        changes.write(&mut document);
        let after: Vec<&str> =
            document["peers"].as_array_of_tables().unwrap().iter().map(|peer| peer["key"].as_str().unwrap()).collect();
        assert_eq!(after, ["b", "c2"]);
        let mut none: DocumentMut = "peers = []\n".parse().unwrap();
        Changes { gone: Vec::new(), ..changes }.write(&mut none);
        assert_eq!(none.to_string(), "# of-c2\n[[peers]]\nkey = \"c2\"\naddress = \"h:3\"\n");
    }
}
