//! Receipts of a later epoch: the chain of hand-overs leads to it from the genesis, and a broken one leads nowhere.

use crate::fixtures;
use tallystick_protocol::{
    BlockHeader, FinalityCertificate, HandOver, Hash, Link, LogCommitment, PublicKey, Receipt, SigningKey, Step,
    TransactionReceipt, ValidatorSet,
};

/// A key that is no genesis validator's.
fn joining(n: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[n + 40; 32])
}

fn key_of(key: &SigningKey) -> [u8; 32] {
    let PublicKey::Ed25519(bytes) = key.public() else { panic!("an Ed25519 key") };
    bytes
}

/// The sets of three epochs: the genesis' four; one more; and without two of the first.
fn sets() -> Vec<(ValidatorSet, Vec<SigningKey>)> {
    let first: Vec<SigningKey> = (0..4).map(fixtures::validator).collect();
    let second: Vec<SigningKey> = (0..4).map(fixtures::validator).chain([joining(0)]).collect();
    let third: Vec<SigningKey> = (2..4).map(fixtures::validator).chain([joining(0), joining(1)]).collect();
    [first, second, third]
        .into_iter()
        .map(|keys| (ValidatorSet::new(keys.iter().map(key_of).collect()).unwrap(), keys))
        .collect()
}

/// A certificate by the first of these that make a quorum.
pub fn certify(header: &BlockHeader, (set, keys): &(ValidatorSet, Vec<SigningKey>)) -> FinalityCertificate {
    let mut certificate = FinalityCertificate {
        epoch: header.epoch,
        view: header.view,
        parent_view: header.parent_view,
        block: header.hash(),
        signatures: Vec::new(),
    };
    let message = certificate.signed_bytes(&header.network);
    for (index, member) in set.keys().iter().enumerate().take(set.quorum()) {
        let key = keys.iter().find(|key| key_of(key) == *member).unwrap();
        certificate.signatures.push((index as u32, key.sign(&message).unwrap()));
    }
    certificate
}

fn header(height: u64, epoch: u64, validators: &ValidatorSet, next: &ValidatorSet) -> BlockHeader {
    let plain = fixtures::header(height, Hash::of(&[b"parent"]), LogCommitment::default(), Hash::default());
    BlockHeader { epoch, validators: validators.hash(), next_validators: next.hash(), ..plain }
}

/// The fixture's receipt, seven epochs later: the sets changed with the second and the fifth.
pub fn receipt() -> TransactionReceipt {
    let sets = sets();
    let links = [(1, 0, 1), (4, 1, 2)].map(|(epoch, old, new)| {
        let header = header(epoch * 600 + 7, epoch, &sets[old].0, &sets[new].0);
        let certificate = certify(&header, &sets[old]);
        HandOver { header, certificate, validators: sets[new].0.clone() }
    });
    let mut receipt = fixtures::receipt();
    let first = BlockHeader {
        epoch: 7,
        height: 4_207,
        validators: sets[2].0.hash(),
        next_validators: sets[2].0.hash(),
        ..receipt.finality.headers[0].clone()
    };
    receipt.finality.certificate = certify(&first, &sets[2]);
    receipt.finality.headers = vec![first];
    receipt.finality.hand_overs = links.map(Link::HandOver).to_vec();
    receipt
}

#[test]
fn a_chain_of_hand_overs_leads_to_a_later_epoch() {
    let genesis = fixtures::genesis();
    let bytes = Receipt::Transaction(receipt()).to_bytes();
    println!("a receipt with two hand-overs is {} bytes", bytes.len());
    let proven = Receipt::decode(&bytes).unwrap().check(&genesis).unwrap();
    assert_eq!(proven.hand_overs, [2, 5]);
    assert_eq!((proven.signers.len(), proven.validators), (3, 4));
    assert!(proven.signers.contains(&key_of(&joining(0))) || proven.signers.contains(&key_of(&joining(1))));
    let link = receipt().finality.hand_overs.remove(0);
    assert_eq!(Link::decode(&link.to_bytes()), Ok(link.clone()));
    let Link::HandOver(link) = link else { panic!("a hand-over") };
    assert_eq!(HandOver::decode(&link.to_bytes()), Ok(link));
}

fn change(receipt: &mut TransactionReceipt, place: usize, change: impl FnOnce(&mut HandOver)) {
    match &mut receipt.finality.hand_overs[place] {
        Link::HandOver(link) => change(link),
        Link::Recovery(_) => panic!("a hand-over"),
    }
}

#[test]
fn each_altered_link_is_refused() {
    type Spoil = fn(&mut TransactionReceipt);
    let rows: &[(Spoil, Step)] = &[
        (|r| _ = r.finality.hand_overs.remove(0), Step::HandOvers),
        (|r| r.finality.hand_overs.swap(0, 1), Step::HandOvers),
        (|r| r.finality.hand_overs[1] = r.finality.hand_overs[0].clone(), Step::HandOvers),
        (|r| change(r, 0, |link| link.header.height += 1), Step::HandOvers),
        (|r| change(r, 0, |link| link.header.network.0[0] ^= 1), Step::HandOvers),
        (|r| change(r, 1, |link| link.validators = sets()[1].0.clone()), Step::HandOvers),
        (|r| change(r, 1, |link| _ = link.certificate.signatures.pop()), Step::HandOvers),
        // The second set certifies in an epoch that is not its yet.
        (
            |r| {
                let sets = sets();
                let early = header(7, 0, &sets[1].0, &sets[2].0);
                let certificate = certify(&early, &sets[1]);
                let link = HandOver { header: early, certificate, validators: sets[2].0.clone() };
                r.finality.hand_overs[1] = Link::HandOver(link);
            },
            Step::HandOvers,
        ),
        (|r| _ = r.finality.hand_overs.pop(), Step::Certificate),
        (|r| r.finality.hand_overs.clear(), Step::Certificate),
        // Those who were voted out certify on.
        (
            |r| {
                let sets = sets();
                r.finality.headers[0].validators = sets[0].0.hash();
                r.finality.certificate = certify(&r.finality.headers[0], &sets[0]);
            },
            Step::Certificate,
        ),
    ];
    let genesis = fixtures::genesis();
    for (place, (spoil, step)) in rows.iter().enumerate() {
        let mut receipt = receipt();
        spoil(&mut receipt);
        let error = Receipt::Transaction(receipt).check(&genesis).expect_err(&format!("row {place}"));
        assert_eq!(error.step, *step, "row {place}: {error}");
    }
}

#[test]
fn every_altered_bit_of_a_link_is_refused() {
    let genesis = fixtures::genesis();
    let good = Receipt::Transaction(receipt()).to_bytes();
    for place in 0..good.len() {
        let mut forged = good.clone();
        forged[place] ^= 0x10;
        let held = Receipt::decode(&forged).is_ok_and(|receipt| receipt.check(&genesis).is_ok());
        assert!(!held, "byte {place} changed and the receipt still holds");
    }
}
