//! Mandates: who lets whom act for it, and whether an act stays within the words.
//!
//! A transaction that names a mandate is done by the grantor at the root of its chain; the signer is its agent. The chain is
//! walked at each use, by the block's time: every link must be in force, each link's grantor an agent of the one above, no
//! further down than that one may be passed on, and what is done within the words of all.
//!
//! A mandate is passed on by a mandate that names it as its parent, and never under itself: so a chain is always read from
//! rows, never from what a transaction claims. A name is not used twice: what an old outcome names stays what it was.
//!
//! What is granted within a partition is the partition's own, and its id says so. It may be passed on from what everybody sees, and
//! nothing that everybody sees is passed on from it. Whoever acts there acts for a member alone: every grantor of the chain is of one.

use std::sync::Arc;

use tallystick_protocol::{
    Code, MandateId, MandateTerms, OperationName, OrganisationStatus, PrincipalStatus, StateKey,
    limits::MANDATE_CHAIN_MAX, operation::PrincipalId,
};

use crate::{
    apply::{Act, BlockContext, Stop},
    authorise::Resource,
    organisation::organisation_of,
    state::{Draft, MandateRow, PrincipalRow, Row},
};

/// The mandates under which a transaction acts, from the one that it names to the root.
#[derive(Debug, Default)]
pub(crate) struct Chain(Vec<Link>);

/// A mandate in force, and who granted it.
#[derive(Debug)]
pub(crate) struct Link {
    pub row: MandateRow,
    pub grantor: Arc<PrincipalRow>,
}

impl Chain {
    #[cfg(test)]
    pub fn of(links: Vec<Link>) -> Self {
        Self(links)
    }

    pub fn links(&self) -> &[Link] {
        &self.0
    }

    /// The links' ids, from the one that the transaction names to the root.
    pub fn ids(&self) -> Vec<MandateId> {
        self.0.iter().map(|link| link.row.id.clone()).collect()
    }

    /// Goes on only if every link's words allow the action on the resource.
    pub fn require_words(&self, action: OperationName, resource: &str) -> Result<(), Stop> {
        if self.0.is_empty() {
            return Ok(());
        }
        // What was entrusted is passed on by naming it, not by acting under it.
        let entrusts = matches!(action, OperationName::MandateGrant | OperationName::MandateRevoke);
        let allows = |link: &Link| link.row.terms.names_action(action) && link.row.terms.names_resource(resource);
        if !entrusts && self.0.iter().all(allows) { Ok(()) } else { Err(Code::MandateExceeded.into()) }
    }
}

/// Who acts, and under which mandates: the signer itself when the transaction names none.
pub(crate) fn resolve(
    draft: &mut Draft<'_>,
    (block, partition): (&BlockContext, Option<&str>),
    mandate: Option<&MandateId>,
    signers: &[Arc<PrincipalRow>],
) -> Result<(Arc<PrincipalRow>, Chain), Stop> {
    let Some(signer) = signers.first() else { unreachable!("a transaction has a signer") };
    let Some(mandate) = mandate else { return Ok((Arc::clone(signer), Chain::default())) };
    let signed: Vec<&PrincipalId> = signers.iter().map(|row| &row.id).collect();
    let links = walk(draft, (block, partition), mandate, &signed)?;
    let Some(root) = links.last() else { unreachable!("a chain has a link") };
    Ok((Arc::clone(&root.grantor), Chain(links)))
}

/// Walks from a mandate to its root, as used by those who signed, in a partition or for everybody to see.
fn walk(
    draft: &mut Draft<'_>,
    (block, partition): (&BlockContext, Option<&str>),
    mandate: &MandateId,
    signed: &[&PrincipalId],
) -> Result<Vec<Link>, Stop> {
    let mut links: Vec<Link> = Vec::new();
    let mut next = mandate.clone();
    loop {
        let grantor = StateKey::principal(&next.grantor());
        draft.touch(grantor);
        draft.touch(StateKey::organisation(next.grantor().organisation()));
        let link = draft.mandate(&StateKey::mandate(&next))?.ok_or(Code::MandateUnknown)?.clone();
        in_force(block, &link)?;
        let grantor = draft.principal(&grantor)?.map(Arc::clone);
        let grantor = grantor.filter(|row| row.status == PrincipalStatus::Active).ok_or(Code::MandateNotInForce)?;
        if organisation_of(draft, &grantor.id)?.status != OrganisationStatus::Active {
            return Err(Code::MandateNotInForce.into());
        }
        require_member(draft, partition, &grantor.id)?;
        entrusted(&link, links.last().map(|below| &below.row), signed)?;
        let below = links.len();
        if below >= MANDATE_CHAIN_MAX || (link.terms.depth as usize) < below {
            return Err(Code::MandateTooLong.into());
        }
        if links.iter().any(|seen| seen.grantor.id == grantor.id) || signed.first() == Some(&&grantor.id) {
            return Err(Code::MandateLoop.into());
        }
        let parent = link.terms.parent.clone();
        links.push(Link { row: link, grantor });
        match parent {
            Some(parent) => next = parent,
            None => return Ok(links),
        }
    }
}

