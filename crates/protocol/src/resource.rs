//! What an operation is about, named: the things that an auditor asks for.
//!
//! ```text
//! register:country     record:country/GB     organisation:hmrc     principal:hmrc/alice
//! authority:<SHA-256>  policy:custodians     proposal:admit-ofsted   mandate:hmrc/alice/filing
//! partition:school-health   erasure:case-42   hold:inquiry-7   consent:p-17-research
//! ```

use crate::{
    change::Change,
    hash::Hash,
    identifier::MandateId,
    names::{names, serde_as_text},
    operation::{EntryKind, NameError, Operation, PrincipalId, validate_key, validate_name},
    policy::PolicyId,
    seal::Subject,
};
use std::{fmt, str::FromStr};

names! {
    /// What sort of thing a resource is.
    pub enum ResourceKind, "kind of resource" {
        /// A register: its definition, life and entries.
        Register = "register",
        /// A record: the register, `/`, and the key of its user entries.
        Record = "record",
        /// An organisation: what is added to it.
        Organisation = "organisation",
        /// A principal: its keys.
        Principal = "principal",
        /// A certificate authority: SHA-256 of its certificate.
        Authority = "authority",
        /// A policy: its id.
        Policy = "policy",
        /// A proposal: its id.
        Proposal = "proposal",
        /// A mandate: its grantor, `/`, and its name.
        Mandate = "mandate",
        /// A partition: its agreement, and that something was ordered in it.
        Partition = "partition",
        /// An order of erasure: its id.
        Erasure = "erasure",
        /// A legal hold: its id.
        Hold = "hold",
        /// A consent: its id.
        Consent = "consent",
    }
}

/// A thing that an operation is about. As text: its kind, `:`, its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    kind: ResourceKind,
    name: String,
}

/// A text that names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// No colon, or no such kind before it.
    #[error(
        "`{0}` is not a resource: write register:NAME, record:REGISTER/KEY, organisation:NAME, \
         principal:ORGANISATION/NAME, authority:SHA-256, policy:ID, \
         proposal:ID, mandate:ORGANISATION/NAME/MANDATE, partition:NAME, erasure:ID, hold:ID or consent:ID"
    )]
    Kind(String),
    /// The name breaks the grammar of its kind.
    #[error("resource: {0}")]
    Name(#[from] NameError),
}

impl Resource {
    fn new(kind: ResourceKind, name: impl fmt::Display) -> Self {
        Self { kind, name: name.to_string() }
    }

    /// The proposal of this id.
    ///
    /// # Errors
    /// When the id is not a slug.
    pub fn proposal(id: &str) -> Result<Self, NameError> {
        validate_name(id)?;
        Ok(Self::new(ResourceKind::Proposal, id))
    }

    /// An organisation.
    pub fn organisation(id: &str) -> Self {
        Self::new(ResourceKind::Organisation, id)
    }

    /// A principal.
    pub fn principal(id: &PrincipalId) -> Self {
        Self::new(ResourceKind::Principal, id)
    }

    /// What sort of thing it is.
    pub const fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// Its name among those of its kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The record that a subject is.
    pub fn subject(subject: &Subject) -> Self {
        Self::of_record(subject.register(), subject.key())
    }

    /// A record.
    pub fn of_record(register: &str, key: &str) -> Self {
        Self::new(ResourceKind::Record, format_args!("{register}/{key}"))
    }

