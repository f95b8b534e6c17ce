//! What is in a partition about somebody: gathered by an organisation that is a member, from a node of its own.
//!
//! ```text
//! what was written about them ─ a signed question ─▶ records as they are now ─ each a disclosure, on record ─▶ record and proof
//!                                                 └▶ earlier entries: that they were, and who wrote them
//! ```
//!
//! INVARIANTS:
//! - A partition of which the organisation is no member is not asked about, anywhere.
//! - A record that stands here is proven to be in the partition, and to be the person's own or to name them.
//! - What was found and is not given is named, with the reason.

use super::{receipt_of, text_items};
use crate::{
    output::{Colour, Done, Failure, count, line, paint, progress},
    paging::Paging,
    partition::stall,
    reading::{self, Beside, Reason, Wanted},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tallystick_api::{
    ActOutcome, ErasureView, FieldView, HoldView, OutcomeView, PartitionView, PrivateEntryView, PrivateErasures,
    PrivateHeld, PrivateHolds, PrivateReadsAsked, PrivateResult, ReadView, RegisterView,
    limits::{AUDIT_PAGE_MAX, ERASURES_PAGE_MAX},
};
use tallystick_client::{Client, Error, Signer};
use tallystick_protocol::{
    Code, Genesis, Hash, PrincipalId, Protection, Receipt, Recipient, Subject,
    change::words::Shown,
    limits::DISCLOSURE_ATTEMPTS_MAX,
    receipt::{Claim, SharedRecord},
};

/// What is in one partition.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shared {
    partition: String,
    /// Who shares it, what for, and by which power: of the agreement.
    members: Vec<String>,
    purpose: String,
    legal_basis: String,
    /// The node that was asked; every member's has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<PrincipalId>,
    /// Why none was, or none answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_asked: Option<String>,
    /// Entries are complete to this block.
    height: u64,
    records: Vec<GivenRecord>,
    not_given: Vec<NotGiven>,
    /// All that was written about them, the latest first.
    entries: Vec<PrivateEntryView>,
    /// Numbers of private transactions that the node cannot read any more.
    unread: Vec<u64>,
    /// The reads of these records are complete to this block.
    reads_height: u64,
    reads: Vec<ReadView>,
    /// Why the reads are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reads_untold: Option<String>,
    /// Orders of erasure about them, of whichever member's registers; and holds.
    #[serde(default)]
    erasures: Vec<ErasureView>,
    #[serde(default)]
    holds: Vec<HoldView>,
    /// Why these are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    orders_untold: Option<String>,
}

/// A record of a partition.
#[derive(Debug, Serialize, Deserialize)]
struct GivenRecord {
    register: String,
    key: String,
    /// The fields in which it names the person; none of their own record.
    named_in: Vec<String>,
    items: Vec<Value>,
    /// The private transaction that gave it.
    read: Hash,
    /// The disclosure out of the partition, in base64.
    proof: String,
}

/// A record of a partition that was found and is not given.
#[derive(Debug, Serialize, Deserialize)]
struct NotGiven {
    register: String,
    key: String,
    named_in: Vec<String>,
    reason: String,
}

/// Who gathers, of whom, and why.
pub struct Gathering<'a> {
    /// Tells which partitions there are.
    pub client: &'a Client,
    /// The organisation's own nodes.
    pub holders: &'a [(Client, PrincipalId)],
    /// What proofs are checked against.
    pub genesis: &'a Genesis,
    /// About whom.
    pub subject: &'a Subject,
    /// Records that are not given.
    pub withheld: &'a [Subject],
    /// What for, and by which power.
    pub reason: Reason,
    /// How long to wait for each read.
    pub patience: Duration,
}

/// A record about the person: its register and key, and the fields in which it names them.
type Found = BTreeMap<(String, String), Vec<String>>;

