//! What a proposal would change, once it is accepted and its time has come.
//!
//! In CBOR a change is an array: the name of its kind, then its fields in the order of the type. In JSON and TOML, where
//! people write it, it is an object whose member `change` is that name.

pub mod words;

use crate::{
    authority::AuthorityTerms,
    cbor,
    hash::Hash,
    limits::{FIELDS_MAX, POLICIES_PER_CHANGE_MAX, REASON_BYTES_MAX, TEXT_BYTES_MAX, VALIDATORS_MAX, X509_BYTES_MAX},
    names::names,
    network::{GenesisOrganisation, GenesisValidator},
    operation::{Field, validate_name},
    organisation::{Jurisdiction, Registration, legal_name},
    partition::AgreementTerms,
    policy::{PolicyId, PolicyText},
    rulebook::RulebookChange,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use std::fmt;
use words::Shown;

names! {
    /// What kind of thing a change changes: the rulebook has one rule for each.
    pub enum ChangeKind, "kind of change" {
        /// [`Change::OrganisationAdmit`].
        OrganisationAdmit = "organisation-admit",
        /// [`Change::OrganisationAmend`].
        OrganisationAmend = "organisation-amend",
        /// [`Change::OrganisationSuspend`].
        OrganisationSuspend = "organisation-suspend",
        /// [`Change::OrganisationResume`].
        OrganisationResume = "organisation-resume",
        /// [`Change::OrganisationExpel`].
        OrganisationExpel = "organisation-expel",
        /// [`Change::AuthorityAdmit`].
        AuthorityAdmit = "authority-admit",
        /// [`Change::AuthorityRetire`].
        AuthorityRetire = "authority-retire",
        /// [`Change::Validators`].
        Validators = "validators",
        /// [`Change::Policies`].
        Policies = "policies",
        /// [`Change::RegisterCreate`].
        RegisterCreate = "register-create",
        /// [`Change::RegisterEntrust`].
        RegisterEntrust = "register-entrust",
        /// [`Change::RegisterClose`].
        RegisterClose = "register-close",
        /// [`Change::Limit`].
        Limit = "limit",
        /// [`Change::ProtocolVersion`].
        ProtocolVersion = "protocol-version",
        /// [`Change::Rulebook`].
        Rulebook = "rulebook",
        /// [`Change::PartitionOpen`].
        PartitionOpen = "partition-open",
        /// [`Change::PartitionAmend`].
        PartitionAmend = "partition-amend",
        /// [`Change::PartitionClose`].
        PartitionClose = "partition-close",
    }
}

names! {
    /// A limit that the network sets itself, below those of the program.
    pub enum LimitName, "limit" {
        /// Principals that one organisation may enrol.
        PrincipalsPerOrganisation = "principals-per-organisation",
        /// Registers on the ledger.
        Registers = "registers",
        /// Proposals of one organisation that are not yet decided or carried out.
        ProposalsPerOrganisation = "proposals-per-organisation",
    }
}

/// One change of the network's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Admits an organisation with its first principals.
    OrganisationAdmit {
        /// The organisation.
        organisation: GenesisOrganisation,
    },
    /// Says anew who an organisation is; what is left out stays as it is. How it is reached, it says itself.
    OrganisationAmend {
        /// Its id.
        organisation: String,
        /// What people call it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its name in law.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        legal_name: Option<String>,
        /// Where it is registered, and as what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        registration: Option<Registration>,
        /// Whose law it is under.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jurisdiction: Option<Jurisdiction>,
    },
    /// Suspends an organisation: what its principals sign is refused until it is resumed.
    OrganisationSuspend {
        /// Its id.
        organisation: String,
        /// Why.
        reason: String,
    },
    /// Ends a suspension.
    OrganisationResume {
        /// The organisation's id.
        organisation: String,
    },
    /// Ends a membership for good.
    OrganisationExpel {
        /// The organisation's id.
        organisation: String,
        /// Why.
        reason: String,
    },
    /// Puts a certificate authority on the trust list, for one organisation.
    AuthorityAdmit {
        /// The organisation whose keys it certifies.
        organisation: String,
        /// Its X.509 certificate in DER.
        #[serde(with = "hex_text")]
        certificate: Vec<u8>,
        /// What it may say here.
        #[serde(default)]
        terms: AuthorityTerms,
    },
    /// Takes a certificate authority off the trust list.
    AuthorityRetire {
        /// The organisation whose keys it certified.
        organisation: String,
        /// SHA-256 of its certificate.
        authority: Hash,
    },
    /// Changes who orders the blocks.
    Validators {
        /// Those that join.
        #[serde(default)]
        add: Vec<GenesisValidator>,
        /// Those that leave.
        #[serde(default)]
        remove: Vec<GenesisValidator>,
    },
    /// Changes the policies of the public partition, or those of its registers.
    Policies {
        /// Those that are put in force.
        #[serde(default)]
        put: Vec<PolicyText>,
        /// The ids of those that end.
        #[serde(default)]
        remove: Vec<PolicyId>,
    },
    /// Creates a register.
    RegisterCreate {
        /// Its name.
        register: String,
        /// The organisation that becomes its custodian.
        custodian: String,
        /// What it lists.
        text: String,
        /// Its schema.
        fields: Vec<Field>,
    },
    /// Entrusts a register to another custodian, whatever became of the one that it had.
    RegisterEntrust {
        /// Its name.
        register: String,
        /// The organisation that becomes its custodian.
        custodian: String,
    },
    /// Ends a register: it becomes read only.
    RegisterClose {
        /// Its name.
        register: String,
        /// The register that replaces it.
        #[serde(default)]
        successor: Option<String>,
    },
    /// Sets a limit.
    Limit {
        /// Which.
        limit: LimitName,
        /// Its new value.
        value: u64,
    },
    /// Sets the version of the protocol by which blocks are applied: programs that do not know it stop.
    ProtocolVersion {
        /// The version.
        version: u32,
    },
    /// Changes the rulebook itself.
    Rulebook {
        /// What of it.
        rulebook: RulebookChange,
    },
    /// Opens a partition by an agreement, if every member votes for it.
    PartitionOpen {
        /// The agreement.
        agreement: AgreementTerms,
    },
    /// Puts another agreement in the place of a partition's, if every member by either of them votes for it.
    PartitionAmend {
        /// The agreement from then on.
        agreement: AgreementTerms,
    },
    /// Ends a partition for good, if every member votes for it: nothing is ordered in it any more.
    PartitionClose {
        /// Its name.
        partition: String,
        /// Why.
        reason: String,
    },
}

