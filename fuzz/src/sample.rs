//! Honest material for an adversary to damage: one of every operation, signed by known keys.

use std::sync::OnceLock;

use tallystick_protocol::{
    Algorithm, Appended, Assurance, BlockHeader, Cardinality, Change, Choice, Code, ConsentTerms, Cosigner, Datatype,
    Decision, EntryKind, ErasureScope, Field, Genesis, GenesisOrganisation, GenesisPrincipal, GenesisValidator,
    HandOver, Hash, ImportedEntry, Intent, LogCommitment, LogEntry, LogLeaf, MandateTerms, NetworkId, NewEntry,
    Operation, OrderedParcel, Outcome, ParcelId, Particulars, PartlySignedTransaction, Phase, PolicyChange, PolicyText,
    PrincipalId, PrincipalStatus, PublicKey, RecoveryFile, Refusal, Roles, RuleText, SealingKey, SignedTransaction,
    SigningKey, StateCommitment, TransferPath, Tree, Violation, ViolationRule,
    certificate::FinalityCertificate,
    receipt::{Finality, TransactionReceipt},
};

use super::any_receipt::bytes;

/// The key that signs the samples of an algorithm; always the same.
pub fn key(algorithm: Algorithm) -> SigningKey {
    match algorithm {
        Algorithm::EdDsa => SigningKey::from_ed25519_seed(&[7; 32]),
        Algorithm::Es256 => SigningKey::from_p256_scalar(&[7; 32]).expect("a scalar below the order"),
    }
}

