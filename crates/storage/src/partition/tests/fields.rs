//! The row of a record's fields is that of its latest entry, whoever executes it and when.

use super::*;
use tallystick_protocol::{FieldsRow, RecordRow, Tree};

/// The row of the fields of a record, if it is of the record's entry, and every field that is shown is under it.
async fn fields_of<E: Context + Spawner>(partition: &Partition<E>, key: &str) -> Option<FieldsRow> {
    let row = partition.row(&StateKey::private_fields(1, key)).await.map(|row| FieldsRow::decode(&row).unwrap());
    let record = partition.record("child", key).await;
    assert_eq!(row.is_some(), record.is_some(), "{key}");
    let (row, RecordRow { number, .. }) = (row?, record?);
    assert_eq!((row.register.as_str(), row.key.as_str(), row.entry), ("child", key, number));
    Some(row)
}

/// Those of an entry: which transaction of the payload appends it, and which entry of that it is. Shares nothing with what is judged but the
/// leaves.
fn root(placed: &Placed, (transaction, entry): (u32, u32), (key, note): (&str, &str)) -> Hash {
    let mut tree = Tree::new();
    for (field, value) in [("child", key), ("note", note)] {
        let place = tallystick_protocol::FieldPlace { transaction, register: "child", key, entry, item: 0, field };
        let salt = placed.opened.payload().field_salt(&place);
        let leaf = tallystick_protocol::FieldLeaf { item: 0, field: field.into(), value: format!("\"{value}\""), salt };
        tree.push(leaf.hash());
    }
    tree.root()
}

fn entry(key: &str, note: &str) -> NewEntry {
    NewEntry { key: key.into(), items: vec![format!(r#"{{"child":"{key}","note":"{note}"}}"#)] }
}

fn entries(entries: Vec<NewEntry>) -> Operation {
    Operation::EntryAppend { register: "child".into(), entries }
}

#[test]
fn the_row_of_fields_follows_each_entry_and_is_the_same_for_who_replays() {
    deterministic::Runner::default().start(|context| async move {
        let open = |label: &'static str| Partition::open(context.child(label), label, genesis().id(), "health", TIP);
        let (mut one, mut other) = (open("one").await, open("other").await);
        let of = |number: u8, operations| sign("a", Some("health"), number, operations);
        // Each payload, with where in it the last entry of `c-1` is, and what that says.
        type Expected = ((u32, u32), &'static str);
        let payloads: Vec<(Vec<VerifiedTransaction>, Option<Expected>)> = vec![
            (vec![of(1, create())], None),
            (vec![of(2, append("first"))], Some(((0, 0), "first"))),
            (
                vec![
                    of(3, append("second")),
                    of(
                        4,
                        vec![entries(vec![entry("c-2", "x"), entry("c-1", "y")]), entries(vec![entry("c-1", "third")])],
                    ),
                    // Refused, and so without a trace.
                    of(
                        5,
                        vec![entries(vec![
                            entry("c-1", "fourth"),
                            NewEntry { key: "c-3".into(), items: vec!["{}".into()] },
                        ])],
                    ),
                    of(6, read("c-1")),
                ],
                Some(((1, 2), "third")),
            ),
            (vec![of(7, correct(5, "right"))], Some(((0, 0), "right"))),
            (vec![of(8, vec![entries(vec![entry("c-2", "z")])])], None),
        ];
        let mut last = None;
        let mut blocks = Vec::new();
        for ((transactions, expected), height) in payloads.into_iter().zip(7..) {
            let evidence = evidence(&one, &transactions[0]).await;
            let bytes = transactions.iter().map(|one| one.bytes().clone()).collect();
            let placed = together(bytes, evidence, height);
            if let Some((at, note)) = expected {
                last = Some(root(&placed, at, ("c-1", note)));
            }
            let block = block(height, vec![placed]);
            let done = one.execute(&block).await;
            let refused: Vec<u64> = done.iter().filter(|one| code(one) != "ok").map(|one| one.number).collect();
            assert!(refused.is_empty() || refused == [4], "{done:?}");
            assert_eq!(fields_of(&one, "c-1").await.map(|row| (row.root, row.count)), last.map(|root| (root, 2)));
            blocks.push(block);
        }
        assert_eq!(fields_of(&one, "c-2").await.unwrap().count, 2);
        assert_eq!(fields_of(&one, "c-3").await, None);
        for block in &blocks {
            other.execute(block).await;
        }
        assert_eq!(one.root(), other.root());
        // The proof leads to the root, and what is shown leads to the row.
        let proven = other.prove_fields(1, "c-1").await.unwrap();
        let place = StateKey::private_fields(1, "c-1");
        tallystick_protocol::proof::verify_current(&place, &proven.row.stored(), &proven.proof, &proven.root).unwrap();
        let (payload, row) = (&blocks[3].payloads[0].opened, FieldsRow::decode(&proven.row.row).unwrap());
        let transaction = payload.transactions()[0].as_ref().unwrap();
        let fields = Fields::of(payload.payload(), (transaction, 0), ("child", "c-1")).unwrap();
        assert_eq!(fields.row("child", "c-1", row.entry), row);
        let shown = fields.shown(|field| field == "note");
        assert_eq!(shown.len(), 1);
        assert_eq!((shown[0].leaf.value.as_str(), shown[0].check(&row)), (r#""right""#, Ok(())));
        assert!(Fields::of(payload.payload(), (transaction, 0), ("child", "c-2")).is_none());
    });
}

/// A state proof holds hashes of its neighbours: by none of them can a row be guessed, for each has a blind of its own, another each time it is
/// written, and the same at every member.
#[test]
fn each_row_is_hidden_by_a_blind_of_its_own() {
    deterministic::Runner::default().start(|context| async move {
        let open = |label: &'static str| Partition::open(context.child(label), label, genesis().id(), "health", TIP);
        let (mut one, mut other) = (open("one").await, open("other").await);
        let keys =
            [StateKey::private_fields(1, "c-1"), StateKey::record(1, tallystick_protocol::EntryKind::User, "c-1")];
        let mut blinds = BTreeSet::new();
        let steps = [create(), append("first"), append("second")];
        for (operations, height) in steps.into_iter().zip(7u8..) {
            let transaction = sign("a", Some("health"), height, operations);
            let evidence = evidence(&one, &transaction).await;
            let block = block(height.into(), vec![placed(transaction.bytes().clone(), evidence, height.into())]);
            for partition in [&mut one, &mut other] {
                assert_eq!(code(&partition.execute(&block).await[0]), "ok");
            }
            for key in &keys {
                let [stored, of_other] = [one.stored(key).await, other.stored(key).await];
                assert_eq!(stored, of_other);
                let Some(stored) = stored else { continue };
                assert!(blinds.insert(stored.blind), "a blind twice");
                assert_eq!(one.row(key).await, Some(stored.row.clone()));
                let ProvenRow { row, proof, root } = one.prove(key).await.unwrap();
                tallystick_protocol::proof::verify_current(key, &row.stored(), &proof, &root).unwrap();
                assert!(tallystick_protocol::proof::verify_current(key, &row.row, &proof, &root).is_err());
            }
        }
        assert_eq!(blinds.len(), 4);
    });
}
