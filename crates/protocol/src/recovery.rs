//! Recovery: how a network that lost its quorum for good goes on, by the word of its organisations.
//!
//! ```text
//! head ─certified by─ the validators that are lost
//!  │ state root
//!  ├─ state proof ─ the rulebook: how many votes a change of the validators takes
//!  ├─ state proof ─ the counters: how many votes there are
//!  └─ state proof ─ each administrator who signed, and its organisation
//!                        │ signature
//!                   head, new validators, reason
//! ```
//!
//! So a stranger who trusts `network.json` checks it offline, like any other link of the chain from there.
//!
//! INVARIANT: organisations that could not change the validators by a vote cannot replace them by a recovery.

use crate::{
    cbor::{self, CborError},
    certificate::FinalityCertificate,
    change::ChangeKind,
    hash::Hash,
    header::BlockHeader,
    key::{PublicKey, Signature},
    limits::{
        REASON_BYTES_MAX, RECEIPT_HAND_OVERS_MAX, RECOVERY_BYTES_MAX, RECOVERY_FILE_BYTES_MAX, RECOVERY_ROWS_MAX,
        STATE_PROOF_BYTES_MAX, STATE_VALUE_BYTES_MAX, VALIDATORS_MAX,
    },
    network::{GenesisValidator, NetworkId},
    operation::PrincipalId,
    organisation::OrganisationStatus,
    proof::{self, ProofError},
    row::{CountersRow, OrganisationRow, PrincipalRow},
    rulebook::{Rule, Rulebook, Weight},
    state_key::StateKey,
    validators::{Link, ValidatorSet},
};
use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::collections::{BTreeMap, BTreeSet};

/// First element of what the organisations sign: what it is, and its version.
const TERMS: &str = "tallystick-recovery-1";
/// First element of a file.
const FILE: &str = "tallystick-recovery-file-1";

/// A row of the state with the proof that it is current. In CBOR: `[row, proof]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenRow {
    /// The row.
    pub row: Bytes,
    /// That it is in the state ([`crate::proof`]).
    pub proof: Bytes,
}

/// An organisation agrees. In CBOR: `[principal, key, signature]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The administrator who signed ([`PrincipalRow`]).
    pub principal: ProvenRow,
    /// With which of its keys.
    pub key: PublicKey,
    /// Over [`Recovery::signed_bytes`].
    pub signature: Signature,
}

/// How the network goes on. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The block after which it goes on: the highest that anybody has with a certificate.
    pub head: BlockHeader,
    /// Over that header, by the validators of its epoch.
    pub certificate: FinalityCertificate,
    /// Who certifies from then on, by key.
    pub validators: Vec<GenesisValidator>,
    /// Why.
    pub reason: String,
    /// The rulebook ([`Rulebook`]).
    pub rulebook: ProvenRow,
    /// The ledger's counters ([`CountersRow`]).
    pub counters: ProvenRow,
    /// Organisations ([`OrganisationRow`]), by id: those that sign, those that run the new validators, and those with other than
    /// one vote.
    pub organisations: Vec<ProvenRow>,
    /// Signatures, one for each organisation, by its id.
    pub approvals: Vec<Approval>,
}

/// A recovery with the links of the chain that lead to its head. In CBOR: `["tallystick-recovery-file-1", [link…], recovery]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryFile {
    /// From the genesis' validators to those that certified the head.
    pub links: Vec<Link>,
    /// The recovery.
    pub recovery: Recovery,
}

/// What a node shows of its newest block, for a recovery that goes on from there. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryGround {
    /// From the genesis' validators to those that certified the block.
    pub links: Vec<Link>,
    /// Its header.
    pub head: BlockHeader,
    /// Over that header.
    pub certificate: FinalityCertificate,
    /// The rulebook after it.
    pub rulebook: ProvenRow,
    /// The counters after it.
    pub counters: ProvenRow,
    /// Organisations after it, by id: those with other than one vote, where that counts, that of the principal, and those that were
    /// asked for.
    pub organisations: Vec<ProvenRow>,
    /// The principal that was asked for.
    pub principal: Option<ProvenRow>,
}

