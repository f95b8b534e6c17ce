//! Authority: no state change without a recorded permission by a rule in force.
//!
//! Reads the whole log and the whole state of a node and knows the starter rules, written down here a second time. It shares
//! no code with the ledger's authorisation: only the names of rows and their form.
//!
//! * Every accepted act names the policies that permitted it, and was signed with keys that their holders had then, by somebody whom a rule permits each operation, or
//!   who acted for such a one under mandates in force.
//! * Every row of the state is the genesis' or of an accepted act, or of a proposal for which more than half of the organisations
//!   voted; and what says who is who, whose a register is and what a record holds is what those acts made it.

use super::Broken;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_ledger::state::PrincipalRow;
use tallystick_protocol::{
    Change, Choice, EntryKind, Genesis, Hash, LogEntry, MandateId, MandateTerms, Operation, Outcome, Phase, PolicyId,
    PrincipalId, PrincipalStatus, PublicKey, RecordRow, Recovery, RegisterRow, Roles, SignedTransaction, StateKey,
    limits::PRINCIPALS_PER_PAGE,
};

const PROMISE: &str = "authority";
/// The policies with which a network begins.
const STARTERS: [&str; 5] =
    ["administrators-manage", "custodian-writes", "own-certificate", "own-keys", "own-mandates"];

/// All rows of a state.
pub type Rows = BTreeMap<StateKey, Vec<u8>>;

/// Judges a node's whole log and the state after it, given what the organisations signed outside of it.
pub fn check(
    node: usize,
    (genesis, recoveries): (&Genesis, &[Recovery]),
    log: &[LogEntry],
    rows: &Rows,
) -> Result<(), Broken> {
    let mut model = Model::new(genesis);
    for recovery in recoveries {
        model.explained.insert(StateKey::recovery(recovery.head.height));
        for validator in &recovery.validators {
            let key = PublicKey::Ed25519(validator.key);
            model.explained.extend([StateKey::key(&key), StateKey::validator(&validator.key)]);
        }
    }
    for (leaf, entry) in (0..).zip(log) {
        model.entry(leaf, entry).map_err(|detail| broken(node, &format!("log entry {leaf}: {detail}")))?;
    }
    if rows.is_empty() && log.is_empty() {
        // No block yet, so no genesis either.
        return Ok(());
    }
    model.judge(rows).map_err(|detail| broken(node, &detail))
}

fn broken(node: usize, detail: &str) -> Broken {
    Broken::new(PROMISE, format!("node {node}: {detail}"))
}

/// What the accepted acts amount to.
#[derive(Default)]
struct Model {
    organisations: BTreeSet<String>,
    principals: BTreeMap<PrincipalId, Principal>,
    registers: BTreeMap<String, Register>,
    /// The leaf that last appended to a record.
    records: BTreeMap<StateKey, u64>,
    mandates: BTreeMap<MandateId, MandateTerms>,
    /// How many administrators an organisation wants for a recovery, where it has said so.
    recovery: BTreeMap<String, u32>,
    proposals: BTreeMap<String, Proposal>,
    /// Rows that somebody was permitted to write.
    explained: BTreeSet<StateKey>,
    /// Changes of policies so far.
    policy_version: u64,
    /// Whether somebody was permitted to post a revocation list: which certificates it names is not looked into.
    is_revoked_from: bool,
}

struct Principal {
    roles: Roles,
    status: PrincipalStatus,
    /// Its keys, and when each ends, where that was said: Unix milliseconds.
    keys: Vec<(PublicKey, Option<u64>)>,
}

/// An accepted act.
struct Act<'a> {
    leaf: u64,
    time_ms: u64,
    transaction: &'a SignedTransaction,
    /// Who did it: the signer, or the one for whom the signer acted.
    actor: PrincipalId,
}

struct Register {
    number: u32,
    custodian: String,
    phase: Phase,
    created: Option<u64>,
}

struct Proposal {
    changes: Vec<Change>,
    voters: BTreeSet<String>,
}

