//! Who may sign, and by which keys, one row an event.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, principal};
use tallystick_ledger::{OrganisationRow, PrincipalRow};
use tallystick_protocol::{Assurance, PrincipalStatus, StateKey};

fn row(ledger: &Ledger, id: &str) -> PrincipalRow {
    PrincipalRow::decode(&ledger.rows[&StateKey::principal(&principal(id))]).unwrap()
}

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
        beta/admin                                | status beta/clerk suspended on leave | ok
        alpha/clerk + beta/clerk@new              | append a 4 {"a":"4"}   | 0 principal-suspended (0 clerk cosigner)
        beta/admin                                | status beta/clerk active back | ok
        # A co-signer's rights are not the signer's.
        beta/clerk@new + alpha/clerk              | append a 4 {"a":"4"}   | 0 not-permitted
        "#,
    );
}

#[test]
fn a_suspended_principal_signs_nothing_until_it_is_resumed_and_a_retired_one_never() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create a a                                | ok
        alpha/admin | status alpha/clerk active for no reason   | 0 status-unchanged
        beta/admin  | status alpha/clerk suspended not mine     | 0 not-permitted
        alpha/clerk | status alpha/clerk suspended myself       | 0 not-permitted
        alpha/admin | status alpha/clerk suspended under review | ok
        alpha/clerk | append a 1 {"a":"1"}                      | 0 principal-suspended
        # What is suspended is still kept in order.
        alpha/admin | rotate alpha/clerk alpha/clerk next       | ok
        alpha/clerk@next | append a 1 {"a":"1"}                 | 0 principal-suspended
        alpha/admin | status alpha/clerk active review closed   | ok
        alpha/clerk@next | append a 1 {"a":"1"}                 | ok a user 1+1
        alpha/admin | status alpha/clerk retired left           | ok
        alpha/clerk@next | append a 2 {"a":"2"}                 | 0 principal-retired
        alpha/admin | status alpha/clerk active back            | 0 subject-retired
        alpha/admin | add alpha/clerk k2                        | 0 subject-retired
        alpha/admin | recover alpha/clerk k2                    | 0 subject-retired
        alpha/admin | enrol clerk registrar k2                  | 0 principal-exists
        "#,
    );
    let clerk = row(&ledger, "alpha/clerk");
    assert_eq!((clerk.status, clerk.reason.as_str()), (PrincipalStatus::Retired, "left"));
}

#[test]
fn an_organisation_keeps_an_administrator_who_can_act() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        gamma/admin    | status gamma/admin suspended myself          | 0 last-administrator
        gamma/admin    | enrol ben administrator ben                  | ok
        gamma/ben@ben  | status gamma/admin suspended under review    | ok
        gamma/ben@ben  | status gamma/ben retired too                 | 0 last-administrator
        gamma/ben@ben  | retire gamma/ben ben                         | 0 last-administrator
        gamma/ben@ben  | add gamma/ben ben2                           | ok
        gamma/ben@ben  | retire gamma/ben ben                         | ok
        gamma/ben@ben2 | status gamma/admin active cleared            | ok
        gamma/admin    | status gamma/ben retired left                | ok
        # A key whose end is set does not count: when the overlap is over, the other must be there.
        gamma/admin    | rotate gamma/admin gamma/admin g2 3600       | ok
        gamma/admin    | retire gamma/admin g2                        | 0 last-administrator
        gamma/admin    | retire gamma/admin gamma/admin               | ok
        gamma/admin@g2 | create g g                                   | ok
        "#,
    );
    let gamma = OrganisationRow::decode(&ledger.rows[&StateKey::organisation("gamma")]).unwrap();
    assert_eq!((gamma.administrators, gamma.administrator_keys, gamma.principals), (1, 1, 2));
}

