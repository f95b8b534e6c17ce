//! Changes of the network's order: which organisations each concerns, whether it could be made at all, and making it.
//!
//! Making one is the work of its noun's file. Nothing here asks who may: a change is made by the decree of an accepted
//! proposal, and the agenda alone issues one.

use std::collections::BTreeSet;

use tallystick_protocol::{
    Change, Code, Hash, PrincipalId, PublicKey, RulebookError, StateKey, Violation, ViolationRule, cbor,
    limits::{CHANGE_BYTES_MAX, VIOLATIONS_MAX},
};

use crate::{
    agenda,
    apply::{BlockContext, Stop},
    authority, key, limit, membership, partition, policy, register, rulebook,
    state::{Draft, Unread},
    validators,
};

/// The authority of an accepted proposal, in the block in which it takes effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decree<'a> {
    pub block: &'a BlockContext,
    /// The log leaf of the transaction that submitted the proposal.
    pub leaf: u64,
}

/// Makes one change.
pub(crate) fn make(draft: &mut Draft<'_>, decree: &Decree<'_>, change: &Change) -> Result<(), Stop> {
    let block = decree.block;
    match change {
        Change::OrganisationAdmit { organisation } => membership::admit(draft, block, organisation),
        Change::OrganisationAmend { organisation, name, legal_name, registration, jurisdiction } => {
            let amendment = membership::Amendment {
                name: name.as_ref(),
                legal_name: legal_name.as_ref(),
                registration: registration.as_ref(),
                jurisdiction: jurisdiction.as_ref(),
            };
            membership::require_member(draft, organisation)?;
            membership::amend(draft, organisation, &amendment)
        }
        Change::OrganisationSuspend { organisation, reason } => membership::suspend(draft, block, organisation, reason),
        Change::OrganisationResume { organisation } => membership::resume(draft, block, organisation),
        Change::OrganisationExpel { organisation, reason } => membership::expel(draft, block, organisation, reason),
        Change::AuthorityAdmit { organisation, certificate, terms } => {
            membership::require_member(draft, organisation)?;
            authority::admit_for(draft, block, organisation, (certificate, terms))
        }
        Change::AuthorityRetire { organisation, authority } => {
            authority::retire_for(draft, block, organisation, authority)
        }
        Change::Validators { add, remove } => {
            // A proposal is voted on by those whom it says that it concerns: it must say so truly.
            for (validator, entry) in remove.iter().zip(0..) {
                let row = draft.validator(&StateKey::validator(&validator.key))?;
                if row.is_none_or(|row| row.organisation != validator.organisation) {
                    return Err(validators::unknown(entry, validator));
                }
            }
            add.iter().try_for_each(|validator| membership::require_member(draft, &validator.organisation))?;
            validators::change(draft, add, remove)
        }
        Change::Policies { put, remove } => policy::apply_change(draft, put, remove),
        Change::RegisterCreate { register, custodian, text, fields } => {
            membership::require_member(draft, custodian)?;
            register::create_for(draft, custodian, decree.leaf, register, text, fields)
        }
        Change::RegisterEntrust { register, custodian } => {
            membership::require_member(draft, custodian)?;
            register::entrust(draft, register, custodian)
        }
        Change::RegisterClose { register, successor } => register::close(draft, register, successor.as_deref()),
        Change::Limit { limit, value } => limit::set(draft, *limit, *value),
        Change::ProtocolVersion { version } => agenda::set_version(draft, *version),
        Change::Rulebook { rulebook } => rulebook::change(draft, rulebook),
        Change::PartitionOpen { agreement } => partition::open(draft, decree, agreement),
        Change::PartitionAmend { agreement } => partition::amend(draft, decree, agreement),
        Change::PartitionClose { partition, reason } => partition::close(draft, decree, partition, reason),
    }
}

/// The organisations that a change is about.
pub(crate) fn concerned(draft: &mut Draft<'_>, change: &Change) -> Result<BTreeSet<String>, Stop> {
    Ok(match change {
        Change::OrganisationAdmit { organisation } => [organisation.id.clone()].into(),
        Change::OrganisationAmend { organisation, .. }
        | Change::OrganisationSuspend { organisation, .. }
        | Change::OrganisationResume { organisation }
        | Change::OrganisationExpel { organisation, .. }
        | Change::AuthorityAdmit { organisation, .. }
        | Change::AuthorityRetire { organisation, .. } => [organisation.clone()].into(),
        Change::Validators { add, remove } => {
            add.iter().chain(remove).map(|validator| validator.organisation.clone()).collect()
        }
        Change::RegisterCreate { custodian, .. } => [custodian.clone()].into(),
        Change::RegisterEntrust { register, custodian } => {
            let register = draft.register(register)?.ok_or(Code::RegisterUnknown)?;
            [register.row.custodian.clone(), custodian.clone()].into()
        }
        Change::RegisterClose { register, .. } => {
            let register = draft.register(register)?.ok_or(Code::RegisterUnknown)?;
            [register.row.custodian.clone()].into()
        }
        Change::PartitionOpen { .. } | Change::PartitionAmend { .. } | Change::PartitionClose { .. } => {
            partition::concerned(draft, change)?
        }
        Change::Policies { .. } | Change::Limit { .. } | Change::ProtocolVersion { .. } | Change::Rulebook { .. } => {
            BTreeSet::new()
        }
    })
}