impl Model {
    fn new(genesis: &Genesis) -> Self {
        let mut model = Self::default();
        model.put_policies("", STARTERS.map(|id| id.parse().expect("a slug")).iter());
        model.explained.extend([StateKey::counters(), StateKey::log(), StateKey::rulebook(), StateKey::agenda()]);
        model.explained.extend([StateKey::limits(), StateKey::schedule(), StateKey::organisations(0)]);
        for validator in &genesis.validators {
            let key = PublicKey::Ed25519(validator.key);
            model.explained.extend([StateKey::key(&key), StateKey::validator(&validator.key)]);
        }
        for organisation in &genesis.organisations {
            model.organisations.insert(organisation.id.clone());
            model.explained.insert(StateKey::organisation(&organisation.id));
            for principal in &organisation.principals {
                let id = PrincipalId::new(&organisation.id, &principal.name).expect("a genesis names slugs");
                model.enrol(&id, &principal.roles, &principal.key);
            }
        }
        model
    }

    /// Follows a log entry; says what nobody was permitted.
    fn entry(&mut self, leaf: u64, entry: &LogEntry) -> Result<(), String> {
        let transaction = SignedTransaction::decode(entry.transaction.clone()).map_err(|error| error.to_string())?;
        let Outcome::Accepted { decision, .. } = &entry.outcome else { return Ok(()) };
        if decision.determining.is_empty() {
            return Err("it is accepted, and records no permission".to_owned());
        }
        for (principal, key) in transaction.signers() {
            let holds = |known: &Principal| {
                let ends = |end: Option<u64>| end.is_some_and(|end| end <= entry.time_ms);
                known.status == PrincipalStatus::Active
                    && known.keys.iter().any(|(held, end)| held == key && !ends(*end))
            };
            if !self.principals.get(principal).is_some_and(holds) {
                return Err(format!("it is accepted, and {principal} does not hold the key that signed"));
            }
        }
        let actor = self.actor(&transaction, entry.time_ms)?;
        let act = Act { leaf, time_ms: entry.time_ms, transaction: &transaction, actor };
        for operation in transaction.operations() {
            if !self.permits(&act, operation) || !self.keeps_recovery(&act, operation) {
                let (name, who) = (operation.name(), &act.actor);
                return Err(format!("it is accepted, and no rule permits {name} to {who}: {operation:?}"));
            }
            self.follow(&act, operation);
        }
        Ok(())
    }

    /// Who acts: the signer, or the root of the mandates under which it does, if all of them are in force and say this.
    fn actor(&self, transaction: &SignedTransaction, time_ms: u64) -> Result<PrincipalId, String> {
        let signers: Vec<&PrincipalId> = transaction.signers().map(|(principal, _)| principal).collect();
        let (mut actor, mut next, mut below) = (transaction.principal().clone(), transaction.mandate(), 0);
        while let Some(id) = next {
            let terms =
                self.mandates.get(id).ok_or_else(|| format!("it is accepted under {id}, which is not in force"))?;
            let agents = terms.agents.iter().filter(|agent| signers.contains(agent)).count();
            let entrusted = terms.agents.contains(&actor) && (below > 0 || agents >= terms.concur as usize);
            let in_time = (terms.from..terms.until).contains(&(time_ms / 1_000));
            let says = |operation: &Operation| {
                let name = operation.name().to_string();
                terms.actions.iter().any(|word| *word == "*" || *word == name)
                    && operation.register().is_none_or(|register| {
                        let thing = format!("register:{register}");
                        let covers =
                            |word: &String| word.strip_suffix('*').map_or(*word == thing, |w| thing.starts_with(w));
                        terms.resources.iter().any(covers)
                    })
            };
            if !entrusted || !in_time || terms.depth < below || !transaction.operations().iter().all(says) {
                return Err(format!("it is accepted under {id}, whose words do not allow it: {terms:?}"));
            }
            (actor, next, below) = (id.grantor(), terms.parent.as_ref(), below + 1);
        }
        Ok(actor)
    }

