//! What a dry run says before a vote, and that it is what happens.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, change, organisations};
use tallystick_ledger::{Missing, Report, View, dry_run, dry_run_rows};
use tallystick_protocol::{Change, Code, ProposalStatus};

fn four() -> Ledger {
    Ledger::of(organisations(&["a", "b", "c", "d"]))
}

/// What the ledger answers, and how many times rows were fetched for it: first those that are surely read.
fn asked(ledger: &Ledger, changes: &[Change]) -> (Vec<Report>, usize) {
    let mut view = View::new();
    ledger.fetch(&mut view, dry_run_rows(changes));
    for fetched in 1.. {
        match dry_run(&mut view, &ledger.context(), changes) {
            Ok(reports) => {
                assert!(view.changes().is_empty(), "a dry run changes nothing");
                return (reports, fetched);
            }
            Err(Missing(keys)) => ledger.fetch(&mut view, keys),
        }
    }
    unreachable!("rows are fetched without end")
}

/// What a dry run says, as lines: `NUMBER ok|CODE`, then `subject: field: before -> after`.
fn tried(ledger: &Ledger, changes: &[&str]) -> Vec<String> {
    let changes: Vec<Change> = changes.iter().map(|text| change(text)).collect();
    let (reports, _) = asked(ledger, &changes);
    let mut lines = Vec::new();
    for (report, number) in reports.iter().zip(1..) {
        let verdict = report.refusal.as_ref().map_or("ok", |(code, _)| code.as_str());
        lines.push(format!("{number} {verdict}"));
        for difference in &report.differences {
            let before = difference.before.as_deref().unwrap_or("(new)");
            lines.push(format!("{}: {}: {before} -> {}", difference.subject, difference.field, difference.after));
        }
    }
    lines
}

#[test]
fn a_dry_run_tells_what_would_differ() {
    let mut ledger = four();
    ledger.run("a/admin | create list list | ok");
    assert_eq!(
        tried(&ledger, &["suspend:d", "suspend:d", "limit:registers:5", "close:list", "version:2", "version:9"]),
        [
            "1 ok",
            "the ledger: organisations that vote: 4 -> 3",
            "organisation d: status: active -> suspended",
            "organisation d: reason: none -> A reason.",
            "2 organisation-status",
            "3 ok",
            "limits: registers: (new) -> 5",
            "4 ok",
            "register list: phase: draft -> closed",
            "5 ok",
            "the protocol: version: 1 -> 2",
            "6 version-invalid",
        ]
    );
    assert_eq!(
        tried(&ledger, &["rule:policies:share=2/3", "rule:policies:share=3/2", "close:nothing", "expel:z"]),
        [
            "1 ok",
            "the rulebook: policies: members propose, members vote, >1/2, open 7 d, notice 10 blocks, pause 1 d -> \
             members propose, members vote, 2/3, open 7 d, notice 10 blocks, pause 1 d",
            "2 change-invalid",
            "3 register-unknown",
            "4 organisation-unknown",
        ]
    );
    let admitted = tried(&ledger, &["admit:g"]);
    assert!(admitted.contains(&"organisation g: status: (new) -> active".to_owned()), "{admitted:?}");
    assert!(admitted.contains(&"principal g/admin: roles: (new) -> administrator".to_owned()), "{admitted:?}");
}

#[test]
fn what_a_dry_run_says_is_what_happens() {
    let changes = ["suspend:d", "admit:g", "limit:registers:7", "create:berth:a", "rule:limit:share=1/4"];
    let mut ledger = four();
    let before = tried(&ledger, &changes);
    assert!(before.iter().filter(|line| line.ends_with(" ok")).count() == changes.len(), "{before:?}");
    ledger.run(&format!(
        "a/admin | propose p {} | ok\na/admin | vote p yes | ok\nb/admin | vote p yes | ok\nc/admin | vote p yes | ok",
        changes.join(" ")
    ));
    (0..10).for_each(|_| drop(ledger.empty_block()));
    assert_eq!(ledger.proposal("p").status, ProposalStatus::Effective);
    // Made once, they cannot be made again, or would change nothing.
    let after = tried(&ledger, &changes);
    assert_eq!(after, ["1 organisation-status", "2 organisation-exists", "3 ok", "4 register-exists", "5 ok"]);
}

#[test]
fn whose_a_validator_is_must_be_said_truly() {
    let ledger = four();
    let lie = |text: &str, to: &str| match change(text) {
        Change::Validators { add, mut remove } => {
            remove.iter_mut().for_each(|validator| validator.organisation = to.into());
            Change::Validators { add, remove }
        }
        other => other,
    };
    let (reports, _) = asked(&ledger, &[lie("validator:-a", "b"), change("validator:-a")]);
    assert_eq!(reports[0].refusal.as_ref().unwrap().0, Code::ValidatorUnknown);
    assert_eq!(reports[1].refusal, None);
}

#[test]
fn rows_of_all_changes_are_fetched_together() {
    let mut ledger = four();
    ledger.run("a/admin | create list list | ok");
    let one = ["suspend:d", "admit:g", "create:berth:a", "close:list", "rule:limit:share=1/4"];
    let fetches = |changes: &[&str]| {
        let changes: Vec<Change> = changes.iter().map(|text| change(text)).collect();
        asked(&ledger, &changes).1
    };
    let most = one.iter().map(|change| fetches(&[change])).max().unwrap();
    let many: Vec<String> = (0..10).map(|n| format!("admit:org{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(one).collect();
    assert_eq!(fetches(&many), most, "a list costs no more rounds than the change that takes the most");
}
