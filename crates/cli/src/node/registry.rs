//! `tally node register|retire|list`: which nodes hold what only some may see.

use crate::{
    connection::{Acting, Reading},
    output::{Colour, Done, Failure, Table, json, line, paint, time},
};
use clap::Args;
use tallystick_protocol::{Jurisdiction, Operation, PrincipalId, PublicKey, SealingKey};

/// Register a node of the signer's organisation that holds what only some may see, or say anew what it is
#[derive(Debug, Args)]
#[command(after_help = "The node acts by a principal of its own, a device or a program, enrolled before; \
    with the role `retention` it orders by itself the erasure of what registers of its organisation keep no longer.\n\n\
    Example:\n  \
    tally principal enrol node-1 --kind device --role retention --public holder.pem.pub\n  \
    tally node register hmrc/node-1 --peer ed25519:… --sealing 5d0c… --jurisdiction GB")]
pub struct Register {
    /// The node's principal
    #[arg(value_name = "PRINCIPAL")]
    node: PrincipalId,
    /// The key its peers know it by: the public key of its validator.pem
    #[arg(long, value_name = "KEY")]
    peer: PublicKey,
    /// The key to which others encrypt what it is to hold
    #[arg(long, value_name = "HEX")]
    sealing: SealingKey,
    /// Where it stands, under whose law: an ISO 3166 code such as GB or GB-SCT
    #[arg(long, value_name = "CODE")]
    jurisdiction: Jurisdiction,
    #[command(flatten)]
    acting: Acting,
}

/// Hand nothing to a node any more
#[derive(Debug, Args)]
pub struct Retire {
    /// The node's principal
    #[arg(value_name = "PRINCIPAL")]
    node: PrincipalId,
    #[command(flatten)]
    acting: Acting,
}

/// List the nodes of an organisation that hold what only some may see
#[derive(Debug, Args)]
pub struct List {
    /// The organisation
    #[arg(value_name = "ORGANISATION")]
    organisation: String,
    #[command(flatten)]
    reading: Reading,
}

impl Register {
    /// Runs the command.
    pub fn run(self) -> Done {
        let Self { node, peer, sealing, jurisdiction, acting } = self;
        let PublicKey::Ed25519(peer) = peer else {
            return Err(Failure::error("peers know a node by an Ed25519 key: give that of its validator.pem"));
        };
        let told = format!("{node} is registered, under the law of {jurisdiction}");
        let subject = format!("node {node}");
        let operation = Operation::NodeRegister { node, peer, sealing, jurisdiction };
        acting.begin()?.act(subject, vec![operation], told).map(drop)
    }
}

impl Retire {
    /// Runs the command.
    pub fn run(self) -> Done {
        let Self { node, acting } = self;
        let told = format!(
            "{node} is retired: nothing is handed to it any more. What it was given lies on its disk: destroy its data folder"
        );
        acting.begin()?.act(format!("node {node}"), vec![Operation::NodeRetire { node }], told).map(drop)
    }
}

impl List {
    /// Runs the command.
    pub fn run(self) -> Done {
        let Some(found) = self.reading.connection.client()?.organisation_nodes(&self.organisation)? else {
            let id = &self.organisation;
            return Err(Failure::no(format!("there is no organisation `{id}`: `tally organisation list` names all")));
        };
        if self.reading.json {
            return json(&found.value);
        }
        if found.value.nodes.is_empty() {
            return line(format_args!("{} has no node that holds anything", paint(Colour::Bold, &self.organisation)));
        }
        let mut table = Table::new(&["node", "jurisdiction", "since", "peer", "sealing"]);
        for node in found.value.nodes {
            let (peer, sealing) = (node.peer.to_string(), node.sealing.to_string());
            table.row([node.node.to_string(), node.jurisdiction.to_string(), time(node.since_ms), peer, sealing]);
        }
        table.print()
    }
}
