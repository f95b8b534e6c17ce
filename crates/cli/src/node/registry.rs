//! `tally node register|retire|list`: which nodes hold what only some may see.

use crate::{
    connection::{Acting, Reading},
    output::{Colour, Done, Failure, Table, json, line, paint, paint_err, say, time},
    paging::Paging,
};
use clap::Args;
use tallystick_api::{HoldList, HoldView, limits::ERASURES_PAGE_MAX};
use tallystick_client::Client;
use tallystick_protocol::{Jurisdiction, Operation, PrincipalId, PublicKey, SealingKey, change::words::Shown};

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
#[command(
    after_help = "What the node was given lies on its disk. Until it is said to be destroyed, orders of erasure name the node as not asked.\n\n\
    With --destroyed it warns of the holds in force on what the organisation's nodes hold; of those in partitions \
    `tally hold list --partition NAME` tells.\n\n\
    Example, once the disk is wiped; also of a node that is retired already:\n  \
    tally node retire hmrc/node-1 --destroyed"
)]
pub struct Retire {
    /// The node's principal
    #[arg(value_name = "PRINCIPAL")]
    node: PrincipalId,
    /// Say that its data folder, and every copy of it, is destroyed
    #[arg(long)]
    destroyed: bool,
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
        let Self { node, destroyed, acting } = self;
        let told = if destroyed {
            format!("{node} is retired, and it is on record that what it held is destroyed")
        } else {
            format!(
                "{node} is retired: nothing is handed to it any more. What it was given lies on its disk and in its backups: destroy them, and \
                 say so with --destroyed. Until then orders of erasure name it as not asked"
            )
        };
        let session = acting.begin()?;
        if destroyed {
            warn_of_holds(&acting, node.organisation());
        }
        session.act(format!("node {node}"), vec![Operation::NodeRetire { node, destroyed }], told).map(drop)
    }
}

/// What is destroyed may be what somebody has kept: they should hear of it.
fn warn_of_holds(acting: &Acting, controller: &str) {
    let whole = |client: &Client| {
        let asked = [("controller", controller)];
        Paging::everything().whole(ERASURES_PAGE_MAX, |query| Ok(client.holds(&[&asked, query].concat())?.value))
    };
    let warning = paint_err(Colour::Yellow, "warning:");
    let list: HoldList = match acting.client().and_then(|client| whole(&client)) {
        Ok(list) => list,
        Err(failure) => {
            return say(format_args!("{warning} it is not known whether holds keep what it held: {failure}"));
        }
    };
    for HoldView { hold, subject, authority, .. } in list.holds.iter().filter(|hold| hold.status == "in-force") {
        say(format_args!(
            "{warning} hold {hold} keeps what {controller} holds of {subject}: if no other node has it, tell {}",
            Shown(authority)
        ));
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
        for node in &found.value.retired {
            line(format_args!(
                "{node} is retired; what it was given may lie on its disk and in its backups: `tally node retire {node} --destroyed` once it \
                 does not"
            ))?;
        }
        if found.value.unnamed > 0 {
            line(format_args!(
                "{} more are retired, which are not named: `tally node retire NODE --destroyed` of each once it does not",
                found.value.unnamed
            ))?;
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
