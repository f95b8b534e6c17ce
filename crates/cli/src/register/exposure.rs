//! What is looked at before anything is signed: values in the clear that are written only sealed, and what looks like personal data.
//!
//! INVARIANT: a value is never shown; only where it stands.

use crate::output::{Colour, Done, Failure, count, paint_err, say};
use std::collections::BTreeMap;
use tallystick_client::{Client, Error, Signer};
use tallystick_ledger::{
    item::Item,
    personal::{Likeness, likeness, likeness_of_name},
    schema::Schema,
};
use tallystick_protocol::{Field, Subject};

/// What looks like personal data.
#[derive(Debug)]
pub struct Exposure<'a> {
    /// Where it would stand; none for the public partition.
    partition: Option<&'a str>,
    /// By field, and whether that can be protected: where first, and how often.
    found: BTreeMap<(String, bool, Likeness), (String, u64)>,
}

/// Who can read what stands in the clear.
fn readers(partition: Option<&str>) -> String {
    partition.map_or_else(|| "everybody".to_owned(), |partition| format!("every node of partition {partition}"))
}

impl<'a> Exposure<'a> {
    /// Nothing was looked at yet that is to stand in this partition; none for the public one.
    pub const fn within(partition: Option<&'a str>) -> Self {
        Self { partition, found: BTreeMap::new() }
    }

    /// Looks at an item that stands at `place`, such as `line 3`.
    ///
    /// # Errors
    /// When it has a value in the clear of a field that is written only sealed.
    pub fn look(&mut self, place: &str, item: &Item<'_>, schema: &Schema) -> Done {
        if let Some(field) = schema.unsealed(item).next() {
            return Err(Failure::error(format!(
                "{place}: field `{field}` is written only sealed, and holds a value in the clear: nothing was sent; \
                 an import keeps the file's items and root, so append the records instead (`tally register append --file`), which \
                 seals them"
            )));
        }
        let open = item
            .members()
            .filter(|(name, _)| schema.fields().iter().all(|field| field.name != *name || field.protection.is_none()));
        for (name, value) in open {
            if let Some(likeness) = value.strings().find_map(|text| likeness(name, text)) {
                let of = (name.to_owned(), !schema.identifies(name), likeness);
                let found = self.found.entry(of).or_insert_with(|| (place.to_owned(), 0));
                found.1 += 1;
            }
        }
        Ok(())
    }

    /// A line for each field and what its values look like.
    fn warnings(&self) -> Vec<String> {
        let readers = readers(self.partition);
        let warnings = self.found.iter().map(|((field, may_be_sealed, likeness), (place, times))| {
            let times = if *times > 1 { format!(", and {} more", count(times - 1, "entry", "entries")) } else { String::new() };
            let remedy = if *may_be_sealed {
                format!("leave it out, or declare the field personal when the register is created (--personal {field})")
            } else {
                "name them by what says nothing of them, such as a number drawn at random: no such field can be sealed".to_owned()
            };
            format!(
                "{place}{times}: field `{field}`: this looks like {likeness}, and {readers} can read it, for ever: if it is about a \
                 person, {remedy}"
            )
        });
        warnings.collect()
    }

    /// Warns of what was found.
    pub fn warn(&self) {
        self.warnings().iter().for_each(|warning| self::warn(warning));
    }
}

/// Warns of fields, to be in this partition, that by their names hold personal data and are not protected.
pub fn warn_of_fields(fields: &[Field], partition: Option<&str>) {
    let readers = readers(partition);
    for field in fields.iter().filter(|field| field.protection.is_none()) {
        if let Some(likeness) = likeness_of_name(&field.name) {
            let name = &field.name;
            warn(&format!(
                "field `{name}` looks like {likeness}, and {readers} could read it, for ever: if it is about people, declare it \
                 personal (--personal {name}, or `protection = \"personal:FIELD\"` in a draft)"
            ));
        }
    }
}

/// Warns of texts that are on record for all to see, of this partition or of the world, and look like personal data.
pub fn warn_of_texts(texts: impl IntoIterator<Item = impl AsRef<str>>, partition: Option<&str>) {
    let readers = readers(partition);
    for likeness in texts.into_iter().filter_map(|text| likeness("text", text.as_ref())) {
        warn(&format!("this looks like {likeness}, and {readers} can read it, for ever"));
    }
}

