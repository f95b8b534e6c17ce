//! A mandate of a partition is the partition's own, and is never taken for one that everybody sees, nor that for it: whatever is granted or
//! ended on either side, and whatever evidence says.

use super::*;
use tallystick_ledger::MandateRow;
use tallystick_protocol::{MandateId, MandateTerms, PrincipalId};

/// Two members' nodes, and the public state, which the test changes as others would.
struct Members<E: Context + Spawner> {
    nodes: [Partition<E>; 2],
    public: BTreeMap<StateKey, Vec<u8>>,
    /// Of the next transaction.
    number: u8,
}

impl<E: Context + Spawner> Members<E> {
    async fn evidence(&self, transactions: &[&VerifiedTransaction]) -> Evidence {
        let rows = |keys: Vec<StateKey>| {
            let rows = keys.iter().map(|key| self.public.get(key).cloned().map(Bytes::from)).collect();
            std::future::ready(Ok::<_, Infallible>(rows))
        };
        let (evidence, tried) = self.nodes[0].evidence(transactions, (5, TIME_MS), rows).await.unwrap();
        assert_eq!(tried.len(), transactions.len());
        evidence
    }

    fn sign(&mut self, who: &str, operation: Operation) -> VerifiedTransaction {
        let (who, mandate) = who.split_once(" under ").map_or((who, None), |(who, mandate)| (who, Some(mandate)));
        self.number += 1;
        let is_entry = operation.name() == OperationName::EntryAppend;
        let operation = if is_entry { append(&self.number.to_string()).remove(0) } else { operation };
        let intent = Intent {
            not_after: TIME_MS / 1_000 + 60,
            idempotency_key: vec![self.number; 16],
            partition: Some("health".into()),
            mandate: mandate.map(|mandate| mandate.parse().unwrap()),
            ..Intent::new(genesis().id(), principal(who), "test", vec![operation])
        };
        intent.sign(&key(who)).unwrap().verify().unwrap()
    }

    /// Executes them as one payload on both nodes, which come to the same.
    async fn execute(&mut self, transactions: &[VerifiedTransaction], evidence: Evidence) -> Vec<&'static str> {
        let bytes = transactions.iter().map(|one| one.bytes().clone()).collect();
        let block = block(6 + u64::from(self.number), vec![together(bytes, evidence, self.number.into())]);
        let [one, other] = &mut self.nodes;
        let done = one.execute(&block).await;
        assert_eq!((&done, one.root()), (&other.execute(&block).await, other.root()));
        done.iter().map(code).collect()
    }

    async fn act(&mut self, who: &str, operation: Operation) -> &'static str {
        let transaction = self.sign(who, operation);
        let evidence = self.evidence(&[&transaction]).await;
        self.execute(&[transaction], evidence).await[0]
    }

    /// Puts a mandate into the public state, as an act that everybody sees does.
    fn in_public(&mut self, id: &str, terms: MandateTerms, revoked_ms: Option<u64>) {
        let id: MandateId = id.parse().unwrap();
        let row = MandateRow { id: id.clone(), terms, granted: 0, revoked_ms };
        self.public.insert(StateKey::mandate(&id), row.to_bytes());
    }
}

/// Runs with two nodes, and a register of a's in the partition.
fn with_members<F: Future<Output = ()>>(run: impl FnOnce(Members<deterministic::Context>) -> F) {
    deterministic::Runner::default().start(|context| async move {
        let open = |label: &'static str| Partition::open(context.child(label), label, genesis().id(), "health", TIP);
        let mut members = Members { nodes: [open("one").await, open("other").await], public: public(), number: 0 };
        assert_eq!(members.act("a", create().remove(0)).await, "ok");
        run(members).await;
    });
}

/// An organisation's administrator is written as that alone.
fn principal(who: &str) -> PrincipalId {
    if who.contains('/') { who.parse().unwrap() } else { format!("{who}/admin").parse().unwrap() }
}

fn terms(agent: &str, action: &str, depth: u32, parent: Option<&str>) -> MandateTerms {
    MandateTerms {
        agents: vec![principal(agent)],
        actions: vec![action.into()],
        resources: vec!["register:child".into()],
        purpose: "Cover".into(),
        from: 0,
        until: TIME_MS,
        depth,
        concur: 1,
        parent: parent.map(|parent| parent.parse().unwrap()),
    }
}

fn grant(name: &str, terms: MandateTerms) -> Operation {
    Operation::MandateGrant { name: name.into(), terms }
}

