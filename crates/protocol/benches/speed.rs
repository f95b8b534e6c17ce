//! What the hot path costs: one transaction of about 450 bytes decoded, and verified alone and in batches. And what a
//! stranger waits for: one receipt checked.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use rand::{SeedableRng as _, rngs::StdRng};
use std::{hint::black_box, time::Instant};
use tallystick_protocol::{
    Algorithm, Genesis, Intent, NetworkId, NewEntry, Operation, PrincipalId, SignedTransaction, SigningKey, Tree,
    merkle, receipt::Receipt, verify_batch,
};

fn main() {
    let mut rng = StdRng::seed_from_u64(1);
    let transactions: Vec<SignedTransaction> =
        (0..1_000).map(|n| signed(n, &SigningKey::generate(Algorithm::EdDsa, &mut rng).unwrap())).collect();
    let one = transactions.first().unwrap();
    println!("transaction: {} bytes", one.bytes().len());
    time("decode and canonical check", 200, || {
        black_box(SignedTransaction::decode(black_box(one.bytes().clone())).unwrap());
    });
    time("verify one, Ed25519", 10, || _ = black_box(one.clone().verify().unwrap()));
    for size in [100, 1_000] {
        let some: Vec<_> = transactions.iter().take(size).cloned().collect();
        time_each(&format!("verify in batches of {size}, keys distinct"), 1, size, || {
            assert!(verify_batch(some.clone(), &mut rng).iter().all(Result::is_ok));
        });
    }
    let key = SigningKey::generate(Algorithm::EdDsa, &mut rng).unwrap();
    let same: Vec<_> = (0..1_000).map(|n| signed(n, &key)).collect();
    time_each("verify in batches of 1000, one key", 1, 1_000, || {
        assert!(verify_batch(same.clone(), &mut rng).iter().all(Result::is_ok));
    });
    let key = SigningKey::generate(Algorithm::Es256, &mut rng).unwrap();
    let p256 = signed(0, &key);
    time("verify one, P-256", 10, || _ = black_box(p256.clone().verify().unwrap()));
    let mut tree = Tree::new();
    time("append to the tree", 1_000, || tree.push(merkle::leaf_hash(one.bytes())));
    let vector: serde_json::Value = serde_json::from_str(include_str!("../../../tests/vectors/receipt.json")).unwrap();
    let genesis = Genesis::from_json(vector["genesis"].to_string().as_bytes()).unwrap();
    let receipt = hex::decode(vector["cbor"].as_str().unwrap()).unwrap();
    println!("receipt: {} bytes, of a transaction, three headers, three of four validators", receipt.len());
    time("decode and check a receipt", 10, || {
        black_box(Receipt::decode(black_box(&receipt)).unwrap().check(&genesis).unwrap());
    });
}

fn signed(n: u64, key: &SigningKey) -> SignedTransaction {
    let item = format!(
        r#"{{"citizen-names":"Briton;British citizen","country":"GB","name":"United Kingdom","note":"{n:0>60}"}}"#
    );
    Intent {
        not_after: 1_790_000_000,
        idempotency_key: n.to_be_bytes().repeat(2),
        ..Intent::new(
            NetworkId([7; 16]),
            PrincipalId::new("cabinet-office", "registrar").unwrap(),
            "country:GB",
            vec![Operation::EntryAppend {
                register: "country".into(),
                entries: vec![NewEntry { key: format!("key-{n}"), items: vec![item] }],
            }],
        )
    }
    .sign(key)
    .unwrap()
}

/// Rounds of a measurement: the fastest is given, which is the one that other work on the machine disturbed least.
const ROUNDS: usize = 50;

fn time(what: &str, times: usize, run: impl FnMut()) {
    time_each(what, times, 1, run);
}

/// Prints the time of one of `each` things that one `run` does.
fn time_each(what: &str, times: usize, each: usize, mut run: impl FnMut()) {
    let mut fastest = u128::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (0..times).for_each(|_| run());
        fastest = fastest.min(start.elapsed().as_nanos() / (times * each) as u128);
    }
    println!("{what}: {fastest} ns");
}
