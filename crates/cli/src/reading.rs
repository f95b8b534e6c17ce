//! Reads of sealed values, and of records in a partition: each a signed act with a purpose and a power, on record before a value is given.

use crate::{
    connection::{BEHIND, Signing, ask_again},
    output::{Colour, Failure, paint_err, say},
    register::{definition, exposure::warn_of_texts, no_register},
};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeSet;
use tallystick_api::{FieldView, GivenView, PrivateResult, RegisterView};
use tallystick_client::{Client, Signer};
use tallystick_ledger::{item::canonicalise, protection::sealed_in, schema::Schema};
use tallystick_protocol::{
    Field, Jurisdiction, Opening, Operation, Place, PrincipalId, Protection, Reading, Recipient, SignedTransaction,
    Subject, is_consent,
    limits::{READ_FIELDS_MAX, READ_SUBJECTS_MAX},
};

/// Why sealed values, or records in a partition, are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading what is sealed")]
pub struct Reason {
    /// What for: it is on record for everybody to see who sees the read, so name no person
    #[arg(long, value_name = "TEXT")]
    pub purpose: Option<String>,
    /// The power that it relies on
    #[arg(long, value_name = "TEXT")]
    pub legal_basis: Option<String>,
}

impl Reason {
    /// What for, and by which power.
    fn said(&self) -> Result<(&str, &str), Failure> {
        match (&self.purpose, &self.legal_basis) {
            (Some(purpose), Some(legal_basis)) if [purpose, legal_basis].iter().all(|text| !text.trim().is_empty()) => {
                Ok((purpose, legal_basis))
            }
            _ => Err(Failure::error("say what for and by which power: --purpose TEXT --legal-basis TEXT")),
        }
    }
}

/// Says so where a basis reads as consent and is none to the ledger, which then asks for no consent.
fn warn_of_basis(legal_basis: &str) {
    let is_like = legal_basis.to_ascii_lowercase();
    if ["consent", "6(1)(a)"].iter().any(|like| is_like.contains(like)) && !is_consent(legal_basis) {
        say(format_args!(
            "this read does not stand on consent, and none is asked for: a basis that is consent is `consent`, or begins `consent:`"
        ));
    }
}

/// Who reads, and whom they ask.
pub struct Reader<'a> {
    /// The nodes.
    pub client: &'a Client,
    /// Who reads.
    pub signer: &'a Signer,
    /// How they said they sign.
    pub signing: &'a Signing,
}

/// To whom what is read is given.
#[derive(Debug, Args)]
pub struct To {
    /// To whom
    #[arg(long = "to", value_name = "RECIPIENT")]
    name: String,
    /// Where they are: a country, or a part of one, as in GB or GB-SCT. Out of a partition it must be said, and be one that the agreement
    /// allows
    #[arg(long = "to-jurisdiction", value_name = "CODE")]
    jurisdiction: Option<Jurisdiction>,
}

impl To {
    /// As it stands on record.
    pub fn recipient(&self) -> Recipient {
        Recipient { name: self.name.clone(), jurisdiction: self.jurisdiction.clone() }
    }

    /// Goes on if it says where they are, which out of a partition it must: else a read and a disclosure would be on record for ever, and
    /// nothing be given. Where they must be is for the members to say, who want it on record that somebody elsewhere was to have it.
    ///
    /// # Errors
    /// When it does not say, and they are not the data subject.
    pub fn require_place(&self) -> Result<(), Failure> {
        if self.jurisdiction.is_some() || self.recipient().is_data_subject() {
            return Ok(());
        }
        Err(Failure::error(format!(
            "out of a partition it must be said where the recipient is: add --to-jurisdiction CODE, as in GB or GB-SCT. Whoever it is about needs \
             none: --to \"{}\"",
            Recipient::DATA_SUBJECT
        )))
    }
}

/// Which fields of a record in a partition are read beside those that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// No other ones.
    Nothing,
    /// Those that are not sealed.
    Clear,
    /// All of them, the sealed ones opened.
    All,
}

/// What is read.
pub struct Wanted<'a> {
    /// The register.
    pub register: &'a str,
    /// The record's key.
    pub key: &'a str,
    /// The fields; all that are sealed if none is named.
    pub fields: &'a [String],
    /// To whom the values are disclosed; none when the signer reads them.
    pub recipient: Option<&'a Recipient>,
    /// In a partition: what is read beside these fields.
    pub beside: Beside,
    /// The node that is asked; the first that holds for the register's custodian if none is named.
    pub holder: Option<&'a (Client, PrincipalId)>,
}