    /// Whether as many administrators of an organisation signed as it wants for a recovery, or two where it has not said, or
    /// one where there are not two; whom it is about does not count.
    fn recovers(&self, act: &Act<'_>, organisation: &str, subject: Option<&PrincipalId>) -> bool {
        let administers = |who: &PrincipalId| {
            who.organisation() == organisation
                && subject != Some(who)
                && self
                    .principals
                    .get(who)
                    .is_some_and(|known| known.status != PrincipalStatus::Retired && known.roles.is_administrator())
        };
        let able = self.principals.keys().filter(|who| administers(who)).count();
        let signed = act.transaction.signers().filter(|(who, _)| administers(who)).count();
        let wanted = self.recovery.get(organisation).map(|wanted| *wanted as usize);
        signed >= wanted.unwrap_or_else(|| able.clamp(1, 2))
    }

    /// Whether somebody may give another a key, make an administrator or end one: as many sign as for a recovery.
    fn keeps_recovery(&self, act: &Act<'_>, operation: &Operation) -> bool {
        let is_own = |subject: &PrincipalId| subject == act.transaction.principal() && subject == &act.actor;
        let was = |subject: &PrincipalId| self.principals.get(subject).is_some_and(|p| p.roles.is_administrator());
        let (organisation, subject) = (
            act.actor.organisation(),
            match operation {
                Operation::PrincipalRecover { principal, .. } => Some(principal),
                Operation::KeyAdd { principal, .. } | Operation::KeyRotate { principal, .. } if !is_own(principal) => {
                    Some(principal)
                }
                Operation::PrincipalStatus { principal, status: PrincipalStatus::Retired, .. }
                    if was(principal) && !is_own(principal) =>
                {
                    Some(principal)
                }
                Operation::PrincipalAmend { principal, roles: Some(roles), .. } => {
                    let is = roles.is_administrator();
                    if was(principal) == is || (!is && is_own(principal)) {
                        return true;
                    }
                    Some(principal)
                }
                Operation::PrincipalEnrol { roles, .. } if roles.is_administrator() => None,
                _ => return true,
            },
        );
        self.recovers(act, organisation, subject)
    }

    /// Whether somebody granted a mandate, or one of which it was passed on.
    fn granted(&self, who: &PrincipalId, mandate: &MandateId) -> bool {
        let above = std::iter::successors(Some(mandate), |id| self.mandates.get(*id)?.parent.as_ref());
        above.into_iter().any(|id| id.grantor() == *who)
    }

    /// The starter rules: custodians write, administrators run their own organisation, everybody keeps their own keys and
    /// certificates and entrusts others with what they may do themselves.
    fn permits(&self, act: &Act<'_>, operation: &Operation) -> bool {
        let signer = &act.actor;
        let administers = self.principals.get(signer).is_some_and(|known| known.roles.is_administrator());
        let keeps = |name: &str| self.registers.get(name).is_some_and(|known| known.custodian == signer.organisation());
        let writes = self.principals.get(signer).is_some_and(|known| known.roles.contains("registrar"));
        let is_of_its_own = |subject: &PrincipalId| subject.organisation() == signer.organisation();
        match operation {
            Operation::EntryAppend { register, .. } => (writes || administers) && keeps(register),
            Operation::RegisterPolicy { register, .. }
            | Operation::RegisterImport { register, .. }
            | Operation::RegisterPhase { register, .. } => administers && keeps(register),
            Operation::KeyCertify { principal, .. } if principal == signer => true,
            Operation::KeyAdd { principal, .. }
            | Operation::KeyRotate { principal, .. }
            | Operation::KeyRetire { principal, .. }
                if principal == signer && principal == act.transaction.principal() =>
            {
                true
            }
            Operation::MandateGrant { .. } => true,
            Operation::MandateRevoke { mandate } => {
                self.granted(signer, mandate) || administers && is_of_its_own(&mandate.grantor())
            }
            Operation::PrincipalStatus { principal, .. }
            | Operation::PrincipalAmend { principal, .. }
            | Operation::PrincipalRecover { principal, .. }
            | Operation::KeyAdd { principal, .. }
            | Operation::KeyRotate { principal, .. }
            | Operation::KeyRetire { principal, .. }
            | Operation::KeyCertify { principal, .. } => administers && is_of_its_own(principal),
            Operation::RegisterCreate { .. }
            | Operation::OrganisationContact { .. }
            | Operation::PrincipalEnrol { .. }
            | Operation::RecoverySet { .. }
            | Operation::AuthorityAdmit { .. }
            | Operation::AuthorityRetire { .. }
            | Operation::RevocationPost { .. }
            | Operation::ProposalSubmit { .. }
            | Operation::ProposalWithdraw { .. }
            | Operation::BallotCast { .. }
            | Operation::ProposalObject { .. } => administers,
        }
    }

