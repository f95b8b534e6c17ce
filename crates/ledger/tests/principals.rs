//! Who may sign, one row an event.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Ledger;

/// A co-signer is authenticated as the signer is, and the refusal names it by its place.
#[test]
fn cosigners_are_authenticated_like_the_signer() {
    Ledger::new().run(
        r#"
        alpha/admin                               | create a a             | ok
        alpha/clerk + beta/clerk                  | append a 1 {"a":"1"}   | ok a user 1+1
        alpha/clerk + beta/clerk + gamma/admin    | append a 2 {"a":"2"}   | ok a user 2+1
        alpha/clerk + beta/nobody                 | append a 3 {"a":"3"}   | 0 principal-unknown (0 nobody cosigner)
        alpha/clerk + beta/clerk + gamma/nobody   | append a 3 {"a":"3"}   | 0 principal-unknown (1 nobody cosigner)
        alpha/clerk + beta/clerk@stolen           | append a 3 {"a":"3"}   | 0 key-unknown (0 clerk cosigner)
        alpha/nobody + beta/nobody                | append a 3 {"a":"3"}   | 0 principal-unknown
        beta/admin                                | rotate beta/clerk beta/clerk new | ok
        alpha/clerk + beta/clerk                  | append a 3 {"a":"3"}   | 0 key-retired (0 clerk cosigner)
        alpha/clerk + beta/clerk@new              | append a 3 {"a":"3"}   | ok a user 3+1
        # A co-signer's rights are not the signer's.
        beta/clerk@new + alpha/clerk              | append a 4 {"a":"4"}   | 0 not-permitted
        "#,
    );
}
