//! Decoders and verifiers against an adversary, from a seed: the functions of `fuzz/src`, without the nightly compiler.
//!
//! `cargo fuzz` finds more by coverage; this keeps the targets true and the promises checked on every run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// Inputs for each target; a second or two of work. The variable `INPUTS` changes it.
const INPUTS: u64 = 1_000;
/// Bytes of an input: as many as the longest plan of damage takes.
const INPUT_BYTES_MAX: usize = 160;

/// Runs one target on inputs of one seed each; a failing seed is the bug report.
fn attack(name: &str) {
    let (_, target) = fuzz::TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let inputs = std::env::var("INPUTS").map_or(INPUTS, |inputs| inputs.parse().expect("INPUTS is a number"));
    for seed in 0..inputs {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut input = vec![0; rng.random_range(0..INPUT_BYTES_MAX)];
        rng.fill_bytes(&mut input);
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "{name} broke its promise at seed {seed}, input {input:02x?}");
    }
}

macro_rules! attacks {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                attack(stringify!($name));
            }
        )+

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),+];
            let targets: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(targets, run);
        }
    };
}

attacks! {
    transaction_decode
    partly_signed_decode
    operations_decode
    log_entry_decode
    header_decode
    finality_decode
    row_decode
    receipt_decode
    opening_decode
    sealed_decode
    payload_decode
    parcel_forge
    openings_forge
    item_parse
    text_parse
    genesis_parse
    rsf_parse
    merkle_inclusion
    merkle_consistency
    signature_forge
    query_forge
    receipt_forge
    record_receipt_forge
    any_receipt_forge
    x509_forge
}

/// Inputs that once broke a promise.
const BROKE: &[(&str, &[u8])] = &[
    // A file of one empty line passed for an empty file.
    ("rsf_parse", b"\xfc\n"),
];

#[test]
fn what_once_broke_a_promise_does_not_again() {
    for (name, input) in BROKE {
        let (_, target) = fuzz::TARGETS.iter().find(|(target, _)| target == name).unwrap();
        target(input);
    }
}

#[test]
fn every_target_has_a_program_and_a_line_in_the_readme() {
    let fuzz = tallystick_tests::workspace::root().join("fuzz");
    let manifest = tallystick_tests::workspace::read(&fuzz.join("Cargo.toml")).unwrap();
    let readme = tallystick_tests::workspace::read(&fuzz.join("README.md")).unwrap();
    for (name, _) in fuzz::TARGETS {
        let program = tallystick_tests::workspace::read(&fuzz.join("targets").join(format!("{name}.rs"))).unwrap();
        assert!(program.contains(&format!("::{name}(data)")), "targets/{name}.rs runs another target");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in fuzz/README.md");
    }
}
