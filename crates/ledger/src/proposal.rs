//! Proposals: how a change of the network's order is put to the vote, voted on, taken back and held up.
//!
//! ```text
//! submit ─► open ──ballots──► accepted ──its height──► effective, or failed
//!             │  │  └───────► rejected
//!             │  └──────────► withdrawn (an accepted one too)
//!             └─its time────► lapsed
//! ```
//!
//! An objection pauses an open or an accepted proposal. While it lasts no ballot is taken and nothing takes effect; then the
//! time for ballots goes on where it stopped, or the notice begins anew.
//!
//! The electorate is frozen when a proposal is submitted: how many votes there are, by which rules, with which weights. An
//! organisation admitted or resumed later has no vote on it, and one suspended later stays in the count. So nobody changes the
//! outcome of a vote by changing who votes.
//!
//! INVARIANT: a proposal is accepted only when each of its polls has passed, and every vote in a poll is a ballot's row.

pub mod row;

use std::{collections::BTreeSet, sync::Arc};

use tallystick_protocol::{
    Change, ChangeKind, Choice, Circle, Code, LimitName, ProposalStatus, RuleText, Rulebook, StateKey, Weight,
    limits::{EFFECT_BLOCKS_AHEAD_MAX, POLLS_MAX, PROPOSAL_ROW_BYTES_MAX, PROPOSALS_OPEN_MAX, PROPOSALS_PER_PAGE},
};

use crate::{
    agenda::{AgendaRow, When, schedule},
    apply::{Act, Stop},
    authorise::Resource,
    change, limit, membership, rulebook,
    state::{Draft, Row, Unread},
};
use row::{BallotRow, ObjectionRow, PageRow, Poll, ProposalRow, Verdict};

/// A proposal as it is submitted.
#[derive(Clone, Copy)]
pub(crate) struct Submission<'a> {
    pub id: &'a str,
    pub title: &'a str,
    pub text: &'a RuleText,
    pub changes: &'a [Change],
    pub effect_height: Option<u64>,
}

pub(crate) fn submit(draft: &mut Draft<'_>, act: &Act<'_>, new: &Submission<'_>) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    if draft.proposal(&StateKey::proposal(new.id))?.is_some() {
        return Err(Code::ProposalExists.into());
    }
    let agenda = AgendaRow::read(draft)?;
    require_room(draft, act, &agenda)?;
    let rulebook = rulebook::read(draft)?;
    let polls = polls(draft, act, &rulebook, new.changes)?;
    let heights = act.block.height + 1..=act.block.height.saturating_add(EFFECT_BLOCKS_AHEAD_MAX);
    if new.effect_height.is_some_and(|height| !heights.contains(&height)) {
        return Err(Code::EffectHeight.into());
    }
    change::require_possible(draft, new.changes)?;
    write_new(draft, act, new, agenda, polls, &rulebook)
}

fn write_new(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    new: &Submission<'_>,
    mut agenda: AgendaRow,
    polls: Vec<Poll>,
    rulebook: &Rulebook,
) -> Result<(), Stop> {
    let open_ms = polls.iter().map(|poll| poll.rule.open_seconds.saturating_mul(1_000)).max().unwrap_or_default();
    let is_weighted = polls.iter().any(|poll| poll.rule.weight == Weight::Listed);
    let row = ProposalRow {
        id: new.id.to_owned(),
        title: new.title.to_owned(),
        proposer: act.signer.id.clone(),
        text: new.text.hash(),
        changes: u32::try_from(new.changes.len()).unwrap_or(u32::MAX),
        leaf: act.leaf,
        submitted_height: act.block.height,
        submitted_ms: act.block.time_ms,
        status: ProposalStatus::Open,
        polls,
        weights: if is_weighted { rulebook.weights.clone() } else { Vec::new() },
        closes_ms: act.block.time_ms.saturating_add(open_ms),
        paused_until_ms: None,
        stated_height: new.effect_height,
        effect_height: None,
        decided_height: None,
        failure: None,
    };
    if row.to_bytes().len() > PROPOSAL_ROW_BYTES_MAX {
        return Err(Code::TooLarge.into());
    }
    for (change, index) in new.changes.iter().zip(0..) {
        draft.write(StateKey::change(new.id, index), Row::Change(Box::new(change.clone())));
    }
    if let RuleText::Whole(text) = new.text {
        draft.write(StateKey::rule_text(new.id), Row::RuleText(text.clone()));
    }
    let page_key = StateKey::proposals(page_of(agenda.proposals));
    let mut page: PageRow = draft.page(&page_key)?.cloned().unwrap_or_default();
    page.ids.push(new.id.to_owned());
    draft.write(page_key, Row::Page(page));
    agenda.proposals += 1;
    agenda.set(&row, When::Closes(row.closes_ms));
    agenda.write(draft);
    write(draft, row);
    change::keep_keys(draft, new.id, new.changes)
}

