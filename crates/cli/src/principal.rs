//! `tally principal`: who may act for an organisation.

use crate::{
    ca,
    connection::{Acting, Connection, Reading},
    key::{NewKey, public_key},
    output::{Colour, Doing, Done, Failure, Table, json, line, paint, say, time},
    paging::Paging,
};
use clap::{Args, Subcommand};
use rand::Rng;
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};
use tallystick_protocol::{
    Assurance, Operation, PrincipalId, PrincipalKind, PrincipalStatus, Roles, change::words::Shown,
    limits::PRINCIPALS_PAGE_MAX,
};

/// Enrol, list, show, amend, suspend, resume, retire and recover those who act for an organisation
#[derive(Debug, Args)]
#[command(
    after_help = "A principal is a person, an office, a device or a program of an organisation, with one or more keys. What it may do \
    is said by its roles and by policy.\n\n\
    Examples:\n  \
    tally principal enrol clerk --role registrar --public clerk.pem.pub\n  \
    tally principal enrol clerk --role registrar --certificate clerk.crt issuing.pem --authority root.pem\n  \
    tally principal enrol --pseudonym pseudonyms.csv --for \"Ann Smith\" --role registrar --public ann.pem.pub\n  \
    tally principal amend companies-house/clerk --role registrar --role auditor\n  \
    tally principal suspend companies-house/clerk --reason \"On leave until March\"\n  \
    tally principal recover companies-house/clerk --public new.pem.pub --cosigner companies-house/deputy=deputy.pem\n  \
    tally principal list companies-house --status suspended\n  \
    tally principal show companies-house/clerk"
)]
pub struct Principal {
    #[command(subcommand)]
    command: PrincipalCommand,
}

#[derive(Debug, Subcommand)]
enum PrincipalCommand {
    Enrol(Enrol),
    List(List),
    Show(Show),
    Amend(Amend),
    Suspend(Suspend),
    Resume(Resume),
    Retire(Retire),
    Recover(Recover),
    Quorum(Quorum),
}

/// Add a principal to the signer's organisation, with its first key
#[derive(Debug, Args)]
struct Enrol {
    /// The principal's name within the organisation
    #[arg(value_name = "NAME", required_unless_present = "pseudonym", conflicts_with = "pseudonym")]
    name: Option<String>,
    /// Make up a name, and add it to this file, which stays here: the ledger does not learn who it is
    #[arg(long, value_name = "FILE", requires = "of")]
    pseudonym: Option<PathBuf>,
    /// Who it is, for the file of pseudonyms
    #[arg(long = "for", id = "of", value_name = "TEXT", requires = "pseudonym")]
    of: Option<String>,
    /// What it is: person, organisation, role, device or program
    #[arg(long, default_value = "person")]
    kind: PrincipalKind,
    /// What it is to the organisation, such as administrator or registrar; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// How sure the organisation is that the key is in its hands, by itself: low or substantial; a certificate tells more
    #[arg(long, default_value = "substantial")]
    assurance: Assurance,
    /// Its public key, or the .pub file that holds it [default: that of the certificate]
    #[arg(long, value_name = "KEY|FILE", required_unless_present = "certificate")]
    public: Option<String>,
    /// A certificate of the key, and those between it and the authority's: the key is certified at once
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "authority")]
    certificate: Vec<PathBuf>,
    /// The authority's certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    authority: Option<PathBuf>,
    #[command(flatten)]
    acting: Acting,
}

/// List the principals of an organisation, the latest enrolled first
#[derive(Debug, Args)]
struct List {
    /// Whose: that of the profile's own principal if not given
    #[arg(value_name = "ORGANISATION")]
    organisation: Option<String>,
    /// Only those of this kind: person, organisation, role, device or program
    #[arg(long)]
    kind: Option<PrincipalKind>,
    /// Only those of this status: active, suspended or retired
    #[arg(long)]
    status: Option<PrincipalStatus>,
    /// Only those with this role
    #[arg(long)]
    role: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    reading: Reading,
}

