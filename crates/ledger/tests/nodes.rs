//! Nodes that hold what only some may see: who registers which, one row an event.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Ledger;
use tallystick_protocol::{NodesRow, StateKey, limits::NODES_RETIRED_MAX};

fn nodes(ledger: &Ledger, organisation: &str) -> NodesRow {
    ledger.rows.get(&StateKey::nodes(organisation)).map_or_else(NodesRow::default, |row| NodesRow::decode(row).unwrap())
}

#[test]
fn administrators_register_nodes_of_their_own() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | node alpha/node-1 peer-1 9 GB                         | 0 subject-unknown
        alpha/admin | enrol-as device node-2 none d2                        | ok
        alpha/admin | enrol-as program node-1 none d1                       | ok
        alpha/clerk | node alpha/node-1 peer-1 9 GB                         | 0 not-permitted
        beta/admin  | node alpha/node-1 peer-1 9 GB                         | 0 node-principal
        alpha/admin | node alpha/clerk peer-1 9 GB                          | 0 node-principal
        alpha/admin | node alpha/node-2 peer-2 10 GB-SCT                    | ok
        alpha/admin | node alpha/node-1 peer-1 9 GB                         | ok
        "#,
    );
    let found = nodes(&ledger, "alpha");
    let told: Vec<String> = found.nodes.iter().map(|row| format!("{} {}", row.node, row.jurisdiction)).collect();
    assert_eq!(told, ["alpha/node-1 GB", "alpha/node-2 GB-SCT"]);
    assert_eq!(found.node(&"alpha/node-1".parse().unwrap()).unwrap().sealing.as_bytes(), &[9; 32]);
    assert_eq!(nodes(&ledger, "beta"), NodesRow::default());
}

#[test]
fn a_node_is_registered_anew_and_retired() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | enrol-as device node-1 none d1     | ok
        alpha/admin | node alpha/node-1 peer-1 9 GB      | ok
        time 2026-03-02T09:00:00Z
        alpha/admin | node alpha/node-1 peer-1 11 FR     | ok
        "#,
    );
    let found = nodes(&ledger, "alpha");
    let [row] = &found.nodes[..] else { panic!("{found:?}") };
    assert_eq!((row.jurisdiction.as_str(), row.sealing.as_bytes(), row.since_ms), ("FR", &[11; 32], ledger.time_ms));
    ledger.run(
        r#"
        beta/admin  | node-retire alpha/node-1    | 0 node-unknown
        alpha/clerk | node-retire alpha/node-1    | 0 not-permitted
        alpha/admin | node-retire alpha/node-1    | ok
        alpha/admin | node-retire alpha/node-1    | 0 node-unknown
        "#,
    );
    let retired = |ledger: &Ledger| nodes(ledger, "alpha").retired.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((nodes(&ledger, "alpha").nodes.len(), retired(&ledger)), (0, vec!["alpha/node-1".to_owned()]));
    ledger.run(
        r#"
        alpha/clerk | node-retire alpha/node-1 destroyed    | 0 not-permitted
        alpha/admin | node-retire alpha/node-1 destroyed    | ok
        alpha/admin | node-retire alpha/node-1 destroyed    | 0 node-unknown
        "#,
    );
    assert_eq!(nodes(&ledger, "alpha"), NodesRow::default());
    // At once, and of one that is registered again nothing is said any more.
    ledger.run(
        r#"
        alpha/admin | node alpha/node-1 peer-1 11 FR        | ok
        alpha/admin | node-retire alpha/node-1 destroyed    | ok
        alpha/admin | node alpha/node-1 peer-1 11 FR        | ok
        alpha/admin | node-retire alpha/node-1              | ok
        alpha/admin | node alpha/node-1 peer-1 11 FR        | ok
        "#,
    );
    assert_eq!(retired(&ledger), Vec::<String>::new());
}

#[test]
fn any_node_can_be_retired_and_some_are_named() {
    let mut ledger = Ledger::new();
    for n in 0..=NODES_RETIRED_MAX {
        ledger.run(&format!("alpha/admin | enrol-as device node-{n} none d{n} | ok"));
        ledger.run(&format!(
            "alpha/admin | node alpha/node-{n} peer-1 9 GB | ok\nalpha/admin | node-retire alpha/node-{n} | ok"
        ));
    }
    let found = nodes(&ledger, "alpha");
    assert_eq!((found.retired.len(), found.unnamed), (NODES_RETIRED_MAX, 1));
    // Of the one that is not named it can be said too, once, and of a machine of its own.
    ledger.run(
        r"
        alpha/admin | node-retire alpha/clerk destroyed  | 0 node-unknown
        alpha/admin | node-retire beta/node-1 destroyed  | 0 node-unknown
        alpha/admin | node-retire alpha/node-8 destroyed | ok
        alpha/admin | node-retire alpha/node-8 destroyed | 0 node-unknown
        ",
    );
    let found = nodes(&ledger, "alpha");
    assert_eq!((found.retired.len(), found.unnamed), (NODES_RETIRED_MAX, 0));
}

#[test]
fn keys_are_not_shared_and_places_are_few() {
    let mut ledger = Ledger::new();
    for n in 1..=9 {
        ledger.run(&format!("alpha/admin | enrol-as device node-{n} none d{n} | ok"));
    }
    ledger.run(
        r#"
        alpha/admin | node alpha/node-1 validator-beta 9 GB      | 0 node-peer
        alpha/admin | node alpha/node-1 validator-alpha 9 GB     | ok
        alpha/admin | node alpha/node-2 validator-alpha 10 GB    | 0 node-peer
        alpha/admin | node alpha/node-2 peer-2 9 GB              | 0 node-peer
        alpha/admin | status alpha/node-2 suspended lost it      | ok
        alpha/admin | node alpha/node-2 peer-2 10 GB             | 0 node-principal
        alpha/admin | status alpha/node-2 active found it        | ok
        "#,
    );
    for n in 2..=8 {
        ledger.run(&format!("alpha/admin | node alpha/node-{n} peer-{n} {} GB | ok", n + 20));
    }
    ledger.run(
        r#"
        alpha/admin | node alpha/node-9 peer-9 50 GB             | 0 nodes-full
        alpha/admin | node alpha/node-8 peer-8 51 GB             | ok
        alpha/admin | node-retire alpha/node-3                   | ok
        alpha/admin | node alpha/node-9 peer-9 50 GB             | ok
        "#,
    );
}
