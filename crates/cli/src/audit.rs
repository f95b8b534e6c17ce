//! `tally audit`: who did what, with proof; and whether a node's stored ledger holds.

mod disk;
mod evidence;
mod query;

use crate::output::Done;
use clap::{Args, Subcommand};

/// Ask who did what, with proof; or check a node's whole ledger
#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Query(Box<query::Query>),
    Disk(disk::Disk),
}

impl Audit {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Command::Query(command) => command.run(),
            Command::Disk(command) => command.run(),
        }
    }
}
