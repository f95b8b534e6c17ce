#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! Two members' nodes execute the same; what is not as it should be is refused by a code; and what was acknowledged is there after a
//! crash.

mod confusion;
mod consents;
mod damage;
mod erasures;
mod fields;

use super::*;
use commonware_runtime::{
    Runner as _, Supervisor as _,
    deterministic::{self, FaultConfig},
};
use commonware_utils::probability;
use rand::{SeedableRng as _, rngs::StdRng};
use std::convert::Infallible;
use tallystick_protocol::{
    AgreementTerms, Field, Genesis, GenesisOrganisation, GenesisPrincipal, GenesisValidator, Intent, NewEntry,
    Operation, OperationName, ParcelId, ParcelSecret, Particulars, PartitionRow, Payload, PublicKey, Recipient, Roles,
    SigningKey,
    limits::{OPERATIONS_MAX, PARCEL_CLASS_MAX, PARCELS_WAITING_BYTES_MAX},
    operation::Datatype,
    parcel::parcel_bytes,
};
use zeroize::Zeroizing;

const TIME_MS: u64 = 1_790_000_000_000;

/// The height of the newest block when a state is opened.
const TIP: u64 = 20;

fn key(name: &str) -> SigningKey {
    SigningKey::from_ed25519_seed(&Hash::of(&[name.as_bytes()]).0)
}

fn genesis() -> Genesis {
    let organisation = |id: &str| GenesisOrganisation {
        id: id.into(),
        name: id.into(),
        particulars: Particulars::default(),
        principals: vec![
            GenesisPrincipal::person("admin", Roles::administrator(), key(id).public()),
            GenesisPrincipal::person("clerk", Roles::new(["registrar"]).unwrap(), key(&format!("{id}/clerk")).public()),
        ],
    };
    let PublicKey::Ed25519(validator) = key("validator").public() else { panic!("Ed25519") };
    let mut genesis = Genesis {
        name: "Test".into(),
        created_ms: TIME_MS,
        nonce: [7; 16],
        organisations: ["a", "b", "c"].map(organisation).to_vec(),
        validators: vec![GenesisValidator { organisation: "a".into(), key: validator, address: String::new() }],
        epoch_blocks: 600,
        rulebook: None,
    };
    genesis.sort();
    genesis
}

/// The public state: the genesis' and a partition of a and b.
fn public() -> BTreeMap<StateKey, Vec<u8>> {
    let mut view = View::new();
    ledger::genesis(&mut view, &genesis());
    let mut rows: BTreeMap<_, _> = view.changes().into_iter().filter_map(|(key, row)| Some((key, row?))).collect();
    let terms = AgreementTerms {
        partition: "health".into(),
        members: vec!["a".into(), "b".into()],
        purpose: "A purpose".into(),
        legal_basis: "A law".into(),
        categories: vec!["health".into()],
        from_ms: 0,
        until_ms: Some(u64::MAX),
        review_ms: None,
        jurisdictions: vec!["GB".parse().unwrap()],
        retention_days: 1,
        acknowledgements: 2,
        managers: Vec::new(),
        regulators: Vec::new(),
    };
    let row =
        PartitionRow { terms, proposed: 0, opened_height: 1, amended_height: 1, closed: None, former: Vec::new() };
    rows.insert(StateKey::partition("health"), row.to_bytes());
    rows
}

fn sign(who: &str, partition: Option<&str>, number: u8, operations: Vec<Operation>) -> VerifiedTransaction {
    sign_as((&format!("{who}/admin"), &key(who)), partition, number, operations)
}

fn sign_as(
    (who, key): (&str, &SigningKey),
    partition: Option<&str>,
    number: u8,
    operations: Vec<Operation>,
) -> VerifiedTransaction {
    let intent = Intent {
        not_after: TIME_MS / 1_000 + 60,
        idempotency_key: vec![number; 16],
        partition: partition.map(str::to_owned),
        ..Intent::new(genesis().id(), who.parse().unwrap(), "test", operations)
    };
    intent.sign(key).unwrap().verify().unwrap()
}

fn create() -> Vec<Operation> {
    let fields = vec![Field::new("child", Datatype::String), Field::new("note", Datatype::String)];
    vec![Operation::RegisterCreate { register: "child".into(), text: String::new(), fields }]
}

