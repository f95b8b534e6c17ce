//! Definitions: what a register's system entries say of it.
//!
//! openregister keeps a register's description in the register: system entries under the keys `name`, `register-name`,
//! `custodian`, `field:<name>` and `register:<name>`, the latest of each in force. This file reads them, entry by entry, and
//! writes them for a register that has none.
//!
//! ```text
//! field:country      {"cardinality":"1","datatype":"string","field":"country","register":"country","text":"…"}
//! register:country   {"fields":["country","name"],"register":"country","text":"…"}
//! ```
//!
//! A field that only some may read has a member `protection` too: see [`crate::protection`].
//!
//! History is taken as it is. A datatype unknown here accepts any text; a field without a definition is a single string; a
//! field defined but not (yet) listed counts until the next list; texts are cut at the limit of a description.

use std::borrow::Cow;

use tallystick_protocol::{
    limits::{FIELDS_MAX, TEXT_BYTES_MAX},
    operation::{Cardinality, Datatype, Field, Protection, validate_name},
};

use crate::item::{Item, Value, item_from};

/// What the system entries so far say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// The register's name: a slug such as `country`.
    pub register: Option<String>,
    /// What people call it.
    pub title: Option<String>,
    /// Who keeps it, in its own words: not the organisation that is its custodian here.
    pub custodian: Option<String>,
    /// What it lists.
    pub text: String,
    /// Its schema, in the order it lists the fields.
    pub fields: Vec<Field>,
}

impl Definition {
    /// Takes the next system entry into account; says whether its key is one that describes the register.
    pub fn read(&mut self, key: &str, item: &Item<'_>) -> bool {
        match key.split_once(':') {
            Some(("field", name)) => self.read_field(name, item),
            Some(("register", name)) => self.read_register(name, item),
            Some(_) => return false,
            None => match key {
                "name" => self.register = item.get_one("name").filter(|n| validate_name(n).is_ok()).map(str::to_owned),
                "register-name" => self.title = item.get_one("register-name").map(cut),
                "custodian" => self.custodian = item.get_one("custodian").map(cut),
                _ => return false,
            },
        }
        true
    }

    fn read_field(&mut self, name: &str, item: &Item<'_>) {
        if validate_name(name).is_err() {
            return;
        }
        let field = Field {
            name: name.to_owned(),
            datatype: parse_or(item.get_one("datatype"), Datatype::String),
            cardinality: parse_or(item.get_one("cardinality"), Cardinality::One),
            register: item.get_one("register").filter(|linked| validate_name(linked).is_ok()).map(str::to_owned),
            text: item.get_one("text").map(cut).unwrap_or_default(),
            protection: self.protection(name, item),
        };
        match self.fields.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = field,
            None => {
                self.fields.push(field);
                self.fields.truncate(FIELDS_MAX);
            }
        }
    }

    /// What is said, or was said before. A protection unknown here lets nobody read: what was meant to be hidden is never shown.
    fn protection(&self, name: &str, item: &Item<'_>) -> Option<Protection> {
        match item.get_one("protection") {
            Some(said) => Some(said.parse().unwrap_or(Protection::Restricted)),
            None => self.fields.iter().find(|field| field.name == name).and_then(|field| field.protection.clone()),
        }
    }

    fn read_register(&mut self, name: &str, item: &Item<'_>) {
        if self.register.is_none() && validate_name(name).is_ok() {
            self.register = Some(name.to_owned());
        }
        if let Some(text) = item.get_one("text") {
            self.text = cut(text);
        }
        let Some(listed) = item.get("fields") else { return };
        let mut fields: Vec<Field> = Vec::new();
        for name in listed.strings().filter(|name| validate_name(name).is_ok()).take(FIELDS_MAX) {
            if fields.iter().all(|field| field.name != name) {
                let known = self.fields.iter().find(|field| field.name == name).cloned();
                fields.push(known.unwrap_or_else(|| Field::new(name, Datatype::String)));
            }
        }
        self.fields = fields;
    }

    /// The system entries that describe a register so, as key and canonical item, in openregister's order: to export one
    /// that has no system entries of its own. Parts that are not known are left out.
    pub fn to_system_entries(&self) -> Vec<(String, String)> {
        let one = |name: &'static str, value: &str| item_from([(name, Value::One(Cow::Borrowed(value)))]);
        let mut entries = Vec::new();
        let plain = [("name", &self.register), ("register-name", &self.title), ("custodian", &self.custodian)];
        for (key, value) in plain {
            entries.extend(value.as_deref().map(|value| (key.to_owned(), one(key, value))));
        }
        entries.extend(self.fields.iter().map(|field| (format!("field:{}", field.name), field_item(field))));
        if let Some(register) = &self.register {
            let names = self.fields.iter().map(|field| Cow::Borrowed(field.name.as_str())).collect();
            let members = [
                ("fields", Value::Many(names)),
                ("register", Value::One(Cow::Borrowed(register))),
                ("text", Value::One(Cow::Borrowed(&self.text))),
            ];
            entries.push((format!("register:{register}"), item_from(members)));
        }
        entries
    }
}