/// One operation of each kind.
pub fn operations() -> Vec<Operation> {
    let register = || "lighthouse".to_owned();
    let item = r#"{"lighthouse":"L-1","name":"Sgeir Mhòr"}"#.to_owned();
    let field = Field {
        name: register(),
        datatype: Datatype::String,
        cardinality: Cardinality::One,
        register: Some(register()),
        text: "The number of the light.".to_owned(),
        protection: None,
    };
    let protection = Some("personal:lighthouse".parse().expect("a protection"));
    let protected = Field { name: "keeper-name".to_owned(), register: None, protection, ..field.clone() };
    let imported = ImportedEntry {
        kind: EntryKind::User,
        key: "L-1".to_owned(),
        timestamp: 1_709_288_100,
        items: vec![item.clone()],
    };
    let public = key(Algorithm::EdDsa).public();
    let principal = principal();
    vec![
        Operation::RegisterCreate { register: register(), text: "Lights".to_owned(), fields: vec![field, protected] },
        Operation::RegisterPhase {
            register: register(),
            phase: Phase::Superseded,
            successor: Some("beacon".to_owned()),
        },
        Operation::EntryAppend {
            register: register(),
            entries: vec![NewEntry { key: "L-1".to_owned(), items: vec![item] }],
        },
        Operation::RegisterImport {
            register: register(),
            user_first: 1,
            system_first: 1,
            entries: vec![imported],
            root: Hash([5; 32]),
        },
        Operation::enrol("clerk", Roles::registrar(), key(Algorithm::Es256).public()),
        Operation::PrincipalStatus {
            principal: principal.clone(),
            status: PrincipalStatus::Suspended,
            reason: "Under review".to_owned(),
        },
        Operation::PrincipalRecover { principal: principal.clone(), key: public, assurance: Assurance::Low },
        Operation::PrincipalAmend {
            principal: principal.clone(),
            roles: Some(Roles::registrar()),
            assurance: Some((public, Assurance::Low)),
        },
        Operation::OrganisationContact { contact: Some("office@lights.example".to_owned()) },
        Operation::RecoverySet { administrators: 2 },
        Operation::KeyAdd { principal: principal.clone(), key: public, assurance: Assurance::Substantial },
        Operation::MandateGrant {
            name: "lights".to_owned(),
            terms: MandateTerms {
                agents: vec![principal.clone()],
                actions: vec!["entry-append".to_owned()],
                resources: vec!["register:lighthouse".to_owned()],
                purpose: "Upkeep".to_owned(),
                from: 1_700_000_000,
                until: 1_800_000_000,
                depth: 1,
                concur: 1,
                parent: Some("harbour/master/all".parse().expect("three slugs")),
            },
        },
        Operation::MandateRevoke { mandate: "harbour/master/all".parse().expect("three slugs") },
        Operation::KeyRotate {
            principal: principal.clone(),
            old: public,
            new: key(Algorithm::Es256).public(),
            overlap: 3_600,
        },
        Operation::KeyRetire { principal: principal.clone(), key: public },
        Operation::AuthorityAdmit { certificate: vec![0x30; 40], terms: Default::default() },
        Operation::AuthorityRetire { authority: Hash([6; 32]) },
        Operation::KeyCertify { principal, key: public, authority: Hash([6; 32]), chain: vec![vec![0x30; 40]; 2] },
        Operation::RevocationPost { list: vec![0x30; 60], authority: Hash([6; 32]), chain: Vec::new() },
        Operation::ProposalSubmit {
            proposal: "close-lights".to_owned(),
            title: "Close the lights".to_owned(),
            text: RuleText::Whole("The register is closed.".to_owned()),
            changes: vec![Change::RegisterClose { register: register(), successor: None }],
            effect_height: Some(100),
        },
        Operation::ProposalWithdraw { proposal: "close-lights".to_owned() },
        Operation::BallotCast { proposal: "close-lights".to_owned(), choice: Choice::Abstain },
        Operation::ProposalObject { proposal: "close-lights".to_owned(), reason: "Ships.".to_owned() },
        Operation::NodeRegister {
            node: "trinity-house/node-1".parse().expect("an id"),
            peer: [7; 32],
            sealing: SealingKey::from_bytes([9; 32]).expect("no point of small order"),
            jurisdiction: "GB".parse().expect("a jurisdiction"),
        },
        Operation::PrivateOrder {
            partition: "charts".to_owned(),
            height: 100,
            parcels: vec![OrderedParcel { id: ParcelId([7; 32]), class: 11 }],
        },
        Operation::TransferRefuse {
            partition: "charts".to_owned(),
            node: "northern-lights/abroad".parse().expect("an id"),
            jurisdiction: "FR".parse().expect("a jurisdiction"),
            path: TransferPath::Fetch,
        },
        Operation::PartitionRoot { partition: "charts".to_owned(), height: 101, root: Hash([8; 32]) },
        Operation::RecordRead {
            register: "lighthouse".to_owned(),
            key: "L-1".to_owned(),
            fields: vec!["keeper-name".to_owned()],
            subjects: vec!["keeper:k-7".parse().expect("a subject")],
            purpose: "Payroll".to_owned(),
            legal_basis: "Contract".to_owned(),
            recipient: None,
            node: "trinity-house/node-1".parse().expect("an id"),
        },
        Operation::NodeRetire { node: "trinity-house/node-1".parse().expect("an id"), destroyed: true },
        Operation::RegisterPolicy {
            register: "lighthouse".to_owned(),
            change: PolicyChange {
                put: vec![PolicyText {
                    id: "lighthouse/keepers".parse().expect("an id"),
                    text: "permit (principal, action, resource == Register::\"lighthouse\");".to_owned(),
                }],
                remove: vec!["lighthouse/visitors".parse().expect("an id")],
            },
        },
        Operation::ErasureOrder {
            order: "keeper-3".to_owned(),
            controller: "northern-lights".to_owned(),
            subject: "keeper:3".parse().expect("a subject"),
            scope: ErasureScope::All,
            authority: "The keeper".to_owned(),
            legal_basis: "UK GDPR Article 17".to_owned(),
            reason: "Left.".to_owned(),
            deadline: 3_600,
        },
        Operation::ErasureReceipt { order: "keeper-3".to_owned(), destroyed: 1 },
        Operation::HoldPlace {
            hold: "wreck-9".to_owned(),
            controller: "northern-lights".to_owned(),
            subject: "keeper:3".parse().expect("a subject"),
            authority: "Coroner".to_owned(),
            reason: "An inquest.".to_owned(),
            until: Some(1_800_000_000_000),
        },
        Operation::ConsentGive {
            consent: "keeper-3-history".to_owned(),
            controller: "northern-lights".to_owned(),
            subject: "keeper:3".parse().expect("a subject"),
            terms: ConsentTerms {
                purposes: vec!["history".to_owned()],
                recipients: vec!["harbour".to_owned()],
                until_ms: 1_800_000_000_000,
            },
            evidence: "A letter.".to_owned(),
        },
        Operation::ConsentWithdraw { consent: "keeper-3-history".to_owned(), reason: "Another letter.".to_owned() },
        Operation::HoldLift { hold: "wreck-9".to_owned(), reason: "Closed.".to_owned() },
        Operation::RecordCorrect {
            register: "lighthouse".to_owned(),
            corrects: 1,
            entry: NewEntry { key: "1".to_owned(), items: vec!["{}".to_owned()] },
            reason: "A slip.".to_owned(),
            authority: "The board".to_owned(),
            legal_basis: "UK GDPR Article 16".to_owned(),
        },
        Operation::NoticeAcknowledge {
            register: "lighthouse".to_owned(),
            key: "1".to_owned(),
            corrects: 1,
            reader: "northern-lights/clerk".parse().expect("an id"),
            recipient: Some("The coroner".to_owned()),
        },
    ]
}

