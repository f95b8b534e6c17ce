//! What a transaction asks for.
//!
//! In CBOR an operation is an array: its name, then its fields in the order of the type (`operation/codec.rs`).

mod codec;
mod name;

use crate::parcel::OrderedParcel;
use crate::{
    authority::AuthorityTerms,
    change::Change,
    consent::ConsentTerms,
    erasure::ErasureScope,
    hash::Hash,
    identifier::MandateId,
    key::PublicKey,
    limits::RETENTION_DAYS_MAX,
    mandate::MandateTerms,
    names::{names, serde_as_text},
    node::SealingKey,
    organisation::Jurisdiction,
    policy::PolicyChange,
    principal::{Assurance, PrincipalKind, PrincipalStatus, Roles},
    proposal::{Choice, RuleText},
    recipient::Recipient,
    seal::Subject,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

pub use name::{OperationName, TransferPath};

pub use crate::identifier::{NameError, PrincipalId, validate_key, validate_name};

names! {
    /// Where a register stands in its life.
    pub enum Phase, "phase" {
        /// Being prepared: its entries may still be imported.
        Draft = "draft",
        /// In use.
        Live = "live",
        /// Replaced by its successor; read only.
        Superseded = "superseded",
        /// Ended; read only.
        Closed = "closed",
    }
}

names! {
    /// Whose an entry is: the register's description of itself, or its content.
    pub enum EntryKind, "kind of entry" {
        /// Describes the register: its name, custodian, fields.
        System = "system",
        /// Content; only these are leaves of the register's tree.
        User = "user",
    }
}

names! {
    /// The form of a field's values (openregister's datatype register, and those its specification adds).
    pub enum Datatype, "datatype" {
        /// Any text.
        String = "string",
        /// Decimal digits with an optional minus sign.
        Integer = "integer",
        /// Markdown.
        Text = "text",
        /// The name of a register or field.
        Name = "name",
        /// An absolute URL.
        Url = "url",
        /// A link: `register:key`, or a bare key of the register that the field names.
        Curie = "curie",
        /// ISO 8601, truncated to any precision; UTC.
        Datetime = "datetime",
        /// ISO 8601 interval.
        Period = "period",
        /// RFC 3339 with seconds, UTC.
        Timestamp = "timestamp",
        /// An algorithm, a colon, a hexadecimal digest.
        Hash = "hash",
        /// GeoJSON point.
        Point = "point",
        /// Well-known text polygon.
        Polygon = "polygon",
    }
}

names! {
    /// How many values a field holds.
    pub enum Cardinality, "cardinality" {
        /// A single value.
        One = "1",
        /// A list of distinct values.
        Many = "n",
    }
}

/// Who may read a field's values: such a field is written only sealed (see [`crate::seal`]). In CBOR, JSON and items a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// `personal:FIELD`: personal data. It is about the record that the item's field `FIELD` names, which is the entry's own when
    /// that field has the register's name. `personal:FIELD:DAYS`: and it is erased so many days after it was written.
    Personal {
        /// The field that names the record that it is about.
        subject: String,
        /// For how many days it is kept; for ever if none.
        days: Option<u32>,
    },
    /// `restricted`: only some may read it, and it is about nobody but the entry's own record.
    Restricted,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Personal { subject, days: None } => write!(f, "personal:{subject}"),
            Self::Personal { subject, days: Some(days) } => write!(f, "personal:{subject}:{days}"),
            Self::Restricted => f.write_str("restricted"),
        }
    }
}

impl FromStr for Protection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("personal", rest)) => {
                let (subject, days) = match rest.split_once(':') {
                    None => (rest, None),
                    Some((subject, days)) => (subject, Some(kept_days(days)?)),
                };
                validate_name(subject).map_err(|error| error.to_string())?;
                Ok(Self::Personal { subject: subject.to_owned(), days })
            }
            None if text == "restricted" => Ok(Self::Restricted),
            _ => {
                Err("unknown protection: write `restricted`, or `personal:` and the field that names whom it is about"
                    .to_owned())
            }
        }
    }
}