/// Refuses changes that could not be made in any state: there is nothing to vote on.
pub(crate) fn require_possible(draft: &Draft<'_>, changes: &[Change]) -> Result<(), Stop> {
    let mut violations = Vec::new();
    let mut partitions = BTreeSet::new();
    for (change, entry) in changes.iter().zip(0..) {
        if let Some((field, rule)) = fault(draft, change) {
            violations.push(Violation { entry, field: field.to_owned(), rule });
        }
        // Whose yes the second needs would be for the first to say, which is not in effect when the vote is taken.
        let partition = match change {
            Change::PartitionOpen { agreement } | Change::PartitionAmend { agreement } => &agreement.partition,
            Change::PartitionClose { partition, .. } => partition,
            _ => continue,
        };
        if !partitions.insert(partition) {
            violations.push(Violation { entry, field: "partition".to_owned(), rule: ViolationRule::Duplicate });
        }
    }
    violations.truncate(VIOLATIONS_MAX);
    if violations.is_empty() { Ok(()) } else { Err(Stop::Refused(Code::ChangeInvalid, violations)) }
}

/// What is wrong with a change, and where.
fn fault(draft: &Draft<'_>, change: &Change) -> Option<(&'static str, ViolationRule)> {
    if cbor::encode(change).len() > CHANGE_BYTES_MAX {
        return Some(("change", ViolationRule::TooLong));
    }
    match change {
        Change::OrganisationAdmit { organisation } => {
            let keys: BTreeSet<_> = organisation.principals.iter().map(|principal| principal.key).collect();
            let names: BTreeSet<_> = organisation.principals.iter().map(|principal| &principal.name).collect();
            let count = organisation.principals.len();
            if keys.len() < count || names.len() < count {
                Some(("principals", ViolationRule::Duplicate))
            } else if organisation.principals.iter().any(|principal| principal.key.validate().is_err()) {
                Some(("key", ViolationRule::Unusable))
            } else if !organisation.principals.iter().any(|principal| principal.roles.is_administrator()) {
                Some(("administrator", ViolationRule::Empty))
            } else {
                None
            }
        }
        Change::OrganisationAmend { name: None, legal_name: None, registration: None, jurisdiction: None, .. } => {
            Some(("change", ViolationRule::Empty))
        }
        Change::AuthorityAdmit { certificate, .. } => {
            authority::is_malformed(certificate).then_some(("certificate", ViolationRule::CertificateMalformed))
        }
        Change::Validators { add, remove } => {
            let keys: BTreeSet<_> = add.iter().chain(remove).map(|validator| validator.key).collect();
            if keys.is_empty() {
                Some(("validators", ViolationRule::Empty))
            } else if keys.len() < add.len() + remove.len() {
                Some(("validators", ViolationRule::Duplicate))
            } else {
                None
            }
        }
        Change::Policies { put, .. } => {
            let schema = draft.policies().schema();
            let mut faults = put.iter().map(|policy| policy::check(&schema, &policy.id, &policy.text));
            faults.find_map(Result::err).map(|error| ("policies", error.rule()))
        }
        Change::Limit { limit, value } => {
            (!limit::is_possible(*limit, *value)).then_some(("value", ViolationRule::Unusable))
        }
        Change::ProtocolVersion { version } => (*version < 2).then_some(("version", ViolationRule::Unusable)),
        Change::Rulebook { rulebook } => {
            tallystick_protocol::Rulebook::default().with(rulebook).err().map(|error| match error {
                RulebookError::Twice(_) => ("rulebook", ViolationRule::Duplicate),
                _ => ("rulebook", ViolationRule::Unusable),
            })
        }
        Change::OrganisationAmend { .. }
        | Change::OrganisationSuspend { .. }
        | Change::OrganisationResume { .. }
        | Change::OrganisationExpel { .. }
        | Change::AuthorityRetire { .. }
        | Change::RegisterCreate { .. }
        | Change::RegisterEntrust { .. }
        | Change::RegisterClose { .. }
        | Change::PartitionClose { .. } => None,
        // A block was decoded; whoever asks for a dry run may send anything.
        Change::PartitionOpen { agreement } | Change::PartitionAmend { agreement } => {
            agreement.validate().is_err().then_some(("agreement", ViolationRule::Unusable))
        }
    }
}

