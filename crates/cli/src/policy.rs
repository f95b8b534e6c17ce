//! `tally policy`: which policies are in force, whether one would hold, and why something is permitted or not.

use crate::{
    connection::{Asking, Connection, Signing},
    output::{Colour, Doing, Done, Failure, Table, json, line, paint, say},
    partition::warn_of_stall,
    register::act,
};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

use tallystick_api::{PolicyAnswer, PolicyAsPut, PolicyList, PolicyQuestion};
use tallystick_client::{Client, Signer};
use tallystick_ledger::{PolicyCache, policy};
use tallystick_protocol::{MandateId, Operation, OperationName, PolicyChange, PolicyId, PolicyText, PrincipalId};

/// See who may do what, and why; make policies for your registers
#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Check(Check),
    Put(Put),
    Remove(Remove),
    Explain(Explain),
}

/// List the policies in force
#[derive(Debug, Args)]
struct List {
    /// Those that its custodian has made for this register, instead of the network's
    #[arg(long, value_name = "REGISTER")]
    register: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// Show a policy, in force or as it once was
#[derive(Debug, Args)]
struct Show {
    /// Its id, such as custodian-writes or country/partners
    #[arg(value_name = "ID")]
    id: PolicyId,
    /// As it stood after so many changes of policies: the number that an outcome gives
    #[arg(long, value_name = "CHANGE")]
    as_of: Option<u64>,
    #[command(flatten)]
    asking: Asking,
}

/// Check a policy as the ledger would, offline
#[derive(Debug, Args)]
struct Check {
    /// A file that holds one Cedar policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The id that it is to have: register/name for one that is for a register
    #[arg(long, value_name = "ID", default_value = "policy")]
    id: PolicyId,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Put a policy of your own register in force
#[derive(Debug, Args)]
#[command(
    after_help = "The custodian's administrators do this by themselves, within the number that the rulebook allows. A policy of the \
    whole partition goes to the vote: tally proposal draft FILE --kind policies.\n\n\
    Example:\n  \
    tally policy put country/partners partners.cedar"
)]
struct Put {
    /// The id that it has from now on: register/name
    #[arg(value_name = "ID")]
    id: PolicyId,
    /// A file that holds one Cedar policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Take a policy of your own register out of force
#[derive(Debug, Args)]
struct Remove {
    /// Its id: register/name
    #[arg(value_name = "ID")]
    id: PolicyId,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Say whether something is permitted, and which policies say so; nothing is submitted
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 permitted; 1 not permitted.\n\n\
    Example:\n  \
    tally policy explain --principal hmrc/clerk --action entry-append --resource register:country")]
struct Explain {
    /// Who signs
    #[arg(long, value_name = "PRINCIPAL")]
    principal: PrincipalId,
    /// Who signs besides; may be repeated
    #[arg(long = "cosigner", value_name = "PRINCIPAL")]
    cosigners: Vec<PrincipalId>,
    /// The mandate under which it acts
    #[arg(long, value_name = "MANDATE")]
    mandate: Option<MandateId>,
    /// What: the name of an operation, such as entry-append
    #[arg(long, value_name = "OPERATION")]
    action: OperationName,
    /// To what: organisation:ID, principal:ID or register:NAME
    #[arg(long, value_name = "RESOURCE")]
    resource: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Policy {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Command::List(command) => command.run(),
            Command::Show(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Put(command) => command.run(),
            Command::Remove(command) => command.run(),
            Command::Explain(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Done {
        let client = self.asking.connection.client()?;
        let asker = self.asking.asker()?;
        let list = match asker.as_ref().and_then(|signer| Some((signer, signer.partition()?))) {
            Some((signer, partition)) => {
                let register = self.register.as_deref().ok_or_else(|| {
                    Failure::error("name the register, with --register: a partition has no policies of its own but those of its registers, beside the network's")
                })?;
                let holder = holder(&client, signer, partition)?;
                let found = holder.partition_register_policies(signer, partition, register)?;
                found
                    .ok_or_else(|| {
                        Failure::no(format!(
                            "no register `{register}` in {partition}: see tally register list --partition {partition}"
                        ))
                    })?
                    .value
            }
            None => client.policies(self.register.as_deref())?.value,
        };
        if self.asking.json {
            return json(&list);
        }
        let PolicyList { policies } = list;
        let mut table = Table::new(&["policy", "change", "says"]);
        for policy in &policies {
            let says = policy.text.lines().next().unwrap_or_default().trim_start_matches("// ").to_owned();
            table.row([policy.id.to_string(), policy.version.to_string(), says]);
        }
        table.print()
    }
}

/// The node that is asked what is in a partition; says so if it is not all there.
fn holder(client: &Client, signer: &Signer, partition: &str) -> Result<Client, Failure> {
    let (holder, _) = client.holder(signer.principal().organisation())?;
    warn_of_stall(&holder, partition);
    Ok(holder)
}

impl Show {
    fn run(self) -> Done {
        let client = self.asking.connection.client()?;
        let asker = self.asking.asker()?;
        let found = match asker.as_ref().and_then(|signer| Some((signer, signer.partition()?))) {
            Some((signer, partition)) => {
                holder(&client, signer, partition)?.partition_policy(signer, partition, (&self.id, self.as_of))?
            }
            None => client.policy(&self.id, self.as_of)?,
        };
        let Some(found) = found else {
            return Err(Failure::no(format!(
                "no policy `{}` was put until then: tally policy list says which are in force",
                self.id
            )));
        };
        if self.asking.json {
            return json(&found.value);
        }
        let PolicyAsPut { policy, in_force } = found.value;
        line(policy.text.trim_end())?;
        let standing = if in_force { "in force" } else { "not in force any more" };
        say(format_args!("put by change {} of the policies; {standing}", policy.version));
        Ok(())
    }
}

impl Check {
    fn run(self) -> Done {
        let verdict = read(&self.file, &self.id);
        if self.json && !matches!(verdict, Err(Failure::Error(_))) {
            let reasons: Vec<String> = verdict.as_ref().err().iter().map(ToString::to_string).collect();
            json(&serde_json::json!({"holds": verdict.is_ok(), "reasons": reasons}))?;
            return if verdict.is_ok() { Ok(()) } else { Err(Failure::Said) };
        }
        verdict?;
        line(format_args!("{} `{}`", paint(Colour::Green, "holds:"), self.file.display()))
    }
}

/// The policy in a file, if it would hold under this id.
fn read(file: &Path, id: &PolicyId) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).doing(|| format!("cannot read `{}`", file.display()))?;
    match policy::check(&PolicyCache::default().schema(), id, &text) {
        Ok(()) => Ok(text),
        Err(error) => Err(Failure::no(format!("{}: {error}", file.display()))),
    }
}

impl Put {
    fn run(self) -> Done {
        let put = vec![PolicyText { id: self.id.clone(), text: read(&self.file, &self.id)? }];
        let change = PolicyChange { put, remove: Vec::new() };
        if change_register(&self.id, change, &self.signing, &self.connection)? {
            line(format_args!("policy {} is in force", self.id))?;
        }
        Ok(())
    }
}

impl Remove {
    fn run(self) -> Done {
        let change = PolicyChange { put: Vec::new(), remove: vec![self.id.clone()] };
        if change_register(&self.id, change, &self.signing, &self.connection)? {
            line(format_args!("policy {} is no longer in force", self.id))?;
        }
        Ok(())
    }
}

/// Whether it was done; otherwise it was passed on.
fn change_register(
    id: &PolicyId,
    change: PolicyChange,
    signing: &Signing,
    connection: &Connection,
) -> Result<bool, Failure> {
    let Some(register) = id.register() else {
        return Err(Failure::no(format!(
            "`{id}` is a policy of the whole partition, which changes by vote: tally proposal draft FILE --kind policies"
        )));
    };
    let signer = connection.signer(signing)?;
    let operation = Operation::RegisterPolicy { register: register.to_owned(), change };
    Ok(act(connection, &signer, signing, format!("policies for {register}"), vec![operation])?.is_some())
}

impl Explain {
    fn run(self) -> Done {
        let question = PolicyQuestion {
            principal: self.principal.to_string(),
            cosigners: self.cosigners.iter().map(ToString::to_string).collect(),
            mandate: self.mandate.as_ref().map(ToString::to_string),
            action: self.action.to_string(),
            resource: self.resource.clone(),
        };
        let answer = self.connection.client()?.explain(&question)?.value;
        if self.json {
            json(&answer)?;
        } else {
            show(&answer)?;
        }
        if answer.allowed { Ok(()) } else { Err(Failure::Said) }
    }
}

fn show(answer: &PolicyAnswer) -> Done {
    if let Some(code) = answer.refusal {
        line(format_args!("{}: {} ({code})", paint(Colour::Red, "refused before policies are asked"), code.advice()))?;
        return Ok(());
    }
    let verdict = match (answer.allowed, answer.determining.is_empty()) {
        (true, _) => paint(Colour::Green, "permitted"),
        (false, true) => paint(Colour::Red, "not permitted: no policy permits it"),
        (false, false) => paint(Colour::Red, "forbidden"),
    };
    line(format_args!("{verdict}, as of change {} of the policies", answer.version))?;
    if !answer.mandates.is_empty() {
        let chain: Vec<&str> = answer.mandates.iter().map(MandateId::as_str).collect();
        line(format_args!("under the mandates {}", chain.join(", passed on from ")))?;
    }
    for policy in &answer.determining {
        line(format_args!("\n{} (change {})", paint(Colour::Bold, policy.id.as_str()), policy.version))?;
        line(policy.text.trim_end())?;
    }
    for skipped in &answer.skipped {
        line(format_args!("\n{} failed and was skipped: {}", skipped.id, skipped.reason))?;
    }
    line("\nthe policies could look at")?;
    answer.entities.iter().try_for_each(|entity| match entity.parents.as_slice() {
        [] => line(format_args!("  {}", entity.name)),
        parents => line(format_args!("  {} in {}", entity.name, parents.join(", "))),
    })
}
