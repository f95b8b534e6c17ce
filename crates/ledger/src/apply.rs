//! Apply: what one ordered transaction does to the state, or why it does nothing.
//!
//! A transaction's life here:
//!
//! 1. [`wanted`] names the rows that any of its operations surely reads; the caller fetches them into a [`View`].
//! 2. [`apply`] authenticates: each who signed exists and holds the signing key now, the signer and every co-signer.
//!    Under a mandate, its chain is walked; who acts is then the principal at its root.
//! 3. Each operation in turn, one arm per noun: authorisation, rules, changes to a draft.
//! 4. All accepted: the draft becomes part of the view. One refused: the draft is dropped, and the outcome names the
//!    operation, the first code in the order of precedence, and what in particular.
//! 5. A row was not in the view: nothing happened; [`Missing`] names the rows, and the caller fetches and applies again.
//!
//! The outcome is a function of the state before, the block's height and time, the transaction and its leaf; never of what
//! was fetched beforehand.

use std::sync::Arc;

use tallystick_protocol::{
    Appended, Assurance, Code, Decision, Hash, MandateId, NetworkId, OrganisationStatus, Outcome, PrincipalStatus,
    PublicKey, Refusal, Roles, SignedTransaction, StateKey, Subject, VerifiedTransaction, Violation, ViolationRule,
    operation::{EntryKind, NewEntry, Operation, OperationName, PrincipalId},
};

use crate::{
    authorise::Resource,
    authority, consent, correction, entry, erasure, hold, import,
    item::Item,
    mandate::{self, Chain},
    node, organisation, partition,
    policy::{self, Judgements},
    principal::{self, Enrolment},
    proposal,
    reading::{self, Reading},
    register,
    schema::Violations,
    state::{Draft, Missing, PrincipalRow, Register, Unread, View},
};

/// What a transaction can know of the block it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockContext {
    /// The network.
    pub network: NetworkId,
    /// The block's height.
    pub height: u64,
    /// The block's time, in Unix milliseconds: the ledger's only clock.
    pub time_ms: u64,
    /// Leaves of the log before the block.
    pub log_size: u64,
}

impl BlockContext {
    /// The block's time as entries carry it: whole seconds.
    pub const fn time_seconds(&self) -> u64 {
        self.time_ms / 1_000
    }
}

/// Why an operation goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A row is not in the view.
    Unread,
    /// A business "no".
    Refused(Code, Vec<Violation>),
}

impl From<Unread> for Stop {
    fn from(Unread: Unread) -> Self {
        Self::Unread
    }
}

impl From<Code> for Stop {
    fn from(code: Code) -> Self {
        Self::Refused(code, Vec::new())
    }
}

/// Refuses with this code if there are violations.
pub(crate) fn refuse_if_any(code: Code, violations: Violations) -> Result<(), Stop> {
    if violations.is_empty() { Ok(()) } else { Err(Stop::Refused(code, violations.into_vec())) }
}

/// An operation as its arm sees it: who signs, in which block, where in the log.
#[derive(Clone, Copy)]
pub(crate) struct Act<'a> {
    pub block: &'a BlockContext,
    /// The partition in which it is done; none when everybody sees it.
    pub partition: Option<&'a str>,
    /// Who acts: the signer, or under a mandate the principal that it acts for.
    pub signer: &'a PrincipalRow,
    /// Everybody who signed: the signer first, then the co-signers. Under a mandate the first is the agent.
    pub signers: &'a [Arc<PrincipalRow>],
    /// How sure the organisations are of the keys that signed: the least of them.
    pub assurance: Assurance,
    /// The mandates under which the signer acts.
    pub mandates: &'a Chain,
    /// What is asked for: the action that policies speak of.
    pub action: OperationName,
    /// What it says of itself, if it is a read.
    pub reading: Option<Reading<'a>>,
    /// Whom it is about, if it orders, keeps or puts on record what concerns somebody.
    pub about: Option<&'a Subject>,
    /// The roles that it gives.
    pub roles: Option<&'a Roles>,
    /// The operation within the transaction, from 0.
    pub operation: u32,
    /// The transaction's leaf in the log.
    pub leaf: u64,
}

