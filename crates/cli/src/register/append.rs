//! `tally register append`: one entry from the command line, or many from a file.

use super::{
    act, act_sealed, definition,
    exposure::Exposure,
    seal::{SealedEntry, seal},
};
use crate::{
    connection::{Connection, Signing},
    csv,
    output::{Doing, Done, Failure, count, line, progress, say},
};
use clap::Args;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tallystick_api::{OutcomeView, RegisterView};
use tallystick_client::{Client, Settled, Signer};
use tallystick_ledger::{
    item::{Item, Value, canonicalise, item_from},
    schema::Schema,
};
use tallystick_protocol::{
    Cardinality, EntryKind, Field, NewEntry, Opening, Operation,
    limits::{ENTRIES_MAX, ITEM_BYTES_MAX, OPENINGS_BYTES_MAX, OPENINGS_PER_MESSAGE_MAX, TRANSACTION_BYTES_MAX},
    operation::validate_key,
};

/// Bytes of a transaction that are left to its envelope.
const ENVELOPE_BYTES: usize = 2_048;
/// Bytes around each entry and item.
const FRAMING_BYTES: usize = 32;
/// What parts the values of a list in a cell.
const LIST_SEPARATOR: char = ';';

/// Append entries to a register
#[derive(Debug, Args)]
#[command(
    after_help = "The register's schema is checked by every node; all that breaks it is listed. Values of personal and \
    restricted fields are sealed here: the ledger gets commitments, and the first node named that holds for the register's \
    custodian keeps what opens them; in a partition the nodes of its members do.\n\
    A CSV file has field names in its first line; values of a list are parted by `;`, empty cells are left out. A JSON lines file \
    has an item on each line. In both the field that has the register's name is the key.\n\
    An entry of a key that has one already is the record from then on: so a record changes. An entry that was wrong is corrected with \
    `tally register correct`, and not replaced here: only the latest entry of a key can be corrected, and only a correction tells who read \
    what was wrong.\n\n\
    Examples:\n  \
    tally register append school 100000 name=\"Sir John Cass\" start-date=1710\n  \
    tally register append school 100000 --item '{\"name\":\"Sir John Cass\",\"school\":\"100000\"}'\n  \
    tally register append school --file schools.csv"
)]
pub struct Append {
    /// The register
    #[arg(value_name = "REGISTER")]
    register: String,
    /// The record's key
    #[arg(value_name = "KEY", required_unless_present = "file", conflicts_with = "file")]
    record: Option<String>,
    /// The item's fields; a list field may be repeated. The field of the register's own name is filled in
    #[arg(value_name = "FIELD=VALUE", conflicts_with = "file")]
    fields: Vec<String>,
    /// The whole item as JSON instead
    #[arg(long, value_name = "JSON", conflicts_with_all = ["fields", "file"])]
    item: Option<String>,
    /// A file of entries: .csv, or JSON lines
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Says that values are sealed, if some are.
pub(super) fn say_sealed(sealed: usize, partition: Option<&str>) {
    if sealed == 0 {
        return;
    }
    let values = count(sealed as u64, "value is", "values are");
    let keeps = match partition {
        Some(_) => "the nodes of the partition's members keep",
        None => "the node that takes them keeps",
    };
    say(format_args!("{values} sealed: the ledger gets commitments, and {keeps} what opens them"));
}

impl Append {
    /// Runs the command.
    pub fn run(self) -> Done {
        let client = self.connection.client()?;
        let asker = self.signing.partition.as_ref().map(|_| self.connection.signer(&self.signing)).transpose()?;
        let register = definition(&client, asker.as_ref(), &self.register)?;
        let entries = self.entries(&register.value)?;
        let entries = prepared(entries, &register.value, asker.as_ref())?;
        let sealed: usize = entries.iter().map(|entry| entry.openings.len()).sum();
        let signer = asker.map_or_else(|| self.connection.signer(&self.signing), Ok)?;
        // Found before anything is signed: without one nothing could be kept.
        let keeper = keeper(&signer, &register.value);
        let holder = (sealed > 0).then(|| client.holder(keeper)).transpose()?.map(|(holder, _)| holder);
        let total = entries.len();
        let batches = cut(entries, |sealed| &sealed.entry, |sealed| &sealed.openings);
        self.require_possible(batches.len(), sealed)?;
        say_sealed(sealed, signer.partition());
        let bar = progress(total as u64, &self.register);
        let mut last = None;
        let parts = batches.len();
        for (index, batch) in batches.into_iter().enumerate() {
            let subject = match (batch.as_slice(), parts) {
                ([one], 1) => format!("append {} to {}", one.entry.key, self.register),
                _ => format!("append to {}, part {} of {parts}", self.register, index + 1),
            };
            let appended = batch.len() as u64;
            last = self.append(holder.as_ref(), &signer, subject, batch).inspect_err(|_| bar.abandon())?;
            bar.inc(appended);
        }
        bar.finish_and_clear();
        match last {
            Some(last) if total == 1 => line(format_args!("{}: {}", self.register, number(&last))),
            Some(_) => line(format_args!("{}: {} appended", self.register, count(total as u64, "entry", "entries"))),
            None => Ok(()),
        }
    }