/// Keeps the keys that changes name for those who are to hold them, while their proposal is pending.
pub(crate) fn keep_keys(draft: &mut Draft<'_>, proposal: &str, changes: &[Change]) -> Result<(), Stop> {
    for (change, entry) in changes.iter().zip(0..) {
        match change {
            Change::OrganisationAdmit { organisation } => {
                for principal in &organisation.principals {
                    let id = PrincipalId::new(&organisation.id, &principal.name).map_err(|_| Code::SubjectUnknown)?;
                    key::keep(draft, id.as_str(), &principal.key, proposal)
                        .map_err(|stop| key::named(stop, entry, &principal.name))?;
                }
            }
            Change::Validators { add, .. } => {
                for validator in add {
                    key::keep(draft, &validator.organisation, &PublicKey::Ed25519(validator.key), proposal)
                        .map_err(|stop| key::named(stop, entry, &validator.organisation))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Asks at once for the rows that making these changes reads: those that can be told beforehand, then those that they lead to.
/// Each row that were met one by one would cost a block another round.
pub(crate) fn fetch<'c>(
    draft: &mut Draft<'_>,
    changes: impl Iterator<Item = &'c Change> + Clone,
) -> Result<(), Unread> {
    changes.clone().flat_map(wanted).for_each(|key| draft.touch(key));
    draft.complete()?;
    let mut admitted = 0;
    for change in changes {
        match change {
            Change::OrganisationAdmit { organisation } => {
                let page = membership::page_of(draft, admitted)?;
                draft.touch(page);
                admitted += 1;
                organisation.principals.iter().try_for_each(|each| key::note_missing(draft, &each.key))?;
            }
            Change::Validators { add, .. } => {
                add.iter().try_for_each(|each| key::note_missing(draft, &PublicKey::Ed25519(each.key)))?;
            }
            Change::OrganisationExpel { .. } => {
                validators::note_missing(draft)?;
                rulebook::note_missing(draft)?;
            }
            Change::Policies { put, remove } => policy::note_changed(draft, put, remove)?,
            Change::Rulebook { .. } | Change::OrganisationSuspend { .. } => rulebook::note_missing(draft)?,
            Change::PartitionOpen { .. } => partition::note_list(draft)?,
            _ => {}
        }
    }
    draft.complete()
}

/// The rows that making a change surely reads.
pub(crate) fn wanted(change: &Change) -> Vec<StateKey> {
    let counters = StateKey::counters();
    match change {
        Change::OrganisationAdmit { organisation } => {
            let keys = organisation.principals.iter().map(|principal| StateKey::key(&principal.key));
            let first = StateKey::principals(&organisation.id, 0);
            [StateKey::organisation(&organisation.id), counters, first].into_iter().chain(keys).collect()
        }
        Change::OrganisationAmend { organisation, .. } => vec![StateKey::organisation(organisation)],
        Change::OrganisationResume { organisation } => vec![StateKey::organisation(organisation), counters],
        Change::OrganisationSuspend { organisation, .. } => {
            vec![StateKey::organisation(organisation), counters, StateKey::rulebook()]
        }
        Change::OrganisationExpel { organisation, .. } => {
            vec![StateKey::organisation(organisation), counters, StateKey::rulebook(), StateKey::schedule()]
        }
        Change::AuthorityAdmit { organisation, certificate, .. } => {
            let authority = StateKey::authority(organisation, &Hash::of(&[certificate]));
            vec![StateKey::organisation(organisation), authority]
        }
        Change::AuthorityRetire { organisation, authority } => {
            vec![StateKey::organisation(organisation), StateKey::authority(organisation, authority)]
        }
        Change::RegisterCreate { register, custodian, .. } => {
            vec![StateKey::register(register), StateKey::organisation(custodian), counters, StateKey::limits()]
        }
        Change::RegisterEntrust { register, custodian } => {
            vec![StateKey::register(register), StateKey::organisation(custodian)]
        }
        Change::RegisterClose { register, successor } => {
            [register].into_iter().chain(successor).map(|register| StateKey::register(register)).collect()
        }
        Change::Validators { add, remove } => validators::wanted(add, remove),
        Change::Policies { put, remove } => policy::wanted(put, remove),
        Change::PartitionOpen { agreement } | Change::PartitionAmend { agreement } => partition::wanted(agreement),
        Change::PartitionClose { partition, .. } => vec![StateKey::partition(partition)],
        Change::ProtocolVersion { .. } => vec![StateKey::agenda()],
        Change::Limit { .. } => vec![StateKey::limits()],
        Change::Rulebook { rulebook } => {
            let weighted = rulebook.weights.iter().flatten().map(|weight| StateKey::organisation(&weight.organisation));
            [StateKey::rulebook(), counters].into_iter().chain(weighted).collect()
        }
    }
}
