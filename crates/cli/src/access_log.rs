//! `tally access-log`: who read what is sealed about somebody, when, why, and by which power.

use crate::{
    connection::Reading,
    output::{Colour, Done, count, json, line, paint, time},
    paging::Paging,
};
use clap::Args;
use tallystick_api::{ActOutcome, ReadView, limits::AUDIT_PAGE_MAX};
use tallystick_protocol::{PolicyId, Subject};

/// Show who read or was given what is sealed about somebody, and why
#[derive(Debug, Args)]
#[command(
    after_help = "Reads that were refused are shown too. Each has a receipt: `tally transaction ID --receipt FILE`. A node can leave a read \
    out of its answer; it cannot make one up that has a receipt.\n\n\
    Example:\n  \
    tally access-log --subject patient:p-17"
)]
pub struct AccessLog {
    /// Whom it is about: the record's register, `:`, its key
    #[arg(long, value_name = "REGISTER:KEY")]
    subject: Subject,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    reading: Reading,
}

impl AccessLog {
    /// Runs the command.
    pub fn run(self) -> Done {
        let client = self.reading.connection.client()?;
        let subject = self.subject.to_string();
        let page = self.paging.whole(
            AUDIT_PAGE_MAX,
            |paging| {
                let mut query = vec![("subject", subject.as_str())];
                query.extend(paging);
                Ok(client.access_log(&query)?)
            },
            |whole, older| {
                whole.reads.extend(older.reads);
                whole.next = older.next;
            },
            |whole| (whole.reads.len(), whole.next.clone()),
        )?;
        if self.reading.json {
            return json(&page);
        }
        page.reads.iter().try_for_each(show)?;
        let reads = count(page.reads.len() as u64, "read", "reads");
        line(format_args!("{reads}, complete to block {} of {}", page.height, time(page.time_ms)))?;
        Paging::more(page.next.as_deref())
    }
}

fn show(read: &ReadView) -> Done {
    let behalf = read.on_behalf_of.as_ref().map_or_else(String::new, |principal| format!(" for {principal}"));
    line(format_args!("{}  {}{behalf}", paint(Colour::Bold, &time(read.time_ms)), read.principal))?;
    let outcome = match (read.outcome, &read.code) {
        (ActOutcome::Accepted, _) => "read",
        (ActOutcome::Refused, _) => "was refused",
    };
    let code = read.code.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
    line(format_args!("  {outcome}{code}: {} of {}/{}", read.fields.join(", "), read.register, read.key))?;
    line(format_args!("  purpose      {}", read.purpose))?;
    line(format_args!("  legal basis  {}", read.legal_basis))?;
    if let Some(recipient) = &read.recipient {
        line(format_args!("  disclosed to {recipient}"))?;
    }
    let policies: Vec<&str> = read.decision.determining.iter().map(PolicyId::as_str).collect();
    let policies = if policies.is_empty() { "none".to_owned() } else { policies.join(", ") };
    line(format_args!("  policy       {policies}, as of change {}", read.decision.version))?;
    line(format_args!("  receipt      tally transaction {} --receipt FILE", read.id))
}
