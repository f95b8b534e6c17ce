//! Partitions: how they begin, change and end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, describe, organisations};
use tallystick_ledger::PageRow;
use tallystick_protocol::{
    Hash, Operation, OrderedParcel, ParcelId, PartitionRootsRow, PartitionRow, PostedRoot, RootsAt, StateKey,
    TransferPath,
    limits::{EVIDENCE_BLOCKS_MAX, STATE_VALUE_BYTES_MAX},
};

fn four() -> Ledger {
    Ledger::of(organisations(&["a", "b", "c", "d"]))
}

fn partition(ledger: &Ledger, name: &str) -> PartitionRow {
    PartitionRow::decode(&ledger.rows[&StateKey::partition(name)]).unwrap()
}

/// Two members' yes opens it; the others of the four have no say by the first rulebook.
#[test]
fn its_members_open_it_and_nobody_else() {
    let mut ledger = four();
    ledger.run(
        r#"
        c/admin | propose p open:health:a,b                      | ok
        c/admin | vote p yes                                     | 0 not-elector
        a/admin | vote p yes                                     | ok
        * p | open 1-0-0/1 0-0-0/1
        b/admin | vote p yes                                     | ok
        * p | accepted 1-0-0/1 1-0-0/1 @14
        blocks 10
        * p | effective 1-0-0/1 1-0-0/1 @14
        # Its name is not used again, and one that is not there is not amended.
        c/admin | propose q open:health:c,d                      | ok
        c/admin | propose r reopen:other:c,d                     | 0 partition-unknown
        c/admin | vote q yes                                     | ok
        d/admin | vote q yes                                     | ok
        blocks 10
        * q | failed 1-0-0/1 1-0-0/1 @28 (0 partition-exists)
        "#,
    );
    let row = partition(&ledger, "health");
    assert_eq!((row.terms.members.join(" ").as_str(), row.opened_height, row.closed), ("a b", 14, None));
    let page = PageRow::decode(&ledger.rows[&StateKey::partitions(0)]).unwrap();
    assert_eq!(page.ids, ["health"]);
}

/// One member's no, or its silence, and it is not opened, whoever else votes for it.
#[test]
fn one_member_that_does_not_agree_is_enough() {
    four().run(
        r#"
        a/admin | propose p open:health:a,b                      | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p no                                      | ok
        * p | rejected 1-0-0/1 0-1-0/1
        a/admin | propose q open:health:a,b                      | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q abstain                                 | ok
        * q | rejected 1-0-0/1 0-0-1/1
        "#,
    );
}

/// A rulebook may give others a say, and cannot take the members' away.
#[test]
fn a_majority_of_all_does_not_bind_a_member() {
    four().run(
        r#"
        a/admin | propose r rule:partition-open:vote=members     | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        c/admin | vote r yes                                     | ok
        blocks 10
        a/admin | propose p open:health:a,b                      | ok
        a/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        d/admin | vote p yes                                     | ok
        * p | accepted 3-0-0/4 @28
        blocks 10
        * p | failed 3-0-0/4 @28 (0 consent-missing: 1 b consent)
        "#,
    );
}

/// Who joins and who leaves must both agree; a closed one stays closed.
#[test]
fn the_old_and_the_new_members_amend_it() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p open:health:a,b                      | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        blocks 10
        "#,
    );
    let proposed = partition(&ledger, "health").proposed;
    ledger.run(
        r#"
        a/admin | propose q reopen:health:b,c                    | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        * q | open 0-0-0/1 1-0-0/1 1-0-0/1
        a/admin | vote q yes                                     | ok
        blocks 10
        * q | effective 1-0-0/1 1-0-0/1 1-0-0/1 @27
        # Who left has no say in its end.
        a/admin | propose e end:health                           | ok
        a/admin | vote e yes                                     | 0 not-elector
        b/admin | vote e yes                                     | ok
        c/admin | vote e yes                                     | ok
        blocks 10
        b/admin | propose f reopen:health:b,c                    | ok
        b/admin | vote f yes                                     | ok
        c/admin | vote f yes                                     | ok
        blocks 10
        * f | failed 1-0-0/1 1-0-0/1 @54 (0 partition-closed)
        "#,
    );
    let row = partition(&ledger, "health");
    assert_eq!((row.terms.members.join(" ").as_str(), row.opened_height, row.amended_height), ("b c", 13, 27));
    assert_eq!(row.proposed, proposed, "whoever joins begins where the partition began");
    assert!(row.closed.is_some());
    assert_eq!(row.former, [("a".to_owned(), 27)], "who left stays named");
}

