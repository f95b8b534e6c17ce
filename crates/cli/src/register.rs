//! `tally register`: make registers, write to them, and take them in and out whole.

mod append;
mod correct;
pub mod exposure;
mod import;
mod seal;

pub use append::batches;
pub use exposure::{warn_of_fields, warn_of_texts};

use crate::{
    connection::{Asking, Connection, Signing},
    output::{Colour, Doing, Done, Failure, Table, count, json, line, paint, say, thousands},
    partition::warn_of_stall,
    transaction::{self, outcome_lines},
};
use clap::{Args, Subcommand};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use tallystick_api::{PrivateResult, RegisterView};
use tallystick_client::{At, Client, Settled, Signer};
use tallystick_protocol::{
    Cardinality, Datatype, Field, MandateId, Opening, Operation, Phase, SealedSubmission, SignedTransaction,
    change::words::Shown, operation::validate_name,
};

/// Create registers, append to them, take them in and out whole
#[derive(Debug, Args)]
#[command(
    after_help = "A register is an authoritative list with one custodian, the organisation that created it and alone writes \
    to it. An entry is never changed or removed; a record is the latest entry for a key.\n\n\
    Examples:\n  \
    tally register create school --text \"Schools in England\" --field school:string --field name:string\n  \
    tally register append school 100000 name=\"Sir John Cass\" school=100000\n  \
    tally register import country.rsf territory.rsf\n  \
    tally register export country -o country.rsf\n  \
    tally register list"
)]
pub struct Register {
    #[command(subcommand)]
    command: RegisterCommand,
}

#[derive(Debug, Subcommand)]
enum RegisterCommand {
    Create(Create),
    Append(append::Append),
    Correct(correct::Correct),
    Import(import::Import),
    Export(Export),
    Show(Show),
    List(List),
    Phase(Move),
}

/// Create a register whose custodian is the signer's organisation
#[derive(Debug, Args)]
#[command(
    after_help = "A field is NAME:DATATYPE, then `:n` for a list of values, then `:REGISTER` for keys of that register.\n\
    Datatypes: string, integer, text, name, url, curie, datetime, period, timestamp, hash, point, polygon.\n\
    The field that has the register's own name repeats each record's key.\n\n\
    Example:\n  \
    tally register create school --text \"Schools in England\" --field school:string --field name:string \\\n      \
    --field local-authority:curie:1:local-authority-eng --field start-date:datetime --field tags:string:n\n  \
    tally register create patient --field patient:string --field name:string --personal name"
)]
struct Create {
    /// The register's name: lower-case letters, digits and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// What it lists
    #[arg(long, default_value = "")]
    text: String,
    /// A field of its schema; may be repeated
    #[arg(long = "field", value_name = "NAME:DATATYPE[:1|n][:REGISTER]", value_parser = field)]
    fields: Vec<Field>,
    /// A field of personal data, which is written only sealed; SUBJECT is the field that names the record it is about, the entry's own
    /// if not given. May be repeated
    #[arg(long = "personal", value_name = "FIELD[:SUBJECT]")]
    personal: Vec<String>,
    /// For how many days personal values are kept: then the custodian's nodes have them erased by themselves, if their principals have
    /// the role `retention`. For ever if not given; in a partition no longer than its agreement says
    #[arg(long, value_name = "DAYS", requires = "personal")]
    keep_days: Option<u32>,
    /// A field that only some may read, which is written only sealed; may be repeated
    #[arg(long = "restricted", value_name = "FIELD")]
    restricted: Vec<String>,
    /// Leave it in the phase `draft`; `tally register phase NAME live` ends that
    #[arg(long)]
    draft: bool,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Write a register's whole history as RSF
#[derive(Debug, Args)]
struct Export {
    /// The register
    #[arg(value_name = "NAME")]
    name: String,
    /// The file to write; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Show a register: custodian, schema, how far it has come
#[derive(Debug, Args)]
struct Show {
    /// The register
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    asking: Asking,
}

/// List all registers
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    asking: Asking,
}

/// Move a register to another phase of its life: draft, live, superseded, closed
#[derive(Debug, Args)]
struct Move {
    /// The register
    #[arg(value_name = "NAME")]
    name: String,
    /// Where it goes
    #[arg(value_name = "PHASE")]
    phase: Phase,
    /// The register that replaces it, when it is superseded
    #[arg(long, value_name = "NAME")]
    successor: Option<String>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

impl Register {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            RegisterCommand::Create(command) => command.run(),
            RegisterCommand::Append(command) => command.run(),
            RegisterCommand::Correct(command) => command.run(),
            RegisterCommand::Import(command) => command.run(),
            RegisterCommand::Export(command) => command.run(),
            RegisterCommand::Show(command) => command.run(),
            RegisterCommand::List(command) => command.run(),
            RegisterCommand::Phase(command) => command.run(),
        }
    }
}

