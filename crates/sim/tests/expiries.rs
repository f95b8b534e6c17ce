//! The clock past every certificate's end: nodes start, the quorum commits, who has expired is refused and told the remedy, and
//! renewal works. A failed start stops the run, and a stall breaks its promise of progress.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;
use tallystick_sim::{
    Plan, Report,
    plan::{Crime, Errand, Fault},
    run_plan,
};

/// Longer than the authority's certificate, which is good for three days.
const PAST_EVERYTHING: Fault = Fault::TimePasses { hours: 80 };

/// A network of four, where everything ends when it has been certified; with more that goes wrong.
fn outlives(seed: u64, faults: &[(u64, u64, Fault)]) -> Report {
    let plan = Plan::calm(seed, 4, Duration::from_secs(30)).with(&[(1, 1, Fault::Errand(Errand::Outlive))]);
    passes(&plan.with(faults))
}

fn passes(plan: &Plan) -> Report {
    let report = run_plan(plan).unwrap_or_else(|failure| panic!("{failure}\n{}", failure.trace.join("\n")));
    assert_eq!(notes(&report, "outlived every certificate"), 1, "{:?}", report.trace);
    // Two of its people, an enrolment and an entry each: the first attempt of a key is refused on record, later ones are turned away.
    let on_record = notes(&report, "code: KeyExpired");
    assert!(on_record > 0, "{:?}", report.trace);
    assert_eq!(on_record + notes(&report, "key-expired"), 4, "{:?}", report.trace);
    report
}

fn notes(report: &Report, note: &str) -> usize {
    report.trace.iter().filter(|line| line.contains(note)).count()
}

#[test]
fn everything_ends_while_the_nodes_run() {
    let report = outlives(70, &[(20, 1, PAST_EVERYTHING)]);
    assert!(report.height > 150, "the ledger's time caught up in steps: {report:?}");
}

#[test]
fn everything_ends_while_every_node_is_down() {
    let down: Vec<_> = (0..4).map(|node| (20, 3, Fault::Crash { node })).collect();
    let report = outlives(71, &[down, vec![(21, 1, PAST_EVERYTHING)]].concat());
    assert_eq!(notes(&report, " is ready"), 8, "{:?}", report.trace);
}

#[test]
fn nodes_start_one_by_one_into_a_time_in_which_everything_has_ended() {
    let down: Vec<_> = (0..4).map(|node| (20, 2 + 3 * node as u64, Fault::Crash { node })).collect();
    outlives(72, &[down, vec![(21, 1, PAST_EVERYTHING)]].concat());
}

#[test]
fn everything_ends_while_the_network_is_split_and_a_disk_is_lost() {
    let faults =
        [(18, 6, Fault::Split { side: vec![0, 1] }), (20, 1, PAST_EVERYTHING), (26, 1, Fault::Wipe { node: 2 })];
    let report = outlives(73, &faults);
    assert_eq!(notes(&report, "node 2 is ready"), 2, "{:?}", report.trace);
}

#[test]
fn everything_ends_and_one_node_does_not_believe_it() {
    // Its clock stays where it was: what it is asked it answers by that, and the others do without its vote.
    let ms = -80 * 3_600_000;
    outlives(74, &[(20, 9, Fault::ClockJump { node: 3, ms }), (20, 1, PAST_EVERYTHING)]);
}

#[test]
fn everything_ends_beside_a_liar() {
    let plan = Plan::calm(75, 4, Duration::from_secs(30)).with(&[(1, 1, Fault::Errand(Errand::Outlive))]);
    let mut plan = plan.with(&[(20, 1, PAST_EVERYTHING)]);
    plan.criminal = Some((0, Crime::Equivocator));
    passes(&plan);
}

#[test]
fn everything_ends_twice() {
    // By then what was renewed has ended too, the second authority's certificate included. Nobody mends it: the others go on.
    let report = outlives(76, &[(20, 1, PAST_EVERYTHING), (40, 1, Fault::TimePasses { hours: 21 * 24 })]);
    assert!(report.height > 500, "{report:?}");
}
