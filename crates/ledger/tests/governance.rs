//! How the network's order changes, as tables: who votes what, and what comes of it.
//!
//! Heights are counted from 1, one block for each line that is signed or asked for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, change, organisations};
use tallystick_ledger::{AgendaRow, BallotRow, LimitsRow, ObjectionRow, OrganisationRow, ScheduleRow};
use tallystick_protocol::{
    Change, LimitName, Operation, OrganisationStatus, RegisterRow, RuleText, Rulebook, StateKey, cbor,
    limits::{CHANGES_MAX, EFFECTS_PER_BLOCK_MAX, PROPOSALS_OPEN_MAX},
};

fn six() -> Ledger {
    Ledger::of(organisations(&["a", "b", "c", "d", "e", "f"]))
}

fn four() -> Ledger {
    Ledger::of(organisations(&["a", "b", "c", "d"]))
}

#[test]
fn the_life_of_a_proposal() {
    Ledger::new().run(
        r#"
        alpha/clerk | propose p limit:registers:2                | 0 not-permitted    
        alpha/admin | propose p limit:registers:2                | ok
        alpha/admin | propose p limit:registers:3                | 0 proposal-exists
        * p | open 0-0-0/3
        beta/clerk  | vote p yes                                 | 0 not-permitted    
        beta/admin  | vote q yes                                 | 0 proposal-unknown
        beta/admin  | vote p yes                                 | ok
        * p | open 1-0-0/3
        # Proposing is not voting: the proposer's ballot is counted like any other. Height 7, and ten blocks' notice.
        alpha/admin | vote p yes                                 | ok
        * p | accepted 2-0-0/3 @17
        # Decided as soon as it is certain: later ballots find it closed.
        gamma/admin | vote p no                                  | 0 proposal-status
        blocks 8
        * p | accepted 2-0-0/3 @17
        alpha/admin | create x x ; create y y ; create z z       | 2 limit-reached
        # That was height 17: the limit held from the beginning of the block, before its transactions.
        "#,
    );
}

#[test]
fn a_change_takes_effect_exactly_at_its_height() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | propose p limit:registers:1                | ok
        alpha/admin | vote p yes                                 | ok
        beta/admin  | vote p yes                                 | ok
        * p | accepted 2-0-0/3 @13
        blocks 7
        # Height 11 and 12: not yet.
        alpha/admin | create x x                                 | ok
        alpha/admin | create y y                                 | ok
        * p | accepted 2-0-0/3 @13
        # Height 13: it holds for the first transaction of the block already.
        alpha/admin | create z z                                 | 0 limit-reached
        * p | effective 2-0-0/3 @13
        "#,
    );
    let limits = LimitsRow::decode(&ledger.rows[&StateKey::limits()]).unwrap();
    assert_eq!(limits.value(LimitName::Registers), 1);
    assert_eq!(limits.value(LimitName::ProposalsPerOrganisation), 8);
    let agenda = AgendaRow::decode(&ledger.rows[&StateKey::agenda()]).unwrap();
    assert_eq!((agenda.proposals, agenda.due.len()), (1, 0));
}

#[test]
fn thresholds_at_their_edges() {
    six().run(
        r#"
        # Two thirds of six are four.
        a/admin | propose t suspend:f                            | ok
        a/admin | vote t yes                                     | ok
        b/admin | vote t yes                                     | ok
        c/admin | vote t yes                                     | ok
        * t | open 3-0-0/6
        d/admin | vote t yes                                     | ok
        * t | accepted 4-0-0/6 @15
        # Two against leave four: it can still pass. The third ends it.
        a/admin | propose u suspend:f                            | ok
        a/admin | vote u no                                      | ok
        b/admin | vote u no                                      | ok
        * u | open 0-2-0/6
        c/admin | vote u no                                      | ok
        * u | rejected 0-3-0/6
        # More than half of six are four; a tie of three is none.
        a/admin | propose v limit:registers:9                    | ok
        a/admin | vote v yes                                     | ok
        b/admin | vote v yes                                     | ok
        c/admin | vote v yes                                     | ok
        d/admin | vote v no                                      | ok
        e/admin | vote v no                                      | ok
        * v | open 3-2-0/6
        "#,
    );
}

