//! `tally hold`: suspend the erasure of somebody's values, by an authority and for a time.

use crate::{
    argument::{slug, timestamp},
    connection::{Acting, Asking, Session},
    output::{Done, Failure, Table, json, time},
    paging::Paging,
    partition::warn_of_stall,
    register::exposure::{warn_of_texts, warn_of_unknown},
};
use clap::{Args, Subcommand};
use tallystick_api::{HoldList, PrivateHolds, limits::ERASURES_PAGE_MAX};
use tallystick_protocol::{MandateId, Operation, Subject};

/// Suspend the erasure of somebody's values, by an authority and for a time
#[derive(Debug, Args)]
#[command(
    after_help = "While a hold lasts an order of erasure stands and waits: what is still held is kept, and may be read by whoever policies \
    permit. It ends when it is lifted, or at its time.\n\n\
    Examples:\n  \
    tally hold place inquiry-7 patient:p-17 --authority \"High Court, KB-2026-104\" --reason \"Evidence\" --until 2027-06-30T00:00:00Z\n  \
    tally hold lift inquiry-7 --reason \"The claim was settled\"\n  \
    tally hold list\n\n\
    In a partition, with --partition, it is kept by the nodes of all its members, and its members alone see it, and the agreement's regulators."
)]
pub struct Hold {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Place(Place),
    Lift(Lift),
    List(List),
}

/// Place a hold
#[derive(Debug, Args)]
struct Place {
    /// What to call the hold: a name that no hold had before
    #[arg(value_name = "ID", value_parser = slug)]
    id: String,
    /// Whose values are kept: register:key
    #[arg(value_name = "SUBJECT")]
    subject: Subject,
    /// Who demands it
    #[arg(long, value_name = "TEXT")]
    authority: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// When it ends by itself, such as 2027-06-30T00:00:00Z [default: when it is lifted]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    until: Option<u64>,
    /// The organisation whose nodes must keep; in a partition the one in whose registers the values stand [default: the signer's]
    #[arg(long, value_name = "ORGANISATION")]
    controller: Option<String>,
    #[command(flatten)]
    acting: Acting,
}

/// End a hold: orders that waited for it go on
#[derive(Debug, Args)]
struct Lift {
    /// The hold's id
    #[arg(value_name = "ID")]
    id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
}

/// List holds, the newest first, ended ones too
#[derive(Debug, Args)]
struct List {
    /// Only those of this organisation
    #[arg(long, value_name = "ORGANISATION")]
    controller: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    asking: Asking,
}

impl Hold {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Command::Place(command) => command.run(),
            Command::Lift(command) => command.run(),
            Command::List(command) => command.run(),
        }
    }
}

/// The organisation for which a session acts: the signer's, or under a mandate its grantor's.
pub fn controller_of(session: &Session<'_>) -> String {
    let grantor = session.signer.mandate().map(MandateId::grantor);
    grantor.as_ref().unwrap_or(session.signer.principal()).organisation().to_owned()
}

impl Place {
    fn run(self) -> Done {
        let Self { id: hold, subject, authority, reason, until, controller, acting } = self;
        let until = until.map(|seconds| seconds.saturating_mul(1_000));
        let session = acting.begin()?;
        if let Some(client) = acting.client_if_named()? {
            warn_of_unknown(&client, Some(&session.signer), &subject);
        }
        warn_of_texts([&authority, &reason], session.signer.partition());
        let controller = controller.unwrap_or_else(|| controller_of(&session));
        let told = match session.signer.partition() {
            Some(partition) => format!(
                "hold {hold} is placed: the nodes of all members of {partition} keep what they hold of {subject} in the registers of {controller}"
            ),
            None => format!("hold {hold} is placed: the nodes of {controller} keep what they hold of {subject}"),
        };
        let subject_of_act = format!("hold {hold}");
        let operation = Operation::HoldPlace { hold, controller, subject, authority, reason, until };
        session.act(subject_of_act, vec![operation], told).map(drop)
    }
}

impl Lift {
    fn run(self) -> Done {
        let Self { id: hold, reason, acting } = self;
        let (subject, told) = (format!("hold {hold}"), format!("hold {hold} is lifted: what waited for it goes on"));
        let session = acting.begin()?;
        warn_of_texts([&reason], session.signer.partition());
        session.act(subject, vec![Operation::HoldLift { hold, reason }], told).map(drop)
    }
}

impl List {
    fn run(self) -> Done {
        let list = self.whole()?;
        if self.asking.json {
            return json(&list);
        }
        let mut table = Table::new(&["hold", "controller", "subject", "is", "for", "until"]);
        for view in list.holds {
            let until = match (&view.lifted, view.until_ms) {
                (Some(lifted), _) => format!("lifted {}", time(lifted.time_ms)),
                (None, Some(until_ms)) => time(until_ms),
                (None, None) => "it is lifted".to_owned(),
            };
            table.row([view.hold, view.controller, view.subject.to_string(), view.status, view.authority, until]);
        }
        table.print()?;
        Paging::more(list.next.as_deref())
    }

    fn whole(&self) -> Result<HoldList, Failure> {
        let client = self.asking.connection.client()?;
        let Some(signer) = self.asking.asker()? else {
            let asked: Vec<(&str, &str)> =
                self.controller.iter().map(|controller| ("controller", controller.as_str())).collect();
            return self.paging.whole(ERASURES_PAGE_MAX, |query| Ok(client.holds(&[&asked, query].concat())?.value));
        };
        let partition = signer.partition().unwrap_or_default();
        let (holder, _) = client.overseen(signer.principal().organisation(), partition)?;
        warn_of_stall(&holder, partition);
        self.paging.whole(ERASURES_PAGE_MAX, |query| {
            let (cursor, limit) = Paging::numbered(query);
            let asked = PrivateHolds { controller: self.controller.clone(), cursor, limit };
            Ok(holder.partition_holds(&signer, partition, &asked)?.value)
        })
    }
}
