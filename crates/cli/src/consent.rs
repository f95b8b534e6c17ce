//! `tally consent`: put on record what somebody has agreed to, and that it is withdrawn.

use crate::{
    argument::{slug, timestamp},
    connection::{Acting, Asking},
    hold::controller_of,
    output::{Done, Failure, Table, json, time},
    paging::Paging,
    register::exposure::warn_of_texts,
};
use clap::{Args, Subcommand};
use std::collections::BTreeSet;
use tallystick_api::{ConsentList, ConsentView, PrivateConsents, limits::CONSENTS_PAGE_MAX};
use tallystick_client::{Client, Signer};
use tallystick_protocol::{
    ConsentTerms, Operation, Subject,
    limits::{CONSENT_PURPOSE_BYTES_MAX, CONSENT_PURPOSES_MAX, CONSENT_RECIPIENT_BYTES_MAX, CONSENT_RECIPIENTS_MAX},
};

/// Put on record what somebody has agreed to, and that it is withdrawn
#[derive(Debug, Args)]
#[command(
    after_help = "A read stands on consent when its legal basis is `consent`, or begins `consent:`, in whatever case. It is refused unless everybody whom the \
    values are about has given the register's custodian a consent that is in force, is for the read's purpose (that word, or that word, a \
    colon, and more), and allows whoever reads or is given the values. What is withdrawn bears nothing from the next transaction on; \
    `tally access-log` shows on which consent a read stood, and when that was withdrawn.\n\n\
    Examples:\n  \
    tally consent give p-17-research patient:p-17 --purpose research --recipient university --until 2027-06-30T00:00:00Z --evidence \"Form 7, signed in the clinic\"\n  \
    tally consent withdraw p-17-research --reason \"Said by telephone\"\n  \
    tally consent list patient:p-17\n  \
    tally consent list child:c-1 --partition school-health"
)]
pub struct Consent {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Give(Give),
    Withdraw(Withdraw),
    List(List),
}

/// Put a consent on record
#[derive(Debug, Args)]
struct Give {
    /// What to call the consent: a name that no consent had before
    #[arg(value_name = "ID", value_parser = slug)]
    id: String,
    /// Whose it is: register:key
    #[arg(value_name = "SUBJECT")]
    subject: Subject,
    /// What for; may be repeated, four times at most
    #[arg(long = "purpose", value_name = "TEXT", required = true)]
    purposes: Vec<String>,
    /// Who may read beside the controller, or be given what is read: an organisation's id, or the name that `tally disclose --to`
    /// gives; may be repeated, eight times at most
    #[arg(long = "recipient", value_name = "WHO")]
    recipients: Vec<String>,
    /// When it ends by itself, such as 2027-06-30T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    until: u64,
    /// How it was given: everybody can see this, or in a partition its members, so name no person
    #[arg(long, value_name = "TEXT")]
    evidence: String,
    /// The organisation to which it is given [default: the signer's]
    #[arg(long, value_name = "ORGANISATION")]
    controller: Option<String>,
    #[command(flatten)]
    acting: Acting,
}

/// End a consent: nothing stands on it from the next transaction on
#[derive(Debug, Args)]
struct Withdraw {
    /// The consent's id
    #[arg(value_name = "ID")]
    id: String,
    /// Why, or how it was said
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
}

/// List what somebody has consented to, the newest first, ended ones too
#[derive(Debug, Args)]
struct List {
    /// Whose consents: register:key
    #[arg(value_name = "SUBJECT")]
    subject: Subject,
    /// The organisation to which they were given [default: the register's custodian]
    #[arg(long, value_name = "ORGANISATION")]
    controller: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    asking: Asking,
}

impl Consent {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Command::Give(command) => command.run(),
            Command::Withdraw(command) => command.run(),
            Command::List(command) => command.run(),
        }
    }
}

impl Give {
    fn run(self) -> Done {
        let Self { id: consent, subject, purposes, recipients, until, evidence, controller, acting } = self;
        let purposes = sorted(purposes, CONSENT_PURPOSES_MAX, CONSENT_PURPOSE_BYTES_MAX, "--purpose")?;
        let recipients = sorted(recipients, CONSENT_RECIPIENTS_MAX, CONSENT_RECIPIENT_BYTES_MAX, "--recipient")?;
        let session = acting.begin()?;
        warn_of_texts(purposes.iter().chain(&recipients).chain([&evidence]), session.signer.partition());
        let controller = controller.unwrap_or_else(|| controller_of(&session));
        let told = format!("consent {consent} is on record: {subject}, to {controller}, for {}", purposes.join(", "));
        let subject_of_act = format!("consent {consent}");
        let terms = ConsentTerms { purposes, recipients, until_ms: until.saturating_mul(1_000) };
        let operation = Operation::ConsentGive { consent, controller, subject, terms, evidence };
        session.act(subject_of_act, vec![operation], told).map(drop)
    }
}

/// Texts as a consent has them: sorted, each once, neither too many nor too long.
fn sorted(texts: Vec<String>, count_max: usize, bytes_max: usize, flag: &str) -> Result<Vec<String>, Failure> {
    let texts: BTreeSet<String> = texts.into_iter().collect();
    if texts.len() > count_max || texts.iter().any(|text| !(1..=bytes_max).contains(&text.len())) {
        return Err(Failure::error(format!("give at most {count_max} of {flag}, each of 1 to {bytes_max} bytes")));
    }
    Ok(texts.into_iter().collect())
}

impl Withdraw {
    fn run(self) -> Done {
        let Self { id: consent, reason, acting } = self;
        let told = format!("consent {consent} is withdrawn: nothing stands on it any more");
        let subject = format!("consent {consent}");
        let session = acting.begin()?;
        warn_of_texts([&reason], session.signer.partition());
        session.act(subject, vec![Operation::ConsentWithdraw { consent, reason }], told).map(drop)
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
        let mut table = Table::new(&["consent", "to", "is", "for", "and", "until"]);
        list.consents.into_iter().map(shown).for_each(|row| table.row(row));
        table.print()?;
        Paging::more(list.next.as_deref())
    }

    fn in_public(&self, client: &Client) -> Result<ConsentList, Failure> {
        let subject = self.subject.to_string();
        let mut asked = vec![("subject", subject.as_str())];
        asked.extend(self.controller.iter().map(|controller| ("controller", controller.as_str())));
        self.paging.whole(CONSENTS_PAGE_MAX, |query| Ok(client.consents(&[&asked, query].concat())?.value))
    }

    fn in_partition(&self, client: &Client, signer: &Signer) -> Result<ConsentList, Failure> {
        let (holder, _) = client.holder(signer.principal().organisation())?;
        let partition = signer.partition().unwrap_or_default();
        self.paging.whole(CONSENTS_PAGE_MAX, |query| {
            let (cursor, limit) = Paging::numbered(query);
            let (subject, controller) = (self.subject.clone(), self.controller.clone());
            let asked = PrivateConsents { subject, controller, cursor, limit };
            Ok(holder.partition_consents(signer, partition, &asked)?.value)
        })
    }
}

fn shown(view: ConsentView) -> [String; 6] {
    let ends = view.withdrawn.as_ref().map_or(view.until_ms, |withdrawn| withdrawn.time_ms);
    let recipients = if view.recipients.is_empty() { "nobody else".to_owned() } else { view.recipients.join(", ") };
    [view.consent, view.controller, view.status.to_string(), view.purposes.join(", "), recipients, time(ends)]
}
