//! What happens between a proposal's submission and its effect: the keys that it names, the rows that it needs, and what is said when
//! it cannot take effect.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, ROUNDS_MAX, change, describe, key, organisations};
use tallystick_ledger::{
    Missing, OrganisationRow, View, dry_run,
    validators::{recover, recovery_rows},
};
use tallystick_protocol::{
    BlockHeader, Change, FinalityCertificate, GenesisPrincipal, Hash, LogCommitment, Operation, ProposalStatus,
    ProvenRow, PublicKey, Recovery, Roles, RuleText, StateCommitment, StateKey,
    limits::{CHANGES_MAX, GENESIS_PRINCIPALS_MAX},
};

fn four() -> Ledger {
    Ledger::of(organisations(&["a", "b", "c", "d"]))
}

fn submit(id: &str, changes: Vec<Change>) -> Operation {
    let text = RuleText::Whole("The rule.".into());
    Operation::ProposalSubmit { proposal: id.into(), title: "Title".into(), text, changes, effect_height: None }
}

#[test]
fn a_key_that_is_voted_on_is_taken_by_nobody_else() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p admit:g validator:+a                 | ok
        # Everybody can read the keys from now on, and whoever took one would have a veto.
        b/admin | enrol x registrar g/admin                      | 0 key-in-use
        b/admin | add b/admin g/admin                            | 0 key-in-use
        b/admin | rotate b/admin b/admin g/admin                 | 0 key-in-use
        a/admin | add a/admin new-validator-a                    | 0 key-in-use
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        b/admin | enrol x registrar g/admin                      | 0 key-in-use
        blocks 9
        * p | effective 3-0-0/4 3-0-0/4 @18
        g/admin | create list list                               | ok
        b/admin | enrol x registrar g/admin                      | 0 key-in-use
        # Taken back, rejected, lapsed or failed: the keys are anybody's.
        a/admin | propose q admit:h                              | ok
        a/admin | withdraw q                                     | ok
        b/admin | enrol withdrawn registrar h/admin              | ok
        a/admin | propose r admit:i                              | ok
        a/admin | vote r no                                      | ok
        b/admin | vote r no                                      | ok
        b/admin | enrol rejected registrar i/admin               | ok
        a/admin | propose s expel:d admit:j                      | ok
        a/admin | vote s yes                                     | ok
        b/admin | vote s yes                                     | ok
        c/admin | vote s yes                                     | ok
        g/admin | vote s yes                                     | ok
        blocks 10
        * s | failed 4-0-0/5 4-0-0/5 @42 (0 organisation-validates)
        b/admin | enrol failed registrar j/admin                 | ok
        a/admin | propose t admit:k                              | ok
        b/admin | enrol early registrar k/admin                  | 0 key-in-use
        time 2020-02-01T00:00:00Z
        b/admin | enrol lapsed registrar k/admin                 | ok
        # What another has is not put to the vote, nor one key for two.
        a/admin | propose u limit:registers:9 admit:k            | 0 key-in-use (1 admin in-use)
        # Two may propose the same: the second to take effect finds it done.
        a/admin | propose v admit:l                              | ok
        b/admin | propose w admit:l                              | ok
        # Whichever of them is taken back, the other still keeps the key.
        a/admin | withdraw v                                     | ok
        b/admin | enrol first registrar l/admin                  | 0 key-in-use
        a/admin | propose y admit:l                              | ok
        b/admin | withdraw w                                     | ok
        b/admin | enrol second registrar l/admin                 | 0 key-in-use
        a/admin | withdraw y                                     | ok
        b/admin | enrol third registrar l/admin                  | ok
        "#,
    );
    let Change::Validators { mut add, .. } = change("validator:+a") else { panic!() };
    let PublicKey::Ed25519(key) = key("m/admin").public() else { panic!() };
    add[0].key = key;
    let twice = vec![change("admit:m"), Change::Validators { add: add.clone(), remove: Vec::new() }];
    assert_eq!(describe(&ledger.act("a/admin", vec![submit("x", twice)])), "0 key-in-use (1 a in-use)");
    // Nor a key with which nothing can be signed.
    add[0].key = (0..).map(|n| [n; 32]).find(|key| PublicKey::Ed25519(*key).validate().is_err()).unwrap();
    let unusable = vec![Change::Validators { add, remove: Vec::new() }];
    assert_eq!(describe(&ledger.act("a/admin", vec![submit("x", unusable)])), "0 key-invalid (0 a unusable)");
}

