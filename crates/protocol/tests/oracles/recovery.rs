//! Recoveries: the organisations replace validators who are lost, a stranger sees it in every receipt after, and nothing less than
//! two thirds of them, on the block that it names, will do.

use crate::{fixtures, hand_over, state_proof};
use tallystick_protocol::{
    Approval, BlockHeader, Circle, CountersRow, GenesisOrganisation, GenesisValidator, Hash, Link, LogCommitment,
    OrganisationRow, OrganisationStatus, PrincipalId, PrincipalRow, ProvenRow, Receipt, Recovery, RecoveryError,
    RecoveryFile, Rulebook, SigningKey, StateKey, Step, TransactionReceipt, Trust, TrustError, ValidatorSet,
    VoteWeight, Weight, cbor,
};

/// The ledger that a recovery goes on from: whose weights and whose status may be other than at the beginning.
struct Ledger {
    rulebook: Rulebook,
    /// Where each organisation of the fixtures stands.
    status: [OrganisationStatus; 4],
}

impl Default for Ledger {
    fn default() -> Self {
        Self { rulebook: Rulebook::default(), status: [OrganisationStatus::Active; 4] }
    }
}

fn key_of(key: &SigningKey) -> [u8; 32] {
    key.public().as_bytes().try_into().unwrap()
}

/// The two that are left, and one machine that is new.
fn named() -> Vec<(SigningKey, &'static str)> {
    vec![
        (fixtures::validator(0), fixtures::ORGANISATIONS[0]),
        (fixtures::validator(1), fixtures::ORGANISATIONS[1]),
        (SigningKey::from_ed25519_seed(&[77; 32]), fixtures::ORGANISATIONS[3]),
    ]
}

/// An unsigned recovery from block 1,207, in epoch 2, and what each organisation needs to sign it.
fn draft(ledger: &Ledger) -> (Recovery, Vec<(ProvenRow, ProvenRow)>) {
    let genesis = fixtures::genesis();
    let active = ledger.status.iter().filter(|status| **status == OrganisationStatus::Active).count();
    let counters = CountersRow { registers: 1, organisations: 4, active: active as u32, policies: 1 };
    let mut rows =
        vec![(StateKey::rulebook(), cbor::encode(&ledger.rulebook)), (StateKey::counters(), counters.to_bytes())];
    for (organisation, status) in genesis.organisations.iter().zip(ledger.status) {
        let organisation: &GenesisOrganisation = organisation;
        let row = OrganisationRow { status, administrator_keys: 1, ..OrganisationRow::new(organisation, 0) };
        rows.push((StateKey::organisation(&organisation.id), row.to_bytes()));
        let id = PrincipalId::new(&organisation.id, "administrator").unwrap();
        let row = PrincipalRow::first(id.clone(), &organisation.principals[0], fixtures::TIME_MS);
        rows.push((StateKey::principal(&id), row.to_bytes()));
    }
    let keys = rows.iter().map(|(key, _)| *key).collect();
    let (root, proofs) = state_proof::prove(vec![rows.iter().cloned().collect()], keys);
    let mut proven = rows.into_iter().zip(proofs).map(|((_, row), (there, proof))| {
        assert!(there);
        ProvenRow { row: row.into(), proof: proof.into() }
    });
    let (rulebook, counters) = (proven.next().unwrap(), proven.next().unwrap());
    let organisations: Vec<(ProvenRow, ProvenRow)> =
        std::iter::from_fn(|| Some((proven.next()?, proven.next()?))).collect();
    let plain = fixtures::header(1_207, Hash::of(&[b"parent"]), LogCommitment::default(), root);
    let head = BlockHeader { epoch: 2, ..plain };
    let mut validators: Vec<GenesisValidator> = named()
        .iter()
        .map(|(key, organisation)| GenesisValidator {
            organisation: (*organisation).into(),
            key: key_of(key),
            address: String::new(),
        })
        .collect();
    validators.sort_by_key(|validator| validator.key);
    let recovery = Recovery {
        certificate: fixtures::certificate(&head, 3),
        head,
        validators,
        reason: "Two data centres burnt down".into(),
        rulebook,
        counters,
        organisations: organisations.iter().map(|(organisation, _)| organisation.clone()).collect(),
        approvals: Vec::new(),
    };
    (recovery, organisations)
}

/// The same, signed by the administrators of these organisations.
fn signed(ledger: &Ledger, by: &[u8]) -> Recovery {
    let (mut recovery, organisations) = draft(ledger);
    for organisation in by {
        let key = fixtures::administrator(*organisation);
        let signature = key.sign(&recovery.signed_bytes()).unwrap();
        let principal = organisations[usize::from(*organisation)].1.clone();
        recovery.approve(Approval { principal, key: key.public(), signature }).unwrap();
    }
    recovery
}

