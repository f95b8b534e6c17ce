//! What became of a transaction: accepted, or refused with a code that says what to do.
//!
//! An outcome is part of the log leaf, so it holds no prose: sentences are [`Code::advice`], outside the hash.

use crate::{
    cbor,
    identifier::MandateId,
    limits::{DECISION_POLICIES_MAX, MANDATE_CHAIN_MAX, NAME_BYTES_MAX, OPERATIONS_MAX, VIOLATIONS_MAX},
    names::names,
    operation::EntryKind,
    policy::PolicyId,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

names! {
    /// Why the ledger refused a transaction. Listed in order of precedence: of several reasons the first is given.
    pub enum Code, "refusal code" {
        /// No such principal.
        PrincipalUnknown = "principal-unknown",
        /// The principal is suspended.
        PrincipalSuspended = "principal-suspended",
        /// The principal was retired.
        PrincipalRetired = "principal-retired",
        /// The key is not one of the principal's.
        KeyUnknown = "key-unknown",
        /// The key was retired or replaced before the block's time.
        KeyRetired = "key-retired",
        /// The key's certificate had expired at the block's time.
        KeyExpired = "key-expired",
        /// The signer's organisation is suspended.
        OrganisationSuspended = "organisation-suspended",
        /// The signer's organisation was expelled.
        OrganisationExpelled = "organisation-expelled",
        /// No such mandate.
        MandateUnknown = "mandate-unknown",
        /// The mandate, or one above it, was revoked.
        MandateRevoked = "mandate-revoked",
        /// The mandate, or one above it, is not valid yet, has ended, or its grantor may not act.
        MandateNotInForce = "mandate-not-in-force",
        /// The mandate was not granted to who used it.
        MandateNotAgent = "mandate-not-agent",
        /// Fewer agents have signed than must concur.
        MandateConcurrence = "mandate-concurrence",
        /// The mandate was passed on more often than allowed.
        MandateTooLong = "mandate-too-long",
        /// Somebody would act for itself by way of others.
        MandateLoop = "mandate-loop",
        /// The mandate, or one above it, does not speak of this act or this thing.
        MandateExceeded = "mandate-exceeded",
        /// The grantor gave a mandate of that name before.
        MandateExists = "mandate-exists",
        /// The principal that the operation names does not exist.
        SubjectUnknown = "subject-unknown",
        /// No such register.
        RegisterUnknown = "register-unknown",
        /// No policy permits the signer this, or one forbids it.
        NotPermitted = "not-permitted",
        /// The read stands on consent, and somebody whom the values are about has not given one that covers it and is in force.
        ConsentRequired = "consent-required",
        /// The rulebook demands a vote for this.
        BallotRequired = "ballot-required",
        /// A proposal of that id exists, or existed.
        ProposalExists = "proposal-exists",
        /// The network, or the organisation, has as many undecided proposals as it may.
        ProposalsFull = "proposals-full",
        /// No such proposal.
        ProposalUnknown = "proposal-unknown",
        /// The rulebook lets other organisations propose, or take back, this.
        NotProposer = "not-proposer",
        /// The rulebook gives nobody a vote on one of the changes.
        ElectorateEmpty = "electorate-empty",
        /// The rulebook gives the organisation no vote on this.
        NotElector = "not-elector",
        /// The proposal's status does not allow this: it is decided, or its time is up.
        ProposalStatus = "proposal-status",
        /// An objection holds the proposal up.
        ProposalPaused = "proposal-paused",
        /// The organisation has voted on it.
        BallotExists = "ballot-exists",
        /// The organisation has objected to it.
        ObjectionExists = "objection-exists",
        /// The rulebook lets nobody hold this up.
        ObjectionExcluded = "objection-excluded",
        /// The stated height of effect has gone by, or is too far away.
        EffectHeight = "effect-height",
        /// A change cannot be made in any state; the violations say which.
        ChangeInvalid = "change-invalid",
        /// An organisation of that id is or was a member.
        OrganisationExists = "organisation-exists",
        /// The network has as many organisations as it can.
        OrganisationsFull = "organisations-full",
        /// No such organisation.
        OrganisationUnknown = "organisation-unknown",
        /// The organisation's status does not allow this.
        OrganisationStatus = "organisation-status",
        /// The organisation runs a validator.
        OrganisationValidates = "organisation-validates",
        /// It would be the last one that can act.
        LastOrganisation = "last-organisation",
        /// The rulebook would contradict itself.
        RulebookInvalid = "rulebook-invalid",
        /// Nobody would have a vote on the rulebook.
        RulebookLockOut = "rulebook-lock-out",
        /// The version is not the one after that in force.
        VersionInvalid = "version-invalid",
        /// A limit that the network has set is reached.
        LimitReached = "limit-reached",
        /// A principal of that name exists.
        PrincipalExists = "principal-exists",
        /// The principal that the operation names was retired.
        SubjectRetired = "subject-retired",
        /// The principal has that status already.
        StatusUnchanged = "status-unchanged",
        /// Fewer administrators have signed than a recovery needs.
        RecoveryQuorum = "recovery-quorum",
        /// A bare key cannot have that level of assurance.
        AssuranceTooHigh = "assurance-too-high",
        /// The principal holds as many keys as it can.
        KeysFull = "keys-full",
        /// The key that the operation ends is not the named principal's, or has ended.
        SubjectKeyUnknown = "subject-key-unknown",
        /// The key is no usable public key.
        KeyInvalid = "key-invalid",
        /// The key belongs to a principal or validator already, now or in the past, or a pending proposal keeps it for one: a key
        /// has one holder for ever.
        KeyInUse = "key-in-use",
        /// The organisation admitted the certificate authority before.
        AuthorityExists = "authority-exists",
        /// The organisation has no such certificate authority.
        AuthorityUnknown = "authority-unknown",
        /// The certificate authority was retired.
        AuthorityRetired = "authority-retired",
        /// A certificate does not hold; the violations say which of the chain and why.
        CertificateInvalid = "certificate-invalid",
        /// The authority may not certify a principal of that name.
        NameSpace = "name-space",
        /// A revocation list does not hold: the violations say why.
        RevocationInvalid = "revocation-invalid",
        /// A revocation list is not later than the one before.
        RevocationOld = "revocation-old",
        /// Retiring it would leave the organisation without an administrator's key.
        LastAdministrator = "last-administrator",
        /// No such validator among those of the epoch that is changed.
        ValidatorUnknown = "validator-unknown",
        /// The validator's organisation is not a member.
        ValidatorOrganisation = "validator-organisation",
        /// The set would have no validator, or more than it may.
        ValidatorsCount = "validators-count",
        /// If none of the new validators came up, the set could not certify.
        ValidatorsStep = "validators-step",
        /// The principal is no device or program of the organisation, or may not act.
        NodePrincipal = "node-principal",
        /// The node's key is another's: of another organisation's validator, or of another node.
        NodePeer = "node-peer",
        /// The organisation has as many nodes that hold as it can.
        NodesFull = "nodes-full",
        /// The organisation has no such node.
        NodeUnknown = "node-unknown",
        /// A register of that name exists.
        RegisterExists = "register-exists",
        /// The network holds as many registers as it can.
        RegistersFull = "registers-full",
        /// A policy does not hold: the violations say which and why.
        PolicyInvalid = "policy-invalid",
        /// The policy to be removed is not in force.
        PolicyUnknown = "policy-unknown",
        /// There would be more policies than fit.
        PoliciesFull = "policies-full",
        /// No policy would be left that lets anybody propose and vote.
        PoliciesLockOut = "policies-lock-out",
        /// No such partition.
        PartitionUnknown = "partition-unknown",
        /// A partition of that name is there, or was.
        PartitionExists = "partition-exists",
        /// The network holds as many partitions as it can.
        PartitionsFull = "partitions-full",
        /// The partition was closed, has not begun, or has ended.
        PartitionClosed = "partition-closed",
        /// A member of the partition has not voted for its agreement; the violations say which.
        ConsentMissing = "consent-missing",
        /// A signer is no node that a member of the partition has registered.
        NodeExcluded = "node-excluded",
        /// A signer's node stands where the agreement does not allow what is shared to be held.
        JurisdictionExcluded = "jurisdiction-excluded",
        /// The node that is said to be refused is no member's, stands elsewhere, or where the agreement allows.
        TransferAllowed = "transfer-allowed",
        /// Nodes of fewer members have signed than the agreement asks for.
        AcknowledgementsMissing = "acknowledgements-missing",
        /// What the payloads rely on is of a block that is too old, or not made yet.
        EvidenceOld = "evidence-old",
        /// The root is of a block that is too old, or not made yet.
        RootHeight = "root-height",
        /// The payload holds no transaction of this partition, another than its order says, or one of another organisation than
        /// that whose node ordered it.
        PayloadInvalid = "payload-invalid",
        /// The transaction's not-after time had passed when it was ordered.
        IntentExpired = "intent-expired",
        /// The transaction's intent was executed before.
        IntentRepeated = "intent-repeated",
        /// What the transaction relies on does not tell all that it asks for.
        EvidenceMissing = "evidence-missing",
        /// What the transaction relies on contradicts itself.
        EvidenceInvalid = "evidence-invalid",
        /// The signer, or who lets it act, is of an organisation that is no member of the partition.
        NotMember = "not-member",
        /// An operation that is done in the public partition only.
        NotPrivate = "not-private",
        /// The register has no such record.
        RecordUnknown = "record-unknown",
        /// The register's phase does not allow the operation.
        RegisterPhase = "register-phase",
        /// The key has no entry of that number to correct.
        CorrectionUnknown = "correction-unknown",
        /// A later entry under the key replaced the one to correct.
        CorrectionSuperseded = "correction-superseded",
        /// An order of erasure of that id exists.
        ErasureExists = "erasure-exists",
        /// No such order of erasure.
        ErasureUnknown = "erasure-unknown",
        /// The signer is no holder of the order.
        NotHolder = "not-holder",
        /// The holder has given its receipt.
        ReceiptExists = "receipt-exists",
        /// A hold of that id exists, or existed.
        HoldExists = "hold-exists",
        /// No such hold.
        HoldUnknown = "hold-unknown",
        /// The hold was lifted, or is over.
        HoldEnded = "hold-ended",
        /// The hold would be over before it began.
        HoldEnd = "hold-end",
        /// A hold suspends the erasure.
        OnHold = "on-hold",
        /// No node of the controller is registered.
        ControllerNodes = "controller-nodes",
        /// A node of the controller is registered whose principal is retired: it could never give its receipt.
        HolderRetired = "holder-retired",
        /// The subject, or the controller, has as many orders that are not complete as it may, or as many holds.
        ErasuresFull = "erasures-full",
        /// A consent of that id exists, or existed.
        ConsentExists = "consent-exists",
        /// No such consent.
        ConsentUnknown = "consent-unknown",
        /// The consent was withdrawn, or is over.
        ConsentEnded = "consent-ended",
        /// The consent would be over before it began.
        ConsentEnd = "consent-end",
        /// The subject has as many consents in force under the controller as it may.
        ConsentsFull = "consents-full",
        /// The successor is missing, superfluous, unknown, or the register itself.
        SuccessorInvalid = "successor-invalid",
        /// The register has that custodian.
        CustodianUnchanged = "custodian-unchanged",
        /// The register has protected fields, and what opens their values is kept, and erased, under its custodian.
        CustodianHolds = "custodian-holds",
        /// The schema contradicts itself.
        FieldsInvalid = "fields-invalid",
        /// Imported entries do not continue the register's numbering.
        ImportNumber = "import-number",
        /// An entry is older than the one before it under the same key, or later than the block.
        EntryOrder = "entry-order",
        /// An item is not canonical JSON of strings and lists of strings.
        ItemNotCanonical = "item-not-canonical",
        /// The entry names the same item twice.
        ItemDuplicate = "item-duplicate",
        /// A field that cannot be protected is, or would no longer be; the violations say which.
        ProtectionInvalid = "protection-invalid",
        /// A value that is written only sealed is in the clear; the violations say which.
        ValueUnsealed = "value-unsealed",
        /// All of a subject is erased: nothing more is written, ordered or held of it.
        SubjectErased = "subject-erased",
        /// What would be read is erased.
        ValueErased = "value-erased",
        /// Items break the register's schema; the violations are listed.
        Schema = "schema",
        /// The record has exactly these items already.
        EntryUnchanged = "entry-unchanged",
        /// The root after the import is not the one claimed.
        RootMismatch = "root-mismatch",
        /// A row of the state would exceed its limit.
        TooLarge = "too-large",
        /// An order in a partition has more holders, or names more values, than its row can hold with all their receipts.
        ErasureHolders = "erasure-holders",
    }
}

/// A table of codes and advice, which must name every code.
macro_rules! advice {
    ($($code:ident => $advice:literal,)+) => {
        impl Code {
            /// What the submitter can do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$code => $advice),+ }
            }
        }
    };
}

