//! Erasure orders and legal holds: who orders what, who must give a receipt, and what follows for the subject.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod harness;

use harness::{Ledger, describe, operation, warm_view};
use tallystick_ledger::{Missing, PageRow, apply, wanted, wanted_next};
use tallystick_protocol::{
    ControllerRow, ErasureRow, ErasureStatus, StateKey, Subject, SubjectRow, limits::CONTROLLER_ERASURES_OPEN_MAX,
};

const SEALED: &str = "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";

/// Alpha with two nodes and a register of people, of which number 1 has a name; beta with a node and a register of visits.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    run(
        &mut ledger,
        r#"
        alpha/admin | enrol-as device node-1 auditor alpha/node-1             | ok
        alpha/admin | enrol-as device node-2 auditor alpha/node-2             | ok
        beta/admin  | enrol-as device node-1 auditor beta/node-1              | ok
        alpha/admin | node alpha/node-1 a1 11 GB                              | ok
        alpha/admin | node alpha/node-2 a2 12 GB                              | ok
        beta/admin  | node beta/node-1 b1 13 GB                               | ok
        alpha/admin | create person person name!personal:person               | ok
        beta/admin  | create visit visit person:string:1:person name!personal:person | ok
        alpha/clerk | append person 1 {"name":"SEALED","person":"1"}          | ok person user 1+1
        alpha/clerk | append person 2 {"name":"SEALED","person":"2"}          | ok person user 2+1
        "#,
    );
    ledger
}

fn run(ledger: &mut Ledger, table: &str) {
    ledger.run(&table.replace("SEALED", SEALED));
}

fn order(ledger: &Ledger, id: &str) -> ErasureRow {
    ErasureRow::decode(&ledger.rows[&StateKey::erasure(id)]).unwrap()
}

fn subject(ledger: &Ledger, controller: &str, subject: &str) -> SubjectRow {
    let subject: Subject = subject.parse().unwrap();
    SubjectRow::decode(&ledger.rows[&StateKey::subject(controller, &subject)]).unwrap()
}

fn controller(ledger: &Ledger, organisation: &str) -> ControllerRow {
    ControllerRow::decode(&ledger.rows[&StateKey::controller(organisation)]).unwrap()
}

#[test]
fn an_order_is_complete_when_every_holder_has_given_its_receipt() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r#"
        # By the policies for the subject's register, when its custodian is the controller; else by those for the controller.
        alpha/clerk  | erase a alpha person:1 all                | 0 not-permitted
        beta/admin   | erase a alpha person:1 all                | 0 not-permitted
        alpha/admin  | erase a beta person:1 all                 | 0 not-permitted
        alpha/admin  | erase a alpha person:1 all                | ok
        alpha/admin  | erase a alpha person:2 all                | 0 erasure-exists
        alpha/admin  | erase b alpha person:1 all                | 0 subject-erased
        alpha/admin  | erase b alpha person:1 SEALED             | 0 subject-erased
        # Who holds nothing cannot be ordered to destroy it.
        gamma/admin  | erase c gamma person:1 all                | 0 controller-nodes
        # Each for itself, once.
        alpha/admin  | destroyed a 1                             | 0 not-holder
        beta/node-1  | destroyed a 1                             | 0 not-holder
        alpha/node-1 | destroyed z 1                             | 0 erasure-unknown
        alpha/node-1 | destroyed a 1                             | ok
        alpha/node-1 | destroyed a 0                             | 0 receipt-exists
        "#,
    );
    let row = order(&ledger, "a");
    assert_eq!(row.outstanding().map(ToString::to_string).collect::<Vec<_>>(), ["alpha/node-2"]);
    assert_eq!((row.status(false, ledger.time_ms), row.is_complete()), (ErasureStatus::Open, false));
    assert_eq!(row.status(false, row.deadline_ms), ErasureStatus::Overdue);
    assert_eq!(row.status(true, row.deadline_ms), ErasureStatus::OnHold);
    assert_eq!(subject(&ledger, "alpha", "person:1").orders, ["a"]);
    assert_eq!(controller(&ledger, "alpha").open.len(), 1);
    run(&mut ledger, "alpha/node-2 | destroyed a 7 | ok");
    let row = order(&ledger, "a");
    let said: Vec<_> = row.holders.iter().map(|holder| holder.receipt.unwrap()).collect();
    assert_eq!(said.iter().map(|said| (said.values, said.leaf)).collect::<Vec<_>>(), [(1, 21), (7, 23)]);
    let completed = row.completed.unwrap();
    assert_eq!((completed.height, completed.height), (said[1].height, ledger.height - 1));
    assert_eq!(row.status(false, u64::MAX), ErasureStatus::Complete);
    assert!(subject(&ledger, "alpha", "person:1").orders.is_empty());
    for name in ["alpha", ""] {
        let row = controller(&ledger, name);
        assert_eq!((row.orders, row.complete, row.open.len()), (1, 1, 0), "{name}");
        let page = PageRow::decode(&ledger.rows[&StateKey::erasures(name, 0)]).unwrap();
        assert_eq!(page.ids, ["a"]);
    }
}

