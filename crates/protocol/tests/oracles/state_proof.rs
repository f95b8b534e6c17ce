//! State proofs that the storage engine makes, and receipts of records built on them; and ones tampered with.

use crate::fixtures;
use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_cryptography::{Sha256, sha256::Digest};
use commonware_parallel::Sequential;
use commonware_runtime::{Runner as _, Supervisor as _, buffer::paged::CacheRef, deterministic};
use commonware_storage::{
    journal::contiguous::variable,
    merkle::full::Config as MerkleConfig,
    mmr,
    qmdb::{current, floor::Proportional},
    translator::EightCap,
};
use commonware_utils::{NZU16, NZU64, NZUsize};
use std::collections::BTreeMap;
use tallystick_protocol::{
    Assurance, Attestation, BlindRow, CertifiedRoot, ChangeKind, CheckError, Claim, Completed, Destroyed, EntryKind,
    ErasureCertificate, ErasureRow, ErasureScope, Field, Hash, HeldKey, Holder, LogCommitment, PartitionDisclosure,
    PartitionErasure, PartitionRootsRow, Phase, Poll, PrincipalKind, PrincipalReceipt, PrincipalRow, PrincipalStatus,
    ProposalReceipt, ProposalRow, ProposalStatus, Receipt, RecordAnswer, RecordReceipt, RecordRow, RegisterRow,
    Rulebook, SharedErasure, SigningKey, StateKey, Step,
    proof::{self, ProofError, StateValue},
    receipt::{Reason, question},
};

type Db = current::ordered::variable::Db<
    mmr::Family,
    deterministic::Context,
    Digest,
    StateValue,
    Sha256,
    EightCap,
    { proof::STATE_CHUNK_BYTES },
    Sequential,
>;

async fn open(context: deterministic::Context) -> Db {
    let page_cache = CacheRef::new(NZU16!(4096), NZUsize!(64));
    let config = current::Config {
        merkle_config: MerkleConfig {
            journal_partition: "merkle-journal".into(),
            metadata_partition: "merkle-meta".into(),
            items_per_blob: NZU64!(1024),
            write_buffer: NZUsize!(4096),
            replay_buffer: NZUsize!(4096),
            strategy: Sequential,
            page_cache: page_cache.clone(),
        },
        journal_config: variable::Config {
            partition: "operations".into(),
            items_per_section: NZU64!(1024),
            compression: None,
            codec_config: ((), ()),
            page_cache,
            write_buffer: NZUsize!(4096),
            replay_buffer: NZUsize!(4096),
        },
        grafted_metadata_partition: "grafted".into(),
        translator: EightCap,
        init_cache: Some(NZUsize!(1024)),
        init_buffer: NZUsize!(1 << 16),
        init_concurrency: (),
    };
    Db::init(context, config, None).await.unwrap()
}

/// A state of these rows, with a proof for each key that was asked: of its row, or of its absence.
pub fn prove(blocks: Vec<BTreeMap<StateKey, Vec<u8>>>, asked: Vec<StateKey>) -> (Hash, Vec<(bool, Vec<u8>)>) {
    deterministic::Runner::default().start(|context| async move {
        let mut db = open(context.child("db")).await;
        for rows in blocks {
            let mut batch = db.new_batch();
            for (key, row) in rows {
                batch = batch.write(Digest::from(key.0), Some(StateValue(row.into())));
            }
            let merkleized = batch.merkleize(&db, None, &mut Proportional).await.unwrap();
            db = db.apply_batch(merkleized).await.unwrap();
        }
        let mut proofs = Vec::new();
        for key in asked {
            let key = Digest::from(key.0);
            proofs.push(match db.get(&key).await.unwrap() {
                Some(_) => (true, db.key_value_proof(key).await.unwrap().encode().to_vec()),
                None => (false, db.exclusion_proof(&key).await.unwrap().encode().to_vec()),
            });
        }
        (Hash(db.root().0), proofs)
    })
}

