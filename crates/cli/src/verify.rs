//! `tally verify`: what a receipt proves, in plain words, without the network.

use crate::{
    connection::Connection,
    erasure::{late, nobody_left, not_asked},
    output::{Colour, Doing, Done, Failure, count, json, line, paint, say, time},
    record::{moment, shown},
    subject_access,
};
use clap::Args;
use serde_json::Value;
use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use tallystick_api::{CosignerView, OutcomeView};
use tallystick_protocol::{
    Attested, CertifiedRoot, Cosigner, Destroyed, ErasureRow, ErasureScope, FieldsRow, Genesis, Hash, Holder, Opening,
    Operation, Poll, PrincipalRow, ProposalRow, ProposalStatus, Recipient, RecordRow, ShownField, SignedBy,
    TransferPath,
    change::words::Shown,
    limits::SUBJECT_ACCESS_BYTES_MAX,
    receipt::{Answer, CheckError, Claim, Proven, Receipt, Recovered, SharedErasure, SharedFields, SharedRecord, Step},
};

/// Check receipts without the network, and say what they prove
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is asked of anybody: the receipt and the trust anchor are enough. Get network.json from somebody \
    you trust, not from whoever gave you the receipt.\n\n\
    Exit codes: 0 all hold; 1 one does not, and which step failed is said; 2 a file cannot be read.\n\n\
    Examples:\n  \
    tally verify gb.receipt --network network.json\n  \
    tally verify gb.receipt                         with the trust anchor of the profile\n  \
    tally verify gb.receipt --json                  for a program"
)]
pub struct Verify {
    /// The receipts
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What JSON is that is no answer to a request for access.
const UNKNOWN: &str = "no file that `tally verify` knows: it checks receipts, disclosures, attestations, certificates of erasure, and answers \
                       to requests for access";

impl Verify {
    /// Runs the command.
    pub fn run(self) -> Done {
        let genesis = self.connection.genesis()?;
        let mut done = Ok(());
        for (place, file) in self.files.iter().enumerate() {
            if place > 0 && !self.json {
                line("")?;
            }
            match self.check(file, &genesis) {
                Ok(()) => {}
                // The others may hold.
                Err(Failure::No(why)) if self.files.len() > 1 => {
                    say(why);
                    done = Err(Failure::Said);
                }
                Err(Failure::Said) => done = Err(Failure::Said),
                Err(failure) => return Err(failure),
            }
        }
        done
    }

    fn check(&self, file: &Path, genesis: &Genesis) -> Done {
        let bytes = read(file)?;
        let name = file.display();
        if let Some(done) = subject_access::verify(&bytes, genesis, self.json) {
            return done;
        }
        let receipt = match Receipt::decode(&bytes) {
            Ok(receipt) => receipt,
            Err(error) => {
                let (reason, told) = match is_json(&bytes) {
                    true => (UNKNOWN.to_owned(), format!("`{name}` is {UNKNOWN}")),
                    false => (error.to_string(), format!("`{name}` is no receipt, or was altered: {error}")),
                };
                if !self.json {
                    return Err(Failure::no(told));
                }
                json(&serde_json::json!({"holds": false, "failed": "format", "reason": reason}))?;
                return Err(Failure::Said);
            }
        };
        match receipt.check(genesis) {
            Ok(proven) if self.json => json(&proven_json(&proven, &signers(&proven, genesis))),
            Ok(proven) => show(&proven, genesis, &signers(&proven, genesis), receipt.steps()),
            Err(error) if self.json => {
                let (step, reason) = (error.step.as_str(), error.reason.to_string());
                json(&serde_json::json!({"holds": false, "failed": step, "reason": reason}))?;
                Err(Failure::Said)
            }
            Err(error) => refuse(file, &error),
        }
    }
}

/// Whether it may be JSON. No receipt begins so.
fn is_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first().is_some_and(|first| b"{[".contains(first))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(SUBJECT_ACCESS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .doing(|| format!("cannot read `{}`", path.display()))?;
    Ok(bytes)
}

/// The organisations whose validators signed, and the keys of those that `network.json` does not know.
fn signers(proven: &Proven, genesis: &Genesis) -> Vec<String> {
    let name = |key: &[u8; 32]| {
        let known = genesis.validators.iter().find(|validator| validator.key == *key);
        // One that joined later: `network.json` names its key's forerunners only.
        known.map_or_else(|| hex::encode(key), |validator| validator.organisation.clone())
    };
    let mut signers: Vec<String> = proven.signers.iter().map(name).collect();
    signers.sort();
    signers
}

fn refuse(path: &Path, error: &CheckError) -> Done {
    line(format_args!("{} {}", paint(Colour::Red, "does not hold:"), path.display()))?;
    for step in error.steps {
        // What somebody else wrote begins no line of its own.
        let (colour, stands) = match step.cmp(&error.step) {
            Ordering::Less => (Colour::Dim, "holds".to_owned()),
            Ordering::Equal => (Colour::Red, format!("FAILED: {}", Shown(&error.reason.to_string()))),
            Ordering::Greater => (Colour::Dim, "not reached".to_owned()),
        };
        line(format_args!("  {}", paint(colour, &format!("{step}: {stands}"))))?;
    }
    Err(Failure::Said)
}

/// Each step, in words that say what was found.
const fn found(step: Step) -> &'static str {
    match step {
        Step::Network => "it is of this network",
        Step::Headers => "its blocks are linked, each to the one before",
        Step::HandOvers => "each change of the validators was certified by those before",
        Step::Certificate => "a quorum of validators signed the last of them",
        Step::Transaction => "the transaction is signed by the keys it names",
        Step::Inclusion => "the transaction and its outcome are in the log of that block",
        Step::Row => "the record, the proposal, the order, or the principal, is the one that was asked for",
        Step::State => {
            "the record, its absence, the proposal, the order, or the principal, is in the state of that block"
        }
        Step::Partition => {
            "the record, or the order, is under the root of the partition on which more than half of its members agree"
        }
        Step::Items => "the content is what the record names",
        Step::Fields => "the fields shown are the record's, and no other values would fit",
        Step::Signer => "it is the answer of who signed it, with a key that was theirs when it was proven",
        Step::Openings => "the values shown are those that the record holds sealed, and no others would fit",
    }
}