/// Signs and hands in, waits until it is final, and fails unless it was accepted. None when nothing is left to say: it is passed
/// on instead, which takes no node, or was told as JSON.
pub fn act(
    connection: &Connection,
    signer: &Signer,
    signing: &Signing,
    subject: impl Into<String>,
    operations: Vec<Operation>,
) -> Result<Option<Settled>, Failure> {
    match &signing.pass_on {
        Some(file) => {
            transaction::pass_on(file, &signer.begin(&signer.intent(subject, operations))?, signing.json)?;
            Ok(None)
        }
        None => {
            let transaction = signer.sign(subject, operations)?;
            settle(&connection.client()?, &transaction, signing.patience(), signing.json)
        }
    }
}

/// As [`act`], with what opens the values sealed in the operations, which goes to `holder` and to no other node; in a partition from there
/// to the nodes of its members.
pub fn act_sealed(
    holder: &Client,
    signer: &Signer,
    signing: &Signing,
    subject: impl Into<String>,
    operations: Vec<Operation>,
    openings: Vec<Opening>,
) -> Result<Option<Settled>, Failure> {
    let transaction = signer.sign(subject, operations)?;
    let submission = SealedSubmission { transaction: transaction.bytes().clone(), openings };
    if transaction.partition().is_some() {
        return tell_private(holder.submit_private_sealed(&submission, signing.patience())?, signing.json);
    }
    tell(holder.submit_sealed(&submission, signing.patience())?, signing.json)
}

/// Hands a transaction in, waits until it is final, and fails unless it was accepted; none when it was told as JSON. One for a partition
/// goes to a node of its signer's own organisation.
pub fn settle(
    client: &Client,
    transaction: &SignedTransaction,
    patience: Duration,
    as_json: bool,
) -> Result<Option<Settled>, Failure> {
    if transaction.partition().is_none() {
        return tell(client.submit(transaction, patience)?, as_json);
    }
    let (holder, _) = client.holder(transaction.principal().organisation())?;
    tell_private(holder.submit_private(transaction, patience)?, as_json)
}

/// Tells what became of a private transaction, and fails unless it was accepted; none when it was told as JSON.
pub fn tell_private(done: PrivateResult, as_json: bool) -> Result<Option<Settled>, Failure> {
    let done = accepted(done, as_json)?;
    if as_json {
        json(&done)?;
        return Ok(None);
    }
    say(crate::output::paint_err(Colour::Dim, &executed(&done)));
    let PrivateResult { id, number, outcome, .. } = done;
    Ok(Some(Settled { id, index: number, outcome }))
}

/// A private transaction that was accepted; one that was refused is told, and fails.
pub fn accepted(done: PrivateResult, as_json: bool) -> Result<PrivateResult, Failure> {
    if done.outcome.is_accepted() {
        return Ok(done);
    }
    if as_json {
        json(&done)?;
        return Err(Failure::Said);
    }
    let why = outcome_lines(&done.outcome).join("\n");
    Err(Failure::no(format!("{}, and refused\n{why}", executed(&done))))
}