pub fn register() -> RegisterRow {
    RegisterRow {
        register: "country".into(),
        number: 7,
        custodian: "cabinet-office".into(),
        phase: Phase::Live,
        successor: None,
        fields: vec![Field {
            name: "country".into(),
            datatype: tallystick_protocol::Datatype::String,
            cardinality: tallystick_protocol::Cardinality::One,
            register: Some("country".into()),
            text: String::new(),
            protection: None,
        }],
        text: "Countries".into(),
        created: 2,
    }
}

pub fn record(key: &str) -> RecordRow {
    RecordRow {
        register: "country".into(),
        key: key.into(),
        kind: EntryKind::User,
        number: 6,
        timestamp: 1_460_000_000,
        items: vec![Hash::of(&[fixtures::item().as_bytes()])],
        leaf: 20,
        height: 7,
    }
}

fn place(key: &str) -> StateKey {
    StateKey::record(7, EntryKind::User, key)
}

/// A few hundred records over three blocks, GB rewritten in the last.
fn blocks() -> Vec<BTreeMap<StateKey, Vec<u8>>> {
    let definition = (StateKey::register("country"), register().to_bytes());
    let some = |from: u32, to: u32| (from..to).map(|n| (place(&n.to_string()), record(&n.to_string()).to_bytes()));
    let old = RecordRow { number: 1, ..record("GB") };
    vec![
        some(0, 150).chain([definition, (place("GB"), old.to_bytes())]).collect(),
        some(150, 300).collect(),
        some(120, 180).chain([(place("GB"), record("GB").to_bytes())]).collect(),
    ]
}

fn receipt(root: Hash, register: &str, key: &str, answer: RecordAnswer) -> Receipt {
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    Receipt::Record(RecordReceipt {
        network: fixtures::genesis().id(),
        register: register.into(),
        key: key.into(),
        answer,
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, root)),
    })
}

/// Receipts of a record, of its absence, and of a register's absence.
fn receipts() -> [Receipt; 3] {
    let asked = vec![place("GB"), StateKey::register("country"), place("XX"), StateKey::register("planet")];
    let (root, proofs) = prove(blocks(), asked);
    let [(true, current), (true, definition), (false, absent), (false, no_register)] = &proofs[..] else {
        panic!("GB and the register are there, the others not")
    };
    let bytes = |proof: &Vec<u8>| Bytes::from(proof.clone());
    [
        receipt(
            root,
            "country",
            "GB",
            RecordAnswer::Current {
                number: 7,
                row: record("GB").to_bytes().into(),
                items: vec![fixtures::item()],
                proof: bytes(current),
            },
        ),
        receipt(
            root,
            "country",
            "XX",
            RecordAnswer::Absent {
                question: question("country", "XX"),
                register_row: register().to_bytes().into(),
                register_proof: bytes(definition),
                proof: bytes(absent),
            },
        ),
        receipt(
            root,
            "planet",
            "GB",
            RecordAnswer::NoRegister { question: question("planet", "GB"), proof: bytes(no_register) },
        ),
    ]
}

#[test]
fn proofs_of_the_engine_hold() {
    let genesis = fixtures::genesis();
    let [current, absent, no_register] = receipts();
    for receipt in [&current, &absent, &no_register] {
        let bytes = receipt.to_bytes();
        println!("a record's receipt is {} bytes", bytes.len());
        assert!(bytes.len() <= 4096, "{} bytes", bytes.len());
        assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(receipt));
    }
    let proven = current.check(&genesis).unwrap();
    assert_eq!((proven.height, proven.signers.len(), proven.validators), (9, 3, 4));
    assert_eq!(proven.claim, Claim::Current { record: record("GB"), items: vec![fixtures::item()] });
    let claim = absent.check(&genesis).unwrap().claim;
    assert_eq!(claim, Claim::Absent { register: register(), key: "XX".into() });
    let claim = no_register.check(&genesis).unwrap().claim;
    assert_eq!(claim, Claim::NoRegister { register: "planet".into() });
}

