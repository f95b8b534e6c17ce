//! `tally proposal`: how the organisations of a network change its order.

mod diff;
mod draft;

use crate::{
    connection::{Connection, Signing},
    output::{Colour, Doing, Done, Failure, Table, count, json, line, paint, say, time},
    paging::Paging,
    register,
    transaction::write_receipt,
};
use clap::{Args, Subcommand};
use draft::Draft;
use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tallystick_api::{
    ChangeView, DifferenceView, DryRunView, FailureView, PollView, ProposalBrief, ProposalView, ReportView,
    ViolationView, limits::PROPOSALS_PAGE_MAX,
};
use tallystick_client::Client;
use tallystick_protocol::{Change, ChangeKind, Choice, Code, Operation, ProposalStatus, change::words::Shown};

/// The property of a policy that is its text.
const POLICY_TEXT: &str = "text";

/// How often to look whether a proposal has taken effect: an idle network makes a block in about this time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Propose changes of the network's order, and vote on them
#[derive(Debug, Args)]
#[command(after_help = "A vote, step by step:\n  \
    tally proposal draft harbour.toml --kind organisation-admit    a form to fill in\n  \
    tally proposal draft harbour.toml --dry-run                    what it would do\n  \
    tally proposal submit harbour.toml                             put it to the vote\n  \
    tally proposal vote admit-harbour yes                          each organisation, once\n  \
    tally proposal show admit-harbour                              who voted what, what is needed, when it takes effect")]
pub struct Proposal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Draft(DraftFile),
    Submit(Submit),
    Show(Show),
    Vote(Vote),
    Withdraw(Withdraw),
    Object(Object),
    List(List),
    Rulebook(Rulebook),
}