/// The rows that any act of an organisation on a proposal that is there reads.
pub(crate) fn wanted(id: &str, organisation: &str) -> [StateKey; 4] {
    let (ballot, objection) = (StateKey::ballot(id, organisation), StateKey::objection(id, organisation));
    [StateKey::proposal(id), StateKey::agenda(), ballot, objection]
}

/// The rows that a new proposal reads.
pub(crate) fn wanted_for_new(id: &str, changes: &[Change]) -> Vec<StateKey> {
    let mut keys = vec![StateKey::proposal(id), StateKey::agenda(), StateKey::limits(), StateKey::rulebook()];
    keys.extend(changes.iter().flat_map(change::wanted));
    keys
}

/// The page of the list on which a proposal of this number, from 0, stands.
pub(crate) fn page_of(number: u64) -> u32 {
    u32::try_from(number / u64::from(PROPOSALS_PER_PAGE)).unwrap_or(u32::MAX)
}

fn require_room(draft: &mut Draft<'_>, act: &Act<'_>, agenda: &AgendaRow) -> Result<(), Stop> {
    let own = agenda.due.iter().filter(|due| due.organisation == act.organisation()).count();
    let own_max = limit::value(draft, LimitName::ProposalsPerOrganisation)?;
    let free = PROPOSALS_OPEN_MAX.saturating_sub(agenda.due.len());
    // Who has a place gets another only while there is one for each member that has none: a few would else fill the agenda,
    // and fill it again, and nobody else could propose anything. In a large network half of the places are kept: more members
    // than that do not propose at once, and each may want to change two things.
    let kept = if own == 0 { 0 } else { members_without(draft, agenda)?.min(PROPOSALS_OPEN_MAX / 2) };
    if free <= kept || own as u64 >= own_max { Err(Code::ProposalsFull.into()) } else { Ok(()) }
}

/// Active organisations that have no proposal on the agenda.
fn members_without(draft: &mut Draft<'_>, agenda: &AgendaRow) -> Result<usize, Unread> {
    let with: BTreeSet<&str> = agenda.due.iter().map(|due| due.organisation.as_str()).collect();
    with.iter().for_each(|organisation| draft.touch(StateKey::organisation(organisation)));
    draft.complete()?;
    let mut without = draft.counters(&StateKey::counters())?.map_or(0, |counters| counters.active as usize);
    for organisation in with {
        without = without.saturating_sub(usize::from(membership::is_active(draft, organisation)?));
    }
    Ok(without)
}

/// The polls that these changes must pass, by the rules in force now, among those who have a vote now. Where a rule tells those
/// that a change is about from the others there is one poll for each of them: for else whoever proposes would choose, by what
/// it names beside an organisation, who has no vote on that organisation.
fn polls(draft: &mut Draft<'_>, act: &Act<'_>, rulebook: &Rulebook, changes: &[Change]) -> Result<Vec<Poll>, Stop> {
    let mut asked: BTreeSet<(ChangeKind, Option<String>)> = BTreeSet::new();
    for change in changes {
        let rule = rulebook::rule(rulebook, change.kind());
        let concerned = change::concerned(draft, change)?;
        if !may_propose(rule.propose, &concerned, act.organisation()) {
            return Err(Code::NotProposer.into());
        }
        if rule.vote == Circle::Members {
            asked.insert((rule.kind, None));
        } else {
            asked.extend(concerned.into_iter().map(|organisation| (rule.kind, Some(organisation))));
        }
    }
    if asked.len() > POLLS_MAX {
        return Err(Code::TooLarge.into());
    }
    asked.iter().flat_map(|(_, about)| about).for_each(|about| draft.touch(StateKey::organisation(about)));
    let mut polls = Vec::with_capacity(asked.len());
    for (kind, about) in asked {
        let rule = rulebook::rule(rulebook, kind);
        let votes = rulebook::electorate(draft, rulebook, &rule, about.as_deref())?;
        polls.push(Poll { rule, about, votes, yes: 0, no: 0, abstain: 0 });
    }
    if polls.iter().any(|poll| poll.votes == 0) { Err(Code::ElectorateEmpty.into()) } else { Ok(polls) }
}

fn may_propose(circle: Circle, concerned: &BTreeSet<String>, organisation: &str) -> bool {
    let is_concerned = concerned.contains(organisation);
    match circle {
        Circle::Members => true,
        Circle::Others => !is_concerned,
        Circle::Concerned => is_concerned && concerned.len() == 1,
    }
}

pub(crate) fn withdraw(draft: &mut Draft<'_>, act: &Act<'_>, id: &str) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let mut row = find(draft, id)?;
    if row.proposer.organisation() != act.organisation() {
        return Err(Code::NotProposer.into());
    }
    if !row.is_pending() {
        return Err(Code::ProposalStatus.into());
    }
    decide(draft, act, &mut row, ProposalStatus::Withdrawn)?;
    write(draft, row);
    Ok(())
}

