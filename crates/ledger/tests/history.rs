//! Registers' histories through the ledger: real ones by import, random ones against an oracle that shares no code with it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use harness::{Ledger, describe};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tallystick_ledger::{
    TreeRow,
    rsf::{ImportLimits, Rsf},
};
use tallystick_protocol::{
    Code, Hash, ImportedEntry, NewEntry, Operation, Outcome, RecordRow, RegisterRow, StateKey, operation::EntryKind,
};
use tallystick_tests::absent::data;

#[test]
fn every_real_register_imports_to_its_root() {
    let Some(folder) = data("registers") else { return };
    let roots = fs::read(folder.join("roots.json")).unwrap();
    let roots: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&roots).unwrap();
    let mut ledger = Ledger::new();
    for (number, (file, expected)) in (1..).zip(&roots) {
        let bytes = fs::read(folder.join(file)).unwrap();
        let rsf = Rsf::parse(&bytes).unwrap();
        let definition = rsf.definition();
        let register = definition.register.clone().unwrap();
        // The fields as they were at first, so that the import has to bring them up to date.
        let create = Operation::RegisterCreate {
            register: register.clone(),
            text: String::new(),
            fields: vec![harness::field(&register)],
        };
        assert_eq!(describe(&ledger.act("alpha/admin", vec![create])), "ok", "{file}");
        // Small chunks, so that definitions and records cross the borders of transactions.
        let limits = ImportLimits { entries_max: 17, bytes_max: 20_000 };
        for operation in rsf.imports(&register, limits) {
            let outcome = ledger.act("alpha/admin", vec![operation.unwrap()]);
            assert!(outcome.is_accepted(), "{file}: {}", describe(&outcome));
        }
        let tree = TreeRow::decode(&ledger.rows[&StateKey::tree(number)]).unwrap();
        assert_eq!(format!("sha-256:{}", tree.user.root()), expected["final_root"].as_str().unwrap(), "{file}");
        assert_eq!(tree.user.size(), expected["user_entries"].as_u64().unwrap(), "{file}");
        assert_eq!(tree.system, rsf.count(EntryKind::System), "{file}");
        let row = RegisterRow::decode(&ledger.rows[&StateKey::register(&register)]).unwrap();
        assert_eq!((row.fields, row.text), (definition.fields, definition.text), "{file}");
        let latest: BTreeMap<(EntryKind, &str), _> =
            rsf.entries().iter().map(|entry| ((entry.kind, entry.key), entry)).collect();
        for ((kind, key), entry) in latest {
            let record = RecordRow::decode(&ledger.rows[&StateKey::record(number, kind, key)]).unwrap();
            assert_eq!((record.number, record.timestamp), (entry.number, entry.timestamp), "{file} {key}");
        }
    }
    // What was imported can go on: the schema that the register described itself by judges new entries.
    ledger.run(
        r#"
        alpha/clerk | append country ZZ {"country":"ZZ","name":"Zedland","start-date":"2020-01"} | ok country user 211+1
        alpha/clerk | append country ZY {"country":"ZY","name":"Y","start-date":"January"} | 0 schema (0 start-date datatype)
        alpha/clerk | append local-authority-eng ZZZ {"local-authority-eng":"ZZZ","local-authority-type":"XX"} | 0 schema (0 local-authority-type unresolved)
        alpha/clerk | append local-authority-eng ZZZ {"local-authority-eng":"ZZZ","local-authority-type":"UA"} | ok local-authority-eng user 388+1
        "#,
    );
}

#[test]
fn a_whole_register_as_its_largest_transactions() {
    let Some(folder) = data("registers") else { return };
    let bytes = fs::read(folder.join("local-authority-eng.rsf")).unwrap();
    let rsf = Rsf::parse(&bytes).unwrap();
    let definition = rsf.definition();
    let register = definition.register.clone().unwrap();
    let mut ledger = Ledger::new();
    let create = Operation::RegisterCreate {
        register: register.clone(),
        text: definition.text.clone(),
        fields: definition.fields.clone(),
    };
    assert!(ledger.act("alpha/admin", vec![create]).is_accepted());
    // Signing encodes and decodes again: the transactions are within the protocol's limits.
    for operation in rsf.imports(&register, ImportLimits::default()) {
        assert!(ledger.act("alpha/admin", vec![operation.unwrap()]).is_accepted());
    }
    let tree = TreeRow::decode(&ledger.rows[&StateKey::tree(1)]).unwrap();
    assert_eq!(tree.user.root(), rsf.root());
}