#[test]
fn ties_and_abstentions() {
    four().run(
        r#"
        # A tie changes nothing.
        a/admin | propose p limit:registers:9                    | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p no                                      | ok
        * p | open 2-1-0/4
        d/admin | vote p no                                      | ok
        * p | rejected 2-2-0/4
        # An abstention leaves the count: two of three are more than half.
        a/admin | propose q limit:registers:9                    | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        * q | open 2-0-0/4
        d/admin | vote q abstain                                 | ok
        * q | accepted 2-0-1/4 @19
        # One against one of two that take part is a tie.
        a/admin | propose r limit:registers:9                    | ok
        a/admin | vote r abstain                                 | ok
        b/admin | vote r abstain                                 | ok
        c/admin | vote r no                                      | ok
        * r | rejected 0-1-2/4
        # Nobody wants it: nobody's abstention carries it.
        a/admin | propose s limit:registers:9                    | ok
        a/admin | vote s abstain                                 | ok
        b/admin | vote s abstain                                 | ok
        c/admin | vote s abstain                                 | ok
        * s | open 0-0-3/4
        d/admin | vote s abstain                                 | ok
        * s | rejected 0-0-4/4
        "#,
    );
}

#[test]
fn a_ballot_is_cast_once_and_in_time() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p limit:registers:9                    | ok
        a/admin | vote p no                                      | ok
        a/admin | vote p yes                                     | 0 ballot-exists
        a/admin | vote p no                                      | 0 ballot-exists
        b/admin | vote p yes ; vote p yes                        | 1 ballot-exists
        * p | open 0-1-0/4
        # Seven days to the second.
        time 2020-01-07T23:59:59Z
        b/admin | vote p yes                                     | ok
        time 2020-01-08T00:00:00Z
        c/admin | vote p yes                                     | 0 proposal-status
        * p | lapsed 1-1-0/4
        a/admin | withdraw p                                     | 0 proposal-status
        a/admin | object p too late                              | 0 proposal-status
        "#,
    );
    let ballot = BallotRow::decode(&ledger.rows[&StateKey::ballot("p", "b")]).unwrap();
    assert_eq!((ballot.principal.as_str(), ballot.leaf), ("b/admin", 5));
    assert!(!ledger.rows.contains_key(&StateKey::ballot("p", "c")));
}

#[test]
fn withdrawal() {
    four().run(
        r#"
        a/admin | propose p limit:registers:1                    | ok
        b/admin | withdraw p                                     | 0 not-proposer
        a/clerk | withdraw p                                     | 0 not-permitted    
        a/admin | withdraw q                                     | 0 proposal-unknown
        a/admin | withdraw p                                     | ok
        * p | withdrawn 0-0-0/4
        b/admin | vote p yes                                     | 0 proposal-status
        a/admin | withdraw p                                     | 0 proposal-status
        # Accepted, it can still be taken back, until it takes effect.
        a/admin | propose q limit:registers:1                    | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        * q | accepted 3-0-0/4 @21
        a/admin | withdraw q                                     | ok
        * q | withdrawn 3-0-0/4
        blocks 20
        a/admin | create x x ; create y y                        | ok
        * q | withdrawn 3-0-0/4
        # The name stays taken.
        a/admin | propose p limit:registers:1                    | 0 proposal-exists
        "#,
    );
}

#[test]
fn objections_hold_up_what_is_open() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p limit:registers:1                    | ok
        a/admin | vote p yes                                     | ok
        time 2020-01-05T00:00:00Z
        d/clerk | object p not so fast                           | 0 principal-unknown
        c/clerk | object p not so fast                           | 0 not-permitted    
        d/admin | object p not so fast                           | ok
        * p | open 1-0-0/4 paused
        b/admin | vote p yes                                     | 0 proposal-paused
        d/admin | object p again                                 | 0 objection-exists
        # Another's pause begins when it is lodged: the two overlap.
        time 2020-01-05T12:00:00Z
        c/admin | object p me too                                | ok
        time 2020-01-06T11:59:59Z
        b/admin | vote p yes                                     | 0 proposal-paused
        time 2020-01-06T12:00:00Z
        b/admin | vote p yes                                     | ok
        * p | open 2-0-0/4
        # It was to close on the 8th and stood still for a day and a half.
        time 2020-01-09T11:59:59Z
        c/admin | vote p no                                      | ok
        time 2020-01-09T12:00:00Z
        d/admin | vote p yes                                     | 0 proposal-status
        * p | lapsed 2-1-0/4
        "#,
    );
    let objection = ObjectionRow::decode(&ledger.rows[&StateKey::objection("p", "d")]).unwrap();
    assert_eq!((objection.principal.as_str(), objection.reason.as_str()), ("d/admin", "not so fast"));
    assert_eq!(objection.until_ms - objection.time_ms, 86_400_000);
}