/// Who has signed, and whether that is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    /// The administrators who signed, one for each organisation.
    pub principals: Vec<PrincipalId>,
    /// The votes of their organisations.
    pub votes: u64,
    /// How many it takes.
    pub needed: u64,
    /// How many there are.
    pub all: u64,
}

/// Why a recovery is none. Each begins with its code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// Validators that are no set, or nobody new.
    #[error(
        "recovery-validators: the new validators must be 1 to {VALIDATORS_MAX}, sorted by key, none twice, and not those that are lost: draft another recovery"
    )]
    Validators,
    /// No reason, or too long a one.
    #[error("recovery-reason: the reason must have 1 to {REASON_BYTES_MAX} bytes: draft another recovery")]
    Reason,
    /// A row that does not decode.
    #[error("recovery-row: {what}: {error}: ask another node")]
    Row {
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        error: CborError,
    },
    /// A row that is not in the head's state.
    #[error("recovery-proof: {what} is not in the state of the head: {error}")]
    Proof {
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        error: ProofError,
    },
    /// Rows or signatures out of order, or one twice.
    #[error("recovery-order: organisations and signatures must be in the order of their ids, each once")]
    Order,
    /// One that is no member that acts.
    #[error(
        "recovery-organisation: organisation `{0}` is not an active member at the head: let another organisation sign"
    )]
    Organisation(String),
    /// A validator of nobody.
    #[error(
        "recovery-member: organisation `{0}` is to run a validator and is no member at the head: name validators of members"
    )]
    Member(String),
    /// One that is no administrator that may act.
    #[error("recovery-signer: `{0}` is not an active administrator at the head: let an administrator sign")]
    Signer(PrincipalId),
    /// A key that is not the signer's.
    #[error("recovery-key: the key is not one with which `{0}` can sign at the head: sign with another key of it")]
    Key(PrincipalId),
    /// A signature that does not hold.
    #[error("recovery-signature: the signature of `{0}` does not hold: the file was altered, or signed for another")]
    Signature(PrincipalId),
    /// Too few.
    #[error(
        "recovery-votes: organisations with {votes} of {all} votes have signed, {needed} must: let more of them sign with `tally network recover sign`"
    )]
    Votes {
        /// Of those that signed.
        votes: u64,
        /// It takes.
        needed: u64,
        /// There are.
        all: u64,
    },
    /// The node shows another block than the head.
    #[error(
        "recovery-head: the node stands at block {shown}, and the recovery goes on from block {head}: ask a node that stands there; if one stands higher, draft the recovery anew from that one"
    )]
    Ground {
        /// Its newest block.
        shown: u64,
        /// The recovery's head.
        head: u64,
    },
    /// The node has what the recovery would give up.
    #[error(
        "recovery-passed: this node has a certificate of block {highest}, which a recovery from block {head} would give up: draft the recovery from this node; if the network went on from block {head} already, move the data directory away, and the node fetches everything from its peers"
    )]
    Passed {
        /// The highest block that it has a certificate of.
        highest: u64,
        /// The recovery's head.
        head: u64,
    },
    /// The network was recovered otherwise.
    #[error(
        "recovery-second: the network went on from block {0} by another recovery already: leave this one away, or draft one from a block after"
    )]
    Second(u64),
    /// No rule for it.
    #[error("recovery-rulebook: the rulebook at the head has no rule for validators: ask another node")]
    Rulebook,
}

impl ProvenRow {
    fn decoded<T>(
        &self,
        what: &'static str,
        decode: impl FnOnce(&[u8]) -> Result<T, CborError>,
    ) -> Result<T, RecoveryError> {
        decode(&self.row).map_err(|error| RecoveryError::Row { what, error })
    }

    fn prove(&self, what: &'static str, key: &StateKey, root: &Hash) -> Result<(), RecoveryError> {
        proof::verify_current(key, &self.row, &self.proof, root).map_err(|error| RecoveryError::Proof { what, error })
    }
}

impl Recovery {
    /// What each organisation signs. In CBOR: `["tallystick-recovery-1", head, [validator…], reason]`.
    pub fn signed_bytes(&self) -> Vec<u8> {
        cbor::encode(&Terms(self))
    }

