//! Values of protected fields are sealed before anything is signed: the ledger gets commitments, a node that holds what opens them.

use crate::output::Failure;
use std::borrow::Cow;
use tallystick_ledger::{
    datatype::accepts,
    item::{Item, Value, item_from},
    schema::Schema,
};
use tallystick_protocol::{Commitment, Field, NewEntry, Opening, Secret};

/// An entry whose protected values are sealed, with what opens those that were in the clear.
#[derive(Debug, Clone)]
pub struct SealedEntry {
    /// The entry.
    pub entry: NewEntry,
    /// What opens what was sealed just now.
    pub openings: Vec<Opening>,
}

/// Seals the values in the clear of the protected fields of an entry, which stands at `place`, such as `line 3`; for a partition, if the
/// register is one's.
///
/// # Errors
/// When a value is not of its field's datatype, or no field says whom it is about. No error says the value.
pub fn seal(
    place: &str,
    (partition, schema): (Option<&str>, &Schema),
    entry: NewEntry,
) -> Result<SealedEntry, Failure> {
    let NewEntry { key, items } = entry;
    let mut openings = Vec::new();
    let seal = |item: String| match Item::parse(&item) {
        Ok(parsed) if schema.unsealed(&parsed).next().is_some() => {
            seal_item(place, (partition, schema), &key, &parsed, &mut openings)
        }
        // What is no item the ledger refuses, and says why.
        _ => Ok(item),
    };
    let items = items.into_iter().map(seal).collect::<Result<_, _>>()?;
    Ok(SealedEntry { entry: NewEntry { key, items }, openings })
}

fn seal_item(
    place: &str,
    (partition, schema): (Option<&str>, &Schema),
    key: &str,
    item: &Item<'_>,
    openings: &mut Vec<Opening>,
) -> Result<String, Failure> {
    let within = (partition, schema);
    let mut members: Vec<(&str, Value<'_>)> = Vec::new();
    for (name, value) in item.members() {
        let field = schema.fields().iter().find(|field| field.name == name && field.protection.is_some());
        let value = match (field, value) {
            (None, value) => value.clone(),
            (Some(field), Value::One(text)) => {
                Value::One(Cow::Owned(seal_value(place, within, (key, item), field, text, openings)?))
            }
            (Some(field), Value::Many(texts)) => {
                let one = |text: &Cow<'_, str>| seal_value(place, within, (key, item), field, text, openings);
                let sealed: Vec<String> = texts.iter().map(one).collect::<Result<_, _>>()?;
                Value::Many(sealed.into_iter().map(Cow::Owned).collect())
            }
        };
        members.push((name, value));
    }
    Ok(item_from(members))
}

/// The commitment to a value; of one that is sealed already, itself.
fn seal_value(
    place: &str,
    (partition, schema): (Option<&str>, &Schema),
    (key, item): (&str, &Item<'_>),
    field: &Field,
    text: &str,
    openings: &mut Vec<Opening>,
) -> Result<String, Failure> {
    if text.parse::<Commitment>().is_ok() {
        return Ok(text.to_owned());
    }
    let name = &field.name;
    if !accepts(field.datatype, text, field.register.as_deref()) {
        let datatype = field.datatype;
        return Err(Failure::error(format!("{place}: field `{name}` is no {datatype}: nothing was sent")));
    }
    let stands = schema.place(key, item, name).and_then(|place| place.within(partition).ok());
    let stands = stands.ok_or_else(|| {
        Failure::error(format!("{place}: no field says whom field `{name}` is about: nothing was sent"))
    })?;
    let opening = Opening::seal(stands, Secret::new(text), &mut tallystick_client::randomness());
    let opening = opening.map_err(|error| Failure::error(format!("{place}: field `{name}`: {error}")))?;
    let commitment = opening.commitment().to_string();
    openings.push(opening);
    Ok(commitment)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use tallystick_protocol::{Cardinality, Datatype};

    fn schema() -> Schema {
        let field = |name: &str, datatype, protection: &str| Field {
            protection: Some(protection.parse().unwrap()),
            ..Field::new(name, datatype)
        };
        let aliases =
            Field { cardinality: Cardinality::Many, ..field("aliases", Datatype::String, "personal:patient") };
        let patient = Field { register: Some("patient".into()), ..Field::new("patient", Datatype::String) };
        let fields = [
            Field::new("visit", Datatype::String),
            patient,
            field("age", Datatype::Integer, "personal:visit"),
            field("note", Datatype::Text, "restricted"),
            aliases,
        ];
        Schema::new("visit", &fields)
    }

    fn sealed(item: &str) -> Result<SealedEntry, Failure> {
        seal("line 2", (None, &schema()), NewEntry { key: "v-1".into(), items: vec![item.into()] })
    }

    #[test]
    fn what_is_protected_is_sealed_where_it_stands_and_the_rest_is_as_it_was() {
        let item = r#"{"age":"41","aliases":["Jane","Janet"],"note":"tired","patient":"p-1","visit":"v-1"}"#;
        let found = sealed(item).unwrap();
        let items = &found.entry.items;
        assert!(!items[0].contains("Jane") && !items[0].contains("tired") && !items[0].contains("\"41\""), "{items:?}");
        let parsed = Item::parse(&items[0]).unwrap();
        assert_eq!((parsed.get_one("patient"), parsed.get_one("visit")), (Some("p-1"), Some("v-1")));
        let said: Vec<String> = found
            .openings
            .iter()
            .map(|o| format!("{} {} {}", o.place().field(), o.place().subject(), o.value().reveal()))
            .collect();
        assert_eq!(
            said,
            ["age visit:v-1 41", "aliases patient:p-1 Jane", "aliases patient:p-1 Janet", "note visit:v-1 tired"]
        );
        // Once more: what is sealed stays.
        let again = sealed(&items[0]).unwrap();
        assert_eq!((&again.entry.items, again.openings.len()), (items, 0));
    }

    #[test]
    fn what_cannot_be_sealed_is_not_said() {
        for (item, told) in [
            (r#"{"age":"forty","visit":"v-1"}"#, "line 2: field `age` is no integer"),
            (r#"{"aliases":["Jane"],"visit":"v-1"}"#, "line 2: no field says whom field `aliases` is about"),
        ] {
            let said = format!("{:?}", sealed(item).unwrap_err());
            assert!(said.contains(told) && !said.contains("forty") && !said.contains("Jane"), "{said}");
        }
    }
}