fn show(proven: &Proven, genesis: &Genesis, signers: &[String], steps: &[Step]) -> Done {
    line(format_args!(
        "{} this receipt proves, to whoever trusts network \"{}\":",
        paint(Colour::Green, "holds:"),
        genesis.name
    ))?;
    line("")?;
    for text in claim_lines(proven) {
        // What somebody else wrote begins no line of its own.
        line(format_args!("  {}", Shown(&text)))?;
    }
    if let Claim::Transaction { outcome, id, .. } = &proven.claim {
        for text in crate::transaction::outcome_lines(&OutcomeView::from(outcome)) {
            line(format_args!("  {text}"))?;
        }
        line(format_args!("  id         {id}"))?;
    }
    line("")?;
    line(format_args!("  signed by {} of {} validators: {}", signers.len(), proven.validators, signers.join(", ")))?;
    if !proven.hand_overs.is_empty() {
        let epochs: Vec<String> = proven.hand_overs.iter().map(ToString::to_string).collect();
        line(format_args!("  the validators changed with epoch {}", epochs.join(", ")))?;
    }
    for Recovered { height, epoch, principals, reason, validators } in &proven.recoveries {
        let principals: Vec<String> = principals.iter().map(ToString::to_string).collect();
        let run: Vec<&str> = validators.iter().map(|validator| validator.organisation.as_str()).collect();
        line(format_args!("  the network was recovered after block {height}: it had lost its quorum for good"))?;
        line(format_args!("    because    {}", Shown(reason)))?;
        line(format_args!("    signed by  {}", principals.join(", ")))?;
        line(format_args!("    who named  the validators of {}, from epoch {epoch} on", run.join(", ")))?;
    }
    line(format_args!("  network {}", proven.network))?;
    line("")?;
    // Where nothing sealed is shown there was nothing to open.
    let is_told = |step: &&Step| **step != Step::Openings || !openings(&proven.claim).is_empty();
    for step in steps.iter().filter(is_told) {
        let found = match step {
            Step::HandOvers if !proven.recoveries.is_empty() => {
                "each change of the validators was certified by those before, or signed by the organisations"
            }
            step => found(*step),
        };
        line(format_args!("  {} {}", paint(Colour::Green, "✓"), paint(Colour::Dim, found)))?;
    }
    Ok(())
}

/// What opens the sealed values that it shows.
fn openings(claim: &Claim) -> &[Opening] {
    match claim {
        Claim::Disclosed { openings, .. } => openings,
        Claim::Shared(shared) => &shared.openings,
        Claim::SharedFields(shared) => &shared.openings,
        Claim::Attested(attested) => &attested.shared.openings,
        _ => &[],
    }
}

