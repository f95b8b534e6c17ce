//! Erasure: what is ordered, who must do it, and what follows for the subject from then on.
//!
//! The ledger destroys nothing: it never had the values. It says what must be destroyed and by whom, takes the holders' word for it, and
//! keeps what is erased from coming back.
//!
//! INVARIANTS:
//! - The holders of an order are the controller's nodes at its block, in a partition those of all its members that stand where it allows; and
//!   each gives its own receipt, once, and not while a hold lasts. Nobody waits for a node of which its organisation says that what it held is
//!   destroyed; and in a partition for no member that has left, nor for a node that is retired or stands elsewhere now: the order is over without
//!   its receipt, and says so.
//! - Whoever may hold what is erased, and is no holder of the order, is named in it as not asked.
//! - What an entry or a read must know of a subject is one row; an entry without sealed values asks for none.

use std::collections::{BTreeMap, BTreeSet};

use tallystick_protocol::{
    Code, Completed, ControllerRow, Destroyed, ErasureRow, ErasureScope, Holder, NodeRow, OpenErasure, Operation,
    PrincipalStatus, StateKey, Subject, SubjectRow, ViolationRule,
    limits::{CONTROLLER_ERASURES_OPEN_MAX, ERASURES_PER_PAGE, SUBJECT_ERASURES_OPEN_MAX},
    operation::PrincipalId,
};

use crate::{
    apply::{Act, Stop, refuse_if_any},
    authorise::Resource,
    item::Item,
    partition,
    proposal::row::PageRow,
    schema::{Schema, Violations},
    state::{Draft, Row, Unread},
};

/// An order as it is given.
pub(crate) struct Order<'a> {
    pub id: &'a str,
    pub controller: &'a str,
    pub subject: &'a Subject,
    pub scope: &'a ErasureScope,
    /// Authority, legal basis and reason.
    pub words: (&'a str, &'a str, &'a str),
    /// Seconds from the block's time.
    pub deadline_s: u64,
}

pub(crate) fn order(draft: &mut Draft<'_>, act: &Act<'_>, new: &Order<'_>) -> Result<(), Stop> {
    permit(draft, act, new.controller, new.subject)?;
    if draft.erasure(&StateKey::erasure(new.id))?.is_some() {
        return Err(Code::ErasureExists.into());
    }
    let holders = holders(draft, act.partition, new.controller)?;
    if holders.is_empty() {
        return Err(Code::ControllerNodes.into());
    }
    let mut subject = subject_row(draft, new.controller, new.subject)?;
    let mut controller = controller_row(draft, new.controller)?;
    if controller.open.len() >= CONTROLLER_ERASURES_OPEN_MAX || subject.orders.len() >= SUBJECT_ERASURES_OPEN_MAX {
        return Err(Code::ErasuresFull.into());
    }
    if subject.erased.is_some() {
        return Err(Code::SubjectErased.into());
    }
    let mut all = controller_row(draft, "")?;
    let (authority, legal_basis, reason) = new.words;
    let deadline_ms = act.block.time_ms.saturating_add(new.deadline_s.saturating_mul(1_000));
    let mut row = ErasureRow {
        order: new.id.to_owned(),
        controller: new.controller.to_owned(),
        // In a partition each node carries out those of all controllers.
        number: if act.partition.is_some() { all.orders } else { controller.orders },
        subject: new.subject.clone(),
        scope: new.scope.clone(),
        authority: authority.to_owned(),
        legal_basis: legal_basis.to_owned(),
        reason: reason.to_owned(),
        principal: act.signer.id.clone(),
        leaf: act.leaf,
        height: act.block.height,
        ordered_ms: act.block.time_ms,
        deadline_ms,
        holders,
        completed: None,
        unasked: unasked(draft, act.partition, new.controller)?,
    };
    if !row.has_room() {
        // No order is refused for want of room to name who is not asked: the organisations are few.
        let organisations = row.unasked.iter().filter_map(|id| id.split('/').next()).map(str::to_owned);
        row.unasked = organisations.collect::<BTreeSet<_>>().into_iter().collect();
    }
    if !row.has_room() {
        return Err(Code::ErasureHolders.into());
    }
    enlist(draft, StateKey::erasures(new.controller, page_of(controller.orders)), new.id)?;
    enlist(draft, StateKey::erasures("", page_of(all.orders)), new.id)?;
    controller.open.push(OpenErasure { order: row.order.clone(), deadline_ms });
    controller.orders += 1;
    all.orders += 1;
    subject.orders.push(row.order.clone());
    match new.scope {
        ErasureScope::All => subject.erased = Some(row.order.clone()),
        // Written, not read: the latest order that names a value is as good as the first.
        ErasureScope::Values(values) => values.iter().for_each(|value| {
            draft
                .write(StateKey::erased_value(new.controller, new.subject, value), Row::ErasedValue(row.order.clone()));
        }),
    }
    draft.write(StateKey::controller(new.controller), Row::Controller(controller));
    draft.write(StateKey::controller(""), Row::Controller(all));
    write_subject(draft, subject);
    draft.write(StateKey::erasure(new.id), Row::Erasure(Box::new(row)));
    Ok(())
}

