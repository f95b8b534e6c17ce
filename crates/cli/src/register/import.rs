//! `tally register import`: a register's whole history from an RSF file.
//!
//! Nothing is sent before every file has been read to its end and reproduces the roots that it asserts. An import that broke
//! off goes on where it was: the node says how many entries it has, and their root must be the file's at that size.

use super::exposure::{Exposure, warn_of_fields};
use crate::{
    connection::{Connection, Signing},
    output::{Doing, Done, Failure, Table, count, json, progress, say, thousands},
    transaction::outcome_lines,
};
use clap::Args;
use indicatif::{MultiProgress, ProgressBar};
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Instant,
};
use tallystick_api::{OutcomeView, RegisterView};
use tallystick_client::{Client, Settled, Signer};
use tallystick_ledger::{
    definition::Definition,
    entry_leaf::{entry_leaf_hash, format_v1_hash},
    item::Item,
    rsf::{ImportLimits, Rsf},
    schema::Schema,
};
use tallystick_protocol::{
    Cardinality, Code, Datatype, EntryKind, Field, Frontier, Hash, Operation, Phase, SignedTransaction,
    operation::validate_name,
};

/// Files imported at once.
const PARALLEL: usize = 4;
/// Transactions of one file handed in at once. Should they be ordered otherwise than sent, the rest is sent again.
const WINDOW: usize = 16;

/// Import whole registers from RSF files
#[derive(Debug, Args)]
#[command(
    after_help = "Every file is read to its end before anything is sent: a file that is malformed, or whose asserted root is \
    not reproduced, is refused with its line and column. Run it again after an interruption: it goes on where it was. The signer \
    must be an administrator; its organisation becomes the register's custodian.\n\n\
    Examples:\n  \
    tally register import country.rsf\n  \
    tally register import registers/*.rsf --as companies-house/administrator\n  \
    tally register import list.rsf --name country"
)]
pub struct Import {
    /// RSF files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The register's name, if not the one the file gives (one file only)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Leave new registers in the phase `draft`
    #[arg(long)]
    draft: bool,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// A file that has been read and holds together.
struct History<'a> {
    path: &'a Path,
    register: String,
    definition: Definition,
    rsf: Rsf<'a>,
}

/// What came of a file.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    register: String,
    entries: u64,
    system_entries: u64,
    root: String,
    /// Entries that were there before.
    found: u64,
    transactions: u64,
    seconds: f64,
}

/// How far a register has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    user: u64,
    system: u64,
}

impl Import {
    /// Runs the command.
    pub fn run(self) -> Done {
        self.signing.require_public("a whole history is imported")?;
        if self.name.is_some() && self.files.len() > 1 {
            return Err(Failure::error("--name is for one file: import the files one by one"));
        }
        let started = Instant::now();
        let read = |path: &PathBuf| fs::read(path).doing(|| format!("cannot read `{}`", path.display()));
        let bytes = self.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let parse = |(path, bytes)| History::parse(path, bytes, self.name.as_deref());
        let parsed: Vec<Result<History<'_>, Failure>> =
            self.files.iter().map(PathBuf::as_path).zip(bytes.iter().map(Vec::as_slice)).map(parse).collect();
        let histories = all_or_report(parsed)?;
        one_file_each(&histories)?;
        histories.iter().try_for_each(History::look_at)?;

        let client = self.connection.client()?;
        let signer = self.connection.signer(&self.signing)?;
        let bars = MultiProgress::new();
        let work = Mutex::new(histories.iter());
        let reports: Mutex<Vec<Result<Report, Failure>>> = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..PARALLEL.min(histories.len()) {
                scope.spawn(|| {
                    while let Some(history) = work.lock().ok().and_then(|mut work| work.next()) {
                        let total = history.rsf.entries().len() as u64;
                        let bar = bars.add(progress(total, &history.register));
                        let report =
                            Session { import: &self, client: &client, signer: &signer, history, bar: &bar }.run();
                        bar.finish_and_clear();
                        if let Ok(mut reports) = reports.lock() {
                            reports.push(report);
                        }
                    }
                });
            }
        });
        let reports =
            reports.into_inner().map_err(|_| Failure::error("an import failed unexpectedly: run it again"))?;
        self.tell(reports, started)
    }

    fn tell(&self, reports: Vec<Result<Report, Failure>>, started: Instant) -> Done {
        let mut done = Vec::new();
        let mut failures = Vec::new();
        for report in reports {
            match report {
                Ok(report) => done.push(report),
                Err(failure) => failures.push(failure),
            }
        }
        done.sort_by(|a, b| a.register.cmp(&b.register));
        if self.signing.json {
            json(&serde_json::json!({"registers": done}))?;
        } else if !done.is_empty() {
            let mut table = Table::new(&["register", "entries", "system", "root", "seconds"]);
            for report in &done {
                table.row([
                    report.register.clone(),
                    thousands(report.entries),
                    thousands(report.system_entries),
                    report.root.clone(),
                    format!("{:.2}", report.seconds),
                ]);
            }
            table.print()?;
            let entries = done.iter().map(|report| report.entries + report.system_entries).sum();
            say(format_args!(
                "{} in {}, {:.2} s",
                count(entries, "entry", "entries"),
                count(done.len() as u64, "register", "registers"),
                started.elapsed().as_secs_f64()
            ));
            for report in done.iter().filter(|report| report.transactions == 0) {
                say(format_args!("{} was there already, whole", report.register));
            }
        }
        all_or_report(failures.into_iter().map(Err::<(), _>).collect()).map(|_| ())
    }
}

