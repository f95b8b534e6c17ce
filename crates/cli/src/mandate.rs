//! `tally mandate`: let others act for you, and take it back.

use crate::{
    connection::{Acting, Asking},
    output::{Colour, Done, Failure, Table, count, json, line, paint, say, time},
    paging::Paging,
    register::exposure::warn_of_texts,
};
use clap::{Args, Subcommand};
use tallystick_api::{MandateList, MandateView, PrivateMandates};
use tallystick_client::{Client, Signer, now_seconds};
use tallystick_protocol::{
    MandateId, MandateTerms, Operation, OperationName, PrincipalId,
    change::words::Shown,
    limits::{MANDATE_CHAIN_MAX, MANDATES_PAGE_MAX},
};

/// How the things begin that a mandate can name.
const THINGS: [&str; 4] = ["register:", "principal:", "organisation:", "partition:"];

/// Let others act for you, within words and dates, and take it back
#[derive(Debug, Args)]
#[command(
    after_help = "An agent names the mandate with --mandate on any command that signs. What is done is then done by the grantor, who \
    must be allowed to do it; who signed is on record beside it.\n\n\
    Examples:\n  \
    tally mandate grant filing --agent hmrc/clerk --action entry-append --resource register:school --days 30 --purpose \"Yearly returns\"\n  \
    tally register append school 100001 name=\"St Ann's\" school=100001 --as hmrc/clerk --mandate companies-house/registrar/filing\n  \
    tally mandate list --granted-to hmrc/clerk\n  \
    tally mandate show companies-house/registrar/filing\n  \
    tally mandate revoke companies-house/registrar/filing\n\n\
    One that is granted with --partition holds in that partition alone, and its members alone see it. Its name says so: the partition's \
    comes first.\n\n\
    Examples:\n  \
    tally mandate grant duty --agent council/nurse --action entry-append --resource register:child --days 7 --purpose \"Night shifts\" --partition school-health\n  \
    tally register append child c-1 --partition school-health --as council/nurse --mandate school-health/harbour/doctor/duty\n  \
    tally mandate list --partition school-health\n  \
    tally mandate revoke school-health/harbour/doctor/duty --partition school-health"
)]
pub struct Mandate {
    #[command(subcommand)]
    command: MandateCommand,
}

#[derive(Debug, Subcommand)]
enum MandateCommand {
    Grant(Grant),
    Revoke(Revoke),
    List(List),
    Show(Show),
}

/// Let others act for the signer
#[derive(Debug, Args)]
struct Grant {
    /// What to call it: a name the signer has not used before
    #[arg(value_name = "NAME")]
    name: String,
    /// Who may act, organisation/name; may be repeated
    #[arg(long = "agent", value_name = "PRINCIPAL", required = true)]
    agents: Vec<PrincipalId>,
    /// What they may do: the name of an operation such as entry-append, or * for any; may be repeated
    #[arg(long = "action", value_name = "OPERATION", required = true)]
    actions: Vec<String>,
    /// To what: register:NAME, principal:ORGANISATION/NAME or organisation:ID; * at the end stands for anything; may be repeated
    #[arg(long = "resource", value_name = "THING", required = true)]
    resources: Vec<String>,
    /// What for
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// For how many days from now
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// In how many days it begins
    #[arg(long, value_name = "DAYS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=36_500))]
    in_days: u64,
    /// How many times it may be passed on
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    depth: u32,
    /// How many of the agents must sign each act
    #[arg(long, value_name = "AGENTS", default_value_t = 1)]
    concur: u32,
    /// The mandate that the signer passes on: organisation/name/mandate, of a partition after its name and /
    #[arg(long, value_name = "MANDATE")]
    parent: Option<MandateId>,
    #[command(flatten)]
    acting: Acting,
}

/// End a mandate at once, and all that it was passed on to
#[derive(Debug, Args)]
struct Revoke {
    /// organisation/name/mandate, of a partition after its name and /
    #[arg(value_name = "MANDATE")]
    id: MandateId,
    #[command(flatten)]
    acting: Acting,
}

