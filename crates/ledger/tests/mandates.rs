//! Acting for another, one row an event. Mandates in the tables: agents, actions, things, from, until, how often it may be
//! passed on, how many must concur, and what it passes on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, agreement, operation};
use tallystick_protocol::{PartitionRow, StateKey};

#[test]
fn an_agent_acts_within_the_words_and_dates() {
    Ledger::new().run(
        r#"
        alpha/admin | create a a ; create b b | ok
        alpha/clerk | grant errands beta/clerk entry-append register:a 2021-01-01 2022-01-01 0 1 | ok
        alpha/clerk | grant errands beta/clerk entry-append register:b 2021-01-01 2022-01-01 0 1 | 0 mandate-exists
        beta/clerk under alpha/clerk/errands  | append a 1 {"a":"1"}        | 0 mandate-not-in-force
        time 2021-01-01T00:00:00Z
        beta/clerk                            | append a 1 {"a":"1"}        | 0 not-permitted
        beta/clerk under alpha/clerk/errands  | append a 1 {"a":"1"}        | ok a user 1+1
        beta/clerk under alpha/clerk/errands  | append b 1 {"b":"1"}        | 0 mandate-exceeded
        beta/clerk under alpha/clerk/errands  | append a 2 {"a":"2"} ; append b 1 {"b":"1"} | 1 mandate-exceeded
        beta/clerk under alpha/clerk/errands  | phase a live                | 0 mandate-exceeded
        beta/admin under alpha/clerk/errands  | append a 2 {"a":"2"}        | 0 mandate-not-agent
        beta/clerk under alpha/clerk/other    | append a 2 {"a":"2"}        | 0 mandate-unknown
        beta/clerk@x under alpha/clerk/errands | append a 2 {"a":"2"}       | 0 key-unknown
        time 2021-12-31T23:59:59Z
        beta/clerk under alpha/clerk/errands  | append a 2 {"a":"2"}        | ok a user 2+1
        time 2022-01-01T00:00:00Z
        beta/clerk under alpha/clerk/errands  | append a 3 {"a":"3"}        | 0 mandate-not-in-force
        alpha/clerk | grant late beta/clerk * * 2021-01-01 2022-01-01 0 1   | 0 mandate-not-in-force
        "#,
    );
}

/// A mandate gives what its grantor may do, never more, and no longer than the grantor may act.
#[test]
fn who_acts_is_the_grantor() {
    Ledger::new().run(
        r#"
        alpha/admin | create a a | ok
        alpha/clerk | grant all beta/clerk * * 2020-01-01 2030-01-01 0 1         | ok
        alpha/admin | grant all beta/clerk * * 2020-01-01 2030-01-01 0 1         | ok
        beta/clerk under alpha/clerk/all | create b b                            | 0 not-permitted
        beta/clerk under alpha/admin/all | create b b                            | ok
        beta/clerk                       | append b 1 {"b":"1"}                  | 0 not-permitted
        beta/clerk under alpha/clerk/all | append b 1 {"b":"1"}                  | ok b user 1+1
        # Mandates are not granted nor revoked under a mandate.
        beta/clerk under alpha/clerk/all | grant more gamma/admin * * 2020-01-01 2030-01-01 0 1 | 0 mandate-exceeded
        beta/clerk under alpha/admin/all | revoke alpha/admin/all                | 0 mandate-exceeded
        alpha/admin | status alpha/clerk suspended under review                  | ok
        beta/clerk under alpha/clerk/all | append b 2 {"b":"2"}                  | 0 mandate-not-in-force
        alpha/admin | status alpha/clerk active cleared                          | ok
        beta/clerk under alpha/clerk/all | append b 2 {"b":"2"}                  | ok b user 2+1
        beta/admin | status beta/clerk suspended under review                    | ok
        beta/clerk under alpha/clerk/all | append b 3 {"b":"3"}                  | 0 principal-suspended
        "#,
    );
}