impl Protection {
    /// For how many days a value is kept after it was written; none when for ever.
    pub const fn days(&self) -> Option<u32> {
        match self {
            Self::Personal { days, .. } => *days,
            Self::Restricted => None,
        }
    }
}

/// Days as they are written: one spelling each.
fn kept_days(text: &str) -> Result<u32, String> {
    let days: Option<u32> = text.parse().ok().filter(|days: &u32| days.to_string() == text);
    days.filter(|days| (1..=RETENTION_DAYS_MAX).contains(days))
        .ok_or_else(|| format!("`{text}` is no number of days from 1 to {RETENTION_DAYS_MAX}"))
}

serde_as_text!(Protection);

/// One field of a register's schema. In CBOR: `[name, datatype, cardinality, register or null, text]`, and the protection if it
/// has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name: the key in an item.
    pub name: String,
    /// The form of its values.
    pub datatype: Datatype,
    /// How many values it holds.
    pub cardinality: Cardinality,
    /// The register that its values are keys of.
    #[serde(default)]
    pub register: Option<String>,
    /// What it means.
    #[serde(default)]
    pub text: String,
    /// Who may read its values; none when everybody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
}

impl Field {
    /// A single value of this datatype, which everybody may read.
    pub fn new(name: impl Into<String>, datatype: Datatype) -> Self {
        let (name, cardinality) = (name.into(), Cardinality::One);
        Self { name, datatype, cardinality, register: None, text: String::new(), protection: None }
    }
}

/// An entry to append. In CBOR: `[key, [item…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What the entry is about.
    pub key: String,
    /// Its items as canonical JSON texts, one or more.
    pub items: Vec<String>,
}

/// An entry with the timestamp it had elsewhere. In CBOR: `[kind, key, timestamp, [item…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedEntry {
    /// Whose it is.
    pub kind: EntryKind,
    /// What it is about.
    pub key: String,
    /// When it was first appended, in Unix seconds.
    pub timestamp: u64,
    /// Its items as canonical JSON texts, one or more.
    pub items: Vec<String>,
}

