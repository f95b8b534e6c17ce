//! `tally network recover`: how a network that lost its quorum for good goes on, by the word of its organisations.

use crate::{
    connection::{Connection, Signing},
    output::{Colour, Doing, Done, Failure, Table, count, json, line, paint, say, time},
    sandbox::layout::{now_ms, validator_key},
};
use clap::{Args, Subcommand};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};
use tallystick_client::Client;
use tallystick_protocol::{
    Approvals, Genesis, GenesisValidator, Recovery, RecoveryFile, RecoveryGround, Trust,
    limits::{RECOVERY_FILE_BYTES_MAX, TOLERANT_VALIDATORS_MIN},
    operation::validate_name,
    validators::is_address,
};

/// Let a network that lost its quorum for good go on with other validators
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Recover {
    #[command(subcommand)]
    command: RecoverCommand,
}

const AFTER: &str = "When so many validators are lost for good that the others are no quorum, no proposal can replace them: nothing is \
    decided any more. Then the organisations that could have changed the validators by a vote sign a file that names others:\n  \
    1. one organisation       tally network recover draft recovery --reason \"…\" --validator hmrc --validator dvsa=KEY@HOST:PORT\n  \
    2. the others, in turn    tally network recover show recovery; tally network recover sign recovery\n  \
    3. every operator         stops the node, writes recovery_file = \"recovery\" into node.toml, starts the node\n\n\
    All nodes that are left must be reached by the draft (--node, once for each): the network goes on from the highest block that one \
    of them has, and a node that has a higher one refuses the recovery. A node that fetches its state needs no file.";

/// A network whose newest block is younger than this may well have a quorum: an idle one makes a block every few seconds.
const STILL_WORKS: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
enum RecoverCommand {
    Draft(Draft),
    Sign(Sign),
    Show(Show),
}

/// Begin a recovery from the highest block that a node has
#[derive(Debug, Args)]
struct Draft {
    /// The file to write
    #[arg(value_name = "FILE", default_value = "recovery")]
    file: PathBuf,
    /// Why: it stands in every receipt from then on
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who certifies from then on: an organisation, for the validators that it has; or ORGANISATION=KEY@HOST:PORT for another
    /// one; once for each
    #[arg(long = "validator", value_name = "WHO", required = true)]
    validators: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Sign a recovery for the signer's organisation, as one of its administrators
#[derive(Debug, Args)]
struct Sign {
    /// The file; the signature is added to it
    #[arg(value_name = "FILE", default_value = "recovery")]
    file: PathBuf,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Check a recovery without the network: what it says, who has signed, and whether that is enough
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 enough have signed; 1 not yet, or it does not hold.")]
struct Show {
    /// The file
    #[arg(value_name = "FILE", default_value = "recovery")]
    file: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Recover {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            RecoverCommand::Draft(command) => command.run(),
            RecoverCommand::Sign(command) => command.run(),
            RecoverCommand::Show(command) => command.run(),
        }
    }
}

impl Draft {
    fn run(self) -> Done {
        if self.file.exists() {
            let file = self.file.display();
            return Err(Failure::error(format!("`{file}` exists already: choose another name, or move it away first")));
        }
        let client = self.connection.client()?;
        let grounds = grounds(&client, |node| node.recovery_ground(None, &[]))?;
        let highest = grounds.iter().max_by_key(|(_, ground)| ground.head.height);
        let (node, _) =
            highest.ok_or_else(|| Failure::error("no node answers: name those that are left with --node"))?;
        let node = client.only(node);
        let validators = self.validators(&node)?;
        let organisations: Vec<String> = validators.iter().map(|validator| validator.organisation.clone()).collect();
        let file = node.recovery_ground(None, &organisations)?.draft(validators, &self.reason);
        let approvals = check(&file, &self.connection.genesis()?)?;
        fs::write(&self.file, file.to_bytes()).doing(|| format!("cannot write `{}`", self.file.display()))?;
        if self.json {
            return json(&view(&file.recovery, &approvals));
        }
        line(format_args!("wrote {}", self.file.display()))?;
        line(format_args!("it goes on from block {}, the highest that a node here has", file.recovery.head.height))?;
        let age = Duration::from_millis(now_ms().saturating_sub(file.recovery.head.time_ms));
        if age < STILL_WORKS {
            say(format_args!(
                "that block is {} s old: be sure that the network has stopped; while it decides, a proposal changes the validators, and a \
                 node that went on refuses this",
                age.as_secs()
            ));
        }
        if file.recovery.validators.len() < TOLERANT_VALIDATORS_MIN {
            line(
                "fewer than 4 validators: the network stops when one of them does; add others by proposal soon after",
            )?;
        }
        line(format_args!("let administrators sign it, in turn: tally network recover sign {}", self.file.display()))
    }