/// The holders are those at the order's block: whoever came later owes nothing, whoever left still does.
#[test]
fn holders_are_copied() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r"
        alpha/admin  | erase a alpha person:1 all                | ok
        alpha/admin  | node-retire alpha/node-2                  | ok
        alpha/admin  | enrol-as device node-3 auditor alpha/node-3 | ok
        alpha/admin  | node alpha/node-3 a3 14 GB                | ok
        alpha/node-3 | destroyed a 0                             | 0 not-holder
        alpha/node-1 | destroyed a 1                             | ok
        ",
    );
    assert!(!order(&ledger, "a").is_complete());
    run(
        &mut ledger,
        r"
        alpha/node-2 | destroyed a 1                             | ok
        alpha/admin  | erase b alpha person:2 all                | ok
        ",
    );
    assert!(order(&ledger, "a").is_complete());
    let holders: Vec<_> = order(&ledger, "b").holders.iter().map(|holder| holder.node.to_string()).collect();
    assert_eq!(holders, ["alpha/node-1", "alpha/node-3"]);
}

/// A node whose disk is lost says nothing any more: its organisation says that what it held is destroyed, and the orders that waited for it alone
/// are over, without its receipt.
#[test]
fn nobody_waits_for_a_node_that_is_said_to_be_destroyed() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r"
        alpha/admin  | erase a alpha person:1 all                | ok
        alpha/node-1 | destroyed a 1                             | ok
        alpha/admin  | erase b alpha person:2 all                | ok
        alpha/admin  | node-retire alpha/node-2                  | ok
        ",
    );
    let stand = |ledger: &Ledger| ["a", "b"].map(|id| (order(ledger, id).is_over(), order(ledger, id).is_complete()));
    assert_eq!(stand(&ledger), [(false, false), (false, false)], "it may say so itself");
    run(&mut ledger, "alpha/admin | node-retire alpha/node-2 destroyed | ok");
    assert_eq!(stand(&ledger), [(true, false), (false, false)], "the other node is waited for");
    assert_eq!(controller(&ledger, "alpha").open.len(), 1);
    assert_eq!(subject(&ledger, "alpha", "person:1").orders.len(), 0);
    run(&mut ledger, "alpha/node-1 | destroyed b 1 | ok");
    assert_eq!(stand(&ledger), [(true, false), (true, false)]);
    // The last one that there was.
    run(
        &mut ledger,
        r"
        alpha/admin  | erase c alpha person:3 all                | ok
        alpha/admin  | node-retire alpha/node-1 destroyed        | ok
        ",
    );
    assert!(order(&ledger, "c").is_over() && !order(&ledger, "c").is_complete());
    assert_eq!((controller(&ledger, "alpha").open.len(), controller(&ledger, "").complete), (0, 3));
}

/// Who can never say that it destroyed is no holder of an order that could then never be complete.
#[test]
fn a_retired_holder_is_no_holder() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r"
        alpha/admin  | status alpha/node-2 retired scrapped      | ok
        alpha/admin  | erase a alpha person:1 all                | 0 holder-retired
        alpha/admin  | node-retire alpha/node-2                  | ok
        alpha/admin  | erase a alpha person:1 all                | ok
        # Who is suspended comes back, and owes.
        alpha/admin  | status alpha/node-1 suspended moved       | ok
        alpha/admin  | erase b alpha person:2 all                | ok
        alpha/node-1 | destroyed b 0                             | 0 principal-suspended
        alpha/admin  | status alpha/node-1 active moved          | ok
        alpha/node-1 | destroyed b 0                             | ok
        ",
    );
}