fn executed(PrivateResult { id, height, number, .. }: &PrivateResult) -> String {
    format!("private transaction {id} was executed as number {number} at height {height}")
}

/// Tells what became of a transaction, and fails unless it was accepted; none when it was told as JSON.
fn tell(settled: Settled, as_json: bool) -> Result<Option<Settled>, Failure> {
    let is_accepted = settled.outcome.is_accepted();
    if as_json {
        let Settled { id, index, outcome } = &settled;
        json(&serde_json::json!({"id": id, "index": index, "outcome": outcome}))?;
        return if is_accepted { Ok(None) } else { Err(Failure::Said) };
    }
    if is_accepted {
        say(paint_transaction(&settled));
        return Ok(Some(settled));
    }
    let lines = outcome_lines(&settled.outcome).join("\n");
    Err(Failure::no(format!("transaction {} was refused\n{lines}", settled.id)))
}

fn paint_transaction(settled: &Settled) -> String {
    crate::output::paint_err(
        Colour::Dim,
        &format!("transaction {} is final, leaf {} of the log", settled.id, settled.index),
    )
}

fn field(text: &str) -> Result<Field, String> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    validate_name(name).map_err(|error| error.to_string())?;
    let datatype: Datatype = parts.next().unwrap_or("string").parse()?;
    let cardinality: Cardinality = parts.next().unwrap_or("1").parse()?;
    let register = parts.next().map(str::to_owned);
    if let Some(register) = &register {
        validate_name(register).map_err(|error| error.to_string())?;
    }
    if parts.next().is_some() {
        return Err("too many parts: write NAME:DATATYPE[:1|n][:REGISTER]".to_owned());
    }
    Ok(Field { name: name.to_owned(), datatype, cardinality, register, text: String::new(), protection: None })
}

impl Create {
    /// Its fields, those protected that are to be.
    fn protected_fields(&self) -> Result<Vec<Field>, Failure> {
        let mut fields = self.fields.clone();
        let personal = self.personal.iter().map(|text| {
            let (field, subject) = text.split_once(':').unwrap_or((text, &self.name));
            let days = self.keep_days.map(|days| format!(":{days}")).unwrap_or_default();
            (field, format!("personal:{subject}{days}"))
        });
        for (name, said) in personal.chain(self.restricted.iter().map(|name| (name.as_str(), "restricted".to_owned())))
        {
            let protection = said.parse().map_err(|error| Failure::error(format!("`{name}`: {error}")))?;
            let Some(field) = fields.iter_mut().find(|field| field.name == name) else {
                return Err(Failure::error(format!("`{name}` is none of the fields: add --field {name}:string")));
            };
            if field.protection.replace(protection).is_some() {
                return Err(Failure::error(format!("`{name}` is protected twice: say once how")));
            }
        }
        Ok(fields)
    }

    fn run(self) -> Done {
        validate_name(&self.name).map_err(Failure::error)?;
        if self.fields.iter().all(|field| field.name != self.name) {
            return Err(Failure::error(format!(
                "one field must have the register's name, and hold each record's key: add --field {}:string",
                self.name
            )));
        }
        let fields = self.protected_fields()?;
        warn_of_fields(&fields, self.signing.partition.as_deref());
        warn_of_texts([&self.text], self.signing.partition.as_deref());
        let signer = self.connection.signer(&self.signing)?;
        let register = self.name.clone();
        let mut operations = vec![Operation::RegisterCreate { register: register.clone(), text: self.text, fields }];
        if !self.draft {
            operations.push(Operation::RegisterPhase { register, phase: Phase::Live, successor: None });
        }
        let subject = format!("create register {}", self.name);
        if act(&self.connection, &signer, &self.signing, subject, operations)?.is_some() {
            let grantor = self.signing.mandate.as_ref().map(MandateId::grantor);
            let custodian = grantor.as_ref().unwrap_or(signer.principal()).organisation().to_owned();
            line(format_args!("register {} is there; its custodian is {custodian}", self.name))?;
        }
        Ok(())
    }
}

