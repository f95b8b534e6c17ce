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

/// Also where many wait for one thing, whom chance must not wake in another order.
#[test]
fn the_same_seed_is_the_same_run_to_the_bit() {
    let run = || shared(911, 12, &[(8, 2, Fault::Crash { node: 1 })]).keeps();
    assert_eq!(run(), run());
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

/// All that it had is gone: it fetches every payload from the other member, with what opens the values sealed in them, and comes to the same
/// root.
#[test]
fn a_member_that_lost_its_disk_fetches_what_was_ordered() {
    let report = shared(903, 40, &[(25, 2, Fault::Wipe { node: 1 })]).keeps();
    assert!(report.trace.iter().any(|line| line.contains("node 1 keeps what is sealed")), "{:?}", report.trace);
}

/// It says so itself, and tells whoever asks; and goes on by itself once the disk works.
#[test]
fn a_member_whose_disk_does_not_open_the_partition_says_so_and_opens_it_when_it_can() {
    let report = shared(931, 40, &[(12, 8, Fault::ShutRooms { node: 1 })]).keeps();
    for said in [" partitions are shut on node 1", " who ask node 1 are told so"] {
        assert_eq!(report.counted(said), [1], "{said}");
    }
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

/// It has said that it keeps something which is on no block yet: that is there when it comes back, or is fetched.
#[test]
fn a_member_that_crashes_between_its_word_and_the_execution_keeps_its_word() {
    let report = shared(906, 40, &[(4, 3, Fault::CrashVouching { node: 1 }), (9, 3, Fault::CrashVouching { node: 1 })]);
    let report = report.keeps();
    let vouched = report.counted(" acknowledgements of node 1 are on their way");
    assert!(vouched.len() == 2 && vouched.iter().all(|count| *count > 0), "{vouched:?}");
}

/// It acknowledged everything, and gives nothing to the other, which has lost its disk. The partition stands still on that one, and the
/// network goes on; no longer than it lies.
#[test]
fn a_member_that_withholds_what_it_acknowledged_holds_up_the_partition_and_nothing_else() {
    let faults = [(20, 22, Fault::Withhold { node: 1 }), (24, 2, Fault::Wipe { node: 0 })];
    let report = shared(907, 50, &faults).keeps();
    let [withheld, missing] = [" answers were withheld by node 1", " payloads were missing for it"]
        .map(|words| report.counted(words).into_iter().sum::<u64>());
    assert!(withheld > 0 && missing > 0, "{withheld} withheld, {missing} missing");
}

/// It lost its disk, and what was ordered is withheld: until it stands still it tells nothing, and takes nothing in, as if nothing were there. In
/// some of these runs somebody asks it meanwhile.
#[test]
fn a_member_that_has_not_executed_what_was_ordered_says_so() {
    let is_told = |second: u64| {
        let faults = [(second - 1, 22, Fault::Withhold { node: 1 }), (second, 2, Fault::Wipe { node: 0 })];
        let report = shared(907, second + 35, &faults).keeps();
        report.trace.iter().any(|line| line.contains("node 0: this node executes what was ordered in partition"))
    };
    assert!((7..20).any(is_told), "nobody was told");
}

/// An act and what permits it are handed in at once, each at a member's own node: the one that orders the act looks again until it may.
#[test]
fn what_is_permitted_meanwhile_is_waited_for() {
    let errand = [(0, 1, Fault::Errand(Errand::Permit))];
    let report = Plan::calm(941, 4, Duration::from_secs(20)).with(&errand).keeps();
    assert_eq!(report.counted(" act waited for what permits it"), [1; 4]);
}

/// It executes again what it had, fetches what is gone, and comes to the roots that it has posted before.
#[test]
fn a_member_that_restores_an_old_disk_comes_to_the_same_state() {
    let report = shared(908, 30, &[(5, 3, Fault::OldRooms { node: 1 })]).keeps();
    let behind = report.counted(" private transactions back");
    assert!(matches!(behind[..], [behind] if behind > 0), "{behind:?}");
}

/// Granted, used, passed on and revoked within: the names of these mandates are what is searched for, on every node. And one member loses
/// its disk, and has them again.
#[test]
fn who_acts_for_whom_is_the_members_own_business() {
    let report = shared(912, 40, &[(14, 2, Fault::Wipe { node: 1 })]).keeps();
    assert_eq!(report.counted(" mandates within a partition were used and have ended"), [2]);
}

/// Both members' nodes have said that they keep what nobody has: `leave` in every world with the errand.
#[test]
fn what_is_acknowledged_and_not_stored_holds_up_the_partition_until_it_comes() {
    let report = shared(909, 20, &[]).keeps();
    assert_eq!(report.counted(" nodes lack what was acknowledged and not stored"), [2]);
    assert!(report.counted(" blindings were looked for").iter().all(|count| *count > 0));
}

/// Who read what was wrong is on record, and knows; what stands on consent is not read once that is withdrawn.
#[test]
fn what_is_shared_is_corrected_and_read_by_consent() {
    let report = shared(921, 45, &[(12, 2, Fault::Crash { node: 1 }), (18, 2, Fault::Crash { node: 0 })]).keeps();
    let read = report.counted(" reads of what was wrong are on record, and who read it knows");
    assert!(matches!(read[..], [count] if count > 0), "{read:?}");
    assert_eq!(report.counted(" consent of a partition was withdrawn as number ").len(), 1);
}

/// Who joins late executes all that was ordered before; who leaves is waited for no more, and named; who executes otherwise is named, and gains
/// that nothing is certified until the members amend the agreement; who is put out while it fetches is given nothing any more.
#[test]
fn members_come_and_go_and_one_that_lies_is_named() {
    let errand = [(0, 1, Fault::Errand(Errand::Reshape))];
    let report = Plan::calm(910, 4, Duration::from_secs(60)).with(&errand).keeps();
    for words in [
        " order was over without one who had left, and complete when it was back",
        " payloads were executed by one who joined late",
        " alarm names who executed otherwise, and nothing is certified",
        " messages ask for payloads when one who asks is put out",
        " questions of one who was put out came to nothing",
        " blindings were looked for",
    ] {
        assert!(matches!(report.counted(words)[..], [count] if count > 0), "{words}: {:?}", report.trace);
    }
}

/// Ordered, held, lifted, handed in again, asked for again by a node that has lost its disk: no member's node has it in the end, and what nobody
/// had erased is there.
#[test]
fn what_is_erased_in_a_partition_is_on_no_members_node() {
    let worlds = [
        (913, 25, vec![]),
        (
            914,
            40,
            vec![(5, 2, Fault::Crash { node: 1 }), (9, 2, Fault::Crash { node: 0 }), (13, 2, Fault::Crash { node: 1 })],
        ),
        (915, 45, vec![(7, 5, Fault::Split { side: vec![1] }), (25, 2, Fault::Wipe { node: 1 })]),
    ];
    let (mut before, mut disclosed, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for (seed, seconds, faults) in worlds {
        let report = shared(seed, seconds, &faults).keeps();
        assert_eq!(report.counted(" people were erased in a partition"), [3]);
        disclosed.extend(report.counted(" of them disclosures"));
        before.extend(report.counted(" reads in a partition came before the order"));
        late.extend(report.counted(" too late"));
    }
    for some in [&before, &disclosed, &late] {
        assert!(some.iter().sum::<u64>() > 0, "{before:?} {disclosed:?} {late:?}");
    }
}

/// In a partition of three, whose others hold what the third knows to be ordered.
#[test]
fn a_member_that_is_cut_off_before_it_destroyed_keeps_what_is_held_meanwhile() {
    let errand = [(0, 1, Fault::Errand(Errand::SeverShared))];
    let report = Plan::calm(935, 4, Duration::from_secs(60)).with(&errand).keeps();
    assert_eq!(report.counted(" value in a partition was held while its holder was cut off"), [1; 3]);
}

/// It has what was erased since, and destroys it again before it gives anything.
#[test]
fn an_old_vault_of_a_member_brings_nothing_back() {
    let report = shared(916, 45, &[(8, 30, Fault::OldVault { node: 1 })]).keeps();
    let held = report.counted(" erased values");
    assert!(matches!(held[..], [held] if held > 0), "{held:?}");
}

/// A register that keeps for a day: what is so old is ordered by itself, and nothing before; who is held waits, and nobody behind them. The
/// custodian's node crashes meanwhile; the other loses its disk, and destroys what it fetches of it.
#[test]
fn what_a_register_in_a_partition_keeps_no_longer_is_erased_by_itself() {
    let worlds = [
        (917, 30, vec![]),
        (918, 60, vec![(8, 2, Fault::Crash { node: 0 }), (14, 2, Fault::Crash { node: 0 })]),
        (919, 60, vec![(8, 4, Fault::Split { side: vec![1] }), (16, 2, Fault::Wipe { node: 1 })]),
    ];
    for (seed, seconds, faults) in worlds {
        let errand = [(0, 1, Fault::Errand(Errand::Retain))];
        let report = Plan::calm(seed, 4, Duration::from_secs(seconds)).with(&errand).with(&faults).keeps();
        let raised = report.counted(" orders were raised by themselves in a partition");
        assert!(matches!(raised[..], [raised] if raised >= 6), "{raised:?}");
        let least = report.counted(" values at least were destroyed on each member's node");
        let is_wiped = faults.iter().any(|(_, _, fault)| matches!(fault, Fault::Wipe { .. }));
        assert!(!least.is_empty() && (is_wiped || least.iter().all(|least| *least > 0)), "{least:?}");
    }
}

/// It knows that something was ordered, and not what: it asks the other member for that, and says what is due in it.
#[test]
fn a_custodian_that_lost_its_payloads_has_erased_what_was_in_them() {
    let faults = [(0, 1, Fault::Errand(Errand::Retain)), (9, 2, Fault::LosePayloads { node: 0 })];
    let report = Plan::calm(920, 4, Duration::from_secs(40)).with(&faults).keeps();
    let lost = report.trace.iter().position(|line| line.contains("node 0 loses") && !line.contains(" 0 files"));
    let raised = report.trace.iter().position(|line| line.contains("orders were raised by themselves in a partition"));
    assert!(lost.is_some() && lost < raised, "{:?}", report.trace);
}
