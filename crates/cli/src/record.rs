//! `tally record`: a record as it is now, and the proof that it is.

use crate::{
    access_log::tell_unread,
    connection::{BEHIND, Connection, Signing, ask_again},
    notice::reads_within,
    output::{Colour, Done, Failure, json, line, paint, paint_err, say, time},
    reading::{self, Beside, Reader, Reason, Wanted},
    register::{no_register, tell_private},
    transaction::write_receipt,
};
use clap::Args;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};
use tallystick_api::{CorrectingView, CorrectionView, GivenView, PrivateCorrection, PrivateReads, routes};
use tallystick_client::Client;
use tallystick_protocol::{EntryKind, Reading, Subject, change::words::Shown, operation::validate_key};

/// Show a record of a register, or prove that there is none
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 there is such a record; 1 there is none.\n\n\
    Examples:\n  \
    tally record country GB                         the record and the entry that made it\n  \
    tally record country GB --entries               every entry it ever had\n  \
    tally record country GB --receipt gb.receipt    and the proof, for `tally verify`\n  \
    tally record country ZZ --receipt zz.receipt    proof that there is no such record\n  \
    tally record patient p-17 --open --field name --purpose \"Answer a complaint\" --legal-basis \"Care Act 2014, s. 42\"\n  \
    tally record child c-1 --partition school-health --purpose \"Plan support\" --legal-basis \"Children Act 2004, s. 11\"")]
pub struct Record {
    /// The register
    #[arg(value_name = "REGISTER")]
    register: String,
    /// The record's key
    #[arg(value_name = "KEY")]
    key: String,
    /// Write the proof to this file
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Show every entry of the record, oldest first; in a partition the record as it is now, and which of its entries were wrong
    #[arg(long)]
    entries: bool,
    /// Open what is sealed in it: the read is put on record first, signed, and only then answered. In a partition sealed fields are left out
    /// unless this is given, or they are named
    #[arg(long, conflicts_with = "entries", requires = "purpose", requires = "legal_basis")]
    open: bool,
    /// Open this field alone, or in a partition read it alone, and open it; may be repeated
    #[arg(long = "field", value_name = "FIELD")]
    fields: Vec<String>,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// What is told of a record's entries beside them.
#[derive(Default)]
struct Earlier {
    /// The items, by their hashes.
    items: BTreeMap<String, Value>,
    /// Which of them were wrong.
    marks: Vec<CorrectionView>,
    /// In a partition: what the entry that is shown corrects.
    corrects: Option<CorrectingView>,
}

impl Record {
    /// Runs the command.
    pub fn run(self) -> Done {
        validate_key(EntryKind::User, &self.key).map_err(Failure::error)?;
        if self.signing.partition.is_some() {
            return self.read_in_partition();
        }
        if !self.fields.is_empty() && !self.open {
            return Err(Failure::error("--field names what is opened: add --open"));
        }
        let client = self.connection.client()?;
        // What is read comes first: then what is shown is not older.
        let reading = if self.open { Some(self.read()?) } else { None };
        // Another node than the one that took it may answer.
        let mut found = ask_again(BEHIND, || {
            let (register, key) = (&self.register, &self.key);
            Ok(if self.entries { client.record_entries(register, key)? } else { client.record(register, key)? })
        })?;
        if let (Some(found), Some(reading)) = (&mut found, &reading) {
            reading::open(&mut found.value, &reading.openings);
        }
        match &found {
            Some(found) if self.signing.json => json(&found.value)?,
            Some(found) => self.show(&found.value, found.height, &self.beside(&client, &found.value)?)?,
            None => {}
        }
        if let Some(path) = &self.receipt {
            write_receipt(path, &client.record_receipt(&self.register, &self.key)?)?;
        }
        if found.is_some() {
            return Ok(());
        }
        Err(match client.register(&self.register)? {
            Some(_) => Failure::no(format!("register `{}` has no record `{}`", self.register, self.key)),
            None => no_register(&self.register),
        })
    }

    fn read(&self) -> Result<Reading, Failure> {
        let (register, key) = (self.register.as_str(), self.key.as_str());
        let wanted =
            Wanted { register, key, fields: &self.fields, recipient: None, beside: Beside::Nothing, holder: None };
        let (client, signer) = (self.connection.client()?, self.connection.signer(&self.signing)?);
        let reader = Reader { client: &client, signer: &signer, signing: &self.signing };
        let reading = reading::read(&reader, &wanted, &self.reason)?;
        let (id, leaf) = (reading.transaction, reading.leaf);
        let told = format!("the read is on record: transaction {id}, leaf {leaf} of the log");
        say(paint_err(Colour::Dim, &told));
        Ok(reading)
    }