/// Warns of a subject in whose register nothing can be, as where its name is mistyped; in public also of one that has no record there.
pub fn warn_of_unknown(client: &Client, asker: Option<&Signer>, subject: &Subject) {
    let register = subject.register();
    // Whoever cannot be asked does not say that there is none.
    if matches!(custodian_of(client, asker, register), Ok(None)) {
        let elsewhere = if asker.and_then(Signer::partition).is_none() { ", or name its partition" } else { "" };
        warn(&format!("there is no register `{register}` here: see that {subject} is spelt right{elsewhere}"));
    } else if asker.and_then(Signer::partition).is_none() && matches!(client.record(register, subject.key()), Ok(None))
    {
        warn(&format!("register `{register}` has no record {subject}: see that it is spelt right"));
    }
}

/// Warns that an order for one controller destroys nothing in the register that its subject is in, which is another's.
pub fn warn_of_controller(client: &Client, asker: &Signer, subject: &Subject, controller: &str) {
    let register = subject.register();
    if let Ok(Some(custodian)) = custodian_of(client, Some(asker), register)
        && custodian != controller
    {
        warn(&format!(
            "register `{register}` is {custodian}'s: this is about what the registers of {controller} say of {subject}, and destroys nothing in \
             that one, which takes an order with --controller {custodian}"
        ));
    }
}

/// The custodian of a register, in public or in the asker's partition; none where there is no such register.
fn custodian_of(client: &Client, asker: Option<&Signer>, register: &str) -> Result<Option<String>, Error> {
    let found = match asker.and_then(|asker| Some((asker, asker.partition()?))) {
        None => client.register(register)?,
        Some((asker, partition)) => {
            client.holder(asker.principal().organisation())?.0.partition_register(asker, partition, register)?
        }
    };
    Ok(found.map(|found| found.value.custodian))
}

/// Warns that nothing is about a subject, of which that is said over a signature.
pub fn warn_of_nothing(subject: &Subject) {
    warn(&format!("nothing here is about {subject}: see that it is spelt right"));
}

fn warn(text: &str) {
    say(format_args!("{} {text}", paint_err(Colour::Yellow, "warning:")));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_protocol::Datatype;

    fn schema() -> Schema {
        let sealed =
            Field { protection: Some("personal:person".parse().unwrap()), ..Field::new("email", Datatype::String) };
        Schema::new("person", &[Field::new("person", Datatype::String), Field::new("note", Datatype::Text), sealed])
    }

    #[test]
    fn a_warning_says_where_and_never_what() {
        for (partition, readers) in [(None, "everybody"), (Some("outbreaks"), "every node of partition outbreaks")] {
            let mut exposure = Exposure::within(partition);
            exposure.look("line 2", &Item::parse(r#"{"note":"born 3 May 1984"}"#).unwrap(), &schema()).unwrap();
            let warnings = exposure.warnings().concat();
            assert!(warnings.contains(&format!("a date of birth, and {readers} can read it, for ever")), "{warnings}");
        }
        let mut exposure = Exposure::within(None);
        for (line, note) in ["ask jane@example.org", "nothing", "or joe@example.org", "NI AB123456C"].iter().enumerate()
        {
            let item = format!(r#"{{"note":"{note}","person":"1"}}"#);
            exposure.look(&format!("line {}", line + 2), &Item::parse(&item).unwrap(), &schema()).unwrap();
        }
        let warnings = exposure.warnings();
        assert_eq!(warnings.len(), 2);
        let (number, mail) = (warnings.first().unwrap(), warnings.last().unwrap());
        assert!(number.starts_with("line 5: field `note`: this looks like a National Insurance number"), "{number}");
        assert!(
            mail.starts_with("line 2, and 1 entry more: field `note`: this looks like an e-mail address"),
            "{mail}"
        );
        assert!(
            warnings.iter().all(|w| w.contains("--personal note") && !w.contains("example") && !w.contains("AB12"))
        );
        let mut exposure = Exposure::within(None);
        exposure.look("line 2", &Item::parse(r#"{"person":"AB123456C"}"#).unwrap(), &schema()).unwrap();
        let key = exposure.warnings().concat();
        assert!(key.contains("drawn at random") && !key.contains("--personal"), "a key is never sealed: {key}");
    }

    #[test]
    fn a_value_in_the_clear_is_not_sent_and_not_shown() {
        let item = Item::parse(r#"{"email":"jane@example.org","person":"1"}"#).unwrap();
        let failure = Exposure::within(None).look("line 2", &item, &schema()).unwrap_err();
        let said = format!("{failure:?}");
        assert!(said.contains("line 2: field `email`") && !said.contains("jane"), "{said}");
        let sealed = "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";
        let item = format!(r#"{{"email":"{sealed}","person":"1"}}"#);
        let mut exposure = Exposure::within(None);
        exposure.look("line 2", &Item::parse(&item).unwrap(), &schema()).unwrap();
        assert!(exposure.warnings().is_empty());
    }
}