/// The register's definition: of the signer's partition, asked as the signer, or of the public one.
///
/// # Errors
/// When there is none, or the nodes do not tell.
pub fn definition(client: &Client, asker: Option<&Signer>, name: &str) -> Result<At<RegisterView>, Failure> {
    find(client, asker, name)?.ok_or_else(|| match asker.and_then(Signer::partition) {
        None => no_register(name),
        Some(partition) => Failure::no(format!(
            "there is no register `{name}` in partition `{partition}`: `tally register list --partition {partition}` shows those there are"
        )),
    })
}

/// As [`definition`]; none when there is no such register, and that the partition stands still on the node that was asked is said then.
///
/// # Errors
/// When the nodes do not tell.
pub fn find(client: &Client, asker: Option<&Signer>, name: &str) -> Result<Option<At<RegisterView>>, Failure> {
    let Some((signer, partition)) = asker.and_then(|signer| Some((signer, signer.partition()?))) else {
        return Ok(client.register(name)?);
    };
    let (holder, _) = client.holder(signer.principal().organisation())?;
    let found = holder.partition_register(signer, partition, name)?;
    if found.is_none() {
        warn_of_stall(&holder, partition);
    }
    Ok(found)
}

impl Move {
    fn run(self) -> Done {
        let signer = self.connection.signer(&self.signing)?;
        let operation =
            Operation::RegisterPhase { register: self.name.clone(), phase: self.phase, successor: self.successor };
        let subject = format!("register {} becomes {}", self.name, self.phase);
        if act(&self.connection, &signer, &self.signing, subject, vec![operation])?.is_some() {
            line(format_args!("register {} is {}", self.name, self.phase))?;
        }
        Ok(())
    }
}

impl Export {
    fn run(self) -> Done {
        let client = self.connection.client()?;
        if client.register(&self.name)?.is_none() {
            return Err(no_register(&self.name));
        }
        let Some(path) = &self.output else {
            let mut out = BufWriter::new(io::stdout().lock());
            client.download(&self.name, &mut out)?;
            return out.flush().map_err(|_| Failure::Unread);
        };
        let bytes = write_whole(path, |out| Ok(client.download(&self.name, out)?))?;
        say(format_args!("wrote {} ({} bytes)", path.display(), thousands(bytes)));
        Ok(())
    }
}

/// Writes beside the file and then puts it in place: half an export is never taken for a whole one.
fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<u64, Failure>) -> Result<u64, Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write `{}`", path.display());
    let draft = tempfile::NamedTempFile::new_in(folder).doing(cannot)?;
    let mut out = BufWriter::new(draft);
    let bytes = write(&mut out)?;
    let draft = out.into_inner().doing(cannot)?;
    let file = draft.persist(path).doing(cannot)?;
    readable(&file).doing(cannot)?;
    Ok(bytes)
}

/// A temporary file is its owner's alone; an export is for everybody.
fn readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

/// There is no register of this name.
pub fn no_register(name: &str) -> Failure {
    Failure::no(format!("there is no register `{name}`: `tally register list` shows those there are"))
}

impl Show {
    fn run(self) -> Done {
        let asker = self.asking.asker()?;
        let found = definition(&self.asking.connection.client()?, asker.as_ref(), &self.name)?;
        if self.asking.json { json(&found.value) } else { show(&found.value, found.height) }
    }
}

