//! `tally notice`: who must know that what they read was wrong, and saying that one does.

use crate::{
    connection::{Acting, Reading},
    output::{Colour, Done, count, json, line, paint, time},
    paging::Paging,
    register::exposure::warn_of_texts,
};
use clap::{Args, Subcommand};
use tallystick_api::{NoticeView, NoticesView, limits::NOTICES_PAGE_MAX};
use tallystick_protocol::{Operation, PrincipalId, Subject, change::words::Shown};

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
    reading: Reading,
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
        match self.command {
            Noun::List(command) => command.run(),
            Noun::Acknowledge(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Done {
        let client = self.reading.connection.client()?;
        let record = self.record.as_ref().map(ToString::to_string);
        let page = self.paging.whole(NOTICES_PAGE_MAX, |paging| {
            let mut query = paging.to_vec();
            query.extend(self.organisation.as_deref().map(|name| ("organisation", name)));
            query.extend(record.as_deref().map(|record| ("record", record)));
            query.extend(self.open.then_some(("open", "true")));
            Ok(client.notices(&query)?)
        })?;
        if self.reading.json {
            return json(&page);
        }
        page.corrections.iter().try_for_each(show)?;
        let corrections = count(page.corrections.len() as u64, "correction", "corrections");
        line(format_args!("{corrections}, complete to block {} of {}", page.height, time(page.time_ms)))?;
        Paging::more(page.next.as_deref())
    }
}

fn show(view: &NoticesView) -> Done {
    let NoticesView { register, key, corrects, reason, time_ms, notices, is_whole, .. } = view;
    let title = format!("{register}/{key}");
    line(format_args!(
        "{} entry {corrects} was wrong, corrected {}: {}",
        paint(Colour::Bold, &title),
        time(*time_ms),
        Shown(reason)
    ))?;
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

impl Acknowledge {
    fn run(self) -> Done {
        let Self { register, key, corrects, reader, recipient, acting } = self;
        warn_of_texts(&recipient);
        let session = acting.begin()?;
        let reader = reader.unwrap_or_else(|| session.signer.principal().clone());
        let subject = format!("notice of {register}/{key}");
        let told = format!("{reader} knows that entry {corrects} of {register}/{key} is corrected");
        let operation = Operation::NoticeAcknowledge { register, key, corrects, reader, recipient };
        session.act(subject, vec![operation], told).map(drop)
    }
}