/// What it proves, but for what became of a transaction.
fn claim_lines(proven: &Proven) -> Vec<String> {
    let when = format!("block {} of {}", proven.height, time(proven.time_ms));
    match &proven.claim {
        Claim::Transaction { principal, key, mandate, cosigners, subject, operations, index, .. } => {
            let mut lines = vec![format!("who        {principal}"), format!("           with key {key}")];
            lines.extend(mandate.iter().map(|mandate| format!("           under mandate {mandate}")));
            for Cosigner { principal, key } in cosigners {
                lines.push(format!("co-signed  {principal}"));
                lines.push(format!("           with key {key}"));
            }
            lines.push(format!("what       {subject}"));
            lines.extend(operations.iter().map(|operation| format!("           {}", brief(operation))));
            lines.push(format!("when       {when}, leaf {index} of the log"));
            lines
        }
        Claim::Current { record, items } => record_lines(record, items, &[], &when),
        Claim::Disclosed { record, items, openings } => record_lines(record, items, openings, &when),
        Claim::Absent { register, key } => vec![
            format!(
                "what       register {} of {} holds no record under the key {key}",
                register.register, register.custodian
            ),
            format!("when       at {when}"),
        ],
        Claim::Proposal { proposal } => proposal_lines(proposal, &when),
        Claim::Erasure { order } => erasure_lines(order, (None, &when)),
        Claim::Shared(shared) => disclosed_lines(shared, &when),
        Claim::SharedFields(shared) => field_lines(shared, &when),
        Claim::SharedErasure(shared) => shared_erasure_lines(shared, &when),
        Claim::Principal { principal } => principal_lines(principal, proven.time_ms, &when),
        Claim::Attested(attested) => attested_lines(attested, &when),
        Claim::NoRegister { register } => {
            vec![format!("what       there is no register {register}"), format!("when       at {when}")]
        }
    }
}

/// Where a proposal stands, with which votes.
fn proposal_lines(proposal: &ProposalRow, when: &str) -> Vec<String> {
    let mut lines = vec![
        format!("what       proposal {} is {}: {}", proposal.id, proposal.status, proposal.title),
        format!(
            "           submitted by {} in block {}, leaf {} of the log, with {}",
            proposal.proposer,
            proposal.submitted_height,
            proposal.leaf,
            count(u64::from(proposal.changes), "change", "changes")
        ),
        format!("           its text has the SHA-256 {}", proposal.text),
    ];
    lines.extend(proposal.decided_height.map(|height| format!("decided    at block {height}")));
    for Poll { rule, votes, yes, no, abstain, .. } in &proposal.polls {
        let of = count(*votes, "vote", "votes");
        lines.push(format!(
            "poll       {}: {} of {of}: {yes} yes, {no} no, {abstain} abstained",
            rule.kind, rule.threshold
        ));
    }
    match (proposal.effect_height, &proposal.failure) {
        (Some(height), Some(failure)) => lines.push(format!(
            "effect     none: at block {height} change {} could not be made ({})",
            failure.change + 1,
            failure.code
        )),
        (Some(height), None) if proposal.status == ProposalStatus::Effective => {
            lines.push(format!("effect     from the beginning of block {height} on"));
        }
        (Some(height), None) => lines.push(format!("effect     stated for block {height}")),
        (None, _) => {}
    }
    lines.push(format!("when       it stood so at {when}"));
    lines
}

/// An order of erasure in a partition, by the word of its members.
fn shared_erasure_lines(shared: &SharedErasure, when: &str) -> Vec<String> {
    let SharedErasure { partition, certified, order } = shared;
    let mut lines = erasure_lines(order, (Some(partition), when));
    // The last line says when.
    lines.pop();
    lines.push(format!(
        "when       it stood so in block {}, by the root that more than half of the partition's members post",
        certified.height
    ));
    lines.push(format!("           that root was the latest they agree on at {when}"));
    lines
}