fn revoke(id: &str) -> Operation {
    Operation::MandateRevoke { mandate: id.parse().unwrap() }
}

/// An entry: [`Members::sign`] makes each another.
fn add() -> Operation {
    append("").remove(0)
}

/// One row an event, with what becomes of it, and how many mandates there are then.
#[test]
fn a_mandate_of_a_partition_is_in_its_own_state() {
    with_members(|mut members| async move {
        let rows = [
            ("b under health/a/admin/one", add(), "mandate-unknown", 0),
            ("a", grant("one", terms("b", "entry-append", 1, None)), "ok", 1),
            ("a", grant("one", terms("b", "*", 0, None)), "mandate-exists", 1),
            ("b", add(), "not-permitted", 1),
            ("b under health/a/admin/one", add(), "ok", 1),
            ("b", grant("two", terms("c", "entry-append", 0, Some("health/a/admin/one"))), "ok", 2),
            // An agent of no member: named, and of no use.
            ("c under health/b/admin/two", add(), "not-member", 2),
            ("b", grant("far", terms("a", "entry-append", 0, Some("health/a/admin/one"))), "mandate-loop", 2),
            ("b", grant("deep", terms("c", "entry-append", 1, Some("health/a/admin/one"))), "mandate-too-long", 2),
            ("b", grant("wide", terms("c", "*", 0, Some("health/a/admin/one"))), "mandate-exceeded", 2),
            ("b", revoke("health/a/admin/one"), "not-permitted", 2),
            ("a", revoke("health/a/admin/one"), "ok", 2),
            ("b under health/a/admin/one", add(), "mandate-revoked", 2),
            ("a", revoke("health/a/admin/none"), "mandate-unknown", 2),
        ];
        for ((who, operation, expected, count), number) in rows.into_iter().zip(0..) {
            assert_eq!(members.act(who, operation).await, expected, "{number}: {who}");
            assert_eq!(members.nodes[1].grants().await, count, "{number}");
        }
        let node = &members.nodes[1];
        let (first, second) = (node.granted(0).await.unwrap(), node.granted(1).await.unwrap());
        assert_eq!((first.id.as_str(), second.id.as_str()), ("health/a/admin/one", "health/b/admin/two"));
        // After the register, and the act under what was not granted yet.
        assert_eq!((first.granted, first.revoked_ms.is_some(), second.revoked_ms), (2, true, None));
        assert_eq!(node.mandate(&first.id).await, Some(first));
        assert_eq!(node.granted(2).await, None);
        assert!(!members.public.contains_key(&StateKey::mandate(&second.id)));
    });
}

/// Granted, used and ended within one payload, as if each had been alone; the list is in the order of the acts.
#[test]
fn mandates_of_one_payload_count_one_after_another() {
    with_members(|mut members| async move {
        let mut grants: Vec<VerifiedTransaction> = ["z", "m", "b", "y", "a"]
            .iter()
            .map(|name| members.sign("a", grant(name, terms("b", "entry-append", 0, None))))
            .collect();
        grants.push(members.sign("a", revoke("health/a/admin/m")));
        let evidence = members.evidence(&grants.iter().collect::<Vec<_>>()).await;
        assert_eq!(members.execute(&grants, evidence).await, ["ok"; 6]);
        for (number, name) in (0..).zip(["z", "m", "b", "y", "a"]) {
            let row = members.nodes[0].granted(number).await.unwrap();
            assert_eq!((row.id.name(), row.revoked_ms.is_some()), (name, name == "m"));
        }
        assert_eq!(members.act("b under health/a/admin/y", add()).await, "ok");
        assert_eq!(members.act("b under health/a/admin/m", add()).await, "mandate-revoked");
    });
}

