//! `tally notice`: who must know that what they read was wrong, and saying that one does.

use crate::{
    access_log::tell_unread,
    connection::{Acting, Asking, ask_again, tell_no_notices},
    output::{Colour, Done, Failure, count, json, line, paint, time},
    paging::Paging,
    partition::warn_of_stall,
    register::exposure::warn_of_texts,
};
use clap::{Args, Subcommand};
use tallystick_api::{
    ActOutcome, NoticeView, NoticesView, PrivateCorrection, PrivateReads, PrivateReadsAsked, WrongValue,
    limits::{AUDIT_PAGE_MAX, NOTICES_PAGE_MAX},
};
use tallystick_client::{Client, Signer};
use tallystick_protocol::{Operation, PrincipalId, Subject, change::words::Shown};

/// How often a node is asked that does not know the correction yet: each time it tells of all that was read.
const ASKED: usize = 3;

/// See who read what was wrong, and say that you know
#[derive(Debug, Args)]
#[command(
    after_help = "Whoever reads a sealed value, or gives it to somebody, is on record; so when the entry is corrected it is known who must be \
    told, and nobody has to keep a list. That they know they say themselves, or an administrator of their organisation does.\n\n\
    Examples:\n  \
    tally notice list --organisation home-office --open\n  \
    tally notice acknowledge patient 3 p-17\n  \
    tally notice acknowledge patient 3 p-17 --recipient \"Crown Court at Leeds\""
)]
pub struct NoticeCommand {
    #[command(subcommand)]
    command: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    List(List),
    Acknowledge(Acknowledge),
}

/// List corrections, newest first, with those who read what was wrong
#[derive(Debug, Args)]
struct List {
    /// Only readers of this organisation
    #[arg(long, value_name = "ORGANISATION")]
    organisation: Option<String>,
    /// Only corrections of this record
    #[arg(long, value_name = "REGISTER:KEY")]
    record: Option<Subject>,
    /// Only those who have not said that they know
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    asking: Asking,
}

/// Say on record that a reader knows of a correction
#[derive(Debug, Args)]
struct Acknowledge {
    /// The register
    #[arg(value_name = "REGISTER")]
    register: String,
    /// The number of the entry that was wrong
    #[arg(value_name = "ENTRY")]
    corrects: u64,
    /// The record's key
    #[arg(value_name = "KEY")]
    key: String,
    /// Who read it; the signer unless said
    #[arg(long, value_name = "ORGANISATION/NAME")]
    reader: Option<PrincipalId>,
    /// To whom the reader had disclosed it, and has passed the notice on
    #[arg(long, value_name = "TEXT")]
    recipient: Option<String>,
    #[command(flatten)]
    acting: Acting,
}

