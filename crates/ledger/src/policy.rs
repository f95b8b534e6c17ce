//! Policies: which are in force, how they change, and what they say to a request.
//!
//! A partition has one set, changed by governance alone ([`apply_change`]). A register may have one beside it, changed by whoever
//! may do `register-policy` to it, whose every policy is held to that register by its scope. Both are asked together, as
//! one set: nothing is permitted unless a policy permits it, and one that forbids wins.
//!
//! Rows: for each set the list of what is in force; and each policy as it was put, kept for ever under the number of its change, so
//! that the text behind an outcome of years ago can be proved.
//!
//! INVARIANT: what is compiled and what is remembered is a function of rows, found by their hash; without it the same is
//! decided, later.

pub mod cedar;
mod explain;
pub mod form;
mod starter;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use minicbor::{Decode, Encode};
use tallystick_protocol::{
    CborError, Code, Decision, Hash, OperationName, PolicyChange, PolicyId, PolicyText, StateKey, Violation,
    ViolationRule, cbor,
    limits::{
        DECISION_POLICIES_MAX, DECISIONS_REMEMBERED_MAX, POLICIES_BYTES_MAX, POLICIES_MAX, POLICIES_REMEMBERED_MAX,
        POLICY_CHANGES_LOOKED_AT_MAX, POLICY_SETS_REMEMBERED_MAX, REGISTER_POLICIES_BYTES_MAX, REGISTER_POLICIES_MAX,
        STATE_VALUE_BYTES_MAX,
    },
};

use crate::{
    apply::{Act, Stop, refuse_if_any},
    authorise::{self, Resource},
    rulebook,
    schema::Violations,
    state::{Draft, Row, Unread, View},
};
use cedar::{Request, Rule, RuleError, Rules, Schema};

pub use explain::{Explained, Explanation, Question, QuestionError, explain};
pub use starter::STARTER;

/// The published schema, in Cedar's schema syntax: `docs/reference/policy-schema.md` shows it.
pub const SCHEMA: &str = include_str!("policy/schema.cedarschema");

/// Which policies are in force, of the partition or for a register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PolicySetRow {
    /// Them, sorted by id.
    #[n(0)]
    pub policies: Vec<PolicyInForce>,
}

/// A policy that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PolicyInForce {
    /// Which.
    #[n(0)]
    pub id: PolicyId,
    /// The number of the change that put it.
    #[n(1)]
    pub version: u64,
    /// Bytes of its text.
    #[n(2)]
    pub bytes: u32,
}

/// A policy as it was put.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PolicyRow {
    /// Which.
    #[n(0)]
    pub id: PolicyId,
    /// The number of the change that put it.
    #[n(1)]
    pub version: u64,
    /// One Cedar policy.
    #[n(2)]
    pub text: String,
}

impl PolicySetRow {
    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }

    /// The number of the change that put the text in force of a policy; none if there is none.
    pub fn in_force(&self, id: &PolicyId) -> Option<u64> {
        self.policies.iter().find(|policy| policy.id == *id).map(|policy| policy.version)
    }

    /// The numbers of the changes of which one may have put a policy as it stood after `as_of` of so many changes, the latest first: it lies under
    /// the number of the change that put it, so the first that is found is the one that stood. As many as are looked at.
    pub fn changes_until(&self, id: &PolicyId, as_of: u64, changes: u64) -> impl Iterator<Item = u64> + use<> {
        let newest = as_of.min(changes);
        // Nothing was put under its id since the text in force was.
        let newest = self.in_force(id).filter(|change| *change <= newest).unwrap_or(newest);
        (newest.saturating_sub(POLICY_CHANGES_LOOKED_AT_MAX).max(1)..=newest).rev()
    }
}

impl PolicyRow {
    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

/// A set with the hash of its row, by which what is compiled of it is found.
#[derive(Debug)]
pub(crate) struct PolicySet {
    pub row: PolicySetRow,
    pub hash: Hash,
    /// Its rules, once they were asked for: they are looked up once for a block, not for each operation.
    rules: OnceLock<Arc<Rules>>,
}

impl PolicySet {
    pub fn new(row: PolicySetRow) -> Self {
        let hash = Hash::of(&[&row.to_bytes()]);
        Self { row, hash, rules: OnceLock::new() }
    }

