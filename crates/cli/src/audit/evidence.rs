//! The evidence for an answer: a receipt of every act and of every proposal in it, each checked without the network, and
//! whether they prove what the node said.

use crate::output::{Colour, Doing, Done, Failure, count, paint, say};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use tallystick_api::{ActView, AuditPage, TurnView};
use tallystick_client::Client;
use tallystick_protocol::{
    Choice, Genesis, LogEntry, Operation, ProposalRow, ProposalStatus, Receipt, SignedTransaction, TransactionReceipt,
    receipt::Claim,
};

/// Fetches a receipt of everything in the answer and checks each. When the answer is all there is on `whole`, a proposal, its
/// ballots are counted, so that one that was left out is missed.
pub fn prove(client: &Client, genesis: &Genesis, folder: &Path, page: &AuditPage, whole: Option<&str>) -> Done {
    fs::create_dir_all(folder).doing(|| format!("cannot make the folder `{}`", folder.display()))?;
    let mut folder = Folder { folder, written: 0, broken: 0 };
    let mut said = Vec::new();
    for act in &page.acts {
        let bytes = client.transaction_receipt(&act.id)?;
        let checked = act_of(&bytes, genesis, act);
        said.extend(folder.keep(&format!("{:010}-{}.receipt", act.leaf, act.id), &bytes, checked)?);
    }
    let turned: BTreeSet<&str> = page.turns.iter().map(|turn| turn.proposal.as_str()).chain(whole).collect();
    for id in turned {
        let bytes = client.proposal_receipt(id)?;
        let checked = proposal_of(&bytes, genesis, id).and_then(|row| {
            let turns = page.turns.iter().filter(|turn| turn.proposal == id);
            turns.into_iter().try_for_each(|turn| require_turn(&row, turn))?;
            if whole == Some(id) { require_ballots(&row, &said) } else { Ok(()) }
        });
        folder.keep(&format!("proposal-{id}.receipt"), &bytes, checked)?;
    }
    folder.report()
}

/// Where receipts are kept, and how they did.
struct Folder<'a> {
    folder: &'a Path,
    written: u64,
    broken: u64,
}

impl Folder<'_> {
    /// Writes a receipt, and tells when it does not hold.
    fn keep<T>(&mut self, name: &str, bytes: &[u8], checked: Result<T, String>) -> Result<Option<T>, Failure> {
        let path = self.folder.join(name);
        fs::write(&path, bytes).doing(|| format!("cannot write `{}`", path.display()))?;
        self.written += 1;
        match checked {
            Ok(proven) => Ok(Some(proven)),
            Err(why) => {
                self.broken += 1;
                say(format_args!("{} {}: {why}", paint(Colour::Red, "does not hold:"), path.display()));
                Ok(None)
            }
        }
    }

    fn report(&self) -> Done {
        let (held, place) = (self.written - self.broken, self.folder.display());
        say(format_args!("{} in {place}, each checked against the trust anchor", count(held, "receipt", "receipts")));
        if self.broken == 0 {
            return Ok(());
        }
        let broken = count(self.broken, "receipt does", "receipts do");
        Err(Failure::no(format!("{broken} not prove what the node said: do not rely on it")))
    }
}

/// What a receipt proves, if it holds and proves the row: made anew from what is proven, it is the same.
fn act_of(bytes: &[u8], genesis: &Genesis, act: &ActView) -> Result<(u64, LogEntry, SignedTransaction), String> {
    let receipt = Receipt::decode(bytes).map_err(|error| error.to_string())?;
    receipt.check(genesis).map_err(|error| error.to_string())?;
    let Receipt::Transaction(proven) = receipt else { return Err("it is no act's receipt".to_owned()) };
    let transaction = SignedTransaction::decode(proven.transaction.clone()).map_err(|error| error.to_string())?;
    let TransactionReceipt { height, time_ms, transaction: bytes, outcome, index, .. } = proven;
    let entry = LogEntry { transaction: bytes, height, time_ms, outcome };
    if ActView::new(index, &entry, &transaction) == *act {
        return Ok((index, entry, transaction));
    }
    Err("it proves another act than the node's row says".to_owned())
}

/// Where the proposal stands, by its receipt.
fn proposal_of(bytes: &[u8], genesis: &Genesis, id: &str) -> Result<ProposalRow, String> {
    let receipt = Receipt::decode(bytes).map_err(|error| error.to_string())?;
    match receipt.check(genesis).map_err(|error| error.to_string())?.claim {
        Claim::Proposal { proposal } if proposal.id == id => Ok(*proposal),
        _ => Err(format!("it is no receipt of proposal {id}")),
    }
}

/// Whether the proposal ended as a row of the answer says. That it went on at a time is past: its end is what counts.
fn require_turn(row: &ProposalRow, turn: &TurnView) -> Result<(), String> {
    let ended = match turn.status {
        ProposalStatus::Effective | ProposalStatus::Failed => row.effect_height,
        ProposalStatus::Lapsed => row.decided_height,
        _ => return Ok(()),
    };
    if row.status == turn.status && ended == Some(turn.height) {
        return Ok(());
    }
    Err(format!(
        "it proves that the proposal is {}, and not that it became {} at block {}",
        row.status, turn.status, turn.height
    ))
}

/// Whether the acts that were proven are the submission and all ballots that its polls count.
fn require_ballots(row: &ProposalRow, said: &[(u64, LogEntry, SignedTransaction)]) -> Result<(), String> {
    if !said.iter().any(|(leaf, ..)| *leaf == row.leaf) {
        return Err(format!("leaf {}, which submitted it, is not among the acts that the node told", row.leaf));
    }
    let mut ballots: BTreeMap<String, Choice> = BTreeMap::new();
    for (_, entry, transaction) in said.iter().filter(|(_, entry, _)| entry.outcome.is_accepted()) {
        let organisation = transaction.actor(entry.outcome.decision()).organisation().to_owned();
        for operation in transaction.operations() {
            match operation {
                Operation::BallotCast { proposal, choice } if *proposal == row.id => {
                    ballots.insert(organisation.clone(), *choice);
                }
                _ => {}
            }
        }
    }
    for poll in &row.polls {
        let mut counted = tallystick_protocol::Poll { yes: 0, no: 0, abstain: 0, ..poll.clone() };
        for (organisation, choice) in ballots.iter().filter(|(organisation, _)| poll.has_elector(organisation)) {
            counted.count(*choice, poll.rule.weight.votes(&row.weights, organisation));
        }
        if counted != *poll {
            return Err(format!(
                "its poll on {} counts {} yes, {} no and {} abstained, the ballots that the node told {}, {} and {}",
                poll.rule.kind, poll.yes, poll.no, poll.abstain, counted.yes, counted.no, counted.abstain
            ));
        }
    }
    Ok(())
}
