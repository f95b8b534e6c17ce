//! `tally datamap`: what is held about people, where, why and for how long.

use crate::{
    connection::Reading,
    csv,
    output::{Colour, Done, Failure, json, line, paint, time},
    partition::review,
};
use clap::Args;
use std::collections::BTreeSet;
use tallystick_api::{
    BackupsView, ControllerView, DataMap, PlaceView, ProtectedRegisterView, SharedView, limits::DATA_MAP_PAGE_MAX,
};
use tallystick_protocol::{Jurisdiction, Protection, change::words::Shown};

/// Show what is held about people, where, why and for how long
#[derive(Debug, Args)]
#[command(
    after_help = "Made of the ledger's own state when it is asked for, so it is never out of date: each organisation's registers with protected \
    fields, the agreements under which it shares, the nodes that hold, and where these stand. It is the record of processing that UK GDPR, Article \
    30, asks for, as far as the ledger knows it; why a register of one's own is kept, its text says. Which backups a node makes \
    that node alone tells: ask each with `--node`. `--csv` is for a spreadsheet.\n\n\
    Examples:\n  \
    tally datamap\n  \
    tally datamap --organisation home-office --csv > ropa.csv"
)]
pub struct DataMapCommand {
    /// Only what this organisation answers for
    #[arg(long, value_name = "ORGANISATION")]
    organisation: Option<String>,
    /// Print one line for each thing that is held, as CSV (RFC 4180)
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    reading: Reading,
}

/// The columns of the table, of which each line says one thing that is held.
const COLUMNS: [&str; 18] = [
    "controller",
    "contact",
    "kind",
    "name",
    "purpose",
    "legal_basis",
    "categories",
    "recipients",
    "held_at",
    "jurisdictions",
    "from",
    "until",
    "retention_days",
    "status",
    "review",
    "refused_to",
    "left_at",
    "overseen_by",
];

impl DataMapCommand {
    /// Runs the command.
    pub fn run(self) -> Done {
        let map = self.map()?;
        if self.reading.json {
            return json(&map);
        }
        if self.csv {
            return table(&map);
        }
        let mut is_empty = true;
        for view in map.controllers.iter().filter(|view| holds(view)) {
            if !is_empty {
                line("")?;
            }
            is_empty = false;
            show(view)?;
        }
        if is_empty {
            line(
                "nothing is held about people: no register has a protected field, and nothing is shared under an agreement",
            )?;
        }
        Ok(())
    }

    fn map(&self) -> Result<DataMap, Failure> {
        let client = self.reading.connection.client()?;
        if let Some(organisation) = &self.organisation {
            return Ok(client.data_map(&[("organisation", organisation)])?.value);
        }
        let full = usize::try_from(DATA_MAP_PAGE_MAX).unwrap_or(usize::MAX);
        let mut whole = DataMap { controllers: Vec::new() };
        for index in 1.. {
            let page = match client.data_map(&[("page-index", &index.to_string())]) {
                // A page after the last one is not there.
                Err(error) if index > 1 && error.status() == Some(404) => break,
                page => page?.value,
            };
            let is_last = page.controllers.len() < full;
            whole.controllers.extend(page.controllers);
            if is_last {
                break;
            }
        }
        Ok(whole)
    }
}

fn holds(view: &ControllerView) -> bool {
    !(view.nodes.is_empty() && view.registers.is_empty() && view.agreements.is_empty())
}

fn show(view: &ControllerView) -> Done {
    let contact = view.contact.as_deref().unwrap_or("contact not said");
    line(format_args!("{} ({}, {})", paint(Colour::Bold, &view.organisation), Shown(&view.name), Shown(contact)))?;
    let nodes =
        if view.nodes.is_empty() { "none: nothing that is sealed is taken in".to_owned() } else { places(&view.nodes) };
    line(format_args!("  nodes that hold  {nodes}"))?;
    if !view.left_at.is_empty() {
        line(format_args!("  may lie still    at {}, which are retired", view.left_at.join(", ")))?;
    }
    if let Some(BackupsView { node, jurisdiction, every_hours, keep_days }) = &view.backups {
        line(format_args!(
            "  backed up        by {node} in {jurisdiction}, every {every_hours} hours, each kept for {keep_days} days and until there is a newer one; other nodes tell of theirs"
        ))?;
    }
    view.registers.iter().try_for_each(show_register)?;
    view.agreements.iter().try_for_each(show_agreement)
}

fn show_register(register: &ProtectedRegisterView) -> Done {
    let text = if register.text.is_empty() { String::new() } else { format!(": {}", Shown(&register.text)) };
    line(format_args!("  register {}{text}", register.register))?;
    line(format_args!("    records      {}", register.records))?;
    line(format_args!("    fields       {}", fields(register)))?;
    match kept_for(register).as_str() {
        "" => line("    kept for     not said: until somebody orders erasure"),
        days => line(format_args!("    kept for     {days} days")),
    }
}