    /// Its rules if they are compiled.
    fn rules(&self, cache: &PolicyCache) -> Option<Arc<Rules>> {
        self.rules.get().cloned().or_else(|| {
            let rules = cache.get(&self.hash)?;
            Some(Arc::clone(self.rules.get_or_init(|| rules)))
        })
    }
}

/// What policies said to one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub allowed: bool,
    pub determining: Vec<PolicyId>,
    pub skipped: BTreeMap<PolicyId, String>,
}

impl Judgement {
    fn of(rules: &[Arc<Rules>], request: &Request) -> Self {
        let verdict = cedar::decide(&rules.iter().map(AsRef::as_ref).collect::<Vec<_>>(), request);
        let id = |id: &String| match id.parse() {
            Ok(id) => id,
            Err(error) => unreachable!("a policy in force has no id: {error}"),
        };
        Self {
            allowed: verdict.allowed,
            determining: verdict.determining.iter().map(id).collect(),
            skipped: verdict.skipped.iter().map(|(skipped, why)| (id(skipped), why.clone())).collect(),
        }
    }
}

/// What policies said to the requests of an operation, or of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Judgements {
    version: u64,
    all: Vec<Arc<Judgement>>,
}

impl Judgements {
    /// Notes one, under that many changes of policies.
    pub fn note(&mut self, version: u64, judgement: Arc<Judgement>) {
        self.version = version;
        // A transaction asks the same for each of its operations, mostly.
        if self.all.last().is_none_or(|last| !Arc::ptr_eq(last, &judgement)) {
            self.all.push(judgement);
        }
    }

    pub fn add(&mut self, later: Self) {
        let version = later.version;
        later.all.into_iter().for_each(|judgement| self.note(version, judgement));
    }

    /// As the outcome says it.
    pub fn decision(&self) -> Decision {
        let first = |mut ids: Vec<&PolicyId>| {
            ids.sort_unstable();
            ids.dedup();
            ids.into_iter().take(DECISION_POLICIES_MAX).cloned().collect()
        };
        Decision {
            version: self.version,
            determining: first(self.all.iter().flat_map(|one| &one.determining).collect()),
            skipped: first(self.all.iter().flat_map(|one| one.skipped.keys()).collect()),
            mandates: Vec::new(),
        }
    }
}

/// Sets of policies compiled, for as long as their owner likes: clones are the same one. Losing it costs only time.
#[derive(Clone, Debug, Default)]
pub struct PolicyCache(Arc<Mutex<Compiled>>);

#[derive(Debug, Default)]
struct Compiled {
    schema: Option<Arc<Schema>>,
    sets: BTreeMap<Hash, Arc<Rules>>,
    /// Policies that were read, by the hash of id and text: a set that changes costs what changes.
    rules: BTreeMap<Hash, Rule>,
    /// What was judged, by [`authorise::key`].
    judged: BTreeMap<Hash, Arc<Judgement>>,
    /// The same of acts that say of themselves what few others do: they take no room from what many ask.
    own: BTreeMap<Hash, Arc<Judgement>>,
    /// What was judged and holds at one time only: forgotten with that time.
    fleeting: (i64, BTreeMap<Hash, Arc<Judgement>>),
}

/// When a judgement holds, and for what.
#[derive(Clone, Copy, Debug)]
struct Holds {
    /// Since when.
    since: i64,
    /// It was asked now.
    now: i64,
    /// Of an act that says of itself what few others do.
    is_own: bool,
}

impl Compiled {
    /// Where such judgements are remembered.
    fn remembered(&mut self, holds: Holds) -> &mut BTreeMap<Hash, Arc<Judgement>> {
        if holds.since < holds.now {
            return if holds.is_own { &mut self.own } else { &mut self.judged };
        }
        let (time, judged) = &mut self.fleeting;
        if *time != holds.now {
            (*time, *judged) = (holds.now, BTreeMap::new());
        }
        judged
    }
}