    /// The network that it is of.
    pub const fn network(&self) -> NetworkId {
        self.head.network
    }

    /// The new validators as a set.
    ///
    /// # Errors
    /// When they are none, or nobody new.
    pub fn validator_set(&self) -> Result<ValidatorSet, RecoveryError> {
        let keys: Vec<[u8; 32]> = self.validators.iter().map(|validator| validator.key).collect();
        let sorted = keys.is_sorted();
        let set = ValidatorSet::new(keys).filter(|_| sorted).ok_or(RecoveryError::Validators)?;
        let lost = [self.head.validators, self.head.next_validators];
        if lost.contains(&set.hash()) { Err(RecoveryError::Validators) } else { Ok(set) }
    }

    /// Checks everything but the head's certificate, and that enough have signed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<Approvals, RecoveryError> {
        let approvals = self.approvals()?;
        let Approvals { votes, needed, all, .. } = approvals;
        if votes < needed { Err(RecoveryError::Votes { votes, needed, all }) } else { Ok(approvals) }
    }

    /// Checks all that is there, and counts. Whether it is enough is for [`Recovery::check`] to say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn approvals(&self) -> Result<Approvals, RecoveryError> {
        self.validator_set()?;
        if self.reason.is_empty() || self.reason.len() > REASON_BYTES_MAX {
            return Err(RecoveryError::Reason);
        }
        let root = &self.head.state.root;
        let decode = |bytes: &[u8]| cbor::decode::<Rulebook>(bytes, STATE_VALUE_BYTES_MAX);
        let rulebook = self.rulebook.decoded("the rulebook", decode)?;
        self.rulebook.prove("the rulebook", &StateKey::rulebook(), root)?;
        let counters = self.counters.decoded("the counters", CountersRow::decode)?;
        self.counters.prove("the counters", &StateKey::counters(), root)?;
        let rule = rulebook.rule(ChangeKind::Validators).ok_or(RecoveryError::Rulebook)?;
        let organisations = self.shown_organisations()?;
        let stands = |organisation: &str| organisations.get(organisation).copied();
        let is_member = |organisation: &str| stands(organisation).is_some_and(|s| s != OrganisationStatus::Expelled);
        if let Some(validator) = self.validators.iter().find(|validator| !is_member(&validator.organisation)) {
            return Err(RecoveryError::Member(validator.organisation.clone()));
        }
        let all = electorate(&rulebook, rule, counters.active, &organisations);
        // A rule that asks for less than half would let each half go its own way.
        let needed = rule.threshold.needed(all).max(all / 2 + 1);
        let (message, mut principals, mut votes) = (self.signed_bytes(), Vec::<PrincipalId>::new(), 0);
        for approval in &self.approvals {
            let principal = self.approved(approval, &message)?;
            let organisation = principal.organisation();
            if principals.last().is_some_and(|last| last.organisation() >= organisation) {
                return Err(RecoveryError::Order);
            }
            if stands(organisation) != Some(OrganisationStatus::Active) {
                return Err(RecoveryError::Organisation(organisation.to_owned()));
            }
            votes += rule.weight.votes(&rulebook.weights, organisation);
            principals.push(principal);
        }
        Ok(Approvals { principals, votes, needed, all })
    }

    /// The organisations that are shown, and where each stands.
    fn shown_organisations(&self) -> Result<BTreeMap<String, OrganisationStatus>, RecoveryError> {
        let mut found = BTreeMap::new();
        for proven in &self.organisations {
            let row = proven.decoded("an organisation", OrganisationRow::decode)?;
            proven.prove("an organisation", &StateKey::organisation(&row.id), &self.head.state.root)?;
            if found.last_key_value().is_some_and(|(last, _)| *last >= row.id) {
                return Err(RecoveryError::Order);
            }
            found.insert(row.id, row.status);
        }
        Ok(found)
    }

    /// Who signed, if it could and did.
    fn approved(&self, approval: &Approval, message: &[u8]) -> Result<PrincipalId, RecoveryError> {
        let row = approval.principal.decoded("a signer", PrincipalRow::decode)?;
        approval.principal.prove("a signer", &StateKey::principal(&row.id), &self.head.state.root)?;
        if !row.is_active_administrator() {
            return Err(RecoveryError::Signer(row.id));
        }
        let now_ms = self.head.time_ms;
        if !row.key(&approval.key).is_some_and(|held| held.signs_at(now_ms)) {
            return Err(RecoveryError::Key(row.id));
        }
        match approval.key.verify(message, &approval.signature) {
            Ok(()) => Ok(row.id),
            Err(_) => Err(RecoveryError::Signature(row.id)),
        }
    }

    /// Who signed, unchecked: one administrator for each organisation that agreed.
    pub fn signers(&self) -> Vec<PrincipalId> {
        let rows = self.approvals.iter().map(|approval| PrincipalRow::decode(&approval.principal.row));
        rows.flatten().map(|row| row.id).collect()
    }

    /// The organisations whose rows it must show before anybody signs: those with other than one vote, where that counts.
    pub fn weighted(rulebook: &Rulebook) -> BTreeSet<String> {
        let listed = rulebook.rule(ChangeKind::Validators).is_some_and(|rule| rule.weight == Weight::Listed);
        let weights = rulebook.weights.iter().filter(|_| listed);
        weights.map(|weight| weight.organisation.clone()).collect()
    }

    /// Adds an organisation, unless it is there.
    ///
    /// # Errors
    /// When a row does not decode.
    pub fn show(&mut self, organisation: ProvenRow) -> Result<(), RecoveryError> {
        let id = |proven: &ProvenRow| Ok(proven.decoded("an organisation", OrganisationRow::decode)?.id);
        let new = id(&organisation)?;
        let ids = self.organisations.iter().map(id).collect::<Result<Vec<_>, RecoveryError>>()?;
        if let Err(place) = ids.binary_search(&new) {
            self.organisations.insert(place, organisation);
        }
        Ok(())
    }

    /// Adds a signature; one of the same organisation gives way.
    ///
    /// # Errors
    /// When a row does not decode.
    pub fn approve(&mut self, approval: Approval) -> Result<(), RecoveryError> {
        let of = |approval: &Approval| {
            let row = approval.principal.decoded("a signer", PrincipalRow::decode)?;
            Ok(row.id.organisation().to_owned())
        };
        let new = of(&approval)?;
        let known = self.approvals.iter().map(of).collect::<Result<Vec<_>, RecoveryError>>()?;
        match known.binary_search(&new) {
            Ok(place) => {
                if let Some(old) = self.approvals.get_mut(place) {
                    *old = approval;
                }
            }
            Err(place) => self.approvals.insert(place, approval),
        }
        Ok(())
    }

    /// Decodes a recovery; nothing in it is checked.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, RECOVERY_BYTES_MAX)
    }

    /// Its encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }
}