pub fn proposal() -> ProposalRow {
    let rule = *Rulebook::default().rule(ChangeKind::Limit).unwrap();
    ProposalRow {
        id: "more-registers".into(),
        title: "More registers".into(),
        proposer: "harbour/administrator".parse().unwrap(),
        text: Hash::of(&[b"The rule."]),
        changes: 1,
        leaf: 20,
        submitted_height: 3,
        submitted_ms: 1_460_000_000_000,
        status: ProposalStatus::Effective,
        polls: vec![Poll { rule, about: None, votes: 4, yes: 3, no: 0, abstain: 1 }],
        weights: Vec::new(),
        closes_ms: 1_460_600_000_000,
        paused_until_ms: None,
        stated_height: None,
        effect_height: Some(8),
        decided_height: Some(5),
        failure: None,
    }
}

#[test]
fn a_proposals_receipt_says_how_it_went_and_no_byte_of_it_can_be_changed() {
    let genesis = fixtures::genesis();
    let place = StateKey::proposal("more-registers");
    let mut blocks = blocks();
    blocks[1].insert(place, proposal().to_bytes());
    let (root, proofs) = prove(blocks, vec![place]);
    let [(true, proof)] = &proofs[..] else { panic!("the proposal is there") };
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    let honest = ProposalReceipt {
        network: genesis.id(),
        proposal: "more-registers".into(),
        row: proposal().to_bytes().into(),
        proof: proof.clone().into(),
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, root)),
    };
    let receipt = Receipt::Proposal(honest.clone());
    let bytes = receipt.to_bytes();
    assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(&receipt));
    let proven = receipt.check(&genesis).unwrap();
    assert_eq!((proven.height, proven.claim), (9, Claim::Proposal { proposal: Box::new(proposal()) }));
    let changed = |change: fn(&mut ProposalReceipt)| {
        let mut forged = honest.clone();
        change(&mut forged);
        Receipt::Proposal(forged).check(&genesis).unwrap_err().step
    };
    assert_eq!(changed(|forged| forged.proposal = "fewer-registers".into()), Step::Row);
    let other = |forged: &mut ProposalReceipt| {
        forged.row = ProposalRow { effect_height: Some(7), ..proposal() }.to_bytes().into();
    };
    assert_eq!(changed(other), Step::State);
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let is_refused = Receipt::decode(&forged).map_or(true, |forged| forged.check(&genesis).is_err());
        assert!(is_refused, "byte {at} was changed");
    }
}

pub fn erasure() -> ErasureRow {
    let receipt = |leaf| Some(Destroyed { values: 2, leaf, height: 8, time_ms: 1_460_000_002_000 });
    let holder = |node: &str, leaf| Holder { node: node.parse().unwrap(), receipt: receipt(leaf) };
    ErasureRow {
        order: "case-42".into(),
        controller: "council".into(),
        number: 0,
        subject: "patient:p-17".parse().unwrap(),
        scope: ErasureScope::All,
        authority: "The person".into(),
        legal_basis: "UK GDPR Article 17".into(),
        reason: "No longer needed.".into(),
        principal: "council/officer".parse().unwrap(),
        leaf: 20,
        height: 3,
        ordered_ms: 1_460_000_000_000,
        deadline_ms: 1_460_600_000_000,
        holders: vec![holder("council/node-1", 21), holder("council/node-2", 22)],
        completed: Some(Completed { height: 8, time_ms: 1_460_000_002_000 }),
        unasked: Vec::new(),
    }
}

