//! What the benchmark asks of the network: a register, many registrars, and entries that are all different.

use crate::output::Failure;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tallystick_protocol::{
    Cardinality, Datatype, Field, Hash, Intent, NetworkId, NewEntry, Opening, Operation, Phase, Place, PolicyText,
    PrincipalId, Roles, Secret, SignedTransaction, SigningKey, Subject,
    limits::{NOT_AFTER_WINDOW_SECONDS_MAX, OPERATIONS_MAX},
};

/// The register that is written to.
pub const REGISTER: &str = "bench";
/// The register of sealed values that are read, and the field that they are in.
const HELD: &str = "bench-held";
const HELD_FIELD: &str = "name";
/// How long signed transactions are good for: the network's window less what clocks may differ.
pub const NOT_AFTER_SECONDS: u64 = NOT_AFTER_WINDOW_SECONDS_MAX - 15;
/// Bytes of an item.
const ITEM_BYTES: usize = 200;

/// Which registrars sign, and with which keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keys {
    /// Their organisation.
    pub organisation: String,
    /// How many there are.
    pub count: usize,
    /// What their keys are made from: good for a benchmark, and for nothing else.
    pub seed: Hash,
    /// What distinguishes the entries of this run from those of others.
    pub run: String,
    /// The partition in which they write; none of the public one.
    pub partition: Option<String>,
}

impl Keys {
    /// All keys.
    pub fn signing_keys(&self) -> Result<Vec<(PrincipalId, SigningKey)>, Failure> {
        (0..self.count)
            .map(|n| {
                let seed = Hash::of(&[self.seed.as_bytes(), &(n as u64).to_be_bytes()]);
                let principal = PrincipalId::new(&self.organisation, &format!("r{n}")).map_err(Failure::error)?;
                Ok((principal, SigningKey::from_ed25519_seed(seed.as_bytes())))
            })
            .collect()
    }

    /// The operations that enrol them, as many to a transaction as it holds.
    pub fn enrolments(&self) -> Result<Vec<Vec<Operation>>, Failure> {
        let operations: Vec<Operation> = self
            .signing_keys()?
            .iter()
            .map(|(principal, key)| Operation::enrol(principal.name(), Roles::registrar(), key.public()))
            .collect();
        Ok(operations.chunks(OPERATIONS_MAX).map(<[Operation]>::to_vec).collect())
    }
}

/// The operations that make the register.
pub fn create_register() -> Vec<Operation> {
    let field = |name: &str, datatype, cardinality| Field {
        name: name.to_owned(),
        datatype,
        cardinality,
        register: None,
        text: String::new(),
        protection: None,
    };
    let fields = vec![
        field(REGISTER, Datatype::String, Cardinality::One),
        field("name", Datatype::String, Cardinality::One),
        field("start-date", Datatype::Datetime, Cardinality::One),
        field("text", Datatype::Text, Cardinality::One),
    ];
    let register = REGISTER.to_owned();
    vec![
        Operation::RegisterCreate { register: register.clone(), text: "What the benchmark writes".to_owned(), fields },
        Operation::RegisterPhase { register, phase: Phase::Live, successor: None },
    ]
}

/// Policies by which every entry is judged, whose conditions are looked at to their ends: for the register, or for all; that
/// permit, or that forbid. None of them changes what is permitted.
pub fn policies(count: usize) -> Result<Vec<PolicyText>, Failure> {
    (0..count)
        .map(|number| {
            let resource = if number % 2 == 0 { "resource" } else { "resource == Register::\"bench\"" };
            let text = if number % 4 < 2 {
                format!(
                    "// Officers of team {number} write, with keys of high assurance and another's signature.\npermit (\n  \
                     principal in Role::\"team-{number}\",\n  action in Action::\"writing\",\n  {resource}\n) when {{\n  \
                     context.assurance >= 2 && !context.cosigners.isEmpty()\n}};\n"
                )
            } else {
                format!(
                    "// Nobody writes before the year 1970 is over, nor for purpose {number}.\nforbid (\n  principal,\n  \
                     action == Action::\"entry-append\",\n  {resource}\n) when {{\n  context.time < 31536000 ||\n  \
                     (context has purpose && context.purpose == \"purpose {number}\")\n}};\n"
                )
            };
            let id = format!("bench-{number}").parse().map_err(Failure::error)?;
            Ok(PolicyText { id, text })
        })
        .collect()
}

