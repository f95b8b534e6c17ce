//! What is ordered to be erased, held, and said to be destroyed, in a partition.

use super::*;
use tallystick_protocol::{
    ControllerRow, ErasureScope, ErasureStatus, NodeRow, NodesRow, OrganisationStatus, SealingKey, Subject,
    limits::ERASURE_HOLDERS_MAX,
};

/// The public state with nodes of the partition's members: a, b, and whoever else has one.
fn with_nodes(nodes: &[(&str, &str)]) -> BTreeMap<StateKey, Vec<u8>> {
    let mut rows = public();
    let sealing: SealingKey = ParcelSecret::from_bytes(&Zeroizing::new([9; 32])).unwrap().public().unwrap();
    let organisations: BTreeSet<&str> = nodes.iter().filter_map(|(node, _)| node.split('/').next()).collect();
    let place = StateKey::partition("health");
    let mut row = PartitionRow::decode(&rows[&place]).unwrap();
    row.terms.members = organisations.iter().map(|one| (*one).to_owned()).collect();
    rows.insert(place, row.to_bytes());
    for organisation in organisations {
        let own = nodes.iter().filter(|(node, _)| node.starts_with(&format!("{organisation}/")));
        let row = |(node, jurisdiction): &(&str, &str)| NodeRow {
            node: node.parse().unwrap(),
            peer: [1; 32],
            sealing,
            jurisdiction: jurisdiction.parse().unwrap(),
            since_ms: 0,
        };
        let row = NodesRow { nodes: own.map(row).collect(), retired: Vec::new(), unnamed: 0 };
        rows.insert(StateKey::nodes(organisation), row.to_bytes());
    }
    rows
}

fn subject() -> Subject {
    Subject::new("child", "c-1").unwrap()
}

fn order(id: &str, controller: &str) -> Vec<Operation> {
    vec![Operation::ErasureOrder {
        order: id.into(),
        controller: controller.into(),
        subject: subject(),
        scope: ErasureScope::All,
        authority: "The parents".into(),
        legal_basis: "UK GDPR Article 17".into(),
        reason: "Left the school".into(),
        deadline: 86_400,
    }]
}

fn destroyed(id: &str) -> Vec<Operation> {
    vec![Operation::ErasureReceipt { order: id.into(), destroyed: 1 }]
}

fn hold(id: &str) -> Vec<Operation> {
    let (hold, controller, subject) = (id.into(), "a".into(), subject());
    vec![Operation::HoldPlace {
        hold,
        controller,
        subject,
        authority: "A court".into(),
        reason: "Evidence".into(),
        until: None,
    }]
}

fn lift(id: &str) -> Vec<Operation> {
    vec![Operation::HoldLift { hold: id.into(), reason: "Settled".into() }]
}

fn create_sealed() -> Vec<Operation> {
    let protection = Some("personal:child".parse().unwrap());
    let name = Field { protection, ..Field::new("name", Datatype::String) };
    let fields = vec![Field::new("child", Datatype::String), name, Field::new("note", Datatype::String)];
    vec![Operation::RegisterCreate { register: "child".into(), text: String::new(), fields }]
}

const SEALED: &str = "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";