/// One request to change the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Creates a register whose custodian is the signer's organisation. Refused unless the signer is an administrator.
    RegisterCreate {
        /// Its name.
        register: String,
        /// What it lists.
        text: String,
        /// Its schema.
        fields: Vec<Field>,
    },
    /// Moves a register to another phase of its life.
    RegisterPhase {
        /// The register.
        register: String,
        /// Where it goes.
        phase: Phase,
        /// The register that replaces it, when it goes to `superseded`.
        successor: Option<String>,
    },
    /// Appends entries, timed by the block.
    EntryAppend {
        /// The register.
        register: String,
        /// The entries, in order.
        entries: Vec<NewEntry>,
    },
    /// Appends entries with the numbers and timestamps that they had elsewhere.
    RegisterImport {
        /// The register.
        register: String,
        /// The number that the first user entry here gets, from 1.
        user_first: u64,
        /// The number that the first system entry here gets, from 1.
        system_first: u64,
        /// The entries, in order.
        entries: Vec<ImportedEntry>,
        /// The root of the register's tree after them.
        root: Hash,
    },
    /// Says how the signer's organisation is reached.
    OrganisationContact {
        /// An address of an office; none takes it away.
        contact: Option<String>,
    },
    /// Adds a principal with its first key to the signer's organisation.
    PrincipalEnrol {
        /// Its name within the organisation.
        name: String,
        /// What it is.
        kind: PrincipalKind,
        /// What it is to its organisation.
        roles: Roles,
        /// Its first key.
        key: PublicKey,
        /// How sure the organisation is that the key is in its hands.
        assurance: Assurance,
    },
    /// Suspends a principal, lets it act again, or retires it for ever.
    PrincipalStatus {
        /// Whom.
        principal: PrincipalId,
        /// What it is from now on.
        status: PrincipalStatus,
        /// Why.
        reason: String,
    },
    /// Says anew what a principal is to its organisation, or how sure that is of one of its keys; what is none stays.
    PrincipalAmend {
        /// Whom.
        principal: PrincipalId,
        /// All its roles from now on.
        roles: Option<Roles>,
        /// One of its keys, and the level of assurance of that from now on.
        assurance: Option<(PublicKey, Assurance)>,
    },
    /// Gives a principal that has lost its keys a new one, and ends all others. As many administrators must sign as the
    /// organisation asks for.
    PrincipalRecover {
        /// Whom.
        principal: PrincipalId,
        /// The new key.
        key: PublicKey,
        /// How sure the organisation is that the key is in its hands.
        assurance: Assurance,
    },
    /// Says how many administrators of the signer's organisation must sign to recover a principal.
    RecoverySet {
        /// How many, the signer included.
        administrators: u32,
    },
    /// Gives a principal one more key.
    KeyAdd {
        /// Whose key.
        principal: PrincipalId,
        /// The key that begins.
        key: PublicKey,
        /// How sure the organisation is that the key is in its hands.
        assurance: Assurance,
    },
    /// Replaces a key.
    KeyRotate {
        /// Whose key.
        principal: PrincipalId,
        /// The key that ends.
        old: PublicKey,
        /// The key that begins.
        new: PublicKey,
        /// Seconds for which the old key still signs; 0 ends it at once.
        overlap: u64,
    },
    /// Ends a key without replacement.
    KeyRetire {
        /// Whose key.
        principal: PrincipalId,
        /// The key that ends.
        key: PublicKey,
    },
    /// Admits a certificate authority of the signer's organisation.
    AuthorityAdmit {
        /// Its X.509 certificate in DER.
        certificate: Vec<u8>,
        /// What it may say here.
        terms: AuthorityTerms,
    },
    /// Ends an authority: no key is certified under it any more.
    AuthorityRetire {
        /// SHA-256 of its certificate.
        authority: Hash,
    },
    /// Gives a key a certificate, with which it ends; the principal itself may sign this, even when the key has expired.
    KeyCertify {
        /// Whose key.
        principal: PrincipalId,
        /// The key, which the certificate is about.
        key: PublicKey,
        /// SHA-256 of the certificate of the authority under which it was issued.
        authority: Hash,
        /// The key's certificate and those between it and the authority's, in DER, each issued by the next one.
        chain: Vec<Vec<u8>>,
    },
    /// Posts what an authority, or one that it issued, has revoked.
    RevocationPost {
        /// The revocation list in DER.
        list: Vec<u8>,
        /// SHA-256 of the certificate of the admitted authority.
        authority: Hash,
        /// The certificate of the list's issuer and those between it and the authority's; none when it is the authority.
        chain: Vec<Vec<u8>>,
    },
    /// Lets others act for the signer.
    MandateGrant {
        /// What the signer calls it: a name it has not used before.
        name: String,
        /// Who may do what, for how long.
        terms: MandateTerms,
    },
    /// Ends a mandate, and with it all that it was passed on to.
    MandateRevoke {
        /// The mandate.
        mandate: MandateId,
    },
    /// Puts changes of the network's order to the vote.
    ProposalSubmit {
        /// Its id: a slug, unlike that of any proposal before.
        proposal: String,
        /// What it is about, in a line.
        title: String,
        /// The text of the rule that it makes.
        text: RuleText,
        /// What it changes, all of it or nothing.
        changes: Vec<Change>,
        /// The height from which it takes effect, if that leaves the notice that the rulebook demands.
        effect_height: Option<u64>,
    },
    /// Takes a proposal of the signer's organisation back, before it takes effect.
    ProposalWithdraw {
        /// Its id.
        proposal: String,
    },
    /// Casts the ballot of the signer's organisation: once, and for good.
    BallotCast {
        /// The proposal's id.
        proposal: String,
        /// What it says.
        choice: Choice,
    },
    /// Holds a proposal up for a while, once for each organisation.
    ProposalObject {
        /// Its id.
        proposal: String,
        /// Why.
        reason: String,
    },
    /// Changes the policies that are for one register. They hold beside the partition's, and speak of this register only.
    RegisterPolicy {
        /// The register.
        register: String,
        /// The change; every id is of this register.
        change: PolicyChange,
    },
    /// Registers a node of the signer's organisation that holds what only some may see, or says anew what it is.
    NodeRegister {
        /// Its principal: a device or a program.
        node: PrincipalId,
        /// The Ed25519 key its peers know it by.
        peer: [u8; 32],
        /// To which what it is to hold is encrypted.
        sealing: SealingKey,
        /// Where it stands.
        jurisdiction: Jurisdiction,
    },
    /// Ends a node of the signer's organisation: nothing is handed to it any more. Of one that is retired, says that what it held is destroyed.
    NodeRetire {
        /// Its principal.
        node: PrincipalId,
        /// Whether what it held is destroyed. Else orders of erasure name it as not asked.
        destroyed: bool,
    },
    /// Orders that values about a subject be destroyed, by every node that holds them for the controller.
    ErasureOrder {
        /// Its id: a slug, unlike that of any order before.
        order: String,
        /// The organisation whose nodes must destroy.
        controller: String,
        /// Whom the values are about.
        subject: Subject,
        /// Which values.
        scope: ErasureScope,
        /// Who demands it: a court, a regulator, the person, the controller's own rule.
        authority: String,
        /// The law that it rests on.
        legal_basis: String,
        /// Why.
        reason: String,
        /// Seconds within which every holder must have given its receipt.
        deadline: u64,
    },
    /// Says that the signer, which is a holder of the order, has destroyed what it held. Nobody says so for another.
    ErasureReceipt {
        /// The order.
        order: String,
        /// How many values it held.
        destroyed: u32,
    },
    /// Suspends the erasure of a subject.
    HoldPlace {
        /// Its id: a slug, unlike that of any hold before.
        hold: String,
        /// The organisation whose nodes must keep.
        controller: String,
        /// Whom the values are about.
        subject: Subject,
        /// Who demands it.
        authority: String,
        /// Why.
        reason: String,
        /// When it ends by itself, in Unix milliseconds of ledger time.
        until: Option<u64>,
    },
    /// Ends a hold.
    HoldLift {
        /// The hold.
        hold: String,
        /// Why.
        reason: String,
    },
    /// Appends an entry that corrects the latest one under its key, and marks that as wrong.
    RecordCorrect {
        /// The register.
        register: String,
        /// The number of the entry that is wrong.
        corrects: u64,
        /// The entry that is right.
        entry: NewEntry,
        /// Why.
        reason: String,
        /// Who demanded it, or found it.
        authority: String,
        /// The law that it rests on.
        legal_basis: String,
    },
    /// Has payloads ordered in a partition. Signed by nodes of as many of its members as the agreement asks for: each has stored them
    /// all, and found them valid and lawful where it stands.
    PrivateOrder {
        /// The partition.
        partition: String,
        /// The height at which the public state says what the payloads rely on.
        height: u64,
        /// What everybody sees of them, in order.
        parcels: Vec<OrderedParcel>,
    },
    /// Posts the root of a partition's state, as the signer, a member's node, has it.
    PartitionRoot {
        /// The partition.
        partition: String,
        /// The height of the block after which it is the root.
        height: u64,
        /// The root.
        root: Hash,
    },
    /// Puts on record that the signer, a member's node, gives nothing of a partition to another node, or to its own backup, which stands
    /// where the agreement does not allow it to be held.
    TransferRefuse {
        /// The partition.
        partition: String,
        /// The node that is given nothing; the signer itself, if that is its backup.
        node: PrincipalId,
        /// Where it, or the backup, stands.
        jurisdiction: Jurisdiction,
        /// What was about to leave.
        path: TransferPath,
    },
    /// Puts on record that sealed values of a record are read. Whoever holds them gives them only for such an act, once it is final.
    RecordRead {
        /// The register.
        register: String,
        /// The record's key.
        key: String,
        /// Which fields' values, sorted, each once.
        fields: Vec<String>,
        /// Whom the values are about, sorted, each once: the record itself, or those that its fields name. Values about others are not
        /// given.
        subjects: Vec<Subject>,
        /// What for.
        purpose: String,
        /// The power that it relies on.
        legal_basis: String,
        /// To whom the values are disclosed; none when the signer reads them.
        recipient: Option<Recipient>,
        /// The node that is asked, by its principal: no other gives the values, whoever brings it the read.
        node: PrincipalId,
    },
    /// Puts on record that somebody consents to reads of values about them.
    ConsentGive {
        /// Its id: a slug, unlike that of any consent before.
        consent: String,
        /// To whom it is given: an organisation.
        controller: String,
        /// Whose it is.
        subject: Subject,
        /// What is consented to.
        terms: ConsentTerms,
        /// How it was given.
        evidence: String,
    },
    /// Ends a consent: the next transaction does not stand on it any more.
    ConsentWithdraw {
        /// The consent.
        consent: String,
        /// Why, or how it was said.
        reason: String,
    },
    /// Puts on record that somebody who read, or gave away, values of an entry that was wrong knows that it is corrected.
    NoticeAcknowledge {
        /// The register.
        register: String,
        /// The key of both entries.
        key: String,
        /// The number of the entry that was wrong.
        corrects: u64,
        /// Who read it.
        reader: PrincipalId,
        /// To whom the reader had disclosed it, and has passed the notice on; none when it is the reader's own.
        recipient: Option<String>,
    },
}

