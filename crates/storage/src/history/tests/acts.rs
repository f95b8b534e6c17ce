//! The index of acts against a search through the whole log that shares nothing with it but the form of a question.

use super::*;
use std::time::Instant;
use tallystick_protocol::operation::OperationName;

/// What can be asked of one act, as text.
struct Told {
    /// Who signed, who co-signed, and in whose name.
    parties: BTreeSet<String>,
    policies: Vec<String>,
    mandates: Vec<String>,
    /// Each operation's name and what it is about.
    operations: Vec<(&'static str, BTreeSet<String>)>,
    refused: Option<Code>,
    time_ms: u64,
}

impl Told {
    fn of(entry: &LogEntry) -> Self {
        let transaction = SignedTransaction::decode(entry.transaction.clone()).unwrap();
        let about = |register: &str, keys: Vec<&String>| {
            let records = keys.into_iter().map(|key| format!("record:{register}/{key}"));
            records.chain([format!("register:{register}")]).collect()
        };
        let operation = |operation: &Operation| match operation {
            Operation::RegisterCreate { register, .. } => ("register-create", about(register, Vec::new())),
            Operation::EntryAppend { register, entries } => {
                ("entry-append", about(register, entries.iter().map(|entry| &entry.key).collect()))
            }
            Operation::RegisterImport { register, entries, .. } => {
                let user = entries.iter().filter(|entry| entry.kind == EntryKind::User);
                ("register-import", about(register, user.map(|entry| &entry.key).collect()))
            }
            other => panic!("{other:?}"),
        };
        let intent = transaction.intent();
        let named: Vec<String> = intent.mandate.iter().map(ToString::to_string).collect();
        let held: Vec<String> = entry.outcome.decision().mandates.iter().map(ToString::to_string).collect();
        let mandates = if held.is_empty() { named } else { held };
        let grantors = mandates.iter().map(|mandate| mandate.rsplit_once('/').unwrap().0.to_owned());
        let cosigners = intent.cosigners.iter().map(|each| each.principal.to_string());
        Self {
            parties: grantors.chain(cosigners).chain([intent.principal.to_string()]).collect(),
            policies: entry.outcome.decision().determining.iter().map(ToString::to_string).collect(),
            mandates,
            operations: transaction.operations().iter().map(operation).collect(),
            refused: match &entry.outcome {
                Outcome::Refused(refusal) => Some(refusal.code),
                Outcome::Accepted { .. } => None,
            },
            time_ms: entry.time_ms,
        }
    }