/// A recovery gives a validator its key, though a proposal that nobody could decide any more kept it.
#[test]
fn a_recovered_validator_has_its_key_for_ever() {
    let mut ledger = four();
    ledger.run("a/admin | propose p validator:+a | ok");
    let Change::Validators { add, .. } = change("validator:+a") else { panic!() };
    let (nothing, row) = (Hash([0; 32]), || ProvenRow { row: Default::default(), proof: Default::default() });
    let head = BlockHeader {
        network: ledger.genesis.id(),
        height: 9,
        epoch: 0,
        view: 9,
        leader: [0; 32],
        parent_view: 8,
        parent: nothing,
        time_ms: 0,
        transactions: nothing,
        transaction_count: 0,
        state: StateCommitment::default(),
        log: LogCommitment::default(),
        validators: nothing,
        next_validators: nothing,
    };
    let certificate = FinalityCertificate { epoch: 0, view: 9, parent_view: 8, block: nothing, signatures: Vec::new() };
    let recovery = Recovery {
        head,
        certificate,
        validators: add,
        reason: "Two of four burnt down.".into(),
        rulebook: row(),
        counters: row(),
        organisations: Vec::new(),
        approvals: Vec::new(),
    };
    let mut view = View::new();
    ledger.fetch(&mut view, [StateKey::schedule()]);
    ledger.fetch(&mut view, recovery_rows(&recovery));
    recover(&mut view, 2, &recovery);
    ledger.rows.extend(view.changes().into_iter().map(|(key, row)| (key, row.unwrap())));
    ledger.run("a/admin | withdraw p | ok\nb/admin | enrol thief registrar new-validator-a | 0 key-in-use");
}

/// The largest proposal: it asks for rows a few times, and not once for each of them, in earnest and in a dry run.
#[test]
fn the_largest_change_needs_few_rounds() {
    let mut ledger = four();
    let Change::OrganisationAdmit { mut organisation } = change("admit:g") else { panic!() };
    let more = (1..GENESIS_PRINCIPALS_MAX).map(|n| {
        let name = format!("clerk-{n}");
        let key = key(&name).public();
        GenesisPrincipal::person(name, Roles::registrar(), key)
    });
    organisation.principals.extend(more);
    let mut changes = vec![Change::OrganisationAdmit { organisation }];
    let others = "admit:h validator:-d expel:d validator:+a suspend:c limit:registers:99 version:2 close:old \
                  rule:limit:share=2/3 weights:a=2,b=2,z=1 unpolicy:own-mandates create:new:a";
    changes.extend(others.split_whitespace().map(change));
    assert!(changes.len() <= CHANGES_MAX);
    ledger.run("a/admin | create old old | ok");
    let mut view = View::new();
    let reports = (0..ROUNDS_MAX).find_map(|_| match dry_run(&mut view, &ledger.context(), &changes) {
        Ok(reports) => Some(reports),
        Err(Missing(keys)) => {
            ledger.fetch(&mut view, keys);
            None
        }
    });
    assert!(reports.unwrap().iter().all(|report| report.refusal.is_none()));
    assert_eq!(describe(&ledger.act("a/admin", vec![submit("p", changes)])), "ok");
    // The harness counts the rounds of each block.
    ledger.run("a/admin | vote p yes | ok\nb/admin | vote p yes | ok\nc/admin | vote p yes | ok\nblocks 10");
    assert_eq!(ledger.proposal("p").status, ProposalStatus::Effective);
    let row = OrganisationRow::decode(&ledger.rows[&StateKey::organisation("g")]).unwrap();
    assert_eq!(row.principals as usize, GENESIS_PRINCIPALS_MAX);
}

#[test]
fn a_failure_says_what_in_particular() {
    four().run(
        r#"
        a/admin | propose p validator:-d                         | ok
        a/admin | propose q limit:registers:9 validator:-d       | ok
        a/admin | propose r unpolicy:no-such                     | ok
        a/admin | vote p yes ; vote q yes ; vote r yes           | ok
        b/admin | vote p yes ; vote q yes ; vote r yes           | ok
        c/admin | vote p yes ; vote q yes ; vote r yes           | ok
        blocks 10
        * p | effective 3-0-0/4 @16
        * q | failed 3-0-0/4 3-0-0/4 @16 (1 validator-unknown: 0 d unresolved)
        * r | failed 3-0-0/4 @16 (0 policy-unknown: 0 no-such unresolved)
        "#,
    );
}
