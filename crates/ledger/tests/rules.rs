//! The ledger's rules as tables: who signs, what, and the outcome.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, describe, key, operation, principal};
use tallystick_ledger::{OrganisationRow, PrincipalRow, TreeRow, register::TRANSITIONS};
use tallystick_protocol::{
    NewEntry, Operation, RecordRow, RegisterRow, StateKey,
    operation::{EntryKind, Phase},
};

#[test]
fn who_may_write() {
    Ledger::new().run(
        r#"
        # Only administrators create registers; the custodian is the signer's organisation.
        alpha/clerk   | create country country name                         | 0 not-permitted
        alpha/admin   | create country country name                         | ok
        beta/admin    | create country country                              | 0 register-exists
        # Administrators and registrars of the custodian append; nobody else.
        alpha/admin   | append country GB {"country":"GB"}                  | ok country user 1+1
        alpha/clerk   | append country FR {"country":"FR"}                  | ok country user 2+1
        beta/admin    | append country DE {"country":"DE"}                  | 0 not-permitted
        beta/clerk    | append country DE {"country":"DE"}                  | 0 not-permitted
        # Only the custodian's administrators move the phase and import.
        alpha/clerk   | phase country live                                  | 0 not-permitted
        beta/admin    | phase country live                                  | 0 not-permitted
        beta/clerk    | phase country live                                  | 0 not-permitted
        alpha/clerk   | import country 3 1 - system name 2019-01-01T00:00:00Z {"name":"x"} | 0 not-permitted
        beta/admin    | import country 3 1 - system name 2019-01-01T00:00:00Z {"name":"x"} | 0 not-permitted
        alpha/admin   | phase country live                                  | ok
        # What is not there.
        alpha/admin   | append town A {"town":"A"}                          | 0 register-unknown
        alpha/admin   | phase town live                                     | 0 register-unknown
        alpha/nobody  | append country DE {"country":"DE"}                  | 0 principal-unknown
        delta/admin   | append country DE {"country":"DE"}                  | 0 principal-unknown
        alpha/admin@other | append country DE {"country":"DE"}              | 0 key-unknown
        # Another principal's key is not one's own.
        alpha/admin@alpha/clerk | append country DE {"country":"DE"}        | 0 key-unknown
        "#,
    );
}

#[test]
fn keys_and_principals() {
    Ledger::new().run(
        r#"
        # Enrolment is an administrator's, into the own organisation, with a key that nobody ever had.
        alpha/clerk       | enrol carol registrar k1                        | 0 not-permitted
        alpha/admin       | enrol carol registrar k1                        | ok
        alpha/admin       | enrol carol registrar k2                        | 0 principal-exists
        alpha/admin       | enrol dave registrar k1                         | 0 key-in-use
        beta/admin        | enrol carol registrar k1                        | 0 key-in-use
        beta/admin        | enrol carol registrar k3                        | ok
        alpha/admin       | enrol eve registrar validator-beta              | 0 key-in-use
        alpha/admin       | create list list                                | ok
        alpha/carol@k1    | append list a {"list":"a"}                      | ok list user 1+1
        # Rotation: the new key signs from the next transaction on, the old one no more.
        alpha/clerk       | rotate alpha/carol k1 k4                        | 0 not-permitted
        beta/admin        | rotate alpha/carol k1 k4                        | 0 not-permitted
        beta/clerk        | rotate alpha/carol k1 k4                        | 0 not-permitted
        alpha/admin       | rotate alpha/nobody k1 k4                       | 0 subject-unknown
        alpha/admin       | rotate alpha/carol k2 k4                        | 0 subject-key-unknown
        alpha/admin       | rotate alpha/carol k1 k3                        | 0 key-in-use
        alpha/admin       | rotate alpha/carol k1 k1                        | 0 key-in-use
        alpha/admin       | rotate alpha/carol k1 k4                        | ok
        alpha/carol@k1    | append list b {"list":"b"}                      | 0 key-retired
        alpha/carol@k4    | append list b {"list":"b"}                      | ok list user 2+1
        alpha/admin       | rotate alpha/carol k1 k5                        | 0 subject-key-unknown
        # A retired key belongs to its holder for ever.
        alpha/admin       | rotate alpha/carol k4 k1                        | 0 key-in-use
        beta/admin        | enrol frank registrar k1                        | 0 key-in-use
        # Retirement.
        alpha/clerk       | retire alpha/carol k4                           | 0 not-permitted
        beta/admin        | retire alpha/carol k4                           | 0 not-permitted
        alpha/admin       | retire alpha/carol k1                           | 0 subject-key-unknown
        alpha/admin       | retire alpha/carol k4                           | ok
        alpha/admin       | retire alpha/carol k4                           | 0 subject-key-unknown
        alpha/carol@k4    | append list c {"list":"c"}                      | 0 key-retired
        # The last administrator stays; a second one may go, and then the first may too.
        alpha/admin       | retire alpha/admin alpha/admin                  | 0 last-administrator
        alpha/admin       | enrol ann administrator k6                      | ok
        alpha/admin       | retire alpha/admin alpha/admin                  | ok
        alpha/admin       | create other other                              | 0 key-retired
        alpha/ann@k6      | create other other                              | ok
        alpha/ann@k6      | retire alpha/ann k6                             | 0 last-administrator
        alpha/ann@k6      | rotate alpha/ann k6 k7                          | ok
        alpha/ann@k7      | retire alpha/ann k7                             | 0 last-administrator
        # Within one transaction the second retirement sees the first.
        beta/admin        | enrol ben administrator k8                      | ok
        beta/admin        | retire beta/admin beta/admin ; retire beta/ben k8 | 1 last-administrator
        beta/admin        | retire beta/ben k8                              | ok
        "#,
    );
}

