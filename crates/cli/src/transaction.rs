//! `tally transaction`: what became of a transaction, and the receipt of it.

use crate::{
    connection::Connection,
    output::{Colour, Doing, Done, Failure, count, json, line, paint, say, time},
};
use clap::Args;
use std::path::{Path, PathBuf};
use tallystick_api::{OutcomeView, SubmissionStatus, TransactionStatus};
use tallystick_protocol::Hash;

/// Show a transaction and its outcome
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 accepted; 1 refused, not final yet, or unknown.\n\n\
    Examples:\n  \
    tally transaction 5f3a…                         who asked for what, and what became of it\n  \
    tally transaction 5f3a… --receipt t.receipt     the proof, for `tally verify`")]
pub struct Transaction {
    /// The transaction's id: 64 hexadecimal digits
    #[arg(value_name = "ID")]
    id: Hash,
    /// Write its receipt to this file
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Transaction {
    /// Runs the command.
    pub fn run(self) -> Done {
        let client = self.connection.client()?;
        let Some(found) = client.transaction(&self.id)? else {
            return Err(Failure::no(format!(
                "no transaction {} is known: check the id; one that was never taken, or expired, leaves no trace",
                self.id
            )));
        };
        if self.json {
            json(&found.value)?;
        } else {
            show(&found.value)?;
        }
        if found.value.status != SubmissionStatus::Finalised {
            return Err(Failure::no("it is not final yet: ask again in a moment"));
        }
        if let Some(path) = &self.receipt {
            write_receipt(path, &client.transaction_receipt(&self.id)?)?;
        }
        match found.value.outcome {
            Some(OutcomeView::Refused { .. }) => Err(Failure::Said),
            _ => Ok(()),
        }
    }
}

/// Writes a receipt, replacing an older one.
pub fn write_receipt(path: &Path, bytes: &[u8]) -> Done {
    std::fs::write(path, bytes).doing(|| format!("cannot write `{}`", path.display()))?;
    say(format_args!(
        "wrote {} ({} bytes); check it with: tally verify {}",
        path.display(),
        bytes.len(),
        path.display()
    ));
    Ok(())
}

fn show(status: &TransactionStatus) -> Done {
    line(format_args!("{} {}", paint(Colour::Bold, "transaction"), status.id))?;
    if let Some(transaction) = &status.transaction {
        line(format_args!("signed by  {}", transaction.principal))?;
        line(format_args!("           with key {}", transaction.key))?;
        if let Some(mandate) = &transaction.mandate {
            line(format_args!("           under mandate {mandate}"))?;
        }
        for cosigner in &transaction.cosigners {
            line(format_args!("co-signed  {}", cosigner.principal))?;
            line(format_args!("           with key {}", cosigner.key))?;
        }
        line(format_args!("about      {}", transaction.subject))?;
        for operation in &transaction.operations {
            let register = operation.register.as_ref().map_or_else(String::new, |name| format!(" {name}"));
            let entries = match operation.entries {
                0 => String::new(),
                n => format!(", {}", count(n, "entry", "entries")),
            };
            line(format_args!("asks       {}{register}{entries}", operation.name))?;
        }
    }
    match (status.height, status.time_ms, status.index) {
        (Some(height), Some(time_ms), Some(index)) => {
            line(format_args!("final      in block {height} of {}, leaf {index} of the log", time(time_ms)))?;
        }
        _ => line("final      not yet")?,
    }
    match &status.outcome {
        Some(outcome) => outcome_lines(outcome).into_iter().try_for_each(line),
        None => Ok(()),
    }
}

/// What the ledger decided, in lines.
pub fn outcome_lines(outcome: &OutcomeView) -> Vec<String> {
    match outcome {
        OutcomeView::Accepted { appended } => {
            let mut lines = vec![format!("outcome    {}", paint(Colour::Green, "accepted"))];
            lines.extend(appended.iter().map(|range| {
                let numbers = match range.count {
                    1 => format!("entry {}", range.first),
                    n => format!("entries {} to {}", range.first, range.first.saturating_add(n).saturating_sub(1)),
                };
                format!("           {} {numbers} of {}", range.kind, range.register)
            }));
            lines
        }
        OutcomeView::Refused { code, advice, operation, violations } => {
            let mut lines =
                vec![format!("outcome    {}: {code}, in operation {operation}", paint(Colour::Red, "refused"))];
            lines.extend(violations.iter().map(|violation| {
                format!("           entry {}: field `{}`: {}", violation.entry, violation.field, violation.rule)
            }));
            lines.push(format!("           {advice}"));
            lines
        }
    }
}