    /// What an accepted operation changes.
    fn follow(&mut self, act: &Act<'_>, operation: &Operation) {
        let (leaf, signer, own) = (act.leaf, act.transaction.principal(), act.actor.organisation());
        match operation {
            Operation::RegisterCreate { register, .. } => self.create(register, own, Phase::Draft, Some(leaf)),
            Operation::RegisterPhase { register, phase, .. } => {
                self.registers.entry(register.clone()).and_modify(|known| known.phase = *phase);
            }
            Operation::EntryAppend { register, entries } => {
                entries.iter().for_each(|entry| self.append(leaf, register, EntryKind::User, &entry.key));
            }
            Operation::RegisterImport { register, entries, .. } => {
                entries.iter().for_each(|entry| self.append(leaf, register, entry.kind, &entry.key));
            }
            Operation::PrincipalEnrol { name, roles, key, .. } => {
                let id = PrincipalId::new(own, name).expect("an accepted name is a slug");
                self.enrol(&id, roles, key);
            }
            Operation::PrincipalStatus { principal, status, .. } => {
                self.principals.entry(principal.clone()).and_modify(|known| known.status = *status);
            }
            Operation::PrincipalRecover { principal, key, .. } => {
                self.end_keys(principal, act.time_ms, |_| true);
                self.add_key(principal, key);
            }
            Operation::PrincipalAmend { principal, roles, .. } => {
                self.principals
                    .entry(principal.clone())
                    .and_modify(|known| known.roles = roles.clone().unwrap_or_else(|| known.roles.clone()));
            }
            Operation::OrganisationContact { .. } => {}
            Operation::RecoverySet { administrators } => drop(self.recovery.insert(own.to_owned(), *administrators)),
            Operation::KeyAdd { principal, key, .. } => self.add_key(principal, key),
            Operation::KeyRotate { principal, old, new, overlap } => {
                self.end_keys(principal, act.time_ms + overlap * 1_000, |key| key == old);
                self.add_key(principal, new);
            }
            Operation::KeyRetire { principal, key } => self.end_keys(principal, act.time_ms, |held| held == key),
            Operation::KeyCertify { .. } => {}
            Operation::MandateGrant { name, terms } => {
                let id = MandateId::new(signer, name).expect("an accepted name is a slug");
                self.explained.insert(StateKey::mandate(&id));
                self.mandates.insert(id, terms.clone());
            }
            Operation::MandateRevoke { mandate } => drop(self.mandates.remove(mandate)),
            Operation::RegisterPolicy { register, change } => {
                self.put_policies(register, change.put.iter().map(|policy| &policy.id));
            }
            Operation::AuthorityAdmit { certificate, .. } => {
                self.explained.insert(StateKey::authority(own, &Hash::of(&[certificate])));
            }
            Operation::AuthorityRetire { authority } => {
                self.explained.insert(StateKey::authority(own, authority));
            }
            Operation::RevocationPost { .. } => self.is_revoked_from = true,
            Operation::ProposalSubmit { proposal, changes, .. } => self.propose(proposal, changes),
            Operation::BallotCast { proposal, choice } => {
                self.explained.insert(StateKey::ballot(proposal, own));
                if *choice == Choice::Yes {
                    self.vote(proposal, own);
                }
            }
            Operation::ProposalObject { proposal, .. } => {
                self.explained.insert(StateKey::objection(proposal, own));
            }
            Operation::ProposalWithdraw { .. } => {}
        }
    }