impl Act<'_> {
    pub fn organisation(&self) -> &str {
        self.signer.id.organisation()
    }

    /// Whether the principal does this to itself: not by an agent.
    pub fn is_own(&self, principal: &PrincipalId) -> bool {
        self.mandates.links().is_empty() && self.signer.id == *principal
    }

    /// The register of this name, if the signer may do this to it.
    pub fn permitted_register(&self, draft: &mut Draft<'_>, name: &str) -> Result<Arc<Register>, Stop> {
        let register = draft.register(name)?.ok_or(Code::RegisterUnknown)?;
        self.permit(draft, Resource::Register(&register))?;
        Ok(register)
    }
}

/// The rows that the transaction surely reads: to be fetched before [`apply`]. What else it reads depends on these.
pub fn wanted(tx: &SignedTransaction) -> Vec<StateKey> {
    let mut keys = wanted_of_signers(tx);
    tx.operations().iter().for_each(|operation| want(tx, operation, &mut keys));
    once(keys)
}

/// The rows that one operation of the transaction surely reads.
fn want(tx: &SignedTransaction, operation: &Operation, keys: &mut Vec<StateKey>) {
    let organisation = || StateKey::organisation(tx.principal().organisation());
    let of_register = |register: &str| [StateKey::register(register), StateKey::policy_set(register)];
    let authority = |id: &Hash| StateKey::authority(tx.principal().organisation(), id);
    match operation {
        Operation::RegisterCreate { register, .. } => {
            keys.extend([StateKey::register(register), StateKey::rulebook(), StateKey::limits()]);
        }
        Operation::RegisterPhase { register, successor, .. } => {
            keys.extend(of_register(register).into_iter().chain([StateKey::rulebook()]));
            keys.extend(successor.as_deref().map(StateKey::register));
        }
        Operation::EntryAppend { register, .. }
        | Operation::RegisterImport { register, .. }
        | Operation::RecordCorrect { register, .. }
        | Operation::RecordRead { register, .. } => keys.extend(of_register(register)),
        Operation::NoticeAcknowledge { register, reader, .. } => {
            keys.extend([StateKey::register(register), StateKey::principal(reader)]);
        }
        Operation::RegisterPolicy { register, .. } => {
            keys.extend(of_register(register).into_iter().chain([StateKey::rulebook()]));
        }
        Operation::PrincipalEnrol { name, key, .. } => {
            keys.extend(principal::wanted_for_new(tx.principal(), name, key))
        }
        Operation::PrincipalRecover { principal, key: new, .. }
        | Operation::KeyAdd { principal, key: new, .. }
        | Operation::KeyRotate { principal, new, .. } => {
            let organisation = StateKey::organisation(principal.organisation());
            keys.extend([StateKey::principal(principal), StateKey::key(new), organisation]);
        }
        Operation::KeyRetire { principal, .. }
        | Operation::PrincipalStatus { principal, .. }
        | Operation::PrincipalAmend { principal, .. } => {
            keys.extend([StateKey::principal(principal), StateKey::organisation(principal.organisation())]);
        }
        Operation::OrganisationContact { .. } | Operation::RecoverySet { .. } => keys.push(organisation()),
        Operation::NodeRegister { .. } | Operation::NodeRetire { .. } => {
            keys.extend(node::wanted(operation, tx.principal().organisation()));
        }
        Operation::MandateGrant { name, terms } => {
            keys.extend(MandateId::within(tx.partition(), tx.principal(), name).iter().map(StateKey::mandate));
            keys.extend(terms.parent.as_ref().map(StateKey::mandate));
        }
        Operation::MandateRevoke { mandate } => keys.push(StateKey::mandate(mandate)),
        Operation::AuthorityAdmit { certificate, .. } => {
            keys.extend([authority(&Hash::of(&[certificate])), StateKey::rulebook()]);
        }
        Operation::AuthorityRetire { authority: id } | Operation::RevocationPost { authority: id, .. } => {
            keys.push(authority(id))
        }
        Operation::KeyCertify { principal: of, authority: id, .. } => {
            keys.extend([StateKey::principal(of), StateKey::authority(of.organisation(), id)]);
        }
        Operation::TransferRefuse { partition, node, .. } => {
            keys.extend(partition::wanted_by_nodes(partition, tx));
            keys.push(StateKey::nodes(node.organisation()));
        }
        Operation::PrivateOrder { partition, .. } | Operation::PartitionRoot { partition, .. } => {
            keys.extend(partition::wanted_by_nodes(partition, tx));
        }
        Operation::ProposalSubmit { proposal, changes, .. } => keys.extend(proposal::wanted_for_new(proposal, changes)),
        Operation::ProposalWithdraw { proposal }
        | Operation::BallotCast { proposal, .. }
        | Operation::ProposalObject { proposal, .. } => {
            keys.extend(proposal::wanted(proposal, tx.principal().organisation()));
        }
        // What is erased, held and consented to.
        _ => keys.extend(erasure::wanted(operation, tx.partition()).into_iter().chain(consent::wanted(operation))),
    }
}

