#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]
//! The index against an oracle that keeps everything and searches it.

mod acts;

use super::*;
use std::collections::BTreeSet;
use tallystick_ledger::entry_leaf::entry_leaf;
use tallystick_protocol::{
    Code, Cosigner, Decision, Frontier, ImportedEntry, Intent, MandateId, NetworkId, NewEntry, PrincipalId, PublicKey,
    Refusal, RuleText, merkle,
};

/// What the oracle knows of one entry.
#[derive(Clone)]
struct Known {
    entry: Entry,
    position: Position,
}

#[derive(Default)]
struct Oracle {
    log: Vec<LogEntry>,
    ids: Vec<Hash>,
    tags: Vec<([u8; 16], u64)>,
    registers: BTreeMap<String, Vec<Known>>,
}

impl Oracle {
    fn of_kind(&self, register: &str, kind: EntryKind) -> Vec<&Known> {
        self.registers[register].iter().filter(|known| known.entry.kind == kind).collect()
    }

    /// The last leaf with the tag, unless it is void.
    fn replayed(&self, tag: &[u8; 16], seconds: u64) -> Option<u64> {
        let leaf = self.tags.iter().rposition(|(other, _)| other == tag)?;
        (self.tags[leaf].1 >= seconds).then_some(leaf as u64)
    }

    fn add(&mut self, operations: &[Operation], intent: &Intent, entry: LogEntry) {
        let leaf = self.log.len() as u64;
        self.ids.push(Hash::of(&[&entry.transaction]));
        let tag = Hash::of(&[intent.principal.as_str().as_bytes(), &[0], &intent.idempotency_key]);
        self.tags.push((tag.0[..16].try_into().unwrap(), intent.not_after));
        if entry.outcome.is_accepted() {
            for (index, operation) in operations.iter().enumerate() {
                let (register, entries) = match operation {
                    Operation::RegisterCreate { register, .. } => (register, Vec::new()),
                    Operation::EntryAppend { register, entries } => {
                        let timed =
                            |e: &NewEntry| (EntryKind::User, e.key.clone(), entry.time_ms / 1000, e.items.clone());
                        (register, entries.iter().map(timed).collect())
                    }
                    Operation::RegisterImport { register, entries, .. } => {
                        let timed = |e: &ImportedEntry| (e.kind, e.key.clone(), e.timestamp, e.items.clone());
                        (register, entries.iter().map(timed).collect())
                    }
                    _ => continue,
                };
                let known = self.registers.entry(register.clone()).or_default();
                for (slot, (kind, key, timestamp, items)) in entries.into_iter().enumerate() {
                    let number = known.iter().filter(|known| known.entry.kind == kind).count() as u64 + 1;
                    let items = items.into_iter().map(|item| (Hash::of(&[item.as_bytes()]), item)).collect();
                    let position = Position { leaf, operation: index as u16, slot: slot as u16 };
                    known.push(Known { entry: Entry { number, kind, key, timestamp, items, leaf }, position });
                }
            }
        }
        self.log.push(entry);
    }
}

/// Builds a random log together with what is true of it.
struct Script {
    state: u64,
    height: u64,
    time_ms: u64,
    oracle: Oracle,
}

impl Script {
    fn new(seed: u64) -> Self {
        Self { state: seed * 2 + 1, height: 1, time_ms: 1_700_000_000_000, oracle: Oracle::default() }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % below
    }