/// Show a principal: roles, status and keys
#[derive(Debug, Args)]
struct Show {
    /// organisation/name
    #[arg(value_name = "PRINCIPAL")]
    principal: PrincipalId,
    #[command(flatten)]
    reading: Reading,
}

/// Change what a principal is to its organisation, or how sure that is of one of its keys
#[derive(Debug, Args)]
#[command(
    after_help = "A name is for ever: what was signed under it stays whose it was. To make somebody an administrator, or to end one, \
    as many administrators must sign as for a recovery (tally principal quorum)."
)]
struct Amend {
    /// organisation/name
    #[arg(value_name = "PRINCIPAL")]
    principal: PrincipalId,
    /// What it is from now on, such as registrar; may be repeated: together these are all its roles
    #[arg(long = "role", value_name = "ROLE", conflicts_with = "no_roles")]
    roles: Vec<String>,
    /// It has no roles from now on
    #[arg(long)]
    no_roles: bool,
    /// How sure the organisation is from now on that a key is in its hands: low or substantial
    #[arg(long, value_name = "LEVEL", requires = "public")]
    assurance: Option<Assurance>,
    /// That key, or the .pub file that holds it
    #[arg(long, value_name = "KEY|FILE", requires = "assurance")]
    public: Option<String>,
    #[command(flatten)]
    acting: Acting,
}

/// Whom, and why.
#[derive(Debug, Args)]
struct Change {
    /// organisation/name
    #[arg(value_name = "PRINCIPAL")]
    principal: PrincipalId,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
}

/// Let a principal sign nothing until it is resumed
#[derive(Debug, Args)]
struct Suspend {
    #[command(flatten)]
    change: Change,
}

/// Let a suspended principal sign again
#[derive(Debug, Args)]
struct Resume {
    #[command(flatten)]
    change: Change,
}

/// Let a principal sign nothing ever again
#[derive(Debug, Args)]
struct Retire {
    #[command(flatten)]
    change: Change,
}

/// Give a principal that has lost its keys a new one, and end all others
#[derive(Debug, Args)]
#[command(
    after_help = "As many administrators must sign as the organisation asks for (tally principal quorum): two, unless it has \
    one. The first is the signer, the others are named with --cosigner."
)]
struct Recover {
    #[command(flatten)]
    key: NewKey,
}

/// Say how many administrators must sign a recovery, and whatever else gives somebody a key or makes or ends an administrator
#[derive(Debug, Args)]
struct Quorum {
    /// How many, the signer included
    #[arg(value_name = "ADMINISTRATORS", value_parser = clap::value_parser!(u32).range(1..=9))]
    administrators: u32,
    #[command(flatten)]
    acting: Acting,
}