/// The fixture's receipt, certified by those who recovered the network.
fn receipt(recovery: Recovery) -> TransactionReceipt {
    let keys: Vec<SigningKey> = named().into_iter().map(|(key, _)| key).collect();
    let set = ValidatorSet::new(keys.iter().map(key_of).collect()).unwrap();
    let mut receipt = fixtures::receipt();
    let first = BlockHeader {
        epoch: 4,
        height: 1_300,
        validators: set.hash(),
        next_validators: set.hash(),
        ..receipt.finality.headers[0].clone()
    };
    receipt.finality.certificate = hand_over::certify(&first, &(set, keys));
    receipt.finality.headers = vec![first];
    receipt.finality.hand_overs = vec![Link::Recovery(Box::new(recovery))];
    receipt
}

/// A recovery that holds, as a file.
pub fn file() -> RecoveryFile {
    RecoveryFile { links: Vec::new(), recovery: signed(&Ledger::default(), &[0, 2, 3]) }
}

#[test]
fn a_receipt_says_that_the_network_was_recovered() {
    let genesis = fixtures::genesis();
    let recovery = signed(&Ledger::default(), &[3, 0, 2]);
    let bytes = Receipt::Transaction(receipt(recovery.clone())).to_bytes();
    println!("a receipt with a recovery of three signatures is {} bytes", bytes.len());
    let proven = Receipt::decode(&bytes).unwrap().check(&genesis).unwrap();
    assert_eq!((proven.hand_overs, proven.validators), (vec![4], 3));
    let [told] = &proven.recoveries[..] else { panic!("one recovery") };
    assert_eq!((told.height, told.epoch, told.reason.as_str()), (1_207, 4, "Two data centres burnt down"));
    let signers: Vec<String> = told.principals.iter().map(ToString::to_string).collect();
    assert_eq!(signers, ["cabinet-office/administrator", "hmrc/administrator", "regulator/administrator"]);
    assert_eq!(told.validators, recovery.validators);

    // Without it, nothing leads to those who certified; and those who are lost certify no more.
    let mut silent = receipt(recovery.clone());
    silent.finality.hand_overs.clear();
    assert_eq!(Receipt::Transaction(silent).check(&genesis).unwrap_err().step, Step::Certificate);
    let mut lost = receipt(recovery.clone());
    let header = fixtures::header(1_300, Hash::default(), LogCommitment::default(), Hash::default());
    lost.finality.headers = vec![BlockHeader { epoch: 2, ..header }];
    lost.finality.certificate = fixtures::certificate(&lost.finality.headers[0], 3);
    assert_eq!(Receipt::Transaction(lost).check(&genesis).unwrap_err().step, Step::Certificate);

    let file = RecoveryFile { links: Vec::new(), recovery };
    assert_eq!(RecoveryFile::decode(&file.to_bytes()), Ok(file));
}

#[test]
fn every_altered_bit_of_a_recovery_is_refused() {
    let genesis = fixtures::genesis();
    let good = Receipt::Transaction(receipt(signed(&Ledger::default(), &[0, 1, 2]))).to_bytes();
    for place in 0..good.len() {
        let mut forged = good.clone();
        forged[place] ^= 0x10;
        let held = Receipt::decode(&forged).is_ok_and(|receipt| receipt.check(&genesis).is_ok());
        assert!(!held, "byte {place} changed and the receipt still holds");
    }
}

/// One row a rulebook and a membership: who signs, of how many votes how many are needed, and how many those have.
#[test]
fn it_takes_as_many_as_a_change_of_the_validators_takes() {
    use OrganisationStatus::{Active, Suspended};
    let with = |threshold: &str, weights: &[(&str, u32)]| {
        let mut rulebook = Rulebook::default();
        for rule in rulebook.rules.iter_mut().filter(|rule| rule.kind.to_string() == "validators") {
            rule.threshold = threshold.parse().unwrap();
            rule.weight = if weights.is_empty() { Weight::Equal } else { Weight::Listed };
            assert_eq!(rule.vote, Circle::Members);
        }
        let weight =
            |(organisation, votes): &(&str, u32)| VoteWeight { organisation: (*organisation).into(), votes: *votes };
        rulebook.weights = weights.iter().map(weight).collect();
        rulebook
    };
    let all = [Active; 4];
    type Row<'a> = (Rulebook, [OrganisationStatus; 4], &'a [u8], (u64, u64, u64));
    let rows: Vec<Row> = vec![
        (with("2/3", &[]), all, &[0, 1, 2], (3, 3, 4)),
        (with("2/3", &[]), all, &[0, 1], (2, 3, 4)),
        (with("2/3", &[]), all, &[], (0, 3, 4)),
        (with("1/1", &[]), all, &[0, 1, 2], (3, 4, 4)),
        // Less than half would let each half go its own way.
        (with("1/4", &[]), all, &[0, 1], (2, 3, 4)),
        (with("2/3", &[]), [Active, Suspended, Active, Active], &[0, 2], (2, 2, 3)),
        (with("2/3", &[("cabinet-office", 6)]), all, &[0], (6, 6, 9)),
        (with("2/3", &[("cabinet-office", 6)]), all, &[1, 2, 3], (3, 6, 9)),
        (with("2/3", &[("council", 0), ("hmrc", 0)]), all, &[0, 3], (2, 2, 2)),
        (with("2/3", &[("council", 0), ("hmrc", 0)]), all, &[0, 1, 2], (1, 2, 2)),
    ];
    for (place, (rulebook, status, by, (votes, needed, of))) in rows.into_iter().enumerate() {
        let recovery = signed(&Ledger { rulebook, status }, by);
        let counted = recovery.approvals().unwrap_or_else(|error| panic!("row {place}: {error}"));
        assert_eq!((counted.votes, counted.needed, counted.all), (votes, needed, of), "row {place}");
        assert_eq!(recovery.check().is_ok(), votes >= needed, "row {place}");
    }
    // What is not shown counts as if it had the more votes.
    let mut hides = signed(&Ledger { rulebook: with("2/3", &[("council", 0), ("hmrc", 0)]), status: all }, &[0, 3]);
    hides.organisations.remove(2);
    assert_eq!(hides.approvals().map(|counted| (counted.needed, counted.all)), Ok((2, 3)));
}