impl PolicyCache {
    fn lock(&self) -> MutexGuard<'_, Compiled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The published schema, read once.
    pub fn schema(&self) -> Arc<Schema> {
        let mut compiled = self.lock();
        let schema = compiled.schema.get_or_insert_with(|| match Schema::parse(SCHEMA) {
            Ok(schema) => Arc::new(schema),
            Err(error) => unreachable!("the published schema is broken: {error}"),
        });
        Arc::clone(schema)
    }

    fn get(&self, hash: &Hash) -> Option<Arc<Rules>> {
        self.lock().sets.get(hash).cloned()
    }

    fn put(&self, hash: Hash, rules: &Arc<Rules>) {
        let mut compiled = self.lock();
        if compiled.sets.len() >= POLICY_SETS_REMEMBERED_MAX {
            compiled.sets.clear();
        }
        compiled.sets.insert(hash, Arc::clone(rules));
    }

    fn judged(&self, key: &Hash, holds: Holds) -> Option<Arc<Judgement>> {
        self.lock().remembered(holds).get(key).cloned()
    }

    fn note(&self, key: Hash, holds: Holds, judgement: &Arc<Judgement>) {
        let mut compiled = self.lock();
        let remembered = compiled.remembered(holds);
        if remembered.len() >= DECISIONS_REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(key, Arc::clone(judgement));
    }

    /// A policy in force, read now if it was not yet.
    fn rule(&self, policy: &PolicyRow) -> Rule {
        let hash = Hash::of(&[policy.id.as_str().as_bytes(), &[0], policy.text.as_bytes()]);
        if let Some(rule) = self.lock().rules.get(&hash) {
            return rule.clone();
        }
        match Rule::parse(policy.id.as_str(), &policy.text) {
            Ok(rule) => {
                let mut compiled = self.lock();
                if compiled.rules.len() >= POLICIES_REMEMBERED_MAX {
                    compiled.rules.clear();
                }
                compiled.rules.insert(hash, rule.clone());
                rule
            }
            Err(error) => unreachable!("policy `{}` is in force and broken: {error}", policy.id),
        }
    }
}

/// What is wrong with a policy that is to be put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Its form.
    #[error(transparent)]
    Form(#[from] form::FormError),
    /// Its words.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Its scope.
    #[error("a policy for the register `{0}` must have `resource == Register::\"{0}\"` in its scope")]
    Scope(String),
}

impl PolicyError {
    /// The rule that is broken.
    pub const fn rule(&self) -> ViolationRule {
        match self {
            Self::Form(_) => ViolationRule::PolicyForm,
            Self::Rule(RuleError::Syntax(_)) => ViolationRule::PolicySyntax,
            Self::Rule(RuleError::Schema(_)) => ViolationRule::PolicySchema,
            Self::Scope(_) => ViolationRule::PolicyScope,
        }
    }
}

/// Judges a policy as a change would: its form, that it is one Cedar policy, that it keeps strictly to the schema, and, if it
/// is for a register, that its scope holds it to that.
///
/// # Errors
/// What is wrong, in that order.
pub fn check(schema: &Schema, id: &PolicyId, text: &str) -> Result<(), PolicyError> {
    form::judge(text)?;
    let rule = schema.check(id.as_str(), text)?;
    match id.register() {
        Some(register) if !rule.is_about("Register", register) => Err(PolicyError::Scope(register.to_owned())),
        _ => Ok(()),
    }
}

/// Whether a policy permits everything to everybody. One that cannot be read permits nothing.
pub fn permits_everything(text: &str) -> bool {
    form::judge(text).is_ok() && cedar::Rule::parse("judged", text).is_ok_and(|rule| rule.permits_everything())
}