impl Gathering<'_> {
    /// What is in every partition of which the signer's organisation is a member.
    ///
    /// # Errors
    /// When no node tells which partitions there are.
    pub fn whole(&self, mut signer: Signer) -> Result<Vec<Shared>, Failure> {
        let mut partitions = self.client.partitions()?.value.partitions;
        partitions.retain(|view| view.agreement.has_member(signer.principal().organisation()));
        let mut whole = Vec::with_capacity(partitions.len());
        for view in partitions {
            signer = signer.within(Some(view.agreement.partition.clone()));
            whole.push(self.one(&signer, view));
        }
        Ok(whole)
    }

    fn one(&self, signer: &Signer, view: PartitionView) -> Shared {
        let is_open = view.open;
        let mut shared = Shared::of(view);
        let Some((holder, held)) = self.ask(signer, &mut shared) else { return shared };
        let mut found = Found::new();
        for entry in held.entries.iter().filter(|entry| entry.current) {
            found.insert((entry.register.clone(), entry.key.clone()), entry.named_in.clone());
        }
        let bar = progress(found.len() as u64, "reading records of a partition, each on record");
        for ((register, key), named_in) in found {
            let is_withheld = self.withheld.iter().any(|one| (one.register(), one.key()) == (&*register, &*key));
            let place = (register.as_str(), key.as_str());
            let given = match (is_withheld, is_open) {
                (true, _) => Err("withheld: it may say something about somebody else".to_owned()),
                (_, false) => Err("no read can be put on record: the agreement has ended, or not begun".to_owned()),
                _ => self.record(signer, (holder, &shared), place, &named_in),
            };
            match given {
                Ok(record) => shared.records.push(record),
                Err(reason) => shared.not_given.push(NotGiven { register, key, named_in, reason }),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        shared.entries = held.entries;
        shared.unread = held.unread;
        shared.height = held.height;
        // What was read just now is on record too.
        self.reads(signer, &holder.0, &mut shared);
        self.orders(signer, &holder.0, &mut shared);
        shared
    }

    /// The first of the organisation's nodes that answers, and what it says was written.
    fn ask(&self, signer: &Signer, shared: &mut Shared) -> Option<(&(Client, PrincipalId), PrivateHeld)> {
        for holder in self.holders {
            match holder.0.partition_held(signer, &shared.partition, self.subject) {
                Ok(held) => {
                    if let Some(why) = stall(&holder.0, &shared.partition) {
                        shared.not_asked = Some(why);
                        continue;
                    }
                    shared.asked = Some(holder.1.clone());
                    shared.not_asked = None;
                    return Some((holder, held));
                }
                Err(error) => shared.not_asked = Some(why(&error)),
            }
        }
        None
    }

    /// A record, disclosed on record and proven; why not, else.
    fn record(
        &self,
        signer: &Signer,
        (holder, shared): (&(Client, PrincipalId), &Shared),
        (register, key): (&str, &str),
        named_in: &[String],
    ) -> Result<GivenRecord, String> {
        let definition =
            holder.0.partition_register(signer, &shared.partition, register).map_err(|error| why(&error))?;
        let definition = definition.ok_or("its register is not there any more")?.value;
        let (mut last, mut erased) = (String::new(), BTreeSet::new());
        for _ in 0..=DISCLOSURE_ATTEMPTS_MAX {
            let disclosed = self.disclose(signer, holder, (register, key, named_in), (&definition, &erased));
            let (read, bytes) = match disclosed {
                Ok(given) => given,
                Err(Lack::Erased(fields)) => {
                    erased.extend(fields);
                    continue;
                }
                // The partition went on before its members had certified the root; or an answer was lost.
                Err(Lack::Passing(reason)) => {
                    last = reason;
                    continue;
                }
                Err(Lack::SomeErased) => {
                    "some of it is erased".clone_into(&mut last);
                    continue;
                }
                Err(Lack::Lasting(reason)) => return Err(reason),
            };
            let mut record = GivenRecord {
                register: register.to_owned(),
                key: key.to_owned(),
                named_in: named_in.to_vec(),
                items: Vec::new(),
                read,
                proof: BASE64_STANDARD.encode(&bytes),
            };
            let (proven, _) = record.proven(&shared.partition, self.genesis)?;
            record.items = opened_items(&proven);
            record.require_about(self.subject).map_err(|_| "it changed meanwhile, and does not name them any more")?;
            return Ok(record);
        }
        Err(last)
    }

    /// The private transaction that discloses, and the file that it gave.
    fn disclose(
        &self,
        signer: &Signer,
        (holder, node): &(Client, PrincipalId),
        (register, key, named_in): (&str, &str, &[String]),
        (definition, erased): (&RegisterView, &BTreeSet<String>),
    ) -> Result<(Hash, Vec<u8>), Lack> {
        // Of what is sealed that alone is opened that is about them.
        let is_own = (register, key) == (self.subject.register(), self.subject.key());
        let sealed = definition.fields.iter().filter(|field| is_about(field, register, is_own, named_in));
        let fields: Vec<String> =
            sealed.map(|field| field.name.clone()).filter(|name| !erased.contains(name)).collect();
        let to = Recipient::data_subject();
        let wanted =
            Wanted { register, key, fields: &fields, recipient: Some(&to), beside: Beside::Clear, holder: None };
        let done = match self.submit(signer, (holder, node), &wanted, definition) {
            // Which is told to who reads it themselves.
            Err(Lack::SomeErased) => {
                let alone = Wanted { recipient: None, beside: Beside::Nothing, ..wanted };
                let read = self.submit(signer, (holder, node), &alone, definition)?;
                let erased = read.given.into_iter().flat_map(|given| given.erased).collect::<BTreeSet<String>>();
                return Err(if erased.is_empty() {
                    Lack::Passing("it changed meanwhile".to_owned())
                } else {
                    Lack::Erased(erased)
                });
            }
            done => done?,
        };
        let file = done.given.first().and_then(|given| given.disclosure.as_deref());
        let bytes = file.and_then(|file| hex::decode(file).ok());
        bytes.map(|bytes| (done.id, bytes)).ok_or_else(|| Lack::Lasting("the node gave no proof of it".to_owned()))
    }

    /// What became of a read about the person.
    fn submit(
        &self,
        signer: &Signer,
        (holder, node): (&Client, &PrincipalId),
        wanted: &Wanted<'_>,
        definition: &RegisterView,
    ) -> Result<PrivateResult, Lack> {
        let about = [self.subject.clone()].into();
        let transaction = reading::signed_in_partition(signer, (node, &about), wanted, definition, &self.reason)
            .map_err(|_| {
                Lack::Lasting("it has more fields than one read names, or the read cannot be signed".to_owned())
            })?;
        let done = holder.submit_private(&transaction, self.patience).map_err(|error| match error.code() {
            Some("unavailable" | "intent-repeated" | "read-known") => Lack::Passing(why(&error)),
            Some("value-erased") => Lack::SomeErased,
            _ => Lack::Lasting(why(&error)),
        })?;
        match &done.outcome {
            OutcomeView::Refused { code, .. } if code == Code::ValueErased.as_str() && !wanted.fields.is_empty() => {
                Err(Lack::Erased(wanted.fields.iter().cloned().collect()))
            }
            OutcomeView::Refused { code, advice, .. } => {
                Err(Lack::Lasting(format!("the read was refused, on record: {code}: {advice}")))
            }
            OutcomeView::Accepted { .. } => Ok(done),
        }
    }

    /// The reads of all records that were found, and of the person's own.
    fn reads(&self, signer: &Signer, holder: &Client, shared: &mut Shared) {
        let page = Paging::everything()
            .whole(AUDIT_PAGE_MAX, |query| Ok(holder.partition_reads(signer, &shared.partition, query)?));
        let own = Paging::everything().whole(AUDIT_PAGE_MAX, |query| {
            let (cursor, limit) = Paging::numbered(query);
            let asked = PrivateReadsAsked { subject: Some(self.subject.clone()), values: false, cursor, limit };
            Ok(holder.partition_reads_of(signer, &shared.partition, &asked)?)
        });
        let (Ok(mut page), Ok(own)) = (page, own) else {
            shared.reads_untold = Some("the node did not tell them".to_owned());
            return;
        };
        let mut places: BTreeSet<(&str, &str)> =
            shared.entries.iter().map(|entry| (entry.register.as_str(), entry.key.as_str())).collect();
        places.insert((self.subject.register(), self.subject.key()));
        page.reads.retain(|read| places.contains(&(read.register.as_str(), read.key.as_str())));
        // What others have consented to is not this one's to know.
        let own: BTreeSet<&str> =
            own.reads.iter().flat_map(|read| &read.consents).map(|one| one.consent.as_str()).collect();
        for read in &mut page.reads {
            read.consents.retain(|one| own.contains(one.consent.as_str()));
        }
        shared.unread.extend(page.unread);
        shared.unread.sort_unstable();
        shared.unread.dedup();
        shared.reads = page.reads;
        shared.reads_height = page.height;
    }

    /// The orders of erasure about the person, and the holds.
    fn orders(&self, signer: &Signer, holder: &Client, shared: &mut Shared) {
        let erasures = Paging::everything().whole(ERASURES_PAGE_MAX, |query| {
            let (cursor, limit) = Paging::numbered(query);
            let asked = PrivateErasures { cursor, limit, ..PrivateErasures::default() };
            Ok(holder.partition_erasures(signer, &shared.partition, &asked)?.value)
        });
        let holds = Paging::everything().whole(ERASURES_PAGE_MAX, |query| {
            let (cursor, limit) = Paging::numbered(query);
            let asked = PrivateHolds { cursor, limit, ..PrivateHolds::default() };
            Ok(holder.partition_holds(signer, &shared.partition, &asked)?.value)
        });
        let (Ok(mut erasures), Ok(mut holds)) = (erasures, holds) else {
            shared.orders_untold = Some("the node did not tell them".to_owned());
            return;
        };
        erasures.erasures.retain(|order| order.subject == *self.subject);
        holds.holds.retain(|hold| hold.subject == *self.subject);
        (shared.erasures, shared.holds) = (erasures.erasures, holds.holds);
    }
}

/// Whether what is sealed in a field is about the person: in their own record, or by a field that names them.
fn is_about(field: &FieldView, register: &str, is_own: bool, named_in: &[String]) -> bool {
    match &field.protection {
        None => false,
        Some(Protection::Restricted) => is_own,
        Some(Protection::Personal { subject, .. }) if subject == register => is_own,
        Some(Protection::Personal { subject, .. }) => named_in.contains(subject),
    }
}

/// The items of a record that was disclosed, with what was sealed and is shown.
fn opened_items(proven: &SharedRecord) -> Vec<Value> {
    let mut items = text_items(&proven.items);
    items.iter_mut().for_each(|item| reading::open(item, &proven.openings));
    items
}

/// Why a record is not given: for now, or however often it is asked for.
enum Lack {
    Passing(String),
    Lasting(String),
    /// What is sealed about them in these fields is erased: the rest can be asked for.
    Erased(BTreeSet<String>),
    /// In some of the fields.
    SomeErased,
}

/// What a node said, without its address: the file is given away.
fn why(error: &Error) -> String {
    match error {
        Error::Problem { problem, .. } => format!("{}: {}", problem.code, problem.detail),
        _ => "no node of the organisation answered".to_owned(),
    }
}

impl GivenRecord {
    /// What its proof says, if that is of this record of this partition, and the proof's height.
    fn proven(&self, partition: &str, genesis: &Genesis) -> Result<(SharedRecord, u64), String> {
        let (Receipt::Partition(_), proven) = receipt_of(&self.proof, genesis)? else {
            return Err("its proof is not of a record in a partition".to_owned());
        };
        match proven.claim {
            Claim::Shared(shared)
                if shared.partition == partition
                    && (&shared.record.register, &shared.record.key) == (&self.register, &self.key) =>
            {
                Ok((*shared, proven.height))
            }
            _ => Err("its proof is of another record".to_owned()),
        }
    }

    /// Goes on if it is the person's own record, or names them where it says.
    fn require_about(&self, subject: &Subject) -> Result<(), String> {
        let curie = subject.to_string();
        let is_them = |text: &str| text == subject.key() || text == curie;
        let names = |field: &String| {
            self.items.iter().filter_map(|item| item.get(field)).any(|value| match value {
                Value::String(text) => is_them(text),
                Value::Array(values) => values.iter().filter_map(Value::as_str).any(is_them),
                _ => false,
            })
        };
        let is_own = (self.register.as_str(), self.key.as_str()) == (subject.register(), subject.key());
        let is_about = if self.named_in.is_empty() { is_own } else { self.named_in.iter().all(names) };
        if is_about { Ok(()) } else { Err("it is about somebody else".to_owned()) }
    }
}

impl Shared {
    /// Whether nothing in it is about the subject, which was asked.
    pub fn is_bare(&self) -> bool {
        let is_written = !self.records.is_empty() || !self.not_given.is_empty() || !self.entries.is_empty();
        let is_ordered = !self.erasures.is_empty() || !self.holds.is_empty();
        let is_told = self.not_asked.is_none() && self.reads_untold.is_none() && self.orders_untold.is_none();
        !is_written && !is_ordered && self.reads.is_empty() && self.unread.is_empty() && is_told
    }

    /// Nothing yet, of a partition under this agreement.
    fn of(view: PartitionView) -> Self {
        let terms = view.agreement;
        Self {
            partition: terms.partition,
            members: terms.members,
            purpose: terms.purpose,
            legal_basis: terms.legal_basis,
            asked: None,
            not_asked: Some("the organisation has no node that holds".to_owned()),
            height: 0,
            records: Vec::new(),
            not_given: Vec::new(),
            entries: Vec::new(),
            unread: Vec::new(),
            reads_height: 0,
            reads: Vec::new(),
            reads_untold: None,
            erasures: Vec::new(),
            holds: Vec::new(),
            orders_untold: None,
        }
    }

    /// The partition.
    pub fn name(&self) -> &str {
        &self.partition
    }

    /// Whether a record is among those that are not given.
    pub fn withholds(&self, record: &Subject) -> bool {
        self.not_given.iter().any(|one| (&*one.register, &*one.key) == (record.register(), record.key()))
    }

    /// The height of the newest proof in it, if each record is what its proof says, about this person, and given by a read that is among the
    /// reads.
    ///
    /// # Errors
    /// Names the record of which it is not.
    pub fn check(&self, subject: &Subject, genesis: &Genesis) -> Result<u64, String> {
        let mut newest = self.height.max(self.reads_height);
        for record in &self.records {
            let height = self.check_record(record, subject, genesis);
            let height = height.map_err(|why| format!("record {}/{}: {why}", record.register, record.key))?;
            newest = newest.max(height);
        }
        Ok(newest)
    }

    fn check_record(&self, record: &GivenRecord, subject: &Subject, genesis: &Genesis) -> Result<u64, String> {
        let (proven, height) = record.proven(&self.partition, genesis)?;
        if opened_items(&proven) != record.items {
            return Err("it says something else than its proof".to_owned());
        }
        record.require_about(subject)?;
        let gave = |read: &ReadView| {
            (read.id, read.outcome) == (record.read, ActOutcome::Accepted)
                && (&read.register, &read.key) == (&record.register, &record.key)
        };
        if self.reads_untold.is_none() && !self.reads.iter().any(gave) {
            return Err("the read that gave it is not among the reads".to_owned());
        }
        Ok(height)
    }

    /// How much there is, by number.
    pub fn counted(&self) -> Value {
        serde_json::json!({
            "partition": self.partition, "records": self.records.len(), "not_given": self.not_given.len(), "entries": self.entries.len(),
            "reads": self.reads.len(), "erasures": self.erasures.len(), "holds": self.holds.len(), "not_asked": self.not_asked,
        })
    }

    /// What it holds, in a few lines.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn summary(&self) -> Done {
        let what = format!("{}, which {} share: {}", self.partition, self.members.join(", "), self.purpose);
        line(format_args!("{}  {}", paint(Colour::Bold, "partition"), Shown(&what)))?;
        if let Some(reason) = &self.not_asked {
            return line(format_args!("  {} {}", paint(Colour::Yellow, "not asked "), Shown(reason)));
        }
        for GivenRecord { register, key, named_in, items, .. } in &self.records {
            let fields = items.iter().filter_map(Value::as_object).flat_map(|item| item.keys());
            let fields: Vec<&str> = fields.map(String::as_str).collect();
            let what = format!("{register}/{key}: {}{}", fields.join(", "), naming(named_in));
            line(format_args!("  record     {}", Shown(&what)))?;
        }
        if self.records.is_empty() && self.not_given.is_empty() {
            line("  record     none")?;
        }
        for NotGiven { register, key, named_in, reason } in &self.not_given {
            let what = format!("{register}/{key}{}: {reason}", naming(named_in));
            line(format_args!("  {} {}", paint(Colour::Yellow, "not given "), Shown(&what)))?;
        }
        if !self.unread.is_empty() {
            let many = count(self.unread.len() as u64, "private transaction", "private transactions");
            line(format_args!("  {} {many} that the node cannot read any more", paint(Colour::Yellow, "unread    ")))?;
        }
        let earlier = self.entries.iter().filter(|entry| !entry.current).count();
        let entries = count(self.entries.len() as u64, "entry", "entries");
        line(format_args!(
            "  entries    {entries}, {earlier} of them replaced since, complete to block {}",
            self.height
        ))?;
        match &self.reads_untold {
            Some(reason) => line(format_args!("  {} {}", paint(Colour::Yellow, "no reads  "), Shown(reason))),
            None => {
                let reads = count(self.reads.len() as u64, "read", "reads");
                line(format_args!("  reads      {reads}, complete to block {}", self.reads_height))
            }
        }?;
        match &self.orders_untold {
            Some(reason) => line(format_args!("  {} {}", paint(Colour::Yellow, "no orders "), Shown(reason))),
            None => line(format_args!("  orders     {}", orders(&self.erasures, &self.holds))),
        }
    }
}

/// How many orders of erasure there are, and how many holds.
pub fn orders(erasures: &[ErasureView], holds: &[HoldView]) -> String {
    let orders = count(erasures.len() as u64, "order of erasure", "orders of erasure");
    format!("{orders}, {}", count(holds.len() as u64, "legal hold", "legal holds"))
}

fn naming(fields: &[String]) -> String {
    if fields.is_empty() { String::new() } else { format!("; names them in {}", fields.join(", ")) }
}
