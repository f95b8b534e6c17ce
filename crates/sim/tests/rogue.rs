//! A registrar gone rogue within one organisation: what it can and cannot do, on a network whose nodes crash meanwhile. Each row of
//! `docs/concepts/rogue-registrar.md` names its test here, and each test here is named there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::LazyLock, time::Duration};
use tallystick_sim::{
    Plan, Report,
    plan::{Errand, Fault},
    run_plan,
};

/// It tries everything in one world; the errand stops the run when it is answered otherwise than it must be.
static TRIED: LazyLock<Report> = LazyLock::new(|| {
    let faults = [
        (1, 1, Fault::Errand(Errand::Rogue)),
        (4, 2, Fault::Crash { node: 1 }),
        (8, 3, Fault::Split { side: vec![3] }),
    ];
    let plan = Plan::calm(80, 4, Duration::from_secs(12)).with(&faults);
    run_plan(&plan).unwrap_or_else(|failure| panic!("{failure}\n{}", failure.trace.join("\n")))
});

#[track_caller]
fn tried(whats: &[&str]) {
    for what in whats {
        let told = TRIED.trace.iter().filter(|line| line.ends_with(what)).count();
        assert_eq!(told, 1, "{what}: {:?}", TRIED.trace);
    }
}

#[test]
fn what_it_enters_bears_its_name_and_stays() {
    tried(&["can enter what is false, as organisation-3/registrar-1, and it stays beside its correction"]);
}

#[test]
fn it_lends_its_pen() {
    tried(&["can lend its pen"]);
}

#[test]
fn it_gives_itself_keys() {
    tried(&["can give itself more keys"]);
}

#[test]
fn it_writes_nowhere_else_and_dates_nothing_back() {
    tried(&["cannot write to another's register", "cannot date entries back by an import"]);
}

#[test]
fn it_has_no_say_over_registers() {
    tried(&["cannot create a register", "cannot close a register", "cannot set a policy"]);
}

#[test]
fn it_makes_nobody_and_becomes_nobody() {
    tried(&[
        "cannot enrol a friend",
        "cannot promote itself",
        "cannot replace its administrator's key",
        "cannot add a key to its administrator",
        "cannot recover its administrator",
        "cannot act for another organisation's people",
    ]);
}

#[test]
fn it_gets_nobody_out_of_the_way() {
    tried(&[
        "cannot suspend its administrator",
        "cannot end its administrator's key",
        "cannot lower what a recovery takes",
    ]);
}

#[test]
fn it_does_not_speak_for_its_organisation() {
    tried(&[
        "cannot propose",
        "cannot vote",
        "cannot object",
        "cannot withdraw",
        "cannot say where its organisation is reached",
        "cannot have an authority trusted",
    ]);
}

#[test]
fn it_lends_no_more_than_it_has() {
    tried(&["cannot lend what it may not do"]);
}

#[test]
fn it_ends_at_once_with_all_its_keys_and_mandates() {
    tried(&["cannot act when it is suspended, by any key", "cannot act by what it lent when it is suspended"]);
}

#[test]
fn the_page_says_what_is_tested_here() {
    let page = include_str!("../../../docs/concepts/rogue-registrar.md");
    let source = include_str!("rogue.rs");
    let tests: Vec<&str> =
        source.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split_once("()").map(|(name, _)| name)).collect();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && line.contains("`rogue.rs::")).collect();
    for test in tests.iter().filter(|test| !test.starts_with("the_page")) {
        let named = rows.iter().filter(|row| row.contains(&format!("`rogue.rs::{test}`"))).count();
        assert_eq!(named, 1, "{test} is named by {named} rows of the page");
    }
    for row in &rows {
        let named = row.split("`rogue.rs::").nth(1).and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
        assert!(named.is_some_and(|named| tests.contains(&named)), "no test is called so: {row}");
    }
    assert_eq!(rows.len(), tests.len() - 1);
}