/// What the policies in force say to an act: those of the partition, and those for the register if it is about one.
pub(crate) fn judge(draft: &mut Draft<'_>, act: &Act<'_>, resource: &Resource<'_>) -> Result<Arc<Judgement>, Unread> {
    // Both are asked for before either is needed, so that both are fetched together.
    let partition = draft.policy_set(&StateKey::policy_set("")).map(Option::<&Arc<PolicySet>>::cloned);
    let own = match resource.policies() {
        None => None,
        Some(register) => draft.policy_set(register)?.cloned(),
    };
    let sets = [partition?, own];
    let mut rules = Vec::with_capacity(sets.len());
    for set in sets.iter().flatten() {
        rules.push(compiled(draft, set)?);
    }
    let now = authorise::time(act);
    let since = rules.iter().map(|rules| rules.same_since(act.action.as_str(), now)).max().unwrap_or(i64::MIN);
    // What a read says of itself is its own, and whom an order is about. It is asked for when it is made ready, and at every member again.
    let holds = Holds { since, now, is_own: act.reading.is_some() || act.about.is_some() };
    let key = authorise::key(act, resource, since, sets.each_ref().map(|set| set.as_ref().map(|set| &set.hash)));
    let cache = draft.policies();
    if let Some(judgement) = cache.judged(&key, holds) {
        return Ok(judgement);
    }
    let judgement = Arc::new(Judgement::of(&rules, &authorise::request(act, resource)));
    cache.note(key, holds, &judgement);
    Ok(judgement)
}

/// Notes the rows that compiling the set under this key will need, as far as can be told now.
pub(crate) fn note_missing(draft: &mut Draft<'_>, set: &StateKey) {
    let Ok(Some(set)) = draft.policy_set(set) else { return };
    let set = Arc::clone(set);
    if set.rules(draft.policies()).is_none() {
        set.row.policies.iter().for_each(|policy| draft.touch(StateKey::policy(&policy.id, policy.version)));
    }
}

/// Notes the rows that a change reads once the sets that it is about are there: the texts that it replaces, and of the partition,
/// whose new set is compiled, all that are in force.
pub(crate) fn note_changed(draft: &mut Draft<'_>, put: &[PolicyText], remove: &[PolicyId]) -> Result<(), Unread> {
    let mut rows = Vec::new();
    if scopes(put, remove).contains("") {
        let set = draft.policy_set(&StateKey::policy_set(""))?;
        let in_force = set.iter().flat_map(|set| &set.row.policies);
        rows.extend(in_force.map(|policy| StateKey::policy(&policy.id, policy.version)));
    }
    for policy in put {
        rows.extend(in_force(draft, &policy.id)?);
    }
    rows.into_iter().for_each(|row| draft.touch(row));
    Ok(())
}

/// The row of the policy's text that is in force.
pub(crate) fn in_force(draft: &mut Draft<'_>, id: &PolicyId) -> Result<Option<StateKey>, Unread> {
    let set = draft.policy_set(&StateKey::policy_set(id.register().unwrap_or_default()))?;
    let found = set.and_then(|set| set.row.policies.iter().find(|policy| policy.id == *id));
    Ok(found.map(|policy| StateKey::policy(id, policy.version)))
}

/// The set's rules, compiled now if they are not yet.
fn compiled(draft: &mut Draft<'_>, set: &PolicySet) -> Result<Arc<Rules>, Unread> {
    if let Some(rules) = set.rules(draft.policies()) {
        return Ok(rules);
    }
    let cache = draft.policies().clone();
    let keys = set.row.policies.iter().map(|policy| StateKey::policy(&policy.id, policy.version));
    let keys: Vec<StateKey> = keys.collect();
    keys.iter().for_each(|key| draft.touch(*key));
    draft.complete()?;
    let mut rules = Vec::with_capacity(keys.len());
    for key in &keys {
        let Some(row) = draft.policy(key)? else { unreachable!("policy {key} is in force and not in the state") };
        rules.push(cache.rule(row));
    }
    match Rules::of(&cache.schema(), rules) {
        Ok(rules) => {
            let rules = Arc::new(rules);
            cache.put(set.hash, &rules);
            Ok(rules)
        }
        Err(error) => unreachable!("the policies in force are no set: {error}"),
    }
}

/// The sets that a change is about: the names of registers, and the empty name for the partition.
fn scopes<'c>(put: &'c [PolicyText], remove: &'c [PolicyId]) -> BTreeSet<&'c str> {
    let ids = put.iter().map(|policy| &policy.id).chain(remove);
    ids.map(|id| id.register().unwrap_or_default()).collect()
}