#[test]
fn imports_that_do_not_hold() {
    let mut ledger = Ledger::new();
    let root = |leaves: &[String]| naive_root(leaves).to_string();
    let first = leaf(1, "2019-01-01T00:00:00Z", "1", &[r#"{"a":"1"}"#]);
    let second = leaf(2, "2019-01-02T00:00:00Z", "1", &[r#"{"a":"1"}"#]);
    let (one, two) = (root(std::slice::from_ref(&first)), root(&[first, second]));
    ledger.run(&format!(
        r#"
        alpha/admin | create a a                                                              | ok
        alpha/admin | import a 2 1 {one} user 1 2019-01-01T00:00:00Z {{"a":"1"}}              | 0 import-number
        alpha/admin | import a 1 2 {one} user 1 2019-01-01T00:00:00Z {{"a":"1"}}              | 0 import-number
        alpha/admin | import a 1 1 - user 1 2019-01-01T00:00:00Z {{"a":"1"}}                  | 0 root-mismatch
        alpha/admin | import a 1 1 {two} user 1 2019-01-01T00:00:00Z {{"a":"1"}}              | 0 root-mismatch
        alpha/admin | import a 1 1 {one} user 1 2019-01-01T00:00:00Z {{ "a":"1"}}             | 0 item-not-canonical (0 not-canonical)
        alpha/admin | import a 1 1 {one} user 1 2019-01-02T00:00:00Z {{"a":"1"}} & user 2 2019-01-01T00:00:00Z {{"a":"2"}} & user 1 2019-01-01T00:00:00Z {{"a":"1"}} | 0 entry-order (2 older)
        alpha/admin | import a 1 1 {one} user 1 2020-01-01T00:00:01Z {{"a":"1"}}              | 0 entry-order (0 future)
        alpha/admin | import a 1 1 {one} user 1 2019-01-01T00:00:00Z {{"a":"1"}}              | ok a user 1+1
        # Again: the numbers have moved on. A continuation may repeat what the record says, but not go back in time.
        alpha/admin | import a 1 1 {one} user 1 2019-01-01T00:00:00Z {{"a":"1"}}              | 0 import-number
        alpha/admin | import a 2 1 {two} user 1 2018-12-31T23:59:59Z {{"a":"1"}}              | 0 entry-order (0 older)
        alpha/admin | phase a live                                                            | ok
        alpha/admin | import a 2 1 {two} user 1 2019-01-02T00:00:00Z {{"a":"1"}} & system name 2018-01-01T00:00:00Z {{"name":"a"}} | ok a system 1+1, a user 2+1
        # The schema of what was imported is not judged; that of what is appended is.
        alpha/admin | append a 1 {{"a":"1"}}                                                  | 0 entry-unchanged (0 unchanged)
        # System entries describe the register anew.
        alpha/admin | append a 2 {{"a":"2","b":"x"}}                                          | 0 schema (0 b unknown-field)
        alpha/admin | import a 3 2 {two} system field:b 2018-01-01T00:00:00Z {{"cardinality":"1","datatype":"integer","field":"b"}} & system register:a 2018-01-01T00:00:00Z {{"fields":["a","b"],"register":"a","text":"New"}} | ok a system 2+2
        alpha/admin | append a 2 {{"a":"2","b":"x"}}                                          | 0 schema (0 b datatype)
        alpha/admin | append a 2 {{"a":"2","b":"7"}}                                          | ok a user 3+1
        "#
    ));
    let row = RegisterRow::decode(&ledger.rows[&StateKey::register("a")]).unwrap();
    assert_eq!(row.text, "New");
}

#[test]
fn no_history_brings_personal_data_in_the_clear() {
    const SEALED: &str =
        "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";
    let one = naive_root(&[leaf(1, "2019-01-01T00:00:00Z", "1", &[&format!(r#"{{"a":"1","b":"{SEALED}"}}"#)])]);
    let table = r#"
        alpha/admin | create a a b!personal:a                                         | ok
        alpha/admin | import a 1 1 - user 1 2019-01-01T00:00:00Z {"a":"1","b":"Jane"} | 0 value-unsealed (0 b unsealed)
        # A definition that does not speak of the protection leaves it; none takes it away, says another, or protects the key.
        alpha/admin | import a 1 1 EMPTY system field:b 2019-01-01T00:00:00Z {"datatype":"text","field":"b"} | ok a system 1+1
        alpha/admin | import a 1 2 - user 1 2019-01-01T00:00:00Z {"a":"1","b":"Jane"} | 0 value-unsealed (0 b unsealed)
        alpha/admin | import a 1 2 - system field:b 2019-01-01T00:00:00Z {"protection":"restricted"} | 0 protection-invalid (1 b protection)
        alpha/admin | import a 1 2 - system register:a 2019-01-01T00:00:00Z {"fields":["a"]} | 0 protection-invalid (1 b protection)
        alpha/admin | import a 1 2 - system field:a 2019-01-01T00:00:00Z {"protection":"restricted"} | 0 protection-invalid (0 a protection, 1 b subject)
        # One may be added, and holds in the same import.
        alpha/admin | import a 1 2 - system field:c 2019-01-01T00:00:00Z {"protection":"personal:a"} & user 1 2019-01-01T00:00:00Z {"a":"1","c":"Jane"} | 0 value-unsealed (1 c unsealed)
        alpha/admin | import a 1 2 ONE user 1 2019-01-01T00:00:00Z {"a":"1","b":"SEALED"} | ok a user 1+1
        "#;
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let table = table.replace("SEALED", SEALED).replace("EMPTY", empty).replace("ONE", &one.to_string());
    Ledger::new().run(&table);
}

/// The leaf as openregister v1 writes it, composed by serde_json's own rules of quoting.
fn leaf(number: u64, timestamp: &str, key: &str, items: &[&str]) -> String {
    let hashes: Vec<String> =
        items.iter().map(|item| format!("sha-256:{}", hex::encode(Sha256::digest(item)))).collect();
    format!(
        r#"{{"index-entry-number":"{number}","entry-number":"{number}","entry-timestamp":"{timestamp}","key":{},"item-hash":{}}}"#,
        serde_json::json!(key),
        serde_json::json!(hashes)
    )
}

/// RFC 6962 section 2.1, word for word.
fn naive_root(leaves: &[String]) -> Hash {
    let hash = |parts: &[&[u8]]| {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        Hash(hasher.finalize().into())
    };
    match leaves {
        [] => hash(&[]),
        [leaf] => hash(&[&[0], leaf.as_bytes()]),
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            let (left, right) = leaves.split_at(k);
            hash(&[&[1], &naive_root(left).0, &naive_root(right).0])
        }
    }
}

/// One step of a random history of one register.
#[derive(Clone, Debug)]
enum Step {
    /// Seconds pass.
    Wait(u64),
    /// Entries of these keys and values are appended.
    Append(Vec<(u8, u8)>),
    /// Entries of these keys and values are imported, timed this many seconds ago; the flag: with the right root.
    Import(Vec<(u8, u8)>, u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let entries = || prop::collection::vec((0..6_u8, 0..3_u8), 1..5);
    prop_oneof![
        (1..50_u64).prop_map(Step::Wait),
        entries().prop_map(Step::Append),
        (entries(), 0..40_u64, prop::bool::weighted(0.8))
            .prop_map(|(entries, ago, right)| Step::Import(entries, ago, right)),
    ]
}

/// The register as a child would keep it: a list.
#[derive(Default)]
struct Model {
    entries: Vec<(String, String, u64)>,
}

impl Model {
    fn current(&self, key: &str) -> Option<&(String, String, u64)> {
        self.entries.iter().rfind(|(other, ..)| other == key)
    }

    fn root(&self) -> Hash {
        let leaves = self
            .entries
            .iter()
            .zip(1..)
            .map(|((key, item, seconds), number)| leaf(number, &rfc3339(*seconds), key, &[item]));
        naive_root(&leaves.collect::<Vec<_>>())
    }
}

/// Within January 2020 only: enough for the test, and plain.
fn rfc3339(seconds: u64) -> String {
    let s = seconds - 1_577_836_800;
    format!("2020-01-{:02}T{:02}:{:02}:{:02}Z", s / 86_400 + 1, s / 3_600 % 24, s / 60 % 60, s % 60)
}

fn item(key: u8, value: u8) -> (String, String) {
    (format!("k{key}"), format!(r#"{{"a":"k{key}","v":"{value}"}}"#))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_register_is_the_list_of_its_entries(steps in prop::collection::vec(step(), 1..25)) {
        let mut ledger = Ledger::new();
        ledger.time_ms += 100_000;
        ledger.run("alpha/admin | create a a v | ok");
        let mut model = Model::default();
        for step in steps {
            let now = ledger.time_ms / 1_000;
            let refusal = |outcome: &Outcome| match outcome {
                Outcome::Refused(refusal) => Some(refusal.code),
                Outcome::Accepted { .. } => None,
            };
            match step {
                Step::Wait(seconds) => ledger.time_ms += seconds * 1_000 + 1,
                Step::Append(entries) => {
                    let entries: Vec<(String, String)> = entries.into_iter().map(|(k, v)| item(k, v)).collect();
                    let mut next = Model { entries: model.entries.clone() };
                    let mut unchanged = false;
                    for (key, item) in &entries {
                        unchanged |= next.current(key).is_some_and(|(_, current, _)| current == item);
                        next.entries.push((key.clone(), item.clone(), now));
                    }
                    let entries = entries.into_iter().map(|(key, item)| NewEntry { key, items: vec![item] }).collect();
                    let outcome = ledger.act("alpha/clerk", vec![Operation::EntryAppend { register: "a".into(), entries }]);
                    prop_assert_eq!(refusal(&outcome), unchanged.then_some(Code::EntryUnchanged));
                    if !unchanged { model = next; }
                }
                Step::Import(entries, ago, right) => {
                    let timestamp = now - ago;
                    let mut next = Model { entries: model.entries.clone() };
                    let mut older = false;
                    for (key, item) in entries.iter().map(|(k, v)| item(*k, *v)) {
                        older |= next.current(&key).is_some_and(|(.., current)| *current > timestamp);
                        next.entries.push((key, item, timestamp));
                    }
                    let import = Operation::RegisterImport {
                        register: "a".into(),
                        user_first: model.entries.len() as u64 + 1,
                        system_first: 1,
                        entries: entries.iter().map(|(k, v)| {
                            let (key, item) = item(*k, *v);
                            ImportedEntry { kind: EntryKind::User, key, timestamp, items: vec![item] }
                        }).collect(),
                        root: if right { next.root() } else { model.root() },
                    };
                    let expected = if older { Some(Code::EntryOrder) } else if right { None } else { Some(Code::RootMismatch) };
                    prop_assert_eq!(refusal(&ledger.act("alpha/admin", vec![import])), expected);
                    if expected.is_none() { model = next; }
                }
            }
            let tree = TreeRow::decode(&ledger.rows[&StateKey::tree(1)]).unwrap();
            prop_assert_eq!(tree.user.root(), model.root());
            let keys: BTreeSet<&String> = model.entries.iter().map(|(key, ..)| key).collect();
            for key in keys {
                let record = RecordRow::decode(&ledger.rows[&StateKey::record(1, EntryKind::User, key)]).unwrap();
                let number = model.entries.iter().rposition(|(other, ..)| other == key).unwrap();
                let (_, item, timestamp) = &model.entries[number];
                prop_assert_eq!(record.number, number as u64 + 1);
                prop_assert_eq!(record.timestamp, *timestamp);
                prop_assert_eq!(record.items, vec![Hash(Sha256::digest(item).into())]);
            }
        }
    }
}
