//! Partitions: how they begin, change and end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, organisations};
use tallystick_ledger::PageRow;
use tallystick_protocol::{PartitionRow, StateKey};

fn four() -> Ledger {
    Ledger::of(organisations(&["a", "b", "c", "d"]))
}

fn partition(ledger: &Ledger, name: &str) -> PartitionRow {
    PartitionRow::decode(&ledger.rows[&StateKey::partition(name)]).unwrap()
}

/// Two members' yes opens it; the others of the four have no say by the first rulebook.
#[test]
fn its_members_open_it_and_nobody_else() {
    let mut ledger = four();
    ledger.run(
        r#"
        c/admin | propose p open:health:a,b                      | ok
        c/admin | vote p yes                                     | 0 not-elector
        a/admin | vote p yes                                     | ok
        * p | open 1-0-0/1 0-0-0/1
        b/admin | vote p yes                                     | ok
        * p | accepted 1-0-0/1 1-0-0/1 @14
        blocks 10
        * p | effective 1-0-0/1 1-0-0/1 @14
        # Its name is not used again, and one that is not there is not amended.
        c/admin | propose q open:health:c,d                      | ok
        c/admin | propose r reopen:other:c,d                     | 0 partition-unknown
        c/admin | vote q yes                                     | ok
        d/admin | vote q yes                                     | ok
        blocks 10
        * q | failed 1-0-0/1 1-0-0/1 @28 (0 partition-exists)
        "#,
    );
    let row = partition(&ledger, "health");
    assert_eq!((row.terms.members.join(" ").as_str(), row.opened_height, row.closed), ("a b", 14, None));
    let page = PageRow::decode(&ledger.rows[&StateKey::partitions(0)]).unwrap();
    assert_eq!(page.ids, ["health"]);
}

/// One member's no, or its silence, and it is not opened, whoever else votes for it.
#[test]
fn one_member_that_does_not_agree_is_enough() {
    four().run(
        r#"
        a/admin | propose p open:health:a,b                      | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p no                                      | ok
        * p | rejected 1-0-0/1 0-1-0/1
        a/admin | propose q open:health:a,b                      | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q abstain                                 | ok
        * q | rejected 1-0-0/1 0-0-1/1
        "#,
    );
}

/// A rulebook may give others a say, and cannot take the members' away.
#[test]
fn a_majority_of_all_does_not_bind_a_member() {
    four().run(
        r#"
        a/admin | propose r rule:partition-open:vote=members     | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        c/admin | vote r yes                                     | ok
        blocks 10
        a/admin | propose p open:health:a,b                      | ok
        a/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        d/admin | vote p yes                                     | ok
        * p | accepted 3-0-0/4 @28
        blocks 10
        * p | failed 3-0-0/4 @28 (0 consent-missing: 1 b consent)
        "#,
    );
}

/// Who joins and who leaves must both agree; a closed one stays closed.
#[test]
fn the_old_and_the_new_members_amend_it() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p open:health:a,b                      | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        blocks 10
        a/admin | propose q reopen:health:b,c                    | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        * q | open 0-0-0/1 1-0-0/1 1-0-0/1
        a/admin | vote q yes                                     | ok
        blocks 10
        * q | effective 1-0-0/1 1-0-0/1 1-0-0/1 @27
        # Who left has no say in its end.
        a/admin | propose e end:health                           | ok
        a/admin | vote e yes                                     | 0 not-elector
        b/admin | vote e yes                                     | ok
        c/admin | vote e yes                                     | ok
        blocks 10
        b/admin | propose f reopen:health:b,c                    | ok
        b/admin | vote f yes                                     | ok
        c/admin | vote f yes                                     | ok
        blocks 10
        * f | failed 1-0-0/1 1-0-0/1 @54 (0 partition-closed)
        "#,
    );
    let row = partition(&ledger, "health");
    assert_eq!((row.terms.members.join(" ").as_str(), row.opened_height, row.amended_height), ("b c", 13, 27));
    assert!(row.closed.is_some());
}
