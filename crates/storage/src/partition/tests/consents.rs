//! Consents in a partition are the partition's own, and cover reads there alone; what is withdrawn covers nothing from the next
//! transaction of the same payload on.

use super::*;
use tallystick_protocol::{ConsentRow, ConsentStatus, ConsentTerms, Subject, SubjectConsentsRow};

fn child() -> Subject {
    Subject::new("child", "c-1").unwrap()
}

fn terms() -> ConsentTerms {
    ConsentTerms { purposes: vec!["A purpose".into()], recipients: vec!["b".into()], until_ms: TIME_MS + 10_000 }
}

fn give(id: &str) -> Vec<Operation> {
    let (consent, evidence) = (id.to_owned(), "Form 7".to_owned());
    vec![Operation::ConsentGive { consent, controller: "a".into(), subject: child(), terms: terms(), evidence }]
}

fn withdraw(id: &str) -> Vec<Operation> {
    vec![Operation::ConsentWithdraw { consent: id.into(), reason: "Said so".into() }]
}

fn by_consent() -> Vec<Operation> {
    let mut operations = read("c-1");
    if let [Operation::RecordRead { legal_basis, .. }] = operations.as_mut_slice() {
        *legal_basis = "consent".into();
    }
    operations
}

/// One row a transaction, with what becomes of it.
#[test]
fn consents_are_the_partitions_own_and_end_at_once() {
    deterministic::Runner::default().start(|context| async move {
        let open = |label: &'static str| Partition::open(context.child(label), label, genesis().id(), "health", TIP);
        let (mut one, mut other) = (open("one").await, open("other").await);
        let rows = [
            ("a", create(), "ok"),
            ("a", append("first"), "ok"),
            ("a", by_consent(), "consent-required"),
            ("b", give("first"), "not-permitted"),
            ("a", give("first"), "ok"),
            ("a", give("first"), "consent-exists"),
            ("a", by_consent(), "ok"),
            // Who reads, the register's policies say all the same.
            ("b", by_consent(), "not-permitted"),
            ("a", let_b_read(), "ok"),
            ("b", by_consent(), "ok"),
            ("b", withdraw("first"), "not-permitted"),
            ("a", withdraw("second"), "consent-unknown"),
        ];
        let count = u8::try_from(rows.len()).unwrap();
        for ((who, operations, expected), number) in rows.into_iter().zip(0u8..) {
            let transaction = sign(who, Some("health"), number + 1, operations);
            let placed = placed(transaction.bytes().clone(), evidence(&one, &transaction).await, number.into());
            let block = block(7 + u64::from(number), vec![placed]);
            assert_eq!(code(&one.execute(&block).await[0]), expected, "{number}");
            other.execute(&block).await;
            assert_eq!(one.root(), other.root(), "{number}");
        }
        let all = [by_consent(), withdraw("first"), by_consent(), give("second"), by_consent()];
        let all =
            all.into_iter().zip(count..).map(|(operations, number)| sign("a", Some("health"), number + 1, operations));
        let all: Vec<VerifiedTransaction> = all.collect();
        let rows = public();
        let public = |keys: Vec<StateKey>| {
            let rows = keys.iter().map(|key| rows.get(key).cloned().map(Bytes::from)).collect();
            std::future::ready(Ok::<_, Infallible>(rows))
        };
        let (evidence, _) = one.evidence(&all.iter().collect::<Vec<_>>(), (5, TIME_MS), public).await.unwrap();
        let bytes = all.iter().map(|transaction| transaction.bytes().clone()).collect();
        let done = one.execute(&block(60, vec![together(bytes, evidence, 60)])).await;
        let codes: Vec<&str> = done.iter().map(code).collect();
        assert_eq!(codes, ["ok", "ok", "consent-required", "ok", "ok"]);
        let (next, found) = one.consents("a", &child(), (u64::MAX, 1)).await;
        let now = TIME_MS + 60;
        let said = |rows: &[ConsentRow]| -> Vec<(String, ConsentStatus, u64)> {
            rows.iter().map(|row| (row.consent.clone(), row.status(now), row.leaf)).collect()
        };
        let count = u64::from(count);
        assert_eq!((next, said(&found)), (1, vec![("second".into(), ConsentStatus::InForce, count + 3)]));
        let (next, found) = one.consents("a", &child(), (next, 9)).await;
        assert_eq!((next, said(&found)), (0, vec![("first".into(), ConsentStatus::Withdrawn, 4)]));
        assert_eq!(found[0].withdrawn.as_ref().unwrap().leaf, count + 1);
        assert_eq!(one.consents("b", &child(), (u64::MAX, 9)).await, (0, Vec::new()));
    });
}

/// What somebody has consented to where everybody sees it is nothing that evidence may speak of.
#[test]
fn no_consent_comes_from_outside() {
    deterministic::Runner::default().start(|context| async move {
        let mut partition = Partition::open(context.child("one"), "one", genesis().id(), "health", TIP).await;
        for (operations, number) in [create(), append("first")].into_iter().zip(1u8..) {
            let transaction = sign("a", Some("health"), number, operations);
            let evidence = evidence(&partition, &transaction).await;
            partition.execute(&block(u64::from(number), vec![placed(transaction.bytes().clone(), evidence, 1)])).await;
        }
        let transaction = sign("a", Some("health"), 3, by_consent());
        let mut evidence = evidence(&partition, &transaction).await;
        let row = SubjectConsentsRow { given: 1, in_force: vec![("first".into(), terms())] };
        evidence.rows.insert(StateKey::subject_consents("a", &child()), Some(row.to_bytes()));
        let done = partition.execute(&block(9, vec![placed(transaction.bytes().clone(), evidence, 9)])).await;
        assert_eq!(code(&done[0]), "evidence-invalid");
    });
}