fn show_agreement(shared: &SharedView) -> Done {
    let is = if shared.open { "" } else { " (not open)" };
    line(format_args!("  partition {}{is}: {}", shared.partition, Shown(&shared.purpose)))?;
    let parts = [
        ("legal basis", Some(shared.legal_basis.clone())),
        ("categories", Some(shared.categories.join(", "))),
        ("shared with", Some(shared.recipients.join(", "))),
        ("overseen by", (!shared.regulators.is_empty()).then(|| shared.regulators.join(", "))),
        ("may be in", Some(shared.jurisdictions.iter().map(Jurisdiction::as_str).collect::<Vec<_>>().join(", "))),
        ("held at", Some(places(&shared.held_at))),
        (
            "refused to",
            (!shared.refused.is_empty()).then(|| {
                format!(
                    "{}: whatever such a node was given while it was allowed lies there still",
                    places(&shared.refused)
                )
            }),
        ),
        (
            "left at",
            (!shared.left_at.is_empty())
                .then(|| format!("{}, to which nothing goes any more", shared.left_at.join(", "))),
        ),
        ("from", Some(time(shared.from_ms))),
        ("until", shared.until_ms.map(time)),
        ("review", shared.review_ms.map(if shared.open { review } else { time })),
        ("kept for", Some(format!("{} days", shared.retention_days))),
    ];
    for (what, said) in parts {
        let Some(said) = said else { continue };
        line(format_args!("    {what:<12} {}", Shown(&said)))?;
    }
    Ok(())
}

/// `office/node in GB`, each.
fn places(places: &[PlaceView]) -> String {
    if places.is_empty() { "no node".to_owned() } else { listed(places) }
}

fn listed(places: &[PlaceView]) -> String {
    let each = places.iter().map(|place| format!("{} in {}", place.node, place.jurisdiction));
    each.collect::<Vec<_>>().join(", ")
}

fn fields(register: &ProtectedRegisterView) -> String {
    let each = register.fields.iter().map(|field| {
        let protection = field.protection.as_ref().map_or_else(String::new, |protection| format!(" ({protection})"));
        format!("{}{protection}", field.name)
    });
    each.collect::<Vec<_>>().join(", ")
}

/// For how many days personal values are kept before the nodes have them erased, each number once.
fn kept_for(register: &ProtectedRegisterView) -> String {
    let days = register.fields.iter().filter_map(|field| match field.protection {
        Some(Protection::Personal { days, .. }) => days,
        _ => None,
    });
    let days: BTreeSet<u32> = days.collect();
    days.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

fn table(map: &DataMap) -> Done {
    line(csv::joined(&COLUMNS.map(str::to_owned)))?;
    for view in &map.controllers {
        view.registers.iter().try_for_each(|register| line(csv::joined(&register_row(view, register))))?;
        view.agreements.iter().try_for_each(|shared| line(csv::joined(&agreement_row(view, shared))))?;
        view.backups.iter().try_for_each(|backups| line(csv::joined(&backups_row(view, backups))))?;
    }
    Ok(())
}

fn register_row(view: &ControllerView, register: &ProtectedRegisterView) -> [String; COLUMNS.len()] {
    let jurisdictions: BTreeSet<&str> = view.nodes.iter().map(|place| place.jurisdiction.as_str()).collect();
    [
        view.organisation.clone(),
        view.contact.clone().unwrap_or_default(),
        "register".to_owned(),
        register.register.clone(),
        register.text.clone(),
        String::new(),
        fields(register),
        String::new(),
        places(&view.nodes),
        jurisdictions.into_iter().collect::<Vec<_>>().join(" "),
        String::new(),
        String::new(),
        kept_for(register),
        register.phase.to_string(),
        String::new(),
        String::new(),
        view.left_at.join(", "),
        String::new(),
    ]
}

fn agreement_row(view: &ControllerView, shared: &SharedView) -> [String; COLUMNS.len()] {
    [
        view.organisation.clone(),
        view.contact.clone().unwrap_or_default(),
        "partition".to_owned(),
        shared.partition.clone(),
        shared.purpose.clone(),
        shared.legal_basis.clone(),
        shared.categories.join(", "),
        shared.recipients.join(", "),
        places(&shared.held_at),
        shared.jurisdictions.iter().map(Jurisdiction::as_str).collect::<Vec<_>>().join(" "),
        time(shared.from_ms),
        shared.until_ms.map(time).unwrap_or_default(),
        shared.retention_days.to_string(),
        if shared.open { "open" } else { "not open" }.to_owned(),
        shared.review_ms.map(time).unwrap_or_default(),
        listed(&shared.refused),
        shared.left_at.join(", "),
        shared.regulators.join(", "),
    ]
}

fn backups_row(view: &ControllerView, backups: &BackupsView) -> [String; COLUMNS.len()] {
    let BackupsView { node, jurisdiction, every_hours, keep_days } = backups;
    [
        view.organisation.clone(),
        view.contact.clone().unwrap_or_default(),
        "backups".to_owned(),
        node.to_string(),
        format!("to restore what {node} holds, every {every_hours} hours"),
        String::new(),
        String::new(),
        String::new(),
        format!("{node} in {jurisdiction}"),
        jurisdiction.to_string(),
        String::new(),
        String::new(),
        keep_days.to_string(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ]
}