    fn is_asked_for(&self, query: &ActQuery) -> bool {
        let does = |(name, about): &(&str, BTreeSet<String>)| {
            query.action.is_none_or(|action| action.as_str() == *name)
                && query.resources.iter().all(|resource| about.contains(&resource.to_string()))
        };
        let outcome = match query.outcome {
            None => true,
            Some(Outcomes::Accepted) => self.refused.is_none(),
            Some(Outcomes::Refused) => self.refused.is_some(),
            Some(Outcomes::RefusedFor(code)) => self.refused == Some(code),
        };
        outcome
            && query.principal.as_ref().is_none_or(|principal| self.parties.contains(principal.as_str()))
            && query.organisation.as_ref().is_none_or(|organisation| {
                self.parties.iter().any(|party| party.starts_with(&format!("{organisation}/")))
            })
            && query.policy.as_ref().is_none_or(|policy| self.policies.contains(&policy.to_string()))
            && query.mandate.as_ref().is_none_or(|mandate| self.mandates.contains(&mandate.to_string()))
            && query.from_ms.is_none_or(|from| self.time_ms >= from)
            && query.to_ms.is_none_or(|to| self.time_ms < to)
            && self.operations.iter().any(does)
    }
}

/// A question that the script's log may have an answer to.
fn question(script: &mut Script) -> ActQuery {
    let one_in = |script: &mut Script, of: u64| script.random(of) == 0;
    let mut query = ActQuery::default();
    if one_in(script, 3) {
        let name = ["clerk-0", "clerk-1", "chief-0", "chief-1", "witness"][script.random(5) as usize];
        query.principal = Some(format!("org-{}/{name}", script.random(4)).parse().unwrap());
    }
    if one_in(script, 3) {
        query.organisation = Some(format!("org-{}", script.random(4)));
    }
    if one_in(script, 3) {
        let actions = [OperationName::EntryAppend, OperationName::RegisterImport, OperationName::KeyRotate];
        query.action = Some(actions[script.random(3) as usize]);
    }
    if one_in(script, 6) {
        query.policy =
            Some(["custodian-writes", "administrators-manage", "none"][script.random(3) as usize].parse().unwrap());
    }
    if one_in(script, 6) {
        let (organisation, depth, name) = (script.random(4), script.random(2), script.random(2));
        query.mandate = Some(format!("org-{organisation}/chief-{depth}/mandate-{name}").parse().unwrap());
    }
    let register = script.random(5);
    if one_in(script, 4) {
        query.resources.push(format!("register:register-{register}").parse().unwrap());
    }
    if one_in(script, 4) {
        query.resources.push(format!("record:register-{register}/key-{}", script.random(14)).parse().unwrap());
    }
    query.outcome = match script.random(8) {
        0 => Some(Outcomes::Accepted),
        1 => Some(Outcomes::Refused),
        2 => Some(Outcomes::RefusedFor(Code::Schema)),
        _ => None,
    };
    let span_ms = script.time_ms - 1_700_000_000_000 + 2;
    query.from_ms = one_in(script, 4).then(|| 1_700_000_000_000 + script.random(span_ms));
    query.to_ms = one_in(script, 4).then(|| 1_700_000_000_000 + script.random(span_ms));
    query
}

/// All acts asked for, read page by page.
fn paged(history: &History, log: &[LogEntry], query: &ActQuery, limit: usize) -> Vec<u64> {
    let (mut found, mut before) = (Vec::new(), u64::MAX);
    loop {
        let page = history.acts(query, before, limit);
        assert!(page.len() <= limit && page.is_sorted_by(|one, other| one > other), "{page:?}");
        let Some(last) = page.last() else { return found };
        before = *last;
        found.extend(page.into_iter().filter(|leaf| {
            let entry = &log[*leaf as usize];
            query.matches(entry, &SignedTransaction::decode(entry.transaction.clone()).unwrap())
        }));
    }
}

#[test]
fn acts_are_found_as_a_search_through_the_whole_log_finds_them() {
    let (mut answers, mut rows) = (0, 0);
    for seed in 0..12 {
        let (mut history, mut script) = (History::new(), Script::new(seed));
        for _ in 0..200 {
            let entry = script.step();
            history.push(&entry).unwrap();
        }
        let log = script.oracle.log.clone();
        let told: Vec<Told> = log.iter().map(Told::of).collect();
        for _ in 0..150 {
            let query = question(&mut script);
            let newest_first = (0..told.len()).rev().filter(|leaf| told[*leaf].is_asked_for(&query));
            let expected: Vec<u64> = newest_first.map(|leaf| leaf as u64).collect();
            let limit = 1 + script.random(40) as usize;
            assert_eq!(paged(&history, &log, &query, limit), expected, "seed {seed}: {query:?}");
            answers += usize::from(!expected.is_empty());
            rows += expected.len();
        }
    }
    assert!(answers > 500 && rows > 5_000, "{answers} questions had an answer, {rows} rows in all");
}

#[test]
fn a_page_begins_where_the_one_before_ended_whatever_came_meanwhile() {
    let (mut history, mut script) = (History::new(), Script::new(3));
    let mut grow = |history: &mut History| (0..100).for_each(|_| history.push(&script.step()).unwrap());
    grow(&mut history);
    let query = ActQuery { organisation: Some("org-1".to_owned()), ..ActQuery::default() };
    let whole = history.acts(&query, u64::MAX, 1_000);
    let first = history.acts(&query, u64::MAX, 5);
    grow(&mut history);
    let rest = history.acts(&query, first[4], 1_000);
    assert_eq!([first, rest].concat(), whole);
}

/// One act of a network of 16 organisations with 8 principals each and 64 registers; one in ten is refused.
fn act(index: u64) -> LogEntry {
    let mixed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let (organisation, clerk, register) = (mixed % 16, mixed / 16 % 8, mixed / 128 % 64);
    let key = format!("key-{}", mixed / 8192 % 1_000_000);
    let entries = vec![NewEntry { key, items: vec![format!(r#"{{"name":"{index}"}}"#)] }];
    let principal = PrincipalId::new(&format!("organisation-{organisation}"), &format!("clerk-{clerk}")).unwrap();
    let append = Operation::EntryAppend { register: format!("register-{register}"), entries };
    let intent = Intent {
        not_after: 1_700_000_000 + index / 5000 + 30,
        idempotency_key: index.to_be_bytes().to_vec(),
        ..Intent::new(NetworkId([7; 16]), principal, "test", vec![append])
    };
    let key = PublicKey::Ed25519(*b"0123456789abcdef0123456789abcdef");
    LogEntry {
        transaction: intent.with_signature(&key, &[0; 64]).unwrap().bytes().clone(),
        height: 1 + index / 500,
        time_ms: 1_700_000_000_000 + index / 500 * 100,
        outcome: match index % 10 {
            0 => Outcome::refused(Code::Schema, 0),
            _ => {
                let determining = vec!["custodian-writes".parse().unwrap()];
                Outcome::Accepted { appended: Vec::new(), decision: Decision { determining, ..Decision::default() } }
            }
        },
    }
}

/// `HISTORY_ENTRIES=1000000` measures what docs/reference/performance.md says; the default is enough to notice a change.
#[test]
fn an_act_costs_few_bytes_and_is_found_at_once() {
    let entries = std::env::var("HISTORY_ENTRIES").map_or(50_000, |count| count.parse().unwrap());
    let (mut acts, hasher) = (acts::Acts::default(), RandomState::new());
    let (mut history, mut spent) = (History::new(), std::time::Duration::ZERO);
    for index in 0..entries {
        let entry = act(index);
        let transaction = SignedTransaction::decode(entry.transaction.clone()).unwrap();
        let start = Instant::now();
        assert!(acts.push(&hasher, index as u32, &entry, &transaction));
        spent += start.elapsed();
        history.push_decoded(&entry, &transaction).unwrap();
    }
    let bytes = history.acts_memory_bytes() as u64;
    assert_eq!(acts.memory_bytes() as u64, bytes);
    let nanoseconds = spent.as_nanos() / u128::from(entries);
    println!("{entries} acts: {:.1} bytes and {nanoseconds} ns each", bytes as f64 / entries as f64);
    let asked = [
        ActQuery::default(),
        ActQuery { principal: Some("organisation-3/clerk-5".parse().unwrap()), ..ActQuery::default() },
        ActQuery {
            organisation: Some("organisation-3".to_owned()),
            outcome: Some(Outcomes::Refused),
            ..ActQuery::default()
        },
        ActQuery {
            resources: vec!["register:register-7".parse().unwrap()],
            action: Some(OperationName::EntryAppend),
            ..ActQuery::default()
        },
        ActQuery {
            principal: Some("organisation-3/clerk-5".parse().unwrap()),
            organisation: Some("organisation-4".to_owned()),
            ..ActQuery::default()
        },
    ];
    for query in &asked {
        let mut times: Vec<_> = (0..101)
            .map(|_| {
                let start = Instant::now();
                let found = history.acts(query, u64::MAX, 100);
                (start.elapsed(), found.len())
            })
            .collect();
        times.sort_unstable();
        println!("  {:?} at p50, {} found: {query:?}", times[50].0, times[50].1);
    }
    assert!(bytes <= 25 * entries, "{bytes} bytes for {entries} acts");
}