    fn require_possible(&self, parts: usize, sealed: usize) -> Done {
        if parts == 0 {
            return Err(Failure::error("there is nothing to append: the file holds no entries"));
        }
        if self.signing.pass_on.is_some() && parts > 1 {
            return Err(Failure::error(
                "these entries need several transactions, and one can be passed on: give fewer",
            ));
        }
        if self.signing.pass_on.is_some() && sealed > 0 {
            return Err(not_passed_on());
        }
        Ok(())
    }

    fn append(
        &self,
        holder: Option<&Client>,
        signer: &Signer,
        subject: String,
        batch: Vec<SealedEntry>,
    ) -> Result<Option<Settled>, Failure> {
        let (entries, openings): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.entry, one.openings)).unzip();
        let openings = openings.concat();
        let operations = vec![Operation::EntryAppend { register: self.register.clone(), entries }];
        match holder.filter(|_| !openings.is_empty()) {
            Some(holder) => act_sealed(holder, signer, &self.signing, subject, operations, openings),
            None => act(&self.connection, signer, &self.signing, subject, operations),
        }
    }

    /// The entries, each with its line in the file.
    fn entries(&self, register: &RegisterView) -> Result<Vec<(usize, NewEntry)>, Failure> {
        if let Some(path) = &self.file {
            return from_file(path, register);
        }
        let key = self.record.clone().unwrap_or_default();
        Ok(vec![(0, entry_of(key, self.item.as_deref(), &self.fields, register)?)])
    }
}

/// Why what opens sealed values does not leave in a file.
pub fn not_passed_on() -> Failure {
    Failure::error(
        "what opens sealed values goes to a node, and is not passed on in a file: let the co-signers' keys be at hand, or write \
         commitments in the place of the values",
    )
}

/// The entry of a key with one item: as JSON, or of its fields.
pub fn entry_of(
    key: String,
    item: Option<&str>,
    fields: &[String],
    register: &RegisterView,
) -> Result<NewEntry, Failure> {
    validate_key(EntryKind::User, &key).map_err(Failure::error)?;
    let item = match item {
        Some(json) => canonicalise(json).map_err(|error| Failure::error(format!("--item: {error}")))?,
        None => from_arguments(fields, &key, register)?,
    };
    Ok(NewEntry { key, items: vec![item] })
}

/// Whose node takes what opens sealed values: the custodian's, or in a partition the signer's own.
pub fn keeper<'a>(signer: &'a Signer, register: &'a RegisterView) -> &'a str {
    if signer.partition().is_some() { signer.principal().organisation() } else { &register.custodian }
}

/// Where an entry stands, for people.
fn stands(line: usize, entry: &NewEntry) -> String {
    if line == 0 { format!("entry {}", entry.key) } else { format!("line {line}") }
}

/// Seals what is protected, and warns of what looks like personal data elsewhere.
pub fn prepared(
    entries: Vec<(usize, NewEntry)>,
    register: &RegisterView,
    asker: Option<&Signer>,
) -> Result<Vec<SealedEntry>, Failure> {
    let partition = asker.and_then(Signer::partition);
    let fields: Vec<Field> = register.fields.iter().map(Field::from).collect();
    let (schema, mut exposure) = (Schema::new(&register.name, &fields), Exposure::within(partition));
    let mut prepared = Vec::with_capacity(entries.len());
    for (line, entry) in entries {
        let place = stands(line, &entry);
        require_short(&place, &entry)?;
        let sealed = seal(&place, (partition, &schema), entry)?;
        for item in sealed.entry.items.iter().filter_map(|item| Item::parse(item).ok()) {
            exposure.look(&place, &item, &schema)?;
        }
        prepared.push(sealed);
    }
    exposure.warn();
    Ok(prepared)
}

/// Goes on if each item is as long as one may be; else says which of its fields takes most.
fn require_short(place: &str, entry: &NewEntry) -> Done {
    let Some(item) = entry.items.iter().find(|item| item.len() > ITEM_BYTES_MAX) else { return Ok(()) };
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(item).unwrap_or_default();
    let longest = fields.iter().map(|(name, value)| (value.to_string().len(), name)).max();
    let most = longest.map_or_else(String::new, |(bytes, name)| format!(", {bytes} of them in field `{name}`"));
    Err(Failure::error(format!(
        "{place}: its item has {} bytes{most}, and {ITEM_BYTES_MAX} may be: shorten it, nothing was sent",
        item.len()
    )))
}

