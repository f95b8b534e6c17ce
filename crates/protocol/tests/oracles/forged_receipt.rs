//! A receipt with anything changed is refused, at the step that the change breaks.

use crate::fixtures;
use tallystick_protocol::{
    Claim, Code, Genesis, Hash, NetworkId, Outcome, Receipt, Step,
    receipt::{Reason, TransactionReceipt},
};

fn good() -> Receipt {
    Receipt::Transaction(fixtures::receipt())
}

#[test]
fn a_receipt_proves_who_what_when_and_how_many_signed() {
    let genesis = fixtures::genesis();
    let bytes = good().to_bytes();
    println!("a transaction's receipt is {} bytes", bytes.len());
    assert!(bytes.len() <= 4096, "{} bytes", bytes.len());
    let proven = Receipt::decode(&bytes).unwrap().check(&genesis).unwrap();
    assert_eq!(proven.network, genesis.id());
    assert_eq!((proven.height, proven.time_ms), (7, fixtures::TIME_MS + 7_000));
    assert_eq!((proven.signers.len(), proven.validators, proven.hand_overs), (3, 4, Vec::new()));
    let Claim::Transaction { principal, key, subject, operations, outcome, index, .. } = proven.claim else {
        panic!("of a transaction")
    };
    assert_eq!(principal.as_str(), "cabinet-office/administrator");
    assert_eq!(key, fixtures::administrator(0).public());
    assert_eq!(subject, "country:GB");
    assert_eq!(operations, [fixtures::append()]);
    assert!(outcome.is_accepted());
    assert_eq!(index, 20);
}

#[test]
fn every_altered_bit_is_refused() {
    let genesis = fixtures::genesis();
    let good = good().to_bytes();
    for place in 0..good.len() {
        // Every bit where signatures are not involved would take minutes; three cover both ends and the middle.
        for bit in [1, 8, 0x80] {
            let mut forged = good.clone();
            forged[place] ^= bit;
            let held = Receipt::decode(&forged).is_ok_and(|receipt| receipt.check(&genesis).is_ok());
            assert!(!held, "byte {place} bit {bit} changed and the receipt still holds");
        }
    }
    for cut in 0..good.len() {
        assert!(Receipt::decode(&good[..cut]).is_err());
    }
}

#[test]
fn each_altered_part_fails_at_its_step() {
    type Spoil = fn(&mut TransactionReceipt);
    let rows: &[(Spoil, Step)] = &[
        (|r| r.network = NetworkId([1; 16]), Step::Network),
        (|r| r.finality.headers[1].network = NetworkId([1; 16]), Step::Headers),
        (|r| r.finality.headers[0].time_ms += 1, Step::Headers),
        (|r| r.finality.headers.swap(0, 1), Step::Headers),
        (|r| r.finality.headers.clear(), Step::Headers),
        (|r| _ = r.finality.headers.remove(1), Step::Headers),
        (|r| r.finality.headers[2].validators = Hash::default(), Step::Certificate),
        (|r| _ = r.finality.headers.pop(), Step::Certificate),
        (|r| r.finality.certificate.view += 1, Step::Certificate),
        (|r| _ = r.finality.certificate.signatures.pop(), Step::Certificate),
        (|r| r.transaction = bytes::Bytes::from_static(b"\xd2"), Step::Transaction),
        (|r| r.transaction = flipped(&r.transaction), Step::Transaction),
        (|r| r.transaction = other_network(), Step::Transaction),
        (|r| r.height += 1, Step::Inclusion),
        (|r| r.height -= 1, Step::Inclusion),
        (|r| r.time_ms += 1, Step::Inclusion),
        (|r| r.outcome = Outcome::refused(Code::Schema, 0), Step::Inclusion),
        (|r| r.index = 21, Step::Inclusion),
        (|r| r.index = 37, Step::Inclusion),
        (|r| r.path.swap(0, 1), Step::Inclusion),
        (|r| _ = r.path.pop(), Step::Inclusion),
        (|r| r.path.clear(), Step::Inclusion),
    ];
    let genesis = fixtures::genesis();
    for (place, (spoil, step)) in rows.iter().enumerate() {
        let mut receipt = fixtures::receipt();
        spoil(&mut receipt);
        let error = Receipt::Transaction(receipt).check(&genesis).unwrap_err();
        assert_eq!(error.step, *step, "row {place}: {error}");
    }
}

fn flipped(bytes: &[u8]) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes.into()
}

fn other_network() -> bytes::Bytes {
    let mut intent = fixtures::intent(vec![fixtures::append()]);
    intent.network = NetworkId([1; 16]);
    intent.sign(&fixtures::administrator(0)).unwrap().bytes().clone()
}

#[test]
fn another_network_is_no_anchor() {
    let other = Genesis { nonce: [0; 16], ..fixtures::genesis() };
    let error = good().check(&other).unwrap_err();
    assert_eq!(error.step, Step::Network);
    assert!(matches!(error.reason, Reason::Network { .. }));
    assert!(error.to_string().ends_with("use that network's file"), "{error}");
}

#[test]
fn the_steps_are_listed_when_asked() {
    let mut receipt = fixtures::receipt();
    receipt.finality.certificate.signatures.pop();
    let error = Receipt::Transaction(receipt).check(&fixtures::genesis()).unwrap_err();
    let expected = "network: holds\nheaders: holds\nhand-overs: holds\n\
        certificate: FAILED: 2 of 4 validators signed, 3 must: ask another node\n\
        transaction: not reached\ninclusion: not reached";
    assert_eq!(format!("{error:#}"), expected);
    assert_eq!(error.to_string(), "certificate: 2 of 4 validators signed, 3 must: ask another node");
}