/// What a read says in words, which stays on record.
fn texts<'a>((purpose, legal_basis): (&'a str, &'a str), wanted: &'a Wanted<'_>) -> impl Iterator<Item = &'a str> {
    [purpose, legal_basis].into_iter().chain(wanted.recipient.map(|to| to.name.as_str()))
}

/// Puts the read on record, and gives what was read; the record's items in canonical form with it.
///
/// # Errors
/// When there is no such record, nothing sealed in those fields, the read is refused, or a value is not kept where it was asked for.
pub fn read(reader: &Reader<'_>, wanted: &Wanted<'_>, reason: &Reason) -> Result<Reading, Failure> {
    let Reader { client, signer, signing } = *reader;
    let (purpose, legal_basis) = reason.said()?;
    warn_of_basis(legal_basis);
    if signing.pass_on.is_some() {
        return Err(not_passed_on());
    }
    warn_of_texts(texts(reason.said()?, wanted), signer.partition());
    let (places, custodian) = places(client, wanted)?;
    let found;
    let (holder, node) = match wanted.holder {
        Some(holder) => holder,
        None => {
            found = client.holder(&custodian)?;
            &found
        }
    };
    let fields: BTreeSet<&str> = places.iter().map(Place::field).collect();
    let subjects: BTreeSet<&Subject> = places.iter().map(Place::subject).collect();
    if subjects.len() > READ_SUBJECTS_MAX {
        return Err(Failure::error("these values are about too many: name fewer fields with --field"));
    }
    let operation = Operation::RecordRead {
        register: wanted.register.to_owned(),
        key: wanted.key.to_owned(),
        fields: fields.into_iter().map(str::to_owned).collect(),
        subjects: subjects.into_iter().cloned().collect(),
        purpose: purpose.to_owned(),
        legal_basis: legal_basis.to_owned(),
        recipient: wanted.recipient.cloned(),
        node: node.clone(),
    };
    let what = if wanted.recipient.is_some() { "disclose" } else { "read" };
    let transaction = signer.sign(format!("{what} {}/{}", wanted.register, wanted.key), vec![operation])?;
    Ok(holder.read_sealed(&transaction, signing.patience())?)
}

/// Puts the read of a record in a partition on record there; what it says comes with what became of the read, opened. Where the record holds
/// sealed values about somebody else, it is read once more, by a read that names them. What is disclosed is read before by itself, if it
/// may be about somebody else: a disclosure that does not name them gives nothing, and is on record for ever.
///
/// The register's definition comes with it.
///
/// # Errors
/// When there is no such register, or the read cannot be put on record.
pub fn read_in_partition(
    reader: &Reader<'_>,
    wanted: &Wanted<'_>,
    reason: &Reason,
) -> Result<(PrivateResult, RegisterView), Failure> {
    let Reader { client, signer, signing } = *reader;
    warn_of_basis(reason.said()?.1);
    warn_of_texts(texts(reason.said()?, wanted), signer.partition());
    if signing.pass_on.is_some() {
        return Err(not_passed_on());
    }
    let (holder, node) = client.holder(signer.principal().organisation())?;
    let definition = definition(&holder, Some(signer), wanted.register)?.value;
    require_known(wanted.fields, &definition)?;
    let mut about = BTreeSet::new();
    if wanted.recipient.is_some() && may_be_about_others(wanted, &definition) {
        let alone = Wanted { recipient: None, beside: Beside::Nothing, ..*wanted };
        let transaction = signed_in_partition(signer, (&node, &about), &alone, &definition, reason)?;
        let done = holder.submit_private(&transaction, signing.patience())?;
        if !done.outcome.is_accepted() {
            return Ok((done, definition));
        }
        about.extend(done.given.into_iter().flat_map(|given| given.unnamed));
    }
    let mut done = loop {
        let transaction = signed_in_partition(signer, (&node, &about), wanted, &definition, reason)?;
        let done = holder.submit_private(&transaction, signing.patience())?;
        let before = about.len();
        about.extend(done.given.iter().flat_map(|given| given.unnamed.iter().cloned()));
        if about.len() == before {
            break done;
        }
    };
    for given in &mut done.given {
        let openings = openings_of(given)?;
        open(&mut given.record, &openings);
        for opening in &openings {
            let told = format!("field `{}` is sealed as {}", opening.place().field(), opening.commitment());
            say(paint_err(Colour::Dim, &told));
        }
        for field in &given.absent {
            say(format_args!(
                "field `{field}` stays sealed: what opens it is not on this node, though it is not erased"
            ));
        }
        for field in &given.erased {
            say(format_args!("field `{field}` stays sealed: what was in it is erased, as `tally erasure list` says"));
        }
    }
    Ok((done, definition))
}