#[test]
fn objections_hold_up_what_is_accepted() {
    four().run(
        r#"
        a/admin | propose p limit:registers:1                    | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        * p | accepted 3-0-0/4 @14
        d/admin | object p it is a mistake                       | ok
        # Nobody knows yet at which height it will take effect.
        * p | accepted 3-0-0/4 paused
        blocks 20
        # Height 26: it was due and is not in effect.
        a/admin | create x x ; create y y                        | ok
        * p | accepted 3-0-0/4 paused
        time 2020-01-02T00:00:00Z
        # At height 27 the notice begins anew.
        blocks 1
        * p | accepted 3-0-0/4 @37
        d/admin | object p again                                 | 0 objection-exists
        blocks 8
        * p | accepted 3-0-0/4 @37
        blocks 1
        * p | effective 3-0-0/4 @37
        d/admin | object p again                                 | 0 proposal-status
        "#,
    );
}

#[test]
fn a_rule_may_exclude_objections_and_circles() {
    four().run(
        r#"
        a/admin | propose r rule:limit:pause=0,share=1/4,notice=1 | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        c/admin | vote r yes                                     | ok
        blocks 10
        * r | effective 3-0-0/4 @14
        a/admin | propose p limit:registers:1                    | ok
        b/admin | object p no                                    | 0 objection-excluded
        a/admin | vote p yes                                     | ok
        * p | accepted 1-0-0/4 @18
        # Only the others vote on an expulsion, and the one concerned may alone close its registers.
        a/admin | propose s rule:organisation-expel:propose=others,vote=others,notice=1 rule:register-close:propose=concerned,vote=concerned,notice=1,direct=false | ok
        a/admin | vote s yes                                     | ok
        b/admin | vote s yes                                     | ok
        c/admin | vote s yes                                     | ok
        blocks 10
        * s | effective 3-0-0/4 @31
        d/admin | propose t expel:d                              | 0 not-proposer
        a/admin | propose t expel:d                              | ok
        d/admin | vote t no                                      | 0 not-elector
        a/admin | vote t yes                                     | ok
        * t | open 1-0-0/3
        a/admin | create list list                               | ok
        a/admin | phase list live                                | ok
        a/admin | phase list closed                              | 0 ballot-required
        b/admin | propose u close:list                           | 0 not-proposer
        a/admin | propose u close:list                           | ok
        b/admin | vote u yes                                     | 0 not-elector
        a/admin | vote u yes                                     | ok
        * u | accepted 1-0-0/1 @43
        blocks 1
        a/admin | append list a {"list":"a"}                     | 0 register-phase
        "#,
    );
}

#[test]
fn several_kinds_of_change_must_each_pass() {
    four().run(
        r#"
        # Majority for the limit, two thirds for the suspension: three of four carry both.
        a/admin | propose p limit:registers:5 suspend:d          | ok
        * p | open 0-0-0/4 0-0-0/4
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        d/admin | vote p abstain                                 | ok
        # Two of three are two thirds and more than half.
        * p | accepted 2-0-1/4 2-0-1/4 @14
        a/admin | propose q limit:registers:5 suspend:d          | ok
        a/admin | vote q no                                      | ok
        * q | open 0-1-0/4 0-1-0/4
        b/admin | vote q no                                      | ok
        # The suspension cannot pass any more, so neither can.
        * q | rejected 0-2-0/4 0-2-0/4
        "#,
    );
}