/// What a register keeps no longer its custodian's nodes have erased, if they were given that role; nobody does it for them.
#[test]
fn a_node_with_the_role_orders_for_its_own_registers() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r"
        alpha/node-1 | erase a alpha person:1 SEALED             | 0 not-permitted
        alpha/admin  | enrol-as device keeper retention alpha/keeper | ok
        alpha/keeper | grant errands alpha/clerk * * 2019-01-01 2030-01-01 0 1 | ok
        alpha/clerk under alpha/keeper/errands | erase a alpha person:1 SEALED | 0 not-permitted
        alpha/keeper | erase a alpha person:1 SEALED             | ok
        # Of its organisation's registers alone, and nothing else.
        alpha/keeper | erase b alpha visit:1 SEALED              | 0 not-permitted
        alpha/keeper | erase b beta visit:1 SEALED               | 0 not-permitted
        alpha/keeper | hold h alpha person:1                     | 0 not-permitted
        ",
    );
}

/// An order that names values names whom they are about: of somebody else's value of the same commitment it says nothing.
#[test]
fn values_are_erased_of_the_subject_that_is_named() {
    let mut ledger = ledger();
    run(&mut ledger, "alpha/admin | erase a alpha person:1 SEALED | ok");
    let commitment = SEALED.parse().unwrap();
    let is_erased = |controller: &str, subject: &str| {
        ledger.rows.contains_key(&StateKey::erased_value(controller, &subject.parse().unwrap(), &commitment))
    };
    assert!(is_erased("alpha", "person:1"));
    for (controller, subject) in [("alpha", "person:2"), ("alpha", "visit:1"), ("beta", "person:1")] {
        assert!(!is_erased(controller, subject), "{controller} {subject}");
    }
}

/// Who may place holds for somebody may lift them: a mandate names the same for both.
#[test]
fn an_agent_lifts_what_it_may_place() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r"
        alpha/admin | grant holds alpha/clerk hold-lift,hold-place organisation:alpha 2019-01-01 2030-01-01 0 1 | ok
        alpha/admin | grant theirs alpha/clerk hold-lift,hold-place organisation:beta 2019-01-01 2030-01-01 0 1 | ok
        alpha/clerk under alpha/admin/theirs | hold h alpha person:1 | 0 mandate-exceeded
        alpha/clerk under alpha/admin/holds  | hold h alpha person:1 | ok
        alpha/clerk under alpha/admin/theirs | lift h                | 0 mandate-exceeded
        alpha/clerk under alpha/admin/holds  | lift h                | ok
        beta/admin  | hold i beta person:1                           | ok
        # What is another's to place is another's to lift, by the mandate's words already.
        alpha/clerk under alpha/admin/holds  | hold j beta person:1  | 0 mandate-exceeded
        alpha/clerk under alpha/admin/holds  | lift i                | 0 mandate-exceeded
        alpha/clerk under alpha/admin/theirs | lift i                | 0 not-permitted
        alpha/clerk under alpha/admin/holds  | lift none             | 0 hold-unknown
        ",
    );
}

/// A node whose key is lost with its disk gets another, by which its last word is given; no agent gives it.
#[test]
fn a_receipt_is_nobodys_to_give_for_another() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r"
        alpha/node-1 | grant errands alpha/clerk * * 2019-01-01 2030-01-01 0 1 | ok
        alpha/admin  | erase a alpha person:1 all                | ok
        alpha/clerk under alpha/node-1/errands | destroyed a 1   | 0 not-permitted
        alpha/admin  | recover alpha/node-1 alpha/new            | ok
        alpha/node-1@alpha/new | destroyed a 0                   | ok
        ",
    );
}

#[test]
fn what_is_erased_is_not_written_again() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r#"
        alpha/admin  | erase a alpha person:1 all                                        | ok
        # From the order on, whatever the holders have done yet.
        alpha/clerk  | append person 1 {"name":"SEALED","person":"1"}                    | 0 subject-erased (0 name erased)
        alpha/clerk  | correct person 1 1 {"name":"SEALED","person":"1"}                 | 0 subject-erased (0 name erased)
        alpha/clerk  | append person 3 {"name":"SEALED","person":"3"} & 1 {"name":"SEALED","person":"1"} | 0 subject-erased (1 name erased)
        alpha/admin  | import person 3 1 - user 1 2019-01-01T00:00:00Z {"name":"SEALED","person":"1"} | 0 entry-order (0 older)
        alpha/admin  | import person 3 1 - user 1 2020-01-01T00:00:00Z {"name":"SEALED","person":"1"} | 0 subject-erased (0 name erased)
        # What is in the clear goes on, and so do others.
        alpha/clerk  | append person 1 {"person":"1"}                                    | ok person user 3+1
        alpha/clerk  | append person 3 {"name":"SEALED","person":"3"}                    | ok person user 4+1
        # Under another controller nothing was ordered.
        beta/clerk   | append visit 9 {"name":"SEALED","person":"1","visit":"9"}         | ok visit user 1+1
        # Its nodes hold what its registers say of the person, so that it orders for itself.
        beta/admin   | erase b beta person:1 all                                         | ok
        beta/clerk   | append visit 8 {"name":"SEALED","person":"1","visit":"8"}         | 0 subject-erased (0 name erased)
        beta/clerk   | append visit 8 {"person":"1","visit":"8"}                         | ok visit user 2+1
        # An order about values leaves the rest.
        alpha/admin  | erase c alpha person:2 SEALED                                     | ok
        alpha/clerk  | append person 2 {"person":"2"}                                    | ok person user 5+1
        alpha/clerk  | append person 2 {"name":"SEALED","person":"2"}                    | ok person user 6+1
        alpha/admin  | erase d alpha person:2 all                                        | ok
        alpha/clerk  | append person 2 {"name":"SEALED","person":"2"}                    | 0 subject-erased (0 name erased)
        "#,
    );
    assert!(!subject(&ledger, "alpha", "person:1").is_held(0));
    assert!(subject(&ledger, "alpha", "person:1").is_withheld(0));
}