fn append_sealed() -> Vec<Operation> {
    let item = format!(r#"{{"child":"c-1","name":"{SEALED}","note":"x"}}"#);
    vec![Operation::EntryAppend {
        register: "child".into(),
        entries: vec![NewEntry { key: "c-1".into(), items: vec![item] }],
    }]
}

fn read_of(field: &str) -> Vec<Operation> {
    let mut operations = read("c-1");
    if let [Operation::RecordRead { fields, .. }] = operations.as_mut_slice() {
        *fields = vec![field.into()];
    }
    operations
}

/// One row a transaction, with what becomes of it, and whether the members are to certify the root after it.
#[test]
fn an_order_in_a_partition_is_complete_when_every_members_nodes_have_given_their_receipts() {
    let nodes = [("a/admin", "GB"), ("b/admin", "GB-SCT"), ("b/clerk", "FR")];
    deterministic::Runner::default().start(|context| async move {
        let mut partition = Partition::open(context.child("one"), "one", genesis().id(), "health", TIP).await;
        let public = with_nodes(&nodes);
        let rows = [
            ("a", create_sealed(), "ok", false),
            ("a", append_sealed(), "ok", false),
            ("a", hold("h"), "ok", false),
            ("a", hold("h"), "hold-exists", false),
            // By the policies for the register: its custodian's administrators may.
            ("b", order("x", "a"), "not-permitted", false),
            ("a", order("x", "a"), "ok", false),
            ("a", order("x", "a"), "erasure-exists", false),
            ("a", order("y", "a"), "subject-erased", false),
            ("a", destroyed("z"), "erasure-unknown", false),
            ("a", destroyed("x"), "on-hold", false),
            // A hold keeps it for who may read.
            ("a", read_of("name"), "ok", false),
            ("b", lift("h"), "not-permitted", false),
            ("a", lift("h"), "ok", false),
            ("a", lift("h"), "hold-ended", false),
            ("a", read_of("name"), "value-erased", false),
            // What is not sealed is not erased.
            ("a", read_of("note"), "ok", false),
            ("a", append_sealed(), "subject-erased", false),
            ("a", append("second"), "ok", false),
            ("a", destroyed("x"), "ok", false),
            ("a", destroyed("x"), "receipt-exists", false),
            ("b", destroyed("x"), "ok", true),
            ("a", hold("i"), "subject-erased", false),
        ];
        for ((who, operations, expected, discloses), number) in rows.into_iter().zip(0u8..) {
            let transaction = sign(who, Some("health"), number + 1, operations);
            let evidence = evidence_of(&partition, &transaction, &public).await;
            let placed = placed(transaction.bytes().clone(), evidence, number.into());
            let done = partition.execute(&block(7 + u64::from(number), vec![placed])).await;
            assert_eq!((code(&done[0]), done[0].discloses), (expected, discloses), "{number}");
        }
        let row = partition.erasure("x").await.unwrap();
        // Neither the one that stands where nothing goes, nor one that comes later.
        let holders: Vec<String> = row.holders.iter().map(|holder| holder.node.to_string()).collect();
        assert_eq!((holders, row.is_complete(), row.number), (vec!["a/admin".into(), "b/admin".into()], true, 0));
        assert_eq!(partition.erasures("", 0..1).await, ["x"]);
        assert_eq!(partition.erasures("a", 0..1).await, ["x"]);
        assert_eq!(partition.holds("", 0..9).await, [] as [&str; 0], "none beyond those there are");
        assert_eq!(partition.holds("", 0..1).await, ["h"]);
        assert_eq!(partition.registers_of("a").await, ["child"]);
        assert_eq!(partition.registers_of("b").await, [] as [&str; 0]);
        let proven = partition.prove(&StateKey::erasure("x")).await.unwrap();
        assert_eq!((proven.root, &proven.row.row[..]), (partition.root(), &row.to_bytes()[..]));
        let last = sign("a", Some("health"), 99, order("z", "a"));
        // None of it is of the public state: evidence does not speak of it.
        for key in [StateKey::erasure("x"), StateKey::subject("a", &subject()), StateKey::hold("h")] {
            let said = Evidence { height: 5, rows: [(key, None)].into() };
            assert_eq!(Standing::of(&said, "health").may_execute(&last), Err(Code::EvidenceInvalid));
        }
    });
}

/// The public state when these are members, and when somebody is expelled who is one by the agreement still.
fn with_members(members: &str, expelled: Option<&str>) -> BTreeMap<StateKey, Vec<u8>> {
    let all = ["a", "b", "c"];
    let nodes: Vec<String> = all.iter().map(|one| format!("{one}/admin")).collect();
    let mut rows = with_nodes(&nodes.iter().map(|node| (node.as_str(), "GB")).collect::<Vec<_>>());
    let place = StateKey::partition("health");
    let mut row = PartitionRow::decode(&rows[&place]).unwrap();
    row.terms.members.retain(|member| members.contains(member.as_str()));
    row.former = all.iter().filter(|one| !members.contains(**one)).map(|one| ((*one).to_owned(), 5)).collect();
    rows.insert(place, row.to_bytes());
    if let Some(expelled) = expelled {
        let place = StateKey::organisation(expelled);
        let mut row = ledger::OrganisationRow::decode(&rows[&place]).unwrap();
        row.status = OrganisationStatus::Expelled;
        rows.insert(place, row.to_bytes());
    }
    rows
}

/// One row a transaction: the members then, who is expelled, who signs, what becomes of it, and whether the members are to certify the root
/// after it.
#[test]
fn an_order_does_not_wait_for_who_has_left() {
    deterministic::Runner::default().start(|context| async move {
        let mut partition = Partition::open(context.child("one"), "one", genesis().id(), "health", TIP).await;
        let rows = [
            ("abc", None, "a", create_sealed(), "ok", false),
            ("abc", None, "a", append_sealed(), "ok", false),
            ("abc", None, "a", order("x", "a"), "ok", false),
            ("abc", None, "a", destroyed("x"), "ok", false),
            ("abc", None, "b", destroyed("x"), "ok", false),
            // It waits for c, a member still: saying it again ends nothing.
            ("abc", None, "a", destroyed("x"), "receipt-exists", false),
            ("ab", None, "c", destroyed("x"), "not-member", false),
            ("ab", None, "b", destroyed("x"), "ok", true),
            ("ab", None, "a", destroyed("x"), "receipt-exists", false),
            ("abc", None, "c", destroyed("x"), "ok", true),
            ("abc", None, "c", destroyed("x"), "receipt-exists", false),
        ];
        for ((members, expelled, who, operations, expected, discloses), number) in rows.into_iter().zip(0u8..) {
            let transaction = sign(who, Some("health"), number + 1, operations);
            let evidence = evidence_of(&partition, &transaction, &with_members(members, expelled)).await;
            let placed = placed(transaction.bytes().clone(), evidence, number.into());
            let done = partition.execute(&block(7 + u64::from(number), vec![placed])).await;
            assert_eq!((code(&done[0]), done[0].discloses), (expected, discloses), "{number}");
            let (row, ControllerRow { complete, open, .. }) =
                (partition.erasure("x").await, partition.controller("a").await);
            let stands = row.map(|row| row.status(false, 0));
            let expected = match number {
                ..2 => (None, 0, 0),
                2..7 => (Some(ErasureStatus::Open), 0, 1),
                7..9 => (Some(ErasureStatus::Incomplete), 1, 0),
                9.. => (Some(ErasureStatus::Complete), 1, 0),
            };
            assert_eq!((stands, complete, open.len()), expected, "{number}");
        }
    });
}

/// What is ordered names whoever had left by then as not asked, and waits for nobody who is expelled.
#[test]
fn an_order_names_who_had_left() {
    for (members, expelled, holders, former) in [
        ("abc", None, "a/admin b/admin c/admin", ""),
        ("ab", None, "a/admin b/admin", "c"),
        ("abc", Some("c"), "a/admin b/admin", "c"),
        ("ac", Some("c"), "a/admin", "b c"),
    ] {
        deterministic::Runner::default().start(|context| async move {
            let mut partition = Partition::open(context.child("one"), "one", genesis().id(), "health", TIP).await;
            let public = with_members(members, expelled);
            let steps = [create_sealed(), append_sealed(), order("x", "a"), destroyed("x")];
            for (number, operations) in (0u8..).zip(steps) {
                let transaction = sign("a", Some("health"), number + 1, operations);
                let evidence = evidence_of(&partition, &transaction, &public).await;
                let placed = placed(transaction.bytes().clone(), evidence, number.into());
                let done = partition.execute(&block(7 + u64::from(number), vec![placed])).await;
                assert_eq!(code(&done[0]), "ok", "{members} {expelled:?} {number}");
            }
            let row = partition.erasure("x").await.unwrap();
            let named: Vec<&str> = row.holders.iter().map(|holder| holder.node.as_str()).collect();
            assert_eq!((named.join(" "), row.unasked.join(" ")), (holders.to_owned(), former.to_owned()));
            assert_eq!(row.is_complete(), named.len() == 1, "it waits for whoever is asked");
        });
    }
}

/// Nodes to which nothing goes any more are named, and nobody waits for them.
#[test]
fn an_order_does_not_wait_for_nodes_that_are_retired() {
    deterministic::Runner::default().start(|context| async move {
        let mut partition = Partition::open(context.child("one"), "one", genesis().id(), "health", TIP).await;
        let all = with_nodes(&[("a/admin", "GB"), ("b/admin", "GB"), ("b/abroad", "FR")]);
        let mut less = with_nodes(&[("a/admin", "GB")]);
        less.insert(StateKey::partition("health"), all[&StateKey::partition("health")].clone());
        let retired = NodesRow {
            nodes: Vec::new(),
            retired: vec!["b/admin".parse().unwrap(), "b/old".parse().unwrap()],
            unnamed: 1,
        };
        less.insert(StateKey::nodes("b"), retired.to_bytes());
        let mut order_of_another = order("y", "a");
        if let [Operation::ErasureOrder { subject, .. }] = order_of_another.as_mut_slice() {
            *subject = Subject::new("child", "c-2").unwrap();
        }
        let rows = [
            (&all, create_sealed()),
            (&all, append_sealed()),
            (&all, order("x", "a")),
            (&all, destroyed("x")),
            (&less, destroyed("x")),
            (&less, order_of_another),
        ];
        for ((public, operations), number) in rows.into_iter().zip(0u8..) {
            let transaction = sign("a", Some("health"), number + 1, operations);
            let evidence = evidence_of(&partition, &transaction, public).await;
            let placed = placed(transaction.bytes().clone(), evidence, number.into());
            let done = partition.execute(&block(7 + u64::from(number), vec![placed])).await;
            assert_eq!(code(&done[0]), "ok", "{number}");
        }
        let row = partition.erasure("x").await.unwrap();
        assert_eq!(row.unasked, ["b/abroad"]);
        assert_eq!(row.status(false, 0), ErasureStatus::Incomplete);
        assert_eq!(row.outstanding().map(ToString::to_string).collect::<Vec<_>>(), ["b/admin"]);
        let row = partition.erasure("y").await.unwrap();
        assert_eq!(row.unasked, ["b", "b/admin", "b/old"]);
        assert!(row.holders.iter().map(|holder| holder.node.as_str()).eq(["a/admin"]));
    });
}

/// Whoever hides a node of another member in evidence would have an order that it need not carry out.
#[test]
fn evidence_that_hides_a_members_nodes_does_not_suffice() {
    deterministic::Runner::default().start(|context| async move {
        let mut partition = Partition::open(context.child("one"), "one", genesis().id(), "health", TIP).await;
        let public = with_nodes(&[("a/admin", "GB"), ("b/admin", "GB")]);
        let rows = [(1, create_sealed()), (2, order("x", "a"))];
        for (number, operations) in rows {
            let transaction = sign("a", Some("health"), number, operations);
            let mut evidence = evidence_of(&partition, &transaction, &public).await;
            let hidden = evidence.rows.remove(&StateKey::nodes("b")).is_some();
            let placed = placed(transaction.bytes().clone(), evidence, number.into());
            let done = partition.execute(&block(7 + u64::from(number), vec![placed])).await;
            assert_eq!(code(&done[0]), if hidden { "evidence-missing" } else { "ok" });
            assert_eq!(hidden, number == 2);
        }
    });
}

#[test]
fn an_order_for_more_nodes_than_its_row_holds_says_so() {
    let names: Vec<String> =
        (0..=ERASURE_HOLDERS_MAX).map(|n| format!("{}/n-{n}", ["a", "b", "c", "d", "e", "f", "g"][n % 7])).collect();
    for (count, expected) in [(ERASURE_HOLDERS_MAX, "ok"), (ERASURE_HOLDERS_MAX + 1, "erasure-holders")] {
        let nodes: Vec<(&str, &str)> = names.iter().take(count).map(|name| (name.as_str(), "GB")).collect();
        let (mut view, public) = (View::new(), with_nodes(&nodes));
        let transaction = sign("a", Some("health"), 1, order("x", "a"));
        let context = BlockContext { network: genesis().id(), height: 7, time_ms: TIME_MS, log_size: 0 };
        let outcome = loop {
            match ledger::apply(&mut view, &context, &transaction, 0) {
                Ok(outcome) => break outcome,
                Err(Missing(keys)) => keys.iter().for_each(|key| view.insert(*key, public.get(key).cloned())),
            }
        };
        let done = Done { transaction: None, number: 0, outcome, discloses: false };
        assert_eq!(code(&done), expected);
    }
}

async fn evidence_of<E: Context + Spawner>(
    partition: &Partition<E>,
    transaction: &VerifiedTransaction,
    public: &BTreeMap<StateKey, Vec<u8>>,
) -> Evidence {
    let read = |keys: Vec<StateKey>| {
        let rows = keys.iter().map(|key| public.get(key).cloned().map(Bytes::from)).collect();
        std::future::ready(Ok::<_, Infallible>(rows))
    };
    partition.evidence(&[transaction], (5, TIME_MS), read).await.unwrap().0
}