/// List mandates, the latest granted first, ended ones too
#[derive(Debug, Args)]
struct List {
    /// Only those that this principal granted: organisation/name
    #[arg(long, value_name = "PRINCIPAL")]
    granted_by: Option<PrincipalId>,
    /// Only those of which this principal is an agent: organisation/name
    #[arg(long, value_name = "PRINCIPAL")]
    granted_to: Option<PrincipalId>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    asking: Asking,
}

/// Show a mandate, and those above it
#[derive(Debug, Args)]
struct Show {
    /// organisation/name/mandate, of a partition after its name and /
    #[arg(value_name = "MANDATE")]
    id: MandateId,
    #[command(flatten)]
    asking: Asking,
}

impl Mandate {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            MandateCommand::Grant(command) => command.run(),
            MandateCommand::Revoke(command) => command.run(),
            MandateCommand::List(command) => command.run(),
            MandateCommand::Show(command) => command.run(),
        }
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}

impl Grant {
    /// Judges the words before anything is signed: the ledger would say no more than that they are wrong.
    fn judge(&self) -> Done {
        if let Some(word) = self.actions.iter().find(|word| *word != "*" && word.parse::<OperationName>().is_err()) {
            let known: Vec<&str> = OperationName::ALL.iter().map(|name| name.as_str()).collect();
            return Err(Failure::error(format!("--action: `{word}` is none: it is * or one of {}", known.join(", "))));
        }
        let is_thing = |word: &str| word == "*" || THINGS.iter().any(|kind| word.starts_with(kind));
        if let Some(word) = self.resources.iter().find(|word| !is_thing(word)) {
            return Err(Failure::error(format!(
                "--resource: `{word}` does not say of what kind it is: write register:{word}, principal:ORGANISATION/NAME, \
                 organisation:ID or partition:NAME; * at the end stands for anything"
            )));
        }
        let agents = sorted(self.agents.clone()).len();
        if !(1..=agents).contains(&(self.concur as usize)) {
            let agents = count(agents as u64, "agent", "agents");
            return Err(Failure::error(format!(
                "--concur: {} cannot sign together: the mandate has {agents}, name more with --agent",
                self.concur
            )));
        }
        if self.depth as usize >= MANDATE_CHAIN_MAX {
            let most = MANDATE_CHAIN_MAX - 1;
            return Err(Failure::error(format!("--depth: a mandate is passed on {most} times at most")));
        }
        Ok(())
    }

    /// Says which of the agents are not there, if a node is named that knows. Within a partition the signer's own organisation's is asked:
    /// others would be told who is about to act for somebody.
    fn warn_of_strangers(&self, signer: &Signer) -> Done {
        let Some(mut client) = self.acting.client_if_named()? else { return Ok(()) };
        if let Some(partition) = signer.partition() {
            (client, _) = client.holder(signer.principal().organisation())?;
            let terms = client.partition(partition)?.map(|found| found.value.agreement);
            for agent in &self.agents {
                if terms.as_ref().is_some_and(|terms| !terms.has_member(agent.organisation())) {
                    say(format_args!("`{agent}` is of no member of {partition}: it cannot use the mandate"));
                }
            }
        }
        for agent in &self.agents {
            if client.principal(agent)?.is_none() {
                say(format_args!(
                    "there is no principal `{agent}`: whoever is enrolled under that name can use the mandate; \
                     `tally principal list` names those there are"
                ));
            }
        }
        Ok(())
    }