advice! {
    PrincipalUnknown => "ask an administrator of your organisation to enrol the principal",
    PrincipalSuspended => "ask an administrator of the principal's organisation to resume it",
    PrincipalRetired => "sign as another principal: a retired one does not come back",
    KeyUnknown => "sign with a key that the principal holds, or have this one added by rotation",
    KeyRetired => "sign with the principal's current key",
    KeyExpired => "renew the key's certificate with `tally key certify`, which this key may still sign",
    OrganisationSuspended => "wait until the members end the suspension, or have one propose it",
    OrganisationExpelled => "be admitted under another id: an expulsion is for good",
    SubjectUnknown => "check the principal's name, or enrol it first",
    RegisterUnknown => "check the register's name, or create it first",
    NotPermitted => "have somebody sign it who may, or ask whoever keeps the policies",
    ConsentRequired => "have consent put on record that covers this purpose and whoever reads (`tally consent give`), or name another legal basis; `tally consent list` says what is in force",
    MandateUnknown => "check the mandate's name: organisation/name/mandate, of a partition partition/organisation/name/mandate",
    MandateRevoked => "ask its grantor for another mandate",
    MandateNotInForce => "look at the mandate's dates, and whether its grantor is active; ask for another when it has ended",
    MandateNotAgent => "have an agent that the mandate names sign first",
    MandateConcurrence => "have more of the mandate's agents co-sign",
    MandateTooLong => "ask the grantor at the root for a mandate that may be passed on further",
    MandateLoop => "act for yourself, without a mandate; to pass one on, name agents who are not its grantors",
    MandateExceeded => "ask the grantor for a mandate that names this action and this thing; one that is passed on must not last longer than the one above",
    MandateExists => "choose another name: a mandate's name is not used twice",
    BallotRequired => "put it to the vote: `tally proposal draft` writes a form for it",
    ProposalExists => "choose another id",
    ProposalsFull => "wait until some are decided, or take back one of your own",
    ProposalUnknown => "check the proposal's id: `tally proposal list`",
    NotProposer => "ask an organisation that may: `tally proposal rulebook` says which",
    ElectorateEmpty => "change the rule for this kind of change first: `tally proposal rulebook` says who votes",
    NotElector => "nothing need be done: others decide this, or it was proposed before you were admitted",
    ProposalStatus => "look the proposal up: `tally proposal show`",
    ProposalPaused => "wait until the pause ends: `tally proposal show` says when",
    BallotExists => "nothing need be done: a ballot is cast once, and stands",
    ObjectionExists => "nothing need be done: an organisation objects once to a proposal",
    ObjectionExcluded => "vote against it",
    EffectHeight => "state a later height, or none",
    ChangeInvalid => "correct the changes that are listed, and try them with `tally proposal draft --dry-run`",
    OrganisationExists => "choose another id",
    OrganisationsFull => "use an existing organisation",
    OrganisationUnknown => "check the organisation's id",
    OrganisationStatus => "look the organisation up: it is so already, or was expelled for good",
    OrganisationValidates => "remove its validators in the same proposal, in a change before this one",
    LastOrganisation => "admit another organisation first",
    RulebookInvalid => "keep every threshold and time within its bounds: see docs/reference/rulebook.md",
    RulebookLockOut => "leave votes on the rulebook to an organisation that stays: give it a weight in an earlier change",
    VersionInvalid => "propose the version after the one in force",
    LimitReached => "have the limit raised by proposal",
    PrincipalExists => "choose another name, or rotate the key of the existing principal",
    SubjectRetired => "enrol another principal: a retired one does not come back",
    StatusUnchanged => "nothing need be done: the principal has that status",
    RecoveryQuorum => "have more administrators of the principal's organisation co-sign",
    AssuranceTooHigh => "say substantial or low, or certify the key afterwards",
    KeysFull => "retire a key of the principal first",
    SubjectKeyUnknown => "look the principal up and name a key that it holds now",
    KeyInvalid => "make a new key and use that",
    KeyInUse => "make a new key, for one is not used twice; or wait until the proposal that keeps it is decided",
    AuthorityExists => "nothing need be done: it is admitted, or was retired for good",
    AuthorityUnknown => "have an administrator of your organisation admit its authority first",
    AuthorityRetired => "use a certificate of an authority that is not retired; if it was to be retired, nothing need be done",
    CertificateInvalid => "check the files with `tally ca check`, and have the certificate issued again",
    NameSpace => "certify it under an authority that may certify principals of that name",
    RevocationInvalid => "post a whole list in DER, signed by the issuer whose chain is given",
    RevocationOld => "nothing need be done: this list or a later one was posted",
    LastAdministrator => "enrol or rotate another administrator's key first",
    ValidatorUnknown => "look the validators up: name one that is in the set or scheduled for it",
    ValidatorOrganisation => "admit the organisation first",
    ValidatorsCount => "keep at least one validator, and no more than the network may have",
    ValidatorsStep => "change fewer at once: the others follow in a later epoch",
    NodePrincipal => "enrol a device or a program of your organisation for the node, and register that",
    NodePeer => "give each node its own keys: the one its peers know it by, and the one that others encrypt to",
    NodesFull => "retire a node that holds nothing any more",
    NodeUnknown => "look at the organisation's nodes: `tally node list`; of one that is retired only that what it held is destroyed can be said",
    RegisterExists => "choose another name, or append to the existing register",
    RegistersFull => "use an existing register",
    PolicyInvalid => "check the policies with `tally policy check`, which says what is wrong",
    PolicyUnknown => "look at what is in force with `tally policy list`",
    PoliciesFull => "remove policies, or say the same in fewer or shorter ones",
    PoliciesLockOut => "keep a policy that permits proposal-submit and ballot-cast, and none that forbids them to everybody",
    PartitionUnknown => "check the partition's name: `tally partition list`",
    PartitionExists => "choose another name: a partition's name is not used twice",
    PartitionsFull => "use an existing partition",
    PartitionClosed => "see with `tally partition show` why: dates are amended by proposal, and in place of a partition that is closed another is opened",
    ConsentMissing => "have every member of the partition vote yes on a new proposal",
    NodeExcluded => "have a node sign it that a member of the partition has registered",
    JurisdictionExcluded => "use nodes and recipients that are where the agreement allows, as `tally partition show` tells; `--to-jurisdiction` says where a recipient is",
    TransferAllowed => "refuse what the agreement does not allow, to a member's node as it is registered now: `tally datamap`",
    AcknowledgementsMissing => "have nodes of more members sign it: `tally partition show` says how many",
    EvidenceOld => "make it anew from a recent block",
    RootHeight => "post the root of a block that is final, and not older than the one certified last",
    PayloadInvalid => "sign a transaction for this network and partition, and send it to a node of your own",
    IntentExpired => "sign it again",
    IntentRepeated => "nothing need be done: it was executed, once",
    EvidenceMissing => "send it again, to a node that knows the newest block",
    EvidenceInvalid => "ask the operators of the nodes that acknowledged it: they vouched for what is not so",
    NotMember => "have a principal of a member sign it, for itself or for one of a member",
    NotPrivate => "do it in the public partition: in others there are registers, and mandates of their own",
    RecordUnknown => "check the record's key",
    RegisterPhase => "look the register up: move it to a phase that allows this, or use its successor",
    CorrectionUnknown => "name the number of the record's latest entry to correct it, or of an entry that was corrected to say who knows: `tally record` and `tally notice list` have them",
    CorrectionSuperseded => "look the record up: correct its latest entry, if that is wrong too",
    ErasureExists => "choose another id: an order's id is not used twice",
    ErasureUnknown => "check the order's id: `tally erasure list`",
    NotHolder => "have the node sign it that holds: `tally erasure status` says which do",
    ReceiptExists => "nothing need be done: the holder has said so",
    HoldExists => "choose another id: a hold's id is not used twice",
    HoldUnknown => "check the hold's id: `tally hold list`",
    HoldEnded => "nothing need be done: the hold no longer suspends anything",
    HoldEnd => "state a later time, or none",
    OnHold => "wait until the hold is lifted or over: `tally erasure status` says which it is",
    HolderRetired => "retire its node first, which cannot say that it destroyed: `tally node retire`",
    ControllerNodes => "register the controller's nodes first: `tally node register`",
    ErasuresFull => "wait until the nodes have done what is ordered, or lift a hold",
    ConsentExists => "choose another id: a consent's id is not used twice",
    ConsentUnknown => "check the consent's id: `tally consent list`",
    ConsentEnded => "nothing need be done: nothing stands on it any more",
    ConsentEnd => "state a later time",
    ConsentsFull => "withdraw one that is not needed, or put several purposes into one",
    SuccessorInvalid => "name another existing register as successor, and only when superseding",
    CustodianHolds => "create another register for the new custodian, and close this one",
    CustodianUnchanged => "nothing need be done: the register has that custodian",
    FieldsInvalid => "give each field once, and a single-valued one with the register's name for the key",
    ImportNumber => "look the register up and continue from the numbers it has reached",
    EntryOrder => "order each key's entries by time, and import none from the future",
    ItemNotCanonical => "sort the keys and remove white space (openregister v1 canonical JSON)",
    ItemDuplicate => "give each item of an entry once",
    ProtectionInvalid => "protect neither keys nor the fields that name whom others are about, and keep what is protected",
    ValueUnsealed => "seal the values of the fields that are listed: the ledger takes no personal data in the clear",
    SubjectErased => "everything of this person is erased, and nothing is left to order, hold or agree to: leave the sealed fields out of an entry, or choose another pseudonym",
    ValueErased => "nothing can be done: it was destroyed, or is about to be",
    Schema => "correct the fields that are listed",
    EntryUnchanged => "nothing need be done: the record is already so",
    RootMismatch => "check that the file is complete and in order, and import it again",
    TooLarge => "use fewer fields, shorter texts or fewer items",
    ErasureHolders => "name fewer values in one order; or have members retire nodes: 48 can hold for a partition when something is to be erased",
}