#[test]
fn proposals_racing_over_one_row() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p limit:registers:5 create:berth:a     | ok
        b/admin | propose q limit:registers:6 create:berth:b     | ok
        a/admin | vote p yes ; vote q yes                        | ok
        b/admin | vote p yes ; vote q yes                        | ok
        c/admin | vote p yes ; vote q yes                        | ok
        * p | accepted 3-0-0/4 3-0-0/4 @15
        * q | accepted 3-0-0/4 3-0-0/4 @15
        blocks 9
        # The second finds the name taken. None of its changes is made, and the block goes on.
        c/admin | create other other                             | ok
        * p | effective 3-0-0/4 3-0-0/4 @15
        * q | failed 3-0-0/4 3-0-0/4 @15 (1 register-exists)
        "#,
    );
    let limits = LimitsRow::decode(&ledger.rows[&StateKey::limits()]).unwrap();
    assert_eq!(limits.value(LimitName::Registers), 5);
    let agenda = AgendaRow::decode(&ledger.rows[&StateKey::agenda()]).unwrap();
    assert!(agenda.due.is_empty());
}

#[test]
fn a_suspended_organisation() {
    let mut ledger = four();
    ledger.run(
        r#"
        d/admin | propose x limit:registers:7                    | ok
        a/admin | propose p suspend:d                            | ok
        a/admin | propose q limit:registers:8                    | ok
        # Its ballots of before stand.
        d/admin | vote q yes                                     | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        * p | accepted 3-0-0/4 @17
        blocks 10
        d/admin | vote x yes                                     | 0 organisation-suspended
        d/admin | create list list                               | 0 organisation-suspended
        d/admin | withdraw x                                     | 0 organisation-suspended
        # It stays in the count of what was open: three of four are needed, and three are there.
        * q | open 1-0-0/4
        a/admin | vote x yes                                     | ok
        b/admin | vote x yes                                     | ok
        * x | open 2-0-0/4
        # What is proposed from now on counts three.
        a/admin | propose y limit:registers:9                    | ok
        a/admin | vote y yes                                     | ok
        b/admin | vote y yes                                     | ok
        * y | accepted 2-0-0/3 @35
        # It comes back by another vote, and has no say in what was proposed before that.
        a/admin | propose r resume:d                             | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        * r | accepted 2-0-0/3 @38
        blocks 10
        d/admin | vote x yes                                     | 0 not-elector
        d/admin | create list list                               | ok
        d/admin | propose z limit:registers:9                    | ok
        * z | open 0-0-0/4
        "#,
    );
    let row = OrganisationRow::decode(&ledger.rows[&StateKey::organisation("d")]).unwrap();
    assert_eq!((row.status, row.since_height, row.reason), (OrganisationStatus::Active, 38, None));
}

#[test]
fn members_come_and_go() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose old limit:registers:9                  | ok
        a/admin | propose p admit:g                              | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        g/admin | create list list                               | 0 principal-unknown
        blocks 9
        * p | effective 3-0-0/4 @15
        g/admin | create list list                               | ok
        # The electorate of what was proposed before is frozen.
        g/admin | vote old yes                                   | 0 not-elector
        g/admin | propose new limit:registers:9                  | ok
        g/admin | vote new yes                                   | ok
        * new | open 1-0-0/5
        # An id is a member's for ever.
        a/admin | propose q admit:g                              | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        * q | open 3-0-0/5
        d/admin | vote q yes                                     | ok
        * q | accepted 4-0-0/5 @34
        a/admin | propose r expel:g                              | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        c/admin | vote r yes                                     | ok
        d/admin | vote r yes                                     | ok
        blocks 10
        * q | failed 4-0-0/5 @34 (0 organisation-exists)
        * r | effective 4-0-0/5 @39
        g/admin | vote old yes                                   | 0 organisation-expelled
        a/admin | propose s resume:g                             | ok
        a/admin | vote s yes                                     | ok
        b/admin | vote s yes                                     | ok
        c/admin | vote s yes                                     | ok
        blocks 10
        * s | failed 3-0-0/4 @54 (0 organisation-status)
        "#,
    );
}

