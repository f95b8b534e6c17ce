//! What accepted transactions may do and what they change: who signed, for whom, whether that one may, and what is so from then on.

use super::{
    Network, Principal,
    policies::{Question, Recorded, Thing},
    votes::principal_of,
};
use std::collections::BTreeSet;
use tallystick_ledger::x509::Certificate;
use tallystick_protocol::{
    ChangeKind, EntryKind, LogEntry, MandateId, Operation, OrganisationStatus, Outcome, Phase, PolicyChange,
    PrincipalId, PrincipalStatus, PublicKey, Roles, SignedTransaction, StateKey, Subject,
};

/// An accepted transaction.
struct Act<'a> {
    leaf: u64,
    height: u64,
    time_ms: u64,
    transaction: &'a SignedTransaction,
    /// Who did it: the signer, or the one for whom the signer acted.
    actor: PrincipalId,
}

impl Act<'_> {
    fn organisation(&self) -> &str {
        self.actor.organisation()
    }

    fn is_own(&self, subject: &PrincipalId) -> bool {
        subject == self.transaction.principal() && *subject == self.actor
    }
}

impl Network {
    /// Follows a log entry; says what nobody was permitted.
    pub fn entry(&mut self, leaf: u64, entry: &LogEntry) -> Result<(), String> {
        let transaction = SignedTransaction::decode(entry.transaction.clone()).map_err(|error| error.to_string())?;
        let Outcome::Accepted { decision, .. } = &entry.outcome else { return Ok(()) };
        for (place, (principal, key)) in transaction.signers().enumerate() {
            let renews = place == 0 && is_renewal(&transaction);
            if !self.may_sign(principal, key, entry.time_ms, renews) {
                return Err(format!("it is accepted, and {principal} does not hold the key that signed"));
            }
        }
        let (actor, mandates) = self.actor(&transaction, entry.time_ms)?;
        if decision.mandates != mandates {
            return Err(format!("it records the mandates {:?}, and is done under {mandates:?}", decision.mandates));
        }
        let (height, time_ms) = (entry.height, entry.time_ms);
        let act = Act { leaf, height, time_ms, transaction: &transaction, actor };
        let mut recorded = Recorded::default();
        for operation in transaction.operations() {
            recorded.ask(self, &self.question(&act, operation)?)?;
            if !self.keeps_recovery(&act, operation) {
                return Err(format!("it is accepted, and too few administrators signed {operation:?}"));
            }
            self.follow(&act, operation).map_err(|why| format!("it is accepted, and {why}"))?;
        }
        recorded.is_recorded(decision)
    }

    fn is_active(&self, who: &PrincipalId) -> bool {
        let is_member = |known: &super::Organisation| known.status == OrganisationStatus::Active;
        self.organisations.get(who.organisation()).is_some_and(is_member)
            && self.principals.get(who).is_some_and(|known| known.status == PrincipalStatus::Active)
    }

    fn may_sign(&self, who: &PrincipalId, key: &PublicKey, time_ms: u64, renews: bool) -> bool {
        let lasts = |end: Option<u64>| end.is_none_or(|end| time_ms < end);
        let held = self.principals.get(who).and_then(|known| known.keys.iter().find(|held| held.key == *key));
        self.is_active(who) && held.is_some_and(|held| lasts(held.end_ms) && (renews || lasts(held.until_ms)))
    }

