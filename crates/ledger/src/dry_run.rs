//! A dry run: what a proposal's changes would do to the state as it stands, before anybody votes on them.
//!
//! The changes are made on a draft by the very functions that make them in earnest, each on top of those before it, and the
//! draft is thrown away. What differs is told in the words of those who will vote, row by row.

use std::collections::{BTreeMap, BTreeSet};

use tallystick_protocol::{
    Change, Code, Hash, PartitionRow, PolicyId, PublicKey, RegisterRow, Rulebook, StateKey, Violation,
    change::words::weights_in_words,
};

use crate::{
    apply::{BlockContext, Stop},
    authority,
    change::{self, Decree},
    moment::format_timestamp,
    state::{Draft, Missing, OrganisationRow, Row, ValidatorRow, View},
};

/// What one change would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Why it could not be made, and what in particular.
    pub refusal: Option<(Code, Vec<Violation>)>,
    /// What would be different.
    pub differences: Vec<Difference>,
}

/// One thing that would be different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about, such as `organisation harbour`.
    pub subject: String,
    /// Which of its properties.
    pub field: String,
    /// As it is; none when there is no such thing yet.
    pub before: Option<String>,
    /// As it would be.
    pub after: String,
}

/// The rows that a dry run of these changes surely reads.
pub fn dry_run_rows(changes: &[Change]) -> Vec<StateKey> {
    let rows: BTreeSet<StateKey> = changes.iter().flat_map(change::wanted).collect();
    rows.into_iter().collect()
}

/// What the changes would do in this block, each after the ones before it. One that is refused is left out.
///
/// # Errors
/// When rows are missing: those of all changes, as far as can be told.
pub fn dry_run(view: &mut View, block: &BlockContext, changes: &[Change]) -> Result<Vec<Report>, Missing> {
    let mut draft = Draft::new(view);
    if change::fetch(&mut draft, changes.iter()).is_err() {
        return Err(draft.into_missing());
    }
    let mut reports = Vec::with_capacity(changes.len());
    for change in changes {
        let before = draft.save();
        let decree = Decree { block, leaf: block.log_size };
        let made = change::require_possible(&draft, std::slice::from_ref(change))
            .and_then(|()| change::make(&mut draft, &decree, change));
        match made {
            Ok(()) => reports.push(Report { refusal: None, differences: differences(&mut draft, &before, change) }),
            Err(Stop::Refused(code, violations)) => {
                draft.restore(before);
                reports.push(Report { refusal: Some((code, violations)), differences: Vec::new() });
            }
            // The rest tells what it lacks too, so that all of it is fetched together.
            Err(Stop::Unread) => draft.restore(before),
        }
    }
    if draft.complete().is_ok() { Ok(reports) } else { Err(draft.into_missing()) }
}

fn differences(draft: &mut Draft<'_>, before: &BTreeMap<StateKey, Row>, change: &Change) -> Vec<Difference> {
    let validators = validators(change);
    let mut found = Vec::new();
    for (key, row) in draft.save() {
        // What earlier changes wrote, and this one did not touch, need not be told in words.
        if before.get(&key).is_some_and(|old| old.to_bytes() == row.to_bytes()) {
            continue;
        }
        let old = match &row {
            // A policy that is put has a row of its own: it is compared with the one that it replaces.
            Row::Policy(row) if !before.contains_key(&key) => replaced(draft, before, &row.id),
            _ => earlier(draft, before, &key),
        };
        let named = |row: &Row| match row {
            Row::Validator(row) => Some(validator_facts(validators.get(&key)?, row)),
            row => facts(row),
        };
        let Some((subject, new)) = named(&row) else { continue };
        let known: Facts = old.as_ref().and_then(named).map(|(_, facts)| facts).unwrap_or_default();
        let value = |facts: &Facts, field: &str| facts.iter().find(|(known, _)| known == field).map(|(_, v)| v.clone());
        let gone = known.iter().filter(|(field, _)| value(&new, field).is_none());
        let gone = gone.map(|(field, _)| (field.clone(), NOTHING.to_owned()));
        for (field, after) in new.clone().into_iter().chain(gone) {
            let before = value(&known, &field);
            if before.as_ref() != Some(&after) && !(before.is_none() && after == NOTHING) {
                found.push(Difference { subject: subject.clone(), field, before, after });
            }
        }
    }
    found
}

/// A row as it was before the change.
fn earlier(draft: &mut Draft<'_>, before: &BTreeMap<StateKey, Row>, key: &StateKey) -> Option<Row> {
    before.get(key).cloned().or_else(|| draft.stored(key))
}

/// The policy that was in force under this id before the change.
fn replaced(draft: &mut Draft<'_>, before: &BTreeMap<StateKey, Row>, id: &PolicyId) -> Option<Row> {
    let set = StateKey::policy_set(id.register().unwrap_or_default());
    let Some(Row::PolicySet(set)) = earlier(draft, before, &set) else { return None };
    let version = set.row.policies.iter().find(|policy| policy.id == *id)?.version;
    earlier(draft, before, &StateKey::policy(id, version))
}

/// The validators that a change names, by their rows, which do not hold their keys.
fn validators(change: &Change) -> BTreeMap<StateKey, PublicKey> {
    let Change::Validators { add, remove } = change else { return BTreeMap::new() };
    let named = add.iter().chain(remove);
    named.map(|validator| (StateKey::validator(&validator.key), PublicKey::Ed25519(validator.key))).collect()
}