fn field_item(field: &Field) -> String {
    let protection = field.protection.as_ref().map(ToString::to_string);
    let members = [
        ("cardinality", Some(field.cardinality.as_str())),
        ("datatype", Some(field.datatype.as_str())),
        ("field", Some(field.name.as_str())),
        ("protection", protection.as_deref()),
        ("register", field.register.as_deref()),
        ("text", Some(field.text.as_str())),
    ];
    item_from(members.into_iter().filter_map(|(name, value)| Some((name, Value::One(Cow::Borrowed(value?))))))
}

fn parse_or<T: std::str::FromStr>(text: Option<&str>, otherwise: T) -> T {
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The text, or as many whole characters of it as a description may have.
fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Definition {
        let mut definition = Definition::default();
        for (key, item) in entries {
            definition.read(key, &Item::parse(item).unwrap());
        }
        definition
    }

    fn names(definition: &Definition) -> Vec<&str> {
        definition.fields.iter().map(|field| field.name.as_str()).collect()
    }

    #[test]
    fn the_latest_entries_are_in_force() {
        let definition = read(&[
            ("name", r#"{"name":"country"}"#),
            ("field:country", r#"{"cardinality":"1","datatype":"string","field":"country","register":"country"}"#),
            ("field:name", r#"{"cardinality":"1","datatype":"string","field":"name","text":"old"}"#),
            ("register:country", r#"{"fields":["name","country"],"register":"country","text":"Countries"}"#),
            ("field:name", r#"{"cardinality":"n","datatype":"text","field":"name","text":"new"}"#),
            ("register-name", r#"{"register-name":"Country register"}"#),
            ("custodian", r#"{"custodian":"A. Body"}"#),
        ]);
        assert_eq!(names(&definition), ["name", "country"]);
        let name = definition.fields.first().unwrap();
        assert_eq!((name.datatype, name.cardinality, name.text.as_str()), (Datatype::Text, Cardinality::Many, "new"));
        assert_eq!(definition.fields.last().unwrap().register.as_deref(), Some("country"));
        assert_eq!(definition.register.as_deref(), Some("country"));
        assert_eq!(definition.title.as_deref(), Some("Country register"));
        assert_eq!((definition.custodian.as_deref(), definition.text.as_str()), (Some("A. Body"), "Countries"));
    }

    #[test]
    fn odd_history_is_taken_as_it_is() {
        let definition = read(&[
            ("register:a", r#"{"fields":["a","b","a","Not a name"],"register":"a"}"#),
            ("field:a", r#"{"cardinality":"many","datatype":"inline"}"#),
            ("field:Bad Name", r#"{}"#),
            ("other", r#"{}"#),
        ]);
        assert_eq!(names(&definition), ["a", "b"]);
        assert!(definition.fields.iter().all(|f| f.datatype == Datatype::String && f.cardinality == Cardinality::One));
        let long = format!(r#"{{"text":"{}"}}"#, "é".repeat(TEXT_BYTES_MAX));
        assert_eq!(read(&[("register:a", &long)]).text.len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn a_protection_stays_until_another_is_said() {
        let said = |protection: &str| {
            let field = format!(r#"{{"field":"a","protection":"{protection}"}}"#);
            let definition = read(&[("field:a", &field), ("field:a", r#"{"datatype":"text","field":"a"}"#)]);
            definition.fields.first().unwrap().protection.clone()
        };
        assert_eq!(said("personal:b"), Some(Protection::Personal { subject: "b".into(), days: None }));
        assert_eq!(said("personal:b:30"), Some(Protection::Personal { subject: "b".into(), days: Some(30) }));
        assert_eq!(said("restricted"), Some(Protection::Restricted));
        let days =
            ["personal:b:", "personal:b:0", "personal:b:030", "personal:b:36526", "personal:b:1:1", "personal:b:x"];
        for unknown in ["", "secret", "personal", "personal:", "personal:A b", "restricted:b"].into_iter().chain(days) {
            assert_eq!(said(unknown), Some(Protection::Restricted), "{unknown}");
        }
        assert_eq!(read(&[("field:a", r#"{"field":"a"}"#)]).fields.first().unwrap().protection, None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut definition = read(&[
            ("register:a", r#"{"fields":["a","b"],"register":"a","text":"T"}"#),
            (
                "field:b",
                r#"{"cardinality":"n","datatype":"curie","protection":"personal:a","register":"c","text":"B"}"#,
            ),
        ]);
        definition.title = Some("A".into());
        let written = definition.to_system_entries();
        let borrowed: Vec<(&str, &str)> = written.iter().map(|(key, item)| (key.as_str(), item.as_str())).collect();
        assert_eq!(read(&borrowed), Definition { register: Some("a".into()), ..definition });
    }
}
