//! `tally attest`: a yes or no about a record that members share, in a file that proves it and does not hold the record.

use crate::{
    connection::{Connection, Signing},
    disclose::{out_of_partition, require_new, tell_written, write_private},
    output::{Done, Failure, json, line},
    reading::{self, Beside, Reader, Reason, To, Wanted},
    record::entries,
    register::{accepted, act, definition, exposure::warn_of_texts, find},
    signature::signer_receipt,
};
use clap::Args;
use rand::Rng as _;
use serde_json::Value;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    str::FromStr,
};
use tallystick_client::{Client, Signer, now_seconds};
use tallystick_ledger::{item::canonicalise, moment::format_timestamp};
use tallystick_protocol::{
    Attestation, EntryKind, Genesis, NewEntry, Operation, Receipt, change::words::Shown, operation::validate_key,
};

/// Answer yes or no about a record in a partition, in a file that proves the answer and does not hold the record
#[derive(Debug, Args)]
#[command(
    after_help = "The record is read, on record in the partition; every --where is tried on it, and the answer is yes if all hold: none does of a field that the record does not have. The answer \
    is written to a register of the partition, so that all members hold it, and can try it again on the record as it was; then it is \
    disclosed, on record too, in a file that you sign with your key. `tally verify` checks it with network.json alone, and names you: that the \
    answer is true is your word, that the partition's members hold it is theirs. The register is yours to make, once:\n  \
    tally register create attestation --partition food-safety --field attestation:string --field about:string \\\n      \
    --field question:string --field tried:string --field answer:string --field recipient:string --field by:string --field at:string\n\n\
    Example:\n  \
    tally attest licence L-17 --partition food-safety --where status=valid --where 'until>=today' \\\n      \
    --question \"Is licence L-17 valid today?\" --to \"Crown Court at Leeds\" --to-jurisdiction GB --purpose \"Witness summons\" \\\n      \
    --legal-basis \"Criminal Procedure Act 1965, s. 2\" --output L-17.attestation"
)]
pub struct Attest {
    /// The register in the partition
    #[arg(value_name = "REGISTER")]
    register: String,
    /// The record's key
    #[arg(value_name = "KEY")]
    key: String,
    /// What must hold: FIELD=VALUE, FIELD!=VALUE, FIELD<=VALUE, FIELD>=VALUE; may be repeated. `=` and `!=` compare the text as it is; `<=`
    /// and `>=` whole numbers as numbers, all else as text, so dates as in 2026-11-29. `today` is the date by this machine's clock, in UTC
    #[arg(long = "where", value_name = "CONDITION", required = true)]
    conditions: Vec<Condition>,
    /// The question, in words, for whoever gets the answer
    #[arg(long, value_name = "TEXT")]
    question: String,
    #[command(flatten)]
    to: To,
    /// The register that the answer is written to
    #[arg(long = "in", value_name = "REGISTER", default_value = "attestation")]
    answers: String,
    #[command(flatten)]
    reason: Reason,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// The fields of a register of answers, beside the one of its own name.
const ANSWER_FIELDS: [&str; 7] = ["about", "question", "tried", "answer", "recipient", "by", "at"];

/// A date as in 2026-11-29.
const DATE_CHARACTERS: usize = 10;

/// What a field is compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Is,
    IsNot,
    AtMost,
    AtLeast,
}

/// What must hold of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    field: String,
    comparison: Comparison,
    value: String,
    /// As it was written.
    text: String,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let signs =
            [("!=", Comparison::IsNot), ("<=", Comparison::AtMost), (">=", Comparison::AtLeast), ("=", Comparison::Is)];
        let found = signs.iter().filter_map(|(sign, comparison)| Some((text.find(sign)?, sign, *comparison)));
        // The first sign there is, the longer one where two begin together or one within the other.
        let found = found.min_by_key(|(at, sign, _)| (at + sign.len(), std::cmp::Reverse(sign.len())));
        let (at, sign, comparison) = found.ok_or("write FIELD=VALUE, or with !=, <= or >= between them")?;
        let (field, value) = (text.get(..at).unwrap_or_default(), text.get(at + sign.len()..).unwrap_or_default());
        if field.trim().is_empty() || value.trim().is_empty() {
            return Err("a field and a value must stand on the two sides".to_owned());
        }
        let (field, value) = (field.trim().to_owned(), value.trim().to_owned());
        Ok(Self { field, comparison, value, text: text.to_owned() })
    }
}