/// Those that the agreement names add and remove members, with who joins; all else of it is everybody's.
#[test]
fn managers_say_who_is_a_member() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p open:health:a*,b                     | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        blocks 10
        # Who joins agrees; b is not asked.
        a/admin | propose q reopen:health:a*,b,c                 | ok
        b/admin | vote q no                                      | 0 not-elector
        a/admin | vote q yes                                     | ok
        * q | open 1-0-0/1 0-0-0/1
        c/admin | vote q yes                                     | ok
        blocks 10
        # Nor is who is removed.
        a/admin | propose r reopen:health:a*,c                   | ok
        a/admin | vote r yes                                     | ok
        blocks 10
        * r | effective 1-0-0/1 @39
        # Who manages is no matter of the managers alone.
        a/admin | propose s reopen:health:a*,c*                  | ok
        a/admin | vote s yes                                     | ok
        * s | open 1-0-0/1 0-0-0/1
        c/admin | vote s no                                      | ok
        blocks 10
        "#,
    );
    let row = partition(&ledger, "health");
    assert_eq!((row.terms.members.join(" "), row.terms.managers.join(" ")), ("a c".to_owned(), "a".to_owned()));
    // Once no manager is left, all members say it.
    ledger.run(
        r#"
        b/admin | propose x validator:-a expel:a                 | ok
        b/admin | vote x yes                                     | ok
        c/admin | vote x yes                                     | ok
        d/admin | vote x yes                                     | ok
        blocks 10
        d/admin | propose t reopen:health:a*,c,d                 | ok
        d/admin | vote t yes                                     | ok
        * t | open 0-0-0/1 1-0-0/1
        "#,
    );
}

/// Nobody would have a vote for it: the others go on without, or end it. Who comes back is a member as before.
#[test]
fn whoever_is_expelled_holds_up_no_other_member() {
    let mut ledger = four();
    ledger.run(
        r#"
        a/admin | propose p open:health:a,b,d                    | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        d/admin | vote p yes                                     | ok
        blocks 10
        a/admin | propose x validator:-d expel:d                 | ok
        a/admin | vote x yes                                     | ok
        b/admin | vote x yes                                     | ok
        c/admin | vote x yes                                     | ok
        blocks 10
        a/admin | propose q reopen:health:a,b                    | ok
        * q | open 0-0-0/1 0-0-0/1
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        blocks 10
        "#,
    );
    let row = partition(&ledger, "health");
    let former: Vec<&str> = row.former.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((row.terms.members.join(" "), former), ("a b".to_owned(), vec!["d"]));
    ledger.run(
        r#"
        a/admin | propose r reopen:health:a,c                    | ok
        a/admin | vote r yes                                     | ok
        b/admin | vote r yes                                     | ok
        c/admin | vote r yes                                     | ok
        blocks 10
        a/admin | propose s reopen:health:a,b,c                  | ok
        a/admin | vote s yes                                     | ok
        b/admin | vote s yes                                     | ok
        c/admin | vote s yes                                     | ok
        blocks 10
        "#,
    );
    let row = partition(&ledger, "health");
    let former: Vec<&str> = row.former.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((row.terms.members.join(" "), former), ("a b c".to_owned(), vec!["d"]));
}

/// Four organisations with a node each, three of them members of a partition; that of d stands where nothing may be held.
fn shared() -> Ledger {
    let mut ledger = Ledger::of(organisations(&["a", "b", "c", "d"]));
    for (number, id) in ["a", "b", "c", "d"].iter().enumerate() {
        let place = if *id == "c" { "US" } else { "GB" };
        ledger.run(&format!("{id}/admin | enrol-as program node none {id}/node | ok"));
        ledger.run(&format!("{id}/admin | node {id}/node peer-{id} {} {place} | ok", number + 2));
    }
    ledger.run(
        r#"
        a/admin | propose p open:health:a,b,c                    | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        blocks 10
        "#,
    );
    ledger
}

fn order(partition: &str, height: u64) -> Vec<Operation> {
    let parcels = vec![OrderedParcel { id: ParcelId([7; 32]), class: 10 }; 3];
    vec![Operation::PrivateOrder { partition: partition.into(), height, parcels }]
}