#[test]
fn a_mandate_is_revoked_at_once_by_who_may() {
    Ledger::new().run(
        r#"
        alpha/admin | create a a | ok
        alpha/clerk | grant one beta/clerk,gamma/admin entry-append register:* 2020-01-01 2030-01-01 1 1 | ok
        beta/clerk  | grant two beta/admin entry-append register:a 2020-01-01 2025-01-01 0 1 alpha/clerk/one  | ok
        beta/admin under beta/clerk/two  | append a 1 {"a":"1"}       | ok a user 1+1
        beta/admin  | revoke alpha/clerk/one                          | 0 not-permitted
        gamma/admin | revoke beta/clerk/two                           | 0 not-permitted
        gamma/admin | revoke beta/clerk/none                          | 0 mandate-unknown
        # Whoever granted a mandate above it may take it back.
        alpha/clerk | revoke beta/clerk/two                           | ok
        alpha/clerk | revoke beta/clerk/two                           | 0 mandate-revoked
        beta/admin under beta/clerk/two  | append a 2 {"a":"2"}       | 0 mandate-revoked
        beta/clerk under alpha/clerk/one | append a 2 {"a":"2"}       | ok a user 2+1
        # Its own grantor, and the administrators of the grantor's organisation.
        beta/clerk  | grant three beta/admin entry-append register:a 2020-01-01 2025-01-01 0 1 alpha/clerk/one | ok
        alpha/admin | revoke alpha/clerk/one                          | ok
        beta/clerk under alpha/clerk/one  | append a 3 {"a":"3"}      | 0 mandate-revoked
        beta/admin under beta/clerk/three | append a 3 {"a":"3"}      | 0 mandate-revoked
        beta/clerk  | grant four beta/admin entry-append register:a 2020-01-01 2025-01-01 0 1 alpha/clerk/one | 0 mandate-revoked
        "#,
    );
}

#[test]
fn what_is_passed_on_is_narrower_and_not_for_ever() {
    Ledger::new().run(
        r#"
        alpha/admin | create a a ; create ab ab ; create b b | ok
        alpha/admin | grant one beta/admin entry-append,register-phase register:a* 2020-01-01 2030-01-01 2 1 | ok
        # Widened when passed on: in actions, things, dates, depth.
        beta/admin | grant x beta/clerk * register:a 2020-01-01 2030-01-01 1 1 alpha/admin/one             | 0 mandate-exceeded
        beta/admin | grant x beta/clerk register-create register:a 2020-01-01 2030-01-01 1 1 alpha/admin/one | 0 mandate-exceeded
        beta/admin | grant x beta/clerk entry-append register:* 2020-01-01 2030-01-01 1 1 alpha/admin/one  | 0 mandate-exceeded
        beta/admin | grant x beta/clerk entry-append register:b 2020-01-01 2030-01-01 1 1 alpha/admin/one  | 0 mandate-exceeded
        beta/admin | grant x beta/clerk entry-append register:a 2019-01-01 2030-01-01 1 1 alpha/admin/one  | 0 mandate-exceeded
        beta/admin | grant x beta/clerk entry-append register:a 2020-01-01 2031-01-01 1 1 alpha/admin/one  | 0 mandate-exceeded
        beta/admin | grant x beta/clerk entry-append register:a 2020-01-01 2030-01-01 2 1 alpha/admin/one  | 0 mandate-too-long
        beta/clerk | grant x gamma/admin entry-append register:a 2020-01-01 2030-01-01 1 1 alpha/admin/one | 0 mandate-not-agent
        # Loops: to oneself, and back to who granted it.
        beta/admin | grant x beta/admin entry-append register:a 2020-01-01 2030-01-01 1 1 alpha/admin/one  | 0 mandate-loop
        beta/admin | grant x alpha/admin entry-append register:a 2020-01-01 2030-01-01 1 1 alpha/admin/one | 0 mandate-loop
        beta/admin | grant two beta/clerk entry-append register:a,register:ab 2020-01-01 2029-01-01 1 1 alpha/admin/one | ok
        beta/clerk | grant three gamma/admin entry-append register:ab 2020-01-01 2029-01-01 0 1 beta/admin/two | ok
        gamma/admin | grant four alpha/clerk entry-append register:ab 2020-01-01 2029-01-01 0 1 beta/clerk/three | 0 mandate-too-long
        gamma/admin under beta/clerk/three | append ab 1 {"ab":"1"}       | ok ab user 1+1
        gamma/admin under beta/clerk/three | append a 1 {"a":"1"}         | 0 mandate-exceeded
        beta/clerk under beta/admin/two    | append a 1 {"a":"1"}         | ok a user 1+1
        beta/clerk under beta/admin/two    | phase a live                 | 0 mandate-exceeded
        beta/admin under alpha/admin/one   | phase a live                 | ok
        # A link in the middle that may not act breaks the chain.
        beta/admin | status beta/clerk suspended under review             | ok
        gamma/admin under beta/clerk/three | append ab 2 {"ab":"2"}       | 0 mandate-not-in-force
        "#,
    );
}

