//! Proposals as the state has them, the rulebook, and dry runs.

use super::{
    Runtime, Service,
    state::{Lack, Sheet},
};
use std::ops::Range;
use tallystick_ledger::{
    AgendaRow, BallotRow, CountersRow, ObjectionRow, OrganisationRow, PageRow, Report, dry_run, dry_run_rows,
};
use tallystick_protocol::{
    Change, OrganisationStatus, ProposalRow, ProposalStatus, Rulebook, StateKey, cbor,
    limits::{ORGANISATIONS_PER_PAGE, PROPOSALS_PER_PAGE, STATE_VALUE_BYTES_MAX},
};
use tallystick_storage::read::ReadError;

/// A proposal with all that was said on it.
#[derive(Debug)]
pub struct Proposal {
    /// Where it stands.
    pub row: ProposalRow,
    /// Its text, if it carries it.
    pub text: Option<String>,
    /// What it changes.
    pub changes: Vec<Change>,
    /// Every organisation that may have spoken on it, with its ballot and its objection.
    pub said: Vec<Said>,
}

/// What one organisation said on a proposal.
#[derive(Debug)]
pub struct Said {
    /// The organisation.
    pub organisation: String,
    /// Whether votes are taken and it may still cast one, where the rule gives it one: it has cast none, is active, and was when
    /// the proposal was submitted.
    pub is_outstanding: bool,
    /// Its ballot.
    pub ballot: Option<BallotRow>,
    /// Its objection.
    pub objection: Option<ObjectionRow>,
}

impl<E: Runtime> Service<E> {
    /// The newest proposals whose numbers, from 0 in the order of submission, are below `before`: at most `limit`, the newest
    /// first. With the height they stand at, and the number of the last one.
    pub async fn proposals(&self, before: u64, limit: usize) -> Result<(u64, u64, Vec<ProposalRow>), ReadError> {
        let found = self.read([StateKey::agenda()], |sheet| {
            let total = sheet.row(StateKey::agenda(), AgendaRow::decode)?.map_or(0, |agenda| agenda.proposals);
            let end = total.min(before);
            let first = end.saturating_sub(limit as u64);
            let ids = listed(sheet, StateKey::proposals, PROPOSALS_PER_PAGE, first..end)?;
            let rows = sheet.rows(ids.iter().rev().map(|id| StateKey::proposal(id)), ProposalRow::decode)?;
            Ok((first, rows.into_iter().flatten().collect()))
        });
        let (height, (first, rows)) = found.await?;
        Ok((height, first, rows))
    }

    /// Where a proposal stands.
    pub async fn proposal_row(&self, id: &str) -> Result<Option<ProposalRow>, ReadError> {
        let key = StateKey::proposal(id);
        Ok(self.read([key], |sheet| sheet.row(key, ProposalRow::decode)).await?.1)
    }

    /// A proposal with all that was said on it, and the height that it stands at.
    pub async fn proposal(&self, id: &str) -> Result<Option<(u64, Proposal)>, ReadError> {
        let first = [StateKey::proposal(id), StateKey::rule_text(id), StateKey::counters()];
        let (height, proposal) = self.read(first, |sheet| proposal(sheet, id)).await?;
        Ok(proposal.map(|proposal| (height, proposal)))
    }

    /// Organisations that are or were members, in the order in which they joined: `count` of them after the first `skip`. With
    /// how many there are, and the height that they stand at.
    pub async fn organisations(
        &self,
        skip: usize,
        count: usize,
    ) -> Result<(u64, usize, Vec<OrganisationRow>), ReadError> {
        let found = self.read([StateKey::counters()], |sheet| {
            let total = u64::from(organisations(sheet)?);
            let first = total.min(skip as u64);
            let end = total.min(first.saturating_add(count as u64));
            let ids = listed(sheet, StateKey::organisations, ORGANISATIONS_PER_PAGE, first..end)?;
            let rows = sheet.rows(ids.iter().map(|id| StateKey::organisation(id)), OrganisationRow::decode)?;
            Ok((usize::try_from(total).unwrap_or(usize::MAX), rows.into_iter().flatten().collect()))
        });
        let (height, (total, rows)) = found.await?;
        Ok((height, total, rows))
    }