impl Operation {
    /// Enrols a person, with a bare key of substantial assurance.
    pub fn enrol(name: impl Into<String>, roles: Roles, key: PublicKey) -> Self {
        let (kind, assurance) = (PrincipalKind::Person, Assurance::Substantial);
        Self::PrincipalEnrol { name: name.into(), kind, roles, key, assurance }
    }

    /// Its name.
    pub const fn name(&self) -> OperationName {
        match self {
            Self::RegisterCreate { .. } => OperationName::RegisterCreate,
            Self::RegisterPhase { .. } => OperationName::RegisterPhase,
            Self::EntryAppend { .. } => OperationName::EntryAppend,
            Self::RegisterImport { .. } => OperationName::RegisterImport,
            Self::OrganisationContact { .. } => OperationName::OrganisationContact,
            Self::PrincipalEnrol { .. } => OperationName::PrincipalEnrol,
            Self::PrincipalStatus { .. } => OperationName::PrincipalStatus,
            Self::PrincipalAmend { .. } => OperationName::PrincipalAmend,
            Self::PrincipalRecover { .. } => OperationName::PrincipalRecover,
            Self::RecoverySet { .. } => OperationName::RecoverySet,
            Self::KeyAdd { .. } => OperationName::KeyAdd,
            Self::KeyRotate { .. } => OperationName::KeyRotate,
            Self::KeyRetire { .. } => OperationName::KeyRetire,
            Self::AuthorityAdmit { .. } => OperationName::AuthorityAdmit,
            Self::AuthorityRetire { .. } => OperationName::AuthorityRetire,
            Self::KeyCertify { .. } => OperationName::KeyCertify,
            Self::RevocationPost { .. } => OperationName::RevocationPost,
            Self::MandateGrant { .. } => OperationName::MandateGrant,
            Self::MandateRevoke { .. } => OperationName::MandateRevoke,
            Self::ProposalSubmit { .. } => OperationName::ProposalSubmit,
            Self::ProposalWithdraw { .. } => OperationName::ProposalWithdraw,
            Self::BallotCast { .. } => OperationName::BallotCast,
            Self::ProposalObject { .. } => OperationName::ProposalObject,
            Self::RegisterPolicy { .. } => OperationName::RegisterPolicy,
            Self::PrivateOrder { .. } => OperationName::PrivateOrder,
            Self::PartitionRoot { .. } => OperationName::PartitionRoot,
            Self::TransferRefuse { .. } => OperationName::TransferRefuse,
            Self::NodeRegister { .. } => OperationName::NodeRegister,
            Self::NodeRetire { .. } => OperationName::NodeRetire,
            Self::ErasureOrder { .. } => OperationName::ErasureOrder,
            Self::ErasureReceipt { .. } => OperationName::ErasureReceipt,
            Self::HoldPlace { .. } => OperationName::HoldPlace,
            Self::HoldLift { .. } => OperationName::HoldLift,
            Self::RecordCorrect { .. } => OperationName::RecordCorrect,
            Self::RecordRead { .. } => OperationName::RecordRead,
            Self::ConsentGive { .. } => OperationName::ConsentGive,
            Self::ConsentWithdraw { .. } => OperationName::ConsentWithdraw,
            Self::NoticeAcknowledge { .. } => OperationName::NoticeAcknowledge,
        }
    }