impl NoticeCommand {
    /// Runs the command.
    pub fn run(self) -> Done {
        // What waits is what is listed, or said to be known.
        tell_no_notices();
        match self.command {
            Noun::List(command) => command.run(),
            Noun::Acknowledge(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Done {
        if let Some(signer) = self.asking.asker()? {
            return self.in_partition(&signer);
        }
        let client = self.asking.connection.client()?;
        let record = self.record.as_ref().map(ToString::to_string);
        let page = self.paging.whole(NOTICES_PAGE_MAX, |paging| {
            let mut query = paging.to_vec();
            query.extend(self.organisation.as_deref().map(|name| ("organisation", name)));
            query.extend(record.as_deref().map(|record| ("record", record)));
            query.extend(self.open.then_some(("open", "true")));
            Ok(client.notices(&query)?)
        })?;
        if self.asking.json {
            return json(&page);
        }
        page.corrections.iter().try_for_each(show)?;
        let corrections = count(page.corrections.len() as u64, "correction", "corrections");
        line(format_args!("{corrections}, complete to block {} of {}", page.height, time(page.time_ms)))?;
        Paging::more(page.next.as_deref())
    }

    /// Puts together what the node tells of the whole partition: who read, what was corrected, who knows.
    fn in_partition(&self, signer: &Signer) -> Done {
        let all = reads_within(&self.asking.connection.client()?, signer, (self.record.as_ref(), true))?;
        let mut corrections: Vec<NoticesView> =
            all.corrections.iter().map(|correction| notices(correction, &all)).collect();
        let (height, unread) = (all.height, all.unread);
        for correction in &mut corrections {
            correction.notices.retain(|notice| {
                self.organisation.as_deref().is_none_or(|name| notice.reader.organisation() == name)
                    && !(self.open && notice.acknowledged.is_some())
            });
        }
        corrections.retain(|correction| !correction.notices.is_empty() || (self.organisation.is_none() && !self.open));
        let (corrections, next) = self.paging.part(corrections, |correction| correction.leaf);
        if self.asking.json {
            return json(
                &serde_json::json!({"height": height, "corrections": corrections, "unread": unread, "next": next}),
            );
        }
        corrections.iter().try_for_each(show)?;
        let count = count(corrections.len() as u64, "correction", "corrections");
        line(format_args!("{count}, complete to block {height}"))?;
        Paging::more(next.as_deref())?;
        tell_unread(&unread)
    }
}

/// What was read and corrected in a partition, of one record or of all, and who knows; with what is sealed in wrong entries, if that is wanted.
pub fn reads_within(
    client: &Client,
    signer: &Signer,
    (record, values): (Option<&Subject>, bool),
) -> Result<PrivateReads, Failure> {
    let partition = signer.partition().unwrap_or_default();
    let (holder, _) = client.overseen(signer.principal().organisation(), partition)?;
    warn_of_stall(&holder, partition);
    Paging::everything().whole(AUDIT_PAGE_MAX, |paging| {
        let (cursor, limit) = Paging::numbered(paging);
        let asked = PrivateReadsAsked { subject: record.cloned(), values, cursor, limit };
        Ok(holder.partition_reads_of(signer, partition, &asked)?)
    })
}

/// A correction in a partition, with who must know: each reader once, by the latest read.
fn notices(correction: &PrivateCorrection, all: &PrivateReads) -> NoticesView {
    let PrivateCorrection { register, key, corrects, id, number, time_ms, height, since, .. } = correction;
    let is_it = |named: &str, of: &str| (named, of) == (register.as_str(), key.as_str());
    let mut notices: Vec<NoticeView> = Vec::new();
    for read in &all.reads {
        // What is read is read as it is after the block.
        let is_wrong = is_it(&read.register, &read.key) && (*since..*height).contains(&read.height);
        let is_known = |notice: &NoticeView| (&notice.reader, &notice.recipient) == (&read.principal, &read.recipient);
        if !is_wrong || read.outcome != ActOutcome::Accepted || notices.iter().any(is_known) {
            continue;
        }
        let said = all.acknowledgements.iter().find(|said| {
            is_it(&said.register, &said.key)
                && (said.corrects, &said.reader, &said.recipient) == (*corrects, &read.principal, &read.recipient)
        });
        notices.push(NoticeView {
            reader: read.principal.clone(),
            recipient: read.recipient.clone(),
            read: read.id,
            read_ms: read.time_ms,
            acknowledged_by: said.map(|said| said.principal.clone()),
            acknowledged: said.map(|said| said.id),
            acknowledged_ms: said.map(|said| said.time_ms),
        });
    }
    NoticesView {
        register: register.clone(),
        key: key.clone(),
        corrects: *corrects,
        reason: correction.reason.clone(),
        authority: correction.authority.clone(),
        legal_basis: correction.legal_basis.clone(),
        values: correction.values.clone(),
        untold: correction.untold,
        id: *id,
        leaf: *number,
        time_ms: *time_ms,
        notices,
        is_whole: true,
    }
}

fn show(view: &NoticesView) -> Done {
    let NoticesView { register, key, corrects, reason, authority, legal_basis, time_ms, notices, is_whole, .. } = view;
    let title = format!("{register}/{key}");
    line(format_args!(
        "{} entry {corrects} was wrong, corrected {}: {}",
        paint(Colour::Bold, &title),
        time(*time_ms),
        Shown(reason)
    ))?;
    line(format_args!("  for {}, by {}", Shown(authority), Shown(legal_basis)))?;
    for WrongValue { field, subject, commitment } in &view.values {
        line(format_args!(
            "  it had in `{field}` {commitment} about {subject}: `tally erasure order … {subject} --value …` has that alone destroyed"
        ))?;
    }
    if view.untold {
        line(
            "  what was sealed in it cannot be told here: it came with other entries of its record, or the node cannot read it any more",
        )?;
    }
    notices.iter().try_for_each(show_notice)?;
    if notices.is_empty() {
        line("  nobody had read what is sealed in it")?;
    }
    if *is_whole { Ok(()) } else { line("  and more before these: tally access-log shows every read") }
}

fn show_notice(notice: &NoticeView) -> Done {
    let NoticeView { reader, recipient, read_ms, acknowledged_by, acknowledged_ms, .. } = notice;
    let given = recipient.as_ref().map_or_else(String::new, |to| format!(" and disclosed it to {}", Shown(to)));
    let knows = match (acknowledged_by, acknowledged_ms) {
        (Some(by), Some(ms)) => format!("knows, says {by}, {}", time(*ms)),
        _ => paint(Colour::Yellow, "has not said that they know"),
    };
    line(format_args!("  {reader} read it {}{given}: {knows}", time(*read_ms)))
}

/// Whom a read was for.
fn given(recipient: Option<&str>) -> String {
    recipient.map_or_else(|| "for themselves".to_owned(), |to| format!("for --recipient \"{}\"", Shown(to)))
}

/// Who must know of which correction.
struct Owed<'a> {
    record: (&'a str, &'a str, u64),
    reader: &'a PrincipalId,
    recipient: Option<&'a str>,
}

impl Owed<'_> {
    /// Goes on if it changes something to put on record that they know, or if that cannot be told.
    ///
    /// # Errors
    /// When it is on record, or nobody is owed this notice: the reader read nothing that was wrong, or did not give it to the recipient.
    fn require(&self, client: &Client, signer: &Signer) -> Done {
        // Another node than the one that took the correction may answer. The ledger says what is wrong with a correction that there is not.
        let Some(found) = ask_again(ASKED, || self.correction(client, signer))? else { return Ok(()) };
        let notice = found
            .notices
            .iter()
            .find(|notice| (&notice.reader, notice.recipient.as_deref()) == (self.reader, self.recipient));
        match notice {
            Some(NoticeView { acknowledged_by: Some(by), acknowledged_ms: Some(ms), .. }) => {
                Err(Failure::no(format!("nothing was put on record, for it is there: {by} said so {}", time(*ms))))
            }
            None if found.is_whole => Err(Failure::no(self.not_owed(&found, signer.partition()))),
            _ => Ok(()),
        }
    }

    /// Why it would change nothing, of a correction in this partition; none for the public one.
    fn not_owed(&self, found: &NoticesView, partition: Option<&str>) -> String {
        let (register, key, corrects) = self.record;
        let (reader, entry) = (self.reader, format!("entry {corrects} of {register}/{key}"));
        let others = found.notices.iter().filter(|notice| notice.reader == *reader);
        let others: Vec<String> = others.map(|notice| given(notice.recipient.as_deref())).collect();
        let why = match (self.recipient, others.is_empty()) {
            (_, true) => format!("{reader} has not read {entry} while it was wrong"),
            (None, false) => format!("{reader} read {entry} only to give it away: say to whom ({})", others.join(", ")),
            (Some(to), false) => {
                format!("{reader} did not give {entry} to {}, but read it {}", Shown(to), others.join(", "))
            }
        };
        let within = partition.map_or_else(String::new, |partition| format!(" --partition {partition}"));
        format!(
            "nothing was put on record, for nothing would change: {why}: tally notice list --record {register}:{key}{within} says who must know"
        )
    }

    fn correction(&self, client: &Client, signer: &Signer) -> Result<Option<NoticesView>, Failure> {
        let (register, key, corrects) = self.record;
        if signer.partition().is_some() {
            let record = Subject::new(register, key).map_err(Failure::error)?;
            let all = reads_within(client, signer, (Some(&record), false))?;
            let found = all
                .corrections
                .iter()
                .find(|one| (&*one.register, &*one.key, one.corrects) == (register, key, corrects));
            return Ok(found.map(|correction| notices(correction, &all)));
        }
        let record = format!("{register}:{key}");
        let asked = [("record", record.as_str())];
        let page = Paging::everything()
            .whole(NOTICES_PAGE_MAX, |paging| Ok(client.notices(&[paging, asked.as_slice()].concat())?))?;
        let mut all = page.corrections.into_iter();
        Ok(all.find(|one| (&*one.register, &*one.key, one.corrects) == (register, key, corrects)))
    }
}

impl Acknowledge {
    fn run(self) -> Done {
        let Self { register, key, corrects, reader, recipient, acting } = self;
        let session = acting.begin()?;
        warn_of_texts(&recipient, session.signer.partition());
        let reader = reader.unwrap_or_else(|| session.signer.principal().clone());
        let subject = format!("notice of {register}/{key}");
        let owed = Owed { record: (&register, &key, corrects), reader: &reader, recipient: recipient.as_deref() };
        if let Some(client) = acting.client_if_named()? {
            owed.require(&client, &session.signer)?;
        }
        let told = match &recipient {
            None => format!("{reader} knows that entry {corrects} of {register}/{key} is corrected"),
            Some(to) => format!(
                "{reader} has told {} that entry {corrects} of {register}/{key} is corrected, and says so",
                Shown(to)
            ),
        };
        let operation = Operation::NoticeAcknowledge { register, key, corrects, reader, recipient };
        session.act(subject, vec![operation], told).map(drop)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tallystick_api::{DecisionView, PrivateAcknowledgement, ReadView};
    use tallystick_protocol::Hash;

    fn read(reader: &str, key: &str, (height, leaf): (u64, u64), recipient: Option<&str>) -> ReadView {
        let id = Hash::of(&[&leaf.to_be_bytes()]);
        ReadView {
            leaf,
            height,
            time_ms: height,
            id,
            principal: reader.parse().unwrap(),
            on_behalf_of: None,
            mandate: None,
            register: "child".to_owned(),
            key: key.to_owned(),
            fields: Vec::new(),
            purpose: "care".to_owned(),
            legal_basis: "care".to_owned(),
            recipient: recipient.map(str::to_owned),
            jurisdiction: None,
            outcome: ActOutcome::Accepted,
            code: None,
            decision: DecisionView::default(),
            receipt: None,
            consents: Vec::new(),
        }
    }

    /// Entry 1 came with number 3, in block 10, and was corrected by number 8.
    #[test]
    fn who_read_what_was_wrong_is_told_once_and_nobody_else() {
        let refused = ReadView { outcome: ActOutcome::Refused, ..read("a/nosy", "c-1", (12, 6), None) };
        let reads = vec![
            read("a/late", "c-1", (14, 9), None),
            // So it is in the block that corrects it.
            read("a/right", "c-1", (13, 7), None),
            read("a/clerk", "c-1", (12, 7), None),
            refused,
            read("a/clerk", "c-1", (11, 5), Some("A court")),
            read("a/other", "c-2", (11, 5), None),
            read("b/clerk", "c-1", (10, 4), None),
            read("a/clerk", "c-1", (10, 2), None),
            // What is read in the block that brought it is read as it is after that.
            read("b/other", "c-1", (10, 2), None),
            read("b/early", "c-1", (9, 1), None),
        ];
        let said = |number: u64, corrects, reader: &str, recipient: Option<&str>| PrivateAcknowledgement {
            register: "child".to_owned(),
            key: "c-1".to_owned(),
            corrects,
            reader: reader.parse().unwrap(),
            recipient: recipient.map(str::to_owned),
            principal: "a/admin".parse().unwrap(),
            id: Hash::of(&[&number.to_be_bytes()]),
            number,
            time_ms: 20,
        };
        let correction = PrivateCorrection {
            register: "child".to_owned(),
            key: "c-1".to_owned(),
            corrects: 1,
            entry: 2,
            reason: "Misspelt".to_owned(),
            authority: "The patient".to_owned(),
            legal_basis: "UK GDPR Article 16".to_owned(),
            values: Vec::new(),
            untold: false,
            id: Hash::of(&[b"correction"]),
            number: 8,
            time_ms: 13,
            height: 13,
            since: 10,
        };
        let all = PrivateReads {
            partition: "health".to_owned(),
            height: 20,
            reads,
            corrections: vec![correction.clone()],
            unread: Vec::new(),
            acknowledgements: vec![said(11, 1, "a/clerk", Some("A court")), said(10, 2, "b/clerk", None)],
            next: None,
        };
        let told: Vec<(String, Option<String>, bool)> = notices(&correction, &all)
            .notices
            .into_iter()
            .map(|notice| (notice.reader.to_string(), notice.recipient, notice.acknowledged.is_some()))
            .collect();
        let one =
            |reader: &str, recipient: Option<&str>, knows| (reader.to_owned(), recipient.map(str::to_owned), knows);
        assert_eq!(
            told,
            [
                one("a/clerk", None, false),
                one("a/clerk", Some("A court"), true),
                one("b/clerk", None, false),
                one("b/other", None, false),
            ]
        );
    }
}