fn validator_facts(key: &PublicKey, row: &ValidatorRow) -> (String, Facts) {
    let address = if row.address.is_empty() { NOTHING.to_owned() } else { row.address.clone() };
    let facts = [("organisation", row.organisation.clone()), ("address", address)];
    (format!("validator {key}"), facts.map(|(field, value)| (field.to_owned(), value)).into())
}

/// A property that is not there.
const NOTHING: &str = "none";

type Facts = Vec<(String, String)>;

/// What a row says, to people: what it is about, and its properties. None for rows that only help to find others.
fn facts(row: &Row) -> Option<(String, Facts)> {
    Some(match row {
        Row::Counters(row) => (
            "the ledger".to_owned(),
            list(&[("registers", row.registers.to_string()), ("organisations that vote", row.active.to_string())]),
        ),
        Row::Organisation(row) => (format!("organisation {}", row.id), organisation(row)),
        Row::Principal(row) => {
            let keys: Vec<String> =
                row.keys.iter().filter(|held| held.is_kept()).map(|held| held.key.to_string()).collect();
            (
                format!("principal {}", row.id),
                list(&[
                    ("kind", row.kind.to_string()),
                    ("roles", row.roles.to_string()),
                    ("status", row.status.to_string()),
                    ("keys", keys.join(" ")),
                ]),
            )
        }
        Row::Register(register) => (format!("register {}", register.row.register), self::register(&register.row)),
        Row::Authority(row) => {
            let trusted = if row.retired_ms.is_some() { "no longer" } else { "yes" };
            let id = Hash::of(&[&row.certificate]);
            let (subject, until) = authority::told(&row.certificate);
            (
                format!("certificate authority {id} of {}", row.organisation),
                list(&[
                    ("trusted", trusted.to_owned()),
                    ("subject", subject),
                    ("valid until", until),
                    ("terms", row.terms.particulars().join("; ")),
                ]),
            )
        }
        Row::Agenda(row) => ("the protocol".to_owned(), list(&[("version", row.version.to_string())])),
        Row::Limits(row) => {
            ("limits".to_owned(), row.set.iter().map(|set| (set.limit.to_string(), set.value.to_string())).collect())
        }
        Row::PolicySet(set) => (
            "the policies".to_owned(),
            set.row
                .policies
                .iter()
                .map(|policy| (policy.id.to_string(), format!("put by change {}", policy.version)))
                .collect(),
        ),
        Row::Policy(row) => (format!("policy {}", row.id), list(&[("text", row.text.clone())])),
        Row::Schedule(row) => {
            let keys =
                row.later.keys().iter().map(|key| (PublicKey::Ed25519(*key).to_string(), "certifies".to_owned()));
            let number = ("number".to_owned(), row.later.len().to_string());
            ("validators from the epoch after the next on".to_owned(), [number].into_iter().chain(keys).collect())
        }
        Row::Rulebook(rulebook) => ("the rulebook".to_owned(), rules(rulebook)),
        Row::Partition(row) => (format!("partition {}", row.terms.partition), partition(row)),
        _ => return None,
    })
}

fn list(facts: &[(&str, String)]) -> Facts {
    facts.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect()
}

fn organisation(row: &OrganisationRow) -> Facts {
    list(&[
        ("name", row.name.clone()),
        ("legal name", or_none(&row.particulars.legal_name)),
        ("registration", or_none(&row.particulars.registration)),
        ("jurisdiction", or_none(&row.particulars.jurisdiction)),
        ("contact", or_none(&row.particulars.contact)),
        ("status", row.status.to_string()),
        ("reason", or_none(&row.reason)),
        ("principals", row.principals.to_string()),
    ])
}

fn register(row: &RegisterRow) -> Facts {
    let mut facts = list(&[
        ("custodian", row.custodian.clone()),
        ("phase", row.phase.to_string()),
        ("successor", or_none(&row.successor)),
        ("text", if row.text.is_empty() { NOTHING.to_owned() } else { row.text.clone() }),
    ]);
    facts.extend(row.fields.iter().map(|field| (format!("field {}", field.name), field.to_string())));
    facts
}

fn partition(row: &PartitionRow) -> Facts {
    let mut facts = list(&[
        ("members", row.terms.members.join(", ")),
        ("purpose", row.terms.purpose.clone()),
        ("closed", or_none(&row.closed.as_ref().map(|(_, reason)| reason))),
    ]);
    facts.extend(row.terms.facts(|ms| format_timestamp(ms / 1_000)).map(|(field, value)| (field.to_owned(), value)));
    facts
}

fn or_none(thing: &Option<impl ToString>) -> String {
    thing.as_ref().map_or_else(|| NOTHING.to_owned(), ToString::to_string)
}

fn rules(rulebook: &Rulebook) -> Facts {
    let mut facts: Facts = rulebook.rules.iter().map(|rule| (rule.kind.to_string(), rule.to_string())).collect();
    facts.push(("weights".to_owned(), weights_in_words(&rulebook.weights)));
    facts.push(("policies a custodian may set alone".to_owned(), rulebook.register_policies_max.to_string()));
    facts
}
