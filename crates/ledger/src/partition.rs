//! Partitions: how the need-to-know parts of the ledger begin, change and end, by proposal and by consent; and what everybody sees of
//! what goes on in them: that payloads were ordered, who vouches for having them, and on which roots their holders agree.
//!
//! INVARIANTS: nothing is ordered unless nodes of as many members as the agreement asks for have signed that they have it; no root is
//! certified on which not more than half of the members agree, or while two have posted different ones; no agreement takes effect without a
//! ballot that says yes from each of its members, and, where one is amended, from each member of the one before that is not expelled. Where
//! nothing is amended but who is a member, and the one before names managers, theirs suffice, with those of who joins. The rulebook says who else
//! has a say, never that one of these has none.

use std::{collections::BTreeSet, sync::Arc};

use tallystick_protocol::{
    AgreementTerms, CertifiedRoot, Change, Choice, Code, Hash, Jurisdiction, OrderedParcel, OrganisationStatus,
    PartitionRootsRow, PartitionRow, PostedRoot, PrincipalId, SignedTransaction, StateKey, TransferPath, Violation,
    ViolationRule,
    limits::{
        EVIDENCE_BLOCKS_MAX, PARTITION_FORMER_MAX, PARTITIONS_MAX, PARTITIONS_PER_PAGE, STATE_VALUE_BYTES_MAX,
        VIOLATIONS_MAX,
    },
};

use crate::{
    apply::{Act, Stop},
    authorise::Resource,
    change::Decree,
    membership, node,
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
    let (terms, proposed, former) = (terms.clone(), decree.leaf, Vec::new());
    write(draft, PartitionRow { terms, proposed, opened_height, amended_height, closed: None, former })
}

/// Puts another agreement in the place of a partition's, by decree.
pub(crate) fn amend(draft: &mut Draft<'_>, decree: &Decree<'_>, terms: &AgreementTerms) -> Result<(), Stop> {
    let row = find_open(draft, &terms.partition)?;
    require_members(draft, terms)?;
    let mut roots = roots(draft, &terms.partition)?;
    let are_all_asked = row.terms.managers.is_empty() || !row.terms.differs_in_members_alone(terms);
    if are_all_asked && roots.alarm.take().is_some() {
        // Whoever was wrong, the members have looked, not managers alone: from here on roots count again, those of later blocks.
        roots.posted.clear();
        write_roots(draft, &terms.partition, roots)?;
    }
    // What was ordered before stays ordered: who joins, or has lost its disk, begins where the partition began.
    let amended_height = decree.block.height;
    let former = former(&row, terms, amended_height);
    if former.len() > PARTITION_FORMER_MAX {
        return Err(Code::TooLarge.into());
    }
    write(draft, PartitionRow { terms: terms.clone(), amended_height, former, ..PartitionRow::clone(&row) })
}

/// Who were members and are none by these terms, which take effect at this height: what their nodes hold stays named.
fn former(row: &PartitionRow, terms: &AgreementTerms, height: u64) -> Vec<(String, u64)> {
    let leave = row.terms.members.iter().map(|member| (member.clone(), height));
    let mut former: Vec<(String, u64)> =
        row.former.iter().cloned().chain(leave).filter(|(id, _)| !terms.has_member(id)).collect();
    former.sort();
    former
}

/// Ends a partition for good, by decree.
pub(crate) fn close(draft: &mut Draft<'_>, decree: &Decree<'_>, name: &str, reason: &str) -> Result<(), Stop> {
    let row = find_open(draft, name)?;
    let closed = Some((decree.block.height, reason.to_owned()));
    write(draft, PartitionRow { closed, ..PartitionRow::clone(&row) })
}

/// The organisations whose yes a change needs: the members by the agreement, and by the one that it replaces; or this one's managers and who
/// joins, where nothing else changes. Who is expelled has no vote any more: else nobody could amend what it was a member of, or close it.
pub(crate) fn concerned(draft: &mut Draft<'_>, change: &Change) -> Result<BTreeSet<String>, Stop> {
    let (before, after) = agreements(draft, change)?;
    let before = before.as_ref().map(|row| &row.terms);
    let mut asked = before.map(|before| remaining(draft, before)).transpose()?.unwrap_or_default();
    if let Some((before, after)) = before.zip(after)
        && before.differs_in_members_alone(after)
    {
        let is_manager = |member: &String| before.managers.contains(member);
        // Once all of them are expelled, all members do again.
        if asked.iter().any(is_manager) {
            asked.retain(is_manager);
        }
    }
    let joins = |member: &&String| before.is_none_or(|before| !before.has_member(member));
    asked.extend(after.into_iter().flat_map(|after| &after.members).filter(joins).cloned());
    Ok(asked.into_iter().collect())
}