    fn create(&mut self, name: &str, custodian: &str, phase: Phase, created: Option<u64>) {
        let number = u32::try_from(self.registers.len() + 1).expect("few registers");
        let register = Register { number, custodian: custodian.to_owned(), phase, created };
        self.registers.insert(name.to_owned(), register);
        self.explained.extend([StateKey::register(name), StateKey::tree(number)]);
    }

    fn append(&mut self, leaf: u64, register: &str, kind: EntryKind, key: &str) {
        let record = StateKey::record(self.registers[register].number, kind, key);
        self.records.insert(record, leaf);
        self.explained.insert(record);
    }

    fn enrol(&mut self, id: &PrincipalId, roles: &Roles, key: &PublicKey) {
        let before = self.principals.keys().filter(|known| known.organisation() == id.organisation()).count();
        let page = u32::try_from(before).expect("few principals") / PRINCIPALS_PER_PAGE;
        self.explained.extend([StateKey::principal(id), StateKey::principals(id.organisation(), page)]);
        let principal = Principal { roles: roles.clone(), status: PrincipalStatus::Active, keys: Vec::new() };
        self.principals.insert(id.clone(), principal);
        self.add_key(id, key);
    }

    fn add_key(&mut self, principal: &PrincipalId, key: &PublicKey) {
        self.explained.insert(StateKey::key(key));
        self.principals.entry(principal.clone()).and_modify(|known| known.keys.push((*key, None)));
    }

    fn end_keys(&mut self, principal: &PrincipalId, end_ms: u64, ends: impl Fn(&PublicKey) -> bool) {
        let known = self.principals.get_mut(principal).into_iter().flat_map(|known| &mut known.keys);
        for (_, end) in known.filter(|(key, _)| ends(key)) {
            *end = Some(end.map_or(end_ms, |before| before.min(end_ms)));
        }
    }