    /// Who acts, and under which mandates: the signer, or the root of the mandates under which it does, if all of them are in force
    /// and say this.
    fn actor(&self, transaction: &SignedTransaction, time_ms: u64) -> Result<(PrincipalId, Vec<MandateId>), String> {
        let signers: Vec<&PrincipalId> = transaction.signers().map(|(principal, _)| principal).collect();
        let (mut actor, mut next, mut chain) = (transaction.principal().clone(), transaction.mandate(), Vec::new());
        while let Some(id) = next {
            let known = self.mandates.get(id).filter(|(_, is_revoked)| !is_revoked && self.is_active(&id.grantor()));
            let (terms, _) = known.ok_or_else(|| format!("it is accepted under {id}, which is not in force"))?;
            let agents = terms.agents.iter().filter(|agent| signers.contains(agent)).count();
            let entrusted = terms.agents.contains(&actor) && (!chain.is_empty() || agents >= terms.concur as usize);
            let in_time = (terms.from..terms.until).contains(&(time_ms / 1_000));
            let says = |operation: &Operation| {
                let name = operation.name();
                let is_delegation =
                    matches!(operation, Operation::MandateGrant { .. } | Operation::MandateRevoke { .. });
                let root = self.root(id);
                let thing = self.word(operation, root.organisation());
                let covers = |word: &String| word.strip_suffix('*').map_or(*word == thing, |w| thing.starts_with(w));
                let names = |word: &String| word == "*" || word == name.as_str();
                !is_delegation && terms.actions.iter().any(names) && terms.resources.iter().any(covers)
            };
            let is_near = terms.depth as usize >= chain.len();
            if !entrusted || !in_time || !is_near || !transaction.operations().iter().all(says) {
                return Err(format!("it is accepted under {id}, whose words do not allow it: {terms:?}"));
            }
            chain.push(id.clone());
            (actor, next) = (id.grantor(), terms.parent.as_ref());
        }
        Ok((actor, chain))
    }

    /// What an operation is done to, in the words of mandates: what ends a hold or a consent, to what put it there.
    pub(super) fn word(&self, operation: &Operation, organisation: &str) -> String {
        let of =
            |controller: Option<&String>| format!("organisation:{}", controller.map_or(organisation, String::as_str));
        match operation {
            Operation::RegisterCreate { register, .. }
            | Operation::EntryAppend { register, .. }
            | Operation::RecordRead { register, .. }
            | Operation::RegisterPolicy { register, .. }
            | Operation::RegisterImport { register, .. }
            | Operation::RecordCorrect { register, .. }
            | Operation::RegisterPhase { register, .. } => format!("register:{register}"),
            Operation::ErasureOrder { controller, .. }
            | Operation::HoldPlace { controller, .. }
            | Operation::ConsentGive { controller, .. } => of(Some(controller)),
            Operation::HoldLift { hold, .. } => of(self.erasures.holds.get(hold).map(|(controller, ..)| controller)),
            Operation::ConsentWithdraw { consent, .. } => of(self.erasures.consents.get(consent)),
            Operation::PrincipalStatus { principal, .. }
            | Operation::PrincipalAmend { principal, .. }
            | Operation::PrincipalRecover { principal, .. }
            | Operation::KeyAdd { principal, .. }
            | Operation::KeyRotate { principal, .. }
            | Operation::KeyRetire { principal, .. }
            | Operation::KeyCertify { principal, .. }
            | Operation::NoticeAcknowledge { reader: principal, .. } => format!("principal:{principal}"),
            Operation::PrivateOrder { partition, .. }
            | Operation::PartitionRoot { partition, .. }
            | Operation::TransferRefuse { partition, .. } => format!("partition:{partition}"),
            _ => of(None),
        }
    }

    /// Who granted the first of the mandates that were passed on to this one.
    fn root(&self, mandate: &MandateId) -> PrincipalId {
        self.above(mandate).last().unwrap_or(mandate).grantor()
    }

    /// The mandates from which this one was passed on, without it.
    fn above<'a>(&'a self, mandate: &'a MandateId) -> impl Iterator<Item = &'a MandateId> {
        std::iter::successors(Some(mandate), |id| self.mandates.get(*id)?.0.parent.as_ref()).skip(1)
    }

    /// What is asked about where somebody decides what becomes of this subject's values under a controller.
    fn privacy(&self, controller: &str, subject: &Subject) -> Thing {
        match self.registers.get(subject.register()).filter(|known| known.custodian == controller) {
            Some(known) => Thing::Register(subject.register().to_owned(), known.custodian.clone(), known.phase),
            None => Thing::Organisation(controller.to_owned()),
        }
    }