impl ChangeKind {
    /// Elements of the change's array, the name included.
    const fn arity(self) -> u64 {
        match self {
            Self::OrganisationAdmit
            | Self::OrganisationResume
            | Self::ProtocolVersion
            | Self::Rulebook
            | Self::PartitionOpen
            | Self::PartitionAmend => 2,
            Self::OrganisationSuspend
            | Self::OrganisationExpel
            | Self::AuthorityRetire
            | Self::Validators
            | Self::Policies
            | Self::RegisterEntrust
            | Self::RegisterClose
            | Self::Limit
            | Self::PartitionClose => 3,
            Self::AuthorityAdmit => 4,
            Self::RegisterCreate => 5,
            Self::OrganisationAmend => 6,
        }
    }

    /// Whether changes of this kind are about organisations that could propose or decide them alone.
    pub const fn concerns_organisations(self) -> bool {
        !matches!(self, Self::Policies | Self::Limit | Self::ProtocolVersion | Self::Rulebook)
    }

    /// Whether it takes effect only if every organisation that it is about has voted for it, whatever the rulebook says.
    pub const fn is_by_consent(self) -> bool {
        matches!(self, Self::PartitionOpen | Self::PartitionAmend | Self::PartitionClose)
    }

    /// Whether an operation does the same for the signer's own organisation, if the rule allows that.
    pub const fn has_direct_operation(self) -> bool {
        matches!(self, Self::AuthorityAdmit | Self::AuthorityRetire | Self::RegisterCreate | Self::RegisterClose)
    }
}