#[test]
fn a_certificate_says_who_destroyed_and_no_byte_of_it_can_be_changed() {
    let genesis = fixtures::genesis();
    let place = StateKey::erasure("case-42");
    let mut blocks = blocks();
    blocks[1].insert(place, erasure().to_bytes());
    let (root, proofs) = prove(blocks, vec![place]);
    let [(true, proof)] = &proofs[..] else { panic!("the order is there") };
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    let honest = ErasureCertificate {
        network: genesis.id(),
        order: "case-42".into(),
        row: erasure().to_bytes().into(),
        proof: proof.clone().into(),
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, root)),
    };
    let receipt = Receipt::Erasure(honest.clone());
    let bytes = receipt.to_bytes();
    assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(&receipt));
    let proven = receipt.check(&genesis).unwrap();
    assert_eq!((proven.height, proven.claim), (9, Claim::Erasure { order: Box::new(erasure()) }));
    let changed = |change: fn(&mut ErasureCertificate)| {
        let mut forged = honest.clone();
        change(&mut forged);
        Receipt::Erasure(forged).check(&genesis).unwrap_err().step
    };
    assert_eq!(changed(|forged| forged.order = "case-43".into()), Step::Row);
    let fewer = |forged: &mut ErasureCertificate| {
        let mut row = erasure();
        row.holders.truncate(1);
        forged.row = row.to_bytes().into();
    };
    assert_eq!(changed(fewer), Step::State);
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let is_refused = Receipt::decode(&forged).map_or(true, |forged| forged.check(&genesis).is_err());
        assert!(is_refused, "byte {at} was changed");
    }
}

#[test]
fn a_certificate_out_of_a_partition_says_the_same_and_no_byte_of_it_can_be_changed() {
    type Spoil = fn(&mut PartitionErasure);
    let (genesis, place) = (fixtures::genesis(), StateKey::erasure("case-42"));
    let mut blocks = blocks();
    let hide = |order: ErasureRow| BlindRow { row: order.to_bytes().into(), blind: Hash::of(&[b"a blind"]) };
    blocks[1].insert(place, hide(erasure()).stored().to_vec());
    let (root, proofs) = prove(blocks, vec![place]);
    let certified = CertifiedRoot { height: 8, root, since: 9 };
    let roots = PartitionRootsRow { certified: Some(certified.clone()), ..PartitionRootsRow::default() };
    let roots_place = StateKey::partition_roots("charts");
    let (public, public_proofs) = prove(vec![[(roots_place, roots.to_bytes())].into()], vec![roots_place]);
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    let honest = PartitionErasure {
        network: genesis.id(),
        partition: "charts".into(),
        order: "case-42".into(),
        row: hide(erasure()),
        proof: proofs[0].1.clone().into(),
        roots: roots.to_bytes().into(),
        roots_proof: public_proofs[0].1.clone().into(),
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, public)),
    };
    let receipt = Receipt::PartitionErasure(honest.clone());
    let bytes = receipt.to_bytes();
    assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(&receipt));
    let claim = SharedErasure { partition: "charts".into(), certified, order: erasure() };
    assert_eq!(receipt.check(&genesis).unwrap().claim, Claim::SharedErasure(Box::new(claim)));
    let rows: &[(Spoil, Step)] = &[
        (|c| c.order = "case-43".into(), Step::Row),
        (|c| c.roots = Bytes::from_static(b"\x80"), Step::Row),
        (|c| c.partition = "tax".into(), Step::State),
        (|c| c.roots = PartitionRootsRow::default().to_bytes().into(), Step::State),
        (|c| c.row.row = ErasureRow { completed: None, ..erasure() }.to_bytes().into(), Step::Partition),
        (|c| c.row.blind = Hash::default(), Step::Partition),
        (|c| c.proof = c.roots_proof.clone(), Step::Partition),
    ];
    for (number, (spoil, step)) in rows.iter().enumerate() {
        let mut forged = honest.clone();
        spoil(&mut forged);
        assert_eq!(Receipt::PartitionErasure(forged).check(&genesis).unwrap_err().step, *step, "row {number}");
    }
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let is_refused = Receipt::decode(&forged).map_or(true, |forged| forged.check(&genesis).is_err());
        assert!(is_refused, "byte {at} was changed");
    }
}

