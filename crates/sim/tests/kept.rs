//! Worlds kept: the same seed twice is the same run, one world for each kind of fault, and the seeds that once failed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;
use tallystick_sim::{
    Plan, Report,
    plan::{Crime, Fault, PowerLoss, Segment},
    run,
};

/// Seeds that failed once, each with what it found.
const KEPT: &[(u64, &str)] = &[
    (28, "a validator whose clock was an hour behind for two seconds judged no block for that hour"),
    (170, "a wait for a view's end that began while the clock was an hour behind lasted the hour"),
];

fn calm(seed: u64) -> Plan {
    Plan::calm(seed, 4, Duration::from_secs(6))
}

#[test]
fn the_same_seed_is_the_same_run_to_the_bit() {
    for seed in [0, 1, 2] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(calm(1).keeps().auditor, calm(2).keeps().auditor);
}

#[test]
fn seeds_that_once_failed_hold() {
    for (seed, found) in KEPT {
        if let Err(failure) = run(*seed) {
            panic!("{failure}, where once was found: {found}\n{}", failure.trace.join("\n"));
        }
    }
}

#[test]
fn a_calm_network_answers_everybody() {
    let report = calm(3).keeps();
    assert!(report.height > 10 && report.told > 10 && report.receipts > 10, "{report:?}");
}

#[test]
fn a_crashed_node_comes_back_from_its_disk() {
    calm(4).with(&[(2, 2, Fault::Crash { node: 1 }), (4, 1, Fault::Crash { node: 2 })]).keeps();
}

#[test]
fn all_nodes_crash_at_once_and_nothing_told_is_lost() {
    let crashes: Vec<_> = (0..4).map(|node| (3, 1, Fault::Crash { node })).collect();
    calm(5).with(&crashes).keeps();
}

#[test]
fn a_wiped_node_fetches_the_state_and_does_not_vote() {
    let report = calm(6).with(&[(3, 1, Fault::Wipe { node: 2 })]).keeps();
    assert_eq!(notes(&report, "node 2 is ready"), 2, "{:?}", report.trace);
}

/// Blocks after which peers have pruned the state that a node began to fetch at height `from` or below.
fn is_pruned(from: u64) -> u64 {
    // 256 are kept, 17 may wait, and it is looked every 64 blocks.
    from + 256 + 17 + 64
}

/// The height at which a node was ready for the last time.
fn last_ready(report: &Report, node: usize) -> u64 {
    let ready = format!("node {node} is ready at height ");
    let mut heights = report.trace.iter().filter_map(|line| line.split_once(&ready)?.1.parse().ok());
    heights.next_back().unwrap_or_else(|| panic!("never ready: {:?}", report.trace))
}

#[test]
fn a_state_that_takes_many_epochs_to_fetch_is_fetched() {
    // What it asked for at first is pruned everywhere by then.
    let faults = [(3, 1, Fault::Wipe { node: 2 }), (3, 250, Fault::NoState { node: 2 })];
    let report = Plan::calm(60, 4, Duration::from_secs(254)).with(&faults).keeps();
    assert_eq!(notes(&report, "node 2 is ready"), 2, "{:?}", report.trace);
    assert!(last_ready(&report, 2) > is_pruned(40), "{:?}", report.trace);
}

#[test]
fn a_fetch_of_the_state_that_was_interrupted_begins_at_a_newer_block() {
    let faults =
        [(3, 1, Fault::Wipe { node: 2 }), (3, 110, Fault::NoState { node: 2 }), (8, 104, Fault::Crash { node: 2 })];
    let report = Plan::calm(61, 4, Duration::from_secs(114)).with(&faults).keeps();
    assert_eq!(notes(&report, "node 2 is ready"), 2, "{:?}", report.trace);
    assert!(last_ready(&report, 2) > is_pruned(40), "{:?}", report.trace);
}

#[test]
fn a_power_loss_everywhere_loses_nothing_that_was_told() {
    for (seed, kept_percent, torn) in [(7, 0, false), (8, 50, true), (9, 90, false)] {
        let mut plan = calm(seed);
        let lasts = Duration::from_millis(4_321);
        let power_loss = Some(PowerLoss { kept_percent, torn });
        plan.segments.insert(0, Segment { events: Vec::new(), lasts, power_loss });
        plan.keeps();
    }
}

#[test]
fn a_split_network_heals() {
    calm(10).with(&[(1, 4, Fault::Split { side: vec![0, 1] })]).keeps();
    calm(11).with(&[(1, 4, Fault::Split { side: vec![3] })]).keeps();
}

#[test]
fn a_clock_past_every_expiry_harms_nobody() {
    let year = 400 * 86_400_000;
    for (seed, ms) in [(12, year), (13, -year), (14, 5_000)] {
        calm(seed).with(&[(1, 4, Fault::ClockJump { node: 0, ms })]).keeps();
    }
}

#[test]
fn a_slow_disk_and_bad_links_only_take_longer() {
    let faults = [(1, 4, Fault::SlowDisk { node: 0, ms: 40 }), (2, 3, Fault::Lossy { percent: 30 })];
    calm(15).with(&faults).keeps();
}

#[test]
fn an_equivocator_divides_nobody() {
    for seed in [16, 17, 18] {
        let mut plan = calm(seed);
        plan.criminal = Some((usize::try_from(seed).unwrap() % 4, Crime::Equivocator));
        plan.keeps();
    }
}

#[test]
fn a_forger_convinces_nobody() {
    // Each of the seeds forges on other channels.
    for seed in 20..26 {
        let mut plan = calm(seed);
        plan.criminal = Some((1, Crime::Forger));
        plan.keeps();
    }
}

