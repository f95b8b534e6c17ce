//! `tally subject-access`: all that an organisation holds about somebody, as JSON with proofs, for that person.
//!
//! INVARIANT: what the file says of a record or of a read is what its proof says; `tally verify` compares them.

use crate::{
    connection::{Connection, Signing},
    disclose::write_private,
    output::{Colour, Done, Failure, count, json, line, paint, progress, time},
    reading::{self, Reason, Wanted},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use tallystick_api::{
    ActOutcome, ErasureView, HeldView, HoldView, ReadView,
    limits::{AUDIT_PAGE_MAX, ERASURES_PAGE_MAX},
};
use tallystick_client::Client;
use tallystick_protocol::{
    Disclosure, Genesis, Hash, NetworkId, Opening, Operation, Outcome, PrincipalId, Receipt, Subject,
    receipt::{Claim, Proven},
};

/// What such a file says that it is.
pub const FORMAT: &str = "tallystick-subject-access-1";
/// To whom the values are given, as the access log shows it.
const RECIPIENT: &str = "the data subject";

/// Gather all that the signer's organisation holds about somebody, with proofs, to answer their request
#[derive(Debug, Args)]
#[command(
    after_help = "Each record is read on record first, with \"the data subject\" as its recipient. The file has the values about this person \
    alone, everybody who read them, and what is ordered of erasures and holds; a proof stands beside each record and read. Whoever has it \
    checks it with `tally verify` and network.json alone. It holds personal data in the clear: give it to that person, and to nobody else.\n\n\
    Example:\n  \
    tally subject-access patient:p-17 --out p-17.json"
)]
pub struct SubjectAccess {
    /// Whom it is about: the record's register, `:`, its key
    #[arg(value_name = "REGISTER:KEY")]
    subject: Subject,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// What for, as the access log shows it
    #[arg(long, value_name = "TEXT", default_value = "Answer to the person's own request")]
    purpose: String,
    /// The power that it relies on
    #[arg(long, value_name = "TEXT", default_value = "UK GDPR, Article 15")]
    legal_basis: String,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Export {
    format: String,
    network: NetworkId,
    /// Who answers for what is in it.
    organisation: String,
    subject: Subject,
    /// The reads are complete to this block.
    height: u64,
    time_ms: u64,
    records: Vec<HeldRecord>,
    /// Values that only an earlier entry of a record had: kept until they are erased, not given any more.
    earlier: Vec<HeldView>,
    reads: Vec<ProvenRead>,
    erasures: Vec<ErasureView>,
    holds: Vec<HoldView>,
}

/// A record with values about the subject, opened.
#[derive(Debug, Serialize, Deserialize)]
struct HeldRecord {
    register: String,
    key: String,
    items: Vec<Value>,
    /// A receipt of the record, or a disclosure, in base64.
    proof: String,
}

/// A read, and the receipt of its transaction in base64.
#[derive(Debug, Serialize, Deserialize)]
struct ProvenRead {
    #[serde(flatten)]
    read: ReadView,
    proof: String,
}

impl SubjectAccess {
    /// Runs the command.
    pub fn run(self) -> Done {
        self.signing.require_public("what is held about somebody is gathered")?;
        if self.out.exists() {
            return Err(Failure::error(format!("`{}` exists already: choose another name", self.out.display())));
        }
        let genesis = self.connection.genesis()?;
        let client = self.connection.client()?;
        let organisation = self.connection.signer(&self.signing)?.principal().organisation().to_owned();
        let (holder, _) = client.holder(&organisation)?;
        let (current, earlier): (Vec<HeldView>, Vec<HeldView>) =
            holder.held(&self.subject)?.values.into_iter().partition(|value| value.current);
        let records = self.records(&client, &genesis, current)?;
        let (height, time_ms, reads) = self.reads(&client)?;
        let export = Export {
            format: FORMAT.to_owned(),
            network: genesis.id(),
            erasures: erasures(&client, &organisation, &self.subject)?,
            holds: holds(&client, &organisation, &self.subject)?,
            subject: self.subject,
            organisation,
            height,
            time_ms,
            records,
            earlier,
            reads,
        };
        export.check(&genesis)?;
        let bytes = serde_json::to_vec_pretty(&export).map_err(Failure::error)?;
        write_private(&self.out, &bytes)?;
        let out = self.out.display().to_string();
        if self.signing.json {
            return json(&serde_json::json!({
                "file": out, "bytes": bytes.len(), "records": export.records.len(), "reads": export.reads.len(),
            }));
        }
        export.summary()?;
        line(format_args!(
            "wrote {out} ({} bytes): personal data in the clear. Whoever has network.json checks it with: tally verify {out}",
            bytes.len()
        ))
    }

