//! Do all of that from a terminal: the `tally` binary.
//!
//! One file for each command; the nouns are those of the ledger. Answers go to standard output, what happens meanwhile to
//! standard error. Exit codes: 0 it is so; 1 it is not so, or the network said no; 2 the command or its surroundings are
//! not right.

mod access_log;
mod argument;
mod attest;
mod audit;
mod bench;
mod ca;
mod connection;
mod consent;
mod csv;
mod data_map;
mod disclose;
mod erasure;
mod hold;
mod key;
mod mandate;
mod network;
mod node;
mod notice;
mod organisation;
mod output;
mod paging;
mod partition;
mod policy;
mod principal;
mod proposal;
mod reading;
mod record;
mod register;
mod sandbox;
mod signature;
mod status;
mod subject_access;
mod transaction;
mod verify;

use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keep records that organisations rely on together, and prove them to anyone
#[derive(Debug, Parser)]
#[command(name = "tally", version, about, long_about = LONG, after_help = AFTER, max_term_width = 110)]
struct Tally {
    #[command(subcommand)]
    command: Command,
}

const LONG: &str = "Keep records that organisations rely on together, and prove them to anyone.\n\n\
    A network is a group of organisations that run one ledger. Each keeps a node; together they agree on the order of every \
    transaction. A register is an authoritative list with one custodian. A receipt proves a record or a transaction to \
    somebody who has only the network's trust anchor, network.json, and no connection.";

const AFTER: &str = "The first hour:\n  \
    tally sandbox                                   four organisations on this machine, in the folder ./sandbox\n  \
    tally register import country.rsf               a register with its whole history\n  \
    tally record country GB --receipt gb.receipt    a record, and the proof of it\n  \
    tally verify gb.receipt                         checked without the network\n  \
    tally status                                    how the nodes are\n\n\
    Exit codes: 0 it is so; 1 it is not so, or the network said no; 2 the command or its surroundings are not right.";

#[derive(Debug, Subcommand)]
enum Command {
    Sandbox(sandbox::Sandbox),
    Network(network::Network),
    Node(node::Node),
    Register(register::Register),
    Record(record::Record),
    Disclose(disclose::Disclose),
    Attest(Box<attest::Attest>),
    AccessLog(access_log::AccessLog),
    SubjectAccess(subject_access::SubjectAccess),
    Transaction(transaction::Transaction),
    Verify(verify::Verify),
    Audit(audit::Audit),
    Status(status::Status),
    Organisation(organisation::Organisation),
    Principal(principal::Principal),
    Mandate(mandate::Mandate),
    Partition(partition::Partition),
    #[command(name = "datamap")]
    DataMap(data_map::DataMapCommand),
    Key(key::Key),
    Ca(ca::Ca),
    Policy(policy::Policy),
    Proposal(proposal::Proposal),
    Erasure(erasure::Erasure),
    Hold(hold::Hold),
    Consent(consent::Consent),
    Notice(notice::NoticeCommand),
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    forbid_core_dumps();
    let done = match Tally::parse().command {
        Command::Sandbox(command) => command.run(),
        Command::Network(command) => command.run(),
        Command::Node(command) => command.run(),
        Command::Register(command) => command.run(),
        Command::Record(command) => command.run(),
        Command::Disclose(command) => command.run(),
        Command::Attest(command) => command.run(),
        Command::AccessLog(command) => command.run(),
        Command::SubjectAccess(command) => command.run(),
        Command::Transaction(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Organisation(command) => command.run(),
        Command::Principal(command) => command.run(),
        Command::Mandate(command) => command.run(),
        Command::Partition(command) => command.run(),
        Command::DataMap(command) => command.run(),
        Command::Key(command) => command.run(),
        Command::Ca(command) => command.run(),
        Command::Policy(command) => command.run(),
        Command::Proposal(command) => command.run(),
        Command::Erasure(command) => command.run(),
        Command::Hold(command) => command.run(),
        Command::Consent(command) => command.run(),
        Command::Notice(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Keys and opened values are in memory: a crash writes them to no disk. A limit of one byte is too little for a file, and where a program is
/// given what is dumped, Linux takes it as a word of its own for none (fs/coredump.c), which it does not take 0 for.
fn forbid_core_dumps() {
    let none = Rlimit { current: Some(1), maximum: Some(1) };
    // Fails where the system allows less.
    let _ = setrlimit(Resource::Core, none);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::CommandFactory;
    use std::{fmt::Write, fs, path::Path};

    /// What stands above it in the reference is written by hand.
    const MARK: &str =
        "<!-- From here on made from the program's own help: UPDATE_EXPECT=1 cargo test -p tallystick-cli -->\n";

    #[test]
    fn the_commands_are_consistent() {
        Tally::command().debug_assert();
    }

    #[test]
    fn the_reference_is_the_help() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
        let text = fs::read_to_string(&path).unwrap();
        let (by_hand, _) = text.split_once(MARK).unwrap_or_else(|| panic!("{} has lost its mark", path.display()));
        let mut made = format!("{by_hand}{MARK}");
        let mut command = Tally::command().term_width(100);
        command.build();
        for command in command.get_subcommands_mut() {
            describe(command, &mut made);
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let now = fs::read_to_string(&path).unwrap();
        assert!(now == made, "{} is not the help: UPDATE_EXPECT=1 cargo test -p tallystick-cli", path.display());
    }

    /// Commands whose answer is what they make or run, not something to be read by a program.
    const WITHOUT_JSON: [&str; 9] = [
        "tally sandbox",
        "tally node",
        "tally node init",
        "tally node holder",
        "tally network init",
        "tally network join",
        "tally network assemble",
        "tally register export",
        "tally key new",
    ];

    /// The conventions that docs/reference/cli.md states.
    #[test]
    fn flags_are_the_same_in_every_command() {
        let mut root = Tally::command();
        root.build();
        let (mut asked, mut without_json) = (Vec::new(), Vec::new());
        walk(&root, &mut |command| {
            let name = command.get_bin_name().unwrap_or_default();
            let has = |id: &str| command.get_arguments().any(|argument| argument.get_id() == id);
            let (signs, waits) = (has("signing-principal"), has("wait"));
            if command.get_arguments().all(|argument| argument.get_id() != "json") {
                without_json.push(name.to_owned());
            }
            assert!(!(signs || waits) || has("timeout"), "{name} waits, and has no --timeout");
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let shown = argument.get_value_names().unwrap_or_default().join(" ").to_lowercase();
                let is_reason = id.contains("reason") || shown.contains("reason");
                assert!(!is_reason || argument.get_long() == Some("reason"), "{name}: a reason is given with --reason");
            }
            asked.push(name.to_owned());
        });
        assert!(asked.len() > 60, "{asked:?}");
        let unlisted: Vec<_> = without_json.iter().filter(|name| !WITHOUT_JSON.contains(&name.as_str())).collect();
        assert!(unlisted.is_empty(), "these answer, and have no --json: {unlisted:?}");
    }

    /// Every command that does something by itself.
    fn walk(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
        let shown = |command: &&clap::Command| command.get_name() != "help" && !command.is_hide_set();
        let own: Vec<_> = command.get_subcommands().filter(shown).collect();
        if own.is_empty() || !command.is_subcommand_required_set() {
            visit(command);
        }
        own.into_iter().for_each(|command| walk(command, visit));
    }

    fn describe(command: &mut clap::Command, out: &mut String) {
        if command.is_hide_set() || command.get_name() == "help" {
            return;
        }
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(out, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
        for command in command.get_subcommands_mut() {
            describe(command, out);
        }
    }
}