    fn put_policies<'a>(&mut self, register: &str, ids: impl Iterator<Item = &'a PolicyId>) {
        self.policy_version += 1;
        let version = self.policy_version;
        self.explained.insert(StateKey::policy_set(register));
        self.explained.extend(ids.map(|id| StateKey::policy(id, version)));
    }

    fn propose(&mut self, id: &str, changes: &[Change]) {
        let page = u32::try_from(self.proposals.len()).expect("few proposals");
        self.explained.extend([StateKey::proposal(id), StateKey::rule_text(id), StateKey::proposals(page)]);
        // However it ends, a page lists what became of it.
        self.explained.insert(StateKey::turns(0));
        self.explained.extend((0..).zip(changes).map(|(index, _)| StateKey::change(id, index)));
        // The keys that it names are kept for those who are to hold them.
        self.explained.extend(changes.iter().flat_map(keys_named).map(|key| StateKey::key(&key)));
        self.proposals.insert(id.to_owned(), Proposal { changes: changes.to_vec(), voters: BTreeSet::new() });
    }

    /// From the vote that makes more than half of the organisations on, its changes may be in the state.
    fn vote(&mut self, id: &str, organisation: &str) {
        let Some(proposal) = self.proposals.get_mut(id) else { return };
        proposal.voters.insert(organisation.to_owned());
        if proposal.voters.len() * 2 > self.organisations.len() {
            let changes = std::mem::take(&mut proposal.changes);
            changes.iter().for_each(|change| self.take_effect(change));
        }
    }

    fn take_effect(&mut self, change: &Change) {
        match change {
            Change::OrganisationAdmit { organisation } => {
                self.explained.insert(StateKey::organisation(&organisation.id));
                for principal in &organisation.principals {
                    let id = PrincipalId::new(&organisation.id, &principal.name).expect("an accepted name is a slug");
                    self.enrol(&id, &principal.roles, &principal.key);
                }
            }
            Change::AuthorityAdmit { organisation, certificate, .. } => {
                self.explained.insert(StateKey::authority(organisation, &Hash::of(&[certificate])));
            }
            Change::Validators { add, .. } => {
                for validator in add {
                    let key = PublicKey::Ed25519(validator.key);
                    self.explained.extend([StateKey::key(&key), StateKey::validator(&validator.key)]);
                }
            }
            Change::RegisterCreate { register, custodian, .. } => self.create(register, custodian, Phase::Draft, None),
            Change::Policies { put, .. } => self.put_policies("", put.iter().map(|policy| &policy.id)),
            Change::RegisterEntrust { register, custodian } => {
                self.registers.entry(register.clone()).and_modify(|known| known.custodian.clone_from(custodian));
            }
            Change::RegisterClose { register, .. } => {
                self.registers.entry(register.clone()).and_modify(|known| known.phase = Phase::Closed);
            }
            Change::OrganisationAmend { .. }
            | Change::OrganisationSuspend { .. }
            | Change::OrganisationResume { .. }
            | Change::OrganisationExpel { .. }
            | Change::AuthorityRetire { .. }
            | Change::Limit { .. }
            | Change::ProtocolVersion { .. }
            | Change::Rulebook { .. } => {}
        }
    }

    /// Compares the state with what was permitted.
    fn judge(&self, rows: &Rows) -> Result<(), String> {
        for (key, _) in rows.iter().filter(|(key, _)| !self.explained.contains(key)) {
            // Revocation, Revoked: see `is_revoked_from`.
            if !(self.is_revoked_from && matches!(key.0[0], 11 | 12)) {
                return Err(format!("row {key} was written, and no accepted act explains it"));
            }
        }
        let row = |key: StateKey, what: &str| rows.get(&key).ok_or_else(|| format!("the row of {what} is gone"));
        for (id, known) in &self.principals {
            let row = PrincipalRow::decode(row(StateKey::principal(id), id.as_str())?).map_err(|e| e.to_string())?;
            let keys: BTreeSet<String> =
                row.keys.iter().filter(|held| held.is_kept()).map(|held| held.key.to_string()).collect();
            let kept = known.keys.iter().filter(|(_, end)| end.is_none());
            let permitted: BTreeSet<String> = kept.map(|(key, _)| key.to_string()).collect();
            if (&row.roles, row.status, &keys) != (&known.roles, known.status, &permitted) {
                let (roles, status) = (&known.roles, known.status);
                return Err(format!("{id} is {row:?}, permitted were {roles}, {status} and {permitted:?}"));
            }
        }
        for (name, known) in &self.registers {
            let row = RegisterRow::decode(row(StateKey::register(name), name)?).map_err(|e| e.to_string())?;
            let is_as_permitted = row.custodian == known.custodian
                && row.phase == known.phase
                && known.created.is_none_or(|created| row.created == created);
            if !is_as_permitted {
                return Err(format!(
                    "register {name} is {row:?}, permitted were {} and {}",
                    known.custodian, known.phase
                ));
            }
        }
        for (key, leaf) in &self.records {
            let row = RecordRow::decode(row(*key, "a record")?).map_err(|e| e.to_string())?;
            if row.leaf != *leaf {
                return Err(format!("record {row:?} is not what log entry {leaf} made it"));
            }
        }
        Ok(())
    }
}