/// Each once.
fn once(mut keys: Vec<StateKey>) -> Vec<StateKey> {
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The rows by which it is told who acts, and which the policies are.
fn wanted_of_signers(tx: &SignedTransaction) -> Vec<StateKey> {
    let mut keys = vec![StateKey::counters(), StateKey::policy_set("")];
    for (principal, _) in tx.signers() {
        keys.extend([StateKey::principal(principal), StateKey::organisation(principal.organisation())]);
    }
    keys.extend(tx.mandate().iter().flat_map(|id| {
        let grantor = id.grantor();
        [StateKey::mandate(id), StateKey::principal(&grantor), StateKey::organisation(grantor.organisation())]
    }));
    keys
}

/// The rows that the transaction will read once those of [`wanted`] are in the view, as far as the view can tell, and does not hold
/// yet: the trees, the records, and the records that its items link to. Fetching them for a whole block before applying it spares
/// a round of [`Missing`] for each transaction; leaving it out changes nothing else.
pub fn wanted_next(view: &mut View, tx: &SignedTransaction) -> Vec<StateKey> {
    let mut draft = Draft::new(view);
    note_next(&mut draft, tx);
    draft.into_missing().0
}

/// Applies the transaction, whose leaf in the log is `leaf`, to the view.
///
/// # Errors
/// When rows are missing: nothing was changed.
///
/// # Panics
/// When a row of the state is broken (see [`View`]): the store has lost or changed what the ledger wrote.
pub fn apply(view: &mut View, ctx: &BlockContext, tx: &VerifiedTransaction, leaf: u64) -> Result<Outcome, Missing> {
    debug_assert_eq!(tx.network(), ctx.network, "a block holds transactions of its own network only");
    let mut draft = Draft::new(view);
    match run(&mut draft, ctx, tx, leaf) {
        Ok((appended, decision)) => {
            draft.commit();
            Ok(Outcome::Accepted { appended, decision })
        }
        Err((operation, Stop::Refused(code, violations))) => {
            let mandates = std::mem::take(&mut draft.mandates);
            let decision = Decision { mandates, ..draft.take_judgements().decision() };
            Ok(Outcome::Refused(Refusal { code, operation, violations, decision }))
        }
        Err((_, Stop::Unread)) => {
            note_missing(&mut draft, tx);
            Err(draft.into_missing())
        }
    }
}

fn run(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    tx: &SignedTransaction,
    leaf: u64,
) -> Result<(Vec<Appended>, Decision), (u32, Stop)> {
    let signers = authenticate(draft, block, tx).map_err(|stop| (0, stop))?;
    let place = (block, tx.partition());
    let (signer, chain) = mandate::resolve(draft, place, tx.mandate(), &signers).map_err(|stop| (0, stop))?;
    draft.mandates = chain.ids();
    let (mut appended, mut judgements) = (Vec::new(), Judgements::default());
    let keys = tx.signers().zip(&signers).filter_map(|((_, key), row)| row.key(key));
    let assurance = keys.map(|held| held.assurance).min().unwrap_or(Assurance::Low);
    for (operation, index) in tx.operations().iter().zip(0..) {
        let (signer, signers) = (&*signer, signers.as_slice());
        let (mandates, action) = (&chain, operation.name());
        let reading = Reading::of(operation);
        let roles = principal::given(operation);
        let about = None;
        let partition = tx.partition();
        let act = Act {
            block,
            partition,
            signer,
            signers,
            assurance,
            mandates,
            action,
            reading,
            about,
            roles,
            operation: index,
            leaf,
        };
        if !chain.links().is_empty() {
            let resource = erasure::mandate_resource(draft, operation, act.organisation());
            let resource = resource.map_err(|stop| (index, stop.into()))?;
            chain.require_words(action, &resource).map_err(|stop| (index, stop))?;
        }
        dispatch(draft, &act, operation, &mut appended).map_err(|stop| (index, stop))?;
        judgements.add(draft.take_judgements());
    }
    Ok((appended, Decision { mandates: std::mem::take(&mut draft.mandates), ..judgements.decision() }))
}

/// Who signed, the signer first, if all exist and each signed with one of its active keys. A key whose certificate has ended
/// signs only its own renewal, so that nobody is ever locked out by a date.
fn authenticate(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    tx: &SignedTransaction,
) -> Result<Vec<Arc<PrincipalRow>>, Stop> {
    let mut signers = Vec::with_capacity(1 + tx.cosigners().len());
    for ((principal, key), place) in tx.signers().zip(0u32..) {
        let renews = || place == 0 && tx.mandate().is_none() && renews_itself(tx);
        match authenticate_one(draft, block, principal, key, renews) {
            Ok(row) => signers.push(row),
            Err(Stop::Refused(code, _)) if place > 0 => {
                let (entry, field) = (place - 1, principal.name().to_owned());
                let rule = ViolationRule::Cosigner;
                return Err(Stop::Refused(code, vec![Violation { entry, field, rule }]));
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(signers)
}

fn authenticate_one(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    principal: &PrincipalId,
    key: &PublicKey,
    renews: impl FnOnce() -> bool,
) -> Result<Arc<PrincipalRow>, Stop> {
    let row = draft.principal(&StateKey::principal(principal))?.map(Arc::clone);
    let row = row.ok_or(Code::PrincipalUnknown)?;
    require_status(&row)?;
    match row.key(key) {
        Some(held) if held.has_ended(block.time_ms) => Err(Code::KeyRetired.into()),
        Some(held) if held.is_expired(block.time_ms) && !renews() => Err(Code::KeyExpired.into()),
        Some(_) => require_active(draft, row),
        None => {
            // A key retired so long ago that the principal's row no longer lists it still has its own row.
            let key_row = draft.key(&StateKey::key(key))?;
            let held_once = key_row.is_some_and(|key_row| key_row.holder == principal.as_str());
            Err(if held_once { Code::KeyRetired } else { Code::KeyUnknown }.into())
        }
    }
}

/// Goes on only if the principal itself may act.
pub(crate) fn require_status(row: &PrincipalRow) -> Result<(), Stop> {
    match row.status {
        PrincipalStatus::Active => Ok(()),
        PrincipalStatus::Suspended => Err(Code::PrincipalSuspended.into()),
        PrincipalStatus::Retired => Err(Code::PrincipalRetired.into()),
    }
}

/// The signer, if its organisation may act.
pub(crate) fn require_active(draft: &mut Draft<'_>, signer: Arc<PrincipalRow>) -> Result<Arc<PrincipalRow>, Stop> {
    let organisation = draft.organisation(&StateKey::organisation(signer.id.organisation()))?;
    match organisation.map(|row| row.status) {
        Some(OrganisationStatus::Active) => Ok(signer),
        Some(OrganisationStatus::Suspended) => Err(Code::OrganisationSuspended.into()),
        Some(OrganisationStatus::Expelled) => Err(Code::OrganisationExpelled.into()),
        None => unreachable!("principal {} belongs to no organisation of the state", signer.id),
    }
}

/// Whether all that the transaction asks for is a certificate for the very key that signed it.
pub fn renews_itself(tx: &SignedTransaction) -> bool {
    tx.operations().iter().all(|operation| {
        matches!(operation, Operation::KeyCertify { principal, key, .. } if principal == tx.principal() && key == tx.key())
    })
}

fn dispatch(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    operation: &Operation,
    appended: &mut Vec<Appended>,
) -> Result<(), Stop> {
    match operation {
        Operation::RegisterCreate { register, text, fields } => register::create(draft, act, register, text, fields),
        Operation::RegisterPhase { register, phase, successor } => {
            register::move_phase(draft, act, register, *phase, successor.as_deref())
        }
        Operation::EntryAppend { register, entries } => entry::append(draft, act, register, entries, appended),
        Operation::RegisterImport { register, user_first, system_first, entries, root } => {
            let claim = import::Claim { user_first: *user_first, system_first: *system_first, root };
            import::import(draft, act, register, &claim, entries, appended)
        }
        Operation::PrincipalEnrol { name, kind, roles, key, assurance } => {
            let enrolment = Enrolment { name, kind: *kind, roles, key, assurance: *assurance };
            principal::enrol(draft, act, &enrolment)
        }
        Operation::PrincipalStatus { principal, status, reason } => {
            principal::set_status(draft, act, principal, *status, reason)
        }
        Operation::PrincipalAmend { principal, roles, assurance } => {
            principal::amend(draft, act, principal, roles.as_ref(), assurance.as_ref())
        }
        Operation::PrincipalRecover { principal, key, assurance } => {
            principal::recover(draft, act, principal, key, *assurance)
        }
        Operation::OrganisationContact { contact } => organisation::set_contact(draft, act, contact.as_deref()),
        Operation::RecoverySet { administrators } => organisation::set_recovery(draft, act, *administrators),
        Operation::KeyAdd { principal, key, assurance } => principal::add_key(draft, act, principal, key, *assurance),
        Operation::KeyRotate { principal, old, new, overlap } => {
            principal::rotate_key(draft, act, principal, (old, new), *overlap)
        }
        Operation::KeyRetire { principal, key } => principal::retire_key(draft, act, principal, key),
        Operation::MandateGrant { name, terms } => mandate::grant(draft, act, name, terms),
        Operation::MandateRevoke { mandate } => mandate::revoke(draft, act, mandate),
        Operation::AuthorityAdmit { certificate, terms } => authority::admit(draft, act, certificate, terms),
        Operation::AuthorityRetire { authority } => authority::retire(draft, act, authority),
        Operation::KeyCertify { principal, key, authority, chain } => {
            authority::certify(draft, act, principal, key, authority, chain)
        }
        Operation::RevocationPost { list, authority, chain } => authority::revoke(draft, act, list, authority, chain),
        Operation::ProposalSubmit { proposal, title, text, changes, effect_height } => {
            let new = proposal::Submission { id: proposal, title, text, changes, effect_height: *effect_height };
            proposal::submit(draft, act, &new)
        }
        Operation::ProposalWithdraw { proposal } => proposal::withdraw(draft, act, proposal),
        Operation::BallotCast { proposal, choice } => proposal::vote(draft, act, proposal, *choice),
        Operation::ProposalObject { proposal, reason } => proposal::object(draft, act, proposal, reason),
        Operation::RegisterPolicy { register, change } => policy::change_register(draft, act, register, change),
        Operation::PrivateOrder { partition, height, parcels } => {
            partition::order(draft, act, partition, *height, parcels)
        }
        Operation::TransferRefuse { partition, node, jurisdiction, path } => {
            partition::refuse_transfer(draft, act, partition, (node, jurisdiction), *path)
        }
        Operation::PartitionRoot { partition, height, root } => {
            partition::post_root(draft, act, partition, *height, root)
        }
        Operation::NodeRegister { node, peer, sealing, jurisdiction } => {
            node::register(draft, act, &node::Registration { node, peer, sealing, jurisdiction })
        }
        Operation::RecordRead { register, key, fields, subjects, .. } => {
            reading::read(draft, act, register, key, fields, subjects)
        }
        Operation::NodeRetire { node, destroyed } => node::retire(draft, act, node, *destroyed),
        // What is missing here and there does not compile there.
        _ => dispatch_privacy(draft, act, operation, appended),
    }
}

/// The arms of what is erased, held, corrected and consented to.
fn dispatch_privacy(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    operation: &Operation,
    appended: &mut Vec<Appended>,
) -> Result<(), Stop> {
    match operation {
        Operation::ErasureOrder { order, controller, subject, scope, authority, legal_basis, reason, deadline } => {
            let (words, deadline_s) = ((authority.as_str(), legal_basis.as_str(), reason.as_str()), *deadline);
            erasure::order(draft, act, &erasure::Order { id: order, controller, subject, scope, words, deadline_s })
        }
        Operation::ErasureReceipt { order, destroyed } => erasure::receipt(draft, act, order, *destroyed),
        Operation::HoldPlace { hold, controller, subject, authority, reason, until } => {
            let new = hold::Hold { id: hold, controller, subject, authority, reason, until_ms: *until };
            hold::place(draft, act, &new)
        }
        Operation::HoldLift { hold, reason } => hold::lift(draft, act, hold, reason),
        Operation::ConsentGive { consent: id, controller, subject, terms, evidence } => {
            consent::give(draft, act, &consent::Consent { id, controller, subject, terms, evidence })
        }
        Operation::ConsentWithdraw { consent, reason } => consent::withdraw(draft, act, consent, reason),
        Operation::RecordCorrect { register, corrects, entry, reason, authority, legal_basis } => {
            let words = (reason.as_str(), authority.as_str(), legal_basis.as_str());
            let correction = correction::Correction { register, corrects: *corrects, entry, words };
            correction::correct(draft, act, &correction, appended)
        }
        Operation::NoticeAcknowledge { register, key, corrects, reader, .. } => {
            correction::acknowledge(draft, act, (register, key, *corrects), reader)
        }
        Operation::RegisterCreate { .. }
        | Operation::RegisterPhase { .. }
        | Operation::EntryAppend { .. }
        | Operation::RegisterImport { .. }
        | Operation::OrganisationContact { .. }
        | Operation::PrincipalEnrol { .. }
        | Operation::PrincipalStatus { .. }
        | Operation::PrincipalAmend { .. }
        | Operation::PrincipalRecover { .. }
        | Operation::RecoverySet { .. }
        | Operation::KeyAdd { .. }
        | Operation::KeyRotate { .. }
        | Operation::KeyRetire { .. }
        | Operation::AuthorityAdmit { .. }
        | Operation::AuthorityRetire { .. }
        | Operation::KeyCertify { .. }
        | Operation::RevocationPost { .. }
        | Operation::MandateGrant { .. }
        | Operation::MandateRevoke { .. }
        | Operation::ProposalSubmit { .. }
        | Operation::ProposalWithdraw { .. }
        | Operation::BallotCast { .. }
        | Operation::ProposalObject { .. }
        | Operation::RegisterPolicy { .. }
        | Operation::PrivateOrder { .. }
        | Operation::PartitionRoot { .. }
        | Operation::TransferRefuse { .. }
        | Operation::NodeRegister { .. }
        | Operation::NodeRetire { .. }
        | Operation::RecordRead { .. } => unreachable!("{} has its arm in `dispatch`", operation.name()),
    }
}

/// Notes every row that is missing, as far as can be told now.
fn note_missing(draft: &mut Draft<'_>, tx: &SignedTransaction) {
    for key in wanted(tx) {
        draft.touch(key);
    }
    note_next(draft, tx);
}

/// Notes what is missing and can be told only by the rows of [`wanted`].
fn note_next(draft: &mut Draft<'_>, tx: &SignedTransaction) {
    policy::note_missing(draft, &StateKey::policy_set(""));
    for operation in tx.operations() {
        if let Some(name) = operation.register()
            && let Ok(Some(register)) = draft.register(name)
        {
            policy::note_missing(draft, &register.policies_key);
            note_entries(draft, operation, &register);
        }
        if let Operation::PrincipalEnrol { .. } = operation {
            principal::note_list(draft, tx.principal().organisation());
        }
        erasure::note_next(draft, operation, tx.partition());
    }
}

/// Notes the records that an operation's entries are about, those that they link to, and the subjects of what is sealed in them.
fn note_entries(draft: &mut Draft<'_>, operation: &Operation, register: &Register) {
    match operation {
        Operation::EntryAppend { entries, .. } => {
            draft.touch(register.tree_key);
            entries.iter().for_each(|entry| note_entry(draft, register, entry));
        }
        Operation::RecordCorrect { entry, .. } => {
            draft.touch(register.tree_key);
            note_entry(draft, register, entry);
        }
        Operation::RecordRead { key, subjects, legal_basis, .. } => {
            draft.touch(register.record_key(EntryKind::User, key));
            let consents = consent::wanted_by_read(&register.row.custodian, subjects, legal_basis);
            consents.for_each(|consent| draft.touch(consent));
            for subject in subjects {
                draft.touch(StateKey::subject(&register.row.custodian, subject));
            }
        }
        Operation::RegisterImport { entries, .. } => {
            draft.touch(register.tree_key);
            for entry in entries {
                draft.touch(register.record_key(entry.kind, &entry.key));
            }
        }
        _ => {}
    }
}

fn note_entry(draft: &mut Draft<'_>, register: &Register, entry: &NewEntry) {
    draft.touch(register.record_key(EntryKind::User, &entry.key));
    // Reading items is dear, and done again when they are applied.
    if register.schema.may_link() || register.schema.is_protected() {
        let items: Vec<Item<'_>> = entry.items.iter().filter_map(|item| Item::parse(item).ok()).collect();
        note_linked(draft, register, &items);
        for place in items.iter().flat_map(|item| register.schema.places(&entry.key, item)) {
            draft.touch(StateKey::subject(&register.row.custodian, place.subject()));
        }
    }
}

fn note_linked(draft: &mut Draft<'_>, register: &Register, items: &[Item<'_>]) {
    let (mut violations, mut links) = (Violations::default(), Vec::new());
    for item in items {
        register.schema.check(0, "", item, &mut violations, &mut links);
    }
    for link in links {
        if let Ok(Some(linked)) = draft.register(link.register) {
            draft.touch(linked.record_key(EntryKind::User, link.key));
        }
    }
}