impl Condition {
    /// Whether it holds of an item, on this date. Of a field that is not there nothing holds. Of a list it holds if it does of one, and
    /// `!=` if it does of each.
    fn holds(&self, item: &Value, today: &str) -> bool {
        let wanted = if self.value == "today" { today } else { self.value.as_str() };
        let one = |value: &Value| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            match self.comparison {
                Comparison::Is => text == wanted,
                Comparison::IsNot => text != wanted,
                Comparison::AtMost => compare(&text, wanted) != Ordering::Greater,
                Comparison::AtLeast => compare(&text, wanted) != Ordering::Less,
            }
        };
        match item.get(&self.field) {
            None | Some(Value::Null) => false,
            Some(Value::Array(values)) if self.comparison == Comparison::IsNot => values.iter().all(one),
            Some(Value::Array(values)) => values.iter().any(one),
            Some(value) => one(value),
        }
    }
}

/// As numbers where both are whole ones, else as text.
fn compare(one: &str, other: &str) -> Ordering {
    match (one.parse::<i128>(), other.parse::<i128>()) {
        (Ok(number), Ok(wanted)) => number.cmp(&wanted),
        _ => one.cmp(other),
    }
}

impl Attest {
    /// Runs the command.
    pub fn run(self) -> Done {
        validate_key(EntryKind::User, &self.key).map_err(Failure::error)?;
        if self.signing.partition.is_none() {
            return Err(Failure::error(
                "name the partition that the record is in with --partition; what is public needs no attestation: `tally record --receipt` proves it",
            ));
        }
        self.to.require_place()?;
        require_new(&self.output)?;
        let genesis = self.connection.genesis()?;
        let (client, signer) = (self.connection.client()?, self.connection.signer(&self.signing)?);
        let reader = Reader { client: &client, signer: &signer, signing: &self.signing };
        self.require_clear(&client, &signer)?;
        self.require_answers(&client, &signer)?;
        let texts = self.conditions.iter().map(|condition| &condition.value).chain([&self.question]);
        warn_of_texts(texts, self.signing.partition.as_deref());
        // Who cannot sign it finds out before an answer is on record for good.
        signer_receipt(&client, (signer.principal(), signer.key().public()), 0, &genesis)?;
        let (id, at) = (random_id(), format_timestamp(now_seconds()));
        let answer = self.answer(&reader, at.get(..DATE_CHARACTERS).unwrap_or_default())?;
        self.write(&signer, &id, answer, &at)?;
        let to = self.to.recipient();
        let wanted = Wanted {
            register: &self.answers,
            key: &id,
            fields: &[],
            recipient: Some(&to),
            beside: Beside::Clear,
            holder: None,
        };
        let (done, bytes) = out_of_partition(&reader, &genesis, &wanted, &self.reason)?;
        let bytes = signed(&client, &signer, &genesis, &bytes).map_err(|failure| {
            Failure::error(format!(
                "the answer is on record as {}/{id}, and not signed: {failure}: run this again",
                self.answers
            ))
        })?;
        write_private(&self.output, &bytes)?;
        let said = words(answer);
        if self.signing.json {
            return json(&serde_json::json!({
                "answer": said, "attestation": id, "signed_by": signer.principal(), "id": done.id, "number": done.number, "file": self.output, "bytes": bytes.len(),
            }));
        }
        line(format_args!("{}: {said}", Shown(&self.question)))?;
        line(format_args!("on record in the partition as {}/{id}", self.answers))?;
        line(format_args!("signed by {} with key {}", signer.principal(), signer.key().public()))?;
        tell_written(&self.output, bytes.len())
    }

    /// Goes on if what is tried are fields of the register that are written in the clear.
    fn require_clear(&self, client: &Client, signer: &Signer) -> Done {
        let definition = definition(client, Some(signer), &self.register)?.value;
        let fields = definition.fields.iter().map(|field| (field.name.as_str(), field.protection.is_some()));
        match may_try(&fields.collect(), &self.conditions) {
            Ok(()) => Ok(()),
            Err(reason) => Err(Failure::error(format!("register `{}`: {reason}", self.register))),
        }
    }