const OFFICER: u8 = 40;
const ANSWER: &str = r#"{"answer":"yes","by":"harbour/officer","question":"Is GB a country?"}"#;

fn officer_key(number: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[number; 32])
}

/// An officer with a key, one that was given up, and one that begins later; as changed.
fn officer(change: fn(&mut PrincipalRow), height: u64) -> PrincipalReceipt {
    let held = |number, from_ms, retired_ms| HeldKey {
        retired_ms,
        ..HeldKey::new(officer_key(number).public(), from_ms, Assurance::High)
    };
    let mut row = PrincipalRow {
        id: "harbour/officer".parse().unwrap(),
        kind: PrincipalKind::Person,
        roles: "registrar".parse().unwrap(),
        status: PrincipalStatus::Active,
        reason: String::new(),
        keys: vec![held(OFFICER, 1, None), held(OFFICER + 1, 1, Some(2)), held(OFFICER + 2, u64::MAX >> 1, None)],
    };
    change(&mut row);
    let place = StateKey::principal(&row.id);
    let (root, proofs) = prove(vec![[(place, row.to_bytes())].into()], vec![place]);
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    PrincipalReceipt {
        network: fixtures::genesis().id(),
        principal: row.id.clone(),
        row: row.to_bytes().into(),
        proof: proofs[0].1.clone().into(),
        finality: fixtures::finality(fixtures::header(height, Hash::of(&[b"parent"]), log, root)),
    }
}

#[test]
fn an_answer_names_who_gives_it_and_no_byte_of_it_can_be_changed() {
    let genesis = fixtures::genesis();
    let as_it_is = |_: &mut PrincipalRow| {};
    let sign = |signer, key: u8| Attestation::sign(answer(ANSWER), signer, &officer_key(key)).unwrap();
    let honest = sign(officer(as_it_is, 9), OFFICER);
    let receipt = Receipt::Attestation(Box::new(honest.clone()));
    let bytes = receipt.to_bytes();
    assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(&receipt));
    assert!(bytes.len() <= 8 * 1_024, "{} bytes", bytes.len());
    let Claim::Attested(attested) = receipt.check(&genesis).unwrap().claim else { panic!("it proves something else") };
    assert_eq!((attested.by.principal.to_string(), attested.by.height), ("harbour/officer".to_owned(), 9));
    assert_eq!((attested.by.key, &*attested.shared.record.key), (officer_key(OFFICER).public(), "GB"));
    assert_eq!((&*attested.answer.question, &*attested.answer.answer), ("Is GB a country?", "yes"));
    let fails = |forged: Attestation| Receipt::Attestation(Box::new(forged)).check(&genesis).unwrap_err();
    let changed = |change: fn(&mut Attestation)| {
        let mut forged = honest.clone();
        change(&mut forged);
        fails(forged).step
    };
    assert_eq!(changed(|forged| forged.disclosure.items[0] = "{}".into()), Step::Items);
    // Somebody else's key, and one of theirs that did not sign this.
    assert_eq!(changed(|forged| forged.signed.key = officer_key(1).public()), Step::Signer);
    assert_eq!(changed(|forged| forged.signed.signer.principal = "harbour/clerk".parse().unwrap()), Step::Signer);
    let later = |forged: &mut Attestation| {
        forged.disclosure.finality = fixtures::finality(fixtures::header(
            10,
            Hash::of(&[b"parent"]),
            LogCommitment { size: 400, ..LogCommitment::default() },
            forged.disclosure.finality.headers[0].state.root,
        ));
    };
    assert_eq!(changed(later), Step::Signer, "another disclosure of the same record is not signed");
    let suspended = officer(|row| row.status = PrincipalStatus::Suspended, 9);
    let of_answer = |item| Attestation::sign(answer(item), officer(as_it_is, 9), &officer_key(OFFICER)).unwrap();
    type Says = fn(&Reason) -> bool;
    let refused: [(&str, Attestation, Says); 9] = [
        ("a stranger's key", sign(officer(as_it_is, 9), 1), |why| matches!(why, Reason::SignerKey(..))),
        ("one given up", sign(officer(as_it_is, 9), OFFICER + 1), |why| matches!(why, Reason::SignerKey(..))),
        ("one that begins later", sign(officer(as_it_is, 9), OFFICER + 2), |why| matches!(why, Reason::SignerKey(..))),
        ("who may not act", sign(suspended, OFFICER), |why| matches!(why, Reason::SignerStatus(..))),
        ("who had the key before", sign(officer(as_it_is, 8), OFFICER), |why| {
            matches!(why, Reason::SignerEarlier { height: 8, since: 9, .. })
        }),
        ("no answer", of_answer(r#"{"answer":"yes","question":"Is GB a country?"}"#), |why| {
            matches!(why, Reason::NoAnswer)
        }),
        ("not JSON", of_answer("yes"), |why| matches!(why, Reason::NoAnswer)),
        ("neither yes nor no", of_answer(&ANSWER.replace("yes", "perhaps")), |why| matches!(why, Reason::NoAnswer)),
        (
            "another's answer",
            of_answer(&ANSWER.replace("officer", "clerk")),
            |why| matches!(why, Reason::SignerOther { names, .. } if names == "harbour/clerk"),
        ),
    ];
    for (what, forged, says) in refused {
        let error = fails(forged);
        assert!(error.step == Step::Signer && says(&error.reason), "{what}: {error}");
    }
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let is_refused = Receipt::decode(&forged).map_or(true, |forged| forged.check(&genesis).is_err());
        assert!(is_refused, "byte {at} was changed");
    }
}

