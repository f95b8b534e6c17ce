//! `tally audit query`: who did what, when, to what, and what became of it; with a receipt of each act, checked offline.

use super::evidence;
use crate::{
    connection::Connection,
    output::{Colour, Done, Failure, Table, count, json, line, paint, time},
    paging::Paging,
    proposal::stands,
};
use clap::Args;
use std::path::PathBuf;
use tallystick_api::{ActOutcome, ActView, AuditPage, RecoveryView, TurnView, limits::AUDIT_PAGE_MAX};
use tallystick_client::Client;
use tallystick_protocol::{MandateId, PolicyId, PrincipalId, ProposalStatus, Resource};

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
    tally audit query --policy custodian-writes --from 2026-11-25\n  \
    tally audit query --proposal admit-harbour --all --receipts evidence\n  \
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
    /// Fetch the receipt of each act and of each proposal into this folder, and check each without the network
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
            Some(folder) => {
                let whole = self.proposal.as_deref().filter(|_| self.is_whole_proposal() && page.next.is_none());
                evidence::prove(&client, &self.connection.genesis()?, folder, &page, whole)
            }
            None => Ok(()),
        }
    }

    /// Whether all that was done on a proposal is asked for.
    fn is_whole_proposal(&self) -> bool {
        let narrowed = [&self.organisation, &self.action, &self.from, &self.to, &self.outcome];
        self.principal.is_none()
            && self.resource.is_none()
            && self.policy.is_none()
            && self.mandate.is_none()
            && self.paging.is_from_the_newest()
            && narrowed.iter().all(|text| text.is_none())
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
        self.paging.whole(AUDIT_PAGE_MAX, |paging| {
            let mut query: Vec<(&str, &str)> =
                texts.iter().filter_map(|(name, text)| Some((*name, text.as_deref()?))).collect();
            query.extend(paging);
            Ok(client.audit(&query)?)
        })
    }
}

/// Characters of what a proposal changes.
const WORDS_WIDTH: usize = 48;

fn show(page: &AuditPage) -> Done {
    let mut rows: Vec<((u64, bool), [String; 7])> = Vec::new();
    // A turn lies after the leaves before its block, so before the block's own.
    rows.extend(page.turns.iter().map(|turn| ((turn.log_size, false), turn_row(turn))));
    rows.extend(page.acts.iter().map(|act| ((act.leaf, true), row(act))));
    rows.sort_by(|(one, _), (other, _)| other.cmp(one));
    if !rows.is_empty() {
        let mut table = Table::new(&["time", "leaf", "who", "did", "to", "outcome", "under"]);
        rows.into_iter().for_each(|(_, row)| table.row(row));
        for (index, text) in table.lines().iter().enumerate() {
            line(if index == 0 { paint(Colour::Bold, text) } else { text.clone() })?;
        }
    }
    page.recoveries.iter().map(RecoveryView::sentence).try_for_each(line)?;
    if let Some(proposal) = &page.proposal {
        line(stands(proposal, None))?;
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

/// What became of a proposal at the beginning of a block: nobody's act, and so without a leaf.
fn turn_row(turn: &TurnView) -> [String; 7] {
    let outcome = match turn.status {
        ProposalStatus::Open | ProposalStatus::Accepted => "goes on".to_owned(),
        status => status.to_string(),
    };
    let changes = shortened(&turn.changes.join("; "));
    let place = format!("block {}", turn.height);
    [time(turn.time_ms), "-".to_owned(), place, changes, format!("proposal:{}", turn.proposal), outcome, String::new()]
}

/// As much as leaves the other columns on the screen; `tally proposal show` tells the rest.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(WORDS_WIDTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
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

/// The policies that determined what became of it, as of which change of them, the mandates, from the one that it names to the root,
/// and the policies that failed.
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
    if !decision.skipped.is_empty() {
        let ids: Vec<&str> = decision.skipped.iter().map(PolicyId::as_str).collect();
        under.push(format!("{} failed", ids.join(", ")));
    }
    under.join("; ")
}
