//! Disclosures: a record's receipt with openings of what is sealed in it; and ones tampered with.

use crate::{fixtures, state_proof::prove};
use rand::{SeedableRng as _, rngs::StdRng};
use std::collections::BTreeMap;
use tallystick_protocol::{
    CertifiedRoot, Claim, Disclosure, EntryKind, Hash, LogCommitment, Opening, OpeningFault, PartitionDisclosure,
    PartitionRootsRow, Place, Receipt, RecordAnswer, RecordReceipt, RecordRow, Secret, StateKey, Step, Subject,
    receipt::{Reason, question},
};

const REGISTER: u32 = 9;

fn opening(key: &str, field: &str, value: &str, seed: u64) -> Opening {
    let place = Place::new("patient", key, field, Subject::new("patient", key).unwrap()).unwrap();
    Opening::seal(place, Secret::new(value), &mut StdRng::seed_from_u64(seed)).unwrap()
}

/// The values sealed in the record: two fields of one value, and one of two.
fn openings() -> [Opening; 4] {
    [
        opening("p-17", "name", "Jane Doe", 1),
        opening("p-17", "address", "1 High Street", 2),
        opening("p-17", "alias", "Janet", 3),
        opening("p-17", "alias", "Jo", 4),
    ]
}

fn item() -> String {
    let [name, address, first, second] = openings().map(|opening| opening.commitment());
    format!(r#"{{"address":"{address}","alias":["{first}","{second}"],"name":"{name}","patient":"p-17","ward":"3"}}"#)
}

/// The record of this item.
fn row(item: &str) -> RecordRow {
    RecordRow {
        register: "patient".into(),
        key: "p-17".into(),
        kind: EntryKind::User,
        number: 6,
        timestamp: 1_460_000_000,
        items: vec![Hash::of(&[item.as_bytes()])],
        leaf: 20,
        height: 7,
    }
}

/// The record's disclosure with these openings.
fn disclosure(openings: Vec<Opening>) -> Disclosure {
    let row = row(&item());
    let place = StateKey::record(REGISTER, EntryKind::User, "p-17");
    let (root, proofs) = prove(vec![BTreeMap::from([(place, row.to_bytes())])], vec![place]);
    let (_, proof) = proofs.into_iter().next().unwrap();
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    let record = RecordReceipt {
        network: fixtures::genesis().id(),
        register: "patient".into(),
        key: "p-17".into(),
        answer: RecordAnswer::Current {
            number: REGISTER,
            row: row.to_bytes().into(),
            items: vec![item()],
            proof: proof.into(),
        },
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, root)),
    };
    Disclosure { record, openings }
}

fn fault(disclosure: &Disclosure) -> (Step, Option<OpeningFault>) {
    let error = Receipt::Disclosure(disclosure.clone()).check(&fixtures::genesis()).unwrap_err();
    match error.reason {
        Reason::Opening(fault) => (error.step, Some(fault)),
        _ => (error.step, None),
    }
}

#[test]
fn it_shows_the_values_that_are_opened_and_hides_the_others() {
    let genesis = fixtures::genesis();
    let [name, _, _, second] = openings();
    let receipt = Receipt::Disclosure(disclosure(vec![name.clone(), second.clone()]));
    let bytes = receipt.to_bytes();
    println!("a disclosure of two values is {} bytes", bytes.len());
    assert!(bytes.len() <= 8192, "{} bytes", bytes.len());
    assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(&receipt));
    let proven = receipt.check(&genesis).unwrap();
    let Claim::Disclosed { record, items, openings } = proven.claim else { panic!("it proves something else") };
    assert_eq!((record.key.as_str(), items, openings), ("p-17", vec![item()], vec![name, second]));
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("Jane Doe") && text.contains("Jo"));
    assert!(!text.contains("High Street") && !text.contains("Janet"));
    assert!(!format!("{receipt:?}").contains("Jane"), "what is written for a developer shows a value");
}

#[test]
fn every_altered_byte_is_refused() {
    let genesis = fixtures::genesis();
    let good = Receipt::Disclosure(disclosure(openings().to_vec())).to_bytes();
    assert!(Receipt::decode(&good).unwrap().check(&genesis).is_ok());
    for place in 0..good.len() {
        for bit in [1, 0x80] {
            let mut forged = good.clone();
            forged[place] ^= bit;
            let held = Receipt::decode(&forged).is_ok_and(|receipt| receipt.check(&genesis).is_ok());
            assert!(!held, "byte {place} bit {bit} changed and the disclosure still holds");
        }
    }
    for cut in 0..good.len() {
        assert!(Receipt::decode(&good[..cut]).is_err());
    }
}

