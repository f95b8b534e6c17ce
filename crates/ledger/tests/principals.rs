//! Who may sign, and by which keys, one row an event.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, principal};
use tallystick_ledger::{OrganisationRow, PageRow, PrincipalRow};
use tallystick_protocol::{
    Assurance, Change, Operation, PolicyText, PrincipalStatus, Roles, RuleText, StateKey, limits::PRINCIPALS_PER_PAGE,
};

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
        beta/clerk     | add alpha/clerk k3         | 0 not-permitted
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
fn a_holder_adds_replaces_and_ends_its_own_keys() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin       | create a a                                      | ok
        alpha/clerk       | rotate alpha/clerk alpha/clerk next 3600        | ok
        alpha/clerk       | append a 1 {"a":"1"}                            | ok a user 1+1
        alpha/clerk@next  | append a 2 {"a":"2"}                            | ok a user 2+1
        alpha/clerk@next  | add alpha/clerk phone low                       | ok
        # Nobody vouches for a key but the key that adds it: with one of low assurance come no others.
        alpha/clerk@phone | add alpha/clerk more                            | 0 assurance-too-high
        alpha/clerk@phone | amend alpha/clerk key:phone substantial         | 0 not-permitted
        alpha/clerk@phone | rotate alpha/clerk next third                   | ok
        alpha/clerk@third | append a 3 {"a":"3"}                            | ok a user 3+1
        alpha/clerk@third | retire alpha/clerk phone                        | ok
        alpha/clerk@phone | append a 4 {"a":"4"}                            | 0 key-retired
        # A key that signs no more replaces none, and nobody else's.
        alpha/clerk@next  | rotate alpha/clerk next fourth                  | 0 key-retired
        alpha/clerk@third | rotate alpha/admin alpha/admin mine             | 0 not-permitted
        alpha/clerk@third | add beta/clerk mine                             | 0 not-permitted
        # An agent acts for its grantor, and does not become it.
        alpha/clerk@third | grant all beta/clerk * * 2020-01-01 2030-01-01 0 1 | ok
        beta/clerk under alpha/clerk/all | append a 4 {"a":"4"}             | ok a user 4+1
        beta/clerk under alpha/clerk/all | add alpha/clerk mine             | 0 not-permitted
        beta/clerk under alpha/clerk/all | rotate alpha/clerk third mine    | 0 not-permitted
        # Governance may take the leave back: nothing is permitted beside policies.
        alpha/admin       | status alpha/clerk suspended lost               | ok
        alpha/clerk@third | rotate alpha/clerk third fifth                  | 0 principal-suspended
        "#,
    );
    let keys = row(&ledger, "alpha/clerk").keys;
    let level = |name: &str| keys.iter().find(|held| held.key == harness::key(name).public()).unwrap().assurance;
    assert_eq!((level("next"), level("third")), (Assurance::Substantial, Assurance::Low));
}

#[test]
fn roles_and_assurance_are_amended_by_who_may() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin  | create a a                                     | ok
        alpha/clerk  | amend alpha/clerk roles:auditor                | 0 not-permitted
        beta/admin   | amend alpha/clerk roles:auditor                | 0 not-permitted
        alpha/admin  | amend alpha/nobody roles:auditor               | 0 subject-unknown
        alpha/admin  | amend alpha/clerk roles:auditor                | ok
        alpha/clerk  | append a 1 {"a":"1"}                           | 0 not-permitted
        alpha/admin  | amend alpha/clerk roles:auditor,registrar      | ok
        alpha/clerk  | append a 1 {"a":"1"}                           | ok a user 1+1
        alpha/admin  | amend alpha/clerk key:alpha/clerk low          | ok
        alpha/admin  | amend alpha/clerk key:alpha/clerk high         | 0 assurance-too-high
        alpha/admin  | amend alpha/clerk key:other low                | 0 subject-key-unknown
        alpha/admin  | amend alpha/admin roles:registrar              | 0 last-administrator
        alpha/admin  | amend alpha/clerk roles:administrator          | ok
        alpha/clerk  | create b b                                     | ok
        alpha/admin  | amend alpha/admin roles:                       | ok
        alpha/admin  | create c c                                     | 0 not-permitted
        alpha/clerk  | status alpha/admin retired left                | ok
        alpha/clerk  | amend alpha/admin roles:registrar              | 0 subject-retired
        "#,
    );
    assert_eq!(row(&ledger, "alpha/clerk").keys[0].assurance, Assurance::Low);
    let alpha = OrganisationRow::decode(&ledger.rows[&StateKey::organisation("alpha")]).unwrap();
    assert_eq!((alpha.administrators, alpha.administrator_keys), (1, 1));
}

