//! Name, encode, sign and prove everything the network exchanges.
//!
//! Pure: no clock, disk, socket, thread, float or hash order. Every encoding is deterministic CBOR (RFC 8949 section
//! 4.2), every decoder is bounded by a limit of [`limits`], and one meaning has one byte string.

mod names;

mod act;
mod authority;
mod blind;
mod calendar;
pub mod cbor;
pub mod certificate;
pub mod change;
pub mod consent;
pub mod correction;
pub mod erasure;
pub mod fields;
pub mod hash;
pub mod header;
pub mod hold;
pub mod identifier;
pub mod key;
pub mod limits;
pub mod log;
pub mod mandate;
pub mod merkle;
pub mod network;
pub mod node;
pub mod operation;
pub mod organisation;
pub mod outcome;
pub mod parcel;
pub mod partition;
pub mod policy;
pub mod principal;
pub mod proof;
pub mod proposal;
pub mod query;
pub mod receipt;
pub mod recipient;
pub mod recovery;
pub mod resource;
pub mod row;
pub mod rulebook;
pub mod seal;
pub mod sealed;
pub mod state_key;
pub mod transaction;
pub mod validators;

pub use authority::{AuthorityTerms, PolicyMeaning};
pub use blind::{BlindRow, RowsSecret};
pub use calendar::Calendar;
pub use cbor::CborError;
pub use certificate::{CertificateError, FinalityCertificate};
pub use change::{Change, ChangeKind, LimitName};
pub use consent::{
    ConsentQuestion, ConsentRow, ConsentStatus, ConsentTerms, SubjectConsentsRow, Withdrawn, is_consent,
};
pub use correction::CorrectionRow;
pub use erasure::{
    Completed, ControllerRow, Destroyed, ErasureRow, ErasureScope, ErasureStatus, Holder, OpenErasure, SubjectRow,
};
pub use fields::{FieldLeaf, FieldPlace, FieldsRow, ShownField};
pub use hash::Hash;
pub use header::{BlockHeader, LogCommitment, StateCommitment};
pub use hold::{HoldRow, Lifted, SubjectHold};
pub use identifier::MandateId;
pub use key::{Algorithm, KeyError, PublicKey, Signature, SigningKey};
pub use log::{LogEntry, LogLeaf};
pub use mandate::MandateTerms;
pub use merkle::{Frontier, MerkleError, Tree};
pub use network::{Genesis, GenesisError, GenesisOrganisation, GenesisPrincipal, GenesisValidator, NetworkId};
pub use node::{NodeRow, NodesRow, SealingKey, SealingKeyError};
pub use operation::{
    Cardinality, Datatype, EntryKind, Field, ImportedEntry, NameError, NewEntry, Operation, OperationName, Phase,
    PrincipalId, Protection, TransferPath,
};
pub use organisation::{Jurisdiction, OrganisationStatus, Particulars, ParticularsError, Registration};
pub use outcome::{Appended, Code, Decision, Outcome, Refusal, Violation, ViolationRule};
pub use parcel::{Beside, Evidence, OrderedParcel, PaddedPayload, ParcelError, ParcelId, ParcelSecret, Payload};
pub use partition::{
    AgreementError, AgreementTerms, CertifiedRoot, PartitionRootsRow, PartitionRow, PostedRoot, RootsAt,
};
pub use policy::{PolicyChange, PolicyId, PolicyText};
pub use principal::{Assurance, PrincipalKind, PrincipalStatus, Roles};
pub use proposal::{Choice, Poll, ProposalRow, ProposalStatus, RuleText, Verdict};
pub use query::{Query, QueryError};
pub use receipt::{
    Attestation, Attested, CheckError, Claim, Disclosure, ErasureCertificate, FieldDisclosure, Finality, OpeningFault,
    PartitionDisclosure, PartitionErasure, PrincipalReceipt, ProposalReceipt, Proven, Receipt, RecordAnswer,
    RecordReceipt, Recovered, SharedErasure, SharedFields, SharedRecord, Signed, SignedBy, Statement, Step,
    TransactionReceipt,
};
pub use recipient::Recipient;
pub use recovery::{Approval, Approvals, ProvenRow, Recovery, RecoveryError, RecoveryFile, RecoveryGround};
pub use resource::{Resource, ResourceError, ResourceKind};
pub use row::{CountersRow, HeldKey, OrganisationRow, PrincipalRow, RecordRow, RegisterRow};
pub use rulebook::{Circle, Rule, Rulebook, RulebookChange, RulebookError, Share, VoteWeight, Weight};
pub use seal::{Blinding, Commitment, Opening, PLACE_PARTS, Place, SealError, SealScheme, Secret, Subject};
pub use sealed::{Reading, SealedSubmission};
pub use state_key::{Noun, StateKey};
pub use transaction::{
    Cosigner, DecodeError, Intent, PartlySignedTransaction, SignError, SignedTransaction, VerifiedTransaction,
    VerifyError, verify_batch,
};
pub use validators::{HandOver, Link, Trust, TrustError, ValidatorSet};