/// One row an order: who signs, in which partition, how many blocks back its evidence is, and what becomes of it.
#[test]
fn what_is_ordered_is_vouched_for_by_enough_members() {
    let mut ledger = shared();
    for (who, partition, back, expected) in [
        ("a/node + b/node", "health", 1, "ok"),
        ("b/node + a/node", "health", EVIDENCE_BLOCKS_MAX, "ok"),
        ("a/node + b/node", "other", 1, "0 partition-unknown"),
        // Who is in no member's organisation may not even ask.
        ("d/node + a/node", "health", 1, "0 not-permitted"),
        ("a/node", "health", 1, "0 acknowledgements-missing"),
        ("a/node + d/node", "health", 1, "0 node-excluded"),
        ("a/node + b/admin", "health", 1, "0 node-excluded"),
        ("a/admin + b/node", "health", 1, "0 node-excluded"),
        ("a/node + c/node", "health", 1, "0 jurisdiction-excluded"),
        ("a/node + b/node", "health", 0, "0 evidence-old"),
    ] {
        // So many blocks that evidence may be as old as it can.
        while ledger.height <= EVIDENCE_BLOCKS_MAX {
            ledger.empty_block();
        }
        let height = ledger.height - back;
        assert_eq!(describe(&ledger.act(who, order(partition, height))), expected, "{who}, {partition}, {back}");
    }
    let old = ledger.height - EVIDENCE_BLOCKS_MAX - 1;
    assert_eq!(describe(&ledger.act("a/node + b/node", order("health", old))), "0 evidence-old");
    let row = PartitionRootsRow::decode(&ledger.rows[&StateKey::partition_roots("health")]).unwrap();
    assert_eq!((row.ordered, row.certified), (6, None));
    // Retired, the node vouches for nothing any more; and when the agreement is over nobody does.
    ledger.run("b/admin | node-retire b/node | ok");
    let height = ledger.height - 1;
    assert_eq!(describe(&ledger.act("a/node + b/node", order("health", height))), "0 node-excluded");
    ledger.run("time 2030-01-01T00:00:00Z");
    assert_eq!(describe(&ledger.act("a/node + b/node", order("health", height))), "0 partition-closed");
}

/// A member's node says to which of the members' nodes nothing is given; of nobody else, and nothing that is not so.
#[test]
fn a_refused_transfer_is_on_record() {
    let mut ledger = shared();
    let mut refuse = |who: &str, node: &str, law: &str| {
        let (partition, path) = ("health".into(), TransferPath::Fetch);
        let (node, jurisdiction) = (node.parse().unwrap(), law.parse().unwrap());
        describe(&ledger.act(who, vec![Operation::TransferRefuse { partition, node, jurisdiction, path }]))
    };
    assert_eq!(refuse("a/node", "c/node", "US"), "ok");
    assert_eq!(refuse("a/node", "c/node", "RU"), "0 transfer-allowed");
    assert_eq!(refuse("a/node", "b/node", "GB"), "0 transfer-allowed");
    assert_eq!(refuse("a/node", "c/unheard-of", "US"), "0 transfer-allowed");
    assert_eq!(refuse("a/node", "d/node", "GB"), "0 transfer-allowed");
    assert_eq!(refuse("c/node", "c/node", "US"), "0 jurisdiction-excluded");
    assert_eq!(refuse("d/node", "c/node", "US"), "0 not-permitted");
}

/// A member's node says of its own backup, wherever that is, that it is given nothing; of no other's, and not where the agreement allows it.
#[test]
fn a_refused_backup_is_on_record() {
    let mut ledger = shared();
    let mut refuse = |who: &str, node: &str, law: &str| {
        let (partition, path) = ("health".into(), TransferPath::Backup);
        let (node, jurisdiction) = (node.parse().unwrap(), law.parse().unwrap());
        describe(&ledger.act(who, vec![Operation::TransferRefuse { partition, node, jurisdiction, path }]))
    };
    assert_eq!(refuse("a/node", "a/node", "US"), "ok");
    assert_eq!(refuse("a/node", "a/node", "GB"), "0 transfer-allowed");
    assert_eq!(refuse("a/node", "a/node", "GB-SCT"), "0 transfer-allowed");
    assert_eq!(refuse("a/node", "b/node", "US"), "0 transfer-allowed");
    assert_eq!(refuse("a/node", "c/node", "US"), "0 transfer-allowed");
    assert_eq!(refuse("a/node + b/node", "a/node", "US"), "0 transfer-allowed");
    assert_eq!(refuse("a/admin", "a/admin", "US"), "0 node-excluded");
    assert_eq!(refuse("c/node", "c/node", "US"), "0 jurisdiction-excluded");
    assert_eq!(refuse("d/node", "d/node", "US"), "0 not-permitted");
}

fn root(ledger: &mut Ledger, who: &str, height: u64, root: u8) -> String {
    let (partition, root) = ("health".into(), Hash([root; 32]));
    describe(&ledger.act(who, vec![Operation::PartitionRoot { partition, height, root }]))
}

fn roots(ledger: &Ledger) -> PartitionRootsRow {
    PartitionRootsRow::decode(&ledger.rows[&StateKey::partition_roots("health")]).unwrap()
}

