//! Exactly once: nothing stands in the log twice, nothing that nobody signed, and each intent of a principal once at most. Each
//! entry that the log accepted is in its register once, and no other.

use super::Broken;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{EntryKind, Hash, LogEntry, Operation, Outcome, SignedTransaction};

const PROMISE: &str = "exactly once";

/// Entries of all registers by register and key: the numbers they got.
pub type Entries = BTreeMap<(String, String), Vec<u64>>;

/// Reads a whole log. Shares no code with the index: it counts by itself.
///
/// `signed` are the transactions that clients made.
pub fn check_log(node: usize, log: &[LogEntry], signed: &BTreeSet<Hash>) -> Result<Entries, Broken> {
    let broken = |detail: String| Err(Broken::new(PROMISE, format!("node {node}: {detail}")));
    let (mut ids, mut tags) = (BTreeSet::new(), BTreeMap::new());
    let (mut entries, mut counts) = (Entries::new(), BTreeMap::<String, u64>::new());
    for (index, entry) in log.iter().enumerate() {
        let Ok(transaction) = SignedTransaction::decode(entry.transaction.clone()) else {
            return broken(format!("log entry {index} does not decode"));
        };
        let id = transaction.id();
        if !signed.contains(&id) {
            return broken(format!("log entry {index} is {id}, which no client made"));
        }
        if transaction.clone().verify().is_err() {
            return broken(format!("log entry {index} bears a signature that does not hold"));
        }
        if !ids.insert(id) {
            return broken(format!("{id} is in the log twice"));
        }
        let intent = (transaction.principal().clone(), transaction.idempotency_key().to_vec());
        // The simulated clients never use a key again, so that once is once for ever.
        if let Some(before) = tags.insert(intent, index) {
            return broken(format!("log entries {before} and {index} are one intent"));
        }
        if transaction.not_after() < entry.time_ms / 1000 {
            return broken(format!("log entry {index} was applied after its end"));
        }
        if let Outcome::Accepted { appended, .. } = &entry.outcome {
            count(&transaction, &mut entries, &mut counts);
            for range in appended.iter().filter(|range| range.kind == EntryKind::User) {
                let end = range.first + range.count - 1;
                let counted = counts.get(&range.register).copied().unwrap_or(0);
                if end > counted {
                    return broken(format!("log entry {index} numbers entries up to {end} where {counted} exist"));
                }
            }
        }
    }
    Ok(entries)
}

fn count(transaction: &SignedTransaction, entries: &mut Entries, counts: &mut BTreeMap<String, u64>) {
    for operation in transaction.operations() {
        if let Operation::EntryAppend { register, entries: new } = operation {
            for entry in new {
                let number = counts.entry(register.clone()).or_default();
                *number += 1;
                entries.entry((register.clone(), entry.key.clone())).or_default().push(*number);
            }
        }
    }
}

/// Compares what a node's registers show with what its log accepted.
pub fn check_registers(node: usize, log: &Entries, shown: &Entries) -> Result<(), Broken> {
    if log == shown {
        return Ok(());
    }
    let differs = log.iter().find(|(key, numbers)| shown.get(*key) != Some(*numbers));
    let detail = match differs {
        Some((key, numbers)) => {
            format!("{key:?} has entries {numbers:?} by the log, {:?} by the register", shown.get(key))
        }
        None => "a register shows entries that the log does not hold".to_owned(),
    };
    Err(Broken::new(PROMISE, format!("node {node}: {detail}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;
    use tallystick_protocol::Decision;
    use tallystick_protocol::NewEntry;

    fn entry(members: &Members, intent: u8, key: &str) -> LogEntry {
        let entries = vec![NewEntry { key: key.to_owned(), items: vec!["{}".to_owned()] }];
        let operations = vec![Operation::EntryAppend { register: "things".to_owned(), entries }];
        let transaction = members.sign(&members.principals[0][0], 2_000, vec![intent; 8], operations);
        let outcome = Outcome::Accepted { appended: Vec::new(), decision: Decision::default() };
        LogEntry { transaction: transaction.bytes().clone(), height: 1, time_ms: 1_000_000, outcome }
    }

    #[test]
    fn a_repetition_a_stranger_and_a_late_one_are_seen() {
        let members = Members::new(1, 4, 0, 1_000);
        let (one, two, again) = (entry(&members, 1, "a"), entry(&members, 2, "a"), entry(&members, 1, "b"));
        let ids = |log: &[LogEntry]| log.iter().map(|entry| Hash::of(&[&entry.transaction])).collect();
        let good = [one.clone(), two.clone()];
        let entries = check_log(0, &good, &ids(&good)).unwrap();
        assert_eq!(entries[&("things".to_owned(), "a".to_owned())], [1, 2]);
        let check = |log: &[LogEntry]| check_log(0, log, &ids(log)).is_err();
        assert!(check(&[one.clone(), one.clone()]));
        assert!(check(&[one.clone(), again]));
        assert!(check_log(0, &good, &ids(&good[..1])).is_err());
        assert!(check(&[LogEntry { time_ms: 3_000_000, ..one }]));
    }

    #[test]
    fn a_register_beside_the_log_is_seen() {
        let key = ("things".to_owned(), "a".to_owned());
        let log: Entries = [(key.clone(), vec![1, 2])].into();
        assert_eq!(check_registers(0, &log, &log), Ok(()));
        assert!(check_registers(0, &log, &Entries::new()).is_err());
        assert!(check_registers(0, &log, &[(key, vec![1, 2, 3])].into()).is_err());
        assert!(check_registers(0, &Entries::new(), &log).is_err());
    }
}