/// Takes a holder's word.
pub(crate) fn receipt(draft: &mut Draft<'_>, act: &Act<'_>, id: &str, destroyed: u32) -> Result<(), Stop> {
    act.permit(draft, Resource::Principal(act.signer))?;
    let mut row = draft.erasure(&StateKey::erasure(id))?.cloned().ok_or(Code::ErasureUnknown)?;
    let own = row.holders.iter_mut().find(|holder| act.is_own(&holder.node)).ok_or(Code::NotHolder)?;
    let (height, time_ms) = (act.block.height, act.block.time_ms);
    let (has_said, was_over) = (own.receipt.is_some(), row.completed.is_some());
    own.receipt.get_or_insert(Destroyed { values: destroyed, leaf: act.leaf, height, time_ms });
    let is_over = !is_awaited(draft, act.partition, &row)?;
    // Who has said so may say it once more where all whom the order still waited for have left since: nobody else is there to end it.
    if has_said && (was_over || !is_over) {
        return Err(Code::ReceiptExists.into());
    }
    if subject_row(draft, &row.controller, &row.subject)?.is_held(time_ms) {
        return Err(Code::OnHold.into());
    }
    if is_over {
        row.completed = Some(Completed { height, time_ms });
    }
    if is_over && !was_over {
        close(draft, &row)?;
    }
    draft.write(StateKey::erasure(id), Row::Erasure(Box::new(row)));
    Ok(())
}

/// Takes an order that is over from those that are open.
fn close(draft: &mut Draft<'_>, row: &ErasureRow) -> Result<(), Stop> {
    let mut subject = subject_row(draft, &row.controller, &row.subject)?;
    let (mut controller, mut all) = (controller_row(draft, &row.controller)?, controller_row(draft, "")?);
    controller.open.retain(|open| open.order != row.order);
    controller.complete += 1;
    all.complete += 1;
    subject.orders.retain(|open| *open != row.order);
    draft.write(StateKey::controller(&row.controller), Row::Controller(controller));
    draft.write(StateKey::controller(""), Row::Controller(all));
    write_subject(draft, subject);
    Ok(())
}

/// Ends those of an organisation's orders that wait for nobody any more, once it has said that what a node of its held is destroyed: no other
/// may be there to end them. A hold does not keep them open: there is nothing left that it could keep, by that word.
pub(crate) fn end_unawaited(draft: &mut Draft<'_>, act: &Act<'_>, organisation: &str) -> Result<(), Stop> {
    let open = controller_row(draft, organisation)?.open;
    open.iter().for_each(|open| draft.touch(StateKey::erasure(&open.order)));
    draft.complete()?;
    let mut over = Vec::new();
    for OpenErasure { order, .. } in open {
        let Some(row) = draft.erasure(&StateKey::erasure(&order))?.cloned() else { continue };
        if !is_awaited(draft, None, &row)? {
            draft.touch(StateKey::subject(&row.controller, &row.subject));
            over.push(row);
        }
    }
    draft.complete()?;
    for mut row in over {
        row.completed = Some(Completed { height: act.block.height, time_ms: act.block.time_ms });
        close(draft, &row)?;
        draft.write(StateKey::erasure(&row.order), Row::Erasure(Box::new(row)));
    }
    Ok(())
}

/// Whether an order waits for somebody: for no node of which its organisation says that what it held is destroyed, and in a partition for none
/// to which nothing goes any more.
fn is_awaited(draft: &mut Draft<'_>, partition: Option<&str>, row: &ErasureRow) -> Result<bool, Stop> {
    if partition.is_none() {
        let nodes = draft.nodes(&StateKey::nodes(&row.controller))?;
        let may_say = |node: &PrincipalId| nodes.is_some_and(|nodes| nodes.may_hold(node));
        return Ok(row.outstanding().any(may_say));
    }
    let there = node_principals(draft, partition, &row.controller)?;
    Ok(row.outstanding().any(|node| there.contains(node)))
}