/// The partition as it is, and the agreement that a change would put in its place.
fn agreements<'c>(
    draft: &mut Draft<'_>,
    change: &'c Change,
) -> Result<(Option<Arc<PartitionRow>>, Option<&'c AgreementTerms>), Stop> {
    Ok(match change {
        Change::PartitionOpen { agreement } => (None, Some(agreement)),
        Change::PartitionAmend { agreement } => (Some(find(draft, &agreement.partition)?), Some(agreement)),
        Change::PartitionClose { partition, .. } => (Some(find(draft, partition)?), None),
        _ => (None, None),
    })
}

/// Notes the rows that [`require_consent`] may read, in one round: of all who are members before or after.
fn note_consent(draft: &mut Draft<'_>, proposal: &str, change: &Change) -> Result<(), Stop> {
    let (before, after) = agreements(draft, change)?;
    let before = before.iter().flat_map(|row| &row.terms.members);
    for member in before.chain(after.into_iter().flat_map(|after| &after.members)) {
        draft.touch(StateKey::ballot(proposal, member));
        draft.touch(StateKey::organisation(member));
    }
    Ok(draft.complete()?)
}

/// The members that are not expelled from the network.
pub(crate) fn remaining(draft: &mut Draft<'_>, terms: &AgreementTerms) -> Result<Vec<String>, Unread> {
    terms.members.iter().for_each(|member| draft.touch(StateKey::organisation(member)));
    draft.complete()?;
    let mut remaining = Vec::with_capacity(terms.members.len());
    for member in &terms.members {
        let row = draft.organisation(&StateKey::organisation(member))?;
        if row.is_none_or(|row| row.status != OrganisationStatus::Expelled) {
            remaining.push(member.clone());
        }
    }
    Ok(remaining)
}

