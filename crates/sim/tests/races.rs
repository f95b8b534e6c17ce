//! Keys, proposals, mandates and policies that change under way: each in worlds where nodes crash and the network splits. The errand stops
//! the run when it is answered otherwise than it must be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;
use tallystick_sim::{
    Plan, Report,
    plan::{Crime, Errand, Fault},
    run_plan,
};

/// A network of four, whose fifth node follows, with somebody on an errand from the second second on.
fn sent(seed: u64, errand: Errand, faults: &[(u64, u64, Fault)]) -> Plan {
    let mut plan = Plan::calm(seed, 4, Duration::from_secs(16)).with(&[(1, 1, Fault::Errand(errand))]);
    plan.followers = 1;
    plan.with(faults)
}

fn comes_back(plan: &Plan, done: &str) -> Report {
    let report = run_plan(plan).unwrap_or_else(|failure| panic!("{failure}\n{}", failure.trace.join("\n")));
    assert_eq!(notes(&report, done), 1, "{:?}", report.trace);
    report
}

fn notes(report: &Report, note: &str) -> usize {
    report.trace.iter().filter(|line| line.contains(note)).count()
}

#[test]
fn keys_of_a_principal_and_of_a_validator_are_rotated_during_a_network_split() {
    let done = "rotated every key";
    // Nobody has a quorum for five seconds.
    let halves = [(3, 5, Fault::Split { side: vec![2, 3] })];
    comes_back(&sent(90, Errand::Rotate, &halves), done);
    // One node is cut off and does not hear of the rotation: it takes the old key, and the ledger does not.
    let cut_off = [(3, 10, Fault::Split { side: vec![2] })];
    let report = comes_back(&sent(91, Errand::Rotate, &cut_off), done);
    assert!(notes(&report, "node 2 takes a key that has ended") > 0, "{:?}", report.trace);
    // The node of organisation 0 gets another key, which is another validator's, in the same split.
    let reform = Fault::Reform { add: vec![4], remove: vec![0] };
    let both = [(1, 1, reform), (3, 5, Fault::Split { side: vec![0, 4] }), (10, 2, Fault::Crash { node: 4 })];
    let report = comes_back(&sent(92, Errand::Rotate, &both), done);
    assert_eq!(notes(&report, "proposal-submit: Accepted"), 1, "{:?}", report.trace);
    assert!(report.led.values().sum::<usize>() > 0, "no receipt leads through a hand-over: {report:?}");
}

#[test]
fn proposals_race_through_crashes_and_a_network_split() {
    let done = "raced every proposal";
    comes_back(&sent(93, Errand::Race, &[]), done);
    let faults = [
        (3, 4, Fault::Split { side: vec![1] }),
        (9, 2, Fault::Crash { node: 0 }),
        (2, 9, Fault::Lossy { percent: 20 }),
    ];
    comes_back(&sent(94, Errand::Race, &faults), done);
}

#[test]
fn mandates_are_revoked_in_flight() {
    let done = "took back what was entrusted";
    comes_back(&sent(95, Errand::Entrust, &[]), done);
    let faults = [(2, 5, Fault::Split { side: vec![3] }), (4, 2, Fault::Crash { node: 1 })];
    comes_back(&sent(96, Errand::Entrust, &faults), done);
    let mut plan = sent(97, Errand::Entrust, &[(2, 6, Fault::Lossy { percent: 30 })]);
    plan.criminal = Some((0, Crime::Equivocator));
    comes_back(&plan, done);
}

#[test]
fn policies_change_in_flight() {
    let done = "changed every policy";
    comes_back(&sent(98, Errand::Legislate, &[]), done);
    let faults = [(2, 5, Fault::Split { side: vec![0] }), (6, 2, Fault::Crash { node: 3 })];
    comes_back(&sent(99, Errand::Legislate, &faults), done);
}
