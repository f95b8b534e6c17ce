//! `tally access-log`: who read what is sealed about somebody, when, why, and by which power.

use crate::{
    connection::Asking,
    output::{Colour, Done, Failure, count, json, line, paint, time},
    paging::Paging,
    partition::warn_of_stall,
    register::exposure::warn_of_unknown,
};
use clap::Args;
use tallystick_api::{ActOutcome, PrivateReadsAsked, ReadView, limits::AUDIT_PAGE_MAX};
use tallystick_client::Signer;
use tallystick_protocol::{PolicyId, Subject, change::words::Shown};

/// Show who read or was given what is sealed about somebody, or is in a partition, and why
#[derive(Debug, Args)]
#[command(
    after_help = "Reads that were refused are shown too. Each in the public partition has a receipt: `tally transaction ID --receipt FILE`. A node \
    can leave a read out of its answer; it cannot make one up that has a receipt. In another partition every read of a record is such an \
    act; it has no receipt, and its members' nodes all hold the same. Of a subject these are the reads of their own record and of what is sealed \
    about them in others; records that only name them in the clear `tally subject-access` finds.\n\n\
    Examples:\n  \
    tally access-log --subject patient:p-17\n  \
    tally access-log --partition school-health --subject child:c-1"
)]
pub struct AccessLog {
    /// Whom it is about: the record's register, `:`, its key
    #[arg(long, value_name = "REGISTER:KEY", required_unless_present = "partition")]
    subject: Option<Subject>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    asking: Asking,
}

impl AccessLog {
    /// Runs the command.
    pub fn run(self) -> Done {
        match (self.asking.asker()?, &self.subject) {
            (Some(signer), _) => self.in_partition(&signer),
            (None, Some(subject)) => self.of_sealed(&subject.to_string()),
            (None, None) => Err(Failure::error("say whom it is about: --subject REGISTER:KEY")),
        }
    }

    fn of_sealed(&self, subject: &str) -> Done {
        let client = self.asking.connection.client()?;
        let page = self.paging.whole(AUDIT_PAGE_MAX, |paging| {
            let mut query = vec![("subject", subject)];
            query.extend(paging);
            Ok(client.access_log(&query)?)
        })?;
        if self.asking.json {
            return json(&page);
        }
        self.warn_of_none(&page.reads, None)?;
        let until = format!("{} of {}", page.height, time(page.time_ms));
        tell(&page.reads, &until, page.next.as_deref())
    }

    /// Whom it is about is asked in a body: an address would stand in what a proxy logs.
    fn in_partition(&self, signer: &Signer) -> Done {
        let partition = signer.partition().unwrap_or_default();
        let (holder, _) = self.asking.connection.client()?.overseen(signer.principal().organisation(), partition)?;
        warn_of_stall(&holder, partition);
        let page = self.paging.whole(AUDIT_PAGE_MAX, |paging| {
            let (cursor, limit) = Paging::numbered(paging);
            let asked = PrivateReadsAsked { subject: self.subject.clone(), values: false, cursor, limit };
            Ok(holder.partition_reads_of(signer, partition, &asked)?)
        })?;
        if self.asking.json {
            return json(&page);
        }
        self.warn_of_none(&page.reads, Some(signer))?;
        tell(&page.reads, &page.height.to_string(), page.next.as_deref())?;
        tell_unread(&page.unread)
    }

    /// Where nothing was read about somebody, that may be for the name.
    fn warn_of_none(&self, reads: &[ReadView], asker: Option<&Signer>) -> Done {
        if let Some(subject) = self.subject.as_ref().filter(|_| reads.is_empty()) {
            warn_of_unknown(&self.asking.connection.client()?, asker, subject);
        }
        Ok(())
    }
}

/// Says that a node cannot tell all that is on record in a partition, if it cannot.
///
/// # Errors
/// When nobody reads the output.
pub fn tell_unread(unread: &[u64]) -> Done {
    if unread.is_empty() {
        return Ok(());
    }
    let many = count(unread.len() as u64, "private transaction", "private transactions");
    line(format_args!(
        "{} {many} that this node cannot read any more, of these or of others: it asks the other members for them; ask again, or another \
         member's node",
        paint(Colour::Yellow, "and")
    ))
}

fn tell(reads: &[ReadView], until: &str, next: Option<&str>) -> Done {
    reads.iter().try_for_each(show)?;
    line(format_args!("{}, complete to block {until}", count(reads.len() as u64, "read", "reads")))?;
    Paging::more(next)
}

fn show(read: &ReadView) -> Done {
    let behalf = read.on_behalf_of.as_ref().map_or_else(String::new, |principal| format!(" for {principal}"));
    line(format_args!("{}  {}{behalf}", paint(Colour::Bold, &time(read.time_ms)), read.principal))?;
    let outcome = match (read.outcome, &read.code) {
        (ActOutcome::Accepted, _) => "read",
        (ActOutcome::Refused, _) => "was refused",
    };
    let code = read.code.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
    let what = format!("{} of {}/{}", read.fields.join(", "), read.register, read.key);
    line(format_args!("  {outcome}{code}: {}", Shown(&what)))?;
    line(format_args!("  purpose      {}", Shown(&read.purpose)))?;
    line(format_args!("  legal basis  {}", Shown(&read.legal_basis)))?;
    for consent in &read.consents {
        let ended = consent.withdrawn_ms.map(|withdrawn_ms| format!("; withdrawn {}", time(withdrawn_ms)));
        let (id, until) = (&consent.consent, time(consent.until_ms));
        line(format_args!("  consent      {id}, until {until}{}", ended.unwrap_or_default()))?;
    }
    if let Some(recipient) = &read.recipient {
        let place = read.jurisdiction.as_ref().map_or_else(String::new, |place| format!(", in {place}"));
        let given = if read.outcome == ActOutcome::Accepted { "disclosed to" } else { "meant for   " };
        line(format_args!("  {given} {}{place}", Shown(recipient)))?;
    }
    let policies: Vec<&str> = read.decision.determining.iter().map(PolicyId::as_str).collect();
    let policies = if policies.is_empty() { "none".to_owned() } else { policies.join(", ") };
    line(format_args!("  policy       {policies}, as of change {}", read.decision.version))?;
    match read.receipt {
        Some(_) => line(format_args!("  receipt      tally transaction {} --receipt FILE", read.id)),
        None => line(format_args!("  number       {} of the partition, private transaction {}", read.leaf, read.id)),
    }
}
