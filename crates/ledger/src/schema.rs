//! Schemas: whether an item is what the register's fields say.

use tallystick_protocol::{
    Commitment, Place, Subject, Violation, ViolationRule,
    limits::{NAME_BYTES_MAX, VIOLATIONS_MAX},
    operation::{Cardinality, Datatype, Field, Protection},
};

use crate::{
    curie::Curie,
    datatype::accepts,
    item::{Item, Value},
};

/// A register's fields, made ready for checking.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The field that repeats an entry's key: it has the register's name.
    primary: String,
    /// Sorted by name.
    fields: Vec<Field>,
    /// Whether any field is protected.
    protected: bool,
    /// Whether a value of any field may name a record.
    links: bool,
}

/// A value that names a record of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'i> {
    /// The entry within the operation, from 0.
    pub entry: u32,
    /// The field that holds it.
    pub field: &'i str,
    /// The register, which need not be on the ledger.
    pub register: &'i str,
    /// The record's key; may break the grammar of keys, and is then no record's.
    pub key: &'i str,
}

/// The violations of one operation: as many as a refusal may name, the first ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one, unless there are enough. Of the field's name the first 64 bytes are kept.
    pub fn add(&mut self, entry: u32, field: &str, rule: ViolationRule) {
        if self.0.len() < VIOLATIONS_MAX {
            let field = field.get(..field.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default().to_owned();
            self.0.push(Violation { entry, field, rule });
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The violations in the order of entries, then in the order found.
    pub fn into_vec(mut self) -> Vec<Violation> {
        self.0.sort_by_key(|violation| violation.entry);
        self.0
    }
}

impl Schema {
    /// The schema of a register with these fields.
    pub fn new(register: &str, fields: &[Field]) -> Self {
        let mut fields = fields.to_vec();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let protected = fields.iter().any(|field| field.protection.is_some());
        let may_link = |field: &Field| field.name != register && links(field);
        let links = fields.iter().any(may_link);
        Self { primary: register.to_owned(), fields, protected, links }
    }

    /// Its fields, sorted by name.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether some field is written only sealed.
    pub const fn is_protected(&self) -> bool {
        self.protected
    }

    /// Whether a field says which record it is, or whom others are about: none such can be protected.
    pub fn identifies(&self, field: &str) -> bool {
        let names =
            |other: &Field| matches!(&other.protection, Some(Protection::Personal { subject, .. }) if subject == field);
        field == self.primary || self.fields.iter().any(names)
    }

    /// Whether [`Schema::check`] may find links.
    pub const fn may_link(&self) -> bool {
        self.links
    }

    /// The protected fields of which the item has a value in the clear.
    pub fn unsealed<'i>(&self, item: &'i Item<'_>) -> impl Iterator<Item = &'i str> {
        item.members().filter_map(|(name, value)| {
            let is_protected = self.field(name).is_some_and(|field| field.protection.is_some());
            (is_protected && value.strings().any(|text| text.parse::<Commitment>().is_err())).then_some(name)
        })
    }

    /// Where a value of a protected field of the entry's item stands, as if in the public partition, and whom it is about. None when the field is not protected, or
    /// no field says whom it is about.
    pub fn place(&self, key: &str, item: &Item<'_>, field: &str) -> Option<Place> {
        let own = || Subject::new(&self.primary, key).ok();
        let subject = match self.field(field)?.protection.as_ref()? {
            Protection::Restricted => own()?,
            Protection::Personal { subject, .. } if *subject == self.primary => own()?,
            Protection::Personal { subject, .. } => {
                let (register, key) = self.link(self.field(subject)?, item.get_one(subject)?)?;
                Subject::new(register, key).ok()?
            }
        };
        Place::new(&self.primary, key, field, subject).ok()
    }

    /// The places of all sealed values of the entry's item; none, at no cost, when the register has no protected field.
    pub fn places<'i>(&'i self, key: &'i str, item: &'i Item<'_>) -> impl Iterator<Item = Place> + 'i {
        let members = self.protected.then(|| item.members());
        members.into_iter().flatten().filter_map(move |(name, _)| self.place(key, item, name))
    }

    /// Checks one item of the entry with this key; adds what it breaks to `violations`, and the links whose records must be
    /// looked up to `links`.
    pub fn check<'i>(
        &'i self,
        entry: u32,
        key: &str,
        item: &'i Item<'_>,
        violations: &mut Violations,
        links: &mut Vec<Link<'i>>,
    ) {
        match item.get(&self.primary) {
            None => violations.add(entry, &self.primary, ViolationRule::KeyMissing),
            Some(Value::One(value)) if value != key => violations.add(entry, &self.primary, ViolationRule::KeyMismatch),
            Some(_) => {}
        }
        for (name, value) in item.members() {
            match self.field(name) {
                Some(field) if field.protection.is_some() => {
                    self.check_form(entry, field, value, violations);
                    if self.place(key, item, name).is_none() {
                        violations.add(entry, name, ViolationRule::Subject);
                    }
                }
                Some(field) => self.check_field(entry, field, value, violations, links),
                None => violations.add(entry, name, ViolationRule::UnknownField),
            }
        }
    }

    /// The fields in which an item says, in the clear, that it is about this record: those that link to it.
    pub fn naming<'i>(&'i self, item: &'i Item<'_>, subject: &'i Subject) -> impl Iterator<Item = &'i str> {
        item.members().filter_map(|(name, value)| {
            let field = self.field(name)?;
            let is_it = |text: &str| self.link(field, text) == Some((subject.register(), subject.key()));
            value.strings().any(is_it).then_some(name)
        })
    }

    fn field(&self, name: &str) -> Option<&Field> {
        let index = self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
        self.fields.get(index)
    }

    fn check_field<'i>(
        &'i self,
        entry: u32,
        field: &'i Field,
        value: &'i Value<'_>,
        violations: &mut Violations,
        links: &mut Vec<Link<'i>>,
    ) {
        if !self.check_form(entry, field, value, violations) {
            return;
        }
        let linked = field.register.as_deref();
        for text in value.strings() {
            if text.trim().is_empty() {
                violations.add(entry, &field.name, ViolationRule::Empty);
            } else if !accepts(field.datatype, text, linked) {
                violations.add(entry, &field.name, ViolationRule::Datatype);
            } else if let Some((register, key)) = self.link(field, text) {
                links.push(Link { entry, field: &field.name, register, key });
            }
        }
    }

    /// Checks that a field holds as many values as it should, each once; says whether it can be read further.
    fn check_form(&self, entry: u32, field: &Field, value: &Value<'_>, violations: &mut Violations) -> bool {
        let right_form = matches!(
            (field.cardinality, value),
            (Cardinality::One, Value::One(_)) | (Cardinality::Many, Value::Many(_))
        );
        if !right_form {
            violations.add(entry, &field.name, ViolationRule::Cardinality);
            return false;
        }
        if let Value::Many(values) = value {
            let mut sorted: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
            sorted.sort_unstable();
            if sorted.iter().zip(sorted.iter().skip(1)).any(|(a, b)| a == b) {
                violations.add(entry, &field.name, ViolationRule::Duplicate);
            }
        }
        true
    }

    /// What record a valid value names, if any. The primary key names its own record, which the entry makes.
    fn link<'i>(&self, field: &'i Field, text: &'i str) -> Option<(&'i str, &'i str)> {
        if field.name == self.primary || !links(field) {
            return None;
        }
        match field.datatype {
            Datatype::Curie => Curie::parse(text, field.register.as_deref()).map(|curie| (curie.register, curie.key)),
            _ => field.register.as_deref().map(|register| (register, text)),
        }
    }
}