#[test]
fn as_many_agents_sign_as_must_concur() {
    Ledger::new().run(
        r#"
        alpha/admin | create a a | ok
        alpha/clerk | grant board beta/admin,beta/clerk,gamma/admin entry-append register:a 2020-01-01 2030-01-01 1 2 | ok
        beta/clerk under alpha/clerk/board               | append a 1 {"a":"1"} | 0 mandate-concurrence
        beta/clerk + alpha/admin under alpha/clerk/board | append a 1 {"a":"1"} | 0 mandate-concurrence
        alpha/admin + beta/clerk + beta/admin under alpha/clerk/board | append a 1 {"a":"1"} | 0 mandate-not-agent
        beta/clerk + gamma/admin under alpha/clerk/board | append a 1 {"a":"1"} | ok a user 1+1
        # Passing it on takes as many, and as many must sign then.
        beta/admin | grant solo beta/clerk entry-append register:a 2020-01-01 2030-01-01 0 1 alpha/clerk/board | 0 mandate-concurrence
        beta/admin + beta/clerk | grant solo gamma/admin entry-append register:a 2020-01-01 2030-01-01 0 1 alpha/clerk/board | 0 mandate-exceeded
        beta/admin + beta/clerk | grant pair alpha/admin,gamma/admin entry-append register:a 2020-01-01 2030-01-01 0 2 alpha/clerk/board | ok
        gamma/admin under beta/admin/pair               | append a 2 {"a":"2"} | 0 mandate-concurrence
        gamma/admin + alpha/admin under beta/admin/pair | append a 2 {"a":"2"} | ok a user 2+1
        "#,
    );
}

/// A register's policies are the register's, not its custodian's: who may do anything for the organisation does not rewrite them.
#[test]
fn a_registers_policies_are_entrusted_by_its_name() {
    Ledger::new().run(
        r#"
        alpha/admin | create a a | ok
        alpha/admin | grant office beta/admin * organisation:alpha 2020-01-01 2030-01-01 0 1          | ok
        alpha/admin | grant rules beta/admin register-policy register:a 2020-01-01 2030-01-01 0 1     | ok
        beta/admin under alpha/admin/office | policy a put a/x forbid(principal, action, resource == Register::"a") | 0 mandate-exceeded
        beta/admin under alpha/admin/rules  | policy a put a/x forbid(principal, action, resource == Register::"a") | ok
        "#,
    );
}

