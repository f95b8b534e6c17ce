//! Rectification: which entries are corrected, by whom, and what is noted of the one that was wrong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod harness;

use harness::Ledger;
use tallystick_protocol::{CorrectionRow, RegisterRow, StateKey};

const SEALED: &str = "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";

#[test]
fn what_is_corrected() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create town town name                               | ok
        alpha/clerk | append town 1 {"name":"Yrok","town":"1"}            | ok town user 1+1
        alpha/clerk | append town 2 {"name":"Leeds","town":"2"}           | ok town user 2+1
        # Who may append may correct; others may do neither.
        beta/clerk  | correct town 1 1 {"name":"York","town":"1"}         | 0 not-permitted
        alpha/clerk | correct city 1 1 {"name":"York","town":"1"}         | 0 register-unknown
        # Only the latest entry of its key is corrected, by one that is judged like any other.
        alpha/clerk | correct town 2 1 {"name":"York","town":"1"}         | 0 correction-unknown
        alpha/clerk | correct town 1 3 {"name":"York","town":"3"}         | 0 correction-unknown
        alpha/clerk | correct town 1 1 {"nmae":"York","town":"1"}         | 0 schema (0 nmae unknown-field)
        alpha/clerk | correct town 1 1 { "name":"York","town":"1"}        | 0 item-not-canonical (0 not-canonical)
        alpha/clerk | correct town 1 1 {"name":"Yrok","town":"1"}         | 0 entry-unchanged (0 unchanged)
        alpha/clerk | correct town 1 1 {"name":"York","town":"1"}         | ok town user 3+1
        alpha/clerk | correct town 1 1 {"name":"Jorvik","town":"1"}       | 0 correction-superseded
        # What corrects may be wrong too; twice in one transaction, each of the one before.
        alpha/clerk | correct town 3 1 {"name":"Jorvik","town":"1"} ; correct town 4 1 {"name":"York","town":"1"} | ok town user 4+1, town user 5+1
        alpha/admin | phase town live                                     | ok
        alpha/admin | phase town closed                                   | ok
        alpha/clerk | correct town 5 1 {"name":"Eboracum","town":"1"}     | 0 register-phase
        "#,
    );
    let mark = |number: u64| {
        let town = RegisterRow::decode(&ledger.rows[&StateKey::register("town")]).unwrap();
        let row = ledger.rows.get(&StateKey::correction(town.number, number))?;
        Some(CorrectionRow::decode(row).unwrap())
    };
    let marked: Vec<_> = (1..=5).filter_map(mark).map(|row| (row.corrects, row.entry)).collect();
    assert_eq!(marked, [(1, 3), (3, 4), (4, 5)]);
    let first = mark(1).unwrap();
    assert_eq!((first.register.as_str(), first.key.as_str(), first.leaf), ("town", "1", 10));
    let since: Vec<_> = (1..=5).filter_map(mark).map(|row| (row.since, row.leaf)).collect();
    // The last two are of one transaction: the entry that the second of them corrects came with it.
    assert_eq!(since, [(1, 10), (10, 12), (12, 12)]);
    assert_eq!(first.principal.to_string(), "alpha/clerk");
    assert_eq!((first.authority.as_str(), first.legal_basis.as_str()), ("The person", "UK GDPR Article 16"));
}

/// Whoever read says that they know, or an administrator of theirs does; of an entry that is corrected, and of no other.
#[test]
fn who_says_that_they_know() {
    Ledger::new().run(
        r#"
        alpha/admin | create town town name                               | ok
        alpha/clerk | append town 1 {"name":"Yrok","town":"1"}            | ok town user 1+1
        alpha/clerk | told town 1 1 alpha/clerk                           | 0 correction-unknown
        alpha/clerk | correct town 1 1 {"name":"York","town":"1"}         | ok town user 2+1
        beta/clerk  | told town 1 1 beta/clerk                            | ok
        beta/clerk  | told town 1 1 beta/clerk Court                      | ok
        beta/admin  | told town 1 1 beta/clerk                            | ok
        beta/clerk  | told town 1 1 beta/admin                            | 0 not-permitted
        alpha/admin | told town 1 1 beta/clerk                            | 0 not-permitted
        alpha/clerk | told town 2 1 alpha/clerk                           | 0 correction-unknown
        alpha/clerk | told town 1 2 alpha/clerk                           | 0 correction-unknown
        alpha/clerk | told city 1 1 alpha/clerk                           | 0 register-unknown
        alpha/admin | told town 1 1 alpha/nobody                          | 0 subject-unknown
        "#,
    );
}

/// A correction of a protected field is sealed like any other entry, and is told before it is ordered when it is not.
#[test]
fn a_correction_exposes_nothing() {
    let mut ledger = Ledger::new();
    let table = r#"
        alpha/admin | create person person name!personal:person             | ok
        alpha/clerk | append person 1 {"name":"SEALED","person":"1"}        | ok person user 1+1
        alpha/clerk | correct person 1 1 {"name":"Jane","person":"1"}       | 0 value-unsealed (0 name unsealed)
        alpha/clerk | correct person 1 1 {"person":"1"}                     | ok person user 2+1
    "#;
    ledger.run(&table.replace("SEALED", SEALED));
}
