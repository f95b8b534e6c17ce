//! `tally erasure`: have values about somebody destroyed, see who has done it, and prove it.

use crate::{
    argument::slug,
    connection::{Acting, Asking},
    hold::controller_of,
    output::{Colour, Done, Failure, Table, count, json, line, paint, time},
    paging::{self, Paging},
    partition::warn_of_stall,
    register::exposure::{warn_of_controller, warn_of_texts, warn_of_unknown},
    transaction::write_receipt,
};
use clap::{Args, Subcommand};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tallystick_api::{ErasureList, ErasureView, HolderView, PrivateErasures, limits::ERASURES_PAGE_MAX};
use tallystick_client::{Client, Signer};
use tallystick_protocol::{Commitment, ErasureScope, ErasureStatus, Operation, Subject, change::words::Shown};

/// How often to look whether every holder has given its receipt.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const DAY_SECONDS: u64 = 86_400;

/// Have values about somebody destroyed, see who has done it, and prove it
#[derive(Debug, Args)]
#[command(
    after_help = "An order is for one controller: the organisation whose nodes hold the values. Each of its nodes destroys what it holds and \
    says so with a receipt of its own; when all have, the order is complete. What was on the ledger stays: commitments, from which \
    nobody learns anything any more.\n\n\
    Examples:\n  \
    tally erasure order case-42 patient:p-17 --authority \"The patient\" --legal-basis \"UK GDPR Article 17(1)(b)\" --reason \"Consent withdrawn\"\n  \
    tally erasure status case-42                            who has destroyed, and who has not\n  \
    tally erasure list --open                               what waits for somebody, everywhere\n  \
    tally erasure certificate case-42 -o case-42.erasure    proof, for `tally verify`\n\n\
    In a partition the nodes of all its members destroy what stands in the registers of the controller there, and its members alone see it, and \
    the agreement's regulators; whoever is shown the certificate can check it.\n\n\
    Examples:\n  \
    tally erasure order case-43 child:c-1 --partition school-health --authority \"The parents\" --legal-basis \"UK GDPR Article 17\" --reason \"Left the school\"\n  \
    tally erasure status case-43 --partition school-health\n  \
    tally erasure certificate case-43 --partition school-health -o case-43.erasure"
)]
pub struct Erasure {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Order(Order),
    Status(Status),
    List(List),
    Certificate(Certificate),
    Receipt(Receipt),
}

/// Order that values about somebody be destroyed; it cannot be taken back
#[derive(Debug, Args)]
struct Order {
    /// What to call the order: a name that no order had before
    #[arg(value_name = "ID", value_parser = slug)]
    id: String,
    /// Whom the values are about: register:key
    #[arg(value_name = "SUBJECT")]
    subject: Subject,
    /// Only this value, by its commitment as it stands in the item, or as `tally record … --open` says it; may be repeated. All of the
    /// subject, for ever, if not given
    #[arg(long = "value", value_name = "COMMITMENT")]
    values: Vec<Commitment>,
    /// Who demands it: the person, a court, a regulator
    #[arg(long, value_name = "TEXT")]
    authority: String,
    /// The law that it rests on
    #[arg(long, value_name = "TEXT")]
    legal_basis: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The organisation whose nodes must destroy; in a partition the one in whose registers the values stand [default: the signer's]
    #[arg(long, value_name = "ORGANISATION")]
    controller: Option<String>,
    /// Within how many days every node must have done it
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=366))]
    days: u64,
    /// Wait until every node has done it; exit code 1 if that takes longer than --timeout
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    acting: Acting,
}

/// Show an order: who must destroy, who has, and who has not
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 it is complete; 1 it is not, or there is no such order.\n\n\
    In a partition an order is incomplete once all have destroyed but those who have left the agreement. Nobody waits for these any more.")]
struct Status {
    /// The order's id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    asking: Asking,
}

/// List orders, the newest first
#[derive(Debug, Args)]
struct List {
    /// Only those of this organisation
    #[arg(long, value_name = "ORGANISATION")]
    controller: Option<String>,
    /// Only those that wait for somebody, all of them
    #[arg(long, conflicts_with_all = ["limit", "all", "cursor"])]
    open: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    asking: Asking,
}