    /// Who is to certify.
    fn validators(&self, node: &Client) -> Result<Vec<GenesisValidator>, Failure> {
        let view = node.validators()?.value;
        let mut validators = Vec::new();
        for who in &self.validators {
            let Some((organisation, rest)) = who.split_once('=') else {
                let of = view.later.validators.iter().filter(|validator| validator.organisation == *who);
                let before = validators.len();
                for validator in of {
                    let mut key = [0; 32];
                    hex::decode_to_slice(&validator.key, &mut key)
                        .doing(|| format!("`{}` is no key", validator.key))?;
                    let (organisation, address) = (validator.organisation.clone(), validator.address.clone());
                    validators.push(GenesisValidator { organisation, key, address });
                }
                if validators.len() == before {
                    return Err(Failure::error(format!(
                        "`{who}` has no validator on this network: write {who}=KEY@HOST:PORT for a new one"
                    )));
                }
                continue;
            };
            validate_name(organisation).map_err(Failure::error)?;
            let (key, address) = rest.split_once('@').unwrap_or((rest, ""));
            if !address.is_empty() && !is_address(address) {
                return Err(Failure::error(format!("`{address}` is no address: write `node.example.org:9000`")));
            }
            let key = validator_key(&crate::key::public_of(key)?)?;
            let (organisation, address) = (organisation.to_owned(), address.to_owned());
            validators.push(GenesisValidator { organisation, key, address });
        }
        Ok(validators)
    }
}

/// What each node says that answers.
fn grounds(
    client: &Client,
    ask: impl Fn(&Client) -> Result<RecoveryGround, tallystick_client::Error>,
) -> Result<Vec<(String, RecoveryGround)>, Failure> {
    let mut grounds = Vec::new();
    for node in client.nodes() {
        match ask(&client.only(node)) {
            Ok(ground) => grounds.push((node.clone(), ground)),
            Err(error) => say(format_args!("{node} does not answer: {error}")),
        }
    }
    if grounds.is_empty() {
        Err(Failure::error("no node answers: name those that are left with --node"))
    } else {
        Ok(grounds)
    }
}

impl Sign {
    fn run(self) -> Done {
        let Signing { mandate, cosigners, pass_on, .. } = &self.signing;
        if mandate.is_some() || !cosigners.is_empty() || pass_on.is_some() {
            return Err(Failure::error(
                "each administrator signs for its own organisation: leave out --mandate, --cosigner and --pass-on",
            ));
        }
        let mut file = read(&self.file)?;
        let genesis = self.connection.genesis()?;
        check(&file, &genesis)?;
        let signer = self.connection.signer(&self.signing)?;
        let client = self.connection.client()?;
        let grounds = grounds(&client, |node| node.recovery_ground(Some(signer.principal()), &[]))?;
        // One that stands higher is told of: what it has would be given up.
        let highest = grounds.into_iter().map(|(_, ground)| ground).max_by_key(|ground| ground.head.height);
        let ground = highest.ok_or_else(|| Failure::error("no node answers: name those that are left with --node"))?;
        let signature = signer.key().sign(&file.recovery.signed_bytes()).map_err(Failure::error)?;
        file.approve(ground, signer.key().public(), signature).map_err(Failure::no)?;
        let approvals = check(&file, &genesis)?;
        let written = self.file.with_extension("tmp");
        let write = fs::write(&written, file.to_bytes()).and_then(|()| fs::rename(&written, &self.file));
        write.doing(|| format!("cannot write `{}`", self.file.display()))?;
        if self.signing.json {
            return json(&view(&file.recovery, &approvals));
        }
        line(format_args!("signed as {}", signer.principal()))?;
        line(standing(&approvals))
    }
}

impl Show {
    fn run(self) -> Done {
        let file = read(&self.file)?;
        let approvals = check(&file, &self.connection.genesis()?)?;
        let recovery = &file.recovery;
        if self.json {
            json(&view(recovery, &approvals))?;
        } else {
            show(recovery, &approvals)?;
        }
        if approvals.votes < approvals.needed { Err(Failure::Said) } else { Ok(()) }
    }
}

fn show(recovery: &Recovery, approvals: &Approvals) -> Done {
    let head = &recovery.head;
    line(format_args!("{} of network {}", paint(Colour::Bold, "recovery"), recovery.network()))?;
    line(format_args!("from     block {} of {}, {}", head.height, time(head.time_ms), head.hash()))?;
    line(format_args!("reason   {}", recovery.reason))?;
    for signer in &approvals.principals {
        line(format_args!("signed   {signer}"))?;
    }
    line(standing(approvals))?;
    line("")?;
    let mut table = Table::new(&["validator of", "key", "address"]);
    for validator in &recovery.validators {
        table.row([validator.organisation.clone(), hex::encode(validator.key), validator.address.clone()]);
    }
    table.print()
}

/// Whether enough have signed.
fn standing(approvals: &Approvals) -> String {
    let Approvals { votes, needed, all, .. } = approvals;
    let of = count(*all, "vote", "votes");
    match needed.checked_sub(*votes).filter(|missing| *missing > 0) {
        Some(missing) => format!("votes    {votes} of {of} signed, {needed} must: {missing} more"),
        None => format!("votes    {votes} of {of} signed, {needed} must: enough"),
    }
}

fn view(recovery: &Recovery, approvals: &Approvals) -> serde_json::Value {
    let Approvals { principals, votes, needed, all } = approvals;
    serde_json::json!({
        "network": recovery.network(), "height": recovery.head.height, "time_ms": recovery.head.time_ms,
        "block": recovery.head.hash(), "reason": recovery.reason, "validators": recovery.validators,
        "signers": principals, "votes": votes, "needed": needed, "of": all, "enough": votes >= needed,
    })
}

/// Checks all but whether enough have signed: the head too, from the trust anchor on.
fn check(file: &RecoveryFile, genesis: &Genesis) -> Result<Approvals, Failure> {
    let recovery = &file.recovery;
    let mut trust = Trust::anchored(genesis).map_err(Failure::error)?;
    for link in &file.links {
        trust.walk(link).map_err(|error| Failure::no(format!("the recovery does not hold: {error}")))?;
    }
    let certified = trust.certified(&recovery.head, &recovery.certificate);
    certified.map_err(|error| Failure::no(format!("the recovery does not hold: its head: {error}")))?;
    recovery.approvals().map_err(Failure::no)
}

fn read(path: &Path) -> Result<RecoveryFile, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(RECOVERY_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .doing(|| format!("cannot read `{}`", path.display()))?;
    let decoded = RecoveryFile::decode(&bytes);
    decoded.map_err(|error| Failure::no(format!("`{}` is no recovery, or was altered: {error}", path.display())))
}