/// Goes on only if what is done there may be done for this principal: nobody is let into a partition by acting for it.
fn require_member(draft: &mut Draft<'_>, partition: Option<&str>, grantor: &PrincipalId) -> Result<(), Stop> {
    let Some(partition) = partition else { return Ok(()) };
    let row = draft.partition(&StateKey::partition(partition))?;
    let is_member = row.is_some_and(|row| row.terms.has_member(grantor.organisation()));
    if is_member { Ok(()) } else { Err(Code::NotMember.into()) }
}

fn in_force(block: &BlockContext, link: &MandateRow) -> Result<(), Stop> {
    if link.revoked_ms.is_some() {
        return Err(Code::MandateRevoked.into());
    }
    let now = block.time_seconds();
    if now < link.terms.from || now >= link.terms.until { Err(Code::MandateNotInForce.into()) } else { Ok(()) }
}

/// Whether a link was entrusted to who used it: to the grantor of the link below, or at the lowest to those who signed, of
/// whom as many must be agents as must concur.
fn entrusted(link: &MandateRow, below: Option<&MandateRow>, signed: &[&PrincipalId]) -> Result<(), Stop> {
    let is_agent = |who: &PrincipalId| link.terms.agents.contains(who);
    if let Some(below) = below {
        return if is_agent(&below.id.grantor()) { Ok(()) } else { Err(Code::MandateNotAgent.into()) };
    }
    if !signed.first().is_some_and(|signer| is_agent(signer)) {
        return Err(Code::MandateNotAgent.into());
    }
    let concurring = signed.iter().filter(|who| is_agent(who)).count();
    if concurring < link.terms.concur as usize { Err(Code::MandateConcurrence.into()) } else { Ok(()) }
}

pub(crate) fn grant(draft: &mut Draft<'_>, act: &Act<'_>, name: &str, terms: &MandateTerms) -> Result<(), Stop> {
    let grantor = &act.signer.id;
    act.permit(draft, Resource::Principal(act.signer))?;
    let id = MandateId::within(act.partition, grantor, name).map_err(|_| Code::MandateUnknown)?;
    let key = StateKey::mandate(&id);
    if draft.mandate(&key)?.is_some() {
        return Err(Code::MandateExists.into());
    }
    if act.block.time_seconds() >= terms.until {
        return Err(Code::MandateNotInForce.into());
    }
    if terms.agents.contains(grantor) {
        return Err(Code::MandateLoop.into());
    }
    if let Some(parent) = &terms.parent {
        let signed: Vec<&PrincipalId> = act.signers.iter().map(|row| &row.id).collect();
        let links = walk(draft, (act.block, act.partition), parent, &signed)?;
        if links.iter().any(|link| terms.agents.contains(&link.grantor.id)) {
            return Err(Code::MandateLoop.into());
        }
        let Some(Link { row: parent, .. }) = links.first() else { unreachable!("a chain has a link") };
        // The links above have their own depths, which the walk at each use compares with how far down it came.
        if terms.depth >= parent.terms.depth {
            return Err(Code::MandateTooLong.into());
        }
        if !terms.are_within(&parent.terms) {
            return Err(Code::MandateExceeded.into());
        }
    }
    let row = MandateRow { id, terms: terms.clone(), granted: act.leaf, revoked_ms: None };
    draft.write(key, Row::Mandate(row));
    Ok(())
}

/// Ends a mandate. Whoever granted one above it ends what it has itself entrusted, and policies are asked about that; about the
/// mandate's own grantor when anybody else wants it.
pub(crate) fn revoke(draft: &mut Draft<'_>, act: &Act<'_>, mandate: &MandateId) -> Result<(), Stop> {
    let key = StateKey::mandate(mandate);
    let mut row = draft.mandate(&key)?.ok_or(Code::MandateUnknown)?.clone();
    if granted_above(draft, &act.signer.id, &row)? {
        act.permit(draft, Resource::Principal(act.signer))?;
    } else {
        let grantor = draft.principal(&StateKey::principal(&mandate.grantor()))?.map(Arc::clone);
        let grantor = grantor.ok_or(Code::MandateUnknown)?;
        act.permit(draft, Resource::Principal(&grantor))?;
    }
    if row.revoked_ms.is_some() {
        return Err(Code::MandateRevoked.into());
    }
    row.revoked_ms = Some(act.block.time_ms);
    draft.write(key, Row::Mandate(row));
    Ok(())
}

/// Whether the principal granted a mandate of which this one was passed on.
fn granted_above(draft: &mut Draft<'_>, who: &PrincipalId, mandate: &MandateRow) -> Result<bool, Stop> {
    let mut parent = mandate.terms.parent.clone();
    for _ in 0..MANDATE_CHAIN_MAX {
        let Some(id) = parent else { return Ok(false) };
        if id.grantor() == *who {
            return Ok(true);
        }
        parent = draft.mandate(&StateKey::mandate(&id))?.and_then(|row| row.terms.parent.clone());
    }
    Ok(false)
}
