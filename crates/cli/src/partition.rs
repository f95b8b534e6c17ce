//! `tally partition`: who shares what with whom, under which agreement.

use crate::{
    connection::{Reading, ask_again},
    output::{Colour, Done, Failure, Table, count, json, line, paint, paint_err, say, time},
};
use clap::{Args, Subcommand};
use tallystick_api::{FormerView, PartitionView, StandingView};
use tallystick_client::{Client, now_seconds};
use tallystick_protocol::{Jurisdiction, change::words::Shown};

/// See which organisations share something with each other only, and under which agreement
#[derive(Debug, Args)]
#[command(
    after_help = "A partition is opened, amended and closed by proposal, with the yes of each of its members:\n  \
    tally proposal draft agreement.toml --kind partition-open\n\n\
    Examples:\n  \
    tally partition list\n  \
    tally partition show school-health"
)]
pub struct Partition {
    #[command(subcommand)]
    command: PartitionCommand,
}

#[derive(Debug, Subcommand)]
enum PartitionCommand {
    List(List),
    Show(Show),
}

/// List the partitions, ended ones too, in the order in which they were opened
#[derive(Debug, Args)]
struct List {
    /// Only those of which this organisation is a member
    #[arg(long, value_name = "ORGANISATION")]
    member: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

/// Show a partition: its agreement, and where it stands
#[derive(Debug, Args)]
struct Show {
    /// Its name
    #[arg(value_name = "PARTITION")]
    name: String,
    #[command(flatten)]
    reading: Reading,
}

impl Partition {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            PartitionCommand::List(command) => command.run(),
            PartitionCommand::Show(command) => command.run(),
        }
    }
}

const fn standing(view: &PartitionView) -> &'static str {
    match (view.closed_height, view.open) {
        (Some(_), _) => "closed",
        (None, true) => "open",
        (None, false) => "out of its dates",
    }
}

impl List {
    fn run(self) -> Done {
        let mut list = self.reading.connection.client()?.partitions()?.value;
        let member = self.member.as_deref();
        list.partitions.retain(|view| member.is_none_or(|member| view.agreement.has_member(member)));
        if self.reading.json {
            return json(&list);
        }
        let mut table = Table::new(&["partition", "members", "purpose", "is"]);
        for view in list.partitions {
            let is = standing(&view).to_owned();
            let terms = view.agreement;
            table.row([terms.partition, terms.members.join(" "), terms.purpose, is]);
        }
        table.print()
    }
}

impl Show {
    fn run(self) -> Done {
        let Some(found) = self.reading.connection.client()?.partition(&self.name)? else {
            let name = &self.name;
            return Err(Failure::no(format!("there is no partition `{name}`: `tally partition list` names all")));
        };
        if self.reading.json { json(&found.value) } else { show(&found.value) }
    }
}

fn show(view: &PartitionView) -> Done {
    let terms = &view.agreement;
    line(format_args!("{} {}", paint(Colour::Bold, "partition"), terms.partition))?;
    let reason = view.closed_reason.as_ref().map_or_else(String::new, |reason| format!(": {}", Shown(reason)));
    line(format_args!("{}{reason}", standing(view)))?;
    let dates = |ms: Option<u64>| ms.map(time);
    let places: Vec<&str> = terms.jurisdictions.iter().map(Jurisdiction::as_str).collect();
    let parts = [
        ("members", Some(terms.members.join(", "))),
        ("purpose", Some(terms.purpose.clone())),
        ("legal basis", Some(terms.legal_basis.clone())),
        ("categories", Some(terms.categories.join(", "))),
        ("from", dates(Some(terms.from_ms))),
        ("until", dates(terms.until_ms)),
        ("review", if view.open { terms.review_ms.map(review) } else { dates(terms.review_ms) }),
        ("held in", Some(places.join(", "))),
        ("kept for", Some(count(u64::from(terms.retention_days), "day", "days"))),
        (
            "acknowledged",
            Some(format!("by {} before it is ordered", count(u64::from(terms.acknowledgements), "member", "members"))),
        ),
        ("members by", (!terms.managers.is_empty()).then(|| terms.managers.join(", "))),
        ("overseen by", (!terms.regulators.is_empty()).then(|| terms.regulators.join(", "))),
        ("ordered", view.ordered.map(|ordered| count(ordered, "payload", "payloads"))),
        (
            "certified",
            view.certified_height.zip(view.certified_root).map(|(height, root)| format!("{root} at height {height}")),
        ),
        ("here", view.here.as_ref().map(here)),
        ("opened", Some(format!("at height {}", view.opened_height))),
        ("amended", (view.amended_height > view.opened_height).then(|| format!("at height {}", view.amended_height))),
        ("closed", view.closed_height.map(|height| format!("at height {height}"))),
        ("former", (!view.former.is_empty()).then(|| former(&view.former))),
    ];
    for (what, said) in parts {
        let Some(said) = said else { continue };
        line(format_args!("{what:<13} {}", Shown(&said)))?;
    }
    for posted in &view.alarm {
        let (height, node, root) = (posted.height, &posted.node, posted.root);
        line(format_args!("{}         {node} has root {root} at height {height}", paint(Colour::Red, "alarm")))?;
    }
    Ok(())
}

/// Looks at a partition that may but wait for what is on its way.
const LOOKS: usize = 16;

/// Why what a node tells of a partition is not all of it: none unless the partition stands still there, and goes on standing.
pub fn stall(node: &Client, partition: &str) -> Option<String> {
    let here = || node.partition(partition).ok().flatten().and_then(|found| found.value.here);
    let first = here().filter(|here| here.missing > 0)?;
    let goes_on = ask_again(LOOKS, || Ok(here().filter(|here| here.missing == 0 || here.height > first.height)));
    if goes_on.is_ok_and(|goes_on| goes_on.is_some()) {
        return None;
    }
    let lacks = count(first.missing, "payload", "payloads");
    Some(format!(
        "partition `{partition}` stands still on the node that was asked, which lacks {lacks}: it knows what was there at block {}, and nothing \
         since; `tally status` says more",
        first.height
    ))
}

/// Says so.
pub fn warn_of_stall(node: &Client, partition: &str) {
    if let Some(why) = stall(node, partition) {
        say(paint_err(Colour::Yellow, &why));
    }
}

/// When an agreement is to be looked at again, and whether that is past.
pub fn review(review_ms: u64) -> String {
    let is_past = review_ms / 1_000 < now_seconds();
    let past = if is_past { ", which is past: look at it again, and amend it with a later one" } else { "" };
    format!("{}{past}", time(review_ms))
}

/// Who has left, and when.
fn former(former: &[FormerView]) -> String {
    let left = |one: &FormerView| format!("{}, which left at height {}", one.organisation, one.height);
    former.iter().map(left).collect::<Vec<_>>().join("; ")
}

/// How it stands on the node that was asked.
fn here(here: &StandingView) -> String {
    let StandingView { height, root, missing } = here;
    let payloads = count(*missing, "payload", "payloads");
    let waits = if *missing > 0 { format!("; it stands still for want of {payloads}") } else { String::new() };
    format!("root {root} at height {height}{waits}")
}