/// The rows that a change surely reads.
pub(crate) fn wanted(put: &[PolicyText], remove: &[PolicyId]) -> Vec<StateKey> {
    let mut keys = vec![StateKey::counters()];
    for scope in scopes(put, remove) {
        keys.push(StateKey::policy_set(scope));
        keys.extend((!scope.is_empty()).then(|| StateKey::register(scope)));
    }
    keys
}

/// Changes which policies are in force. What remains of the change's own making is judged by the caller: who may.
pub(crate) fn apply_change(draft: &mut Draft<'_>, put: &[PolicyText], remove: &[PolicyId]) -> Result<(), Stop> {
    // Rows first: judging texts is dear, and would be done again for each row that is missing.
    wanted(put, remove).into_iter().for_each(|key| draft.touch(key));
    draft.complete()?;
    let schema = draft.policies().schema();
    let mut violations = Violations::default();
    for (policy, index) in put.iter().zip(0..) {
        if let Err(error) = check(&schema, &policy.id, &policy.text) {
            violations.add(index, policy.id.name(), error.rule());
        }
    }
    refuse_if_any(Code::PolicyInvalid, violations)?;
    let mut counters = draft.counters(&StateKey::counters())?.cloned().unwrap_or_default();
    counters.policies += 1;
    for scope in scopes(put, remove) {
        change_set(draft, put, remove, scope, counters.policies)?;
    }
    draft.write(StateKey::counters(), Row::Counters(counters));
    if scopes(put, remove).contains("") { require_way_back(draft) } else { Ok(()) }
}

/// Goes on only if policies can be changed again: a set that lets nobody propose or vote would stand for ever.
fn require_way_back(draft: &mut Draft<'_>) -> Result<(), Stop> {
    let set = draft.policy_set(&StateKey::policy_set(""))?.cloned();
    let Some(set) = set else { return Err(Code::PoliciesLockOut.into()) };
    let rules = compiled(draft, &set)?;
    let actions = [OperationName::ProposalSubmit, OperationName::BallotCast];
    if actions.iter().all(|action| rules.may_permit(action.as_str())) {
        Ok(())
    } else {
        Err(Code::PoliciesLockOut.into())
    }
}

/// Makes the part of the change that is about one set.
fn change_set(
    draft: &mut Draft<'_>,
    put: &[PolicyText],
    remove: &[PolicyId],
    scope: &str,
    version: u64,
) -> Result<(), Stop> {
    if !scope.is_empty() && draft.register(scope)?.is_none() {
        return Err(Code::RegisterUnknown.into());
    }
    let key = StateKey::policy_set(scope);
    let before = draft.policy_set(&key)?.map(|set| set.row.policies.clone()).unwrap_or_default();
    let mut policies: BTreeMap<PolicyId, PolicyInForce> =
        before.into_iter().map(|policy| (policy.id.clone(), policy)).collect();
    let in_scope = |id: &PolicyId| id.register().unwrap_or_default() == scope;
    for (id, entry) in remove.iter().zip(0..).filter(|(id, _)| in_scope(id)) {
        if policies.remove(id).is_none() {
            let violation = Violation { entry, field: id.name().to_owned(), rule: ViolationRule::Unresolved };
            return Err(Stop::Refused(Code::PolicyUnknown, vec![violation]));
        }
    }
    for policy in put.iter().filter(|policy| in_scope(&policy.id)) {
        let id = policy.id.clone();
        let bytes = u32::try_from(policy.text.len()).unwrap_or(u32::MAX);
        policies.insert(id.clone(), PolicyInForce { id: id.clone(), version, bytes });
        draft.write(StateKey::policy(&id, version), Row::Policy(PolicyRow { id, version, text: policy.text.clone() }));
    }
    let (count_max, bytes_max) = match scope {
        "" => (POLICIES_MAX, POLICIES_BYTES_MAX),
        _ => (REGISTER_POLICIES_MAX, REGISTER_POLICIES_BYTES_MAX),
    };
    let bytes: u64 = policies.values().map(|policy| u64::from(policy.bytes)).sum();
    if policies.len() > count_max || bytes > bytes_max as u64 {
        return Err(Code::PoliciesFull.into());
    }
    let row = PolicySetRow { policies: policies.into_values().collect() };
    draft.write(key, Row::PolicySet(Arc::new(PolicySet::new(row))));
    Ok(())
}

