//! Erasures: an organisation with two holders has people erased, while its nodes crash, are slow, and get old vaults back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;
use tallystick_sim::{
    Plan,
    plan::{Errand, Fault},
};

/// A world of four and a second node of the first, in which somebody is on the errand from the beginning, and faults come after so many
/// seconds.
fn erased(seed: u64, seconds: u64, faults: &[(u64, u64, Fault)]) -> Plan {
    ordered(seed, seconds, Errand::Erase, faults)
}

fn ordered(seed: u64, seconds: u64, errand: Errand, faults: &[(u64, u64, Fault)]) -> Plan {
    let errand = [(0, 1, Fault::Errand(errand))];
    Plan { followers: 1, ..Plan::calm(seed, 4, Duration::from_secs(seconds)).with(&errand).with(faults) }
}

#[test]
fn nothing_is_left_of_what_is_erased() {
    erased(921, 20, &[]).keeps();
}

#[test]
fn the_same_seed_is_the_same_run_to_the_bit() {
    let run = || erased(931, 12, &[(6, 2, Fault::Crash { node: 4 })]).keeps();
    assert_eq!(run(), run());
}

/// Disks so slow that most of what is destroyed is destroyed while the node dies, and dies, and dies.
#[test]
fn holders_that_crash_while_they_destroy_have_nothing_left() {
    let slow = (0, 55, Fault::SlowDisk { node: 0, ms: 15 });
    let crashes: Vec<_> =
        (3..17).map(|turn| (turn * 3, 1, Fault::Crash { node: if turn % 2 == 0 { 0 } else { 4 } })).collect();
    for seed in [922, 923] {
        erased(seed, 60, std::slice::from_ref(&slow)).with(&crashes).keeps();
    }
}

/// It has what was erased since, and destroys it again before it gives anything.
#[test]
fn an_old_vault_brings_nothing_back() {
    let report = erased(925, 60, &[(8, 45, Fault::OldVault { node: 0 })]).keeps();
    let held = report.counted(" erased values");
    assert!(matches!(held[..], [held] if held > 0), "{held:?}");
}

/// The second holder is off while most of it is ordered.
#[test]
fn a_holder_that_is_cut_off_does_what_was_ordered_when_it_is_back() {
    erased(926, 45, &[(7, 12, Fault::Split { side: vec![4] }), (24, 8, Fault::Crash { node: 4 })]).keeps();
}

/// It is back within a second or two of the order and the hold, and later.
#[test]
fn a_holder_that_was_away_keeps_what_is_held_meanwhile() {
    let away = |at, seconds| (at, seconds, Fault::Crash { node: 4 });
    let report = ordered(932, 70, Errand::Away, &[away(8, 3), away(24, 2), away(40, 6), away(56, 4)]).keeps();
    let held = report.counted(" values were held before their holder was back");
    assert!(held.iter().sum::<u64>() >= 2, "{held:?}");
}

/// It knew of the order before, and nothing in between is missed by the blocks that it has first when it is linked again.
#[test]
fn a_holder_that_is_cut_off_before_it_destroyed_keeps_what_is_held_meanwhile() {
    let report = ordered(934, 60, Errand::Sever, &[]).keeps();
    assert_eq!(report.counted(" value was held while its holder was cut off"), [1; 4]);
    assert!(report.trace.iter().any(|line| line.contains("cut off, a node gave nothing")), "it read nothing meanwhile");
}

/// Reads, disclosures and holds come just before an order and just after it, and some of each do.
#[test]
fn reads_disclosures_and_holds_race_what_is_erased() {
    let reports = [928, 929].map(|seed| erased(seed, 20, &[]).keeps());
    let all = |words| reports.iter().flat_map(|report| report.counted(words)).collect::<Vec<u64>>();
    let sum = |words| all(words).into_iter().sum::<u64>();
    let given: Vec<&String> =
        reports.iter().flat_map(|report| &report.trace).filter(|line| line.contains("reads given at")).collect();
    assert!(sum(" values were disclosed before they were erased") > 0, "{given:?}");
    assert!(sum(" reads came too late") > 0, "{given:?}");
    let first = all(" holds came before the order");
    assert!(first.contains(&0) && first.contains(&1), "{first:?}");
}

/// A node that has lost its disk, and has a slow one now, fetches the state while it is ordered who is erased, and stands where the others do.
#[test]
fn a_state_that_is_fetched_while_somebody_is_erased_says_so() {
    let faults = [(0, 25, Fault::SlowDisk { node: 2, ms: 100 }), (3, 3, Fault::Wipe { node: 2 })];
    let report = ordered(930, 40, Errand::Order, &faults).keeps();
    let fetching = report.trace.iter().skip_while(|line| !line.contains("ends: Wipe"));
    let fetching: Vec<_> = fetching.take_while(|line| !line.contains("node 2 is ready")).collect();
    let orders = fetching.iter().filter(|line| line.contains("\"erasure-order\""));
    assert!(orders.count() > 0, "nothing is ordered while it fetches: {fetching:?}");
}