#[test]
fn a_key_that_is_no_point_is_refused() {
    let mut ledger = Ledger::new();
    let keys = (0..).map(|n| tallystick_protocol::PublicKey::Ed25519([n; 32]));
    for key in keys.filter(|key| key.validate().is_err()).take(3) {
        let enrol = Operation::enrol("x", tallystick_protocol::Roles::registrar(), key);
        assert_eq!(describe(&ledger.act("alpha/admin", vec![enrol])), "0 key-invalid");
    }
}

#[test]
fn a_principal_may_rotate_for_ever_and_old_keys_stay_retired() {
    let mut ledger = Ledger::new();
    let mut old = "alpha/clerk".to_owned();
    for round in 0..20 {
        let new = format!("round {round}").replace(' ', "-");
        ledger.run(&format!("alpha/admin | rotate alpha/clerk {old} {new} | ok"));
        old = new;
    }
    let row = &ledger.rows[&StateKey::principal(&principal("alpha/clerk"))];
    let row = PrincipalRow::decode(row).unwrap();
    assert_eq!(row.keys.len(), tallystick_protocol::limits::KEYS_PER_PRINCIPAL_MAX);
    assert_eq!(row.keys.iter().filter(|held| held.is_kept()).count(), 1);
    ledger.run(
        r#"
        alpha/clerk              | append x a {"x":"a"} | 0 key-retired
        alpha/clerk@round-18     | append x a {"x":"a"} | 0 key-retired
        alpha/clerk@round-19     | append x a {"x":"a"} | 0 register-unknown
        alpha/admin@round-19     | append x a {"x":"a"} | 0 key-unknown
        beta/admin               | enrol z registrar round-3 | 0 key-in-use
        "#,
    );
}

#[test]
fn the_life_of_a_register() {
    Ledger::new().run(
        r#"
        alpha/admin | create old old                                        | ok
        alpha/admin | create new new                                        | ok
        # A draft goes live, or is given up; it is replaced only when it was live.
        alpha/admin | phase old superseded new                              | 0 register-phase
        alpha/admin | phase old draft                                       | 0 register-phase
        alpha/admin | append old a {"old":"a"}                              | ok old user 1+1
        alpha/admin | phase old live                                        | ok
        alpha/admin | phase old live                                        | 0 register-phase
        alpha/admin | phase old draft                                       | 0 register-phase
        alpha/admin | append old b {"old":"b"}                              | ok old user 2+1
        # A successor is named when superseding, and only then: another register that exists.
        alpha/admin | phase old superseded                                  | 0 successor-invalid
        alpha/admin | phase old superseded old                              | 0 successor-invalid
        alpha/admin | phase old superseded none                             | 0 successor-invalid
        alpha/admin | phase old closed new                                  | 0 successor-invalid
        alpha/admin | phase old superseded new                              | ok
        alpha/admin | append old c {"old":"c"}                              | 0 register-phase
        alpha/admin | import old 3 1 - system name 2019-01-01T00:00:00Z {"name":"x"} | 0 register-phase
        alpha/admin | phase old live                                        | 0 register-phase
        alpha/admin | phase old closed                                      | 0 register-phase
        alpha/admin | phase new closed                                      | ok
        alpha/admin | append new a {"new":"a"}                              | 0 register-phase
        # What a register's name was, stays its name.
        alpha/admin | create old old                                        | 0 register-exists
        "#,
    );
}

