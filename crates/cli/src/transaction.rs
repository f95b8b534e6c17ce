//! `tally transaction`: what became of a transaction, and the receipt of it.

use crate::{
    connection::{Connection, Signing},
    output::{Colour, Doing, Done, Failure, count, json, line, paint, say, time},
    register::settle,
    verify::brief,
};
use clap::{Args, Subcommand};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tallystick_api::{
    DecisionView, OperationView, OutcomeView, SubmissionStatus, TransactionStatus, TransferView, ViolationView,
};
use tallystick_protocol::{
    Code, Hash, MandateId, PartlySignedTransaction, PolicyId, TransferPath, limits::TRANSACTION_BYTES_MAX,
};

/// Show a transaction and its outcome
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 accepted; 1 refused, not final yet, or unknown.\n\n\
    Examples:\n  \
    tally transaction 5f3a…                         who asked for what, and what became of it\n  \
    tally transaction 5f3a… --receipt t.receipt     the proof, for `tally verify`\n  \
    tally transaction sign leave.tx --as hmrc/bob   co-sign what was passed on with --pass-on leave.tx\n  \
    tally transaction submit leave.tx               hand it in, once all have signed")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Transaction {
    #[command(subcommand)]
    command: Option<TransactionCommand>,
    /// The transaction's id: 64 hexadecimal digits
    #[arg(value_name = "ID", required = true)]
    id: Option<Hash>,
    /// Write its receipt to this file
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum TransactionCommand {
    Read(Read),
    Sign(Sign),
    Submit(Submit),
}

