//! Disclosures: a record's receipt with openings of what is sealed in it; and ones tampered with.

use crate::{fixtures, state_proof::prove};
use rand::{SeedableRng as _, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{
    BlindRow, CertifiedRoot, Claim, Disclosure, EntryKind, Evidence, FieldDisclosure, FieldLeaf, FieldPlace, FieldsRow,
    Hash, LogCommitment, Opening, OpeningFault, PartitionDisclosure, PartitionRootsRow, Payload, Place, Receipt,
    RecordAnswer, RecordReceipt, RecordRow, Secret, ShownField, StateKey, Step, Subject, Tree,
    limits::DISCLOSED_FIELDS_MAX,
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

/// A row as a partition's state has it.
fn hidden(row: Vec<u8>) -> BlindRow {
    BlindRow { row: row.into(), blind: Hash::of(&[b"a blind"]) }
}

/// A record of a partition in whose item these are sealed, disclosed with those openings.
fn shared(sealed: &Opening, openings: Vec<Opening>) -> Receipt {
    let item = format!(r#"{{"name":"{}","patient":"p-17"}}"#, sealed.commitment());
    let row = row(&item);
    let place = StateKey::record(REGISTER, EntryKind::User, "p-17");
    let (root, mut proofs) =
        prove(vec![BTreeMap::from([(place, hidden(row.to_bytes()).stored().to_vec())])], vec![place]);
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
        row: hidden(row.to_bytes()),
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

/// A payload of a member, from whose blinding salts come.
fn payload(seed: u64) -> Payload {
    let evidence = Evidence { height: 8, rows: BTreeMap::new() };
    Payload::new(vec![vec![1; 10].into()], evidence, &mut StdRng::seed_from_u64(seed)).unwrap()
}

const fn place_of(item: u32, field: &str) -> FieldPlace<'_> {
    FieldPlace { transaction: 0, register: "patient", key: "p-17", entry: 0, item, field }
}

/// Values that are not sealed, beside a name that is, in two items.
const CLEAR: [(u32, &str, &str); 5] = [
    (0, "age", r#""forty""#),
    (0, "alias", r#"["Jan","Jo"]"#),
    (0, "ward", r#""three""#),
    (1, "age", r#""forty-one""#),
    (1, "ward", r#""four""#),
];

fn leaves(name: &Opening) -> Vec<FieldLeaf> {
    let mut all = CLEAR.map(|(item, field, value)| (item, field, value.to_owned())).to_vec();
    all.insert(2, (0, "name", format!("\"{}\"", name.commitment())));
    let leaf = |(item, field, value): (u32, &str, String)| {
        let salt = payload(1).field_salt(&place_of(item, field));
        FieldLeaf { item, field: field.to_owned(), value, salt }
    };
    all.into_iter().map(leaf).collect()
}

/// Those leaves of a record of a partition, disclosed with these openings.
fn fields_alone(leaves: &[FieldLeaf], asked: &[u64], openings: Vec<Opening>) -> FieldDisclosure {
    let mut tree = Tree::new();
    leaves.iter().for_each(|leaf| tree.push(leaf.hash()));
    let row =
        FieldsRow { register: "patient".into(), key: "p-17".into(), entry: 6, root: tree.root(), count: tree.size() };
    let place = StateKey::private_fields(REGISTER, "p-17");
    let (root, mut proofs) =
        prove(vec![BTreeMap::from([(place, hidden(row.to_bytes()).stored().to_vec())])], vec![place]);
    let certified = Some(CertifiedRoot { height: 8, root, since: 9 });
    let roots = PartitionRootsRow { ordered: 4, ordered_height: 8, certified, ..PartitionRootsRow::default() };
    let place = StateKey::partition_roots("health");
    let (public, mut public_proofs) = prove(vec![BTreeMap::from([(place, roots.to_bytes())])], vec![place]);
    let log = LogCommitment { size: 400, ..LogCommitment::default() };
    let shown = |index: &u64| ShownField {
        leaf: leaves[usize::try_from(*index).unwrap()].clone(),
        index: *index,
        path: tree.inclusion(*index, tree.size()).unwrap(),
    };
    FieldDisclosure {
        network: fixtures::genesis().id(),
        partition: "health".into(),
        register: "patient".into(),
        key: "p-17".into(),
        number: REGISTER,
        row: hidden(row.to_bytes()),
        fields: asked.iter().map(shown).collect(),
        openings,
        proof: proofs.remove(0).1.into(),
        roots: roots.to_bytes().into(),
        roots_proof: public_proofs.remove(0).1.into(),
        finality: fixtures::finality(fixtures::header(9, Hash::of(&[b"parent"]), log, public)),
    }
}

fn sealed_name() -> Opening {
    within("health", &openings()[0])
}

#[test]
fn fields_are_shown_alone_and_nothing_tells_of_the_others() {
    let (genesis, name) = (fixtures::genesis(), sealed_name());
    let leaves = leaves(&name);
    let receipt = Receipt::Fields(Box::new(fields_alone(&leaves, &[1, 2], vec![name.clone()])));
    let bytes = receipt.to_bytes();
    println!("a disclosure of two fields is {} bytes", bytes.len());
    assert!(bytes.len() <= 8 * 1_024, "{} bytes", bytes.len());
    assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(&receipt));
    let Claim::SharedFields(shared) = receipt.check(&genesis).unwrap().claim else {
        panic!("it proves something else")
    };
    assert_eq!((shared.partition.as_str(), shared.certified.height, shared.row.entry), ("health", 8, 6));
    let shown: Vec<&str> = shared.fields.iter().map(|field| field.leaf.value.as_str()).collect();
    assert_eq!(shown, [r#"["Jan","Jo"]"#, &format!("\"{}\"", name.commitment())]);
    assert_eq!(shared.openings, [name]);
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(holds(b"Jane Doe") && holds(b"Jo"));
    // Neither a value, nor the name of its field, nor what it could be guessed from: its salt, or a hash without one.
    for (place, leaf) in leaves.iter().enumerate().filter(|(place, _)| ![1, 2].contains(place)) {
        let value = leaf.value.trim_matches('"');
        assert!(!holds(value.as_bytes()) && !holds(&leaf.salt.0), "field {place}");
        for guess in [value, &leaf.value, &format!(r#"{{"{}":{}}}"#, leaf.field, leaf.value)] {
            assert!(!holds(&Hash::of(&[guess.as_bytes()]).0), "field {place} as {guess}");
        }
    }
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let is_refused = Receipt::decode(&forged).map_or(true, |forged| forged.check(&genesis).is_err());
        assert!(is_refused, "byte {at} was changed");
    }
}

/// One row a forgery, with the step that finds it.
#[test]
fn a_field_must_be_the_record_s() {
    type Spoil = fn(&mut FieldDisclosure);
    let (genesis, name) = (fixtures::genesis(), sealed_name());
    let honest = fields_alone(&leaves(&name), &[0, 2], vec![name.clone()]);
    assert!(Receipt::Fields(Box::new(honest.clone())).check(&genesis).is_ok());
    let rows: &[(&str, Spoil, Step)] = &[
        ("another key", |d| d.key = "p-18".into(), Step::Row),
        ("another register", |d| d.register = "ward".into(), Step::Row),
        ("another partition", |d| d.partition = "tax".into(), Step::State),
        ("another register's number", |d| d.number = 8, Step::Partition),
        ("the row of another entry", |d| d.row = changed(&d.row, |row| row.entry = 5), Step::Partition),
        ("another record's row", |d| d.row = changed(&d.row, |row| row.root = Hash::default()), Step::Partition),
        ("another blind", |d| d.row.blind = Hash::default(), Step::Partition),
        ("another proof", |d| d.proof = d.roots_proof.clone(), Step::Partition),
        ("another value", |d| d.fields[0].leaf.value = r#""fifty""#.into(), Step::Fields),
        ("another spelling", |d| d.fields[0].leaf.value = r#" "forty""#.into(), Step::Fields),
        ("another field", |d| d.fields[0].leaf.field = "ward".into(), Step::Fields),
        ("another item", |d| d.fields[0].leaf.item = 1, Step::Fields),
        ("another salt", |d| d.fields[0].leaf.salt = Hash::default(), Step::Fields),
        ("another field's salt", |d| d.fields[0].leaf.salt = d.fields[1].leaf.salt, Step::Fields),
        ("another place", |d| d.fields[0].index = 1, Step::Fields),
        ("beyond the last", |d| d.fields[1].index = 6, Step::Fields),
        ("a path cut", |d| _ = d.fields[0].path.pop(), Step::Fields),
        ("a path too long", |d| d.fields[0].path.push(Hash::default()), Step::Fields),
        ("another path", |d| d.fields[0].path = d.fields[1].path.clone(), Step::Fields),
        ("out of order", |d| d.fields.swap(0, 1), Step::Fields),
        ("one twice", |d| d.fields[1] = d.fields[0].clone(), Step::Fields),
        ("an opening of what is not shown", |d| _ = d.fields.pop(), Step::Openings),
        ("an opening twice", |d| d.openings.push(d.openings[0].clone()), Step::Openings),
        ("an opening of the public partition", |d| d.openings = vec![openings()[0].clone()], Step::Openings),
        ("a value that is not sealed", |d| d.openings = vec![within("health", &openings()[1])], Step::Openings),
    ];
    for (what, spoil, step) in rows {
        let mut forged = honest.clone();
        spoil(&mut forged);
        let error = Receipt::Fields(Box::new(forged)).check(&genesis).unwrap_err();
        assert_eq!(error.step, *step, "{what}: {error}");
    }
    let mut many = honest.clone();
    many.fields = vec![honest.fields[0].clone(); DISCLOSED_FIELDS_MAX + 1];
    assert!(Receipt::decode(&Receipt::Fields(Box::new(many)).to_bytes()).is_err(), "too many fields");
    let none = FieldDisclosure { fields: Vec::new(), ..honest };
    assert!(Receipt::decode(&Receipt::Fields(Box::new(none)).to_bytes()).is_err(), "no field");
}

/// Whoever certifies what is neither a text nor a list of texts shows nothing.
#[test]
fn a_value_is_a_text_or_a_list_of_texts() {
    let genesis = fixtures::genesis();
    for value in ["12", "null", r#"{"a":"b"}"#, r#"["a",["b"]]"#, "forty"] {
        let leaf = FieldLeaf { item: 0, field: "age".into(), value: value.into(), salt: Hash::default() };
        let error = Receipt::Fields(Box::new(fields_alone(&[leaf], &[0], Vec::new()))).check(&genesis).unwrap_err();
        assert_eq!((error.step, error.reason), (Step::Fields, Reason::FieldValue(0)), "{value}");
    }
}

fn changed(row: &BlindRow, change: fn(&mut FieldsRow)) -> BlindRow {
    let mut changed = FieldsRow::decode(&row.row).unwrap();
    change(&mut changed);
    BlindRow { row: changed.to_bytes().into(), ..row.clone() }
}

/// Whatever of a field's place differs, and of whatever payload it is, its salt is another.
#[test]
fn no_two_fields_have_one_salt() {
    let here = place_of(0, "age");
    let places = [
        here,
        FieldPlace { transaction: 1, ..here },
        FieldPlace { register: "patien", key: "tp-17", ..here },
        FieldPlace { key: "p-18", ..here },
        FieldPlace { entry: 1, ..here },
        FieldPlace { item: 1, ..here },
        FieldPlace { field: "ward", ..here },
    ];
    let salts = [1, 2].map(|seed| places.map(|place| payload(seed).field_salt(&place)));
    let all: BTreeSet<Hash> = salts.iter().flatten().copied().collect();
    assert_eq!(all.len(), 2 * places.len());
    assert_eq!(payload(1).field_salt(&here), salts[0][0], "who has the payload derives it again");
}

#[test]
fn the_row_of_fields_is_bounded() {
    let row = FieldsRow { register: "r".into(), key: "k".into(), entry: 1, root: Hash::default(), count: 2_048 };
    assert_eq!(FieldsRow::decode(&row.to_bytes()).as_ref(), Ok(&row));
    let more = FieldsRow { count: 2_049, ..row };
    assert!(FieldsRow::decode(&more.to_bytes()).unwrap_err().to_string().contains("at most 2048 fields"));
}
