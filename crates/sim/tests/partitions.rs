//! Partitions: two of four share a register, while nodes crash, lose their disks and cannot reach one another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;
use tallystick_sim::{
    Plan,
    plan::{Errand, Fault},
};

/// A world of four in which two share from the beginning, and faults come after so many seconds.
fn shared(seed: u64, seconds: u64, faults: &[(u64, u64, Fault)]) -> Plan {
    let errand = [(0, 1, Fault::Errand(Errand::Share))];
    Plan::calm(seed, 4, Duration::from_secs(seconds)).with(&errand).with(faults)
}

#[test]
fn members_come_to_the_same_state_and_nobody_else_comes_to_know_it() {
    shared(901, 20, &[]).keeps();
}

/// Node 1 acknowledges everything, so each crash of it lies between some acknowledgement and some execution.
#[test]
fn a_member_that_crashes_catches_up() {
    shared(
        902,
        30,
        &[(8, 2, Fault::Crash { node: 1 }), (13, 1, Fault::Crash { node: 1 }), (17, 2, Fault::Crash { node: 0 })],
    )
    .keeps();
}

/// All that it had is gone: it fetches every payload from the other member, and comes to the same root.
#[test]
fn a_member_that_lost_its_disk_fetches_what_was_ordered() {
    shared(903, 40, &[(25, 2, Fault::Wipe { node: 1 })]).keeps();
}

/// The network goes on, the partition when its members can speak with each other again.
#[test]
fn a_member_that_is_cut_off_holds_up_the_partition_and_nothing_else() {
    let report = shared(904, 35, &[(4, 6, Fault::Split { side: vec![1] })]).keeps();
    // Who is silent is handed the same payloads again: others would fill the room in which they wait.
    let again = report.counted(" parcels were asked for again");
    assert!(matches!(again[..], [again] if again > 0), "{again:?}");
}

/// The first member has a second node, in another country than the agreement allows: no parcel leaves for it, or for one that is no
/// member's.
#[test]
fn a_members_node_abroad_is_given_nothing() {
    let report = (Plan { followers: 1, ..shared(905, 20, &[]) }).keeps();
    assert!(report.trace.iter().any(|line| line.contains("refused transfers to")), "{:?}", report.trace);
}