/// Accepted or refused, the outcome names the chain that was walked, from the mandate that was used to the root.
#[test]
fn the_outcome_names_the_chain() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create a a ; create b b | ok
        alpha/clerk | grant one beta/clerk entry-append register:a 2020-01-01 2030-01-01 1 1 | ok
        beta/clerk  | grant two beta/admin entry-append register:a 2020-01-01 2030-01-01 0 1 alpha/clerk/one | ok
        "#,
    );
    let chain = |ledger: &mut Ledger, who: &str, what: &str| {
        let outcome = ledger.act(who, vec![operation(what)]);
        outcome.decision().mandates.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let helper = "beta/admin under beta/clerk/two";
    assert_eq!(chain(&mut ledger, helper, r#"append a 1 {"a":"1"}"#), "beta/clerk/two alpha/clerk/one");
    assert_eq!(chain(&mut ledger, helper, r#"append b 1 {"b":"1"}"#), "beta/clerk/two alpha/clerk/one");
    assert_eq!(chain(&mut ledger, "alpha/clerk", r#"append a 2 {"a":"2"}"#), "");
    assert_eq!(chain(&mut ledger, "gamma/admin under beta/clerk/two", r#"append a 3 {"a":"3"}"#), "");
}

/// Also to take back what was passed on is permitted by a policy, and so can be forbidden by one.
#[test]
fn who_takes_back_what_was_passed_on_is_permitted_by_a_policy() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create a a | ok
        alpha/clerk | grant one beta/clerk entry-append register:a 2020-01-01 2030-01-01 1 1 | ok
        beta/clerk  | grant two beta/admin entry-append register:a 2020-01-01 2030-01-01 0 1 alpha/clerk/one | ok
        "#,
    );
    let outcome = ledger.act("alpha/clerk", vec![operation("revoke beta/clerk/two")]);
    assert!(outcome.is_accepted(), "{outcome:?}");
    let determining: Vec<&str> = outcome.decision().determining.iter().map(|id| id.as_str()).collect();
    assert_eq!(determining, ["own-mandates"]);
}

/// A ledger with a partition of these members. Its own rows lie beside the public ones here, as they never do on a node: so what keeps them
/// apart is the rules alone.
fn with_partition(members: &[&str]) -> Ledger {
    let mut ledger = Ledger::new();
    let terms = agreement("health", &members.join(","));
    let row =
        PartitionRow { terms, proposed: 0, opened_height: 1, amended_height: 1, closed: None, former: Vec::new() };
    ledger.rows.insert(StateKey::partition("health"), row.to_bytes());
    ledger
}

#[test]
fn a_mandate_of_a_partition_is_granted_used_passed_on_and_revoked_there() {
    with_partition(&["alpha", "beta"]).run(
        r#"
        alpha/admin in health | create a a | ok
        alpha/clerk in health | grant one beta/clerk entry-append register:a 2020-01-01 2030-01-01 1 1 | ok
        alpha/clerk in health | grant one beta/admin * * 2020-01-01 2030-01-01 0 1                     | 0 mandate-exists
        alpha/clerk in health | grant two alpha/clerk * * 2020-01-01 2030-01-01 0 1                    | 0 mandate-loop
        beta/clerk in health                                  | append a 1 {"a":"1"} | 0 not-permitted
        beta/admin under health/alpha/clerk/one in health     | append a 1 {"a":"1"} | 0 mandate-not-agent
        beta/clerk under health/alpha/clerk/one in health     | append a 1 {"a":"1"} | ok a user 1+1
        beta/clerk under health/alpha/clerk/one in health     | phase a live         | 0 mandate-exceeded
        beta/clerk in health | grant day beta/admin entry-append register:a 2020-01-01 2021-01-01 0 1 health/alpha/clerk/one | ok
        beta/admin in health | grant night alpha/admin entry-append register:a 2020-01-01 2021-01-01 0 1 health/beta/clerk/day | 0 mandate-too-long
        beta/clerk in health | grant back alpha/clerk entry-append register:a 2020-01-01 2021-01-01 0 1 health/alpha/clerk/one | 0 mandate-loop
        beta/clerk in health | grant more beta/admin * register:a 2020-01-01 2021-01-01 0 1 health/alpha/clerk/one | 0 mandate-exceeded
        beta/admin under health/beta/clerk/day in health      | append a 2 {"a":"2"} | ok a user 2+1
        alpha/admin | status alpha/clerk suspended under review                      | ok
        beta/admin under health/beta/clerk/day in health      | append a 3 {"a":"3"} | 0 mandate-not-in-force
        alpha/admin | status alpha/clerk active cleared                              | ok
        beta/admin in health  | revoke health/alpha/clerk/one                        | 0 not-permitted
        alpha/clerk in health | revoke health/alpha/clerk/one                        | ok
        beta/admin under health/beta/clerk/day in health      | append a 3 {"a":"3"} | 0 mandate-revoked
        beta/clerk under health/alpha/clerk/one in health     | append a 3 {"a":"3"} | 0 mandate-revoked
        alpha/clerk in health | revoke health/alpha/clerk/one                        | 0 mandate-revoked
        alpha/clerk in health | grant one beta/admin * * 2020-01-01 2030-01-01 0 1   | 0 mandate-exists
        "#,
    );
}

/// Of the same grantor and name: neither is taken for the other, whichever came first, and the end of one is not that of the other.
#[test]
fn a_mandate_of_a_partition_and_one_that_everybody_sees_are_two() {
    with_partition(&["alpha", "beta"]).run(
        r#"
        alpha/admin | create a a ; create b b | ok
        alpha/clerk           | grant errand beta/clerk entry-append register:a 2020-01-01 2030-01-01 0 1 | ok
        beta/clerk under health/alpha/clerk/errand in health | append b 1 {"b":"1"} | 0 mandate-unknown
        alpha/clerk in health | grant errand beta/clerk entry-append register:b 2020-01-01 2030-01-01 0 1 | ok
        beta/clerk under health/alpha/clerk/errand in health | append b 1 {"b":"1"} | ok b user 1+1
        beta/clerk under health/alpha/clerk/errand in health | append a 1 {"a":"1"} | 0 mandate-exceeded
        beta/clerk under alpha/clerk/errand in health        | append b 2 {"b":"2"} | 0 mandate-exceeded
        beta/clerk under alpha/clerk/errand in health        | append a 1 {"a":"1"} | ok a user 1+1
        beta/clerk under alpha/clerk/errand                  | append b 2 {"b":"2"} | 0 mandate-exceeded
        alpha/clerk           | revoke alpha/clerk/errand                           | ok
        beta/clerk under alpha/clerk/errand in health        | append a 2 {"a":"2"} | 0 mandate-revoked
        beta/clerk under health/alpha/clerk/errand in health | append b 2 {"b":"2"} | ok b user 2+1
        # The other way round.
        alpha/clerk in health | grant chore beta/clerk entry-append register:b 2020-01-01 2030-01-01 0 1 | ok
        alpha/clerk in health | revoke health/alpha/clerk/chore                     | ok
        beta/clerk under alpha/clerk/chore                   | append a 2 {"a":"2"} | 0 mandate-unknown
        alpha/clerk           | grant chore beta/clerk entry-append register:a 2020-01-01 2030-01-01 0 1 | ok
        beta/clerk under health/alpha/clerk/chore in health  | append b 3 {"b":"3"} | 0 mandate-revoked
        beta/clerk under alpha/clerk/chore                   | append a 2 {"a":"2"} | ok a user 2+1
        "#,
    );
}

#[test]
fn what_everybody_sees_may_be_passed_on_within_a_partition_and_gives_nobody_else_a_say_there() {
    with_partition(&["alpha", "beta"]).run(
        r#"
        alpha/admin | create a a | ok
        alpha/clerk | grant open beta/clerk entry-append register:a 2020-01-01 2030-01-01 1 1 | ok
        beta/clerk in health | grant shift beta/admin entry-append register:a 2020-01-01 2030-01-01 0 1 alpha/clerk/open | ok
        beta/admin under health/beta/clerk/shift in health | append a 1 {"a":"1"}  | ok a user 1+1
        # Whoever granted the one above ends what was passed on within.
        alpha/clerk in health | revoke health/beta/clerk/shift                     | ok
        beta/admin under health/beta/clerk/shift in health | append a 2 {"a":"2"}  | 0 mandate-revoked
        # Of gamma nobody is a member: nobody acts for it there, at the root or on the way.
        gamma/admin | grant hers beta/clerk * * 2020-01-01 2030-01-01 0 1          | ok
        beta/clerk under gamma/admin/hers                   | create c c           | ok
        beta/clerk under gamma/admin/hers in health         | create d d           | 0 not-member
        alpha/clerk | grant far gamma/admin entry-append register:a 2020-01-01 2030-01-01 1 1 | ok
        gamma/admin | grant near beta/clerk entry-append register:a 2020-01-01 2030-01-01 0 1 alpha/clerk/far | ok
        beta/clerk under gamma/admin/near                   | append a 2 {"a":"2"} | ok a user 2+1
        beta/clerk under gamma/admin/near in health         | append a 3 {"a":"3"} | 0 not-member
        beta/clerk in health | grant late beta/admin entry-append register:a 2020-01-01 2030-01-01 0 1 gamma/admin/hers | 0 not-member
        "#,
    );
}

/// Who leaves the agreement leaves nobody behind to act for it.
#[test]
fn a_mandate_of_one_that_is_no_member_any_more_gives_nothing() {
    let mut ledger = with_partition(&["alpha", "beta"]);
    ledger.run(
        r#"
        alpha/admin in health | create a a | ok
        alpha/clerk in health | grant one beta/clerk entry-append register:a 2020-01-01 2030-01-01 0 1 | ok
        beta/clerk under health/alpha/clerk/one in health | append a 1 {"a":"1"} | ok a user 1+1
        "#,
    );
    let left = with_partition(&["beta", "gamma"]).rows.remove(&StateKey::partition("health")).unwrap();
    ledger.rows.insert(StateKey::partition("health"), left);
    ledger.run(r#"beta/clerk under health/alpha/clerk/one in health | append a 2 {"a":"2"} | 0 not-member"#);
}