#[test]
fn every_transition_not_in_the_table_is_refused() {
    use Phase::{Closed, Draft, Live, Superseded};
    // From, to, whether: all sixteen.
    let table = [
        (Draft, [false, true, false, true]),
        (Live, [false, false, true, true]),
        (Superseded, [false, false, false, false]),
        (Closed, [false, false, false, false]),
    ];
    for (from, allowed) in table {
        for (to, allowed) in [Draft, Live, Superseded, Closed].into_iter().zip(allowed) {
            assert_eq!(TRANSITIONS.contains(&(from, to)), allowed, "{from} to {to}");
        }
    }
}

#[test]
fn schemas_of_new_registers() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create country                                        | 0 fields-invalid (0 country key-missing)
        alpha/admin | create country name                                   | 0 fields-invalid (0 country key-missing)
        alpha/admin | create country country name country                   | 0 fields-invalid (2 country duplicate)
        alpha/admin | create country country:string:n                       | 0 fields-invalid (0 country cardinality)
        alpha/admin | create country country:curie:1:country name:text:n    | ok
        "#,
    );
    let mut large = operation("create large large");
    if let Operation::RegisterCreate { fields, .. } = &mut large {
        fields.extend((0..20).map(|n| {
            let mut field = harness::field(&format!("f{n}"));
            field.text = "x".repeat(1_000);
            field
        }));
    }
    assert_eq!(describe(&ledger.act("alpha/admin", vec![large])), "0 too-large");
}

#[test]
fn protected_fields() {
    const SEALED: &str =
        "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";
    let table = r#"
        alpha/admin | create person person!restricted                                    | 0 protection-invalid (0 person protection)
        alpha/admin | create person person name!personal:person                          | ok
        # A field that says whom others are about names one record, to everybody.
        alpha/admin | create visit visit name!personal:who                               | 0 protection-invalid (1 name subject)
        alpha/admin | create visit visit who name!personal:who                           | 0 protection-invalid (2 name subject)
        alpha/admin | create visit visit who:curie:n name!personal:who                   | 0 protection-invalid (2 name subject)
        alpha/admin | create visit visit who:curie:1!restricted name!personal:who        | 0 protection-invalid (2 name subject)
        alpha/admin | create visit visit name!personal:name                              | 0 protection-invalid (1 name subject)
        alpha/admin | create visit visit who:string:1:person why!restricted notes:string:n!personal:who | ok
        # Only sealed values are taken.
        alpha/clerk | append person p-1 {"name":"Jane Doe","person":"p-1"}               | 0 value-unsealed (0 name unsealed)
        alpha/clerk | append person p-1 {"name":"","person":"p-1"}                       | 0 value-unsealed (0 name unsealed)
        alpha/clerk | append person p-1 {"name":["SEALED","Jane"],"person":"p-1"}        | 0 value-unsealed (0 name unsealed)
        alpha/clerk | append person p-1 {"name":"sealed:pedersen-ristretto255:0000000000000000000000000000000000000000000000000000000000000000","person":"p-1"} | 0 value-unsealed (0 name unsealed)
        alpha/clerk | append person p-1 {"name":["SEALED"],"person":"p-1"}               | 0 schema (0 name cardinality)
        alpha/clerk | append person p-1 {"name":"SEALED","person":"p-1"}                 | ok person user 1+1
        alpha/clerk | append person p-2 {"person":"p-2"}                                 | ok person user 2+1
        # A personal value is about somebody; the others of the item are judged as ever.
        alpha/clerk | append visit 1 {"notes":["SEALED"],"visit":"1"}                    | 0 schema (0 notes subject)
        alpha/clerk | append visit 1 {"notes":["SEALED"],"visit":"1","who":"p--1"}       | 0 schema (0 notes subject, 0 who unresolved)
        alpha/clerk | append visit 1 {"notes":["SEALED","SEALED"],"visit":"1","who":"p-1"} | 0 schema (0 notes duplicate)
        alpha/clerk | append visit 1 {"notes":["SEALED"],"visit":"1","who":"p-9"}        | 0 schema (0 who unresolved)
        alpha/clerk | append visit 1 {"notes":["SEALED"],"visit":"1","who":"p-1","why":"SEALED"} | ok visit user 1+1
        alpha/clerk | append visit 1 {"notes":["a"],"visit":"1","why":"b"} & 2 {"visit":"2"} & 3 {"visit":"3","why":"b"} | 0 value-unsealed (0 notes unsealed, 0 why unsealed, 2 why unsealed)
        "#;
    Ledger::new().run(&table.replace("SEALED", SEALED));
}

