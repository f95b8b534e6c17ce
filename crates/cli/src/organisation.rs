//! `tally organisation`: the members, who they are in law, and how they are reached.

use crate::{
    connection::{Acting, Reading},
    output::{Colour, Done, Failure, Table, count, json, line, paint},
};
use clap::{Args, Subcommand};
use tallystick_api::OrganisationView;
use tallystick_protocol::{Operation, OrganisationStatus, change::words::Shown, organisation::validate_contact};

/// List and show the members, and say how one is reached
#[derive(Debug, Args)]
#[command(
    after_help = "Who an organisation is in law, its registration and its jurisdiction are set when it joins and changed by proposal \
    (tally proposal draft FILE --kind organisation-amend); how it is reached, its administrators say themselves.\n\n\
    Examples:\n  \
    tally organisation list\n  \
    tally organisation show companies-house\n  \
    tally organisation contact registry@companies-house.example"
)]
pub struct Organisation {
    #[command(subcommand)]
    command: OrganisationCommand,
}

#[derive(Debug, Subcommand)]
enum OrganisationCommand {
    List(List),
    Show(Show),
    Contact(Contact),
}

/// List the organisations that are or were members
#[derive(Debug, Args)]
struct List {
    /// Only those of this status: active, suspended or expelled
    #[arg(long)]
    status: Option<OrganisationStatus>,
    #[command(flatten)]
    reading: Reading,
}

/// Show an organisation: who it is, how it is reached, where its membership stands
#[derive(Debug, Args)]
struct Show {
    /// Its id
    #[arg(value_name = "ORGANISATION")]
    id: String,
    #[command(flatten)]
    reading: Reading,
}

/// Say how the signer's organisation is reached
#[derive(Debug, Args)]
struct Contact {
    /// An address of an office, never of a person, for every node keeps it
    #[arg(value_name = "TEXT", required_unless_present = "none", conflicts_with = "none")]
    contact: Option<String>,
    /// Take it back
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    acting: Acting,
}

impl Organisation {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            OrganisationCommand::List(command) => command.run(),
            OrganisationCommand::Show(command) => command.run(),
            OrganisationCommand::Contact(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Done {
        let mut list = self.reading.connection.client()?.organisations()?.value;
        list.organisations.retain(|view| self.status.is_none_or(|status| view.status == status));
        if self.reading.json {
            return json(&list);
        }
        let mut table = Table::new(&["organisation", "name", "registration", "jurisdiction", "status", "principals"]);
        for view in list.organisations {
            let principals = view.principals.to_string();
            let (registration, jurisdiction) = (or_dash(view.registration), or_dash(view.jurisdiction));
            table.row([view.id, view.name, registration, jurisdiction, view.status.to_string(), principals]);
        }
        table.print()
    }
}

fn or_dash(thing: Option<impl ToString>) -> String {
    thing.map_or_else(|| "-".to_owned(), |thing| thing.to_string())
}

impl Show {
    fn run(self) -> Done {
        let Some(found) = self.reading.connection.client()?.organisation(&self.id)? else {
            let id = &self.id;
            return Err(Failure::no(format!("there is no organisation `{id}`: `tally organisation list` names all")));
        };
        if self.reading.json { json(&found.value) } else { show(&found.value) }
    }
}

fn show(view: &OrganisationView) -> Done {
    line(format_args!("{} {} ({})", paint(Colour::Bold, "organisation"), view.id, Shown(&view.name)))?;
    let reason = view.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", Shown(reason)));
    line(format_args!("{}{reason}", view.status))?;
    let number = |registration: &tallystick_protocol::Registration| {
        format!("{} in the register {} of org-id.guide", registration.number(), registration.scheme())
    };
    let parts = [
        ("legal name", view.legal_name.clone()),
        ("registration", view.registration.as_ref().map(number)),
        ("jurisdiction", view.jurisdiction.as_ref().map(ToString::to_string)),
        ("contact", view.contact.clone()),
    ];
    for (what, said) in parts {
        line(format_args!("{what:<13} {}", Shown(said.as_deref().unwrap_or("not said"))))?;
    }
    let (principals, administrators) = (u64::from(view.principals), u64::from(view.administrators));
    line(format_args!(
        "{} enrolled, {}",
        count(principals, "principal", "principals"),
        count(administrators, "administrator", "administrators")
    ))?;
    match view.recovery {
        Some(recovery) => {
            line(format_args!("a recovery takes {}", count(recovery.into(), "administrator", "administrators")))
        }
        None => line("a recovery takes two administrators, or one where there are not two"),
    }
}

impl Contact {
    fn run(self) -> Done {
        let Self { contact, acting, .. } = self;
        contact.as_deref().map_or(Ok(()), validate_contact).map_err(Failure::error)?;
        let session = acting.begin()?;
        let organisation = session.signer.principal().organisation().to_owned();
        let told = match &contact {
            Some(contact) => format!("{organisation} is reached by {contact}"),
            None => format!("{organisation} no longer says how it is reached"),
        };
        let subject = format!("contact of {organisation}");
        session.act(subject, vec![Operation::OrganisationContact { contact }], told).map(drop)
    }
}
