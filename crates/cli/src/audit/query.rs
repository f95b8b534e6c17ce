//! `tally audit query`: who did what, when, to what, and what became of it; with a receipt of each act, checked offline.

use crate::{
    connection::Connection,
    output::{Colour, Doing, Done, Failure, Table, count, json, line, paint, say, time},
    paging::Paging,
};
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tallystick_api::{ActOutcome, ActView, AuditPage, limits::AUDIT_PAGE_MAX};
use tallystick_client::Client;
use tallystick_protocol::{
    Genesis, LogEntry, MandateId, PolicyId, PrincipalId, Receipt, Resource, SignedTransaction, TransactionReceipt,
};

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
    /// Who signed, co-signed, or let another act in its name: organisation/name
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<PrincipalId>,
    /// The organisation of one of these
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// What was acted on: register:NAME, record:REGISTER/KEY, organisation:NAME, principal:ORGANISATION/NAME,
    /// authority:SHA-256, policy:ID, proposal:ID or mandate:ORGANISATION/NAME/MANDATE
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<Resource>,
    /// The name of an operation, such as entry-append; with a resource, an operation on that
    #[arg(long, value_name = "OPERATION")]
    action: Option<String>,
    /// A policy that determined what became of it
    #[arg(long, value_name = "ID")]
    policy: Option<PolicyId>,
    /// A mandate under which it was done: organisation/name/mandate
    #[arg(long, value_name = "MANDATE")]
    mandate: Option<MandateId>,
    /// A proposal that it submitted, voted on, objected to or took back
    #[arg(long, value_name = "ID")]
    proposal: Option<String>,
    /// From this time on: such as 2026-11-25 or 2026-11-25T09:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// accepted, refused, or the code of a refusal
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    #[command(flatten)]
    paging: Paging,
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
            ("policy", self.policy.as_ref().map(ToString::to_string)),
            ("mandate", self.mandate.as_ref().map(ToString::to_string)),
            ("proposal", self.proposal.clone()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("outcome", self.outcome.clone()),
        ];
        self.paging.whole(
            AUDIT_PAGE_MAX,
            |paging| {
                let mut query: Vec<(&str, &str)> =
                    texts.iter().filter_map(|(name, text)| Some((*name, text.as_deref()?))).collect();
                query.extend(paging);
                Ok(client.audit(&query)?)
            },
            |whole, older| {
                whole.acts.extend(older.acts);
                whole.next = older.next;
            },
            |whole| (whole.acts.len(), whole.next.clone()),
        )
    }
}

fn show(page: &AuditPage) -> Done {
    if !page.acts.is_empty() {
        let mut table = Table::new(&["time", "leaf", "who", "did", "to", "outcome", "under"]);
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
    Paging::more(page.next.as_deref())
}

fn row(act: &ActView) -> [String; 7] {
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
    [time(act.time_ms), act.leaf.to_string(), who(act), act.actions.join(", "), about, outcome, under(act)]
}

/// Who signed, with whom, and for whom.
fn who(act: &ActView) -> String {
    let mut who = act.principal.clone();
    for cosigner in &act.cosigners {
        who += &format!(" with {cosigner}");
    }
    if let Some(principal) = &act.on_behalf_of {
        who += &format!(" for {principal}");
    }
    who
}

/// The policies that determined what became of it, as of which change of them, and the mandates, from the one that it names to
/// the root.
fn under(act: &ActView) -> String {
    let decision = &act.decision;
    let mut under = Vec::new();
    if !decision.determining.is_empty() {
        let ids: Vec<&str> = decision.determining.iter().map(PolicyId::as_str).collect();
        under.push(format!("{} as of {}", ids.join(", "), decision.version));
    }
    let chain = if decision.mandates.is_empty() { act.mandate.as_slice() } else { &decision.mandates };
    if !chain.is_empty() {
        let ids: Vec<&str> = chain.iter().map(MandateId::as_str).collect();
        under.push(format!("mandate {}", ids.join(" from ")));
    }
    under.join("; ")
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
