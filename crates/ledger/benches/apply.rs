//! What applying costs: microseconds per transaction, signatures and storage left out.
//!
//! `cargo bench -p tallystick-ledger`
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, clippy::disallowed_types)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::{hint::black_box, time::Instant};

use harness::Ledger;
use tallystick_ledger::{
    TreeRow, apply, entry_leaf_hash,
    item::Item,
    wanted, wanted_next,
    x509::{self, Certificate, Document, PRINCIPAL_PURPOSES, Terms},
};
use tallystick_protocol::{Frontier, Hash, NewEntry, Operation, StateKey, VerifiedTransaction};

const BLOCK: usize = 2_000;
const ROUNDS: usize = 15;
/// Transactions timed together: few enough that the best of the rounds was not interrupted.
const CHUNK: usize = 20;

fn main() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create asset asset name category:string:n location start-date:datetime owner:curie notes:text | ok");
    let appends: Vec<VerifiedTransaction> = (0..BLOCK).map(|n| ledger.sign("alpha/clerk", vec![append(n)])).collect();
    println!("blocks of {BLOCK} single appends to one register, items of {} bytes, best of {ROUNDS}\n", item(0).len());
    println!("{:<58} {:>9}", "", "us each");
    row("apply, empty register, rows fetched beforehand", BLOCK, || blocks(&ledger, &appends, false));
    row("  the same with changes() encoded", BLOCK, || blocks(&ledger, &appends, true));
    let mut large = Ledger { rows: ledger.rows.clone(), genesis: ledger.genesis.clone(), turns: Vec::new(), ..ledger };
    let peaks = (0..20_u8).map(|n| Hash([n; 32])).collect();
    let tree = TreeRow { user: Frontier::from_parts((1 << 20) - 1, peaks).unwrap(), ..TreeRow::default() };
    large.rows.insert(StateKey::tree(1), tree.to_bytes());
    row("apply, register of a million entries", BLOCK, || blocks(&large, &appends, false));
    row("wanted() and wanted_next()", BLOCK, || fetching(&ledger, &appends));
    let batch = vec![ledger.sign("alpha/clerk", (0..200).map(append).collect())];
    row("one transaction of 200 appends, each append", 200, || blocks(&ledger, &batch, true));
    parts();
    certificates();
}

fn item(n: usize) -> String {
    format!(
        r#"{{"asset":"asset-{n}","category":["pump","spare"],"location":"Store {n}, Building 7, Aldermaston","name":"Centrifugal pump {n}","notes":"Serviced; seals replaced, no leak found at test","owner":"organisation:D{n}","start-date":"2026-11-23"}}"#
    )
}

fn append(n: usize) -> Operation {
    let entries = vec![NewEntry { key: format!("asset-{n}"), items: vec![item(n)] }];
    Operation::EntryAppend { register: "asset".into(), entries }
}

/// Nanoseconds for each chunk of the transactions, applied in one view.
fn blocks(ledger: &Ledger, transactions: &[VerifiedTransaction], encode: bool) -> Vec<u128> {
    let mut view = harness::warm_view();
    for transaction in transactions {
        ledger.fetch(&mut view, wanted(transaction));
    }
    for transaction in transactions {
        let next = wanted_next(&mut view, transaction);
        ledger.fetch(&mut view, next);
    }
    // The items' links lead to a register that is not on the ledger; that it is not there is one more row.
    ledger.fetch(&mut view, [StateKey::register("organisation")]);
    let context = ledger.context();
    let mut leaf = 0;
    let mut times = timed_chunks(transactions, |transaction| {
        assert!(apply(&mut view, &context, transaction, leaf).unwrap().is_accepted());
        leaf += 1;
    });
    if encode {
        let start = Instant::now();
        black_box(view.changes());
        times.push(start.elapsed().as_nanos());
    }
    times
}

fn fetching(ledger: &Ledger, transactions: &[VerifiedTransaction]) -> Vec<u128> {
    let mut view = harness::warm_view();
    let mut times = timed_chunks(transactions, |transaction| {
        for key in wanted(transaction) {
            view.insert(key, ledger.rows.get(&key).cloned());
        }
    });
    times.extend(timed_chunks(transactions, |transaction| {
        black_box(wanted_next(&mut view, transaction));
    }));
    times
}

fn timed_chunks<T>(things: &[T], mut each: impl FnMut(&T)) -> Vec<u128> {
    let timed = |chunk: &[T]| {
        let start = Instant::now();
        chunk.iter().for_each(&mut each);
        start.elapsed().as_nanos()
    };
    things.chunks(CHUNK).map(timed).collect()
}

/// The parts of an append, to see where its time goes.
fn parts() {
    let texts: Vec<String> = (0..BLOCK).map(item).collect();
    let hash = Hash([7; 32]);
    let each = |measure: &dyn Fn(&String)| timed_chunks(&texts, measure);
    println!("\nof which");
    row("read the item (canonical form)", BLOCK, || {
        each(&|text| {
            black_box(Item::parse(text).unwrap());
        })
    });
    row("hash the item", BLOCK, || {
        each(&|text| {
            black_box(Hash::of(&[text.as_bytes()]));
        })
    });
    row("hash the leaf", BLOCK, || {
        each(&|_| {
            black_box(entry_leaf_hash(1_000_000, 1_700_000_000, "asset-1", &[hash]));
        })
    });
    row("hash one state key", BLOCK, || {
        each(&|text| {
            black_box(StateKey::register(&text[10..18]));
        })
    });
    let frontier = std::cell::RefCell::new(Frontier::new());
    row("append to the frontier", BLOCK, || each(&|_| frontier.borrow_mut().append(hash)));
}

/// What every validator does again for each key that is certified.
fn certificates() {
    let der = |pem: &str| match x509::read(pem.as_bytes()).unwrap().remove(0) {
        Document::Certificate(certificate) => certificate.der().to_vec(),
        Document::List(_) => panic!("a list"),
    };
    let chain = [
        der(include_str!("../../../tests/data/certificates/clerk.pem")),
        der(include_str!("../../../tests/data/certificates/issuing.pem")),
        der(include_str!("../../../tests/data/certificates/root.pem")),
    ];
    let terms = Terms { at: 1_900_000_000, purposes: PRINCIPAL_PURPOSES, lists: &[] };
    println!();
    row("read and judge a chain of three certificates, P-256", 200, || {
        timed_chunks(&[(); 200], |()| {
            let parsed: Vec<_> = chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
            black_box(x509::check(&parsed.iter().collect::<Vec<_>>(), terms).unwrap());
        })
    });
}

/// Prints the sum of each chunk's best time over the rounds, per thing: other work on the machine counts as little as can be.
fn row(what: &str, count: usize, mut measure: impl FnMut() -> Vec<u128>) {
    let mut best = measure();
    for _ in 1..ROUNDS {
        for (best, time) in best.iter_mut().zip(measure()) {
            *best = time.min(*best);
        }
    }
    let each = best.iter().sum::<u128>() / count as u128;
    println!("{what:<58} {:>6}.{:02}", each / 1_000, each % 1_000 / 10);
}