impl Principal {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            PrincipalCommand::Enrol(command) => command.run(),
            PrincipalCommand::List(command) => command.run(),
            PrincipalCommand::Show(command) => {
                show(&command.reading.connection, &command.principal, command.reading.json)
            }
            PrincipalCommand::Amend(command) => command.run(),
            PrincipalCommand::Suspend(command) => command.change.run(PrincipalStatus::Suspended, "suspend"),
            PrincipalCommand::Resume(command) => command.change.run(PrincipalStatus::Active, "resume"),
            PrincipalCommand::Retire(command) => command.change.run(PrincipalStatus::Retired, "retire"),
            PrincipalCommand::Recover(command) => command.run(),
            PrincipalCommand::Quorum(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Done {
        let organisation = match self.organisation {
            Some(organisation) => organisation,
            None => self.reading.connection.own_organisation()?,
        };
        let client = self.reading.connection.client()?;
        let asked = [
            ("kind", self.kind.map(|kind| kind.to_string())),
            ("status", self.status.map(|status| status.to_string())),
            ("role", self.role),
        ];
        let asked = asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let asked: Vec<(&str, &str)> = asked.collect();
        let list = self.paging.whole(PRINCIPALS_PAGE_MAX, |query| {
            match client.principals(&organisation, &[&asked, query].concat())? {
                Some(found) => Ok(found.value),
                None => Err(Failure::no(format!(
                    "there is no organisation `{organisation}`: `tally organisation list` names all"
                ))),
            }
        })?;
        if self.reading.json {
            return json(&list);
        }
        let mut table = Table::new(&["principal", "kind", "roles", "status", "keys"]);
        for view in list.principals {
            let keys = view.keys.iter().filter(|key| key.retired_ms.is_none()).count().to_string();
            table.row([view.id, view.kind.to_string(), view.roles.to_string(), view.status.to_string(), keys]);
        }
        table.print()?;
        Paging::more(list.next.as_deref())
    }
}

impl Enrol {
    fn run(self) -> Done {
        let key = match &self.public {
            Some(public) => public_key(public)?,
            None => ca::key_of(&self.certificate)?,
        };
        let certified =
            self.authority.as_ref().map(|authority| ca::chain(&self.certificate, authority, &key)).transpose()?;
        let roles = Roles::new(self.roles.clone()).map_err(Failure::error)?;
        let session = self.acting.begin()?;
        let organisation = session.signer.principal().organisation().to_owned();
        let name = match (&self.name, &self.pseudonym) {
            (Some(name), _) => name.clone(),
            (None, Some(file)) => self.pseudonym(file, &organisation)?,
            (None, None) => return Err(Failure::error("give a name, or --pseudonym FILE")),
        };
        let id = PrincipalId::new(&organisation, &name).map_err(Failure::error)?;
        let (kind, assurance) = (self.kind, self.assurance);
        let mut operations = vec![Operation::PrincipalEnrol { name, kind, roles: roles.clone(), key, assurance }];
        let certificate = if certified.is_some() { ", certified" } else { "" };
        if let Some((authority, chain)) = certified {
            operations.push(Operation::KeyCertify { principal: id.clone(), key, authority, chain });
        }
        let roles = if roles.iter().next().is_some() { format!(" as {roles}") } else { String::new() };
        let told = format!("{id} is enrolled{roles} with key {key}{certificate}");
        session.act(format!("enrol {id}"), operations, told).map(drop)
    }

    /// The name noted for whoever it is if the ledger has nobody of that name, as after an enrolment that was refused; else a new one.
    fn pseudonym(&self, file: &Path, organisation: &str) -> Result<String, Failure> {
        let of = self.of.as_deref().unwrap_or_default();
        if let Some(client) = self.acting.client_if_named()? {
            for name in noted(file, of)? {
                let id = PrincipalId::new(organisation, &name).map_err(Failure::error)?;
                if client.principal(&id)?.is_none() {
                    say(format_args!("noted in {} before: {name} is {of}", file.display()));
                    return Ok(name);
                }
            }
        }
        pseudonym(file, of)
    }
}

/// What ends the row of whoever it is in a file of pseudonyms.
fn row_end(of: &str) -> String {
    format!(",\"{}\"", of.replace('"', "\"\""))
}

/// The names noted for whoever it is.
fn noted(file: &Path, of: &str) -> Result<Vec<String>, Failure> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::error(format!("cannot read `{}`: {error}", file.display()))),
    };
    let end = row_end(of);
    Ok(text.lines().filter_map(|row| Some(row.strip_suffix(&end)?.to_owned())).collect())
}

/// A random name, written down with who it is before the ledger has it: a name nobody knows would be worse than one unused.
fn pseudonym(file: &Path, of: &str) -> Result<String, Failure> {
    let mut random = [0; 8];
    tallystick_client::randomness().fill_bytes(&mut random);
    let name = format!("p-{}", hex::encode(random));
    let row = format!("{name}{}\n", row_end(of));
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(file).and_then(|mut file| file.write_all(row.as_bytes()).and_then(|()| file.sync_all()));
    written.doing(|| format!("cannot write `{}`", file.display()))?;
    say(format_args!("noted in {}: {name} is {of}", file.display()));
    Ok(name)
}