impl Change {
    /// Its kind.
    pub const fn kind(&self) -> ChangeKind {
        match self {
            Self::OrganisationAdmit { .. } => ChangeKind::OrganisationAdmit,
            Self::OrganisationAmend { .. } => ChangeKind::OrganisationAmend,
            Self::OrganisationSuspend { .. } => ChangeKind::OrganisationSuspend,
            Self::OrganisationResume { .. } => ChangeKind::OrganisationResume,
            Self::OrganisationExpel { .. } => ChangeKind::OrganisationExpel,
            Self::AuthorityAdmit { .. } => ChangeKind::AuthorityAdmit,
            Self::AuthorityRetire { .. } => ChangeKind::AuthorityRetire,
            Self::Validators { .. } => ChangeKind::Validators,
            Self::Policies { .. } => ChangeKind::Policies,
            Self::RegisterCreate { .. } => ChangeKind::RegisterCreate,
            Self::RegisterEntrust { .. } => ChangeKind::RegisterEntrust,
            Self::RegisterClose { .. } => ChangeKind::RegisterClose,
            Self::Limit { .. } => ChangeKind::Limit,
            Self::ProtocolVersion { .. } => ChangeKind::ProtocolVersion,
            Self::Rulebook { .. } => ChangeKind::Rulebook,
            Self::PartitionOpen { .. } => ChangeKind::PartitionOpen,
            Self::PartitionAmend { .. } => ChangeKind::PartitionAmend,
            Self::PartitionClose { .. } => ChangeKind::PartitionClose,
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
mod hex_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl fmt::Display for Change {
    /// The change in words, for people who vote on it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrganisationAdmit { organisation } => {
                let names: Vec<&str> = organisation.principals.iter().map(|each| each.name.as_str()).collect();
                let (id, name) = (&organisation.id, Shown(&organisation.name));
                write!(f, "admit organisation {id} ({name}) with {}", names.join(", "))
            }
            Self::OrganisationAmend { organisation, name, legal_name, registration, jurisdiction } => {
                let parts = [
                    name.as_ref().map(|name| format!("name {}", Shown(name))),
                    legal_name.as_ref().map(|name| format!("legal name {}", Shown(name))),
                    registration.as_ref().map(|registration| format!("registration {registration}")),
                    jurisdiction.as_ref().map(|jurisdiction| format!("jurisdiction {jurisdiction}")),
                ];
                let parts: Vec<String> = parts.into_iter().flatten().collect();
                write!(f, "amend organisation {organisation}: {}", parts.join(", "))
            }
            Self::OrganisationSuspend { organisation, reason } => {
                write!(f, "suspend organisation {organisation}: {}", Shown(reason))
            }
            Self::OrganisationResume { organisation } => write!(f, "end the suspension of organisation {organisation}"),
            Self::OrganisationExpel { organisation, reason } => {
                write!(f, "expel organisation {organisation}: {}", Shown(reason))
            }
            Self::AuthorityAdmit { organisation, certificate, .. } => {
                write!(f, "trust certificate authority {} for {organisation}", Hash::of(&[certificate]))
            }
            Self::AuthorityRetire { organisation, authority } => {
                write!(f, "no longer trust certificate authority {authority} for {organisation}")
            }
            Self::Validators { add, remove } => {
                let of = |validators: &[GenesisValidator]| {
                    validators.iter().map(|each| each.organisation.as_str()).collect::<Vec<_>>().join(", ")
                };
                match (add.as_slice(), remove.as_slice()) {
                    (add, []) => write!(f, "add validators of {}", of(add)),
                    ([], remove) => write!(f, "remove validators of {}", of(remove)),
                    (add, remove) => write!(f, "add validators of {}; remove validators of {}", of(add), of(remove)),
                }
            }
            Self::Policies { put, remove } => {
                let put: Vec<&str> = put.iter().map(|policy| policy.id.as_str()).collect();
                let remove: Vec<&str> = remove.iter().map(PolicyId::as_str).collect();
                match (put.is_empty(), remove.is_empty()) {
                    (false, true) => write!(f, "put policies in force: {}", put.join(", ")),
                    (true, _) => write!(f, "end policies: {}", remove.join(", ")),
                    (false, false) => {
                        write!(f, "put policies in force: {}; end: {}", put.join(", "), remove.join(", "))
                    }
                }
            }
            Self::RegisterCreate { register, custodian, .. } => {
                write!(f, "create register {register}, kept by {custodian}")
            }
            Self::RegisterEntrust { register, custodian } => write!(f, "entrust register {register} to {custodian}"),
            Self::RegisterClose { register, successor: None } => write!(f, "close register {register}"),
            Self::RegisterClose { register, successor: Some(successor) } => {
                write!(f, "close register {register} in favour of {successor}")
            }
            Self::Limit { limit, value } => write!(f, "set the limit {limit} to {value}"),
            Self::ProtocolVersion { version } => write!(f, "go on by version {version} of the protocol"),
            Self::Rulebook { rulebook } => {
                write!(f, "change the rulebook: {}", parts_of(rulebook).join(", "))
            }
            Self::PartitionOpen { agreement } => write!(f, "open partition {agreement}"),
            Self::PartitionAmend { agreement } => write!(f, "amend partition {agreement}"),
            Self::PartitionClose { partition, reason } => write!(f, "close partition {partition}: {}", Shown(reason)),
        }
    }
}