/// Whom an order of erasure is about, and who has destroyed.
fn erasure_lines(order: &ErasureRow, (partition, when): (Option<&str>, &str)) -> Vec<String> {
    let scope = match &order.scope {
        ErasureScope::All => "all of".to_owned(),
        ErasureScope::Values(values) => format!("{} of", count(values.len() as u64, "value named", "values named")),
    };
    let is = if order.is_complete() { "is complete" } else { "is NOT complete" };
    let (within, of) = match partition {
        Some(partition) => (format!(" of partition {partition}"), "private transaction"),
        None => (String::new(), "leaf"),
    };
    let log = if partition.is_some() { "" } else { " of the log" };
    let mut lines = vec![
        format!(
            "what       erasure order {}{within} {is}: {scope} {} under {}",
            order.order, order.subject, order.controller
        ),
        format!("           ordered by {} in block {}, {of} {}{log}", order.principal, order.height, order.leaf),
        format!("           for {}, by {}: {}", order.authority, order.legal_basis, order.reason),
    ];
    let mut destroyed = order.holders.iter().filter_map(|holder| holder.receipt.as_ref()).peekable();
    if destroyed.peek().is_some() && destroyed.all(|receipt| receipt.values == 0) {
        lines.push("           those who have destroyed counted no value of it".to_owned());
    }
    for Holder { node, receipt } in &order.holders {
        lines.push(match receipt {
            Some(Destroyed { values, leaf, height, time_ms }) => format!(
                "holder     {node} destroyed {} in block {height}, at {}, {of} {leaf}",
                count(u64::from(*values), "value", "values"),
                time(*time_ms)
            ),
            None if order.is_over() => {
                format!("holder     {node} has NOT said that it destroyed, and nothing goes to it any more")
            }
            None => format!("holder     {node} has NOT said that it destroyed"),
        });
    }
    lines.extend(order.unasked.iter().map(|unasked| format!("not asked  {}", not_asked(unasked))));
    match order.completed {
        Some(over) if !order.is_complete() => {
            let (height, time_ms) = (over.height, time(over.time_ms));
            let why = nobody_left(order.holders.iter().any(|holder| holder.receipt.is_some()));
            lines.push(format!("over       since block {height}, at {time_ms}: {why}"));
        }
        Some(completed) => {
            let late = late(completed.time_ms, order.deadline_ms);
            lines.push(format!("complete   since block {}, at {}{late}", completed.height, time(completed.time_ms)));
        }
        None => lines.push(format!("due        by {}", time(order.deadline_ms))),
    }
    lines.push(format!("when       it stood so at {when}"));
    lines
}

/// A record as it was at a height, with what is opened of the values sealed in it.
fn record_lines(record: &RecordRow, items: &[String], openings: &[Opening], when: &str) -> Vec<String> {
    let RecordRow { register, key, .. } = record;
    let mut lines = vec![format!("what       register {register} holds this record under the key {key}:")];
    lines.extend(items.iter().flat_map(|item| item_lines(item, openings)));
    lines.push(format!("           {} entry {} of {}", record.kind, record.number, moment(record.timestamp)));
    lines.extend(about_lines(openings));
    lines.push(format!("when       it was the current one at {when}"));
    lines.push(format!("since      block {}, leaf {} of the log", record.height, record.leaf));
    lines
}

/// Whom the values are about that are shown.
fn about_lines(openings: &[Opening]) -> Vec<String> {
    let subjects: BTreeSet<_> = openings.iter().map(|opening| opening.place().subject()).collect();
    let line = |subject| format!("about      {subject}: whoever holds this file answers for what it says of them");
    subjects.into_iter().map(line).collect()
}

/// Which keys a principal has.
fn principal_lines(principal: &PrincipalRow, now_ms: u64, when: &str) -> Vec<String> {
    let PrincipalRow { id, kind, roles, status, keys, .. } = principal;
    let mut lines = vec![format!("what       principal {id} ({kind}, {roles}) is {status}, and has these keys:")];
    lines.extend(keys.iter().map(|held| {
        let signs = if held.signs_at(now_ms) { "signs" } else { "does not sign, or not any more" };
        format!("             {}  {}, {signs}", held.key, held.assurance)
    }));
    lines.push(format!("when       it stood so at {when}"));
    lines
}

/// A yes or no that a principal gives.
fn attested_lines(attested: &Attested, when: &str) -> Vec<String> {
    let Attested { shared, answer, by } = attested;
    let SignedBy { principal, key, height, time_ms } = by;
    let mut lines =
        vec![format!("who        {principal} attests this, and signed it"), format!("           with key {key}")];
    lines.push(format!("           which was theirs in block {height} of {}", time(*time_ms)));
    lines.push(format!("answer     {}: {}", answer.question, answer.answer));
    lines.extend(shared_lines(shared, when));
    lines
}

/// A record of a partition; of an answer, that nobody signed it.
fn disclosed_lines(shared: &SharedRecord, when: &str) -> Vec<String> {
    let mut lines = shared_lines(shared, when);
    if let Some(Answer { by, .. }) = Answer::of(shared) {
        lines.push(format!(
            "signature  MISSING: it is an answer by {by}, who did not sign this file: ask for one that they signed"
        ));
    }
    lines
}