/// Whether a value of the field may name a record.
fn links(field: &Field) -> bool {
    field.datatype == Datatype::Curie || field.register.is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn field(name: &str, datatype: Datatype, cardinality: Cardinality, register: Option<&str>) -> Field {
        Field { cardinality, register: register.map(str::to_owned), ..Field::new(name, datatype) }
    }

    fn school() -> Schema {
        use Cardinality::{Many, One};
        Schema::new(
            "school",
            &[
                field("school", Datatype::String, One, Some("school")),
                field("pupils", Datatype::Integer, One, None),
                field("opened", Datatype::Datetime, One, None),
                field("names", Datatype::String, Many, None),
                field("country", Datatype::String, One, Some("country")),
                field("authority", Datatype::Curie, One, Some("local-authority")),
                field("see-also", Datatype::Curie, Many, None),
            ],
        )
    }

    /// The item of the entry with key `1`, what it breaks, what it links to.
    #[test]
    fn what_an_item_breaks() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (r#"{"school":"1"}"#, &[], &[]),
            (r#"{"names":["a","b"],"opened":"1990-09","pupils":"12","school":"1"}"#, &[], &[]),
            (r#"{}"#, &["school key-missing"], &[]),
            (r#"{"school":"2"}"#, &["school key-mismatch"], &[]),
            (r#"{"school":["1"]}"#, &["school cardinality"], &[]),
            (r#"{"colour":"red","school":"1"}"#, &["colour unknown-field"], &[]),
            (r#"{"names":"a","school":"1"}"#, &["names cardinality"], &[]),
            (r#"{"pupils":["1"],"school":"1"}"#, &["pupils cardinality"], &[]),
            (r#"{"names":["a","b","a"],"school":"1"}"#, &["names duplicate"], &[]),
            (r#"{"names":["a"," "],"school":"1"}"#, &["names empty"], &[]),
            (r#"{"names":[],"school":"1"}"#, &[], &[]),
            (r#"{"opened":"soon","pupils":"007","school":"1"}"#, &["opened datatype", "pupils datatype"], &[]),
            (r#"{"pupils":"","school":"1"}"#, &["pupils empty"], &[]),
            (r#"{"country":"GB","school":"1"}"#, &[], &["country country:GB"]),
            (r#"{"authority":"LND","school":"1"}"#, &[], &["authority local-authority:LND"]),
            (r#"{"authority":"region:X","school":"1"}"#, &[], &["authority region:X"]),
            (r#"{"school":"1","see-also":["school:2","GB"]}"#, &["see-also datatype"], &["see-also school:2"]),
            (
                r#"{"colour":"red","names":"a","opened":"soon","pupils":"many"}"#,
                &[
                    "school key-missing",
                    "colour unknown-field",
                    "names cardinality",
                    "opened datatype",
                    "pupils datatype",
                ],
                &[],
            ),
        ];
        for (text, breaks, names) in table {
            let item = Item::parse(text).unwrap();
            let schema = school();
            let (mut violations, mut links) = (Violations::default(), Vec::new());
            schema.check(7, "1", &item, &mut violations, &mut links);
            let links: Vec<String> =
                links.iter().map(|link| format!("{} {}:{}", link.field, link.register, link.key)).collect();
            let violations = violations.into_vec();
            assert!(violations.iter().all(|violation| violation.entry == 7));
            let broken: Vec<String> = violations.iter().map(|v| format!("{} {}", v.field, v.rule)).collect();
            assert_eq!((broken, links), (own(breaks), own(names)), "{text}");
        }
    }

    /// The item, a record, and the fields in which the one names the other.
    #[test]
    fn whom_an_item_names() {
        let table: &[(&str, &str, &[&str])] = &[
            (r#"{"country":"GB","school":"1"}"#, "country:GB", &["country"]),
            (r#"{"country":"GB","school":"1"}"#, "country:FR", &[]),
            (r#"{"country":"GB","names":["GB"],"school":"1"}"#, "school:GB", &[]),
            (r#"{"authority":"GB","country":"GB"}"#, "local-authority:GB", &["authority"]),
            (r#"{"authority":"country:GB","country":"GB"}"#, "country:GB", &["authority", "country"]),
            (r#"{"see-also":["school:2","school:3"]}"#, "school:3", &["see-also"]),
            // Its own key makes it a record's, and names nobody.
            (r#"{"school":"1"}"#, "school:1", &[]),
        ];
        for (text, subject, names) in table {
            let (item, subject) = (Item::parse(text).unwrap(), subject.parse().unwrap());
            assert_eq!(school().naming(&item, &subject).collect::<Vec<_>>(), *names, "{text} {subject}");
        }
    }

    fn own(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn violations_are_bounded_in_number_and_size() {
        let mut violations = Violations::default();
        for entry in 0..100 {
            violations.add(entry, &"é".repeat(100), ViolationRule::UnknownField);
        }
        let violations = violations.into_vec();
        assert_eq!(violations.len(), VIOLATIONS_MAX);
        assert!(violations.iter().all(|violation| violation.field.len() == NAME_BYTES_MAX));
    }
}