/// A record of the partition's state, and the root of that certified in the public one.
fn shared() -> PartitionDisclosure {
    shared_of(blocks(), record("GB"), fixtures::item())
}

/// The same of an answer, as its only record.
fn answer(item: &str) -> PartitionDisclosure {
    let row = RecordRow { items: vec![Hash::of(&[item.as_bytes()])], ..record("GB") };
    shared_of(vec![[(place("GB"), row.to_bytes())].into()], row, item.to_owned())
}

fn shared_of(mut blocks: Vec<BTreeMap<StateKey, Vec<u8>>>, row: RecordRow, item: String) -> PartitionDisclosure {
    let record_place = place("GB");
    let row = BlindRow { row: row.to_bytes().into(), blind: Hash::of(&[b"a blind"]) };
    blocks.push([(record_place, row.stored().to_vec())].into());
    let (root, proofs) = prove(blocks, vec![record_place]);
    let certified = Some(CertifiedRoot { height: 8, root, since: 9 });
    let roots = PartitionRootsRow { ordered: 400, ordered_height: 8, certified, ..PartitionRootsRow::default() };
    let roots_place = StateKey::partition_roots("charts");
    let (public, public_proofs) = prove(vec![[(roots_place, roots.to_bytes())].into()], vec![roots_place]);
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    PartitionDisclosure {
        network: fixtures::genesis().id(),
        partition: "charts".into(),
        register: "country".into(),
        key: "GB".into(),
        number: 7,
        row,
        items: vec![item],
        openings: Vec::new(),
        proof: proofs[0].1.clone().into(),
        roots: roots.to_bytes().into(),
        roots_proof: public_proofs[0].1.clone().into(),
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, public)),
    }
}