#[test]
fn what_entries_must_be() {
    Ledger::new().run(
        r#"
        alpha/admin | create school school:string:1:school name names:string:n opened:datetime pupils:integer | ok
        # One broken entry refuses all of them, and every broken entry is named.
        alpha/clerk | append school 1 {"school":"1"} & 2 {"pupils":"many","school":"2"} & 3 {"x":"y"} | 0 schema (1 pupils datatype, 2 school key-missing, 2 x unknown-field)
        alpha/clerk | append school 1 {"school":"2"}                        | 0 schema (0 school key-mismatch)
        alpha/clerk | append school 1 {"names":"a","opened":"soon","school":"1"} | 0 schema (0 names cardinality, 0 opened datatype)
        alpha/clerk | append school 1 {"names":["a","a"],"school":"1"}      | 0 schema (0 names duplicate)
        alpha/clerk | append school 1 {"name":"","school":"1"}              | 0 schema (0 name empty)
        # Form before content.
        alpha/clerk | append school 1 {"school":"1","pupils":"x"}           | 0 item-not-canonical (0 not-canonical)
        alpha/clerk | append school 1 {"school":"1","school":"1"}           | 0 item-not-canonical (0 not-canonical)
        alpha/clerk | append school 1 {"pupils":7,"school":"1"}             | 0 item-not-canonical (0 not-text)
        alpha/clerk | append school 1 {"school":"1"} & 2 {"pupils":"x","school":"2"} & 3 {} & 4 nonsense | 0 item-not-canonical (3 not-canonical)
        alpha/clerk | append school 1 {"school":"1"} {"school":"1"}         | 0 item-duplicate (0 item-twice)
        # An entry that says nothing new is refused, against the record and within one list.
        alpha/clerk | append school 1 {"school":"1"} & 1 {"school":"1"}     | 0 entry-unchanged (1 unchanged)
        alpha/clerk | append school 1 {"school":"1"}                        | ok school user 1+1
        alpha/clerk | append school 1 {"school":"1"}                        | 0 entry-unchanged (0 unchanged)
        alpha/clerk | append school 1 {"name":"A","school":"1"} & 1 {"school":"1"} | ok school user 2+2
        # Two items in one entry are both checked.
        alpha/clerk | append school 2 {"name":"A","school":"2"} {"name":"B","school":"3"} | 0 schema (0 school key-mismatch)
        alpha/clerk | append school 2 {"name":"A","school":"2"} {"name":"B","school":"2"} | ok school user 4+1
        "#,
    );
}

#[test]
fn links_between_registers() {
    Ledger::new().run(
        r#"
        alpha/admin | create town town country:string:1:country twin:curie:n partner:curie:1:town | ok
        # The register `country` is not on the ledger: its links are believed.
        alpha/clerk | append town A {"country":"GB","town":"A"}             | ok town user 1+1
        alpha/clerk | append town B {"town":"B","twin":["country:XX","lake:1"]} | ok town user 2+1
        # Once it is, its records must exist.
        beta/admin  | create country country                                | ok
        alpha/clerk | append town C {"country":"GB","town":"C"}             | 0 schema (0 country unresolved)
        beta/clerk  | append country GB {"country":"GB"}                    | ok country user 1+1
        alpha/clerk | append town C {"country":"GB","town":"C"}             | ok town user 3+1
        alpha/clerk | append town D {"town":"D","twin":["country:GB","country:XX","lake:2"]} | 0 schema (0 twin unresolved)
        # A key that breaks the grammar is no record's.
        alpha/clerk | append town D {"country":"G B","town":"D"}            | 0 schema (0 country unresolved)
        # Links within the register: to records there, to earlier entries of the list, to itself; not to later ones.
        alpha/clerk | append town D {"partner":"A","town":"D"}              | ok town user 4+1
        alpha/clerk | append town E {"partner":"Z","town":"E"}              | 0 schema (0 partner unresolved)
        alpha/clerk | append town E {"town":"E"} & F {"partner":"town:E","town":"F"} & G {"partner":"G","town":"G"} | ok town user 5+3
        alpha/clerk | append town H {"partner":"I","town":"H"} & I {"town":"I"} | 0 schema (0 partner unresolved)
        # Within one transaction later operations see earlier ones.
        alpha/admin | create lake lake ; append lake 1 {"lake":"1"} ; append town H {"town":"H","twin":["lake:1"]} | ok lake user 1+1, town user 8+1
        alpha/clerk | append town J {"town":"J","twin":["lake:2"]}          | 0 schema (0 twin unresolved)
        "#,
    );
}