names! {
    /// The rule that an entry, its item or a field breaks.
    pub enum ViolationRule, "rule" {
        /// The register has no such field.
        UnknownField = "unknown-field",
        /// The field that repeats the key is absent.
        KeyMissing = "key-missing",
        /// The field that repeats the key differs from it.
        KeyMismatch = "key-mismatch",
        /// A list where one value belongs, or one value where a list belongs.
        Cardinality = "cardinality",
        /// A value that is no text.
        NotText = "not-text",
        /// An empty value.
        Empty = "empty",
        /// A value twice in one list.
        Duplicate = "duplicate",
        /// A value that is not of the field's datatype.
        Datatype = "datatype",
        /// A value in the clear of a field that is written only sealed.
        Unsealed = "unsealed",
        /// A sealed value of a subject all of which is erased.
        Erased = "erased",
        /// A personal value of which no field says whom it is about.
        Subject = "subject",
        /// A protected field that names records, or one that would lose its protection.
        Protection = "protection",
        /// A link to a record that does not exist.
        Unresolved = "unresolved",
        /// Not canonical JSON.
        NotCanonical = "not-canonical",
        /// The same item twice in one entry.
        ItemTwice = "item-twice",
        /// Exactly what the record holds already.
        Unchanged = "unchanged",
        /// Older than the entry before it under the same key.
        Older = "older",
        /// Later than the block.
        Future = "future",
        /// A certificate that does not keep to the profile.
        CertificateMalformed = "certificate-malformed",
        /// A certificate with an extension that is refused or not understood.
        CertificateExtension = "certificate-extension",
        /// A certificate that the next one of its chain did not issue.
        CertificateIssuer = "certificate-issuer",
        /// A certificate that is not valid yet, or has expired.
        CertificateTime = "certificate-time",
        /// A certificate with a name that an authority above it may not give.
        CertificateName = "certificate-name",
        /// A certificate that may not be used so.
        CertificateUse = "certificate-use",
        /// A certificate that its authority took back.
        CertificateRevoked = "certificate-revoked",
        /// A certificate of another key.
        CertificateKey = "certificate-key",
        /// The refusal is about a co-signer: the entry is its place, the field its name.
        Cosigner = "cosigner",
        /// A change that could not be made in any state of the ledger.
        Unusable = "unusable",
        /// A change of more bytes than fit into a row.
        TooLong = "too-long",
        /// A key that is another's, or kept for another by a pending proposal.
        InUse = "in-use",
        /// A policy that is too long, too deep, or has too many operators.
        PolicyForm = "policy-form",
        /// A text that is not one Cedar policy.
        PolicySyntax = "policy-syntax",
        /// A policy that does not keep to the published schema.
        PolicySchema = "policy-schema",
        /// A register's policy whose scope does not hold it to that register.
        PolicyScope = "policy-scope",
        /// An organisation without whose yes it does not take effect has not given it.
        Consent = "consent",
    }
}