    fn operation(&mut self, created: &BTreeSet<String>) -> Operation {
        let register = format!("register-{}", self.random(4));
        let item = |of: u64| format!(r#"{{"name":"{of}"}}"#);
        match self.random(8) {
            _ if !created.contains(&register) => {
                Operation::RegisterCreate { register, text: "Text".to_owned(), fields: Vec::new() }
            }
            0 => {
                let entry = |script: &mut Self| ImportedEntry {
                    kind: if script.random(3) == 0 { EntryKind::System } else { EntryKind::User },
                    key: format!("key-{}", script.random(12)),
                    timestamp: 1_400_000_000 + script.random(1000),
                    items: (0..=script.random(3)).map(|_| item(script.random(60))).collect(),
                };
                let entries = (0..self.random(6)).map(|_| entry(self)).collect::<Vec<_>>();
                let entries = if entries.is_empty() { vec![entry(self)] } else { entries };
                Operation::RegisterImport { register, user_first: 1, system_first: 1, entries, root: Hash([0; 32]) }
            }
            _ => {
                let entry = |script: &mut Self| NewEntry {
                    key: format!("key-{}", script.random(40)),
                    items: (0..=script.random(2)).map(|_| item(script.random(60))).collect(),
                };
                let entries = (0..=self.random(3)).map(|_| entry(self)).collect();
                Operation::EntryAppend { register, entries }
            }
        }
    }

    /// The numbers that the ledger would give.
    fn appended(&self, operations: &[Operation]) -> Vec<Appended> {
        let mut next: BTreeMap<(String, EntryKind), u64> = BTreeMap::new();
        let mut appended = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let kinds: Vec<EntryKind> = match operation {
                Operation::EntryAppend { entries, .. } => entries.iter().map(|_| EntryKind::User).collect(),
                Operation::RegisterImport { entries, .. } => entries.iter().map(|entry| entry.kind).collect(),
                _ => continue,
            };
            let register = operation.register().unwrap();
            for kind in [EntryKind::User, EntryKind::System] {
                let count = kinds.iter().filter(|other| **other == kind).count() as u64;
                let before = self
                    .oracle
                    .registers
                    .get(register)
                    .map_or(0, |known| known.iter().filter(|known| known.entry.kind == kind).count() as u64);
                let first = next.entry((register.to_owned(), kind)).or_insert(before + 1);
                if count > 0 {
                    let (operation, register) = (index as u32, register.to_owned());
                    appended.push(Appended { operation, register, kind, first: *first, count });
                }
                *first += count;
            }
        }
        appended
    }

    /// Under which mandates something is done, and who co-signs it; mostly under none and by nobody.
    fn company(&mut self) -> (Vec<MandateId>, Vec<Cosigner>) {
        let mut mandates = Vec::new();
        let mut cosigners = Vec::new();
        for depth in 0..self.random(7).saturating_sub(4) {
            mandates.push(format!("org-{}/chief-{depth}/mandate-{}", self.random(4), self.random(2)).parse().unwrap());
        }
        if self.random(4) == 0 {
            let principal = format!("org-{}/witness", self.random(4)).parse().unwrap();
            cosigners.push(Cosigner { principal, key: PublicKey::Ed25519(*b"fedcba9876543210fedcba9876543210") });
        }
        (mandates, cosigners)
    }

    /// The next log entry.
    fn step(&mut self) -> LogEntry {
        if self.random(3) == 0 {
            self.height += 1 + self.random(3);
            self.time_ms += 1 + self.random(40_000);
        }
        let mut created: BTreeSet<String> = self.oracle.registers.keys().cloned().collect();
        let mut operations = Vec::new();
        for _ in 0..=self.random(3) {
            let operation = self.operation(&created);
            created.insert(operation.register().unwrap().to_owned());
            operations.push(operation);
        }
        let seconds = self.time_ms / 1000;
        let mut idempotency_key = self.random(u64::MAX).to_be_bytes().to_vec();
        let organisation = format!("org-{}", self.random(3));
        let mut principal = PrincipalId::new(&organisation, &format!("clerk-{}", self.random(2))).unwrap();
        // Now and then an intent is repeated after its end.
        let void = self.oracle.tags.iter().position(|(tag, _)| self.oracle.replayed(tag, seconds).is_none());
        if let (Some(void), 0) = (void, self.random(4)) {
            let old = SignedTransaction::decode(self.oracle.log[void].transaction.clone()).unwrap();
            (idempotency_key, principal) = (old.idempotency_key().to_vec(), old.principal().clone());
        }
        let key = PublicKey::Ed25519(*b"0123456789abcdef0123456789abcdef");
        let (mandates, cosigners) = self.company();
        let intent = Intent {
            not_after: seconds + self.random(90),
            idempotency_key,
            mandate: mandates.first().cloned(),
            cosigners,
            ..Intent::new(NetworkId([7; 16]), principal, "test", operations)
        };
        let begun = intent.begin_with(&key, &[0; 64]).unwrap();
        let signed = intent.cosigners.iter().try_fold(begun, |begun, each| begun.with_cosignature(&each.key, &[0; 64]));
        let transaction = signed.unwrap().complete().unwrap();
        let policies = ["custodian-writes", "administrators-manage"].map(|id| id.parse().unwrap());
        let determining = policies.into_iter().take(self.random(3) as usize).collect();
        let decision = Decision { determining, mandates, ..Decision::default() };
        let refused =
            |code, decision| Outcome::Refused(Refusal { code, operation: 0, violations: Vec::new(), decision });
        let outcome = match self.random(12) {
            0 => refused(Code::NotPermitted, decision),
            1 => refused(Code::Schema, decision),
            // Before the mandates were walked.
            2 => Outcome::refused(Code::KeyUnknown, 0),
            _ => Outcome::Accepted { appended: self.appended(&intent.operations), decision },
        };
        let (height, time_ms) = (self.height, self.time_ms);
        let entry = LogEntry { transaction: transaction.bytes().clone(), height, time_ms, outcome };
        self.oracle.add(&intent.operations, &intent, entry.clone());
        entry
    }
}