    /// Whoever reads in a partition puts that on record there: what it says comes with what became of the read.
    fn read_in_partition(&self) -> Done {
        if self.receipt.is_some() {
            return Err(Failure::error(
                "what is read in a partition is proved with `tally disclose`: leave out --receipt",
            ));
        }
        if self.entries && self.signing.json {
            return Err(Failure::error(
                "in a partition the marks of entries come as JSON with `tally notice list`: leave out --entries",
            ));
        }
        let wanted = Wanted {
            register: &self.register,
            key: &self.key,
            fields: &self.fields,
            recipient: None,
            beside: match (self.fields.is_empty(), self.open) {
                (false, _) => Beside::Nothing,
                (true, true) => Beside::All,
                (true, false) => Beside::Clear,
            },
            holder: None,
        };
        let (client, signer) = (self.connection.client()?, self.connection.signer(&self.signing)?);
        let reader = Reader { client: &client, signer: &signer, signing: &self.signing };
        let (done, definition) = reading::read_in_partition(&reader, &wanted, &self.reason)?;
        let (height, given) = (done.height, done.given.clone());
        let told = tell_private(done, self.signing.json)?;
        // As JSON too: there the record looks as if it had no such field.
        if let Some(left_out) = reading::left_out(&wanted, &definition) {
            say(paint_err(Colour::Dim, &left_out));
        }
        if told.is_none() {
            return Ok(());
        }
        for GivenView { record, corrects, .. } in given {
            self.show(&record, Some(height), &Earlier { corrects, ..Earlier::default() })?;
        }
        if !self.entries {
            return Ok(());
        }
        let record = Subject::new(&self.register, &self.key).map_err(Failure::error)?;
        let PrivateReads { corrections: mut wrong, unread, .. } =
            reads_within(&client, &signer, (Some(&record), false))?;
        wrong.sort_by_key(|one| one.corrects);
        wrong.iter().try_for_each(show_wrong)?;
        tell_unread(&unread)
    }

    /// What is told of all entries, beside them, when all are shown.
    fn beside(&self, client: &Client, found: &Value) -> Result<Earlier, Failure> {
        let mut items = BTreeMap::new();
        let hashes = entries(found).into_iter().filter_map(|entry| entry.get("item-hash")).filter_map(Value::as_array);
        for hash in hashes.flatten().filter_map(Value::as_str).filter(|_| self.entries) {
            let Some(Ok(place)) = hash.strip_prefix("sha-256:").map(str::parse) else { continue };
            if !items.contains_key(hash) {
                let item = client.get(&routes::item(&self.register, &place), "application/json");
                // An entry is told without it.
                items.extend(item.and_then(|item| item.json()).ok().map(|item| (hash.to_owned(), item)));
            }
        }
        Ok(Earlier { items, marks: self.marks(client)?, corrects: None })
    }

    /// Which of the entries that are shown were wrong: all there are when all are shown.
    fn marks(&self, client: &Client) -> Result<Vec<CorrectionView>, Failure> {
        let (mut marks, mut page) = (Vec::new(), 1u64);
        if !self.entries {
            return Ok(marks);
        }
        loop {
            let index = page.to_string();
            let query = [("page-index", index.as_str())];
            match client.corrections(&self.register, &self.key, &query) {
                Ok(found) => marks.extend(found.value),
                // A page after the last one is not there.
                Err(error) if error.status() == Some(404) => return Ok(marks),
                Err(error) => return Err(error.into()),
            }
            page += 1;
        }
    }

    fn show(&self, value: &Value, height: Option<u64>, beside: &Earlier) -> Done {
        line(format_args!("{} {}/{}", paint(Colour::Bold, "record"), self.register, self.key))?;
        for entry in entries(value) {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
            line(format_args!("entry      {} of {}", text("entry-number"), text("entry-timestamp")))?;
            for mark in beside.marks.iter().filter(|mark| mark.corrects.to_string() == text("entry-number")) {
                let why = format!("wrong: entry {} corrects it, for {}: {}", mark.entry, mark.authority, mark.reason);
                line(format_args!("  {}", paint(Colour::Yellow, &Shown(&why).to_string())))?;
            }
            beside.corrects.as_ref().map_or(Ok(()), show_corrects)?;
            for item in entry.get("item").and_then(Value::as_array).into_iter().flatten() {
                show_item(item)?;
            }
            for hash in entry.get("item-hash").and_then(Value::as_array).into_iter().flatten() {
                let hash = hash.as_str().unwrap_or("?");
                line(format_args!("item       {hash}"))?;
                beside.items.get(hash).map_or(Ok(()), show_item)?;
            }
        }
        match height {
            Some(height) => line(format_args!("as of      block {height}")),
            None => Ok(()),
        }
    }
}

/// What the entry that was read corrects.
fn show_corrects(CorrectingView { corrects, reason, authority, legal_basis }: &CorrectingView) -> Done {
    let told = format!("corrects entry {corrects}, which was wrong, for {authority}, by {legal_basis}: {reason}");
    line(format_args!("  {}", paint(Colour::Yellow, &Shown(&told).to_string())))
}

/// The mark of an entry of a record in a partition. What it said is not read any more.
fn show_wrong(mark: &PrivateCorrection) -> Done {
    line(format_args!("entry      {}", mark.corrects))?;
    let PrivateCorrection { entry, authority, reason, time_ms, .. } = mark;
    let told = format!("wrong: entry {entry} corrected it {}, for {authority}: {reason}", time(*time_ms));
    line(format_args!("  {}", paint(Colour::Yellow, &Shown(&told).to_string())))
}

/// A record is `{"<key>": {entry}}`; a list of entries is `[{entry}, …]`.
pub fn entries(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(entries) => entries.iter().collect(),
        Value::Object(records) if records.values().all(Value::is_object) => records.values().collect(),
        other => vec![other],
    }
}

fn show_item(item: &Value) -> Done {
    let Some(fields) = item.as_object() else { return line(format_args!("  {item}")) };
    let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, value) in fields {
        line(format_args!("  {name:<width$}  {}", shown(value)))?;
    }
    Ok(())
}

/// A field's value for people, who could be told by it what is not so: what would hide in it or begin a line of its own is escaped.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => Shown(text).to_string(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

/// Unix seconds for people.
pub fn moment(seconds: u64) -> String {
    time(seconds.saturating_mul(1_000))
}