/// One broken rule. In CBOR: `[entry, field, rule]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The entry within the operation, from 0; for a register's fields, the field; for co-signers, the co-signer.
    pub entry: u32,
    /// The field; at most 64 bytes of it. Empty when the rule is about the whole entry.
    pub field: String,
    /// What it breaks.
    pub rule: ViolationRule,
}

/// What policies said, and under which mandates. In CBOR: `[version, [id…], [id…], [mandate…]]`.
///
/// Of an accepted transaction: of all its operations together. Of a refused one: of the operation that was refused. Of one that
/// was refused before policies were asked: version 0 and nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// How often the policies of the partition and its registers had been changed: it tells which were in force.
    pub version: u64,
    /// The policies that determined it, sorted: those that permitted, or those that forbade; at most 32, the first ones. None
    /// when nothing permitted.
    pub determining: Vec<PolicyId>,
    /// The policies that failed and were skipped, sorted; at most 32, the first ones.
    pub skipped: Vec<PolicyId>,
    /// The mandates under which the transaction acted, from the one that it names to the root; none when it named none, or
    /// one that did not hold.
    pub mandates: Vec<MandateId>,
}

/// A business "no". In CBOR: `["refused", code, operation, [violation…], decision]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// The operation that it is about, from 0.
    pub operation: u32,
    /// What in particular, when the code is about entries or fields; at most 32, the first ones.
    pub violations: Vec<Violation>,
    /// What policies said of the operation.
    pub decision: Decision,
}