/// How many votes there are. One with other than one vote that is not shown counts as if it had the more of both.
fn electorate(rulebook: &Rulebook, rule: &Rule, active: u32, shown: &BTreeMap<String, OrganisationStatus>) -> u64 {
    let mut all = u64::from(active);
    if rule.weight == Weight::Listed {
        for weight in &rulebook.weights {
            let votes = match shown.get(&weight.organisation) {
                Some(OrganisationStatus::Active) => weight.votes,
                Some(_) => 1,
                None => weight.votes.max(1),
            };
            all = (all + u64::from(votes)).saturating_sub(1);
        }
    }
    all
}

impl RecoveryGround {
    /// A recovery from there that nobody has signed.
    pub fn draft(self, mut validators: Vec<GenesisValidator>, reason: &str) -> RecoveryFile {
        validators.sort_by_key(|validator| validator.key);
        let Self { links, head, certificate, rulebook, counters, organisations, principal: _ } = self;
        let (reason, approvals) = (reason.to_owned(), Vec::new());
        let recovery = Recovery { head, certificate, validators, reason, rulebook, counters, organisations, approvals };
        RecoveryFile { links, recovery }
    }

    /// Its encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes one; nothing in it is checked.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, RECOVERY_FILE_BYTES_MAX)
    }
}