/// One row a lie: what comes of it.
#[test]
fn unsound_recoveries_are_refused_by_name() {
    type Spoil = fn(&mut Recovery);
    let rows: &[(&str, Spoil)] = &[
        ("recovery-reason", |r| r.reason.clear()),
        ("recovery-validators", |r| r.validators.reverse()),
        ("recovery-validators", |r| r.validators.push(r.validators[2].clone())),
        ("recovery-validators", |r| r.validators.clear()),
        ("recovery-validators", |r| r.validators = fixtures::genesis().validators),
        ("recovery-member", |r| r.validators[0].organisation = "nobody".into()),
        ("recovery-signature", |r| r.reason.push('!')),
        ("recovery-signature", |r| r.validators[0].address = "elsewhere.example.org:9000".into()),
        ("recovery-signature", |r| r.head.height += 1),
        ("recovery-signature", |r| r.approvals[0].signature[5] ^= 1),
        ("recovery-key", |r| r.approvals[0].key = fixtures::administrator(3).public()),
        ("recovery-order", |r| r.approvals.swap(0, 1)),
        ("recovery-order", |r| r.approvals[1] = r.approvals[0].clone()),
        ("recovery-order", |r| r.organisations.swap(0, 1)),
        ("recovery-organisation", |r| _ = r.organisations.remove(2)),
        ("recovery-votes", |r| _ = r.approvals.pop()),
        ("recovery-proof", |r| r.head.state.root = Hash::default()),
        ("recovery-proof", |r| r.counters.row = CountersRow { active: 1, ..CountersRow::default() }.to_bytes().into()),
        ("recovery-proof", |r| std::mem::swap(&mut r.approvals[0].principal.proof, &mut r.rulebook.proof)),
        ("recovery-row", |r| r.rulebook.row = vec![0x80].into()),
    ];
    for (place, (code, spoil)) in rows.iter().enumerate() {
        let mut recovery = signed(&Ledger::default(), &[0, 1, 2]);
        spoil(&mut recovery);
        let error = recovery.check().expect_err(&format!("row {place}")).to_string();
        assert!(error.starts_with(&format!("{code}: ")), "row {place}: {error}");
    }
    // A suspended organisation does not sign, nor one whose administrator's key is of later than the head.
    let status = [
        OrganisationStatus::Suspended,
        OrganisationStatus::Active,
        OrganisationStatus::Active,
        OrganisationStatus::Active,
    ];
    let recovery = signed(&Ledger { status, ..Ledger::default() }, &[0, 1, 2]);
    assert_eq!(recovery.check(), Err(RecoveryError::Organisation("cabinet-office".into())));
}

#[test]
fn a_head_that_nobody_certified_is_no_head() {
    let genesis = fixtures::genesis();
    let walk = |recovery: Recovery| Trust::anchored(&genesis).unwrap().walk(&Link::Recovery(Box::new(recovery)));
    assert_eq!(walk(signed(&Ledger::default(), &[0, 1, 2])), Ok(()));
    let mut few = signed(&Ledger::default(), &[0, 1, 2]);
    few.certificate = fixtures::certificate(&few.head, 2);
    assert!(matches!(walk(few), Err(TrustError::Certificate(_))));
    let mut other = signed(&Ledger::default(), &[0, 1, 2]);
    other.certificate = fixtures::certificate(&BlockHeader { height: 1_208, ..other.head.clone() }, 3);
    assert!(matches!(walk(other), Err(TrustError::Block(_))));
    let mut foreign = signed(&Ledger::default(), &[0, 1, 2]);
    foreign.head.network.0[0] ^= 1;
    assert!(matches!(walk(foreign), Err(TrustError::Network { .. })));
    // Twice from the same block: the second leads nowhere.
    let mut trust = Trust::anchored(&genesis).unwrap();
    let link = Link::Recovery(Box::new(signed(&Ledger::default(), &[0, 1, 2])));
    trust.walk(&link).unwrap();
    assert_eq!((trust.first_epoch(), trust.calendar().epoch_of(1_208)), (4, 4));
    assert!(matches!(trust.walk(&link), Err(TrustError::Validators(2))));
}