/// The numbers that an operation's entries got. In CBOR: `[operation, register, kind, first, count]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The operation, from 0.
    pub operation: u32,
    /// The register.
    pub register: String,
    /// The kind of the entries.
    pub kind: EntryKind,
    /// The number of the first, from 1.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// What became of a transaction. In CBOR: `["accepted", [appended…], decision]` or `["refused", …]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every operation took effect.
    Accepted {
        /// The entries that came to be, by operation and kind.
        appended: Vec<Appended>,
        /// What policies said of the operations.
        decision: Decision,
    },
    /// No operation took effect.
    Refused(Refusal),
}

impl Outcome {
    /// Whether the operations took effect.
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// A refusal without violations, before policies were asked.
    pub fn refused(code: Code, operation: u32) -> Self {
        Self::Refused(Refusal { code, operation, violations: Vec::new(), decision: Decision::default() })
    }

    /// What policies said.
    pub const fn decision(&self) -> &Decision {
        match self {
            Self::Accepted { decision, .. } | Self::Refused(Refusal { decision, .. }) => decision,
        }
    }
}

impl<C> Encode<C> for Violation {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.u32(self.entry)?.str(&self.field)?.encode(self.rule)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Violation {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "a violation")?;
        Ok(Self {
            entry: d.u32()?,
            field: cbor::text(d, 0..=NAME_BYTES_MAX, "a violation's field")?.to_owned(),
            rule: d.decode()?,
        })
    }
}