    /// To whom it discloses what it reads, if it does.
    pub const fn recipient(&self) -> Option<&Recipient> {
        match self {
            Self::RecordRead { recipient, .. } => recipient.as_ref(),
            _ => None,
        }
    }

    /// The register it is about, if any.
    pub fn register(&self) -> Option<&str> {
        match self {
            Self::RegisterCreate { register, .. }
            | Self::RegisterPhase { register, .. }
            | Self::EntryAppend { register, .. }
            | Self::RegisterImport { register, .. }
            | Self::RegisterPolicy { register, .. }
            | Self::RecordRead { register, .. }
            | Self::NoticeAcknowledge { register, .. }
            | Self::RecordCorrect { register, .. } => Some(register),
            Self::ErasureOrder { subject, .. }
            | Self::HoldPlace { subject, .. }
            | Self::ConsentGive { subject, .. } => Some(subject.register()),
            Self::OrganisationContact { .. }
            | Self::PrincipalEnrol { .. }
            | Self::PrincipalStatus { .. }
            | Self::PrincipalAmend { .. }
            | Self::PrincipalRecover { .. }
            | Self::RecoverySet { .. }
            | Self::KeyAdd { .. }
            | Self::KeyRotate { .. }
            | Self::KeyRetire { .. }
            | Self::AuthorityAdmit { .. }
            | Self::AuthorityRetire { .. }
            | Self::KeyCertify { .. }
            | Self::RevocationPost { .. }
            | Self::MandateGrant { .. }
            | Self::MandateRevoke { .. }
            | Self::ProposalSubmit { .. }
            | Self::ProposalWithdraw { .. }
            | Self::PrivateOrder { .. }
            | Self::PartitionRoot { .. }
            | Self::TransferRefuse { .. }
            | Self::BallotCast { .. }
            | Self::ProposalObject { .. }
            | Self::NodeRegister { .. }
            | Self::NodeRetire { .. }
            | Self::ErasureReceipt { .. }
            | Self::HoldLift { .. }
            | Self::ConsentWithdraw { .. } => None,
        }
    }

    /// Entries that it appends or imports.
    pub fn entry_count(&self) -> usize {
        match self {
            Self::EntryAppend { entries, .. } => entries.len(),
            Self::RegisterImport { entries, .. } => entries.len(),
            Self::RecordCorrect { .. } => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn names_of_values_are_read_back() {
        for name in OperationName::ALL {
            assert_eq!(name.as_str().parse(), Ok(*name));
        }
        assert_eq!("x".parse::<Phase>().unwrap_err(), "unknown phase: use one of draft, live, superseded, closed");
    }
}