/// A record of a partition, by the word of its members.
fn shared_lines(shared: &SharedRecord, when: &str) -> Vec<String> {
    let SharedRecord { partition, certified, record, items, openings } = shared;
    let RecordRow { register, key, .. } = record;
    let mut lines =
        vec![format!("what       register {register} of partition {partition} holds this record under the key {key}:")];
    lines.extend(items.iter().flat_map(|item| item_lines(item, openings)));
    lines.push(format!("           {} entry {} of {}", record.kind, record.number, moment(record.timestamp)));
    lines.extend(about_lines(openings));
    lines.extend(certified_lines(certified, when));
    lines.push(format!("since      block {}, private transaction {} of the partition", record.height, record.leaf));
    lines
}

/// Fields of a record of a partition, by the word of its members.
fn field_lines(shared: &SharedFields, when: &str) -> Vec<String> {
    let SharedFields { partition, certified, row: FieldsRow { register, key, entry, count: all, .. }, .. } = shared;
    let mut lines = vec![format!(
        "what       register {register} of partition {partition} holds a record under the key {key} with these fields:"
    )];
    let width = shared.fields.iter().map(|field| field.leaf.field.chars().count()).max().unwrap_or(0);
    lines.extend(shared.fields.iter().map(|ShownField { leaf, .. }| {
        let value = opened(&leaf.field, &leaf.json().unwrap_or_default(), &shared.openings);
        let of = if leaf.item > 0 { format!(", of item {}", leaf.item + 1) } else { String::new() };
        format!("             {:<width$}  {}{of}", leaf.field, shown(&value))
    }));
    let hidden = all.saturating_sub(shared.fields.len() as u64);
    lines.push(match hidden {
        0 => "           they are all of its fields".to_owned(),
        _ => format!("           {} of the record: not in this file", count(hidden, "other field", "other fields")),
    });
    lines.push(format!("           user entry {entry}"));
    lines.extend(about_lines(&shared.openings));
    lines.extend(certified_lines(certified, when));
    lines
}

/// Since when the root is that a partition's members stand by.
fn certified_lines(certified: &CertifiedRoot, when: &str) -> [String; 2] {
    [
        format!(
            "when       it was the current one in block {}, by the root that more than half of the partition's members post",
            certified.height
        ),
        format!("           that root was the latest they agree on at {when}"),
    ]
}

fn item_lines(item: &str, openings: &[Opening]) -> Vec<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(item) else { return vec![format!("           {item}")] };
    let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let value = |(name, value): (&String, &Value)| {
        format!("             {name:<width$}  {}", shown(&opened(name, value, openings)))
    };
    fields.iter().map(value).collect()
}

/// A field's value, with what is opened of it in place of its commitments.
fn opened(field: &str, value: &Value, openings: &[Opening]) -> Value {
    match value {
        Value::String(text) => {
            let opening =
                openings.iter().find(|one| one.place().field() == field && one.commitment().to_string() == *text);
            opening.map_or_else(|| value.clone(), |opening| opening.value().reveal().into())
        }
        Value::Array(values) => values.iter().map(|value| opened(field, value, openings)).collect(),
        other => other.clone(),
    }
}