#[test]
fn a_register_outlives_its_custodian() {
    let mut ledger = four();
    ledger.run(
        r#"
        d/admin | create list list                               | ok
        d/admin | append list k {"list":"k"}                     | ok list user 1+1
        a/admin | propose p entrust:list:e                       | ok
        a/admin | propose q entrust:none:a                       | 0 register-unknown
        a/admin | propose q validator:-d expel:d                      | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        blocks 10
        * q | effective 3-0-0/4 3-0-0/4 @18
        # Nobody writes any more.
        d/admin | append list l {"list":"l"}                     | 0 organisation-expelled
        a/admin | append list l {"list":"l"}                     | 0 not-permitted
        a/admin | propose r entrust:list:a                       | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        blocks 9
        * r | accepted 2-0-0/3 @33
        # From the height of the effect on the new custodian writes, and goes on where the former one stopped.
        a/admin | append list l {"list":"l"}                     | ok list user 2+1
        * r | effective 2-0-0/3 @33
        b/admin | append list m {"list":"m"}                     | 0 not-permitted
        # A custodian must be a member, and another than before.
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        blocks 10
        * p | failed 3-0-0/4 @47 (0 organisation-unknown)
        a/admin | propose s entrust:list:a                       | ok
        a/admin | vote s yes                                     | ok
        b/admin | vote s yes                                     | ok
        blocks 10
        * s | failed 2-0-0/3 @60 (0 custodian-unchanged)
        "#,
    );
    let register = RegisterRow::decode(&ledger.rows[&StateKey::register("list")]).unwrap();
    assert_eq!((register.custodian.as_str(), register.number), ("a", 1));
}

#[test]
fn one_proposal_expels_and_entrusts() {
    four().run(
        r#"
        d/admin | create list list                               | ok
        a/admin | propose p entrust:list:a validator:-d expel:d             | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        blocks 9
        a/admin | append list k {"list":"k"}                     | ok list user 1+1
        * p | effective 3-0-0/4 3-0-0/4 3-0-0/4 @15
        "#,
    );
}

#[test]
fn somebody_must_be_left_to_act() {
    Ledger::of(organisations(&["a", "b"])).run(
        r#"
        a/admin | propose p suspend:b suspend:a                  | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        blocks 10
        * p | failed 2-0-0/2 @13 (1 last-organisation)
        b/admin | create list list                               | ok
        "#,
    );
}

#[test]
fn the_rulebook_changes_by_its_own_rule() {
    four().run(
        r#"
        # Two thirds decide on the rulebook: its new rule, all of them, holds for the next change of it.
        a/admin | propose before limit:registers:9               | ok
        a/admin | propose p rule:rulebook:share=1/1 rule:limit:share=1/4,notice=1 | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        * p | accepted 3-0-0/4 @15
        # What is open keeps the rule under which it was proposed.
        blocks 10
        a/admin | vote before yes                                | ok
        * before | open 1-0-0/4
        a/admin | propose after limit:registers:9                | ok
        a/admin | vote after yes                                 | ok
        * after | accepted 1-0-0/4 @19
        a/admin | propose q rule:rulebook:share=2/3              | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        * q | open 3-0-0/4
        d/admin | vote q no                                      | ok
        * q | rejected 3-1-0/4
        # A rulebook that could not be used is not put to the vote.
        a/admin | propose r rule:rulebook:share=3/2              | 0 change-invalid (0 rulebook unusable)
        a/admin | propose r rule:rulebook:vote=concerned         | 0 change-invalid (0 rulebook unusable)
        "#,
    );
}

#[test]
fn votes_by_listed_weights() {
    four().run(
        r#"
        a/admin | propose p rule:limit:weight=listed,notice=1 weights:a=3,d=0,z=9 | ok
        * p | open 0-0-0/4
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        blocks 10
        # Three, one, one and none; z is no member.
        a/admin | propose q limit:registers:9                    | ok
        * q | open 0-0-0/5
        d/admin | vote q no                                      | ok
        * q | open 0-0-0/5
        a/admin | vote q yes                                     | ok
        * q | accepted 3-0-0/5 @18
        a/admin | propose r limit:registers:9                    | ok
        b/admin | vote r yes                                     | ok
        c/admin | vote r yes                                     | ok
        * r | open 2-0-0/5
        a/admin | vote r no                                      | ok
        * r | rejected 2-3-0/5
        "#,
    );
}