/// Goes on if the register has all fields that are named: a read of others would be on record for ever, and be refused.
fn require_known(named: &[String], definition: &RegisterView) -> Result<(), Failure> {
    let has = |name: &String| definition.fields.iter().any(|field| field.name == *name);
    let Some(unknown) = named.iter().find(|name| !has(name)) else { return Ok(()) };
    let all: Vec<&str> = definition.fields.iter().map(|field| field.name.as_str()).collect();
    Err(Failure::no(format!(
        "register `{}` has no field `{unknown}`: name fields that it has: {}",
        definition.name,
        all.join(", ")
    )))
}

/// Which sealed fields a read leaves out that asks for what is not sealed, and how they are read; none if the register has none, or the
/// read said itself what it wants of them.
pub fn left_out(wanted: &Wanted<'_>, definition: &RegisterView) -> Option<String> {
    let is_left_out = |field: &&FieldView| field.protection.is_some() && !wanted.fields.contains(&field.name);
    let left_out = definition.fields.iter().filter(is_left_out).map(|field| format!("`{}`", field.name));
    let names: Vec<String> = left_out.filter(|_| wanted.beside == Beside::Clear).collect();
    (!names.is_empty()).then(|| {
        format!(
            "sealed fields were left out, if the record has them: {}: --open reads them too, --field NAME one alone",
            names.join(", ")
        )
    })
}

/// Whether sealed values in the fields that are wanted can be about somebody else than the record itself.
fn may_be_about_others(wanted: &Wanted<'_>, definition: &RegisterView) -> bool {
    let mut named = definition.fields.iter().filter(|field| wanted.fields.contains(&field.name));
    named.any(|field| match &field.protection {
        Some(Protection::Personal { subject, .. }) => subject != wanted.register,
        _ => false,
    })
}

/// What opens the sealed values of a record that was given.
fn openings_of(given: &GivenView) -> Result<Vec<Opening>, Failure> {
    let opening = |text: &String| Opening::decode(&hex::decode(text).ok()?).ok();
    let openings: Option<Vec<Opening>> = given.openings.iter().map(opening).collect();
    openings.ok_or_else(|| Failure::error("the node gave what opens nothing: ask another, with --node"))
}

/// The read of a record in the signer's partition, as it is handed in at this node, about these beside the record itself.
///
/// # Errors
/// When it names too many fields, or cannot be signed.
pub fn signed_in_partition(
    signer: &Signer,
    (node, about): (&PrincipalId, &BTreeSet<Subject>),
    wanted: &Wanted<'_>,
    definition: &RegisterView,
    reason: &Reason,
) -> Result<SignedTransaction, Failure> {
    let (purpose, legal_basis) = reason.said()?;
    let is_beside = |field: &&FieldView| match wanted.beside {
        Beside::Nothing => false,
        Beside::Clear => field.protection.is_none(),
        Beside::All => true,
    };
    let beside = definition.fields.iter().filter(is_beside).map(|field| &field.name);
    let fields: BTreeSet<&String> = beside.chain(wanted.fields).collect();
    if fields.len() > READ_FIELDS_MAX {
        return Err(Failure::error(format!("a read names {READ_FIELDS_MAX} fields at most: say which with --field")));
    }
    let mut subjects = about.clone();
    subjects.insert(Subject::new(wanted.register, wanted.key).map_err(Failure::error)?);
    if subjects.len() > READ_SUBJECTS_MAX {
        return Err(Failure::error("these values are about too many: name fewer fields with --field"));
    }
    let operation = Operation::RecordRead {
        register: wanted.register.to_owned(),
        key: wanted.key.to_owned(),
        fields: fields.into_iter().cloned().collect(),
        subjects: subjects.into_iter().collect(),
        purpose: purpose.to_owned(),
        legal_basis: legal_basis.to_owned(),
        recipient: wanted.recipient.cloned(),
        node: node.clone(),
    };
    let what = if wanted.recipient.is_some() { "disclose" } else { "read" };
    Ok(signer.sign(format!("{what} {}/{}", wanted.register, wanted.key), vec![operation])?)
}

fn not_passed_on() -> Failure {
    Failure::error("what is read comes to whoever hands the read in: leave out --pass-on")
}