/// Write the proof that every node has destroyed: `tally verify` checks it offline
#[derive(Debug, Args)]
struct Certificate {
    /// The order's id
    #[arg(value_name = "ID")]
    id: String,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write it though the order is not complete: it then proves who has not
    #[arg(long)]
    as_it_stands: bool,
    #[command(flatten)]
    asking: Asking,
}

/// Say as a node that it has destroyed, where the node cannot say it itself: its disk is lost, or was destroyed whole
#[derive(Debug, Args)]
struct Receipt {
    /// The order's id
    #[arg(value_name = "ID")]
    id: String,
    /// How many values it held
    #[arg(long, value_name = "N")]
    destroyed: u32,
    #[command(flatten)]
    acting: Acting,
}

impl Erasure {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Command::Order(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Certificate(command) => command.run(),
            Command::Receipt(command) => command.run(),
        }
    }
}

impl Order {
    fn run(self) -> Done {
        let Self { id, subject, mut values, authority, legal_basis, reason, controller, days, wait, acting } = self;
        let session = acting.begin()?;
        let controller = controller.unwrap_or_else(|| controller_of(&session));
        if let Some(client) = acting.client_if_named()? {
            warn_of_unknown(&client, Some(&session.signer), &subject);
            warn_of_controller(&client, &session.signer, &subject, &controller);
        }
        warn_of_texts([&authority, &legal_basis, &reason], session.signer.partition());
        values.sort_unstable();
        values.dedup();
        let scope = if values.is_empty() { ErasureScope::All } else { ErasureScope::Values(values) };
        let deadline = days.saturating_mul(DAY_SECONDS);
        let what = match &scope {
            ErasureScope::All => format!("what they hold of {subject}"),
            ErasureScope::Values(values) => {
                let named = count(values.len() as u64, "value named", "values named");
                format!("what they hold of the {named} of {subject}")
            }
        };
        let told = match session.signer.partition() {
            Some(partition) => format!(
                "erasure {id} is ordered: the nodes of all members of {partition} destroy {what} in the registers of {controller}"
            ),
            None => format!("erasure {id} is ordered: the nodes of {controller} destroy {what}"),
        };
        let operation = Operation::ErasureOrder {
            order: id.clone(),
            controller,
            subject,
            scope,
            authority,
            legal_basis,
            reason,
            deadline,
        };
        if !session.act(format!("erasure {id}"), vec![operation], told)? || !wait {
            return Ok(());
        }
        let (orders, began) = (Orders::of(acting.client()?, Some(session.signer))?, Instant::now());
        loop {
            let view = orders.find(&id)?;
            match view.status {
                ErasureStatus::Complete => return orders.tell(&view),
                ErasureStatus::Incomplete => {
                    orders.tell(&view)?;
                    return Err(Failure::Said);
                }
                ErasureStatus::Open | ErasureStatus::OnHold | ErasureStatus::Overdue => {}
            }
            if began.elapsed() >= acting.patience() {
                orders.tell(&view)?;
                return Err(Failure::no(format!(
                    "erasure {id} is not complete: look again with tally erasure status {id}{}",
                    orders.within()
                )));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Status {
    fn run(self) -> Done {
        let orders = Orders::asked(&self.asking)?;
        let view = orders.find(&self.id)?;
        if self.asking.json {
            json(&view)?;
        } else {
            orders.tell(&view)?;
        }
        if view.status == ErasureStatus::Complete { Ok(()) } else { Err(Failure::Said) }
    }
}

impl List {
    fn run(self) -> Done {
        let orders = Orders::asked(&self.asking)?;
        let list = match &orders.signer {
            Some(signer) => self.in_partition(&orders.client, signer)?,
            None => self.in_public(&orders.client)?,
        };
        if self.asking.json {
            return json(&list);
        }
        let mut table = Table::new(&["order", "controller", "subject", "is", "receipts", "due"]);
        for view in list.erasures {
            let given = view.holders.iter().filter(|holder| holder.receipt.is_some()).count();
            let receipts = format!("{given} of {}", view.holders.len());
            let is_late = view.completed_ms.is_some_and(|completed_ms| completed_ms > view.deadline_ms);
            let late = if is_late { ", late" } else { "" };
            let (subject, status) = (view.subject.to_string(), format!("{}{late}", view.status));
            table.row([view.order, view.controller, subject, status, receipts, time(view.deadline_ms)]);
        }
        table.print()?;
        Paging::more(list.next.as_deref())
    }

    fn in_public(&self, client: &Client) -> Result<ErasureList, Failure> {
        let mut asked: Vec<(&str, &str)> =
            self.controller.iter().map(|controller| ("controller", controller.as_str())).collect();
        if !self.open {
            return self.paging.whole(ERASURES_PAGE_MAX, |query| Ok(client.erasures(&[&asked, query].concat())?.value));
        }
        asked.push(("open", "true"));
        let mut list = client.erasures(&asked)?.value;
        let mut before = 0;
        while let Some(next) = list.next.take() {
            // A place lies after the one asked for, or the node would be asked for ever.
            let place = next.parse::<u64>().ok().filter(|place| *place > before);
            before = place.ok_or_else(|| Failure::error(paging::NO_PLACE))?;
            let more = client.erasures(&[asked.as_slice(), &[("cursor", &next)]].concat())?.value;
            list.erasures.extend(more.erasures);
            list.next = more.next;
        }
        Ok(list)
    }

    fn in_partition(&self, client: &Client, signer: &Signer) -> Result<ErasureList, Failure> {
        let everything = Paging::everything();
        let paging = if self.open { &everything } else { &self.paging };
        paging.whole(ERASURES_PAGE_MAX, |query| {
            let (cursor, limit) = Paging::numbered(query);
            let (controller, open) = (self.controller.clone(), self.open);
            let asked = PrivateErasures { order: None, controller, open, cursor, limit };
            Ok(client.partition_erasures(signer, signer.partition().unwrap_or_default(), &asked)?.value)
        })
    }
}

impl Certificate {
    fn run(self) -> Done {
        let orders = Orders::asked(&self.asking)?;
        let view = orders.find(&self.id)?;
        if view.status != ErasureStatus::Complete && !self.as_it_stands {
            orders.tell(&view)?;
            return Err(Failure::no(
                "it is not complete, so nothing certifies that it is: --as-it-stands proves who has not",
            ));
        }
        if self.asking.json {
            json(&view)?;
        } else {
            orders.tell(&view)?;
        }
        let certificate = match &orders.signer {
            Some(signer) => {
                let partition = signer.partition().unwrap_or_default();
                orders.client.partition_erasure_certificate(signer, partition, &self.id)?
            }
            None => orders.client.erasure_certificate(&self.id)?,
        };
        write_receipt(&self.output, &certificate)
    }
}

impl Receipt {
    fn run(self) -> Done {
        let Self { id: order, destroyed, acting } = self;
        let (subject, told) = (format!("erasure {order}"), format!("the receipt for erasure {order} is given"));
        acting.begin()?.act(subject, vec![Operation::ErasureReceipt { order, destroyed }], told).map(drop)
    }
}

/// Where orders are looked for: in the public partition, or in another, as somebody who asks there.
struct Orders {
    client: Client,
    signer: Option<Signer>,
}

impl Orders {
    fn asked(asking: &Asking) -> Result<Self, Failure> {
        Self::of(asking.connection.client()?, asking.asker()?)
    }

    /// In a partition a node of the signer's own organisation is asked, by a regulator one of a member's.
    fn of(mut client: Client, signer: Option<Signer>) -> Result<Self, Failure> {
        let signer = signer.filter(|signer| signer.partition().is_some());
        if let Some((signer, partition)) = signer.as_ref().and_then(|signer| Some((signer, signer.partition()?))) {
            (client, _) = client.overseen(signer.principal().organisation(), partition)?;
            warn_of_stall(&client, partition);
        }
        Ok(Self { client, signer })
    }

    fn partition(&self) -> Option<&str> {
        self.signer.as_ref().and_then(Signer::partition)
    }

    /// What a command is told to look here too; nothing in the public partition.
    fn within(&self) -> String {
        self.partition().map_or_else(String::new, |partition| format!(" --partition {partition}"))
    }

    fn tell(&self, view: &ErasureView) -> Done {
        tell(view, self.partition())
    }

    fn find(&self, id: &str) -> Result<ErasureView, Failure> {
        let found = match &self.signer {
            Some(signer) => self.client.partition_erasure(signer, signer.partition().unwrap_or_default(), id)?,
            None => self.client.erasure(id)?.map(|found| found.value),
        };
        found.ok_or_else(|| {
            let within = self.within();
            Failure::no(format!("there is no order `{id}`: `tally erasure list{within}` shows those there are"))
        })
    }
}

/// Why a node, or an organisation of a partition, is not asked to destroy, though it may hold something.
pub fn not_asked(id: &str) -> String {
    match id.contains('/') {
        true => format!(
            "{id}: nothing goes to it any more, retired or out of the agreement's jurisdictions; what it was given may lie on its disk"
        ),
        false => {
            format!(
                "{id}: it had left, or more of its nodes are retired than are named, and may still hold what was sealed before"
            )
        }
    }
}

/// Why nobody waits any more for those who have not said that they destroyed.
pub const fn nobody_left(has_destroyed: bool) -> &'static str {
    match has_destroyed {
        true => "nobody else is asked any more, and all others have destroyed",
        false => "no node has given a receipt: their organisation says that what they held is destroyed",
    }
}

/// What is said of an order that was complete only after its day.
pub fn late(completed_ms: u64, deadline_ms: u64) -> String {
    match completed_ms > deadline_ms {
        true => format!(", and was due by {}", time(deadline_ms)),
        false => String::new(),
    }
}

/// Tells where an order stands, of a partition or of what everybody sees.
fn tell(view: &ErasureView, partition: Option<&str>) -> Done {
    let colour = match view.status {
        ErasureStatus::Complete => Colour::Green,
        ErasureStatus::Overdue | ErasureStatus::Incomplete => Colour::Red,
        ErasureStatus::Open | ErasureStatus::OnHold => Colour::Yellow,
    };
    let what = match &view.values {
        None => "all".to_owned(),
        Some(values) => count(values.len() as u64, "value", "values"),
    };
    line(format_args!("{} {} is {}", paint(Colour::Bold, "erasure"), view.order, paint(colour, view.status.as_str())))?;
    let (held, log, number) = match partition {
        Some(partition) => ("in the registers of", format!(" in partition {partition}"), "private transaction"),
        None => ("held by", " of the log".to_owned(), "leaf"),
    };
    line(format_args!("of         {what} of {}, {held} {}", view.subject, view.controller))?;
    line(format_args!("for        {}", Shown(&view.authority)))?;
    line(format_args!("by         {}", Shown(&view.legal_basis)))?;
    line(format_args!("because    {}", Shown(&view.reason)))?;
    line(format_args!("ordered    by {} at {}, {number} {}{log}", view.principal, time(view.ordered_ms), view.index))?;
    for HolderView { node, receipt, left } in &view.holders {
        match receipt {
            Some(said) => line(format_args!(
                "destroyed  {node}: {} at {}, {number} {}",
                count(u64::from(said.values), "value", "values"),
                time(said.time_ms),
                said.index
            ))?,
            None if *left => {
                line(format_args!(
                    "{}       {node}: nothing goes to it any more, and it has not said that it destroyed",
                    paint(colour, "left")
                ))?;
            }
            None => line(format_args!("{}    {node}", paint(colour, "not yet")))?,
        }
    }
    for unasked in &view.unasked {
        line(format_args!("not asked  {}", not_asked(unasked)))?;
    }
    for hold in &view.holds {
        match view.completed_ms {
            None => line(format_args!("waits      for hold {hold}"))?,
            Some(_) => {
                line(format_args!("held       by hold {hold}, for what is left where nobody is asked any more"))?
            }
        }
    }
    if view.holders.iter().any(|holder| holder.left) {
        line(
            "           who has left says so by itself once it is back, in the agreement and registered where that allows it; else have it in writing",
        )?;
    }
    match view.completed_ms {
        Some(over_ms) if view.status == ErasureStatus::Incomplete => {
            let has_destroyed = view.holders.iter().any(|holder| holder.receipt.is_some());
            line(format_args!("over       at {}: {}", time(over_ms), nobody_left(has_destroyed)))
        }
        Some(completed_ms) => {
            line(format_args!("complete   at {}{}", time(completed_ms), late(completed_ms, view.deadline_ms)))?;
            let mut said = view.holders.iter().filter_map(|holder| holder.receipt.as_ref());
            if said.any(|said| said.values > 0) {
                return Ok(());
            }
            line(
                "           no holder counted any value of it: see that subject and commitments are those that you mean",
            )
        }
        None => line(format_args!("due        by {}", time(view.deadline_ms))),
    }
}