    /// What policies are asked about an operation.
    fn question<'a>(&'a self, act: &'a Act<'_>, operation: &Operation) -> Result<Question<'a>, String> {
        let own = || Thing::Organisation(act.organisation().to_owned());
        let thing = match operation {
            Operation::EntryAppend { register, .. }
            | Operation::RecordRead { register, .. }
            | Operation::RegisterPolicy { register, .. }
            | Operation::RegisterImport { register, .. }
            | Operation::RecordCorrect { register, .. }
            | Operation::RegisterPhase { register, .. } => {
                let known = self.registers.get(register);
                let known =
                    known.ok_or_else(|| format!("no rule permits anything to {register}, which is not there"))?;
                Thing::Register(register.clone(), known.custodian.clone(), known.phase)
            }
            Operation::PrincipalStatus { principal, .. }
            | Operation::PrincipalAmend { principal, .. }
            | Operation::PrincipalRecover { principal, .. }
            | Operation::KeyAdd { principal, .. }
            | Operation::KeyRotate { principal, .. }
            | Operation::KeyRetire { principal, .. }
            | Operation::KeyCertify { principal, .. }
            | Operation::NoticeAcknowledge { reader: principal, .. } => Thing::Principal(principal.clone()),
            Operation::MandateGrant { .. } | Operation::ErasureReceipt { .. } => Thing::Principal(act.actor.clone()),
            Operation::ErasureOrder { controller, subject, .. }
            | Operation::HoldPlace { controller, subject, .. }
            | Operation::ConsentGive { controller, subject, .. } => self.privacy(controller, subject),
            Operation::HoldLift { hold, .. } => match self.erasures.holds.get(hold) {
                Some((controller, subject, _)) => self.privacy(controller, subject),
                None => own(),
            },
            Operation::PrivateOrder { partition, .. }
            | Operation::PartitionRoot { partition, .. }
            | Operation::TransferRefuse { partition, .. } => {
                let known = self.partitions.get(partition).ok_or("something was ordered in no partition")?;
                Thing::Partition(known.0.clone())
            }
            Operation::MandateRevoke { mandate } => {
                let passed_on = self.above(mandate).any(|id| id.grantor() == act.actor);
                Thing::Principal(if passed_on { act.actor.clone() } else { mandate.grantor() })
            }
            _ => own(),
        };
        let known = self.principals.get(&act.actor).ok_or_else(|| format!("{} is nobody", act.actor))?;
        let (actor, roles, action) = (&act.actor, &known.roles, operation.name());
        Ok(Question { actor, roles, signers: act.transaction.signers().collect(), action, thing })
    }

    /// Whether as many administrators of an organisation signed as it wants for a recovery, or two where it has not said, or
    /// one where there are not two; whom it is about does not count.
    fn recovers(&self, act: &Act<'_>, subject: Option<&PrincipalId>) -> bool {
        let organisation = act.organisation();
        let is_administrator = |known: &Principal| {
            known.status != PrincipalStatus::Retired && known.roles.iter().any(|role| role == "administrator")
        };
        let administers = |who: &PrincipalId| {
            who.organisation() == organisation
                && subject != Some(who)
                && self.principals.get(who).is_some_and(is_administrator)
        };
        let able = self.principals.keys().filter(|who| administers(who)).count();
        let signed = act.transaction.signers().filter(|(who, _)| administers(who)).count();
        let wanted = self.organisations.get(organisation).and_then(|known| known.recovery);
        signed >= wanted.map_or_else(|| able.clamp(1, 2), |wanted| wanted as usize)
    }

    /// Whether somebody may give another a key, make an administrator or end one: as many sign as for a recovery.
    fn keeps_recovery(&self, act: &Act<'_>, operation: &Operation) -> bool {
        let is_one = |roles: &Roles| roles.contains("administrator");
        let was = |subject: &PrincipalId| self.principals.get(subject).is_some_and(|known| is_one(&known.roles));
        let subject = match operation {
            Operation::PrincipalRecover { principal, .. } => Some(principal),
            Operation::KeyAdd { principal, .. } | Operation::KeyRotate { principal, .. } if !act.is_own(principal) => {
                Some(principal)
            }
            Operation::PrincipalStatus { principal, status: PrincipalStatus::Retired, .. }
                if was(principal) && !act.is_own(principal) =>
            {
                Some(principal)
            }
            Operation::PrincipalAmend { principal, roles: Some(roles), .. } => {
                if was(principal) == is_one(roles) || (!is_one(roles) && act.is_own(principal)) {
                    return true;
                }
                Some(principal)
            }
            Operation::PrincipalEnrol { roles, .. } if is_one(roles) => None,
            Operation::RecoverySet { .. } => None,
            _ => return true,
        };
        self.recovers(act, subject)
    }

    /// What an accepted operation changes.
    fn follow(&mut self, act: &Act<'_>, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::RegisterCreate { register, .. } => {
                self.may_directly(ChangeKind::RegisterCreate)?;
                self.create(register, act.organisation(), Some(act.leaf))
            }
            Operation::RegisterPhase { register, phase, .. } => {
                if matches!(phase, Phase::Superseded | Phase::Closed) {
                    self.may_directly(ChangeKind::RegisterClose)?;
                }
                self.registers.entry(register.clone()).and_modify(|known| known.phase = *phase);
                Ok(())
            }
            Operation::EntryAppend { register, entries } => {
                entries.iter().for_each(|entry| self.append(act.leaf, register, EntryKind::User, &entry.key));
                Ok(())
            }
            Operation::RegisterImport { register, entries, .. } => {
                entries.iter().for_each(|entry| self.append(act.leaf, register, entry.kind, &entry.key));
                Ok(())
            }
            Operation::RecordCorrect { register, entry, .. } => {
                self.append(act.leaf, register, EntryKind::User, &entry.key);
                Ok(())
            }
            Operation::RegisterPolicy { register, change } => self.change_register(register, change),
            Operation::AuthorityAdmit { certificate, .. } => {
                self.may_directly(ChangeKind::AuthorityAdmit)?;
                self.trust(act.organisation(), certificate);
                Ok(())
            }
            Operation::AuthorityRetire { authority } => {
                self.may_directly(ChangeKind::AuthorityRetire)?;
                self.distrust(act.organisation(), authority)
            }
            Operation::RevocationPost { .. } => {
                self.is_revoked_from = true;
                Ok(())
            }
            Operation::MandateGrant { name, terms } => {
                let id = MandateId::new(&act.actor, name).expect("an accepted name is a slug");
                self.explained.insert(StateKey::mandate(&id));
                match self.mandates.insert(id.clone(), (terms.clone(), false)) {
                    None => Ok(()),
                    Some(_) => Err(format!("{id} was granted again")),
                }
            }
            Operation::PrivateOrder { partition, .. }
            | Operation::PartitionRoot { partition, .. }
            | Operation::TransferRefuse { partition, .. } => {
                self.shared(act, partition, matches!(operation, Operation::PrivateOrder { .. }))
            }
            Operation::MandateRevoke { mandate } => {
                let known = self.mandates.get_mut(mandate).ok_or_else(|| format!("{mandate} is not there"))?;
                known.1 = true;
                Ok(())
            }
            Operation::ProposalSubmit { proposal, changes, effect_height, .. } => {
                self.propose((proposal, changes, *effect_height), act.organisation(), (act.height, act.time_ms))
            }
            Operation::BallotCast { proposal, choice } => {
                self.cast(proposal, act.organisation(), *choice, (act.height, act.time_ms))
            }
            Operation::ProposalObject { proposal, .. } => self.object(proposal, act.organisation(), act.time_ms),
            Operation::ProposalWithdraw { proposal } => self.withdraw(proposal, act.organisation()),
            Operation::ErasureOrder { .. }
            | Operation::ErasureReceipt { .. }
            | Operation::HoldPlace { .. }
            | Operation::HoldLift { .. } => self.follow_erasures(&act.actor, act.time_ms, operation),
            _ => self.follow_people(act, operation),
        }
    }

    /// Nodes of members signed for a partition; of at least two of them, where something is ordered.
    fn shared(&mut self, act: &Act<'_>, partition: &str, is_order: bool) -> Result<(), String> {
        self.explained.insert(StateKey::partition_roots(partition));
        let known = self.partitions.get(partition).filter(|(_, is_closed)| !is_order || !is_closed);
        let (members, _) = known.ok_or("something was ordered in a partition that is not open")?;
        let signers: Vec<&PrincipalId> = act.transaction.signers().map(|(principal, _)| principal).collect();
        let is_node = |who: &&PrincipalId| members.contains(who.organisation()) && self.nodes.contains(*who);
        let distinct: BTreeSet<&str> = signers.iter().map(|who| who.organisation()).collect();
        if signers.iter().all(is_node) && (!is_order || distinct.len() > 1) {
            Ok(())
        } else {
            Err(format!("too few members' nodes signed for partition {partition}"))
        }
    }

    /// What an accepted operation changes of principals and their keys.
    fn follow_people(&mut self, act: &Act<'_>, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::NodeRegister { node, .. } => {
                self.explained.insert(StateKey::nodes(act.organisation()));
                self.nodes.insert(node.clone());
                Ok(())
            }
            Operation::NodeRetire { node, .. } => {
                self.nodes.remove(node);
                Ok(())
            }
            Operation::PrincipalEnrol { name, roles, key, .. } => {
                self.enrol(&principal_of(act.organisation(), name), roles, key)
            }
            Operation::PrincipalStatus { principal, status, .. } => {
                self.principals.entry(principal.clone()).and_modify(|known| known.status = *status);
                Ok(())
            }
            Operation::PrincipalAmend { principal, roles, .. } => {
                let known = self.principals.entry(principal.clone());
                known.and_modify(|known| known.roles = roles.clone().unwrap_or_else(|| known.roles.clone()));
                Ok(())
            }
            Operation::PrincipalRecover { principal, key, .. } => {
                self.end_keys(principal, act.time_ms, |_| true);
                self.add_key(principal, key)
            }
            Operation::RecoverySet { administrators } => {
                let known = self.organisations.entry(act.organisation().to_owned());
                known.and_modify(|known| known.recovery = Some(*administrators));
                Ok(())
            }
            Operation::KeyAdd { principal, key, .. } => self.add_key(principal, key),
            Operation::KeyRotate { principal, old, new, overlap } => {
                self.end_keys(principal, act.time_ms + overlap * 1_000, |key| key == old);
                self.add_key(principal, new)
            }
            Operation::KeyRetire { principal, key } => {
                self.end_keys(principal, act.time_ms, |held| held == key);
                Ok(())
            }
            Operation::KeyCertify { principal, key, authority, chain } => {
                let id = (principal.organisation().to_owned(), *authority);
                let trusted = self.authorities.get(&id).filter(|(_, is_trusted)| *is_trusted);
                let (root, _) = trusted.ok_or_else(|| format!("{principal} was certified by nobody who is trusted"))?;
                let ends = chain.iter().chain([root]).map(|der| Certificate::parse(der).map(|one| one.not_after()));
                let ends: Vec<u64> = ends.collect::<Result<_, _>>().map_err(|fault| fault.to_string())?;
                let until_ms = ends.into_iter().min().map(|last| (last + 1) * 1_000);
                let keys = self.principals.get_mut(principal).into_iter().flat_map(|known| &mut known.keys);
                keys.filter(|held| held.key == *key).for_each(|held| held.until_ms = until_ms);
                Ok(())
            }
            Operation::ConsentGive { .. } => self.follow_erasures(&act.actor, act.time_ms, operation),
            _ => Ok(()),
        }
    }

    fn change_register(&mut self, register: &str, change: &PolicyChange) -> Result<(), String> {
        let count = |network: &Self| network.policies.in_force.get(register).map_or(0, |set| set.len());
        let before = count(self);
        let ids = change.put.iter().map(|policy| &policy.id).chain(&change.remove);
        if let Some(stray) = ids.into_iter().find(|id| id.register() != Some(register)) {
            return Err(format!("{stray} is no policy of {register}"));
        }
        self.policies.change(&change.put, &change.remove);
        if count(self) > before.max(self.rulebook.register_policies_max as usize) {
            return Err(format!("{register} has more policies than its custodian may set"));
        }
        Ok(())
    }

    fn append(&mut self, leaf: u64, register: &str, kind: EntryKind, key: &str) {
        let record = StateKey::record(self.registers[register].number, kind, key);
        self.records.insert(record, leaf);
        self.explained.insert(record);
    }

    fn end_keys(&mut self, principal: &PrincipalId, end_ms: u64, ends: impl Fn(&PublicKey) -> bool) {
        let known = self.principals.get_mut(principal).into_iter().flat_map(|known| &mut known.keys);
        for held in known.filter(|held| ends(&held.key)) {
            held.end_ms = Some(held.end_ms.map_or(end_ms, |before| before.min(end_ms)));
        }
    }
}

/// Whether all that it asks for is a certificate for the very key that signed it.
fn is_renewal(transaction: &SignedTransaction) -> bool {
    let renews = |operation: &Operation| match operation {
        Operation::KeyCertify { principal, key, .. } => {
            principal == transaction.principal() && transaction.signers().next().is_some_and(|(_, first)| first == key)
        }
        _ => false,
    };
    transaction.mandate().is_none() && transaction.operations().iter().all(renews)
}