#[test]
fn a_replaced_key_signs_until_the_overlap_ends() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin     | create a a                                | ok
        time 2021-01-01T00:00:00Z
        alpha/admin     | rotate alpha/clerk alpha/clerk next 86400 | ok
        alpha/clerk     | append a 1 {"a":"1"}                      | ok a user 1+1
        alpha/clerk@next | append a 2 {"a":"2"}                     | ok a user 2+1
        # Rotating the ending key again gives it no more time.
        alpha/admin     | rotate alpha/clerk alpha/clerk third 864000 | ok
        time 2021-01-01T23:59:59Z
        alpha/clerk     | append a 3 {"a":"3"}                      | ok a user 3+1
        time 2021-01-02T00:00:00Z
        alpha/clerk     | append a 4 {"a":"4"}                      | 0 key-retired
        alpha/admin     | rotate alpha/clerk alpha/clerk fourth     | 0 subject-key-unknown
        alpha/clerk@next | append a 4 {"a":"4"}                     | ok a user 4+1
        # A key that is lost in the overlap is ended at once.
        alpha/admin     | rotate alpha/clerk next fifth 86400       | ok
        alpha/admin     | retire alpha/clerk next                   | ok
        alpha/clerk@next | append a 5 {"a":"5"}                     | 0 key-retired
        alpha/clerk@fifth | append a 5 {"a":"5"}                    | ok a user 5+1
        "#,
    );
}

#[test]
fn a_principal_holds_several_keys_up_to_a_limit() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin    | create a a                 | ok
        alpha/admin    | add alpha/clerk k2 low     | ok
        alpha/clerk    | append a 1 {"a":"1"}       | ok a user 1+1
        alpha/clerk@k2 | append a 2 {"a":"2"}       | ok a user 2+1
        alpha/clerk    | add alpha/clerk k3         | 0 not-permitted
        alpha/admin    | add alpha/clerk k3 high    | 0 assurance-too-high
        alpha/admin    | add alpha/clerk k2         | 0 key-in-use
        alpha/admin    | add beta/clerk k3          | 0 not-permitted
        alpha/admin    | add alpha/nobody k3        | 0 subject-unknown
        alpha/admin    | add alpha/clerk k3 ; add alpha/clerk k4 ; add alpha/clerk k5 ; add alpha/clerk k6 | ok
        alpha/admin    | add alpha/clerk k7 ; add alpha/clerk k8 | ok
        alpha/admin    | add alpha/clerk k9         | 0 keys-full
        alpha/admin    | rotate alpha/clerk k2 k9   | ok
        "#,
    );
    let keys = row(&ledger, "alpha/clerk").keys;
    let level = |name: &str| keys.iter().find(|held| held.key == harness::key(name).public()).unwrap().assurance;
    assert_eq!(
        (level("k3"), level("k9")),
        (Assurance::Substantial, Assurance::Low),
        "a new key has the old one's level"
    );
}

#[test]
fn a_lost_key_is_recovered_by_enough_administrators() {
    Ledger::new().run(
        r#"
        alpha/admin                    | create a a                        | ok
        # One administrator has nobody to ask.
        alpha/admin                    | recover alpha/clerk c2            | ok
        alpha/clerk                    | append a 1 {"a":"1"}              | 0 key-retired
        alpha/clerk@c2                 | append a 1 {"a":"1"}              | ok a user 1+1
        alpha/admin                    | enrol ann administrator ann ; enrol bob administrator bob | ok
        alpha/admin                    | recover alpha/clerk c3            | 0 recovery-quorum
        alpha/admin + alpha/clerk@c2   | recover alpha/clerk c3            | 0 recovery-quorum
        alpha/admin + beta/admin       | recover alpha/clerk c3            | 0 recovery-quorum
        alpha/clerk@c2 + alpha/admin + alpha/ann@ann | recover alpha/clerk c3 | 0 not-permitted
        alpha/admin + alpha/ann@ann    | recover alpha/clerk c3            | ok
        # Whom it is about does not count.
        alpha/admin + alpha/ann@ann    | recover alpha/ann ann2            | 0 recovery-quorum
        alpha/admin + alpha/bob@bob    | recover alpha/ann ann2            | ok
        # The organisation may ask for more, by as many as are asked for now.
        alpha/admin                    | quorum 3                          | 0 recovery-quorum
        alpha/admin + alpha/bob@bob    | quorum 4                          | 0 recovery-quorum
        alpha/admin + alpha/bob@bob    | quorum 3                          | ok
        alpha/admin + alpha/bob@bob    | recover alpha/clerk c4            | 0 recovery-quorum
        alpha/admin + alpha/bob@bob    | quorum 1                          | 0 recovery-quorum
        alpha/admin + alpha/ann@ann2 + alpha/bob@bob | recover alpha/clerk c4 | ok
        alpha/clerk@c4                 | append a 2 {"a":"2"}              | ok a user 2+1
        "#,
    );
}