fn principal() -> PrincipalId {
    PrincipalId::new("northern-lights", "registrar").expect("two slugs")
}

/// A transaction of `operations`, signed.
pub fn transaction(algorithm: Algorithm, operations: Vec<Operation>) -> SignedTransaction {
    transaction_of(genesis().id(), algorithm, operations)
}

fn transaction_of(network: NetworkId, algorithm: Algorithm, operations: Vec<Operation>) -> SignedTransaction {
    let intent = Intent {
        not_after: 1_800_000_000,
        idempotency_key: vec![9; 16],
        ..Intent::new(network, principal(), "register lighthouse", operations)
    };
    intent.sign(&key(algorithm)).expect("a valid intent")
}

/// One under a mandate that two others have co-signed.
fn cosigned() -> SignedTransaction {
    let [.., signed] = cosigning();
    signed.complete().expect("all have signed")
}

/// The same when nobody, one and both of them have.
fn cosigning() -> [PartlySignedTransaction; 3] {
    let keys = [key(Algorithm::Es256), validator(0)];
    let names = ["northern-lights/tablet", "harbour/pilot"];
    let cosigner =
        |(name, key): (&str, &SigningKey)| Cosigner { principal: name.parse().expect("two slugs"), key: key.public() };
    let intent = Intent {
        mandate: Some("harbour/master/lights".parse().expect("three slugs")),
        cosigners: names.into_iter().zip(&keys).map(cosigner).collect(),
        ..transaction(Algorithm::EdDsa, operations()).intent().clone()
    };
    let begun = intent.begin(&key(Algorithm::EdDsa)).expect("a valid intent");
    let first = begun.cosign(&keys[0]).expect("a co-signer");
    let both = first.cosign(&keys[1]).expect("a co-signer");
    [begun, first, both]
}

/// A transaction that is not signed by all, and then by all; signed once.
pub fn begun() -> &'static [PartlySignedTransaction] {
    static BEGUN: OnceLock<[PartlySignedTransaction; 3]> = OnceLock::new();
    BEGUN.get_or_init(cosigning)
}

/// A certificate, a hand-over, a recovery and its file: the latter two of `tests/vectors/recovery.json`.
pub fn finality() -> &'static [Vec<u8>] {
    static FINALITY: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FINALITY.get_or_init(|| {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/recovery.json")).expect("JSON");
        let file = bytes(vector["cbor"].as_str().expect("a text"));
        let recovery = RecoveryFile::decode(&file).expect("an honest file").recovery;
        let Finality { mut headers, certificate, .. } = receipt().finality.clone();
        let (header, validators) = (headers.remove(1), genesis().validator_set().expect("four validators"));
        let hand_over = HandOver { header, certificate: certificate.clone(), validators };
        vec![certificate.to_bytes(), hand_over.to_bytes(), recovery.to_bytes(), file]
    })
}

/// Transactions of both algorithms; signed once, for signing costs more than damaging.
pub fn transactions() -> &'static [SignedTransaction] {
    static SIGNED: OnceLock<Vec<SignedTransaction>> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let all = [Algorithm::EdDsa, Algorithm::Es256].map(|algorithm| transaction(algorithm, operations()));
        let single = operations().into_iter().map(|operation| transaction(Algorithm::EdDsa, vec![operation]));
        all.into_iter().chain([cosigned()]).chain(single).collect()
    })
}

/// Log entries of both outcomes.
pub fn log_entries() -> Vec<LogEntry> {
    let appended =
        Appended { operation: 2, register: "lighthouse".to_owned(), kind: EntryKind::User, first: 1, count: 1 };
    let decision = Decision {
        version: 2,
        determining: vec!["custodian-writes".parse().expect("an id")],
        skipped: vec!["lighthouse/keepers".parse().expect("an id")],
        mandates: vec!["harbour/master/lights".parse().expect("three slugs")],
    };
    let violation = Violation { entry: 0, field: "name".to_owned(), rule: ViolationRule::ALL[0] };
    let refused = |code: &Code| {
        let violations = vec![violation.clone()];
        Outcome::Refused(Refusal { code: *code, operation: 0, violations, decision: decision.clone() })
    };
    let outcomes = [Outcome::Accepted { appended: vec![appended], decision: decision.clone() }]
        .into_iter()
        .chain(Code::ALL.iter().map(refused));
    let bytes = transactions()[0].bytes();
    outcomes
        .map(|outcome| LogEntry { transaction: bytes.clone(), height: 4, time_ms: 1_709_288_100_000, outcome })
        .collect()
}

