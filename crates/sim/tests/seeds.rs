//! Seeds: a fixed number of random worlds, each of which must keep every promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use tallystick_sim::run;

/// Worlds run by default; the variable `SEEDS` changes it.
const SEEDS: u64 = 300;

#[test]
fn every_seed_keeps_every_promise() {
    let count = std::env::var("SEEDS").map_or(SEEDS, |count| count.parse().expect("SEEDS is a number"));
    let (next, start) = (AtomicU64::new(0), Instant::now());
    let work = || {
        let (mut failures, mut height, mut told, mut receipts) = (Vec::new(), 0, 0, 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return (failures, height, told, receipts);
            }
            match run(seed) {
                Ok(report) => {
                    height += report.height;
                    told += report.told;
                    receipts += report.receipts;
                }
                Err(failure) => failures.push(format!("{failure}\n    {}", failure.trace.join("\n    "))),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut failures, mut height, mut told, mut receipts) = (Vec::new(), 0, 0, 0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let of_worker = worker.join().expect("a worker catches its worlds' panics");
            failures.extend(of_worker.0);
            height += of_worker.1;
            told += of_worker.2;
            receipts += of_worker.3;
        }
    });
    println!(
        "{count} seeds in {} s: {height} blocks, {told} transactions told, {receipts} receipts checked",
        start.elapsed().as_secs()
    );
    assert!(failures.is_empty(), "{} of {count} seeds failed:\n{}", failures.len(), failures.join("\n"));
    assert!(told as u64 >= count * 5, "the clients got hardly anything done: {told} transactions in {count} worlds");
    assert!(receipts as u64 >= count * 5, "hardly any receipts: {receipts} in {count} worlds");
}