    /// The register and key of a record.
    pub fn record(&self) -> Option<(&str, &str)> {
        self.name.split_once('/').filter(|_| self.kind == ResourceKind::Record)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

impl FromStr for Resource {
    type Err = ResourceError;

    fn from_str(text: &str) -> Result<Self, ResourceError> {
        let refused = || ResourceError::Kind(text.chars().take(80).collect());
        let (kind, name) = text.split_once(':').ok_or_else(refused)?;
        let kind: ResourceKind = kind.parse().map_err(|_| refused())?;
        match kind {
            ResourceKind::Register
            | ResourceKind::Organisation
            | ResourceKind::Proposal
            | ResourceKind::Partition
            | ResourceKind::Erasure
            | ResourceKind::Hold
            | ResourceKind::Consent => validate_name(name)?,
            ResourceKind::Policy => drop(name.parse::<PolicyId>()?),
            ResourceKind::Record => {
                let (register, key) = name.split_once('/').ok_or_else(refused)?;
                validate_name(register)?;
                validate_key(EntryKind::User, key)?;
            }
            ResourceKind::Principal => drop(name.parse::<PrincipalId>()?),
            ResourceKind::Mandate => drop(name.parse::<MandateId>()?),
            ResourceKind::Authority => drop(name.parse::<Hash>().map_err(|_| refused())?),
        }
        Ok(Self::new(kind, name))
    }
}

serde_as_text!(Resource);

impl Operation {
    /// What the operation is about when `signer` asks for it, the widest first; a record for each user entry, twice where
    /// an operation has two of one key.
    pub fn resources(&self, signer: &PrincipalId) -> Vec<Resource> {
        use ResourceKind::{Authority, Mandate, Organisation, Policy, Principal, Proposal, Record, Register};
        let own = || Resource::new(Organisation, signer.organisation());
        let record = |register: &str, key: &str| Resource::new(Record, format_args!("{register}/{key}"));
        match self {
            Self::RegisterCreate { register, .. } => vec![Resource::new(Register, register)],
            Self::RegisterPhase { register, successor, .. } => {
                [register].into_iter().chain(successor).map(|name| Resource::new(Register, name)).collect()
            }
            Self::EntryAppend { register, entries } => {
                let records = entries.iter().map(|entry| record(register, &entry.key));
                [Resource::new(Register, register)].into_iter().chain(records).collect()
            }
            Self::RegisterImport { register, entries, .. } => {
                let user = entries.iter().filter(|entry| entry.kind == EntryKind::User);
                let records = user.map(|entry| record(register, &entry.key));
                [Resource::new(Register, register)].into_iter().chain(records).collect()
            }
            Self::PrincipalEnrol { name, .. } => {
                vec![own(), Resource::new(Principal, format_args!("{}/{name}", signer.organisation()))]
            }
            Self::PrincipalStatus { principal, .. }
            | Self::PrincipalAmend { principal, .. }
            | Self::PrincipalRecover { principal, .. }
            | Self::KeyAdd { principal, .. }
            | Self::KeyRotate { principal, .. }
            | Self::KeyRetire { principal, .. } => vec![Resource::new(Principal, principal)],
            Self::OrganisationContact { .. } | Self::RecoverySet { .. } => vec![own()],
            Self::NodeRegister { node, .. } | Self::NodeRetire { node, .. } => {
                vec![own(), Resource::new(Principal, node)]
            }
            Self::MandateGrant { name, terms } => {
                let granted = Resource::new(Mandate, format_args!("{signer}/{name}"));
                let agents = terms.agents.iter().map(|agent| Resource::new(Principal, agent));
                [granted].into_iter().chain(agents).collect()
            }
            Self::MandateRevoke { mandate } => vec![Resource::new(Mandate, mandate)],
            Self::KeyCertify { principal, authority, .. } => {
                vec![Resource::new(Principal, principal), Resource::new(Authority, authority)]
            }
            Self::AuthorityAdmit { certificate, .. } => {
                vec![own(), Resource::new(Authority, Hash::of(&[certificate]))]
            }
            Self::AuthorityRetire { authority } | Self::RevocationPost { authority, .. } => {
                vec![own(), Resource::new(Authority, authority)]
            }
            Self::ProposalSubmit { proposal, changes, .. } => {
                let changed = changes.iter().flat_map(Change::resources);
                [Resource::new(Proposal, proposal)].into_iter().chain(changed).collect()
            }
            Self::RegisterPolicy { register, change } => {
                let ids = change.put.iter().map(|policy| &policy.id).chain(&change.remove);
                let policies = ids.map(|id| Resource::new(Policy, id));
                [Resource::new(Register, register)].into_iter().chain(policies).collect()
            }
            Self::ProposalWithdraw { proposal }
            | Self::BallotCast { proposal, .. }
            | Self::ProposalObject { proposal, .. } => vec![Resource::new(Proposal, proposal)],
            Self::ErasureOrder { .. }
            | Self::ErasureReceipt { .. }
            | Self::HoldPlace { .. }
            | Self::HoldLift { .. }
            | Self::RecordRead { .. }
            | Self::PrivateOrder { .. }
            | Self::PartitionRoot { .. }
            | Self::TransferRefuse { .. }
            | Self::ConsentGive { .. }
            | Self::ConsentWithdraw { .. }
            | Self::NoticeAcknowledge { .. }
            | Self::RecordCorrect { .. } => self.privacy_resources(),
        }
    }

    /// What is read, erased, held, corrected and consented to.
    fn privacy_resources(&self) -> Vec<Resource> {
        use ResourceKind::{Consent, Erasure, Hold, Organisation, Partition, Principal, Record, Register};
        let record = |register: &str, key: &str| Resource::new(Record, format_args!("{register}/{key}"));
        let about = |thing: Resource, controller: &str, subject: &Subject| {
            vec![thing, Resource::new(Organisation, controller), record(subject.register(), subject.key())]
        };
        match self {
            Self::RecordRead { register, key, subjects, .. } => {
                let about = subjects.iter().filter(|subject| (subject.register(), subject.key()) != (register, key));
                let about = about.map(|subject| record(subject.register(), subject.key()));
                [Resource::new(Register, register), record(register, key)].into_iter().chain(about).collect()
            }
            Self::PrivateOrder { partition, .. } | Self::PartitionRoot { partition, .. } => {
                vec![Resource::new(Partition, partition)]
            }
            Self::TransferRefuse { partition, node, .. } => {
                vec![Resource::new(Partition, partition), Resource::new(Principal, node)]
            }
            Self::ErasureOrder { order, controller, subject, .. } => {
                about(Resource::new(Erasure, order), controller, subject)
            }
            Self::ErasureReceipt { order, .. } => vec![Resource::new(Erasure, order)],
            Self::HoldPlace { hold, controller, subject, .. } => about(Resource::new(Hold, hold), controller, subject),
            Self::HoldLift { hold, .. } => vec![Resource::new(Hold, hold)],
            Self::ConsentGive { consent, controller, subject, .. } => {
                about(Resource::new(Consent, consent), controller, subject)
            }
            Self::ConsentWithdraw { consent, .. } => vec![Resource::new(Consent, consent)],
            Self::RecordCorrect { register, entry, .. } => {
                vec![Resource::new(Register, register), record(register, &entry.key)]
            }
            Self::NoticeAcknowledge { register, key, reader, .. } => {
                vec![Resource::new(Register, register), record(register, key), Resource::new(Principal, reader)]
            }
            _ => Vec::new(),
        }
    }
}

impl Change {
    /// What the change is about; nothing when it is about the network as a whole.
    pub fn resources(&self) -> Vec<Resource> {
        use ResourceKind::{Authority, Organisation, Partition, Policy, Register};
        let authority = |organisation: &str, id: &dyn fmt::Display| {
            vec![Resource::new(Organisation, organisation), Resource::new(Authority, id)]
        };
        match self {
            Self::OrganisationAdmit { organisation } => vec![Resource::new(Organisation, &organisation.id)],
            Self::OrganisationAmend { organisation, .. }
            | Self::OrganisationSuspend { organisation, .. }
            | Self::OrganisationResume { organisation }
            | Self::OrganisationExpel { organisation, .. } => vec![Resource::new(Organisation, organisation)],
            Self::AuthorityAdmit { organisation, certificate, .. } => {
                authority(organisation, &Hash::of(&[certificate]))
            }
            Self::AuthorityRetire { organisation, authority: id } => authority(organisation, id),
            Self::Validators { add, remove } => {
                let both = add.iter().chain(remove);
                both.map(|validator| Resource::new(Organisation, &validator.organisation)).collect()
            }
            Self::Policies { put, remove } => {
                let ids = put.iter().map(|policy| &policy.id).chain(remove);
                ids.map(|id| Resource::new(Policy, id)).collect()
            }
            Self::RegisterCreate { register, custodian, .. } | Self::RegisterEntrust { register, custodian } => {
                vec![Resource::new(Register, register), Resource::new(Organisation, custodian)]
            }
            Self::RegisterClose { register, .. } => vec![Resource::new(Register, register)],
            Self::PartitionOpen { agreement } | Self::PartitionAmend { agreement } => {
                let members = agreement.members.iter().map(|member| Resource::new(Organisation, member));
                [Resource::new(Partition, &agreement.partition)].into_iter().chain(members).collect()
            }
            Self::PartitionClose { partition, .. } => vec![Resource::new(Partition, partition)],
            Self::Limit { .. } | Self::ProtocolVersion { .. } | Self::Rulebook { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::operation::ImportedEntry;

    #[test]
    fn a_resource_is_read_back_and_nothing_else_is_one() {
        let hash = "ab".repeat(32);
        for text in [
            "register:country",
            "record:country/GB",
            "record:country/a/b",
            "organisation:hmrc",
            "principal:hmrc/alice",
            &format!("authority:{hash}"),
            "policy:custodians",
            "proposal:admit-ofsted",
        ] {
            assert_eq!(text.parse::<Resource>().unwrap().to_string(), text);
        }
        assert_eq!("record:country/a/b".parse::<Resource>().unwrap().record(), Some(("country", "a/b")));
        assert_eq!("principal:hmrc/alice".parse::<Resource>().unwrap().record(), None);
        for text in ["", "country", "register:", "register:Country", "record:country", "record:country/", "thing:a"] {
            assert!(text.parse::<Resource>().is_err(), "{text}");
        }
        for text in ["principal:hmrc", "authority:ab", "record:Country/GB"] {
            assert!(text.parse::<Resource>().is_err(), "{text}");
        }
        let error = "thing:a".parse::<Resource>().unwrap_err().to_string();
        assert!(error.starts_with("`thing:a` is not a resource: write register:NAME"), "{error}");
    }

    #[test]
    fn each_operation_says_what_it_is_about() {
        let signer: PrincipalId = "hmrc/alice".parse().unwrap();
        let said = |operation: Operation| {
            operation.resources(&signer).iter().map(Resource::to_string).collect::<Vec<_>>().join(" ")
        };
        let imported = |kind, key: &str| ImportedEntry { kind, key: key.to_owned(), timestamp: 0, items: Vec::new() };
        let register = || "country".to_owned();
        let entries = vec![imported(EntryKind::System, "name"), imported(EntryKind::User, "GB")];
        let root = Hash([0; 32]);
        assert_eq!(
            said(Operation::RegisterImport { register: register(), user_first: 1, system_first: 1, entries, root }),
            "register:country record:country/GB"
        );
        let phase = crate::operation::Phase::Superseded;
        let successor = Some("nation".to_owned());
        assert_eq!(
            said(Operation::RegisterPhase { register: register(), phase, successor }),
            "register:country register:nation"
        );
        let key = crate::key::PublicKey::Ed25519([1; 32]);
        assert_eq!(
            said(Operation::enrol("bob", crate::Roles::registrar(), key)),
            "organisation:hmrc principal:hmrc/bob"
        );
        assert_eq!(
            said(Operation::AuthorityRetire { authority: root }),
            format!("organisation:hmrc authority:{}", "00".repeat(32))
        );
        let changes = vec![
            Change::OrganisationResume { organisation: "dvla".to_owned() },
            Change::Policies { put: Vec::new(), remove: vec!["custodians".parse().unwrap()] },
        ];
        let proposal = "p-1".to_owned();
        let (title, text) = ("Title".to_owned(), crate::RuleText::Hash(root));
        assert_eq!(
            said(Operation::ProposalSubmit { proposal, title, text, changes, effect_height: None }),
            "proposal:p-1 organisation:dvla policy:custodians"
        );
    }
}