/// The entry with this number: key and item of its own.
pub fn entry(run: &str, number: u64) -> NewEntry {
    let key = format!("{run}-{number}");
    let head = format!(r#"{{"{REGISTER}":"{key}","name":"Record {number}","start-date":"2026-11-23","text":""#);
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(4);
    let room = ITEM_BYTES.saturating_sub(head.len() + 2);
    let item = format!("{head}{}\"}}", text.get(..room).unwrap_or(&text));
    NewEntry { key, items: vec![item] }
}

/// The operations that make the register of sealed values.
pub fn create_held() -> Result<Vec<Operation>, Failure> {
    let register = HELD.to_owned();
    let protection = Some(format!("personal:{HELD}").parse().map_err(Failure::error)?);
    let name = Field { protection, ..Field::new(HELD_FIELD, Datatype::String) };
    let fields = vec![Field::new(HELD, Datatype::String), name];
    Ok(vec![
        Operation::RegisterCreate { register: register.clone(), text: "What the benchmark reads".to_owned(), fields },
        Operation::RegisterPhase { register, phase: Phase::Live, successor: None },
    ])
}

/// Entries of that register, and what opens their values.
pub fn held(work: &Keys, numbers: Range<u64>) -> Result<(Operation, Vec<Opening>), Failure> {
    let (mut entries, mut openings) = (Vec::new(), Vec::new());
    for number in numbers {
        let key = number.to_string();
        let place = Place::new(HELD, &key, HELD_FIELD, subject(number)?).map_err(Failure::error)?;
        let place = place.within(work.partition.as_deref()).map_err(Failure::error)?;
        let value = Secret::new(format!("Made up {number}"));
        let opening = Opening::seal(place, value, &mut tallystick_client::randomness()).map_err(Failure::error)?;
        let item = format!(r#"{{"{HELD}":"{key}","{HELD_FIELD}":"{}"}}"#, opening.commitment());
        entries.push(NewEntry { key, items: vec![item] });
        openings.push(opening);
    }
    Ok((Operation::EntryAppend { register: HELD.to_owned(), entries }, openings))
}

/// Whom the value of this number is about.
pub fn subject(number: u64) -> Result<Subject, Failure> {
    Subject::new(HELD, number.to_string()).map_err(Failure::error)
}

/// A read of one of those values, at a node.
pub fn read(node: &PrincipalId, number: u64) -> Result<Operation, Failure> {
    Ok(Operation::RecordRead {
        subjects: vec![subject(number)?],
        register: HELD.to_owned(),
        key: number.to_string(),
        fields: vec![HELD_FIELD.to_owned()],
        purpose: "To measure".to_owned(),
        legal_basis: "None: it is made up".to_owned(),
        recipient: None,
        node: node.clone(),
    })
}

/// The transaction with this number, which appends one entry.
pub fn append(
    network: NetworkId,
    work: &Keys,
    keys: &[(PrincipalId, SigningKey)],
    number: u64,
    not_after: u64,
) -> Result<SignedTransaction, Failure> {
    let entries = vec![entry(&work.run, number)];
    let operation = Operation::EntryAppend { register: REGISTER.to_owned(), entries };
    signed(network, work, keys, number, (not_after, vec![operation]))
}

/// The transaction with this number, which does this until then.
pub fn signed(
    network: NetworkId,
    work: &Keys,
    keys: &[(PrincipalId, SigningKey)],
    number: u64,
    (not_after, operations): (u64, Vec<Operation>),
) -> Result<SignedTransaction, Failure> {
    let index = usize::try_from(number).unwrap_or(usize::MAX) % keys.len().max(1);
    let (principal, key) = keys.get(index).ok_or_else(|| Failure::error("a benchmark needs at least one principal"))?;
    let Hash(tag) = Hash::of(&[work.run.as_bytes(), &number.to_be_bytes()]);
    let intent = Intent {
        not_after,
        idempotency_key: tag.first_chunk::<16>().copied().unwrap_or_default().to_vec(),
        partition: work.partition.clone(),
        ..Intent::new(network, principal.clone(), "benchmark", operations)
    };
    intent.sign(key).map_err(Failure::error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_ledger::{PolicyCache, item::Item, policy::check};
    use tallystick_protocol::limits::POLICIES_MAX;

    #[test]
    fn items_are_canonical_and_as_long_as_said() {
        for number in [0, 7, 999_999] {
            let entry = entry("run1", number);
            let item = entry.items.first().unwrap();
            assert_eq!(item.len(), ITEM_BYTES);
            assert_eq!(Item::parse(item).unwrap().get_one(REGISTER), Some(entry.key.as_str()));
        }
    }

    #[test]
    fn policies_keep_to_the_schema() {
        let schema = PolicyCache::default().schema();
        for policy in policies(POLICIES_MAX).unwrap() {
            check(&schema, &policy.id, &policy.text).unwrap();
        }
    }

    #[test]
    fn every_transaction_is_another() {
        let work = Keys { organisation: "a".into(), count: 3, seed: Hash([1; 32]), run: "x".into(), partition: None };
        let keys = work.signing_keys().unwrap();
        let ids: std::collections::BTreeSet<_> =
            (0..9).map(|n| append(NetworkId([0; 16]), &work, &keys, n, 1).unwrap().id()).collect();
        assert_eq!(ids.len(), 9);
        assert_eq!(work.enrolments().unwrap().len(), 1);
    }
}