/// An operation in a line.
pub fn brief(operation: &Operation) -> String {
    match operation {
        Operation::RegisterCreate { register, fields, .. } => {
            format!("create register {register} with {}", count(fields.len() as u64, "field", "fields"))
        }
        Operation::RegisterPhase { register, phase, .. } => format!("move register {register} to phase {phase}"),
        Operation::EntryAppend { register, entries } => match entries.as_slice() {
            [entry] => format!("append to register {register} under the key {}: {}", entry.key, entry.items.join(" ")),
            entries => format!("append {} to register {register}", count(entries.len() as u64, "entry", "entries")),
        },
        Operation::RegisterImport { register, entries, .. } => {
            format!("import {} into register {register}", count(entries.len() as u64, "entry", "entries"))
        }
        Operation::PrincipalEnrol { name, kind, roles, key, assurance } => {
            format!("enrol {kind} {name} as {roles} with key {key}, assurance {assurance}")
        }
        Operation::OrganisationContact { contact: Some(contact) } => format!("reach the organisation by {contact}"),
        Operation::OrganisationContact { contact: None } => "take back how the organisation is reached".to_owned(),
        Operation::PrincipalAmend { principal, roles, assurance } => {
            let roles = roles.as_ref().map(|roles| format!(" to roles [{roles}]"));
            let key = assurance.map(|(key, level)| format!(" key {key} to assurance {level}"));
            format!("amend {principal}:{}", [roles, key].into_iter().flatten().collect::<Vec<_>>().join(","))
        }
        Operation::PrincipalStatus { principal, status, reason } => format!("{principal} becomes {status}: {reason}"),
        Operation::PrincipalRecover { principal, key, .. } => format!("recover {principal} with key {key}"),
        Operation::RecoverySet { administrators } => format!("recoveries take {administrators} administrators"),
        Operation::KeyAdd { principal, key, assurance } => {
            format!("add key {key} of {principal}, assurance {assurance}")
        }
        Operation::KeyRotate { principal, old, new, overlap } => {
            format!("replace key {old} of {principal} by {new}, with an overlap of {overlap} seconds")
        }
        Operation::MandateGrant { name, terms } => {
            let agents = terms.agents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (actions, things) = (terms.actions.join(", "), terms.resources.join(", "));
            format!("grant mandate {name} to {agents}: {actions} to {things}, for {}", terms.purpose)
        }
        Operation::MandateRevoke { mandate } => format!("revoke mandate {mandate}"),
        Operation::KeyRetire { principal, key } => format!("retire key {key} of {principal}"),
        Operation::AuthorityAdmit { certificate, .. } => {
            format!("admit the certificate authority {}", Hash::of(&[certificate]))
        }
        Operation::AuthorityRetire { authority } => format!("retire the certificate authority {authority}"),
        Operation::KeyCertify { principal, key, authority, .. } => {
            format!("certify key {key} of {principal} under the authority {authority}")
        }
        Operation::RevocationPost { list, authority, .. } => {
            format!("post a revocation list of {} bytes under the authority {authority}", list.len())
        }
        Operation::ProposalSubmit { proposal, title, changes, .. } => {
            let kinds: Vec<String> = changes.iter().map(|change| change.kind().to_string()).collect();
            format!("put proposal {proposal} to the vote: {title} ({})", kinds.join(", "))
        }
        Operation::ProposalWithdraw { proposal } => format!("withdraw proposal {proposal}"),
        Operation::BallotCast { proposal, choice } => format!("vote {choice} on proposal {proposal}"),
        Operation::ProposalObject { proposal, reason } => format!("object to proposal {proposal}: {reason}"),
        Operation::NodeRegister { node, jurisdiction, .. } => format!("register node {node}, law of {jurisdiction}"),
        Operation::NodeRetire { node, destroyed: false } => format!("retire node {node}"),
        Operation::NodeRetire { node, destroyed: true } => format!("retire node {node}, whose data is destroyed"),
        Operation::RegisterPolicy { register, change } => {
            let put = change.put.iter().map(|policy| format!(" put {},", policy.id));
            let changes: String = put.chain(change.remove.iter().map(|id| format!(" remove {id},"))).collect();
            format!("change the policies for {register}:{}", changes.trim_end_matches(','))
        }
        _ => brief_privacy(operation),
    }
}

/// What is erased, held and corrected, in a line.
fn brief_privacy(operation: &Operation) -> String {
    match operation {
        Operation::PrivateOrder { partition, parcels, .. } => ordered(partition, parcels.len()),
        Operation::TransferRefuse { partition, node, jurisdiction, path } => {
            let to = if *path == TransferPath::Backup { "the backup of " } else { "" };
            format!(
                "give {to}{node}, which stands in {jurisdiction}, nothing of partition {partition}; stopped on {path}"
            )
        }
        Operation::PartitionRoot { partition, height, .. } => {
            format!("post the root of partition {partition} at height {height}")
        }
        Operation::RecordRead { .. } => brief_read(operation),
        Operation::ErasureOrder { order, controller, subject, scope, deadline, .. } => {
            let what = match scope {
                ErasureScope::All => "all".to_owned(),
                ErasureScope::Values(values) => count(values.len() as u64, "value", "values"),
            };
            format!("erasure order {order}: {controller} destroys {what} of {subject} within {deadline} seconds")
        }
        Operation::ErasureReceipt { order, destroyed } => {
            format!("destroyed {} for erasure order {order}", count(u64::from(*destroyed), "value", "values"))
        }
        Operation::HoldPlace { hold, controller, subject, authority, .. } => {
            format!("hold {hold}: {controller} keeps what it has of {subject}, for {authority}")
        }
        Operation::ConsentGive { consent, controller, subject, terms, evidence } => {
            format!("consent {consent} of {subject} to {controller}, for {}: {evidence}", terms.purposes.join(", "))
        }
        Operation::ConsentWithdraw { consent, reason } => format!("withdraw consent {consent}: {reason}"),
        Operation::HoldLift { hold, reason } => format!("lift hold {hold}: {reason}"),
        Operation::RecordCorrect { register, corrects, entry, reason, .. } => {
            format!("correct entry {corrects} of register {register} under the key {}: {reason}", entry.key)
        }
        Operation::NoticeAcknowledge { register, corrects, reader, recipient, .. } => {
            let passed = recipient.as_ref().map_or_else(String::new, |recipient| format!(", and told {recipient}"));
            format!("{reader} knows that entry {corrects} of register {register} is corrected{passed}")
        }
        other => other.name().to_string(),
    }
}