/// A public one and a private one of the same grantor and name, whichever was first and whichever has ended.
#[test]
fn nobody_gains_by_a_name_that_was_given_twice() {
    with_members(|mut members| async move {
        let one = |action| terms("b", action, 0, None);
        // One that everybody sees, for reads; the partition's own, for entries.
        members.in_public("a/admin/errand", one("record-read"), None);
        assert_eq!(members.act("b under health/a/admin/errand", add()).await, "mandate-unknown");
        assert_eq!(members.act("b under a/admin/errand", add()).await, "mandate-exceeded");
        assert_eq!(members.act("a", grant("errand", one("entry-append"))).await, "ok");
        assert_eq!(members.act("b under a/admin/errand", add()).await, "mandate-exceeded");
        assert_eq!(members.act("b under health/a/admin/errand", add()).await, "ok");
        // The public one is ended: the other is not. It is not ended within.
        assert_eq!(members.act("a", revoke("a/admin/errand")).await, "not-private");
        members.in_public("a/admin/errand", one("record-read"), Some(TIME_MS));
        assert_eq!(members.act("b under a/admin/errand", read("c-1").remove(0)).await, "mandate-revoked");
        assert_eq!(members.act("b under health/a/admin/errand", add()).await, "ok");
        // The partition's own is ended, and one that everybody sees comes later: that brings it not back, nor is ended by it.
        assert_eq!(members.act("a", revoke("health/a/admin/errand")).await, "ok");
        members.in_public("a/admin/errand", one("entry-append"), None);
        assert_eq!(members.act("b under health/a/admin/errand", add()).await, "mandate-revoked");
        assert_eq!(members.act("b under a/admin/errand", add()).await, "ok");
    });
}

/// Passed on from one that everybody sees, which ends it; and nobody acts there for one who is no member.
#[test]
fn what_is_passed_on_within_ends_with_what_everybody_sees() {
    with_members(|mut members| async move {
        let open = || terms("b", "entry-append", 1, None);
        members.in_public("a/admin/open", open(), None);
        let shift = || terms("b/clerk", "entry-append", 0, Some("a/admin/open"));
        assert_eq!(members.act("b", grant("shift", shift())).await, "ok");
        assert_eq!(members.act("b/clerk under health/b/admin/shift", add()).await, "ok");
        members.in_public("a/admin/open", open(), Some(TIME_MS));
        assert_eq!(members.act("b/clerk under health/b/admin/shift", add()).await, "mandate-revoked");
        assert_eq!(members.act("b", grant("again", shift())).await, "mandate-revoked");
        // Whoever granted the one above ends it within too.
        members.in_public("a/admin/open", open(), None);
        assert_eq!(members.act("b/clerk under health/b/admin/shift", add()).await, "ok");
        assert_eq!(members.act("a", revoke("health/b/admin/shift")).await, "ok");
        assert_eq!(members.act("b/clerk under health/b/admin/shift", add()).await, "mandate-revoked");
        members.in_public("c/admin/hers", terms("b", "*", 0, None), None);
        assert_eq!(members.act("b under c/admin/hers", add()).await, "not-member");
    });
}

/// Evidence that speaks of the partition's own mandates voids what comes with it; what it hides of those that everybody sees is hidden of
/// those alone.
#[test]
fn evidence_says_nothing_of_mandates_within() {
    with_members(|mut members| async move {
        members.in_public("a/admin/errand", terms("b", "record-read", 0, None), None);
        assert_eq!(members.act("a", grant("errand", terms("b", "entry-append", 0, None))).await, "ok");
        let [public, private] = ["a/admin/errand", "health/a/admin/errand"].map(|id| id.parse::<MandateId>().unwrap());
        let forged = MandateRow { id: private.clone(), terms: terms("b", "*", 0, None), granted: 0, revoked_ms: None };
        let private = StateKey::mandate(&private);
        type Spoil<'a> = &'a dyn Fn(&mut Evidence);
        let rows: [(&str, Spoil<'_>, &str); 6] = [
            ("b under health/a/admin/errand", &|e| drop(e.rows.insert(private, None)), "evidence-invalid"),
            (
                "b under health/a/admin/errand",
                &|e| drop(e.rows.insert(private, Some(forged.to_bytes()))),
                "evidence-invalid",
            ),
            ("b under a/admin/errand", &|e| drop(e.rows.insert(StateKey::mandate(&public), None)), "mandate-unknown"),
            ("b under a/admin/errand", &|e| drop(e.rows.remove(&StateKey::mandate(&public))), "evidence-missing"),
            (
                "b under health/a/admin/errand",
                &|e| drop(e.rows.insert(StateKey::mandate(&public), Some(forged.to_bytes()))),
                "ok",
            ),
            ("b under health/a/admin/errand", &|_| (), "ok"),
        ];
        for (who, spoil, expected) in rows {
            let transaction = members.sign(who, add());
            let mut evidence = members.evidence(&[&transaction]).await;
            spoil(&mut evidence);
            assert_eq!(members.execute(&[transaction], evidence).await, [expected], "{who}");
        }
    });
}