fn check_log(history: &History, oracle: &Oracle) {
    let leaves: Vec<Hash> = oracle.log.iter().map(|entry| entry.leaf().hash()).collect();
    assert_eq!(history.size(), leaves.len() as u64);
    assert_eq!(history.log().root(), root(&leaves));
    for (index, id) in oracle.ids.iter().enumerate() {
        let (index, height) = (index as u64, oracle.log[index].height);
        assert_eq!(history.index_of(id), Some(index));
        assert_eq!(history.height(index), Some(height));
        assert_eq!(history.location(index), Some(index + height));
    }
    assert_eq!(history.index_of(&Hash([9; 32])), None);
    assert_eq!(history.location(leaves.len() as u64), None);
    let seconds = oracle.log.last().map_or(0, |entry| entry.time_ms / 1000);
    for (tag, _) in &oracle.tags {
        assert_eq!(history.replayed(tag), oracle.replayed(tag, seconds));
        for later in [0, 1, 45, 100] {
            let time_ms = (seconds + later) * 1000;
            assert_eq!(history.replayed_at(tag, time_ms), oracle.replayed(tag, seconds + later));
        }
    }
    assert_eq!(history.replayed(&[1; 16]), None);
}

fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

fn check_register(history: &History, oracle: &Oracle, name: &str) {
    let register = history.register(name).unwrap();
    for kind in [EntryKind::User, EntryKind::System] {
        let known = oracle.of_kind(name, kind);
        assert_eq!(register.count(kind), known.len() as u64);
        for known in &known {
            let position = register.position(kind, known.entry.number).unwrap();
            assert_eq!(position, known.position);
            let read = entry_at(&oracle.log[position.leaf as usize], &position, known.entry.number).unwrap();
            assert_eq!(read, known.entry);
        }
        assert_eq!(register.position(kind, 0), None);
        assert_eq!(register.position(kind, known.len() as u64 + 1), None);
        let keys: BTreeSet<&str> = known.iter().map(|known| known.entry.key.as_str()).collect();
        assert_eq!(register.records(kind), keys.len() as u64);
        let numbers = |key: &str| {
            let of_key = known.iter().filter(|known| known.entry.key == key);
            of_key.map(|known| known.entry.number).collect::<Vec<_>>()
        };
        for key in &keys {
            let all = numbers(key);
            for (skip, limit) in [(0, usize::MAX), (0, 1), (1, 2), (2, 1), (all.len(), 3), (all.len() + 1, 3)] {
                let page: Vec<u64> = all.iter().copied().skip(skip).take(limit).collect();
                assert_eq!(register.page_of(kind, key, skip, limit), (all.len(), page), "{key} {skip} {limit}");
            }
            assert_eq!(register.record(kind, key), numbers(key).last().copied());
        }
        assert_eq!((register.record(kind, "none"), register.page_of(kind, "none", 0, 9)), (None, (0, Vec::new())));
        let mut current: Vec<u64> = keys.iter().map(|key| *numbers(key).last().unwrap()).collect();
        current.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(register.current(kind).collect::<Vec<_>>(), current);
    }
    let leaves: Vec<Hash> = oracle.of_kind(name, EntryKind::User).iter().map(|known| leaf(&known.entry)).collect();
    assert_eq!(register.tree().root(), root(&leaves));
    check_items(register, &oracle.registers[name]);
}

