//! `tally audit query`: who did what, when, to what, and what became of it; with a receipt of each act, checked offline.

use crate::{
    connection::Connection,
    output::{Colour, Doing, Done, Failure, Table, count, json, line, paint, say, time},
};
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tallystick_api::{ActOutcome, ActView, AuditPage, limits::AUDIT_PAGE_MAX};
use tallystick_client::Client;
use tallystick_protocol::{Genesis, LogEntry, PrincipalId, Receipt, Resource, SignedTransaction, TransactionReceipt};

/// Show who did what, when, and what became of it; refused acts too
#[derive(Debug, Args)]
#[command(
    after_help = "What is not asked for by a flag is not asked for: without any, the newest acts are shown. The answer says the \
    block that it is complete to. A node can leave acts out of its answer; it cannot make one up that has a receipt. To be \
    sure that none is left out, ask a node of another organisation, or `tally audit disk` a node of your own.\n\n\
    Exit codes: 0 answered; 1 a receipt does not prove its act; 2 no node answers, or a flag is not right.\n\n\
    Examples:\n  \
    tally audit query --organisation hmrc --from 2026-11-01 --to 2026-12-01\n  \
    tally audit query --resource record:country/GB --receipts evidence\n  \
    tally audit query --principal hmrc/alice --outcome refused\n  \
    tally audit query --action key-rotate --all --json"
)]
pub struct Query {
    /// Who signed: organisation/name
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<PrincipalId>,
    /// The organisation of who signed
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// What was acted on: register:NAME, record:REGISTER/KEY, organisation:NAME, principal:ORGANISATION/NAME,
    /// authority:SHA-256, policy:ID or proposal:ID
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<Resource>,
    /// The name of an operation, such as entry-append; with a resource, an operation on that
    #[arg(long, value_name = "OPERATION")]
    action: Option<String>,
    /// From this time on: such as 2026-11-25 or 2026-11-25T09:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// accepted, refused, or the code of a refusal
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Acts to show at most, the newest ones
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Show all acts, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Show those before this place, which an earlier answer named
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<u64>,
    /// Fetch the receipt of each act into this folder, and check each without the network
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Query {
    /// Runs the command.
    pub fn run(self) -> Done {
        let client = self.connection.client()?;
        let page = self.fetch(&client)?;
        if self.json {
            json(&page)?;
        } else {
            show(&page)?;
        }
        match &self.receipts {
            Some(folder) => prove(&client, &self.connection.genesis()?, folder, &page.acts),
            None => Ok(()),
        }
    }

    /// As many pages as it takes, as one. It is complete to the block of the first: later pages lie before it.
    fn fetch(&self, client: &Client) -> Result<AuditPage, Failure> {
        let texts = [
            ("principal", self.principal.as_ref().map(ToString::to_string)),
            ("organisation", self.organisation.clone()),
            ("resource", self.resource.as_ref().map(ToString::to_string)),
            ("action", self.action.clone()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("outcome", self.outcome.clone()),
        ];
        let mut cursor = self.cursor.map(|cursor| cursor.to_string());
        let mut whole: Option<AuditPage> = None;
        loop {
            let held = whole.as_ref().map_or(0, |page| page.acts.len() as u64);
            let wanted = if self.all { AUDIT_PAGE_MAX } else { (self.limit - held).min(AUDIT_PAGE_MAX) }.to_string();
            let mut query: Vec<(&str, &str)> =
                texts.iter().filter_map(|(name, text)| Some((*name, text.as_deref()?))).collect();
            query.push(("limit", &wanted));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = client.audit(&query)?;
            cursor.clone_from(&page.next);
            let whole = match &mut whole {
                None => whole.insert(page),
                Some(whole) => {
                    whole.acts.extend(page.acts);
                    whole.next = page.next;
                    whole
                }
            };
            let is_enough = !self.all && whole.acts.len() as u64 >= self.limit;
            if cursor.is_none() || is_enough {
                return Ok(whole.clone());
            }
        }
    }
}

fn show(page: &AuditPage) -> Done {
    if !page.acts.is_empty() {
        let mut table = Table::new(&["time", "leaf", "who", "did", "to", "outcome"]);
        page.acts.iter().for_each(|act| table.row(row(act)));
        for (index, text) in table.lines().iter().enumerate() {
            line(if index == 0 { paint(Colour::Bold, text) } else { text.clone() })?;
        }
    }
    line(format_args!(
        "{}, complete to block {} of {}",
        count(page.acts.len() as u64, "act", "acts"),
        page.height,
        time(page.time_ms)
    ))?;
    match &page.next {
        Some(cursor) => line(format_args!("there are more: --cursor {cursor} goes on, --all shows all")),
        None => Ok(()),
    }
}

fn row(act: &ActView) -> [String; 6] {
    let further = act.resources.len() as u64 + act.resources_more;
    let first = act.resources.first().cloned().unwrap_or_default();
    // Of one entry the record says more than its register.
    let about = match act.resources.as_slice() {
        [register, record] if record.starts_with("record:") && register.starts_with("register:") => record.clone(),
        [_, _, ..] => format!("{first} and {} more", further - 1),
        _ => first,
    };
    let outcome = match (act.outcome, &act.code) {
        (ActOutcome::Accepted, _) => "accepted".to_owned(),
        (ActOutcome::Refused, Some(code)) => format!("refused: {code}"),
        (ActOutcome::Refused, None) => "refused".to_owned(),
    };
    [time(act.time_ms), act.leaf.to_string(), act.principal.clone(), act.actions.join(", "), about, outcome]
}

/// Fetches every act's receipt, checks it, and that it proves what the row says.
fn prove(client: &Client, genesis: &Genesis, folder: &Path, acts: &[ActView]) -> Done {
    fs::create_dir_all(folder).doing(|| format!("cannot make the folder `{}`", folder.display()))?;
    let mut broken = 0;
    for act in acts {
        let bytes = client.transaction_receipt(&act.id)?;
        let path = folder.join(format!("{:010}-{}.receipt", act.leaf, act.id));
        fs::write(&path, &bytes).doing(|| format!("cannot write `{}`", path.display()))?;
        if let Err(why) = check(&bytes, genesis, act) {
            broken += 1;
            say(format_args!("{} {}: {why}", paint(Colour::Red, "does not hold:"), path.display()));
        }
    }
    let held = acts.len() as u64 - broken;
    let place = folder.display();
    say(format_args!("{} in {place}, each checked against the trust anchor", count(held, "receipt", "receipts")));
    if broken == 0 {
        return Ok(());
    }
    Err(Failure::no(format!(
        "{} not prove what the node said: do not rely on it",
        count(broken, "act does", "acts do")
    )))
}

/// Whether the receipt holds, and proves the row: made anew from what is proven, it is the same.
fn check(bytes: &[u8], genesis: &Genesis, act: &ActView) -> Result<(), String> {
    let receipt = Receipt::decode(bytes).map_err(|error| error.to_string())?;
    receipt.check(genesis).map_err(|error| error.to_string())?;
    let Receipt::Transaction(proven) = receipt else { return Err("it is a record's receipt".to_owned()) };
    let transaction = SignedTransaction::decode(proven.transaction.clone()).map_err(|error| error.to_string())?;
    let TransactionReceipt { height, time_ms, transaction: bytes, outcome, index, .. } = proven;
    let entry = LogEntry { transaction: bytes, height, time_ms, outcome };
    if ActView::new(index, &entry, &transaction) == *act {
        return Ok(());
    }
    Err("it proves another act than the node's row says".to_owned())
}