#[test]
fn what_may_be_proposed() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p close:nothing                        | 0 register-unknown
        a/admin | propose p limit:registers:0                    | 0 change-invalid (0 value unusable)
        a/admin | propose p limit:registers:9 version:1          | 0 change-invalid (1 version unusable)
        a/admin | propose p limit:registers:9 @4                 | 0 effect-height
        a/admin | propose p limit:registers:9 @5                 | 0 effect-height
        a/admin | propose p limit:registers:9 @900000000         | 0 effect-height
        a/admin | propose p limit:registers:9 @100               | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        * p | accepted 3-0-0/4 @100
        # A height that leaves too little notice is put off.
        a/admin | propose q limit:registers:9 @14                | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        * q | accepted 3-0-0/4 @24
        a/admin | propose r version:3                            | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        c/admin | vote r yes                                     | ok
        blocks 10
        * r | failed 3-0-0/4 @28 (0 version-invalid)
        "#,
    );
    let mut huge = change("create:berth:a");
    if let Change::RegisterCreate { fields, .. } = &mut huge {
        fields.extend((0..20).map(|n| {
            let mut field = harness::field(&format!("f{n}"));
            field.text = "x".repeat(1_000);
            field
        }));
    }
    let submit = |changes| Operation::ProposalSubmit {
        proposal: "huge".into(),
        title: "Huge".into(),
        text: RuleText::Whole("Huge.".into()),
        changes,
        effect_height: None,
    };
    let outcome = ledger.act("a/admin", vec![submit(vec![huge])]);
    assert_eq!(harness::describe(&outcome), "0 change-invalid (0 change too-long)");
    // The codec counts the changes of one proposal.
    let many = submit(vec![change("limit:registers:9"); CHANGES_MAX + 1]);
    let bytes = cbor::encode(&many);
    assert!(cbor::decode::<Operation>(&bytes, bytes.len()).is_err());
}

#[test]
fn an_organisation_proposes_only_so_much_at_a_time() {
    let mut ledger = four();
    for n in 0..8 {
        ledger.run(&format!("a/admin | propose p{n} limit:registers:9 | ok"));
    }
    ledger.run(
        r#"
        a/admin | propose more limit:registers:9                 | 0 proposals-full
        b/admin | propose more limit:registers:9                 | ok
        a/admin | withdraw p0                                    | ok
        a/admin | propose p8 limit:registers:9                   | ok
        a/admin | propose p9 limit:registers:9                   | 0 proposals-full
        # The network may set another limit.
        b/admin | propose l limit:proposals-per-organisation:100 | ok
        b/admin | vote l yes                                     | ok
        c/admin | vote l yes                                     | ok
        d/admin | vote l yes                                     | ok
        blocks 10
        "#,
    );
    let open = AgendaRow::decode(&ledger.rows[&StateKey::agenda()]).unwrap().due.len();
    // Whatever a may have, a place is left for each of those that have none: c and d.
    for n in open..PROPOSALS_OPEN_MAX - 2 {
        ledger.run(&format!("a/admin | propose n{n} limit:registers:9 | ok"));
    }
    ledger.run(
        r#"
        a/admin | propose last limit:registers:9                 | 0 proposals-full
        b/admin | propose last limit:registers:9                 | 0 proposals-full
        c/admin | propose n98 limit:registers:9                  | ok
        c/admin | propose last limit:registers:9                 | 0 proposals-full
        # What a takes back anybody may have, and d's is still there.
        a/admin | withdraw n97                                   | ok
        c/admin | propose last limit:registers:9                 | ok
        c/admin | propose over limit:registers:9                 | 0 proposals-full
        d/admin | propose n99 limit:registers:9                  | ok
        d/admin | propose full limit:registers:9                 | 0 proposals-full
        "#,
    );
    // All of them run out at once: a block deals with some, and the next ones with the rest.
    ledger.run("time 2020-03-01T00:00:00Z");
    let mut blocks = 0;
    while !AgendaRow::decode(&ledger.rows[&StateKey::agenda()]).unwrap().due.is_empty() {
        let turns = ledger.empty_block();
        assert!(!turns.is_empty() && turns.len() <= tallystick_protocol::limits::LAPSES_PER_BLOCK_MAX);
        blocks += 1;
    }
    assert_eq!(blocks, PROPOSALS_OPEN_MAX.div_ceil(16));
    ledger.run("* n99 | lapsed 0-0-0/4");
}

