//! What a dry run says before a vote, and that it is what happens.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, change, key, organisations};
use tallystick_ledger::{
    Missing, Report, View, dry_run, dry_run_rows,
    policy::STARTER,
    x509::{Wording, issue_authority},
};
use tallystick_protocol::{Assurance, AuthorityTerms, Change, Code, PolicyMeaning, PolicyText, ProposalStatus};

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
    told(ledger, &changes)
}

fn told(ledger: &Ledger, changes: &[Change]) -> Vec<String> {
    let mut lines = Vec::new();
    for (report, number) in asked(ledger, changes).0.iter().zip(1..) {
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

/// What people vote on is told thing by thing: what a policy replaces, what an authority may say, whose a validator is, what a field
/// holds.
#[test]
fn nothing_that_is_voted_on_is_left_out() {
    let ledger = four();
    let (id, old) = STARTER.into_iter().find(|(id, _)| *id == "own-mandates").unwrap();
    let new = old.replace("permit", "// Anew.\npermit");
    let put = |text: &str| Change::Policies {
        put: vec![PolicyText { id: id.parse().unwrap(), text: text.to_owned() }],
        remove: Vec::new(),
    };
    let newer = new.replace("Anew", "Once more");
    let lines = told(&ledger, &[put(&new), put(&newer), change("unpolicy:own-mandates")]);
    assert!(lines.contains(&format!("policy own-mandates: text: {old} -> {new}")), "{lines:?}");
    // Of several changes each is compared with what the one before it leaves.
    assert!(lines.contains(&format!("policy own-mandates: text: {new} -> {newer}")), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "the policies: own-mandates: put by change 3 -> none");

    let (a, d) = (key("new-validator-a").public(), key("validator-d").public());
    let lines = tried(&ledger, &["validator:+a", "validator:-d", "create:berth:a"]);
    for expected in [
        format!("validator {a}: organisation: (new) -> a"),
        format!("validators from the epoch after the next on: {a}: (new) -> certifies"),
        format!("validators from the epoch after the next on: {d}: certifies -> none"),
        "register berth: text: (new) -> A register".to_owned(),
        "register berth: field berth: (new) -> berth: string".to_owned(),
    ] {
        assert!(lines.contains(&expected), "{expected}: {lines:?}");
    }

    let terms = AuthorityTerms {
        policies: vec![PolicyMeaning { policy: "1.2.3".into(), assurance: Assurance::High }],
        names: vec!["clerk".into()],
    };
    let wording = Wording { serial: [1; 16], subject: "CN=Root", from: 1, until: 4_000_000_000 };
    let certificate = issue_authority(&key("root"), &wording).unwrap().der().to_vec();
    let lines = told(&ledger, &[Change::AuthorityAdmit { organisation: "a".into(), certificate, terms }]);
    let ends = [
        ": subject: (new) -> CN=Root",
        ": valid until: (new) -> 2096-10-02T07:06:40Z",
        ": terms: (new) -> certificate policy 1.2.3 means assurance high; it may certify principals whose names begin with clerk",
    ];
    for expected in ends {
        assert!(lines.iter().any(|line| line.ends_with(expected)), "{expected}: {lines:?}");
    }
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