#[test]
fn all_or_nothing() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create a a ; append a 1 {"a":"1"} ; append a 2 {"a":"3"} | 2 schema (0 a key-mismatch)
        alpha/admin | append a 1 {"a":"1"}                                  | 0 register-unknown
        alpha/admin | create a a ; enrol x registrar kx ; append b 1 {}     | 2 register-unknown
        alpha/x@kx  | append a 1 {"a":"1"}                                  | 0 principal-unknown
        alpha/admin | create a a ; create b b ; append b 1 {"b":"1"} ; append a 1 {"a":"1"} ; append b 2 {"b":"2"} | ok b user 1+1, a user 1+1, b user 2+1
        "#,
    );
    // Register numbers are given in order, without gaps.
    for (name, number) in [("a", 1), ("b", 2)] {
        let row = RegisterRow::decode(&ledger.rows[&StateKey::register(name)]).unwrap();
        assert_eq!((row.number, row.custodian.as_str(), row.phase), (number, "alpha", Phase::Draft));
    }
}

#[test]
fn rows_say_what_happened() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create a a n                                          | ok
        time 2021-03-04T05:06:07Z
        alpha/clerk | append a 1 {"a":"1"} & 2 {"a":"2"} & 1 {"a":"1","n":"x"} | ok a user 1+3
        "#,
    );
    let record = RecordRow::decode(&ledger.rows[&StateKey::record(1, EntryKind::User, "1")]).unwrap();
    assert_eq!((record.number, record.leaf, record.height), (3, 1, 2));
    assert_eq!((record.register.as_str(), record.key.as_str(), record.timestamp), ("a", "1", 1_614_834_367));
    assert_eq!(record.items, [tallystick_ledger::item::item_hash(r#"{"a":"1","n":"x"}"#)]);
    let tree = TreeRow::decode(&ledger.rows[&StateKey::tree(1)]).unwrap();
    assert_eq!((tree.user.size(), tree.system, tree.user_timestamp), (3, 0, 1_614_834_367));
    let organisation = OrganisationRow::decode(&ledger.rows[&StateKey::organisation("alpha")]).unwrap();
    assert_eq!((organisation.administrator_keys, organisation.principals), (1, 2));
    assert_eq!(RegisterRow::decode(&ledger.rows[&StateKey::register("a")]).unwrap().created, 0);
}

#[test]
fn time_in_a_register_does_not_go_back() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create a a | ok");
    // The ledger's time is monotone; should it ever not be, a register's still is.
    for (time_ms, expected) in
        [(1_600_000_000_999, 1_600_000_000), (1_500_000_000_000, 1_600_000_000), (1_600_000_001_000, 1_600_000_001)]
    {
        ledger.time_ms = time_ms;
        let key = format!("k{time_ms}");
        let entries = vec![NewEntry { key: key.clone(), items: vec![format!(r#"{{"a":"{key}"}}"#)] }];
        assert!(
            ledger.act("alpha/clerk", vec![Operation::EntryAppend { register: "a".into(), entries }]).is_accepted()
        );
        let record = RecordRow::decode(&ledger.rows[&StateKey::record(1, EntryKind::User, &key)]).unwrap();
        assert_eq!(record.timestamp, expected);
    }
}

#[test]
fn every_signature_algorithm_acts_alike() {
    let mut ledger = Ledger::new();
    let scalar = tallystick_protocol::Hash::of(&[b"p256"]).0;
    let p256 = tallystick_protocol::SigningKey::from_p256_scalar(&scalar).unwrap();
    let enrol = Operation::enrol("phone", tallystick_protocol::Roles::registrar(), p256.public());
    assert_eq!(describe(&ledger.act("alpha/admin", vec![operation("create a a"), enrol])), "ok");
    let intent = tallystick_protocol::Intent {
        principal: principal("alpha/phone"),
        operations: vec![operation(r#"append a 1 {"a":"1"}"#)],
        ..ledger.sign("alpha/admin", vec![operation("create b b")]).intent().clone()
    };
    let transaction = intent.sign(&p256).unwrap().verify().unwrap();
    assert_eq!(describe(&ledger.block(&transaction)), "ok a user 1+1");
    assert_ne!(p256.public(), key("alpha/admin").public());
}