/// All values, or the first failure after the others have been told.
fn all_or_report<T>(results: Vec<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let mut values = Vec::new();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.pop() {
        None => Ok(values),
        Some(last) => {
            for failure in failures {
                let _ = failure.report();
            }
            Err(last)
        }
    }
}

/// Two files of one register cannot both be its whole history.
fn one_file_each(histories: &[History<'_>]) -> Done {
    for (index, history) in histories.iter().enumerate() {
        if let Some(other) = histories.iter().take(index).find(|other| other.register == history.register) {
            return Err(Failure::error(format!(
                "`{}` and `{}` are both register {}: import one, or give the other another --name",
                other.path.display(),
                history.path.display(),
                history.register
            )));
        }
    }
    Ok(())
}

impl<'a> History<'a> {
    fn parse(path: &'a Path, bytes: &'a [u8], name: Option<&str>) -> Result<Self, Failure> {
        let refused = |message: String| Failure::no(format!("`{}`: {message}", path.display()));
        let rsf = Rsf::parse(bytes).map_err(|error| refused(error.to_string()))?;
        if rsf.entries().is_empty() {
            return Err(refused("there are no entries in it: is it an RSF file?".to_owned()));
        }
        let definition = rsf.definition();
        let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let register =
            name.map(str::to_owned).or_else(|| definition.register.clone()).or_else(stem).unwrap_or_default();
        validate_name(&register)
            .map_err(|error| refused(format!("the register's name: {error}; give one with --name")))?;
        Ok(Self { path, register, definition, rsf })
    }

    /// Warns of what looks like personal data; fails when a value is in the clear that is written only sealed.
    fn look_at(&self) -> Done {
        warn_of_fields(&self.definition.fields, None);
        let (schema, mut exposure) = (Schema::new(&self.register, &self.definition.fields), Exposure::within(None));
        for entry in self.rsf.entries().iter().filter(|entry| entry.kind == EntryKind::User) {
            for found in self.rsf.items_of(entry) {
                let place = format!("`{}`, line {}", self.path.display(), found.line);
                if let Ok(item) = Item::parse(found.text) {
                    exposure.look(&place, &item, &schema)?;
                }
            }
        }
        exposure.warn();
        Ok(())
    }

    /// The operation that creates the register.
    fn create(&self) -> Operation {
        let mut fields = self.definition.fields.clone();
        if fields.iter().all(|field| field.name != self.register) {
            let (name, datatype, cardinality) = (self.register.clone(), Datatype::String, Cardinality::One);
            fields.insert(
                0,
                Field { name, datatype, cardinality, register: None, text: String::new(), protection: None },
            );
        }
        Operation::RegisterCreate { register: self.register.clone(), text: self.definition.text.clone(), fields }
    }

    /// The root of the file's history at this size; `None` if it never has this size.
    fn root_at(&self, reached: Reached) -> Option<Hash> {
        let mut tree = Frontier::new();
        let mut at = Reached { user: 0, system: 0 };
        for entry in self.rsf.entries() {
            if at == reached {
                break;
            }
            match entry.kind {
                EntryKind::System => at.system += 1,
                EntryKind::User => {
                    at.user += 1;
                    let items: Vec<Hash> = self.rsf.items_of(entry).map(|item| item.hash).collect();
                    tree.append(entry_leaf_hash(entry.number, entry.timestamp, entry.key, &items));
                }
            }
        }
        (at == reached).then(|| tree.root())
    }

    /// The operations that go on from where the register is.
    fn operations_from(&self, reached: Reached) -> Result<Vec<Operation>, Failure> {
        let mut operations = Vec::new();
        for operation in self.rsf.imports(&self.register, ImportLimits::default()) {
            let operation = operation.map_err(|error| Failure::no(format!("`{}`: {error}", self.path.display())))?;
            operations.extend(cut(operation, reached));
        }
        Ok(operations)
    }
}

/// The part of an import that lies beyond what is there.
fn cut(operation: Operation, reached: Reached) -> Option<Operation> {
    let Operation::RegisterImport { register, mut user_first, mut system_first, entries, root } = operation else {
        return Some(operation);
    };
    let beyond = entries.iter().position(|entry| {
        let is_beyond = match entry.kind {
            EntryKind::User => user_first > reached.user,
            EntryKind::System => system_first > reached.system,
        };
        if !is_beyond {
            match entry.kind {
                EntryKind::User => user_first += 1,
                EntryKind::System => system_first += 1,
            }
        }
        is_beyond
    })?;
    let entries = entries.into_iter().skip(beyond).collect();
    Some(Operation::RegisterImport { register, user_first, system_first, entries, root })
}

/// How many entries an operation holds, by kind.
fn counted(operation: &Operation) -> Reached {
    let mut counted = Reached { user: 0, system: 0 };
    if let Operation::RegisterImport { entries, .. } = operation {
        for entry in entries {
            match entry.kind {
                EntryKind::User => counted.user += 1,
                EntryKind::System => counted.system += 1,
            }
        }
    }
    counted
}

/// One file on its way.
struct Session<'a> {
    import: &'a Import,
    client: &'a Client,
    signer: &'a Signer,
    history: &'a History<'a>,
    bar: &'a ProgressBar,
}