    /// Goes on if there is a register that the answer can be written to: found before the read is on record, where it stays.
    fn require_answers(&self, client: &Client, signer: &Signer) -> Done {
        let register = find(client, Some(signer), &self.answers)?.map(|found| found.value);
        let fields: Option<BTreeSet<&str>> =
            register.as_ref().map(|register| register.fields.iter().map(|field| field.name.as_str()).collect());
        let partition = signer.partition().unwrap_or_default();
        may_answer(fields.as_ref(), partition, &self.answers).map_err(Failure::no)
    }

    /// Reads the record, on record, and tries the conditions on it.
    fn answer(&self, reader: &Reader<'_>, today: &str) -> Result<bool, Failure> {
        let (register, key) = (self.register.as_str(), self.key.as_str());
        let wanted = Wanted { register, key, fields: &[], recipient: None, beside: Beside::Clear, holder: None };
        let (done, _) = reading::read_in_partition(reader, &wanted, &self.reason)?;
        let done = accepted(done, self.signing.json)?;
        let given =
            done.given.first().ok_or_else(|| Failure::error("the node gave no record: ask another, with --node"))?;
        let entries = entries(&given.record);
        let items = entries.iter().flat_map(|entry| entry.get("item").and_then(Value::as_array).into_iter().flatten());
        Ok(hold_of_one(&self.conditions, items, today))
    }

    /// Writes the answer where all members hold it.
    fn write(&self, signer: &Signer, id: &str, answer: bool, at: &str) -> Done {
        let tried: Vec<&str> = self.conditions.iter().map(|condition| condition.text.as_str()).collect();
        let item = serde_json::json!({
            (self.answers.as_str()): id,
            "about": format!("{}/{}", self.register, self.key),
            "question": self.question,
            "tried": tried.join("; "),
            "answer": words(answer),
            "recipient": self.to.recipient().name,
            "by": signer.principal(),
            "at": at,
        });
        let item = canonicalise(&item.to_string()).map_err(Failure::error)?;
        let entries = vec![NewEntry { key: id.to_owned(), items: vec![item] }];
        let operation = Operation::EntryAppend { register: self.answers.clone(), entries };
        let signing = Signing { json: false, ..self.signing.clone() };
        let subject = format!("attestation {id}");
        act(&self.connection, signer, &signing, subject, vec![operation]).map(drop)
    }
}

/// The answer as it was disclosed, signed by whoever gives it, with the proof that the key is theirs.
fn signed(client: &Client, signer: &Signer, genesis: &Genesis, disclosed: &[u8]) -> Result<Vec<u8>, Failure> {
    let Ok(Receipt::Partition(disclosure)) = Receipt::decode(disclosed) else {
        return Err(Failure::error("the node gave no proof of the answer: ask another, with --node"));
    };
    let since = disclosure.finality.headers.first().map_or(0, |header| header.height);
    let receipt = signer_receipt(client, (signer.principal(), signer.key().public()), since, genesis)?;
    let attestation = Attestation::sign(disclosure, receipt, signer.key()).map_err(Failure::error)?;
    let attestation = Receipt::Attestation(Box::new(attestation));
    attestation.check(genesis).map_err(Failure::error)?;
    Ok(attestation.to_bytes())
}

/// Whether these can be tried on items with these fields, each with whether it is written only sealed: what was tried stands in the clear
/// beside the answer, and is kept for ever. Of a field that there is not nothing would hold, and the answer be a no that proves nothing.
fn may_try(fields: &BTreeMap<&str, bool>, conditions: &[Condition]) -> Result<(), String> {
    for Condition { field, .. } in conditions {
        match fields.get(field.as_str()) {
            Some(false) => {}
            Some(true) => {
                return Err(format!(
                    "field `{field}` is written only sealed, and what is tried is kept in the clear beside the answer: try other fields, or \
                     show the field itself with `tally disclose`"
                ));
            }
            None => {
                let all = fields.keys().copied().collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "there is no field `{field}`, of which no answer could be given; there are: {all}"
                ));
            }
        }
    }
    Ok(())
}