#[test]
fn a_wiped_node_fetches_the_state_past_a_forger() {
    for seed in 30..33 {
        let mut plan = Plan::calm(seed, 7, Duration::from_secs(6)).with(&[(3, 1, Fault::Wipe { node: 2 })]);
        plan.criminal = Some((5, Crime::Forger));
        plan.keeps();
    }
}

#[test]
fn a_hostile_client_is_borne() {
    let mut plan = calm(40);
    plan.hostile_client = true;
    plan.keeps();
}

/// A network of four with a follower, which the network votes to make a validator, perhaps instead of others.
fn reformed(seed: u64, lasts_s: u64, remove: &[usize]) -> Plan {
    let mut plan = Plan::calm(seed, 4, Duration::from_secs(lasts_s));
    plan.followers = 1;
    plan.with(&[(1, 1, Fault::Reform { add: vec![4], remove: remove.to_vec() })])
}

/// How often a note stands in the trace.
fn notes(report: &Report, note: &str) -> usize {
    report.trace.iter().filter(|line| line.contains(note)).count()
}

/// The network changed its validators, and there are receipts of those who came after.
fn changed(report: &Report) {
    assert_eq!(notes(report, "proposal-submit: Accepted"), 1, "{:?}", report.trace);
    assert_eq!(notes(report, "ballot-cast: Accepted"), 3, "two thirds decide: {:?}", report.trace);
    assert!(report.led.values().sum::<usize>() > 0, "no receipt leads through a hand-over: {report:?}");
}

#[test]
fn a_follower_becomes_a_validator_and_the_one_it_replaces_follows() {
    // When it has joined, one of the three that stay loses its vote for good: finality is in the hands of the new one.
    let report = reformed(50, 24, &[0]).with(&[(20, 1, Fault::Wipe { node: 1 })]).keeps();
    assert!(report.height > 80, "the change took effect: {report:?}");
    changed(&report);
}

#[test]
fn a_fifth_validator_joins_through_crashes_and_a_network_split() {
    let faults = [
        (5, 3, Fault::Split { side: vec![0, 1] }),
        (9, 2, Fault::Crash { node: 2 }),
        (12, 2, Fault::Crash { node: 4 }),
    ];
    let report = reformed(51, 20, &[]).with(&faults).keeps();
    assert!(report.height > 60, "{report:?}");
    changed(&report);
}

#[test]
fn a_key_is_rotated_during_a_network_split() {
    for seed in 52..55 {
        let report = reformed(seed, 20, &[2]).with(&[(6, 6, Fault::Split { side: vec![2, 3] })]).keeps();
        changed(&report);
    }
}

#[test]
fn a_wiped_node_fetches_the_state_of_a_later_epoch() {
    // Nothing but the chain of hand-overs tells it whose certificates to believe.
    let report = reformed(56, 26, &[0]).with(&[(22, 1, Fault::Wipe { node: 3 })]).keeps();
    assert_eq!(notes(&report, "node 3 is ready"), 2, "{:?}", report.trace);
    assert!(last_ready(&report, 3) > 60, "{:?}", report.trace);
    changed(&report);
}

#[test]
fn a_node_that_lost_its_hand_overs_gets_them_from_its_peers() {
    // The change is some epochs old by then: no block of the epoch before tells of it. Each receipt is checked.
    let report = reformed(57, 26, &[0]).with(&[(18, 1, Fault::Forget { node: 2 })]).keeps();
    assert_eq!(notes(&report, "node 2 is ready"), 2, "{:?}", report.trace);
    assert!(last_ready(&report, 2) > 60, "{:?}", report.trace);
    assert!(report.led.get(&2).is_some_and(|led| *led > 0), "{report:?}");
    changed(&report);
}

/// Two of four are lost for good at second 3; at second 8 the organisations name others, and from second 16 on the machines of the
/// lost ones, empty, follow.
fn recovered(seed: u64, to: &[usize], more: &[(u64, u64, Fault)]) -> Report {
    let mut plan = Plan::calm(seed, 4, Duration::from_secs(30));
    plan.followers = to.iter().filter(|node| **node > 3).count();
    let faults = [
        (3, 13, Fault::Wipe { node: 2 }),
        (3, 13, Fault::Wipe { node: 3 }),
        (8, 2, Fault::Recover { to: to.to_vec() }),
    ];
    let report = plan.with(&faults).with(more).keeps();
    assert_eq!(notes(&report, "recovered from block"), 1, "{:?}", report.trace);
    for node in [2, 3] {
        assert_eq!(notes(&report, &format!("node {node} is ready")), 2, "it is given nothing: {:?}", report.trace);
        assert!(report.recovered.get(&node).is_some_and(|told| *told > 0), "{report:?}");
    }
    let before = report
        .trace
        .iter()
        .find_map(|line| line.split_once("recovered from block ")?.1.split(' ').next()?.parse().ok());
    assert!(before.is_some_and(|before: u64| report.height > before + 20), "{:?}", report.trace);
    report
}

#[test]
fn a_network_that_lost_its_quorum_for_good_is_recovered() {
    recovered(62, &[0, 1], &[]);
}

#[test]
fn a_recovery_survives_crashes_in_the_middle() {
    // One while it is given, and all of them when it has begun.
    recovered(
        63,
        &[0, 1],
        &[(9, 3, Fault::Crash { node: 1 }), (13, 1, Fault::Crash { node: 0 }), (13, 2, Fault::Crash { node: 1 })],
    );
}

#[test]
fn a_recovery_names_a_node_that_followed() {
    recovered(64, &[0, 1, 4], &[(11, 1, Fault::Crash { node: 4 })]);
}
