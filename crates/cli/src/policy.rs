//! `tally policy`: which policies are in force, whether one would hold, and why something is permitted or not.

use crate::{
    connection::Connection,
    output::{Colour, Doing, Done, Failure, Table, json, line, paint},
};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use tallystick_api::{PolicyAnswer, PolicyList, PolicyQuestion};
use tallystick_ledger::{PolicyCache, policy};
use tallystick_protocol::{OperationName, PolicyId, PrincipalId};

/// See who may do what, and why
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
    Explain(Explain),
}

/// List the policies in force
#[derive(Debug, Args)]
struct List {
    /// Those that are for this register, instead of the partition's
    #[arg(long, value_name = "REGISTER")]
    register: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Show a policy in force
#[derive(Debug, Args)]
struct Show {
    /// Its id, such as custodian-writes or country/partners
    #[arg(value_name = "ID")]
    id: PolicyId,
    #[command(flatten)]
    connection: Connection,
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
}

/// Say whether something is permitted, and which policies say so; nothing is submitted
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 permitted; 1 not permitted.\n\n\
    Example:\n  \
    tally policy explain --principal hmrc/clerk --action entry-append --resource register:country")]
struct Explain {
    /// Who
    #[arg(long, value_name = "PRINCIPAL")]
    principal: PrincipalId,
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
            Command::Explain(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Done {
        let PolicyList { policies } = self.connection.client()?.policies(self.register.as_deref())?.value;
        if self.json {
            return json(&policies);
        }
        let mut table = Table::new(&["policy", "change", "says"]);
        for policy in &policies {
            let says = policy.text.lines().next().unwrap_or_default().trim_start_matches("// ").to_owned();
            table.row([policy.id.to_string(), policy.version.to_string(), says]);
        }
        table.print()
    }
}

impl Show {
    fn run(self) -> Done {
        let found = self.connection.client()?.policies(self.id.register())?.value;
        let Some(policy) = found.policies.into_iter().find(|policy| policy.id == self.id) else {
            return Err(Failure::no(format!("no policy `{}` is in force: see tally policy list", self.id)));
        };
        line(policy.text.trim_end())
    }
}

impl Check {
    fn run(self) -> Done {
        let text = std::fs::read_to_string(&self.file).doing(|| format!("cannot read `{}`", self.file.display()))?;
        match policy::check(&PolicyCache::default().schema(), &self.id, &text) {
            Ok(()) => line(format_args!("{} `{}`", paint(Colour::Green, "holds:"), self.file.display())),
            Err(error) => Err(Failure::no(format!("{}: {error}", self.file.display()))),
        }
    }
}

impl Explain {
    fn run(self) -> Done {
        let question = PolicyQuestion {
            principal: self.principal.to_string(),
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
    let verdict = match (answer.allowed, answer.determining.is_empty()) {
        (true, _) => paint(Colour::Green, "permitted"),
        (false, true) => paint(Colour::Red, "not permitted: no policy permits it"),
        (false, false) => paint(Colour::Red, "forbidden"),
    };
    line(format_args!("{verdict}, as of change {} of the policies", answer.version))?;
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
