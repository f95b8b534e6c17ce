//! A network of four with fixed keys, and one of each thing it exchanges.

use tallystick_protocol::{
    AgreementTerms, Assurance, AuthorityTerms, Blinding, BlockHeader, Cardinality, Change, Choice, ConsentTerms,
    Cosigner, Datatype, Decision, EntryKind, ErasureScope, Field, FinalityCertificate, Genesis, GenesisOrganisation,
    GenesisPrincipal, GenesisValidator, Hash, ImportedEntry, Intent, LimitName, LogCommitment, LogLeaf, MandateId,
    MandateTerms, NewEntry, Opening, Operation, OrderedParcel, Outcome, ParcelId, Particulars, Phase, Place,
    PolicyChange, PolicyMeaning, PolicyText, PrincipalId, PrincipalKind, PrincipalStatus, PublicKey, Recipient, Roles,
    RuleText, Rulebook, RulebookChange, SealingKey, Secret, SigningKey, StateCommitment, Subject, TransferPath, Tree,
    VoteWeight,
    receipt::{Finality, TransactionReceipt},
};

/// Midday on the first of September 2026, in Unix milliseconds.
pub const TIME_MS: u64 = 1_788_264_000_000;
pub const ORGANISATIONS: [&str; 4] = ["cabinet-office", "council", "hmrc", "regulator"];

pub fn administrator(organisation: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[organisation + 1; 32])
}

pub fn validator(organisation: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[organisation + 101; 32])
}

fn ed25519(key: &SigningKey) -> [u8; 32] {
    key.public().as_bytes().try_into().unwrap()
}

pub fn genesis() -> Genesis {
    let mut genesis = Genesis {
        name: "Four organisations".into(),
        created_ms: TIME_MS,
        nonce: *b"sixteen fixed by",
        organisations: ORGANISATIONS
            .iter()
            .zip(0..)
            .map(|(id, n)| GenesisOrganisation {
                id: (*id).into(),
                name: id.replace('-', " "),
                particulars: Particulars::default(),
                principals: vec![GenesisPrincipal::person(
                    "administrator",
                    Roles::administrator(),
                    administrator(n).public(),
                )],
            })
            .collect(),
        validators: ORGANISATIONS
            .iter()
            .zip(0..)
            .map(|(id, n)| GenesisValidator {
                organisation: (*id).into(),
                key: ed25519(&validator(n)),
                address: format!("{id}.example.org:9000"),
            })
            .collect(),
        epoch_blocks: 600,
        rulebook: None,
    };
    genesis.sort();
    genesis.validate().unwrap();
    genesis
}

pub fn item() -> String {
    r#"{"citizen-names":"Briton;British citizen","country":"GB","name":"United Kingdom","official-name":"The United Kingdom of Great Britain and Northern Ireland"}"#.into()
}

pub fn append() -> Operation {
    Operation::EntryAppend {
        register: "country".into(),
        entries: vec![NewEntry { key: "GB".into(), items: vec![item()] }],
    }
}

pub fn intent(operations: Vec<Operation>) -> Intent {
    Intent {
        not_after: TIME_MS / 1000 + 300,
        idempotency_key: (0..16).collect(),
        ..Intent::new(
            genesis().id(),
            PrincipalId::new("cabinet-office", "administrator").unwrap(),
            "country:GB",
            operations,
        )
    }
}

/// The same under a mandate, with a device (P-256) and an officer of another organisation beside the signer.
pub fn cosigned_intent() -> Intent {
    let cosigner =
        |principal: &str, key: SigningKey| Cosigner { principal: principal.parse().unwrap(), key: key.public() };
    Intent {
        mandate: Some("hmrc/administrator/filing".parse().unwrap()),
        cosigners: vec![
            cosigner("cabinet-office/laptop", SigningKey::from_p256_scalar(&[9; 32]).unwrap()),
            cosigner("hmrc/administrator", administrator(2)),
        ],
        ..intent(vec![append()])
    }
}

/// Sealed values: a record's own, the same in a partition, one about another record, one that is not ASCII, and one with the smallest
/// blinding.
pub fn openings() -> Vec<Opening> {
    let all = || openings_of(None).into_iter();
    all().take(1).chain(openings_of(Some("charts")).into_iter().take(1)).chain(all().skip(1)).collect()
}