/// Two of three members that agree certify; two that do not raise an alarm, which stands until the members amend the agreement.
#[test]
fn equal_roots_of_a_quorum_are_certified_and_unequal_ones_are_named() {
    let mut ledger = shared();
    ledger.run("c/admin | node c/node peer-c 4 FR | ok");
    let height = ledger.height - 1;
    let future = ledger.height + 10;
    assert_eq!(root(&mut ledger, "a/node", future, 1), "0 root-height");
    assert_eq!(root(&mut ledger, "a/admin", height, 1), "0 node-excluded");
    assert_eq!(root(&mut ledger, "d/node", height, 1), "0 not-permitted");
    // The same node twice is one member still.
    assert_eq!(root(&mut ledger, "a/node", height, 1), "ok");
    assert_eq!(root(&mut ledger, "a/node", height, 1), "ok");
    assert_eq!(roots(&ledger).certified, None);
    assert_eq!(root(&mut ledger, "b/node", height, 1), "ok");
    let certified = roots(&ledger).certified.unwrap();
    assert_eq!((certified.height, certified.root), (height, Hash([1; 32])));
    assert_eq!(root(&mut ledger, "c/node", height - 1, 1), "0 root-height");
    // Later c is of another mind than the two that agree.
    let later = ledger.height - 1;
    for (who, which) in [("c/node", 9), ("a/node", 2), ("b/node", 2)] {
        assert_eq!(root(&mut ledger, who, later, which), "ok");
    }
    let row = roots(&ledger);
    assert_eq!(row.certified.as_ref().map(|one| one.height), Some(height));
    let alarm = row.alarm.unwrap();
    let named: Vec<_> = alarm.roots.iter().map(|one| (one.node.as_str(), one.root)).collect();
    assert_eq!((alarm.height, named), (later, vec![("c/node", Hash([9; 32])), ("a/node", Hash([2; 32]))]));
    ledger.run(
        r#"
        a/admin | propose q reopen:health:a,b,c                  | ok
        a/admin | vote q yes                                     | ok
        b/admin | vote q yes                                     | ok
        c/admin | vote q yes                                     | ok
        blocks 10
        "#,
    );
    let height = ledger.height - 1;
    assert_eq!(roots(&ledger).alarm, None);
    for who in ["b/node", "c/node"] {
        assert_eq!(root(&mut ledger, who, height, 3), "ok");
    }
    assert_eq!(roots(&ledger).certified.map(|one| one.height), Some(height));
}

/// Roots of one height by so many nodes that the row is as long as one may be, to the byte.
fn fill(row: &mut PartitionRootsRow, place: impl Fn(&mut PartitionRootsRow) -> &mut RootsAt) {
    // A root with a name of 24 to 66 bytes takes 37 more than the name.
    let add = |row: &mut PartitionRootsRow, bytes: usize| {
        let number = place(row).roots.len();
        let node = format!("b/{number:0>width$}", width = bytes - 39).parse().unwrap();
        place(row).roots.push(PostedRoot { node, root: Hash([1; 32]) });
        STATE_VALUE_BYTES_MAX - row.to_bytes().len()
    };
    let mut room = STATE_VALUE_BYTES_MAX;
    while room > 182 {
        room = add(row, 61);
    }
    room = add(row, room / 2);
    assert_eq!(add(row, room), 0);
}

/// An order counts one more in a row that is full: the roots of the oldest heights make room, or the order is refused. Else no
/// validator could read the row again.
#[test]
fn a_row_of_roots_that_is_full_is_not_written_longer() {
    let mut ledger = shared();
    let key = StateKey::partition_roots("health");
    let at = |height| RootsAt { height, roots: Vec::new() };
    let mut full = PartitionRootsRow { ordered: 255, posted: vec![at(3), at(4)], ..PartitionRootsRow::default() };
    fill(&mut full, |row| &mut row.posted[0]);
    assert_eq!(full.to_bytes().len(), STATE_VALUE_BYTES_MAX);
    ledger.rows.insert(key, full.to_bytes());
    for ordered in [258, 261] {
        let height = ledger.height - 1;
        assert_eq!(describe(&ledger.act("a/node + b/node", order("health", height))), "ok");
        let row = roots(&ledger);
        assert_eq!((row.ordered, row.posted.len(), row.posted[0].height), (ordered, 1, 4));
    }
    // An alarm stands until the members have looked: it does not make room for anything.
    let mut full = PartitionRootsRow { ordered: 255, alarm: Some(at(3)), ..PartitionRootsRow::default() };
    fill(&mut full, |row| row.alarm.as_mut().unwrap());
    ledger.rows.insert(key, full.to_bytes());
    let height = ledger.height - 1;
    assert_eq!(describe(&ledger.act("a/node + b/node", order("health", height))), "0 too-large");
    assert_eq!(roots(&ledger), full);
}