/// Whether a register with these fields, if there is one, takes an answer; else what to do.
fn may_answer(fields: Option<&BTreeSet<&str>>, partition: &str, answers: &str) -> Result<(), String> {
    let all = || [answers].into_iter().chain(ANSWER_FIELDS);
    let Some(fields) = fields else {
        let fields: Vec<String> = all().map(|name| format!("--field {name}:string")).collect();
        return Err(format!(
            "there is no register `{answers}` in partition `{partition}` that the answer can be written to: make it, once, with: tally register create \
             {answers} --partition {partition} {}",
            fields.join(" ")
        ));
    };
    let missing: Vec<&str> = all().filter(|name| !fields.contains(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "register `{answers}` takes no answer, for it has no field {}: name one that has, with --in, or make another",
        missing.join(", ")
    ))
}

/// Whether all conditions hold, and of one and the same item.
fn hold_of_one<'i>(conditions: &[Condition], mut items: impl Iterator<Item = &'i Value>, today: &str) -> bool {
    items.any(|item| conditions.iter().all(|condition| condition.holds(item, today)))
}

const fn words(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

/// Tells nothing of what it is about.
fn random_id() -> String {
    let mut random = [0; 8];
    tallystick_client::randomness().fill_bytes(&mut random);
    format!("a-{}", hex::encode(random))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_sealed_or_unknown_is_not_tried() {
        let fields = BTreeMap::from([("meal", false), ("name", true)]);
        let may = |text: &str| may_try(&fields, &["meal=fish".parse().unwrap(), text.parse().unwrap()]);
        assert_eq!(may("meal!=soup"), Ok(()));
        assert!(may("name=Ada").unwrap_err().contains("only sealed"));
        assert!(may("mael!=soup").unwrap_err().ends_with("there are: meal, name"));
    }

    #[test]
    fn a_register_that_takes_no_answer_is_found_with_the_remedy() {
        let may = |fields: Option<&[&str]>, answers| {
            may_answer(fields.map(|fields| fields.iter().copied().collect()).as_ref(), "health", answers)
        };
        let told = may(None, "attestation").unwrap_err();
        for said in [
            "there is no register `attestation` in partition `health`",
            "tally register create attestation --partition health --field attestation:string --field about:string ",
            " --field at:string",
        ] {
            assert!(told.contains(said), "{told}");
        }
        let mut fields = [&["answers"][..], &ANSWER_FIELDS].concat();
        assert_eq!(may(Some(&fields), "answers"), Ok(()));
        fields.pop();
        assert!(may(Some(&fields), "answers").unwrap_err().contains("has no field at:"));
    }

    #[test]
    fn conditions_are_tried_on_a_record() {
        let item = serde_json::json!({"status": "valid", "until": "2027-03-01", "seats": "12", "kinds": ["a", "b"]});
        let holds = |text: &str| text.parse::<Condition>().unwrap().holds(&item, "2026-11-29");
        for text in [
            "status=valid",
            "until>=today",
            "until<=2027-03-01",
            "seats>=9",
            "seats<=12",
            "kinds=b",
            "status!=lapsed",
            "kinds!=c",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "status=Valid",
            "until<=today",
            "seats>=13",
            "kinds=c",
            "absent=1",
            "absent!=1",
            "kinds!=a",
            "seats=012",
            "status!=valid",
        ] {
            assert!(!holds(text), "{text}");
        }
        let both = ["status=valid", "until>=today"].map(|text| text.parse().unwrap());
        let other = serde_json::json!({"status": "lapsed", "until": "2030-01-01"});
        let third = serde_json::json!({"status": "valid", "until": "2020-01-01"});
        assert!(hold_of_one(&both, [&other, &item].into_iter(), "2026-11-29"));
        assert!(!hold_of_one(&both, [&other, &third].into_iter(), "2026-11-29"), "one is valid, and another one lasts");
        let condition: Condition = "note=a>=b".parse().unwrap();
        assert_eq!((condition.field.as_str(), condition.value.as_str()), ("note", "a>=b"));
        for text in ["status", "=valid", "status=", ">=3", "status<3"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