    fn run(mut self) -> Done {
        self.judge()?;
        let session = self.acting.begin()?;
        self.warn_of_strangers(&session.signer)?;
        warn_of_texts([&self.purpose], session.signer.partition());
        let from = now_seconds().saturating_add(self.in_days.saturating_mul(86_400));
        let terms = MandateTerms {
            agents: sorted(std::mem::take(&mut self.agents)),
            actions: sorted(std::mem::take(&mut self.actions)),
            resources: sorted(std::mem::take(&mut self.resources)),
            purpose: self.purpose.clone(),
            from,
            until: from.saturating_add(self.days.saturating_mul(86_400)),
            depth: self.depth,
            concur: self.concur,
            parent: self.parent.clone(),
        };
        let (partition, grantor) = (session.signer.partition(), session.signer.principal());
        let id = MandateId::within(partition, grantor, &self.name).map_err(Failure::error)?;
        let until = time(terms.until.saturating_mul(1_000));
        let operation = Operation::MandateGrant { name: self.name, terms };
        let told = format!("mandate {id} is granted until {until}; its agents name it with --mandate {id}");
        session.act(format!("grant {id}"), vec![operation], told).map(drop)
    }
}

impl Revoke {
    fn run(self) -> Done {
        let Self { id: mandate, acting } = self;
        let (subject, told) = (format!("revoke {mandate}"), format!("mandate {mandate} has ended"));
        let session = acting.begin()?;
        require_place(&mandate, session.signer.partition())?;
        session.act(subject, vec![Operation::MandateRevoke { mandate }], told).map(drop)
    }
}

impl List {
    fn run(self) -> Done {
        let client = self.asking.connection.client()?;
        let list = match self.asking.asker()? {
            Some(signer) => self.in_partition(&client, &signer)?,
            None => self.in_public(&client)?,
        };
        if self.asking.json {
            return json(&list);
        }
        let now = now_seconds();
        let mut table = Table::new(&["mandate", "agents", "may", "to", "until", "is"]);
        for view in list.mandates {
            let agents: Vec<&str> = view.agents.iter().map(PrincipalId::as_str).collect();
            let is = match view.revoked_ms {
                Some(_) => "revoked",
                None if now < view.from => "to come",
                None if now >= view.until => "over",
                None => "in its dates",
            };
            let (id, agents) = (view.id.to_string(), agents.join(" "));
            let until = time(view.until.saturating_mul(1_000));
            table.row([id, agents, view.actions.join(" "), view.resources.join(" "), until, is.to_owned()]);
        }
        table.print()?;
        Paging::more(list.next.as_deref())
    }

    fn in_public(&self, client: &Client) -> Result<MandateList, Failure> {
        let asked = [("granted-by", &self.granted_by), ("granted-to", &self.granted_to)];
        let asked = asked.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.as_str())));
        let asked: Vec<(&str, &str)> = asked.collect();
        self.paging.whole(MANDATES_PAGE_MAX, |query| Ok(client.mandates(&[&asked, query].concat())?.value))
    }

    fn in_partition(&self, client: &Client, signer: &Signer) -> Result<MandateList, Failure> {
        let (holder, _) = client.holder(signer.principal().organisation())?;
        let partition = signer.partition().unwrap_or_default();
        self.paging.whole(MANDATES_PAGE_MAX, |query| {
            let number = |name: &str| query.iter().find(|(of, _)| *of == name).and_then(|(_, text)| text.parse().ok());
            let asked = PrivateMandates {
                mandate: None,
                granted_by: self.granted_by.clone(),
                granted_to: self.granted_to.clone(),
                cursor: number("cursor"),
                limit: number("limit"),
            };
            Ok(holder.partition_mandates(signer, partition, &asked)?.value)
        })
    }
}

/// Goes on only if a mandate is of the partition that is named, or of none where none is.
fn require_place(id: &MandateId, partition: Option<&str>) -> Done {
    match (id.partition(), partition) {
        (of, named) if of == named => Ok(()),
        (Some(of), _) => Err(Failure::error(format!("`{id}` is a mandate of partition `{of}`: add --partition {of}"))),
        (None, named) => {
            let named = named.unwrap_or_default();
            Err(Failure::error(format!(
                "`{id}` is a mandate that everybody sees: leave out --partition; one of the partition is called {named}/{id}"
            )))
        }
    }
}

