//! Nodes that hold what only some may see: an organisation says which of its own do, how others encrypt to them, and where they stand.

use tallystick_protocol::{
    Code, Jurisdiction, NodeRow, NodesRow, PrincipalKind, PrincipalStatus, SealingKey, StateKey,
    limits::{NODES_PER_ORGANISATION_MAX, NODES_RETIRED_MAX},
    operation::{Operation, PrincipalId},
};

use crate::{
    apply::{Act, Stop},
    authorise::Resource,
    erasure,
    state::{Draft, Row},
};

/// What an administrator says of a node.
pub(crate) struct Registration<'a> {
    pub node: &'a PrincipalId,
    pub peer: &'a [u8; 32],
    pub sealing: &'a SealingKey,
    pub jurisdiction: &'a Jurisdiction,
}

/// The rows that registering or retiring a node surely reads.
pub(crate) fn wanted(operation: &Operation, organisation: &str) -> Vec<StateKey> {
    let mut keys = vec![StateKey::nodes(organisation)];
    match operation {
        Operation::NodeRegister { node, peer, .. } => {
            keys.extend([StateKey::principal(node), StateKey::validator(peer)]);
        }
        Operation::NodeRetire { node, destroyed: true } => {
            keys.extend([StateKey::principal(node), StateKey::controller(organisation), StateKey::controller("")]);
        }
        _ => {}
    }
    keys
}

/// Registers a node of the signer's organisation, or says anew what it is.
pub(crate) fn register(draft: &mut Draft<'_>, act: &Act<'_>, new: &Registration<'_>) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    if !is_own_machine(draft, act, new.node)? {
        return Err(Code::NodePrincipal.into());
    }
    let validator = draft.validator(&StateKey::validator(new.peer))?.map(|row| row.organisation.clone());
    if validator.is_some_and(|organisation| organisation != act.organisation()) {
        return Err(Code::NodePeer.into());
    }
    let mut row = nodes(draft, act.organisation())?;
    row.nodes.retain(|known| known.node != *new.node);
    if row.nodes.iter().any(|known| known.peer == *new.peer || known.sealing == *new.sealing) {
        return Err(Code::NodePeer.into());
    }
    if row.nodes.len() >= NODES_PER_ORGANISATION_MAX {
        return Err(Code::NodesFull.into());
    }
    let place = row.nodes.partition_point(|known| known.node < *new.node);
    let node = NodeRow {
        node: new.node.clone(),
        peer: *new.peer,
        sealing: *new.sealing,
        jurisdiction: new.jurisdiction.clone(),
        since_ms: act.block.time_ms,
    };
    row.nodes.insert(place, node);
    row.retired.retain(|known| known != new.node);
    draft.write(StateKey::nodes(act.organisation()), Row::Nodes(row));
    Ok(())
}

/// Ends a node of the signer's organisation: nothing is handed to it any more. It is remembered until what it held is said to be destroyed, which
/// ends the orders of erasure that waited for it alone.
pub(crate) fn retire(draft: &mut Draft<'_>, act: &Act<'_>, node: &PrincipalId, destroyed: bool) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let mut row = nodes(draft, act.organisation())?;
    let (is_there, is_retired) = (row.node(node).is_some(), row.retired.contains(node));
    // One that is not named is there by its principal alone: the organisation's word says that it was one.
    let is_unnamed = !is_there && !is_retired && row.unnamed > 0 && is_own_principal(draft, act, node)?;
    if !is_there && !(destroyed && (is_retired || is_unnamed)) {
        return Err(Code::NodeUnknown.into());
    }
    row.nodes.retain(|known| known.node != *node);
    row.retired.retain(|known| known != node);
    if !destroyed {
        // A node that was stolen must be retired, however many were before.
        match row.retired.len() < NODES_RETIRED_MAX {
            true => row.retired.insert(row.retired.partition_point(|known| known < node), node.clone()),
            false => row.unnamed = row.unnamed.saturating_add(1),
        }
    }
    row.unnamed = row.unnamed.saturating_sub(u32::from(is_unnamed));
    draft.write(StateKey::nodes(act.organisation()), Row::Nodes(row));
    if destroyed { erasure::end_unawaited(draft, act, act.organisation()) } else { Ok(()) }
}

/// Whether a principal is one of the signer's organisation that can be, or could have been, a node.
fn is_own_principal(draft: &mut Draft<'_>, act: &Act<'_>, node: &PrincipalId) -> Result<bool, Stop> {
    let row = draft.principal(&StateKey::principal(node))?;
    let is_machine = row.is_some_and(|row| matches!(row.kind, PrincipalKind::Device | PrincipalKind::Program));
    Ok(is_machine && node.organisation() == act.organisation())
}

/// Whether the principal can be a node of the signer's organisation.
fn is_own_machine(draft: &mut Draft<'_>, act: &Act<'_>, node: &PrincipalId) -> Result<bool, Stop> {
    let row = draft.principal(&StateKey::principal(node))?.ok_or(Code::SubjectUnknown)?;
    let is_machine = matches!(row.kind, PrincipalKind::Device | PrincipalKind::Program);
    let acts = row.status == PrincipalStatus::Active;
    Ok(node.organisation() == act.organisation() && is_machine && acts)
}

/// The nodes of an organisation, if it has any.
pub(crate) fn nodes(draft: &mut Draft<'_>, organisation: &str) -> Result<NodesRow, Stop> {
    Ok(draft.nodes(&StateKey::nodes(organisation))?.cloned().unwrap_or_default())
}