/// Shows a principal.
pub fn show(connection: &Connection, id: &PrincipalId, as_json: bool) -> Done {
    let Some(found) = connection.client()?.principal(id)? else {
        return Err(Failure::no(format!(
            "there is no principal `{id}`: an administrator of its organisation can enrol it"
        )));
    };
    let view = found.value;
    if as_json {
        return json(&view);
    }
    let roles = if view.roles.iter().next().is_some() { view.roles.to_string() } else { "no roles".to_owned() };
    line(format_args!("{} {} ({}, {roles})", paint(Colour::Bold, "principal"), view.id, view.kind))?;
    let reason = if view.reason.is_empty() { String::new() } else { format!(": {}", Shown(&view.reason)) };
    line(format_args!("{}{reason}", view.status))?;
    let mut table = Table::new(&["key", "assurance", "from", "until"]);
    for key in &view.keys {
        let until = match (key.retired_ms, key.until_ms) {
            (Some(retired_ms), _) => time(retired_ms),
            (None, Some(until_ms)) => format!("{}, by certificate", time(until_ms)),
            (None, None) => "in use".to_owned(),
        };
        table.row([key.key.clone(), key.assurance.to_string(), time(key.from_ms), until]);
    }
    table.print()
}

impl Amend {
    fn run(self) -> Done {
        let roles = match (self.roles.is_empty(), self.no_roles) {
            (true, false) => None,
            _ => Some(Roles::new(self.roles).map_err(Failure::error)?),
        };
        let key = self.public.as_deref().map(public_key).transpose()?;
        let assurance = key.zip(self.assurance);
        if roles.is_none() && assurance.is_none() {
            return Err(Failure::error("say what changes: --role, --no-roles, or --assurance with --public"));
        }
        let Self { principal, acting, .. } = self;
        let parts = [
            roles.as_ref().map(|roles| match roles.iter().next() {
                Some(_) => format!("is {roles}"),
                None => "has no roles".to_owned(),
            }),
            assurance.map(|(key, level)| format!("has assurance {level} with {key}")),
        ];
        let told = format!("{principal} {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", and "));
        let subject = format!("amend {principal}");
        acting.begin()?.act(subject, vec![Operation::PrincipalAmend { principal, roles, assurance }], told).map(drop)
    }
}

impl Change {
    fn run(self, status: PrincipalStatus, verb: &str) -> Done {
        let Self { principal, reason, acting } = self;
        let (subject, told) = (format!("{verb} {principal}"), format!("{principal} is {status}"));
        acting.begin()?.act(subject, vec![Operation::PrincipalStatus { principal, status, reason }], told).map(drop)
    }
}

impl Recover {
    fn run(self) -> Done {
        let Self { key } = self;
        let operation = |principal, key, assurance| Operation::PrincipalRecover { principal, key, assurance };
        key.give("recover", operation, "from now on, and with no other key")
    }
}

impl Quorum {
    fn run(self) -> Done {
        let Self { administrators, acting } = self;
        let subject = format!("recoveries take {administrators} administrators");
        let told = format!("{administrators} administrators must sign a recovery");
        acting.begin()?.act(subject, vec![Operation::RecoverySet { administrators }], told).map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_protocol::identifier::validate_name;

    #[test]
    fn who_a_pseudonym_is_stands_in_the_organisations_file_alone() {
        let folder = std::env::temp_dir().join(format!("tally-pseudonyms-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("pseudonyms.csv");
        let names = ["Ann \"Annie\" Smith", "Ann \"Annie\" Smith", "Bob"].map(|of| pseudonym(&file, of).unwrap());
        let [first, second, third] = &names;
        assert!(first != second && second != third, "the same person twice is two names: nothing of it is in the name");
        names.iter().for_each(|name| validate_name(name).unwrap());
        let noted = std::fs::read_to_string(&file).unwrap();
        let ann = "\"Ann \"\"Annie\"\" Smith\"";
        assert_eq!(noted, format!("{first},{ann}\n{second},{ann}\n{third},\"Bob\"\n"));
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
            assert_eq!(mode & 0o077, 0, "nobody else reads it");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