/// An organisation that lets its registrars amend does not let them make an administrator: that takes administrators.
#[test]
fn policies_say_who_amends_and_still_nobody_makes_itself_an_administrator() {
    let mut ledger = Ledger::new();
    let text = r#"permit (principal in Role::"registrar", action == Action::"principal-amend", resource) when { resource in principal.organisation };"#;
    let put = vec![PolicyText { id: "registrars-amend".parse().unwrap(), text: text.into() }];
    let change = Change::Policies { put, remove: Vec::new() };
    let proposal = Operation::ProposalSubmit {
        proposal: "amend".into(),
        title: "Registrars amend".into(),
        text: RuleText::Whole("They do.".into()),
        changes: vec![change],
        effect_height: None,
    };
    assert!(ledger.act("alpha/admin", vec![proposal]).is_accepted());
    ledger.run(
        r#"
        alpha/clerk | amend alpha/admin roles:auditor,administrator | 0 not-permitted
        alpha/admin | vote amend yes                                | ok
        beta/admin  | vote amend yes                                | ok
        blocks 11
        alpha/clerk | amend alpha/admin roles:auditor,administrator | ok
        alpha/clerk | amend beta/clerk roles:auditor                | 0 not-permitted
        alpha/clerk | amend alpha/clerk roles:administrator         | 0 recovery-quorum
        alpha/clerk | amend alpha/admin roles:auditor               | 0 recovery-quorum
        "#,
    );
}

/// One administrator of several gives nobody a key, makes no administrator and ends none: else it would recover alone.
#[test]
fn one_administrator_does_not_get_around_the_recovery() {
    Ledger::new().run(
        r#"
        alpha/admin                 | create a a ; enrol ann administrator ann                   | ok
        alpha/admin                 | enrol bob administrator bob                                | 0 recovery-quorum
        alpha/admin + alpha/ann@ann | enrol bob administrator bob                                | ok
        # A key for somebody else.
        alpha/admin                 | add alpha/clerk mine                                       | 0 recovery-quorum
        alpha/admin                 | rotate alpha/clerk alpha/clerk mine                        | 0 recovery-quorum
        alpha/admin                 | rotate alpha/bob bob mine 3600                             | 0 recovery-quorum
        alpha/admin + alpha/bob@bob | add alpha/bob mine                                         | 0 recovery-quorum
        alpha/admin + alpha/ann@ann | add alpha/clerk c2                                         | ok
        alpha/admin + alpha/ann@ann | rotate alpha/clerk c2 c3                                   | ok
        # Administrators made up, or gone, so that one is enough.
        alpha/admin                 | enrol puppet registrar puppet                              | ok
        alpha/admin                 | amend alpha/puppet roles:administrator                     | 0 recovery-quorum
        alpha/admin                 | enrol puppet2 administrator puppet2                        | 0 recovery-quorum
        alpha/admin                 | status alpha/ann retired gone                              | 0 recovery-quorum
        alpha/admin                 | amend alpha/ann roles:registrar                            | 0 recovery-quorum
        alpha/admin                 | status alpha/ann suspended gone ; status alpha/bob suspended gone | ok
        alpha/admin                 | recover alpha/clerk mine                                   | 0 recovery-quorum
        alpha/admin                 | add alpha/clerk mine                                       | 0 recovery-quorum
        alpha/admin                 | quorum 1                                                   | 0 recovery-quorum
        # Under a mandate it is the agents who sign, and these are no administrators.
        alpha/admin                 | grant all beta/clerk * * 2020-01-01 2030-01-01 0 1         | ok
        beta/clerk under alpha/admin/all | add alpha/clerk mine                                  | 0 recovery-quorum
        # What gives nobody anything stays quick; what each does to itself stays its own.
        alpha/admin                 | retire alpha/clerk alpha/clerk                             | ok
        alpha/admin                 | rotate alpha/admin alpha/admin next                        | ok
        alpha/admin@next            | status alpha/ann active back ; status alpha/bob active back | ok
        alpha/bob@bob               | status alpha/bob retired left                              | ok
        alpha/ann@ann               | amend alpha/ann roles:registrar                            | ok
        # Where one is left, one is enough.
        alpha/admin@next            | add alpha/clerk c4                                         | ok
        "#,
    );
}

#[test]
fn an_organisations_principals_are_listed_page_by_page() {
    let mut ledger = Ledger::new();
    let enrolments = |from: u32, to: u32| {
        let enrol = |n: u32| {
            let name = format!("p{n:03}");
            let key = harness::key(&name).public();
            Operation::enrol(name, Roles::registrar(), key)
        };
        (from..to).map(enrol).collect::<Vec<_>>()
    };
    assert!(ledger.act("alpha/admin", enrolments(2, PRINCIPALS_PER_PAGE - 1)).is_accepted());
    assert!(ledger.act("alpha/admin", enrolments(PRINCIPALS_PER_PAGE - 1, PRINCIPALS_PER_PAGE + 2)).is_accepted());
    ledger.run("alpha/admin | enrol other registrar other ; append none 1 {} | 1 register-unknown");
    let page = |number| PageRow::decode(&ledger.rows[&StateKey::principals("alpha", number)]).unwrap().ids;
    let names: Vec<String> = (2..PRINCIPALS_PER_PAGE).map(|n| format!("p{n:03}")).collect();
    assert_eq!(page(0), [vec!["admin".to_owned(), "clerk".to_owned()], names].concat());
    assert_eq!(page(1), ["p100", "p101"]);
    assert!(!ledger.rows.contains_key(&StateKey::principals("alpha", 2)));
    let alpha = OrganisationRow::decode(&ledger.rows[&StateKey::organisation("alpha")]).unwrap();
    assert_eq!(alpha.principals, PRINCIPALS_PER_PAGE + 2);
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
        alpha/admin                    | enrol ann administrator ann       | ok
        alpha/admin + alpha/ann@ann    | enrol bob administrator bob       | ok
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