#[test]
fn a_hold_suspends() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r"
        time 2020-06-01T00:00:00Z
        alpha/clerk  | hold h alpha person:1                     | 0 not-permitted
        beta/admin   | hold h alpha person:1                     | 0 not-permitted
        alpha/admin  | hold h alpha person:1 2020-06-01T00:00:00Z | 0 hold-end
        alpha/admin  | hold h alpha person:1                     | ok
        alpha/admin  | hold h alpha person:2                     | 0 hold-exists
        # An order stands, and waits.
        alpha/admin  | erase a alpha person:1 all                | ok
        alpha/node-1 | destroyed a 1                             | 0 on-hold
        # Two holds: both must end.
        alpha/admin  | hold i alpha person:1 2020-07-01T00:00:00Z | ok
        alpha/clerk  | lift h                                    | 0 not-permitted
        alpha/admin  | lift x                                    | 0 hold-unknown
        alpha/admin  | lift h                                    | ok
        alpha/admin  | lift h                                    | 0 hold-ended
        alpha/node-1 | destroyed a 1                             | 0 on-hold
        time 2020-06-30T23:59:59Z
        alpha/node-1 | destroyed a 1                             | 0 on-hold
        # At its time, and with nothing else: the block's.
        time 2020-07-01T00:00:00Z
        alpha/node-1 | destroyed a 1                             | ok
        alpha/admin  | lift i                                    | 0 hold-ended
        # What is left with others may still be held; once nothing is, nothing is held.
        alpha/admin  | hold j alpha person:1                     | ok
        alpha/node-2 | destroyed a 1                             | 0 on-hold
        alpha/admin  | lift j                                    | ok
        alpha/node-2 | destroyed a 1                             | ok
        alpha/admin  | hold k alpha person:1                     | 0 subject-erased
        ",
    );
    let row = subject(&ledger, "alpha", "person:1");
    assert!(row.holds.is_empty(), "those that ended are taken out when one is placed: {row:?}");
    assert_eq!((controller(&ledger, "alpha").holds, controller(&ledger, "").holds), (3, 3));
    let page = PageRow::decode(&ledger.rows[&StateKey::holds("alpha", 0)]).unwrap();
    assert_eq!(page.ids, ["h", "i", "j"]);
}

/// While a hold lasts what is kept may be read, though it is to be erased.
#[test]
fn a_hold_keeps_for_somebody() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r"
        time 2020-06-01T00:00:00Z
        alpha/admin  | hold h alpha person:1 2020-07-01T00:00:00Z | ok
        alpha/admin  | erase a alpha person:1 all                 | ok
        ",
    );
    let row = subject(&ledger, "alpha", "person:1");
    let end_ms = row.holds[0].until_ms.unwrap();
    assert_eq!([row.is_withheld(end_ms - 1), row.is_withheld(end_ms)], [false, true]);
}

/// Several transactions in one block, in their order, in one view.
fn in_one_block(ledger: &mut Ledger, acts: &[(&str, &str)]) -> Vec<String> {
    let mut view = warm_view();
    let mut outcomes = Vec::new();
    for (who, what) in acts {
        let tx = ledger.sign(who, vec![operation(&what.replace("SEALED", SEALED))]);
        ledger.fetch(&mut view, wanted(&tx));
        outcomes.push(describe(&ledger.apply_in(&mut view, &tx, ledger.leaf)));
        ledger.leaf += 1;
    }
    ledger.keep(view.changes());
    ledger.height += 1;
    outcomes
}