/// The new keys that a change names.
fn keys_named(change: &Change) -> Vec<PublicKey> {
    match change {
        Change::OrganisationAdmit { organisation } => organisation.principals.iter().map(|one| one.key).collect(),
        Change::Validators { add, .. } => add.iter().map(|validator| PublicKey::Ed25519(validator.key)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Member, Members};
    use tallystick_ledger::{BlockContext, Missing, View, apply};
    use tallystick_protocol::{Cardinality, Code, Datatype, Decision, Field, NewEntry, SigningKey};

    /// A ledger of four organisations in miniature: the real rules, a log and a state.
    struct Ledger {
        members: Members,
        log: Vec<LogEntry>,
        rows: Rows,
    }

    impl Ledger {
        fn new() -> Self {
            let members = Members::new(7, 4, 0, 1_000_000);
            let mut view = View::new();
            tallystick_ledger::genesis(&mut view, &members.genesis);
            let mut rows: Rows = view.changes().into_iter().filter_map(|(key, row)| Some((key, row?))).collect();
            rows.insert(StateKey::log(), Vec::new());
            Self { members, log: Vec::new(), rows }
        }

        fn member(&self, organisation: usize, index: usize) -> Member {
            self.members.principals[organisation][index].clone()
        }

        fn act(&mut self, member: &Member, operation: Operation) -> Outcome {
            let leaf = self.log.len() as u64;
            let transaction = self.members.sign(member, 2_000, leaf.to_be_bytes().to_vec(), vec![operation]);
            let verified = transaction.clone().verify().unwrap();
            let network = self.members.genesis.id();
            let context = BlockContext { network, height: leaf + 1, time_ms: 1_000_000 + leaf, log_size: leaf };
            let mut view = View::new();
            let outcome = loop {
                match apply(&mut view, &context, &verified, leaf) {
                    Ok(outcome) => break outcome,
                    Err(Missing(keys)) => keys.iter().for_each(|key| view.insert(*key, self.rows.get(key).cloned())),
                }
            };
            self.rows.extend(view.changes().into_iter().filter_map(|(key, row)| Some((key, row?))));
            self.record(&transaction, outcome.clone());
            outcome
        }

        /// As a ledger would that had forgotten its rules: it takes the act and changes nothing.
        fn take(&mut self, member: &Member, operation: Operation) {
            let leaf = self.log.len() as u64;
            let transaction = self.members.sign(member, 2_000, leaf.to_be_bytes().to_vec(), vec![operation]);
            let decision =
                Decision { version: 1, determining: vec!["own-mandates".parse().unwrap()], ..Decision::default() };
            self.record(&transaction, Outcome::Accepted { appended: Vec::new(), decision });
        }

        fn record(&mut self, transaction: &SignedTransaction, outcome: Outcome) {
            let height = self.log.len() as u64 + 1;
            self.log.push(LogEntry { transaction: transaction.bytes().clone(), height, time_ms: height, outcome });
        }

        fn verdict(&self) -> Result<(), String> {
            check(0, (&self.members.genesis, &[]), &self.log, &self.rows).map_err(|broken| broken.detail)
        }

        /// With a register, a record in it, an enrolled principal and a replaced key.
        fn busy() -> Self {
            let mut ledger = Self::new();
            let (administrator, registrar) = (ledger.member(0, 0), ledger.member(0, 1));
            let key = registrar.key.public();
            for (who, operation) in [
                (&administrator, create("things")),
                (&registrar, append("things", "a")),
                (&administrator, enrol("newcomer", &new_key(1))),
                (&registrar, append("things", "a-2")),
                (&administrator, rotate(&registrar.id, &key, &new_key(2))),
            ] {
                let outcome = ledger.act(who, operation);
                assert!(outcome.is_accepted(), "{outcome:?}");
            }
            ledger
        }
    }

    fn new_key(seed: u8) -> PublicKey {
        SigningKey::from_ed25519_seed(&[seed; 32]).public()
    }

    fn create(register: &str) -> Operation {
        let field = Field {
            name: register.to_owned(),
            datatype: Datatype::String,
            cardinality: Cardinality::One,
            register: None,
            text: "A field".to_owned(),
            protection: None,
        };
        Operation::RegisterCreate { register: register.to_owned(), text: "Things".to_owned(), fields: vec![field] }
    }

    fn append(register: &str, key: &str) -> Operation {
        let items = vec![format!(r#"{{"{register}":"{key}"}}"#)];
        Operation::EntryAppend { register: register.to_owned(), entries: vec![NewEntry { key: key.to_owned(), items }] }
    }

    fn enrol(name: &str, key: &PublicKey) -> Operation {
        Operation::enrol(name, Roles::registrar(), *key)
    }

    fn rotate(principal: &PrincipalId, old: &PublicKey, new: &PublicKey) -> Operation {
        Operation::KeyRotate { principal: principal.clone(), old: *old, new: *new, overlap: 0 }
    }

    #[test]
    fn a_ledger_that_keeps_its_rules_is_believed() {
        assert_eq!(Ledger::new().verdict(), Ok(()));
        let mut ledger = Ledger::busy();
        let stranger = ledger.member(1, 1);
        let outcome = ledger.act(&stranger, append("things", "b"));
        assert!(matches!(&outcome, Outcome::Refused(refusal) if refusal.code == Code::NotPermitted), "{outcome:?}");
        assert_eq!(ledger.verdict(), Ok(()));
    }

    /// Each act is one that the rules forbid, taken all the same.
    #[test]
    fn a_rule_forgotten_is_seen() {
        let ledger = Ledger::busy();
        let (administrator, registrar) = (ledger.member(0, 0), ledger.member(0, 1));
        let (other_administrator, other_registrar) = (ledger.member(1, 0), ledger.member(1, 1));
        let key = administrator.key.public();
        for (who, operation, told) in [
            (&other_registrar, append("things", "b"), "no rule permits entry-append"),
            (&other_administrator, append("things", "b"), "no rule permits entry-append"),
            (&other_registrar, create("others"), "no rule permits register-create"),
            (&other_registrar, enrol("friend", &new_key(3)), "no rule permits principal-enrol"),
            (&other_administrator, rotate(&administrator.id, &key, &new_key(3)), "no rule permits key-rotate"),
            (&administrator, append("nowhere", "b"), "no rule permits entry-append"),
            // Its key was replaced.
            (&registrar, append("things", "b"), "does not hold the key that signed"),
        ] {
            let mut ledger =
                Ledger { members: ledger.members.clone(), log: ledger.log.clone(), rows: ledger.rows.clone() };
            ledger.take(who, operation.clone());
            let verdict = ledger.verdict().unwrap_err();
            assert!(verdict.contains(told), "{operation:?}: {verdict}");
        }
    }

    #[test]
    fn a_row_that_nobody_was_permitted_to_write_is_seen() {
        let refused = |change: &dyn Fn(&mut Ledger), told: &str| {
            let mut ledger = Ledger::busy();
            change(&mut ledger);
            let verdict = ledger.verdict().unwrap_err();
            assert!(verdict.contains(told), "{verdict}");
        };
        let record = |key: &str| StateKey::record(1, EntryKind::User, key);
        refused(&|ledger| drop(ledger.rows.insert(record("c"), vec![1])), "no accepted act explains it");
        refused(&|ledger| drop(ledger.rows.remove(&record("a"))), "is gone");
        refused(
            &|ledger| {
                let (one, other) = (ledger.rows[&record("a")].clone(), record("a-2"));
                ledger.rows.insert(other, one);
            },
            "is not what log entry 3 made it",
        );
        refused(
            &|ledger| {
                let id = ledger.member(0, 1).id;
                let administrator = StateKey::principal(&ledger.member(0, 0).id);
                let row = ledger.rows[&administrator].clone();
                ledger.rows.insert(StateKey::principal(&id), row);
            },
            "permitted were registrar",
        );
        refused(
            &|ledger| {
                let key = StateKey::register("things");
                let mut row = RegisterRow::decode(&ledger.rows[&key]).unwrap();
                row.custodian = "organisation-3".to_owned();
                ledger.rows.insert(key, row.to_bytes());
            },
            "permitted were organisation-0",
        );
        refused(
            &|ledger| ledger.log[1].outcome = Outcome::Accepted { appended: Vec::new(), decision: Decision::default() },
            "records no permission",
        );
        // The act is left out of the log, and its rows stay.
        refused(&|ledger| drop(ledger.log.remove(2)), "no accepted act explains it");
    }
}
