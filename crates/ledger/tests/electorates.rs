//! Who has a vote on what, and that nobody can take it away: neither by what else a proposal names, nor by a rulebook that gives
//! nobody a vote.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, change, describe, organisations};
use tallystick_protocol::{
    Change, ChangeKind, GenesisValidator, Operation, Rule, RuleText, Rulebook, RulebookChange, limits::POLLS_MAX,
};

/// Four organisations under the default rulebook with these rules changed.
fn four(rules: &[&str]) -> Ledger {
    let mut genesis = organisations(&["a", "b", "c", "d"]);
    let mut rulebook = Rulebook::default();
    for rule in rules {
        let Change::Rulebook { rulebook: new } = change(rule) else { panic!("no rule: {rule}") };
        rulebook = rulebook.with(&new).unwrap();
    }
    genesis.rulebook = Some(rulebook);
    Ledger::of(genesis)
}

fn submit(id: &str, changes: Vec<Change>) -> Operation {
    let text = RuleText::Whole("The rule.".into());
    Operation::ProposalSubmit { proposal: id.into(), title: "Title".into(), text, changes, effect_height: None }
}

#[test]
fn naming_more_victims_takes_no_vote_from_them() {
    four(&["rule:organisation-suspend:vote=others"]).run(
        r#"
        # Were they one poll, a alone would be "the others", and its vote all of it.
        a/admin | propose p suspend:b suspend:c suspend:d        | ok
        * p | open 0-0-0/3 0-0-0/3 0-0-0/3
        a/admin | vote p yes                                     | ok
        * p | open 1-0-0/3 1-0-0/3 1-0-0/3
        # Each has a vote on the others.
        b/admin | vote p no                                      | ok
        * p | open 1-0-0/3 1-1-0/3 1-1-0/3
        c/admin | vote p no                                      | ok
        * p | rejected 1-1-0/3 1-1-0/3 1-2-0/3
        # Two victims: d decides, and neither of them on itself.
        a/admin | propose q suspend:b suspend:c                  | ok
        b/admin | vote q no                                      | ok
        c/admin | vote q no                                      | ok
        * q | open 0-1-0/3 0-1-0/3
        a/admin | vote q yes                                     | ok
        d/admin | vote q yes                                     | ok
        * q | accepted 2-1-0/3 2-1-0/3 @19
        # The same organisation twice is one poll.
        a/admin | propose r suspend:b suspend:b                  | ok
        * r | open 0-0-0/3
        "#,
    );
}

/// A validator that is added again as it is changes nothing, and is no way to silence who runs it.
#[test]
fn naming_an_opponent_s_validator_takes_no_vote_from_it() {
    let mut ledger = four(&["rule:validators:vote=others"]);
    let Change::Validators { remove: of_b, .. } = change("validator:-b") else { panic!() };
    let Change::Validators { remove: again, .. } = change("validator:-c") else { panic!() };
    let changes = vec![Change::Validators { add: again, remove: of_b }];
    assert_eq!(describe(&ledger.act("a/admin", vec![submit("p", changes)])), "ok");
    ledger.run(
        r#"
        * p | open 0-0-0/3 0-0-0/3
        a/admin | vote p yes                                     | ok
        c/admin | vote p no                                      | ok
        # On what is done to b: a for it, c against it. On c itself it has no vote.
        * p | open 1-1-0/3 1-0-0/3
        "#,
    );
}

#[test]
fn those_concerned_must_each_agree() {
    four(&["rule:register-close:vote=concerned,direct=false,share=1/2"]).run(
        r#"
        a/admin | create mine mine                               | ok
        b/admin | create other other                             | ok
        a/admin | propose p close:mine close:other               | ok
        a/admin | vote p yes                                     | ok
        # Half of those concerned are for it, and none of them that has `other`.
        * p | open 1-0-0/1 0-0-0/1
        c/admin | vote p yes                                     | 0 not-elector
        b/admin | vote p yes                                     | ok
        * p | accepted 1-0-0/1 1-0-0/1 @16
        "#,
    );
}

#[test]
fn polls_are_bounded() {
    let mut ledger = four(&["rule:validators:vote=others"]);
    let add = |count: usize| {
        let validator = |n: usize| {
            let Change::Validators { add, .. } = change(&format!("validator:+o{n}")) else { panic!() };
            add.into_iter()
        };
        let add: Vec<GenesisValidator> = (0..count).flat_map(validator).collect();
        vec![Change::Validators { add, remove: Vec::new() }]
    };
    assert_eq!(describe(&ledger.act("a/admin", vec![submit("p", add(POLLS_MAX + 1))])), "0 too-large");
    assert_eq!(describe(&ledger.act("a/admin", vec![submit("p", add(POLLS_MAX))])), "ok");
    assert_eq!(ledger.proposal("p").polls.len(), POLLS_MAX);
}

#[test]
fn only_electors_object() {
    four(&["rule:organisation-expel:vote=others", "rule:organisation-admit:notice=1"]).run(
        r#"
        a/admin | propose old expel:d                            | ok
        # Who has no vote on it does not hold it up either.
        d/admin | object old never                               | 0 not-elector
        a/admin | propose p admit:g                              | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        * p | accepted 3-0-0/4 @7
        # Nor does who came later.
        g/admin | object old never                               | 0 not-elector
        b/admin | object old not yet                             | ok
        * old | open 0-0-0/3 paused
        "#,
    );
}

#[test]
fn nobody_is_asked_what_nobody_can_decide() {
    let refused = "0 electorate-empty";
    let mut ledger = four(&["rule:organisation-admit:vote=concerned"]);
    assert_eq!(describe(&ledger.act("a/admin", vec![submit("p", vec![change("admit:g")])])), refused);
}

#[test]
fn a_rulebook_that_nobody_could_change_is_refused() {
    let mut ledger = four(&["rule:rulebook:notice=1", "rule:organisation-expel:notice=1"]);
    ledger.run(
        r#"
        a/admin | propose p rule:rulebook:weight=listed,notice=1 weights:a=0,b=0,c=0,d=0 | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        blocks 1
        * p | failed 3-0-0/4 @5 (1 rulebook-lock-out)
        # A weight for somebody who is no member is none.
        a/admin | propose q rule:rulebook:weight=listed,notice=1 weights:a=0,b=0,c=0,d=0,z=9 | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        blocks 1
        * q | failed 3-0-0/4 @10 (1 rulebook-lock-out)
        a/admin | propose r rule:rulebook:weight=listed,notice=1 weights:a=0,b=0,c=0,d=2 | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        c/admin | vote r yes                                     | ok
        blocks 1
        * r | effective 3-0-0/4 @15
        # The last one with votes does not leave before somebody else has some.
        a/admin | propose s validator:-d expel:d                 | ok
        a/admin | vote s yes                                     | ok
        b/admin | vote s yes                                     | ok
        c/admin | vote s yes                                     | ok
        blocks 10
        * s | failed 3-0-0/4 3-0-0/4 @29 (1 rulebook-lock-out)
        a/admin | propose t weights:a=1,b=0,c=0 validator:-d expel:d | ok
        * t | open 0-0-0/4 0-0-0/4 0-0-0/2
        "#,
    );
    let rule = |open_seconds| Rule { open_seconds, ..*Rulebook::default().rule(ChangeKind::Limit).unwrap() };
    let twice = RulebookChange { rules: vec![rule(60), rule(61)], ..RulebookChange::default() };
    let outcome = ledger.act("a/admin", vec![submit("u", vec![Change::Rulebook { rulebook: twice }])]);
    assert_eq!(describe(&outcome), "0 change-invalid (0 rulebook duplicate)");
}