#[test]
fn a_record_of_a_partition_is_shown_and_no_byte_of_it_can_be_changed() {
    type Spoil = fn(&mut PartitionDisclosure);
    let (genesis, honest) = (fixtures::genesis(), shared());
    let receipt = Receipt::Partition(honest.clone());
    let bytes = receipt.to_bytes();
    assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(&receipt));
    assert!(bytes.len() <= 8 * 1_024, "{} bytes", bytes.len());
    let proven = receipt.check(&genesis).unwrap();
    let Claim::Shared(shared) = proven.claim else { panic!("it proves something else") };
    assert_eq!((shared.partition.as_str(), shared.certified.height, &shared.record), ("charts", 8, &record("GB")));
    let rows: &[(Spoil, Step)] = &[
        (|d| d.key = "FR".into(), Step::Row),
        (|d| d.register = "planet".into(), Step::Row),
        (|d| d.roots = Bytes::from_static(b"\x80"), Step::Row),
        (|d| d.partition = "tax".into(), Step::State),
        (|d| d.roots = PartitionRootsRow::default().to_bytes().into(), Step::State),
        (|d| d.number = 8, Step::Partition),
        (|d| d.row.row = RecordRow { number: 7, ..record("GB") }.to_bytes().into(), Step::Partition),
        (|d| d.row.blind = Hash::default(), Step::Partition),
        (|d| d.proof = d.roots_proof.clone(), Step::Partition),
        (|d| d.items[0] = "{}".into(), Step::Items),
        (|d| d.items.clear(), Step::Items),
    ];
    for (place, (spoil, step)) in rows.iter().enumerate() {
        let mut forged = honest.clone();
        spoil(&mut forged);
        assert_eq!(Receipt::Partition(forged).check(&genesis).unwrap_err().step, *step, "row {place}");
    }
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let is_refused = Receipt::decode(&forged).map_or(true, |forged| forged.check(&genesis).is_err());
        assert!(is_refused, "byte {at} was changed");
    }
}

/// While its members agree on no root, nothing is shown of a partition.
#[test]
fn a_root_that_nobody_certified_shows_nothing() {
    let (genesis, mut forged) = (fixtures::genesis(), shared());
    let roots = PartitionRootsRow::default();
    let place = StateKey::partition_roots("charts");
    let (public, proofs) = prove(vec![[(place, roots.to_bytes())].into()], vec![place]);
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    forged.roots = roots.to_bytes().into();
    forged.roots_proof = proofs[0].1.clone().into();
    forged.finality = fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, public));
    assert_eq!(Receipt::Partition(forged).check(&genesis).unwrap_err().step, Step::Partition);
}

#[test]
fn an_empty_state_holds_nothing() {
    let (root, proofs) = prove(Vec::new(), vec![place("GB")]);
    assert_eq!(proof::verify_absent(&place("GB"), &proofs[0].1, &root), Ok(()));
    assert!(proof::verify_current(&place("GB"), &record("GB").to_bytes(), &proofs[0].1, &root).is_err());
}

#[test]
fn a_row_that_was_replaced_is_not_current() {
    let all = blocks();
    let old = all[0][&place("GB")].clone();
    let (_, before) = prove(all[..2].to_vec(), vec![place("GB")]);
    let (root, now) = prove(all, vec![place("GB")]);
    for proof in [&before[0].1, &now[0].1] {
        assert_eq!(proof::verify_current(&place("GB"), &old, proof, &root), Err(ProofError::Root));
    }
    let row = record("GB").to_bytes();
    assert_eq!(proof::verify_current(&place("GB"), &row, &now[0].1, &root), Ok(()));
    assert_eq!(proof::verify_current(&place("FR"), &row, &now[0].1, &root), Err(ProofError::Root));
    assert!(proof::verify_absent(&place("GB"), &now[0].1, &root).is_err());
}