/// Show a transaction that is passed on in a file: what it asks, and who has still to sign
#[derive(Debug, Args)]
struct Read {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Co-sign a transaction in a file
#[derive(Debug, Args)]
struct Sign {
    /// The file; the signature is added to it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Hand in a transaction that all have signed
#[derive(Debug, Args)]
struct Submit {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Seconds to wait until it is final
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Writes a transaction for those who have still to sign it.
pub fn pass_on(file: &Path, transaction: &PartlySignedTransaction, as_json: bool) -> Done {
    std::fs::write(file, transaction.bytes()).doing(|| format!("cannot write `{}`", file.display()))?;
    if as_json {
        return json(&description(file, transaction));
    }
    line(format_args!("wrote {}", file.display()))?;
    let by = time(transaction.intent().not_after.saturating_mul(1_000));
    let missing: Vec<String> = transaction.missing().map(ToString::to_string).collect();
    if missing.is_empty() {
        return line(format_args!(
            "all have signed: hand it in by {by} with: tally transaction submit {}",
            file.display()
        ));
    }
    line(format_args!("still to sign, and to be handed in by {by}: {}", missing.join(", ")))?;
    line(format_args!("each signs with: tally transaction sign {}", file.display()))
}

fn passed_on(file: &Path) -> Result<PartlySignedTransaction, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(TRANSACTION_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .doing(|| format!("cannot read `{}`", file.display()))?;
    let transaction = PartlySignedTransaction::decode(bytes)
        .map_err(|error| Failure::no(format!("`{}` is no transaction: {error}", file.display())))?;
    transaction.verify().map_err(Failure::no)?;
    Ok(transaction)
}

/// What a transaction in a file asks, and who has still to sign.
fn description(file: &Path, transaction: &PartlySignedTransaction) -> serde_json::Value {
    let intent = transaction.intent();
    let cosigners = transaction.cosigners().map(
        |(cosigner, signed)| serde_json::json!({"principal": cosigner.principal, "key": cosigner.key, "signed": signed}),
    );
    serde_json::json!({
        "file": file.display().to_string(),
        "partition": intent.partition,
        "principal": intent.principal,
        "key": transaction.key(),
        "mandate": intent.mandate,
        "cosigners": cosigners.collect::<Vec<_>>(),
        "subject": intent.subject,
        "operations": intent.operations.iter().map(brief).collect::<Vec<_>>(),
        "network": intent.network.to_string(),
        "not_after": intent.not_after,
    })
}

fn describe(transaction: &PartlySignedTransaction) -> Done {
    let intent = transaction.intent();
    line(format_args!("signed by  {}", intent.principal))?;
    line(format_args!("           with key {}", transaction.key()))?;
    if let Some(mandate) = &intent.mandate {
        line(format_args!("           under mandate {mandate}"))?;
    }
    for (cosigner, signed) in transaction.cosigners() {
        let what = if signed { "co-signed " } else { "to co-sign" };
        line(format_args!("{what} {}", cosigner.principal))?;
        line(format_args!("           with key {}", cosigner.key))?;
    }
    if let Some(partition) = &intent.partition {
        line(format_args!("partition  {partition}, whose members alone see it"))?;
    }
    line(format_args!("about      {}", intent.subject))?;
    intent.operations.iter().try_for_each(|operation| line(format_args!("asks       {}", brief(operation))))?;
    line(format_args!("network    {}", intent.network))?;
    line(format_args!("void after {}", time(intent.not_after.saturating_mul(1_000))))
}

impl Read {
    fn run(self) -> Done {
        let transaction = passed_on(&self.file)?;
        if self.json { json(&description(&self.file, &transaction)) } else { describe(&transaction) }
    }
}

impl Sign {
    fn run(self) -> Done {
        let transaction = passed_on(&self.file)?;
        // Before a passphrase is asked for, it is said what for.
        if !self.signing.json {
            describe(&transaction)?;
        }
        let signer = self.connection.signer(&self.signing)?;
        pass_on(&self.file, &signer.cosign(&transaction)?, self.signing.json)
    }
}

impl Submit {
    fn run(self) -> Done {
        let transaction = passed_on(&self.file)?.complete().map_err(Failure::no)?;
        let client = self.connection.client()?;
        match settle(&client, &transaction, Duration::from_secs(self.timeout), self.json)? {
            Some(settled) => outcome_lines(&settled.outcome).into_iter().try_for_each(line),
            None => Ok(()),
        }
    }
}

impl Transaction {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Some(TransactionCommand::Read(command)) => return command.run(),
            Some(TransactionCommand::Sign(command)) => return command.run(),
            Some(TransactionCommand::Submit(command)) => return command.run(),
            None => {}
        }
        let Some(id) = self.id else { return Err(Failure::error("name a transaction by its id")) };
        let client = self.connection.client()?;
        let Some(found) = client.transaction(&id)? else {
            return Err(Failure::no(format!(
                "no transaction {id} is known: check the id; one that was never taken, or expired, leaves no trace; a private one is known \
                 to its partition alone: see `tally access-log --partition` for reads, `tally record --partition` for entries"
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
            write_receipt(path, &client.transaction_receipt(&id)?)?;
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
        transaction.operations.iter().try_for_each(|operation| line(asks(operation)))?;
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

/// What an operation asks, in a line.
fn asks(operation: &OperationView) -> String {
    let OperationView { name, register, entries, transfer } = operation;
    let register = register.as_ref().map_or_else(String::new, |register| format!(" {register}"));
    let entries = if *entries == 0 { String::new() } else { format!(", {}", count(*entries, "entry", "entries")) };
    let transfer =
        transfer.as_ref().map_or_else(String::new, |TransferView { partition, node, jurisdiction, path }| {
            let to = if path == TransferPath::Backup.as_str() { "the backup of " } else { "" };
            format!(
                ": nothing of partition {partition} to {to}{node}, which stands in {jurisdiction}; stopped on {path}"
            )
        });
    format!("asks       {name}{register}{entries}{transfer}")
}

/// What the ledger decided, in lines.
pub fn outcome_lines(outcome: &OutcomeView) -> Vec<String> {
    match outcome {
        OutcomeView::Accepted { appended, decision } => {
            let mut lines = vec![format!("outcome    {}", paint(Colour::Green, "accepted"))];
            lines.extend(appended.iter().map(|range| {
                let numbers = match range.count {
                    1 => format!("entry {}", range.first),
                    n => format!("entries {} to {}", range.first, range.first.saturating_add(n).saturating_sub(1)),
                };
                format!("           {} {numbers} of {}", range.kind, range.register)
            }));
            lines.extend(decision_lines(decision, "permitted by"));
            lines
        }
        OutcomeView::Refused { code, advice, operation, violations, decision } => {
            let mut lines =
                vec![format!("outcome    {}: {code}, in operation {operation}", paint(Colour::Red, "refused"))];
            lines.extend(violations.iter().map(|violation| format!("           {}", violation_line(code, violation))));
            lines.push(format!("           {advice}"));
            if decision.determining.is_empty() && code == Code::NotPermitted.as_str() {
                lines.push(format!("policies   none permits it, as of change {}", decision.version));
            }
            // A policy that forbids decided these; before any other refusal one had permitted the act.
            let is_by_policy = [Code::NotPermitted, Code::ConsentRequired].iter().any(|one| code == one.as_str());
            let verb = if is_by_policy { "forbidden by" } else { "permitted by" };
            lines.extend(decision_lines(decision, verb));
            lines
        }
    }
}

/// What of an operation a refusal is about.
fn violation_line(code: &str, ViolationView { entry, field, rule }: &ViolationView) -> String {
    if code == Code::CertificateInvalid.as_str() {
        return format!("certificate {} of the chain, counted from the key's own: {rule}", entry.saturating_add(1));
    }
    if field.is_empty() { format!("entry {entry}: {rule}") } else { format!("entry {entry}: field `{field}`: {rule}") }
}

/// Which policies determined it, and which failed.
fn decision_lines(decision: &DecisionView, verb: &str) -> Vec<String> {
    let list = |ids: &[PolicyId]| ids.iter().map(PolicyId::as_str).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    if !decision.determining.is_empty() {
        let (ids, version) = (list(&decision.determining), decision.version);
        lines.push(format!("policies   {verb} {ids}, as of change {version}"));
    }
    let chain: Vec<&str> = decision.mandates.iter().map(MandateId::as_str).collect();
    if !chain.is_empty() {
        lines.push(format!("mandates   {}", chain.join(", passed on from ")));
    }
    if !decision.skipped.is_empty() {
        lines.push(format!("           failed and skipped: {}", list(&decision.skipped)));
    }
    lines
}