/// Goes on only if each of them has voted for this proposal.
pub(crate) fn require_consent(draft: &mut Draft<'_>, proposal: &str, change: &Change) -> Result<(), Stop> {
    if !change.kind().is_by_consent() {
        return Ok(());
    }
    note_consent(draft, proposal, change)?;
    let members = concerned(draft, change)?;
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
    let members = terms.members.iter().chain(&terms.regulators).map(|member| StateKey::organisation(member));
    let name = &terms.partition;
    let rows = [StateKey::partition(name), StateKey::partition_roots(name), StateKey::partitions(0)];
    rows.into_iter().chain(members).collect()
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

/// Has payloads ordered. That they are what they are said to be, everybody else has on the word of those who sign.
pub(crate) fn order(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    name: &str,
    height: u64,
    parcels: &[OrderedParcel],
) -> Result<(), Stop> {
    let row = find(draft, name)?;
    act.permit(draft, Resource::Partition(&row))?;
    if !row.is_open(act.block.time_ms) {
        return Err(Code::PartitionClosed.into());
    }
    let members = require_nodes(draft, act, &row)?;
    if members.len() < usize::try_from(row.terms.acknowledgements).unwrap_or(usize::MAX) {
        return Err(Code::AcknowledgementsMissing.into());
    }
    let oldest = act.block.height.saturating_sub(EVIDENCE_BLOCKS_MAX);
    if !(oldest..act.block.height).contains(&height) {
        return Err(Code::EvidenceOld.into());
    }
    let mut roots = roots(draft, name)?;
    roots.ordered += parcels.len() as u64;
    roots.ordered_height = act.block.height;
    write_roots(draft, name, roots)
}

/// Notes the root that a member's node has.
pub(crate) fn post_root(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    name: &str,
    height: u64,
    root: &Hash,
) -> Result<(), Stop> {
    let row = find(draft, name)?;
    act.permit(draft, Resource::Partition(&row))?;
    require_nodes(draft, act, &row)?;
    let mut roots = roots(draft, name)?;
    let latest = roots.certified.as_ref().map_or(0, |certified| certified.height);
    if height >= act.block.height || height < latest.max(row.opened_height) {
        return Err(Code::RootHeight.into());
    }
    let Some(node) = act.signers.first().map(|signer| signer.id.clone()) else { unreachable!("somebody signed") };
    let posted = roots.note(height, PostedRoot { node, root: *root });
    if posted.differ() {
        roots.alarm.get_or_insert(posted);
    } else {
        let members: BTreeSet<&str> = posted.roots.iter().map(|posted| posted.node.organisation()).collect();
        if roots.alarm.is_none() && members.len() >= row.terms.root_quorum() {
            roots.certified = Some(CertifiedRoot { height, root: *root, since: act.block.height });
        }
    }
    roots.forget();
    write_roots(draft, name, roots)
}

/// Notes that a member's node gives nothing to another, which a member has registered where the agreement does not allow it; or to its own
/// backup, of which it says itself where that stands.
pub(crate) fn refuse_transfer(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    name: &str,
    (refused, jurisdiction): (&PrincipalId, &Jurisdiction),
    path: TransferPath,
) -> Result<(), Stop> {
    let row = find(draft, name)?;
    act.permit(draft, Resource::Partition(&row))?;
    require_nodes(draft, act, &row)?;
    draft.touch(StateKey::nodes(refused.organisation()));
    draft.complete()?;
    let nodes = node::nodes(draft, refused.organisation())?;
    let known = match path {
        TransferPath::Backup => act.signers.iter().all(|signer| signer.id == *refused),
        TransferPath::Delivery | TransferPath::Fetch => {
            nodes.nodes.iter().any(|node| node.node == *refused && node.jurisdiction == *jurisdiction)
        }
    };
    let is_excluded = row.terms.has_member(refused.organisation()) && !row.terms.allows(jurisdiction);
    if known && is_excluded { Ok(()) } else { Err(Code::TransferAllowed.into()) }
}

/// The members of which everybody who signed is a node: one that is registered, and stands where the agreement allows.
fn require_nodes(draft: &mut Draft<'_>, act: &Act<'_>, row: &PartitionRow) -> Result<BTreeSet<String>, Stop> {
    act.signers.iter().for_each(|signer| draft.touch(StateKey::nodes(signer.id.organisation())));
    draft.complete()?;
    let mut members = BTreeSet::new();
    for signer in act.signers {
        let organisation = signer.id.organisation();
        let nodes = node::nodes(draft, organisation)?;
        let known = nodes.nodes.iter().find(|node| node.node == signer.id);
        let node = known.filter(|_| row.terms.has_member(organisation)).ok_or(Code::NodeExcluded)?;
        if !row.terms.allows(&node.jurisdiction) {
            return Err(Code::JurisdictionExcluded.into());
        }
        members.insert(organisation.to_owned());
    }
    Ok(members)
}

/// The rows that ordering in a partition, or posting its root, surely reads.
pub(crate) fn wanted_by_nodes(name: &str, tx: &SignedTransaction) -> Vec<StateKey> {
    let nodes = tx.signers().map(|(signer, _)| StateKey::nodes(signer.organisation()));
    [StateKey::partition(name), StateKey::partition_roots(name)].into_iter().chain(nodes).collect()
}

fn roots(draft: &mut Draft<'_>, name: &str) -> Result<PartitionRootsRow, Unread> {
    Ok(draft.partition_roots(&StateKey::partition_roots(name))?.cloned().unwrap_or_default())
}

/// INVARIANT: a row that is longer than one may be is never written: no validator could read it again. The roots of the oldest heights
/// make room, for each of them can be posted anew.
fn write_roots(draft: &mut Draft<'_>, name: &str, mut roots: PartitionRootsRow) -> Result<(), Stop> {
    while roots.to_bytes().len() > STATE_VALUE_BYTES_MAX && !roots.posted.is_empty() {
        roots.posted.remove(0);
    }
    if roots.to_bytes().len() > STATE_VALUE_BYTES_MAX {
        return Err(Code::TooLarge.into());
    }
    draft.write(StateKey::partition_roots(name), Row::PartitionRoots(roots));
    Ok(())
}

fn require_members(draft: &mut Draft<'_>, terms: &AgreementTerms) -> Result<(), Stop> {
    let named = terms.members.iter().chain(&terms.regulators);
    named.into_iter().try_for_each(|member| membership::require_member(draft, member))
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