/// With a place kept for each of more members than there are places, nobody would ever have two proposals.
#[test]
fn in_a_large_network_half_of_the_places_are_kept() {
    let ids: Vec<String> = (0..100).map(|n| format!("m{n}")).collect();
    let genesis = organisations(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let mut ledger = Ledger::of(genesis);
    for n in 0..PROPOSALS_OPEN_MAX / 2 {
        ledger.run(&format!("m{}/admin | propose p{n} limit:registers:9 | ok", n / 8));
    }
    ledger.run("m6/admin | propose more limit:registers:9 | 0 proposals-full");
    for n in PROPOSALS_OPEN_MAX / 2..PROPOSALS_OPEN_MAX {
        ledger.run(&format!("m{n}/admin | propose p{n} limit:registers:9 | ok"));
    }
    ledger.run("m20/admin | propose more limit:registers:9 | 0 proposals-full");
}

#[test]
fn so_many_take_effect_in_one_block_and_the_next_say_so() {
    let mut ledger = four();
    for n in 0..6 {
        ledger.run(&format!("a/admin | propose p{n} limit:registers:1{n} @100 | ok"));
        for who in ["a", "b", "c"] {
            ledger.run(&format!("{who}/admin | vote p{n} yes | ok"));
        }
    }
    assert_eq!(EFFECTS_PER_BLOCK_MAX, 4);
    ledger.run("* p3 | accepted 3-0-0/4 @100\n* p4 | accepted 3-0-0/4 @101\n* p5 | accepted 3-0-0/4 @101");
    while ledger.height < 100 {
        assert!(ledger.empty_block().is_empty());
    }
    assert_eq!(ledger.empty_block().len(), 4);
    assert_eq!(ledger.empty_block().len(), 2);
    let limits = LimitsRow::decode(&ledger.rows[&StateKey::limits()]).unwrap();
    assert_eq!(limits.value(LimitName::Registers), 15);
}

#[test]
#[should_panic(
    expected = "block 15 is of version 2 of the protocol, and this program knows 1: install a newer `tally`"
)]
fn a_program_stops_at_a_protocol_that_it_does_not_know() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p version:2                            | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        # The block in which the vote takes effect is still one of the old version.
        blocks 10
        * p | effective 3-0-0/4 @14
        "#,
    );
    ledger.empty_block();
}

#[test]
fn validators_and_their_organisation() {
    let mut ledger = four();
    ledger.run(
        r#"
        # An organisation leaves with its validator, in this order, or not at all.
        a/admin | propose p expel:d                              | ok
        a/admin | propose q expel:d validator:-d                 | ok
        a/admin | propose r validator:-d expel:d                 | ok
        a/admin | vote p yes ; vote q yes ; vote r yes           | ok
        b/admin | vote p yes ; vote q yes ; vote r yes           | ok
        c/admin | vote p yes ; vote q yes ; vote r yes           | ok
        blocks 10
        * p | failed 3-0-0/4 @16 (0 organisation-validates)
        * q | failed 3-0-0/4 3-0-0/4 @16 (0 organisation-validates)
        * r | effective 3-0-0/4 3-0-0/4 @16
        d/admin | create list list                               | 0 organisation-expelled
        # Who was expelled does not run validators; a newcomer may bring its own in the same proposal.
        a/admin | propose s validator:+d                         | ok
        a/admin | propose t admit:g validator:+g                 | ok
        a/admin | vote s yes ; vote t yes                        | ok
        b/admin | vote s yes ; vote t yes                        | ok
        blocks 10
        * s | failed 2-0-0/3 @31 (0 organisation-status)
        * t | effective 2-0-0/3 2-0-0/3 @31
        "#,
    );
    let schedule = ScheduleRow::decode(&ledger.rows[&StateKey::schedule()]).unwrap();
    assert_eq!((schedule.running.len(), schedule.later.len()), (4, 4), "one left, one joined, two epochs from now");
}

/// The network's own rulebook, from its first block on.
#[test]
fn a_network_may_begin_with_its_own_rulebook() {
    let mut genesis = organisations(&["a", "b", "c", "d"]);
    let mut rulebook = Rulebook::default();
    for rule in &mut rulebook.rules {
        (rule.threshold, rule.notice_blocks) = ("1/4".parse().unwrap(), 1);
        rule.direct = false;
    }
    genesis.rulebook = Some(rulebook);
    Ledger::of(genesis).run(
        r#"
        a/admin | create berth berth                             | 0 ballot-required
        a/admin | propose p create:berth:b                       | ok
        a/admin | vote p yes                                     | ok
        b/admin | append berth 1 {"berth":"1"}                   | ok berth user 1+1
        "#,
    );
}