fn ordered(partition: &str, parcels: usize) -> String {
    let count = count(parcels as u64, "private payload", "private payloads");
    format!("order {count} in partition {partition}")
}

fn place(to: &Recipient) -> String {
    to.jurisdiction.as_ref().map_or_else(String::new, |place| format!(" in {place}"))
}

fn brief_read(read: &Operation) -> String {
    let Operation::RecordRead { register, key, fields, purpose, legal_basis, recipient, .. } = read else {
        return String::new();
    };
    let to = recipient.as_ref().map_or_else(String::new, |to| format!(", for {}{}", to.name, place(to)));
    format!("read {} of {register}/{key}{to}: {purpose} ({legal_basis})", fields.join(", "))
}

fn proven_json(proven: &Proven, signers: &[String]) -> Value {
    let claim = match &proven.claim {
        Claim::Transaction { id, principal, key, mandate, cosigners, subject, operations, outcome, index } => {
            serde_json::json!({
                "kind": "transaction", "id": id, "principal": principal, "key": key, "mandate": mandate,
                "cosigners": cosigners.iter().map(CosignerView::from).collect::<Vec<_>>(),
                "subject": subject, "index": index,
                "operations": operations.iter().map(brief).collect::<Vec<_>>(), "outcome": OutcomeView::from(outcome),
            })
        }
        Claim::Current { record, items } => record_json("record", record, items, &[]),
        Claim::Disclosed { record, items, openings } => record_json("disclosure", record, items, openings),
        Claim::Absent { register, key } => serde_json::json!({
            "kind": "no-record", "register": register.register, "custodian": register.custodian, "key": key,
        }),
        Claim::Proposal { proposal } => serde_json::json!({
            "kind": "proposal", "id": proposal.id, "title": proposal.title, "proposer": proposal.proposer,
            "status": proposal.status, "text_hash": proposal.text, "changes": proposal.changes,
            "index": proposal.leaf, "submitted_height": proposal.submitted_height,
            "decided_height": proposal.decided_height, "effect_height": proposal.effect_height,
            "failure": proposal.failure.as_ref().map(|failure| serde_json::json!({"change": failure.change, "code": failure.code})),
            "polls": proposal.polls.iter().map(|poll| serde_json::json!({
                "kind": poll.rule.kind, "threshold": poll.rule.threshold, "votes": poll.votes,
                "yes": poll.yes, "no": poll.no, "abstain": poll.abstain,
            })).collect::<Vec<_>>(),
        }),
        Claim::Erasure { order } => erasure_json("erasure", order),
        Claim::SharedErasure(shared) => {
            let SharedErasure { partition, certified, order } = &**shared;
            let mut claim = erasure_json("partition-erasure", order);
            insert_certified(&mut claim, partition, certified);
            claim
        }
        Claim::Shared(shared) => {
            let mut claim = shared_json("partition-disclosure", shared);
            if let (Some(answer), Some(claim)) = (Answer::of(shared), claim.as_object_mut()) {
                claim.insert("answer_by".to_owned(), answer.by.to_string().into());
                claim.insert("signature".to_owned(), "missing".into());
            }
            claim
        }
        Claim::SharedFields(shared) => fields_json(shared),
        Claim::Principal { principal } => serde_json::json!({
            "kind": "principal", "principal": principal.id, "principal_kind": principal.kind, "roles": principal.roles,
            "status": principal.status,
            "keys": principal.keys.iter().map(|held| serde_json::json!({
                "key": held.key, "from_ms": held.from_ms, "retired_ms": held.retired_ms, "until_ms": held.until_ms,
                "assurance": held.assurance, "signs": held.signs_at(proven.time_ms),
            })).collect::<Vec<_>>(),
        }),
        Claim::Attested(attested) => attested_json(attested),
        Claim::NoRegister { register } => serde_json::json!({"kind": "no-register", "register": register}),
    };
    serde_json::json!({
        "holds": true, "network": proven.network, "height": proven.height, "time_ms": proven.time_ms,
        "signed": signers.len(), "validators": proven.validators, "signers": signers,
        "hand_overs": proven.hand_overs, "claim": claim,
        "recoveries": proven.recoveries.iter().map(|one| serde_json::json!({
            "height": one.height, "epoch": one.epoch, "reason": one.reason, "signers": one.principals,
            "validators": one.validators,
        })).collect::<Vec<_>>(),
    })
}