/// Write a form for a proposal, or try a filled one
#[derive(Debug, Args)]
struct DraftFile {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The kind of change that the form is for, such as organisation-admit, policies, rulebook
    #[arg(long, value_name = "KIND", default_value = "organisation-admit", conflicts_with = "dry_run")]
    kind: ChangeKind,
    /// Say what the changes of the filled form would do to the ledger as it is; exit code 1 if one could not be made
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Put a proposal to the vote
#[derive(Debug, Args)]
struct Submit {
    /// The filled form
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Submit it although this program does not know the version of the protocol that it names
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Show a proposal: its changes, who voted what, what it still needs, when it takes effect
#[derive(Debug, Args)]
struct Show {
    /// The proposal's id
    #[arg(value_name = "ID")]
    id: String,
    /// Say what its changes would do to the ledger as it is; exit code 1 if one could not be made
    #[arg(long)]
    dry_run: bool,
    /// Wait until it is in effect; exit code 1 if it never will be
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Seconds to wait at most [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
    /// Write the proof of where it stands to this file: `tally verify` checks it offline
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    receipt: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Cast the ballot of the signer's organisation, once and for good
#[derive(Debug, Args)]
struct Vote {
    /// The proposal's id
    #[arg(value_name = "ID")]
    id: String,
    /// yes, no or abstain
    #[arg(value_name = "CHOICE")]
    choice: Choice,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Take a proposal of the signer's organisation back, before it takes effect
#[derive(Debug, Args)]
struct Withdraw {
    /// The proposal's id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Hold a proposal up for a while; each organisation can do so once
#[derive(Debug, Args)]
struct Object {
    /// The proposal's id
    #[arg(value_name = "ID")]
    id: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// List proposals, the newest first
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    paging: Paging,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Show the rulebook: who proposes and who decides what
#[derive(Debug, Args)]
struct Rulebook {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Proposal {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Command::Draft(command) => command.run(),
            Command::Submit(command) => command.run(),
            Command::Show(command) => command.run(),
            Command::Vote(command) => command.run(),
            Command::Withdraw(command) => command.run(),
            Command::Object(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Rulebook(command) => command.run(),
        }
    }
}

impl DraftFile {
    fn run(self) -> Done {
        if self.dry_run {
            let draft = Draft::read(&self.file)?;
            let report = self.connection.client()?.dry_run(&draft.changes)?.value;
            return tell_dry_run(&report, &draft.changes, self.json);
        }
        let shown = self.file.display();
        write_new(&self.file, &draft::template(self.kind))?;
        line(format_args!(
            "{shown} is a form for {}: fill it in, then tally proposal draft {shown} --dry-run",
            self.kind
        ))
    }
}

/// Writes a file that must not exist: a filled form is work.
fn write_new(path: &Path, text: &str) -> Done {
    let shown = path.display();
    match std::fs::File::create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::error(format!("`{shown}` exists already: choose another name, or remove it first")))
        }
        file => file.and_then(|mut file| file.write_all(text.as_bytes())).doing(|| format!("cannot write `{shown}`")),
    }
}

impl Submit {
    fn run(self) -> Done {
        let draft = Draft::read(&self.file)?;
        for (change, warning) in draft.changes.iter().filter_map(|change| Some((change, draft::warning(change)?))) {
            if matches!(change, Change::ProtocolVersion { .. }) && !self.anyway {
                return Err(Failure::no(format!("{warning}; with --anyway it is submitted all the same")));
            }
            say(warning);
        }
        match self.connection.client_if_named()? {
            Some(client) => {
                let report = client.dry_run(&draft.changes)?.value;
                require_voters(&client, &report, &draft.changes)?;
                warn(&report);
            }
            None => say("no node is named: what it would do has not been tried"),
        }
        if draft.keeps_only_hash() {
            say("the text is long: the ledger keeps its hash, so give the file to those who vote");
        }
        act(&self.connection, &self.signing, &draft.id, draft.operation())
    }
}

/// Goes on if each member that an agreement names is known. Most of what cannot be made as things stand may be possible when it takes effect,
/// and is put to the vote: this is not, for who is unknown now has no vote, and no proposal is taken that one of those it asks cannot vote on.
fn require_voters(client: &Client, report: &DryRunView, changes: &[Change]) -> Done {
    for member in members_in_doubt(report, changes) {
        if client.organisation(member)?.is_none() {
            return Err(Failure::no(format!(
                "the agreement names `{member}`, and there is no such organisation: check its id, `tally organisation list` shows those there are; \
                 nothing was submitted"
            )));
        }
    }
    Ok(())
}

/// The members of the agreements that name an organisation which there is not.
fn members_in_doubt<'c>(report: &'c DryRunView, changes: &'c [Change]) -> impl Iterator<Item = &'c str> {
    let is_in_doubt = |report: &ReportView| report.code.as_deref() == Some(Code::OrganisationUnknown.as_str());
    let in_doubt = report.changes.iter().zip(changes).filter(move |(report, _)| is_in_doubt(report));
    let agreements = in_doubt.filter_map(|(_, change)| match change {
        Change::PartitionOpen { agreement } | Change::PartitionAmend { agreement } => Some(agreement),
        _ => None,
    });
    agreements.flat_map(|agreement| agreement.members.iter().map(String::as_str))
}

/// Says which changes could not be made as things stand; they may be possible when they take effect.
fn warn(report: &DryRunView) {
    for change in report.changes.iter().filter(|change| change.code.is_some()) {
        let advice = change.advice.as_deref().unwrap_or_default();
        say(format_args!("as things stand this could not be done: {}: {advice}", change.words));
    }
}

impl Show {
    fn run(self) -> Done {
        let client = self.connection.client()?;
        let mut view = find(&client, &self.id)?;
        if self.wait {
            view = self.settled(&client, view)?;
        }
        if self.dry_run {
            let changes: Vec<_> = view.changes.into_iter().map(|change| change.change).collect();
            return tell_dry_run(&client.dry_run(&changes)?.value, &changes, self.json);
        }
        let is_in_effect = view.brief.status == ProposalStatus::Effective;
        if self.json {
            json(&view)?
        } else {
            tell(&view, &compared(&client, &view)?)?
        }
        if let Some(path) = &self.receipt {
            write_receipt(path, &client.proposal_receipt(&self.id)?)?;
        }
        if self.wait && !is_in_effect { Err(Failure::Said) } else { Ok(()) }
    }
}

impl Show {
    /// The proposal once nothing more will become of it. A read that fails is made again: nodes are started anew meanwhile.
    fn settled(&self, client: &Client, mut view: ProposalView) -> Result<ProposalView, Failure> {
        let started = Instant::now();
        let mut failing = false;
        while matches!(view.brief.status, ProposalStatus::Open | ProposalStatus::Accepted) {
            if self.timeout.is_some_and(|seconds| started.elapsed() >= Duration::from_secs(seconds)) {
                let (id, status) = (&view.brief.id, view.brief.status);
                return Err(Failure::no(format!("proposal {id} is still {status}: give more time with --timeout")));
            }
            std::thread::sleep(LOOK_AGAIN);
            match find(client, &self.id) {
                Ok(found) => (view, failing) = (found, false),
                Err(Failure::Error(why)) => {
                    if !std::mem::replace(&mut failing, true) {
                        say(format_args!("asking again: {why}"));
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(view)
    }
}

impl Vote {
    fn run(self) -> Done {
        let operation = Operation::BallotCast { proposal: self.id.clone(), choice: self.choice };
        act(&self.connection, &self.signing, &self.id, operation)
    }
}

impl Withdraw {
    fn run(self) -> Done {
        let operation = Operation::ProposalWithdraw { proposal: self.id.clone() };
        act(&self.connection, &self.signing, &self.id, operation)
    }
}

impl Object {
    fn run(self) -> Done {
        let operation = Operation::ProposalObject { proposal: self.id.clone(), reason: self.reason };
        act(&self.connection, &self.signing, &self.id, operation)
    }
}

impl List {
    fn run(self) -> Done {
        let client = self.connection.client()?;
        let list = self.paging.whole(PROPOSALS_PAGE_MAX, |query| Ok(client.proposals(query)?.value))?;
        if self.json {
            return json(&list);
        }
        if list.proposals.is_empty() {
            return line("nothing has been proposed yet");
        }
        let mut table = Table::new(&["proposal", "status", "by", "title"]);
        for each in list.proposals {
            let status = if each.paused_until_ms.is_some() { "paused".to_owned() } else { each.status.to_string() };
            table.row([each.id, status, each.proposer, each.title]);
        }
        table.print()?;
        Paging::more(list.next.as_deref())
    }
}

impl Rulebook {
    fn run(self) -> Done {
        let view = self.connection.client()?.rulebook()?.value;
        if self.json {
            return json(&view);
        }
        let mut table = Table::new(&["change", "rule"]);
        for rule in &view.rulebook.rules {
            table.row([rule.kind.to_string(), rule.to_string()]);
        }
        table.print()?;
        for weight in &view.rulebook.weights {
            line(format_args!("{} has {} by listed weights", weight.organisation, votes(u64::from(weight.votes))))?;
        }
        line(format_args!(
            "a custodian may set {} alone for each of its registers; blocks are of version {} of the protocol",
            count(u64::from(view.rulebook.register_policies_max), "policy", "policies"),
            view.protocol_version
        ))
    }
}

/// Fails with the reason if the changes could not be made as things stand.
pub fn require_possible(client: &Client, changes: &[Change]) -> Done {
    let report = client.dry_run(changes)?.value;
    let refused = report.changes.into_iter().find_map(|change| Some((change.code?, change.words, change.advice)));
    match refused {
        None => Ok(()),
        Some((code, words, advice)) => {
            Err(Failure::no(format!("{words}: refused: {code}: {}", advice.unwrap_or_default())))
        }
    }
}

/// A proposal, or that there is none.
pub fn find(client: &Client, id: &str) -> Result<ProposalView, Failure> {
    let found = client.proposal(id)?;
    found
        .map(|found| found.value)
        .ok_or_else(|| Failure::no(format!("there is no proposal `{id}`: `tally proposal list` shows those there are")))
}

/// Signs and submits one operation on a proposal, and says where the proposal then stands.
fn act(connection: &Connection, signing: &Signing, id: &str, operation: Operation) -> Done {
    let signer = connection.signer(signing)?;
    match register::act(connection, &signer, signing, format!("proposal {id}"), vec![operation])? {
        Some(_) => standing(&find(&connection.client()?, id)?),
        None => Ok(()),
    }
}

/// Where a proposal stands, and what it needs.
pub fn standing(view: &ProposalView) -> Done {
    line(stands(&view.brief, view.failure.as_ref()))?;
    for violation in view.failure.iter().flat_map(|failure| &failure.violations) {
        line(format_args!("  {}", violation_line(violation)))?;
    }
    view.polls.iter().try_for_each(|poll| line(format_args!("  {}", poll_line(poll))))
}

/// Where a proposal stands, in a line.
pub fn stands(brief: &ProposalBrief, failure: Option<&FailureView>) -> String {
    let colour = match brief.status {
        ProposalStatus::Accepted | ProposalStatus::Effective => Colour::Green,
        ProposalStatus::Rejected | ProposalStatus::Failed => Colour::Red,
        _ => Colour::Yellow,
    };
    let mut text = format!("proposal {} is {}", brief.id, paint(colour, brief.status.as_str()));
    if let Some(until_ms) = brief.paused_until_ms {
        text += &format!(", paused by an objection until {}", time(until_ms));
    }
    match (brief.status, brief.effect_height) {
        (ProposalStatus::Open, _) => text += &format!(": ballots are taken until {}", time(brief.closes_ms)),
        (ProposalStatus::Accepted, Some(height)) => text += &format!(": it takes effect at height {height}"),
        (ProposalStatus::Effective, Some(height)) => text += &format!(" since height {height}"),
        (ProposalStatus::Failed, _) => {
            if let Some(failure) = failure {
                let number = failure.change + 1;
                text += &format!(": change {number} could not be made ({}): {}", failure.code, failure.advice);
            }
        }
        _ => {}
    }
    text
}

/// What a refusal is about in particular, counted from 1 as people do.
fn violation_line(violation: &ViolationView) -> String {
    let ViolationView { entry, field, rule } = violation;
    let named = if field.is_empty() { String::new() } else { format!(", `{field}`") };
    format!("number {}{named}: {rule}", entry + 1)
}

fn poll_line(poll: &PollView) -> String {
    let PollView { kind, threshold, votes: all, yes, no, abstain, .. } = poll;
    let about = poll.about.as_ref().map(|about| format!(" of {about}")).unwrap_or_default();
    let outcome = match poll.verdict.as_str() {
        "undecided" => format!("{} more for it needed", poll.needed),
        verdict => verdict.to_owned(),
    };
    format!("{kind}{about} needs {threshold} of {}: {yes} yes, {no} no, {abstain} abstained; {outcome}", votes(*all))
}

fn votes(number: u64) -> String {
    count(number, "vote", "votes")
}

/// How the policies that it puts differ from those that they replace, as things stand; nothing once it is decided and done.
fn compared(client: &Client, view: &ProposalView) -> Result<Vec<DifferenceView>, Failure> {
    let puts = |change: &ChangeView| matches!(&change.change, Change::Policies { put, .. } if !put.is_empty());
    let is_pending = matches!(view.brief.status, ProposalStatus::Open | ProposalStatus::Accepted);
    if !is_pending || !view.changes.iter().any(puts) {
        return Ok(Vec::new());
    }
    let changes: Vec<Change> = view.changes.iter().map(|change| change.change.clone()).collect();
    let report = client.dry_run(&changes)?.value;
    let differences = report.changes.into_iter().flat_map(|change| change.differences);
    Ok(differences.filter(|difference| difference.before.is_some() && difference.field == POLICY_TEXT).collect())
}

/// A difference in a line, or of longer texts line by line.
fn tell_difference(difference: &DifferenceView) -> Done {
    let DifferenceView { subject, field, before, after } = difference;
    if let Some(before) = before.as_deref().filter(|before| before.contains('\n') || after.contains('\n')) {
        line(format_args!("     {subject}: {field}:"))?;
        let mut lines = diff::lines(before, after).into_iter();
        return lines.try_for_each(|(sign, text)| line(format_args!("       {sign} {}", Shown(text))));
    }
    let before = before.as_deref().unwrap_or("(new)");
    line(format_args!("     {}: {field}: {} -> {}", Shown(subject), Shown(before), Shown(after)))
}

fn tell(view: &ProposalView, compared: &[DifferenceView]) -> Done {
    standing(view)?;
    line("")?;
    line(format_args!("{}  {}", paint(Colour::Bold, "title   "), Shown(&view.brief.title)))?;
    line(format_args!(
        "{}  {} at {}, block {}",
        paint(Colour::Bold, "proposer"),
        view.brief.proposer,
        time(view.submitted_ms),
        view.submitted_height
    ))?;
    for (change, number) in view.changes.iter().zip(1..) {
        line(format_args!("{}  {}", paint(Colour::Bold, &format!("change {number}")), change.words))?;
        change.change.particulars(time).into_iter().try_for_each(|text| line(format_args!("     {text}")))?;
    }
    if !compared.is_empty() {
        line(paint(Colour::Bold, "as against the policies in force"))?;
        compared.iter().try_for_each(tell_difference)?;
    }
    match &view.text {
        Some(text) => {
            line(paint(Colour::Bold, "text"))?;
            text.trim_end().lines().try_for_each(|text| line(format_args!("  {}", Shown(text))))?;
        }
        None => line(format_args!("{}      SHA-256 {}", paint(Colour::Bold, "text"), view.text_hash))?,
    }
    line("")?;
    let mut table = Table::new(&["organisation", "ballot", "cast by", "at"]);
    for ballot in &view.ballots {
        let cells = [ballot.organisation.clone(), ballot.choice.to_string(), ballot.principal.clone()];
        table.row(cells.into_iter().chain([time(ballot.time_ms)]));
    }
    for organisation in &view.outstanding {
        table.row([organisation.clone(), "-".to_owned(), "not cast yet".to_owned(), String::new()]);
    }
    table.print()?;
    for objection in &view.objections {
        line(format_args!(
            "{} objected at {}, until {}: {}",
            objection.principal,
            time(objection.time_ms),
            time(objection.until_ms),
            Shown(&objection.reason)
        ))?;
    }
    Ok(())
}

fn tell_dry_run(report: &DryRunView, changes: &[Change], as_json: bool) -> Done {
    if as_json {
        changes.iter().filter_map(draft::warning).for_each(say);
        json(report)?;
    } else {
        for (change, number) in report.changes.iter().zip(1..) {
            let verdict = match &change.code {
                None => paint(Colour::Green, "ok"),
                Some(code) => paint(Colour::Red, code),
            };
            line(format_args!("{number}  {verdict}  {}", change.words))?;
            if let Some(warning) = changes.get(number - 1).and_then(draft::warning) {
                line(format_args!("     {}", paint(Colour::Yellow, &warning)))?;
            }
            if let Some(advice) = &change.advice {
                line(format_args!("     {advice}"))?;
            }
            for violation in &change.violations {
                line(format_args!("     {}", violation_line(violation)))?;
            }
            for difference in &change.differences {
                tell_difference(difference)?;
            }
        }
    }
    if report.holds { Ok(()) } else { Err(Failure::Said) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_form_that_is_there_is_kept_and_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("form.toml");
        write_new(&path, "filled").unwrap();
        let told = write_new(&path, "empty").unwrap_err().to_string();
        assert!(told.contains("exists already: choose another name, or remove it first"), "{told}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "filled");
    }

    /// One row a proposal: what kind of change it has, what trying it says, and of whom it is asked whether they are known.
    #[test]
    fn who_cannot_vote_on_an_agreement_is_looked_for() {
        for (kind, code, expected) in [
            (ChangeKind::PartitionOpen, Some("organisation-unknown"), &["council", "harbour"][..]),
            (ChangeKind::PartitionAmend, Some("organisation-unknown"), &["council", "harbour"]),
            (ChangeKind::PartitionOpen, Some("partition-exists"), &[]),
            (ChangeKind::PartitionOpen, None, &[]),
            // It may be admitted before this takes effect, and others vote.
            (ChangeKind::OrganisationSuspend, Some("organisation-unknown"), &[]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("form.toml");
            write_new(&path, &draft::template(kind)).unwrap();
            let draft = Draft::read(&path).unwrap();
            let report =
                serde_json::json!({"holds": false, "changes": [{"words": "", "code": code, "differences": []}]});
            let report: DryRunView = serde_json::from_value(report).unwrap();
            assert_eq!(members_in_doubt(&report, &draft.changes).collect::<Vec<_>>(), expected, "{kind} {code:?}");
        }
    }
}