fn openings_of(partition: Option<&str>) -> Vec<Opening> {
    let opening = |(register, key, field): (&str, &str, &str), subject: &str, value: &str, blinding: u8| {
        let place = Place::new(register, key, field, subject.parse().unwrap()).unwrap().within(partition).unwrap();
        let mut bytes = [blinding; 32];
        bytes[31] = 0;
        Opening::new(place, Secret::new(value), Blinding::from_bytes(bytes.into()).unwrap()).unwrap()
    };
    vec![
        opening(("patient", "p-17", "name"), "patient:p-17", "Jane Doe", 0xa5),
        opening(("licence", "L/204.b", "holder-name"), "patient:p-17", "Jane Doe", 0x11),
        opening(("patient", "p-18", "name"), "patient:p-18", "Siân Ó Súilleabháin", 0xff),
        opening(("vessel", "9074729", "berth-plan"), "vessel:9074729", "7", 0),
    ]
}

/// Every operation, by what distinguishes it.
pub fn operations() -> Vec<(&'static str, Operation)> {
    let principal = PrincipalId::new("council", "clerk").unwrap();
    let key = |n: u8| SigningKey::from_ed25519_seed(&[n; 32]).public();
    let p256 = SigningKey::from_p256_scalar(&[9; 32]).unwrap().public();
    let field = |name: &str, datatype, cardinality, register: Option<&str>| Field {
        name: name.into(),
        datatype,
        cardinality,
        register: register.map(Into::into),
        text: format!("The {name}."),
        protection: None,
    };
    let protected = |name: &str, protection: &str| Field {
        protection: Some(protection.parse().unwrap()),
        ..field(name, Datatype::String, Cardinality::One, None)
    };
    vec![
        (
            "register-create",
            Operation::RegisterCreate {
                register: "country".into(),
                text: "British English-language names of countries".into(),
                fields: vec![
                    field("country", Datatype::String, Cardinality::One, Some("country")),
                    field("citizen-names", Datatype::String, Cardinality::Many, None),
                    field("start-date", Datatype::Datetime, Cardinality::One, None),
                    field("part-of", Datatype::Curie, Cardinality::Many, None),
                ],
            },
        ),
        (
            "register-create with protected fields",
            Operation::RegisterCreate {
                register: "prescription".into(),
                text: "Prescriptions".into(),
                fields: vec![
                    field("prescription", Datatype::String, Cardinality::One, None),
                    field("patient", Datatype::String, Cardinality::One, Some("patient")),
                    protected("medicine", "personal:patient"),
                    protected("route", "restricted"),
                ],
            },
        ),
        (
            "register-phase live",
            Operation::RegisterPhase { register: "country".into(), phase: Phase::Live, successor: None },
        ),
        (
            "register-phase superseded",
            Operation::RegisterPhase {
                register: "country".into(),
                phase: Phase::Superseded,
                successor: Some("state".into()),
            },
        ),
        ("entry-append", append()),
        (
            "entry-append of two entries, one of two items",
            Operation::EntryAppend {
                register: "country".into(),
                entries: vec![
                    NewEntry { key: "GB".into(), items: vec![item(), r#"{"name":"Côte d'Ivoire"}"#.into()] },
                    NewEntry { key: "a-b_c.d/e".into(), items: vec!["{}".into()] },
                ],
            },
        ),
        (
            "register-import",
            Operation::RegisterImport {
                register: "country".into(),
                user_first: 1,
                system_first: 3,
                entries: vec![
                    ImportedEntry {
                        kind: EntryKind::System,
                        key: "field:country".into(),
                        timestamp: 1_460_000_000,
                        items: vec!["{}".into()],
                    },
                    ImportedEntry { kind: EntryKind::User, key: "GB".into(), timestamp: 0, items: vec![item()] },
                ],
                root: Hash::of(&[b"root"]),
            },
        ),
        ("organisation-contact", Operation::OrganisationContact { contact: Some("registrar@harbour.example".into()) }),
        ("organisation-contact of none", Operation::OrganisationContact { contact: None }),
        (
            "principal-enrol",
            Operation::PrincipalEnrol {
                name: "clerk".into(),
                kind: PrincipalKind::Device,
                roles: Roles::new(["registrar", "auditor"]).unwrap(),
                key: p256,
                assurance: Assurance::Low,
            },
        ),
        (
            "principal-status",
            Operation::PrincipalStatus {
                principal: principal.clone(),
                status: PrincipalStatus::Suspended,
                reason: "On leave until March".into(),
            },
        ),
        (
            "principal-amend of roles",
            Operation::PrincipalAmend {
                principal: principal.clone(),
                roles: Some(Roles::new(["auditor"]).unwrap()),
                assurance: None,
            },
        ),
        (
            "principal-amend of a key",
            Operation::PrincipalAmend {
                principal: principal.clone(),
                roles: None,
                assurance: Some((p256, Assurance::Substantial)),
            },
        ),
        (
            "principal-recover",
            Operation::PrincipalRecover {
                principal: principal.clone(),
                key: key(4),
                assurance: Assurance::Substantial,
            },
        ),
        ("recovery-set", Operation::RecoverySet { administrators: 3 }),
        ("key-add", Operation::KeyAdd { principal: principal.clone(), key: key(4), assurance: Assurance::Substantial }),
        ("key-rotate", Operation::KeyRotate { principal: principal.clone(), old: p256, new: key(3), overlap: 0 }),
        (
            "key-rotate with a day's overlap",
            Operation::KeyRotate { principal: principal.clone(), old: p256, new: key(3), overlap: 86_400 },
        ),
        ("key-retire", Operation::KeyRetire { principal: principal.clone(), key: key(3) }),
        (
            "authority-admit",
            Operation::AuthorityAdmit {
                certificate: vec![0x30, 0x00],
                terms: AuthorityTerms {
                    policies: vec![PolicyMeaning { policy: "2.16.840.1.1".into(), assurance: Assurance::High }],
                    names: vec!["clerk".into()],
                },
            },
        ),
        ("authority-retire", Operation::AuthorityRetire { authority: Hash::of(&[&[0x30, 0x00]]) }),
        (
            "key-certify",
            Operation::KeyCertify {
                principal: principal.clone(),
                key: key(3),
                authority: Hash::of(&[&[0x30, 0x00]]),
                chain: vec![vec![0x30, 0x01, 0x00], vec![0x30, 0x00]],
            },
        ),
        (
            "revocation-post",
            Operation::RevocationPost {
                list: vec![0x30, 0x02, 0x05, 0x00],
                authority: Hash::of(&[&[0x30, 0x00]]),
                chain: Vec::new(),
            },
        ),
        ("mandate-grant", Operation::MandateGrant { name: "filing".into(), terms: terms(None) }),
        (
            "mandate-grant of one that is passed on",
            Operation::MandateGrant {
                name: "filing".into(),
                terms: terms(Some("hmrc/administrator/returns".parse().unwrap())),
            },
        ),
        ("mandate-revoke", Operation::MandateRevoke { mandate: "hmrc/administrator/filing".parse().unwrap() }),
        (
            "proposal-submit",
            Operation::ProposalSubmit {
                proposal: "close-the-berths".into(),
                title: "Close the register of berths".into(),
                text: RuleText::Whole("The register of berths is closed.".into()),
                changes: vec![Change::RegisterClose { register: "berth".into(), successor: None }],
                effect_height: None,
            },
        ),
        (
            "proposal-submit of a long text, at a height",
            Operation::ProposalSubmit {
                proposal: "close-the-berths".into(),
                title: "Close the register of berths".into(),
                text: RuleText::Hash(Hash::of(&[b"long"])),
                changes: vec![Change::RegisterClose { register: "berth".into(), successor: None }],
                effect_height: Some(100_000),
            },
        ),
        ("proposal-withdraw", Operation::ProposalWithdraw { proposal: "close-the-berths".into() }),
        ("ballot-cast", Operation::BallotCast { proposal: "close-the-berths".into(), choice: Choice::Abstain }),
        (
            "proposal-object",
            Operation::ProposalObject { proposal: "close-the-berths".into(), reason: "We were not asked.".into() },
        ),
        (
            "register-policy",
            Operation::RegisterPolicy {
                register: "country".into(),
                change: PolicyChange {
                    put: vec![PolicyText {
                        id: "country/partners".parse().unwrap(),
                        text: "permit (principal, action, resource == Register::\"country\");".into(),
                    }],
                    remove: vec!["country/readers".parse().unwrap()],
                },
            },
        ),
        (
            "node-register",
            Operation::NodeRegister {
                node: "cabinet-office/node-1".parse().unwrap(),
                peer: ed25519(&validator(1)),
                sealing: SealingKey::from_bytes([9; 32]).unwrap(),
                jurisdiction: "GB-SCT".parse().unwrap(),
            },
        ),
        (
            "record-read",
            Operation::RecordRead {
                register: "visit".into(),
                key: "v-1".into(),
                fields: vec!["name".into(), "note".into()],
                subjects: vec!["patient:p-17".parse().unwrap(), "visit:v-1".parse().unwrap()],
                purpose: "Answer a complaint".into(),
                legal_basis: "Care Act 2014, section 42".into(),
                recipient: Some(Recipient {
                    name: "Crown Court at Leeds".into(),
                    jurisdiction: Some("GB-ENG".parse().unwrap()),
                }),
                node: "cabinet-office/node-1".parse().unwrap(),
            },
        ),
        ("node-retire", Operation::NodeRetire { node: "cabinet-office/node-1".parse().unwrap(), destroyed: true }),
        (
            "private-order",
            Operation::PrivateOrder {
                partition: "school-health".into(),
                height: 1_000,
                parcels: vec![OrderedParcel { id: ParcelId([3; 32]), class: 12 }],
            },
        ),
        (
            "partition-root",
            Operation::PartitionRoot { partition: "school-health".into(), height: 1_001, root: Hash::of(&[b"state"]) },
        ),
        (
            "transfer-refuse",
            Operation::TransferRefuse {
                partition: "school-health".into(),
                node: "northern-lights/abroad".parse().unwrap(),
                jurisdiction: "FR".parse().unwrap(),
                path: TransferPath::Delivery,
            },
        ),
    ]
    .into_iter()
    .chain(privacy_operations())
    .collect()
}

/// What is erased, held and corrected.
fn privacy_operations() -> Vec<(&'static str, Operation)> {
    let subject = || Subject::new("patient", "p-17").unwrap();
    let (authority, legal_basis) = ("Information Commissioner", "UK GDPR Article 17(1)(d)");
    let order = |scope| Operation::ErasureOrder {
        order: "case-42".into(),
        controller: "council".into(),
        subject: subject(),
        scope,
        authority: authority.into(),
        legal_basis: legal_basis.into(),
        reason: "Unlawfully processed.".into(),
        deadline: 2_592_000,
    };
    let mut values: Vec<_> = openings().iter().map(Opening::commitment).collect();
    values.sort_unstable();
    let hold = |until| Operation::HoldPlace {
        hold: "inquiry-7".into(),
        controller: "council".into(),
        subject: subject(),
        authority: "High Court".into(),
        reason: "Evidence.".into(),
        until,
    };
    let item = r#"{"country":"GB","name":"United Kingdom"}"#.to_owned();
    vec![
        ("erasure-order of a subject", order(ErasureScope::All)),
        ("erasure-order of values", order(ErasureScope::Values(values))),
        ("erasure-receipt", Operation::ErasureReceipt { order: "case-42".into(), destroyed: 2 }),
        ("hold-place", hold(None)),
        ("hold-place with an end", hold(Some(TIME_MS))),
        ("hold-lift", Operation::HoldLift { hold: "inquiry-7".into(), reason: "The inquiry is over.".into() }),
        (
            "consent-give",
            Operation::ConsentGive {
                consent: "p-17-research".into(),
                controller: "council".into(),
                subject: subject(),
                terms: ConsentTerms {
                    purposes: vec!["audit".into(), "research".into()],
                    recipients: vec!["harbour".into()],
                    until_ms: TIME_MS,
                },
                evidence: "Form 7, signed in the clinic.".into(),
            },
        ),
        (
            "consent-withdraw",
            Operation::ConsentWithdraw { consent: "p-17-research".into(), reason: "Said by telephone.".into() },
        ),
        (
            "record-correct",
            Operation::RecordCorrect {
                register: "country".into(),
                corrects: 7,
                entry: NewEntry { key: "GB".into(), items: vec![item] },
                reason: "The name was misspelt.".into(),
                authority: "Foreign Office".into(),
                legal_basis: "UK GDPR Article 16".into(),
            },
        ),
        ("notice-acknowledge", acknowledged(None)),
        ("notice-acknowledge for a recipient", acknowledged(Some("Crown Court at Leeds".into()))),
    ]
}

fn acknowledged(recipient: Option<String>) -> Operation {
    Operation::NoticeAcknowledge {
        register: "country".into(),
        key: "GB".into(),
        corrects: 7,
        reader: "council/clerk".parse().expect("an id"),
        recipient,
    }
}

/// A change of every kind.
pub fn changes() -> Vec<Change> {
    let organisation = || "harbour".to_owned();
    let validator = |n: u8| GenesisValidator {
        organisation: "harbour".into(),
        key: ed25519(&validator(n)),
        address: "node.harbour.example:9000".into(),
    };
    let rulebook = Rulebook::default();
    vec![
        Change::OrganisationAdmit {
            organisation: GenesisOrganisation {
                id: "harbour".into(),
                name: "Harbour Authority".into(),
                particulars: particulars(),
                ..genesis().organisations.remove(0)
            },
        },
        Change::OrganisationAmend {
            organisation: organisation(),
            name: None,
            legal_name: Some("Harbour Authority Limited".into()),
            registration: particulars().registration,
            jurisdiction: Some("GB-SCT".parse().unwrap()),
        },
        Change::OrganisationSuspend { organisation: organisation(), reason: "It leaked a key.".into() },
        Change::OrganisationResume { organisation: organisation() },
        Change::OrganisationExpel { organisation: organisation(), reason: "It was wound up.".into() },
        Change::AuthorityAdmit {
            organisation: organisation(),
            certificate: vec![0x30, 0x00],
            terms: AuthorityTerms::default(),
        },
        Change::AuthorityRetire { organisation: organisation(), authority: Hash::of(&[&[0x30, 0x00]]) },
        Change::Validators { add: vec![validator(9)], remove: vec![validator(8)] },
        Change::Policies {
            put: vec![PolicyText {
                id: "readers".parse().unwrap(),
                text: "permit (principal, action, resource);".into(),
            }],
            remove: vec!["old".parse().unwrap()],
        },
        Change::RegisterCreate {
            register: "berth".into(),
            custodian: organisation(),
            text: "Berths".into(),
            fields: vec![Field {
                name: "berth".into(),
                datatype: Datatype::String,
                cardinality: Cardinality::One,
                register: None,
                text: "Its number.".into(),
                protection: None,
            }],
        },
        Change::RegisterEntrust { register: "berth".into(), custodian: organisation() },
        Change::RegisterClose { register: "berth".into(), successor: Some("quay".into()) },
        Change::Limit { limit: LimitName::Registers, value: 100 },
        Change::ProtocolVersion { version: 2 },
        Change::Rulebook {
            rulebook: RulebookChange {
                rules: vec![*rulebook.rules.last().unwrap()],
                weights: Some(vec![VoteWeight { organisation: organisation(), votes: 2 }]),
                register_policies_max: None,
            },
        },
        Change::PartitionOpen { agreement: agreement() },
        Change::PartitionAmend {
            agreement: AgreementTerms {
                until_ms: None,
                managers: vec!["council".into()],
                regulators: vec!["commissioner".into()],
                ..agreement()
            },
        },
        Change::PartitionClose { partition: "school-health".into(), reason: "The programme ended.".into() },
    ]
}

fn agreement() -> AgreementTerms {
    AgreementTerms {
        partition: "school-health".into(),
        members: vec!["council".into(), "health-board".into()],
        purpose: "Find children who need support".into(),
        legal_basis: "Children Act 2004, section 11".into(),
        categories: vec!["attendance".into(), "health".into()],
        from_ms: TIME_MS,
        until_ms: Some(TIME_MS + 63_072_000_000),
        review_ms: Some(TIME_MS + 31_536_000_000),
        jurisdictions: vec!["GB".parse().unwrap()],
        retention_days: 365,
        acknowledgements: 2,
        managers: Vec::new(),
        regulators: Vec::new(),
    }
}

fn particulars() -> Particulars {
    Particulars {
        legal_name: Some("The Harbour Authority".into()),
        registration: Some("GB-COH-00445790".parse().unwrap()),
        jurisdiction: Some("GB".parse().unwrap()),
        contact: Some("registrar@harbour.example".into()),
    }
}

pub fn terms(parent: Option<MandateId>) -> MandateTerms {
    MandateTerms {
        agents: ["cabinet-office/administrator", "council/clerk"].map(|agent| agent.parse().unwrap()).to_vec(),
        actions: vec!["entry-append".into()],
        resources: vec!["register:country".into(), "register:territory-*".into()],
        purpose: "Filing the yearly returns".into(),
        from: TIME_MS / 1000,
        until: TIME_MS / 1000 + 31_536_000,
        depth: 1,
        concur: 2,
        parent,
    }
}

pub fn header(height: u64, parent: Hash, log: LogCommitment, root: Hash) -> BlockHeader {
    let genesis = genesis();
    let validators = genesis.validator_set().unwrap().hash();
    BlockHeader {
        network: genesis.id(),
        height,
        epoch: 0,
        view: height + 2,
        leader: ed25519(&validator((height % 4) as u8)),
        parent_view: height + 1,
        parent,
        time_ms: TIME_MS + 1000 * height,
        transactions: Hash::of(&[b"transactions"]),
        transaction_count: 3,
        state: StateCommitment { root, operations_root: Hash::of(&[b"operations"]), start: 256, end: 1_000 + height },
        log,
        validators,
        next_validators: validators,
    }
}

/// A certificate by the first `n` validators.
pub fn certificate(header: &BlockHeader, n: usize) -> FinalityCertificate {
    let genesis = genesis();
    let mut certificate = FinalityCertificate {
        epoch: header.epoch,
        view: header.view,
        parent_view: header.parent_view,
        block: header.hash(),
        signatures: Vec::new(),
    };
    let message = certificate.signed_bytes(&genesis.id());
    for (index, member) in genesis.validators.iter().enumerate().take(n) {
        let key = (0..4).map(validator).find(|key| key.public() == PublicKey::Ed25519(member.key)).unwrap();
        certificate.signatures.push((index as u32, key.sign(&message).unwrap()));
    }
    certificate
}

/// How a header is final by way of a child and a grandchild.
pub fn finality(first: BlockHeader) -> Finality {
    let child = header(first.height + 1, first.hash(), first.log, Hash::of(&[b"child"]));
    let grandchild = header(first.height + 2, child.hash(), first.log, Hash::of(&[b"grandchild"]));
    let certificate = certificate(&grandchild, 3);
    Finality { hand_overs: Vec::new(), headers: vec![first, child, grandchild], certificate }
}

/// What one policy of the partition and one of a register determined.
pub fn decision() -> Decision {
    let id = |text: &str| text.parse().unwrap();
    Decision {
        version: 3,
        determining: vec![id("country/partners"), id("custodian-writes")],
        skipped: Vec::new(),
        mandates: Vec::new(),
    }
}

/// A receipt of one append, leaf 20 of a log of 37.
pub fn receipt() -> TransactionReceipt {
    let transaction = intent(vec![append()]).sign(&administrator(0)).unwrap();
    let outcome = Outcome::Accepted {
        appended: vec![tallystick_protocol::Appended {
            operation: 0,
            register: "country".into(),
            kind: EntryKind::User,
            first: 209,
            count: 1,
        }],
        decision: decision(),
    };
    let (height, time_ms, index, size) = (7, TIME_MS + 7_000, 20, 37);
    let leaf = LogLeaf { transaction: transaction.id(), height, time_ms, outcome: outcome.clone() };
    let mut tree = Tree::new();
    for place in 0..size {
        tree.push(if place == index { leaf.hash() } else { Hash::of(&[&[place as u8]]) });
    }
    let log =
        LogCommitment { size, root: tree.root(), store_root: Hash::of(&[b"store"]), store_end: size + height + 1 };
    TransactionReceipt {
        network: genesis().id(),
        transaction: transaction.bytes().clone(),
        height,
        time_ms,
        outcome,
        index,
        path: tree.inclusion(index, size).unwrap(),
        finality: finality(header(height, Hash::of(&[b"parent"]), log, Hash::of(&[b"state"]))),
    }
}