    /// The rulebook in force, the version of the protocol, and the height they stand at.
    pub async fn rulebook(&self) -> Result<Option<(u64, u32, Rulebook)>, ReadError> {
        let found = self.read([StateKey::rulebook(), StateKey::agenda()], |sheet| {
            let agenda = sheet.row(StateKey::agenda(), AgendaRow::decode)?.unwrap_or_default();
            Ok((agenda.version, sheet.row(StateKey::rulebook(), |bytes| cbor::decode(bytes, STATE_VALUE_BYTES_MAX))?))
        });
        let (height, (version, rulebook)) = found.await?;
        Ok(rulebook.map(|rulebook| (height, version, rulebook)))
    }

    /// What changes would do in the next block, and at which height that is said; nothing comes of it. `place` is kept until that
    /// is done.
    pub async fn dry_run<P: Send + 'static>(
        &self,
        changes: Vec<Change>,
        place: P,
    ) -> Result<(u64, Vec<Report>), ReadError> {
        self.at_one_state(dry_run_rows(&changes), place, move |view, context| dry_run(view, context, &changes)).await
    }
}

/// How many organisations are or were members.
fn organisations(sheet: &Sheet) -> Result<u32, Lack> {
    Ok(sheet.row(StateKey::counters(), CountersRow::decode)?.map_or(0, |counters| counters.organisations))
}

/// The ids at these numbers, from 0, of a list that is kept in pages.
pub(super) fn listed(
    sheet: &Sheet,
    page: impl Fn(u32) -> StateKey,
    page_size: u32,
    numbers: Range<u64>,
) -> Result<Vec<String>, Lack> {
    let (first, end) = (numbers.start / u64::from(page_size), numbers.end.div_ceil(u64::from(page_size)));
    let numbered = |number: u64| page(u32::try_from(number).unwrap_or(u32::MAX));
    let pages = sheet.rows((first..end).map(numbered), PageRow::decode)?;
    let ids = pages.into_iter().flat_map(|page| page.unwrap_or_default().ids);
    let ids = ids.zip(first * u64::from(page_size)..).filter(|(_, number)| numbers.contains(number));
    Ok(ids.map(|(id, _)| id).collect())
}

fn proposal(sheet: &Sheet, id: &str) -> Result<Option<Proposal>, Lack> {
    let Some(row) = sheet.row(StateKey::proposal(id), ProposalRow::decode)? else { return Ok(None) };
    let text = sheet.row(StateKey::rule_text(id), |bytes| cbor::decode(bytes, STATE_VALUE_BYTES_MAX))?;
    let changes = (0..row.changes).map(|index| StateKey::change(id, index));
    let changes = sheet.rows(changes, |bytes| cbor::decode(bytes, STATE_VALUE_BYTES_MAX))?;
    let organisations = 0..u64::from(organisations(sheet)?);
    let organisations = listed(sheet, StateKey::organisations, ORGANISATIONS_PER_PAGE, organisations)?;
    // Who has still to vote is of interest only while votes are taken.
    let is_open = row.status == ProposalStatus::Open;
    let member_key = |organisation: &str| is_open.then(|| StateKey::organisation(organisation));
    sheet.require(organisations.iter().flat_map(|organisation| {
        let said = [StateKey::ballot(id, organisation), StateKey::objection(id, organisation)];
        said.into_iter().chain(member_key(organisation))
    }))?;
    let was_active = |member: &OrganisationRow| {
        member.status == OrganisationStatus::Active && member.since_height <= row.submitted_height
    };
    let said = organisations.into_iter().map(|organisation| {
        let ballot = sheet.row(StateKey::ballot(id, &organisation), BallotRow::decode)?;
        let objection = sheet.row(StateKey::objection(id, &organisation), ObjectionRow::decode)?;
        let member = match member_key(&organisation) {
            Some(key) => sheet.row(key, OrganisationRow::decode)?,
            None => None,
        };
        Ok(Said {
            organisation,
            is_outstanding: is_open && ballot.is_none() && member.is_some_and(|member| was_active(&member)),
            ballot,
            objection,
        })
    });
    let said = said.collect::<Result<_, Lack>>()?;
    Ok(Some(Proposal { text, changes: changes.into_iter().flatten().collect(), said, row }))
}