/// Where the sealed values stand that are wanted, and the register's custodian.
fn places(client: &Client, wanted: &Wanted<'_>) -> Result<(Vec<Place>, String), Failure> {
    let Some(register) = client.register(wanted.register)? else { return Err(no_register(wanted.register)) };
    let record = ask_again(BEHIND, || Ok(client.record(wanted.register, wanted.key)?))?;
    let Some(record) = record else {
        return Err(Failure::no(format!("register `{}` has no record `{}`", wanted.register, wanted.key)));
    };
    let fields: Vec<Field> = register.value.fields.iter().map(Field::from).collect();
    let schema = Schema::new(wanted.register, &fields);
    let items: Vec<String> = items_of(&record.value).filter_map(|item| canonicalise(&item.to_string()).ok()).collect();
    let mut places: Vec<Place> =
        sealed_in(None, &schema, wanted.key, &items).into_iter().map(|(place, _)| place).collect();
    if let Some(field) = wanted.fields.iter().find(|field| places.iter().all(|place| place.field() != **field)) {
        return Err(Failure::no(format!(
            "record `{}/{}` has no sealed value in field `{field}`: `tally record` shows what it has",
            wanted.register, wanted.key
        )));
    }
    places.retain(|place| wanted.fields.is_empty() || wanted.fields.iter().any(|field| field == place.field()));
    if places.is_empty() {
        return Err(Failure::no(format!("record `{}/{}` has nothing that is sealed", wanted.register, wanted.key)));
    }
    Ok((places, register.value.custodian))
}

/// The items of a record as openregister shows it.
fn items_of(record: &Value) -> impl Iterator<Item = &Value> {
    let entries = record.as_object().into_iter().flat_map(|records| records.values());
    entries.flat_map(|entry| entry.get("item").and_then(Value::as_array).into_iter().flatten())
}

/// Puts what was read in the place of its commitments.
pub fn open(value: &mut Value, openings: &[Opening]) {
    match value {
        Value::String(text) => {
            let opened = openings.iter().find(|opening| opening.commitment().to_string() == *text);
            if let Some(opening) = opened {
                *text = opening.value().reveal().to_owned();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| open(value, openings)),
        Value::Object(members) => members.values_mut().for_each(|value| open(value, openings)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn patient() -> RegisterView {
        let field =
            |name: &str| serde_json::json!({"name": name, "datatype": "string", "cardinality": "1", "text": ""});
        let sealed = |name: &str, how: &str| {
            let mut field = field(name);
            field.as_object_mut().unwrap().insert("protection".to_owned(), how.into());
            field
        };
        serde_json::from_value(serde_json::json!({
            "name": "patient", "text": "", "custodian": "clinic", "phase": "live", "records": 0, "entries": 0, "system_entries": 0, "root": "",
            "created": 0, "fields": [field("patient"), sealed("name", "personal:patient"), sealed("ward", "restricted")],
        }))
        .unwrap()
    }

    /// One row a read: which fields it names, what it wants beside them, and which it is told that it leaves out.
    #[test]
    fn a_read_is_told_which_sealed_fields_it_leaves_out() {
        for (fields, beside, expected) in [
            (vec![], Beside::Clear, Some("`name`, `ward`: ")),
            (vec!["name".to_owned()], Beside::Clear, Some("`ward`: ")),
            (vec!["name".to_owned()], Beside::Nothing, None),
            (vec![], Beside::All, None),
        ] {
            let wanted =
                Wanted { register: "patient", key: "p-1", fields: &fields, recipient: None, beside, holder: None };
            let told = left_out(&wanted, &patient());
            assert_eq!(told.is_some(), expected.is_some(), "{told:?}");
            assert!(told.zip(expected).is_none_or(|(told, expected)| told.contains(expected)), "{fields:?}");
        }
    }

    #[test]
    fn a_field_misspelt_is_found_before_anything_is_signed() {
        assert!(require_known(&["name".to_owned()], &patient()).is_ok());
        let told = require_known(&["name".to_owned(), "wrad".to_owned()], &patient()).unwrap_err().to_string();
        assert_eq!(told, "register `patient` has no field `wrad`: name fields that it has: patient, name, ward");
    }

    /// One row a recipient: where they are said to be, and whether that is enough out of a partition.
    #[test]
    fn out_of_a_partition_it_is_said_where_the_recipient_is() {
        for (name, place, is_enough) in
            [("A court", Some("GB"), true), ("A court", None, false), (Recipient::DATA_SUBJECT, None, true)]
        {
            let to = To { name: name.to_owned(), jurisdiction: place.map(|place| place.parse().unwrap()) };
            assert_eq!(to.require_place().is_ok(), is_enough, "{name} {place:?}");
        }
    }
}