impl Show {
    fn run(self) -> Done {
        let mut client = self.asking.connection.client()?;
        let signer = self.asking.asker()?;
        let signer = signer.as_ref();
        require_place(&self.id, signer.and_then(Signer::partition))?;
        if let Some(signer) = signer {
            (client, _) = client.holder(signer.principal().organisation())?;
        }
        let mut chain: Vec<MandateView> = Vec::new();
        let mut next = Some(self.id);
        while let Some(id) = next {
            if chain.len() == MANDATE_CHAIN_MAX {
                return Err(Failure::error(
                    "the node shows more mandates than a chain can have: ask another, with --node",
                ));
            }
            let found = match signer.filter(|_| id.partition().is_some()) {
                Some(signer) => client.partition_mandate(signer, &id)?,
                // Those above one of a partition may be seen by everybody.
                None => client.mandate(&id)?.map(|found| found.value),
            };
            let Some(found) = found else {
                return Err(Failure::no(format!("there is no mandate `{id}`: check its name")));
            };
            next = found.parent.clone();
            chain.push(found);
        }
        if self.asking.json { json(&serde_json::json!({"mandates": chain})) } else { chain.iter().try_for_each(show) }
    }
}

fn show(view: &MandateView) -> Done {
    let list = |list: &[String]| list.join(", ");
    let agents: Vec<String> = view.agents.iter().map(ToString::to_string).collect();
    line(format_args!("{} {}", paint(Colour::Bold, "mandate"), view.id))?;
    line(format_args!("for        {}", Shown(&view.purpose)))?;
    line(format_args!(
        "agents     {}{}",
        list(&agents),
        if view.concur > 1 { format!(", {} together", view.concur) } else { String::new() }
    ))?;
    line(format_args!("may        {} to {}", list(&view.actions), list(&view.resources)))?;
    let (from, until) = (time(view.from.saturating_mul(1_000)), time(view.until.saturating_mul(1_000)));
    line(format_args!("in force   from {from} until {until}"))?;
    if view.depth > 0 {
        line(format_args!("passed on  {} at most", count(u64::from(view.depth), "time", "times")))?;
    }
    match (view.revoked_ms, &view.parent) {
        (Some(revoked_ms), _) => line(format_args!("{}    {}", paint(Colour::Red, "revoked"), time(revoked_ms)))?,
        (None, Some(parent)) => line(format_args!("passes on  {parent}"))?,
        (None, None) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        grant: Grant,
    }

    /// One row a line, with what the error must say; nothing for a line that is right.
    #[test]
    fn words_are_judged_before_anything_is_signed() {
        for (line, said) in [
            ("--action entry-append --resource register:school", ""),
            ("--action * --resource *", ""),
            ("--action * --resource register:sch*", ""),
            ("--action * --resource register:school --agent hmrc/deputy --concur 2", ""),
            ("--action nonsense --resource *", "--action: `nonsense` is none: it is * or one of register-create"),
            ("--action * --resource school", "write register:school"),
            ("--action * --resource *school", "--resource: `*school`"),
            ("--action * --resource * --concur 3", "--concur: 3 cannot sign together: the mandate has 1 agent"),
            ("--action * --resource * --agent hmrc/clerk --concur 2", "the mandate has 1 agent"),
            ("--action * --resource * --concur 0", "--concur: 0"),
            ("--action * --resource * --depth 99", "--depth: "),
        ] {
            let words = "tally filing --agent hmrc/clerk --days 30 --purpose x".split(' ').chain(line.split(' '));
            let judged = Line::try_parse_from(words).unwrap().grant.judge();
            match judged {
                Ok(()) => assert_eq!(said, "", "{line}"),
                Err(Failure::Error(why)) => assert!(!said.is_empty() && why.contains(said), "{line}: {why}"),
                Err(other) => unreachable!("{line}: {other:?}"),
            }
        }
    }
}