/// Who may hold what is ordered to be erased, and cannot be asked: the controller's nodes that are retired. In a partition those of all members,
/// their nodes that stand where it allows none, and who has left it: by its agreement, or because it was expelled.
fn unasked(draft: &mut Draft<'_>, partition: Option<&str>, controller: &str) -> Result<Vec<String>, Stop> {
    let (mut unasked, mut organisations, mut terms) = (BTreeSet::new(), vec![controller.to_owned()], None);
    if let Some(partition) = partition {
        let row = draft.partition(&StateKey::partition(partition))?.cloned().ok_or(Code::PartitionUnknown)?;
        organisations = partition::remaining(draft, &row.terms)?;
        let expelled = row.terms.members.iter().filter(|member| !organisations.contains(member));
        unasked.extend(row.former.iter().map(|(id, _)| id).chain(expelled).cloned());
        terms = Some(row.terms.clone());
    }
    organisations.iter().for_each(|organisation| draft.touch(StateKey::nodes(organisation)));
    draft.complete()?;
    for organisation in &organisations {
        let Some(row) = draft.nodes(&StateKey::nodes(organisation))? else { continue };
        let is_elsewhere = |node: &&NodeRow| terms.as_ref().is_some_and(|terms| !terms.allows(&node.jurisdiction));
        let elsewhere = row.nodes.iter().filter(is_elsewhere).map(|node| &node.node);
        unasked.extend(row.retired.iter().chain(elsewhere).map(ToString::to_string));
        unasked.extend((row.unnamed > 0).then(|| organisation.clone()));
    }
    Ok(unasked.into_iter().collect())
}

/// The rows that an order, a hold, or what is said of one surely reads, in a partition or where everybody sees it.
pub(crate) fn wanted(operation: &Operation, partition: Option<&str>) -> Vec<StateKey> {
    // Whose nodes the holders are.
    let members = |controller: &str| match partition {
        Some(partition) => StateKey::partition(partition),
        None => StateKey::nodes(controller),
    };
    let about = |own: StateKey, controller: &str, subject: &Subject| {
        vec![
            own,
            StateKey::organisation(controller),
            members(controller),
            StateKey::controller(controller),
            StateKey::controller(""),
            StateKey::subject(controller, subject),
            StateKey::register(subject.register()),
            StateKey::policy_set(subject.register()),
        ]
    };
    match operation {
        Operation::ErasureOrder { order, controller, subject, .. } => {
            about(StateKey::erasure(order), controller, subject)
        }
        Operation::HoldPlace { hold, controller, subject, .. } => about(StateKey::hold(hold), controller, subject),
        Operation::ErasureReceipt { order, .. } => {
            let members = partition.map(StateKey::partition);
            [StateKey::erasure(order)].into_iter().chain(members).collect()
        }
        Operation::HoldLift { hold, .. } => vec![StateKey::hold(hold)],
        _ => Vec::new(),
    }
}

/// Notes the rows of those who must destroy, which [`wanted`] cannot know.
pub(crate) fn note_next(draft: &mut Draft<'_>, operation: &Operation, partition: Option<&str>) {
    if let Operation::ErasureOrder { controller, .. } = operation
        && let Ok(nodes) = node_principals(draft, partition, controller)
    {
        nodes.iter().for_each(|node| draft.touch(StateKey::principal(node)));
    }
}

/// What a mandate must name for this to be done under it: for a hold that is lifted, what it must name for it to be placed, and likewise
/// for a consent that is withdrawn.
pub(crate) fn mandate_resource(
    draft: &mut Draft<'_>,
    operation: &Operation,
    organisation: &str,
) -> Result<String, Unread> {
    let controller = match operation {
        Operation::HoldLift { hold, .. } => draft.hold(&StateKey::hold(hold))?.map(|row| row.controller.clone()),
        Operation::ConsentWithdraw { consent, .. } => {
            draft.consent(&StateKey::consent(consent))?.map(|row| row.controller.clone())
        }
        _ => None,
    };
    Ok(operation.mandate_resource(controller.as_deref().unwrap_or(organisation)))
}

/// Goes on only if the signer may order what is erased and kept of this subject under this controller: by the policies for the
/// subject's register when the controller is its custodian, else by those for the controller's organisation.
pub(crate) fn permit(draft: &mut Draft<'_>, act: &Act<'_>, controller: &str, subject: &Subject) -> Result<(), Stop> {
    let act = &Act { about: Some(subject), ..*act };
    let register = draft.register(subject.register())?;
    match register.filter(|register| register.row.custodian == controller) {
        Some(register) => act.permit(draft, Resource::Register(&register))?,
        None => act.permit(draft, Resource::Organisation(controller))?,
    }
    match draft.organisation(&StateKey::organisation(controller))? {
        Some(_) => Ok(()),
        None => Err(Code::OrganisationUnknown.into()),
    }
}