/// What of the rulebook changes.
fn parts_of(rulebook: &RulebookChange) -> Vec<String> {
    let mut parts: Vec<String> = rulebook.rules.iter().map(|rule| format!("the rule for {}", rule.kind)).collect();
    parts.extend(rulebook.weights.is_some().then(|| "the weights of votes".to_owned()));
    let policies = rulebook.register_policies_max;
    parts.extend(policies.map(|most| format!("policies a custodian may set alone ({most})")));
    parts
}

fn named(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    let at = d.position();
    let name = d.str()?;
    validate_name(name).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(name.to_owned())
}

fn reasoned(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    cbor::words(d, 1..=REASON_BYTES_MAX, "a reason").map(str::to_owned)
}

impl<C> Encode<C> for Change {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(self.kind().arity())?.encode(self.kind())?;
        match self {
            Self::OrganisationAdmit { organisation } => e.encode(organisation)?.ok(),
            Self::OrganisationAmend { organisation, name, legal_name, registration, jurisdiction } => {
                e.str(organisation)?.encode(name.as_deref())?.encode(legal_name.as_deref())?;
                e.encode(registration)?.encode(jurisdiction)?.ok()
            }
            Self::OrganisationSuspend { organisation, reason } | Self::OrganisationExpel { organisation, reason } => {
                e.str(organisation)?.str(reason)?.ok()
            }
            Self::OrganisationResume { organisation } => e.str(organisation)?.ok(),
            Self::AuthorityAdmit { organisation, certificate, terms } => {
                e.str(organisation)?.bytes(certificate)?.encode(terms)?.ok()
            }
            Self::AuthorityRetire { organisation, authority } => e.str(organisation)?.encode(authority)?.ok(),
            Self::Validators { add, remove } => {
                cbor::write_values(e, add)?;
                cbor::write_values(e, remove)
            }
            Self::Policies { put, remove } => {
                cbor::write_values(e, put)?;
                cbor::write_values(e, remove)
            }
            Self::RegisterCreate { register, custodian, text, fields } => {
                e.str(register)?.str(custodian)?.str(text)?;
                cbor::write_values(e, fields)
            }
            Self::RegisterEntrust { register, custodian } => e.str(register)?.str(custodian)?.ok(),
            Self::RegisterClose { register, successor } => e.str(register)?.encode(successor.as_deref())?.ok(),
            Self::Limit { limit, value } => e.encode(limit)?.u64(*value)?.ok(),
            Self::ProtocolVersion { version } => e.u32(*version)?.ok(),
            Self::Rulebook { rulebook } => e.encode(rulebook)?.ok(),
            Self::PartitionOpen { agreement } | Self::PartitionAmend { agreement } => e.encode(agreement)?.ok(),
            Self::PartitionClose { partition, reason } => e.str(partition)?.str(reason)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Change {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let arity = d.array()?;
        let kind: ChangeKind = d.decode()?;
        if arity != Some(kind.arity()) {
            let message = format!("change {kind} must be an array of {} elements", kind.arity());
            return Err(decode::Error::message(message).at(at));
        }
        Ok(match kind {
            ChangeKind::OrganisationAdmit => Self::OrganisationAdmit { organisation: d.decode()? },
            ChangeKind::OrganisationAmend => Self::OrganisationAmend {
                organisation: named(d)?,
                name: cbor::optional(d, |d| {
                    cbor::text(d, 1..=TEXT_BYTES_MAX, "the name of an organisation").map(str::to_owned)
                })?,
                legal_name: cbor::optional(d, legal_name)?,
                registration: cbor::optional(d, |d| d.decode())?,
                jurisdiction: cbor::optional(d, |d| d.decode())?,
            },
            ChangeKind::OrganisationSuspend => {
                Self::OrganisationSuspend { organisation: named(d)?, reason: reasoned(d)? }
            }
            ChangeKind::OrganisationResume => Self::OrganisationResume { organisation: named(d)? },
            ChangeKind::OrganisationExpel => Self::OrganisationExpel { organisation: named(d)?, reason: reasoned(d)? },
            ChangeKind::AuthorityAdmit => Self::AuthorityAdmit {
                organisation: named(d)?,
                certificate: cbor::bytes(d, 1..=X509_BYTES_MAX, "a certificate")?.to_vec(),
                terms: d.decode()?,
            },
            ChangeKind::AuthorityRetire => Self::AuthorityRetire { organisation: named(d)?, authority: d.decode()? },
            ChangeKind::Validators => Self::Validators {
                add: cbor::values(d, 0..=VALIDATORS_MAX, "the validators that join")?,
                remove: cbor::values(d, 0..=VALIDATORS_MAX, "the validators that leave")?,
            },
            ChangeKind::Policies => Self::Policies {
                put: cbor::values(d, 0..=POLICIES_PER_CHANGE_MAX, "the policies of a change")?,
                remove: cbor::values(d, 0..=POLICIES_PER_CHANGE_MAX, "the policies that end")?,
            },
            ChangeKind::RegisterCreate => Self::RegisterCreate {
                register: named(d)?,
                custodian: named(d)?,
                text: cbor::text(d, 0..=TEXT_BYTES_MAX, "a description")?.to_owned(),
                fields: cbor::values(d, 0..=FIELDS_MAX, "the fields of a register")?,
            },
            ChangeKind::RegisterEntrust => Self::RegisterEntrust { register: named(d)?, custodian: named(d)? },
            ChangeKind::RegisterClose => {
                Self::RegisterClose { register: named(d)?, successor: cbor::optional(d, named)? }
            }
            ChangeKind::Limit => Self::Limit { limit: d.decode()?, value: d.u64()? },
            ChangeKind::ProtocolVersion => Self::ProtocolVersion { version: d.u32()? },
            ChangeKind::Rulebook => Self::Rulebook { rulebook: d.decode()? },
            ChangeKind::PartitionOpen => Self::PartitionOpen { agreement: d.decode()? },
            ChangeKind::PartitionAmend => Self::PartitionAmend { agreement: d.decode()? },
            ChangeKind::PartitionClose => Self::PartitionClose { partition: named(d)?, reason: reasoned(d)? },
        })
    }
}