/// The number that the one entry got.
pub fn number(settled: &Settled) -> String {
    match &settled.outcome {
        OutcomeView::Accepted { appended, .. } => {
            appended.first().map_or_else(|| "appended".to_owned(), |range| format!("entry {}", range.first))
        }
        OutcomeView::Refused { code, .. } => code.clone(),
    }
}

/// An item of values by field, in the cardinality that the schema has.
fn to_item(values: BTreeMap<&str, Vec<String>>, register: &RegisterView) -> String {
    let is_list =
        |name: &str| register.fields.iter().any(|field| field.name == name && field.cardinality == Cardinality::Many);
    item_from(values.into_iter().map(|(name, mut values)| {
        let value = match values.pop() {
            Some(value) if values.is_empty() && !is_list(name) => Value::One(Cow::Owned(value)),
            last => Value::Many(values.into_iter().chain(last).map(Cow::Owned).collect()),
        };
        (name, value)
    }))
}

fn from_arguments(arguments: &[String], key: &str, register: &RegisterView) -> Result<String, Failure> {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for argument in arguments {
        let (name, value) = argument
            .split_once('=')
            .ok_or_else(|| Failure::error(format!("`{argument}` is no field: write FIELD=VALUE")))?;
        values.entry(name).or_default().push(value.to_owned());
    }
    if register.fields.iter().any(|field| field.name == register.name) {
        values.entry(&register.name).or_insert_with(|| vec![key.to_owned()]);
    }
    Ok(to_item(values, register))
}

fn from_file(path: &Path, register: &RegisterView) -> Result<Vec<(usize, NewEntry)>, Failure> {
    let text = fs::read_to_string(path).doing(|| format!("cannot read `{}`", path.display()))?;
    let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let entries = if is_csv { from_csv(&text, register) } else { from_json_lines(&text, register) };
    entries.map_err(|error| Failure::error(format!("`{}`: {error}", path.display())))
}

fn from_csv(text: &str, register: &RegisterView) -> Result<Vec<(usize, NewEntry)>, String> {
    let csv = csv::parse(text)?;
    if let Some(name) = csv.heading.iter().find(|name| register.fields.iter().all(|field| field.name != **name)) {
        let known: Vec<&str> = register.fields.iter().map(|field| field.name.as_str()).collect();
        return Err(format!(
            "the heading names `{name}`, which is no field of the register: it has {}",
            known.join(", ")
        ));
    }
    let column = csv.heading.iter().position(|name| *name == register.name);
    let column = column.ok_or_else(|| format!("the heading must name the key: a column `{}`", register.name))?;
    let entry = |(at, row): &(usize, Vec<String>)| {
        let key = row.get(column).cloned().unwrap_or_default();
        validate_key(EntryKind::User, &key).map_err(|error| format!("line {at}: {error}"))?;
        let filled = csv.heading.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let values = filled.map(|(name, cell)| {
            let field = register.fields.iter().find(|field| field.name == *name);
            let cells = match field.map(|field| field.cardinality) {
                Some(Cardinality::Many) => cell.split(LIST_SEPARATOR).map(str::to_owned).collect(),
                _ => vec![cell.clone()],
            };
            (name.as_str(), cells)
        });
        Ok((*at, NewEntry { key, items: vec![to_item(values.collect(), register)] }))
    };
    csv.rows.iter().map(entry).collect()
}

fn from_json_lines(text: &str, register: &RegisterView) -> Result<Vec<(usize, NewEntry)>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let at = index + 1;
            let item = canonicalise(line).map_err(|error| format!("line {at}: {error}"))?;
            let key = Item::parse(&item).ok().and_then(|item| item.get_one(&register.name).map(str::to_owned));
            let key =
                key.ok_or_else(|| format!("line {at}: the item must have the key: a field `{}`", register.name))?;
            validate_key(EntryKind::User, &key).map_err(|error| format!("line {at}: {error}"))?;
            Ok((at, NewEntry { key, items: vec![item] }))
        })
        .collect()
}

/// As many entries to a transaction as it holds.
pub fn batches(entries: Vec<NewEntry>) -> Vec<Vec<NewEntry>> {
    cut(entries, |entry| entry, |_| &[])
}

