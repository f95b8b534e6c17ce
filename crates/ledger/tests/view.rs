//! What was fetched beforehand changes nothing: outcomes and changes are the same for every prefetch and every order.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeMap;

use harness::{Ledger, operation};
use proptest::prelude::*;
use tallystick_ledger::{Missing, View, apply, policy::STARTER, wanted, wanted_next};
use tallystick_protocol::{Outcome, StateKey, VerifiedTransaction};

/// Transactions that touch every noun, succeed and fail, and depend on one another.
const ACTS: [(&str, &str); 26] = [
    ("alpha/admin", "create country country name"),
    ("beta/admin", "create country country"),
    ("alpha/admin", "create town town country:string:1:country twin:curie:n"),
    ("beta/admin", "create lake lake town:curie"),
    ("alpha/clerk", r#"append country GB {"country":"GB"}"#),
    ("alpha/clerk", r#"append country GB {"country":"GB","name":"B"} & FR {"country":"FR"}"#),
    ("alpha/clerk", r#"append town A {"country":"GB","town":"A"}"#),
    ("alpha/clerk", r#"append town B {"country":"FR","town":"B","twin":["lake:1","town:A"]}"#),
    ("alpha/clerk", r#"append town C {"country":"XX","town":"C","x":"y"} & D {"town":"E"}"#),
    ("beta/clerk", r#"append lake 1 {"lake":"1","town":"town:A"}"#),
    ("beta/clerk", r#"append lake 2 {"lake":"2","town":"town:B"} ; append country GB {"country":"GB"}"#),
    ("beta/clerk", r#"append lake 3 {"lake":"3"} ; append lake 3 {"lake":"3"}"#),
    ("alpha/admin", "phase country live"),
    ("alpha/admin", "phase town superseded lake"),
    ("alpha/admin", "phase town live"),
    ("alpha/admin", "enrol carol registrar k1"),
    ("beta/admin", "enrol carol administrator k1"),
    ("beta/admin", "enrol dora administrator k2 ; retire beta/admin beta/admin"),
    ("beta/dora@k2", "retire beta/dora k2"),
    ("beta/dora@k2", "rotate beta/dora k2 k3 ; create pond pond"),
    ("alpha/carol@k1", r#"append country DE {"country":"DE"}"#),
    ("alpha/admin", "rotate alpha/carol k1 k4"),
    ("alpha/admin", "retire alpha/clerk alpha/clerk"),
    ("alpha/admin", "retire alpha/admin alpha/admin"),
    (
        "alpha/admin",
        r#"import country 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 system field:name 2019-01-01T00:00:00Z {"cardinality":"n","datatype":"text"} & system register:country 2019-01-01T00:00:00Z {"fields":["country","name"]}"#,
    ),
    ("alpha/admin", r#"import town 1 1 - user A 2019-01-01T00:00:00Z {"town":"A"} & user Z 2019-01-01T00:00:00Z {}"#),
];

/// The outcomes of a block of transactions, and the rows it changed.
type Result = (Vec<Outcome>, BTreeMap<StateKey, Option<Vec<u8>>>);

fn sign(ledger: &Ledger, acts: &[usize]) -> Vec<VerifiedTransaction> {
    acts.iter()
        .map(|act| {
            let (who, what) = ACTS[*act];
            ledger.sign(who, what.split(" ; ").map(operation).collect())
        })
        .collect()
}

/// One view for all, nothing fetched beforehand; each missing row is fetched alone.
fn lazily(ledger: &Ledger, transactions: &[VerifiedTransaction]) -> Result {
    let mut view = View::new();
    let outcomes = transactions.iter().zip(ledger.leaf..).map(|(transaction, leaf)| {
        loop {
            match apply(&mut view, &ledger.context(), transaction, leaf) {
                Ok(outcome) => break outcome,
                Err(Missing(keys)) => ledger.fetch(&mut view, keys.into_iter().take(1)),
            }
        }
    });
    (outcomes.collect(), view.changes())
}

/// One view for all, everything the state holds fetched beforehand and every absence known.
fn eagerly(ledger: &Ledger, transactions: &[VerifiedTransaction]) -> Result {
    let mut view = harness::warm_view();
    ledger.fetch(&mut view, ledger.rows.keys().copied());
    let leaves = transactions.iter().zip(ledger.leaf..);
    let outcomes = leaves.map(|(transaction, leaf)| ledger.apply_in(&mut view, transaction, leaf)).collect();
    (outcomes, view.changes())
}

/// As the node does: two rounds of fetching for the whole block, then one by one.
fn as_the_node_does(ledger: &Ledger, transactions: &[VerifiedTransaction]) -> Result {
    let mut view = harness::warm_view();
    for transaction in transactions {
        ledger.fetch(&mut view, wanted(transaction));
    }
    for transaction in transactions {
        let next = wanted_next(&mut view, transaction);
        ledger.fetch(&mut view, next);
    }
    let leaves = transactions.iter().zip(ledger.leaf..);
    let outcomes = leaves.map(|(transaction, leaf)| ledger.apply_in(&mut view, transaction, leaf)).collect();
    (outcomes, view.changes())
}

/// One block for each transaction.
fn one_by_one(ledger: &Ledger, transactions: &[VerifiedTransaction]) -> Result {
    let mut copy = Ledger { genesis: ledger.genesis.clone(), rows: ledger.rows.clone(), turns: Vec::new(), ..*ledger };
    let mut outcomes = Vec::new();
    for (transaction, leaf) in transactions.iter().zip(ledger.leaf..) {
        let mut view = harness::warm_view();
        outcomes.push(copy.apply_in(&mut view, transaction, leaf));
        copy.keep(view.changes());
    }
    let changed = copy.rows.into_iter().filter(|(key, row)| ledger.rows.get(key) != Some(row));
    (outcomes, changed.map(|(key, row)| (key, Some(row))).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn prefetching_changes_nothing(
        before in prop::collection::vec(0..ACTS.len(), 0..12),
        acts in prop::collection::vec(0..ACTS.len(), 1..12),
        subset in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        reverse in any::<bool>(),
    ) {
        let mut ledger = Ledger::new();
        for transaction in sign(&ledger, &before) {
            ledger.block(&transaction);
        }
        let transactions = sign(&ledger, &acts);
        let expected = lazily(&ledger, &transactions);
        // A subset of the state in some order, absent rows among them, then on demand.
        let mut keys: Vec<StateKey> = ledger.rows.keys().copied().collect();
        keys.extend(transactions.iter().flat_map(|transaction| wanted(transaction)));
        let mut view = harness::warm_view();
        let mut chosen: Vec<StateKey> = subset.iter().map(|index| *index.get(&keys)).collect();
        if reverse {
            chosen.sort_unstable_by(|a, b| b.cmp(a));
        }
        ledger.fetch(&mut view, chosen);
        let outcomes: Vec<Outcome> =
            transactions.iter().zip(ledger.leaf..).map(|(t, leaf)| ledger.apply_in(&mut view, t, leaf)).collect();
        prop_assert_eq!(&(outcomes, view.changes()), &expected);
        prop_assert_eq!(&eagerly(&ledger, &transactions), &expected);
        prop_assert_eq!(&as_the_node_does(&ledger, &transactions), &expected);
        let (outcomes, mut changed) = one_by_one(&ledger, &transactions);
        prop_assert_eq!(&outcomes, &expected.0);
        // A row may have changed and changed back: one view then says so, blocks of one do not.
        for (key, row) in &expected.1 {
            if row.as_deref() == ledger.rows.get(key).map(Vec::as_slice) {
                changed.insert(*key, row.clone());
            }
        }
        prop_assert_eq!(&changed, &expected.1);
    }
}

#[test]
fn a_missing_row_changes_nothing_and_names_all_that_can_be_told() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create a a b:curie | ok");
    let transaction = ledger.sign("alpha/clerk", vec![operation(r#"append a 1 {"a":"1"} & 2 {"a":"2","b":"a:1"}"#)]);
    let mut view = View::new();
    let context = ledger.context();
    let first = apply(&mut view, &context, &transaction, 1).unwrap_err().0;
    assert_eq!(first, wanted(&transaction));
    ledger.fetch(&mut view, first);
    let second = apply(&mut view, &context, &transaction, 1).unwrap_err().0;
    // The tree and both records; the record `a:1` that the second item links to is one of them. And every policy.
    assert_eq!(second.len(), 3 + STARTER.len());
    assert_eq!(second, wanted_next(&mut view, &transaction));
    assert!(view.changes().is_empty());
    ledger.fetch(&mut view, second);
    assert!(apply(&mut view, &context, &transaction, 1).unwrap().is_accepted());
    assert_eq!(view.changes().len(), 3);
}

#[test]
fn a_row_fetched_late_does_not_undo_a_change() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create a a | ok");
    let transaction = ledger.sign("alpha/clerk", vec![operation(r#"append a 1 {"a":"1"}"#)]);
    let mut view = View::new();
    assert!(ledger.apply_in(&mut view, &transaction, 1).is_accepted());
    let changes = view.changes();
    ledger.fetch(&mut view, changes.keys().copied());
    assert_eq!(view.changes(), changes);
    let again = ledger.apply_in(&mut view, &transaction, 2);
    assert_eq!(harness::describe(&again), "0 entry-unchanged (0 unchanged)");
    assert_eq!(view.changes(), changes);
}