fn append(note: &str) -> Vec<Operation> {
    let entries = vec![NewEntry { key: "c-1".into(), items: vec![format!(r#"{{"child":"c-1","note":"{note}"}}"#)] }];
    vec![Operation::EntryAppend { register: "child".into(), entries }]
}

async fn evidence<E: Context + Spawner>(partition: &Partition<E>, transaction: &VerifiedTransaction) -> Evidence {
    let rows = public();
    let read = |keys: Vec<StateKey>| {
        let rows = keys.iter().map(|key| rows.get(key).cloned().map(Bytes::from)).collect();
        std::future::ready(Ok::<_, Infallible>(rows))
    };
    partition.evidence(&[transaction], (5, TIME_MS), read).await.unwrap().0
}

fn placed(transaction: Bytes, evidence: Evidence, seed: u64) -> Placed {
    together(vec![transaction], evidence, seed)
}

fn together(transactions: Vec<Bytes>, evidence: Evidence, seed: u64) -> Placed {
    let (evidence_height, mut rng) = (evidence.height, StdRng::seed_from_u64(seed));
    let payload = Payload::new(transactions, evidence, &mut rng).unwrap();
    let ordered = payload.ordered(&genesis().id(), "health").unwrap();
    let signed = SignedTransaction::decode(payload.transactions()[0].clone());
    let orderer = signed.map_or_else(|_| "a".to_owned(), |signed| signed.principal().organisation().to_owned());
    let opened = Arc::new(Opened::of(payload, genesis().id(), "health", &mut rng));
    Placed { ordered, evidence_height, orderer, opened }
}

fn block(height: u64, payloads: Vec<Placed>) -> PrivateBlock {
    PrivateBlock { height, time_ms: TIME_MS + height, location: 10 * height, payloads }
}

fn code(done: &Done) -> &'static str {
    match &done.outcome {
        Outcome::Accepted { .. } => "ok",
        Outcome::Refused(refusal) => refusal.code.as_str(),
    }
}

#[test]
fn two_members_have_the_same_root_and_go_on_after_a_restart() {
    deterministic::Runner::default().start(|context| async move {
        let network = genesis().id();
        let open = |label: &'static str, prefix: &'static str| {
            let context = context.child(label);
            async move { Partition::open(context, prefix, network, "health", TIP).await }
        };
        let (mut one, mut other) = (open("one", "one").await, open("other", "other").await);
        let steps = [sign("a", Some("health"), 1, create()), sign("a", Some("health"), 2, append("first"))];
        let mut blocks = Vec::new();
        for (transaction, height) in steps.iter().zip(7..) {
            let evidence = evidence(&one, transaction).await;
            let block = block(height, vec![placed(transaction.bytes().clone(), evidence, height)]);
            let done = one.execute(&block).await;
            assert_eq!(code(&done[0]), "ok", "{done:?}");
            blocks.push(block);
        }
        let late = blocks[0].clone();
        other.execute(&late).await;
        assert_ne!(one.root(), other.root());
        drop(other);
        // Restarted in between: it knows where it is.
        let mut other = open("again", "other").await;
        assert_eq!(other.position(), Position { height: 7, location: 70, executed: 1, time_ms: TIME_MS + 7 });
        let done = other.execute(&blocks[1]).await;
        assert_eq!((done[0].number, code(&done[0])), (1, "ok"));
        assert_eq!((one.root(), one.position()), (other.root(), other.position()));
        let act = other.act(&steps[1].replay_tag()).await.unwrap();
        assert_eq!((act.transaction, act.number, act.height, act.refused), (steps[1].id(), 1, 8, None));
        let record = StateKey::record(1, tallystick_protocol::EntryKind::User, "c-1");
        assert!(other.row(&record).await.is_some());
        // What was evidence only is not here.
        assert!(other.row(&StateKey::organisation("a")).await.is_none());
    });
}

/// One row a payload that is not as it should be, with what becomes of it; and the partition goes on.
#[test]
fn what_is_ordered_and_is_not_right_is_refused_by_a_code() {
    deterministic::Runner::default().start(|context| async move {
        let network = genesis().id();
        let mut partition = Partition::open(context.child("one"), "one", network, "health", TIP).await;
        let first = sign("a", Some("health"), 1, create());
        let good = evidence(&partition, &first).await;
        let done = partition.execute(&block(7, vec![placed(first.bytes().clone(), good.clone(), 1)])).await;
        assert_eq!(code(&done[0]), "ok");
        let with = |spoil: &dyn Fn(&mut Evidence)| {
            let mut evidence = good.clone();
            spoil(&mut evidence);
            evidence
        };
        let policy = public().into_keys().find(|key| key.0[0] == Noun::Policy as u8).unwrap();
        let (principal, organisation) = (StateKey::principal(first.principal()), StateKey::organisation("a"));
        let rows: Vec<(VerifiedTransaction, Evidence, &str)> = vec![
            (first.clone(), good.clone(), "intent-repeated"),
            (sign("a", None, 2, create()), good.clone(), "payload-invalid"),
            (sign("a", Some("tax"), 3, create()), good.clone(), "payload-invalid"),
            (sign("c", Some("health"), 4, create()), good.clone(), "not-member"),
            (
                sign("a", Some("health"), 5, vec![Operation::OrganisationContact { contact: None }]),
                good.clone(),
                "not-private",
            ),
            (sign("a", Some("health"), 6, append("x")), with(&|e| drop(e.rows.remove(&principal))), "evidence-missing"),
            (
                sign("a", Some("health"), 7, append("x")),
                with(&|e| drop(e.rows.insert(principal, Some(vec![1])))),
                "evidence-invalid",
            ),
            (
                sign("a", Some("health"), 8, append("x")),
                with(&|e| drop(e.rows.insert(principal, None))),
                "principal-unknown",
            ),
            // What the public state never says: somebody of no organisation, and a policy without a text.
            (
                sign("a", Some("health"), 9, append("x")),
                with(&|e| drop(e.rows.insert(organisation, None))),
                "evidence-invalid",
            ),
            (
                sign("a", Some("health"), 10, append("x")),
                with(&|e| drop(e.rows.insert(policy, None))),
                "evidence-invalid",
            ),
            // Rows of the partition's own are not for anybody to say.
            (
                sign("a", Some("health"), 11, append("x")),
                with(&|e| drop(e.rows.insert(StateKey::counters(), None))),
                "evidence-invalid",
            ),
            (sign("a", Some("health"), 12, append("x")), good.clone(), "ok"),
            (
                sign("b", Some("health"), 13, append("y")),
                Evidence { rows: BTreeMap::new(), height: 5 },
                "evidence-missing",
            ),
        ];
        for ((transaction, evidence, expected), height) in rows.into_iter().zip(8..) {
            let before = partition.position().executed;
            let done =
                partition.execute(&block(height, vec![placed(transaction.bytes().clone(), evidence, height)])).await;
            assert_eq!((code(&done[0]), partition.position().executed), (expected, before + 1), "at {height}");
        }
    });
}

#[test]
fn an_order_that_is_not_its_payloads_is_refused_too() {
    deterministic::Runner::default().start(|context| async move {
        let network = genesis().id();
        let mut partition = Partition::open(context.child("one"), "one", network, "health", TIP).await;
        let good = evidence(&partition, &sign("a", Some("health"), 1, create())).await;
        // Of another height than the order says; too late; and no transaction at all.
        let next = sign("a", Some("health"), 14, append("z"));
        let mut other = placed(next.bytes().clone(), good.clone(), 90);
        other.evidence_height = 6;
        assert_eq!(code(&partition.execute(&block(90, vec![other])).await[0]), "payload-invalid");
        let mut late =
            block(91, vec![placed(sign("a", Some("health"), 15, append("z")).bytes().clone(), good.clone(), 91)]);
        late.time_ms = TIME_MS + 3_600_000;
        assert_eq!(code(&partition.execute(&late).await[0]), "intent-expired");
        let done = partition.execute(&block(92, vec![placed(vec![1, 2, 3].into(), good, 92)])).await;
        assert_eq!((code(&done[0]), done[0].transaction), ("payload-invalid", None));
    });
}

fn read(key: &str) -> Vec<Operation> {
    vec![Operation::RecordRead {
        register: "child".into(),
        key: key.into(),
        fields: vec!["note".into()],
        subjects: vec![tallystick_protocol::Subject::new("child", key).unwrap()],
        purpose: "A purpose".into(),
        legal_basis: "A law".into(),
        recipient: None,
        node: "a/vault".parse().unwrap(),
    }]
}

fn correct(corrects: u64, note: &str) -> Vec<Operation> {
    let entry = NewEntry { key: "c-1".into(), items: vec![format!(r#"{{"child":"c-1","note":"{note}"}}"#)] };
    let (reason, authority, legal_basis) = ("Misspelt".into(), "The school".into(), "Article 16".into());
    vec![Operation::RecordCorrect { register: "child".into(), corrects, entry, reason, authority, legal_basis }]
}

/// That b's administrator knows of a correction.
fn know(corrects: u64) -> Vec<Operation> {
    let (register, key, reader) = ("child".into(), "c-1".into(), "b/admin".parse().unwrap());
    vec![Operation::NoticeAcknowledge { register, key, corrects, reader, recipient: None }]
}

fn disclose(key: &str, name: &str, jurisdiction: Option<&str>) -> Vec<Operation> {
    let mut operations = read(key);
    if let [Operation::RecordRead { recipient, .. }] = operations.as_mut_slice() {
        *recipient =
            Some(Recipient { name: name.into(), jurisdiction: jurisdiction.map(|code| code.parse().unwrap()) });
    }
    operations
}

fn let_b_read() -> Vec<Operation> {
    let text = r#"permit (principal, action == Action::"record-read", resource == Register::"child") when { principal.organisation == Organisation::"b" };"#;
    let put = vec![tallystick_protocol::PolicyText { id: "child/partners".parse().unwrap(), text: text.into() }];
    let change = tallystick_protocol::PolicyChange { put, remove: Vec::new() };
    vec![Operation::RegisterPolicy { register: "child".into(), change }]
}

/// One row a transaction, with what becomes of it, and how many registers and records there are then.
#[test]
fn what_was_executed_is_found_and_who_may_read_is_told_by_the_custodian() {
    deterministic::Runner::default().start(|context| async move {
        let mut partition = Partition::open(context.child("one"), "one", genesis().id(), "health", TIP).await;
        let rows = [
            ("a", read("c-1"), "register-unknown", (0, 0)),
            ("a", create(), "ok", (1, 0)),
            ("a", read("c-1"), "record-unknown", (1, 0)),
            ("a", append("first"), "ok", (1, 1)),
            ("a", append("second"), "ok", (1, 1)),
            ("b", append("third"), "not-permitted", (1, 1)),
            ("a", read("c-1"), "ok", (1, 1)),
            ("b", read("c-1"), "not-permitted", (1, 1)),
            ("b", let_b_read(), "not-permitted", (1, 1)),
            ("a", let_b_read(), "ok", (1, 1)),
            ("b", read("c-1"), "ok", (1, 1)),
            // The agreement allows what is in GB.
            ("a", disclose("c-1", "A court", None), "jurisdiction-excluded", (1, 1)),
            ("a", disclose("c-1", "A court", Some("FR")), "jurisdiction-excluded", (1, 1)),
            ("a", disclose("c-1", "A court", Some("GB-SCT")), "ok", (1, 1)),
            ("a", disclose("c-1", Recipient::DATA_SUBJECT, None), "ok", (1, 1)),
            ("a", correct(1, "third"), "correction-superseded", (1, 1)),
            ("b", correct(2, "third"), "not-permitted", (1, 1)),
            ("b", know(2), "correction-unknown", (1, 1)),
            ("a", correct(2, "third"), "ok", (1, 1)),
            ("b", know(2), "ok", (1, 1)),
        ];
        for ((who, operations, expected, (registers, records)), number) in rows.into_iter().zip(0u8..) {
            let told = [OperationName::RecordRead, OperationName::RecordCorrect, OperationName::NoticeAcknowledge];
            let is_told = told.contains(&operations[0].name());
            let transaction = sign(who, Some("health"), number + 1, operations);
            let evidence = evidence(&partition, &transaction).await;
            let placed = placed(transaction.bytes().clone(), evidence, number.into());
            let ordered = placed.ordered;
            let done = partition.execute(&block(7 + u64::from(number), vec![placed])).await;
            assert_eq!(code(&done[0]), expected, "{number}");
            let found = partition.numbered(number.into()).await.unwrap();
            assert_eq!((found.parcel, found.transaction), (ordered, transaction.id()));
            let is_read = transaction.operations()[0].name() == OperationName::RecordRead;
            // Every read here is of that record.
            let reads = if is_read { vec![record_tag("child", "c-1")] } else { Vec::new() };
            let told = is_told.then(|| Told { outcome: done[0].outcome.clone(), reads, corrects: !is_read });
            assert_eq!(found.told, told);
            assert_eq!(partition.registers().await, registers);
            let kept = partition.register_of(1).await;
            assert_eq!(kept.as_ref().map_or(0, |kept| kept.records), records);
            assert_eq!(kept, partition.register("child").await);
        }
        let record = partition.record("child", "c-1").await.unwrap();
        // The third entry, which the transaction of number 18 appended, corrects the second, which that of number 4 did.
        assert_eq!((record.number, record.leaf), (3, 18));
        let mark = partition.correction("child", 2).await.unwrap();
        assert_eq!((mark.entry, mark.leaf, mark.since), (3, 18, 4));
        assert_eq!(partition.correction("child", 1).await, None);
        assert_eq!(partition.record("child", "c-2").await, None);
        assert_eq!(partition.numbered(20).await, None);
        // The policy that the transaction of number 9 put, by the first change of policies here.
        let id = "child/partners".parse().unwrap();
        let policies = partition.register_policies("child").await;
        assert!(
            matches!(policies.as_slice(), [row] if row.id == id && row.version == 1 && row.text.contains("permit"))
        );
        assert_eq!(partition.policy(&id, u64::MAX).await, policies.first().map(|row| (row.clone(), true)));
        assert_eq!(partition.policy(&id, 0).await, None, "before it was put");
        assert_eq!(partition.policy(&"child/others".parse().unwrap(), u64::MAX).await, None);
        assert_eq!(partition.policy(&"partners".parse().unwrap(), u64::MAX).await, None, "the network's");
        assert!(partition.register_policies("adult").await.is_empty());
    });
}

/// What was handed in together is in one payload: its transactions are executed one after another, each by itself, and all members have
/// the same root, as if each had been alone.
#[test]
fn transactions_of_one_payload_are_executed_one_after_another() {
    deterministic::Runner::default().start(|context| async move {
        let open = |label: &'static str| Partition::open(context.child(label), label, genesis().id(), "health", TIP);
        let (mut one, mut other) = (open("one").await, open("other").await);
        let of = |number: u8, operations| sign("a", Some("health"), number, operations);
        let (first, b) = (of(3, append("first")), sign("b", Some("health"), 9, create()));
        let clerk = sign_as(("a/clerk", &key("a/clerk")), Some("health"), 8, let_b_read());
        let all = [
            (of(1, append("early")), "register-unknown"),
            (of(2, create()), "ok"),
            (first.clone(), "ok"),
            // A key of somebody else, an intent for the second time, and what nobody may do here.
            (first, "intent-repeated"),
            (b, "payload-invalid"),
            (of(4, vec![Operation::OrganisationContact { contact: None }]), "not-private"),
            (sign("a", None, 5, append("public")), "payload-invalid"),
            (of(6, append("second")), "ok"),
            // Registrars write, and do not say who reads.
            (clerk, "not-permitted"),
            (of(7, read("c-1")), "ok"),
        ];
        let transactions: Vec<&VerifiedTransaction> = all.iter().map(|(transaction, _)| transaction).collect();
        let public = public();
        let rows = |keys: Vec<StateKey>| {
            let rows = keys.iter().map(|key| public.get(key).cloned().map(Bytes::from)).collect();
            std::future::ready(Ok::<_, Infallible>(rows))
        };
        let (evidence, tried) = one.evidence(&transactions, (5, TIME_MS), rows).await.unwrap();
        assert_eq!(tried.len(), all.len());
        let bytes = transactions.iter().map(|one| one.bytes().clone()).collect();
        let block = block(7, vec![together(bytes, evidence, 1)]);
        let (before, rehearsed) = (one.root(), one.rehearse(&block).await);
        assert_eq!((one.root(), one.position()), (before, Position::default()), "nothing comes of it");
        let (done, again) = (one.execute(&block).await, other.execute(&block).await);
        assert_eq!((one.root(), one.position()), (other.root(), other.position()));
        assert_eq!(done, again);
        for (number, (transaction, expected)) in (0..).zip(&all) {
            let of_it = &done[usize::try_from(number).unwrap()];
            assert_eq!((of_it.number, code(of_it)), (number, *expected));
            let place = usize::try_from(number).unwrap();
            assert_eq!(rehearsed[place], of_it.outcome, "a rehearsal tells what becomes of it");
            let is_permitted =
                |outcome: &Outcome| !matches!(outcome, Outcome::Refused(refusal) if refusal.code == Code::NotPermitted);
            let tried = tried[place].as_ref().is_none_or(is_permitted);
            assert_eq!(tried, is_permitted(&of_it.outcome), "and the look for evidence, whether policies permit it");
            // Each is found in its place.
            if let Some(row) = one.numbered(number).await {
                assert_eq!((row.transaction, u64::from(row.place)), (transaction.id(), number));
            }
        }
        assert_eq!(one.position().executed, all.len() as u64);
        assert_eq!(one.record("child", "c-1").await.unwrap().leaf, 7);
        assert_eq!(one.register("child").await.unwrap().records, 1);
    });
}

#[test]
fn who_read_and_corrected_much_at_once_is_found_too() {
    deterministic::Runner::default().start(|context| async move {
        let mut partition = Partition::open(context.child("one"), "one", genesis().id(), "health", 0).await;
        let many = |operation: Vec<Operation>| operation.into_iter().cycle().take(OPERATIONS_MAX).collect::<Vec<_>>();
        let corrections: Vec<Operation> =
            (1..=OPERATIONS_MAX as u64).flat_map(|number| correct(number, &format!("note {number}"))).collect();
        let rows = [create(), append("first"), many(read("c-1")), corrections];
        for (operations, number) in rows.into_iter().zip(0u8..) {
            let transaction = sign("a", Some("health"), number + 1, operations);
            let evidence = evidence(&partition, &transaction).await;
            let placed = placed(transaction.bytes().clone(), evidence, number.into());
            let done = partition.execute(&block(7 + u64::from(number), vec![placed])).await;
            assert_eq!(code(&done[0]), "ok", "{number}");
        }
        let reads = partition.numbered(2).await.unwrap().told.unwrap();
        assert_eq!((reads.reads.len(), reads.corrects), (OPERATIONS_MAX, false));
        let row = partition.numbered(3).await.unwrap();
        let corrected = row.told.clone().unwrap();
        assert_eq!((corrected.reads.len(), corrected.corrects), (0, true));
        assert!([&reads, &corrected].into_iter().all(|told| told.outcome.is_accepted()) && row.may_append());
        assert_eq!(partition.correction("child", 200).await.unwrap().leaf, 3);
    });
}

/// What does not fit into one payload goes into the next; one that fits into none is told so.
#[test]
fn a_payload_takes_as_many_as_fit() {
    deterministic::Runner::default().start(|context| async move {
        let partition = Partition::open(context.child("one"), "one", genesis().id(), "health", TIP).await;
        let text = "x".repeat(2_000);
        let entry = |number: u8| NewEntry {
            key: format!("c-{number}"),
            items: vec![format!(r#"{{"child":"c-{number}","note":"{text}"}}"#)],
        };
        let long = || vec![Operation::EntryAppend { register: "child".into(), entries: (0..10).map(entry).collect() }];
        let all: Vec<VerifiedTransaction> = (0..9).map(|number| sign("a", Some("health"), number, long())).collect();
        let (public, mut rest) = (public(), all.iter().collect::<Vec<_>>());
        let rows = |keys: Vec<StateKey>| {
            let rows = keys.iter().map(|key| public.get(key).cloned().map(Bytes::from)).collect();
            std::future::ready(Ok::<_, Infallible>(rows))
        };
        let mut counts = Vec::new();
        while !rest.is_empty() {
            let (evidence, tried) = partition.evidence(&rest, (5, TIME_MS), rows).await.unwrap();
            let count = tried.len();
            let taken: Vec<Bytes> = rest.drain(..count).map(|one| one.bytes().clone()).collect();
            let placed = together(taken, evidence, 1);
            assert!(placed.ordered.class <= PARCEL_CLASS_MAX);
            counts.push(count);
        }
        assert_eq!(counts, [6, 3]);
    });
}

/// Another member's node wraps a transaction with evidence that does not suffice: its own organisation's order still counts.
#[test]
fn nobody_voids_the_transaction_of_another() {
    deterministic::Runner::default().start(|context| async move {
        let network = genesis().id();
        let mut partition = Partition::open(context.child("one"), "one", network, "health", TIP).await;
        let create = sign("a", Some("health"), 1, create());
        let good = evidence(&partition, &create).await;
        let mut little = good.clone();
        little.rows.remove(&StateKey::principal(create.principal())).unwrap();
        let by_another = Placed { orderer: "b".into(), ..placed(create.bytes().clone(), little, 1) };
        let done = partition.execute(&block(7, vec![by_another])).await;
        // Nobody who waits for the transaction is told that this is what became of it.
        assert_eq!((code(&done[0]), done[0].transaction), ("payload-invalid", None));
        assert_eq!(partition.act(&create.replay_tag()).await, None);
        let done = partition.execute(&block(8, vec![placed(create.bytes().clone(), good, 2)])).await;
        assert_eq!((code(&done[0]), done[0].number), ("ok", 1));
    });
}

fn parcel(n: u8) -> (OrderedParcel, Bytes) {
    let evidence = Evidence { height: 1, rows: BTreeMap::new() };
    let payload = Payload::new(vec![vec![n; 10].into()], evidence, &mut StdRng::seed_from_u64(n.into())).unwrap();
    let ordered = payload.ordered(&genesis().id(), "health").unwrap();
    let secret = ParcelSecret::from_bytes(&Zeroizing::new([9; 32])).unwrap();
    let to = secret.public().unwrap();
    (ordered, payload.seal(&genesis().id(), "health", &to, &mut StdRng::seed_from_u64(1)).unwrap())
}

/// Sent by the first of two members, at this time.
const fn by_a(since_ms: u64) -> Kept<'static> {
    Kept::Waiting { since_ms, sender: "a", members: 2 }
}

const BY_A: Kept<'_> = by_a(1_000);

/// So many of the longest parcels: what is in them is not looked at.
fn long(count: u32, seed: u32) -> Vec<(OrderedParcel, Bytes)> {
    let class = PARCEL_CLASS_MAX;
    let bytes = Bytes::from(vec![0; parcel_bytes(class)]);
    let id = |n: u32| ParcelId(Hash::of(&[&seed.to_be_bytes(), &n.to_be_bytes()]).0);
    (0..count).map(|n| (OrderedParcel { id: id(n), class }, bytes.clone())).collect()
}

/// Who sends more than its share is not heard; the others are, and what is ordered is kept whatever waits.
#[test]
fn no_member_takes_the_room_of_another() {
    deterministic::Runner::default().start(|context| async move {
        let mut store = ParcelStore::open(context.child("one"), "one", "health", 1_000).await.unwrap();
        let half = u32::try_from(PARCELS_WAITING_BYTES_MAX / 2 / parcel_bytes(PARCEL_CLASS_MAX)).unwrap();
        store.put(&long(half, 1), BY_A).await.unwrap();
        assert!(matches!(store.put(&long(1, 2), BY_A).await, Err(StoreError::Full)));
        // Nor does a restart make room for it.
        drop(store);
        let mut store = ParcelStore::open(context.child("again"), "one", "health", 1_000).await.unwrap();
        assert!(matches!(store.put(&long(1, 2), BY_A).await, Err(StoreError::Full)));
        for seed in 3..6 {
            store.put(&long(half, seed), Kept::Ordered).await.unwrap();
        }
        let by_b = Kept::Waiting { since_ms: 1_000, sender: "b", members: 2 };
        store.put(&long(half, 6), by_b).await.unwrap();
        assert!(matches!(store.put(&long(1, 7), by_b).await, Err(StoreError::Full)));
        // One that joins while the others have all of the room waits too: there is no more than that.
        let by_c = Kept::Waiting { since_ms: 1_000, sender: "c", members: 3 };
        assert!(matches!(store.put(&long(2, 8), by_c).await, Err(StoreError::Full)));
    });
}

/// What was kept under a key that the node has no more gives way to what it asked for again.
#[test]
fn what_cannot_be_read_any_more_is_replaced() {
    deterministic::Runner::default().start(|context| async move {
        let mut store = ParcelStore::open(context.child("one"), "one", "health", 1_000).await.unwrap();
        let (one, mut again) = (parcel(1), parcel(1));
        again.1 = Bytes::from(vec![7; again.1.len()]);
        store.put(&[one.clone(), parcel(2)], BY_A).await.unwrap();
        store.put(std::slice::from_ref(&again), by_a(2_000)).await.unwrap();
        assert_eq!(store.get(&one.0.id).await.unwrap(), Some(one.clone()));
        store.put(std::slice::from_ref(&again), Kept::Ordered).await.unwrap();
        assert_eq!(store.get(&one.0.id).await.unwrap(), Some(again));
    });
}

/// Also after a restart, in whichever order the files are found; and what was replaced, all of it, takes no room any more.
#[test]
fn what_was_replaced_does_not_come_back() {
    deterministic::Runner::default().start(|context| async move {
        for n in 0..8 {
            let name = format!("node-{n}");
            let open = |label: &'static str| ParcelStore::open(context.child(label), &name, "health", 1_000);
            let mut store = open("one").await.unwrap();
            let (one, other) = (parcel(2 * n), parcel(2 * n + 1));
            let again = [&one, &other].map(|(ordered, bytes)| (*ordered, Bytes::from(vec![7; bytes.len()])));
            store.put(&[one.clone(), other.clone()], BY_A).await.unwrap();
            store.put(&again[..1], Kept::Ordered).await.unwrap();
            drop(store);
            let mut store = open("again").await.unwrap();
            assert_eq!(store.get(&one.0.id).await.unwrap().as_ref(), Some(&again[0]), "{n}");
            assert_eq!(store.get(&other.0.id).await.unwrap().as_ref(), Some(&other), "{n}");
            let folder = format!("{name}-parcels-health");
            let files = || commonware_runtime::Storage::scan(&context, &folder);
            assert_eq!(files().await.unwrap().len(), 2, "{n}");
            store.put(&again[1..], Kept::Ordered).await.unwrap();
            assert_eq!(files().await.unwrap().len(), 2, "{n}");
            drop(store);
            let store = open("once_more").await.unwrap();
            for one in &again {
                assert_eq!(store.get(&one.0.id).await.unwrap().as_ref(), Some(one), "{n}");
            }
        }
    });
}

/// The disk does not take the word that something is ordered: it is not ordered here until it does, and then it is for good.
#[test]
fn what_could_not_be_marked_as_ordered_is_not_until_it_is_and_stays_then() {
    deterministic::Runner::default().start(|context| async move {
        let mut store = ParcelStore::open(context.child("one"), "one", "health", 0).await.unwrap();
        let all = [1, 2, 3].map(parcel);
        for one in &all {
            store.put(std::slice::from_ref(one), BY_A).await.unwrap();
        }
        let ids = || all.iter().map(|one| one.0.id);
        let count = |store: &ParcelStore<_>| ids().filter(|id| store.is_ordered(id)).count();
        *context.storage_fault_config().write() = FaultConfig::default().sync(probability!(1.0));
        assert!(store.ordered(ids()).await.is_err());
        assert_eq!(count(&store), 0);
        *context.storage_fault_config().write() = FaultConfig::default();
        store.ordered(ids()).await.unwrap();
        assert_eq!(count(&store), 3);
        drop(store);
        let mut store = ParcelStore::open(context.child("again"), "one", "health", 0).await.unwrap();
        store.expire(3_000 + tallystick_protocol::limits::PARCEL_WAIT_MS_MAX).await.unwrap();
        assert_eq!(count(&store), 3);
    });
}

/// One that cannot be marked keeps none of the others from it: each is the only one in some run.
#[test]
fn what_could_be_marked_as_ordered_stays_though_another_could_not() {
    let alone = (0..40).filter_map(|seed| {
        let config = deterministic::Config::default().with_seed(seed);
        deterministic::Runner::new(config).start(|context| async move {
            let mut store = ParcelStore::open(context.child("one"), "one", "health", 0).await.unwrap();
            let all = [1, 2, 3].map(parcel);
            for one in &all {
                store.put(std::slice::from_ref(one), BY_A).await.unwrap();
            }
            *context.storage_fault_config().write() = FaultConfig::default().open(probability!(0.4));
            let _ = store.ordered(all.iter().map(|one| one.0.id)).await;
            *context.storage_fault_config().write() = FaultConfig::default();
            let (marked, rest): (Vec<ParcelId>, Vec<_>) =
                all.iter().map(|one| one.0.id).partition(|id| store.is_ordered(id));
            store.expire(3_000 + tallystick_protocol::limits::PARCEL_WAIT_MS_MAX).await.unwrap();
            assert!(marked.iter().all(|id| store.has(id)) && !rest.iter().any(|id| store.has(id)), "seed {seed}");
            if let [one] = rest.as_slice() { Some(*one) } else { None }
        })
    });
    assert_eq!(alone.collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn what_was_acknowledged_is_there_and_what_nobody_orders_goes() {
    deterministic::Runner::default().start(|context| async move {
        let open = |label: &'static str, now_ms| ParcelStore::open(context.child(label), "one", "health", now_ms);
        let mut store = open("first", 0).await.unwrap();
        let (first, second, third) = (parcel(1), parcel(2), parcel(3));
        store.put(&[first.clone(), second.clone(), first.clone()], BY_A).await.unwrap();
        drop(store);
        let mut store = open("second", 1_500).await.unwrap();
        for one in [&first, &second] {
            assert_eq!(store.get(&one.0.id).await.unwrap().as_ref(), Some(one));
        }
        assert_eq!(store.get(&ParcelId([0; 32])).await.unwrap(), None);
        for spoilt in [
            vec![],
            vec![(first.0, Bytes::from(vec![1; 10]))],
            vec![(OrderedParcel { class: 99, ..first.0 }, first.1.clone())],
        ] {
            assert!(matches!(store.put(&spoilt, BY_A).await, Err(StoreError::Form)));
        }
        // One that is ordered stays; one that waits too long does not.
        store.put(std::slice::from_ref(&third), by_a(2_000)).await.unwrap();
        let fourth = parcel(4);
        store.put(std::slice::from_ref(&fourth), by_a(2_000)).await.unwrap();
        store.ordered([fourth.0.id]).await.unwrap();
        let much_later = 3_000 + tallystick_protocol::limits::PARCEL_WAIT_MS_MAX;
        // However late it is: as long as not everything before is executed, any of them may be ordered still.
        store.put(&[parcel(5)], by_a(much_later)).await.unwrap();
        store.expire(2_000).await.unwrap();
        assert!(store.has(&third.0.id) && store.has(&fourth.0.id) && store.has(&first.0.id));
        store.expire(much_later).await.unwrap();
        // Those that waited before the restart have waited too long, too.
        assert!(!store.has(&third.0.id) && store.has(&fourth.0.id) && !store.has(&first.0.id));
        assert!(store.has(&parcel(5).0.id));
        // A file that is not whole was never acknowledged.
        let (blob, _) = commonware_runtime::Storage::open(&context, "one-parcels-health", &[7; 32]).await.unwrap();
        commonware_runtime::Blob::write_at(&blob, 0, vec![0, 0, 0, 0, 1, 5], commonware_runtime::WriteOptions::SYNC)
            .await
            .unwrap();
        drop(blob);
        drop(store);
        let mut store = open("third", much_later).await.unwrap();
        assert!(store.has(&fourth.0.id) && !store.has(&third.0.id));
        // What is ordered stays, also after a restart; what is not waits from that on.
        let fifth = parcel(5).0.id;
        store.expire(2 * much_later).await.unwrap();
        assert!(store.has(&fourth.0.id) && !store.has(&fifth));
        let names = commonware_runtime::Storage::scan(&context, "one-parcels-health").await.unwrap();
        assert!(!names.contains(&vec![7; 32]));
    });
}