/// A header.
pub fn header() -> BlockHeader {
    BlockHeader {
        network: NetworkId([3; 16]),
        height: 4,
        epoch: 0,
        view: 5,
        leader: [4; 32],
        parent_view: 3,
        parent: Hash([6; 32]),
        time_ms: 1_709_288_100_000,
        transactions: Hash([7; 32]),
        transaction_count: 1,
        state: StateCommitment { root: Hash([8; 32]), operations_root: Hash([9; 32]), start: 0, end: 12 },
        log: LogCommitment { size: 3, root: Hash([10; 32]), store_root: Hash([11; 32]), store_end: 7 },
        validators: Hash([12; 32]),
        next_validators: Hash([12; 32]),
    }
}

/// The key of a validator of the sample network.
pub fn validator(index: u8) -> SigningKey {
    let mut seeds: Vec<_> = (100..104).map(|seed| [seed; 32]).collect();
    seeds.sort_by_key(|seed| SigningKey::from_ed25519_seed(seed).public());
    SigningKey::from_ed25519_seed(&seeds[usize::from(index)])
}

/// The sample network: an organisation with four validators.
pub fn genesis() -> &'static Genesis {
    static GENESIS: OnceLock<Genesis> = OnceLock::new();
    GENESIS.get_or_init(|| {
        let administrator =
            GenesisPrincipal::person("administrator", Roles::administrator(), key(Algorithm::EdDsa).public());
        let validator = |index| {
            let PublicKey::Ed25519(key) = validator(index).public() else { panic!("an Ed25519 key") };
            GenesisValidator { organisation: "northern-lights".to_owned(), key, address: String::new() }
        };
        let organisation = GenesisOrganisation {
            id: "northern-lights".to_owned(),
            name: "Northern Lights".to_owned(),
            particulars: Particulars {
                legal_name: Some("Commissioners of Northern Lighthouses".to_owned()),
                registration: "GB-LAE-NLB".parse().ok(),
                jurisdiction: "GB-SCT".parse().ok(),
                contact: Some("office@lights.example".to_owned()),
            },
            principals: vec![administrator],
        };
        let genesis = Genesis {
            name: "sample".to_owned(),
            created_ms: 1_709_288_000_000,
            nonce: [1; 16],
            organisations: vec![organisation],
            validators: (0..4).map(validator).collect(),
            epoch_blocks: 600,
            rulebook: None,
        };
        genesis.validate().expect("a valid network");
        genesis
    })
}

/// An honest receipt of the first sample transaction: leaf 2 of a log of five, one header further certified by a quorum.
pub fn receipt() -> &'static TransactionReceipt {
    static RECEIPT: OnceLock<TransactionReceipt> = OnceLock::new();
    RECEIPT.get_or_init(|| {
        let network = genesis().id();
        let transaction = transactions()[0].clone();
        let outcome = Outcome::Accepted { appended: Vec::new(), decision: Decision::default() };
        let (height, time_ms, index) = (4, 1_709_288_100_000, 2);
        let leaf = LogLeaf { transaction: transaction.id(), height, time_ms, outcome: outcome.clone() };
        let mut tree = Tree::new();
        for place in 0..5 {
            tree.push(if place == index { leaf.hash() } else { Hash([place as u8; 32]) });
        }
        let validators = genesis().validator_set().expect("four validators").hash();
        let mut first = BlockHeader { network, validators, ..header() };
        (first.log.size, first.log.root) = (5, tree.root());
        let second = BlockHeader { height: first.height + 1, parent: first.hash(), ..first.clone() };
        let mut certificate =
            FinalityCertificate { epoch: 0, view: 6, parent_view: 5, block: second.hash(), signatures: Vec::new() };
        let message = certificate.signed_bytes(&network);
        certificate.signatures =
            (0..3).map(|index| (u32::from(index), validator(index).sign(&message).expect("Ed25519 signs"))).collect();
        TransactionReceipt {
            network,
            transaction: transaction.bytes().clone(),
            height,
            time_ms,
            outcome,
            index,
            path: tree.inclusion(index, 5).expect("a leaf of the tree"),
            finality: Finality { hand_overs: Vec::new(), headers: vec![first, second], certificate },
        }
    })
}