#[test]
fn an_opening_must_open_what_the_record_holds_there() {
    let [name, address, first, _] = openings();
    let moved = Place::new("patient", "p-17", "address", Subject::new("patient", "p-17").unwrap()).unwrap();
    let moved = Opening::new(moved, name.value().clone(), name.blinding().clone()).unwrap();
    let lie = Opening::new(name.place().clone(), Secret::new("Mary Doe"), name.blinding().clone()).unwrap();
    let rows = [
        (vec![name.clone(), opening("p-18", "name", "Jane Doe", 1)], OpeningFault::Record(1)),
        (vec![lie], OpeningFault::Commitment(0)),
        (vec![moved], OpeningFault::Commitment(0)),
        (vec![opening("p-17", "ward", "3", 5)], OpeningFault::Commitment(0)),
        (vec![opening("p-17", "age", "40", 5)], OpeningFault::Commitment(0)),
        (vec![address.clone(), first.clone(), address], OpeningFault::Twice(2)),
    ];
    for (openings, expected) in rows {
        assert_eq!(fault(&disclosure(openings)), (Step::Openings, Some(expected)));
    }
}

#[test]
fn only_a_current_record_can_be_disclosed() {
    let mut old = disclosure(vec![openings()[0].clone()]);
    let RecordAnswer::Current { row, .. } = &mut old.record.answer else { unreachable!() };
    let earlier = RecordRow { number: 5, ..RecordRow::decode(row).unwrap() };
    *row = earlier.to_bytes().into();
    assert_eq!(fault(&old), (Step::State, None));

    let absent = StateKey::register("ward");
    let (root, proofs) = prove(vec![BTreeMap::from([(StateKey::rulebook(), vec![1])])], vec![absent]);
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    let record = RecordReceipt {
        network: fixtures::genesis().id(),
        register: "ward".into(),
        key: "p-17".into(),
        answer: RecordAnswer::NoRegister { question: question("ward", "p-17"), proof: proofs[0].1.clone().into() },
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, root)),
    };
    let none = Disclosure { record, openings: vec![openings()[0].clone()] };
    assert_eq!(fault(&none), (Step::Openings, Some(OpeningFault::Absent)));
}

/// The same value in a partition.
fn within(partition: &str, opening: &Opening) -> Opening {
    let place = opening.place().clone().within(Some(partition)).unwrap();
    Opening::new(place, opening.value().clone(), opening.blinding().clone()).unwrap()
}

/// A record of a partition in whose item these are sealed, disclosed with those openings.
fn shared(sealed: &Opening, openings: Vec<Opening>) -> Receipt {
    let item = format!(r#"{{"name":"{}","patient":"p-17"}}"#, sealed.commitment());
    let row = row(&item);
    let place = StateKey::record(REGISTER, EntryKind::User, "p-17");
    let (root, mut proofs) = prove(vec![BTreeMap::from([(place, row.to_bytes())])], vec![place]);
    let roots = PartitionRootsRow {
        ordered: 4,
        ordered_height: 8,
        certified: Some(CertifiedRoot { height: 8, root, since: 9 }),
        ..PartitionRootsRow::default()
    };
    let place = StateKey::partition_roots("health");
    let (public, mut public_proofs) = prove(vec![BTreeMap::from([(place, roots.to_bytes())])], vec![place]);
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    Receipt::Partition(PartitionDisclosure {
        network: fixtures::genesis().id(),
        partition: "health".into(),
        register: "patient".into(),
        key: "p-17".into(),
        number: REGISTER,
        row: row.to_bytes().into(),
        items: vec![item],
        openings,
        proof: proofs.remove(0).1.into(),
        roots: roots.to_bytes().into(),
        roots_proof: public_proofs.remove(0).1.into(),
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, public)),
    })
}

/// Also of a register of the same name in the public partition, or another one, a value opens nothing there.
#[test]
fn what_is_sealed_in_a_partition_is_shown_out_of_it_and_opens_there_alone() {
    let genesis = fixtures::genesis();
    let [public, address, ..] = openings();
    let name = within("health", &public);
    let good = shared(&name, vec![name.clone()]);
    assert_eq!(Receipt::decode(&good.to_bytes()).as_ref(), Ok(&good));
    let Claim::Shared(proven) = good.check(&genesis).unwrap().claim else { panic!("it proves something else") };
    assert_eq!(proven.openings, std::slice::from_ref(&name));
    assert!(shared(&name, Vec::new()).check(&genesis).is_ok(), "what is not opened stays hidden");
    let rows = [
        (&name, vec![public.clone()], OpeningFault::Record(0)),
        (&public, vec![public.clone()], OpeningFault::Record(0)),
        (&public, vec![name.clone()], OpeningFault::Commitment(0)),
        (&name, vec![within("tax", &public)], OpeningFault::Record(0)),
        (&name, vec![within("health", &address)], OpeningFault::Commitment(0)),
        (&name, vec![name.clone(), name.clone()], OpeningFault::Twice(1)),
    ];
    for (place, (sealed, openings, expected)) in rows.into_iter().enumerate() {
        let error = shared(sealed, openings).check(&genesis).unwrap_err();
        assert_eq!((error.step, error.reason), (Step::Openings, Reason::Opening(expected)), "row {place}");
    }
}