/// Goes on only if no item, of the entry at its place under its key, has a sealed value of a subject that is erased.
pub(crate) fn require_writable<'i, 't: 'i>(
    draft: &mut Draft<'_>,
    controller: &str,
    schema: &Schema,
    entries: impl Iterator<Item = (&'i str, &'i [Item<'t>])>,
) -> Result<(), Stop> {
    if !schema.is_protected() {
        return Ok(());
    }
    let mut subjects: BTreeMap<StateKey, Vec<(u32, String)>> = BTreeMap::new();
    for ((key, items), index) in entries.zip(0..) {
        for place in items.iter().flat_map(|item| schema.places(key, item)) {
            let subject = StateKey::subject(controller, place.subject());
            subjects.entry(subject).or_default().push((index, place.field().to_owned()));
        }
    }
    subjects.keys().for_each(|subject| draft.touch(*subject));
    draft.complete()?;
    let mut violations = Violations::default();
    for (subject, fields) in subjects {
        if draft.subject(&subject)?.is_some_and(|row| row.erased.is_some()) {
            fields.iter().for_each(|(entry, field)| violations.add(*entry, field, ViolationRule::Erased));
        }
    }
    refuse_if_any(Code::SubjectErased, violations)
}

/// The subject's row, a new one when nothing was said of it yet.
pub(crate) fn subject_row(draft: &mut Draft<'_>, controller: &str, subject: &Subject) -> Result<SubjectRow, Unread> {
    let row = draft.subject(&StateKey::subject(controller, subject))?.cloned();
    Ok(row.unwrap_or_else(|| SubjectRow::new(controller, subject)))
}

pub(crate) fn write_subject(draft: &mut Draft<'_>, row: SubjectRow) {
    draft.write(StateKey::subject(&row.controller, &row.subject), Row::Subject(row));
}

pub(crate) fn controller_row(draft: &mut Draft<'_>, organisation: &str) -> Result<ControllerRow, Unread> {
    Ok(draft.controller(&StateKey::controller(organisation))?.cloned().unwrap_or_default())
}

/// Puts an id at the end of a list.
pub(crate) fn enlist(draft: &mut Draft<'_>, page: StateKey, id: &str) -> Result<(), Unread> {
    let mut row: PageRow = draft.page(&page)?.cloned().unwrap_or_default();
    row.ids.push(id.to_owned());
    draft.write(page, Row::Page(row));
    Ok(())
}

/// The page of a list on which the id of this number, from 0, stands.
pub(crate) fn page_of(number: u64) -> u32 {
    u32::try_from(number / u64::from(ERASURES_PER_PAGE)).unwrap_or(u32::MAX)
}

/// The nodes that hold what is erased now, by name, if each of them can still say that it destroyed.
fn holders(draft: &mut Draft<'_>, partition: Option<&str>, controller: &str) -> Result<Vec<Holder>, Stop> {
    let nodes = node_principals(draft, partition, controller)?;
    nodes.iter().for_each(|node| draft.touch(StateKey::principal(node)));
    draft.complete()?;
    for node in &nodes {
        if draft.principal(&StateKey::principal(node))?.is_some_and(|row| row.status == PrincipalStatus::Retired) {
            return Err(Code::HolderRetired.into());
        }
    }
    Ok(nodes.into_iter().map(|node| Holder { node, receipt: None }).collect())
}

/// The nodes that hold for a controller; in a partition those of all members to which anything goes.
fn node_principals(
    draft: &mut Draft<'_>,
    partition: Option<&str>,
    controller: &str,
) -> Result<Vec<PrincipalId>, Unread> {
    let Some(partition) = partition else {
        let row = draft.nodes(&StateKey::nodes(controller))?;
        return Ok(row.iter().flat_map(|row| &row.nodes).map(|row| row.node.clone()).collect());
    };
    let terms = draft.partition(&StateKey::partition(partition))?.map(|row| row.terms.clone());
    let Some(terms) = terms else { return Ok(Vec::new()) };
    // Who is expelled signs nothing any more.
    let members = partition::remaining(draft, &terms)?;
    members.iter().for_each(|member| draft.touch(StateKey::nodes(member)));
    draft.complete()?;
    let mut nodes = Vec::new();
    for member in &members {
        let row = draft.nodes(&StateKey::nodes(member))?;
        let held = row.iter().flat_map(|row| &row.nodes).filter(|node| terms.allows(&node.jurisdiction));
        nodes.extend(held.map(|node| node.node.clone()));
    }
    Ok(nodes)
}