impl Session<'_> {
    fn run(&self) -> Result<Report, Failure> {
        let started = Instant::now();
        let (history, mut transactions) = (self.history, 0);
        let there = self.client.register(&history.register)?.map(|found| found.value);
        let mut reached = match &there {
            Some(view) => self.check(view)?,
            None => Reached { user: 0, system: 0 },
        };
        self.bar.set_position(reached.user + reached.system);
        let found = reached.user + reached.system;
        let mut operations = history.operations_from(reached)?;
        if there.is_none() {
            let first = self.create(&mut operations)?;
            transactions += 1;
            reached = Reached { user: reached.user + first.user, system: reached.system + first.system };
            self.bar.set_position(reached.user + reached.system);
        }
        while !operations.is_empty() {
            let (taken, sent) = self.send_window(&mut operations)?;
            transactions += sent;
            reached = Reached { user: reached.user + taken.user, system: reached.system + taken.system };
            self.bar.set_position(reached.user + reached.system);
        }
        let is_draft = there.is_none_or(|view| view.phase == Phase::Draft);
        if is_draft && !self.import.draft {
            let operation =
                Operation::RegisterPhase { register: history.register.clone(), phase: Phase::Live, successor: None };
            let subject = format!("register {} goes live", history.register);
            let transaction = self.signer.sign(subject, vec![operation])?;
            self.settle(&[transaction])?;
            transactions += 1;
        }
        Ok(Report {
            file: history.path.display().to_string(),
            register: history.register.clone(),
            entries: history.rsf.count(EntryKind::User),
            system_entries: history.rsf.count(EntryKind::System),
            root: format_v1_hash(&history.rsf.root()),
            found,
            transactions,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Whether the register holds the beginning of this very history.
    fn check(&self, view: &RegisterView) -> Result<Reached, Failure> {
        let mine = self.signer.principal().organisation();
        if view.custodian != mine {
            return Err(Failure::no(format!(
                "register `{}` is kept by {}, not {mine}: only its custodian may import into it",
                view.name, view.custodian
            )));
        }
        let reached = Reached { user: view.entries, system: view.system_entries };
        let rsf = &self.history.rsf;
        if reached.user > rsf.count(EntryKind::User) || reached.system > rsf.count(EntryKind::System) {
            return Err(Failure::no(format!(
                "register `{}` has more entries than `{}`, {} and {}: nothing was imported; take a newer file, or another --name",
                view.name,
                self.history.path.display(),
                count(view.entries, "entry", "entries"),
                count(view.system_entries, "system entry", "system entries")
            )));
        }
        match self.history.root_at(reached) {
            Some(root) if format_v1_hash(&root) == view.root => Ok(reached),
            _ => Err(Failure::no(format!(
                "register `{}` has {} and {} that are not the beginning of `{}`: it has another history; \
                 append to it, or import under another --name",
                view.name,
                count(view.entries, "entry", "entries"),
                count(view.system_entries, "system entry", "system entries"),
                self.history.path.display()
            ))),
        }
    }

    /// Creates the register, together with its first entries where one transaction holds both.
    fn create(&self, operations: &mut Vec<Operation>) -> Result<Reached, Failure> {
        let subject = format!("import register {}", self.history.register);
        let create = self.history.create();
        let first = operations.first().cloned();
        let both: Vec<Operation> = std::iter::once(create.clone()).chain(first.clone()).collect();
        if let Ok(transaction) = self.signer.sign(&subject, both) {
            self.settle(&[transaction])?;
            operations.remove(0);
            return Ok(first.as_ref().map_or(Reached { user: 0, system: 0 }, counted));
        }
        self.settle(&[self.signer.sign(&subject, vec![create])?])?;
        Ok(Reached { user: 0, system: 0 })
    }

    /// Sends the next operations together; gives what became entries, and how many transactions that took.
    fn send_window(&self, operations: &mut Vec<Operation>) -> Result<(Reached, u64), Failure> {
        let window: Vec<Operation> = operations.iter().take(WINDOW).cloned().collect();
        let sign = |operation: &Operation| {
            self.signer.sign(format!("import register {}", self.history.register), vec![operation.clone()])
        };
        let transactions = window.iter().map(sign).collect::<Result<Vec<_>, _>>()?;
        let settled = self.client.submit_all(&transactions, self.import.signing.patience())?;
        let accepted = settled.iter().take_while(|settled| settled.outcome.is_accepted()).count();
        if accepted == 0
            && let Some(first) = settled.first()
        {
            return Err(refused(first));
        }
        // Those behind were ordered too early; anything else is a refusal for good.
        if let Some(bad) = settled.iter().skip(accepted).find(|settled| !is_out_of_order(settled)) {
            return Err(refused(bad));
        }
        let mut taken = Reached { user: 0, system: 0 };
        for operation in operations.drain(..accepted) {
            let more = counted(&operation);
            taken = Reached { user: taken.user + more.user, system: taken.system + more.system };
        }
        Ok((taken, transactions.len() as u64))
    }

    fn settle(&self, transactions: &[SignedTransaction]) -> Done {
        let settled = self.client.submit_all(transactions, self.import.signing.patience())?;
        match settled.iter().find(|settled| !settled.outcome.is_accepted()) {
            Some(bad) => Err(refused(bad)),
            None => Ok(()),
        }
    }
}

fn refused(settled: &Settled) -> Failure {
    let lines = outcome_lines(&settled.outcome).join("\n");
    Failure::no(format!("transaction {} was refused\n{lines}", settled.id))
}

fn is_out_of_order(settled: &Settled) -> bool {
    match &settled.outcome {
        OutcomeView::Accepted { .. } => true,
        refused @ OutcomeView::Refused { .. } => refused.code() == Some(Code::ImportNumber),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_protocol::ImportedEntry;

    fn operation(kinds: &[EntryKind]) -> Operation {
        let entry = |kind: &EntryKind| ImportedEntry { kind: *kind, key: "k".into(), timestamp: 0, items: Vec::new() };
        let entries = kinds.iter().map(entry).collect();
        Operation::RegisterImport { register: "r".into(), user_first: 3, system_first: 1, entries, root: Hash([0; 32]) }
    }

    #[test]
    fn an_import_goes_on_within_an_operation() {
        use EntryKind::{System, User};
        let cut = |user, system| cut(operation(&[System, User, User]), Reached { user, system });
        assert_eq!(cut(2, 0), Some(operation(&[System, User, User])));
        let Some(Operation::RegisterImport { user_first, system_first, entries, .. }) = cut(3, 1) else {
            unreachable!()
        };
        assert_eq!((user_first, system_first, entries.len()), (4, 2, 1));
        assert_eq!(cut(4, 1), None);
    }
}