pub(crate) fn vote(draft: &mut Draft<'_>, act: &Act<'_>, id: &str, choice: Choice) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let mut row = find(draft, id)?;
    let organisation = act.organisation();
    require_elector(draft, &row, organisation)?;
    if row.status != ProposalStatus::Open || (row.paused_until_ms.is_none() && act.block.time_ms >= row.closes_ms) {
        return Err(Code::ProposalStatus.into());
    }
    if row.paused_until_ms.is_some() {
        return Err(Code::ProposalPaused.into());
    }
    let key = StateKey::ballot(id, organisation);
    if draft.ballot(&key)?.is_some() {
        return Err(Code::BallotExists.into());
    }
    let weights = std::mem::take(&mut row.weights);
    for poll in &mut row.polls {
        if poll.has_elector(organisation) {
            poll.count(choice, poll.rule.weight.votes(&weights, organisation));
        }
    }
    row.weights = weights;
    let ballot = BallotRow { principal: act.signer.id.clone(), choice, leaf: act.leaf, time_ms: act.block.time_ms };
    draft.write(key, Row::Ballot(ballot));
    let verdicts: Vec<Verdict> = row.polls.iter().map(Poll::verdict).collect();
    if verdicts.contains(&Verdict::Failed) {
        decide(draft, act, &mut row, ProposalStatus::Rejected)?;
    } else if verdicts.iter().all(|verdict| *verdict == Verdict::Passed) {
        decide(draft, act, &mut row, ProposalStatus::Accepted)?;
    }
    write(draft, row);
    Ok(())
}

pub(crate) fn object(draft: &mut Draft<'_>, act: &Act<'_>, id: &str, reason: &str) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let mut row = find(draft, id)?;
    require_elector(draft, &row, act.organisation())?;
    let now_ms = act.block.time_ms;
    let is_over = row.status == ProposalStatus::Open && row.paused_until_ms.is_none() && now_ms >= row.closes_ms;
    if !row.is_pending() || is_over {
        return Err(Code::ProposalStatus.into());
    }
    let pause_ms = row.pause_ms();
    if pause_ms == 0 {
        return Err(Code::ObjectionExcluded.into());
    }
    let key = StateKey::objection(id, act.organisation());
    if draft.objection(&key)?.is_some() {
        return Err(Code::ObjectionExists.into());
    }
    let paused_ms = row.paused_until_ms.unwrap_or(now_ms).max(now_ms);
    let until_ms = paused_ms.max(now_ms.saturating_add(pause_ms));
    // The clock for ballots stands still meanwhile.
    row.closes_ms = row.closes_ms.saturating_add(until_ms - paused_ms);
    row.paused_until_ms = Some(until_ms);
    // The notice begins anew when the pause is over: until then nobody knows the height.
    row.effect_height = None;
    let objection = ObjectionRow {
        principal: act.signer.id.clone(),
        reason: reason.to_owned(),
        leaf: act.leaf,
        time_ms: now_ms,
        until_ms,
    };
    draft.write(key, Row::Objection(objection));
    let mut agenda = AgendaRow::read(draft)?;
    agenda.set(&row, When::Resumes(until_ms));
    agenda.write(draft);
    write(draft, row);
    Ok(())
}

/// Goes on only if the organisation has a vote on it: it is of a poll's circle, and was active when that was frozen.
fn require_elector(draft: &mut Draft<'_>, row: &ProposalRow, organisation: &str) -> Result<(), Stop> {
    let joined = draft.organisation(&StateKey::organisation(organisation))?.map(|member| member.since_height);
    let was_member = joined.is_some_and(|height| height <= row.submitted_height);
    let has_vote = was_member && row.polls.iter().any(|poll| poll.has_elector(organisation));
    if has_vote { Ok(()) } else { Err(Code::NotElector.into()) }
}

fn find(draft: &mut Draft<'_>, id: &str) -> Result<ProposalRow, Stop> {
    Ok(ProposalRow::clone(draft.proposal(&StateKey::proposal(id))?.ok_or(Code::ProposalUnknown)?))
}

/// Ends the vote; an accepted proposal gets the height of its effect, any other leaves the agenda.
fn decide(draft: &mut Draft<'_>, act: &Act<'_>, row: &mut ProposalRow, status: ProposalStatus) -> Result<(), Stop> {
    row.status = status;
    row.decided_height = Some(act.block.height);
    row.paused_until_ms = None;
    let mut agenda = AgendaRow::read(draft)?;
    if status == ProposalStatus::Accepted {
        let when = schedule(row, &agenda, act.block);
        agenda.set(row, when);
    } else {
        row.effect_height = None;
        agenda.remove(&row.id);
    }
    agenda.write(draft);
    Ok(())
}

pub(crate) fn write(draft: &mut Draft<'_>, row: ProposalRow) {
    draft.write(StateKey::proposal(&row.id), Row::Proposal(Arc::new(row)));
}
