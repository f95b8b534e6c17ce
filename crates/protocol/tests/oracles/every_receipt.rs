//! One honest receipt of every kind, all of one state: what a forger may hold who puts parts of one into another. The fuzz targets
//! damage them; see `fuzz/src/any_receipt.rs`.

use crate::{
    fixtures,
    golden_vectors::check,
    state_proof::{self, prove},
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{
    Assurance, Attestation, BlindRow, CertifiedRoot, Disclosure, EntryKind, ErasureCertificate, FieldDisclosure,
    FieldLeaf, FieldsRow, Finality, Hash, HeldKey, LogCommitment, NetworkId, Opening, PartitionDisclosure,
    PartitionErasure, PartitionRootsRow, Place, PrincipalKind, PrincipalReceipt, PrincipalRow, PrincipalStatus,
    ProposalReceipt, Receipt, RecordAnswer, RecordReceipt, RecordRow, ShownField, SigningKey, StateKey, Tree,
    receipt::question,
};

const PARTITION: &str = "charts";
/// The numbers of the registers `country` and `patient`.
const COUNTRY: u32 = 7;
const PATIENT: u32 = 9;
const ANSWER: &str = r#"{"answer":"yes","by":"harbour/officer","question":"Is GB a country?"}"#;

/// What every kind is called in the vectors. A kind that is new does not compile until it has a name, and fails until it is made.
const fn kind(receipt: &Receipt) -> &'static str {
    match receipt {
        Receipt::Transaction(_) => "transaction",
        Receipt::Record(_) => "record",
        Receipt::Proposal(_) => "proposal",
        Receipt::Disclosure(_) => "disclosure",
        Receipt::Erasure(_) => "erasure",
        Receipt::Partition(_) => "partition",
        Receipt::Fields(_) => "fields",
        Receipt::PartitionErasure(_) => "partition-erasure",
        Receipt::Principal(_) => "principal",
        Receipt::Attestation(_) => "attestation",
    }
}

const KINDS: [&str; 10] = [
    "attestation",
    "disclosure",
    "erasure",
    "fields",
    "partition",
    "partition-erasure",
    "principal",
    "proposal",
    "record",
    "transaction",
];

fn officer_key() -> SigningKey {
    SigningKey::from_ed25519_seed(&[40; 32])
}

fn officer() -> PrincipalRow {
    PrincipalRow {
        id: "harbour/officer".parse().unwrap(),
        kind: PrincipalKind::Person,
        roles: "registrar".parse().unwrap(),
        status: PrincipalStatus::Active,
        reason: String::new(),
        keys: vec![HeldKey::new(officer_key().public(), 1, Assurance::High)],
    }
}

/// Two sealed values of a record: in the public partition, or in that of the vectors.
fn openings(partition: Option<&str>) -> Vec<Opening> {
    let opening = |field: &str, value: &str, blinding: u8| {
        let place = Place::new("patient", "p-17", field, "patient:p-17".parse().unwrap()).unwrap();
        let mut scalar = [blinding; 32];
        scalar[31] = 0;
        let blinding = tallystick_protocol::Blinding::from_bytes(scalar.into()).unwrap();
        Opening::new(place.within(partition).unwrap(), tallystick_protocol::Secret::new(value), blinding).unwrap()
    };
    vec![opening("address", "1 High Street", 0x11), opening("name", "Jane Doe", 0xa5)]
}