/// Changes the policies that are for one register.
pub(crate) fn change_register(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    register: &str,
    change: &PolicyChange,
) -> Result<(), Stop> {
    act.permitted_register(draft, register)?;
    let stray = |id: &PolicyId| id.register() != Some(register);
    let strays = change.put.iter().zip(0..).filter(|(policy, _)| stray(&policy.id));
    let mut violations: Vec<Violation> = strays
        .map(|(policy, entry)| Violation {
            entry,
            field: policy.id.name().to_owned(),
            rule: ViolationRule::PolicyScope,
        })
        .collect();
    violations.truncate(tallystick_protocol::limits::VIOLATIONS_MAX);
    if !violations.is_empty() {
        return Err(Stop::Refused(Code::PolicyInvalid, violations));
    }
    if change.remove.iter().any(stray) {
        return Err(Code::PolicyUnknown.into());
    }
    let before = count_of(draft, register)?;
    apply_change(draft, &change.put, &change.remove)?;
    let after = count_of(draft, register)?;
    let most = rulebook::read(draft)?.register_policies_max as usize;
    // What governance put beyond the bound stays, and can be replaced and removed.
    if after > most.max(before) { Err(Code::PoliciesFull.into()) } else { Ok(()) }
}

/// How many policies there are for a register.
fn count_of(draft: &mut Draft<'_>, register: &str) -> Result<usize, Unread> {
    Ok(draft.policy_set(&StateKey::policy_set(register))?.map_or(0, |set| set.row.policies.len()))
}

/// Writes the policies with which a network begins; the number of that change.
pub(crate) fn write_starter(view: &mut View) -> u64 {
    let version = 1;
    let mut policies = Vec::with_capacity(STARTER.len());
    for (id, text) in STARTER {
        let Ok(id) = id.parse::<PolicyId>() else { unreachable!("`{id}` is no policy's id") };
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        policies.push(PolicyInForce { id: id.clone(), version, bytes });
        view.write(StateKey::policy(&id, version), Row::Policy(PolicyRow { id, version, text: text.to_owned() }));
    }
    let set = PolicySet::new(PolicySetRow { policies });
    view.write(StateKey::policy_set(""), Row::PolicySet(Arc::new(set)));
    version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_at_one_time_only_is_forgotten_with_it_and_displaces_nothing() {
        let (cache, judgement) = (PolicyCache::default(), Arc::default());
        let lasting = Holds { since: 1, now: 9, is_own: false };
        let (own, fleeting) = (Holds { is_own: true, ..lasting }, |now| Holds { since: now, now, is_own: false });
        let key = |number: usize| Hash::of(&[&number.to_be_bytes()]);
        let last = key(DECISIONS_REMEMBERED_MAX);
        cache.note(key(0), lasting, &judgement);
        (1..=DECISIONS_REMEMBERED_MAX).for_each(|number| cache.note(key(number), fleeting(9), &judgement));
        assert!(cache.judged(&key(0), lasting).is_some() && cache.judged(&last, fleeting(9)).is_some());
        cache.note(key(0), fleeting(9), &judgement);
        assert!(cache.judged(&last, fleeting(9)).is_none(), "more is remembered than may be");
        assert!(cache.judged(&key(0), fleeting(10)).is_none() && cache.judged(&key(0), fleeting(9)).is_none());
        assert!(cache.judged(&key(0), lasting).is_some());
        // Nor does what few ask.
        (1..=DECISIONS_REMEMBERED_MAX).for_each(|number| cache.note(key(number), own, &judgement));
        assert!(cache.judged(&key(0), lasting).is_some() && cache.judged(&last, own).is_some());
        assert!(cache.judged(&last, lasting).is_none() && cache.judged(&key(0), own).is_none());
    }
}