/// As many entries to a transaction as it holds, and as a node takes the openings of at once.
fn cut<T>(all: Vec<T>, entry: impl Fn(&T) -> &NewEntry, openings: impl Fn(&T) -> &[Opening]) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let (mut bytes, mut sealed_bytes, mut sealed_count) = (0, 0, 0);
    for one in all {
        let NewEntry { key, items } = entry(&one);
        let more = FRAMING_BYTES + key.len() + items.iter().map(|item| item.len() + FRAMING_BYTES).sum::<usize>();
        let sealed_more: usize = openings(&one).iter().map(|opening| opening.to_bytes().len()).sum();
        let room = bytes + more <= TRANSACTION_BYTES_MAX - ENVELOPE_BYTES
            && sealed_bytes + sealed_more <= OPENINGS_BYTES_MAX
            && sealed_count + openings(&one).len() <= OPENINGS_PER_MESSAGE_MAX;
        let more_sealed = openings(&one).len();
        match batches.last_mut().filter(|batch| room && batch.len() < ENTRIES_MAX) {
            Some(batch) => {
                batch.push(one);
                bytes += more;
                sealed_bytes += sealed_more;
                sealed_count += more_sealed;
            }
            None => {
                batches.push(vec![one]);
                (bytes, sealed_bytes, sealed_count) = (more, sealed_more, more_sealed);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_api::FieldView;
    use tallystick_protocol::{Datatype, Phase};

    fn school() -> RegisterView {
        let field = |name: &str, cardinality| FieldView {
            name: name.into(),
            datatype: Datatype::String,
            cardinality,
            register: None,
            text: String::new(),
            protection: None,
        };
        RegisterView {
            name: "school".into(),
            text: String::new(),
            custodian: "department-for-education".into(),
            phase: Phase::Live,
            successor: None,
            fields: vec![
                field("school", Cardinality::One),
                field("name", Cardinality::One),
                field("tags", Cardinality::Many),
            ],
            records: 0,
            entries: 0,
            system_entries: 0,
            root: String::new(),
            created: 0,
        }
    }

    #[test]
    fn arguments_become_a_canonical_item_with_its_key() {
        let fields = ["tags=old".to_owned(), "name=Sir John Cass".to_owned()];
        let item = from_arguments(&fields, "100000", &school()).unwrap();
        assert_eq!(item, r#"{"name":"Sir John Cass","school":"100000","tags":["old"]}"#);
    }

    #[test]
    fn rows_and_lines_become_entries() {
        let csv = from_csv("school,name,tags\n1,One,a;b\n2,,\n", &school()).unwrap();
        let items: Vec<&str> = csv.iter().flat_map(|(_, entry)| &entry.items).map(String::as_str).collect();
        assert_eq!(items, [r#"{"name":"One","school":"1","tags":["a","b"]}"#, r#"{"school":"2"}"#]);
        assert_eq!(csv.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
        let lines = from_json_lines("\n{ \"school\": \"1\", \"name\": \"One\" }\n\n", &school()).unwrap();
        let (line, entry) = lines.first().unwrap();
        assert_eq!(*line, 2);
        assert_eq!(entry.items, [r#"{"name":"One","school":"1"}"#]);
    }

    #[test]
    fn an_item_that_is_too_long_names_the_field_that_makes_it_so() {
        let entry = |bytes: usize| {
            let fields = [format!("name={}", "x".repeat(bytes)), "tags=old".to_owned()];
            NewEntry { key: "1".into(), items: vec![from_arguments(&fields, "1", &school()).unwrap()] }
        };
        let around = entry(0).items.first().map(String::len).unwrap();
        assert!(require_short("line 2", &entry(ITEM_BYTES_MAX - around)).is_ok());
        let error = require_short("line 2", &entry(ITEM_BYTES_MAX)).unwrap_err().to_string();
        assert!(error.starts_with("line 2: its item has") && error.contains("in field `name`, and 16384"), "{error}");
    }

    #[test]
    fn errors_name_the_line_or_the_column() {
        assert!(from_csv("name\nOne\n", &school()).unwrap_err().contains("`school`"));
        assert!(from_csv("school,town\n1,York\n", &school()).unwrap_err().contains("`town`"));
        assert!(from_csv("school\na--b\n", &school()).unwrap_err().starts_with("line 2: `a--b`"));
        assert!(from_json_lines("{}\n", &school()).unwrap_err().starts_with("line 1"));
    }

    #[test]
    fn a_batch_fits_a_transaction() {
        let entry = NewEntry { key: "k".into(), items: vec!["x".repeat(10_000)] };
        assert_eq!(batches(vec![entry; 13]).iter().map(Vec::len).collect::<Vec<_>>(), [6, 6, 1]);
        let small = NewEntry { key: "k".into(), items: vec!["{}".into()] };
        assert!(batches(vec![small; 3_000]).iter().all(|batch| batch.len() <= ENTRIES_MAX));
        assert!(batches(Vec::new()).is_empty());
    }
}