fn leaf(entry: &Entry) -> Hash {
    let items: Vec<Hash> = entry.items.iter().map(|(hash, _)| *hash).collect();
    merkle::leaf_hash(&entry_leaf(entry.number, entry.timestamp, &entry.key, &items))
}

fn check_items(register: &RegisterHistory, known: &[Known]) {
    let mut first: BTreeMap<Hash, u64> = BTreeMap::new();
    for known in known {
        for (hash, _) in &known.entry.items {
            first.entry(*hash).or_insert(known.entry.leaf);
        }
    }
    for (hash, leaf) in &first {
        let found = register.item(hash).unwrap();
        let mut of_number = known.iter().filter(|k| (k.entry.kind, k.entry.number) == (found.kind, found.number));
        let held = of_number.next().unwrap();
        assert_eq!((held.position, held.entry.leaf), (found.position, *leaf));
        assert_eq!(held.entry.items[found.item].0, *hash);
    }
    assert_eq!(register.items(), first.len() as u64);
    assert_eq!(register.item(&Hash([3; 32])), None);
}

#[test]
fn it_answers_as_a_search_through_the_whole_log_does() {
    for seed in 0..20 {
        let (mut history, mut script) = (History::new(), Script::new(seed));
        for step in 0..150 {
            let entry = script.step();
            history.push(&entry).unwrap();
            history.forget_before(entry.time_ms);
            if step % 30 == 29 {
                check_log(&history, &script.oracle);
                for name in script.oracle.registers.keys() {
                    check_register(&history, &script.oracle, name);
                }
            }
        }
        let names: Vec<&str> = history.registers().map(|(name, _)| name).collect();
        assert_eq!(names, script.oracle.registers.keys().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn a_rebuilt_index_is_the_index() {
    let (mut fed, mut script) = (History::new(), Script::new(77));
    for _ in 0..300 {
        let entry = script.step();
        fed.push(&entry).unwrap();
        fed.forget_before(entry.time_ms);
    }
    let mut rebuilt = History::new();
    for entry in &script.oracle.log {
        // What is stored is what is indexed.
        rebuilt.push(&LogEntry::decode(&entry.to_bytes()).unwrap()).unwrap();
    }
    rebuilt.forget_before(script.time_ms);
    for history in [&fed, &rebuilt] {
        check_log(history, &script.oracle);
    }
    assert_eq!(fed.log(), rebuilt.log());
    for (name, register) in fed.registers() {
        assert_eq!(Some(register.tree()), rebuilt.register(name).map(RegisterHistory::tree));
    }
}

#[test]
fn a_log_that_cannot_be_is_refused() {
    let mut script = Script::new(5);
    let entries: Vec<LogEntry> = std::iter::repeat_with(|| script.step()).take(40).collect();
    let accepted = entries
        .iter()
        .position(|entry| matches!(&entry.outcome, Outcome::Accepted { appended, .. } if !appended.is_empty()));
    let at = accepted.unwrap();
    let history = || {
        let mut history = History::new();
        entries[..at].iter().for_each(|entry| history.push(entry).unwrap());
        history
    };
    let changed = |change: &dyn Fn(&mut Appended)| {
        let mut entry = entries[at].clone();
        let Outcome::Accepted { appended, .. } = &mut entry.outcome else { panic!("accepted") };
        change(&mut appended[0]);
        history().push(&entry).unwrap_err()
    };
    assert!(matches!(changed(&|range| range.first += 1), Error::Number { .. }));
    assert!(matches!(changed(&|range| range.count += 1), Error::Absent { .. }));
    assert!(matches!(changed(&|range| range.operation = 99), Error::Absent { .. }));
    assert!(matches!(changed(&|range| range.register = "nowhere".to_owned()), Error::Register(_)));

    let mut twice = history();
    twice.push(&entries[at]).unwrap();
    assert!(matches!(twice.push(&entries[at]), Err(Error::Duplicate { leaf, .. }) if leaf == at as u64));
    let mut cut = entries[at].clone();
    cut.transaction = cut.transaction.slice(1..);
    assert!(matches!(history().push(&cut), Err(Error::Transaction(_))));
    let mut back = script.step();
    back.height = 0;
    assert!(matches!(twice.push(&back), Err(Error::Height { .. })));
}

#[test]
fn an_entry_that_is_not_there_is_not_found() {
    let mut script = Script::new(9);
    let entry = script.step();
    for (operation, slot) in [(0, 900), (900, 0)] {
        let position = Position { leaf: 0, operation, slot };
        assert!(matches!(entry_at(&entry, &position, 1), Err(Error::Absent { .. })));
    }
}

/// No transaction says when a proposal took effect: its register is found from the proposal on.
#[test]
fn a_register_made_by_proposal_is_found() {
    let create = Change::RegisterCreate {
        register: "country".to_owned(),
        custodian: "org".to_owned(),
        text: "Text".to_owned(),
        fields: Vec::new(),
    };
    let submit = Operation::ProposalSubmit {
        proposal: "countries".to_owned(),
        title: "Countries".to_owned(),
        text: RuleText::Whole("There is a register of countries.".to_owned()),
        changes: vec![create],
        effect_height: None,
    };
    let (appended, mut proposed) = (append_one(1), append_one(0));
    let intent = Intent {
        not_after: 1_700_000_030,
        idempotency_key: b"proposed".to_vec(),
        ..Intent::new(NetworkId([7; 16]), PrincipalId::new("org", "clerk").unwrap(), "test", vec![submit])
    };
    let key = PublicKey::Ed25519(*b"0123456789abcdef0123456789abcdef");
    proposed.transaction = intent.with_signature(&key, &[0; 64]).unwrap().bytes().clone();

    let mut history = History::new();
    assert!(matches!(history.push(&appended), Err(Error::Register(_))));
    let mut history = History::new();
    history.push(&proposed).unwrap();
    history.push(&appended).unwrap();
    assert_eq!(history.register("country").unwrap().records(EntryKind::User), 1);
}

/// A log entry that appends one item of some 200 bytes under a key of its own.
fn append_one(index: u64) -> LogEntry {
    let register = "country".to_owned();
    let operation = if index == 0 {
        Operation::RegisterCreate { register: register.clone(), text: "Text".to_owned(), fields: Vec::new() }
    } else {
        let items = vec![format!(r#"{{"country":"key-{index}","name":"{index:0150}"}}"#)];
        Operation::EntryAppend {
            register: register.clone(),
            entries: vec![NewEntry { key: format!("key-{index}"), items }],
        }
    };
    let appended = Appended { operation: 0, register, kind: EntryKind::User, first: index, count: 1 };
    let intent = Intent {
        not_after: 1_700_000_000 + index / 5000 + 30,
        idempotency_key: index.to_be_bytes().to_vec(),
        ..Intent::new(NetworkId([7; 16]), PrincipalId::new("org", "clerk").unwrap(), "test", vec![operation])
    };
    let key = PublicKey::Ed25519(*b"0123456789abcdef0123456789abcdef");
    LogEntry {
        transaction: intent.with_signature(&key, &[0; 64]).unwrap().bytes().clone(),
        height: 1 + index / 500,
        time_ms: (1_700_000_000 + index / 5000) * 1000,
        outcome: Outcome::Accepted {
            appended: if index == 0 { Vec::new() } else { vec![appended] },
            decision: Decision::default(),
        },
    }
}

/// `HISTORY_ENTRIES=1000000` measures what the design promises; the default is enough to notice a change.
#[test]
fn an_entry_costs_about_two_hundred_bytes() {
    let entries = std::env::var("HISTORY_ENTRIES").map_or(50_000, |count| count.parse().unwrap());
    let resident_bytes = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
        Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
    };
    let (mut history, before) = (History::new(), resident_bytes());
    let mut spent = std::time::Duration::ZERO;
    for index in 0..entries {
        let entry = append_one(index);
        let start = std::time::Instant::now();
        history.push(&entry).unwrap();
        spent += start.elapsed();
    }
    // The tags of the last seconds are no lasting cost.
    history.forget_before(u64::MAX);
    let bytes = history.memory_bytes() / entries as usize;
    let resident = before.zip(resident_bytes()).map(|(before, after)| (after - before) / entries as usize);
    let nanoseconds = spent.as_nanos() / u128::from(entries);
    println!("{entries} entries: {bytes} bytes each, resident {resident:?}, {nanoseconds} ns to add one");
    assert_eq!(history.register("country").unwrap().count(EntryKind::User), entries - 1);
    assert!(bytes <= 230, "{bytes} bytes an entry");
}