/// The fields of that record, as JSON.
fn values(partition: Option<&str>) -> Vec<(&'static str, String)> {
    let sealed: Vec<_> = openings(partition).iter().map(|opening| format!("\"{}\"", opening.commitment())).collect();
    let [address, name] = sealed.try_into().unwrap();
    vec![("address", address), ("name", name), ("patient", r#""p-17""#.into()), ("ward", r#""three""#.into())]
}

fn item(partition: Option<&str>) -> String {
    let fields: Vec<_> = values(partition).iter().map(|(field, value)| format!("\"{field}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn record(register: &str, key: &str, item: &str) -> RecordRow {
    let (register, items) = (register.into(), vec![Hash::of(&[item.as_bytes()])]);
    RecordRow { register, items, ..state_proof::record(key) }
}

fn place(number: u32, key: &str) -> StateKey {
    StateKey::record(number, EntryKind::User, key)
}

/// The leaves of the partition's record, each with a salt.
fn leaves() -> Vec<FieldLeaf> {
    let leaf = |(field, value): (&str, String)| FieldLeaf {
        item: 0,
        field: field.into(),
        value,
        salt: Hash::of(&[b"salt of", field.as_bytes()]),
    };
    values(Some(PARTITION)).into_iter().map(leaf).collect()
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    leaves().iter().for_each(|leaf| tree.push(leaf.hash()));
    tree
}

/// The rows of a state with the proofs of some of its keys.
struct State {
    root: Hash,
    rows: BTreeMap<StateKey, Vec<u8>>,
    proofs: BTreeMap<StateKey, Bytes>,
}

impl State {
    fn of(rows: BTreeMap<StateKey, Vec<u8>>, absent: &[StateKey]) -> Self {
        let asked: Vec<_> = rows.keys().chain(absent).copied().collect();
        let (root, proofs) = prove(vec![rows.clone()], asked.clone());
        let proofs = asked.into_iter().zip(proofs.into_iter().map(|(_, proof)| proof.into())).collect();
        Self { root, rows, proofs }
    }

    fn row(&self, key: StateKey) -> Bytes {
        self.rows[&key].clone().into()
    }

    fn proof(&self, key: StateKey) -> Bytes {
        self.proofs[&key].clone()
    }

    fn hidden(&self, key: StateKey) -> BlindRow {
        BlindRow::of(&self.row(key)).unwrap()
    }
}

/// What the members of the partition share.
fn shared() -> State {
    let fields = FieldsRow {
        register: "patient".into(),
        key: "p-17".into(),
        entry: 6,
        root: tree().root(),
        count: tree().size(),
    };
    let rows = [
        (place(COUNTRY, "GB"), record("country", "GB", ANSWER).to_bytes()),
        (place(PATIENT, "p-17"), record("patient", "p-17", &item(Some(PARTITION))).to_bytes()),
        (StateKey::private_fields(PATIENT, "p-17"), fields.to_bytes()),
        (StateKey::erasure("case-42"), state_proof::erasure().to_bytes()),
    ];
    let hide = |(key, row): (StateKey, Vec<u8>)| {
        let blind = Hash::of(&[b"blind of", key.as_bytes()]);
        (key, BlindRow { row: row.into(), blind }.stored().to_vec())
    };
    State::of(rows.into_iter().map(hide).collect(), &[])
}

/// What everybody sees, with the root of the partition.
fn public(shared: Hash) -> State {
    let roots = PartitionRootsRow {
        ordered: 4,
        ordered_height: 8,
        certified: Some(CertifiedRoot { height: 8, root: shared, since: 9 }),
        ..PartitionRootsRow::default()
    };
    let rows = [
        (StateKey::register("country"), state_proof::register().to_bytes()),
        (place(COUNTRY, "GB"), record("country", "GB", &fixtures::item()).to_bytes()),
        (place(PATIENT, "p-17"), record("patient", "p-17", &item(None)).to_bytes()),
        (StateKey::proposal("more-registers"), state_proof::proposal().to_bytes()),
        (StateKey::erasure("case-42"), state_proof::erasure().to_bytes()),
        (StateKey::principal(&officer().id), officer().to_bytes()),
        (StateKey::partition_roots(PARTITION), roots.to_bytes()),
    ];
    State::of(rows.into(), &[place(COUNTRY, "XX"), StateKey::register("planet")])
}

/// Two headers, of which only the first has the roots, and as many signatures as must be.
fn finality(log: LogCommitment, state: Hash) -> Finality {
    let first = fixtures::header(9, Hash::of(&[b"parent"]), log, state);
    let log = LogCommitment { size: log.size + 1, root: Hash::of(&[b"a later log"]), ..log };
    let second = fixtures::header(10, first.hash(), log, Hash::of(&[b"a later state"]));
    let certificate = fixtures::certificate(&second, 3);
    Finality { hand_overs: Vec::new(), headers: vec![first, second], certificate }
}

/// All that is proven.
struct World {
    network: NetworkId,
    shared: State,
    public: State,
    finality: Finality,
}

impl World {
    fn record(&self, (register, key): (&str, &str), answer: RecordAnswer) -> RecordReceipt {
        let (register, key, finality) = (register.into(), key.into(), self.finality.clone());
        RecordReceipt { network: self.network, register, key, answer, finality }
    }

    fn current(&self, (register, number, key): (&str, u32, &str), item: String) -> RecordReceipt {
        let place = place(number, key);
        let (row, proof) = (self.public.row(place), self.public.proof(place));
        self.record((register, key), RecordAnswer::Current { number, row, items: vec![item], proof })
    }

    fn absent(&self) -> RecordReceipt {
        let register = StateKey::register("country");
        let answer = RecordAnswer::Absent {
            question: question("country", "XX"),
            register_row: self.public.row(register),
            register_proof: self.public.proof(register),
            proof: self.public.proof(place(COUNTRY, "XX")),
        };
        self.record(("country", "XX"), answer)
    }

    fn no_register(&self) -> RecordReceipt {
        let proof = self.public.proof(StateKey::register("planet"));
        self.record(("planet", "GB"), RecordAnswer::NoRegister { question: question("planet", "GB"), proof })
    }

    /// The row of the partition's roots, and its proof.
    fn roots(&self) -> (Bytes, Bytes) {
        let place = StateKey::partition_roots(PARTITION);
        (self.public.row(place), self.public.proof(place))
    }

    fn disclosure(
        &self,
        (register, number, key): (&str, u32, &str),
        item: &str,
        openings: Vec<Opening>,
    ) -> PartitionDisclosure {
        let (place, (roots, roots_proof)) = (place(number, key), self.roots());
        PartitionDisclosure {
            network: self.network,
            partition: PARTITION.into(),
            register: register.into(),
            key: key.into(),
            number,
            row: self.shared.hidden(place),
            items: vec![item.into()],
            openings,
            proof: self.shared.proof(place),
            roots,
            roots_proof,
            finality: self.finality.clone(),
        }
    }

    fn fields(&self) -> FieldDisclosure {
        let (place, (roots, roots_proof)) = (StateKey::private_fields(PATIENT, "p-17"), self.roots());
        let shown = |index: u64| ShownField {
            leaf: leaves()[usize::try_from(index).unwrap()].clone(),
            index,
            path: tree().inclusion(index, tree().size()).unwrap(),
        };
        FieldDisclosure {
            network: self.network,
            partition: PARTITION.into(),
            register: "patient".into(),
            key: "p-17".into(),
            number: PATIENT,
            row: self.shared.hidden(place),
            fields: vec![shown(1), shown(3)],
            openings: openings(Some(PARTITION)).split_off(1),
            proof: self.shared.proof(place),
            roots,
            roots_proof,
            finality: self.finality.clone(),
        }
    }

    fn proposal(&self) -> ProposalReceipt {
        let place = StateKey::proposal("more-registers");
        let (network, proposal, finality) = (self.network, "more-registers".into(), self.finality.clone());
        ProposalReceipt { network, proposal, row: self.public.row(place), proof: self.public.proof(place), finality }
    }

    fn erasure(&self) -> ErasureCertificate {
        let place = StateKey::erasure("case-42");
        let (network, order, finality) = (self.network, "case-42".into(), self.finality.clone());
        ErasureCertificate { network, order, row: self.public.row(place), proof: self.public.proof(place), finality }
    }

    fn shared_erasure(&self) -> PartitionErasure {
        let (place, (roots, roots_proof)) = (StateKey::erasure("case-42"), self.roots());
        PartitionErasure {
            network: self.network,
            partition: PARTITION.into(),
            order: "case-42".into(),
            row: self.shared.hidden(place),
            proof: self.shared.proof(place),
            roots,
            roots_proof,
            finality: self.finality.clone(),
        }
    }

    fn principal(&self) -> PrincipalReceipt {
        let place = StateKey::principal(&officer().id);
        let (network, principal, finality) = (self.network, officer().id, self.finality.clone());
        PrincipalReceipt { network, principal, row: self.public.row(place), proof: self.public.proof(place), finality }
    }
}

/// Every kind, and whatever receipt stands within another.
fn receipts() -> Vec<Receipt> {
    let mut transaction = fixtures::receipt();
    let shared = shared();
    let public = public(shared.root);
    transaction.finality = finality(transaction.finality.headers[0].log, public.root);
    let (network, finality) = (transaction.network, transaction.finality.clone());
    let world = World { network, shared, public, finality };
    let patient = world.current(("patient", PATIENT, "p-17"), item(None));
    let answer = world.disclosure(("country", COUNTRY, "GB"), ANSWER, Vec::new());
    let attestation = Attestation::sign(answer.clone(), world.principal(), &officer_key()).unwrap();
    let opened = world.disclosure(("patient", PATIENT, "p-17"), &item(Some(PARTITION)), openings(Some(PARTITION)));
    vec![
        Receipt::Transaction(transaction),
        Receipt::Record(world.current(("country", COUNTRY, "GB"), fixtures::item())),
        Receipt::Record(patient.clone()),
        Receipt::Record(world.absent()),
        Receipt::Record(world.no_register()),
        Receipt::Proposal(world.proposal()),
        Receipt::Disclosure(Disclosure { record: patient, openings: openings(None) }),
        Receipt::Erasure(world.erasure()),
        Receipt::Partition(answer),
        Receipt::Partition(opened),
        Receipt::Fields(Box::new(world.fields())),
        Receipt::PartitionErasure(world.shared_erasure()),
        Receipt::Principal(world.principal()),
        Receipt::Attestation(Box::new(attestation)),
    ]
}

/// One of every kind, beside the `network.json` that they are checked with.
#[test]
fn every_kind_of_receipt_is_as_it_was_and_holds() {
    let (genesis, receipts) = (fixtures::genesis(), receipts());
    let kinds: BTreeSet<_> = receipts.iter().map(kind).collect();
    assert_eq!(kinds, BTreeSet::from(KINDS));
    for receipt in &receipts {
        let proven = receipt.check(&genesis).unwrap_or_else(|error| panic!("{}: {error}", kind(receipt)));
        assert_eq!((proven.signers.len(), proven.validators), (3, 4));
        assert_eq!(Receipt::decode(&receipt.to_bytes()).as_ref(), Ok(receipt));
    }
    let vectors =
        receipts.iter().map(|receipt| json!({"kind": kind(receipt), "cbor": hex::encode(receipt.to_bytes())}));
    let vector = json!({
        "genesis": serde_json::from_str::<Value>(&genesis.to_json()).unwrap(),
        "receipts": vectors.collect::<Vec<_>>(),
    });
    check("receipts.json", &vector);
}
