//! What a node must not hand on: values in the clear that are written only sealed, told before a transaction is ordered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod harness;

use std::{collections::BTreeMap, sync::Arc};

use harness::{Ledger, operation, organisations};
use tallystick_ledger::{
    protection::{commitments, concerned, exposed},
    schema::Schema,
};
use tallystick_protocol::{RegisterRow, StateKey};

const SEALED: &str = "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";

/// The operations of one transaction, and what is told of them: the operation, the entry, the field, the rule.
#[test]
fn what_is_not_handed_on() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create person person name!personal:person | ok
        alpha/admin | create town town name                     | ok
        "#,
    );
    let table = r#"
        append person 1 {"name":"SEALED","person":"1"}                            | nothing
        append person 1 {"name":"Jane","person":"1"}                              | 0: 0 name unsealed
        append town 1 {"name":"York","town":"1"} ; append person 1 {"person":"1"} & 2 {"name":"Jane","person":"2"} | 1: 1 name unsealed
        # What such a register would refuse stays out of the log as well: it may hold the name under another one.
        append person 1 {"nmae":"Jane","person":"1"}                              | 0: 0 nmae unknown-field
        append person 1 { "name":"Jane","person":"1"}                             | 0: 0  not-canonical
        append person 1 {"name":["SEALED","Jane"],"person":"1"}                   | 0: 0 name unsealed, 0 name cardinality
        # Of others the ledger judges.
        append town 1 {"nmae":"York","town":"2"}                                  | nothing
        append town 1 nonsense                                                    | nothing
        append nowhere 1 {"name":"Jane"}                                          | nothing
        # A correction is an entry like others.
        correct person 1 1 {"name":"Jane","person":"1"}                           | 0: 0 name unsealed
        correct person 1 1 {"name":"SEALED","person":"1"}                         | nothing
        # What the transaction itself declares counts.
        create new new name!personal:new ; append new 1 {"name":"Jane","new":"1"} | 1: 0 name unsealed
        create new new ; import new 1 1 - user 1 2019-01-01T00:00:00Z {"name":"Jane","new":"1"} & system field:name 2019-01-01T00:00:00Z {"protection":"personal:new"} | 1: 0 name unsealed
        import person 1 1 - user 1 2019-01-01T00:00:00Z {"name":"Jane"}           | 0: 0 name unsealed
        import person 1 1 - user 1 2019-01-01T00:00:00Z {"name":"SEALED"}         | nothing
        import person 1 1 - user 1 2019-01-01T00:00:00Z nonsense                  | 0: 0  not-canonical
        import person 1 1 - system field:name 2019-01-01T00:00:00Z {"datatype":"text"} ; append person 1 {"name":"Jane","person":"1"} | 1: 0 name unsealed
        # What the transaction cannot take away counts, though the ledger will refuse the attempt.
        create person person name ; append person 1 {"name":"Jane","person":"1"}  | 1: 0 name unsealed
        create new new name!personal:new ; create new new name ; append new 1 {"name":"Jane","new":"1"} | 2: 0 name unsealed
        import person 1 1 - system register:person 2019-01-01T00:00:00Z {"fields":["person"],"register":"person"} & user 1 2019-01-01T00:00:00Z {"name":"Jane","person":"1"} | 0: 1 name unsealed
        import person 1 1 - system register:person 2019-01-01T00:00:00Z {"fields":["person"],"register":"person"} ; append person 1 {"name":"Jane","person":"1"} | 1: 0 name unsealed
        import town 1 1 - user 1 2019-01-01T00:00:00Z {"name":"York"}             | nothing
        "#;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = line.replace("SEALED", SEALED);
        let (operations, expected) = line.split_once('|').unwrap();
        let operations = operations.split(" ; ").map(|text| operation(text.trim())).collect();
        let tx = ledger.sign("alpha/admin", operations);
        let schemas: BTreeMap<String, Arc<Schema>> = concerned(&tx)
            .filter_map(|register| ledger.rows.get(&StateKey::register(register)))
            .map(|row| RegisterRow::decode(row).unwrap())
            .map(|row| (row.register.clone(), Arc::new(Schema::new(&row.register, &row.fields))))
            .collect();
        let told = exposed(&tx, &schemas).map_or("nothing".to_owned(), |(operation, violations)| {
            let told: Vec<_> = violations.iter().map(|v| format!("{} {} {}", v.entry, v.field, v.rule)).collect();
            format!("{operation}: {}", told.join(", "))
        });
        assert_eq!(told, expected.trim(), "{line}");
    }
}

/// Every commitment that is written is found without a schema, where it stands; nothing else is.
#[test]
fn commitments_are_found_where_they_stand() {
    let ledger = Ledger::new();
    let rows = [
        (r#"append person 1 {"name":"SEALED","person":"1"}"#, "person/1/name"),
        (r#"append person 1 {"alias":["Jane","SEALED"],"name":"Jane","person":"1"}"#, "person/1/alias"),
        (r#"append a 1 {"x":"SEALED"} & 2 {"x":"SEALED","y":"SEALED"}"#, "a/1/x a/2/x a/2/y"),
        (r#"correct person 1 1 {"name":"SEALED","person":"1"}"#, "person/1/name"),
        (r#"import person 1 1 - user 1 2019-01-01T00:00:00Z {"name":"SEALED"}"#, "person/1/name"),
        (r#"import person 1 1 - system name 2019-01-01T00:00:00Z {"name":"SEALED"}"#, ""),
        (r#"append person 1 {"name":"sealed:nothing","note":"see SEALED","person":"1"}"#, ""),
        (r#"append person 1 { "name":"SEALED"}"#, ""),
    ];
    for (text, expected) in rows {
        let tx = ledger.sign("alpha/admin", vec![operation(&text.replace("SEALED", SEALED))]);
        let found: Vec<String> = commitments(&tx).into_iter().map(|((r, k, f), _)| format!("{r}/{k}/{f}")).collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }
}

/// What opens sealed values is kept and erased under the custodian, who therefore stays; the register can be closed.
#[test]
fn what_is_sealed_stays_with_its_custodian() {
    Ledger::of(organisations(&["a", "b", "c", "d"])).run(
        r#"
        d/admin | create person person name!personal:person      | ok
        a/admin | propose p entrust:person:a                     | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        blocks 10
        * p | failed 3-0-0/4 @15 (0 custodian-holds)
        a/admin | propose q close:person                         | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        blocks 10
        * q | effective 3-0-0/4 @29
        "#,
    );
}