#[test]
fn the_absence_of_one_key_is_not_that_of_another() {
    let [_, absent, _] = receipts();
    let genesis = fixtures::genesis();
    for key in ["GB", "0", "299"] {
        let Receipt::Record(mut receipt) = absent.clone() else { unreachable!() };
        receipt.key = key.into();
        let error = Receipt::Record(receipt.clone()).check(&genesis).unwrap_err();
        assert_eq!(error.step, Step::Row, "the answer was to XX, not to {key}");

        let RecordAnswer::Absent { question: asked, .. } = &mut receipt.answer else { unreachable!() };
        *asked = question(&receipt.register, key);
        let error = Receipt::Record(receipt).check(&genesis).unwrap_err();
        assert_eq!(error.step, Step::State, "{key} is there");
    }
}

#[test]
fn every_altered_byte_of_a_proof_is_refused() {
    let (root, proofs) = prove(blocks(), vec![place("GB"), place("XX")]);
    let row = record("GB").to_bytes();
    let mut long = proofs[0].1.clone();
    long.push(0);
    assert_eq!(proof::verify_current(&place("GB"), &row, &long, &root), Err(ProofError::Malformed));
    assert_eq!(proof::verify_current(&place("GB"), &row, &vec![0; 100_000], &root), Err(ProofError::TooLong(100_000)));
    for at in 0..proofs[0].1.len() {
        for bit in [1, 0x80] {
            let mut forged = proofs[0].1.clone();
            forged[at] ^= bit;
            assert!(proof::verify_current(&place("GB"), &row, &forged, &root).is_err(), "byte {at} bit {bit}");
        }
        assert!(proof::verify_current(&place("GB"), &row, &proofs[0].1[..at], &root).is_err(), "cut at {at}");
    }
    for at in 0..proofs[1].1.len() {
        let mut forged = proofs[1].1.clone();
        forged[at] ^= 1;
        assert!(proof::verify_absent(&place("XX"), &forged, &root).is_err(), "byte {at}");
    }
}

#[test]
fn a_receipt_of_absence_answers_one_question() {
    let [_, absent, no_register] = receipts();
    let genesis = fixtures::genesis();
    for honest in [absent, no_register] {
        let bytes = honest.to_bytes();
        assert!(honest.check(&genesis).is_ok());
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let accepted = Receipt::decode(&forged).is_ok_and(|receipt| receipt.check(&genesis).is_ok());
            assert!(!accepted, "byte {at} changed");
        }
    }
}

#[test]
fn each_altered_part_fails_at_its_step() {
    type Spoil = fn(&mut RecordReceipt);
    let [current, ..] = receipts();
    let genesis = fixtures::genesis();
    fn answer(receipt: &mut RecordReceipt) -> (&mut u32, &mut Bytes, &mut Vec<String>) {
        match &mut receipt.answer {
            RecordAnswer::Current { number, row, items, .. } => (number, row, items),
            _ => panic!("the receipt is of a record"),
        }
    }
    let rows: &[(Spoil, Step)] = &[
        (|r| r.key = "FR".into(), Step::Row),
        (|r| r.register = "planet".into(), Step::Row),
        (|r| *answer(r).1 = RecordRow { kind: EntryKind::System, ..record("GB") }.to_bytes().into(), Step::Row),
        (|r| *answer(r).1 = Bytes::from_static(b"\x80"), Step::Row),
        (|r| *answer(r).1 = RecordRow { number: 7, ..record("GB") }.to_bytes().into(), Step::State),
        (|r| *answer(r).0 = 8, Step::State),
        (|r| answer(r).2[0] = "{}".into(), Step::Items),
        (|r| answer(r).2.push("{}".into()), Step::Items),
        (|r| answer(r).2.clear(), Step::Items),
        (|r| r.finality.headers[0].state.root = Hash::default(), Step::Headers),
        (|r| r.finality.headers.truncate(1), Step::Certificate),
    ];
    for (place, (spoil, step)) in rows.iter().enumerate() {
        let Receipt::Record(mut receipt) = current.clone() else { unreachable!() };
        spoil(&mut receipt);
        let error: CheckError = Receipt::Record(receipt).check(&genesis).unwrap_err();
        assert_eq!(error.step, *step, "row {place}: {error}");
    }
}