    /// The subject's own record, and each that has values about it: read on record, with its proof.
    fn records(&self, client: &Client, genesis: &Genesis, held: Vec<HeldView>) -> Result<Vec<HeldRecord>, Failure> {
        let mut places: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        let (register, key) = (self.subject.register().to_owned(), self.subject.key().to_owned());
        if client.record(&register, &key)?.is_some() {
            places.entry((register, key)).or_default();
        }
        for HeldView { register, key, field, .. } in held {
            places.entry((register, key)).or_default().insert(field);
        }
        let bar = progress(places.len() as u64, "reading records, each on record");
        let mut records = Vec::with_capacity(places.len());
        for ((register, key), fields) in places {
            records.push(self.record(client, genesis, (register, key), &fields.into_iter().collect::<Vec<_>>())?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(records)
    }

    fn record(
        &self,
        client: &Client,
        genesis: &Genesis,
        (register, key): (String, String),
        fields: &[String],
    ) -> Result<HeldRecord, Failure> {
        let mut openings = Vec::new();
        if !fields.is_empty() {
            let wanted = Wanted { register: &register, key: &key, fields, recipient: Some(RECIPIENT) };
            let reason = Reason { purpose: Some(self.purpose.clone()), legal_basis: Some(self.legal_basis.clone()) };
            let reading = reading::read(&self.connection, &self.signing, &wanted, &reason)?;
            // Another's values in the same record are not theirs to have.
            openings.extend(reading.openings.into_iter().filter(|opening| *opening.place().subject() == self.subject));
        }
        let bytes = client.record_receipt(&register, &key)?;
        let Ok(Receipt::Record(record)) = Receipt::decode(&bytes) else {
            return Err(Failure::error("the node gave no receipt of the record: ask another one, with --node"));
        };
        let receipt = if openings.is_empty() {
            Receipt::Record(record)
        } else {
            Receipt::Disclosure(Disclosure { record, openings })
        };
        let proven = receipt.check(genesis).map_err(|error| {
            Failure::no(format!("record `{register}/{key}` changed while it was read ({error}): run this again"))
        })?;
        let items = items_of(&proven).unwrap_or_default();
        Ok(HeldRecord { register, key, items, proof: BASE64_STANDARD.encode(receipt.to_bytes()) })
    }

    /// Everybody who read, each with a receipt; and the block that this is complete to.
    fn reads(&self, client: &Client) -> Result<(u64, u64, Vec<ProvenRead>), Failure> {
        let (subject, limit) = (self.subject.to_string(), AUDIT_PAGE_MAX.to_string());
        let query = [("subject", subject.as_str()), ("limit", limit.as_str())];
        let first = client.access_log(&query)?;
        let (height, time_ms) = (first.height, first.time_ms);
        let (mut reads, mut next) = (first.reads, first.next);
        while let Some(cursor) = next {
            let page = client.access_log(&[&query[..], &[("cursor", cursor.as_str())]].concat())?;
            reads.extend(page.reads);
            next = page.next.filter(|next| is_older(next, &cursor));
        }
        let bar = progress(reads.len() as u64, "fetching the receipts of reads");
        let proven = reads.into_iter().map(|read| {
            bar.inc(1);
            let proof = BASE64_STANDARD.encode(client.transaction_receipt(&read.id)?);
            Ok(ProvenRead { read, proof })
        });
        let proven = proven.collect::<Result<_, Failure>>();
        bar.finish_and_clear();
        Ok((height, time_ms, proven?))
    }
}

/// Whether a cursor leads on: a node that repeats itself would be asked for ever.
fn is_older(next: &str, before: &str) -> bool {
    next.parse::<u64>().ok().zip(before.parse::<u64>().ok()).is_some_and(|(next, before)| next < before)
}

fn erasures(client: &Client, organisation: &str, subject: &Subject) -> Result<Vec<ErasureView>, Failure> {
    let (limit, mut cursor, mut found) = (ERASURES_PAGE_MAX.to_string(), None::<String>, Vec::new());
    loop {
        let mut query = vec![("controller", organisation), ("limit", limit.as_str())];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = client.erasures(&query)?.value;
        found.extend(page.erasures.into_iter().filter(|order| order.subject == *subject));
        match page.next.filter(|next| cursor.as_ref().is_none_or(|cursor| is_older(next, cursor))) {
            Some(next) => cursor = Some(next),
            None => return Ok(found),
        }
    }
}

fn holds(client: &Client, organisation: &str, subject: &Subject) -> Result<Vec<HoldView>, Failure> {
    let (limit, mut cursor, mut found) = (ERASURES_PAGE_MAX.to_string(), None::<String>, Vec::new());
    loop {
        let mut query = vec![("controller", organisation), ("limit", limit.as_str())];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = client.holds(&query)?.value;
        found.extend(page.holds.into_iter().filter(|hold| hold.subject == *subject));
        match page.next.filter(|next| cursor.as_ref().is_none_or(|cursor| is_older(next, cursor))) {
            Some(next) => cursor = Some(next),
            None => return Ok(found),
        }
    }
}

/// A proven record's items, with what is opened of them.
fn items_of(proven: &Proven) -> Option<Vec<Value>> {
    let (items, openings): (&[String], &[Opening]) = match &proven.claim {
        Claim::Current { items, .. } => (items, &[]),
        Claim::Disclosed { items, openings, .. } => (items, openings),
        _ => return None,
    };
    let opened = |item: &String| {
        let mut value = serde_json::from_str(item).ok()?;
        reading::open(&mut value, openings);
        Some(value)
    };
    items.iter().map(opened).collect()
}

fn proven(proof: &str, genesis: &Genesis) -> Result<Proven, String> {
    let bytes = BASE64_STANDARD.decode(proof).map_err(|error| format!("its proof is no base64: {error}"))?;
    let receipt = Receipt::decode(&bytes).map_err(|error| format!("its proof is no receipt: {error}"))?;
    receipt.check(genesis).map_err(|error| format!("its proof does not hold: {error}"))
}

impl Export {
    /// Whether all of it is as the proofs in it say.
    ///
    /// # Errors
    /// Names the record or read of which it is not.
    pub fn check(&self, genesis: &Genesis) -> Done {
        if self.format != FORMAT {
            return Err(Failure::no(format!("this is no `{FORMAT}` but a `{}`", self.format)));
        }
        if self.network != genesis.id() {
            return Err(Failure::no(format!(
                "does not hold: it is of network {}, not of {}",
                self.network,
                genesis.id()
            )));
        }
        for record in &self.records {
            self.check_record(record, genesis).map_err(|why| {
                Failure::no(format!("does not hold: record {}/{}: {why}", record.register, record.key))
            })?;
        }
        for read in &self.reads {
            check_read(&self.subject, read, genesis)
                .map_err(|why| Failure::no(format!("does not hold: read {}: {why}", read.read.id)))?;
        }
        Ok(())
    }

    fn check_record(&self, record: &HeldRecord, genesis: &Genesis) -> Result<(), String> {
        let proven = proven(&record.proof, genesis)?;
        let row = match &proven.claim {
            Claim::Current { record, .. } | Claim::Disclosed { record, .. } => record,
            _ => return Err("its proof is not of a record".to_owned()),
        };
        if (&row.register, &row.key) != (&record.register, &record.key) {
            return Err("its proof is of another record".to_owned());
        }
        if items_of(&proven).as_deref() != Some(&record.items) {
            return Err("it says something else than its proof".to_owned());
        }
        match &proven.claim {
            Claim::Disclosed { openings, .. } if openings.iter().any(|one| *one.place().subject() != self.subject) => {
                Err("it opens a value about somebody else".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What it holds, in a few lines.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn summary(&self) -> Done {
        line(format_args!("{} {}, as held by {}", paint(Colour::Bold, "about"), self.subject, self.organisation))?;
        for HeldRecord { register, key, items, .. } in &self.records {
            let fields = items.iter().filter_map(Value::as_object).flat_map(|item| item.keys());
            let fields: Vec<&str> = fields.map(String::as_str).collect();
            line(format_args!("record     {register}/{key}: {}", fields.join(", ")))?;
        }
        for HeldView { register, key, field, .. } in &self.earlier {
            line(format_args!("earlier    {register}/{key}: {field}, replaced since, kept until it is erased"))?;
        }
        line(format_args!(
            "reads      {}, complete to block {} of {}",
            count(self.reads.len() as u64, "read", "reads"),
            self.height,
            time(self.time_ms)
        ))?;
        let (orders, holds) = (self.erasures.len() as u64, self.holds.len() as u64);
        line(format_args!(
            "orders     {}, {}",
            count(orders, "order of erasure", "orders of erasure"),
            count(holds, "legal hold", "legal holds")
        ))
    }
}

fn check_read(subject: &Subject, told: &ProvenRead, genesis: &Genesis) -> Result<(), String> {
    let proven = proven(&told.proof, genesis)?;
    let Claim::Transaction { id, principal, operations, outcome, index, .. } = &proven.claim else {
        return Err("its proof is not of a transaction".to_owned());
    };
    let read = &told.read;
    let is_accepted = matches!(outcome, Outcome::Accepted { .. });
    let same: (&Hash, &PrincipalId, u64, bool) =
        (&read.id, &read.principal, read.leaf, read.outcome == ActOutcome::Accepted);
    if same != (id, principal, *index, is_accepted) {
        return Err("its proof is of another".to_owned());
    }
    let is_it = |operation: &Operation| {
        let Operation::RecordRead { register, key, fields, subjects, purpose, legal_basis, recipient, .. } = operation
        else {
            return false;
        };
        let about =
            subjects.contains(subject) || (register.as_str(), key.as_str()) == (subject.register(), subject.key());
        about
            && (register, key, fields, purpose, legal_basis, recipient)
                == (&read.register, &read.key, &read.fields, &read.purpose, &read.legal_basis, &read.recipient)
    };
    if operations.iter().any(is_it) { Ok(()) } else { Err("its proof says something else".to_owned()) }
}

/// Checks such a file, and says what it holds. None if these bytes are something else.
///
/// # Errors
/// When it does not hold.
pub fn verify(bytes: &[u8], genesis: &Genesis, as_json: bool) -> Option<Done> {
    let export: Export = serde_json::from_slice(bytes).ok()?;
    Some(match export.check(genesis) {
        Ok(()) if as_json => json(&serde_json::json!({
            "holds": true, "subject": export.subject, "organisation": export.organisation, "records": export.records.len(),
            "reads": export.reads.len(), "height": export.height,
        })),
        Ok(()) => {
            let told = format!("{} every record and every read in it is proven", paint(Colour::Green, "holds:"));
            let left = "that nothing was left out is the word of who made it; orders and holds are told, not proven";
            line(told).and_then(|()| export.summary()).and_then(|()| line(paint(Colour::Dim, left)))
        }
        Err(Failure::No(why)) if as_json => {
            json(&serde_json::json!({"holds": false, "reason": why.to_string()})).and(Err(Failure::Said))
        }
        Err(failure) => Err(failure),
    })
}