fn shared_json(kind: &str, shared: &SharedRecord) -> Value {
    let SharedRecord { partition, certified, record, items, openings } = shared;
    let mut claim = record_json(kind, record, items, openings);
    insert_certified(&mut claim, partition, certified);
    claim
}

fn attested_json(attested: &Attested) -> Value {
    let mut claim = shared_json("attestation", &attested.shared);
    if let Some(claim) = claim.as_object_mut() {
        let SignedBy { principal, key, height, time_ms } = &attested.by;
        let by = serde_json::json!({"principal": principal, "key": key, "height": height, "time_ms": time_ms});
        claim.insert("signed_by".to_owned(), by);
        claim.insert("question".to_owned(), attested.answer.question.clone().into());
        claim.insert("answer".to_owned(), attested.answer.answer.clone().into());
    }
    claim
}

fn fields_json(shared: &SharedFields) -> Value {
    let SharedFields { partition, certified, row, fields, openings } = shared;
    let fields = fields.iter().map(
        |ShownField { leaf, .. }| serde_json::json!({"item": leaf.item, "field": leaf.field, "value": leaf.json()}),
    );
    let mut claim = serde_json::json!({
        "kind": "field-disclosure", "register": row.register, "key": row.key, "entry-number": row.entry,
        "fields": fields.collect::<Vec<_>>(), "fields_of_record": row.count, "opened": opened_json(openings),
    });
    insert_certified(&mut claim, partition, certified);
    claim
}

/// An order of erasure, and who has destroyed.
fn erasure_json(kind: &str, order: &ErasureRow) -> Value {
    serde_json::json!({
        "kind": kind, "order": order.order, "controller": order.controller, "subject": order.subject,
        "values": order.scope.values(), "authority": order.authority, "legal_basis": order.legal_basis,
        "reason": order.reason, "principal": order.principal, "index": order.leaf,
        "ordered_height": order.height, "deadline_ms": order.deadline_ms,
        "complete": order.is_complete(), "unasked": order.unasked, "completed_ms": order.completed.map(|completed| completed.time_ms),
        "holders": order.holders.iter().map(|holder| serde_json::json!({
            "node": holder.node, "destroyed": holder.receipt.map(|receipt| receipt.values),
            "index": holder.receipt.map(|receipt| receipt.leaf),
            "time_ms": holder.receipt.map(|receipt| receipt.time_ms),
        })).collect::<Vec<_>>(),
    })
}

/// Says of which partition it is, and which root its members certified.
fn insert_certified(claim: &mut Value, partition: &str, certified: &CertifiedRoot) {
    if let Some(claim) = claim.as_object_mut() {
        claim.insert("partition".to_owned(), partition.into());
        claim.insert("certified_height".to_owned(), certified.height.into());
        claim.insert("certified_root".to_owned(), certified.root.to_string().into());
    }
}

fn record_json(kind: &str, record: &RecordRow, items: &[String], openings: &[Opening]) -> Value {
    serde_json::json!({
        "kind": kind, "register": record.register, "key": record.key, "entry-kind": record.kind,
        "entry-number": record.number, "entry-timestamp": record.timestamp,
        "items": items.iter().map(|item| serde_json::from_str(item).unwrap_or(Value::Null)).collect::<Vec<_>>(),
        "opened": opened_json(openings), "leaf": record.leaf, "since-height": record.height,
    })
}

fn opened_json(openings: &[Opening]) -> Vec<Value> {
    let opened = |opening: &Opening| {
        let (place, value) = (opening.place(), opening.value().reveal());
        serde_json::json!({"field": place.field(), "subject": place.subject(), "sealed": opening.commitment(), "value": value})
    };
    openings.iter().map(opened).collect()
}
