//! Partitions: how the need-to-know parts of the ledger begin, change and end. All of it by proposal, and by consent.
//!
//! INVARIANT: no agreement takes effect without a ballot that says yes from each of its members, and, where one is amended, from
//! each member of the one before. The rulebook says who else has a say, never that a member has none.

use std::{collections::BTreeSet, sync::Arc};

use tallystick_protocol::{
    AgreementTerms, Change, Choice, Code, PartitionRow, StateKey, Violation, ViolationRule,
    limits::{PARTITIONS_MAX, PARTITIONS_PER_PAGE, STATE_VALUE_BYTES_MAX, VIOLATIONS_MAX},
};

use crate::{
    apply::Stop,
    change::{self, Decree},
    membership,
    proposal::row::PageRow,
    state::{Draft, Row, Unread},
};

/// Opens a partition, by decree.
pub(crate) fn open(draft: &mut Draft<'_>, decree: &Decree<'_>, terms: &AgreementTerms) -> Result<(), Stop> {
    if draft.partition(&StateKey::partition(&terms.partition))?.is_some() {
        return Err(Code::PartitionExists.into());
    }
    require_members(draft, terms)?;
    let (page, mut listed) = page_with_room(draft)?.ok_or(Code::PartitionsFull)?;
    listed.ids.push(terms.partition.clone());
    draft.write(StateKey::partitions(page), Row::Page(listed));
    let height = decree.block.height;
    let (opened_height, amended_height) = (height, height);
    let row = PartitionRow { terms: terms.clone(), proposed: decree.leaf, opened_height, amended_height, closed: None };
    write(draft, row)
}

/// Puts another agreement in the place of a partition's, by decree.
pub(crate) fn amend(draft: &mut Draft<'_>, decree: &Decree<'_>, terms: &AgreementTerms) -> Result<(), Stop> {
    let row = find_open(draft, &terms.partition)?;
    require_members(draft, terms)?;
    let (amended_height, proposed) = (decree.block.height, decree.leaf);
    write(draft, PartitionRow { terms: terms.clone(), proposed, amended_height, ..PartitionRow::clone(&row) })
}

/// Ends a partition for good, by decree.
pub(crate) fn close(draft: &mut Draft<'_>, decree: &Decree<'_>, name: &str, reason: &str) -> Result<(), Stop> {
    let row = find_open(draft, name)?;
    let closed = Some((decree.block.height, reason.to_owned()));
    write(draft, PartitionRow { closed, ..PartitionRow::clone(&row) })
}

/// The organisations whose yes a change needs: the members by the agreement, and by the one that it replaces.
pub(crate) fn concerned(draft: &mut Draft<'_>, change: &Change) -> Result<BTreeSet<String>, Stop> {
    let (name, named) = match change {
        Change::PartitionOpen { agreement } => return Ok(agreement.members.iter().cloned().collect()),
        Change::PartitionAmend { agreement } => (&agreement.partition, agreement.members.as_slice()),
        Change::PartitionClose { partition, .. } => (partition, [].as_slice()),
        _ => return Ok(BTreeSet::new()),
    };
    let row = find(draft, name)?;
    Ok(row.terms.members.iter().chain(named).cloned().collect())
}

/// Goes on only if each of them has voted for this proposal.
pub(crate) fn require_consent(draft: &mut Draft<'_>, proposal: &str, change: &Change) -> Result<(), Stop> {
    if !change.kind().is_by_consent() {
        return Ok(());
    }
    let members = change::concerned(draft, change)?;
    members.iter().for_each(|member| draft.touch(StateKey::ballot(proposal, member)));
    draft.complete()?;
    let mut violations = Vec::new();
    for (member, entry) in members.into_iter().zip(0..) {
        let ballot = draft.ballot(&StateKey::ballot(proposal, &member))?;
        if ballot.is_none_or(|ballot| ballot.choice != Choice::Yes) {
            violations.push(Violation { entry, field: member, rule: ViolationRule::Consent });
        }
    }
    violations.truncate(VIOLATIONS_MAX);
    if violations.is_empty() { Ok(()) } else { Err(Stop::Refused(Code::ConsentMissing, violations)) }
}

/// Notes the rows that opening partitions reads, as far as can be told: the pages of the list.
pub(crate) fn note_list(draft: &mut Draft<'_>) -> Result<(), Unread> {
    page_with_room(draft).map(drop)
}

/// The rows that a change surely reads.
pub(crate) fn wanted(terms: &AgreementTerms) -> Vec<StateKey> {
    let members = terms.members.iter().map(|member| StateKey::organisation(member));
    [StateKey::partition(&terms.partition), StateKey::partitions(0)].into_iter().chain(members).collect()
}

/// A page of the list on which one more name fits, with its number; none when there are as many as there may be.
fn page_with_room(draft: &mut Draft<'_>) -> Result<Option<(u32, PageRow)>, Unread> {
    for page in (0..).take(PARTITIONS_MAX.div_ceil(PARTITIONS_PER_PAGE)) {
        let listed = draft.page(&StateKey::partitions(page))?.cloned().unwrap_or_default();
        if listed.ids.len() < PARTITIONS_PER_PAGE {
            return Ok(Some((page, listed)));
        }
    }
    Ok(None)
}

fn require_members(draft: &mut Draft<'_>, terms: &AgreementTerms) -> Result<(), Stop> {
    terms.members.iter().try_for_each(|member| membership::require_member(draft, member))
}

fn find(draft: &mut Draft<'_>, name: &str) -> Result<Arc<PartitionRow>, Stop> {
    Ok(draft.partition(&StateKey::partition(name))?.cloned().ok_or(Code::PartitionUnknown)?)
}

fn find_open(draft: &mut Draft<'_>, name: &str) -> Result<Arc<PartitionRow>, Stop> {
    let row = find(draft, name)?;
    if row.closed.is_none() { Ok(row) } else { Err(Code::PartitionClosed.into()) }
}

fn write(draft: &mut Draft<'_>, row: PartitionRow) -> Result<(), Stop> {
    if row.to_bytes().len() > STATE_VALUE_BYTES_MAX {
        return Err(Code::TooLarge.into());
    }
    draft.write(StateKey::partition(&row.terms.partition), Row::Partition(Arc::new(row)));
    Ok(())
}
