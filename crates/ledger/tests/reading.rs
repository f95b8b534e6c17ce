//! Who may read what is sealed, and what is put on record of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod harness;

use harness::Ledger;

const SEALED: &str = "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";

#[test]
fn a_read_is_permitted_by_policy_and_about_what_is_there() {
    let mut ledger = Ledger::new();
    ledger.run(
        &r#"
        alpha/admin | create person person name!personal:person              | ok
        alpha/admin | append person 1 {"name":"SEALED","person":"1"}         | ok person user 1+1
        alpha/admin | read person 1 name check                               | ok
        alpha/clerk | read person 1 name check                               | ok
        alpha/clerk | read person 1 name check court                         | ok
        beta/admin  | read person 1 name check                               | 0 not-permitted
        alpha/clerk | read person 2 name check                               | 0 record-unknown
        alpha/clerk | read person 1 age,name check                           | 0 schema (0 age unknown-field)
        alpha/clerk | read nobody 1 name check                               | 0 register-unknown
        "#
        .replace("SEALED", SEALED),
    );
}