/// What races in one block is decided by the order in which it stands there.
#[test]
fn races_in_one_block() {
    let again = ("alpha/clerk", r#"append person 1 {"name":"SEALED","person":"1"} {"person":"1"}"#);
    let (erase, hold) = (("alpha/admin", "erase a alpha person:1 all"), ("alpha/admin", "hold h alpha person:1"));
    let receipt = ("alpha/node-1", "destroyed a 1");
    let (erased, held) = ("0 subject-erased (0 name erased)", "0 on-hold");
    assert_eq!(in_one_block(&mut ledger(), &[again, erase]), ["ok person user 3+1", "ok"]);
    assert_eq!(in_one_block(&mut ledger(), &[erase, again]), ["ok", erased]);
    assert_eq!(in_one_block(&mut ledger(), &[hold, erase, receipt]), ["ok", "ok", held]);
    assert_eq!(in_one_block(&mut ledger(), &[erase, hold, receipt]), ["ok", "ok", held]);
    assert_eq!(in_one_block(&mut ledger(), &[erase, receipt, hold]), ["ok", "ok", "ok"]);
    // Within one transaction it is the same: all of it or nothing.
    let mut one = ledger();
    run(
        &mut one,
        r#"
        alpha/admin | erase a alpha person:1 all ; append person 1 {"name":"SEALED","person":"1"} {"person":"1"} | 1 subject-erased (0 name erased)
        alpha/admin | erase a alpha person:1 all | ok
        "#,
    );
}

#[test]
fn a_controller_waits_for_its_nodes() {
    let mut ledger = ledger();
    for number in 0..CONTROLLER_ERASURES_OPEN_MAX {
        let tx = ledger.sign("alpha/admin", vec![operation(&format!("erase o{number} alpha person:{number} all"))]);
        assert_eq!(describe(&ledger.block(&tx)), "ok");
    }
    run(
        &mut ledger,
        r"
        alpha/admin  | erase last alpha person:last all | 0 erasures-full
        # Others go on.
        beta/admin   | erase other beta person:1 all    | ok
        alpha/node-1 | destroyed o7 0                   | ok
        alpha/node-2 | destroyed o7 0                   | ok
        alpha/admin  | erase last alpha person:last all | ok
        ",
    );
    assert_eq!(order(&ledger, "last").number, CONTROLLER_ERASURES_OPEN_MAX as u64);
}

/// An entry without sealed values asks for no subject's row, however it is fetched; one with them is fetched at once.
#[test]
fn ordinary_entries_ask_for_nothing_more() {
    let mut ledger = ledger();
    run(&mut ledger, "alpha/admin | create town town name | ok");
    let touched = |what: &str| {
        let tx = ledger.sign("alpha/clerk", vec![operation(&what.replace("SEALED", SEALED))]);
        let mut view = warm_view();
        ledger.fetch(&mut view, wanted(&tx));
        let next = wanted_next(&mut view, &tx);
        ledger.fetch(&mut view, next.iter().copied());
        let rounds = match apply(&mut view, &ledger.context(), &tx, ledger.leaf) {
            Ok(outcome) => describe(&outcome),
            Err(Missing(keys)) => panic!("{what}: {keys:?} are missing after one round"),
        };
        let subjects = next.iter().filter(|key| key.0[0] == tallystick_protocol::Noun::Subject as u8).count();
        (subjects, rounds)
    };
    assert_eq!(touched(r#"append town 1 {"name":"York","town":"1"}"#), (0, "ok town user 1+1".to_owned()));
    assert_eq!(touched(r#"append person 7 {"person":"7"}"#), (0, "ok person user 3+1".to_owned()));
    // A read names whom it is about, and their rows are fetched with the record.
    assert_eq!(touched("read person 1 name care"), (1, "ok".to_owned()));
    let two = r#"append person 7 {"name":"SEALED","person":"7"} & 8 {"name":"SEALED","person":"8"}"#;
    assert_eq!(touched(two), (2, "ok person user 3+2".to_owned()));
}

#[test]
fn an_erased_subject_is_read_only_while_a_hold_keeps_what_is_left() {
    let mut ledger = ledger();
    run(
        &mut ledger,
        r#"
        alpha/clerk | read person 1 name care                          | ok
        alpha/admin | hold trial alpha person:1 2026-06-01T00:00:00Z   | ok
        alpha/admin | erase a alpha person:1 all                       | ok
        alpha/clerk | read person 1 name evidence                      | ok
        alpha/admin | lift trial                                       | ok
        alpha/clerk | read person 1 name evidence                      | 0 value-erased
        alpha/clerk | read person 2 name care                          | ok
        "#,
    );
}