fn show(register: &RegisterView, height: Option<u64>) -> Done {
    line(format_args!("{} {}", paint(Colour::Bold, "register"), register.name))?;
    if !register.text.is_empty() {
        line(format_args!("text       {}", Shown(&register.text)))?;
    }
    line(format_args!("custodian  {}", register.custodian))?;
    let successor = register.successor.as_ref().map_or_else(String::new, |name| format!(", replaced by {name}"));
    line(format_args!("phase      {}{successor}", register.phase))?;
    line(format_args!(
        "holds      {}, {}, {}",
        count(register.records, "record", "records"),
        count(register.entries, "entry", "entries"),
        count(register.system_entries, "system entry", "system entries")
    ))?;
    line(format_args!("root       {}", register.root))?;
    if let Some(height) = height {
        line(format_args!("as of      block {height}"))?;
    }
    let mut table = Table::new(&["field", "datatype", "cardinality", "register", "text"]);
    for field in &register.fields {
        let protection =
            field.protection.as_ref().map(|protection| format!("{protection}, sealed. ")).unwrap_or_default();
        table.row([
            field.name.clone(),
            field.datatype.to_string(),
            field.cardinality.to_string(),
            field.register.clone().unwrap_or_default(),
            protection + &shorten(&field.text, 60),
        ]);
    }
    line("")?;
    table.print()
}

fn shorten(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

impl List {
    fn run(self) -> Done {
        let client = self.asking.connection.client()?;
        let asker = self.asking.asker()?;
        let found = match asker.as_ref().and_then(|signer| Some((signer, signer.partition()?))) {
            Some((signer, partition)) => {
                let (holder, _) = client.holder(signer.principal().organisation())?;
                warn_of_stall(&holder, partition);
                holder.partition_registers(signer, partition)?
            }
            None => client.registers()?,
        };
        if self.asking.json {
            return json(&found.value);
        }
        if found.value.registers.is_empty() {
            return line("no registers yet: `tally register create` or `tally register import FILE.rsf` makes one");
        }
        let mut table = Table::new(&["register", "custodian", "phase", "records", "entries", "text"]);
        for register in &found.value.registers {
            table.row([
                register.name.clone(),
                register.custodian.clone(),
                register.phase.to_string(),
                thousands(register.records),
                thousands(register.entries),
                shorten(&register.text, 50),
            ]);
        }
        table.print()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_are_written_short() {
        let plain = field("name:string").unwrap();
        assert_eq!((plain.datatype, plain.cardinality, plain.register), (Datatype::String, Cardinality::One, None));
        let link = field("local-authority:curie:n:local-authority-eng").unwrap();
        assert_eq!((link.cardinality, link.register.as_deref()), (Cardinality::Many, Some("local-authority-eng")));
        assert!(field("name:strin").unwrap_err().contains("string"));
        assert!(field("Name:string").unwrap_err().contains("lower-case"));
        assert!(field("a:string:1:b:c").is_err());
    }

    #[test]
    fn protections_are_written_short() {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            create: Create,
        }
        let said = |flags: &str| {
            let line = "create person --field person --field name --field seat:curie ".to_owned() + flags;
            let fields = Line::parse_from(line.split_whitespace()).create.protected_fields();
            fields.map(|fields| {
                fields.iter().filter_map(|f| Some(format!("{} {}", f.name, f.protection.clone()?))).collect()
            })
        };
        let is = |said: Result<Vec<String>, Failure>, expected: &[&str]| said.is_ok_and(|said| said == expected);
        assert!(is(said(""), &[]));
        assert!(is(said("--personal name"), &["name personal:person"]));
        assert!(is(said("--restricted seat --personal name:seat"), &["name personal:seat", "seat restricted"]));
        for wrong in ["--personal age", "--personal name:A", "--personal name --restricted name"] {
            assert!(said(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn half_an_export_is_never_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("country.rsf");
        assert!(write_whole(&path, |_| Err(Failure::error("broke off"))).is_err());
        assert!(!path.exists());
        assert_eq!(write_whole(&path, |out| out.write_all(b"x").map(|()| 1).doing(String::new)).unwrap(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
