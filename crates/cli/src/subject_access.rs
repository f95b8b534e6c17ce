//! `tally subject-access`: what an organisation's nodes hold about somebody, as JSON with proofs, for that person.
//!
//! INVARIANT: what the file says of a record, and of a read but for the consents it stood on, is what its proof says: `tally verify`
//! compares them. All else in it is the word of who made it, who signs all of it. In partitions records are proven, and reads are not.

mod maker;
mod shared;

use crate::{
    connection::{Connection, Signing, ask_again},
    disclose::{require_new, write_private},
    output::{Colour, Done, Failure, count, json, line, paint, progress, time},
    paging::Paging,
    reading::{self, Beside, Reader, Reason, Wanted},
    register::exposure::warn_of_nothing,
    signature::signer_receipt,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use maker::Answer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{Gathering, Shared};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use tallystick_api::{
    AccessLogPage, ErasureView, HeldView, HoldView, ReadPlace, ReadView,
    limits::{AUDIT_PAGE_MAX, ERASURES_PAGE_MAX},
};
use tallystick_client::Client;
use tallystick_protocol::{
    Disclosure, Genesis, NetworkId, Opening, PrincipalId, Receipt, Recipient, SignedBy, SignedTransaction, Subject,
    change::words::Shown,
    limits::SUBJECT_ACCESS_BYTES_MAX,
    receipt::{Claim, Proven, TransactionReceipt},
};

/// What such a file says that it is.
const FORMAT: &str = "tallystick-subject-access-1";
/// What it begins with in each version.
const FORMATS: &str = "tallystick-subject-access-";
/// How often a node is asked that does not know the last read yet.
const ASKED: usize = 30;

/// Gather what the signer's organisation holds about somebody, with proofs, to answer their request
#[derive(Debug, Args)]
#[command(
    after_help = "Every node of the organisation that holds is asked, as far as --node or the profile name it; one that is not is said, here and in \
    the file. Each record is read on record first, with \"the data subject\" as its recipient. The file has the sealed values about this person \
    alone, everybody who read them, and what is ordered of erasures and holds; a proof stands beside each record and read. Records in the \
    clear of the public partition that merely name the person are not in it: tally record, tally audit query.\n\n\
    Of each partition of which the organisation is a member, it has the person's own record and those that name them in a field which links to \
    it, each read on record there and with a proof, as far as policies let the signer read; who wrote about them, who read it, and what is \
    ordered there of erasures and holds. What could not \
    be read is named, with the reason. A record of a partition is shown whole: look through the file, and leave out with --withhold what is \
    somebody else's to keep.\n\n\
    You sign the file with your key. Whoever has it checks it with `tally verify` and network.json alone, and sees who made it. It holds personal data in the clear: give it to that person, and \
    to nobody else.\n\n\
    Example:\n  \
    tally subject-access patient:p-17 --output p-17.json"
)]
pub struct SubjectAccess {
    /// Whom it is about: the record's register, `:`, its key
    #[arg(value_name = "REGISTER:KEY")]
    subject: Subject,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What for, as the access log shows it
    #[arg(long, value_name = "TEXT", default_value = "Answer to the person's own request")]
    purpose: String,
    /// The power that it relies on
    #[arg(long, value_name = "TEXT", default_value = "UK GDPR, Article 15")]
    legal_basis: String,
    /// Do not give this record of a partition, for it says something about somebody else: register, `:`, key; the file says that it was
    /// withheld. May be repeated
    #[arg(long, value_name = "REGISTER:KEY")]
    withhold: Vec<Subject>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Export {
    format: String,
    network: NetworkId,
    /// Who answers for what is in it.
    organisation: String,
    subject: Subject,
    /// The nodes that were asked what they hold.
    asked: Vec<PrincipalId>,
    /// Nodes of the organisation that hold and were not asked.
    not_asked: Vec<PrincipalId>,
    /// The reads are complete to this block.
    height: u64,
    time_ms: u64,
    records: Vec<HeldRecord>,
    /// Values that only an earlier entry of a record had: kept until they are erased, not given any more.
    earlier: Vec<HeldView>,
    reads: Vec<ProvenRead>,
    erasures: Vec<ErasureView>,
    holds: Vec<HoldView>,
    /// What is in each partition of which the organisation is a member.
    partitions: Vec<Shared>,
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

/// Fields with values about the subject, of each record, by the holder that keeps them.
type Places = BTreeMap<(String, String), BTreeMap<usize, BTreeSet<String>>>;

impl SubjectAccess {
    /// Runs the command.
    pub fn run(self) -> Done {
        if self.signing.partition.is_some() {
            let why = "every partition that the organisation shares in is asked: leave out --partition";
            return Err(Failure::error(why));
        }
        require_new(&self.output)?;
        let genesis = self.connection.genesis()?;
        let (client, signer) = (self.connection.client()?, self.connection.signer(&self.signing)?);
        let organisation = signer.principal().organisation().to_owned();
        let (principal, key) = (signer.principal().clone(), signer.key().clone());
        // Who cannot sign it finds out before everything is read, on record.
        signer_receipt(&client, (&principal, key.public()), 0, &genesis)?;
        let holders = client.holders(&organisation)?;
        let asked: Vec<PrincipalId> = holders.iter().map(|(_, node)| node.clone()).collect();
        let registered = client.organisation_nodes(&organisation)?.map(|found| found.value.nodes).unwrap_or_default();
        let not_asked = registered.into_iter().map(|view| view.node).filter(|node| !asked.contains(node)).collect();
        let (places, earlier) = self.places(&client, &holders, &organisation)?;
        let reader = Reader { client: &client, signer: &signer, signing: &self.signing };
        let (records, last) = self.records(&reader, &holders, &genesis, places)?;
        let log = self.access_log(&client, last)?;
        let gathering = Gathering {
            client: &client,
            holders: &holders,
            genesis: &genesis,
            subject: &self.subject,
            withheld: &self.withhold,
            reason: self.reason(),
            patience: self.signing.patience(),
        };
        let partitions = gathering.whole(signer)?;
        if let Some(one) = self.withhold.iter().find(|one| !partitions.iter().any(|shared| shared.withholds(one))) {
            return Err(Failure::error(format!(
                "no partition has a record `{one}` about {}: nothing was written; see what --withhold names",
                self.subject
            )));
        }
        let export = Export {
            format: FORMAT.to_owned(),
            network: genesis.id(),
            asked,
            not_asked,
            erasures: self.erasures(&client, &organisation)?,
            holds: self.holds(&client, &organisation)?,
            organisation,
            height: log.height,
            time_ms: log.time_ms,
            records,
            earlier,
            reads: proven_reads(&client, log)?,
            partitions,
            subject: self.subject,
        };
        let (bytes, _) = Answer::sign(&client, (&principal, &key), &genesis, &export)?;
        if bytes.len() > SUBJECT_ACCESS_BYTES_MAX {
            return Err(Failure::error(format!(
                "the answer has {} bytes, and {SUBJECT_ACCESS_BYTES_MAX} at most are checked: take the reads from `tally access-log`",
                bytes.len()
            )));
        }
        write_private(&self.output, &bytes)?;
        if export.is_bare() {
            warn_of_nothing(&export.subject);
        }
        export.tell(&self.output.display().to_string(), bytes.len(), self.signing.json)
    }

    /// Where the values stand that holders keep about the subject, and those that are not in their record any more. The subject's own record
    /// is among them, if the organisation keeps its register.
    fn places(
        &self,
        client: &Client,
        holders: &[(Client, PrincipalId)],
        organisation: &str,
    ) -> Result<(Places, Vec<HeldView>), Failure> {
        let (mut places, mut earlier, mut seen) = (Places::new(), Vec::new(), BTreeSet::new());
        let (register, key) = (self.subject.register(), self.subject.key());
        let is_own = client.register(register)?.is_some_and(|found| found.value.custodian == organisation);
        if is_own && client.record(register, key)?.is_some() {
            places.entry((register.to_owned(), key.to_owned())).or_default();
        }
        for (at, (holder, _)) in holders.iter().enumerate() {
            for value in holder.held(&self.subject)?.values {
                // One that several keep is read once.
                if !seen.insert((value.register.clone(), value.key.clone(), value.field.clone(), value.commitment)) {
                    continue;
                }
                if value.current {
                    let fields = places.entry((value.register, value.key)).or_default();
                    fields.entry(at).or_default().insert(value.field);
                } else {
                    earlier.push(value);
                }
            }
        }
        Ok((places, earlier))
    }

    /// The records, and the leaf of the last read of one.
    fn records(
        &self,
        reader: &Reader<'_>,
        holders: &[(Client, PrincipalId)],
        genesis: &Genesis,
        places: Places,
    ) -> Result<(Vec<HeldRecord>, Option<u64>), Failure> {
        let bar = progress(places.len() as u64, "reading records, each on record");
        let (mut records, mut last) = (Vec::with_capacity(places.len()), None);
        let to = Recipient::data_subject();
        for ((register, key), kept) in places {
            let mut openings = Vec::new();
            for (at, fields) in kept {
                let fields: Vec<String> = fields.into_iter().collect();
                let holder = holders.get(at);
                let wanted = Wanted {
                    register: &register,
                    key: &key,
                    fields: &fields,
                    recipient: Some(&to),
                    beside: Beside::Nothing,
                    holder,
                };
                let reading = reading::read(reader, &wanted, &self.reason())?;
                last = last.max(Some(reading.leaf));
                openings.extend(reading.openings);
            }
            // Another's values in the same record are not theirs to have.
            openings.retain(|opening| *opening.place().subject() == self.subject);
            records.push(record(reader.client, genesis, (register, key), openings)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok((records, last))
    }

    fn reason(&self) -> Reason {
        Reason { purpose: Some(self.purpose.clone()), legal_basis: Some(self.legal_basis.clone()) }
    }

    /// All reads about them, with the one of this leaf. Another node than the one that took it may answer, and be a block behind.
    fn access_log(&self, client: &Client, last: Option<u64>) -> Result<AccessLogPage, Failure> {
        let subject = self.subject.to_string();
        let asked = [("subject", subject.as_str())];
        let page = ask_again(ASKED, || {
            let page = Paging::everything()
                .whole(AUDIT_PAGE_MAX, |query| Ok(client.access_log(&[&asked, query].concat())?))?;
            Ok(last.is_none_or(|last| page.reads.iter().any(|read| read.leaf >= last)).then_some(page))
        })?;
        page.ok_or_else(|| {
            Failure::error(
                "the node does not know of the reads yet that are on record since just now: ask another, with --node",
            )
        })
    }

    fn erasures(&self, client: &Client, organisation: &str) -> Result<Vec<ErasureView>, Failure> {
        let asked = [("controller", organisation)];
        let page = |query: &[(&str, &str)]| Ok(client.erasures(&[&asked, query].concat())?.value);
        let mut found = Paging::everything().whole(ERASURES_PAGE_MAX, page)?.erasures;
        found.retain(|order| order.subject == self.subject);
        Ok(found)
    }

    fn holds(&self, client: &Client, organisation: &str) -> Result<Vec<HoldView>, Failure> {
        let asked = [("controller", organisation)];
        let page = |query: &[(&str, &str)]| Ok(client.holds(&[&asked, query].concat())?.value);
        let mut found = Paging::everything().whole(ERASURES_PAGE_MAX, page)?.holds;
        found.retain(|hold| hold.subject == self.subject);
        Ok(found)
    }
}

/// A record as it is now, with its proof.
fn record(
    client: &Client,
    genesis: &Genesis,
    (register, key): (String, String),
    openings: Vec<Opening>,
) -> Result<HeldRecord, Failure> {
    let bytes = client.record_receipt(&register, &key)?;
    let Ok(Receipt::Record(record)) = Receipt::decode(&bytes) else {
        return Err(Failure::error("the node gave no receipt of the record: ask another one, with --node"));
    };
    let is_shown = !openings.is_empty();
    let receipt = if is_shown { Receipt::Disclosure(Disclosure { record, openings }) } else { Receipt::Record(record) };
    let proven = receipt.check(genesis).map_err(|error| {
        Failure::no(format!("record `{register}/{key}` changed while it was read ({error}): run this again"))
    })?;
    let items = items_of(&proven).unwrap_or_default();
    Ok(HeldRecord { register, key, items, proof: BASE64_STANDARD.encode(receipt.to_bytes()) })
}

/// Everybody who read, each with a receipt.
fn proven_reads(client: &Client, log: AccessLogPage) -> Result<Vec<ProvenRead>, Failure> {
    let bar = progress(log.reads.len() as u64, "fetching the receipts of reads");
    let proven = log.reads.into_iter().map(|read| {
        bar.inc(1);
        let proof = BASE64_STANDARD.encode(client.transaction_receipt(&read.id)?);
        Ok(ProvenRead { read, proof })
    });
    let proven = proven.collect();
    bar.finish_and_clear();
    proven
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

/// Items as JSON.
fn text_items(items: &[String]) -> Vec<Value> {
    items.iter().filter_map(|item| serde_json::from_str(item).ok()).collect()
}

fn receipt_of(proof: &str, genesis: &Genesis) -> Result<(Receipt, Proven), String> {
    let bytes = BASE64_STANDARD.decode(proof).map_err(|error| format!("its proof is no base64: {error}"))?;
    let receipt = Receipt::decode(&bytes).map_err(|error| format!("its proof is no receipt: {error}"))?;
    let proven = receipt.check(genesis).map_err(|error| format!("its proof does not hold: {error}"))?;
    Ok((receipt, proven))
}

impl Export {
    /// The height of the newest proof in it, if all of it is as they say.
    ///
    /// # Errors
    /// Names the record or read of which it is not.
    fn check(&self, genesis: &Genesis) -> Result<u64, Failure> {
        let refused =
            |what: String, why: String| Failure::no(format!("does not hold: {}: {}", Shown(&what), Shown(&why)));
        if self.format != FORMAT {
            return Err(refused("its form".to_owned(), format!("this is no `{FORMAT}` but a `{}`", self.format)));
        }
        if self.network != genesis.id() {
            let why = format!("it is of network {}, not of {}", self.network, genesis.id());
            return Err(refused("its network".to_owned(), why));
        }
        let mut newest = self.height;
        for record in &self.records {
            let height = self.check_record(record, genesis);
            let of = || format!("record {}/{}", record.register, record.key);
            newest = newest.max(height.map_err(|why| refused(of(), why))?);
        }
        for read in &self.reads {
            let height = check_read(&self.subject, read, genesis);
            newest = newest.max(height.map_err(|why| refused(format!("read {}", read.read.id), why))?);
        }
        for shared in &self.partitions {
            let height = shared.check(&self.subject, genesis);
            newest = newest.max(height.map_err(|why| refused(format!("partition {}", shared.name()), why))?);
        }
        Ok(newest)
    }

    fn check_record(&self, record: &HeldRecord, genesis: &Genesis) -> Result<u64, String> {
        let (_, proven) = receipt_of(&record.proof, genesis)?;
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
            _ => Ok(proven.height),
        }
    }

    /// Whether nothing is about the subject, as far as all were asked.
    fn is_bare(&self) -> bool {
        let is_kept = !self.records.is_empty() || !self.earlier.is_empty() || !self.reads.is_empty();
        let is_ordered = !self.erasures.is_empty() || !self.holds.is_empty();
        !is_kept && !is_ordered && self.not_asked.is_empty() && self.partitions.iter().all(Shared::is_bare)
    }

    /// What was gathered, and where it is.
    fn tell(&self, out: &str, bytes: usize, as_json: bool) -> Done {
        if as_json {
            return json(&serde_json::json!({
                "file": out, "bytes": bytes, "records": self.records.len(), "reads": self.reads.len(), "not_asked": self.not_asked,
                "partitions": self.partitions.iter().map(Shared::counted).collect::<Vec<_>>(),
            }));
        }
        self.summary()?;
        line(format_args!(
            "wrote {out} ({bytes} bytes): personal data in the clear. Whoever has network.json checks it with: tally verify {out}"
        ))
    }

    /// What it holds, in a few lines.
    ///
    /// # Errors
    /// When nobody reads any more.
    fn summary(&self) -> Done {
        let organisation = Shown(&self.organisation);
        line(format_args!("{} {}, as held by {organisation}", paint(Colour::Bold, "about"), self.subject))?;
        for node in &self.not_asked {
            line(format_args!("{} {node} holds too: name it with --node", paint(Colour::Yellow, "not asked ")))?;
        }
        if self.records.is_empty() {
            line("record     none")?;
        }
        for HeldRecord { register, key, items, .. } in &self.records {
            let fields = items.iter().filter_map(Value::as_object).flat_map(|item| item.keys());
            let fields: Vec<&str> = fields.map(String::as_str).collect();
            line(Shown(&format!("record     {register}/{key}: {}", fields.join(", "))))?;
        }
        for HeldView { register, key, field, .. } in &self.earlier {
            let value = format!("{register}/{key}: {field}");
            line(format_args!("earlier    {}, replaced since, kept until it is erased", Shown(&value)))?;
        }
        line(format_args!(
            "reads      {}, complete to block {} of {}",
            count(self.reads.len() as u64, "read", "reads"),
            self.height,
            time(self.time_ms)
        ))?;
        line(format_args!("orders     {}", shared::orders(&self.erasures, &self.holds)))?;
        self.partitions.iter().try_for_each(Shared::summary)
    }
}

/// Who made it, and what is their word alone.
fn tell_rest(by: &SignedBy) -> Done {
    maker::tell(by)?;
    let rest = "the rest is the word of who made it: that nothing was left out, the blocks it is complete to, what an earlier entry had, \
                consents, orders, holds, and of partitions the agreement's words, who wrote and who read";
    line(paint(Colour::Dim, rest))
}

/// A read is what its transaction and what became of that say, but for the consents it stood on: these are rows of their own.
fn check_read(subject: &Subject, told: &ProvenRead, genesis: &Genesis) -> Result<u64, String> {
    let (Receipt::Transaction(receipt), proven) = receipt_of(&told.proof, genesis)? else {
        return Err("its proof is not of a transaction".to_owned());
    };
    let TransactionReceipt { transaction, height, time_ms, outcome, index, .. } = receipt;
    let transaction =
        SignedTransaction::decode(transaction).map_err(|error| format!("its proof holds no transaction: {error}"))?;
    let place = ReadPlace { leaf: index, height, time_ms, outcome: &outcome };
    let read = ReadView { consents: Vec::new(), ..told.read.clone() };
    if ReadView::of(Some(subject), place, &transaction).contains(&read) {
        Ok(proven.height)
    } else {
        Err("its proof says something else".to_owned())
    }
}

/// Checks such a file, and says what it holds. None if these bytes are no JSON.
///
/// # Errors
/// When it does not hold, or is not whole.
pub fn verify(bytes: &[u8], genesis: &Genesis, as_json: bool) -> Option<Done> {
    if !is_like_answer(bytes) {
        return None;
    }
    let answer = Answer::read(bytes).and_then(|answer| answer.check(genesis).map(|by| (answer.export, by)));
    Some(match answer {
        Ok((export, by)) if as_json => json(&serde_json::json!({
            "holds": true, "subject": export.subject, "organisation": export.organisation, "records": export.records.len(),
            "reads": export.reads.len(), "height": export.height, "signed_by": by.principal,
            "partitions": export.partitions.iter().map(Shared::counted).collect::<Vec<_>>(),
        })),
        Ok((export, by)) => {
            let told = format!("{} every record and every read in it is proven", paint(Colour::Green, "holds:"));
            let told = if export.partitions.is_empty() { told } else { told + ", but for reads in partitions" };
            line(told).and_then(|()| export.summary()).and_then(|()| tell_rest(&by))
        }
        Err(Failure::No(why)) if as_json => {
            json(&serde_json::json!({"holds": false, "reason": why.to_string()})).and(Err(Failure::Said))
        }
        Err(failure) => Err(failure),
    })
}

/// Whether it is JSON that says that it is such a file, whole or not.
fn is_like_answer(bytes: &[u8]) -> bool {
    let says = || bytes.windows(FORMATS.len()).any(|window| window == FORMATS.as_bytes());
    bytes.trim_ascii_start().starts_with(b"{") && says()
}