impl RecoveryFile {
    /// Adds the signature of the principal of `ground`, which a node showed at the head.
    ///
    /// # Errors
    /// When the ground is of another block, or shows no principal.
    pub fn approve(
        &mut self,
        ground: RecoveryGround,
        key: PublicKey,
        signature: Signature,
    ) -> Result<(), RecoveryError> {
        let (shown, head) = (ground.head.height, self.recovery.head.height);
        if ground.head != self.recovery.head {
            return Err(RecoveryError::Ground { shown, head });
        }
        let principal = ground.principal.ok_or(RecoveryError::Ground { shown, head })?;
        ground.organisations.into_iter().try_for_each(|organisation| self.recovery.show(organisation))?;
        self.recovery.approve(Approval { principal, key, signature })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a file; nothing in it is checked.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, RECOVERY_FILE_BYTES_MAX)
    }
}

/// What is signed of a recovery.
struct Terms<'a>(&'a Recovery);

impl<C> Encode<C> for Terms<'_> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.str(TERMS)?.encode(&self.0.head)?;
        cbor::write_values(e, &self.0.validators)?;
        e.str(&self.0.reason)?.ok()
    }
}

impl<C> Encode<C> for ProvenRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.bytes(&self.row)?.bytes(&self.proof)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ProvenRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "a proven row")?;
        let row = Bytes::copy_from_slice(cbor::bytes(d, 1..=STATE_VALUE_BYTES_MAX, "a row")?);
        let proof = Bytes::copy_from_slice(cbor::bytes(d, 1..=STATE_PROOF_BYTES_MAX, "a state proof")?);
        Ok(Self { row, proof })
    }
}

impl<C> Encode<C> for Approval {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.encode(&self.principal)?.encode(self.key)?.bytes(&self.signature)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Approval {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "an approval")?;
        Ok(Self { principal: d.decode()?, key: d.decode()?, signature: cbor::fixed(d, "a signature")? })
    }
}

impl<C> Encode<C> for Recovery {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(8)?.encode(&self.head)?.encode(&self.certificate)?;
        cbor::write_values(e, &self.validators)?;
        e.str(&self.reason)?.encode(&self.rulebook)?.encode(&self.counters)?;
        cbor::write_values(e, &self.organisations)?;
        cbor::write_values(e, &self.approvals)
    }
}

impl<'b, C> Decode<'b, C> for Recovery {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 8, "a recovery")?;
        Ok(Self {
            head: d.decode()?,
            certificate: d.decode()?,
            validators: cbor::values(d, 1..=VALIDATORS_MAX, "the validators of a recovery")?,
            reason: cbor::words(d, 1..=REASON_BYTES_MAX, "a reason")?.to_owned(),
            rulebook: d.decode()?,
            counters: d.decode()?,
            organisations: cbor::values(d, 0..=RECOVERY_ROWS_MAX, "the organisations of a recovery")?,
            approvals: cbor::values(d, 0..=RECOVERY_ROWS_MAX, "the signatures of a recovery")?,
        })
    }
}

impl<C> Encode<C> for RecoveryGround {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(7)?;
        cbor::write_values(e, &self.links)?;
        e.encode(&self.head)?.encode(&self.certificate)?.encode(&self.rulebook)?.encode(&self.counters)?;
        cbor::write_values(e, &self.organisations)?;
        e.encode(&self.principal)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RecoveryGround {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 7, "the ground of a recovery")?;
        Ok(Self {
            links: cbor::values(d, 0..=RECEIPT_HAND_OVERS_MAX, "the links to a block")?,
            head: d.decode()?,
            certificate: d.decode()?,
            rulebook: d.decode()?,
            counters: d.decode()?,
            organisations: cbor::values(d, 0..=RECOVERY_ROWS_MAX, "organisations")?,
            principal: d.decode()?,
        })
    }
}

impl<C> Encode<C> for RecoveryFile {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.str(FILE)?;
        cbor::write_values(e, &self.links)?;
        e.encode(&self.recovery)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RecoveryFile {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        cbor::array(d, 3, "a recovery file")?;
        if d.str()? != FILE {
            return Err(decode::Error::message("a recovery file must begin with its kind and version").at(at));
        }
        let links = cbor::values(d, 0..=RECEIPT_HAND_OVERS_MAX, "the links of a recovery file")?;
        Ok(Self { links, recovery: d.decode()? })
    }
}