impl<C> Encode<C> for Appended {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(5)?.u32(self.operation)?.str(&self.register)?.encode(self.kind)?;
        e.u64(self.first)?.u64(self.count)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Appended {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 5, "an appended range")?;
        Ok(Self {
            operation: d.u32()?,
            register: cbor::text(d, 1..=NAME_BYTES_MAX, "a register's name")?.to_owned(),
            kind: d.decode()?,
            first: d.u64()?,
            count: d.u64()?,
        })
    }
}

impl<C> Encode<C> for Decision {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.u64(self.version)?;
        cbor::write_values(e, &self.determining)?;
        cbor::write_values(e, &self.skipped)?;
        cbor::write_values(e, &self.mandates)
    }
}

impl<'b, C> Decode<'b, C> for Decision {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a decision")?;
        Ok(Self {
            version: d.u64()?,
            determining: cbor::values(d, 0..=DECISION_POLICIES_MAX, "the determining policies")?,
            skipped: cbor::values(d, 0..=DECISION_POLICIES_MAX, "the skipped policies")?,
            mandates: cbor::values(d, 0..=MANDATE_CHAIN_MAX, "the mandates of a chain")?,
        })
    }
}

impl<C> Encode<C> for Outcome {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Accepted { appended, decision } => {
                e.array(3)?.str("accepted")?;
                cbor::write_values(e, appended)?;
                e.encode(decision)?.ok()
            }
            Self::Refused(Refusal { code, operation, violations, decision }) => {
                e.array(5)?.str("refused")?.encode(code)?.u32(*operation)?;
                cbor::write_values(e, violations)?;
                e.encode(decision)?.ok()
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Outcome {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        match (d.array()?, d.str()?) {
            (Some(3), "accepted") => Ok(Self::Accepted {
                // An import may append both kinds.
                appended: cbor::values(d, 0..=2 * OPERATIONS_MAX, "the appended ranges")?,
                decision: d.decode()?,
            }),
            (Some(5), "refused") => Ok(Self::Refused(Refusal {
                code: d.decode()?,
                operation: d.u32()?,
                violations: cbor::values(d, 0..=VIOLATIONS_MAX, "the violations")?,
                decision: d.decode()?,
            })),
            _ => Err(decode::Error::message("an outcome must be accepted or refused").at(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{identifier::PrincipalId, limits::OUTCOME_BYTES_MAX};

    /// Whatever a transaction of the greatest size does, what became of it can be stored and read back.
    #[test]
    fn the_longest_outcomes_fit() {
        let name = "n".repeat(NAME_BYTES_MAX);
        let policy: PolicyId = format!("{name}/{name}").parse().unwrap();
        let mandate = MandateId::within(Some(&name), &PrincipalId::new(&name, &name).unwrap(), &name).unwrap();
        let decision = Decision {
            version: u64::MAX,
            determining: vec![policy.clone(); DECISION_POLICIES_MAX],
            skipped: vec![policy; DECISION_POLICIES_MAX],
            mandates: vec![mandate; MANDATE_CHAIN_MAX],
        };
        let (kind, first, count) = (EntryKind::System, u64::MAX, u64::MAX);
        let range = Appended { operation: OPERATIONS_MAX as u32, register: name.clone(), kind, first, count };
        let violation = Violation { entry: u32::MAX, field: name, rule: ViolationRule::CertificateMalformed };
        let (code, operation, violations) = (Code::PolicyInvalid, u32::MAX, vec![violation; VIOLATIONS_MAX]);
        for outcome in [
            Outcome::Accepted { appended: vec![range; 2 * OPERATIONS_MAX], decision: decision.clone() },
            Outcome::Refused(Refusal { code, operation, violations, decision }),
        ] {
            let bytes = cbor::encode(&outcome);
            assert_eq!(cbor::decode::<Outcome>(&bytes, OUTCOME_BYTES_MAX).unwrap(), outcome, "{} bytes", bytes.len());
        }
    }
}
